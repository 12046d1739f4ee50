import t from 'tap';
import { adviceOn, checkServer } from '../../../src/storage/engine/server-check.js';
import { testDatabase } from '../../helper/database.js';

t.test('a setting that can lose what was acknowledged, or that only PostgreSQL’s makers chose, is named', async (t) => {
  const sound = {
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    autovacuum: 'on',
    shared_buffers: '4GB',
    max_wal_size: '4GB',
  };
  t.same(adviceOn(sound), []);
  const cases: [setting: object, says: RegExp][] = [
    [{ fsync: 'off' }, /^fsync is off: a power cut/],
    [{ full_page_writes: 'off' }, /^full_page_writes is off: a power cut/],
    [{ synchronous_commit: 'off' }, /^synchronous_commit is off: a crash can take back/],
    [{ autovacuum: 'off' }, /^autovacuum is off/],
    [{ shared_buffers: '128MB' }, /^shared_buffers is 128MB: .*A quarter/],
    [{ max_wal_size: '1GB' }, /^max_wal_size is 1GB: .*4GB/],
  ];
  for (const [setting, says] of cases) {
    const said = adviceOn({ ...sound, ...setting });
    t.equal(said.length, 1);
    t.match(said[0], says);
  }
});

t.test('the server is asked what it has, as this database sets it', async (t) => {
  const { url, sql } = await testDatabase(t);
  const name = new URL(url).pathname.slice(1);
  await sql`ALTER DATABASE ${sql(name)} SET synchronous_commit = off`;
  t.match((await checkServer(url)).join('\n'), /^synchronous_commit is off: /m);
  await sql`ALTER DATABASE ${sql(name)} SET synchronous_commit = on`;
  t.notMatch((await checkServer(url)).join('\n'), /synchronous_commit/);
});
