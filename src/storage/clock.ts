import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from '../temporal/refusal.js';
import type { Sql } from './database.js';
import { readFailure } from './failures.js';

/** How far ahead of the database's clock an instant may lie and still be waited for: clocks of callers run ahead. */
const PATIENCE_SECONDS = 1;

/**
 * Gives what waits until an instant is past by the database's clock, the only one that stamps; it throws the Refusal
 * `as_of_in_future` when that is more than a second away. How late it is there is remembered: nothing need be asked about
 * an instant that was past before.
 */
export function pastWaiter(sql: Sql): (instant: string) => Promise<void> {
  let knownPast = Number.NEGATIVE_INFINITY;
  return async (instant) => {
    // Date drops the microseconds.
    const latest = Date.parse(instant) + 1;
    while (latest > knownPast) {
      const ahead = await secondsAhead(instant);
      if (ahead > PATIENCE_SECONDS) throw new Refusal('as_of_in_future', `${instant} has not come yet; be patient.`);
      if (ahead <= 0) return;
      // Asked again after each wait: timers may fire early, and the two clocks need not run alike.
      await sleep(Math.ceil(ahead * 1000));
    }
  };

  async function secondsAhead(instant: string): Promise<number> {
    try {
      const [row] = await sql<{ ahead: number; now: number }[]>`
        SELECT extract(epoch FROM ${instant}::text::timestamptz - now.at)::float8 AS ahead,
               floor(extract(epoch FROM now.at) * 1000)::float8 AS now
          FROM (SELECT clock_timestamp() OFFSET 0) AS now (at)`;
      if (!row) throw new Error('the database does not know how late it is');
      knownPast = Math.max(knownPast, row.now);
      return row.ahead;
    } catch (error) {
      throw readFailure(error);
    }
  }
}
