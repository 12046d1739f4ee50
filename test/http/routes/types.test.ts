import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { parse } from 'yaml';
import { openStorage } from '../../../src/storage/open.js';
import { idOfKey, newId } from '../../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import {
  type Call,
  INSTANT,
  JSON_PATCH,
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
import { findingsOf } from '../../helper/verified.js';
import { type RawChange, writeMany } from '../../helper/write.js';

/** How many writes the test of two instances waits for that take a definition in turns. DEFINITION_WRITES=2000 takes half a minute. */
const WRITES = Number(process.env.DEFINITION_WRITES ?? 150);

const PERSON = {
  schema: {
    type: 'object',
    properties: {
      name: { type: 'string', minLength: 1 },
      age: { type: 'integer', minimum: 0 },
      description: { type: 'string' },
    },
    required: ['name'],
    additionalProperties: false,
  },
};

const define = (call: Call, type: string, definition: JsonObject, query = '') =>
  call('PUT', `/types/${type}${query}`, definition);
const create = (call: Call, type: string, key: string, properties: JsonObject, more: JsonObject = {}) =>
  call('POST', '/entities', { type, key, properties, ...more });

t.test('a definition is an entity, with a URL of its own', async (t) => {
  const { call } = await testService(t);
  const label = '/entities/clocktick-type:person';
  const made = await define(call, 'person', PERSON);
  t.match(made, { status: 201, headers: { etag: '"1"', location: '/types/person' } });
  t.match(made.body, { type: 'person', tick: 1, createdAt: INSTANT, definition: PERSON });
  t.same((await call('GET', '/types/person')).body, made.body);
  t.match(await call('GET', label), { status: 200, body: { id: made.body.id, properties: PERSON } });
  t.match(await define(call, 'person', PERSON), { status: 200, headers: { etag: '"1"' } }, 'the same again is no tick');

  const open = { ...PERSON, description: 'people' };
  t.match(await call('PUT', '/types/person', open, { 'if-match': '"7"' }), problem(412, 'precondition_failed'));
  t.match(await call('PUT', '/types/person', open, { 'if-none-match': '*' }), problem(412, 'precondition_failed'));
  t.match(await call('PUT', '/types/person', open, { 'if-match': '"1"', ...MINIMAL }), { status: 204, text: '' });
  t.match(await call('GET', '/types/person', undefined, { 'if-none-match': '"2"' }), { status: 304 });
  const then = await call('GET', '/types/person?asOf=1');
  t.match(then, { status: 200, headers: { 'content-location': '/types/person?asOf=1', etag: '"1"' } });
  t.same(then.body.definition, PERSON);
  t.same((await call('GET', `/types/person?asOf=${then.body.updatedAt}`)).body, then.body);
  t.same((await call('GET', `${label}/diff?from=1&to=2`)).body.changes, { description: { to: 'people' } });

  const why = await call('POST', '/activities', { actor: 'monica', reason: 'tidy' });
  const by = { 'activity-id': text(why.body.id) };
  t.match(await call('POST', `${label}/revert`, { to: 1 }, by), { status: 200, body: { tick: 3, properties: PERSON } });
  t.match(await call('DELETE', '/types/person'), { status: 204 });
  t.match(await call('DELETE', '/types/person'), { status: 204 });
  t.match(await call('GET', '/types/person'), problem(410, 'entity_deleted', { tick: 4 }));
  t.match(await create(call, 'person', 'x', { anything: 1 }), { status: 201 }, 'it is open again');
  const versions = await call('GET', '/types/person/versions?order=desc');
  t.match(versions.body.items, [
    { tick: 4, op: 'deleted', definition: null },
    { tick: 3, op: 'updated', activity: { actor: 'monica', reason: 'tidy' }, definition: PERSON },
    { tick: 2, op: 'updated', definition: open },
    { tick: 1, op: 'created', definition: PERSON },
  ]);
  const page = await call('GET', '/types/person/versions?limit=3');
  t.match(await call('GET', `/types/person/versions?limit=3&cursor=${page.body.next}`), {
    body: { items: [{ tick: 4 }], next: null },
  });
  t.match(await call('POST', `${label}/restore?evenIfInvalid=true`), { status: 200, body: { tick: 5 } });
  t.match(await call('GET', '/types/person'), { status: 200, body: { tick: 5, definition: PERSON } });

  t.match(await call('GET', '/types/nobody'), problem(404, 'type_not_defined'));
  t.match(await call('GET', '/types/nobody/versions'), problem(404, 'type_not_defined'));
  t.match(await call('DELETE', '/types/nobody'), problem(404, 'entity_not_found'));
  t.match(await call('GET', '/types/person?asOf=9'), problem(404, 'tick_not_found'));
  t.match(await call('GET', '/types/Person'), problem(400, 'invalid_parameter'));
});

