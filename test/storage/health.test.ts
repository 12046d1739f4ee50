import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import t, { type Test } from 'tap';
import { openPools } from '../../src/storage/engine/pools.js';
import { type Found, failing, type Health, healthOf } from '../../src/storage/health.js';
import { openStorage, storageOf } from '../../src/storage/open.js';
import { readVersion } from '../../src/storage/schema-files.js';
import { engine, type Storage } from '../../src/storage/storage.js';
import { newId } from '../../src/temporal/identity.js';
import { cannotPrepare, type TestDatabase, testDatabase, testLogin } from '../helper/database.js';
import { everything } from '../helper/everything.js';
import { proxyBefore } from '../helper/proxy.js';
import { make } from '../helper/write.js';

/** What a check finds now: each health shares what it found for a second, so this asks a new one. */
async function found(storage: Storage): Promise<Found> {
  const health = healthOf(storage, () => {});
  return health.check().finally(health.close);
}
const failed = async (storage: Storage): Promise<string[]> => failing(await found(storage)).map(({ check }) => check);

/** A role of its own, which was granted what the service needs, piece by piece. */
async function plainRole(t: Test, database: TestDatabase) {
  const { name, url } = await testLogin(t, database);
  await database.sql.unsafe(`
    GRANT USAGE ON SCHEMA clocktick TO ${name};
    GRANT SELECT ON ALL TABLES IN SCHEMA clocktick TO ${name};
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA clocktick TO ${name}`);
  const storage = openStorage(url);
  t.teardown(() => storage.close());
  return { role: name, storage };
}

