import t from 'tap';
import { newId } from '../../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import { type Answer, INSTANT, list, object, problem, serve, testService, text, traces } from '../../helper/service.js';
import { writeMany } from '../../helper/write.js';

const { app, call, sql, storage } = await testService(t);

const put = (key: string, properties: JsonObject): JsonObject => ({
  op: 'put',
  id: `thing:${key}`,
  type: 'thing',
  properties,
});
const patch = (key: string, properties: JsonObject): JsonObject => ({ op: 'patch', id: `thing:${key}`, properties });
const remove = (key: string): JsonObject => ({ op: 'delete', id: `thing:${key}` });

/** Does operations as a batch. Gives the id of its activity. */
const act = async (operations: Json[], actor = 'Ross'): Promise<string> => {
  const done = await call('POST', '/batch', { operations, activity: { actor } });
  if (done.status !== 200) throw new Error(done.text);
  return text(object(done.body.activity).id);
};
const undo = (id: string, body?: Json, query = '') => call('POST', `/activities/${id}/revert${query}`, body);
const activityOf = ({ body }: Answer): string => text(object(body.activity).id);
const properties = async (key: string): Promise<Json> => {
  const { status, body } = await call('GET', `/entities/thing:${key}`);
  return status === 200 ? object(body.properties) : status;
};
/** The states of all things now, by key, ticks aside. */
const things = async (): Promise<JsonObject> => {
  const all: JsonObject[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { body } = await call(
      'GET',
      `/entities?type=thing&deleted=include&limit=1000${cursor && `&cursor=${cursor}`}`,
    );
    all.push(...list(body.items).map(object));
    cursor = body.next === null ? null : text(body.next);
  }
  return Object.fromEntries(
    all.map(({ key, deleted = null, properties = null }) => [text(key), [deleted, properties]]),
  );
};

t.test('an undo gives back what was, at one instant, under an activity of its own', async (t) => {
  await act([put('a', { n: 1, o: { p: 1 }, gone: null }), put('b', { n: 1 }), put('c', { n: 1 }), remove('c')]);
  await act([put('c', { n: 1, m: 1 })]);
  await act([remove('c')]);
  const before = await things();
  const id = await act([
    patch('a', { n: 2, gone: null, more: [1], o: { p: 2 } }),
    put('a2', { n: 1 }),
    remove('b'),
    { op: 'restore', id: 'thing:c' },
  ]);
  const counts = await traces(sql);
  const dry = await undo(id, undefined, '?dryRun=true');
  t.match(dry, { status: 200, body: { dryRun: true, conflicts: [], conflictCount: 0 } });
  t.same(await traces(sql), counts, 'a dry run leaves nothing');
  const undone = await undo(id, { activity: { actor: 'Rachel', reason: 'oops' } });
  t.match(undone.body, { at: INSTANT, activity: { actor: 'Rachel', reason: 'oops' }, conflicts: [] });
  t.same(
    list(undone.body.items).map((item) => object(item).op),
    list(dry.body.items).map((item) => object(item).op),
    'it does what the dry run said',
  );
  const { a2, ...rest } = await things();
  t.same(rest, before);
  t.same(a2, [true, {}], 'what it created is deleted');

  t.match(await undo(id), problem(409, 'undo_conflict'), 'the undo came later');
  t.match(
    await undo(id, { onConflict: 'skip' }),
    { status: 200, body: { at: null, activity: null } },
    'nothing is left',
  );
  const kept = await call('GET', `/activities/${activityOf(undone)}`);
  t.match(kept.body, { actor: 'Rachel', metadata: { undoes: id } }, 'and it says which one it undid');
  const redone = await undo(activityOf(undone));
  t.match(redone.body.activity, { reason: `Undo of activity ${activityOf(undone)}` });
  t.same(await properties('a'), { n: 2, more: [1], o: { p: 2 } }, 'the undo of the undo');
  t.same(await properties('a2'), { n: 1 });
  t.equal(await properties('b'), 410);
  t.same(await properties('c'), { n: 1, m: 1 });
});

