import { z } from 'zod';
import { isKey, MAX_KEY_LENGTH, TYPE_PATTERN } from '../temporal/identity.js';
import { isObject, type JsonObject } from '../temporal/json.js';

/*
 * What calls take and give. Objects that hold data (properties, metadata) are checked to be objects and passed through
 * untouched: a zod record would drop names such as `__proto__`, and z.json() costs 2.4 µs against 0.9.
 */

const EXAMPLE_ID = '74738ff5-5367-5958-9aee-98fffdcd1876';
const EXAMPLE_INSTANT = '2016-01-08T00:00:00.000000Z';

const dataObject = (described: string) =>
  z
    .custom<JsonObject>(isObject, { error: 'must be an object' })
    .meta({ description: described, override: { type: 'object', additionalProperties: true } });

const text = (most: number, described: string) => z.string().min(1).max(most).meta({ description: described });

const instant = z.iso.datetime({ precision: 6 }).meta({
  description: 'RFC 3339 in UTC with microseconds',
  example: EXAMPLE_INSTANT,
});

export const entityType = z
  .string()
  .regex(TYPE_PATTERN, { error: 'must be a slug: a letter a-z, then up to 62 of a-z, 0-9, _ and -' })
  .meta({ description: 'What the entity is; never changes', example: 'friend' });

export const entityKey = z
  .string()
  .refine(isKey, { error: `must have 1 to ${MAX_KEY_LENGTH} characters` })
  .meta({ description: "The owner's natural key, unique within the type; never changes", example: 'rachel' });

export const properties = dataObject('The properties: any JSON values by name').meta({
  example: { name: 'Rachel', location: 'New York' },
});

export const givenActivity = z
  .strictObject({
    actor: text(256, 'Who').optional(),
    reason: text(4096, 'Why').optional(),
    metadata: dataObject('Anything else worth keeping').optional(),
  })
  .refine((activity) => Object.values(activity).some((value) => value !== undefined), {
    error: 'must say at least one of actor, reason and metadata',
  })
  .meta({ description: 'Who makes the change, and why', example: { actor: 'monica', reason: 'moved' } });

const activity = z.strictObject({
  id: z.uuid(),
  actor: z.string().optional(),
  reason: z.string().optional(),
  metadata: dataObject('As it was given').optional(),
});

export const entity = z
  .strictObject({
    id: z.uuid().meta({ example: EXAMPLE_ID }),
    type: entityType,
    key: entityKey.optional(),
    tick: z.int().min(1).meta({ description: 'The number of its last change', example: 2 }),
    deleted: z.boolean(),
    createdAt: instant,
    updatedAt: instant,
    properties,
  })
  .meta({ id: 'Entity', description: 'An entity, now or as it was' });

const ticks = z.strictObject({ from: z.int(), to: z.int().nullable() });
const instants = z.strictObject({ from: instant, to: instant.nullable() });

const page = <Item extends z.ZodType>(item: Item) =>
  z.strictObject({
    items: z.array(item),
    next: z.string().nullable().meta({ description: 'The cursor of the next page; null on the last' }),
  });

export const rangePage = page(
  z.strictObject({
    value: z.unknown(),
    vclock: ticks.meta({ description: 'The half-open range of ticks over which the value held; to null: still holds' }),
    effective: instants.meta({ description: 'The same range as instants' }),
    activity: activity.nullable(),
  }),
).meta({ id: 'RangePage' });

export const tickPage = page(
  z.strictObject({
    tick: z.int(),
    at: instant,
    recordedAt: instant.optional(),
    imported: z.literal(true).optional(),
    op: z.enum(['created', 'updated', 'deleted', 'restored']),
    activity: activity.nullable(),
    changes: dataObject('By property: from, to; the side on which it is not set is left out'),
  }),
).meta({ id: 'TickPage' });

export const problem = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string(),
    errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' });

/** Parameters of every call that gives pages. */
export const pageParameters = {
  order: z.enum(['asc', 'desc']).default('asc').meta({ description: 'Oldest or newest first' }),
  limit: z
    .string()
    .regex(/^\d{1,4}$/, { error: 'must be a number from 1 to 1000' })
    .default('100')
    .transform(Number)
    .refine((limit) => limit >= 1 && limit <= 1000, { error: 'must be a number from 1 to 1000' })
    .meta({ description: 'How many items at most', example: '100' }),
  cursor: z.string().max(200).optional().meta({ description: 'Where to go on: `next` of the last page' }),
};

export const entityParameters = z.strictObject({
  id: z.string().meta({ description: 'The UUID, or type:key', example: 'friend:rachel' }),
});

/** For a call without parameters: any is refused, not ignored. */
export const noParameters = z.strictObject({});

export const nothing = z.undefined().meta({ description: 'No body' });

/** For a call without a body; Fastify validates a missing body as null. */
export const noBody = z.null({ error: 'this call takes no body' });

/** The answers of a route: bodies by status, problems for everything else. */
export const answers = <Bodies extends Record<number, z.ZodType>>(bodies: Bodies) => ({ ...bodies, default: problem });
