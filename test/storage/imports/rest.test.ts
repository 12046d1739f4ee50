import { randomBytes } from 'node:crypto';
import t from 'tap';
import { type Import, type ImportStep, importLines } from '../../../src/storage/imports/imports.js';
import { readImport } from '../../../src/storage/imports/rows.js';
import type { Storage } from '../../../src/storage/storage.js';
import type { Json } from '../../../src/temporal/json.js';
import { MAX_PROPERTIES } from '../../../src/temporal/limits.js';
import { Refusal } from '../../../src/temporal/refusal.js';
import { testDatabase } from '../../helper/database.js';
import { linesOf } from '../../helper/lines.js';
import { explain, statementsOf } from '../../helper/plans.js';
import { serve } from '../../helper/service.js';
import { findingsOf } from '../../helper/verified.js';

const REPLACE: Import = {
  source: 's',
  mode: 'replace-all',
  skew: 'refuse',
  onError: 'stop',
  evenIfInvalid: false,
  dryRun: false,
  wait: 0,
};

class Cut extends Error {}

/** Lines behind which the caller is gone. */
async function* cutOff(lines: readonly Json[]) {
  yield* linesOf(lines);
  throw new Cut();
}

/** Imports lines: the first and the last that is told, and what refused it. */
async function run(storage: Storage, lines: readonly Json[], how: Partial<Import> & { isCut?: boolean } = {}) {
  const steps: ImportStep[] = [];
  const { isCut = false, ...wanted } = how;
  let refusal: Refusal | null = null;
  try {
    const given = isCut ? cutOff(lines) : linesOf(lines);
    for await (const step of importLines(storage, { ...REPLACE, ...wanted }, given)) steps.push(step);
  } catch (error) {
    if (error instanceof Refusal) refusal = error;
    else if (!(error instanceof Cut)) throw error;
  }
  return { first: steps[0]?.row, last: steps.at(-1)?.row, refusal };
}

const friend = (key: string, n = 1) => ({ type: 'friend', key, properties: { n } });
const pet = (key: string) => ({ type: 'pet', key, properties: { n: 1 } });
const gone = (type: string, key: string) => ({ type, key, op: 'delete' });

/** Who is alive, of all types. */
async function alive({ sql }: { sql: Awaited<ReturnType<typeof testDatabase>>['sql'] }): Promise<string> {
  const rows = await sql<{ name: string }[]>`
    SELECT type || ':' || coalesce(key, 'without') AS name FROM clocktick.entity WHERE NOT deleted ORDER BY 1`;
  return rows.map(({ name }) => name).join(' ');
}

t.test(
  'B15: an import of [2] over [1]: 2 is there, 1 is a tombstone with its history, and who deleted it',
  async (t) => {
    const database = await testDatabase(t);
    const { call } = await serve(t, database.storage);
    await run(database.storage, [friend('1')]);
    const { last } = await run(database.storage, [friend('2')]);
    t.match(last, { status: 'done', lines: 1, changed: 1, ticks: 2, deleted: 1, unfinishedSince: null });
    t.match(await call('GET', '/entities/friend:2'), { status: 200, body: { tick: 1 } });
    t.match(await call('GET', '/entities/friend:1'), { status: 410 });
    t.match((await call('GET', '/entities/friend:1?asOf=1')).body, { properties: { n: 1 } });
    const { body } = await call('GET', '/entities/friend:1/history');
    t.match(body.items, [{ op: 'created' }, { op: 'deleted', activity: { reason: 'not in the import of s' } }]);
    const [named] = await database.sql`
    SELECT count(*)::int AS n FROM clocktick.activity WHERE import_id = ${last?.id ?? ''} AND reason IS NOT NULL`;
    t.same(named, { n: 1 });
    t.same(await findingsOf(database.url), []);
  },
);

