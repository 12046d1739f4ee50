import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { RequestValidationError } from 'fastify-zod-openapi';
import type { core } from 'zod';
import { pointer } from '../../temporal/json.js';
import { inMiB, MAX_BODY_BYTES } from '../../temporal/limits.js';
import { type Fault, Refusal, type RefusalCode } from '../../temporal/refusal.js';

/** Refusals that only HTTP knows. */
type HttpCode =
  | 'invalid_url'
  | 'route_not_found'
  | 'method_not_allowed'
  | 'url_too_long'
  | 'misdirected_request'
  | 'unsupported_media_type'
  | 'not_acceptable'
  | 'expectation_failed'
  | 'not_implemented'
  | 'not_ready'
  | 'internal_error';

export type ProblemCode = RefusalCode | HttpCode;

/** The one table from code to status and title. */
export const PROBLEMS: Readonly<Record<ProblemCode, { status: number; title: string }>> = {
  bad_request: { status: 400, title: 'The request is not valid HTTP' },
  invalid_url: { status: 400, title: 'The URL is not well-formed' },
  malformed_encoding: { status: 400, title: 'The body is not compressed as it says' },
  malformed_json: { status: 400, title: 'The body is not JSON' },
  number_not_exact: { status: 400, title: 'A number would not be kept exactly' },
  text_not_storable: { status: 400, title: 'A text cannot be kept' },
  duplicate_name: { status: 400, title: 'A name stands twice in one object' },
  nested_too_deep: { status: 400, title: 'The body is nested too deeply' },
  invalid_body: { status: 400, title: 'The body is not what this call takes' },
  unknown_field: { status: 400, title: 'The body has a field that this call does not know' },
  invalid_property_name: { status: 400, title: 'A property cannot have this name' },
  invalid_parameter: { status: 400, title: 'A parameter is not valid' },
  unknown_parameter: { status: 400, title: 'This call does not know the parameter' },
  invalid_id: { status: 400, title: 'This addresses no entity' },
  reserved_type: { status: 400, title: 'The type is reserved for the service' },
  invalid_as_of: { status: 400, title: 'This is no point in time' },
  invalid_filter: { status: 400, title: 'This is no filter of properties' },
  invalid_cursor: { status: 400, title: 'The cursor is not one of this walk' },
  invalid_condition: { status: 400, title: 'If-Match or If-None-Match is not valid' },
  invalid_activity_id: { status: 400, title: 'An activity is named by its UUID' },
  activity_given_twice: { status: 400, title: 'Both the body and Activity-Id give an activity' },
  unknown_activity: { status: 400, title: 'There is no such activity to name' },
  too_much_to_read: { status: 400, title: 'This asks for more than can be read in time' },
  at_in_future: { status: 400, title: 'The instant has not come yet' },
  as_of_in_future: { status: 400, title: 'The instant has not come yet' },
  entity_not_found: { status: 404, title: 'There is no such entity' },
  tick_not_found: { status: 404, title: 'The entity has no such tick' },
  property_not_found: { status: 404, title: 'The entity never had such a property' },
  activity_not_found: { status: 404, title: 'There is no such activity' },
  type_not_defined: { status: 404, title: 'Nobody has defined the type' },
  import_not_found: { status: 404, title: 'There was no such import' },
  route_not_found: { status: 404, title: 'There is no such resource' },
  method_not_allowed: { status: 405, title: 'The resource does not know this method' },
  not_acceptable: { status: 406, title: 'The answer has none of the accepted media types' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  entity_exists: { status: 409, title: 'The entity exists already' },
  import_running: { status: 409, title: 'An import of this source is running' },
  type_mismatch: { status: 409, title: 'The entity has another type' },
  state_not_valid: { status: 409, title: 'The definition of the type refuses this state today' },
  entities_not_valid: { status: 409, title: 'The definition would make entities invalid' },
  value_not_kept: { status: 409, title: 'The value of the property at that point was not kept' },
  deleted_then: { status: 409, title: 'The entity was deleted at that point' },
  patch_test_failed: { status: 409, title: 'A test of the JSON Patch does not hold' },
  patch_not_applicable: { status: 409, title: 'The JSON Patch does not fit the entity' },
  activity_already_ticked: { status: 409, title: 'The activity has already ticked the entity' },
  activity_differs: { status: 409, title: 'The activity is recorded with other words' },
  undo_conflict: { status: 409, title: 'Later changes stand in the way of the undo' },
  at_out_of_order: { status: 409, title: 'The entity has a later tick already' },
  history_conflict: { status: 409, title: 'The write contradicts the recorded history' },
  entity_deleted: { status: 410, title: 'The entity is deleted' },
  precondition_failed: { status: 412, title: 'The condition of the request does not hold' },
  body_too_large: { status: 413, title: 'The body is too large' },
  entity_too_large: { status: 413, title: 'The entity is too large' },
  activity_too_large: { status: 413, title: 'The activity is too large' },
  batch_too_large: { status: 413, title: 'The entities are too large to be written together' },
  url_too_long: { status: 414, title: 'The URL is too long' },
  misdirected_request: { status: 421, title: 'The service does not go by this name' },
  unsupported_media_type: { status: 415, title: 'This call does not take this media type' },
  expectation_failed: { status: 417, title: 'The service does not do what Expect asks for' },
  activity_required: { status: 422, title: 'The type wants to know who makes a change, or why' },
  invalid_properties: { status: 422, title: 'The definition of the type refuses these properties' },
  invalid_definition: { status: 422, title: 'The definition of a type is not valid' },
  properties_too_much_work: { status: 422, title: 'To check the properties would take too much work' },
  patch_too_much_work: { status: 422, title: 'The JSON Patch asks for more work than one may' },
  precondition_required: { status: 428, title: 'This service takes no unconditional change' },
  headers_too_large: { status: 431, title: 'The request line or a header is too large' },
  internal_error: { status: 500, title: 'Something went wrong here' },
  not_implemented: { status: 501, title: 'The service does not know this way of sending a request' },
  not_ready: { status: 503, title: 'The service cannot read and write right now' },
  as_of_not_stable_yet: { status: 503, title: 'What was written by that instant is not settled yet' },
  clock_stepped_back: { status: 503, title: "The database's clock is behind what was promised" },
  clock_jumped_ahead: { status: 503, title: "The database's clock has jumped ahead" },
  too_many_writers: { status: 503, title: 'Too many writers of one entity' },
  overloaded: { status: 503, title: 'The service has no room for more' },
  outcome_unknown: { status: 503, title: 'Nobody knows whether the write is kept' },
  database_unavailable: { status: 503, title: 'The database is not available' },
};

/** The methods that some path has. */
const ALL_METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/** Codes after which the caller may send the same request again as it is. */
const RETRYABLE: ReadonlySet<ProblemCode> = new Set([
  'not_ready',
  'as_of_not_stable_yet',
  'clock_stepped_back',
  'clock_jumped_ahead',
  'too_many_writers',
  'overloaded',
  'database_unavailable',
]);

/** An RFC 9457 problem. */
export type Problem = {
  type: string;
  title: string;
  status: number;
  code: ProblemCode;
  detail: string;
  errors?: Fault[];
  [member: string]: unknown;
};

/** The URL of what a code means, and of what to do (src/guide/problems.md). */
export const typeOf = (code: string): string => `/docs/problems/${code}`;

/** The codes of the problems that replies were sent, for those who count them. */
const sentCodes = new WeakMap<FastifyReply, ProblemCode>();

/** The code of the problem that a reply was sent. */
export const codeSent = (reply: FastifyReply): ProblemCode | undefined => sentCodes.get(reply);

/** How many places a problem names, and how much it repeats of one text, in UTF-16 code units. */
const MAX_FAULTS = 20;
const MAX_REPEATED_TEXT = 300;

/** A problem with its status and title, and what the refusal says beside its sentence. */
export function problem(code: ProblemCode, detail: string, notes: Refusal['notes'] = {}): Problem {
  const errors = notes.errors?.slice(0, MAX_FAULTS).map((fault) => ({ ...fault, path: shorten(fault.path) }));
  return {
    type: typeOf(code),
    ...PROBLEMS[code],
    code,
    detail: shorten(detail),
    ...(errors ? { errors } : {}),
    ...notes.members,
  };
}

/** The refusal of a body that is too large. */
export const bodyTooLarge = (): Problem =>
  problem('body_too_large', `The body has more than ${inMiB(MAX_BODY_BYTES)}, the most that this service takes.`);

/** Cuts a text: a caller may send a name of a megabyte, which must not come back in every answer about it. */
const shorten = (text: string) =>
  text.length > MAX_REPEATED_TEXT ? `${text.slice(0, MAX_REPEATED_TEXT).toWellFormed()}…` : text;

/**
 * Sends a problem.
 * @param retryAfter seconds, for the codes after which the caller may try again
 */
export function sendProblem(reply: FastifyReply, body: Problem, retryAfter = 1): FastifyReply {
  sentCodes.set(reply, body.code);
  if (RETRYABLE.has(body.code)) reply.header('retry-after', retryAfter);
  // A problem is no state of what was asked for.
  for (const header of ['content-location', 'memento-datetime', 'last-modified']) reply.removeHeader(header);
  // Otherwise a cache could keep a 404 or 410 (RFC 9110 section 15.1), but what is missing may come.
  reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  return reply.code(body.status).type('application/problem+json').send(JSON.stringify(body));
}

/** Whatever is thrown, as a problem. An error that nobody foresaw is logged, and the caller gets a 500 that tells nothing of it. */
export function problemOf(error: FastifyError | Error, request: FastifyRequest): Problem {
  if (error instanceof Refusal) return problem(error.code, error.message, error.notes);
  if ('validation' in error && error.validation) return problemOfValidation(error);
  const code = 'code' in error ? error.code : undefined;
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return bodyTooLarge();
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return problem('unsupported_media_type', 'This call takes no body of this media type.');
    case 'FST_ERR_BAD_URL':
      return problem('invalid_url', 'The path is not well-formed percent-encoded UTF-8.');
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return problem('url_too_long', 'A part of the path is longer than any id or name.');
    default:
  }
  if ('statusCode' in error && typeof error.statusCode === 'number' && error.statusCode < 500) {
    return problem('bad_request', error.message);
  }
  request.log.error({ err: error, method: request.method, url: request.url }, 'request failed');
  return problem('internal_error', 'The request could not be answered. Nothing is known to be wrong with it.');
}

