import { writeFile } from 'node:fs/promises';
import { readSchema, readVersion, VERSION_FILE } from '../src/storage/schema-files.js';

/*
 * Raises the version of the schema when a text of it has changed since; with --check, says whether that is due. A program
 * refuses a database of a newer version than its own, so every text that a database may have been brought to needs one.
 */
const { version, migrations, definitions } = await readSchema();
const hashes = Object.fromEntries([
  ...migrations.map(({ hash }, n) => [`migration ${n}`, hash]),
  ...definitions.map(({ file, hash }) => [file, hash]),
]);
const isRaised = JSON.stringify(hashes) === JSON.stringify((await readVersion()).hashes);

if (isRaised) {
  process.stdout.write(`the schema is at version ${version}\n`);
} else if (process.argv.includes('--check')) {
  process.stderr.write('drizzle/ has changed since its version was raised: npm run schema\n');
  process.exitCode = 1;
} else {
  await writeFile(VERSION_FILE, `${JSON.stringify({ version: version + 1, hashes }, null, 2)}\n`);
  process.stdout.write(`the schema is now at version ${version + 1}\n`);
}