t.test('a later change of the same property stands in the way, one of another does not', async (t) => {
  type Case = {
    before: Json[];
    done: Json[];
    later: Json[][];
    conflicts: [property: string | null, tick: number][];
    skipped: Json;
    forced: Json;
  };
  const cases: Record<string, Case> = {
    'another property': {
      before: [put('x', { a: 1, b: 1 })],
      done: [patch('x', { a: 2 })],
      later: [[patch('x', { b: 2, c: 3 })]],
      conflicts: [],
      skipped: { a: 1, b: 2, c: 3 },
      forced: { a: 1, b: 2, c: 3 },
    },
    'the same property': {
      before: [put('x', { a: 1, b: 1 })],
      done: [patch('x', { a: 2, b: 2 })],
      later: [[patch('x', { a: 3 })]],
      conflicts: [['a', 3]],
      skipped: { a: 3, b: 1 },
      forced: { a: 1, b: 1 },
    },
    'the same property, changed away and back': {
      before: [put('x', { a: 1 })],
      done: [patch('x', { a: 2 })],
      later: [[patch('x', { a: 3 })], [patch('x', { a: 2 })]],
      conflicts: [['a', 4]],
      skipped: { a: 2 },
      forced: { a: 1 },
    },
    'the same property, which somebody has set back': {
      before: [put('x', { a: 1, b: 1 })],
      done: [patch('x', { a: 2, b: null })],
      later: [[patch('x', { a: 1 })]],
      conflicts: [['a', 3]],
      skipped: { a: 1, b: 1 },
      forced: { a: 1, b: 1 },
    },
    'a property that was set, and removed since': {
      before: [put('x', { a: 1 })],
      done: [patch('x', { a: 2, n: 1 })],
      later: [[patch('x', { a: null, n: null })]],
      conflicts: [
        ['a', 3],
        ['n', 3],
      ],
      skipped: {},
      forced: { a: 1 },
    },
    'a property that was removed, and set since': {
      before: [put('x', { a: 1, b: 1 })],
      done: [patch('x', { a: null, b: null })],
      later: [[patch('x', { a: 5 })]],
      conflicts: [['a', 3]],
      skipped: { a: 5, b: 1 },
      forced: { a: 1, b: 1 },
    },
    'a null is a value': {
      before: [put('x', { a: null })],
      done: [put('x', { a: 1, b: null })],
      later: [],
      conflicts: [],
      skipped: { a: null },
      forced: { a: null },
    },
    'the entity was deleted since': {
      before: [put('x', { a: 1 })],
      done: [patch('x', { a: 2, n: 1 })],
      later: [[remove('x')]],
      conflicts: [
        ['a', 3],
        ['n', 3],
      ],
      skipped: 410,
      forced: 410,
    },
    'a created entity that has changed since': {
      before: [],
      done: [put('x', { a: 1 })],
      later: [[patch('x', { b: 1 })]],
      conflicts: [[null, 2]],
      skipped: { a: 1, b: 1 },
      forced: 410,
    },
    'a created entity that was deleted since': {
      before: [],
      done: [put('x', { a: 1 })],
      later: [[remove('x')]],
      conflicts: [[null, 2]],
      skipped: 410,
      forced: 410,
    },
    'a deleted entity that was restored as it was': {
      before: [put('x', { a: 1, b: 1 })],
      done: [remove('x')],
      later: [[{ op: 'restore', id: 'thing:x' }]],
      conflicts: [
        ['a', 3],
        ['b', 3],
      ],
      skipped: { a: 1, b: 1 },
      forced: { a: 1, b: 1 },
    },
    'a deleted entity that was made anew': {
      before: [put('x', { a: 1, b: 1 })],
      done: [remove('x')],
      later: [[put('x', { a: 2, c: 1 })]],
      conflicts: [
        ['a', 3],
        ['b', 3],
      ],
      skipped: { a: 2, c: 1 },
      forced: { a: 1, b: 1, c: 1 },
    },
    'a deleted entity that was restored and deleted again': {
      before: [put('x', { a: 1 })],
      done: [remove('x')],
      later: [[put('x', { a: 2 })], [remove('x')]],
      conflicts: [[null, 4]],
      skipped: 410,
      forced: { a: 1 },
    },
  };
  const named = (operations: Json[], key: string): Json[] =>
    operations.map((operation) => ({ ...object(operation), id: `thing:${key}` }));
  let made = 0;
  for (const [what, { before, done, later, conflicts, skipped, forced }] of Object.entries(cases)) {
    for (const onConflict of ['refuse', 'skip', 'force']) {
      const key = `case${++made}`;
      if (before.length > 0) await act(named(before, key));
      // Beside it another entity, which nothing stands in the way of.
      await act([put(`${key}b`, { a: 1 })]);
      const id = await act([...named(done, key), patch(`${key}b`, { a: 2 })]);
      for (const one of later) await act(named(one, key), 'Joey');
      const counts = await traces(sql);
      const left = await properties(key);
      const answer = await undo(id, { onConflict });
      const told = list(answer.body.conflicts ?? []).map((one) => {
        const { property = null, tick = null, activity = null } = object(one);
        t.match(activity, { actor: 'Joey' }, 'and says who did it');
        return [property, tick];
      });
      t.same(told, conflicts, `${what}, ${onConflict}: what stands in the way`);
      const areForced = list(answer.body.conflicts ?? []).map((one) => object(one).forced === true);
      const isForced =
        onConflict === 'force' && !(forced === 410 && later.flat().some((one) => object(one).op === 'delete'));
      t.same(
        areForced,
        conflicts.map(() => isForced),
        'and whether that is undone as well',
      );
      const isRefused = onConflict === 'refuse' && conflicts.length > 0;
      if (isRefused) {
        t.match(answer, problem(409, 'undo_conflict', { conflictCount: conflicts.length }), what);
        t.same(await traces(sql), counts, 'and nothing is left');
        t.same([await properties(key), await properties(`${key}b`)], [left, { a: 2 }], 'nor changed');
        continue;
      }
      t.match(answer, { status: 200, body: { conflictCount: conflicts.length } }, `${what}, ${onConflict}`);
      t.same(await properties(key), onConflict === 'force' ? forced : skipped, `${what}, ${onConflict}`);
      t.same(await properties(`${key}b`), { a: 1 }, 'the rest is undone');
    }
  }
});

