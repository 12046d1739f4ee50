import type { Fragment, Pools, Sql } from './engine/pools.js';
import { type Filter, findings, isWanted, passesAll } from './filters.js';
import { kinds, type Newest, type NewestRow, newestIn, newestOf, type Pin, stateAsOf } from './pins.js';
import { ANSWER_BYTES, PROVENANCE_BYTES } from './rows.js';
import { engine, type Storage } from './storage.js';

/** Which entities to read: those of a type, or all (null); whose keys begin so; that pass a filter; and of the deleted ones. */
export type Collection = Filter & {
  type: string | null;
  keyPrefix: string | null;
  deleted: 'exclude' | 'include' | 'only';
};

/** The place of an entity in the order of a collection, which never changes. `key` is empty where it has none. */
export type Place = { type: string; key: string; id: string };

/** A page of a snapshot: its entities as texts with what its form has between them, how many they are, and after which one the next begins. */
type Page = { newest: Newest; items: string; count: number; next: Place | null };

/**
 * How many entities that were there then a page looks at to find those that it shows: with the deleted ones only, they may be
 * few among many. So a page may be short, even empty, without being the last.
 *
 * Where a page ends must follow from the snapshot alone, like all that it says: not from what came later, nor from how large
 * an entity is by now. So those that came later do not count, and must be passed by.
 */
const LOOKED_AT = 10_000;

/**
 * How many bytes, as they are stored, a page may be made of in one go. Compressed, they become at most a few hundred MB of text
 * while the page is made, of which no more than the bytes of its form are kept.
 */
export const LIGHT_BYTES = 2 * 2 ** 20;

/** How many states are put together before looking whether a page is full: one may have 8 MiB. */
const STATES_AT_ONCE = 10;
/** … with who set what: as much again, which is made of more. */
const TOLD_AT_ONCE = 2;

/** Keys of 512 characters, and no character comes after this one. */
const LAST_OF_KEYS = '\u{10FFFF}'.repeat(512);

/** Which part of a snapshot to read, which properties (null: all), and whether with what differs since `changedAfter`, and with who set what. */
type PageOf = {
  after: Place | null;
  limit: number;
  fields: readonly string[] | null;
  withChanges: boolean;
  withProvenance?: boolean;
};

/**
 * How a page is written: the text of each entity `e` whose properties are the JSON text `properties`; what stands between two texts; how many
 * bytes of them a page has, unless its first one alone has more; and what runs its statements (undefined: the lane of such collections).
 */
export type PageForm = {
  textOf: (sql: Sql, parts: { properties: Fragment; more: Fragment }) => Fragment;
  between: string;
  bytes: number;
  run?: Pools['paging'];
};

/** As answers show entities: JSON texts with commas between. */
const ANSWER: PageForm = {
  textOf: (sql, { properties, more }) =>
    sql`clocktick.entity_text(e.id, e.type, e.key, e.past_tick, e.past_deleted, e.created_at, e.past_at, ${properties}, ${more})`,
  between: ', ',
  bytes: ANSWER_BYTES,
};

/** The same, one in each line: no JSON text of PostgreSQL has a line break. */
export const IN_LINES: PageForm = { ...ANSWER, between: '\n' };

/**
 * A page of a collection as of an instant, in the order of type, key and id (those without a key first), from after a place on.
 * Each entity is served from its current row where it has not changed since, otherwise from its ranges.
 */
export async function readPage(
  storage: Storage,
  collection: Collection,
  pin: Pin,
  part: PageOf,
  signal?: AbortSignal,
  form = ANSWER,
): Promise<Page> {
  const read = async () =>
    (!part.withChanges &&
      !part.withProvenance &&
      (await readLightPage(storage, collection, pin, part, form, signal))) ||
    readInPieces(storage, collection, pin, part, form, signal);
  return passesAll(collection) ? read() : storage[engine].unlessTooMuch(['page', collection, part], read);
}

