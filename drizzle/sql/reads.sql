-- Reads: what the past of an entity, a property and a type is asked by.
--
-- Each is plain SQL that returns rows, neither STRICT nor with settings of its own, so the planner puts its body in the place of
-- the call, and finds indexes as if the query had said it all. That holds as long as no argument is itself a sub-select: a query
-- gives a function columns, of a lateral join if need be. What is dear to find out ends with OFFSET 0: then it is found out once,
-- however often the query speaks of it. test/storage/statements.test.ts shows the plans.

-- Properties -------------------------------------------------------------------------------------------------------------

-- The closed ranges of a property that begin in [first, last]. The query orders by vclock, as the index has them; what it does not ask
-- for is not read. A long value is fetched by itself: asked for beside the short one, it would keep the index from answering alone.
CREATE OR REPLACE FUNCTION clocktick.closed_ranges(entity_id uuid, property text, first integer, last integer)
RETURNS SETOF clocktick.property_range LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT h.entity_id, h.type, h.property, h.vclock,
         coalesce(h.short_value, (SELECT l.long_value FROM clocktick.property_history l
                             WHERE l.entity_id = h.entity_id AND l.property = h.property AND l.vclock = h.vclock)), h.effective
    FROM clocktick.property_history h
   WHERE h.entity_id = closed_ranges.entity_id AND h.property = closed_ranges.property
     AND h.vclock > int4range(closed_ranges.first - 1, NULL) AND h.vclock <= int4range(closed_ranges.last, NULL)
$$;

-- The closed range of a property that contains a tick: the last one that began by then, unless it has ended.
CREATE OR REPLACE FUNCTION clocktick.closed_range_at(entity_id uuid, property text, at_tick integer)
RETURNS SETOF clocktick.property_range LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT h.*
    FROM (SELECT c.* FROM clocktick.closed_ranges(closed_range_at.entity_id, closed_range_at.property, 1, at_tick) c
           ORDER BY c.vclock DESC LIMIT 1) h
   WHERE h.vclock @> at_tick
$$;

-- The instant of a tick of an entity, which is now at `now_tick` since `now_since`: one row. The clock is read only between the first
-- tick and the last.
CREATE OR REPLACE FUNCTION clocktick.at_of(
  id uuid, now_tick integer, created_at timestamptz, now_since timestamptz, tick integer
) RETURNS TABLE (at timestamptz) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE tick WHEN now_tick THEN now_since WHEN 1 THEN created_at
              ELSE (SELECT t.at FROM clocktick.tick t WHERE t.entity_id = at_of.id AND t.tick = at_of.tick) END
$$;

-- The open range of a property of an entity, whose row the query has, if it began at or before a tick: what it has now.
CREATE OR REPLACE FUNCTION clocktick.open_range_of(
  id uuid, type text, now_tick integer, created_at timestamptz, now_since timestamptz, properties jsonb, since jsonb, property text, last integer
) RETURNS SETOF clocktick.property_range LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT open_range_of.id, open_range_of.type COLLATE "C", open_range_of.property COLLATE "C", int4range(held.since, NULL), held.value, tstzrange(began.at, NULL)
    FROM (SELECT began.since, open_range_of.properties -> open_range_of.property AS value
            FROM (SELECT coalesce((open_range_of.since ->> open_range_of.property)::int4, 1) AS since OFFSET 0) began
           WHERE began.since <= open_range_of.last OFFSET 0) held
   CROSS JOIN LATERAL clocktick.at_of(open_range_of.id, now_tick, open_range_of.created_at, open_range_of.now_since, held.since) began
   WHERE held.value IS NOT NULL
$$;

-- The same of an entity by its id.
CREATE OR REPLACE FUNCTION clocktick.open_range(entity_id uuid, property text, last integer)
RETURNS SETOF clocktick.property_range LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT h.*
    FROM clocktick.entity e
   CROSS JOIN LATERAL clocktick.open_range_of(
     e.id, e.type, e.tick, e.created_at, e.updated_at, e.properties, e.since, open_range.property, open_range.last) h
   WHERE e.id = open_range.entity_id
$$;

