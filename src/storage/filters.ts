import { INDEXED, type Predicate } from '../temporal/filter.js';
import { LAST_TICK } from '../temporal/point.js';
import { arrayText, type Fragment, type Sql } from './engine/pools.js';
import { instants, type Pin, stateAsOf } from './pins.js';

/*
 * What is asked of properties, in SQL: as relations, not as pieces of a statement, so that all questions are the same few
 * statements, which a connection prepares once.
 *
 * The parts go by these names: `kind` (type) the types asked for; `e` the entity, `past` (tick, at, deleted) its state as of
 * the pin; `wanted` and `had` (n, property, operator, operand) the predicates that must hold then, and those that must have held
 * by then.
 */

/**
 * Which entities are wanted: those of which all of `where` holds at the pin, all of `everHad` held at any time until then, and
 * which have changed after `changedAfter`.
 */
export type Filter = { where: readonly Predicate[]; everHad: readonly Predicate[]; changedAfter: string | null };

/** Whether everything passes a filter. */
export const passesAll = ({ where, everHad, changedAfter }: Filter): boolean =>
  where.length === 0 && everHad.length === 0 && changedAfter === null;

/**
 * How many entities an index may find for them to be put in order. Of more, the query finds the wanted ones sooner by going
 * through the collection in order.
 */
const SORTED = 5_000;

/** Predicates as a relation. */
const relation = (sql: Sql, predicates: readonly Predicate[]): Fragment => sql`
    SELECT c.* FROM unnest(${arrayText(predicates.map(({ property }) => property))}::text::text[],
                           ${arrayText(predicates.map(({ operator }) => operator))}::text::text[],
                           ${arrayText(predicates.map(({ operand }) => JSON.stringify(operand)))}::text::jsonb[])
      WITH ORDINALITY AS c (property, operator, operand, n)`;

/**
 * The parts of a statement, after `kind`, that find by index which entities are wanted: `driver` (n) names the predicate that
 * finds fewest, if any finds few enough, and `found` (n, entity_id) has what it found (n of 0: by everHad; of -1: by when they
 * changed).
 *
 * Where a page ends depends on that choice, so the choice follows from the snapshot alone. What was imported into the time before
 * the pin after the pin was fixed (`late`) has cut ranges short since: those entities are looked at one by one. (IS NOT TRUE keeps the
 * planner from joining them, which it did one way round or the other.)
 */
