import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { testDatabase } from '../helper/database.js';
import { inFlight, start } from '../helper/program.js';
import { proxyBefore } from '../helper/proxy.js';

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

  // One service for what follows: each start takes a second of a processor.
  await sql`ALTER DATABASE ${sql(new URL(url).pathname.slice(1))} SET synchronous_commit = off`;
  const proxy = await proxyBefore(t, url);
  const service = await start(t, { DATABASE_URL: proxy.url, DRAIN_SECONDS: '2' });

  await t.test('a start names the settings of the server that are worth changing, and goes on', async (t) => {
    t.match(service.output(), /^clocktick: the database server's synchronous_commit is off: .*\.$/m);
    t.match(service.output(), /^clocktick: ready: /m);
  });

  await t.test('the log says when the database goes away and when it is back, a line each', async (t) => {
    t.equal((await fetch(`${service.url}/health/ready`)).status, 200);
    proxy.refuse(true);
    await proxy.breakAll('reset');
    await service.says(/"not ready"/);
    for (let n = 0; n < 50; n++) t.equal((await fetch(`${service.url}/entities/friend:rachel`)).status, 503);
    proxy.refuse(false);
    await service.says(/"ready again"/);
    const lines = service
      .output()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
      .filter(({ level }) => level > 30);
    t.match(lines, [
      { level: 40, msg: 'not ready', checks: { database: /^does not answer \(\w+\)$/ } },
      { level: 40, msg: 'ready again' },
    ]);
    t.equal(lines.length, 2, 'and nothing else');
    t.notMatch(service.output(), new RegExp(`${new URL(url).password}|postgres://`));
  });

  await t.test(
    'told to stop, it says that it is not ready, and serves what comes until DRAIN_SECONDS are over',
    async (t) => {
      t.equal((await fetch(`${service.url}/health/ready`)).status, 200);
      const soon = new Date(Date.now() + 900).toISOString();
      const { answer } = await inFlight(`${service.url}/entities/friend:rachel?asOf=${soon}`);
      service.process.kill('SIGTERM');
      await service.says(/SIGTERM: finishing/);
      const ready = await fetch(`${service.url}/health/ready`);
      t.match(
        { status: ready.status, body: await ready.json() },
        {
          status: 503,
          body: { code: 'not_ready', errors: [{ path: 'draining', message: 'the service is stopping' }] },
        },
      );
      t.equal((await fetch(`${service.url}/health/live`)).status, 200);
      t.equal((await fetch(`${service.url}/entities/friend:rachel`)).status, 200, 'what still comes is served');
      t.equal((await answer).status, 200, 'and so is what was in flight');
      t.equal(await service.ended, 0);
      await t.rejects(fetch(`${service.url}/health/live`));
    },
  );

  await t.test('a start that cannot succeed says why in a sentence, and leaves nothing running', async (t) => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    t.teardown(() => taken.close());
    const address = taken.address();
    const port = String(typeof address === 'object' ? address?.port : '');
    // It takes the connection, and answers what no PostgreSQL would.
    const other = createHttpServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    t.teardown(() => other.close());
    const otherAddress = other.address();
    const httpPort = typeof otherAddress === 'object' ? otherAddress?.port : '';
    const latin = new URL(url);
    const latinName = `${latin.pathname.slice(1)}_latin`;
    await sql`CREATE DATABASE ${sql(latinName)} TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'`;
    t.teardown(() => sql`DROP DATABASE ${sql(latinName)} WITH (FORCE)`);
    latin.pathname = `/${latinName}`;
    const cases: [env: Record<string, string>, says: RegExp][] = [
      [{ DATABASE_URL: 'nonsense hunter2' }, /DATABASE_URL must be a URL such as postgres:/],
      [{ DATABASE_URL: 'postgres://me:hunter2@127.0.0.1:1/x' }, /database of DATABASE_URL does not answer/],
      [
        { DATABASE_URL: `postgres://me:hunter2@127.0.0.1:${httpPort}/x` },
        /did not answer as PostgreSQL does within 11 seconds/,
      ],
      [{ DATABASE_URL: `${url}?sslmode=require` }, /broke the connection.*sslmode/],
      [
        { DATABASE_URL: 'postgres://me:hunter2@nobody.invalid/x' },
        /nobody\.invalid\. Look at the hosts in DATABASE_URL/,
      ],
      [{ DATABASE_URL: '', DATA_DIR: fileURLToPath(import.meta.url) }, /DATA_DIR must be a folder/],
      // Linux has no folders to be made here, and Node's own mkdir would try for ever.
      ...(process.platform === 'linux'
        ? ['/proc/x', '/proc/x/y'].map((path): [Record<string, string>, RegExp] => [
            { DATABASE_URL: '', DATA_DIR: path },
            /mkdir '\/proc\/x'\. DATA_DIR must be a folder/,
          ])
        : []),
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
