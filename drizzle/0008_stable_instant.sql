-- The stable instant: the newest instant such that no tick at or before it can still appear.
--
-- A stamp is taken before its transaction commits, so a reader could ask as of an instant, be answered, and then a writer
-- that was stamped before it commits: the same question would have another answer. But every writer owns its transaction id
-- before it stamps. So what is just older than this clock, and than the oldest beginning of a transaction that owns one, is
-- settled for every snapshot that is taken after this function has answered: by another statement, that is.
--
-- On a standby nobody owns an id, and what the primary writes comes later: nothing is stable there.
--
-- The order matters: a transaction that gets its id after the clock was read is stamped after that, and one that was
-- prepared meanwhile is found among the prepared ones. Their stamps are not known, nor that of a transaction whose beginning
-- is hidden from this role (without pg_read_all_stats) or not kept (track_activities off): `at` is null then.
--
-- A call costs 41 µs (PostgreSQL 18), 70 µs beside 100 connections.
--   at          the stable instant, or null
--   clock       the clock that was read first
--   promised    the newest instant that was stored as promised, or null
--   held_by     the process of the oldest transaction that owns an id; held_since its beginning, null where it is hidden
--   prepared    whether there is a prepared transaction
--   recovering  whether this is a standby
CREATE FUNCTION clocktick.stable_instant(
  OUT at timestamptz, OUT clock timestamptz, OUT promised timestamptz,
  OUT held_by integer, OUT held_since timestamptz, OUT prepared boolean, OUT recovering boolean
) LANGUAGE plpgsql AS $$
BEGIN
  -- What other transactions do is looked at once in a transaction, unless told so.
  PERFORM pg_stat_clear_snapshot();
  clock := clock_timestamp();
  SELECT a.pid, a.xact_start INTO held_by, held_since
    FROM pg_stat_get_activity(NULL) a
   WHERE a.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND a.backend_xid IS NOT NULL
   ORDER BY a.xact_start NULLS FIRST LIMIT 1;
  prepared := EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.database = current_database());
  recovering := pg_is_in_recovery();
  IF NOT recovering AND NOT prepared AND (held_by IS NULL OR held_since IS NOT NULL) THEN
    at := least(clock, held_since) - interval '1 microsecond';
  END IF;
  SELECT p.at INTO promised FROM clocktick.promise p;
END
$$;
--> statement-breakpoint

CREATE TRIGGER promise_only_grows BEFORE UPDATE ON clocktick.promise
  FOR EACH ROW WHEN (new.at < old.at OR new.is_only <> old.is_only)
  EXECUTE FUNCTION clocktick.refuse('what was promised stays promised');
--> statement-breakpoint
CREATE TRIGGER promise_is_kept BEFORE DELETE OR TRUNCATE ON clocktick.promise
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('what was promised stays promised');
--> statement-breakpoint
ALTER TABLE clocktick.promise ENABLE ALWAYS TRIGGER promise_only_grows, ENABLE ALWAYS TRIGGER promise_is_kept;
--> statement-breakpoint

-- The guards of 0002, which now also hold when a tick was recorded: the entity says so where that is not its instant, and
-- nobody claims to have recorded something before the transaction began, before what was promised, or before it happened.
CREATE OR REPLACE FUNCTION clocktick.entity_is_created_with_history() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
  SELECT n.id INTO wrong FROM new_rows n
   WHERE (SELECT t.at = n.updated_at AND t.recorded_at = coalesce(n.recorded_at, n.updated_at)
            FROM clocktick.tick t WHERE t.entity_id = n.id AND t.tick = n.tick) IS NOT TRUE
      OR (SELECT count(*) FROM jsonb_object_keys(n.properties)) <>
         (SELECT count(*) FROM clocktick.property_history h WHERE h.entity_id = n.id AND upper_inf(h.vclock))
   LIMIT 1;
  IF FOUND THEN
    PERFORM clocktick.raise_refusal(
      format('entity %s is created without its tick or its ranges', wrong.id),
      tg_table_name, tg_name);
  END IF;
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE OR REPLACE FUNCTION clocktick.entity_changes_with_history() RETURNS trigger LANGUAGE plpgsql SET enable_hashjoin = on AS $$
DECLARE wrong record;
BEGIN
  SELECT n.id, n.tick INTO wrong FROM new_rows n JOIN old_rows o ON o.id = n.id
   WHERE (SELECT t.at = n.updated_at AND t.recorded_at = coalesce(n.recorded_at, n.updated_at)
             AND NOT (o.deleted AND n.deleted)
             AND t.op = CASE WHEN n.deleted THEN 'deleted' WHEN o.deleted THEN 'restored' ELSE 'updated' END
            FROM clocktick.tick t WHERE t.entity_id = n.id AND t.tick = n.tick) IS NOT TRUE
      OR EXISTS (
           SELECT FROM jsonb_each(o.properties) was (property, value)
             FULL JOIN jsonb_each(n.properties) now (property, value) ON now.property = was.property
            WHERE now.value IS DISTINCT FROM was.value
              AND CASE WHEN now.property IS NOT NULL THEN n.tick END IS DISTINCT FROM
                  (SELECT lower(h.vclock) FROM clocktick.property_history h
                    WHERE h.entity_id = n.id AND h.property = coalesce(now.property, was.property) AND upper_inf(h.vclock)))
   LIMIT 1;
  IF FOUND THEN
    PERFORM clocktick.raise_refusal(
      format('entity %s changes at tick %s without its tick or its ranges', wrong.id, wrong.tick),
      tg_table_name, tg_name);
  END IF;
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE OR REPLACE FUNCTION clocktick.clock_row_is_entitys() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
  promised timestamptz := (SELECT p.at FROM clocktick.promise p);
BEGIN
  SELECT n.entity_id, n.tick INTO wrong FROM new_rows n
   WHERE n.recorded_at < transaction_timestamp() OR n.recorded_at <= promised OR n.recorded_at < n.at
      OR (SELECT e.tick = n.tick AND e.updated_at = n.at AND e.type = n.type AND e.deleted = (n.op = 'deleted')
            FROM clocktick.entity e WHERE e.id = n.entity_id) IS NOT TRUE
      OR n.activity_id IS NOT NULL
         AND (SELECT true FROM clocktick.activity a WHERE a.id = n.activity_id) IS NOT TRUE
   LIMIT 1;
  IF FOUND THEN
    PERFORM clocktick.raise_refusal(
      format('tick %s of entity %s is not what the entity or its activity says', wrong.tick, wrong.entity_id),
      tg_table_name, tg_name);
  END IF;
  RETURN NULL;
END
$$;
--> statement-breakpoint

-- The one write path, in place of that of 0006: it writes nothing that would be stamped at or before what was promised to be
-- stable (CT001; the detail says how many seconds the clock is late). What the arguments are is said there.
CREATE OR REPLACE FUNCTION clocktick.write_changes(
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
  promised timestamptz;
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
    SELECT p.at INTO promised FROM clocktick.promise p;
    -- A reader takes no stamp of a transaction for older than its beginning.
    IF clock <= promised OR clock < transaction_timestamp() THEN
      RAISE EXCEPTION USING ERRCODE = 'CT001', MESSAGE = 'the clock has stepped back behind what was promised',
        DETAIL = extract(epoch FROM greatest(promised, transaction_timestamp()) - clock);
    END IF;

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
         SET tick = e.tick + 1, deleted = (c.op = 'deleted'), updated_at = c.stamp, recorded_at = NULL,
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