-- Those of all its properties.
CREATE OR REPLACE FUNCTION clocktick.open_ranges_of(id uuid, last integer)
RETURNS SETOF clocktick.property_range LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT e.id, e.type, held.property, int4range(held.since, NULL), held.value, tstzrange(began.at, NULL)
    FROM (SELECT e.*, e.since || '{}' AS since_when FROM clocktick.entity e WHERE e.id = open_ranges_of.id OFFSET 0) e
   CROSS JOIN LATERAL (
     SELECT p.key COLLATE "C" AS property, p.value, coalesce((e.since_when ->> p.key)::int4, 1) AS since
       FROM jsonb_each(e.properties) p OFFSET 0) held
   CROSS JOIN LATERAL clocktick.at_of(e.id, e.tick, e.created_at, e.updated_at, held.since) began
   WHERE held.since <= open_ranges_of.last
$$;

-- Whether a property had been set by a tick: one row, true or false.
CREATE OR REPLACE FUNCTION clocktick.was_set(entity_id uuid, property text, last integer)
RETURNS TABLE (was_set boolean) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT coalesce(
    (SELECT true FROM clocktick.closed_ranges(was_set.entity_id, was_set.property, 1, was_set.last) h
      ORDER BY h.vclock LIMIT 1),
    (SELECT true FROM clocktick.open_range(was_set.entity_id, was_set.property, was_set.last)),
    false)
$$;

-- The range of a property that contains a tick.
CREATE OR REPLACE FUNCTION clocktick.range_at(entity_id uuid, property text, at_tick integer)
RETURNS SETOF clocktick.property_range LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT h.* FROM clocktick.closed_range_at(range_at.entity_id, range_at.property, at_tick) h
  UNION ALL
  SELECT h.* FROM clocktick.open_range(range_at.entity_id, range_at.property, at_tick) h
$$;

-- The ranges of a property that overlap the ticks [first, last].
CREATE OR REPLACE FUNCTION clocktick.ranges_in(entity_id uuid, property text, first integer, last integer)
RETURNS SETOF clocktick.property_range LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT h.* FROM clocktick.closed_range_at(ranges_in.entity_id, ranges_in.property, ranges_in.first) h
  UNION ALL
  SELECT h.* FROM clocktick.closed_ranges(ranges_in.entity_id, ranges_in.property, ranges_in.first + 1, ranges_in.last) h
  UNION ALL
  SELECT h.* FROM clocktick.open_range(ranges_in.entity_id, ranges_in.property, ranges_in.last) h
$$;

-- The value of a property at a tick of its entity, which now has `now_properties`, each since the tick that `now_since` says: one row,
-- null where it was not set.
CREATE OR REPLACE FUNCTION clocktick.value_at(id uuid, now_properties jsonb, now_since jsonb, property text, at_tick integer)
RETURNS TABLE (value jsonb) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT coalesce(
    CASE WHEN coalesce((now_since ->> value_at.property)::int4, 1) <= at_tick THEN now_properties -> value_at.property END,
    (SELECT h.value FROM clocktick.closed_range_at(value_at.id, value_at.property, at_tick) h))
  OFFSET 0
$$;

-- The names of the properties of which an entity has closed ranges, in order, each with the tick at which the first of these began:
-- one descent of the index a name, however many ranges it has.
CREATE OR REPLACE FUNCTION clocktick.closed_names(entity_id uuid)
RETURNS TABLE (name text, first integer) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  WITH RECURSIVE closed (name, first) AS (
    (SELECT h.property, lower(h.vclock) FROM clocktick.property_history h
      WHERE h.entity_id = closed_names.entity_id
      ORDER BY h.property, h.vclock LIMIT 1)
    UNION ALL
    SELECT next.property, next.first
      FROM closed CROSS JOIN LATERAL (
        SELECT h.property, lower(h.vclock) AS first FROM clocktick.property_history h
         WHERE h.entity_id = closed_names.entity_id AND h.property > closed.name
         ORDER BY h.property, h.vclock LIMIT 1) next
  )
  SELECT closed.name, closed.first FROM closed
$$;

