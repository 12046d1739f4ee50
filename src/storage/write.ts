import { admitted, type Said } from '../definitions/admission.js';
import { checkerOf } from '../definitions/checker.js';
import { definitionOf } from '../definitions/definition.js';
import type { Activity, ActivityDetails, Change, Entity, Past } from '../temporal/entity.js';
import { isObject, type Json, type JsonObject, jsonEqual } from '../temporal/json.js';
import { DEFINITION_TYPE } from '../temporal/limits.js';
import { replaced } from '../temporal/patch.js';
import type { Point } from '../temporal/point.js';
import { Refusal } from '../temporal/refusal.js';
import { requireActivity } from './activities.js';
import { type Applied, applyAlone, written } from './changes.js';
import { readType } from './definitions.js';
import { lostRace } from './engine/failures.js';
import type { Sql } from './engine/pools.js';
import { readEntitiesNow } from './entities.js';
import { type Impact, impactOf, impactSince } from './impact.js';
import { type EntityRow, namesIn } from './rows.js';
import { engine, type Storage } from './storage.js';

/** How often a write is tried on what is known of the entity before it takes the row's lock and cannot lose any more. */
const OPTIMISTIC_TRIES = 4;
/** Under the lock only the birth of the entity can still be lost, and that once; and somebody may define its type anew. */
const LOCKED_TRIES = 3;
/** How often a change of a definition is tried that somebody else comes before. */
const DEFINING_TRIES = 3;

/** A write of one entity. */
export type Write = {
  id: string;
  /**
   * What is to change in the current state: pure, and may be asked several times. Null: nothing changes; a Refusal that it
   * throws refuses the write.
   */
  decide: (current: Entity | undefined, past: Past | undefined) => Change | null;
  /** The point whose state `decide` needs as well, if any. */
  pastOf?: (current: Entity) => Point | null;
  /** The activity that the write names; one without details must have been recorded. */
  activity?: Activity | null;
  /** That it does not exist most likely, so that it is not read first. */
  assume?: 'absent';
  /** Whether it brings back a state that was recorded before. */
  isReturn?: boolean;
  /** Writes what the definition of the type refuses; of a definition: whatever it makes invalid. */
  evenIfInvalid?: boolean;
  /** Answers what would be written, and writes nothing. */
  dryRun?: boolean;
  /** Aborted when nobody waits for the outcome any more; what is not under way then is not done. */
  signal?: AbortSignal;
};

/**
 * How a write ended: the row as it now stands, what was changed (null: nothing), and the state that was changed. `impact`: what a
 * definition makes invalid, where that was looked for.
 */
export type Outcome = { row: EntityRow; change: Change | null; before: Entity | undefined; impact?: Impact };

/** A write, and what is known of the activity that it is under. */
type Doing = Write & { who: ActivityDetails | null };

/**
 * Writes one entity: decides on its current state what is to change, and applies that if and only if the entity is
 * still at the tick it was known at (compare and set); otherwise decides anew on the newer state. Writes of one entity
 * take turns here; those of other instances may still come first.
 * @throws Refusal what `decide` throws; what the definition of the type says (`admitted`); `entities_not_valid` of a definition;
 * `unknown_activity`, `outcome_unknown`, `database_unavailable`, `overloaded`, …
 */
export async function writeEntity(storage: Storage, write: Write): Promise<Outcome> {
  const { activity } = write;
  const writing = async () => {
    const who = activity?.details ?? (activity ? await requireActivity(storage, activity.id) : null);
    return writeNow(storage, { ...write, who });
  };
  return write.dryRun ? writing() : storage[engine].inTurn(write.id, writing, write.signal);
}

/**
 * What is known of an entity. Unless it is sure, it may only lead to a change, which is compared before it is set; any
 * other end needs a state that was read after the request came.
 */
type Known = { row: EntityRow | undefined; isSure: boolean };

/** How an attempt ended. `lost`: somebody else came first; what is known since then, if anything. */
type Attempt =
  | { end: 'done'; outcome: Outcome }
  | { end: 'lost'; known: Known | null }
  | { end: 'locked' }
  | { end: 'defines' };

/**
 * What the last write of the entity left here is tried first, without reading it again. If another instance has written
 * it since, that costs no statement more: the one that compares answers with the newer state.
 */
