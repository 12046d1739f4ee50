import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import t from 'tap';
import { openPools } from '../../../src/storage/engine/pools.js';
import { openStorage, storageOf } from '../../../src/storage/open.js';
import type { Op } from '../../../src/temporal/entity.js';
import { newId } from '../../../src/temporal/identity.js';
import type { JsonObject } from '../../../src/temporal/json.js';
import { importHistory } from '../../helper/imported.js';
import { type Answer, type Call, list, object, problem, serve, testService, text } from '../../helper/service.js';
import { writeMany } from '../../helper/write.js';

/** WALKED_ENTITIES=100000 walks through more; a multiple of 10,000, from 40,000 on. */
const WALKED = Number(process.env.WALKED_ENTITIES ?? 40_000);

const keysOf = (answer: Answer) => list(answer.body.items).map((item) => object(item).key ?? null);
const pathOf = (parameters: Record<string, string>) => `/entities?${new URLSearchParams(parameters)}`;

/** All pages of a walk, from the first on. */
async function walk(call: Call, parameters: Record<string, string>): Promise<Answer[]> {
  const pages = [await call('GET', pathOf(parameters))];
  for (let next = pages[0]?.body.next; next; next = pages.at(-1)?.body.next) {
    pages.push(await call('GET', pathOf({ ...parameters, cursor: text(next) })));
  }
  return pages;
}
const itemsOf = (pages: readonly Answer[]): JsonObject[] => pages.flatMap((page) => list(page.body.items).map(object));

