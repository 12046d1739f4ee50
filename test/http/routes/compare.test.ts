import t, { type Test } from 'tap';
import { idOfKey } from '../../../src/temporal/identity.js';
import { isObject, type Json, type JsonObject, jsonEqual } from '../../../src/temporal/json.js';
import { applyJsonPatch, operationsOf } from '../../../src/temporal/json-patch.js';
import { importTicks } from '../../helper/imported.js';
import {
  type Call,
  INSTANT,
  JSON_PATCH,
  list,
  object,
  problem,
  state,
  testService,
  text,
} from '../../helper/service.js';

const IMMUTABLE = 'max-age=31536000, immutable';

/** The properties of a comparison at one of its moments. */
const propertiesAt = (compared: JsonObject, n: number): JsonObject =>
  Object.fromEntries(
    Object.entries(object(compared.properties)).flatMap(([name, values]) => {
      const then = object(list(values)[n]);
      return Object.hasOwn(then, 'value') && then.value !== undefined ? [[name, then.value]] : [];
    }),
  );

/** What a comparison says of a moment must be what the read as of it answers: nothing, of a deleted one or one before the first. */
async function isAsOf(t: Test, call: Call, id: string, compared: JsonObject, n: number, asOf: string | undefined) {
  const moment = object(list(compared.moments)[n]);
  const answer = await call('GET', `/entities/${id}${asOf === undefined ? '' : `?asOf=${asOf}`}`);
  const said = `${id} as of ${asOf ?? 'now'}`;
  if (answer.status === 200) {
    t.same(moment, { tick: answer.body.tick, at: answer.body.updatedAt }, said);
    t.same(propertiesAt(compared, n), answer.body.properties, said);
  } else if (answer.status === 410) {
    t.match(moment, { tick: answer.body.tick, at: INSTANT, deleted: true }, said);
    t.same(propertiesAt(compared, n), {}, said);
  } else {
    t.match(answer, problem(404, 'entity_not_found'));
    t.same(moment, { tick: null, at: null }, said);
    t.same(propertiesAt(compared, n), {}, said);
  }
}

