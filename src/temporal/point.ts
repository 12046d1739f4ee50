import { Refusal } from './refusal.js';

/** A point in an entity's past: one of its ticks, or an instant. The instant stays RFC 3339 text, so that no digit is lost. */
export type Point = { tick: number; written?: string } | { instant: string };

/** A point as answers show it: of a tick that no clock reaches, as the caller wrote it. */
export const pointText = (point: Point): string =>
  'tick' in point ? (point.written ?? String(point.tick)) : point.instant;

/** The last tick that a clock can reach: PostgreSQL keeps ticks as `integer`. */
export const LAST_TICK = 2 ** 31 - 1;
const INSTANT = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|[+-](\d\d):?(\d\d))$/i;
const FORM = 'a tick (digits only) or an RFC 3339 instant with its offset, such as 2016-08-19T00:00:00.000000Z';

/**
 * Reads `asOf`, `from` and `to`. Digits alone are a tick. Anything else must be a whole RFC 3339 instant (section 5.6). That is
 * checked here, because PostgreSQL would also take `now`, `infinity` and `:60`, and would round nanoseconds. A tick beyond
 * LAST_TICK becomes LAST_TICK, which no entity has.
 * @throws Refusal `invalid_as_of`, naming the parameter
 */
export function parsePoint(text: string, parameter: string): Point {
  const refuse = (message: string) => Refusal.at('invalid_as_of', parameter, message);

  if (/^\d+$/.test(text)) {
    const tick = Number(text);
    if (tick < 1) throw refuse('is no tick: ticks count from 1');
    return tick > LAST_TICK ? { tick: LAST_TICK, written: text } : { tick };
  }
  // A `+` that was not percent-encoded arrives as a space.
  const whole = text.replace(' ', '+');
  const match = INSTANT.exec(whole);
  if (!match) {
    throw refuse(INSTANT.test(`${whole}Z`) ? 'lacks its offset: write Z or ±hh:mm' : `is not ${FORM}`);
  }
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number);
  const [fraction, offsetHour, offsetMinute] = match.slice(7);
  if (/[1-9]/.test((fraction ?? '').slice(6)))
    throw refuse('has more than six fractional digits; instants are microseconds');
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) {
    throw refuse('names a day that no calendar has');
  }
  if (hour > 23 || minute > 59 || second > 59) throw refuse('names a time that no clock shows');
  // PostgreSQL knows displacements up to 15:59; no place on Earth is further than 14:00.
  if (Number(offsetHour ?? 0) > 15 || Number(offsetMinute ?? 0) > 59)
    throw refuse('has an offset that no zone has: hours go to 15, minutes to 59');
  // .NET and Go print seven or nine digits, of which those after the sixth may be zeros; Python's %z prints no colon.
  const instant = whole
    .toUpperCase()
    .replace(/(\.\d{6})0+/, '$1')
    .replace(/([+-]\d\d)(\d\d)$/, '$1:$2');
  return { instant };
}

/** What is known of an entity: its first ticks, up to this one, and the instant of that. */
export type Known = { tick: number; at: string };

/**
 * Where to read an entity that is asked for as of a point (null: now), when no tick after the last known one may be seen. A tick that is
 * not known becomes LAST_TICK, which no entity has.
 */
export function knownPoint(point: Point | null, known: Known): Point {
  if (point === null) return { tick: known.tick };
  if ('instant' in point) return isBefore(point.instant, known.at) ? point : { tick: known.tick };
  return point.tick <= known.tick ? point : { tick: LAST_TICK, written: pointText(point) };
}

/** Whether a text is an instant that a caller may write. */
export function isInstant(text: string): boolean {
  try {
    return 'instant' in parsePoint(text, '');
  } catch {
    return false;
  }
}

/** Whether one instant lies before another. Both are RFC 3339 text, as `parsePoint` takes it and answers show it. */
export const isBefore = (instant: string, other: string): boolean => microseconds(instant) < microseconds(other);

/** The microseconds of an instant since 1970. A bigint, because a number would be exact from 1684 to 2255 only. */
export function microseconds(instant: string): bigint {
  const fraction = /\.(\d+)/.exec(instant)?.[1] ?? '';
  return BigInt(Date.parse(instant)) * 1000n + BigInt(fraction.padEnd(6, '0').slice(3));
}

/**
 * The same as text, in UTC and with all six digits, as answers show it: two such texts compare as their instants do.
 * @throws RangeError beyond the years 1 to 9999, which RFC 3339 cannot write
 */
export function instantOf(microseconds: bigint): string {
  const rest = ((microseconds % 1000n) + 1000n) % 1000n;
  const text = new Date(Number((microseconds - rest) / 1000n)).toISOString();
  if (!/^(?!0000)\d{4}-/.test(text)) throw new RangeError(`no year of four digits: ${text}`);
  return `${text.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}
