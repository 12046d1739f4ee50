import type { ImportMode, ImportWrite, LineFault } from '../../temporal/import.js';
import type { IMPORT_STATUSES } from '../../temporal/limits.js';
import { Refusal } from '../../temporal/refusal.js';
import { brokeUnderWay, unavailable } from '../engine/failures.js';
import { arrayText, type Sql } from '../engine/pools.js';
import type { OneConnection } from '../engine/transactions.js';
import { engine, type Storage } from '../storage.js';

/* How far imports are: the row that each source has, and the lock that its import holds. */

/** How an import is, or ended; `interrupted`: it ended without a word, with its service or its connection. */
type ImportStatus = (typeof IMPORT_STATUSES)[number] | 'interrupted';

/** How far an import is. All numbers are lines, but `ticks` and `deleted`; the watermark is JSON text, null where none was kept yet. */
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
  /** Entities that it deleted because no line named them. */
  deleted: number;
  startedAt: string;
  updatedAt: string;
  /** Since when a replace-all of the source is unfinished. */
  unfinishedSince: string | null;
  /** Lines that the unfinished replace-all has left out, also those of its interrupted runs. */
  leftOut: number;
};

/** An import of a source, with the id that it was given. */
export type Begun = { source: string; mode: ImportMode; id: string; dryRun: boolean };

/**
 * Takes the lock of the source for as long as the connection lasts. A dry run takes it, too: what it tells would be stale at once.
 * @throws Refusal `import_running`
 */
export async function lockSource(connection: OneConnection, source: string): Promise<void> {
  const [lock] = await connection.during(
    (sql) => sql<{ isOurs: boolean }[]>`SELECT pg_try_advisory_lock(clocktick.import_lock(${source})) AS "isOurs"`,
  );
  if (!lock?.isOurs) throw running(source);
}

/** The refusal of an import whose source is being imported. */
export const running = (source: string) =>
  new Refusal('import_running', `An import of ${source} is running already: one at a time of a source.`);

/** Whether an import of the source is running, in whichever instance. */
export async function importRuns(storage: Storage, source: string): Promise<boolean> {
  const [found] = await storage[engine].reading(
    (sql) => sql<{ runs: boolean }[]>`SELECT clocktick.import_runs(${source}) AS runs`,
  );
  return found?.runs === true;
}

/**
 * Begins an import of a source whose lock is held. A replace-all goes on with one that is unfinished.
 * @param latest the latest instant that the clock of the database can say
 */
export async function beginImport(
  connection: OneConnection,
  { source, id, mode, dryRun }: Begun,
  latest: string,
): Promise<ImportRow> {
  if (dryRun) return connection.during((sql) => dryBegun(sql, { source, id, mode }));
  const [row] = await connection.during(
    (sql) => sql<ImportRow[]>`
      SELECT ${columns(sql)} FROM clocktick.begin_import(${source}, ${id}::uuid, ${mode}) i`,
  );
  if (!row) throw new Error('an import did not begin');
  if (mode !== 'replace-all' || row.unfinishedSince !== null) return row;
  // Nothing, unless somebody was killed in the middle of that.
  while (await forgetSeen(connection, source));
  const [anew] = await connection.during(
    (sql) => sql<ImportRow[]>`
      SELECT ${columns(sql)} FROM clocktick.begin_replace_all(${source}, ${id}::uuid, ${latest}::timestamptz) i`,
  );
  if (!anew) throw new Error('a replace-all did not begin');
  return anew;
}

async function dryBegun(sql: Sql, { source, id, mode }: Omit<Begun, 'dryRun'>): Promise<ImportRow> {
  const known = await readRow(sql, source);
  const [{ now = '' } = {}] = await sql<{ now: string }[]>`SELECT clock_timestamp() AS now`;
  const unfinishedSince = mode === 'replace-all' ? (known?.unfinishedSince ?? null) : null;
  const isAnew = mode === 'replace-all' && unfinishedSince === null;
  return {
    ...NOTHING,
    source,
    id,
    mode,
    status: 'running',
    watermark: isAnew ? null : (known?.watermark ?? null),
    startedAt: now,
    updatedAt: now,
    unfinishedSince: isAnew ? now : unfinishedSince,
    leftOut: unfinishedSince === null ? 0 : (known?.leftOut ?? 0),
  };
}

