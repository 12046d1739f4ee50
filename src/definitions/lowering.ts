import { isObject, type Json, type JsonObject } from '../temporal/json.js';
import { formatOf } from './formats.js';
import { type Faults, MAX_SUBSCHEMAS, type ReadSchema, type Subschema } from './schema.js';
import { resolve } from './uri.js';
import { isAmong, isDistinct, isLong, isMultipleOf } from './values.js';
import type { Meter } from './work.js';

/*
 * Lowers a schema to one that ajv compiles right. Of the standard, ajv 8.20 gets wrong, or cannot be trusted with:
 * - names that every object has: it leaves `__proto__` out of `properties`, `patternProperties` and the dependent keywords, takes `constructor`
 *   for evaluated, and compares values by their own `constructor`, `valueOf` and `toString`,
 * - what is evaluated: `contains` evaluates everything, an `if` that fails evaluates too, one without `then` and `else` nothing, and inside of
 *   loops what one item evaluates stays evaluated for the next,
 * - `$dynamicRef`, which takes the outermost of all anchors, also of resources that were never entered,
 * - `multipleOf` of decimals,
 * - schemas of many properties or branches, for which it nests as many blocks of code.
 *
 * So references are resolved here, each to a function of its own (Cell), and what callers wrote (names, values, patterns) is handed over beside
 * the schema. The keywords that ajv gets are those of keywords.ts.
 */

/** A subschema that is a function of its own, which references call. */
export type Cell = { schema: Lowered };

/** Where a lowered schema has its subschema. A symbol, so that ajv does not look in there for schemas. */
export const SOURCE = Symbol('source');

/** What ajv compiles in place of a subschema. Each member is a keyword of keywords.ts, or what one needs. */
export type Lowered = {
  /** Where it comes from, for messages. */
  [SOURCE]: Subschema;
  /** What it costs to evaluate, beside what depends on the value. */
  work: number;
  never?: true;
  types?: string[];
  calls?: Cell[];
  allOf?: Lowered[];
  dependentSchemas?: Lowered[];
  dependentNames?: string[];
  anyOf?: Lowered[];
  oneOf?: Lowered[];
  not?: Lowered;
  if?: Lowered;
  then?: Lowered;
  else?: Lowered;
  prefixItems?: Lowered[];
  items?: Lowered;
  contains?: Lowered;
  minContains?: number;
  maxContains?: number;
  unevaluatedItems?: Lowered;
  properties?: Lowered[];
  names?: string[];
  patternProperties?: Lowered[];
  patterns?: ((name: string) => boolean)[];
  additionalProperties?: Lowered;
  isAdditional?: (name: string) => boolean;
  propertyNames?: Lowered;
  unevaluatedProperties?: Lowered;
  enum?: (value: Json) => boolean;
  const?: (value: Json) => boolean;
  multipleOf?: (value: number) => boolean;
  maximum?: number;
  exclusiveMaximum?: number;
  minimum?: number;
  exclusiveMinimum?: number;
  minLength?: (text: string) => boolean;
  maxLength?: (text: string) => boolean;
  pattern?: (text: string) => boolean;
  format?: (text: string) => boolean;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: (items: Json[]) => boolean;
  minProperties?: (properties: JsonObject) => boolean;
  maxProperties?: (properties: JsonObject) => boolean;
  required?: string[];
  dependentRequired?: [name: string, names: string[]][];
};

/** How deep subschemas are compiled in place; deeper ones are cells, so that no code is nested too deeply to be parsed. */
const MAX_INLINE_DEPTH = 6;

/** How many names of dynamic anchors a schema may ask for: each may make other schemas of all that is entered. */
const MAX_DYNAMIC_ANCHORS = 16;

/** What the dynamic anchors that a reference asks for mean: the first subschema of each name that was entered (Core section 8.2.3.2). */
type Scope = ReadonlyMap<string, Subschema>;

