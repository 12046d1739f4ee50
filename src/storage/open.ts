import { LRUCache } from 'lru-cache';
import { applyChanges, type WrittenChange } from './changes.js';
import { concernsAll, concernsAllReads, readFailure, writeFailure } from './engine/failures.js';
import { largeEntities } from './engine/large.js';
import { LOCK_PATIENCE_MS, MOST_FLIGHTS, openPools, type Pools } from './engine/pools.js';
import { share } from './engine/sharing.js';
import { stableInstantOf } from './engine/stable-instant.js';
import { turns } from './engine/turns.js';
import { asOfReader, readEntitiesNow, readEntitiesThen } from './entities.js';
import { readMementosAround } from './mementos.js';
import type { Around, EntityLookup, EntityRow, PastLookup } from './rows.js';
import { type Engine, engine, type Storage } from './storage.js';

/**
 * A statement holds its locks until it ends, so it must be short. Beside one that takes longer than `patience`, for a large
 * entity or a slow disk, others leave. The queue is as long as the last of it can wait for.
 */
const BOUNDS = { batch: 100, patience: 10, weight: 2 ** 20, waiting: 5_000 };

/** Two at a time keep the server busy; a third makes the batches of the others smaller. */
const READING = { flights: 2, most: MOST_FLIGHTS.reads };

/** A write costs a quarter in a batch of what it costs alone, so one statement at a time is best, as long as it is quick. */
const WRITING = { flights: 1, most: MOST_FLIGHTS.writes };

/** Up to 10,000 entities, and 32 million characters; a larger one than 256 kB is read anew for each write. */
const LAST_WRITTEN = {
  max: 10_000,
  maxSize: 32e6,
  maxEntrySize: 256e3,
  sizeCalculation: ({ properties }: EntityRow) => properties.length + 500,
};

/** A storage that whoever opened it closes. */
type OpenStorage = Storage & { close: () => Promise<void> };

/** Opens the storage; it connects on first use. */
export const openStorage = (url: string): OpenStorage => storageOf(openPools(url));

/** About the bytes that a change takes in its statement. */
const weigh = ({ text }: WrittenChange) => text.length;

/** Puts the engine together: what requests share over the pools; `bounds` are those of a statement. */
export function storageOf(pools: Pools, { bounds = BOUNDS, stableInstant = stableInstantOf(pools) } = {}): OpenStorage {
  const { sharedReads, sharedWrites } = pools;
  const large = largeEntities();
  const reading = {
    bounds: { ...bounds, ...READING },
    weigh: large.weigh,
    isForAll: concernsAllReads,
    failureOf: readFailure,
  };
  const writing = { bounds: { ...bounds, ...WRITING }, weigh, isForAll: concernsAll, failureOf: writeFailure };
  const entityNow = share(
    async (questions: readonly EntityLookup[]) => large.note(await readEntitiesNow(sharedReads, questions)),
    reading,
  );
  const entityThen = share(
    async (questions: readonly PastLookup[]) => large.note(await readEntitiesThen(sharedReads, questions)),
    reading,
  );
  const mementosAround = share((states: readonly Around[]) => readMementosAround(sharedReads, states), {
    ...reading,
    weigh: () => 0,
  });
  const applyChange = share(
    (changes: readonly WrittenChange[]) => applyChanges(sharedWrites, changes, { patient: false }),
    writing,
  );
  const parts: Engine = {
    ...pools,
    stableInstant,
    entityNow,
    entityThen,
    entityAsOf: asOfReader({ stableInstant, entityNow, entityThen }),
    mementosAround,
    applyChange,
    inTurn: turns({ waiting: bounds.waiting, patience: LOCK_PATIENCE_MS }),
    lastWritten: new LRUCache(LAST_WRITTEN),
    counts: { retriedWrites: 0 },
    tallies: {
      entities_now: entityNow.tally,
      entities_then: entityThen.tally,
      mementos: mementosAround.tally,
      writes: applyChange.tally,
    },
  };
  return { [engine]: parts, close: pools.close };
}
