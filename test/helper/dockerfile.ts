import { access, cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The commands of the image: its CMD and its HEALTHCHECK. The first word of each is `node`. */
type Image = { command: string[]; healthcheck: string[] };

/**
 * Puts the folder of the service together at `to`, as the last stage of the Dockerfile does. Its node_modules are links to the
 * production dependencies.
 * @throws when a stage copies something that does not exist, or that .dockerignore leaves out
 */
export async function assembleImage(to: string): Promise<Image> {
  const text = (await readFile(join(ROOT, 'Dockerfile'), 'utf8')).replaceAll(/^#.*\n/gm, '').replaceAll(/\\\n */g, '');
  const ignored = await ignoredPaths();
  const stages = text.split(/^FROM /m).slice(1);
  for (const [index, stage] of stages.entries()) {
    for (const [, from, words = ''] of stage.matchAll(/^COPY (?:--from=(\S+) )?(.+)$/gm)) {
      const [target = '', ...sources] = words.split(' ').reverse();
      for (const source of sources) {
        if (from === undefined) {
          await access(join(ROOT, source));
          if (ignored(source)) throw new Error(`.dockerignore keeps ${source} from the Dockerfile`);
        }
        if (index < stages.length - 1) continue;
        const path = target.endsWith('/') ? join(to, target, source) : join(to, target);
        if (source === '/app/node_modules') await linkDependencies(path);
        else
          await cp(join(ROOT, source.replace(/^\/app\//, '')), path, {
            recursive: true,
            filter: (file) => from !== undefined || !ignored(file.slice(ROOT.length)),
          });
      }
    }
  }
  const words = (instruction: RegExp): string[] => JSON.parse(instruction.exec(stages.at(-1) ?? '')?.[1] ?? '[]');
  return { command: words(/^CMD (.*)$/m), healthcheck: words(/^HEALTHCHECK .*CMD (.*)$/m) };
}

/** Reads .dockerignore as Docker does, except `**` and `?`: the last line that names a path or a folder around it decides. */
async function ignoredPaths(): Promise<(path: string) => boolean> {
  const lines = (await readFile(join(ROOT, '.dockerignore'), 'utf8')).split('\n').filter((line) => /^[^#]/.test(line));
  const rules = lines.map((line) => ({
    ignore: !line.startsWith('!'),
    paths: new RegExp(`^${line.replace(/^!/, '').replaceAll('.', '\\.').replaceAll('*', '[^/]*')}(/|$)`),
  }));
  return (path) => rules.findLast(({ paths }) => paths.test(path))?.ignore ?? false;
}

async function linkDependencies(modules: string): Promise<void> {
  const { dependencies }: { dependencies: object } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(ROOT, 'node_modules', name), join(modules, name));
  }
}
