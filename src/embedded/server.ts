/* The server process of the embedded database: which one serves a data folder, and how it is stopped. */
import { execFile } from 'node:child_process';
import { link, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Unfit } from '../unfit.js';
import { hasCode, isAlive, program } from './files.js';

/** A postmaster.pid. `status` is `ready`, `starting` or `stopping`; `written` is when, in milliseconds since 1970. */
type PidFile = { text: string; pid: number; port: number; status: string; written: number };

/** How long a server may take for a fast shutdown, and then half of that for an immediate one. */
const STOP_PATIENCE_MS = 20_000;

/** How old an empty pid file must be to count as left over: a starting server creates it before it writes it. */
const PID_FILE_WRITTEN_MS = 2_000;

/** What the postmaster of a data folder wrote into its pid file; undefined when there is none. */
export async function readPidFile(data: string): Promise<PidFile | undefined> {
  const path = join(data, 'postmaster.pid');
  try {
    const [text, { mtimeMs }] = [await readFile(path, 'utf8'), await stat(path)];
    const lines = text.split('\n').map((part) => part.trim());
    // A stand-alone backend (`postgres --single`) writes its pid as a negative number.
    const pid = Math.abs(Number(lines[0]));
    return { text, pid, port: Number(lines[3]), status: lines[7] || 'starting', written: mtimeMs };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/**
 * The living server of a data folder. The pid file of a dead server stays for PostgreSQL, which also finds in it the shared memory
 * that may still be in use. PostgreSQL stumbles over two kinds of stale files: one whose pid now belongs to another process, and
 * one that a power failure left empty. This function removes those.
 */
export async function findServer(data: string): Promise<PidFile | undefined> {
  const file = await readPidFile(data);
  if (file === undefined) return undefined;
  if (file.pid > 0) {
    if (!(await isRunning(file.pid))) return undefined;
    if (await serves(file.pid, data)) return file;
  } else if (Date.now() - file.written < PID_FILE_WRITTEN_MS) {
    return file; // not stale: a server is writing it at this moment
  }
  await removeStale(join(data, 'postmaster.pid'), file.text);
  return undefined;
}

/**
 * Removes a pid file that was judged stale. Another process may have done so meanwhile, and its server may be running. So this
 * function looks at the file it has moved aside, and puts it back if it is not the one that was judged. (If a second server starts
 * in between, the shared memory stops it: its key is the inode of the data folder.)
 */
async function removeStale(path: string, judged: string): Promise<void> {
  const aside = `${path}.stale-${process.pid}`;
  try {
    await rename(path, aside);
    if ((await readFile(aside, 'utf8')) !== judged) await link(aside, path);
    await rm(aside);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error; // the other process was first
  }
}

/** Whether a process is the postmaster of a data folder; when in doubt, yes. */
async function serves(pid: number, data: string): Promise<boolean> {
  const command = await commandOf(pid);
  if (!/(^|[\\/])postgres(\.exe)? -/.test(command)) return false;
  const other = / -D (.+?)(?= -\w |$)/.exec(command)?.[1];
  if (other === undefined || other === data) return true;
  // It serves another folder, if the pid file of that folder says so. Otherwise that is the former name of this folder.
  const file = await readPidFile(other).catch(() => undefined);
  return file?.pid !== pid;
}

async function commandOf(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return command.replaceAll('\0', ' ').trim();
  }
  const [file, args] =
    process.platform === 'win32'
      ? [
          'powershell',
          ['-NoProfile', '-Command', `(Get-CimInstance Win32_Process -Filter "ProcessId=${pid}").CommandLine`],
        ]
      : ['ps', ['-ww', '-o', 'command=', '-p', String(pid)]];
  const { stdout } = await promisify(execFile)(file, args).catch((error) => {
    if (hasCode(error, 1)) return { stdout: '' }; // no such process
    throw error;
  });
  return stdout.replaceAll('"', '').trim();
}

/** Whether a process runs. An orphan that nobody reaps (in a container without init) stays a zombie, without a command line. */
export async function isRunning(pid: number): Promise<boolean> {
  if (!isAlive(pid)) return false;
  return process.platform !== 'linux' || (await commandOf(pid)) !== '';
}

/** Stops a server by a fast shutdown, or by an immediate one if that takes too long. @throws Unfit when neither stops it */
export async function stopServer(pid: number, data: string, bin: string): Promise<void> {
  for (const [signal, patience] of [
    ['INT', STOP_PATIENCE_MS],
    ['QUIT', STOP_PATIENCE_MS / 2],
  ] as const) {
    if (!(await isRunning(pid)) || !(await serves(pid, data))) return;
    // On Windows, Node's kill ends a process on the spot, whatever the signal. The server would have to recover as from a crash.
    if (process.platform === 'win32') await promisify(execFile)(program(bin, 'pg_ctl'), ['kill', signal, String(pid)]);
    else process.kill(pid, `SIG${signal}`);
    const until = Date.now() + patience;
    while (Date.now() < until) {
      if (!(await isRunning(pid))) return;
      await sleep(10);
    }
  }
  throw new Unfit(`The embedded database (process ${pid}) did not stop`);
}
