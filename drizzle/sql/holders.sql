-- Holders: who has which value, and which item of a value: an element of an array, or a name of an object. Those that hold one still
-- are found by their rows here; values that have ended are found by their ranges (property_history_values).
--
-- The database keeps these rows from what is written, so that nobody who writes can forget them.

-- Which entities had an item at an instant. (Its twin of open ranges stands in src/storage/schema.ts; this one needs the
-- extension of ranges.sql, which comes after the tables.)
CREATE INDEX IF NOT EXISTS item_history_closed_items ON clocktick.item_history
  USING gist (item, effective) WHERE NOT upper_inf(vclock);

-- The keys of the items of a value; of a value that is neither array nor object none. A value with more than a hundred items has
-- one key for all of them, and is looked at itself: an entity may have 1,000 properties, and the time it takes to write their
-- items holds back what can be read as of now. A set, so that the planner inlines it; as an array it would be a call for each.
CREATE OR REPLACE FUNCTION clocktick.items_of(type text, property text, value jsonb) RETURNS SETOF bigint
LANGUAGE sql IMMUTABLE ROWS 5 AS $$
  SELECT clocktick.element_key(type, property, e.value)
    FROM jsonb_array_elements(CASE WHEN jsonb_typeof(value) = 'array' AND jsonb_array_length(value) <= 100 THEN value ELSE '[]' END) e
  UNION ALL
  SELECT clocktick.name_key(type, property, k.name)
    FROM jsonb_object_keys(CASE WHEN jsonb_typeof(value) = 'object' AND (SELECT count(*) FROM jsonb_object_keys(value)) <= 100 THEN value ELSE '{}' END) k (name)
  UNION ALL
  SELECT clocktick.many_key(type, property)
   WHERE CASE jsonb_typeof(value) WHEN 'array' THEN jsonb_array_length(value) > 100
              WHEN 'object' THEN (SELECT count(*) FROM jsonb_object_keys(value)) > 100 END
$$;

-- A value opens when the entity says that it has it since now: all that a new entity has, and what a change has set. An item that is
-- there already goes on. Each name is new here, too, once, and refused if it is none (MAX_NAME_LENGTH of src/temporal/limits.ts).
CREATE OR REPLACE FUNCTION clocktick.open_holders() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wrong text;
  has_items boolean;
BEGIN
  IF NOT EXISTS (SELECT FROM new_rows n) THEN
    RETURN NULL;
  END IF;

  WITH opened AS MATERIALIZED (
    SELECT n.id, n.type, n.updated_at, p.key AS property, p.value
      FROM (SELECT n.*, n.since || '{}' AS since_when FROM new_rows n WHERE n.tick = 1 OR n.since <> '{}' OFFSET 0) n
     CROSS JOIN LATERAL jsonb_each(n.properties) p
     WHERE n.tick = 1 OR n.since_when -> p.key = to_jsonb(n.tick)
  ), held AS (
    INSERT INTO clocktick.open_value (value_key, entity_id, since)
    SELECT clocktick.value_key(o.type, o.property, o.value), o.id, o.updated_at FROM opened o
  )
  SELECT bool_or(jsonb_typeof(o.value) IN ('array', 'object')),
         min(o.property) FILTER (WHERE char_length(o.property) NOT BETWEEN 1 AND 256 OR o.property IN ('.', '..'))
    INTO has_items, wrong
    FROM opened o;
  IF wrong IS NOT NULL THEN
    PERFORM clocktick.raise_refusal(format('%I is no name of a property', left(wrong, 256)), tg_table_name, tg_name);
  END IF;

  IF has_items THEN
    INSERT INTO clocktick.item_history (entity_id, item, vclock, effective)
    SELECT DISTINCT n.id, i.item, int4range(n.tick, NULL), tstzrange(n.updated_at, NULL)
      FROM (SELECT n.*, n.since || '{}' AS since_when FROM new_rows n OFFSET 0) n
     CROSS JOIN LATERAL jsonb_each(n.properties) p
     CROSS JOIN LATERAL clocktick.items_of(n.type, p.key, p.value) i (item)
     WHERE (n.tick = 1 OR n.since_when -> p.key = to_jsonb(n.tick)) AND jsonb_typeof(p.value) IN ('array', 'object')
       -- By a scalar, because for NOT EXISTS the planner read all open items of all entities into a hash.
       AND CASE WHEN n.tick > 1 THEN (
             SELECT h.item FROM clocktick.item_history h
              WHERE h.entity_id = n.id AND h.item = i.item AND upper_inf(h.vclock) LIMIT 1) END IS NULL;
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER entity_opens_holders AFTER INSERT ON clocktick.entity REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.open_holders();
CREATE OR REPLACE TRIGGER entity_change_opens_holders AFTER UPDATE ON clocktick.entity REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.open_holders();