/** The lowered schema: its first cell, and whether it asks anywhere for what is evaluated. */
export function lower(schema: ReadSchema, meter: Meter, faults: Faults): { root: Cell; tracked: boolean } | null {
  const { all } = schema;
  const found = faults.list.length;
  const tracked = all.some(({ one }) => one.has('unevaluatedProperties') || one.has('unevaluatedItems'));
  const targets = new Map<Subschema, Map<string, Subschema>>();
  /** The anchors that some $dynamicRef looks for: those of others need no scope. */
  const sought = new Set<string>();

  for (const subschema of all) {
    for (const keyword of ['$ref', '$dynamicRef'] as const) {
      const reference = member(subschema, keyword);
      if (typeof reference !== 'string') continue;
      const target = referred(subschema, reference, schema);
      if (typeof target === 'string') {
        faults.add([...subschema.place, keyword], target);
        continue;
      }
      const known = targets.get(subschema) ?? new Map<string, Subschema>();
      targets.set(subschema, known.set(keyword, target.subschema));
      const { fragment } = target;
      if (
        keyword === '$dynamicRef' &&
        fragment !== null &&
        target.subschema.resource.dynamic.get(fragment) === target.subschema
      ) {
        known.set('dynamic', target.subschema);
        sought.add(fragment);
      }
    }
  }
  if (sought.size > MAX_DYNAMIC_ANCHORS) {
    faults.add(schema.root.place, `asks for more than ${MAX_DYNAMIC_ANCHORS} dynamic anchors`);
  }
  if (faults.list.length > found) return null;

  const enter = (scope: Scope, { resource }: Subschema): Scope => {
    const added = [...resource.dynamic].filter(([name]) => sought.has(name) && !scope.has(name));
    return added.length === 0 ? scope : new Map([...scope, ...added]);
  };

  const order = new Map(all.map((subschema, index) => [subschema, index]));
  const cells = new Map<string, Cell>();
  /** What each cell evaluates of the same value by a reference: the ways on which a recursion has no end. */
  const ways = new Map<Cell, { place: readonly (string | number)[]; to: Cell }[]>();
  const waiting: (() => void)[] = [];
  let count = 0;

  const cellOf = (subschema: Subschema, around: Scope): Cell => {
    const scope = enter(around, subschema);
    const key = [order.get(subschema), ...[...scope].sort().map(([, target]) => order.get(target))].join();
    const known = cells.get(key);
    if (known) return known;
    const cell: Cell = { schema: { [SOURCE]: subschema, work: 1 } };
    cells.set(key, cell);
    ways.set(cell, []);
    waiting.push(() => {
      cell.schema = lowered(subschema, { scope, cell, inPlace: true, depth: 0, looped: false });
    });
    return cell;
  };

  type Place = { scope: Scope; cell: Cell; inPlace: boolean; depth: number; looped: boolean };

  /** A subschema in place, or a call of it. */
  const part = (subschema: Subschema, place: Place): Lowered => {
    const scope = enter(place.scope, subschema);
    if (typeof subschema.value !== 'boolean' && ((place.looped && tracked) || place.depth >= MAX_INLINE_DEPTH)) {
      const cell = cellOf(subschema, scope);
      if (place.inPlace) ways.get(place.cell)?.push({ place: subschema.place, to: cell });
      return { [SOURCE]: subschema, work: 1, calls: [cell] };
    }
    return lowered(subschema, { ...place, scope });
  };

  const lowered = (subschema: Subschema, place: Place): Lowered => {
    count += 1;
    const { value, one, several, named } = subschema;
    const result: Lowered = { [SOURCE]: subschema, work: 1 };
    if (value === false) result.never = true;
    if (typeof value === 'boolean' || count > 2 * MAX_SUBSCHEMAS) return result;
    const same = (sub: Subschema) => part(sub, { ...place, depth: place.depth + 1, looped: false });
    const inside = (sub: Subschema) => part(sub, { ...place, depth: place.depth + 1, inPlace: false, looped: false });
    const each = (sub: Subschema) => part(sub, { ...place, depth: place.depth + 1, inPlace: false, looped: true });

    const references = targets.get(subschema);
    const calls: Cell[] = [];
    for (const keyword of ['$ref', '$dynamicRef'] as const) {
      const target = references?.get(keyword);
      if (!target) continue;
      const dynamic = keyword === '$dynamicRef' ? references?.get('dynamic') : undefined;
      const fragment = dynamic && [...dynamic.resource.dynamic].find(([, sub]) => sub === dynamic)?.[0];
      // The resource of the target is entered, and may be the outermost.
      const scope = enter(place.scope, target);
      const cell = cellOf((fragment === undefined ? undefined : scope.get(fragment)) ?? target, place.scope);
      calls.push(cell);
      if (place.inPlace) ways.get(place.cell)?.push({ place: [...subschema.place, keyword], to: cell });
    }
    if (calls.length > 0) result.calls = calls;

    for (const keyword of ['allOf', 'anyOf', 'oneOf'] as const) {
      const items = several.get(keyword);
      if (items) result[keyword] = items.map(same);
    }
    const not = one.get('not');
    if (not) result.not = same(not);
    const condition = one.get('if');
    if (condition) {
      result.if = same(condition);
      for (const keyword of ['then', 'else'] as const) {
        const branch = one.get(keyword);
        if (branch) result[keyword] = same(branch);
      }
    }
    const dependent = named.get('dependentSchemas');
    if (dependent) {
      result.dependentSchemas = dependent.map(([, sub]) => same(sub));
      result.dependentNames = dependent.map(([name]) => name);
    }
    const prefix = several.get('prefixItems');
    if (prefix) result.prefixItems = prefix.map(inside);
    for (const keyword of [
      'items',
      'contains',
      'unevaluatedItems',
      'additionalProperties',
      'propertyNames',
      'unevaluatedProperties',
    ] as const) {
      const item = one.get(keyword);
      if (item) result[keyword] = each(item);
    }
    const properties = named.get('properties') ?? [];
    if (properties.length > 0) {
      result.properties = properties.map(([, sub]) => inside(sub));
      result.names = properties.map(([name]) => name);
    }
    const patterned = named.get('patternProperties') ?? [];
    const patterns = patterned.map(([text]) => matching(subschema, text, meter));
    if (patterned.length > 0) {
      result.patternProperties = patterned.map(([, sub]) => each(sub));
      result.patterns = patterns;
    }
    if (result.additionalProperties) {
      const names = new Set(result.names);
      result.isAdditional = (name) => !names.has(name) && !patterns.some((matches) => matches(name));
    }
    scalars(result, value);
    return result;
  };

  const scalars = (result: Lowered, value: JsonObject) => {
    const { [SOURCE]: source } = result;
    const own = new Map(Object.entries(value));
    const read = <T>(
      keyword: string,
      is: (given: Json | undefined) => given is Json & T,
      take: (given: Json & T) => void,
    ) => {
      const given = own.get(keyword);
      if (is(given)) take(given);
    };
    const types = own.get('type');
    if (types !== undefined) result.types = (Array.isArray(types) ? types : [types]).filter(isText);
    read('enum', isArray, (values) => {
      result.enum = isAmong(values, meter);
    });
    const constant = own.get('const');
    if (constant !== undefined) result.const = isAmong([constant], meter);
    read('multipleOf', isNumber, (divisor) => {
      result.multipleOf = isMultipleOf(divisor);
    });
    for (const keyword of [
      'maximum',
      'exclusiveMaximum',
      'minimum',
      'exclusiveMinimum',
      'minItems',
      'maxItems',
    ] as const) {
      read(keyword, isNumber, (limit) => {
        result[keyword] = limit;
      });
    }
    read('minLength', isNumber, (limit) => {
      result.minLength = isLong(limit, Number.POSITIVE_INFINITY, meter);
    });
    read('maxLength', isNumber, (limit) => {
      result.maxLength = isLong(0, limit, meter);
    });
    read('pattern', isText, (text) => {
      result.pattern = matching(source, text, meter);
    });
    read('format', isText, (name) => {
      const check = formatOf(name);
      if (check) {
        result.format = (text) => {
          meter.spend(1 + (text.length >> 2));
          return check(text);
        };
      }
    });
    if (own.get('uniqueItems') === true) result.uniqueItems = isDistinct(meter);
    const sizeOf = (properties: JsonObject) => {
      const size = Object.keys(properties).length;
      meter.spend(size >> 2);
      return size;
    };
    read('minProperties', isNumber, (limit) => {
      result.minProperties = (properties) => sizeOf(properties) >= limit;
    });
    read('maxProperties', isNumber, (limit) => {
      result.maxProperties = (properties) => sizeOf(properties) <= limit;
    });
    read('minContains', isNumber, (limit) => {
      result.minContains = limit;
    });
    read('maxContains', isNumber, (limit) => {
      result.maxContains = limit;
    });
    read('required', isArray, (names) => {
      if (names.length > 0) result.required = names.filter(isText);
    });
    read('dependentRequired', isObject, (dependents) => {
      result.dependentRequired = Object.entries(dependents).map(([name, names]) => [
        name,
        isArray(names) ? names.filter(isText) : [],
      ]);
    });
    const looked = [
      result.names,
      result.required,
      result.dependentNames,
      ...(result.dependentRequired ?? []).map(([, names]) => names),
    ];
    result.work += looked.reduce((sum, names) => sum + (names?.length ?? 0), 0) >> 2;
  };

  const root = cellOf(schema.root, new Map());
  // Also what nothing refers to is looked through, so that no fault of it comes to light later.
  for (const { named } of all) {
    for (const keyword of ['$defs', 'definitions'])
      for (const [, sub] of named.get(keyword) ?? []) cellOf(sub, new Map());
  }
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    next();
    if (count > 2 * MAX_SUBSCHEMAS) {
      faults.add(
        schema.root.place,
        `has more than ${2 * MAX_SUBSCHEMAS} subschemas, if what its dynamic references may mean is counted`,
      );
      return null;
    }
  }
  for (const place of endless(ways)) faults.add(place, 'leads back to itself for the same value: an endless recursion');
  return faults.list.length > found ? null : { root, tracked };
}

