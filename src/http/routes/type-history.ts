import { z } from 'zod';
import type { Collection } from '../../storage/collections.js';
import { type CountRow, readCounts } from '../../storage/counts.js';
import type { Newest } from '../../storage/pins.js';
import type { Storage } from '../../storage/storage.js';
import { readTypeRanges, type TypeRangeRow } from '../../storage/type-history.js';
import { isUuid } from '../../temporal/identity.js';
import { isBefore } from '../../temporal/point.js';
import { rangeMembersText } from '../answers/entity-text.js';
import {
  CONDITION_PROBLEMS,
  IMMUTABLE,
  MEMENTO_NOT_MODIFIED,
  NOT_MODIFIED,
  parseInstant,
  REVALIDATE,
  readHeaders,
  sendNotModified,
} from '../answers/reads.js';
import { type SnapshotWalk, sendSnapshot, snapshotHeaders, snapshotTag } from '../answers/snapshots.js';
import type { App } from '../app-type.js';
import { filterOf } from '../contract/filters.js';
import { cacheControlHeader, etagHeader } from '../contract/headers.js';
import { itemsOf, MAX_ITEMS, propertyOf, tooMany } from '../contract/lists.js';
import {
  acceptDatetime,
  asOfParameters,
  filters,
  LIMIT_RULE,
  limitOf,
  optionalInstant,
  optionalList,
  pageParameters,
  propertyParameter,
} from '../contract/parameters.js';
import { AS_OF_PROBLEMS, READ_PROBLEMS, responsesOf, sendJson } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { callerSignal } from '../protocol/caller.js';
import { isNotModified } from '../protocol/conditions.js';
import { arrayText, objectText, scalarText } from '../protocol/json-text.js';
import { isPlaceKey, isTick } from '../protocol/pages.js';

const parameters = z.strictObject({
  type: schemas.entityType,
  property: propertyParameter,
});

