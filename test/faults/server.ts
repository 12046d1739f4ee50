import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import postgres from 'postgres';
import { platformPackage, processOptions, program, serverUser, usableBinaries } from '../../src/embedded/files.js';
import { startEmbedded } from '../../src/embedded/start.js';
import { migrateDatabase, SERVICE_ROLE } from '../../src/storage/migrate.js';
import type { Scope } from '../helper/program.js';
import { databaseUrl } from '../helper/server.js';

const run = promisify(execFile);

/** A PostgreSQL of its own, that nobody starts again but whoever has it. */
export type Server = {
  /** The owner's of the schema, a superuser; and that of a role that owns nothing. */
  ownerUrl: string;
  serviceUrl: string;
  /** Asks as a superuser, over a connection for this alone; outside of the service's database unless told so. */
  asAdmin: <T>(ask: (sql: postgres.Sql) => Promise<T>, where?: 'elsewhere' | 'inside') => Promise<T>;
  /** Starts it if it does not run, and waits until it answers. `faked`: its clock is that of `setClock`. */
  start: (options?: { faked?: boolean }) => Promise<void>;
  /** Ends it as an administrator does. */
  stop: () => Promise<void>;
  /** kill -9 of the postmaster. */
  kill: () => Promise<void>;
  /** A signal to all its processes, the postmaster first. */
  signal: (signal: 'SIGSTOP' | 'SIGCONT') => Promise<void>;
  /** By how many seconds its clock is ahead. */
  setClock: (seconds: number) => Promise<void>;
};

const START_MS = 60_000;
const STOP_MS = 15_000;

/**
 * Makes a server with a migrated database, and starts it.
 * @param dataDir where it keeps its data: a folder that its user may enter; what is there already is migrated
 * @param library libfaketime, where it is installed
 */
export async function ownServer(
  scope: Scope,
  { dataDir, settings, library }: { dataDir: string; settings: Record<string, string>; library: string | null },
): Promise<Server> {
  const embedded = await startEmbedded({ dataDir, settings: { fsync: 'off' } });
  const ownerUrl = embedded.url;
  let serviceUrl: string;
  try {
    await migrateDatabase(ownerUrl);
    serviceUrl = await embedded.memberUrl(SERVICE_ROLE);
  } finally {
    await embedded.stop();
  }
  const runAs = await serverUser(dataDir);
  const bin = await usableBinaries(platformPackage(), runAs, dataDir);
  const clock = join(dataDir, 'clock');
  const args = [
    '-D',
    join(dataDir, 'postgres/data'),
    '-p',
    new URL(ownerUrl).port,
    ...Object.entries({ listen_addresses: '127.0.0.1', unix_socket_directories: '', ...settings }).flatMap(
      ([name, value]) => ['-c', `${name}=${value}`],
    ),
  ];
  let postmaster: ChildProcess | undefined;
  let isFaked = false;
  const isRunning = () => postmaster?.exitCode === null && postmaster.signalCode === null;

  const asAdmin: Server['asAdmin'] = async (ask, where = 'elsewhere') => {
    const url = where === 'inside' ? ownerUrl : databaseUrl(ownerUrl, 'postgres');
    const sql = postgres(url, { max: 1, fetch_types: false, connect_timeout: 5, onnotice: () => {} });
    return ask(sql).finally(() => sql.end({ timeout: 1 }));
  };
  const start: Server['start'] = async ({ faked = isFaked } = {}) => {
    isFaked = faked;
    const options = processOptions(runAs);
    const fake = { LD_PRELOAD: library ?? '', FAKETIME_TIMESTAMP_FILE: clock, FAKETIME_NO_CACHE: '1' };
    const env = { ...options.env, ...(faked ? { ...fake, FAKETIME_DONT_FAKE_MONOTONIC: '1' } : {}) };
    const limit = Date.now() + START_MS;
    for (;;) {
      // It refuses to start as long as a session of its predecessor is left.
      if (!isRunning()) {
        postmaster = spawn(program(bin, 'postgres'), args, { ...options, env, detached: true, stdio: 'ignore' });
      }
      const answers = await asAdmin((sql) => sql`SELECT`).then(
        () => true,
        () => false,
      );
      if (answers) return;
      if (Date.now() > limit) throw new Error('the database does not start');
      await sleep(50);
    }
  };
  const end = async (signal: NodeJS.Signals) => {
    if (!postmaster || !isRunning()) return;
    const ended = once(postmaster, 'exit');
    postmaster.kill(signal);
    await ended;
  };
  const signal: Server['signal'] = async (signal) => {
    const pid = postmaster?.pid ?? 0;
    if (!isRunning()) return;
    postmaster?.kill(signal);
    const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=']);
    for (const line of stdout.split('\n')) {
      const [child = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
      if (parent !== pid) continue;
      try {
        process.kill(child, signal);
      } catch {} // gone meanwhile
    }
  };
  const setClock: Server['setClock'] = async (seconds) => {
    await writeFile(clock, `${seconds < 0 ? '' : '+'}${seconds}`);
    await chmod(clock, 0o644);
  };
  scope.teardown(async () => {
    await signal('SIGCONT');
    const giveUp = setTimeout(() => postmaster?.kill('SIGKILL'), STOP_MS);
    await end('SIGINT');
    clearTimeout(giveUp);
  });
  await setClock(0);
  await start();
  return {
    ownerUrl,
    serviceUrl,
    asAdmin,
    start,
    stop: () => end('SIGINT'),
    kill: () => end('SIGKILL'),
    signal,
    setClock,
  };
}
