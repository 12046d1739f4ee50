import { isObject, type Json, type JsonObject, jsonEqual, MAX_DEPTH, pointer } from './json.js';
import { MAX_ENTITY_BYTES } from './limits.js';
import { faultOfName } from './property-name.js';
import { type Fault, Refusal, type RefusalCode } from './refusal.js';

/*
 * JSON Patch, RFC 6902, on the properties of an entity.
 *
 * Why no library applies it. Tried with names that are data here, and with paths at the edges of the standard:
 * - rfc6902 5.4.0 changes the prototype on `add /__proto__`, cannot see inside `constructor`, drops members named
 *   `__proto__` from values, answers `replace /a/-` and `replace /a/01` with success and changes nothing, lets
 *   `remove /a/length` take the first item, and finds the target of a `move` before the removal instead of after it,
 * - immutable-json-patch 6.0.3 fails 13 cases of the standard's test file and changes the prototype,
 * - fast-json-patch 3.1.1 refuses `__proto__` or, told not to, changes the prototype. It clones the document for each `move`,
 *   so many of them in a large document take seconds (src/guide/figures.md),
 * - all three take `toString` for a member of every object, and move an array's first item past its end.
 * One could rename such members before and after. That cures the prototype only, and costs a walk through the whole entity. One
 * could resolve every path before the library sees it. Then nothing would be left to the library but a splice and an
 * assignment.
 */

/**
 * Where a value is, in the reference tokens (RFC 6901) after `/properties`. `within` leads to the object or array that holds the
 * value; `name` is its member or index there.
 */
type Location = { within: readonly string[]; name: string };

/** One operation whose form has been checked. Whether its `path` and `from` exist is checked when it is applied. */
type Operation =
  | { op: 'add' | 'replace' | 'test'; path: Location; value: Json }
  | { op: 'remove'; path: Location }
  | { op: 'move' | 'copy'; path: Location; from: Location };

/**
 * How much JSON text the `copy` operations of one patch, or of all patches of a batch, may copy together, in UTF-16 code units: as much as an
 * entity may hold. Without a bound, 40 operations that each double a value would make 2^40 of it.
 */
export const MAX_COPIED = MAX_ENTITY_BYTES;

/**
 * How many items of arrays all operations of one patch, or of all patches of a batch, may shift. An insertion shifts the items behind it; without a bound, a body of
 * 1 MiB would take seconds on the largest array that an entity can hold. In arrays of up to 2,000 items no body reaches the bound
 * (MAX_BODY_BYTES).
 */
export const MAX_SHIFTED = 2 ** 30;

/** The work that patches have taken which are bounded together. */
export type PatchWork = { copied: number; shifted: number };

/** How many levels of a body are around the value of a property: the body itself, and its `properties`. */
const LEVELS_AROUND = 2;

/** What can be wrong with a body. When there are faults of several kinds, the caller is told of the first kind here. */
const FAULT_CODES = ['invalid_body', 'invalid_property_name'] as const;
type FaultCode = (typeof FAULT_CODES)[number];
type Faults = Record<FaultCode, Fault[]>;

/**
 * Reads the body of a JSON Patch. Members that an operation does not know are ignored (RFC 6902 section 4).
 * @throws Refusal `invalid_body`, `invalid_property_name`
 */
export function operationsOf(body: Json): Operation[] {
  const faults: Faults = { invalid_body: [], invalid_property_name: [] };
  const operations: Operation[] = [];
  if (Array.isArray(body)) {
    for (const [index, item] of body.entries()) {
      const operation = operationOf(item, index, faults);
      if (operation) operations.push(operation);
    }
  } else {
    faults.invalid_body.push({ path: '', message: 'must be an array of operations' });
  }
  for (const code of FAULT_CODES) {
    if (faults[code].length > 0) throw refusal(code, faults[code]);
  }
  return operations;
}

function operationOf(item: Json, index: number, faults: Faults): Operation | undefined {
  const refuse = (code: FaultCode, tokens: string[], message: string) => {
    faults[code].push({ path: pointer([index, ...tokens]), message });
  };
  if (!isObject(item)) {
    refuse('invalid_body', [], 'must be an object');
    return undefined;
  }
  const take = (member: string): Json | undefined => {
    const value = Object.hasOwn(item, member) ? item[member] : undefined;
    if (value === undefined) refuse('invalid_body', [member], 'is missing');
    return value;
  };
  const takeLocation = (member: 'path' | 'from'): Location | undefined => {
    const text = take(member);
    if (text === undefined) return undefined;
    const read = locationOf(text);
    if ('location' in read) return read.location;
    refuse('invalid_body', [member], read.fault);
    return undefined;
  };

  let operation: Operation | undefined;
  const path = takeLocation('path');
  const op = take('op');
  switch (op) {
    case 'add':
    case 'replace':
    case 'test': {
      const value = take('value');
      if (path && value !== undefined) operation = { op, path, value };
      break;
    }
    case 'remove':
      if (path) operation = { op, path };
      break;
    case 'move':
    case 'copy': {
      const from = takeLocation('from');
      if (path && from) operation = { op, path, from };
      break;
    }
    default:
      if (op !== undefined) refuse('invalid_body', ['op'], 'must be add, remove, replace, move, copy or test');
      return undefined;
  }
  if (path?.within.length === 0 && op !== 'remove' && op !== 'test') {
    const message = faultOfName(path.name);
    if (message !== null) refuse('invalid_property_name', ['path'], message);
  }
  return operation;
}

