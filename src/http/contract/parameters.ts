import { z } from 'zod';
import { MAX_ITEMS } from './lists.js';
import './messages.js';

/** How many items a page may have, and how many it has if the caller names no limit: as text, because a query holds text. */
const MAX_LIMIT = 1_000;
export const DEFAULT_LIMIT = '100';

/** What `limit` takes, for descriptions. */
export const LIMIT_RULE = `from 1 to ${MAX_LIMIT}; ${DEFAULT_LIMIT} if nobody says`;

const HOW_MANY_ITEMS = `How many items at most, ${LIMIT_RULE}`;
const badLimit = { error: `must be a number from 1 to ${MAX_LIMIT}` };
const limit = z.string().regex(/^\d{1,4}$/, badLimit);
const counted = (given: typeof limit | z.ZodDefault<typeof limit>) =>
  given.transform(Number).refine((limit) => limit >= 1 && limit <= MAX_LIMIT, badLimit);

/**
 * What the OpenAPI document says of a parameter, which a query holds as text: its type, and the name under which calls share it.
 * (components.ts takes the name out again.)
 */
export const described = (name: string, description: string, type: Record<string, unknown>) => ({
  description,
  'x-parameter': name,
  'x-schema': type,
});

const wholeNumber = { type: 'integer', format: 'int32', minimum: 1, maximum: MAX_LIMIT };

/** How long a cursor may be: the longest key, in UTF-8 and then base64url, with what stands beside it. */
const MAX_CURSOR = 3_000;

/** Parameters of every call that gives pages. */
export const pageParameters = {
  limit: counted(limit.default(DEFAULT_LIMIT)).meta(described('Limit', HOW_MANY_ITEMS, wholeNumber)),
  cursor: z
    .string()
    .max(MAX_CURSOR)
    .optional()
    .meta(described('Cursor', 'Where to go on: `next` of the last page', { type: 'string', maxLength: MAX_CURSOR })),
};

/** `limit` of a call that does not always give pages: without a default, so that its absence is seen. */
export const optionalLimit = counted(limit)
  .optional()
  .meta(described('Limit', HOW_MANY_ITEMS, wholeNumber));

/** `limit` of a call that gives no pages. */
export const limitOf = (description: string) =>
  counted(limit.default(DEFAULT_LIMIT)).meta(described('LimitOfValues', description, wholeNumber));

/**
 * A parameter that is true or false; without it, false.
 * @param name under which calls share it in the OpenAPI document
 */
export const flagOf = (name: string, description: string) =>
  z
    .enum(['true', 'false'], { error: 'must be true or false' })
    .default('false')
    .transform((text) => text === 'true')
    .meta(described(name, description, { type: 'boolean', default: false }));

/** Whether to say differences inside values, too. */
export const depth = z
  .enum(['full'], { error: 'must be full' })
  .optional()
  .meta(
    described('Depth', 'With `full`, what differs inside objects and arrays, too, as a JSON Patch (RFC 6902)', {
      type: 'string',
      enum: ['full'],
    }),
  );

/** The order of a history. */
export const order = z
  .enum(['asc', 'desc'])
  .default('asc')
  .meta(described('Order', 'Oldest or newest first', { type: 'string', enum: ['asc', 'desc'], default: 'asc' }));

/** A tick, or an instant with its offset: a schema of components.ts. */
const POINT = { $ref: '#/components/schemas/Point' };
const INSTANT = { type: 'string', format: 'date-time' };

/** A parameter that must be given, and names a point in the past: a tick or an instant. `parsePoint` reads it. */
export const point = (name: string, description: string) => z.string().meta(described(name, description, POINT));
/** The same, where it may be left out. */
export const optionalPoint = (name: string, description: string) =>
  z
    .string()
    .optional()
    .meta(described(name, description, POINT));
/** A parameter that may be left out, and names an instant. `parseInstant` reads it. */
export const optionalInstant = (name: string, description: string) =>
  z
    .string()
    .optional()
    .meta(described(name, description, INSTANT));

/** A parameter that may be left out. Its example stands in the description: the page at /docs sends real examples along. */
export const optional = (description: string, example: string, name?: string) =>
  z
    .string()
    .optional()
    .meta({ description: `${description}, such as \`${example}\``, ...(name ? { 'x-parameter': name } : {}) });

/** A parameter of many items, each given by one `name=item`, that may be left out. lists.ts reads it. */
export const optionalList = (name: string, description: string, example: string, items: object = { type: 'string' }) =>
  z
    .union([z.string(), z.array(z.string())])
    .optional()
    .meta(
      described(name, `${description}, such as \`${example}\``, {
        type: 'array',
        items,
        minItems: 1,
        maxItems: MAX_ITEMS,
      }),
    );

/** The filters of properties; `filterOf` reads them. */
export const filters = {
  where: optional(
    'Those of which all of this holds then: by property a value, or an object of `eq`, `ne`, `lt`, `lte`, `gt`, `gte`, `in`, `has` (an element of an array), `hasKey` (a name in an object), `exists`',
    '{"location": "Oakland", "age": {"gte": 30}}',
    'Where',
  ),
  everHad: optional(
    'Those of which all of this held at any time until then: by property a value, or an object of `eq`, `in`, `has`, `hasKey`',
    '{"location": "Tucson"}',
    'EverHad',
  ),
};

/** By what was recorded: what imports have told of the past since is not seen. `parseInstant` reads it. */
export const recordedAsOf = optionalInstant(
  'RecordedAsOf',
  'By what was recorded at an RFC 3339 instant; without, by all of it',
);

/** The parameters that fix the snapshot in which a collection is read. */
export const asOfParameters = {
  asOf: optionalInstant('AsOfInstant', 'As they were at an RFC 3339 instant; without, at the newest that is stable'),
  recordedAsOf,
};

export const fields = optionalList('Fields', 'Only these properties', 'fields=name&fields=location');

export const entityParameters = z.strictObject({
  id: z
    .string()
    .min(1, { error: 'is empty: an entity has a UUID or type:key, and the path of a collection ends in no slash' })
    .meta({ description: 'The UUID, or type:key', example: 'friend:rachel', 'x-parameter': 'EntityId' }),
});

/** The name of a property, in a path. */
export const propertyParameter = z
  .string()
  .meta({ description: "The property's name, percent-encoded", example: 'location', 'x-parameter': 'PropertyName' });

/** The query of a call without parameters: any parameter is refused, not ignored. */
export const noParameters = z.strictObject({});

export const acceptDatetime = optional(
  'As it was at that date (RFC 7089), at the end of its second; the first state for an earlier one. What was deleted then is 410',
  'Fri, 08 Jan 2016 00:00:00 GMT',
  'AcceptDatetime',
);
