CREATE TABLE "clocktick"."open_value" (
	"value_key" bigint NOT NULL,
	"entity_id" uuid NOT NULL,
	"since" timestamp(6) with time zone NOT NULL
);
--> statement-breakpoint
-- What is open stands in the rows of the entities from now on: only what has ended stays, put in anew, because an index would be made of
-- rows that are gone, too. (The guards know no change without a tick; they are put in force again with drizzle/sql, in the same
-- transaction, which makes the indexes anew. A new database has none of those that are dropped here.)
ALTER TABLE clocktick.property_history DISABLE TRIGGER USER;--> statement-breakpoint
INSERT INTO clocktick.open_value (value_key, entity_id, since)
  SELECT hashtextextended(h.property, hashtextextended(h.type, jsonb_hash_extended(h.value, 0))), h.entity_id, lower(h.effective)
    FROM clocktick.property_history h WHERE upper_inf(h.vclock);--> statement-breakpoint
CREATE TABLE clocktick.ended AS SELECT h.* FROM clocktick.property_history h WHERE NOT upper_inf(h.vclock);--> statement-breakpoint
TRUNCATE clocktick.property_history;--> statement-breakpoint
DROP INDEX IF EXISTS clocktick.property_history_open_values, clocktick.property_history_closed_values;--> statement-breakpoint
ALTER TABLE "clocktick"."property_history" DROP CONSTRAINT "property_history_name_is_sound";--> statement-breakpoint
ALTER TABLE "clocktick"."property_history" DROP CONSTRAINT "property_history_range_is_sound";--> statement-breakpoint
DROP INDEX "clocktick"."property_history_one_open_range";--> statement-breakpoint
DROP INDEX "clocktick"."property_history_closed_ranges";--> statement-breakpoint
-- Under its old name an older service would still read it, and take what it does not find for what was not.
ALTER TABLE "clocktick"."property_history" RENAME COLUMN "value" TO "short_value";--> statement-breakpoint
ALTER TABLE "clocktick"."property_history" ALTER COLUMN "short_value" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "clocktick"."property_history" ADD COLUMN "long_value" jsonb;--> statement-breakpoint
-- Put together anew, a value is measured as it is, not as it was compressed.
INSERT INTO clocktick.property_history (entity_id, type, property, vclock, short_value, effective, long_value)
  SELECT h.entity_id, h.type, h.property, h.vclock, CASE WHEN size.is_short THEN h.value END, h.effective, CASE WHEN NOT size.is_short THEN h.value END
    FROM clocktick.ended h CROSS JOIN LATERAL (
      SELECT pg_column_size(CASE jsonb_typeof(h.value) WHEN 'object' THEN h.value || '{}' WHEN 'array' THEN h.value || '[]'
                                                       ELSE jsonb_build_array(h.value) END) <= 64 AS is_short) size;--> statement-breakpoint
DROP TABLE clocktick.ended;--> statement-breakpoint
CREATE INDEX "open_value_holders" ON "clocktick"."open_value" USING btree ("value_key","entity_id","since");--> statement-breakpoint
ALTER TABLE "clocktick"."property_history" ADD CONSTRAINT "property_history_value_is_one" CHECK (num_nonnulls("clocktick"."property_history"."short_value", "clocktick"."property_history"."long_value") = 1);--> statement-breakpoint
ALTER TABLE "clocktick"."property_history" ADD CONSTRAINT "property_history_value_is_short" CHECK (pg_column_size("clocktick"."property_history"."short_value") <= 67);--> statement-breakpoint
ALTER TABLE "clocktick"."property_history" ADD CONSTRAINT "property_history_range_is_sound" CHECK (coalesce(lower("clocktick"."property_history"."vclock") >= 1 and not upper_inf("clocktick"."property_history"."vclock"), false));--> statement-breakpoint
-- Of two indexes that seem to cost the same, the planner takes the younger one. To a table that was analyzed while it had no rows all seem
-- to, so the keys must be the youngest: the index of collections was gone through for the row of one id, for as long as the plan was kept.
-- Where somebody has made something of a key (a foreign key, say), it stays as it is: slower then, but right.
DO $$ BEGIN
  ALTER TABLE clocktick.entity DROP CONSTRAINT entity_pkey, ADD CONSTRAINT entity_pkey PRIMARY KEY (id);
EXCEPTION WHEN dependent_objects_still_exist THEN RAISE NOTICE 'clocktick.entity_pkey stays: something depends on it';
END $$;--> statement-breakpoint
DO $$ BEGIN
  ALTER TABLE clocktick.tick DROP CONSTRAINT tick_pkey, ADD CONSTRAINT tick_pkey PRIMARY KEY (entity_id, tick);
EXCEPTION WHEN dependent_objects_still_exist THEN RAISE NOTICE 'clocktick.tick_pkey stays: something depends on it';
END $$;--> statement-breakpoint
-- A new database must not be analyzed while it is empty.
DO $$ BEGIN
  IF EXISTS (SELECT FROM clocktick.entity) THEN
    ANALYZE clocktick.entity, clocktick.tick, clocktick.property_history, clocktick.open_value;
  END IF;
END $$;