/** Reads an RFC 6901 JSON Pointer to a property, or to a place inside its value. */
function locationOf(text: Json): { location: Location } | { fault: string } {
  if (typeof text !== 'string') return { fault: 'must be a string: a JSON Pointer' };
  if (/~(?![01])/.test(text)) return { fault: 'is no JSON Pointer: a ~ is written ~0, and a / in a name ~1' };
  if (!text.startsWith('/properties/')) return { fault: 'must begin with /properties/' };
  const tokens = text.split('/').map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
  return { location: { within: tokens.slice(2, -1), name: tokens.at(-1) ?? '' } };
}

/** A copy of an array or object, which operations may change in place. Only what an operation goes into is copied. */
type Holder = Draft[] | Map<string, Draft>;
/** A value while a patch is applied: JSON, of which some parts may be copies. */
type Draft = Json | Holder;

/**
 * The properties after all operations, applied in their order. If one cannot be applied, none is. Neither the properties nor
 * the operations are changed, but the result shares with them what no operation went into.
 *
 * Only own members count, so `__proto__` and `constructor` are data and `toString` does not exist. The depth of a value is
 * checked where the value comes in; of what was moved, at the end. A value that is too deep only in between does no harm.
 * @param work what patches before this one have taken of the bounds, to which it adds its own
 * @throws Refusal `patch_test_failed`, `patch_not_applicable`, `nested_too_deep`, `patch_too_much_work`
 */
