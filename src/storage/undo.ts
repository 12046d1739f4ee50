import { admitted } from '../definitions/admission.js';
import type { Activity, ActivityDetails, Change, Entity, Op } from '../temporal/entity.js';
import { isObject, type Json } from '../temporal/json.js';
import { RESERVED_PREFIX } from '../temporal/limits.js';
import { Refusal } from '../temporal/refusal.js';
import { type Conflict, type OnConflict, type Undoable, undo } from '../temporal/undo.js';
import { requireActivity } from './activities.js';
import { definitionsOf } from './definitions.js';
import { nobodyWaits } from './engine/failures.js';
import type { Sql } from './engine/pools.js';
import { type ActivityText, type EntityRow, entityOf } from './rows.js';
import { inSlices } from './slices.js';
import type { Storage } from './storage.js';
import { type Decided, MOST_BYTES, type TogetherOutcome, tooLarge, writeTogether } from './together.js';

/** How many ticks can be undone at once: to write as many takes about a second, and what is written meanwhile becomes stable after that. */
const MOST_UNDONE = 10_000;
/** How many are read at once: the database makes all that they changed before anybody knows how large that is. */
const READ_AT_ONCE = { first: 4, most: 256 };
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
export type ConflictRow = Conflict & Pick<Entity, 'id' | 'type' | 'key'> & { at: string; op: Op; by: ActivityText };

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
    activity: first && !dryRun ? { id: activity.id, details: who } : null,
    outcomes: told.undone.map(({ row, change, before }) => ({
      id: row.id,
      row: written.get(row.id) ?? row,
      change,
      before,
    })),
    conflicts: told.conflicts,
    count: told.count,
  };
}

type Undone = { row: EntityRow; change: Change | null; before: Entity };

type Told = { undone: Undone[]; conflicts: ConflictRow[]; count: number };

async function decideOn(
  storage: Storage,
  sql: Sql,
  { id, activity, onConflict, evenIfInvalid, who, signal }: Undoing & { who: ActivityDetails },
): Promise<Decided<Told>> {
  const rows = await readUndoable(sql, id, signal);
  const definitions = await definitionsOf(
    storage,
    rows.map(({ type }) => type),
  );
  const said = { who, evenIfInvalid, isReturn: true };
  const found: (Conflict & { row: EntityRow })[] = [];
  const undone = await inSlices(
    (function* () {
      const all: Undone[] = [];
      for (const { done, op, changes, ...row } of rows) {
        if (row.type.startsWith(RESERVED_PREFIX)) throw ofDefinition(row);
        const before = entityOf(row);
        const change = ofEntity(row, () => {
          const what = { tick: done, op, changes: undoableIn(changes) };
          const { change, conflicts } = undo(before, what, onConflict === 'force', activity);
          for (const conflict of conflicts) found.push({ ...conflict, row });
          return change && admitted(change, before, definitions.get(change.type) ?? null, said);
        });
        all.push({ row, change, before });
        yield;
      }
      return all;
    })(),
  );
  return {
    changes: undone.flatMap(({ change }) => (change ? [change] : [])),
    rows: new Map(undone.map(({ row }) => [row.id, row])),
    absent: [],
    definitions,
    told: { undone, conflicts: await tellConflicts(sql, found.slice(0, MOST_TOLD)), count: found.length },
  };
}

/** Does what is refused for one of many entities, and says which it is. */
function ofEntity<T>(row: EntityRow, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Refusal) || error.code === 'activity_required') throw error;
    const { members, ...notes } = error.notes;
    throw new Refusal(error.code, `Entity ${labelOf(row)}: ${error.message}`, {
      ...notes,
      members: { ...members, id: row.id },
    });
  }
}

const labelOf = ({ id, type, key }: Pick<Entity, 'id' | 'type' | 'key'>) => (key === null ? id : `${type}:${key}`);

type UndoableRow = EntityRow & { done: number; op: Op; changes: string };

/**
 * The ticks that an activity made, in the order of their entities' ids: each with its entity as it is now, what it changed, and which tick
 * changed that last. Not all of it is of one moment, which the write compares.
 * @throws Refusal `batch_too_large`, `overloaded` when nobody waits any more
 */
async function readUndoable(sql: Sql, activity: string, signal: AbortSignal | undefined): Promise<UndoableRow[]> {
  await refuseTooMany(sql, activity);
  const read: UndoableRow[] = [];
  let bytes = 0;
  let last: string | undefined = BEFORE_ALL;
  for (let most = READ_AT_ONCE.first; last; most = Math.min(2 * most, READ_AT_ONCE.most)) {
    if (signal?.aborted) throw nobodyWaits();
    const rows: UndoablePart[] = await readSome(sql, { activity, after: last, most, bytes: MOST_BYTES - bytes });
    for (const { properties, ...row } of rows) {
      if (properties === null) throw tooLarge('as they are, and what is to be undone of them');
      bytes += Buffer.byteLength(properties) + Buffer.byteLength(row.changes);
      read.push({ ...row, properties });
    }
    last = rows.length < most ? undefined : rows.at(-1)?.id;
  }
  return read;
}

/** No entity has this id: it comes before all that have one. */
const BEFORE_ALL = '00000000-0000-0000-0000-000000000000';

