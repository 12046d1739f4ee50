import fc from 'fast-check';
import t from 'tap';
import type { Entity } from '../../src/temporal/entity.js';
import { idOfKey } from '../../src/temporal/identity.js';
import {
  type BatchPlan,
  type Facts,
  type ImportMode,
  type ImportWrite,
  type Last,
  type LineWrite,
  type Planned,
  planOf,
  shifted,
  tickedBy,
} from '../../src/temporal/import.js';
import type { JsonObject } from '../../src/temporal/json.js';

type Said = LineWrite & { key?: string; type?: string; by?: string; id?: string; at?: string };

/** Lines of friends, by key (`a`, if none is said); `by` is the actor of the line's own activity, `id` its id. */
const linesOf = (said: readonly Said[]): ImportWrite[] =>
  said.map(({ key = 'a', type = 'friend', by, id, at, ...write }, n) => ({
    ...write,
    line: n + 1,
    type,
    address: { id: idOfKey('friend', key), label: `friend:${key}`, named: { type: 'friend', key } },
    activity:
      by === undefined && id === undefined ? null : { id: id ?? null, details: by === undefined ? {} : { actor: by } },
    at: at ?? null,
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
  untracked: [],
});
const tombstone = { ...friend({}, 2), deleted: true };

const NOW = '2020-01-01T00:00:00.000000Z';
const NOBODY: Last = { activity: null, at: null, isRecorded: false };

/** What the database says: of entities as they are, and whatever else a test gives. */
const factsOf = (current: readonly Entity[] = [], more: Partial<Facts> = {}): Facts => ({
  current: new Map(current.map((entity) => [entity.id, entity])),
  past: new Map(),
  admit: (change) => change,
  now: NOW,
  activities: new Map(),
  ticked: new Set(),
  ...more,
});

const plan = (said: readonly Said[], current: readonly Entity[] = [], mode: ImportMode = 'upsert') =>
  planned(linesOf(said), factsOf(current), { mode, before: NOBODY });

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
  const first = planned(lines, factsOf(), { mode: 'upsert', before: NOBODY });
  t.equal(first.last.isRecorded, true);
  for (const isRecorded of [true, false]) {
    const next = planned(lines, factsOf(), { mode: 'upsert', before: { ...first.last, isRecorded } });
    const activity = next.rounds[0]?.[0]?.change.activity;
    t.equal(activity?.id, first.last.activity?.id);
    t.equal(activity?.details === null, isRecorded, 'it is recorded where a change was');
  }
});

t.test('what would take too many rounds is left for the next transaction', async (t) => {
  const said = Array.from({ length: 130 }, (_, n): Said => ({ op: 'put', by: `actor ${n}`, properties: { n } }));
  const lines = linesOf(said);
  const { taken, rounds, changed, last } = planned(lines, factsOf(), { mode: 'upsert', before: NOBODY });
  t.same([taken, rounds.length, changed], [50, 50, 50]);
  t.match(last, { activity: { details: { actor: 'actor 49' } } });
  t.same(
    rounds.flat().map(({ lines }) => lines),
    Array.from({ length: 50 }, (_, n) => [n + 1]),
  );
});

const at = (day: number) => `2016-01-${String(day).padStart(2, '0')}T00:00:00.000000Z`;

t.test('a line with an instant is a tick of its own, at it', async (t) => {
  const { rounds, faults } = plan([
    { op: 'put', properties: { n: 1 }, at: at(1) },
    { op: 'patch', properties: { n: 2 }, at: at(2), by: 'ross' },
    { op: 'set', set: { n: 2 }, clear: [], at: at(3) },
    { op: 'delete', at: at(4) },
    { op: 'put', properties: { n: 3 }, at: at(5), by: 'ross' },
    { op: 'put', properties: { n: 4 } },
    { op: 'put', properties: { n: 5 } },
  ]);
  t.same(faults, []);
  t.same(
    rounds.flat().map(({ change: { op, at: when, expected, set }, lines }) => [expected, op, when, set, lines]),
    [
      [0, 'created', at(1), { n: 1 }, [1]],
      [1, 'updated', at(2), { n: 2 }, [2]],
      [2, 'deleted', at(4), {}, [4]],
      [3, 'restored', at(5), { n: 3 }, [5]],
      [4, 'updated', undefined, { n: 5 }, [6, 7]],
    ],
    'what says nothing new ticks nothing, and what has no instant folds',
  );
});

