import { isObject, type Json, type JsonObject, pointer, readJson } from './json.js';
import { faultOfName } from './property-name.js';
import { Refusal } from './refusal.js';

/*
 * Filters: `where={"location": "Oakland", "age": {"gte": 30}}`. A plain value means equality. An object holds operators. All
 * conditions must hold. A value of another JSON type than the operand never matches. A property that is not set matches nothing
 * but `exists`.
 */

const OPERATORS = ['eq', 'ne', 'lt', 'lte', 'gt', 'gte', 'in', 'has', 'hasKey', 'exists'] as const;

/**
 * - `eq`, `ne`: equal or not, as jsonb compares values; `in`: equal to any of an array;
 * - `lt`, `lte`, `gt`, `gte`: numbers by value, strings in C order (by their bytes in UTF-8);
 * - `has`: an array with this element;
 * - `hasKey`: an object with this name, for objects whose names are data, as in {"EUR": {…}};
 * - `exists`: whether the property is set; null is set.
 */
export type Operator = (typeof OPERATORS)[number];

/** One thing that must hold of a property. */
export type Predicate = { property: string; operator: Operator; operand: Json };

/** The operators that an index answers, for the state now and for any time. */
export const INDEXED: readonly Operator[] = ['eq', 'in', 'has', 'hasKey'];

/** How many conditions a filter may have, and how many values one `in`. The database looks for each, and checks what it finds. */
const MAX_CONDITIONS = 20;
const MAX_VALUES = 100;

/**
 * Reads a filter from the text of a parameter.
 * @param parameter its name, for the refusal
 * @throws Refusal `invalid_filter`, naming the parameter and the place in it
 */
export function parseFilter(text: string, parameter: string): Predicate[] {
  return predicatesOf(text, parameter, OPERATORS);
}

/**
 * Reads a filter of what properties held at any time. It takes only operators that an index answers: for the others the
 * database would have to read everything that was ever recorded.
 * @throws Refusal `invalid_filter`, also when it names no property
 */
export function parseEverHad(text: string, parameter: string): Predicate[] {
  const conditions = predicatesOf(text, parameter, INDEXED);
  if (conditions.length === 0) throw invalid(parameter, [], 'names no property');
  return conditions;
}

/**
 * How many values a filter may look for when the caller names no type. The hash of a value holds the type, so the database looks
 * for each value once in each type. Of many types and many values that takes longer than a statement may.
 */
const MAX_VALUES_OF_ALL_TYPES = 10;

/** Refuses conditions with more values than the database can look for in all types. @throws Refusal `invalid_filter` */
export function refuseManyOfAllTypes(conditions: readonly Predicate[], parameter: string): void {
  const values = conditions.reduce((sum, { operand }) => sum + (Array.isArray(operand) ? operand.length : 1), 0);
  if (values <= MAX_VALUES_OF_ALL_TYPES) return;
  throw invalid(
    parameter,
    [],
    `looks for ${values} values, more than ${MAX_VALUES_OF_ALL_TYPES}, in all types: name a type`,
  );
}

function predicatesOf(text: string, parameter: string, allowed: readonly Operator[]): Predicate[] {
  if (text.trim() === '') throw invalid(parameter, [], 'is empty: it must be a JSON object');
  const read = readJson(text);
  if ('fault' in read)
    throw invalid(parameter, [], `is not JSON that can be compared: ${at(read.fault.path)}${read.fault.detail}`);
  const { value: filter } = read;
  if (!isObject(filter)) throw invalid(parameter, [], 'must be a JSON object, such as {"location": "Oakland"}');
  const conditions = Object.entries(filter).flatMap(([property, wanted]) => {
    const fault = faultOfName(property);
    if (fault !== null) throw invalid(parameter, [], `has a name that no property has: ${fault}`);
    return isObject(wanted)
      ? operationsOf(property, wanted, parameter, allowed)
      : [{ property, operator: 'eq' as const, operand: wanted }];
  });
  if (conditions.length > MAX_CONDITIONS) {
    throw invalid(parameter, [], `has ${conditions.length} conditions, more than ${MAX_CONDITIONS}`);
  }
  return conditions;
}

function operationsOf(
  property: string,
  wanted: JsonObject,
  parameter: string,
  allowed: readonly Operator[],
): Predicate[] {
  const entries = Object.entries(wanted);
  if (entries.length === 0)
    throw invalid(parameter, [property], 'names no operator; to compare with an object, {"eq": {}}');
  return entries.map(([name, operand]) => {
    const operator = allowed.find((known) => known === name);
    if (operator === undefined) {
      throw invalid(
        parameter,
        [property, name],
        `is no operator here: there are ${allowed.join(', ')}. To compare with an object, {"eq": …}`,
      );
    }
    const fault = faultOfOperand(operator, operand);
    if (fault !== null) throw invalid(parameter, [property, name], fault);
    return { property, operator, operand };
  });
}

function faultOfOperand(operator: Operator, operand: Json): string | null {
  switch (operator) {
    case 'ne':
      // No other value has the type of null, and one of another type never matches.
      return operand === null ? 'null matches nothing: values of another type never match' : null;
    case 'lt':
    case 'lte':
    case 'gt':
    case 'gte':
      return typeof operand === 'number' || typeof operand === 'string' ? null : 'must be a number or a string';
    case 'in':
      if (!Array.isArray(operand)) return 'must be an array';
      return operand.length > MAX_VALUES ? `has ${operand.length} values, more than ${MAX_VALUES}` : null;
    case 'hasKey':
      return typeof operand === 'string' ? null : 'must be a string';
    case 'exists':
      return typeof operand === 'boolean' ? null : 'must be true or false';
    default:
      return null;
  }
}

const at = (path: string): string => (path === '' ? '' : `${path}: `);

function invalid(parameter: string, place: readonly string[], fault: string): Refusal {
  const message = `${place.length > 0 ? `${pointer(place)} ` : ''}${fault}`;
  return Refusal.at('invalid_filter', parameter, message, `${parameter}: ${message}.`);
}
