CREATE TABLE "clocktick"."import_seen" (
	"source" text COLLATE "C" NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"entity_id" uuid NOT NULL,
	CONSTRAINT "import_seen_pkey" PRIMARY KEY("source","type","entity_id")
);
--> statement-breakpoint
ALTER TABLE "clocktick"."import" ADD COLUMN "deleted" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "clocktick"."import" ADD COLUMN "unfinished_since" timestamp(6) with time zone;--> statement-breakpoint
ALTER TABLE "clocktick"."import" ADD COLUMN "left_out" bigint DEFAULT 0 NOT NULL;