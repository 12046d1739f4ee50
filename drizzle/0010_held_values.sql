-- Values can be looked for: ranges know their instants, and the items of arrays and objects have ranges of their own.

-- Read ranges through this view: a query uses a partial index only if it says the index's predicate.
CREATE OR REPLACE VIEW clocktick.property_range AS
  SELECT entity_id, type, property, vclock, value, effective FROM clocktick.property_history WHERE upper_inf(vclock)
  UNION ALL
  SELECT entity_id, type, property, vclock, value, effective FROM clocktick.property_history WHERE NOT upper_inf(vclock);
--> statement-breakpoint

-- The guards of 0002, which now also hold the instants of a range: they are those of its ticks.
DROP TRIGGER range_is_capped_once ON clocktick.property_history;
--> statement-breakpoint
CREATE TRIGGER range_is_capped_once BEFORE UPDATE ON clocktick.property_history
  FOR EACH ROW WHEN (NOT upper_inf(old.vclock) OR upper_inf(new.vclock) OR lower(new.vclock) <> lower(old.vclock)
                     OR lower(new.effective) IS DISTINCT FROM lower(old.effective))
  EXECUTE FUNCTION clocktick.refuse('only an open range can be capped, and nothing else of it changes');
--> statement-breakpoint
CREATE OR REPLACE FUNCTION clocktick.range_opens_now() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
  SELECT n.entity_id, n.property, n.vclock INTO wrong FROM new_rows n
   WHERE NOT upper_inf(n.vclock)
      OR (SELECT e.tick = lower(n.vclock) AND e.type = n.type AND e.properties -> n.property = n.value
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
--> statement-breakpoint
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
--> statement-breakpoint

-- What an array or an object is found by: its elements or its names, by a hash of 64 bits over type, property and item; of any
-- other value nothing. A value with more than a hundred of them is found by being such a value, whatever it holds: an entity may
-- have 1,000 properties, and what it takes to write their items holds back what can be read as of now. `keysOf` of src/storage/filters.ts
-- says the same of what is looked for. (0 is mixed into the hash of a whole value, 1 of an element, 2 of a name; 3 is that of many.) A set, so that it is inlined: as an array it took 20 µs a call.
CREATE FUNCTION clocktick.items_of(type text, property text, value jsonb) RETURNS SETOF bigint
LANGUAGE sql IMMUTABLE ROWS 5 AS $$
  SELECT hashtextextended(property, hashtextextended(type, i.item))
    FROM (SELECT jsonb_hash_extended(e.value, 1)
            FROM jsonb_array_elements(CASE WHEN jsonb_typeof(value) = 'array' AND jsonb_array_length(value) <= 100 THEN value ELSE '[]' END) e
          UNION ALL
          SELECT hashtextextended(k.name, 2)
            FROM jsonb_object_keys(CASE WHEN jsonb_typeof(value) = 'object' AND (SELECT count(*) FROM jsonb_object_keys(value)) <= 100 THEN value ELSE '{}' END) k (name)
          UNION ALL
          SELECT 3 WHERE CASE jsonb_typeof(value) WHEN 'array' THEN jsonb_array_length(value) > 100
                              WHEN 'object' THEN (SELECT count(*) FROM jsonb_object_keys(value)) > 100 END) i (item)
$$;
--> statement-breakpoint

-- What is recorded already: an item is there for as long as ranges of values that hold it touch, in ticks as in instants.
INSERT INTO clocktick.item_history (entity_id, item, vclock, effective)
SELECT h.entity_id, i.item, unnest(range_agg(h.vclock)), unnest(range_agg(h.effective))
  FROM clocktick.property_history h CROSS JOIN LATERAL clocktick.items_of(h.type, h.property, h.value) i (item)
 WHERE jsonb_typeof(h.value) IN ('array', 'object')
 GROUP BY h.entity_id, i.item;
--> statement-breakpoint

-- Items are kept by the database from the ranges of values, so that nobody who writes can forget them. Where no value is an
-- array or an object that costs a look at what was written.
CREATE FUNCTION clocktick.open_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM new_rows n WHERE jsonb_typeof(n.value) IN ('array', 'object')) THEN
    INSERT INTO clocktick.item_history (entity_id, item, vclock, effective)
    SELECT DISTINCT n.entity_id, i.item, n.vclock, n.effective
      FROM new_rows n CROSS JOIN LATERAL clocktick.items_of(n.type, n.property, n.value) i (item)
     WHERE jsonb_typeof(n.value) IN ('array', 'object')
       -- By a scalar, because for NOT EXISTS the planner read all open items of all entities into a hash (70 ms among 125,000).
       AND CASE WHEN lower(n.vclock) > 1 THEN (
             SELECT h.item FROM clocktick.item_history h
              WHERE h.entity_id = n.entity_id AND h.item = i.item AND upper_inf(h.vclock) LIMIT 1) END IS NULL;
  END IF;
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER range_opens_items AFTER INSERT ON clocktick.property_history REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.open_items();
--> statement-breakpoint
CREATE FUNCTION clocktick.cap_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM new_rows n WHERE jsonb_typeof(n.value) IN ('array', 'object')) THEN
    -- Each is found by item and entity before it is joined: told to join, the planner read all items of the entity for each one
    -- that was gone while the table was not analyzed yet, and a write of four times a thousand took 15 s.
    UPDATE clocktick.item_history h
       SET vclock = int4range(lower(h.vclock), gone.tick), effective = tstzrange(lower(h.effective), gone.at)
      FROM (SELECT upper(n.vclock) AS tick, upper(n.effective) AS at,
                   (SELECT o.ctid FROM clocktick.item_history o
                     WHERE o.item = i.item AND o.entity_id = n.entity_id AND upper_inf(o.vclock) LIMIT 1) AS place
              FROM new_rows n
             CROSS JOIN LATERAL (
               SELECT i.item FROM clocktick.items_of(n.type, n.property, n.value) i (item)
               EXCEPT
               SELECT i.item FROM clocktick.property_history v CROSS JOIN LATERAL clocktick.items_of(v.type, v.property, v.value) i (item)
                WHERE v.entity_id = n.entity_id AND v.property = n.property AND upper_inf(v.vclock)
             ) i
             WHERE jsonb_typeof(n.value) IN ('array', 'object')
            OFFSET 0) gone
     WHERE h.ctid = gone.place;
  END IF;
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER range_caps_items AFTER UPDATE ON clocktick.property_history REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.cap_items();
--> statement-breakpoint
CREATE TRIGGER items_follow_values BEFORE INSERT OR UPDATE OR DELETE ON clocktick.item_history
  FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION clocktick.refuse('items follow the values that hold them');
