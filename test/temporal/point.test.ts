import fc from 'fast-check';
import t from 'tap';
import {
  instantOf,
  isBefore,
  knownPoint,
  LAST_TICK,
  microseconds,
  type Point,
  parsePoint,
  pointText,
} from '../../src/temporal/point.js';
import { Refusal } from '../../src/temporal/refusal.js';

/** The refusal of a text that must be refused. */
function refused(text: string, parameter: string): Refusal {
  try {
    parsePoint(text, parameter);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(text)}`);
}

t.test('only digits is a tick', async (t) => {
  const rows: [text: string, tick: number][] = [
    ['1', 1],
    ['3', 3],
    ['10', 10],
    ['007', 7],
    ['2014', 2014],
    ['20160819', 20_160_819],
    ['2147483646', 2_147_483_646],
    ['2147483647', 2_147_483_647],
    [`${'0'.repeat(400)}5`, 5],
  ];
  for (const [text, tick] of rows) t.strictSame(parsePoint(text, 'asOf'), { tick }, text.slice(0, 40));
  // More than a clock can reach is the last tick it can reach, which no entity has. A message says what was asked.
  for (const text of ['2147483648', '4294967297', '9007199254740993', '1'.repeat(400), '9'.repeat(100_000)]) {
    const point = parsePoint(text, 'asOf');
    t.match(point, { tick: 2_147_483_647 }, text.slice(0, 40));
    t.equal(pointText(point), text);
  }
});

t.test('an instant is a whole RFC 3339 text, of which no digit is lost', async (t) => {
  const unchanged = [
    '2016-08-19T00:00:00Z',
    '2016-08-19T00:00:00.000000Z',
    '2016-08-19T23:59:59.999999Z',
    '2016-08-19T12:34:56.1Z',
    '2016-08-19T12:34:56.12Z',
    '2016-08-19T12:34:56.123Z',
    '2016-08-19T12:34:56.1234Z',
    '2016-08-19T12:34:56.12345Z',
    '2016-08-19T12:34:56.100000Z',
    '2016-08-19T02:00:00+02:00',
    '2016-08-19T02:00:00-09:30',
    '2016-08-19T02:00:00.5+05:45',
    '2016-08-19T02:00:00+00:00',
    '2016-08-19T02:00:00-00:00',
    '2016-08-19T02:00:00+14:00',
    '2016-08-19T02:00:00+15:59',
    '2016-08-19T02:00:00-15:59',
    '0001-01-01T00:00:00Z',
    '0099-12-31T00:00:00Z',
    '9999-12-31T23:59:59.999999Z',
    // Leap days: every fourth year, not every hundredth, but every four-hundredth.
    '2024-02-29T00:00:00Z',
    '2000-02-29T00:00:00Z',
    '0004-02-29T00:00:00Z',
    '0400-02-29T00:00:00Z',
    '9996-02-29T00:00:00Z',
    // The last day of every month.
    '2023-01-31T00:00:00Z',
    '2023-02-28T00:00:00Z',
    '1900-02-28T00:00:00Z',
    '2023-03-31T00:00:00Z',
    '2023-04-30T00:00:00Z',
    '2023-05-31T00:00:00Z',
    '2023-06-30T00:00:00Z',
    '2023-07-31T00:00:00Z',
    '2023-08-31T00:00:00Z',
    '2023-09-30T00:00:00Z',
    '2023-10-31T00:00:00Z',
    '2023-11-30T00:00:00Z',
    '2023-12-31T00:00:00Z',
  ];
  for (const text of unchanged) t.strictSame(parsePoint(text, 'asOf'), { instant: text }, text);

  const rewritten: [why: string, text: string, instant: string][] = [
    ['t and z are T and Z', '2016-08-19t00:00:00z', '2016-08-19T00:00:00Z'],
    ['t with an offset', '2016-08-19t00:00:00.5-01:00', '2016-08-19T00:00:00.5-01:00'],
    ['a + that was not percent-encoded', '2016-08-19T00:00:00 02:00', '2016-08-19T00:00:00+02:00'],
    ['the same after a fraction', '2016-08-19T00:00:00.123456 02:00', '2016-08-19T00:00:00.123456+02:00'],
    ['both', '2016-08-19t00:00:00 00:00', '2016-08-19T00:00:00+00:00'],
    ['what Python prints by %z', '2016-08-19T00:00:00.123456+0200', '2016-08-19T00:00:00.123456+02:00'],
    ['what .NET prints', '2016-08-19T00:00:00.1234560Z', '2016-08-19T00:00:00.123456Z'],
    ['what .NET prints of a whole second', '2016-08-19T00:00:00.0000000+02:00', '2016-08-19T00:00:00.000000+02:00'],
    ['what Go prints', '2016-08-19T00:00:00.123456000Z', '2016-08-19T00:00:00.123456Z'],
    ['zeros without end', `2016-08-19T00:00:00.5${'0'.repeat(1_000)}Z`, '2016-08-19T00:00:00.500000Z'],
  ];
  for (const [why, text, instant] of rewritten) t.strictSame(parsePoint(text, 'asOf'), { instant }, why);
});

t.test('anything else is refused before the database sees it', async (t) => {
  const form =
    'is not a tick (digits only) or an RFC 3339 instant with its offset, such as 2016-08-19T00:00:00.000000Z';
  const zero = 'is no tick: ticks count from 1';
  const day = 'names a day that no calendar has';
  const time = 'names a time that no clock shows';
  const offset = 'has an offset that no zone has: hours go to 15, minutes to 59';
  const without = 'lacks its offset: write Z or ±hh:mm';
  const digits = 'has more than six fractional digits; instants are microseconds';
  const rows: [text: string, why: string][] = [
    ['0', zero],
    ['000', zero],
    ['-1', form],
    ['+1', form],
    ['1.5', form],
    ['1.0', form],
    ['1e3', form],
    ['0x10', form],
    ['1_000', form],
    ['1n', form],
    ['１', form],
    ['٣', form],
    [' 1', form],
    ['1 ', form],
    ['1\n', form],
    ['1\0', form],
    // What PostgreSQL would take.
    ['now', form],
    ['today', form],
    ['yesterday', form],
    ['infinity', form],
    ['-infinity', form],
    ['epoch', form],
    ['allballs', form],
    ['J2451187', form],
    ['2016-08-19 00:00:00Z', form],
    ['2016-08-19 00:00:00+00', form],
    ['2016-08-19T00:00:00 UTC', form],
    ['2016-08-19T00:00:00 Europe/Berlin', form],
    ['2016-08-19T00:00:00Z BC', form],
    ['0044-03-15T12:00:00Z BC', form],
    ['2016-232T00:00:00Z', form],
    ['20160819T000000Z', form],
    ['19 Aug 2016', form],
    // What Date.parse would take.
    ['Fri, 19 Aug 2016 00:00:00 GMT', form],
    ['+002016-08-19T00:00:00Z', form],
    ['2016-08', form],
    // Less than an instant, or more.
    ['', form],
    [' ', form],
    ['2016-08-19', form],
    ['2016-08-19Z', form],
    ['2016-08-19T', form],
    ['2016-08-19T00Z', form],
    ['2016-08-19T00:00Z', form],
    ['2016-08-19T00:00:00.Z', form],
    ['2016-08-19T00:00:00,5Z', form],
    ['2016-08-19T00:00:00ZZ', form],
    ['2016-08-19T00:00:00Z+00:00', form],
    ['2016-08-19T00:00:00+02', form],
    ['2016-08-19T00:00:00+2:00', form],
    ['2016-08-19T00:00:00+02:00:00', form],
    ['2016-08-19T00:00:00  02:00', form],
    ['2016-08-19T00:00:00−02:00', form],
    ['2016-8-19T00:00:00Z', form],
    ['2016-08-19T0:00:00Z', form],
    ['16-08-19T00:00:00Z', form],
    ['10000-01-01T00:00:00Z', form],
    ['-0001-01-01T00:00:00Z', form],
    ['２０１６-08-19T00:00:00Z', form],
    ['2016-08-19T00:00:00.１Z', form],
    ['2016-08-19T00:00:00Z\n', form],
    ['\n2016-08-19T00:00:00Z', form],
    [' 2016-08-19T00:00:00Z', form],
    ['2016-08-19T00:00:00Z ', form],
    ['2016-08-19T00:00:00Z;', form],
    ['2016-08-19T00:00:00Z--', form],
    ['2016-08-19T00:00:00Z\0', form],
    ['\0', form],
    ['\ud800', form],
    ['x'.repeat(100_000), form],
    [' '.repeat(100_000), form],
    // An instant but for its offset.
    ['2016-08-19T00:00:00', without],
    ['2016-08-19t00:00:00.123456', without],
    // More digits than are kept would have to be rounded.
    ['2016-08-19T00:00:00.1234567Z', digits],
    ['2016-08-19T00:00:00.0000001Z', digits],
    ['2016-08-19T00:00:00.00000000000001Z', digits],
    ['2016-08-19T00:00:00.12345600100Z', digits],
    ['2016-08-19T00:00:00.999999999+02:00', digits],
    [`2016-08-19T00:00:00.${'1'.repeat(100_000)}Z`, digits],
    // Days.
    ['0000-01-01T00:00:00Z', day],
    ['0000-02-29T00:00:00Z', day],
    ['2016-00-19T00:00:00Z', day],
    ['2016-13-01T00:00:00Z', day],
    ['2016-08-00T00:00:00Z', day],
    ['2016-08-32T00:00:00Z', day],
    ['2016-02-30T00:00:00Z', day],
    ['2023-02-29T00:00:00Z', day],
    ['1900-02-29T00:00:00Z', day],
    ['2100-02-29T00:00:00Z', day],
    ['2023-01-32T00:00:00Z', day],
    ['2023-03-32T00:00:00Z', day],
    ['2023-04-31T00:00:00Z', day],
    ['2023-06-31T00:00:00Z', day],
    ['2023-09-31T00:00:00Z', day],
    ['2023-11-31T00:00:00Z', day],
    ['2023-12-32T00:00:00Z', day],
    // Times.
    ['2016-08-19T24:00:00Z', time],
    ['2016-08-19T25:00:00Z', time],
    ['2016-08-19T00:60:00Z', time],
    ['2016-08-19T00:00:60Z', time],
    ['2016-12-31T23:59:60Z', time],
    ['2016-08-19T00:00:61Z', time],
    // Offsets.
    ['2016-08-19T00:00:00+16:00', offset],
    ['2016-08-19T00:00:00-16:00', offset],
    ['2016-08-19T00:00:00 16:00', offset],
    ['2016-08-19T00:00:00+14:60', offset],
    ['2016-08-19T00:00:00-00:60', offset],
    ['2016-08-19T00:00:00+99:99', offset],
  ];
  for (const [text, why] of rows) {
    const { code, message, notes } = refused(text, 'asOf');
    const expected = { code: 'invalid_as_of', message: `asOf ${why}.`, notes: faultOf('asOf', why) };
    t.strictSame({ code, message, notes }, expected, JSON.stringify(text.slice(0, 40)));
  }
  for (const parameter of ['from', 'to']) {
    const { message, notes } = refused('0', parameter);
    t.equal(message, `${parameter} ${zero}.`, 'the parameter is named');
    t.strictSame(notes, faultOf(parameter, zero));
  }

  function faultOf(path: string, message: string) {
    return { errors: [{ path, message }] };
  }
});

const two = (value: number) => String(value).padStart(2, '0');

/** Whether JavaScript's calendar has the day: there February 30 becomes March 1 or 2. */
function isDay(year: number, month: number, day: number): boolean {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day); // Date.UTC would read the years 0 to 99 as 1900 to 1999
  return date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

/** The text of an instant with fields of the right width, in or out of range. */
const parts = fc.record({
  year: fc.oneof(fc.integer({ min: 0, max: 9999 }), fc.constantFrom(0, 1, 4, 100, 400, 1900, 2000, 2023, 2024, 9999)),
  month: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 12 }) }, { weight: 1, arbitrary: fc.nat(99) }),
  day: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 28 }) },
    { weight: 3, arbitrary: fc.integer({ min: 28, max: 32 }) },
    { weight: 1, arbitrary: fc.nat(99) },
  ),
  hour: fc.oneof({ weight: 9, arbitrary: fc.nat(23) }, { weight: 1, arbitrary: fc.nat(99) }),
  minute: fc.oneof({ weight: 9, arbitrary: fc.nat(59) }, { weight: 1, arbitrary: fc.nat(99) }),
  second: fc.oneof({ weight: 9, arbitrary: fc.nat(59) }, { weight: 1, arbitrary: fc.nat(99) }),
  fraction: fc.option(fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: 9 })),
  offset: fc.option(
    fc.record({
      sign: fc.constantFrom('+', '-', ' '),
      hour: fc.oneof({ weight: 9, arbitrary: fc.nat(15) }, { weight: 1, arbitrary: fc.nat(99) }),
      minute: fc.oneof({ weight: 9, arbitrary: fc.nat(59) }, { weight: 1, arbitrary: fc.nat(99) }),
    }),
  ),
  lower: fc.boolean(),
});

t.test('property: an instant is accepted if and only if a calendar and a clock can show it', async (t) => {
  const seen = { accepted: 0, refused: 0 };
  fc.assert(
    fc.property(parts, ({ year, month, day, hour, minute, second, fraction, offset, lower }) => {
      const date = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`;
      const time = `${two(hour)}:${two(minute)}:${two(second)}${fraction === null ? '' : `.${fraction}`}`;
      const zone = offset === null ? 'Z' : `${offset.sign}${two(offset.hour)}:${two(offset.minute)}`;
      const written = `${date}T${time}${zone}`;
      const text = lower ? written.toLowerCase() : written;
      const valid =
        year >= 1 &&
        isDay(year, month, day) &&
        hour < 24 &&
        minute < 60 &&
        second < 60 &&
        !/[1-9]/.test((fraction ?? '').slice(6)) &&
        (offset === null || (offset.hour <= 15 && offset.minute < 60));
      seen[valid ? 'accepted' : 'refused'] += 1;
      if (!valid) return refused(text, 'asOf').code === 'invalid_as_of';
      const point = parsePoint(text, 'asOf');
      const kept = fraction === null ? written : written.replace(fraction, fraction.slice(0, 6));
      return 'instant' in point && point.instant === kept.replace(' ', '+');
    }),
    { numRuns: 5000 },
  );
  t.ok(Math.min(seen.accepted, seen.refused) > 500, JSON.stringify(seen));
});

