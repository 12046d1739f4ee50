import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** The service as it is built. */
export const MAIN = join(ROOT, 'dist/main.js');

/** A service that was started, or tried to. */
export type Run = { process: ChildProcess; url: string; output: () => string; ended: Promise<number | null> };

/** Starts the service as its users do and waits until it says where it listens, or ends. */
export async function start(
  t: Test,
  env: Record<string, string>,
  [command, ...args]: string[] = [process.execPath, MAIN],
): Promise<Run> {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(TAP|NODE_OPTIONS|npm_)/.test(name)),
  );
  const child = spawn(command ?? '', args, {
    cwd: ROOT,
    env: { ...clean, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
  }
  const ended = once(child, 'exit').then(([code]: (number | null)[]) => code ?? null);
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await ended;
  });
  const address = /clocktick: ready: (\S+)/;
  const limit = Date.now() + 90_000;
  while (!address.test(output) && child.exitCode === null && Date.now() < limit) await sleep(20);
  return { process: child, url: address.exec(output)?.[1] ?? '', output: () => output, ended };
}

/** Data folders whose server was not stopped when its test was over. */
export const leftRunning: string[] = [];

/** A folder for the data of services, gone when the test ends. */
export const folder = async (t: Test): Promise<string> => {
  const made = await mkdtemp(join(tmpdir(), 'clocktick-main-'));
  await chmod(made, 0o755); // else a server started by root would keep its data elsewhere
  t.teardown(async () => {
    // A server that stops removes this file.
    const files = await readdir(made, { recursive: true });
    leftRunning.push(...files.filter((file) => /postmaster\.pid$/.test(file)).map((file) => join(made, file)));
    await rm(made, { recursive: true, force: true });
  });
  return made;
};