export function applyJsonPatch(
  properties: JsonObject,
  operations: readonly Operation[],
  work: PatchWork = { copied: 0, shifted: 0 },
): JsonObject {
  // Objects are maps until the end: a map takes any name, and every change of it takes the same time. V8 keeps an object of many
  // numeric names (4000000) in one of two forms, and may convert all of it on a single addition or deletion.
  const result = new Map<string, Draft>(Object.entries(properties));
  // Arrays that are copies already, and may be changed in place: a copy for each added item would take too long.
  const opened = new Set<Draft>();
  const movedTo = new Map<string, number>();

  const isOpen = (draft: Draft): draft is Holder => draft instanceof Map || opened.has(draft);
  /** A draft as JSON. It recurses, so the caller must know that the draft is not too deep. */
  const settle = (draft: Draft): Json => {
    if (!isOpen(draft)) return draft;
    return Array.isArray(draft) ? draft.map(settle) : settleMembers(draft);
  };
  const settleMembers = (members: Map<string, Draft>): JsonObject =>
    Object.fromEntries(Array.from(members, ([name, member]) => [name, settle(member)]));

  for (const [index, operation] of operations.entries()) {
    const refuse = (code: RefusalCode, message: string, member: 'path' | 'from' = 'path') =>
      refusal(code, [{ path: pointer([index, member]), message }]);

    /** The object or array that holds a location. It and everything around it become copies that may be changed. */
    const holderOf = ({ within }: Location, member?: 'from'): Holder => {
      let holder: Holder = result;
      for (const token of within) {
        const next = memberOf(holder, token);
        if (next instanceof Map) {
          holder = next;
        } else if (Array.isArray(next)) {
          const items: Draft[] = opened.has(next) ? next : next.slice();
          opened.add(items);
          place(holder, token, items);
          holder = items;
        } else if (isObject(next)) {
          const members = new Map<string, Draft>(Object.entries(next));
          place(holder, token, members);
          holder = members;
        } else {
          throw refuse('patch_not_applicable', 'is in no object or array that is there', member);
        }
      }
      return holder;
    };
    const shift = (items: number) => {
      work.shifted += items;
      if (work.shifted > MAX_SHIFTED)
        throw refuse('patch_too_much_work', 'shifts more items of large arrays than a patch may');
    };
    const add = (location: Location, value: Draft) => {
      const holder = holderOf(location);
      if (!Array.isArray(holder)) {
        holder.set(location.name, value);
        return;
      }
      const at = location.name === '-' ? holder.length : indexOf(location.name);
      if (at === undefined || at > holder.length) {
        throw refuse('patch_not_applicable', 'is neither an index of the array nor its end');
      }
      shift(holder.length - at);
      holder.splice(at, 0, value);
    };
    const remove = (location: Location, member?: 'from'): Draft => {
      const holder = holderOf(location, member);
      const value = memberOf(holder, location.name);
      if (value === undefined) throw refuse('patch_not_applicable', 'is not there', member);
      if (Array.isArray(holder)) {
        shift(holder.length - Number(location.name));
        holder.splice(Number(location.name), 1);
      } else {
        holder.delete(location.name);
      }
      return value;
    };
    const checkDepth = (value: Draft) => {
      if (isDeeper(value, MAX_DEPTH - LEVELS_AROUND - operation.path.within.length)) throw refuse(...TOO_DEEP);
    };

    switch (operation.op) {
      case 'test': {
        // Cheap however large the entity is: an equal value is no larger than the body, and an unequal one ends the patch.
        const value = valueAt(result, operation.path);
        if (value === undefined || isDeeper(value, MAX_DEPTH) || !jsonEqual(settle(value), operation.value)) {
          throw refuse('patch_test_failed', 'does not have this value');
        }
        break;
      }
      case 'add':
        checkDepth(operation.value);
        add(operation.path, operation.value);
        break;
      case 'remove':
        remove(operation.path);
        break;
      case 'replace': {
        checkDepth(operation.value);
        const holder = holderOf(operation.path);
        if (memberOf(holder, operation.path.name) === undefined) throw refuse('patch_not_applicable', 'is not there');
        place(holder, operation.path.name, operation.value);
        break;
      }
      case 'move':
        if (isInside(operation.path, operation.from)) {
          throw refuse('patch_not_applicable', 'is inside the value to be moved');
        }
        add(operation.path, remove(operation.from, 'from'));
        movedTo.set(operation.path.within[0] ?? operation.path.name, index);
        break;
      case 'copy': {
        const value = valueAt(result, operation.from);
        if (value === undefined) throw refuse('patch_not_applicable', 'is not there', 'from');
        checkDepth(value);
        const copy = settle(value);
        work.copied += JSON.stringify(copy).length;
        if (work.copied > MAX_COPIED) throw refuse('patch_too_much_work', 'copies more than an entity may hold');
        add(operation.path, copy);
        break;
      }
    }
  }

  for (const [name, index] of movedTo) {
    const value = result.get(name);
    if (value !== undefined && isDeeper(value, MAX_DEPTH - LEVELS_AROUND)) {
      const [code, message] = TOO_DEEP;
      throw refusal(code, [{ path: pointer([index, 'path']), message }]);
    }
  }
  return settleMembers(result);
}

const TOO_DEEP = ['nested_too_deep', `more than ${MAX_DEPTH} levels of nesting`] as const;

/** A refusal with all its places; the first of them becomes its sentence. */
function refusal(code: RefusalCode, errors: Fault[]): Refusal {
  const [first] = errors;
  const place = first && first.path !== '' ? `${first.path}: ` : '';
  return new Refusal(code, `${place}${first?.message}.`, { errors });
}

/** The value at a location, if there is one. */
function valueAt(root: Draft, { within, name }: Location): Draft | undefined {
  let holder: Draft | undefined = root;
  for (const token of within) holder = memberOf(holder, token);
  return memberOf(holder, name);
}

/** The member or item of this name, if there is one. */
function memberOf(holder: Draft | undefined, name: string): Draft | undefined {
  if (holder instanceof Map) return holder.get(name);
  if (Array.isArray(holder)) {
    const at = indexOf(name);
    return at === undefined ? undefined : holder[at];
  }
  return isObject(holder) && Object.hasOwn(holder, name) ? holder[name] : undefined;
}

/** Puts a value in the place of a member or item. */
function place(holder: Holder, name: string, value: Draft): void {
  if (Array.isArray(holder)) holder[Number(name)] = value;
  else holder.set(name, value);
}

/** An array's index as RFC 6901 section 4 writes it: digits without leading zeros. */
function indexOf(token: string): number | undefined {
  return /^(?:0|[1-9][0-9]*)$/.test(token) ? Number(token) : undefined;
}

/** Whether a location is inside the value at another one. */
function isInside({ within }: Location, other: Location): boolean {
  const tokens = [...other.within, other.name];
  return tokens.every((token, at) => token === within[at]);
}

/** Whether objects and arrays are nested deeper than this many levels. It looks no deeper, so any value is safe. */
function isDeeper(value: Draft, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels <= 0) return true;
  for (const inner of value instanceof Map ? value.values() : Object.values(value)) {
    if (isDeeper(inner, levels - 1)) return true;
  }
  return false;
}
