import type postgres from 'postgres';

/**
 * Every row of every table of the service, by the name of the table: to see that something has left no trace. Without the promise, which grows
 * with the clock.
 */
export async function everything(sql: postgres.Sql): Promise<Record<string, string>> {
  const tables = await sql<{ name: string }[]>`
    SELECT c.relname AS name FROM pg_class c
     WHERE c.relnamespace = 'clocktick'::regnamespace AND c.relkind = 'r' AND c.relname <> 'promise'`;
  const rows = tables.map(async ({ name }) => {
    const [row] = await sql.unsafe<{ all: string }[]>(
      `SELECT coalesce(string_agg(x::text, E'\\n' ORDER BY x::text), '') AS all FROM clocktick.${name} x`,
    );
    return [name, row?.all ?? ''] as const;
  });
  return Object.fromEntries(await Promise.all(rows));
}
