import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import postgres from 'postgres';
import { startEmbedded } from '../../src/embedded/start.js';
import { migrateDatabase, SERVICE_ROLE } from '../../src/storage/migrate.js';
import { Unfit } from '../../src/unfit.js';
import { PREPARED } from './prepared.js';
import { databaseUrl, makeLogin, serviceLogin, startServer, TEMPLATE } from './server.js';

// Runs once, before all test files: the server, and a migrated database that every file clones.
const url = await startServer();
const sql = postgres(url, { max: 1, onnotice: () => {} });
await sql`DROP DATABASE IF EXISTS ${sql(TEMPLATE)} WITH (FORCE)`;
await sql`CREATE DATABASE ${sql(TEMPLATE)} TEMPLATE template0`;
await migrateDatabase(databaseUrl(url, TEMPLATE));
await makeLogin(sql, serviceLogin(url), [SERVICE_ROLE]);
await sql.end();

await prepare().catch((error: unknown) => {
  // There are no binaries for this platform: whichever test needs them will say so.
  if (!(error instanceof Unfit)) throw error;
});
process.exit(0);

/** Makes the data that services with a server of their own begin with. What is kept of the WAL for later would only be copied. */
async function prepare(): Promise<void> {
  const server = await startEmbedded({ dataDir: PREPARED, settings: { fsync: 'off', wal_recycle: 'off' } });
  const admin = postgres(databaseUrl(server.url, 'postgres'), { max: 1, onnotice: () => {} });
  await admin`DROP DATABASE clocktick WITH (FORCE)`;
  await admin`CREATE DATABASE clocktick`;
  await admin.end();
  await migrateDatabase(server.url);
  await server.stop();
  await rm(join(PREPARED, 'postgres/server.log'));
}
