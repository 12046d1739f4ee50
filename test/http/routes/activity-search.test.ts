import t from 'tap';
import { idOfKey, newId } from '../../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import { type Call, INSTANT, list, object, problem, state, testService, text } from '../../helper/service.js';
import { type RawChange, writeChanges } from '../../helper/write.js';

/** What a test knows of an activity that it has made; `ticks` by key of the entity. */
type Made = {
  id: string;
  actor: string | null;
  reason: string | null;
  importId: string | null;
  recordedAt: string;
  ticks: Map<string, { type: string; properties: ReadonlySet<string> }>;
};

const TYPES = ['customer', 'order', 'rare'];
const PROPERTIES = ['name', 'plan', '__proto__', '🙂 emoji', 'constructor'];
const ACTORS = ['team/rachel', 'team/ross', 'team_rachel', 'Team/rachel', 'team/', 'müller', '100%_\\', "o'hara", null];
const WORDS = [
  'moved',
  'to',
  'Berlin',
  'OPS-123',
  'a.b/c',
  '<b>bold</b>',
  "don't",
  'überall',
  '3.14',
  'e@x.org',
  'team',
];

/** Numbers in [0, 1), the same in each run (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The words of a text, by hand: what is neither letter nor digit separates them. */
const wordsOf = (reason: string): string[] =>
  reason
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '');

type Query = Partial<
  Record<'actor' | 'actorPrefix' | 'reason' | 'from' | 'to' | 'type' | 'entity' | 'importId', string> & {
    property: string[];
  }
>;

/** What must be found, newest first: by going through all that was made. */
function expected(all: readonly Made[], query: Query): string[] {
  const { actor, actorPrefix, reason, from, to, type, entity, importId, property } = query;
  const isOfTicks = type !== undefined || entity !== undefined;
  return all
    .filter(
      (one) =>
        (actor === undefined || one.actor === actor) &&
        (actorPrefix === undefined || one.actor?.startsWith(actorPrefix)) &&
        (reason === undefined ||
          (one.reason && wordsOf(reason).every((word) => wordsOf(one.reason ?? '').includes(word)))) &&
        (from === undefined || one.recordedAt >= from) &&
        (to === undefined || one.recordedAt < to) &&
        (importId === undefined || one.importId === importId) &&
        (!isOfTicks ||
          [...one.ticks].some(
            ([key, tick]) =>
              (type === undefined || tick.type === type) &&
              (entity === undefined || entity === `${tick.type}:${key}` || entity === idOfKey(tick.type, key)) &&
              (property === undefined || property.some((name) => tick.properties.has(name))),
          )),
    )
    .toSorted((a, b) => (`${a.recordedAt} ${a.id}` < `${b.recordedAt} ${b.id}` ? 1 : -1))
    .map(({ id }) => id);
}

const urlOf = ({ property, ...query }: Query, limit?: number): string => {
  const parameters = new URLSearchParams(query);
  for (const name of property ?? []) parameters.append('property', name);
  if (limit) parameters.append('limit', String(limit));
  return `/activities?${parameters}`;
};

/** All items of a search, page by page. */
async function walk(call: Call, url: string, between: () => Promise<unknown> = async () => {}): Promise<JsonObject[]> {
  const items: JsonObject[] = [];
  let next: Json | undefined = null;
  do {
    const { status, body, text: whole, headers } = await call('GET', next === null ? url : `${url}&cursor=${next}`);
    if (status !== 200) throw new Error(whole);
    items.push(...list(body.items).map(object));
    next = body.next;
    if ((next === null) !== (headers.link === undefined)) throw new Error('Link and next say the same');
    await between();
  } while (next !== null && next !== undefined);
  return items;
}

