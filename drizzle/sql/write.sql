-- The one write path.
--
-- Applies a list of changes in one transaction. `changes` is a JSON array of objects, each with
--   id, expected   the entity, and the tick it must be at (0: it must not exist yet)
--   seen           the instant it must have been changed at, or null: after a failover another change may have that tick
--   op             created, updated, deleted or restored: what its tick records
--   type, key      the entity's own
--   set, clear     the properties to set (an object) and the names to unset (an array, or absent)
--   activity_id    who and why, or null; `activity` {actor, reason, metadata, import_id} where it is to be recorded with the change
--   at             the instant of its tick, of imported history: after that of the entity's last tick, and not of the future. Null: the clock's
-- What is null may be left out. No two changes may name the same entity.
--
-- Each change answers with its id, its outcome and the entity's row as it now stands: `written`; `stale` where the entity is not
-- at the expected tick; or `locked` where somebody else holds its row. With `patient` the function waits for the row first; then
-- only one that was born meanwhile can be `locked`. Changes that have
-- nothing in common but the statement must not wait for each other's locks. Each that can be written is, whatever becomes of the
-- others. All are recorded at the same instant, but for an entity whose last one lies ahead of the clock, which has stepped back since:
-- it takes none of the others along. That is the instant of their ticks as well, where `at` says no other.
--
-- With `not_before` all stamps come after that instant, which another server may have given: a clock that is a little late is put
-- forward for them. One that is more than a second late refuses (CT002), because nobody could read what it wrote until then.
--
-- With `not_after` nothing is written when the clock says a later instant (CT003): whoever writes has a clock that no step changes, and
-- knows that it cannot be as late. Without that a clock that is years ahead for a second would stamp what is written then.
--
-- One blind statement instead (bump the tick, record what ended) would end what the winner has ended when two writers meet, because the
-- waiter's snapshot cannot see the row that the winner left, and it stamps before it holds the lock. Hence a statement that waits
-- for the locks, and one that takes its snapshot after them.
--
-- It runs as the owner of the tables, whoever calls it: nobody else writes them.
--
-- Every row is reached by index, or by the place where it was locked, whatever the statistics say: a plan cached while the tables were
-- small would go through them on every call (creates fell to a fifth), so three settings leave the planner no such choice, and no row
-- is joined that can be asked for. The fourth keeps it from planning anew
-- on every call, because it takes one change for cheaper than the many it guesses for a list: a patch took half as long again.
CREATE OR REPLACE FUNCTION clocktick.write_changes(
  changes jsonb, patient boolean, not_before timestamptz DEFAULT NULL, not_after timestamptz DEFAULT NULL
) RETURNS TABLE (
  id uuid, outcome text, type text, key text, tick integer, deleted boolean,
  created_at timestamptz, updated_at timestamptz, properties jsonb
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  due boolean[]; -- of each change whether it can be written; null: its row is locked
  lasts timestamptz[]; -- when the last tick of each was recorded
  places tid[];
  clock timestamptz;
  promised timestamptz;
BEGIN
  -- Lock in id order, so that two writers of many entities cannot deadlock.
  IF patient THEN
    PERFORM FROM clocktick.entity e
      WHERE e.id = ANY (ARRAY(SELECT (c.change ->> 'id')::uuid FROM jsonb_array_elements(changes) c (change)))
      ORDER BY e.id FOR NO KEY UPDATE;
  END IF;
  SELECT array_agg(CASE WHEN held.tick IS NOT NULL
                        THEN held.tick = wanted.expected AND coalesce(held.updated_at = wanted.seen, true)
                        WHEN (SELECT e.id FROM clocktick.entity e WHERE e.id = wanted.id) IS NULL THEN wanted.expected = 0
                   END ORDER BY wanted.n),
         array_agg(coalesce(held.recorded_at, held.updated_at) ORDER BY wanted.n), array_agg(held.ctid ORDER BY wanted.n)
    INTO due, lasts, places
    FROM (SELECT *
            FROM ROWS FROM (jsonb_to_recordset(changes) AS (id uuid, expected integer, seen timestamptz))
              WITH ORDINALITY AS c (id, expected, seen, n)
           ORDER BY c.id) wanted
    LEFT JOIN LATERAL (
      SELECT e.tick, e.updated_at, e.recorded_at, e.ctid FROM clocktick.entity e WHERE e.id = wanted.id FOR NO KEY UPDATE SKIP LOCKED
    ) held ON true;

  IF true = ANY (due) THEN
    -- Own a transaction id before stamping: a reader decides by the writers that hold one which instants are stable.
    PERFORM pg_current_xact_id();
    clock := clock_timestamp();
    SELECT p.at INTO promised FROM clocktick.promise p;
    -- A reader takes no stamp of a transaction for older than its beginning. The detail says how many seconds the clock is late.
    IF clock <= promised OR clock < transaction_timestamp() THEN
      RAISE EXCEPTION USING ERRCODE = 'CT001', MESSAGE = 'the clock has stepped back behind what was promised',
        DETAIL = extract(epoch FROM greatest(promised, transaction_timestamp()) - clock);
    END IF;
    IF clock > not_after THEN
      RAISE EXCEPTION USING ERRCODE = 'CT003', MESSAGE = 'the clock is later than whoever writes believes',
        DETAIL = extract(epoch FROM clock - not_after);
    END IF;
    IF not_before > clock + interval '1 second' THEN
      RAISE EXCEPTION USING ERRCODE = 'CT002', MESSAGE = 'the clock is more than a second behind what the stamps must come after',
        DETAIL = extract(epoch FROM not_before - clock);
    END IF;
    clock := greatest(clock, not_before + interval '1 microsecond');

    RETURN QUERY
    WITH change AS MATERIALIZED (
      SELECT c.*, recorded.at AS recorded, coalesce(c.at, recorded.at) AS stamp,
             CASE WHEN c.expected > 0 AND c.set <> '{}'
                  THEN (SELECT jsonb_object_agg(s.name, c.expected + 1) FROM jsonb_object_keys(c.set) s (name)) ELSE '{}' END AS since,
             CASE WHEN c.clear IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(c.clear)) END AS cleared
        FROM ROWS FROM (
               jsonb_to_recordset(changes) AS (id uuid, expected integer, op text, type text, key text,
                                               set jsonb, clear jsonb, activity_id uuid, activity jsonb, at timestamptz),
               unnest(due), unnest(lasts), unnest(places)
             ) AS c (id, expected, op, type, key, set, clear, activity_id, activity, at, due, last, place)
       CROSS JOIN LATERAL (SELECT greatest(clock, c.last + interval '1 microsecond') AS at) recorded
       WHERE c.due
    ), created AS (
      INSERT INTO clocktick.entity AS e (id, type, key, tick, properties, created_at, updated_at, recorded_at)
      SELECT c.id, c.type, c.key, 1, c.set, c.stamp, c.stamp, nullif(c.recorded, c.stamp) FROM change c WHERE c.expected = 0 ORDER BY c.id
      RETURNING e.*
    ), updated AS (
      UPDATE clocktick.entity e
         SET tick = e.tick + 1, deleted = (c.op = 'deleted'), updated_at = c.stamp, recorded_at = nullif(c.recorded, c.stamp),
             properties = CASE WHEN c.cleared IS NULL THEN e.properties || c.set ELSE (e.properties || c.set) - c.cleared END,
             since = CASE WHEN c.cleared IS NULL THEN e.since || c.since ELSE (e.since || c.since) - c.cleared END
        FROM change c
       WHERE e.ctid = c.place AND c.expected > 0
      RETURNING e.*
    ), recorded AS (
      INSERT INTO clocktick.activity (id, actor, reason, metadata, recorded_at, import_id)
      SELECT DISTINCT ON (c.activity_id)
             c.activity_id, c.activity ->> 'actor', c.activity ->> 'reason', c.activity -> 'metadata', c.recorded,
             (c.activity ->> 'import_id')::uuid
        FROM change c WHERE c.activity IS NOT NULL
    ), ticked AS (
      INSERT INTO clocktick.tick (entity_id, tick, type, at, recorded_at, op, activity_id)
      SELECT c.id, c.expected + 1, c.type, c.stamp, c.recorded, c.op, c.activity_id
        FROM change c
    ), ended AS (
      -- The rows of the entities as this statement found them. What is set or cleared is looked for by name in a jsonb, which is sorted.
      INSERT INTO clocktick.property_history (entity_id, type, property, vclock, short_value, long_value, effective)
      SELECT e.id, e.type, was.key, int4range(held.since, e.tick + 1), stored.short_value, stored.long_value, tstzrange(began.at, c.stamp)
        FROM (SELECT c.place, c.stamp,
                     CASE WHEN c.cleared IS NULL THEN c.set ELSE c.set || jsonb_object(c.cleared, c.cleared) END AS touched
                FROM change c WHERE c.expected > 0 OFFSET 0) c
       CROSS JOIN LATERAL (SELECT e.*, e.since || '{}' AS since_when FROM clocktick.entity e WHERE e.ctid = c.place OFFSET 0) e
       CROSS JOIN LATERAL jsonb_each(e.properties) was
       CROSS JOIN LATERAL (SELECT coalesce((e.since_when ->> was.key)::int4, 1) AS since OFFSET 0) held
       CROSS JOIN LATERAL clocktick.at_of(e.id, e.tick, e.created_at, e.updated_at, held.since) began
       CROSS JOIN LATERAL clocktick.stored_as(was.value) stored
       WHERE c.touched ? was.key
    )
    SELECT w.id, 'written', w.type, w.key, w.tick, w.deleted, w.created_at, w.updated_at, w.properties
      FROM (SELECT * FROM created UNION ALL SELECT * FROM updated) w;
  END IF;

  IF (true = ALL (due)) IS NOT TRUE THEN
    RETURN QUERY
    SELECT c.id, CASE WHEN c.due IS NULL THEN 'locked' ELSE 'stale' END,
           e.type, e.key, e.tick, e.deleted, e.created_at, e.updated_at, e.properties
      FROM ROWS FROM (jsonb_to_recordset(changes) AS (id uuid), unnest(due)) AS c (id, due)
      LEFT JOIN clocktick.entity e ON e.id = c.id
     WHERE c.due IS NOT TRUE;
  END IF;
END
$$;

-- Waits for an entity and keeps it locked until the transaction ends, so that nobody else can change it.
CREATE OR REPLACE FUNCTION clocktick.lock_entity(id uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM clocktick.entity e WHERE e.id = lock_entity.id FOR NO KEY UPDATE;
END
$$;

-- Records an activity that changes can then name. Gives it as it was recorded. `not_after` is as for changes: an activity that was recorded
-- by a clock that had jumped ahead would say so for ever.
CREATE OR REPLACE FUNCTION clocktick.record_activity(
  id uuid, actor text, reason text, metadata jsonb, not_after timestamptz DEFAULT NULL
) RETURNS SETOF clocktick.activity
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  clock timestamptz := clock_timestamp();
BEGIN
  IF clock > not_after THEN
    RAISE EXCEPTION USING ERRCODE = 'CT003', MESSAGE = 'the clock is later than whoever writes believes',
      DETAIL = extract(epoch FROM clock - not_after);
  END IF;
  RETURN QUERY
  INSERT INTO clocktick.activity (id, actor, reason, metadata, recorded_at)
  VALUES (record_activity.id, record_activity.actor, record_activity.reason, record_activity.metadata, clock)
  RETURNING *;
END
$$;
