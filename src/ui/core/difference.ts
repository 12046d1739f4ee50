import { diffArrays, diffLines, diffWordsWithSpace } from 'diff';
import { isObject, type Json, type JsonObject, jsonEqual, MAX_DEPTH } from '../../temporal/json.js';
import { valueText } from './value-text.js';

/*
 * What differs between two values, to be drawn: inside objects, arrays and texts only what differs. Whatever the values are, the work is
 * bounded, and so is what is to be drawn.
 *
 * Why not src/temporal/json-diff.ts: it makes a patch, whose operations do not say what was there before, and count the elements of an
 * array as of the middle of the patch.
 */

/** A piece of two texts, and what became of it. `skipped`: how many characters that follow it are left out. */
export type Segment = { is: 'same' | 'removed' | 'added'; text: string; skipped?: number };

/** The name of a member, or the number of an element from 0: in the array before for one that was removed, else in the one after. */
export type Step = string | number;

/** A place where two values differ. `path` leads there; [] is the whole value. `text`: two texts that have something in common. */
export type Part = { path: readonly Step[] } & (
  | { is: 'added'; to: Json }
  | { is: 'removed'; from: Json }
  | { is: 'changed'; from: Json; to: Json }
  | { is: 'text'; segments: Segment[] }
);

/** Where two values differ, in order: the first MOST_PARTS places, and how many `more` there are. No part: they are the same. */
export type Difference = { parts: Part[]; more: number };

/** What became of something from one moment to another, and the sign that stands beside the word. */
export type Fate = 'added' | 'removed' | 'changed';
export const SIGNS = { added: '+', removed: '−', changed: '~' } as const satisfies Record<Fate, string>;

/** What became of a property whose values differ; undefined is no value. */
export const fateOf = (from: Json | undefined, to: Json | undefined): Fate =>
  from === undefined ? 'added' : to === undefined ? 'removed' : 'changed';

/** How many places are drawn, and how many pieces of a text. */
const MOST_PARTS = 200;
const MOST_SEGMENTS = 1_000;

/**
 * What may be compared for one answer, some tenths of a second. `characters`: of the elements of arrays. `edits`: the squares of how many
 * elements, lines or words came and went in each array or text, which is what the work grows with (MOST_EDITS).
 */
type Work = { characters: number; edits: number };
const MOST_WORK: Work = { characters: 2 ** 22, edits: 2 ** 20 };
/** What a value takes beside its characters. */
const ELEMENT = 16;

/** How many elements, lines or words may come and go between two arrays or texts that are compared by these. */
const MOST_EDITS = 400;

/** Texts are compared by their words, if one is longer than this, in UTF-16 code units, and they have a quarter in common. */
const SHORT_TEXT = 24;
const LEAST_IN_COMMON = 1 / 4;

/** How long what differs of two texts may be to be compared word by word, and line by line, in UTF-16 code units. */
const MOST_FOR_WORDS = 20_000;
const MOST_FOR_LINES = 2_000_000;

/** How much is shown of what both texts have, on each side of what differs, and of what was removed or added at one place. */
const CONTEXT = 80;
const MOST_CHANGED = 2_000;

/**
 * What differs between two values. Members of objects are compared by name, elements of arrays by what both have, texts by their words.
 * @param from, to JSON, no deeper than MAX_DEPTH; undefined is no value, which is another than null
 */
export function differenceOf(from: Json | undefined, to: Json | undefined): Difference {
  const parts: Part[] = [];
  let count = 0;
  const work = { ...MOST_WORK };
  const path: Step[] = [];

  const add = (part: (path: readonly Step[]) => Part) => {
    if (count < MOST_PARTS) parts.push(part([...path]));
    count++;
  };

  const inside = (step: Step, was: Json | undefined, becomes: Json | undefined): void => {
    path.push(step);
    value(was, becomes);
    path.pop();
  };

  const value = (was: Json | undefined, becomes: Json | undefined): void => {
    if (was === becomes) return;
    const isDeep = path.length > MAX_DEPTH;
    if (was === undefined) {
      if (becomes !== undefined) add((path) => ({ is: 'added', path, to: becomes }));
    } else if (becomes === undefined) add((path) => ({ is: 'removed', path, from: was }));
    else if (Array.isArray(was) && Array.isArray(becomes) && !isDeep) elements(was, becomes);
    else if (isObject(was) && isObject(becomes) && !isDeep) members(was, becomes);
    else if (typeof was === 'string' && typeof becomes === 'string') add((path) => textPart(path, was, becomes, work));
    else add((path) => ({ is: 'changed', path, from: was, to: becomes }));
  };

  const members = (was: JsonObject, becomes: JsonObject): void => {
    const names = Object.keys(was);
    // Objects that have no name in common are different things, not one that has changed.
    if (names.length > 0 && !names.some((name) => Object.hasOwn(becomes, name))) {
      add((path) => ({ is: 'changed', path, from: was, to: becomes }));
      return;
    }
    for (const name of names) inside(name, was[name], Object.hasOwn(becomes, name) ? becomes[name] : undefined);
    for (const name of Object.keys(becomes)) if (!Object.hasOwn(was, name)) inside(name, undefined, becomes[name]);
  };

  const elements = (was: Json[], becomes: Json[]): void => {
    const runs = runsBetween(was, becomes, work);
    if (!runs) {
      if (!jsonEqual(was, becomes)) add((path) => ({ is: 'changed', path, from: was, to: becomes }));
      return;
    }
    for (const { at, removed, to, added } of runs) {
      const both = Math.min(removed, added);
      for (let n = 0; n < both; n++) inside(to + n, was[at + n], becomes[to + n]);
      for (let n = both; n < removed; n++) inside(at + n, was[at + n], undefined);
      for (let n = both; n < added; n++) inside(to + n, undefined, becomes[to + n]);
    }
  };

  value(from, to);
  return { parts, more: count - parts.length };
}

