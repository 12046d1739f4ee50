import { admitted, withDefaults } from '../definitions/admission.js';
import { type BatchFacts, type Folded, foldBatch, neededOf, type Operation, refusedAt } from '../temporal/batch.js';
import type { Activity, ActivityDetails, Entity, Past } from '../temporal/entity.js';
import { Refusal } from '../temporal/refusal.js';
import { requireActivity } from './activities.js';
import { definitionsOf } from './definitions.js';
import { arrayText, type Sql } from './engine/pools.js';
import { entitiesThen, lookups } from './entities.js';
import { type EntityRow, entityOf, type PastEntityRow, type PastLookup } from './rows.js';
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

/**
 * How many bytes of states, as they are stored, are read at once: compressed, they may become a hundred times as much, and the database makes
 * all of them before anybody knows how large they are.
 */
const STORED_AT_ONCE = 2 * 2 ** 20;
/** How many past states are read at once, for the same reason. */
const PAST_AT_ONCE = { first: 8, most: 128 };

/** A batch of operations under one activity, or none. */
export type Batch = {
  operations: readonly Operation[];
  /** One without details must have been recorded. */
  activity: Activity | null;
  /** Brings back states that definitions refuse today. */
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
  await waitForPoints(storage, operations, signal);
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
    // That of a dry run is never recorded.
    activity: first && activity && !dryRun ? { id: activity.id, details: who } : null,
    outcomes: operations.flatMap(({ id }) => outcomes.get(id) ?? []),
  };
}

/** Waits until the instants are stable that operations go back to: whoever has locked entities holds back what is stable. */
async function waitForPoints(
  storage: Storage,
  operations: readonly Operation[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const { stableInstant } = storage[engine];
  for (const [place, { needs }] of operations.entries()) {
    if (!needs || needs === 'deleted' || 'tick' in needs) continue;
    await stableInstant.waitFor(needs.instant, signal).catch((error: unknown) => {
      throw refusedAt(place, error, operations);
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
  const current = await inSlices(entitiesOf(rows));
  const past = await readPast(sql, operations, current);
  const definitions = await definitionsOf(storage, typesOf(operations, current));
  const facts: BatchFacts = {
    current,
    sizes: new Map([...rows].map(([id, { properties }]) => [id, properties.length])),
    past,
    complete: (change, before) => {
      const rules = definitions.get(change.type);
      return rules ? withDefaults(change, before, rules.checker) : change;
    },
    admit: (change, before, isReturn) =>
      admitted(change, before, definitions.get(change.type) ?? null, {
        who,
        isReturn,
        evenIfInvalid: isReturn && evenIfInvalid,
      }),
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

/** Reads them one by one: large ones take long. */
function* entitiesOf<Key>(rows: ReadonlyMap<Key, EntityRow>): Generator<void, Map<Key, Entity>> {
  const entities = new Map<Key, Entity>();
  for (const [key, row] of rows) {
    entities.set(key, entityOf(row));
    yield;
  }
  return entities;
}

/** The types of what a batch names. */
const typesOf = (operations: readonly Operation[], current: ReadonlyMap<string, Entity>): string[] =>
  operations.flatMap(({ id, type }) => current.get(id)?.type ?? type ?? []);

/** Entities as they are now. @throws Refusal `batch_too_large` */
async function readStates(sql: Sql, ids: readonly string[]): Promise<ReadonlyMap<string, EntityRow>> {
  const states = new Map<string, EntityRow>();
  let bytes = 0;
  for (let asked = ids; asked.length > 0; ) {
    const rows = await sql<(Omit<EntityRow, 'properties'> & { properties: string | null; isRead: boolean })[]>`
      WITH state AS MATERIALIZED (
        SELECT e.id, e.type, e.key, e.tick, e.deleted, e.created_at, e.updated_at, wanted.n,
               CASE WHEN sum(e.size) OVER (ORDER BY wanted.n) - e.size < ${STORED_AT_ONCE}::int
                    THEN clocktick.all_properties(e.properties, e.untracked)::text END AS properties,
               clocktick.untracked_at(e.untracked_ticks, e.tick)::text AS untracked
          FROM unnest(${arrayText(asked)}::text::uuid[]) WITH ORDINALITY AS wanted (id, n)
         CROSS JOIN LATERAL (
           SELECT e.*, pg_column_size(e.properties) + coalesce(pg_column_size(e.untracked), 0) AS size
             FROM clocktick.entity e WHERE e.id = wanted.id LIMIT 1) e
      )
      SELECT id, type, key, tick, deleted, created_at AS "createdAt", updated_at AS "updatedAt", untracked, properties IS NOT NULL AS "isRead",
             CASE WHEN sum(octet_length(properties)) OVER (ORDER BY n) <= ${MOST_BYTES - bytes}::int THEN properties END AS properties
        FROM state ORDER BY n`;
    for (const { properties, isRead, ...row } of rows) {
      if (!isRead) continue;
      if (properties === null) throw tooLarge('as they are');
      bytes += Buffer.byteLength(properties);
      states.set(row.id, { ...row, properties });
    }
    asked = rows.flatMap(({ id, isRead }) => (isRead ? [] : [id]));
  }
  return states;
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
  const states = new Map<number, EntityRow>();
  const absent = new Map<number, Past>();
  let bytes = 0;
  for (
    let begin = 0, size = PAST_AT_ONCE.first;
    begin < wanted.length;
    begin += size, size = Math.min(2 * size, PAST_AT_ONCE.most)
  ) {
    const some = wanted.slice(begin, begin + size);
    const relation = lookups(
      sql,
      some.map(({ lookup }) => lookup),
    );
    const rows = await sql<(PastEntityRow & { n: number; bytes: number })[]>`
      WITH past AS MATERIALIZED (${entitiesThen(sql, relation)})
      SELECT p.n, p.id, p.type, p.key, p.tick, p.deleted, p."createdAt", p."updatedAt", p.untracked,
             coalesce(octet_length(p.properties), 0) AS bytes,
             CASE WHEN sum(octet_length(p.properties)) OVER (ORDER BY p.n) <= ${MOST_BYTES - bytes}::int THEN p.properties END AS properties
        FROM past p ORDER BY p.n`;
    for (const { n, ...row } of rows) {
      const place = some[n - 1]?.place;
      if (place === undefined) throw new Error(`nobody asked for the state ${n}`);
      bytes += row.bytes;
      if (bytes > MOST_BYTES) throw tooLarge('as they were');
      if (row.tick === null) absent.set(place, row);
      else states.set(place, row);
    }
  }
  return new Map<number, Past>([...absent, ...(await inSlices(entitiesOf(states)))]);
}

/** A refusal of an entity, with the place of the last operation on it. */
function placed(error: unknown, operations: readonly Operation[]): unknown {
  if (!(error instanceof Refusal) || error.notes.errors) return error;
  const place = operations.findLastIndex(({ id }) => id === error.notes.members?.id);
  return place === -1 ? error : refusedAt(place, error, operations);
}
