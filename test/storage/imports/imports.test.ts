import { randomBytes, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { type Import, type ImportStep, importLines } from '../../../src/storage/imports/imports.js';
import { readImport } from '../../../src/storage/imports/rows.js';
import type { Storage } from '../../../src/storage/storage.js';
import type { Json } from '../../../src/temporal/json.js';
import { Refusal } from '../../../src/temporal/refusal.js';
import { testDatabase } from '../../helper/database.js';
import { linesOf } from '../../helper/lines.js';
import { object, serve } from '../../helper/service.js';
import { findingsOf } from '../../helper/verified.js';

const UPSERT: Import = {
  source: 's',
  mode: 'upsert',
  skew: 'refuse',
  onError: 'stop',
  evenIfInvalid: false,
  dryRun: false,
  wait: 0,
};

/** Imports lines: the steps, and what refused it. */
async function run(storage: Storage, lines: readonly Json[], how: Partial<Import> = {}) {
  const steps: ImportStep[] = [];
  try {
    for await (const step of importLines(storage, { ...UPSERT, ...how }, linesOf(lines))) steps.push(step);
    return { steps, last: steps.at(-1)?.row, refusal: null };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { steps, last: steps.at(-1)?.row, refusal: error };
  }
}

const friend = (key: string, properties: Record<string, Json>, more: Record<string, Json> = {}) => ({
  type: 'friend',
  key,
  properties,
  ...more,
});

t.test('lines become ticks: what each does, and what a batch of them folds into', async (t) => {
  const database = await testDatabase(t);
  const { storage, sql } = database;
  const { call } = await serve(t, storage);
  const first = await run(storage, [
    friend('a', { n: 1, gone: true }),
    friend('b', { n: 1 }),
    friend('a', { n: 2 }),
    { type: 'friend', key: 'b', op: 'patch', properties: { n: null, m: { x: 1 } } },
    { type: 'friend', key: 'c', op: 'delete' },
    '',
    friend('d', { n: 1 }),
    { type: 'friend', key: 'd', op: 'delete' },
  ]);
  t.equal(first.refusal, null);
  t.match(first.last, { status: 'done', lines: 7, changed: 6, unchanged: 1, skipped: 0, ticks: 2, watermark: null });
  t.match((await call('GET', '/entities/friend:a')).body, { tick: 1, properties: { n: 2 } });
  t.match((await call('GET', '/entities/friend:b')).body, { tick: 1, properties: { m: { x: 1 } } });
  t.equal((await call('GET', '/entities/friend:c')).status, 404);
  t.equal((await call('GET', '/entities/friend:d')).status, 404, 'made and deleted in one batch: nothing');

  const second = await run(storage, [
    friend('a', { n: 2 }),
    { type: 'friend', key: 'b', op: 'set', set: { m: null, k: [1] }, clear: ['n'] },
    { type: 'friend', key: 'a', op: 'delete' },
  ]);
  t.match(second.last, { status: 'done', lines: 3, changed: 2, unchanged: 1, ticks: 2 });
  t.equal((await call('GET', '/entities/friend:a')).status, 410);
  t.same((await call('GET', '/entities/friend:b')).body.properties, { m: null, k: [1] });

  const activities =
    await sql`SELECT count(*)::int AS n, count(DISTINCT import_id)::int AS imports FROM clocktick.activity`;
  t.same(activities, [{ n: 2, imports: 2 }], 'one of each batch, and each names its import');
  t.same(await findingsOf(database.url), []);
});

t.test('lines that say who and why tick by themselves; neighbours that say the same are one', async (t) => {
  const { storage, sql, url } = await testDatabase(t);
  const { call } = await serve(t, storage);
  const ross = { activity: { actor: 'ross', reason: 'r' } };
  const joey = { activity: { actor: 'joey' } };
  const { last, refusal } = await run(storage, [
    friend('a', { n: 1 }, ross),
    friend('b', { n: 1 }, ross),
    friend('a', { n: 2 }, joey),
    friend('a', { n: 3 }),
    friend('a', { n: 4 }, ross),
    friend('b', { n: 1 }, joey),
    friend('c', { n: 1 }),
  ]);
  t.equal(refusal, null);
  t.match(last, { lines: 7, changed: 6, unchanged: 1, ticks: 6 });
  const { body } = await call('GET', '/entities/friend:a/history');
  t.match(body.items, [
    { tick: 1, activity: { actor: 'ross', reason: 'r' } },
    { tick: 2, activity: { actor: 'joey' } },
    { tick: 3, activity: {} },
    { tick: 4, activity: { actor: 'ross' } },
  ]);
  const actors = await sql`SELECT actor, count(*)::int AS n FROM clocktick.activity GROUP BY actor ORDER BY actor`;
  t.same(actors, [
    { actor: 'joey', n: 1 },
    { actor: 'ross', n: 2 },
    { actor: null, n: 2 },
  ]);
  t.same(await findingsOf(url), []);
});

t.test('B30: of 1,000 entities of which 400 are there as they are, 600 tick, under one activity', async (t) => {
  const { storage, sql } = await testDatabase(t);
  const entity = (n: number, v: number) => friend(`k${n}`, { v, name: `n${n}` });
  await run(
    storage,
    Array.from({ length: 400 }, (_, n) => entity(n, 1)),
  );
  const { last } = await run(
    storage,
    Array.from({ length: 1_000 }, (_, n) => entity(n, 1)),
  );
  t.match(last, { changed: 600, unchanged: 400, ticks: 600 });
  const [row] = await sql`
    SELECT count(*)::int AS ticks, count(DISTINCT k.activity_id)::int AS activities FROM clocktick.tick k
      JOIN clocktick.activity a ON a.id = k.activity_id WHERE a.import_id = ${last?.id ?? ''}`;
  t.same(row, { ticks: 600, activities: 1 });
});

t.test('a line that is refused refuses its batch whole, says where, and what was kept before stays', async (t) => {
  const { storage } = await testDatabase(t);
  const { call } = await serve(t, storage);
  const cases: [line: Json, code: string, message: RegExp][] = [
    ['{"type":', 'malformed_json', /^Line 3: /],
    [[1], 'invalid_body', /^Line 3: must be an object/],
    [{ type: 'friend', properties: {} }, 'invalid_body', /^Line 3: A line must say either key or id/],
    [{ type: 'Friend', key: 'a', properties: {} }, 'invalid_body', /^Line 3: \/type: must be a slug/],
    [friend('a', {}, { op: 'merge' }), 'invalid_body', /^Line 3: \/op: must be put, patch, set or delete/],
    [friend('a', {}, { more: 1 }), 'unknown_field', /^Line 3: \/more: is not known here/],
    [friend('a', { '': 1 }), 'invalid_property_name', /^Line 3: /],
    [{ type: 'friend', id: 'x', properties: {} }, 'invalid_id', /^Line 3: /],
    [{ type: 'friend', id: '3f0ac0bb-6a3c-5d0c-9f57-2f7d2c1e4b10', properties: {} }, 'invalid_id', /^Line 3: /],
    [{ type: 'friend', key: 'none', op: 'patch', properties: {} }, 'entity_not_found', /^Line 3: /],
    ['{"type":"friend","key":"a","properties":{"n":1e400}}', 'number_not_exact', /^Line 3: \/properties\/n/],
    [{ watermark: 'x'.repeat(16_384) }, 'invalid_body', /^Line 3: \/watermark: must have at most 16384 characters/],
    [`{"type":"friend","key":"a","properties":{"n":[${'[],'.repeat(1_000_000)}[]]}}`, 'body_too_large', /^Line 3: /],
  ];
  for (const [line, code, message] of cases) {
    const { refusal, steps } = await run(storage, [friend('new', { n: 1 }), { watermark: 1 }, line, friend('z', {})]);
    t.match(refusal, { code, message, notes: { members: { line: 3 } } }, code);
    t.match(steps.at(-1)?.row, { lines: 2, watermark: '1' });
    t.equal((await call('GET', '/entities/friend:new')).status, 200, 'the batch before');
    t.equal((await call('GET', '/entities/friend:z')).status, 404);
    t.match(await readImport(storage, 's'), { status: 'failed', watermark: '1', lines: 2 });
  }
  const skipped = await run(storage, [...cases.map(([line]) => line), friend('z', {})], { onError: 'skip' });
  t.match(skipped.last, { status: 'done', lines: cases.length + 1, skipped: cases.length, changed: 1 });
  t.same(
    skipped.steps.flatMap(({ faults }) => faults.map(({ line, refusal }) => [line, refusal.code])),
    cases.map(([, code], n) => [n + 1, code]),
  );
});

t.test('B09, B11: a watermark is kept with the batch that it ends, and told to whoever imports next', async (t) => {
  const { storage } = await testDatabase(t);
  for (const [before, now] of [
    [null, '3'],
    ['3', '6'],
    ['6', '{"at": [9]}'],
  ] as const) {
    const { steps } = await run(storage, [friend(`k${now}`, { n: 1 }), { watermark: JSON.parse(now) }]);
    t.equal(steps[0]?.row.watermark, before);
    t.equal(steps.at(-1)?.row.watermark, now);
  }
  const given = await run(storage, [friend('given', { n: 1 }), { watermark: 4 }]);
  t.equal(given.last?.watermark, '4', 'whoever goes on from another one says so');
  t.match(given.last, { ticks: 1, deleted: 0 });
  const without = await run(storage, [friend('more', { n: 1 })]);
  t.equal(without.last?.watermark, '4', 'it stays');
  t.same(await readImport(storage, 'another'), undefined);
});

t.test('a watermark is one however it is written, and what only speaks of one is none', async (t) => {
  const { storage } = await testDatabase(t);
  for (const [n, mark] of [' { "watermark" : 0 } ', '{"\\u0077aterm\\u0061rk":1}', '{"watermark":2}\r'].entries()) {
    const { steps } = await run(storage, [friend('a', { n }), mark, friend('b', { n })]);
    t.same(steps.map(({ row }) => [row.lines, row.watermark]).slice(1), [
      [2, `${n}`],
      [3, `${n}`],
      [3, `${n}`],
    ]);
  }
  const { steps } = await run(storage, [friend('c', { watermark: 3, '"watermark"': 4 }), friend('d', {})]);
  t.same(steps.slice(1).map(({ row }) => [row.lines, row.ticks, row.watermark])[0], [2, 2, '2']);
});

t.test('B32: a source has one import at a time; one that has died leaves its source free', async (t) => {
  const { storage, sql } = await testDatabase(t);
  let go = () => {};
  const held = new Promise<void>((resolve) => {
    go = resolve;
  });
  async function* slow() {
    yield* linesOf([friend('a', { n: 1 }), { watermark: 1 }]);
    await held;
    yield* linesOf([friend('b', { n: 1 })]);
  }
  const first = importLines(storage, UPSERT, slow());
  await first.next();
  await first.next();
  t.match(await readImport(storage, 's'), { status: 'running', lines: 2, watermark: '1' });
  t.match((await run(storage, [])).refusal, { code: 'import_running' });
  const other = await run(storage, [friend('c', { n: 1 })], { source: 'other' });
  t.match(other.last, { status: 'done', ticks: 1 }, 'another source does not wait');

  await sql`SELECT pg_terminate_backend(l.pid, 5000) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
  t.match(await readImport(storage, 's'), { status: 'interrupted', lines: 2 });
  const next = await run(storage, [friend('d', { n: 1 })]);
  t.match(next.last, { status: 'done', watermark: '1' });
  go();
  await t.rejects(
    async () => {
      for await (const _ of first);
    },
    { code: 'database_unavailable' },
  );
  t.match(
    await readImport(storage, 's'),
    { status: 'done', id: next.last?.id ?? '' },
    'the one that died keeps nothing more',
  );
});

t.test('insert adds, and changes nothing that is there', async (t) => {
  const { storage } = await testDatabase(t);
  await run(storage, [friend('a', { n: 1 })], { mode: 'insert' });
  const again = await run(storage, [friend('a', { n: 1 }), friend('b', { n: 1 })], { mode: 'insert' });
  t.match(again.last, { changed: 1, unchanged: 1 }, 'what was sent before is no fault');
  t.match((await run(storage, [friend('a', { n: 2 })], { mode: 'insert' })).refusal, {
    code: 'entity_exists',
    notes: { members: { line: 1 } },
  });
});

t.test('a dry run tells what would be, and leaves nothing', async (t) => {
  const { storage, sql } = await testDatabase(t);
  await run(storage, [friend('a', { n: 1 }), { watermark: 1 }]);
  const before = await sql`SELECT (SELECT count(*) FROM clocktick.tick) AS ticks, i.* FROM clocktick.import i`;
  const { last } = await run(storage, [friend('a', { n: 2 }), friend('b', { n: 1 }), { watermark: 2 }], {
    dryRun: true,
  });
  t.match(last, { status: 'done', lines: 3, changed: 2, ticks: 2, watermark: '2' });
  t.same(await sql`SELECT (SELECT count(*) FROM clocktick.tick) AS ticks, i.* FROM clocktick.import i`, before);
});

t.test('what only the database refuses is told with its line, too, or left out', async (t) => {
  const { storage } = await testDatabase(t);
  const { call } = await serve(t, storage);
  const large = { metadata: { m: 'x'.repeat(2 ** 20) } };
  const lines = [
    friend('a', { n: 1 }),
    friend('b', { text: 'x'.repeat(8 * 2 ** 20) }),
    friend('c', { n: 1 }, { activity: large }),
    friend('d', { n: 1 }),
  ];
  const { refusal } = await run(storage, lines);
  t.match(refusal, { code: 'entity_too_large', message: /^Line 2: /, notes: { members: { line: 2 } } });
  const { last, steps } = await run(storage, lines, { onError: 'skip' });
  t.match(last, { status: 'done', lines: 4, skipped: 2, changed: 1, unchanged: 1 });
  t.match(
    steps.flatMap(({ faults }) => faults),
    [
      { line: 2, refusal: { code: 'entity_too_large' } },
      { line: 3, refusal: { code: 'activity_too_large' } },
    ],
  );
  t.equal((await call('GET', '/entities/friend:d')).status, 200);
});

t.test('large entities are read in turn, and many ticks of one entity are written in turn', async (t) => {
  const { storage, url } = await testDatabase(t);
  const { call } = await serve(t, storage);
  const large = () => randomBytes(200_000).toString('base64');
  const keys = Array.from({ length: 20 }, (_, n) => `large${n}`);
  await run(
    storage,
    keys.map((key) => friend(key, { large: large() })),
  );
  const patches = keys.map((key, n) => ({ type: 'friend', key, op: 'patch', properties: { n } }));
  const { steps, last } = await run(storage, [...patches, { watermark: 1 }]);
  t.match(last, { status: 'done', lines: 21, changed: 20, ticks: 20, watermark: '1' });
  t.ok(steps.length > 4, `in ${steps.length - 2} transactions`);
  t.same(
    steps.map(({ row }) => row.watermark).lastIndexOf(null),
    steps.length - 3,
    'the watermark comes with the last',
  );
  t.match((await call('GET', '/entities/friend:large19?fields=n')).body, { tick: 2, properties: { n: 19 } });

  const log = Array.from({ length: 120 }, (_, n) => friend('one', { n }, { activity: { actor: `actor ${n}` } }));
  const logged = await run(storage, [...log, { watermark: 2 }]);
  t.match(logged.last, { status: 'done', lines: 121, ticks: 120, watermark: '2' });
  t.match((await call('GET', '/entities/friend:one')).body, { tick: 120, properties: { n: 119 } });
  t.same(await findingsOf(url), []);
});

t.test('other writers may come first: the batch is decided anew, and goes through whoever writes', async (t) => {
  const { storage, url } = await testDatabase(t);
  const { call } = await serve(t, storage);
  const keys = Array.from({ length: 10 }, (_, n) => `k${n}`);
  await run(
    storage,
    keys.map((key) => friend(key, { n: 0, m: 0 })),
  );
  let isOver = false;
  const writing = keys.map(async (key) => {
    for (let m = 1; !isOver; m++) await call('PATCH', `/entities/friend:${key}`, { properties: { m } });
  });
  const patches = Array.from({ length: 6 }, (_, n) => [
    ...keys.map((key) => ({ type: 'friend', key, op: 'patch', properties: { n: n + 1 } })),
    { watermark: n },
  ]).flat();
  const { last, refusal } = await run(storage, patches);
  isOver = true;
  await Promise.all(writing);
  t.equal(refusal, null);
  t.match(last, { status: 'done', changed: 60, ticks: 60 });
  const { body } = await call('GET', '/entities/friend:k9');
  t.equal(object(body.properties).n, 6);
  t.same(await findingsOf(url), []);
});

t.test('two imports at once may say one new activity: it is recorded once, and has one wording', async (t) => {
  const { storage, sql, url } = await testDatabase(t);
  for (let n = 0; n < 5; n++) {
    const id = randomUUID();
    const lines = (source: string, actor: string) =>
      Array.from({ length: 50 }, (_, m) => friend(`${source}${n}-${m}`, { m }, { activity: { id, actor } }));
    const both = await Promise.all(['a', 'b'].map((source) => run(storage, lines(source, 'ross'), { source })));
    t.match(both, [
      { refusal: null, last: { status: 'done', ticks: 50 } },
      { refusal: null, last: { status: 'done', ticks: 50 } },
    ]);
    const ticks = await sql`SELECT count(*)::int AS n FROM clocktick.tick WHERE activity_id = ${id}`;
    t.same(ticks, [{ n: 100 }]);
  }
  const id = randomUUID();
  const differing = await Promise.all(
    ['a', 'b'].map((actor) => run(storage, [friend(actor, { n: 1 }, { activity: { id, actor } })], { source: actor })),
  );
  const [code, ...others] = differing.flatMap(({ refusal }) => refusal?.code ?? []);
  t.same([code, others], ['activity_differs', []], 'who comes second is told');
  t.same(await findingsOf(url), []);
});

t.test(
  'an activity that goes on in the next batch, and ticks the same entity there, is recorded once more',
  async (t) => {
    const { storage, sql } = await testDatabase(t);
    const ross = { activity: { actor: 'ross' } };
    const { last, refusal } = await run(storage, [
      friend('a', { n: 1 }, ross),
      { watermark: 1 },
      friend('b', { n: 1 }, ross),
      { watermark: 2 },
      friend('a', { n: 2 }, ross),
    ]);
    t.equal(refusal, null);
    t.match(last, { status: 'done', ticks: 3 });
    t.same(await sql`SELECT count(*)::int AS n FROM clocktick.activity`, [{ n: 2 }]);
  },
);

/* What happened before now. */

const april = (day: number, hour = 0) =>
  `2015-04-${String(day).padStart(2, '0')}T${String(hour).padStart(2, '0')}:00:00.000000Z`;
const party = (at: string, more: Record<string, Json>) => ({ type: 'party', key: 'p', at, ...more });
const PARTY = [
  party(april(2), { properties: { people: 6 }, activity: { actor: 'monica', reason: 'birthday' } }),
  party(april(3), { op: 'patch', properties: { people: 4 } }),
  party(april(8), { op: 'delete' }),
];

t.test('A15: what happened earlier is imported with its instants', async (t) => {
  const { storage, sql, url } = await testDatabase(t);
  const { call } = await serve(t, storage);
  const { last, refusal } = await run(storage, PARTY);
  t.equal(refusal, null);
  t.match(last, { status: 'done', changed: 3, ticks: 3 });
  const cases: [asOf: string, status: number, body: Record<string, unknown>][] = [
    [april(1, 23), 404, { code: 'entity_not_found' }],
    [april(2, 23), 200, { tick: 1, properties: { people: 6 }, createdAt: april(2), updatedAt: april(2) }],
    [april(5), 200, { tick: 2, properties: { people: 4 }, createdAt: april(2), updatedAt: april(3) }],
    [april(9), 410, { code: 'entity_deleted' }],
  ];
  for (const [asOf, status, body] of cases)
    t.match(await call('GET', `/entities/party:p?asOf=${asOf}`), { status, body }, asOf);
  const { body: history } = await call('GET', '/entities/party:p/history');
  t.match(history.items, [
    { tick: 1, at: april(2), imported: true, activity: { actor: 'monica', reason: 'birthday' } },
    { tick: 2, at: april(3), imported: true, recordedAt: /^20[2-9]/ },
    { tick: 3, at: april(8), op: 'deleted', imported: true },
  ]);
  t.match(await call('GET', '/entities/party:p/history/people'), {
    body: { items: [{ effective: { from: april(2), to: april(3) } }, { effective: { from: april(3), to: april(8) } }] },
  });

  // The clock goes on from there, and so does what is imported.
  t.match(await call('PUT', '/entities/party:p', { type: 'party', properties: { people: 2 } }), { body: { tick: 4 } });
  t.match((await run(storage, [party(april(9), { properties: {} })])).refusal, {
    code: 'at_out_of_order',
    message: /^Line 1: Entity party:p: \/at is not after the newest tick of the entity, 4,/,
    notes: { members: { line: 1, tick: 4 } },
  });
  const [{ isOrdered } = { isOrdered: null }] = await sql<{ isOrdered: boolean }[]>`
    SELECT bool_and(recorded_at > before) AS "isOrdered"
      FROM (SELECT recorded_at, lag(recorded_at) OVER (ORDER BY tick) AS before FROM clocktick.tick) t WHERE before IS NOT NULL`;
  t.equal(isOrdered, true, 'each tick is recorded after the one before');
  t.same(await findingsOf(url), []);
});

t.test('an import of what happened earlier can be sent again, whole or from anywhere', async (t) => {
  const { storage } = await testDatabase(t);
  const { last } = await run(storage, PARTY.slice(0, 2));
  t.match(last, { ticks: 2 });
  t.match((await run(storage, PARTY)).last, { changed: 1, unchanged: 2, ticks: 1 });
  t.match((await run(storage, PARTY)).last, { changed: 0, unchanged: 3, ticks: 0 });
  t.match((await run(storage, PARTY.toReversed())).last, { changed: 0, unchanged: 3, ticks: 0 });
  const twice = await run(storage, [
    party(april(1), { key: 'q', properties: { n: 1 } }),
    party(april(1), { key: 'q', properties: { n: 1 } }),
  ]);
  t.match(twice.last, { changed: 1, unchanged: 1, ticks: 1 }, 'also within a batch');
  const differing = [party(april(3), { properties: { people: 5 } }), party(april(2), { key: 'new', properties: {} })];
  t.match((await run(storage, differing)).refusal, { code: 'at_out_of_order', notes: { members: { line: 1 } } });
  t.match((await run(storage, differing, { onError: 'skip' })).last, { changed: 1, skipped: 1, ticks: 1 });
});

t.test('an instant that is none, or has not come, is refused with its line', async (t) => {
  const { storage } = await testDatabase(t);
  const cases: [at: Json, code: string, message: RegExp][] = [
    ['2015-04-02', 'invalid_body', /^Line 1: \/at: must be an RFC 3339 instant/],
    ['2015-04-02T00:00:00', 'invalid_body', /\/at: must be an RFC 3339 instant with its offset/],
    ['2015-02-29T00:00:00Z', 'invalid_body', /\/at/],
    ['2015-04-02T00:00:00.0000001Z', 'invalid_body', /\/at/],
    ['infinity', 'invalid_body', /\/at/],
    ['3', 'invalid_body', /\/at/],
    [3, 'invalid_body', /\/at/],
    [null, 'invalid_body', /\/at/],
    ['0001-01-01T00:00:00+00:01', 'invalid_body', /\/at: lies beyond the years/],
    ['9999-12-31T23:59:59.999999Z', 'at_in_future', /^Line 1: \/at: has not come yet/],
    [new Date(Date.now() + 60_000).toISOString(), 'at_in_future', /has not come yet/],
  ];
  for (const [at, code, message] of cases)
    t.match(
      (await run(storage, [party(april(1), { at, properties: {} })])).refusal,
      { code, message },
      JSON.stringify(at),
    );
  t.match((await run(storage, [party('0001-01-01T00:00:00Z', { properties: {} })])).last, { ticks: 1 });
  t.match((await run(storage, [party('2015-04-02T02:00:00.5+02:00', { properties: { n: 1 } })])).last, { ticks: 1 });
  const { call } = await serve(t, storage);
  t.match((await call('GET', '/entities/party:p')).body, {
    createdAt: '0001-01-01T00:00:00.000000Z',
    updatedAt: '2015-04-02T00:00:00.500000Z',
  });
});

t.test('an activity that lines name by an id has that id, and is recorded once, over all batches', async (t) => {
  const { storage, url } = await testDatabase(t);
  const { call } = await serve(t, storage);
  const id = '018F0000-0000-7000-8000-00000000000A';
  const ross = { id, actor: 'ross', metadata: { n: 1, m: [null] } };
  const lines = [
    party(april(1), { key: 'a', properties: { n: 1 }, activity: ross }),
    party(april(1), { key: 'b', properties: { n: 1 } }),
    party(april(1), { key: 'c', properties: { n: 1 }, activity: ross }),
    { watermark: 1 },
    party(april(2), { key: 'd', properties: { n: 1 }, activity: { id } }),
    party(april(2), { key: 'b', properties: { n: 2 }, activity: { id, actor: 'ross', metadata: { m: [null], n: 1 } } }),
  ];
  t.match(await run(storage, lines), { refusal: null, last: { ticks: 5 } });
  t.match((await run(storage, lines)).last, { unchanged: 5, ticks: 0 }, 'sent again it is no fault');
  const { body } = await call('GET', `/activities/${id}`);
  t.match(body, { id: id.toLowerCase(), actor: 'ross', metadata: { n: 1 } });
  t.match(body.ticks, [{}, {}, {}, {}]);
  const cases: [activity: Json, code: string][] = [
    [{ id, actor: 'joey' }, 'activity_differs'],
    [{ id: '018f0000-0000-7000-8000-00000000000b' }, 'unknown_activity'],
    [{ id: 'x', actor: 'ross' }, 'invalid_body'],
    [{}, 'invalid_body'],
  ];
  for (const [activity, code] of cases) {
    const { refusal } = await run(storage, [party(april(3), { key: 'e', properties: {}, activity })]);
    t.match(refusal, { code, notes: { members: { line: 1 } } }, code);
  }
  const again = await run(storage, [party(april(3), { key: 'a', properties: { n: 3 }, activity: ross })]);
  t.match(again.refusal, { code: 'activity_already_ticked', notes: { members: { line: 1 } } });
  t.same(await findingsOf(url), []);
});

t.test('instants that are shared or go back are shifted over the whole file, and a commit stays one', async (t) => {
  const { storage } = await testDatabase(t);
  const { call } = await serve(t, storage);
  const commit = (at: string, actor: string, keys: Record<string, number>): Json[] =>
    Object.entries(keys).map(([key, n]) => party(at, { key, properties: { n }, activity: { actor } }));
  const lines = [
    ...commit(april(2), 'ross', { a: 1, b: 1 }),
    ...commit(april(2), 'joey', { a: 2, b: 2 }),
    { watermark: 1 },
    ...commit(april(1), 'ross', { b: 3, c: 3 }),
  ];
  t.match((await run(storage, lines)).refusal, { code: 'at_out_of_order', notes: { members: { line: 3 } } });
  t.match((await run(storage, lines, { skew: 'shift' })).last, { ticks: 6 });
  const shift = (n: number) => april(2).replace('000000Z', `00000${n}Z`);
  const states: [asOf: string, values: number[]][] = [
    [shift(0), [1, 1]],
    [shift(1), [2, 2]],
    [shift(2), [2, 3, 3]],
  ];
  for (const [asOf, values] of states) {
    const { body } = await call('GET', `/entities?type=party&asOf=${asOf}`);
    t.match(
      body.items,
      values.map((n) => ({ properties: { n } })),
      asOf,
    );
  }
  t.match((await run(storage, lines, { skew: 'shift' })).last, { unchanged: 6, ticks: 0 }, 'the same again');
});

t.test('past states of large entities are read in turn', async (t) => {
  const { storage } = await testDatabase(t);
  const keys = Array.from({ length: 40 }, (_, n) => `k${n}`);
  const large = keys.map((key) =>
    party(april(1), { key, properties: { n: 1, large: randomBytes(200_000).toString('base64') } }),
  );
  const small = keys.map((key) => party(april(2), { key, properties: { n: 2 } }));
  t.match(await run(storage, [...large, ...small]), { refusal: null, last: { ticks: 80 } });
  // Neither the lines nor what the entities are now is large: only what they were.
  const again = keys.map((key) => party(april(1), { key, op: 'patch', properties: { n: 1 } }));
  const { last, steps } = await run(storage, [...again, { watermark: 1 }]);
  t.match(last, { unchanged: 40, ticks: 0, watermark: '1' });
  t.ok(steps.length > 5, `in ${steps.length - 2} transactions`);
});

t.test('an import changes the past, and who pins what was recorded sees it as it was', async (t) => {
  const { storage } = await testDatabase(t);
  const { call } = await serve(t, storage);
  await run(storage, [party(april(1), { key: 'a', properties: { n: 1 } })]);
  const before = await call('GET', `/entities?type=party&asOf=${april(5)}`);
  const pin = String(before.body.recordedAsOf);
  await run(storage, [
    party(april(2), { key: 'a', properties: { n: 2 } }),
    party(april(1), { key: 'b', properties: {} }),
  ]);
  const after = await call('GET', `/entities?type=party&asOf=${april(5)}`);
  t.match(after.body.items, [{ properties: { n: 2 } }, { key: 'b' }]);
  const pinned = await call('GET', `/entities?type=party&asOf=${april(5)}&recordedAsOf=${pin}`);
  t.same(pinned.body.items, before.body.items);
});

t.test('property: however a history is cut into imports, every past state is as its lines say', async (t) => {
  const { storage, url } = await testDatabase(t);
  const { call } = await serve(t, storage);
  let run1 = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({ key: fc.constantFrom('a', 'b', 'c'), n: fc.nat(2), isGone: fc.boolean(), mark: fc.boolean() }),
        { minLength: 1, maxLength: 30 },
      ),
      fc.array(fc.nat(30), { maxLength: 3 }),
      async (drawn, cuts) => {
        const type = `t${run1++}`;
        const at = (n: number) => `2001-01-01T00:00:${String(n).padStart(2, '0')}.000000Z`;
        const lines = drawn.flatMap(({ key, n, isGone, mark }, index): Json[] => [
          isGone ? { type, key, op: 'delete', at: at(index) } : { type, key, properties: { n }, at: at(index) },
          ...(mark ? [{ watermark: index }] : []),
        ]);
        for (const cut of [...cuts.map((n) => n % lines.length), lines.length]) {
          const { refusal } = await run(storage, lines.slice(0, cut));
          if (refusal) throw refusal;
        }
        const expected = new Map<string, number | null>();
        for (const [index, { key, n, isGone }] of drawn.entries()) {
          if (!isGone) expected.set(key, n);
          else if (expected.has(key)) expected.set(key, null);
          const { body } = await call('GET', `/entities?type=${type}&asOf=${at(index)}`);
          const items = Array.isArray(body.items) ? body.items.map(object) : [];
          const held = items.map((item) => [item.key, object(item.properties).n]);
          const wanted = [...expected].filter(([, value]) => value !== null).toSorted();
          t.same(held, wanted);
        }
      },
    ),
    { numRuns: 15 },
  );
  t.same(await findingsOf(url), []);
});

t.test('beside others an import writes shorter batches', async (t) => {
  const { storage } = await testDatabase(t);
  const { call } = await serve(t, storage);
  let isOver = false;
  const others = (async () => {
    while (!isOver) await call('GET', '/entities/friend:nobody');
  })();
  const { steps } = await run(
    storage,
    Array.from({ length: 2_500 }, (_, n) => friend(`k${n}`, { n })),
  );
  isOver = true;
  await others;
  const written = steps.map(({ row }) => row.lines);
  const batches = written.map((lines, n) => lines - (written[n - 1] ?? 0)).filter((lines) => lines > 0);
  t.ok(batches.length > 5, `${batches}`);
  t.ok(
    batches.slice(1).every((lines) => lines <= 250),
    'all but the first, before which nothing was known of others',
  );
});
