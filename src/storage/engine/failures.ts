import { inMiB, MAX_ENTITY_BYTES, MAX_METADATA_BYTES } from '../../temporal/limits.js';
import { Refusal } from '../../temporal/refusal.js';

/*
 * What an error of the driver or the server means to a caller. Anything not named here is a fault of ours and passes
 * through as it is.
 */

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

const constraintOf = (error: unknown): string =>
  error instanceof Error && 'constraint_name' in error && typeof error.constraint_name === 'string'
    ? error.constraint_name
    : '';

/** The connection never stood, so the statement was never sent. */
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'CONNECT_TIMEOUT',
  'CONNECTION_ENDED',
  '57P03', // the server is starting up or shutting down
  '53300', // too many connections
  '28000', // the role may not connect
  '28P01', // the password is wrong
  '3D000', // there is no such database
]);

/** Never sent: the connection never stood, whatever the network calls it. */
const neverSent = (error: unknown): boolean =>
  NEVER_SENT.has(codeOf(error)) || (error instanceof Error && 'syscall' in error && error.syscall === 'connect');

/** lock_not_available */
const LOCKED = '55P03';
/** The write function's own: stamps would lie at or before what was promised to be stable. */
const CLOCK_STEPPED_BACK = 'CT001';
/** read_only_sql_transaction: this is a standby */
const READ_ONLY = '25006';

/**
 * The connection broke while a statement was under way: anything that neither we nor the server said, and the server's
 * last words. A fault of ours has no code.
 */
export function brokeUnderWay(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof Refusal || codeOf(error) === '') return false;
  if (!('severity' in error)) return true;
  return error.severity === 'FATAL' || error.severity === 'PANIC' || codeOf(error).startsWith('08');
}

/** What two writers of one entity run into when neither saw the other. */
const RACED = new Set(['entity_pkey', 'tick_pkey', 'tick_entity_id_at_key', 'property_history_one_open_range']);

/**
 * Another writer came first and the server rolled this write back: two creates of one id, a deadlock, a serialization
 * failure. To be tried again from the entity's newest state.
 */
export function lostRace(error: unknown): boolean {
  const code = codeOf(error);
  return code === '40001' || code === '40P01' || (code === '23505' && RACED.has(constraintOf(error)));
}

/**
 * Whether an error has nothing to do with what was asked: nobody could be asked, or the answer was lost, or the server has
 * no room or time. A lock that was waited for in vain has.
 */
export function concernsAll(error: unknown): boolean {
  const code = codeOf(error);
  return (
    error instanceof Refusal ||
    neverSent(error) ||
    brokeUnderWay(error) ||
    (isOverload(code) && code !== LOCKED) ||
    code === READ_ONLY ||
    code === CLOCK_STEPPED_BACK
  );
}

/** The same of a read; but one that takes too long may do so for one of its questions, and harms nobody asked again. */
export const concernsAllReads = (error: unknown): boolean => concernsAll(error) && !wasCancelled(error);

/** A lock was not to be had in time. */
export const isLocked = (error: unknown): boolean => codeOf(error) === LOCKED;

/** The statement took longer than it may, or somebody cancelled it. */
const wasCancelled = (error: unknown): boolean => codeOf(error) === '57014';

/** Translates what went wrong with a read. */
export function readFailure(error: unknown): unknown {
  if (error instanceof Refusal) return error;
  const code = codeOf(error);
  if (neverSent(error) || brokeUnderWay(error) || isOverload(code) || code === READ_ONLY) return unavailable(error);
  return error;
}

/** The same of a read that may ask for more than can be read in time; asked again, it would take as long. */
export function searchFailure(error: unknown): unknown {
  if (!wasCancelled(error)) return readFailure(error);
  return new Refusal('too_much_to_read', 'It would take too long to read what this asks for: ask for less at a time.', {
    cause: error,
  });
}

/** Translates what went wrong with a write, by the constraint's name where the database refused it. */
export function writeFailure(error: unknown): unknown {
  if (error instanceof Refusal) return error;
  const code = codeOf(error);
  if (neverSent(error)) return unavailable(error);
  if (brokeUnderWay(error)) {
    // The commit may have happened just before the connection died: nobody here knows, and nobody may guess.
    return new Refusal('outcome_unknown', 'The connection to the database broke: the write may or may not be kept.', {
      cause: error,
    });
  }
  if (code === LOCKED) {
    return new Refusal('too_many_writers', 'The entity is being written by somebody else. Nothing was written.', {
      cause: error,
    });
  }
  if (isOverload(code) || code === READ_ONLY) return unavailable(error);
  if (code === CLOCK_STEPPED_BACK) return steppedBack(error);
  if (code === '54000' || (code === '23514' && constraintOf(error) === 'entity_size'))
    return new Refusal(
      'entity_too_large',
      `The entity would be too large to keep: its properties may take ${inMiB(MAX_ENTITY_BYTES)} as JSON.`,
      { cause: error },
    );
  if (code === '23514' && constraintOf(error) === 'activity_size') {
    const detail = `The metadata of the activity may take ${inMiB(MAX_METADATA_BYTES)} as JSON.`;
    return new Refusal('activity_too_large', detail, { cause: error });
  }
  if (code === '23505' && constraintOf(error) === 'tick_activity_id_entity_id_key') {
    return new Refusal('activity_already_ticked', 'This activity has already ticked this entity.', { cause: error });
  }
  // Exclusion constraint and guards: what is stored contradicts itself, by someone's hand.
  if (code === '23P01' || code === '23001') {
    return new Refusal('history_conflict', 'The write contradicts the recorded history and was refused.', {
      cause: error,
    });
  }
  return error;
}

/** No room, no time, told to stop, or a table that somebody keeps locked: classes 53 and 57, and 55P03. */
const isOverload = (code: string): boolean => /^5[37]...$|^55P03$/.test(code);

export const unavailable = (cause: unknown) =>
  new Refusal('database_unavailable', 'The database cannot serve right now. Nothing was written.', { cause });

function steppedBack(cause: unknown): Refusal {
  const detail = cause instanceof Error && 'detail' in cause ? Number(cause.detail) : Number.NaN;
  const seconds = Number.isFinite(detail) ? Math.max(Math.ceil(detail), 1) : 1;
  return new Refusal(
    'clock_stepped_back',
    `The database's clock is ${seconds} s behind what was already told to be stable. Nothing was written.`,
    { cause, retryAfter: seconds },
  );
}