-- A range that is recorded ends the row of its value, and the rows of its items, but for those that the new value of the property
-- holds, too. A range without such a row is none of the entity's (invariant 2): nobody had that value since then until now.
--
-- Two properties may have one key: each ends a row of its own.
CREATE OR REPLACE FUNCTION clocktick.end_holders() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on AS $$
DECLARE missing bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM new_rows n) THEN
    RETURN NULL;
  END IF;

  WITH gone AS (
    DELETE FROM clocktick.open_value v
     USING (SELECT (SELECT o.ctid FROM clocktick.open_value o
                     WHERE o.value_key = n.value_key AND o.entity_id = n.entity_id AND o.since = n.since
                     ORDER BY o.ctid OFFSET n.twins LIMIT 1) AS place
              FROM (SELECT k.*, row_number() OVER (PARTITION BY k.value_key, k.entity_id, k.since) - 1 AS twins
                      FROM (SELECT clocktick.value_key(n.type, n.property, coalesce(n.short_value, n.long_value)), n.entity_id, lower(n.effective) AS since
                              FROM new_rows n) k) n
            OFFSET 0) ended
     WHERE v.ctid = ended.place
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM new_rows) - (SELECT count(*) FROM gone) INTO missing;
  IF missing <> 0 THEN
    PERFORM clocktick.raise_refusal(format('%s ranges end what no entity had', missing), tg_table_name, tg_name);
  END IF;

  IF EXISTS (SELECT FROM new_rows n WHERE jsonb_typeof(coalesce(n.short_value, n.long_value)) IN ('array', 'object')) THEN
    -- Each is found by item and entity before it is joined: told to join, the planner read all items of the entity for each one
    -- that was gone while the table was not analyzed yet.
    WITH ended AS MATERIALIZED (
      SELECT n.entity_id, n.type, n.property, coalesce(n.short_value, n.long_value) AS value, upper(n.vclock) AS tick, upper(n.effective) AS at
        FROM new_rows n WHERE jsonb_typeof(coalesce(n.short_value, n.long_value)) IN ('array', 'object')
    ), now AS MATERIALIZED (
      SELECT e.id, p.key AS property, p.value
        FROM clocktick.entity e CROSS JOIN LATERAL jsonb_each(e.properties) p
       WHERE e.id = ANY (ARRAY(SELECT DISTINCT n.entity_id FROM ended n))
    )
    UPDATE clocktick.item_history h
       SET vclock = int4range(lower(h.vclock), gone.tick), effective = tstzrange(lower(h.effective), gone.at)
      FROM (SELECT n.tick, n.at,
                   (SELECT o.ctid FROM clocktick.item_history o
                     WHERE o.item = i.item AND o.entity_id = n.entity_id AND upper_inf(o.vclock) LIMIT 1) AS place
              FROM ended n LEFT JOIN now ON now.id = n.entity_id AND now.property = n.property
             CROSS JOIN LATERAL (
               SELECT i.item FROM clocktick.items_of(n.type, n.property, n.value) i (item)
               EXCEPT
               SELECT i.item FROM clocktick.items_of(n.type, n.property, now.value) i (item)
             ) i
            OFFSET 0) gone
     WHERE h.ctid = gone.place;
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER range_ends_holders AFTER INSERT ON clocktick.property_history REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.end_holders();

-- Only the triggers above write holders, as the owner (guards.sql: only the owner writes): of anybody else it would say nothing that a statement
-- comes from a trigger, who may have one on a table of his own. Of the owner it keeps a slip of the hand in psql from these tables. What an
-- owner does on purpose `clocktick verify` finds.
CREATE OR REPLACE TRIGGER items_follow_values BEFORE INSERT OR UPDATE OR DELETE ON clocktick.item_history
  FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0 OR NOT has_table_privilege('clocktick.item_history'::regclass, 'TRIGGER'))
  EXECUTE FUNCTION clocktick.refuse('items follow the values that hold them');
CREATE OR REPLACE TRIGGER items_are_kept BEFORE TRUNCATE ON clocktick.item_history
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('items follow the values that hold them');
CREATE OR REPLACE TRIGGER open_values_follow_entities BEFORE INSERT OR UPDATE OR DELETE ON clocktick.open_value
  FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0 OR NOT has_table_privilege('clocktick.open_value'::regclass, 'TRIGGER'))
  EXECUTE FUNCTION clocktick.refuse('open values follow the entities that have them');
CREATE OR REPLACE TRIGGER open_values_are_kept BEFORE TRUNCATE ON clocktick.open_value
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('open values follow the entities that have them');

ALTER TABLE clocktick.entity
  ENABLE ALWAYS TRIGGER entity_opens_holders,
  ENABLE ALWAYS TRIGGER entity_change_opens_holders;
ALTER TABLE clocktick.property_history
  ENABLE ALWAYS TRIGGER range_ends_holders;
ALTER TABLE clocktick.item_history
  ENABLE ALWAYS TRIGGER items_follow_values,
  ENABLE ALWAYS TRIGGER items_are_kept;
ALTER TABLE clocktick.open_value
  ENABLE ALWAYS TRIGGER open_values_follow_entities,
  ENABLE ALWAYS TRIGGER open_values_are_kept;