t.test('a search finds what going through all activities finds', async (t) => {
  const { call, sql } = await testService(t);
  const random = numbers(7);
  const one = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
  const some = <T>(of: readonly T[], share: number): T[] => of.filter(() => random() < share);
  const imports = [newId(), newId()];
  const all: Made[] = [];
  const entities = new Map<string, { type: string; tick: number; has: Set<string>; deleted: boolean }>();

  /** Changes some entities, or deletes one, by one activity. */
  const tick = async (made: Made, details: JsonObject | null) => {
    const changes: RawChange[] = [];
    for (const n of some([...Array(8).keys()], 0.25)) {
      const key = `k${n}`;
      if (made.ticks.has(key)) continue;
      const type = TYPES[n % 7 === 0 ? 2 : n % 2] ?? '';
      const entity = entities.get(key) ?? { type, tick: 0, has: new Set<string>(), deleted: false };
      entities.set(key, entity);
      const isGone = entity.tick > 0 && !entity.deleted && entity.has.size > 0 && random() < 0.1;
      const names = isGone ? [] : some(PROPERTIES, 0.4);
      const clear = isGone ? [...entity.has] : some([...entity.has], 0.2).filter((name) => !names.includes(name));
      if (!isGone && names.length + clear.length === 0) continue;
      const op = entity.tick === 0 ? 'created' : isGone ? 'deleted' : entity.deleted ? 'restored' : 'updated';
      changes.push({
        id: idOfKey(type, key),
        type,
        key,
        expected: entity.tick,
        op,
        set: Object.fromEntries(names.map((name) => [name, `${entity.tick} of ${key}`])),
        clear,
        activity_id: made.id,
        ...(details ? { activity: details } : {}),
      });
      for (const name of names) entity.has.add(name);
      for (const name of clear) entity.has.delete(name);
      entity.tick++;
      entity.deleted = isGone;
      made.ticks.set(key, { type, properties: new Set([...names, ...clear]) });
    }
    if (changes.length === 0) return false;
    const outcomes = await writeChanges(sql, changes);
    if (outcomes.some(({ outcome }) => outcome !== 'written')) throw new Error(JSON.stringify(outcomes));
    return true;
  };

  for (let n = 0; n < 160; n++) {
    const reason = random() < 0.15 ? null : some(WORDS, 0.3).join(one([' ', ', ', ' / '])) || 'x';
    const importId = random() < 0.2 ? one(imports) : null;
    const made: Made = { id: newId(), actor: one(ACTORS), reason, importId, recordedAt: '', ticks: new Map() };
    const details = { actor: made.actor, reason, import_id: importId };
    if (random() < 0.2) {
      // Recorded before it ticks, or without ever doing so.
      made.importId = null;
      await sql`SELECT FROM clocktick.record_activity(${made.id}, ${made.actor}, ${reason}, NULL)`;
      all.push(made);
      const late = all[Math.floor(random() * all.length)];
      if (late) await tick(late, null);
    } else if (await tick(made, details)) all.push(made);
  }
  const recorded = await sql<{ id: string; at: string }[]>`
    SELECT id, to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM clocktick.activity`;
  for (const { id, at } of recorded) for (const made of all) if (made.id === id) made.recordedAt = at;
  t.equal(recorded.length, all.length);

  const check = async (query: Query, limits: readonly (number | undefined)[]) => {
    const found = expected(all, query);
    for (const limit of limits) {
      const items = await walk(call, urlOf(query, limit));
      t.same(
        items.map(({ id }) => id),
        found,
        `${JSON.stringify(query)} limit ${limit ?? ''}: ${found.length}`,
      );
    }
    return found.length;
  };

  await t.test('each filter alone', async (t) => {
    const instants = all.map(({ recordedAt }) => recordedAt).toSorted();
    const middle = instants[80] ?? '';
    const last = instants.at(-1) ?? '';
    const alone: [query: Query, least: number, most: number][] = [
      [{}, all.length, all.length],
      ...ACTORS.flatMap((actor): [Query, number, number][] => (actor === null ? [] : [[{ actor }, 1, 60]])),
      [{ actor: 'team' }, 0, 0],
      [{ actor: 'team%' }, 0, 0],
      [{ actorPrefix: 'team' }, 40, 120],
      [{ actorPrefix: 'team/' }, 20, 90],
      [{ actorPrefix: 'team/r' }, 10, 80],
      [{ actorPrefix: '%' }, 0, 0],
      [{ actorPrefix: '_' }, 0, 0],
      [{ actorPrefix: '100%_' }, 1, 40],
      [{ actorPrefix: 'mü' }, 1, 40],
      [{ reason: 'moved' }, 10, 100],
      [{ reason: 'MOVED  berlin' }, 1, 60],
      [{ reason: 'berlin moved' }, 1, 60],
      [{ reason: 'move' }, 0, 0],
      [{ reason: 'ops-123' }, 10, 100],
      [{ reason: '123' }, 10, 100],
      [{ reason: 'c' }, 10, 100],
      [{ reason: 'bold' }, 10, 100],
      [{ reason: "don't" }, 10, 100],
      [{ reason: 'ÜBERALL' }, 10, 100],
      [{ reason: 'überall' }, 10, 100],
      [{ from: middle }, 20, 120],
      [{ to: middle }, 20, 120],
      [{ from: middle, to: last }, 20, 120],
      [{ from: middle, to: middle }, 0, 0],
      [{ from: last }, 1, 1],
      ...TYPES.map((type): [Query, number, number] => [{ type }, 10, 120]),
      [{ type: 'nobody' }, 0, 0],
      [{ entity: 'customer:k2' }, 10, 80],
      [{ entity: idOfKey('order', 'k1') }, 10, 80],
      [{ entity: idOfKey('order', 'k1').toUpperCase() }, 0, 80],
      [{ entity: 'order:nobody' }, 0, 0],
      ...PROPERTIES.map((name): [Query, number, number] => [{ type: 'customer', property: [name] }, 10, 100]),
      [{ entity: 'customer:k2', property: ['name', 'plan'] }, 5, 60],
      [{ entity: 'customer:k2', property: ['toString'] }, 0, 0],
      [{ entity: 'customer:k2', type: 'order' }, 0, 0],
      [{ importId: imports[0] ?? '' }, 3, 60],
      [{ importId: newId() }, 0, 0],
    ];
    for (const [query, least, most] of alone) {
      if (query.entity?.startsWith(idOfKey('order', 'k1').toUpperCase())) {
        const upper = await walk(call, urlOf(query));
        t.same(
          upper.map(({ id }) => id),
          expected(all, { entity: 'order:k1' }),
        );
        continue;
      }
      const count = await check(query, [undefined]);
      t.ok(count >= least && count <= most, `${JSON.stringify(query)}: ${count} in [${least}, ${most}]`);
    }
    await check({}, [1, 2, 1000]);
    await check({ reason: 'moved' }, [1, 2, 100]);
    await check({ actorPrefix: 'team' }, [1, 2, 100]);
    await check({ actor: 'team/rachel' }, [1, 2, 100]);
    await check({ entity: 'customer:k2' }, [1, 2, 100]);
    await check({ type: 'rare' }, [1, 2, 100]);
  });

  await t.test('filters together', async (t) => {
    const instants = all.map(({ recordedAt }) => recordedAt).toSorted();
    let found = 0;
    for (let n = 0; n < 150; n++) {
      const query: Query = {};
      const actor = one(ACTORS);
      const who = random();
      if (who < 0.3) query.actorPrefix = one(['team', 'team/', 'T', 'm']);
      else if (who < 0.5 && actor !== null) query.actor = actor;
      if (random() < 0.4) query.reason = some(WORDS, 0.15).join(' ') || 'moved';
      if (random() < 0.3) query.from = instants[Math.floor(random() * 80)] ?? '';
      if (random() < 0.3) query.to = instants[80 + Math.floor(random() * 40)] ?? '';
      if (random() < 0.3) query.type = one(TYPES);
      if (random() < 0.3) query.entity = one(['customer:k2', 'order:k3', 'rare:k7', idOfKey('customer', 'k4')]);
      if ((query.type ?? query.entity) !== undefined && random() < 0.5) query.property = some(PROPERTIES, 0.4);
      if (query.property?.length === 0) delete query.property;
      if (random() < 0.1) query.importId = one(imports);
      if ((await check(query, [one([2, 3, 100])])) > 0) found++;
    }
    t.ok(found > 40, `${found} found something`);
  });

  await t.test('an item shows the activity, and how many ticks it made', async (t) => {
    const items = await walk(call, '/activities?limit=1000');
    for (const item of items) {
      const { tickCount, moreTicks, ...shown } = item;
      const { body } = await call('GET', `/activities/${item.id}`);
      const { ticks, next, ...whole } = body;
      t.same(shown, whole);
      t.match(item.recordedAt, INSTANT);
      t.equal(tickCount, list(ticks).length);
      t.equal(moreTicks, undefined);
    }
  });
});

