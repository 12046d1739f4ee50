import type { Activity, Change, Entity } from '../temporal/entity.js';
import { inMiB } from '../temporal/limits.js';
import { Refusal } from '../temporal/refusal.js';
import { applyTogether, lockEntities, unchanged, written } from './changes.js';
import type { Definitions } from './definitions.js';
import { lostRace, refusedRow, writeFailure } from './engine/failures.js';
import type { Sql } from './engine/pools.js';
import type { EntityRow } from './rows.js';
import { engine, type Storage } from './storage.js';

/* Changes of many entities that are one: all of them are written, at one instant, or none. */

/** How often they are tried, and how often of that before their entities are locked first. After that hardly more than the birth of one can be lost. */
const TRIES = { optimistic: 2, all: 5 };

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
  /** The entities that it was decided on, by id; those that do not exist are not there. */
  rows: ReadonlyMap<string, EntityRow>;
  /** Those that do not exist, and are not to. */
  absent: readonly Pick<Entity, 'id' | 'type' | 'key'>[];
  definitions: Definitions;
  told: Told;
};

/** A decision as it was written: the rows of the entities that have changed, by id. */
export type Together<Told> = { told: Told; written: ReadonlyMap<string, EntityRow> };

/**
 * Decides on the current states of entities what is to change, and writes that if and only if all of them are still in these states, also those
 * that do not change; otherwise decides anew. So nobody sees some of it without the rest, as of any instant; and what it says of each
 * entity, its conditions among it, holds at that one instant.
 * @param decide reads and decides; it may be asked several times
 * @throws Refusal what `decide` throws; `too_many_writers`, `outcome_unknown`, `database_unavailable`, `overloaded`, …; where the database
 * refuses an entity, with its id in the member `id`
 */
export async function writeTogether<Told>(
  storage: Storage,
  decide: (sql: Sql) => Promise<Decided<Told>>,
  { dryRun, signal }: { dryRun: boolean; signal: AbortSignal | undefined },
): Promise<Together<Told>> {
  const { readingLarge, writingMany, transaction, stableInstant, knownTypes, lastWritten, counts } = storage[engine];
  const end = dryRun ? 'ROLLBACK' : 'COMMIT';
  const decided: Decided<Told>[] = [];
  const optimistic = async () => {
    const decideOn = async (sql: Sql) => {
      const now = await decide(sql);
      decided.unshift(now);
      return now.changes.length === 0 ? null : textsOf(now);
    };
    if (dryRun) {
      const texts = await readingLarge(decideOn, signal);
      if (!texts) return [];
      // What a dry run would be refused for, it is refused for by the same constraints and guards.
      const rehearse = (latest: string) => transaction(end, (sql) => applyTogether(sql, texts, latest), signal);
      return stableInstant.stamped(rehearse);
    }
    // Decided in the turn in which it is written: whatever waits for its turn has nothing in memory yet, and no time to grow stale.
    return writingMany(async (sql) => {
      const texts = await decideOn(sql);
      return texts ? stableInstant.stamped((latest) => applyTogether(sql, texts, latest)) : [];
    }, signal);
  };
  const locking = async (before: Decided<Told>) => {
    const apply = async (latest: string, sql: Sql) => {
      await lockEntities(sql, [...before.rows.values(), ...before.changes]);
      const now = await decide(sql);
      decided.unshift(now);
      return now.changes.length === 0 ? [] : applyTogether(sql, textsOf(now), latest);
    };
    return stableInstant.stamped((latest) => transaction(end, (sql) => apply(latest, sql), signal));
  };

  for (let tries = 1; tries <= TRIES.all; tries++) {
    try {
      const [before] = decided;
      const rows = await (before && tries > TRIES.optimistic ? locking(before) : optimistic());
      const [now] = decided;
      if (rows && now) {
        if (!dryRun) for (const row of rows) lastWritten.set(row.id, row);
        return { told: now.told, written: new Map(rows.map((row) => [row.id, row])) };
      }
      for (const { type } of now ? [...now.changes, ...now.rows.values()] : []) knownTypes.delete(type);
    } catch (error) {
      if (!lostRace(error)) throw failureOf(error);
    }
    counts.retriedWrites++;
  }
  throw new Refusal('too_many_writers', 'Other writers of these entities came first every time. Nothing was written.');
}

/** The changes as the write function takes them, and what is to stay as it is. The first one records their activity, and the others name it. */
function textsOf({ changes, rows, absent, definitions }: Decided<unknown>) {
  const rulesOf = (type: string) => definitions.get(type) ?? null;
  const changing = new Set(changes.map(({ id }) => id));
  return {
    changes: changes.map((change, place) => {
      const { activity } = change;
      const named = activity && place > 0 ? { id: activity.id, details: null } : activity;
      return written({ ...change, activity: named }, rows.get(change.id), rulesOf(change.type));
    }),
    same: [...[...rows.values()].filter(({ id }) => !changing.has(id)), ...absent].map((one) =>
      unchanged(one, rows.get(one.id), rulesOf(one.type)),
    ),
  };
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
export const tooLarge = (which: string, most = MOST_BYTES): Refusal =>
  new Refusal(
    'batch_too_large',
    `The states of the entities, ${which}, have more than ${inMiB(most)} together as JSON: send fewer at a time.`,
  );
