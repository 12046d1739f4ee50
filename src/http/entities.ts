import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Database } from '../storage/database.js';
import { type DiffEnd, readDiff } from '../storage/diff.js';
import { type EntityRow, readEntities, readEntitiesAsOf } from '../storage/entities.js';
import { begun, living } from '../temporal/entity.js';
import { type Address, parseAddress } from '../temporal/identity.js';
import { type Point, parsePoint } from '../temporal/point.js';
import { faultOfName } from '../temporal/property-name.js';
import { Refusal } from '../temporal/refusal.js';
import { answers, READING, sendJson } from './answers.js';
import type { App } from './app-type.js';
import { etagOf, isKnown } from './conditions.js';
import { changesText, entityText } from './entity-text.js';
import { itemsOf } from './lists.js';
import * as schemas from './schemas.js';
import { arrayText, objectText, scalarText } from './text.js';

/** How many entities one call reads by their ids: as many as surely fit into a URL of 16 KiB. */
const MAX_IDS = 100;

const readHeaders = z.looseObject({
  'if-none-match': z
    .string()
    .optional()
    .meta({ description: 'Answers 304 when the entity tag is still one of these', example: '"2"' }),
});

const NOT_MODIFIED = {
  304: { description: 'The entity tag is one of If-None-Match', headers: { ETag: schemas.etagHeader } },
};

/** The calls that read entities: one, many, and what differs between two states of one. */
export function entityRoutes(app: App, storage: Database): void {
  app.get(
    '/entities/:id',
    {
      schema: {
        operationId: 'readEntity',
        tags: ['entities'],
        summary: 'Read an entity, now or as of a tick or an instant',
        params: schemas.entityParameters,
        querystring: z.strictObject({
          asOf: schemas.optionalPoint('The entity as it was at a tick, or at an RFC 3339 instant', '1'),
          fields: schemas.fields,
        }),
        headers: readHeaders,
        response: answers(
          {
            200: {
              description: 'The entity',
              body: schemas.entity,
              headers: { ETag: schemas.etagHeader, 'Content-Location': schemas.contentLocationHeader },
            },
            ...NOT_MODIFIED,
          },
          [
            'invalid_id',
            'invalid_as_of',
            'as_of_in_future',
            'invalid_property_name',
            'invalid_parameter',
            'invalid_condition',
          ],
          ['entity_not_found', 'tick_not_found', 'entity_deleted'],
          READING,
        ),
      },
    },
    async ({ params, query, headers }, reply) => {
      const { id, said } = parseAddress(params.id);
      const fields = fieldsOf(query.fields);
      const point = query.asOf === undefined ? null : parsePoint(query.asOf, 'asOf');
      const row = point ? await readThen(storage, id, said, point, fields) : await readNow(storage, id, said, fields);
      if (point) reply.header('content-location', `/entities/${row.id}?asOf=${row.tick}`);
      const etag = etagOf(row.tick);
      reply.header('etag', etag);
      if (isKnown(etag, headers['if-none-match'])) return reply.code(304).send(undefined);
      return sendJson(reply, entityText(row));
    },
  );

  app.get(
    '/entities',
    {
      schema: {
        operationId: 'readEntities',
        tags: ['entities'],
        summary: 'Read many entities by their ids, now or as of an instant',
        querystring: z.strictObject({
          ids: schemas.list(`Up to ${MAX_IDS} UUIDs or type:key`, 'friend:rachel,friend:will'),
          asOf: schemas.optionalPoint('The entities as they were at an RFC 3339 instant', schemas.EXAMPLE_INSTANT),
          fields: schemas.fields,
        }),
        headers: readHeaders,
        response: answers(
          {
            200: {
              description: 'The entities that are there, and which are not',
              body: schemas.entityList,
              headers: {
                ETag: { ...schemas.etagHeader, ...{ description: 'Over every id and tick that the answer shows' } },
              },
            },
            ...NOT_MODIFIED,
          },
          [
            'invalid_id',
            'invalid_as_of',
            'as_of_in_future',
            'invalid_property_name',
            'invalid_parameter',
            'invalid_condition',
          ],
          READING,
        ),
      },
    },
    async ({ query, headers }, reply) => {
      const addresses = addressesOf(query.ids);
      const fields = fieldsOf(query.fields);
      const ids = [...new Set(addresses.map(({ id }) => id))];
      const point = query.asOf === undefined ? null : instantOf(query.asOf);
      const rows = point
        ? await readEntitiesAsOf(storage, ids, point, fields)
        : await readEntities(storage, ids, fields);
      const found = new Map(rows.flatMap((row) => (row.tick === null ? [] : [[row.id, row]])));
      const etag = tagOver(ids.map((id) => `${id} ${found.get(id)?.tick ?? 0}`));
      reply.header('etag', etag);
      if (isKnown(etag, headers['if-none-match'])) return reply.code(304).send(undefined);
      return sendJson(reply, listText(addresses, found));
    },
  );

  app.get(
    '/entities/:id/diff',
    {
      schema: {
        operationId: 'diffEntity',
        tags: ['entities'],
        summary: 'What differs between two states of an entity',
        params: schemas.entityParameters,
        querystring: z.strictObject({
          from: schemas.point('The one state: a tick, or an RFC 3339 instant', '1'),
          to: schemas.optionalPoint('The other; without it, now', '2'),
        }),
        headers: readHeaders,
        response: answers(
          {
            200: {
              description: 'The difference',
              body: schemas.diff,
              headers: { ETag: { ...schemas.etagHeader, ...{ description: 'Over both ticks', example: '"1-2"' } } },
            },
            ...NOT_MODIFIED,
          },
          ['invalid_id', 'invalid_as_of', 'as_of_in_future', 'invalid_parameter', 'invalid_condition'],
          ['entity_not_found', 'tick_not_found'],
          READING,
        ),
      },
    },
    async ({ params, query, headers }, reply) => {
      const { id, said } = parseAddress(params.id);
      const from = parsePoint(query.from, 'from');
      const to = query.to === undefined ? null : parsePoint(query.to, 'to');
      const diff = await readDiff(storage, id, from, to);
      if (!diff) throw new Refusal('entity_not_found', `There is no entity ${said}.`);
      const was = begun(diff.from ?? NOT_YET, said, from);
      const becomes = begun(diff.to ?? NOT_YET, said, to ?? from);
      const etag = `"${was.tick}-${becomes.tick}"`;
      reply.header('etag', etag);
      if (isKnown(etag, headers['if-none-match'])) return reply.code(304).send(undefined);
      return sendJson(
        reply,
        objectText([
          ['from', endText(was)],
          ['to', endText(becomes)],
          ['changes', changesText(diff.changes)],
        ]),
      );
    },
  );
}

