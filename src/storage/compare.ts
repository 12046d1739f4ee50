import type { Known, Point } from '../temporal/point.js';
import { type Collection, entitiesInOrder, type Place } from './collections.js';
import { arrayText, type Fragment, type Sql } from './engine/pools.js';
import { lookups } from './entities.js';
import { passesAll } from './filters.js';
import { pointFor } from './known.js';
import { kinds, type Newest, type NewestRow, newestIn, newestOf, type Pin, pinOf } from './pins.js';
import { ANSWER_BYTES } from './rows.js';
import { engine, type Storage } from './storage.js';

/*
 * Several states of an entity, or of each entity of a collection, side by side. Both statements go by the same parts: `moment` (n, tick, at,
 * deleted) says which states of `e` are compared, in the order in which they were asked for, without a tick where it had none;
 * `compared` (property, texts, bytes) has the values of each property at all of them.
 */

/** What of the states to compare: these properties (null: all), and of them only those that differ. */
type Compared = { fields: readonly string[] | null; isDiffering: boolean };

/** One of the states as JSON text; its tick is null where the entity had not begun. */
type MomentRow = { tick: number | null; text: string };

/** The values of a property at all moments, as the JSON text of an array; null: they had no room in the answer. */
type ComparedRow = { property: string; values: string | null };

/**
 * The states of an entity at some points (null: now), in their order, in one statement: by property its values at each. What would make
 * the answer larger than ANSWER_BYTES has no values, the largest properties first. Two whole states always have room.
 * @param known what may be seen of it; null: all
 * @returns undefined: no such entity
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function readComparison(
  storage: Storage,
  id: string,
  { at, ...compared }: Compared & { at: readonly (Point | null)[] },
  known: Known | null,
  signal?: AbortSignal,
): Promise<{ moments: MomentRow[]; properties: ComparedRow[] } | undefined> {
  const points: Point[] = [];
  for (const asked of at) points.push((await pointFor(storage, asked, known, signal)) ?? { instant: 'infinity' });
  return storage[engine].readingLarge(async (sql) => {
    const asked = points.map((point) => ({ id, fields: null, point }));
    const rows = await sql<((MomentRow & { property: null }) | (ComparedRow & { tick: null; text: null }))[]>`
      WITH e AS MATERIALIZED (
        SELECT e.* FROM clocktick.entity e WHERE e.id = ${id}::uuid
      ), moment AS MATERIALIZED (
        SELECT q.n, past.tick, past.at, past.deleted
          FROM e CROSS JOIN ${lookups(sql, asked)}
          LEFT JOIN LATERAL clocktick.state_at(e.id, e.tick, e.updated_at, e.deleted, q.tick, q.instant) past ON true
      ), ${comparing(sql, compared, sql`e CROSS JOIN`)}
      SELECT line.tick, line.text, line.property, line.values
        FROM (SELECT m.n, m.tick, ${momentText(sql)} AS text, NULL AS property, NULL AS values FROM e CROSS JOIN moment m
              UNION ALL
              SELECT NULL, NULL, NULL, c.property, ${valuesText(sql)} FROM compared c) line
       ORDER BY line.n, octet_length(line.property), line.property`;
    if (rows.length === 0) return undefined;
    return {
      moments: rows.flatMap((row) => (row.property === null ? [{ tick: row.tick, text: row.text }] : [])),
      properties: rows.flatMap((row) =>
        row.property === null ? [] : [{ property: row.property, values: row.values }],
      ),
    };
  }, signal);
}

/** Which page of a comparison: after which entity, how many, and whether each gets patches, of which one a moment may be as long as itself. */
type PageOf = { after: Place | null; limit: number; isPatched?: boolean };

/** A page: its items as JSON texts, and after which entity the next begins. */
type ComparedPage = { newest: Newest; items: string[]; next: Place | null };

/** How many states are put together before looking whether a page is full: one may have 8 MiB. */
const STATES_AT_ONCE = 10;

/**
 * A page of the entities of a collection as of the last of some instants (null: that of the pin), in the order of collections: of each its
 * states at all of these instants. The pin is as of none before any of them. It ends before it has ANSWER_BYTES, as text or as what was read
 * for it: of large states little may be shown.
 */
