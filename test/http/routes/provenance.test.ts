import t from 'tap';
import { readProvenance } from '../../../src/storage/provenance.js';
import { idOfKey } from '../../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import { statementsOf } from '../../helper/plans.js';
import { type Answer, type Call, list, object, problem, state, testService, text } from '../../helper/service.js';

const NAMES = ['a', 'b', 'c', 'a.b', 'x,y', '\\', '__proto__', '😀', 'provenance', 'constructor'];
const url = '/entities/thing:told';

/** An object with a member that an assignment would not make. */
const proto = (value: Json): JsonObject => JSON.parse(`{"__proto__": ${JSON.stringify(value)}}`);

/** Writes a life of an entity in which everything happens that can: it is deleted, restored, revived, reverted, whole and in part. */
async function live(call: Call, at = url): Promise<void> {
  const patch = (properties: JsonObject, more: JsonObject = {}) => call('PATCH', at, { properties, ...more });
  const { body: moving } = await call('POST', '/activities', { actor: 'chandler', metadata: { left: null } });
  await call('PUT', at, {
    ...state({ a: 1, b: { of: [1.5, null] }, 'x,y': 0, '\\': '\\', constructor: 1 }),
    activity: { actor: 'ross' },
  });
  await patch({ a: 2 }, { activity: { actor: 'monica', reason: 'a new job', metadata: { left: null } } });
  await patch({ 'a.b': null, c: 'c', '😀': '😀' });
  await patch(proto(7), { activity: { reason: 'nobody says who' } });
  await patch({ b: null, a: 3 });
  await call('PATCH', at, { properties: { a: 4 } }, { 'activity-id': text(moving.id) });
  await call('DELETE', at);
  await call('POST', `${at}/restore`, { activity: { actor: 'phoebe' } });
  await patch({ a: null, provenance: true });
  await call('POST', `${at}/revert`, { to: 4, properties: ['a', 'b'], activity: { actor: 'joey' } });
  await call('POST', `${at}/revert`, { to: 3 });
  await patch({ b: 'again', 'a.b': 4, ...proto(8) });
  await call('DELETE', at);
  await call('PUT', at, { ...state({ a: 4, c: 'c', 'x,y': null }), activity: { actor: 'rachel' } });
  await patch({ 'x,y': 1 });
}

/** In the order in which jsonb keeps names: shorter ones first. */
const inOrder = (names: string[]) =>
  names.toSorted(
    (a, b) => Buffer.byteLength(a) - Buffer.byteLength(b) || Buffer.compare(Buffer.from(a), Buffer.from(b)),
  );

const told = ({ body }: Pick<Answer, 'body'>) => Object.entries(object(body.provenance));

/** What `/history/:property?asOf=` says of each property that an entity has. */
async function heldAsOf(call: Call, at: string, properties: JsonObject, asOf: Json): Promise<[string, JsonObject][]> {
  const held: [string, JsonObject][] = [];
  for (const name of inOrder(Object.keys(properties))) {
    const { body } = await call('GET', `${at}/history/${encodeURIComponent(name)}?asOf=${asOf}`);
    for (const item of list(body.items)) {
      const { value: _, ...range } = object(item);
      held.push([name, range]);
    }
  }
  return held;
}

