import type postgres from 'postgres';
import { withoutTriggers } from './in-bulk.js';

/**
 * An entity of many ticks: at which of them each property changes, as a set of SQL; the last change of `gone` removes it. Those after
 * `imported` are recorded only now.
 */
type Deep = { id: string; of: Record<string, string>; gone?: string; imported?: number };

const TABLES = ['entity', 'tick', 'property_history', 'open_value'];

const at = (tick: string) => `'2016-01-01T00:00:00Z'::timestamptz + ${tick} * interval '1 minute'`;

/**
 * Entities with a long past, of which one property changes at every tick. The rows are those that the write function would have
 * made, in the same order, so the indexes grow alike; one by one 20,000 ticks take a minute.
 */
export async function writeDeep(sql: postgres.Sql, entities: readonly Deep[]): Promise<void> {
  const ranges = entities.flatMap(({ id, of, gone, imported = null }) =>
    Object.entries(of).map(
      ([property, ticks]) => `
        SELECT '${id}'::uuid AS id, '${property}' AS property, c.n, lead(c.n) OVER (ORDER BY c.n) AS until,
               ${property === gone ? 'lead(c.n) OVER (ORDER BY c.n) IS NULL' : 'false'} AS is_end,
               ${imported}::int AS imported
          FROM ${ticks} c (n)`,
    ),
  );
  await sql.begin((tx) => withoutTriggers(tx, TABLES, () => writeRows(tx, ranges)));
}

async function writeRows(tx: postgres.TransactionSql, ranges: readonly string[]): Promise<void> {
  await tx.unsafe(`CREATE TEMPORARY TABLE deep ON COMMIT DROP AS ${ranges.join(' UNION ALL ')}`);
  await tx.unsafe('DELETE FROM deep WHERE is_end');
  await tx.unsafe(`
    INSERT INTO clocktick.entity (id, type, tick, properties, since, created_at, updated_at, recorded_at)
    SELECT id, 'deep', max(n), jsonb_object_agg(property, 'place ' || n) FILTER (WHERE until IS NULL),
           jsonb_object_agg(property, n) FILTER (WHERE until IS NULL AND n > 1), ${at('1')}, ${at('max(n)')},
           CASE WHEN max(n) > max(imported) THEN now() END
      FROM deep GROUP BY id`);
  await tx.unsafe(`
    INSERT INTO clocktick.tick (entity_id, tick, type, at, recorded_at, op)
    SELECT DISTINCT id, n, 'deep', ${at('n')}, CASE WHEN n > imported THEN now() ELSE ${at('n')} END, CASE n WHEN 1 THEN 'created' ELSE 'updated' END FROM deep ORDER BY n`);
  await tx.unsafe(`
    INSERT INTO clocktick.property_history (entity_id, type, property, vclock, short_value, effective)
    SELECT id, 'deep', property, int4range(n, until), to_jsonb('place ' || n), tstzrange(${at('n')}, ${at('until')})
      FROM deep WHERE until IS NOT NULL ORDER BY until`);
  await tx.unsafe(`
    INSERT INTO clocktick.open_value (value_key, entity_id, since)
    SELECT clocktick.value_key('deep', property, to_jsonb('place ' || n)), id, ${at('n')} FROM deep WHERE until IS NULL`);
}
