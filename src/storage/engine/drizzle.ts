import { DrizzleQueryError } from 'drizzle-orm/errors';
import { drizzle, type PgRemoteDatabase } from 'drizzle-orm/pg-proxy';
import type postgres from 'postgres';

/** Runs Drizzle's queries: for simple statements, which the tables of schema.ts say as well as SQL does. */
export type Drizzle = PgRemoteDatabase<Record<string, never>>;

/**
 * Drizzle over a pool. It does not use Drizzle's own driver for postgres.js, which would replace the parsers of the pool (they keep
 * microseconds) and prepare no query.
 */
export const drizzleOver = (sql: postgres.Sql): Drizzle =>
  drizzle(async (text, parameters) => ({ rows: await sql.unsafe(text, parameters, { prepare: true }).values() }));

/** The error of the database itself, which Drizzle wraps. */
export const causeOf = (error: unknown): unknown => (error instanceof DrizzleQueryError ? error.cause : error);
