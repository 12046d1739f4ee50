import { admitted, withDefaults } from '../definitions/admission.js';
import { type BatchFacts, type Folded, foldBatch, neededOf, type Operation, refusedAt } from '../temporal/batch.js';
import type { Activity, ActivityDetails, Entity, Past } from '../temporal/entity.js';
import { Refusal } from '../temporal/refusal.js';
import { requireActivity } from './activities.js';
import { definitionsOf } from './definitions.js';
import { arrayText, type Sql } from './engine/pools.js';
import { entitiesNow, readEntitiesThen } from './entities.js';
import { type EntityRow, entityOf, type PastLookup } from './rows.js';
import { inSlices } from './slices.js';
import { engine, type Storage } from './storage.js';
import {
  type Decided,
  type ManyOutcome,
  MOST_BYTES,
  type TogetherOutcome,
  tooLarge,
  writeTogether,
} from './together.js';

/** How many bytes the states have together that operations are done on, each counted: an operation takes as long as its entity is large. */
const MOST_WORK = 4 * MOST_BYTES;
/** How many past states are read at once: the database makes all of them before anybody knows how large they are. */
const PAST_AT_ONCE = 32;

/** A batch of operations under one activity, or none. */
export type Batch = {
  operations: readonly Operation[];
  /** One without details must have been recorded. */
  activity: Activity | null;
  /** Writes states that definitions refuse. */
  evenIfInvalid: boolean;
  /** Answers what would be written, and writes nothing. */
  dryRun: boolean;
  /** Aborted when nobody waits for the outcome any more. */
  signal?: AbortSignal;
};

/**
 * Does a batch: all of it, or nothing.
 * @throws Refusal what an operation is refused for, with its place in the path of each error; `batch_too_large`; and as `writeTogether`
 */
export async function writeBatch(storage: Storage, batch: Batch): Promise<TogetherOutcome> {
  const { operations, activity, dryRun, signal } = batch;
  const who = activity?.details ?? (activity ? await requireActivity(storage, activity.id) : null);
  await waitForPoints(storage, operations);
  const ids = [...new Set(operations.map(({ id }) => id))];
  const decide = (sql: Sql) => decideOn(storage, sql, { ...batch, ids, who });
  const { told, written } = await writeTogether(storage, decide, { dryRun, signal }).catch((error: unknown) => {
    throw placed(error, operations);
  });
  const outcomes = new Map(
    told.folded.map(({ id, before, change }): [string, ManyOutcome] => [
      id,
      { id, row: written.get(id) ?? told.rows.get(id), change, before },
    ]),
  );
  const [first] = written.values();
  return {
    at: first?.updatedAt ?? null,
    activity: first && activity ? { id: activity.id, details: who } : null,
    outcomes: operations.flatMap(({ id }) => outcomes.get(id) ?? []),
  };
}

/** Waits until the instants are stable that operations go back to: whoever has locked entities holds back what is stable. */
async function waitForPoints(storage: Storage, operations: readonly Operation[]): Promise<void> {
  const { stableInstant } = storage[engine];
  for (const [place, { needs }] of operations.entries()) {
    if (!needs || needs === 'deleted' || 'tick' in needs) continue;
    await stableInstant.waitFor(needs.instant).catch((error: unknown) => {
      throw refusedAt(place, error);
    });
  }
}

type Deciding = Batch & { ids: readonly string[]; who: ActivityDetails | null };

type Told = { folded: Folded[]; rows: ReadonlyMap<string, EntityRow> };

async function decideOn(
  storage: Storage,
  sql: Sql,
  { operations, ids, activity, who, evenIfInvalid }: Deciding,
): Promise<Decided<Told>> {
  const rows = await readStates(sql, ids);
  const current = new Map([...rows].map(([id, row]) => [id, entityOf(row)]));
  const past = await readPast(sql, operations, current);
  refuseWork(operations, rows);
  const definitions = await definitionsOf(storage, typesOf(operations, current));
  const facts: BatchFacts = {
    current,
    past,
    complete: (change, before) => {
      const rules = definitions.get(change.type);
      return rules ? withDefaults(change, before, rules.checker) : change;
    },
    admit: (change, before, isReturn) =>
      admitted(change, before, definitions.get(change.type) ?? null, { who, isReturn, evenIfInvalid }),
  };
  const folded = await inSlices(foldBatch(operations, facts));
  const changes = folded.flatMap(({ change }) => (change ? [{ ...change, activity }] : []));
  return { changes, rows, absent: absentOf(operations, folded), definitions, told: { folded, rows } };
}

