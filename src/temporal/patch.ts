import { isObject, type Json, type JsonObject, jsonEqual } from './json.js';

/**
 * JSON Merge Patch, RFC 7396 section 2, at full depth: `null` removes, objects merge, anything else replaces. Neither argument
 * is changed.
 *
 * The result is built from entries, because an assignment to a name such as `__proto__` makes no member. The npm package
 * json-merge-patch drops every member after such a name.
 */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  return mergeObject(isObject(target) ? target : {}, patch);
}

/** Merges a patch into an object, as `mergePatch` does; properties are always objects. */
export function mergeObject(target: JsonObject, patch: JsonObject): JsonObject {
  const merged = new Map(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

/** What leads from one state of the properties to another: the values to set and the names to clear. */
export type Difference = { set: JsonObject; clear: string[] };

/** The properties that differ between two states, with their whole values: properties have a history, their members have none. */
export function difference(from: JsonObject, to: JsonObject): Difference {
  const before = new Map(Object.entries(from));
  const set = Object.entries(to).filter(([name, value]) => !jsonEqual(before.get(name), value));
  const clear = Object.keys(from).filter((name) => !Object.hasOwn(to, name));
  return { set: Object.fromEntries(set), clear };
}

/** A state after a difference. Built from entries, as `mergeObject`. */
export function replaced(
  properties: JsonObject,
  { set, clear }: { set: JsonObject; clear: readonly string[] },
): JsonObject {
  const values = new Map(Object.entries(properties));
  for (const name of clear) values.delete(name);
  for (const [name, value] of Object.entries(set)) values.set(name, value);
  return Object.fromEntries(values);
}

/** What becomes of one property; undefined on the side on which it is not set. */
export type PropertyChange = { property: string; from: Json | undefined; to: Json | undefined };

/**
 * What a difference does to each property of a state. The order is that of the history, which is that of names in jsonb: by
 * their length in bytes, then by their bytes.
 */
export function changesOf({ set, clear }: Difference, before: JsonObject): PropertyChange[] {
  const was = new Map(Object.entries(before));
  const becomes = new Map(Object.entries(set));
  return [...becomes.keys(), ...clear]
    .map((property) => ({ property, bytes: new TextEncoder().encode(property) }))
    .sort((a, b) => a.bytes.length - b.bytes.length || compareBytes(a.bytes, b.bytes))
    .map(({ property }) => ({ property, from: was.get(property), to: becomes.get(property) }));
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at === -1 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}
