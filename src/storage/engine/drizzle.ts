import { DrizzleQueryError } from 'drizzle-orm/errors';
import { drizzle, type PgRemoteDatabase } from 'drizzle-orm/pg-proxy';
import type postgres from 'postgres';

/** Drizzle's queries, for statements that its tables can say as well as SQL can. */
export type Drizzle = PgRemoteDatabase<Record<string, never>>;

/**
 * Runs Drizzle's queries on a pool of ours. Drizzle's own driver for postgres.js would replace the pool's parsers, which keep
 * microseconds, and would leave each query unprepared.
 */
export const drizzleOver = (sql: postgres.Sql): Drizzle =>
  drizzle(async (text, parameters) => ({ rows: await sql.unsafe(text, parameters, { prepare: true }).values() }));

/** The error itself: Drizzle wraps what the database said. */
export const causeOf = (error: unknown): unknown => (error instanceof DrizzleQueryError ? error.cause : error);