async function writeNow(storage: Storage, write: Doing): Promise<Outcome> {
  const last = storage[engine].lastWritten.get(write.id);
  let known: Known | null = last || write.assume === 'absent' ? { row: last, isSure: false } : null;
  for (let tries = 0; tries < OPTIMISTIC_TRIES; tries++) {
    const state = known ?? {
      row: await storage[engine].entityNow({ id: write.id, fields: null }, write.signal),
      isSure: true,
    };
    const attempt = await settle(attemptOn(storage, write, state, applying(storage, write)));
    if (attempt.end === 'done') return keep(storage, write, attempt.outcome);
    if (attempt.end === 'defines') return keep(storage, write, await define(storage, write));
    storage[engine].counts.retriedWrites++;
    if (attempt.end === 'locked') break;
    known = attempt.known;
  }
  for (let tries = 0; tries < LOCKED_TRIES; tries++) {
    const attempt = await settle(attemptLocked(storage, write));
    if (attempt.end === 'done') return keep(storage, write, attempt.outcome);
  }
  throw new Refusal('too_many_writers', 'Other writers of this entity came first every time. Nothing was written.');
}

function keep(storage: Storage, { dryRun }: Write, outcome: Outcome): Outcome {
  if (!dryRun) storage[engine].lastWritten.set(outcome.row.id, outcome.row);
  return outcome;
}

/** A change that may be recorded, and the tick of the definition by which it may; 0: its type is open. */
type Admitted = { change: Change; definition: number };

type Apply = (admitted: Admitted, row: EntityRow | undefined) => Promise<Applied>;

/** Decides on a state, and applies what was decided. */
async function attemptOn(storage: Storage, write: Doing, { row, isSure }: Known, apply: Apply): Promise<Attempt> {
  const before = row && entityOf(row);
  const past = before && (await readPast(storage, write, before));
  let decided: Change | null;
  let allowed: Admitted | null;
  try {
    decided = write.decide(before, past);
    if (decided?.type === DEFINITION_TYPE) return { end: 'defines' };
    allowed = decided && (await admit(storage, write, decided, before));
  } catch (error) {
    if (isSure) throw error;
    return { end: 'lost', known: null };
  }
  if (!allowed) {
    if (!isSure) return { end: 'lost', known: null };
    if (!row) throw new Error('what does not exist cannot stay unchanged');
    return { end: 'done', outcome: { row, change: null, before } };
  }
  const { change } = allowed;
  const applied = await apply(allowed, row);
  if (applied.end === 'written') return { end: 'done', outcome: { row: applied.row, change, before } };
  if (applied.end === 'redefined') storage[engine].knownTypes.delete(change.type);
  return applied.end === 'locked' ? applied : { end: 'lost', known: { row: applied.row, isSure: true } };
}

/**
 * Lets a change be recorded by what is known of its type. What is known may be out of date: a refusal needs a definition that was read
 * after the request came.
 */
