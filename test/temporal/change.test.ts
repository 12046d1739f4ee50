import fc from 'fast-check';
import t from 'tap';
import {
  beforeTombstone,
  type Creation,
  create,
  creation,
  type Intent,
  jsonPatchOf,
  mergePatchOf,
  newActivity,
  type Patch,
  patch,
  put,
  type Replacement,
  type Reversion,
  remove,
  replacement,
  restore,
  revert,
} from '../../src/temporal/change.js';
import { type Conditions, type TickCondition, UNCONDITIONAL } from '../../src/temporal/conditions.js';
import type { Activity, ActivityDetails, Change, Entity, Past } from '../../src/temporal/entity.js';
import { idOfKey, parseAddress } from '../../src/temporal/identity.js';
import { type Json, type JsonObject, jsonEqual } from '../../src/temporal/json.js';
import { mergeObject } from '../../src/temporal/patch.js';
import type { Point } from '../../src/temporal/point.js';
import { faultOfName } from '../../src/temporal/property-name.js';
import { buried, frozen, only, RACHEL, rachel } from '../helper/rachel.js';
import { type Refused, refused } from '../helper/refused.js';

const V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const SAID = 'friend:rachel';
const ACTIVITY: Activity = frozen({
  id: '017f22e2-79b0-7cc3-98c4-dc0c0c07398f',
  details: { actor: 'monica', reason: 'moved' },
});

/** What every write of Rachel says, but for what a case says otherwise. */
const intent = (otherwise: Partial<Intent> = {}): Intent =>
  frozen({ label: SAID, conditions: UNCONDITIONAL, activity: null, ...otherwise });

const ifMatch = (condition: TickCondition | null): { conditions: Conditions } => ({
  conditions: { ifMatch: condition, ifNoneMatch: null },
});
const ifNoneMatch = (condition: TickCondition | null): { conditions: Conditions } => ({
  conditions: { ifMatch: null, ifNoneMatch: condition },
});

const wantedPatch = (properties: JsonObject, otherwise: Partial<Intent> = {}): Patch =>
  mergePatchOf(intent(otherwise), frozen(properties));

/** A whole new state of what is addressed so. */
const wantedPut = (
  properties: JsonObject,
  { address = SAID, type = 'friend', ...otherwise }: Partial<Intent> & { address?: string; type?: string } = {},
): Replacement =>
  replacement(intent({ label: address, ...otherwise }), frozen(parseAddress(address)), frozen({ type, properties }));

const wantedRevert = (to: Point, properties: string[] | null = null, otherwise: Partial<Intent> = {}): Reversion =>
  frozen({ ...intent(otherwise), to, properties });

/** A change of Rachel at tick 3. */
const ofRachel = (change: Pick<Change, 'op' | 'set'> & Partial<Change>): Change => ({
  id: RACHEL,
  type: 'friend',
  key: 'rachel',
  expected: 3,
  clear: [],
  activity: null,
  ...change,
});

const NEVER: Refused = { code: 'entity_not_found', message: 'There is no entity friend:rachel.', notes: {} };
const gone = (tick: number): Refused => ({
  code: 'entity_deleted',
  message: `Entity friend:rachel was deleted at tick ${tick}.`,
  notes: { members: { tick } },
});
const unmet = (message: string, tick: number | null = 3): Refused => ({
  code: 'precondition_failed',
  message,
  notes: tick === null ? {} : { members: { tick } },
});
const STALE = unmet('The entity is at tick 3, not at the tick of If-Match.');

t.test('A24 a creation is named by its key, or anew', async (t) => {
  const properties = frozen({ name: 'Rachel' });
  t.strictSame(creation({ type: 'friend', key: 'rachel', properties }, ACTIVITY), {
    id: RACHEL,
    type: 'friend',
    key: 'rachel',
    properties,
    activity: ACTIVITY,
  });
  const ids = [{}, { key: undefined }, {}].map((key) => {
    const made = creation({ type: 'friend', properties, ...key }, null);
    t.match(made.id, V7);
    t.equal(made.key, null);
    t.equal(made.activity, null);
    return made.id;
  });
  t.equal(new Set(ids).size, 3);
});

t.test('create: nothing, a tombstone or the entity itself is in the way', async (t) => {
  const wanted: Creation = frozen({
    id: RACHEL,
    type: 'friend',
    key: 'rachel',
    properties: { name: 'Rachel', left: null, job: {} },
    activity: ACTIVITY,
  });
  const { properties } = wanted;
  const change = {
    ...{ id: RACHEL, type: 'friend', key: 'rachel' },
    set: properties,
    clear: [],
    whole: properties,
    activity: ACTIVITY,
  };

  t.strictSame(create(undefined, wanted), { ...change, expected: 0, op: 'created' }, 'nothing');
  for (const tick of [2, 7]) {
    t.strictSame(create(buried({ tick }), wanted), { ...change, expected: tick, op: 'restored' }, 'its ticks go on');
  }
  t.strictSame(create(undefined, { ...wanted, properties: {} }).set, {}, 'T02 no property is set');

  for (const tick of [1, 3]) {
    for (const properties of [wanted.properties, {}]) {
      t.strictSame(
        refused(() => create(rachel({ tick, properties }), wanted)),
        {
          code: 'entity_exists',
          message: 'There already is a friend with this key.',
          notes: { members: { id: RACHEL, tick } },
        },
      );
    }
  }
});

t.test('a replacement is what the address and the body say, if they say the same type', async (t) => {
  const address = frozen(parseAddress(SAID));
  const byId = frozen(parseAddress(RACHEL));
  const properties = frozen({ name: null, job: {} });
  const whole = intent({ activity: ACTIVITY, ...ifMatch({ ticks: [3, 4] }) });
  t.strictSame(replacement(whole, address, { type: 'friend', properties }), {
    label: SAID,
    conditions: { ifMatch: { ticks: [3, 4] }, ifNoneMatch: null },
    activity: ACTIVITY,
    address,
    type: 'friend',
    properties,
  });
  // An id says no type, so only the entity can contradict the body.
  t.equal(replacement(whole, byId, { type: 'enemy', properties }).type, 'enemy');

  for (const type of ['enemy', 'friends', 'frien', '__proto__']) {
    const message = 'is not the type that the address says, friend';
    t.strictSame(
      refused(() => replacement(whole, address, { type, properties })),
      { code: 'invalid_body', message: `/type: ${message}.`, notes: { errors: [{ path: '/type', message }] } },
      type,
    );
  }
});

