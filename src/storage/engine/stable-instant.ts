import { setTimeout as sleep } from 'node:timers/promises';
import { isBefore, microseconds } from '../../temporal/point.js';
import { Refusal } from '../../temporal/refusal.js';
import { type ClockTrust, clockTrust, SETTLING_MS } from './clock-trust.js';
import { hasJumpedAhead, jumpedAhead, readFailure } from './failures.js';
import type { Pools, Sql } from './pools.js';
import { share } from './sharing.js';

/**
 * Knows which instants are stable. An instant is stable when no tick at or before it can still appear. Once it is stable it stays
 * so, for every reader that takes the snapshot of its read after it was told.
 */
export type StableInstant = {
  /**
   * The newest stable instant. It is newer than any write that was acknowledged before the call, unless an open transaction holds
   * it back. The call does not wait for such a transaction.
   * @throws Refusal `as_of_not_stable_yet` when none is known at all
   */
  newest: () => Promise<string>;
  /**
   * Waits until an instant is stable, for two seconds at most.
   * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`, `overloaded` when too many wait
   */
  waitFor: (instant: string, signal?: AbortSignal) => Promise<void>;
  /** Whether an instant has come. */
  hasCome: (instant: string) => Promise<boolean>;
  /**
   * Does a write, which is told the latest instant that the clock of the database can say by now. Where it says a later one, this looks
   * at the clock, and the write is tried once more if the clock is believed then.
   * @throws Refusal `clock_jumped_ahead`, and as the write
   */
  stamped: <T>(write: (latest: string) => Promise<T>) => Promise<T>;
  /** Looks on another connection. */
  lookBy: (sql: Sql) => Promise<Look>;
  /** By how many seconds the newest stable instant lies behind the clock of the database; NaN when none is known. */
  lag: () => Promise<number>;
};

/** How far ahead of the database's clock an instant may lie so that a read waits for it: the clocks of callers may run ahead. */
const AHEAD_MS = 1_000;

/** How long a read waits at most: far longer than a shared write takes. */
const PATIENCE_MS = 2_000;

/** The pauses between looks while anybody waits: from the shortest they double up to the longest. */
const LONGEST_PAUSE_MS = 16;
const SHORTEST_PAUSE_MS = 1;

/** How many reads may wait. Each look goes through all of them, which must not take longer than a short pause. */
const MAX_WAITING = 5_000;

/**
 * How far the instant that readers are promised may run ahead of the stored promise. From `soon` on it is stored in the
 * background. Beyond `most` readers wait until it is stored.
 */
const UNSTORED_MS = { most: 1_000, soon: 500 };

/** The row of `clocktick.stable_instant()` (drizzle/sql/clock.sql): what the database knows of stable instants at one moment. */
export type Look = {
  at: string | null;
  clock: string;
  promised: string | null;
  heldBy: number | null;
  heldSince: string | null;
  prepared: boolean;
  recovering: boolean;
  /** By how many milliseconds the clock is further ahead than it can be; 0: it is believed (clock-trust.ts). */
  ahead: number;
};

/** A read that waits: for what, until when (by `performance.now()`), and how its caller is told. */
type Waiter = {
  isOver: (found: Look) => boolean;
  signal: AbortSignal | undefined;
  deadline: number;
  refusal: (found: Look) => Refusal;
  resolve: () => void;
  reject: (error: unknown) => void;
};

/**
 * The stable instant of a database. It keeps the newest instant that it knows to be stable, and asks the database only about later
 * ones.
 */
