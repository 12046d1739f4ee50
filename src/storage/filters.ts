import { INDEXED, type Predicate } from '../temporal/filter.js';
import { arrayText, type Fragment, type Sql } from './engine/pools.js';
import { importedSince, type Pin, stateAsOf } from './pins.js';

/*
 * What is asked of properties, in SQL: as relations, not as pieces of a statement, so that all questions are the same few
 * statements, which a connection prepares once.
 *
 * Names inside the fragments: `kind` (type) the types asked for, `e` the entity, `past` its tick as of a pin, `wanted` the
 * conditions that must hold then and `had` those that must have held by then (n, property, operator, operand).
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
 * How many entities an index may find for them to be put in order; of more, the ones wanted are found sooner by going
 * through the collection in order. To put 5,000 in order takes 20 ms; among a million, of which 5,000 are wanted, the first
 * ten thousand have fifty.
 */
const SORTED = 5_000;

/** What a value is found by (property_history_open_values, property_history_closed_values). */
const valueKey = (sql: Sql, of: { type: Fragment; property: Fragment; value: Fragment }): Fragment =>
  sql`clocktick.value_key(${of.type}, ${of.property}, ${of.value})`;

const keyOfRange = (sql: Sql) => valueKey(sql, { type: sql`h.type`, property: sql`h.property`, value: sql`h.value` });

/** Predicates as a relation. */
const relation = (sql: Sql, conditions: readonly Predicate[]): Fragment => sql`
  SELECT c.* FROM unnest(${arrayText(conditions.map(({ property }) => property))}::text::text[],
                         ${arrayText(conditions.map(({ operator }) => operator))}::text::text[],
                         ${arrayText(conditions.map(({ operand }) => JSON.stringify(operand)))}::text::jsonb[])
    WITH ORDINALITY AS c (property, operator, operand, n)`;

/** Whether a value passes a condition `c`; null is no. */
const passes = (sql: Sql, value: Fragment): Fragment => sql`
  CASE c.operator
    WHEN 'eq' THEN ${value} = c.operand
    WHEN 'ne' THEN jsonb_typeof(${value}) = jsonb_typeof(c.operand) AND ${value} <> c.operand
    WHEN 'in' THEN EXISTS (SELECT FROM jsonb_array_elements(c.operand) o WHERE o.value = ${value})
    WHEN 'has' THEN EXISTS (
      SELECT FROM jsonb_array_elements(CASE jsonb_typeof(${value}) WHEN 'array' THEN ${value} ELSE '[]' END) o WHERE o.value = c.operand)
    WHEN 'hasKey' THEN jsonb_typeof(${value}) = 'object' AND ${value} ? (c.operand #>> '{}')
    WHEN 'exists' THEN (${value} IS NOT NULL) = c.operand::boolean
    ELSE jsonb_typeof(${value}) = jsonb_typeof(c.operand) AND CASE
      WHEN jsonb_typeof(${value}) = 'number' THEN CASE c.operator
        WHEN 'lt' THEN ${value} < c.operand WHEN 'lte' THEN ${value} <= c.operand
        WHEN 'gt' THEN ${value} > c.operand ELSE ${value} >= c.operand END
      -- Strings inside jsonb would compare by the database's locale.
      ELSE CASE c.operator
        WHEN 'lt' THEN (${value} #>> '{}') COLLATE "C" < (c.operand #>> '{}')
        WHEN 'lte' THEN (${value} #>> '{}') COLLATE "C" <= (c.operand #>> '{}')
        WHEN 'gt' THEN (${value} #>> '{}') COLLATE "C" > (c.operand #>> '{}')
        ELSE (${value} #>> '{}') COLLATE "C" >= (c.operand #>> '{}') END
    END
  END`;