async function readNow(storage: Database, id: string, said: string, fields: string[] | null): Promise<EntityRow> {
  const [row] = await readEntities(storage, [id], fields);
  return living(row, said);
}

async function readThen(
  storage: Database,
  id: string,
  said: string,
  point: Point,
  fields: string[] | null,
): Promise<EntityRow> {
  const [row] = await readEntitiesAsOf(storage, [id], point, fields);
  return living(begun(row, said, point), said);
}

/** @throws Refusal `invalid_property_name` */
function fieldsOf(parameter: string | string[] | undefined): string[] | null {
  if (parameter === undefined) return null;
  const names = [...new Set(itemsOf(parameter))];
  const errors = names.flatMap((name) => {
    const message = faultOfName(name);
    return message === null ? [] : [{ path: 'fields', message }];
  });
  const [first] = errors;
  if (first) throw new Refusal('invalid_property_name', `fields: ${first.message}.`, { errors });
  return names;
}

/** The entities that are asked for, with the caller's words for each. @throws Refusal `invalid_id` */
function addressesOf(parameter: string | string[]): Address[] {
  const items = itemsOf(parameter);
  if (items.length <= MAX_IDS) return items.map((item) => parseAddress(item, 'ids'));
  const message = `names ${items.length} entities, more than ${MAX_IDS}`;
  throw new Refusal('invalid_parameter', `ids ${message}.`, { errors: [{ path: 'ids', message }] });
}

/** A collection has no tick of its own. @throws Refusal `invalid_as_of` */
function instantOf(text: string): Point {
  const point = parsePoint(text, 'asOf');
  if ('instant' in point) return point;
  const message = 'is a tick, and many entities have many clocks: give an instant';
  throw new Refusal('invalid_as_of', `asOf ${message}.`, { errors: [{ path: 'asOf', message }] });
}

function listText(addresses: readonly Address[], found: ReadonlyMap<string, EntityRow>): string {
  const items: string[] = [];
  const missing: string[] = [];
  for (const { id, said } of addresses) {
    const row = found.get(id);
    if (row && !row.deleted) items.push(entityText(row));
    else {
      const code = row ? 'entity_deleted' : 'entity_not_found';
      missing.push(
        objectText([
          ['id', scalarText(said)],
          ['code', scalarText(code)],
        ]),
      );
    }
  }
  return objectText([
    ['items', arrayText(items)],
    ['missing', arrayText(missing)],
  ]);
}

const tagOver = (states: readonly string[]): string =>
  `"${createHash('sha256').update(states.join('\n')).digest('base64url').slice(0, 22)}"`;

const NOT_YET = { tick: null } as const;

const endText = ({ tick, at, deleted }: DiffEnd): string =>
  objectText([
    ['tick', scalarText(tick)],
    ['at', scalarText(at)],
    ['deleted', deleted ? 'true' : undefined],
  ]);
