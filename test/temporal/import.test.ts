import fc from 'fast-check';
import t from 'tap';
import type { Entity } from '../../src/temporal/entity.js';
import { idOfKey } from '../../src/temporal/identity.js';
import {
  type BatchPlan,
  type ImportMode,
  type ImportWrite,
  type LineWrite,
  type Planned,
  planOf,
} from '../../src/temporal/import.js';
import type { JsonObject } from '../../src/temporal/json.js';

type Said = LineWrite & { key?: string; type?: string; by?: string };

/** Lines of friends, by key (`a`, if none is said); `by` is the actor of the line's own activity. */
const linesOf = (said: readonly Said[]): ImportWrite[] =>
  said.map(({ key = 'a', type = 'friend', by, ...write }, n) => ({
    ...write,
    line: n + 1,
    type,
    address: { id: idOfKey('friend', key), label: `friend:${key}`, named: { type: 'friend', key } },
    activity: by === undefined ? null : { actor: by },
  }));

/** The whole plan, made without a pause. */
function planned(...given: Parameters<typeof planOf>): BatchPlan {
  const steps = planOf(...given);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

const friend = (properties: JsonObject, tick = 1, key = 'a'): Entity => ({
  id: idOfKey('friend', key),
  type: 'friend',
  key,
  tick,
  deleted: false,
  createdAt: '2016-01-01T00:00:00.000000Z',
  updatedAt: '2016-01-01T00:00:00.000000Z',
  properties,
});
const tombstone = { ...friend({}, 2), deleted: true };

function plan(said: readonly Said[], current: readonly Entity[] = [], mode: ImportMode = 'upsert') {
  const states = new Map(current.map((entity) => [entity.id, entity]));
  return planned(linesOf(said), states, { mode, before: null, isRecorded: false });
}

const shown = ({ change: { expected, op, set, clear } }: Planned) => ({ expected, op, set, clear });

t.test('the lines of an entity fold into one change', async (t) => {
  const cases: [what: string, said: Said[], current: Entity[], changes: ReturnType<typeof shown>[]][] = [
    [
      'a new one',
      [{ op: 'put', properties: { n: 1 } }],
      [],
      [{ expected: 0, op: 'created', set: { n: 1 }, clear: [] }],
    ],
    [
      'the last state wins',
      [
        { op: 'put', properties: { n: 1, m: 1 } },
        { op: 'put', properties: { n: 2 } },
      ],
      [],
      [{ expected: 0, op: 'created', set: { n: 2 }, clear: [] }],
    ],
    ['what is there already', [{ op: 'put', properties: { n: 1 } }], [friend({ n: 1 })], []],
    [
      'set, and set back',
      [
        { op: 'patch', properties: { n: 2 } },
        { op: 'patch', properties: { n: 1 } },
      ],
      [friend({ n: 1 })],
      [],
    ],
    [
      'patches that build on each other',
      [
        { op: 'patch', properties: { o: { x: 1 } } },
        { op: 'patch', properties: { o: { y: 2 }, n: null } },
      ],
      [friend({ n: 1 }, 4)],
      [{ expected: 4, op: 'updated', set: { o: { x: 1, y: 2 } }, clear: ['n'] }],
    ],
    [
      'whole values; null is one',
      [{ op: 'set', set: { o: { y: 1 }, z: null }, clear: ['n', 'unknown'] }],
      [friend({ n: 1, o: { x: 1 } })],
      [{ expected: 1, op: 'updated', set: { o: { y: 1 }, z: null }, clear: ['n'] }],
    ],
    ['a deletion', [{ op: 'delete' }], [friend({ n: 1 })], [{ expected: 1, op: 'deleted', set: {}, clear: ['n'] }]],
    ['a deletion of what is deleted', [{ op: 'delete' }], [tombstone], []],
    ['a deletion of what never was', [{ op: 'delete' }], [], []],
    [
      'deleted, and there again as it was',
      [{ op: 'delete' }, { op: 'put', properties: { n: 1 } }],
      [friend({ n: 1 })],
      [],
    ],
    [
      'a tombstone that comes back',
      [
        { op: 'put', properties: { n: 1 } },
        { op: 'patch', properties: { m: 2 } },
      ],
      [tombstone],
      [{ expected: 2, op: 'restored', set: { n: 1, m: 2 }, clear: [] }],
    ],
    ['born and gone', [{ op: 'put', properties: {} }, { op: 'delete' }], [], []],
    [
      '__proto__ is a name',
      [
        { op: 'put', properties: JSON.parse('{"__proto__": 1}') },
        { op: 'set', set: { n: 1 }, clear: [] },
      ],
      [],
      [{ expected: 0, op: 'created', set: JSON.parse('{"__proto__": 1, "n": 1}'), clear: [] }],
    ],
  ];
  for (const [what, said, current, changes] of cases) {
    const { rounds, faults } = plan(said, current);
    t.same(rounds.flat().map(shown), changes, what);
    t.same(faults, []);
  }
});

t.test('a line that is refused changes nothing, and the others do', async (t) => {
  const cases: [said: Said, current: Entity[], mode: ImportMode, code: string][] = [
    [{ op: 'patch', properties: {} }, [], 'upsert', 'entity_not_found'],
    [{ op: 'set', set: {}, clear: [] }, [], 'upsert', 'entity_not_found'],
    [{ op: 'patch', properties: {} }, [tombstone], 'upsert', 'entity_deleted'],
    [{ op: 'put', type: 'foe', properties: {} }, [friend({})], 'upsert', 'type_mismatch'],
    [{ op: 'delete', type: 'foe' }, [friend({})], 'upsert', 'type_mismatch'],
    [{ op: 'put', properties: { n: 2 } }, [friend({ n: 1 })], 'insert', 'entity_exists'],
    [{ op: 'patch', properties: { n: 2 } }, [friend({ n: 1 })], 'insert', 'entity_exists'],
    [{ op: 'set', set: { n: 2 }, clear: [] }, [friend({ n: 1 })], 'insert', 'entity_exists'],
    [{ op: 'delete' }, [friend({ n: 1 })], 'insert', 'entity_exists'],
  ];
  for (const [said, current, mode, code] of cases) {
    const { rounds, faults, changed } = plan([{ op: 'put', key: 'b', properties: {} }, said], current, mode);
    t.match(faults, [{ line: 2, refusal: { code } }], code);
    t.equal(rounds.flat().length, 1);
    t.equal(changed, 1);
  }
});

t.test('an activity is recorded once, and ticks an entity once', async () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          key: fc.constantFrom('a', 'b', 'c'),
          by: fc.constantFrom(undefined, 'ross', 'joey'),
          n: fc.nat(2),
        }),
        { maxLength: 20 },
      ),
      (drawn) => {
        const said = drawn.map(
          ({ key, by, n }): Said => ({ op: 'put', key, properties: { n }, ...(by ? { by } : {}) }),
        );
        const { rounds, changed, unchanged } = plan(said);
        const states = new Map<string, { tick: number; n: unknown }>();
        const recorded = new Set<string>();
        for (const round of rounds) {
          const here = new Set<string>();
          const ids = round.map(({ change }) => change.id);
          if (new Set(ids).size !== ids.length) return false;
          for (const { change } of round) {
            const { id, expected, set, activity } = change;
            if ((states.get(id)?.tick ?? 0) !== expected || !activity) return false;
            states.set(id, { tick: expected + 1, n: set.n });
            if (activity.details === null && !recorded.has(activity.id)) return false;
            if (activity.details !== null && recorded.has(activity.id)) return false;
            here.add(activity.id);
          }
          for (const id of here) recorded.add(id);
        }
        const pairs = rounds.flat().map(({ change }) => `${change.id} ${change.activity?.id}`);
        const last = new Map(drawn.map(({ key, n }) => [idOfKey('friend', key), n]));
        return (
          new Set(pairs).size === pairs.length &&
          [...last].every(([id, n]) => states.get(id)?.n === n) &&
          changed + unchanged === drawn.length
        );
      },
    ),
    { numRuns: 2_000 },
  );
});

