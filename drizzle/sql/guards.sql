-- The guards: what the database refuses from anybody, the service and a hand in psql alike.
--
-- They rest on one thing: the write function (write.sql) changes all tables in one statement, and AFTER … STATEMENT triggers run
-- at the end of that statement, when everything is in its place. So each table can demand that the others agree with it, at
-- once, by sets, without deferring anything to the commit. A statement that touches only one of the tables finds the others
-- disagreeing and is refused.
--
-- The row of the entity tells whether its tick was made just now: its xmin is this transaction.
--
-- The write function's statement both inserts and updates, so each trigger fires even where it has nothing to look at: to begin one of
-- these queries takes longer than to see that.
--
-- Row triggers are only BEFORE triggers with a WHEN that is never true in sound operation: they cost nothing measurable. All
-- guards together cost a change a third of its throughput, a create less; `npm run bench:guards` measures each.
--
-- All are ENABLE ALWAYS, so that session_replication_role does not pass them by. CREATE OR REPLACE TRIGGER forgets that, which
-- is why each file says it again after its triggers.
--
-- They trust nothing of the session. Each function has a search_path of its own, in which nobody can put another `=` or `format` before
-- the server's, nor another table: pg_temp is named, and last, because unnamed it would come first. (Conditions of triggers, constraints
-- and views keep what they meant when they were made.)

