import postgres from 'postgres';
import t from 'tap';
import { readActivity } from '../../src/storage/activities.js';
import { writeBatch } from '../../src/storage/batch.js';
import { type Collection, readPage } from '../../src/storage/collections.js';
import { readComparedPage, readComparison } from '../../src/storage/compare.js';
import { readDiff } from '../../src/storage/diff.js';
import { listEntities } from '../../src/storage/entities-by-id.js';
import { readKnown } from '../../src/storage/known.js';
import { readNested } from '../../src/storage/nested.js';
import { readNewest, readOldest } from '../../src/storage/pins.js';
import { readProvenance } from '../../src/storage/provenance.js';
import { readRangeAsOf, readRanges } from '../../src/storage/ranges.js';
import { engine, type Storage } from '../../src/storage/storage.js';
import { readTicks } from '../../src/storage/ticks.js';
import { undoActivity } from '../../src/storage/undo.js';
import type { Operation } from '../../src/temporal/batch.js';
import { newActivity } from '../../src/temporal/change.js';
import { newId } from '../../src/temporal/identity.js';
import type { Json } from '../../src/temporal/json.js';
import { testDatabase } from '../helper/database.js';
import { writeDeep } from '../helper/deep-entity.js';
import { vacuum } from '../helper/in-bulk.js';
import { explain, watchedStorage } from '../helper/plans.js';
import { type RawChange, writeChanges, writeMany } from '../helper/write.js';

/*
 * One entity with one property at 20,000 versions, and one with a second that has two of them and was removed, among five
 * thousand others: whatever is asked of their past is found by index, in a handful of buffers, by the plan for these
 * parameters and by the generic plan that a connection settles on, in a database of few names of properties and of many.
 */
