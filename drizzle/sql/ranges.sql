-- Ranges: what no two of them may do, how they are read, and how they are found by value.

-- Compares bigint with `=` inside a GiST index. A trusted extension: the owner of the database may create it,
-- and in our own schema it needs no right on any other.
CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA clocktick;

-- "Can't live in two places at the same time." The textbook has an exclusion constraint for it, over open and closed ranges alike,
-- which makes the creation of an entity of ten properties up to twice as dear, and over the closed ones alone a change by a quarter,
-- for a GiST of a hundred bytes a range (src/guide/figures.md). It would refuse nothing:
--   what a property is now, it is once, because it is a member of the entity's row, which says since which tick;
--   a range is recorded when that ends, at the entity's current tick, from the tick on since which the row said (guards.sql, holders.sql);
--   it never changes again (range_is_kept), and the tick only grows (entity_steps_by_one).
-- So each range ends before the next of its property begins.

-- For whoever reads ranges by hand: those that have ended, and those that are open, which stand in the rows of the entities.
CREATE OR REPLACE VIEW clocktick.property_range AS
  SELECT e.id AS entity_id, e.type, p.key COLLATE "C" AS property, int4range(began.tick, NULL) AS vclock, p.value,
         tstzrange((SELECT t.at FROM clocktick.tick t WHERE t.entity_id = e.id AND t.tick = began.tick), NULL) AS effective
    FROM clocktick.entity e CROSS JOIN LATERAL jsonb_each(e.properties) p
   CROSS JOIN LATERAL (SELECT coalesce((e.since ->> p.key)::int4, 1) AS tick) began
  UNION ALL
  SELECT h.entity_id, h.type, h.property, h.vclock, coalesce(h.short_value, h.long_value), h.effective FROM clocktick.property_history h;

-- Where the ranges of an entity lie together, of each property in order: a past state of an entity is read from here alone, unless a
-- value is long. (Ranges compare by their lower bounds first, so those that begin by tick 5 are `vclock <= '[5,)'`.)
CREATE INDEX IF NOT EXISTS property_history_ranges ON clocktick.property_history (entity_id, property, vclock) INCLUDE (short_value);

-- An index answers alone only for pages that a vacuum has seen. Those of this table never change again, so each is looked at once.
ALTER TABLE clocktick.property_history SET (autovacuum_vacuum_insert_scale_factor = 0.05);

-- Who held a value at an instant and no longer does: by asking which ranges contain the instant, which no btree can answer without
-- reading all that came before or after. (Those that still hold it are found by clocktick.open_value.)
CREATE INDEX IF NOT EXISTS property_history_values ON clocktick.property_history
  USING gist (clocktick.value_key(type, property, coalesce(short_value, long_value)), effective);

-- One entity may have 20,000 ticks while thousands have two. Told the average, the planner takes all rows of an entity for a
-- handful, reads them all and filters: a page of history then takes twenty times as long. This tells it otherwise from the next
-- ANALYZE on, which autovacuum does.
ALTER TABLE clocktick.tick ALTER COLUMN entity_id SET (n_distinct = 100);
ALTER TABLE clocktick.property_history ALTER COLUMN entity_id SET (n_distinct = 100);