t.test('neighbours with one activity and one instant are under one activity', async (t) => {
  const idsOf = (said: Said[]) =>
    plan(said)
      .rounds.flat()
      .map(({ change }) => change.activity?.id);
  const friendAt = (key: string, when: string, by?: string): Said => ({
    op: 'put',
    key,
    properties: {},
    at: when,
    ...(by ? { by } : {}),
  });
  const cases: [what: string, said: Said[], activities: number][] = [
    ['the same', [friendAt('a', at(1), 'ross'), friendAt('b', at(1), 'ross')], 1],
    ['another instant', [friendAt('a', at(1), 'ross'), friendAt('b', at(2), 'ross')], 2],
    ['another actor', [friendAt('a', at(1), 'ross'), friendAt('b', at(1), 'joey')], 2],
    ['nobody: one for the batch', [friendAt('a', at(1)), friendAt('b', at(2))], 1],
  ];
  for (const [what, said, activities] of cases) t.equal(new Set(idsOf(said)).size, activities, what);
});

t.test('history goes on from the newest tick: what is not after it is there already, or refused', async (t) => {
  const there = { ...friend({ n: 2 }, 2), updatedAt: at(10) };
  const then = friend({ n: 1 });
  const cases: [what: string, said: Said, past: Entity | undefined, outcome: string][] = [
    ['after it', { op: 'put', properties: { n: 3 }, at: at(11) }, undefined, 'changed'],
    ['at it, the same', { op: 'put', properties: { n: 2 }, at: at(10) }, there, 'unchanged'],
    ['at it, another', { op: 'put', properties: { n: 3 }, at: at(10) }, there, 'at_out_of_order'],
    ['before it, as it was', { op: 'put', properties: { n: 1 }, at: at(5) }, then, 'unchanged'],
    ['before it, as it is', { op: 'put', properties: { n: 2 }, at: at(5) }, then, 'at_out_of_order'],
    ['a patch that was made', { op: 'patch', properties: { n: 1, m: null }, at: at(5) }, then, 'unchanged'],
    ['a value that was set', { op: 'set', set: { n: 1 }, clear: ['m'], at: at(5) }, then, 'unchanged'],
    ['a patch of what was not there', { op: 'patch', properties: {}, at: at(5) }, undefined, 'at_out_of_order'],
    ['a tombstone that was', { op: 'delete', at: at(5) }, { ...tombstone, tick: 1 }, 'unchanged'],
    ['a tombstone that was not', { op: 'delete', at: at(5) }, then, 'at_out_of_order'],
    ['before it was there', { op: 'put', properties: { n: 1 }, at: at(1) }, undefined, 'at_out_of_order'],
    ['of another type', { op: 'put', type: 'foe', properties: { n: 2 }, at: at(10) }, there, 'type_mismatch'],
    ['now', { op: 'put', properties: { n: 3 }, at: NOW }, undefined, 'changed'],
    ['not yet', { op: 'put', properties: { n: 3 }, at: '2020-01-01T00:00:00.000001Z' }, undefined, 'at_in_future'],
  ];
  for (const [what, said, past, outcome] of cases) {
    const more = past ? { past: new Map([[1, past]]) } : {};
    const { faults, changed, unchanged } = planned(linesOf([said]), factsOf([there], more), {
      mode: 'upsert',
      before: NOBODY,
    });
    t.same([faults[0]?.refusal.code ?? (changed > 0 ? 'changed' : unchanged > 0 ? 'unchanged' : '')], [outcome], what);
  }
});

t.test('what is out of order in its batch is there already, or refused, as it would be in the next one', async (t) => {
  const said = (n: number, day: number): Said => ({ op: 'put', properties: { n }, at: at(day) });
  const base = { ...friend({ n: 0 }), updatedAt: at(1) };
  const cases: [what: string, said: Said, outcome: string][] = [
    ['the same', said(5, 5), 'unchanged'],
    ['what held then', said(5, 6), 'unchanged'],
    ['what was there before', said(0, 4), 'unchanged'],
    ['what did not hold then', said(7, 6), 'at_out_of_order'],
    ['what held later', said(5, 4), 'at_out_of_order'],
    ['at a tick, another', said(8, 7), 'at_out_of_order'],
  ];
  for (const [what, line, outcome] of cases)
    for (const more of [[], [{ op: 'put' as const, properties: { n: 9 } }]]) {
      const { faults, taken, unchanged } = plan([said(5, 5), said(7, 7), ...more, line], [base]);
      t.same(
        [faults[0]?.refusal.code ?? (unchanged === 1 ? 'unchanged' : ''), taken],
        [outcome, 3 + more.length],
        what,
      );
    }
});