t.test('an undo is refused where there is nothing, and takes what every write takes', async (t) => {
  const unknown = '01a1fbba-b75f-7646-92a3-d4a3c62ecb9b';
  t.match(await undo(unknown), problem(404, 'activity_not_found'));
  t.match(await undo('nonsense'), problem(400, 'invalid_activity_id'));
  const id = await act([put('refused', { a: 1 })]);
  for (const body of [{ onConflict: 'ask' }, { activity: {} }, { more: 1 }, []])
    t.equal((await undo(id, body)).status, 400, JSON.stringify(body));
  const headers = { 'activity-id': id };
  t.match(
    await call('POST', `/activities/${id}/revert`, undefined, headers),
    problem(409, 'activity_already_ticked'),
    'an activity does not undo itself',
  );
  const empty = await call('POST', '/activities', { actor: 'nobody' });
  t.match(await undo(text(empty.body.id)), { status: 200, body: { items: [], at: null, activity: null } });
});

t.test('a state that the definition refuses today comes back only if that is asked for', async (t) => {
  await call('PUT', '/types/pet', { schema: { properties: { age: { type: 'integer' } } } });
  const made = await call('POST', '/entities', { type: 'pet', key: 'a', properties: { age: 1, name: 'A' } });
  t.equal(made.status, 201);
  const id = await act([{ op: 'patch', id: 'pet:a', properties: { name: null } }]);
  await call('PUT', '/types/pet', { schema: { properties: { age: { type: 'integer' }, name: false } } });
  t.match(
    await undo(id),
    problem(409, 'state_not_valid', { id: made.body.id ?? null, errors: [{ path: '/properties/name' }] }),
  );
  t.match(await undo(id, undefined, '?evenIfInvalid=true'), { status: 200 });
});

