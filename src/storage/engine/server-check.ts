import postgres from 'postgres';
import { Unfit } from '../../unfit.js';

/** `server_version_num` of PostgreSQL 15.0. */
const OLDEST_SERVER = 150_000;

/** How long to wait for what a server says about itself. What is no PostgreSQL may take a connection, and answer something else. */
const PATIENCE_S = 10;

/**
 * Checks whether the server can serve.
 * @throws Unfit when it does not answer as PostgreSQL does, when it is older than PostgreSQL 15, or when the encoding of the database
 * is not UTF-8
 */
export async function checkServer(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {}, connect_timeout: PATIENCE_S, fetch_types: false });
  let patience: NodeJS.Timeout | undefined;
  const givenUp = new Promise<never>((_, reject) => {
    const say = `What is at the address of DATABASE_URL did not answer as PostgreSQL does within ${PATIENCE_S + 1} seconds.`;
    patience = setTimeout(() => reject(new Unfit(say)), (PATIENCE_S + 1) * 1000);
  });
  const ask = sql<{ version: number; name: string; encoding: string }[]>`
    SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS name,
           current_setting('server_encoding') AS encoding`;
  try {
    const [server] = await Promise.race([ask, givenUp]);
    if (!server) throw new Unfit('The server gave no answer about itself.');
    if (server.version < OLDEST_SERVER) {
      throw new Unfit(`PostgreSQL ${server.name} is too old: clocktick needs PostgreSQL 15 or newer.`);
    }
    if (server.encoding !== 'UTF8') {
      throw new Unfit(`The database's encoding is ${server.encoding}: clocktick needs UTF8.`);
    }
  } finally {
    clearTimeout(patience);
    await sql.end({ timeout: 1 });
  }
}
