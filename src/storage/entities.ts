import type { Entity, Past } from '../temporal/entity.js';
import type { Point } from '../temporal/point.js';
import { waitUntilPast } from './clock.js';
import { arrayText, type Database, type Fragment, instantText, type Sql } from './database.js';
import { readFailure } from './failures.js';

/** An entity's row, now or as it was; `properties` is JSON text as PostgreSQL wrote it, to be passed through unparsed. */
export type EntityRow = Omit<Entity, 'properties'> & { properties: string };

/**
 * How much JSON of properties one answer about many entities may hold; those beyond it come without, so that no URL of a
 * few bytes takes hundreds of megabytes here or more than a string of V8 holds (512 MB). One entity always fits.
 */
const LIST_BYTES = 16 * 2 ** 20;

/**
 * The entities as they are now, tombstones included, in no order; ids that were never created are left out, and of the
 * properties all but `fields`, where given.
 */
export async function readEntities(
  { sql }: { sql: Sql },
  ids: readonly string[],
  fields: readonly string[] | null = null,
): Promise<EntityRow[]> {
  try {
    return await sql<EntityRow[]>`${entitiesNow(sql, ids, fields)}`;
  } catch (error) {
    throw readFailure(error);
  }
}

/** The properties are unfolded once: each `properties -> name` would read a large value anew. */
const entitiesNow = (sql: Sql, ids: readonly string[], fields: readonly string[] | null) => sql`
  SELECT e.id, e.type, e.key, e.tick, e.deleted,
         ${instantText(sql, 'e.created_at')} AS "createdAt", ${instantText(sql, 'e.updated_at')} AS "updatedAt",
         ${
           fields
             ? sql`(SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}')
                      FROM jsonb_each(e.properties) p WHERE p.key = ANY (${arrayText(fields)}::text::text[]))`
             : sql`e.properties`
         }::text AS properties
    FROM clocktick.entity e WHERE e.id = ANY (${arrayText(ids)}::text::uuid[])`;

export type PastEntityRow = Past<EntityRow>;

/**
 * The entities as of a tick or an instant, tombstones included, in no order; ids that were never created are left out,
 * and of the properties all but `fields`, where given.
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
  try {
    return await sql<PastEntityRow[]>`${entitiesThen(sql, ids, point, fields)}`;
  } catch (error) {
    throw readFailure(error);
  }
}

/**
 * Unchanged since then: the current row is the answer. Otherwise the ranges that contain the tick (`@>`): the open ones
 * by the partial unique index, the closed ones by the constraint's GiST index, 8 buffers at depth 20,000.
 */
function entitiesThen(sql: Sql, ids: readonly string[], point: Point, fields: readonly string[] | null): Fragment {
  const clock =
    'tick' in point
      ? sql`SELECT t.tick, t.at, t.op FROM clocktick.tick t WHERE t.entity_id = e.id AND t.tick = ${point.tick}::int4`
      : sql`SELECT t.tick, t.at, t.op FROM clocktick.tick t
             WHERE t.entity_id = e.id AND t.at <= ${point.instant}::text::timestamptz ORDER BY t.at DESC LIMIT 1`;
  return sql`
    SELECT e.id, e.type, e.key, past.tick, past.op = 'deleted' AS deleted,
           ${instantText(sql, 'e.created_at')} AS "createdAt", ${instantText(sql, 'past.at')} AS "updatedAt",
           CASE WHEN ${fields ? sql`false` : sql`past.tick = e.tick`} THEN e.properties
           ELSE (SELECT coalesce(jsonb_object_agg(h.property, h.value), '{}')
                   FROM clocktick.property_range h WHERE h.entity_id = e.id AND h.vclock @> past.tick
                        ${fields ? sql`AND h.property = ANY (${arrayText(fields)}::text::text[])` : sql``})
           END::text AS properties
      FROM clocktick.entity e LEFT JOIN LATERAL (${clock}) past ON true
     WHERE e.id = ANY (${arrayText(ids)}::text::uuid[])`;
}

/** One of many entities; without properties where the answer had no room left for them. */
export type ListedRow = Past<Omit<EntityRow, 'properties'> & { properties: string | null }>;

/**
 * Many entities now (`point` null) or as of an instant, tombstones included, in the order of their ids; the same as above,
 * up to LIST_BYTES of properties.
 * @throws Refusal `as_of_in_future`
 */
export async function listEntities(
  storage: Database,
  ids: readonly string[],
  point: Point | null,
  fields: readonly string[] | null,
): Promise<ListedRow[]> {
  const { sql } = storage;
  if (point && 'instant' in point) await waitUntilPast(storage, point.instant);
  try {
    return await sql<ListedRow[]>`
      WITH row AS MATERIALIZED (${point ? entitiesThen(sql, ids, point, fields) : entitiesNow(sql, ids, fields)})
      SELECT id, type, key, tick, deleted, "createdAt", "updatedAt",
             CASE WHEN sum(octet_length(properties)) OVER (ORDER BY place) <= ${LIST_BYTES} THEN properties END AS properties
        FROM row CROSS JOIN LATERAL array_position(${arrayText(ids)}::text::uuid[], id) place
       ORDER BY place`;
  } catch (error) {
    throw readFailure(error);
  }
}
