import { MAX_ACTOR_LENGTH } from '../temporal/limits.js';
import { Refusal } from '../temporal/refusal.js';
import type { ActivityRow } from './activities.js';
import { arrayText, type Fragment, type Sql } from './engine/pools.js';
import { ANSWER_BYTES } from './rows.js';
import { engine, type Storage } from './storage.js';

/**
 * Which activities to find: those of which all holds that is not null. `from` and `to` are a window [from, to) of instants at which they
 * were recorded. The last three are one question: it made a tick of an entity, or of a type, that changed one of these properties.
 */
export type ActivitySearch = {
  actor: string | null;
  actorPrefix: string | null;
  /** All words of it occur in the reason. */
  reason: string | null;
  from: string | null;
  to: string | null;
  importId: string | null;
  type: string | null;
  entityId: string | null;
  properties: readonly string[] | null;
};

/** The place of an activity in the order of a search: newest first. */
export type ActivityPlace = { recordedAt: string; id: string };

/** An activity, and how many ticks it has made: of more than COUNTED, so many. */
export type FoundActivity = ActivityRow & { tickCount: number; moreTicks: boolean };

/** A page of a search, and after which place the next one begins. */
type ActivitiesPage = { activities: FoundActivity[]; next: ActivityPlace | null };

/**
 * How many activities, in their order, a page looks at to find those that it shows, where no index finds them. So a page may be short, even
 * empty, without being the last.
 */
const LOOKED_AT = 10_000;

/** How many activities an entity or words may find for them to be put in order. Of more, going through all in order finds a page sooner. */
const SORTED = 5_000;

/** How many actors a prefix may name for each to be gone through on its own. */
const MANY_ACTORS = 100;

/** How many ticks of an activity are counted. */
const COUNTED = 1_000;

/** Actors of MAX_ACTOR_LENGTH characters, and no character comes after this one. */
const LAST_OF_ACTORS = '\u{10FFFF}'.repeat(MAX_ACTOR_LENGTH);