t.test('put: an absent entity is created by its key or under a fresh UUID', async (t) => {
  const rows: [why: string, address: string, type: string, id: string, key: string | null][] = [
    ['by key', SAID, 'friend', RACHEL, 'rachel'],
    ['by a key that looks like an id', `friend:${RACHEL}`, 'friend', idOfKey('friend', RACHEL), RACHEL],
    ['by a key with a colon', 'place:a:b', 'place', idOfKey('place', 'a:b'), 'a:b'],
    ['version 4', '919108f7-52d1-4320-9bac-f847db4148a8', 'friend', '919108f7-52d1-4320-9bac-f847db4148a8', null],
    ['version 7', '017F22E2-79B0-7CC3-98C4-DC0C0C07398F', 'friend', '017f22e2-79b0-7cc3-98c4-dc0c0c07398f', null],
  ];
  const states: JsonObject[] = [{}, { name: 'Rachel', left: null, job: { pay: null } }, only('__proto__', { x: 1 })];
  for (const [why, address, type, id, key] of rows) {
    for (const properties of states) {
      const change = put(undefined, wantedPut(properties, { address, type, activity: ACTIVITY }));
      t.strictSame(
        change,
        {
          id,
          type,
          key,
          expected: 0,
          op: 'created',
          set: properties,
          clear: [],
          whole: properties,
          activity: ACTIVITY,
        },
        why,
      );
      t.ok(jsonEqual(change?.set, properties), why);
    }
  }
});

