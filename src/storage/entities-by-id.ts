import type { Past } from '../temporal/entity.js';
import { type Known, knownPoint, LAST_TICK } from '../temporal/point.js';
import { arrayText, type Fragment, type Sql } from './engine/pools.js';
import { entitiesNow, entitiesThen, lookups } from './entities.js';
import { readKnown } from './known.js';
import { type InstantMoment, instantOfMoment } from './moments.js';
import { ANSWER_BYTES, type EntityRow, type PastLookup, PROVENANCE_BYTES, type Provenance } from './rows.js';
import { engine, type Storage } from './storage.js';

/** One of many entities; without properties where the answer had no room left for them. */
export type ListedRow = Past<Omit<EntityRow, 'properties'> & Partial<Provenance> & { properties: string | null }>;

/** Which of their properties to read (null: all), perhaps with who set them, and by what was recorded by when (null: all of it). */
type ListQuestion = { fields: readonly string[] | null; withProvenance?: boolean; recordedAsOf: string | null };

/**
 * Many entities at one moment, tombstones included, in the order in which they were asked for, up to ANSWER_BYTES of
 * properties, and of who set them; ids that were never created are left out. A date before the first of them was created means the moment when it was
 * (RFC 7089 section 4.5.3).
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function listEntities(
  storage: Storage,
  ids: readonly string[],
  moment: InstantMoment,
  { fields, withProvenance = false, recordedAsOf }: ListQuestion,
): Promise<ListedRow[]> {
  const known = recordedAsOf === null ? null : await readKnown(storage, ids, recordedAsOf);
  const instant = await instantOfMoment(storage, moment);
  const rows = await listAsOf(storage, ids, instant, { fields, withProvenance, known, isMemento: moment !== null });
  if (!moment || !('date' in moment) || rows.length === 0 || rows.some(({ tick }) => tick !== null)) return rows;
  const now = await listAsOf(storage, ids, null, { fields: [], withProvenance: false, known, isMemento: false });
  const [first = null] = now.flatMap((row) => (row.tick === null ? [] : [row.createdAt])).sort();
  return listAsOf(storage, ids, first, { fields, withProvenance, known, isMemento: true });
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
    withProvenance,
    known,
    isMemento,
  }: {
    fields: readonly string[] | null;
    withProvenance: boolean;
    known: ReadonlyMap<string, Known> | null;
    isMemento: boolean;
  },
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
    const entities = instant === null && !isMemento && !questions ? entitiesNow : entitiesThen;
    if (withProvenance) return sql<ListedRow[]>`${oneByOne(sql, relation, entities)}`;
    return sql<ListedRow[]>`
      WITH row AS MATERIALIZED (${entities(sql, relation)})
      SELECT id, type, key, tick, deleted, "createdAt", "updatedAt",
             CASE WHEN sum(octet_length(properties)) OVER (ORDER BY n) <= ${ANSWER_BYTES} THEN properties END AS properties, untracked
        FROM row
       ORDER BY n`;
  });
}

/**
 * The entities of a relation with who set what, one after the other: to tell that of one may take a thousand large activities, and
 * once the answer is full, nothing more is read for it.
 */
const oneByOne = (sql: Sql, relation: Fragment, entities: typeof entitiesNow): Fragment => sql`
      WITH RECURSIVE asked AS MATERIALIZED (
        SELECT q.* FROM ${relation}
      ), walk (place, bytes, id, type, key, tick, deleted, "createdAt", "updatedAt", properties, untracked, provenance, "provenanceTruncated") AS (
        SELECT 0::bigint, 0::bigint, NULL::uuid, NULL::text COLLATE "C", NULL::text COLLATE "C", NULL::int4, NULL::boolean,
               NULL::timestamptz, NULL::timestamptz, NULL::text, NULL::text, NULL::text COLLATE "C", NULL::text
        UNION ALL
        SELECT walk.place + 1, walk.bytes + coalesce(octet_length(one.properties) + octet_length(one.provenance), 0), one.id, one.type, one.key,
               one.tick, one.deleted, one."createdAt", one."updatedAt", one.properties, one.untracked, one.provenance, one."provenanceTruncated"
          FROM walk
          LEFT JOIN LATERAL (${entities(
            sql,
            sql`
            (SELECT a.id, a.n, a.tick, a.instant, CASE WHEN walk.bytes > ${ANSWER_BYTES} THEN '[]' ELSE a.fields END AS fields
               FROM asked a WHERE a.n = walk.place + 1) q`,
            { provenance: PROVENANCE_BYTES },
          )}) one ON true
         WHERE walk.place < (SELECT count(*) FROM asked)
      )
      SELECT walk.id, walk.type, walk.key, walk.tick, walk.deleted, walk."createdAt", walk."updatedAt", walk.untracked,
             fitting.properties, fitting.provenance, fitting."provenanceTruncated"
        FROM walk
        LEFT JOIN LATERAL (SELECT walk.properties, walk.provenance, walk."provenanceTruncated") fitting ON walk.bytes <= ${ANSWER_BYTES}
       WHERE walk.id IS NOT NULL
       ORDER BY walk.place`;
