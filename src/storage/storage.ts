import { LRUCache } from 'lru-cache';
import { type Applied, applyChanges, type WrittenChange } from './changes.js';
import { concernsAll, concernsAllReads, readFailure } from './engine/failures.js';
import { largeEntities } from './engine/large.js';
import { type Database, LOCK_PATIENCE_MS, MOST_FLIGHTS, openDatabase } from './engine/pools.js';
import { type Ask, coalesce } from './engine/sharing.js';
import { type Clock, stableClock } from './engine/stable-instant.js';
import { type InTurn, turns } from './engine/turns.js';
import {
  asOfReader,
  type EntityQuestion,
  type EntityRow,
  type PastEntityRow,
  type PastQuestion,
  readEntitiesNow,
  readEntitiesThen,
} from './entities.js';
import { type Around, type RelatedMemento, readMementosAround } from './mementos.js';

/** What the service reads from and writes to: the database, and what its requests share. */
export type Storage = Database & {
  clock: Clock;
  /** An entity as it is now, tombstones included; undefined where it was never created. */
  entityNow: Ask<EntityQuestion, EntityRow | undefined>;
  /** An entity as of a point; whether an instant has come already is for the caller to know. */
  entityThen: Ask<PastQuestion, PastEntityRow | undefined>;
  /** The same; waits for an instant that has not come. @throws Refusal `as_of_in_future`, `as_of_not_stable_yet` */
  entityAsOf: Ask<PastQuestion, PastEntityRow | undefined>;
  /** The mementos around a state. */
  mementosAround: Ask<Around, RelatedMemento[]>;
  /** Applies one change, of an entity that no other change under way is of. */
  applyChange: Ask<WrittenChange, Applied>;
  /** Lets writes of one entity run one after another. */
  inTurn: InTurn;
  /** What writes left of their entities, by id: where others write too, it may have changed since. */
  lastWritten: LRUCache<string, EntityRow>;
};

/**
 * A statement holds its locks until it ends, so it must be short: 100 small changes take 7 ms. Beside one that takes longer
 * than `patience`, for a large entity or a slow disk, others leave. At 5,000 a second the last of the queue waits a second.
 */
const BOUNDS = { batch: 100, patience: 10, weight: 2 ** 20, waiting: 5_000 };

/** 64 readers, 2 cores: 46,000 a second by one statement at a time, 57,000 by two, 45,000 by three. */
const READING = { flights: 2, most: MOST_FLIGHTS.reads };

/**
 * A write costs 270 µs alone and 70 in a batch, so one at a time is best (64 writers: 10,900 a second; by two 9,400), as
 * long as it is quick.
 */
const WRITING = { flights: 1, most: MOST_FLIGHTS.writes };

/** Up to 10,000 entities, and 32 million characters; a larger one than 256 kB is read anew for each write. */
const LAST_WRITTEN = {
  max: 10_000,
  maxSize: 32e6,
  maxEntrySize: 256e3,
  sizeCalculation: ({ properties }: EntityRow) => properties.length + 500,
};

/** Opens the storage; it connects on first use. */
export const openStorage = (url: string): Storage => storageOf(openDatabase(url));

/** About the bytes that a change takes in its statement. */
const weigh = ({ text }: WrittenChange) => text.length;

/** What requests share over a database; `bounds` are those of a statement. */
export function storageOf(database: Database, { bounds = BOUNDS, clock = stableClock(database) } = {}): Storage {
  const { sharedReads, sharedWrites } = database;
  const large = largeEntities();
  const reading = {
    bounds: { ...bounds, ...READING },
    weigh: large.weigh,
    isForAll: concernsAllReads,
    failureOf: readFailure,
  };
  const writing = { bounds: { ...bounds, ...WRITING }, weigh, isForAll: concernsAll };
  const entityNow = coalesce(
    async (questions: readonly EntityQuestion[]) => large.note(await readEntitiesNow(sharedReads, questions)),
    reading,
  );
  const entityThen = coalesce(
    async (questions: readonly PastQuestion[]) => large.note(await readEntitiesThen(sharedReads, questions)),
    reading,
  );
  return {
    ...database,
    clock,
    entityNow,
    entityThen,
    entityAsOf: asOfReader({ clock, entityNow, entityThen }),
    mementosAround: coalesce((states: readonly Around[]) => readMementosAround(sharedReads, states), {
      ...reading,
      weigh: () => 0,
    }),
    applyChange: coalesce((changes) => applyChanges(sharedWrites, changes, { patient: false }), writing),
    inTurn: turns({ waiting: bounds.waiting, patience: LOCK_PATIENCE_MS }),
    lastWritten: new LRUCache(LAST_WRITTEN),
  };
}