function problemOfValidation(error: FastifyError): Problem {
  const issues = (error.validation ?? []).flatMap((fault) =>
    fault instanceof RequestValidationError ? [fault.params.issue] : [],
  );
  const refusal = refusalOfIssues(issues, error.validationContext === 'body');
  return problem(refusal.code, issues.length > 0 ? refusal.message : error.message, refusal.notes);
}

/** The refusal of what does not fit a schema: of a body, or of parameters. */
export function refusalOfIssues(issues: readonly core.$ZodIssue[], inBody: boolean): Refusal {
  const unknown = issues.some(isUnknown);
  const code = inBody
    ? unknown
      ? 'unknown_field'
      : 'invalid_body'
    : unknown
      ? 'unknown_parameter'
      : 'invalid_parameter';
  // The issues that gave the problem its code come first.
  const ordered = issues.toSorted((a, b) => Number(isUnknown(b)) - Number(isUnknown(a)));
  const errors = ordered.flatMap((issue) => faultsOf(issue, inBody));
  const [first] = errors;
  const place = first && first.path !== '' ? `${first.path}: ` : '';
  return new Refusal(code, `${place}${first?.message}.`, { errors });
}

const isUnknown = (issue: core.$ZodIssue): boolean => issue.code === 'unrecognized_keys';

