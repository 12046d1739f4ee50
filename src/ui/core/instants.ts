import { instantOf, LAST_TICK, microseconds } from '../../temporal/point.js';
import type { Zone } from './view.js';

/*
 * Instants as people read and write them. They are texts or microseconds, never a Date, which would lose the microseconds; where a zone
 * has to be asked of Intl, only the offset comes from there.
 */

/** Microseconds in a second, and in what people count by. A month and a year are the mean ones of the calendar. */
const SECOND = 1_000_000n;
const MINUTE = 60n * SECOND;
const HOUR = 60n * MINUTE;
const DAY = 24n * HOUR;
const YEAR = 31_556_952n * SECOND;
const MONTH = YEAR / 12n;

/** The first and the last instant that RFC 3339 can write. */
const FIRST = microseconds('0001-01-01T00:00:00Z');
const LAST = microseconds('9999-12-31T23:59:59.999999Z');

/** The form in which the service writes instants: in UTC, with six digits. */
const ANSWERED = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

/** The microseconds of an instant since 1970. @param at RFC 3339 with at most six digits, as answers and `parsePoint` have it */
export function instantToMicros(at: string): bigint {
  if (!ANSWERED.test(at)) return microseconds(at);
  // A list has thousands of them: this takes a third of the time.
  return BigInt(Date.parse(`${at.slice(0, 19)}Z`)) * 1_000n + BigInt(at.slice(20, 26));
}

/** The instant of microseconds since 1970, as the service writes it. Beyond what RFC 3339 can write it is the first or the last one of that. */
export const microsToInstant = (micros: bigint): string =>
  instantOf(micros < FIRST ? FIRST : micros > LAST ? LAST : micros);

/** Orders instants, however they are written: below 0, 0 or above, as `sort` takes it. */
export function compareInstants(one: string, other: string): number {
  if (one === other) return 0;
  if (ANSWERED.test(one) && ANSWERED.test(other)) return one < other ? -1 : 1;
  const apart = instantToMicros(one) - instantToMicros(other);
  return apart < 0n ? -1 : apart > 0n ? 1 : 0;
}

/**
 * An instant as people read it, `2016-08-19 14:30:00.5 UTC`, with as many digits as it has; in the local zone with the offset it had there
 * then, `2016-08-19 16:30:00.5 +02:00`; or how long ago it was, `3 min ago`.
 * @param timeZone the zone that is local (IANA); by itself that of the browser
 */
export function formatInstant(at: string, zone: Zone, now: Date, timeZone?: string): string {
  const micros = instantToMicros(at);
  if (zone === 'relative') return relative(micros - BigInt(now.getTime()) * 1_000n);
  const offset = zone === 'local' ? offsetAt(micros, timeZone) : null;
  const shown = micros + (offset ?? 0n);
  // What would lie beyond the years of four digits there is shown in UTC.
  if (offset === null || shown < FIRST || shown > LAST) return `${clockText(micros)} UTC`;
  return `${clockText(shown)} ${offsetText(offset)}`;
}

/** `2016-08-19 14:30:00.5` of microseconds since 1970 on a clock without a zone. */
const clockText = (micros: bigint): string =>
  microsToInstant(micros)
    .replace('T', ' ')
    .replace(/\.?0*Z$/, '');

/** `+02:00`; of days long ago, when towns had their own time, also seconds. */
function offsetText(offset: bigint): string {
  const seconds = Number((offset < 0n ? -offset : offset) / SECOND);
  const parts = [Math.trunc(seconds / 3_600), Math.trunc(seconds / 60) % 60, seconds % 60];
  const shown = parts[2] === 0 ? parts.slice(0, 2) : parts;
  return `${offset < 0n ? '-' : '+'}${shown.map((part) => String(part).padStart(2, '0')).join(':')}`;
}

/** What people count time by, the longest first, with its names: one, and more. */
const UNITS: readonly [micros: bigint, one: string, more: string][] = [
  [YEAR, 'year', 'years'],
  [MONTH, 'month', 'months'],
  [DAY, 'day', 'days'],
  [HOUR, 'h', 'h'],
  [MINUTE, 'min', 'min'],
  [SECOND, 's', 's'],
];

/** How long ago, or how long until then, in the longest unit of which it is at least one. @param apart how far it lies ahead */
function relative(apart: bigint): string {
  const far = apart < 0n ? -apart : apart;
  const unit = UNITS.find(([micros]) => far >= micros);
  if (!unit) return 'just now';
  const [micros, one, more] = unit;
  const count = far / micros;
  const said = `${count} ${count === 1n ? one : more}`;
  return apart < 0n ? `${said} ago` : `in ${said}`;
}

/** One for each zone: to make one takes longer than to ask it a thousand times. */
const offsetFormats = new Map<string | undefined, Intl.DateTimeFormat>();