t.test('several states of an entity, side by side', async (t) => {
  const { call, sql } = await testService(t);
  const url = '/entities/friend:rachel';
  const nasty = { __proto__x: 1, constructor: { a: 1 }, '😀': [1], 'a/b~': null };
  const first = { name: 'Rachel', location: 'New York', tags: ['a', 'b'], ...nasty };
  const made = await call('PUT', url, {
    type: 'friend',
    properties: { ...first, ...JSON.parse('{"__proto__": "data"}') },
  });
  const id = text(made.body.id);
  const before = '2001-01-01T00:00:00Z';
  const ats = [made.headers['tick-at'] ?? ''];
  const write = async (method: 'PATCH' | 'DELETE' | 'POST', path = '', body?: Json) => {
    const answer = await call(method, url + path, body);
    t.ok(answer.status < 300, answer.text);
    ats.push(answer.headers['tick-at'] ?? '');
  };
  await write('PATCH', '', { properties: { location: 'Oakland', tags: ['b', 'c'], name: null } });
  await write('PATCH', '', { properties: { location: null, age: 30 } });
  await write('DELETE');
  await write('POST', '/restore');
  await write('POST', '/revert', { to: 1 });
  await write('PATCH', '', { properties: { location: 'Tucson' } });
  t.equal(ats.length, 7);

  await t.test('each is what the read as of it is: in any order, twice, deleted, before the first, now', async (t) => {
    const moments = ['1', '2', '3', '4', '5', '6', '7', ...ats, before, 'now'];
    const asked = [
      ['1', '2', '3', '4', '5', '6', '7'],
      ['7', '4', '1', '4', '1', 'now', 'now'],
      ...moments.map((moment) => (moment === before ? [moment, '1'] : [moment])),
      [before, 'now', ...ats],
      [ats[5] ?? '', ats[3] ?? '', '2', before, ats[3] ?? '', 'now', '1'],
    ];
    for (const at of asked) {
      const answer = await call('GET', `${url}/compare?at=${at}`);
      t.match(answer, { status: 200 }, `${at}`);
      t.equal(list(answer.body.moments).length, at.length);
      for (const values of Object.values(object(answer.body.properties))) t.equal(list(values).length, at.length);
      for (const [n, moment] of at.entries())
        await isAsOf(t, call, id, answer.body, n, moment === 'now' ? undefined : moment);
      const repeated = await call('GET', `/entities/${id}/compare?${at.map((one) => `at=${one}`).join('&')}`);
      t.equal(repeated.text, answer.text, 'as one item each, and by UUID');
      const encoded = await call('GET', `${url}/compare?${new URLSearchParams({ at: at.join() })}`);
      t.equal(encoded.text, answer.text, 'as clients encode it');
    }
  });

  await t.test('what is the same at all moments can be left out, and all but some properties', async (t) => {
    const body = async (query: string) => (await call('GET', `${url}/compare?${query}`)).body;
    t.same(Object.keys(object((await body('at=1,2&only=differing')).properties)).toSorted(), [
      'location',
      'name',
      'tags',
    ]);
    t.same((await body('at=1,2&only=differing')).properties, {
      location: [{ value: 'New York' }, { value: 'Oakland' }],
      name: [{ value: 'Rachel' }, {}],
      tags: [{ value: ['a', 'b'] }, { value: ['b', 'c'] }],
    });
    t.same((await body('at=1,6&only=differing')).properties, {}, 'changed and changed back');
    t.same((await body('at=1,1&only=differing')).properties, {});
    t.same((await body('at=4&only=differing')).properties, {});
    t.equal(Object.keys(object((await body('at=1,4&only=differing')).properties)).length, 8, 'deleted: all');
    t.same((await body(`at=1,${before},1&only=differing&fields=name`)).properties, {
      name: [{ value: 'Rachel' }, {}, { value: 'Rachel' }],
    });
    t.same((await body('at=3,7&fields=location,age,never')).properties, {
      age: [{ value: 30 }, {}],
      location: [{}, { value: 'Tucson' }],
    });
    t.same(Object.keys(object((await body('at=1&fields=__proto__')).properties)), ['__proto__']);
  });

  await t.test('an answer has a tag of all its ticks, and is for ever where nothing can change it', async (t) => {
    const known = new Date().toISOString();
    const cases: [query: string, etag: string, cache: string][] = [
      ['at=1,2', '"1-2"', IMMUTABLE],
      ['at=2,1,2', '"2-1-2"', IMMUTABLE],
      ['at=1,now', '"1-7"', 'no-cache'],
      [`at=1,${ats[1]}`, '"1-2"', 'no-cache'],
      [`at=${before},${ats[1]}`, '"0-2"', 'no-cache'],
      [`at=${before},now&recordedAsOf=${known}`, '"0-7"', IMMUTABLE],
      [`at=now,1&recordedAsOf=${ats[2]}`, '"3-1"', IMMUTABLE],
      [`at=${ats[6]},1&recordedAsOf=${ats[2]}`, '"3-1"', IMMUTABLE],
    ];
    for (const [query, etag, cache] of cases) {
      const answer = await call('GET', `${url}/compare?${query}`);
      t.match(answer, { status: 200, headers: { etag, 'cache-control': cache } }, query);
      const again = await call('GET', `${url}/compare?${query}`, undefined, { 'if-none-match': etag });
      t.match(again, { status: 304, text: '' }, query);
      t.match(
        await call('GET', `${url}/compare?${query}`, undefined, { 'if-match': '"9"' }),
        problem(412, 'precondition_failed'),
      );
    }
  });

  await t.test('what cannot be compared', async (t) => {
    const cases: [path: string, status: number, code: string][] = [
      [`${url}/compare`, 400, 'invalid_parameter'],
      [`${url}/compare?at=`, 400, 'invalid_as_of'],
      [`${url}/compare?at=1,,2`, 400, 'invalid_as_of'],
      [`${url}/compare?at=1,NOW`, 400, 'invalid_as_of'],
      [`${url}/compare?at=0`, 400, 'invalid_as_of'],
      [`${url}/compare?at=1,2999-01-01T00:00:00Z`, 400, 'as_of_in_future'],
      [`${url}/compare?at=1,8`, 404, 'tick_not_found'],
      [`${url}/compare?at=now,99999999999999999999`, 404, 'tick_not_found'],
      [`${url}/compare?at=4&recordedAsOf=${ats[2]}`, 404, 'tick_not_found'],
      [`${url}/compare?at=1&recordedAsOf=${before}`, 404, 'entity_not_found'],
      [`${url}/compare?at=${before}`, 404, 'entity_not_found'],
      [`${url}/compare?at=${before},2002-01-01T00:00:00Z`, 404, 'entity_not_found'],
      ['/entities/friend:nobody/compare?at=1', 404, 'entity_not_found'],
      [`${url}/compare?at=${'1,'.repeat(10)}1`, 400, 'invalid_parameter'],
      [`${url}/compare?at=1&only=all`, 400, 'invalid_parameter'],
      [`${url}/compare?at=1&depth=1`, 400, 'invalid_parameter'],
      [`${url}/compare?at=1&asOf=1`, 400, 'unknown_parameter'],
      [`${url}/compare?at=1&fields=..`, 400, 'invalid_property_name'],
    ];
    for (const [path, status, code] of cases) t.match(await call('GET', path), problem(status, code), path);
    t.match(await call('GET', `${url}/compare?at=${'1,'.repeat(9)}1`), { status: 200 });
    const { body } = await call('GET', `${url}/compare?at=1,NOW`);
    t.match(body.detail, /^at names "NOW", which is not a tick .* or now\.$/, 'it says which of them');
  });

  await t.test('depth=full: patches from each state to the next, and back, which PATCH takes', async (t) => {
    const at = ['1', '2', '3', '4', '5', '6', 'now', '1', before];
    for (const more of ['', '&only=differing', '&fields=tags,location']) {
      const { body } = await call('GET', `${url}/compare?at=${at}&depth=full${more}`);
      const patches = list(body.patches);
      t.equal(patches.length, at.length - 1);
      for (const [n, patch] of patches.entries()) {
        const result = applyJsonPatch(propertiesAt(body, n), operationsOf(patch));
        t.ok(jsonEqual(result, propertiesAt(body, n + 1)), `${at[n]} to ${at[n + 1]}${more}`);
      }
      t.same(patches[0], [
        ...(more.startsWith('&fields') ? [] : [{ op: 'remove', path: '/properties/name' }]),
        { op: 'remove', path: '/properties/tags/0' },
        { op: 'add', path: '/properties/tags/1', value: 'c' },
        { op: 'replace', path: '/properties/location', value: 'Oakland' },
      ]);
    }
    t.same((await call('GET', `${url}/compare?at=2&depth=full`)).body.patches, []);
    for (const tick of ['2', '3', '1', '5', '6']) {
      const { body } = await call('GET', `${url}/compare?at=now,${tick}&depth=full`);
      const [patch = []] = list(body.patches);
      const patched = await call('PATCH', url, JSON.stringify(patch), JSON_PATCH);
      t.match(patched, { status: 200 }, patched.text);
      t.same(patched.body.properties, (await call('GET', `${url}?asOf=${tick}`)).body.properties, `back to ${tick}`);
    }
  });

  await t.test('the same of a diff and of a history', async (t) => {
    const latest = Number((await call('GET', url)).body.tick);
    for (const [from, to] of [
      [1, 2],
      [2, 1],
      [1, 4],
      [4, 6],
      [3, latest],
    ]) {
      const plain = await call('GET', `${url}/diff?from=${from}&to=${to}`);
      const full = await call('GET', `${url}/diff?from=${from}&to=${to}&depth=full`);
      const { patch, ...rest } = full.body;
      t.same(rest, plain.body);
      const { body } = await call('GET', `${url}/compare?at=${from},${to}`);
      const result = applyJsonPatch(propertiesAt(body, 0), operationsOf(list(patch)));
      t.ok(jsonEqual(result, propertiesAt(body, 1)), `${from} to ${to}`);
    }
    t.match(await call('GET', `${url}/diff?from=1&depth=all`), problem(400, 'invalid_parameter'));
    for (const more of ['', '&order=desc&limit=3', '&property=tags,location']) {
      const plain = list((await call('GET', `${url}/history?${more}`)).body.items);
      const full = list((await call('GET', `${url}/history?depth=full${more}`)).body.items).map(object);
      t.same(
        full.map(({ patch: _, ...rest }) => rest),
        plain,
      );
      for (const { tick, changes, patch } of full) {
        const side = (name: string): JsonObject =>
          Object.fromEntries(
            Object.entries(object(changes)).flatMap(([property, change]) =>
              isObject(change) && change[name] !== undefined ? [[property, change[name] ?? null]] : [],
            ),
          );
        const result = applyJsonPatch(side('from'), operationsOf(list(patch)));
        t.ok(jsonEqual(result, side('to')), `tick ${tick}${more}`);
      }
    }
  });

  await t.test('values whose names and contents are data', async (t) => {
    const odd = JSON.parse('{"__proto__": {"__proto__": [1]}, "constructor": {"toString": 1}, "toString": {"a": 1}}');
    await call('PUT', '/entities/thing:odd', state(odd));
    const other = JSON.parse('{"__proto__": {"__proto__": [0, 1]}, "constructor": {}, "hasOwnProperty": 1}');
    await call('PUT', '/entities/thing:odd', state(other));
    const { body } = await call('GET', '/entities/thing:odd/compare?at=1,2&depth=full');
    const [patch = []] = list(body.patches);
    t.ok(jsonEqual(applyJsonPatch(odd, operationsOf(patch)), other), JSON.stringify(patch));
  });

  await t.test('properties whose values are not kept are named where they are left out', async (t) => {
    await call('PUT', '/entities/note:one', { type: 'note', properties: { text: 'a', score: 1 } });
    await call('PUT', '/types/note', { schema: {}, untracked: ['score'] });
    await call('PATCH', '/entities/note:one', { properties: { text: 'b', score: 2 } });
    const { body } = await call('GET', '/entities/note:one/compare?at=1,now');
    t.same(body.properties, { text: [{ value: 'a' }, { value: 'b' }], score: [{ value: 1 }, {}] });
    t.match(body.moments, [{ tick: 1 }, { tick: 2, untracked: ['score'] }]);
    t.notOk(Object.hasOwn(object(list(body.moments)[0]), 'untracked'));
    const page = await call('GET', '/types/note/compare?at=now');
    t.match(object(list(page.body.items)[0]).moments, [{ tick: 2, untracked: ['score'] }]);
  });

  await t.test('an answer has bounds: the largest properties are left out, and it says which', async (t) => {
    const large = 'x'.repeat(3 * 2 ** 20);
    for (const n of [1, 2]) {
      const properties = { large: `${n}${large}`, huge: `${large}${'y'.repeat(2 ** 20)}${n}`, small: n };
      await call('PUT', '/entities/thing:large', state(properties));
    }
    const both = await call('GET', '/entities/thing:large/compare?at=1,2');
    t.same(Object.keys(object(both.body.properties)).length, 3, 'two states always have room');
    t.notOk(Object.hasOwn(both.body, 'truncated'));
    const whole = await call('GET', '/entities/thing:large/compare?at=1,2,now');
    t.match(whole, { status: 200, body: { truncated: ['huge'] } });
    t.same(Object.keys(object(whole.body.properties)).toSorted(), ['large', 'small']);
    const one = await call('GET', '/entities/thing:large/compare?at=1,2,now&fields=huge');
    t.same(Object.keys(object(one.body.properties)), ['huge']);
    const ten = await call('GET', `/entities/thing:large/compare?at=${'1,2,'.repeat(4)}1,2&only=differing&depth=full`);
    t.match(ten, { status: 200, body: { truncated: ['huge', 'large'] } });
    t.same(list(ten.body.patches)[0], [{ op: 'replace', path: '/properties/small', value: 2 }]);
    const page = await call('GET', '/types/thing/compare?at=now,now,now,now&limit=100');
    t.ok(page.text.length < 17 * 2 ** 20);
    const all = await walk(t, call, '/types/thing/compare?at=now,now,now', 5);
    t.match(all.find(({ key }) => key === 'large')?.truncated, ['huge']);
  });

  await t.test('what was imported since does not change what was known', async (t) => {
    const early = '2016-01-01T00:00:00.000000Z';
    const imported = idOfKey('friend', 'joey');
    const of = { id: imported, type: 'friend', key: 'joey' };
    await importTicks(sql, [{ ...of, at: early, op: 'created', set: { a: 1 } }]);
    const known = (await call('PUT', '/entities/thing:clock', state({ n: 1 }))).headers['tick-at'] ?? '';
    const question = `/entities/friend:joey/compare?at=${early},2017-01-01T00:00:00Z,now&recordedAsOf=${known}`;
    const told = await call('GET', question);
    t.match(told, { status: 200, body: { properties: { a: [{ value: 1 }, { value: 1 }, { value: 1 }] } } });
    await importTicks(sql, [{ ...of, at: '2016-06-01T00:00:00.000000Z', op: 'updated', set: { a: 2 } }]);
    t.equal((await call('GET', question)).text, told.text);
    t.match((await call('GET', question.replace(/&recorded.*/, ''))).body.properties, {
      a: [{ value: 1 }, { value: 2 }, { value: 2 }],
    });
  });
});

