import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { is } from 'drizzle-orm';
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core';
import postgres from 'postgres';
import t, { type Test } from 'tap';
import { expectedCatalogue } from '../../src/storage/catalogue.js';
import { migrateDatabase } from '../../src/storage/migrate.js';
import * as schema from '../../src/storage/schema.js';
import { CATALOGUE_FILE, readSchema } from '../../src/storage/schema-files.js';
import { newId } from '../../src/temporal/identity.js';
import { catalogueOf, dumpCatalogue } from '../helper/catalogue.js';
import { runCommand } from '../helper/command.js';
import { type TestDatabase, testDatabase } from '../helper/database.js';
import { definedBy, definedIn, objectsOf } from '../helper/definitions.js';
import { restoreRanges } from '../helper/in-bulk.js';
import { list, object, ranges, serve } from '../helper/service.js';
import { writeChanges } from '../helper/write.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const RELEASES = join(ROOT, 'test/fixtures/releases');

const TABLES = Object.values(schema).filter((value) => is(value, PgTable));

/** All that is recorded in a database. What an upgrade adds to tell it is not. */
async function contents(sql: postgres.Sql): Promise<object> {
  const [rows] = await sql`
    SELECT (SELECT jsonb_agg(to_jsonb(e) - ARRAY['since', 'untracked', 'untracked_ticks'] ORDER BY e.id)::text FROM clocktick.entity e) AS entities,
           (SELECT json_agg(t ORDER BY t.entity_id, t.tick)::text FROM clocktick.tick t) AS ticks,
           (SELECT json_agg(h ORDER BY h.entity_id, h.property, h.vclock)::text FROM clocktick.property_range h) AS ranges,
           (SELECT json_agg(i ORDER BY i.entity_id, i.item, i.vclock)::text FROM clocktick.item_history i) AS items,
           (SELECT jsonb_agg(to_jsonb(a) - 'import_id' ORDER BY a.id)::text FROM clocktick.activity a) AS activities`;
  return rows ?? {};
}

/** A migrated database, which is only read; and what PostgreSQL says of all of it, with which others are compared. */
const { sql: migrated } = await testDatabase(t);
const fresh = await dumpCatalogue(migrated);

t.test(
  'each object of the database is defined once, by its file or its table, and does what stands there',
  async (t) => {
    const { definitions } = await readSchema();
    const fromFiles = definitions.flatMap(({ text }) => definedIn(text));
    const defined = [...fromFiles, ...TABLES.flatMap(definedBy)];
    const held = await objectsOf(migrated);
    t.ok(held.length > 60, `${held.length} objects`);
    t.same(held.map(({ object }) => object).toSorted(), defined.map(({ object }) => object).toSorted());
    const sources = new Map(held.map(({ object, source }) => [object, source]));
    for (const { object, source } of fromFiles) if (source) t.equal(sources.get(object), source, object);
  },
);

t.test('what PostgreSQL says of each object is written down, the same for every version of it', async (t) => {
  const held = await catalogueOf(migrated);
  // UPDATE_CATALOGUE=1 npx tap test/storage/schema.test.ts
  if (process.env.UPDATE_CATALOGUE) {
    const objects = Object.fromEntries(held.map(({ object, text }) => [object, text]));
    await writeFile(CATALOGUE_FILE, `${JSON.stringify(objects, null, 2)}\n`);
  }
  t.same(held, await expectedCatalogue());
});

t.test('each trigger fires always, whatever session_replication_role says', async (t) => {
  const triggers = await migrated<{ name: string; enabled: string }[]>`
    SELECT g.tgname AS name, g.tgenabled AS enabled FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
     WHERE c.relnamespace = 'clocktick'::regnamespace AND NOT g.tgisinternal`;
  t.ok(triggers.length > 20);
  t.same(
    triggers.filter(({ enabled }) => enabled !== 'A'),
    [],
  );
});