async function admit(
  storage: Storage,
  { who, isReturn = false, evenIfInvalid = false, signal }: Doing,
  change: Change,
  before: Entity | undefined,
): Promise<Admitted | null> {
  const said: Said = { who, isReturn, evenIfInvalid };
  const known = storage[engine].knownTypes.get(change.type);
  if (known) {
    try {
      return under(known.tick, admitted(change, before, known.rules, said));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }
  const { tick, rules } = await readType(storage, change.type, signal);
  return under(tick, admitted(change, before, rules, said));
}

const under = (definition: number, change: Change | null): Admitted | null => change && { change, definition };

/**
 * How a change is applied that holds no lock. That of a dry run is really made and then undone, so that a dry run is
 * refused by the same constraints and guards as the write would be; no second implementation of them could promise that.
 * (A subtransaction would save the connection, but the guards take what it wrote for somebody else's.)
 */
const applying = (storage: Storage, write: Doing): Apply => {
  const { applyChange, transaction, stableInstant } = storage[engine];
  if (!write.dryRun)
    return ({ change, definition }, row) => applyChange(written(change, row, definition), write.signal);
  return ({ change, definition }, row) =>
    stableInstant.stamped((latest) =>
      transaction('ROLLBACK', (sql) => applyAlone(sql, written(change, row, definition), latest), write.signal),
    );
};

/** An attempt with the entity's row locked from the read on, so that nobody can come first. */
async function attemptLocked(storage: Storage, write: Doing): Promise<Attempt> {
  const { transaction, stableInstant } = storage[engine];
  const attempt = async (sql: Sql, latest: string): Promise<Attempt> => {
    await sql`SELECT clocktick.lock_entity(${write.id}::uuid)`;
    const [row] = await readEntitiesNow(sql, [{ id: write.id, fields: null }]);
    const apply: Apply = ({ change, definition }) => applyAlone(sql, written(change, row, definition), latest);
    return attemptOn(storage, write, { row, isSure: true }, apply);
  };
  return stableInstant.stamped((latest) =>
    transaction(write.dryRun ? 'ROLLBACK' : 'COMMIT', (sql) => attempt(sql, latest), write.signal),
  );
}

/**
 * Writes a definition. Unless the caller wants it whatever it makes invalid, all entities of the type are checked first, while others write
 * on; those that were written meanwhile once more, when nobody can write any of the type until the definition is kept.
 * @throws Refusal `entities_not_valid`
 */
async function define(storage: Storage, write: Doing): Promise<Outcome> {
  const { knownTypes, entityNow, transaction, stableInstant, exporting } = storage[engine];
  for (let tries = 0; tries < DEFINING_TRIES; tries++) {
    const row = await entityNow({ id: write.id, fields: null }, write.signal);
    const before = row && entityOf(row);
    const decided = write.decide(before, before && (await readPast(storage, write, before)));
    const allowed = decided && (await admit(storage, write, decided, before));
    if (!allowed) {
      if (!row) throw new Error('what does not exist cannot stay unchanged');
      return { row, change: null, before };
    }
    const { change } = allowed;
    const type = change.key ?? '';
    const schema = write.evenIfInvalid && !write.dryRun ? null : newSchema(change, before);
    const checker = schema === null ? null : checkerOf(schema);
    const impact = checker && (await impactOf(storage, type, checker, write.signal));
    /** Checks what was written since, which can only make a difference where there was nothing wrong. */
    const checkAgain = async (sql: Sql) => {
      if (checker && impact?.invalid === 0) await impactSince(sql, type, checker, impact);
      if (impact && impact.invalid > 0 && !write.evenIfInvalid) throw entitiesNotValid(type, impact);
    };
    const until = impact && (await stableInstant.newest());
    await exporting(checkAgain);
    if (impact && until !== null) impact.until = until;
    const attempt = (latest: string) =>
      transaction(
        write.dryRun ? 'ROLLBACK' : 'COMMIT',
        async (sql) => {
          await sql`SELECT clocktick.lock_definition(${type})`;
          await checkAgain(sql);
          return applyAlone(sql, written(change, row, 0), latest);
        },
        write.signal,
      );
    const applied = await settled(stableInstant.stamped(attempt));
    knownTypes.delete(type);
    if (applied?.end === 'written') return { row: applied.row, change, before, ...(impact ? { impact } : {}) };
    storage[engine].counts.retriedWrites++;
  }
  throw new Refusal('too_many_writers', 'Others changed this definition first every time. Nothing was written.');
}

/** The schema of a definition after a change; null: it is as it was, or there is none any more. */
function newSchema(change: Change, before: Entity | undefined): boolean | JsonObject | null {
  if (change.op === 'deleted') return null;
  const was: Json | undefined = before?.properties.schema;
  const { schema } = definitionOf(replaced(before?.properties ?? {}, change));
  return was !== undefined && jsonEqual(was, schema) ? null : schema;
}

const entitiesNotValid = (type: string, { checked, invalid, examples }: Impact): Refusal =>
  new Refusal(
    'entities_not_valid',
    `The definition refuses ${invalid} of the ${checked} entities of type ${type}, as they are now.`,
    {
      members: {
        checked,
        invalid,
        examples: examples.map((one) => ({ ...one, errors: one.errors.map((e) => ({ ...e })) })),
      },
    },
  );

/** What became of a change; undefined: somebody else came first. */
async function settled(applying: Promise<Applied>): Promise<Applied | undefined> {
  try {
    return await applying;
  } catch (error) {
    if (lostRace(error)) return undefined;
    throw error;
  }
}

/** Runs an attempt: a race that was lost is one of its ends. */
async function settle(attempt: Promise<Attempt>): Promise<Attempt> {
  try {
    return await attempt;
  } catch (error) {
    if (lostRace(error)) return { end: 'lost', known: null };
    throw error;
  }
}

async function readPast(storage: Storage, { id, pastOf, signal }: Write, current: Entity): Promise<Past | undefined> {
  const point = pastOf?.(current);
  if (!point) return undefined;
  const row = await storage[engine].entityAsOf({ id, point, fields: null }, signal);
  return row && (row.tick === null ? row : entityOf(row));
}

const entityOf = (row: EntityRow): Entity => ({
  ...row,
  properties: propertiesOf(row),
  untracked: namesIn(row.untracked),
});

function propertiesOf(row: EntityRow): JsonObject {
  const properties: unknown = JSON.parse(row.properties);
  if (!isObject(properties)) throw new Error(`the properties of ${row.id} are no object`);
  return properties;
}
