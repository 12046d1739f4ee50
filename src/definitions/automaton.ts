import type { Ranges } from './code-points.js';
import { WORD } from './code-points.js';

/*
 * Runs a regular expression in time proportional to the text. All ways through the expression are followed at once; which places they have
 * reached is a state of a deterministic automaton, which is built as texts need it (Thompson 1968; Cox, "Regular Expression Matching Can Be
 * Simple And Fast", 2007).
 *
 * A look-around is an automaton of its own. It runs first, and marks where in the text it holds: a look-behind from the start to the end, a
 * look-ahead from the end to the start, with its expression reversed. To the expression around it, a mark is a condition on a place, as \b is.
 */

/** What stands at a place of the expression, and where it goes on. */
export type Step =
  | { kind: 'set'; set: number; next: number }
  | { kind: 'split'; to: number[] }
  | { kind: 'condition'; condition: Condition; next: number }
  | { kind: 'match' };

/** What has to hold at a place: nothing lies behind it or ahead of it (in the direction of the run), \b or \B, or a look-around. */
export type Condition = 'nothing behind' | 'nothing ahead' | 'border' | 'no border' | { look: number; holds: boolean };

/** An expression. */
export type Program = {
  direction: 'forward' | 'backward';
  steps: readonly Step[];
  start: number;
  sets: readonly Ranges[];
  looks: readonly Automaton[];
};

export type Automaton = {
  /** Whether the expression matches anywhere in a text. */
  test: (text: string, spend: (units: number) => void) => boolean;
  /** At which indexes of a text a match ends, in the direction of the run. */
  marks: (text: string, spend: (units: number) => void) => Uint8Array;
};

/** What lies on one side of a place. */
const NOTHING = 0;
const OTHER = 1;
const WORD_CHARACTER = 2;

/** Places that have been reached, and what lies behind them. */
type State = { places: readonly number[]; behind: number; next: (Transition | undefined)[] };
type Transition = { matches: boolean; to: State };

/** How many transitions an automaton keeps room for. Beyond, it forgets its states and goes on. */
const MAX_ROOM = 8_192;

