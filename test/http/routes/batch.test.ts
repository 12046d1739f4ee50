import t from 'tap';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import {
  type Answer,
  INSTANT,
  list,
  MINIMAL,
  object,
  problem,
  ranges,
  serve,
  testService,
  text,
  traces,
} from '../../helper/service.js';

const { call, sql, storage } = await testService(t);
const WHO = { actor: 'Monica', reason: 'spring cleaning' };

const create = (key: string, properties: JsonObject, more: JsonObject = {}): JsonObject => ({
  op: 'create',
  type: 'thing',
  key,
  properties,
  ...more,
});
const put = (key: string, properties: JsonObject, more: JsonObject = {}): JsonObject => ({
  op: 'put',
  id: `thing:${key}`,
  type: 'thing',
  properties,
  ...more,
});
const on = (op: string, key: string, more: JsonObject = {}): JsonObject => ({ op, id: `thing:${key}`, ...more });
const batch = (operations: Json, query = '', more: JsonObject = {}, headers: Record<string, string> = {}) =>
  call('POST', `/batch${query}`, { operations, ...more }, headers);
const itemsOf = ({ body }: Answer): JsonObject[] => list(body.items).map(object);
const readNow = (key: string) => call('GET', `/entities/thing:${key}`);

t.test('a batch is one activity and one instant, and says what became of each operation in their order', async (t) => {
  const made = await batch([create('a', { n: 1 }), put('b', { n: 1, m: null }), create('gone', {})]);
  t.match(made, { status: 200, body: { at: INSTANT, activity: null } });
  await call('DELETE', '/entities/thing:gone');
  const operations = [
    on('patch', 'a', { properties: { n: 2, o: { p: 1 } }, ifMatch: 1 }),
    on('patch', 'b', { patch: [{ op: 'remove', path: '/properties/m' }] }),
    on('restore', 'gone'),
    create('c', { n: 3 }),
    on('delete', 'a', { ifMatch: 1 }),
  ];
  const done = await batch(operations, '', { activity: WHO });
  const { at = null } = done.body;
  t.match(done.body.activity, WHO);
  t.match(itemsOf(done), [
    { tick: 2, op: 'deleted', entity: undefined },
    { tick: 2, op: 'updated', entity: { key: 'b', properties: { n: 1 }, updatedAt: at } },
    { tick: 3, op: 'restored', entity: { deleted: false, updatedAt: at } },
    { tick: 1, op: 'created', entity: { properties: { n: 3 }, createdAt: at } },
    { tick: 2, op: 'deleted', entity: { deleted: true, properties: {}, updatedAt: at } },
  ]);
  const { body } = await call('GET', `/activities/${text(object(done.body.activity).id)}`);
  t.same(new Set(list(body.ticks).map((tick) => object(tick).at)), new Set([at]), 'its ticks have one instant');
  t.equal(list(body.ticks).length, 4, 'one an entity');
  const later = await call('GET', `/entities?type=thing&asOf=${text(at)}`);
  t.same(
    list(later.body.items).map((item) => object(item).key),
    ['b', 'c', 'gone'],
    'who reads at its instant sees all of it',
  );
});

t.test(
  'T22–T23 one batch creates two entities, another edits both: an activity each, which has both ticks',
  async (t) => {
    const ticksOf = async (done: Answer) => {
      const { body } = await call('GET', `/activities/${text(object(done.body.activity).id)}`);
      return list(body.ticks).map((tick) => [object(tick).key, object(tick).tick, object(tick).op]);
    };
    const made = await batch([create('t22', { n: 1 }), create('t23', { n: 1 })], '', { activity: WHO });
    const edits = [on('patch', 't22', { properties: { n: 2 } }), on('patch', 't23', { properties: { n: 2 } })];
    const edited = await batch(edits, '', { activity: WHO });
    const both = (tick: number, op: string) => new Set([`t22 ${tick} ${op}`, `t23 ${tick} ${op}`]);
    t.same(new Set((await ticksOf(made)).map((tick) => tick.join(' '))), both(1, 'created'));
    t.same(new Set((await ticksOf(edited)).map((tick) => tick.join(' '))), both(2, 'updated'));
  },
);

