import type { Change, Entity } from '../temporal/change.js';
import { isObject } from '../temporal/json.js';
import { Refusal } from '../temporal/refusal.js';
import { arrayText, type Database, instantText, type Sql } from './database.js';
import { type EntityRow, readEntities } from './entities.js';
import { lostRace, writeFailure } from './failures.js';

/** How often a write is tried on what it has read before it takes the row's lock and cannot lose any more. */
const OPTIMISTIC_TRIES = 3;
/** Under the lock only the birth of the entity can still be lost, and that once. */
const LOCKED_TRIES = 2;

/** How a write of one entity ended: its row as it now stands, and whether that took a tick. */
export type Outcome = { row: EntityRow; written: boolean };

/**
 * Writes one entity: decides on its current state what is to change, and applies that if and only if the entity is
 * still at the tick it was read at (compare and set); otherwise decides anew on the newer state.
 *
 * `decide` is pure and may run several times; it gives null when nothing changes and throws a Refusal to refuse.
 * @param assume the state to decide on first; without it the entity is read
 * @throws Refusal what `decide` throws; `outcome_unknown`, `database_unavailable`, `history_conflict`, …
 */
export async function writeEntity(
  database: Database,
  id: string,
  decide: (current: Entity | undefined) => Change | null,
  assume?: 'absent',
): Promise<Outcome> {
  let current = assume === 'absent' ? undefined : await readOne(database, id);
  for (let attempt = 0; attempt < OPTIMISTIC_TRIES; attempt++) {
    const outcome = await settle(attemptOn(database.writes, current, decide));
    if (!('lost' in outcome)) return outcome;
    current = outcome.lost ?? (await readOne(database, id));
  }
  for (let attempt = 0; attempt < LOCKED_TRIES; attempt++) {
    const outcome = await settle(writeLocked(database, id, decide));
    if (!('lost' in outcome)) return outcome;
  }
  throw new Refusal('too_many_writers', 'Other writers of this entity came first every time. Nothing was written.');
}

type Attempt = Outcome | { lost: EntityRow | undefined };

async function attemptOn(
  sql: Sql,
  current: EntityRow | undefined,
  decide: (current: Entity | undefined) => Change | null,
): Promise<Attempt> {
  const change = decide(current && entityOf(current));
  if (!change) {
    if (!current) throw new Error('what does not exist cannot stay unchanged');
    return { row: current, written: false };
  }
  const [applied] = await applyChanges(sql, [change]);
  return applied?.row && applied.written ? { row: applied.row, written: true } : { lost: applied?.row };
}

/** Runs an attempt: a race that was lost is one of its ends, anything else that goes wrong a refusal. */
async function settle(attempt: Promise<Attempt>): Promise<Attempt> {
  try {
    return await attempt;
  } catch (error) {
    if (lostRace(error)) return { lost: undefined };
    throw writeFailure(error);
  }
}

/** The same with the entity's row locked from the read on, so that nobody can come first. */
async function writeLocked(
  { connect }: Database,
  id: string,
  decide: (current: Entity | undefined) => Change | null,
): Promise<Attempt> {
  const sql = connect();
  try {
    await sql`BEGIN`;
    await sql`SELECT FROM clocktick.entity e WHERE e.id = ${id}::uuid FOR NO KEY UPDATE`;
    const outcome = await attemptOn(sql, await readOne({ sql }, id), decide);
    await sql`COMMIT`;
    return outcome;
  } finally {
    // Ends a transaction that was not committed, too.
    await sql.end({ timeout: 0 });
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
             ${column((c) => (c.activity ? JSON.stringify(c.activity) : null))}::text::jsonb[],
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

function entityOf(row: EntityRow): Entity {
  const properties: unknown = JSON.parse(row.properties);
  if (!isObject(properties)) throw new Error(`the properties of ${row.id} are no object`);
  return { ...row, properties };
}