t.test('no function of ours looks for a name where a session says', async (t) => {
  const functions = await migrated<{ name: string; kind: string }[]>`
    SELECT p.proname AS name,
           CASE WHEN p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'] THEN 'has its own'
                WHEN p.prosqlbody IS NOT NULL THEN 'looked once' ELSE 'is inlined' END AS kind
      FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
     WHERE p.pronamespace = 'clocktick'::regnamespace AND l.lanname IN ('sql', 'plpgsql')
       AND (l.lanname = 'plpgsql' OR p.prosecdef OR p.prosqlbody IS NOT NULL
            -- What an index, a constraint, a view or a trigger's condition says is said in anybody's session.
            OR EXISTS (SELECT FROM pg_depend d WHERE d.refobjid = p.oid AND d.refclassid = 'pg_proc'::regclass
                        AND d.classid <> 'pg_proc'::regclass AND p.prorettype <> 'trigger'::regtype))`;
  t.ok(functions.length > 15);
  t.same(
    functions.filter(({ kind }) => kind === 'is inlined'),
    [],
  );
});

t.test('each file can be run by hand, as often as one likes', async (t) => {
  const { sql } = await testDatabase(t);
  for (const { text } of (await readSchema()).definitions) await sql.unsafe(text);
  t.equal(await dumpCatalogue(sql), fresh);
});

t.test('a value is found by index, whether the query calls the function or says what it does', async (t) => {
  const key = {
    called: `clocktick.value_key(h.type, h.property, coalesce(h.short_value, h.long_value))`,
    said: 'hashtextextended(h.property, hashtextextended(h.type, jsonb_hash_extended(coalesce(h.short_value, h.long_value), 0)))',
  };
  for (const [how, formula] of Object.entries(key)) {
    const plan = await migrated.unsafe(`
      EXPLAIN SELECT FROM clocktick.property_history h
       WHERE h.effective @> now() AND ${formula} = clocktick.value_key('friend', 'location', '"Oakland"')`);
    t.match(plan.map((row) => row['QUERY PLAN']).join('\n'), 'property_history_values ', how);
  }
});

t.test('the tables of Drizzle are the tables of the database', async (t) => {
  const names = await migrated<{ name: string }[]>`
    SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = 'clocktick'::regnamespace AND c.relkind IN ('r', 'p')`;
  const tables = TABLES.map((table) => getTableConfig(table));
  t.same(names.map(({ name }) => name).toSorted(), [...tables.map(({ name }) => name), 'migration'].toSorted());
  for (const { name, columns } of tables) {
    const rows = await migrated<{ name: string; type: string; required: boolean }[]>`
      SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required
        FROM pg_attribute a WHERE a.attrelid = ${`clocktick.${name}`}::regclass AND a.attnum > 0 ORDER BY a.attnum`;
    t.same(
      columns.map((column) => ({
        name: column.name,
        type: column.getSQLType().replace(' COLLATE "C"', '').replace('timestamp (6)', 'timestamp(6)'),
        required: column.notNull,
      })),
      [...rows],
      name,
    );
  }
});

t.test('no migration is missing for the tables of Drizzle, and the version is that of the texts', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'clocktick-drizzle-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await cp(join(ROOT, 'drizzle'), folder, { recursive: true });
  const before = await readdir(folder);
  const kit = join(ROOT, 'node_modules/drizzle-kit/bin.cjs');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    // drizzle-kit puts ./ before the folder, and ends with success when it then finds nothing there.
    [kit, 'generate', '--dialect=postgresql', '--schema=src/storage/schema.ts', `--out=${relative(ROOT, folder)}`],
    { cwd: ROOT, env: { ...process.env, NODE_OPTIONS: '' } },
  );
  t.match(stdout, 'No schema changes');
  t.same(await readdir(folder), before);
  t.match(await runCommand('drizzle/version.ts', '--check'), { code: 0, errors: '' });
});

