import { inMiB, MAX_ENTITY_BYTES, MAX_METADATA_BYTES } from '../../temporal/limits.js';
import { Refusal } from '../../temporal/refusal.js';
import { SETTLING_MS } from './clock-trust.js';

/*
 * What an error of the driver or the server means to a caller. Any error that is not named here is a bug of the service, and
 * passes through as it is.
 */

/** The code of an error of the driver, the network or the server: a SQLSTATE, or a word. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

const constraintOf = (error: unknown): string =>
  error instanceof Error && 'constraint_name' in error && typeof error.constraint_name === 'string'
    ? error.constraint_name
    : '';

/** Codes after which the statement was never sent, because there was no connection. */
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

/** Whether the statement was never sent, because there was no connection; the network has many codes for that. */
export const neverSent = (error: unknown): boolean =>
  NEVER_SENT.has(codeOf(error)) || (error instanceof Error && 'syscall' in error && error.syscall === 'connect');

/** lock_not_available: lock_timeout has passed. */
const LOCKED = '55P03';
/** The code of the write function itself: its stamps would lie at or before the promise, the high-water mark of what is stable. */
export const CLOCK_STEPPED_BACK = 'CT001';
/** … and its clock is later than this process believes (clock-trust.ts). */
const CLOCK_JUMPED_AHEAD = 'CT003';
/** read_only_sql_transaction: the server is a standby, or the database was made read-only. */
export const READ_ONLY = '25006';

/** insufficient_privilege: the role of the service lacks one. */
export const FORBIDDEN = '42501';

/**
 * Whether the connection broke while a statement was under way. The error then comes from the driver or the network, or it is what
 * the server says before it ends the connection (FATAL, PANIC, class 08). An error of the service's own code has no code.
 */
export function brokeUnderWay(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof Refusal || codeOf(error) === '') return false;
  if (!('severity' in error)) return true;
  return error.severity === 'FATAL' || error.severity === 'PANIC' || codeOf(error).startsWith('08');
}

/**
 * The id of the row, an entity or an activity, that a constraint refused; or of the entity that an activity has ticked already. PostgreSQL says
 * it in the detail of the error. Null: it says none.
 */
