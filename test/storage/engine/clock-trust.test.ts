import t from 'tap';
import { clockTrust, MENDABLE_MS, SETTLING_MS } from '../../../src/storage/engine/clock-trust.js';

const START = Date.parse('2026-01-01T00:00:00Z');
const YEAR = 365 * 24 * 3_600_000;

/** A look: how long after the last one, what the clock of the database says then beside the right time, and whether it is believed. */
type Look = [after: number, offBy: number, isBelieved: boolean];

t.test('the clock of the database is believed as long as it goes as this process does', async (t) => {
  const cases: [name: string, looks: Look[]][] = [
    [
      'it is right',
      [
        [0, 0, true],
        [1_000, 0, true],
        [3_600_000, 0, true],
      ],
    ],
    [
      'it is a little ahead from the beginning',
      [
        [0, 5_000, true],
        [1_000, 5_000, true],
      ],
    ],
    [
      'it is far ahead when the process starts',
      [
        [0, 60_000, false],
        [SETTLING_MS - 1, 60_000, false],
        [1, 60_000, true],
      ],
    ],
    [
      'it is behind',
      [
        [0, -YEAR, true],
        [1_000, -YEAR, true],
        [1_000, -2 * YEAR, true],
      ],
    ],
    [
      'it jumps forward by years, for three seconds',
      [
        [0, 0, true],
        [1_000, 20 * YEAR, false],
        [1_500, 20 * YEAR, false],
        [1_500, 0, true],
      ],
    ],
    [
      'it jumps forward by a minute, and stays there',
      [
        [0, 0, true],
        [1_000, 60_000, false],
        [29_000, 60_000, false],
        [1_000, 60_000, true],
      ],
    ],
    [
      'it jumps on and on',
      [
        [0, 0, true],
        [1_000, YEAR, false],
        [29_000, 2 * YEAR, false],
        [29_000, 3 * YEAR, false],
        [2_000, 3 * YEAR, false],
      ],
    ],
    [
      'it jumps within what a clock may be corrected by',
      [
        [0, 0, true],
        [1_000, 9_000, true],
        [1_000, 18_000, true],
      ],
    ],
    [
      'it is slightly faster, and nobody looked for a day',
      [
        [0, 0, true],
        [24 * 3_600_000, 60_000, true],
      ],
    ],
    [
      'it steps back, and is mended',
      [
        [0, 5_000, true],
        [1_000, -60_000, true],
        [60_000, -60_000, true],
        [1_000, 0, true],
        [1_000, 60_000, false],
      ],
    ],
    [
      'it steps back again and again, and is mended',
      [
        [0, 0, true],
        [MENDABLE_MS, -60_000, true],
        [MENDABLE_MS - 1, -120_000, true],
        [0, 0, true],
        [MENDABLE_MS - 1, -120_000, true],
        [MENDABLE_MS - 1, 0, true],
      ],
    ],
    [
      'it was corrected back',
      [
        [0, 60_000, false],
        [SETTLING_MS, 60_000, true],
        [1_000, 0, true],
        [MENDABLE_MS, 0, true],
        [1_000, 60_000, false],
      ],
    ],
  ];
  for (const [name, looks] of cases) {
    let now = 0;
    const trust = clockTrust({ wall: () => START + now, steady: () => now });
    t.equal(trust.latest(), null);
    for (const [n, [after, offBy, isBelieved]] of looks.entries()) {
      now += after;
      const ahead = trust.judge(START + now + offBy, null);
      t.equal(ahead === 0, isBelieved, `${name}: look ${n + 1}`);
      if (isBelieved) t.ok((trust.latest() ?? 0) > START + now + offBy);
    }
  }
});

t.test('a start long after the last promise is believed, but not years after', async (t) => {
  for (const [gap, isBelieved] of [
    [30_000, true],
    [YEAR, true],
    [2 * YEAR, false],
    [-YEAR, true],
  ] as const) {
    const trust = clockTrust({ wall: () => START, steady: () => 0 });
    t.equal(trust.judge(START, START - gap) === 0, isBelieved, String(gap));
  }
});
