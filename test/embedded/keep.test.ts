import { once } from 'node:events';
import { rename } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { hasCode } from '../../src/embedded/files.js';
import { keepRunning } from '../../src/embedded/keep.js';
import { openServerLog } from '../../src/embedded/log.js';
import { type EmbeddedDatabase, startEmbedded } from '../../src/embedded/start.js';
import { makeApp } from '../helper/app.js';
import { dataFolder, end, fast, folder, kill, query, servers, until } from '../helper/embedded.js';

const killServer = async (dataDir: string) => {
  const found = await servers(dataDir);
  for (const pid of found) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (!hasCode(error, 'ESRCH')) throw error; // it has died meanwhile, by itself
    }
  }
  return found;
};

/** Why a database was lost. (The service that waits for that lives by its requests.) */
const lostOf = ({ lost }: Pick<EmbeddedDatabase, 'lost'>) => {
  const alive = setInterval(() => {}, 1_000);
  return lost.finally(() => clearInterval(alive));
};

/** Pauses between tries, for a server that is tried ten times. */
const QUICK = { shortest: 20, longest: 100 };

t.test('a server that was killed is back at its port, with its lock, whoever launched it', async (t) => {
  const app = await makeApp(t);
  const dataDir = await dataFolder(t);
  const crashed = app.spawn({ dataDir, settings: fast });
  const { url } = await crashed.answer;
  await kill(crashed);
  const said: string[] = [];
  const back = () => said.filter((line) => line.includes('is back')).length;
  const db = await startEmbedded({ dataDir, settings: fast, say: (line) => said.push(line) });
  t.equal(db.url, url, 'taken over from a service that had crashed');
  for (const round of [1, 2, 3]) {
    await query(db, async (sql) => {
      await sql`create table if not exists kept (n int)`;
      await sql`insert into kept values (${round})`;
    });
    const dead = await killServer(dataDir);
    t.equal(dead.length, 1);
    await until(async () => back() === round);
    const [server, ...others] = await servers(dataDir);
    t.same(others, [], 'one server');
    t.notSame([server], dead, 'another one');
    await query(db, async (sql) => t.same(await sql`select max(n)::int as n from kept`, [{ n: round }]));
    await t.rejects(startEmbedded({ dataDir, settings: fast }), { message: /^another clocktick is using/ });
  }
  t.match(said, [
    ...[1, 2, 3].flatMap(() => [
      /^the embedded database has died: .*somebody killed it.*; starting it again$/,
      /^the embedded database is back after [\d.]+ s$/,
    ]),
  ]);
  t.equal(said.length, 6, 'one line each');
  await db.stop();
  t.same(await servers(dataDir), []);
});

/** The backend of the session that holds the lock. */
async function ownerOf(db: { url: string }): Promise<number> {
  let owner = 0;
  await query(db, async (sql) => {
    const [found] = await sql<{ pid: number }[]>`
      select pid from pg_stat_activity where application_name like 'clocktick owner %'`;
    owner = found?.pid ?? 0;
  });
  return owner;
}

t.test('a server that restarts itself after a backend crashed is left to, and owned again', async (t) => {
  const dataDir = await dataFolder(t);
  const said: string[] = [];
  const db = await startEmbedded({ dataDir, settings: fast, say: (line) => said.push(line) });
  t.teardown(() => db.stop());
  const before = await servers(dataDir);
  const owner = await ownerOf(db);
  process.kill(owner, 'SIGKILL');
  await until(async () => said.some((line) => line.includes('is back')));
  t.match(said[0], /has ended its sessions: .*terminated by signal 9.*; waiting for it$/);
  t.same(await servers(dataDir), before);
  await query(db, async (sql) => t.same(await sql`select 1 as n`, [{ n: 1 }]));
  await t.rejects(startEmbedded({ dataDir, settings: fast }), { message: /^another clocktick is using/ });
});

t.test('a death is noticed although the session that holds the lock hangs', async (t) => {
  const dataDir = await dataFolder(t);
  const said: string[] = [];
  const db = await startEmbedded({ dataDir, settings: fast, say: (line) => said.push(line) });
  t.teardown(() => db.stop());
  const owner = await ownerOf(db);
  process.kill(owner, 'SIGSTOP');
  await killServer(dataDir);
  await until(async () => said.some((line) => line.includes('does not start')));
  process.kill(owner, 'SIGCONT');
  await until(async () => said.some((line) => line.includes('is back')));
  t.match(said, [/has died/, /does not start: FATAL: pre-existing shared memory block/, /is back/]);
  t.equal((await servers(dataDir)).length, 1);
});