t.test('operations on one entity make one tick, and what is set and set back makes none (A18)', async (t) => {
  await batch([create('fold', { a: 1, b: 1 }), create('back', { a: 1 })]);
  const before = await traces(sql);
  const nothing = await batch(
    [
      on('patch', 'back', { properties: { a: 2 } }),
      on('patch', 'back', { properties: { a: 1 } }),
      create('ghost', { n: 1 }),
      on('patch', 'ghost', { properties: { n: 2 } }),
      on('patch', 'ghost', { properties: { n: 1 } }),
      on('delete', 'ghost'),
      on('delete', 'fold'),
      on('restore', 'fold'),
    ],
    '',
    { activity: WHO },
  );
  t.match(nothing, { status: 200, body: { at: null, activity: null } });
  t.match(
    itemsOf(nothing).map(({ tick = 0, op = 0 }) => [tick, op]),
    [[1, null], [1, null], ...Array(4).fill([null, null]), [1, null], [1, null]],
  );
  t.same(await traces(sql), before, 'nothing is left of it');
  t.match(await readNow('ghost'), problem(404, 'entity_not_found'));

  const done = await batch([
    on('patch', 'fold', { properties: { a: 2, c: 3 } }),
    on('delete', 'fold'),
    put('fold', { a: 5, b: 1 }),
    on('revert', 'fold', { to: 1, properties: ['a'] }),
    on('patch', 'fold', { patch: [{ op: 'add', path: '/properties/d', value: [1] }] }),
  ]);
  t.match(itemsOf(done).at(-1), { tick: 2, op: 'updated', entity: { properties: { a: 1, b: 1, d: [1] } } });
  t.same(await ranges(call, 'thing:fold', 'a'), ['1@[1,)'], 'what was set and set back has one range');
  t.same(await ranges(call, 'thing:fold', 'd'), ['[1]@[2,)']);
  t.same(await ranges(call, 'thing:fold', 'b'), ['1@[1,)']);
});

t.test('what was deleted within a batch is restored as the batch left it', async (t) => {
  await batch([create('inner', { a: 1 }), create('outer', { a: 1 })]);
  await call('DELETE', '/entities/thing:outer');
  const done = await batch([
    on('patch', 'inner', { properties: { b: 2 } }),
    on('delete', 'inner'),
    on('restore', 'inner'),
    on('restore', 'outer'),
    on('patch', 'outer', { properties: { b: 2 } }),
    on('delete', 'outer'),
    on('restore', 'outer'),
  ]);
  t.match(itemsOf(done)[2], { tick: 2, op: 'updated', entity: { properties: { a: 1, b: 2 } } });
  t.match(itemsOf(done)[6], { tick: 3, op: 'restored', entity: { properties: { a: 1, b: 2 } } });
});

t.test('ifMatch is the tick before the batch, whatever the batch has done since', async (t) => {
  await batch([create('match', { a: 1 })]);
  const done = await batch([
    on('patch', 'match', { properties: { a: 2 }, ifMatch: 1 }),
    on('patch', 'match', { properties: { a: 3 }, ifMatch: 1 }),
  ]);
  t.match(itemsOf(done)[1], { tick: 2, entity: { properties: { a: 3 } } });
  const before = await traces(sql);
  const stale = await batch([create('match2', {}), on('delete', 'match', { ifMatch: 1 })]);
  t.match(stale, problem(412, 'precondition_failed', { tick: 2, errors: [{ path: '/operations/1/ifMatch' }] }));
  t.match(await batch([create('match3', {}, { ifMatch: 1 })]), problem(412, 'precondition_failed'));
  t.same(await traces(sql), before);
});