t.test('which the rest is: alive, of a type that a line named, and named by no line', async (t) => {
  const there = 'friend:a friend:b friend:c pet:x pet:y';
  const cases: [what: string, lines: Json[], then: string, deleted: number][] = [
    ['unchanged lines name, too', [friend('a'), friend('b')], 'friend:a friend:b pet:x pet:y', 1],
    ['a patch', [{ ...friend('a'), op: 'patch' }], 'friend:a pet:x pet:y', 2],
    ['values', [{ type: 'friend', key: 'a', op: 'set', set: { n: 2 } }], 'friend:a pet:x pet:y', 2],
    [
      'an id',
      [{ type: 'friend', id: 'f5bf2b05-5d5e-4d06-9d94-1b2f6a1b7d11', properties: {} }],
      'friend:without pet:x pet:y',
      3,
    ],
    ['two types', [friend('a'), pet('y')], 'friend:a pet:y', 3],
    ['a new type', [{ type: 'robot', key: 'r', properties: {} }], `${there} robot:r`, 0],
    ['deletions alone', [gone('pet', 'x')], 'friend:a friend:b friend:c', 1],
    ['a deletion of what never was', [gone('pet', 'none')], 'friend:a friend:b friend:c', 2],
    ['no lines', [], there, 0],
    ['blank lines', ['', ''], there, 0],
    ['a watermark alone', [{ watermark: 1 }], there, 0],
    ['a line that is refused', [friend('a'), '{"type"'], there, 0],
    ['a line after a refused one', [{ ...friend('z'), op: 'patch' }, pet('x')], there, 0],
  ];
  for (const [what, lines, then, deleted] of cases) {
    const database = await testDatabase(t);
    const all = [friend('a'), friend('b'), friend('c'), friend('old'), pet('x'), pet('y'), gone('friend', 'old')];
    await run(database.storage, all, { mode: 'upsert' });
    const dry = await run(database.storage, lines, { dryRun: true });
    const { last, refusal } = await run(database.storage, lines);
    t.equal(await alive(database), then, what);
    t.match(dry.last, { deleted }, `${what}, as a dry run told`);
    t.match(last, { deleted }, what);
    t.equal(dry.last?.ticks, last?.ticks, what);
    t.equal(dry.last?.unfinishedSince === null, last?.unfinishedSince === null, what);
    const isDone =
      !refusal && lines.some((line) => typeof line === 'object' && !Object.hasOwn(Object(line), 'watermark'));
    t.equal(last?.unfinishedSince === null, isDone, what);
    const [{ seen = -1 } = {}] = await database.sql`SELECT count(*)::int AS seen FROM clocktick.import_seen`;
    if (isDone) t.equal(seen, 0, `${what}: nothing of it stays`);
  }
});

t.test('one that was interrupted goes on with what it has seen, and deletes at its clean end alone', async (t) => {
  const database = await testDatabase(t);
  const { storage } = database;
  await run(storage, [friend('a'), friend('b'), friend('c'), friend('d'), { watermark: 'old' }], { mode: 'upsert' });
  const first = await run(storage, [friend('a'), { watermark: 1 }], { isCut: true });
  t.equal(first.first?.watermark, null, 'one that begins anew is told no watermark');
  t.match(await readImport(storage, 's'), { status: 'failed', unfinishedSince: first.first?.startedAt.slice(0, 10) });
  const empty = await run(storage, []);
  t.match(
    empty.last,
    { status: 'done', deleted: 0, unfinishedSince: first.last?.unfinishedSince },
    'no lines are no end',
  );
  const second = await run(storage, [friend('b'), { watermark: 2 }], { isCut: true });
  t.match(second.first, { watermark: '1', unfinishedSince: first.last?.unfinishedSince });
  t.equal(await alive(database), 'friend:a friend:b friend:c friend:d');

  const rest = [friend('c'), { watermark: 3 }];
  t.match((await run(storage, rest, { dryRun: true })).last, { deleted: 1, unfinishedSince: null });
  t.match((await run(storage, rest)).last, { deleted: 1, unfinishedSince: null, watermark: '3' });
  t.equal(await alive(database), 'friend:a friend:b friend:c');
  const next = await run(storage, [friend('c')]);
  t.match(next.first, { watermark: null });
  t.equal(await alive(database), 'friend:c', 'the next one begins anew');
});

t.test('another mode gives up what was seen, and what is left of that counts for nothing', async (t) => {
  const database = await testDatabase(t);
  const { storage, sql } = database;
  await run(storage, [friend('a'), friend('b'), friend('c')], { mode: 'upsert' });
  await run(storage, [friend('a'), { watermark: 1 }], { isCut: true });
  t.match((await run(storage, [friend('d')], { mode: 'upsert' })).last, { deleted: 0, unfinishedSince: null });
  t.same(await sql`SELECT count(*)::int AS n FROM clocktick.import_seen`, [{ n: 0 }]);
  // As it is where the service was killed while it forgot.
  await sql`INSERT INTO clocktick.import_seen SELECT 's', type, id FROM clocktick.entity WHERE key = 'c'`;
  t.match((await run(storage, [friend('b')], { dryRun: true })).last, { deleted: 3 });
  t.match((await run(storage, [friend('b')])).last, { deleted: 3 });
  t.equal(await alive(database), 'friend:b');
});