t.test('a walk shows each activity once, and none that was recorded meanwhile', async (t) => {
  const { call } = await testService(t);
  const record = async (n: number) =>
    text((await call('POST', '/activities', { actor: `team/${n % 3}`, reason: `number ${n}` })).body.id);
  const made: string[] = [];
  for (let n = 0; n < 20; n++) made.push(await record(n));
  for (const query of ['limit=2', 'limit=3&actorPrefix=team/', 'limit=3&reason=number', 'limit=2&actor=team/1']) {
    const known = [...made];
    let n = 100;
    const items = await walk(call, `/activities?${query}`, async () => made.push(await record(n++)));
    const ofOne = query.includes('actor=');
    const wanted = known.filter((_, place) => !ofOne || place % 3 === 1);
    t.same(
      items.map(({ id }) => id).filter((id) => !ofOne || known.indexOf(String(id)) < 20),
      (ofOne ? wanted.filter((id) => known.indexOf(id) < 20) : wanted).toReversed(),
      query,
    );
  }
});

t.test('how many ticks an activity has made is counted up to a thousand', async (t) => {
  const { call, sql } = await testService(t);
  for (const [actor, count] of [
    ['many', 1_001],
    ['exactly', 1_000],
    ['none', 0],
  ] as const) {
    const { body } = await call('POST', '/activities', { actor });
    const changes = Array.from(
      { length: count },
      () =>
        ({
          id: newId(),
          type: 'thing',
          expected: 0,
          op: 'created',
          set: { a: 1 },
          activity_id: text(body.id),
        }) as const,
    );
    if (count > 0) await writeChanges(sql, changes);
  }
  const items = await walk(call, '/activities?limit=2');
  t.same(
    items.map(({ actor, tickCount, moreTicks }) => [actor, tickCount, moreTicks]),
    [
      ['none', 0, undefined],
      ['exactly', 1_000, undefined],
      ['many', 1_000, true],
    ],
  );
});

