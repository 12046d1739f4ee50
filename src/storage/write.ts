import type { Activity, Change, Entity, Past } from '../temporal/entity.js';
import { isObject, type JsonObject } from '../temporal/json.js';
import type { Point } from '../temporal/point.js';
import { Refusal } from '../temporal/refusal.js';
import { requireActivity } from './activities.js';
import { arrayText, type Database, instantText, type Sql } from './database.js';
import { type EntityRow, readEntities, readEntitiesAsOf } from './entities.js';
import { lostRace, unavailable, writeFailure } from './failures.js';

/** How often a write is tried on what it has read before it takes the row's lock and cannot lose any more. */
const OPTIMISTIC_TRIES = 3;
/** Under the lock only the birth of the entity can still be lost, and that once. */
const LOCKED_TRIES = 2;

/** A write of one entity. */
export type Write = {
  id: string;
  /**
   * What is to change in the current state: pure, and may be asked several times. Null: nothing changes; a Refusal that it
   * throws refuses the write.
   */
  decide: (current: Entity | undefined, past: Past | undefined) => Change | null;
  /** The point whose state `decide` needs as well, if any. */
  pastOf?: (current: Entity) => Point | null;
  /** The activity that the write names; one without details must have been recorded. */
  activity?: Activity | null;
  /** The state to decide on first; without it the entity is read. */
  assume?: 'absent';
  /** Answers what would be written, and writes nothing. */
  dryRun?: boolean;
};

/** How a write ended: the row as it now stands, what was changed (null: nothing), and the state that was changed. */
export type Outcome = { row: EntityRow; change: Change | null; before: Entity | undefined };

/**
 * Writes one entity: decides on its current state what is to change, and applies that if and only if the entity is
 * still at the tick it was read at (compare and set); otherwise decides anew on the newer state.
 * @throws Refusal what `decide` throws; `unknown_activity`, `outcome_unknown`, `database_unavailable`, …
 */
export async function writeEntity(storage: Database, write: Write): Promise<Outcome> {
  const [read] = await Promise.all([
    write.assume === 'absent' ? undefined : readOne(storage, write.id),
    write.activity?.details === null ? requireActivity(storage, write.activity.id) : undefined,
  ]);
  let current = read;
  for (let attempt = 0; attempt < OPTIMISTIC_TRIES; attempt++) {
    const outcome = await settle(attemptOn(storage, write, current, applying(storage, write)), write);
    if (!('lost' in outcome)) return outcome;
    current = outcome.lost ?? (await readOne(storage, write.id));
  }
  for (let attempt = 0; attempt < LOCKED_TRIES; attempt++) {
    const outcome = await settle(writeLocked(storage, write), write);
    if (!('lost' in outcome)) return outcome;
  }
  throw new Refusal('too_many_writers', 'Other writers of this entity came first every time. Nothing was written.');
}

type Attempt = Outcome | { lost: EntityRow | undefined };
type Apply = (change: Change) => Promise<Applied[]>;

/** Decides on a state, and applies what was decided. */
async function attemptOn(
  storage: Database,
  write: Write,
  current: EntityRow | undefined,
  apply: Apply,
): Promise<Attempt> {
  const before = current && entityOf(current);
  const change = write.decide(before, before && (await readPast(storage, write, before)));
  if (!change) {
    if (!current) throw new Error('what does not exist cannot stay unchanged');
    return { row: current, change, before };
  }
  const [applied] = await apply(change);
  return applied?.row && applied.written ? { row: applied.row, change, before } : { lost: applied?.row };
}

/**
 * How a change is applied that holds no lock. That of a dry run is really made and then undone, so that a dry run is
 * refused by the same constraints and guards as the write would be; no second implementation of them could promise that.
 * (A subtransaction would save the connection, but the guards take what it wrote for somebody else's.)
 */