function faultsOf(issue: core.$ZodIssue, inBody: boolean): Fault[] {
  const pathOf = (tokens: readonly PropertyKey[]) =>
    inBody ? pointer(tokens.map(String)) : tokens.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: pathOf([...issue.path, key]), message: `is not known here` }));
  }
  return [{ path: pathOf(issue.path), message: issue.message }];
}

/**
 * Makes every error a problem+json. Fastify has four places for that: the error handler and the not-found handler, which are
 * set here, the option `frameworkErrors`, and errors of a connection (connections.ts).
 */
export function answerWithProblems(app: FastifyInstance): void {
  app.setErrorHandler<FastifyError | Error>((error, request, reply) =>
    sendProblem(reply, problemOf(error, request), error instanceof Refusal ? error.notes.retryAfter : undefined),
  );
  app.setNotFoundHandler(sendNotFound);
}

/** Answers a request for a path that nobody has. */
export function sendNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { method, url } = request;
  // Of the service as a whole (RFC 9110 section 9.3.7).
  if (method === 'OPTIONS' && url === '*') return reply.header('allow', ALL_METHODS).code(204).send();
  const hint = /.\/(?:\?|$)/.test(url) ? ' Its path ends in a slash: leave that out.' : '';
  return sendProblem(reply, problem('route_not_found', `There is no ${method} ${url}.${hint}`));
}

/**
 * Refuses a query that is not percent-encoded UTF-8. Fastify refuses such a path, but would take such a query as it stands.
 */
export function refuseBadQueries(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { url } = request;
    if (!url.includes('%') || isWellFormed(url.slice(url.indexOf('?') + 1 || url.length))) return done();
    sendProblem(reply, problem('invalid_url', 'The query is not well-formed percent-encoded UTF-8.'));
  });
}

function isWellFormed(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * Answers an error that Fastify finds before it has a route: a malformed URL, or a part of it that is too long. No hook sees the answer.
 * @param publicUrl what URLs of answers begin with; empty: nothing
 */
export function sendFrameworkError(
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
  publicUrl: string,
): void {
  const { type, ...body } = problemOf(error, request);
  sendProblem(reply, { type: `${publicUrl}${type}`, ...body });
}