t.test('what is no definition is refused, whichever way it comes, and leaves no trace', async (t) => {
  const { call, sql } = await testService(t);
  const bad = { schema: { type: 'strin' }, untracked: 'x', more: 1 };
  const before = await traces(sql);
  const refused = await define(call, 'person', bad);
  t.match(refused, problem(422, 'invalid_definition'));
  t.ok(list(refused.body.errors).some((error) => object(error).path === '/schema/type'));
  t.ok(list(refused.body.errors).length >= 3, 'several at once');
  const ways: [string, () => ReturnType<Call>][] = [
    ['POST', () => create(call, 'clocktick-type', 'person', bad)],
    ['PUT', () => call('PUT', '/entities/clocktick-type:person', { type: 'clocktick-type', properties: bad })],
    ['without a key', () => call('POST', '/entities', { type: 'clocktick-type', properties: PERSON })],
    ['for a type that is none', () => create(call, 'clocktick-type', 'No Type', PERSON)],
    ['for definitions', () => create(call, 'clocktick-type', 'clocktick-type', PERSON)],
  ];
  for (const [what, way] of ways) t.match(await way(), problem(422, 'invalid_definition'), what);
  t.match(await define(call, 'clocktick-type', PERSON), problem(400, 'reserved_type'));
  t.match(await create(call, 'clocktick-own', 'x', {}), problem(400, 'reserved_type'));
  t.match(
    await call('PUT', '/entities/clocktick-own:x', { type: 'clocktick-own', properties: {} }),
    problem(400, 'reserved_type'),
  );
  t.same(await traces(sql), before);
  await define(call, 'person', PERSON);
  t.match(
    await call('PATCH', '/entities/clocktick-type:person', { properties: { untracked: [7] } }),
    problem(422, 'invalid_definition'),
  );
  const added = await call('PATCH', '/entities/clocktick-type:person', { properties: { description: 'all' } });
  t.match(added, { status: 200, body: { tick: 2 } });
});

t.test('every write is checked by its result, and says what is wrong where', async (t) => {
  const { call, sql } = await testService(t);
  await define(call, 'person', PERSON);
  const wrong: JsonObject = { name: '', age: -1, x: true };
  const refused = await create(call, 'person', 'a', wrong);
  t.match(refused, problem(422, 'invalid_properties', { definition: 1 }));
  t.match(
    list(refused.body.errors).toSorted((a, b) => (text(object(a).path) < text(object(b).path) ? -1 : 1)),
    [
      { path: '/properties/age', keyword: 'minimum', value: -1 },
      { path: '/properties/name', keyword: 'minLength', value: '' },
      { path: '/properties/x', keyword: 'additionalProperties' },
    ],
  );
  t.match(await create(call, 'person', 'a', { name: 'Rachel', age: 29 }), { status: 201 });
  const at = '/entities/person:a';
  const before = await traces(sql);
  const set = (path: string, value: Json) => call('PATCH', at, [{ op: 'replace', path, value }], JSON_PATCH);
  const cases: [string, () => ReturnType<Call>][] = [
    ['a merge patch that removes what is required', () => call('PATCH', at, { properties: { name: null } })],
    ['a merge patch of a wrong value', () => call('PATCH', at, { properties: { age: 1.5 } })],
    ['a JSON Patch', () => set('/properties/age', 'old')],
    ['a whole state', () => call('PUT', at, { type: 'person', properties: { age: 3 } })],
    ['a new entity by PUT', () => call('PUT', '/entities/person:b', { type: 'person', properties: {} })],
    ['a dry run', () => call('PATCH', `${at}?dryRun=true`, { properties: { age: -3 } })],
  ];
  for (const [what, write] of cases)
    t.match(await write(), problem(422, 'invalid_properties', { definition: 1 }), what);
  t.same(await traces(sql), before, 'nothing is left');
  t.match(await call('PATCH', at, { properties: { age: 30 } }), { status: 200, body: { tick: 2 } });
  t.match(await call('DELETE', at), { status: 204 }, 'a tombstone needs no validity');
  t.match(await create(call, 'person', 'a', { age: 1 }), problem(422, 'invalid_properties'), 'a revival does');
});

t.test('defaults are recorded with a whole state, at tick 1 first, and never with a patch', async (t) => {
  const { call } = await testService(t);
  await define(call, 'door', {
    schema: {
      properties: {
        open: { type: 'boolean', default: false },
        lock: { type: 'object', default: {}, properties: { code: { default: '0000' } } },
      },
      required: ['open'],
    },
  });
  const made = await create(call, 'door', 'a', { colour: 'red' });
  t.same(made.body.properties, { colour: 'red', open: false, lock: { code: '0000' } });
  t.same((await call('GET', '/entities/door:a?asOf=1')).body.properties, made.body.properties);
  t.same(await ranges(call, 'door:a', 'open'), ['false@[1,)']);
  t.match(await call('PATCH', '/entities/door:a', { properties: { open: null } }), problem(422, 'invalid_properties'));
  const put = await call('PUT', '/entities/door:a', { type: 'door', properties: { open: true } });
  t.same(put.body.properties, { open: true, lock: { code: '0000' } });
  t.match(await call('PUT', '/entities/door:a', { type: 'door', properties: { open: true } }), {
    status: 200,
    body: { tick: 2 },
  });
  t.match(await call('PUT', '/entities/door:b', { type: 'door', properties: {} }), {
    status: 201,
    body: { properties: { open: false } },
  });
});

