import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { PROBLEMS } from '../../src/http/protocol/problems.js';
import { testClient } from '../helper/client.js';

/*
 * The client as its package gives it to others: calls that are right compile as strictly as can be, and run; calls that are wrong do not
 * compile. (A line of which TypeScript is to say that it is wrong, and is not, is an error.)
 */
const ROOT = new URL('../../', import.meta.url);
const COMPILER = fileURLToPath(new URL('node_modules/typescript/bin/tsc', ROOT));
const run = promisify(execFile);

const compile = (...words: string[]): Promise<string> =>
  run(process.execPath, [COMPILER, ...words]).then(
    ({ stdout }) => stdout,
    ({ stdout }: { stdout: string }) => stdout,
  );

const STRICT = {
  target: 'es2023',
  module: 'nodenext',
  strict: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  outDir: 'out',
  rootDir: '.',
};
const CALLERS = {
  'Node.js': { ...STRICT, lib: ['es2023'], types: ['node'], skipLibCheck: true },
  'a browser': { ...STRICT, lib: ['es2023', 'dom'], types: [], exactOptionalPropertyTypes: true },
};

t.test('a program of somebody else that calls the client', async (t) => {
  const cache = fileURLToPath(new URL('.tap/clients/', ROOT));
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'client-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const ours = join(folder, 'node_modules/clocktick');
  await mkdir(ours, { recursive: true });
  await copyFile(new URL('package.json', ROOT), join(ours, 'package.json'));
  const client = fileURLToPath(new URL('src/client/tsconfig.json', ROOT));
  t.equal(await compile('-p', client, '--outDir', join(ours, 'dist'), '--emitDeclarationOnly', 'false'), '');

  for (const file of ['right.ts', 'wrong.ts'])
    await copyFile(new URL(`programs/${file}`, import.meta.url), join(folder, file));
  const codes = Object.keys(PROBLEMS);
  await writeFile(
    join(folder, 'codes.ts'),
    `import type { ProblemCode } from 'clocktick/client';
    export const codes: ProblemCode[] = ${JSON.stringify(codes)};
    export const all: Record<ProblemCode, 1> = ${JSON.stringify(Object.fromEntries(codes.map((code) => [code, 1])))};`,
  );
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  for (const [name, compilerOptions] of Object.entries(CALLERS)) {
    const files = ['right.ts', 'wrong.ts', 'codes.ts'];
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
    t.equal(await compile('-p', folder), '', `in ${name} what is right compiles, and what is wrong does not`);
  }
  const { baseUrl } = await testClient(t);
  const { stdout } = await run(process.execPath, [join(folder, 'out/right.js'), baseUrl]);
  t.same(JSON.parse(stdout), [
    [1, { plan: 'free', address: { city: 'Oslo' } }],
    'team',
    'somebody came first: tick 2',
    [1, 'created', null],
    [2, 'updated', 'monica'],
    ['acme', 'free'],
    404,
  ]);
});
