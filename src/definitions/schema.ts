import { isObject, type Json, type JsonObject, pointer } from '../temporal/json.js';
import type { Fault } from '../temporal/refusal.js';
import { formatFault } from './formats.js';
import { type Matcher, matcherOf, PatternFault } from './pattern.js';
import { resolve } from './uri.js';
import { DIALECT, KINDS, type Kind, meant, REFUSED, TYPES } from './vocabulary.js';

/*
 * Reads a schema: checks the form of every keyword, finds all subschemas, and knows each by the names it can be referred to. A subschema is
 * only where the standard says that one stands, so an `$id` in an `enum` is data.
 */

/** How long a schema may be as JSON text, how deep, and of how many subschemas. */
const MAX_SCHEMA_BYTES = 256 * 1024;
const MAX_SCHEMA_DEPTH = 64;
export const MAX_SUBSCHEMAS = 2_000;

/** How many steps the patterns of a schema may have together. */
const MAX_PATTERN_STEPS = 20_000;

/** How many faults of a definition are told. */
const MAX_FAULTS = 20;

/** A schema with an identifier of its own (JSON Schema Core section 4.3.5), and the anchors in it. */
type Resource = {
  uri: string;
  root: Subschema | null;
  anchors: Map<string, Subschema>;
  dynamic: Map<string, Subschema>;
};

/** A schema or a part of it that is one. */
export type Subschema = {
  /** Its place in the definition: reference tokens (RFC 6901). */
  place: readonly (string | number)[];
  /** The keyword that it belongs to; null for the whole schema. */
  under: string | null;
  value: boolean | JsonObject;
  resource: Resource;
  /** The subschemas of keywords that take one, an array, or one for each name. */
  one: Map<string, Subschema>;
  several: Map<string, Subschema[]>;
  named: Map<string, [name: string, subschema: Subschema][]>;
  /** The patterns of `pattern` and `patternProperties`, by their text. */
  matchers: Map<string, Matcher>;
};

/** A schema that was read. */
export type ReadSchema = {
  root: Subschema;
  resources: Map<string, Resource>;
  all: Subschema[];
  at: (place: readonly (string | number)[]) => Subschema | undefined;
};

/** What was found wrong; more than MAX_FAULTS are not collected. */
export class Faults {
  readonly list: Fault[] = [];

  add(place: readonly (string | number)[], message: string): void {
    if (!this.full) this.list.push({ path: pointer(place), message });
  }

  get full(): boolean {
    return this.list.length >= MAX_FAULTS;
  }
}

