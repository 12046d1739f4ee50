import { isObject, type Json, type JsonObject, jsonEqual, pointer } from './json.js';
import { MAX_SHIFTED } from './json-patch.js';

/*
 * What differs inside values, as a JSON Patch (RFC 6902).
 *
 * Why no library makes it. Tried with names that are data here, and with long arrays:
 * - rfc6902 5.4.0 takes any name, but compares every element of an array with every other, and keeps what it finds: two arrays of 1,000
 *   small objects took more than 4 GB of memory (src/guide/figures.md),
 * - fast-json-patch 3.1.1 compares arrays index by index, so an element that comes first replaces all that follow,
 * - jsondiffpatch 0.7.7 does not see members that are added or removed under the names `__proto__`, `constructor` or `toString`.
 * None bounds its work, nor what a patch has to shift when it is applied.
 */

/** An operation that changes one state into the other. Its path begins with `/properties/`, as `operationsOf` takes it. */
type PatchOperation = { op: 'add' | 'replace'; path: string; value: Json } | { op: 'remove'; path: string };

/**
 * What may still go into the patches of one answer. `left`: what they compare, in elements and, at CHARACTER each, characters. `short`: how long
 * those together may be, in UTF-16 code units, that are kept unmeasured, because they are SHORT.
 */
type Work = { left: number; short: number };

/** A second of work at most: an answer holds ANSWER_BYTES, but arrays can be compared in many more ways than they have elements. */
const MAX_WORK = 2 ** 27;
const CHARACTER = 4;

/** How many elements may have come and gone between two arrays. What is remembered of the way there takes its square. */
const MAX_EDITS = 1_000;

/** A patch inside a property may be so long, in UTF-16 code units, although the property itself would be shorter. */
const SHORT = 4_096;

/** How long all of these of one answer may be. A name that each operation repeats can make a patch a hundred times as long as what it changes. */
const MAX_SHORT = 2 ** 22;

/** The allowance of one answer. */
export const newWork = (): Work => ({ left: MAX_WORK, short: MAX_SHORT });

/**
 * The operations that make one state of an entity's properties into another, in order: members of objects one by one, elements of arrays
 * by what they have in common, so that none is replaced that only moved up. The same states have no operations.
 *
 * What would take too long to compare is replaced whole: an array between whose two states more than MAX_EDITS elements came and went,
 * or for which no work is left; and a property in which the operations would be longer than it is. `applyJsonPatch` takes every
 * patch. It recurses, so neither state may be deeper than MAX_DEPTH.
 * @param work what is left of it, if other patches go into the same answer
 */
export function patchBetween(from: JsonObject, to: JsonObject, work = newWork()): PatchOperation[] {
  const patch: PatchOperation[] = [];
  let shifted = 0;

  const replace = (path: string, value: Json) => patch.push({ op: 'replace', path, value });

  const value = (path: string, was: Json, becomes: Json): void => {
    if (Array.isArray(was) && Array.isArray(becomes)) items(path, was, becomes);
    else if (isObject(was) && isObject(becomes)) {
      const names = Object.keys(was);
      const isOther = names.length > 0 && !names.some((name) => Object.hasOwn(becomes, name));
      if (isOther) replace(path, becomes);
      else members(path, was, becomes, value);
    } else if (was !== becomes) replace(path, becomes);
  };

  const items = (path: string, was: Json[], becomes: Json[]): void => {
    const hunks = work.left > 0 ? hunksBetween(was, becomes, work) : null;
    const shifts = hunks?.reduce((sum, hunk) => sum + shiftsOf(hunk, was.length), 0) ?? 0;
    if (!hunks || shifted + shifts > MAX_SHIFTED) {
      if (!jsonEqual(was, becomes)) replace(path, becomes);
      return;
    }
    shifted += shifts;
    // Everything before a hunk is as it will be, so its place is that of the new array.
    for (const { at, removed, to, added } of hunks) {
      const both = Math.min(removed, added);
      for (let n = 0; n < both; n++) value(`${path}/${to + n}`, was[at + n] ?? null, becomes[to + n] ?? null);
      for (let n = removed - 1; n >= both; n--) patch.push({ op: 'remove', path: `${path}/${to + n}` });
      for (let n = both; n < added; n++)
        patch.push({ op: 'add', path: `${path}/${to + n}`, value: becomes[to + n] ?? null });
    }
  };

  const members = (path: string, was: JsonObject, becomes: JsonObject, inside: typeof value): void => {
    for (const [name, one] of Object.entries(was)) {
      const other = Object.hasOwn(becomes, name) ? becomes[name] : undefined;
      const place = path + pointer([name]);
      if (other === undefined) patch.push({ op: 'remove', path: place });
      else inside(place, one, other);
    }
    for (const [name, one] of Object.entries(becomes))
      if (!Object.hasOwn(was, name)) patch.push({ op: 'add', path: path + pointer([name]), value: one });
  };

  members('/properties', from, to, (path, was, becomes) => {
    const before = patch.length;
    value(path, was, becomes);
    const length = patch.slice(before).reduce((sum, operation) => sum + JSON.stringify(operation).length, 0);
    if (length <= SHORT && length <= work.short) {
      work.short -= length;
      return;
    }
    if (length <= JSON.stringify(becomes).length) return;
    patch.length = before;
    replace(path, becomes);
  });
  return patch;
}

/** A place where two arrays differ: `removed` elements at `at` of the one, where the other has `added` elements at `to`. */
type Hunk = { at: number; removed: number; to: number; added: number };