-- The closed ranges of all properties of an entity, which is now at `now_tick`, that overlap the ticks [first, last]: no more of them than
-- the index says alone.
--
-- An entity of few ticks has few, all in one place of the index, which says which of them are wanted. Of one with more ticks each
-- property is asked on its own: that takes as long at any depth. Where it has had thousands of names there is nothing
-- better than to go through all of its ranges, in the index.
CREATE OR REPLACE FUNCTION clocktick.closed_ranges_of(id uuid, now_tick integer, first integer, last integer)
RETURNS TABLE (property text, vclock int4range, value jsonb) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  WITH named AS MATERIALIZED (
    SELECT n.name FROM clocktick.closed_names(closed_ranges_of.id) n WHERE now_tick > 50 LIMIT 2001
  )
  SELECT h.property, h.vclock,
         coalesce(h.short_value, (SELECT l.long_value FROM clocktick.property_history l
                             WHERE l.entity_id = h.entity_id AND l.property = h.property AND l.vclock = h.vclock))
    FROM clocktick.property_history h
   WHERE (now_tick <= 50 OR (SELECT count(*) FROM named) > 2000)
     AND h.entity_id = closed_ranges_of.id
     AND h.vclock <= int4range(closed_ranges_of.last, NULL) AND upper(h.vclock) > closed_ranges_of.first
  UNION ALL
  SELECT h.property, h.vclock, h.value
    FROM named CROSS JOIN LATERAL (
      SELECT c.property, c.vclock, c.value FROM clocktick.closed_range_at(closed_ranges_of.id, named.name, closed_ranges_of.first) c
      UNION ALL
      SELECT c.property, c.vclock, c.value
        FROM clocktick.closed_ranges(closed_ranges_of.id, named.name, closed_ranges_of.first + 1, closed_ranges_of.last) c) h
   WHERE (SELECT count(*) FROM named) <= 2000
$$;

-- Entities ---------------------------------------------------------------------------------------------------------------

-- The tick of an entity at an instant: its last one at or before it. No row before its first.
CREATE OR REPLACE FUNCTION clocktick.tick_at(entity_id uuid, at timestamptz)
RETURNS TABLE (tick integer) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT t.tick FROM clocktick.tick t
   WHERE t.entity_id = tick_at.entity_id AND t.at <= tick_at.at
   ORDER BY t.at DESC LIMIT 1
$$;

-- The first tick at an instant or after it, which may be yet to come: where half-open windows begin, and end. Asked for as
-- max(tick) it would be sought from the newest tick back, past all that came after the instant.
CREATE OR REPLACE FUNCTION clocktick.tick_from(entity_id uuid, at timestamptz)
RETURNS TABLE (tick integer) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT 1 + coalesce((SELECT t.tick FROM clocktick.tick t
                        WHERE t.entity_id = tick_from.entity_id AND t.at < tick_from.at
                        ORDER BY t.at DESC LIMIT 1), 0)
$$;

-- The state of an entity, which is now at `now_tick` since `now_since`, as of a tick or an instant (the other is null): its tick,
-- the instant of it, and whether it was deleted. No row where it had no such tick. The clock is read only where it has changed
-- since.
CREATE OR REPLACE FUNCTION clocktick.state_at(
  id uuid, now_tick integer, now_since timestamptz, now_deleted boolean, at_tick integer, at_instant timestamptz
) RETURNS TABLE (tick integer, at timestamptz, deleted boolean) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT now_tick, now_since, now_deleted
   WHERE at_tick = now_tick OR at_instant >= now_since
  UNION ALL
  SELECT t.tick, t.at, t.op = 'deleted' FROM clocktick.tick t
   WHERE t.entity_id = state_at.id AND t.tick = at_tick AND at_tick < now_tick
  UNION ALL
  (SELECT t.tick, t.at, t.op = 'deleted' FROM clocktick.tick t
    WHERE t.entity_id = state_at.id AND t.at <= at_instant AND at_instant < now_since
    ORDER BY t.at DESC LIMIT 1)
$$;

