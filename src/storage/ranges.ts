import type { Known, Point } from '../temporal/point.js';
import type { Fragment, Sql } from './engine/pools.js';
import { pointFor } from './known.js';
import { ANSWER_BYTES } from './rows.js';
import { engine, type Storage } from './storage.js';

export type Order = 'asc' | 'desc';

/**
 * Which part of a history to read. `until` is the last tick that may be seen, which pins a walk through pages to that of its first page
 * (null: the entity's last one); `after` is where the last page ended.
 */
export type HistoryPage = { until: number | null; after: number | null; order: Order; limit: number };

/**
 * A page, its ranges as JSON texts with commas between, or what there is instead of one; `until` is the newest tick that the page may
 * know of, `isUntracked` whether the values of the property are not kept as of that, and `last` where its last range began.
 */
type Ranges =
  | { found: 'page'; until: number; isUntracked: boolean; more: boolean; items: string; last: number | null }
  | { found: 'no entity' | 'no tick' }
  | { found: 'no property'; until: number };

/** What every row of a page says of the whole. */
export type Bound = { until: number; more: boolean };

/** The tick a point falls on, as a scalar; null when the entity did not exist then. */
export const tickAt = (sql: Sql, id: string, point: Point): Fragment =>
  'tick' in point
    ? sql`${point.tick}::int4`
    : sql`(SELECT t.tick FROM clocktick.tick_at(${id}::uuid, ${point.instant}::timestamptz) t)`;

/** The first tick at a point or after it, as a scalar: where half-open windows of ticks or instants begin, and end. */
export const tickFrom = (sql: Sql, id: string, point: Point): Fragment =>
  'tick' in point
    ? sql`${point.tick}::int4`
    : sql`(SELECT t.tick FROM clocktick.tick_from(${id}::uuid, ${point.instant}::timestamptz) t)`;

/**
 * A page of one property's ranges, oldest first or newest first. `from` and `to` leave the ranges that overlap
 * [from, to), in ticks or instants.
 *
 * Ranges of one property never overlap, so those that overlap a window are the one that contains its start and those
 * that start inside it: one look-up, then the index in order, whatever the depth. The two kinds of ranges are
 * read apart, because the planner does not carry an order through the view and would read them all to sort them. Who made
 * them is fetched for the whole page at once: from PostgreSQL 17 on, neighbours in one leaf of the clock's primary key
 * instead of a descent for each.
 */
