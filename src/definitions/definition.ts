import { isObject, type Json, type JsonObject } from '../temporal/json.js';
import { MAX_PROPERTIES } from '../temporal/limits.js';
import { faultOfName } from '../temporal/property-name.js';
import { compile, invalidDefinition } from './checker.js';
import { Faults } from './schema.js';
import { KINDS } from './vocabulary.js';

/** What a type of entities is defined by. */
export type Definition = {
  /** Any JSON Schema 2020-12 of the properties of its entities. */
  schema: boolean | JsonObject;
  /** The properties that keep no ranges. */
  untracked: readonly string[];
  /** What an activity has to say when it changes such an entity. */
  activity: readonly ('actor' | 'reason')[];
  description: string | null;
};

const ACTIVITY = ['actor', 'reason'] as const;
const FIELDS = ['schema', 'untracked', 'references', 'activity', 'description'];

/** How long the description of a type may be, in UTF-16 code units. */
const MAX_DESCRIPTION_LENGTH = 4_096;

/**
 * Reads a definition from the properties of the entity that holds it, and compiles its schema.
 * @param check looks for faults in the schema: another one for who does not want it compiled
 * @throws Refusal `invalid_definition`. Up to 20 errors; each path is an RFC 6901 pointer into the definition, as
 * `/schema/properties/age/pattern`
 */
export function definitionOf(
  properties: JsonObject,
  check: (schema: Json, faults: Faults) => unknown = compile,
): Definition {
  const faults = new Faults();
  const given = new Map(Object.entries(properties));
  const unknown = [...given.keys()].filter((name) => !FIELDS.includes(name));
  const isBare = !given.has('schema') && unknown.some((name) => KINDS.has(name));
  if (isBare) faults.add(['schema'], 'is required: a JSON Schema stands under it, {"schema": {…}}');
  for (const name of unknown) faults.add([name], 'is not known here');
  if (given.has('references')) faults.add(['references'], 'is not supported: references are not supported yet');
  const untracked = namesOf(given.get('untracked'), faults);
  const activity = activityOf(given.get('activity'), faults);
  const description = given.get('description') ?? null;
  if (given.has('description') && (typeof description !== 'string' || description.length > MAX_DESCRIPTION_LENGTH)) {
    faults.add(['description'], `must be a string of at most ${MAX_DESCRIPTION_LENGTH} characters`);
  }
  const schema = given.get('schema');
  if (schema === undefined) {
    if (!isBare) faults.add(['schema'], 'is required');
  } else if (typeof schema !== 'boolean' && !isObject(schema))
    faults.add(['schema'], 'must be a schema: an object, true or false');
  else check(schema, faults);
  if (faults.list.length > 0 || schema === undefined || (typeof schema !== 'boolean' && !isObject(schema)))
    throw invalidDefinition(faults);
  return { schema, untracked, activity, description: typeof description === 'string' ? description : null };
}

function namesOf(given: Json | undefined, faults: Faults): string[] {
  if (given === undefined) return [];
  if (!Array.isArray(given) || given.length > MAX_PROPERTIES) {
    faults.add(['untracked'], `must be an array of at most ${MAX_PROPERTIES} names of properties`);
    return [];
  }
  const names = new Set<string>();
  for (const [index, name] of given.entries()) {
    const fault = typeof name === 'string' ? faultOfName(name) : null;
    if (typeof name !== 'string') faults.add(['untracked', index], 'must be a string: the name of a property');
    else if (fault !== null) faults.add(['untracked', index], `is no name of a property: ${fault}`);
    else if (names.has(name)) faults.add(['untracked', index], 'stands in this array twice');
    else names.add(name);
  }
  return [...names];
}

function activityOf(given: Json | undefined, faults: Faults): ('actor' | 'reason')[] {
  if (given === undefined) return [];
  const words = Array.isArray(given) ? given : [];
  const known = ACTIVITY.filter((word) => words.includes(word));
  if (!Array.isArray(given) || known.length !== given.length) {
    faults.add(['activity'], `must be an array of some of ${ACTIVITY.join(', ')}, each once`);
  }
  return known;
}
