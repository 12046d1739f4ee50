import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Test } from 'tap';

/* Programs of others, which call the client as its package gives it to them. */

const ROOT = new URL('../../', import.meta.url);
const COMPILER = fileURLToPath(new URL('node_modules/typescript/bin/tsc', ROOT));

/** What tsc says; nothing where all is well. */
const tsc = (...words: string[]): Promise<string> =>
  promisify(execFile)(process.execPath, [COMPILER, ...words]).then(
    ({ stdout }) => stdout,
    ({ stdout }: { stdout: string }) => stdout,
  );

/**
 * A folder in which `clocktick/client` is installed.
 * @returns its path, and how files of it are compiled, as strictly as can be, into `out`: what tsc says
 */
export async function packedClient(t: Test) {
  // Inside the project, so that the types of Node.js are found.
  const cache = fileURLToPath(new URL('.tap/clients/', ROOT));
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'client-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const ours = join(folder, 'node_modules/clocktick');
  await mkdir(ours, { recursive: true });
  await copyFile(new URL('package.json', ROOT), join(ours, 'package.json'));
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  const client = fileURLToPath(new URL('src/client/tsconfig.json', ROOT));
  const told = await tsc('-p', client, '--outDir', join(ours, 'dist'), '--emitDeclarationOnly', 'false');
  if (told !== '') throw new Error(told);
  const compile = async (files: Record<string, string>, options: object) => {
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    const compilerOptions = { ...STRICT, ...options };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: Object.keys(files) }));
    return tsc('-p', folder);
  };
  return { folder, compile };
}

const STRICT = {
  target: 'es2023',
  module: 'nodenext',
  strict: true,
  noUncheckedIndexedAccess: true,
  outDir: 'out',
  rootDir: '.',
};

/** What compiles a program for Node.js, and one for a browser. */
export const TARGETS = {
  'Node.js': { lib: ['es2023'], types: ['node'], skipLibCheck: true },
  'a browser': { lib: ['es2023', 'dom'], types: [], exactOptionalPropertyTypes: true },
};
