import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { buildApp } from '../../src/app.js';
import { migrateDatabase } from '../../src/storage/migrate.js';
import { openStorage } from '../../src/storage/open.js';

/*
 * Writes the dump of a release, from which test/storage/schema.test.ts upgrades:
 *
 *   npx tsx test/helper/release.ts postgres://…/empty > test/fixtures/releases/N.sql
 *
 * The database must be empty. Take the oldest PostgreSQL that clocktick runs on (15), because newer ones can read its dumps. Run
 * this when a release is made. N is the version in drizzle/sql/version.json. Never change a dump again.
 */
const [url] = process.argv.slice(2);
if (!url) throw new Error('which database?');

await migrateDatabase(url);
const storage = openStorage(url);
const app = await buildApp({ storage, rules: { requireCondition: false }, logger: false });
const call = async (method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: object) => {
  const headers = body ? { 'content-type': 'application/json' } : {};
  const answer = await app.inject({ method, url: path, headers, ...(body ? { payload: JSON.stringify(body) } : {}) });
  if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.body}`);
};
const rachel = {
  name: 'Rachel',
  location: 'New York',
  tags: ['vip', { since: 1994 }, null],
  phones: { home: '555', work: null },
  score: 10.5,
};
await call('POST', '/entities', { type: 'friend', key: 'rachel', properties: rachel });
await call('PATCH', '/entities/friend:rachel', {
  properties: { location: 'San Francisco', tags: ['vip', 'moved'], phones: { work: '556' } },
  activity: { actor: 'ross', reason: 'she moved', metadata: { ticket: 7 } },
});
await call('PATCH', '/entities/friend:rachel', { properties: { score: null, location: 'Oakland' } });
await call('POST', '/entities', { type: 'friend', key: 'joey', properties: { name: 'Joey', tags: ['actor'] } });
await call('DELETE', '/entities/friend:joey');
await call('POST', '/entities', { type: 'place', key: 'café "central"', properties: {} });
await call('POST', '/entities/friend:joey/restore', {});
await call('DELETE', '/entities/friend:joey');
await app.close();
await storage.close();

const { stdout } = await promisify(execFile)('pg_dump', [
  ...['--inserts', '--no-owner', '--no-privileges', '--no-comments', `--dbname=${url}`],
]);
// pg_dump writes commands of psql, which no other client knows.
const statements = stdout.replaceAll(/^(--|\\).*$/gm, '').replaceAll(/\n{3,}/g, '\n\n');
process.stdout.write(`${statements.trim()}\n`);
process.exit(0);
