import { execFile } from 'node:child_process';
import { mkdir, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { memory } from './memory.js';

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

/** Where folders of tests are made: in memory where that can be, else where TMPDIR says. */
export const temporary = process.env.TMPDIR === undefined ? (memory ?? tmpdir()) : tmpdir();
