import { readFile, writeFile } from 'node:fs/promises';
import { buildApp } from './app.js';
import { documentText } from './http/routes/documents.js';
import { openStorage } from './storage/open.js';

/*
 * Writes openapi.yaml from the schemas of the routes. With --check it only says whether the file is up to date. The app is built
 * over a database that does not exist; nothing connects to it.
 */
const FILE = new URL('../openapi.yaml', import.meta.url);

const storage = openStorage('postgres://nowhere');
const app = await buildApp({ storage, rules: { requireCondition: false }, logger: false });
await app.ready();
const document = documentText(app);
await app.close();
await storage.close();

if (!process.argv.includes('--check')) {
  await writeFile(FILE, document);
} else if ((await readFile(FILE, 'utf8').catch(() => '')) !== document) {
  process.stderr.write('openapi.yaml is not what the routes say: npm run openapi\n');
  process.exitCode = 1;
}