t.test('defaults make no entity that a caller could not have sent', async (t) => {
  const { call, sql } = await testService(t);
  const defaultsOf = (names: string[]) => Object.fromEntries(names.map((name) => [name, { default: 1 }]));
  const many = Array.from({ length: 1_001 }, (_, n) => `p${n}`);
  const cases: [string, string[], object][] = [
    ['long', ['x'.repeat(257)], problem(400, 'invalid_property_name')],
    ['nameless', [''], problem(400, 'invalid_property_name')],
    ['many', many, problem(413, 'entity_too_large')],
  ];
  for (const [type, names, expected] of cases) {
    await define(call, type, { schema: { properties: defaultsOf(names) } });
    const before = await traces(sql);
    t.match(await create(call, type, 'a', {}), expected, type);
    t.match(await call('PUT', `/entities/${type}:a`, { type, properties: {} }), expected, type);
    t.same(await traces(sql), before);
  }
});

t.test('an instance that knows an older definition does not call a write unchanged by its defaults', async (t) => {
  const first = await testService(t);
  const other = openStorage(first.serviceUrl);
  t.teardown(() => other.close());
  const { call } = await serve(t, other);
  await define(first.call, 'door', { schema: { properties: { open: { default: false } } } });
  t.match(await create(call, 'door', 'a', { n: 1 }), { status: 201, body: { properties: { n: 1, open: false } } });
  await define(first.call, 'door', { schema: true });
  const put = await call('PUT', '/entities/door:a', { type: 'door', properties: { n: 1 } });
  t.same(put.body.properties, { n: 1 }, 'the definition of now has no default');
});

t.test(
  'T17–T20 a type may require an activity: without one nothing is written, and each tick carries its own',
  async (t) => {
    const { call, sql } = await testService(t);
    await define(call, 'thing', { schema: true, activity: ['actor', 'reason'] });
    const before = await traces(sql);
    const half = { activity: { actor: 'a' } };
    const whole = (n: number) => ({ activity: { actor: `a${n}`, reason: `r${n}` } });
    t.match(
      await create(call, 'thing', 'x', { p: 1 }),
      problem(422, 'activity_required', {
        definition: 1,
        errors: [{ path: '/activity/actor' }, { path: '/activity/reason' }],
      }),
    );
    t.match(await create(call, 'thing', 'x', { p: 1 }, half), problem(422, 'activity_required'));
    t.same(await traces(sql), before);
    t.match(await create(call, 'thing', 'x', { p: 1 }, whole(1)), { status: 201 });
    const at = '/entities/thing:x';
    const recorded = await traces(sql);
    const named = await call('POST', '/activities', { actor: 'only' });
    const by = { 'activity-id': text(named.body.id) };
    const cases: [string, () => ReturnType<Call>][] = [
      ['edit', () => call('PATCH', at, { properties: { p: 3 } })],
      ['an activity that was recorded without a reason', () => call('PATCH', at, { properties: { p: 3 } }, by)],
      ['delete', () => call('DELETE', at)],
      ['revert', () => call('POST', `${at}/revert?evenIfInvalid=true`, { to: 1, properties: ['p'] })],
    ];
    t.match(await call('PATCH', at, { properties: { p: 2 }, ...whole(2) }), { status: 200 });
    for (const [what, write] of cases) t.match(await write(), problem(422, 'activity_required'), what);
    t.same((await traces(sql)).ticks, recorded.ticks + 1);
    const { body } = await call('GET', `${at}/history`);
    t.match(body.items, [
      { tick: 1, activity: { actor: 'a1', reason: 'r1' } },
      { tick: 2, activity: { actor: 'a2', reason: 'r2' } },
    ]);
  },
);

