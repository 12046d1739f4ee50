import t, { type Test } from 'tap';
import { idOfKey, newId } from '../../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import {
  type Answer,
  type Call,
  INSTANT,
  JSON_PATCH,
  list,
  MINIMAL,
  object,
  problem,
  ranges,
  state,
  testService,
  text,
  traces,
} from '../../helper/service.js';

type Method = Parameters<Call>[0];

/** One request, and what its answer must match; `{id}` in the URL is the entity of the story. */
type Step = [
  method: Method,
  url: string,
  body: Json | undefined,
  headers: Record<string, string>,
  expected: { status: number; headers?: Record<string, string | undefined | RegExp>; body?: JsonObject },
];

const LOCATION = /^\/entities\/[0-9a-f-]{36}$/;
const APPLIED = { 'preference-applied': 'return=minimal', 'tick-at': INSTANT };

t.test('writes', async (t) => {
  const { call, sql } = await testService(t);
  let stories = 0;
  /** Runs the steps one after the other on an entity of their own, thing:<key>; gives the answers. */
  const story = async (t: Test, steps: Step[]): Promise<Answer[]> => {
    const address = `thing:story${++stories}`;
    const answers: Answer[] = [];
    for (const [at, [method, url, body, headers, expected]] of steps.entries()) {
      const answer = await call(method, url.replace('{id}', address), body, headers);
      t.match(answer, expected, `${at + 1}: ${method} ${url} ${JSON.stringify(body ?? null).slice(0, 80)}`);
      answers.push(answer);
    }
    return answers;
  };

  const done = (tick: number, properties: JsonObject, status = 200) => ({
    status,
    headers: { etag: `"${tick}"`, 'tick-at': INSTANT },
    body: { tick, properties, deleted: false },
  });
  const gone: Step = ['DELETE', '/entities/{id}', undefined, {}, { status: 204, headers: { 'tick-at': INSTANT } }];

  const tables: Record<string, Step[]> = {
    'PUT creates what is absent, replaces what is there, and takes null for a value': [
      ['PUT', '/entities/{id}', state({ a: 1, b: null }), {}, { ...done(1, { a: 1, b: null }, 201) }],
      ['PUT', '/entities/{id}', state({ a: 1, b: null }), {}, done(1, { a: 1, b: null })],
      ['PUT', '/entities/{id}', state({ b: { x: null }, c: 2 }), {}, done(2, { b: { x: null }, c: 2 })],
      ['GET', '/entities/{id}?asOf=1', undefined, {}, { status: 200, body: { properties: { a: 1, b: null } } }],
      ['PUT', '/entities/{id}', state({}), {}, done(3, {})],
    ],
    'PUT revives a tombstone; its ticks go on': [
      ['PUT', '/entities/{id}', state({ a: 1 }), {}, done(1, { a: 1 }, 201)],
      gone,
      [
        'PUT',
        '/entities/{id}',
        state({ a: 2 }),
        {},
        { ...done(3, { a: 2 }, 201), headers: { location: `/entities/` } },
      ],
      ['GET', '/entities/{id}?asOf=2', undefined, {}, problem(410, 'entity_deleted', { tick: 2 })],
    ],
    'a type never changes, and an address of a key says it': [
      ['PUT', '/entities/{id}', { type: 'other', properties: {} }, {}, problem(400, 'invalid_body')],
      ['PUT', '/entities/{id}', state({}), {}, done(1, {}, 201)],
    ],
    'If-None-Match: * creates only, and may revive a tombstone': [
      ['PUT', '/entities/{id}', state({ a: 1 }), { 'if-none-match': '*' }, done(1, { a: 1 }, 201)],
      [
        'PUT',
        '/entities/{id}',
        state({ a: 2 }),
        { 'if-none-match': '*' },
        problem(412, 'precondition_failed', { tick: 1 }),
      ],
      [
        'PUT',
        '/entities/{id}',
        state({ a: 1 }),
        { 'if-none-match': '*' },
        problem(412, 'precondition_failed', { tick: 1 }),
      ],
      gone,
      ['PUT', '/entities/{id}', state({ a: 3 }), { 'if-none-match': '*' }, done(3, { a: 3 }, 201)],
    ],
    'If-Match lets through at its tick only, even when nothing would change': [
      ['PUT', '/entities/{id}', state({ a: 1 }), { 'if-match': '*' }, problem(412, 'precondition_failed')],
      ['PUT', '/entities/{id}', state({ a: 1 }), { 'if-match': '"1"' }, problem(412, 'precondition_failed')],
      ['PUT', '/entities/{id}', state({ a: 1 }), {}, done(1, { a: 1 }, 201)],
      [
        'PUT',
        '/entities/{id}',
        state({ a: 1 }),
        { 'if-match': '"2"' },
        problem(412, 'precondition_failed', { tick: 1 }),
      ],
      [
        'PUT',
        '/entities/{id}',
        state({ a: 2 }),
        { 'if-match': 'W/"1"' },
        problem(412, 'precondition_failed', { tick: 1 }),
      ],
      ['PUT', '/entities/{id}', state({ a: 2 }), { 'if-match': '"7", "1"' }, done(2, { a: 2 })],
      ['PATCH', '/entities/{id}', { properties: {} }, { 'if-match': '"1"' }, problem(412, 'precondition_failed')],
      ['PATCH', '/entities/{id}', { properties: {} }, { 'if-none-match': '"2"' }, problem(412, 'precondition_failed')],
      ['POST', '/entities/{id}/revert', { to: 1 }, { 'if-match': '"1"' }, problem(412, 'precondition_failed')],
      ['POST', '/entities/{id}/restore', undefined, { 'if-match': '"1"' }, problem(412, 'precondition_failed')],
      ['DELETE', '/entities/{id}', undefined, { 'if-match': '"1"' }, problem(412, 'precondition_failed')],
      ['DELETE', '/entities/{id}', undefined, { 'if-match': '"2"' }, { status: 204, headers: { etag: '"3"' } }],
      ['DELETE', '/entities/{id}', undefined, { 'if-match': '"3"' }, { status: 204, headers: { etag: '"3"' } }],
      ['DELETE', '/entities/{id}', undefined, { 'if-match': '*' }, problem(412, 'precondition_failed')],
    ],
    'the tombstone’s tick in If-Match works for PUT and for restore': [
      ['PUT', '/entities/{id}', state({ a: 1 }), {}, done(1, { a: 1 }, 201)],
      gone,
      [
        'PUT',
        '/entities/{id}',
        state({ a: 2 }),
        { 'if-match': '"1"' },
        problem(412, 'precondition_failed', { tick: 2 }),
      ],
      ['PUT', '/entities/{id}', state({ a: 2 }), { 'if-match': '"2"' }, done(3, { a: 2 }, 201)],
      gone,
      ['POST', '/entities/{id}/restore', undefined, { 'if-match': '"4"' }, done(5, { a: 2 })],
    ],
    'restore brings back what the tombstone ended; of the living it is nothing': [
      ['POST', '/entities/{id}/restore', undefined, {}, problem(404, 'entity_not_found')],
      ['PUT', '/entities/{id}', state({ a: 1, b: null }), {}, done(1, { a: 1, b: null }, 201)],
      ['POST', '/entities/{id}/restore', undefined, {}, done(1, { a: 1, b: null })],
      ['PATCH', '/entities/{id}', { properties: { a: 2 } }, {}, done(2, { a: 2, b: null })],
      gone,
      ['PATCH', '/entities/{id}', { properties: { a: 3 } }, {}, problem(410, 'entity_deleted', { tick: 3 })],
      ['POST', '/entities/{id}/restore', { activity: { actor: 'me' } }, {}, done(4, { a: 2, b: null })],
      ['POST', '/entities/{id}/restore', {}, {}, done(4, { a: 2, b: null })],
      gone,
      ['POST', '/entities/{id}/restore', {}, {}, done(6, { a: 2, b: null })],
    ],
    'revert goes back whole, or by named properties; never to a tombstone': [
      ['PUT', '/entities/{id}', state({ a: 1, b: 1 }), {}, done(1, { a: 1, b: 1 }, 201)],
      ['PUT', '/entities/{id}', state({ a: 2, c: 2 }), {}, done(2, { a: 2, c: 2 })],
      ['POST', '/entities/{id}/revert', { to: 1, properties: ['b'] }, {}, done(3, { a: 2, b: 1, c: 2 })],
      ['POST', '/entities/{id}/revert', { to: 1, properties: ['b'] }, {}, done(3, { a: 2, b: 1, c: 2 })],
      ['POST', '/entities/{id}/revert', { to: 1, properties: ['c', 'never'] }, {}, done(4, { a: 2, b: 1 })],
      ['POST', '/entities/{id}/revert', { to: '1', activity: { reason: 'oops' } }, {}, done(5, { a: 1, b: 1 })],
      ['POST', '/entities/{id}/revert', { to: 99 }, {}, problem(404, 'tick_not_found')],
      ['POST', '/entities/{id}/revert', { to: '2000-01-01T00:00:00Z' }, {}, problem(404, 'entity_not_found')],
      ['POST', '/entities/{id}/revert', { to: '2999-01-01T00:00:00Z' }, {}, problem(400, 'as_of_in_future')],
      gone,
      ['POST', '/entities/{id}/revert', { to: 1, properties: ['a'] }, {}, problem(410, 'entity_deleted', { tick: 6 })],
      ['POST', '/entities/{id}/revert', { to: 6 }, {}, problem(409, 'deleted_then', { tick: 6 })],
      ['POST', '/entities/{id}/revert', { to: 2 }, {}, done(7, { a: 2, c: 2 })],
    ],
    'a JSON Patch is all or nothing, and its paths lie in the properties': [
      ['PUT', '/entities/{id}', state({ a: 1, l: [1, 2] }), {}, done(1, { a: 1, l: [1, 2] }, 201)],
      [
        'PATCH',
        '/entities/{id}',
        [{ op: 'add', path: '/properties/l/-', value: null }],
        JSON_PATCH,
        done(2, { l: [1, 2, null] }),
      ],
      [
        'PATCH',
        '/entities/{id}',
        [
          { op: 'replace', path: '/properties/a', value: 9 },
          { op: 'test', path: '/properties/l/0', value: 2 },
        ],
        JSON_PATCH,
        problem(409, 'patch_test_failed', { errors: [{ path: '/1/path' }] }),
      ],
      [
        'PATCH',
        '/entities/{id}',
        [{ op: 'remove', path: '/properties/z' }],
        JSON_PATCH,
        problem(409, 'patch_not_applicable'),
      ],
      [
        'PATCH',
        '/entities/{id}',
        [{ op: 'replace', path: '/type', value: 'x' }],
        JSON_PATCH,
        problem(400, 'invalid_body'),
      ],
      ['PATCH', '/entities/{id}', [{ op: 'test', path: '/properties/a', value: 1.0 }], JSON_PATCH, done(2, { a: 1 })],
      [
        'PATCH',
        '/entities/{id}',
        [{ op: 'add', path: '/properties/a', value: null }],
        JSON_PATCH,
        done(3, { a: null }),
      ],
      [
        'PATCH',
        '/entities/{id}',
        [{ op: 'move', from: '/properties/a', path: '/properties/b' }],
        JSON_PATCH,
        done(4, { b: null }),
      ],
    ],
    'Prefer: return=minimal leaves the body out and keeps what a client needs to go on': [
      [
        'PUT',
        '/entities/{id}',
        state({ a: 1 }),
        MINIMAL,
        { status: 204, headers: { etag: '"1"', location: LOCATION, ...APPLIED } },
      ],
      ['PUT', '/entities/{id}', state({ a: 2 }), MINIMAL, { status: 204, headers: { etag: '"2"', ...APPLIED } }],
      [
        'PATCH',
        '/entities/{id}',
        { properties: { a: 3 } },
        MINIMAL,
        { status: 204, headers: { etag: '"3"', ...APPLIED } },
      ],
      [
        'PATCH',
        '/entities/{id}',
        { properties: { a: 3 } },
        MINIMAL,
        { status: 204, headers: { etag: '"3"', ...APPLIED } },
      ],
      ['POST', '/entities/{id}/revert', { to: 1 }, MINIMAL, { status: 204, headers: { etag: '"4"', ...APPLIED } }],
      ['POST', '/entities/{id}/restore', undefined, MINIMAL, { status: 204, headers: { etag: '"4"', ...APPLIED } }],
      [
        'PATCH',
        '/entities/{id}',
        { properties: { a: 9 } },
        { prefer: 'wait=5, return=representation' },
        done(5, { a: 9 }),
      ],
    ],
  };
  for (const [name, steps] of Object.entries(tables)) {
    await t.test(name, async (t) => {
      const answers = await story(t, steps);
      for (const answer of answers) if (answer.status === 204) t.equal(answer.text, '');
    });
  }

  await t.test('the instant of a write, as of which a read sees it', async (t) => {
    const made = await call('POST', '/entities', state({ a: 1 }));
    const id = text(made.body.id);
    const writes: [Method, string, Json | undefined][] = [
      ['PATCH', '', { properties: { a: 2 } }],
      ['PUT', '', state({ a: 3 })],
      ['POST', '/revert', { to: 1 }],
      ['DELETE', '', undefined],
      ['POST', '/restore', undefined],
    ];
    for (const [method, action, body] of writes) {
      const answer = await call(method, `/entities/${id}${action}`, body);
      const at = answer.headers['tick-at'];
      const then = await call('GET', `/entities/${id}?asOf=${at}`);
      t.equal(then.headers.etag ?? `"${then.body.tick}"`, answer.headers.etag, `${method} ${action}`);
      if (method === 'DELETE') t.equal(then.status, 410);
      else t.equal(answer.body.updatedAt, at);
    }
  });

  await t.test('POST heeds conditions as PUT to the key does', async (t) => {
    const wanted = { type: 'thing', key: 'conditional create', properties: {} };
    const cases: [headers: Record<string, string>, status: number][] = [
      [{ 'if-match': '*' }, 412],
      [{ 'if-match': '"1"' }, 412],
      [{ 'if-none-match': 'x' }, 400],
      [{ 'if-none-match': '*' }, 201],
      [{ 'if-none-match': '*' }, 412],
      [{ 'if-match': '"1"' }, 409],
      [{}, 409],
    ];
    for (const [headers, status] of cases)
      t.match(await call('POST', '/entities', wanted, headers), { status }, JSON.stringify(headers));
  });

  await t.test('PUT creates under a fresh UUID, never under one that may belong to a key', async (t) => {
    const unborn = idOfKey('thing', 'yet to be born');
    const cases: [id: string, status: number][] = [
      [newId(), 201],
      ['9b2d3c4e-0000-4000-8000-00000000abcd', 201],
      ['9B2D3C4E-0000-4000-8000-00000000ABCD', 200],
      [unborn, 400],
      ['00000000-0000-0000-0000-000000000000', 400],
      ['9b2d3c4e-0000-1000-8000-00000000abcd', 400],
      ['9b2d3c4e-0000-4000-0000-00000000abcd', 400],
    ];
    for (const [id, status] of cases) {
      const answer = await call('PUT', `/entities/${id}`, state({ a: 1 }));
      t.equal(answer.status, status, id);
      if (status === 400) t.match(answer.body, { code: 'invalid_id', errors: [{ path: 'id' }] }, id);
      else t.equal(answer.body.id, id.toLowerCase());
    }
    t.match(await call('PUT', `/entities/${unborn}`, state({}), { 'if-match': '"1"' }), { status: 412 });
    await call('POST', '/entities', { type: 'thing', key: 'yet to be born', properties: {} });
    t.match(await call('PUT', `/entities/${unborn}`, state({ a: 1 })), {
      status: 200,
      body: { key: 'yet to be born' },
    });
    const other = await call('PUT', `/entities/${unborn}`, { type: 'other', properties: {} });
    t.match(other, problem(409, 'type_mismatch', { errors: [{ path: '/type' }] }));
  });

  await t.test('what was read can be put back, however large it has grown', async (t) => {
    const text = 'ä'.repeat(500_000);
    await call('PUT', '/entities/thing:grown', state({ p0: text }));
    for (let n = 1; n < 8; n++)
      t.match(await call('PATCH', '/entities/thing:grown', { properties: { [`p${n}`]: text } }), { status: 200 });
    const grown = await call('GET', '/entities/thing:grown');
    t.ok(Buffer.byteLength(grown.text) > 7.5 * 2 ** 20);
    t.match(
      await call('PATCH', '/entities/thing:grown', { properties: { p8: text } }),
      problem(413, 'entity_too_large'),
      'and no larger',
    );
    const { properties } = grown.body;
    const back = await call('PUT', '/entities/thing:copied', { type: 'thing', properties: object(properties) });
    t.match(back, { status: 201 });
    const put = await call(
      'PUT',
      '/entities/thing:grown',
      grown.text.replace(/^.*?"properties"/, '{"type": "thing", "properties"'),
    );
    t.match(put, { status: 200, body: { tick: 8 } }, 'and is the same');
  });

  await t.test('bounds of what can be kept', async (t) => {
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`p${n}`, n]));
    const tooLarge = problem(413, 'entity_too_large');
    t.match(await call('POST', '/entities', state(many(1001))), tooLarge);
    t.match(await call('PUT', '/entities/thing:bounds', state(many(1001))), tooLarge);
    t.match(await call('PUT', '/entities/thing:bounds', state(many(1000))), { status: 201 });
    t.match(await call('PATCH', '/entities/thing:bounds', { properties: { more: 1 } }), tooLarge);
    t.match(await call('PATCH', '/entities/thing:bounds', { properties: { p0: null, more: 1 } }), { status: 200 });
    t.match(await call('DELETE', '/entities/thing:bounds'), { status: 204 });
    t.match(await call('POST', '/entities/thing:bounds/restore'), { status: 200 });
    const numbers = JSON.parse(`[${'1e308,'.repeat(4_000)}0]`);
    const activity = { metadata: { numbers } };
    t.match(await call('POST', '/activities', activity), problem(413, 'activity_too_large'), '1e308 is 309 characters');
    const write = await call('PATCH', '/entities/thing:bounds', { properties: { p1: 'x' }, activity });
    t.match(write, problem(413, 'activity_too_large'));
    t.equal((await call('GET', '/entities/thing:bounds')).body.tick, 4);
    for (const names of [Array(300_000).fill(''), Array(300_000).fill(1), []])
      t.match(
        await call('POST', '/entities/thing:bounds/revert', { to: 1, properties: names }),
        problem(400, 'invalid_body'),
      );
  });

  await t.test('every write may say who and why', async (t) => {
    const url = '/entities/thing:who';
    const by = (actor: string) => ({ activity: { actor } });
    await call('PUT', url, { ...state({ a: 1 }), ...by('create') });
    await call('PUT', url, { ...state({ a: 2 }), ...by('put') });
    await call('PATCH', url, { properties: { a: 3 }, ...by('patch') });
    await call('POST', `${url}/revert`, { to: 1, ...by('revert') });
    await call('DELETE', url);
    await call('POST', `${url}/restore`, by('restore'));
    const { body } = await call('GET', `${url}/history`);
    t.same(
      list(body.items).map((item) => (object(item).activity === null ? null : object(object(item).activity).actor)),
      ['create', 'put', 'patch', 'revert', null, 'restore'],
    );
  });

  await t.test('a body that may be left out may be left out in every way', async (t) => {
    await call('PUT', '/entities/thing:bare', state({ a: 1 }));
    const typed = { 'content-type': 'application/json' };
    for (const headers of [{}, typed, { ...typed, 'content-length': '0' }, { 'content-type': 'text/plain' }]) {
      const says = JSON.stringify(headers);
      t.equal((await call('DELETE', '/entities/thing:bare', undefined, headers)).status, 204, says);
      t.equal((await call('POST', '/entities/thing:bare/restore', undefined, headers)).status, 200, says);
      t.equal((await call('POST', '/entities/thing:bare/restore', '', headers)).status, 200, says);
    }
    for (const body of ['null', '{}', '[]', '{', 'x']) {
      const answer = await call('DELETE', '/entities/thing:bare', body, typed);
      t.match(answer, problem(400, 'invalid_body'), `DELETE takes no body: ${body}`);
    }
    t.match(await call('POST', '/entities/thing:bare/restore', 'null'), problem(400, 'invalid_body'));
  });

  await t.test('Prefer is read as RFC 7240 has it', async (t) => {
    await call('PUT', '/entities/thing:prefer', state({ a: 1 }));
    const cases: [prefer: string, status: number][] = [
      ['return=minimal', 204],
      ['Return = "minimal"', 204],
      ['respond-async, wait=10; foo="a,b", return=minimal; bar', 204],
      ['return=representation', 200],
      ['return=representation, return=minimal', 200],
      ['return=minimal, return=representation', 204],
      ['foo="x, return=minimal"', 200],
      ['noreturn=minimal', 200],
      ['return=minimalist', 200],
      ['return', 200],
      ['', 200],
    ];
    for (const [prefer, status] of cases)
      t.equal((await call('PATCH', '/entities/thing:prefer', { properties: {} }, { prefer })).status, status, prefer);
    t.equal(cases.length, 11);
  });

  await t.test('a dry run answers what would be written, and writes nothing', async (t) => {
    const url = '/entities/thing:dry';
    await call('PUT', url, state({ a: 1, b: null, long: 'x'.repeat(20_000) }));
    await call('PATCH', url, { properties: { b: 2 } });
    const activity = { activity: { actor: 'nobody' } };
    const cases: [
      name: string,
      Method,
      string,
      Json | undefined,
      expected: JsonObject,
      headers?: Record<string, string>,
    ][] = [
      [
        'create',
        'POST',
        '/entities',
        { ...state({ n: null }), ...activity },
        { op: 'created', changes: { n: { to: null } }, entity: { tick: 1, properties: { n: null } } },
      ],
      [
        'put anew',
        'PUT',
        '/entities/thing:dry2',
        state({ n: 1 }),
        { op: 'created', changes: { n: { to: 1 } }, entity: { key: 'dry2', tick: 1 } },
      ],
      [
        'put',
        'PUT',
        url,
        state({ a: 2 }),
        {
          op: 'updated',
          changes: { a: { from: 1, to: 2 }, b: { from: 2 }, long: {} },
          entity: { tick: 3, properties: { a: 2 } },
        },
      ],
      [
        'patch',
        'PATCH',
        url,
        { properties: { a: null }, ...activity },
        { op: 'updated', changes: { a: { from: 1 } }, entity: { tick: 3, properties: { b: 2 } } },
      ],
      [
        'JSON Patch',
        'PATCH',
        url,
        [{ op: 'copy', from: '/properties/a', path: '/properties/c' }],
        { op: 'updated', changes: { c: { to: 1 } }, entity: { tick: 3 } },
        JSON_PATCH,
      ],
      ['nothing', 'PATCH', url, { properties: { a: 1 } }, { op: null, changes: {}, entity: { tick: 2 } }],
      [
        'delete',
        'DELETE',
        url,
        undefined,
        {
          op: 'deleted',
          changes: { a: { from: 1 }, b: { from: 2 }, long: {} },
          entity: { tick: 3, deleted: true, properties: {} },
        },
      ],
      [
        'revert',
        'POST',
        `${url}/revert`,
        { to: 1 },
        { op: 'updated', changes: { b: { from: 2, to: null } }, entity: { tick: 3 } },
      ],
      ['restore', 'POST', `${url}/restore`, undefined, { op: null, changes: {}, entity: { tick: 2 } }],
    ];
    const before = await traces(sql);
    for (const [name, method, path, body, expected, headers] of cases) {
      const answer = await call(method, `${path}?dryRun=true`, body, headers);
      const { entity, ...preview } = expected;
      t.match(answer, { status: 200, body: { ...object(entity), preview } }, name);
      t.same(
        Object.keys(object(object(answer.body.preview).changes)),
        Object.keys(object(expected.changes)),
        `${name}: these and no other`,
      );
      t.equal(answer.headers.etag, undefined, 'a tag would name a tick that is not there');
    }
    const refusals: [Method, string, Json | undefined, Record<string, string>, number, string][] = [
      ['POST', '/entities', { type: 'thing', key: 'dry', properties: {} }, {}, 409, 'entity_exists'],
      ['PATCH', url, { properties: { a: 2 } }, { 'if-match': '"1"' }, 412, 'precondition_failed'],
      ['PATCH', url, { properties: { '': 2 } }, {}, 400, 'invalid_property_name'],
      ['DELETE', '/entities/thing:nobody', undefined, {}, 404, 'entity_not_found'],
    ];
    for (const [method, path, body, headers, status, code] of refusals)
      t.match(await call(method, `${path}?dryRun=true`, body, headers), problem(status, code), code);
    const tiny = JSON.parse(`[${'5e-324,'.repeat(30_000)}0]`);
    t.match(
      await call('PATCH', `${url}?dryRun=true`, { properties: { tiny } }),
      problem(413, 'entity_too_large'),
      'what only the database knows',
    );
    t.match(await call('PATCH', `${url}?dryRun=yes`, { properties: {} }), problem(400, 'invalid_parameter'));
    t.same(await traces(sql), before);
    const written = await call('PATCH', `${url}?dryRun=false`, { properties: { a: 2 } });
    t.equal(written.body.tick, 3, 'and the tick that was foretold is still free');
  });

  await t.test('A01–A02 a reservation changes its party three times; every tick shows all of it', async (t) => {
    const days = ['2015-04-01', '2015-04-02', '2015-04-03'];
    const made = await call('POST', '/entities', {
      type: 'reservation',
      properties: { name: 'Rhys', date: days[0] ?? '', time: '19:30', party: 10 },
    });
    const id = text(made.body.id);
    await call('PATCH', `/entities/${id}`, { properties: { date: days[1] ?? '', time: '20:00', party: 15 } });
    await call('PATCH', `/entities/${id}`, { properties: { date: days[2] ?? '', party: 11 } });
    const parties = [10, 15, 11];
    for (const [n, party] of parties.entries()) {
      const { body } = await call('GET', `/entities/${id}?asOf=${n + 1}`);
      t.match(body.properties, { name: 'Rhys', date: days[n], party, time: n === 0 ? '19:30' : '20:00' });
    }
    t.same(await ranges(call, id, 'name'), ['"Rhys"@[1,)']);
  });
});