t.test('put: under any other UUID nothing is created', async (t) => {
  const ids: [why: string, id: string][] = [
    ['nil', '00000000-0000-0000-0000-000000000000'],
    ['version 1', 'c232ab00-9414-11ec-b3c8-9f6bdeced846'],
    ['version 3', '5df41881-3aed-3515-88a7-2f4a814cf09e'],
    // It may belong to a key that is yet to be born; this one does.
    ['version 5', RACHEL],
    ['version 6', '1ec9414c-232a-6b00-b3c8-9f6bdeced846'],
    ['version 8', '2489e9ad-2ee2-8e00-8ec9-32d5f69181c0'],
    ['max', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
    // The variant says whose versions these are (RFC 9562 section 4.1).
    ['version 7 of the variant of NCS', '017f22e2-79b0-7cc3-78c4-dc0c0c07398f'],
    ['version 4 of the variant of Microsoft', '919108f7-52d1-4320-cbac-f847db4148a8'],
    ['version 4 of a variant to come', '919108f7-52d1-4320-fbac-f847db4148a8'],
  ];
  for (const [why, id] of ids) {
    const message = 'creates nothing: only a UUID of version 4 or 7, or type:key, can be new';
    const refusal = { code: 'invalid_id', message: `${id} ${message}.`, notes: { errors: [{ path: 'id', message }] } };
    t.strictSame(
      refused(() => put(undefined, wantedPut({}, { address: id }))),
      refusal,
      why,
    );
    // What is there can be put under any id.
    t.strictSame(
      put(rachel({ id, key: null }), wantedPut({}, { address: id, activity: ACTIVITY }))?.clear,
      ['name', 'location', 'job', 'left'],
      why,
    );
    t.equal(put(buried({ id, key: null }), wantedPut({}, { address: id }))?.op, 'restored', why);
  }
});

/** Whole states against Rachel's, and what leads there from hers. */
const STATES: [why: string, properties: JsonObject, set: JsonObject, clear: string[]][] = [
  ['what is left out goes', { name: 'Rachel' }, {}, ['location', 'job', 'left']],
  ['nothing stays', {}, {}, ['name', 'location', 'job', 'left']],
  [
    'null is a value',
    { name: null, location: 'New York', job: { title: 'buyer', at: 'Bloomingdale' }, left: null },
    { name: null },
    [],
  ],
  ['null is a value of a new property', { left: null, age: null }, { age: null }, ['name', 'location', 'job']],
  [
    'no members merge',
    { name: 'Rachel', location: 'New York', job: { title: 'buyer' }, left: null },
    { job: { title: 'buyer' } },
    [],
  ],
  ['null inside a value', { left: null, job: { at: null } }, { job: { at: null } }, ['name', 'location']],
  ['all anew', { id: 1, tick: 9 }, { id: 1, tick: 9 }, ['name', 'location', 'job', 'left']],
  [
    'T39 a property named __proto__',
    only('__proto__', { x: 1 }),
    only('__proto__', { x: 1 }),
    ['name', 'location', 'job', 'left'],
  ],
  ['T39 a property named constructor', { constructor: 1, left: null }, { constructor: 1 }, ['name', 'location', 'job']],
];

/** Whole states that are Rachel's. */
const SAME: [why: string, properties: JsonObject][] = [
  ['T11 the same', rachel().properties],
  [
    'T11 in another order',
    { left: null, job: { at: 'Bloomingdale', title: 'buyer' }, location: 'New York', name: 'Rachel' },
  ],
];

t.test('put: the whole state of a living entity is replaced, and only what differs is set or cleared', async (t) => {
  for (const address of [SAID, RACHEL, RACHEL.toUpperCase()]) {
    for (const [why, properties, set, clear] of STATES) {
      const change = put(rachel(), wantedPut(properties, { address, activity: ACTIVITY }));
      t.strictSame(change, { ...ofRachel({ op: 'updated', set, clear, activity: ACTIVITY }), whole: properties }, why);
      t.ok(jsonEqual(change?.set, set), why);
    }
    for (const [why, properties] of SAME) {
      t.equal(put(rachel(), wantedPut(properties, { address, activity: ACTIVITY })), null, why);
    }
  }
  t.equal(put(rachel({ properties: { n: 1, z: 0 } }), wantedPut(JSON.parse('{"n":1.0,"z":-0}'))), null, 'T11 1.0 is 1');
  const inherits = rachel({ properties: only('__proto__', 1) });
  t.strictSame(put(inherits, wantedPut({}))?.clear, ['__proto__']);
  t.strictSame(put(inherits, wantedPut({ constructor: 1 }))?.set, { constructor: 1 });
});

t.test('put: a tombstone is revived, its ticks go on, even without properties', async (t) => {
  for (const tick of [2, 7]) {
    for (const properties of [{ name: 'Rachel', left: null }, {}, only('__proto__', 1)]) {
      const change = put(buried({ tick }), wantedPut(properties, { activity: ACTIVITY }));
      t.strictSame(change, {
        ...ofRachel({ op: 'restored', expected: tick, set: properties, activity: ACTIVITY }),
        whole: properties,
      });
      t.ok(jsonEqual(change?.set, properties));
    }
  }
  const unkeyed = buried({ id: ACTIVITY.id, key: null, type: 'thing' });
  t.strictSame(put(unkeyed, wantedPut({ a: 1 }, { address: ACTIVITY.id, type: 'thing' })), {
    ...ofRachel({ id: ACTIVITY.id, key: null, type: 'thing', op: 'restored', set: { a: 1 } }),
    whole: { a: 1 },
  });
});

t.test('put: an entity never changes its type, dead or alive', async (t) => {
  for (const current of [rachel(), buried()]) {
    for (const properties of [{ name: 'Ross' }, current.properties]) {
      t.strictSame(
        refused(() => put(current, wantedPut(properties, { address: RACHEL, type: 'enemy' }))),
        {
          code: 'type_mismatch',
          message: `Entity ${RACHEL} is a friend, and its type never changes.`,
          notes: { errors: [{ path: '/type', message: 'is not friend' }] },
        },
      );
    }
    // A stale writer learns first that there is something newer to read.
    const stale = wantedPut({}, { address: RACHEL, type: 'enemy', ...ifMatch({ ticks: [2] }) });
    t.equal(refused(() => put(current, stale)).code, 'precondition_failed');
  }
});

t.test('put: conditions are asked first, of whatever is there', async (t) => {
  const absent = 'There is no such entity.';
  const rows: [
    why: string,
    current: Entity | undefined,
    conditions: { conditions: Conditions },
    ends: Change['op'] | Refused,
  ][] = [
    ['create only, absent', undefined, ifNoneMatch({ any: true }), 'created'],
    [
      'create only, living',
      rachel(),
      ifNoneMatch({ any: true }),
      unmet('The entity is at tick 3, which If-None-Match rules out.'),
    ],
    ['create only, tombstone', buried(), ifNoneMatch({ any: true }), 'restored'],
    ['update only, absent', undefined, ifMatch({ any: true }), unmet(absent, null)],
    ['update only, living', rachel(), ifMatch({ any: true }), 'updated'],
    ['update only, tombstone', buried(), ifMatch({ any: true }), unmet('The entity is deleted, at tick 3.')],
    ['at a tick, absent', undefined, ifMatch({ ticks: [3] }), unmet(absent, null)],
    ['at its tick, living', rachel(), ifMatch({ ticks: [3] }), 'updated'],
    ["at the tombstone's tick", buried(), ifMatch({ ticks: [3] }), 'restored'],
    ['at an older tick, living', rachel(), ifMatch({ ticks: [2] }), STALE],
    [
      'at an older tick, tombstone',
      buried(),
      ifMatch({ ticks: [2] }),
      unmet('The entity is deleted, at tick 3, not at the tick of If-Match.'),
    ],
    ['not at this tick, living', rachel(), ifNoneMatch({ ticks: [2] }), 'updated'],
  ];
  for (const [why, current, conditions, ends] of rows) {
    const attempt = () => put(current, wantedPut({ name: 'Ross' }, conditions));
    if (typeof ends === 'string') t.equal(attempt()?.op, ends, why);
    else t.strictSame(refused(attempt), ends, why);
  }
  // A stale condition is refused even when nothing would change, and before the id is asked.
  t.strictSame(
    refused(() => put(rachel(), wantedPut(rachel().properties, ifMatch({ ticks: [2] })))),
    STALE,
  );
  t.equal(put(rachel(), wantedPut(rachel().properties, ifMatch({ ticks: [3] }))), null);
  t.strictSame(
    refused(() => put(undefined, wantedPut({}, { address: RACHEL, ...ifMatch({ any: true }) }))),
    unmet(absent, null),
  );
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
    t.strictSame(change, ofRachel({ op: 'updated', set, clear, activity: ACTIVITY }), why);
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
  const rows: [why: string, current: Entity | undefined, refusal: Refused][] = [
    ['never created', undefined, NEVER],
    ['deleted', buried(), gone(3)],
    ['deleted', buried({ tick: 8 }), gone(8)],
  ];
  const conditions: (TickCondition | null)[] = [null, { any: true }, { ticks: [3, 8] }, { ticks: [] }];
  for (const [why, current, refusal] of rows) {
    for (const condition of conditions) {
      for (const properties of [{ name: 'Ross' }, {}]) {
        for (const otherwise of [ifMatch(condition), ifNoneMatch(condition)]) {
          t.strictSame(
            refused(() => patch(current, wantedPatch(properties, otherwise))),
            refusal,
            why,
          );
        }
      }
    }
  }
});

t.test('T47 patch: a stale condition is refused, even when nothing would change', async (t) => {
  const rows: [condition: TickCondition | null, met: boolean][] = [
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
  const attempts = (conditions: { conditions: Conditions }) => [
    () => patch(rachel(), wantedPatch({ name: 'Ross' }, conditions)),
    () => patch(rachel(), wantedPatch({ name: 'Rachel' }, conditions)),
  ];
  for (const [condition, met] of rows) {
    const says = JSON.stringify(condition);
    const [change, none] = attempts(ifMatch(condition));
    if (met) {
      t.equal(change?.()?.expected, 3, says);
      t.equal(none?.(), null, says);
      continue;
    }
    for (const attempt of attempts(ifMatch(condition))) t.strictSame(refused(attempt), STALE, says);
  }
  const ruledOut = unmet('The entity is at tick 3, which If-None-Match rules out.');
  for (const attempt of attempts(ifNoneMatch({ any: true }))) t.strictSame(refused(attempt), ruledOut);
});

t.test('a JSON Patch is applied to the current properties, and what is wrong with it is told', async (t) => {
  const wanted = jsonPatchOf(
    intent({ activity: ACTIVITY }),
    frozen([
      { op: 'test', path: '/properties/name', value: 'Rachel' },
      { op: 'replace', path: '/properties/name', value: null },
      { op: 'add', path: '/properties/job/pay', value: 1 },
      { op: 'remove', path: '/properties/left' },
    ]),
  );
  const set = { name: null, job: { title: 'buyer', at: 'Bloomingdale', pay: 1 } };
  t.strictSame(patch(rachel(), wanted), ofRachel({ op: 'updated', set, clear: ['left'], activity: ACTIVITY }));
  // When another writer comes first, the same patch is applied to what that one left.
  const newer = rachel({ tick: 4, properties: { name: 'Rachel', job: { pay: 0 }, left: 1 } });
  t.strictSame(
    patch(newer, wanted),
    ofRachel({ expected: 4, op: 'updated', set: { name: null, job: { pay: 1 } }, clear: ['left'], activity: ACTIVITY }),
  );
  t.equal(patch(rachel(), jsonPatchOf(intent(), [])), null, 'T11 no operation');
  t.equal(
    patch(rachel(), jsonPatchOf(intent(), [{ op: 'replace', path: '/properties/left', value: null }])),
    null,
    'T11 an equal value',
  );

  const unreadable: [why: string, body: Json, code: Refused['code']][] = [
    ['no array', { properties: {} }, 'invalid_body'],
    ['no operation that is known', [{ op: 'set', path: '/properties/a' }], 'invalid_body'],
    ['no name of a property', [{ op: 'add', path: '/properties/', value: 1 }], 'invalid_property_name'],
  ];
  for (const [why, body, code] of unreadable) t.equal(refused(() => jsonPatchOf(intent(), body)).code, code, why);

  const failing: [why: string, operation: JsonObject, code: Refused['code']][] = [
    ['a test that does not hold', { op: 'test', path: '/properties/name', value: 'Ross' }, 'patch_test_failed'],
    ['a place that is not there', { op: 'remove', path: '/properties/age' }, 'patch_not_applicable'],
  ];
  for (const [why, operation, code] of failing) {
    const failed = jsonPatchOf(intent(), [operation]);
    t.equal(refused(() => patch(rachel(), failed)).code, code, why);
    t.strictSame(
      refused(() => patch(rachel(), { ...failed, ...ifMatch({ ticks: [2] }) })),
      STALE,
      `${why}: the condition goes first`,
    );
    t.strictSame(
      refused(() => patch(buried(), failed)),
      gone(3),
      why,
    );
  }
});

t.test('A03 remove: a tombstone that ends every property, once', async (t) => {
  for (const properties of [rachel().properties, {}, { a: null }, only('__proto__', 1)]) {
    for (const activity of [null, ACTIVITY]) {
      t.strictSame(
        remove(rachel({ properties }), intent({ activity })),
        ofRachel({ op: 'deleted', set: {}, clear: Object.keys(properties), activity }),
      );
    }
  }
  for (const conditions of [{}, ifMatch({ any: true }), ifMatch({ ticks: [3] }), ifNoneMatch({ any: true })]) {
    t.strictSame(
      refused(() => remove(undefined, intent(conditions))),
      NEVER,
    );
  }
  const met = [{}, ifMatch({ ticks: [3] }), ifMatch({ ticks: [1, 3] }), ifNoneMatch({ ticks: [2] })];
  for (const conditions of met) {
    t.equal(remove(rachel(), intent(conditions))?.expected, 3, JSON.stringify(conditions));
    t.equal(remove(buried(), intent(conditions)), null, 'deleted already');
  }
  t.equal(remove(rachel(), intent(ifMatch({ any: true })))?.expected, 3);
  t.strictSame(
    refused(() => remove(buried(), intent(ifMatch({ any: true })))),
    unmet('The entity is deleted, at tick 3.'),
    'a tombstone is no current representation',
  );
  for (const current of [rachel(), buried()]) {
    const { code, notes } = refused(() => remove(current, intent(ifMatch({ ticks: [2] }))));
    t.equal(code, 'precondition_failed');
    t.strictSame(notes, { members: { tick: 3 } });
  }
});

t.test('restore: the properties as they were before the tombstone', async (t) => {
  t.strictSame(beforeTombstone(buried()), { tick: 2 });
  t.strictSame(beforeTombstone(buried({ tick: 8 })), { tick: 7 });
  t.equal(beforeTombstone(rachel()), null);

  for (const properties of [rachel().properties, {}, { a: null }, only('__proto__', { x: 1 })]) {
    const past = rachel({ tick: 2, properties });
    for (const conditions of [{}, ifMatch({ ticks: [3] }), ifNoneMatch({ any: true }), ifNoneMatch({ ticks: [2] })]) {
      const change = restore(buried(), past, intent({ activity: ACTIVITY, ...conditions }));
      t.strictSame(change, ofRachel({ op: 'restored', set: properties, activity: ACTIVITY }));
      t.ok(jsonEqual(change?.set, properties));
    }
  }
});

t.test('restore: of the living nothing, of the absent a refusal, and never past a stale condition', async (t) => {
  for (const conditions of [{}, ifMatch({ any: true }), ifMatch({ ticks: [3] }), ifNoneMatch({ ticks: [2] })]) {
    t.equal(restore(rachel(), undefined, intent({ activity: ACTIVITY, ...conditions })), null);
  }
  for (const conditions of [{}, ifMatch({ any: true }), ifNoneMatch({ any: true })]) {
    t.strictSame(
      refused(() => restore(undefined, undefined, intent(conditions))),
      NEVER,
    );
  }
  const buriedAt = 'The entity is deleted, at tick 3';
  const rows: [current: Entity, conditions: { conditions: Conditions }, refusal: Refused][] = [
    [rachel(), ifMatch({ ticks: [2] }), STALE],
    [rachel(), ifNoneMatch({ any: true }), unmet('The entity is at tick 3, which If-None-Match rules out.')],
    [buried(), ifMatch({ ticks: [2] }), unmet(`${buriedAt}, not at the tick of If-Match.`)],
    [buried(), ifMatch({ any: true }), unmet(`${buriedAt}.`)],
    [buried(), ifNoneMatch({ ticks: [3] }), unmet(`${buriedAt}, which If-None-Match rules out.`)],
  ];
  for (const [current, conditions, refusal] of rows) {
    t.strictSame(
      refused(() => restore(current, rachel({ tick: 2 }), intent(conditions))),
      refusal,
      refusal.message,
    );
  }
  // The state before a tombstone is always there; were it not, nothing may be made up.
  t.strictSame(
    refused(() => restore(buried(), { id: RACHEL, tick: null }, intent())),
    { code: 'tick_not_found', message: 'Entity friend:rachel has no tick 2 yet.', notes: {} },
  );
});

const INSTANT: Point = { instant: '2016-01-01T00:00:00Z' };

/** Rachel as of tick 1: some properties were others, one was not there yet, and one was that is gone. */
const THEN: JsonObject = frozen({ name: 'Rachel', location: 'Long Island', job: null, nose: 'old' });
const then = (properties: JsonObject = THEN): Entity => rachel({ tick: 1, properties });

t.test('revert: the whole state as of a point, by a change like any other', async (t) => {
  for (const to of [{ tick: 1 }, INSTANT]) {
    const wanted = wantedRevert(to, null, { activity: ACTIVITY });
    t.strictSame(
      revert(rachel(), then(), wanted),
      ofRachel({
        op: 'updated',
        set: { location: 'Long Island', job: null, nose: 'old' },
        clear: ['left'],
        activity: ACTIVITY,
      }),
    );
    for (const [why, properties, set, clear] of STATES) {
      const change = revert(rachel(), then(properties), wanted);
      t.strictSame(change, ofRachel({ op: 'updated', set, clear, activity: ACTIVITY }), why);
      t.ok(jsonEqual(change?.set, set), why);
    }
    for (const [why, properties] of SAME) t.equal(revert(rachel(), then(properties), wanted), null, why);
  }
  t.equal(revert(rachel(), rachel(), wantedRevert({ tick: 3 })), null, 'to where it is');
});

t.test('revert: only the named properties, each as it was then', async (t) => {
  const rows: [why: string, names: string[], set: JsonObject, clear: string[]][] = [
    ['held then and now', ['location'], { location: 'Long Island' }, []],
    ['null then', ['job'], { job: null }, []],
    ['held then only', ['nose'], { nose: 'old' }, []],
    ['held now only', ['left'], {}, ['left']],
    [
      'many, in the order of the state',
      ['nose', 'left', 'location'],
      { location: 'Long Island', nose: 'old' },
      ['left'],
    ],
    ['one of them the same', ['name', 'nose'], { nose: 'old' }, []],
    ['one of them in neither', ['age', 'left', 'toString'], {}, ['left']],
    ['the same name twice', ['left', 'nose', 'left', 'nose'], { nose: 'old' }, ['left']],
    [
      'all of them',
      ['name', 'location', 'job', 'left', 'nose'],
      { location: 'Long Island', job: null, nose: 'old' },
      ['left'],
    ],
  ];
  for (const to of [{ tick: 1 }, INSTANT]) {
    for (const [why, names, set, clear] of rows) {
      t.strictSame(
        revert(rachel(), then(), wantedRevert(to, names, { activity: ACTIVITY })),
        ofRachel({ op: 'updated', set, clear, activity: ACTIVITY }),
        why,
      );
    }
    const nothing: [why: string, names: string[]][] = [
      ['the same then and now', ['name']],
      ['held neither then nor now', ['age']],
      ['what all objects inherit', ['toString', 'constructor', '__proto__', 'hasOwnProperty']],
      ['no name at all', []],
      ['no name that a property can have', ['', '.', '\0']],
    ];
    for (const [why, names] of nothing) {
      t.equal(revert(rachel(), then(), wantedRevert(to, names, { activity: ACTIVITY })), null, why);
    }
  }
});

t.test('T39 revert: names that mean something to JavaScript are data', async (t) => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length', '0']) {
    const other = { other: true };
    const one = only(name, { x: 1 });
    const two = only(name, { x: 2 });
    const rows: [why: string, now: JsonObject, then: JsonObject, set: JsonObject, clear: string[]][] = [
      ['held then and now', two, one, one, []],
      ['held then only', other, one, one, []],
      ['held now only', one, other, {}, [name]],
      ['null then', one, only(name, null), only(name, null), []],
    ];
    for (const [why, now, past, set, clear] of rows) {
      const change = revert(rachel({ properties: now }), then(past), wantedRevert({ tick: 1 }, [name]));
      const says = `${name} ${why}`;
      t.ok(jsonEqual(change?.set, set), says);
      t.strictSame(Object.keys(change?.set ?? {}), Object.keys(set), says);
      t.strictSame(change?.clear, clear, says);
    }
    t.equal(revert(rachel({ properties: other }), then({}), wantedRevert({ tick: 1 }, [name])), null, name);
    t.equal(revert(rachel({ properties: one }), then(one), wantedRevert({ tick: 1 }, [name])), null, name);
  }
});

