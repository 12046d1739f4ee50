CREATE TABLE "clocktick"."item_history" (
	"entity_id" uuid NOT NULL,
	"item" bigint NOT NULL,
	"vclock" "int4range" NOT NULL,
	"effective" "tstzrange" NOT NULL
);
--> statement-breakpoint
-- By hand up to the indexes: what is recorded already gets its instants from the clock, which the guards would refuse.
ALTER TABLE "clocktick"."property_history" ADD COLUMN "effective" "tstzrange";--> statement-breakpoint
ALTER TABLE clocktick.property_history DISABLE TRIGGER USER;--> statement-breakpoint
UPDATE clocktick.property_history h
   SET effective = tstzrange(
         (SELECT t.at FROM clocktick.tick t WHERE t.entity_id = h.entity_id AND t.tick = lower(h.vclock)),
         (SELECT t.at FROM clocktick.tick t WHERE t.entity_id = h.entity_id AND t.tick = upper(h.vclock)));--> statement-breakpoint
DO $$
DECLARE guard name;
BEGIN
  FOR guard IN SELECT t.tgname FROM pg_trigger t WHERE t.tgrelid = 'clocktick.property_history'::regclass AND NOT t.tgisinternal LOOP
    EXECUTE format('ALTER TABLE clocktick.property_history ENABLE ALWAYS TRIGGER %I', guard);
  END LOOP;
END
$$;--> statement-breakpoint
ALTER TABLE "clocktick"."property_history" ALTER COLUMN "effective" SET NOT NULL;--> statement-breakpoint
CREATE INDEX "item_history_open_items" ON "clocktick"."item_history" USING btree ("item","entity_id",lower("effective")) WHERE upper_inf("clocktick"."item_history"."vclock");--> statement-breakpoint
CREATE INDEX "item_history_closed_items" ON "clocktick"."item_history" USING gist ("item","effective") WHERE not upper_inf("clocktick"."item_history"."vclock");--> statement-breakpoint
CREATE INDEX "property_history_open_values" ON "clocktick"."property_history" USING btree ((hashtextextended("property", hashtextextended("type", jsonb_hash_extended("value", 0)))),lower("effective")) WHERE upper_inf("clocktick"."property_history"."vclock");--> statement-breakpoint
CREATE INDEX "property_history_closed_values" ON "clocktick"."property_history" USING gist ((hashtextextended("property", hashtextextended("type", jsonb_hash_extended("value", 0)))),"effective") WHERE not upper_inf("clocktick"."property_history"."vclock");