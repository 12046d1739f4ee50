import { characters, type JsonObject, pointer } from './json.js';
import { MAX_NAME_LENGTH } from './limits.js';
import { type Fault, Refusal } from './refusal.js';

/**
 * What is wrong with a property's name; null when nothing is. A name has 1 to MAX_NAME_LENGTH characters that PostgreSQL can
 * keep. It is not `.` or `..`, because URL parsers take those out of a path.
 */
export function faultOfName(name: string): string | null {
  if (name === '') return 'A property needs a name';
  if (name === '.' || name === '..') return 'A property cannot be named . or ..';
  if (characters(name) > MAX_NAME_LENGTH) return `A property's name has at most ${MAX_NAME_LENGTH} characters`;
  if (name.includes('\0') || !name.isWellFormed())
    return "A property's name holds neither U+0000 nor half a surrogate pair";
  return null;
}

/** What is wrong with a property's name, with its place in the request, as `Refusal` takes it. */
export function faultsOfName(name: string, place: readonly (string | number)[]): Fault[] {
  const message = faultOfName(name);
  return message === null ? [] : [{ path: pointer(place), message }];
}

/** The refusal of names; the first fault becomes its sentence. */
export const invalidNames = (errors: Fault[]): Refusal =>
  new Refusal('invalid_property_name', `${errors[0]?.message}.`, { errors });

/** Refuses a body whose `properties` have names that no property can have. @throws Refusal `invalid_property_name` */
export function refuseBadNames(properties: JsonObject): void {
  const errors = Object.keys(properties).flatMap((name) => faultsOfName(name, ['properties', name]));
  if (errors.length > 0) throw invalidNames(errors);
}