t.test('what is brought back must be valid today, unless told otherwise', async (t) => {
  const { call } = await testService(t);
  await create(call, 'person', 'a', { name: 'Rachel', x: 1 });
  const at = '/entities/person:a';
  await call('PATCH', at, { properties: { x: null } });
  t.match(await define(call, 'person', PERSON), { status: 201 });
  const refused = await call('POST', `${at}/revert`, { to: 1 });
  t.match(refused, problem(409, 'state_not_valid', { definition: 1, errors: [{ path: '/properties/x' }] }));
  t.same((await call('GET', `${at}?asOf=1`)).body.properties, { name: 'Rachel', x: 1 }, 'it can still be read');
  t.match(await call('POST', `${at}/revert?evenIfInvalid=true&dryRun=true`, { to: 1 }), {
    status: 200,
    body: { tick: 3 },
  });
  t.match(await call('POST', `${at}/revert?evenIfInvalid=true`, { to: 1 }), { status: 200, body: { tick: 3 } });
  await call('DELETE', at);
  t.match(await call('POST', `${at}/restore`), problem(409, 'state_not_valid'));
  t.match(await call('POST', `${at}/restore?evenIfInvalid=true`), { status: 200, body: { tick: 5 } });
  t.match(await call('PATCH', at, { properties: { age: 3 } }), problem(422, 'invalid_properties'), 'the result is not');
  t.match(await call('PATCH', at, { properties: { x: null, age: 3 } }), { status: 200 });
});

t.test('a definition says what it would make invalid, and is refused unless told otherwise', async (t) => {
  const { call, sql } = await testService(t);
  await Promise.all(
    Array.from({ length: 30 }, (_, n) => create(call, 'person', `k${n}`, n < 12 ? { age: n } : { name: `n${n}` })),
  );
  await call('DELETE', '/entities/person:k0');
  const before = await traces(sql);
  const refused = await define(call, 'person', PERSON);
  t.match(refused, problem(409, 'entities_not_valid', { checked: 29, invalid: 11 }));
  const examples = list(refused.body.examples).map(object);
  t.equal(examples.length, 10);
  t.match(examples[0], { key: 'k1', tick: 1, errors: [{ path: '/properties/name', keyword: 'required' }] });
  t.match(await define(call, 'person', PERSON, '?dryRun=true'), problem(409, 'entities_not_valid'));
  const dry = await define(call, 'person', PERSON, '?dryRun=true&evenIfInvalid=true');
  t.match(dry, { status: 200, body: { tick: 1, preview: { op: 'created', impact: { checked: 29, invalid: 11 } } } });
  t.same(await traces(sql), before);
  t.match(await define(call, 'person', PERSON, '?evenIfInvalid=true'), { status: 201 });
  t.match(await call('GET', '/entities/person:k1'), { status: 200 }, 'what is recorded stays readable');
  const looser = { schema: { properties: { age: { type: 'integer' } } } };
  t.match(await define(call, 'person', looser), { status: 200, body: { tick: 2 } });
  t.match(
    await call('POST', '/entities/clocktick-type:person/revert', { to: 1 }),
    problem(409, 'entities_not_valid', { invalid: 11 }),
    'also by a revert',
  );
  t.match(await call('POST', '/entities/clocktick-type:person/revert?evenIfInvalid=true', { to: 1 }), { status: 200 });
});

t.test('what is written while a definition is checked is checked, too, before it holds', async (t) => {
  const { call, sql, hand } = await testService(t);
  await create(call, 'person', 'a', { name: 'A' });
  const writer = hand();
  t.teardown(() => writer.end());
  const late = { id: newId(), expected: 0, op: 'created', type: 'person', key: 'late', set: { age: 1 } };
  await writer`BEGIN`;
  await writer`SELECT clocktick.write_changes(${JSON.stringify([late])}::text::jsonb, true)`;
  const defined = define(call, 'person', PERSON);
  const isWaiting = async () => {
    const [lock] =
      await sql`SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND NOT granted`;
    return lock !== undefined;
  };
  for (let tries = 0; tries < 200 && !(await isWaiting()); tries++) await setTimeout(10);
  t.ok(await isWaiting(), 'it waits for who writes');
  await writer`COMMIT`;
  t.match(await defined, problem(409, 'entities_not_valid', { invalid: 1, examples: [{ key: 'late' }] }));
  t.match(await call('GET', '/types/person'), problem(404, 'type_not_defined'));
});

t.test('T02, T54 of a property that a type declares, never set is not unknown', async (t) => {
  const { call } = await testService(t);
  await define(call, 'person', PERSON);
  t.match(await create(call, 'person', 'a', { name: 'x' }), { status: 201, body: { tick: 1 } });
  t.notOk(Object.hasOwn(object((await call('GET', '/entities/person:a')).body.properties), 'description'));
  t.match(await call('GET', '/entities/person:a/history/description'), {
    status: 200,
    body: { items: [], next: null },
  });
  t.match(await call('GET', '/entities/person:a/history/description?asOf=1'), {
    headers: { 'cache-control': 'no-cache' },
    body: { items: [] },
  });
  t.match(await call('GET', '/entities/person:a/history/unheard'), problem(404, 'property_not_found'));
  t.match(await call('GET', '/entities/person:nobody/history/description'), problem(404, 'entity_not_found'));
});

