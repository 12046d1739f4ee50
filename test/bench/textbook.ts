import { customType, integer, jsonb, pgSchema, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core';

/*
 * The tables as a textbook has them ("Temporal Data Structures with SQLAlchemy and Postgres", PyCon 2017): a clock, and a
 * history with one exclusion constraint over all ranges.
 */
const int4range = customType<{ data: string }>({ dataType: () => 'int4range' });
const textbook = pgSchema('textbook');

export const entity = textbook.table('entity', {
  id: uuid('id').primaryKey(),
  type: text('type').notNull(),
  tick: integer('tick').notNull(),
  properties: jsonb('properties').$type<Record<string, unknown>>().notNull(),
});

export const tick = textbook.table(
  'tick',
  {
    entityId: uuid('entity_id').notNull(),
    tick: integer('tick').notNull(),
    at: timestamp('at', { withTimezone: true }).notNull().defaultNow(),
  },
  (row) => [primaryKey({ columns: [row.entityId, row.tick] })],
);

export const propertyHistory = textbook.table('property_history', {
  entityId: uuid('entity_id').notNull(),
  property: text('property').notNull(),
  vclock: int4range('vclock').notNull(),
  value: jsonb('value'),
});

/** The same as SQL, with what Drizzle cannot say. */
export const TABLES = `
  CREATE SCHEMA textbook;
  CREATE TABLE textbook.entity (id uuid PRIMARY KEY, type text NOT NULL, tick int NOT NULL, properties jsonb NOT NULL);
  CREATE TABLE textbook.tick (
    entity_id uuid NOT NULL, tick int NOT NULL, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (entity_id, tick));
  CREATE TABLE textbook.property_history (
    entity_id uuid NOT NULL, property text NOT NULL, vclock int4range NOT NULL, value jsonb,
    EXCLUDE USING gist (entity_id WITH =, property WITH =, vclock WITH &&));`;
