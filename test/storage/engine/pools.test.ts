import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { openPools } from '../../../src/storage/engine/pools.js';
import { testDatabase } from '../../helper/database.js';

/*
 * What src/storage/engine/mend-postgres.mjs mends in the driver, thing by thing; each of these fails with postgres.js 3.4.9 as it
 * is published.
 */
t.test('the driver', async (t) => {
  const { url } = await testDatabase(t);

  await t.test('an answer that broke off after its first rows leaves no holes in the next one', async (t) => {
    const database = openPools(url);
    t.teardown(database.close);
    const sql = database.connect();
    t.teardown(() => sql.end({ timeout: 1 }));
    await t.rejects(sql`SELECT 1 / (5 - n) FROM generate_series(1, 9) n`, { code: '22012' });
    t.same([...(await sql`SELECT 'x' AS x`)], [{ x: 'x' }]);
  });

  await t.test('an answer that its connection took along leaves no holes in the first after it', async (t) => {
    const { proxy, cut } = await resettable(t, url);
    const sql = openPools(proxy).connect();
    t.teardown(() => sql.end({ timeout: 0 }));
    const rows = sql`SELECT repeat('x', 1000) AS x FROM generate_series(1, 100) UNION ALL SELECT pg_sleep(60)::text`;
    const broken = rows.then(
      () => 'answered',
      (error: { code: string }) => error.code,
    );
    // The first rows fill the server's buffer, so they are here before the rest is computed.
    await cut({ after: 8192 });
    t.match(await broken, /^(ECONNRESET|CONNECTION_CLOSED)$/);
    t.same([...(await sql`SELECT 'x' AS x`)], [{ x: 'x' }]);
  });

  await t.test('a statement that comes between a socket’s error and its end is answered', async (t) => {
    const { proxy, cut } = await resettable(t, url);
    const sql = openPools(proxy).connect();
    t.teardown(() => sql.end({ timeout: 0 }));
    await sql`SELECT 1`;
    const settled = (query: PromiseLike<unknown>) =>
      query.then(
        () => 'answered',
        (error: { code: string }) => error.code,
      );
    const chain = settled(sql`SELECT pg_sleep(60)`).then(() => settled(sql`SELECT 1`));
    await cut({ after: 0 });
    const timeout = new Promise((resolve) => setTimeout(resolve, 5000, 'never').unref());
    t.match(
      await Promise.race([chain, timeout]),
      /^(answered|ECONNRESET|CONNECTION_CLOSED|EPIPE|ERR_STREAM_DESTROYED)$/,
    );
    t.equal(await Promise.race([settled(sql`SELECT 1`), timeout]), 'answered');
  });

  await t.test('finding a connection takes no longer the more statements there were', async (t) => {
    const database = openPools(url);
    t.teardown(database.close);
    await Promise.all(Array.from({ length: 20 }, () => database.reading((sql) => sql`SELECT pg_sleep(0.05)`)));
    const searched: number[] = [];
    const { indexOf } = Array.prototype;
    t.intercept(Array.prototype, 'indexOf', {
      value(this: unknown[], ...sought: [item: unknown, from?: number]) {
        searched.push(this.length);
        return indexOf.apply(this, sought);
      },
    });
    for (let n = 0; n < 300; n++) await database.reading((sql) => sql`SELECT 1`);
    t.ok(searched.length >= 300, 'the pool is watched');
    t.ok(Math.max(...searched) < 100, `of 10 connections it searched ${Math.max(...searched)}`);
  });
});

/** The database behind a proxy whose connections can be reset, after so many bytes came back from the server. */
async function resettable(t: Test, url: string) {
  const sockets = new Set<Socket>();
  let received = 0;
  let enough: (() => void) | undefined;
  const target = new URL(url);
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    sockets.add(client);
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.pipe(upstream);
    upstream.on('data', (data) => {
      received += data.length;
      client.write(data);
      enough?.();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  const proxy = new URL(url);
  proxy.host = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;

  const cut = async ({ after }: { after: number }): Promise<void> => {
    const start = received;
    await new Promise<void>((resolve) => {
      enough = () => {
        if (received - start > after) setTimeout(resolve, 50);
      };
      if (after === 0) setTimeout(resolve, 100);
    });
    for (const socket of sockets) socket.resetAndDestroy();
    sockets.clear();
  };
  return { proxy: proxy.href, cut };
}
