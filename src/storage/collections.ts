import type { Past } from '../temporal/entity.js';
import { arrayText, type Fragment, type Sql } from './database.js';
import { type EntityRow, entitiesNow, entitiesThen, ofFields, propertiesThen } from './entities.js';
import { readFailure } from './failures.js';
import type { Storage } from './storage.js';

/**
 * How much JSON of properties one answer about many entities may hold; those beyond it come without, so that no URL of a
 * few bytes takes hundreds of megabytes here or more than a string of V8 holds (512 MB). One entity always fits.
 */
const LIST_BYTES = 16 * 2 ** 20;

/** One of many entities; without properties where the answer had no room left for them. */
export type ListedRow = Past<Omit<EntityRow, 'properties'> & { properties: string | null }>;

/**
 * Many entities now (`instant` null) or as of an instant, tombstones included, in the order of their ids, up to LIST_BYTES of
 * properties; ids that were never created are left out.
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function listEntities(
  { sql, clock }: Storage,
  ids: readonly string[],
  instant: string | null,
  fields: readonly string[] | null,
): Promise<ListedRow[]> {
  if (instant !== null) await clock.waitUntilStable(instant);
  const question = sql`
    (SELECT u.id, u.n, ${fields && JSON.stringify(fields)}::text::jsonb AS fields, NULL::int4 AS tick,
            ${instant}::text::timestamptz AS instant
       FROM unnest(${arrayText(ids)}::text::uuid[]) WITH ORDINALITY AS u (id, n)) q`;
  try {
    return await sql<ListedRow[]>`
      WITH row AS MATERIALIZED (${instant === null ? entitiesNow(sql, question) : entitiesThen(sql, question)})
      SELECT id, type, key, tick, deleted, "createdAt", "updatedAt",
             CASE WHEN sum(octet_length(properties)) OVER (ORDER BY n) <= ${LIST_BYTES} THEN properties END AS properties
        FROM row
       ORDER BY n`;
  } catch (error) {
    throw readFailure(error);
  }
}

/** Which entities of a collection to read: those of a type, or all (null); whose keys begin so; and of the deleted ones. */
export type Collection = {
  type: string | null;
  keyPrefix: string | null;
  deleted: 'exclude' | 'include' | 'only';
};

/** What fixes a snapshot: what happened at or before `asOf` and was recorded at or before `recordedAsOf`, both stable. */
export type Pin = { asOf: string; recordedAsOf: string };

/**
 * What a snapshot shows at most: the instants of the newest change in it, and of the newest recording, which is a later
 * one only in imported history. All pins with the same two fix the same snapshot: nothing else lies between. Null: nothing
 * had changed by then.
 */
export type Newest = Pin | { asOf: null; recordedAsOf: null };

/** A page of a snapshot; `next` is the entity after which the next one begins. */
export type Page = { newest: Newest; rows: EntityRow[]; next: string | null };

/**
 * How many entities that were there then a page looks at to find those that it shows: with the deleted ones only, they may be
 * few among many. So a page may be short, even empty, without being the last: 10,000 that have changed since take 40 ms.
 *
 * Where a page ends must follow from the snapshot alone, like all that it says: not from what came later, nor from how large
 * an entity is by now. So those that came later do not count, and must be passed by: 100,000 in 170 ms.
 */
const LOOKED_AT = 10_000;

/** How many states are put together before looking whether a page is full: one may have 8 MiB. */
const AT_ONCE = 10;

/** Keys of 512 characters, and no character comes after this one. */
const LAST_OF_KEYS = '\u{10FFFF}'.repeat(512);

/** The newest change that a snapshot of a type's entities, or of all, can show; no entity is read for that. */
export async function readNewest({ page }: Storage, type: string | null, pin: Pin): Promise<Newest> {
  try {
    const [row] = await page((sql) => sql<NewestRow[]>`${newestOf(sql, type, pin)}`);
    return newestIn(row);
  } catch (error) {
    throw readFailure(error);
  }
}

/** The instant of the first change of a type's entities, or of all; of those recorded by an instant, if that is given. */
export async function readOldest(
  { page }: Storage,
  type: string | null,
  recordedAsOf: string | null = null,
): Promise<string | null> {
  try {
    const [row] = await page(
      (sql) => sql<{ at: string | null }[]>`
        ${typesOf(sql, type)}
        SELECT min(changed.at) AS at
          FROM kind CROSS JOIN LATERAL (
                 SELECT t.at FROM clocktick.tick t
                  WHERE t.type = kind.type AND t.recorded_at <= coalesce(${recordedAsOf}::text::timestamptz, 'infinity')
                  ORDER BY t.at LIMIT 1) changed`,
    );
    return row?.at ?? null;
  } catch (error) {
    throw readFailure(error);
  }
}