t.test('a batch goes on with the activity that the one before it ended with', async (t) => {
  const lines = linesOf([{ op: 'put', by: 'ross', properties: {} }]);
  const first = planned(lines, new Map(), { mode: 'upsert', before: null, isRecorded: false });
  const ross = first.last;
  for (const isRecorded of [true, false]) {
    const next = planned(lines, new Map(), { mode: 'upsert', before: ross, isRecorded });
    const activity = next.rounds[0]?.[0]?.change.activity;
    t.equal(activity?.id, ross?.id);
    t.equal(activity?.details === null, isRecorded, 'it is recorded where a change was');
  }
});

t.test('what would take too many rounds is left for the next transaction', async (t) => {
  const said = Array.from({ length: 130 }, (_, n): Said => ({ op: 'put', by: `actor ${n}`, properties: { n } }));
  const lines = linesOf(said);
  const { taken, rounds, changed, last } = planned(lines, new Map(), {
    mode: 'upsert',
    before: null,
    isRecorded: false,
  });
  t.same([taken, rounds.length, changed], [50, 50, 50]);
  t.match(last, { details: { actor: 'actor 49' } });
  t.same(
    rounds.flat().map(({ lines }) => lines),
    Array.from({ length: 50 }, (_, n) => [n + 1]),
  );
});