--> statement-breakpoint
CREATE TRIGGER items_are_kept BEFORE TRUNCATE ON clocktick.item_history
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('items follow the values that hold them');
--> statement-breakpoint
ALTER TABLE clocktick.property_history
  ENABLE ALWAYS TRIGGER range_is_capped_once, ENABLE ALWAYS TRIGGER range_opens_items, ENABLE ALWAYS TRIGGER range_caps_items;
--> statement-breakpoint
ALTER TABLE clocktick.item_history ENABLE ALWAYS TRIGGER items_follow_values, ENABLE ALWAYS TRIGGER items_are_kept;
--> statement-breakpoint

-- The one write path, in place of that of 0008: a range has the instants of its ticks. What the arguments are is said in 0006.
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
         SET vclock = int4range(lower(h.vclock), c.expected + 1), effective = tstzrange(lower(h.effective), c.stamp)
        FROM change c
       CROSS JOIN LATERAL (
         SELECT jsonb_object_keys(c.set) UNION ALL SELECT jsonb_array_elements_text(c.clear)
       ) touched (property)
       WHERE c.expected > 0
         AND h.entity_id = c.id AND h.property = touched.property AND upper_inf(h.vclock)
      RETURNING 1
    ), opened AS (
      -- Counting the caps makes them happen first: a property has one open range at a time.
      INSERT INTO clocktick.property_history (entity_id, type, property, vclock, value, effective)
      SELECT c.id, c.type, s.key, int4range(c.expected + 1, null), s.value, tstzrange(c.stamp, null)
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
