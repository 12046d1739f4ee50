import type postgres from 'postgres';
import { type Catalogued, readCatalogue } from '../../src/storage/catalogue.js';

/** What PostgreSQL says of each object of the schema. */
export const catalogueOf = (sql: postgres.Sql): Promise<Catalogued[]> =>
  sql.begin(async (tx) => {
    await tx`SET LOCAL search_path = pg_catalog, pg_temp`;
    return (await readCatalogue(tx)).map(({ object, text }) => ({ object, text }));
  });

/** The same as text that only changes when the schema does: one line or block for each object. */
export async function dumpCatalogue(sql: postgres.Sql): Promise<string> {
  const objects = await catalogueOf(sql);
  return `${objects.map(({ object, text }) => `${object}: ${text.trimEnd()}`).join('\n')}\n`;
}