/**
 * A page of a collection as of an instant, in the order of type, key and id (those without a key first), from after an
 * entity on. Each entity is served from its current row where it has not changed since, otherwise from its ranges. States
 * are put together AT_ONCE after the other until the page has LIST_BYTES of them: those that do not fit would be made in vain.
 */
export async function readPage(
  { page }: Storage,
  collection: Collection,
  pin: Pin,
  { after, limit, fields }: { after: string | null; limit: number; fields: readonly string[] | null },
  isGone?: () => boolean,
): Promise<Page> {
  const { deleted } = collection;
  try {
    const rows = await page((sql) => {
      const chosen = sql`${fields && JSON.stringify(fields)}::text::jsonb`;
      return sql<(NewestRow & ShownRow & { next: string | null })[]>`
      WITH RECURSIVE newest AS MATERIALIZED (${newestOf(sql, collection.type, pin)}
      ), page AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY e.type, e.place, e.id) AS n, e.*
          FROM (SELECT * FROM (${existing(sql, collection, pin, after)} LIMIT ${LOOKED_AT}) e
                 WHERE CASE ${deleted} WHEN 'only' THEN e.past_deleted WHEN 'include' THEN true ELSE NOT e.past_deleted END
                 ORDER BY ${inOrder(sql, collection)} LIMIT ${limit + 1}) e
      ), chunk (until, bytes, texts, sizes) AS (
        SELECT 0, 0::bigint, NULL::text[], NULL::int[]
        UNION ALL
        SELECT chunk.until + ${AT_ONCE}::int, chunk.bytes + next.bytes, next.texts, next.sizes
          FROM chunk CROSS JOIN LATERAL (
            SELECT sum(sized.bytes) AS bytes, array_agg(state.text ORDER BY e.n) AS texts, array_agg(sized.bytes ORDER BY e.n) AS sizes
              FROM page e
             CROSS JOIN LATERAL (SELECT e.past_tick AS tick) past
             CROSS JOIN LATERAL (SELECT ${propertiesThen(sql)} AS properties OFFSET 0) whole
             CROSS JOIN LATERAL (SELECT (${ofFields(sql, sql`whole.properties`, chosen)})::text AS text OFFSET 0) state
             CROSS JOIN LATERAL (
               -- Joined to an empty object it is measured as it is, not as it is stored.
               SELECT CASE WHEN ${chosen} IS NULL THEN octet_length(state.text) ELSE pg_column_size(whole.properties || '{}') END AS bytes
             ) sized
             WHERE e.n > chunk.until AND e.n <= least(chunk.until + ${AT_ONCE}::int, ${limit}::int)
          ) next
         WHERE next.bytes > 0 AND chunk.bytes <= ${LIST_BYTES}
      ), shown AS MATERIALIZED (
        SELECT page.*, fitting.text
          FROM (SELECT chunk.until - ${AT_ONCE}::int + u.place AS n, u.text,
                       chunk.bytes - sum(u.size) OVER (PARTITION BY chunk.until)
                         + sum(u.size) OVER (PARTITION BY chunk.until ORDER BY u.place) AS bytes
                  FROM chunk CROSS JOIN LATERAL unnest(chunk.texts, chunk.sizes) WITH ORDINALITY AS u (text, size, place)) fitting
          JOIN page ON page.n = fitting.n
         WHERE fitting.n = 1 OR fitting.bytes <= ${LIST_BYTES}
      )
      SELECT newest."asOf", newest."recordedAsOf", shown.id, shown.type, shown.key, shown.past_tick AS tick,
             shown.past_deleted AS deleted, shown.created_at AS "createdAt", shown.past_at AS "updatedAt", shown.text AS properties,
             CASE WHEN (SELECT count(*) FROM page) > (SELECT count(*) FROM shown)
                  THEN (SELECT last.id FROM shown last ORDER BY last.n DESC LIMIT 1)
                  ELSE (SELECT last.id FROM (${existing(sql, collection, pin, after)} OFFSET ${LOOKED_AT - 1} LIMIT 1) last)
             END AS next
        FROM newest LEFT JOIN shown ON true
       ORDER BY shown.n`;
    }, isGone);
    const [top] = rows;
    return {
      newest: newestIn(top),
      rows: rows.flatMap(({ asOf: _, recordedAsOf: __, next: ___, ...row }) => (row.id === null ? [] : [row])),
      // Where nothing had changed by then, there is nothing to look further for.
      next: (top?.asOf && top.next) || null,
    };
  } catch (error) {
    throw readFailure(error);
  }
}

type NewestRow = { asOf: string | null; recordedAsOf: string | null };
type ShownRow = EntityRow | { id: null };