t.test('untracked properties are stored and tick, and keep no ranges', async (t) => {
  const { call, sql, url } = await testService(t);
  const definition = { schema: true, untracked: ['seen', '__proto__'] };
  await define(call, 'user', definition);
  const at = '/entities/user:a';
  const first = JSON.parse('{"name": "A", "seen": 1, "__proto__": [1]}');
  t.match(await create(call, 'user', 'a', first), { status: 201, body: { tick: 1, properties: first } });
  t.match(await call('PATCH', at, { properties: { seen: 2 } }), {
    status: 200,
    body: { tick: 2, properties: { name: 'A', seen: 2 } },
  });
  t.match(await call('PATCH', at, { properties: { seen: 2 } }), { status: 200, body: { tick: 2 } }, 'no spurious tick');
  t.match(await call('GET', at), { status: 200, body: { properties: { seen: 2 } } });
  const then = await call('GET', `${at}?asOf=1`);
  t.same(then.body.properties, { name: 'A' });
  t.same(then.body.untracked, ['__proto__', 'seen']);
  t.same((await call('GET', `${at}?asOf=2`)).body.untracked, ['__proto__', 'seen'], 'also as of its newest tick');
  t.same((await call('GET', `${at}?asOf=2`)).body.properties, { name: 'A' });
  const dated = await call('GET', at, undefined, { 'accept-datetime': new Date(Date.now() + 5_000).toUTCString() });
  t.same(dated.body.properties, { name: 'A' }, 'by a date, too');
  t.match(await call('GET', `${at}?include=history`), {
    body: { properties: { name: 'A', seen: 2 }, history: { seen: [] } },
  });
  const items = list((await call('GET', '/entities?type=user')).body.items);
  t.match(items, [{ tick: 2, properties: { name: 'A' }, untracked: ['__proto__', 'seen'] }]);
  t.notOk(Object.hasOwn(object(object(items[0]).properties), 'seen'));
  t.match(await call('GET', '/entities?ids=user:a'), { body: { items: [{ properties: { seen: 2 } }] } });
  const named = await call(
    'GET',
    `/entities?ids=user:a&asOf=${items.length > 0 ? text(object(items[0]).updatedAt) : ''}`,
  );
  t.match(named.body.items, [{ untracked: ['__proto__', 'seen'] }]);
  t.same(
    (await sql`SELECT DISTINCT property FROM clocktick.property_range WHERE type = 'user' ORDER BY 1`).map(
      ({ property }) => property,
    ),
    ['name'],
  );
  t.match((await call('GET', `${at}/history`)).body.items, [
    { tick: 1, changes: { name: { to: 'A' } } },
    { tick: 2, changes: {} },
  ]);
  t.match(await call('GET', `${at}/history/seen`), { status: 200, body: { items: [], untracked: true } });
  t.match(await call('GET', `${at}/history/seen?asOf=1`), { status: 200, body: { items: [], untracked: true } });
  t.notOk(Object.hasOwn((await call('GET', `${at}/history/name`)).body, 'untracked'));

  await t.test('a state that has lost one is the same whichever way it is read', async (t) => {
    const { call } = await testService(t);
    await define(call, 'user', definition);
    await create(call, 'user', 'a', { name: 'A', seen: 1 });
    const { body } = await call('PATCH', at, { properties: { seen: null } });
    const asOf = (point: number | string) => call('GET', `${at}?asOf=${point}`);
    const early = await asOf(2);
    // Most reads are of older states then, so the service asks for these first.
    for (let n = 0; n < 40; n++) await asOf(1);
    const states = [early, await asOf(2), await asOf(text(body.updatedAt))];
    for (const state of states) t.same(state.body.untracked, ['seen']);
    t.equal(new Set(states.map((state) => state.text)).size, 1);
  });

  await t.test('a revert leaves them as they are, and cannot name them', async (t) => {
    await call('PATCH', at, { properties: { name: 'B', seen: 3 } });
    t.match(await call('POST', `${at}/revert`, { to: 1, properties: ['seen'] }), problem(409, 'value_not_kept'));
    t.match(await call('POST', `${at}/revert`, { to: 1 }), {
      status: 200,
      body: { properties: { name: 'A', seen: 3 } },
    });
  });

  await t.test('what was kept before stays kept, and what is tracked again begins anew', async (t) => {
    await define(call, 'user', { schema: true });
    t.match(await call('GET', at), { body: { properties: { seen: 3 } } });
    const tracked = await call('PATCH', at, { properties: { seen: 4 } });
    t.same(await ranges(call, 'user:a', 'seen'), [`4@[${tracked.body.tick},)`]);
    t.same((await call('GET', `${at}?asOf=${tracked.body.tick}`)).body.untracked, ['__proto__']);
    await define(call, 'user', definition);
    const hidden = await call('PATCH', at, { properties: { seen: 5 } });
    t.same(await ranges(call, 'user:a', 'seen'), [`4@[${tracked.body.tick},${hidden.body.tick})`]);
    t.match((await call('GET', `${at}?asOf=${tracked.body.tick}`)).body.properties, { seen: 4 });
    t.same((await call('GET', `${at}?asOf=${hidden.body.tick}`)).body.untracked, ['__proto__', 'seen']);
    t.match(await call('DELETE', at), { status: 204 });
    const restored = await call('POST', `${at}/restore`);
    t.same(restored.body.properties, { name: 'A' }, 'a tombstone keeps none of them');
  });

  t.same(await findingsOf(url), [], 'none of that looks altered by hand');
});