/** A path as people write one: `address.lines[2]`; '' is the whole value. */
export const pathText = (path: readonly Step[]): string =>
  path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    const quoted = valueText(step, Number.POSITIVE_INFINITY);
    if (!/^[\p{L}_$][\p{L}\p{N}_$-]*$/u.test(step) || quoted !== `"${step}"`) return `${text}[${quoted}]`;
    return text === '' ? step : `${text}.${step}`;
  }, '');

/** `removed` elements at `at` of one array, where another has `added` elements at `to`. */
type Run = { at: number; removed: number; to: number; added: number };

/** Where two arrays differ, in order; null where that would take too much work. */
function runsBetween(from: readonly Json[], to: readonly Json[], work: Work): Run[] | null {
  let start = 0;
  while (start < from.length && start < to.length && jsonEqual(from[start], to[start])) start++;
  let end = 0;
  const most = Math.min(from.length, to.length) - start;
  while (end < most && jsonEqual(from[from.length - 1 - end], to[to.length - 1 - end])) end++;
  const [removed, added] = [from.length - start - end, to.length - start - end];
  if (removed === 0 && added === 0) return [];
  // No element can be in both, or one took the place of the other.
  if (removed === 0 || added === 0 || (removed === 1 && added === 1)) return [{ at: start, removed, to: start, added }];

  const numbers = new Map<string, number>();
  /** Numbers for elements: the same one for equal elements. */
  const numbered = (elements: readonly Json[]): number[] | null => {
    const all: number[] = [];
    for (const element of elements) {
      const key = keyOf(element, work);
      if (work.characters < 0) return null;
      const number = numbers.get(key) ?? numbers.size;
      numbers.set(key, number);
      all.push(number);
    }
    return all;
  };
  const was = numbered(from.slice(start, start + removed));
  const becomes = was && numbered(to.slice(start, start + added));
  const changes = was && becomes && within(work, (maxEditLength) => diffArrays(was, becomes, { maxEditLength }));
  if (!changes) return null;
  const runs: Run[] = [];
  let run: Run = { at: start, removed: 0, to: start, added: 0 };
  for (const change of [...changes, { count: 0, removed: false, added: false }]) {
    if (change.removed) run.removed += change.count;
    else if (change.added) run.added += change.count;
    else {
      if (run.removed > 0 || run.added > 0) runs.push(run);
      const { at, to } = run;
      run = { at: at + run.removed + change.count, removed: 0, to: to + run.added + change.count, added: 0 };
    }
  }
  return runs;
}

/** What `compare` finds with so many edits as there is work for, which it then takes; undefined: that is not enough. */
function within<Change extends { count: number; removed: boolean; added: boolean }>(
  work: Work,
  compare: (most: number) => Change[] | undefined,
): Change[] | undefined {
  const most = Math.min(MOST_EDITS, Math.floor(Math.sqrt(Math.max(work.edits, 0))));
  const changes = compare(most);
  const edits = changes
    ? changes.reduce((sum, { count, removed, added }) => sum + (removed || added ? count : 0), 0)
    : most;
  work.edits -= 1 + edits ** 2;
  return changes;
}

/** A text that equal values have alone, whatever the order of their members; '' where no work is left. */
function keyOf(value: Json | undefined, work: Work): string {
  if (work.characters < 0) return '';
  if (Array.isArray(value)) return `[${value.map((item) => keyOf(item, work)).join()}]`;
  if (isObject(value)) {
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${keyOf(value[name], work)}`).join()}}`;
  }
  const text = JSON.stringify(value ?? null);
  work.characters -= ELEMENT + text.length;
  return text;
}

function textPart(path: readonly Step[], from: string, to: string, work: Work): Part {
  const changed: Part = { is: 'changed', path, from, to };
  if (Math.max(from.length, to.length) <= SHORT_TEXT) return changed;
  const segments = segmentsBetween(from, to, work);
  const common = segments.reduce((sum, { is, text }) => sum + (is === 'same' ? text.length : 0), 0);
  const isChanged = common === 0 || common < LEAST_IN_COMMON * Math.min(from.length, to.length);
  return isChanged || segments.length > MOST_SEGMENTS ? changed : { is: 'text', path, segments: drawn(segments) };
}

