import { z } from 'zod';
import { declares } from '../../storage/definitions.js';
import { readRangeAsOf, readRanges } from '../../storage/ranges.js';
import type { Storage } from '../../storage/storage.js';
import { readTicks, type TickRow } from '../../storage/ticks.js';
import { type Address, parseAddress } from '../../temporal/identity.js';
import { type Point, parsePoint, pointText } from '../../temporal/point.js';
import { Refusal } from '../../temporal/refusal.js';
import { changesText } from '../answers/entity-text.js';
import { patchesOfAnswer } from '../answers/patches.js';
import {
  CONDITION_PROBLEMS,
  IMMUTABLE,
  knownOf,
  NOT_MODIFIED,
  REVALIDATE,
  readHeaders,
  sendOrNotModified,
} from '../answers/reads.js';
import type { App } from '../app-type.js';
import { cacheControlHeader, etagHeader, linkHeader } from '../contract/headers.js';
import { namesOf, propertyOf } from '../contract/lists.js';
import {
  depth,
  described,
  entityParameters,
  optionalList,
  optionalPoint,
  order,
  pageParameters,
  propertyParameter,
  recordedAsOf,
} from '../contract/parameters.js';
import { AS_OF_PROBLEMS, READ_PROBLEMS, responsesOf } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { callerSignal } from '../protocol/caller.js';
import { etagOf } from '../protocol/conditions.js';
import { arrayText, objectText, scalarText } from '../protocol/json-text.js';
import { historyCursor, historyPosition, linkNext } from '../protocol/pages.js';

const propertyParameters = entityParameters.extend({
  property: propertyParameter,
});

const tickQuery = z
  .strictObject({
    property: optionalList(
      'TouchedProperties',
      'Only ticks that set, changed or removed one of these properties, and of their changes only those',
      'property=location',
    ),
    from: optionalPoint('From', 'Only what overlaps [from, to): a tick or an instant'),
    to: optionalPoint('To', 'The end of that window, itself not included'),
    recordedAsOf,
    changes: z
      .enum(['none'], { error: 'must be none' })
      .optional()
      .meta(
        described('ChangesOfTicks', 'With `none`, the ticks without what each changed', {
          type: 'string',
          enum: ['none'],
        }),
      ),
    depth,
    order,
    ...pageParameters,
  })
  .refine(({ changes, depth }) => changes === undefined || depth === undefined, {
    path: ['depth'],
    error: 'does not go with changes=none: it says what differs inside the changes',
  });

const rangeQuery = z
  .strictObject({
    asOf: optionalPoint('AsOfOfRange', 'The one range that contains this tick or instant, as it was then'),
    from: optionalPoint('From', 'Only what overlaps [from, to): a tick or an instant'),
    to: optionalPoint('To', 'The end of that window, itself not included'),
    recordedAsOf,
    order,
    ...pageParameters,
  })
  .refine(({ asOf, from, to, cursor }) => asOf === undefined || (from ?? to ?? cursor) === undefined, {
    path: ['asOf'],
    error: 'stands alone: it cannot be combined with from, to or cursor',
  });

const pageHeaders = {
  ETag: { ...etagHeader, description: 'The newest tick of the entity that the page may know of' },
  Link: linkHeader,
  'Cache-Control': cacheControlHeader,
};