t.test('an error says in which operation and where, and leaves nothing', async (t) => {
  await batch([create('err', { a: 1, list: [1] }), create('err-gone', {})]);
  await call('DELETE', '/entities/thing:err-gone');
  const before = await traces(sql);
  const fine = create('fine', { a: 1 });
  const cases: [operation: Json, status: number, code: string, path: string][] = [
    [create('err', {}), 409, 'entity_exists', '/operations/1'],
    [create('x', { '': 1 }), 400, 'invalid_property_name', '/operations/1/properties/'],
    [create('x', {}, { id: 'thing:x' }), 400, 'unknown_field', '/operations/1/id'],
    [{ op: 'create', type: 'Thing', properties: {} }, 400, 'invalid_body', '/operations/1/type'],
    [{ op: 'create', type: 'thing' }, 400, 'invalid_body', '/operations/1/properties'],
    [{ op: 'replace', id: 'thing:err' }, 400, 'invalid_body', '/operations/1/op'],
    [{ id: 'thing:err' }, 400, 'invalid_body', '/operations/1/op'],
    [7, 400, 'invalid_body', '/operations/1'],
    [on('patch', 'err'), 400, 'invalid_body', '/operations/1'],
    [on('patch', 'err', { properties: {}, patch: [] }), 400, 'invalid_body', '/operations/1'],
    [on('patch', 'err', { properties: { '..': 1 } }), 400, 'invalid_property_name', '/operations/1/properties/..'],
    [
      on('patch', 'err', { patch: [{ op: 'x', path: '/properties/a' }] }),
      400,
      'invalid_body',
      '/operations/1/patch/0/op',
    ],
    [
      on('patch', 'err', { patch: [{ op: 'test', path: '/properties/a', value: 2 }] }),
      409,
      'patch_test_failed',
      '/operations/1/patch/0/path',
    ],
    [
      on('patch', 'err', { patch: [{ op: 'remove', path: '/properties/list/3' }] }),
      409,
      'patch_not_applicable',
      '/operations/1/patch/0/path',
    ],
    [on('patch', 'nobody', { properties: {} }), 404, 'entity_not_found', '/operations/1'],
    [on('patch', 'err-gone', { properties: {} }), 410, 'entity_deleted', '/operations/1'],
    [on('delete', 'nobody'), 404, 'entity_not_found', '/operations/1'],
    [on('restore', 'nobody'), 404, 'entity_not_found', '/operations/1'],
    [on('revert', 'err', { to: 9 }), 404, 'tick_not_found', '/operations/1'],
    [on('revert', 'err', { to: 'yesterday' }), 400, 'invalid_as_of', '/operations/1/to'],
    [on('revert', 'err', { to: '2999-01-01T00:00:00Z' }), 400, 'as_of_in_future', '/operations/1'],
    [on('revert', 'err', { to: 1, properties: [''] }), 400, 'invalid_property_name', '/operations/1/properties/0'],
    [{ op: 'delete', id: 'nonsense' }, 400, 'invalid_id', '/operations/1/id'],
    [{ op: 'put', id: 'thing:err', type: 'other', properties: {} }, 400, 'invalid_body', '/operations/1/type'],
    [
      { op: 'put', id: '3f0ac0bb-6a3c-5d0c-9f57-2f7d2c1e4b10', type: 'thing', properties: {} },
      400,
      'invalid_id',
      '/operations/1/id',
    ],
    [{ op: 'delete', id: 'thing:err', ifMatch: '1' }, 400, 'invalid_body', '/operations/1/ifMatch'],
    [{ op: 'delete', id: 'thing:err', ifMatch: 0 }, 400, 'invalid_body', '/operations/1/ifMatch'],
  ];
  for (const [operation, status, code, path] of cases) {
    const answer = await batch([fine, operation], '', { activity: WHO });
    t.match(answer, problem(status, code), JSON.stringify(operation));
    t.equal(object(list(answer.body.errors)[0]).path, path, `${JSON.stringify(operation)} ${answer.text}`);
  }
  const whole: [body: Json, code: string][] = [
    [{}, 'invalid_body'],
    [{ operations: [] }, 'invalid_body'],
    [{ operations: Array(1_001).fill(fine) }, 'invalid_body'],
    [{ operations: Array(100_000).fill(7) }, 'invalid_body'],
    [{ operations: [fine], more: 1 }, 'unknown_field'],
    [{ operations: [fine], activity: {} }, 'invalid_body'],
    [[fine], 'invalid_body'],
  ];
  for (const [body, code] of whole) t.match(await call('POST', '/batch', body), problem(400, code));
  t.same(await traces(sql), before);
});

