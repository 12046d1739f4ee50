import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  check,
  customType,
  index,
  integer,
  pgSchema,
  primaryKey,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import {
  IMPORT_STATUSES,
  MAX_ENTITY_BYTES,
  MAX_KEY_LENGTH,
  MAX_METADATA_BYTES,
  MAX_SOURCE_LENGTH,
  OPS,
  TYPE_PATTERN,
} from '../temporal/limits.js';

/*
 * The tables. `npm run schema` generates the migrations in drizzle/ from them. What Drizzle cannot express (functions, triggers,
 * the view, indexes of functions) stands in drizzle/sql/. Hot statements do not use these objects.
 */

/**
 * How long a value may be to stand in the index of ranges, as pg_column_size says: a text of some 50 bytes. `stored_as` of
 * drizzle/sql/values.sql takes those of up to 64 bytes. What it measures may have a header that is three bytes shorter than the one that
 * is checked here.
 */
const SHORT_VALUE_BYTES = 64 + 3;

/** Text in C order: PostgreSQL compares names and keys by their bytes, which is the same on every server, and cheaper than a locale. */
const text = customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' });
const int4range = customType<{ data: string }>({ dataType: () => 'int4range' });
const tstzrange = customType<{ data: string }>({ dataType: () => 'tstzrange' });

/**
 * Values stay JSON text on this side. Drizzle's own `jsonb()` reads the stored string "10.5" back as a number, and the driver would
 * encode a parameter of this type once more.
 */
const jsonb = customType<{ data: string }>({
  dataType: () => 'jsonb',
  toDriver: (text) => sql`${text}::text::jsonb`,
});
/** A limit of src/temporal/limits.ts, written out: a constraint takes no parameters. */
const literal = (limit: string | number) =>
  sql.raw(typeof limit === 'number' ? String(limit) : `'${limit.replaceAll("'", "''")}'`);

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 6, mode: 'string' });

/** Everything lives in a schema of its own, so the service can share a database. */
export const clocktick = pgSchema('clocktick');

/** The current state: one row per entity, tombstones included. */
export const entity = clocktick.table(
  'entity',
  {
    id: uuid('id').primaryKey(),
    type: text('type').notNull(),
    key: text('key'),
    tick: integer('tick').notNull(),
    properties: jsonb('properties').notNull(),
    deleted: boolean('deleted').notNull().default(false),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    // When the last tick was recorded, where that is not `updated_at`: of imported history only.
    recordedAt: instant('recorded_at'),
    // Since which tick each property has its value, by name; of those that are not named, since the first.
    since: jsonb('since').notNull().default('{}'),
    // The properties that keep no ranges, because the definition of the type says so, as they are now. Null: it never had one.
    untracked: jsonb('untracked'),
    // By name the ticks at which each became untracked, and tracked again, in turn: untracked where their number is odd.
    untrackedTicks: jsonb('untracked_ticks'),
  },
  (row) => [
    // The order of a collection's pages; keys have at least one character, so those without one come first.
    index('entity_in_order').on(row.type, sql`coalesce(${row.key}, '')`, row.id),
    check('entity_type_is_slug', sql`${row.type} ~ ${literal(TYPE_PATTERN.source)}`),
    check('entity_key_length', sql`char_length(${row.key}) between 1 and ${literal(MAX_KEY_LENGTH)}`),
    check('entity_properties_is_object', sql`jsonb_typeof(${row.properties}) = 'object'`),
    // An answer is one text, and 5e-324 becomes 326 characters of it. The first condition keeps PostgreSQL from making the text of
    // what is stored too small to become that long.
    check(
      'entity_size',
      sql`pg_column_size(${row.properties}) + coalesce(pg_column_size(${row.untracked}), 0) < 32768 or octet_length(${row.properties}::text) + coalesce(octet_length(${row.untracked}::text), 0) <= ${literal(MAX_ENTITY_BYTES)}`,
    ),
    check(
      'entity_tombstone_is_empty',
      sql`not ${row.deleted} or ${row.properties} = '{}' and coalesce(${row.untracked}, '{}') = '{}'`,
    ),
    check('entity_untracked_since', sql`(${row.untracked} is null) = (${row.untrackedTicks} is null)`),
  ],
);

