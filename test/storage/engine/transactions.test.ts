import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t, { type Test } from 'tap';
import { openPools, type Sql } from '../../../src/storage/engine/pools.js';
import { connectOnce } from '../../../src/storage/engine/transactions.js';
import { migrateDatabase } from '../../../src/storage/migrate.js';
import { storageOf } from '../../../src/storage/open.js';
import { Refusal } from '../../../src/temporal/refusal.js';
import { testDatabase } from '../../helper/database.js';
import { type DatabaseProxy, proxyBefore, type Way } from '../../helper/proxy.js';
import { serve } from '../../helper/service.js';

/*
 * A transaction whose connection breaks. The driver would connect anew and send the next statement outside the
 * transaction, where it is kept at once: by a dry run, too.
 */

const WAYS: Way[] = ['reset', 'end'];
const LOSES = ['statement', 'answer'] as const;
const ENDS = ['ROLLBACK', 'COMMIT'] as const;

/** What the work does between a break and its next statement: the driver has seen nothing of it yet, or some, or all. */
const PAUSES: Record<string, () => unknown> = {
  'at once': () => {},
  'in the next turn': () => setImmediate(),
  'after a while': () => sleep(30),
};

t.test('a transaction whose connection breaks', async (t) => {
  const { url, sql } = await testDatabase(t);
  await sql`CREATE TABLE public.made (run int, n int)`;
  let runs = 0;

  /** Runs a transaction of three statements; gives how it ended for the caller, and what of it is kept. */
  const run = async (
    proxy: DatabaseProxy,
    end: (typeof ENDS)[number],
    between: () => Promise<void> = async () => {},
  ) => {
    runs += 1;
    const run = runs;
    const before = proxy.connections();
    const database = openPools(proxy.url);
    const told = await database
      .transaction(end, async (sql) => {
        await sql`SELECT FROM public.made WHERE run = ${run} FOR UPDATE`;
        await sql`INSERT INTO public.made VALUES (${run}, 1)`;
        await between();
        // By nobody awaited one by one: what waits in the driver must not go out later either.
        await Promise.all([2, 3].map((n) => sql`/* last */ INSERT INTO public.made VALUES (${run}, ${n})`));
        return 'done';
      })
      .catch((error: unknown) => (error instanceof Refusal ? error.code : codeOf(error)));
    await database.close();
    await settled(sql);
    const kept = await sql<{ n: number }[]>`SELECT n FROM public.made WHERE run = ${run} ORDER BY n`;
    return { told, kept: kept.map(({ n }) => n), connections: proxy.connections() - before };
  };

  /** Nothing of a dry run is kept, and of a write all or nothing, and what the caller is told is true. */
  const check = (t: Test, end: string, { told, kept, connections }: Awaited<ReturnType<typeof run>>, what: string) => {
    t.equal(connections, 1, `${what}: connected once`);
    if (end === 'ROLLBACK') t.same(kept, [], `${what}: nothing is kept`);
    else t.ok(kept.length === 0 || kept.length === 3, `${what}: kept wholly or not at all: ${kept}`);
    if (end === 'COMMIT' && told === 'done') t.equal(kept.length, 3, `${what}: is kept`);
    if (told === 'database_unavailable') t.same(kept, [], `${what}: is not kept`);
  };

  for (const end of ENDS) {
    for (const way of WAYS) {
      const proxy = await proxyBefore(t, url);
      await t.test(`${end}, ${way}`, async (t) => {
        const whole = await run(proxy, end);
        t.same(whole, { told: 'done', kept: end === 'COMMIT' ? [1, 2, 3] : [], connections: 1 });

        for (const at of ['BEGIN', 'FOR UPDATE', 'VALUES', '/* last */']) {
          for (const loses of LOSES) {
            proxy.breakNext({ at, loses, way });
            const outcome = await run(proxy, end);
            check(t, end, outcome, `${at} loses its ${loses}`);
            t.equal(outcome.told, 'database_unavailable', `${at} loses its ${loses}: the caller knows`);
          }
        }

        for (const [pause, wait] of Object.entries(PAUSES)) {
          const outcome = await run(proxy, end, async () => {
            void proxy.breakAll(way);
            await wait();
          });
          check(t, end, outcome, `between statements, then ${pause}`);
          t.equal(outcome.told, 'database_unavailable', `between statements, then ${pause}: the caller knows`);
        }

        for (const loses of LOSES) {
          proxy.breakNext({ at: end, loses, way });
          const outcome = await run(proxy, end);
          check(t, end, outcome, `${end} loses its ${loses}`);
          t.equal(outcome.told, end === 'ROLLBACK' ? 'done' : 'outcome_unknown', `${end} loses its ${loses}`);
        }
      });
    }
  }

  await t.test('the server ends the session between two statements', async (t) => {
    for (const end of ENDS) {
      for (const [pause, wait] of Object.entries(PAUSES)) {
        const proxy = await proxyBefore(t, url);
        const outcome = await run(proxy, end, async () => {
          await endSessions(sql);
          await wait();
        });
        check(t, end, outcome, `${end}, ${pause}`);
        t.equal(outcome.told, 'database_unavailable', `${end}, ${pause}`);
      }
    }
  });

  await t.test('it breaks after the last statement and before the end', async (t) => {
    for (const way of WAYS) {
      for (const end of ENDS) {
        for (const [pause, wait] of Object.entries(PAUSES)) {
          const proxy = await proxyBefore(t, url);
          const database = openPools(proxy.url);
          runs += 1;
          const run = runs;
          const told = await database
            .transaction(end, async (sql) => {
              await sql`INSERT INTO public.made VALUES (${run}, 1)`;
              await proxy.breakAll(way);
              await wait();
              return 'done';
            })
            .catch((error: unknown) => (error instanceof Refusal ? error.code : codeOf(error)));
          await database.close();
          await settled(sql);
          const what = `${end}, ${way}, ${pause}`;
          t.same([...(await sql`SELECT n FROM public.made WHERE run = ${run}`)], [], `${what}: nothing is kept`);
          t.equal(proxy.connections(), 1, `${what}: connected once`);
          const known =
            pause === 'after a while' ? /^database_unavailable$/ : /^(database_unavailable|outcome_unknown)$/;
          t.match(told, end === 'COMMIT' ? known : /^(done|database_unavailable)$/, what);
        }
      }
    }
  });

  await t.test('the driver never ends the connection itself, whatever the URL asks for', async (t) => {
    const proxy = await proxyBefore(t, `${url}?idle_timeout=0.01&max_lifetime=0.01`);
    const outcome = await run(proxy, 'COMMIT', () => sleep(100));
    t.same(outcome, { told: 'done', kept: [1, 2, 3], connections: 1 });
  });
});

