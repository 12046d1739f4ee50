import type { Past } from '../temporal/entity.js';
import type { Point } from '../temporal/point.js';
import { arrayText, type Fragment, type Sql } from './engine/pools.js';
import { lookups } from './entities.js';
import {
  ANSWER_BYTES,
  type EntityLookup,
  type EntityRow,
  PROVENANCE_BYTES,
  type Provenance,
  type RangeRow,
} from './rows.js';
import { engine, type Storage } from './storage.js';

/** How many ranges an answer holds, of one property and of all: the newest. Beside them, ANSWER_BYTES of what they hold. */
const MOST_RANGES = { ofOne: 1_000, ofAll: 10_000 };

/** An entity has 1,000 properties at a time, but may have had any number: beyond this one, only those it has are shown. */
const MOST_REMOVED = 1_000;

/**
 * How many ranges are read before looking whether the answer is full: a value may have 8 MiB. And who made each is looked for
 * among those of all that are read with it, so many small groups are quicker than one large one.
 */
const RANGES_AT_ONCE = 50;

/** The ranges of one property, oldest first; `truncated`: there are older ones. */
type PropertyRanges = { property: string; truncated: boolean; ranges: RangeRow[] };

/** Ranges of an entity's properties; `omitsRemoved`: of those it no longer had it had had too many to show any. */
export type Nested = { history: PropertyRanges[]; omitsRemoved: boolean };

/** Which entity to read, and of which of its properties the ranges (null: of all it has had); perhaps also who set what. */
type NestedLookup = EntityLookup & { of: readonly string[] | null; withProvenance?: boolean };

