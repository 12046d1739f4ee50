import fc from 'fast-check';
import t from 'tap';
import type { Entity } from '../helper/model.js';
import { at, aWrite, operation, problem, shown } from './by-hand.js';
import { realTimeOrder } from './order.js';
import { type Operation, outcomeOf } from './record.js';

/*
 * That no search is needed, shown by one: the check says that there is an order of all operations if and only if one is
 * found by trying all there are.
 */

/** An operation, and what it does to the version at which it happens; null where it cannot happen so. */
type Event = { operation: Operation; happen: (version: number) => number | null };

/** The entity's property goes to and fro, so that a test of it fails at several versions. */
const valueAt = (version: number): number => version % 2;

const entityOf = (ticks: number): Entity => ({
  id: '00000000-0000-5000-8000-00000000000a',
  type: 't',
  key: 'a',
  ticks: Array.from({ length: ticks }, (_, n) => ({
    tick: n + 1,
    at: at(n),
    op: n === 0 ? 'created' : 'updated',
    properties: { n: valueAt(n + 1) },
    who: null,
  })),
});

type Span = [invoked: number, completed: number];

function writeOf(entity: Entity, tick: number, { span, isKnown }: { span: Span; isKnown: boolean }): Event {
  const properties = { n: valueAt(tick) };
  const purpose = aWrite('a', `${tick}`, { call: 'put', address: { type: 't' }, type: 't', properties });
  return {
    operation: operation(0, span, purpose, isKnown ? shown(entity, tick) : null),
    happen: (version) => (version === tick - 1 ? tick : null),
  };
}

type Seen = { kind: 'now' | 'tick' | 'no tick' | 'test'; version: number; span: Span };

function sightOf(entity: Entity, { kind, version: drawn, span }: Seen): Event {
  const version = Math.min(drawn, entity.ticks.length);
  const sees = (answer: Operation['answer'], purpose: Operation['purpose'], isSeen: (version: number) => boolean) => ({
    operation: operation(1, span, purpose, answer),
    happen: (version: number) => (isSeen(version) ? version : null),
  });
  const none = problem(404, 'entity_not_found');
  const asOf = (tick: number): Operation['purpose'] => ({ kind: 'as of', key: 'a', point: { tick } });
  if (kind === 'now')
    return sees(version === 0 ? none : shown(entity, version), { kind, key: 'a' }, (now) => now === version);
  if (kind === 'tick' && version > 0) return sees(shown(entity, version), asOf(version), (now) => now >= version);
  if (kind === 'no tick') {
    return sees(problem(404, 'tick_not_found'), asOf(drawn + 1), (now) => now > 0 && now <= drawn);
  }
  const value = valueAt(version);
  const purpose = aWrite('a', 'test', { call: 'jsonPatch', operations: [{ op: 'test', path: ['n'], value }] });
  return sees(problem(409, 'patch_test_failed'), purpose, (now) => now > 0 && valueAt(now) !== value);
}

/** Whether any order of the events that are left is one in which they can have happened. */
function canHappen(events: readonly Event[], version = 0): boolean {
  return (
    events.length === 0 ||
    events.some((event) => {
      const others = events.filter((other) => other !== event);
      const isTooEarly = others.some(
        ({ operation }) => outcomeOf(operation) !== 'indeterminate' && operation.completed < event.operation.invoked,
      );
      const left = isTooEarly ? null : event.happen(version);
      return left !== null && canHappen(others, left);
    })
  );
}

const span = fc
  .tuple(fc.nat(12), fc.integer({ min: 1, max: 5 }))
  .map(([invoked, length]): Span => [invoked, invoked + length]);
const history = fc.record({
  writes: fc.array(fc.record({ span, isKnown: fc.boolean() }), { maxLength: 3 }),
  sights: fc.array(fc.record({ kind: fc.constantFrom('now', 'tick', 'no tick', 'test'), version: fc.nat(3), span }), {
    maxLength: 4,
  }),
});

t.test('there is an order if the check finds none violated, and only then', async (t) => {
  const found = { order: 0, none: 0 };
  fc.assert(
    fc.property(history, ({ writes, sights }) => {
      const entity = entityOf(writes.length);
      const made = writes.map((write, index) => writeOf(entity, index + 1, write));
      const events = [...made, ...sights.map((seen) => sightOf(entity, seen))];
      const subject = {
        entity,
        name: 't:a',
        recorded: { key: 'a', ticks: [], states: [], ranges: new Map() },
        operations: events.map(({ operation }) => operation),
      };
      const violations = realTimeOrder(subject, new Map(made.map(({ operation }, index) => [operation, index + 1])));
      const hasOrder = canHappen(events);
      found[hasOrder ? 'order' : 'none']++;
      return (violations.length === 0) === hasOrder;
    }),
    { numRuns: 3_000 },
  );
  t.ok(found.order > 300 && found.none > 300, `${found.order} with an order, ${found.none} without`);
});
