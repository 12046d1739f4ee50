import { clockToMicros, instantToMicros, microsToInstant, offsetAt } from './instants.js';
import type { Scale } from './scale.js';
import type { Zone } from './view.js';

/** A labelled place of a time axis. `day`: of a time of day, where the mark before is of another day. */
export type Mark = { x: number; at: bigint; label: string; day: string | null };

/** What is between two marks: so many microseconds of a clock, or so many months. `label`: which part of an instant is shown. */
type Step = { micros: number; months?: number; label: [start: number, end: number] };

const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MONTH = 30 * DAY;

/** Where day, time, and their parts stand in an instant, as the service writes it. */
const YEARS: Step['label'] = [0, 4];
const MONTHS: Step['label'] = [0, 7];
const DAYS: Step['label'] = [0, 10];
const MINUTES: Step['label'] = [11, 16];
const SECONDS: Step['label'] = [11, 19];
const MILLIS: Step['label'] = [11, 23];
const MICROS: Step['label'] = [11, 26];

/** Round steps, from the shortest on. */
const STEPS: readonly Step[] = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((micros): Step => ({ micros, label: MICROS })),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((count): Step => ({ micros: count * 1_000, label: MILLIS })),
  ...[1, 2, 5, 10, 15, 30].map((count): Step => ({ micros: count * SECOND, label: SECONDS })),
  ...[1, 2, 5, 10, 15, 30].map((count): Step => ({ micros: count * MINUTE, label: MINUTES })),
  ...[1, 2, 3, 6, 12].map((count): Step => ({ micros: count * HOUR, label: MINUTES })),
  ...[1, 2, 7, 14].map((count): Step => ({ micros: count * DAY, label: DAYS })),
  ...[1, 2, 3, 6].map((months): Step => ({ micros: months * MONTH, months, label: MONTHS })),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000].map(
    (years): Step => ({ micros: years * 12.2 * MONTH, months: years * 12, label: YEARS }),
  ),
];

/** A Monday, from which days and weeks are counted. */
const MONDAY = BigInt(4 * DAY);

/**
 * The marks of a time axis, from left to right, at least `apart` pixels from each other: at round times of each stretch that is not folded; at
 * the start of one that has none, so that one sees what was folded before it.
 * @param zone of the times; `relative` is as `local`
 */
export function marksOf(scale: Scale, zone: Zone, timeZone?: string, apart = 90): Mark[] {
  const marks: Mark[] = [];
  let day = '';
  const isClear = (x: number) => {
    const last = marks.at(-1);
    return last === undefined || x - last.x >= apart;
  };
  const add = (at: bigint, clock: bigint, { label: [start, end] }: Step) => {
    const text = microsToInstant(clock);
    const isOfDay = start > 0 && day !== text.slice(0, 10);
    day = text.slice(0, 10);
    marks.push({ x: scale.xOf(at), at, label: text.slice(start, end), day: isOfDay ? day : null });
  };

  for (const { from, to, isFold } of stretchesOf(scale)) {
    const [left, right] = [scale.xOf(from), scale.xOf(to)];
    if (isFold && right - left < 2 * apart) continue;
    const step = stepFor(Number(to - from) / (right - left), apart);
    const before = marks.length;
    for (let clock = firstOf(clockOf(from), step); clock !== null; clock = nextOf(clock, step)) {
      const at = zone === 'utc' ? clock : clockToMicros(clock, timeZone);
      if (at > to) break;
      if (at >= from && isClear(scale.xOf(at))) add(at, clock, step);
    }
    if (marks.length === before && isClear(left) && left < scale.width) add(from, clockOf(from), step);
  }
  // All of a narrow window may be folded.
  const { from, to, width } = scale;
  if (marks.length === 0) add(from, clockOf(from), stepFor(Number(to - from) / width, apart));
  return marks;

  function clockOf(micros: bigint): bigint {
    return zone === 'utc' ? micros : micros + offsetAt(micros, timeZone);
  }
}

/** The shortest step that leaves so many pixels between two marks. */
const stepFor = (microsPerPixel: number, apart: number): Step =>
  STEPS.find(({ micros }) => micros >= microsPerPixel * apart) ?? LAST_STEP;

const LAST_STEP: Step = STEPS.at(-1) ?? { micros: DAY, label: DAYS };

/** The window, cut where folds begin and end. */
function stretchesOf({ from, to, folds }: Scale): { from: bigint; to: bigint; isFold: boolean }[] {
  const stretches: { from: bigint; to: bigint; isFold: boolean }[] = [];
  let at = from;
  for (const fold of folds) {
    if (fold.from > at) stretches.push({ from: at, to: fold.from, isFold: false });
    stretches.push({ from: fold.from, to: fold.to, isFold: true });
    at = fold.to;
  }
  if (to > at || stretches.length === 0) stretches.push({ from: at, to, isFold: false });
  return stretches;
}

/** The first round time on a clock, at a time of it or after. */
function firstOf(clock: bigint, { micros, months }: Step): bigint | null {
  if (months !== undefined) {
    const month = monthOf(clock);
    const isStart = startOf(month) === clock;
    return startOf(Math.ceil((isStart ? month : month + 1) / months) * months);
  }
  const step = BigInt(micros);
  const since = clock - MONDAY;
  const rest = ((since % step) + step) % step;
  return rest === 0n ? clock : clock + step - rest;
}

const nextOf = (clock: bigint, { micros, months }: Step): bigint | null =>
  months === undefined ? clock + BigInt(micros) : startOf(monthOf(clock) + months);

/** The number of a month, of year 0 on. */
function monthOf(clock: bigint): number {
  const text = microsToInstant(clock);
  return Number(text.slice(0, 4)) * 12 + Number(text.slice(5, 7)) - 1;
}

/** The start of a month; null after the year 9999. */
function startOf(month: number): bigint | null {
  const [year, of] = [Math.floor(month / 12), (month % 12) + 1];
  if (year > 9_999) return null;
  const [years, months] = [String(Math.max(1, year)).padStart(4, '0'), String(of).padStart(2, '0')];
  return instantToMicros(`${years}-${months}-01T00:00:00.000000Z`);
}