/** How much of what was seen is forgotten in one transaction. */
const FORGOTTEN_AT_ONCE = 10_000;

/** Forgets some of what a replace-all has seen that is unfinished no more. Gives whether there may be more. */
export async function forgetSeen(connection: OneConnection, source: string): Promise<boolean> {
  const [row] = await connection.during(
    (sql) => sql<{ forgotten: number }[]>`
      SELECT clocktick.forget_seen(${source}, ${FORGOTTEN_AT_ONCE}::int)::float8 AS forgotten`,
  );
  return row?.forgotten === FORGOTTEN_AT_ONCE;
}

/** Notes how an import has ended; `isWhole`: it is a replace-all, and has deleted the rest. */
export async function endImport(
  connection: OneConnection,
  ended: { source: string; id: string; status: string; isWhole?: boolean },
): Promise<ImportRow> {
  return connection.during((sql) => advanceImport(sql, ended));
}

/** The lines that name an entity of the import: one that was refused names none. */
export function namedBy(writes: readonly ImportWrite[], faults: readonly LineFault[]): readonly ImportWrite[] {
  if (faults.length === 0) return writes;
  const refused = new Set(faults.map(({ line }) => line));
  return writes.filter(({ line }) => !refused.has(line));
}

/** What a batch adds to what is told of its import: numbers of its lines and ticks, and the watermark that ends it. */
export type Advance = {
  source: string;
  id: string;
  status: string;
  isWhole?: boolean;
  /** What the lines of a replace-all named. */
  named?: readonly ImportWrite[];
} & Partial<Pick<ImportRow, 'lines' | 'changed' | 'unchanged' | 'skipped' | 'ticks' | 'deleted' | 'watermark'>>;

/**
 * Notes a batch, in the transaction that writes it.
 * @throws an error of the code CT004 where another import of the source has begun since
 */
export async function advanceImport(sql: Sql, told: Advance): Promise<ImportRow> {
  const { source, id, status, lines = 0, changed = 0, unchanged = 0, skipped = 0, ticks = 0, deleted = 0 } = told;
  const { watermark = null, isWhole = false, named = [] } = told;
  if (named.length > 0) {
    const [types, ids] = [named.map(({ type }) => type), named.map(({ address }) => address.id)];
    await sql`SELECT clocktick.see_entities(${source}, ${arrayText(types)}::text::text[], ${arrayText(ids)}::text::uuid[])`;
  }
  const [row] = await sql<ImportRow[]>`
    SELECT ${columns(sql)}
      FROM clocktick.advance_import(${source}, ${id}::uuid, ${lines}::bigint, ${changed}::bigint, ${unchanged}::bigint, ${skipped}::bigint,
                                    ${ticks}::bigint, ${deleted}::bigint, ${watermark}::text::jsonb, ${status}, ${isWhole}) i`;
  if (!row) throw new Error('an import that goes on is not there');
  return row;
}

const columns = (sql: Sql) => sql`
  i.source, i.id, i.mode, i.status, i.watermark::text AS watermark, i.lines::float8 AS lines, i.changed::float8 AS changed,
  i.unchanged::float8 AS unchanged, i.skipped::float8 AS skipped, i.ticks::float8 AS ticks, i.deleted::float8 AS deleted,
  i.started_at AS "startedAt", i.updated_at AS "updatedAt", i.unfinished_since AS "unfinishedSince", i.left_out::float8 AS "leftOut"`;

const NOTHING = { lines: 0, changed: 0, unchanged: 0, skipped: 0, ticks: 0, deleted: 0, leftOut: 0 };

/** What would be told of a batch alone. */
export const dryRow = ({ source, id, mode }: Begun, { watermark = null, ...told }: Advance): ImportRow => ({
  ...NOTHING,
  mode,
  startedAt: '',
  updatedAt: '',
  unfinishedSince: null,
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
    leftOut: row.unfinishedSince === null ? 0 : row.leftOut + more.skipped,
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
