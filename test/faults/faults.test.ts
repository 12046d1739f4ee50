import { randomInt } from 'node:crypto';
import t from 'tap';
import { operation, problem } from '../checker/by-hand.js';
import type { Operation } from '../checker/record.js';
import { putData } from '../helper/prepared.js';
import { FAULTS, type Fault } from './faults.js';
import { findings, fullSpeedOf, misanswered, runFault } from './run.js';
import { makeWorld } from './world.js';

/* The quick form of the fault suite: each fault once and briefly, one after the other, over one database. */

const SEED = Number(process.env.HISTORY_SEED ?? randomInt(2 ** 31 - 1));

const world = await makeWorld(t, { instances: 1, maxConnections: 80, begin: putData });
// Others test at the same time: the long form does without the rest.
const plan = { seed: SEED, clients: 6, rest: 10 };

for (const fault of FAULTS) {
  const { name, does, quick: seconds } = fault;
  if (seconds === null) continue;
  t.test(`${name}: ${does}`, { skip: fault.missing?.(world) ?? false }, async (t) => {
    const { wrong, readyAfter, longest, counts } = await runFault(world, fault, { ...plan, seconds, verifies: false });
    t.same(wrong, [], `HISTORY_SEED=${SEED}`);
    t.comment(`ready after ${readyAfter.toFixed(1)} s, the longest call took ${longest.toFixed(1)} s`, counts);
  });
}

t.test('after all of them `clocktick verify` finds nothing', async (t) => {
  t.same(await findings(world.server.ownerUrl), []);
});

/* The test of the test. */

t.test('a tick that somebody deletes, and answers that take too long, are found', async (t) => {
  const stopsService: Fault = {
    name: 'service-stopped',
    does: 'SIGSTOP of the service',
    quick: 1,
    long: 1,
    inject: async ({ instances }) => {
      const signal = (what: NodeJS.Signals) => {
        for (const { process } of instances) process().process.kill(what);
      };
      signal('SIGSTOP');
      return async () => signal('SIGCONT');
    },
  };
  const deleteNewest = (type: string) =>
    world.server.asAdmin(async (sql) => {
      await sql`ALTER TABLE clocktick.tick DISABLE TRIGGER ALL`;
      const gone = await sql`
        DELETE FROM clocktick.tick k USING clocktick.entity e WHERE e.id = k.entity_id AND e.tick = k.tick AND e.type = ${type}`;
      t.ok(gone.count > 0, `${gone.count} ticks are deleted`);
    }, 'inside');
  const found = await runFault(world, stopsService, {
    ...plan,
    seconds: 1,
    unnoticed: 0,
    longest: 0.5,
    afterwards: deleteNewest,
  });
  const wrong = found.wrong.join('\n');
  t.match(wrong, /^an answer took longer than 0\.5 s: \d+, the first \{/m);
  t.match(wrong, /^kept: \S+: a write was acknowledged as tick \d+, and is nowhere$/m);
  t.match(wrong, /^clocktick verify: (.*\n)*ticks-without-gaps: /m);
});

t.test('answers that nobody may get are told, whatever the fault', async (t) => {
  const busy = { ...problem(503, 'database_unavailable'), retryAfter: '1' };
  const read = (answer: Operation['answer'], completed = 10) =>
    operation(0, [0, completed], { kind: 'now', key: 'a' }, answer);
  const cases: [what: string, operations: Operation[], wrong: RegExp[]][] = [
    ['503 with Retry-After', [read(busy)], []],
    ['an outcome that nobody knows', [read(problem(503, 'outcome_unknown'))], []],
    [
      '503 without Retry-After',
      [read(problem(503, 'database_unavailable'))],
      [/^503 does not say when to come back: 1,/],
    ],
    ['a fault of the service', [read(busy), read(problem(500, 'internal_error'))], [/^a fault of the service: 1,/]],
    ['no answer', [read(null)], [/^no answer: 1,/]],
    ['no answer to who went away', [read(busy), { ...read(null), isCut: true }], []],
    ['a late answer', [read(busy, 25_001)], [/^an answer took longer than 25 s: 1,/]],
    ['a fault that nobody noticed', [read(problem(404, 'entity_not_found'))], [/^nobody noticed the fault$/]],
  ];
  for (const [what, operations, wrong] of cases) {
    const told = misanswered(operations, {}, 25);
    t.equal(told.length, wrong.length, what);
    t.match(told, wrong, what);
  }
  t.same(misanswered([read(null)], { endsService: true }, 25), [], 'a service that is killed answers nothing');
});

t.test('full speed is there again from when as much is served as before', async (t) => {
  const read = (completed: number, status: number) =>
    operation(0, [completed, completed], { kind: 'now', key: 'a' }, problem(status, 'entity_not_found'));
  const every = (from: number, to: number, step: number, status = 404) =>
    Array.from({ length: (to - from) / step }, (_, n) => read(from + n * step, status));
  const marks = { before: 0, injected: 2_000, mended: 5_000 };
  const usual = every(0, 2_000, 10);
  const cases: [what: string, operations: Operation[], after: number | null][] = [
    ['at once', [...usual, ...every(5_000, 7_000, 10)], 0],
    ['after a second', [...usual, ...every(5_000, 6_000, 10, 503), ...every(6_000, 8_000, 10)], 0.8],
    ['never', [...usual, ...every(5_000, 9_000, 20)], null],
    ['nothing was served', usual, null],
  ];
  for (const [what, operations, after] of cases) t.equal(fullSpeedOf(operations, marks), after, what);
});