const DEPTH = 20_000;
t.test('the past is found by index, in a few buffers, at depth 20,000', async (t) => {
  const { serviceUrl, sql } = await testDatabase(t);
  const id = newId();
  const mixed = newId();
  const late = newId();
  const bulk = newId();
  // Run in the middle of the writing, it scatters the rows that come after: 21 buffers once where there were 17.
  await sql`ALTER TABLE clocktick.property_history SET (autovacuum_enabled = off)`;

  // Small ones enough to make the average: told it, the planner takes 20,000 ticks for a handful (drizzle/sql/ranges.sql).
  const others = Array.from({ length: 5000 }, newId);
  const ofEach = (change: Omit<RawChange, 'id' | 'type'>) => others.map((id) => ({ id, type: 'other', ...change }));
  const first = { name: 'somebody', location: 'somewhere', a: 1, b: 'two', c: null };
  const by = { activity_id: bulk, activity: { actor: 'somebody' } };
  await writeChanges(sql, ofEach({ expected: 0, op: 'created', set: first, ...by }));
  await writeMany(sql, ofEach({ expected: 1, op: 'updated', set: { location: 'elsewhere' } }));
  const some = newId();
  const again = {
    expected: 2,
    op: 'updated',
    set: { location: 'again' },
    activity_id: some,
    activity: { actor: 'somebody' },
  } as const;
  await writeChanges(sql, ofEach(again).slice(0, 50));
  // Stands in the way of its undo, so that this writes nothing.
  await writeChanges(sql, ofEach({ expected: 3, op: 'updated', set: { location: 'last' } }).slice(0, 50));
  await writeDeep(sql, [
    { id, of: { location: `generate_series(1, ${DEPTH})` } },
    // Set at ticks 100 and 7,000, and removed at 13,000.
    {
      id: mixed,
      of: { location: `generate_series(1, ${DEPTH})`, rare: 'unnest(ARRAY[100, 7000, 13000])' },
      gone: 'rare',
    },
    { id: late, of: { location: `generate_series(1, ${DEPTH})` }, imported: DEPTH / 4 },
  ]);
  // A change of the deep entity, and one after it.
  const past = newId();
  const deep = { id, type: 'deep', op: 'updated' } as const;
  await writeChanges(sql, [{ ...deep, expected: DEPTH, set: { location: -1 }, activity_id: past, activity: {} }]);
  await writeChanges(sql, [{ ...deep, expected: DEPTH + 1, set: { location: -2 } }]);
  await sql`
    INSERT INTO clocktick.activity (id, actor, recorded_at)
    SELECT gen_random_uuid(), 'somebody', now() FROM generate_series(1, 5000)`;
  await vacuum(sql);
  const instantOf = async (tick: number) => {
    const [row] = await sql<{ at: string }[]>`
      SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at
        FROM clocktick.tick WHERE entity_id = ${id} AND tick = ${tick}`;
    return row?.at ?? '';
  };
  const instant = await instantOf(DEPTH / 2);
  const early = await instantOf(30);

  const [created] = await sql<{ at: string }[]>`
    SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM clocktick.entity
     WHERE type = 'other' LIMIT 1`;
  const now = new Date().toISOString();
  /** After all that it tells of, before it was recorded. */
  const imported = '2016-02-01T00:00:00Z';
  const pin = { asOf: now, recordedAsOf: now };
  const then = { asOf: created?.at ?? '', recordedAsOf: now };
  const collection: Collection = {
    type: 'other',
    keyPrefix: null,
    deleted: 'exclude',
    where: [],
    everHad: [],
    changedAfter: null,
  };
  const walk = {
    after: { type: 'other', key: '', id: others[2_500] ?? '' },
    limit: 50,
    fields: null,
    withChanges: false,
  };

  const page = { until: null, after: null, order: 'asc', limit: 50 } as const;
  const everything = { from: null, to: null };
  const ticks = { id, properties: null, ...everything, withChanges: true };
  const bare = { ...ticks, withChanges: false };
  const of = (...properties: string[]) => ({ ...ticks, id: mixed, properties });
  const nested = (entity: string, ...names: string[]) => ({
    id: entity,
    fields: null,
    of: names.length > 0 ? names : null,
  });

  // Before 17 a btree descends once for each element of `= ANY (array)`: three buffers for each end of each range.
  const [server] = await sql<{ version: number }[]>`SELECT current_setting('server_version_num')::int AS version`;
  const spareOf = (ranges: number) => ((server?.version ?? 0) < 170_000 ? 3 * ranges + 4 : 0);

  const undoing = {
    onConflict: 'skip',
    activity: newActivity({ actor: 'somebody' }),
    evenIfInvalid: false,
    dryRun: true,
  } as const;
  const batched = (ids: readonly string[], needs: Operation['needs']): Operation[] =>
    ids.map((id) => ({
      id,
      type: null,
      ifMatch: null,
      label: 'thing',
      size: () => 0,
      isReturn: false,
      needs,
      decide: () => null,
    }));
  const batch = (ids: readonly string[], needs: Operation['needs'] = null) => ({
    operations: batched(ids, needs),
    activity: null,
    evenIfInvalid: false,
    dryRun: true,
  });

  const cases: [name: string, usual: number, call: (storage: Storage) => Promise<unknown>][] = [
    ['an entity now', 20, (db) => db[engine].entityNow({ id, fields: null })],
    ['an entity as of its first tick', 20, (db) => db[engine].entityThen({ id, fields: null, point: { tick: 1 } })],
    ['an entity as of a tick', 20, (db) => db[engine].entityThen({ id, fields: null, point: { tick: DEPTH / 2 } })],
    ['an entity as of its last tick', 20, (db) => db[engine].entityThen({ id, fields: null, point: { tick: DEPTH } })],
    ['an entity as of an instant', 20, (db) => db[engine].entityThen({ id, fields: null, point: { instant } })],
    ['a property as of a tick', 20, (db) => readRangeAsOf(db, id, 'location', { tick: DEPTH / 2 }, null)],
    ['a property as of an instant', 20, (db) => readRangeAsOf(db, id, 'location', { instant }, null)],
    ['the first page of a property', 20, (db) => readRanges(db, id, 'location', everything, page)],
    [
      'a middle page of a property',
      20,
      (db) => readRanges(db, id, 'location', everything, { ...page, after: DEPTH / 2 }),
    ],
    [
      'the newest page of a property',
      20,
      (db) => readRanges(db, id, 'location', everything, { ...page, order: 'desc' }),
    ],
    [
      'a window of ticks of a property',
      20,
      (db) => readRanges(db, id, 'location', { from: { tick: DEPTH / 2 }, to: { tick: DEPTH / 2 + 3 } }, page),
    ],
    [
      'a window of instants of a property',
      // Two look-ups more: the tick of the instant, and the range that contains it.
      28,
      (db) => readRanges(db, id, 'location', { from: { instant }, to: null }, page),
    ],
    [
      'the ranges of a property before an instant',
      20,
      (db) => readRanges(db, id, 'location', { from: null, to: { instant: early } }, page),
    ],
    [
      'no range of a property',
      20,
      (db) => readRanges(db, id, 'location', { from: { tick: 9 }, to: { tick: 9 } }, page),
    ],
    // 13 to 17 buffers: the ranges around a page lie where the GiST has put them.
    ['the first page of the ticks', 20, (db) => readTicks(db, ticks, page)],
    ['a middle page of the ticks', 20, (db) => readTicks(db, ticks, { ...page, after: DEPTH / 2 })],
    [
      'a middle page of the ticks without their changes',
      10,
      (db) => readTicks(db, bare, { ...page, after: DEPTH / 2 }),
    ],
    [
      'a middle page of the ticks of a property without their changes',
      28,
      (db) => readTicks(db, { ...of('location'), withChanges: false }, { ...page, after: DEPTH / 2 }),
    ],
    // The same of one property: its ranges around the page, and where it begins.
    [
      'a middle page of the ticks of a property',
      28,
      (db) => readTicks(db, of('location'), { ...page, after: DEPTH / 2 }),
    ],
    [
      'a middle page of the ticks of a property, newest first',
      28,
      (db) => readTicks(db, of('location'), { ...page, order: 'desc', after: DEPTH / 2 }),
    ],
    ['the three ticks of a property among all', 28, (db) => readTicks(db, of('rare'), page)],
    [
      'the last of them, a removal',
      28,
      (db) => readTicks(db, { ...of('rare'), from: { tick: DEPTH / 2 } }, { ...page, order: 'desc' }),
    ],
    [
      'none of them in a window',
      28,
      (db) => readTicks(db, { ...of('rare'), from: { tick: 100 }, to: { instant } }, page),
    ],
    ['the ticks of a property that was never set', 20, (db) => readTicks(db, of('never'), page)],
    ['the ticks of two properties', 36, (db) => readTicks(db, of('location', 'rare'), { ...page, after: 6_980 })],
    ['a window of instants of the ticks', 28, (db) => readTicks(db, { ...ticks, from: { instant }, to: null }, page)],
    ['the ticks before an instant', 28, (db) => readTicks(db, { ...ticks, to: { instant: early } }, page)],
    // 14 buffers for each 50 of 1,000 ranges.
    [
      'an entity with the newest ranges of a property',
      320 + spareOf(1_000),
      (db) => readNested(db, nested(id, 'location'), null),
    ],
    [
      'an entity with the newest ranges of a property as of an instant',
      340 + spareOf(1_000),
      (db) => readNested(db, nested(id, 'location'), { instant }),
    ],
    ['an entity with the few ranges of a property', 48, (db) => readNested(db, nested(mixed, 'rare'), null)],
    ['an entity with no ranges', 28, (db) => readNested(db, nested(mixed, 'never'), { tick: DEPTH })],
    // The names between and beside `location` are looked for in the whole of the GiST, which passes by what holds it alone.
    ['an entity with all ranges that it had early', 60, (db) => readNested(db, nested(mixed), { tick: 30 })],
    ['an entity with the newest of all ranges', 360 + spareOf(1_000), (db) => readNested(db, nested(mixed), null)],
    ['one property of an entity now', 20, (db) => db[engine].entityNow({ id, fields: ['location'] })],
    [
      'one property of an entity as of a tick',
      20,
      (db) => db[engine].entityThen({ id, fields: ['location'], point: { tick: DEPTH / 2 } }),
    ],
    // The state, and of each property the clock's row of its tick; then also the one range that contains the tick.
    ['who set what of an entity', 20, (db) => readProvenance(db, { id, fields: null }, null)],
    [
      'who set what of an entity as of a tick',
      32,
      (db) => readProvenance(db, { id, fields: null }, { tick: DEPTH / 2 }),
    ],
    ['who set what of an entity as of an instant', 32, (db) => readProvenance(db, { id, fields: null }, { instant })],
    [
      'who set two properties as of a tick',
      40,
      (db) => readProvenance(db, { id: mixed, fields: null }, { tick: 12_000 }),
    ],
    [
      'who set one of two properties as of a tick',
      40,
      (db) => readProvenance(db, { id: mixed, fields: ['rare'] }, { tick: 12_000 }),
    ],
    [
      'an entity with the few ranges of a property, and who set what',
      60,
      (db) => readNested(db, { ...nested(mixed, 'rare'), withProvenance: true }, { tick: 12_000 }),
    ],
    [
      'fifty entities with who set what of them',
      12 * 50,
      (db) =>
        listEntities(db, [id, ...others.slice(1, 50)], null, {
          fields: null,
          withProvenance: true,
          recordedAsOf: null,
        }),
    ],
    [
      'fifty entities with who had set what of them',
      21 * 50,
      (db) =>
        listEntities(
          db,
          [id, ...others.slice(1, 50)],
          { instant: then.asOf },
          { fields: null, withProvenance: true, recordedAsOf: null },
        ),
    ],
    ['what is known of an entity by now', 10, (db) => readKnown(db, [id], now)],
    // Its last tick, and as many between as halve what was imported: four buffers each.
    [
      'what was known of an entity before most of it was imported',
      64,
      async (db) => t.match(await readKnown(db, [late], imported), new Map([[late, { tick: DEPTH / 4 }]])),
    ],
    ['what was known of an entity before its first tick', 10, (db) => readKnown(db, [late], '2015-01-01T00:00:00Z')],
    // Two states, and the clock's rows of both.
    ['a diff of two ticks', 32, (db) => readDiff(db, id, { from: { tick: DEPTH / 4 }, to: { tick: DEPTH / 2 } }, null)],
    ['a diff between then and now', 32, (db) => readDiff(db, id, { from: { instant }, to: null }, null)],
    [
      'a comparison of three ticks, an instant and now',
      80,
      (db) =>
        readComparison(
          db,
          mixed,
          {
            at: [{ tick: DEPTH / 4 }, { instant }, { tick: DEPTH / 2 }, null, { tick: DEPTH / 4 }, { tick: 7_001 }],
            fields: null,
            isDiffering: false,
          },
          null,
        ),
    ],
    [
      'what differs between then and now',
      32,
      (db) =>
        readComparison(db, id, { at: [{ instant }, null], fields: ['location', 'rare'], isDiffering: true }, null),
    ],
    [
      // Of each of fifty its state now, and that of when all of it was otherwise.
      'a page of a comparison',
      1_300,
      (db) =>
        readComparedPage(
          db,
          { ...collection, type: 'other' },
          { at: [then.asOf, null], fields: null, isDiffering: false },
          pin,
          walk,
        ),
    ],
    [
      // Each of its five ticks is another entity's.
      'an activity, and the first of its five thousand ticks',
      28,
      (db) => readActivity(db, bulk, { after: null, limit: 5 }),
    ],
    ['a batch of fifty', 160, (db) => writeBatch(db, batch(others.slice(0, 50)))],
    ['a batch that takes fifty back', 700, (db) => writeBatch(db, batch(others.slice(0, 50), { tick: 1 }))],
    [
      'a batch that takes back what has changed 20,000 times',
      40,
      (db) => writeBatch(db, batch([id], { tick: DEPTH / 2 })),
    ],
    // Which tick of each changed its property last, which is the end of its range, and what it was before: 14 buffers each.
    ['an undo of fifty among five thousand', 720, (db) => undoActivity(db, { ...undoing, id: some })],
    ['an undo of a change among 20,000 of its entity', 60, (db) => undoActivity(db, { ...undoing, id: past })],
    [
      // Of each the clock of the entity, its row, and its ranges.
      'an activity, and what the first of its five thousand ticks changed',
      120,
      (db) => readActivity(db, bulk, { after: null, limit: 5, withChanges: true }),
    ],
    // Of fifty among five thousand: of each its row; and of those that have changed the tick and the ranges, 20 buffers each.
    ['a page of a collection', 40, (db) => readPage(db, collection, pin, { ...walk, after: null })],
    ['a later page of it', 40, (db) => readPage(db, collection, pin, walk)],
    ['a page of it as of when all of it was otherwise', 1_200, (db) => readPage(db, collection, then, walk)],
    [
      'a page of it with who set what',
      9 * 50,
      (db) => readPage(db, collection, pin, { ...walk, withProvenance: true }),
    ],
    [
      'a page of it with who had set what as of when all of it was otherwise',
      18 * 50,
      (db) => readPage(db, collection, then, { ...walk, withProvenance: true }),
    ],
    ['a page of all types', 60, (db) => readPage(db, { ...collection, type: null }, pin, walk)],
    ['the newest change of a collection', 10, (db) => readNewest(db, 'other', then)],
    ['the newest change of all types', 40, (db) => readNewest(db, null, pin)],
    ['the oldest change of a collection', 10, (db) => readOldest(db, 'other')],
  ];

  const watched = await watchedStorage(serviceUrl);
  t.teardown(watched.close);
  for (const names of ['few', 'many']) {
    if (names === 'many') {
      await sql`ALTER TABLE clocktick.property_history ALTER COLUMN property SET (n_distinct = 20000)`;
      await sql`ANALYZE clocktick.property_history`;
    }
    for (const [name, usual, call] of cases) {
      // Twice what it takes, because how indexes lie varies by chance; a wrong plan takes hundreds.
      const most = Math.max(40, 2 * usual) + spareOf(page.limit);
      const statements = await watched.sentBy(call);
      if (/page of (a collection|it|all types)/.test(name)) t.equal(statements.length, 1, `${name}: one statement`);
      for (const mode of ['force_custom_plan', 'force_generic_plan'] as const) {
        const plans = await Promise.all(
          statements.map((statement) => explain(sql, statement, mode, statement.settings)),
        );
        const buffers = plans.reduce((sum, plan) => sum + plan.buffers, 0);
        const scans = plans.flatMap((plan) => plan.scans);
        const plan = `${name} (${mode}, ${names} names)`;
        t.ok(buffers <= most, `${plan}: ${buffers} buffers, at most ${most}`, { scans });
        t.same(
          scans.filter((scan) => !scan.startsWith('Index') && !/^(CTE|Bitmap)/.test(scan)),
          [],
          `${plan}: only by index`,
        );
      }
    }
  }
});

