import t from 'tap';
import { idOfKey } from '../../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import { JSON_PATCH, list, MINIMAL, object, problem, ranges, state, testService, text } from '../../helper/service.js';

t.test('entities', async (t) => {
  const { call, sql } = await testService(t);
  const create = async (properties: Record<string, unknown>) => {
    const made = await call('POST', '/entities', JSON.stringify({ type: 'thing', properties }));
    t.equal(made.status, 201);
    return text(made.body.id);
  };
  const patch = (id: string, properties: Record<string, unknown>, headers = {}) =>
    call('PATCH', `/entities/${id}`, JSON.stringify({ properties }), headers);

  await t.test('T01 a create is tick 1 and opens a range for each property', async (t) => {
    const made = await call('POST', '/entities', { type: 'thing', properties: { a: 1, b: 'foo' } });
    t.equal(made.status, 201);
    t.equal(made.headers.etag, '"1"');
    t.equal(made.headers.location, `/entities/${made.body.id}`);
    t.match(made.body, { type: 'thing', tick: 1, deleted: false, properties: { a: 1, b: 'foo' } });
    t.notOk('key' in made.body);
    t.equal(made.body.createdAt, made.body.updatedAt);
    const id = text(made.body.id);
    t.same(await ranges(call, id, 'a'), ['1@[1,)']);
    t.same(await ranges(call, id, 'b'), ['"foo"@[1,)']);
    const read = await call('GET', `/entities/${id}`);
    t.equal(read.text, made.text, 'what was answered is what is read');
  });

  await t.test('T02 a property that is not set is left out, and never set is not null', async (t) => {
    const id = await create({});
    const read = await call('GET', `/entities/${id}`);
    t.same(read.body.properties, {});
    t.equal(read.body.tick, 1);
    const never = await call('GET', `/entities/${id}/history/description`);
    t.equal(never.status, 404, 'an open type declares nothing, so nothing tells this name from a misspelt one');
    t.equal(never.body.code, 'property_not_found');
  });

  await t.test('histories of one property', async (t) => {
    const cases: [name: string, first: Record<string, unknown>, patches: Record<string, unknown>[], hist: string[]][] =
      [
        ['T03 set to null', { p: null }, [], ['null@[1,)']],
        ['T04 set later', {}, [{ p: 'R1' }], ['"R1"@[2,)']],
        ['T05 from null to a value', { p: null }, [{ p: 'R1' }], ['null@[1,2)', '"R1"@[2,)']],
        ['T06 from a value to another', { p: 'R1' }, [{ p: 'R2' }], ['"R1"@[1,2)', '"R2"@[2,)']],
        ['T10 untouched', { p: 'foo', a: 1 }, [{ a: 2 }], ['"foo"@[1,)']],
        ['removed', { p: 1 }, [{ p: null }], ['1@[1,2)']],
        ['removed and set again leaves a gap', { p: 1 }, [{ p: null }, { q: 1 }, { p: 1 }], ['1@[1,2)', '1@[4,)']],
        [
          'objects merge',
          { p: { x: 1, y: 1 } },
          [{ p: { y: null, z: 2 } }],
          ['{"x":1,"y":1}@[1,2)', '{"x":1,"z":2}@[2,)'],
        ],
      ];
    for (const [name, first, patches, hist] of cases) {
      const id = await create(first);
      for (const properties of patches) t.equal((await patch(id, properties)).status, 200);
      t.same(await ranges(call, id, 'p'), hist, name);
    }
  });

  await t.test('T06 the ranges touch and do not overlap, in ticks and in instants', async (t) => {
    const id = await create({ rel: 'R1' });
    await patch(id, { rel: 'R2' });
    const { body } = await call('GET', `/entities/${id}/history/rel`);
    const [first, second] = list(body.items).map((item) => object(object(item).effective));
    t.equal(first?.to, second?.from);
    t.equal(second?.to, null);
    t.ok(text(first?.from) < text(first?.to));
  });

  await t.test('T07 six properties of six JSON types at once are one tick', async (t) => {
    const before = { a: 1, b: 'x', c: true, d: null, e: [1], f: { g: 1 } };
    const after = { a: 'one', b: 2, c: [true], d: { n: 1 }, e: false, f: 1.5 };
    const id = await create(before);
    const patched = await patch(id, after);
    t.equal(patched.body.tick, 2);
    for (const name of Object.keys(before)) {
      const hist = await ranges(call, id, name);
      t.equal(hist.length, 2, name);
      t.match(hist[1], /@\[2,\)$/);
    }
  });

  await t.test('T09 every tick keeps every value', async (t) => {
    const id = await create({ a: 1, b: 'foo' });
    await patch(id, { a: 2, b: 'bar' });
    await patch(id, { a: 3, b: 'foobar' });
    t.same(await ranges(call, id, 'a'), ['1@[1,2)', '2@[2,3)', '3@[3,)']);
    t.same(await ranges(call, id, 'b'), ['"foo"@[1,2)', '"bar"@[2,3)', '"foobar"@[3,)']);
    const { body } = await call('GET', `/entities/${id}/history`);
    t.same(
      list(body.items).map((item) => object(item).tick),
      [1, 2, 3],
    );
  });

  await t.test('T11 a write that changes nothing leaves no trace', async (t) => {
    const id = await create({ a: { x: 1, y: [1, 2] }, n: 1, z: 0 });
    const counts = () => sql`
      SELECT (SELECT count(*) FROM clocktick.tick) AS ticks, (SELECT count(*) FROM clocktick.activity) AS activities,
             (SELECT count(*) FROM clocktick.property_range) AS ranges`;
    const [before] = await counts();
    const same: [string, string][] = [
      ['equal values', '{"properties": {"n": 1}}'],
      ['members in another order', '{"properties": {"a": {"y": [1, 2], "x": 1}}}'],
      ['1.0 for 1', '{"properties": {"n": 1.0}}'],
      ['-0 for 0', '{"properties": {"z": -0}}'],
      ['removing what is not set', '{"properties": {"never": null}}'],
      ['nothing at all', '{"properties": {}}'],
      ['with an activity', '{"properties": {"n": 1}, "activity": {"actor": "nobody"}}'],
    ];
    for (const [name, body] of same) {
      const answer = await call('PATCH', `/entities/${id}`, body);
      t.equal(answer.status, 200, name);
      t.equal(answer.headers.etag, '"1"', name);
    }
    const [after] = await counts();
    t.same(after, before);
  });

  await t.test('T14 createdAt stays, updatedAt is the instant of the last tick', async (t) => {
    const id = await create({ a: 1 });
    const first = await call('GET', `/entities/${id}`);
    const second = await patch(id, { a: 2 });
    t.equal(second.body.createdAt, first.body.createdAt);
    t.ok(text(second.body.updatedAt) > text(first.body.updatedAt));
    const { body } = await call('GET', `/entities/${id}/history`);
    t.same(
      list(body.items).map((item) => object(item).at),
      [first.body.updatedAt, second.body.updatedAt],
    );
  });

  await t.test('T39 names that are data', async (t) => {
    const names = [
      'vclock',
      'id',
      'tick',
      'effective',
      '__proto__',
      'constructor',
      'a/b',
      '😀',
      "it's",
      '?x=1',
      '%',
      '"',
      ' ',
      'toString',
    ];
    const properties = Object.fromEntries(names.map((name, n) => [name, { n, ['__proto__']: n }]));
    const made = await call('POST', '/entities', JSON.stringify({ type: 'thing', key: 'nasty', properties }));
    t.equal(made.status, 201);
    const id = text(made.body.id);
    for (const [n, name] of names.entries()) {
      t.same(
        Object.getOwnPropertyDescriptor(object(made.body.properties), name)?.value,
        Object.fromEntries([
          ['n', n],
          ['__proto__', n],
        ]),
        name,
      );
      const changed = await call(
        'PATCH',
        `/entities/${id}`,
        `{"properties": {${JSON.stringify(name)}: {"__proto__": "new"}}}`,
      );
      t.equal(changed.body.tick, n + 2, name);
      t.same(
        await ranges(call, id, name),
        [`{"n":${n},"__proto__":${n}}@[1,${n + 2})`, `{"n":${n},"__proto__":"new"}@[${n + 2},)`],
        name,
      );
    }
    for (const name of names) {
      const removed = await call('PATCH', `/entities/${id}`, `{"properties": {${JSON.stringify(name)}: null}}`);
      t.notOk(Object.hasOwn(object(removed.body.properties), name), name);
    }
    t.same((await call('GET', `/entities/${id}?asOf=1`)).text, made.text, 'and the past still has them all');
  });

  await t.test('keys are addresses, whatever they hold', async (t) => {
    for (const key of [
      'plain',
      'a/b',
      'ünï',
      '😀',
      "it's",
      'a:b:c',
      ' ',
      '%2F',
      '..',
      '?x=1#y',
      '__proto__',
      'k'.repeat(512),
      '😀'.repeat(512),
    ]) {
      const made = await call('POST', '/entities', { type: 'place', key, properties: { key } });
      t.equal(made.status, 201, key.slice(0, 20));
      t.equal(made.body.id, idOfKey('place', key));
      const read = await call('GET', `/entities/${encodeURIComponent(`place:${key}`)}`);
      t.equal(read.text, made.text, key.slice(0, 20));
      t.equal((await call('GET', `/entities/place:${encodeURIComponent(key)}`)).text, made.text);
      t.equal((await call('GET', `/entities/${text(made.body.id).toUpperCase()}`)).text, made.text);
    }
    const again = await call('POST', '/entities', { type: 'place', key: 'plain', properties: { other: 1 } });
    t.equal(again.status, 409);
    t.match(again.body, { code: 'entity_exists', id: idOfKey('place', 'plain'), tick: 1 });
  });

  await t.test('who and why stand with each tick', async (t) => {
    const activity = { actor: 'monica', reason: 'moved', metadata: { ticket: null, n: [1, 2] } };
    const made = await call('POST', '/entities', { type: 'thing', properties: { a: 1 }, activity });
    const id = text(made.body.id);
    await call('PATCH', `/entities/${id}`, { properties: { a: 2 }, activity: { reason: 'moved on' } });
    await call('PATCH', `/entities/${id}`, { properties: { a: 3 } });
    const { body } = await call('GET', `/entities/${id}/history`);
    const activities = list(body.items).map((item) => object(item).activity);
    t.match(activities[0], activity);
    t.match(activities[1], { reason: 'moved on' });
    t.notOk('actor' in object(activities[1]));
    t.equal(activities[2], null);
    const { body: hist } = await call('GET', `/entities/${id}/history/a`);
    t.same(
      list(hist.items).map((item) => object(item).activity),
      activities,
    );
  });

  await t.test('A03 a deleted entity is gone, and its history stays', async (t) => {
    const made = await call('POST', '/entities', { type: 'place', key: 'gone', properties: { a: 1, b: null } });
    const id = text(made.body.id);
    t.equal((await call('DELETE', `/entities/${id}`, undefined, { 'if-match': '"7"' })).status, 412);
    const deleted = await call('DELETE', '/entities/place:gone');
    t.match(deleted, { status: 204, text: '', headers: { etag: '"2"' } });
    const gone = { status: 410, body: { code: 'entity_deleted', tick: 2 } };
    t.match(await call('GET', `/entities/${id}`), gone);
    t.match(await call('PATCH', `/entities/${id}`, { properties: { a: 2 } }), gone);
    t.match(await call('GET', `/entities/${id}?asOf=2`), gone);
    t.equal((await call('GET', `/entities/${id}?asOf=1`)).text, made.text);
    t.match(await call('DELETE', `/entities/${id}`), { status: 204, headers: { etag: '"2"' } }, 'again: no tick');
    t.match(await call('DELETE', `/entities/${id}`, undefined, { 'if-match': '"1"' }), { status: 412 });
    t.match(await call('DELETE', '/entities/place:nowhere'), { status: 404, body: { code: 'entity_not_found' } });
    t.same(await ranges(call, id, 'a'), ['1@[1,2)']);
    t.same(await ranges(call, id, 'b'), ['null@[1,2)']);
    const ticks = list((await call('GET', `/entities/${id}/history`)).body.items).map(object);
    t.same(
      ticks.map((tick) => [tick.op, tick.changes]),
      [
        ['created', { a: { to: 1 }, b: { to: null } }],
        ['deleted', { a: { from: 1 }, b: { from: null } }],
      ],
    );
  });

  await t.test('A24 create after delete: a new id, but with the key the same entity, revived', async (t) => {
    const first = await create({ a: 1 });
    await call('DELETE', `/entities/${first}`);
    t.not(await create({ a: 1 }), first);
    const gone = await call('POST', '/entities', {
      type: 'place',
      key: 'gone',
      properties: { a: 3 },
      activity: { reason: 'back' },
    });
    t.match(gone, {
      status: 201,
      body: { id: idOfKey('place', 'gone'), tick: 3, deleted: false, properties: { a: 3 } },
    });
    t.same(await ranges(call, text(gone.body.id), 'a'), ['1@[1,2)', '3@[3,)']);
    const last = object(list((await call('GET', '/entities/place:gone/history?order=desc&limit=1')).body.items)[0]);
    t.match(last, { tick: 3, op: 'restored', activity: { reason: 'back' } });
    t.match(await call('GET', '/entities/place:gone?asOf=2'), { status: 410 });
  });

  await t.test('A04–A06 nulls are values, not a delete', async (t) => {
    const id = await create({ a: null, b: null });
    t.match((await call('GET', `/entities/${id}`)).body, { deleted: false, properties: { a: null, b: null } });
    t.match((await patch(id, { a: 1, b: 2 })).body, { deleted: false, properties: { a: 1, b: 2 } });
    t.match(
      (await patch(id, { a: null, b: null })).body,
      { deleted: false, tick: 3, properties: {} },
      'a patch removes by null',
    );
  });

  await t.test('values come back exactly', async (t) => {
    const values = [
      null,
      true,
      false,
      0,
      -1,
      1.5,
      0.1,
      1e21,
      1e-7,
      5e-324,
      1.7976931348623157e308,
      9007199254740991,
      '',
      '\u0001\u2028',
      '\\',
      '"',
      'x'.repeat(10_000),
      [],
      {},
      [[[]]],
      { '': { '': 1 } },
      [null, { a: null }],
    ];
    const id = await create({ values });
    t.same(object((await call('GET', `/entities/${id}`)).body.properties).values, values);
    await patch(id, { values: 0 });
    t.same(object((await call('GET', `/entities/${id}?asOf=1`)).body.properties).values, values);
  });
});

