-- The guards: what the database refuses from anybody, the service and a hand in psql alike.
--
-- They rest on one thing: the write function (write.sql) changes all tables in one statement, and AFTER … STATEMENT triggers run
-- at the end of that statement, when everything is in its place. So each table can demand that the others agree with it, at
-- once, by sets, without deferring anything to the commit. A statement that touches only one of the tables finds the others
-- disagreeing and is refused.
--
-- The row of the entity tells whether its tick was made just now: its xmin is this transaction.
--
-- Row triggers are only BEFORE triggers with a WHEN that is never true in sound operation: they cost nothing measurable. All
-- guards together cost a third of a create's throughput; `npm run bench:guards` measures each.
--
-- All are ENABLE ALWAYS, so that session_replication_role does not pass them by. CREATE OR REPLACE TRIGGER forgets that, which
-- is why each file says it again after its triggers.

-- Refuses a statement, in the way of a constraint of the given name.
CREATE OR REPLACE FUNCTION clocktick.raise_refusal(message text, relation name, guard name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = 'restrict_violation', MESSAGE = message, SCHEMA = 'clocktick', TABLE = relation, CONSTRAINT = guard;
END
$$;

-- Refuses whatever fires the trigger; the trigger's argument says why.
CREATE OR REPLACE FUNCTION clocktick.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM clocktick.raise_refusal(
    format('%s on clocktick.%I is refused: %s', tg_op, tg_table_name, tg_argv[0]), tg_table_name, tg_name);
END
$$;

-- A transaction that keeps its first snapshot would check against a past, so only read committed may write.
CREATE OR REPLACE FUNCTION clocktick.refuse_old_snapshots() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE OR REPLACE TRIGGER range_sees_the_present BEFORE INSERT OR UPDATE ON clocktick.property_history
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
CREATE OR REPLACE TRIGGER range_is_kept BEFORE DELETE OR TRUNCATE ON clocktick.property_history
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('a recorded range is never removed');
CREATE OR REPLACE TRIGGER range_content_is_fixed BEFORE UPDATE OF entity_id, type, property, value ON clocktick.property_history
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('a recorded range never changes; it can only be capped');

-- One clock (invariant 1): an entity is born at tick 1 and goes on by one, its instants strictly increasing.
CREATE OR REPLACE TRIGGER entity_starts_at_one BEFORE INSERT ON clocktick.entity
  FOR EACH ROW WHEN (new.tick <> 1 OR new.deleted OR new.created_at <> new.updated_at OR new.since <> '{}')
  EXECUTE FUNCTION clocktick.refuse('an entity starts alive, at tick 1, at its instant of creation');
CREATE OR REPLACE TRIGGER entity_steps_by_one BEFORE UPDATE ON clocktick.entity
  FOR EACH ROW WHEN (new.tick <> old.tick + 1 OR new.updated_at <= old.updated_at)
  EXECUTE FUNCTION clocktick.refuse('every change is one tick, at a later instant than the last');
CREATE OR REPLACE TRIGGER range_is_capped_once BEFORE UPDATE ON clocktick.property_history
  FOR EACH ROW WHEN (NOT upper_inf(old.vclock) OR upper_inf(new.vclock) OR lower(new.vclock) <> lower(old.vclock)
                     OR lower(new.effective) IS DISTINCT FROM lower(old.effective))
  EXECUTE FUNCTION clocktick.refuse('only an open range can be capped, and nothing else of it changes');

-- No silent change (invariant 8): an entity's tick has its row in the clock, and each property that changed its range, of which
-- the entity says since when it holds. The entity says when its last tick was recorded, where that is not the tick's instant. A new
-- entity has as many open ranges as properties; that each of these is at its tick, has its value, and is said to hold since then,
-- range_opens_now sees to.
--
-- The tick is fetched by a scalar sub-select, here and below: written as a join, a plan that was cached while the tables were
-- small scanned the table on every statement.
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
CREATE OR REPLACE TRIGGER entity_is_created_with_history AFTER INSERT ON clocktick.entity REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.entity_is_created_with_history();

-- The transition tables and the unfolded properties have no index: they want the hash join that the write function forbids.
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
            WHERE (now.value IS DISTINCT FROM was.value
                   OR n.since -> now.property IS DISTINCT FROM o.since -> now.property)
              AND CASE WHEN now.property IS NOT NULL THEN n.tick END IS DISTINCT FROM
                  (SELECT lower(h.vclock) FROM clocktick.property_history h
                    WHERE h.entity_id = n.id AND h.property = coalesce(now.property, was.property) AND upper_inf(h.vclock)))
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

