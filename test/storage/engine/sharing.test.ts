import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { type Bounds, share } from '../../../src/storage/engine/sharing.js';

const BOUNDS: Bounds = { batch: 100, weight: 1000, flights: 1, most: 1, patience: 10, waiting: 1000, wait: 60_000 };

/** A coalescer whose statements answer when they are told to, in the order in which they left. */
function held(bounds: Partial<Bounds> = {}) {
  const flights: { questions: readonly number[]; land: () => void }[] = [];
  const ask = share<number, string>(
    (questions) =>
      new Promise((resolve) =>
        flights.push({ questions, land: () => resolve(questions.map((question) => `answer ${question}`)) }),
      ),
    { bounds: { ...BOUNDS, ...bounds }, weigh: (question) => question, isForAll: () => false },
  );
  const left = () => flights.map(({ questions }) => questions);
  return { ask, flights, left };
}

t.test('idle, a question is asked at once; those that come meanwhile share the next statement', async (t) => {
  const { ask, flights, left } = held();
  const first = ask(1);
  await turn();
  const others = [ask(2), ask(3), ask(4)];
  await turn();
  t.same(left(), [[1]], 'the one under way keeps them waiting');
  flights[0]?.land();
  t.equal(await first, 'answer 1');
  t.same(left(), [[1], [2, 3, 4]]);
  flights[1]?.land();
  t.same(await Promise.all(others), ['answer 2', 'answer 3', 'answer 4']);
});

t.test('what arrives together leaves together, even when nothing is under way', async (t) => {
  const { ask, flights, left } = held();
  const answers = Promise.all([ask(1), ask(2)]);
  await turn();
  t.same(left(), [[1, 2]]);
  flights[0]?.land();
  await answers;
});

t.test('a statement is bounded by questions and by weight; one that is too heavy goes alone', async (t) => {
  const cases: [name: string, bounds: Partial<Bounds>, questions: number[], flights: number[][]][] = [
    ['questions', { batch: 2 }, [1, 2, 3, 4, 5], [[1, 2], [3, 4], [5]]],
    ['weight', { weight: 10 }, [4, 6, 1, 11, 3, 8], [[4, 6], [1], [11], [3], [8]]],
    ['both', { batch: 2, weight: 10 }, [1, 1, 1, 10, 10], [[1, 1], [1], [10], [10]]],
  ];
  for (const [name, bounds, questions, expected] of cases) {
    const { ask, flights, left } = held(bounds);
    const answers = Promise.all(questions.map((question) => ask(question)));
    for (let n = 0; n < expected.length; n++) {
      await turn();
      flights[n]?.land();
    }
    t.same(
      await answers,
      questions.map((question) => `answer ${question}`),
      name,
    );
    t.same(left(), expected, name);
  }
});

t.test('no more statements are under way than may be', async (t) => {
  const { ask, flights, left } = held({ batch: 1, flights: 2, most: 2 });
  const answers = Promise.all([ask(1), ask(2), ask(3)]);
  await turn();
  t.same(left(), [[1], [2]]);
  flights[1]?.land();
  await turn();
  t.same(left(), [[1], [2], [3]], 'the next leaves when one has landed');
  flights[0]?.land();
  flights[2]?.land();
  await answers;
});

t.test('beside a statement that takes its time another one leaves; a quick one is waited for', async (t) => {
  const { ask, flights, left } = held({ batch: 3, most: 2, patience: 300 });
  const answers = [ask(1)];
  await turn();
  answers.push(ask(2));
  await sleep(50);
  t.same(left(), [[1]], 'it is waited for');
  answers.push(ask(3));
  await sleep(350);
  t.same(left(), [[1], [2, 3]], 'but not for ever');
  for (const flight of flights) flight.land();
  await Promise.all(answers);

  const hurried = held({ batch: 3, most: 2, patience: 60_000 });
  const first = hurried.ask(1);
  await turn();
  const batch = [hurried.ask(2), hurried.ask(3), hurried.ask(4)];
  await turn();
  t.same(hurried.left(), [[1], [2, 3, 4]], 'a whole batch does not wait');
  for (const flight of hurried.flights) flight.land();
  await Promise.all([first, ...batch]);
});