export const findings = (sql: Sql, { where, everHad, changedAfter }: Filter, pin: Pin): Fragment => {
  const at = sql`${pin.asOf}::timestamptz`;
  const recorded = sql`${pin.recordedAsOf}::timestamptz`;
  /** Whether a tick of `f` had been recorded by then: all had, where nothing was imported since. */
  const isRecorded = (tick: Fragment) => sql`
    (NOT EXISTS (SELECT FROM late)
     OR (SELECT t.recorded_at FROM clocktick.tick t WHERE t.entity_id = f.entity_id AND t.tick = ${tick}) <= ${recorded})`;
  return sql`
  wanted AS MATERIALIZED (${relation(sql, where)}
  ), had AS MATERIALIZED (${relation(sql, everHad)}
  ), late AS MATERIALIZED (
    SELECT DISTINCT i.entity_id FROM kind CROSS JOIN LATERAL clocktick.imported_since(kind.type, ${instants(sql, pin)}) i
  ), ever AS MATERIALIZED (
    SELECT f.entity_id
      FROM had c CROSS JOIN kind
     CROSS JOIN LATERAL clocktick.search_keys(kind.type, c.property, c.operator, c.operand) k
     CROSS JOIN LATERAL clocktick.holders(kind.type, c.property, k.value_key, k.value, k.item_key, NULL, ${at}) f
     WHERE CASE WHEN k.item_key IS NULL AND f.since IS NOT NULL THEN ${isRecorded(sql`f.since`)}
                WHEN k.item_key IS NULL THEN EXISTS (
                  SELECT FROM clocktick.open_range(f.entity_id, c.property, ${LAST_TICK}::int4) h
                   WHERE h.type = kind.type AND h.value = k.value AND lower(h.effective) <= ${at} AND ${isRecorded(sql`lower(h.vclock)`)})
                ELSE EXISTS (
                  SELECT FROM (SELECT coalesce(upper(f.held) - 1, ${LAST_TICK}::int4) AS last) item
                   CROSS JOIN LATERAL clocktick.ranges_in(f.entity_id, c.property, f.since, item.last) h
                   CROSS JOIN LATERAL clocktick.passing(h.value, c.operator, c.operand) p
                   WHERE lower(h.effective) <= ${at} AND ${isRecorded(sql`lower(h.vclock)`)}) END
     GROUP BY f.entity_id HAVING count(DISTINCT c.n) = (SELECT count(*) FROM had)
  ), found AS MATERIALIZED (
    SELECT c.n, f.entity_id
      FROM wanted c CROSS JOIN LATERAL (
        SELECT f.entity_id
          FROM kind CROSS JOIN LATERAL clocktick.search_keys(kind.type, c.property, c.operator, c.operand) k
         CROSS JOIN LATERAL clocktick.holders(kind.type, c.property, k.value_key, k.value, k.item_key, ${at}, ${at}) f
         WHERE (f.entity_id IN (SELECT late.entity_id FROM late)) IS NOT TRUE
         LIMIT ${SORTED + 1}) f
    UNION ALL
    SELECT c.n, e.id
      FROM late CROSS JOIN LATERAL (SELECT e.* FROM clocktick.entity e WHERE e.id = late.entity_id LIMIT 1) e
     CROSS JOIN LATERAL ${stateAsOf(sql, pin)}
     CROSS JOIN wanted c CROSS JOIN LATERAL clocktick.value_at(e.id, e.properties, e.since, c.property, past.tick) v
     WHERE EXISTS (SELECT FROM clocktick.passing(v.value, c.operator, c.operand))
        -- Those that an index would have found because they have too many items, too.
        OR c.operator IN ('has', 'hasKey') AND clocktick.many_key(e.type, c.property)
           IN (SELECT i.item FROM clocktick.items_of(e.type, c.property, v.value) i (item))
    UNION ALL
    SELECT 0, ever.entity_id FROM ever
    UNION ALL
    (SELECT -1, t.entity_id
       FROM kind CROSS JOIN LATERAL (
         SELECT t.entity_id FROM clocktick.tick t
          WHERE t.type = kind.type AND t.at > ${changedAfter}::timestamptz AND t.at <= ${at} AND t.recorded_at <= ${recorded}) t
      LIMIT ${SORTED + 1})
  ), driver AS MATERIALIZED (
    SELECT finder.n
      FROM (SELECT c.n FROM wanted c WHERE c.operator = ANY (${arrayText(INDEXED)}::text::text[])
            UNION ALL SELECT 0 WHERE EXISTS (SELECT FROM had)
            UNION ALL SELECT -1 WHERE ${changedAfter}::text IS NOT NULL) finder
     CROSS JOIN LATERAL (SELECT count(*) AS size FROM found WHERE found.n = finder.n) found
     WHERE found.size <= ${SORTED}
     ORDER BY found.size, finder.n LIMIT 1
  )`;
};

/**
 * Whether `e` is wanted as of `past`: by everything that is asked, whatever it was found by. (IS TRUE keeps the planner from
 * making a join of it, which would go through all of `ever` for each entity to keep the order.)
 */
export const isWanted = (sql: Sql, { where, everHad, changedAfter }: Filter): Fragment => sql`
  ${
    where.length === 0
      ? sql`true`
      : sql`
  NOT EXISTS (
    SELECT FROM wanted c CROSS JOIN LATERAL clocktick.value_at(e.id, e.properties, e.since, c.property, past.tick) v
     WHERE NOT EXISTS (SELECT FROM clocktick.passing(v.value, c.operator, c.operand)))`
  }
  AND ${everHad.length === 0 ? sql`true` : sql`(e.id IN (SELECT ever.entity_id FROM ever)) IS TRUE`}
  AND ${changedAfter === null ? sql`true` : sql`past.at > ${changedAfter}::timestamptz`}`;