/** Follows `next` to the end. */
async function walk(t: Test, call: Call, url: string, limit: number): Promise<JsonObject[]> {
  const items: JsonObject[] = [];
  for (let path = `${url}&limit=${limit}`; ; ) {
    const page = await call('GET', path);
    t.match(page, { status: 200 }, page.text.slice(0, 1_000));
    items.push(...list(page.body.items).map(object));
    if (page.body.next === null) return items;
    const link = /<([^>]*)>; rel="next"/.exec(page.headers.link ?? '')?.[1] ?? '';
    t.ok(link.includes(text(page.body.next)));
    path = link;
  }
}

t.test('several states of each of the entities of a type', async (t) => {
  const { call, sql } = await testService(t);
  const cities = ['Oslo', 'Rome', 'Lima'];
  let now = '';
  const write = async (method: 'PUT' | 'PATCH' | 'DELETE' | 'POST', path: string, body?: Json) => {
    const answer = await call(method, path, body);
    t.ok(answer.status < 300, answer.text);
    now = answer.headers['tick-at'] ?? now;
  };
  const keyOf = (n: number) => `p${String(n).padStart(2, '0')}`;
  const put = (n: number, properties: JsonObject) =>
    write('PUT', `/entities/person:${keyOf(n)}`, { type: 'person', properties });
  for (let n = 0; n < 9; n++) await put(n, { city: cities[n % 3] ?? '', list: [n, n + 1], same: true });
  const [first] = [now];
  for (let n = 0; n < 9; n += 2) await write('PATCH', `/entities/person:${keyOf(n)}`, { properties: { city: 'Oslo' } });
  for (let n = 9; n < 12; n++) await put(n, { city: 'Oslo', same: true });
  await write('DELETE', `/entities/person:${keyOf(3)}`);
  const [second] = [now];
  for (let n = 0; n < 12; n += 5) {
    await write('PATCH', `/entities/person:${keyOf(n)}`, { properties: { list: [n], city: null } });
  }
  await write('POST', `/entities/person:${keyOf(3)}/restore`);
  await write('DELETE', `/entities/person:${keyOf(4)}`);
  await write('PUT', '/entities/other:one', { type: 'other', properties: { city: 'Oslo' } });
  const third = now;
  const before = '2001-01-01T00:00:00Z';

  await t.test(
    'page after page, they are those of the collection as of the last, and their states those of reads',
    async (t) => {
      const oslo = `where=${encodeURIComponent('{"city":"Oslo"}')}`;
      const cases: [at: string[], more: string][] = [
        [[first ?? '', second ?? '', third], ''],
        [[first ?? '', 'now'], ''],
        [['now', first ?? ''], ''],
        [['now', second ?? '', first ?? '', second ?? ''], oslo],
        [[first ?? '', second ?? ''], oslo],
        [[second ?? '', first ?? ''], oslo],
        [[first ?? '', 'now'], `${oslo}&deleted=include`],
        [[first ?? '', 'now'], 'deleted=only'],
        [['now'], `everHad=${encodeURIComponent('{"city":"Rome"}')}`],
        [[second ?? '', before], ''],
        [[before, second ?? ''], ''],
      ];
      for (const [at, more] of cases) {
        const last = at.at(-1) ?? '';
        const asOf = last === 'now' ? '' : `&asOf=${last}`;
        const collection = await call('GET', `/entities?type=person${asOf}&${more}`);
        const said = `${at} ${more}`;
        for (const limit of [2, 100]) {
          const items = await walk(t, call, `/types/person/compare?at=${at}&${more}`, limit);
          t.same(
            items.map(({ id, type, key }) => ({ id, type, key })),
            list(collection.body.items)
              .map(object)
              .map(({ id, type, key }) => ({ id, type, key })),
            said,
          );
          if (last !== before) t.ok(items.length > 0, said);
          for (const item of items)
            for (const [n, moment] of at.entries())
              await isAsOf(t, call, text(item.id), item, n, moment === 'now' ? undefined : moment);
        }
      }
    },
  );

  await t.test('an item says what the comparison of its entity says', async (t) => {
    for (const more of ['', '&only=differing', '&fields=city,list', '&only=differing&depth=full']) {
      const items = await walk(t, call, `/types/person/compare?at=${first},now,${second}${more}`, 3);
      t.ok(items.length > 10);
      for (const { id, type: _, key: __, ...compared } of items) {
        const { body } = await call('GET', `/entities/${id}/compare?at=${first},now,${second}${more}`);
        t.same(compared, body, `${id}${more}`);
        t.equal(JSON.stringify(compared), JSON.stringify(body), 'in the same order');
      }
    }
  });

  await t.test('a walk is pinned: neither writes nor imports nor deletions meanwhile change it', async (t) => {
    const late = { id: idOfKey('person', 'p99'), type: 'person', key: 'p99' };
    await importTicks(sql, [{ ...late, at: '2016-01-01T00:00:00Z', op: 'created', set: { a: 1 } }]);
    const path = `/types/person/compare?at=2017-01-01T00:00:00Z,${first},now&limit=4`;
    const whole = await call('GET', path.replace('limit=4', 'limit=100'));
    t.match(whole, { status: 200, headers: { 'cache-control': 'no-cache' } });
    const page = await call('GET', path);
    const tag = page.headers.etag ?? '';
    t.match(await call('GET', path, undefined, { 'if-none-match': tag }), { status: 304 });
    await write('PATCH', `/entities/person:${keyOf(6)}`, { properties: { city: 'Quito' } });
    await write('DELETE', `/entities/person:${keyOf(7)}`);
    await write('PUT', '/entities/person:p065', { type: 'person', properties: { city: 'Bern' } });
    await importTicks(sql, [
      {
        id: idOfKey('person', 'p066'),
        type: 'person',
        key: 'p066',
        at: '2016-01-01T00:00:00Z',
        op: 'created',
        set: { a: 1 },
      },
    ]);
    await importTicks(sql, [{ ...late, at: '2016-06-01T00:00:00Z', op: 'updated', set: { a: 2 } }]);
    const items = list(page.body.items).map(object);
    for (let next = page.body.next; next !== null; ) {
      const more = await call('GET', `${path}&cursor=${text(next)}`);
      t.match(more, { status: 200, headers: { etag: tag, 'cache-control': IMMUTABLE } });
      t.same([more.body.asOf, more.body.recordedAsOf], [whole.body.asOf, whole.body.recordedAsOf]);
      items.push(...list(more.body.items).map(object));
      next = more.body.next ?? null;
    }
    t.same(items, list(whole.body.items));
    t.not((await call('GET', path)).headers.etag, tag);
    const pinned = await call('GET', `${path.replace('limit=4', 'limit=100')}&recordedAsOf=${whole.body.recordedAsOf}`);
    t.match(pinned, { status: 200, headers: { 'cache-control': IMMUTABLE, etag: tag } });
    t.equal(pinned.text, whole.text, 'what was recorded by then can be asked for at any time');
  });

  await t.test('what it does not take', async (t) => {
    const next = text((await call('GET', `/types/person/compare?at=${first}&limit=2`)).body.next);
    const cases: [query: string, status: number, code: string][] = [
      ['', 400, 'invalid_parameter'],
      ['at=1', 400, 'invalid_as_of'],
      ['at=now,2', 400, 'invalid_as_of'],
      ['at=now,2999-01-01T00:00:00Z', 400, 'as_of_in_future'],
      ['at=2999-01-01T00:00:00Z,2001-01-01T00:00:00Z', 400, 'as_of_in_future'],
      [`at=${'now,'.repeat(10)}now`, 400, 'invalid_parameter'],
      ['at=now&where=x', 400, 'invalid_filter'],
      ['at=now&asOf=2001-01-01T00:00:00Z', 400, 'unknown_parameter'],
      ['at=now&cursor=x', 400, 'invalid_cursor'],
      [`at=${second}&cursor=${next}`, 400, 'invalid_cursor'],
      [`at=${first}&only=differing&cursor=${next}`, 400, 'invalid_cursor'],
      ['at=now&limit=0', 400, 'invalid_parameter'],
    ];
    for (const [query, status, code] of cases)
      t.match(await call('GET', `/types/person/compare?${query}`), problem(status, code), query);
    t.match(await call('GET', '/types/nobody/compare?at=now,2001-01-01T00:00:00Z'), {
      status: 200,
      body: { asOf: null, items: [], next: null },
    });
    const dated = { 'accept-datetime': 'Fri, 08 Jan 2010 00:00:00 GMT' };
    t.ok(list((await call('GET', '/types/person/compare?at=now', undefined, dated)).body.items).length > 5);
  });

  await t.test('depth=full of what changed in a collection', async (t) => {
    const path = `/entities?type=person&changedBetween=${first},${third}&include=changes`;
    const plain = await walk(t, call, path, 3);
    const full = await walk(t, call, `${path}&depth=full`, 3);
    t.ok(full.length > 5);
    t.same(
      full.map(({ patch: _, ...item }) => item),
      plain,
    );
    for (const { id, patch } of full) {
      const { body } = await call('GET', `/entities/${id}/compare?at=${first},${third}`);
      const result = applyJsonPatch(propertiesAt(body, 0), operationsOf(list(patch)));
      t.ok(jsonEqual(result, propertiesAt(body, 1)), `${id}: ${JSON.stringify(patch)}`);
    }
    t.ok(full.some(({ patch }) => list(patch).some((one) => object(one).path === '/properties/list/1')));
    t.match(await call('GET', '/entities?type=person&depth=full'), problem(400, 'invalid_parameter'));
    t.same((await call('GET', `${path}&depth=full&type=nobody`.replace('type=person&', ''))).body.items, []);
  });
});

