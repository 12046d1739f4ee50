import t from 'tap';
import { SERVICE_ROLE } from '../../src/storage/migrate.js';
import { testDatabase, testLogin } from '../helper/database.js';
import { start } from '../helper/program.js';

const quiet = (url: string) => ({ DATABASE_URL: url, LOG_LEVEL: 'silent' });
const GIVES_UP = /the role of DATABASE_URL owns the schema: /;

t.test('a role that owns nothing serves what an owner has migrated', async (t) => {
  const database = await testDatabase(t);
  const login = await testLogin(t, database, [SERVICE_ROLE]);
  const service = await start(t, quiet(login.url));
  t.match(service.output(), /^clocktick: ready: /m);
  t.notMatch(service.output(), GIVES_UP);
  t.equal((await fetch(`${service.url}/health/ready`)).status, 200);
  const send = (method: string, path: string, body: object) =>
    fetch(`${service.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const activity = { actor: 'me' };
  t.equal((await send('POST', '/activities', activity)).status, 201);
  const properties = { a: 1 };
  t.equal((await send('PUT', '/entities/friend:rachel', { type: 'friend', properties, activity })).status, 201);
  t.equal((await send('PATCH', '/entities/friend:rachel?dryRun=true', { properties: { a: 2 } })).status, 200);
  t.equal((await fetch(`${service.url}/entities?type=friend`)).status, 200);
  service.process.kill('SIGTERM');
  t.equal(await service.ended, 0);

  const one = await start(t, quiet(database.url));
  t.match(one.output(), GIVES_UP, 'an owner serves as well, and is told what that gives up');
});

t.test('a role that owns nothing and finds no database to serve says what to run, and runs nothing', async (t) => {
  const migrated = await testDatabase(t);
  const empty = await testDatabase(t, 'template0');
  const member = (database: typeof migrated) => testLogin(t, database, [SERVICE_ROLE]);
  const older = await testDatabase(t);
  await older.sql`UPDATE clocktick.definition SET hash = 'older', version = 1`;
  const newer = await testDatabase(t);
  await newer.sql`UPDATE clocktick.definition SET version = version + 1`;
  const cases: [login: { url: string }, says: RegExp][] = [
    [
      await member(empty),
      /no schema clocktick in this database, and the role test_\w+ may not make it: run `clocktick/,
    ],
    [await member(older), /has version 1, and this clocktick needs version \d+: run `clocktick migrate` as the owner/],
    [await member(newer), /A newer clocktick has been at this database/],
    [
      await testLogin(t, migrated),
      /may not use the schema clocktick: run .*, then `GRANT clocktick_service TO "test_\w+"`/,
    ],
  ];
  for (const [login, says] of cases) {
    const service = await start(t, quiet(login.url));
    t.equal(await service.ended, 1);
    t.match(service.output(), says);
    t.notMatch(service.output(), /\n {4}at /, 'no stack');
  }
  t.same(await empty.sql`SELECT to_regnamespace('clocktick') AS made`, [{ made: null }]);
  t.same(await older.sql`SELECT DISTINCT version FROM clocktick.definition`, [{ version: 1 }]);
});