t.test(
  'what others created or revived since its first run began is theirs; what they only changed is not',
  async (t) => {
    const database = await testDatabase(t);
    const { storage } = database;
    const { call } = await serve(t, storage);
    const before = [friend('a'), friend('changed'), friend('dead'), friend('killed'), gone('friend', 'dead')];
    await run(storage, before, { mode: 'upsert' });
    await run(storage, [friend('a'), { watermark: 1 }], { isCut: true });
    await call('POST', '/entities', { type: 'friend', key: 'created', properties: { n: 1 } });
    await call('PATCH', '/entities/friend:created', { properties: { n: 2 } });
    await call('PATCH', '/entities/friend:changed', { properties: { n: 2 } });
    await call('PUT', '/entities/friend:dead', { type: 'friend', properties: { n: 2 } });
    await call('DELETE', '/entities/friend:killed');
    const lines = [friend('b')];
    t.match((await run(storage, lines, { dryRun: true })).last, { deleted: 1 });
    t.match((await run(storage, lines)).last, { deleted: 1 });
    t.equal(await alive(database), 'friend:a friend:b friend:created friend:dead');
    t.match((await run(storage, [friend('a')])).last, { deleted: 3 }, 'the next one finds them');
  },
);

t.test('where a line was left out nothing is deleted, and that is told, until those lines are sent', async (t) => {
  const database = await testDatabase(t);
  const { storage } = database;
  await run(storage, [friend('a'), friend('b'), friend('c')], { mode: 'upsert' });
  const wrong: Json[] = [friend('a'), '{"type": "friend", "key": "b"'];
  for (const how of [{ dryRun: true }, {}]) {
    const { last } = await run(storage, wrong, { onError: 'skip', ...how });
    t.match(last, { status: 'done', skipped: 1, deleted: 0, unfinishedSince: last?.startedAt.slice(0, 10) });
  }
  t.equal(await alive(database), 'friend:a friend:b friend:c');
  await run(storage, [friend('b')]);
  t.equal(await alive(database), 'friend:a friend:b', 'what was seen counts when they are sent');

  await run(storage, [...wrong, { watermark: 1 }], { onError: 'skip', isCut: true });
  const { last } = await run(storage, [friend('b')], { onError: 'skip' });
  t.match(last, { status: 'done', skipped: 0, deleted: 0 }, 'an interrupted run has left some out');
  t.ok(last?.unfinishedSince);
  const wide = Object.fromEntries(Array.from({ length: MAX_PROPERTIES + 1 }, (_, n) => [`p${n}`, n]));
  const refused = [{ ...friend('b'), properties: wide }, friend('a')];
  t.match((await run(storage, refused, { onError: 'skip' })).last, { skipped: 1, deleted: 0 });
  t.match((await run(storage, [friend('a')])).last, { deleted: 0, unfinishedSince: null }, 'b was named before');

  await run(storage, refused, { onError: 'skip' });
  t.match((await run(storage, [friend('a')])).last, { deleted: 1 }, 'a line that was refused names nothing');
});

