import { z } from 'zod';
import { isObject, type JsonObject } from '../../temporal/json.js';
import * as schemas from './schemas.js';

/* What the calls on types take and give. `definitionOf` of src/definitions checks a definition, and says what is wrong with each part of it. */

/** A definition, as it is put and as it is read. */
export const definition = z.custom<JsonObject>(isObject, { error: 'must be an object' }).meta({
  id: 'Definition',
  description: 'What entities of a type are like',
  override: {
    type: 'object',
    required: ['schema'],
    additionalProperties: false,
    properties: {
      schema: {
        description: 'A JSON Schema (2020-12) of `properties`, as zod, pydantic or TypeBox print them',
        type: ['object', 'boolean'],
      },
      untracked: {
        type: 'array',
        items: { type: 'string' },
        uniqueItems: true,
        description: 'The properties whose values are not kept: they are stored and tick, and have no ranges',
      },
      activity: {
        type: 'array',
        items: { type: 'string', enum: ['actor', 'reason'] },
        uniqueItems: true,
        description: 'What every write must say of who and why',
      },
      description: { type: 'string', description: 'For people' },
    },
  },
  example: {
    schema: { type: 'object', properties: { name: { type: 'string' }, age: { type: 'integer' } }, required: ['name'] },
    activity: ['actor'],
  },
});

const { id, tick, createdAt, updatedAt } = schemas.writtenEntity.shape;

export const writtenDefinition = z
  .strictObject({
    type: schemas.entityType.meta({ description: 'The type that it defines', example: 'friend' }),
    id,
    tick,
    createdAt,
    updatedAt,
    definition,
    preview: schemas.writtenEntity.shape.preview,
  })
  .meta({ id: 'TypeDefinition', description: 'The definition of a type, and the tick of it' });

export const typePage = z
  .strictObject({
    items: z.array(
      z
        .strictObject({
          type: schemas.entityType,
          entities: z.int().min(0).meta({ description: 'How many entities it has had, deleted ones included' }),
          estimated: z
            .literal(true)
            .optional()
            .meta({ description: 'There are more than 100,000: the number is from statistics' }),
          definition: z
            .strictObject({ tick, updatedAt })
            .meta({ id: 'DefinitionRef', description: 'The tick of its definition, and the instant of that' })
            .nullable(),
        })
        .meta({ id: 'Type', description: 'A type' }),
    ),
    next: schemas.next,
  })
  .meta({ id: 'TypePage', description: 'A page of types' });

export const versionPage = z
  .strictObject({
    items: z.array(
      schemas.tickItem
        .omit({ changes: true, patch: true })
        .extend({ definition: definition.nullable().meta({ description: 'The definition; null: it was deleted' }) })
        .meta({ id: 'DefinitionVersion', description: 'A tick of a definition' }),
    ),
    next: schemas.next,
  })
  .meta({ id: 'DefinitionVersionPage', description: 'A page of the definitions that a type has had' });

export const typeDocument = z.custom<JsonObject>(isObject).meta({
  description: 'A document of OpenAPI 3.1',
  override: {
    type: 'object',
    required: ['openapi', 'info', 'components', 'paths'],
    properties: {
      openapi: { type: 'string' },
      info: { type: 'object', additionalProperties: true },
      components: { type: 'object', additionalProperties: true },
      paths: { type: 'object', additionalProperties: true },
    },
  },
});
