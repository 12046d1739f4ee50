import fc from 'fast-check';
import t from 'tap';
import {
  type Activity,
  type Creation,
  create,
  creation,
  type Entity,
  living,
  MAX_NAME_LENGTH,
  type MergePatch,
  mergePatchOf,
  patch,
  remove,
  type TickCondition,
} from '../../src/temporal/change.js';
import { idOfKey } from '../../src/temporal/identity.js';
import { type Json, type JsonObject, jsonEqual } from '../../src/temporal/json.js';
import { mergeObject } from '../../src/temporal/patch.js';
import { Refusal, type RefusalCode } from '../../src/temporal/refusal.js';

const V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const ID = idOfKey('friend', 'rachel');
const ACTIVITY: Activity = { id: '017f22e2-79b0-7cc3-98c4-dc0c0c07398f', actor: 'monica', reason: 'moved' };

/** Rachel at tick 3, but for what a case says otherwise. */
const rachel = (otherwise: Partial<Entity> = {}): Entity => ({
  id: ID,
  type: 'friend',
  key: 'rachel',
  tick: 3,
  deleted: false,
  createdAt: '2014-10-08T00:00:00.000000Z',
  updatedAt: '2016-01-08T00:00:00.000000Z',
  properties: { name: 'Rachel', location: 'New York', job: { title: 'buyer', at: 'Bloomingdale' }, left: null },
  ...otherwise,
});

const wantedPatch = (properties: JsonObject, otherwise: Partial<MergePatch> = {}): MergePatch => ({
  said: 'friend:rachel',
  patch: properties,
  ifMatch: null,
  activity: null,
  ...otherwise,
});

/** The refusal of what must be refused. */
function refused(attempt: () => unknown): Refusal {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('not refused');
}

/** JSON.parse makes a member of `__proto__`, where an object literal would set the prototype. */
const only = (name: string, value: Json): JsonObject => Object.fromEntries([[name, value]]);

t.test('A24 a creation is named by its key, or anew', async (t) => {
  const properties = { name: 'Rachel' };
  t.strictSame(creation({ type: 'friend', key: 'rachel', properties }), {
    id: ID,
    type: 'friend',
    key: 'rachel',
    properties,
    activity: null,
  });
  const ids = [1, 2, 3].map(() => {
    const made = creation({ type: 'friend', properties });
    t.match(made.id, V7);
    t.equal(made.key, null);
    return made.id;
  });
  t.equal(new Set(ids).size, 3);
});

t.test('create: nothing, a tombstone or the entity itself is in the way', async (t) => {
  const wanted: Creation = {
    id: ID,
    type: 'friend',
    key: 'rachel',
    properties: { name: 'Rachel', left: null, job: {} },
    activity: ACTIVITY,
  };
  const change = { id: ID, type: 'friend', key: 'rachel', set: wanted.properties, clear: [], activity: ACTIVITY };

  t.strictSame(create(undefined, wanted), { ...change, expected: 0, op: 'created' }, 'nothing');
  for (const tick of [2, 7]) {
    // A tombstone holds no properties (the database sees to that), so there is nothing to clear.
    const tombstone = rachel({ deleted: true, tick, properties: {} });
    t.strictSame(create(tombstone, wanted), { ...change, expected: tick, op: 'restored' }, 'its ticks go on');
  }
  t.strictSame(create(undefined, { ...wanted, properties: {} }).set, {}, 'T02 no property is set');

  for (const tick of [1, 3]) {
    for (const properties of [wanted.properties, {}]) {
      const { code, message, notes } = refused(() => create(rachel({ tick, properties }), wanted));
      t.equal(code, 'entity_exists');
      t.equal(message, 'There already is a friend with this key.');
      t.strictSame(notes, { members: { id: ID, tick } });
    }
  }
});

