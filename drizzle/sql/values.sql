-- Values: the keys that they are found by.
--
-- Names and values can be longer than what an index entry holds (2,704 bytes), so an index keeps a hash of 64 bits over type,
-- property and value. A key finds candidates; the query that looks for a value then compares the value itself.
--
-- Each kind of key mixes its own number in: 0 is for a whole value, 1 for an element of an array, 2 for a name of an object,
-- 3 for a value with too many items to keep each of them. So the value "a", an element "a" and a name "a" have different keys.
-- These numbers stand nowhere else.
--
-- The functions are plain SQL, neither STRICT nor with settings of their own: the planner puts their bodies in the place of
-- the calls, in a query as in the expression of an index, and finds the index whichever way a query says it.
--
-- An index is written in anybody's session, so what stands in its expression must mean the same in each, whatever the search_path. So the
-- bodies are no text but what RETURN makes of it here, once. They say only what PostgreSQL has: one that called another function of ours
-- would depend on it, and an upgrade could not drop that one. (`stored_as` is asked by the write function alone, which has a search_path.)
--
-- Indexes and items hold what these functions once said. Whoever changes a formula rebuilds them in the same migration.

-- A whole value: open_value, property_history_values.
CREATE OR REPLACE FUNCTION clocktick.value_key(type text, property text, value jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(property, hashtextextended(type, jsonb_hash_extended(value, 0)));

-- An element of a value that is an array: item_history.
CREATE OR REPLACE FUNCTION clocktick.element_key(type text, property text, element jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(property, hashtextextended(type, jsonb_hash_extended(element, 1)));

-- A name in a value that is an object: item_history.
CREATE OR REPLACE FUNCTION clocktick.name_key(type text, property text, name text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(property, hashtextextended(type, hashtextextended(name, 2)));

-- A value with more items than are kept one by one, whatever they are: item_history.
CREATE OR REPLACE FUNCTION clocktick.many_key(type text, property text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(property, hashtextextended(type, 3));

-- A value as property_history keeps it: a short one apart from a long one (SHORT_VALUE_BYTES of src/storage/schema.ts says how long), the other null.
CREATE OR REPLACE FUNCTION clocktick.stored_as(whole jsonb)
RETURNS TABLE (short_value jsonb, long_value jsonb) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN pg_column_size(whole) <= 64 THEN whole END, CASE WHEN pg_column_size(whole) > 64 THEN whole END
$$;
