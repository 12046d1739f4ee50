import { and, eq, gt, sql } from 'drizzle-orm';
import type { ActivityDetails } from '../temporal/entity.js';
import { Refusal } from '../temporal/refusal.js';
import type { Sql } from './engine/pools.js';
import { ANSWER_BYTES } from './rows.js';
import { activity, entity, tick } from './schema.js';
import { engine, type Storage } from './storage.js';

/** A recorded activity; what was not given is null, `metadata` is JSON text. */
export type ActivityRow = typeof activity.$inferSelect;

/** One tick that an activity made; `changes`, where they are asked for, is a JSON text: what it changed, by property. */
export type ActivityTick = Pick<typeof tick.$inferSelect, 'type' | 'tick' | 'at' | 'op'> &
  Pick<typeof entity.$inferSelect, 'id' | 'key'> & { changes?: string };

const columns = {
  id: activity.id,
  actor: activity.actor,
  reason: activity.reason,
  // As text: the driver would parse it.
  metadata: sql<string | null>`${activity.metadata}::text`,
  recordedAt: activity.recordedAt,
  importId: activity.importId,
};

/** Records an activity that writes can then name. */
export async function recordActivity(storage: Storage, id: string, details: ActivityDetails): Promise<ActivityRow> {
  const { actor = null, reason = null, metadata } = details;
  const text = metadata ? JSON.stringify(metadata) : null;
  const { stableInstant, recording } = storage[engine];
  const [row] = await stableInstant.stamped((latest) =>
    recording(
      (client) => client<ActivityRow[]>`
      SELECT a.id, a.actor, a.reason, a.metadata::text, a.recorded_at AS "recordedAt", a.import_id AS "importId"
        FROM clocktick.record_activity(${id}::uuid, ${actor}::text, ${reason}::text, ${text}::text::jsonb,
                                       not_after => ${latest}::timestamptz) a`,
    ),
  );
  if (row) return row;
  throw new Refusal('outcome_unknown', 'The database gave no whole answer: the activity may or may not be kept.');
}

/**
 * Who and why an activity was recorded for. It stays so, because none is ever removed; so this need not be asked in the
 * transaction of the write.
 * @throws Refusal `unknown_activity`
 */
export async function requireActivity(storage: Storage, id: string): Promise<ActivityDetails> {
  const [known] = await storage[engine].reading((_, db) =>
    db.select({ actor: activity.actor, reason: activity.reason }).from(activity).where(eq(activity.id, id)),
  );
  if (known) return { actor: known.actor ?? undefined, reason: known.reason ?? undefined };
  throw Refusal.at('unknown_activity', 'Activity-Id', 'names no activity', `There is no activity ${id}.`);
}

/** An activity, and a page of the ticks it made, in the order of their entities' ids. */
type ActivityPage = { activity: ActivityRow; ticks: ActivityTick[]; more: boolean };

/** Which ticks of an activity: after the id where the last page ended, and whether with what they changed. */
type TicksPage = { after: string | null; limit: number; withChanges?: boolean };

/**
 * An activity and a page of its ticks.
 * @returns undefined: no such activity
 */
export async function readActivity(
  storage: Storage,
  id: string,
  { after, limit, withChanges = false }: TicksPage,
): Promise<ActivityPage | undefined> {
  return storage[engine].reading(async (sql, db) => {
    const [row] = await db.select(columns).from(activity).where(eq(activity.id, id));
    if (!row) return undefined;
    if (withChanges) return { activity: row, ...(await readChanges(sql, id, { after, limit })) };
    const ticks = await db
      .select({ id: tick.entityId, type: tick.type, key: entity.key, tick: tick.tick, at: tick.at, op: tick.op })
      .from(tick)
      .innerJoin(entity, eq(entity.id, tick.entityId))
      .where(and(eq(tick.activityId, id), after === null ? undefined : gt(tick.entityId, after)))
      .orderBy(tick.entityId)
      .limit(limit + 1);
    return { activity: row, ticks: ticks.slice(0, limit), more: ticks.length > limit };
  });
}

