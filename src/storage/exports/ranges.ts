import { entitiesInOrder, LIGHT_BYTES } from '../collections.js';
import { arrayText, type Fragment, type Sql } from '../engine/pools.js';
import type { Pin } from '../pins.js';
import { engine, type Storage } from '../storage.js';
import { cellText, PAGE_BYTES, type RowsOfType, withEnds } from './rows.js';

/** How many ranges a page has at most, and of how many entities. */
const RANGES_AT_ONCE = 2_000;
const ENTITIES_AT_ONCE = 500;

/** How a range `e` is written. */
type Form = (sql: Sql) => Fragment;

/** As a line of JSON: whose and of which property, and then as histories show it. */
export const rangeLine: Form = (sql) => sql`
  '{"id": "' || e.id::text || '", "type": "' || e.type || '"' || coalesce(', "key": ' || to_json(e.key)::text, '')
    || ', "property": ' || to_json(e.property)::text || ', '
    || substr(clocktick.range_text(e.value::text, e."from", e.until, e.from_at, e.until_at,
                                   CASE WHEN a.id IS NOT NULL THEN clocktick.activity_text(a.id, a.actor, a.reason, a.metadata) END), 2)`;

/** As a row of a table. */
export const rangeCells: Form = (sql) => sql`
  to_json(ARRAY[e.id::text, e.key, e.property, ${cellText(sql, sql`e.value`)}, clocktick.instant_text(e.from_at),
                clocktick.instant_text(e.until_at), e."from"::text, e.until::text, a.actor, a.reason])::text`;

/** Where the next page begins stands beside the rows; without an id: nowhere. */
type RangesRow = {
  rows: string | null;
  place: string;
  id: string | null;
  property: string | null;
  from: number | null;
};

/**
 * The ranges of the entities of a type as they were at a pin, those of deleted ones, too: in the order of the entities, of their properties
 * and of time, after a place: (key, id, property, from), or (key, id) at the end of an entity.
 *
 * What is stored is weighed before it is read. Of entities that are large only as many are opened as may be large together.
 */
