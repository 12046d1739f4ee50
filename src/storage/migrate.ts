import postgres from 'postgres';
import { Unfit } from '../unfit.js';
import { connectOnce } from './engine/transactions.js';
import { readSchema, type Schema } from './schema-files.js';

/** Any fixed number will do, as long as every instance takes the same. */
const MIGRATION_LOCK = 2_016_081_900;

/** What PostgreSQL says where CREATE OR REPLACE cannot do it: another answer or other names of arguments, other columns. */
const CANNOT_REPLACE = ['42P13', '42P16'];

/**
 * Brings the database up to date: the tables by Drizzle's migrations, then everything else by the files of drizzle/sql, in one
 * transaction. Many instances may start at once: an advisory lock lets one migrate while the others wait. One connection, because
 * the lock belongs to its session. A database that is up to date is only read, and of it only what was applied.
 * @throws Unfit when the database is newer than this program, or was made before the first release
 */
export async function migrateDatabase(url: string): Promise<void> {
  const schema = await readSchema();
  const connection = connectOnce(url, { onnotice: () => {}, connect_timeout: 10 });
  try {
    await connection.during(async (client) => {
      await client`SELECT pg_advisory_lock(${MIGRATION_LOCK}::int8)`;
      const applied = await readApplied(client);
      requireOlder(applied, schema);
      if (!isUpToDate(applied, schema)) {
        await client.begin(async (tx) => {
          // Every write of the service comes to this table first. Else a write that holds one table and waits for the next could
          // meet this transaction, which holds that one and waits for the first. Migrations alter tables, for which a weaker lock
          // would have to grow: so could that of a write, which may hold a row of this table already, and neither could.
          if (applied.migrations.length > 0) {
            if (applied.migrations.length < schema.migrations.length)
              await tx`LOCK TABLE clocktick.entity IN ACCESS EXCLUSIVE MODE`;
            else await tx`LOCK TABLE clocktick.entity IN SHARE ROW EXCLUSIVE MODE`;
          }
          await applyMigrations(tx, schema, applied.migrations.length);
          await applyDefinitions(tx, schema);
        });
      }
    });
  } finally {
    await connection.end();
  }
}

/** What was applied to a database: the hashes of migrations, in order, and of the files of drizzle/sql. */
type Applied = { version: number; migrations: string[]; definitions: Map<string, string> };

async function readApplied(sql: postgres.Sql): Promise<Applied> {
  const [has] = await sql<{ migrations: boolean; definitions: boolean }[]>`
    SELECT to_regclass('clocktick.migration') IS NOT NULL AS migrations,
           to_regclass('clocktick.definition') IS NOT NULL AS definitions`;
  const migrations = has?.migrations
    ? await sql<{ hash: string }[]>`SELECT m.hash FROM clocktick.migration m ORDER BY m.created_at, m.id`
    : [];
  const definitions = has?.definitions
    ? await sql<{ file: string; hash: string; version: number }[]>`
        SELECT d.file, d.hash, d.version FROM clocktick.definition d`
    : [];
  return {
    version: Math.max(0, ...definitions.map(({ version }) => version)),
    migrations: migrations.map(({ hash }) => hash),
    definitions: new Map(definitions.map(({ file, hash }) => [file, hash])),
  };
}

function requireOlder(applied: Applied, schema: Schema): void {
  if (applied.version > schema.version) {
    throw new Unfit(
      `A newer clocktick has been at this database: its schema has version ${applied.version}, and this clocktick knows versions up to ${schema.version}. Start the newer clocktick.`,
    );
  }
  if (applied.migrations.some((hash, n) => hash !== schema.migrations[n]?.hash)) {
    throw new Unfit(
      'This database was made by a clocktick from before its first release, which cannot be brought up to date. Use a new database (DATABASE_URL), or a new folder for the embedded one (DATA_DIR).',
    );
  }
}

const isUpToDate = (applied: Applied, { version, migrations, definitions }: Schema): boolean =>
  applied.version === version &&
  applied.migrations.length === migrations.length &&
  applied.definitions.size === definitions.length &&
  definitions.every(({ file, hash }) => applied.definitions.get(file) === hash);