const applying = (storage: Database, write: Write): Apply =>
  write.dryRun
    ? (change) => storage.transaction('ROLLBACK', (sql) => applyChanges(sql, [change]))
    : (change) => applyChanges(storage.writes, [change]);

/** An attempt with the entity's row locked from the read on, so that nobody can come first. */
async function writeLocked(storage: Database, write: Write): Promise<Attempt> {
  return storage.transaction(write.dryRun ? 'ROLLBACK' : 'COMMIT', async (sql) => {
    await sql`SELECT FROM clocktick.entity e WHERE e.id = ${write.id}::uuid FOR NO KEY UPDATE`;
    const current = await readOne({ sql }, write.id);
    return attemptOn(storage, write, current, (change) => applyChanges(sql, [change]));
  });
}

/** Runs an attempt: a race that was lost is one of its ends, anything else that goes wrong a refusal. */
async function settle(attempt: Promise<Attempt>, { dryRun }: Write): Promise<Attempt> {
  try {
    return await attempt;
  } catch (error) {
    if (lostRace(error)) return { lost: undefined };
    const failure = writeFailure(error);
    // Whatever became of its connection, nothing of a dry run is kept.
    if (dryRun && failure instanceof Refusal && failure.code === 'outcome_unknown') throw unavailable(error);
    throw failure;
  }
}

/** What became of one change: its entity's row as it now stands (none: it does not exist), and whether it was written. */
type Applied = { row: EntityRow | undefined; written: boolean };

/**
 * Applies changes of different entities in one transaction with one instant, by the write function of
 * drizzle/0003_write.sql. A change whose entity is not at the expected tick is left out, the others are written.
 */
async function applyChanges(sql: Sql, changes: readonly Change[]): Promise<Applied[]> {
  const column = (pick: (change: Change) => string | number | null) => arrayText(changes.map(pick));
  const rows = await sql<((EntityRow & { written: boolean }) | { type: null })[]>`
    SELECT w.id, w.written, w.type, w.key, w.tick, w.deleted,
           ${instantText(sql, 'w.created_at')} AS "createdAt", ${instantText(sql, 'w.updated_at')} AS "updatedAt",
           w.properties::text AS properties
      FROM clocktick.write_changes(
             ${column((c) => c.id)}::text::uuid[], ${column((c) => c.expected)}::text::int4[], ${column((c) => c.op)}::text::text[],
             ${column((c) => c.type)}::text::text[], ${column((c) => c.key)}::text::text[],
             ${column((c) => JSON.stringify(c.set))}::text::jsonb[],
             ${column((c) => (c.clear.length > 0 ? JSON.stringify(c.clear) : null))}::text::jsonb[],
             ${column((c) => c.activity?.id ?? null)}::text::uuid[],
             ${column((c) => (c.activity?.details ? JSON.stringify(c.activity.details) : null))}::text::jsonb[],
             false) w`;
  if (rows.length !== changes.length) {
    throw new Refusal('outcome_unknown', 'The database gave no whole answer: the write may or may not be kept.');
  }
  return rows.map((row): Applied => {
    if (row.type === null) return { row: undefined, written: false };
    const { written, ...entity } = row;
    return { row: entity, written };
  });
}

async function readOne(database: { sql: Sql }, id: string): Promise<EntityRow | undefined> {
  const [row] = await readEntities(database, [id]);
  return row;
}

async function readPast(storage: Database, write: Write, current: Entity): Promise<Past | undefined> {
  const point = write.pastOf?.(current);
  if (!point) return undefined;
  const [row] = await readEntitiesAsOf(storage, [write.id], point);
  return row && (row.tick === null ? row : entityOf(row));
}

const entityOf = (row: EntityRow): Entity => ({ ...row, properties: propertiesOf(row) });

function propertiesOf(row: EntityRow): JsonObject {
  const properties: unknown = JSON.parse(row.properties);
  if (!isObject(properties)) throw new Error(`the properties of ${row.id} are no object`);
  return properties;
}
