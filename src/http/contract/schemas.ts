import { Readable } from 'node:stream';
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
import { LAST_TICK } from '../../temporal/point.js';
import { LINE_TYPES } from '../protocol/body.js';

/*
 * What calls take and give. Of objects that hold data (properties, metadata) zod checks only that they are objects, and passes
 * them through untouched: a zod record would drop names such as `__proto__`, and z.json() would walk through all of it
 * (src/guide/figures.md). `readJson` has checked the rest.
 */

const dataObject = (described: string) =>
  z
    .custom<JsonObject>(isObject, { error: ({ input }) => (input === undefined ? 'is missing' : 'must be an object') })
    .meta({ description: described, override: { type: 'object', additionalProperties: true } });

const text = (most: number, described: string) => z.string().min(1).max(most).meta({ description: described });

export const instant = z.iso.datetime({ precision: 6 }).meta({
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
  .meta({
    description: "The owner's natural key, unique within the type; never changes",
    example: 'rachel',
    minLength: 1,
    maxLength: MAX_KEY_LENGTH,
  });

export const properties = dataObject('The properties: any JSON values by name').meta({
  example: { name: 'Rachel', location: 'New York' },
});

export const op = z.enum(OPS).meta({ id: 'Op', description: 'What a tick did to its entity' });

export const tick = z
  .int()
  .min(1)
  .max(LAST_TICK)
  .meta({ description: 'The number of a change of one entity: 1, 2, 3 …', example: 2 });

/** An activity as a caller gives it. */
export const givenActivityFields = {
  actor: text(MAX_ACTOR_LENGTH, 'Who').optional(),
  reason: text(MAX_REASON_LENGTH, 'Why').optional(),
  metadata: dataObject('Anything else worth keeping').optional(),
};
export const givenActivity = z
  .strictObject(givenActivityFields)
  .refine((activity) => Object.values(activity).some((value) => value !== undefined), {
    error: 'must say at least one of actor, reason and metadata',
  })
  .meta({
    id: 'GivenActivity',
    description: 'Who makes the change, and why: at least one of the three',
    minProperties: 1,
    example: { actor: 'monica', reason: 'moved' },
  });

const activityFields = {
  id: z.uuid(),
  actor: z.string().optional(),
  reason: z.string().optional(),
  metadata: dataObject('As it was given').optional(),
};

/** The activity of a tick, or of the tick at which a range begins. */
export const activity = z
  .strictObject(activityFields)
  .meta({ id: 'ActivityRef', description: 'Who made a tick, and why' });

export const entity = z.strictObject({
  id: z.uuid().meta({ example: EXAMPLE_ID }),
  type: entityType,
  key: entityKey.optional(),
  tick: tick.meta({ description: 'The number of its last change', example: 2 }),
  deleted: z.boolean(),
  createdAt: instant,
  updatedAt: instant,
  properties,
  untracked: z.array(z.string()).optional().meta({
    description:
      'Only as of a point, and only where there are some: the properties that are left out, because the definition of the type said that their values are not kept',
  }),
});

const ticks = z.strictObject({ from: tick, to: tick.nullable() }).meta({
  id: 'TickRange',
  description: 'The half-open range of ticks over which the value held; `to` null: still holds',
});
const instants = z
  .strictObject({ from: instant, to: instant.nullable() })
  .meta({ id: 'InstantRange', description: 'The same range as instants' });

export const next = z.string().nullable().meta({ description: 'The cursor of the next page; null on the last' });

const page = <Item extends z.ZodType>(item: Item) => z.strictObject({ items: z.array(item), next });

const range = z
  .strictObject({
    value: z.unknown(),
    vclock: ticks,
    effective: instants,
    activity: activity.nullable(),
  })
  .meta({ id: 'Range', description: 'Which value a property had from when to when' });

export const rangePage = page(range)
  .extend({
    untracked: z
      .literal(true)
      .optional()
      .meta({ description: 'The values of the property are not kept: these are its ranges from when they were' }),
  })
  .meta({ id: 'RangePage', description: 'A page of the ranges of a property' });

/** Of an entity that is shown with who set what. */
const provenanceFields = {
  provenance: z
    .record(
      z.string(),
      z
        .strictObject({ vclock: ticks, effective: instants, activity: activity.nullable() })
        .meta({ id: 'Provenance', description: 'Since when a property has its value, who set it, and why' }),
    )
    .optional()
    .meta({
      description:
        'Only with `include=provenance`: by property the range of the value that is shown. A property that keeps no ranges is not there',
    }),
  provenanceTruncated: z.array(z.string()).optional().meta({
    description:
      'The properties that `provenance` has no room for: `/entities/{id}/history/{property}` has their ranges',
  }),
};

export const nestedEntity = entity
  .extend({
    ...provenanceFields,
    history: z
      .record(z.string(), z.array(range))
      .optional()
      .meta({ description: 'Only with `include=history`: by property its ranges, oldest first' }),
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
    description: 'An entity, now or as it was; with `include`, also ranges of its properties, and who set what',
  });

const change = z.strictObject({ from: z.unknown().optional(), to: z.unknown().optional() }).meta({
  id: 'Change',
  description: 'The values before and after; a side on which the property is not set is left out',
});

export const changes = z.record(z.string(), change).meta({
  description: 'What changed, by property',
  example: { location: { from: 'New York', to: 'San Francisco' } },
});

/** A JSON Patch that the service makes: what PATCH takes. */
export const madePatch = z
  .array(z.strictObject({ op: z.enum(['add', 'remove', 'replace']), path: z.string(), value: z.unknown().optional() }))
  .meta({
    description: 'The changes, inside objects and arrays, too, as a JSON Patch (RFC 6902), which PATCH takes',
    override: { type: 'array', items: { $ref: '#/components/schemas/JsonPatchOperation' } },
  });

const patch = madePatch
  .optional()
  .meta({ description: 'With `depth=full`: the same as a JSON Patch, which PATCH takes' });

export const tickItem = z
  .strictObject({
    tick,
    at: instant,
    recordedAt: instant.optional(),
    imported: z.literal(true).optional(),
    op,
    activity: activity.nullable(),
    changes: changes.optional().meta({ description: 'What it changed, by property; not with `changes=none`' }),
    patch,
  })
  .meta({ id: 'Tick', description: 'One recorded change of an entity' });

export const tickPage = page(tickItem).meta({ id: 'TickPage', description: 'A page of the ticks of an entity' });

export const recordedActivity = z
  .strictObject({ ...activityFields, recordedAt: instant })
  .meta({ id: 'Activity', description: 'Who made changes, and why' });

export const importId = z.uuid().optional().meta({ description: 'The import that recorded it' });

export const activityPage = z
  .strictObject({
    ...activityFields,
    recordedAt: instant,
    importId,
    ticks: z
      .array(
        z
          .strictObject({
            id: z.uuid(),
            type: entityType,
            key: entityKey.optional(),
            tick,
            at: instant,
            op,
            changes: changes.optional().meta({ description: 'With `include=changes`: what it changed, by property' }),
          })
          .meta({ id: 'ActivityTick', description: 'A tick that the activity made' }),
      )
      .meta({ description: 'The ticks it made, at most one of each entity, in the order of their ids' }),
    next,
  })
  .meta({ id: 'ActivityPage', description: 'An activity, with a page of the ticks it made' });

export const diffEnd = z
  .strictObject({
    tick,
    at: instant,
    deleted: z.literal(true).optional().meta({ description: 'The entity was deleted then' }),
  })
  .meta({ id: 'DiffEnd', description: 'One of the two states: its tick, and the instant of that' });

export const diff = z
  .strictObject({ from: diffEnd, to: diffEnd, changes, patch })
  .meta({ id: 'Diff', description: 'What differs between two states of an entity' });

export const writtenEntity = entity
  .extend({
    preview: z
      .strictObject({
        op: op.nullable().meta({ description: 'What the tick would record; null: nothing would change' }),
        changes,
        impact: z
          .strictObject({
            checked: z.int().min(0).meta({ description: 'How many entities of the type were checked' }),
            invalid: z.int().min(0).meta({ description: 'How many of them it refuses, as they are now' }),
            examples: z
              .array(z.looseObject({ id: z.uuid() }))
              .meta({ description: 'Some of these, with what is wrong' }),
          })
          .optional()
          .meta({ id: 'Impact', description: 'Only of a definition with another schema: what it makes invalid' }),
      })
      .optional()
      .meta({
        id: 'Preview',
        description:
          'Only of a dry run: nothing was written, and the entity is as it would be; its instants are of this moment',
      }),
  })
  .meta({ id: 'WrittenEntity', description: 'An entity as a write leaves it, or as a dry run says that it would' });

export const entityList = z
  .strictObject({
    items: z
      .array(
        entity
          .extend(provenanceFields)
          .meta({ id: 'Entity', description: 'An entity, now or as it was; with `include`, also who set what' }),
      )
      .meta({ description: 'In the order in which they were asked for, each once' }),
    missing: z
      .array(
        z
          .strictObject({ id: z.string(), code: z.enum(['entity_not_found', 'entity_deleted', 'answer_full']) })
          .meta({ id: 'MissingEntity', description: 'An entity that was asked for, and why it is not there' }),
      )
      .meta({
        description: `Those that are not in \`items\`, and why; \`answer_full\`: the answer has no more room (${inMiB(ANSWER_BYTES)} of properties), ask again`,
      }),
  })
  .meta({ id: 'EntityList', description: 'Entities that were named by `ids`' });

/** A page of a snapshot: its items, and the two instants that fix what it shows. */
export const pinned = <Item extends z.ZodType>(items: z.ZodArray<Item>) =>
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
      entity
        .extend({
          ...provenanceFields,
          changes: changes
            .optional()
            .meta({ description: 'With `include=changes`: what differs between both instants' }),
          patch,
        })
        .meta({ id: 'SnapshotItem', description: 'An entity as of the instant of the page' }),
    )
    .meta({
      description:
        'Of a type in the order of their keys (those without first), then of their ids; of all types, type by type',
    }),
).meta({ id: 'SnapshotPage', description: 'A page of a collection as of an instant' });