/** Before which place a search begins that has no end, and up to which instant it goes where it has no beginning. */
const NEWEST: ActivityPlace = { recordedAt: 'infinity', id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' };
const OLDEST = '-infinity';
/** No activity recorded at an instant comes before this one. */
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/**
 * A page of the activities that are searched for, newest first; `after` is the place where the last page ended.
 *
 * What is asked decides by what they are found. The activities that ticked an entity, or have all words, are put in order, if these are no
 * more than SORTED. Otherwise they are gone through in the order of an index: those of the actor, of each actor that a prefix names, or all.
 * Then no more are looked at than LOOKED_AT.
 *
 * Each order is written so that only one index has it: told `actor = x`, the planner could go through all activities to find those of a
 * rare one. And what is asked of ticks stands in scalar sub-selects, of which it makes no join.
 * @throws Refusal `invalid_parameter` where the reason has no word; `too_much_to_read`
 */
export async function searchActivities(
  storage: Storage,
  search: ActivitySearch,
  { after, limit }: { after: ActivityPlace | null; limit: number },
  signal?: AbortSignal,
): Promise<ActivitiesPage> {
  const before = after ?? (search.to === null ? NEWEST : { recordedAt: search.to, id: FIRST_ID });
  const read = (sql: Sql) => {
    const found = findings(sql, search);
    const each = stretches(sql, search, before, { least: limit + 1, when: found.isNone });
    const isLeft = sql`${found.isNone} AND ${each.isNone}`;
    const pageOf = (candidates: Fragment, order: Fragment) => sql`
        (SELECT a.id, a.actor, a.reason, a.metadata, a.recorded_at, a.import_id FROM (${candidates}) a WHERE ${isWanted(sql, search)} ORDER BY ${order} LIMIT ${limit + 1})`;
    return sql<Line[]>`
      WITH RECURSIVE ${asked(sql, search)}, ${found.parts} ${each.parts} page AS MATERIALIZED (
        ${found.activities ? sql`${pageOf(found.activities(before), newestFirst(sql))} UNION ALL` : sql``}
        ${each.activities ? sql`${pageOf(each.activities, newestFirst(sql))} UNION ALL` : sql``}
        ${pageOf(sql`${inOrder(sql, search, before, isLeft)} LIMIT ${LOOKED_AT}`, orderOf(sql, search))}
      ), fitting AS MATERIALIZED (
        SELECT * FROM (
          SELECT a.*, row_number() OVER place AS n, sum(octet_length(a.metadata) + octet_length(coalesce(a.reason, ''))) OVER place AS bytes
            FROM (SELECT page.id, page.actor, page.reason, coalesce(page.metadata::text, '') AS metadata, page.recorded_at, page.import_id
                    FROM page OFFSET 0) a
          WINDOW place AS (ORDER BY a.recorded_at DESC, a.id DESC)
        ) measured WHERE n <= ${limit} AND (n = 1 OR bytes <= ${ANSWER_BYTES})
      ), last AS MATERIALIZED (
        SELECT a.recorded_at, a.id
          FROM (${inOrder(sql, search, before, sql`${isLeft} AND (SELECT count(*) FROM page) <= ${limit}::int`)} OFFSET ${LOOKED_AT - 1} LIMIT 1) a
        ${each.activities ? sql`UNION ALL SELECT barrier.recorded_at, barrier.id FROM barrier` : sql``}
      )
      SELECT (SELECT numnode(asked.words) = 0 FROM asked) AS "isWordless",
             (SELECT count(*) FROM page) > (SELECT count(*) FROM fitting) AS more, last.recorded_at AS "lastAt", last.id AS "lastId",
             a.id, a.actor, a.reason, nullif(a.metadata, '') AS metadata, a.recorded_at AS "recordedAt", a.import_id AS "importId",
             least(ticks.count, ${COUNTED})::int4 AS "tickCount", ticks.count > ${COUNTED} AS "moreTicks"
        FROM (SELECT) one
        LEFT JOIN last ON true
        LEFT JOIN fitting a ON true
       CROSS JOIN LATERAL (
         SELECT count(*) AS count FROM (SELECT FROM clocktick.tick t WHERE t.activity_id = a.id LIMIT ${COUNTED + 1}) counted) ticks
       ORDER BY a.n`;
  };
  const { reason, importId, actorPrefix } = search;
  const isBounded = reason === null && !isOfTicks(search) && importId === null && actorPrefix === null;
  const lines = isBounded
    ? await storage[engine].paging(read, signal)
    : await storage[engine].unlessTooMuch(['activities', search, after, limit], () =>
        storage[engine].searching(read, signal),
      );
  return pageOf(lines);
}

/** A line of a page: one of its activities, or none; and what each says of the whole. */
type Line = { isWordless: boolean | null; more: boolean; lastAt: string | null; lastId: string | null } & (
  | FoundActivity
  | { id: null }
);

function pageOf(lines: readonly Line[]): ActivitiesPage {
  const [top] = lines;
  if (!top) throw new Error('the statement always has a line');
  if (top.isWordless) throw Refusal.at('invalid_parameter', 'reason', 'has no word: letters or digits');
  const activities = lines.flatMap(({ isWordless, more, lastAt, lastId, ...activity }) =>
    activity.id === null ? [] : [activity],
  );
  const { lastAt, lastId, more } = top;
  const shown = activities.at(-1);
  if (more && shown) return { activities, next: { recordedAt: shown.recordedAt, id: shown.id } };
  return { activities, next: lastAt !== null && lastId !== null ? { recordedAt: lastAt, id: lastId } : null };
}

const isOfTicks = ({ type, entityId }: ActivitySearch): boolean => type !== null || entityId !== null;

/** What is asked once for all: the words, and the names of properties. */
const asked = (sql: Sql, { reason, properties }: ActivitySearch): Fragment => sql`
      asked AS MATERIALIZED (
        SELECT ${reason === null ? sql`NULL::tsquery` : sql`clocktick.words_asked(${reason})`} AS words
      )${
        properties === null
          ? sql``
          : sql`, named AS MATERIALIZED (SELECT name FROM unnest(${arrayText(properties)}::text::text[]) AS named (name))`
      }`;

/** A way to find activities: the parts of a statement that it needs, what selects them newest first, and whether it finds none of them. */
type Way<Activities> = { parts: Fragment; activities: Activities | null; isNone: Fragment };

/**
 * Those that ticked the entity, or have all words: `found` (n, id, recorded_at) has them, and `driver` (n) says which of both finds few enough,
 * if one does. Where the entity does, nothing is looked for by words.
 */
function findings(sql: Sql, search: ActivitySearch): Way<(before: ActivityPlace) => Fragment> {
  const { entityId, reason } = search;
  if (entityId === null && reason === null) return { parts: sql``, activities: null, isNone: sql`true` };
  const byEntity = {
    parts: sql`
      of_entity AS MATERIALIZED (
        SELECT t.activity_id AS id FROM clocktick.tick t
         WHERE t.entity_id = ${entityId}::uuid AND t.activity_id IS NOT NULL
         ORDER BY t.tick DESC LIMIT ${SORTED + 1}
      ),`,
    found: sql`
        SELECT 1 AS n, of_entity.id, a.recorded_at
          FROM of_entity CROSS JOIN LATERAL (SELECT a.recorded_at FROM clocktick.activity a WHERE a.id = of_entity.id LIMIT 1) a
         WHERE (SELECT count(*) FROM of_entity) <= ${SORTED}`,
    driver: sql`SELECT 1 AS n WHERE (SELECT count(*) FROM of_entity) <= ${SORTED}`,
  };
  const byWords = {
    parts: sql``,
    found: sql`
        SELECT 2 AS n, w.id, w.recorded_at FROM clocktick.activities_with_words(${reason}, ${SORTED + 1}) w
         WHERE ${entityId === null ? sql`true` : sql`(SELECT count(*) FROM of_entity) > ${SORTED}`}`,
    driver: sql`SELECT 2 AS n WHERE (SELECT count(*) FROM found WHERE found.n = 2) <= ${SORTED}`,
  };
  const [first, second] =
    entityId === null ? [byWords, null] : reason === null ? [byEntity, null] : [byEntity, byWords];
  return {
    parts: sql`${first.parts}
      found AS MATERIALIZED (${first.found} ${second ? sql`UNION ALL ${second.found}` : sql``}
      ), driver AS MATERIALIZED (
        SELECT finder.n FROM (${first.driver} ${second ? sql`UNION ALL ${second.driver}` : sql``}) finder ORDER BY finder.n LIMIT 1
      ),`,
    activities: (before) => sql`
          SELECT f.recorded_at, f.id, a.actor, a.reason, a.metadata, a.import_id
            FROM (SELECT a.recorded_at, a.id FROM found a
                   WHERE a.n = (SELECT driver.n FROM driver) AND ${isBetween(sql, search, before)}
                   ORDER BY ${newestFirst(sql)}) f
           CROSS JOIN LATERAL (SELECT a.* FROM clocktick.activity a WHERE a.id = f.id LIMIT 1) a
           ORDER BY f.recorded_at DESC, f.id DESC`,
    isNone: sql`(SELECT driver.n FROM driver) IS NULL`,
  };
}

/**
 * Those of each actor whose name begins so, if they are few: `name` (actor), found one after the other by the index; `share` (rows), how many
 * of each are looked at; `stretch` (recorded_at, id, n), the newest of each; and `barrier` (recorded_at, id), up to which these are all that
 * there are: where the first of them ends that may have more.
 */
function stretches(
  sql: Sql,
  { actorPrefix, from }: ActivitySearch,
  before: ActivityPlace,
  { least, when }: { least: number; when: Fragment },
): Way<Fragment> {
  if (actorPrefix === null) return { parts: sql``, activities: null, isNone: sql`true` };
  const first = (which: Fragment) => sql`
    SELECT a.actor FROM clocktick.activity a
     WHERE a.actor IS NOT NULL AND ${which} AND a.actor <= ${actorPrefix + LAST_OF_ACTORS}
     ORDER BY a.actor LIMIT 1`;
  return {
    parts: sql`
      each_name (actor) AS (
        (${first(sql`a.actor >= ${actorPrefix} AND ${when}`)})
        UNION ALL
        SELECT (${first(sql`a.actor > each_name.actor`)}) FROM each_name WHERE each_name.actor IS NOT NULL
      ), name AS MATERIALIZED (
        SELECT each_name.actor FROM each_name WHERE each_name.actor IS NOT NULL LIMIT ${MANY_ACTORS + 1}
      ), share AS MATERIALIZED (
        SELECT greatest(${least}::int, ${LOOKED_AT}::int / greatest(count(*), 1)) AS rows FROM name
        HAVING count(*) <= ${MANY_ACTORS} AND ${when}
      ), stretch AS MATERIALIZED (
        SELECT newest.*
          FROM name CROSS JOIN LATERAL (
            SELECT a.*, row_number() OVER () AS n
              FROM (SELECT a.recorded_at, a.id FROM clocktick.activity a
                     WHERE ${ofActor(sql, sql`name.actor`, from, before)}
                     ORDER BY a.actor DESC, a.recorded_at DESC, a.id DESC LIMIT (SELECT share.rows FROM share)) a) newest
         WHERE EXISTS (SELECT FROM share)
      ), barrier AS MATERIALIZED (
        SELECT stretch.recorded_at, stretch.id FROM stretch
         WHERE stretch.n = (SELECT share.rows FROM share)
         ORDER BY stretch.recorded_at DESC, stretch.id DESC LIMIT 1
      ),`,
    activities: sql`
          SELECT s.recorded_at, s.id, a.actor, a.reason, a.metadata, a.import_id
            FROM (SELECT stretch.recorded_at, stretch.id FROM stretch
                   WHERE ((stretch.recorded_at, stretch.id)
                          < ((SELECT barrier.recorded_at FROM barrier), (SELECT barrier.id FROM barrier))) IS NOT TRUE
                   ORDER BY stretch.recorded_at DESC, stretch.id DESC) s
           CROSS JOIN LATERAL (SELECT a.* FROM clocktick.activity a WHERE a.id = s.id LIMIT 1) a
           ORDER BY s.recorded_at DESC, s.id DESC`,
    isNone: sql`NOT EXISTS (SELECT FROM share)`,
  };
}

/** The activities of the actor that is named, or all, newest first from a place on: where `when` holds. */
const inOrder = (sql: Sql, search: ActivitySearch, before: ActivityPlace, when: Fragment): Fragment => sql`
          SELECT a.* FROM clocktick.activity a
           WHERE ${when}
             AND ${search.actor === null ? isBetween(sql, search, before) : ofActor(sql, sql`${search.actor}`, search.from, before)}
           ORDER BY ${orderOf(sql, search)}`;

const newestFirst = (sql: Sql): Fragment => sql`a.recorded_at DESC, a.id DESC`;

/** The order of `inOrder`, which only one index has. */
const orderOf = (sql: Sql, { actor }: ActivitySearch): Fragment =>
  actor === null ? newestFirst(sql) : sql`a.actor DESC, ${newestFirst(sql)}`;

/** Whether `a` comes after a place, and not before the window; with the condition of the index that has this order. */
const isBetween = (sql: Sql, { from }: { from: string | null }, { recordedAt, id }: ActivityPlace): Fragment => sql`
  (a.recorded_at, a.id) < (${recordedAt}::timestamptz, ${id}::uuid) AND a.recorded_at >= ${from ?? OLDEST}::timestamptz
  AND a.recorded_at > '-infinity'`;

/** … and is one of an actor. */
const ofActor = (sql: Sql, actor: Fragment, from: string | null, { recordedAt, id }: ActivityPlace): Fragment => sql`
  a.actor IS NOT NULL AND (a.actor, a.recorded_at, a.id) < (${actor}, ${recordedAt}::timestamptz, ${id}::uuid)
  AND (a.actor, a.recorded_at) >= (${actor}, ${from ?? OLDEST}::timestamptz)`;

/** Whether `a` is wanted, whatever it was found by. */
const isWanted = (sql: Sql, search: ActivitySearch): Fragment => {
  const { actor, actorPrefix, reason, importId } = search;
  return sql`${actor === null ? sql`true` : sql`a.actor = ${actor}`}
         AND ${actorPrefix === null ? sql`true` : sql`a.actor >= ${actorPrefix} AND a.actor <= ${actorPrefix + LAST_OF_ACTORS}`}
         AND ${reason === null ? sql`true` : sql`clocktick.words(a.reason) @@ (SELECT asked.words FROM asked)`}
         AND ${importId === null ? sql`true` : sql`a.import_id = ${importId}::uuid`}
         AND ${isOfTicks(search) ? hasTick(sql, search) : sql`true`}`;
};

/** Whether `a` made such a tick. (By `=` of the type or of the entity it could be looked for among all ticks of that, by other indexes.) */
const hasTick = (sql: Sql, { type, entityId, properties }: ActivitySearch): Fragment => sql`(
         SELECT true FROM clocktick.tick t
          WHERE t.activity_id = a.id
            AND ${entityId === null ? sql`true` : sql`(t.activity_id, t.entity_id) >= (a.id, ${entityId}::uuid) AND (t.activity_id, t.entity_id) <= (a.id, ${entityId}::uuid)`}
            AND ${type === null ? sql`true` : sql`t.type IS NOT DISTINCT FROM ${type}`}
            AND ${properties === null ? sql`true` : sql`(SELECT true FROM named CROSS JOIN LATERAL clocktick.changed_at(t.entity_id, named.name, t.tick) LIMIT 1)`}
          LIMIT 1)`;