t.test('revert: a deleted entity comes back whole, and not by some of its properties', async (t) => {
  for (const to of [{ tick: 1 }, INSTANT]) {
    for (const conditions of [{}, ifMatch({ ticks: [3] }), ifNoneMatch({ any: true })]) {
      t.strictSame(
        revert(buried(), then(), wantedRevert(to, null, { activity: ACTIVITY, ...conditions })),
        ofRachel({ op: 'restored', set: THEN, activity: ACTIVITY }),
      );
    }
    t.strictSame(revert(buried(), then({}), wantedRevert(to)), ofRachel({ op: 'restored', set: {} }), 'even empty');
    for (const names of [['location'], [], ['age']]) {
      for (const conditions of [{}, ifMatch({ ticks: [2] }), ifMatch({ any: true })]) {
        t.strictSame(
          refused(() => revert(buried({ tick: 8 }), then(), wantedRevert(to, names, conditions))),
          gone(8),
        );
      }
    }
  }
});

t.test('revert: no way back to where there was nothing', async (t) => {
  const notYet: Past = { id: RACHEL, tick: null };
  const deleted = 'there is no state to go back to';
  const rows: [why: string, past: Past | undefined, to: Point, refusal: Refused][] = [
    [
      'before creation',
      notYet,
      INSTANT,
      {
        code: 'entity_not_found',
        message: 'There was no entity friend:rachel as of 2016-01-01T00:00:00Z.',
        notes: {},
      },
    ],
    [
      'beyond the last tick',
      notYet,
      { tick: 4 },
      { code: 'tick_not_found', message: 'Entity friend:rachel has no tick 4 yet.', notes: {} },
    ],
    [
      'to a tombstone',
      buried({ tick: 2 }),
      { tick: 2 },
      {
        code: 'deleted_then',
        message: `Entity friend:rachel was deleted as of 2: ${deleted}.`,
        notes: { members: { tick: 2 } },
      },
    ],
    [
      'to an instant when it was deleted',
      buried({ tick: 2 }),
      INSTANT,
      {
        code: 'deleted_then',
        message: `Entity friend:rachel was deleted as of 2016-01-01T00:00:00Z: ${deleted}.`,
        notes: { members: { tick: 2 } },
      },
    ],
  ];
  for (const [why, past, to, refusal] of rows) {
    const attempts: [current: Entity, names: string[] | null][] = [
      [rachel(), null],
      [rachel(), ['name']],
      [buried(), null],
    ];
    for (const [current, names] of attempts) {
      t.strictSame(
        refused(() => revert(current, past, wantedRevert(to, names))),
        refusal,
        why,
      );
      const stale = wantedRevert(to, names, ifMatch({ ticks: [2] }));
      t.equal(refused(() => revert(current, past, stale)).code, 'precondition_failed', `${why}: a stale condition`);
    }
  }
  for (const names of [null, ['name']]) {
    for (const conditions of [{}, ifMatch({ any: true }), ifNoneMatch({ any: true })]) {
      t.strictSame(
        refused(() => revert(undefined, undefined, wantedRevert({ tick: 1 }, names, conditions))),
        NEVER,
      );
    }
  }
});