t.test('a refusal of what the batch itself has made names no tick: it has none', async (t) => {
  const before = await traces(sql);
  const twice = await batch([create('twice', {}), create('twice', {})]);
  t.match(twice, problem(409, 'entity_exists', { errors: [{ path: '/operations/1' }] }));
  const gone = await batch([create('twice', {}), on('delete', 'twice'), on('patch', 'twice', { properties: {} })]);
  t.match(gone, problem(410, 'entity_deleted', { errors: [{ path: '/operations/2' }] }));
  t.match(text(gone.body.detail), /^Operation 2, thing:twice: An operation before it deletes the entity\.$/);
  for (const { body } of [twice, gone]) t.notOk('tick' in body, JSON.stringify(body));
  t.same(await traces(sql), before);
});

t.test('an activity that was recorded before ticks each entity once', async (t) => {
  const recorded = await call('POST', '/activities', WHO);
  const headers = { 'activity-id': text(recorded.body.id) };
  const done = await batch([create('named', {}), create('named2', {})], '', {}, headers);
  t.match(done.body.activity, { id: recorded.body.id, ...WHO });
  const before = await traces(sql);
  t.match(
    await batch([create('named3', {}), put('named2', { a: 1 })], '', {}, headers),
    problem(409, 'activity_already_ticked', { errors: [{ path: '/operations/1' }] }),
  );
  t.match(await batch([create('x', {})], '', { activity: WHO }, headers), problem(400, 'activity_given_twice'));
  t.match(
    await batch([create('x', {})], '', {}, { 'activity-id': '01a1fbba-b75f-7646-92a3-d4a3c62ecb9b' }),
    problem(400, 'unknown_activity'),
  );
  t.same(await traces(sql), before);
});

t.test('a dry run says what it would do, and does nothing; return=minimal leaves the entities out', async (t) => {
  await batch([create('dry', { a: 1, b: 1 })]);
  const before = await traces(sql);
  const operations = [on('patch', 'dry', { properties: { a: 2, b: null } }), create('dry2', { n: 1 })];
  const dry = await batch(operations, '?dryRun=true', { activity: WHO });
  t.match(dry.body, { dryRun: true, at: INSTANT, activity: null }, 'whose activity will never be');
  t.match(itemsOf(dry), [
    { tick: 2, op: 'updated', entity: { properties: { a: 2 } }, changes: { a: { from: 1, to: 2 }, b: { from: 1 } } },
    { tick: 1, op: 'created', changes: { n: { to: 1 } } },
  ]);
  t.same(await traces(sql), before);
  t.match(await batch([create('dry', {})], '?dryRun=true'), problem(409, 'entity_exists'));
  const minimal = await batch(operations, '', {}, MINIMAL);
  t.match(minimal, { status: 200, headers: { 'preference-applied': 'return=minimal' } });
  t.same(
    itemsOf(minimal).map(({ tick = 0, op = 0, entity = null, changes = null }) => [tick, op, entity, changes]),
    [
      [2, 'updated', null, null],
      [1, 'created', null, null],
    ],
  );
});

