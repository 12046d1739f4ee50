import postgres from 'postgres';
import t from 'tap';
import { openStorage } from '../../../src/storage/open.js';
import { testDatabase } from '../../helper/database.js';
import { serve } from '../../helper/service.js';
import { STORM_READS, storm } from '../../helper/storm.js';

t.test(
  'reads as of the last milliseconds, by two instances over one database, are told the same ever after',
  async (t) => {
    const { url, serviceUrl } = await testDatabase(t);
    const storages = [openStorage(serviceUrl), openStorage(serviceUrl)];
    const calls = await Promise.all(storages.map(async (storage) => (await serve(t, storage)).call));
    t.teardown(() => Promise.all(storages.map((storage) => storage.close())));
    const sql = postgres(url, { max: 10, onnotice: () => {} });
    const { reads, refused, changed, halfSeen, writes } = await storm({ reads: STORM_READS, calls, sql });
    await sql.end();
    t.comment(`${reads} reads, ${refused} refused, ${writes} writes`);
    t.ok(reads >= STORM_READS);
    t.same(changed, []);
    t.same(halfSeen, []);
  },
);