t.test(
  'definitions change one at a time: what an activity did to them and to entities is not undone at once',
  async (t) => {
    const recorded = await call('POST', '/activities', { actor: 'Ross' });
    const headers = { 'activity-id': text(recorded.body.id) };
    t.equal((await call('PUT', '/types/other', { schema: {} }, headers)).status, 201);
    t.equal((await call('POST', '/batch', { operations: [put('beside', { a: 1 })] }, headers)).status, 200);
    const counts = await traces(sql);
    t.match(await undo(text(recorded.body.id), { onConflict: 'force' }), problem(400, 'reserved_type'));
    t.same(await traces(sql), counts);
  },
);

t.test('what was not kept nobody undoes: it stays, and what came later counts as in the way', async (t) => {
  const define = (untracked: Json) => call('PUT', '/types/hidden', { schema: {}, untracked });
  const change = async (changes: JsonObject): Promise<string> => {
    const { status, body } = await call('PATCH', '/entities/hidden:h', {
      properties: changes,
      activity: { actor: 'Ross' },
    });
    t.equal(status, 200);
    // The service answers a write without its activity: the last tick has it.
    const history = await call('GET', `/entities/hidden:h/history?order=desc&limit=1`);
    t.equal(object(list(history.body.items)[0]).tick, body.tick);
    return activityOf({ ...history, body: object(list(history.body.items)[0]) });
  };
  const now = async () => (await call('GET', '/entities/hidden:h')).body.properties;

  await define(['a']);
  await call('POST', '/entities', { type: 'hidden', key: 'h', properties: { a: 1, b: 1 } });
  await define([]);
  const tracks = await change({ a: 2, b: 2 });
  t.match(await undo(tracks), { status: 200, body: { conflicts: [] } });
  t.same(await now(), { a: 2, b: 1 }, 'what it was before its values were kept nobody knows');

  await define(['a']);
  const hides = await change({ a: 3 });
  t.match(await undo(hides), { status: 200, body: { conflicts: [] } });
  t.same(await now(), { a: 2, b: 1 }, 'what it was while its values were kept comes back');

  const again = await change({ a: 4, b: 4 });
  t.match(await undo(again), { status: 200 });
  t.same(await now(), { a: 4, b: 1 }, 'what it was while they were not kept does not');

  await define([]);
  await change({ a: 5 });
  await define(['a']);
  const last = await change({ a: 6 });
  await change({ a: 7 });
  t.match(await undo(last), problem(409, 'undo_conflict', { conflictCount: 1, conflicts: [{ property: 'a' }] }));
  t.match(await undo(last, { onConflict: 'skip' }), { status: 200, body: { at: null } });
  t.same(await now(), { a: 7, b: 1 });
  t.match(await undo(last, { onConflict: 'force' }), { status: 200 });
  t.same(await now(), { a: 5, b: 1 });
});

t.test('what an import has written with its instants is undone as anything else', async (t) => {
  const activity = (day: number) => `01a1fbba-b75f-7646-92a3-d4a3c62ecb${day}b`;
  const lines = [0, 1, 2].flatMap((n) =>
    [1, 2, 3].map((day) => ({
      type: 'imported',
      key: `k${n}`,
      properties: { day, n, [`p${day}`]: day },
      at: `2015-01-0${day}T00:00:00Z`,
      activity: { id: activity(day), actor: `day ${day}` },
    })),
  );
  const { statusCode, body } = await app.inject({
    method: 'POST',
    url: '/import?source=past',
    headers: { 'content-type': 'application/x-ndjson' },
    payload: lines.map((line) => JSON.stringify(line)).join('\n'),
  });
  t.equal(statusCode, 200, body);
  const now = async () => (await call('GET', '/entities/imported:k1')).body;
  t.match(
    await undo(activity(2)),
    problem(409, 'undo_conflict', { conflictCount: 6 }),
    'day, and what the next day removed',
  );
  t.match(await undo(activity(3)), { status: 200, body: { conflicts: [] } });
  t.match(await now(), { tick: 4, properties: { day: 2, n: 1, p2: 2 } });
  const past = await call('GET', '/entities/imported:k1?asOf=2015-01-03T12:00:00Z');
  t.same(past.body.properties, { day: 3, n: 1, p3: 3 }, 'the past stays');
  t.match(await undo(activity(2)), problem(409, 'undo_conflict'), 'the undo is a later change as well');
  t.match(await undo(activity(1), { onConflict: 'force' }), { status: 200, body: { conflictCount: 3 } });
  t.match(await now(), { code: 'entity_deleted' });
});