/** The calls on all entities of a type at once: the history of one property, and who held what of it when. */
export function typeRoutes(app: App, storage: Storage): void {
  app.get(
    '/types/:type/history/:property',
    {
      schema: {
        operationId: 'readTypeHistory',
        tags: ['types'],
        summary: 'The ranges of one property of all entities of a type: who had which value from when to when',
        description: 'Page by page, in the order of the entities; all pages as of one instant.',
        params: parameters,
        querystring: z.strictObject({
          from: optionalInstant('FromInstant', 'Only ranges that overlap [from, to): an RFC 3339 instant'),
          to: optionalInstant('ToInstant', 'The end of that window, itself not included'),
          ...filters,
          ...asOfParameters,
          ...pageParameters,
        }),
        headers: readHeaders.extend({ 'accept-datetime': acceptDatetime }),
        response: responsesOf(
          {
            200: {
              description: 'A page of ranges, in the order of the entities, those of one oldest first',
              content: { 'application/json': schemas.typeRangePage },
              headers: snapshotHeaders('/types/friend/history/location?limit=100'),
            },
            ...MEMENTO_NOT_MODIFIED,
          },
          [...AS_OF_PROBLEMS, 'invalid_parameter', 'invalid_property_name', 'invalid_filter', 'invalid_cursor'],
          [...CONDITION_PROBLEMS, 'too_much_to_read', 'overloaded'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { params, query } = request;
      const property = propertyOf(params.property);
      const filter = filterOf(query, params.type);
      const collection = { type: params.type, keyPrefix: null, deleted: 'include', ...filter } satisfies Collection;
      const window = {
        from: query.from === undefined ? null : parseInstant(query.from, 'from'),
        to: query.to === undefined ? null : parseInstant(query.to, 'to'),
      };
      const walk: SnapshotWalk = {
        name: ['ranges', collection, property, window],
        type: params.type,
        asOf: query.asOf,
        takesAsOf: true,
        isPlace: ([key = '', id = '', from = '', ...more]) =>
          isPlaceKey(key) && isUuid(id) && isTick(from) && more.length === 0,
      };
      return sendSnapshot(storage, request, reply, walk, async (pin, place) => {
        const [key = '', id = '', from] = place ?? [];
        const after = place && { key, id, from: Number(from) };
        const part = { after, limit: query.limit };
        const page = await readTypeRanges(storage, collection, property, window, pin, part, callerSignal(request.raw));
        const next = page.next && [page.next.key, page.next.id, String(page.next.from)];
        return { newest: page.newest, items: page.ranges.map(typeRangeText).join(', '), next };
      });
    },
  );

  app.get(
    '/types/:type/counts/:property',
    {
      schema: {
        operationId: 'countValues',
        tags: ['types'],
        summary: 'How many entities of a type held each value of a property, at each of some instants',
        description: 'With the most frequent values of each instant, and how many entities held others.',
        params: parameters,
        querystring: z.strictObject({
          at: optionalList(
            'Instants',
            `When: up to ${MAX_ITEMS} RFC 3339 instants; without, that of the newest change`,
            'at=2016-01-08T00:00:00Z&at=2017-01-08T00:00:00Z',
            { type: 'string', format: 'date-time' },
          ),
          recordedAsOf: asOfParameters.recordedAsOf,
          limit: limitOf(`How many values of each instant at most, the most frequent ones, ${LIMIT_RULE}`),
        }),
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'The counts, oldest instant first',
              content: { 'application/json': schemas.valueCounts },
              headers: {
                ETag: { ...etagHeader, description: 'What the instants can show' },
                'Cache-Control': cacheControlHeader,
              },
            },
            ...NOT_MODIFIED,
          },
          [...AS_OF_PROBLEMS, 'invalid_parameter', 'invalid_property_name', ...CONDITION_PROBLEMS, 'too_much_to_read'],
          ['overloaded'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { params, query, headers, raw } = request;
      const property = propertyOf(params.property);
      const recordedAsOf = query.recordedAsOf === undefined ? null : parseInstant(query.recordedAsOf, 'recordedAsOf');
      const question = { type: params.type, property, at: parseInstants(query.at), recordedAsOf, most: query.limit };
      const isOld = (newest: Newest) => isNotModified(snapshotTag(newest), headers);
      const { newest, isFixed, rows } = await readCounts(storage, question, isOld, callerSignal(raw));
      reply.header('etag', snapshotTag(newest)).header('cache-control', isFixed ? IMMUTABLE : REVALIDATE);
      return rows ? sendJson(reply, countsText(rows)) : sendNotModified(reply);
    },
  );
}

/** The instants of `at`, in order, each once; none, if it was not given. @throws Refusal `invalid_as_of`, `invalid_parameter` */
function parseInstants(parameter: string | string[] | undefined): string[] {
  if (parameter === undefined) return [];
  const items = itemsOf(parameter);
  if (items.length > MAX_ITEMS) throw tooMany('at', items.length);
  const instants = items.map((item) => parseInstant(item, 'at')).sort((a, b) => (isBefore(a, b) ? -1 : 1));
  return instants.filter((instant, n) => n === 0 || isBefore(instants[n - 1] ?? '', instant));
}

const typeRangeText = (row: TypeRangeRow): string =>
  `{"id": "${row.id}", ${row.key === null ? '' : `"key": ${scalarText(row.key)}, `}${rangeMembersText(row)}}`;

/** The counts, by instant. The rows of an instant come one after the other; the row without a value counts all other values. */
function countsText(rows: readonly CountRow[]): string {
  const instants = new Map<string, { values: string[]; entities: number; others: number }>();
  for (const { at, value, entities } of rows) {
    const counts = instants.get(at) ?? { values: [], entities: 0, others: 0 };
    instants.set(at, counts);
    counts.entities += entities;
    if (value === null) counts.others += entities;
    else {
      counts.values.push(
        objectText([
          ['value', value],
          ['entities', scalarText(entities)],
        ]),
      );
    }
  }
  const items = [...instants].map(([at, { values, entities, others }]) =>
    objectText([
      ['at', scalarText(at)],
      ['entities', scalarText(entities)],
      ['values', arrayText(values)],
      ['others', scalarText(others)],
    ]),
  );
  return objectText([['items', arrayText(items)]]);
}
