import postgres from 'postgres';
import { Unfit } from '../../unfit.js';
import { SEARCH_PATH } from './search-path.js';

/** `server_version_num` of PostgreSQL 15.0. */
const OLDEST_SERVER = 150_000;

/** How long to wait for what a server says about itself. What is no PostgreSQL may take a connection, and answer something else. */
const PATIENCE_S = 10;

/** Settings of which it is worth saying something: when, and what. `value` is as the server writes it. */
const ADVICE: { name: string; isDue: (value: string) => boolean; advice: string }[] = [
  { name: 'fsync', isDue: (value) => value === 'off', advice: 'a power cut can destroy the database. Switch it on' },
  {
    name: 'full_page_writes',
    isDue: (value) => value === 'off',
    advice: 'a power cut can destroy the database. Switch it on',
  },
  {
    name: 'synchronous_commit',
    isDue: (value) => value === 'off',
    advice: 'a crash can take back what callers were told is written. Switch it on',
  },
  { name: 'autovacuum', isDue: (value) => value === 'off', advice: 'plans and disk space go bad. Switch it on' },
  {
    name: 'shared_buffers',
    isDue: (value) => value === '128MB',
    advice: 'that is what PostgreSQL comes with. A quarter of the memory there keeps more of the past at hand',
  },
  {
    name: 'max_wal_size',
    isDue: (value) => value === '1GB',
    advice:
      'that is what PostgreSQL comes with. With 4GB there are fewer checkpoints, after each of which pages are written whole',
  },
];

/** What to say of a server's settings, a sentence each. */
export const adviceOn = (settings: Readonly<Record<string, string>>): string[] =>
  ADVICE.flatMap(({ name, isDue, advice }) => {
    const value = settings[name];
    return value !== undefined && isDue(value) ? [`${name} is ${value}: ${advice}.`] : [];
  });

/**
 * Checks whether the server can serve. Gives what is to be said of its settings.
 * @throws Unfit when it does not answer as PostgreSQL does, when it is older than PostgreSQL 15, or when the encoding of the database
 * is not UTF-8
 */
export async function checkServer(url: string): Promise<string[]> {
  const sql = postgres(url, {
    max: 1,
    onnotice: () => {},
    connect_timeout: PATIENCE_S,
    fetch_types: false,
    connection: SEARCH_PATH,
  });
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
    const settings = await sql<{ name: string; value: string }[]>`
      SELECT name, current_setting(name) AS value FROM pg_settings WHERE name IN ${sql(ADVICE.map(({ name }) => name))}`;
    return adviceOn(Object.fromEntries(settings.map(({ name, value }) => [name, value])));
  } finally {
    clearTimeout(patience);
    await sql.end({ timeout: 1 });
  }
}