t.test('what was said of the past of untracked properties stays to the byte, also where none is set', async (t) => {
  const { call } = await testService(t);
  await define(call, 'user', { schema: true, untracked: ['seen'] });
  const at = '/entities/user:a';
  await create(call, 'user', 'a', { name: 'A', seen: 1 });
  const ways: [string, () => ReturnType<Call>][] = [
    ['unset', () => call('PATCH', at, { properties: { seen: null } })],
    ['left out of a whole state', () => call('PUT', at, { type: 'user', properties: { name: 'B' } })],
    ['deleted', () => call('DELETE', at)],
    ['restored', () => call('POST', `${at}/restore`)],
  ];
  for (const [what, write] of ways) {
    if (what !== 'restored') await call('PATCH', at, { properties: { seen: 1 } });
    await write();
    const { body } = await call('GET', at);
    const { tick, updatedAt } = body;
    if (what === 'deleted') continue;
    const ask = async () => {
      const urls = [`${at}?asOf=${tick}`, `${at}?asOf=${updatedAt}`, `${at}?asOf=${tick}&include=history`];
      const dated = { 'accept-datetime': new Date(Date.parse(text(updatedAt)) + 1_000).toUTCString() };
      return [
        ...(await Promise.all(urls.map((url) => call('GET', url)))),
        await call('GET', at, undefined, dated),
        await call('GET', `${at}?include=history`, undefined, dated),
      ];
    };
    const told = await ask();
    for (const answer of told) t.same(answer.body.untracked, ['seen'], what);
    await call('PATCH', at, { properties: { name: `after ${what}` } });
    const again = (await ask()).slice(0, 2);
    t.same(
      again.map((answer) => answer.text),
      told.slice(0, 2).map((answer) => answer.text),
      what,
    );
  }
});

t.test('an import is checked line by line, and brings definitions along', async (t) => {
  const { call, sql } = await testService(t);
  const send = async (lines: JsonObject[], query = '') => {
    const headers = { 'content-type': 'application/x-ndjson', accept: 'application/json' };
    const text = lines.map((line) => JSON.stringify(line)).join('\n');
    return call('POST', `/import?source=s${query}`, text, headers);
  };
  const strict = { ...PERSON, activity: ['actor'] };
  const by = { activity: { actor: 'import' } };
  const person = (key: string, properties: JsonObject, more: JsonObject = by) => ({
    type: 'person',
    key,
    properties,
    ...more,
  });
  const definition = { type: 'clocktick-type', key: 'person', properties: strict };
  const before = await traces(sql);
  t.match(await send([{ ...definition, properties: { schema: 7 } }]), problem(422, 'invalid_definition', { line: 1 }));
  t.match(await send([definition, person('a', { name: 'A', x: 1 })]), problem(422, 'invalid_properties', { line: 2 }));
  t.match(await send([person('a', { name: 'A' }, {})]), problem(422, 'activity_required', { line: 1 }));
  t.equal((await traces(sql)).ticks, before.ticks + 1, 'only the definition, whose batch was kept before');
  const skipped = await send(
    [
      person('a', { name: 'A' }),
      person('b', { age: 3 }),
      { op: 'patch', ...person('a', { age: -1 }) },
      { op: 'set', type: 'person', key: 'a', set: { age: 7 }, ...by },
    ],
    '&onError=skip',
  );
  t.match(skipped.body, { status: 'done', changed: 2, skipped: 2 });
  t.match(await call('GET', '/entities/person:a'), { body: { properties: { name: 'A', age: 7 } } });
  const anyhow = await send(
    [person('b', { age: 3 }), person('c', { name: 'C' }, {})],
    '&evenIfInvalid=true&onError=skip',
  );
  t.match(anyhow.body, { changed: 1, skipped: 1 }, 'who and why it needs all the same');
  const old = { at: '2001-02-03T00:00:00Z', ...by };
  t.match((await send([person('d', { age: 3 }, old)], '&evenIfInvalid=true')).body, { changed: 1 }, 'as history is');

  await define(call, 'door', { schema: { properties: { open: { default: false } } }, untracked: ['seen'] });
  const doors = [
    { type: 'door', key: 'a', properties: { n: 1, seen: 1 } },
    { type: 'door', key: 'b', properties: {} },
  ];
  t.match((await send(doors)).body, { changed: 2, ticks: 2 });
  t.match(await call('GET', '/entities/door:a'), { body: { properties: { n: 1, open: false, seen: 1 } } });
  t.match((await send(doors)).body, { changed: 0, ticks: 0 }, 'sent again it makes no tick');
  await define(call, 'door', { schema: true, activity: ['actor'] }, '?evenIfInvalid=true');
  const rest = await send([{ ...doors[1], properties: { open: false }, ...by }], '&mode=replace-all');
  t.match(rest.body, { deleted: 1 }, 'what it deletes is under its own activity');
  t.match(await call('GET', '/entities/door:a'), problem(410, 'entity_deleted'));
});

