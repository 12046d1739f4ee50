import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { lane } from '../../../src/storage/engine/lanes.js';
import { Refusal } from '../../../src/temporal/refusal.js';

const REFUSALS = {
  full: () => new Refusal('overloaded', 'full'),
  late: () => new Refusal('too_many_writers', 'late'),
};

/** Work that ends when it is told to. */
function held(name: string, begun: string[] = []) {
  let end = () => {};
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  return {
    work: async () => {
      begun.push(name);
      await over;
      return name;
    },
    end,
  };
}

t.test('so much runs at once; the rest waits, in its order', async (t) => {
  const inLane = lane({ atOnce: 2, waiting: 10, patience: 10_000 }, REFUSALS);
  const begun: string[] = [];
  const works = ['a', 'b', 'c', 'd'].map((name) => held(name, begun));
  const done = works.map(({ work }) => inLane(work));
  await sleep(5);
  t.same(begun, ['a', 'b']);
  works[1]?.end();
  t.equal(await done[1], 'b');
  await sleep(5);
  t.same(begun, ['a', 'b', 'c']);
  for (const { end } of works) end();
  t.same(await Promise.all(done), ['a', 'b', 'c', 'd']);
});

t.test('who cannot be served is told at once, or when the time is over, and never begun', async (t) => {
  const inLane = lane({ atOnce: 1, waiting: 2, patience: 50 }, REFUSALS);
  const begun: string[] = [];
  const slow = held('slow', begun);
  const [first, late, gone] = [held('first', begun), held('late', begun), held('gone', begun)];
  const running = inLane(slow.work);
  const waiting = [inLane(first.work), inLane(late.work)];
  await t.rejects(inLane(gone.work), { code: 'overloaded' }, 'two wait already');
  await Promise.all(
    waiting.map((one) => t.rejects(one, { code: 'too_many_writers' }, 'although what runs has not ended')),
  );
  slow.end();
  t.equal(await running, 'slow');
  const left = new AbortController();
  left.abort();
  await t.rejects(inLane(gone.work, left.signal), { code: 'overloaded' }, 'nobody waits for it');
  t.same(begun, ['slow']);
  t.equal(await inLane(async () => 'next'), 'next', 'and the lane goes on');
});

t.test('work that fails fails for itself, also where it throws at once', async (t) => {
  const inLane = lane({ atOnce: 1, waiting: 10, patience: 10_000 }, REFUSALS);
  await t.rejects(
    inLane(() => Promise.reject(new Error('broken'))),
    { message: 'broken' },
  );
  await t.rejects(
    inLane(() => {
      throw new Error('thrown');
    }),
    { message: 'thrown' },
  );
  t.equal(await inLane(async () => 'next'), 'next');
});
