import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { recordActivity } from '../../../src/storage/activities.js';
import { clockTrust, SETTLING_MS } from '../../../src/storage/engine/clock-trust.js';
import { openPools } from '../../../src/storage/engine/pools.js';
import { stableInstantOf } from '../../../src/storage/engine/stable-instant.js';
import { failing, healthOf } from '../../../src/storage/health.js';
import { storageOf } from '../../../src/storage/open.js';
import { engine, type Storage } from '../../../src/storage/storage.js';
import { newId } from '../../../src/temporal/identity.js';
import { testDatabase } from '../../helper/database.js';
import { change, make } from '../../helper/write.js';

/**
 * A clock of the database that is ahead: nobody may step the clock of the machine that tests run on, so the process's own goes late. To
 * the service that is the same.
 */
t.test('a clock that jumps ahead is refused, not believed, and once it is over all goes on', async (t) => {
  const { serviceUrl, sql } = await testDatabase(t);
  let late = 0;
  const own = { wall: () => Date.now() - late, steady: () => performance.now() - late };
  const trust = clockTrust(own, { settling: 2_000 });
  const pools = openPools(serviceUrl);
  const storage = storageOf(pools, { stableInstant: stableInstantOf(pools, { trust, patience: 200 }) });
  t.teardown(() => storage.close());
  const { stableInstant } = storage[engine];
  const unready = async () => {
    const health = healthOf(storage, () => {});
    return failing(await health.check().finally(health.close));
  };
  const counted = async () => {
    const [counts] = await sql<{ ticks: number; activities: number }[]>`
      SELECT (SELECT count(*)::int FROM clocktick.tick) AS ticks, (SELECT count(*)::int FROM clocktick.activity) AS activities`;
    return counts;
  };
  const promised = async () => (await sql<{ at: string }[]>`SELECT p.at::text FROM clocktick.promise p`)[0]?.at;

  const { id } = (await make(storage, { n: 1 })).row;
  const writes: Record<string, (storage: Storage) => Promise<unknown>> = {
    'a small one': (db) => change(db, id, { n: Math.random() }),
    'a large one': (db) => change(db, id, { n: 'x'.repeat(100_000 + Math.random() * 100) }),
    'a creation': (db) => make(db, { n: 1 }),
    'an activity': (db) => recordActivity(db, newId(), { actor: 'somebody' }),
  };
  const before = await stableInstant.newest();
  t.same(await unready(), []);
  const [counts, promise] = [await counted(), await promised()];

  late = 20 * 365 * 24 * 3_600_000;
  for (const [name, write] of Object.entries(writes))
    await t.rejects(write(storage), { code: 'clock_jumped_ahead', notes: { retryAfter: SETTLING_MS / 1000 } }, name);
  t.equal(await stableInstant.newest(), before, 'what was known to be stable stays; nothing newer is');
  await t.rejects(stableInstant.waitFor(new Date().toISOString()), {
    code: 'as_of_not_stable_yet',
    message: /jumped ahead/,
  });
  t.match(await unready(), [
    { check: 'stable', reason: /jumped ahead by \d+ s/ },
    { check: 'clock', reason: /jumped ahead by \d+ s/ },
    { check: 'write' },
  ]);
  t.same(await counted(), counts, 'nothing was written');
  t.equal(await promised(), promise, 'nor was an instant promised that has not come');

  late = 0;
  for (const [name, write] of Object.entries(writes)) await t.resolves(write(storage), `and then ${name} is done`);
  t.same(await unready(), []);

  late = 3_600_000;
  await t.rejects(change(storage, id, { n: 0 }), { code: 'clock_jumped_ahead' });
  await sleep(2_100);
  await t.resolves(change(storage, id, { n: 0 }), 'a clock that goes on evenly after it jumped is believed');
  t.ok((await stableInstant.newest()) > before);
});

t.test('a service that was not asked for anything for a day writes at once', async (t) => {
  const { serviceUrl } = await testDatabase(t);
  let slow = 1;
  const start = performance.now();
  // Its steady clock is a little slow.
  const trust = clockTrust({ wall: Date.now, steady: () => start + (performance.now() - start) * slow });
  const pools = openPools(serviceUrl);
  const storage = storageOf(pools, { stableInstant: stableInstantOf(pools, { trust }) });
  t.teardown(() => storage.close());
  const { id } = (await make(storage, { n: 1 })).row;
  slow = 0.5;
  await t.resolves(change(storage, id, { n: 2 }));
});
