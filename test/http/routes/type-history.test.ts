import postgres from 'postgres';
import t from 'tap';
import { newId } from '../../../src/temporal/identity.js';
import { isObject, type Json, type JsonObject } from '../../../src/temporal/json.js';
import { importHistory } from '../../helper/imported.js';
import { canonical, same } from '../../helper/model.js';
import { type Answer, type Call, list, object, problem, testService, text } from '../../helper/service.js';
import { writeChanges } from '../../helper/write.js';

/** The state of an entity from an instant on; null: deleted. */
type State = { at: string; properties: JsonObject | null };
/** An entity with its whole states, one a tick. */
type Known = { id: string; key: string | null; states: State[] };
/** A range as an answer shows it, without who made it. */
type Range = { id: string; key?: string; value: Json; vclock: Json; effective: Json };

const inUtf8 = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** All ranges of a property, as of an instant, in order: found by comparing one state with the next. */
function rangesOf(
  world: readonly Known[],
  property: string,
  asOf: string,
  window: { from?: string; to?: string },
): Range[] {
  const { from = '', to = '9999' } = window;
  if (from >= to) return [];
  return world
    .toSorted((a, b) => inUtf8(a.key ?? '', b.key ?? '') || inUtf8(a.id, b.id))
    .flatMap(({ id, key, states }) => {
      const ranges: { value: Json; from: number; to: number | null }[] = [];
      const known = states.filter(({ at }) => at <= asOf);
      for (const [n, { properties }] of known.entries()) {
        const value = properties?.[property];
        const open = ranges.at(-1);
        if (open?.to === null && value !== undefined && same(open.value, value)) continue;
        if (open?.to === null) open.to = n + 1;
        if (value !== undefined) ranges.push({ value, from: n + 1, to: null });
      }
      const instant = (tick: number | null) => (tick === null ? null : (known[tick - 1]?.at ?? ''));
      return ranges
        .filter((range) => (instant(range.from) ?? '') < to && (instant(range.to) ?? '9999') > from)
        .map((range) => ({
          id,
          ...(key === null ? {} : { key }),
          value: range.value,
          vclock: { from: range.from, to: range.to },
          effective: { from: instant(range.from), to: instant(range.to) },
        }));
    });
}

const shown = (item: Json): Json => {
  const { activity: _, ...range } = object(item);
  return range;
};

const pathOf = (property: string, parameters: Record<string, string>) =>
  `/types/friend/history/${encodeURIComponent(property)}?${new URLSearchParams(parameters)}`;

async function walk(call: Call, property: string, parameters: Record<string, string>): Promise<Answer[]> {
  const pages = [await call('GET', pathOf(property, parameters))];
  for (let next = pages[0]?.body.next; next; next = pages.at(-1)?.body.next)
    pages.push(await call('GET', pathOf(property, { ...parameters, cursor: text(next) })));
  return pages;
}

const itemsOf = (pages: readonly Answer[]): Json[] => pages.flatMap(({ body }) => list(body.items));

/** Friends who move about, some without a key, some who leave and come back; and who is no friend. */
async function makeWorld(call: Call): Promise<{ world: Known[]; instants: string[] }> {
  const world: Known[] = [];
  const note = (known: Known, answer: Answer, properties: JsonObject | null) => {
    const at = text(answer.headers['tick-at']);
    if (answer.status >= 300) throw new Error(answer.text);
    if (known.states.at(-1)?.at !== at) known.states.push({ at, properties });
  };
  for (const [n, key] of ['rachel', 'will', null, 'émile', null, 'zoe', 'a/b: ☃'].entries()) {
    const properties: JsonObject = { location: n % 2 ? 'New York' : 'Boston', n, 'a/b "☃"': [n % 2] };
    const made = await call('POST', '/entities', { type: 'friend', ...(key === null ? {} : { key }), properties });
    const known: Known = { id: text(made.body.id), key, states: [] };
    note(known, made, properties);
    world.push(known);
  }
  await call('PUT', '/entities/enemy:rachel', { type: 'enemy', properties: { location: 'New York', n: 1 } });
  const moves: [who: number, properties: JsonObject | null][] = [
    [0, { location: 'San Francisco', n: 0 }],
    [1, { n: 1 }],
    [1, { location: null, n: 1 }],
    [2, null],
    [2, { location: 'Boston', n: 2 }],
    [0, { location: 'San Francisco', n: 7 }],
    [0, { location: ['two', { places: 1 }], n: 7 }],
    [5, null],
    [4, { location: 'Boston', n: 5 }],
    [1, { location: 'New York', n: 1 }],
    [3, { location: 'Tucson', n: 3 }],
    [3, { location: 'Boston', n: 3 }],
  ];
  for (const [who, properties] of moves) {
    const known = world[who];
    if (!known) throw new Error('nobody');
    const path = `/entities/${known.id}`;
    const activity = { actor: 'monica', reason: `move ${who}` };
    const answer =
      properties === null
        ? await call('DELETE', path)
        : await call('PUT', path, { type: 'friend', properties, activity });
    note(known, answer, properties);
  }
  const instants = world.flatMap(({ states }) => states.map(({ at }) => at)).toSorted();
  return { world, instants };
}