t.test('a write takes no longer for plans that were made when the tables had been analyzed empty', async (t) => {
  const { url, sql } = await testDatabase(t);
  await vacuum(sql);
  for (const table of ['entity', 'tick', 'property_history', 'open_value', 'item_history'])
    await sql`ALTER TABLE ${sql(`clocktick.${table}`)} SET (autovacuum_enabled = off)`;
  const hand = postgres(url, { max: 1, onnotice: () => {} });
  t.teardown(() => hand.end());
  const thing = { type: 'thing', set: { a: 1, tags: ['x', 'y'], name: 'one' } };
  const made = (ids: readonly string[]) =>
    ids.map((id) => ({ ...thing, id, key: id, expected: 0, op: 'created' as const }));
  const changed = (ids: readonly string[], expected: number) =>
    ids.map((id) => ({ ...thing, id, expected, op: 'updated' as const, set: { a: expected + 1, tags: ['y', 'z'] } }));
  // Until the plans of the connection are settled, by which it writes all that follow.
  for (let n = 0; n < 8; n++) {
    const few = [newId()];
    await writeChanges(hand, made(few));
    await writeChanges(hand, changed(few, 1));
  }
  const few = [newId()];
  const most = {
    made: 2 * (await buffersOfWrite(hand, made(few))),
    changed: 2 * (await buffersOfWrite(hand, changed(few, 1))),
  };
  const ids = Array.from({ length: 4_000 }, newId);
  await writeMany(hand, made(ids));
  await writeMany(hand, changed(ids, 1));
  const ones = [newId(), newId()];
  // Of two, because autovacuum may analyze a table just then: the next statement is planned anew, and that reads as well.
  const least = async (...writes: (readonly RawChange[])[]) => {
    const buffers: number[] = [];
    for (const some of writes) buffers.push(await buffersOfWrite(hand, some));
    return Math.min(...buffers);
  };
  const create = await least(...ones.map((id) => made([id])));
  t.ok(create > 10 && create < most.made, `${create} buffers to create one, ${most.made / 2} when there were few`);
  const patch = await least(...ones.map((id) => changed([id], 1)));
  t.ok(patch > 10 && patch < most.changed, `${patch} buffers to change one, ${most.changed / 2} when there were few`);

  // One entity with a long past, in a database that is small otherwise.
  const deep = newId();
  await writeDeep(hand, [{ id: deep, of: { place: `generate_series(1, ${DEPTH})` } }]);
  const change = { id: deep, type: 'deep', op: 'updated', set: { place: 'elsewhere' } } as const;
  await writeChanges(hand, [{ ...change, expected: DEPTH }]);
  const elsewhere = { ...change, set: { place: 'somewhere' } };
  const last = await least([{ ...elsewhere, expected: DEPTH + 1 }], [{ ...change, expected: DEPTH + 2 }]);
  t.ok(last > 10 && last < most.changed, `${last} buffers to change one that has changed ${DEPTH} times`);
});