t.test('patch: only what differs is set or cleared', async (t) => {
  const job = { title: 'buyer', at: 'Bloomingdale' };
  const rows: [why: string, patch: JsonObject, set: JsonObject, clear: string[]][] = [
    ['T46 a new value', { location: 'San Francisco' }, { location: 'San Francisco' }, []],
    ['a new property', { age: 30 }, { age: 30 }, []],
    ['T10 what stays is not set', { name: 'Rachel', location: 'Paris' }, { location: 'Paris' }, []],
    ['null clears', { location: null }, {}, ['location']],
    ['A04 null clears a null', { left: null }, {}, ['left']],
    ['A05 null to a value', { left: true }, { left: true }, []],
    ['what is not there cannot be cleared', { age: null, name: 'Ross' }, { name: 'Ross' }, []],
    [
      'members merge, and the property is set whole',
      { job: { at: null, pay: 1 } },
      { job: { title: 'buyer', pay: 1 } },
      [],
    ],
    ['an object in place of text', { name: { first: 'Rachel' } }, { name: { first: 'Rachel' } }, []],
    ['a member cleared of a property not there', { pet: { name: null } }, { pet: {} }, []],
    ['T07 many at once', { name: null, age: 30, job: 1 }, { age: 30, job: 1 }, ['name']],
    [
      'A04 clearing all is no delete',
      { name: null, location: null, job: null, left: null },
      {},
      ['name', 'location', 'job', 'left'],
    ],
    ['T39 a property named id', { id: 'x', tick: 9 }, { id: 'x', tick: 9 }, []],
    ['T39 a property named __proto__', only('__proto__', { x: 1 }), only('__proto__', { x: 1 }), []],
    ['T39 a property named constructor', { constructor: 1 }, { constructor: 1 }, []],
  ];
  for (const [why, properties, set, clear] of rows) {
    const change = patch(rachel(), wantedPatch(properties, { activity: ACTIVITY }));
    t.strictSame(
      change,
      { id: ID, type: 'friend', key: 'rachel', expected: 3, op: 'updated', set, clear, activity: ACTIVITY },
      why,
    );
    t.ok(jsonEqual(change?.set, set), why);
  }
  const unkeyed = patch(rachel({ id: ACTIVITY.id, key: null, type: 'thing', tick: 1 }), wantedPatch({ a: 1 }));
  t.strictSame(unkeyed, {
    id: ACTIVITY.id,
    type: 'thing',
    key: null,
    expected: 1,
    op: 'updated',
    set: { a: 1 },
    clear: [],
    activity: null,
  });

  const nothing: [why: string, patch: JsonObject][] = [
    ['T11 nothing', {}],
    ['T11 an equal value', { name: 'Rachel' }],
    ['T11 members in another order', { job: { at: 'Bloomingdale', title: 'buyer' } }],
    ['T11 a part of an object', { job: { title: 'buyer' } }],
    ['T11 an empty part of an object', { job: {} }],
    ['clearing what is not there', { age: null, job: { pay: null } }],
    ['clearing what all objects inherit', { toString: null, ...only('__proto__', null) }],
    ['all of it again', { name: 'Rachel', location: 'New York', job }],
  ];
  for (const [why, properties] of nothing) {
    t.equal(patch(rachel(), wantedPatch(properties, { activity: ACTIVITY })), null, why);
  }
  t.equal(
    patch(rachel({ properties: { n: 1, z: 0 } }), wantedPatch(JSON.parse('{"n":1.0,"z":-0}'))),
    null,
    'T11 1.0 for 1',
  );
});

t.test('patch: what is not there cannot be patched, whatever the patch and the condition', async (t) => {
  const rows: [why: string, current: Entity | undefined, code: RefusalCode, message: string, tick?: number][] = [
    ['never created', undefined, 'entity_not_found', 'There is no entity friend:rachel.'],
    ['deleted', rachel({ deleted: true }), 'entity_deleted', 'Entity friend:rachel was deleted at tick 3.', 3],
    ['deleted', rachel({ deleted: true, tick: 8 }), 'entity_deleted', 'Entity friend:rachel was deleted at tick 8.', 8],
  ];
  const conditions: (TickCondition | null)[] = [null, { any: true }, { ticks: [3, 8] }, { ticks: [] }];
  for (const [why, current, code, message, tick] of rows) {
    for (const ifMatch of conditions) {
      for (const properties of [{ name: 'Ross' }, {}]) {
        const refusal = refused(() => patch(current, wantedPatch(properties, { ifMatch })));
        t.equal(refusal.code, code, why);
        t.equal(refusal.message, message, why);
        t.strictSame(refusal.notes, tick === undefined ? {} : { members: { tick } }, why);
      }
    }
  }
});

t.test('T47 patch: a stale condition is refused, even when nothing would change', async (t) => {
  const rows: [ifMatch: TickCondition | null, met: boolean][] = [
    [null, true],
    [{ any: true }, true],
    [{ ticks: [3] }, true],
    [{ ticks: [1, 2, 3] }, true],
    [{ ticks: [3, 3, 9] }, true],
    [{ ticks: [2] }, false],
    [{ ticks: [4] }, false],
    [{ ticks: [1, 2, 4, 30, 33] }, false],
    [{ ticks: [0] }, false],
    // An If-Match with no tick that could ever be, such as a weak one.
    [{ ticks: [] }, false],
  ];
  for (const [ifMatch, met] of rows) {
    const says = JSON.stringify(ifMatch);
    const change = () => patch(rachel(), wantedPatch({ name: 'Ross' }, { ifMatch }));
    const none = () => patch(rachel(), wantedPatch({ name: 'Rachel' }, { ifMatch }));
    if (met) {
      t.equal(change()?.expected, 3, says);
      t.equal(none(), null, says);
      continue;
    }
    for (const attempt of [change, none]) {
      const { code, message, notes } = refused(attempt);
      t.equal(code, 'precondition_failed', says);
      t.equal(message, 'The entity is at tick 3, not at the tick of If-Match.', says);
      t.strictSame(notes, { members: { tick: 3 } }, says);
    }
  }
});

