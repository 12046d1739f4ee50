import t from 'tap';
import { openPools, type Sql } from '../../../src/storage/engine/pools.js';
import { testDatabase } from '../../helper/database.js';

t.test('what a pool tells the planner reaches the server', async (t) => {
  const { url, sql } = await testDatabase(t);
  // Whatever the database says.
  await sql.unsafe(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET search_path = public, pg_catalog`);
  const pools = openPools(url);
  t.teardown(() => pools.close());
  const everywhere = { jit: 'off', plan_cache_mode: 'force_generic_plan', search_path: 'pg_catalog, pg_temp' };
  const settingsOf = async (sql: Sql) => {
    const rows = await sql<{ name: string; setting: string }[]>`
      SELECT name, setting FROM pg_settings
       WHERE source = 'client' AND name ~ '^(enable_.*|jit|plan_cache_mode|search_path|work_mem)$'`;
    return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
  };
  const inOrder = { enable_bitmapscan: 'off', enable_seqscan: 'off', enable_sort: 'off' };
  const byIndex = { enable_bitmapscan: 'off', enable_seqscan: 'off' };
  const oneByOne = { enable_hashjoin: 'off', enable_mergejoin: 'off' };
  const roomy = { work_mem: '32768' };
  t.same(await pools.reading(settingsOf), { ...everywhere, ...byIndex, ...roomy });
  t.same(await pools.readingLarge(settingsOf), { ...everywhere, ...byIndex, ...roomy });
  t.same(await pools.recording(settingsOf), { ...everywhere, ...byIndex, ...roomy });
  t.same(await pools.writingLarge(settingsOf), everywhere);
  t.same(await pools.probe(settingsOf), everywhere);
  t.same(await pools.paging(settingsOf), { ...everywhere, ...inOrder });
  t.same(await pools.searching(settingsOf), { ...everywhere, ...inOrder });
  t.same(await pools.counting(settingsOf), { ...everywhere, ...inOrder });
  t.same(await pools.sharedReads(settingsOf), { ...everywhere, ...byIndex, ...oneByOne });
  t.same(await pools.sharedWrites(settingsOf), everywhere);
  t.same(await pools.batching((ask) => ask(settingsOf)), { ...everywhere, ...byIndex, ...oneByOne, ...roomy });
  t.same(await pools.transaction('ROLLBACK', settingsOf), { ...everywhere, ...byIndex });
});
