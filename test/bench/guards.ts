import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { startEmbedded } from '../../src/embedded/start.js';
import { migrateDatabase } from '../../src/storage/migrate.js';
import { median } from './figures.js';

/*
 * What each guard and constraint costs: microseconds per change inside the server, by the write function, one change a
 * call and fifty a call, with and without it. `npm run bench:guards`. Rounds go through all variants in turn, so that a
 * machine that changes its speed changes it for all of them; each figure is compared with the full set of the same
 * round, medians of which are printed. synchronous_commit is off: waiting for the disk would hide the work.
 */
const ROUNDS = Number(process.argv[2] ?? 9);
const CALLS = { 1: 1500, 50: 60 } as const;
const PROPERTIES =
  '{"a": 1, "b": "two", "c": null, "d": true, "e": [1, 2, 3], "f": {"x": 1}, "name": "Rachel", "location": "New York", "i": 9, "j": 10.5}';

const trigger = (table: string, ...names: string[]) => ({
  off: names.map((name) => `ALTER TABLE clocktick.${table} DISABLE TRIGGER ${name}`).join(';'),
  on: names.map((name) => `ALTER TABLE clocktick.${table} ENABLE ALWAYS TRIGGER ${name}`).join(';'),
});
const triggers = (...groups: { off: string; on: string }[]) => ({
  off: groups.map(({ off }) => off).join(';'),
  on: groups.map(({ on }) => on).join(';'),
});
const ENTITY = trigger('entity', 'entity_is_created_with_history', 'entity_changes_with_history');
const TICK = trigger('tick', 'clock_row_is_entitys');
const RANGE = trigger('property_history', 'range_ends_now');
const ROWS = trigger('entity', 'entity_starts_at_one', 'entity_steps_by_one', 'entity_identity_is_fixed');
// Without the rows that a change has to end, the next variants could not change what was created meanwhile.
const HOLDERS = triggers(
  trigger('property_history', 'range_ends_holders'),
  trigger('entity', 'entity_opens_holders', 'entity_change_opens_holders'),
);
const OWNER = triggers(
  trigger('entity', 'entity_is_written_by_owner'),
  trigger('tick', 'tick_is_written_by_owner'),
  trigger('property_history', 'range_is_written_by_owner'),
  trigger('activity', 'activity_is_written_by_owner'),
);
/** What a change calls, each with a search_path of its own. */
const CALLED = [
  ...['write_changes', 'refuse_old_snapshots', 'entity_is_created_with_history', 'entity_changes_with_history'],
  ...['clock_row_is_entitys', 'range_ends_now', 'open_holders', 'end_holders'],
];
const functions = (names: string[], off: string, on: string) => ({
  off: names.map((name) => `ALTER FUNCTION clocktick.${name} ${off}`).join(';'),
  on: names.map((name) => `ALTER FUNCTION clocktick.${name} ${on}`).join(';'),
});
const SEARCH_PATHS = functions(CALLED, 'RESET search_path', 'SET search_path = pg_catalog, pg_temp');
const DEFINER = functions(['write_changes'], 'SECURITY INVOKER', 'SECURITY DEFINER');
const VALUE = 'clocktick.value_key(type, property, coalesce(short_value, long_value))';
const RANGES = 'ALTER TABLE clocktick.property_history';
const EXCLUDE = 'EXCLUDE USING gist (entity_id WITH =, property WITH =, vclock WITH &&)';

const VARIANTS: [name: string, change: { off: string; on: string }][] = [
  ['everything', { off: '', on: '' }],
  ['without row guards (WHEN, UPDATE OF)', ROWS],
  ['without entity_…_with_history', ENTITY],
  ['without clock_row_is_entitys', TICK],
  ['without range_ends_now', RANGE],
  ['without …_is_written_by_owner', OWNER],
  ['without search paths of their own', SEARCH_PATHS],
  ['without SECURITY DEFINER', DEFINER],
  ['without all three of these', triggers(OWNER, SEARCH_PATHS, DEFINER)],
  ['without any guard', triggers(ENTITY, TICK, RANGE, ROWS)],
  [
    'without entity_in_order',
    {
      off: 'DROP INDEX clocktick.entity_in_order',
      on: `CREATE INDEX entity_in_order ON clocktick.entity (type, coalesce(key, ''), id)`,
    },
  ],
  [
    'without tick_type_at, tick_imported',
    {
      off: 'DROP INDEX clocktick.tick_type_at, clocktick.tick_imported',
      on: `CREATE INDEX tick_type_at ON clocktick.tick (type, at);
           CREATE INDEX tick_imported ON clocktick.tick (type, recorded_at) WHERE recorded_at <> at`,
    },
  ],
  [
    'without property_history_values',
    {
      off: 'DROP INDEX clocktick.property_history_values',
      on: `CREATE INDEX property_history_values ON clocktick.property_history USING gist (${VALUE}, effective)`,
    },
  ],
  [
    'with an exclusion constraint over the ranges that have ended',
    { off: `${RANGES} ADD CONSTRAINT no_overlap ${EXCLUDE}`, on: `${RANGES} DROP CONSTRAINT no_overlap` },
  ],
  [
    'without holders of values and items',
    {
      off: HOLDERS.off,
      on: `${HOLDERS.on}; ALTER TABLE clocktick.open_value DISABLE TRIGGER USER; TRUNCATE clocktick.open_value;
           INSERT INTO clocktick.open_value
             SELECT clocktick.value_key(type, property, value), entity_id, lower(effective) FROM clocktick.property_range WHERE upper_inf(vclock);
           ALTER TABLE clocktick.open_value ENABLE ALWAYS TRIGGER open_values_follow_entities, ENABLE ALWAYS TRIGGER open_values_are_kept`,
    },
  ],
];