t.test('reads of entities', async (t) => {
  const { call } = await testService(t);

  await t.test('reads answer 304 to who has the state, and HEAD as GET without its body', async (t) => {
    const made = await call('PUT', '/entities/thing:conditional', state({ a: 1, b: 2 }));
    await call('PATCH', '/entities/thing:conditional', { properties: { a: 2 } });
    const url = '/entities/thing:conditional';
    const cases: [url: string, etag: string, headers: Record<string, string>, status: number][] = [
      [url, '"2"', {}, 200],
      [url, '"2"', { 'if-none-match': '"2"' }, 304],
      [url, '"2"', { 'if-none-match': 'W/"2"' }, 304],
      [url, '"2"', { 'if-none-match': '*' }, 304],
      [url, '"2"', { 'if-none-match': '"1", "x", "2"' }, 304],
      [url, '"2"', { 'if-none-match': '"1"' }, 200],
      [`${url}?asOf=1`, '"1"', { 'if-none-match': '"1"' }, 304],
      [`${url}?asOf=1`, '"1"', { 'if-none-match': '"2"' }, 200],
      [`${url}?asOf=${made.body.updatedAt}`, '"1"', { 'if-none-match': '"1"' }, 304],
      [`${url}/diff?from=1`, '"1-2"', { 'if-none-match': '"1-2"' }, 304],
    ];
    for (const [url, etag, headers, status] of cases) {
      for (const method of ['GET', 'HEAD'] as const) {
        const answer = await call(method, url, undefined, headers);
        t.match(answer, { status, headers: { etag } }, `${method} ${url} ${JSON.stringify(headers)}`);
        t.equal(answer.text === '', status === 304 || method === 'HEAD');
      }
    }
    const pinned = await call('GET', `${url}?asOf=${made.body.updatedAt}`);
    t.equal(pinned.headers['content-location'], `/entities/${made.body.id}?asOf=1`);
    const { headers } = await call('HEAD', url);
    t.equal(headers['content-length'], String(Buffer.byteLength((await call('GET', url)).text)));
    t.match(await call('GET', url, undefined, { 'if-none-match': '2' }), problem(400, 'invalid_condition'));
    t.match(await call('HEAD', '/entities/thing:nowhere'), { status: 404, text: '' });
  });

  await t.test('fields choose properties, now, then and of many', async (t) => {
    const names = { a: 1, 'b,c': 2, 'd\\': 3, ['__proto__']: 4, constructor: 5, '😀': null };
    await call('PUT', '/entities/thing:fields', JSON.stringify(state(Object.fromEntries(Object.entries(names)))));
    await call('PATCH', '/entities/thing:fields', { properties: { a: 9, 'b,c': null } });
    const cases: [query: string, now: [string, Json][], then: [string, Json][]][] = [
      ['fields=a', [['a', 9]], [['a', 1]]],
      [
        'fields=a,constructor',
        [
          ['a', 9],
          ['constructor', 5],
        ],
        [
          ['a', 1],
          ['constructor', 5],
        ],
      ],
      [
        'fields=a&fields=constructor',
        [
          ['a', 9],
          ['constructor', 5],
        ],
        [
          ['a', 1],
          ['constructor', 5],
        ],
      ],
      ['fields=b%2Cc', [], [['b,c', 2]]],
      ['fields=b,c', [], []],
      [
        'fields=d%5C,a',
        [
          ['a', 9],
          ['d\\', 3],
        ],
        [
          ['a', 1],
          ['d\\', 3],
        ],
      ],
      ['fields=__proto__', [['__proto__', 4]], [['__proto__', 4]]],
      ['fields=%F0%9F%98%80,%F0%9F%98%80', [['😀', null]], [['😀', null]]],
      ['fields=never', [], []],
    ];
    for (const [query, now, then] of cases) {
      const answers = await Promise.all(
        ['thing:fields?', 'thing:fields?asOf=1&', '?ids=thing:fields&'].map((at) =>
          call('GET', `/entities${at.startsWith('?') ? '' : '/'}${at}${query}`),
        ),
      );
      const [one, past, many] = answers.map((answer) => answer.body);
      const held = (body: JsonObject | undefined) => Object.entries(object(body?.properties)).toSorted();
      t.same(held(one), now.toSorted(), query);
      t.same(held(past), then.toSorted(), `${query} then`);
      t.same(held(object(list(many?.items)[0])), now.toSorted(), `${query} of many`);
    }
    const bad = ['fields=', 'fields=a,', 'fields=..', `fields=${'x'.repeat(257)}`, 'fields=%00'];
    for (const query of bad)
      t.match(await call('GET', `/entities/thing:fields?${query}`), problem(400, 'invalid_property_name'), query);
  });

  await t.test('many entities by their ids, in the order asked for, with what is missing', async (t) => {
    const keys = ['one', 'a,b', '😀'];
    const ids: string[] = [];
    for (const key of keys) {
      const made = await call('POST', '/entities', { type: 'many', key, properties: { key } });
      ids.push(text(made.body.id));
    }
    const before = text((await call('GET', `/entities/${ids[2]}`)).body.updatedAt);
    await call('PATCH', '/entities/many:one', { properties: { key: 'changed' } });
    await call('DELETE', `/entities/${ids[2]}`);
    const url = `/entities?ids=${ids[1]}&ids=many:one,many:nobody,${ids[2]}`;
    const { body, headers } = await call('GET', url);
    t.match(body, {
      items: [{ key: 'a,b' }, { key: 'one', tick: 2 }],
      missing: [
        { id: 'many:nobody', code: 'entity_not_found' },
        { id: ids[2], code: 'entity_deleted' },
      ],
    });
    t.equal(list(body.items).length, 2);
    t.equal(JSON.stringify(list(body.items)[1]), JSON.stringify((await call('GET', '/entities/many:one')).body));
    const escaped = await call('GET', `/entities?ids=${encodeURIComponent('many:a,b')},many:one,many:one`);
    t.same(
      list(escaped.body.items).map((item) => object(item).key),
      ['a,b', 'one'],
      'each once',
    );
    t.match(await call('GET', url, undefined, { 'if-none-match': text(headers.etag) }), { status: 304, text: '' });
    const past = await call('GET', `${url}&asOf=${before}`);
    t.match(past.body, { items: [{ key: 'a,b' }, { key: 'one', tick: 1 }, { key: '😀' }], missing: [{}] });
    t.not(past.headers.etag, headers.etag);
    await call('PATCH', '/entities/many:one', { properties: { key: 'again' } });
    t.match(await call('GET', url, undefined, { 'if-none-match': text(headers.etag) }), { status: 200 });
    t.equal((await call('GET', `${url}&asOf=${before}`)).text, past.text);
    const refused: [query: string, code: string, path: string][] = [
      ['?ids=', 'invalid_id', 'ids'],
      ['?ids=many:one,', 'invalid_id', 'ids'],
      ['?ids=many:one,nonsense', 'invalid_id', 'ids'],
      ['?ids=many:one&asOf=1', 'invalid_as_of', 'asOf'],
      ['?ids=many:one&asOf=2999-01-01T00:00:00Z', 'as_of_in_future', ''],
      [`?ids=${Array(101).fill('many:one').join(',')}`, 'invalid_parameter', 'ids'],
      ['?ids=many:one&x=1', 'unknown_parameter', 'x'],
    ];
    for (const [query, code, path] of refused) {
      const answer = await call('GET', `/entities${query}`);
      t.match(answer, problem(400, code), query.slice(0, 60));
      if (path !== '') t.match(answer.body, { errors: [{ path }] }, query.slice(0, 60));
    }
    t.equal((await call('GET', `/entities?ids=${Array(100).fill('many:one').join(',')}`)).status, 200);
  });

  await t.test('an answer about many has room for 16 MiB; what is beyond is named, to be asked again', async (t) => {
    const large = 'x'.repeat(1_000_000);
    const copies = Array.from({ length: 6 }, (_, n) => ({
      op: 'copy',
      from: '/properties/a',
      path: `/properties/a${n}`,
    }));
    for (const key of ['first', 'second', 'third']) {
      await call('PUT', `/entities/large:${key}`, { type: 'large', properties: { a: large, key } });
      t.equal((await call('PATCH', `/entities/large:${key}`, copies, { ...JSON_PATCH, ...MINIMAL })).status, 204);
    }
    const url = '/entities?ids=large:third,large:first,large:second,large:third';
    const { body } = await call('GET', url);
    t.same(
      list(body.items).map((item) => object(item).key),
      ['third', 'first'],
    );
    t.same(body.missing, [{ id: 'large:second', code: 'answer_full' }]);
    const { body: chosen } = await call('GET', `${url}&fields=key`);
    t.equal(list(chosen.items).length, 3, 'properties that are not asked for take no room');
    const past = await call('GET', `${url}&asOf=${text((await call('GET', '/entities/large:third')).body.updatedAt)}`);
    t.same(past.body.missing, [{ id: 'large:second', code: 'answer_full' }]);
  });

  await t.test('a list’s tag is over all it shows, what is missing included', async (t) => {
    const url = '/entities?ids=many:one,many:a%2Cb,many:unborn';
    const tags = new Set([(await call('GET', url)).headers.etag]);
    await call('POST', '/entities', { type: 'many', key: 'unborn', properties: {} });
    tags.add((await call('GET', url)).headers.etag);
    await call('DELETE', '/entities/many:unborn');
    tags.add((await call('GET', url)).headers.etag);
    await call('PATCH', `/entities/${encodeURIComponent('many:a,b')}`, { properties: { n: 1 } });
    tags.add((await call('GET', url)).headers.etag);
    t.equal(tags.size, 4);
  });

  await t.test('a diff is what differs, in either direction', async (t) => {
    const url = '/entities/thing:diff';
    const first = await call('PUT', url, state({ a: 1, b: null, same: { x: [1] } }));
    await call('PUT', url, state({ a: 2, c: null, same: { x: [2] } }));
    const third = await call('PUT', url, state({ a: 1, c: 3, same: { x: [1] } }));
    await call('DELETE', url);
    await call('POST', `${url}/restore`);
    const [at1, at3] = [first.headers['tick-at'], third.headers['tick-at']];
    const cases: [query: string, from: JsonObject, to: JsonObject, changes: JsonObject][] = [
      ['from=1&to=3', { tick: 1, at: at1 ?? '' }, { tick: 3, at: at3 ?? '' }, { b: { from: null }, c: { to: 3 } }],
      ['from=3&to=1', { tick: 3 }, { tick: 1 }, { b: { to: null }, c: { from: 3 } }],
      [`from=${at1}&to=${at3}`, { tick: 1 }, { tick: 3 }, { b: { from: null }, c: { to: 3 } }],
      [
        'from=2&to=3',
        { tick: 2 },
        { tick: 3 },
        { a: { from: 2, to: 1 }, c: { from: null, to: 3 }, same: { from: { x: [2] }, to: { x: [1] } } },
      ],
      ['from=1&to=1', { tick: 1 }, { tick: 1 }, {}],
      ['from=3', { tick: 3 }, { tick: 5 }, {}],
      [
        'from=3&to=4',
        { tick: 3 },
        { tick: 4, deleted: true },
        { a: { from: 1 }, c: { from: 3 }, same: { from: { x: [1] } } },
      ],
      [
        'from=4&to=5',
        { tick: 4, deleted: true },
        { tick: 5 },
        { a: { to: 1 }, c: { to: 3 }, same: { to: { x: [1] } } },
      ],
    ];
    for (const [query, from, to, changes] of cases) {
      const { status, body } = await call('GET', `${url}/diff?${query}`);
      t.equal(status, 200, query);
      t.match(body, { from, to }, query);
      t.equal(Object.hasOwn(object(body.to), 'deleted'), 'deleted' in to);
      t.same(body.changes, changes, query);
    }
    const refused: [query: string, status: number, code: string][] = [
      ['', 400, 'invalid_parameter'],
      ['to=1', 400, 'invalid_parameter'],
      ['from=0', 400, 'invalid_as_of'],
      ['from=1&to=x', 400, 'invalid_as_of'],
      ['from=9', 404, 'tick_not_found'],
      ['from=1&to=9', 404, 'tick_not_found'],
      ['from=2000-01-01T00:00:00Z', 404, 'entity_not_found'],
      ['from=1&to=2999-01-01T00:00:00Z', 400, 'as_of_in_future'],
      ['from=2999-01-01T00:00:00Z&to=1', 400, 'as_of_in_future'],
      ['from=1&asOf=1', 400, 'unknown_parameter'],
    ];
    for (const [query, status, code] of refused)
      t.match(await call('GET', `${url}/diff?${query}`), problem(status, code), query);
    t.match(await call('GET', '/entities/thing:nobody/diff?from=1'), problem(404, 'entity_not_found'));
  });
});
