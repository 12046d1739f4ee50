import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator';

const FOLDER = fileURLToPath(new URL('../../drizzle/', import.meta.url));

/** Who may do what, of all that the other files define. */
export const GRANTS = 'grants.sql';

/** The files of drizzle/sql, each after those that it needs; the grants last, when nothing is there that no file defines. */
const ORDER = [
  'tables.sql',
  'values.sql',
  'ranges.sql',
  'guards.sql',
  'clock.sql',
  'holders.sql',
  'activities.sql',
  'write.sql',
  'imports.sql',
  'reads.sql',
  GRANTS,
];

/** Where the version of the schema stands, with the texts that it is the version of. */
export const VERSION_FILE = `${FOLDER}sql/version.json`;

/** Where it stands what PostgreSQL says of each object of the schema. */
export const CATALOGUE_FILE = `${FOLDER}catalogue.json`;

/** A file of drizzle/sql: functions, triggers, views and what else Drizzle cannot say. */
type DefinitionFile = { file: string; text: string; hash: string };

/**
 * The schema that this program needs: the migrations that Drizzle generated, then the files of drizzle/sql. Its version tells
 * whether a database that differs is older or newer; `npm run schema` raises it.
 */
export type Schema = { version: number; migrations: MigrationMeta[]; definitions: DefinitionFile[] };

/** Reads the schema from drizzle/. @throws when a file of drizzle/sql has no place in the order, or is not there */
export async function readSchema(): Promise<Schema> {
  const files = (await readdir(`${FOLDER}sql`)).filter((file) => file.endsWith('.sql'));
  const stray = files.find((file) => !ORDER.includes(file));
  if (stray) throw new Error(`drizzle/sql/${stray} has no place in ORDER of src/storage/schema-files.ts`);
  const definitions = ORDER.map(async (file) => {
    const text = await readFile(`${FOLDER}sql/${file}`, 'utf8');
    return { file, text, hash: createHash('sha256').update(text).digest('hex') };
  });
  return {
    version: (await readVersion()).version,
    migrations: readMigrationFiles({ migrationsFolder: FOLDER }),
    definitions: await Promise.all(definitions),
  };
}

/** The version that was given last, and the texts that it was given to. */
export async function readVersion(): Promise<{ version: number; hashes: Record<string, string> }> {
  return JSON.parse(await readFile(VERSION_FILE, 'utf8'));
}
