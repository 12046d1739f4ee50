import { z } from 'zod';
import { readRangeAsOf, readRanges } from '../../storage/ranges.js';
import type { Storage } from '../../storage/storage.js';
import { readTicks, type TickRow } from '../../storage/ticks.js';
import { type Address, parseAddress } from '../../temporal/identity.js';
import { type Point, parsePoint, pointText } from '../../temporal/point.js';
import { Refusal } from '../../temporal/refusal.js';
import { changesText } from '../answers/entity-text.js';
import { REVALIDATE } from '../answers/reads.js';
import type { App } from '../app-type.js';
import { cacheControlHeader, linkHeader } from '../contract/headers.js';
import { namesOf, propertyOf } from '../contract/lists.js';
import { entityParameters, optional, optionalList, order, pageParameters } from '../contract/parameters.js';
import { AS_OF_PROBLEMS, READ_PROBLEMS, responsesOf, sendJson } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { arrayText, objectText, scalarText } from '../protocol/json-text.js';
import { historyCursor, historyPosition, linkNext } from '../protocol/pages.js';

const propertyParameters = entityParameters.extend({
  property: z.string().meta({ description: "The property's name, percent-encoded", example: 'location' }),
});

const tickQuery = z.strictObject({
  property: optionalList(
    'Only ticks that set, changed or removed one of these properties, and of their changes only those',
    'location',
  ),
  from: optional('Only ticks in [from, to): a tick or an instant', '1'),
  to: optional('The end of that window, itself not included', '3'),
  order,
  ...pageParameters,
});

const rangeQuery = z
  .strictObject({
    asOf: optional('The one range that contains this tick or instant, as it was then', '1'),
    from: optional('Only ranges that overlap [from, to): a tick or an instant', '1'),
    to: optional('The end of that window, itself not included', '3'),
    order,
    ...pageParameters,
  })
  .refine(({ asOf, from, to, cursor }) => asOf === undefined || (from ?? to ?? cursor) === undefined, {
    path: ['asOf'],
    error: 'stands alone: it cannot be combined with from, to or cursor',
  });

/** The calls on the past of one entity: its ticks, and the ranges of one property. */
export function historyRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities/:id/history',
    {
      schema: {
        operationId: 'readHistory',
        tags: ['history'],
        summary: 'The ticks of an entity, and what each changed',
        params: entityParameters,
        querystring: tickQuery,
        response: responsesOf(
          {
            200: {
              description: 'A page of ticks',
              body: schemas.tickPage,
              headers: { Link: linkHeader, 'Cache-Control': cacheControlHeader },
            },
          },
          ['invalid_id', 'invalid_as_of', 'invalid_property_name', 'invalid_parameter', 'invalid_cursor'],
          ['entity_not_found', 'property_not_found'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { params, query } = request;
      const address = parseAddress(params.id);
      const question = {
        id: address.id,
        properties: namesOf(query.property, 'property'),
        from: pointOf(query.from, 'from'),
        to: pointOf(query.to, 'to'),
      };
      const isWhole = question.properties === null && question.from === null && question.to === null;
      const walk = isWhole ? `history ${address.id}` : JSON.stringify(['ticks', question]);
      const page = historyPosition(query, walk);
      const history = await readTicks(storage, question, page);
      if (history.found !== 'page') throw absence(history, address, null);
      const after = history.more ? history.ticks.at(-1)?.tick : undefined;
      const cursor = after === undefined ? null : historyCursor(walk, page.order, history.until, after);
      return sendJson(
        reply.header('cache-control', REVALIDATE),
        objectText([
          ['items', arrayText(history.ticks.map(tickText))],
          ['next', linkNext(request, reply, cursor)],
        ]),
      );
    },
  );

  app.get(
    '/entities/:id/history/:property',
    {
      schema: {
        operationId: 'readPropertyHistory',
        tags: ['history'],
        summary: 'The ranges of one property: which value held from when to when',
        params: propertyParameters,
        querystring: rangeQuery,
        response: responsesOf(
          {
            200: {
              description: 'A page of ranges',
              body: schemas.rangePage,
              headers: { Link: linkHeader, 'Cache-Control': cacheControlHeader },
            },
          },
          ['invalid_id', ...AS_OF_PROBLEMS, 'invalid_property_name', 'invalid_parameter', 'invalid_cursor'],
          ['entity_not_found', 'tick_not_found', 'property_not_found'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { query, params } = request;
      const address = parseAddress(params.id);
      const property = propertyOf(params.property);
      const window = { from: pointOf(query.from, 'from'), to: pointOf(query.to, 'to') };
      const walk = JSON.stringify(['ranges', address.id, property, window]);
      const page = historyPosition(query, walk);
      const asOf = pointOf(query.asOf, 'asOf');
      const history = asOf
        ? await readRangeAsOf(storage, address.id, property, asOf)
        : await readRanges(storage, address.id, property, window, page);
      if (history.found !== 'page') throw absence({ property, ...history }, address, asOf);
      const { items, last } = history;
      const cursor = history.more && last !== null ? historyCursor(walk, page.order, history.until, last) : null;
      return sendJson(
        reply.header('cache-control', REVALIDATE),
        objectText([
          ['items', `[${items}]`],
          ['next', linkNext(request, reply, cursor)],
        ]),
      );
    },
  );
}

const pointOf = (text: string | undefined, parameter: string): Point | null =>
  text === undefined ? null : parsePoint(text, parameter);

type Absence = { found: 'no entity' } | { found: 'no tick' } | { found: 'no property'; property: string };

function absence(absent: Absence, { label }: Address, asOf: Point | null): Refusal {
  const then = asOf ? ` as of ${pointText(asOf)}` : '';
  if (absent.found === 'no entity') return new Refusal('entity_not_found', `There is no entity ${label}${then}.`);
  if (absent.found === 'no tick')
    return new Refusal('tick_not_found', `Entity ${label} has no tick ${asOf && pointText(asOf)} yet.`);
  return new Refusal('property_not_found', `Entity ${label} never had a property ${absent.property}${then}.`);
}

const tickText = (row: TickRow): string =>
  objectText([
    ['tick', scalarText(row.tick)],
    ['at', scalarText(row.at)],
    ['recordedAt', row.recordedAt === row.at ? undefined : scalarText(row.recordedAt)],
    ['imported', row.recordedAt === row.at ? undefined : 'true'],
    ['op', scalarText(row.op)],
    ['activity', row.activity ?? 'null'],
    ['changes', changesText(row.changes)],
  ]);
