import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { putData, temporary } from './prepared.js';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** The service as it is built. */
export const MAIN = join(ROOT, 'dist/main.js');

/** A test, or whatever else ends what was begun for it. */
export type Scope = { teardown: (work: () => unknown) => unknown };

/** A service that was started, or tried to. */
export type Run = {
  process: ChildProcess;
  /** Where it listens; empty when it ended instead. */
  url: string;
  output: () => string;
  /** Of its output, what it wrote to stderr. */
  errors: () => string;
  /** Resolves when its output says this, or when it has ended. */
  says: (what: RegExp) => Promise<void>;
  ended: Promise<number | null>;
};

/** Starts the service as its users do and waits until it says where it listens, or ends. */
export async function start(
  t: Scope,
  env: Record<string, string>,
  [command, ...args]: string[] = [process.execPath, MAIN],
  { detached = false, cwd = ROOT } = {},
): Promise<Run> {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(TAP|NODE_OPTIONS|npm_)/.test(name)),
  );
  const child = spawn(command ?? '', args, {
    cwd,
    detached,
    env: { ...clean, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  const events = new EventEmitter();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
      events.emit('output');
    });
  }
  child.stderr?.on('data', (chunk: string) => {
    errors += chunk;
  });
  const ended = once(child, 'close').then(([code]: (number | null)[]) => code ?? null);
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await ended;
  });
  const says = async (what: RegExp) => {
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    while (!isOver && !what.test(output)) await Promise.race([ended, once(events, 'output')]);
  };
  const address = /clocktick: ready: (\S+)/;
  await says(address);
  return {
    process: child,
    url: address.exec(output)?.[1] ?? '',
    output: () => output,
    errors: () => errors,
    says,
    ended,
  };
}

/** Data folders whose server was not stopped when its test was over. */
export const leftRunning: string[] = [];

/** A folder for the data of services, gone when the test ends. */
export const folder = async (t: Scope): Promise<string> => {
  const made = await mkdtemp(join(temporary, 'clocktick-main-'));
  await chmod(made, 0o755); // else a server started by root would keep its data elsewhere
  t.teardown(async () => {
    // A server that stops removes this file.
    const files = await readdir(made, { recursive: true });
    leftRunning.push(...files.filter((file) => /postmaster\.pid$/.test(file)).map((file) => join(made, file)));
    await rm(made, { recursive: true, force: true });
  });
  return made;
};

/** A folder with data for a service, as an earlier start has made it. */
export const dataFolder = async (t: Scope): Promise<string> => {
  const dataDir = join(await folder(t), 'data');
  await putData(dataDir);
  return dataDir;
};

/**
 * Sends a request and resolves when the service has taken it, which it says because it was asked to (`Expect`). The answer
 * may come much later.
 */
export async function inFlight(url: string): Promise<{ answer: Promise<{ status: number; text: string }> }> {
  const sent = request(url, { headers: { expect: '100-continue' } });
  const answer = once(sent, 'response').then(async ([response]: IncomingMessage[]) => ({
    status: response?.statusCode ?? 0,
    text: response ? await text(response) : '',
  }));
  const taken = once(sent, 'continue');
  sent.end();
  await taken;
  return { answer };
}