export async function readComparedPage(
  storage: Storage,
  collection: Collection & { type: string },
  { at, ...compared }: Compared & { at: readonly (string | null)[] },
  pin: Pin,
  { after, limit, isPatched = false }: PageOf,
  signal?: AbortSignal,
): Promise<ComparedPage> {
  const { paging, searching, unlessTooMuch } = storage[engine];
  const pins = at.map((instant) => pinOf(instant ?? pin.asOf, pin.recordedAsOf));
  const most = isPatched ? Math.floor(ANSWER_BYTES / pins.length) : ANSWER_BYTES;
  const entitiesAtOnce = Math.max(1, Math.floor(STATES_AT_ONCE / pins.length));
  const read = (sql: Sql) => {
    const first = entitiesInOrder(sql, collection, pins.at(-1) ?? pin, { after, limit: limit + 1 });
    return sql<(NewestRow & { text: string | null; nextKey: string; nextId: string | null })[]>`
      WITH RECURSIVE ${kinds(sql, collection.type)}, newest AS MATERIALIZED (${newestOf(sql, pin)}
      ), ${first.parts} page AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY e.place, e.id) AS n, e.* FROM (${first.entities}) e
      ), asked AS MATERIALIZED (
        SELECT u.n, u.at FROM unnest(${arrayText(pins.map(({ asOf }) => asOf))}::text::timestamptz[]) WITH ORDINALITY AS u (at, n)
      ), chunk (until, bytes, texts, sizes) AS (
        SELECT 0, 0::bigint, NULL::text[] COLLATE "C", NULL::bigint[]
        UNION ALL
        SELECT chunk.until + ${entitiesAtOnce}::int, chunk.bytes + next.bytes, next.texts, next.sizes
          FROM chunk CROSS JOIN LATERAL (
            SELECT sum(item.bytes)::bigint AS bytes, array_agg(item.text ORDER BY e.n) AS texts, array_agg(item.bytes ORDER BY e.n) AS sizes
              FROM page e
             CROSS JOIN LATERAL (
               WITH moment AS MATERIALIZED (
                 SELECT asked.n, past.tick, past.at, past.deleted
                   FROM asked
                   LEFT JOIN LATERAL clocktick.state_as_of(e.id, e.tick, e.updated_at, e.deleted, e.recorded_at, asked.at, ${pin.recordedAsOf}::timestamptz) past ON true
               ), ${comparing(sql, compared, sql``)}
               SELECT '{"id": "' || e.id::text || '", "type": "' || e.type || CASE WHEN e.key IS NULL THEN '"' ELSE '", "key": ' || to_json(e.key)::text END
                      || ', "moments": [' || (SELECT string_agg(${momentText(sql)}, ', ' ORDER BY m.n) FROM moment m)
                      || '], "properties": {' || coalesce(whole.properties, '')
                      || coalesce('}, "truncated": [' || whole.truncated || ']}', '}}') AS text,
                      (SELECT sum(read.size)::bigint FROM (SELECT DISTINCT held.tick, held.size FROM held) read) AS read
                 FROM (SELECT string_agg(to_json(c.property)::text || ': ' || ${valuesText(sql)}, ', '
                                         ORDER BY octet_length(c.property), c.property) AS properties,
                              string_agg(CASE WHEN ${valuesText(sql)} IS NULL THEN to_json(c.property)::text END, ', '
                                         ORDER BY octet_length(c.property), c.property) AS truncated
                         FROM compared c) whole
               OFFSET 0) made
             CROSS JOIN LATERAL (SELECT made.text, greatest(octet_length(made.text), made.read) AS bytes) item
             WHERE e.n > chunk.until AND e.n <= least(chunk.until + ${entitiesAtOnce}::int, ${limit}::int)
          ) next
         WHERE next.bytes > 0 AND chunk.bytes <= ${most}
      ), shown AS MATERIALIZED (
        SELECT page.n, page.place, page.id, fitting.text
          FROM (SELECT chunk.until - ${entitiesAtOnce}::int + u.place AS n, u.text,
                       chunk.bytes - sum(u.size) OVER (PARTITION BY chunk.until)
                         + sum(u.size) OVER (PARTITION BY chunk.until ORDER BY u.place) AS bytes
                  FROM chunk CROSS JOIN LATERAL unnest(chunk.texts, chunk.sizes) WITH ORDINALITY AS u (text, size, place)) fitting
          JOIN page ON page.n = fitting.n
         WHERE fitting.n = 1 OR fitting.bytes <= ${most}
      ), last AS MATERIALIZED (
        (SELECT e.place, e.id FROM shown e WHERE (SELECT count(*) FROM page) > (SELECT count(*) FROM shown) ORDER BY e.n DESC LIMIT 1)
        UNION ALL
        (SELECT last.place, last.id FROM ${first.lastLookedAt} WHERE (SELECT count(*) FROM page) <= (SELECT count(*) FROM shown))
      )
      SELECT newest."asOf", newest."recordedAsOf", shown.text, last.place AS "nextKey", last.id AS "nextId"
        FROM newest LEFT JOIN last ON true LEFT JOIN shown ON true
       ORDER BY shown.n`;
  };
  const rows = passesAll(collection)
    ? await paging(read, signal)
    : await unlessTooMuch(['compared', collection, at, compared, after, limit, isPatched], () =>
        searching(read, signal),
      );
  const [top] = rows;
  const { asOf = null, nextKey = '', nextId = null } = top ?? {};
  return {
    newest: newestIn(top),
    items: rows.flatMap(({ text }) => (text === null ? [] : [text])),
    next: asOf === null || nextId === null ? null : { type: collection.type, key: nextKey, id: nextId },
  };
}