t.test('what cannot be searched for is refused, and everything else is data', async (t) => {
  const { call } = await testService(t);
  await call('PUT', '/entities/thing:a', { ...state({ a: 1 }), activity: { actor: 'x', reason: 'one two' } });
  const refused: [query: string, code: string][] = [
    ['reason=', 'invalid_parameter'],
    ['reason=%20', 'invalid_parameter'],
    ['reason=...%20!', 'invalid_parameter'],
    ['reason=%F0%9F%99%82', 'invalid_parameter'],
    ['reason=%00', 'invalid_parameter'],
    [`reason=${'a'.repeat(513)}`, 'invalid_parameter'],
    ['actor=', 'invalid_parameter'],
    ['actor=a%00', 'invalid_parameter'],
    ['actor=a&actorPrefix=a', 'invalid_parameter'],
    ['actor=a&actor=b', 'invalid_parameter'],
    ['property=a', 'invalid_parameter'],
    ['property=&type=thing', 'invalid_property_name'],
    ['type=No', 'invalid_parameter'],
    ['entity=x', 'invalid_id'],
    ['entity=', 'invalid_id'],
    ['importId=x', 'invalid_parameter'],
    ['from=5', 'invalid_as_of'],
    ['to=yesterday', 'invalid_as_of'],
    ['from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', 'invalid_parameter'],
    ['limit=0', 'invalid_parameter'],
    ['limit=1001', 'invalid_parameter'],
    ['cursor=x', 'invalid_cursor'],
    ['total=true', 'unknown_parameter'],
  ];
  for (const [query, code] of refused) t.match(await call('GET', `/activities?${query}`), problem(400, code), query);

  const data = [
    'one:*',
    'one | zero',
    '!one',
    "'one'",
    '"one two"',
    'one & two',
    "one'); DROP TABLE x; --",
    '\\',
    'on*',
    'one<->two',
    '%',
    'a'.repeat(512),
  ];
  for (const reason of data) {
    const { status, body } = await call('GET', `/activities?reason=${encodeURIComponent(reason)}`);
    const words = wordsOf(reason);
    const isFound = words.length > 0 && words.every((word) => ['one', 'two'].includes(word));
    if (words.length === 0) t.equal(status, 400, reason);
    else t.same([status, list(body.items).length], [200, isFound ? 1 : 0], reason);
  }
  const ways = ['actor', 'actorPrefix', 'entity=thing:a&property', 'type=thing&property'];
  for (const way of ways)
    for (const value of ["'", '%', '\u{10FFFF}', '__proto__', '\\', '*'])
      t.match(await call('GET', `/activities?${way}=${encodeURIComponent(value)}`), {
        status: 200,
        body: { items: [] },
      });

  const { body: page } = await call('GET', '/activities');
  t.match(page, { items: [{ actor: 'x', reason: 'one two', tickCount: 1 }], next: null });
  await call('POST', '/activities', { actor: 'y' });
  const first = await call('GET', '/activities?limit=1');
  const other = await call('GET', `/activities?limit=1&actor=y&cursor=${first.body.next}`);
  t.match(other, problem(400, 'invalid_cursor'), 'a cursor belongs to its search');
  const again = await call('GET', '/activities?limit=1', undefined, { 'if-none-match': text(first.headers.etag) });
  t.match(again, { status: 304, headers: { 'cache-control': 'no-cache' } });
});