const newestIn = (row: NewestRow | undefined): Newest => {
  const { asOf = null, recordedAsOf = null } = row ?? {};
  return asOf === null || recordedAsOf === null ? { asOf: null, recordedAsOf: null } : { asOf, recordedAsOf };
};

/** One type, or all: they are found one after the other, each by its first entity in the index. */
const typesOf = (sql: Sql, type: string | null): Fragment =>
  type === null
    ? sql`WITH RECURSIVE kind (type) AS (
              (SELECT e.type FROM clocktick.entity e ORDER BY e.type LIMIT 1)
              UNION ALL
              SELECT (SELECT e.type FROM clocktick.entity e WHERE e.type > kind.type ORDER BY e.type LIMIT 1)
                FROM kind WHERE kind.type IS NOT NULL)`
    : sql`WITH kind (type) AS (SELECT ${type}::text)`;

const newestOf = (sql: Sql, type: string | null, { asOf, recordedAsOf }: Pin): Fragment => sql`
    ${typesOf(sql, type)}
    SELECT max(changed.at) AS "asOf", greatest(max(changed.at), max(imported.at)) AS "recordedAsOf"
      FROM kind
      LEFT JOIN LATERAL (
        SELECT t.at FROM clocktick.tick t
         WHERE t.type = kind.type AND t.at <= ${asOf}::text::timestamptz AND t.recorded_at <= ${recordedAsOf}::text::timestamptz
         ORDER BY t.at DESC LIMIT 1
      ) changed ON true
      LEFT JOIN LATERAL (
        SELECT t.recorded_at AS at FROM clocktick.tick t
         WHERE t.type = kind.type AND t.recorded_at <> t.at
           AND t.at <= ${asOf}::text::timestamptz AND t.recorded_at <= ${recordedAsOf}::text::timestamptz
         ORDER BY t.recorded_at DESC LIMIT 1
      ) imported ON true`;

/**
 * The entities of a collection that were there then, deleted or not, in its order and each with its tick of then; the place of
 * one never changes.
 */
function existing(sql: Sql, collection: Collection, pin: Pin, after: string | null): Fragment {
  const { type, keyPrefix } = collection;
  const place = (column: 'type' | 'key') =>
    sql`(SELECT coalesce(${sql(`a.${column}`)}, '') FROM clocktick.entity a WHERE a.id = ${after}::text::uuid)`;
  const position =
    after === null
      ? sql`true`
      : type === null
        ? sql`(e.type, coalesce(e.key, ''), e.id) > (${place('type')}, ${place('key')}, ${after}::text::uuid)`
        : sql`(coalesce(e.key, ''), e.id) > (${place('key')}, ${after}::text::uuid)`;
  // From where the last page ended the scan need not be told where the prefix begins: it would begin there again.
  const beginning = keyPrefix === null || after !== null ? sql`true` : sql`coalesce(e.key, '') >= ${keyPrefix}`;
  const end = keyPrefix === null ? sql`true` : sql`coalesce(e.key, '') <= ${keyPrefix + LAST_OF_KEYS}`;
  return sql`
    SELECT e.*, coalesce(e.key, '') AS place, past.tick AS past_tick, past.at AS past_at, past.deleted AS past_deleted
      FROM clocktick.entity e CROSS JOIN LATERAL (${stateAsOf(sql, pin)}) past
     WHERE ${type === null ? sql`true` : sql`e.type = ${type}`} AND ${position} AND ${beginning} AND ${end}
       AND e.created_at <= ${pin.asOf}::text::timestamptz
     ORDER BY ${type === null ? sql`e.type, ` : sql``}coalesce(e.key, ''), e.id`;
}

/** … told apart, because a subquery of one type is not known to be in the order of types. */
const inOrder = (sql: Sql, { type }: Collection): Fragment =>
  type === null ? sql`e.type, e.place, e.id` : sql`e.place, e.id`;

/** The tick of `e` that is its newest of a pin, if it has one: the current one without looking at the clock, if it is. */
function stateAsOf(sql: Sql, { asOf, recordedAsOf }: Pin): Fragment {
  const isUnchanged = sql`
    e.updated_at <= ${asOf}::text::timestamptz AND coalesce(e.recorded_at, e.updated_at) <= ${recordedAsOf}::text::timestamptz`;
  return sql`
    SELECT e.tick, e.updated_at AS at, e.deleted WHERE ${isUnchanged}
    UNION ALL
    (SELECT t.tick, t.at, t.op = 'deleted' FROM clocktick.tick t
      WHERE t.entity_id = e.id AND t.at <= ${asOf}::text::timestamptz AND t.recorded_at <= ${recordedAsOf}::text::timestamptz
        AND NOT (${isUnchanged})
      ORDER BY t.at DESC LIMIT 1)`;
}