/** The clock: one row per tick of an entity. `at` differs from `recorded_at` only in imported history. */
export const tick = clocktick.table(
  'tick',
  {
    entityId: uuid('entity_id').notNull(),
    tick: integer('tick').notNull(),
    type: text('type').notNull(),
    at: instant('at').notNull(),
    recordedAt: instant('recorded_at').notNull(),
    op: text('op').notNull(),
    activityId: uuid('activity_id'),
  },
  (row) => [
    primaryKey({ name: 'tick_pkey', columns: [row.entityId, row.tick] }),
    // Finds the tick of an instant. Without it PostgreSQL reads all ticks of the entity (src/guide/figures.md).
    unique('tick_entity_id_at_key').on(row.entityId, row.at),
    // The newest change of a type by an instant, which is what a collection's answer depends on; and the newest import.
    index('tick_type_at').on(row.type, row.at),
    index('tick_imported').on(row.type, row.recordedAt).where(sql`${row.recordedAt} <> ${row.at}`),
    // An activity ticks an entity at most once, and its ticks are found by it.
    uniqueIndex('tick_activity_id_entity_id_key')
      .on(row.activityId, row.entityId)
      .where(sql`${row.activityId} is not null`),
    check('tick_op_is_known', sql`${row.op} in (${sql.join(OPS.map(literal), sql`, `)})`),
    check('tick_first_creates', sql`(${row.tick} = 1) = (${row.op} = 'created')`),
    // Years that RFC 3339 can write, which are also finite.
    check(
      'tick_instants_are_sound',
      sql`${row.at} >= '0001-01-01T00:00:00Z' and ${row.at} < '9999-12-31T00:00:00Z' and isfinite(${row.recordedAt})`,
    ),
  ],
);

/**
 * The ranges of ticks over which each value of each property held, once they have ended. What holds is not here: it is in the row of
 * its entity, with the tick since when.
 */
export const propertyHistory = clocktick.table(
  'property_history',
  {
    entityId: uuid('entity_id').notNull(),
    type: text('type').notNull(),
    property: text('property').notNull(),
    vclock: int4range('vclock').notNull(),
    // The value, if it is short: it is in the index, too, so that a past state is read from there alone.
    shortValue: jsonb('short_value'),
    // The same range as instants: a value is looked for as of an instant, and each entity has its own ticks.
    effective: tstzrange('effective').notNull(),
    // The value, if it is long.
    longValue: jsonb('long_value'),
  },
  (row) => [
    // Also refuses the empty range and one without a bound: their lower() or upper() is null.
    check(
      'property_history_range_is_sound',
      sql`coalesce(lower(${row.vclock}) >= 1 and not upper_inf(${row.vclock}), false)`,
    ),
    check('property_history_value_is_one', sql`num_nonnulls(${row.shortValue}, ${row.longValue}) = 1`),
    // An entry of an index has 2,704 bytes at most.
    check('property_history_value_is_short', sql`pg_column_size(${row.shortValue}) <= ${literal(SHORT_VALUE_BYTES)}`),
  ],
);

/**
 * Who holds a value, by its key (drizzle/sql/values.sql), and since which instant. Triggers keep it, in
 * drizzle/sql/holders.sql; like the items it is an index itself, and what it finds is looked at again.
 */
export const openValue = clocktick.table(
  'open_value',
  {
    valueKey: bigint('value_key', { mode: 'bigint' }).notNull(),
    entityId: uuid('entity_id').notNull(),
    since: instant('since').notNull(),
  },
  (row) => [
    // For both questions: which entities hold a value, since when; and where the row of one of them is.
    index('open_value_holders').on(row.valueKey, row.entityId, row.since),
  ],
);

/**
 * The items that values which are arrays or objects held, and when: elements of arrays, names of objects, each by a hash. An
 * item has one range for as long as it is there, however often the value changes around it. Triggers keep it, and closed ranges
 * have their index, in drizzle/sql/holders.sql. It is an index itself, and what it finds is looked at again.
 */
export const itemHistory = clocktick.table(
  'item_history',
  {
    entityId: uuid('entity_id').notNull(),
    item: bigint('item', { mode: 'bigint' }).notNull(),
    vclock: int4range('vclock').notNull(),
    effective: tstzrange('effective').notNull(),
  },
  (row) => [
    // For both questions: which entities have an item, since when; and whether one has it. One index, because of two the planner
    // took the wrong one for the second while the table was small, and read all who share an item for each that was written.
    index('item_history_open_items')
      .on(row.item, row.entityId, sql`lower(${row.effective})`)
      .where(sql`upper_inf(${row.vclock})`),
  ],
);

