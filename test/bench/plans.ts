import postgres from 'postgres';
import { readPage } from '../../src/storage/collections.js';
import { readRanges } from '../../src/storage/ranges.js';
import { engine, type Storage } from '../../src/storage/storage.js';
import { explain, type Plan, watchedStorage } from '../helper/plans.js';
import { median } from './figures.js';
import type { Seeded } from './seed.js';

/*
 * What the reads of the bench touch inside the server: buffers of 8 kB, those that were in the cache and those that were not, and the time
 * that it took. Cold is right after the cache was emptied (the operating system may still have the pages), warm the second time.
 */

/** How often each is asked, of other entities each time; the table has medians. */
const TIMES = 25;

/** A table of all reads. */
export async function plansTable({ url, collection }: Seeded): Promise<string> {
  const sql = postgres(url, { max: 2, onnotice: () => {} });
  const watched = await watchedStorage(url);
  try {
    await sql`DROP EXTENSION IF EXISTS pg_buffercache`;
    await sql`CREATE EXTENSION pg_buffercache SCHEMA bench`;
    const emptyCache = () => sql`SELECT bench.pg_buffercache_evict_all()`;
    const lines = ['| plan | buffers | ms, warm | read, cold | ms, cold |', '|---|---|---|---|---|'];
    for (const [name, ask] of Object.entries(readsOf(collection))) {
      const cold: Plan[] = [];
      const warm: Plan[] = [];
      for (let n = 0; n < TIMES; n++) {
        const [statement] = (await watched.sentBy((storage) => ask(storage, n))).slice(-1);
        if (!statement) throw new Error(`${name} sent no statement`);
        cold.push(await explain(sql, statement, 'force_generic_plan', statement.settings, emptyCache));
        warm.push(await explain(sql, statement, 'force_generic_plan', statement.settings));
      }
      const of = (plans: readonly Plan[], what: 'buffers' | 'read' | 'ms') => median(plans.map((plan) => plan[what]));
      lines.push(
        `| ${name} | ${of(warm, 'buffers')} | ${of(warm, 'ms').toFixed(2)} | ${of(cold, 'read')} | ${of(cold, 'ms').toFixed(2)} |`,
      );
    }
    return `${lines.join('\n')}\n`;
  } finally {
    await watched.close();
    await sql.end();
  }
}

type Ask = (storage: Storage, n: number) => Promise<unknown>;

function readsOf({ ids, prefixes, places, movers, created }: Seeded['collection']): Record<string, Ask> {
  const now = new Date().toISOString();
  const everything = {
    type: 'thing',
    keyPrefix: null,
    deleted: 'exclude',
    where: [],
    everHad: [],
    changedAfter: null,
  } as const;
  const part = { after: null, limit: 100, fields: null, withChanges: false };
  const id = (n: number) => ids[(n * 7919) % ids.length] ?? '';
  const prefix = (n: number) => ({ ...everything, keyPrefix: prefixes[(n * 31) % prefixes.length] ?? '' });
  const sharing = (n: number) => ({
    ...everything,
    where: [{ property: 'place', operator: 'eq' as const, operand: `place ${(n * 7) % places}` }],
  });
  const then = { asOf: created, recordedAsOf: now };
  const today = { asOf: now, recordedAsOf: now };
  return {
    'an entity now': (storage, n) => storage[engine].entityNow({ id: id(n), fields: null }),
    'an older state': (storage, n) =>
      storage[engine].entityThen({ id: id(n), fields: null, point: { instant: created } }),
    'page of 100 now': (storage, n) => readPage(storage, prefix(n), today, part),
    'page of 100 of a snapshot, all changed since': (storage, n) => readPage(storage, prefix(n), then, part),
    'page of 100 found by a value': (storage, n) => readPage(storage, sharing(n), today, part),
    'page of 100 found by a past value': (storage, n) => readPage(storage, sharing(n), then, part),
    'history of one property, 50 ranges': (storage, n) =>
      readRanges(
        storage,
        movers[n % movers.length] ?? '',
        'place',
        { from: null, to: null },
        { until: null, after: null, order: 'asc', limit: 50 },
      ),
  };
}