t.test('how long a server is tried to be started again depends on why it does not start', async (t) => {
  const cases: [why: string, times: number, says: RegExp][] = [
    ['2026-01-01 00:00:00.000 UTC [7] FATAL:  out of luck\n(exit 1)', 10, /at last: FATAL: out of luck$/],
    [
      '2026-01-01 00:00:00.000 UTC [7] PANIC:  x: No space left on device\n(exit 1)',
      100,
      /the disk is full \(PANIC: x/,
    ],
    ['spawn postgres EACCES', 10, /at last: spawn postgres EACCES$/],
  ];
  for (const [why, times, says] of cases) {
    const dataDir = await folder(t);
    const said: string[] = [];
    const serverLog = openServerLog(join(dataDir, 'server.log'), { log: () => {}, news: () => {} });
    t.teardown(serverLog.close);
    const keeping = keepRunning(
      { pid: 2 ** 22 + 1, port: 1, isHeld: () => false, release: async () => {} },
      {
        data: dataDir,
        serverLog,
        say: (line) => said.push(line),
        signal: new AbortController().signal,
        own: async (_lost, failed) => {
          for (;;) await failed(why);
        },
        stop: async () => {},
      },
      { pauses: { shortest: 0, longest: 0 } },
    );
    await t.rejects(keeping, { name: 'Unfit', message: new RegExp(`did not start ${times} times within 1 min`) });
    await t.rejects(keeping, { message: says });
    t.equal(said.length, 2, 'what stands in the way is said once');
  }
});

t.test('a server that ends its sessions again and again is given up, and stopped', async (t) => {
  const dataDir = await folder(t);
  const serverLog = openServerLog(join(dataDir, 'server.log'), { log: () => {}, news: () => {} });
  t.teardown(serverLog.close);
  const stopped: number[] = [];
  const server = { pid: process.pid, port: 1, isHeld: () => false, release: async () => {} };
  const keeping = keepRunning(
    server,
    {
      data: dataDir,
      serverLog,
      say: () => {},
      signal: new AbortController().signal,
      own: async () => server,
      stop: async (pid) => {
        stopped.push(pid);
      },
    },
    { pauses: { shortest: 0, longest: 0 } },
  );
  await t.rejects(keeping, { name: 'Unfit', message: /did not start 10 times/ });
  t.same(stopped, [process.pid]);
});

t.test('a stop in the middle of a restart ends it, and no restart begins after a stop', async (t) => {
  const dataDir = await dataFolder(t);
  for (const milliseconds of [0, 200, 500, 1_000]) {
    const said: string[] = [];
    const db = await startEmbedded({ dataDir, settings: fast, say: (line) => said.push(line) });
    await query(db, async (sql) => {
      await sql`create table if not exists kept (n int)`;
      await sql`insert into kept select generate_series(1, 100000)`;
    });
    await killServer(dataDir);
    await sleep(milliseconds);
    await db.stop();
    t.same(await servers(dataDir), [], `${milliseconds} ms after the death: ${said.join('; ')}`);
    const told = said.length;
    await sleep(300);
    t.same(await servers(dataDir), []);
    t.equal(said.length, told);
  }
});

t.test('a server that cannot be had again is given up, with the reason', async (t) => {
  await t.test('somebody else has its port', async (t) => {
    const dataDir = await dataFolder(t);
    const said: string[] = [];
    const db = await startEmbedded({ dataDir, settings: fast, pauses: QUICK, say: (line) => said.push(line) });
    await killServer(dataDir);
    const port = Number(new URL(db.url).port);
    const squatter = createServer();
    t.teardown(() => squatter.close());
    await until(async () => {
      squatter.listen(port, '127.0.0.1');
      await once(squatter, 'listening');
      return true;
    });
    t.match(await lostOf(db), {
      name: 'Unfit',
      message: /does not keep running: it died or did not start 10 times .* could not create any TCP\/IP sockets/,
    });
    t.equal(said.length, 2, 'one line for the death, one for what stands in the way');
    await db.stop();
    t.same(await servers(dataDir), []);
  });

  await t.test('its data is gone', async (t) => {
    const dataDir = await dataFolder(t);
    const db = await startEmbedded({ dataDir, settings: fast, pauses: QUICK });
    const data = join(dataDir, 'postgres/data');
    await rename(data, `${data}-away`);
    await killServer(dataDir);
    t.match(await lostOf(db), { message: /does not keep running: .*postgres\/data/ });
    await db.stop();
  });

  await t.test('it dies again and again', async (t) => {
    const dataDir = await dataFolder(t);
    const db = await startEmbedded({ dataDir, settings: fast, pauses: QUICK });
    const killing = setInterval(() => void killServer(dataDir), 50);
    t.match(await lostOf(db), { message: /it died or did not start 10 times within \d min/ });
    clearInterval(killing);
    await db.stop();
  });

  await t.test('another clocktick has taken the folder over, and keeps its server', async (t) => {
    const app = await makeApp(t);
    const dataDir = await dataFolder(t);
    const first = app.spawn({ dataDir, settings: fast });
    await first.answer;
    first.child.kill('SIGSTOP');
    await killServer(dataDir);
    const second = app.spawn({ dataDir, settings: fast });
    const { url = '' } = await second.answer;
    first.child.kill('SIGCONT');
    t.equal(await first.lost, `another clocktick is using ${dataDir} (pid ${second.child.pid})`);
    await end(first);
    await query({ url }, async (sql) => t.same(await sql`select 1 as n`, [{ n: 1 }]));
    await end(second);
    t.same(await servers(dataDir), []);
  });
});
