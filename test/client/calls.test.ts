import t from 'tap';
import {
  ClocktickProblem,
  ClocktickUnreachable,
  clocktick,
  type Outcome,
  type WrittenEntity,
} from '../../src/client/client.js';
import { PROBLEMS } from '../../src/http/protocol/problems.js';
import { allOf, fated, refusing, testClient } from '../helper/client.js';
import { INSTANT } from '../helper/service.js';

/* What each call sends, and what it makes of the answer: against the service itself. */

const ROOM = { type: 'friend', key: 'rachel', properties: { name: 'Rachel', location: 'New York' } };
const RACHEL = 'friend:rachel';

t.test('what the tour does by curl the client does', async (t) => {
  const { client } = await testClient(t);
  const { entities, activities } = client;

  const created = await entities.create(ROOM);
  t.match(created, { id: /^[0-9a-f-]{36}$/, ...ROOM, tick: 1, deleted: false, createdAt: INSTANT });
  const activity = { actor: 'monica', reason: 'a new job' };
  const moved = await entities.patch(RACHEL, { properties: { location: 'San Francisco' }, activity });
  t.match(moved, { tick: 2, properties: { location: 'San Francisco' } });

  t.same((await entities.get(RACHEL, { asOf: 1 })).properties, ROOM.properties);
  t.same((await entities.get(RACHEL, { asOf: created.createdAt, fields: 'name' })).properties, { name: 'Rachel' });
  const ticks = await allOf(entities.history(RACHEL));
  t.match(ticks, [
    { tick: 1, op: 'created', activity: null },
    { tick: 2, op: 'updated', activity, changes: { location: { from: 'New York', to: 'San Francisco' } } },
  ]);
  const ranges = await allOf(entities.propertyHistory(RACHEL, 'location', { order: 'desc' }));
  t.match(ranges, [
    { value: 'San Francisco', vclock: { from: 2, to: null }, activity },
    { value: 'New York', vclock: { from: 1, to: 2 } },
  ]);
  const { provenance } = await entities.get(RACHEL, { include: ['provenance', 'history.location'] });
  t.match(provenance, { location: { activity, vclock: { from: 2 } }, name: { activity: null } });

  const [found] = await allOf(activities.search({ actor: 'monica', reason: 'job' }));
  t.match(found, { ...activity, tickCount: 1 });
  const id = found?.id ?? '';
  t.match(await activities.get(id, { include: 'changes' }), {
    ...activity,
    ticks: [{ key: 'rachel', tick: 2, changes: { location: { to: 'San Francisco' } } }],
    next: null,
  });

  const stale = await entities.patch(RACHEL, { properties: { location: 'Paris' } }, { ifMatch: 1 });
  t.match(stale, { done: false, tick: 2, problem: { code: 'precondition_failed', status: 412 }, mayBeWritten: false });
  t.equal((await entities.patch(RACHEL, { properties: { name: 'Rachel' } })).tick, 2, 'it changes nothing');

  const diff = await entities.diff(RACHEL, { from: 1, to: 2 });
  t.match(diff, { from: { tick: 1 }, to: { tick: 2 }, changes: { location: { from: 'New York' } } });
  const looked = await entities.revert(RACHEL, { to: 1, properties: ['location'] }, { dryRun: true });
  t.match(looked, { tick: 3, preview: { op: 'updated', changes: { location: { to: 'New York' } } } });
  const reverted = await entities.revert(RACHEL, { to: 1, properties: ['location'], activity }, { ifMatch: 2 });
  t.match(reverted, { done: true, entity: { tick: 3, properties: { location: 'New York' } } });
  t.match(await entities.compare(RACHEL, { at: [1, 2, 'now'], only: 'differing' }), {
    moments: [{ tick: 1 }, { tick: 2 }, { tick: 3 }],
    properties: { location: [{ value: 'New York' }, { value: 'San Francisco' }, { value: 'New York' }] },
  });
  t.match(await entities.list({ type: 'friend' }).page(), { items: [{ key: 'rachel', tick: 3 }], next: null });

  const batch = await client.batch({
    activity: { actor: 'joey', reason: 'moving day' },
    operations: [
      { op: 'patch', id: RACHEL, ifMatch: 3, properties: { location: 'Paris' } },
      { op: 'create', type: 'friend', key: 'ross', properties: { name: 'Ross', location: 'Paris' } },
    ],
  });
  t.match(batch.items, [
    { key: 'rachel', tick: 4, op: 'updated', entity: { properties: { location: 'Paris' } } },
    { key: 'ross', tick: 1, op: 'created' },
  ]);
  const undone = await activities.revert(batch.activity?.id ?? '', { activity: { actor: 'monica' } });
  t.match(undone, {
    items: [
      { tick: 5, op: 'updated' },
      { tick: 2, op: 'deleted' },
    ],
    conflictCount: 0,
  });
});

