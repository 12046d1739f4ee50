import { admitted } from '../definitions/admission.js';
import type { Activity, ActivityDetails, Change, Entity, Op } from '../temporal/entity.js';
import { isObject, type Json } from '../temporal/json.js';
import { RESERVED_PREFIX } from '../temporal/limits.js';
import { Refusal } from '../temporal/refusal.js';
import { type Conflict, type OnConflict, type Undoable, undo } from '../temporal/undo.js';
import { requireActivity } from './activities.js';
import { type Definitions, definitionsOf } from './definitions.js';
import type { Sql } from './engine/pools.js';
import { type ActivityText, type EntityRow, entityOf } from './rows.js';
import type { Storage } from './storage.js';
import { type Decided, MOST_BYTES, type TogetherOutcome, tooLarge, writeTogether } from './together.js';

/** How many ticks can be undone at once: so many take about two seconds, and what is written meanwhile becomes stable after that. */
const MOST_UNDONE = 10_000;
/** How many of the later ticks that stand in the way are told. */
const MOST_TOLD = 1_000;

/** An activity to be undone, under another one. */
type Undoing = {
  id: string;
  /** One without details must have been recorded. */
  activity: Activity;
  onConflict: OnConflict;
  /** Brings back states that definitions refuse today. */
  evenIfInvalid: boolean;
  dryRun: boolean;
  signal?: AbortSignal;
};

/** A later tick that stands in the way, with its instant, and who made it. */
export type ConflictRow = Conflict & Pick<Entity, 'id' | 'type' | 'key'> & { at: string; by: ActivityText };

/** What became of the entities, in the order of their ids; how many later ticks stood in the way, and the first of them. */
export type UndoOutcome = TogetherOutcome & { conflicts: ConflictRow[]; count: number };

/**
 * Undoes what an activity did: all of it at one instant, or nothing.
 * @throws Refusal `activity_not_found`, `undo_conflict`, `batch_too_large`, `reserved_type`, `state_not_valid`, `activity_required`; and as
 * `writeTogether`
 */
export async function undoActivity(storage: Storage, undoing: Undoing): Promise<UndoOutcome> {
  const { id, activity, onConflict, dryRun, signal } = undoing;
  await requireActivity(storage, id).catch((error: unknown) => {
    if (!(error instanceof Refusal) || error.code !== 'unknown_activity') throw error;
    throw new Refusal('activity_not_found', error.message);
  });
  const who = activity.details ?? (await requireActivity(storage, activity.id));
  const decide = async (sql: Sql): Promise<Decided<Told>> => {
    const decided = await decideOn(storage, sql, { ...undoing, who });
    if (onConflict === 'refuse' && decided.told.count > 0) throw conflicting(decided.told);
    return decided;
  };
  const { told, written } = await writeTogether(storage, decide, { dryRun, signal });
  const [first] = written.values();
  return {
    at: first?.updatedAt ?? null,
    activity: first ? { id: activity.id, details: who } : null,
    outcomes: told.undone.map(({ row, change }) => ({
      id: row.id,
      row: written.get(row.id) ?? row,
      change,
      before: entityOf(row),
    })),
    conflicts: told.conflicts,
    count: told.count,
  };
}

type Told = { undone: { row: EntityRow; change: Change | null }[]; conflicts: ConflictRow[]; count: number };

async function decideOn(
  storage: Storage,
  sql: Sql,
  { id, activity, onConflict, evenIfInvalid, who }: Undoing & { who: ActivityDetails },
): Promise<Decided<Told>> {
  const ticks = await readUndoable(sql, id);
  const definitions = await definitionsOf(
    storage,
    ticks.map(({ row }) => row.type),
  );
  const found: (Conflict & { row: EntityRow })[] = [];
  const undone = ticks.map(({ row, ...done }) => {
    const entity = entityOf(row);
    if (row.type.startsWith(RESERVED_PREFIX)) throw ofDefinition(row);
    const { change, conflicts } = undo(entity, done, onConflict === 'force', activity);
    found.push(...conflicts.map((conflict) => ({ ...conflict, row })));
    return { row, change: change && admit(change, entity, definitions, { who, evenIfInvalid }) };
  });
  return {
    changes: undone.flatMap(({ change }) => (change ? [change] : [])),
    rows: new Map(undone.map(({ row }) => [row.id, row])),
    absent: [],
    definitions,
    told: { undone, conflicts: await tellConflicts(sql, found.slice(0, MOST_TOLD)), count: found.length },
  };
}

/** @throws Refusal as `admitted`, of which entity */
function admit(
  change: Change,
  entity: Entity,
  definitions: Definitions,
  said: { who: ActivityDetails; evenIfInvalid: boolean },
): Change | null {
  try {
    return admitted(change, entity, definitions.get(change.type) ?? null, { ...said, isReturn: true });
  } catch (error) {
    if (!(error instanceof Refusal) || error.code === 'activity_required') throw error;
    const { members, ...notes } = error.notes;
    throw new Refusal(error.code, `Entity ${labelOf(change)}: ${error.message}`, {
      ...notes,
      members: { ...members, id: entity.id },
    });
  }
}

const labelOf = ({ id, type, key }: Pick<Entity, 'id' | 'type' | 'key'>) => (key === null ? id : `${type}:${key}`);

type UndoableRow = EntityRow & { done: number; op: Op; changes: string };

/**
 * The ticks that an activity made, in the order of their entities' ids: each with its entity as it is now, what it changed, and which tick
 * changed that last. One statement, so that all of it is of one moment.
 * @throws Refusal `batch_too_large`
 */
