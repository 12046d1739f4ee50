import { readFile, writeFile } from 'node:fs/promises';
import { buildApp } from './app.js';
import { openStorage } from './storage/open.js';

/*
 * Writes openapi.yaml from the schemas of the routes; with --check, says whether it is up to date. Nothing connects to the
 * database that the app is built over.
 */
const FILE = new URL('../openapi.yaml', import.meta.url);

const storage = openStorage('postgres://nowhere');
const app = await buildApp({ storage, rules: { requireCondition: false }, logger: false });
await app.ready();
const document = app.swagger({ yaml: true });
await app.close();
await storage.close();

if (!process.argv.includes('--check')) {
  await writeFile(FILE, document);
} else if ((await readFile(FILE, 'utf8').catch(() => '')) !== document) {
  process.stderr.write('openapi.yaml is not what the routes say: npm run openapi\n');
  process.exitCode = 1;
}
