import { type ChildProcess, execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import postgres from 'postgres';
import type { Test } from 'tap';
import type { EmbeddedDatabase } from '../../src/embedded/start.js';
import { putData, temporary } from './prepared.js';

const run = promisify(execFile);
export const isRoot = process.getuid?.() === 0;
/** Settings of servers that are small, and whose data need not survive a power cut. */
export const fast = { fsync: 'off', shared_buffers: '16MB' };

/** A folder the server's user may enter. Whatever still runs in it at the end is killed. */
export async function folder(t: Test): Promise<string> {
  const path = await realpath(await mkdtemp(join(temporary, 'clocktick-embedded-')));
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

/** A folder with a database of its own, as an earlier start has made it. */
export async function dataFolder(t: Test): Promise<string> {
  const path = await folder(t);
  await putData(path);
  return path;
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
