import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from '../../temporal/refusal.js';
import type { OneConnection } from '../engine/transactions.js';
import { engine, type Storage } from '../storage.js';
import { importRuns, lockSource, running, unwritten } from './rows.js';

/* When an import may begin: a source has one at a time, and an instance as many as there are connections for imports. */

/** How often it is looked whether an import that waits may begin, in milliseconds. */
const PAUSE_MS = 250;
/** How many imports of an instance may wait: each keeps a request. */
const MOST_WAITING = 20;

/** `wait`: for how long, in seconds; `caller`: aborted when nobody waits any more. */
export type Turn = {
  source: string;
  wait: number;
  signal?: AbortSignal | undefined;
  caller?: AbortSignal | undefined;
};

/**
 * Takes the connection of an import, which holds the lock of its source. Where another import has it, or all connections are taken, this
 * waits. Meanwhile it has no connection itself, so that it keeps no other source from being imported. Of those that wait, whoever looks first
 * is next.
 * @throws Refusal `import_running`, `overloaded`: what it waited for at last
 */
export async function takeTurn(storage: Storage, turn: Turn): Promise<OneConnection> {
  const { source, wait, signal, caller } = turn;
  const until = performance.now() + wait * 1_000;
  try {
    return await take(storage, source);
  } catch (error) {
    if (wait === 0 || !isBusy(error)) throw error;
  }
  const { counts } = storage[engine];
  if (counts.waitingImports >= MOST_WAITING)
    throw new Refusal('overloaded', 'More imports wait than this service can keep. Nothing was imported.');
  counts.waitingImports++;
  try {
    for (;;) {
      await sleep(Math.max(Math.min(PAUSE_MS, until - performance.now()), 0));
      if (signal?.aborted || caller?.aborted) throw stopped();
      try {
        // It costs less to ask than to connect.
        if (await importRuns(storage, source)) throw running(source);
        return await take(storage, source);
      } catch (error) {
        if (!isBusy(error) || performance.now() >= until) throw error;
      }
    }
  } finally {
    counts.waitingImports--;
  }
}

async function take(storage: Storage, source: string): Promise<OneConnection> {
  const connection = storage[engine].openForImport();
  try {
    await unwritten(lockSource(connection, source));
    return connection;
  } catch (error) {
    await connection.end();
    throw error;
  }
}

const isBusy = (error: unknown): boolean =>
  error instanceof Refusal && (error.code === 'import_running' || error.code === 'overloaded');

/** The refusal of an import that is stopped with its service. */
export const stopped = () =>
  new Refusal('overloaded', 'The service stops. What it told was kept is kept; send the rest again.');
