import type { Entity, Past } from '../temporal/entity.js';
import type { Point } from '../temporal/point.js';
import { waitUntilPast } from './clock.js';
import { arrayText, type Database, instantText, type Sql } from './database.js';
import { readFailure } from './failures.js';

/** An entity's row, now or as it was; `properties` is JSON text as PostgreSQL wrote it, to be passed through unparsed. */
export type EntityRow = Omit<Entity, 'properties'> & { properties: string };

/**
 * The entities as they are now, tombstones included, in no order; ids that were never created are left out, and of the
 * properties all but `fields`, where given.
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
    return await sql<EntityRow[]>`
      SELECT e.id, e.type, e.key, e.tick, e.deleted,
             ${instantText(sql, 'e.created_at')} AS "createdAt", ${instantText(sql, 'e.updated_at')} AS "updatedAt",
             ${properties}::text AS properties
        FROM clocktick.entity e WHERE e.id = ANY (${arrayText(ids)}::text::uuid[])`;
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
    return await sql<PastEntityRow[]>`
      SELECT e.id, e.type, e.key, past.tick, past.op = 'deleted' AS deleted,
             ${instantText(sql, 'e.created_at')} AS "createdAt", ${instantText(sql, 'past.at')} AS "updatedAt",
             CASE WHEN ${unchanged} THEN e.properties
             ELSE (SELECT coalesce(jsonb_object_agg(h.property, h.value), '{}')
                     FROM clocktick.property_range h WHERE h.entity_id = e.id AND h.vclock @> past.tick ${chosen})
             END::text AS properties
        FROM clocktick.entity e LEFT JOIN LATERAL (${clock}) past ON true
       WHERE e.id = ANY (${arrayText(ids)}::text::uuid[])`;
  } catch (error) {
    throw readFailure(error);
  }
}
