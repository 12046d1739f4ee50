import type postgres from 'postgres';
import type { Outcome } from '../../src/storage/deciding.js';
import { engine, type Storage } from '../../src/storage/storage.js';
import { writeEntity } from '../../src/storage/write.js';
import { create, creation, mergePatchOf, newActivity, type Patch, patch } from '../../src/temporal/change.js';
import { type Conditions, UNCONDITIONAL } from '../../src/temporal/conditions.js';
import type { ActivityDetails, Op } from '../../src/temporal/entity.js';
import type { JsonObject } from '../../src/temporal/json.js';
import type { Point } from '../../src/temporal/point.js';

/** Creates a thing, or what else is named, through the write path. */
export function make(
  storage: Storage,
  properties: JsonObject,
  details?: ActivityDetails,
  named: { type: string; key?: string } = { type: 'thing' },
): Promise<Outcome> {
  const wanted = creation({ ...named, properties }, details ? newActivity(details) : null);
  return writeEntity(storage, { id: wanted.id, decide: (current) => create(current, wanted), assume: 'absent' });
}

/** A change as the write function takes it (drizzle/sql/write.sql). */
export type RawChange = {
  id: string;
  expected: number;
  definition?: number;
  defined_at?: string;
  op: Op;
  type: string;
  key?: string | null;
  set: JsonObject;
  clear?: string[];
  activity_id?: string;
  activity?: ActivityDetails;
};

/** Calls the write function with all changes in one statement. Gives the outcome of each. */
export const writeChanges = (sql: postgres.Sql | postgres.TransactionSql, changes: readonly RawChange[]) => sql<
  { id: string; outcome: string }[]
>`
  SELECT w.id, w.outcome FROM clocktick.write_changes(${JSON.stringify(changes)}::text::jsonb, true) w`;

/** Makes many changes, a few hundred a transaction: the guards compare each of a call with all the others. */
export async function writeMany(sql: postgres.Sql, changes: readonly RawChange[]): Promise<void> {
  for (let from = 0; from < changes.length; from += 250) await writeChanges(sql, changes.slice(from, from + 250));
}

/** A merge patch, for the write path or the core. */
export function aPatch(
  label: string,
  properties: JsonObject,
  otherwise: { conditions?: Conditions; details?: ActivityDetails } = {},
): Patch {
  const { conditions = UNCONDITIONAL, details } = otherwise;
  return mergePatchOf({ label, conditions, activity: details ? newActivity(details) : null }, properties);
}

/** Patches an entity through the write path. */
export function change(storage: Storage, id: string, properties: JsonObject): Promise<Outcome> {
  const wanted = aPatch(id, properties);
  return writeEntity(storage, { id, decide: (current) => patch(current, wanted) });
}

/** An entity as it is now. */
export const now = (storage: Storage, id: string) => storage[engine].entityNow({ id, fields: null });

/** An entity as of a point. */
export const asOf = (storage: Storage, id: string, point: Point) =>
  storage[engine].entityAsOf({ id, point, fields: null });