/** How far a zone was ahead of UTC at an instant, in microseconds. @throws RangeError when there is no such zone */
export function offsetAt(micros: bigint, timeZone?: string): bigint {
  const format =
    offsetFormats.get(timeZone) ?? new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
  offsetFormats.set(timeZone, format);
  const parts = format.formatToParts(Number(micros / 1_000n));
  const name = parts.find(({ type }) => type === 'timeZoneName')?.value ?? '';
  const [, sign, hours = 0, minutes = 0, seconds = 0] = /([+-])(\d\d):(\d\d)(?::(\d\d))?/.exec(name) ?? [];
  const offset = BigInt(hours) * HOUR + BigInt(minutes) * MINUTE + BigInt(seconds) * SECOND;
  return sign === '-' ? -offset : offset;
}

/**
 * The instant at which a clock in a zone shows a time, which is given as if the zone were UTC. Of two such instants, as a clock is set
 * back, it is the earlier; a time that the clock leaves out is read by the offset of before (as RFC 5545, section 3.3.5, has it).
 */
export function clockToMicros(clock: bigint, timeZone?: string): bigint {
  const before = clock - offsetAt(clock - DAY, timeZone);
  if (offsetAt(before, timeZone) === clock - before) return before;
  const after = clock - offsetAt(clock + DAY, timeZone);
  return offsetAt(after, timeZone) === clock - after ? after : before;
}

const WRITTEN =
  /^(\d{4})-(\d\d)(?:-(\d\d)(?:[T ]+(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})0*)?)?)?)?(?: *(Z|UTC|GMT|[+-]\d\d(?::?\d\d(?::\d\d)?)?))?$/i;
const AGO = /^(\d{1,7}) *([a-z]+) ago$/i;
const AHEAD = /^in (\d{1,7}) *([a-z]+)$/i;

/**
 * What a person types as a moment: digits are a tick; a day or a time of it is an instant, in the zone that is shown unless it says its own;
 * `3 days ago` is one, too; and so is everything that `formatInstant` shows. `now` stays `now`.
 * @param zone `relative` is read as `local`: it says how long ago, and people count that by their own clocks
 * @returns a tick, an instant as the service writes it, or `now`; null where it is none of these
 */
export function parseMoment(text: string, zone: Zone, now = new Date(), timeZone?: string): string | null {
  const said = text.trim();
  if (/^now$/i.test(said)) return 'now';
  const tick = /^(?:#|tick )?0*([1-9]\d{0,9})$/i.exec(said)?.[1];
  if (tick !== undefined) return Number(tick) < LAST_TICK ? tick : null;
  const micros = ago(said, now) ?? clockIn(said, zone, timeZone);
  return micros === null || micros < FIRST || micros > LAST ? null : microsToInstant(micros);
}

/** What names of units people use, by the first letters of them that are enough. */
const UNIT_NAMES: readonly [name: RegExp, micros: bigint][] = [
  [/^y(?:ears?|rs?)?$/i, YEAR],
  [/^mo(?:nths?)?$/i, MONTH],
  [/^w(?:eeks?)?$/i, 7n * DAY],
  [/^d(?:ays?)?$/i, DAY],
  [/^h(?:ours?|rs?)?$/i, HOUR],
  [/^m(?:in(?:ute)?s?)?$/i, MINUTE],
  [/^s(?:ec(?:ond)?s?)?$/i, SECOND],
];

function ago(said: string, now: Date): bigint | null {
  const past = AGO.exec(said);
  const [, count, name = ''] = past ?? AHEAD.exec(said) ?? [];
  const unit = UNIT_NAMES.find(([names]) => names.test(name));
  if (count === undefined || !unit) return null;
  const apart = BigInt(count) * unit[1];
  return BigInt(now.getTime()) * 1_000n + (past ? -apart : apart);
}

/** The instant of a day, or of a time of it. */
function clockIn(said: string, zone: Zone, timeZone: string | undefined): bigint | null {
  const match = WRITTEN.exec(said);
  if (!match) return null;
  const [, year, month, day = '01', hour = '00', minute = '00', second = '00', fraction = '0', offset] = match;
  const date = `${year}-${month}-${day}`;
  const milliseconds = Date.parse(`${date}T${hour}:${minute}:${second}Z`);
  // A Date takes days that no month has, and hour 24.
  if (Number.isNaN(milliseconds) || !new Date(milliseconds).toISOString().startsWith(`${date}T${hour}`)) return null;
  const clock = BigInt(milliseconds) * 1_000n + BigInt(fraction.padEnd(6, '0'));
  if (offset === undefined) return zone === 'utc' ? clock : clockToMicros(clock, timeZone);
  const [, sign, hours = 0, minutes = 0, seconds = 0] = /^([+-])(\d\d):?(\d\d)?(?::(\d\d))?$/.exec(offset) ?? [];
  if (Number(hours) > 15 || Number(minutes) > 59 || Number(seconds) > 59) return null;
  const ahead = BigInt(hours) * HOUR + BigInt(minutes) * MINUTE + BigInt(seconds) * SECOND;
  return sign === '-' ? clock + ahead : clock - ahead;
}
