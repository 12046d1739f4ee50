import type postgres from 'postgres';
import { vacuum, withoutIndexes, withoutTriggers } from './in-bulk.js';

/*
 * A collection with a past. The rows are those that the write function would have made. They are inserted all at once, and the
 * indexes are made afterwards, because a hundred thousand entities with fifty versions would take far too long one by one.
 */

export const VERSIONS = 50;
const PERIOD = 10;
const BEGAN = '2016-01-01T00:00:00Z';
const ROUND_SECONDS = 1_000;

/** An instant at which all entities have reached a version, and none has reached the next. */
export const instantOfVersion = (version: number): string =>
  new Date(Date.parse(BEGAN) + (version - 0.25) * ROUND_SECONDS * 1000).toISOString().replace('Z', '000Z');

/** How many entities have the same place at any time, and how many the same group. */
export const SHARING = 100;

/**
 * Entities of type `thing` with keys k1, k2 …, each at tick VERSIONS.
 * - `place` changes at each tick;
 * - `state` is on for PERIOD ticks, then off for as many, and so on;
 * - `tags` changes together with `state`: it always holds `group N`, and from the third period on `late N`;
 * - `name` is unique, and never changes.
 */
export async function deepCollection(sql: postgres.Sql, entities: number): Promise<void> {
  const shared = Math.max(Math.floor(entities / SHARING), 1);
  const id = `overlay(overlay(md5('deep ' || n) PLACING '4' FROM 13) PLACING '8' FROM 17)::uuid`;
  const at = (version: string) =>
    `'${BEGAN}'::timestamptz + make_interval(secs => (${version} - 1) * ${ROUND_SECONDS} + n * ${ROUND_SECONDS / 2}.0 / ${entities})`;
  const place = (version: string) => `to_jsonb('place ' || (n + ${version} * 7) % ${shared})`;
  const state = (version: string) => `to_jsonb(CASE (${version} - 1) / ${PERIOD} % 2 WHEN 0 THEN 'on' ELSE 'off' END)`;
  const tags = (version: string) => `
    jsonb_build_array('group ' || n % ${shared}, 'period ' || (${version} - 1) / ${PERIOD}) ||
    CASE WHEN ${version} > 2 * ${PERIOD} THEN jsonb_build_array('late ' || n % ${shared}) ELSE '[]' END`;
  const last = String(VERSIONS);
  const lastPeriod = String(VERSIONS - PERIOD + 1);
  const ranges = (property: string, value: (version: string) => string, step: number) => `
    SELECT ${id} AS entity_id, 'thing' AS type, '${property}' AS property, int4range(v, CASE WHEN v + ${step} <= ${VERSIONS} THEN v + ${step} END) AS vclock, ${value('v')} AS value,
           tstzrange(${at('v')}, CASE WHEN v + ${step} <= ${VERSIONS} THEN ${at(`(v + ${step})`)} END) AS effective
      FROM generate_series(1, ${VERSIONS}, ${step}) v CROSS JOIN generate_series(1, ${entities}) n`;

  const tables = ['entity', 'tick', 'property_history', 'open_value', 'item_history'];
  const write = async (tx: postgres.TransactionSql) => {
    await tx.unsafe(`
      INSERT INTO clocktick.entity (id, type, key, tick, properties, since, created_at, updated_at)
      SELECT ${id}, 'thing', 'k' || n, ${VERSIONS},
             jsonb_build_object('place', ${place(last)}, 'state', ${state(last)}, 'tags', ${tags(lastPeriod)}, 'name', 'name ' || n),
             jsonb_build_object('place', ${last}, 'state', ${lastPeriod}, 'tags', ${lastPeriod}),
             ${at('1')}, ${at(last)}
        FROM generate_series(1, ${entities}) n`);
    await tx.unsafe(`
      INSERT INTO clocktick.tick (entity_id, tick, type, at, recorded_at, op)
      SELECT ${id}, v, 'thing', ${at('v')}, ${at('v')}, CASE v WHEN 1 THEN 'created' ELSE 'updated' END
        FROM generate_series(1, ${VERSIONS}) v CROSS JOIN generate_series(1, ${entities}) n`);
    await tx.unsafe(`
      CREATE TEMPORARY TABLE deep ON COMMIT DROP AS ${[
        ranges('place', place, 1),
        ranges('state', state, PERIOD),
        ranges('tags', tags, PERIOD),
        ranges('name', () => `to_jsonb('name ' || n)`, VERSIONS),
      ].join(' UNION ALL ')}`);
    await tx.unsafe(`
      INSERT INTO clocktick.property_history (entity_id, type, property, vclock, short_value, long_value, effective)
      SELECT d.entity_id, d.type, d.property, d.vclock, s.short_value, s.long_value, d.effective
        FROM deep d CROSS JOIN LATERAL clocktick.stored_as(d.value) s WHERE NOT upper_inf(d.vclock)`);
    await tx.unsafe(`
      INSERT INTO clocktick.open_value (value_key, entity_id, since)
      SELECT clocktick.value_key(type, property, value), entity_id, lower(effective) FROM deep WHERE upper_inf(vclock)`);
    // The range of an item joins the ranges of all values that hold it, as long as they touch.
    await tx.unsafe(`
      INSERT INTO clocktick.item_history (entity_id, item, vclock, effective)
      SELECT h.entity_id, i.item, unnest(range_agg(h.vclock)), unnest(range_agg(h.effective))
        FROM deep h CROSS JOIN LATERAL clocktick.items_of(h.type, h.property, h.value) i (item)
       WHERE h.property = 'tags' GROUP BY h.entity_id, i.item`);
  };
  await sql.begin(async (tx) => {
    await tx`SET LOCAL maintenance_work_mem = '1GB'`;
    await tx`SET LOCAL work_mem = '256MB'`;
    const qualified = tables.map((name) => `clocktick.${name}`);
    await withoutTriggers(tx, tables, () => withoutIndexes(tx, qualified, () => write(tx)));
  });
  await vacuum(sql);
}
