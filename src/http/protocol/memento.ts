import type { FastifyReply } from 'fastify';
import type { EntityRow, Memento, RelatedMemento } from '../../storage/rows.js';
import { Refusal } from '../../temporal/refusal.js';

/*
 * Datetime negotiation as in RFC 7089. The URL of an entity is its original resource, and also the TimeGate of it (pattern 1.2:
 * 200, with the URL of the memento in Content-Location). A memento is the entity as of a tick; a tombstone is no memento.
 *
 * HTTP dates have whole seconds. So an Accept-Datetime means the end of its second: a caller that sends back the
 * Memento-Datetime of a state gets that state, or the last one within that second.
 */

export const LINK_FORMAT = 'application/link-format';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** IMF-fixdate (RFC 9110 section 5.6.7), the only form that RFC 7089 takes: as `httpDate` writes it. */
const FORM = 'an HTTP date such as Fri, 08 Jan 2016 00:00:00 GMT';

/**
 * The date that Accept-Datetime asks for, as the last instant of its second.
 * @throws Refusal `invalid_as_of`
 */
export function dateOf(header: string): string {
  const [, rest, day, month = '', year, time] =
    /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(, (\d\d) (\w{3}) (\d{4}) (\d\d:\d\d:\d\d) GMT)$/.exec(header.trim()) ?? [];
  const date = new Date(`${year}-${String(MONTHS.indexOf(month) + 1).padStart(2, '0')}-${day}T${time}Z`);
  // Its day must be one that the calendar has. The weekday says nothing more: RFC 7089 itself has a wrong one (figure 8).
  if (Number.isNaN(date.getTime()) || date.toUTCString().slice(3) !== rest || year === '0000') {
    throw Refusal.at('invalid_as_of', 'Accept-Datetime', `is not ${FORM}`);
  }
  return `${date.toISOString().slice(0, 19)}.999999Z`;
}

/** An instant as an HTTP date, which drops the fraction of the second. */
export const httpDate = (instant: string): string => new Date(instant).toUTCString();

/** Which entity an answer shows, and by which parameters it shows a part of it, or more: as a query without `asOf`, perhaps empty. */
export type Shown = { id: string; selection: string };

const pathOf = (id: string) => `/entities/${id}`;
const entityTarget = ({ id, selection }: Shown) => (selection === '' ? pathOf(id) : `${pathOf(id)}?${selection}`);
const mementoTarget = ({ id, selection }: Shown, tick: number) =>
  `${pathOf(id)}?asOf=${tick}${selection === '' ? '' : `&${selection}`}`;

/* Links of the link format (RFC 6690), and of the header Link (RFC 8288): to the entity, its TimeMap, and a memento of it. */

/** Links to what is its own TimeGate. One for each relation: not every client takes two in one. */
export const originalLinks = (target: string) => `<${target}>; rel="original", <${target}>; rel="timegate"`;
/** The same of an entity. */
export const linksToEntity = (id: string) => originalLinks(pathOf(id));
export const timemapLink = (target: string, rel: string, dates: Record<string, Memento | undefined>) =>
  [
    `<${target}>; rel="${rel}"; type="${LINK_FORMAT}"`,
    ...Object.entries(dates).flatMap(([name, memento]) => (memento ? [`${name}="${httpDate(memento.at)}"`] : [])),
  ].join('; ');
export const mementoLink = (shown: Shown, { tick, at }: Memento, rel: string) =>
  `<${mementoTarget(shown, tick)}>; rel="${rel}memento"; datetime="${httpDate(at)}"`;

/** Says which state an answer shows, and where headers can hold it, under which URL that answer stays the same for ever. */
export function stampMemento(reply: FastifyReply, shown: Shown, { tick, updatedAt }: EntityRow, fits: boolean): void {
  reply.header('memento-datetime', httpDate(updatedAt));
  if (fits) reply.header('content-location', mementoTarget(shown, tick));
}

/** The links of an answer of an entity: to its original resource and its TimeGate, and of a whole one to its TimeMap. */
export const ownLinks = (shown: Shown): string =>
  shown.selection === ''
    ? `${originalLinks(entityTarget(shown))}, <${pathOf(shown.id)}/timemap>; rel="timemap"; type="${LINK_FORMAT}"`
    : originalLinks(entityTarget(shown));

/**
 * Links to the first and last memento, and to those before and after a state. They take one more statement, which would slow
 * every read as of a point (src/guide/figures.md). So only a caller who asks by Accept-Datetime gets them. Beside `asOf` the date selects
 * nothing, and the answer does not depend on it (RFC 7089 section 4.1.1).
 */
export function mementoLinks(shown: Shown, related: readonly RelatedMemento[]): string[] {
  const rels = new Map<number, { at: string; rel: string }>();
  for (const { rel, tick, at } of related) rels.set(tick, { at, rel: `${rels.get(tick)?.rel ?? ''}${rel} ` });
  return [...rels].map(([tick, { at, rel }]) => mementoLink(shown, { tick, at }, rel));
}
