/*
 * What becomes of the server of a running service: somebody kills it, the kernel does because memory is short, a full disk makes
 * it panic. The service starts it again where it was, so that its connections find it, or says that it cannot.
 */
import { statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Unfit } from '../unfit.js';
import { isAlive } from './files.js';
import { gistOf, type ServerLog } from './log.js';
import { isRunning } from './server.js';

/** A server that this process holds the lock on. */
export type Owned = {
  pid: number;
  port: number;
  /** Whether the session that holds the lock still stands. It ends with the server. */
  isHeld: () => boolean;
  /** Gives the lock away, when what is done meanwhile is done. */
  release: (meanwhile?: () => Promise<void>) => Promise<void>;
};

type Keeping = {
  data: string;
  serverLog: ServerLog;
  /** Takes a sentence on each death, and on each return. */
  say: (sentence: string) => void;
  /** Ends the keeping, and what it is just doing. */
  signal: AbortSignal;
  /**
   * Owns the server anew, where it was, and launches it when it is gone. Each launch that fails is told to `failed`, which waits
   * before the next, or throws.
   */
  own: (lost: Owned, failed: Failed) => Promise<Owned>;
  stop: (pid: number) => Promise<void>;
};

/** Is told why a launch has failed; waits before the next, or throws when that was the last. */
export type Failed = (why: string) => Promise<void>;

const LOOK_MS = 250;
/** How long the last words of a server take to its log. */
const LAST_WORDS_MS = 100;
/** How many deaths and failed launches within how long end the service. While the disk is full, somebody may make room. */
const MOST_FAILURES = { within: 600_000, usually: 10, whileFull: 100 };
/** The pauses before launches: from the shortest they double up to the longest. */
const PAUSE_MS = { shortest: 100, longest: 5_000 };
/** The WAL grows by files of 16 MB, so a disk with less room is full. */
const FULL_BYTES = 16 * 2 ** 20;
const UNSAID = 'its log does not say why, so somebody killed it, or the kernel did for want of memory';

/**
 * Keeps a server running until `signal` says stop, and then stops it.
 * @throws Unfit when it cannot be started again, or another clocktick has taken it over
 */
export async function keepRunning(first: Owned, keeping: Keeping, { pauses = PAUSE_MS } = {}): Promise<void> {
  const { data, serverLog, say, signal, own, stop } = keeping;
  let failures: number[] = [];
  let told = '';

  /** Counts what went wrong, tells it unless it was told last, and waits the longer the more there was of it. */
  const failed = async (why: string, sentence: (reason: string) => string) => {
    const now = performance.now();
    failures = [...failures.filter((at) => now - at < MOST_FAILURES.within), now];
    const isFull = /No space left on device|Disk quota exceeded/.test(why) || (await isDiskFull(data));
    const reason = isFull ? `the disk is full (${why || 'its log has no room to say more'})` : why || UNSAID;
    if (failures.length >= (isFull ? MOST_FAILURES.whileFull : MOST_FAILURES.usually)) {
      const minutes = Math.ceil((now - (failures[0] ?? now)) / 60_000);
      throw new Unfit(
        `The embedded database in ${data} does not keep running: it died or did not start ${failures.length} times within ` +
          `${minutes} min, at last: ${reason}`,
      );
    }
    const kind = reason.replace(/\d+/g, ''); // another process or file makes no other reason
    if (kind !== told) say(`the embedded database ${sentence(reason)}`);
    told = kind;
    await pause(Math.min(pauses.shortest * 2 ** (failures.length - 1), pauses.longest), signal);
  };

  const again = async (lost: Owned): Promise<Owned> => {
    const since = performance.now();
    serverLog.hush(true);
    await lost.release();
    await pause(LAST_WORDS_MS, signal);
    told = '';
    const isUp = await isRunning(lost.pid);
    const sentence = (reason: string) =>
      isUp ? `has ended its sessions: ${reason}; waiting for it` : `has died: ${reason}; starting it again`;
    await failed(serverLog.lastWords(), sentence).catch(async (error: unknown) => {
      await stop(lost.pid); // what is given up must not run on
      throw error;
    });
    const owned = await own(lost, (output) => failed(gistOf(output), (reason) => `does not start: ${reason}`));
    serverLog.hush(false);
    say(`the embedded database is back after ${((performance.now() - since) / 1000).toFixed(1)} s`);
    return owned;
  };

  for (let server: Owned | undefined = first; server !== undefined; ) {
    // These looks must not keep this process alive.
    while (server.isHeld() && isAlive(server.pid) && !signal.aborted) await pause(LOOK_MS, signal, false);
    // This process holds the lock until the server has exited, so that nobody takes over a server that is about to stop.
    const { pid, release } = server;
    if (signal.aborted) return release(() => stop(pid));
    server = await again(server).catch((error: unknown) => {
      if (error !== signal.reason) throw error;
      return undefined;
    });
  }
}

/** Waits, but not when it is over. */
const pause = (milliseconds: number, signal: AbortSignal, ref = true): Promise<void> =>
  sleep(milliseconds, undefined, { signal, ref }).catch(() => {});

/** Whether the disk has no room. A full one may also leave no room for the log to say so. */
async function isDiskFull(folder: string): Promise<boolean> {
  return statfs(folder).then(
    ({ bavail, bsize }) => bavail * bsize < FULL_BYTES,
    () => false,
  );
}