type PageRow = NewestRow & {
  items: string | null;
  count: number;
  nextType: string | null;
  nextKey: string;
  nextId: string;
};

const pageIn = (row: PageRow | undefined): Page => ({
  newest: newestIn(row),
  items: row?.items ?? '',
  count: row?.count ?? 0,
  // Where nothing had changed by then, there is nothing to look further for.
  next: row?.asOf && row.nextType !== null ? { type: row.nextType, key: row.nextKey, id: row.nextId } : null,
});

/** Only what has to look for its entities can take too long. */
const runOf = (storage: Storage, collection: Collection, form: PageForm) =>
  form.run ?? (passesAll(collection) ? storage[engine].paging : storage[engine].searching);

/**
 * A page of states in one go, because nearly always entities are small. Undefined where one has more than its share of
 * LIGHT_BYTES, or of those of the form.
 */
async function readLightPage(
  storage: Storage,
  collection: Collection,
  pin: Pin,
  { after, limit, fields }: PageOf,
  form: PageForm,
  signal?: AbortSignal,
): Promise<Page | undefined> {
  const [row] = await runOf(
    storage,
    collection,
    form,
  )((sql) => {
    const first = entitiesInOrder(sql, collection, pin, { after, limit: limit + 1 });
    const chosen = sql`${fields && JSON.stringify(fields)}::text::jsonb`;
    // Rows come out of `page` in its order, and nothing here puts them in another one.
    return sql<(PageRow & { isLight: boolean })[]>`
      WITH ${kinds(sql, collection.type)}, newest AS MATERIALIZED (${newestOf(sql, pin)}
      ), ${first.parts} page AS MATERIALIZED (${first.entities}
      )
      SELECT newest."asOf", newest."recordedAsOf", shown.items, shown.count::int4, shown.count = shown.light AS "isLight",
             next.type AS "nextType", next.place AS "nextKey", next.id AS "nextId"
        FROM newest
       CROSS JOIN (
         SELECT string_agg(fitting.text, ${form.between}) AS items, count(*) AS count, count(fitting.text) AS light
           FROM (SELECT * FROM page LIMIT ${limit}) e
          CROSS JOIN LATERAL clocktick.properties_at(e.id, e.tick, e.properties, e.since, e.past_tick,
                                                       ${LIGHT_BYTES}::int / ${limit}::int) whole
          CROSS JOIN LATERAL clocktick.chosen(whole.properties, ${chosen}) state
          CROSS JOIN LATERAL (
            SELECT ${form.textOf(sql, { properties: sql`state.properties::text`, more: leftOut(sql) })} AS text OFFSET 0) whole_text
          CROSS JOIN LATERAL (
            SELECT CASE WHEN ${weighed(sql, chosen, { text: sql`whole_text.text`, whole: sql`whole.properties` })} <= ${form.bytes}::int / ${limit}::int THEN whole_text.text END AS text) fitting
       ) shown
        LEFT JOIN LATERAL (
          (SELECT e.type, e.place, e.id FROM page e WHERE (SELECT count(*) FROM page) > ${limit}::int OFFSET ${limit - 1} LIMIT 1)
          UNION ALL
          (SELECT last.type, last.place, last.id FROM ${first.lastLookedAt} WHERE (SELECT count(*) FROM page) <= ${limit}::int)
        ) next ON true`;
  }, signal);
  return row?.isLight ? pageIn(row) : undefined;
}

/**
 * A page of any entities. States are put together some after the other until the page has the bytes of its form: those
 * that do not fit would be made in vain.
 */
