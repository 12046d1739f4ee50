import type { Fragment, Sql } from '../engine/pools.js';
import { instants, kinds, type Pin } from '../pins.js';
import { engine, type Storage } from '../storage.js';
import { rangeCells, rangeLine, readRangesPage } from './ranges.js';
import type { RowsOfType } from './rows.js';
import { readStatesPage, stateCells, stateLine } from './states.js';
import { ticksReader } from './ticks.js';

/*
 * Everything of a type, or of all types, page by page: the states of entities as of a pin, the ranges of their properties, or every tick. A pin
 * never changes what it shows, so an export needs no transaction, and each of its pages could be read by another instance.
 */

/**
 * What is exported: of a type, or of all (null). `cells` are rows of a table: a JSON array of strings and nulls each. Otherwise a row is a line
 * of JSON. `fields` are the properties that it shows (null: all).
 */
export type Export = { type: string | null } & (
  | { of: 'states'; cells: false }
  | { of: 'states'; cells: true; fields: readonly string[] }
  | { of: 'ranges'; cells: boolean; fields: readonly string[] | null }
  | { of: 'ticks' }
);

/**
 * Rows, each with a line feed behind it, and the place where they end. A place is a type, and where in it; the type alone: at its end.
 */
export type ExportPage = { rows: string; place: string[] };

/**
 * The pages of an export, each read when it is asked for. Whoever leaves early calls `return`, as `for await` does.
 * @param after the place where it goes on
 * @throws Refusal `overloaded`, before the first page; `database_unavailable`
 */
export async function* exportPages(
  storage: Storage,
  asked: Export,
  pin: Pin,
  after: readonly string[] | null,
): AsyncGenerator<ExportPage, void, void> {
  const end = storage[engine].beginExport();
  try {
    const read = readerOf(storage, asked, pin);
    const [inType = '', ...within] = after ?? [];
    const types = asked.type === null ? await readTypes(storage, pin) : [asked.type];
    for (const type of types) {
      const isInside = type === inType && within.length > 0;
      if (type < inType || (type === inType && !isInside)) continue;
      let place: readonly string[] | null = isInside ? within : null;
      do {
        const { rows, next }: RowsOfType = await read(type, place);
        yield { rows, place: [type, ...(next ?? [])] };
        place = next;
      } while (place);
    }
  } finally {
    end();
  }
}

/** Reads the rows of a type after a place. */
type Reader = (type: string, after: readonly string[] | null) => Promise<RowsOfType>;

function readerOf(storage: Storage, asked: Export, pin: Pin): Reader {
  switch (asked.of) {
    case 'states': {
      const form = asked.cells ? stateCells(asked.fields) : stateLine;
      const fields = asked.cells ? asked.fields : null;
      return (type, after) => readStatesPage(storage, { type, fields, form }, pin, after);
    }
    case 'ranges': {
      const form: (sql: Sql) => Fragment = asked.cells ? rangeCells : rangeLine;
      return (type, after) => readRangesPage(storage, { type, fields: asked.fields, form }, pin, after);
    }
    case 'ticks':
      return ticksReader(storage, pin);
  }
}

/** The types that a pin can show, in order. One that came later must not be known by a watermark either. */
async function readTypes(storage: Storage, pin: Pin): Promise<string[]> {
  const rows = await storage[engine].exporting(
    (sql) => sql<{ type: string }[]>`
      WITH ${kinds(sql, null)}
      SELECT kind.type
        FROM kind CROSS JOIN LATERAL clocktick.newest_change(kind.type, ${instants(sql, pin)}) newest
       WHERE newest.at IS NOT NULL
       ORDER BY kind.type`,
  );
  return rows.map(({ type }) => type);
}