/** @throws Refusal `batch_too_large` */
async function refuseTooMany(sql: Sql, activity: string): Promise<void> {
  const [counted] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count
      FROM (SELECT FROM clocktick.tick t WHERE t.activity_id = ${activity}::uuid LIMIT ${MOST_UNDONE + 1}::int) t`;
  if (counted && counted.count <= MOST_UNDONE) return;
  throw new Refusal(
    'batch_too_large',
    `Activity ${activity} made more than ${MOST_UNDONE} ticks: so many are not undone at once.`,
  );
}

type UndoablePart = Omit<UndoableRow, 'properties'> & { properties: string | null };

/**
 * Some of these ticks. They are compared and ordered by a pair of columns, which one index alone has in this order: no statistics let the planner
 * go through the clock instead, which is in the order of entities as well.
 *
 * Whether a property has changed since is not known where its values were not kept: then the last tick counts. What it was before is not known
 * either where they were not kept then: it stays as it is.
 * @param after the id of the entity where the last part ended
 * @param bytes what their states and changes may have together; the properties of those beyond that are null
 */
async function readSome(
  sql: Sql,
  { activity, after, most, bytes }: { activity: string; after: string; most: number; bytes: number },
): Promise<UndoablePart[]> {
  return sql<UndoablePart[]>`
    WITH ticks AS MATERIALIZED (
      SELECT e.id, e.type, e.key, e.tick, e.deleted, e.created_at, e.updated_at, t.tick AS done, t.op,
             clocktick.all_properties(e.properties, e.untracked)::text AS properties,
             at.untracked::text AS untracked, did.changes::text AS changes
        FROM (SELECT t.entity_id, t.tick, t.op FROM clocktick.tick t
               WHERE (t.activity_id, t.entity_id) > (${activity}::uuid, ${after}::uuid) AND t.activity_id <= ${activity}::uuid
               ORDER BY t.activity_id, t.entity_id LIMIT ${most}::int) t
       CROSS JOIN LATERAL (SELECT e.* FROM clocktick.entity e WHERE e.id = t.entity_id LIMIT 1) e
       CROSS JOIN LATERAL (
         SELECT nullif(t.tick - 1, 0) AS before, e.properties || '{}' AS properties, e.since || '{}' AS since,
                clocktick.untracked_at(e.untracked_ticks, e.tick) AS untracked,
                clocktick.untracked_at(e.untracked_ticks, t.tick - 1) AS untracked_before OFFSET 0) at
       CROSS JOIN LATERAL (
         SELECT coalesce(jsonb_agg(jsonb_build_object('property', c.property, 'was', c.was, 'isSet', c.was IS NOT NULL, 'last', last.tick)
                                   ORDER BY octet_length(c.property), c.property), '[]') AS changes
           FROM clocktick.changes_between(e.id, e.tick, at.properties, at.since, at.before, t.tick) c
          CROSS JOIN LATERAL (
            SELECT CASE WHEN at.properties ? c.property THEN coalesce((at.since ->> c.property)::int4, 1)
                        WHEN at.untracked ? c.property THEN e.tick
                        ELSE (SELECT upper(h.vclock) FROM clocktick.closed_ranges(e.id, c.property, 1, e.tick) h
                               ORDER BY h.vclock DESC LIMIT 1) END AS tick) last
          WHERE (at.untracked_before ? c.property) IS NOT TRUE
       ) did
    )
    SELECT id, type, key, tick, deleted, created_at AS "createdAt", updated_at AS "updatedAt", untracked, done, op, changes,
           CASE WHEN sum(octet_length(properties) + octet_length(changes)) OVER (ORDER BY id) <= ${bytes}::int THEN properties END AS properties
      FROM ticks ORDER BY id`;
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
  const rows = await sql<{ n: number; at: string; op: Op; by: ActivityText }[]>`
    SELECT asked.n, t.at, t.op, CASE WHEN a.id IS NOT NULL THEN clocktick.activity_text(a.id, a.actor, a.reason, NULL) END AS by
      FROM jsonb_to_recordset(${asked}::text::jsonb) AS asked (n integer, id uuid, tick integer)
     CROSS JOIN LATERAL (SELECT t.* FROM clocktick.tick t WHERE t.entity_id = asked.id AND t.tick = asked.tick LIMIT 1) t
      LEFT JOIN LATERAL (SELECT a.* FROM clocktick.activity a WHERE a.id = t.activity_id LIMIT 1) a ON true
     ORDER BY asked.n`;
  return rows.flatMap(({ n, at, op, by }) => {
    const conflict = conflicts[n];
    if (!conflict) return [];
    const { row, ...which } = conflict;
    return [{ id: row.id, type: row.type, key: row.key, ...which, at, op, by }];
  });
}

const conflicting = ({ conflicts, count }: Told): Refusal =>
  new Refusal(
    'undo_conflict',
    `Later changes stand in the way, ${count} in all. With onConflict skip the rest is undone; with force these, too, but of entities that were deleted since. Nothing was written.`,
    { members: { conflictCount: count, conflicts: conflicts.map(conflictMembers) } },
  );

/** A later tick that stands in the way as an answer shows it. */
export const conflictMembers = ({ id, type, key, property, tick, at, op, by, isForced }: ConflictRow) => ({
  id,
  type,
  ...(key === null ? {} : { key }),
  ...(property === null ? {} : { property }),
  tick,
  at,
  op,
  ...(isForced ? { forced: true } : {}),
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