t.test('what a definition says holds of the state that the batch leaves', async (t) => {
  const schema = {
    type: 'object',
    properties: { age: { type: 'integer', minimum: 0 }, size: { type: 'string', default: 'M' } },
    required: ['age'],
  };
  await call('PUT', '/types/member', { schema, activity: ['actor'] });
  const member = (key: string, properties: JsonObject): JsonObject => ({
    op: 'create',
    type: 'member',
    key,
    properties,
  });
  const before = await traces(sql);
  t.match(
    await batch([member('a', { age: 1 })]),
    problem(422, 'activity_required', { errors: [{ path: '/activity/actor' }] }),
  );
  const wrong = await batch(
    [
      create('fine2', {}),
      member('a', { age: 1 }),
      { op: 'patch', id: 'member:a', properties: { age: -1 } },
      { op: 'patch', id: 'member:a', properties: { name: 'A' } },
    ],
    '',
    { activity: WHO },
  );
  t.match(
    wrong,
    problem(422, 'invalid_properties', { errors: [{ path: '/operations/2/properties/age', keyword: 'minimum' }] }),
  );
  t.same(await traces(sql), before);
  const done = await batch([member('a', { age: -1 }), { op: 'patch', id: 'member:a', properties: { age: 2 } }], '', {
    activity: WHO,
  });
  t.match(itemsOf(done)[1], { tick: 1, entity: { properties: { age: 2, size: 'M' } } }, 'with its defaults');
  t.match(
    await batch(
      [
        create('fine2', {}),
        { op: 'put', id: 'clocktick-type:other', type: 'clocktick-type', properties: { schema: {} } },
      ],
      '',
      { activity: WHO },
    ),
    problem(400, 'reserved_type', { errors: [{ path: '/operations/1' }] }),
  );
  await call('PUT', '/types/member?evenIfInvalid=true', { schema: { ...schema, required: ['age', 'name'] } });
  await call('PATCH', '/entities/member:a', { properties: { name: 'A' } });
  const revert = [{ op: 'revert', id: 'member:a', to: 1 }];
  t.match(await batch(revert), problem(409, 'state_not_valid', { errors: [{ path: '/operations/0/properties' }] }));
  t.match(await batch(revert, '?evenIfInvalid=true'), { status: 200 });
  for (const sent of [
    [member('b', { age: -1 })],
    [...revert, { op: 'patch', id: 'member:a', properties: { age: -1 } }],
    [
      { op: 'patch', id: 'member:a', properties: { age: -1 } },
      { ...revert[0], properties: ['name'] },
    ],
  ])
    t.match(
      await batch(sent, '?evenIfInvalid=true', { activity: WHO }),
      problem(422, 'invalid_properties'),
      'what the caller sends has to be valid',
    );
});

t.test('a service that takes no change without a condition takes none in a batch', async (t) => {
  const { call } = await serve(t, storage, { requireCondition: true });
  t.match(
    await call('POST', '/batch', { operations: [create('cond', {}), on('delete', 'a')] }),
    problem(428, 'precondition_required', { errors: [{ path: '/operations/1/ifMatch' }] }),
  );
  t.match(await call('POST', '/batch', { operations: [create('cond', {})] }), { status: 200 });
  t.match(await call('POST', '/batch', { operations: [on('delete', 'cond', { ifMatch: 1 })] }), { status: 200 });
});

t.test(
  'conditions of one entity are refused where many are written, and messages say of which entity they are',
  async (t) => {
    const { body } = await batch([create('header', { n: 1 })], '', { activity: WHO });
    const id = text(object(body.activity).id);
    for (const headers of [{ 'if-match': '"1"' }, { 'if-none-match': '*' }])
      for (const [url, sent] of Object.entries<JsonObject>({
        '/batch': { operations: [on('delete', 'header')] },
        [`/activities/${id}/revert`]: {},
      }))
        t.match(
          await call('POST', url, sent, headers),
          problem(400, 'invalid_condition'),
          `${url} ${Object.keys(headers)}`,
        );
    t.match((await readNow('header')).body, { tick: 1 });
    const told: [operation: Json, detail: RegExp][] = [
      [on('delete', 'header', { ifMatch: 7 }), /^Operation 0, thing:header: /],
      [create('header', {}), /^Operation 0, thing:header: /],
      [{ id: 'thing:header' }, /^\/operations\/0\/op: is missing\.$/],
      [on('delete', 'header', { ifMatch: '"1"' }), /a number, as `tick` of an answer/],
    ];
    for (const [operation, detail] of told) t.match((await batch([operation])).body, { detail });
    t.match((await batch(Array(1_001).fill(on('delete', 'header')))).body, { detail: /must have at most 1000 items/ });
  },
);