t.test('who set what of an entity', async (t) => {
  const { call, serviceUrl: database } = await testService(t);
  await live(call);
  const ticks = list((await call('GET', `${url}/history`)).body.items).map(object);
  const last = ticks.length;
  t.equal(last, 15);

  await t.test('as of each tick and instant, and now, is what the range of each property says', async (t) => {
    const seen = new Set<string>();
    for (const [index, { at, op }] of ticks.entries()) {
      const tick = index + 1;
      for (const point of [`asOf=${tick}`, `asOf=${at}`, ...(tick === last ? [''] : [])]) {
        const plain = await call('GET', `${url}?${point}`);
        const answer = await call('GET', `${url}?${point}&include=provenance`);
        const said = `${op} ${point}`;
        t.equal(answer.status, plain.status, said);
        if (op === 'deleted') {
          t.match(answer, problem(410, 'entity_deleted', { tick }), said);
          continue;
        }
        const { provenance: _, ...entity } = answer.body;
        t.same(entity, plain.body, said);
        const properties = object(plain.body.properties);
        const held = await heldAsOf(call, url, properties, tick);
        t.equal(held.length, Object.keys(properties).length);
        t.same(told(answer), held, said);
        for (const [name] of held) seen.add(name);
        for (const header of ['etag', 'cache-control', 'vary', 'memento-datetime'])
          t.equal(answer.headers[header], plain.headers[header], `${said}: ${header}`);
        const both = await call('GET', `${url}?${point}&include=provenance,history`);
        const { history } = (await call('GET', `${url}?${point}&include=history`)).body;
        t.same(both.body, { ...answer.body, history }, `${said}, with the history`);
        const some = await call('GET', `${url}?${point}&fields=a,c,__proto__&include=provenance&include=history.b`);
        t.same(
          told(some),
          held.filter(([name]) => ['a', 'c', '__proto__'].includes(name)),
          `${said}, some`,
        );
        t.same(Object.keys(object(some.body.history)), ['b']);
      }
    }
    t.same(seen, new Set(NAMES));
  });

  await t.test('what is restored and reverted begins anew, and who did it has set it', async (t) => {
    const asOf = async (tick: number, name: string) =>
      object(object((await call('GET', `${url}?asOf=${tick}&include=provenance`)).body.provenance)[name]);
    t.match(await asOf(8, 'x,y'), {
      vclock: { from: 8, to: null },
      effective: { from: ticks[7]?.at, to: null },
      activity: { actor: 'phoebe' },
    });
    t.match(await asOf(10, 'a'), { vclock: { from: 10, to: null }, activity: { actor: 'joey' } });
    t.match(await asOf(10, 'c'), { vclock: { from: 8, to: null }, activity: { actor: 'phoebe' } });
    t.match(await asOf(7 - 1, 'a'), { activity: { actor: 'chandler', metadata: { left: null } } });
    t.same((await asOf(3, 'c')).activity, null);
  });

  await t.test('304 and immutable, as without', async (t) => {
    const known = { 'if-none-match': `"${last}"` };
    t.match(await call('GET', `${url}?include=provenance`, undefined, known), { status: 304, text: '' });
    const fixed = await call('GET', `${url}?include=provenance&asOf=5`);
    t.equal(fixed.headers['cache-control'], 'max-age=31536000, immutable');
    t.match(fixed.headers['content-location'], /\?asOf=5&include=provenance$/);
    await call('PATCH', url, { properties: { a: 'later', b: 'later', c: null } });
    t.equal((await call('GET', `${url}?include=provenance&asOf=5`)).text, fixed.text, 'and it does not change');
  });

  await t.test('an answer is of one moment, by one statement', async (t) => {
    const question = { id: idOfKey('thing', 'told'), fields: null };
    for (const point of [null, { tick: 3 }])
      t.equal((await statementsOf(database, (db) => readProvenance(db, question, point))).length, 1);
    await call('PUT', '/entities/thing:busy', state({ a: 0, b: 0 }));
    const writing = (async () => {
      for (let n = 1; n <= 60; n++)
        await call('PATCH', '/entities/thing:busy', { properties: { a: n, b: n % 3 === 0 ? null : n } });
    })();
    for (let n = 0; n < 60; n++) {
      const { body } = await call('GET', '/entities/thing:busy?include=provenance');
      const { a, b } = object(body.properties);
      const { a: setA, b: setB } = object(body.provenance);
      t.same(
        [object(object(setA).vclock).from, object(setA).effective],
        [body.tick, { from: body.updatedAt, to: null }],
      );
      t.equal(a === b, setB !== undefined);
    }
    await writing;
  });

  await t.test('what cannot be asked for', async (t) => {
    const cases: [target: string, status: number, code: string][] = [
      [`${url}?include=provenance.a`, 400, 'invalid_parameter'],
      [`${url}?include=Provenance`, 400, 'invalid_parameter'],
      [`${url}?include=provenance&asOf=999`, 404, 'tick_not_found'],
      [`${url}?include=provenance&asOf=2001-01-01T00:00:00Z`, 404, 'entity_not_found'],
      [`${url}?include=provenance&asOf=2999-01-01T00:00:00Z`, 400, 'as_of_in_future'],
      ['/entities/thing:nobody?include=provenance', 404, 'entity_not_found'],
      ['/entities/thing:nobody?include=provenance,history&asOf=1', 404, 'entity_not_found'],
      ['/entities?type=thing&include=', 400, 'invalid_parameter'],
      ['/entities?type=thing&include=history', 400, 'invalid_parameter'],
      ['/entities?type=thing&include=provenance,changes', 400, 'invalid_parameter'],
      ['/entities?ids=thing:told&include=changes', 400, 'invalid_parameter'],
      ['/entities?ids=thing:told&include=provenance,history', 400, 'invalid_parameter'],
    ];
    for (const [target, status, code] of cases) t.match(await call('GET', target), problem(status, code), target);
  });
});

