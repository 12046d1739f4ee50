import { readFile, statfs } from 'node:fs/promises';

/*
 * Where tests put what need not last: in memory. A database is some 350 files, and ext4, which does not give an inode away again that was
 * given back a moment ago, looks at all of these for each new file. Making and dropping databases is what a run does most.
 */
const FOLDER = '/dev/shm';
/** More than a run has ever taken. */
const ROOM_BYTES = 2 * 2 ** 30;

/** The folder that Linux keeps in memory; undefined where there is none, where it is full, and where no program may run from it. */
export const memory: string | undefined = (await isFit()) ? FOLDER : undefined;

async function isFit(): Promise<boolean> {
  try {
    const { bavail, bsize } = await statfs(FOLDER);
    const mounts = await readFile('/proc/mounts', 'utf8');
    return bavail * bsize >= ROOM_BYTES && !new RegExp(`^\\S+ ${FOLDER} \\S+ \\S*noexec`, 'm').test(mounts);
  } catch {
    return false; // no Linux
  }
}
