import { DrizzleQueryError } from 'drizzle-orm/errors';
import { drizzle, type PgRemoteDatabase } from 'drizzle-orm/pg-proxy';
import type postgres from 'postgres';

/** Runs Drizzle's queries: for simple statements, which the tables of schema.ts say as well as SQL does. */
export type Drizzle = PgRemoteDatabase<Record<string, never>>;

/**
 * Drizzle over a pool. It does not use Drizzle's own driver for postgres.js, which would replace the parsers of the pool (they keep
 * microseconds) and prepare no query. Made once a pool.
 */
export function drizzleOver(sql: postgres.Sql): Drizzle {
  const known = made.get(sql);
  if (known) return known;
  const db = drizzle(async (text, parameters) => ({
    rows: await sql.unsafe(text, parameters, { prepare: true }).values(),
  }));
  made.set(sql, db);
  return db;
}

const made = new WeakMap<postgres.Sql, Drizzle>();

/** The error of the database itself, which Drizzle wraps. */
export const causeOf = (error: unknown): unknown => (error instanceof DrizzleQueryError ? error.cause : error);
