import { z } from 'zod';
import type { Database } from '../storage/database.js';
import { type EntityRow, readEntities, readEntitiesAsOf } from '../storage/entities.js';
import { writeEntity } from '../storage/write.js';
import { create, creation, living, mergePatchOf, patch, remove } from '../temporal/change.js';
import { type Address, parseAddress } from '../temporal/identity.js';
import { parsePoint } from '../temporal/point.js';
import { Refusal } from '../temporal/refusal.js';
import type { App } from './app-type.js';
import { etagOf, ifMatchOf } from './conditions.js';
import * as schemas from './schemas.js';
import { objectText, scalarText } from './text.js';

const toCreate = z.strictObject({
  type: schemas.entityType,
  key: schemas.entityKey.optional(),
  properties: schemas.properties,
  activity: schemas.givenActivity.optional(),
});

const toPatch = z.strictObject({
  properties: schemas.properties.meta({ description: 'A merge patch (RFC 7396): null removes, objects merge' }),
  activity: schemas.givenActivity.optional(),
});

/** The calls on entities: create, read now and as of a point in their past, patch, delete. */
export function entityRoutes(app: App, storage: Database): void {
  app.post(
    '/entities',
    {
      schema: {
        summary: 'Create an entity',
        querystring: schemas.noParameters,
        body: toCreate,
        response: schemas.answers({ 201: schemas.entity }),
      },
    },
    async ({ body }, reply) => {
      const wanted = creation(body);
      const { row } = await writeEntity(storage, wanted.id, (current) => create(current, wanted), 'absent');
      reply.code(201).header('location', `/entities/${row.id}`);
      return reply.header('etag', etagOf(row.tick)).type('application/json').send(entityText(row));
    },
  );

  app.get(
    '/entities/:id',
    {
      schema: {
        summary: 'Read an entity, now or as of a tick or an instant',
        params: schemas.entityParameters,
        querystring: z.strictObject({
          asOf: z.string().optional().meta({ description: 'A tick, or an RFC 3339 instant', example: '1' }),
        }),
        response: schemas.answers({ 200: schemas.entity }),
      },
    },
    async ({ params, query }, reply) => {
      const address = parseAddress(params.id);
      const { asOf } = query;
      const row = asOf === undefined ? await readNow(storage, address) : await readThen(storage, address, asOf);
      if (asOf !== undefined) reply.header('content-location', `/entities/${row.id}?asOf=${row.tick}`);
      return reply.header('etag', etagOf(row.tick)).type('application/json').send(entityText(row));
    },
  );

  app.patch(
    '/entities/:id',
    {
      schema: {
        summary: 'Change some properties of an entity',
        params: schemas.entityParameters,
        querystring: schemas.noParameters,
        body: toPatch,
        response: schemas.answers({ 200: schemas.entity }),
      },
    },
    async ({ params, headers, body }, reply) => {
      const { id, said } = parseAddress(params.id);
      const wanted = mergePatchOf(said, body, ifMatchOf(headers['if-match']));
      const { row } = await writeEntity(storage, id, (current) => patch(current, wanted));
      return reply.header('etag', etagOf(row.tick)).type('application/json').send(entityText(row));
    },
  );

  app.delete(
    '/entities/:id',
    {
      schema: {
        summary: 'Delete an entity; its history stays',
        params: schemas.entityParameters,
        querystring: schemas.noParameters,
        body: schemas.noBody,
        response: schemas.answers({ 204: schemas.nothing }),
      },
    },
    async ({ params, headers }, reply) => {
      const { id, said } = parseAddress(params.id);
      const wanted = { said, ifMatch: ifMatchOf(headers['if-match']) };
      const { row } = await writeEntity(storage, id, (current) => remove(current, wanted));
      return reply.code(204).header('etag', etagOf(row.tick)).send(undefined);
    },
  );
}

async function readNow(storage: Database, { id, said }: Address): Promise<EntityRow> {
  const [row] = await readEntities(storage, [id]);
  return living(row, said);
}

/** What is said of an absence as of an instant must not depend on what came later, or the answer would change. */
async function readThen(storage: Database, { id, said }: Address, asOf: string): Promise<EntityRow> {
  const point = parsePoint(asOf, 'asOf');
  const [row] = await readEntitiesAsOf(storage, [id], point);
  if (row && row.tick !== null) return living(row, said);
  if (row && 'tick' in point) throw new Refusal('tick_not_found', `Entity ${said} has no tick ${asOf} yet.`);
  throw new Refusal('entity_not_found', `There was no entity ${said} as of ${asOf}.`);
}

/** An entity as JSON text. */
function entityText(row: EntityRow): string {
  return objectText([
    ['id', scalarText(row.id)],
    ['type', scalarText(row.type)],
    ['key', row.key === null ? undefined : scalarText(row.key)],
    ['tick', scalarText(row.tick)],
    ['deleted', scalarText(row.deleted)],
    ['createdAt', scalarText(row.createdAt)],
    ['updatedAt', scalarText(row.updatedAt)],
    ['properties', row.properties],
  ]);
}
