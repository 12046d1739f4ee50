-- Ranges: what no two of them may do, how they are read, and how they are found by value.

-- Compares uuid, text and bigint with `=` inside a GiST index. A trusted extension: the owner of the database may create it,
-- and in our own schema it needs no right on any other.
CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA clocktick;

-- "Can't live in two places at the same time." One constraint over all ranges, open ones too, makes the creation of an entity
-- of ten properties two to three times as dear (`npm run bench:guards` measures it). Split in three it guards the same:
--   open against open      property_history_one_open_range, a partial unique index (src/storage/schema.ts)
--   closed against closed  this constraint
--   open against closed    guards.sql: an open range starts, and a cap ends, at the entity's current tick, which is past
--                          every closed range
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_constraint c
                  WHERE c.conrelid = 'clocktick.property_history'::regclass AND c.conname = 'property_history_no_overlap') THEN
    ALTER TABLE clocktick.property_history
      ADD CONSTRAINT property_history_no_overlap
      EXCLUDE USING gist (entity_id WITH =, property WITH =, vclock WITH &&) WHERE (NOT upper_inf(vclock));
  END IF;
END
$$;

-- Read ranges through this view: a query uses a partial index only if it says the index's predicate.
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