/**
 * The newest instant that readers were promised to be stable, at most a second old: one row. Whatever the server's clock
 * does, no write may be stamped before it.
 */
export const promise = clocktick.table(
  'promise',
  { isOnly: boolean('is_only').primaryKey().default(true), at: instant('at').notNull() },
  (row) => [check('promise_is_one', sql`${row.isOnly}`), check('promise_is_finite', sql`isfinite(${row.at})`)],
);

/** Who and why; one activity may tick many entities. */
export const activity = clocktick.table(
  'activity',
  {
    id: uuid('id').primaryKey(),
    actor: text('actor'),
    reason: text('reason'),
    metadata: jsonb('metadata'),
    recordedAt: instant('recorded_at').notNull(),
    // The import that recorded it, if any.
    importId: uuid('import_id'),
  },
  (row) => [
    // The order of a search, newest first. It grows at its right end, as the table does. Its condition always holds, and a query says it to use
    // this index: by an id alone the planner would have gone through all of it, while the table was empty as far as it knew.
    index('activity_in_order').on(row.recordedAt, row.id).where(sql`${row.recordedAt} > '-infinity'`),
    // The same of one actor, and which actors there are. (By words of their reasons they are found in drizzle/sql/activities.sql.)
    index('activity_of_actor').on(row.actor, row.recordedAt, row.id).where(sql`${row.actor} is not null`),
    check('activity_metadata_is_object', sql`jsonb_typeof(${row.metadata}) = 'object'`),
    // As with entity_size: 1e308 becomes 309 characters, and every tick of an activity is shown with it.
    check(
      'activity_size',
      sql`pg_column_size(${row.metadata}) < 4096 or octet_length(${row.metadata}::text) <= ${literal(MAX_METADATA_BYTES)}`,
    ),
  ],
);

/**
 * How far the last import of each source is, or came. What it tells is counted up to the last batch that was kept, in whose transaction
 * it is written.
 */
export const imports = clocktick.table(
  'import',
  {
    source: text('source').primaryKey(),
    id: uuid('id').notNull(),
    mode: text('mode').notNull(),
    status: text('status').notNull(),
    // Of the last batch that ended with one, of whichever import of this source.
    watermark: jsonb('watermark'),
    lines: bigint('lines', { mode: 'number' }).notNull().default(0),
    changed: bigint('changed', { mode: 'number' }).notNull().default(0),
    unchanged: bigint('unchanged', { mode: 'number' }).notNull().default(0),
    skipped: bigint('skipped', { mode: 'number' }).notNull().default(0),
    ticks: bigint('ticks', { mode: 'number' }).notNull().default(0),
    startedAt: instant('started_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    // Entities that it deleted because no line named them.
    deleted: bigint('deleted', { mode: 'number' }).notNull().default(0),
    // Since when a replace-all is unfinished: what it has seen so far counts in its next run. Null: there is none.
    unfinishedSince: instant('unfinished_since'),
    // Lines that it and its interrupted runs left out: each may have been about an entity that nobody named.
    leftOut: bigint('left_out', { mode: 'number' }).notNull().default(0),
  },
  (row) => [
    check('import_source_length', sql`char_length(${row.source}) between 1 and ${literal(MAX_SOURCE_LENGTH)}`),
    check('import_status_is_known', sql`${row.status} in (${sql.join(IMPORT_STATUSES.map(literal), sql`, `)})`),
  ],
);

/**
 * The entities that the lines of an unfinished replace-all have named, by source. It is written in the transactions that write the lines,
 * and emptied when the import has come to its end.
 */
export const importSeen = clocktick.table(
  'import_seen',
  { source: text('source').notNull(), type: text('type').notNull(), entityId: uuid('entity_id').notNull() },
  // Also for the question which types there are.
  (row) => [primaryKey({ name: 'import_seen_pkey', columns: [row.source, row.type, row.entityId] })],
);

/**
 * What of drizzle/ the database was brought up to date with, one row a file: which text of it, and at which version of the
 * schema (drizzle/sql/version.json).
 */
export const definition = clocktick.table('definition', {
  file: text('file').primaryKey(),
  hash: text('hash').notNull(),
  version: integer('version').notNull(),
});
