import t from 'tap';
import { DEADLINES, openPools, type Pools, type Sql } from '../../../src/storage/engine/pools.js';
import { storageOf } from '../../../src/storage/open.js';
import { Refusal } from '../../../src/temporal/refusal.js';
import { testDatabase } from '../../helper/database.js';
import { proxyBefore } from '../../helper/proxy.js';
import { change, make } from '../../helper/write.js';

/* A database that says nothing and closes nothing: its server is stopped, or the network swallows everything. */

/** Long enough for a dozen connections at once on a machine that is busy. */
const QUICK = { ...DEADLINES, statement: 1_000, shared: 1_000, probe: 1_000, connect: 1_000, margin: 1_000 };

t.test(
  'nobody waits for a database that is silent, and nobody has to mend anything when it speaks again',
  async (t) => {
    const { url, sql } = await testDatabase(t);
    const proxy = await proxyBefore(t, url);
    const pools = openPools(proxy.url, undefined, QUICK);
    t.teardown(() => pools.close());
    const one = async (ask: Sql) => (await ask<{ one: number }[]>`SELECT 1 AS one`)[0]?.one;
    const asks: Record<string, (pools: Pools) => Promise<unknown>> = {
      reading: ({ reading }) => reading(one),
      readingLarge: ({ readingLarge }) => readingLarge(one),
      recording: ({ recording }) => recording(one),
      sharedReads: ({ sharedReads }) => sharedReads(one),
      sharedWrites: ({ sharedWrites }) => sharedWrites(one),
      writingLarge: ({ writingLarge }) => writingLarge(one),
      probe: ({ probe }) => probe(one),
      paging: ({ paging }) => paging(one),
      searching: ({ searching }) => searching(one),
      counting: ({ counting }) => counting(one),
      commit: ({ transaction }) => transaction('COMMIT', one),
      rehearsal: ({ transaction }) => transaction('ROLLBACK', one),
    };
    const askAll = () => Promise.allSettled(Object.values(asks).map((ask) => ask(pools)));
    for (const round of ['first', 'again']) {
      t.same(
        (await askAll()).map((end) => end.status === 'fulfilled' && end.value),
        Object.keys(asks).map(() => 1),
        `all are answered, ${round}`,
      );
      proxy.hang(true);
      for (const when of ['on connections that stood', 'on new ones']) {
        const ends = await askAll();
        for (const [n, name] of Object.keys(asks).entries()) {
          const end = ends[n];
          const reason: unknown = end?.status === 'rejected' ? end.reason : undefined;
          const code = reason instanceof Error && 'code' in reason ? reason.code : reason;
          // The shared pools, and the one of large writes, give errors as they came: who asks them translates.
          t.match(
            code,
            /^(database_unavailable|outcome_unknown|NO_ANSWER|CONNECT_TIMEOUT|CONNECTION_DESTROYED)$/,
            `${name} ${when}`,
          );
        }
      }
      proxy.hang(false);
    }
    t.same(await sql`SELECT 1 AS one`, [{ one: 1 }]);
  },
);

t.test(
  'a write whose answer never came is told as unknown, and all that waits behind it is told that it was not done',
  async (t) => {
    const { url, storage } = await testDatabase(t);
    const { id } = (await make(storage, { n: 1 })).row;
    const proxy = await proxyBefore(t, url);
    const slow = storageOf(openPools(proxy.url, undefined, QUICK));
    t.teardown(() => slow.close());
    const written = (await change(slow, id, { n: 2 })).row;
    t.equal(written.tick, 2);
    proxy.hang(true);
    const codes = await Promise.all(
      Array.from({ length: 5 }, (_, n) =>
        change(slow, id, { n: n + 3 }).then(
          () => 'written',
          (error) => (error instanceof Refusal ? error.code : String(error)),
        ),
      ),
    );
    t.equal(codes[0], 'outcome_unknown');
    for (const code of codes) t.match(code, /^(outcome_unknown|database_unavailable|too_many_writers|overloaded)$/);
    proxy.hang(false);
    t.ok((await change(slow, id, { n: 99 })).row.tick > 2, 'and it goes on');
  },
);