t.test('what else the API has', async (t) => {
  const { client } = await testClient(t);
  const { entities, types, activities } = client;
  const { id } = await activities.create({ actor: 'monica', metadata: { ticket: 7 } });
  const put = await entities.put(RACHEL, { type: 'friend', properties: ROOM.properties }, { activityId: id });
  t.match(put, { tick: 1, key: 'rachel' });
  t.match(await allOf(activities.ticks(id)), [{ key: 'rachel', tick: 1 }]);
  t.equal(await entities.get(RACHEL, {}, { ifNoneMatch: 1 }), null, 'it is known already');
  t.match(await entities.get(RACHEL, {}, { ifNoneMatch: 7 }), { tick: 1 });

  const patched = await entities.patch(RACHEL, [{ op: 'replace', path: '/properties/name', value: 'Rachel Green' }]);
  t.match(patched, { tick: 2, properties: { name: 'Rachel Green' } });
  const dry = await entities.delete(RACHEL, { dryRun: true });
  t.match(dry, { tick: 3, at: INSTANT, preview: { op: 'deleted' } });
  const gone = await entities.delete(RACHEL);
  t.match(gone, { tick: 3, at: INSTANT });
  t.same(await entities.delete(RACHEL, { ifMatch: 3 }), { done: true, entity: gone }, 'again, and no tick');
  await t.rejects(entities.get(RACHEL), { code: 'entity_deleted', status: 410 });
  const many = await entities.many([RACHEL, 'friend:nobody']);
  t.match(many.missing, [{ code: 'entity_deleted' }, { code: 'entity_not_found' }]);
  t.same(await entities.many([]), { items: [], missing: [] });
  t.match(await entities.restore(RACHEL, { activity: { reason: 'a mistake' } }), { tick: 4, deleted: false });
  t.match(await entities.restore(RACHEL, undefined, { ifMatch: 2 }), { done: false, tick: 4 });
  t.match(await entities.timemap(RACHEL), /rel="original"/);

  const SCHEMA = { properties: { name: { type: 'string' } }, required: ['name'] };
  const defined = await types.put('friend', { schema: SCHEMA, description: 'Who they are' }, { ifNoneMatch: '*' });
  t.match(defined, { done: true, entity: { tick: 1, definition: { schema: SCHEMA } } });
  t.match((await types.get('friend')).definition.schema, SCHEMA);
  t.match(await types.openapi('friend'), { openapi: /^3/ });
  t.match(await types.put('friend', { schema: true }, { ifMatch: 1 }), { done: true, entity: { tick: 2 } });
  t.match(await types.put('friend', { schema: true }, { ifMatch: 1 }), { done: false, tick: 2 });
  t.match(await types.put('nobody', { schema: true }, { ifMatch: 1 }), { done: false, tick: null });
  t.match(await allOf(types.versions('friend', { order: 'desc' })), [
    { tick: 2 },
    { tick: 1, definition: { schema: SCHEMA } },
  ]);
  t.match(await types.delete('friend'), { tick: 3, at: INSTANT });
  t.match(await allOf(types.list()), [{ type: 'friend', entities: 1, definition: null }]);
  t.match(await types.counts('friend', 'location', { limit: 3 }), { items: [{ values: [{ value: 'New York' }] }] });
  t.match(await allOf(types.history('friend', 'name')), [
    { key: 'rachel', value: 'Rachel' },
    { value: 'Rachel Green', vclock: { to: 3 } },
    { value: 'Rachel Green', vclock: { from: 4, to: null } },
  ]);
  const compared = await allOf(types.compare('friend', { at: [put.updatedAt, 'now'], only: 'differing' }));
  t.match(compared, [{ key: 'rachel', properties: { name: [{ value: 'Rachel' }, { value: 'Rachel Green' }] } }]);
  const minimal = await client.batch({ operations: [{ op: 'delete', id: RACHEL }] }, { isMinimal: true });
  t.notOk(minimal.items[0]?.entity);
});