t.test('many instances migrate one empty database at once', async (t) => {
  const { url, sql } = await testDatabase(t, 'template0');
  await Promise.all(Array.from({ length: 6 }, () => migrateDatabase(url)));
  t.equal(await dumpCatalogue(sql), fresh);
  await migrateDatabase(url);
  const { migrations, definitions, version } = await readSchema();
  const [applied] = await sql`
    SELECT (SELECT count(*)::int FROM clocktick.migration) AS migrations, count(*)::int AS files, max(version) AS version
      FROM clocktick.definition`;
  t.same(applied, { migrations: migrations.length, files: definitions.length, version });
});

t.test('a schema that an administrator has made is taken', async (t) => {
  const { url, sql } = await testDatabase(t, 'template0');
  await sql`CREATE SCHEMA clocktick`;
  await migrateDatabase(url);
  t.equal(await dumpCatalogue(sql), fresh);
});

t.test('a start that finds everything up to date waits for nobody’s lock', async (t) => {
  const { url, sql } = await testDatabase(t);
  const names = TABLES.map((table) => getTableConfig(table).name).filter((name) => name !== 'definition');
  const database = new URL(url).pathname.slice(1);
  await sql`ALTER DATABASE ${sql(database)} SET lock_timeout = '1s'`;
  await sql.begin(async (tx) => {
    for (const name of names) await tx`LOCK TABLE ${tx(`clocktick.${name}`)} IN ACCESS EXCLUSIVE MODE`;
    await migrateDatabase(url);
  });
  // As soon as a text differs, it does wait.
  await sql`UPDATE clocktick.definition SET hash = 'another' WHERE file = 'write.sql'`;
  await sql.begin(async (tx) => {
    await tx`LOCK TABLE clocktick.entity IN ACCESS EXCLUSIVE MODE`;
    await t.rejects(migrateDatabase(url), { code: '55P03' });
  });
});

/** A database as a release left it. */
async function databaseOf(t: Test, release: string): Promise<TestDatabase> {
  const database = await testDatabase(t, 'template0');
  const client = postgres(database.url, { max: 1, onnotice: () => {} });
  await client.unsafe(await readFile(join(RELEASES, release), 'utf8'));
  await client.end();
  return database;
}

