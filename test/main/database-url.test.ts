import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { testDatabase } from '../helper/database.js';
import { start } from '../helper/program.js';

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

  await t.test('a start names the settings of the server that are worth changing, and goes on', async (t) => {
    await sql`ALTER DATABASE ${sql(new URL(url).pathname.slice(1))} SET synchronous_commit = off`;
    const service = await start(t, { DATABASE_URL: url, LOG_LEVEL: 'silent' });
    t.match(service.output(), /^clocktick: the database server's synchronous_commit is off: .*\.$/m);
    t.match(service.output(), /^clocktick: ready: /m);
  });

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
      [{ PORT: 'http' }, /PORT must be a number from 0 to 65535\./],
      [{ PORT: '70000' }, /PORT must be a number/],
      [{ LOG_LEVEL: 'loud' }, /LOG_LEVEL must be one of/],
      [{ REQUIRE_CONDITION: 'yes' }, /REQUIRE_CONDITION must be true or false/],
      [{ PUBLIC_URL: 'example.org' }, /PUBLIC_URL must be a URL such as https:/],
      [{ PUBLIC_URL: 'ftp://example.org' }, /PUBLIC_URL must be a URL/],
      [{ PUBLIC_URL: 'https://example.org/?a=1' }, /PUBLIC_URL must be a URL/],
      [{ PUBLIC_URL: 'https://me:hunter2@example.org' }, /PUBLIC_URL must be a URL/],
      [{ DATABASE_URL: 'mysql://root:hunter2@localhost/x' }, /DATABASE_URL must be a URL such as postgres:/],
      [{ DATABASE_URL: 'nonsense hunter2' }, /DATABASE_URL must be a URL/],
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