t.test('at(T) reads everything as of T, and by what was recorded at R', async (t) => {
  const { client } = await testClient(t);
  const { entities, at } = client;
  const { createdAt } = await entities.create(ROOM);
  const { updatedAt } = await entities.patch(RACHEL, { properties: { location: 'Oakland' } });
  await client.types.put('friend', { schema: true });
  const then = at(createdAt);
  t.match(await then.entities.get(RACHEL), { tick: 1 });
  t.match(await then.entities.get(RACHEL, { asOf: 2, fields: ['location'] }), {
    properties: { location: 'New York' },
  });
  t.match(await allOf(then.entities.list({ type: 'friend', where: { location: 'New York' } })), [{ tick: 1 }]);
  t.match(await then.entities.many([RACHEL]), { items: [{ tick: 1 }] });
  t.match(await then.entities.property(RACHEL, 'location'), { value: 'New York', vclock: { to: null } });
  t.match(await then.types.counts('friend', 'location'), {
    at: createdAt,
    entities: 1,
    values: [{ value: 'New York' }],
  });
  t.match(await allOf(then.types.history('friend', 'location')), [{ value: 'New York' }]);
  await t.rejects(then.types.get('friend'), { code: 'entity_not_found' });
  t.match(await allOf(then.export({ type: 'friend' })), [{ key: 'rachel', properties: { location: 'New York' } }]);
  t.match(await at(2).entities.get(RACHEL), { tick: 2 });
  t.match(await at(2).entities.property(RACHEL, 'location'), { value: 'Oakland' });
  t.match(await at(1).types.get('friend'), { tick: 1 });
  t.match(await at(updatedAt, createdAt).entities.get(RACHEL, { recordedAsOf: updatedAt }), { tick: 1 });
  await t.rejects(at(2, createdAt).entities.get(RACHEL), { code: 'tick_not_found' });
});

t.test('a conditional write has two good ends, and every other one is thrown', async (t) => {
  const { client } = await testClient(t);
  const { entities } = client;
  const made: Outcome<WrittenEntity, number | null> = await entities.create(ROOM, { ifNoneMatch: '*' });
  t.match(made, { done: true, entity: { tick: 1 } });
  t.match(await entities.create(ROOM, { ifNoneMatch: '*' }), { done: false, tick: 1 });
  t.match(await entities.put('friend:ross', { type: 'friend', properties: {} }, { ifMatch: '*' }), {
    done: false,
    tick: null,
  });
  await t.rejects(entities.patch('friend:ross', { properties: {} }, { ifMatch: 1 }), { code: 'entity_not_found' });
  t.match(await entities.create(ROOM, { ifMatch: 7 }), { done: false, tick: 1 });
  await t.rejects(entities.create(ROOM), { code: 'entity_exists' });
});

t.test('all input is data', async (t) => {
  const { client } = await testClient(t);
  const { entities, types } = client;
  const names = [
    '__proto__',
    'constructor',
    'toString',
    'a,b',
    'a/b',
    'a b+c',
    '%2C',
    '?x#y',
    '😀',
    '…',
    "it's",
    'x'.repeat(256),
  ];
  const properties = Object.fromEntries(names.map((name, n) => [name, { [name]: n }]));
  for (const key of [...names, 'a:b', '..', ' ']) {
    const id = `friend:${key}`;
    const written = await entities.put(id, { type: 'friend', properties });
    t.equal(written.key, key);
    t.same(Object.keys(written.properties).sort(), names.toSorted(), 'every name is a property of its own');
    t.same(JSON.parse(JSON.stringify((await entities.get(id)).properties)), JSON.parse(JSON.stringify(properties)));
  }
  for (const name of names) {
    const { properties: shown } = await entities.get('friend:😀', { fields: [name] });
    t.same(Object.entries(shown), [[name, { [name]: names.indexOf(name) }]]);
    const [range] = await allOf(entities.propertyHistory('friend:😀', name));
    t.same(range?.value, { [name]: names.indexOf(name) });
    const where = Object.fromEntries([[name, { hasKey: name }]]);
    t.equal((await entities.list({ type: 'friend', where, limit: 1 }).page()).items.length, 1);
    const patch = { properties: Object.fromEntries([[name, null]]) };
    t.notOk(Object.hasOwn((await entities.patch('friend:a:b', patch)).properties, name));
    t.equal((await types.counts('friend', name)).items.length, 1);
  }
  for (const path of ['.', '..']) await t.rejects(entities.get(path), RangeError);
  await t.rejects(entities.propertyHistory('friend:😀', '..').page(), RangeError);
  await t.rejects(entities.get(''), { code: 'invalid_parameter' });
  await t.rejects(entities.get('friend:😀', { fields: [] }), { code: 'invalid_property_name' });
  await t.rejects(entities.get('friend:\ud800'), URIError);
});