export const typeRange = z
  .strictObject({ id: z.uuid(), key: entityKey.optional(), ...range.shape })
  .meta({ id: 'TypeRange', description: 'Which value a property of an entity had from when to when' });

export const typeRangePage = pinned(
  z
    .array(typeRange)
    .meta({ description: 'In the order of the entities, as in collections; those of one oldest first' }),
).meta({ id: 'TypeRangePage', description: 'A page of the ranges of one property of all entities of a type' });

export const valueCounts = z
  .strictObject({
    items: z.array(
      z
        .strictObject({
          at: instant,
          entities: z.int().min(0).max(LAST_TICK).meta({ description: 'How many had the property then' }),
          values: z
            .array(
              z
                .strictObject({ value: z.unknown(), entities: z.int().min(1).max(LAST_TICK) })
                .meta({ id: 'ValueCount', description: 'How many entities held a value' }),
            )
            .meta({ description: 'The most frequent values' }),
          others: z.int().min(0).max(LAST_TICK).meta({ description: 'How many held other values' }),
        })
        .meta({ id: 'CountsAt', description: 'How many entities held what at an instant' }),
    ),
  })
  .meta({ id: 'ValueCounts', description: 'How many entities of a type held each value of a property, at instants' });

/** A JSON Patch (RFC 6902). `operationsOf` of temporal/json-patch.ts checks the operations, and says what is wrong with each. */
export const jsonPatch = z.custom<Json[]>(Array.isArray, { error: 'must be an array of operations' }).meta({
  id: 'JsonPatch',
  description:
    'A JSON Patch (RFC 6902); its paths begin with /properties/. Members that an operation does not know are ignored',
  override: {
    type: 'array',
    items: { $ref: '#/components/schemas/JsonPatchOperation' },
  },
  example: [{ op: 'replace', path: '/properties/location', value: 'Paris' }],
});

/** A body of JSON that must be given. Fastify picks the schema of a body by its Content-Type. */
export const jsonBody = <Schema extends z.ZodType>(schema: Schema) => ({
  required: true as const,
  content: { 'application/json': { schema } },
});

/**
 * A body of lines of JSON, of any length; no body has no lines. Its handler gets it as a stream of bytes while it arrives (protocol/lines.ts has its lines).
 * @param described what a line is, and what becomes of it
 * @param example some lines
 * @param line the JSON Schema of a line, for the OpenAPI document; lines are not checked by it
 */
export function ndjsonBody(described: string, example: string, line: Record<string, unknown> = {}) {
  const text = {
    type: 'string',
    description: described,
    contentMediaType: LINE_TYPES[0],
    contentSchema: line,
    example,
  };
  const lines = {
    schema: z.custom<Readable>((body) => body instanceof Readable).meta({ override: { 'x-schema': text } }),
  };
  const [first, second, third] = LINE_TYPES;
  return { required: false as const, content: { [first]: lines, [second]: lines, [third]: lines } };
}

/** A body of JSON that may be left out. */
export const optionalBody = <Schema extends z.ZodType>(schema: Schema) => ({
  required: false as const,
  content: { 'application/json': { schema } },
});
