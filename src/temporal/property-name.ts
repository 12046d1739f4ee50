import { characters, type JsonObject, pointer } from './json.js';
import { MAX_NAME_LENGTH } from './limits.js';
import { type Fault, Refusal } from './refusal.js';

/**
 * What is wrong with a property's name. It has 1 to 256 characters and is not `.` or `..`, which URL parsers take out of
 * a path.
 */
export function faultOfName(name: string): string | null {
  if (name === '') return 'A property needs a name';
  if (name === '.' || name === '..') return 'A property cannot be named . or ..';
  if (characters(name) > MAX_NAME_LENGTH) return `A property's name has at most ${MAX_NAME_LENGTH} characters`;
  if (name.includes('\0') || !name.isWellFormed())
    return "A property's name holds neither U+0000 nor half a surrogate pair";
  return null;
}

/** The same with the place of the name in the request. */
export function faultsOfName(name: string, place: readonly (string | number)[]): Fault[] {
  const message = faultOfName(name);
  return message === null ? [] : [{ path: pointer(place), message }];
}

export const invalidNames = (errors: Fault[]): Refusal =>
  new Refusal('invalid_property_name', `${errors[0]?.message}.`, { errors });

/** @throws Refusal `invalid_property_name` */
export function refuseBadNames(properties: JsonObject): void {
  const errors = Object.keys(properties).flatMap((name) => faultsOfName(name, ['properties', name]));
  if (errors.length > 0) throw invalidNames(errors);
}
