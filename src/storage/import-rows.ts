import type { ImportMode } from '../temporal/import.js';
import type { IMPORT_STATUSES } from '../temporal/limits.js';
import { Refusal } from '../temporal/refusal.js';
import { brokeUnderWay, unavailable } from './engine/failures.js';
import type { Sql } from './engine/pools.js';
import type { OneConnection } from './engine/transactions.js';
import { engine, type Storage } from './storage.js';

/* How far imports are: the row that each source has, and the lock that its import holds. */

/** How an import is, or ended; `interrupted`: it ended without a word, with its service or its connection. */
type ImportStatus = (typeof IMPORT_STATUSES)[number] | 'interrupted';

/** How far an import is. All numbers are lines, but `ticks`; the watermark is JSON text, null where none was kept yet. */
export type ImportRow = {
  source: string;
  id: string;
  mode: string;
  status: ImportStatus;
  watermark: string | null;
  lines: number;
  changed: number;
  unchanged: number;
  skipped: number;
  ticks: number;
  startedAt: string;
  updatedAt: string;
};

/** An import of a source, with the id that it was given. */
export type Begun = { source: string; mode: ImportMode; id: string; dryRun: boolean };

/** Takes the lock of the source for as long as the connection lasts. A dry run takes it, too: what it tells would be stale at once. */
export async function beginImport(connection: OneConnection, { source, id, mode, dryRun }: Begun): Promise<ImportRow> {
  return connection.during(async (sql) => {
    const [lock] = await sql<{ isOurs: boolean }[]>`
      SELECT pg_try_advisory_lock(clocktick.import_lock(${source})) AS "isOurs"`;
    if (!lock?.isOurs)
      throw new Refusal('import_running', `An import of ${source} is running already: one at a time of a source.`);
    if (dryRun) {
      const known = await readRow(sql, source);
      const none = { lines: 0, changed: 0, unchanged: 0, skipped: 0, ticks: 0, status: 'running' as const };
      const [{ now = '' } = {}] = await sql<{ now: string }[]>`SELECT clock_timestamp() AS now`;
      const started = { startedAt: now, updatedAt: now };
      return { source, id, mode, watermark: known?.watermark ?? null, ...none, ...started };
    }
    const [row] = await sql<ImportRow[]>`
      SELECT ${columns(sql)} FROM clocktick.begin_import(${source}, ${id}::uuid, ${mode}) i`;
    if (!row) throw new Error('an import did not begin');
    return row;
  });
}

/** Notes how an import has ended. */
export async function endImport(
  connection: OneConnection,
  { source, id, status }: { source: string; id: string; status: string },
): Promise<ImportRow> {
  return connection.during((sql) => advanceImport(sql, { source, id, status }));
}

/** What a batch adds to what is told of its import: numbers of its lines and ticks, and the watermark that ends it. */
export type Advance = { source: string; id: string; status: string } & Partial<
  Pick<ImportRow, 'lines' | 'changed' | 'unchanged' | 'skipped' | 'ticks' | 'watermark'>
>;

/**
 * Notes a batch, in the transaction that writes it.
 * @throws an error of the code CT004 where another import of the source has begun since
 */
export async function advanceImport(sql: Sql, told: Advance): Promise<ImportRow> {
  const { source, id, status, lines = 0, changed = 0, unchanged = 0, skipped = 0, ticks = 0, watermark = null } = told;
  const [row] = await sql<ImportRow[]>`
    SELECT ${columns(sql)}
      FROM clocktick.advance_import(${source}, ${id}::uuid, ${lines}::bigint, ${changed}::bigint, ${unchanged}::bigint, ${skipped}::bigint,
                                    ${ticks}::bigint, ${watermark}::text::jsonb, ${status}) i`;
  if (!row) throw new Error('an import that goes on is not there');
  return row;
}

const columns = (sql: Sql) => sql`
  i.source, i.id, i.mode, i.status, i.watermark::text AS watermark, i.lines::float8 AS lines, i.changed::float8 AS changed,
  i.unchanged::float8 AS unchanged, i.skipped::float8 AS skipped, i.ticks::float8 AS ticks,
  i.started_at AS "startedAt", i.updated_at AS "updatedAt"`;

/** What would be told of a batch alone. */
export const dryRow = ({ source, id, mode }: Begun, { watermark = null, ...told }: Advance): ImportRow => ({
  mode,
  lines: 0,
  changed: 0,
  unchanged: 0,
  skipped: 0,
  ticks: 0,
  startedAt: '',
  updatedAt: '',
  ...told,
  source,
  id,
  status: 'running',
  watermark,
});

/** What would be told after one more batch. */
export function sumOfRows(row: ImportRow, more: ImportRow): ImportRow {
  return {
    ...row,
    lines: row.lines + more.lines,
    changed: row.changed + more.changed,
    unchanged: row.unchanged + more.unchanged,
    skipped: row.skipped + more.skipped,
    ticks: row.ticks + more.ticks,
    watermark: more.watermark ?? row.watermark,
  };
}

/** Work that has written nothing, so that nothing of it can be kept when its connection breaks. @throws Refusal `database_unavailable` */
export const unwritten = <T>(work: Promise<T>): Promise<T> =>
  work.catch((error: unknown) => {
    throw brokeUnderWay(error) ? unavailable(error) : error;
  });

/** The last import of a source; undefined: there was none. @throws Refusal `database_unavailable` */
export async function readImport(storage: Storage, source: string): Promise<ImportRow | undefined> {
  return storage[engine].reading(async (sql) => {
    const row = await readRow(sql, source);
    // Its lock is looked at after its row: it may have ended in between.
    return row?.status === 'interrupted' ? readRow(sql, source) : row;
  });
}

async function readRow(sql: Sql, source: string): Promise<ImportRow | undefined> {
  const [row] = await sql<(ImportRow & { runs: boolean })[]>`
    SELECT ${columns(sql)}, clocktick.import_runs(i.source) AS runs FROM clocktick.import i WHERE i.source = ${source}`;
  if (!row) return undefined;
  const { runs, ...known } = row;
  return known.status === 'running' && !runs ? { ...known, status: 'interrupted' } : known;
}
