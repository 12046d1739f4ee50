import type postgres from 'postgres';
import type { Op } from '../../src/temporal/entity.js';
import { idOfKey } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';

/** A tick with an instant of its own: what it sets (of a deletion, nothing: all is unset). */
type ImportedTick = { at: string; op: Op; set: JsonObject };

/**
 * Records a history that happened earlier, one tick after the other, by plain SQL that the guards accept: `at` is given,
 * `recorded_at` the moment of the statement. Goes on where the entity stands.
 */
export async function importHistory(
  sql: postgres.Sql,
  type: string,
  key: string,
  ticks: readonly ImportedTick[],
): Promise<string> {
  const id = idOfKey(type, key);
  for (const { at, op, set } of ticks) {
    const values = sql`${JSON.stringify(set)}::text::jsonb`;
    const instant = sql`${at}::text::timestamptz`;
    const entity =
      op === 'created'
        ? sql`INSERT INTO clocktick.entity (id, type, key, tick, properties, created_at, updated_at, recorded_at)
              VALUES (${id}, ${type}, ${key}, 1, ${values}, ${instant}, ${instant}, now()) RETURNING tick`
        : sql`UPDATE clocktick.entity
                 SET tick = tick + 1, deleted = ${op === 'deleted'}, updated_at = ${instant}, recorded_at = now(),
                     properties = CASE WHEN ${op === 'deleted'} THEN '{}' ELSE properties || ${values} END
               WHERE id = ${id} RETURNING tick`;
    await sql`
      WITH entity AS (${entity}), ticked AS (
        INSERT INTO clocktick.tick (entity_id, tick, type, at, recorded_at, op)
        SELECT ${id}, tick, ${type}, ${instant}, now(), ${op}::text FROM entity
      ), capped AS (
        UPDATE clocktick.property_history h
           SET vclock = int4range(lower(h.vclock), entity.tick), effective = tstzrange(lower(h.effective), ${instant}) FROM entity
         WHERE h.entity_id = ${id} AND upper_inf(h.vclock) AND (${op === 'deleted'} OR ${values} ? h.property) RETURNING 1
      )
      INSERT INTO clocktick.property_history (entity_id, type, property, vclock, value, effective)
      SELECT ${id}, ${type}, s.key, int4range(entity.tick, null), s.value, tstzrange(${instant}, null)
        FROM entity, jsonb_each(${values}) s WHERE (SELECT count(*) FROM capped) >= 0`;
  }
  return id;
}
