import t from 'tap';
import { readNested } from '../../../src/storage/nested.js';
import { idOfKey } from '../../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import { importHistory } from '../../helper/imported.js';
import { statementsOf } from '../../helper/plans.js';
import { type Answer, list, object, problem, state, testService } from '../../helper/service.js';

const NAMES = ['a', 'b', 'c', 'a.b', 'x,y', '\\', '__proto__', '😀', 'history'];
const url = '/entities/thing:told';

/** A property in `include`, escaped and encoded. */
const including = (...names: string[]) =>
  `include=${names.map((name) => encodeURIComponent(`history.${name}`)).join()}`;

/** In the order in which jsonb keeps names: shorter ones first. */
const inOrder = (names: string[]) =>
  [...names].sort(
    (a, b) => Buffer.byteLength(a) - Buffer.byteLength(b) || Buffer.compare(Buffer.from(a), Buffer.from(b)),
  );

t.test('an entity with the ranges of its properties', async (t) => {
  const { call, serviceUrl: database } = await testService(t);
  const patch = (properties: JsonObject, more: JsonObject = {}) => call('PATCH', url, { properties, ...more });
  const proto = (value: Json): JsonObject => JSON.parse(`{"__proto__": ${JSON.stringify(value)}}`);
  await call('PUT', url, state({ a: 1, b: { of: [1.5, null] }, 'x,y': 0, ...{ '\\': '\\' } }));
  await patch({ a: 2 }, { activity: { actor: 'monica', reason: 'a new job', metadata: { left: null } } });
  await patch({ 'a.b': null, c: 'c', '😀': '😀' });
  await patch(proto(7));
  await patch({ b: null, a: 3 });
  await call('DELETE', url);
  await call('POST', `${url}/restore`);
  await patch({ a: null, history: true });
  await patch({ b: 'again', 'a.b': 4, ...proto(8) });
  await call('DELETE', url);
  await call('PUT', url, { ...state({ a: 4, c: 'c', 'x,y': null }), activity: { actor: 'rachel' } });
  await patch({ 'x,y': 1 });
  const ticks = list((await call('GET', `${url}/history`)).body.items).map(object);
  const last = ticks.length;
  t.equal(last, 12);

  const whole = new Map<string, JsonObject[]>();
  for (const name of NAMES) {
    const page = await call('GET', `${url}/history/${encodeURIComponent(name)}`);
    whole.set(name, page.status === 200 ? list(page.body.items).map(object) : []);
  }
  /** The ranges of a property as they were at a tick. */
  const asOf = (name: string, tick: number) =>
    (whole.get(name) ?? []).flatMap(({ vclock, effective, ...range }) => {
      const { from = null, to = null } = object(vclock);
      const isOpen = to === null || Number(to) > tick;
      const then = {
        vclock: { from, to: isOpen ? null : to },
        effective: isOpen ? { ...object(effective), to: null } : effective,
      };
      return Number(from) <= tick ? [{ ...range, ...then }] : [];
    });
  const historyOf = (answer: Answer) => Object.entries(object(answer.body.history));
  const expected = (names: readonly string[], tick: number) => names.map((name) => [name, asOf(name, tick)]);

  await t.test('as of each tick and instant, and now: the same entity, and every range as it was then', async (t) => {
    for (const [index, { at, op }] of ticks.entries()) {
      const tick = index + 1;
      const had = inOrder(NAMES.filter((name) => asOf(name, tick).length > 0));
      const asked: [query: string, names: string[]][] = [
        ['include=history', had],
        [including(...NAMES), NAMES],
        ...NAMES.map((name): [string, string[]] => [including(name), [name]]),
      ];
      for (const [query, names] of asked) {
        for (const point of [`asOf=${tick}`, `asOf=${at}`, ...(tick === last ? [''] : [])]) {
          const plain = await call('GET', `${url}?${point}`);
          const answer = await call('GET', `${url}?${point}&${query}`);
          const said = `${op} ${point} ${query}`;
          t.equal(answer.status, plain.status, said);
          if (plain.status !== 200) {
            t.match(answer, problem(410, 'entity_deleted', { tick }), said);
            continue;
          }
          const { history: _, ...entity } = answer.body;
          t.same(entity, plain.body, said);
          t.same(historyOf(answer), expected(names, tick), said);
          for (const header of ['etag', 'cache-control', 'vary', 'memento-datetime'])
            t.equal(answer.headers[header], plain.headers[header], `${said}: ${header}`);
        }
      }
      for (const name of had) {
        const held = await call('GET', `${url}/history/${encodeURIComponent(name)}?asOf=${tick}`);
        const open = asOf(name, tick).filter(({ vclock }) => object(vclock).to === null);
        t.same(held.body.items, open, `${name} as of ${tick}`);
      }
    }
  });

  await t.test('what is asked for', async (t) => {
    const cases: [query: string, names: string[]][] = [
      ['include=history,history.a', inOrder(NAMES.filter((name) => asOf(name, last).length > 0))],
      ['include=history.c&include=history.a', ['c', 'a']],
      ['include=history.a,history.a', ['a']],
      ['include=history.never,history.history', ['never', 'history']],
      ['include=history.a.b', ['a.b']],
      ['include=history.x%2Cy', ['x,y']],
    ];
    for (const [query, names] of cases)
      t.same(historyOf(await call('GET', `${url}?${query}`)), expected(names, last), query);
    const some = await call('GET', `${url}?fields=c&include=history.a`);
    t.same(
      [some.body.properties, historyOf(some)],
      [{ c: 'c' }, expected(['a'], last)],
      'fields choose properties only',
    );
    t.equal((await call('GET', url)).body.history, undefined);
  });

  await t.test('304 and immutable, as without', async (t) => {
    const known = { 'if-none-match': `"${last}"` };
    t.match(await call('GET', `${url}?include=history`, undefined, known), { status: 304, text: '' });
    const stale = await call('GET', `${url}?include=history`, undefined, { 'if-none-match': '"1"' });
    t.match(stale, { status: 200, headers: { etag: `"${last}"`, 'cache-control': 'no-cache' } });
    const fixed = await call('GET', `${url}?include=history&asOf=5`);
    t.equal(fixed.headers['cache-control'], 'max-age=31536000, immutable');
    await patch({ a: 'later', b: 'later' });
    t.equal((await call('GET', `${url}?include=history&asOf=5`)).text, fixed.text, 'and it does not change');
  });

  await t.test('an answer is of one moment, by one statement', async (t) => {
    const question = { id: idOfKey('thing', 'told'), fields: null };
    for (const of of [null, ['a', 'b']]) {
      for (const point of [null, { tick: 3 }])
        t.equal((await statementsOf(database, (db) => readNested(db, { ...question, of }, point))).length, 1);
    }
    await call('PUT', '/entities/thing:busy', state({ a: 0, b: 0 }));
    const writing = (async () => {
      for (let n = 1; n <= 60; n++)
        await call('PATCH', '/entities/thing:busy', { properties: { a: n, b: n % 3 === 0 ? null : n } });
    })();
    for (let n = 0; n < 60; n++) {
      const { body } = await call('GET', '/entities/thing:busy?include=history');
      const open = Object.entries(object(body.history)).flatMap(([name, ranges]) =>
        list(ranges)
          .map(object)
          .flatMap(({ value, vclock }) => (object(vclock).to === null ? [[name, value ?? null]] : [])),
      );
      t.same(Object.fromEntries(open), body.properties);
      t.equal(list(object(body.history).a).length, body.tick);
    }
    await writing;
  });

  await t.test('what cannot be asked for', async (t) => {
    const path = { errors: [{ path: 'include' }] };
    const many = Array.from({ length: 101 }, (_, n) => `history.p${n}`).join();
    const cases: [query: string, status: number, code: string, more: JsonObject][] = [
      [
        'include=ticks',
        400,
        'invalid_parameter',
        {
          ...path,
          detail: 'include cannot be "ticks": there is history, history.location for one property, and provenance.',
        },
      ],
      ['include=', 400, 'invalid_parameter', path],
      ['include=history,', 400, 'invalid_parameter', path],
      ['include=History', 400, 'invalid_parameter', path],
      ['include=location', 400, 'invalid_parameter', path],
      [`include=${many}`, 400, 'invalid_parameter', path],
      ['include=history.', 400, 'invalid_property_name', path],
      ['include=history...', 400, 'invalid_property_name', path],
      ['include=history.%00', 400, 'invalid_property_name', path],
      ['include=history&asOf=999', 404, 'tick_not_found', {}],
      ['include=history&asOf=2001-01-01T00:00:00Z', 404, 'entity_not_found', {}],
      ['include=history&asOf=2999-01-01T00:00:00Z', 400, 'as_of_in_future', {}],
      ['include=history&asOf=x', 400, 'invalid_as_of', {}],
    ];
    for (const [query, status, code, more] of cases)
      t.match(await call('GET', `${url}?${query}`), problem(status, code, more), query);
    for (const query of ['include=history', 'include=history.a', 'include=history&asOf=1'])
      t.match(await call('GET', `/entities/thing:nobody?${query}`), problem(404, 'entity_not_found'), query);
    t.match(await call('GET', '/entities?ids=thing:told&include=history'), problem(400, 'invalid_parameter'));
  });
});

