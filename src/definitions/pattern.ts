import { type AST, RegExpParser, RegExpSyntaxError } from '@eslint-community/regexpp';
import { RE2JS } from 're2js';

/*
 * Regular expressions of ECMA-262 with the flag u, as the standard asks for (JSON Schema Core section 6.4), in linear time. V8 takes 3.7
 * seconds for ^(a+)+$ on 28 characters; RE2 knows no backtracking. But it reads some of the syntax in another way: \s is ASCII, . leaves out
 * the line feed only, \p{Letter} is unknown. So a pattern is parsed as ECMA-262 says, and each part written anew in what means exactly that.
 *
 * RE2 has no look-around, and no engine in linear time has back-references. Look-aheads right behind ^ are nevertheless exact: each is a
 * pattern of its own, which has to match, or not, at the beginning. zod prints such, and people write such for passwords.
 */

/** What is wrong with a pattern, to be read after its path. */
export class PatternFault extends Error {}

/** A compiled pattern. */
export type Matcher = {
  /** Whether it matches anywhere in a text. */
  test: (text: string) => boolean;
  /** What a character costs, in units of work (work.ts). */
  cost: number;
};

/** How long a pattern may be, in UTF-16 code units, and how many instructions it may compile to. */
const MAX_LENGTH = 4_096;
const MAX_INSTRUCTIONS = 5_000;
/** RE2 repeats at most so often. */
const MAX_REPEATS = 1_000;
/** How many parts of an alternative may be look-aheads, and how many alternatives may have some. */
const MAX_CONDITIONS = 16;

const MAX_CODE_POINT = 0x10ffff;

/** Compiles a pattern. @throws PatternFault */
export function matcherOf(pattern: string): Matcher {
  if (pattern.length > MAX_LENGTH) throw new PatternFault(`is longer than ${MAX_LENGTH} characters`);
  const { alternatives } = parse(pattern);
  const plain = alternatives.filter((alternative) => !hasConditions(alternative));
  const others = alternatives.filter(hasConditions);
  if (others.length > MAX_CONDITIONS)
    throw new PatternFault(`has more than ${MAX_CONDITIONS} alternatives with look-aheads`);
  // A pattern matches where one of its alternatives does.
  const tests = others.map(conditional);
  if (plain.length > 0) tests.push(compiled(plain.map(sequence).join('|')));
  const [only] = tests;
  if (only && tests.length === 1) return only;
  return { test: (text) => tests.some(({ test }) => test(text)), cost: sum(tests) };
}

const sum = (matchers: readonly Matcher[]): number => matchers.reduce((total, { cost }) => total + cost, 0);

function parse(pattern: string): AST.Pattern {
  try {
    return new RegExpParser({ ecmaVersion: 2025 }).parsePattern(pattern, 0, pattern.length, { unicode: true });
  } catch (error) {
    if (!(error instanceof RegExpSyntaxError)) throw error;
    const why = error.message.replace(/^Invalid regular expression: .*: /s, '');
    throw new PatternFault(
      `is no regular expression of ECMA-262 with the flag u: ${why}, at character ${error.index + 1}`,
    );
  }
}

/** Compiles what is RE2 already. */
function compiled(text: string): Matcher {
  let re: RE2JS;
  try {
    re = RE2JS.compile(text);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new PatternFault('is too large: its repetitions multiply to more than can be matched in linear time');
  }
  const size = re.programSize();
  if (size > MAX_INSTRUCTIONS)
    throw new PatternFault(`is too large: it needs ${size} instructions, of which it may have ${MAX_INSTRUCTIONS}`);
  return { test: (value) => re.test(value), cost: Math.max(0.25, size / 16) };
}

const hasConditions = ({ elements: [first, second] }: AST.Alternative): boolean =>
  first?.type === 'Assertion' && first.kind === 'start' && second?.type === 'Assertion' && second.kind === 'lookahead';

/** An alternative that begins with ^ and look-aheads. */
function conditional({ elements }: AST.Alternative): Matcher {
  const conditions: { negate: boolean; matcher: Matcher }[] = [];
  let next = 1;
  for (
    let element = elements[next];
    element?.type === 'Assertion' && element.kind === 'lookahead';
    element = elements[next]
  ) {
    if (next > MAX_CONDITIONS) throw new PatternFault(`has more than ${MAX_CONDITIONS} look-aheads`);
    conditions.push({ negate: element.negate, matcher: compiled(`\\A(?:${disjunction(element.alternatives)})`) });
    next += 1;
  }
  const rest = compiled(`\\A${elements.slice(next).map(written).join('')}`);
  return {
    test: (text) => conditions.every(({ negate, matcher }) => matcher.test(text) !== negate) && rest.test(text),
    cost: rest.cost + sum(conditions.map(({ matcher }) => matcher)),
  };
}

