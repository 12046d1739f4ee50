import { z } from 'zod';
import { EXAMPLE_ID, EXAMPLE_INSTANT } from './examples.js';
import './messages.js';
import { ANSWER_BYTES } from '../../storage/rows.js';
import { isKey } from '../../temporal/identity.js';
import { isObject, type Json, type JsonObject } from '../../temporal/json.js';
import {
  inMiB,
  MAX_ACTOR_LENGTH,
  MAX_KEY_LENGTH,
  MAX_REASON_LENGTH,
  OPS,
  TYPE_PATTERN,
  TYPE_RULE,
} from '../../temporal/limits.js';

/*
 * What calls take and give. Of objects that hold data (properties, metadata) zod checks only that they are objects, and passes
 * them through untouched: a zod record would drop names such as `__proto__`, and z.json() would walk through all of it
 * (src/guide/figures.md). `readJson` has checked the rest.
 */

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
  .regex(TYPE_PATTERN, { error: `must be a slug: ${TYPE_RULE}` })
  .meta({ description: 'What the entity is; never changes', example: 'friend' });

export const entityKey = z
  .string()
  .refine(isKey, { error: `must have 1 to ${MAX_KEY_LENGTH} characters` })
  .meta({ description: "The owner's natural key, unique within the type; never changes", example: 'rachel' });

export const properties = dataObject('The properties: any JSON values by name').meta({
  example: { name: 'Rachel', location: 'New York' },
});

const op = z.enum(OPS);

/** An activity as a caller gives it. */
export const givenActivity = z
  .strictObject({
    actor: text(MAX_ACTOR_LENGTH, 'Who').optional(),
    reason: text(MAX_REASON_LENGTH, 'Why').optional(),
    metadata: dataObject('Anything else worth keeping').optional(),
  })
  .refine((activity) => Object.values(activity).some((value) => value !== undefined), {
    error: 'must say at least one of actor, reason and metadata',
  })
  .meta({ description: 'Who makes the change, and why', example: { actor: 'monica', reason: 'moved' } });

const activityFields = {
  id: z.uuid(),
  actor: z.string().optional(),
  reason: z.string().optional(),
  metadata: dataObject('As it was given').optional(),
};

/** The activity of a tick, or of the tick at which a range begins. */
const activity = z.strictObject(activityFields);

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

const next = z.string().nullable().meta({ description: 'The cursor of the next page; null on the last' });

const page = <Item extends z.ZodType>(item: Item) => z.strictObject({ items: z.array(item), next });

const range = z
  .strictObject({
    value: z.unknown(),
    vclock: ticks.meta({ description: 'The half-open range of ticks over which the value held; to null: still holds' }),
    effective: instants.meta({ description: 'The same range as instants' }),
    activity: activity.nullable(),
  })
  .meta({ id: 'Range', description: 'Which value a property had from when to when' });

export const rangePage = page(range).meta({ id: 'RangePage' });

const ranges = z.array(range);

export const nestedEntity = entity
  .extend({
    history: z
      .custom<JsonObject>(
        (value) => isObject(value) && Object.values(value).every((of) => ranges.safeParse(of).success),
        { error: 'must be ranges by property' },
      )
      .meta({
        description: 'Only with `include`: by property its ranges, oldest first',
        override: {
          type: 'object',
          additionalProperties: { type: 'array', items: { $ref: '#/components/schemas/Range' } },
        },
      })
      .optional(),
    historyTruncated: z.array(z.string()).optional().meta({
      description: 'The properties of which older ranges are left out: `/entities/{id}/history/{property}` has them',
    }),
    historyOmitsRemoved: z.literal(true).optional().meta({
      description:
        'It has had more than 1,000 properties that it has no longer: none of those is shown that was not asked for by name',
    }),
  })
  .meta({
    id: 'NestedEntity',
    description: 'An entity, now or as it was; with `include`, and ranges of its properties',
  });

const changes = dataObject('By property: from, to; the side on which it is not set is left out').meta({
  example: { location: { from: 'New York', to: 'San Francisco' } },
});

export const tickPage = page(
  z.strictObject({
    tick: z.int(),
    at: instant,
    recordedAt: instant.optional(),
    imported: z.literal(true).optional(),
    op,
    activity: activity.nullable(),
    changes,
  }),
).meta({ id: 'TickPage' });

export const recordedActivity = z
  .strictObject({ ...activityFields, recordedAt: instant })
  .meta({ id: 'Activity', description: 'Who made changes, and why' });

