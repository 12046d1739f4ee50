import postgres from 'postgres';
import { SEARCH_PATH } from './engine/search-path.js';

/**
 * Takes back a promise that lies ahead of the clock of the database, as the owner of the schema (drizzle/sql/clock.sql).
 * @returns what was promised (null: nothing), and what that was lowered to (null: there was no need)
 */
export async function takePromiseBack(url: string): Promise<{ promised: string | null; loweredTo: string | null }> {
  const sql = postgres(url, {
    max: 1,
    onnotice: () => {},
    fetch_types: false,
    connection: { ...SEARCH_PATH, TimeZone: 'UTC' },
  });
  try {
    const [taken] = await sql<{ promised: string | null; loweredTo: string | null }[]>`
      SELECT t.promised::text, t.lowered_to::text AS "loweredTo" FROM clocktick.take_promise_back() t`;
    if (!taken) throw new Error('the database says nothing of the promise');
    return taken;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
