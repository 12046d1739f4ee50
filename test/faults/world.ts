import { execFile } from 'node:child_process';
import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { folder, type Run as Process, type Scope, start } from '../helper/program.js';
import { ownServer, type Server } from './server.js';

const run = promisify(execFile);

/** An instance of the service, at one address however often it is started. */
export type Instance = {
  url: () => string;
  kill: () => Promise<void>;
  start: () => Promise<void>;
  process: () => Process;
};

/** What faults are injected into: a database, and instances over it. */
export type World = {
  server: Server;
  instances: Instance[];
  /** The small disk that the data is on; null where none can be mounted. */
  disk: string | null;
  /** The library that fakes clocks; null where it is not installed. */
  library: string | null;
};

/** Where Debian's package libfaketime puts it, for either architecture, unless FAKETIME_LIBRARY says where it is. */
const LIBRARIES = [
  process.env.FAKETIME_LIBRARY,
  ...['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketime.so.1`),
].filter((path) => path !== undefined);

const DISK_MB = 600;

/** Starts a server and instances, all of which end with the scope. `begin` may put data into the folder of the server before. */
export async function makeWorld(
  scope: Scope,
  {
    instances: count,
    maxConnections,
    begin,
  }: { instances: number; maxConnections: number; begin?: (dataDir: string) => Promise<void> },
): Promise<World> {
  const path = await folder(scope);
  const disk = await smallDisk(scope, join(path, 'disk'));
  const library = await firstOf(LIBRARIES);
  const settings = {
    max_connections: String(maxConnections),
    max_prepared_transactions: '5',
    // Few and small files, so that a small disk holds them.
    min_wal_size: '32MB',
    max_wal_size: '128MB',
  };
  const dataDir = join(disk ?? path, 'data');
  await begin?.(dataDir);
  const server = await ownServer(scope, { dataDir, settings, library });
  const instances = await Promise.all(Array.from({ length: count }, () => instanceOf(scope, server)));
  return { server, instances, disk, library };
}

async function instanceOf(scope: Scope, { serviceUrl }: Server): Promise<Instance> {
  const env = { DATABASE_URL: serviceUrl, LOG_LEVEL: 'error' };
  let running = await start(scope, env);
  if (running.url === '') throw new Error(`the service did not start: ${running.output()}`);
  const { url } = running;
  const { port } = new URL(url);
  return {
    url: () => url,
    process: () => running,
    kill: async () => {
      running.process.kill('SIGKILL');
      await running.ended;
    },
    start: async () => {
      running = await start(scope, { ...env, PORT: port });
      if (running.url === '') throw new Error(`the service did not start again: ${running.output()}`);
    },
  };
}

/** A small disk at this path; null where none can be mounted: it takes Linux, and root. */
async function smallDisk(scope: Scope, path: string): Promise<string | null> {
  await mkdir(path);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m,mode=755`, 'clocktick', path]);
  } catch {
    return null;
  }
  scope.teardown(() => run('umount', ['-l', path]));
  return path;
}

async function firstOf(paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return null;
}
