import { z } from 'zod';
import { EXAMPLE_INSTANT } from './examples.js';
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
  given
    .transform(Number)
    .refine((limit) => limit >= 1 && limit <= MAX_LIMIT, badLimit)
    .meta({ description: HOW_MANY_ITEMS, example: DEFAULT_LIMIT });

/** How long a cursor may be: the longest key, in UTF-8 and then base64url, with what stands beside it. */
const MAX_CURSOR = 3_000;

/** Parameters of every call that gives pages. */
export const pageParameters = {
  limit: counted(limit.default(DEFAULT_LIMIT)),
  cursor: z.string().max(MAX_CURSOR).optional().meta({ description: 'Where to go on: `next` of the last page' }),
};

/** `limit` of a call that does not always give pages: without a default, so that its absence is seen. */
export const optionalLimit = counted(limit).optional().meta({ description: HOW_MANY_ITEMS });

/** The order of a history. */
export const order = z.enum(['asc', 'desc']).default('asc').meta({ description: 'Oldest or newest first' });

/** A parameter that must be given, and names a point in the past: a tick or an instant. `parsePoint` reads it. */
export const point = (described: string, example: string) => z.string().meta({ description: described, example });

/** A parameter that may be left out. Its example stands in the description: the page at /docs sends real examples along. */
export const optional = (described: string, example: string) =>
  z
    .string()
    .optional()
    .meta({ description: `${described}, such as \`${example}\`` });

/** Many items in one parameter; lists.ts reads them. */
const many = z.union([z.string(), z.array(z.string())]);
const HOW_MANY = 'separated by commas, or the parameter repeated (`\\,` is a comma inside an item)';

/** A parameter of many items that may be left out. */
export const optionalList = (described: string, example: string) =>
  many.optional().meta({ description: `${described}, such as \`${example}\`; ${HOW_MANY}` });

/** The filters of properties; `filterOf` reads them. */
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

/** The parameters that fix the snapshot in which a collection is read. */
export const asOfParameters = {
  asOf: optional('As they were at an RFC 3339 instant; without, at the newest that is stable', EXAMPLE_INSTANT),
  recordedAsOf: optional('By what was recorded at an RFC 3339 instant; without, by all of it', EXAMPLE_INSTANT),
};

export const fields = many
  .optional()
  .meta({ description: `Only these properties, such as \`name,location\`; ${HOW_MANY}` });

export const entityParameters = z.strictObject({
  id: z.string().meta({ description: 'The UUID, or type:key', example: 'friend:rachel' }),
});

/** The query of a call without parameters: any parameter is refused, not ignored. */
export const noParameters = z.strictObject({});

export const acceptDatetime = optional(
  'As it was at that date (RFC 7089), at the end of its second; the first state for an earlier one. What was deleted then is 410',
  'Fri, 08 Jan 2016 00:00:00 GMT',
);
