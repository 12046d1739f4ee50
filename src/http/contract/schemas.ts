import { z } from 'zod';
import { isKey, MAX_KEY_LENGTH, TYPE_PATTERN } from '../../temporal/identity.js';
import { isObject, type Json, type JsonObject } from '../../temporal/json.js';

/*
 * What calls take and give. Objects that hold data (properties, metadata) are checked to be objects and passed through
 * untouched: a zod record would drop names such as `__proto__`, and z.json() costs 2.4 µs against 0.9.
 */

export const EXAMPLE_ID = '74738ff5-5367-5958-9aee-98fffdcd1876';
export const EXAMPLE_INSTANT = '2016-01-08T00:00:00.000000Z';
export const EXAMPLE_ACTIVITY = '01a1fbba-b75f-7646-92a3-d4a3c62ecb9b';

/** zod's own words speak of its schemas ("Invalid input: expected string, received undefined"); these speak to a caller. */
z.config({ customError: wordsFor });

function wordsFor(issue: z.core.$ZodRawIssue): string | undefined {
  const isGiven = issue.input !== undefined;
  switch (issue.code) {
    case 'invalid_type':
      return isGiven ? `must be ${KINDS.get(issue.expected) ?? issue.expected}` : 'is missing';
    case 'invalid_union':
      return isGiven ? 'is none of what may stand here' : 'is missing';
    case 'invalid_value':
      return `must be ${issue.values.join(' or ')}`;
    case 'too_small':
      return issue.origin === 'string' ? 'must not be empty' : `must be at least ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'string'
        ? `must have at most ${issue.maximum} characters`
        : `must be at most ${issue.maximum}`;
    default:
      return undefined;
  }
}

/** What zod calls the types, in a caller's words. */
const KINDS = new Map([
  ['string', 'text, given once'],
  ['object', 'an object'],
  ['array', 'a list'],
  ['int', 'a whole number'],
  ['number', 'a number'],
]);

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

const op = z.enum(['created', 'updated', 'deleted', 'restored']);

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

const activityFields = {
  id: z.uuid(),
  actor: z.string().optional(),
  reason: z.string().optional(),
  metadata: dataObject('As it was given').optional(),
};

/** The activity of a tick or of a range's beginning. */
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
        description:
          'Those that are not in `items`, and why; `answer_full`: the answer has no more room (16 MiB of properties), ask again',
      }),
  })
  .meta({ id: 'EntityList' });

/** What pages say that show many entities as of one instant. */
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

/** How many items a page may have, if nobody says. */
export const DEFAULT_LIMIT = '100';

const HOW_MANY_ITEMS = 'How many items at most, from 1 to 1000; 100 if nobody says';
const limit = z.string().regex(/^\d{1,4}$/, { error: 'must be a number from 1 to 1000' });
const counted = (given: typeof limit | z.ZodDefault<typeof limit>) =>
  given
    .transform(Number)
    .refine((limit) => limit >= 1 && limit <= 1000, { error: 'must be a number from 1 to 1000' })
    .meta({ description: HOW_MANY_ITEMS, example: DEFAULT_LIMIT });

/** Parameters of every call that gives pages. */
export const pageParameters = {
  limit: counted(limit.default(DEFAULT_LIMIT)),
  cursor: z.string().max(200).optional().meta({ description: 'Where to go on: `next` of the last page' }),
};

/** The same, of a call that does not always. */
export const optionalLimit = counted(limit).optional().meta({ description: HOW_MANY_ITEMS });

export const order = z.enum(['asc', 'desc']).default('asc').meta({ description: 'Oldest or newest first' });

/** A point in the past, as points are written: a tick or an instant. */
export const point = (described: string, example: string) => z.string().meta({ description: described, example });

/** What may be left out has its example in the description: as such, the page at /docs would send it along. */
export const optional = (described: string, example: string) =>
  z
    .string()
    .optional()
    .meta({ description: `${described}, such as \`${example}\`` });

const jsonPointer = {
  type: 'string',
  description: 'A JSON Pointer (RFC 6901)',
  pattern: '^/properties/',
  example: '/properties/location',
} as const;

/** RFC 6902; `operationsOf` of temporal/json-patch.ts reads the operations, and says of each what is wrong with it. */
export const jsonPatch = z.custom<Json[]>(Array.isArray, { error: 'must be an array of operations' }).meta({
  description: 'A JSON Patch (RFC 6902); its paths begin with /properties/',
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
      additionalProperties: false,
    },
  },
  example: [{ op: 'replace', path: '/properties/location', value: 'Paris' }],
});

/** Many items in one parameter, see lists.ts. */
const many = z.union([z.string(), z.array(z.string())]);
const HOW_MANY = 'separated by commas, or the parameter repeated (`\\,` is a comma inside an item)';

export const optionalList = (described: string, example: string) =>
  many.optional().meta({ description: `${described}, such as \`${example}\`; ${HOW_MANY}` });

/** What is asked of properties. */
export const filters = {
  where: optional(
    'Those of which all of this holds then: by property a value, or an object of `eq`, `ne`, `lt`, `lte`, `gt`, `gte`, `in`, `has` (an element of an array), `hasKey` (a name in an object), `exists`',
    '{"location": "Oakland", "age": {"gte": 30}}',
  ),
  everHad: optional(
    'Those of which all of this held at any time until then: by property a value, or an object of `eq`, `in`, `has`, `hasKey`',
    '{"location": "Tucson"}',
  ),
};

/** As of when a collection is to be read. */
export const asOfParameters = {
  asOf: optional('As they were at an RFC 3339 instant; without, at the newest that is stable', EXAMPLE_INSTANT),
  recordedAsOf: optional('By what was recorded at an RFC 3339 instant; without, by all of it', EXAMPLE_INSTANT),
};

export const fields = many
  .optional()
  .meta({ description: `Only these properties, such as \`name,location\`; ${HOW_MANY}` });

/**
 * A header of an answer, as a JSON Schema: @fastify/swagger would wrap what comes of a zod schema, a whole header, into
 * one more `schema`.
 */
export const header = (description: string, example: string): Header => ({ type: 'string', description, example });

export type Header = { type: 'string'; description: string; example: string };

export const cacheControlHeader = header('Whether the answer can ever change', 'no-cache');
export const etagHeader = header("The entity's tick, a strong tag", '"2"');
export const locationHeader = header('Where it is', `/entities/${EXAMPLE_ID}`);
export const contentLocationHeader = header(
  'Of an answer as of a point: the same state by its tick, for ever',
  `/entities/${EXAMPLE_ID}?asOf=2`,
);
export const tickAtHeader = header(
  'The instant of the tick that ETag names: a read as of it sees the write',
  EXAMPLE_INSTANT,
);
export const preferenceAppliedHeader = header('Where `Prefer: return=minimal` was heeded', 'return=minimal');
export const linkHeader = header(
  'The next page (RFC 8288), where there is one',
  '</entities/friend:rachel/history?cursor=Y3Vyc29y>; rel="next"',
);

export const entityParameters = z.strictObject({
  id: z.string().meta({ description: 'The UUID, or type:key', example: 'friend:rachel' }),
});

/** For a call without parameters: any is refused, not ignored. */
export const noParameters = z.strictObject({});

/** A body of JSON. Bodies are given by media type: Fastify picks the schema by Content-Type. */
export const jsonBody = <Schema extends z.ZodType>(schema: Schema) => ({
  required: true as const,
  content: { 'application/json': { schema } },
});

/** A body that may be left out. */
export const optionalBody = <Schema extends z.ZodType>(schema: Schema) => ({
  required: false as const,
  content: { 'application/json': { schema } },
});
