import { Readable } from 'node:stream';
import { type Export, type ExportPage, exportPages } from '../../storage/exports/exports.js';
import { pinFor } from '../../storage/pins.js';
import type { Storage } from '../../storage/storage.js';
import { isUuid } from '../../temporal/identity.js';
import { TYPE_PATTERN } from '../../temporal/limits.js';
import { faultOfName } from '../../temporal/property-name.js';
import { Refusal } from '../../temporal/refusal.js';
import { IMMUTABLE, REVALIDATE } from '../answers/reads.js';
import { positionOf } from '../answers/snapshots.js';
import { type Column, csvOf, parquetOf } from '../answers/tables.js';
import type { App } from '../app-type.js';
import * as contract from '../contract/exports.js';
import { fieldsOf } from '../contract/lists.js';
import { AS_OF_PROBLEMS, READ_PROBLEMS, responsesOf, sendCsv, sendLines, sendParquet } from '../contract/responses.js';
import { callerSignal } from '../protocol/caller.js';
import { fitsInHeaders, isOurInstant, isPlaceKey, isTick, snapshotCursor, targetOf } from '../protocol/pages.js';

/** The first columns of a table of states. */
const STATE_COLUMNS: Column[] = [
  { name: 'id', of: 'text' },
  { name: 'key', of: 'text' },
  { name: 'tick', of: 'tick' },
  { name: 'createdAt', of: 'instant' },
  { name: 'updatedAt', of: 'instant' },
];
const RANGE_COLUMNS: Column[] = [
  { name: 'id', of: 'text' },
  { name: 'key', of: 'text' },
  { name: 'property', of: 'text' },
  { name: 'value', of: 'text' },
  { name: 'from', of: 'instant' },
  { name: 'to', of: 'instant' },
  { name: 'fromTick', of: 'tick' },
  { name: 'toTick', of: 'tick' },
  { name: 'actor', of: 'text' },
  { name: 'reason', of: 'text' },
];

/**
 * The call that exports.
 * @param closing aborted when the app closes: exports are cut off then, because they may take hours
 */
export function exportRoutes(app: App, storage: Storage, closing: AbortSignal): void {
  app.get(
    '/export',
    {
      schema: {
        operationId: 'exportEntities',
        tags: ['exports'],
        summary: 'Export everything, or all of a type, as of an instant',
        description:
          'A stream of any length, all of it as of one instant, whatever is written meanwhile. Its `Content-Location` has the same bytes for ever. An answer that is cut off does not end as a whole one does: its connection breaks.',
        querystring: contract.exportParameters,
        response: responsesOf(
          {
            200: {
              description: 'Lines of JSON in the order of collections (of `history=full`, of time), or a table',
              content: {
                'application/x-ndjson': contract.exportLine,
                'text/csv': contract.csv,
                'application/vnd.apache.parquet': contract.parquet,
              },
              headers: contract.exportHeaders,
            },
          },
          AS_OF_PROBLEMS,
          ['invalid_parameter', 'invalid_property_name', 'invalid_cursor'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { query, raw } = request;
      const fields = fieldsOf(query.fields);
      const asked = exportOf({ ...query, fields });
      const walk = JSON.stringify(['export', query.type ?? null, query.format, query.history ?? null, fields]);
      const position = { asOf: query.asOf, isPlace: isPlaceOf(asked) };
      const { question, place } = positionOf({ query, headers: {} }, position, walk);
      const { pin, isFixed } = await pinFor(storage, asked.type, question, callerSignal(raw));
      reply.header('cache-control', isFixed ? IMMUTABLE : REVALIDATE);
      const pinned = targetOf(request, pin);
      if (fitsInHeaders(pinned, 1)) reply.header('content-location', pinned);
      const pages = untilClosed(exportPages(storage, asked, pin, place), closing);
      if (asked.of !== 'ticks' && asked.cells) {
        const columns = columnsOf(asked);
        return query.format.endsWith('parquet')
          ? sendParquet(reply, streamOf(parquetOf(columns, cellsOf(pages))))
          : sendCsv(reply, streamOf(csvOf(columns, cellsOf(pages))));
      }
      const cursorOf = (place: readonly string[]) => (query.watermarks ? snapshotCursor(walk, pin, place) : null);
      return sendLines(reply, streamOf(linesOf(pages, cursorOf)));
    },
  );
}

function exportOf(query: {
  type?: string | undefined;
  format: (typeof contract.EXPORT_FORMATS)[number];
  history?: 'full' | undefined;
  fields: readonly string[] | null;
}): Export {
  const { type = null, format, history, fields } = query;
  switch (format) {
    case 'ndjson':
      return history ? { type, of: 'ticks' } : { type, of: 'states', cells: false };
    case 'csv':
    case 'parquet':
      return { type, of: 'states', cells: true, fields: fields ?? [] };
    default:
      return { type, of: 'ranges', cells: format !== 'ranges', fields };
  }
}

/** @throws Refusal `invalid_parameter` where two columns would have one name */
function columnsOf(asked: Extract<Export, { cells: true } | { of: 'ranges' }>): Column[] {
  if (asked.of === 'ranges') return RANGE_COLUMNS;
  const taken = asked.fields.find((name) => STATE_COLUMNS.some((column) => column.name === name));
  if (taken !== undefined)
    throw Refusal.at('invalid_parameter', 'fields', `cannot name ${taken}: each table has a column of this name`);
  return [...STATE_COLUMNS, ...asked.fields.map((name): Column => ({ name, of: 'text' }))];
}

/** Whether a place is one of this export: anybody can write a cursor. */
const isPlaceOf =
  ({ type, of }: Export) =>
  ([inType = '', ...within]: readonly string[]): boolean => {
    if (!TYPE_PATTERN.test(inType) || (type !== null && type !== inType)) return false;
    if (within.length === 0) return true;
    const [first = '', id = '', ...inEntity] = within;
    if (!isUuid(id) || !(of === 'ticks' ? isOurInstant(first) : isPlaceKey(first))) return false;
    if (inEntity.length === 0) return true;
    const [property = '', from = '', ...more] = inEntity;
    return of === 'ranges' && faultOfName(property) === null && isTick(from) && more.length === 0;
  };

/** A stream of parts, of which the next is asked for when the caller has taken those before it. */
const streamOf = (parts: AsyncIterable<string | Buffer>): Readable => Readable.from(parts, { objectMode: false });

async function* untilClosed(pages: AsyncIterable<ExportPage>, closing: AbortSignal): AsyncGenerator<ExportPage> {
  for await (const page of pages) {
    if (closing.aborted) throw new Refusal('overloaded', 'The service is about to stop.');
    yield page;
  }
}

/** The rows as they are; after each page its watermark, if it has one. */
async function* linesOf(
  pages: AsyncIterable<ExportPage>,
  cursorOf: (place: readonly string[]) => string | null,
): AsyncGenerator<string> {
  for await (const { rows, place } of pages) {
    const cursor = cursorOf(place);
    yield cursor === null ? rows : `${rows}{"watermark": {"cursor": "${cursor}"}}\n`;
  }
}

/** The rows as cells. */
async function* cellsOf(pages: AsyncIterable<ExportPage>): AsyncGenerator<(string | null)[][]> {
  for await (const { rows } of pages)
    yield rows
      .split('\n')
      .filter((row) => row !== '')
      .map((row) => JSON.parse(row));
}
