import { type AST, RegExpParser, RegExpSyntaxError } from '@eslint-community/regexpp';
import { type Automaton, automatonOf, type Condition, type Program, type Step } from './automaton.js';
import { type Ranges, rangesOfClass, rangesOfSet } from './code-points.js';

/*
 * Regular expressions of ECMA-262 with the flag u, as the standard asks for (JSON Schema Core section 6.4), in linear time. V8 takes seconds
 * for ^(a+)+$ on 28 characters.
 *
 * Why not re2js 2.10: RE2 reads some of the syntax in another way, so every part has to be written anew for it (its \s is ASCII, its . leaves
 * out only the line feed, it does not know \p{Letter}); it has no look-ahead, which zod and people print; each pattern keeps 8 MiB of states
 * from what it was asked; and how much work a text makes is not told. An automaton that takes the parsed expression as it is has none of
 * these, and is about as long as the writing anew.
 */

/** What is wrong with a pattern, to be read after its path. */
export class PatternFault extends Error {}

/** A compiled pattern. */
export type Matcher = {
  /** Whether it matches anywhere in a text. What that takes is spent. */
  test: (text: string, spend: (units: number) => void) => boolean;
  /** How many steps it has. */
  size: number;
};

/** How long a pattern may be, in UTF-16 code units, and how many steps it may have; and how many look-arounds side by side. */
const MAX_LENGTH = 4_096;
const MAX_STEPS = 3_000;
const MAX_LOOKS = 4;
/** How deep groups may be in each other. */
const MAX_NESTING = 100;

/** Compiles a pattern. @throws PatternFault */
export function matcherOf(pattern: string): Matcher {
  if (pattern.length > MAX_LENGTH) throw new PatternFault(`is longer than ${MAX_LENGTH} characters`);
  const size = { steps: 0 };
  const { test } = automaton(parse(pattern).alternatives, 'forward', size, 0);
  return { test, size: size.steps };
}

function parse(pattern: string): AST.Pattern {
  if (nesting(pattern) > MAX_NESTING) throw new PatternFault(`has groups within groups more than ${MAX_NESTING} times`);
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

/** At most how many groups are open at once; the parser goes as deep. */
function nesting(pattern: string): number {
  let open = 0;
  let most = 0;
  for (const char of pattern.replace(/\\./gs, '')) {
    if (char === '(') open += 1;
    if (char === ')') open -= 1;
    most = Math.max(most, open);
  }
  return most;
}

function automaton(
  alternatives: readonly AST.Alternative[],
  direction: Program['direction'],
  size: { steps: number },
  depth: number,
): Automaton {
  const steps: Step[] = [];
  const sets = new Map<string, number>();
  const ranges: Ranges[] = [];
  const looks: Automaton[] = [];
  /** A look-around that is repeated is one. */
  const known = new Map<AST.Assertion, number>();

  const add = (step: Step): number => {
    size.steps += 1;
    if (size.steps > MAX_STEPS)
      throw new PatternFault(`is too large: written out, it has more than ${MAX_STEPS} steps`);
    return steps.push(step) - 1;
  };
  const setOf = (set: Ranges): number => {
    const key = set.join();
    const same = sets.get(key);
    if (same !== undefined) return same;
    sets.set(key, ranges.length);
    // A large class takes room, too: there are 650 ranges of letters.
    size.steps += set.length >> 4;
    return ranges.push(set) - 1;
  };
  const condition = (given: Condition, next: number): number => add({ kind: 'condition', condition: given, next });

  /** Each of these writes what leads to `next`, and returns where it begins. */
  const choice = (from: readonly AST.Alternative[], next: number): number => {
    const to = from.map((alternative) => sequence(alternative, next));
    return to.length === 1 && to[0] !== undefined ? to[0] : add({ kind: 'split', to });
  };
  const sequence = ({ elements }: AST.Alternative, next: number): number =>
    direction === 'forward'
      ? elements.reduceRight((after, item) => element(item, after), next)
      : elements.reduce((after, item) => element(item, after), next);
  const element = (item: AST.Element, next: number): number => {
    switch (item.type) {
      case 'Assertion':
        return assertion(item, next);
      case 'Quantifier':
        return repetition(item, next);
      case 'Group':
        if (item.modifiers) throw new PatternFault(`has modifiers, ${shown(item.raw)}, which are not supported`);
        return choice(item.alternatives, next);
      case 'CapturingGroup':
        return choice(item.alternatives, next);
      case 'Character':
        return add({ kind: 'set', set: setOf([[item.value, item.value]]), next });
      case 'CharacterSet':
        return add({ kind: 'set', set: setOf(rangesOfSet(item)), next });
      case 'CharacterClass': {
        const set = rangesOfClass(item);
        if (!set) throw new PatternFault(`has a class of the flag v, ${shown(item.raw)}, which is not supported`);
        return add({ kind: 'set', set: setOf(set), next });
      }
      case 'Backreference':
        throw new PatternFault(`has a back-reference, ${shown(item.raw)}, which nothing matches in linear time`);
      case 'ExpressionCharacterClass':
        throw new PatternFault(`has a class of the flag v, ${shown(item.raw)}, which is not supported`);
    }
  };
  const assertion = (item: AST.Assertion, next: number): number => {
    const forward = direction === 'forward';
    switch (item.kind) {
      case 'start':
        return condition(forward ? 'nothing behind' : 'nothing ahead', next);
      case 'end':
        return condition(forward ? 'nothing ahead' : 'nothing behind', next);
      case 'word':
        return condition(item.negate ? 'no border' : 'border', next);
      default: {
        const before = known.get(item);
        if (before !== undefined) return condition({ look: before, holds: !item.negate }, next);
        if (looks.length === MAX_LOOKS || depth === MAX_LOOKS) {
          throw new PatternFault(`has more than ${MAX_LOOKS} look-arounds side by side, or in each other`);
        }
        const of = item.kind === 'lookahead' ? 'backward' : 'forward';
        const look = looks.push(automaton(item.alternatives, of, size, depth + 1)) - 1;
        known.set(item, look);
        return condition({ look, holds: !item.negate }, next);
      }
    }
  };
  /** Whether it is lazy does not matter: only whether there is a match does. */
  const repetition = ({ element: item, min, max }: AST.Quantifier, next: number): number => {
    let after = next;
    if (max === Number.POSITIVE_INFINITY) {
      const to: number[] = [];
      const loop = add({ kind: 'split', to });
      to.push(element(item, loop), next);
      after = loop;
    } else {
      for (let count = min; count < max; count += 1) after = add({ kind: 'split', to: [element(item, after), next] });
    }
    for (let count = 0; count < min; count += 1) after = element(item, after);
    return after;
  };

  const end = add({ kind: 'match' });
  const start = choice(alternatives, end);
  return automatonOf({ direction, steps, start, sets: ranges, looks });
}

const shown = (raw: string): string => (raw.length > 40 ? `${raw.slice(0, 40).toWellFormed()}…` : raw);