/** Reads a schema. Null when it has faults, which are then in the list. */
export function readSchema(schema: Json, place: readonly (string | number)[], faults: Faults): ReadSchema | null {
  if (isDeeper(schema, MAX_SCHEMA_DEPTH)) {
    faults.add(place, `has more than ${MAX_SCHEMA_DEPTH} levels of objects and arrays`);
    return null;
  }
  if (Buffer.byteLength(JSON.stringify(schema)) > MAX_SCHEMA_BYTES) {
    faults.add(place, `is longer than ${MAX_SCHEMA_BYTES / 1024} KiB`);
    return null;
  }
  const resources = new Map<string, Resource>();
  const byPlace = new Map<string, Subschema>();
  const all: Subschema[] = [];
  const matchers = new Map<string, Matcher>();
  let steps = 0;
  const found = faults.list.length;

  const read = (
    value: Json,
    at: readonly (string | number)[],
    around: Resource | null,
    under: string | null,
  ): Subschema | null => {
    if (typeof value !== 'boolean' && !isObject(value)) {
      faults.add(at, 'must be a schema: an object, true or false');
      return null;
    }
    if (all.length === MAX_SUBSCHEMAS) {
      if (!faults.list.some(({ message }) => message.startsWith('has more than')))
        faults.add(place, `has more than ${MAX_SUBSCHEMAS} subschemas`);
      return null;
    }
    const subschema: Subschema = {
      place: at,
      under,
      value,
      resource: around ?? { uri: '', root: null, anchors: new Map(), dynamic: new Map() },
      one: new Map(),
      several: new Map(),
      named: new Map(),
      matchers: new Map(),
    };
    all.push(subschema);
    if (around === null) {
      subschema.resource.root = subschema;
      resources.set('', subschema.resource);
    }
    byPlace.set(pointer(at), subschema);
    if (typeof value === 'boolean') return subschema;
    const id = Object.hasOwn(value, '$id') ? value.$id : undefined;
    if (typeof id === 'string') identify(subschema, id, around);
    for (const [keyword, given] of Object.entries(value)) {
      if (faults.full) return null;
      readKeyword(subschema, keyword, given);
    }
    return subschema;
  };

  const identify = (subschema: Subschema, id: string, around: Resource | null) => {
    const target = resolve(subschema.resource.uri, id);
    if (target === null || (target.fragment !== null && target.fragment !== '')) {
      faults.add([...subschema.place, '$id'], 'must be a URI reference without a fragment');
      return;
    }
    if (target.uri !== '' && resources.has(target.uri)) {
      faults.add([...subschema.place, '$id'], 'is the $id of another subschema, too');
      return;
    }
    if (around !== null)
      subschema.resource = { uri: target.uri, root: subschema, anchors: new Map(), dynamic: new Map() };
    else subschema.resource.uri = target.uri;
    resources.set(target.uri, subschema.resource);
  };

  const readKeyword = (subschema: Subschema, keyword: string, given: Json) => {
    const at = [...subschema.place, keyword];
    const why = REFUSED.get(keyword);
    if (why !== undefined) return faults.add(at, `is not supported: ${keyword} ${why}`);
    const kind = KINDS.get(keyword);
    if (kind === undefined) {
      const near = meant(keyword);
      if (near !== undefined)
        faults.add(at, `is no keyword: ${near} is one, and the names of annotations of your own begin with x-`);
      return;
    }
    switch (kind) {
      case 'schema': {
        const one = read(given, at, subschema.resource, keyword);
        if (one) subschema.one.set(keyword, one);
        return;
      }
      case 'schemas': {
        if (!Array.isArray(given) || given.length === 0) return faults.add(at, `must be ${FORMS[kind]}`);
        const several = given.map((item, index) => read(item, [...at, index], subschema.resource, keyword));
        subschema.several.set(
          keyword,
          several.filter((item) => item !== null),
        );
        return;
      }
      case 'named schemas':
      case 'patterned schemas': {
        if (!isObject(given)) return faults.add(at, `must be ${FORMS[kind]}`);
        const named: [string, Subschema][] = [];
        for (const [name, item] of Object.entries(given)) {
          if (faults.full) return;
          const one = read(item, [...at, name], subschema.resource, keyword);
          if (one) named.push([name, one]);
          if (kind === 'patterned schemas') readPattern(subschema, [...at, name], name);
        }
        subschema.named.set(keyword, named);
        return;
      }
      case 'pattern':
        if (typeof given !== 'string') return faults.add(at, `must be ${FORMS[kind]}`);
        return readPattern(subschema, at, given);
      case 'dialect':
        if (typeof given === 'string' && given.replace(/#$/, '') === DIALECT) return;
        return faults.add(at, `is not supported: schemas are of ${DIALECT}`);
      case 'anchor': {
        if (typeof given !== 'string' || !/^[A-Za-z_][-A-Za-z0-9._]*$/.test(given))
          return faults.add(at, `must be ${FORMS[kind]}`);
        const { anchors, dynamic } = subschema.resource;
        // The same name by $anchor and $dynamicAnchor names the same subschema twice.
        if (anchors.has(given) && anchors.get(given) !== subschema)
          return faults.add(at, 'names another subschema, too');
        anchors.set(given, subschema);
        if (keyword === '$dynamicAnchor') dynamic.set(given, subschema);
        return;
      }
      case 'format': {
        const fault = typeof given === 'string' ? formatFault(given) : `must be ${FORMS[kind]}`;
        if (fault !== null) faults.add(at, fault);
        return;
      }
      default:
        checkValue(kind, given, at);
    }
  };

  const checkValue = (kind: Kind, given: Json, at: readonly (string | number)[]) => {
    if (!holds(kind, given)) faults.add(at, `must be ${FORMS[kind]}`);
  };

  const readPattern = (subschema: Subschema, at: readonly (string | number)[], text: string) => {
    try {
      const matcher = matchers.get(text) ?? matcherOf(text);
      if (!matchers.has(text)) steps += matcher.size;
      if (steps > MAX_PATTERN_STEPS)
        faults.add(at, `makes the patterns too large: together they have more than ${MAX_PATTERN_STEPS} steps`);
      matchers.set(text, matcher);
      subschema.matchers.set(text, matcher);
    } catch (error) {
      if (!(error instanceof PatternFault)) throw error;
      faults.add(at, error.message);
    }
  };

  const root = read(schema, place, null, null);
  if (root === null || faults.list.length > found) return null;
  return { root, resources, all, at: (at) => byPlace.get(pointer(at)) };
}

const isDeeper = (value: Json, levels: number): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (levels === 0 || (Array.isArray(value) ? value : Object.values(value)).some((item) => isDeeper(item, levels - 1)));

/** The form of each kind, in words. */
const FORMS: Record<Kind, string> = {
  schema: 'a schema: an object, true or false',
  schemas: 'an array of at least one schema',
  'named schemas': 'an object of schemas',
  'patterned schemas': 'an object of schemas, each under a regular expression',
  types: `one of ${TYPES.join(', ')}, or an array of some of these, each once`,
  values: 'an array',
  value: 'any value',
  number: 'a number',
  'positive number': 'a number greater than 0',
  count: 'an integer of at least 0',
  flag: 'true or false',
  text: 'a string',
  names: 'an array of strings, each once',
  'named names': 'an object of arrays of strings, each once',
  pattern: 'a string: a regular expression',
  format: 'a string',
  id: 'a string: a URI reference',
  reference: 'a string: a URI reference',
  anchor: 'a name: a letter or _, then letters, digits, -, . and _',
  dialect: 'a string: a URI',
};

/** Whether a value has the form that a kind of keyword takes. */
function holds(kind: Kind, value: Json): boolean {
  switch (kind) {
    case 'types':
      return (
        (isNames(value) ? value : [value]).every((type) => typeof type === 'string' && TYPES.includes(type)) &&
        !(Array.isArray(value) && value.length === 0)
      );
    case 'values':
      return Array.isArray(value);
    case 'number':
      return typeof value === 'number';
    case 'positive number':
      return typeof value === 'number' && value > 0;
    case 'count':
      return typeof value === 'number' && Number.isInteger(value) && value >= 0;
    case 'flag':
      return typeof value === 'boolean';
    case 'text':
    case 'id':
    case 'reference':
      return typeof value === 'string';
    case 'names':
      return isNames(value);
    case 'named names':
      return isObject(value) && Object.values(value).every(isNames);
    default:
      return true;
  }
}

const isNames = (value: Json): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string') && new Set(value).size === value.length;
