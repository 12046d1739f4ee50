import type { SnapshotRow } from '../../storage/collections.js';
import type { Nested } from '../../storage/nested.js';
import type { ChangeRow, EntityRow, RangeRow } from '../../storage/rows.js';
import { arrayText, type Member, objectText, scalarText } from '../protocol/json-text.js';

/**
 * An entity as JSON text. Written out, because putting it together by name took 8 % of the time of a read; what is not
 * quoted with care has no character that needs it: a UUID, a type, an instant.
 */
export const entityText = (row: EntityRow): string => `${openText(row)}}`;

/** … without its end. */
const openText = (row: EntityRow): string =>
  `{"id": "${row.id}", "type": "${row.type}", ${row.key === null ? '' : `"key": ${scalarText(row.key)}, `}"tick": ${row.tick}, ` +
  `"deleted": ${row.deleted}, "createdAt": "${row.createdAt}", "updatedAt": "${row.updatedAt}", ` +
  `"properties": ${row.properties}`;

/** An entity of a snapshot, with what changed where that is asked for. */
export const snapshotText = (row: SnapshotRow): string =>
  row.changes === null ? entityText(row) : `${openText(row)}, "changes": ${row.changes}}`;

/** An entity with ranges of its properties; what is left out of them is said. */
export function nestedText(row: EntityRow, { history, omitsRemoved }: Nested): string {
  const truncated = history.flatMap(({ property, truncated }) => (truncated ? [scalarText(property)] : []));
  const members = [
    `"history": ${objectText(history.map(({ property, ranges }) => [property, arrayText(ranges.map(rangeText))]))}`,
    ...(truncated.length > 0 ? [`"historyTruncated": ${arrayText(truncated)}`] : []),
    ...(omitsRemoved ? ['"historyOmitsRemoved": true'] : []),
  ];
  return `${openText(row)}, ${members.join(', ')}}`;
}

/** What is said of a range of a property. */
export const rangeMembers = (row: RangeRow): Member[] => [
  ['value', row.value],
  [
    'vclock',
    objectText([
      ['from', scalarText(row.from)],
      ['to', scalarText(row.to)],
    ]),
  ],
  [
    'effective',
    objectText([
      ['from', scalarText(row.fromAt)],
      ['to', scalarText(row.toAt)],
    ]),
  ],
  ['activity', row.activity ?? 'null'],
];

/** A range of a property. */
export const rangeText = (row: RangeRow): string => objectText(rangeMembers(row));

/** What changed, by property; the side on which it is not set is left out. */
export const changesText = (changes: readonly ChangeRow[]): string =>
  objectText(
    changes.map(({ property, from, to }) => [
      property,
      objectText([
        ['from', from ?? undefined],
        ['to', to ?? undefined],
      ]),
    ]),
  );
