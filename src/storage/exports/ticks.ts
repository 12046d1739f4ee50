import { LIGHT_BYTES } from '../collections.js';
import type { Pin } from '../pins.js';
import { engine, type Storage } from '../storage.js';
import { addressText, PAGE_BYTES, type RowsOfType, withEnds } from './rows.js';

/**
 * How many ticks are looked for at once. The index of a type's ticks has those of one instant in no order, and all of them are gone through
 * to find the next ones: a million at one instant are gone through a hundred times, which takes less than a minute. Looked for a page at a
 * time it would be ten.
 */
const FOUND_AT_ONCE = 10_000;

/** How many ticks a page has at most. */
const TICKS_AT_ONCE = 1_000;

/** A tick by its place in the order of its type: its instant, and its entity. */
type Tick = { at: string; id: string; tick: number };

/** Reads the ticks of types at a pin, in the order of their instants and entities, after a place (instant, id). It keeps what it has found. */
export function ticksReader(
  storage: Storage,
  pin: Pin,
): (type: string, after: readonly string[] | null) => Promise<RowsOfType> {
  let found: Tick[] = [];
  let isLast = true;
  return async (type, after) => {
    if (found.length === 0) {
      found = await findTicks(storage, type, pin, after);
      isLast = found.length < FOUND_AT_ONCE;
    }
    if (found.length === 0) return { rows: '', next: null };
    const { rows, count } = await readTickLines(storage, found.slice(0, TICKS_AT_ONCE));
    const last = found[count - 1];
    found = found.slice(count);
    return { rows, next: last && (found.length > 0 || !isLast) ? [last.at, last.id] : null };
  };
}

async function findTicks(
  storage: Storage,
  type: string,
  { asOf, recordedAsOf }: Pin,
  after: readonly string[] | null,
): Promise<Tick[]> {
  const [at = '', id = ''] = after ?? [];
  return storage[engine].exporting(
    (sql) => sql<Tick[]>`
      SELECT t.at, t.entity_id AS id, t.tick
        FROM clocktick.tick t
       WHERE t.type = ${type} AND t.at <= ${asOf}::timestamptz AND t.recorded_at <= ${recordedAsOf}::timestamptz
         AND ${after ? sql`(t.at, t.entity_id) > (${at}::timestamptz, ${id}::text::uuid)` : sql`true`}
       ORDER BY t.at, t.entity_id LIMIT ${FOUND_AT_ONCE}`,
  );
}

/**
 * Ticks as lines of an import: as many of them as fit, which are the first ones. What a tick sets is what begins at it: of a property that has
 * changed since it is in a range that has ended, otherwise in the row of the entity. A tick that creates or restores sets all that the
 * entity has then.
 *
 * What is stored is weighed before it is read: ticks of one entity may each have a few bytes of a row of megabytes.
 */
