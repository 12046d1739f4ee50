import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import type { Test } from 'tap';
import { migrateDatabase } from '../../src/storage/migrate.js';
import { openStorage } from '../../src/storage/open.js';
import type { Storage } from '../../src/storage/storage.js';
import { databaseUrl, makeLogin, serverUrl, serviceLogin, TEMPLATE, urlAs } from './server.js';

/** Why a test that prepares transactions cannot run on this server; false if it can. By default PostgreSQL allows none. */
export async function cannotPrepare(sql: postgres.Sql): Promise<string | false> {
  const [row] = await sql<{ most: number }[]>`SELECT current_setting('max_prepared_transactions')::int AS most`;
  return row?.most === 0 && 'max_prepared_transactions is 0 on this server';
}

/**
 * A database, as two roles see it. `sql` and `url` are the owner's, to prepare and to attack; `storage` and `serviceUrl` are those of a role
 * that owns nothing, as which the service runs.
 */
export type TestDatabase = {
  url: string;
  serviceUrl: string;
  storage: Storage;
  sql: postgres.Sql;
  /** One more connection of the owner's, as of a hand in psql; whoever asks for it ends it. */
  hand: () => postgres.Sql;
};

/** A database for one test file, cloned from the migrated template (or another one). It is dropped when the test ends. */
export async function testDatabase(t: Test, template = TEMPLATE): Promise<TestDatabase> {
  const server = await serverUrl();
  const name = `test_${randomBytes(6).toString('hex')}`;
  const admin = postgres(server, { max: 1, onnotice: () => {} });
  // Files are copied in half of the time that their pages take through the WAL.
  await admin`CREATE DATABASE ${admin(name)} TEMPLATE ${admin(template)} STRATEGY file_copy`;
  const url = databaseUrl(server, name);
  const serviceUrl = urlAs(url, serviceLogin(server));
  const storage = openStorage(serviceUrl);
  const sql = postgres(url, { onnotice: () => {} });
  t.teardown(async () => {
    await storage.close();
    await sql.end({ timeout: 1 });
    await admin`DROP DATABASE IF EXISTS ${admin(name)} WITH (FORCE)`;
    await admin.end();
  });
  return { url, serviceUrl, storage, sql, hand: () => postgres(url, { max: 1, onnotice: () => {} }) };
}

/** A login of its own, in the groups named, which may connect as in production. It is dropped when the test ends, with all that it owns. */
export async function testLogin(t: Test, { url, sql }: Pick<TestDatabase, 'url' | 'sql'>, groups: string[] = []) {
  const login = { name: `test_${randomBytes(6).toString('hex')}`, password: 'x' };
  await makeLogin(sql, login, groups);
  t.teardown(async () => {
    await sql.unsafe(`DROP OWNED BY ${login.name} CASCADE; DROP ROLE ${login.name}`);
  });
  return { name: login.name, url: urlAs(url, login) };
}

/** A database whose schema belongs to a login of its own, which is no superuser: `owner`. `sql` and `url` are the superuser's. */
export async function ownedDatabase(t: Test) {
  const database = await testDatabase(t, 'template0');
  const owner = await testLogin(t, database);
  await database.sql.unsafe(`GRANT CREATE ON DATABASE ${new URL(database.url).pathname.slice(1)} TO ${owner.name}`);
  await migrateDatabase(owner.url);
  return { ...database, owner };
}
