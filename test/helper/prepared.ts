import { execFile } from 'node:child_process';
import { mkdir, readFile, realpath, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/**
 * A data folder as a first start of the service leaves it, migrated and stopped; before.ts makes it. initdb and a migration take
 * seconds of a processor, a copy nearly none: what is not about the first start begins with a copy.
 */
export const PREPARED = fileURLToPath(new URL('../../node_modules/.cache/clocktick-prepared/', import.meta.url));

/** Puts the database into a data folder, which the user of its server may enter. Makes the folder if it is missing. */
export async function putData(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true });
  // Of copies that Node makes all files would belong to root if it runs this, and PostgreSQL does not run as root.
  await promisify(execFile)('cp', ['-pR', await realpath(join(PREPARED, 'postgres')), join(dataDir, 'postgres')]);
}

const MEMORY = '/dev/shm';
const ROOM_BYTES = 2 * 2 ** 30;

/**
 * Where folders of tests are made: in memory where that has room and programs may run there, else where TMPDIR says. Servers that
 * come and go write so much that a disk takes a third of their processor time.
 */
export const temporary = (await hasRoom()) ? MEMORY : tmpdir();

async function hasRoom(): Promise<boolean> {
  if (process.env.TMPDIR !== undefined) return false;
  try {
    const { bavail, bsize } = await statfs(MEMORY);
    const mounts = await readFile('/proc/mounts', 'utf8');
    return bavail * bsize > ROOM_BYTES && !new RegExp(`^\\S+ ${MEMORY} \\S+ \\S*noexec`, 'm').test(mounts);
  } catch {
    return false; // no Linux
  }
}