export async function readRanges(
  storage: Storage,
  id: string,
  property: string,
  window: { from: Point | null; to: Point | null },
  page: HistoryPage,
): Promise<Ranges> {
  return storage[engine].reading(async (sql) => {
    const direction = page.order === 'desc' ? sql`DESC` : sql`ASC`;
    // Where the last page ended: this one begins after it, or newest first ends before it.
    const [after, before] = [
      page.after !== null && page.order === 'asc' ? sql`least(${page.after}::int4, until)` : sql`NULL::int4`,
      page.after !== null && page.order === 'desc' ? sql`${page.after}::int4` : sql`NULL::int4`,
    ];
    const { from, to } = window;
    const seen = sql`least(${page.until}::int4, e.tick)`;
    // An instant after the last tick that may be seen lies in that one, whatever ticks came before the instant since.
    const start =
      from && ('tick' in from ? tickAt(sql, id, from) : sql`least(coalesce(${tickAt(sql, id, from)}, 1), ${seen})`);
    const end = to
      ? 'tick' in to
        ? tickFrom(sql, id, to)
        : sql`least(${tickFrom(sql, id, to)}, until + 1)`
      : sql`NULL::int4`;
    // A tick after it is looked for there as well: the range that is open there may have ended since.
    const place = start ? sql`least(pinned.start, pinned.until)` : sql`pinned.start`;
    // Nothing overlaps an empty window, although a range may span the place. Two instants can lie within one tick.
    const isEmpty =
      from && to && 'instant' in from && 'instant' in to
        ? sql`${from.instant}::timestamptz >= ${to.instant}::timestamptz`
        : start && to
          ? sql`pinned.start >= ${end}`
          : sql`false`;
    const [row] = await sql<
      (Bound & { items: string | null; last: number | null; held: boolean; isUntracked: boolean })[]
    >`
      WITH bound AS MATERIALIZED (
        SELECT until, clocktick.untracked_at(pinned.untracked_ticks, until) ? ${property}::text IS TRUE AS is_untracked,
               greatest(coalesce(lower(around.vclock), pinned.start), ${after} + 1) AS first,
               CASE WHEN ${isEmpty} THEN 0 ELSE least(until, ${end} - 1, ${before} - 1) END AS last
          FROM (SELECT ${seen} AS until, ${start ?? sql`1`} AS start, e.untracked_ticks
                  FROM clocktick.entity e WHERE e.id = ${id}::uuid OFFSET 0) pinned
          LEFT JOIN LATERAL clocktick.closed_range_at(${id}::uuid, ${property}::text, ${place}) around ON true
      ), page AS MATERIALIZED (
        -- As clocktick.closed_ranges has it. That is told columns, not sub-selects, and the planner would filter by them all that there is.
        (SELECT lower(h.vclock) AS "from", upper(h.vclock) AS "to", h.effective, coalesce(h.short_value, h.long_value) AS value
           FROM clocktick.property_history h
          WHERE h.entity_id = ${id}::uuid AND h.property = ${property}
                AND h.vclock > int4range((SELECT first FROM bound) - 1, NULL) AND h.vclock <= int4range((SELECT last FROM bound), NULL)
          ORDER BY h.vclock ${direction} LIMIT ${page.limit + 1})
        UNION ALL
        (SELECT lower(h.vclock), NULL, h.effective, h.value
           FROM bound CROSS JOIN LATERAL clocktick.open_range(${id}::uuid, ${property}::text, bound.last) h
          WHERE lower(h.vclock) > coalesce(${after}, 0))
        ORDER BY "from" ${direction} LIMIT ${page.limit + 1}
      ), fitting AS MATERIALIZED (
        SELECT * FROM (
          SELECT "from", "to", effective, value::text AS value, row_number() OVER place AS n,
                 sum(octet_length(value::text)) OVER place AS bytes
            FROM page WINDOW place AS (ORDER BY "from" ${direction})
        ) measured WHERE n <= ${page.limit} AND (n = 1 OR bytes <= ${ANSWER_BYTES})
      ), clock AS MATERIALIZED (
        SELECT t.tick, t.activity_id
          FROM clocktick.tick t
         WHERE t.entity_id = ${id}::uuid AND t.tick = ANY (ARRAY(SELECT "from" FROM fitting)) AND t.activity_id IS NOT NULL
      ), who AS MATERIALIZED (
        SELECT a.id, clocktick.activity_text(a.id, a.actor, a.reason, a.metadata) AS activity
          FROM clocktick.activity a WHERE a.id = ANY (ARRAY(SELECT DISTINCT activity_id FROM clock))
      ), shown AS MATERIALIZED (
        SELECT * FROM (
          SELECT fitting.*, who.activity,
                 fitting.bytes + sum(coalesce(octet_length(who.activity), 0)) OVER (ORDER BY fitting.n) AS weight
            FROM fitting
            LEFT JOIN clock opening ON opening.tick = fitting."from"
            LEFT JOIN who ON who.id = opening.activity_id
        ) weighed WHERE n = 1 OR weight <= ${ANSWER_BYTES}
      )
      SELECT bound.until, bound.is_untracked AS "isUntracked", (SELECT count(*) FROM page) > whole.count AS more, whole.items, whole.last,
             CASE WHEN whole.count > 0 THEN true
                  ELSE (SELECT w.was_set FROM clocktick.was_set(${id}::uuid, ${property}::text, bound.until) w) END AS held
        FROM bound
       CROSS JOIN LATERAL (
         SELECT count(*) AS count, (array_agg(shown."from" ORDER BY shown.n DESC))[1] AS last,
                string_agg(clocktick.range_text(
                  shown.value, shown."from", CASE WHEN shown."to" <= bound.until THEN shown."to" END,
                  lower(shown.effective), CASE WHEN shown."to" <= bound.until THEN upper(shown.effective) END, shown.activity
                ), ', ' ORDER BY shown.n) AS items
           FROM shown) whole`;
    if (!row) return { found: 'no entity' };
    const { until, more, last, held, isUntracked } = row;
    return held || isUntracked
      ? { found: 'page', until, isUntracked, more, items: row.items ?? '', last }
      : { found: 'no property', until };
  });
}

/**
 * The one range of a property that contains a point (`@>`), as it was then: still open. No range where the property was
 * not set at that point; 'no property' where it had never been set by then, so that the answer never changes later.
 * @param known what may be seen of the entity; null: all
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function readRangeAsOf(
  storage: Storage,
  id: string,
  property: string,
  asked: Point,
  known: Known | null,
): Promise<Ranges> {
  const point = await pointFor(storage, asked, known);
  return storage[engine].reading(async (sql) => {
    const [row] = await sql<
      { until: number | null; latest: number; items: string | null; held: boolean; isUntracked: boolean }[]
    >`
      WITH past AS MATERIALIZED (
        SELECT e.tick AS latest, e.untracked_ticks, ${tickAt(sql, id, point)} AS tick FROM clocktick.entity e WHERE e.id = ${id}::uuid
      ), held AS MATERIALIZED (
        SELECT lower(h.vclock) AS "from", lower(h.effective) AS "fromAt", h.value
          FROM past CROSS JOIN LATERAL clocktick.range_at(${id}::uuid, ${property}::text, past.tick) h
      )
      SELECT past.tick AS until, past.latest,
             clocktick.untracked_at(past.untracked_ticks, past.tick) ? ${property}::text IS TRUE AS "isUntracked",
             clocktick.range_text(held.value::text, held."from", NULL, held."fromAt", NULL, who.activity) AS items,
             held."from" IS NOT NULL
               OR (SELECT w.was_set FROM clocktick.was_set(${id}::uuid, ${property}::text, past.tick) w) AS held
        FROM past
        LEFT JOIN held ON true
       CROSS JOIN LATERAL (
          SELECT (SELECT clocktick.activity_text(a.id, a.actor, a.reason, a.metadata) FROM clocktick.activity a
                   WHERE a.id = (SELECT t.activity_id FROM clocktick.tick t
                                  WHERE t.entity_id = ${id}::uuid AND t.tick = held."from")) AS activity OFFSET 0) who`;
    if (!row || row.until === null) return { found: 'no entity' };
    if (row.until > row.latest) return { found: 'no tick' };
    const { until, isUntracked, held } = row;
    if (!held && !isUntracked) return { found: 'no property', until };
    return { found: 'page', until, isUntracked, more: false, items: row.items ?? '', last: null };
  });
}