t.test('T47 revert: a stale condition is refused, even when nothing would change', async (t) => {
  for (const names of [null, ['name'], ['location']]) {
    for (const past of [then(), rachel()]) {
      const attempt = (conditions: { conditions: Conditions }) => () =>
        revert(rachel(), past, wantedRevert({ tick: 1 }, names, conditions));
      t.strictSame(refused(attempt(ifMatch({ ticks: [2] }))), STALE);
      t.strictSame(refused(attempt(ifMatch({ ticks: [] }))), STALE);
      t.equal(refused(attempt(ifNoneMatch({ any: true }))).code, 'precondition_failed');
      for (const met of [ifMatch({ any: true }), ifMatch({ ticks: [3] }), ifNoneMatch({ ticks: [1] })]) {
        t.doesNotThrow(attempt(met));
      }
    }
  }
  t.equal(
    refused(() => revert(buried(), then(), wantedRevert({ tick: 1 }, null, ifMatch({ any: true })))).code,
    'precondition_failed',
  );
});

/** All ways in which a caller names properties to be set. */
const namings: [what: string, naming: (properties: JsonObject) => unknown][] = [
  ['create', (properties) => creation({ type: 'friend', key: 'rachel', properties }, null)],
  ['put', (properties) => wantedPut(properties)],
  ['merge patch', (properties) => wantedPatch(properties)],
];

