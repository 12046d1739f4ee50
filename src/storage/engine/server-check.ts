import { Unfit } from '../../unfit.js';
import type { Sql } from './pools.js';

const OLDEST_SERVER = 150_000;

/** @throws Unfit when the server is older than PostgreSQL 15 or the database does not keep UTF-8 */
export async function checkServer(sql: Sql): Promise<void> {
  const [server] = await sql<{ version: number; name: string; encoding: string }[]>`
    SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS name,
           current_setting('server_encoding') AS encoding`;
  if (!server) throw new Unfit('The server gave no answer about itself.');
  if (server.version < OLDEST_SERVER) {
    throw new Unfit(`PostgreSQL ${server.name} is too old: clocktick needs PostgreSQL 15 or newer.`);
  }
  if (server.encoding !== 'UTF8') {
    throw new Unfit(`The database's encoding is ${server.encoding}: clocktick needs UTF8.`);
  }
}