export function refusedRow(error: unknown): string | null {
  const detail = error instanceof Error && 'detail' in error ? String(error.detail) : '';
  const [, first, second] =
    /^(?:Failing row contains \(([0-9a-f-]{36}),|Key \(activity_id, entity_id\)=\([0-9a-f-]{36}, ([0-9a-f-]{36})\))/.exec(
      detail,
    ) ?? [];
  return first ?? second ?? null;
}

/** The constraints that two writers of one entity, or two imports of one activity, violate when neither has seen the other. */
const RACED = new Set(['entity_pkey', 'tick_pkey', 'tick_entity_id_at_key', 'activity_pkey']);

/**
 * Whether another writer came first and the server rolled this write back: two creates of one id, a deadlock, a serialization
 * failure. The write path then tries again from the newest state of the entity.
 */
export function lostRace(error: unknown): boolean {
  const code = codeOf(error);
  return code === '40001' || code === '40P01' || (code === '23505' && RACED.has(constraintOf(error)));
}

/**
 * Whether an error has nothing to do with the question, so that it fails all questions that share the statement: the statement
 * was never sent, the answer was lost, or the server has no room or time. A lock timeout is different: it concerns the question
 * whose row is locked.
 */
export function concernsAll(error: unknown): boolean {
  const code = codeOf(error);
  return (
    error instanceof Refusal ||
    neverSent(error) ||
    brokeUnderWay(error) ||
    (isOverload(code) && code !== LOCKED) ||
    code === READ_ONLY ||
    code === FORBIDDEN ||
    code === CLOCK_STEPPED_BACK ||
    code === CLOCK_JUMPED_AHEAD
  );
}

/**
 * `concernsAll` for reads. It leaves the statement timeout out: one question may have caused it, and to ask the others again
 * does no harm.
 */
export const concernsAllReads = (error: unknown): boolean => concernsAll(error) && !wasCancelled(error);

/** Whether a lock could not be had in time. */
export const isLocked = (error: unknown): boolean => codeOf(error) === LOCKED;

/** Whether the statement took longer than it may, or somebody cancelled it. */
export const wasCancelled = (error: unknown): boolean => codeOf(error) === '57014';

/** What the error of a read means to a caller: a Refusal `database_unavailable`, or the error itself. */
export function readFailure(error: unknown): unknown {
  if (error instanceof Refusal) return error;
  const code = codeOf(error);
  if (code === FORBIDDEN) return forbidden(error);
  if (neverSent(error) || brokeUnderWay(error) || isOverload(code) || code === READ_ONLY) return unavailable(error);
  return error;
}

/**
 * `readFailure` for a read that may ask for more than can be read in time. Its statement timeout is `too_much_to_read`: the same
 * question would take as long again.
 */
export function searchFailure(error: unknown): unknown {
  if (!wasCancelled(error)) return readFailure(error);
  return new Refusal('too_much_to_read', 'It would take too long to read what this asks for: ask for less at a time.', {
    cause: error,
  });
}

/** What the error of a write means to a caller; where the database refused the write, by the name of the constraint. */
export function writeFailure(error: unknown): unknown {
  if (error instanceof Refusal) return error;
  const code = codeOf(error);
  if (neverSent(error)) return unavailable(error);
  if (brokeUnderWay(error)) {
    // The server may have committed just before the connection broke. The service cannot know, so it must not guess.
    return new Refusal('outcome_unknown', 'The connection to the database broke: the write may or may not be kept.', {
      cause: error,
    });
  }
  if (code === LOCKED) {
    return new Refusal('too_many_writers', 'The entity is being written by somebody else. Nothing was written.', {
      cause: error,
    });
  }
  if (code === FORBIDDEN) return forbidden(error);
  if (isOverload(code) || code === READ_ONLY) return unavailable(error);
  if (code === CLOCK_STEPPED_BACK) return steppedBack(error);
  if (code === CLOCK_JUMPED_AHEAD) return jumpedAhead(error);
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
  if (code === '23001' && constraintOf(error) === 'tick_is_not_of_the_future')
    return new Refusal(
      'clock_stepped_back',
      "The database's clock stepped back during the write. Nothing was written.",
      {
        cause: error,
      },
    );
  // A guard. The core makes no such change, so somebody has changed what is stored by hand.
  if (code === '23001') {
    return new Refusal('history_conflict', 'The write contradicts the recorded history and was refused.', {
      cause: error,
    });
  }
  return error;
}

/** Whether the server has no room (class 53), no time or must stop (class 57), or somebody keeps a table locked (55P03). */
const isOverload = (code: string): boolean => /^5[37]...$|^55P03$/.test(code);

/** The refusal of a request that the database cannot serve, and that has left no trace. */
export const unavailable = (cause: unknown) =>
  new Refusal('database_unavailable', 'The database cannot serve right now. Nothing was written.', { cause });

/** The refusal of what the role of the service may not do. Which privilege it lacks, readiness tells (storage/health.ts). */
const forbidden = (cause: unknown) =>
  new Refusal('database_unavailable', 'The database does not let the service do this. Nothing was written.', { cause });

/** The refusal of work for a caller who has gone. */
export const nobodyWaits = () =>
  new Refusal('overloaded', 'Nobody waits for the answer any more. Nothing was written.');

/** Whether a write was refused because of a clock that is later than this process believes. */
export const hasJumpedAhead = (error: unknown): boolean =>
  codeOf(error) === CLOCK_JUMPED_AHEAD || (error instanceof Refusal && error.code === 'clock_jumped_ahead');

/** The refusal of a write that would be stamped by a clock that nobody believes. */
export const jumpedAhead = (cause?: unknown) =>
  new Refusal(
    'clock_jumped_ahead',
    "The database's clock has jumped ahead, and is not believed before it has gone on evenly for a while. Nothing was written.",
    { cause, retryAfter: SETTLING_MS / 1000 },
  );

/** The refusal of a write before the promise. The detail of the error is how far the clock is behind, in seconds. */
function steppedBack(cause: unknown): Refusal {
  const detail = cause instanceof Error && 'detail' in cause ? Number(cause.detail) : Number.NaN;
  const seconds = Number.isFinite(detail) ? Math.max(Math.ceil(detail), 1) : 1;
  return new Refusal(
    'clock_stepped_back',
    `The database's clock is ${seconds} s behind what was already told to be stable. Nothing was written.`,
    { cause, retryAfter: seconds },
  );
}