t.test('property: any text is a point or a refusal, and a point holds nothing but digits and marks', async (t) => {
  const piece = fc.constantFrom(
    ...'0123456789TZtz:.+- \n\0１',
    '2016-08-19',
    '00:00:00',
    '+02:00',
    'now',
    '😀',
    '\ud800',
  );
  const damaged = fc
    .tuple(
      fc.constantFrom('2016-08-19T00:00:00Z', '2016-08-19t00:00:00.123456 02:00', '0001-12-31T23:59:59-15:59'),
      fc.nat(32),
      fc.nat(2),
      fc.string({ unit: piece, maxLength: 2 }),
    )
    .map(([text, at, drop, put]) => text.slice(0, at) + put + text.slice(at + drop));
  const seen = { ticks: 0, instants: 0, refused: 0 };
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: piece }),
        fc.string({ unit: fc.constantFrom(...'0123456789') }),
        damaged,
        fc.string({ unit: 'binary' }),
      ),
      (text) => {
        try {
          const point = parsePoint(text, 'to');
          if ('tick' in point) {
            seen.ticks += 1;
            return /^[0-9]+$/.test(text) && Number.isInteger(point.tick) && point.tick >= 1 && point.tick < 2 ** 31;
          }
          seen.instants += 1;
          return /^[-+0-9T:.Z]{20,32}$/.test(point.instant) && point.instant.length <= text.length + 1;
        } catch (error) {
          seen.refused += 1;
          return error instanceof Refusal && error.code === 'invalid_as_of' && error.message.length < 160;
        }
      },
    ),
    { numRuns: 10_000 },
  );
  t.ok(Math.min(seen.ticks, seen.instants, seen.refused) > 200, JSON.stringify(seen));
});

