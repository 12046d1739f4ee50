import { engine, type Storage } from './storage.js';

/** A type: how many entities it has had, tombstones included, whether that is an estimate, and its definition, if it has one. */
export type TypeRow = {
  type: string;
  entities: number;
  isEstimate: boolean;
  tick: number | null;
  definedAt: string | null;
};

/** Up to how many entities are counted one by one: in the index of collections, that takes some ten milliseconds. */
const MOST_COUNTED = 100_000;

/**
 * The types that have entities or a definition, in order, after one of them. What has more entities than are counted is told by the statistics
 * of PostgreSQL.
 */
export async function readTypes(
  storage: Storage,
  { after, limit }: { after: string; limit: number },
  signal?: AbortSignal,
): Promise<{ types: TypeRow[]; more: boolean }> {
  const types = await storage[engine].counting(
    (sql) => sql<TypeRow[]>`
      WITH RECURSIVE kind (type) AS (
        SELECT ${after}::text COLLATE "C"
        UNION ALL
        -- least() passes a null by.
        SELECT least((SELECT e.type FROM clocktick.entity e
                       WHERE e.type > kind.type AND NOT starts_with(e.type, 'clocktick-') ORDER BY e.type LIMIT 1),
                     (SELECT coalesce(e.key, '') FROM clocktick.entity e
                       WHERE e.type = 'clocktick-type' AND coalesce(e.key, '') > kind.type AND NOT e.deleted
                       ORDER BY coalesce(e.key, '') LIMIT 1))
          FROM kind WHERE kind.type IS NOT NULL
      ), shown AS MATERIALIZED (
        SELECT kind.type FROM kind WHERE kind.type IS NOT NULL OFFSET 1 LIMIT ${limit + 1}
      ), statistics AS MATERIALIZED (
        SELECT u.type, c.reltuples * u.share AS entities
          FROM pg_stats s
          JOIN pg_class c ON c.oid = 'clocktick.entity'::regclass
         CROSS JOIN LATERAL unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS u (type, share)
         WHERE s.schemaname = 'clocktick' AND s.tablename = 'entity' AND s.attname = 'type'
      )
      SELECT shown.type, d.tick, d.updated_at AS "definedAt", counted.n > ${MOST_COUNTED} AS "isEstimate",
             CASE WHEN counted.n > ${MOST_COUNTED}
                  THEN greatest(counted.n, (SELECT round(s.entities)::int8 FROM statistics s WHERE s.type = shown.type))
                  ELSE counted.n END::float8 AS entities
        FROM shown
       CROSS JOIN LATERAL (
         SELECT count(*) AS n
           FROM (SELECT FROM clocktick.entity e WHERE e.type = shown.type LIMIT ${MOST_COUNTED + 1}) one) counted
        LEFT JOIN LATERAL (
          SELECT e.tick, e.updated_at FROM clocktick.entity e
           WHERE e.type = 'clocktick-type' AND coalesce(e.key, '') = shown.type AND NOT e.deleted LIMIT 1) d ON true
       ORDER BY shown.type`,
    signal,
  );
  return { types: types.slice(0, limit), more: types.length > limit };
}
