import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import postgres from 'postgres';
import t, { type Test } from 'tap';
import { query, until } from '../helper/embedded.js';
import { putData } from '../helper/prepared.js';
import { dataFolder, folder, leftRunning, type Run, start } from '../helper/program.js';

const run = promisify(execFile);

/** The server of a data folder, as its pid file says. */
async function serverOf(dataDir: string): Promise<{ pid: number; url: string }> {
  const [pid, , , port] = (await readFile(join(dataDir, 'postgres/data/postmaster.pid'), 'utf8')).split('\n');
  const password = await readFile(join(dataDir, 'postgres/password'), 'utf8');
  return { pid: Number(pid), url: `postgres://clocktick:${password}@127.0.0.1:${port}/clocktick` };
}

const put = (url: string, key: string, properties: object) =>
  fetch(`${url}/entities/friend:${key}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'friend', properties }),
  });

const isReady = async ({ url }: Run) => (await fetch(`${url}/health/ready`)).status === 200;

/** After an answer: with six clients some write is always under way, and the other tests still have their turn. */
const PAUSE_MS = { answered: 5, refused: 20 };

/** Starts a service that must start. */
async function served(t: Test, env: Record<string, string>): Promise<Run> {
  const service = await start(t, env);
  if (service.url === '') throw new Error(`it did not start: ${service.output()}`);
  return service;
}

/** Clients that write one after the other, each an entity of its own, and keep what they were told. */
function writers(
  t: Test,
  url: string,
  { count = 6, extra = () => ({}) }: { count?: number; extra?: () => object } = {},
) {
  const acknowledged = new Map<string, string>();
  const refused = new Set<string>();
  const problems = new Set<string>();
  let isOver = false;
  const one = async (client: number) => {
    for (let n = 1; !isOver; n++) {
      const value = `${client}-${n}`;
      const answer = await put(url, `client-${client}`, { value, ...extra() });
      const text = await answer.text();
      if (answer.ok) {
        acknowledged.set(value, text);
        await sleep(PAUSE_MS.answered);
        continue;
      }
      const { code }: { code: string } = JSON.parse(text);
      problems.add(`${answer.status} ${code} ${answer.headers.has('retry-after')}`);
      if (code !== 'outcome_unknown') refused.add(value);
      await sleep(PAUSE_MS.refused);
    }
  };
  const working = Promise.all(Array.from({ length: count }, (_, client) => one(client)));
  return {
    acknowledged,
    refused,
    /** Ends them, and holds what they were told against what is there. */
    check: async () => {
      isOver = true;
      await working;
      const kept = new Map<string, number>();
      for (let client = 0; client < count; client++) {
        let next: string | null = `/entities/friend:client-${client}/history/value?limit=1000`;
        while (next !== null) {
          const page: { items: { value: string; vclock: { from: number } }[]; next: string | null } = JSON.parse(
            await (await fetch(new URL(next, url))).text(),
          );
          for (const { value, vclock } of page.items) kept.set(value, vclock.from);
          next = page.next;
        }
      }
      t.same(
        [...acknowledged.keys()].filter((value) => !kept.has(value)),
        [],
        'nothing acknowledged is lost',
      );
      t.same(
        [...refused].filter((value) => kept.has(value)),
        [],
        'nothing refused has left a trace',
      );
      t.ok(refused.size > 0, `${refused.size} were refused, ${acknowledged.size} acknowledged`);
      for (const problem of problems)
        t.match(problem, /^503 (database_unavailable|overloaded|as_of_not_stable_yet|outcome_unknown)/);
      t.ok(problems.has('503 database_unavailable true'), 'with Retry-After');
      const last = [...acknowledged].slice(-20);
      for (const [value, text] of last) {
        const path = `/entities/friend:client-${value.split('-')[0]}?asOf=${kept.get(value)}`;
        t.equal(await (await fetch(url + path)).text(), text, `${value} as it was told`);
      }
    },
  };
}

/** Questions as of an instant, and their answers as they are now: the returned function asks again. */
async function recorded(t: Test, url: string) {
  const read = (path: string) => fetch(url + path);
  /** Before anything dies, a busy machine may keep a reader waiting until it is told to come again. */
  const patient = async (path: string): Promise<Response> => {
    const answer = await read(path);
    if (answer.status !== 503) return answer;
    await sleep(Number(answer.headers.get('retry-after')) * 1_000);
    return patient(path);
  };
  const first: { asOf: string } = JSON.parse(await (await patient('/entities?type=friend')).text());
  const paths = [
    `/entities?type=friend&asOf=${first.asOf}`,
    `/entities/friend:client-0?asOf=${first.asOf}`,
    `/types/friend/history/value?asOf=${first.asOf}`,
  ];
  const ask = (read: (path: string) => Promise<Response>) =>
    Promise.all(
      paths.map(async (path) => {
        const answer = await read(path);
        return { status: answer.status, etag: answer.headers.get('etag'), text: await answer.text() };
      }),
    );
  const before = await ask(patient);
  for (const { status } of before) t.equal(status, 200);
  return async () => t.same(await ask(read), before, 'the past has the same bytes');
}

t.test('kill -9 of the database under writes: it is back without a hand, and nothing told is untrue', async (t) => {
  const dataDir = await dataFolder(t);
  const service = await served(t, { DATA_DIR: dataDir, LOG_LEVEL: 'silent' });
  const clients = writers(t, service.url);
  await until(async () => clients.acknowledged.size > 100);
  const askAgain = await recorded(t, service.url);
  const { pid } = await serverOf(dataDir);
  const seen: number[] = [];
  for (const round of [1, 2]) {
    const server = await serverOf(dataDir);
    process.kill(server.pid, 'SIGKILL');
    await service.says(new RegExp(`(has died[\\s\\S]*){${round}}`));
    seen.push((await fetch(`${service.url}/health/live`)).status);
    await until(() => isReady(service));
    const before = clients.acknowledged.size;
    await until(async () => clients.acknowledged.size > before + 50);
    await service.says(new RegExp(`(is back after[\\s\\S]*){${round}}`));
  }
  t.same(seen, [200, 200], 'it is alive meanwhile');
  t.not((await serverOf(dataDir)).pid, pid);
  await clients.check();
  await askAgain();
  t.equal(service.output().match(/has died/g)?.length, 2, 'a line for each death');
  t.notMatch(service.output(), /FATAL/, 'and none for what each session says of it');
  service.process.kill('SIGTERM');
  t.equal(await service.ended, 0);
});

t.test('kill -9 of a backend: the server ends all sessions, and the service goes on', async (t) => {
  const dataDir = await dataFolder(t);
  const service = await served(t, { DATA_DIR: dataDir, LOG_LEVEL: 'silent' });
  const clients = writers(t, service.url);
  await until(async () => clients.acknowledged.size > 100);
  const askAgain = await recorded(t, service.url);
  const { pid, url } = await serverOf(dataDir);
  let backend = 0;
  await query({ url }, async (sql) => {
    const [found] = await sql<{ pid: number }[]>`
      SELECT pid FROM pg_stat_activity WHERE application_name = 'clocktick' AND datname = 'clocktick' LIMIT 1`;
    backend = found?.pid ?? 0;
  });
  process.kill(backend, 'SIGKILL');
  await service.says(/has ended its sessions: .*\n.* is back after/);
  await until(() => isReady(service));
  const before = clients.acknowledged.size;
  await until(async () => clients.acknowledged.size > before + 50);
  t.equal((await serverOf(dataDir)).pid, pid, 'the same server');
  await clients.check();
  await askAgain();
  service.process.kill('SIGTERM');
  t.equal(await service.ended, 0);
});

t.test('a database that cannot come back ends the service, with a sentence', async (t) => {
  const dataDir = await dataFolder(t);
  const service = await served(t, { DATA_DIR: dataDir, LOG_LEVEL: 'silent' });
  const { pid } = await serverOf(dataDir);
  // Without it no server starts, and this one needs it no more.
  await rename(join(dataDir, 'postgres/data/global/pg_control'), join(dataDir, 'pg_control'));
  process.kill(pid, 'SIGKILL');
  t.equal(await service.ended, 1);
  t.match(
    service.errors(),
    /^clocktick stops: The embedded database in \S+ does not keep running: it died or did not start 10 times .*pg_control.*\n$/,
  );
  t.notMatch(service.output(), /\n {4}at /, 'no stack');
  await rename(join(dataDir, 'pg_control'), join(dataDir, 'postgres/data/global/pg_control'));
  const again = await served(t, { DATA_DIR: dataDir, LOG_LEVEL: 'silent' });
  t.equal(await isReady(again), true, 'once it is mended, it starts');
  again.process.kill('SIGTERM');
  t.equal(await again.ended, 0);
});

t.test('SIGTERM while the database is being started again', async (t) => {
  const dataDir = await dataFolder(t);
  for (const milliseconds of [0, 400, 900]) {
    const service = await served(t, { DATA_DIR: dataDir, LOG_LEVEL: 'silent' });
    await put(service.url, 'rachel', { milliseconds });
    process.kill((await serverOf(dataDir)).pid, 'SIGKILL');
    if (milliseconds > 0) await service.says(/has died/);
    await sleep(milliseconds);
    service.process.kill('SIGTERM');
    t.equal(await service.ended, 0, `${milliseconds} ms after the death`);
    t.equal(service.errors(), '');
  }
  const service = await served(t, { DATA_DIR: dataDir, LOG_LEVEL: 'silent' });
  t.match(await (await fetch(`${service.url}/entities/friend:rachel`)).json(), { tick: 3 });
  service.process.kill('SIGTERM');
  t.equal(await service.ended, 0);
});

/** A small disk of its own, or why there is none. */
async function smallDisk(t: Test, megabytes: number): Promise<string> {
  const path = join(await folder(t), 'disk');
  await mkdir(path);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=755`, 'clocktick', path]);
  t.teardown(() => run('umount', ['-l', path]));
  return path;
}