t.test('who had which value from when to when', async (t) => {
  const { call, sql } = await testService(t);
  t.match(await call('GET', '/types/friend/history/location'), {
    status: 200,
    text: '{"asOf": null, "recordedAsOf": null, "items": [], "next": null}',
  });
  const { world, instants } = await makeWorld(call);
  const last = instants.at(-1) ?? '';

  await t.test('as of every instant, in one answer and in pages', async (t) => {
    for (const asOf of instants) {
      for (const property of ['location', 'n', 'a/b "☃"']) {
        const wanted = rangesOf(world, property, asOf, {});
        const whole = await call('GET', pathOf(property, { asOf }));
        t.same(itemsOf([whole]).map(shown), wanted);
        t.equal(whole.body.asOf, asOf);
      }
      const pages = await walk(call, 'location', { asOf, limit: '2' });
      t.same(itemsOf(pages).map(shown), rangesOf(world, 'location', asOf, {}));
      t.ok(pages.every(({ body }) => body.asOf === asOf));
      t.ok(pages.slice(1).every(({ headers }) => /immutable/.test(headers['cache-control'] ?? '')));
    }
    t.same(itemsOf([await call('GET', pathOf('nothing', {}))]), []);
  });

  await t.test('the same ranges, with who and why, as the history of each', async (t) => {
    const items = itemsOf(await walk(call, 'location', { limit: '3' })).map(object);
    for (const { id } of world) {
      const own = await call('GET', `/entities/${id}/history/location`);
      t.same(
        items.filter((item) => item.id === id).map(({ id: _, key: __, ...range }) => range),
        own.body.items,
      );
    }
    t.ok(items.some(({ activity }) => isObject(activity ?? null) && object(activity ?? null).actor === 'monica'));
  });

  await t.test('in every window', async (t) => {
    for (const from of instants) {
      for (const to of instants) {
        for (const asOf of [last, instants[9] ?? '']) {
          const wanted = rangesOf(world, 'location', asOf, { from, to });
          const pages = await walk(call, 'location', { asOf, from, to, limit: '4' });
          t.same(itemsOf(pages).map(shown), wanted, `[${from}, ${to}) as of ${asOf}`);
        }
      }
      t.same(
        itemsOf(await walk(call, 'location', { from, limit: '1' })).map(shown),
        rangesOf(world, 'location', last, { from }),
      );
      t.same(
        itemsOf(await walk(call, 'location', { to: from })).map(shown),
        rangesOf(world, 'location', last, { to: from }),
      );
    }
  });

  await t.test('of those who pass a filter as of then', async (t) => {
    const cases: [parameters: Record<string, string>, isWanted: (known: Known) => boolean][] = [
      [{ where: '{"location": "Boston"}' }, ({ states }) => same(states.at(-1)?.properties?.location, 'Boston')],
      [{ where: '{"n": {"gt": 2}}' }, ({ states }) => Number(states.at(-1)?.properties?.n ?? 0) > 2],
      [{ everHad: '{"location": "San Francisco"}' }, ({ key }) => key === 'rachel'],
      [{ everHad: '{"location": "New York"}', where: '{"n": 1}' }, ({ key }) => key === 'will'],
    ];
    for (const [parameters, isWanted] of cases) {
      const wanted = rangesOf(world.filter(isWanted), 'location', last, {});
      t.ok(wanted.length > 0);
      const pages = await walk(call, 'location', { ...parameters, limit: '2' });
      t.same(itemsOf(pages).map(shown), wanted, JSON.stringify(parameters));
    }
  });

  await t.test('by what was recorded at an instant, nothing is later than that', async (t) => {
    for (const recordedAsOf of instants.slice(5)) {
      for (const asOf of [{}, { asOf: last }]) {
        const pages = await walk(call, 'location', { ...asOf, recordedAsOf, limit: '3' });
        t.same(itemsOf(pages).map(shown), rangesOf(world, 'location', recordedAsOf, {}));
        const found = await walk(call, 'location', { ...asOf, recordedAsOf, where: '{"location": "Boston"}' });
        const there = world.filter(
          ({ states }) => states.findLast(({ at }) => at <= recordedAsOf)?.properties?.location === 'Boston',
        );
        t.same(itemsOf(found).map(shown), rangesOf(there, 'location', recordedAsOf, {}));
      }
    }
  });

  await t.test('an answer has a tag, its own URL, and a date', async (t) => {
    const first = await call('GET', pathOf('location', { limit: '3' }));
    t.match(
      await call('GET', pathOf('location', { limit: '3' }), undefined, { 'if-none-match': text(first.headers.etag) }),
      { status: 304 },
    );
    const before = text(first.headers['content-location']);
    t.equal((await call('GET', before)).text, first.text);
    const asked = await call('GET', pathOf('location', {}), undefined, {
      'accept-datetime': new Date(Date.now() + 5000).toUTCString(),
    });
    t.match(asked, { status: 200, headers: { 'memento-datetime': /GMT/, vary: 'accept-datetime' } });
    await call('PATCH', '/entities/friend:zoe', { properties: {} });
    await call('PUT', '/entities/friend:zed', { type: 'friend', properties: {} });
    t.equal((await call('GET', before)).text, first.text, 'whatever is written meanwhile');
    t.not((await call('GET', pathOf('location', {}))).headers.etag, first.headers.etag);
  });

  await t.test('nothing that was not recorded yet', async (t) => {
    const pin = { asOf: last, recordedAsOf: last };
    const paths = [
      pathOf('location', pin),
      pathOf('location', { ...pin, where: '{"location": "Boston"}' }),
      pathOf('location', { ...pin, from: instants[4] ?? '', to: last }),
      `/types/friend/counts/location?at=${[...instants.slice(5), last].join(',')}&recordedAsOf=${last}`,
    ];
    const told = await Promise.all(paths.map((path) => call('GET', path)));
    const rachel = world[0]?.states.at(-1)?.at ?? '';
    const [later] = await sql<{ at: string }[]>`
      SELECT to_char((${rachel}::text::timestamptz + interval '1 microsecond') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;
    await importHistory(sql, 'friend', 'rachel', [
      { at: later?.at ?? '', op: 'updated', set: { location: 'imported' } },
    ]);
    for (const [n, path] of paths.entries()) t.equal((await call('GET', path)).text, told[n]?.text, path);
    const now = itemsOf([await call('GET', pathOf('location', { asOf: last }))]).map(object);
    t.ok(
      now.some(({ value }) => value === 'imported'),
      'by what is recorded by now, it was so all the time',
    );
  });
});

t.test('how many held each value at each instant', async (t) => {
  const { call } = await testService(t);
  const countsPath = (parameters: Record<string, string | string[]>) => {
    const pairs = Object.entries(parameters).flatMap(([name, value]) =>
      [value].flat().map((one): [string, string] => [name, one]),
    );
    return `/types/friend/counts/location?${new URLSearchParams(pairs)}`;
  };
  const none = await call('GET', countsPath({}));
  t.match(none, { status: 200, text: '{"items": []}', headers: { etag: '"nothing"' } });
  const { world, instants } = await makeWorld(call);
  const before = '2001-01-01T00:00:00.000000Z';

  /** By looking at each state. */
  const counted = (at: string): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const { states } of world) {
      const value = states.findLast((state) => state.at <= at)?.properties?.location;
      if (value !== undefined) counts.set(canonical(value), (counts.get(canonical(value)) ?? 0) + 1);
    }
    return counts;
  };

  await t.test('all instants in one answer, oldest first, each once', async (t) => {
    const asked = [...instants.toReversed(), before, instants[3] ?? ''];
    const answer = await call('GET', countsPath({ at: asked }));
    const items = list(answer.body.items).map(object);
    t.same(
      items.map(({ at }) => at),
      [before, ...instants],
    );
    for (const item of items) {
      const counts = counted(text(item.at));
      const values = list(item.values).map(object);
      t.same(new Map(values.map(({ value, entities }) => [canonical(value), Number(entities)])), counts);
      const frequencies = values.map(({ entities }) => Number(entities));
      t.same(
        frequencies,
        frequencies.toSorted((a, b) => b - a),
        'the most frequent first',
      );
      t.equal(
        item.entities,
        [...counts.values()].reduce((sum, n) => sum + n, 0),
      );
      t.equal(item.others, 0);
    }
  });

  await t.test('by what was recorded at an instant, nothing is later than that', async (t) => {
    for (const recordedAsOf of instants.slice(4, 9)) {
      for (const at of [instants.slice(-2), instants]) {
        const answer = await call('GET', countsPath({ at, recordedAsOf }));
        for (const item of list(answer.body.items).map(object)) {
          const seen = text(item.at) < recordedAsOf ? text(item.at) : recordedAsOf;
          const values = list(item.values).map(object);
          t.same(new Map(values.map(({ value, entities }) => [canonical(value), Number(entities)])), counted(seen));
        }
      }
    }
  });

  await t.test('only the most frequent ones, and how many there are besides', async (t) => {
    const at = instants[8] ?? '';
    const whole = object(list((await call('GET', countsPath({ at }))).body.items)[0] ?? null);
    const some = object(list((await call('GET', countsPath({ at, limit: '1' }))).body.items)[0] ?? null);
    t.same(some.values, list(whole.values).slice(0, 1));
    t.equal(some.entities, whole.entities);
    t.equal(Number(some.others) + Number(object(list(some.values)[0] ?? null).entities), whole.entities);
    const now = await call('GET', countsPath({}));
    t.equal((await call('GET', countsPath({}))).text, now.text, 'the same until something changes');
    t.same(list(object(list(now.body.items)[0] ?? null).values).length, counted('9999').size);
  });

  await t.test('a tag that changes only with what can be counted', async (t) => {
    const at = instants.slice(0, 4);
    const first = await call('GET', countsPath({ at }));
    await call('PUT', '/entities/friend:late', { type: 'friend', properties: { location: 'here' } });
    t.match(await call('GET', countsPath({ at }), undefined, { 'if-none-match': text(first.headers.etag) }), {
      status: 304,
    });
    t.match(first.headers, { 'cache-control': 'no-cache' });
    t.match((await call('GET', countsPath({ at, recordedAsOf: instants.at(-1) ?? '' }))).headers, {
      'cache-control': /immutable/,
    });
  });
});

t.test('what is asked wrongly is refused', async (t) => {
  const { call } = await testService(t);
  await call('PUT', '/entities/friend:a', { type: 'friend', properties: { location: 1 } });
  await call('PUT', '/entities/friend:b', { type: 'friend', properties: { location: 1 } });
  const next = text((await call('GET', '/types/friend/history/location?limit=1')).body.next);
  const [fingerprint, asOf, recorded, key, id] = Buffer.from(next, 'base64url').toString().split('.');
  const cursorOf = (...words: (string | undefined)[]) =>
    Buffer.from([fingerprint, ...words].join('.')).toString('base64url');
  t.equal(
    (
      await call(
        'GET',
        `/types/friend/history/location?limit=1&cursor=${cursorOf(asOf, recorded, key, id, '2147483647')}`,
      )
    ).status,
    200,
  );
  const instant = '2016-01-01T00:00:00Z';
  const cases: [path: string, code: string, path: string][] = [
    ['/types/Friend/history/location', 'invalid_parameter', 'type'],
    ['/types/friend/history/a%00b', 'invalid_property_name', 'property'],
    ['/types/friend/history/location?from=1', 'invalid_as_of', 'from'],
    ['/types/friend/history/location?to=yesterday', 'invalid_as_of', 'to'],
    ['/types/friend/history/location?asOf=3', 'invalid_as_of', 'asOf'],
    ['/types/friend/history/location?where=x', 'invalid_filter', 'where'],
    ['/types/friend/history/location?everHad={}', 'invalid_filter', 'everHad'],
    ['/types/friend/history/location?limit=0', 'invalid_parameter', 'limit'],
    ['/types/friend/history/location?order=desc', 'unknown_parameter', 'order'],
    [`/types/friend/history/name?limit=1&cursor=${next}`, 'invalid_cursor', 'cursor'],
    [`/types/friend/history/location?limit=1&from=${instant}&cursor=${next}`, 'invalid_cursor', 'cursor'],
    [`/types/friend/history/location?cursor=${cursorOf(asOf, recorded, key, id)}`, 'invalid_cursor', 'cursor'],
    [`/types/friend/history/location?cursor=${cursorOf(asOf, recorded, key, id, '0')}`, 'invalid_cursor', 'cursor'],
    [
      `/types/friend/history/location?cursor=${cursorOf(asOf, recorded, key, id, '1', '1')}`,
      'invalid_cursor',
      'cursor',
    ],
    ['/types/friend/counts/location?at=1', 'invalid_as_of', 'at'],
    ['/types/friend/counts/location?at=', 'invalid_as_of', 'at'],
    ['/types/friend/counts/location?at=2999-01-01T00:00:00Z', 'as_of_in_future', ''],
    [
      `/types/friend/counts/location?at=${Array.from({ length: 101 }, () => instant).join(',')}`,
      'invalid_parameter',
      'at',
    ],
    [`/types/friend/counts/location?recordedAsOf=1`, 'invalid_as_of', 'recordedAsOf'],
    ['/types/friend/counts/location?where={}', 'unknown_parameter', 'where'],
  ];
  for (const [path, code, place] of cases) {
    t.match(
      await call('GET', path),
      problem(400, code, place === '' ? {} : { errors: [{ path: place }] }),
      path.slice(0, 90),
    );
  }
  for (const path of ['/types/friend/history/location', '/types/friend/counts/location']) {
    t.match(await call('POST', path, {}), { status: 405, headers: { allow: 'GET, HEAD, OPTIONS' } });
  }
});

t.test('counting that takes too long ends, and says what to do', async (t) => {
  const { call, sql, url } = await testService(t);
  await call('PUT', '/entities/friend:a', { type: 'friend', properties: { location: 1 } });
  const hand = postgres(url, { max: 1, onnotice: () => {} });
  await hand.begin(async (tx) => {
    await tx`LOCK TABLE clocktick.entity IN ACCESS EXCLUSIVE MODE`;
    const counting = call('GET', '/types/friend/counts/location');
    for (let cancelled = 0; cancelled === 0; ) {
      const rows = await sql`
        SELECT pg_cancel_backend(waiting.pid)
          FROM (SELECT a.pid FROM pg_stat_activity a
                 WHERE a.datname = current_database() AND a.wait_event_type = 'Lock' AND a.query ~ 'width_bucket' OFFSET 0) waiting`;
      cancelled = rows.length;
    }
    t.match(await counting, problem(400, 'too_much_to_read'));
  });
  await hand.end();
});

t.test('a type of which few have the property: a page may be short, and says where to go on', async (t) => {
  const { call, sql } = await testService(t);
  const count = 10_500;
  const keys = Array.from({ length: count }, (_, n) => `k${String(n).padStart(5, '0')}`);
  const rare: Record<string, JsonObject> = { k00001: { rare: 1 }, k10200: { rare: 2 } };
  await writeChanges(
    sql,
    keys.map((key) => ({ id: newId(), expected: 0, op: 'created', type: 'friend', key, set: rare[key] ?? {} })),
  );
  const pages = await walk(call, 'rare', {});
  t.same(
    pages.map(({ body }) => list(body.items).map((item) => object(item).key)),
    [['k00001'], ['k10200']],
  );
});