t.test(
  'what a large entity has is unfolded a few times, however many of its properties are asked for or change',
  async (t) => {
    const { serviceUrl, sql } = await testDatabase(t);
    const watched = await watchedStorage(serviceUrl);
    t.teardown(watched.close);
    /** Buffers to read the whole history of a large entity, or who set what, and to change its lists, by how many lists it has. */
    const buffersOf = async (lists: number) => {
      const change = { id: newId(), type: 'large' };
      // What does not compress, so that it is kept elsewhere, and reading it shows.
      const large = Array.from({ length: 20_000 }, newId).join('');
      const named = (value: Json) => Object.fromEntries(Array.from({ length: lists }, (_, n) => [`list ${n}`, value]));
      await writeChanges(sql, [{ ...change, expected: 0, op: 'created', set: { large, ...named(['a']) } }]);
      const write = await buffersOfWrite(sql, [{ ...change, expected: 1, op: 'updated', set: named(['b']) }]);
      const [clear] = [Object.keys(named(null))];
      await writeChanges(sql, [{ ...change, expected: 2, op: 'updated', set: {}, clear }]);
      const question = { id: change.id, fields: null };
      const [read] = await watched.sentBy((db) => readNested(db, { ...question, of: null }, null));
      // The second statement, because the first one found it to be large.
      const [, told] = await watched.sentBy((db) => readProvenance(db, question, { tick: 2 }));
      if (!read || !told) throw new Error('nothing was read');
      return {
        read: (await explain(sql, read, 'force_generic_plan', read.settings)).buffers,
        told: (await explain(sql, told, 'force_generic_plan', told.settings)).buffers,
        write,
      };
    };
    const [few, many] = [await buffersOf(5), await buffersOf(60)];
    t.ok(few.read > 90 && few.write > 200, `${few.read} buffers to read, ${few.write} to write: it is large`);
    const more = (of: keyof typeof few) => (many[of] - few[of]) / 55;
    const each = { read: more('read'), told: more('told'), write: more('write') };
    t.ok(each.read < 40, `${each.read} buffers more for each property that it had`);
    t.ok(few.told > 90, `${few.told} buffers to say who had set what`);
    t.ok(each.told < 40, `${each.told} buffers more for each property that had been set`);
    t.ok(each.write < 60, `${each.write} buffers more for each property that changes`);
  },
);

