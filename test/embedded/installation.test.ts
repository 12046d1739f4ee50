import { chmod, lstat, mkdir, readdir, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import { startEmbedded } from '../../src/embedded/start.js';
import { makeApp } from '../helper/app.js';
import { end, fast, folder, isRoot, query, servers } from '../helper/embedded.js';

t.test('what is missing from the installation is said, or made up for', async (t) => {
  const dataDir = await folder(t);
  const sharedDir = join(dataDir, 'shared');
  const without = await makeApp(t, 'none');
  // In a container nothing may be written: that must not be what the start complains about.
  const { error } = await without.spawn({ dataDir: '/dev/null/data' }).answer;
  t.match(error, /^DATABASE_URL is not set, .* Set DATABASE_URL, or install with optional dependencies/);

  const broken = await makeApp(t, 'copy');
  await rm(join(broken.native, 'share/postgresql/postgres.bki'));
  const failure = await broken.spawn({ dataDir }).answer;
  t.match(failure.error, /initdb.*postgres\.bki" does not exist/s);
  t.same(await readdir(dataDir), []);

  // As after `npm install --ignore-scripts`.
  const unlinked = await makeApp(t, 'copy');
  for (const entry of await readdir(join(unlinked.native, 'lib'), { withFileTypes: true })) {
    if (entry.isSymbolicLink()) await rm(join(entry.parentPath, entry.name));
  }
  const child = unlinked.spawn({ dataDir, sharedDir, settings: fast });
  t.hasProps(await child.answer, ['url']);
  await end(child);
});

const asRoot = { skip: isRoot ? false : "not root: nothing is out of the server user's reach" };
t.test('root: what only root may enter stays closed, and works', asRoot, async (t) => {
  const base = await folder(t);
  const closed = join(base, 'closed');
  await mkdir(closed, { mode: 0o700 });
  const dataDir = join(closed, 'data');
  const sharedDir = join(base, 'shared');
  const first = await startEmbedded({ dataDir, sharedDir, settings: fast });
  await query(first, async (sql) => {
    await sql`create table kept as select 1 as n`;
  });
  const [server] = await servers(base);
  t.not((await stat(`/proc/${server}`)).uid, 0);
  await first.stop();
  t.equal((await lstat(join(dataDir, 'postgres'))).isSymbolicLink(), true);
  t.equal(dirname(await realpath(join(dataDir, 'postgres'))), sharedDir);

  // The programs below a folder like /root as well.
  const app = await makeApp(t, 'copy', closed);
  for (const entry of [join(app.native, 'share'), join(app.native, 'bin/initdb')]) await chmod(entry, 0o700);
  const owner = app.spawn({ dataDir, sharedDir, settings: fast });
  const { url = '' } = await owner.answer;
  await query({ url }, async (sql) => t.same(await sql`select n from kept`, [{ n: 1 }], 'found again'));
  await end(owner);
  const copies = (await readdir(sharedDir)).filter((name) => name.startsWith('postgres-'));
  t.equal(copies.length, 1, 'copied once');
  const made = (await stat(join(sharedDir, copies[0] ?? ''))).birthtimeMs;
  const fresh = app.spawn({ dataDir: join(closed, 'fresh'), sharedDir, settings: fast });
  t.hasProps(await fresh.answer, ['url'], 'initdb works from the copy');
  await end(fresh);
  t.equal((await stat(join(sharedDir, copies[0] ?? ''))).birthtimeMs, made, 'and used again');
  t.equal((await stat(closed)).mode & 0o7777, 0o700);
  t.equal((await stat(closed)).uid, 0);
});
