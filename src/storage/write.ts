import type { Activity, Change, Entity, Past } from '../temporal/entity.js';
import { isObject, type JsonObject } from '../temporal/json.js';
import type { Point } from '../temporal/point.js';
import { Refusal } from '../temporal/refusal.js';
import { requireActivity } from './activities.js';
import { type Applied, applyAlone, written } from './changes.js';
import { lostRace } from './engine/failures.js';
import type { Sql } from './engine/pools.js';
import { readEntitiesNow } from './entities.js';
import type { EntityRow } from './rows.js';
import { engine, type Storage } from './storage.js';

/** How often a write is tried on what is known of the entity before it takes the row's lock and cannot lose any more. */
const OPTIMISTIC_TRIES = 4;
/** Under the lock only the birth of the entity can still be lost, and that once. */
const LOCKED_TRIES = 2;

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
  /** Answers what would be written, and writes nothing. */
  dryRun?: boolean;
  /** Aborted when nobody waits for the outcome any more; what is not under way then is not done. */
  signal?: AbortSignal;
};

/** How a write ended: the row as it now stands, what was changed (null: nothing), and the state that was changed. */
export type Outcome = { row: EntityRow; change: Change | null; before: Entity | undefined };

/**
 * Writes one entity: decides on its current state what is to change, and applies that if and only if the entity is
 * still at the tick it was known at (compare and set); otherwise decides anew on the newer state. Writes of one entity
 * take turns here; those of other instances may still come first.
 * @throws Refusal what `decide` throws; `unknown_activity`, `outcome_unknown`, `database_unavailable`, `overloaded`, …
 */
export async function writeEntity(storage: Storage, write: Write): Promise<Outcome> {
  return write.dryRun
    ? writeNow(storage, write)
    : storage[engine].inTurn(write.id, () => writeNow(storage, write), write.signal);
}

/**
 * What is known of an entity. Unless it is sure, it may only lead to a change, which is compared before it is set; any
 * other end needs a state that was read after the request came.
 */
type Known = { row: EntityRow | undefined; isSure: boolean };

/** How an attempt ended. `lost`: somebody else came first; what is known since then, if anything. */
type Attempt = { end: 'done'; outcome: Outcome } | { end: 'lost'; known: Known | null } | { end: 'locked' };

/**
 * What the last write of the entity left here is tried first, without reading it again. If another instance has written
 * it since, that costs no statement more: the one that compares answers with the newer state.
 */
async function writeNow(storage: Storage, write: Write): Promise<Outcome> {
  if (write.activity?.details === null) await requireActivity(storage, write.activity.id);
  const last = storage[engine].lastWritten.get(write.id);
  let known: Known | null = last || write.assume === 'absent' ? { row: last, isSure: false } : null;
  for (let tries = 0; tries < OPTIMISTIC_TRIES; tries++) {
    const state = known ?? {
      row: await storage[engine].entityNow({ id: write.id, fields: null }, write.signal),
      isSure: true,
    };
    const attempt = await settle(attemptOn(storage, write, state, applying(storage, write)));
    if (attempt.end === 'done') return keep(storage, write, attempt.outcome);
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

type Apply = (change: Change, row: EntityRow | undefined) => Promise<Applied>;

/** Decides on a state, and applies what was decided. */
async function attemptOn(storage: Storage, write: Write, { row, isSure }: Known, apply: Apply): Promise<Attempt> {
  const before = row && entityOf(row);
  const past = before && (await readPast(storage, write, before));
  let change: Change | null;
  try {
    change = write.decide(before, past);
  } catch (error) {
    if (isSure) throw error;
    return { end: 'lost', known: null };
  }
  if (!change) {
    if (!isSure) return { end: 'lost', known: null };
    if (!row) throw new Error('what does not exist cannot stay unchanged');
    return { end: 'done', outcome: { row, change, before } };
  }
  const applied = await apply(change, row);
  if (applied.end === 'written') return { end: 'done', outcome: { row: applied.row, change, before } };
  return applied.end === 'locked' ? applied : { end: 'lost', known: { row: applied.row, isSure: true } };
}

/**
 * How a change is applied that holds no lock. That of a dry run is really made and then undone, so that a dry run is
 * refused by the same constraints and guards as the write would be; no second implementation of them could promise that.
 * (A subtransaction would save the connection, but the guards take what it wrote for somebody else's.)
 */
const applying = (storage: Storage, write: Write): Apply => {
  const { applyChange, transaction, stableInstant } = storage[engine];
  if (!write.dryRun) return (change, row) => applyChange(written(change, row), write.signal);
  return (change, row) =>
    stableInstant.stamped((latest) =>
      transaction('ROLLBACK', (sql) => applyAlone(sql, written(change, row), latest), write.signal),
    );
};

/** An attempt with the entity's row locked from the read on, so that nobody can come first. */
async function attemptLocked(storage: Storage, write: Write): Promise<Attempt> {
  const { transaction, stableInstant } = storage[engine];
  const attempt = async (sql: Sql, latest: string): Promise<Attempt> => {
    await sql`SELECT clocktick.lock_entity(${write.id}::uuid)`;
    const [row] = await readEntitiesNow(sql, [{ id: write.id, fields: null }]);
    const apply: Apply = (change) => applyAlone(sql, written(change, row), latest);
    return attemptOn(storage, write, { row, isSure: true }, apply);
  };
  return stableInstant.stamped((latest) =>
    transaction(write.dryRun ? 'ROLLBACK' : 'COMMIT', (sql) => attempt(sql, latest), write.signal),
  );
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

const entityOf = (row: EntityRow): Entity => ({ ...row, properties: propertiesOf(row) });

function propertiesOf(row: EntityRow): JsonObject {
  const properties: unknown = JSON.parse(row.properties);
  if (!isObject(properties)) throw new Error(`the properties of ${row.id} are no object`);
  return properties;
}