/**
 * An entity with the ranges of its properties, now (`point` null) or as of a point, as it was then: one statement, so that
 * both are of one moment. Of each property the newest ranges are read, RANGES_AT_ONCE after the other until the answer is full; what
 * one leaves no room for is left out of all that come after it.
 * @returns undefined: no such entity
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function readNested(
  storage: Storage,
  { of, withProvenance = false, ...question }: NestedLookup,
  point: Point | null,
  signal?: AbortSignal,
): Promise<Past<EntityRow & Partial<Provenance> & { nested: Nested }> | undefined> {
  const { readingLarge, stableInstant } = storage[engine];
  const { id } = question;
  if (point && 'instant' in point) await stableInstant.waitFor(point.instant, signal);
  return readingLarge(async (sql) => {
    const tick = sql`(SELECT state.tick FROM state)`;
    const rows = await sql<Line[]>`
      WITH RECURSIVE state AS MATERIALIZED (
        SELECT q.fields, e.id, e.type, e.key, past.tick, past.deleted, e.created_at AS "createdAt", past.at AS "updatedAt",
               -- Unfolded once, here and below: each look into a stored one would decompress it anew.
               ${point ? sql`whole.properties` : sql`clocktick.all_properties(e.properties, e.untracked)`} || '{}' AS properties,
               clocktick.untracked_at(e.untracked_ticks, past.tick)::text AS untracked
          FROM ${lookups(sql, [{ ...question, point: point ?? { instant: 'infinity' } }])}
          JOIN clocktick.entity e ON e.id = q.id
          LEFT JOIN LATERAL clocktick.state_at(e.id, e.tick, e.updated_at, e.deleted, q.tick, q.instant) past ON true
         CROSS JOIN LATERAL clocktick.properties_at(e.id, e.tick, e.properties, e.since, past.tick, NULL) whole
      ), now AS MATERIALIZED (
        SELECT e.id, e.type, e.tick, e.created_at, e.updated_at, e.properties || '{}' AS properties, e.since || '{}' AS since
          FROM clocktick.entity e WHERE e.id = ${id}::uuid
      ), ${of ? givenNames(sql, of) : allNames(sql, id)}, list AS MATERIALIZED (
        SELECT array_agg(names.name ORDER BY names.n) AS names FROM names
      ), walk (n, before, taken, total, bytes, shown, "from", "to", "fromAt", "toAt", value, activity) AS (
        SELECT 1, NULL::int4, 0::bigint, 0::bigint, 0::numeric, NULL::int4, NULL::int4[], NULL::int4[],
               NULL::timestamptz[], NULL::timestamptz[], NULL::text[], NULL::text[] COLLATE "C"
        UNION ALL
        SELECT CASE WHEN chunk.is_last THEN walk.n + 1 ELSE walk.n END,
               CASE WHEN NOT chunk.is_last THEN chunk.oldest END,
               CASE WHEN chunk.is_last THEN 0 ELSE walk.taken + chunk.count END,
               walk.total + chunk.count, walk.bytes + chunk.bytes, walk.n,
               chunk."from", chunk."to", chunk."fromAt", chunk."toAt", chunk.value, chunk.activity
          FROM walk
         CROSS JOIN LATERAL (
           SELECT (SELECT list.names FROM list)[walk.n] AS name,
                  least(${RANGES_AT_ONCE}::int4, ${MOST_RANGES.ofOne}::int4 - walk.taken, ${MOST_RANGES.ofAll}::int4 - walk.total) AS most,
                  coalesce(walk.before - 1, ${tick}) AS last
           -- Kept apart: put in the place of an argument, a sub-select would keep closed_ranges from being put in place, too.
           OFFSET 0
         ) named
         CROSS JOIN LATERAL (
           WITH range AS MATERIALIZED (
             (SELECT lower(h.vclock) AS "from", NULL::int4 AS "to", h.effective, h.value
                FROM now CROSS JOIN LATERAL clocktick.open_range_of(
                  now.id, now.type, now.tick, now.created_at, now.updated_at, now.properties, now.since, named.name, named.last) h)
             UNION ALL
             (SELECT lower(h.vclock), CASE WHEN upper(h.vclock) <= ${tick} THEN upper(h.vclock) END, h.effective, h.value
                FROM clocktick.closed_ranges(${id}::uuid, named.name, 1, named.last) h
               ORDER BY h.vclock DESC LIMIT named.most)
             ORDER BY "from" DESC LIMIT named.most
           ), clock AS MATERIALIZED (
             SELECT t.tick, t.activity_id FROM clocktick.tick t
              WHERE t.entity_id = ${id}::uuid AND t.tick = ANY (ARRAY(SELECT range."from" FROM range)) AND t.activity_id IS NOT NULL
           ), who AS MATERIALIZED (
             SELECT a.id, clocktick.activity_text(a.id, a.actor, a.reason, a.metadata) AS activity
               FROM clocktick.activity a WHERE a.id = ANY (ARRAY(SELECT DISTINCT clock.activity_id FROM clock))
           ), weighed AS MATERIALIZED (
             SELECT range.*, lower(range.effective) AS "fromAt",
                    CASE WHEN range."to" IS NOT NULL THEN upper(range.effective) END AS "toAt", who.activity,
                    sum(octet_length(range.value::text) + coalesce(octet_length(who.activity), 0))
                      OVER (ORDER BY range."from" DESC) AS bytes
               FROM range
               LEFT JOIN clock opening ON opening.tick = range."from"
               LEFT JOIN who ON who.id = opening.activity_id
           )
           SELECT max(whole.count) AS count, max(whole.bytes) AS bytes, max(whole.oldest) AS oldest,
                  max(whole.count) < named.most OR walk.taken + max(whole.count) >= ${MOST_RANGES.ofOne} AS is_last,
                  array_agg(fits."from") AS "from", array_agg(fits."to") AS "to",
                  array_agg(fits."fromAt") AS "fromAt", array_agg(fits."toAt") AS "toAt",
                  array_agg(fits.value::text) AS value, array_agg(fits.activity) AS activity
             FROM (SELECT count(*) AS count, coalesce(max(weighed.bytes), 0) AS bytes, min(weighed."from") AS oldest FROM weighed) whole
             LEFT JOIN weighed fits ON walk.bytes + fits.bytes <= ${ANSWER_BYTES}
         ) chunk
         WHERE walk.n <= cardinality((SELECT list.names FROM list))
           AND walk.total < ${MOST_RANGES.ofAll} AND walk.bytes <= ${ANSWER_BYTES}
      ), shown AS MATERIALIZED (
        SELECT walk.shown AS n, range.*
          FROM walk
         CROSS JOIN LATERAL unnest(walk."from", walk."to", walk."fromAt", walk."toAt", walk.value, walk.activity)
                 AS range ("from", "to", "fromAt", "toAt", value, activity)
         WHERE range."from" IS NOT NULL
      ), property AS MATERIALIZED (
        SELECT named.n, named.name,
               -- Only where the walk met a bound can anything be left out.
               CASE WHEN kept.count >= ${MOST_RANGES.ofOne} OR named.n >= (SELECT max(walk.n) - 1 FROM walk)
                    THEN coalesce(
                      (SELECT true FROM clocktick.closed_ranges(${id}::uuid, named.name, 1, edge.last) h ORDER BY h.vclock LIMIT 1),
                      (SELECT now.properties ? named.name AND coalesce((now.since ->> named.name)::int4, 1) <= edge.last FROM now))
                    ELSE false END AS truncated
          FROM names named
          LEFT JOIN (SELECT shown.n, count(*) AS count, min(shown."from") AS oldest FROM shown GROUP BY shown.n) kept
            ON kept.n = named.n
         CROSS JOIN LATERAL (SELECT coalesce(kept.oldest - 1, ${tick}) AS last OFFSET 0) edge
      ), line AS (
        SELECT row_number() OVER (ORDER BY property.n, shown."from") AS place, property.name AS property,
               property.truncated, shown."from", shown."to", shown."fromAt", shown."toAt", shown.value, shown.activity
          FROM (SELECT) AS top LEFT JOIN property ON true LEFT JOIN shown ON shown.n = property.n
      )${withProvenance ? told(sql) : sql``}
      SELECT state.id, state.type, state.key, state.tick, state.deleted, state."createdAt", state."updatedAt",
             shown_state.properties::text AS properties, state.untracked,
             ${of ? sql`false` : sql`(SELECT count(*) FROM removed) > ${MOST_REMOVED}`} AS "omitsRemoved",
             line.property, line.truncated, line."from", line."to", line."fromAt", line."toAt", line.value, line.activity${withProvenance ? sql`, told.provenance, told."provenanceTruncated"` : sql``}
        FROM line LEFT JOIN state ON line.place = 1${withProvenance ? sql` LEFT JOIN told ON line.place = 1` : sql``}
        LEFT JOIN LATERAL clocktick.chosen(state.properties, state.fields) shown_state ON true
       ORDER BY line.place`;
    const [top] = rows;
    if (!top || top.id === null) return undefined;
    if (top.tick === null) return { id, tick: null };
    const { type, key, tick: at, deleted, createdAt, updatedAt, properties, untracked, omitsRemoved } = top;
    const entity = { id, type, key, tick: at, deleted, createdAt, updatedAt, properties, untracked };
    const { provenance, provenanceTruncated = null } = top;
    return {
      ...entity,
      ...(provenance === undefined ? {} : { provenance, provenanceTruncated }),
      nested: { history: gather(rows), omitsRemoved },
    };
  }, signal);
}

/** The names that were asked for, in that order; none of a tombstone. */
const givenNames = (sql: Sql, of: readonly string[]): Fragment => sql`
      names AS MATERIALIZED (
        SELECT named.name, named.n::int4
          FROM state CROSS JOIN unnest(${arrayText(of)}::text::text[]) WITH ORDINALITY AS named (name, n)
         WHERE NOT state.deleted
      )`;

