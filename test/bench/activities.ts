import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { startEmbedded } from '../../src/embedded/start.js';
import { type ActivitySearch, searchActivities } from '../../src/storage/activity-search.js';
import { migrateDatabase } from '../../src/storage/migrate.js';
import { openStorage } from '../../src/storage/open.js';
import { idOfKey } from '../../src/temporal/identity.js';
import { entitiesOf, MANY, manyActivities, recordedAt } from '../helper/many-activities.js';
import { explain, watchedStorage } from '../helper/plans.js';
import { median } from './figures.js';

/*
 * What searches of activities take among many, and what the indexes that they go by cost a write: `npm run bench:activities`.
 *
 * Each search is asked for a page of 100 by the storage, as a request would. Writes go by the write function inside the server, each with an
 * activity of its own, with all indexes and without some: rounds go through all variants in turn, and the median of each is compared with that
 * of all indexes in the same round. What a median does not show, whoever fills the list of the GIN and has to put it in its places, is
 * measured apart. synchronous_commit is off: waiting for the disk would hide the work.
 */
const { values } = parseArgs({
  options: { activities: { type: 'string', default: '400000' }, rounds: { type: 'string', default: '15' } },
});
const ACTIVITIES = Number(values.activities);
const ROUNDS = Number(values.rounds);
const TIMES = 15;
/** Among how many activities writes are measured, and how many of a kind in a round. */
const WRITTEN_AMONG = 100_000;
const CALLS = 500;

const NOTHING: ActivitySearch = {
  actor: null,
  actorPrefix: null,
  reason: null,
  from: null,
  to: null,
  importId: null,
  type: null,
  entityId: null,
  properties: null,
};

/** What a change has beside what it changes: an activity that says something else each time. */
const ACTIVITY = `
  jsonb_build_object('actor', 'user/' || floor(1000 * random() ^ 2)::int, 'reason', 'correction of the word' || floor(5000 * random() ^ 3)::int
    || ', as agreed with word' || floor(5000 * random() ^ 3)::int || ' (OPS-' || floor(random() * 1e9)::int || ')')`;

/** Creates or patches in a loop inside the server, one a call; each call commits. Keeps how long each took. */
const load = (kind: 'create' | 'patch', calls: number) => `
  DO $$
  DECLARE
    texts text[] := ARRAY(
      SELECT jsonb_build_array(jsonb_build_object('type', 'friend', 'activity_id', gen_random_uuid(), 'activity', ${ACTIVITY}) || ${
        kind === 'create'
          ? `jsonb_build_object('id', gen_random_uuid(), 'expected', 0, 'op', 'created',
               'set', '{"a": 1, "b": "two", "c": null, "d": true, "name": "Rachel", "location": "New York"}'::jsonb)`
          : `(SELECT jsonb_build_object('id', e.id, 'expected', e.tick, 'op', 'updated', 'set', jsonb_build_object('name', random()))
                FROM clocktick.entity e WHERE e.id = md5('bench ' || n)::uuid)`
      })::text
        FROM generate_series(1, ${calls}) n);
    times float8[] := '{}';
    began timestamptz;
  BEGIN
    FOR n IN 1..${calls} LOOP
      began := clock_timestamp();
      PERFORM FROM clocktick.write_changes(texts[n]::jsonb, false);
      COMMIT;
      times[n] := extract(epoch FROM clock_timestamp() - began) * 1e6;
    END LOOP;
    PERFORM set_config('bench.median', (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY t)::text FROM unnest(times) t), false);
  END
  $$`;

const folder = await mkdtemp(join(tmpdir(), 'clocktick-bench-'));
await chmod(folder, 0o755);
const server = await startEmbedded({
  dataDir: join(folder, 'data'),
  settings: { synchronous_commit: 'off', autovacuum: 'off', shared_buffers: '512MB', max_wal_size: '4GB' },
});
try {
  await migrateDatabase(server.url);
  const sql = postgres(server.url, { max: 2, onnotice: () => {} });
  await manyActivities(sql, ACTIVITIES);
  const [counts] = await sql<{ activities: number; ticks: number }[]>`
    SELECT (SELECT count(*)::int FROM clocktick.activity) AS activities, (SELECT count(*)::int FROM clocktick.tick) AS ticks`;
  process.stdout.write(`${counts?.activities} activities, ${counts?.ticks} ticks\n\n`);
  const sizes = await sql<{ name: string; size: string }[]>`
    SELECT c.relname AS name, pg_size_pretty(pg_relation_size(c.oid)) AS size FROM pg_class c
     WHERE c.relname ~ '^activity' AND c.relnamespace = 'clocktick'::regnamespace ORDER BY c.relname`;
  process.stdout.write(`${sizes.map(({ name, size }) => `${name} ${size}`).join(', ')}\n\n`);
  process.stdout.write(await searches(sql));
  await sql.end();
  process.stdout.write(await writes());
} finally {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);