const mountable = await run('unshare', ['-m', 'mount', '-t', 'tmpfs', 'clocktick', '/mnt']).then(
  () => true,
  () => false,
);
const onSmallDisk = { skip: mountable ? false : 'no small disk can be mounted here: it takes Linux, and root' };
t.test('a full disk: writes are refused, and go on once there is room', onSmallDisk, async (t) => {
  const disk = await smallDisk(t, 160);
  const dataDir = join(disk, 'data');
  await putData(dataDir);
  const service = await served(t, { DATA_DIR: dataDir, LOG_LEVEL: 'silent' });
  const clients = writers(t, service.url, { count: 3, extra: () => ({ bulk: randomBytes(30_000).toString('hex') }) });
  await until(async () => clients.acknowledged.size > 20);
  const askAgain = await recorded(t, service.url);
  const { bavail, bsize } = await statfs(disk);
  const ballast = join(disk, 'ballast');
  await writeFile(ballast, Buffer.alloc(Math.max(0, bavail * bsize - 8 * 2 ** 20))).catch(() => {});
  const refusedBefore = clients.refused.size;
  await until(async () => clients.refused.size > refusedBefore);
  // Soon the WAL needs another file. Here it does so at once, and the server panics.
  const { url } = await serverOf(dataDir);
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  t.teardown(() => sql.end({ timeout: 0 }));
  while (!/the disk is full/.test(service.output())) {
    await sql`SELECT pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()`.catch(() => {});
    await sleep(20);
  }
  await until(async () => !(await isReady(service)));
  t.equal((await fetch(`${service.url}/health/live`)).status, 200);
  await sleep(3_000);
  await rm(ballast);
  await until(() => isReady(service));
  const before = clients.acknowledged.size;
  await until(async () => clients.acknowledged.size > before + 5);
  await clients.check();
  await askAgain();
  service.process.kill('SIGTERM');
  t.equal(await service.ended, 0);
});

t.test('nothing of ours runs on', async (t) => t.same(leftRunning, []));
