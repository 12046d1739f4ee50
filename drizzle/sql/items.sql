-- Items: the elements of arrays and the names of objects, each with the ranges over which a value held it.

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

-- The database keeps items from the ranges of values, so that nobody who writes can forget them. Where no value is an array or an
-- object that costs a look at what was written.
CREATE OR REPLACE FUNCTION clocktick.open_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM new_rows n WHERE jsonb_typeof(n.value) IN ('array', 'object')) THEN
    INSERT INTO clocktick.item_history (entity_id, item, vclock, effective)
    SELECT DISTINCT n.entity_id, i.item, n.vclock, n.effective
      FROM new_rows n CROSS JOIN LATERAL clocktick.items_of(n.type, n.property, n.value) i (item)
     WHERE jsonb_typeof(n.value) IN ('array', 'object')
       -- By a scalar, because for NOT EXISTS the planner read all open items of all entities into a hash.
       AND CASE WHEN lower(n.vclock) > 1 THEN (
             SELECT h.item FROM clocktick.item_history h
              WHERE h.entity_id = n.entity_id AND h.item = i.item AND upper_inf(h.vclock) LIMIT 1) END IS NULL;
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER range_opens_items AFTER INSERT ON clocktick.property_history REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.open_items();

-- An item ends when its value ends and the new value of the property does not hold it.
CREATE OR REPLACE FUNCTION clocktick.cap_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM new_rows n WHERE jsonb_typeof(n.value) IN ('array', 'object')) THEN
    -- Each is found by item and entity before it is joined: told to join, the planner read all items of the entity for each one
    -- that was gone while the table was not analyzed yet.
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
CREATE OR REPLACE TRIGGER range_caps_items AFTER UPDATE ON clocktick.property_history REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.cap_items();

-- Only the triggers above write items.
CREATE OR REPLACE TRIGGER items_follow_values BEFORE INSERT OR UPDATE OR DELETE ON clocktick.item_history
  FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION clocktick.refuse('items follow the values that hold them');
CREATE OR REPLACE TRIGGER items_are_kept BEFORE TRUNCATE ON clocktick.item_history
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('items follow the values that hold them');

ALTER TABLE clocktick.property_history
  ENABLE ALWAYS TRIGGER range_opens_items,
  ENABLE ALWAYS TRIGGER range_caps_items;
ALTER TABLE clocktick.item_history
  ENABLE ALWAYS TRIGGER items_follow_values,
  ENABLE ALWAYS TRIGGER items_are_kept;
