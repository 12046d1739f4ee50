import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

/*
 * The whole suite, by a bare `npx tap`. A process that loads the service and warms it up costs more than most files do, so files share
 * processes (helper/part.ts).
 * Arguments leave only the files whose names begin with one of them: `npx tap --test-arg=storage/ --test-arg=http/model`.
 */
const ROOT = fileURLToPath(new URL('.', import.meta.url));
/** Those that take longest have a process of their own, and come first. */
const ALONE = /^(faults\/faults|http\/protocol\/load|main\/(dying|importing|memory))\.test\.ts$/;
/** Those that start processes and wait for them share one with their folder, and a browser: beside them goes what computes. */
const WAITING = ['cli/', 'embedded/', 'main/', 'ui/'];
/** Of all others. More than run at once: the last one must not run long when all others have ended. */
const PARTS = 12;
/** For what hangs only: a slow machine must not fail. */
const TIMEOUT_MS = 1_800_000;
const PART = join(ROOT, 'helper/part.ts');

const wanted = process.argv.slice(2);
const known = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.test.ts'))
  .sort();
for (const start of wanted)
  if (!known.some((file) => file.startsWith(start))) throw new Error(`no file of test/ begins with ${start}`);
const files = known.filter((file) => wanted.length === 0 || wanted.some((start) => file.startsWith(start)));
const alone = files.filter((file) => ALONE.test(file));
const waiting = WAITING.map((folder) => files.filter((file) => file.startsWith(folder) && !alone.includes(file)));
const others = files.filter((file) => ![...alone, ...waiting.flat()].includes(file));
// A long file takes long, roughly, and all parts are to take equally long.
const sizes = new Map(others.map((file) => [file, statSync(join(ROOT, file)).size]));
others.sort((a, b) => (sizes.get(b) ?? 0) - (sizes.get(a) ?? 0));
const parts = Array.from({ length: PARTS }, (_, part) => others.filter((_, n) => n % PARTS === part));
const processes = [...alone.map((file) => [file]), ...waiting, ...parts].filter((own) => own.length > 0);

t.jobs = 5;
// Not what one file may take by itself.
t.setTimeout(TIMEOUT_MS);
let ended = 0;
for (const own of processes) {
  const names = own.map((file) => relative(process.cwd(), join(ROOT, file)));
  const args = ['--import=tsx', '--enable-source-maps', ...(names.length > 1 ? [PART] : []), ...names];
  const run = t.spawn(process.execPath, args, { timeout: TIMEOUT_MS }, names.join(' '));
  run.then((results) => {
    ended++;
    // Whoever waits sees how far it is: tap tells of this file at its end only.
    const seconds = Math.round((run.subtest?.time ?? 0) / 1000);
    process.stderr.write(
      `${results?.ok ? 'ok' : 'not ok'} ${ended} of ${processes.length}, ${seconds} s: ${names.join(' ')}\n`,
    );
  });
}
