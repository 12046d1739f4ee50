import { isObject, type Json, type JsonObject } from '../../temporal/json.js';

/** The operators of a filter, and how a person reads them. */
export const OPERATORS = [
  ['eq', 'is'],
  ['ne', 'is another than'],
  ['lt', '<'],
  ['lte', '≤'],
  ['gt', '>'],
  ['gte', '≥'],
  ['in', 'is one of'],
  ['has', 'has the element'],
  ['hasKey', 'has the member'],
  ['exists', 'is set'],
] as const;

export type Operator = (typeof OPERATORS)[number][0];

/**
 * A filter with one more condition, as the API takes it. A condition of the same property and operator is replaced.
 * @param where the filter so far
 * @param text the operand as a person writes it: JSON, or else a text; of `in` also several with commas between
 * @returns null: the filter so far is no JSON object
 */
export function withCondition(
  where: string | undefined,
  property: string,
  operator: Operator,
  text: string,
): string | null {
  const filter = where === undefined || where.trim() === '' ? {} : jsonOr(where, null);
  if (!isObject(filter)) return null;
  const before = Object.hasOwn(filter, property) ? filter[property] : undefined;
  const operators = before === undefined ? {} : isObject(before) ? before : { eq: before };
  const condition = shortest(withMember(operators, operator, operandOf(operator, text)));
  return JSON.stringify(withMember(filter, property, condition));
}

/** `{"eq": 4}` is written `4`. An object alone would be read as operators. */
function shortest(condition: JsonObject): Json {
  const [[operator, operand] = ['', null], ...more] = Object.entries(condition);
  return operator === 'eq' && more.length === 0 && !isObject(operand) ? operand : condition;
}

/** An object with a member, whatever its name is. */
const withMember = (object: JsonObject, name: string, value: Json): JsonObject =>
  Object.fromEntries([...Object.entries(object).filter(([other]) => other !== name), [name, value]]);

function operandOf(operator: Operator, text: string): Json {
  if (operator === 'exists') return text.trim() !== 'false';
  if (operator === 'hasKey') return text;
  const value = jsonOr(text, text);
  return operator !== 'in' || Array.isArray(value) ? value : text.split(',').map((part) => jsonOr(part, part.trim()));
}

/** What a text is as JSON; or else something else. */
function jsonOr<Other>(text: string, other: Other): Json | Other {
  try {
    const value: Json = JSON.parse(text);
    return value;
  } catch {
    return other;
  }
}
