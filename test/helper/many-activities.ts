import type postgres from 'postgres';
import { vacuum, withoutIndexes, withoutTriggers } from './in-bulk.js';

/*
 * Many activities with their ticks, as the write function would have left them, inserted all at once. They look like those of a firm in which
 * a few programs and people do most, some words are in most reasons and others in one, and few entities change often.
 */

/** What there is, by name, for those who search. */
export const MANY = {
  /** Two programs, of which one made 30 in a hundred; and a team of nine, who made a few in a hundred each. */
  services: 'service/',
  busy: 'service/importer',
  team: 'team-rachel/',
  /** Of thousands, some of which made one. */
  users: 'user/',
  /** In 60 of a hundred reasons, in one of a hundred, and in one. */
  common: 'update',
  seldom: 'escalation',
  once: 'needle',
  /** Of one entity in a thousand, which seldom change. */
  rareType: 'rare',
  /** The entity that changed most often, by 30 in a hundred of all activities, and one that changed now and then. */
  hot: 'customer:k0',
  warm: 'customer:k9',
  /** One that changed seldom. */
  cold: (entities: number) => `customer:k${entities - 4}`,
  /** Each tick changed one of ten. */
  property: 'p3',
} as const;

const BEGAN = '2024-01-01T00:00:00Z';
const TABLES = ['activity', 'entity', 'tick', 'property_history', 'open_value'];

/** When the n-th activity was recorded. */
export const recordedAt = (n: number): string =>
  new Date(Date.parse(BEGAN) + n * 60_000).toISOString().replace('Z', '000Z');

/** A third of the entities of as many activities. */
export const entitiesOf = (activities: number): number => Math.floor(activities / 3);

/**
 * Writes activities, one a minute. One of them made `most` ticks, one of a hundred made 50, the others up to five: some 3.3 ticks each.
 */
