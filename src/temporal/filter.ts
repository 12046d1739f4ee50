import { isObject, type Json, type JsonObject, pointer, readJson } from './json.js';
import { faultOfName } from './property-name.js';
import { Refusal } from './refusal.js';

/*
 * What is asked of properties: `where={"location": "Oakland", "age": {"gte": 30}}`. A plain value means equal, an object its
 * operators, and all must hold. A value of another JSON type than the operand's never matches, nor does one that is not set,
 * but for `exists`.
 */

const OPERATORS = ['eq', 'ne', 'lt', 'lte', 'gt', 'gte', 'in', 'has', 'hasKey', 'exists'] as const;

/**
 * - `eq`, `ne` equality of JSON values, as jsonb has it; `in` any of an array;
 * - `lt`, `lte`, `gt`, `gte` numbers by value, strings in C order (by their bytes in UTF-8);
 * - `has` an array with this element, `hasKey` an object with this name: where keys are the data ({"EUR": {…}}), `has` would
 *   have nothing to say;
 * - `exists` whether the property is set, be it to null.
 */
export type Operator = (typeof OPERATORS)[number];

/** One thing that must hold of a property. */
export type Predicate = { property: string; operator: Operator; operand: Json };

/** What an index answers, of now and of any time. */
export const INDEXED: readonly Operator[] = ['eq', 'in', 'has', 'hasKey'];

/** How many conditions there may be, and how many values in `in`: each is looked for, and looked at. */
const MOST = { conditions: 20, values: 100 };

/**
 * Reads a filter from a parameter.
 * @throws Refusal `invalid_filter`, naming the parameter and the place in it
 */
export function parseFilter(text: string, parameter: string): Predicate[] {
  return predicatesOf(text, parameter, OPERATORS);
}

/**
 * Reads what properties are to have held at any time: by operators that an index answers, because others would have to
 * read everything that was ever recorded.
 * @throws Refusal `invalid_filter`
 */
export function parseEverHad(text: string, parameter: string): Predicate[] {
  const conditions = predicatesOf(text, parameter, INDEXED);
  if (conditions.length === 0) throw invalid(parameter, [], 'names no property');
  return conditions;
}

/**
 * How many values may be looked for where no type is named: in each type by itself, so of 1,500 types twenty conditions with sixty
 * values took longer than a statement may.
 */
const MOST_OF_ALL_TYPES = 10;

/** @throws Refusal `invalid_filter` when conditions look for more values than can be looked for in all types */
export function refuseManyOfAllTypes(conditions: readonly Predicate[], parameter: string): void {
  const values = conditions.reduce((sum, { operand }) => sum + (Array.isArray(operand) ? operand.length : 1), 0);
  if (values <= MOST_OF_ALL_TYPES) return;
  throw invalid(parameter, [], `looks for ${values} values, more than ${MOST_OF_ALL_TYPES}, in all types: name a type`);
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
  if (conditions.length > MOST.conditions) {
    throw invalid(parameter, [], `has ${conditions.length} conditions, more than ${MOST.conditions}`);
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
      // Only null is of its type.
      return operand === null ? 'null matches nothing: values of another type never match' : null;
    case 'lt':
    case 'lte':
    case 'gt':
    case 'gte':
      return typeof operand === 'number' || typeof operand === 'string' ? null : 'must be a number or a string';
    case 'in':
      if (!Array.isArray(operand)) return 'must be an array';
      return operand.length > MOST.values ? `has ${operand.length} values, more than ${MOST.values}` : null;
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
