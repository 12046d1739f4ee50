import t from 'tap';
import { idOfKey } from '../../src/temporal/identity.js';
import { list, object, ranges, testService, text } from '../helper/service.js';

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
             (SELECT count(*) FROM clocktick.property_history) AS ranges`;
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
