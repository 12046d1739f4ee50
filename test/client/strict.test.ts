import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { PROBLEMS } from '../../src/http/protocol/problems.js';
import { testClient } from '../helper/client.js';
import { packedClient, TARGETS } from '../helper/packed.js';

/*
 * Calls that are right compile as strictly as can be, and run; calls that are wrong do not compile. (A line of which TypeScript is to say
 * that it is wrong, and is not, is an error.)
 */

const program = (name: string) => readFile(new URL(`programs/${name}`, import.meta.url), 'utf8');

t.test('a program of somebody else that calls the client', async (t) => {
  const { folder, compile } = await packedClient(t);
  const codes = Object.keys(PROBLEMS);
  const files = {
    'right.ts': await program('right.ts'),
    'wrong.ts': await program('wrong.ts'),
    'codes.ts': `import type { ProblemCode } from 'clocktick/client';
    export const codes: ProblemCode[] = ${JSON.stringify(codes)};
    export const all: Record<ProblemCode, 1> = ${JSON.stringify(Object.fromEntries(codes.map((code) => [code, 1])))};`,
  };
  for (const [name, options] of Object.entries(TARGETS))
    t.equal(await compile(files, options), '', `in ${name} what is right compiles, and what is wrong does not`);
  const { baseUrl } = await testClient(t);
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'out/right.js'), baseUrl]);
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