t.test(
  'an upgrade that alters tables waits for a write that holds a row already, and neither stops the other',
  async (t) => {
    const { url, sql } = await databaseOf(t, '1.sql');
    const waiting = async () => {
      const [row] = await sql<{ count: number }[]>`
      SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      return row?.count;
    };
    let upgrade: Promise<unknown> | undefined;
    await sql.begin(async (tx) => {
      // As the write function begins: the rows first, and then what it changes of them.
      await tx`SELECT FROM clocktick.entity FOR NO KEY UPDATE`;
      upgrade = migrateDatabase(url);
      while ((await waiting()) === 0) await sleep(5);
      await tx`LOCK TABLE clocktick.entity IN ROW EXCLUSIVE MODE`;
    });
    await upgrade;
    t.equal(await dumpCatalogue(sql), fresh);
  },
);

/** What a text of a file was before it changed. */
const outdate = (sql: postgres.Sql) => sql`UPDATE clocktick.definition SET hash = 'before', version = 0`;

/** Adds an entity whose values, some of which have ended, are of each length that is kept in another way, or compressed. */
async function addLongValues(sql: postgres.Sql): Promise<void> {
  const noise = Array.from({ length: 400 }, newId).join('');
  const values = Object.fromEntries(
    ['', ...[50, 51, 52, 53, 54, 55, 56, 57, 3_000, 100_000].map((length) => 'x'.repeat(length)), noise].map(
      (value, n) => [`p${n}`, value],
    ),
  );
  const id = newId();
  const change = { id, type: 'long', key: 'zz' };
  await writeChanges(sql, [{ ...change, expected: 0, op: 'created', set: { ...values, kept: noise } }]);
  const other = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, `${value}.`]));
  await writeChanges(sql, [{ ...change, expected: 1, op: 'updated', set: other }]);
}

t.test('a database of each release is brought up to date, with all that is recorded in it', async (t) => {
  for (const release of await readdir(RELEASES)) {
    await t.test(release, async (t) => {
      const { url, sql, storage } = await databaseOf(t, release);
      await addLongValues(sql);
      const recorded = await contents(sql);
      await migrateDatabase(url);
      t.equal(await dumpCatalogue(sql), fresh);
      t.same(await contents(sql), recorded);
      const since = await sql`
        SELECT e.key, e.since::text FROM clocktick.entity e WHERE e.type <> 'long' ORDER BY e.key COLLATE "C"`;
      t.same(since, [
        { key: 'café "central"', since: '{}' },
        { key: 'joey', since: '{}' },
        { key: 'rachel', since: '{"tags": 2, "phones": 2, "location": 3}' },
      ]);
      const [open] = await sql`
        SELECT count(*)::int AS wrong FROM (
          SELECT clocktick.value_key(r.type, r.property, r.value), r.entity_id, lower(r.effective)
            FROM clocktick.property_range r WHERE upper_inf(r.vclock)
          EXCEPT ALL SELECT v.value_key, v.entity_id, v.since FROM clocktick.open_value v) missing`;
      t.same(open, { wrong: 0 });
      await restoreRanges(sql);

      const { call } = await serve(t, storage);
      t.same(await ranges(call, 'friend:rachel', 'location'), [
        '"New York"@[1,2)',
        '"San Francisco"@[2,3)',
        '"Oakland"@[3,)',
      ]);
      t.match(await call('GET', '/entities/friend:rachel?asOf=1'), {
        status: 200,
        body: {
          properties: {
            name: 'Rachel',
            tags: ['vip', { since: 1994 }, null],
            phones: { home: '555', work: null },
            score: 10.5,
          },
        },
      });
      t.match(await call('GET', '/entities/friend:joey'), { status: 410, body: { tick: 4 } });
      const { body } = await call('GET', '/entities/friend:rachel/history');
      t.match(object(list(body.items)[1]), {
        activity: { actor: 'ross', reason: 'she moved', metadata: { ticket: 7 } },
      });

      const written = await call('PATCH', '/entities/friend:rachel', { properties: { tags: ['vip'], phones: null } });
      t.match(written, { status: 200, body: { tick: 4, properties: { tags: ['vip'], location: 'Oakland' } } });
      const [items] = await sql`
        SELECT count(*) FILTER (WHERE upper_inf(i.vclock))::int AS open, count(*)::int AS all
          FROM clocktick.item_history i JOIN clocktick.entity e ON e.id = i.entity_id WHERE e.key = 'rachel'`;
      t.same(items, { open: 1, all: 6 });
      await t.rejects(sql`UPDATE clocktick.tick SET op = 'deleted'`, { code: '23001' });
    });
  }
});

t.test('an upgrade goes on where somebody has made something of a key', async (t) => {
  const { url, sql, storage } = await databaseOf(t, '1.sql');
  await sql`CREATE TABLE mine (id uuid REFERENCES clocktick.entity (id), tick integer)`;
  await migrateDatabase(url);
  const { call } = await serve(t, storage);
  t.match(await call('GET', '/entities/friend:rachel?asOf=1'), { status: 200, body: { tick: 1 } });
});

t.test('an extension that somebody put into our schema stays', async (t) => {
  const { url, sql } = await testDatabase(t);
  // Where it comes by itself for a role named clocktick.
  await sql`CREATE EXTENSION pg_buffercache SCHEMA clocktick`;
  await outdate(sql);
  await migrateDatabase(url);
  t.ok((await sql`SELECT count(*)::int AS buffers FROM clocktick.pg_buffercache`)[0]?.buffers);
});

t.test('whatever older files have left is mended or dropped', async (t) => {
  const cases: [name: string, older: string[]][] = [
    [
      'what can be defined anew, each by itself, and what no file defines',
      [
        // Another body.
        `CREATE OR REPLACE FUNCTION clocktick.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
        `CREATE FUNCTION clocktick.gone(int) RETURNS int LANGUAGE sql AS 'SELECT 1'`,
        // A trigger, and its function.
        `CREATE FUNCTION clocktick.gone() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER gone AFTER INSERT ON clocktick.tick FOR EACH ROW EXECUTE FUNCTION clocktick.gone()`,
        'CREATE VIEW clocktick.gone AS SELECT * FROM clocktick.property_range',
        // Triggers: one that fires elsewhere, one that is switched off, one that fires only as the origin.
        'CREATE OR REPLACE TRIGGER tick_is_kept AFTER DELETE ON clocktick.tick EXECUTE FUNCTION clocktick.refuse()',
        'ALTER TABLE clocktick.activity DISABLE TRIGGER activity_is_kept',
        'ALTER TABLE clocktick.entity ENABLE TRIGGER entity_is_kept',
        // Other arguments.
        `CREATE FUNCTION clocktick.write_changes(ids uuid[]) RETURNS void LANGUAGE sql AS 'SELECT'`,
        `INSERT INTO clocktick.definition VALUES ('gone.sql', 'gone', 0)`,
      ],
    ],
    [
      'a function with other names of arguments, and another answer',
      [
        `DROP FUNCTION clocktick.write_changes;
         CREATE FUNCTION clocktick.write_changes(list jsonb, wait boolean, a timestamptz, b timestamptz, c boolean)
         RETURNS integer LANGUAGE sql AS 'SELECT 1'`,
      ],
    ],
    [
      'a view with other columns',
      [
        `DROP VIEW clocktick.property_range CASCADE;
         CREATE VIEW clocktick.property_range AS SELECT entity_id, vclock, short_value FROM clocktick.property_history;
         CREATE FUNCTION clocktick.open_range(uuid, text, integer) RETURNS SETOF clocktick.property_range LANGUAGE sql
         AS 'SELECT * FROM clocktick.property_range'`,
      ],
    ],
  ];
  for (const [name, older] of cases) {
    await t.test(name, async (t) => {
      const { url, sql } = await testDatabase(t);
      for (const text of older) await sql.unsafe(text);
      await outdate(sql);
      await migrateDatabase(url);
      t.equal(await dumpCatalogue(sql), fresh);
    });
  }
});