/** The references from which ways lead back to themselves: one of each circle. */
function endless(
  ways: ReadonlyMap<Cell, { place: readonly (string | number)[]; to: Cell }[]>,
): (readonly (string | number)[])[] {
  const places: (readonly (string | number)[])[] = [];
  const state = new Map<Cell, 'open' | 'done'>();
  for (const start of ways.keys()) {
    if (state.has(start)) continue;
    // Without recursion: a chain of references may be as long as there are subschemas.
    const stack: { cell: Cell; next: number }[] = [{ cell: start, next: 0 }];
    state.set(start, 'open');
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const way = ways.get(top.cell)?.[top.next];
      top.next += 1;
      if (!way) {
        state.set(top.cell, 'done');
        stack.pop();
      } else if (state.get(way.to) === 'open') {
        places.push(way.place);
      } else if (!state.has(way.to)) {
        state.set(way.to, 'open');
        stack.push({ cell: way.to, next: 0 });
      }
    }
  }
  return places;
}

/** What a reference refers to, or why it refers to nothing. */
export function referred(
  from: Subschema,
  reference: string,
  schema: ReadSchema,
): { subschema: Subschema; fragment: string | null } | string {
  const target = resolve(from.resource.uri, reference);
  if (target === null) return 'is no URI reference: its fragment is not percent-encoded UTF-8';
  const { uri, fragment } = target;
  const resource = uri === from.resource.uri ? from.resource : schema.resources.get(uri);
  if (!resource?.root) return 'refers to what is not in this schema: remote references are not followed';
  if (fragment === null || fragment === '') return { subschema: resource.root, fragment: null };
  if (!fragment.startsWith('/')) {
    const subschema = resource.anchors.get(fragment);
    return subschema ? { subschema, fragment } : 'refers to an anchor that is not in this schema';
  }
  const tokens = fragment
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
  const subschema = schema.at([...resource.root.place, ...tokens]);
  return subschema ? { subschema, fragment: null } : 'refers to no schema in this schema';
}

/** A pattern's test, which is counted. */
function matching(subschema: Subschema, text: string, meter: Meter): (value: string) => boolean {
  const matcher = subschema.matchers.get(text);
  if (!matcher) throw new Error(`the pattern ${text} was not read`);
  const spend = (units: number) => meter.spend(units);
  return (value) => matcher.test(value, spend);
}

const member = ({ value }: Subschema, keyword: string): Json | undefined =>
  typeof value === 'object' && Object.hasOwn(value, keyword) ? value[keyword] : undefined;

const isText = (value: Json | undefined): value is string => typeof value === 'string';
const isNumber = (value: Json | undefined): value is number => typeof value === 'number';
const isArray = (value: Json | undefined): value is Json[] => Array.isArray(value);