t.test('the types that there are', async (t) => {
  const { call } = await testService(t);
  await define(call, 'defined', { schema: true });
  await create(call, 'friend', 'a', {});
  await create(call, 'friend', 'b', {});
  await create(call, 'dog', 'a', {});
  const { body } = await call('GET', '/types');
  t.match(body.items, [
    { type: 'defined', entities: 0, definition: { tick: 1, updatedAt: INSTANT } },
    { type: 'dog', entities: 1, definition: null },
    { type: 'friend', entities: 2, definition: null },
  ]);
  t.equal(list(body.items).length, 3);
  const page = await call('GET', '/types?limit=2');
  t.match(await call('GET', `/types?limit=2&cursor=${page.body.next}`), {
    body: { items: [{ type: 'friend' }], next: null },
  });
  t.match(await call('GET', '/types?cursor=x'), problem(400, 'invalid_cursor'));
});

t.test('no entity is ever written under the wrong version, whichever instance writes it', async (t) => {
  const first = await testService(t);
  const other = openStorage(first.serviceUrl);
  t.teardown(() => other.close());
  const calls = [first.call, (await serve(t, other)).call];
  const even = { schema: { properties: { n: { type: 'integer', multipleOf: 2 } } } };
  const odd = { schema: { properties: { n: { type: 'integer', not: { multipleOf: 2 } } } } };
  await define(first.call, 'number', even);
  await Promise.all(Array.from({ length: 40 }, (_, n) => create(first.call, 'number', `k${n}`, { n: 0 })));
  let isOver = false;
  let written = 0;
  const write = async (call: Call, seed: number) => {
    for (let n = seed; !isOver; n += 7) {
      const { status, body } = await call('PATCH', `/entities/number:k${n % 40}`, { properties: { n: n % 1000 } });
      if (status === 200) written++;
      else if (status !== 503 && body.code !== 'invalid_properties') t.fail(`${status} ${JSON.stringify(body)}`);
    }
  };
  const writers = Array.from({ length: 12 }, (_, n) => write(calls[n % 2] ?? first.call, n));
  for (let turn = 0; turn < 8 || (written < WRITES && turn < 1_000); turn++) {
    const call = calls[turn % 2] ?? first.call;
    const put = await define(call, 'number', turn % 2 === 0 ? odd : even, '?evenIfInvalid=true');
    // What is sent again changes nothing, so where one was refused the ticks still take turns.
    if (put.status !== 200 && put.status !== 503) t.fail(JSON.stringify(put.body));
    await setTimeout(40);
  }
  isOver = true;
  await Promise.all(writers);
  t.ok(written >= WRITES, `${written} writes`);
  // At each tick, the value must be what the definition of that instant takes: even under odd ticks of the definition, odd under even ones.
  const wrong = await first.sql`
    SELECT k.entity_id, k.tick, r.value, d.tick AS definition
      FROM clocktick.tick k
      JOIN clocktick.property_range r ON r.entity_id = k.entity_id AND r.property = 'n' AND r.vclock @> k.tick
      JOIN LATERAL (SELECT d.tick FROM clocktick.tick d WHERE d.entity_id = ${text((await first.call('GET', '/types/number')).body.id)}::uuid
                     AND d.at <= k.at ORDER BY d.at DESC LIMIT 1) d ON true
     WHERE k.type = 'number' AND (r.value::text::int % 2 = 0) <> (d.tick % 2 = 1)`;
  t.same([...wrong], []);
});

