import { readdir, stat } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import { join } from 'node:path';
import postgres from 'postgres';
import t from 'tap';
import { startEmbedded } from '../../src/embedded/start.js';
import { makeApp } from '../helper/app.js';
import { answers, dataFolder, fast, folder, kill, processes, query, servers, until } from '../helper/embedded.js';

t.test('the first start makes a database that sorts in C order, and the next one finds it again', async (t) => {
  const dataDir = await folder(t);
  const lines: string[] = [];
  const first = await startEmbedded({ dataDir, log: (line) => lines.push(line) });
  await query(first, async (sql) => {
    await sql`create table kept as select 1 as n`;
    const [row] = await sql`
      select current_setting('fsync') || current_setting('full_page_writes') || current_setting('synchronous_commit') as durable,
        current_setting('data_checksums') as checksums, current_setting('server_encoding') as encoding,
        current_setting('listen_addresses') as addresses, current_setting('unix_socket_directories') as sockets,
        current_setting('max_connections') as connections, current_setting('jit') as jit,
        current_setting('max_wal_size') as wal,
        current_setting('password_encryption') as passwords, current_database() as database,
        (select string_agg(x, '' order by x) from unnest(array['a', 'B', 'é', 'Z', 'É']) x) as sorted,
        (select string_agg(distinct auth_method, ',') from pg_hba_file_rules) as auth`;
    t.same(row, {
      durable: 'ononon',
      checksums: 'on',
      encoding: 'UTF8',
      addresses: '127.0.0.1',
      sockets: '',
      connections: '100',
      jit: 'off',
      wal: '2GB',
      passwords: 'scram-sha-256',
      database: 'clocktick',
      sorted: 'BZaÉé',
      auth: 'scram-sha-256',
    });
  });
  const port = Number(new URL(first.url).port);
  t.equal(await answers(port, '127.0.0.1'), true);
  if (process.platform === 'linux') t.equal(await answers(port, '127.0.0.2'), false, 'no other address');
  const wrong = postgres(first.url, { password: 'wrong', max: 1 });
  await t.rejects(wrong`select 1`, { code: '28P01' });
  await wrong.end();
  t.equal((await stat(join(dataDir, 'postgres/password'))).mode & 0o777, 0o600);
  t.equal(first.stop(), first.stop(), 'stop is idempotent');
  await first.stop();
  await first.stop();
  t.same(await servers(dataDir), []);
  t.match(lines.join('\n'), /ready to accept connections.*database system is shut down/s);

  const second = await startEmbedded({ dataDir, settings: { ...fast, work_mem: '5MB' } });
  t.teardown(() => second.stop());
  await query(second, async (sql) => {
    t.same(await sql`select n, current_setting('work_mem') as mem, current_setting('fsync') as fsync from kept`, [
      { n: 1, mem: '5MB', fsync: 'off' },
    ]);
  });
  t.same(await readdir(dataDir), ['postgres']);
});

t.test('stop ends sessions that are busy', async (t) => {
  const lines: string[] = [];
  const db = await startEmbedded({
    dataDir: await dataFolder(t),
    settings: { ...fast, log_statement: 'all' },
    log: (line) => lines.push(line),
  });
  const sql = postgres(db.url, { max: 1 });
  const busy = t.rejects(sql`select pg_sleep(3600)`.execute());
  await until(async () => lines.some((line) => line.includes('pg_sleep(3600)')));
  await db.stop();
  await busy;
  t.match(lines.join('\n'), /received fast shutdown request.*database system is shut down/s);
  t.notMatch(lines.join('\n'), 'immediate shutdown');
  await sql.end({ timeout: 0 });
});

t.test('a server that dies at its start says why', async (t) => {
  const dataDir = await dataFolder(t);
  const failing = startEmbedded({ dataDir, settings: { ...fast, shared_buffers: 'plenty' } });
  await t.rejects(failing, { message: /did not start.*invalid value for parameter "shared_buffers": "plenty"/s });
  const db = await startEmbedded({ dataDir, settings: fast });
  await db.stop();
});

t.test('a port lost to somebody else is replaced by another', async (t) => {
  const dataDir = await dataFolder(t);
  const winner = net.createServer().listen(0, '127.0.0.1');
  await new Promise((settle) => winner.once('listening', settle));
  const { createServer } = net;
  let asked = 0;
  net.createServer = () => {
    asked += 1;
    const probe = createServer();
    if (asked === 1) probe.address = () => winner.address();
    return probe;
  };
  syncBuiltinESMExports();
  const lines: string[] = [];
  const db = await startEmbedded({ dataDir, settings: fast, log: (line) => lines.push(line) });
  net.createServer = createServer;
  syncBuiltinESMExports();
  await db.stop();
  winner.close();
  t.equal(asked, 2);
  t.match(lines.join('\n'), 'Address already in use');
});

t.test('the log file stays bounded', async (t) => {
  const dataDir = await dataFolder(t);
  let lines = 0;
  const db = await startEmbedded({
    dataDir,
    settings: fast,
    log: (line) => {
      if (line.includes('LOG:  statement:')) lines += 1;
    },
  });
  await query(db, async (sql) => {
    await sql`set log_statement = 'all'`;
    for (let i = 0; i < 4; i++) await sql.unsafe(`select '${'x'.repeat(1 << 19)}'`);
    // All of it is in the file before the last answer.
    await until(async () => (await stat(join(dataDir, 'postgres/server.log'))).size < 1 << 20);
  });
  await db.stop();
  t.ok(lines >= 4, 'and nothing is left out of what is passed on');
});

t.test('killed in the middle of initdb, it leaves nothing half made', async (t) => {
  const dataDir = await folder(t);
  const app = await makeApp(t);
  const child = app.spawn({ dataDir, settings: fast });
  const making = async () => (await readdir(dataDir)).find((name) => name.includes('.making-'));
  await until(async () => {
    const name = await making();
    return name !== undefined && (await readdir(join(dataDir, name, 'data'))).length > 3;
  });
  await kill(child);
  t.not(await making(), undefined);
  t.equal((await readdir(dataDir)).includes('postgres'), false);
  const db = await startEmbedded({ dataDir, settings: fast });
  await db.stop();
  await until(async () => (await processes(dataDir)).length === 0);
  const again = await startEmbedded({ dataDir, settings: fast });
  await again.stop();
  t.same(await readdir(dataDir), ['postgres'], 'and what it left is cleared away');
});
