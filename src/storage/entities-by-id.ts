import type { Past } from '../temporal/entity.js';
import { arrayText } from './engine/pools.js';
import { entitiesNow, entitiesThen } from './entities.js';
import { type InstantMoment, instantOfMoment } from './moments.js';
import { ANSWER_BYTES, type EntityRow } from './rows.js';
import { engine, type Storage } from './storage.js';

/** One of many entities; without properties where the answer had no room left for them. */
export type ListedRow = Past<Omit<EntityRow, 'properties'> & { properties: string | null }>;

/**
 * Many entities at one moment, tombstones included, in the order in which they were asked for, up to ANSWER_BYTES of
 * properties; ids that were never created are left out. A date before the first of them was created means the moment when it was
 * (RFC 7089 section 4.5.3).
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function listEntities(
  storage: Storage,
  ids: readonly string[],
  moment: InstantMoment,
  fields: readonly string[] | null,
): Promise<ListedRow[]> {
  const instant = await instantOfMoment(storage, moment);
  const rows = await listAsOf(storage, ids, instant, fields);
  if (!moment || !('date' in moment) || rows.length === 0 || rows.some(({ tick }) => tick !== null)) return rows;
  const now = await listAsOf(storage, ids, null, []);
  const [first = null] = now.flatMap((row) => (row.tick === null ? [] : [row.createdAt])).sort();
  return listAsOf(storage, ids, first, fields);
}

/** @param instant null: now */
async function listAsOf(
  storage: Storage,
  ids: readonly string[],
  instant: string | null,
  fields: readonly string[] | null,
): Promise<ListedRow[]> {
  const { reading, stableInstant } = storage[engine];
  if (instant !== null) await stableInstant.waitFor(instant);
  return reading((sql) => {
    const question = sql`
      (SELECT u.id, u.n, ${fields && JSON.stringify(fields)}::text::jsonb AS fields, NULL::int4 AS tick,
              ${instant}::timestamptz AS instant
         FROM unnest(${arrayText(ids)}::text::uuid[]) WITH ORDINALITY AS u (id, n)) q`;
    return sql<ListedRow[]>`
      WITH row AS MATERIALIZED (${instant === null ? entitiesNow(sql, question) : entitiesThen(sql, question)})
      SELECT id, type, key, tick, deleted, "createdAt", "updatedAt",
             CASE WHEN sum(octet_length(properties)) OVER (ORDER BY n) <= ${ANSWER_BYTES} THEN properties END AS properties
        FROM row
       ORDER BY n`;
  });
}