t.test('a service that wants conditions refuses a change without one', async (t) => {
  const { call } = await testService(t, { requireCondition: true });
  const put = (properties: JsonObject, headers: Record<string, string>) =>
    call('PUT', '/entities/thing:one', { type: 'thing', properties }, headers);
  t.match(await put({ a: 1 }, {}), { status: 428, body: { code: 'precondition_required' } });
  t.match(await put({ a: 1 }, { 'if-none-match': '*' }), { status: 201 });
  t.match(await put({ a: 2 }, { 'if-match': '"1"' }), { status: 200 });
  const unconditional: [Method, string, Json | undefined][] = [
    ['PATCH', '', { properties: { a: 3 } }],
    ['DELETE', '', undefined],
    ['POST', '/restore', undefined],
    ['POST', '/revert', { to: 1 }],
  ];
  const unseen: Record<string, string>[] = [{}, { 'if-match': '*' }, { 'if-none-match': '"7"' }];
  for (const [method, action, body] of unconditional) {
    for (const headers of unseen) {
      const answer = await call(method, `/entities/thing:one${action}`, body, headers);
      t.match(answer, { status: 428, body: { code: 'precondition_required' } }, `${method} ${action}`);
    }
  }
  t.match(
    await call('POST', '/entities', { type: 'thing', properties: {} }),
    { status: 201 },
    'a create overwrites nothing',
  );
  t.match(await call('GET', '/entities/thing:one'), { status: 200, body: { tick: 2 } });
});