t.test('who set what of many: page by page, and by their ids, each says what it says alone', async (t) => {
  const { call } = await testService(t);
  const keys = ['anna', 'bert', 'cleo', 'dora', 'emil'];
  for (const [n, key] of keys.entries()) {
    await call('PUT', `/entities/thing:${key}`, { ...state({ n, even: n % 2 === 0 }), activity: { actor: key } });
    await live(call, `/entities/thing:${key}`);
    if (n % 2 === 0) await call('PATCH', `/entities/thing:${key}`, { properties: { even: true } });
  }
  const instants = list((await call('GET', '/entities/thing:cleo/history')).body.items).map((tick) =>
    text(object(tick).at),
  );
  await call('DELETE', '/entities/thing:dora');
  const after = text((await call('PUT', '/entities/thing:zoe', state({ n: 9 }))).headers['tick-at']);
  /** All items of a walk as texts. */
  const walk = async (query: string, limit: number) => {
    const items: JsonObject[] = [];
    let cursor = '';
    do {
      const { status, body, text: whole } = await call('GET', `/entities?type=thing&${query}&limit=${limit}${cursor}`);
      t.equal(status, 200, whole);
      items.push(...list(body.items).map(object));
      cursor = body.next === null ? '' : `&cursor=${text(body.next)}`;
    } while (cursor !== '');
    return items;
  };
  const alone = async (key: Json | undefined, asOf: string, more = '') =>
    (await call('GET', `/entities/thing:${key}?asOf=${asOf}&include=provenance${more}`)).text;

  await t.test('as of any instant, in pages of any size', async (t) => {
    for (const asOf of [...instants, after]) {
      for (const limit of [1, 2, 100]) {
        for (const more of ['', '&fields=a,__proto__']) {
          const items = await walk(`include=provenance&asOf=${asOf}${more}`, limit);
          const plain = await walk(`asOf=${asOf}${more}`, limit);
          t.same(
            items.map(({ provenance: _, ...item }) => item),
            plain,
            `as of ${asOf}, ${limit} a page`,
          );
          for (const item of items) t.same(item, JSON.parse(await alone(item.key, asOf, more)));
        }
      }
    }
    const page = await call('GET', `/entities?type=thing&include=provenance&limit=3&asOf=${after}`);
    const texts = [];
    for (const item of list(page.body.items)) texts.push(await alone(object(item).key, after));
    t.ok(page.text.includes(`"items": [${texts.join(', ')}]`), 'to the byte');
    const again = await call('GET', text(page.headers['content-location']));
    t.equal(again.text, page.text);
    t.equal(again.headers['cache-control'], 'max-age=31536000, immutable');
  });

  await t.test('with filters, deleted ones and what has changed', async (t) => {
    const where = encodeURIComponent('{"even": {"exists": true}}');
    for (const asOf of [instants[0] ?? '', after]) {
      const found = await walk(`include=provenance&asOf=${asOf}&where=${where}`, 2);
      t.ok(found.length > 1, `${found.length}`);
      for (const item of found) t.same(item, JSON.parse(await alone(item.key, asOf)));
    }
    const deleted = await walk(`include=provenance&deleted=only&asOf=${after}`, 2);
    t.match(deleted, [{ key: 'dora', deleted: true }]);
    t.same(deleted[0]?.provenance, {});
    const window = `changedBetween=${instants.at(-2)},${after}`;
    const both = await walk(`include=provenance&include=changes&${window}`, 2);
    const changes = await walk(`include=changes&${window}`, 2);
    t.ok(both.length > 2);
    t.same(
      both.map(({ provenance: _, ...item }) => item),
      changes,
    );
    for (const { changes: _, ...item } of both)
      if (item.deleted === false) t.same(item, JSON.parse(await alone(item.key, after)));
  });

  await t.test('by their ids', async (t) => {
    const ids = 'ids=thing:emil,thing:dora,thing:nobody,thing:anna,thing:emil';
    for (const [query, single] of [
      ['', 'include=provenance'],
      ...[...instants, after].map((asOf) => [`&asOf=${asOf}`, `include=provenance&asOf=${asOf}`]),
      ['&fields=a,x%2Cy', 'include=provenance&fields=a,x%2Cy'],
      [`&recordedAsOf=${instants[5]}`, `include=provenance&recordedAsOf=${instants[5]}`],
    ] as const) {
      const plain = await call('GET', `/entities?${ids}${query}`);
      const answer = await call('GET', `/entities?${ids}&include=provenance${query}`);
      t.equal(answer.status, 200);
      t.same(answer.body.missing, plain.body.missing);
      t.equal(answer.headers.etag, plain.headers.etag);
      const texts: string[] = [];
      for (const item of list(plain.body.items)) {
        const one = await call('GET', `/entities/thing:${object(item).key}?${single}`);
        texts.push(one.text);
      }
      t.ok(answer.text.startsWith(`{"items": [${texts.join(', ')}], "missing": `), `to the byte${query}`);
    }
  });
});