t.test('each reason is named, and gone with what caused it', async (t) => {
  const database = await testDatabase(t);
  const { url, sql } = database;
  const name = new URL(url).pathname.slice(1);
  const { role, storage } = await plainRole(t, database);
  await make(storage, { n: 0 });
  const known = (await readVersion()).version;
  t.same(await failed(storage), []);

  /** What is done, by the owner; what takes it back; which checks fail meanwhile, and what one of them says. */
  const cases: [does: string, undoes: string, fail: string[], says: RegExp][] = [
    [
      `REVOKE SELECT ON clocktick.open_value FROM ${role}`,
      `GRANT SELECT ON clocktick.open_value TO ${role}`,
      ['privileges'],
      /lacks SELECT on open_value/,
    ],
    [
      `REVOKE SELECT ON clocktick.entity, clocktick.tick FROM ${role}`,
      `GRANT SELECT ON clocktick.entity, clocktick.tick TO ${role}`,
      ['privileges', 'read'],
      /lacks SELECT on entity, SELECT on tick/,
    ],
    [
      `REVOKE USAGE ON SCHEMA clocktick FROM ${role}`,
      `GRANT USAGE ON SCHEMA clocktick TO ${role}`,
      ['schema', 'privileges', 'read', 'stable', 'write'],
      /lacks USAGE on the schema/,
    ],
    [
      `REVOKE EXECUTE ON FUNCTION clocktick.write_changes FROM ${role}`,
      `GRANT EXECUTE ON FUNCTION clocktick.write_changes TO ${role}`,
      ['privileges', 'write'],
      /lacks EXECUTE on write_changes/,
    ],
    [
      `ALTER DATABASE ${name} SET default_transaction_read_only = on`,
      `ALTER DATABASE ${name} RESET default_transaction_read_only`,
      ['read_only'],
      /made read-only/,
    ],
    [
      `ALTER ROLE ${role} IN DATABASE ${name} SET default_transaction_read_only = on`,
      `ALTER ROLE ${role} IN DATABASE ${name} RESET default_transaction_read_only`,
      ['read_only'],
      /made read-only/,
    ],
    [
      `INSERT INTO clocktick.definition (file, hash, version) VALUES ('later.sql', '', ${known + 1})`,
      `DELETE FROM clocktick.definition WHERE file = 'later.sql'`,
      ['schema'],
      /has the newer \d+, and this program needs \d+/,
    ],
    [
      `UPDATE clocktick.definition SET version = ${known - 1}`,
      `UPDATE clocktick.definition SET version = ${known}`,
      ['schema'],
      /has the older \d+/,
    ],
    [
      `ALTER TABLE clocktick.entity RENAME TO other; ALTER DATABASE ${name} SET default_transaction_read_only = on`,
      `ALTER DATABASE ${name} RESET default_transaction_read_only; ALTER TABLE clocktick.other RENAME TO entity`,
      ['read_only', 'read', 'write'],
      /fails \(42P01\)/,
    ],
  ];
  for (const [does, undoes, fail, says] of cases) {
    const owner = postgres(url, {
      max: 1,
      onnotice: () => {},
      connection: { options: '-c default_transaction_read_only=off' },
    });
    await owner.unsafe(does);
    const now = await found(storage);
    t.same(
      failing(now).map(({ check }) => check),
      fail,
      does,
    );
    t.match(
      failing(now)
        .map(({ reason }) => reason)
        .join('; '),
      says,
      does,
    );
    await owner.unsafe(undoes);
    t.same(await failed(storage), [], undoes);
    await owner.end();
  }

  await t.test('a session that begins read-only cannot write, and the next one can', async (t) => {
    const owner = postgres(url, {
      max: 1,
      onnotice: () => {},
      connection: { options: '-c default_transaction_read_only=off' },
    });
    await owner.unsafe(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    const late = openStorage(url);
    t.same(await failed(late), ['read_only', 'write']);
    await owner.unsafe(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
    t.same(await failed(late), []);
    await late.close();
    await owner.end();
  });

  await t.test('a locked table', async (t) => {
    const other = postgres(url, { max: 1 });
    await other.unsafe('BEGIN; LOCK TABLE clocktick.entity IN ACCESS EXCLUSIVE MODE');
    const now = await found(storage);
    t.match(now, { database: null, read: 'takes too long (55P03)', write: 'takes too long (55P03)' });
    await other`ROLLBACK`;
    await other.end();
    t.same(await failed(storage), []);
  });

  await t.test('a prepared transaction', { skip: await cannotPrepare(sql) }, async (t) => {
    const gid = newId();
    const other = postgres(url, { max: 1 });
    await other.unsafe(`BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION '${gid}'`);
    const now = await found(storage);
    t.same(
      failing(now).map(({ check }) => check),
      ['stable'],
    );
    t.match(now.stable, /prepared transaction/);
    t.notMatch(now.stable, gid, 'its name is not told');
    await other.unsafe(`ROLLBACK PREPARED '${gid}'`);
    await other.end();
    t.same(await failed(storage), []);
  });

  await t.test('pools that callers have filled are no reason, nor can they hold a check up', async (t) => {
    const { reading, paging, searching, counting, transaction, sharedReads, sharedWrites, lanes } = storage[engine];
    const many = <T>(ask: () => PromiseLike<T>) => Array.from({ length: 15 }, ask);
    const sleeping = [
      ...many(() => reading((sql) => sql`SELECT pg_sleep(0.5)`)),
      ...many(() => sharedReads((sql) => sql`SELECT pg_sleep(0.5)`)),
      ...many(() => sharedWrites((sql) => sql`SELECT pg_sleep(0.5)`)),
      ...many(() => paging((sql) => sql`SELECT pg_sleep(0.5)`)),
      ...many(() => counting((sql) => sql`SELECT pg_sleep(0.5)`)),
      ...many(() => transaction('ROLLBACK', (sql) => sql`SELECT pg_sleep(0.5)`)),
      searching((sql) => sql`SELECT pg_sleep(0.5)`),
    ].map((asked) => Promise.resolve(asked).catch(() => {}));
    t.same(await failed(storage), []);
    for (const name of ['reads', 'pages', 'counts', 'dry_runs'] as const) {
      const { asked, most } = lanes[name].use;
      t.ok(asked > most, `${name} were full`);
    }
    await Promise.all(sleeping);
    for (const [name, { use }] of Object.entries(lanes)) t.equal(use.asked, 0, name);
  });

  await t.test('a clock behind what was promised', async (t) => {
    await sql`
      INSERT INTO clocktick.promise AS p (at) VALUES (clock_timestamp() + interval '3 seconds')
          ON CONFLICT (is_only) DO UPDATE SET at = excluded.at`;
    const now = await found(storage);
    t.same(
      failing(now).map(({ check }) => check),
      ['clock', 'write'],
    );
    t.match(now.clock, /is [23] s behind/);
    while ((await failed(storage)).length > 0) await sleep(50);
    t.same(await failed(storage), [], 'until it has caught up');
  });
});

t.test('what a check writes leaves nothing, and holds nothing back', async (t) => {
  const { storage, sql } = await testDatabase(t);
  await make(storage, { n: 0, tags: ['a'] });
  const before = await everything(sql);
  t.ok(Object.keys(before).length >= 7);
  t.match(before.entity, /a/);
  for (let n = 0; n < 100; n++) if ((await failed(storage)).length > 0) t.fail('not ready');
  t.same(await everything(sql), before);
  const [open] =
    await sql`SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'`;
  t.equal(open?.n, 0, 'no transaction stays open');
  t.ok((await storage[engine].stableInstant.lag()) < 1);
});

t.test('a check is shared for a second, whoever asks', async (t) => {
  const { serviceUrl } = await testDatabase(t);
  const pools = openPools(serviceUrl);
  t.teardown(() => pools.close());
  let made = 0;
  const checking: typeof pools.checking = (work, onLost) => {
    made++;
    return pools.checking(work, onLost);
  };
  const health = healthOf(storageOf({ ...pools, checking }), () => {});
  const start = performance.now();
  while (performance.now() - start < 1_500) {
    await Promise.all(Array.from({ length: 50 }, () => health.check()));
    await sleep(10);
  }
  const seconds = (performance.now() - start) / 1_000;
  t.ok(made >= 1 && made <= Math.ceil(seconds), `${made} checks were made in ${seconds} s`);
  health.close();
});

t.test('a database that goes away', async (t) => {
  const { url } = await testDatabase(t);
  const proxy = await proxyBefore(t, url);
  const storage = openStorage(proxy.url);
  const told: string[][] = [];
  let heard = () => {};
  const health: Health = healthOf(storage, (faults) => {
    told.push(faults.map(({ check, reason }) => `${check}: ${reason}`));
    heard();
  });
  const next = () =>
    new Promise<void>((resolve) => {
      heard = resolve;
    });
  // Its timers keep no process alive, and this one has nothing else to do.
  const awake = setInterval(() => {}, 1_000);
  t.teardown(async () => {
    clearInterval(awake);
    health.close();
    await storage.close();
  });
  t.same(failing(await health.check()), []);

  await t.test('is noticed without anybody asking, once, and so is that it is back', async (t) => {
    const gone = next();
    proxy.refuse(true);
    await proxy.breakAll('reset');
    await gone;
    t.equal(told.length, 1);
    t.match(told[0]?.[0], /^database: does not answer \(\w+\)$/);
    for (let n = 0; n < 20; n++) await health.check();
    const back = next();
    proxy.refuse(false);
    await back;
    t.same(told.slice(1), [[]]);
    t.same(failing(await health.check()), []);
  });

  await t.test('one that takes connections and says nothing is given up within two seconds', async (t) => {
    proxy.hang(true);
    const start = performance.now();
    const fresh = openStorage(proxy.url);
    t.match(await found(fresh), { database: 'does not answer in time' });
    const kept = await found(storage);
    t.ok(performance.now() - start < 4_000);
    t.match(kept, { database: 'does not answer in time' }, 'the connection that was there');
    proxy.hang(false);
    t.same(await failed(storage), []);
    await fresh.close();
  });

  await t.test('one that breaks within the write: the write is not kept', async (t) => {
    for (const loses of ['statement', 'answer'] as const) {
      proxy.breakNext({ at: '"health"', loses, way: 'reset' });
      t.match(await found(storage), { database: /does not answer/, write: /does not answer/, read: null });
      t.ok(proxy.broken());
    }
    t.same(await failed(storage), []);
    const plain = postgres(url, { max: 1 });
    t.same(await plain`SELECT FROM clocktick.entity`, []);
    await plain.end();
  });
});