t.test('an activity shows what each of its ticks changed, as the histories of its entities do', async (t) => {
  const { call } = await testService(t);
  const by = async () => ({ 'activity-id': text((await call('POST', '/activities', { reason: 'changes' })).body.id) });
  const steps = [
    ['PUT', 'a', state({ name: 'a', plan: 'free', ['__proto__']: null, gone: [1] })],
    ['PATCH', 'a', { properties: { plan: 'team', gone: null, new: { x: 1 } } }],
    ['PUT', 'b', state({})],
    ['PUT', 'b', state({ long: 'x'.repeat(500) })],
    ['DELETE', 'a', undefined],
    ['PUT', 'b', state({ long: 'y'.repeat(500) })],
    ['PUT', 'a', state({ name: 'a' })],
    ['PUT', 'c', state({ n: 1.5 })],
  ] as const;
  const activities: string[] = [];
  let current = await by();
  const ticked = new Set<string>();
  for (const [method, key, body] of steps) {
    if (ticked.has(key)) {
      current = await by();
      ticked.clear();
    }
    ticked.add(key);
    const { status } = await call(method, `/entities/thing:${key}`, body, current);
    t.ok(status < 300, `${method} ${key}: ${status}`);
    if (!activities.includes(current['activity-id'])) activities.push(current['activity-id']);
  }
  let seen = 0;
  for (const id of activities) {
    for (const limit of [1, 100]) {
      let cursor: Json | undefined;
      do {
        const page: { body: JsonObject } = await call(
          'GET',
          `/activities/${id}?include=changes&limit=${limit}${cursor ? `&cursor=${cursor}` : ''}`,
        );
        for (const item of list(page.body.ticks).map(object)) {
          const { body } = await call(
            'GET',
            `/entities/${item.id}/history?from=${item.tick}&to=${Number(item.tick) + 1}`,
          );
          const [tick] = list(body.items).map(object);
          t.same(JSON.stringify(item.changes), JSON.stringify(tick?.changes), `${item.key} ${item.tick}`);
          seen++;
        }
        cursor = page.body.next;
      } while (cursor);
    }
    const { body } = await call('GET', `/activities/${id}`);
    t.notOk(
      list(body.ticks).some((tick) => 'changes' in object(tick)),
      'only where they are asked for',
    );
  }
  t.equal(seen, 2 * steps.length);
});

t.test('a page of changes ends before it is too large, and the next one goes on', async (t) => {
  const { call, sql } = await testService(t);
  const { body } = await call('POST', '/activities', { reason: 'large' });
  const id = text(body.id);
  // Compressed, each takes a hundredth; as text, three of them are more than an answer may hold.
  const large = (n: number) =>
    ({
      id: newId(),
      type: 'large',
      expected: 0,
      op: 'created',
      set: { text: `${n}`.repeat(7 * 2 ** 20) },
      activity_id: id,
    }) as const;
  for (let n = 0; n < 5; n++) await writeChanges(sql, [large(n)]);
  const sizes: number[] = [];
  let cursor: Json | undefined;
  do {
    const page = await call('GET', `/activities/${id}?include=changes${cursor ? `&cursor=${cursor}` : ''}`);
    t.equal(page.status, 200);
    sizes.push(list(page.body.ticks).length);
    t.ok(page.text.length < 17 * 2 ** 20);
    cursor = page.body.next;
  } while (cursor);
  t.same(sizes, [2, 2, 1]);
});