const ID = '018f0000-0000-7000-8000-000000000001';

t.test('an activity with an id is one wherever it is said', async (t) => {
  const ross = { actor: 'ross' };
  const put = (key: string, { by = 'ross', n = 1, ...more }: { by?: string; at?: string; n?: number } = {}): Said => ({
    op: 'put',
    key,
    properties: { n },
    id: ID,
    by,
    ...more,
  });
  const cases: [what: string, said: Said[], more: Partial<Facts>, shown: unknown[]][] = [
    ['recorded once', [put('a'), { op: 'put', key: 'b', properties: {} }, put('c')], {}, [ross, {}, ross]],
    ['known', [put('a')], { activities: new Map([[ID, ross]]) }, [null]],
    ['only named', [{ op: 'put', key: 'a', id: ID, properties: {} }], { activities: new Map([[ID, ross]]) }, [null]],
    ['only named, and said before', [put('a'), { op: 'put', key: 'b', id: ID, properties: {} }], {}, [ross, ross]],
    ['only named, and unknown', [{ op: 'put', key: 'a', id: ID, properties: {} }], {}, ['unknown_activity']],
    ['with other words than before', [put('a'), put('b', { by: 'joey' })], {}, ['activity_differs', ross]],
    [
      'with other words than recorded',
      [put('a', { by: 'joey' })],
      { activities: new Map([[ID, ross]]) },
      ['activity_differs'],
    ],
    [
      'twice for an entity',
      [put('a', { at: at(1) }), put('a', { at: at(2), n: 2 })],
      {},
      ['activity_already_ticked', ross],
    ],
    [
      'that has ticked it before',
      [put('a')],
      { activities: new Map([[ID, ross]]), ticked: new Set([tickedBy(ID, idOfKey('friend', 'a'))]) },
      ['activity_already_ticked'],
    ],
  ];
  for (const [what, said, more, shown] of cases) {
    const { rounds, faults } = planned(linesOf(said), factsOf([], more), { mode: 'upsert', before: NOBODY });
    const activities = rounds.flat().map(({ change }) => change.activity);
    t.same(
      [...faults.map(({ refusal }) => refusal.code), ...activities.map((activity) => activity?.details)],
      shown,
      what,
    );
    const named = rounds.flat().filter(({ lines }) => said[(lines[0] ?? 0) - 1]?.id === ID);
    t.ok(named.every(({ change }) => change.activity?.id === ID));
  }
});

t.test('instants that are shifted go on over all lines, and a commit keeps one', async (t) => {
  const put = (key: string, when: string | undefined, by?: string): Said => ({
    op: 'put',
    key,
    properties: {},
    ...(when ? { at: when } : {}),
    ...(by ? { by } : {}),
  });
  const lines = linesOf([
    put('a', at(5), 'ross'),
    put('b', at(5), 'ross'),
    put('a', at(5), 'joey'),
    put('c', undefined),
    put('b', at(5), 'joey'),
    put('a', at(3), 'ross'),
    put('a', at(3)),
    put('a', at(6)),
    put('b', at(6)),
  ]);
  const microsecond = (day: number, n: number) => at(day).replace('000000Z', `${String(n).padStart(6, '0')}Z`);
  t.same(
    lines.map(shifted()).map((line) => line.at),
    [at(5), at(5), microsecond(5, 1), null, microsecond(5, 1), microsecond(5, 2), microsecond(5, 3), at(6), at(6)],
  );
  const end = '9999-12-31T23:59:59.999999Z';
  const atEnd = linesOf([put('a', end, 'ross'), put('b', end, 'joey'), put('c', at(5))]);
  t.same(
    atEnd.map(shifted()).map((line) => line.at),
    [end, end, end],
    'but not beyond the last instant, which is refused anyway',
  );
});
