import { LRUCache } from 'lru-cache';
import { applyChanges, type WrittenChange } from './changes.js';
import { concernsAll, concernsAllReads, readFailure, writeFailure } from './engine/failures.js';
import { LOCK_PATIENCE_MS, MOST_FLIGHTS, openPools, type Pools } from './engine/pools.js';
import { share } from './engine/sharing.js';
import { stableInstantOf } from './engine/stable-instant.js';
import { unlessTooMuch } from './engine/too-much.js';
import { turns } from './engine/turns.js';
import { asOfReader, readEntitiesNow, readEntitiesThen, readSmallNow, readSmallThen } from './entities.js';
import { readMementosAround } from './mementos.js';
import { type Around, type EntityLookup, type EntityRow, isTooLarge, LARGE_BYTES, type PastLookup } from './rows.js';
import { type Engine, engine, type Storage } from './storage.js';

/**
 * A statement holds its locks until it ends, so it must be short. Beside one that takes longer than `patience`, for a slow disk,
 * others leave. The queue is as long as the last of it can wait for.
 */
const BOUNDS = { batch: 100, patience: 10, weight: 2 ** 20, waiting: 5_000, wait: LOCK_PATIENCE_MS };

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

/** Of how many types it is known what they say, and how many bytes their definitions may take together (`sizeOf` in definitions.ts). */
const KNOWN_TYPES = { max: 10_000, maxSize: 128e6 };

/** A storage that whoever opened it closes. */
type OpenStorage = Storage & { close: () => Promise<void> };

/** Opens the storage; it connects on first use. */
export const openStorage = (url: string): OpenStorage => storageOf(openPools(url));

const weigh = ({ weight }: WrittenChange) => weight;

/** Whether a change may take long, so that others must not wait for it: its statement, or the entity that it is of, is large. */
const isLarge = ({ weight }: WrittenChange) => weight > LARGE_BYTES;

/** Puts the engine together: what requests share over the pools; `bounds` are those of a statement. */
export function storageOf(pools: Pools, { bounds = BOUNDS, stableInstant = stableInstantOf(pools) } = {}): OpenStorage {
  const { sharedReads, sharedWrites, readingLarge, writingLarge } = pools;
  const reading = {
    bounds: { ...bounds, ...READING },
    weigh: () => 0,
    isForAll: concernsAllReads,
    failureOf: readFailure,
  };
  const writing = { bounds: { ...bounds, ...WRITING }, weigh, isForAll: concernsAll, failureOf: writeFailure };
  const smallNow = share(
    (questions: readonly EntityLookup[]) => sharedReads((sql) => readSmallNow(sql, questions)),
    reading,
  );
  const smallThen = share(
    (questions: readonly PastLookup[]) => sharedReads((sql) => readSmallThen(sql, questions)),
    reading,
  );
  const entityNow: Engine['entityNow'] = async (question, signal) => {
    const row = await smallNow(question, signal);
    if (!isTooLarge(row)) return row;
    const [large] = await readingLarge((sql) => readEntitiesNow(sql, [question]), signal);
    return large;
  };
  const entityThen: Engine['entityThen'] = async (question, signal) => {
    const row = await smallThen(question, signal);
    if (!isTooLarge(row)) return row;
    const [large] = await readingLarge((sql) => readEntitiesThen(sql, [question]), signal);
    return large;
  };
  const applySmall = share(
    (changes: readonly WrittenChange[]) =>
      stableInstant.stamped((latest) => sharedWrites((sql) => applyChanges(sql, changes, { patient: false, latest }))),
    writing,
  );
  const applyLarge: Engine['applyChange'] = async (change, signal) => {
    const write = (latest: string) =>
      writingLarge((sql) => applyChanges(sql, [change], { patient: false, latest }), signal);
    const [applied] = await stableInstant.stamped(write).catch((error: unknown) => {
      throw writeFailure(error);
    });
    if (!applied) throw new Error('a change had no end');
    return applied;
  };
  const mementosAround = share(
    (states: readonly Around[]) => sharedReads((sql) => readMementosAround(sql, states)),
    reading,
  );
  const parts: Engine = {
    ...pools,
    stableInstant,
    entityNow,
    entityThen,
    entityAsOf: asOfReader({ stableInstant, entityNow, entityThen }),
    mementosAround,
    applyChange: (change, signal) => (isLarge(change) ? applyLarge : applySmall)(change, signal),
    unlessTooMuch: unlessTooMuch(),
    inTurn: turns({ waiting: bounds.waiting, patience: LOCK_PATIENCE_MS }),
    lastWritten: new LRUCache(LAST_WRITTEN),
    knownTypes: new LRUCache(KNOWN_TYPES),
    counts: { retriedWrites: 0, waitingImports: 0 },
    tallies: {
      entities_now: smallNow.tally,
      entities_then: smallThen.tally,
      mementos: mementosAround.tally,
      writes: applySmall.tally,
    },
  };
  return { [engine]: parts, close: pools.close };
}
