import { newActivity, remove } from '../../temporal/change.js';
import { UNCONDITIONAL } from '../../temporal/conditions.js';
import type { Activity, Entity } from '../../temporal/entity.js';
import type { ImportWrite } from '../../temporal/import.js';
import { Refusal } from '../../temporal/refusal.js';
import { lockEntities } from '../changes.js';
import { definitionsOf } from '../definitions.js';
import { lostRace } from '../engine/failures.js';
import type { Sql } from '../engine/pools.js';
import { type OneConnection, transactOn } from '../engine/transactions.js';
import { engine, type Storage } from '../storage.js';
import { learn, type Pace } from './batches.js';
import { advanceImport, type Begun, type ImportRow, unwritten } from './rows.js';
import { applyRounds, OPTIMISTIC_TRIES, TRIES, Undone } from './writes.js';

/*
 * The rest: what a replace-all deletes at its clean end. Of the types that its lines named, these are the entities that are alive and that no
 * line named, of this run or of the interrupted ones before it. What somebody else has created or revived since the first of them began is
 * not the import's to delete: its lines may be older.
 */

/** What a dry run has named: it leaves nothing in the database. */
export type Named = { types: Set<string>; ids: Set<string> };

/** How many entities a dry run may name: they are kept in memory. */
const MOST_NAMED = 1_000_000;
/** … and of how many types, which are sorted at once. */
const MOST_TYPES = 10_000;

/** Notes what lines of a dry run name. @throws Refusal `body_too_large` */
export function nameAll({ types, ids }: Named, writes: readonly ImportWrite[]): void {
  for (const { type, address } of writes) {
    types.add(type);
    ids.add(address.id);
  }
  if (ids.size > MOST_NAMED || types.size > MOST_TYPES)
    throw new Refusal(
      'body_too_large',
      `A dry run of a replace-all may name ${MOST_NAMED} entities of ${MOST_TYPES} types at most.`,
    );
}

/** Whether an import that has read all its lines may delete the rest: it named something, and left nothing out. */
export const mayDelete = ({ mode, changed, unchanged, leftOut }: ImportRow): boolean =>
  mode === 'replace-all' && changed + unchanged > 0 && leftOut === 0;

/** Up to where the entities were looked through, type by type, in the order of an index. */
type Place = { type: string; key: string; id: string };

/** How far the rest is deleted; `place`: null when it all is. `types`: those that a dry run named, the last one first. */
export type Deleting = { place: Place | null; activity: Activity; pace: Pace; types: string[] };

const NIL = '00000000-0000-0000-0000-000000000000';

export const beginDeleting = ({ source, named }: Resting, pace: Pace): Deleting => ({
  place: { type: '', key: '', id: NIL },
  activity: newActivity({ reason: `not in the import of ${source}` }),
  pace,
  types: [...named.types].sort().reverse(),
});

export type Resting = Begun & { row: ImportRow; named: Named };

/**
 * Deletes some of the rest in one transaction, with how far the import is; or looks through some of what is there, and finds nothing. A dry
 * run only counts.
 */
export async function deleteSome(
  storage: Storage,
  connection: OneConnection,
  resting: Resting,
  deleting: Deleting,
): Promise<{ row: ImportRow; deleting: Deleting }> {
  const { row, dryRun, named } = resting;
  const { place: from, activity, pace, types } = deleting;
  if (from === null) return { row, deleting };
  for (let tries = 1; ; tries++) {
    const began = performance.now();
    const question = { source: row.source, since: row.unfinishedSince, from, types, most: pace.lines };
    const found = await unwritten(connection.during((sql) => readRest(sql, question)));
    const { entities, place } = found;
    if (dryRun) {
      const deleted = entities.filter(({ id }) => !named.ids.has(id)).length;
      const told = { ...row, deleted: row.deleted + deleted, ticks: row.ticks + deleted };
      return { row: told, deleting: { ...deleting, place } };
    }
    if (entities.length === 0) return { row, deleting: { ...deleting, place } };
    try {
      const isLocking = tries > OPTIMISTIC_TRIES;
      const done = await tombstone(storage, connection, resting, { found, activity, question, isLocking });
      learn(pace, done.count, performance.now() - began);
      const by: Activity = done.count > 0 ? { id: activity.id, details: null } : activity;
      return { row: done.row, deleting: { place: done.place, activity: by, pace, types } };
    } catch (error) {
      // Somebody has changed one of them since it was read; it may not belong to the rest any more.
      if (!lostRace(error) && !(error instanceof Undone)) throw error;
      if (tries === TRIES)
        throw new Refusal(
          'too_many_writers',
          'Other writers came first every time. Nothing of this batch was deleted.',
        );
      storage[engine].counts.retriedWrites++;
    }
  }
}

/** What was found of the rest, and by which question; `isLocking`: nobody else changes it any more once it is found again. */
type Tombstoned = { found: Page; activity: Activity; question: Question; isLocking: boolean };

function tombstone(
  storage: Storage,
  connection: OneConnection,
  { source, id }: Begun,
  { found, activity, question, isLocking }: Tombstoned,
): Promise<{ row: ImportRow; count: number; place: Place | null }> {
  return storage[engine].stableInstant.stamped((latest) =>
    transactOn(connection, 'COMMIT', async (sql) => {
      const { entities, place } = isLocking ? await lockedRest(sql, question, found) : found;
      const states = new Map(entities.map((entity) => [entity.id, entity]));
      const round = entities.flatMap((entity) => {
        const change = remove(entity, { label: entity.id, conditions: UNCONDITIONAL, activity });
        return change ? [{ change, lines: [] }] : [];
      });
      const count = round.length;
      const definitions = await definitionsOf(
        storage,
        round.map(({ change }) => change.type),
      );
      await applyRounds(sql, count > 0 ? [round] : [], { states, definitions, latest, id });
      return {
        row: await advanceImport(sql, { source, id, status: 'running', ticks: count, deleted: count }),
        count,
        place,
      };
    }),
  );
}

