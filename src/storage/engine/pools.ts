import postgres from 'postgres';
import { Refusal } from '../../temporal/refusal.js';
import { causeOf, type Drizzle, drizzleOver } from './drizzle.js';
import { readFailure, searchFailure, wasCancelled, writeFailure } from './failures.js';
import { type Lane, lane, type Use } from './lanes.js';
import { type Pool, replaceable } from './pool.js';
import { SEARCH_PATH } from './search-path.js';
import { connectOnce, type End, type OneConnection, transact } from './transactions.js';

/** A connection pool, or one connection inside a transaction: both run the same tagged statements. */
export type Sql = postgres.ISql;

/** A piece of a statement, composed into others. */
export type Fragment = postgres.PendingQuery<postgres.Row[]>;

/**
 * What the service keeps open to PostgreSQL: pools apart, because postgres.js queues a statement behind others on a busy
 * connection, and writers that wait for a locked row must not hold up readers or the health check. What may take long has a lane of
 * its own (lanes.ts), so that it holds up nothing but its like.
 *
 * What goes wrong is translated here, once (failures.ts). Only the shared pools give the errors as they came: what shares a
 * statement must first find out whose fault it was (sharing.ts).
 */
export type Pools = {
  /**
   * Runs a read that one request asks, each statement a transaction of its own.
   * @throws Refusal `database_unavailable`; `overloaded` when too many wait, or for too long
   */
  reading: <T>(read: (sql: Sql, db: Drizzle) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /** Runs a read whose answer may be large: few at once, because each may take megabytes. @throws as `reading` */
  readingLarge: <T>(read: (sql: Sql) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /** Runs a write of one statement that is no change of an entity. @throws Refusal as `writeFailure` says; `overloaded` */
  recording: <T>(write: (sql: Sql) => Promise<T>) => Promise<T>;
  /** Reads that requests share (sharing.ts). Each goes by index whatever the statistics say. */
  sharedReads: Pool['ask'];
  /** Writes that requests share, and which wait for nobody's lock. */
  sharedWrites: Pool['ask'];
  /** Writes a change that may take long. It waits for nobody's lock, and gives errors as they came. @throws Refusal `overloaded`, `too_many_writers` */
  writingLarge: <T>(write: (sql: Sql) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /**
   * Does work that reads many entities and writes them, all of it in one turn: few at once, because each keeps megabytes until it has written.
   * What it asks gives errors as they came.
   * @throws Refusal `overloaded` when too many wait, `too_many_writers` when for too long
   */
  batching: <T>(work: (ask: Pool['ask']) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /**
   * Asks over a connection of its own what is stable, because many wait for that; one that does not answer in time is
   * given up, and the next question gets another.
   * @throws Refusal `database_unavailable` when there is no answer in time
   */
  probe: <T>(ask: (sql: Sql) => Promise<T>) => Promise<T>;
  /**
   * Reads a page of a collection, which finds what it reads in the order of an index.
   * @throws Refusal `overloaded` when too many wait, or for too long, or nobody does; `database_unavailable`
   */
  paging: <T>(read: (sql: Sql) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /**
   * Reads a page that may have to look through too much to be read in time. What takes longer than `quick` begins again among its like,
   * so that it holds up no quick one.
   * @throws Refusal as `paging`; `too_much_to_read`
   */
  searching: <T>(read: (sql: Sql) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /** Counts, which go through whole types. @throws as `searching` */
  counting: <T>(read: (sql: Sql) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /**
   * Does work in a transaction on a client of its own, and ends it as told; at most OWN_CLIENTS of each end at once.
   * Neither `begin` nor `reserve` of a pool: postgres.js 3.4.9 can put BEGIN on a connection that it has not reserved (its
   * issues 1218 and 823), and leaves statements without an answer when a reserved connection breaks (issue 1186).
   * @throws Refusal as `writeFailure` says; `database_unavailable` when the connection broke before the end; `overloaded` and
   * `too_many_writers` when too many wait for a client, or for too long
   */
  transaction: <T>(end: End, work: (sql: Sql) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /**
   * Opens a connection that an import has for as long as it takes, which may be hours. Whoever opened it ends it.
   * @throws Refusal `overloaded` when as many are open as may be
   */
  openForImport: () => OneConnection;
  /**
   * Reads a page of an export, on connections that exports have for themselves, so that they hold up no other read. Between its pages an export
   * holds none. @throws as `paging`
   */
  exporting: <T>(read: (sql: Sql) => Promise<T>) => Promise<T>;
  /**
   * Counts an export that begins. Gives what ends it.
   * @throws Refusal `overloaded` when as many are under way as may be, because each keeps a page in memory that its caller has not taken
   */
  beginExport: () => () => void;
  /**
   * Does the work of a health check on a connection of its own, which no caller can keep busy, and which stays open from check to
   * check. One that fails or has no answer in time ends the connection, and so what it has not committed.
   * @param work gives whether the connection may be used again
   * @param onLost called when the connection closes by itself
   * @throws what the driver or the work throws; an error with the code CHECK_TIMEOUT
   */
  checking: (work: (sql: postgres.Sql) => Promise<boolean>, onLost: () => void) => Promise<void>;
  /** What each lane has to do right now. */
  lanes: Readonly<Record<LaneName, { use: Use }>>;
  close: () => Promise<void>;
};

/** Settings of a pool's sessions, beside those of all. */
type Settings = Record<string, string | number> & { statement_timeout?: number };

/** Lanes, as operators know them. Those whose statements are shared tell more (sharing.ts). */
type LaneName =
  | 'reads'
  | 'large_reads'
  | 'large_writes'
  | 'batches'
  | 'pages'
  | 'searches'
  | 'slow_searches'
  | 'counts'
  | 'locking_writes'
  | 'dry_runs'
  | 'imports'
  | 'exports';

/** Without a bound, many callers at once would take all connections of the server; and rehearsals must not hold up writes. */
const OWN_CLIENTS = { COMMIT: 10, ROLLBACK: 5 };

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

/** What a read has in memory while the history of an entity is walked: written to a file, it would be read anew for each property. */
const WALKED_IN_MEMORY = { work_mem: '32MB' };

/** How many of a kind run at once. A page takes milliseconds; more at once would only hold up what takes microseconds. */
const AT_ONCE = {
  reads: 10,
  largeReads: 4,
  largeWrites: 1,
  batches: 4,
  pages: 4,
  searches: 2,
  slowSearches: 1,
  counts: 1,
  imports: 2,
  exports: 4,
};

/** How many of each kind may wait. Of what is large, each keeps megabytes while it waits. */
const WAITING = 1_000;
const LARGE_WAITING = 50;

/** Hundreds of writers of one entity pass in less; a row held longer is held by something else. */
export const LOCK_PATIENCE_MS = 3_000;
/** In a shared write, what waits is a creation of an id that somebody else is just creating, or for a locked table. */
const SHARED_LOCK_PATIENCE_MS = 50;
/**
 * How long things may take, in milliseconds. A statement that takes longer the server ends; a shared one takes milliseconds, and so
 * does what `probe` asks. A search of a page that takes longer than `quick` is a slow one: one of them runs at once, so that they leave a
 * core to others where the server has two, for the price that each begins twice. A health check answers within two seconds,
 * whatever the database does. This process gives a statement up `margin` later than the server would: it may have to connect before.
 */
export const DEADLINES = {
  statement: 15_000,
  shared: 8_000,
  quick: 250,
  probe: 2_000,
  check: 1_800,
  connect: 3_000,
  margin: 4_000,
};

/** What a check waits for may be locked. That has to leave time for the rest of it. */
const CHECK_LOCK_PATIENCE_MS = 400;

/** How many statements of a kind that requests share may be under way at once, at most. */
export const MOST_FLIGHTS = { reads: 4, writes: 3 };
/** Entities now, entities then, and the mementos around a state: none may wait for a connection that another has. */
const READ_KINDS = 3;

/**
 * Opens the pools on `url`. They connect on first use; `checkServer` (server-check.ts) says whether the server will do.
 * @param debug sees every statement as it is sent, with its parameters
 */
export function openPools(
  url: string,
  debug?: postgres.Options<Record<string, never>>['debug'],
  deadlines = DEADLINES,
): Pools {
  const options = {
    onnotice: () => {},
    connect_timeout: deadlines.connect / 1000,
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
      statement_timeout: deadlines.statement,
      idle_in_transaction_session_timeout: deadlines.statement,
    },
    ...(debug ? { debug } : {}),
  };
  const pools: Pool[] = [];
  const pool = (max: number, settings: Settings = {}, patience?: number): Pool['ask'] => {
    const connection = { ...options.connection, ...settings };
    const most = patience ?? connection.statement_timeout + deadlines.margin;
    const opened = replaceable(() => postgres(url, { ...options, max, connection }), most);
    pools.push(opened);
    return opened.ask;
  };
  const sharedReads = pool(READ_KINDS * MOST_FLIGHTS.reads, {
    ...BY_INDEX_ONE_BY_ONE,
    statement_timeout: deadlines.shared,
  });
  const sharedWrites = pool(MOST_FLIGHTS.writes, {
    lock_timeout: SHARED_LOCK_PATIENCE_MS,
    statement_timeout: deadlines.shared,
  });
  const probes = pool(1, { lock_timeout: deadlines.probe / 2 }, deadlines.probe);

  const lanes = {
    reads: readLane(AT_ONCE.reads),
    large_reads: readLane(AT_ONCE.largeReads, LARGE_WAITING),
    // Each takes a second or more, so one that waits behind a few others is not late yet.
    large_writes: writeLane(AT_ONCE.largeWrites, LARGE_WAITING, deadlines.statement),
    // Each takes a tenth of a second, and a second if it is of thousands of entities.
    batches: writeLane(AT_ONCE.batches, WAITING, deadlines.statement),
    pages: readLane(AT_ONCE.pages),
    searches: readLane(AT_ONCE.searches),
    slow_searches: readLane(AT_ONCE.slowSearches),
    counts: readLane(AT_ONCE.counts),
    locking_writes: writeLane(OWN_CLIENTS.COMMIT),
    dry_runs: writeLane(OWN_CLIENTS.ROLLBACK),
    imports: { use: { most: AT_ONCE.imports, asked: 0 } },
    exports: { use: { most: AT_ONCE.exports, asked: 0 } },
  };
  const forClients = { COMMIT: lanes.locking_writes, ROLLBACK: lanes.dry_runs };
  /** A pool behind a lane: as many connections as it lets through. */
  const behind = (inTurn: Lane, settings: Settings = {}) => {
    const ask = pool(inTurn.use.most, settings);
    return <T>(question: (sql: postgres.Sql) => Promise<T>, signal?: AbortSignal) =>
      inTurn(() => ask(question), signal);
  };
  const reads = behind(lanes.reads, { ...BY_INDEX, ...WALKED_IN_MEMORY });
  const largeReads = behind(lanes.large_reads, { ...BY_INDEX, ...WALKED_IN_MEMORY });
  const largeWrites = behind(lanes.large_writes, { lock_timeout: SHARED_LOCK_PATIENCE_MS });
  // One question of a batch is many statements, with work between them.
  const batches = pool(
    AT_ONCE.batches,
    { ...BY_INDEX_ONE_BY_ONE, ...WALKED_IN_MEMORY },
    4 * (deadlines.statement + deadlines.margin),
  );
  const pages = behind(lanes.pages, IN_ORDER);
  const searches = behind(lanes.searches, { ...IN_ORDER, statement_timeout: deadlines.quick });
  const slowSearches = behind(lanes.slow_searches, IN_ORDER);
  const counts = behind(lanes.counts, IN_ORDER);
  const exports = pool(AT_ONCE.exports, IN_ORDER);
  let checks: OneConnection | null = null;
  let isClosed = false;

  return {
    reading: (read, signal) =>
      translated(
        reads((sql) => read(sql, drizzleOver(sql)), signal),
        readFailure,
      ),
    readingLarge: (read, signal) => translated(largeReads(read, signal), readFailure),
    recording: (write) => translated(reads(write), writeFailure),
    sharedReads,
    sharedWrites,
    writingLarge: largeWrites,
    batching: (work, signal) => lanes.batches(() => work(batches), signal),
    probe: (ask) => translated(probes(ask), readFailure),
    paging: (read, signal) => translated(pages(read, signal), readFailure),
    searching: async (read, signal) => {
      try {
        return await searches(read, signal);
      } catch (error) {
        if (!wasCancelled(error)) throw searchFailure(error);
        return translated(slowSearches(read, signal), searchFailure);
      }
    },
    counting: (read, signal) => translated(counts(read, signal), searchFailure),
    transaction: (end, work, signal) =>
      translated(
        forClients[end](() => transact(connectForItself(), end, work), signal),
        writeFailure,
      ),
    openForImport: () => {
      const { use } = lanes.imports;
      if (use.asked >= use.most) throw new Refusal('overloaded', 'Other imports are running. Nothing was imported.');
      use.asked++;
      const opened = connectForItself();
      const end = async () => {
        use.asked--;
        await opened.end();
      };
      return { ...opened, end };
    },
    exporting: (read) => translated(exports(read), readFailure),
    beginExport: () => {
      const { use } = lanes.exports;
      if (use.asked >= use.most) throw new Refusal('overloaded', 'Other exports are running.');
      use.asked++;
      return () => {
        use.asked--;
      };
    },
    checking: async (work, onLost) => {
      if (isClosed) throw Object.assign(new Error('The pools are closed.'), { code: 'CONNECTION_ENDED' });
      // Nobody else has it meanwhile: a check is a transaction.
      const taken = checks ?? connectForChecks(onLost);
      checks = null;
      let patience: NodeJS.Timeout | undefined;
      const givenUp = new Promise<never>((_, reject) => {
        const late = Object.assign(new Error('The check took too long.'), { code: 'CHECK_TIMEOUT' });
        patience = setTimeout(() => reject(late), deadlines.check);
      });
      let isKept = false;
      try {
        isKept = await Promise.race([taken.during(work), givenUp]);
      } finally {
        clearTimeout(patience);
        if (isKept && checks === null && !isClosed) checks = taken;
        else void taken.end().catch(() => {});
      }
    },
    lanes,
    close: async () => {
      isClosed = true;
      void checks?.end().catch(() => {});
      await Promise.all(pools.map((one) => one.end()));
    },
  };

  function connectForItself(): OneConnection {
    const connection = { ...options.connection, ...BY_INDEX };
    return connectOnce(url, { ...options, connection }, deadlines.statement + deadlines.margin);
  }

  function connectForChecks(onLost: () => void): OneConnection {
    const connection = { ...options.connection, lock_timeout: CHECK_LOCK_PATIENCE_MS };
    const opened = connectOnce(url, { ...options, connection });
    opened.lost.catch(() => {
      if (checks !== opened || isClosed) return; // the check that it broke under tells of it, or everything ends
      checks = null;
      onLost();
    });
    return opened;
  }
}

/** What the work gives, or what its error means to a caller. */
const translated = <T>(work: Promise<T>, failureOf: (error: unknown) => unknown): Promise<T> =>
  work.catch((error: unknown) => {
    throw failureOf(causeOf(error));
  });

const readLane = (atOnce: number, waiting = WAITING) =>
  lane({ atOnce, waiting, patience: LOCK_PATIENCE_MS }, { full: tooManyReads, late: tooManyReads });
const writeLane = (atOnce: number, waiting = WAITING, patience = LOCK_PATIENCE_MS) =>
  lane({ atOnce, waiting, patience }, { full: tooMany, late: tooLong });

const tooManyReads = () => new Refusal('overloaded', 'More is asked for than this service can read.');
const tooMany = () => new Refusal('overloaded', 'More writes wait than this service can keep. Nothing was written.');
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