export function automatonOf({ direction, steps, start, sets, looks }: Program): Automaton {
  const { classOf, count, includes, isWord } = classesOf(sets);
  /** The transitions of a state: for each class, and the end of the text, and each combination of look-arounds that hold. */
  const width = (count + 1) << looks.length;
  const maxStates = Math.max(16, Math.floor(MAX_ROOM / width));
  const seen = new Uint32Array(steps.length);
  let round = 0;
  let states = new Map<string, State>();

  /** Goes on from places as far as nothing has to be read. Conditions on what is ahead stay where they are, unless it is known. */
  const reach = (from: readonly number[], behind: number, ahead: number | undefined, held: number): number[] => {
    round += 1;
    const places: number[] = [];
    const stack = from.toReversed();
    for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
      if (seen[place] === round) continue;
      seen[place] = round;
      const step = steps[place];
      if (step?.kind === 'split') stack.push(...step.to);
      else if (step?.kind !== 'condition') places.push(place);
      else if (step.condition === 'nothing behind') {
        if (behind === NOTHING) stack.push(step.next);
      } else if (ahead === undefined) places.push(place);
      else if (holds(step.condition, behind, ahead, held)) stack.push(step.next);
    }
    return places;
  };

  const stateOf = (places: number[], behind: number): State => {
    const sorted = places.sort((a, b) => a - b);
    const key = `${behind}:${sorted.join()}`;
    const known = states.get(key);
    if (known) return known;
    if (states.size >= maxStates) states = new Map();
    const state: State = { places: sorted, behind, next: new Array(width).fill(undefined) };
    states.set(key, state);
    return state;
  };

  const transition = (state: State, symbol: number, held: number, spend: (units: number) => void): Transition => {
    const ahead = symbol === count ? NOTHING : isWord[symbol] ? WORD_CHARACTER : OTHER;
    const places = reach(state.places, state.behind, ahead, held);
    const moved: number[] = [start];
    let matches = false;
    for (const place of places) {
      const step = steps[place];
      if (step?.kind === 'match') matches = true;
      else if (step?.kind === 'set' && symbol !== count && includes(step.set, symbol)) moved.push(step.next);
    }
    const reached = reach(moved, ahead, undefined, 0);
    // A new state has its row of transitions, and its places: that is most of its cost.
    spend(150 + (width >> 2) + 8 * (places.length + reached.length));
    return { matches, to: symbol === count ? state : stateOf(reached, ahead) };
  };

  const run = (text: string, spend: (units: number) => void, found: (index: number) => boolean): void => {
    spend(1 + (text.length >> 2));
    const marks = looks.map((look) => look.marks(text, spend));
    const forward = direction === 'forward';
    const end = forward ? text.length : 0;
    let state = stateOf(reach([start], NOTHING, undefined, 0), NOTHING);
    let index = forward ? 0 : text.length;
    for (;;) {
      let next = index;
      let symbol = count;
      if (index !== end) {
        const code = forward ? (text.codePointAt(index) ?? 0) : codePointBefore(text, index);
        symbol = classOf(code);
        next += (code > 0xffff ? 2 : 1) * (forward ? 1 : -1);
      }
      let held = 0;
      for (let look = 0; look < marks.length; look += 1) held |= (marks[look]?.[index] ?? 0) << look;
      const key = (symbol << looks.length) | held;
      let taken = state.next[key];
      if (!taken) {
        taken = transition(state, symbol, held, spend);
        state.next[key] = taken;
      }
      if (taken.matches && found(index)) return;
      // What has no place left, although it could begin here, can begin nowhere.
      if (index === end || taken.to.places.length === 0) return;
      state = taken.to;
      index = next;
    }
  };

  return {
    test(text, spend) {
      let matched = false;
      run(text, spend, () => {
        matched = true;
        return true;
      });
      return matched;
    },
    marks(text, spend) {
      const marked = new Uint8Array(text.length + 1);
      run(text, spend, (index) => {
        marked[index] = 1;
        return false;
      });
      return marked;
    },
  };
}

function holds(condition: Exclude<Condition, 'nothing behind'>, behind: number, ahead: number, held: number): boolean {
  if (condition === 'nothing ahead') return ahead === NOTHING;
  if (condition === 'border') return (behind === WORD_CHARACTER) !== (ahead === WORD_CHARACTER);
  if (condition === 'no border') return (behind === WORD_CHARACTER) === (ahead === WORD_CHARACTER);
  return ((held >> condition.look) & 1) === (condition.holds ? 1 : 0);
}

function codePointBefore(text: string, index: number): number {
  const low = text.charCodeAt(index - 1);
  return low >= 0xdc00 && low < 0xe000 && index > 1 ? (text.codePointAt(index - 2) ?? low) : low;
}

const ASCII = 128;

/** Characters that no set tells apart are of one class. */
function classesOf(sets: readonly Ranges[]) {
  const bounds = new Set([0]);
  for (const [from, to] of [...sets, WORD].flat()) bounds.add(from).add(to + 1);
  const starts = Uint32Array.from(bounds).sort();
  const search = (code: number): number => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= code) low = middle;
      else high = middle;
    }
    return low;
  };
  const ascii = Uint16Array.from({ length: ASCII }, (_, code) => search(code));
  const membersOf = (ranges: Ranges): Uint8Array => {
    const members = new Uint8Array(starts.length);
    for (const [from, to] of ranges) members.fill(1, search(from), search(to) + 1);
    return members;
  };
  const members = sets.map(membersOf);
  return {
    count: starts.length,
    classOf: (code: number): number => (code < ASCII ? (ascii[code] ?? 0) : search(code)),
    includes: (set: number, symbol: number): boolean => members[set]?.[symbol] === 1,
    isWord: membersOf(WORD),
  };
}