t.test('A03 remove: a tombstone that ends every property, once', async (t) => {
  const said = 'friend:rachel';
  for (const properties of [rachel().properties, {}, { a: null }, only('__proto__', 1)]) {
    t.strictSame(remove(rachel({ properties }), { said, ifMatch: null }), {
      id: ID,
      type: 'friend',
      key: 'rachel',
      expected: 3,
      op: 'deleted',
      set: {},
      clear: Object.keys(properties),
      activity: null,
    });
  }
  const never = refused(() => remove(undefined, { said, ifMatch: { any: true } }));
  t.equal(never.code, 'entity_not_found');
  t.equal(never.message, 'There is no entity friend:rachel.');
  const tombstone = rachel({ deleted: true, properties: {} });
  const met: (TickCondition | null)[] = [null, { any: true }, { ticks: [3] }];
  for (const ifMatch of met) {
    t.equal(remove(rachel(), { said, ifMatch })?.expected, 3, JSON.stringify(ifMatch));
    t.equal(remove(tombstone, { said, ifMatch }), null, 'deleted already');
  }
  for (const current of [rachel(), tombstone]) {
    const { code, notes } = refused(() => remove(current, { said, ifMatch: { ticks: [2] } }));
    t.equal(code, 'precondition_failed');
    t.strictSame(notes, { members: { tick: 3 } });
  }
});

t.test('living: the entity itself, if it is there now', async (t) => {
  const here = rachel();
  t.equal(living(here, 'x'), here);
  const row = { deleted: false, tick: 1, more: 'of a row' };
  t.equal(living(row, 'x'), row);
  const never = refused(() => living(undefined, 'friend:😀'));
  t.equal(never.code, 'entity_not_found');
  t.equal(never.message, 'There is no entity friend:😀.');
  const gone = refused(() => living({ deleted: true, tick: 5 }, ID));
  t.equal(gone.code, 'entity_deleted');
  t.equal(gone.message, `Entity ${ID} was deleted at tick 5.`);
  t.strictSame(gone.notes, { members: { tick: 5 } });
});

/** Both ways in which a caller names properties. */
const namings: [what: string, naming: (properties: JsonObject) => unknown][] = [
  ['create', (properties) => creation({ type: 'friend', key: 'rachel', properties })],
  ['patch', (properties) => mergePatchOf('friend:rachel', { properties }, null)],
];

t.test('a name that cannot be a property is refused with its place', async (t) => {
  const none = 'A property needs a name';
  const dots = 'A property cannot be named . or ..';
  const long = "A property's name has at most 256 characters";
  const rows: [properties: JsonObject, errors: [path: string, message: string][]][] = [
    [{ '': 1 }, [['/properties/', none]]],
    [{ '.': 1 }, [['/properties/.', dots]]],
    [{ '..': 1 }, [['/properties/..', dots]]],
    [{ ['x'.repeat(257)]: 1 }, [[`/properties/${'x'.repeat(257)}`, long]]],
    [{ ['😀'.repeat(257)]: 1 }, [[`/properties/${'😀'.repeat(257)}`, long]]],
    [{ ['~/'.repeat(129)]: 1 }, [[`/properties/${'~0~1'.repeat(129)}`, long]]],
    // Null is a value of a create and removes in a patch; no name becomes better by it.
    [{ '': null }, [['/properties/', none]]],
    [
      { good: 1, '..': 2, fine: { '': 3 }, '': 4 },
      [
        ['/properties/..', dots],
        ['/properties/', none],
      ],
    ],
  ];
  for (const [what, naming] of namings) {
    for (const [properties, expected] of rows) {
      const { code, message, notes } = refused(() => naming(properties));
      const errors = expected.map(([path, message]) => ({ path, message }));
      const says = `${what} ${JSON.stringify(properties).slice(0, 60)}`;
      t.equal(code, 'invalid_property_name', says);
      t.strictSame(notes, { errors }, says);
      t.equal(message, `${errors[0]?.message}.`, says);
    }
  }
});

