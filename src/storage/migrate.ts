import postgres from 'postgres';
import { Unfit } from '../unfit.js';
import { SEARCH_PATH } from './engine/search-path.js';
import { connectOnce } from './engine/transactions.js';
import { GRANTS, readSchema, type Schema } from './schema-files.js';

/** The group whose members may do what the service does, and nothing else (drizzle/sql/grants.sql). */
export const SERVICE_ROLE = 'clocktick_service';

/** Any fixed number will do, as long as every instance takes the same. */
const MIGRATION_LOCK = 2_016_081_900;

/** What PostgreSQL says where CREATE OR REPLACE cannot do it: another answer or other names of arguments, other columns. */
const CANNOT_REPLACE = ['42P13', '42P16'];

/** … and where somebody else has just made the role. */
const EXISTS_ALREADY = ['42710', '23505'];

/** How a database was made fit to be served: `owns` is whether the role could do anything to it, `said` what is to be told, a sentence each. */
type Prepared = { owns: boolean; said: string[] };

/**
 * Makes the database fit to be served by this role: one that owns the schema, or may make it, migrates; any other one only looks whether
 * that was done.
 * @throws Unfit as `migrateDatabase`; when the role owns nothing, and the database is not what this program needs
 */
export async function prepareDatabase(url: string): Promise<Prepared> {
  const connection = connectOnce(url, OPTIONS);
  try {
    const owns = await connection.during(async (sql) => {
      const role = await readRole(sql);
      if (!role.owns) await requireUpToDate(sql, role);
      return role.owns;
    });
    return { owns, said: owns ? await migrateDatabase(url) : [] };
  } finally {
    await connection.end();
  }
}

/** What a role may do to the schema. */
type Role = { name: string; owns: boolean; uses: boolean; exists: boolean };

/** Whoever owns the tables owns the schema; where there are none yet, whoever may make them. */
async function readRole(sql: postgres.Sql): Promise<Role> {
  const [role] = await sql<Role[]>`
    SELECT current_user AS name, n.oid IS NOT NULL AS exists,
           CASE WHEN e.oid IS NOT NULL THEN pg_has_role(e.relowner, 'USAGE')
                WHEN n.oid IS NOT NULL THEN has_schema_privilege(n.oid, 'CREATE')
                ELSE has_database_privilege(current_database(), 'CREATE') END AS owns,
           coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(d.oid, 'SELECT') AND has_table_privilege(m.oid, 'SELECT'), false) AS uses
      FROM (SELECT) one
      LEFT JOIN pg_namespace n ON n.nspname = 'clocktick'
      LEFT JOIN pg_class e ON e.relnamespace = n.oid AND e.relname = 'entity'
      LEFT JOIN pg_class d ON d.relnamespace = n.oid AND d.relname = 'definition'
      LEFT JOIN pg_class m ON m.relnamespace = n.oid AND m.relname = 'migration'`;
  if (!role) throw new Error('the database does not know who asks');
  return role;
}

const MIGRATE = 'run `clocktick migrate` as the owner of the schema clocktick';

/** @throws Unfit when the database is not what this program needs, or when this role may not read what it is */
async function requireUpToDate(sql: postgres.Sql, role: Role): Promise<void> {
  if (!role.exists)
    throw new Unfit(
      `There is no schema clocktick in this database, and the role ${role.name} may not make it: run \`clocktick migrate\` as a role that may.`,
    );
  if (!role.uses)
    throw new Unfit(
      `The role ${role.name} may not use the schema clocktick: ${MIGRATE}, then \`GRANT ${SERVICE_ROLE} TO "${role.name}"\` as an administrator.`,
    );
  const schema = await readSchema();
  const applied = await readApplied(sql);
  requireOlder(applied, schema);
  if (isUpToDate(applied, schema)) return;
  throw new Unfit(
    `The schema of this database has version ${applied.version}, and this clocktick needs version ${schema.version}: ${MIGRATE}.`,
  );
}