/**
 * Runs the migrations that are missing, and notes them as Drizzle does, so that drizzle-kit finds what it knows. Drizzle's own
 * migrator makes the schema before the first migration wants to, and its `CREATE SCHEMA` then fails. An administrator may have
 * made it, too, for a role that must not.
 */
async function applyMigrations(sql: postgres.TransactionSql, { migrations }: Schema, done: number): Promise<void> {
  const [schema] = await sql<{ exists: boolean }[]>`SELECT to_regnamespace('clocktick') IS NOT NULL AS exists`;
  for (const migration of migrations.slice(done)) {
    for (const statement of migration.sql) {
      if (!(schema?.exists && statement.startsWith('CREATE SCHEMA'))) await sql.unsafe(statement);
    }
    await sql`
      CREATE TABLE IF NOT EXISTS clocktick.migration (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint)`;
    await sql`
      INSERT INTO clocktick.migration (hash, created_at) VALUES (${migration.hash}, ${migration.folderMillis}::int8)`;
  }
}

/**
 * Runs all files of drizzle/sql, and drops what none of them defines any more. All files, and not only those that have changed:
 * what that leaves untouched is what no file defines, and a migration may have had to drop what it could not alter around.
 *
 * An index or a constraint is made only where there is none of its name, and never dropped here, because making one again can take
 * long. To change one, give it a new name and drop the old one in a migration.
 */
async function applyDefinitions(sql: postgres.TransactionSql, { version, definitions }: Schema): Promise<void> {
  const before = await readObjects(sql);
  const runAll = async (tx: postgres.TransactionSql) => {
    for (const { text } of definitions) await tx.unsafe(text);
  };
  try {
    await sql.savepoint(runAll);
  } catch (error) {
    if (!(error instanceof postgres.PostgresError && CANNOT_REPLACE.includes(error.code))) throw error;
    for (const { drop, isFree } of before) if (isFree) await sql.unsafe(drop);
    await runAll(sql);
  }
  const untouched = new Set(before.map(({ row }) => row));
  for (const { drop, row } of await readObjects(sql)) if (untouched.has(row)) await sql.unsafe(drop);

  await sql`DELETE FROM clocktick.definition`;
  for (const { file, hash } of definitions) {
    await sql`INSERT INTO clocktick.definition (file, hash, version) VALUES (${file}, ${hash}, ${version})`;
  }
}

/**
 * The triggers, views and functions of our schema, but for those of an extension; in this order they can be dropped. `row` tells
 * one that has been defined anew from one that has not; `isFree` says that nothing else is made of it.
 */
function readObjects(sql: postgres.TransactionSql) {
  return sql<{ drop: string; row: string; isFree: boolean }[]>`
    SELECT format('DROP TRIGGER %I ON clocktick.%I', g.tgname, c.relname) AS drop,
           format('trigger %s %s', g.oid, g.xmin) AS row, false AS "isFree", 1 AS place
      FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
     WHERE c.relnamespace = 'clocktick'::regnamespace AND NOT g.tgisinternal
    UNION ALL
    SELECT format('DROP VIEW clocktick.%I', c.relname), format('view %s %s', c.oid, r.xmin), true, 3
      FROM pg_class c JOIN pg_rewrite r ON r.ev_class = c.oid
     WHERE c.relnamespace = 'clocktick'::regnamespace AND c.relkind = 'v'
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT format('DROP ROUTINE %s', p.oid::regprocedure), format('function %s %s', p.oid, p.xmin),
           NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid),
           -- Those that give rows of a view go before it.
           CASE WHEN EXISTS (SELECT FROM pg_depend d JOIN pg_class c ON c.reltype = d.refobjid
                              WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_type'::regclass
                                AND c.relkind = 'v') THEN 2 ELSE 4 END
      FROM pg_proc p
     WHERE p.pronamespace = 'clocktick'::regnamespace
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
     ORDER BY place`;
}