t.test('with patches a page ends sooner the more moments it has: each moment may take as much again', async (t) => {
  const { call } = await testService(t);
  const large = 'x'.repeat(100_000);
  const ats: string[] = [];
  for (const value of [1, 2]) {
    for (const key of ['a', 'b', 'c', 'd']) {
      const { headers } = await call('PUT', `/entities/thing:${key}`, state({ large: large + value }));
      ats.push(headers['tick-at'] ?? '');
    }
  }
  const url = `/types/thing/compare?at=${Array.from({ length: 10 }, (_, n) => ats[n % 2 ? 3 : 7])}`;
  t.equal(list((await call('GET', url)).body.items).length, 4);
  const shown: Json[] = [];
  for (let cursor: Json | undefined = ''; typeof cursor === 'string'; ) {
    const { body } = await call('GET', `${url}&depth=full${cursor && `&cursor=${cursor}`}`);
    const items = list(body.items).map(object);
    t.equal(items.length, 1, 'ten moments of 100 kB');
    shown.push(...items.map(({ key, patches }) => `${key} ${list(patches).length}`));
    cursor = body.next;
  }
  t.same(shown, ['a 9', 'b 9', 'c 9', 'd 9']);
});

t.test('a page ends before too much is read for it, however little of that it shows', async (t) => {
  const { call } = await testService(t);
  const large = (value: number): JsonObject => ({ value, large: `${value}`.repeat(5 * 2 ** 20) });
  let at = '';
  for (const value of [1, 2])
    for (const key of ['a', 'b', 'c', 'd'])
      at = (await call('PUT', `/entities/thing:${key}`, state(large(value)))).headers['tick-at'] ?? '';
  for (const [moments, most] of [
    [`${at},now`, 3],
    [[...Array(9).fill('2001-01-01T00:00:00Z'), 'now'].join(), 3],
  ] as const) {
    const { body } = await call('GET', `/types/thing/compare?at=${moments}&fields=value`);
    const items = list(body.items);
    t.ok(items.length > 0 && items.length <= most, `${items.length} of four`);
    t.match(items[0], { key: 'a', properties: { value: [] } });
    t.type(body.next, 'string');
  }
  await call('DELETE', '/entities/thing:a');
  const { body } = await call('GET', `/types/thing/compare?at=${at}&fields=never`);
  t.match(list(body.items)[0], { key: 'a', moments: [{ tick: 2 }], properties: {} });
  t.ok(list(body.items).length < 4);
});
