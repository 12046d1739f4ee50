import type { Nested } from '../../storage/nested.js';
import type { ChangeRow, EntityRow, Provenance, RangeRow } from '../../storage/rows.js';
import { arrayText, objectText, scalarText } from '../protocol/json-text.js';

/**
 * An entity as JSON text. It is written out member by member, because `objectText` costs a read too much (src/guide/figures.md).
 * UUIDs, types and instants are not escaped: they hold no character that needs it. Pages have the same text from PostgreSQL
 * (`entity_text` of drizzle/sql/reads.sql).
 */
export const entityText = (row: ShownRow): string => `${openText(row)}${besideText(row)}}`;

/** The same of an entity as of a point: it says which properties it leaves out, because their values were not kept. */
export const mementoText = (row: ShownRow): string => `${openText(row)}${leftOutText(row)}${besideText(row)}}`;

/** An entity, perhaps with who set what, and with the ranges of its properties. */
type ShownRow = EntityRow & Partial<Provenance> & { nested?: Nested };

const leftOutText = ({ untracked }: EntityRow): string => (untracked === null ? '' : `, "untracked": ${untracked}`);

/** An entity as JSON text without its closing brace, so that members can follow. */
export const openText = (row: EntityRow): string =>
  `{"id": "${row.id}", "type": "${row.type}", ${row.key === null ? '' : `"key": ${scalarText(row.key)}, `}"tick": ${row.tick}, ` +
  `"deleted": ${row.deleted}, "createdAt": "${row.createdAt}", "updatedAt": "${row.updatedAt}", ` +
  `"properties": ${row.properties}`;

/** What an answer shows of an entity beside its state, as members after it. It says what it leaves out. */
function besideText({ provenance, provenanceTruncated = null, nested }: ShownRow): string {
  const told =
    provenance === undefined
      ? ''
      : `, "provenance": ${provenance}${provenanceTruncated === null ? '' : `, "provenanceTruncated": ${provenanceTruncated}`}`;
  return nested ? `${told}${nestedText(nested)}` : told;
}

function nestedText({ history, omitsRemoved }: Nested): string {
  const truncated = history.flatMap(({ property, truncated }) => (truncated ? [scalarText(property)] : []));
  const members = [
    `"history": ${objectText(history.map(({ property, ranges }) => [property, arrayText(ranges.map(rangeText))]))}`,
    ...(truncated.length > 0 ? [`"historyTruncated": ${arrayText(truncated)}`] : []),
    ...(omitsRemoved ? ['"historyOmitsRemoved": true'] : []),
  ];
  return `, ${members.join(', ')}`;
}

/**
 * A range of a property as JSON text. It is written out member by member for the same reason as an entity, and a history has the same
 * text from PostgreSQL (`range_text`).
 */
const rangeText = (row: RangeRow): string => `{${rangeMembersText(row)}}`;

/** The members of a range, without the braces, so that others can stand before them. */
export const rangeMembersText = ({ value, from, to, fromAt, toAt, activity }: RangeRow): string =>
  `"value": ${value}, "vclock": {"from": ${from}, "to": ${to}}, ` +
  `"effective": {"from": "${fromAt}", "to": ${toAt === null ? null : `"${toAt}"`}}, "activity": ${activity ?? null}`;

/** What changed, by property, as JSON text. A side on which the property is not set is left out. */
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
