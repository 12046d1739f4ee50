import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from '../temporal/refusal.js';
import { engine, type Storage } from './storage.js';

const PATIENCE_MS = 2000;
/** The id of no entity. */
const NIL = '00000000-0000-0000-0000-000000000000';

/**
 * That the database answers, migrated, and lets it be told what is stable.
 * @throws Refusal `database_unavailable`, `as_of_not_stable_yet`
 */
export async function checkReady(storage: Storage): Promise<void> {
  const clear = storage[engine].stableInstant.waitUntilClear();
  clear.catch(() => {}); // told below, unless the database does not answer at all
  if (!(await answers(storage))) throw new Refusal('database_unavailable', 'The database does not answer.');
  await clear;
}

/** Whether it does so within two seconds. */
async function answers(storage: Storage): Promise<boolean> {
  const answer = storage[engine]
    .reading((sql) => sql`SELECT FROM clocktick.entity WHERE id = ${NIL}::uuid`)
    .then(
      () => true,
      () => false,
    );
  return Promise.race([answer, sleep(PATIENCE_MS, false, { ref: false })]);
}

/** By how many seconds the newest stable instant lies behind the database's clock; NaN: nobody knows. */
export const stableLag = (storage: Storage): Promise<number> =>
  storage[engine].stableInstant.lag().catch(() => Number.NaN);