/** Of how many ticks it is put together what they changed before looking whether a page is full: one may have changed 8 MiB. */
const TICKS_AT_ONCE = 10;

/**
 * A page of the ticks of an activity with what each changed, up to ANSWER_BYTES of that, as text and as what is stored of their entities:
 * what one has now is read whole, however little of it the tick changed.
 */
async function readChanges(
  sql: Sql,
  id: string,
  { after, limit }: Omit<TicksPage, 'withChanges'>,
): Promise<Omit<ActivityPage, 'activity'>> {
  const ticks = await sql<(ActivityTick & { more: boolean })[]>`
    WITH RECURSIVE page AS MATERIALIZED (
      SELECT t.*, row_number() OVER () AS n, e.key, e.tick AS now_tick, e.held
        FROM (SELECT t.entity_id, t.type, t.tick, t.at, t.op FROM clocktick.tick t
               WHERE t.activity_id = ${id}::uuid AND t.entity_id > ${after ?? '00000000-0000-0000-0000-000000000000'}::uuid
               ORDER BY t.entity_id LIMIT ${limit + 1}) t
       CROSS JOIN LATERAL (
         SELECT e.key, e.tick, pg_column_size(e.properties) AS held FROM clocktick.entity e WHERE e.id = t.entity_id LIMIT 1) e
    ), chunk (until, bytes, texts, sizes) AS (
      SELECT 0, 0::bigint, NULL::text[], NULL::int[]
      UNION ALL
      SELECT chunk.until + ${TICKS_AT_ONCE}::int, chunk.bytes + next.bytes, next.texts, next.sizes
        FROM chunk CROSS JOIN LATERAL (
          SELECT sum(sized.bytes) AS bytes, array_agg(changed.text ORDER BY page.n) AS texts, array_agg(sized.bytes ORDER BY page.n) AS sizes
            FROM page
           CROSS JOIN LATERAL (
             SELECT '{' || coalesce(string_agg(
                      to_json(c.property) || ': {' || concat_ws(', ', '"from": ' || c.was::text, '"to": ' || c.becomes::text) || '}', ', '
                      ORDER BY octet_length(c.property), c.property), '') || '}' AS text
               FROM clocktick.changes_at(page.entity_id, page.now_tick, page.tick) c OFFSET 0) changed
           CROSS JOIN LATERAL (SELECT greatest(octet_length(changed.text), page.held) AS bytes) sized
           WHERE page.n > chunk.until AND page.n <= least(chunk.until + ${TICKS_AT_ONCE}::int, ${limit}::int)
        ) next
       WHERE next.bytes > 0 AND chunk.bytes <= ${ANSWER_BYTES}
    ), shown AS MATERIALIZED (
      SELECT page.*, fitting.text
        FROM (SELECT chunk.until - ${TICKS_AT_ONCE}::int + u.place AS n, u.text,
                     chunk.bytes - sum(u.size) OVER (PARTITION BY chunk.until)
                       + sum(u.size) OVER (PARTITION BY chunk.until ORDER BY u.place) AS bytes
                FROM chunk CROSS JOIN LATERAL unnest(chunk.texts, chunk.sizes) WITH ORDINALITY AS u (text, size, place)) fitting
        JOIN page ON page.n = fitting.n
       WHERE fitting.n = 1 OR fitting.bytes <= ${ANSWER_BYTES}
    )
    SELECT (SELECT count(*) FROM page) > (SELECT count(*) FROM shown) AS more,
           t.entity_id AS id, t.type, t.key, t.tick, t.at, t.op, t.text AS changes
      FROM shown t ORDER BY t.n`;
  return { ticks: ticks.map(({ more, ...tick }) => tick), more: ticks[0]?.more ?? false };
}
