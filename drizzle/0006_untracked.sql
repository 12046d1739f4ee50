ALTER TABLE "clocktick"."entity" DROP CONSTRAINT "entity_size";--> statement-breakpoint
ALTER TABLE "clocktick"."entity" DROP CONSTRAINT "entity_tombstone_is_empty";--> statement-breakpoint
ALTER TABLE "clocktick"."entity" ADD COLUMN "untracked" jsonb;--> statement-breakpoint
ALTER TABLE "clocktick"."entity" ADD COLUMN "untracked_ticks" jsonb;--> statement-breakpoint
ALTER TABLE "clocktick"."entity" ADD CONSTRAINT "entity_untracked_since" CHECK (("clocktick"."entity"."untracked" is null) = ("clocktick"."entity"."untracked_ticks" is null));--> statement-breakpoint
ALTER TABLE "clocktick"."entity" ADD CONSTRAINT "entity_size" CHECK (pg_column_size("clocktick"."entity"."properties") + coalesce(pg_column_size("clocktick"."entity"."untracked"), 0) < 32768 or octet_length("clocktick"."entity"."properties"::text) + coalesce(octet_length("clocktick"."entity"."untracked"::text), 0) <= 8388608);--> statement-breakpoint
ALTER TABLE "clocktick"."entity" ADD CONSTRAINT "entity_tombstone_is_empty" CHECK (not "clocktick"."entity"."deleted" or "clocktick"."entity"."properties" = '{}' and coalesce("clocktick"."entity"."untracked", '{}') = '{}');