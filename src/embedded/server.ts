// The server process of the embedded database: which one serves a data folder, and how it is stopped.
import { execFile } from 'node:child_process';
import { link, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Unfit } from '../unfit.js';
import { hasCode, isAlive, program } from './files.js';

/** A postmaster.pid: `status` is `ready`, `starting` or `stopping`; `written` is its time in milliseconds. */
type PidFile = { text: string; pid: number; port: number; status: string; written: number };

const stopPatience = 20_000;

/** What the postmaster of a data folder wrote into its pid file, if there is one. */
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
 * The living server of this data folder. A dead one's pid file is left to PostgreSQL, which also looks in it for shared
 * memory still in use; it only stumbles where the pid now belongs to somebody else, or where a power failure left the
 * file empty. Those files are removed here.
 */
export async function findServer(data: string): Promise<PidFile | undefined> {
  const file = await readPidFile(data);
  if (file === undefined) return undefined;
  if (file.pid > 0) {
    if (!(await isRunning(file.pid))) return undefined;
    if (await serves(file.pid, data)) return file;
  } else if (Date.now() - file.written < 2000) {
    return file; // not stale: a server is writing it at this moment
  }
  await removeStale(join(data, 'postmaster.pid'), file.text);
  return undefined;
}

// Another process may have done the same, and its server may be running by now. So look at what was really taken away,
// and put it back if that is not what was judged. (Should a second server start in between, it stops at the shared
// memory, whose key is the inode of the data folder.)
async function removeStale(path: string, judged: string): Promise<void> {
  const aside = `${path}.stale-${process.pid}`;
  try {
    await rename(path, aside);
    if ((await readFile(aside, 'utf8')) !== judged) await link(aside, path);
    await rm(aside);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error; // the other was first
  }
}

// Whether that process is the postmaster of that data folder; when in doubt, yes.
async function serves(pid: number, data: string): Promise<boolean> {
  const command = await commandOf(pid);
  if (!/(^|[\\/])postgres(\.exe)? -/.test(command)) return false;
  const other = / -D (.+?)(?= -\w |$)/.exec(command)?.[1];
  if (other === undefined || other === data) return true;
  // The server of another folder: unless that folder does not know it, as when it is ours under its former name.
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

// An orphan that nobody reaps (a container without an init process) stays a zombie, which has no command line.
async function isRunning(pid: number): Promise<boolean> {
  if (!isAlive(pid)) return false;
  return process.platform !== 'linux' || (await commandOf(pid)) !== '';
}

/** Stops a server fast, and at once if it does not within 20 s. */
export async function stopServer(pid: number, data: string, bin: string): Promise<void> {
  for (const [signal, patience] of [
    ['INT', stopPatience],
    ['QUIT', stopPatience / 2],
  ] as const) {
    if (!(await isRunning(pid)) || !(await serves(pid, data))) return;
    // Node's kill on Windows ends a process on the spot, whatever the signal: a crash.
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
