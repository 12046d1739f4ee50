import { execFile, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, request as requestTo } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { refusing, testClient } from '../helper/client.js';
import { packedClient, TARGETS } from '../helper/packed.js';
import { portOf } from '../helper/wire.js';

/* The programs of the guide to clients print what stands there, also where the service refuses one request in three for a moment. */

const GUIDE = await readFile(new URL('../../src/guide/clients.md', import.meta.url), 'utf8');
const EXPECTED = /\n```\n```\n(.*?\n)```\n/s.exec(GUIDE)?.[1];

/** The program of a section. */
function programOf(heading: string): string {
  const [, program] = /\n```\w+\n(.*?\n)```\n/s.exec(GUIDE.split(`# ${heading}\n`)[1] ?? '') ?? [];
  if (program === undefined) throw new Error(`there is no program under ${heading}`);
  return program;
}

/** How the program of each section is run, in a folder of its own. */
const RECIPES: Record<string, { needs: string[]; file: string; words: string[]; env?: (folder: string) => object }> = {
  Python: { needs: ['python3'], file: 'acme.py', words: ['python3', 'acme.py'] },
  // Its caches lie in the folder: it needs no home.
  Go: {
    needs: ['go'],
    file: 'acme.go',
    words: ['go', 'run', 'acme.go'],
    env: (folder) => ({ GOCACHE: join(folder, 'cache'), GO111MODULE: 'off' }),
  },
  Java: { needs: ['java', 'javac'], file: 'Acme.java', words: ['java', 'Acme.java'] },
  curl: { needs: ['bash', 'curl', 'jq'], file: 'acme.sh', words: ['bash', '-euo', 'pipefail', 'acme.sh'] },
};

const isThere = (command: string): boolean => spawnSync(command, ['--version']).error === undefined;

/** A door to a service that refuses one request in three: nothing was written. */
async function hesitant(t: Test): Promise<string> {
  const { app } = await testClient(t);
  let count = 0;
  const door = createServer((request, response) => {
    if (++count % 3 === 1) {
      const problem = refusing(503, 'overloaded');
      response.writeHead(503, { 'content-type': 'application/problem+json', 'retry-after': '0' });
      void problem.text().then((text) => response.end(text));
      return;
    }
    const { method, url, headers } = request;
    const inner = requestTo({ port: portOf(app), host: '127.0.0.1', method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    request.pipe(inner);
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    door.closeAllConnections();
    door.close();
  });
  const address = door.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}

const run = promisify(execFile);

for (const [name, { needs, file, words, env }] of Object.entries(RECIPES)) {
  const missing = needs.filter((command) => !isThere(command));
  const skip = missing.length > 0 && `there is no ${missing.join(', ')} here`;
  t.test(`the recipe for ${name} prints what the guide says`, { skip }, async (t) => {
    const folder = t.testdir({});
    await writeFile(join(folder, file), programOf(name));
    const [command = '', ...rest] = words;
    const { stdout } = await run(command, rest, {
      cwd: folder,
      env: { ...process.env, CLOCKTICK_URL: await hesitant(t), ...env?.(folder) },
    });
    t.equal(stdout, EXPECTED);
  });
}

t.test('the program for TypeScript prints what the guide says', async (t) => {
  const { folder, compile } = await packedClient(t);
  t.equal(await compile({ 'acme.ts': programOf('TypeScript') }, TARGETS['Node.js']), '');
  const env = { ...process.env, CLOCKTICK_URL: await hesitant(t) };
  const { stdout } = await run(process.execPath, [join(folder, 'out/acme.js')], { env });
  t.equal(stdout, EXPECTED);
});
