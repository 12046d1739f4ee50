import { faultOfName } from '../../temporal/property-name.js';
import { Refusal } from '../../temporal/refusal.js';

/** How many entities, properties or instants one parameter may name: as many as surely fit into a URL of 16 KiB. */
export const MAX_ITEMS = 100;

/** The items of a parameter that takes many. */
export const itemsOf = (parameter: string | readonly string[]): string[] =>
  typeof parameter === 'string' ? [parameter] : [...parameter];

/** The names in `fields`; null: it was not given. @throws Refusal `invalid_property_name`, `invalid_parameter` */
export const fieldsOf = (parameter: string | string[] | undefined): string[] | null => namesOf(parameter, 'fields');

/**
 * The names of properties in a parameter, each once; null: it was not given.
 * @param path the name of the parameter, for the refusal
 * @throws Refusal `invalid_property_name`, `invalid_parameter`
 */
export function namesOf(parameter: string | string[] | undefined, path: string): string[] | null {
  if (parameter === undefined) return null;
  const names = [...new Set(itemsOf(parameter))];
  if (names.length > MAX_ITEMS) throw tooMany(path, names.length);
  refuseFaultyNames(names, path);
  return names;
}

/**
 * What an answer shows beside the entity: the ranges of properties, if any (`of` null: of all that it has had), and whether who set what it
 * has.
 */
type Include = { history: { of: string[] | null } | null; provenance: boolean };

/** What `include` asks for; null: it was not given. @throws Refusal `invalid_property_name`, `invalid_parameter` */
export function includeOf(parameter: string | string[] | undefined): Include | null {
  if (parameter === undefined) return null;
  const items = [...new Set(itemsOf(parameter))];
  const unknown = items.find((item) => item !== 'history' && item !== 'provenance' && !item.startsWith(OF_HISTORY));
  if (unknown !== undefined) {
    const message = `cannot be ${JSON.stringify(unknown)}: there is history, ${OF_HISTORY}location for one property, and provenance`;
    throw Refusal.at('invalid_parameter', 'include', message);
  }
  if (items.length > MAX_ITEMS) throw tooMany('include', items.length);
  const names = items.flatMap((item) => (item.startsWith(OF_HISTORY) ? [item.slice(OF_HISTORY.length)] : []));
  refuseFaultyNames(names, 'include');
  const isOfAll = items.includes('history');
  return {
    history: isOfAll || names.length > 0 ? { of: isOfAll ? null : names } : null,
    provenance: items.includes('provenance'),
  };
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

/** The refusal of a parameter that names more than MAX_ITEMS. */
export function tooMany(path: string, count: number): Refusal {
  return Refusal.at('invalid_parameter', path, `names ${count}, more than ${MAX_ITEMS}`);
}

/**
 * The property that a path names. U+0000 is refused, because PostgreSQL takes no text with it, and no name, which is a slash too many.
 * Under any other bad name no property is found.
 * @throws Refusal `invalid_property_name`
 */
export function propertyOf(name: string): string {
  if (name !== '' && !name.includes('\0')) return name;
  const message = name === '' ? 'cannot be empty (a path does not end in a slash)' : 'cannot hold U+0000';
  throw Refusal.at('invalid_property_name', 'property', message, `A property's name ${message}.`);
}
