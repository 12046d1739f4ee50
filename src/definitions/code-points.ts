import type { AST } from '@eslint-community/regexpp';

/* Sets of code points: what classes of regular expressions mean (ECMA-262 section 22.2.2), with the flag u and without i. */

/** Code points, from and to, in order and apart from each other. */
export type Ranges = readonly (readonly [from: number, to: number])[];

const MAX_CODE_POINT = 0x10ffff;

const LINE_TERMINATORS: Ranges = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const DIGITS: Ranges = [[0x30, 0x39]];
export const WORD: Ranges = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const SPACE: Ranges = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];

/** What \d, \w, \s, . and \p{…} stand for. */
export function rangesOfSet(set: AST.CharacterSet): Ranges {
  switch (set.kind) {
    case 'any':
      return complement(LINE_TERMINATORS);
    case 'digit':
      return set.negate ? complement(DIGITS) : DIGITS;
    case 'word':
      return set.negate ? complement(WORD) : WORD;
    case 'space':
      return set.negate ? complement(SPACE) : SPACE;
    case 'property': {
      const ranges = rangesOfProperty(set.value === null ? set.key : `${set.key}=${set.value}`);
      return set.negate ? complement(ranges) : ranges;
    }
  }
}

/** What […] stands for; undefined for what only the flag v knows. */
export function rangesOfClass({ elements, negate }: AST.CharacterClass): Ranges | undefined {
  const ranges: (readonly [number, number])[] = [];
  for (const element of elements) {
    if (element.type === 'Character') ranges.push([element.value, element.value]);
    else if (element.type === 'CharacterClassRange') ranges.push([element.min.value, element.max.value]);
    else if (element.type === 'CharacterSet') ranges.push(...rangesOfSet(element));
    else return undefined;
  }
  return negate ? complement(union(ranges)) : union(ranges);
}

/** What has been asked of Unicode. There are some hundred properties and scripts, so this stays small. */
const properties = new Map<string, Ranges>();
let everyCharacter: string | undefined;

/** The code points of a Unicode property, as this JavaScript knows them. The parser has checked its name. */
function rangesOfProperty(property: string): Ranges {
  const known = properties.get(property);
  if (known) return known;
  everyCharacter ??= textOfAll();
  const ranges: [number, number][] = [];
  for (const { 0: run } of everyCharacter.matchAll(new RegExp(`\\p{${property}}+`, 'gu'))) {
    const first = run.codePointAt(0) ?? 0;
    const last = [...run.slice(-2)].at(-1)?.codePointAt(0) ?? first;
    if (first < 0xd800 && last > 0xdfff) ranges.push([first, 0xd7ff], [0xe000, last]);
    else ranges.push([first, last]);
  }
  properties.set(property, ranges);
  return ranges;
}

/** All characters in order, without the surrogates: those stand alone in no text that is kept. */
function textOfAll(): string {
  const parts: string[] = [];
  for (let code = 0; code <= MAX_CODE_POINT; code += 1) {
    if (code < 0xd800 || code > 0xdfff) parts.push(String.fromCodePoint(code));
  }
  return parts.join('');
}

function union(ranges: Ranges): Ranges {
  const result: [number, number][] = [];
  for (const [from, to] of ranges.toSorted(([a], [b]) => a - b)) {
    const last = result.at(-1);
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else result.push([from, to]);
  }
  return result;
}

function complement(ranges: Ranges): Ranges {
  const result: [number, number][] = [];
  let next = 0;
  for (const [from, to] of ranges) {
    if (from > next) result.push([next, from - 1]);
    next = to + 1;
  }
  if (next <= MAX_CODE_POINT) result.push([next, MAX_CODE_POINT]);
  return result;
}
