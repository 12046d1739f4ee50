import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import postgres from 'postgres';
import t from 'tap';
import { startEmbedded } from '../../src/embedded/start.js';
import { SERVICE_ROLE } from '../../src/storage/migrate.js';
import { openStorage } from '../../src/storage/open.js';
import { ownedDatabase, testDatabase, testLogin } from '../helper/database.js';
import { fast, folder } from '../helper/embedded.js';
import { withoutTriggers } from '../helper/in-bulk.js';
import { ROOT } from '../helper/program.js';
import { makeLogin, urlAs } from '../helper/server.js';
import { change, make } from '../helper/write.js';

/** Runs the command as its users do. */
async function clocktick(env: Record<string, string>, ...args: string[]) {
  const { DATABASE_URL: _, ...clean } = process.env;
  const options = { cwd: ROOT, env: { ...clean, NODE_OPTIONS: '', ...env } };
  const command = promisify(execFile)(process.execPath, ['dist/cli/clocktick.js', ...args], options);
  const { code, stdout, stderr } = await command.then(
    (done) => ({ code: 0, ...done }),
    (failed) => failed,
  );
  return { code, output: stdout, errors: stderr };
}

t.test('what is asked is told; what is not understood ends with a sentence', async (t) => {
  const cases: [args: string[], code: number, output: RegExp, errors: RegExp][] = [
    [['--help'], 0, /^Usage: clocktick <command>[\s\S]* {2}migrate [\s\S]* {2}verify [\s\S]*Exit codes: 0 /, /^$/],
    [['help'], 0, /^Usage: clocktick <command>/, /^$/],
    [[], 2, /^$/, /^Usage: clocktick <command>/],
    [['verify', '--help'], 0, /^Usage: clocktick verify [\s\S]*open-values[\s\S]*Exit codes: 0 clean/, /^$/],
    [['migrate', '-h'], 0, /^Usage: clocktick migrate [\s\S]*clocktick_service/, /^$/],
    [['mend'], 2, /^$/, /^clocktick: there is no command mend\. `clocktick --help` lists them\.\n$/],
    [['constructor'], 2, /^$/, /^clocktick: there is no command constructor\./],
    [['verify', 'all'], 2, /^$/, /^clocktick: verify takes no argument all\.\n$/],
    [['verify', '--all'], 2, /^$/, /^clocktick: Unknown option '--all'/],
    [['verify'], 2, /^$/, /^clocktick: set DATABASE_URL, or name the database by --database-url\.\n$/],
    [['verify', '--database-url', 'hunter2'], 2, /^$/, /^clocktick: --database-url must be a URL such as /],
    [['migrate', '--database-url', 'postgres://me:hunter2@127.0.0.1:1/x'], 2, /^$/, /does not answer \(ECONNREFUSED\)/],
  ];
  await Promise.all(
    cases.map(async ([args, code, output, errors]) => {
      const run = await clocktick({}, ...args);
      t.match(run, { code, output, errors }, args.join(' '));
      t.notMatch(run.output + run.errors, /hunter2|\n {4}at /, 'no secret, no stack');
    }),
  );
});

t.test('migrate makes a database, brings it up to date, and says of whom it is', async (t) => {
  const { url, sql } = await testDatabase(t, 'template0');
  const name = new URL(url).pathname.slice(1);
  for (let times = 0; times < 2; times++) {
    const run = await clocktick({ DATABASE_URL: url }, 'migrate');
    t.same(run, { code: 0, output: `clocktick: the database ${name} is up to date\n`, errors: '' });
  }
  t.equal((await sql`SELECT FROM clocktick.entity`).length, 0);
  await sql`UPDATE clocktick.definition SET version = version + 1`;
  const newer = await clocktick({}, 'migrate', '--database-url', url);
  t.match(newer, { code: 2, output: '', errors: /^clocktick: A newer clocktick has been at this database: / });
});

t.test(
  'verify of what is sound is clean, of what was forged names it, and without the right to look fails',
  async (t) => {
    const database = await testDatabase(t);
    const { url, serviceUrl, sql, storage } = database;
    const { id } = (await make(storage, { a: 1 })).row;
    const clean = await clocktick({ DATABASE_URL: serviceUrl }, 'verify');
    t.match(clean, { code: 0, output: /^\d+ checks, clean\n$/, errors: '' });

    await withoutTriggers(sql, ['tick'], async () => {
      await sql`UPDATE clocktick.tick SET op = 'created', recorded_at = '2999-01-01'`;
    });
    const forged = await clocktick({ DATABASE_URL: serviceUrl }, 'verify');
    t.equal(forged.code, 1);
    t.match(forged.output, `nothing-of-the-future: ${id}: tick 1 is recorded at 2999-01-01`);
    t.match(forged.output, /\n\d+ checks, 2 findings\n$/);
    t.notMatch(forged.output, '\u001b', 'plain lines where there is no terminal');

    const { url: stranger } = await testLogin(t, database);
    const failed = await clocktick({ DATABASE_URL: stranger }, 'verify');
    t.match(failed, {
      code: 2,
      output: '',
      errors: /^clocktick: The role test_\w+ may not use the schema clocktick: /,
    });
    await sql`UPDATE clocktick.definition SET version = 0, hash = 'older' WHERE file = 'reads.sql'`;
    const older = await clocktick({ DATABASE_URL: url }, 'verify');
    t.match(older, { code: 2, errors: /needs version \d+: run `clocktick migrate` as the owner/ });
  },
);

