import pLimit from 'p-limit';
import postgres from 'postgres';
import { Refusal } from '../../temporal/refusal.js';
import { causeOf, type Drizzle, drizzleOver } from './drizzle.js';
import { readFailure, searchFailure, unavailable, writeFailure } from './failures.js';
import { SEARCH_PATH } from './search-path.js';
import { connectOnce, type End, transact } from './transactions.js';

/** A connection pool, or one connection inside a transaction: both run the same tagged statements. */
export type Sql = postgres.ISql;

/** A piece of a statement, composed into others. */
export type Fragment = postgres.PendingQuery<postgres.Row[]>;

/**
 * What the service keeps open to PostgreSQL: pools apart, because postgres.js queues a statement behind others on a busy
 * connection, and writers that wait for a locked row must not hold up readers or the health check.
 *
 * What goes wrong is translated here, once (failures.ts). Only the shared pools give the errors as they came: what shares a
 * statement must first find out whose fault it was (sharing.ts).
 */
export type Pools = {
  /** Runs a read that one request asks, each statement a transaction of its own. @throws Refusal `database_unavailable` */
  reading: <T>(read: (sql: Sql, db: Drizzle) => Promise<T>) => Promise<T>;
  /** Runs a write of one statement that is no change of an entity. @throws Refusal as `writeFailure` says */
  recording: <T>(write: (sql: Sql) => Promise<T>) => Promise<T>;
  /** Reads that requests share (sharing.ts). Each goes by index whatever the statistics say. */
  sharedReads: postgres.Sql;
  /** Writes that requests share, and which wait for nobody's lock. */
  sharedWrites: postgres.Sql;
  /**
   * Asks over a connection of its own what is stable, because many wait for that; one that does not answer in time is
   * given up, and the next question gets another.
   * @throws Refusal `database_unavailable` after PROBE_PATIENCE_MS
   */
  probe: <T>(ask: (sql: Sql) => Promise<T>) => Promise<T>;
  /**
   * Reads a page of a collection: PAGES at once, which find what they read in the order of an index.
   * @throws Refusal `overloaded` when too many wait, or for too long, or nobody does; `database_unavailable`
   */
  paging: <T>(read: (sql: Sql) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /** Reads a page that may have to look through too much to be read in time. @throws Refusal as `paging`; `too_much_to_read` */
  searching: <T>(read: (sql: Sql) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /** Counts, COUNTS at once in the place of pages, so that pages are not held up by what takes seconds. @throws as `searching` */
  counting: <T>(read: (sql: Sql) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /**
   * Does work in a transaction on a client of its own, and ends it as told; at most OWN_CLIENTS of each end at once.
   * Neither `begin` nor `reserve` of a pool: postgres.js 3.4.9 can put BEGIN on a connection that it has not reserved (its
   * issues 1218 and 823), and leaves statements without an answer when a reserved connection breaks (issue 1186).
   * @throws Refusal as `writeFailure` says; `database_unavailable` when the connection broke before the end; `overloaded` and
   * `too_many_writers` when too many wait for a client, or for too long
   */
  transaction: <T>(end: End, work: (sql: Sql) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  close: () => Promise<void>;
};

/** Without a bound, many callers at once would take all connections of the server; and rehearsals must not hold up writes. */
const OWN_CLIENTS = { COMMIT: 10, ROLLBACK: 5 };
const WAITING = 1_000;

/**
 * A plan that was made while a type had ten entities would sort all of them for each page when it has a million. (`'off'`, not
 * `false`: postgres.js 3.4.9 sends no setting that is falsy.)
 */
export const IN_ORDER = { enable_seqscan: 'off', enable_bitmapscan: 'off', enable_sort: 'off' };

/**
 * A plan that was made while the tables were small would scan them, or gather a bitmap for the row of one key, or for a page of a
 * history, of which it reads all.
 */
const BY_INDEX = { enable_seqscan: 'off', enable_bitmapscan: 'off' };

/** … or join by going through the whole of another. */
const BY_INDEX_ONE_BY_ONE = { ...BY_INDEX, enable_hashjoin: 'off', enable_mergejoin: 'off' };

/** A page takes milliseconds; more at once would only hold up what takes microseconds. */
const PAGES = 4;
const COUNTS = 2;

/** Hundreds of writers of one entity pass in less; a row held longer is held by something else. */
export const LOCK_PATIENCE_MS = 3_000;
/** In a shared write, what waits is a creation of an id that somebody else is just creating, or for a locked table. */
const SHARED_LOCK_PATIENCE_MS = 50;
const STATEMENT_PATIENCE_MS = 15_000;
/** It takes a millisecond. */
const PROBE_PATIENCE_MS = 2_000;

/** How many statements of a kind that requests share may be under way at once, at most. */
export const MOST_FLIGHTS = { reads: 4, writes: 3 };
/** Entities now, entities then, and the mementos around a state: none may wait for a connection that another has. */
const READ_KINDS = 3;

/**
 * Opens the pools on `url`. They connect on first use; `checkServer` (server-check.ts) says whether the server will do.
 * @param debug sees every statement as it is sent, with its parameters
 */
export function openPools(url: string, debug?: postgres.Options<Record<string, never>>['debug']): Pools {
  const options = {
    onnotice: () => {},
    connect_timeout: 10,
    // Seconds before connecting again. The driver's own default goes up to 20, in which requests would hang.
    backoff: (retries: number) => Math.min(0.05 * 2 ** retries, 1),
    // Else postgres.js 3.4.9 asks each new connection for array types, and when that one dies meanwhile the rejection has
    // nobody to catch it and ends the process. Arrays go as text instead, see arrayText.
    fetch_types: false,
    types: { instant: { to: 1184, from: [1184], serialize: String, parse: instantOf } },
    connection: {
      application_name: 'clocktick',
      ...SEARCH_PATH,
      // A database may have other defaults; the write path counts on these.
      default_transaction_isolation: 'read committed' as const,
      TimeZone: 'UTC',
      DateStyle: 'ISO',
      // Every statement is short; compiling one costs more than running it.
      jit: 'off',
      // Nor does planning anew for each parameter: as-of reads by id, 64 at once, 5,200 a second without this, 9,800 with it.
      // Every plan is found by index whatever the parameters (test/storage/plans.test.ts).
      plan_cache_mode: 'force_generic_plan',
      // Nobody waits without end, for a row that somebody else holds or for a server that is stuck.
      lock_timeout: LOCK_PATIENCE_MS,
      statement_timeout: STATEMENT_PATIENCE_MS,
      idle_in_transaction_session_timeout: STATEMENT_PATIENCE_MS,
    },
    ...(debug ? { debug } : {}),
  };
  const sql = postgres(url, {
    ...options,
    max: 10,
    // What an entity has is kept in memory while its history is walked: written to a file, it would be read anew for each property.
    connection: { ...options.connection, ...BY_INDEX, work_mem: '32MB' },
  });
  const db = drizzleOver(sql);
  const sharedReads = postgres(url, {
    ...options,
    max: READ_KINDS * MOST_FLIGHTS.reads,
    connection: { ...options.connection, ...BY_INDEX_ONE_BY_ONE },
  });
  const sharedWrites = postgres(url, {
    ...options,
    max: MOST_FLIGHTS.writes,
    connection: { ...options.connection, lock_timeout: SHARED_LOCK_PATIENCE_MS },
  });
  const connectProbe = () =>
    postgres(url, { ...options, max: 1, connection: { ...options.connection, lock_timeout: PROBE_PATIENCE_MS / 2 } });
  let probes = connectProbe();
  const pages = postgres(url, { ...options, max: PAGES, connection: { ...options.connection, ...IN_ORDER } });
  const forPages = queue(PAGES, { full: tooManyPages, late: tooManyPages });
  const forCounts = queue(COUNTS, { full: tooManyPages, late: tooManyPages });
  const inPages = <T>(read: (sql: Sql) => Promise<T>, failureOf: (error: unknown) => unknown, signal?: AbortSignal) =>
    forPages(() => translated(read(pages), failureOf), signal);
  const ends = { full: tooMany, late: tooLong };
  const forClients = { COMMIT: queue(OWN_CLIENTS.COMMIT, ends), ROLLBACK: queue(OWN_CLIENTS.ROLLBACK, ends) };
  return {
    reading: (read) => translated(read(sql, db), readFailure),
    recording: (write) => translated(write(sql), writeFailure),
    sharedReads,
    sharedWrites,
    probe: async (ask) => {
      const asked = probes;
      let patience: NodeJS.Timeout | undefined;
      const givenUp = new Promise<never>((_, reject) => {
        patience = setTimeout(() => {
          if (probes === asked) probes = connectProbe();
          void asked.end({ timeout: 0 }).catch(() => {});
          reject(unavailable(new Error('the database does not say what is stable')));
        }, PROBE_PATIENCE_MS);
      });
      return Promise.race([ask(asked), givenUp]).finally(() => clearTimeout(patience));
    },
    paging: (read, signal) => inPages(read, readFailure, signal),
    searching: (read, signal) => inPages(read, searchFailure, signal),
    counting: (read, signal) => forCounts(() => inPages(read, searchFailure, signal), signal),
    transaction: (end, work, signal) =>
      forClients[end](() => translated(transact(connectOnce(url, options), end, work), writeFailure), signal),
    close: async () => {
      // Whoever closes has finished its statements. Not waiting for ever matters all the same: after a connection broke
      // under a statement, postgres.js 3.4.9 takes it for busy, and end() without a bound never returns.
      await Promise.all([sql, sharedReads, sharedWrites, probes, pages].map((pool) => pool.end({ timeout: 1 })));
    },
  };
}

/** What the work gives, or what its error means to a caller. */
const translated = <T>(work: Promise<T>, failureOf: (error: unknown) => unknown): Promise<T> =>
  work.catch((error: unknown) => {
    throw failureOf(causeOf(error));
  });

/** Lets so many run at once; WAITING others wait for their turn, LOCK_PATIENCE_MS at most. */
function queue(atOnce: number, { full, late }: Record<'full' | 'late', () => Refusal>) {
  const limit = pLimit(atOnce);
  return async <T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> => {
    if (limit.pendingCount >= WAITING) throw full();
    const since = performance.now();
    return limit(() => {
      if (signal?.aborted) throw full();
      if (performance.now() - since > LOCK_PATIENCE_MS) throw late();
      return work();
    });
  };
}

const tooManyPages = () => new Refusal('overloaded', 'More pages are asked for than this service can read.');
const tooMany = () => new Refusal('overloaded', 'Too many writes wait for locked entities. Nothing was written.');
const tooLong = () => new Refusal('too_many_writers', 'Other writers took too long. Nothing was written.');

/** An array as PostgreSQL reads one: `${arrayText(ids)}::text::uuid[]`. */
export const arrayText = (items: readonly (string | number | null)[]): string =>
  `{${items.map((item) => (item === null ? 'NULL' : `"${String(item).replace(/["\\]/g, '\\$&')}"`)).join(',')}}`;

/**
 * An instant as the API shows it, from what PostgreSQL writes in UTC: `2016-01-08 00:00:00.5+00`. A JS Date would drop the
 * microseconds, and `to_char` took a sixth of the time of reading an entity.
 */
const instantOf = (text: string): string =>
  `${text.slice(0, 10)}T${text.slice(11, 19)}.${text.slice(20, -3).padEnd(6, '0')}Z`;
