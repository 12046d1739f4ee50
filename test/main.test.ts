import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import t from 'tap';
import { testDatabase } from './helper/database.js';
import { assembleImage } from './helper/dockerfile.js';
import { folder, leftRunning, MAIN, ROOT, start } from './helper/program.js';
import { playSteps } from './helper/readme.js';

t.test('npm start, then the tour of the README gives the answers printed there', async (t) => {
  const service = await start(t, { DATA_DIR: join(await folder(t), 'data') }, ['npm', 'start']);
  t.match(service.output(), 'embedded PostgreSQL');
  const { steps, actual } = await playSteps('A first tour', service.url, (answer, expected, what) =>
    t.equal(answer, expected, what),
  );
  t.ok(steps >= 7);
  t.equal(new Set(actual.values()).size, actual.size, 'what differs in the README differs here');
  service.process.kill('SIGTERM');
  await service.ended;
  await t.rejects(fetch(`${service.url}/health/live`), 'npm passes the signal on, and nothing runs on');
});

t.test('the embedded database', async (t) => {
  const dataDir = join(await folder(t), 'data');
  let service = await start(t, { DATA_DIR: dataDir });
  const friend = () => fetch(`${service.url}/entities/friend:rachel`).then((response) => response.text());
  const body = JSON.stringify({ type: 'friend', key: 'rachel', properties: { name: 'Rachel' } });
  const made = await fetch(`${service.url}/entities`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  t.equal(made.status, 201);
  const text = await made.text();

  await t.test('a second instance on the same data is refused, and does no harm', async (t) => {
    const second = await start(t, { DATA_DIR: dataDir });
    t.equal(await second.ended, 1);
    t.match(second.output(), /cannot start: another clocktick is using/);
    t.equal(await friend(), text);
  });

  await t.test('what callers keep does not reach the log, not even where the database refuses it', async (t) => {
    const write = (properties: object) =>
      fetch(`${service.url}/entities/friend:lock`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'friend', properties }),
      });
    t.equal((await write({ secret: 'TOPSECRET' })).status, 201);
    t.equal((await write({ secret: 'TOPSECRET', large: Array(40_000).fill(5e-324) })).status, 413);
    await sleep(200);
    const log = await readFile(join(dataDir, 'postgres/server.log'), 'utf8');
    t.match(log, 'violates check constraint', 'it was refused by the database, and logged');
    t.notMatch(log, 'TOPSECRET');
    t.notMatch(service.output(), 'TOPSECRET');
  });

  await t.test('SIGTERM: a request in flight is answered, then the database stops', async (t) => {
    const soon = new Date(Date.now() + 800).toISOString();
    const waiting = fetch(`${service.url}/entities/friend:rachel?asOf=${soon}`);
    await sleep(200);
    service.process.kill('SIGTERM');
    const answer = await waiting;
    t.equal(answer.status, 200);
    t.equal(await answer.text(), text);
    t.equal(await service.ended, 0);
    await t.rejects(fetch(`${service.url}/health/live`));
    t.notOk((await readdir(join(dataDir, 'postgres/data'))).includes('postmaster.pid'));
  });

  await t.test('the data is there after a restart, and after a crash', async (t) => {
    service = await start(t, { DATA_DIR: dataDir, REQUIRE_CONDITION: 'true' });
    t.equal(await friend(), text);
    const unseen = await fetch(`${service.url}/entities/friend:rachel`, { method: 'DELETE' });
    t.equal(unseen.status, 428, 'REQUIRE_CONDITION is heeded');
    service.process.kill('SIGKILL');
    await service.ended;
    service = await start(t, { DATA_DIR: dataDir });
    t.equal(await friend(), text);
  });

  await t.test('SIGINT stops it too, with the whole process group as from a terminal', async (t) => {
    const group = spawn(process.execPath, [MAIN], {
      cwd: ROOT,
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '', PORT: '0', DATA_DIR: join(dataDir, '../other') },
    });
    let output = '';
    group.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
    const ended = once(group, 'exit');
    while (!/: ready: \S+\n/.test(output)) await sleep(20);
    const url = /: ready: (\S+)/.exec(output)?.[1] ?? '';
    const waiting = fetch(`${url}/entities/friend:nobody?asOf=${new Date(Date.now() + 800).toISOString()}`);
    await sleep(200);
    process.kill(-(group.pid ?? 0), 'SIGINT');
    await sleep(20);
    process.kill(-(group.pid ?? 0), 'SIGINT'); // npm passes the terminal's signal on once more
    t.equal((await waiting).status, 404, 'the database was still there to say so');
    t.same(await ended, [0, null]);
  });
});

