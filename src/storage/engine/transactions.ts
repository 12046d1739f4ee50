import postgres from 'postgres';
import { brokeUnderWay, unavailable } from './failures.js';

/** How a transaction ends. */
export type End = 'COMMIT' | 'ROLLBACK';

type ClientOptions = postgres.Options<Record<string, postgres.PostgresType>>;

/** A client of one connection that never connects a second time. */
export type OneConnection = {
  /**
   * Does work that needs this one connection: a transaction, or a lock of its session.
   * @throws an error that `brokeUnderWay` knows as soon as the connection has closed, or the work has taken longer than the patience; what
   * the work asks then is not sent
   */
  during: <T>(work: (sql: postgres.Sql) => Promise<T>) => Promise<T>;
  /** Never resolves; rejects when the connection has closed, whoever closed it. */
  lost: Promise<never>;
  end: () => Promise<void>;
};

/**
 * Opens such a client; it connects on first use. By itself postgres.js connects anew for the next statement when the
 * connection has closed, and that statement runs outside the transaction, where it is kept at once.
 *
 * The driver calls `onclose` before it can connect again, and asks for a socket whenever it connects: from then on it gets
 * none. What it still holds waits for that socket, and is refused by `end`. A check before each statement would not do:
 * the connection may close between the check and the statement.
 * @param patience how long each work may take, in milliseconds: a server that is stopped keeps its connections open and says nothing
 */
export function connectOnce(url: string, options: ClientOptions = {}, patience?: number): OneConnection {
  let isLost = false;
  /** Who is told that the connection has closed. */
  const losing = new Set<(error: Error) => void>();
  const lost = new Promise<never>((_, reject) => {
    losing.add(reject);
  });
  lost.catch(() => {}); // it may close when nobody works with it
  const sql = postgres(url, {
    ...options,
    max: 1,
    // The driver itself must not end it either, which a URL might ask for.
    idle_timeout: 0,
    max_lifetime: null,
    onclose: () => giveUp('The connection has closed.', 'CONNECTION_CLOSED'),
  });
  const giveUp = (message: string, code: string) => {
    isLost = true;
    Object.assign(sql.options, { socket: () => new Promise(() => {}) });
    const error = Object.assign(new Error(message), { code });
    for (const lose of losing) lose(error);
  };
  /** Work, unless the connection closes first. Raced against `lost` itself, what each work gave would be kept until the connection ends. */
  const whileOpen = <T>(work: Promise<T>): Promise<T> => {
    let leave = () => {};
    const closed = new Promise<never>((_, reject) => {
      losing.add(reject);
      leave = () => void losing.delete(reject);
    });
    return Promise.race([work, closed]).finally(leave);
  };
  return {
    during: async (work) => {
      if (isLost) return lost;
      if (patience === undefined) return whileOpen(work(sql));
      const timer = setTimeout(giveUp, patience, 'The database gives no answer.', 'NO_ANSWER');
      return whileOpen(work(sql)).finally(() => clearTimeout(timer));
    },
    lost,
    // Ends a transaction that was not ended, too.
    end: () => sql.end({ timeout: 0 }),
  };
}

/**
 * Does work in a transaction, and ends it as told.
 * @throws Refusal `database_unavailable` when the connection broke before the end; what broke a COMMIT, as it came
 */
export async function transact<T>(
  connection: OneConnection,
  end: End,
  work: (sql: postgres.ISql) => Promise<T>,
): Promise<T> {
  try {
    return await transactOn(connection, end, work);
  } finally {
    await connection.end();
  }
}

/** The same on a connection that stays open. What throws rolls back. */
export async function transactOn<T>(
  connection: OneConnection,
  end: End,
  work: (sql: postgres.ISql) => Promise<T>,
): Promise<T> {
  // A rollback needs no answer: it has happened even if the connection is gone.
  const rollback = () => connection.during((sql) => sql`ROLLBACK`).catch(() => {});
  let done: T;
  try {
    done = await begun(connection, work);
  } catch (error) {
    await rollback();
    throw error;
  }
  if (end === 'COMMIT') await connection.during((sql) => sql`COMMIT`);
  else await rollback();
  return done;
}

/** Until COMMIT is sent nothing is kept, whatever becomes of the connection. @throws Refusal `database_unavailable` */
async function begun<T>(connection: OneConnection, work: (sql: postgres.ISql) => Promise<T>): Promise<T> {
  try {
    const done = await connection.during(async (sql) => {
      await sql`BEGIN`;
      return work(sql);
    });
    return await connection.during(async () => done); // it may have closed since
  } catch (error) {
    throw brokeUnderWay(error) ? unavailable(error) : error;
  }
}
