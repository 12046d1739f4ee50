import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import t, { type Test } from 'tap';
import { checkDriver } from '../../../src/storage/engine/driver.js';
import { driverFolder, MENDS, type Mend, mendDriver, missingMends } from '../../../src/storage/engine/driver-mends.mjs';
import { openPools } from '../../../src/storage/engine/pools.js';
import { testDatabase } from '../../helper/database.js';
import { proxyBefore } from '../../helper/proxy.js';

/** A way to see that a mend is there, by its name; each fails without that mend, and only without that one. */
type Shows = Record<string, (t: Test, url: string) => Promise<void>>;

const SHOWS: Shows = {
  'a connection that closed forgets what it had still to write': async (t, url) => {
    const { sql, breakAll, sent } = await through(t, url);
    await sql`SELECT 1`;
    const broken = settled(sql`SELECT pg_sleep(60)`);
    await sent('pg_sleep');
    // The socket's error comes while the loop polls, its end after what was set to be done immediately. A statement that is
    // asked there is still to be written at the end.
    const between = broken.then(() => setImmediate()).then(() => settled(sql`SELECT 1`));
    await breakAll('reset');
    t.match(await broken, BROKEN);
    t.match(await answerOf(between), /./);
    t.equal(await answerOf(settled(sql`SELECT 1`)), 'answered');
  },

  'a connection that closed forgets the statement that was under way': async (t, url) => {
    const { sql, sent } = await through(t, url);
    const { sql: other } = await through(t, url);
    const [session] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
    const broken = settled(sql`SELECT pg_sleep(60)`);
    await sent('pg_sleep');
    await other`SELECT pg_terminate_backend(${session?.pid ?? 0}::int)`;
    t.match(await broken, BROKEN);
    t.equal(await settled(sql`SELECT 1`), 'answered', 'the next one is not told why the last one ended');
  },

  'a statement between the error of a socket and its end is rejected': async (t, url) => {
    const { sql, breakAll, sent } = await through(t, url);
    await sql`SELECT 1`;
    const between = settled(sql`SELECT pg_sleep(60)`).then(() => settled(sql`SELECT 1`));
    await sent('pg_sleep');
    await breakAll('reset');
    t.match(await answerOf(between), BROKEN);
    t.equal(await answerOf(settled(sql`SELECT 1`)), 'answered');
  },

  'a statement on a reserved connection that has closed is rejected': async (t, url) => {
    const { sql, breakAll, closed } = await through(t, url);
    let told: Promise<string> | undefined;
    const transaction = sql.begin(async (reserved) => {
      await reserved`SELECT 1`;
      void breakAll('end');
      await closed;
      told = settled(reserved`SELECT 2`);
      await told;
    });
    t.match(await settled(transaction), BROKEN);
    await setImmediate(); // begin() ends at once; the work goes on after that
    t.match(told && (await answerOf(told)), BROKEN);
    await setImmediate(); // it is written in such a turn, if at all
    t.equal(await answerOf(settled(sql`SELECT 1`)), 'answered');
  },

  'the rows of an answer are counted anew after an error': async (t, url) => {
    const { sql, breakAll, received, closed } = await through(t, url);
    await t.rejects(sql`SELECT 1 / (5 - n) FROM generate_series(1, 9) n`, { code: '22012' });
    t.same([...(await sql`SELECT 'x' AS x`)], [{ x: 'x' }], 'no holes at its beginning');

    const large = sql`SELECT repeat('x', 1000) AS x FROM generate_series(1, 100) UNION ALL SELECT pg_sleep(60)::text`;
    const broken = settled(large);
    // The first rows fill the server's buffer, so they are here before the rest is computed.
    await received(8192);
    await breakAll('reset');
    t.match(await broken, BROKEN);
    await closed;
    t.same([...(await sql`SELECT 'x' AS x`)], [{ x: 'x' }], 'nor after one that its connection took along');
  },

  'finding a connection takes no longer the more statements there were': async (t, url) => {
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
  },
};

t.test('the driver, mended', async (t) => {
  const { url } = await testDatabase(t);
  t.same(
    Object.keys(SHOWS),
    MENDS.map(({ name }) => name),
    'each mend has its test',
  );
  for (const [name, show] of Object.entries(SHOWS)) await t.test(name, (t) => show(t, url));
});

t.test('a start looks for each mend, in the files that are loaded', async (t) => {
  await checkDriver();
  const folder = await mkdtemp(join(tmpdir(), 'clocktick-driver-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await cp(driverFolder(), folder, { recursive: true });
  await checkDriver(folder);
  const undo = async ({ file, before, after }: Mend) => {
    const path = join(folder, file);
    await writeFile(
      path,
      (await readFile(path, 'utf8')).replace(after, () => before),
    );
  };
  for (const mend of MENDS) {
    await undo(mend);
    t.same(await missingMends(folder), [mend], mend.name);
    await t.rejects(checkDriver(folder), {
      name: 'Unfit',
      message: /faults that installing mends: run `node \/.*`\.$/,
    });
    await mendDriver(folder);
    await checkDriver(folder);
  }
  for (const mend of MENDS) await undo(mend);
  t.same(await missingMends(folder), MENDS);
  await mendDriver(folder);
  for (const file of new Set(MENDS.map(({ file }) => file))) {
    t.equal(await readFile(join(folder, file), 'utf8'), await readFile(join(driverFolder(), file), 'utf8'));
  }

  await writeFile(join(folder, 'queue.js'), '// of another version');
  await t.rejects(mendDriver(folder), { message: /queue\.js is not that of postgres\.js 3\.4\.9/ });
});

/** What a statement is told whose connection broke. */
const BROKEN = /^(ECONNRESET|CONNECTION_CLOSED|EPIPE|ERR_STREAM_DESTROYED|57P01)$/;

/** A client of one connection to the database, which can be broken. */
async function through(t: Test, url: string) {
  const proxy = await proxyBefore(t, url);
  let close = () => {};
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  const sql = postgres(proxy.url, { max: 1, fetch_types: false, backoff: () => 0, onclose: () => close() });
  t.teardown(() => sql.end({ timeout: 0 }));
  return { ...proxy, sql, closed };
}

const settled = (query: PromiseLike<unknown>): Promise<string> =>
  Promise.resolve(query).then(
    () => 'answered',
    (error: { code: string }) => error.code,
  );

/** Waiting for ever is what some of the faults are. */
const answerOf = async (told: Promise<string>): Promise<string> =>
  Promise.race([told, sleep(5_000, 'never', { ref: false })]);
