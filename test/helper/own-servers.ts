import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startEmbedded } from '../../src/embedded/start.js';
import { migrateDatabase, SERVICE_ROLE } from '../../src/storage/migrate.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const INTERRUPTED = 130;

/** Starts a server by arguments of node. Gives the URL that the server says it listens on. */
type Start = (args: string[], env?: Record<string, string>) => Promise<string>;

/**
 * Does work with servers that are processes of their own, over a migrated database that syncs as in production. Afterwards it
 * stops all of them, and removes the database. `databaseUrl` is a superuser's, `serviceUrl` that of a role that owns nothing.
 * @param options `dataDir`: a folder of the caller's, in which the database stays; `settings` of its server; `migrated: false` leaves the
 *   schema as it is, for another version of the service
 */
export async function withOwnServers<Result>(
  {
    dataDir,
    settings = {},
    migrated = true,
  }: { dataDir?: string; settings?: Record<string, string>; migrated?: boolean },
  work: (parts: { databaseUrl: string; serviceUrl: string; start: Start }) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'clocktick-own-'));
  await chmod(folder, 0o755); // else a server started by root would keep its data elsewhere
  const children: ChildProcess[] = [];
  const start: Start = async (args, env = {}) => {
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    for await (const line of createInterface({ input: child.stdout })) {
      const url = /https?:\/\/[\d.]+:\d+/.exec(line)?.[0];
      if (url) {
        child.stdout.resume();
        return url;
      }
    }
    throw new Error(`${args.join(' ')} did not start`);
  };
  const server = await startEmbedded({ dataDir: dataDir ?? join(folder, 'data'), settings });
  const stop = async () => {
    const running = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    const ended = running.map((child) => once(child, 'exit'));
    for (const child of running) child.kill('SIGTERM');
    await Promise.all(ended);
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
  // Otherwise the database would go on after this process has ended.
  const interrupted = () => stop().finally(() => process.exit(INTERRUPTED));
  process.once('SIGINT', interrupted);
  try {
    if (migrated) await migrateDatabase(server.url);
    const serviceUrl = migrated ? await server.memberUrl(SERVICE_ROLE) : server.url;
    return await work({ databaseUrl: server.url, serviceUrl, start });
  } finally {
    process.off('SIGINT', interrupted);
    await stop();
  }
}
