import type { Past } from '../temporal/entity.js';
import { arrayText } from './database.js';
import { type EntityRow, entitiesNow, entitiesThen } from './entities.js';
import { readFailure } from './failures.js';
import type { Storage } from './storage.js';

/**
 * How much JSON of properties one answer about many entities may hold; those beyond it come without, so that no URL of a
 * few bytes takes hundreds of megabytes here or more than a string of V8 holds (512 MB). One entity always fits.
 */
const LIST_BYTES = 16 * 2 ** 20;

/** One of many entities; without properties where the answer had no room left for them. */
export type ListedRow = Past<Omit<EntityRow, 'properties'> & { properties: string | null }>;

/**
 * Many entities now (`instant` null) or as of an instant, tombstones included, in the order of their ids, up to LIST_BYTES of
 * properties; ids that were never created are left out.
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function listEntities(
  { sql, clock }: Storage,
  ids: readonly string[],
  instant: string | null,
  fields: readonly string[] | null,
): Promise<ListedRow[]> {
  if (instant !== null) await clock.waitUntilStable(instant);
  const question = sql`
    (SELECT u.id, u.n, ${fields && JSON.stringify(fields)}::text::jsonb AS fields, NULL::int4 AS tick,
            ${instant}::text::timestamptz AS instant
       FROM unnest(${arrayText(ids)}::text::uuid[]) WITH ORDINALITY AS u (id, n)) q`;
  try {
    return await sql<ListedRow[]>`
      WITH row AS MATERIALIZED (${instant === null ? entitiesNow(sql, question) : entitiesThen(sql, question)})
      SELECT id, type, key, tick, deleted, "createdAt", "updatedAt",
             CASE WHEN sum(octet_length(properties)) OVER (ORDER BY n) <= ${LIST_BYTES} THEN properties END AS properties
        FROM row
       ORDER BY n`;
  } catch (error) {
    throw readFailure(error);
  }
}