t.test('instants are compared to the microsecond, whatever their offset and digits', async (t) => {
  const cases: [one: string, other: string, order: -1 | 0 | 1][] = [
    ['2016-08-19T00:00:00Z', '2016-08-19T00:00:00.000000Z', 0],
    ['2016-08-19T00:00:00.5Z', '2016-08-19T00:00:00.500000Z', 0],
    ['2016-08-19T02:00:00+02:00', '2016-08-19T00:00:00.000000Z', 0],
    ['2016-08-18T23:30:00-00:30', '2016-08-19T00:00:00.000000Z', 0],
    ['2016-08-19T00:00:00.123456Z', '2016-08-19T00:00:00.123457Z', -1],
    ['2016-08-19T00:00:00.1234Z', '2016-08-19T00:00:00.123399Z', 1],
    ['1969-12-31T23:59:59.999999Z', '1970-01-01T00:00:00Z', -1],
    ['1969-12-31T23:59:59.000001Z', '1969-12-31T23:59:59.000002Z', -1],
    ['1969-12-31T23:59:58.999999Z', '1969-12-31T23:59:59.000001Z', -1],
    ['0001-01-01T00:00:00.000001Z', '0001-01-01T00:00:00.000002Z', -1],
    ['9999-12-31T23:59:59.999998Z', '9999-12-31T23:59:59.999999Z', -1],
    ['9999-12-31T23:59:59.999999-15:59', '9999-12-31T23:59:59.999999Z', 1],
  ];
  for (const [one, other, order] of cases) {
    t.equal(isBefore(one, other), order < 0, `${one} ${other}`);
    t.equal(isBefore(other, one), order > 0, `${other} ${one}`);
  }
});