t.test('a dry run of the service whose connection breaks keeps nothing', async (t) => {
  const { serviceUrl, sql, storage: direct } = await testDatabase(t);
  const proxy = await proxyBefore(t, serviceUrl);
  // A refused request has the health checked, and that writes, too: it would take the break.
  const storage = storageOf({ ...openPools(proxy.url), checking: async () => {} });
  t.teardown(() => storage.close());
  const { call } = await serve(t, storage);
  const made = await call('PUT', '/entities/friend:rachel', { type: 'friend', properties: { n: 0 } });
  t.equal(made.status, 201);
  for (const way of WAYS) {
    for (const at of ['BEGIN', 'write_changes', 'ROLLBACK']) {
      for (const loses of LOSES) {
        proxy.breakNext({ at, loses, way });
        const { status, body } = await call('PATCH', '/entities/friend:rachel?dryRun=true', { properties: { n: 1 } });
        const what = `${at} loses its ${loses}, ${way}`;
        t.match(
          { status, body },
          at === 'ROLLBACK' ? { status: 200 } : { status: 503, body: { code: 'database_unavailable' } },
          what,
        );
      }
    }
  }
  const { body } = await (await serve(t, direct)).call('GET', '/entities/friend:rachel');
  t.match(body, { tick: 1, properties: { n: 0 } });
  t.same([...(await sql`SELECT count(*)::int AS ticks FROM clocktick.tick`)], [{ ticks: 1 }]);
});

t.test('a migration whose connection breaks goes on nowhere else, without the lock', async (t) => {
  const { url, sql } = await testDatabase(t, 'template0');
  for (const way of WAYS) {
    for (const at of ['pg_advisory_lock', 'CREATE SCHEMA IF NOT EXISTS', 'begin', 'CREATE FUNCTION', 'commit']) {
      for (const loses of LOSES) {
        const proxy = await proxyBefore(t, url);
        proxy.breakNext({ at, loses, way });
        const what = `${at} loses its ${loses}, ${way}`;
        const told = await migrateDatabase(proxy.url).then(() => 'done', codeOf);
        t.equal(told, proxy.broken() ? 'outcome_unknown' : 'done', what);
        t.equal(proxy.connections(), 1, `${what}: connected once`);
      }
    }
  }
  await migrateDatabase(url);
  t.same([...(await sql`SELECT count(*)::int AS ticks FROM clocktick.tick`)], [{ ticks: 0 }], 'the next one does it');
});

/** Of an error of the driver or the server: the write may or may not be kept, failures.ts says. */
function codeOf(error: unknown): string {
  if (error instanceof Error && error.cause instanceof Error) return codeOf(error.cause); // Drizzle wraps it
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  return /^(ECONNRESET|EPIPE|CONNECTION_CLOSED|ERR_STREAM_DESTROYED)$/.test(code) ? 'outcome_unknown' : code;
}

/** No session of the service is left, so nothing more will be kept. */
async function settled(sql: Sql): Promise<void> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await sleep(5)) {
    const left = await sql`
      SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'clocktick'`;
    if (left.length === 0) return;
  }
  throw new Error('a session is left');
}

/** Ends the sessions of the service, as an administrator may, or a server that shuts down. */
async function endSessions(sql: Sql): Promise<void> {
  await sql`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'clocktick'`;
}

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

t.test(
  'a connection that stays open, as that of an import for hours, keeps nothing of what it was asked',
  async (t) => {
    const { url } = await testDatabase(t);
    for (const patience of [undefined, 10_000]) {
      const connection = connectOnce(url, {}, patience);
      let finalized = 0;
      const registry = new FinalizationRegistry(() => {
        finalized++;
      });
      for (let n = 0; n < 20; n++) {
        const rows = await connection.during((sql) => sql`SELECT ${n}::int AS n`);
        registry.register(rows, n);
      }
      for (let n = 0; n < 10; n++) {
        collect();
        await setImmediate();
      }
      t.ok(finalized >= 15, `${finalized} of 20 answers are forgotten, with patience ${patience}`);
      await connection.end();
    }
  },
);