t.test('of large activities no more are read than there is room for', async (t) => {
  const { serviceUrl, sql } = await testDatabase(t);
  const watched = await watchedStorage(serviceUrl);
  t.teardown(watched.close);
  const change = { id: newId(), type: 'large' };
  // What does not compress, each some 30 kB.
  const metadata = () => ({ of: Array.from({ length: 800 }, newId).join('') });
  const properties = Array.from({ length: 60 }, (_, n) => `p${n}`);
  for (const [expected, name] of properties.entries()) {
    const op = expected === 0 ? 'created' : 'updated';
    const by = { activity_id: newId(), activity: { metadata: metadata() } };
    await writeChanges(sql, [{ ...change, ...by, expected, op, set: { [name]: 1 } }]);
  }
  await vacuum(sql);
  const [small, whole] = await watched.sentBy((db) => readProvenance(db, { id: change.id, fields: null }, null));
  if (!small || !whole) throw new Error('it was read at once');
  const [few, all] = [
    await explain(sql, small, 'force_generic_plan', small.settings),
    await explain(sql, whole, 'force_generic_plan', whole.settings),
  ];
  t.ok(all.buffers > 200, `${all.buffers} buffers to read all`);
  t.ok(few.buffers < all.buffers / 2, `${few.buffers} buffers to find that they are too large to be read with others`);
});

/** The buffers that a write touches. */
async function buffersOfWrite(sql: postgres.Sql, changes: readonly RawChange[]): Promise<number> {
  const [row] = await sql.unsafe<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }[]>(
    `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT count(*) FROM clocktick.write_changes('${JSON.stringify(changes)}', true)`,
  );
  return row?.['QUERY PLAN'][0].Plan['Shared Hit Blocks'] ?? 0;
}
