import { type Collection, inOrder } from './collections.js';
import { pageFailure } from './engine/failures.js';
import { arrayText, type Fragment, type Sql } from './engine/pools.js';
import { valueThen } from './filters.js';
import { importedSince, kinds, type Newest, type NewestRow, newestIn, newestOf, type Pin, stateAt } from './pins.js';
import { activityText, closedRanges, PAGE_BYTES, type RangeRow } from './ranges.js';
import type { Storage } from './storage.js';

/* What is asked of all entities of a type at once. */

/** A range of one property of one of them. */
export type TypeRangeRow = RangeRow & { id: string; key: string | null };

/** Where a page of such ranges ended: at the range of an entity that began at a tick. */
export type RangePlace = { id: string; from: number };

export type TypeRanges = { newest: Newest; ranges: TypeRangeRow[]; next: RangePlace | null };

/** After all ranges of an entity. */
const LAST_TICK = 2 ** 31 - 1;

/**
 * A page of the ranges of one property of the entities of a collection, as they were at a pin (a range that ended later is still
 * open): in the order of the entities, those of one oldest first. `from` and `to` leave those that overlap [from, to).
 *
 * Ranges of one entity never overlap, so those in a window are the last one that began before it, if it goes on into it, and those
 * that begin inside: of each entity the btree, backwards for one and then in order.
 */