async function searches(sql: postgres.Sql): Promise<string> {
  const idOf = async (label: string) => {
    const [type = '', key = ''] = label.split(':');
    const [row] = await sql<{ id: string }[]>`SELECT id FROM clocktick.entity WHERE type = ${type} AND key = ${key}`;
    return row?.id ?? idOfKey(type, key);
  };
  const [hot, warm] = [await idOf(MANY.hot), await idOf(MANY.warm)];
  const cold = await idOf(MANY.cold(entitiesOf(ACTIVITIES)));
  const week = { from: recordedAt(ACTIVITIES - 20_000), to: recordedAt(ACTIVITIES - 10_000) };
  const asked: [name: string, search: Partial<ActivitySearch>][] = [
    ['all', {}],
    ['a week', week],
    ['an actor of 30 in a hundred', { actor: MANY.busy }],
    ['an actor of a few', { actor: `${MANY.users}4999` }],
    ['a team of nine', { actorPrefix: MANY.team }],
    ['a team of nine in a week', { actorPrefix: MANY.team, ...week }],
    ['thousands of actors by prefix', { actorPrefix: MANY.users }],
    ['a word of 60 in a hundred', { reason: MANY.common }],
    ['a word of one in a hundred', { reason: MANY.seldom }],
    ['a word of one activity', { reason: MANY.once }],
    ['a seldom word and a common one', { reason: `${MANY.common} ${MANY.seldom}` }],
    ['a word of none', { reason: 'nothing' }],
    ['an entity that 30 in a hundred ticked', { entityId: hot }],
    ['an entity of some thousand ticks', { entityId: warm }],
    ['an entity of few ticks', { entityId: cold }],
    ['a property of the second of these', { entityId: warm, properties: [MANY.property] }],
    ['a common type', { type: 'customer' }],
    ['a rare type', { type: MANY.rareType }],
    ['a property of a type', { type: 'order', properties: [MANY.property] }],
    [
      'a team, a word, a week, a type and a property',
      { actorPrefix: MANY.team, reason: MANY.common, ...week, type: 'customer', properties: ['p1'] },
    ],
  ];
  const storage = openStorage(server.url);
  const watched = await watchedStorage(server.url);
  const lines = [
    '| a page of 100 of | ms, median | ms, slowest | items | a next page | buffers |',
    '|---|---|---|---|---|---|',
  ];
  for (const [name, some] of asked) {
    const search = { ...NOTHING, ...some };
    const took: number[] = [];
    let page = await searchActivities(storage, search, { after: null, limit: 100 });
    for (let n = 0; n < TIMES; n++) {
      const began = performance.now();
      page = await searchActivities(storage, search, { after: null, limit: 100 });
      took.push(performance.now() - began);
    }
    const [sent] = await watched.sentBy((db) => searchActivities(db, search, { after: null, limit: 100 }));
    if (!sent) throw new Error(`${name} sent nothing`);
    const plan = await explain(sql, sent, 'force_generic_plan', sent.settings);
    const others = plan.scans.filter((scan) => !scan.startsWith('Index'));
    if (others.length > 0) throw new Error(`${name} is not found by index alone: ${others.join(', ')}`);
    lines.push(
      `| ${name} | ${median(took).toFixed(1)} | ${Math.max(...took).toFixed(1)} | ${page.activities.length} | ${page.next ? 'yes' : 'no'} | ${plan.buffers} |`,
    );
  }
  await watched.close();
  await storage.close();
  return `${lines.join('\n')}\n\n`;
}

