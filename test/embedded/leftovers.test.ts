import { spawn } from 'node:child_process';
import { readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import postgres from 'postgres';
import t from 'tap';
import { readPidFile } from '../../src/embedded/server.js';
import { startEmbedded } from '../../src/embedded/start.js';
import { makeApp } from '../helper/app.js';
import { dataFolder, fast, isRoot, kill, query, serverIds, servers, until } from '../helper/embedded.js';

t.test('a stale pid file never stands in the way', async (t) => {
  const dataDir = await dataFolder(t);
  const app = await makeApp(t);
  const otherDir = await dataFolder(t);
  const other = await startEmbedded({ dataDir: otherDir, settings: fast });
  t.teardown(() => other.stop());
  const [otherServer = 0] = await servers(otherDir);
  const { uid, gid } = await serverIds();
  const bystander = spawn('sleep', ['3600'], isRoot ? { uid, gid } : {});
  t.teardown(() => bystander.kill('SIGKILL'));
  const pidFile = join(dataDir, 'postgres/data/postmaster.pid');

  const crash = async () => {
    const owner = app.spawn({ dataDir });
    const { url = '' } = await owner.answer;
    await query({ url }, async (sql) => {
      await sql`create table if not exists kept (n int)`;
      await sql`insert into kept values (1)`;
    });
    for (const pid of await servers(dataDir)) process.kill(pid, 'SIGKILL');
    await kill(owner);
  };
  const restart = async (title: string, rows: number) => {
    const db = await startEmbedded({ dataDir });
    await query(db, async (sql) => t.same(await sql`select count(*)::int as n from kept`, [{ n: rows }], title));
    await db.stop();
  };
  const replacePid = async (pid: number | undefined) => {
    await writeFile(pidFile, (await readFile(pidFile, 'utf8')).replace(/^\d+/, String(pid)));
  };

  await crash();
  await restart('whose process is gone', 1);
  await crash();
  await replacePid(bystander.pid);
  await restart('whose pid is now an unrelated process of the same user', 2);
  await crash();
  await replacePid(otherServer);
  await restart("whose pid is now another folder's server", 3);
  await crash();
  await writeFile(pidFile, '');
  await utimes(pidFile, 1, 1);
  await restart('that a power failure left empty', 4);
  await query(other, async (sql) => t.same(await sql`select 1 as n`, [{ n: 1 }], 'the other server was left alone'));
});

t.test('backends that outlive a killed server are waited for', async (t) => {
  const dataDir = await dataFolder(t);
  const app = await makeApp(t);
  const owner = app.spawn({ dataDir, settings: fast });
  const { url = '' } = await owner.answer;
  const sql = postgres(url, { max: 1 });
  t.teardown(() => sql.end({ timeout: 0 }));
  const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  const pid = backend?.pid ?? Number.NaN;
  process.kill(pid, 'SIGSTOP');
  for (const server of await servers(dataDir)) process.kill(server, 'SIGKILL');
  await kill(owner);
  // Without a pid file nothing but the shared memory tells of the backend.
  await rm(join(dataDir, 'postgres/data/postmaster.pid'));
  const lines: string[] = [];
  const starting = startEmbedded({ dataDir, settings: fast, log: (line) => lines.push(line) });
  const refusals = () => lines.filter((line) => line.includes('pre-existing shared memory block')).length;
  // A launch that is about to be refused is a process, too: only one that has become ready is a server beside it.
  const ready: string[] = [];
  await until(async () => {
    const file = await readPidFile(join(dataDir, 'postgres/data'));
    if (file?.status === 'ready') ready.push(file.text);
    return refusals() >= 3;
  });
  t.same(ready, [], 'no second server beside it');
  process.kill(pid, 'SIGCONT');
  const db = await starting;
  t.equal((await servers(dataDir)).length, 1);
  await db.stop();
});
