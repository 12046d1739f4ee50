import type { ActivityDetails } from '../temporal/entity.js';
import { Refusal } from '../temporal/refusal.js';
import { readFailure, writeFailure } from './engine/failures.js';
import type { Database } from './engine/pools.js';

/** A recorded activity; what was not given is null, `metadata` is JSON text. */
export type ActivityRow = {
  id: string;
  actor: string | null;
  reason: string | null;
  metadata: string | null;
  recordedAt: string;
};

/** One tick that an activity made. */
export type ActivityTick = { id: string; type: string; key: string | null; tick: number; at: string; op: string };

/** Records an activity that writes can then name. */
export async function recordActivity({ sql }: Database, id: string, details: ActivityDetails): Promise<ActivityRow> {
  try {
    const [row] = await sql<ActivityRow[]>`
      INSERT INTO clocktick.activity AS a (id, actor, reason, metadata, recorded_at)
      VALUES (${id}::uuid, ${details.actor ?? null}, ${details.reason ?? null},
              ${details.metadata ? JSON.stringify(details.metadata) : null}::text::jsonb, clock_timestamp())
      RETURNING a.id, a.actor, a.reason, a.metadata::text, a.recorded_at AS "recordedAt"`;
    if (!row)
      throw new Refusal('outcome_unknown', 'The database gave no whole answer: the activity may or may not be kept.');
    return row;
  } catch (error) {
    throw writeFailure(error);
  }
}

/**
 * Sees to it that an activity is recorded. It stays so, because none is ever removed; so this need not be asked in the
 * transaction of the write.
 * @throws Refusal `unknown_activity`
 */
export async function requireActivity({ sql }: Database, id: string): Promise<void> {
  try {
    const [row] = await sql<{ known: boolean }[]>`
      SELECT EXISTS (SELECT FROM clocktick.activity a WHERE a.id = ${id}::uuid) AS known`;
    if (row?.known) return;
  } catch (error) {
    throw readFailure(error);
  }
  throw new Refusal('unknown_activity', `There is no activity ${id}.`, {
    errors: [{ path: 'Activity-Id', message: 'names no activity' }],
  });
}

/** An activity, and a page of the ticks it made, in the order of their entities' ids. */
export type ActivityPage = { activity: ActivityRow; ticks: ActivityTick[]; more: boolean };

/**
 * An activity and a page of its ticks; `after` is the id where the last page ended.
 * @returns undefined: no such activity
 */
export async function readActivity(
  { sql }: Database,
  id: string,
  page: { after: string | null; limit: number },
): Promise<ActivityPage | undefined> {
  try {
    const [activity] = await sql<ActivityRow[]>`
      SELECT a.id, a.actor, a.reason, a.metadata::text, a.recorded_at AS "recordedAt"
        FROM clocktick.activity a WHERE a.id = ${id}::uuid`;
    if (!activity) return undefined;
    const ticks = await sql<ActivityTick[]>`
      SELECT t.entity_id AS id, t.type, e.key, t.tick, t.at, t.op
        FROM clocktick.tick t JOIN clocktick.entity e ON e.id = t.entity_id
       WHERE t.activity_id = ${id}::uuid AND t.entity_id > ${page.after ?? NIL}::uuid
       ORDER BY t.entity_id LIMIT ${page.limit + 1}`;
    return { activity, ticks: ticks.slice(0, page.limit), more: ticks.length > page.limit };
  } catch (error) {
    throw readFailure(error);
  }
}

/** No id is as small (RFC 9562 section 5.9). */
const NIL = '00000000-0000-0000-0000-000000000000';