export async function readTypeRanges(
  { page }: Storage,
  collection: Collection & { type: string },
  property: string,
  { from, to }: { from: string | null; to: string | null },
  pin: Pin,
  { after, limit }: { after: RangePlace | null; limit: number },
  isGone?: () => boolean,
): Promise<TypeRanges> {
  try {
    const rows = await page((sql) => {
      const entities = inOrder(sql, collection, pin, { after: after?.id ?? null, inclusive: true });
      const tickAt = (instant: string, isBefore: Fragment) => sql`
        (SELECT t.tick FROM clocktick.tick t
          WHERE t.entity_id = e.id AND t.at ${isBefore} ${instant}::text::timestamptz ORDER BY t.at DESC LIMIT 1)`;
      const start = from === null ? sql`1` : sql`least(coalesce(${tickAt(from, sql`<=`)}, 1), e.past_tick)`;
      const of = { id: sql`e.id`, property: sql`${property}::text` };
      const until = { first: sql`1`, last: sql`start.tick` };
      const first =
        from === null
          ? sql`1`
          : sql`coalesce((SELECT CASE WHEN upper(c.vclock) > start.tick THEN lower(c.vclock) END
                            FROM (SELECT h.vclock FROM ${closedRanges(sql, of, until, sql`DESC`)} LIMIT 1) c), start.tick)`;
      const beyond =
        after === null ? sql`0` : sql`CASE WHEN e.id = ${after.id}::text::uuid THEN ${after.from}::int4 ELSE 0 END`;
      const end = to === null ? sql`e.past_tick` : sql`least(coalesce(${tickAt(to, sql`<`)}, 0), e.past_tick)`;
      // Nothing overlaps an empty window, although a range may span the place.
      const isEmpty =
        from === null || to === null ? sql`false` : sql`${from}::text::timestamptz >= ${to}::text::timestamptz`;
      const between = { first: sql`greatest(asked.first, asked.beyond)`, last: sql`asked.last` };
      return sql<(NewestRow & (TypeRangeRow | { id: null }) & { nextId: string | null; nextFrom: number | null })[]>`
      WITH RECURSIVE ${kinds(sql, collection.type)}, newest AS MATERIALIZED (${newestOf(sql, pin)}
      ), ${entities.parts} page AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY p.place, p.id, p."from") AS n, p.* FROM (
          SELECT e.id, e.key, e.place, e.past_tick, r.*
            FROM (${entities.entities}) e
           CROSS JOIN LATERAL (SELECT ${start} AS tick) start
           CROSS JOIN LATERAL (
             SELECT ${first} AS first, ${beyond} AS beyond, CASE WHEN ${isEmpty} THEN 0 ELSE ${end} END AS last) asked
           CROSS JOIN LATERAL (
             (SELECT lower(h.vclock) AS "from", upper(h.vclock) AS "to", h.effective, h.value
                FROM ${closedRanges(sql, of, between, sql`ASC`)} LIMIT ${limit + 2})
             UNION ALL
             (SELECT lower(h.vclock), NULL, h.effective, h.value
                FROM clocktick.property_history h
               WHERE h.entity_id = e.id AND h.property = ${property} AND upper_inf(h.vclock) AND lower(h.vclock) <= asked.last)) r
           WHERE r."from" > asked.beyond
           ORDER BY e.place, e.id, r."from" LIMIT ${limit + 1}) p
      ), fitting AS MATERIALIZED (
        SELECT * FROM (
          SELECT page.*, page.value::text AS text, sum(octet_length(page.value::text)) OVER (ORDER BY page.n) AS bytes FROM page
        ) measured WHERE n <= ${limit} AND (n = 1 OR bytes <= ${PAGE_BYTES})
      ), shown AS MATERIALIZED (
        SELECT * FROM (
          SELECT fitting.*, who.activity,
                 fitting.bytes + sum(coalesce(octet_length(who.activity), 0)) OVER (ORDER BY fitting.n) AS weight
            FROM fitting
            LEFT JOIN LATERAL (
              SELECT ${activityText(sql)} AS activity FROM clocktick.activity a
               WHERE a.id = (SELECT t.activity_id FROM clocktick.tick t
                              WHERE t.entity_id = fitting.id AND t.tick = fitting."from")) who ON true
        ) weighed WHERE n = 1 OR weight <= ${PAGE_BYTES}
      ), last AS MATERIALIZED (
        SELECT CASE WHEN more.ranges THEN shown.id ELSE more.id END AS id,
               CASE WHEN more.ranges THEN shown."from" WHEN more.id IS NOT NULL THEN ${LAST_TICK}::int4 END AS "from"
          FROM (SELECT (SELECT count(*) FROM page) > (SELECT count(*) FROM shown) AS ranges, ${entities.lastLookedAt} AS id) more
          LEFT JOIN (SELECT shown.id, shown."from" FROM shown ORDER BY shown.n DESC LIMIT 1) shown ON true
      )
      SELECT newest."asOf", newest."recordedAsOf", last.id AS "nextId", last."from" AS "nextFrom",
             shown.id, shown.key, shown.text AS value, shown."from", lower(shown.effective) AS "fromAt",
             CASE WHEN shown."to" <= shown.past_tick THEN shown."to" END AS "to",
             CASE WHEN shown."to" <= shown.past_tick THEN upper(shown.effective) END AS "toAt", shown.activity
        FROM newest CROSS JOIN last LEFT JOIN shown ON true
       ORDER BY shown.n`;
    }, isGone);
    const [top] = rows;
    const { asOf = null, nextId = null, nextFrom = null } = top ?? {};
    return {
      newest: newestIn(top),
      ranges: rows.flatMap(({ asOf: _, recordedAsOf: __, nextId: ___, nextFrom: ____, ...row }) =>
        row.id === null ? [] : [row],
      ),
      next: asOf === null || nextId === null || nextFrom === null ? null : { id: nextId, from: nextFrom },
    };
  } catch (error) {
    throw pageFailure(error);
  }
}

/** A value, as JSON text, and how many entities held it; null: other values than those that are listed. */
export type CountRow = { at: string; value: string | null; entities: number };

/**
 * For so few instants each entity's state is looked up at each, ten buffers whatever its history; for more each range is read
 * once. (20,000 entities with 50 ranges each: 1.0 s an instant against 3.9 s for any number of them; with five ranges 0.3 s for all.)
 */
const FEW_INSTANTS = 3;

/**
 * How many entities of a type held each value of a property at each of some instants (in order, each once): the `most` frequent
 * values of each, and all others together.
 *
 * A range is counted at the instants that it spans. Of entities that were imported into the time before an instant after
 * `recordedAsOf`, whose ranges were cut since, the states are looked up all the same.
 * @throws Refusal `too_much_to_read`
 */