/** The calls on the past of one entity: its ticks, and the ranges of one property. */
export function historyRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities/:id/history',
    {
      schema: {
        operationId: 'readHistory',
        tags: ['history'],
        summary: 'The ticks of an entity, and what each changed',
        description: 'Page by page, oldest first or newest first. A walk shows what its first page knew.',
        params: entityParameters,
        querystring: tickQuery,
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'A page of ticks',
              content: { 'application/json': schemas.tickPage },
              headers: pageHeaders,
            },
            ...NOT_MODIFIED,
          },
          ['invalid_id', ...AS_OF_PROBLEMS, 'invalid_property_name', 'invalid_parameter', 'invalid_cursor'],
          ['entity_not_found', 'property_not_found'],
          CONDITION_PROBLEMS,
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { params, query, headers, raw } = request;
      const address = parseAddress(params.id);
      const question = {
        id: address.id,
        properties: namesOf(query.property, 'property'),
        from: pointOf(query.from, 'from'),
        to: pointOf(query.to, 'to'),
      };
      // Not part of the walk, nor is depth: they choose no other ticks.
      const withChanges = query.changes === undefined;
      const isWhole = question.properties === null && question.from === null && question.to === null;
      const walk = isWhole ? `history ${address.id}` : JSON.stringify(['ticks', question]);
      const known = await knownOf(storage, address, query.recordedAsOf, callerSignal(raw));
      const page = historyPosition(query, walk, known);
      const history = await readTicks(storage, { ...question, withChanges }, page);
      if (history.found !== 'page')
        throw absence(history, 'property' in history ? history.property : '', address, null);
      const after = history.more ? history.ticks.at(-1)?.tick : undefined;
      const cursor = after === undefined ? null : historyCursor(walk, page.order, history.until, after);
      // What a cursor or `recordedAsOf` pins the page to fixes what it shows. (A cursor that somebody has made up may name a tick to come.)
      reply.header('cache-control', history.until === page.until ? IMMUTABLE : REVALIDATE);
      return sendOrNotModified(reply, etagOf(history.until), headers, () => {
        const patches = query.depth && patchesOfAnswer();
        const itemText = (row: TickRow): string =>
          tickText(row, withChanges ? changesText(row.changes) : undefined, patches?.ofChanges(row.changes));
        return objectText([
          ['items', arrayText(history.ticks.map(itemText))],
          ['next', linkNext(request, reply, cursor)],
        ]);
      });
    },
  );

  app.get(
    '/entities/:id/history/:property',
    {
      schema: {
        operationId: 'readPropertyHistory',
        tags: ['history'],
        summary: 'The ranges of one property: which value held from when to when',
        description:
          'Page by page, oldest first or newest first. With `asOf` the one range that contains that point, as it was then.',
        params: propertyParameters,
        querystring: rangeQuery,
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'A page of ranges',
              content: { 'application/json': schemas.rangePage },
              headers: pageHeaders,
            },
            ...NOT_MODIFIED,
          },
          ['invalid_id', ...AS_OF_PROBLEMS, 'invalid_property_name', 'invalid_parameter', 'invalid_cursor'],
          ['entity_not_found', 'tick_not_found', 'property_not_found'],
          CONDITION_PROBLEMS,
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { query, params, headers, raw } = request;
      const address = parseAddress(params.id);
      const property = propertyOf(params.property);
      const window = { from: pointOf(query.from, 'from'), to: pointOf(query.to, 'to') };
      const walk = JSON.stringify(['ranges', address.id, property, window]);
      const asOf = pointOf(query.asOf, 'asOf');
      const known = await knownOf(storage, address, query.recordedAsOf, callerSignal(raw));
      const page = historyPosition(query, walk, known);
      const found = asOf
        ? await readRangeAsOf(storage, address.id, property, asOf, known)
        : await readRanges(storage, address.id, property, window, page);
      const isDeclared = found.found === 'no property' && (await declares(storage, address.id, property));
      const history = isDeclared
        ? { ...found, found: 'page' as const, isUntracked: false, more: false, items: '', last: null }
        : found;
      if (history.found !== 'page') throw absence(history, property, address, asOf);
      const { items, last } = history;
      const cursor = history.more && last !== null ? historyCursor(walk, page.order, history.until, last) : null;
      const isFixed = known !== null || history.until === page.until || (asOf !== null && 'tick' in asOf);
      // What a type declares it may cease to declare.
      reply.header('cache-control', isFixed && !isDeclared ? IMMUTABLE : REVALIDATE);
      return sendOrNotModified(reply, etagOf(history.until), headers, () =>
        objectText([
          ['items', `[${items}]`],
          ['untracked', history.isUntracked ? 'true' : undefined],
          ['next', linkNext(request, reply, cursor)],
        ]),
      );
    },
  );
}

const pointOf = (text: string | undefined, parameter: string): Point | null =>
  text === undefined ? null : parsePoint(text, parameter);

type Absence = { found: 'no entity' | 'no tick' | 'no property' };

function absence(absent: Absence, property: string, { label }: Address, asOf: Point | null): Refusal {
  const then = asOf ? ` as of ${pointText(asOf)}` : '';
  if (absent.found === 'no entity') return new Refusal('entity_not_found', `There is no entity ${label}${then}.`);
  if (absent.found === 'no tick')
    return new Refusal('tick_not_found', `Entity ${label} has no tick ${asOf && pointText(asOf)} yet.`);
  return new Refusal('property_not_found', `Entity ${label} never had a property ${property}${then}.`);
}

const tickText = (row: TickRow, changes: string | undefined, patch: string | undefined): string =>
  objectText([
    ['tick', scalarText(row.tick)],
    ['at', scalarText(row.at)],
    ['recordedAt', row.recordedAt === row.at ? undefined : scalarText(row.recordedAt)],
    ['imported', row.recordedAt === row.at ? undefined : 'true'],
    ['op', scalarText(row.op)],
    ['activity', row.activity ?? 'null'],
    ['changes', changes],
    ['patch', patch],
  ]);