t.test('an instant in UTC has all its digits, and compares as text', async (t) => {
  const cases: [text: string, shown: string][] = [
    ['2016-08-19T02:00:00+02:00', '2016-08-19T00:00:00.000000Z'],
    ['2016-08-19T00:00:00.1Z', '2016-08-19T00:00:00.100000Z'],
    ['1969-12-31T23:59:59.999999Z', '1969-12-31T23:59:59.999999Z'],
    ['1850-01-01T00:00:00.000001-14:00', '1850-01-01T14:00:00.000001Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000000Z'],
    ['9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999999Z'],
  ];
  for (const [text, shown] of cases) t.equal(instantOf(microseconds(text)), shown, text);
  const shown = cases.map(([, shown]) => shown);
  t.same(
    shown.toSorted(),
    shown.toSorted((a, b) => (isBefore(a, b) ? -1 : 1)),
  );
  for (const text of ['0001-01-01T00:00:00+00:01', '9999-12-31T23:59:59-00:01'])
    t.throws(() => instantOf(microseconds(text)), RangeError, text);
});

t.test('of an entity of which the first ticks are known, each point is read no later than the last of them', (t) => {
  const known = { tick: 3, at: '2016-08-19T00:00:00.000000Z' };
  const cases: [asked: Point | null, read: Point][] = [
    [null, { tick: 3 }],
    [{ tick: 1 }, { tick: 1 }],
    [{ tick: 3 }, { tick: 3 }],
    [{ tick: 4 }, { tick: LAST_TICK, written: '4' }],
    [
      { tick: LAST_TICK, written: '99999999999' },
      { tick: LAST_TICK, written: '99999999999' },
    ],
    [{ instant: '2016-08-18T23:59:59.999999Z' }, { instant: '2016-08-18T23:59:59.999999Z' }],
    [{ instant: '2016-08-19T01:59:59.999999+02:00' }, { instant: '2016-08-19T01:59:59.999999+02:00' }],
    [{ instant: '2016-08-19T00:00:00Z' }, { tick: 3 }],
    [{ instant: '2999-01-01T00:00:00Z' }, { tick: 3 }],
  ];
  for (const [asked, read] of cases) t.same(knownPoint(asked, known), read, JSON.stringify(asked));
  t.end();
});