export async function countValues(
  { count }: Storage,
  type: string,
  property: string,
  { instants, recordedAsOf }: { instants: readonly string[]; recordedAsOf: string },
  most: number,
  isGone?: () => boolean,
): Promise<CountRow[]> {
  try {
    return await count((sql) => {
      const recorded = sql`${recordedAsOf}::text::timestamptz`;
      const isFew = instants.length <= FEW_INSTANTS;
      const looked = isFew
        ? sql`SELECT e.id AS entity_id FROM clocktick.entity e WHERE e.type = ${type}`
        : importedSince(sql, sql`(SELECT max(at) FROM instant)`, recorded);
      return sql<CountRow[]>`
      WITH RECURSIVE ${kinds(sql, type)}, instant AS MATERIALIZED (
        -- Nothing is recorded before it happens: by what was recorded then, nothing is later.
        SELECT u.at, least(u.at, ${recorded}) AS seen, u.n
          FROM unnest(${arrayText(instants)}::text::timestamptz[]) WITH ORDINALITY AS u (at, n)
      ), looked AS MATERIALIZED (${looked}
      ), spanned AS MATERIALIZED (
        -- From after the last instant before it to the last one before its end.
        SELECT h.value, ${instantsBefore(sql, sql`lower(h.effective)`)} AS before, ${instantsBefore(sql, sql`upper(h.effective)`)} AS until
          FROM clocktick.entity e CROSS JOIN LATERAL (${rangesOf(sql, property)}) h
         WHERE ${isFew ? sql`false` : sql`e.type = ${type} AND NOT EXISTS (SELECT FROM looked WHERE looked.entity_id = e.id)`}
      ), counted AS MATERIALIZED (
        SELECT n, value, sum(entities) AS entities
          FROM (SELECT generate_series(s.before + 1, s.until) AS n, s.value, s.entities
                  FROM (SELECT before, until, value, count(*) AS entities FROM spanned WHERE before < until GROUP BY before, until, value) s
                UNION ALL
                SELECT instant.n, held.value, 1
                  FROM looked JOIN clocktick.entity e ON e.id = looked.entity_id CROSS JOIN instant
                 CROSS JOIN LATERAL (${stateAt(sql, sql`instant.seen`, recorded)}) past
                 CROSS JOIN LATERAL (SELECT ${valueThen(sql, sql`${property}::text`)} AS value OFFSET 0) held
                 WHERE held.value IS NOT NULL) c
         GROUP BY n, value
      ), ranked AS MATERIALIZED (
        SELECT n, value, entities, row_number() OVER (PARTITION BY n ORDER BY entities DESC, left(value::text, 100) COLLATE "C",
                                    jsonb_hash_extended(value, 0)) AS rank FROM counted
      ), listed AS MATERIALIZED (
        SELECT n, rank, value::text AS value, sum(octet_length(value::text)) OVER (ORDER BY n, rank) AS bytes
          FROM ranked WHERE rank <= ${most}
      )
      SELECT instant.at, listed.value, coalesce(sum(ranked.entities), 0)::int AS entities
        FROM instant
        LEFT JOIN ranked ON ranked.n = instant.n
        LEFT JOIN listed ON listed.n = ranked.n AND listed.rank = ranked.rank AND listed.bytes <= ${PAGE_BYTES}
       GROUP BY instant.at, listed.value
       ORDER BY instant.at, min(ranked.rank) FILTER (WHERE listed.value IS NOT NULL)`;
    }, isGone);
  } catch (error) {
    throw pageFailure(error);
  }
}

/** The ranges of a property of `e`, each kind by its index. */
const rangesOf = (sql: Sql, property: string): Fragment => sql`
  SELECT h.value, h.effective FROM clocktick.property_history h
   WHERE h.entity_id = e.id AND h.property = ${property} AND upper_inf(h.vclock)
  UNION ALL
  (SELECT h.value, h.effective FROM ${closedRanges(
    sql,
    { id: sql`e.id`, property: sql`${property}::text` },
    { first: sql`1`, last: sql`${LAST_TICK}::int4` },
    sql`ASC`,
  )})`;

/** How many of the instants lie before one; all, where there is none. */
const instantsBefore = (sql: Sql, at: Fragment): Fragment => sql`
  CASE WHEN ${at} IS NULL THEN (SELECT count(*)::int FROM instant)
       ELSE width_bucket(${at} - interval '1 microsecond', (SELECT array_agg(instant.seen ORDER BY instant.n) FROM instant)) END`;