t.test('of properties that keep no ranges nobody knows who set them', async (t) => {
  const { call } = await testService(t);
  const define = (untracked: string[]) => call('PUT', '/types/user', { schema: true, untracked });
  await define(['seen']);
  const at = '/entities/user:a';
  await call('PUT', at, { type: 'user', properties: { name: 'A', seen: 1 } });
  await call('PATCH', at, { properties: { seen: 2 }, activity: { actor: 'a' } });
  const now = await call('GET', `${at}?include=provenance`);
  t.same([now.body.properties, Object.keys(object(now.body.provenance))], [{ name: 'A', seen: 2 }, ['name']]);
  const then = await call('GET', `${at}?include=provenance&asOf=2`);
  t.same([then.body.untracked, Object.keys(object(then.body.provenance))], [['seen'], ['name']]);
  await define([]);
  await call('PATCH', at, { properties: { seen: 3 }, activity: { actor: 'b' } });
  const tracked = { vclock: { from: 3, to: null }, activity: { actor: 'b' } };
  t.match((await call('GET', `${at}?include=provenance`)).body.provenance, { seen: tracked });
  t.same((await call('GET', `${at}?include=provenance&asOf=2`)).text, then.text);
  await define(['seen']);
  await call('PATCH', at, { properties: { seen: 4 } });
  t.same(Object.keys(object((await call('GET', `${at}?include=provenance`)).body.provenance)), ['name']);
  t.match((await call('GET', `${at}?include=provenance&asOf=3`)).body.provenance, { seen: tracked });
});

t.test('what is imported with its instants says who and when; what is imported later changes no past', async (t) => {
  const { call } = await testService(t);
  const send = (lines: JsonObject[], query = '') =>
    call('POST', `/import?source=friends${query}`, lines.map((line) => JSON.stringify(line)).join('\n'), {
      'content-type': 'application/x-ndjson',
      accept: 'application/json',
    });
  const line = (at: string, actor: string, op: JsonObject) => ({
    type: 'friend',
    key: 'rachel',
    at,
    activity: { actor },
    ...op,
  });
  const at = '/entities/friend:rachel';
  const first = await send([
    line('2014-10-08T10:00:00Z', 'ross', { properties: { location: 'New York', job: 'waitress' } }),
    line('2016-01-08T00:00:00Z', 'monica', { op: 'patch', properties: { location: 'Oakland' } }),
  ]);
  t.match(first.body, { status: 'done', ticks: 2 });
  const early = '2016-02-01T00:00:00Z';
  t.match((await call('GET', `${at}?include=provenance&asOf=${early}`)).body.provenance, {
    location: {
      vclock: { from: 2 },
      effective: { from: '2016-01-08T00:00:00.000000Z' },
      activity: { actor: 'monica' },
    },
    job: { vclock: { from: 1 }, effective: { from: '2014-10-08T10:00:00.000000Z' }, activity: { actor: 'ross' } },
  });
  const asked = [
    `${at}?include=provenance&asOf=2`,
    `${at}?include=provenance&recordedAsOf=${text(first.body.updatedAt)}`,
    `${at}?include=provenance&asOf=2015-01-01T00:00:00Z`,
    `/entities?type=friend&include=provenance&asOf=${early}&recordedAsOf=${text(first.body.updatedAt)}`,
    `/entities?ids=friend:rachel&include=provenance&recordedAsOf=${text(first.body.updatedAt)}`,
  ];
  const before = await Promise.all(asked.map((path) => call('GET', path)));
  const second = await send([
    line('2016-01-20T00:00:00Z', 'joey', { op: 'patch', properties: { location: 'Tulsa' } }),
    line('2017-01-01T00:00:00Z', 'joey', { op: 'delete' }),
  ]);
  t.match(second.body, { status: 'done', ticks: 2 }, second.text);
  for (const [n, path] of asked.entries()) {
    const again = await call('GET', path);
    t.equal(again.status, 200, again.text);
    t.equal(again.text, before[n]?.text, path);
    t.equal(again.headers.etag, before[n]?.headers.etag, path);
  }
  t.match((await call('GET', `${at}?include=provenance&asOf=${early}`)).body, {
    tick: 3,
    provenance: { location: { vclock: { from: 3 }, activity: { actor: 'joey' } }, job: { vclock: { from: 1 } } },
  });
  t.match(await call('GET', `${at}?include=provenance`), problem(410, 'entity_deleted', { tick: 4 }));
});

