import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import {
  type Batch,
  batchesOf,
  learn,
  newPace,
  type ReadLine,
  type SentLine,
} from '../../../src/storage/imports/batches.js';

/** A line that writes (false), or a watermark (true), by its number. */
const lineOf = (isMark: boolean, line: number, bytes = 100): SentLine => ({
  isMark,
  bytes,
  read: () => readOf(isMark, line),
});

const readOf = (isMark: boolean, line: number): ReadLine =>
  isMark
    ? { op: 'watermark', line, watermark: line }
    : {
        op: 'delete',
        line,
        type: 'x',
        address: { id: `${line}`, label: `${line}`, named: null },
        activity: null,
        at: null,
      };

async function* given(lines: readonly SentLine[], atOnce: number): AsyncGenerator<SentLine[]> {
  for (let from = 0; from < lines.length; from += atOnce) yield lines.slice(from, from + atOnce);
}

async function all(batches: AsyncIterable<Batch>): Promise<Batch[]> {
  const list: Batch[] = [];
  for await (const batch of batches) list.push(batch);
  return list;
}

const linesIn = ({ writes, watermark }: Batch): number[] => [
  ...writes.map(({ line }) => line),
  ...(typeof watermark === 'number' ? [watermark] : []),
];

t.test('property: all lines come, in their order, and no batch goes on behind a watermark', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.constant(true)), { maxLength: 200 }),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 60 }),
      async (marks, atOnce, pace) => {
        const lines = marks.map((isMark, n) => lineOf(isMark, n + 1));
        const batches = await all(batchesOf(given(lines, atOnce), { ...newPace(() => 0), lines: pace }));
        t.same(
          batches.flatMap(linesIn),
          marks.map((_, n) => n + 1),
        );
        for (const batch of batches) t.equal(linesIn(batch).length, batch.lines);
      },
    ),
    { numRuns: 200 },
  );
});

t.test('a watermark within reach ends a batch, however many lines the pace says', async (t) => {
  const cases: [what: string, lines: SentLine[], sizes: number[]][] = [
    ['within reach', [...Array.from({ length: 1_500 }, (_, n) => lineOf(false, n)), lineOf(true, 1_500)], [1_501]],
    ['none', Array.from({ length: 2_500 }, (_, n) => lineOf(false, n)), [1_000, 1_000, 500]],
    [
      'beyond it',
      [...Array.from({ length: 10_500 }, (_, n) => lineOf(false, n)), lineOf(true, 10_500), lineOf(false, 10_501)],
      [1_000, 9_501, 1],
    ],
    ['large lines', Array.from({ length: 5 }, (_, n) => lineOf(false, n, 2 ** 20)), [2, 2, 1]],
  ];
  for (const [what, lines, sizes] of cases) {
    const batches = await all(
      batchesOf(
        given(lines, 100),
        newPace(() => 0),
      ),
    );
    t.same(
      batches.map(({ lines }) => lines),
      sizes,
      what,
    );
  }
});

t.test('what has come is written where nothing more comes for a while', async (t) => {
  // The timer of who waits does not keep a process alive by itself.
  const alive = setInterval(() => {}, 1_000);
  t.teardown(() => clearInterval(alive));
  let end = () => {};
  const held = new Promise<void>((resolve) => {
    end = resolve;
  });
  async function* slow() {
    yield [lineOf(false, 1)];
    await held;
    yield [lineOf(false, 2)];
  }
  const batches = batchesOf(
    slow(),
    newPace(() => 0),
  );
  const first = await Promise.race([batches.next(), sleep(20_000, undefined, { ref: false })]);
  t.match(first, { value: { lines: 1 } });
  end();
  t.match(await batches.next(), { value: { lines: 1 } });
  t.match(await batches.next(), { done: true });
});

t.test('the pace is that of a quarter of a second, and shorter while others ask', async (t) => {
  let asked = 0;
  const pace = newPace(() => asked);
  const cases: [lines: number, took: number, then: number, besideOthers?: true][] = [
    [1_000, 500, 500],
    [500, 10_000, 125],
    [20, 1, 125],
    [125, 125, 250],
    [250, 10, 500],
    [500, 1, 1_000],
    [1_000, 1, 1_000],
    // Others are there: also a batch that says nothing of the pace leads to shorter ones.
    [20, 1, 250, true],
    [250, 10, 250, true],
    [250, 1_000, 63, true],
    [63, 1, 126, true],
    // They have gone.
    [126, 1, 252],
    [252, 1, 504],
  ];
  for (const [lines, took, then, besideOthers] of cases) {
    if (besideOthers) asked++;
    learn(pace, lines, took);
    t.equal(pace.lines, then, `${lines} in ${took} ms${besideOthers ? ' beside others' : ''}`);
  }
});
