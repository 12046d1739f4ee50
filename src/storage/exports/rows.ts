import type { Fragment, Sql } from '../engine/pools.js';

/* What the pages of all exports have in common. */

/** Rows of a type, and where in it they end; null: there are no more. */
export type RowsOfType = { rows: string; next: string[] | null };

/**
 * How many bytes of text a page of an export has, unless its first row alone has more: as much as an entity may have, because a few of these
 * are kept for a caller who takes its time.
 */
export const PAGE_BYTES = 8 * 2 ** 20;

/** Of which entity `e` a line is, as its first members. */
export const addressText = (sql: Sql): Fragment => sql`
  '"type": "' || e.type || CASE WHEN e.key IS NULL THEN '", "id": "' || e.id::text || '"' ELSE '", "key": ' || to_json(e.key)::text END`;

/** A value as a cell of a table: a string as it is, anything else as JSON. */
export const cellText = (sql: Sql, value: Fragment): Fragment => sql`
  CASE jsonb_typeof(${value}) WHEN 'string' THEN ${value} #>> '{}' ELSE ${value}::text END`;

/** Rows, each with its end. */
export const withEnds = (rows: string | null): string => (rows === null || rows === '' ? '' : `${rows}\n`);
