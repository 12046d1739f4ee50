import type { Activity, Change, Entity } from '../temporal/entity.js';
import { inMiB } from '../temporal/limits.js';
import { Refusal } from '../temporal/refusal.js';
import { applyTogether, compared, lockEntities, type WrittenChange, written } from './changes.js';
import type { Definitions } from './definitions.js';
import { lostRace, nobodyWaits, readFailure, refusedRow, writeFailure } from './engine/failures.js';
import type { Sql } from './engine/pools.js';
import type { EntityRow } from './rows.js';
import { inSlices } from './slices.js';
import { engine, type Storage } from './storage.js';

/* Changes of many entities that are one: all of them are written, at one instant, or none. */

/** How often they are tried, and how often of that before their entities are locked first. After that only the birth of some can be lost. */
const TRIES = { optimistic: 2, all: 8 };

/** How many bytes of JSON text the states may have together that are to be known: this process has all of them in memory. */
export const MOST_BYTES = 32 * 2 ** 20;
/** What became of an entity: its row as it now stands (undefined: there is none), what was changed (null: nothing), and what it was before. */
export type ManyOutcome = { id: string; row: EntityRow | undefined; change: Change | null; before: Entity | undefined };

/** What became of many entities; `at` is the instant of all its ticks, null where there is none, and so is the activity. */
export type TogetherOutcome = {
  at: string | null;
  activity: Activity | null;
  /** Of a batch one an operation, in that order; operations on one entity have the same. */
  outcomes: ManyOutcome[];
};

/** What is decided on the states of entities; `told` is for whoever has decided it. */
export type Decided<Told> = {
  /** At most one of an entity. All are under one activity, or none. */
  changes: readonly Change[];
  /** The entities that it was decided on, by id, whether or not they change; those that do not exist are not there. */
  rows: ReadonlyMap<string, EntityRow>;
  /** Those of it that do not exist, and are not to. */
  absent: readonly Pick<Entity, 'id' | 'type' | 'key'>[];
  definitions: Definitions;
  told: Told;
};

/** A decision as it was written: the rows of the entities that have changed, by id. */
export type Together<Told> = { told: Told; written: ReadonlyMap<string, EntityRow> };

/**
 * Decides on the current states of entities what is to change, and writes that if and only if all of them are still in these states; otherwise
 * decides anew. So nobody sees some of it without the rest, as of any instant; and what it says of each entity, its conditions among it, holds
 * at that one instant.
 * @param decide reads and decides; it may be asked several times
 * @throws Refusal what `decide` throws; `too_many_writers`, `outcome_unknown`, `database_unavailable`, `overloaded`, …; where the database
 * refuses an entity, with its id in the member `id`
 */
export async function writeTogether<Told>(
  storage: Storage,
  decide: (sql: Sql) => Promise<Decided<Told>>,
  { dryRun, signal }: { dryRun: boolean; signal: AbortSignal | undefined },
): Promise<Together<Told>> {
  const { batching, transaction, stableInstant, knownTypes, lastWritten, counts } = storage[engine];
  const end = dryRun ? 'ROLLBACK' : 'COMMIT';
  const decided: Decided<Told>[] = [];
  const optimistic = async (ask: Asking) => {
    const now = await ask(decide).catch((error: unknown) => {
      throw readFailure(error);
    });
    decided.unshift(now);
    if (now.changes.length === 0) return [];
    const texts = await inSlices(textsOf(now));
    if (signal?.aborted) throw nobodyWaits();
    const apply = (latest: string) => {
      const write = (sql: Sql) => applyTogether(sql, texts, latest);
      // What a dry run would be refused for, it is refused for by the same constraints and guards.
      return dryRun ? transaction(end, write, signal) : ask(write);
    };
    return stableInstant.stamped(apply);
  };
  const locking = async (before: Decided<Told>) => {
    const apply = async (latest: string, sql: Sql) => {
      await lockEntities(sql, [...before.rows.values(), ...before.changes]);
      const now = await decide(sql);
      decided.unshift(now);
      // What was born meanwhile is not locked. To lock it now, after others that come behind it, could wait in a circle.
      if ([...now.rows.keys()].some((id) => !before.rows.has(id))) return null;
      return now.changes.length === 0 ? [] : applyTogether(sql, await inSlices(textsOf(now)), latest);
    };
    return stableInstant.stamped((latest) => transaction(end, (sql) => apply(latest, sql), signal));
  };

  return batching(async (ask) => {
    for (let tries = 1; tries <= TRIES.all; tries++) {
      try {
        const [before] = decided;
        const rows = await (before && tries > TRIES.optimistic ? locking(before) : optimistic(ask));
        const [now] = decided;
        if (rows && now) {
          if (!dryRun) for (const row of rows) lastWritten.set(row.id, row);
          return { told: now.told, written: new Map(rows.map((row) => [row.id, row])) };
        }
        for (const { type } of [...(now?.changes ?? []), ...(now?.rows.values() ?? [])]) knownTypes.delete(type);
      } catch (error) {
        if (!lostRace(error)) throw failureOf(error);
      }
      counts.retriedWrites++;
    }
    throw new Refusal(
      'too_many_writers',
      'Other writers of these entities came first every time. Nothing was written.',
    );
  }, signal);
}

/** Asks over a connection, as `batching` lets work ask. */
type Asking = <T>(question: (sql: Sql) => Promise<T>) => Promise<T>;

type Texts = { changes: WrittenChange[]; unchanged: WrittenChange[] };

/**
 * The changes as the write function takes them, step by step. The first one records their activity, and the others name it. What is unchanged
 * is compared: a batch may have changed the others because of how that was.
 */
function* textsOf({ changes, rows, absent, definitions }: Decided<unknown>): Generator<void, Texts> {
  const texts: Texts = { changes: [], unchanged: [] };
  const left = new Map(rows);
  for (const [place, change] of changes.entries()) {
    const { activity, id, type } = change;
    const named = activity && place > 0 ? { id: activity.id, details: null } : activity;
    texts.changes.push(written({ ...change, activity: named }, rows.get(id), definitions.get(type) ?? null));
    left.delete(id);
    yield;
  }
  for (const one of [...left.values(), ...absent])
    texts.unchanged.push(compared(one, left.get(one.id), definitions.get(one.type) ?? null));
  return texts;
}

/** What an error means to a caller, with the entity that it is about, where the database says which. */
function failureOf(error: unknown): unknown {
  const failure = writeFailure(error);
  if (!(failure instanceof Refusal)) return failure;
  const { members, ...notes } = failure.notes;
  const id = refusedRow(notes.cause);
  return id === null ? failure : new Refusal(failure.code, failure.message, { ...notes, members: { ...members, id } });
}

/** The refusal of what would take too much memory. @param which states those are */
export const tooLarge = (which: string): Refusal =>
  new Refusal(
    'batch_too_large',
    `The states of the entities, ${which}, have more than ${inMiB(MOST_BYTES)} together as JSON: send fewer at a time.`,
  );
