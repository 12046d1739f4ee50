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
 * - fast-json-patch 3.1.1 refuses `__proto__` or, told not to, changes the prototype; 3,000 `move`s in a document of
 *   20,000 items took it 7 s, because it clones the document for each,
 * - all three take `toString` for a member of every object, and move an array's first item past its end.
 * Renaming such members before and after cures the first kind only, at a walk through the whole entity. With every path
 * resolved before the library sees it, nothing would be left to it but a splice and an assignment.
 */

/** Where a value is, by the reference tokens (RFC 6901) after `/properties`: those of what holds it, and its own. */
type Location = { within: readonly string[]; name: string };

/** One operation that has been read; the value of a `path` or `from` is still to be found. */
type Operation =
  | { op: 'add' | 'replace' | 'test'; path: Location; value: Json }
  | { op: 'remove'; path: Location }
  | { op: 'move' | 'copy'; path: Location; from: Location };

/**
 * How much JSON text the `copy` operations of one patch may copy together, in UTF-16 code units: as much as an entity may
 * hold. Without a bound, 40 operations that each double a value would make 2^40 of it.
 */
export const MAX_COPIED = MAX_ENTITY_BYTES;

/**
 * How many items of arrays all operations of one patch may shift. Without a bound, a body of 1 MiB took 10 s to insert into
 * an array of 2,800,000 items, which is what fits into an entity. No body of 1 MiB gets there in arrays of up to 30,000.
 */
export const MAX_SHIFTED = 2 ** 30;

/** The levels of a body that are around the value of a property: the body, and its `properties`. */
const LEVELS_AROUND = 2;

/** What can be wrong with a body, in the order in which it is told. */
const FAULT_CODES = ['unknown_field', 'invalid_body', 'invalid_property_name'] as const;
type FaultCode = (typeof FAULT_CODES)[number];
type Faults = Record<FaultCode, Fault[]>;

/**
 * Reads the body of a JSON Patch. Members that RFC 6902 would ignore are refused: they are mostly slips of the pen.
 * @throws Refusal `unknown_field`, `invalid_body`, `invalid_property_name`
 */
export function operationsOf(body: Json): Operation[] {
  const faults: Faults = { unknown_field: [], invalid_body: [], invalid_property_name: [] };
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
  const members = new Map(Object.entries(item));
  const take = (member: string): Json | undefined => {
    const value = members.get(member);
    members.delete(member);
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
      // Nobody knows what else such an operation takes.
      members.clear();
      if (op !== undefined) refuse('invalid_body', ['op'], 'must be add, remove, replace, move, copy or test');
      return undefined;
  }
  for (const unknown of members.keys()) refuse('unknown_field', [unknown], 'is not known here');
  if (path?.within.length === 0 && op !== 'remove' && op !== 'test') {
    const message = faultOfName(path.name);
    if (message !== null) refuse('invalid_property_name', ['path'], message);
  }
  return operation;
}

/** Reads an RFC 6901 JSON Pointer to a property or into one. */
function locationOf(text: Json): { location: Location } | { fault: string } {
  if (typeof text !== 'string') return { fault: 'must be a string: a JSON Pointer' };
  if (/~(?![01])/.test(text)) return { fault: 'is no JSON Pointer: a ~ is written ~0, and a / in a name ~1' };
  if (!text.startsWith('/properties/')) return { fault: 'must begin with /properties/' };
  const tokens = text.split('/').map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
  return { location: { within: tokens.slice(2, -1), name: tokens.at(-1) ?? '' } };
}

/** An array or object that operations go into. Only those are copied. */
type Holder = Draft[] | Map<string, Draft>;
type Draft = Json | Holder;

/**
 * The properties after all operations, in their order; one that cannot be done undoes the others. Neither the properties
 * nor the operations are changed, though the result shares with them what no operation went into.
 *
 * Names are only ever own members, so `__proto__` and `constructor` are data and `toString` is not there. Levels are
 * counted where values come in and, for what was moved, at the end: what is too deep only in between does no harm.
 * @throws Refusal `patch_test_failed`, `patch_not_applicable`, `nested_too_deep`, `entity_too_large`
 */
export function applyJsonPatch(properties: JsonObject, operations: readonly Operation[]): JsonObject {
  // Objects are maps until the end. Members of any name can be set, and each in the same time: adding and deleting names
  // such as 4000000 turns an object of 900,000 such names from one inner form into the other, 10 ms each time.
  const result = new Map<string, Draft>(Object.entries(properties));
  // Arrays that were copied to be changed in place: one copy for each item that is added would take too long.
  const opened = new Set<Draft>();
  const movedTo = new Map<string, number>();
  let copied = 0;
  let shifted = 0;

  const isOpen = (draft: Draft): draft is Holder => draft instanceof Map || opened.has(draft);
  /** What a draft is as JSON; to be asked only of what is not too deep. */
  const settle = (draft: Draft): Json => {
    if (!isOpen(draft)) return draft;
    return Array.isArray(draft) ? draft.map(settle) : settleMembers(draft);
  };
  const settleMembers = (members: Map<string, Draft>): JsonObject =>
    Object.fromEntries(Array.from(members, ([name, member]) => [name, settle(member)]));

  for (const [index, operation] of operations.entries()) {
    const refuse = (code: RefusalCode, message: string, member: 'path' | 'from' = 'path') =>
      refusal(code, [{ path: pointer([index, member]), message }]);

    /** The object or array that holds a location, opened together with all that it is in. */
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
      shifted += items;
      if (shifted > MAX_SHIFTED) throw refuse('entity_too_large', 'shifts more items of large arrays than a patch may');
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
        // Cheap however large the entity is: what is equal is no larger than the body, and what is not is the last.
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
        copied += JSON.stringify(copy).length;
        if (copied > MAX_COPIED) throw refuse('entity_too_large', 'copies more than an entity may hold');
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

function refusal(code: RefusalCode, errors: Fault[]): Refusal {
  const [first] = errors;
  const place = first && first.path !== '' ? `${first.path}: ` : '';
  return new Refusal(code, `${place}${first?.message}.`, { errors });
}

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

/** Puts a value where a member or item is. */
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

/** Whether more objects and arrays are inside one another than these; looks no deeper. */
function isDeeper(value: Draft, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels <= 0) return true;
  for (const inner of value instanceof Map ? value.values() : Object.values(value)) {
    if (isDeeper(inner, levels - 1)) return true;
  }
  return false;
}
