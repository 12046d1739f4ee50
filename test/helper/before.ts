import postgres from 'postgres';
import { migrateDatabase, SERVICE_ROLE } from '../../src/storage/migrate.js';
import { databaseUrl, makeLogin, serviceLogin, startServer, TEMPLATE } from './server.js';

// Runs once, before all test files: the server, and a migrated database that every file clones.
const url = await startServer();
const sql = postgres(url, { max: 1, onnotice: () => {} });
await sql`DROP DATABASE IF EXISTS ${sql(TEMPLATE)} WITH (FORCE)`;
await sql`CREATE DATABASE ${sql(TEMPLATE)} TEMPLATE template0`;
await migrateDatabase(databaseUrl(url, TEMPLATE));
await makeLogin(sql, serviceLogin(url), [SERVICE_ROLE]);
await sql.end();
process.exit(0);
