import { readdir } from 'node:fs/promises';
import t from 'tap';
import { startEmbedded } from '../../src/embedded/start.js';
import { makeApp } from '../helper/app.js';
import { dataFolder, end, fast, folder, kill, query, servers, until } from '../helper/embedded.js';

t.test('our process may end while the server runs, and a terminal does not reach the server', async (t) => {
  const dataDir = await dataFolder(t);
  const app = await makeApp(t);
  const leaving = app.spawn({ dataDir, settings: fast, leave: true });
  const { url } = await leaving.answer;
  t.equal(await leaving.exit, 0, 'nothing keeps the process alive');
  t.equal((await servers(dataDir)).length, 1);

  const second = app.spawn({ dataDir, settings: fast });
  t.same(await second.answer, { url }, 'the next one takes it over');
  await end(second);
  t.same(await servers(dataDir), [], 'and stops it');

  const third = app.spawn({ dataDir, settings: fast });
  const { url: again = '' } = await third.answer;
  // What a terminal does at Ctrl-C: SIGINT to the whole foreground process group.
  process.kill(-(third.child.pid ?? Number.NaN), 'SIGINT');
  await third.exit;
  // A server handles its signals before it takes another connection.
  await query({ url: again }, async (sql) => t.same(await sql`select 1 as n`, [{ n: 1 }], 'the server goes on'));
  t.equal((await servers(dataDir)).length, 1);
});

t.test('after a crash of the service the next one takes over; while it lives it is refused', async (t) => {
  const dataDir = await dataFolder(t);
  const app = await makeApp(t);
  const owner = app.spawn({ dataDir, settings: fast });
  const { url = '' } = await owner.answer;
  const [server] = await servers(dataDir);
  await query({ url }, async (sql) => {
    await sql`create table kept as select 1 as n`;
  });
  const refusal = { message: `another clocktick is using ${dataDir} (pid ${owner.child.pid})` };
  await t.rejects(startEmbedded({ dataDir, settings: fast }), refusal);
  await t.rejects(startEmbedded({ dataDir, settings: { ...fast, work_mem: '5MB' } }), refusal);
  t.same(await servers(dataDir), [server], 'the owner still has its server');
  await kill(owner);
  t.same(await servers(dataDir), [server], 'the server survives');
  const db = await startEmbedded({ dataDir, settings: fast });
  t.same(await servers(dataDir), [server], 'one like ours is kept');
  await query(db, async (sql) => t.same(await sql`select n from kept`, [{ n: 1 }]));
  await db.stop();

  const crashing = app.spawn({ dataDir, settings: fast });
  await crashing.answer;
  await kill(crashing);
  const other = await startEmbedded({ dataDir, settings: { ...fast, work_mem: '5MB' } });
  t.teardown(() => other.stop());
  await query(other, async (sql) => {
    t.same(
      await sql`select n, current_setting('work_mem') as mem from kept`,
      [{ n: 1, mem: '5MB' }],
      'one unlike is not',
    );
  });
});

t.test('an owner whose session is lost says so and takes the lock again', async (t) => {
  const dataDir = await dataFolder(t);
  const lines: string[] = [];
  const db = await startEmbedded({ dataDir, settings: fast, say: (line) => lines.push(line) });
  t.teardown(() => db.stop());
  await query(db, async (sql) => {
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'clocktick owner %'`;
  });
  await until(async () => lines.some((line) => line.includes('is back')));
  t.ok(lines.some((line) => line.includes('has ended its sessions')));
  const refusal = { message: `another clocktick is using ${dataDir} (pid ${process.pid})` };
  await t.rejects(startEmbedded({ dataDir, settings: fast }), refusal);
});

t.test('of several that start at one moment exactly one wins', async (t) => {
  const app = await makeApp(t);
  const dataDir = await folder(t);
  for (const moment of ['a new database', 'a stopped one', 'an orphan']) {
    const starting = [1, 2, 3].map(() => app.spawn({ dataDir, settings: fast }));
    const answers = await Promise.all(starting.map((child) => child.answer));
    const winner = starting.find((_, index) => answers[index]?.url !== undefined);
    const losers = answers.filter(
      ({ error }) => error === `another clocktick is using ${dataDir} (pid ${winner?.child.pid})`,
    );
    t.equal(losers.length, 2, `${moment}: ${JSON.stringify(answers)}`);
    t.equal((await servers(dataDir)).length, 1);
    if (winner !== undefined) await (moment === 'a stopped one' ? kill(winner) : end(winner));
  }
  t.same(await readdir(dataDir), ['postgres']);
});
