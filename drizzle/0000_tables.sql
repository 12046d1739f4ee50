CREATE SCHEMA "clocktick";
--> statement-breakpoint
CREATE TABLE "clocktick"."activity" (
	"id" uuid PRIMARY KEY NOT NULL,
	"actor" text COLLATE "C",
	"reason" text COLLATE "C",
	"metadata" jsonb,
	"recorded_at" timestamp(6) with time zone NOT NULL,
	CONSTRAINT "activity_metadata_is_object" CHECK (jsonb_typeof("clocktick"."activity"."metadata") = 'object'),
	CONSTRAINT "activity_size" CHECK (pg_column_size("clocktick"."activity"."metadata") < 4096 or octet_length("clocktick"."activity"."metadata"::text) <= 1048576)
);
--> statement-breakpoint
CREATE TABLE "clocktick"."definition" (
	"file" text COLLATE "C" PRIMARY KEY NOT NULL,
	"hash" text COLLATE "C" NOT NULL,
	"version" integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE "clocktick"."entity" (
	"id" uuid PRIMARY KEY NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"key" text COLLATE "C",
	"tick" integer NOT NULL,
	"properties" jsonb NOT NULL,
	"deleted" boolean DEFAULT false NOT NULL,
	"created_at" timestamp(6) with time zone NOT NULL,
	"updated_at" timestamp(6) with time zone NOT NULL,
	"recorded_at" timestamp(6) with time zone,
	CONSTRAINT "entity_type_is_slug" CHECK ("clocktick"."entity"."type" ~ '^[a-z][a-z0-9_-]{0,62}$'),
	CONSTRAINT "entity_key_length" CHECK (char_length("clocktick"."entity"."key") between 1 and 512),
	CONSTRAINT "entity_properties_is_object" CHECK (jsonb_typeof("clocktick"."entity"."properties") = 'object'),
	CONSTRAINT "entity_size" CHECK (pg_column_size("clocktick"."entity"."properties") < 32768 or octet_length("clocktick"."entity"."properties"::text) <= 8388608),
	CONSTRAINT "entity_tombstone_is_empty" CHECK (not "clocktick"."entity"."deleted" or "clocktick"."entity"."properties" = '{}')
);
--> statement-breakpoint
CREATE TABLE "clocktick"."item_history" (
	"entity_id" uuid NOT NULL,
	"item" bigint NOT NULL,
	"vclock" "int4range" NOT NULL,
	"effective" "tstzrange" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "clocktick"."promise" (
	"is_only" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"at" timestamp(6) with time zone NOT NULL,
	CONSTRAINT "promise_is_one" CHECK ("clocktick"."promise"."is_only"),
	CONSTRAINT "promise_is_finite" CHECK (isfinite("clocktick"."promise"."at"))
);
--> statement-breakpoint
CREATE TABLE "clocktick"."property_history" (
	"entity_id" uuid NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"property" text COLLATE "C" NOT NULL,
	"vclock" "int4range" NOT NULL,
	"value" jsonb NOT NULL,
	"effective" "tstzrange" NOT NULL,
	CONSTRAINT "property_history_range_is_sound" CHECK (coalesce(lower("clocktick"."property_history"."vclock") >= 1, false)),
	CONSTRAINT "property_history_name_is_sound" CHECK (char_length("clocktick"."property_history"."property") >= 1 and char_length("clocktick"."property_history"."property") <= 256 and "clocktick"."property_history"."property" not in ('.', '..'))
);
--> statement-breakpoint
CREATE TABLE "clocktick"."tick" (
	"entity_id" uuid NOT NULL,
	"tick" integer NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"at" timestamp(6) with time zone NOT NULL,
	"recorded_at" timestamp(6) with time zone NOT NULL,
	"op" text COLLATE "C" NOT NULL,
	"activity_id" uuid,
	CONSTRAINT "tick_pkey" PRIMARY KEY("entity_id","tick"),
	CONSTRAINT "tick_entity_id_at_key" UNIQUE("entity_id","at"),
	CONSTRAINT "tick_op_is_known" CHECK ("clocktick"."tick"."op" in ('created', 'updated', 'deleted', 'restored')),
	CONSTRAINT "tick_first_creates" CHECK (("clocktick"."tick"."tick" = 1) = ("clocktick"."tick"."op" = 'created')),
	CONSTRAINT "tick_instants_are_sound" CHECK ("clocktick"."tick"."at" >= '0001-01-01T00:00:00Z' and "clocktick"."tick"."at" < '9999-12-31T00:00:00Z' and isfinite("clocktick"."tick"."recorded_at"))
);
--> statement-breakpoint
CREATE INDEX "entity_in_order" ON "clocktick"."entity" USING btree ("type",coalesce("key", ''),"id");--> statement-breakpoint
CREATE INDEX "item_history_open_items" ON "clocktick"."item_history" USING btree ("item","entity_id",lower("effective")) WHERE upper_inf("clocktick"."item_history"."vclock");--> statement-breakpoint
CREATE UNIQUE INDEX "property_history_one_open_range" ON "clocktick"."property_history" USING btree ("entity_id","property") WHERE upper_inf("clocktick"."property_history"."vclock");--> statement-breakpoint
CREATE INDEX "property_history_closed_ranges" ON "clocktick"."property_history" USING btree ("property","entity_id",lower("vclock")) WHERE not upper_inf("clocktick"."property_history"."vclock");--> statement-breakpoint
CREATE INDEX "tick_type_at" ON "clocktick"."tick" USING btree ("type","at");--> statement-breakpoint
CREATE INDEX "tick_imported" ON "clocktick"."tick" USING btree ("type","recorded_at") WHERE "clocktick"."tick"."recorded_at" <> "clocktick"."tick"."at";--> statement-breakpoint
CREATE UNIQUE INDEX "tick_activity_id_entity_id_key" ON "clocktick"."tick" USING btree ("activity_id","entity_id") WHERE "clocktick"."tick"."activity_id" is not null;