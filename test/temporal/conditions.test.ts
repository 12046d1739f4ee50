import t from 'tap';
import { checkConditions, type TickCondition, UNCONDITIONAL } from '../../src/temporal/conditions.js';
import { buried, rachel } from '../helper/rachel.js';
import { refused } from '../helper/refused.js';

const STATES = { absent: undefined, living: rachel(), tombstone: buried() };

/** What a condition says to each state: null where the write may happen. */
type Row = [condition: TickCondition | null, absent: string | null, living: string | null, tombstone: string | null];

const NOBODY = 'There is no such entity.';
const OTHER_TICK = 'The entity is at tick 3, not at the tick of If-Match.';
const BURIED_AT_OTHER_TICK = 'The entity is deleted, at tick 3, not at the tick of If-Match.';

const IF_MATCH: Row[] = [
  [null, null, null, null],
  // RFC 9110 section 13.1.1: `*` asks for a current representation, and a tombstone is none.
  [{ any: true }, NOBODY, null, 'The entity is deleted, at tick 3.'],
  // The tick of a tombstone can be named, so that nobody revives what was deleted by a later hand.
  [{ ticks: [3] }, NOBODY, null, null],
  [{ ticks: [1, 2, 3] }, NOBODY, null, null],
  [{ ticks: [3, 3, 9] }, NOBODY, null, null],
  [{ ticks: [2] }, NOBODY, OTHER_TICK, BURIED_AT_OTHER_TICK],
  [{ ticks: [4] }, NOBODY, OTHER_TICK, BURIED_AT_OTHER_TICK],
  [{ ticks: [1, 2, 4, 30, 33] }, NOBODY, OTHER_TICK, BURIED_AT_OTHER_TICK],
  // No entity is at tick 0, though a change expects it of the absent.
  [{ ticks: [0] }, NOBODY, OTHER_TICK, BURIED_AT_OTHER_TICK],
  [{ ticks: [Number.POSITIVE_INFINITY] }, NOBODY, OTHER_TICK, BURIED_AT_OTHER_TICK],
  // No tick that could ever be, such as that of a weak tag.
  [{ ticks: [] }, NOBODY, OTHER_TICK, BURIED_AT_OTHER_TICK],
];

const HERE = 'The entity is at tick 3, which If-None-Match rules out.';
const BURIED_HERE = 'The entity is deleted, at tick 3, which If-None-Match rules out.';

const IF_NONE_MATCH: Row[] = [
  [null, null, null, null],
  // Create only: what may be revived is not there.
  [{ any: true }, null, HERE, null],
  [{ ticks: [3] }, null, HERE, BURIED_HERE],
  [{ ticks: [1, 2, 3] }, null, HERE, BURIED_HERE],
  [{ ticks: [2] }, null, null, null],
  [{ ticks: [1, 2, 4, 30, 33] }, null, null, null],
  [{ ticks: [0] }, null, null, null],
  [{ ticks: [Number.POSITIVE_INFINITY] }, null, null, null],
  [{ ticks: [] }, null, null, null],
];

t.test('T47 a write happens if If-Match holds and If-None-Match does not, for every state', async (t) => {
  for (const [ifMatch, ...matching] of IF_MATCH) {
    for (const [ifNoneMatch, ...excluding] of IF_NONE_MATCH) {
      for (const [index, [state, current]] of Object.entries(STATES).entries()) {
        const says = `${state}: ${JSON.stringify({ ifMatch, ifNoneMatch })}`;
        const check = () => checkConditions(current, { ifMatch, ifNoneMatch });
        // RFC 9110 section 13.2.2 asks If-Match first.
        const message = matching[index] ?? excluding[index] ?? null;
        if (message === null) {
          t.doesNotThrow(check, says);
          continue;
        }
        const notes = current ? { members: { tick: 3 } } : {};
        t.strictSame(refused(check), { code: 'precondition_failed', message, notes }, says);
      }
    }
  }
});

t.test('the tick that is told is the one the entity is at', async (t) => {
  for (const tick of [1, 8, 2 ** 31 - 1]) {
    for (const current of [rachel({ tick }), buried({ tick }), { tick, deleted: false }]) {
      const { notes } = refused(() => checkConditions(current, { ifMatch: { ticks: [tick + 1] }, ifNoneMatch: null }));
      t.strictSame(notes, { members: { tick } });
      t.doesNotThrow(() => checkConditions(current, { ifMatch: { ticks: [tick] }, ifNoneMatch: null }));
    }
  }
});

t.test('without conditions nothing is refused', async (t) => {
  t.strictSame(UNCONDITIONAL, { ifMatch: null, ifNoneMatch: null });
  for (const [state, current] of Object.entries(STATES)) {
    t.doesNotThrow(() => checkConditions(current, UNCONDITIONAL), state);
  }
});