/** Finds again what was found, once nobody else can change it. */
async function lockedRest(sql: Sql, question: Question, { entities }: Page): Promise<Page> {
  await lockEntities(sql, entities);
  return readRest(sql, question);
}

/** How many bytes of properties, as they are stored, are deleted in one transaction: each value becomes a row. */
const MOST_BYTES = 2 * 2 ** 20;

/** An entity of the rest, with the names of its properties; null: they are too many for this transaction. */
type RestRow = Omit<Entity, 'properties' | 'untracked'> & { place: string; names: string[] | null };
/** Of those that were looked through, the last one; and with it one of the rest, if there is one. */
type Row = { endKey: string; endId: string } & (RestRow | { id: null });
type Page = { entities: Entity[]; place: Place | null };

/**
 * Looks through up to 10,000 entities behind a place for up to so many of the rest. For each it is asked by itself, in a sub-select: joined,
 * all that was seen would be gone through for each page. What was seen counts as long as its replace-all is unfinished.
 */
async function readRest(sql: Sql, { source, since, from, types, most }: Question): Promise<Page> {
  const rows = await sql<Row[]>`
    WITH walked AS MATERIALIZED (
      SELECT e.id, coalesce(e.key, '') AS place, e.deleted, coalesce(e.recorded_at, e.updated_at) AS recorded_at
        FROM clocktick.entity e
       WHERE e.type = ${from.type} AND (coalesce(e.key, ''), e.id) > (${from.key}, ${from.id}::uuid)
       ORDER BY coalesce(e.key, ''), e.id LIMIT 10000
    ), rest AS MATERIALIZED (
      SELECT w.id, w.place FROM walked w
       WHERE NOT w.deleted
         AND (SELECT true FROM clocktick.import_seen s
               WHERE s.source = ${unfinished(sql, source)} AND s.type = ${from.type} AND s.entity_id = w.id) IS NULL
         AND (w.recorded_at < ${since}::timestamptz
              OR (SELECT true FROM clocktick.tick k
                   WHERE k.entity_id = w.id AND k.recorded_at >= ${since}::timestamptz AND k.op IN ('created', 'restored') LIMIT 1) IS NULL)
       ORDER BY w.place, w.id LIMIT ${most}::int
    ), sized AS (
      SELECT e.*, r.place, sum(e.size) OVER (ORDER BY r.place, r.id) - e.size AS before
        FROM rest r CROSS JOIN LATERAL (
          SELECT e.*, pg_column_size(e.properties) AS size FROM clocktick.entity e WHERE e.id = r.id LIMIT 1) e
    )
    SELECT last.place AS "endKey", last.id AS "endId", e.id, e.place, e.type, e.key, e.tick, e.deleted,
           e.created_at AS "createdAt", e.updated_at AS "updatedAt",
           CASE WHEN e.before < ${MOST_BYTES}::int
                THEN (SELECT coalesce(jsonb_agg(p.name), '[]')
                        FROM jsonb_object_keys(clocktick.all_properties(e.properties, e.untracked)) p (name)) END AS names
      FROM (SELECT w.place, w.id FROM walked w ORDER BY w.place DESC, w.id DESC LIMIT 1) last
      LEFT JOIN sized e ON true
     ORDER BY e.place, e.id`;
  const [first] = rows;
  if (!first) {
    const type = await nextType(sql, { source, after: from.type, types });
    return { entities: [], place: type === null ? null : { type, key: '', id: NIL } };
  }
  const entities: Entity[] = [];
  let place: Place = { type: from.type, key: first.endKey, id: first.endId };
  let last = from;
  for (const one of rows) {
    if (one.id === null) break;
    const { endKey: _key, endId: _id, names, place: key, ...entity } = one;
    if (names === null) {
      place = last;
      break;
    }
    entities.push({ ...entity, properties: Object.fromEntries(names.map((name) => [name, null])), untracked: [] });
    last = { type: from.type, key, id: entity.id };
  }
  return { entities, place: entities.length === most ? last : place };
}

type Question = { source: string; since: string | null; from: Place; types: string[]; most: number };

/** The next type that was named, here (of a dry run) or in the database. */
async function nextType(
  sql: Sql,
  { source, after, types }: { source: string; after: string; types: string[] },
): Promise<string | null> {
  const [row] = await sql<{ type: string }[]>`
    SELECT s.type FROM clocktick.import_seen s
     WHERE s.source = ${unfinished(sql, source)} AND s.type > ${after} ORDER BY s.type LIMIT 1`;
  while ((types.at(-1) ?? after) <= after && types.length > 0) types.pop();
  const [here, there] = [types.at(-1) ?? null, row?.type ?? null];
  if (here === null || there === null) return here ?? there;
  return here < there ? here : there;
}

const unfinished = (sql: Sql, source: string) =>
  sql`(SELECT i.source FROM clocktick.import i WHERE i.source = ${source} AND i.unfinished_since IS NOT NULL)`;