t.test('by date', async (t) => {
  const { call, sql } = await testService(t);
  await importHistory(sql, 'friend', 'rachel', [
    { at: '2014-10-08T10:00:00Z', op: 'created', set: { location: 'New York', n: 1 } },
    { at: '2016-01-08T00:00:00Z', op: 'updated', set: { location: 'San Francisco' } },
    { at: '2017-01-01T12:00:00Z', op: 'deleted', set: {} },
    { at: '2018-01-01T00:00:00Z', op: 'restored', set: { location: 'Oakland' } },
  ]);
  const cases: [date: string, tick: number][] = [
    ['Sat, 01 Jan 2000 00:00:00 GMT', 1],
    ['Thu, 01 Jan 2015 00:00:00 GMT', 1],
    ['Fri, 08 Jan 2016 00:00:00 GMT', 2],
    ['Mon, 01 Jan 2018 00:00:00 GMT', 4],
    ['Tue, 01 Jan 2999 00:00:00 GMT', 4],
  ];
  for (const [date, tick] of cases) {
    const answer = await call('GET', '/entities/friend:rachel?include=history', undefined, { 'accept-datetime': date });
    const fixed = await call('GET', `/entities/friend:rachel?include=history&asOf=${tick}`);
    t.equal(answer.text, fixed.text, date);
    t.match(answer.headers, { etag: `"${tick}"`, 'cache-control': 'no-cache', vary: 'accept-datetime' });
    t.match(answer.headers['memento-datetime'], /GMT$/);
  }
  t.same((await call('GET', '/entities/friend:rachel?include=history.n')).body.history, {
    n: [
      {
        value: 1,
        vclock: { from: 1, to: 3 },
        effective: { from: '2014-10-08T10:00:00.000000Z', to: '2017-01-01T12:00:00.000000Z' },
        activity: null,
      },
    ],
  });
  const deleted = { 'accept-datetime': 'Sun, 01 Jan 2017 12:00:00 GMT' };
  const gone = await call('GET', '/entities/friend:rachel?include=history', undefined, deleted);
  t.match(gone, problem(410, 'entity_deleted', { tick: 3 }));
});