-- The same as of a pin: an instant, by what had been recorded by another.
CREATE OR REPLACE FUNCTION clocktick.state_as_of(
  id uuid, now_tick integer, now_since timestamptz, now_deleted boolean, now_recorded timestamptz,
  as_of timestamptz, recorded_as_of timestamptz
) RETURNS TABLE (tick integer, at timestamptz, deleted boolean) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT now_tick, now_since, now_deleted
   WHERE now_since <= as_of
     AND coalesce(now_recorded, now_since) <= recorded_as_of
  UNION ALL
  (SELECT t.tick, t.at, t.op = 'deleted' FROM clocktick.tick t
    WHERE t.entity_id = state_as_of.id AND t.at <= as_of AND t.recorded_at <= recorded_as_of
      AND NOT (now_since <= as_of
               AND coalesce(now_recorded, now_since) <= recorded_as_of)
    ORDER BY t.at DESC LIMIT 1)
$$;

-- The properties of an entity, which is now at `now_tick` with `now_properties`, at one of its ticks: one row, null where it has no such
-- tick. Unchanged since then, the current row is the answer, and nothing else is read. Otherwise: what is set now, without what
-- was set later (`now_since` says which), and with the closed ranges that contain the tick.
--
-- With `most` also null where it could take long: where what is set now, or one of these ranges, takes more bytes than that as it is
-- stored. What is that large is not even read.
CREATE OR REPLACE FUNCTION clocktick.properties_at(
  id uuid, now_tick integer, now_properties jsonb, now_since jsonb, at_tick integer, most integer
) RETURNS TABLE (properties jsonb) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN pg_column_size(now_properties) > most THEN NULL
              WHEN at_tick = now_tick THEN now_properties
              WHEN at_tick < now_tick THEN
                (now_properties - ARRAY(SELECT s.key FROM jsonb_each_text(now_since) s WHERE s.value::int4 > at_tick))
                || (SELECT CASE WHEN max(pg_column_size(h.value)) > most THEN NULL
                                ELSE coalesce(jsonb_object_agg(h.property, h.value)
                                                FILTER (WHERE (pg_column_size(h.value) > most) IS NOT TRUE), '{}') END
                      FROM clocktick.closed_ranges_of(properties_at.id, now_tick, at_tick, at_tick) h)
         END
  OFFSET 0
$$;

-- Since which tick each property has had its value that an entity, which is now at `now_tick` with `now_properties`, has at one of its ticks:
-- that of the range that is open now, or of the closed one that contains the tick.
CREATE OR REPLACE FUNCTION clocktick.since_at(
  id uuid, now_tick integer, now_properties jsonb, now_since jsonb, at_tick integer
) RETURNS TABLE (property text, since integer) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT held.property, held.since
    FROM (SELECT now_since || '{}' AS since_when OFFSET 0) unfolded
   CROSS JOIN LATERAL (
     SELECT p.name COLLATE "C" AS property, coalesce((unfolded.since_when ->> p.name)::int4, 1) AS since
       FROM jsonb_object_keys(now_properties) p (name) OFFSET 0) held
   WHERE held.since <= at_tick
  UNION ALL
  SELECT h.property, lower(h.vclock)
    FROM clocktick.closed_ranges_of(since_at.id, now_tick, at_tick, at_tick) h
   WHERE at_tick < now_tick
$$;

-- All properties of an entity as they are now, with those that keep no ranges.
CREATE OR REPLACE FUNCTION clocktick.all_properties(properties jsonb, untracked jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN untracked IS NULL THEN properties ELSE properties || untracked END
$$;

-- The names of the properties of an entity whose values were not kept at one of its ticks, as an array; null where there are none. One that has
-- been removed since stays among them: when that was, nobody knows.
CREATE OR REPLACE FUNCTION clocktick.untracked_names(ticks jsonb, at_tick integer) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT jsonb_agg(t.key ORDER BY t.key COLLATE "C") FROM jsonb_each(ticks) t
   WHERE (SELECT count(*) FROM jsonb_array_elements(t.value) turn WHERE turn::int4 <= at_tick) % 2 = 1
$$;

-- The same. Nearly always there are none: then the function above is not called, which has a sub-select, so that the planner cannot put it in
-- place, and a call takes longer than to read the entity.
CREATE OR REPLACE FUNCTION clocktick.untracked_at(ticks jsonb, at_tick integer) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN ticks IS NOT NULL THEN clocktick.untracked_names(ticks, at_tick) END
$$;

-- Of properties those that are named in `fields`, an array; all where it is null. Unfolded once: each `properties -> name` would
-- read a large value anew.
CREATE OR REPLACE FUNCTION clocktick.chosen(whole jsonb, fields jsonb)
RETURNS TABLE (properties jsonb) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN fields IS NULL THEN whole
              ELSE (SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}')
                      FROM jsonb_each(whole) p WHERE fields ? p.key) END
