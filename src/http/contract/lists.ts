import { faultOfName } from '../../temporal/property-name.js';
import { Refusal } from '../../temporal/refusal.js';

/** How many entities, or properties, one call may name: as many as surely fit into a URL of 16 KiB. */
export const MAX_ITEMS = 100;

/**
 * The items of a parameter that takes many: separated by commas, the parameter repeated, or both. Keys and names of
 * properties may hold commas themselves: `\,` is one inside an item, and `\\` a backslash.
 *
 * Percent-encoding cannot tell the two apart: clients encode all commas of a parameter (URLSearchParams, Python's
 * requests), or none.
 */
export function itemsOf(parameter: string | readonly string[]): string[] {
  const lists = typeof parameter === 'string' ? [parameter] : parameter;
  return lists.flatMap((list) => {
    const items: string[] = [];
    let item = '';
    for (const [token] of list.matchAll(/\\[\\,]|,|\\|[^\\,]+/g)) {
      if (token === ',') {
        items.push(item);
        item = '';
      } else item += token.length > 1 && token.startsWith('\\') ? token.slice(1) : token;
    }
    return [...items, item];
  });
}

/** @throws Refusal `invalid_property_name`, `invalid_parameter` */
export const fieldsOf = (parameter: string | string[] | undefined): string[] | null => namesOf(parameter, 'fields');

/**
 * The names of properties in a parameter, each once; null: it was not given.
 * @throws Refusal `invalid_property_name`, `invalid_parameter`
 */
export function namesOf(parameter: string | string[] | undefined, path: string): string[] | null {
  if (parameter === undefined) return null;
  const names = [...new Set(itemsOf(parameter))];
  if (names.length > MAX_ITEMS) throw tooMany(path, names.length);
  refuseFaultyNames(names, path);
  return names;
}

/** What an answer shows of an entity's past: the ranges of these properties (null: of all it has had). */
type Include = { of: string[] | null };

/** @throws Refusal `invalid_property_name`, `invalid_parameter` */
export function includeOf(parameter: string | string[] | undefined): Include | null {
  if (parameter === undefined) return null;
  const items = [...new Set(itemsOf(parameter))];
  const unknown = items.find((item) => item !== 'history' && !item.startsWith(OF_HISTORY));
  if (unknown !== undefined) {
    const message = `cannot be ${JSON.stringify(unknown)}: there is history, and ${OF_HISTORY}location for one property`;
    throw Refusal.at('invalid_parameter', 'include', message);
  }
  if (items.length > MAX_ITEMS) throw tooMany('include', items.length);
  const names = items.flatMap((item) => (item === 'history' ? [] : [item.slice(OF_HISTORY.length)]));
  refuseFaultyNames(names, 'include');
  return { of: items.includes('history') ? null : names };
}

const OF_HISTORY = 'history.';

function refuseFaultyNames(names: readonly string[], path: string): void {
  const errors = names.flatMap((name) => {
    const message = faultOfName(name);
    return message === null ? [] : [{ path, message }];
  });
  const [first] = errors;
  if (first) throw new Refusal('invalid_property_name', `${path}: ${first.message}.`, { errors });
}

export function tooMany(path: string, count: number): Refusal {
  return Refusal.at('invalid_parameter', path, `names ${count}, more than ${MAX_ITEMS}`);
}

/** No property was ever stored under a name that PostgreSQL cannot even look for. */
export function propertyOf(name: string): string {
  if (!name.includes('\0')) return name;
  const message = 'cannot hold U+0000';
  throw Refusal.at('invalid_property_name', 'property', message, `A property's name ${message}.`);
}