t.test('what JSON cannot say is not sent', async (t) => {
  const { fetch, asked } = fated();
  const { entities } = clocktick({ baseUrl: 'http://127.0.0.1:1', fetch });
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, [{ deep: Number.NaN }], 1n])
    await t.rejects(
      entities.patch(RACHEL, { properties: { age: value } }),
      TypeError,
      'null would remove the property',
    );
  t.same(asked, []);
});

t.test('a problem is thrown with its status, code and all it says', async (t) => {
  const { client, baseUrl } = await testClient(t);
  const error = await client.entities.put(RACHEL, { type: 'friend', properties: { '': 1 } }).catch((thrown) => thrown);
  t.ok(error instanceof ClocktickProblem && error instanceof Error);
  t.match(error, {
    name: 'ClocktickProblem',
    message: error.problem.detail,
    status: 400,
    code: 'invalid_property_name',
    problem: { errors: [{ path: '/properties' }] },
  });
  for (const [code, { status }] of Object.entries(PROBLEMS)) {
    const { fetch } = fated(refusing(status, code));
    const { entities } = clocktick({ baseUrl, fetch, retry: false });
    await t.rejects(entities.get(RACHEL), { name: 'ClocktickProblem', code, status, message: `It is ${code}.` });
  }
});

t.test('where no clocktick answers, that is said', async (t) => {
  const page = { 'content-type': 'text/html; charset=utf-8' };
  const answers: [answer: Response, status: number | undefined, message: RegExp][] = [
    [new Response('<p>Sign in', { status: 200, headers: page }), 200, /is no clocktick: status 200, text\/html/],
    [new Response('<p>Not found', { status: 404, headers: page }), 404, /status 404/],
    [new Response(null, { status: 502 }), 502, /status 502, no media type/],
    [new Response('{"code":7}', { status: 400, headers: { 'content-type': 'application/problem+json' } }), 400, /400/],
    [new Response('{"error":"x"}', { status: 400, headers: { 'content-type': 'application/json' } }), 400, /400/],
    [new Response('[', { status: 200, headers: { 'content-type': 'application/json' } }), undefined, /broke off/],
    [new Response(null, { status: 200, headers: { 'content-type': 'application/json' } }), undefined, /broke off/],
  ];
  for (const [answer, status, message] of answers) {
    const { entities } = clocktick({ baseUrl: 'http://x', fetch: fated(answer).fetch, retry: false });
    const error = await entities.get(RACHEL).catch((thrown) => thrown);
    t.ok(error instanceof ClocktickUnreachable);
    t.match(error, { name: 'ClocktickUnreachable', status, message, mayBeWritten: false });
  }
  const nobody = clocktick({ baseUrl: 'http://127.0.0.1:1', retry: false });
  await t.rejects(nobody.entities.delete(RACHEL), { name: 'ClocktickUnreachable', cause: Error });
});

t.test('the service may lie below a path, and whoever stands before it may want headers', async (t) => {
  const asked: [url: string, headers: unknown][] = [];
  let token = 0;
  const fetch: typeof globalThis.fetch = async (url, init) => {
    asked.push([String(url), init?.headers]);
    return asked.length === 1
      ? refusing(503, 'overloaded', { 'retry-after': '0' })
      : new Response('{"items":[],"next":null}', { headers: { 'content-type': 'application/json' } });
  };
  const headers = async () => ({ authorization: `Bearer ${++token}`, accept: 'nothing' });
  for (const baseUrl of ['https://example.org/clock', new URL('https://example.org/clock/?x=1#y')])
    await clocktick({ baseUrl, fetch, headers, retry: { wait: 1 } })
      .types.list({ limit: 2 })
      .page();
  const url = 'https://example.org/clock/types?limit=2';
  t.same(
    asked,
    [1, 2, 3].map((n) => [url, { authorization: `Bearer ${n}`, accept: 'application/json' }]),
  );
});