t.test('a collection as of an instant', async (t) => {
  const { call, sql, url, serviceUrl } = await testService(t);
  const tickAt = (answer: Answer) => text(answer.headers['tick-at']);
  const make = (key: string | null, properties: JsonObject, type = 'friend') =>
    call('POST', '/entities', { type, ...(key === null ? {} : { key }), properties });

  t.match(await call('GET', '/entities?type=friend'), {
    status: 200,
    text: '{"asOf": null, "recordedAsOf": null, "items": [], "next": null}',
    headers: { etag: '"nothing"', 'cache-control': 'no-cache' },
  });

  const rachel = await make('rachel', { location: 'New York', name: 'Rachel' });
  const will = await make('will', { location: 'Boston' });
  const nobody = await make(null, { location: 'nowhere' });
  const other = await make('rachel', { location: 'elsewhere' }, 'actor');
  const moved = await call('PATCH', '/entities/friend:rachel', { properties: { location: 'San Francisco' } });
  const gone = await call('DELETE', '/entities/friend:will');
  const back = await call('PUT', '/entities/friend:will', { type: 'friend', properties: { location: 'Oakland' } });
  const last = await make('zoe', {});

  await t.test(
    'now: the newest stable instant, in the order of keys, with the same bytes as each entity',
    async (t) => {
      const answer = await call('GET', '/entities?type=friend');
      t.same(keysOf(answer), [null, 'rachel', 'will', 'zoe']);
      t.equal(answer.body.asOf, tickAt(last), 'the instant of the newest change');
      t.equal(answer.body.recordedAsOf, tickAt(last));
      const each = await Promise.all(
        [text(nobody.body.id), 'friend:rachel', 'friend:will', 'friend:zoe'].map((id) =>
          call('GET', `/entities/${id}`),
        ),
      );
      t.equal(
        answer.text,
        `{"asOf": "${tickAt(last)}", "recordedAsOf": "${tickAt(last)}", "items": [${each.map(({ text }) => text).join(', ')}], "next": null}`,
      );
    },
  );

  await t.test('as of every instant: each entity as it was then', async (t) => {
    const cases: [
      at: Answer,
      deleted: string | null,
      shown: [key: string | null, tick: number, location: string | null][],
    ][] = [
      [rachel, null, [['rachel', 1, 'New York']]],
      [
        will,
        null,
        [
          ['rachel', 1, 'New York'],
          ['will', 1, 'Boston'],
        ],
      ],
      [
        other,
        null,
        [
          [null, 1, 'nowhere'],
          ['rachel', 1, 'New York'],
          ['will', 1, 'Boston'],
        ],
      ],
      [
        moved,
        null,
        [
          [null, 1, 'nowhere'],
          ['rachel', 2, 'San Francisco'],
          ['will', 1, 'Boston'],
        ],
      ],
      [
        gone,
        null,
        [
          [null, 1, 'nowhere'],
          ['rachel', 2, 'San Francisco'],
        ],
      ],
      [
        gone,
        'include',
        [
          [null, 1, 'nowhere'],
          ['rachel', 2, 'San Francisco'],
          ['will', 2, null],
        ],
      ],
      [gone, 'only', [['will', 2, null]]],
      [
        back,
        null,
        [
          [null, 1, 'nowhere'],
          ['rachel', 2, 'San Francisco'],
          ['will', 3, 'Oakland'],
        ],
      ],
      [back, 'only', []],
    ];
    for (const [at, deleted, shown] of cases) {
      const answer = await call('GET', pathOf({ type: 'friend', asOf: tickAt(at), ...(deleted ? { deleted } : {}) }));
      const items = list(answer.body.items).map(object);
      t.same(
        items.map(({ key, tick, properties }) => [key ?? null, tick, object(properties).location ?? null]),
        shown,
      );
      t.same(
        items.map((item) => item.deleted),
        shown.map(([, , location]) => location === null),
      );
      for (const item of items.filter((item) => !item.deleted)) {
        t.same((await call('GET', `/entities/${item.id}?asOf=${tickAt(at)}`)).body, item);
      }
    }
    t.match(await call('GET', '/entities?type=friend&asOf=2001-01-01T00:00:00Z'), {
      text: '{"asOf": null, "recordedAsOf": null, "items": [], "next": null}',
    });
    t.equal(
      (await call('GET', pathOf({ type: 'friend', asOf: tickAt(moved).replace('Z', '+00:00') }))).text,
      (await call('GET', pathOf({ type: 'friend', asOf: tickAt(moved) }))).text,
    );
  });

  await t.test('pages of one walk are pinned to its first, and say so', async (t) => {
    const parameters = { type: 'friend', limit: '1', asOf: tickAt(moved) };
    const pages = await walk(call, parameters);
    t.same(pages.map(keysOf), [[null], ['rachel'], ['will']]);
    t.same(
      pages.map(({ body }) => body.asOf),
      pages.map(() => tickAt(moved)),
    );
    t.same(
      pages.map(({ headers }) => headers.etag),
      pages.map(() => `"${tickAt(moved)}"`),
    );
    t.same(
      pages.map(({ headers }) => headers['cache-control']),
      ['no-cache', 'max-age=31536000, immutable', 'max-age=31536000, immutable'],
      'a cursor fixes everything',
    );
    for (const [n, page] of pages.entries()) {
      const link = /, <([^>]*)>; rel="next"$/.exec(page.headers.link ?? '')?.[1];
      t.equal(link === undefined ? undefined : (await call('GET', link)).text, pages[n + 1]?.text);
    }
    const first = await call('GET', '/entities?type=friend&limit=1');
    const fixed = await call('GET', text(first.headers['content-location']));
    t.equal(fixed.text, first.text, 'its own URL gives the same bytes, the cursor too');
    t.same(
      itemsOf(await walk(call, { limit: '1' })).map(({ type, key }) => [type, key ?? null]),
      [
        ['actor', 'rachel'],
        ['friend', null],
        ['friend', 'rachel'],
        ['friend', 'will'],
        ['friend', 'zoe'],
      ],
      'without a type: those of all types',
    );
    t.same((await walk(call, { limit: '2', asOf: tickAt(other) })).map(keysOf), [
      ['rachel', null],
      ['rachel', 'will'],
    ]);
  });

  await t.test(
    'another instance goes on with a walk, though a transaction that began earlier is open by now',
    async (t) => {
      const other = postgres(url, { max: 1, onnotice: () => {} });
      await other`SELECT 1`;
      // So that what is promised by then has just been stored, and the next instant will not be: it would be known to others.
      await sleep(600);
      await call('GET', '/entities?type=friend');
      await sleep(50);
      await other`BEGIN`;
      await make('zed', {});
      const first = await call('GET', '/entities?type=friend&limit=4');
      await other`SELECT pg_current_xact_id()`;
      const storage = openStorage(serviceUrl);
      const second = await serve(t, storage);
      const page = await second.call('GET', pathOf({ type: 'friend', limit: '4', cursor: text(first.body.next) }));
      t.match(page, { status: 200, body: { asOf: first.body.asOf } });
      t.same(keysOf(page), ['zoe']);
      const fresh = text((await second.call('GET', '/entities?type=friend')).body.asOf);
      t.ok(fresh < text(first.body.asOf), 'where it would not promise that instant itself');
      await other`ROLLBACK`;
      await Promise.all([other.end(), storage.close()]);
    },
  );

  await t.test('only some properties', async (t) => {
    const answer = await call('GET', pathOf({ type: 'friend', asOf: tickAt(rachel), fields: 'name' }));
    t.same(
      list(answer.body.items).map((item) => object(item).properties),
      [{ name: 'Rachel' }],
    );
  });

  await t.test('a cursor carries the place by value, whatever the key is', async (t) => {
    const keys = ['%2E', '%25.', '.', '..%', 'a.b', 'ä.%', '\u{10FFFF}'.repeat(512)].sort();
    for (const key of keys)
      await call('PUT', `/entities/odd:${encodeURIComponent(key)}`, { type: 'odd', properties: {} });
    t.same((await walk(call, { type: 'odd', limit: '1' })).flatMap(keysOf), keys);
    t.same((await walk(call, { limit: '1', keyPrefix: 'a', type: 'odd' })).flatMap(keysOf), ['a.b']);
  });

  await t.test('a page has the bytes of each entity, whatever key it has and whoever puts them together', async (t) => {
    const keys = ['"quoted\\"', '/\b\f\n\r\t', '\u0001\u001f\u007f', '\u2028\ufeff', 'é💚'];
    for (const key of keys)
      await call('PUT', `/entities/byte:${encodeURIComponent(key)}`, { type: 'byte', properties: { key } });
    const page = await call('GET', '/entities?type=byte');
    t.equal(list(page.body.items).length, keys.length);
    for (const key of keys)
      t.ok(page.text.includes((await call('GET', `/entities/byte:${encodeURIComponent(key)}`)).text), key);
  });

  await t.test('so does one in which somebody is large, or was: it is read in pieces', async (t) => {
    // What does not compress is large as stored, too.
    const large = Array.from({ length: 2_000 }, () => randomUUID()).join();
    for (const [key, properties] of Object.entries({ a: { n: 1 }, b: { large, n: 2 }, c: { n: 3 } }))
      await call('PUT', `/entities/mixed:${key}`, { type: 'mixed', properties });
    const then = text((await call('GET', '/entities?type=mixed')).body.asOf);
    await call('PATCH', '/entities/mixed:b', { properties: { large: null } });
    await call('PATCH', '/entities/mixed:c', { properties: { n: 4 } });
    const filters = ['', `&where=${encodeURIComponent('{"n": {"in": [1, 2, 3, 4]}}')}`];
    for (const asOf of ['', `asOf=${then}`]) {
      const each = await Promise.all(['a', 'b', 'c'].map((key) => call('GET', `/entities/mixed:${key}?${asOf}`)));
      for (const where of filters) {
        const page = await call('GET', `/entities?type=mixed&${asOf}${where}`);
        t.ok(page.text.includes(`"items": [${each.map((entity) => entity.text).join(', ')}]`), `${asOf}${where}`);
      }
    }
  });

  await t.test('what is asked wrongly is refused', async (t) => {
    const next = text((await call('GET', '/entities?type=friend&limit=1')).body.next);
    const cursorOf = (...words: string[]) => {
      const [walk = ''] = Buffer.from(next, 'base64url').toString().split('.');
      return Buffer.from([walk, ...words.map((word) => word.replaceAll('.', '%2E'))].join('.')).toString('base64url');
    };
    const [at, id] = [tickAt(moved), text(rachel.body.id)];
    t.equal(
      (await call('GET', `/entities?type=friend&limit=1&cursor=${cursorOf(at, at, 'friend', 'a.b', id)}`)).status,
      200,
    );
    const cases: [query: string, code: string, path: string][] = [
      ['type=friend&asOf=3', 'invalid_as_of', 'asOf'],
      ['type=friend&recordedAsOf=3', 'invalid_as_of', 'recordedAsOf'],
      ['type=friend&asOf=', 'invalid_as_of', 'asOf'],
      ['type=friend&recordedAsOf=', 'invalid_as_of', 'recordedAsOf'],
      ['type=friend&asOf=2016-01-01T00:00:00', 'invalid_as_of', 'asOf'],
      ['type=Friend', 'invalid_parameter', 'type'],
      ['type=friend&deleted=no', 'invalid_parameter', 'deleted'],
      ['type=friend&limit=0', 'invalid_parameter', 'limit'],
      ['type=friend&limit=1001', 'invalid_parameter', 'limit'],
      ['keyPrefix=r', 'invalid_parameter', 'keyPrefix'],
      ['type=friend&keyPrefix=', 'invalid_parameter', 'keyPrefix'],
      ['type=friend&keyPrefix=%00', 'invalid_parameter', 'keyPrefix'],
      [`type=friend&keyPrefix=${'k'.repeat(513)}`, 'invalid_parameter', 'keyPrefix'],
      ['type=friend&x=1', 'unknown_parameter', 'x'],
      ['ids=friend:rachel&type=friend', 'invalid_parameter', 'type'],
      ['ids=friend:rachel&limit=1', 'invalid_parameter', 'limit'],
      ['ids=friend:rachel&cursor=x', 'invalid_parameter', 'cursor'],
      ['ids=friend:rachel&deleted=only', 'invalid_parameter', 'deleted'],
      ['type=friend&fields=..', 'invalid_property_name', 'fields'],
      ['type=friend&cursor=x', 'invalid_cursor', 'cursor'],
      [`type=actor&cursor=${next}`, 'invalid_cursor', 'cursor'],
      [`type=friend&deleted=include&cursor=${next}`, 'invalid_cursor', 'cursor'],
      [`type=friend&asOf=${at}&cursor=${next}`, 'invalid_cursor', 'cursor'],
      [`type=friend&cursor=${cursorOf(at, at)}`, 'invalid_cursor', 'cursor'],
      [`type=friend&cursor=${cursorOf(at, at, 'friend', '', 'x')}`, 'invalid_cursor', 'cursor'],
      [`type=friend&cursor=${cursorOf(at, at, 'Friend', '', id)}`, 'invalid_cursor', 'cursor'],
      [`type=friend&cursor=${cursorOf(at, at, 'friend', '\0', id)}`, 'invalid_cursor', 'cursor'],
      [`type=friend&cursor=${cursorOf(at, at, 'friend', 'k'.repeat(513), id)}`, 'invalid_cursor', 'cursor'],
      [`type=friend&cursor=${cursorOf(at, '3', 'friend', '', id)}`, 'invalid_cursor', 'cursor'],
      [`type=friend&cursor=${cursorOf('2016-13-01T00:00:00Z', at, 'friend', '', id)}`, 'invalid_cursor', 'cursor'],
      [
        `type=friend&cursor=${cursorOf(at, '2999-01-01T00:00:00.000000Z', 'friend', '', id)}`,
        'invalid_cursor',
        'cursor',
      ],
      [`type=friend&cursor=${cursorOf(at, at, 'friend', '', id, id)}`, 'invalid_cursor', 'cursor'],
    ];
    for (const [query, code, path] of cases) {
      t.match(await call('GET', `/entities?${query}`), problem(400, code, { errors: [{ path }] }), query);
    }
    t.match(
      await call('GET', '/entities?type=friend', undefined, { 'if-none-match': 'x' }),
      problem(400, 'invalid_condition'),
    );
  });

  await t.test(
    'G08 a future instant is refused, and one told to be patient; one just ahead is waited for',
    async (t) => {
      const answer = await call('GET', '/entities?type=friend&asOf=2999-01-01T00:00:00Z');
      t.match(answer, problem(400, 'as_of_in_future'));
      t.match(answer.body.detail, /patient/);
      const soon = new Date(Date.now() + 300).toISOString();
      t.equal((await call('GET', `/entities?type=friend&asOf=${soon}`)).status, 200);
    },
  );

  await t.test('read your own writes: as of the instant that each write answered', async (t) => {
    for (let n = 0; n < 30; n++) {
      const written = await call('PUT', '/entities/friend:zoe', { type: 'friend', properties: { n } });
      const answer = await call('GET', pathOf({ type: 'friend', asOf: tickAt(written), keyPrefix: 'zoe' }));
      t.same(list(answer.body.items), [written.body]);
      t.same(answer.body.asOf, tickAt(written));
    }
  });

  await t.test('by the beginning of their keys, whatever these hold', async (t) => {
    const keys = [
      'a',
      'aa',
      'ab',
      'a%',
      'a_',
      'a\\',
      'A',
      'é',
      'éa',
      '\u{10FFFF}',
      '\u{10FFFF}a',
      '😀',
      'a\u{10FFFF}',
      'k'.repeat(512),
      "a'b",
    ];
    for (const key of keys) await make(key, {}, 'keyed');
    await make(null, {}, 'keyed');
    const ordered = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    t.same(
      itemsOf(await walk(call, { type: 'keyed', limit: '2' })).map(({ key }) => key),
      [undefined, ...ordered],
    );
    await make('a?b', {}, 'asked');
    await make('a?c', {}, 'asked');
    const raw = await call('GET', '/entities?limit=1&keyPrefix=a?&type=asked');
    const link = /, <([^>]*)>; rel="next"$/.exec(raw.headers.link ?? '')?.[1];
    t.same(keysOf(await call('GET', text(link))), ['a?c'], 'a question mark is part of a query');
    for (const prefix of [
      'a',
      'aa',
      'aaa',
      'a%',
      'a_',
      '%',
      'é',
      '\u{10FFFF}',
      '😀',
      'A',
      'k',
      'k'.repeat(512),
      'b',
      "a'",
    ]) {
      const found = itemsOf(await walk(call, { type: 'keyed', keyPrefix: prefix, limit: '2' })).map(({ key }) => key);
      t.same(
        found,
        ordered.filter((key) => key.startsWith(prefix)),
        prefix,
      );
    }
  });

  await t.test('G05 the tag changes if and only if a change at or before the instant was added', async (t) => {
    const tagOf = async (parameters: Record<string, string>) => (await call('GET', pathOf(parameters))).headers.etag;
    const first = await make('a', { n: 1 }, 'grade');
    const asOf = tickAt(first);
    const then = { type: 'grade', asOf };
    const [tag, body] = [await tagOf(then), (await call('GET', pathOf(then))).text];
    const known = (headers: Answer['headers'], parameters: Record<string, string>) =>
      call('GET', pathOf(parameters), undefined, { 'if-none-match': text(headers.etag) });
    t.match(await known({ etag: tag }, then), {
      status: 304,
      text: '',
      headers: { etag: tag, 'cache-control': 'no-cache' },
    });
    t.equal(await tagOf({ type: 'grade' }), tag, 'nothing has changed since');

    const sent: string[] = [];
    const watched = storageOf(openPools(serviceUrl, (_connection, statement) => sent.push(statement)));
    const watchedCall = (await serve(t, watched)).call;
    const unread = await watchedCall('GET', pathOf(then), undefined, { 'if-none-match': text(tag) });
    t.equal(unread.status, 304);
    t.same(
      sent.filter((statement) => statement.includes('properties')),
      [],
      'that is said without reading any',
    );
    await watchedCall('GET', pathOf(then));
    t.equal(sent.filter((statement) => statement.includes('properties')).length, 1, 'a page is one statement');
    await watched.close();

    await make('b', { n: 1 }, 'other');
    t.equal(await tagOf({ type: 'grade' }), tag, 'of another type');
    await call('PATCH', '/entities/grade:a', { properties: { n: 1 } });
    t.equal(await tagOf({ type: 'grade' }), tag, 'nothing changed by that');
    await call('PATCH', '/entities/grade:a', { properties: {} }, { 'if-match': '"9"' });
    t.equal(await tagOf({ type: 'grade' }), tag, 'nor by what was refused');

    await call('PATCH', '/entities/grade:a', { properties: { n: 2 } });
    const later = await tagOf({ type: 'grade' });
    t.not(later, tag);
    t.equal(await tagOf(then), tag, 'a change after it is none at or before it');
    t.equal((await call('GET', pathOf(then))).text, body);
    t.match(await known({ etag: tag }, { type: 'grade' }), { status: 200, headers: { etag: later } });

    await importHistory(sql, 'grade', 'late', [{ at: new Date().toISOString(), op: 'created', set: { n: 0 } }]);
    t.equal(await tagOf(then), tag, 'nor is an imported one');
    await importHistory(sql, 'grade', 'early', [{ at: '2001-01-01T00:00:00Z', op: 'created', set: { n: 0 } }]);
    const changed = await call('GET', pathOf(then));
    t.not(changed.headers.etag, tag, 'one that was imported to before it is');
    t.same(keysOf(changed), ['a', 'early']);
    t.equal(changed.body.asOf, asOf);
    t.ok(text(changed.body.recordedAsOf) > asOf);
    t.not(await tagOf({ type: 'grade', asOf: '2001-01-01T00:00:00Z' }), '"nothing"');

    await t.test('and what was recorded by an instant stays fixed even then', async (t) => {
      await make('a', { n: 1 }, 'gap');
      const until = tickAt(await make('a', {}, 'elsewhere'));
      const whole = { type: 'gap', asOf: until, recordedAsOf: until };
      const kept = await call('GET', pathOf(whole));
      await importHistory(sql, 'gap', 'b', [{ at: until, op: 'created', set: { n: 0 } }]);
      t.match(await call('GET', pathOf(whole)), { text: kept.text, headers: { etag: kept.headers.etag } });
      const pinned = { ...then, recordedAsOf: asOf };
      const answer = await call('GET', pathOf(pinned));
      t.equal(answer.text, body);
      t.match(answer.headers, { etag: tag, 'cache-control': 'max-age=31536000, immutable' });
      const fixed = { type: 'grade', asOf, recordedAsOf: text(changed.body.recordedAsOf) };
      await importHistory(sql, 'grade', 'earlier', [{ at: '2000-01-01T00:00:00Z', op: 'created', set: { n: 0 } }]);
      t.equal((await call('GET', pathOf(fixed))).text, changed.text);
      t.same(keysOf(await call('GET', pathOf(then))), ['a', 'earlier', 'early']);
      t.equal((await call('GET', pathOf(pinned))).text, body);
      // A walk is pinned to both.
      const parameters = { type: 'grade', asOf, limit: '1' };
      const start = await call('GET', pathOf(parameters));
      await importHistory(sql, 'grade', 'b', [{ at: '2000-01-01T00:00:00Z', op: 'created', set: { n: 0 } }]);
      const second = await call('GET', pathOf({ ...parameters, cursor: text(start.body.next) }));
      t.same(keysOf(second), ['earlier']);
      t.same(keysOf(await call('GET', pathOf({ type: 'grade', asOf, recordedAsOf: '1999-01-01T00:00:00Z' }))), []);
      // What goes on afterwards as usual is no import any more.
      await call('PATCH', '/entities/grade:early', { properties: { n: 5 } });
      t.same(keysOf(await call('GET', pathOf({ ...then, keyPrefix: 'early' }))), ['early']);
      const [row] = await sql`SELECT recorded_at FROM clocktick.entity WHERE key = 'early'`;
      t.same(row, { recorded_at: null });
    });
  });

  await t.test('G01 a grade that was corrected: as of an instant between, at it, and now', async (t) => {
    await importHistory(sql, 'student', 'scott', [
      { at: '2016-08-19T01:35:00Z', op: 'created', set: { grade: 'B' } },
      { at: '2016-08-19T02:05:00Z', op: 'updated', set: { grade: 'B-' } },
    ]);
    const gradeAt = async (asOf?: string) => {
      const answer = await call('GET', pathOf({ type: 'student', ...(asOf ? { asOf } : {}) }));
      const single = await call('GET', `/entities/student:scott${asOf ? `?asOf=${asOf}` : ''}`);
      t.equal(answer.text.includes(single.text), single.status === 200);
      return list(answer.body.items).map((item) => object(object(item).properties).grade);
    };
    t.same(await gradeAt('2016-08-19T01:34:59.999999Z'), []);
    t.same(await gradeAt('2016-08-19T02:00:00Z'), ['B']);
    t.same(await gradeAt('2016-08-19T02:04:59.999999Z'), ['B']);
    t.same(await gradeAt('2016-08-19T02:05:00Z'), ['B-']);
    t.same(await gradeAt(), ['B-']);
  });

  await t.test('A15 a reservation with its dates of then', async (t) => {
    const id = await importHistory(sql, 'reservation', 'monica', [
      { at: '2015-04-02T18:00:00Z', op: 'created', set: { name: 'Monica', party: 6 } },
      { at: '2015-04-03T09:00:00Z', op: 'updated', set: { party: 4 } },
      { at: '2015-04-08T12:00:00Z', op: 'deleted', set: {} },
    ]);
    const cases: [asOf: string, status: number, party: number | null][] = [
      ['2015-04-02T17:59:59Z', 404, null],
      ['2015-04-02T23:00:00Z', 200, 6],
      ['2015-04-05T00:00:00Z', 200, 4],
      ['2015-04-09T00:00:00Z', 410, null],
    ];
    for (const [asOf, status, party] of cases) {
      const single = await call('GET', `/entities/${id}?asOf=${asOf}`);
      t.equal(single.status, status);
      const items = list((await call('GET', pathOf({ type: 'reservation', asOf }))).body.items);
      t.same(items, party === null ? [] : [single.body]);
      t.same(party === null ? null : object(single.body.properties), party === null ? null : { name: 'Monica', party });
    }
    const history = list((await call('GET', `/entities/${id}/history`)).body.items).map(object);
    t.same(
      history.map(({ tick, op, imported }) => [tick, op, imported]),
      [
        [1, 'created', true],
        [2, 'updated', true],
        [3, 'deleted', true],
      ],
    );
    const only = await call('GET', pathOf({ type: 'reservation', asOf: '2015-04-09T00:00:00Z', deleted: 'only' }));
    t.same(
      list(only.body.items).map((item) => object(item).tick),
      [3],
    );
  });

  await t.test('a page holds up to 16 MiB, and goes on where it ended', async (t) => {
    const big = 'x'.repeat(900_000);
    for (let n = 0; n < 20; n++) t.equal((await make(`b${n}`, { big, n }, 'big')).status, 201);
    const pages = await walk(call, { type: 'big' });
    t.same(
      pages.map((page) => list(page.body.items).length),
      [18, 2],
    );
    t.equal(new Set(itemsOf(pages).map(({ key }) => key)).size, 20);
    const asOf = text(pages[0]?.body.asOf);
    const small = await walk(call, { type: 'big', fields: 'n' });
    t.same(
      small.map((page) => list(page.body.items).length),
      [18, 2],
      'whichever of them are shown',
    );
    // Where a page ends is part of what it says: how large its entities are by now must not change it.
    for (let n = 0; n < 20; n++) await call('PUT', `/entities/big:b${n}`, { type: 'big', properties: { n } });
    const then = await walk(call, { type: 'big', asOf });
    t.same(
      then.map((page) => list(page.body.items).length),
      [18, 2],
    );
    for (const [n, page] of then.entries()) t.ok(page.text === pages[n]?.text || n === 0, 'the same bytes');
    const light = await call('GET', '/entities?type=big');
    t.equal(list(light.body.items).length, 20);
    for (let n = 0; n < 20; n++) await call('PATCH', `/entities/big:b${n}`, { properties: { big } });
    const heavy = await call('GET', text(light.headers['content-location']));
    t.ok(heavy.text === light.text, 'nor the other way round');
  });
});

