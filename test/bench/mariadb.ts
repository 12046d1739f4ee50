import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Connection, type ConnectionConfig, createConnection } from 'mariadb';
import postgres from 'postgres';

/*
 * MariaDB's system versioning, with the same data: what a user would pick who wants the database to remember. It runs where MariaDB is
 * installed (Debian: mariadb-server), from 10.11 on, with the settings that it comes with; its cache is as large as PostgreSQL's here.
 */
const SERVER = ['/usr/sbin/mariadbd', '/usr/bin/mariadbd', '/usr/local/bin/mariadbd'].find((path) => existsSync(path));

export const DATABASE = 'bench';
/** How many rows are written in one statement. */
const TOGETHER = 2_000;
const PATIENCE_MS = 30_000;

/** The same questions have the best index each, as rows.ts has. Of a table with system versioning each index ends in `row_end`. */
const TABLES = `
  CREATE TABLE thing (
    id uuid PRIMARY KEY, type varchar(64) NOT NULL, \`key\` varchar(64), tick int NOT NULL, properties json NOT NULL,
    place varchar(64) AS (json_value(properties, '$.place')) PERSISTENT,
    row_start timestamp(6) GENERATED ALWAYS AS ROW START, row_end timestamp(6) GENERATED ALWAYS AS ROW END,
    PERIOD FOR SYSTEM_TIME (row_start, row_end),
    KEY (type, \`key\`, id), KEY by_place (type, place)
  ) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin WITH SYSTEM VERSIONING`;

/** How to connect to a server of this bench. */
export const connectionTo = (socketPath: string): ConnectionConfig => ({
  socketPath,
  user: 'root',
  timezone: 'Z',
  initSql: "SET time_zone = '+00:00'",
});

/**
 * Does work beside a MariaDB that holds what the tables of whole rows hold (rows.ts), at the same instants.
 * @param databaseUrl where these tables are; they are copied unless `dataDir` has them already
 * @param work is told the server's socket; null where MariaDB is not installed
 */
export async function withMariaDb<Result>(
  { dataDir, databaseUrl }: { dataDir: string; databaseUrl: string },
  work: (socket: string | null) => Promise<Result>,
): Promise<Result> {
  if (!SERVER) return work(null);
  const whole = join(dataDir, 'whole');
  if (!existsSync(whole)) await rm(dataDir, { recursive: true, force: true });
  const folder = await mkdtemp(join(tmpdir(), 'mariadb-'));
  const socket = join(folder, 'socket');
  const own = ['--no-defaults', `--datadir=${dataDir}`, `--user=${userInfo().username}`];
  if (!existsSync(dataDir)) {
    await promisify(execFile)('mariadb-install-db', [
      ...own,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
    ]);
  }
  const server = spawn(SERVER, [...own, `--socket=${socket}`, '--skip-networking', `--pid-file=${folder}/pid`], {
    stdio: 'ignore',
  });
  const ended = once(server, 'exit');
  try {
    const connection = await connected(socket);
    if (!existsSync(whole)) await copy(databaseUrl, connection);
    await connection.end();
    await writeFile(whole, '');
    return await work(socket);
  } finally {
    server.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
}

/** Connects as soon as the server takes connections. */
async function connected(socketPath: string): Promise<Connection> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await createConnection(connectionTo(socketPath));
    } catch (error) {
      if (Date.now() > until) throw error;
      await sleep(100);
    }
  }
}

/** Writes all versions, oldest first, with the instants that they have in PostgreSQL. */
async function copy(databaseUrl: string, connection: Connection): Promise<void> {
  await connection.query(`CREATE DATABASE ${DATABASE}`);
  await connection.query(`USE ${DATABASE}`);
  await connection.query(TABLES);
  // Else a version cannot be written with instants of its own.
  await connection.query('SET system_versioning_insert_history = 1');
  const sql = postgres(databaseUrl, { max: 1 });
  let copied = 0;
  const versions = sql<Record<string, string | number>[]>`
    SELECT id, type, key, tick, properties::text AS properties,
           to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') AS row_start,
           to_char(least(until, '2038-01-19 03:14:07.999999Z') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') AS row_end
      FROM (SELECT *, 'infinity' AS until FROM rows.thing UNION ALL SELECT * FROM rows.past) version
     ORDER BY at`.cursor(TOGETHER);
  for await (const rows of versions) {
    await connection.batch(
      'INSERT INTO thing (id, type, `key`, tick, properties, row_start, row_end) VALUES (?, ?, ?, ?, ?, ?, ?)',
      rows.map(({ id, type, key, tick, properties, row_start, row_end }) => [
        id,
        type,
        key,
        tick,
        properties,
        row_start,
        row_end,
      ]),
    );
    copied += rows.length;
  }
  await sql.end();
  await connection.query('ANALYZE TABLE thing');
  process.stderr.write(`MariaDB: ${copied.toLocaleString('en')} versions copied\n`);
}
