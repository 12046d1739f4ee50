import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from '../temporal/refusal.js';
import type { Database } from './database.js';
import { readFailure } from './failures.js';

/** How far ahead of the database's clock an instant may lie and still be waited for: clocks of callers run ahead. */
const PATIENCE_SECONDS = 1;

/**
 * Waits until an instant is past by the database's clock, the only one that stamps.
 * @throws Refusal `as_of_in_future` when it is more than a second away
 */
export async function waitUntilPast(storage: Database, instant: string): Promise<void> {
  // Asked again after each wait: timers may fire early, and the two clocks need not run alike.
  for (let ahead = await secondsAhead(storage, instant); ahead > 0; ahead = await secondsAhead(storage, instant)) {
    if (ahead > PATIENCE_SECONDS) {
      throw new Refusal('as_of_in_future', `${instant} has not come yet; be patient.`);
    }
    await sleep(Math.ceil(ahead * 1000));
  }
}

async function secondsAhead({ sql }: Database, instant: string): Promise<number> {
  try {
    const [row] = await sql<{ ahead: number }[]>`
      SELECT extract(epoch FROM ${instant}::text::timestamptz - clock_timestamp())::float8 AS ahead`;
    return row?.ahead ?? 0;
  } catch (error) {
    throw readFailure(error);
  }
}