export const activityPage = z
  .strictObject({
    ...activityFields,
    recordedAt: instant,
    ticks: z
      .array(
        z.strictObject({ id: z.uuid(), type: entityType, key: entityKey.optional(), tick: z.int(), at: instant, op }),
      )
      .meta({ description: 'The ticks it made, at most one of each entity, in the order of their ids' }),
    next,
  })
  .meta({ id: 'ActivityPage' });

const diffEnd = z.strictObject({
  tick: z.int(),
  at: instant,
  deleted: z.literal(true).optional().meta({ description: 'The entity was deleted then' }),
});

export const diff = z
  .strictObject({ from: diffEnd, to: diffEnd, changes })
  .meta({ id: 'Diff', description: 'What differs between two states of an entity' });

export const preview = z
  .strictObject({
    op: op.nullable().meta({ description: 'What the tick would record; null: nothing would change' }),
    changes,
    entity,
  })
  .meta({
    id: 'Preview',
    description: 'What a write would do, as its answer to `dryRun=true`; the instants are of this moment',
  });

export const entityList = z
  .strictObject({
    items: z.array(entity).meta({ description: 'In the order in which they were asked for, each once' }),
    missing: z
      .array(z.strictObject({ id: z.string(), code: z.enum(['entity_not_found', 'entity_deleted', 'answer_full']) }))
      .meta({
        description: `Those that are not in \`items\`, and why; \`answer_full\`: the answer has no more room (${inMiB(ANSWER_BYTES)} of properties), ask again`,
      }),
  })
  .meta({ id: 'EntityList' });

/** A page of a snapshot: its items, and the two instants that fix what it shows. */
const pinned = <Item extends z.ZodType>(items: z.ZodArray<Item>) =>
  z.strictObject({
    asOf: instant.nullable().meta({
      description:
        'The instant of the newest change that this and all pages of the walk can show; null: nothing was there yet',
    }),
    recordedAsOf: instant.nullable().meta({
      description: 'When the newest of them was recorded: later than `asOf` only where history was imported',
    }),
    items,
    next,
  });

export const snapshotPage = pinned(
  z
    .array(
      entity.extend({
        changes: changes.optional().meta({ description: 'With `include=changes`: what differs between both instants' }),
      }),
    )
    .meta({ description: 'In the order of their keys (those without first), then of their ids' }),
).meta({ id: 'SnapshotPage', description: 'A page of a collection as of an instant' });

export const typeRangePage = pinned(
  z
    .array(z.strictObject({ id: z.uuid(), key: entityKey.optional(), ...range.shape }))
    .meta({ description: 'In the order of the entities, as in collections; those of one oldest first' }),
).meta({ id: 'TypeRangePage', description: 'A page of the ranges of one property of all entities of a type' });

export const valueCounts = z
  .strictObject({
    items: z.array(
      z.strictObject({
        at: instant,
        entities: z.int().meta({ description: 'How many had the property then' }),
        values: z
          .array(z.strictObject({ value: z.unknown(), entities: z.int() }))
          .meta({ description: 'The most frequent values, and how many entities held each' }),
        others: z.int().meta({ description: 'How many held other values' }),
      }),
    ),
  })
  .meta({ id: 'ValueCounts', description: 'How many entities of a type held each value of a property, at instants' });

const jsonPointer = {
  type: 'string',
  description: 'A JSON Pointer (RFC 6901)',
  pattern: '^/properties/',
  example: '/properties/location',
} as const;

/** A JSON Patch (RFC 6902). `operationsOf` of temporal/json-patch.ts checks the operations, and says what is wrong with each. */
export const jsonPatch = z.custom<Json[]>(Array.isArray, { error: 'must be an array of operations' }).meta({
  description:
    'A JSON Patch (RFC 6902); its paths begin with /properties/. Members that an operation does not know are ignored',
  override: {
    type: 'array',
    items: {
      type: 'object',
      properties: {
        op: { type: 'string', enum: ['add', 'remove', 'replace', 'move', 'copy', 'test'] },
        path: jsonPointer,
        from: { ...jsonPointer, description: 'Of move and copy' },
        value: { description: 'Of add, replace and test' },
      },
      required: ['op', 'path'],
    },
  },
  example: [{ op: 'replace', path: '/properties/location', value: 'Paris' }],
});

/** A body of JSON that must be given. Fastify picks the schema of a body by its Content-Type. */
export const jsonBody = <Schema extends z.ZodType>(schema: Schema) => ({
  required: true as const,
  content: { 'application/json': { schema } },
});

/** A body of JSON that may be left out. */
export const optionalBody = <Schema extends z.ZodType>(schema: Schema) => ({
  required: false as const,
  content: { 'application/json': { schema } },
});
