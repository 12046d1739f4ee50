CREATE TABLE "clocktick"."import" (
	"source" text COLLATE "C" PRIMARY KEY NOT NULL,
	"id" uuid NOT NULL,
	"mode" text COLLATE "C" NOT NULL,
	"status" text COLLATE "C" NOT NULL,
	"watermark" jsonb,
	"lines" bigint DEFAULT 0 NOT NULL,
	"changed" bigint DEFAULT 0 NOT NULL,
	"unchanged" bigint DEFAULT 0 NOT NULL,
	"skipped" bigint DEFAULT 0 NOT NULL,
	"ticks" bigint DEFAULT 0 NOT NULL,
	"started_at" timestamp(6) with time zone NOT NULL,
	"updated_at" timestamp(6) with time zone NOT NULL,
	CONSTRAINT "import_source_length" CHECK (char_length("clocktick"."import"."source") between 1 and 256),
	CONSTRAINT "import_status_is_known" CHECK ("clocktick"."import"."status" in ('running', 'done', 'failed'))
);
--> statement-breakpoint
ALTER TABLE "clocktick"."activity" ADD COLUMN "import_id" uuid;