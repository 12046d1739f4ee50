import t from 'tap';
import { instantOf, microseconds } from '../../../src/temporal/point.js';
import {
  changeAfter,
  changeBefore,
  evenly,
  firstChange,
  instantAt,
  type Newest,
  shareOf,
} from '../../../src/ui/collection/changes.js';

const START = microseconds('2012-06-06T18:36:09Z');
const at = (micros: number) => instantOf(START + BigInt(micros));

/** A service that knows these changes, in order; and how often it was asked. */
function serviceOf(changes: readonly string[]): { newest: Newest; asked: () => number } {
  let asked = 0;
  const newest = async (instant: string) => {
    asked++;
    return changes.findLast((change) => change <= instantOf(microseconds(instant))) ?? null;
  };
  return { newest, asked: () => asked };
}

/** Changes as real ones lie: some a microsecond apart, some in the same second, some years apart. */
const GAPS = [1, 1, 2, 999, 1_000_000, 3_600_000_000, 1, 86_400_000_000, 5_000, 31_536_000_000_000, 1, 7];
const CHANGES = [0, ...GAPS].map((_, n) => at(GAPS.slice(0, n).reduce((sum, gap) => sum + gap, 0)));
const [FIRST = '', SECOND = ''] = CHANGES;
const LAST = CHANGES.at(-1) ?? '';

t.test('From each change one comes to the one before it and to the one after it, and past none', async (t) => {
  const { newest } = serviceOf(CHANGES);
  for (const [n, change] of CHANGES.entries()) {
    t.equal(await changeBefore(newest, change), CHANGES[n - 1] ?? null, `before ${n}`);
    t.equal(await changeAfter(newest, change, LAST), CHANGES[n + 1] ?? null, `after ${n}`);
  }
});

t.test(
  'From between two changes one comes to the change before the one that is shown, and to the one after',
  async (t) => {
    const { newest } = serviceOf([at(0), at(10), at(20)]);
    t.equal(await changeBefore(newest, at(15)), at(0));
    t.equal(await changeAfter(newest, at(15), at(20)), at(20));
    t.equal(await changeBefore(newest, at(25)), at(10), 'after the last one');
    t.equal(await changeAfter(newest, at(25), at(20)), null, 'after the last one there is none');
    t.equal(await changeBefore(newest, at(-5)), null, 'before the first one there is none');
    t.equal(await changeAfter(newest, at(-5), at(20)), at(0), 'before the first one');
  },
);

t.test('An instant written with an offset is the same instant', async (t) => {
  const { newest } = serviceOf(CHANGES);
  t.equal(await changeAfter(newest, '2012-06-06T20:36:09+02:00', LAST), SECOND);
});

t.test('The first change is found from any, in few questions where that is the first one', async (t) => {
  const service = serviceOf(CHANGES);
  t.equal(await firstChange(service.newest, FIRST), FIRST);
  t.equal(service.asked(), 1);
  for (const known of CHANGES) t.equal(await firstChange(service.newest, known), FIRST);
});

t.test('Among very many changes the next one is found in some tens of questions', async (t) => {
  const GAP = 1_000_003;
  let asked = 0;
  const newest: Newest = async (instant) => {
    asked++;
    const n = Math.floor(Number(microseconds(instant) - START) / GAP);
    return n < 0 ? null : at(n * GAP);
  };
  t.equal(await changeAfter(newest, at(40_000 * GAP), at(99_999 * GAP)), at(40_001 * GAP));
  t.ok(asked < 100, `${asked} questions`);
});

t.test('Instants lie evenly, each once, with both ends exact to the microsecond', async (t) => {
  t.same(evenly(at(0), at(4), 3), [at(0), at(2), at(4)]);
  t.same(evenly(at(0), at(2), 5), [at(0), at(1), at(2)], 'no finer than instants are');
  t.same(evenly(at(3), at(3), 60), [at(3)]);
  const many = evenly(FIRST, LAST, 60);
  t.equal(many.length, 60);
  t.same([many[0], many.at(-1)], [FIRST, LAST]);
});

t.test('A share of a time is an instant, and back', async (t) => {
  t.equal(instantAt(0, FIRST, LAST), FIRST);
  t.equal(instantAt(1, FIRST, LAST), LAST);
  t.equal(instantAt(0.5, at(0), at(10)), at(5));
  t.equal(shareOf(at(5), at(0), at(10)), 0.5);
  t.equal(shareOf(at(-5), at(0), at(10)), 0);
  t.equal(shareOf(at(15), at(0), at(10)), 1);
  t.equal(shareOf(at(0), at(0), at(0)), 1, 'of no time, the end');
});
