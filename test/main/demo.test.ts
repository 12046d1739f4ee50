import t from 'tap';
import { testDatabase } from '../helper/database.js';
import { MAIN, start } from '../helper/program.js';

const run = (t: Parameters<typeof start>[0], env: Record<string, string>, ...args: string[]) =>
  start(t, { LOG_LEVEL: 'silent', ...env }, [process.execPath, MAIN, ...args]);

t.test('a start with a sample says where to look at it; a second one finds it there', async (t) => {
  const { url, sql } = await testDatabase(t, 'template0');
  const ticks = async () => (await sql`SELECT count(*)::int AS ticks FROM clocktick.tick`)[0]?.ticks;
  const env = { DATABASE_URL: url, PUBLIC_URL: 'https://example.org/clocktick' };
  const first = await run(t, env, '--demo');
  t.match(first.output(), /^ {2}look {3}https:\/\/example\.org\/clocktick\/ui\/\?type=country$/m);
  const imported = await ticks();
  t.ok(imported > 300);
  const second = await run(t, { DATABASE_URL: url }, '--demo');
  t.match(second.output(), `  look   ${second.url}/ui/?type=country\n`);
  t.equal(await ticks(), imported);
  const without = await run(t, { DATABASE_URL: url });
  t.match(without.output(), `  look   ${without.url}/ui/\n`);
});

t.test('a start that cannot add it, or does not know what it is asked, ends with a sentence', async (t) => {
  const { url, sql } = await testDatabase(t, 'template0');
  const owned = await run(t, { DATABASE_URL: url });
  await fetch(`${owned.url}/entities`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"type": "customer", "properties": {}}',
  });
  const refused = await run(t, { DATABASE_URL: url }, '--demo');
  t.equal(await refused.ended, 1);
  t.match(refused.errors(), /^clocktick cannot start: --demo adds invented countries, .*\.\n$/);
  t.equal((await sql`SELECT count(*)::int AS ticks FROM clocktick.tick`)[0]?.ticks, 1);

  const unknown = await run(t, { DATABASE_URL: url }, '--dmeo');
  t.equal(await unknown.ended, 1);
  t.match(unknown.errors(), /^clocktick cannot start: the service takes no argument --dmeo: there is only --demo/);
});