/** All of two texts, piece by piece. */
function segmentsBetween(from: string, to: string, work: Work): Segment[] {
  const start = sameStart(from, to);
  const end = sameEnd(from, to, start);
  return joined([
    { is: 'same', text: from.slice(0, start) },
    ...middleBetween(from.slice(start, from.length - end), to.slice(start, to.length - end), work),
    { is: 'same', text: from.slice(from.length - end) },
  ]);
}

/** The same of texts that begin and end differently. */
function middleBetween(was: string, becomes: string, work: Work): Segment[] {
  const longest = Math.max(was.length, becomes.length);
  const whole: Segment[] = [
    { is: 'removed', text: was },
    { is: 'added', text: becomes },
  ];
  if (was === '' || becomes === '' || longest > MOST_FOR_LINES) return whole;
  if (longest <= MOST_FOR_WORDS)
    return (
      within(work, (maxEditLength) => diffWordsWithSpace(was, becomes, { maxEditLength }))?.map(segmentOf) ?? whole
    );

  const lines = within(work, (maxEditLength) => diffLines(was, becomes, { maxEditLength }));
  if (!lines) return whole;
  // Of lines that took the place of others, the words are compared.
  return lines.flatMap((line, n): Segment[] => {
    const [before, after] = [lines[n - 1], lines[n + 1]];
    if (line.removed && after?.added && areForWords(line.value, after.value)) return [];
    if (line.added && before?.removed && areForWords(before.value, line.value))
      return segmentsBetween(before.value, line.value, work);
    return [segmentOf(line)];
  });
}

const areForWords = (was: string, becomes: string): boolean =>
  was.length <= MOST_FOR_WORDS && becomes.length <= MOST_FOR_WORDS;

const segmentOf = ({ value, removed, added }: { value: string; removed: boolean; added: boolean }): Segment => ({
  is: removed ? 'removed' : added ? 'added' : 'same',
  text: value,
});

/** How long a word may be that is not cut where texts begin to differ. */
const LONGEST_WORD = 100;

/** How many UTF-16 code units two texts begin with in common, up to a place between words. */
function sameStart(from: string, to: string): number {
  const most = Math.min(from.length, to.length);
  let same = 0;
  while (same < most && from.charCodeAt(same) === to.charCodeAt(same)) same++;
  for (let at = same; at > Math.max(0, same - LONGEST_WORD); at--)
    if (isBetweenWords(from, at) && isBetweenWords(to, at)) return at;
  return same <= LONGEST_WORD ? 0 : placeIn(from, same);
}

/** How many they end with, behind what they begin with. */
function sameEnd(from: string, to: string, start: number): number {
  const most = Math.min(from.length, to.length) - start;
  let same = 0;
  while (same < most && from.charCodeAt(from.length - 1 - same) === to.charCodeAt(to.length - 1 - same)) same++;
  for (let end = same; end > Math.max(0, same - LONGEST_WORD); end--)
    if (isBetweenWords(from, from.length - end) && isBetweenWords(to, to.length - end)) return end;
  if (same <= LONGEST_WORD) return 0;
  return placeIn(from, from.length - same) === from.length - same ? same : same - 1;
}

const isBetweenWords = (text: string, at: number): boolean =>
  at === text.length || /\s/.test(text.charAt(at - 1)) || /\s/.test(text.charAt(at));

/** The last place up to this one that is not inside a character of two code units. */
const placeIn = (text: string, at: number): number => ((text.codePointAt(at - 1) ?? 0) > 0xffff ? at - 1 : at);

/** Segments without empty ones, and those of one kind as one. */
function joined(segments: readonly Segment[]): Segment[] {
  const all: Segment[] = [];
  for (const { is, text } of segments) {
    const last = all.at(-1);
    if (text === '') continue;
    if (last?.is === is) last.text += text;
    else all.push({ is, text });
  }
  return all;
}

/** As much of segments as is drawn. */
const drawn = (segments: readonly Segment[]): Segment[] =>
  segments.flatMap((segment, n) => {
    const { is, text } = segment;
    if (is !== 'same') return text.length > MOST_CHANGED ? around(segment, MOST_CHANGED, 0) : [segment];
    const head = n === 0 ? 0 : CONTEXT;
    const tail = n === segments.length - 1 ? 0 : CONTEXT;
    return text.length > head + tail + CONTEXT ? around(segment, head, tail) : [segment];
  });

/** The head and the tail of a segment. */
function around({ is, text }: Segment, head: number, tail: number): Segment[] {
  const [end, start] = [placeIn(text, head), placeIn(text, text.length - tail)];
  const first: Segment = { is, text: text.slice(0, end), skipped: start - end };
  return start === text.length ? [first] : [first, { is, text: text.slice(start) }];
}
