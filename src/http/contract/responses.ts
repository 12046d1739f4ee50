import type { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { LAST_TICK } from '../../temporal/point.js';
import { PROBLEMS, type ProblemCode, typeOf } from '../protocol/problems.js';
import { type Header, header } from './headers.js';

/*
 * What calls answer, for the OpenAPI document: successes with their headers, and each problem by its code. The service makes
 * answers as text, and they do not pass through these schemas. The tests check every answer by them.
 */

/** A success: what it means, its headers, and the schemas of its body by media type (absent: no body). */
type Success = { description: string; content?: Record<string, z.ZodType>; headers?: Record<string, Header> };

/** What may go wrong with any request. */
const ANY_PROBLEMS: readonly ProblemCode[] = [
  'bad_request',
  'invalid_url',
  'unknown_parameter',
  'invalid_body',
  'not_acceptable',
  'request_timeout',
  'url_too_long',
  'expectation_failed',
  'misdirected_request',
  'headers_too_large',
  'internal_error',
  'not_implemented',
];
/** What may be wrong with a point in the past. */
export const AS_OF_PROBLEMS = ['invalid_as_of', 'as_of_in_future', 'as_of_not_stable_yet', 'overloaded'] as const;

/** What may go wrong with any request that the database has to answer. */
export const READ_PROBLEMS: readonly ProblemCode[] = ['database_unavailable'];

/** What may be wrong with a body. */
export const BODY_PROBLEMS: readonly ProblemCode[] = [
  'malformed_json',
  'number_not_exact',
  'text_not_storable',
  'duplicate_name',
  'nested_too_deep',
  'unknown_field',
  'body_too_large',
  'unsupported_media_type',
];

/** What may be wrong with a body of lines, as a whole: what it may be with one of them is for its answer to say. */
export const LINES_PROBLEMS: readonly ProblemCode[] = [
  'malformed_encoding',
  'text_not_storable',
  'body_too_large',
  'unsupported_media_type',
];

/** What may go wrong with any write of an entity. */
export const WRITE_PROBLEMS: readonly ProblemCode[] = [
  'invalid_parameter',
  'invalid_activity_id',
  'unknown_activity',
  'activity_already_ticked',
  'history_conflict',
  'entity_too_large',
  'activity_too_large',
  'too_many_writers',
  'clock_stepped_back',
  'clock_jumped_ahead',
  'overloaded',
  'outcome_unknown',
  'database_unavailable',
];

/** What the definition of a type may say against what is written. */
export const DEFINED_PROBLEMS: readonly ProblemCode[] = [
  'reserved_type',
  'activity_required',
  'invalid_properties',
  'properties_too_much_work',
  'invalid_definition',
  'entities_not_valid',
];

/** … or against a state that is brought back. */
export const RETURNED_PROBLEMS: readonly ProblemCode[] = [
  'activity_required',
  'state_not_valid',
  'properties_too_much_work',
  'invalid_definition',
  'entities_not_valid',
];

/** What may go wrong with a write that addresses its entity, and can be conditional. */
export const ADDRESSED_WRITE_PROBLEMS: readonly ProblemCode[] = [
  'invalid_id',
  'invalid_condition',
  'precondition_failed',
  'precondition_required',
  ...WRITE_PROBLEMS,
];

const Problem = z
  .looseObject({
    type: z.string().meta({
      description: 'The URL of what the code means, and of what to do',
      example: typeOf('entity_not_found'),
    }),
    title: z.string().meta({ description: 'The same for every problem of this code' }),
    status: z.int().min(400).max(599),
    code: z.enum(Object.keys(PROBLEMS)).meta({ id: 'ProblemCode', description: 'Stable: to branch on' }),
    detail: z.string().meta({ description: 'What and where, in a sentence for people' }),
    id: z.string().optional().meta({ description: 'Of `entity_exists`: the entity that has the key' }),
    tick: z
      .int()
      .min(1)
      .max(LAST_TICK)
      .optional()
      .meta({ description: 'Where the refusal depends on it: the tick the entity is at, or was at' }),
    conflicts: z
      .array(z.looseObject({ id: z.uuid(), tick: z.int() }))
      .optional()
      .meta({ description: 'Of `undo_conflict`: the later ticks that stand in the way, the first 1,000' }),
    conflictCount: z.int().optional().meta({ description: 'Of `undo_conflict`: how many there are' }),
    errors: z
      .array(
        z
          .strictObject({
            path: z.string(),
            message: z.string(),
            keyword: z.string().optional().meta({ description: 'The rule, where a definition says so' }),
            value: z.unknown().optional().meta({ description: 'What stands there, where it is short' }),
          })
          .meta({ id: 'Fault', description: 'A place, and what is wrong there' }),
      )
      .optional()
      .meta({
        description:
          'Each place that is wrong: a JSON Pointer into the body, or the name of a parameter or header. Of `not_ready`: each check that fails',
      }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details' });

/** The `response` of a route's schema: its successes by status, and its problems, grouped by their status. */
export function responsesOf(successes: Record<number, Success>, ...codes: readonly (readonly ProblemCode[])[]) {
  const known = [...new Set([...ANY_PROBLEMS, ...codes.flat()])];
  const statuses = [...new Set(known.map((code) => PROBLEMS[code].status))].sort((a, b) => a - b);
  return Object.fromEntries([
    ...Object.entries(successes).map(([status, success]) => [status, successOf(success)]),
    ...statuses.map((status) => {
      const ofStatus = known.filter((code) => PROBLEMS[code].status === status);
      return [String(status), problemsOf(status, ofStatus)];
    }),
  ]);
}

const successOf = ({ description, content, headers }: Success) => ({
  description,
  ...(headers ? { headers } : {}),
  ...(content
    ? { content: Object.fromEntries(Object.entries(content).map(([media, schema]) => [media, { schema }])) }
    : {}),
});

/** The headers of problems, by status. */
const PROBLEM_HEADERS: Readonly<Record<number, Record<string, Header>>> = {
  415: { Accept: header('The media types that the call takes', 'application/json') },
  503: { 'Retry-After': header('Seconds until it makes sense to send the same again; not with outcome_unknown', '1') },
};

const problemsOf = (status: number, codes: readonly ProblemCode[]) => ({
  description: codes.map((code) => `\`${code}\``).join(', '),
  ...(PROBLEM_HEADERS[status] ? { headers: PROBLEM_HEADERS[status] } : {}),
  content: {
    'application/problem+json': {
      schema: z.intersection(Problem, z.looseObject({ code: z.enum(codes) })),
    },
  },
});

/** Sends lines of JSON as they come, as NDJSON. Until the first has come, an error of the stream is answered by a problem. */
export const sendLines = (reply: FastifyReply, lines: Readable): FastifyReply =>
  reply.type('application/x-ndjson').send(lines);

/** Sends a table as a Parquet file, whose bytes come as they are made. */
export const sendParquet = (reply: FastifyReply, bytes: Readable): FastifyReply =>
  reply.type('application/vnd.apache.parquet').send(bytes);

/** Sends a table of lines of text as they come, as CSV. */
export const sendCsv = (reply: FastifyReply, lines: Readable): FastifyReply =>
  reply.type('text/csv; charset=utf-8; header=present').send(lines);

/** Sends JSON text, as `application/json`. */
export const sendJson = (reply: FastifyReply, text: string): FastifyReply => reply.type('application/json').send(text);