export async function readRangesPage(
  storage: Storage,
  { type, fields, form }: { type: string; fields: readonly string[] | null; form: Form },
  pin: Pin,
  after: readonly string[] | null,
): Promise<RowsOfType> {
  const all = { type, keyPrefix: null, deleted: 'include', where: [], everHad: [], changedAfter: null } as const;
  const [key = '', id = '', property, from = ''] = after ?? [];
  const [row] = await storage[engine].exporting((sql) => {
    const { entities } = entitiesInOrder(sql, all, pin, {
      after: after && { type, key, id },
      inclusive: property !== undefined,
      limit: ENTITIES_AT_ONCE + 1,
    });
    const opened = sql`
      SELECT * FROM (
        SELECT e.*, row_number() OVER (ORDER BY e.place, e.id) AS nth, sum(pg_column_size(e.properties)) OVER (ORDER BY e.place, e.id) AS size
          FROM (${entities}) e
      ) e WHERE e.nth = 1 OR (e.nth <= ${ENTITIES_AT_ONCE} AND e.size <= ${LIGHT_BYTES})`;
    const begin =
      property === undefined
        ? sql`SELECT ''::text COLLATE "C" AS property, 0 AS "from"`
        : sql`SELECT CASE WHEN e.id = ${id}::text::uuid THEN ${property} ELSE '' END COLLATE "C" AS property,
                     CASE WHEN e.id = ${id}::text::uuid THEN ${Number(from)}::int4 ELSE 0 END AS "from"`;
    const isChosen = (name: Fragment) => (fields ? sql`${name} = ANY (${arrayText(fields)}::text::text[])` : sql`true`);
    return sql<RangesRow[]>`
      WITH page AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY p.place, p.id, p.property, p."from") AS n, p.* FROM (
          SELECT e.id, e.type, e.key, e.place, e.past_tick, e.tick AS now_tick, e.created_at, e.updated_at, r.*
            FROM (${opened}) e
           CROSS JOIN LATERAL (${begin} OFFSET 0) beyond
           CROSS JOIN LATERAL (
             (SELECT h.property, lower(h.vclock) AS "from", upper(h.vclock) AS "to", h.vclock, h.effective, NULL::jsonb AS open_value,
                     coalesce(pg_column_size(h.short_value),
                              (SELECT pg_column_size(l.long_value) FROM clocktick.property_history l
                                WHERE l.entity_id = h.entity_id AND l.property = h.property AND l.vclock = h.vclock)) AS size
                FROM clocktick.property_history h
               WHERE h.entity_id = e.id AND (h.property, h.vclock) > (beyond.property, int4range(beyond."from", NULL))
                 AND h.vclock <= int4range(e.past_tick, NULL) AND ${isChosen(sql`h.property`)}
               ORDER BY h.property, h.vclock LIMIT ${RANGES_AT_ONCE + 1})
             UNION ALL
             (SELECT held.property, held."from", NULL, NULL, NULL, held.value, pg_column_size(held.value)
                FROM (SELECT p.key COLLATE "C" AS property, p.value, coalesce((now.since ->> p.key)::int4, 1) AS "from"
                        FROM (SELECT e.since || '{}' AS since OFFSET 0) now CROSS JOIN LATERAL jsonb_each(e.properties) p) held
               WHERE held."from" <= e.past_tick AND (held.property, held."from") > (beyond.property, beyond."from")
                 AND ${isChosen(sql`held.property`)}
               ORDER BY held.property, held."from" LIMIT ${RANGES_AT_ONCE + 1})) r
           ORDER BY e.place, e.id, r.property, r."from" LIMIT ${RANGES_AT_ONCE + 1}) p
      ), fitting AS MATERIALIZED (
        SELECT * FROM (
          SELECT page.*, t.activity_id, sum(page.size + coalesce(pg_column_size(a.metadata), 0)) OVER (ORDER BY page.n) AS weight
            FROM page
            LEFT JOIN clocktick.tick t ON t.entity_id = page.id AND t.tick = page."from"
            LEFT JOIN LATERAL (SELECT a.metadata FROM clocktick.activity a WHERE a.id = t.activity_id LIMIT 1) a ON true
        ) weighed WHERE n = 1 OR (n <= ${RANGES_AT_ONCE} AND weight <= ${LIGHT_BYTES})
      ), line AS MATERIALIZED (
        SELECT e.n, e.place, e.id, e.property, e."from", ${form(sql)} AS text
          FROM (SELECT f.*, coalesce(f.open_value, h.value) AS value,
                       CASE WHEN f."to" <= f.past_tick THEN f."to" END AS until,
                       CASE WHEN f."to" <= f.past_tick THEN upper(f.effective) END AS until_at,
                       coalesce(lower(f.effective), began.at) AS from_at
                  FROM fitting f
                  LEFT JOIN LATERAL (
                    SELECT coalesce(h.short_value, h.long_value) AS value FROM clocktick.property_history h
                     WHERE h.entity_id = f.id AND h.property = f.property AND h.vclock = f.vclock) h ON true
                 CROSS JOIN LATERAL clocktick.at_of(f.id, f.now_tick, f.created_at, f.updated_at, f."from") began OFFSET 0) e
          LEFT JOIN LATERAL (SELECT a.* FROM clocktick.activity a WHERE a.id = e.activity_id LIMIT 1) a ON true
      ), shown AS MATERIALIZED (
        SELECT * FROM (SELECT line.*, sum(octet_length(line.text)) OVER (ORDER BY line.n) AS bytes FROM line) measured
         WHERE n = 1 OR bytes <= ${PAGE_BYTES}
      )
      SELECT whole.rows, next.place, next.id, next.property, next."from"
        FROM (SELECT string_agg(shown.text, E'\\n' ORDER BY shown.n) AS rows, count(*) AS count FROM shown) whole
        LEFT JOIN LATERAL (
          (SELECT s.place, s.id, s.property, s."from" FROM shown s WHERE (SELECT count(*) FROM page) > whole.count ORDER BY s.n DESC LIMIT 1)
          UNION ALL
          (SELECT last.place, last.id, NULL, NULL FROM (SELECT o.* FROM (${opened}) o ORDER BY o.nth DESC LIMIT 1) last
            WHERE (SELECT count(*) FROM page) <= whole.count AND last.nth < (SELECT count(*) FROM (${entities}) e))
        ) next ON true`;
  });
  if (!row || row.id === null) return { rows: withEnds(row?.rows ?? null), next: null };
  const inside = row.property === null ? [] : [row.property, String(row.from)];
  return { rows: withEnds(row.rows), next: [row.place, row.id, ...inside] };
}
