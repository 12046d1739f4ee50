import postgres from 'postgres';
import { readPage } from '../../src/storage/collections.js';
import { readRanges } from '../../src/storage/ranges.js';
import { engine, type Storage } from '../../src/storage/storage.js';
import { literal, type SentByPool, watchedStorage } from '../helper/plans.js';
import type { Seeded } from './seed.js';

/*
 * What the reads of the bench touch inside the server: buffers of 8 kB, those that were in the cache and those that were not, and the time
 * that it took. Cold is right after the cache was emptied (the operating system may still have the pages), warm the second time.
 */

/** How often each is asked, of other entities each time; the table has medians. */
const TIMES = 25;

type Touched = { hit: number; read: number; ms: number };

/** A table of all reads. */
export async function plansTable({ url, collection }: Seeded): Promise<string> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const watched = await watchedStorage(url);
  try {
    await sql`DROP EXTENSION IF EXISTS pg_buffercache`;
    await sql`CREATE EXTENSION pg_buffercache SCHEMA bench`;
    const lines = [];
    for (const [name, ask] of Object.entries(readsOf(collection))) {
      const cold: Touched[] = [];
      const warm: Touched[] = [];
      for (let n = 0; n < TIMES; n++) {
        const [statement] = (await watched.sentBy((storage) => ask(storage, n))).slice(-1);
        if (!statement) throw new Error(`${name} sent no statement`);
        const run = await prepared(sql, statement);
        await run(); // the plan, and what the server looks up for it
        await sql`SELECT bench.pg_buffercache_evict_all()`;
        cold.push(await run());
        warm.push(await run());
        await sql.unsafe('DEALLOCATE ALL; RESET ALL');
      }
      const [first, second] = [medians(cold), medians(warm)];
      lines.push(
        `| ${name} | ${second.hit + second.read} | ${second.ms.toFixed(2)} | ${first.read} | ${first.ms.toFixed(2)} |`,
      );
    }
    return `${['| plan | buffers | ms, warm | read, cold | ms, cold |', '|---|---|---|---|---|', ...lines].join('\n')}\n`;
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

/** Prepares a statement as its pool would, and gives what runs it and says what it touched. */
async function prepared(
  sql: postgres.Sql,
  { text, parameters, settings }: SentByPool,
): Promise<() => Promise<Touched>> {
  for (const [name, value] of Object.entries(settings)) await sql.unsafe(`SET ${name} = ${value}`);
  await sql.unsafe(`PREPARE statement AS ${text}`);
  const values = parameters.map(literal).join(', ');
  return async () => {
    const [row] = await sql.unsafe<{ 'QUERY PLAN': [{ Plan: Record<string, number>; 'Execution Time': number }] }[]>(
      `EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE statement(${values})`,
    );
    if (!row) throw new Error('EXPLAIN gave nothing');
    const { Plan: plan, 'Execution Time': ms } = row['QUERY PLAN'][0];
    return { hit: plan['Shared Hit Blocks'] ?? 0, read: plan['Shared Read Blocks'] ?? 0, ms };
  };
}

function medians(all: readonly Touched[]): Touched {
  const of = (pick: (one: Touched) => number) =>
    all.map(pick).toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;
  return { hit: of(({ hit }) => hit), read: of(({ read }) => read), ms: of(({ ms }) => ms) };
}