/**
 * The names of all properties that the entity had had by then, as jsonb orders them: those that it had, and those of closed
 * ranges that began by then.
 */
const allNames = (sql: Sql, id: string): Fragment => sql`
      removed AS MATERIALIZED (
        SELECT closed.name
          FROM state CROSS JOIN LATERAL clocktick.closed_names(${id}::uuid) closed
         WHERE NOT state.deleted AND closed.first <= state.tick AND NOT state.properties ? closed.name
         LIMIT ${MOST_REMOVED + 1}
      ), names AS MATERIALIZED (
        SELECT held.name, (row_number() OVER (ORDER BY octet_length(held.name), held.name))::int4 AS n
          FROM (SELECT jsonb_object_keys(state.properties) COLLATE "C" AS name FROM state WHERE NOT state.deleted
                UNION ALL
                SELECT removed.name FROM removed WHERE (SELECT count(*) FROM removed) <= ${MOST_REMOVED}) held
      )`;

/** Who set what, as a further part. */
const told = (sql: Sql): Fragment => sql`, told AS MATERIALIZED (
        SELECT told.provenance, told.truncated::text AS "provenanceTruncated"
          FROM state CROSS JOIN now
         CROSS JOIN LATERAL clocktick.provenance_at(
           now.id, now.tick, now.properties, now.since, state.tick, state.fields, ${PROVENANCE_BYTES}::int4) told
      )`;

/** What the statement delivers: a property with one of its ranges, or with none; with the first one, the entity. */
type Line = (
  | { id: null }
  | { id: string; tick: null }
  | (EntityRow & Partial<Provenance> & { omitsRemoved: boolean })
) &
  ({ property: null } | ({ property: string; truncated: boolean } & (RangeRow | { from: null })));

/** Brings the lines of each property together; they come one after the other. */
function gather(lines: readonly Line[]): PropertyRanges[] {
  const history: PropertyRanges[] = [];
  for (const line of lines) {
    if (line.property === null) continue;
    let last = history.at(-1);
    if (last?.property !== line.property) {
      last = { property: line.property, truncated: line.truncated, ranges: [] };
      history.push(last);
    }
    if (line.from === null) continue;
    const { value, from, to, fromAt, toAt, activity } = line;
    last.ranges.push({ value, from, to, fromAt, toAt, activity });
  }
  return history;
}
