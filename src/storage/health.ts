import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from './database.js';

const PATIENCE_MS = 2000;

/** Whether the database answers, migrated, within two seconds. */
export async function isReady({ sql }: Database): Promise<boolean> {
  const answer = sql`SELECT FROM clocktick.entity LIMIT 1`.then(
    () => true,
    () => false,
  );
  return Promise.race([answer, sleep(PATIENCE_MS, false, { ref: false })]);
}
