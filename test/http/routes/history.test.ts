import t, { type Test } from 'tap';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import {
  type Answer,
  type Call,
  list,
  MINIMAL,
  object,
  problem,
  ranges,
  state,
  testService,
  text,
} from '../../helper/service.js';

/** Follows `next` to the end and gives all items, checking that every page is as long as it may be. */
async function walk(t: Test, call: Call, url: string, limit: number) {
  const items = [];
  for (let cursor = ''; ; ) {
    const separator = url.includes('?') ? '&' : '?';
    const page = await call('GET', `${url}${separator}limit=${limit}${cursor}`);
    t.equal(page.status, 200);
    items.push(...list(page.body.items).map(object));
    if (page.body.next === null) {
      t.notOk(page.headers.link);
      return items;
    }
    t.equal(list(page.body.items).length, limit);
    cursor = `&cursor=${page.body.next}`;
    const link = /^<(.+)>; rel="next"$/.exec(page.headers.link ?? '');
    t.equal(new URL(link?.[1] ?? '', 'http://x').searchParams.get('cursor'), page.body.next);
  }
}

t.test('the past', async (t) => {
  const { call, sql } = await testService(t);
  const made = await call('POST', '/entities', { type: 'friend', key: 'rachel', properties: { name: 'Rachel', n: 1 } });
  const id = text(made.body.id);
  const answers = [made];
  for (let n = 2; n <= 25; n++) {
    const changes = n === 10 ? { n: null } : n === 15 ? { other: true } : { n: n === 12 ? null : n };
    const answer = await call('PATCH', '/entities/friend:rachel', { properties: changes });
    if (answer.body.tick === answers.length + 1) answers.push(answer);
  }
  const last = answers.length;
  const instant = (tick: number) => text(answers[tick - 1]?.body.updatedAt);

  await t.test('faithful: as of each tick and its instant is what the write that made it answered', async (t) => {
    for (const [index, answer] of answers.entries()) {
      const byTick = await call('GET', `/entities/${id}?asOf=${index + 1}`);
      t.equal(byTick.status, 200);
      t.equal(byTick.text, answer.text);
      t.equal(byTick.headers.etag, `"${index + 1}"`);
      t.equal(byTick.headers['content-location'], `/entities/${id}?asOf=${index + 1}`);
      const byInstant = await call('GET', `/entities/friend:rachel?asOf=${instant(index + 1)}`);
      t.equal(byInstant.text, answer.text);
      t.equal(byInstant.headers['content-location'], `/entities/${id}?asOf=${index + 1}`);
    }
  });

  await t.test('as of an instant between two ticks is the earlier one', async (t) => {
    const [between] = await sql<{ before: string; after: string }[]>`
      SELECT to_char(at - interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS before,
             to_char(at + interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS after
        FROM clocktick.tick WHERE entity_id = ${id} AND tick = 2`;
    t.equal((await call('GET', `/entities/${id}?asOf=${between?.before}`)).body.tick, 1);
    t.equal((await call('GET', `/entities/${id}?asOf=${between?.after}`)).body.tick, 2);
  });

  await t.test('the same instant in another zone, and with a space for its plus, is the same point', async (t) => {
    const zoned = instant(3).replace(/T(\d\d)(.*)Z$/, (_, hour: string, rest: string) => {
      const later = (Number(hour) + 2) % 24;
      return `T${String(later).padStart(2, '0')}${rest}+02:00`;
    });
    if (zoned > instant(3)) {
      t.equal((await call('GET', `/entities/${id}?asOf=${encodeURIComponent(zoned)}`)).body.tick, 3);
      t.equal((await call('GET', `/entities/${id}?asOf=${zoned}`)).body.tick, 3);
    }
  });

  await t.test('what is not there as of then', async (t) => {
    const cases: [name: string, url: string, status: number, code: string][] = [
      ['before its creation', `/entities/${id}?asOf=2001-01-01T00:00:00Z`, 404, 'entity_not_found'],
      ['never there', '/entities/friend:nobody?asOf=2001-01-01T00:00:00Z', 404, 'entity_not_found'],
      ['never there, by tick', '/entities/friend:nobody?asOf=1', 404, 'entity_not_found'],
      ['a tick to come', `/entities/${id}?asOf=${last + 1}`, 404, 'tick_not_found'],
      ['a tick beyond all clocks', `/entities/${id}?asOf=99999999999999999999`, 404, 'tick_not_found'],
      ['an instant to come', `/entities/${id}?asOf=2999-01-01T00:00:00Z`, 400, 'as_of_in_future'],
      ['a property it did not have then', `/entities/${id}/history/other?asOf=1`, 404, 'property_not_found'],
      ['a property of nobody', '/entities/friend:nobody/history/n?asOf=1', 404, 'entity_not_found'],
      ['a property as of a tick to come', `/entities/${id}/history/n?asOf=${last + 1}`, 404, 'tick_not_found'],
      [
        'a property as of an instant to come',
        `/entities/${id}/history/n?asOf=2999-01-01T00:00:00Z`,
        400,
        'as_of_in_future',
      ],
      ['a property before its entity', `/entities/${id}/history/n?asOf=2001-01-01T00:00:00Z`, 404, 'entity_not_found'],
      ['T54 the history of nobody', '/entities/friend:nobody/history', 404, 'entity_not_found'],
      ['T54 the ranges of nobody', '/entities/friend:nobody/history/n', 404, 'entity_not_found'],
      ['T54 a property it never had', `/entities/${id}/history/never`, 404, 'property_not_found'],
    ];
    for (const [name, url, status, code] of cases) {
      const answer = await call('GET', url);
      t.match(answer, { status, body: { status, code } }, name);
      t.match(answer.headers['content-type'], 'application/problem+json', name);
    }
    t.match((await call('GET', `/entities/${id}?asOf=2999-01-01T00:00:00Z`)).body.detail, 'be patient', 'G08');
  });

  await t.test('an answer as of then does not change when the future arrives', async (t) => {
    const before = '2001-01-01T00:00:00Z';
    const urls = [`/entities/friend:joey?asOf=${before}`, `/entities/friend:joey/history/name?asOf=${before}`];
    const first = await Promise.all(urls.map((url) => call('GET', url)));
    await call('POST', '/entities', { type: 'friend', key: 'joey', properties: { name: 'Joey' } });
    const then = await Promise.all(urls.map((url) => call('GET', url)));
    t.same(
      then.map(({ text }) => text),
      first.map(({ text }) => text),
    );
    const [open] = list((await call('GET', '/entities/friend:joey/history/name?asOf=1')).body.items);
    await call('PATCH', '/entities/friend:joey', { properties: { name: 'Joseph', age: 30 } });
    const [closed] = list((await call('GET', '/entities/friend:joey/history/name?asOf=1')).body.items);
    t.same(closed, open, 'a range that closes later was still open');
    t.equal((await call('GET', '/entities/friend:joey/history/age?asOf=1')).status, 404);
  });

  await t.test('up to a second in the future is waited for', async (t) => {
    const [soon] = await sql<{ at: string }[]>`
      SELECT to_char(clock_timestamp() + interval '0.3 s', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;
    const answer = await call('GET', `/entities/${id}?asOf=${soon?.at}`);
    t.equal(answer.body.tick, last);
    const [late] = await sql<
      { past: boolean }[]
    >`SELECT clock_timestamp() >= ${soon?.at ?? ''}::text::timestamptz AS past`;
    t.ok(late?.past);
  });

  await t.test('a property as of a point is the one range that contains it', async (t) => {
    for (let tick = 1; tick <= last; tick++) {
      const value = object(answers[tick - 1]?.body.properties).n;
      for (const asOf of [String(tick), instant(tick)]) {
        const { body } = await call('GET', `/entities/${id}/history/n?asOf=${asOf}`);
        const items = list(body.items).map(object);
        t.same(
          items.map((item) => [item.value, object(item.vclock).to, object(item.effective).to]),
          value === undefined ? [] : [[value, null, null]],
        );
        t.ok(items.every((item) => Number(object(item.vclock).from) <= tick));
      }
    }
  });

  await t.test('pages: every item once, in order, whatever the size and the order', async (t) => {
    const all = await ranges(call, id, 'n');
    t.ok(all.length > 15);
    for (const limit of [1, 2, 7, 1000]) {
      const ascending = await walk(t, call, `/entities/${id}/history/n`, limit);
      const descending = await walk(t, call, `/entities/${id}/history/n?order=desc`, limit);
      t.equal(ascending.length, all.length);
      t.same(descending, [...ascending].reverse());
      const ticks = await walk(t, call, `/entities/${id}/history`, limit);
      t.same(
        ticks.map((item) => item.tick),
        answers.map((_, index) => index + 1),
      );
      t.same(await walk(t, call, `/entities/friend:rachel/history?order=desc`, limit), [...ticks].reverse());
    }
  });

  await t.test('the changes of each tick lead from the state before to the state after', async (t) => {
    const ticks = await walk(t, call, `/entities/${id}/history`, 4);
    t.same(
      ticks.map((item) => item.op),
      answers.map((_, index) => (index === 0 ? 'created' : 'updated')),
    );
    let state: Record<string, unknown> = {};
    for (const [index, item] of ticks.entries()) {
      for (const [name, change] of Object.entries(object(item.changes))) {
        t.same(object(change).from, state[name]);
        const { [name]: _, ...rest } = state;
        state = 'to' in object(change) ? { ...rest, [name]: object(change).to } : rest;
      }
      t.same(state, answers[index]?.body.properties);
    }
  });

  await t.test('from and to leave the ranges that overlap [from, to)', async (t) => {
    const all = list((await call('GET', `/entities/${id}/history/n`)).body.items).map(object);
    const bounds = (item: (typeof all)[number]) => {
      const { from, to } = object(item.vclock);
      return { from: Number(from), to: to === null ? Number.POSITIVE_INFINITY : Number(to) };
    };
    for (let from = 1; from <= last + 1; from++) {
      for (let to = from; to <= last + 2; to += 3) {
        const expected = all.filter((item) => from < to && bounds(item).from < to && bounds(item).to > from);
        const ticks = await call('GET', `/entities/${id}/history/n?from=${from}&to=${to}`);
        t.same(ticks.body.items, expected, `ticks ${from} to ${to}`);
        if (to > last) continue;
        const instants = await call('GET', `/entities/${id}/history/n?from=${instant(from)}&to=${instant(to)}`);
        t.same(instants.body.items, expected, `instants of ${from} to ${to}`);
        const mixed = await call('GET', `/entities/${id}/history/n?from=${from}&to=${instant(to)}`);
        t.same(mixed.body.items, expected, `tick ${from} to the instant of ${to}`);
      }
    }
    const open = await call('GET', `/entities/${id}/history/n?from=2001-01-01T00:00:00Z&to=2999-01-01T00:00:00Z`);
    t.same(open.body.items, all, 'from before the entity was to long from now');
    t.same((await call('GET', `/entities/${id}/history/n?to=2001-01-01T00:00:00Z`)).body.items, []);
    const windowed = await walk(t, call, `/entities/${id}/history/n?from=4&to=20&order=desc`, 2);
    t.same(windowed, all.filter((item) => bounds(item).from < 20 && bounds(item).to > 4).reverse());
  });

  await t.test('a walk shows what its first page knew, whatever is written meanwhile', async (t) => {
    await call('POST', '/entities', { type: 'friend', key: 'ross', properties: { n: 1 } });
    for (let n = 2; n <= 5; n++) await call('PATCH', '/entities/friend:ross', { properties: { n } });
    const before = list((await call('GET', '/entities/friend:ross/history/n')).body.items);
    const ticksBefore = list((await call('GET', '/entities/friend:ross/history')).body.items);
    const first = await call('GET', '/entities/friend:ross/history/n?limit=2');
    const firstTicks = await call('GET', '/entities/friend:ross/history?limit=2');
    await call('PATCH', '/entities/friend:ross', { properties: { n: 6 } });
    const rest = await call('GET', `/entities/friend:ross/history/n?cursor=${first.body.next}`);
    t.same([...list(first.body.items), ...list(rest.body.items)], before);
    const restTicks = await call('GET', `/entities/friend:ross/history?cursor=${firstTicks.body.next}`);
    t.same([...list(firstTicks.body.items), ...list(restTicks.body.items)], ticksBefore);
  });

  await t.test('a page ends before it gets too large, and the walk still gives every item once', async (t) => {
    const large = (n: number) => `[${'5e-324,'.repeat(15_000)}${n}]`; // 105 kB here, 5 MB as the JSON that comes back
    await call('POST', '/entities', `{"type": "friend", "key": "large", "properties": {"p": ${large(1)}}}`);
    for (let n = 2; n <= 5; n++) await call('PATCH', '/entities/friend:large', `{"properties": {"p": ${large(n)}}}`);
    for (const url of ['/entities/friend:large/history', '/entities/friend:large/history/p']) {
      const sizes = [];
      let seen = 0;
      for (let cursor: unknown = ''; cursor !== null; ) {
        const { body, text } = await call('GET', `${url}?limit=1000${cursor === '' ? '' : `&cursor=${cursor}`}`);
        sizes.push(text.length);
        seen += list(body.items).length;
        cursor = body.next ?? null;
      }
      t.equal(seen, 5, url);
      t.ok(sizes.length > 1 && Math.max(...sizes) < 17 * 2 ** 20, `${url}: ${sizes}`);
    }
  });

  await t.test('A12 history is read only', async (t) => {
    for (const url of [`/entities/${id}/history`, `/entities/${id}/history/n`]) {
      for (const method of ['PATCH', 'PUT', 'DELETE', 'POST'] as const) {
        const answer = await call(method, url, { anything: 1 });
        t.match(answer, {
          status: 405,
          headers: { allow: 'GET, HEAD, OPTIONS' },
          body: { code: 'method_not_allowed' },
        });
      }
      t.match(await call('OPTIONS', url), { status: 204, headers: { allow: 'GET, HEAD, OPTIONS' } });
      t.match(await call('HEAD', url), { status: 200, text: '' });
    }
  });
});

t.test('ticks by property, and in a window', async (t) => {
  const { call, sql } = await testService(t);
  const url = '/entities/thing:told/history';
  const patch = (properties: JsonObject) => call('PATCH', '/entities/thing:told', { properties });
  await call('PUT', '/entities/thing:told', state({ a: 1, b: null, 'x,y': 0 }));
  await patch({ a: 2 });
  await patch({ c: [] });
  await patch({ b: null, c: 3 });
  await patch({ a: 3, 'x,y': 1 });
  await call('DELETE', '/entities/thing:told');
  await call('POST', '/entities/thing:told/restore');
  await patch({ a: null });
  await patch({ b: 9 });
  await call('DELETE', '/entities/thing:told');
  await call('PUT', '/entities/thing:told', state({ a: 4, c: 3 }));
  await patch({ d: 1 });
  const all = list((await call('GET', url)).body.items).map(object);
  t.same(
    all.map(({ op, changes }) => `${op} ${Object.keys(object(changes))}`),
    [
      'created a,b,x,y',
      'updated a',
      'updated c',
      'updated b,c',
      'updated a,x,y',
      'deleted a,c,x,y',
      'restored a,c,x,y',
      'updated a',
      'updated b',
      'deleted b,c,x,y',
      'restored a,c',
      'updated d',
    ],
  );
  const last = all.length;
  const instant = (tick: number) => text(all[tick - 1]?.at);
  const [between] = await sql<{ at: string }[]>`
    SELECT to_char(at + interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM clocktick.tick WHERE tick = 6`;
  const afterSixth = between?.at ?? '';
  /** What a page of all ticks must hold of some properties (null: all), of the ticks in [from, to). */
  const filtered = (names: string[] | null, from: number, to: number) =>
    all.flatMap(({ changes, ...tick }) => {
      const shown = Object.entries(object(changes)).filter(([name]) => names === null || names.includes(name));
      const isIn = Number(tick.tick) >= from && Number(tick.tick) < to;
      return isIn && (names === null || shown.length > 0) ? [{ ...tick, changes: Object.fromEntries(shown) }] : [];
    });
  const questions: [names: string[] | null, parameter: string][] = [
    [null, ''],
    [['a'], '&property=a'],
    [['b'], '&property=b'],
    [['c'], '&property=c'],
    [['d'], '&property=d'],
    [['x,y'], '&property=x%2Cy'],
    [['d', 'a'], '&property=d,a'],
    [['b', 'x,y'], '&property=b&property=x%2Cy'],
    [['a', 'b', 'c', 'd', 'x,y'], '&property=a,b,c,d,x%2Cy'],
  ];

  await t.test('only the ticks that touched a property, and of them only that', async (t) => {
    for (const [names, parameter] of questions) {
      for (const limit of [1, 2, 3, 1000]) {
        const expected = filtered(names, 1, last + 1);
        t.same(await walk(t, call, `${url}?order=asc${parameter}`, limit), expected, `${names} by ${limit}`);
        const newest = await walk(t, call, `${url}?order=desc${parameter}`, limit);
        t.same(newest, [...expected].reverse(), `${names} by ${limit}, newest first`);
      }
    }
  });

  await t.test('only the ticks in [from, to), ticks or instants', async (t) => {
    for (const [question, [names, parameter]] of questions.entries()) {
      for (let from = 1; from <= last + 1; from++) {
        for (let to = 1 + (from % 3); to <= last + 2; to += 3) {
          const expected = filtered(names, from, to);
          const order = (from + to) % 3 === 0 ? 'desc' : 'asc';
          // Ticks, instants and both of each, in turn.
          const turn = question + (to - 1 - (from % 3)) / 3;
          const start = from <= last && turn % 2 === 1 ? instant(from) : from;
          const end = to <= last && turn % 4 >= 2 ? instant(to) : to;
          const window = `order=${order}&from=${start}&to=${end}${parameter}`;
          const shown = await walk(t, call, `${url}?${window}`, 1 + ((from * to) % 5));
          t.same(shown, order === 'desc' ? [...expected].reverse() : expected, window);
        }
      }
    }
    const cases: [window: string, from: number, to: number][] = [
      [`from=${afterSixth}`, 7, 99],
      [`to=${afterSixth}`, 1, 7],
      [`from=${afterSixth}&to=${afterSixth}`, 7, 7],
      ['from=2001-01-01T00:00:00Z&to=2999-01-01T00:00:00Z', 1, 99],
      ['from=2999-01-01T00:00:00Z', 99, 99],
      ['to=2001-01-01T00:00:00Z', 1, 1],
      ['from=99999999999', 99, 99],
      ['to=99999999999', 1, 99],
    ];
    for (const [window, from, to] of cases) {
      for (const [names, parameter] of questions)
        t.same((await call('GET', `${url}?${window}${parameter}`)).body.items, filtered(names, from, to), window);
    }
  });

  await t.test('a walk shows what its first page knew, and belongs to its question', async (t) => {
    const first = await call('GET', `${url}?property=d,a&limit=2`);
    await patch({ a: 'later', d: 'later' });
    const rest = await call('GET', `${url}?property=d,a&cursor=${first.body.next}`);
    t.same([...list(first.body.items), ...list(rest.body.items)], filtered(['d', 'a'], 1, last + 1));
    for (const other of ['', '&property=d', '&property=a,d', '&property=d,a&from=1', '&property=d,a&order=desc'])
      t.match(await call('GET', `${url}?cursor=${first.body.next}${other}`), problem(400, 'invalid_cursor'), other);
    const beyond = Buffer.from(text(first.body.next), 'base64url').toString().split('.')[0];
    const forged = Buffer.from(`${beyond}.2147483647.2147483647`).toString('base64url');
    t.same((await call('GET', `${url}?property=d,a&cursor=${forged}`)).body.items, []);
  });

  await t.test('without changes: the same ticks, of which only those are left out', async (t) => {
    const withoutChanges = (ticks: JsonObject[]) => ticks.map(({ changes: _, ...tick }) => tick);
    for (const [, parameter] of questions) {
      for (const window of ['', '&to=9', '&order=desc']) {
        const whole = await walk(t, call, `${url}?from=2${parameter}${window}`, 1000);
        const bare = await walk(t, call, `${url}?changes=none&from=2${parameter}${window}`, 2);
        t.same(bare, withoutChanges(whole), `${parameter}${window}`);
      }
    }
    const first = await call('GET', `${url}?changes=none&limit=2`);
    t.match(
      await call('GET', `${url}?changes=none&limit=2`, undefined, { 'if-none-match': first.headers.etag ?? '' }),
      {
        status: 304,
        text: '',
      },
    );
    // As fields and depth do, it chooses no other ticks: a walk goes on with what each changed.
    const rest = await call('GET', `${url}?cursor=${first.body.next}`);
    t.same(rest.body.items, list((await call('GET', url)).body.items).slice(2));
  });

  await t.test('what cannot be asked for', async (t) => {
    const many = Array.from({ length: 101 }, (_, n) => `p${n}`).join();
    const cases: [query: string, status: number, code: string, more: JsonObject][] = [
      ['property=never', 404, 'property_not_found', { detail: 'Entity thing:told never had a property never.' }],
      ['property=a,nor,never', 404, 'property_not_found', { detail: 'Entity thing:told never had a property nor.' }],
      ['property=a,never&from=3&to=3', 404, 'property_not_found', {}],
      ['property=', 400, 'invalid_property_name', { errors: [{ path: 'property' }] }],
      ['property=a,..', 400, 'invalid_property_name', { errors: [{ path: 'property' }] }],
      ['property=%00', 400, 'invalid_property_name', { errors: [{ path: 'property' }] }],
      [`property=${many}`, 400, 'invalid_parameter', { errors: [{ path: 'property' }] }],
      ['from=x', 400, 'invalid_as_of', { errors: [{ path: 'from' }] }],
      ['to=0', 400, 'invalid_as_of', { errors: [{ path: 'to' }] }],
      ['from=2020-01-01T00:00:00', 400, 'invalid_as_of', { errors: [{ path: 'from' }] }],
      ['changes=all', 400, 'invalid_parameter', { errors: [{ path: 'changes' }] }],
      ['changes=none&depth=full', 400, 'invalid_parameter', { errors: [{ path: 'depth' }] }],
      ['changes=none&property=never', 404, 'property_not_found', {}],
      ['properties=a', 400, 'unknown_parameter', {}],
    ];
    for (const [query, status, code, more] of cases)
      t.match(await call('GET', `${url}?${query}`), problem(status, code, more), query);
    t.match(
      await call('GET', '/entities/thing:nobody/history?property=a'),
      problem(404, 'entity_not_found', { detail: 'There is no entity thing:nobody.' }),
    );
  });
});

t.test('pages of history', async (t) => {
  const { call } = await testService(t);

  await t.test('a cursor that nobody gave leads to what there is, and to no error', async (t) => {
    await call('PUT', '/entities/thing:forged', state({ a: 0 }));
    for (const a of [1, 2, 3]) await call('PATCH', '/entities/thing:forged', { properties: { a } }, MINIMAL);
    for (const [order, left] of [
      ['asc', 0],
      ['desc', 4],
    ] as const) {
      const url = `/entities/thing:forged/history/a?order=${order}`;
      const { next } = (await call('GET', `${url}&limit=1`)).body;
      const question = Buffer.from(text(next), 'base64url').toString().split('.')[0];
      const forged = Buffer.from(`${question}.2147483647.2147483647`).toString('base64url');
      const { status, body } = await call('GET', `${url}&cursor=${forged}`);
      t.equal(status, 200, order);
      t.equal(list(body.items).length, left, order);
    }
  });

  await t.test('a page of history ends before it gets too large, whatever makes it large', async (t) => {
    const metadata = { m: 'x'.repeat(1_000_000) };
    await call('PUT', '/entities/thing:told', state({ a: 0 }));
    for (let n = 1; n <= 20; n++)
      await call('PATCH', '/entities/thing:told', { properties: { a: n }, activity: { metadata } }, MINIMAL);
    for (const url of ['/entities/thing:told/history', '/entities/thing:told/history/a']) {
      const seen: Json[] = [];
      let pages = 0;
      for (let next: Json | undefined = ''; typeof next === 'string'; pages++) {
        const page: Answer = await call('GET', `${url}${next ? `?cursor=${next}` : ''}`);
        t.ok(page.text.length < 17 * 2 ** 20, `${page.text.length} characters`);
        seen.push(
          ...list(page.body.items).map((item) => object(item).tick ?? object(object(item).vclock).from ?? null),
        );
        next = page.body.next;
      }
      t.equal(pages, 2);
      t.same(
        seen,
        Array.from({ length: 21 }, (_, n) => n + 1),
      );
    }
  });
});
