import { isObject, type Json, type JsonObject } from '../temporal/json.js';
import { type Lowered, SOURCE } from './lowering.js';
import type { Meter } from './work.js';

/*
 * The `default`s of a schema, recorded where a new state sets nothing. Where ajv would fill them in: for `properties` and `prefixItems`, at any
 * depth, through `allOf`, references and whatever holds of each property or item, but never in a branch, because which branch holds would
 * depend on it. Filling in is done here, because ajv assigns into what it checks.
 */

/** How much JSON text the defaults of one state may have together. Without a bound, each of a million items could get one of 256 KiB. */
const MAX_FILLED = 8 * 2 ** 20;

/** A copy of a value with the defaults; the value itself when there are none to fill in. */
export function filled(value: Json, schema: Lowered, meter: Meter): Json {
  const state = { left: MAX_FILLED };
  return fill(value, schema, meter, state);
}

function fill(value: Json, schema: Lowered, meter: Meter, state: { left: number }): Json {
  meter.spend(8 * schema.work);
  let result = value;
  for (const { schema: called } of schema.calls ?? []) result = fill(result, called, meter, state);
  for (const part of schema.allOf ?? []) result = fill(result, part, meter, state);
  for (const [index, part] of (schema.dependentSchemas ?? []).entries()) {
    const name = schema.dependentNames?.[index];
    if (name !== undefined && isObject(result) && Object.hasOwn(result, name))
      result = fill(result, part, meter, state);
  }
  if (Array.isArray(result)) result = fillItems(result, schema, meter, state);
  else if (isObject(result)) result = fillProperties(result, schema, meter, state);
  return result;
}

function fillItems(
  items: Json[],
  { prefixItems = [], items: others }: Lowered,
  meter: Meter,
  state: { left: number },
): Json[] {
  if (prefixItems.length === 0 && others === undefined) return items;
  const result = items.map((item, index) => {
    const schema = prefixItems[index] ?? others;
    return schema ? fill(item, schema, meter, state) : item;
  });
  for (const schema of prefixItems.slice(items.length)) {
    const given = defaultOf(schema, meter, state);
    // An item can only be filled in where the array ends.
    if (given === undefined) break;
    result.push(fill(given, schema, meter, state));
  }
  return result;
}

function fillProperties(properties: JsonObject, schema: Lowered, meter: Meter, state: { left: number }): JsonObject {
  const { names = [], properties: declared = [], patterns = [], patternProperties = [], additionalProperties } = schema;
  if (names.length + patterns.length === 0 && !additionalProperties) return properties;
  const result = new Map(Object.entries(properties));
  meter.spend(8 * result.size);
  for (const [index, name] of names.entries()) {
    const sub = declared[index];
    if (!sub) continue;
    const given = result.get(name) ?? (result.has(name) ? null : defaultOf(sub, meter, state));
    if (given !== undefined) result.set(name, fill(given, sub, meter, state));
  }
  for (const [name, value] of Object.entries(properties)) {
    let filled = result.get(name) ?? value;
    for (const [index, matches] of patterns.entries()) {
      const sub = patternProperties[index];
      if (sub && matches(name)) filled = fill(filled, sub, meter, state);
    }
    if (additionalProperties && schema.isAdditional?.(name)) filled = fill(filled, additionalProperties, meter, state);
    result.set(name, filled);
  }
  return Object.fromEntries(result);
}

/** The default of a subschema; undefined when it has none. */
function defaultOf({ [SOURCE]: { value } }: Lowered, meter: Meter, state: { left: number }): Json | undefined {
  if (typeof value === 'boolean' || !Object.hasOwn(value, 'default')) return undefined;
  const given = value.default;
  const size = JSON.stringify(given)?.length ?? 0;
  meter.spend(size >> 4);
  state.left -= size;
  if (state.left < 0) meter.spend(Number.POSITIVE_INFINITY);
  return given;
}