t.test('an upgrade that fails leaves everything as it was', async (t) => {
  const { url, sql } = await testDatabase(t);
  await sql`CREATE FUNCTION clocktick.gone() RETURNS int LANGUAGE sql AS 'SELECT 1'`;
  await sql`CREATE TABLE needs_it (n int DEFAULT clocktick.gone())`;
  await sql.unsafe(
    `CREATE OR REPLACE FUNCTION clocktick.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
  );
  await outdate(sql);
  const before = await dumpCatalogue(sql);
  await t.rejects(migrateDatabase(url), { code: '2BP01' });
  t.equal(await dumpCatalogue(sql), before);
});

t.test('a database that this program cannot serve is refused, and stays as it is', async (t) => {
  const cases: [name: string, made: string, message: RegExp][] = [
    [
      'of a newer version',
      'UPDATE clocktick.definition SET version = version + 1',
      /^A newer clocktick has been at this database: its schema has version \d+, and this clocktick knows versions up to \d+\. Start/,
    ],
    [
      'of a newer version, with tables that this one does not know',
      `UPDATE clocktick.definition SET version = version + 1;
       INSERT INTO clocktick.migration (hash, created_at) VALUES ('newer', 9999999999999)`,
      /^A newer clocktick/,
    ],
    [
      'of before the first release',
      `UPDATE clocktick.migration SET hash = 'older'; DROP TABLE clocktick.definition`,
      /^This database was made by a clocktick from before its first release, which cannot be brought up to date\. Use a new/,
    ],
  ];
  for (const [name, made, message] of cases) {
    await t.test(name, async (t) => {
      const { url, sql } = await testDatabase(t);
      await sql.unsafe(made);
      const before = await dumpCatalogue(sql);
      await t.rejects(migrateDatabase(url), { name: 'Unfit', message });
      t.equal(await dumpCatalogue(sql), before);
    });
  }
});
