import type { Entity } from '../temporal/change.js';
import type { Point } from '../temporal/point.js';
import { Refusal } from '../temporal/refusal.js';
import { waitUntilPast } from './clock.js';
import { arrayText, type Database, instantText, type Sql } from './database.js';
import { readFailure } from './failures.js';

/** An entity's row, now or as it was; `properties` is JSON text as PostgreSQL wrote it, to be passed through unparsed. */
export type EntityRow = Omit<Entity, 'properties'> & { properties: string };

/**
 * The entities as they are now, tombstones included, in no order; ids that were never created are left out.
 *
 * Each id gets a row, so that an answer says itself that it is whole: after a connection died, postgres.js has been seen
 * to give an empty one, and an entity that exists must not be told to be absent.
 */
export async function readEntities({ sql }: { sql: Sql }, ids: readonly string[]): Promise<EntityRow[]> {
  try {
    const rows = await sql<(EntityRow | { id: string; type: null })[]>`
      SELECT wanted.id, e.type, e.key, e.tick, e.deleted,
             ${instantText(sql, 'e.created_at')} AS "createdAt", ${instantText(sql, 'e.updated_at')} AS "updatedAt",
             e.properties::text AS properties
        FROM unnest(${arrayText(ids)}::text::uuid[]) wanted (id) LEFT JOIN clocktick.entity e ON e.id = wanted.id`;
    if (rows.length !== ids.length || rows.some((row) => !ids.includes(row.id))) {
      throw new Refusal('database_unavailable', 'The database gave no whole answer. Nothing was written.');
    }
    return rows.flatMap((row) => (row.type === null ? [] : [row]));
  } catch (error) {
    throw readFailure(error);
  }
}

/** An entity as of a point; `tick` is null where it has no such tick, or did not exist at that instant. */
export type PastEntityRow = EntityRow | { id: string; tick: null };

/**
 * The entities as of a tick or an instant, tombstones included, in no order; ids that were never created are left out.
 *
 * Unchanged since then: the current row is the answer. Otherwise the ranges that contain the tick (`@>`): the open ones
 * by the partial unique index, the closed ones by the constraint's GiST index, 8 buffers at depth 20,000.
 * @throws Refusal `as_of_in_future`
 */
export async function readEntitiesAsOf(
  storage: Database,
  ids: readonly string[],
  point: Point,
): Promise<PastEntityRow[]> {
  const { sql } = storage;
  if ('instant' in point) await waitUntilPast(storage, point.instant);
  const clock =
    'tick' in point
      ? sql`SELECT t.tick, t.at, t.op FROM clocktick.tick t WHERE t.entity_id = e.id AND t.tick = ${point.tick}::int4`
      : sql`SELECT t.tick, t.at, t.op FROM clocktick.tick t
             WHERE t.entity_id = e.id AND t.at <= ${point.instant}::text::timestamptz ORDER BY t.at DESC LIMIT 1`;
  try {
    return await sql<PastEntityRow[]>`
      SELECT e.id, e.type, e.key, past.tick, past.op = 'deleted' AS deleted,
             ${instantText(sql, 'e.created_at')} AS "createdAt", ${instantText(sql, 'past.at')} AS "updatedAt",
             CASE WHEN past.tick = e.tick THEN e.properties
             ELSE (SELECT coalesce(jsonb_object_agg(h.property, h.value), '{}')
                     FROM clocktick.property_range h WHERE h.entity_id = e.id AND h.vclock @> past.tick)
             END::text AS properties
        FROM clocktick.entity e LEFT JOIN LATERAL (${clock}) past ON true
       WHERE e.id = ANY (${arrayText(ids)}::text::uuid[])`;
  } catch (error) {
    throw readFailure(error);
  }
}
