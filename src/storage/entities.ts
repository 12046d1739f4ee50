import type { Entity, Past } from '../temporal/entity.js';
import type { Point } from '../temporal/point.js';
import { Refusal } from '../temporal/refusal.js';
import { waitUntilPast } from './clock.js';
import { arrayText, type Database, instantText, type Sql } from './database.js';
import { readFailure } from './failures.js';

/** An entity's row, now or as it was; `properties` is JSON text as PostgreSQL wrote it, to be passed through unparsed. */
export type EntityRow = Omit<Entity, 'properties'> & { properties: string };

/**
 * The entities as they are now, tombstones included, in no order; ids that were never created are left out, and of the
 * properties all but `fields`, where given.
 * @param ids no id twice
 */
export async function readEntities(
  { sql }: { sql: Sql },
  ids: readonly string[],
  fields: readonly string[] | null = null,
): Promise<EntityRow[]> {
  const properties = fields
    ? sql`(SELECT coalesce(jsonb_object_agg(f.name, e.properties -> f.name), '{}')
             FROM unnest(${arrayText(fields)}::text::text[]) f (name) WHERE e.properties ? f.name)`
    : sql`e.properties`;
  try {
    const rows = await sql<(EntityRow | Absent)[]>`
      SELECT wanted.id, e.type, e.key, e.tick, e.deleted,
             ${instantText(sql, 'e.created_at')} AS "createdAt", ${instantText(sql, 'e.updated_at')} AS "updatedAt",
             ${properties}::text AS properties
        FROM unnest(${arrayText(ids)}::text::uuid[]) wanted (id) LEFT JOIN clocktick.entity e ON e.id = wanted.id`;
    return present(rows, ids);
  } catch (error) {
    throw readFailure(error);
  }
}

export type PastEntityRow = Past<EntityRow>;

/**
 * The entities as of a tick or an instant, tombstones included, in no order; ids that were never created are left out,
 * and of the properties all but `fields`, where given.
 *
 * Unchanged since then: the current row is the answer. Otherwise the ranges that contain the tick (`@>`): the open ones
 * by the partial unique index, the closed ones by the constraint's GiST index, 8 buffers at depth 20,000.
 * @param ids no id twice
 * @throws Refusal `as_of_in_future`
 */
export async function readEntitiesAsOf(
  storage: Database,
  ids: readonly string[],
  point: Point,
  fields: readonly string[] | null = null,
): Promise<PastEntityRow[]> {
  const { sql } = storage;
  if ('instant' in point) await waitUntilPast(storage, point.instant);
  const clock =
    'tick' in point
      ? sql`SELECT t.tick, t.at, t.op FROM clocktick.tick t WHERE t.entity_id = e.id AND t.tick = ${point.tick}::int4`
      : sql`SELECT t.tick, t.at, t.op FROM clocktick.tick t
             WHERE t.entity_id = e.id AND t.at <= ${point.instant}::text::timestamptz ORDER BY t.at DESC LIMIT 1`;
  const chosen = fields ? sql`AND h.property = ANY (${arrayText(fields)}::text::text[])` : sql``;
  const unchanged = fields ? sql`false` : sql`past.tick = e.tick`;
  try {
    const rows = await sql<(PastEntityRow & ({ type: string } | Absent))[]>`
      SELECT wanted.id, e.type, e.key, past.tick, past.op = 'deleted' AS deleted,
             ${instantText(sql, 'e.created_at')} AS "createdAt", ${instantText(sql, 'past.at')} AS "updatedAt",
             CASE WHEN ${unchanged} THEN e.properties
             ELSE (SELECT coalesce(jsonb_object_agg(h.property, h.value), '{}')
                     FROM clocktick.property_range h WHERE h.entity_id = e.id AND h.vclock @> past.tick ${chosen})
             END::text AS properties
        FROM unnest(${arrayText(ids)}::text::uuid[]) wanted (id)
        LEFT JOIN clocktick.entity e ON e.id = wanted.id
        LEFT JOIN LATERAL (${clock}) past ON true`;
    return present(rows, ids);
  } catch (error) {
    throw readFailure(error);
  }
}

/** The row of an id that was never created. */
type Absent = { id: string; type: null };

/**
 * The rows of entities that exist. Each id gets a row, so that an answer says itself that it is whole: after a connection
 * died, postgres.js has been seen to give an empty one, and an entity that exists must not be told to be absent.
 */
function present<Row extends { id: string }>(rows: readonly (Row | Absent)[], ids: readonly string[]): Row[] {
  const asked = new Set(ids);
  if (rows.length !== ids.length || rows.some((row) => !asked.has(row.id))) {
    throw new Refusal('database_unavailable', 'The database gave no whole answer. Nothing was written.');
  }
  return rows.filter((row): row is Row => !('type' in row) || row.type !== null);
}
