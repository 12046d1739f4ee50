import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createClient } from '@hey-api/openapi-ts';
import openapiTS, { astToString } from 'openapi-typescript';
import t from 'tap';
import { testService } from '../helper/service.js';
import { portOf } from '../helper/wire.js';

/*
 * Clients that others' generators make of openapi.yaml: a program of each compiles as strictly as can be, and does what it should.
 */
const ROOT = new URL('../../', import.meta.url);
const PROGRAMS = new URL('programs/', import.meta.url);
const DOCUMENT = new URL('openapi.yaml', ROOT);

const OPTIONS = {
  compilerOptions: {
    target: 'ES2023',
    module: 'NodeNext',
    outDir: 'out',
    strict: true,
    noUncheckedIndexedAccess: true,
    types: ['node'],
    lib: ['ES2023', 'DOM', 'DOM.Iterable'],
    skipLibCheck: true,
    rootDir: '.',
  },
};

/** What a generator writes into a folder, for the program of the same name. */
const GENERATORS: Record<string, (folder: string) => Promise<unknown>> = {
  'openapi-fetch': async (folder) =>
    writeFile(join(folder, 'openapi-typescript.d.ts'), astToString(await openapiTS(DOCUMENT))),
  'hey-api': (folder) =>
    createClient({
      input: fileURLToPath(DOCUMENT),
      output: { path: join(folder, 'hey-api'), module: { extension: '.js' } },
      logs: { level: 'silent' },
    }),
};

const EXPECTED = {
  created: [201, 1, { name: 'Rachel', location: 'New York' }],
  merged: [200, 'San Francisco'],
  patched: [200, 'Oakland'],
  dry: [200, 'updated', 'Tucson', 4],
  asOf: [200, { location: 'New York' }],
  asOfInstant: [200, 1],
  known: 304,
  pages: ['carlton', 'rachel', 'will'],
  range: [['Oakland', 3, null]],
  changes: [['updated', 'New York', 'San Francisco']],
  taken: [409, 'entity_exists'],
  stale: [412, 'precondition_failed'],
  deleted: 204,
  gone: [410, 'entity_deleted', 4],
  restored: [200, 'Oakland'],
  batched: [
    200,
    [
      ['updated', 6],
      ['updated', 2],
      ['created', 1],
      ['deleted', 2],
    ],
  ],
  undone: [200, 0, 4],
  refused: [404, 'entity_not_found', '/operations/0'],
};

for (const [name, generate] of Object.entries(GENERATORS)) {
  t.test(`a client made by ${name} compiles strictly, and does what it should`, async (t) => {
    const { app } = await testService(t);
    await app.listen({ port: 0, host: '127.0.0.1' });
    // Inside the project, so that packages are found; not below node_modules, where tsc would compile nothing.
    const cache = fileURLToPath(new URL('.tap/clients/', ROOT));
    await mkdir(cache, { recursive: true });
    const folder = await mkdtemp(join(cache, `${name}-`));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await generate(folder);
    await cp(new URL(`${name}.ts`, PROGRAMS), join(folder, `${name}.ts`));
    await writeFile(join(folder, 'package.json'), '{"type": "module"}');
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ ...OPTIONS, files: [`${name}.ts`] }));
    const run = promisify(execFile);
    const compiler = fileURLToPath(new URL('node_modules/typescript/bin/tsc', ROOT));
    const compiled = await run(process.execPath, [compiler, '-p', folder]).then(
      () => '',
      (error: { stdout: string }) => error.stdout,
    );
    t.equal(compiled, '', 'it compiles');
    const program = join(folder, 'out', `${name}.js`);
    const { stdout } = await run(process.execPath, [program, `http://127.0.0.1:${portOf(app)}`]);
    t.same(JSON.parse(stdout), EXPECTED);
  });
}