const disjunction = (alternatives: readonly AST.Alternative[]): string => alternatives.map(sequence).join('|');

const sequence = ({ elements }: AST.Alternative): string => elements.map(written).join('');

function written(element: AST.Element): string {
  switch (element.type) {
    case 'Assertion':
      return assertion(element);
    case 'Quantifier':
      return `${written(element.element)}${quantifier(element)}`;
    case 'Group':
      if (element.modifiers) throw new PatternFault(`has modifiers, ${shown(element.raw)}, which are not supported`);
      return `(?:${disjunction(element.alternatives)})`;
    case 'CapturingGroup':
      return `(?:${disjunction(element.alternatives)})`;
    case 'Character':
      return character(element.value);
    case 'CharacterSet':
      return bracket(ofSet(element));
    case 'CharacterClass':
      return bracket(ofClass(element));
    case 'Backreference':
      throw new PatternFault(`has a back-reference, ${shown(element.raw)}, which nothing matches in linear time`);
    case 'ExpressionCharacterClass':
      throw new PatternFault(`has a class of the flag v, ${shown(element.raw)}, which is not supported`);
  }
}

function assertion(element: AST.Assertion): string {
  switch (element.kind) {
    case 'start':
      return '\\A';
    case 'end':
      return '\\z';
    case 'word':
      return element.negate ? '\\B' : '\\b';
    case 'lookahead':
      throw new PatternFault(
        `has a look-ahead, ${shown(element.raw)}, which is supported only right behind the ^ that an alternative of the pattern begins with`,
      );
    case 'lookbehind':
      throw new PatternFault(`has a look-behind, ${shown(element.raw)}, which is not supported`);
  }
}

/** Whether a quantifier is lazy does not matter: only whether there is a match does. */
function quantifier({ min, max, raw }: AST.Quantifier): string {
  if (min > MAX_REPEATS || (max > MAX_REPEATS && max !== Number.POSITIVE_INFINITY)) {
    throw new PatternFault(`has a repetition of more than ${MAX_REPEATS} times, ${shown(raw)}`);
  }
  if (max === Number.POSITIVE_INFINITY) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`;
  return `{${min},${max}}`;
}

const shown = (raw: string): string => (raw.length > 40 ? `${raw.slice(0, 40).toWellFormed()}…` : raw);

const character = (code: number): string => `\\x{${code.toString(16)}}`;

/** Code points, from and to, in order and without overlaps. */
type Ranges = readonly (readonly [from: number, to: number])[];

const bracket = (ranges: Ranges): string =>
  ranges.length === 0
    ? `[^\\x{0}-\\x{${MAX_CODE_POINT.toString(16)}}]`
    : `[${ranges.map(([from, to]) => `${character(from)}-${character(to)}`).join('')}]`;

function ofClass({ elements, negate }: AST.CharacterClass): Ranges {
  const ranges = elements.flatMap((element): Ranges => {
    switch (element.type) {
      case 'Character':
        return [[element.value, element.value]];
      case 'CharacterClassRange':
        return [[element.min.value, element.max.value]];
      case 'CharacterSet':
        return ofSet(element);
      default:
        throw new PatternFault(`has a class of the flag v, ${shown(element.raw)}, which is not supported`);
    }
  });
  return negate ? complement(union(ranges)) : union(ranges);
}

/** ECMA-262 section 22.2.2: what \d, \w, \s, . and \p{…} mean with the flag u and without i. */
function ofSet(set: AST.CharacterSet): Ranges {
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
      const ranges = ofProperty(set.value === null ? set.key : `${set.key}=${set.value}`);
      return set.negate ? complement(ranges) : ranges;
    }
  }
}

const LINE_TERMINATORS: Ranges = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const DIGITS: Ranges = [[0x30, 0x39]];
const WORD: Ranges = [
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

/** What has been asked of Unicode: there are some hundred properties and scripts. */
const properties = new Map<string, Ranges>();

/** The code points of a Unicode property, as this JavaScript knows them. The parser has checked its name. */
function ofProperty(property: string): Ranges {
  const known = properties.get(property);
  if (known) return known;
  const ranges: [number, number][] = [];
  let text = '';
  // Surrogates stand alone in no text that is kept, and two would be read as one character.
  for (let code = 0; code <= MAX_CODE_POINT; code += code === 0xd7ff ? 0x801 : 1) text += String.fromCodePoint(code);
  for (const { 0: run } of text.matchAll(new RegExp(`\\p{${property}}+`, 'gu'))) {
    const first = run.codePointAt(0) ?? 0;
    const last = [...run.slice(-2)].at(-1)?.codePointAt(0) ?? first;
    if (first < 0xd800 && last >= 0xe000) ranges.push([first, 0xd7ff], [0xe000, last]);
    else ranges.push([first, last]);
  }
  properties.set(property, ranges);
  return ranges;
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