t.test(
  `a walk through ${WALKED} entities while they change: each exactly once, as of the pinned instant`,
  async (t) => {
    const { call, sql } = await testService(t);
    const ids = Array.from({ length: WALKED }, newId);
    const writeAll = (chosen: readonly string[], expected: number, op: Op, set: JsonObject, clear: string[] = []) =>
      writeMany(
        sql,
        chosen.map((id) => ({ id, expected, op, type: 'item', set, clear })),
      );
    await writeAll(ids, 0, 'created', { n: 1 });
    // Some have changed, some are gone, and one is of another type, before the walk begins.
    await writeAll(ids.slice(0, 5_000), 1, 'updated', { n: 2 });
    await writeAll(ids.slice(5_000, 10_000), 1, 'deleted', {}, ['n']);
    await writeAll(ids.slice(19_000, 19_001), 1, 'deleted', {}, ['n']);
    const [begun, early] = [
      await call('GET', '/entities?type=item&limit=1000'),
      text((await call('POST', '/entities', { type: 'other', properties: {} })).headers['tick-at']),
    ];
    const asOf = text(begun.body.asOf);
    t.ok(asOf < early);

    const changing = (async () => {
      await writeAll(ids.slice(0, 5_000), 2, 'deleted', {}, ['n']);
      await writeAll(ids.slice(5_000, 8_000), 2, 'restored', { n: 3 });
      await writeAll(ids.slice(WALKED / 2, WALKED * 0.7), 1, 'updated', { n: 4, m: 1 });
      await writeAll(ids.slice(WALKED * 0.9), 1, 'deleted', {}, ['n']);
      await writeAll(Array.from({ length: 12_000 }, newId), 0, 'created', { n: 9 });
    })();
    const seen = new Map<string, unknown>();
    let items = 0;
    let page = begun;
    for (;;) {
      t.equal(page.body.asOf, asOf);
      for (const item of list(page.body.items).map(object)) {
        items++;
        seen.set(text(item.id), object(item.properties).n);
      }
      if (page.body.next === null) break;
      page = await call('GET', pathOf({ type: 'item', limit: '1000', cursor: text(page.body.next) }));
      if (page.status !== 200) throw new Error(page.text);
    }
    await changing;
    t.equal(items, WALKED - 5_001);
    t.equal(seen.size, WALKED - 5_001, 'each once');
    t.same(
      ids.flatMap((id, n) =>
        seen.get(id) === (n < 5_000 ? 2 : n < 10_000 || n === 19_000 ? undefined : 1) ? [] : [id],
      ),
      [],
      'as it was at that instant',
    );
    t.not((await call('GET', '/entities?type=item&limit=1')).body.asOf, asOf, 'and the world has moved on');

    await t.test('a page that finds too little in 10,000 says where to go on', async (t) => {
      // Ids of version 7 are in the order of time: what was created last comes last.
      const short = await call('GET', pathOf({ type: 'item', deleted: 'only', asOf }));
      t.equal(list(short.body.items).length, 100);
      const pages = await walk(call, { type: 'item', deleted: 'only', asOf, limit: '1000' });
      t.equal(itemsOf(pages).length, 5_001, 'the first after ten thousand others, too');
      t.same(
        pages.map((page) => list(page.body.items).length),
        [1000, 1000, 1000, 1000, 1000, 1, ...Array.from({ length: WALKED / 10_000 - 2 }, () => 0)],
        'a thousand at most, and of ten thousand each',
      );
      await writeAll(Array.from({ length: 2_000 }, newId), 0, 'created', { n: 9 });
      const again = await walk(call, { type: 'item', deleted: 'only', asOf, limit: '1000' });
      t.same(
        again.map(({ text }) => text),
        pages.map(({ text }) => text),
        'what came later changes nothing',
      );
    });
  },
);
