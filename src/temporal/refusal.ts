import type { Json } from './json.js';

/** Why the service says no. Each code is stable: callers branch on it, and `http/protocol/problems.ts` gives each its status. */
export type RefusalCode =
  | 'bad_request'
  | 'malformed_encoding'
  | 'malformed_json'
  | 'body_too_large'
  | 'number_not_exact'
  | 'text_not_storable'
  | 'duplicate_name'
  | 'nested_too_deep'
  | 'invalid_body'
  | 'unknown_field'
  | 'invalid_property_name'
  | 'invalid_parameter'
  | 'unknown_parameter'
  | 'invalid_id'
  | 'invalid_as_of'
  | 'invalid_cursor'
  | 'invalid_filter'
  | 'too_much_to_read'
  | 'invalid_condition'
  | 'invalid_activity_id'
  | 'activity_given_twice'
  | 'unknown_activity'
  | 'as_of_in_future'
  | 'as_of_not_stable_yet'
  | 'entity_not_found'
  | 'entity_deleted'
  | 'tick_not_found'
  | 'property_not_found'
  | 'activity_not_found'
  | 'request_timeout'
  | 'headers_too_large'
  | 'entity_exists'
  | 'import_running'
  | 'import_not_found'
  | 'type_mismatch'
  | 'deleted_then'
  | 'value_not_kept'
  | 'reserved_type'
  | 'type_not_defined'
  | 'invalid_properties'
  | 'state_not_valid'
  | 'activity_required'
  | 'entities_not_valid'
  | 'activity_already_ticked'
  | 'activity_differs'
  | 'undo_conflict'
  | 'at_in_future'
  | 'at_out_of_order'
  | 'history_conflict'
  | 'patch_test_failed'
  | 'patch_not_applicable'
  | 'precondition_failed'
  | 'precondition_required'
  | 'patch_too_much_work'
  | 'invalid_definition'
  | 'properties_too_much_work'
  | 'entity_too_large'
  | 'batch_too_large'
  | 'activity_too_large'
  | 'too_many_writers'
  | 'clock_stepped_back'
  | 'clock_jumped_ahead'
  | 'overloaded'
  | 'outcome_unknown'
  | 'database_unavailable';

/**
 * One place in a request that is wrong; `path` is an RFC 6901 pointer into the body, or the name of a parameter. Where a definition says so:
 * `keyword` is the rule of its schema, and `value` what stands there, if that is short.
 */
export type Fault = { path: string; message: string; keyword?: string; value?: Json };

/** What a refusal says beside its sentence: the places in the request, and extension members (RFC 9457 section 3.2). */
export type RefusalNotes = {
  errors?: Fault[];
  members?: Record<string, Json>;
  /** In how many seconds the caller can ask again, where that is known. */
  retryAfter?: number;
  cause?: unknown;
};

/**
 * The refusal of a cursor.
 * @param message what is wrong with the cursor, to be read after its name
 */
export const invalidCursor = (message = 'is not one that this service gave'): Refusal =>
  Refusal.at('invalid_cursor', 'cursor', message);

/** Joins place and message: `asOf is no tick.`, but `/type: is not friend.`, because a pointer needs a colon after it. */
const sentence = (path: string, message: string): string =>
  `${path}${path === '' ? '' : path.startsWith('/') ? ': ' : ' '}${message}.`;

/** A "no" with a stable code. Whoever finds the reason throws it; the edge makes a problem+json of it. A refused request leaves no trace. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: RefusalCode;
  readonly notes: RefusalNotes;

  constructor(code: RefusalCode, detail: string, notes: RefusalNotes = {}) {
    super(detail, { cause: notes.cause });
    this.code = code;
    this.notes = notes;
  }

  /**
   * A refusal of one place in the request.
   * @param path an RFC 6901 pointer into the body ('' is all of it), or the name of a parameter or header
   * @param message what is wrong with it, to be read after its name: `is no tick: ticks count from 1`
   * @param detail the whole sentence, where it is not the place and the message
   */
  static at(code: RefusalCode, path: string, message: string, detail = sentence(path, message)): Refusal {
    return new Refusal(code, detail, { errors: [{ path, message }] });
  }
}
