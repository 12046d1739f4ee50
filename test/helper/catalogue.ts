import type postgres from 'postgres';
import { readCatalogue } from '../../src/storage/catalogue.js';

/** Everything the migrations made, as text that only changes when the schema does: one line or block for each object. */
export async function dumpCatalogue(sql: postgres.Sql): Promise<string> {
  const objects = await sql.begin(async (tx) => {
    await tx`SET LOCAL search_path = pg_catalog, pg_temp`;
    return readCatalogue(tx);
  });
  return `${objects.map(({ object, text }) => `${object}: ${text.trimEnd()}`).join('\n')}\n`;
}
