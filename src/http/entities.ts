import { createHash } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { type DiffEnd, readDiff } from '../storage/diff.js';
import { type ListedRow, listEntities } from '../storage/entities.js';
import type { Storage } from '../storage/storage.js';
import { begun, existing, living } from '../temporal/entity.js';
import { parseAddress } from '../temporal/identity.js';
import { parsePoint } from '../temporal/point.js';
import { faultOfName } from '../temporal/property-name.js';
import { Refusal } from '../temporal/refusal.js';
import { answers, READING, sendJson } from './answers.js';
import type { App } from './app-type.js';
import { goneOf } from './caller.js';
import { etagOf, isKnown } from './conditions.js';
import { changesText, entityText } from './entity-text.js';
import { itemsOf } from './lists.js';
import * as schemas from './schemas.js';
import { arrayText, objectText, scalarText } from './text.js';

/** How many entities, or properties, one call may name: as many as surely fit into a URL of 16 KiB. */
const MAX_ITEMS = 100;

const readHeaders = z.looseObject({
  'if-none-match': schemas.optional('Answers 304 when the entity tag is one of these', '"2"'),
});

const NOT_MODIFIED = {
  304: {
    description: 'The entity tag is one of If-None-Match',
    headers: { ETag: schemas.etagHeader, 'Content-Location': schemas.contentLocationHeader },
  },
};

/** What may be wrong with a question for entities, now or as of a point. */
const ASKING = [
  'invalid_id',
  'invalid_as_of',
  'as_of_in_future',
  'as_of_not_stable_yet',
  'invalid_property_name',
  'invalid_parameter',
  'invalid_condition',
] as const;

/** The calls that read entities: one, many, and what differs between two states of one. */
export function entityRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities/:id',
    {
      schema: {
        operationId: 'readEntity',
        tags: ['entities'],
        summary: 'Read an entity, now or as of a tick or an instant',
        params: schemas.entityParameters,
        querystring: z.strictObject({
          asOf: schemas.optional('The entity as it was at a tick, or at an RFC 3339 instant', '1'),
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
          ASKING,
          ['url_too_long', 'entity_not_found', 'tick_not_found', 'entity_deleted', 'overloaded'],
          READING,
        ),
      },
    },
    async ({ params, query, headers, raw }, reply) => {
      const { id, said } = parseAddress(params.id);
      const question = { id, fields: fieldsOf(query.fields) };
      const point = query.asOf === undefined ? null : parsePoint(query.asOf, 'asOf');
      const row = point
        ? begun(await storage.entityAsOf({ ...question, point }, goneOf(raw)), said, point)
        : await storage.entityNow(question, goneOf(raw));
      const entity = living(row, said);
      if (point) reply.header('content-location', `/entities/${id}?asOf=${entity.tick}`);
      return sendUnlessKnown(reply, etagOf(entity.tick), headers, () => entityText(entity));
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
          ids: schemas.list(`Up to ${MAX_ITEMS} UUIDs or type:key`, 'friend:rachel,friend:will'),
          asOf: schemas.optional('The entities as they were at an RFC 3339 instant', schemas.EXAMPLE_INSTANT),
          fields: schemas.fields,
        }),
        headers: readHeaders,
        response: answers(
          {
            200: {
              description: 'The entities that are there, and which are not',
              body: schemas.entityList,
              headers: {
                ETag: { ...schemas.etagHeader, description: 'Over every id and tick that the answer shows' },
              },
            },
            ...NOT_MODIFIED,
          },
          ASKING,
          READING,
        ),
      },
    },
    async ({ query, headers }, reply) => {
      const addresses = addressesOf(query.ids);
      const instant = query.asOf === undefined ? null : instantOf(query.asOf);
      const rows = await listEntities(storage, [...addresses.keys()], instant, fieldsOf(query.fields));
      const found = new Map(rows.flatMap((row) => (row.tick === null ? [] : [[row.id, row]])));
      const etag = tagOver([...addresses.keys()].map((id) => `${id} ${found.get(id)?.tick ?? 0}`));
      return sendUnlessKnown(reply, etag, headers, () => listText(addresses, found));
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
          to: schemas.optional('The other; without it, now', '2'),
        }),
        headers: readHeaders,
        response: answers(
          {
            200: {
              description: 'The difference',
              body: schemas.diff,
              headers: { ETag: { ...schemas.etagHeader, description: 'Over both ticks', example: '"1-2"' } },
            },
            ...NOT_MODIFIED,
          },
          [
            'invalid_id',
            'invalid_as_of',
            'as_of_in_future',
            'as_of_not_stable_yet',
            'invalid_parameter',
            'invalid_condition',
          ],
          ['url_too_long', 'entity_not_found', 'tick_not_found'],
          READING,
        ),
      },
    },
    async ({ params, query, headers }, reply) => {
      const { id, said } = parseAddress(params.id);
      const from = parsePoint(query.from, 'from');
      const to = query.to === undefined ? null : parsePoint(query.to, 'to');
      const diff = existing(await readDiff(storage, id, from, to), said);
      const was = begun(diff.from ?? NOT_YET, said, from);
      const becomes = begun(diff.to ?? NOT_YET, said, to ?? from);
      return sendUnlessKnown(reply, `"${was.tick}-${becomes.tick}"`, headers, () =>
        objectText([
          ['from', endText(was)],
          ['to', endText(becomes)],
          ['changes', changesText(diff.changes)],
        ]),
      );
    },
  );
}