t.test('T39 every way to set properties refuses names that no property can have', async (t) => {
  for (const [what, naming] of namings) {
    for (const value of [1, null]) {
      const errors = [
        { path: '/properties/..', message: 'A property cannot be named . or ..' },
        { path: '/properties/', message: 'A property needs a name' },
        { path: `/properties/${'~0'.repeat(257)}`, message: "A property's name has at most 256 characters" },
      ];
      t.strictSame(
        refused(() => naming({ good: 1, '..': value, fine: { '': 3 }, '': value, ['~'.repeat(257)]: value })),
        { code: 'invalid_property_name', message: 'A property cannot be named . or ...', notes: { errors } },
        what,
      );
    }
    for (const name of ['__proto__', 'constructor', '...', '/', '\n', 'x'.repeat(256), '😀'.repeat(256)]) {
      t.doesNotThrow(() => naming(only(name, 1)), `${what} ${JSON.stringify(name.slice(0, 20))}`);
    }
    t.doesNotThrow(
      () => naming({ a: { '': 1, '.': [{ '..': 1 }], ['x'.repeat(257)]: 1 } }),
      `${what}: members are free`,
    );
    t.doesNotThrow(() => naming({}), `${what} {}`);
  }
  const made = creation({ type: 'thing', properties: only('__proto__', { x: 1 }) }, null);
  t.ok(jsonEqual(create(undefined, made).set, only('__proto__', { x: 1 })));
  // A wrong name is told before a wrong type, as both are wrong in the body.
  t.equal(refused(() => wantedPut({ '': 1 }, { type: 'enemy' })).code, 'invalid_property_name');
});