t.test('a full queue refuses, and takes questions again when it is not', async (t) => {
  const { ask, flights, left } = held({ waiting: 2 });
  const first = ask(1);
  await turn();
  const waiting = [ask(2), ask(3)];
  await t.rejects(ask(4), { code: 'overloaded' });
  flights[0]?.land();
  await first;
  const late = ask(5);
  flights[1]?.land();
  await Promise.all(waiting);
  flights[2]?.land();
  t.equal(await late, 'answer 5');
  t.same(left(), [[1], [2, 3], [5]]);
});

t.test('a question is not asked when nobody waits for it any more, and hurts nobody', async (t) => {
  const { ask, flights, left } = held();
  const gone = new AbortController();
  const first = ask(1, gone.signal);
  await turn();
  const second = ask(2, gone.signal);
  const third = ask(3);
  gone.abort();
  flights[0]?.land();
  t.equal(await first, 'answer 1', 'what was under way is answered');
  await t.rejects(second, { code: 'overloaded' });
  flights[1]?.land();
  t.equal(await third, 'answer 3');
  t.same(left(), [[1], [3]]);
});

t.test('an error that is nobody’s fails everybody, and nothing is asked again', async (t) => {
  let statements = 0;
  const ask = share<number, string>(
    async () => {
      statements++;
      throw new Error('gone');
    },
    { bounds: BOUNDS, weigh: () => 1, isForAll: () => true },
  );
  const ends = await Promise.allSettled([ask(1), ask(2), ask(3)]);
  t.same(
    ends.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  );
  t.equal(statements, 1);
});

t.test('an answer for each question, or the statement has failed', async (t) => {
  const ask = share<number, string>(async () => [], { bounds: BOUNDS, weigh: () => 1, isForAll: () => false });
  await t.rejects(ask(1), { message: /not every question/ });
});

t.test('property: each question gets its own answer or its own error, whatever becomes of the others', async (t) => {
  let alone = 0;
  /** How a question is meant to end. */
  const fate = fc.constantFrom('answered', 'answered', 'answered', 'answered', 'poison', 'gone');
  await fc.assert(
    fc.asyncProperty(
      fc.array(fate, { minLength: 1, maxLength: 60 }),
      fc.record({ batch: fc.integer({ min: 1, max: 12 }), most: fc.integer({ min: 1, max: 3 }) }),
      async (fates, bounds) => {
        let under = 0;
        const asked = new Map<number, number>();
        const ask = share<number, number>(
          async (questions) => {
            under++;
            if (under > bounds.most || questions.length > bounds.batch) throw new Error('beyond its bounds');
            for (const question of questions) asked.set(question, (asked.get(question) ?? 0) + 1);
            await turn();
            under--;
            if (questions.some((question) => fates[question] === 'poison')) throw new Error(`poison ${questions}`);
            return questions.map((question) => question * 2);
          },
          { bounds: { ...BOUNDS, ...bounds }, weigh: () => 1, isForAll: () => false },
        );
        const ends = await Promise.allSettled(
          fates.map((end, question) => ask(question, end === 'gone' ? AbortSignal.abort() : undefined)),
        );
        for (const [question, end] of ends.entries()) {
          const meant = fates[question];
          if (meant === 'poison') {
            if (end.status !== 'rejected' || end.reason.message !== `poison ${question}`) return false;
          } else if (meant === 'gone') {
            if (end.status !== 'rejected' || asked.has(question)) return false;
          } else if (end.status !== 'fulfilled' || end.value !== question * 2) return false;
          // Once with others and once alone, never more.
          const times = asked.get(question) ?? 0;
          if (times > 2) return false;
          if (times === 2) alone++;
        }
        return true;
      },
    ),
    { numRuns: 300 },
  );
  t.ok(alone > 100, `${alone} questions were asked again alone`);
});

t.test('who has waited for too long is told then, whatever is under way; the others go on', async (t) => {
  const { ask, flights, left } = held({ wait: 50 });
  // The timer of who waits does not keep a process alive by itself.
  const alive = setInterval(() => {}, 1_000);
  t.teardown(() => clearInterval(alive));
  const first = ask(1);
  await turn();
  const late = [ask(2), ask(3)];
  await Promise.all(late.map((one) => t.rejects(one, { code: 'overloaded' })));
  const next = ask(4);
  flights[0]?.land();
  t.equal(await first, 'answer 1', 'what is under way is not given up');
  await turn();
  t.same(left(), [[1], [4]], 'who was told is not asked for');
  flights[1]?.land();
  t.equal(await next, 'answer 4');
});