$$;

-- What differs between the states of an entity, which is now at `now_tick` with `now_properties`, at two of its ticks. A null tick is
-- a state with no properties; a value that was changed and changed back is no difference.
CREATE OR REPLACE FUNCTION clocktick.changes_between(
  id uuid, now_tick integer, now_properties jsonb, now_since jsonb, from_tick integer, to_tick integer
) RETURNS TABLE (property text, was jsonb, becomes jsonb) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT differing.*
    FROM clocktick.properties_at(changes_between.id, now_tick, now_properties, now_since, from_tick, NULL) before
   CROSS JOIN clocktick.properties_at(changes_between.id, now_tick, now_properties, now_since, to_tick, NULL) after
   CROSS JOIN LATERAL (
     SELECT coalesce(was.key, becomes.key) COLLATE "C", was.value, becomes.value
       FROM jsonb_each(before.properties) was FULL JOIN jsonb_each(after.properties) becomes ON becomes.key = was.key
      WHERE becomes.value IS DISTINCT FROM was.value
   ) differing
$$;

-- What a tick of an entity, which is now at `now_tick`, changed: by property the value that ended there, and the one that began. Only what
-- changed is read, and of an entity that is large what it has now.
CREATE OR REPLACE FUNCTION clocktick.changes_at(id uuid, now_tick integer, at_tick integer)
RETURNS TABLE (property text, was jsonb, becomes jsonb) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT h.property, (array_agg(h.value) FILTER (WHERE h.ends))[1], (array_agg(h.value) FILTER (WHERE NOT h.ends))[1]
    FROM (SELECT c.property, c.value, upper(c.vclock) = changes_at.at_tick AS ends
            FROM clocktick.closed_ranges_of(changes_at.id, changes_at.now_tick, changes_at.at_tick - 1, changes_at.at_tick) c
           WHERE upper(c.vclock) = changes_at.at_tick OR lower(c.vclock) = changes_at.at_tick
          UNION ALL
          SELECT o.property, o.value, false
            FROM clocktick.open_ranges_of(changes_at.id, changes_at.at_tick) o
           WHERE lower(o.vclock) = changes_at.at_tick) h
   GROUP BY h.property
$$;

-- One row where a tick of an entity changed a property: one of its ranges begins there, or ends. None otherwise.
CREATE OR REPLACE FUNCTION clocktick.changed_at(id uuid, property text, at_tick integer)
RETURNS TABLE (changed boolean) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT true
   WHERE EXISTS (SELECT FROM clocktick.closed_ranges(changed_at.id, changed_at.property, changed_at.at_tick, changed_at.at_tick))
      OR EXISTS (SELECT FROM (SELECT c.vclock FROM clocktick.closed_ranges(changed_at.id, changed_at.property, 1, changed_at.at_tick - 1) c
                               ORDER BY c.vclock DESC LIMIT 1) before
                  WHERE upper(before.vclock) = changed_at.at_tick)
      OR EXISTS (SELECT FROM clocktick.open_range(changed_at.id, changed_at.property, changed_at.at_tick) o
                  WHERE lower(o.vclock) = changed_at.at_tick)
$$;

-- An activity as JSON text. What was not given is left out; a null inside the metadata is data and stays.
CREATE OR REPLACE FUNCTION clocktick.activity_text(id uuid, actor text, reason text, metadata jsonb)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT (jsonb_strip_nulls(jsonb_build_object('id', id, 'actor', actor, 'reason', reason))
          || CASE WHEN metadata IS NULL THEN '{}' ELSE jsonb_build_object('metadata', metadata) END)::text
$$;

-- Text: answers of many entities are put together here, because to hand over each column of each row costs Node more -----------

