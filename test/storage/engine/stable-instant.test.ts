import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import t from 'tap';
import { openPools } from '../../../src/storage/engine/pools.js';
import { stableInstantOf } from '../../../src/storage/engine/stable-instant.js';
import { healthOf } from '../../../src/storage/health.js';
import { openStorage, storageOf } from '../../../src/storage/open.js';
import { engine, type Storage } from '../../../src/storage/storage.js';
import { newId } from '../../../src/temporal/identity.js';
import { isBefore, microseconds } from '../../../src/temporal/point.js';
import { cannotPrepare, ownedDatabase, testDatabase } from '../../helper/database.js';
import { importHistory } from '../../helper/imported.js';
import { asOf, change, make, now } from '../../helper/write.js';

/** Why readiness says that nothing newer is stable; null: it does not. */
const unclear = async (storage: Storage) => (await healthOf(storage, () => {}).check()).stable;

t.test('the stable instant', async (t) => {
  const { url, serviceUrl, sql } = await testDatabase(t);
  /** The service's storage, but less patient. */
  const hasty = (its = serviceUrl) => {
    const database = openPools(its);
    return storageOf(database, { stableInstant: stableInstantOf(database, { patience: 400 }) });
  };
  const storage = hasty();
  t.teardown(() => storage.close());

  /** A connection of somebody else's, with a transaction begun; `owns` an id of it or not. */
  const begin = async ({ owns, database = url }: { owns: boolean; database?: string }) => {
    const other = postgres(database, { max: 1, onnotice: () => {} });
    await other`BEGIN`;
    if (owns) await other`SELECT pg_current_xact_id()`;
    t.teardown(() => other.end({ timeout: 1 }));
    return other;
  };
  const clockNow = async () => {
    const [row] = await sql<{ at: string }[]>`
      SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;
    return row?.at ?? '';
  };
  const later = (instant: string, milliseconds: number) =>
    new Date(Date.parse(instant) + milliseconds).toISOString().replace('Z', '000Z');

  await t.test('follows every acknowledged write, and never goes back', async (t) => {
    const { id } = (await make(storage, { n: 0 })).row;
    let last = '';
    for (let n = 1; n <= 50; n++) {
      const { updatedAt } = (await change(storage, id, { n })).row;
      const stable = await storage[engine].stableInstant.newest();
      t.notOk(isBefore(stable, updatedAt), 'what was written is older');
      t.notOk(last !== '' && isBefore(stable, last));
      last = stable;
      await storage[engine].stableInstant.waitFor(updatedAt);
    }
    t.ok((await storage[engine].stableInstant.lag()) < 1);
  });

  await t.test('an open transaction that owns an id holds it back; readers wait, but not without end', async (t) => {
    const before = await storage[engine].stableInstant.newest();
    const other = await begin({ owns: true });
    const after = await clockNow();
    const stable = await storage[engine].stableInstant.newest();
    t.ok(isBefore(stable, after), 'a snapshot without an instant does not wait');
    t.notOk(isBefore(stable, before));
    await storage[engine].stableInstant.waitFor(before);

    const start = performance.now();
    await t.rejects(storage[engine].stableInstant.waitFor(after), {
      code: 'as_of_not_stable_yet',
      message:
        /^\d{4}-.*Z is stable yet|.* is not stable yet: a transaction of process \d+ of the database is open since/,
    });
    const waited = performance.now() - start;
    t.ok(waited > 400 && waited < 2_000, `after ${waited} ms`);
    t.equal(await unclear(storage), null);
    t.ok((await storage[engine].stableInstant.lag()) > 0.4, 'the gauge says so');

    const waiting = storage[engine].stableInstant.waitFor(after);
    await sleep(50);
    await other`COMMIT`;
    await waiting;
    t.ok((await storage[engine].stableInstant.lag()) < 0.4);
  });

  await t.test('a creation owns its id before it is stamped', async (t) => {
    // Else it would get one with the first row that it writes, which this puts off for as long as the test holds the lock.
    await sql.unsafe(`
      CREATE FUNCTION clocktick.test_sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711) LOOP PERFORM pg_sleep(0.01); END LOOP;
        RETURN NULL; END $$;
      CREATE TRIGGER test_sleep BEFORE INSERT ON clocktick.entity FOR EACH STATEMENT EXECUTE FUNCTION clocktick.test_sleep()`);
    const holder = await begin({ owns: false });
    await holder`SELECT pg_advisory_xact_lock(4711)`;
    const making = make(storage, { n: 0 });
    const isThere = async () =>
      (await sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`).length >
      0;
    while (!(await isThere())) await sleep(5);
    const stable = await storage[engine].stableInstant.newest();
    await holder`COMMIT`;
    const { updatedAt } = (await making).row;
    t.ok(isBefore(stable, updatedAt), `${stable} was stable before ${updatedAt} was written`);
    await sql`DROP FUNCTION clocktick.test_sleep CASCADE`;
  });

  await t.test('what has not stamped anything holds nothing back', async () => {
    const reading = await begin({ owns: false });
    const elsewhere = new URL(url);
    elsewhere.pathname = '/postgres';
    const away = await begin({ owns: true, database: elsewhere.href });
    await storage[engine].stableInstant.waitFor(await clockNow());
    await Promise.all([reading`ROLLBACK`, away`ROLLBACK`]);
  });

  await t.test('a transaction that began long ago and gets its id now takes nothing back', async (t) => {
    const other = await begin({ owns: false });
    await sleep(20);
    const known = await clockNow();
    await storage[engine].stableInstant.waitFor(known);
    await other`SELECT pg_current_xact_id()`;
    t.notOk(isBefore(await storage[engine].stableInstant.newest(), known));
    await storage[engine].stableInstant.waitFor(known);
    await other`ROLLBACK`;
  });

  await t.test(
    'a prepared transaction: what is known goes on, nothing newer, and the service is not ready',
    { skip: await cannotPrepare(sql) },
    async (t) => {
      const known = await clockNow();
      await storage[engine].stableInstant.waitFor(known);
      const other = await begin({ owns: true });
      const gid = newId();
      await other.unsafe(`PREPARE TRANSACTION '${gid}'`);
      const after = await clockNow();
      t.notOk(isBefore(await storage[engine].stableInstant.newest(), known));
      await storage[engine].stableInstant.waitFor(known);
      const prepared = { code: 'as_of_not_stable_yet', message: /prepared transaction/ };
      await Promise.all([
        t.rejects(storage[engine].stableInstant.waitFor(after), prepared),
        unclear(storage).then((reason) => t.match(reason, prepared.message)),
      ]);
      // Another instance that starts now knows what was promised, at most a second less.
      const second = openStorage(serviceUrl);
      const told = await second[engine].stableInstant.newest();
      t.ok(microseconds(known) - microseconds(told) < 1_000_000n, `${told} of ${known}`);
      await second.close();
      await other.unsafe(`ROLLBACK PREPARED '${gid}'`);
      await storage[engine].stableInstant.waitFor(after);
      t.equal(await unclear(storage), null);
    },
  );

  await t.test('a transaction whose beginning is not to be seen: the same', async (t) => {
    const other = await begin({ owns: false });
    await other`ROLLBACK`;
    await other`SET track_activities = off`;
    await other`BEGIN`;
    await other`SELECT pg_current_xact_id()`;
    const after = await clockNow();
    const hidden = { code: 'as_of_not_stable_yet', message: /does not show when its transaction began/ };
    await Promise.all([
      t.rejects(storage[engine].stableInstant.waitFor(after), hidden),
      unclear(storage).then((reason) => t.match(reason, hidden.message)),
    ]);
    await other`ROLLBACK`;
    await storage[engine].stableInstant.waitFor(after);
  });

  await t.test('an owner without pg_read_all_stats sees its own transactions, but not those of others', async (t) => {
    const { owner, ...database } = await ownedDatabase(t);
    const plain = hasty(owner.url);
    t.teardown(() => plain.close());
    const { updatedAt } = (await make(plain, { n: 0 })).row;
    await plain[engine].stableInstant.waitFor(updatedAt);
    const own = await begin({ owns: true, database: owner.url });
    const held = await clockNow();
    t.equal(await unclear(plain), null);
    await t.rejects(plain[engine].stableInstant.waitFor(held), { message: /is open since/ });
    await own`ROLLBACK`;

    const other = await begin({ owns: true, database: database.serviceUrl });
    const after = await clockNow();
    const hidden = { code: 'as_of_not_stable_yet', message: /grant pg_read_all_stats to the owner/ };
    await Promise.all([
      t.rejects(plain[engine].stableInstant.waitFor(after), hidden),
      unclear(plain).then((reason) => t.match(reason, hidden.message)),
    ]);
    await sql.unsafe(`GRANT pg_read_all_stats TO ${owner.name}`);
    t.equal(await unclear(plain), null);
    const serving = hasty(database.serviceUrl);
    t.equal(await unclear(serving), null);
    await serving.close();
    await other`ROLLBACK`;
    await plain[engine].stableInstant.waitFor(after);
  });

  await t.test('an instant a little ahead is waited for, a later one refused', async (t) => {
    const soon = later(await clockNow(), 300);
    t.notOk(await storage[engine].stableInstant.hasCome(soon));
    await storage[engine].stableInstant.waitFor(soon);
    t.ok(await storage[engine].stableInstant.hasCome(soon));
    t.notOk(isBefore(await storage[engine].stableInstant.newest(), soon));
    await t.rejects(storage[engine].stableInstant.waitFor(later(soon, 5_000)), {
      code: 'as_of_in_future',
      message: /patient/,
    });
  });

  await t.test('many wait together: they share few looks', async (t) => {
    let looks = 0;
    const database = openPools(serviceUrl, (_connection, text) => {
      if (text.includes('stable_instant()')) looks++;
    });
    const clock = stableInstantOf(database);
    const instant = await clockNow();
    await Promise.all(Array.from({ length: 500 }, () => clock.waitFor(instant)));
    t.ok(looks <= 5, `${looks} looks`);
    const before = looks;
    await Promise.all(Array.from({ length: 500 }, () => clock.waitFor(instant)));
    t.equal(looks, before, 'nothing is asked about what is known');
    await database.close();
  });

  await t.test('5,000 may wait, and who has gone does not', async (t) => {
    const other = await begin({ owns: true });
    const instant = await clockNow();
    const database = openPools(serviceUrl);
    const clock = stableInstantOf(database);
    const waiting = Promise.allSettled(Array.from({ length: 5_001 }, () => clock.waitFor(instant)));
    const gone = stableInstantOf(database).waitFor(instant, AbortSignal.abort());
    const start = performance.now();
    await t.rejects(gone, { code: 'as_of_not_stable_yet' });
    t.ok(performance.now() - start < 1_500, 'long before the others give up');
    await other`ROLLBACK`;
    const ends = (await waiting).map((end) => (end.status === 'fulfilled' ? 'stable' : end.reason.code));
    t.same([ends.filter((end) => end === 'stable').length, ends.at(-1)], [5_000, 'overloaded']);
    await clock.waitFor(instant);
    await database.close();
  });

  await t.test('a database that does not say what is stable is given up, and asked anew', async (t) => {
    const known = await storage[engine].stableInstant.newest();
    const answers = (body: string) =>
      sql.unsafe(`
      ALTER FUNCTION clocktick.stable_instant RENAME TO stable_instant_kept;
      CREATE FUNCTION clocktick.stable_instant(
        OUT at timestamptz, OUT clock timestamptz, OUT promised timestamptz,
        OUT held_by integer, OUT held_since timestamptz, OUT prepared boolean, OUT recovering boolean
      ) LANGUAGE plpgsql AS $$ BEGIN ${body} END $$`);
    const again = () =>
      sql.unsafe(`
      DROP FUNCTION clocktick.stable_instant; ALTER FUNCTION clocktick.stable_instant_kept RENAME TO stable_instant`);
    const after = await clockNow();

    await answers('PERFORM pg_sleep(60);');
    const start = performance.now();
    await Promise.all([
      t.rejects(storage[engine].stableInstant.waitFor(after), { code: 'database_unavailable' }),
      t.rejects(storage[engine].stableInstant.newest(), { code: 'database_unavailable' }),
      storage[engine].stableInstant.waitFor(known),
    ]);
    t.ok(performance.now() - start < 4_000);
    await again();
    await storage[engine].stableInstant.waitFor(after);

    const later = await clockNow();
    await answers('clock := clock_timestamp(); recovering := true;');
    await t.rejects(storage[engine].stableInstant.waitFor(later), {
      code: 'as_of_not_stable_yet',
      message: /is a standby/,
    });
    await again();
    await storage[engine].stableInstant.waitFor(later);
  });

  await t.test('a hand that began before what was promised cannot record any more', async (t) => {
    const other = await begin({ owns: false });
    await sleep(1_100);
    await storage[engine].stableInstant.newest();
    await t.rejects(importHistory(other, 'thing', 'late', [{ at: '2001-01-01T00:00:00Z', op: 'created', set: {} }]), {
      code: '23001',
    });
    await other`ROLLBACK`;
  });

  await t.test('what is promised is stored, at most a second old, and only grows', async (t) => {
    const stored = async () => {
      const [row] = await sql<{ at: string }[]>`
        SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM clocktick.promise`;
      return row?.at ?? '';
    };
    for (let round = 0; round < 10; round++) {
      const promised = await storage[engine].stableInstant.newest();
      t.ok(microseconds(promised) - microseconds(await stored()) <= 1_000_000n);
      await sleep(150);
    }
    await t.rejects(sql`UPDATE clocktick.promise SET at = at - interval '1 second'`, { code: '23001' });
    await t.rejects(sql`DELETE FROM clocktick.promise`, { code: '23001' });
    await t.rejects(sql`TRUNCATE clocktick.promise`, { code: '23001' });
    await t.rejects(sql`INSERT INTO clocktick.promise VALUES (false, now())`, { code: '23514' });
    await t.rejects(sql`UPDATE clocktick.promise SET at = 'infinity'`, { code: '23514' });
  });

  await t.test('when the clock has stepped back, all that was promised is stored', async (t) => {
    const { serviceUrl, sql } = await testDatabase(t);
    const storage = openStorage(serviceUrl);
    t.teardown(() => storage.close());
    const { stableInstant } = storage[engine];
    const promised = async () =>
      (await sql<{ at: string }[]>`SELECT clocktick.instant_text(p.at) AS at FROM clocktick.promise p`)[0]?.at;
    await stableInstant.newest();
    await sleep(200);
    const told = await stableInstant.newest();
    t.not(await promised(), told, 'not every one is stored at once');
    const [look] = await sql<
      { text: string }[]
    >`SELECT pg_get_functiondef('clocktick.stable_instant'::regproc) AS text`;
    await sql.unsafe(look?.text.replace('clock_timestamp()', "clock_timestamp() - interval '5 seconds'") ?? '');
    t.equal(await stableInstant.newest(), told);
    t.equal(await promised(), told, 'before the clock comes there again');
    const other = openStorage(serviceUrl);
    t.teardown(() => other.close());
    t.equal(await other[engine].stableInstant.hasCome(told), true, 'another instance knows that it has come');
    t.equal(await other[engine].stableInstant.hasCome(later(told, 1_000)), false);
  });

  await t.test('without being able to store it nothing is promised', async (t) => {
    const promised = await storage[engine].stableInstant.newest();
    const other = await begin({ owns: false });
    await other`LOCK TABLE clocktick.promise IN SHARE MODE`;
    await sleep(1_200);
    await t.rejects(storage[engine].stableInstant.newest(), { code: 'database_unavailable' });
    await storage[engine].stableInstant.waitFor(promised);
    await other`ROLLBACK`;
    t.ok(isBefore(promised, await storage[engine].stableInstant.newest()));
  });

  await t.test('a clock behind what was promised writes nothing until it has caught up', async (t) => {
    const { id, updatedAt } = (await make(storage, { n: 0 })).row;
    // As if the server's clock had been two seconds ahead until now.
    await sql`UPDATE clocktick.promise SET at = clock_timestamp() + interval '2 seconds'`;
    const late = { code: 'clock_stepped_back', notes: { retryAfter: 2 } };
    await Promise.all([
      t.rejects(change(storage, id, { n: 1 }), late),
      t.rejects(make(storage, { n: 1 }), late),
      t.rejects(change(storage, id, { n: 2 }), late),
    ]);
    t.match(await now(storage, id), { tick: 1, updatedAt });
    t.match(await asOf(storage, id, { instant: updatedAt }), { tick: 1 });
    await sleep(2_050);
    t.equal((await change(storage, id, { n: 1 })).row.tick, 2);
  });
});
