import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { is } from 'drizzle-orm';
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core';
import t from 'tap';
import { migrateDatabase } from '../../src/storage/migrate.js';
import * as schema from '../../src/storage/schema.js';
import { dumpCatalogue } from '../helper/catalogue.js';
import { testDatabase } from '../helper/database.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CATALOGUE = join(ROOT, 'test/fixtures/catalogue.sql');

t.test('the catalogue is the reviewed one', async (t) => {
  const { sql } = await testDatabase(t);
  const dumped = await dumpCatalogue(sql);
  if (process.env.UPDATE_CATALOGUE) await writeFile(CATALOGUE, dumped);
  t.equal(
    dumped,
    await readFile(CATALOGUE, 'utf8'),
    'after a change of the schema: UPDATE_CATALOGUE=1 npm test, and review',
  );
});

t.test('the tables of Drizzle are the tables of the database', async (t) => {
  const { sql } = await testDatabase(t);
  const tables = Object.values(schema).flatMap((value) => (is(value, PgTable) ? [getTableConfig(value)] : []));
  t.equal(tables.length, 6);
  for (const { name, columns } of tables) {
    const rows = await sql<{ name: string; type: string; required: boolean }[]>`
      SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required
        FROM pg_attribute a WHERE a.attrelid = ${`clocktick.${name}`}::regclass AND a.attnum > 0 ORDER BY a.attnum`;
    t.same(
      columns.map((column) => ({
        name: column.name,
        type: column.getSQLType().replace(' COLLATE "C"', '').replace('timestamp (6)', 'timestamp(6)'),
        required: column.notNull,
      })),
      [...rows],
      name,
    );
  }
});

t.test('no migration is missing for the tables of Drizzle', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'clocktick-drizzle-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await cp(join(ROOT, 'drizzle'), folder, { recursive: true });
  const before = await readdir(folder);
  const kit = join(ROOT, 'node_modules/drizzle-kit/bin.cjs');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    // drizzle-kit puts ./ before the folder, and ends with success when it then finds nothing there.
    [kit, 'generate', '--dialect=postgresql', '--schema=src/storage/schema.ts', `--out=${relative(ROOT, folder)}`],
    { cwd: ROOT, env: { ...process.env, NODE_OPTIONS: '' } },
  );
  t.match(stdout, 'No schema changes');
  t.same(await readdir(folder), before);
});

t.test('many instances migrate one empty database at once', async (t) => {
  const { url, sql } = await testDatabase(t, 'template0');
  await Promise.all(Array.from({ length: 6 }, () => migrateDatabase(url)));
  t.equal(await dumpCatalogue(sql), await readFile(CATALOGUE, 'utf8'));
  await migrateDatabase(url);
  const [migrations] = await sql`SELECT count(*)::int AS n FROM clocktick.migration`;
  const files = (await readdir(join(ROOT, 'drizzle'))).filter((file) => file.endsWith('.sql'));
  t.same(migrations, { n: files.length });
});