t.test('names are data: __proto__, constructor, slashes', async (t) => {
  const odd =
    '{"op":"create","type":"thing","key":"odd/~1","properties":{"__proto__":1,"constructor":{"__proto__":[]},"a/b~c":2}}';
  const made = await call('POST', '/batch', `{"operations":[${odd}]}`, { 'content-type': 'application/json' });
  t.equal(made.status, 200, made.text);
  const read = await call('GET', `/entities/${encodeURIComponent('thing:odd/~1')}`);
  t.match(read.text, /"a\/b~c": 2/);
  t.match(read.text, /"__proto__": 1/);
});

t.test('an entity has many names: its UUID, in small letters or capitals, and its type and key', async (t) => {
  const made = await batch([create('named-often', {})]);
  const { id = '' } = itemsOf(made)[0] ?? {};
  const done = await batch([
    { op: 'patch', id, properties: { a: 1 } },
    { op: 'patch', id: text(id).toUpperCase(), properties: { b: 1 } },
    on('patch', 'named-often', { properties: { c: 1 } }),
  ]);
  t.match(itemsOf(done), [
    { id, tick: 2 },
    { id, tick: 2 },
    { id, tick: 2, entity: { properties: { a: 1, b: 1, c: 1 } } },
  ]);
});

t.test('a batch rests on what it leaves as it is: two that rest on each other are not both written', async (t) => {
  const { call: other } = await serve(t, storage);
  await batch([create('doctor1', { onCall: true }), create('doctor2', { onCall: true })]);
  const isOnCall = (key: string) =>
    on('patch', key, { patch: [{ op: 'test', path: '/properties/onCall', value: true }] });
  const leaves = (key: string) => on('patch', key, { properties: { onCall: false } });
  for (let round = 0; round < 10; round++) {
    const answers = await Promise.all([
      batch([isOnCall('doctor1'), leaves('doctor2')]),
      other('POST', '/batch', { operations: [isOnCall('doctor2'), leaves('doctor1')] }),
    ]);
    t.same(answers.map(({ status }) => status).toSorted(), [200, 409], 'somebody stays on call');
    await batch(['doctor1', 'doctor2'].map((key) => on('patch', key, { properties: { onCall: true } })));
  }
});

t.test('batches wait for their turn, as many as there are, and large reads do not wait for them', async (t) => {
  const answers = await Promise.all(Array.from({ length: 150 }, (_, n) => batch([create(`turn${n}`, { n })])));
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]));
});

t.test('instances that write the same entities in batches lose nothing', async (t) => {
  const { call: other } = await serve(t, storage);
  const keys = ['x1', 'x2', 'x3'];
  await batch(keys.map((key) => create(key, { n: 0 })));
  const writers = Array.from({ length: 12 }, (_, n) => {
    const operations = keys.map((key) => on('patch', key, { properties: { [`w${n}`]: n } }));
    return (n % 2 ? other : call)('POST', '/batch', { operations: n % 3 ? operations : operations.toReversed() });
  });
  for (const { status, text } of await Promise.all(writers)) t.equal(status, 200, text);
  const ats = await Promise.all(keys.map(async (key) => (await readNow(key)).body));
  for (const { tick, properties } of ats) t.match([tick, Object.keys(object(properties)).length], [13, 13]);
  t.equal(new Set(ats.map(({ updatedAt }) => updatedAt)).size, 1, 'the last one wrote all three at one instant');
});

