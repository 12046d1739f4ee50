-- The one write path, in place of that of 0003: it can leave locked entities out.
--
-- Applies a list of changes, given as parallel arrays, in one transaction. A change is
--   id, expected   the entity, and the tick it must be at (0: it must not exist yet)
--   seen           the instant it must have been changed at, or null: after a failover another change may have that tick
--   op             created, updated, deleted or restored: what its tick records
--   type, key      the entity's own
--   set, clear     the properties to set (a JSON object) and the names to unset (a JSON array, or null)
--   activity_id    who and why, or null; `activity` {actor, reason, metadata} where it is to be recorded with the change
-- No two changes may name the same entity.
--
-- Each change answers with its id, its outcome and the entity's row as it now stands: `written`; `stale` where the entity is
-- not at the expected tick; or `locked` where somebody else holds its row, unless `patient`, which waits for it: changes that
-- have nothing in common but the statement must not wait for each other's locks. With `atomic` none is written unless all are,
-- and all have one instant; otherwise an entity whose last instant lies ahead of the clock, which has stepped back since,
-- takes none of the others along.
--
-- One blind statement instead (bump the tick, cap the range, open the range) fails with 23P01 when two writers meet,
-- because the waiter's snapshot cannot see the range the winner opened, and it stamps before it holds the lock. Hence
-- two statements: the first waits for the locks, and the second takes its snapshot after them.
--
-- Every table is reached by index, whatever the statistics say: a plan cached while the tables were small would scan
-- them on every call (creates fell to a fifth), so three settings leave the planner no such choice. The fourth keeps it from
-- planning anew on every call, because it takes one change for cheaper than the ten it guesses for an array: a patch took
-- 238 µs then, 155 with it, a create 175 and 121.
DROP FUNCTION clocktick.write_changes;
--> statement-breakpoint
CREATE FUNCTION clocktick.write_changes(
  ids uuid[], expected integer[], ops text[], types text[], keys text[],
  sets jsonb[], clears jsonb[], activity_ids uuid[], activities jsonb[], atomic boolean, patient boolean DEFAULT true, seen timestamptz[] DEFAULT NULL
) RETURNS TABLE (
  id uuid, outcome text, type text, key text, tick integer, deleted boolean,
  created_at timestamptz, updated_at timestamptz, properties jsonb
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  due boolean[]; -- null: its row is locked
  wrote boolean;
  lasts timestamptz[];
  latest timestamptz;
  clock timestamptz;
BEGIN
  -- Lock in id order, so that two writers of many entities cannot deadlock.
  IF patient THEN
    SELECT array_agg(coalesce(held.tick, 0) = wanted.expected AND coalesce(held.updated_at = wanted.seen, true)
                     ORDER BY wanted.n),
           array_agg(held.updated_at ORDER BY wanted.n), max(held.updated_at)
      INTO due, lasts, latest
      FROM (SELECT * FROM unnest(ids, expected, seen) WITH ORDINALITY AS u (id, expected, seen, n) ORDER BY u.id) wanted
      LEFT JOIN LATERAL (
        SELECT e.tick, e.updated_at FROM clocktick.entity e WHERE e.id = wanted.id FOR NO KEY UPDATE
      ) held ON true;
  ELSE
    SELECT array_agg(CASE WHEN held.tick IS NOT NULL
                          THEN held.tick = wanted.expected AND coalesce(held.updated_at = wanted.seen, true)
                          WHEN NOT EXISTS (SELECT FROM clocktick.entity e WHERE e.id = wanted.id) THEN wanted.expected = 0
                     END ORDER BY wanted.n),
           array_agg(held.updated_at ORDER BY wanted.n), max(held.updated_at)
      INTO due, lasts, latest
      FROM (SELECT * FROM unnest(ids, expected, seen) WITH ORDINALITY AS u (id, expected, seen, n) ORDER BY u.id) wanted
      LEFT JOIN LATERAL (
        SELECT e.tick, e.updated_at FROM clocktick.entity e WHERE e.id = wanted.id FOR NO KEY UPDATE SKIP LOCKED
      ) held ON true;
  END IF;
  wrote := coalesce(true = ANY (due) AND NOT (atomic AND (true = ALL (due)) IS NOT TRUE), false);

  IF wrote THEN
    -- Own a transaction id before stamping: a reader decides by the writers that hold one which instants are stable.
    PERFORM pg_current_xact_id();
    clock := clock_timestamp();

    RETURN QUERY
    WITH change AS MATERIALIZED (
      SELECT u.*, greatest(clock, CASE WHEN atomic THEN latest ELSE u.last END + interval '1 microsecond') AS stamp
        FROM unnest(ids, expected, ops, types, keys, sets, clears, activity_ids, activities, due, lasts)
          AS u (id, expected, op, type, key, set, clear, activity_id, activity, due, last)
       WHERE u.due
    ), created AS (
      INSERT INTO clocktick.entity AS e (id, type, key, tick, properties, created_at, updated_at)
      SELECT c.id, c.type, c.key, 1, c.set, c.stamp, c.stamp FROM change c WHERE c.expected = 0 ORDER BY c.id
      RETURNING e.*
    ), updated AS (
      UPDATE clocktick.entity e
         SET tick = e.tick + 1, deleted = (c.op = 'deleted'), updated_at = c.stamp,
             properties = CASE WHEN c.clear IS NULL THEN e.properties || c.set
                          ELSE (e.properties || c.set) - ARRAY(SELECT jsonb_array_elements_text(c.clear)) END
        FROM change c
       WHERE e.id = c.id AND c.expected > 0
      RETURNING e.*
    ), recorded AS (
      INSERT INTO clocktick.activity (id, actor, reason, metadata, recorded_at)
      SELECT DISTINCT ON (c.activity_id)
             c.activity_id, c.activity ->> 'actor', c.activity ->> 'reason', c.activity -> 'metadata', c.stamp
        FROM change c WHERE c.activity IS NOT NULL
    ), ticked AS (
      INSERT INTO clocktick.tick (entity_id, tick, type, at, recorded_at, op, activity_id)
      SELECT c.id, c.expected + 1, c.type, c.stamp, c.stamp, c.op, c.activity_id
        FROM change c
    ), capped AS (
      UPDATE clocktick.property_history h
         SET vclock = int4range(lower(h.vclock), c.expected + 1)
        FROM change c
       CROSS JOIN LATERAL (
         SELECT jsonb_object_keys(c.set) UNION ALL SELECT jsonb_array_elements_text(c.clear)
       ) touched (property)
       WHERE c.expected > 0
         AND h.entity_id = c.id AND h.property = touched.property AND upper_inf(h.vclock)
      RETURNING 1
    ), opened AS (
      -- Counting the caps makes them happen first: a property has one open range at a time.
      INSERT INTO clocktick.property_history (entity_id, type, property, vclock, value)
      SELECT c.id, c.type, s.key, int4range(c.expected + 1, null), s.value
        FROM change c CROSS JOIN LATERAL jsonb_each(c.set) s
       WHERE (SELECT count(*) FROM capped) >= 0
    )
    SELECT w.id, 'written', w.type, w.key, w.tick, w.deleted, w.created_at, w.updated_at, w.properties
      FROM (SELECT * FROM created UNION ALL SELECT * FROM updated) w;
  END IF;

  IF (wrote AND true = ALL (due)) IS NOT TRUE THEN
    RETURN QUERY
    SELECT u.id, CASE WHEN u.due IS NULL THEN 'locked' ELSE 'stale' END,
           e.type, e.key, e.tick, e.deleted, e.created_at, e.updated_at, e.properties
      FROM unnest(ids, due) AS u (id, due)
      LEFT JOIN clocktick.entity e ON e.id = u.id
     WHERE NOT wrote OR u.due IS NOT TRUE;
  END IF;
END
$$;
