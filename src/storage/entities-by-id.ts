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
 * properties; ids that were never created are left out.
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function listEntities(
  storage: Storage,
  ids: readonly string[],
  moment: InstantMoment,
  fields: readonly string[] | null,
): Promise<ListedRow[]> {
  const { reading, stableInstant } = storage[engine];
  const instant = await instantOfMoment(storage, moment);
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