/** The value of a property of `e` at the tick of `past`; null where it was not set. */
export const valueThen = (sql: Sql, property: Fragment): Fragment => sql`
  CASE WHEN past.tick = e.tick THEN e.properties -> ${property}
       ELSE (SELECT h.value FROM clocktick.property_range h
              WHERE h.entity_id = e.id AND h.property = ${property} AND h.vclock @> past.tick) END`;

/** Whether all of `wanted` holds of `e` at the tick of `past`. */
const holdsThen = (sql: Sql): Fragment => sql`
  NOT EXISTS (SELECT FROM wanted c CROSS JOIN LATERAL (SELECT ${valueThen(sql, sql`c.property`)} AS value OFFSET 0) v
               WHERE (${passes(sql, sql`v.value`)}) IS NOT TRUE)`;

/**
 * Which entities held what a condition `c` looks for at any time of [from, until], since which tick, and while which. By the
 * value itself, or by the items that arrays and objects have: what is found so is yet to be looked at, as all large values
 * share one. (`=` of the property could go by other indexes, and did while the tables were small: through all that was ever
 * held of it.)
 */
const holders = (sql: Sql, from: Fragment, until: Fragment): Fragment => sql`
  SELECT h.entity_id, lower(h.vclock) AS since, h.vclock AS while
    FROM clocktick.property_history h
   WHERE upper_inf(h.vclock) AND ${keyOfRange(sql)} = k.value_key AND lower(h.effective) <= ${until}
     AND h.value = k.value AND h.property IS NOT DISTINCT FROM c.property AND h.type = kind.type
  UNION ALL
  SELECT h.entity_id, lower(h.vclock), h.vclock
    FROM clocktick.property_history h
   WHERE NOT upper_inf(h.vclock) AND ${keyOfRange(sql)} = k.value_key AND h.effective && tstzrange(${from}, ${until}, '[]')
     AND h.value = k.value AND h.property IS NOT DISTINCT FROM c.property AND h.type = kind.type
  UNION ALL
  SELECT i.entity_id, lower(i.vclock), i.vclock
    FROM clocktick.item_history i WHERE upper_inf(i.vclock) AND i.item = k.item_key AND lower(i.effective) <= ${until}
  UNION ALL
  SELECT i.entity_id, lower(i.vclock), i.vclock
    FROM clocktick.item_history i WHERE NOT upper_inf(i.vclock) AND i.item = k.item_key AND i.effective && tstzrange(${from}, ${until}, '[]')`;

/** By what a condition `c` is found among the entities of a type, as `k`: one key a value, two an item (see items_of). */
const keysOf = (sql: Sql): Fragment => sql`
  (SELECT ${valueKey(sql, { type: sql`kind.type`, property: sql`c.property`, value: sql`o.value` })} AS value_key,
          o.value, NULL::bigint AS item_key
     FROM (SELECT DISTINCT o.value FROM jsonb_array_elements(
             CASE c.operator WHEN 'eq' THEN jsonb_build_array(c.operand) WHEN 'in' THEN c.operand ELSE '[]' END) o) o
    UNION ALL
   SELECT NULL, NULL, i.item
     FROM unnest(CASE c.operator
            WHEN 'has' THEN ARRAY[clocktick.element_key(kind.type, c.property, c.operand), clocktick.many_key(kind.type, c.property)]
            WHEN 'hasKey' THEN ARRAY[clocktick.name_key(kind.type, c.property, c.operand #>> '{}'), clocktick.many_key(kind.type, c.property)]
          END) i (item)) k`;

/** Whether a tick of an entity that was found had been recorded by then: all had, where nothing was imported since. */
const isRecorded = (sql: Sql, tick: Fragment, recorded: Fragment): Fragment => sql`
  (NOT EXISTS (SELECT FROM late)
   OR (SELECT t.recorded_at FROM clocktick.tick t WHERE t.entity_id = f.entity_id AND t.tick = ${tick}) <= ${recorded})`;