/**
 * The parts that compare the states of `e` at each `moment`: `held` (tick, size, property, value), each state once however often it is asked
 * for, with how large the whole of it is, without a property where none is shown; and `compared`, whose `bytes` say how many those of it and
 * of all smaller ones take.
 * @param entity what joins `e`, where it is no row of an outer query
 */
const comparing = (sql: Sql, { fields, isDiffering }: Compared, entity: Fragment): Fragment => sql`
  state AS MATERIALIZED (SELECT DISTINCT moment.tick FROM moment
  ), held AS MATERIALIZED (
    SELECT state.tick, measured.size, p.key COLLATE "C" AS property, p.value
      FROM ${entity} state
     CROSS JOIN LATERAL clocktick.properties_at(e.id, e.tick, e.properties, e.since, state.tick, NULL) whole
     CROSS JOIN LATERAL (SELECT pg_column_size(whole.properties || '{}') AS size OFFSET 0) measured
     CROSS JOIN LATERAL clocktick.chosen(whole.properties, ${fields && JSON.stringify(fields)}::text::jsonb) shown
      LEFT JOIN LATERAL jsonb_each(shown.properties) p ON true
  ), named AS MATERIALIZED (
    SELECT held.property FROM held WHERE held.property IS NOT NULL GROUP BY held.property
    ${isDiffering ? sql`HAVING count(*) < (SELECT count(*) FROM state) OR count(DISTINCT held.value) > 1` : sql``}
  ), compared AS MATERIALIZED (
    SELECT measured.*, sum(octet_length(measured.texts)) OVER (ORDER BY octet_length(measured.texts), measured.property) AS bytes
      FROM (SELECT named.property,
                   string_agg(CASE WHEN held.value IS NULL THEN '{}' ELSE '{"value": ' || held.value::text || '}' END, ', ' ORDER BY moment.n) AS texts
              FROM named CROSS JOIN moment
              LEFT JOIN held ON held.property = named.property AND held.tick = moment.tick
             GROUP BY named.property) measured
  )`;

/** The values of `c`, of `compared`, as the JSON text of an array; null where they have no room. */
const valuesText = (sql: Sql): Fragment => sql`CASE WHEN c.bytes <= ${ANSWER_BYTES} THEN '[' || c.texts || ']' END`;

/** A moment `m` of `e` as JSON text. */
const momentText = (sql: Sql): Fragment => sql`
  CASE WHEN m.tick IS NULL THEN '{"tick": null, "at": null}'
       ELSE '{"tick": ' || m.tick::text || ', "at": "' || clocktick.instant_text(m.at) || '"' || CASE WHEN m.deleted THEN ', "deleted": true' ELSE '' END
            || coalesce(', "untracked": ' || clocktick.untracked_at(e.untracked_ticks, m.tick)::text, '') || '}' END`;
