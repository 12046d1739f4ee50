import { pastWaiter } from './clock.js';
import { type Ask, type Bounds, coalesce } from './coalesce.js';
import { type Database, FLIGHTS, LOCK_PATIENCE_MS, openDatabase } from './database.js';
import {
  asOfReader,
  type EntityQuestion,
  type EntityRow,
  type PastEntityRow,
  type PastQuestion,
  readEntitiesNow,
  readEntitiesThen,
} from './entities.js';
import { concernsAll } from './failures.js';
import { type InTurn, turns } from './turns.js';
import { type Applied, applyChanges, type Outcome, type WrittenChange } from './write.js';

/** What the service reads from and writes to: the database, and what its requests share. */
export type Storage = Database & {
  /** An entity as it is now, tombstones included; undefined where it was never created. */
  entityNow: Ask<EntityQuestion, EntityRow | undefined>;
  /** An entity as of a point; whether an instant has come already is for the caller to know. */
  entityThen: Ask<PastQuestion, PastEntityRow | undefined>;
  /** The same; waits for an instant that has not come. @throws Refusal `as_of_in_future` */
  entityAsOf: Ask<PastQuestion, PastEntityRow | undefined>;
  /** Applies one change, of an entity that no other change under way is of. */
  applyChange: Ask<WrittenChange, Applied>;
  /** Lets writes of one entity run one after another. */
  inTurn: InTurn<Outcome>;
  /** @throws Refusal `as_of_in_future` */
  waitUntilPast: (instant: string) => Promise<void>;
};

/**
 * A statement holds its locks until it ends, so it must be short: 100 small changes take 15 ms. At 5,000 a second the last
 * of the queue waits a second.
 */
const BOUNDS: Omit<Bounds, 'flights'> = { batch: 100, weight: 2 ** 20, waiting: 5_000 };

/** Opens the storage; it connects on first use. */
export const openStorage = (url: string): Storage => storageOf(openDatabase(url));

/** What requests share over a database; `bounds` are those of a statement. */
const weigh = ({ set, activity }: WrittenChange) => set.length + (activity?.length ?? 0);

export function storageOf(database: Database, bounds = BOUNDS): Storage {
  const { sql, sharedReads, sharedWrites } = database;
  const reading = { bounds: { ...bounds, flights: FLIGHTS.reads }, weigh: () => 0, isForAll: concernsAll };
  const writing = { bounds: { ...bounds, flights: FLIGHTS.writes }, weigh, isForAll: concernsAll };
  const entityNow = coalesce(
    (questions: readonly EntityQuestion[]) => readEntitiesNow(sharedReads, questions),
    reading,
  );
  const entityThen = coalesce(
    (questions: readonly PastQuestion[]) => readEntitiesThen(sharedReads, questions),
    reading,
  );
  const waitUntilPast = pastWaiter(sql);
  return {
    ...database,
    entityNow,
    entityThen,
    entityAsOf: asOfReader({ waitUntilPast, entityNow, entityThen }),
    applyChange: coalesce((changes) => applyChanges(sharedWrites, changes, { patient: false }), writing),
    inTurn: turns({ waiting: bounds.waiting, patience: LOCK_PATIENCE_MS }),
    waitUntilPast,
  };
}