t.test('a batch takes no more work than many single writes may, however often it names an entity', async (t) => {
  const before = await traces(sql);
  const long = 'x'.repeat(2 ** 20);
  const cases: [what: string, operations: Json[], status: number, code: string, path: RegExp][] = [
    [
      'JSON Patches that copy',
      [
        create('copied', { a: Array(100_000).fill([[]]) }),
        ...Array(900).fill(
          on('patch', 'copied', {
            patch: [0, 1, 2, 3].map((n) => ({ op: 'copy', from: '/properties/a', path: `/properties/b${n}` })),
          }),
        ),
      ],
      422,
      'patch_too_much_work',
      /^\/operations\/\d\/patch\/\d\/path$/,
    ],
    [
      'changes of what it has made large itself',
      [create('worked', { long }), ...Array(200).fill(on('patch', 'worked', { properties: { n: 1 } }))],
      413,
      'batch_too_large',
      /^\/operations\/1\d\d$/,
    ],
  ];
  for (const [what, operations, status, code, path] of cases) {
    const answer = await batch(operations, '', { activity: WHO });
    t.match(answer, problem(status, code, { errors: [{}] }), what);
    t.match(object(list(answer.body.errors)[0]).path, path, `${what}: the first operation that is too much`);
  }
  t.same(await traces(sql), before);
  const small = [
    create('often', { n: 0 }),
    ...Array.from({ length: 999 }, (_, n) => put('often', { n, long: 'x'.repeat(5_000) })),
  ];
  t.equal((await batch(small)).status, 200, 'a thousand small ones are little work');
});

t.test('states that are too large together are refused, as they are and as they were', async (t) => {
  const keys = [0, 1, 2, 3, 4].map((n) => `large${n}`);
  for (const key of keys)
    await call('PUT', `/entities/thing:${key}`, { type: 'thing', properties: { s: 'x'.repeat(7 * 2 ** 20) } });
  const before = await traces(sql);
  const changed = keys.map((key) => on('patch', key, { properties: { n: 1 } }));
  const large = await batch(changed);
  t.match(large, problem(413, 'batch_too_large'));
  t.match(large.body.detail, /as they are/);
  t.same(await traces(sql), before);
  const fewer = await batch(changed.slice(0, 4), '?dryRun=true');
  t.equal(fewer.status, 200);
  t.ok(fewer.text.length < 20 * 2 ** 20, 'the answer shows as many as it has room for');
  for (const key of keys) await call('PUT', `/entities/thing:${key}`, { type: 'thing', properties: {} });
  const back = keys.map((key) => on('revert', key, { to: 1 }));
  const past = await batch(back);
  t.match(past, problem(413, 'batch_too_large'));
  t.match(past.body.detail, /as they were/);
  t.equal((await batch(back.slice(0, 2), '', {}, MINIMAL)).status, 200);
});

t.test('an entity that would be too large to keep is named by the last operation on it', async (t) => {
  await batch([create('small', { a: 'x' })]);
  const before = await traces(sql);
  const half = 'x'.repeat(5 * 2 ** 20);
  const cases: [operations: Json[], path: string][] = [
    [[create('fits', {}), create('too-large', { half, other: half })], '/operations/1'],
    [
      [
        on('patch', 'small', { properties: { half } }),
        create('fits', {}),
        on('patch', 'small', { properties: { b: half } }),
      ],
      '/operations/2',
    ],
  ];
  for (const [operations, path] of cases)
    t.match(await batch(operations, '', { activity: WHO }), problem(413, 'entity_too_large', { errors: [{ path }] }));
  t.same(await traces(sql), before);
});

t.test('the activity is recorded once, however large it is and however many entities it ticks', async (t) => {
  const activity = { metadata: { long: 'x'.repeat(2 ** 20 - 100) } };
  const many = Array.from({ length: 300 }, (_, n) => create(`told${n}`, { n }));
  const done = await batch(many, '', { activity });
  t.equal(done.status, 200);
  t.ok(done.text.length < 2 * 2 ** 20);
  t.match(
    await batch([create('untold', {})], '', { activity: { metadata: { long: 'x'.repeat(2 ** 20) } } }),
    problem(413, 'activity_too_large'),
  );
});