t.test('an answer is bounded, and says what is left out', async (t) => {
  const { call, sql } = await testService(t);
  /** Writes ticks of a thing, each of which sets all of some properties. */
  const fill = (key: string, properties: number, count: number) =>
    sql.unsafe(`
      DO $$ BEGIN
        FOR n IN 0..${count - 1} LOOP
          PERFORM FROM clocktick.write_changes(jsonb_build_array(jsonb_build_object(
            'id', '${idOfKey('thing', key)}', 'expected', n, 'op', CASE n WHEN 0 THEN 'created' ELSE 'updated' END,
            'type', 'thing', 'key', '${key}',
            'set', (SELECT jsonb_object_agg('p' || lpad(i::text, 2, '0'), n) FROM generate_series(1, ${properties}) i))), true);
        END LOOP;
      END $$`);
  /** From when to when ranges of a property are shown, by tick, and how many. */
  const shown = ({ body }: Answer) =>
    Object.entries(object(body.history)).map(([name, ranges]) => {
      const starts = list(ranges).map((range) => Number(object(object(range).vclock).from));
      return [name, starts.length, starts[0], starts.at(-1)];
    });

  await t.test('the newest thousand ranges of a property', async (t) => {
    await fill('long', 2, 1_050);
    const cases: [query: string, shown: unknown[], truncated: string[] | undefined][] = [
      [
        'include=history',
        [
          ['p01', 1000, 51, 1050],
          ['p02', 1000, 51, 1050],
        ],
        ['p01', 'p02'],
      ],
      ['include=history.p02', [['p02', 1000, 51, 1050]], ['p02']],
      ['include=history.p02&asOf=1001', [['p02', 1000, 2, 1001]], ['p02']],
      ['include=history.p02&asOf=1000', [['p02', 1000, 1, 1000]], undefined],
      ['include=history.p02&asOf=50', [['p02', 50, 1, 50]], undefined],
      ['include=history.p02&asOf=51', [['p02', 51, 1, 51]], undefined],
      ['include=history.p02&asOf=1', [['p02', 1, 1, 1]], undefined],
    ];
    for (const [query, ranges, truncated] of cases) {
      const answer = await call('GET', `/entities/thing:long?${query}`);
      t.same([shown(answer), answer.body.historyTruncated], [ranges, truncated], query);
    }
    const newest = await call('GET', '/entities/thing:long/history/p01?order=desc&limit=1000');
    const { history } = (await call('GET', '/entities/thing:long?include=history')).body;
    t.same(object(history).p01, list(newest.body.items).reverse());
  });

  await t.test('ten thousand ranges of all, in the order of the properties', async (t) => {
    await fill('broad', 98, 105);
    const name = (n: number) => `p${String(n).padStart(2, '0')}`;
    const names = Array.from({ length: 98 }, (_, n) => name(n + 1));
    const answer = await call('GET', '/entities/thing:broad?include=history');
    t.same(
      shown(answer),
      names.map((name, n) =>
        n < 95 ? [name, 105, 1, 105] : n === 95 ? [name, 25, 81, 105] : [name, 0, undefined, undefined],
      ),
    );
    t.same(answer.body.historyTruncated, ['p96', 'p97', 'p98']);
    const named = [...names.slice(2).reverse(), 'never', 'p02', 'p01'];
    const other = await call('GET', `/entities/thing:broad?${including(...named)}`);
    t.same(other.body.historyTruncated, ['p03', 'p02', 'p01'], 'in the order of asking; not what never was');
    t.same(shown(other).slice(94, 97), [
      ['p04', 105, 1, 105],
      ['p03', 25, 81, 105],
      ['never', 0, undefined, undefined],
    ]);
    const then = await call('GET', '/entities/thing:broad?include=history&asOf=102');
    t.same(then.body.historyTruncated, undefined, '9,996 ranges');
  });

  await t.test('16 MiB of values and activities', async (t) => {
    const large = (n: number) => `[${'5e-324,'.repeat(15_000)}${n}]`; // 105 kB here, 5 MB as the JSON that comes back
    await call('PUT', '/entities/thing:large', `{"type": "thing", "properties": {"p": ${large(0)}, "z": 0}}`);
    for (let n = 1; n <= 4; n++) await call('PATCH', '/entities/thing:large', `{"properties": {"p": ${large(n)}}}`);
    const answer = await call('GET', '/entities/thing:large?include=history&fields=z');
    t.same(
      [shown(answer), answer.body.historyTruncated],
      [
        [
          ['p', 3, 3, 5],
          ['z', 0, undefined, undefined],
        ],
        ['p', 'z'],
      ],
    );
    t.ok(answer.text.length < 17 * 2 ** 20, `${answer.text.length} characters`);
    t.same(shown(await call('GET', `/entities/thing:large?fields=z&${including('z', 'p')}`)), [
      ['z', 1, 1, 1],
      ['p', 3, 3, 5],
    ]);
    const metadata = { m: 'x'.repeat(1_000_000) };
    await call('PUT', '/entities/thing:reasoned', state({ a: 0 }));
    for (let n = 1; n <= 20; n++)
      await call('PATCH', '/entities/thing:reasoned', { properties: { a: n }, activity: { metadata } });
    const reasoned = await call('GET', '/entities/thing:reasoned?include=history');
    t.same([shown(reasoned), reasoned.body.historyTruncated], [[['a', 16, 6, 21]], ['a']]);
  });

  await t.test('a thousand properties that it no longer has, or none of them', async (t) => {
    const names = (letter: string, count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`${letter}${n}`, n]));
    const put = (properties: JsonObject) => call('PUT', '/entities/thing:changed', state(properties));
    await put(names('a', 600));
    await put(names('b', 400));
    await put({ ...names('c', 2), a7: 8 });
    const thousand = await call('GET', '/entities/thing:changed?include=history');
    t.same(new Set(Object.keys(object(thousand.body.history))).size, 1002);
    t.same(
      object(object(thousand.body.history)).a7,
      (await call('GET', '/entities/thing:changed/history/a7')).body.items,
    );
    t.same([thousand.body.historyTruncated, thousand.body.historyOmitsRemoved], [undefined, undefined]);
    await call('PATCH', '/entities/thing:changed', { properties: { c0: null, c1: null } });
    const one = await call('GET', '/entities/thing:changed?include=history');
    t.same([shown(one), one.body.historyOmitsRemoved], [[['a7', 2, 1, 3]], true]);
    const named = await call('GET', '/entities/thing:changed?include=history.b7');
    t.same([shown(named), named.body.historyOmitsRemoved], [[['b7', 1, 2, 2]], undefined]);
    const fixed = await call('GET', '/entities/thing:changed?include=history&asOf=3');
    t.same(fixed.body, thousand.body, 'as of then it had not had too many');
  });
});
