import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import Negotiator from 'negotiator';
import { z } from 'zod';
import type { SentLine } from '../../storage/imports/batches.js';
import { type ImportStep, importLines } from '../../storage/imports/imports.js';
import { type ImportRow, readImport } from '../../storage/imports/rows.js';
import type { Storage } from '../../storage/storage.js';
import type { LineFault } from '../../temporal/import.js';
import { MAX_BODY_BYTES } from '../../temporal/limits.js';
import { Refusal } from '../../temporal/refusal.js';
import type { App } from '../app-type.js';
import { sentLine } from '../contract/import-lines.js';
import * as contract from '../contract/imports.js';
import { noParameters } from '../contract/parameters.js';
import {
  BODY_PROBLEMS,
  DEFINED_PROBLEMS,
  LINES_PROBLEMS,
  READ_PROBLEMS,
  responsesOf,
  sendJson,
  sendLines,
  WRITE_PROBLEMS,
} from '../contract/responses.js';
import { ndjsonBody } from '../contract/schemas.js';
import { callerSignal } from '../protocol/caller.js';
import { arrayText, type Member, objectText, scalarText } from '../protocol/json-text.js';
import { linesOf } from '../protocol/lines.js';
import { type Problem, problem, problemOf, sendProblem } from '../protocol/problems.js';
import { inSilence, isGone } from '../protocol/streamed.js';

/** How many refused lines one answer in JSON tells of. */
const MOST_FAULTS = 1_000;

const NDJSON = 'application/x-ndjson';
const JSON_TYPE = 'application/json';

/** What a caller likes best: lines, if nothing is said. */
const mediaFor = (accept: string | undefined) =>
  accept && new Negotiator({ headers: { accept } }).mediaType([NDJSON, JSON_TYPE]);

/**
 * The calls that import many entities, and tell how far an import is.
 * @param closing aborted when the app closes: imports end then, and say so
 */
export function importRoutes(app: App, storage: Storage, closing: AbortSignal): void {
  app.post(
    '/import',
    {
      schema: {
        operationId: 'importLines',
        tags: ['imports'],
        summary: 'Import many entities, a line each',
        description:
          'Lines of JSON, as many as there are. They are written in batches, each a transaction, and the answer tells meanwhile how far the import is. What was kept is kept: lines that are sent again change nothing.',
        querystring: contract.importParameters,
        body: ndjsonBody(contract.LINES, contract.EXAMPLE_LINES),
        response: responsesOf(
          {
            200: {
              description:
                'How far it is, a line each time; the last one says how it ended. As `application/json` only the last one, once it is done',
              content: { [NDJSON]: contract.importTold, [JSON_TYPE]: contract.importSummary },
            },
          },
          LINES_PROBLEMS,
          BODY_PROBLEMS,
          WRITE_PROBLEMS,
          DEFINED_PROBLEMS,
          [
            'import_running',
            'activity_differs',
            'at_in_future',
            'at_out_of_order',
            'invalid_id',
            'invalid_property_name',
            'entity_not_found',
            'entity_deleted',
            'entity_exists',
            'type_mismatch',
          ],
        ),
      },
    },
    async (request, reply) => {
      const { query, body, headers } = request;
      const how = { ...query, signal: closing, caller: callerSignal(request.raw) };
      const steps = importLines(storage, how, sentLines(body ?? Readable.from([]), closing));
      // Also before anything was asked of what is told: nobody would end the import then.
      reply.raw.once('close', () => void steps.return(undefined).catch(() => {}));
      const { value: first } = await inSilence(request.raw, query.wait, () => steps.next());
      if (!first) throw new Error('an import told nothing');
      reply.header('cache-control', 'no-store');
      return mediaFor(headers.accept) === JSON_TYPE
        ? sendSummary(reply, steps, first)
        : sendLines(reply, Readable.from(told(steps, first, (error) => problemOf(error, request))));
    },
  );

  app.get(
    '/imports/:source',
    {
      schema: {
        operationId: 'readImport',
        tags: ['imports'],
        summary: 'How far the last import of a source is, or came',
        description:
          'Counted up to the last batch that was kept. It is told by every instance, whichever runs the import.',
        params: z.strictObject({ source: contract.sourceName }),
        querystring: noParameters,
        response: responsesOf(
          { 200: { description: 'The import', content: { 'application/json': contract.importRow } } },
          READ_PROBLEMS,
          ['invalid_parameter', 'import_not_found', 'overloaded'],
        ),
      },
    },
    async ({ params: { source } }, reply) => {
      const row = await readImport(storage, source);
      if (!row) throw new Refusal('import_not_found', `Nothing was ever imported from ${source}.`);
      reply.header('cache-control', 'no-store');
      return sendJson(reply, objectText(membersOf(row)));
    },
  );
}

