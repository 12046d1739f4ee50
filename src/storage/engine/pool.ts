import type postgres from 'postgres';

/** A pool of connections that is replaced when the database leaves a question on it without an answer. */
export type Pool = {
  /**
   * Asks over the pool.
   * @throws an error that `brokeUnderWay` knows when there is no answer in time
   */
  ask: <T>(question: (sql: postgres.Sql) => Promise<T>) => Promise<T>;
  end: () => Promise<void>;
};

/**
 * The server has its own `statement_timeout`. But one that is stopped, or beyond a network that swallows everything, times nothing: its
 * connections stay open and silent, and all who ask on them would wait for as long. So after `patience` milliseconds the whole pool is
 * given up, with everything on it, and the next question gets another.
 */
export function replaceable(open: () => postgres.Sql, patience: number): Pool {
  let pool = open();
  return {
    ask: (question) => {
      const asked = pool;
      let timer: NodeJS.Timeout | undefined;
      const givenUp = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          if (pool === asked) pool = open();
          void asked.end({ timeout: 0 }).catch(() => {});
          reject(Object.assign(new Error('The database gives no answer.'), { code: 'NO_ANSWER' }));
        }, patience);
      });
      return Promise.race([question(asked), givenUp]).finally(() => clearTimeout(timer));
    },
    // Whoever closes has finished its statements. Not waiting for ever matters all the same: after a connection broke
    // under a statement, postgres.js 3.4.9 takes it for busy, and end() without a bound never returns.
    end: () => pool.end({ timeout: 1 }),
  };
}
