import type { Change } from '../temporal/entity.js';
import { Refusal } from '../temporal/refusal.js';
import { isLocked } from './engine/failures.js';
import { arrayText, type Sql } from './engine/pools.js';
import type { EntityRow } from './rows.js';

/** What became of a change, with its entity's row as it now stands (undefined: it does not exist). */
export type Applied =
  | { end: 'written'; row: EntityRow }
  | { end: 'stale'; row: EntityRow | undefined }
  | { end: 'locked' };

/** A change as it is sent, what is JSON as text; `seen` is the instant of the state that it was decided on. */
export type WrittenChange = {
  change: Change;
  seen: string | null;
  set: string;
  clear: string | null;
  activity: string | null;
};

export const written = (change: Change, row: EntityRow | undefined): WrittenChange => ({
  change,
  seen: row?.updatedAt ?? null,
  set: JSON.stringify(change.set),
  clear: change.clear.length > 0 ? JSON.stringify(change.clear) : null,
  activity: change.activity?.details ? JSON.stringify(change.activity.details) : null,
});

/** Applies one change, waiting for whoever has locked its entity. */
export async function applyChange(sql: Sql, change: WrittenChange): Promise<Applied> {
  const [applied] = await applyChanges(sql, [change], { patient: true });
  if (!applied) throw new Error('a change had no end');
  return applied;
}

/**
 * Applies changes of different entities in one transaction, by the write function of drizzle/0006_shared_writes.sql. A
 * change whose entity is not in the state that it was decided on is left out, the others are written; so is one whose
 * entity somebody else has locked, unless `patient`.
 */
export async function applyChanges(
  sql: Sql,
  changes: readonly WrittenChange[],
  { patient }: { patient: boolean },
): Promise<Applied[]> {
  const column = (pick: (change: WrittenChange) => string | number | null) => arrayText(changes.map(pick));
  let rows: WrittenRow[];
  try {
    rows = await sql<WrittenRow[]>`
      SELECT w.outcome, w.id, w.type, w.key, w.tick, w.deleted,
             w.created_at AS "createdAt", w.updated_at AS "updatedAt",
             w.properties::text AS properties
        FROM clocktick.write_changes(
               ${column(({ change }) => change.id)}::text::uuid[], ${column(({ change }) => change.expected)}::text::int4[],
               ${column(({ change }) => change.op)}::text::text[], ${column(({ change }) => change.type)}::text::text[],
               ${column(({ change }) => change.key)}::text::text[], ${column(({ set }) => set)}::text::jsonb[],
               ${column(({ clear }) => clear)}::text::jsonb[],
               ${column(({ change }) => change.activity?.id ?? null)}::text::uuid[],
               ${column(({ activity }) => activity)}::text::jsonb[], false, ${patient},
               ${column(({ seen }) => seen)}::text::timestamptz[]) w`;
  } catch (error) {
    // Something beside the entities' rows is locked; of several changes, each is tried alone.
    if (!patient && changes.length === 1 && isLocked(error)) return [{ end: 'locked' }];
    throw error;
  }
  const ends = new Map(rows.map((row) => [row.id, endOf(row)]));
  return changes.map(({ change }) => {
    const end = ends.get(change.id);
    if (end) return end;
    throw new Refusal('outcome_unknown', 'The database gave no whole answer: the write may or may not be kept.');
  });
}

type WrittenRow = { outcome: Applied['end']; id: string } & (EntityRow | { type: null });

function endOf({ outcome, ...row }: WrittenRow): Applied {
  const entity = row.type === null ? undefined : row;
  if (outcome === 'locked') return { end: 'locked' };
  if (outcome === 'stale') return { end: 'stale', row: entity };
  if (!entity) throw new Error('what was written is not there');
  return { end: 'written', row: entity };
}