/**
 * That the database is what this program needs, so that it can be checked.
 * @throws Unfit when it is not, or when this role may not read it
 */
export async function requireCurrent(sql: postgres.Sql): Promise<void> {
  await requireUpToDate(sql, await readRole(sql));
}

const OPTIONS = { onnotice: () => {}, connect_timeout: 10, connection: SEARCH_PATH };

/**
 * Brings the database up to date: the tables by Drizzle's migrations, then everything else by the files of drizzle/sql, in one
 * transaction. Many instances may start at once: an advisory lock lets one migrate while the others wait. One connection, because
 * the lock belongs to its session. A database that is up to date is only read, and of it only what was applied.
 *
 * What there is stays with its owner, and what is new becomes his, whoever migrates: the functions that run as the owner must not run as a
 * superuser who once helped out.
 * @returns what is to be told, a sentence each
 * @throws Unfit when the database is newer than this program, or was made before the first release
 */
export async function migrateDatabase(url: string): Promise<string[]> {
  const schema = await readSchema();
  const connection = connectOnce(url, OPTIONS);
  try {
    return await connection.during(async (client) => {
      await client`SELECT pg_advisory_lock(${MIGRATION_LOCK}::int8)`;
      const applied = await readApplied(client);
      requireOlder(applied, schema);
      const hasGroup = await makeServiceRole(client);
      if (!isUpToDate(applied, schema) || (hasGroup && !(await isGranted(client)))) {
        await client.begin(async (tx) => {
          await becomeOwner(tx);
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
      if (hasGroup) return [];
      return [
        `there is no role ${SERVICE_ROLE}, and this role may not make it: nobody but the owner may use the schema clocktick. As an administrator run \`CREATE ROLE ${SERVICE_ROLE}\`, then migrate again.`,
      ];
    });
  } finally {
    await connection.end();
  }
}

/**
 * Makes the group of the service's roles where there is none and this role may. It belongs to all databases of the server, so it is no part
 * of the schema, and another database may be making it at the same moment.
 * @returns whether there is one
 */
async function makeServiceRole(sql: postgres.Sql): Promise<boolean> {
  const [role] = await sql<{ exists: boolean; may: boolean }[]>`
    SELECT to_regrole(${SERVICE_ROLE}) IS NOT NULL AS exists, r.rolsuper OR r.rolcreaterole AS may
      FROM pg_roles r WHERE r.rolname = current_user`;
  if (role?.exists || !role?.may) return role?.exists ?? false;
  await sql`CREATE ROLE ${sql(SERVICE_ROLE)} NOLOGIN`.catch((error: unknown) => {
    if (!(error instanceof postgres.PostgresError && EXISTS_ALREADY.includes(error.code))) throw error;
  });
  return true;
}

/** Whether the group of the service's roles was granted anything: it may have been made after the last migration, or a restored backup forgot. */
async function isGranted(sql: postgres.Sql): Promise<boolean> {
  const [schema] = await sql<{ granted: boolean }[]>`
    SELECT has_schema_privilege(${SERVICE_ROLE}, n.oid, 'USAGE') AS granted FROM pg_namespace n WHERE n.nspname = 'clocktick'`;
  return schema?.granted ?? false;
}

/** Goes on as the owner of what there is already. */
async function becomeOwner(sql: postgres.TransactionSql): Promise<void> {
  await sql`
    SELECT set_config('role', pg_get_userbyid(c.relowner), true)
      FROM pg_class c
     WHERE c.oid = to_regclass('clocktick.entity') AND pg_get_userbyid(c.relowner) <> current_user`;
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
    for (const { file, text } of definitions) if (file !== GRANTS) await tx.unsafe(text);
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
  // To revoke something touches it.
  for (const { file, text } of definitions) if (file === GRANTS) await sql.unsafe(text);

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
