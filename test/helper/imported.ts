import type postgres from 'postgres';
import type { Op } from '../../src/temporal/entity.js';
import { idOfKey } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';

/** A tick with an instant of its own: what it sets (of a deletion, nothing: all is unset). */
type ImportedTick = { at: string; op: Op; set: JsonObject };

/** A tick of an entity, which may be made by an activity that is recorded. */
export type ImportedChange = ImportedTick & { id: string; type: string; key: string; activity?: string };

/**
 * Records ticks of different entities that happened earlier, by plain SQL that the guards accept: `at` is given, `recorded_at`
 * the moment of the statement. Goes on where each entity stands.
 */
export async function importTicks(sql: postgres.Sql, changes: readonly ImportedChange[]): Promise<void> {
  await sql`
    WITH change AS MATERIALIZED (
      SELECT c.* FROM jsonb_to_recordset(${JSON.stringify(changes)}::text::jsonb)
                   AS c (id uuid, type text, key text, at timestamptz, op text, set jsonb, activity uuid)
    ), created AS (
      INSERT INTO clocktick.entity (id, type, key, tick, properties, created_at, updated_at, recorded_at)
      SELECT c.id, c.type, c.key, 1, c.set, c.at, c.at, now() FROM change c WHERE c.op = 'created' RETURNING id, tick
    ), updated AS (
      UPDATE clocktick.entity e
         SET tick = e.tick + 1, deleted = c.op = 'deleted', updated_at = c.at, recorded_at = now(),
             properties = CASE WHEN c.op = 'deleted' THEN '{}' ELSE e.properties || c.set END,
             since = CASE WHEN c.op = 'deleted' THEN '{}'
                          ELSE e.since || (SELECT coalesce(jsonb_object_agg(s.name, e.tick + 1), '{}') FROM jsonb_object_keys(c.set) s (name)) END
        FROM change c WHERE e.id = c.id AND c.op <> 'created' RETURNING e.id, e.tick
    ), applied AS (
      SELECT c.*, w.tick FROM (SELECT * FROM created UNION ALL SELECT * FROM updated) w JOIN change c ON c.id = w.id
    ), ticked AS (
      INSERT INTO clocktick.tick (entity_id, tick, type, at, recorded_at, op, activity_id)
      SELECT a.id, a.tick, a.type, a.at, now(), a.op, a.activity FROM applied a
    )
    INSERT INTO clocktick.property_history (entity_id, type, property, vclock, short_value, long_value, effective)
    SELECT a.id, a.type, was.property, int4range(lower(was.vclock), a.tick), s.short_value, s.long_value, tstzrange(lower(was.effective), a.at)
      FROM applied a CROSS JOIN LATERAL clocktick.open_ranges_of(a.id, a.tick) was CROSS JOIN LATERAL clocktick.stored_as(was.value) s
     WHERE a.op = 'deleted' OR a.set ? was.property`;
}

/** Records the history of one entity that happened earlier, one tick after the other. */
export async function importHistory(
  sql: postgres.Sql,
  type: string,
  key: string,
  ticks: readonly ImportedTick[],
): Promise<string> {
  const id = idOfKey(type, key);
  for (const tick of ticks) await importTicks(sql, [{ ...tick, id, type, key }]);
  return id;
}