t.test('a new activity has an id of its own and says what the caller said', async (t) => {
  const rows: ActivityDetails[] = [
    {},
    { actor: 'monica' },
    { reason: 'moved' },
    { actor: 'monica', reason: 'moved', metadata: { ticket: [1, null] } },
    { metadata: only('__proto__', 1) },
  ];
  const made = rows.map((details) => {
    const activity = newActivity(frozen(details));
    t.match(activity.id, V7, JSON.stringify(details));
    t.strictSame(activity, { id: activity.id, details });
    t.ok(jsonEqual(activity.details?.metadata, details.metadata));
    return activity.id;
  });
  t.equal(new Set(made).size, rows.length, 'another request, another activity');
});

t.test('an activity keeps its id, however often the change is decided', async (t) => {
  // When another writer comes first the change is decided anew; that is still one activity.
  const activities: (Activity | null)[] = [
    newActivity({ actor: 'monica' }),
    // Recorded before, and named by Activity-Id.
    { id: ACTIVITY.id, details: null },
    null,
  ];
  for (const activity of activities) {
    const whole = intent({ activity, ...ifMatch({ ticks: [3, 4] }) });
    const merge = mergePatchOf(whole, { name: 'Ross' });
    const { apply, ...rest } = merge;
    t.strictSame(rest, whole);
    t.strictSame(apply({ name: 'Rachel', age: 30 }), { name: 'Ross', age: 30 });
    const operations = jsonPatchOf(whole, [{ op: 'add', path: '/properties/name', value: 'Ross' }]);
    const whollyNew = replacement(whole, parseAddress(SAID), { type: 'friend', properties: { name: 'Ross' } });
    const made = creation({ type: 'friend', key: 'rachel', properties: {} }, activity);
    for (const tick of [3, 4]) {
      const changes = [
        patch(rachel({ tick }), merge),
        patch(rachel({ tick }), operations),
        put(rachel({ tick }), whollyNew),
        put(buried({ tick }), whollyNew),
        remove(rachel({ tick }), whole),
        restore(buried({ tick }), then(), whole),
        revert(rachel({ tick }), then(), { ...whole, to: { tick: 1 }, properties: null }),
        revert(rachel({ tick }), then(), { ...whole, to: { tick: 1 }, properties: ['nose'] }),
        revert(buried({ tick }), then(), { ...whole, to: { tick: 1 }, properties: null }),
        create(buried({ tick }), made),
      ];
      for (const change of changes) {
        t.equal(change?.activity, activity);
        t.equal(change?.expected, tick);
      }
    }
    t.equal(create(undefined, made).activity, activity);
    t.equal(put(undefined, { ...whollyNew, conditions: UNCONDITIONAL })?.activity, activity);
  }
});

const name = fc.oneof(fc.constantFrom('__proto__', 'constructor', 'a', 'b', 'c'), fc.string());

/** Names that a property can have. */
const propertyName = name.filter((name) => faultOfName(name) === null);

/** fc.dictionary would set a prototype for the name `__proto__`; Object.fromEntries makes a member. */
const members = (names: fc.Arbitrary<string>, value: fc.Arbitrary<Json>): fc.Arbitrary<JsonObject> =>
  fc.uniqueArray(fc.tuple(names, value), { selector: ([key]) => key }).map(Object.fromEntries);

const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, true, 0, -0, 1, 'a'),
    fc.string(),
    fc.array(tie('json'), { maxLength: 3 }),
    members(name, tie('json')),
  ),
}));
const state = members(propertyName, json).map(frozen);

/** The entity after a change, as the storage applies it; a change that says too much is a bug. */
function applied(current: Entity | undefined, change: Change): Entity {
  const before = new Map(Object.entries(current?.properties ?? {}));
  if (change.expected !== (current?.tick ?? 0)) throw new Error(`expected tick ${change.expected}`);
  if (current && (change.id !== current.id || change.type !== current.type || change.key !== current.key)) {
    throw new Error('another entity');
  }
  for (const cleared of change.clear)
    if (!before.delete(cleared)) throw new Error(`clears what is not there: ${cleared}`);
  for (const [name, value] of Object.entries(change.set)) {
    if (change.clear.includes(name)) throw new Error(`both sets and clears ${name}`);
    if (jsonEqual(before.get(name), value)) throw new Error(`sets what is so: ${name}`);
    before.set(name, value);
  }
  return rachel({
    tick: change.expected + 1,
    deleted: change.op === 'deleted',
    properties: Object.fromEntries(before),
  });
}

t.test('property: a change leads to the merged state, and there the same patch changes nothing', async (t) => {
  const seen = { changed: 0, unchanged: 0 };
  fc.assert(
    fc.property(state, state, fc.integer({ min: 1, max: 2 ** 31 - 2 }), (properties, merge, tick) => {
      const wanted = wantedPatch(merge);
      const now = rachel({ properties, tick });
      const change = patch(now, wanted);
      const merged = mergeObject(properties, merge);
      seen[change ? 'changed' : 'unchanged'] += 1;
      if (!change) return jsonEqual(merged, properties);
      if (jsonEqual(merged, properties)) return false;
      const next = applied(now, change);
      return jsonEqual(next.properties, merged) && patch(next, wanted) === null;
    }),
    { numRuns: 2000 },
  );
  t.ok(seen.changed > 200 && seen.unchanged > 20, JSON.stringify(seen));
});

