import postgres from 'postgres';
import t from 'tap';
import { openPools } from '../../../src/storage/engine/pools.js';
import type { StableInstant } from '../../../src/storage/engine/stable-instant.js';
import { storageOf } from '../../../src/storage/open.js';
import { testDatabase } from '../../helper/database.js';
import { serve, testService } from '../../helper/service.js';
import { clockNow, instantOf, STORM_READS, storm } from '../../helper/storm.js';

/** The check that this is the test of, switched off: an instant that is past may be read as of. */
const UNCHECKED: StableInstant = {
  newest: async () => instantOf(clockNow()),
  waitFor: async () => {},
  hasCome: async () => true,
  lag: async () => 0,
  stamped: (write) => write('9999-01-01T00:00:00Z'),
  lookBy: () => Promise.reject(new Error('nobody looks')),
};

t.test('reads as of the last milliseconds, under 32 writers', async (t) => {
  await t.test('are told the same ever after, and never half of a transaction', async (t) => {
    const { call, url } = await testService(t);
    const sql = postgres(url, { max: 10, onnotice: () => {} });
    const { reads, refused, changed, halfSeen, writes } = await storm({ reads: STORM_READS, calls: [call], sql });
    await sql.end();
    t.comment(`${reads} reads, ${refused} refused, ${writes} writes`);
    t.ok(reads >= STORM_READS);
    t.ok(writes > STORM_READS / 4, `${writes} writes`);
    t.same(changed, []);
    t.same(halfSeen, []);
  });

  await t.test('without the check that an instant is stable they change: this would be seen', async (t) => {
    const { url, serviceUrl } = await testDatabase(t);
    const storage = storageOf(openPools(serviceUrl), { stableInstant: UNCHECKED });
    t.teardown(() => storage.close());
    const { call } = await serve(t, storage);
    const sql = postgres(url, { max: 10, onnotice: () => {} });
    const { reads, changed } = await storm({ reads: STORM_READS / 2, calls: [call], sql });
    await sql.end();
    t.comment(`${changed.length} of ${reads} reads changed`);
    t.ok(changed.length > reads / 100, `${changed.length} of ${reads}`);
  });
});