export function stableInstantOf(
  { probe }: Pick<Pools, 'probe'>,
  { patience = PATIENCE_MS, trust = clockTrust() } = {},
): StableInstant {
  let known: string | null = null;
  let stored = Number.NEGATIVE_INFINITY;
  let storing: Promise<void> | null = null;
  const waiters = new Set<Waiter>();
  let isPolling = false;
  let pause = SHORTEST_PAUSE_MS;

  /** Looks at the database. Callers at the same time share a look, which begins after each of them has called. */
  const look = share<null, Look>(
    async (questions) => {
      const found = await lookNow();
      return questions.map(() => found);
    },
    {
      bounds: { batch: 100_000, weight: 1, flights: 1, most: 1, patience: 60_000, waiting: 100_000, wait: 10_000 },
      weigh: () => 0,
      isForAll: () => true,
      failureOf: readFailure,
    },
  );

  return {
    newest: async () => {
      const found = await look(null);
      if (known === null) throw notStable('No instant is', found);
      return known;
    },
    waitFor: async (instant, signal) => {
      if (isKnownStable(instant)) return;
      const found = await look(null);
      if (isKnownStable(instant)) return;
      const ahead = millisecondsBetween(found.clock, instant);
      if (ahead > AHEAD_MS) throw new Refusal('as_of_in_future', `${instant} has not come yet; be patient.`);
      await until(() => isKnownStable(instant), {
        signal,
        ahead,
        refusal: (last) => notStable(`${instant} is not`, last),
      });
    },
    hasCome: async (instant) => {
      if (isKnownStable(instant)) return true;
      // What any instance promised has come, even if the clock has stepped back since.
      const { clock, promised } = await look(null);
      return !isBefore(clock, instant) || (promised !== null && !isBefore(promised, instant));
    },
    lookBy: (sql) => readLook(sql, trust),
    stamped: async (write) => {
      const latest = trust.latest();
      if (latest !== null) {
        try {
          return await write(new Date(latest).toISOString());
        } catch (error) {
          if (!hasJumpedAhead(error)) throw error;
        }
      }
      const { ahead } = await look(null);
      const anew = trust.latest();
      if (ahead > 0 || anew === null) throw jumpedAhead();
      return write(new Date(anew).toISOString());
    },
    lag: async () => {
      const { clock } = await look(null);
      return known === null ? Number.NaN : millisecondsBetween(known, clock) / 1000;
    },
  };

  async function lookNow(): Promise<Look> {
    const found = await probe((sql) => readLook(sql, trust));
    const latest = trust.latest() ?? 0;
    const isBelieved = (instant: string | null): instant is string => instant !== null && Date.parse(instant) <= latest;
    if (isBelieved(found.promised)) stored = Math.max(stored, Date.parse(found.promised));
    // A clock that has stepped back soon passes again what readers were told.
    if (known !== null && isBefore(found.clock, known) && (!found.promised || isBefore(found.promised, known))) {
      storing ??= store(known);
      await storing.catch(() => {}); // the next look tries again
    }
    if (isBelieved(found.at)) await promise(found.at);
    // An instant that another instance of the service promised is stable, too.
    for (const stable of [found.at, found.promised]) {
      if (isBelieved(stable) && (known === null || isBefore(known, stable))) known = stable;
    }
    return found;
  }

  /**
   * Stores a promise before readers are told: it is the high-water mark, before which the database stamps no write, even if its
   * clock steps back. It does not store every promise, so a step back of less than UNSTORED_MS.most can pass unnoticed. From a longer one
   * on each is stored, as soon as somebody looks.
   */
  async function promise(instant: string): Promise<void> {
    const ahead = () => Date.parse(instant) - stored;
    if (ahead() > UNSTORED_MS.soon) storing ??= store(instant);
    if (ahead() > UNSTORED_MS.most) await storing;
    else storing?.catch(() => {}); // the next look tries again
    if (ahead() > UNSTORED_MS.most) await promise(instant);
  }

  async function store(instant: string): Promise<void> {
    try {
      await probe((sql) => sql`SELECT clocktick.keep_promise(${instant}::timestamptz)`);
      stored = Math.max(stored, Date.parse(instant));
    } finally {
      storing = null;
    }
  }

  /** Waits until `isOver`, for `patience` at most, and `ahead` longer when the instant lies ahead (milliseconds). */
  function until(
    isOver: Waiter['isOver'],
    { signal, ahead = 0, refusal }: { signal?: AbortSignal | undefined; ahead?: number; refusal: Waiter['refusal'] },
  ): Promise<void> {
    if (waiters.size >= MAX_WAITING) {
      throw new Refusal('overloaded', 'More requests wait for an instant to become stable than this service can keep.');
    }
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + patience + Math.max(ahead, 0);
      waiters.add({ isOver, signal, deadline, refusal, resolve, reject });
      pause = SHORTEST_PAUSE_MS;
      if (!isPolling) void poll();
    });
  }

  /** Looks again and again, for all reads that wait. */
  async function poll(): Promise<void> {
    isPolling = true;
    for (; waiters.size > 0; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      await sleep(pause);
      try {
        settle(await look(null));
      } catch (error) {
        for (const { reject } of waiters) reject(error);
        waiters.clear();
      }
    }
    isPolling = false;
  }

  /** Answers the reads that need not wait any longer, and refuses those whose time is over or whose caller has gone. */
  function settle(found: Look): void {
    for (const waiter of waiters) {
      const isDone = waiter.isOver(found);
      if (!isDone && performance.now() < waiter.deadline && !waiter.signal?.aborted) continue;
      waiters.delete(waiter);
      if (isDone) waiter.resolve();
      else waiter.reject(waiter.refusal(found));
    }
  }

  /** Whether an instant is known to be stable. Date drops the microseconds; they only matter within the last millisecond. */
  function isKnownStable(instant: string): boolean {
    return known !== null && (Date.parse(instant) < Date.parse(known) || !isBefore(known, instant));
  }
}

/**
 * Asks what is stable, in a statement of its own: only what is read afterwards may rely on it. Nothing is while the clock is not
 * believed.
 */
async function readLook(sql: Sql, trust: ClockTrust): Promise<Look> {
  const [found] = await sql<Omit<Look, 'ahead'>[]>`
      SELECT s.at, s.clock, s.promised, s.held_by AS "heldBy", s.held_since AS "heldSince", s.prepared, s.recovering
        FROM clocktick.stable_instant() s`;
  if (!found) throw new Error('the database does not know how late it is');
  const ahead = trust.judge(Date.parse(found.clock), found.promised === null ? null : Date.parse(found.promised));
  return { ...found, at: ahead > 0 ? null : found.at, ahead };
}

export const millisecondsBetween = (from: string, to: string): number =>
  Number(microseconds(to) - microseconds(from)) / 1000;

const notStable = (what: string, look: Look): Refusal =>
  new Refusal('as_of_not_stable_yet', `${what} stable yet: ${whyNotStable(look)}.`);

/** Why the clock is not believed. */
export const whyNotBelieved = (ahead: number): string =>
  `the clock of the database has jumped ahead by ${Math.ceil(ahead / 1000)} s; it is believed when it has gone on evenly for ${SETTLING_MS / 1000} s`;

/** Why nothing newer is stable. It names what to look for in the database, because whoever is on call reads it at night. */
export function whyNotStable({ recovering, prepared, heldBy, heldSince, ahead }: Look): string {
  return recovering
    ? 'the database is a standby (pg_is_in_recovery)'
    : ahead > 0
      ? whyNotBelieved(ahead)
      : prepared
        ? 'a prepared transaction is neither committed nor rolled back (pg_prepared_xacts)'
        : heldBy !== null && heldSince === null
          ? `process ${heldBy} of the database does not show when its transaction began (grant pg_read_all_stats to the owner of the schema clocktick, or look at track_activities)`
          : heldBy !== null
            ? `a transaction of process ${heldBy} of the database is open since ${heldSince}`
            : 'the last transactions have only just ended';
}