export async function manyActivities(sql: postgres.Sql, activities: number, most = 10_000): Promise<void> {
  const entities = entitiesOf(activities);
  const largest = Math.floor(activities / 2);
  /** A number in [0, 1) that follows from n. */
  const chance = (n: string, salt: number) => `((hashint8extended(${n}, ${salt}) & 2147483647) / 2147483648.0)`;
  const write = async (tx: postgres.TransactionSql) => {
    await tx.unsafe(`
      CREATE TEMPORARY TABLE made ON COMMIT DROP AS
      SELECT n, overlay(md5('activity ' || n) PLACING '4' FROM 13)::uuid AS id,
             '${BEGAN}'::timestamptz + n * interval '1 minute' AS at,
             CASE WHEN n = ${largest} THEN ${most} WHEN ${chance('n', 1)} < 0.01 THEN 50 ELSE 1 + floor(5 * ${chance('n', 2)} ^ 2)::int END AS ticks
        FROM generate_series(1::bigint, ${activities}) n`);
    await tx.unsafe(`
      INSERT INTO clocktick.activity (id, actor, reason, metadata, recorded_at)
      SELECT m.id,
             CASE WHEN who < 0.3 THEN '${MANY.busy}'
                  WHEN who < 0.45 THEN '${MANY.team}' || (array['rachel', 'ross', 'monica', 'phoebe', 'joey', 'chandler', 'gunther', 'janice', 'mike'])[1 + floor(9 * ${chance('n', 4)} ^ 2)::int]
                  WHEN who < 0.95 THEN '${MANY.users}' || floor(${Math.max(Math.floor(activities / 50), 200)} * ${chance('n', 5)} ^ 3)::int
                  WHEN who < 0.98 THEN '${MANY.services}backup' END,
             CASE WHEN ${chance('n', 6)} < 0.9 THEN
               CASE WHEN ${chance('n', 7)} < 0.66 THEN '${MANY.common} of the ' ELSE 'correction of the ' END
               || 'word' || floor(5000 * ${chance('n', 8)} ^ 3)::int || ', as agreed with word' || floor(5000 * ${chance('n', 9)} ^ 3)::int
               || CASE WHEN ${chance('n', 10)} < 0.01 THEN ' after ${MANY.seldom}' ELSE '' END
               || CASE WHEN n = ${Math.floor(activities / 3)} THEN ' ${MANY.once}' ELSE '' END || ' (OPS-' || n || ')' END,
             CASE WHEN ${chance('n', 11)} < 0.2 THEN jsonb_build_object('ticket', n) END, m.at
        FROM made m CROSS JOIN LATERAL (SELECT ${chance('n', 3)} AS who) w ORDER BY n`);
    await tx.unsafe(`
      CREATE TEMPORARY TABLE ticked ON COMMIT DROP AS
      SELECT t.*, row_number() OVER (PARTITION BY e ORDER BY n) AS tick, 'p' || floor(10 * ${chance('e::bigint * 1000003 + n', 12)})::int AS property
        FROM (SELECT DISTINCT m.n, m.id, m.at,
                     CASE WHEN m.n = ${largest} THEN k WHEN k = 1 AND ${chance('m.n', 14)} < 0.3 THEN 0 ELSE floor(${entities} * ${chance('m.n * 100003 + k', 13)} ^ 3)::int END AS e
                FROM made m CROSS JOIN LATERAL generate_series(1, m.ticks) k) t`);
    await tx.unsafe(`
      CREATE TEMPORARY TABLE held ON COMMIT DROP AS
      SELECT t.*, lead(tick) OVER later AS until, lead(at) OVER later AS until_at, kind.type, uuid.id AS entity_id, to_jsonb('value ' || n) AS value
        FROM ticked t
       CROSS JOIN LATERAL (SELECT CASE WHEN e % 1000 = 999 THEN '${MANY.rareType}' WHEN e % 10 = 3 THEN 'order' ELSE 'customer' END AS type) kind
       CROSS JOIN LATERAL (SELECT overlay(overlay(md5('entity ' || e) PLACING '4' FROM 13) PLACING '8' FROM 17)::uuid AS id) uuid
      WINDOW later AS (PARTITION BY e, property ORDER BY tick)`);
    await tx.unsafe(`
      INSERT INTO clocktick.entity (id, type, key, tick, properties, since, created_at, updated_at)
      SELECT entity_id, type, 'k' || e, max(tick), jsonb_object_agg(property, value) FILTER (WHERE until IS NULL),
             coalesce(jsonb_object_agg(property, tick) FILTER (WHERE until IS NULL AND tick > 1), '{}'), min(at), max(at)
        FROM held GROUP BY entity_id, type, e`);
    await tx.unsafe(`
      INSERT INTO clocktick.tick (entity_id, tick, type, at, recorded_at, op, activity_id)
      SELECT entity_id, tick, type, at, at, CASE tick WHEN 1 THEN 'created' ELSE 'updated' END, id FROM held ORDER BY n`);
    await tx.unsafe(`
      INSERT INTO clocktick.property_history (entity_id, type, property, vclock, short_value, effective)
      SELECT entity_id, type, property, int4range(tick::int, until::int), value, tstzrange(at, until_at) FROM held WHERE until IS NOT NULL ORDER BY n`);
    await tx.unsafe(`
      INSERT INTO clocktick.open_value (value_key, entity_id, since)
      SELECT clocktick.value_key(type, property, value), entity_id, at FROM held WHERE until IS NULL ORDER BY n`);
  };
  await sql.begin(async (tx) => {
    await tx`SET LOCAL maintenance_work_mem = '512MB'`;
    await tx`SET LOCAL work_mem = '256MB'`;
    const qualified = TABLES.map((name) => `clocktick.${name}`);
    await withoutTriggers(tx, TABLES, () => withoutIndexes(tx, qualified, () => write(tx)));
  });
  await vacuum(sql);
}