async function readInPieces(
  storage: Storage,
  collection: Collection,
  pin: Pin,
  { after, limit, fields, withChanges, withProvenance = false }: PageOf,
  form: PageForm,
  signal?: AbortSignal,
): Promise<Page> {
  const atOnce = withProvenance ? TOLD_AT_ONCE : STATES_AT_ONCE;
  const [row] = await runOf(
    storage,
    collection,
    form,
  )((sql) => {
    const chosen = sql`${fields && JSON.stringify(fields)}::text::jsonb`;
    const first = entitiesInOrder(sql, collection, pin, { after, limit: limit + 1 });
    const changes = sql`', "changes": ' || ${changesSince(sql, collection, pin, chosen)}`;
    // The further members of an entity, each after a comma.
    const further = sql`concat(${withProvenance ? provenanceOf(sql, chosen) : sql`''`}, ${withChanges ? changes : sql`''`})`;
    return sql<PageRow[]>`
      WITH RECURSIVE ${kinds(sql, collection.type)}, newest AS MATERIALIZED (${newestOf(sql, pin)}
      ), ${first.parts} page AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY e.type, e.place, e.id) AS n, e.* FROM (${first.entities}) e
      ), chunk (until, bytes, texts, further, sizes) AS (
        SELECT 0, 0::bigint, NULL::text[], NULL::text[], NULL::int[]
        UNION ALL
        SELECT chunk.until + ${atOnce}::int, chunk.bytes + next.bytes, next.texts, next.further, next.sizes
          FROM chunk CROSS JOIN LATERAL (
            SELECT sum(sized.bytes) AS bytes, array_agg(state.text ORDER BY e.n) AS texts, array_agg(further.text ORDER BY e.n) AS further,
                   array_agg(sized.bytes ORDER BY e.n) AS sizes
              FROM page e
             CROSS JOIN LATERAL clocktick.properties_at(e.id, e.tick, e.properties, e.since, e.past_tick, NULL) whole
             CROSS JOIN LATERAL (SELECT c.properties::text AS text FROM clocktick.chosen(whole.properties, ${chosen}) c OFFSET 0) state
             CROSS JOIN LATERAL (SELECT ${further} AS text OFFSET 0) further
             CROSS JOIN LATERAL (
               SELECT ${weighed(sql, chosen, { text: sql`state.text`, whole: sql`whole.properties` })} + octet_length(further.text) AS bytes
             ) sized
             WHERE e.n > chunk.until AND e.n <= least(chunk.until + ${atOnce}::int, ${limit}::int)
          ) next
         WHERE next.bytes > 0 AND chunk.bytes <= ${form.bytes}
      ), shown AS MATERIALIZED (
        SELECT page.*, fitting.text, fitting.further
          FROM (SELECT chunk.until - ${atOnce}::int + u.place AS n, u.text, u.further,
                       chunk.bytes - sum(u.size) OVER (PARTITION BY chunk.until)
                         + sum(u.size) OVER (PARTITION BY chunk.until ORDER BY u.place) AS bytes
                  FROM chunk CROSS JOIN LATERAL unnest(chunk.texts, chunk.further, chunk.sizes)
                                                  WITH ORDINALITY AS u (text, further, size, place)) fitting
          JOIN page ON page.n = fitting.n
         WHERE fitting.n = 1 OR fitting.bytes <= ${form.bytes}
      ), whole AS (
        SELECT count(*) AS count,
               string_agg(${form.textOf(sql, { properties: sql`e.text`, more: sql`${leftOut(sql)} || e.further` })},
                          ${form.between} ORDER BY e.n) AS items
          FROM shown e
      )
      SELECT newest."asOf", newest."recordedAsOf", whole.items, whole.count::int4,
             next.type AS "nextType", next.place AS "nextKey", next.id AS "nextId"
        FROM newest CROSS JOIN whole
        LEFT JOIN LATERAL (
          (SELECT e.type, e.place, e.id FROM shown e WHERE (SELECT count(*) FROM page) > whole.count ORDER BY e.n DESC LIMIT 1)
          UNION ALL
          (SELECT last.type, last.place, last.id FROM ${first.lastLookedAt} WHERE (SELECT count(*) FROM page) <= whole.count)
        ) next ON true`;
  }, signal);
  return pageIn(row);
}