/** @throws Refusal `invalid_property_name`, `invalid_parameter` */
function fieldsOf(parameter: string | string[] | undefined): string[] | null {
  if (parameter === undefined) return null;
  const names = [...new Set(itemsOf(parameter))];
  if (names.length > MAX_ITEMS) throw tooMany('fields', names.length);
  const errors = names.flatMap((name) => {
    const message = faultOfName(name);
    return message === null ? [] : [{ path: 'fields', message }];
  });
  const [first] = errors;
  if (first) throw new Refusal('invalid_property_name', `fields: ${first.message}.`, { errors });
  return names;
}

/**
 * The entities that are asked for, each once, by their ids, with the caller's words for them.
 * @throws Refusal `invalid_id`, `invalid_parameter`
 */
function addressesOf(parameter: string | string[]): Map<string, string> {
  const items = itemsOf(parameter);
  if (items.length > MAX_ITEMS) throw tooMany('ids', items.length);
  const addresses = new Map<string, string>();
  for (const item of items) {
    const { id, said } = parseAddress(item, 'ids');
    if (!addresses.has(id)) addresses.set(id, said);
  }
  return addresses;
}

function tooMany(path: string, count: number): Refusal {
  const message = `names ${count}, more than ${MAX_ITEMS}`;
  return new Refusal('invalid_parameter', `${path} ${message}.`, { errors: [{ path, message }] });
}

/** A collection has no tick of its own. @throws Refusal `invalid_as_of` */
function instantOf(text: string): string {
  const point = parsePoint(text, 'asOf');
  if ('instant' in point) return point.instant;
  const message = 'is a tick, and many entities have many clocks: give an instant';
  throw new Refusal('invalid_as_of', `asOf ${message}.`, { errors: [{ path: 'asOf', message }] });
}

function listText(addresses: ReadonlyMap<string, string>, found: ReadonlyMap<string, FoundRow>): string {
  const items: string[] = [];
  const missing: string[] = [];
  for (const [id, said] of addresses) {
    const row = found.get(id);
    if (row && !row.deleted && row.properties !== null) {
      items.push(entityText({ ...row, properties: row.properties }));
      continue;
    }
    const code = !row ? 'entity_not_found' : row.deleted ? 'entity_deleted' : 'answer_full';
    missing.push(
      objectText([
        ['id', scalarText(said)],
        ['code', scalarText(code)],
      ]),
    );
  }
  return objectText([
    ['items', arrayText(items)],
    ['missing', arrayText(missing)],
  ]);
}

type FoundRow = Extract<ListedRow, { tick: number }>;

/** Sends JSON text under its entity tag; or 304 to who has it. */
function sendUnlessKnown(
  reply: FastifyReply,
  etag: string,
  headers: { 'if-none-match'?: string | undefined },
  text: () => string,
): FastifyReply {
  const known = isKnown(etag, headers['if-none-match']);
  reply.header('etag', etag);
  return known ? reply.code(304).send(undefined) : sendJson(reply, text());
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
