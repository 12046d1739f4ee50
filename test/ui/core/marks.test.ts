import fc from 'fast-check';
import t from 'tap';
import { microseconds } from '../../../src/temporal/point.js';
import { type Mark, marksOf } from '../../../src/ui/core/marks.js';
import { axisOf, scaleOf } from '../../../src/ui/core/scale.js';

const brief = (marks: readonly Mark[]): string[] =>
  marks.map(({ label, day }) => (day === null ? label : `${day} ${label}`));

const between = (from: string, to: string, width = 500) =>
  scaleOf(axisOf([microseconds(from), microseconds(to)]), { width });

t.test('round times, as close as their labels allow', async (t) => {
  const cases: [from: string, to: string, zone: string, labels: string[]][] = [
    [
      '2016-01-01T00:00:00Z',
      '2016-01-01T00:00:00.000010Z',
      'UTC',
      [
        '2016-01-01 00:00:00.000000',
        '00:00:00.000002',
        '00:00:00.000004',
        '00:00:00.000006',
        '00:00:00.000008',
        '00:00:00.000010',
      ],
    ],
    [
      '2016-01-01T00:00:00.99Z',
      '2016-01-01T00:00:01.02Z',
      'UTC',
      ['2016-01-01 00:00:00.990', '00:00:01.000', '00:00:01.010', '00:00:01.020'],
    ],
    [
      '2016-01-01T23:59:30Z',
      '2016-01-02T00:00:40Z',
      'UTC',
      ['2016-01-01 23:59:30', '23:59:45', '2016-01-02 00:00:00', '00:00:15', '00:00:30'],
    ],
    ['2016-01-01T21:00:00Z', '2016-01-02T03:00:00Z', 'UTC', ['2016-01-01 22:00', '2016-01-02 00:00', '02:00']],
    ['2016-01-01T21:00:00Z', '2016-01-02T03:00:00Z', 'Asia/Kathmandu', ['2016-01-02 04:00', '06:00', '08:00']],
    // The clock is set forward from 2 to 3, so that 3 comes too soon after 0.
    [
      '2016-03-26T20:00:00Z',
      '2016-03-27T08:00:00Z',
      'Europe/Berlin',
      ['2016-03-26 21:00', '2016-03-27 00:00', '06:00', '09:00'],
    ],
    // From Monday to Monday.
    [
      '2016-01-01T00:00:00Z',
      '2016-02-03T00:00:00Z',
      'UTC',
      ['2016-01-04', '2016-01-11', '2016-01-18', '2016-01-25', '2016-02-01'],
    ],
    ['2016-01-15T00:00:00Z', '2017-01-15T00:00:00Z', 'UTC', ['2016-04', '2016-07', '2016-10', '2017-01']],
    ['1999-06-01T00:00:00Z', '2013-06-01T00:00:00Z', 'UTC', ['2000', '2005', '2010']],
    ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999999Z', 'UTC', ['2000', '4000', '6000', '8000']],
  ];
  for (const [from, to, zone, labels] of cases)
    t.strictSame(brief(marksOf(between(from, to), 'local', zone)), labels, `${from} to ${to}, ${zone}`);
});

t.test('after a fold one sees what time it is', async (t) => {
  const start = microseconds('2016-01-01T10:00:00Z');
  const burst = Array.from({ length: 60 }, (_, n) => BigInt(n) * 60_000_000n);
  const later = burst.map((micros) => micros + 86_400_000_000n * 300n);
  const scale = scaleOf(axisOf([...burst, ...later].map((micros) => start + micros)), { width: 500 });
  t.equal(scale.folds.length, 1);
  const [fold] = scale.folds;
  const marks = marksOf(scale, 'utc');
  t.strictSame(brief(marks), ['2016-01-01 10:00', '10:30', '2016-10-27 10:00', '10:30']);
  t.ok(
    marks.every(({ x }) => x <= (fold?.x ?? 0) || x >= (fold?.x ?? 0) + (fold?.width ?? 0)),
    'none is in the fold',
  );
});

t.test('marks stand where their instants are, apart from each other', async () => {
  const micros = fc.bigInt({
    min: microseconds('0001-01-01T00:00:00Z'),
    max: microseconds('9999-12-31T23:59:59.999999Z'),
  });
  fc.assert(
    fc.property(
      fc.uniqueArray(micros, { minLength: 2, maxLength: 40 }),
      fc.integer({ min: 50, max: 2_000 }),
      fc.constantFrom('UTC', 'Europe/Berlin', 'Asia/Kathmandu'),
      fc.integer({ min: 0, max: 1_000 }).map((n) => n / 1_000),
      fc.integer({ min: 0, max: 600 }).map((n) => 10 ** (n / 100)),
      (instants, width, zone, part, factor) => {
        const axis = axisOf(instants.sort((a, b) => (a < b ? -1 : 1)));
        const whole = scaleOf(axis, { width });
        const scale = scaleOf(axis, { ...whole.zoom(whole.microsAt(part * width), factor), width });
        const marks = marksOf(scale, 'local', zone);
        return (
          marks.length >= 1 &&
          marks.length <= width / 90 + 1 &&
          marks.every(({ x, at, label }, n) => {
            const before = marks[n - 1];
            return x === scale.xOf(at) && label !== '' && (before === undefined || x - before.x >= 90);
          })
        );
      },
    ),
    { numRuns: 200, examples: [[[-12n, -1n, 0n], 50, 'UTC', 0, 1.0715193052376064]] },
  );
});