t.test('the calls on entities of a type, as an OpenAPI document of its definition', async (t) => {
  const { call } = await testService(t);
  const at = '/types/person/openapi';
  t.match(await call('GET', at), problem(404, 'type_not_defined'));
  await define(call, 'person', PERSON);
  await define(call, 'person', { ...PERSON, description: 'people', activity: ['actor'] });
  const now = await call('GET', at);
  t.match(now, { status: 200, headers: { etag: '"2"', 'content-type': /^application\/json/ } });
  t.match(now.body, { openapi: '3.1.0', info: { version: '2', description: /people/ }, servers: [{ url: '/' }] });
  t.same(Object.keys(object(now.body.paths)), [
    '/entities',
    '/entities/{id}',
    '/entities/{id}/restore',
    '/entities/{id}/revert',
  ]);
  t.match(object(object(now.body.components).schemas).PersonProperties, PERSON.schema);
  t.match(await call('GET', at, undefined, { 'if-none-match': '"2"' }), { status: 304, text: '' });
  t.match(await call('GET', at, undefined, { 'if-match': '"1"' }), problem(412, 'precondition_failed'));
  const then = await call('GET', `${at}?asOf=1`);
  t.match(then, {
    status: 200,
    headers: { etag: '"1"', 'cache-control': 'no-cache' },
    body: { info: { version: '1' } },
  });
  t.notMatch(object(then.body.info).description, 'people');
  t.match(await call('GET', `${at}?asOf=9`), problem(404, 'tick_not_found'));
  t.match(await call('GET', '/types/clocktick-type/openapi'), problem(400, 'reserved_type'));
  t.match(await call('GET', at, undefined, { accept: 'text/html' }), problem(406, 'not_acceptable'));
  await call('DELETE', '/types/person', undefined, {
    'activity-id': text((await call('POST', '/activities', { actor: 'a' })).body.id),
  });
  t.match(await call('GET', at), problem(410, 'entity_deleted'));
  t.match(await call('GET', `${at}?asOf=1`), { status: 200 });
});

t.test('the OpenAPI document has the types that are defined, where that is asked for', async (t) => {
  const { call } = await testService(t);
  const plain = await call('GET', '/openapi.yaml');
  const asked = '/openapi.yaml?types=true';
  const none = await call('GET', asked);
  t.same(parse(none.text), parse(plain.text), 'nothing is defined');
  await define(call, 'person', PERSON);
  await define(call, 'order_item', { schema: true });
  const some = await call('GET', asked);
  t.match(some, { status: 200, headers: { 'content-type': /^application\/yaml/, 'cache-control': 'no-cache' } });
  const document = object(parse(some.text));
  t.match(document, parse(plain.text));
  for (const path of ['/entities/person:{key}', '/entities/order_item:{key}'])
    t.match(Object.keys(object(object(document.paths)[path])), ['get', 'put', 'patch', 'delete']);
  const tag = text(some.headers.etag);
  t.match(await call('GET', asked, undefined, { 'if-none-match': tag }), {
    status: 304,
    text: '',
    headers: { etag: tag },
  });
  t.equal((await call('GET', asked)).text, some.text);
  t.match(await call('PUT', '/entities/person:a%2Fb', { type: 'person', properties: { name: 'A' } }), { status: 201 });
  t.equal((await call('GET', asked)).headers.etag, tag, 'entities change nothing');
  await define(call, 'person', { ...PERSON, description: 'people' });
  t.match(await call('GET', asked, undefined, { 'if-none-match': tag }), { status: 200, text: /people/ });
  t.equal((await call('GET', '/openapi.yaml')).text, plain.text);
  t.equal((await call('GET', '/openapi.yaml?types=false')).text, plain.text);
  t.match(await call('GET', '/openapi.yaml?types=1'), problem(400, 'invalid_parameter'));
});

t.test('a document tells of so many types', async (t) => {
  const { call, sql } = await testService(t);
  const names = Array.from({ length: 200 }, (_, n) => `t${n}`);
  const ofAll = (change: Pick<RawChange, 'expected' | 'op' | 'set' | 'clear'>, of: readonly string[]) =>
    writeMany(
      sql,
      of.map((key) => ({ id: idOfKey('clocktick-type', key), type: 'clocktick-type', key, ...change })),
    );
  await ofAll({ expected: 0, op: 'created', set: { schema: true } }, names);
  const full = await call('GET', '/openapi.yaml?types=true');
  t.equal(full.status, 200);
  t.equal(full.text.match(/\/entities\/t\d+:\{key\}"/g)?.length, 200);
  await define(call, 't200', { schema: true });
  const more = await call('GET', '/openapi.yaml?types=true');
  t.match(more, problem(400, 'too_much_to_read'));
  t.match(more.body.detail, /\/types\/\{type\}\/openapi/);
  await ofAll({ expected: 1, op: 'deleted', set: {}, clear: ['schema'] }, names.slice(0, 190));
  t.match(await call('GET', '/openapi.yaml?types=true'), { status: 200 });
  const large = { schema: { enum: ['x'.repeat(250_000)] } };
  for (const name of names.slice(0, 17)) await define(call, name, large);
  t.match(await call('GET', '/openapi.yaml?types=true'), problem(400, 'too_much_to_read'));
  t.match(await call('GET', '/types/t1/openapi'), { status: 200 });
});
