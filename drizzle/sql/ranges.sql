-- Ranges: what no two of them may do, how they are read, and how they are found by value.

-- Compares bigint with `=` inside a GiST index. A trusted extension: the owner of the database may create it,
-- and in our own schema it needs no right on any other.
CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA clocktick;

-- "Can't live in two places at the same time." The textbook has an exclusion constraint for it, which over all ranges makes the
-- creation of an entity of ten properties two to three times as dear (`npm run bench:guards` measures it), and over the closed ones
-- alone a change by a third, for a GiST of a hundred bytes a range. It would refuse nothing, because there is no other way to
-- a closed range than this:
--   a range opens at the entity's current tick (guards.sql, range_opens_now);
--   it is the only open one of its property (property_history_one_open_range, a unique index of src/storage/schema.ts);
--   it is capped once, at the entity's current tick, and never changes again (range_is_capped_now, range_is_capped_once);
--   the tick only grows (entity_steps_by_one).
-- So each range ends before the next of its property begins.

-- For whoever reads ranges by hand: a query uses a partial index only if it says the index's predicate.
CREATE OR REPLACE VIEW clocktick.property_range AS
  SELECT entity_id, type, property, vclock, value, effective FROM clocktick.property_history WHERE upper_inf(vclock)
  UNION ALL
  SELECT entity_id, type, property, vclock, value, effective FROM clocktick.property_history WHERE NOT upper_inf(vclock);

-- Who holds a value, or held it at an instant. Those that hold it still are found in order of when that began; those that no
-- longer do by asking which ranges contain the instant, which no btree can answer without reading all that came before or after.
CREATE INDEX IF NOT EXISTS property_history_open_values ON clocktick.property_history
  (clocktick.value_key(type, property, value), lower(effective)) WHERE upper_inf(vclock);
CREATE INDEX IF NOT EXISTS property_history_closed_values ON clocktick.property_history
  USING gist (clocktick.value_key(type, property, value), effective) WHERE NOT upper_inf(vclock);

-- One entity may have 20,000 ticks while thousands have two. Told the average, the planner takes all rows of an entity for a
-- handful, reads them all and filters: a page of history then takes twenty times as long. This tells it otherwise from the next
-- ANALYZE on, which autovacuum does.
ALTER TABLE clocktick.tick ALTER COLUMN entity_id SET (n_distinct = 100);
ALTER TABLE clocktick.property_history ALTER COLUMN entity_id SET (n_distinct = 100);