/**
 * The parts of a statement, after `kind`, that find by index which entities are wanted: `driver` (n) names the part that
 * finds fewest, if any finds few enough, and `found` (n, entity_id) has what it found.
 *
 * How it is decided follows from the snapshot alone, because where a page ends depends on it. So those that were imported into
 * the time before the pin after it was fixed (`late`), whose ranges were cut short since, are looked at one by one.
 */
export const findings = (sql: Sql, { where, everHad, changedAfter }: Filter, { asOf, recordedAsOf }: Pin): Fragment => {
  const at = sql`${asOf}::text::timestamptz`;
  const recorded = sql`${recordedAsOf}::text::timestamptz`;
  return sql`
  wanted AS MATERIALIZED (${relation(sql, where)}
  ), had AS MATERIALIZED (${relation(sql, everHad)}
  ), late AS MATERIALIZED (${importedSince(sql, at, recorded)}
  ), ever AS MATERIALIZED (
    SELECT f.entity_id
      FROM had c CROSS JOIN kind CROSS JOIN LATERAL ${keysOf(sql)}
     CROSS JOIN LATERAL (${holders(sql, sql`NULL`, at)}) f
     WHERE CASE WHEN k.item_key IS NULL THEN ${isRecorded(sql, sql`f.since`, recorded)}
                ELSE EXISTS (SELECT FROM clocktick.property_range h
                              WHERE h.entity_id = f.entity_id AND h.property = c.property AND h.vclock && f.while
                                AND lower(h.effective) <= ${at} AND ${isRecorded(sql, sql`lower(h.vclock)`, recorded)}
                                AND (${passes(sql, sql`h.value`)})) END
     GROUP BY f.entity_id HAVING count(DISTINCT c.n) = (SELECT count(*) FROM had)
  ), found AS MATERIALIZED (
    SELECT c.n, f.entity_id
      FROM wanted c CROSS JOIN LATERAL (
        SELECT f.entity_id
          FROM kind CROSS JOIN LATERAL ${keysOf(sql)} CROSS JOIN LATERAL (${holders(sql, at, at)}) f
         WHERE NOT EXISTS (SELECT FROM late WHERE late.entity_id = f.entity_id)
         LIMIT ${SORTED + 1}) f
    UNION ALL
    SELECT c.n, e.id
      FROM late JOIN clocktick.entity e ON e.id = late.entity_id CROSS JOIN LATERAL (${stateAsOf(sql, { asOf, recordedAsOf })}) past
     CROSS JOIN wanted c CROSS JOIN LATERAL (SELECT ${valueThen(sql, sql`c.property`)} AS value OFFSET 0) v
     WHERE ${passes(sql, sql`v.value`)}
        -- Those that would have been found because they are so large, too.
        OR c.operator IN ('has', 'hasKey') AND clocktick.many_key(e.type, c.property)
           IN (SELECT i.item FROM clocktick.items_of(e.type, c.property, v.value) i (item))
    UNION ALL
    SELECT 0, ever.entity_id FROM ever
    UNION ALL
    (SELECT -1, t.entity_id
       FROM kind CROSS JOIN LATERAL (
         SELECT t.entity_id FROM clocktick.tick t
          WHERE t.type = kind.type AND t.at > ${changedAfter}::text::timestamptz AND t.at <= ${at} AND t.recorded_at <= ${recorded}) t
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
 * Whether `e` is wanted as of `past`: by everything that is asked, whatever it was found by. (IS TRUE keeps the planner from making
 * a join of it, which would go through all of `ever` for each entity to keep the order: 700 ms a page instead of 60.)
 */
export const isWanted = (sql: Sql, { where, everHad, changedAfter }: Filter): Fragment => sql`
  ${where.length === 0 ? sql`true` : holdsThen(sql)}
  AND ${everHad.length === 0 ? sql`true` : sql`(e.id IN (SELECT ever.entity_id FROM ever)) IS TRUE`}
  AND ${changedAfter === null ? sql`true` : sql`past.at > ${changedAfter}::text::timestamptz`}`;
