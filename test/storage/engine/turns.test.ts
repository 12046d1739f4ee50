import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { turns } from '../../../src/storage/engine/turns.js';

const PATIENT = { waiting: 100, patience: 60_000 };

t.test('work on one thing runs in the order in which it came, one at a time', async (t) => {
  const inTurn = turns(PATIENT);
  const log: string[] = [];
  const work = (name: string, ms: number) => async () => {
    log.push(`${name} begins`);
    await sleep(ms);
    log.push(`${name} ends`);
  };
  await Promise.all([inTurn('x', work('a', 20)), inTurn('x', work('b', 0)), inTurn('x', work('c', 5))]);
  t.same(log, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
});

t.test('work on different things does not wait', async (t) => {
  const inTurn = turns(PATIENT);
  let release = () => {};
  const slow = inTurn('x', () => new Promise<string>((resolve) => (release = () => resolve('slow'))));
  t.equal(await inTurn('y', async () => 'quick'), 'quick');
  release();
  t.equal(await slow, 'slow');
});

t.test('work that fails fails for itself', async (t) => {
  const inTurn = turns(PATIENT);
  const failing = inTurn('x', () => sleep(5).then(() => Promise.reject(new Error('broken'))));
  const next = inTurn('x', async () => 'next');
  await t.rejects(failing, { message: 'broken' });
  t.equal(await next, 'next');
});

t.test('who cannot wait any more is refused, and those behind keep their order', async (t) => {
  const inTurn = turns({ waiting: 3, patience: 300 });
  const running: string[] = [];
  const work = (name: string, ms: number) => async () => {
    running.push(name);
    await sleep(ms);
    return name;
  };
  const first = inTurn('x', work('first', 5));
  const gone = new AbortController();
  const left = inTurn('x', work('gone', 0), gone.signal);
  const slow = inTurn('x', work('slow', 450));
  const late = inTurn('x', work('late', 0));
  await t.rejects(inTurn('x', work('too many', 0)), { code: 'overloaded' });
  gone.abort();
  t.equal(await first, 'first');
  await t.rejects(left, { code: 'overloaded' });
  let isSlowOver = false;
  void slow.then(() => {
    isSlowOver = true;
  });
  await t.rejects(late, { code: 'too_many_writers' });
  t.notOk(isSlowOver, 'who has waited for too long is told then, not when its turn comes');
  const again = inTurn('x', async () => isSlowOver);
  t.equal(await slow, 'slow');
  t.same(running, ['first', 'slow'], 'what is refused is not begun');
  t.ok(await again, 'who comes later still waits for what is under way');
});