/**
 * Creates or patches in a loop inside the server; each call commits. Only the calls count: the texts of the changes, which they
 * have yet to read, are made before.
 */
const load = (kind: 'create' | 'patch', size: number, calls: number) => `
  DO $$
  DECLARE
    texts text[] := ARRAY(${kind === 'create' ? creations(size, calls) : patches(size, calls)});
    started timestamptz := clock_timestamp();
  BEGIN
    FOR n IN 1..${calls} LOOP
      PERFORM FROM clocktick.write_changes(texts[n]::jsonb, false);
      COMMIT;
    END LOOP;
    PERFORM set_config('bench.us', (extract(epoch FROM clock_timestamp() - started) * 1e6 / ${size * calls})::text, false);
  END
  $$`;

const creations = (size: number, calls: number, id = 'gen_random_uuid()') => `
  SELECT jsonb_agg(jsonb_build_object(
           'id', ${id}, 'expected', 0, 'op', 'created', 'type', 'friend', 'set', '${PROPERTIES}'::jsonb))::text
    FROM generate_series(0, ${size * calls - 1}) n GROUP BY n / ${size}`;

const patches = (size: number, calls: number) => `
  SELECT jsonb_agg(jsonb_build_object(
           'id', e.id, 'expected', e.tick, 'seen', e.updated_at, 'op', 'updated', 'type', 'friend',
           'set', jsonb_build_object('name', random())))::text
    FROM generate_series(0, ${size * calls - 1}) n
    JOIN clocktick.entity e ON e.id = md5(n::text)::uuid GROUP BY n / ${size}`;

const folder = await mkdtemp(join(tmpdir(), 'clocktick-bench-'));
await chmod(folder, 0o755);
const server = await startEmbedded({
  dataDir: join(folder, 'data'),
  settings: { synchronous_commit: 'off', autovacuum: 'off' },
});
try {
  await migrateDatabase(server.url);
  const sql = postgres(server.url, { max: 1, onnotice: () => {} });
  await sql.unsafe(load('create', 50, 1));
  await sql.unsafe(
    `SELECT count(*) FROM (${creations(5000, 1, 'md5(n::text)::uuid')}) c (text), clocktick.write_changes(c.text::jsonb, false)`,
  );
  await sql`VACUUM ANALYZE`;

  const loads = [
    ['create', 1],
    ['create', 50],
    ['patch', 1],
    ['patch', 50],
  ] as const;
  const measured = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round++) {
    // Each begins a round in turn, because the tables grow while it goes on.
    const first = round % VARIANTS.length;
    for (const [name, { off, on }] of [...VARIANTS.slice(first), ...VARIANTS.slice(0, first)]) {
      if (off) await sql.unsafe(off);
      for (const [kind, size] of loads) {
        await sql.unsafe(load(kind, size, 20));
        await sql.unsafe(load(kind, size, CALLS[size]));
        const [row] = await sql<{ us: number }[]>`SELECT current_setting('bench.us')::float8 AS us`;
        const key = `${name} ${kind} ${size}`;
        measured.set(key, [...(measured.get(key) ?? []), row?.us ?? Number.NaN]);
      }
      if (on) await sql.unsafe(on);
    }
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
  }
  await sql.end();

  const heads = loads.map(([kind, size]) => `${kind}, ${size} a call`);
  process.stdout.write(
    `| µs a change (throughput to that with everything) | ${heads.join(' | ')} |\n|---|${'---|'.repeat(heads.length)}\n`,
  );
  for (const [name] of VARIANTS) {
    const cells = loads.map(([kind, size]) => {
      const own = measured.get(`${name} ${kind} ${size}`) ?? [];
      const whole = measured.get(`everything ${kind} ${size}`) ?? [];
      const ratio = median(own.map((us, round) => (whole[round] ?? Number.NaN) / us));
      return `${median(own).toFixed(0)} (${ratio.toFixed(2)} ×)`;
    });
    process.stdout.write(`| ${name} | ${cells.join(' | ')} |\n`);
  }
} finally {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);
