/*
 * Answers are put together as JSON text. PostgreSQL hands values over as text, and to parse them only to write them again costs
 * three times as much (src/guide/figures.md). The spaces are those of PostgreSQL's jsonb.
 */

/** A member of an object: its name, and its value as JSON text. A member whose value is undefined is left out. */
export type Member = readonly [name: string, value: string | undefined];

/** An object as JSON text, of members whose values are JSON text already. */
export const objectText = (members: readonly Member[]): string =>
  `{${members.flatMap(([name, value]) => (value === undefined ? [] : [`${JSON.stringify(name)}: ${value}`])).join(', ')}}`;

/** An array as JSON text, of items that are JSON text already. */
export const arrayText = (items: readonly string[]): string => `[${items.join(', ')}]`;

/** A string, number, boolean or null as JSON text. */
export const scalarText = (value: string | number | boolean | null): string => JSON.stringify(value);
