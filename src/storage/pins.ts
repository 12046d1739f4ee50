import { isBefore } from '../temporal/point.js';
import { readFailure } from './engine/failures.js';
import type { Fragment, Sql } from './engine/pools.js';
import type { Storage } from './storage.js';

/**
 * What fixes a snapshot: what happened at or before `asOf` and was recorded at or before `recordedAsOf`, both stable. `asOf` is
 * never the later one (`pinOf` sees to that), because nothing is recorded before it happens: so all ticks at or before it that
 * were not imported are in the snapshot, and an instant is enough to look for what held then.
 */
export type Pin = { asOf: string; recordedAsOf: string };

export const pinOf = (asOf: string, recordedAsOf: string): Pin => ({
  asOf: isBefore(recordedAsOf, asOf) ? recordedAsOf : asOf,
  recordedAsOf,
});

/**
 * What a snapshot shows at most: the instants of the newest change in it, and of the newest recording, which is a later
 * one only in imported history. All pins with the same two fix the same snapshot: nothing else lies between. Null: nothing
 * had changed by then.
 */
export type Newest = Pin | { asOf: null; recordedAsOf: null };

/** What a statement says of it in each row. */
export type NewestRow = { asOf: string | null; recordedAsOf: string | null };

export const newestIn = (row: NewestRow | undefined): Newest => {
  const { asOf = null, recordedAsOf = null } = row ?? {};
  return asOf === null || recordedAsOf === null ? { asOf: null, recordedAsOf: null } : { asOf, recordedAsOf };
};

/** The newest change that a snapshot of a type's entities, or of all, can show; no entity is read for that. */
export async function readNewest({ page }: Storage, type: string | null, pin: Pin): Promise<Newest> {
  try {
    const [row] = await page((sql) => sql<NewestRow[]>`WITH RECURSIVE ${kinds(sql, type)} ${newestOf(sql, pin)}`);
    return newestIn(row);
  } catch (error) {
    throw readFailure(error);
  }
}

/** The instant of the first change of a type's entities, or of all; of those recorded by an instant, if that is given. */
export async function readOldest(
  { page }: Storage,
  type: string | null,
  recordedAsOf: string | null = null,
): Promise<string | null> {
  try {
    const [row] = await page(
      (sql) => sql<{ at: string | null }[]>`
        WITH RECURSIVE ${kinds(sql, type)}
        SELECT min(changed.at) AS at
          FROM kind CROSS JOIN LATERAL (
                 SELECT t.at FROM clocktick.tick t
                  WHERE t.type = kind.type AND t.recorded_at <= coalesce(${recordedAsOf}::text::timestamptz, 'infinity')
                  ORDER BY t.at LIMIT 1) changed`,
    );
    return row?.at ?? null;
  } catch (error) {
    throw readFailure(error);
  }
}

/** `kind` (type): one type, or all: they are found one after the other, each by its first entity in the index. */
export const kinds = (sql: Sql, type: string | null): Fragment =>
  type === null
    ? sql`kind (type) AS (
              (SELECT e.type FROM clocktick.entity e ORDER BY e.type LIMIT 1)
              UNION ALL
              SELECT (SELECT e.type FROM clocktick.entity e WHERE e.type > kind.type ORDER BY e.type LIMIT 1)
                FROM kind WHERE kind.type IS NOT NULL)`
    : sql`kind (type) AS (SELECT ${type}::text)`;

/** The newest change of `kind` that a pin can show. */
export const newestOf = (sql: Sql, { asOf, recordedAsOf }: Pin): Fragment => sql`
    SELECT max(changed.at) AS "asOf", greatest(max(changed.at), max(imported.at)) AS "recordedAsOf"
      FROM kind
      LEFT JOIN LATERAL (
        SELECT t.at FROM clocktick.tick t
         WHERE t.type = kind.type AND t.at <= ${asOf}::text::timestamptz AND t.recorded_at <= ${recordedAsOf}::text::timestamptz
         ORDER BY t.at DESC LIMIT 1
      ) changed ON true
      LEFT JOIN LATERAL (
        SELECT t.recorded_at AS at FROM clocktick.tick t
         WHERE t.type = kind.type AND t.recorded_at <> t.at
           AND t.at <= ${asOf}::text::timestamptz AND t.recorded_at <= ${recordedAsOf}::text::timestamptz
         ORDER BY t.recorded_at DESC LIMIT 1
      ) imported ON true`;

/** The tick of `e` that is its newest of a pin, if it has one: the current one without looking at the clock, if it is. */
export const stateAsOf = (sql: Sql, { asOf, recordedAsOf }: Pin): Fragment =>
  stateAt(sql, sql`${asOf}::text::timestamptz`, sql`${recordedAsOf}::text::timestamptz`);

/** The same of instants that a statement has. */
export function stateAt(sql: Sql, at: Fragment, recorded: Fragment): Fragment {
  const isUnchanged = sql`e.updated_at <= ${at} AND coalesce(e.recorded_at, e.updated_at) <= ${recorded}`;
  return sql`
    SELECT e.tick, e.updated_at AS at, e.deleted WHERE ${isUnchanged}
    UNION ALL
    (SELECT t.tick, t.at, t.op = 'deleted' FROM clocktick.tick t
      WHERE t.entity_id = e.id AND t.at <= ${at} AND t.recorded_at <= ${recorded} AND NOT (${isUnchanged})
      ORDER BY t.at DESC LIMIT 1)`;
}

/**
 * The entities of `kind` with ticks before an instant that were recorded after another: imported since. In order, so that the
 * planner does not take the index of all ticks while there are few.
 */
export const importedSince = (sql: Sql, at: Fragment, recorded: Fragment): Fragment => sql`
    SELECT DISTINCT t.entity_id
      FROM kind CROSS JOIN LATERAL (
        SELECT t.entity_id FROM clocktick.tick t
         WHERE t.type = kind.type AND t.recorded_at <> t.at AND t.recorded_at > ${recorded} AND t.at <= ${at}
         ORDER BY t.recorded_at) t`;
