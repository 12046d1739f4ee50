import { stringify } from 'csv-stringify/sync';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { microseconds } from '../../temporal/point.js';

/* Tables of any length, as the bytes of a file. */

/** A column: its name, and what its cells are. */
export type Column = { name: string; of: 'text' | 'tick' | 'instant' };

/** Rows of cells, as many as come at once; null: not set. */
type Rows = AsyncIterable<readonly (readonly (string | null)[])[]>;

/**
 * A table as CSV (RFC 4180), with a header, which comes with the first rows: until then an error can be answered. What is not set is empty, and
 * the empty string is `""`.
 */
export async function* csvOf(columns: readonly Column[], rows: Rows): AsyncGenerator<Buffer> {
  let header = [columns.map(({ name }) => name)];
  for await (const some of rows) {
    yield csvText([...header, ...some]);
    header = [];
  }
  if (header.length > 0) yield csvText(header);
}

const csvText = (rows: readonly (readonly (string | null)[])[]): Buffer =>
  Buffer.from(
    stringify([...rows], {
      record_delimiter: 'windows',
      quoted_match: /[\r\n]/,
      cast: { string: (value) => (value === '' ? { value, quoted_empty: true } : value) },
    }),
  );

/** After how many rows, or characters, a row group ends. To encode one takes a tenth of a second or two, and nobody else is served meanwhile. */
const GROUP_ROWS = 20_000;
const GROUP_LENGTH = 4 * 2 ** 20;

/**
 * A table as a Parquet file: its row groups one after the other, of which only the newest is in memory. Of the others the footer tells where
 * they are, some hundred bytes for each column.
 */
export async function* parquetOf(columns: readonly Column[], rows: Rows): AsyncGenerator<Buffer> {
  const writer = new ByteWriter();
  const schema = [
    { name: 'root', num_children: columns.length },
    ...columns.map(({ name, of }) => ({ name, ...KINDS[of].type })),
  ];
  const file = new ParquetWriter({ writer, schema, createdBy: 'clocktick' });
  const written = (): Buffer => {
    const bytes = Buffer.from(writer.getBytes());
    writer.index = 0;
    return bytes;
  };
  let group: (readonly (string | null)[])[] = [];
  let length = 0;
  const writeGroup = async (): Promise<Buffer> => {
    const columnData = columns.map(({ name, of }, n) => ({
      name,
      data: group.map((row) => KINDS[of].read(row[n] ?? null)),
      // The least and the greatest text of a group may be megabytes.
      statistics: of !== 'text',
      offsetIndex: false,
    }));
    await file.write({ columnData, rowGroupSize: group.length });
    group = [];
    length = 0;
    return written();
  };
  for await (const some of rows) {
    for (const row of some) {
      group.push(row);
      for (const cell of row) length += cell?.length ?? 0;
      if (group.length >= GROUP_ROWS || length >= GROUP_LENGTH) yield await writeGroup();
    }
  }
  if (group.length > 0) yield await writeGroup();
  await file.finish();
  yield written();
}

const REPETITION = { repetition_type: 'OPTIONAL' } as const;
const KINDS = {
  text: {
    type: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' }, ...REPETITION },
    read: (cell: string | null) => cell,
  },
  tick: {
    type: { type: 'INT32', ...REPETITION },
    read: (cell: string | null) => (cell === null ? null : Number(cell)),
  },
  instant: {
    type: {
      type: 'INT64',
      converted_type: 'TIMESTAMP_MICROS',
      logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
      ...REPETITION,
    },
    read: (cell: string | null) => (cell === null ? null : microseconds(cell)),
  },
} as const;
