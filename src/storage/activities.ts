import { and, eq, gt, sql } from 'drizzle-orm';
import type { ActivityDetails } from '../temporal/entity.js';
import { Refusal } from '../temporal/refusal.js';
import { activity, entity, tick } from './schema.js';
import { engine, type Storage } from './storage.js';

/** A recorded activity; what was not given is null, `metadata` is JSON text. */
export type ActivityRow = typeof activity.$inferSelect;

/** One tick that an activity made. */
export type ActivityTick = Pick<typeof tick.$inferSelect, 'type' | 'tick' | 'at' | 'op'> &
  Pick<typeof entity.$inferSelect, 'id' | 'key'>;

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

/**
 * An activity and a page of its ticks; `after` is the id where the last page ended.
 * @returns undefined: no such activity
 */
export async function readActivity(
  storage: Storage,
  id: string,
  { after, limit }: { after: string | null; limit: number },
): Promise<ActivityPage | undefined> {
  return storage[engine].reading(async (_, db) => {
    const [row] = await db.select(columns).from(activity).where(eq(activity.id, id));
    if (!row) return undefined;
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
