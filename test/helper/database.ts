import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import type { Test } from 'tap';
import { openStorage } from '../../src/storage/open.js';
import type { Storage } from '../../src/storage/storage.js';
import { databaseUrl, serverUrl, serviceLogin, TEMPLATE, urlAs } from './server.js';

/** Why a test that prepares transactions cannot run on this server; false if it can. By default PostgreSQL allows none. */
export async function cannotPrepare(sql: postgres.Sql): Promise<string | false> {
  const [row] = await sql<{ most: number }[]>`SELECT current_setting('max_prepared_transactions')::int AS most`;
  return row?.most === 0 && 'max_prepared_transactions is 0 on this server';
}

/**
 * A database, as two roles see it. `sql` and `url` are the owner's, to prepare and to attack; `storage` and `serviceUrl` are those of a role
 * that owns nothing, as which the service runs.
 */
export type TestDatabase = { url: string; serviceUrl: string; storage: Storage; sql: postgres.Sql };

/** A database for one test file, cloned from the migrated template (or another one). It is dropped when the test ends. */
export async function testDatabase(t: Test, template = TEMPLATE): Promise<TestDatabase> {
  const server = await serverUrl();
  const name = `test_${randomBytes(6).toString('hex')}`;
  const admin = postgres(server, { max: 1, onnotice: () => {} });
  await admin`CREATE DATABASE ${admin(name)} TEMPLATE ${admin(template)}`;
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
  return { url, serviceUrl, storage, sql };
}
