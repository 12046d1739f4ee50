import { z } from 'zod';
import { MAX_PROPERTIES } from '../../temporal/limits.js';
import * as schemas from './schemas.js';

/* The bodies of the calls that write an entity. */

const activity = schemas.givenActivity.optional();

export const toCreate = z
  .strictObject({
    type: schemas.entityType,
    key: schemas.entityKey.optional(),
    properties: schemas.properties,
    activity,
  })
  .meta({ id: 'EntityToCreate', description: 'A new entity' });
export const toPut = z
  .strictObject({ type: schemas.entityType, properties: schemas.properties, activity })
  .meta({ id: 'EntityToPut', description: 'The whole new state of an entity' });
export const mergePatch = schemas.properties.meta({
  description: 'A merge patch (RFC 7396): null removes, objects merge',
});

export const toPatch = z
  .strictObject({ properties: mergePatch, activity })
  .meta({ id: 'MergePatch', description: 'The properties to change' });
export const toRestore = z
  .strictObject({ activity })
  .meta({ id: 'Restoration', description: 'Who restores it, and why' });

/** Either patch, as `application/json`: clients that are generated send every body under that type. */
export const eitherPatch = z
  .custom<z.output<typeof toPatch> | z.output<typeof schemas.jsonPatch>>()
  .meta({
    override: { 'x-schema': { $ref: '#/components/schemas/Patch' } },
  })
  .superRefine((body, { issues }) => {
    const { error } = (Array.isArray(body) ? schemas.jsonPatch : toPatch).safeParse(body);
    for (const { path, message, ...issue } of error?.issues ?? []) {
      if (issue.code === 'unrecognized_keys') issues.push({ ...issue, path, message, input: undefined });
      else issues.push({ code: 'custom', path, message, input: undefined });
    }
  });

/** Whether a value is a list of names. z.array would report every wrong item, however many a caller sends. */
function isNames(value: unknown): boolean {
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_PROPERTIES) return false;
  return value.every((name) => typeof name === 'string');
}

/** What a reversion brings back. */
export const reverted = {
  to: z
    .union([z.string(), z.int().min(1)], { error: 'must be a tick or an RFC 3339 instant' })
    .meta({ description: 'The point to go back to: a tick, or an RFC 3339 instant', example: 1 }),
  properties: z
    .custom<string[]>(isNames, { error: `must be a list of 1 to ${MAX_PROPERTIES} names` })
    .meta({
      description: 'The names of the properties to revert; without them, the whole entity',
      override: { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: MAX_PROPERTIES },
      example: ['location'],
    })
    .optional(),
};

export const toRevert = z
  .strictObject({ ...reverted, activity })
  .meta({ id: 'Reversion', description: 'What to bring back' });