t.test('an owner who is no superuser migrates, and so does a superuser for him: all stays his', async (t) => {
  const { url, sql, owner } = await ownedDatabase(t);
  await sql`UPDATE clocktick.definition SET version = 0, hash = 'older'`;
  await sql`DROP FUNCTION clocktick.keep_promise`;
  t.match(await clocktick({ DATABASE_URL: url }, 'migrate'), { code: 0 });
  const [made] = await sql`SELECT pg_get_userbyid(p.proowner) AS owner FROM pg_proc p WHERE p.proname = 'keep_promise'`;
  t.same(made, { owner: owner.name });
  t.match(await clocktick({ DATABASE_URL: owner.url }, 'verify'), { code: 0 });

  // A backup that was restored without rights: the next migration grants them again.
  await sql.unsafe(`REVOKE ALL ON SCHEMA clocktick FROM ${SERVICE_ROLE}`);
  t.match(await clocktick({ DATABASE_URL: owner.url }, 'migrate'), { code: 0 });
  const [granted] = await sql`SELECT has_schema_privilege(${SERVICE_ROLE}, 'clocktick', 'USAGE') AS usage`;
  t.same(granted, { usage: true });
});

t.test('where the group of the service does not exist, and the owner may not make it, migrate says so', async (t) => {
  // A server of its own: groups belong to all databases.
  const server = await startEmbedded({ dataDir: await folder(t), settings: fast });
  t.teardown(server.stop);
  const sql = postgres(server.url, { max: 1, onnotice: () => {} });
  t.teardown(() => sql.end());
  const owner = { name: 'owner', password: 'x' };
  await makeLogin(sql, owner);
  await sql`GRANT CREATE ON DATABASE clocktick TO owner`;
  const env = { DATABASE_URL: urlAs(server.url, owner) };
  const alone = await clocktick(env, 'migrate');
  t.match(alone, {
    code: 0,
    output: /^clocktick: there is no role clocktick_service, and this role may not make it: .*\n/,
  });
  t.match(await clocktick(env, 'verify'), { code: 0 }, 'nobody else may do anything');

  await sql`CREATE ROLE clocktick_service`;
  t.match(await clocktick(env, 'migrate'), { code: 0, output: /^clocktick: the database clocktick is up to date\n$/ });
  t.match(await clocktick({ DATABASE_URL: await server.memberUrl(SERVICE_ROLE) }, 'verify'), { code: 0 });
});

t.test('a promise that a wrong clock has made is taken back, by the owner, while nobody is served', async (t) => {
  const { url, serviceUrl, sql } = await testDatabase(t);
  const storage = openStorage(serviceUrl);
  const { id } = (await make(storage, { n: 1 })).row;
  const idle = await clocktick({ DATABASE_URL: url }, 'take-promise-back');
  t.match(idle, { code: 2, errors: /an instance of clocktick is connected: stop all of them first/ });
  await storage.close();

  await sql`INSERT INTO clocktick.promise AS p (at) VALUES (clock_timestamp() + interval '30 minutes')
                ON CONFLICT (is_only) DO UPDATE SET at = excluded.at`;
  const late = openStorage(serviceUrl);
  await t.rejects(change(late, id, { n: 2 }), { code: 'clock_stepped_back' });
  await late.close();
  t.match(await clocktick({ DATABASE_URL: serviceUrl }, 'take-promise-back'), { code: 2, errors: /permission denied/ });
  t.match(await clocktick({ DATABASE_URL: url }, 'take-promise-back'), {
    code: 0,
    output: /is taken back to .*Start the instances again\n$/,
  });
  t.match(await clocktick({ DATABASE_URL: url }, 'take-promise-back'), { code: 0, output: /nothing to take back/ });

  const mended = openStorage(serviceUrl);
  t.teardown(() => mended.close());
  t.equal((await change(mended, id, { n: 2 })).row.tick, 2, 'and writing goes on');
  await t.rejects(
    sql`UPDATE clocktick.promise SET at = at - interval '1 second'`,
    { code: '23001' },
    'the guard stands again',
  );
  t.match(await clocktick({ DATABASE_URL: url }, 'verify'), { code: 0 }, 'and verify finds nothing');
});