t.test('property: a put leads to the put state from any other, a revert back, and both do so once', async (t) => {
  const seen = { changed: 0, unchanged: 0 };
  const pair = fc.oneof(
    fc.tuple(state, state),
    state.map((same): [JsonObject, JsonObject] => [same, frozen(Object.fromEntries(Object.entries(same).reverse()))]),
  );
  fc.assert(
    fc.property(pair, fc.integer({ min: 1, max: 2 ** 31 - 3 }), ([properties, wanted], tick) => {
      const first = rachel({ properties, tick });
      const change = put(first, wantedPut(wanted));
      seen[change ? 'changed' : 'unchanged'] += 1;
      if (!change) return jsonEqual(properties, wanted);
      const second = applied(first, change);
      if (!jsonEqual(second.properties, wanted) || put(second, wantedPut(wanted)) !== null) return false;
      const reverted = revert(second, first, wantedRevert({ tick }));
      if (!reverted) return false;
      const third = applied(second, reverted);
      return jsonEqual(third.properties, properties) && revert(third, first, wantedRevert({ tick })) === null;
    }),
    { numRuns: 1000 },
  );
  t.ok(seen.changed > 200 && seen.unchanged > 200, JSON.stringify(seen));
});

t.test('property: a revert by names touches these names only', async (t) => {
  fc.assert(
    fc.property(state, state, fc.array(fc.oneof(propertyName, name)), (properties, past, names) => {
      const now = rachel({ properties });
      const change = revert(now, then(past), wantedRevert({ tick: 1 }, names));
      const next = change ? applied(now, change).properties : properties;
      const chosen = (from: JsonObject, of: boolean) =>
        Object.fromEntries(Object.entries(from).filter(([name]) => names.includes(name) === of));
      return (
        jsonEqual(chosen(next, true), chosen(past, true)) && jsonEqual(chosen(next, false), chosen(properties, false))
      );
    }),
    { numRuns: 1000 },
  );
  t.pass();
});

/** A command of a walk; it counts ticks back from the last. */
type Step =
  | { command: 'create' | 'put' | 'merge'; properties: JsonObject }
  | { command: 'remove' | 'restore' }
  | { command: 'revert'; back: number; names: string[] | null };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ command: fc.constantFrom('create', 'put', 'merge'), properties: state }),
  fc.record({ command: fc.constantFrom('remove', 'restore') }),
  fc.record({
    command: fc.constant('revert'),
    back: fc.nat({ max: 4 }),
    names: fc.option(fc.array(propertyName, { maxLength: 3 })),
  }),
);

/** The change that a step makes of the last of these states, and the properties it is to lead to (null: deleted). */
function decide(states: readonly Entity[], taken: Step): { change: Change | null; leadsTo: JsonObject | null } {
  const current = states.at(-1);
  const pastOf = (tick: number): Past => states[tick - 1] ?? { id: RACHEL, tick: null };
  switch (taken.command) {
    case 'create': {
      const wanted = creation({ type: 'friend', key: 'rachel', properties: taken.properties }, null);
      return { change: create(current, wanted), leadsTo: taken.properties };
    }
    case 'put':
      return { change: put(current, wantedPut(taken.properties)), leadsTo: taken.properties };
    case 'merge':
      return {
        change: patch(current, wantedPatch(taken.properties)),
        leadsTo: mergeObject(current?.properties ?? {}, taken.properties),
      };
    case 'remove':
      return { change: remove(current, intent()), leadsTo: null };
    case 'restore': {
      const point = current && beforeTombstone(current);
      const past = point && 'tick' in point ? pastOf(point.tick) : undefined;
      const before = current?.deleted ? states.at(-2) : current;
      return { change: restore(current, past, intent()), leadsTo: before?.properties ?? {} };
    }
    case 'revert': {
      const tick = states.length - taken.back;
      const past = pastOf(tick);
      const held = new Map(Object.entries('properties' in past ? past.properties : {}));
      const leads = new Map(Object.entries(current?.properties ?? {}));
      for (const name of taken.names ?? [...leads.keys(), ...held.keys()]) {
        const value = held.get(name);
        if (value === undefined) leads.delete(name);
        else leads.set(name, value);
      }
      return {
        change: revert(current, past, wantedRevert({ tick }, taken.names)),
        leadsTo: Object.fromEntries(leads),
      };
    }
  }
}

t.test('property: however commands follow on each other, each leads to its state or is refused', async (t) => {
  const seen = { changed: 0, unchanged: 0, refused: 0 };
  const allowed = new Set(['entity_exists', 'entity_not_found', 'entity_deleted', 'tick_not_found', 'deleted_then']);
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 20 }), (steps) => {
      const states: Entity[] = [];
      for (const taken of steps) {
        const last = states.at(-1);
        let decided: ReturnType<typeof decide> | undefined;
        let refusal: Refused | undefined;
        try {
          decided = decide(states, taken);
        } catch (error) {
          refusal = refused(() => {
            throw error;
          });
        }
        if (!decided) {
          seen.refused += 1;
          if (!refusal || !allowed.has(refusal.code)) throw new Error(`refused: ${refusal?.code}`);
          continue;
        }
        const { change, leadsTo } = decided;
        if (change) {
          seen.changed += 1;
          const next = applied(last, change);
          if (next.deleted !== (leadsTo === null)) throw new Error(`${taken.command}: deleted or not`);
          if (!jsonEqual(next.properties, leadsTo ?? {})) throw new Error(`${taken.command}: another state`);
          const op = next.deleted ? 'deleted' : !last ? 'created' : last.deleted ? 'restored' : 'updated';
          if (change.op !== op) throw new Error(`${taken.command}: ${change.op} is ${op}`);
          states.push(next);
        } else {
          seen.unchanged += 1;
          const isSo = last && (leadsTo ? !last.deleted && jsonEqual(last.properties, leadsTo) : last.deleted);
          if (!isSo) throw new Error(`${taken.command}: no change`);
        }
      }
    }),
    { numRuns: 1000 },
  );
  t.ok(Math.min(seen.changed, seen.unchanged, seen.refused) > 500, JSON.stringify(seen));
});