/** How many elements of an array `applyJsonPatch` shifts for the elements of a hunk that have no other in their place. */
const shiftsOf = ({ at, removed, added }: Hunk, length: number): number =>
  Math.abs(removed - added) * (length - at - removed + (removed > added ? 1 : 0));

/** Where two arrays differ, in order; null where that would take too much work. */
function hunksBetween(from: readonly Json[], to: readonly Json[], work: Work): Hunk[] | null {
  let start = 0;
  while (start < from.length && start < to.length && isSame(from[start], to[start], work)) start++;
  let end = 0;
  const most = Math.min(from.length, to.length) - start;
  while (end < most && isSame(from[from.length - 1 - end], to[to.length - 1 - end], work)) end++;

  const [removed, added] = [from.length - start - end, to.length - start - end];
  if (removed === 0 && added === 0) return [];
  const whole = { at: start, removed, to: start, added };
  // No element can be in both, or one takes the place of the other.
  if (removed === 0 || added === 0 || (removed === 1 && added === 1)) return [whole];

  const names = new Map<Json, number>();
  const texts = new Map<string, number>();
  /** Numbers for elements: the same one for equal elements. */
  const numbered = (elements: readonly Json[]): Int32Array | null => {
    const numbers = new Int32Array(elements.length);
    for (const [n, element] of elements.entries()) {
      if (work.left < 0) return null;
      numbers[n] =
        typeof element === 'object' && element !== null
          ? numberIn(texts, textOf(element, work))
          : numberIn(names, element);
    }
    return numbers;
  };
  const numberIn = <Key>(known: Map<Key, number>, key: Key): number => {
    const number = known.get(key) ?? names.size + texts.size;
    known.set(key, number);
    return number;
  };
  const was = numbered(from.slice(start, from.length - end));
  const becomes = was && numbered(to.slice(start, to.length - end));
  const edits = was && becomes && editsBetween(was, becomes, work);
  return edits && hunksOf(edits, start);
}

/** The hunks of edits, of arrays that have `start` elements in common before. */
function hunksOf({ removed, added }: Edits, start: number): Hunk[] {
  const hunks: Hunk[] = [];
  for (let [at, to] = [0, 0]; at < removed.length || to < added.length; ) {
    const hunk = { at: start + at, removed: 0, to: start + to, added: 0 };
    for (; removed[at] === 1; at++) hunk.removed++;
    for (; added[to] === 1; to++) hunk.added++;
    if (hunk.removed > 0 || hunk.added > 0) hunks.push(hunk);
    at++;
    to++;
  }
  return hunks;
}

/** Of each element of the one array whether it is removed, and of each of the other whether it is added: 1, or else 0. */
type Edits = { removed: Uint8Array; added: Uint8Array };

/**
 * The fewest edits between two arrays of numbers: the greedy algorithm of E. W. Myers, "An O(ND) Difference Algorithm and Its Variations"
 * (Algorithmica 1, 1986). Null where they are too many, or take too much work.
 */
function editsBetween(from: Int32Array, to: Int32Array, work: Work): Edits | null {
  const most = Math.min(from.length + to.length, MAX_EDITS);
  // How far each diagonal k = x - y is reached by d edits, at most + 1 + k; and what it was after each d.
  const middle = most + 1;
  const reached = new Int32Array(2 * most + 3);
  const trace: Int32Array[] = [];
  /** Whether the furthest way to a diagonal by d edits ends in an added element. */
  const isDown = (at: Int32Array, zero: number, k: number, d: number) =>
    k === -d || (k !== d && (at[zero + k - 1] ?? 0) < (at[zero + k + 1] ?? 0));

  for (let d = 0; d <= most; d++) {
    for (let k = -d; k <= d; k += 2) {
      let x = isDown(reached, middle, k, d) ? (reached[middle + k + 1] ?? 0) : (reached[middle + k - 1] ?? 0) + 1;
      const begun = x;
      while (x < from.length && x - k < to.length && from[x] === to[x - k]) x++;
      reached[middle + k] = x;
      work.left -= 1 + x - begun;
      if (x >= from.length && x - k >= to.length) return walkedBack(d);
    }
    if (work.left < 0) return null;
    trace.push(reached.slice(middle - d, middle + d + 1));
  }
  return null;

  function walkedBack(edits: number): Edits {
    const removed = new Uint8Array(from.length);
    const added = new Uint8Array(to.length);
    let [x, y] = [from.length, to.length];
    for (let d = edits; d > 0; d--) {
      const before = trace[d - 1] ?? reached;
      const down = isDown(before, d - 1, x - y, d);
      const k = x - y + (down ? 1 : -1);
      x = before[d - 1 + k] ?? 0;
      y = x - k;
      if (down) added[y] = 1;
      else removed[x] = 1;
    }
    return { removed, added };
  }
}

/** `jsonEqual`, of what there is work for. */
function isSame(a: Json | undefined, b: Json | undefined, work: Work): boolean {
  work.left--;
  if (a === b) return true;
  if (work.left < 0) return false;
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((item, n) => isSame(item, b[n], work));
  if (!isObject(a) || !isObject(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => Object.hasOwn(b, name) && isSame(a[name], b[name], work));
}

/** A text that equal values have alone, whatever the order of their members. */
function textOf(value: Json | undefined, work: Work): string {
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item, work)).join()}]`;
  if (isObject(value)) {
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${textOf(value[name], work)}`).join()}}`;
  }
  const text = JSON.stringify(value ?? null);
  work.left -= CHARACTER * text.length;
  return text;
}
