import t from 'tap';
import { isObject, type Json, type JsonObject } from '../../src/temporal/json.js';
import { a, at, b, c, checked, d, operation, problem, type Recorded, recorded, shown, written } from './by-hand.js';
import type { Answer, Operation, Purpose } from './record.js';
import type { Check } from './subject.js';
import { tellViolation } from './told.js';

/*
 * The test of the test: what is found in a recording made by hand in which nothing is wrong, and when one thing in it is.
 */

t.test('nothing is found where nothing is wrong', async (t) => {
  t.same(checked(recorded()).map(tellViolation), []);
});

/** A fault: the check that must find it, in which words, and how it is planted. */
const FAULTS: [fault: string, check: Check, words: RegExp, plant: (recorded: Recorded) => void][] = [
  [
    'a gap in a clock',
    'one clock',
    /^t:a: tick 4 is where 3 should be$/,
    ({ a }) => {
      for (const tick of a.ticks.slice(2)) tick.tick++;
    },
  ],
  [
    'two ticks at one instant',
    'one clock',
    /^t:a: tick 2 is at \S+:00\.000000Z, not after tick 1 at \S+:00\.000000Z$/,
    ({ a }) => Object.assign(nth(a.ticks, 2), { at: at(0) }),
  ],
  [
    'a state that is read otherwise than it was written',
    'faithful',
    /^t:a: what is read as of tick 2 was shown otherwise: .*"n":7/,
    ({ a }) => reword(nth(a.states, 2), '"n":1', '"n":7'),
  ],
  [
    'a space more in a state',
    'faithful',
    /^t:a: what is read as of tick 2 was shown otherwise/,
    ({ a }) => reword(nth(a.states, 2), '"n":1', '"n": 1'),
  ],
  [
    'a state that cannot be read',
    'faithful',
    /^t:b: what is read as of tick 1 does not fit the history: .*tick_not_found/,
    ({ b }) => Object.assign(nth(b.states, 1), problem(404, 'tick_not_found')),
  ],
  [
    'a write that answers another instant than that of its tick',
    'faithful',
    /^t:a: tick 2 was made at \S+:02\.000000Z, not at \S+:03\.000000Z$/,
    ({ ops }) => Object.assign(answerOf(ops.patch), { tickAt: at(3) }),
  ],
  [
    'a history that tells another change',
    'faithful',
    /^t:a: by the history tick 2 changed {"n":{"to":1}}, by the states {"marker":/,
    ({ a }) => Object.assign(nth(a.ticks, 2), { changes: { n: { to: 1 } } }),
  ],
  [
    'a range that goes on too long',
    'faithful',
    /^t:a: a range of marker is "create"@\[1,3\), by the states "create"@\[1,2\)$/,
    ({ a }) => Object.assign(nth(a.ranges.get('marker') ?? [], 1), { to: 3 }),
  ],
  [
    'a range that is missing',
    'faithful',
    /^t:a: a range of n is not there, by the states 1@\[4,\)$/,
    ({ a }) => a.ranges.get('n')?.pop(),
  ],
  [
    'an as-of read that has changed',
    'repeatable',
    /^asked again after the run, this is answered 200 "1" /,
    ({ ops }) => Object.assign(ops.past.again, shown(a, 1)),
  ],
  [
    'an as-of read that found nothing, and now does',
    'repeatable',
    /^asked again after the run, this is answered 200 /,
    ({ ops }) => Object.assign(ops.before.again, shown(a, 1)),
  ],
  [
    'the page of a snapshot with another tag',
    'repeatable',
    /^asked again after the run, this is answered 200 "other" /,
    ({ ops }) => Object.assign(ops.page1.again, { etag: '"other"' }),
  ],
  [
    'an acknowledged write that is lost',
    'kept',
    /^t:a: a write was acknowledged as tick 4, and is nowhere$/,
    ({ a }) => {
      a.ticks.pop();
      a.states.pop();
    },
  ],
  [
    'a lost update: two writes acknowledged as the same tick',
    'kept',
    /^t:a: a write was acknowledged as tick 2, and is nowhere$/,
    ({ ops }) => Object.assign(ops.stale, { answer: written(a, 2) }),
  ],
  [
    'a write acknowledged as another tick than it made',
    'kept',
    /^t:a: a write was acknowledged as tick 1, and is tick 2$/,
    ({ ops }) => Object.assign(answerOf(ops.patch), { etag: '"1"' }),
  ],
  [
    'a write acknowledged without a tick',
    'kept',
    /^t:a: a write was acknowledged as tick null, and is tick 2$/,
    ({ ops }) => Object.assign(answerOf(ops.patch), { etag: null }),
  ],
  [
    'an indeterminate write that is there twice',
    'kept',
    /^t:b: ticks 1 and 2 are both of one write$/,
    ({ b }) => {
      b.ticks.push({ ...nth(b.ticks, 1), tick: 2, at: at(3) });
      b.states.push(nth(b.states, 1));
    },
  ],
  [
    'a write at the wrong entity',
    'kept',
    /^t:b: tick 1 is of a write of another entity$/,
    ({ b }) => Object.assign(nth(b.ticks, 1), { marker: 'unknown' }),
  ],
  [
    'a tick that nobody made',
    'kept',
    /^t:b: tick 1 is of no write that was sent \(null\)$/,
    ({ b }) => Object.assign(nth(b.ticks, 1), { marker: null }),
  ],
  [
    'a refused write that has a tick',
    'no trace',
    /^t:a: a write was refused, and is tick 4$/,
    ({ a }) => Object.assign(nth(a.ticks, 4), { marker: 'stale' }),
  ],
  [
    'a refused write that left a range',
    'no trace',
    /^t:a: a write was refused, and left marker "busy"@\[5,\)$/,
    ({ a }) => a.ranges.get('marker')?.push({ value: 'busy', from: 5, to: null }),
  ],
  [
    'a write whose condition does not hold',
    'sequential',
    /^t:a: tick 2 is updated {.*}; of the tick before it, it was to be refused with precondition_failed$/,
    ({ ops }) => Object.assign(purposeOf(ops.patch).conditions, { ifMatch: [7] }),
  ],
  [
    'a write that says it changed nothing, where its condition does not hold',
    'sequential',
    /^t:a: at no tick is this the right answer$/,
    ({ ops }) => Object.assign(purposeOf(ops.again).conditions, { ifMatch: [7] }),
  ],
  [
    'a write that changes more than it says',
    'sequential',
    /^t:a: tick 2 is updated {"marker":"patch","n":1}; of the tick before it, updated {"marker":"patch","n":3} was to be made$/,
    ({ ops }) => Object.assign(purposeOf(ops.patch), { command: { call: 'merge', patch: { marker: 'patch', n: 3 } } }),
  ],
  [
    'a tick of a write that was to change nothing',
    'sequential',
    /^t:a: tick 2 is updated .*; of the tick before it, nothing was to be changed$/,
    ({ ops }) => Object.assign(purposeOf(ops.patch), { command: { call: 'merge', patch: {} } }),
  ],
  [
    'a refusal without a reason',
    'sequential',
    /^t:a: at no tick is this the right answer$/,
    ({ ops }) => Object.assign(purposeOf(ops.tested), { command: { call: 'delete' } }),
  ],
  [
    'a read of a tick that is never there',
    'sequential',
    /^t:a: at no tick is this the right answer$/,
    ({ ops }) => Object.assign(answerOf(ops.now), { etag: '"9"' }),
  ],
  [
    'a stale read after an acknowledged write',
    'real-time order',
    /^t:a: the answer was right at tick 1, but tick 2 had been seen before it was asked for$/,
    ({ ops }) => Object.assign(ops.now, { answer: shown(a, 1) }),
  ],
  [
    'a read that finds nothing after a create',
    'real-time order',
    /^t:a: the answer was right before its first tick, but tick 1 had been seen before it was asked for$/,
    ({ ops }) => Object.assign(ops.meanwhile, { answer: problem(404, 'entity_not_found') }),
  ],
  [
    'two reads, the later of which sees less',
    'real-time order',
    /^t:a: the answer was right at tick 1, but tick 2 had been seen before it was asked for$/,
    ({ ops }) => {
      // Neither is stale by itself: the write that they see, or not, is still under way.
      Object.assign(ops.patch, { completed: 55.5 });
      Object.assign(ops, { later: operation(2, [35.6, 35.9], { kind: 'now', key: 'a' }, shown(a, 1)) });
    },
  ],
  [
    'a read of a tick before the write that made it was invoked',
    'real-time order',
    /^t:a: a write made tick 2, but tick 2 had been seen before it was sent$/,
    ({ ops }) => Object.assign(ops, { early: operation(2, [15, 16], { kind: 'now', key: 'a' }, shown(a, 2)) }),
  ],
  [
    'an indeterminate write that was seen before it was invoked',
    'real-time order',
    /^t:b: a write made tick 1, but tick 1 had been seen before it was sent$/,
    ({ ops }) => Object.assign(ops, { early: operation(0, [1, 2], { kind: 'now', key: 'b' }, shown(b, 1)) }),
  ],
  [
    'two writes in the wrong order',
    'real-time order',
    /^t:a: a write made tick 3, but tick 4 had been seen before it was sent$/,
    ({ ops }) => Object.assign(ops.remove, { invoked: 100, completed: 101 }),
  ],
  [
    'a read as of a tick that is not there any more',
    'real-time order',
    /^t:a: the answer was right before its first tick, but tick 2 had been seen before it was asked for$/,
    ({ ops }) =>
      Object.assign(ops.next, {
        purpose: { kind: 'as of', key: 'a', point: { tick: 1 } },
        answer: problem(404, 'entity_not_found'),
      }),
  ],
  [
    'a read as of a tick that is not there yet, though it was seen',
    'real-time order',
    /^t:a: the answer was right at tick 1, but tick 4 had been seen before it was asked for$/,
    ({ ops }) => Object.assign(ops.next, { invoked: 66, completed: 70 }),
  ],
  [
    'a refusal by a tick that is past',
    'real-time order',
    /^t:a: the answer was right at tick 1, but tick 2 had been seen before it was asked for$/,
    ({ ops }) => {
      Object.assign(purposeOf(ops.stale).conditions, { ifMatch: [7] });
      Object.assign(answerOf(ops.stale).body, { tick: 1 });
    },
  ],
  [
    'a read as of the instant of a write that does not see it',
    'as of',
    /^t:a: by its history it was at tick 2 at \S+:02\.000000Z$/,
    ({ ops }) => {
      Object.assign(answerOf(ops.past), shown(a, 1));
      Object.assign(ops.past.again, shown(a, 1));
    },
  ],
  [
    'a read that finds something before it was there',
    'as of',
    /^t:a: by its history it was at 404 entity_not_found at 2025-/,
    ({ ops }) => Object.assign(answerOf(ops.before), shown(a, 1)),
  ],
  [
    'a list that leaves one out',
    'as of',
    /^by the histories of what it lists, at \S+ it was {"items":\[{.*}\],"missing":\[{"id":"t:a","code":"entity_deleted"}\]}$/,
    ({ ops }) => Object.assign(answerOf(ops.two).body, { items: [] }),
  ],
  [
    'a page that misses an entity',
    'as of',
    /^item 2 of a snapshot as of \S+ is nothing; by the histories it is {.*"key":"b"/,
    ({ ops }) => Object.assign(answerOf(ops.page2).body, { items: [] }),
  ],
  [
    'an entity on two pages',
    'as of',
    /^item 2 of a snapshot as of \S+ is {.*"key":"a".*}; by the histories it is {.*"key":"b"/,
    ({ ops }) => Object.assign(answerOf(ops.page2).body, { items: [shown(a, 2).body, shown(b, 1).body] }),
  ],
  [
    'an entity too many',
    'as of',
    /^item 3 of a snapshot as of \S+ is {.*}; by the histories it is nothing$/,
    ({ ops }) => Object.assign(answerOf(ops.page2).body, { items: [shown(b, 1).body, shown(b, 1).body] }),
  ],
  [
    'a snapshot with a state of another instant',
    'as of',
    /^item 1 of a snapshot as of \S+ is {.*"tick":1.*}; by the histories it is {.*"tick":2/,
    ({ ops }) => Object.assign(answerOf(ops.page1).body, { items: [shown(a, 1).body] }),
  ],
  [
    'a walk that does not stay at its instant',
    'as of',
    /^a page of a walk is as of \S+:03\.000000Z, its first as of \S+:02\.000000Z$/,
    ({ ops }) => Object.assign(answerOf(ops.page2).body, { asOf: at(3) }),
  ],
  [
    'a snapshot that says another instant than that of its newest change',
    'as of',
    /^a snapshot is as of \S+:01\.000000Z; the newest change that it can hold is of \S+:02\.000000Z$/,
    ({ ops }) => {
      for (const page of [ops.page1, ops.page2]) Object.assign(answerOf(page).body, { asOf: at(1) });
    },
  ],
  [
    'a batch of which half is at another instant',
    'whole',
    /^its ticks have 2 instants: \S+:06\.000000Z, \S+:05\.000000Z$/,
    ({ d }) => Object.assign(nth(d.ticks, 1), { at: at(5) }),
  ],
  [
    'an indeterminate batch of which one operation is missing',
    'whole',
    /^t:d: it was to change it at \S+:09\.000000Z, after tick 1, and did not$/,
    ({ d }) => {
      d.ticks.pop();
      d.states.pop();
    },
  ],
  [
    'an acknowledged batch of which one operation is missing',
    'kept',
    /^t:c: a write was acknowledged as tick 2, and is nowhere$/,
    ({ c }) => Object.assign(nth(c.ticks, 2), { marker: 'other' }),
  ],
  [
    'an acknowledged batch that is nowhere',
    'whole',
    /^it was acknowledged as of \S+:06\.000000Z, and is there as of null$/,
    ({ c, d }) => {
      for (const { ticks } of [c, d]) Object.assign(nth(ticks, 1), { marker: 'other' });
    },
  ],
  [
    'a batch that is acknowledged as of another instant',
    'whole',
    /^it was acknowledged as of \S+:05\.000000Z, and is there as of \S+:06\.000000Z$/,
    ({ ops }) => Object.assign(answerOf(ops.both).body, { at: at(5) }),
  ],
  [
    'a batch that does not tell of all of its operations',
    'whole',
    /^the answer tells of 2 entities, and not of 3$/,
    ({ ops }) => itemsOf(ops.both).pop(),
  ],
  [
    'a batch that tells of another state than it has made',
    'faithful',
    /^t:d: what is read as of tick 1 was shown otherwise: /,
    ({ ops }) => Object.assign(itemOf(ops.both, 2), { entity: shown(c, 1).body }),
  ],
  [
    'a batch that says what it has not done',
    'faithful',
    /^t:d: tick 1 is created at \S+, and not restored at \S+$/,
    ({ ops }) => Object.assign(itemOf(ops.both, 2), { op: 'restored' }),
  ],
  [
    'a batch that found nothing to change in an entity, which was otherwise at its instant',
    'whole',
    /^t:d: it was to change it at \S+:07\.000000Z, after tick 1, and did not$/,
    ({ ops }) => {
      Object.assign(nth(stepsOf(ops.some), 2), { command: { call: 'merge', patch: { n: 1 } } });
    },
  ],
  [
    'a batch whose condition does not hold',
    'sequential',
    /^t:c: tick 2 is updated .*; of the tick before it, it was to be refused with precondition_failed$/,
    ({ ops }) => Object.assign(nth(stepsOf(ops.some), 1), { ifMatch: 7 }),
  ],
  [
    'a batch whose condition does not hold of what it has not changed',
    'whole',
    /^t:d: at tick 1, just before \S+:07\.000000Z, it was to be refused with precondition_failed$/,
    ({ ops }) => Object.assign(nth(stepsOf(ops.some), 2), { ifMatch: 7 }),
  ],
  [
    'a batch whose operations on one entity are done in another order',
    'sequential',
    /^t:c: tick 1 is created .*"n":1.*; of the tick before it, it was to be refused with entity_not_found$/,
    ({ ops }) => stepsOf(ops.both).reverse(),
  ],
  [
    'a batch of which one entity was seen before it was sent',
    'real-time order',
    /^t:d: a write made tick 1, but tick 1 had been seen before it was sent$/,
    ({ ops }) => Object.assign(ops, { early: operation(2, [101, 102], { kind: 'now', key: 'd' }, shown(d, 1)) }),
  ],
  [
    'a batch of which a later read sees half',
    'real-time order',
    /^t:d: the answer was right before its first tick, but tick 1 had been seen before it was asked for$/,
    ({ ops }) =>
      Object.assign(ops, {
        later: operation(2, [121, 122], { kind: 'now', key: 'd' }, problem(404, 'entity_not_found')),
      }),
  ],
  [
    'a refused batch of which one operation is kept',
    'no trace',
    /^t:d: a write was refused, and is tick 2$/,
    ({ d }) => Object.assign(nth(d.ticks, 2), { marker: 'torn' }),
  ],
  [
    'a refused batch that left a range',
    'no trace',
    /^t:c: a write was refused, and left marker "torn"@\[5,\)$/,
    ({ c }) => c.ranges.get('marker')?.push({ value: 'torn', from: 5, to: null }),
  ],
  [
    'a refusal of a batch for an operation that is in order',
    'sequential',
    /^t:d: at no tick is this the right answer$/,
    ({ ops }) => Object.assign(answerOf(ops.torn).body, { errors: [{ path: '/operations/0/ifMatch' }] }),
  ],
  [
    'a refusal of a batch for no operation',
    'whole',
    /^the refusal of a batch does not say which operation it is about$/,
    ({ ops }) => Object.assign(answerOf(ops.torn).body, { errors: [] }),
  ],
  [
    'a dry run that is written',
    'no trace',
    /^t:d: a write was dry, and is tick 2$/,
    ({ d }) => Object.assign(nth(d.ticks, 2), { marker: 'dry' }),
  ],
  [
    'a dry run that says what a write would not do',
    'sequential',
    /^t:d: at no tick is this the right answer$/,
    ({ ops }) => Object.assign(itemOf(ops.dry, 1), { op: 'updated' }),
  ],
  [
    'a list that has half of a batch',
    'whole',
    /^half of it is shown: (tick 2 of d without tick 4 of c|not tick 4 of c, but tick 2 of d)$/,
    ({ ops }) => Object.assign(answerOf(ops.after).body, { items: [shown(c, 3).body, shown(d, 2).body] }),
  ],
  [
    'a list in which half of a batch is not found yet',
    'whole',
    /^half of it is shown: (tick 1 of c without tick 1 of d|not tick 1 of d, but tick 1 of c)$/,
    ({ ops }) =>
      Object.assign(answerOf(ops.begun).body, {
        items: [shown(c, 1).body],
        missing: [{ id: 't:d', code: 'entity_not_found' }],
      }),
  ],
  [
    'an undo that does not give back what was',
    'sequential',
    /^t:c: tick 3 is updated {.*"n":1}; of the tick before it, updated {.*"n":4} was to be made$/,
    ({ c }) => {
      reword(nth(c.states, 1), '"n":1', '"n":4');
    },
  ],
  [
    'an undo that leaves one out',
    'whole',
    /^the answer tells of 0 entities, and not of 1$/,
    ({ ops }) => itemsOf(ops.undone).pop(),
  ],
  [
    'an undo that says of what was acknowledged that it is not there',
    'whole',
    /^404 is no answer to the undo of what was acknowledged$/,
    ({ ops }) => Object.assign(ops.undone, { answer: problem(404, 'activity_not_found') }),
  ],
  [
    'an undo that overlooks a later change',
    'sequential',
    /^t:d: at no tick is this the right answer$/,
    ({ ops }) => Object.assign(answerOf(ops.late).body, { conflicts: [{ id: d.id, tick: 3 }] }),
  ],
  [
    'a fault of the service',
    'answered',
    /^500 is no answer to this$/,
    ({ ops }) => Object.assign(ops.now, { answer: problem(500, 'internal_error') }),
  ],
  [
    'a request that is not understood',
    'answered',
    /^400 is no answer to this$/,
    ({ ops }) => Object.assign(ops.now, { answer: problem(400, 'unknown_parameter') }),
  ],
];

for (const [fault, check, words, plant] of FAULTS) {
  t.test(fault, async (t) => {
    const planted = recorded();
    plant(planted);
    const found = checked(planted);
    const told = found.filter((violation) => violation.check === check && words.test(violation.what));
    t.ok(told.length > 0, `found: ${found.map(tellViolation).join('\n')}`);
  });
}

function nth<Item>(items: readonly Item[], number: number): Item {
  const item = items[number - 1];
  if (item === undefined) throw new Error(`there is no item ${number}`);
  return item;
}

function answerOf({ answer }: Operation): Answer {
  if (!answer) throw new Error('it has no answer');
  return answer;
}

function purposeOf({ purpose }: Operation): Extract<Purpose, { kind: 'write' }> {
  if (purpose.kind !== 'write') throw new Error('it is no write');
  return purpose;
}

function itemsOf(operation: Operation): Json[] {
  const { items } = answerOf(operation).body;
  if (!Array.isArray(items)) throw new Error('its answer has no items');
  return items;
}

function itemOf(operation: Operation, number: number): JsonObject {
  const item = nth(itemsOf(operation), number);
  if (!isObject(item)) throw new Error('the item is no object');
  return item;
}

function stepsOf({ purpose }: Operation) {
  if (purpose.kind !== 'batch') throw new Error('it is no batch');
  return purpose.steps;
}

/** Changes an answer, as it is and as it is understood. */
function reword(answer: Answer, from: string, to: string): void {
  answer.text = answer.text.replace(from, to);
  answer.body = JSON.parse(answer.text);
}
