import type { Known, Point } from '../temporal/point.js';
import { pointFor } from './known.js';
import { tickAt } from './ranges.js';
import type { ChangeRow } from './rows.js';
import { engine, type Storage } from './storage.js';

/** One side of a diff: the tick that a point fell on. */
export type DiffEnd = { tick: number; at: string; deleted: boolean };

/** A diff; a side is null where the entity had no such tick, or had not begun at that instant. */
type Diff = { from: DiffEnd | null; to: DiffEnd | null; changes: ChangeRow[] };

/**
 * What differs between the states of an entity as of two points (`to` null: now), in one statement. A value that was changed and changed back is no difference.
 * @param known what may be seen of it; null: all
 * @returns undefined: no such entity
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function readDiff(
  storage: Storage,
  id: string,
  asked: { from: Point; to: Point | null },
  known: Known | null,
): Promise<Diff | undefined> {
  const from = await pointFor(storage, asked.from, known);
  const to = await pointFor(storage, asked.to, known);
  return storage[engine].reading(async (sql) => {
    const clockAt = (end: 'from' | 'to') =>
      sql`LEFT JOIN clocktick.tick ${sql(`${end}_tick`)}
          ON ${sql(`${end}_tick`)}.entity_id = ${id}::uuid AND ${sql(`${end}_tick`)}.tick = ends.${sql(end)}`;
    const rows = await sql<DiffLine[]>`
      WITH ends AS MATERIALIZED (
        SELECT e.*, ${tickAt(sql, id, from)} AS "from", ${to ? tickAt(sql, id, to) : sql`e.tick`} AS "to"
          FROM clocktick.entity e WHERE e.id = ${id}::uuid
      ), change AS MATERIALIZED (
        SELECT c.property, c.was AS "from", c.becomes AS "to"
          FROM ends CROSS JOIN LATERAL clocktick.changes_between(ends.id, ends.tick, ends.properties, ends.since, ends."from", ends."to") c
      )
      SELECT from_tick.tick AS "fromTick", from_tick.at AS "fromAt",
             from_tick.op = 'deleted' AS "fromDeleted",
             to_tick.tick AS "toTick", to_tick.at AS "toAt", to_tick.op = 'deleted' AS "toDeleted",
             change.property, change."from"::text, change."to"::text
        FROM ends
        ${clockAt('from')}
        ${clockAt('to')}
        LEFT JOIN change ON true
       ORDER BY octet_length(change.property), change.property`;
    const [top] = rows;
    if (!top) return undefined;
    return {
      from: top.fromTick === null ? null : { tick: top.fromTick, at: top.fromAt, deleted: top.fromDeleted },
      to: top.toTick === null ? null : { tick: top.toTick, at: top.toAt, deleted: top.toDeleted },
      changes: rows.flatMap(({ property, from, to }) => (property === null ? [] : [{ property, from, to }])),
    };
  });
}

/** A difference, or none, with both ends: how the statement delivers them. */
type DiffLine = (
  | { fromTick: number; fromAt: string; fromDeleted: boolean }
  | { fromTick: null; fromAt: null; fromDeleted: null }
) &
  ({ toTick: number; toAt: string; toDeleted: boolean } | { toTick: null; toAt: null; toDeleted: null }) & {
    property: string | null;
    from: string | null;
    to: string | null;
  };
