-- Tables: what each is for, as psql tells it (\dt+ clocktick.*, \d+ clocktick.entity). The columns stand in 0000_tables.sql and later,
-- which drizzle-kit makes of src/storage/schema.ts; the reasons for each index stand there, too.
--
-- No table has a foreign key: it would look up each row once more and lock it. The guards (guards.sql) demand by sets that the tables
-- agree, and nothing is ever removed that a key would have to hold on to.

COMMENT ON TABLE clocktick.entity IS 'The current state: one row an entity, deleted ones (tombstones) too.';
COMMENT ON COLUMN clocktick.entity.key IS 'The owner''s own key, unique within the type; the id follows from both.';
COMMENT ON COLUMN clocktick.entity.tick IS 'How often it has changed: the number of its newest row in tick.';
COMMENT ON COLUMN clocktick.entity.properties IS 'The properties as they are now; {} while deleted.';
COMMENT ON COLUMN clocktick.entity.since IS 'Since which tick each property has its value, by name; of those not named, since tick 1.';
COMMENT ON COLUMN clocktick.entity.untracked IS 'The properties that keep no ranges (the definition of the type says which), as they are now; null: it never had one.';
COMMENT ON COLUMN clocktick.entity.untracked_ticks IS 'By name the ticks at which each became untracked, and tracked again, in turn.';
COMMENT ON COLUMN clocktick.entity.recorded_at IS 'When the newest tick was recorded, where that is not updated_at: of imported history only.';

COMMENT ON TABLE clocktick.tick IS 'The clock: one row a change of an entity, numbered 1, 2, 3 … without gaps, at strictly later instants.';
COMMENT ON COLUMN clocktick.tick.at IS 'When it happened.';
COMMENT ON COLUMN clocktick.tick.recorded_at IS 'When it was recorded: later than at only in imported history.';
COMMENT ON COLUMN clocktick.tick.activity_id IS 'Who made it and why: a row of activity, or null.';

COMMENT ON TABLE clocktick.property_history IS 'The ranges that have ended: over which ticks each property of each entity held which value. What holds stands in entity (properties, since); the view property_range has both.';
COMMENT ON COLUMN clocktick.property_history.vclock IS 'The ticks over which the value held, [from, to).';
COMMENT ON COLUMN clocktick.property_history.short_value IS 'The value, if it is short: null, or a JSON value, which may be null.';
COMMENT ON COLUMN clocktick.property_history.long_value IS 'The value, if it is long.';
COMMENT ON COLUMN clocktick.property_history.effective IS 'The same range as instants.';

COMMENT ON TABLE clocktick.open_value IS 'An index: which entities have a value now. Kept by triggers.';
COMMENT ON COLUMN clocktick.open_value.value_key IS 'The value by its key, a hash of type, property and value (values.sql); what it finds is looked at again.';
COMMENT ON COLUMN clocktick.open_value.since IS 'Since which instant.';

COMMENT ON TABLE clocktick.item_history IS 'An index: over which ticks an entity had a value with an element (of an array) or a name (of an object). Kept by triggers.';
COMMENT ON COLUMN clocktick.item_history.item IS 'The element or name by its key, a hash (values.sql); what it finds is looked at again.';

COMMENT ON TABLE clocktick.activity IS 'Who and why: one activity may have made ticks of many entities.';
COMMENT ON COLUMN clocktick.activity.recorded_at IS 'When it was recorded, before its ticks or with the first of them: what a search goes by.';
COMMENT ON COLUMN clocktick.activity.import_id IS 'The import that recorded it, or null.';

COMMENT ON TABLE clocktick.import IS 'One row a source: how far its last import is, or came. Written with each batch of it.';
COMMENT ON COLUMN clocktick.import.id IS 'The import: each has an id of its own, which the activities that it records name.';
COMMENT ON COLUMN clocktick.import.watermark IS 'The last watermark that was kept: a JSON value, which may be null; SQL NULL: none yet.';
COMMENT ON COLUMN clocktick.import.lines IS 'How many lines of this import were kept or skipped.';
COMMENT ON COLUMN clocktick.import.deleted IS 'How many entities it deleted because no line named them (mode replace-all).';
COMMENT ON COLUMN clocktick.import.unfinished_since IS 'Since when a replace-all of the source is unfinished; null: none is, and rows of import_seen mean nothing.';
COMMENT ON COLUMN clocktick.import.left_out IS 'How many lines the unfinished replace-all has left out since it began, or last came to an end of its lines.';

COMMENT ON TABLE clocktick.import_seen IS 'Which entities the lines of an unfinished replace-all have named. Emptied when it is done.';

COMMENT ON TABLE clocktick.promise IS 'One row: the newest instant that readers were told is stable. No write is stamped before it, whatever the clock does.';

COMMENT ON TABLE clocktick.definition IS 'Which text of each file of drizzle/sql this database was brought up to date with, and at which version of the schema.';
COMMENT ON TABLE clocktick.migration IS 'Which migrations of drizzle/ have run, as drizzle-kit notes them.';
