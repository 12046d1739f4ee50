import { Refusal } from '../temporal/refusal.js';

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
  '57P03',
  '53300',
]);
/** The connection broke while the statement was under way. */
const BROKEN = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  '57P01',
  '57P02',
]);

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

/** Translates what went wrong with a read. */
export function readFailure(error: unknown): unknown {
  const code = codeOf(error);
  if (NEVER_SENT.has(code) || BROKEN.has(code) || /^(08|53|57)/.test(code)) return unavailable(error);
  return error;
}

/** Translates what went wrong with a write, by the constraint's name where the database refused it. */
export function writeFailure(error: unknown): unknown {
  const code = codeOf(error);
  if (NEVER_SENT.has(code)) return unavailable(error);
  if (BROKEN.has(code) || code.startsWith('08')) {
    // The commit may have happened just before the connection died: nobody here knows, and nobody may guess.
    return new Refusal('outcome_unknown', 'The connection to the database broke: the write may or may not be kept.', {
      cause: error,
    });
  }
  if (/^(53|57)/.test(code) || code === '25006') return unavailable(error);
  if (code === '54000')
    return new Refusal('entity_too_large', 'The entity would be too large to keep.', { cause: error });
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

const unavailable = (cause: unknown) =>
  new Refusal('database_unavailable', 'The database cannot serve right now. Nothing was written.', { cause });
