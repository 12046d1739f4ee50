import { LAST_TICK } from '../temporal/point.js';
import { type Collection, entitiesInOrder, type Place } from './collections.js';
import { kinds, type Newest, type NewestRow, newestIn, newestOf, type Pin } from './pins.js';
import { ANSWER_BYTES, type RangeRow } from './rows.js';
import { engine, type Storage } from './storage.js';

/** A range of one property of one of them. */
export type TypeRangeRow = RangeRow & { id: string; key: string | null };

/** Where a page of such ranges ended: at the range of an entity that began at a tick. */
export type RangePlace = Omit<Place, 'type'> & { from: number };

type TypeRanges = { newest: Newest; ranges: TypeRangeRow[]; next: RangePlace | null };

/**
 * A page of the ranges of one property of the entities of a collection, as they were at a pin (a range that ended later is still
 * open): in the order of the entities, those of one oldest first. `from` and `to` leave those that overlap [from, to).
 *
 * Ranges of one entity never overlap, so those in a window are the last one that began before it, if it goes on into it, and those
 * that begin inside: of each entity the btree, backwards for one and then in order.
 */
export async function readTypeRanges(
  storage: Storage,
  collection: Collection & { type: string },
  property: string,
  { from, to }: { from: string | null; to: string | null },
  pin: Pin,
  { after, limit }: { after: RangePlace | null; limit: number },
  signal?: AbortSignal,
): Promise<TypeRanges> {
  const { searching, unlessTooMuch } = storage[engine];
  const question = ['ranges', collection, property, after, limit];
  const rows = await unlessTooMuch(question, () =>
    searching((sql) => {
      const entities = entitiesInOrder(sql, collection, pin, {
        after: after && { type: collection.type, ...after },
        inclusive: true,
      });
      const instant = (text: string) => sql`${text}::timestamptz`;
      const start =
        from === null
          ? sql`1`
          : sql`least(coalesce((SELECT t.tick FROM clocktick.tick_at(e.id, ${instant(from)}) t), 1), e.past_tick)`;
      const first =
        from === null
          ? sql`1`
          : sql`coalesce((SELECT lower(h.vclock) FROM clocktick.closed_range_at(e.id, ${property}, start.tick) h), start.tick)`;
      const beyond =
        after === null ? sql`0` : sql`CASE WHEN e.id = ${after.id}::text::uuid THEN ${after.from}::int4 ELSE 0 END`;
      const end =
        to === null
          ? sql`e.past_tick`
          : sql`least((SELECT t.tick FROM clocktick.tick_from(e.id, ${instant(to)}) t) - 1, e.past_tick)`;
      // Nothing overlaps an empty window, although a range may span the place.
      const isEmpty = from === null || to === null ? sql`false` : sql`${from}::timestamptz >= ${to}::timestamptz`;
      return sql<
        (NewestRow &
          (TypeRangeRow | { id: null }) & { nextKey: string; nextId: string | null; nextFrom: number | null })[]
      >`
      WITH ${kinds(sql, collection.type)}, newest AS MATERIALIZED (${newestOf(sql, pin)}
      ), ${entities.parts} page AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY p.place, p.id, p."from") AS n, p.* FROM (
          SELECT e.id, e.key, e.place, e.past_tick, r.*
            FROM (${entities.entities}) e
           CROSS JOIN LATERAL (SELECT ${start} AS tick OFFSET 0) start
           CROSS JOIN LATERAL (
             SELECT greatest(${first}, ${beyond}) AS first, ${beyond} AS beyond, CASE WHEN ${isEmpty} THEN 0 ELSE ${end} END AS last OFFSET 0) asked
           CROSS JOIN LATERAL (
             (SELECT lower(h.vclock) AS "from", upper(h.vclock) AS "to", h.effective, h.value
                FROM clocktick.closed_ranges(e.id, ${property}, asked.first, asked.last) h
               ORDER BY h.vclock LIMIT ${limit + 2})
             UNION ALL
             (SELECT lower(h.vclock), NULL, h.effective, h.value
                FROM clocktick.open_range_of(e.id, e.type, e.tick, e.created_at, e.updated_at, e.properties, e.since, ${property}, asked.last) h)) r
           WHERE r."from" > asked.beyond
           ORDER BY e.place, e.id, r."from" LIMIT ${limit + 1}) p
      ), fitting AS MATERIALIZED (
        SELECT * FROM (
          SELECT page.*, page.value::text AS text, sum(octet_length(page.value::text)) OVER (ORDER BY page.n) AS bytes FROM page
        ) measured WHERE n <= ${limit} AND (n = 1 OR bytes <= ${ANSWER_BYTES})
      ), shown AS MATERIALIZED (
        SELECT * FROM (
          SELECT fitting.*, who.activity,
                 fitting.bytes + sum(coalesce(octet_length(who.activity), 0)) OVER (ORDER BY fitting.n) AS weight
            FROM fitting
            LEFT JOIN LATERAL (
              SELECT clocktick.activity_text(a.id, a.actor, a.reason, a.metadata) AS activity FROM clocktick.activity a
               WHERE a.id = (SELECT t.activity_id FROM clocktick.tick t
                              WHERE t.entity_id = fitting.id AND t.tick = fitting."from")) who ON true
        ) weighed WHERE n = 1 OR weight <= ${ANSWER_BYTES}
      ), last AS MATERIALIZED (
        (SELECT e.place, e.id, e."from" FROM shown e
          WHERE (SELECT count(*) FROM page) > (SELECT count(*) FROM shown) ORDER BY e.n DESC LIMIT 1)
        UNION ALL
        (SELECT last.place, last.id, ${LAST_TICK}::int4 FROM ${entities.lastLookedAt}
          WHERE (SELECT count(*) FROM page) <= (SELECT count(*) FROM shown))
      )
      SELECT newest."asOf", newest."recordedAsOf", last.place AS "nextKey", last.id AS "nextId", last."from" AS "nextFrom",
             shown.id, shown.key, shown.text AS value, shown."from", lower(shown.effective) AS "fromAt",
             CASE WHEN shown."to" <= shown.past_tick THEN shown."to" END AS "to",
             CASE WHEN shown."to" <= shown.past_tick THEN upper(shown.effective) END AS "toAt", shown.activity
        FROM newest LEFT JOIN last ON true LEFT JOIN shown ON true
       ORDER BY shown.n`;
    }, signal),
  );
  const [top] = rows;
  const { asOf = null, nextKey = '', nextId = null, nextFrom = null } = top ?? {};
  return {
    newest: newestIn(top),
    ranges: rows.flatMap(({ asOf: _, recordedAsOf: __, nextKey: ___, nextId: ____, nextFrom: _____, ...row }) =>
      row.id === null ? [] : [row],
    ),
    next: asOf === null || nextId === null || nextFrom === null ? null : { key: nextKey, id: nextId, from: nextFrom },
  };
}
