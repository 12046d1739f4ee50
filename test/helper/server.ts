import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { startEmbedded } from '../../src/embedded/start.js';
import { memory } from './memory.js';

/*
 * One PostgreSQL server for a whole test run: that of TEST_DATABASE_URL, or the embedded one.
 * Nothing in it needs to survive a power failure, so it does not sync.
 */
const FOLDER = fileURLToPath(new URL('../../node_modules/.cache/clocktick-test/', import.meta.url));
const URL_FILE = `${FOLDER}url`;

const IN_MEMORY = `/dev/shm/clocktick-test-${createHash('sha256').update(FOLDER).digest('hex').slice(0, 12)}`;
// Every process of a run must find them, however much room they leave.
const DATA = existsSync(IN_MEMORY) || memory !== undefined ? IN_MEMORY : FOLDER;

const SETTINGS = {
  // More than that only costs: each backend maps each page anew, and there are thousands of backends.
  shared_buffers: '128MB',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '300',
  max_prepared_transactions: '10',
  // These passwords protect nothing, and each connection would pay for thousands of rounds.
  scram_iterations: '1',
  // It lies in memory as well.
  max_wal_size: '512MB',
};

export const TEMPLATE = 'clocktick_template';

/** Starts the server, or takes over one that an interrupted run has left. The server goes on when this process ends. */
export async function startServer(): Promise<string> {
  // Packages that were installed anew may be of another PostgreSQL.
  if (!existsSync(URL_FILE)) await rm(IN_MEMORY, { recursive: true, force: true });
  await mkdir(FOLDER, { recursive: true });
  const url = process.env.TEST_DATABASE_URL ?? (await startEmbedded({ dataDir: DATA, settings: SETTINGS })).url;
  await writeFile(URL_FILE, url);
  return url;
}

export async function stopServer(): Promise<void> {
  if (process.env.TEST_DATABASE_URL) return;
  const server = await startEmbedded({ dataDir: DATA, settings: SETTINGS });
  await server.stop();
  if (DATA === IN_MEMORY) await rm(IN_MEMORY, { recursive: true, force: true });
}

export const serverUrl = (): Promise<string> => readFile(URL_FILE, 'utf8');

/** The URL of another database of the same server. */
export function databaseUrl(url: string, database: string): string {
  const other = new URL(url);
  other.pathname = `/${database}`;
  return other.href;
}

/** A login, of which the server knows nothing but its groups. */
export type Login = { name: string; password: string };

/**
 * The login that the storages of all tests use. Its password follows from the URL of the server, so that runs on one server agree on it.
 */
export const serviceLogin = (server: string): Login => ({
  name: 'clocktick_test',
  password: createHash('sha256').update(server).digest('base64url'),
});

/** Makes a login of the server, a member of these groups. */
export async function makeLogin(sql: postgres.Sql, { name, password }: Login, groups: string[] = []): Promise<void> {
  await sql`CREATE ROLE ${sql(name)}`.catch((error: unknown) => {
    // Of an earlier run, or of another one at this moment.
    if (!(error instanceof postgres.PostgresError && ['42710', '23505'].includes(error.code))) throw error;
  });
  await sql.unsafe(`ALTER ROLE ${name} LOGIN PASSWORD '${password}'`);
  for (const group of groups) await sql`GRANT ${sql(group)} TO ${sql(name)}`;
}

/** A URL as another login. */
export function urlAs(url: string, { name, password }: Login): string {
  const other = new URL(url);
  other.username = name;
  other.password = password;
  return other.href;
}
