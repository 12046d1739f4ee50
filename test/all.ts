import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

/*
 * The whole suite, by a bare `npx tap`. A process that loads the service and warms it up costs more than most files do, so files share
 * processes (helper/part.ts). Only those have one of their own that start others and wait for them; what computes goes on beside them.
 * Arguments leave only the files whose names begin with one of them: `npx tap --test-arg=storage/ --test-arg=http/model`.
 */
const ROOT = fileURLToPath(new URL('.', import.meta.url));
const ALONE = /^(cli|clients|embedded|faults|main|replay)\/|^http\/protocol\/load\.test\.ts$/;
/** More than run at once: the last one must not run long when all others have ended. */
const PARTS = 12;
/** For what hangs only: a slow machine must not fail. */
const TIMEOUT_MS = 1_800_000;
const PART = join(ROOT, 'helper/part.ts');

const wanted = process.argv.slice(2);
const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.test.ts'))
  .filter((file) => wanted.length === 0 || wanted.some((start) => file.startsWith(start)))
  .sort();
// A long file takes long, roughly, and all parts are to take equally long.
const sizeOf = (file: string) => statSync(join(ROOT, file)).size;
const shared = files.filter((file) => !ALONE.test(file)).sort((a, b) => sizeOf(b) - sizeOf(a));
const parts = Array.from({ length: Math.min(PARTS, shared.length) }, (_, part) =>
  shared.filter((_, n) => n % PARTS === part),
);
const alone = files.filter((file) => ALONE.test(file)).map((file) => [file]);
const processes = Array.from({ length: Math.max(parts.length, alone.length) }, (_, n) => [
  ...alone.slice(2 * n, 2 * n + 2),
  ...parts.slice(n, n + 1),
]).flat();

t.jobs = 4;
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