t.test('an answer is bounded, and says what is left out', async (t) => {
  const { call } = await testService(t);
  const metadata = { m: 'x'.repeat(1_000_000) };
  const names = Array.from({ length: 12 }, (_, n) => `p${String(n).padStart(2, '0')}`);
  await call('PUT', '/entities/thing:reasoned', state({ a: 0 }));
  for (const name of names)
    await call('PATCH', '/entities/thing:reasoned', { properties: { [name]: 1 }, activity: { metadata } });
  const shown = ({ body }: Pick<Answer, 'body'>) => [Object.keys(object(body.provenance)), body.provenanceTruncated];
  const [kept, truncated] = [['a', ...names.slice(0, 8)], names.slice(8)];
  const whole = await call('GET', '/entities/thing:reasoned?include=provenance');
  t.same(shown(whole), [kept, truncated]);
  t.same(Object.keys(object(whole.body.properties)).length, 13);
  const { updatedAt } = whole.body;
  for (const query of ['asOf=13&', `asOf=${updatedAt}&`, 'include=history&'])
    t.same(shown(await call('GET', `/entities/thing:reasoned?${query}include=provenance`)), [kept, truncated], query);
  t.same(shown(await call('GET', '/entities/thing:reasoned?include=provenance&fields=p10,p11')), [
    ['p10', 'p11'],
    undefined,
  ]);
  t.same(shown(await call('GET', '/entities/thing:reasoned?include=provenance&asOf=9')), [kept, undefined]);

  await call('PUT', '/entities/thing:second', state({ b: 'x'.repeat(1_000_000) }));
  for (const name of names.slice(0, 9))
    await call('PATCH', '/entities/thing:second', { properties: { [name]: 1 }, activity: { metadata } });
  await call('PUT', '/entities/thing:third', state({ c: 0 }));
  const page = await call('GET', '/entities?type=thing&include=provenance');
  t.ok(page.text.length < 17 * 2 ** 20, `${page.text.length} characters`);
  t.same(
    list(page.body.items).map((item) => shown({ body: object(item) })),
    [[kept, truncated]],
    'one has taken its room',
  );
  const rest = await call('GET', `/entities?type=thing&include=provenance&cursor=${text(page.body.next)}`);
  t.match(rest.body.items, [{ key: 'second' }, { key: 'third', provenance: { c: {} } }]);
  t.equal(rest.body.next, null);
  const ids = 'ids=thing:third,thing:reasoned,thing:second,thing:third';
  const listed = await call('GET', `/entities?${ids}&include=provenance`);
  t.match(listed.body, {
    items: [{ key: 'third' }, { key: 'reasoned', provenanceTruncated: truncated }],
    missing: [{ id: 'thing:second', code: 'answer_full' }],
  });
  const { headers } = await call('GET', `/entities?${ids}`);
  t.equal(listed.headers.etag, headers.etag, 'over all that was asked for');

  await t.test('a thousand properties of as many ticks', async (t) => {
    const many = Array.from({ length: 1_000 }, (_, n) => `n${n}`);
    await call('PUT', '/entities/thing:many', state(Object.fromEntries(many.map((name) => [name, 0]))));
    for (const n of [1, 3, 500]) await call('PATCH', '/entities/thing:many', { properties: { [`n${n}`]: 1 } });
    const { body } = await call('GET', '/entities/thing:many?include=provenance');
    const starts = Object.entries(object(body.provenance)).map(([name, range]) => [
      name,
      object(object(range).vclock).from ?? null,
    ]);
    const since: Record<string, number> = { n1: 2, n3: 3, n500: 4 };
    t.same(
      starts,
      inOrder(many).map((name) => [name, since[name] ?? 1]),
    );
  });
});