-- … and a row in the clock is the entity's tick, under a recorded activity. Nobody claims to have recorded it before the
-- transaction began, before what readers were promised to be stable, or before it happened.
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
CREATE OR REPLACE TRIGGER clock_row_is_entitys AFTER INSERT ON clocktick.tick REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.clock_row_is_entitys();

-- One value at a time (invariant 2), open against closed: a range opens at the entity's tick and instant, with the value the
-- entity has, …
CREATE OR REPLACE FUNCTION clocktick.range_opens_now() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
  SELECT n.entity_id, n.property, n.vclock INTO wrong FROM new_rows n
   WHERE NOT upper_inf(n.vclock)
      OR (SELECT e.tick = lower(n.vclock) AND e.type = n.type AND e.properties -> n.property = n.value
             AND (e.tick = 1 OR (e.since -> n.property)::text = e.tick::text)
             AND n.effective = tstzrange(e.updated_at, null) AND e.xmin = pg_current_xact_id()::xid
            FROM clocktick.entity e WHERE e.id = n.entity_id) IS NOT TRUE
   LIMIT 1;
  IF FOUND THEN
    PERFORM clocktick.raise_refusal(
      format('range %s of %I of entity %s does not open at the entity''s tick with its value', wrong.vclock, wrong.property, wrong.entity_id),
      tg_table_name, tg_name);
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER range_opens_now AFTER INSERT ON clocktick.property_history REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.range_opens_now();

-- … and is capped there, when the entity no longer has the property or a new range took over.
CREATE OR REPLACE FUNCTION clocktick.range_is_capped_now() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
  SELECT n.entity_id, n.property, n.vclock INTO wrong FROM new_rows n
   WHERE (SELECT e.tick = upper(n.vclock) AND n.effective = tstzrange(lower(n.effective), e.updated_at)
             AND e.xmin = pg_current_xact_id()::xid
             AND (e.properties ? n.property) =
                 EXISTS (SELECT FROM clocktick.property_history h
                          WHERE h.entity_id = n.entity_id AND h.property = n.property AND upper_inf(h.vclock))
            FROM clocktick.entity e WHERE e.id = n.entity_id) IS NOT TRUE
   LIMIT 1;
  IF FOUND THEN
    PERFORM clocktick.raise_refusal(
      format('range %s of %I of entity %s is not capped by a change at the entity''s tick', wrong.vclock, wrong.property, wrong.entity_id),
      tg_table_name, tg_name);
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER range_is_capped_now AFTER UPDATE ON clocktick.property_history REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.range_is_capped_now();

ALTER TABLE clocktick.entity
  ENABLE ALWAYS TRIGGER entity_sees_the_present,
  ENABLE ALWAYS TRIGGER entity_is_kept,
  ENABLE ALWAYS TRIGGER entity_identity_is_fixed,
  ENABLE ALWAYS TRIGGER entity_starts_at_one,
  ENABLE ALWAYS TRIGGER entity_steps_by_one,
  ENABLE ALWAYS TRIGGER entity_is_created_with_history,
  ENABLE ALWAYS TRIGGER entity_changes_with_history;
ALTER TABLE clocktick.tick
  ENABLE ALWAYS TRIGGER tick_is_kept,
  ENABLE ALWAYS TRIGGER clock_row_is_entitys;
ALTER TABLE clocktick.activity
  ENABLE ALWAYS TRIGGER activity_is_kept;
ALTER TABLE clocktick.property_history
  ENABLE ALWAYS TRIGGER range_sees_the_present,
  ENABLE ALWAYS TRIGGER range_is_kept,
  ENABLE ALWAYS TRIGGER range_content_is_fixed,
  ENABLE ALWAYS TRIGGER range_is_capped_once,
  ENABLE ALWAYS TRIGGER range_opens_now,
  ENABLE ALWAYS TRIGGER range_is_capped_now;