t.test('B29 every other name is fine', async (t) => {
  t.equal(MAX_NAME_LENGTH, 256);
  const names = [
    'a',
    ' ',
    '...',
    './',
    '0',
    '-',
    '/',
    '~',
    '%2e',
    'a/b',
    '"\'`\\,;:',
    '\n',
    '😀',
    'é',
    '__proto__',
    'constructor',
    'toString',
    'vclock',
    'id',
    'x'.repeat(256),
    '😀'.repeat(256),
  ];
  for (const [what, naming] of namings) {
    for (const name of names) {
      t.doesNotThrow(() => naming(only(name, 1)), `${what} ${JSON.stringify(name.slice(0, 20))}`);
    }
    t.doesNotThrow(
      () => naming({ a: { '': 1, '.': [{ '..': 1 }], ['x'.repeat(257)]: 1 } }),
      `${what}: members are free`,
    );
    t.doesNotThrow(() => naming({}), `${what} {}`);
  }
  const made = creation({ type: 'thing', properties: only('__proto__', { x: 1 }) });
  t.ok(jsonEqual(create(undefined, made).set, only('__proto__', { x: 1 })));
});

t.test('an activity gets its id once, however often the change is decided', async (t) => {
  // When another writer comes first the change is decided anew; that is still one activity.
  const rows: [given: Omit<Activity, 'id'>][] = [
    [{ actor: 'monica' }],
    [{ reason: 'moved' }],
    [{ actor: 'monica', reason: 'moved', metadata: { ticket: [1, null] } }],
    [{ metadata: only('__proto__', 1) }],
  ];
  for (const [given] of rows) {
    const says = JSON.stringify(given);
    const wanted = mergePatchOf('friend:rachel', { properties: { name: 'Ross' }, activity: given }, { ticks: [3, 4] });
    t.strictSame(wanted, {
      said: 'friend:rachel',
      patch: { name: 'Ross' },
      ifMatch: { ticks: [3, 4] },
      activity: { ...given, id: wanted.activity?.id },
    });
    t.match(wanted.activity?.id, V7, says);
    for (const tick of [3, 4]) t.equal(patch(rachel({ tick }), wanted)?.activity, wanted.activity, says);

    const made = creation({ type: 'friend', key: 'rachel', properties: {}, activity: given });
    t.match(made.activity, given, says);
    t.match(made.activity?.id, V7, says);
    t.equal(create(undefined, made).activity, made.activity, says);
    t.equal(create(rachel({ deleted: true }), made).activity, made.activity, says);
    t.not(made.activity?.id, wanted.activity?.id, 'another request, another activity');
  }
  t.equal(mergePatchOf('x', { properties: {} }, null).activity, null);
  t.equal(mergePatchOf('x', { properties: {}, activity: undefined }, null).activity, null);
  t.equal(creation({ type: 'friend', properties: {} }).activity, null);
});

const name = fc.oneof(fc.constantFrom('__proto__', 'constructor', 'a', 'b', 'c'), fc.string());

/** fc.dictionary would set a prototype for the name `__proto__`; Object.fromEntries makes a member. */
const members = (value: fc.Arbitrary<Json>): fc.Arbitrary<JsonObject> =>
  fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key }).map(Object.fromEntries);

const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, true, 0, -0, 1, 'a'),
    fc.string(),
    fc.array(tie('json'), { maxLength: 3 }),
    members(tie('json')),
  ),
}));

t.test('property: a change leads to the merged state, and there the same patch changes nothing', async (t) => {
  const seen = { changed: 0, unchanged: 0 };
  fc.assert(
    fc.property(members(json), members(json), fc.integer({ min: 1, max: 2 ** 31 - 2 }), (properties, merge, tick) => {
      const before = JSON.stringify([properties, merge]);
      const wanted = wantedPatch(merge);
      const change = patch(rachel({ properties, tick }), wanted);
      if (JSON.stringify([properties, merge]) !== before) return false;
      const merged = mergeObject(properties, merge);
      seen[change ? 'changed' : 'unchanged'] += 1;
      if (!change) return jsonEqual(merged, properties);
      if (change.expected !== tick || jsonEqual(merged, properties)) return false;
      const kept = Object.entries(properties).filter(([name]) => !change.clear.includes(name));
      const next: JsonObject = Object.fromEntries([...kept, ...Object.entries(change.set)]);
      return jsonEqual(next, merged) && patch(rachel({ properties: next, tick: tick + 1 }), wanted) === null;
    }),
    { numRuns: 2000 },
  );
  t.ok(seen.changed > 200 && seen.unchanged > 20, JSON.stringify(seen));
});
