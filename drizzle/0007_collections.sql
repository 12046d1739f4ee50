CREATE TABLE "clocktick"."promise" (
	"is_only" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"at" timestamp(6) with time zone NOT NULL,
	CONSTRAINT "promise_is_one" CHECK ("clocktick"."promise"."is_only"),
	CONSTRAINT "promise_is_finite" CHECK (isfinite("clocktick"."promise"."at"))
);
--> statement-breakpoint
ALTER TABLE "clocktick"."entity" ADD COLUMN "recorded_at" timestamp(6) with time zone;--> statement-breakpoint
CREATE INDEX "entity_in_order" ON "clocktick"."entity" USING btree ("type",coalesce("key", ''),"id");--> statement-breakpoint
CREATE INDEX "tick_type_at" ON "clocktick"."tick" USING btree ("type","at");--> statement-breakpoint
CREATE INDEX "tick_imported" ON "clocktick"."tick" USING btree ("type","recorded_at") WHERE "clocktick"."tick"."recorded_at" <> "clocktick"."tick"."at";