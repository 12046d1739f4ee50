import { z } from 'zod';
import { type RangeRow, readRangeAsOf, readRanges, readTicks, type TickRow } from '../storage/history.js';
import type { Storage } from '../storage/storage.js';
import { type Address, parseAddress } from '../temporal/identity.js';
import { type Point, parsePoint, pointText } from '../temporal/point.js';
import { Refusal } from '../temporal/refusal.js';
import { AS_OF, answers, READING, sendJson } from './answers.js';
import type { App } from './app-type.js';
import { changesText } from './entity-text.js';
import { historyCursor, historyPage, linkNext } from './pages.js';
import { REVALIDATE } from './reads.js';
import * as schemas from './schemas.js';
import { arrayText, type Member, objectText, scalarText } from './text.js';

const propertyParameters = schemas.entityParameters.extend({
  property: z.string().meta({ description: "The property's name, percent-encoded", example: 'location' }),
});

const rangeQuery = z
  .strictObject({
    asOf: schemas.optional('The one range that contains this tick or instant, as it was then', '1'),
    from: schemas.optional('Only ranges that overlap [from, to): a tick or an instant', '1'),
    to: schemas.optional('The end of that window, itself not included', '3'),
    order: schemas.order,
    ...schemas.pageParameters,
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
        params: schemas.entityParameters,
        querystring: z.strictObject({ order: schemas.order, ...schemas.pageParameters }),
        response: answers(
          {
            200: {
              description: 'A page of ticks',
              body: schemas.tickPage,
              headers: { Link: schemas.linkHeader, 'Cache-Control': schemas.cacheControlHeader },
            },
          },
          ['invalid_id', 'url_too_long', 'invalid_parameter', 'invalid_cursor', 'entity_not_found'],
          READING,
        ),
      },
    },
    async (request, reply) => {
      const { params, query } = request;
      const { id, said } = parseAddress(params.id);
      const walk = `history ${id}`;
      const page = historyPage(query, walk);
      const history = await readTicks(storage, id, page);
      if (history.found === 'no entity') throw new Refusal('entity_not_found', `There is no entity ${said}.`);
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
        response: answers(
          {
            200: {
              description: 'A page of ranges',
              body: schemas.rangePage,
              headers: { Link: schemas.linkHeader, 'Cache-Control': schemas.cacheControlHeader },
            },
          },
          ['invalid_id', ...AS_OF, 'invalid_property_name', 'invalid_parameter', 'invalid_cursor'],
          ['url_too_long', 'entity_not_found', 'tick_not_found', 'property_not_found'],
          READING,
        ),
      },
    },
    async (request, reply) => {
      const { query, params } = request;
      const address = parseAddress(params.id);
      const property = propertyOf(params.property);
      const window = { from: pointOf(query.from, 'from'), to: pointOf(query.to, 'to') };
      const walk = JSON.stringify(['ranges', address.id, property, window]);
      const page = historyPage(query, walk);
      const asOf = pointOf(query.asOf, 'asOf');
      const history = asOf
        ? await readRangeAsOf(storage, address.id, property, asOf)
        : await readRanges(storage, address.id, property, window, page);
      if (history.found !== 'page') throw absence(history.found, address, property, asOf);
      const after = history.more ? history.ranges.at(-1)?.from : undefined;
      const cursor = after === undefined ? null : historyCursor(walk, page.order, history.until, after);
      return sendJson(
        reply.header('cache-control', REVALIDATE),
        objectText([
          ['items', arrayText(history.ranges.map(rangeText))],
          ['next', linkNext(request, reply, cursor)],
        ]),
      );
    },
  );
}

const pointOf = (text: string | undefined, parameter: string): Point | null =>
  text === undefined ? null : parsePoint(text, parameter);

/** No property was ever stored under a name that PostgreSQL cannot even look for. */
export function propertyOf(name: string): string {
  if (!name.includes('\0')) return name;
  const message = 'cannot hold U+0000';
  throw new Refusal('invalid_property_name', `A property's name ${message}.`, {
    errors: [{ path: 'property', message }],
  });
}

function absence(
  found: 'no entity' | 'no tick' | 'no property',
  { said }: Address,
  property: string,
  asOf: Point | null,
): Refusal {
  const then = asOf ? ` as of ${pointText(asOf)}` : '';
  if (found === 'no entity') return new Refusal('entity_not_found', `There is no entity ${said}${then}.`);
  if (found === 'no tick')
    return new Refusal('tick_not_found', `Entity ${said} has no tick ${asOf && pointText(asOf)} yet.`);
  return new Refusal('property_not_found', `Entity ${said} never had a property ${property}${then}.`);
}

/** What is said of a range. */
export const rangeMembers = (row: RangeRow): Member[] => [
  ['value', row.value],
  [
    'vclock',
    objectText([
      ['from', scalarText(row.from)],
      ['to', scalarText(row.to)],
    ]),
  ],
  [
    'effective',
    objectText([
      ['from', scalarText(row.fromAt)],
      ['to', scalarText(row.toAt)],
    ]),
  ],
  ['activity', row.activity ?? 'null'],
];

const rangeText = (row: RangeRow): string => objectText(rangeMembers(row));

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