/** What a batch has made and deleted again. */
function absentOf(operations: readonly Operation[], folded: readonly Folded[]): Decided<Told>['absent'] {
  const types = new Map(operations.flatMap(({ id, type }): [string, string][] => (type === null ? [] : [[id, type]])));
  return folded.flatMap(({ id, before, change }) => {
    const type = types.get(id);
    return before || change || type === undefined ? [] : [{ id, type, key: null }];
  });
}

/** The types of what a batch names. */
const typesOf = (operations: readonly Operation[], current: ReadonlyMap<string, Entity>): string[] =>
  operations.flatMap(({ id, type }) => current.get(id)?.type ?? type ?? []);

/** Entities as they are now. @throws Refusal `batch_too_large` */
async function readStates(sql: Sql, ids: readonly string[]): Promise<ReadonlyMap<string, EntityRow>> {
  const relation = sql`(SELECT u.id, u.n, NULL::jsonb AS fields FROM unnest(${arrayText(ids)}::text::uuid[]) WITH ORDINALITY AS u (id, n)) q`;
  const rows = await sql<(Omit<EntityRow, 'properties'> & { properties: string | null })[]>`
    WITH row AS MATERIALIZED (${entitiesNow(sql, relation)})
    SELECT id, type, key, tick, deleted, "createdAt", "updatedAt", untracked,
           CASE WHEN sum(octet_length(properties)) OVER (ORDER BY n) <= ${MOST_BYTES} THEN properties END AS properties
      FROM row`;
  return new Map(
    rows.map(({ properties, ...row }) => {
      if (properties === null) throw tooLarge('as they are');
      return [row.id, { ...row, properties }];
    }),
  );
}

/** The recorded states that operations need, by their place. @throws Refusal `batch_too_large` */
async function readPast(
  sql: Sql,
  operations: readonly Operation[],
  current: ReadonlyMap<string, Entity>,
): Promise<ReadonlyMap<number, Past>> {
  const wanted = operations.flatMap((operation, place) => {
    const point = neededOf(operation, current.get(operation.id));
    return point ? [{ place, lookup: { id: operation.id, fields: null, point } satisfies PastLookup }] : [];
  });
  const past = new Map<number, Past>();
  let bytes = 0;
  for (let from = 0; from < wanted.length; from += PAST_AT_ONCE) {
    const some = wanted.slice(from, from + PAST_AT_ONCE);
    const rows = await readEntitiesThen(
      sql,
      some.map(({ lookup }) => lookup),
    );
    for (const [n, { place }] of some.entries()) {
      const row = rows[n];
      if (!row) continue;
      bytes += row.tick === null ? 0 : row.properties.length;
      if (bytes > MOST_BYTES) throw tooLarge('as they were');
      past.set(place, row.tick === null ? row : entityOf(row));
    }
  }
  return past;
}

/** @throws Refusal `batch_too_large` */
function refuseWork(operations: readonly Operation[], rows: ReadonlyMap<string, EntityRow>): void {
  const work = operations.reduce((sum, { id }) => sum + (rows.get(id)?.properties.length ?? 0), 0);
  if (work > MOST_WORK) throw tooLarge('counted for each operation on them', MOST_WORK);
}

/** A refusal of an entity, with the place of the last operation on it. */
function placed(error: unknown, operations: readonly Operation[]): unknown {
  if (!(error instanceof Refusal) || error.notes.errors) return error;
  const place = operations.findLastIndex(({ id }) => id === error.notes.members?.id);
  return place === -1 ? error : refusedAt(place, error);
}