-- Refuses a statement, in the way of a constraint of the given name.
CREATE OR REPLACE FUNCTION clocktick.raise_refusal(message text, relation name, guard name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = 'restrict_violation', MESSAGE = message, SCHEMA = 'clocktick', TABLE = relation, CONSTRAINT = guard;
END
$$;

-- Refuses whatever fires the trigger; the trigger's argument says why. By itself, because who is refused may not call the function above.
CREATE OR REPLACE FUNCTION clocktick.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = 'restrict_violation', SCHEMA = 'clocktick', TABLE = tg_table_name, CONSTRAINT = tg_name,
    MESSAGE = format('%s on clocktick.%I is refused: %s', tg_op, tg_table_name, tg_argv[0]);
END
$$;

-- Only the owner writes. Everybody else does through the functions that run as the owner (SECURITY DEFINER in write.sql and clock.sql), even
-- one to whom somebody has granted INSERT or UPDATE (grants.sql grants none). Whoever may put triggers on a table makes its owner do
-- anything by the next write, so that privilege is what tells an owner: nobody is let in who could not get in anyway. A superuser has it.
CREATE OR REPLACE TRIGGER entity_is_written_by_owner BEFORE INSERT OR UPDATE ON clocktick.entity
  FOR EACH STATEMENT WHEN (NOT has_table_privilege('clocktick.entity'::regclass, 'TRIGGER'))
  EXECUTE FUNCTION clocktick.refuse('entities are written by clocktick.write_changes');
CREATE OR REPLACE TRIGGER tick_is_written_by_owner BEFORE INSERT ON clocktick.tick
  FOR EACH STATEMENT WHEN (NOT has_table_privilege('clocktick.tick'::regclass, 'TRIGGER'))
  EXECUTE FUNCTION clocktick.refuse('ticks are written by clocktick.write_changes');
CREATE OR REPLACE TRIGGER range_is_written_by_owner BEFORE INSERT ON clocktick.property_history
  FOR EACH STATEMENT WHEN (NOT has_table_privilege('clocktick.property_history'::regclass, 'TRIGGER'))
  EXECUTE FUNCTION clocktick.refuse('ranges are written by clocktick.write_changes');
CREATE OR REPLACE TRIGGER activity_is_written_by_owner BEFORE INSERT ON clocktick.activity
  FOR EACH STATEMENT WHEN (NOT has_table_privilege('clocktick.activity'::regclass, 'TRIGGER'))
  EXECUTE FUNCTION clocktick.refuse('activities are recorded by clocktick.record_activity');

-- A transaction that keeps its first snapshot would check against a past, so only read committed may write.
CREATE OR REPLACE FUNCTION clocktick.refuse_old_snapshots() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM clocktick.raise_refusal(
      format('%s on clocktick.%I is refused: only transactions at read committed may write', tg_op, tg_table_name),
      tg_table_name, tg_name);
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER entity_sees_the_present BEFORE INSERT OR UPDATE ON clocktick.entity
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse_old_snapshots();
CREATE OR REPLACE TRIGGER range_sees_the_present BEFORE INSERT ON clocktick.property_history
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse_old_snapshots();

-- Append-only (invariant 6). `UPDATE OF column` fires whenever the column is assigned, whatever the value, so nothing has to be
-- compared.
CREATE OR REPLACE TRIGGER entity_is_kept BEFORE DELETE OR TRUNCATE ON clocktick.entity
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('an entity is never removed; a tombstone deletes it');
CREATE OR REPLACE TRIGGER entity_identity_is_fixed BEFORE UPDATE OF id, type, key, created_at ON clocktick.entity
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('id, type, key and created_at never change');
CREATE OR REPLACE TRIGGER tick_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON clocktick.tick
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('a recorded tick never changes');
CREATE OR REPLACE TRIGGER activity_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON clocktick.activity
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('a recorded activity never changes');
CREATE OR REPLACE TRIGGER range_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON clocktick.property_history
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('a recorded range never changes');

-- One clock (invariant 1): an entity is born at tick 1 and goes on by one, its instants strictly increasing.
CREATE OR REPLACE TRIGGER entity_starts_at_one BEFORE INSERT ON clocktick.entity
  FOR EACH ROW WHEN (new.tick <> 1 OR new.deleted OR new.created_at <> new.updated_at OR new.since <> '{}')
  EXECUTE FUNCTION clocktick.refuse('an entity starts alive, at tick 1, at its instant of creation');
CREATE OR REPLACE TRIGGER entity_steps_by_one BEFORE UPDATE ON clocktick.entity
  FOR EACH ROW WHEN (new.tick <> old.tick + 1 OR new.updated_at <= old.updated_at)
  EXECUTE FUNCTION clocktick.refuse('every change is one tick, at a later instant than the last');

-- No silent change (invariant 8): an entity's tick has its row in the clock, and each value that ended with it its range. The entity
-- says of each property since when it has its value, and when its last tick was recorded, where that is not the tick's instant.
--
-- The tick is fetched by a scalar sub-select, here and below: written as a join, a plan that was cached while the tables were
-- small scanned the table on every statement.
CREATE OR REPLACE FUNCTION clocktick.entity_is_created_with_history() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE wrong record;
BEGIN
  IF NOT EXISTS (SELECT FROM new_rows n) THEN
    RETURN NULL;
  END IF;

  SELECT n.id INTO wrong FROM new_rows n
   WHERE (SELECT t.at = n.updated_at AND t.recorded_at = coalesce(n.recorded_at, n.updated_at)
            FROM clocktick.tick t WHERE t.entity_id = n.id AND t.tick = n.tick) IS NOT TRUE
   LIMIT 1;
  IF FOUND THEN
    PERFORM clocktick.raise_refusal(format('entity %s is created without its tick', wrong.id), tg_table_name, tg_name);
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER entity_is_created_with_history AFTER INSERT ON clocktick.entity REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.entity_is_created_with_history();

-- A value has ended where the property has another one, or none, or the same since another tick. `*=` compares bytes: 1.0 is 1 to jsonb,
-- but no caller was told 1.0. What is said since when is unfolded once (`|| '{}'`): each `->` would read a stored one anew.
--
-- The transition tables and the unfolded properties have no index: they want the hash join that the write function forbids. Nor may it be
-- a nested loop, which a plan that was cached for a single change would have for thousands (src/guide/figures.md).
CREATE OR REPLACE FUNCTION clocktick.entity_changes_with_history() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on SET enable_nestloop = off AS $$
DECLARE wrong record;
BEGIN
  IF NOT EXISTS (SELECT FROM new_rows n) THEN
    RETURN NULL;
  END IF;

  SELECT n.id, n.tick INTO wrong FROM new_rows n JOIN old_rows o ON o.id = n.id
   CROSS JOIN LATERAL (SELECT o.since || '{}' AS was, n.since || '{}' AS now OFFSET 0) since
   WHERE (SELECT t.at = n.updated_at AND t.recorded_at = coalesce(n.recorded_at, n.updated_at)
             AND NOT (o.deleted AND n.deleted)
             AND t.op = CASE WHEN n.deleted THEN 'deleted' WHEN o.deleted THEN 'restored' ELSE 'updated' END
            FROM clocktick.tick t WHERE t.entity_id = n.id AND t.tick = n.tick) IS NOT TRUE
      OR EXISTS (
           SELECT FROM jsonb_each(o.properties) was (property, value)
             FULL JOIN jsonb_each(n.properties) now (property, value) ON now.property = was.property
            WHERE (ROW(now.value)::record *<> ROW(was.value)::record
                   OR (since.now -> now.property)::text IS DISTINCT FROM (since.was -> now.property)::text)
              AND (now.property IS NOT NULL AND (since.now -> now.property)::text IS DISTINCT FROM n.tick::text
                   OR was.property IS NOT NULL AND (
                        SELECT true FROM clocktick.property_history h
                         WHERE h.entity_id = n.id AND h.property = was.property
                           AND ROW(coalesce(h.short_value, h.long_value))::record *= ROW(was.value)::record
                           AND h.vclock = int4range(coalesce((since.was ->> was.property)::int4, 1), n.tick) LIMIT 1) IS NULL))
      OR NOT n.properties ?& ARRAY(SELECT jsonb_object_keys(n.since))
   LIMIT 1;
  IF FOUND THEN
    PERFORM clocktick.raise_refusal(
      format('entity %s changes at tick %s without its tick or its ranges', wrong.id, wrong.tick),
      tg_table_name, tg_name);
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER entity_changes_with_history AFTER UPDATE ON clocktick.entity
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.entity_changes_with_history();

-- A property that keeps no range is none of those that do, and since when it keeps none is never rewritten: an answer about the past says so.
CREATE OR REPLACE FUNCTION clocktick.untracked_is_said() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  was jsonb := CASE WHEN tg_op = 'UPDATE' THEN coalesce(old.untracked_ticks, '{}') ELSE '{}' END;
BEGIN
  IF new.untracked IS NULL OR new.untracked_ticks IS NULL
     OR EXISTS (SELECT FROM jsonb_object_keys(new.untracked) u (name)
                 WHERE new.properties ? u.name OR coalesce(jsonb_array_length(new.untracked_ticks -> u.name), 0) % 2 = 0)
     OR NOT new.untracked_ticks ?& ARRAY(SELECT jsonb_object_keys(was))
     OR EXISTS (SELECT FROM jsonb_each(new.untracked_ticks) t
                 WHERE t.value <> coalesce(was -> t.key, '[]') AND t.value <> coalesce(was -> t.key, '[]') || to_jsonb(new.tick)) THEN
    PERFORM clocktick.raise_refusal(
      format('entity %s does not say soundly what keeps no ranges', new.id), tg_table_name, tg_name);
  END IF;
  RETURN new;
END
$$;
CREATE OR REPLACE TRIGGER entity_is_created_untracked BEFORE INSERT ON clocktick.entity
  FOR EACH ROW WHEN (new.untracked IS NOT NULL OR new.untracked_ticks IS NOT NULL) EXECUTE FUNCTION clocktick.untracked_is_said();
CREATE OR REPLACE TRIGGER entity_changes_untracked BEFORE UPDATE ON clocktick.entity
  FOR EACH ROW WHEN (new.untracked IS NOT NULL OR old.untracked IS NOT NULL) EXECUTE FUNCTION clocktick.untracked_is_said();

-- … and a row in the clock is the entity's tick, under a recorded activity. Nobody claims to have recorded it before the
-- transaction began, before what readers were promised to be stable, or before it happened.
--
-- Nor in the future. What the write function stamps may lie ahead of the clock: by the second that `not_before` is followed, or just
-- after the entity's last tick, however far ahead the clock has stepped back behind that one. So an instant is sound up to two seconds
-- ahead (the other one is for a clock that steps back while the statement runs), or as the next after a tick that was let in so.
CREATE OR REPLACE FUNCTION clocktick.clock_row_is_entitys() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wrong record;
  promised timestamptz := (SELECT p.at FROM clocktick.promise p);
BEGIN
  SELECT n.entity_id, n.tick, future.is_it AS is_of_the_future INTO wrong
    FROM new_rows n
   CROSS JOIN LATERAL (
     SELECT n.recorded_at > clock_timestamp() + interval '2 seconds'
            AND (SELECT n.recorded_at <= t.recorded_at + interval '1 microsecond' FROM clocktick.tick t
                  WHERE t.entity_id = n.entity_id AND t.tick = n.tick - 1) IS NOT TRUE AS is_it OFFSET 0) future
   WHERE n.recorded_at < transaction_timestamp() OR n.recorded_at <= promised OR n.recorded_at < n.at OR future.is_it
      OR (SELECT e.tick = n.tick AND e.updated_at = n.at AND e.type = n.type AND e.deleted = (n.op = 'deleted')
            FROM clocktick.entity e WHERE e.id = n.entity_id) IS NOT TRUE
      OR n.activity_id IS NOT NULL
         AND (SELECT true FROM clocktick.activity a WHERE a.id = n.activity_id) IS NOT TRUE
   LIMIT 1;
  IF FOUND THEN
    PERFORM clocktick.raise_refusal(
      format('tick %s of entity %s is not what the entity or its activity says', wrong.tick, wrong.entity_id),
      -- A name of its own: the service may meet that one, when the clock steps back after the stamp.
      tg_table_name, CASE WHEN wrong.is_of_the_future THEN 'tick_is_not_of_the_future' ELSE tg_name END);
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER clock_row_is_entitys AFTER INSERT ON clocktick.tick REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.clock_row_is_entitys();

-- One value at a time (invariant 2): a range is recorded when it ends, with the entity's tick and instant, and from a tick and its
-- instant on. The entity no longer has the value, or has it since now. That it had it until now, and since then, the holders show: the
-- range ends a row of theirs (holders.sql).
CREATE OR REPLACE FUNCTION clocktick.range_ends_now() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on AS $$
DECLARE wrong record;
BEGIN
  IF NOT EXISTS (SELECT FROM new_rows n) THEN
    RETURN NULL;
  END IF;

  WITH holder AS MATERIALIZED (
    SELECT e.id, e.type, e.tick, e.updated_at, e.xmin = pg_current_xact_id()::xid AS is_new,
           -- Sorted, so that looking all names up takes no longer for each the more there are.
           (SELECT coalesce(jsonb_object_agg(k.name, 1), '{}') FROM jsonb_object_keys(e.properties) k (name)) AS names,
           e.since || '{}' AS since
      FROM clocktick.entity e WHERE e.id = ANY (ARRAY(SELECT DISTINCT n.entity_id FROM new_rows n))
  )
  SELECT n.entity_id, n.property, n.vclock INTO wrong
    FROM new_rows n LEFT JOIN holder e ON e.id = n.entity_id
   WHERE (e.is_new AND e.tick = upper(n.vclock) AND e.type = n.type
          AND n.effective = tstzrange((SELECT t.at FROM clocktick.tick t WHERE t.entity_id = n.entity_id AND t.tick = lower(n.vclock)),
                                      e.updated_at)
          AND NOT (e.names ? n.property AND coalesce((e.since ->> n.property)::int4, 1) < e.tick)) IS NOT TRUE
   LIMIT 1;
  IF FOUND THEN
    PERFORM clocktick.raise_refusal(
      format('range %s of %I of entity %s does not end by a change at the entity''s tick', wrong.vclock, wrong.property, wrong.entity_id),
      tg_table_name, tg_name);
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER range_ends_now AFTER INSERT ON clocktick.property_history REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.range_ends_now();

ALTER TABLE clocktick.entity
  ENABLE ALWAYS TRIGGER entity_is_written_by_owner,
  ENABLE ALWAYS TRIGGER entity_sees_the_present,
  ENABLE ALWAYS TRIGGER entity_is_kept,
  ENABLE ALWAYS TRIGGER entity_identity_is_fixed,
  ENABLE ALWAYS TRIGGER entity_starts_at_one,
  ENABLE ALWAYS TRIGGER entity_steps_by_one,
  ENABLE ALWAYS TRIGGER entity_is_created_with_history,
  ENABLE ALWAYS TRIGGER entity_is_created_untracked,
  ENABLE ALWAYS TRIGGER entity_changes_untracked,
  ENABLE ALWAYS TRIGGER entity_changes_with_history;
ALTER TABLE clocktick.tick
  ENABLE ALWAYS TRIGGER tick_is_written_by_owner,
  ENABLE ALWAYS TRIGGER tick_is_kept,
  ENABLE ALWAYS TRIGGER clock_row_is_entitys;
ALTER TABLE clocktick.activity
  ENABLE ALWAYS TRIGGER activity_is_written_by_owner,
  ENABLE ALWAYS TRIGGER activity_is_kept;
ALTER TABLE clocktick.property_history
  ENABLE ALWAYS TRIGGER range_is_written_by_owner,
  ENABLE ALWAYS TRIGGER range_sees_the_present,
  ENABLE ALWAYS TRIGGER range_is_kept,
  ENABLE ALWAYS TRIGGER range_ends_now;