/**
 * The first entities of a collection after a place, in its order, each with its tick of the pin: the parts that a statement needs
 * first, after `kind`; the entities; and `last` (type, place, id), the last one that was looked at, where there may be more.
 *
 * They are gone through in order, LOOKED_AT of them. Where a filter has found so few by index that they can be put in order,
 * only these are looked at.
 */
export function entitiesInOrder(
  sql: Sql,
  collection: Collection,
  pin: Pin,
  { after, limit = LOOKED_AT, inclusive = false }: { after: Place | null; limit?: number; inclusive?: boolean },
): Record<'parts' | 'entities' | 'lastLookedAt', Fragment> {
  const { deleted } = collection;
  const isAmong = among(sql, collection, pin, { after, inclusive });
  // A subquery of one type is not known to be in the order of types.
  const byPlace = collection.type === null ? sql`e.type, e.place, e.id` : sql`e.place, e.id`;
  const isShown = sql`
    CASE ${deleted} WHEN 'only' THEN e.past_deleted WHEN 'include' THEN true ELSE NOT e.past_deleted END`;
  const one = (which: Fragment) => sql`(${which} OFFSET ${LOOKED_AT - 1} LIMIT 1) last`;
  if (passesAll(collection)) {
    const entities = existing(sql, collection, pin, isAmong);
    return {
      parts: sql``,
      entities: sql`
        SELECT * FROM (${entities} LIMIT ${LOOKED_AT}) e WHERE ${isShown} ORDER BY ${byPlace} LIMIT ${limit}`,
      lastLookedAt: one(entities),
    };
  }
  const unfound = existing(sql, collection, pin, sql`(SELECT driver.n FROM driver) IS NULL AND ${isAmong}`);
  const wanted = (entities: Fragment) => sql`
        (SELECT e.*
           FROM (${entities}) e CROSS JOIN LATERAL (SELECT e.past_tick AS tick, e.past_at AS at) past
          WHERE ${isShown} AND ${isWanted(sql, collection)}
          ORDER BY ${byPlace} LIMIT ${limit})`;
  return {
    parts: sql`${findings(sql, collection, pin)},`,
    entities: sql`
        ${wanted(sql`${unfound} LIMIT ${LOOKED_AT}`)}
        UNION ALL
        ${wanted(found(sql, collection, pin, isAmong))}`,
    lastLookedAt: one(unfound),
  };
}

/** The entities of a collection that were there then, deleted or not, in its order and each with its tick of then. */
function existing(sql: Sql, { type }: Collection, pin: Pin, isAmong: Fragment): Fragment {
  return sql`
    SELECT e.id, e.type, e.key, e.tick, e.properties, e.since, e.untracked_ticks, e.deleted, e.created_at, e.updated_at, e.recorded_at,
           coalesce(e.key, '') AS place, past.tick AS past_tick, past.at AS past_at, past.deleted AS past_deleted
      FROM clocktick.entity e CROSS JOIN LATERAL ${stateAsOf(sql, pin)}
     WHERE ${isAmong}
     ORDER BY ${type === null ? sql`e.type, ` : sql``}coalesce(e.key, ''), e.id`;
}

/** The same of those that an index found: put in order by their places alone, so that no more are looked at than are wanted. */
function found(sql: Sql, { type }: Collection, pin: Pin, isAmong: Fragment): Fragment {
  const ofType = type === null ? sql`o.type, ` : sql``;
  return sql`
    SELECT o.id, o.type, e.key, e.tick, e.properties, e.since, e.untracked_ticks, e.deleted, e.created_at, e.updated_at, e.recorded_at, o.place,
           past.tick AS past_tick, past.at AS past_at, past.deleted AS past_deleted
      FROM (SELECT e.type, coalesce(e.key, '') AS place, e.id
              FROM (SELECT DISTINCT found.entity_id FROM found WHERE found.n = (SELECT driver.n FROM driver)) f
             CROSS JOIN LATERAL (SELECT e.* FROM clocktick.entity e WHERE e.id = f.entity_id LIMIT 1) e
             WHERE ${isAmong}
             ORDER BY e.type, place, e.id) o
     CROSS JOIN LATERAL (SELECT e.* FROM clocktick.entity e WHERE e.id = o.id LIMIT 1) e
     CROSS JOIN LATERAL ${stateAsOf(sql, pin)}
     ORDER BY ${ofType}o.place, o.id`;
}