/** The lines of a body. Blank ones are left out, and the numbers of the others count them. */
async function* sentLines(body: Readable, closing: AbortSignal): AsyncGenerator<SentLine[]> {
  let line = 0;
  for await (const texts of linesOf(body, { most: MAX_BODY_BYTES, until: closing })) {
    const lines: SentLine[] = [];
    for (const text of texts) {
      line++;
      const sent = sentLine(text, line);
      if (sent) lines.push(sent);
    }
    if (lines.length > 0) yield lines;
    // What has come already is read without a pause, and nobody else would be served meanwhile.
    await setImmediate();
  }
}

/** Tells how far an import is, a line of JSON each time, and last how it ended. */
async function* told(
  steps: AsyncGenerator<ImportStep>,
  { row: first }: ImportStep,
  explain: (error: Error) => Problem,
): AsyncGenerator<string> {
  let row = first;
  yield lineOf(membersOf(row));
  try {
    for await (const step of steps) {
      row = step.row;
      for (const fault of step.faults) yield `${faultText(fault)}\n`;
      yield lineOf(membersOf(row));
    }
  } catch (error) {
    if (!(error instanceof Error) || isGone(error)) throw error;
    const why = explain(error);
    yield lineOf([...membersOf({ ...row, status: 'failed' }), ['problem', JSON.stringify(why)]]);
  }
}

const lineOf = (members: readonly Member[]): string => `${objectText(members)}\n`;

/** Answers when the import is over: how it ended, or the problem that ended it, with how far it came. */
async function sendSummary(
  reply: FastifyReply,
  steps: AsyncGenerator<ImportStep>,
  { row: first }: ImportStep,
): Promise<FastifyReply> {
  let row = first;
  const faults: LineFault[] = [];
  try {
    for await (const step of steps) {
      row = step.row;
      faults.push(...step.faults.slice(0, MOST_FAULTS - faults.length));
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, message, notes } = error;
    const came: unknown = JSON.parse(objectText(membersOf({ ...row, status: 'failed' })));
    return sendProblem(reply, { ...problem(code, message, notes), import: came }, notes.retryAfter);
  }
  return sendJson(reply, objectText([...membersOf(row), ['faults', arrayText(faults.map(faultText))]]));
}

const faultText = ({ line, refusal: { code, message, notes } }: LineFault): string =>
  objectText([
    ['line', scalarText(line)],
    ['problem', JSON.stringify(problem(code, message, notes))],
  ]);

const membersOf = (row: ImportRow): Member[] => [
  ['source', scalarText(row.source)],
  ['id', scalarText(row.id)],
  ['mode', scalarText(row.mode)],
  ['status', scalarText(row.status)],
  ['lines', scalarText(row.lines)],
  ['changed', scalarText(row.changed)],
  ['unchanged', scalarText(row.unchanged)],
  ['skipped', scalarText(row.skipped)],
  ['ticks', scalarText(row.ticks)],
  ['deleted', scalarText(row.deleted)],
  // Left out where there is none, because it may be null.
  ['watermark', row.watermark ?? undefined],
  ['startedAt', scalarText(row.startedAt)],
  ['updatedAt', scalarText(row.updatedAt)],
  ['unfinishedSince', row.unfinishedSince === null ? undefined : scalarText(row.unfinishedSince)],
];