-- An instant as the API shows it: RFC 3339, UTC, with microseconds.
CREATE OR REPLACE FUNCTION clocktick.instant_text(at timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- A state of an entity as JSON text, to the byte what src/http/answers/entity-text.ts writes. `properties` is JSON text, and so is
-- `more`: further members, each after a comma, or ''.
CREATE OR REPLACE FUNCTION clocktick.entity_text(
  id uuid, type text, key text, tick integer, deleted boolean, created_at timestamptz, updated_at timestamptz, properties text, more text
) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT '{"id": "' || id::text || '", "type": "' || type || CASE WHEN key IS NULL THEN '"' ELSE '", "key": ' || to_json(key)::text END
         || ', "tick": ' || tick::text || ', "deleted": ' || deleted::text
         || ', "createdAt": "' || clocktick.instant_text(created_at) || '", "updatedAt": "' || clocktick.instant_text(updated_at)
         || '", "properties": ' || properties || more || '}'
$$;

-- A range of a property as JSON text, to the byte what src/http/answers/entity-text.ts writes. `value` and `activity` are JSON text.
CREATE OR REPLACE FUNCTION clocktick.range_text(
  value text, from_tick integer, to_tick integer, from_at timestamptz, to_at timestamptz, activity text
) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT '{"value": ' || value || ', "vclock": {"from": ' || from_tick::text || ', "to": ' || coalesce(to_tick::text, 'null')
         || '}, "effective": {"from": "' || clocktick.instant_text(from_at)
         || '", "to": ' || coalesce('"' || clocktick.instant_text(to_at) || '"', 'null')
         || '}, "activity": ' || coalesce(activity, 'null') || '}'
$$;

-- Who set what an entity, which is now at `now_tick` with `now_properties`, has at one of its ticks, and when: one row, by property the open
-- range without its value, as JSON text, of those properties that are named in `fields`, an array (null: of all). A property that keeps no
-- ranges has none here either.
--
-- An activity may have 1 MiB, and each property one of its own. So how large they are as they are stored is asked first, which reads
-- none, and then they are read piece by piece, in the order of jsonb, until the text has `most` bytes: a piece is 32 kB and the activity that
-- passes these, which become some MB at most. `truncated` has the names of those that there is no room for, as an array; null: there are none.
CREATE OR REPLACE FUNCTION clocktick.provenance_at(
  id uuid, now_tick integer, now_properties jsonb, now_since jsonb, at_tick integer, fields jsonb, most integer
) RETURNS TABLE (provenance text, truncated jsonb) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  WITH RECURSIVE held AS MATERIALIZED (
    SELECT s.property, s.since
      FROM clocktick.since_at(provenance_at.id, now_tick, now_properties, now_since, at_tick) s
     WHERE fields IS NULL OR fields ? s.property
  ), clock AS MATERIALIZED (
    SELECT t.tick, t.at, t.activity_id FROM clocktick.tick t
     WHERE t.entity_id = provenance_at.id AND t.tick = ANY (ARRAY(SELECT DISTINCT held.since FROM held))
  ), stored AS MATERIALIZED (
    SELECT a.id, coalesce(pg_column_size(a.metadata), 0) + coalesce(pg_column_size(a.reason), 0) AS size
      FROM clocktick.activity a
     WHERE a.id = ANY (ARRAY(SELECT DISTINCT clock.activity_id FROM clock WHERE clock.activity_id IS NOT NULL))
  ), named AS MATERIALIZED (
    SELECT row_number() OVER place AS n, held.property, held.since, began.at, began.activity_id,
           sum(coalesce(stored.size, 0)) OVER place / 32768 AS piece
      FROM held
      JOIN clock began ON began.tick = held.since
      LEFT JOIN stored ON stored.id = began.activity_id
    WINDOW place AS (ORDER BY octet_length(held.property), held.property)
  ), walk (piece, bytes, count, texts) AS (
    SELECT -1::bigint, 0::bigint, 0::bigint, NULL::text COLLATE "C"
    UNION ALL
    SELECT part.piece, walk.bytes + part.bytes, part.count, part.texts
      FROM walk
     CROSS JOIN LATERAL (
       WITH next AS MATERIALIZED (
         SELECT named.* FROM named WHERE named.piece = (SELECT min(later.piece) FROM named later WHERE later.piece > walk.piece)
       ), who AS MATERIALIZED (
         SELECT a.id, clocktick.activity_text(a.id, a.actor, a.reason, a.metadata) AS activity
           FROM clocktick.activity a
          WHERE a.id = ANY (ARRAY(SELECT DISTINCT next.activity_id FROM next WHERE next.activity_id IS NOT NULL))
       ), told AS MATERIALIZED (
         -- What stands between a name and an activity has fewer than 150 bytes.
         SELECT next.*, who.activity,
                sum(octet_length(to_json(next.property)::text) + 150 + coalesce(octet_length(who.activity), 0)) OVER (ORDER BY next.n) AS bytes
           FROM next LEFT JOIN who ON who.id = next.activity_id
       )
       SELECT max(told.piece) AS piece, max(told.bytes) AS bytes, count(*) FILTER (WHERE walk.bytes + told.bytes <= most) AS count,
              string_agg(
                to_json(told.property)::text || ': {"vclock": {"from": ' || told.since::text || ', "to": null}, "effective": {"from": "'
                || clocktick.instant_text(told.at) || '", "to": null}, "activity": ' || coalesce(told.activity, 'null') || '}',
                ', ' ORDER BY told.n) FILTER (WHERE walk.bytes + told.bytes <= most) AS texts
         FROM told
     ) part
     WHERE walk.piece < (SELECT max(named.piece) FROM named) AND walk.bytes <= most
  )
  SELECT '{' || coalesce(string_agg(walk.texts, ', ' ORDER BY walk.piece), '') || '}',
         (SELECT jsonb_agg(named.property ORDER BY named.n) FROM named WHERE named.n > (SELECT sum(shown.count) FROM walk shown))
    FROM walk
$$;

-- Types ------------------------------------------------------------------------------------------------------------------

-- The types that entities have, one after the other by the index of collections: a null row comes last.
CREATE OR REPLACE FUNCTION clocktick.types()
RETURNS TABLE (type text) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  WITH RECURSIVE kind (type) AS (
    (SELECT e.type FROM clocktick.entity e ORDER BY e.type LIMIT 1)
    UNION ALL
    SELECT (SELECT e.type FROM clocktick.entity e WHERE e.type > kind.type ORDER BY e.type LIMIT 1)
      FROM kind WHERE kind.type IS NOT NULL
  )
  SELECT kind.type FROM kind WHERE kind.type IS NOT NULL
$$;

-- The newest change of a type that a pin can show, and the newest import: one row, nulls where there is none.
CREATE OR REPLACE FUNCTION clocktick.newest_change(type text, as_of timestamptz, recorded_as_of timestamptz)
RETURNS TABLE (at timestamptz, imported_at timestamptz) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT changed.at, imported.at
    FROM (SELECT) one
    LEFT JOIN LATERAL (
      SELECT t.at FROM clocktick.tick t
       WHERE t.type = newest_change.type AND t.at <= as_of AND t.recorded_at <= recorded_as_of
       ORDER BY t.at DESC LIMIT 1
    ) changed ON true
    LEFT JOIN LATERAL (
      SELECT t.recorded_at AS at FROM clocktick.tick t
       WHERE t.type = newest_change.type AND t.recorded_at <> t.at AND t.at <= as_of AND t.recorded_at <= recorded_as_of
       ORDER BY t.recorded_at DESC LIMIT 1
    ) imported ON true
$$;

-- The entities of a type with ticks before an instant that were recorded after another: imported since, each as often as it has
-- such ticks. In order, so that the planner does not take the index of all ticks while there are few.
CREATE OR REPLACE FUNCTION clocktick.imported_since(type text, as_of timestamptz, recorded_as_of timestamptz)
RETURNS TABLE (entity_id uuid) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT t.entity_id FROM clocktick.tick t
   WHERE t.type = imported_since.type AND t.recorded_at <> t.at
     AND t.recorded_at > imported_since.recorded_as_of AND t.at <= imported_since.as_of
   ORDER BY t.recorded_at
$$;

-- Filters ----------------------------------------------------------------------------------------------------------------

-- One row where a value (null: not set) passes a predicate, none otherwise. Strings compare by their bytes: inside jsonb they
-- would compare by the database's locale.
CREATE OR REPLACE FUNCTION clocktick.passing(value jsonb, operator text, operand jsonb)
RETURNS TABLE (passing boolean) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT true WHERE CASE operator
    WHEN 'eq' THEN value = operand
    WHEN 'ne' THEN jsonb_typeof(value) = jsonb_typeof(operand) AND value <> operand
    WHEN 'in' THEN EXISTS (SELECT FROM jsonb_array_elements(operand) o WHERE o.value = passing.value)
    WHEN 'has' THEN EXISTS (
      SELECT FROM jsonb_array_elements(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]' END) o WHERE o.value = operand)
    WHEN 'hasKey' THEN jsonb_typeof(value) = 'object' AND value ? (operand #>> '{}')
    WHEN 'exists' THEN (value IS NOT NULL) = operand::boolean
    ELSE jsonb_typeof(value) = jsonb_typeof(operand) AND CASE
      WHEN jsonb_typeof(value) = 'number' THEN CASE operator
        WHEN 'lt' THEN value < operand WHEN 'lte' THEN value <= operand
        WHEN 'gt' THEN value > operand ELSE value >= operand END
      ELSE CASE operator
        WHEN 'lt' THEN (value #>> '{}') COLLATE "C" < (operand #>> '{}')
        WHEN 'lte' THEN (value #>> '{}') COLLATE "C" <= (operand #>> '{}')
        WHEN 'gt' THEN (value #>> '{}') COLLATE "C" > (operand #>> '{}')
        ELSE (value #>> '{}') COLLATE "C" >= (operand #>> '{}') END
    END
  END
$$;

-- By which keys an index finds what passes a predicate: of `eq` and `in` one a value, of `has` and `hasKey` two an item (the item
-- itself, and that of values with too many items to keep each), of others none.
CREATE OR REPLACE FUNCTION clocktick.search_keys(type text, property text, operator text, operand jsonb)
RETURNS TABLE (value_key bigint, value jsonb, item_key bigint) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT clocktick.value_key(search_keys.type, search_keys.property, o.value), o.value, NULL::bigint
    FROM (SELECT DISTINCT o.value
            FROM jsonb_array_elements(CASE operator WHEN 'eq' THEN jsonb_build_array(operand) WHEN 'in' THEN operand ELSE '[]' END) o) o
  UNION ALL
  SELECT NULL, NULL, item.key
    FROM unnest(CASE operator
           WHEN 'has' THEN ARRAY[clocktick.element_key(type, property, operand), clocktick.many_key(type, property)]
           WHEN 'hasKey' THEN ARRAY[clocktick.name_key(type, property, operand #>> '{}'), clocktick.many_key(type, property)]
         END) item (key)
$$;

-- Which entities of a type held what a key looks for at any time of [from_at, until_at], since which tick, and while which. A value
-- that has ended is compared here. One that an entity has still is only found (both are null then), as items are, and the query looks
-- at the entity. (`=` of the property could go by other indexes, and did while the tables were small: through all that was ever held of it.)
CREATE OR REPLACE FUNCTION clocktick.holders(
  type text, property text, value_key bigint, value jsonb, item_key bigint, from_at timestamptz, until_at timestamptz
) RETURNS TABLE (entity_id uuid, since integer, held int4range) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT v.entity_id, NULL::integer, NULL::int4range
    FROM clocktick.open_value v
   WHERE v.value_key = holders.value_key AND v.since <= holders.until_at
  UNION ALL
  SELECT h.entity_id, lower(h.vclock), h.vclock
    FROM clocktick.property_history h
   WHERE clocktick.value_key(h.type, h.property, coalesce(h.short_value, h.long_value)) = holders.value_key
     AND h.effective && tstzrange(holders.from_at, holders.until_at, '[]')
     AND coalesce(h.short_value, h.long_value) = holders.value AND h.property IS NOT DISTINCT FROM holders.property AND h.type = holders.type
  UNION ALL
  SELECT i.entity_id, lower(i.vclock), i.vclock
    FROM clocktick.item_history i
   WHERE upper_inf(i.vclock) AND i.item = holders.item_key AND lower(i.effective) <= holders.until_at
  UNION ALL
  SELECT i.entity_id, lower(i.vclock), i.vclock
    FROM clocktick.item_history i
   WHERE NOT upper_inf(i.vclock) AND i.item = holders.item_key
     AND i.effective && tstzrange(holders.from_at, holders.until_at, '[]')
$$;
