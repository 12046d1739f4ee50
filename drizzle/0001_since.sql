ALTER TABLE "clocktick"."entity" ADD COLUMN "since" jsonb DEFAULT '{}' NOT NULL;--> statement-breakpoint
-- Whoever has this column reads the past by it, so it must be true of what is there. (The guards know no change without a tick; they are
-- put in force again with drizzle/sql, in the same transaction.)
ALTER TABLE clocktick.entity DISABLE TRIGGER USER;--> statement-breakpoint
UPDATE clocktick.entity e SET since = open.since
  FROM (SELECT h.entity_id, jsonb_object_agg(h.property, lower(h.vclock)) AS since
          FROM clocktick.property_history h
         WHERE upper_inf(h.vclock) AND lower(h.vclock) > 1 GROUP BY h.entity_id) open
 WHERE e.id = open.entity_id;
