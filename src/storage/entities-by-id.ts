import type { Past } from '../temporal/entity.js';
import { type Known, knownPoint, LAST_TICK } from '../temporal/point.js';
import { arrayText } from './engine/pools.js';
import { entitiesNow, entitiesThen, lookups } from './entities.js';
import { readKnown } from './known.js';
import { type InstantMoment, instantOfMoment } from './moments.js';
import { ANSWER_BYTES, type EntityRow, type PastLookup } from './rows.js';
import { engine, type Storage } from './storage.js';

/** One of many entities; without properties where the answer had no room left for them. */
export type ListedRow = Past<Omit<EntityRow, 'properties'> & { properties: string | null }>;

/** Which of their properties to read (null: all), and by what was recorded by when (null: all of it). */
type ListQuestion = { fields: readonly string[] | null; recordedAsOf: string | null };

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
  { fields, recordedAsOf }: ListQuestion,
): Promise<ListedRow[]> {
  const known = recordedAsOf === null ? null : await readKnown(storage, ids, recordedAsOf);
  const instant = await instantOfMoment(storage, moment);
  const rows = await listAsOf(storage, ids, instant, { fields, known, isMemento: moment !== null });
  if (!moment || !('date' in moment) || rows.length === 0 || rows.some(({ tick }) => tick !== null)) return rows;
  const now = await listAsOf(storage, ids, null, { fields: [], known, isMemento: false });
  const [first = null] = now.flatMap((row) => (row.tick === null ? [] : [row.createdAt])).sort();
  return listAsOf(storage, ids, first, { fields, known, isMemento: true });
}

/**
 * @param instant null: now. `known`: what may be seen of each, and of no other; null: all. `isMemento`: without what is not kept, also of now
 */
async function listAsOf(
  storage: Storage,
  ids: readonly string[],
  instant: string | null,
  {
    fields,
    known,
    isMemento,
  }: { fields: readonly string[] | null; known: ReadonlyMap<string, Known> | null; isMemento: boolean },
): Promise<ListedRow[]> {
  const { reading, stableInstant } = storage[engine];
  if (instant !== null) await stableInstant.waitFor(instant);
  const point = instant === null ? null : { instant };
  const questions =
    known &&
    ids.map((id): PastLookup => {
      const ofIt = known.get(id);
      return { id, fields, point: ofIt ? knownPoint(point, ofIt) : { tick: LAST_TICK } };
    });
  return reading((sql) => {
    const relation = questions
      ? lookups(sql, questions)
      : sql`
      (SELECT u.id, u.n, ${fields && JSON.stringify(fields)}::text::jsonb AS fields, NULL::int4 AS tick,
              ${instant ?? (isMemento ? 'infinity' : null)}::timestamptz AS instant
         FROM unnest(${arrayText(ids)}::text::uuid[]) WITH ORDINALITY AS u (id, n)) q`;
    return sql<ListedRow[]>`
      WITH row AS MATERIALIZED (${instant === null && !isMemento && !questions ? entitiesNow(sql, relation) : entitiesThen(sql, relation)})
      SELECT id, type, key, tick, deleted, "createdAt", "updatedAt",
             CASE WHEN sum(octet_length(properties)) OVER (ORDER BY n) <= ${ANSWER_BYTES} THEN properties END AS properties, untracked
        FROM row
       ORDER BY n`;
  });
}