/** Whether `e` is one of a collection that was there then, after the place where the last page ended, or from that on. */
function among(
  sql: Sql,
  { type, keyPrefix }: Collection,
  { asOf }: Pin,
  { after, inclusive }: { after: Place | null; inclusive: boolean },
): Fragment {
  const beyond = inclusive ? sql`>=` : sql`>`;
  const position =
    after === null
      ? sql`true`
      : type === null
        ? sql`(e.type, coalesce(e.key, ''), e.id) ${beyond} (${after.type}, ${after.key}, ${after.id}::text::uuid)`
        : sql`(coalesce(e.key, ''), e.id) ${beyond} (${after.key}, ${after.id}::text::uuid)`;
  // From where the last page ended the scan need not be told where the prefix begins: it would begin there again.
  const beginning = keyPrefix === null || after !== null ? sql`true` : sql`coalesce(e.key, '') >= ${keyPrefix}`;
  const end = keyPrefix === null ? sql`true` : sql`coalesce(e.key, '') <= ${keyPrefix + LAST_OF_KEYS}`;
  return sql`
    ${type === null ? sql`true` : sql`e.type = ${type}`} AND ${position} AND ${beginning} AND ${end}
    AND e.created_at <= ${asOf}::timestamptz`;
}

/** The names of the properties that the state of `e` leaves out, because their values are not kept, as a further member. */
const leftOut = (sql: Sql): Fragment =>
  sql`coalesce(', "untracked": ' || clocktick.untracked_at(e.untracked_ticks, e.past_tick)::text, '')`;

/**
 * How many bytes a state counts for: those of its text, or, where only chosen properties are shown, those of the whole. Joined to
 * an empty object that is measured as it is, not as it is stored.
 */
const weighed = (sql: Sql, chosen: Fragment, { text, whole }: Record<'text' | 'whole', Fragment>): Fragment => sql`
  CASE WHEN ${chosen} IS NULL THEN octet_length(${text}) ELSE pg_column_size(${whole} || '{}') END`;

/** Who set what `e` has, as further members. */
const provenanceOf = (sql: Sql, fields: Fragment): Fragment => sql`(
    SELECT ', "provenance": ' || told.provenance || coalesce(', "provenanceTruncated": ' || told.truncated::text, '')
      FROM clocktick.provenance_at(e.id, e.tick, e.properties, e.since, e.past_tick, ${fields}, ${PROVENANCE_BYTES}::int4) told)`;

/** What differs between the state of `e` as of `changedAfter` and that of the pin, as the JSON text of a diff. */
const changesSince = (
  sql: Sql,
  { changedAfter }: Collection,
  { recordedAsOf }: Pin,
  fields: Fragment,
): Fragment => sql`(
    SELECT '{' || coalesce(string_agg(
             to_json(change.property) || ': {' || concat_ws(', ', '"from": ' || change.was::text, '"to": ' || change.becomes::text) || '}', ', '
             ORDER BY octet_length(change.property), change.property), '') || '}'
      FROM (SELECT) one
      LEFT JOIN LATERAL (
        SELECT t.tick FROM clocktick.tick t
         WHERE t.entity_id = e.id AND t.at <= ${changedAfter}::timestamptz AND t.recorded_at <= ${recordedAsOf}::timestamptz
         ORDER BY t.at DESC LIMIT 1
      ) before ON true
     CROSS JOIN LATERAL clocktick.changes_between(e.id, e.tick, e.properties, e.since, before.tick, e.past_tick) change
     WHERE ${fields} IS NULL OR ${fields} ? change.property)`;