t.test(
  'many are deleted in batches, under one activity; one that is cut off goes on when all is sent again',
  async (t) => {
    const database = await testDatabase(t);
    const { storage, sql } = database;
    const many = Array.from({ length: 2_500 }, (_, n) => friend(`k${n}`));
    await run(storage, [...many, pet('x')], { mode: 'upsert' });
    // What does not compress: each is more than one transaction takes beside others.
    const large = () => randomBytes(2 ** 20).toString('base64');
    const pets = ['l1', 'l2', 'l3'].map((key) => ({
      type: 'pet',
      key,
      properties: Object.fromEntries(Array.from({ length: 2 }, (_, n) => [`p${n}`, large()])),
    }));
    await run(storage, pets, { mode: 'upsert' });
    const lines = [friend('k7'), pet('x')];
    t.match((await run(storage, lines, { dryRun: true })).last, { deleted: 2_502, ticks: 2_502 });

    let told = 0;
    await t.rejects(
      async () => {
        for await (const { row } of importLines(storage, REPLACE, linesOf(lines))) {
          if (row.deleted === 0 || told > 0) continue;
          told = row.deleted;
          await sql`SELECT pg_terminate_backend(l.pid, 5000) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
        }
      },
      { code: 'database_unavailable' },
    );
    t.ok(told > 0 && told < 2_502, `${told} were deleted`);
    const interrupted = await readImport(storage, 's');
    t.match(interrupted, { status: 'interrupted', deleted: told });
    t.ok(interrupted?.unfinishedSince);
    t.match((await run(storage, [])).last, { deleted: 0 });

    const { last } = await run(storage, lines);
    t.match(last, { status: 'done', deleted: 2_502 - told, unchanged: 2, unfinishedSince: null });
    t.equal(await alive(database), 'friend:k7 pet:x');
    const [row] = await sql`
    SELECT count(*)::int AS ticks, count(DISTINCT k.activity_id)::int AS activities FROM clocktick.tick k
      JOIN clocktick.activity a ON a.id = k.activity_id WHERE a.import_id = ${last?.id ?? ''}`;
    t.same(row, { ticks: 2_502 - told, activities: 1 });
    t.same(await sql`SELECT max(tick)::int AS tick FROM clocktick.tick`, [{ tick: 2 }], 'nothing twice');
    t.same(await findingsOf(database.url), []);
  },
);

t.test('what somebody revives while it is about to be deleted is theirs', async (t) => {
  const database = await testDatabase(t);
  const { storage, sql } = database;
  await run(storage, [friend('a'), friend('b'), friend('c')], { mode: 'upsert' });
  const [{ id = '' } = {}] = await sql`SELECT id FROM clocktick.entity WHERE key = 'b'`;
  const change = (expected: number, op: string, set: object, clear: string[] | null) =>
    JSON.stringify([{ id, expected, op, type: 'friend', key: 'b', set, clear }]);
  let importing: ReturnType<typeof run> | undefined;
  await sql.begin(async (tx) => {
    await tx`SELECT clocktick.lock_entity(${id}::uuid)`;
    importing = run(storage, [friend('a')]);
    for (let waits = 0; waits === 0; )
      // In this database: on the server of all tests somebody else always waits.
      [{ waits = 0 } = {}] = await sql<{ waits: number }[]>`
        SELECT count(*)::int AS waits FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await tx`SELECT clocktick.write_changes(${change(1, 'deleted', {}, ['n'])}::text::jsonb, true)`;
    await tx`SELECT clocktick.write_changes(${change(2, 'restored', { n: 9 }, null)}::text::jsonb, true)`;
  });
  t.match((await importing)?.last, { status: 'done', deleted: 1 });
  t.equal(await alive(database), 'friend:a friend:b');
});

t.test('the rest is found by index, also by a plan that was made when nothing was there', async (t) => {
  const { serviceUrl, storage, sql } = await testDatabase(t);
  const many = Array.from({ length: 3_000 }, (_, n) => friend(`k${n}`));
  const sent = await statementsOf(serviceUrl, async (own) => {
    await run(own, many);
    await run(own, many.slice(0, 10), { isCut: true });
  });
  const looks = sent.filter(({ text, parameters }) => text.includes('walked') && parameters.includes('friend'));
  t.ok(looks.length > 0);
  await run(storage, [...many, { watermark: 1 }], { isCut: true });
  const settings = { enable_seqscan: 'off', enable_bitmapscan: 'off' };
  for (const look of looks) {
    const analyze = () => sql`VACUUM ANALYZE`;
    const { scans, buffers } = await explain(sql, look, 'force_generic_plan', settings, analyze);
    t.same(
      scans.filter((scan) => !/^Index (Only )?Scan (entity|import|import_seen|tick)_(in_order|pkey)$/.test(scan)),
      [],
    );
    t.ok(buffers < 15_000, `${buffers} buffers for 3,000 entities that were all seen`);
  }
});

t.test('the rest is deleted whoever writes meanwhile: what others have only changed is none of theirs', async (t) => {
  const database = await testDatabase(t);
  const { call } = await serve(t, database.storage);
  const keys = Array.from({ length: 300 }, (_, n) => `k${n}`);
  await run(
    database.storage,
    keys.map((key) => friend(key)),
  );
  let isOver = false;
  const writers = [0, 1, 2, 3].map(async (first) => {
    for (let n = first; !isOver; n++)
      await call('PATCH', `/entities/friend:k${(n * 7) % keys.length}`, { properties: { m: n } });
  });
  const { last, refusal } = await run(database.storage, [friend('new')]);
  isOver = true;
  await Promise.all(writers);
  t.equal(refusal, null);
  t.match(last, { status: 'done', deleted: 300, ticks: 301, unfinishedSince: null });
  t.equal(await alive(database), 'friend:new');
  t.same(await findingsOf(database.url), []);
});