/** Each variant has a database of its own, so that they take turns without making indexes anew, and all grow alike. */
async function writes(): Promise<string> {
  const base = 'writes';
  const open = (database: string) => {
    const url = new URL(server.url);
    url.pathname = `/${database}`;
    return { url: url.href, sql: postgres(url.href, { max: 1, onnotice: () => {} }) };
  };
  const admin = open('postgres').sql;
  await admin.unsafe(`CREATE DATABASE ${base}`);
  const first = open(base);
  await migrateDatabase(first.url);
  await manyActivities(first.sql, WRITTEN_AMONG);
  for (let from = 1; from <= CALLS; from += 250)
    await first.sql.unsafe(`
      SELECT count(*) FROM (SELECT jsonb_agg(jsonb_build_object('id', md5('bench ' || n)::uuid, 'expected', 0, 'op', 'created', 'type', 'friend',
               'set', '{"a": 1, "b": "two", "name": "Rachel"}'::jsonb)) AS all FROM generate_series(${from}, ${from + 249}) n) c,
             clocktick.write_changes(c.all, false)`);
  await first.sql.end();
  const THREE = ['activity_in_order', 'activity_of_actor', 'activity_words'];
  const drop = (names: readonly string[]) => names.map((name) => `DROP INDEX clocktick.${name}`).join(';');
  const VARIANTS: [name: string, change: string][] = [
    ['all indexes', ''],
    ...THREE.map((name): [string, string] => [`without ${name}`, drop([name])]),
    ['without these three', drop(THREE)],
    ['activity_words with fastupdate off', 'ALTER INDEX clocktick.activity_words SET (fastupdate = off)'],
  ];
  const databases: { name: string; sql: postgres.Sql }[] = [];
  for (const [n, [name, change]] of VARIANTS.entries()) {
    await admin.unsafe(`CREATE DATABASE variant_${n} TEMPLATE ${base} STRATEGY file_copy`);
    const { sql } = open(`variant_${n}`);
    if (change) await sql.unsafe(change);
    databases.push({ name, sql });
  }
  const measured = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round++) {
    const turn = round % databases.length;
    for (const { name, sql } of [...databases.slice(turn), ...databases.slice(0, turn)])
      for (const kind of ['create', 'patch'] as const) {
        await sql.unsafe(load(kind, CALLS));
        const [row] = await sql<{ us: number }[]>`SELECT current_setting('bench.median')::float8 AS us`;
        // The first round is there to fill the caches.
        if (round > 0)
          measured.set(`${name} ${kind}`, [...(measured.get(`${name} ${kind}`) ?? []), row?.us ?? Number.NaN]);
      }
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
  }
  const cell = (name: string, kind: string) => {
    const whole = measured.get(`all indexes ${kind}`) ?? [];
    const own = measured.get(`${name} ${kind}`) ?? [];
    return `${median(own).toFixed(0)} (${median(own.map((us, n) => (whole[n] ?? Number.NaN) / us)).toFixed(2)} ×)`;
  };
  const lines = VARIANTS.map(([name]) => `| ${name} | ${cell(name, 'create')} | ${cell(name, 'patch')} |`);
  const [{ sql } = first] = databases;
  const lists = await pendingLists(sql);
  for (const one of databases) await one.sql.end();
  await admin.end();
  return `| µs a write with an activity (throughput to that with all indexes) | create | patch |\n|---|---|---|\n${lines.join('\n')}\n\n${lists}`;
}

/** What the list of a GIN costs: whoever fills it, and who searches while it is full. */
async function pendingLists(sql: postgres.Sql): Promise<string> {
  await sql`CREATE EXTENSION IF NOT EXISTS pgstattuple`;
  const lines = [
    '| list of activity_words, kB | activities in it | ms to put it in its places | ms more a search |',
    '|---|---|---|---|',
  ];
  const timed = async (statement: string) => {
    const began = performance.now();
    await sql.unsafe(statement);
    return performance.now() - began;
  };
  const search = async () => {
    const took: number[] = [];
    for (let n = 0; n < TIMES; n++)
      took.push(await timed(`SELECT count(*) FROM clocktick.activities_with_words('nothing', 5001)`));
    return median(took);
  };
  for (const limit of [64, 256, 1024, 4096]) {
    await sql.unsafe('ALTER INDEX clocktick.activity_words SET (gin_pending_list_limit = 1000000)');
    const took: number[] = [];
    let [activities, slower] = [0, 0];
    for (let n = 0; n < 5; n++) {
      await timed(`SELECT gin_clean_pending_list('clocktick.activity_words')`);
      const idle = await search();
      for (let full = false; !full; ) {
        await sql.unsafe(`
          SELECT count(*) FROM generate_series(1, 50), LATERAL (SELECT ${ACTIVITY} AS a) said,
                 clocktick.record_activity(gen_random_uuid(), said.a ->> 'actor', said.a ->> 'reason', NULL)`);
        const [row] = await sql<{ kB: number; tuples: number }[]>`
          SELECT pending_pages * 8 AS "kB", pending_tuples::int AS tuples FROM pgstatginindex('clocktick.activity_words')`;
        full = (row?.kB ?? 0) >= limit;
        activities = row?.tuples ?? 0;
      }
      slower = (await search()) - idle;
      took.push(await timed(`SELECT gin_clean_pending_list('clocktick.activity_words')`));
    }
    lines.push(`| ${limit} | ${activities} | ${median(took).toFixed(1)} | ${slower.toFixed(1)} |`);
  }
  return `${lines.join('\n')}\n`;
}
