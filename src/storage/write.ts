import { Refusal } from '../temporal/refusal.js';
import { requireActivity } from './activities.js';
import { type Applied, applyAlone, written } from './changes.js';
import { type Admitted, type Decision, type Doing, decideOn, type Outcome, type Write } from './deciding.js';
import { define } from './defining.js';
import { lostRace } from './engine/failures.js';
import type { Sql } from './engine/pools.js';
import { readEntitiesNow } from './entities.js';
import type { EntityRow } from './rows.js';
import { engine, type Storage } from './storage.js';

/** How often a write is tried on what is known of the entity before it takes the row's lock and cannot lose any more. */
const OPTIMISTIC_TRIES = 4;
/** Under the lock only the birth of the entity can still be lost, and that once; and somebody may define its type anew. */
const LOCKED_TRIES = 3;

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

type Apply = (admitted: Admitted, row: EntityRow | undefined) => Promise<Applied>;

/** Decides on a state, and applies what was decided. */
async function attemptOn(storage: Storage, write: Doing, { row, isSure }: Known, apply: Apply): Promise<Attempt> {
  let decision: Decision;
  try {
    decision = await decideOn(storage, write, row);
  } catch (error) {
    if (isSure || !(error instanceof Refusal)) throw error;
    return { end: 'lost', known: null };
  }
  const { before, allowed, isDefinition } = decision;
  if (isDefinition) return { end: 'defines' };
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
 * How a change is applied that holds no lock. That of a dry run is really made and then undone, so that a dry run is
 * refused by the same constraints and guards as the write would be; no second implementation of them could promise that.
 * (A subtransaction would save the connection, but the guards take what it wrote for somebody else's.)
 */
const applying = (storage: Storage, write: Doing): Apply => {
  const { applyChange, transaction, stableInstant } = storage[engine];
  if (!write.dryRun) return ({ change, rules }, row) => applyChange(written(change, row, rules), write.signal);
  return ({ change, rules }, row) =>
    stableInstant.stamped((latest) =>
      transaction('ROLLBACK', (sql) => applyAlone(sql, written(change, row, rules), latest), write.signal),
    );
};

/** An attempt with the entity's row locked from the read on, so that nobody can come first. */
async function attemptLocked(storage: Storage, write: Doing): Promise<Attempt> {
  const { transaction, stableInstant } = storage[engine];
  const attempt = async (sql: Sql, latest: string): Promise<Attempt> => {
    await sql`SELECT clocktick.lock_entity(${write.id}::uuid)`;
    const [row] = await readEntitiesNow(sql, [{ id: write.id, fields: null }]);
    const apply: Apply = ({ change, rules }) => applyAlone(sql, written(change, row, rules), latest);
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
