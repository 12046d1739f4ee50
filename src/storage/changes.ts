import type { Rules } from '../definitions/admission.js';
import type { Change, Entity } from '../temporal/entity.js';
import { Refusal } from '../temporal/refusal.js';
import { isLocked } from './engine/failures.js';
import type { Sql } from './engine/pools.js';
import type { EntityRow } from './rows.js';

/** What became of a change, with its entity's row as it now stands (undefined: it does not exist). */
export type Applied =
  | { end: 'written'; row: EntityRow }
  | { end: 'stale' | 'redefined'; row: EntityRow | undefined }
  | { end: 'locked' };

/** A change, as JSON text, and the entity that it is of; `weight`: about the bytes that go to the database and come back. */
export type WrittenChange = { id: string; text: string; weight: number };

/**
 * What the write function is told of a change that was decided on a state.
 * @param rules what the change was checked by; null: its type is open
 */
export function written(change: Change, row: EntityRow | undefined, rules: Rules | null): WrittenChange {
  // Named one by one, because a copy of the change without some of it takes three times as long.
  const text = JSON.stringify({
    id: change.id,
    expected: change.expected,
    definition: rules?.tick,
    defined_at: rules?.at,
    seen: row?.updatedAt,
    op: change.op,
    type: change.type,
    key: change.key,
    set: change.set,
    clear: change.clear.length > 0 ? change.clear : null,
    activity_id: change.activity?.id,
    activity: change.activity?.details,
  });
  return { id: change.id, text, weight: text.length + (row?.properties.length ?? 0) };
}

/**
 * … and of an entity that does not change, but on whose state others were decided: only whether it is still in that.
 * @param row undefined: it does not exist
 */
export function compared(
  { id, type, key }: Pick<Entity, 'id' | 'type' | 'key'>,
  row: EntityRow | undefined,
  rules: Rules | null,
): WrittenChange {
  const definition = { definition: rules?.tick, defined_at: rules?.at };
  const text = JSON.stringify({ id, expected: row?.tick ?? 0, seen: row?.updatedAt, type, key, ...definition });
  return { id, text, weight: 0 };
}

/** Applies one change, waiting for whoever has locked its entity. @param latest as of `applyChanges` */
export async function applyAlone(sql: Sql, change: WrittenChange, latest: string): Promise<Applied> {
  const [applied] = await applyChanges(sql, [change], { patient: true, latest });
  if (!applied) throw new Error('a change had no end');
  return applied;
}

/**
 * Applies changes of different entities in one transaction, by the write function of drizzle/sql/write.sql. A
 * change whose entity is not in the state that it was decided on is left out, the others are written; so is one whose type is not defined
 * as it was when the change was checked, and one whose entity somebody else has locked, unless `patient`.
 * @param latest an instant that the clock of the database cannot have passed yet: if it says so, nothing is written (clock-trust.ts)
 */
export async function applyChanges(
  sql: Sql,
  changes: readonly WrittenChange[],
  { patient, latest }: { patient: boolean; latest: string },
): Promise<Applied[]> {
  let rows: WrittenRow[];
  try {
    rows = await write(sql, changes, { patient, latest, together: false });
  } catch (error) {
    // Something beside the entities' rows is locked; of several changes, each is tried alone.
    if (!patient && changes.length === 1 && isLocked(error)) return [{ end: 'locked' }];
    throw error;
  }
  const ends = new Map(rows.map((row) => [row.id, endOf(row)]));
  return changes.map(({ id }) => ends.get(id) ?? unanswered());
}

/**
 * Applies changes of different entities, all of them or none, at one instant; waits for whoever has locked one of the entities.
 * @param unchanged the entities that must not have changed either
 * @param latest as of `applyChanges`
 * @returns the rows of all that have changed; null: somebody else came first, and nothing is written
 */
export async function applyTogether(
  sql: Sql,
  { changes, unchanged }: { changes: readonly WrittenChange[]; unchanged: readonly WrittenChange[] },
  latest: string,
): Promise<EntityRow[] | null> {
  const rows = await write(sql, [...changes, ...unchanged], { patient: true, latest, together: true });
  const ends = rows.map(endOf);
  if (ends.some(({ end }) => end !== 'written')) return null;
  const written = ends.flatMap((applied) => (applied.end === 'written' ? [applied.row] : []));
  return written.length === changes.length ? written : unanswered();
}

const write = (
  sql: Sql,
  changes: readonly WrittenChange[],
  { patient, latest, together }: { patient: boolean; latest: string; together: boolean },
): Promise<WrittenRow[]> => sql<WrittenRow[]>`
  SELECT w.outcome, w.id, w.type, w.key, w.tick, w.deleted,
         w.created_at AS "createdAt", w.updated_at AS "updatedAt",
         w.properties::text AS properties, w.untracked::text AS untracked
    FROM clocktick.write_changes(${`[${changes.map(({ text }) => text).join(',')}]`}::text::jsonb, ${patient},
                                   not_after => ${latest}::timestamptz, together => ${together}) w`;

function unanswered(): never {
  throw new Refusal('outcome_unknown', 'The database gave no whole answer: the write may or may not be kept.');
}

type WrittenRow = { outcome: Applied['end']; id: string } & (EntityRow | { type: null });

function endOf({ outcome, ...row }: WrittenRow): Applied {
  const entity = row.type === null ? undefined : row;
  if (outcome === 'locked') return { end: 'locked' };
  if (outcome === 'stale' || outcome === 'redefined') return { end: outcome, row: entity };
  if (!entity) throw new Error('what was written is not there');
  return { end: 'written', row: entity };
}

/** Locks entities until the transaction ends: in the order in which every writer does, so that no two wait for each other. */
export async function lockEntities(sql: Sql, entities: readonly Pick<Entity, 'id' | 'type' | 'key'>[]): Promise<void> {
  const wanted = JSON.stringify(entities.map(({ id, type, key }) => ({ id, type, key })));
  await sql`SELECT clocktick.lock_entities(${wanted}::text::jsonb)`;
}
