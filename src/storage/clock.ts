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
export async function waitUntilPast({ sql }: Database, instant: string): Promise<void> {
  let ahead = Number.POSITIVE_INFINITY;
  try {
    const [row] = await sql<{ ahead: number }[]>`
      SELECT extract(epoch FROM ${instant}::text::timestamptz - clock_timestamp())::float8 AS ahead`;
    ahead = row?.ahead ?? ahead;
  } catch (error) {
    throw readFailure(error);
  }
  if (ahead > PATIENCE_SECONDS) {
    throw new Refusal('as_of_in_future', `${instant} has not come yet; be patient.`);
  }
  if (ahead > 0) await sleep(Math.ceil(ahead * 1000));
}
