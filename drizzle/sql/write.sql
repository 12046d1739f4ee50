-- The one write path.
--
-- Applies a list of changes in one transaction. `changes` is a JSON array of objects, each with
--   id, expected   the entity, and the tick it must be at (0: it must not exist yet)
--   seen           the instant it must have been changed at, or null: after a failover another change may have that tick
--   op             created, updated, deleted or restored: what its tick records. Null: nothing is to be written, see below
--   type, key      the entity's own
--   set, clear     the properties to set (an object) and the names to unset (an array, or absent)
--   definition     the tick of the definition of its type that it was checked by; absent: none. See lock_types below
--   defined_at     the instant of that tick, or null: after a failover another definition may have it
--   activity_id    who and why, or null; `activity` {actor, reason, metadata, import_id} where it is to be recorded with the change
--   at             the instant of its tick, of imported history: after that of the entity's last tick, and not of the future. Null: the clock's
-- What is null may be left out. No two changes may name the same entity.
--
-- Each change answers with its id, its outcome and the entity's row as it now stands: `written`; `stale` where the entity is not
-- at the expected tick; `redefined` where the type has another definition by now; or `locked` where somebody else holds its row, or is just
-- defining its type. With `patient` the function waits for the row first; then
-- only one that was born meanwhile can be `locked`. Changes that have
-- nothing in common but the statement must not wait for each other's locks. Each that can be written is, whatever becomes of the
-- others. All are recorded at the same instant, but for an entity whose last one lies ahead of the clock, which has stepped back since:
-- it takes none of the others along. That is the instant of their ticks as well, where `at` says no other.
--
-- Changes that are one, such as those of a batch, are written `together`: all or none, at one instant, which comes after the last tick of
-- each. Then what cannot be written answers, and the rest does not: it is as it was. Such a change may be none: what has no `op` is locked
-- and compared as any other, because the rest was decided on it, and then left as it is. It answers only if it is not as it was.
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
-- A property that the definition of its type calls untracked is kept apart, in the columns of that name: nothing that asks the past finds it
-- there. So it keeps no range. What it was while it was tracked ends with the tick that sets it next, as by a removal.
--
-- It runs as the owner of the tables, whoever calls it: nobody else writes them.
--
-- Every row is reached by index, or by the place where it was locked, whatever the statistics say: a plan cached while the tables were
-- small would go through them on every call (creates fell to a fifth), so three settings leave the planner no such choice, and no row
-- is joined that can be asked for. The fourth keeps it from planning anew
-- on every call, because it takes one change for cheaper than the many it guesses for a list: a patch took half as long again.
CREATE OR REPLACE FUNCTION clocktick.write_changes(
  changes jsonb, patient boolean, not_before timestamptz DEFAULT NULL, not_after timestamptz DEFAULT NULL, together boolean DEFAULT false
) RETURNS TABLE (
  id uuid, outcome text, type text, key text, tick integer, deleted boolean,
  created_at timestamptz, updated_at timestamptz, properties jsonb, untracked jsonb
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  defined jsonb; -- the definitions of the types that have one, by type: `tick`, and the names that are `untracked`
  hides boolean; -- whether one of these calls properties untracked
  busy text[]; -- the types that somebody else is just defining
  due boolean[]; -- of each change whether it can be written; null: its row is locked
  lasts timestamptz[]; -- when the last tick of each was recorded
  places tid[];
  clock timestamptz;
  promised timestamptz;
BEGIN
  busy := clocktick.lock_types(changes, patient);
  SELECT jsonb_object_agg(d.key, jsonb_build_object('tick', d.tick, 'at', d.updated_at, 'untracked', d.properties -> 'untracked')),
         coalesce(bool_or(d.properties ? 'untracked'), false)
    INTO defined, hides
    FROM (SELECT DISTINCT c.type FROM jsonb_to_recordset(changes) AS c (type text)) t
   CROSS JOIN LATERAL (SELECT e.key, e.tick, e.updated_at, e.properties FROM clocktick.entity e
                        WHERE e.type = 'clocktick-type' AND coalesce(e.key, '') = t.type AND NOT e.deleted LIMIT 1) d;

  -- Lock in id order, so that two writers of many entities cannot deadlock.
  IF patient THEN
    PERFORM FROM clocktick.entity e
      WHERE e.id = ANY (ARRAY(SELECT (c.change ->> 'id')::uuid FROM jsonb_array_elements(changes) c (change)))
      ORDER BY e.id FOR NO KEY UPDATE;
  END IF;
  SELECT array_agg(CASE WHEN held.tick IS NOT NULL
                        THEN held.tick = wanted.expected AND coalesce(held.updated_at = wanted.seen, true) AND wanted.definition_holds
                        WHEN (SELECT e.id FROM clocktick.entity e WHERE e.id = wanted.id) IS NULL
                        THEN wanted.expected = 0 AND wanted.definition_holds
                   END ORDER BY wanted.n),
         array_agg(coalesce(held.recorded_at, held.updated_at) ORDER BY wanted.n), array_agg(held.ctid ORDER BY wanted.n)
    INTO due, lasts, places
    FROM (SELECT c.*, clocktick.is_defined_so(defined -> c.type, c.definition, c.defined_at) AS definition_holds
            FROM ROWS FROM (jsonb_to_recordset(changes) AS (id uuid, type text, expected integer, seen timestamptz,
                                                            definition integer, defined_at timestamptz))
              WITH ORDINALITY AS c (id, type, expected, seen, definition, defined_at, n)
           ORDER BY c.id) wanted
    LEFT JOIN LATERAL (
      SELECT e.tick, e.updated_at, e.recorded_at, e.ctid FROM clocktick.entity e WHERE e.id = wanted.id FOR NO KEY UPDATE SKIP LOCKED
    ) held ON true;
  IF busy IS NOT NULL THEN
    SELECT array_agg(CASE WHEN NOT c.type = ANY (busy) THEN c.due END ORDER BY c.n) INTO due
      FROM ROWS FROM (jsonb_to_recordset(changes) AS (type text), unnest(due)) WITH ORDINALITY AS c (type, due, n);
  END IF;

  IF true = ANY (due) AND (NOT together OR true = ALL (due)) THEN
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
    IF together THEN
      clock := greatest(clock, (SELECT max(l.at) FROM unnest(lasts) AS l (at)) + interval '1 microsecond');
    END IF;

    RETURN QUERY
    WITH change AS MATERIALIZED (
      -- What is asked of the untracked is guarded each time: the calls have sub-selects, so that the planner cannot put them in place.
      SELECT c.id, c.expected, c.op, c.type, c.key, c.activity_id, c.activity, c.place,
             recorded.at AS recorded, coalesce(c.at, recorded.at) AS stamp,
             CASE WHEN hides THEN c.set - ARRAY(SELECT jsonb_object_keys(apart.hidden)) ELSE c.set END AS set,
             CASE WHEN c.expected > 0 AND c.set <> '{}'
                  THEN (SELECT coalesce(jsonb_object_agg(s.name, c.expected + 1), '{}') FROM jsonb_object_keys(c.set) s (name)
                         WHERE NOT hides OR (apart.hidden ? s.name) IS NOT TRUE) ELSE '{}' END AS since,
             CASE WHEN c.clear IS NOT NULL OR apart.hidden IS NOT NULL
                  THEN ARRAY(SELECT jsonb_array_elements_text(c.clear) UNION ALL SELECT jsonb_object_keys(apart.hidden)) END AS cleared,
             apart.hidden
        FROM ROWS FROM (
               jsonb_to_recordset(changes) AS (id uuid, expected integer, op text, type text, key text,
                                               set jsonb, clear jsonb, activity_id uuid, activity jsonb, at timestamptz),
               unnest(due), unnest(lasts), unnest(places)
             ) AS c (id, expected, op, type, key, set, clear, activity_id, activity, at, due, last, place)
       CROSS JOIN LATERAL (SELECT greatest(clock, c.last + interval '1 microsecond') AS at) recorded
       CROSS JOIN LATERAL (SELECT CASE WHEN hides THEN clocktick.set_apart(c.set, defined -> c.type -> 'untracked') END AS hidden) apart
       WHERE c.due AND c.op IS NOT NULL
    ), created AS (
      INSERT INTO clocktick.entity AS e (id, type, key, tick, properties, created_at, updated_at, recorded_at, untracked, untracked_ticks)
      SELECT c.id, c.type, c.key, 1, c.set, c.stamp, c.stamp, nullif(c.recorded, c.stamp),
             c.hidden, CASE WHEN c.hidden IS NOT NULL THEN clocktick.untracked_after(NULL, c.set, c.hidden, 1) END
        FROM change c WHERE c.expected = 0 ORDER BY c.id
      RETURNING e.*
    ), updated AS (
      UPDATE clocktick.entity e
         SET tick = e.tick + 1, deleted = (c.op = 'deleted'), updated_at = c.stamp, recorded_at = nullif(c.recorded, c.stamp),
             properties = CASE WHEN c.cleared IS NULL THEN e.properties || c.set ELSE (e.properties || c.set) - c.cleared END,
             since = CASE WHEN c.cleared IS NULL THEN e.since || c.since ELSE (e.since || c.since) - c.cleared END,
             untracked = CASE WHEN e.untracked IS NOT NULL OR c.hidden IS NOT NULL
                              THEN coalesce(e.untracked, '{}') - ARRAY(SELECT jsonb_object_keys(c.set)) - coalesce(c.cleared, '{}')
                                   || coalesce(c.hidden, '{}') END,
             untracked_ticks = CASE WHEN e.untracked IS NOT NULL OR c.hidden IS NOT NULL
                                    THEN clocktick.untracked_after(e.untracked_ticks, c.set, c.hidden, c.expected + 1) END
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
    SELECT w.id, 'written', w.type, w.key, w.tick, w.deleted, w.created_at, w.updated_at,
           clocktick.all_properties(w.properties, w.untracked), clocktick.untracked_at(w.untracked_ticks, w.tick)
      FROM (SELECT * FROM created UNION ALL SELECT * FROM updated) w;
  END IF;

  IF (true = ALL (due)) IS NOT TRUE THEN
    RETURN QUERY
    SELECT c.id, CASE WHEN c.due IS NULL THEN 'locked'
                      WHEN clocktick.is_defined_so(defined -> c.type, c.definition, c.defined_at) THEN 'stale' ELSE 'redefined' END,
           e.type, e.key, e.tick, e.deleted, e.created_at, e.updated_at,
           clocktick.all_properties(e.properties, e.untracked), clocktick.untracked_at(e.untracked_ticks, e.tick)
      FROM ROWS FROM (jsonb_to_recordset(changes) AS (id uuid, type text, definition integer, defined_at timestamptz), unnest(due))
             AS c (id, type, definition, defined_at, due)
      LEFT JOIN clocktick.entity e ON e.id = c.id
     WHERE c.due IS NOT TRUE;
  END IF;
END
$$;

-- Locks the types of changes until the transaction ends: writers of entities of a type share its lock, and whoever changes its definition has
-- it alone. So the definition by which a change was checked is the one that holds at the instant of its tick, on whichever instance. The
-- definition of a type is the entity of the type `clocktick-type` with the name of the type as its key.
--
-- With `patient` it waits. Otherwise it gives the types that it could not lock: those that somebody is just defining, or waits to. A change
-- of a definition is none of its type, so what it gives for that is the type of definitions.
CREATE OR REPLACE FUNCTION clocktick.lock_types(changes jsonb, patient boolean) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  first text := changes -> 0 ->> 'type';
  wanted record;
  busy text[];
BEGIN
  -- Nearly always all are of one type, and it takes longer to sort one than to see that.
  IF first <> 'clocktick-type' AND NOT jsonb_path_exists(changes, '$[*] ? (@.type != $first)', jsonb_build_object('first', first)) THEN
    IF patient THEN
      PERFORM pg_advisory_xact_lock_shared(clocktick.definition_locks(), hashtext(first));
    ELSIF NOT pg_try_advisory_xact_lock_shared(clocktick.definition_locks(), hashtext(first)) THEN
      RETURN ARRAY[first];
    END IF;
    RETURN NULL;
  END IF;
  -- In one order, so that two of them cannot deadlock.
  FOR wanted IN
    SELECT DISTINCT c.type, CASE WHEN c.type = 'clocktick-type' THEN hashtext(c.key) ELSE hashtext(c.type) END AS key,
           c.type = 'clocktick-type' AS alone
      FROM jsonb_to_recordset(changes) AS c (type text, key text) ORDER BY 2, 3 DESC
  LOOP
    IF wanted.alone AND patient THEN
      PERFORM pg_advisory_xact_lock(clocktick.definition_locks(), wanted.key);
    ELSIF patient THEN
      PERFORM pg_advisory_xact_lock_shared(clocktick.definition_locks(), wanted.key);
    ELSIF wanted.alone AND NOT pg_try_advisory_xact_lock(clocktick.definition_locks(), wanted.key)
       OR NOT wanted.alone AND NOT pg_try_advisory_xact_lock_shared(clocktick.definition_locks(), wanted.key) THEN
      busy := busy || wanted.type;
    END IF;
  END LOOP;
  RETURN busy;
END
$$;

-- The class of the advisory locks of types.
CREATE OR REPLACE FUNCTION clocktick.definition_locks() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 1952540016;

-- Waits until nobody writes entities of a type, and keeps them from it until the transaction ends: for whoever changes its definition, before
-- he looks once more what it would make invalid.
CREATE OR REPLACE FUNCTION clocktick.lock_definition(type text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_advisory_xact_lock(clocktick.definition_locks(), hashtext(type))
$$;

-- Whether a definition (`defined` of write_changes; null: the type is open) is the one of a tick and its instant; of the latter null means any.
CREATE OR REPLACE FUNCTION clocktick.is_defined_so(definition jsonb, tick integer, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT coalesce((definition ->> 'tick')::int4, 0) = coalesce(tick, 0)
     AND (at IS NULL OR coalesce((definition ->> 'at')::timestamptz = at, true))
$$;

-- Of what is set, what is not tracked: what has one of these names. Null where there is none.
CREATE OR REPLACE FUNCTION clocktick.set_apart(set jsonb, names jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT jsonb_object_agg(s.key, s.value) FROM jsonb_each(set) s WHERE names ? s.key
$$;

-- The ticks at which properties became untracked, or tracked again, after a tick that sets some of either kind.
CREATE OR REPLACE FUNCTION clocktick.untracked_after(ticks jsonb, set jsonb, hidden jsonb, at_tick integer) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(ticks, '{}') || coalesce(jsonb_object_agg(s.name, coalesce(ticks -> s.name, '[]') || to_jsonb(at_tick)), '{}')
    FROM (SELECT jsonb_object_keys(hidden) AS name, 1 AS becomes UNION ALL SELECT jsonb_object_keys(set), 0) s
   WHERE coalesce(jsonb_array_length(ticks -> s.name), 0) % 2 <> s.becomes
$$;

-- Waits for entities and keeps them locked until the transaction ends, so that nobody else can change them. `wanted` is a JSON array of
-- objects with their `id`, `type` and `key`. As every writer does, it locks their types first. Who had rows and then waited for a type would wait
-- for whoever waits to define it, he for those who write entities of it, and one of these for the rows: the server sees that after a second.
CREATE OR REPLACE FUNCTION clocktick.lock_entities(wanted jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
  PERFORM clocktick.lock_types(wanted, true);
  PERFORM FROM clocktick.entity e
    WHERE e.id = ANY (ARRAY(SELECT (w.one ->> 'id')::uuid FROM jsonb_array_elements(wanted) w (one)))
    ORDER BY e.id FOR NO KEY UPDATE;
END
$$;

-- The same of one entity, whose type nobody has to know. Where it does not exist, there is nothing to lock.
CREATE OR REPLACE FUNCTION clocktick.lock_entity(id uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wanted jsonb := (SELECT jsonb_build_array(jsonb_build_object('id', e.id, 'type', e.type, 'key', e.key))
                     FROM clocktick.entity e WHERE e.id = lock_entity.id);
BEGIN
  IF wanted IS NOT NULL THEN
    PERFORM clocktick.lock_entities(wanted);
  END IF;
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