export async function readTickLines(
  storage: Storage,
  ticks: readonly Tick[],
): Promise<{ rows: string; count: number }> {
  const asked = JSON.stringify(ticks.map(({ id, tick }, n) => ({ n: n + 1, id, tick })));
  const [row] = await storage[engine].exporting(
    (sql) => sql<{ rows: string | null; count: number }[]>`
      WITH page AS MATERIALIZED (
        SELECT asked.n, t.entity_id AS id, t.tick, t.at, t.op, t.activity_id
          FROM jsonb_to_recordset(${asked}::text::jsonb) AS asked (n integer, id uuid, tick integer)
         CROSS JOIN LATERAL (SELECT t.* FROM clocktick.tick t WHERE t.entity_id = asked.id AND t.tick = asked.tick LIMIT 1) t
      ), named AS MATERIALIZED (
        SELECT e.id, e.type, e.key, e.tick, e.since || '{}' AS since, pg_column_size(e.properties) AS size, shown.first, shown.last
          FROM (SELECT page.id, min(page.tick) AS first, max(page.tick) AS last FROM page GROUP BY page.id) shown
         CROSS JOIN LATERAL (SELECT e.* FROM clocktick.entity e WHERE e.id = shown.id LIMIT 1) e
      ), ended AS MATERIALIZED (
        SELECT named.id, h.property, h.vclock, lower(h.vclock) AS "from", upper(h.vclock) AS "to", h.size
          FROM named CROSS JOIN LATERAL (
            SELECT c.property, c.vclock, CASE WHEN lower(c.vclock) >= named.first THEN pg_column_size(c.value) END AS size
              FROM clocktick.closed_ranges_of(named.id, named.tick, named.first - 1, named.last) c
             WHERE lower(c.vclock) >= named.first OR upper(c.vclock) <= named.last) h
      ), fitting AS MATERIALIZED (
        SELECT * FROM (
          SELECT page.*, named.type, named.key, opening.is_any AS opens,
                 sum(CASE WHEN opening.is_any THEN named.size ELSE 0 END + coalesce(weight.size, 0) + coalesce(pg_column_size(a.metadata), 0))
                   OVER (ORDER BY page.n) AS size
            FROM page JOIN named ON named.id = page.id
           CROSS JOIN LATERAL (
             SELECT page.op <> 'deleted'
                    AND (page.tick = 1 OR EXISTS (SELECT FROM jsonb_each_text(named.since) s WHERE s.value = page.tick::text)) AS is_any OFFSET 0) opening
            LEFT JOIN (SELECT ended.id, ended."from", sum(ended.size) AS size FROM ended GROUP BY ended.id, ended."from") weight
              ON weight.id = page.id AND weight."from" = page.tick
            LEFT JOIN LATERAL (SELECT a.metadata FROM clocktick.activity a WHERE a.id = page.activity_id LIMIT 1) a ON true
        ) weighed WHERE n = 1 OR size <= ${LIGHT_BYTES}
      ), closed AS MATERIALIZED (
        SELECT e.n, jsonb_object_agg(ended.property, h.value) AS properties
          FROM fitting e JOIN ended ON ended.id = e.id AND ended."from" = e.tick
         CROSS JOIN LATERAL (
           SELECT coalesce(h.short_value, h.long_value) AS value FROM clocktick.property_history h
            WHERE h.entity_id = ended.id AND h.property = ended.property AND h.vclock = ended.vclock LIMIT 1) h
         GROUP BY e.n
      ), cleared AS MATERIALIZED (
        SELECT e.n, array_agg(ended.property) AS names
          FROM fitting e JOIN ended ON ended.id = e.id AND ended."to" = e.tick
         WHERE e.op = 'updated'
         GROUP BY e.n
      ), line AS MATERIALIZED (
        SELECT e.n,
               '{' || CASE e.op WHEN 'deleted' THEN '"op": "delete", ' WHEN 'updated' THEN '"op": "set", ' ELSE '' END
                   || ${addressText(sql)} || ', "at": "' || clocktick.instant_text(e.at) || '"'
                   || coalesce(', "activity": ' || who.activity, '')
                   || CASE e.op WHEN 'deleted' THEN ''
                                WHEN 'updated' THEN concat(', "set": ' || nullif(state.properties, '{}')::text, ', "clear": ' || cleared.names)
                                ELSE ', "properties": ' || state.properties::text END || '}' AS text
          FROM fitting e
          LEFT JOIN closed ON closed.n = e.n
          LEFT JOIN cleared AS ending ON ending.n = e.n
         CROSS JOIN LATERAL (
           SELECT coalesce(closed.properties, '{}')
                  || CASE WHEN e.opens THEN coalesce((
                       SELECT jsonb_object_agg(held.key, held.value)
                         FROM (SELECT now.properties, now.since || '{}' AS since FROM clocktick.entity now WHERE now.id = e.id OFFSET 0) now
                        CROSS JOIN LATERAL jsonb_each(now.properties) held
                        WHERE coalesce((now.since ->> held.key)::int4, 1) = e.tick), '{}') ELSE '{}' END AS properties OFFSET 0) state
         CROSS JOIN LATERAL (
           SELECT jsonb_agg(name ORDER BY octet_length(name), name COLLATE "C")::text AS names
             FROM unnest(ending.names) name WHERE NOT state.properties ? name) cleared
          LEFT JOIN LATERAL (
            SELECT clocktick.activity_text(a.id, a.actor, a.reason, a.metadata) AS activity FROM clocktick.activity a
             WHERE a.id = e.activity_id AND num_nonnulls(a.actor, a.reason, a.metadata) > 0 LIMIT 1) who ON true
      )
      SELECT string_agg(shown.text, E'\\n' ORDER BY shown.n) AS rows, count(*)::int4 AS count
        FROM (SELECT line.*, sum(octet_length(line.text)) OVER (ORDER BY line.n) AS bytes FROM line) shown
       WHERE shown.n = 1 OR shown.bytes <= ${PAGE_BYTES}`,
  );
  return { rows: withEnds(row?.rows ?? null), count: row?.count ?? 0 };
}
