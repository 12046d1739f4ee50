import { z } from 'zod';
import type { ReadLine, SentLine } from '../../storage/imports/batches.js';
import { type Address, idOfKey, parseAddress } from '../../temporal/identity.js';
import type { ImportLine, LineActivity } from '../../temporal/import.js';
import { isObject, type Json, readJson } from '../../temporal/json.js';
import { MAX_CONTAINERS, MAX_WATERMARK_LENGTH } from '../../temporal/limits.js';
import { instantOf, isInstant, microseconds, parsePoint } from '../../temporal/point.js';
import { faultsOfName, invalidNames, refuseBadNames } from '../../temporal/property-name.js';
import { Refusal } from '../../temporal/refusal.js';
import { containersIn } from '../protocol/body.js';
import { refusalOfIssues } from '../protocol/problems.js';
import { entityKey, entityType, givenActivityFields, properties } from './schemas.js';

/*
 * The lines of an import. What a line is depends on `op`, so each kind has a schema of its own: one for all would say of a wrong line only
 * that it is none of them.
 */

const names = z.array(z.string()).meta({ description: 'Names of properties' });

/** What an activity says; with an `id` it is known again, and may say nothing more. */
const lineActivity = z
  .strictObject({ id: z.uuid().optional(), ...givenActivityFields })
  .refine((activity) => Object.values(activity).some((value) => value !== undefined), {
    error: 'must say at least one of id, actor, reason and metadata',
  });
const addressed = {
  type: entityType,
  key: entityKey.optional(),
  id: z.string().optional().meta({ description: 'A UUID, instead of the key' }),
  activity: lineActivity.optional(),
  at: z
    .string()
    .refine(isInstant, {
      error:
        'must be an RFC 3339 instant with its offset, such as 2015-04-02T00:00:00Z, of up to six digits of a second',
    })
    .optional()
    .meta({ description: 'When it happened, where that is not now' }),
};
const put = z.strictObject({ op: z.literal('put').optional(), ...addressed, properties });
const patch = z.strictObject({ op: z.literal('patch'), ...addressed, properties });
const set = z.strictObject({
  op: z.literal('set'),
  ...addressed,
  set: properties.optional().meta({ description: 'Whole values by name; null is a value here' }),
  clear: names.optional(),
});
const remove = z.strictObject({ op: z.literal('delete'), ...addressed });
const watermark = z.strictObject({ watermark: z.unknown().meta({ description: 'Any JSON' }) });

/**
 * A line as it came. Null: it is blank.
 * @param line its number, from 1
 */
export function sentLine(text: string, line: number): SentLine | null {
  if (text.trim() === '') return null;
  const isMark = MAY_BE_MARK.test(text) && readLine(text, line).op === 'watermark';
  return { bytes: text.length, isMark, read: () => readLine(text, line) };
}

/** Only such a text can hold the name `watermark`, plain or with some of its letters escaped: others need not be read to know. */
const MAY_BE_MARK = /"watermark"|\\u00[67]/;

function readLine(text: string, line: number): ReadLine {
  try {
    return parse(text, line);
  } catch (error) {
    if (error instanceof Refusal) return { op: 'fault', line, refusal: error };
    throw error;
  }
}

/** @throws Refusal as a body of JSON does */
function parse(text: string, line: number): ImportLine {
  if (text.length > 2 * MAX_CONTAINERS && containersIn(Buffer.from(text)) > MAX_CONTAINERS)
    throw new Refusal(
      'body_too_large',
      `It holds more than ${MAX_CONTAINERS} objects and arrays, the most that a line may hold.`,
    );
  const read = readJson(text);
  if ('fault' in read) {
    // The refusal says which line of the import it is; within itself it is always the first.
    throw Refusal.at(read.fault.code, read.fault.path, read.fault.detail.replace(' at line 1, column ', ' at column '));
  }
  const { value } = read;
  if (!isObject(value)) throw Refusal.at('invalid_body', '', 'must be an object');
  if (Object.hasOwn(value, 'watermark')) {
    checked(watermark, value);
    if (text.length > MAX_WATERMARK_LENGTH)
      throw Refusal.at('invalid_body', '/watermark', `must have at most ${MAX_WATERMARK_LENGTH} characters, as a line`);
    return { op: 'watermark', line, watermark: value.watermark ?? null };
  }
  const { op = 'put' } = value;
  switch (op) {
    case 'put': {
      const { properties, ...given } = checked(put, value);
      refuseBadNames(properties);
      return { op, line, ...whoAndWhy(given), properties };
    }
    case 'patch': {
      const { properties, ...given } = checked(patch, value);
      refuseBadNames(properties);
      return { op, line, ...whoAndWhy(given), properties };
    }
    case 'set': {
      const { set: values = {}, clear = [], ...given } = checked(set, value);
      const errors = [
        ...Object.keys(values).flatMap((name) => faultsOfName(name, ['set', name])),
        ...clear.flatMap((name, n) => faultsOfName(name, ['clear', n])),
      ];
      if (errors.length > 0) throw invalidNames(errors);
      return { op, line, ...whoAndWhy(given), set: values, clear };
    }
    case 'delete':
      return { op, line, ...whoAndWhy(checked(remove, value)) };
    default:
      throw Refusal.at('invalid_body', '/op', 'must be put, patch, set or delete, or left out for put');
  }
}

function checked<Schema extends z.ZodType>(schema: Schema, value: Json): z.output<Schema> {
  const { data, error } = schema.safeParse(value);
  if (error) throw refusalOfIssues(error.issues, true);
  return data;
}

type Given = z.output<typeof remove>;

const whoAndWhy = ({ type, key, id, activity, at }: Omit<Given, 'op'>) => ({
  address: addressOf(type, key, id),
  type,
  activity: activity ? activityOf(activity) : null,
  at: at === undefined ? null : inUtc(at),
});

const activityOf = ({ id, ...details }: z.output<typeof lineActivity>): LineActivity => ({
  id: id?.toLowerCase() ?? null,
  details,
});

/** An instant as answers show it. */
function inUtc(at: string): string {
  const point = parsePoint(at, '/at');
  if (!('instant' in point)) throw Refusal.at('invalid_body', '/at', 'is no instant');
  try {
    return instantOf(microseconds(point.instant));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw Refusal.at('invalid_body', '/at', 'lies beyond the years 1 to 9999 in UTC');
  }
}

function addressOf(type: string, key: string | undefined, id: string | undefined): Address {
  if ((key === undefined) === (id === undefined)) {
    const message = 'say either key or id: by it the line is known again when it is sent again';
    throw Refusal.at('invalid_body', '', message, `A line must ${message}.`);
  }
  if (key !== undefined) return { id: idOfKey(type, key), label: `${type}:${key}`, named: { type, key } };
  const address = parseAddress(id ?? '', '/id');
  if (address.named) throw Refusal.at('invalid_id', '/id', 'is no UUID');
  return address;
}
