import postgres from 'postgres';
import { migrateDatabase } from '../../src/storage/migrate.js';
import { databaseUrl, startServer, TEMPLATE } from './server.js';

// Runs once, before all test files: the server, and a migrated database that every file clones.
const url = await startServer();
const sql = postgres(url, { max: 1, onnotice: () => {} });
await sql`DROP DATABASE IF EXISTS ${sql(TEMPLATE)} WITH (FORCE)`;
await sql`CREATE DATABASE ${sql(TEMPLATE)} TEMPLATE template0`;
await sql.end();
await migrateDatabase(databaseUrl(url, TEMPLATE));
process.exit(0);