t.test('a service that takes no change without a condition lets nobody force an undo', async (t) => {
  const { call } = await serve(t, storage, { requireCondition: true });
  const id = await act([put('unseen', { a: 1 })]);
  await act([patch('unseen', { a: 2 })]);
  t.match(
    await call('POST', `/activities/${id}/revert`, { onConflict: 'force' }),
    problem(428, 'precondition_required', { errors: [{ path: '/onConflict' }] }),
  );
  t.match(await call('POST', `/activities/${id}/revert`), problem(409, 'undo_conflict'));
  t.match(await call('POST', `/activities/${id}/revert`, { onConflict: 'skip' }), { status: 200, body: { at: null } });
});

t.test('an undo while others write the same entities loses none of their changes', async (t) => {
  const { call: other } = await serve(t, storage);
  const keys = Array.from({ length: 10 }, (_, n) => `storm${n}`);
  await act(keys.map((key) => put(key, { n: 0 })));
  for (let round = 1; round <= 3; round++) {
    const id = await act(keys.map((key) => patch(key, { n: round })));
    const writes = keys.map((key) => other('PATCH', `/entities/thing:${key}`, { properties: { [`m${round}`]: key } }));
    const undone = await undo(id);
    t.match(undone, { status: 200, body: { conflicts: [] } }, undone.text);
    for (const { status } of await Promise.all(writes)) t.equal(status, 200);
    for (const key of keys) t.match(await properties(key), { n: 0, [`m${round}`]: key });
  }
});

t.test('states that are too large together are not undone at once, and nothing is', async (t) => {
  const keys = [0, 1, 2, 3, 4].map((n) => `large${n}`);
  for (const key of keys) await act([put(key, { s: 'x'.repeat(7 * 2 ** 20) })]);
  const recorded = await call('POST', '/activities', { actor: 'Ross' });
  const id = text(recorded.body.id);
  for (const key of keys) await call('DELETE', `/entities/thing:${key}`, undefined, { 'activity-id': id });
  const counts = await traces(sql);
  t.match(await undo(id), problem(413, 'batch_too_large'));
  t.same(await traces(sql), counts);
});

t.test('more ticks than can be undone at once are refused', async (t) => {
  const id = await act([put('first', { a: 1 })]);
  await writeMany(
    sql,
    Array.from({ length: 10_000 }, (_, n) => ({
      id: newId(),
      type: 'tiny',
      key: `t${n}`,
      expected: 0,
      op: 'created',
      set: {},
      activity_id: id,
    })),
  );
  t.match(await undo(id), problem(413, 'batch_too_large'));
});

/** How many ticks the long one undoes: thousands. */
const THOUSANDS = Number(process.env.UNDO_THOUSANDS ?? 2);

t.test('as of before equals now after an activity of thousands of ticks was undone', async (t) => {
  const many = (from: number, make: (key: string, n: number) => Json) =>
    Array.from({ length: 1_000 }, (_, n) => make(`many${from + n}`, from + n));
  const parts = Array.from({ length: THOUSANDS }, (_, n) => 1_000 * n);
  for (const from of parts) await act(many(from, (key, n) => put(key, { n, s: `${n}`, list: [n] })));
  const before = await things();
  const recorded = await call('POST', '/activities', { actor: 'Ross' });
  const id = text(recorded.body.id);
  for (const from of parts) {
    const operations = many(from, (key, n) =>
      n % 10 === 0 ? remove(key) : patch(key, { n: -n - 1, list: [n, n], s: null }),
    );
    t.equal((await call('POST', '/batch', { operations }, { 'activity-id': id })).status, 200);
  }
  const start = performance.now();
  const undone = await undo(id, undefined, '');
  t.comment(`${1_000 * THOUSANDS} ticks undone in ${Math.round(performance.now() - start)} ms`);
  t.equal(list(undone.body.items).length, 1_000 * THOUSANDS);
  const after = await things();
  t.ok(Object.keys(after).length >= 1_000 * THOUSANDS);
  t.same(after, before);
});