t.test('DATABASE_URL', async (t) => {
  const { url, sql } = await testDatabase(t, 'template0');

  await t.test('many instances start at once on one empty database and share it', async (t) => {
    const services = await Promise.all([1, 2, 3].map(() => start(t, { DATABASE_URL: url, LOG_LEVEL: 'silent' })));
    const [first, ...others] = services;
    t.match(first?.output(), 'PostgreSQL of DATABASE_URL');
    t.notMatch(first?.output(), new URL(url).password);
    const body = JSON.stringify({ type: 'friend', key: 'rachel', properties: {} });
    const made = await fetch(`${first?.url}/entities`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const text = await made.text();
    for (const other of others) t.equal(await (await fetch(`${other.url}/entities/friend:rachel`)).text(), text);
    for (const service of services) service.process.kill('SIGTERM');
    t.same(await Promise.all(services.map((service) => service.ended)), [0, 0, 0]);
    t.equal((await sql`SELECT 1 AS one`).length, 1, 'a database that is not ours goes on');
  });

  await t.test('a start that cannot succeed says why in a sentence, and leaves nothing running', async (t) => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    t.teardown(() => taken.close());
    const address = taken.address();
    const port = String(typeof address === 'object' ? address?.port : '');
    const latin = new URL(url);
    const latinName = `${latin.pathname.slice(1)}_latin`;
    await sql`CREATE DATABASE ${sql(latinName)} TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'`;
    t.teardown(() => sql`DROP DATABASE ${sql(latinName)} WITH (FORCE)`);
    latin.pathname = `/${latinName}`;
    const cases: [env: Record<string, string>, says: RegExp][] = [
      [{ PORT: 'http' }, /PORT must be a number from 0 to 65535\./],
      [{ PORT: '70000' }, /PORT must be a number/],
      [{ LOG_LEVEL: 'loud' }, /LOG_LEVEL must be one of/],
      [{ REQUIRE_CONDITION: 'yes' }, /REQUIRE_CONDITION must be true or false/],
      [{ DATABASE_URL: 'mysql://root:hunter2@localhost/x' }, /DATABASE_URL must be a URL such as postgres:/],
      [{ DATABASE_URL: 'nonsense hunter2' }, /DATABASE_URL must be a URL/],
      [{ DATABASE_URL: 'postgres://me:hunter2@127.0.0.1:1/x' }, /database of DATABASE_URL does not answer/],
      [{ DATABASE_URL: latin.href }, /encoding is LATIN1: clocktick needs UTF8/],
      [{ DATABASE_URL: url, PORT: port }, /address already in use.*Set PORT/],
    ];
    await Promise.all(
      cases.map(async ([env, says]) => {
        const service = await start(t, { LOG_LEVEL: 'silent', ...env });
        t.equal(await service.ended, 1);
        t.match(service.output(), says);
        t.notMatch(service.output(), /hunter2|\n {4}at /, 'no secret, no stack');
      }),
    );
  });
});

t.test('a container: what the Dockerfile copies is all that the service needs', async (t) => {
  const app = join(await folder(t), 'app');
  const { command, healthcheck } = await assembleImage(app);
  const started = [process.execPath, ...command.slice(1).map((file) => join(app, file))];
  const { url } = await testDatabase(t, 'template0');
  const service = await start(t, { DATABASE_URL: url, LOG_LEVEL: 'silent' }, started);
  t.match(service.output(), /^clocktick: ready: /);
  t.equal((await fetch(`${service.url}/health/ready`)).status, 200);
  const env = { ...process.env, NODE_OPTIONS: '', PORT: new URL(service.url).port };
  const health = () =>
    promisify(execFile)(process.execPath, healthcheck.slice(1), { env }).then(
      () => 'healthy',
      ({ code }) => `exit ${code}`,
    );
  t.equal(await health(), 'healthy');
  service.process.kill('SIGTERM');
  t.equal(await service.ended, 0);
  t.equal(await health(), 'exit 1');

  const without = await start(t, {}, started);
  t.equal(await without.ended, 1);
  t.match(
    without.output(),
    /^clocktick cannot start: DATABASE_URL is not set, and there is no embedded database here\./,
  );
});

t.test('nothing of ours runs on', async (t) => t.same(leftRunning, []));
