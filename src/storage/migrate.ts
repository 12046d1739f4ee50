import { fileURLToPath } from 'node:url';
import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
import { connectOnce } from './engine/transactions.js';

const MIGRATIONS = fileURLToPath(new URL('../../drizzle', import.meta.url));
/** Any fixed number will do, as long as every instance takes the same. */
const MIGRATION_LOCK = 2_016_081_900;

/**
 * Brings the database up to date. Many instances may start at once: an advisory lock lets one migrate while the others
 * wait (of four unguarded `migrate()` at once three fail). One connection and no second one, because the lock belongs to its
 * session; a client of its own, because Drizzle replaces its client's parsers and serializers.
 */
export async function migrateDatabase(url: string): Promise<void> {
  const connection = connectOnce(url, { onnotice: () => {}, connect_timeout: 10 });
  try {
    await connection.during(async (client) => {
      await client`SELECT pg_advisory_lock(${MIGRATION_LOCK}::int8)`;
      await migrate(drizzle(client), {
        migrationsFolder: MIGRATIONS,
        migrationsSchema: 'clocktick',
        migrationsTable: 'migration',
      });
    });
  } finally {
    await connection.end();
  }
}
