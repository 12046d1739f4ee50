DROP INDEX "clocktick"."property_history_closed_ranges";--> statement-breakpoint
CREATE INDEX "property_history_closed_ranges" ON "clocktick"."property_history" USING btree ("entity_id","property",lower("vclock"),upper("vclock")) WHERE not upper_inf("clocktick"."property_history"."vclock");--> statement-breakpoint
-- No database needs it: drizzle/sql/ranges.sql says why. A new one never had it.
ALTER TABLE clocktick.property_history DROP CONSTRAINT IF EXISTS property_history_no_overlap;
