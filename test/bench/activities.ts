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
 * activity of its own, with all indexes and without some: rounds go through all variants in turn, and each figure is compared with that of all
 * of them in the same round. synchronous_commit is off: waiting for the disk would hide the work.
 */
const { values } = parseArgs({
  options: { activities: { type: 'string', default: '400000' }, rounds: { type: 'string', default: '7' } },
});
const ACTIVITIES = Number(values.activities);
const ROUNDS = Number(values.rounds);
const TIMES = 15;

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
  process.stdout.write(await writes(sql));
  await sql.end();
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
    lines.push(
      `| ${name} | ${median(took).toFixed(1)} | ${Math.max(...took).toFixed(1)} | ${page.activities.length} | ${page.next ? 'yes' : 'no'} | ${plan.buffers} |`,
    );
  }
  await watched.close();
  await storage.close();
  return `${lines.join('\n')}\n\n`;
}

async function writes(sql: postgres.Sql): Promise<string> {
  const definitions = await sql<{ name: string; definition: string }[]>`
    SELECT c.relname AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index JOIN pg_class c ON c.oid = indexrelid
     WHERE indrelid = 'clocktick.activity'::regclass AND NOT indisprimary`;
  const on = (name: string) => definitions.find((one) => one.name === name)?.definition ?? '';
  const off = (name: string) => `DROP INDEX clocktick.${name}`;
  const without = (...names: string[]) => ({ off: names.map(off).join(';'), on: names.map(on).join(';') });
  const words = (change: string) => ({
    off: `ALTER INDEX clocktick.activity_words SET (${change})`,
    on: 'ALTER INDEX clocktick.activity_words SET (fastupdate = on, gin_pending_list_limit = 256)',
  });
  const VARIANTS: [name: string, change: { off: string; on: string }][] = [
    ['all indexes', { off: '', on: '' }],
    ['without activity_in_order', without('activity_in_order')],
    ['without activity_of_actor', without('activity_of_actor')],
    ['without activity_words', without('activity_words')],
    ['without these three', without('activity_in_order', 'activity_of_actor', 'activity_words')],
    ['activity_words with fastupdate off', words('fastupdate = off')],
    ['… with a list of 64 kB', words('gin_pending_list_limit = 64')],
    ['… with a list of 4 MB', words('gin_pending_list_limit = 4096')],
  ];
  /** Creates or patches in a loop; each call commits. */
  const load = (kind: 'create' | 'patch', calls: number) => `
    DO $$
    DECLARE
      texts text[] := ARRAY(
        SELECT jsonb_build_array(jsonb_build_object('type', 'friend', 'activity_id', gen_random_uuid(),
                 'activity', jsonb_build_object('actor', 'user/' || floor(1000 * random() ^ 2)::int, 'reason', 'correction of the word'
                    || floor(5000 * random() ^ 3)::int || ', as agreed with word' || floor(5000 * random() ^ 3)::int || ' (OPS-' || floor(random() * 1e9)::int || ')'))
               || ${
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
        times[n] := extract(epoch FROM clock_timestamp() - began) * 1e6;
        COMMIT;
      END LOOP;
      PERFORM set_config('bench.mean', (SELECT avg(t)::text FROM unnest(times) t), false),
              set_config('bench.p99', (SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY t)::text FROM unnest(times) t), false),
              set_config('bench.max', (SELECT max(t)::text FROM unnest(times) t), false);
    END
    $$`;
  const own = await sql.reserve();
  for (let from = 1; from <= 2_000; from += 250)
    await own.unsafe(`
      SELECT count(*) FROM (SELECT jsonb_agg(jsonb_build_object('id', md5('bench ' || n)::uuid, 'expected', 0, 'op', 'created', 'type', 'friend',
               'set', '{"a": 1, "b": "two", "name": "Rachel"}'::jsonb)) AS all FROM generate_series(${from}, ${from + 249}) n) c,
             clocktick.write_changes(c.all, false)`);
  const loads = [
    ['create', 2_000],
    ['patch', 2_000],
  ] as const;
  type Took = { mean: number; p99: number; max: number };
  const measured = new Map<string, Took[]>();
  for (let round = 0; round < ROUNDS; round++) {
    // Each begins a round in turn, because the tables grow while it goes on.
    const first = round % VARIANTS.length;
    for (const [name, change] of [...VARIANTS.slice(first), ...VARIANTS.slice(0, first)]) {
      if (change.off) await own.unsafe(change.off);
      for (const [kind, calls] of loads) {
        await own.unsafe(load(kind, 50));
        await own.unsafe(load(kind, calls));
        const [row] = await own<Took[]>`
          SELECT current_setting('bench.mean')::float8 AS mean, current_setting('bench.p99')::float8 AS p99,
                 current_setting('bench.max')::float8 AS max`;
        const key = `${name} ${kind}`;
        if (row) measured.set(key, [...(measured.get(key) ?? []), row]);
      }
      if (change.on) await own.unsafe(change.on);
    }
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
  }
  own.release();
  const of = (name: string, kind: string, what: keyof Took) =>
    (measured.get(`${name} ${kind}`) ?? []).map((one) => one[what]);
  const cell = (name: string, kind: string) => {
    const whole = of('all indexes', kind, 'mean');
    const means = of(name, kind, 'mean');
    const ratio = median(means.map((us, round) => (whole[round] ?? Number.NaN) / us));
    const [p99, max] = [median(of(name, kind, 'p99')), median(of(name, kind, 'max'))];
    return `${median(means).toFixed(0)} (${ratio.toFixed(2)} ×), p99 ${p99.toFixed(0)}, slowest ${max.toFixed(0)}`;
  };
  const lines = VARIANTS.map(([name]) => `| ${name} | ${loads.map(([kind]) => cell(name, kind)).join(' | ')} |`);
  return `| µs a write with an activity (throughput to that with all indexes) | ${loads.map(([kind]) => kind).join(' | ')} |\n|---|---|---|\n${lines.join('\n')}\n`;
}