async function readUndoable(sql: Sql, activity: string) {
  const rows = await sql<(Omit<UndoableRow, 'properties'> & { properties: string | null })[]>`
    WITH ticks AS MATERIALIZED (
      SELECT e.id, e.type, e.key, e.tick, e.deleted, e.created_at, e.updated_at, t.tick AS done, t.op,
             clocktick.all_properties(e.properties, e.untracked)::text AS properties,
             clocktick.untracked_at(e.untracked_ticks, e.tick)::text AS untracked, did.changes::text AS changes
        FROM (SELECT t.entity_id, t.tick, t.op FROM clocktick.tick t
               WHERE t.activity_id = ${activity}::uuid ORDER BY t.entity_id LIMIT ${MOST_UNDONE + 1}) t
       CROSS JOIN LATERAL (SELECT e.* FROM clocktick.entity e WHERE e.id = t.entity_id LIMIT 1) e
       CROSS JOIN LATERAL (SELECT nullif(t.tick - 1, 0) AS before, e.properties || '{}' AS properties, e.since || '{}' AS since OFFSET 0) at
       CROSS JOIN LATERAL (
         SELECT coalesce(jsonb_agg(jsonb_build_object('property', c.property, 'was', c.was, 'isSet', c.was IS NOT NULL, 'last', last.tick)
                                   ORDER BY octet_length(c.property), c.property), '[]') AS changes
           FROM clocktick.changes_between(e.id, e.tick, at.properties, at.since, at.before, t.tick) c
          CROSS JOIN LATERAL (
            SELECT CASE WHEN at.properties ? c.property THEN coalesce((at.since ->> c.property)::int4, 1)
                        ELSE (SELECT upper(h.vclock) FROM clocktick.closed_ranges(e.id, c.property, 1, e.tick) h
                               ORDER BY h.vclock DESC LIMIT 1) END AS tick) last
       ) did
    )
    SELECT id, type, key, tick, deleted, created_at AS "createdAt", updated_at AS "updatedAt", untracked, done, op, changes,
           CASE WHEN sum(octet_length(properties) + octet_length(changes)) OVER (ORDER BY id) <= ${MOST_BYTES} THEN properties END AS properties
      FROM ticks ORDER BY id`;
  if (rows.length > MOST_UNDONE)
    throw new Refusal(
      'batch_too_large',
      `Activity ${activity} made more than ${MOST_UNDONE} ticks: so many are not undone at once.`,
    );
  return rows.map(({ properties, done, op, changes, ...row }) => {
    if (properties === null) throw tooLarge('as they are, and what is to be undone of them');
    return { row: { ...row, properties }, tick: done, op, changes: undoableIn(changes) };
  });
}

/** What a tick did, as the statement tells it. */
function undoableIn(text: string): Undoable[] {
  const changes: Json = JSON.parse(text);
  if (!Array.isArray(changes)) throw new Error('changes are no array');
  return changes.map((change) => {
    if (!isObject(change)) throw new Error('a change is no object');
    const { property, was, isSet, last } = change;
    if (typeof property !== 'string' || typeof last !== 'number') throw new Error('a change lacks its property');
    return { property, was: isSet === true ? was : undefined, last };
  });
}

/** The later ticks that stand in the way, with their instants, and who made them. */
async function tellConflicts(sql: Sql, conflicts: readonly (Conflict & { row: EntityRow })[]): Promise<ConflictRow[]> {
  if (conflicts.length === 0) return [];
  const asked = JSON.stringify(conflicts.map(({ row: { id }, tick }, n) => ({ n, id, tick })));
  const rows = await sql<{ n: number; at: string; by: ActivityText }[]>`
    SELECT asked.n, t.at, CASE WHEN a.id IS NOT NULL THEN clocktick.activity_text(a.id, a.actor, a.reason, NULL) END AS by
      FROM jsonb_to_recordset(${asked}::text::jsonb) AS asked (n integer, id uuid, tick integer)
     CROSS JOIN LATERAL (SELECT t.* FROM clocktick.tick t WHERE t.entity_id = asked.id AND t.tick = asked.tick LIMIT 1) t
      LEFT JOIN LATERAL (SELECT a.* FROM clocktick.activity a WHERE a.id = t.activity_id LIMIT 1) a ON true
     ORDER BY asked.n`;
  return rows.flatMap(({ n, at, by }) => {
    const conflict = conflicts[n];
    if (!conflict) return [];
    const { row, property, tick } = conflict;
    return [{ id: row.id, type: row.type, key: row.key, property, tick, at, by }];
  });
}

const conflicting = ({ conflicts, count }: Told): Refusal =>
  new Refusal(
    'undo_conflict',
    `${count} later changes stand in the way. With onConflict skip the rest is undone, with force all of it. Nothing was written.`,
    { members: { count, conflicts: conflicts.map(conflictMembers) } },
  );

/** A later tick that stands in the way as an answer shows it. */
export const conflictMembers = ({ id, type, key, property, tick, at, by }: ConflictRow) => ({
  id,
  type,
  ...(key === null ? {} : { key }),
  ...(property === null ? {} : { property }),
  tick,
  at,
  activity: by === null ? null : activityIn(by),
});

function activityIn(text: string): Json {
  const activity: Json = JSON.parse(text);
  return activity;
}

const ofDefinition = (row: EntityRow): Refusal =>
  new Refusal(
    'reserved_type',
    `The activity changed definition ${row.key}, and definitions change one at a time: by POST /entities/${row.type}:${row.key}/revert.`,
    { members: { id: row.id } },
  );
