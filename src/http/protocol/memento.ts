import type { FastifyReply } from 'fastify';
import type { EntityRow, Memento, RelatedMemento } from '../../storage/rows.js';
import { Refusal } from '../../temporal/refusal.js';

/*
 * Datetime negotiation as in RFC 7089. An entity's URL is its original resource and the TimeGate of it (pattern 1.2: 200, with
 * the memento's own URL in Content-Location); a memento is the entity as of a tick, a tombstone none. HTTP dates have whole
 * seconds: an Accept-Datetime means the end of its second, so that the Memento-Datetime of a state leads back to it, or to
 * the last one within that second.
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
  const [, day, month = '', year, time] =
    /^\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d:\d\d:\d\d) GMT$/.exec(header.trim()) ?? [];
  const date = new Date(`${year}-${String(MONTHS.indexOf(month) + 1).padStart(2, '0')}-${day}T${time}Z`);
  // Its day must be one that the calendar has, and the weekday that of the day.
  if (Number.isNaN(date.getTime()) || date.toUTCString() !== header.trim() || year === '0000') {
    throw Refusal.at('invalid_as_of', 'Accept-Datetime', `is not ${FORM}`);
  }
  return `${date.toISOString().slice(0, 19)}.999999Z`;
}

/** An instant as an HTTP date: without what is below the second. */
export const httpDate = (instant: string): string => new Date(instant).toUTCString();

const pathOf = (id: string) => `/entities/${id}`;
const mementoPath = (id: string, tick: number) => `${pathOf(id)}?asOf=${tick}`;

export const originalLink = (id: string) => `<${pathOf(id)}>; rel="original timegate"`;
export const timemapLink = (target: string, rel: string, dates: Record<string, Memento | undefined>) =>
  [
    `<${target}>; rel="${rel}"; type="${LINK_FORMAT}"`,
    ...Object.entries(dates).flatMap(([name, memento]) => (memento ? [`${name}="${httpDate(memento.at)}"`] : [])),
  ].join('; ');
export const mementoLink = (id: string, { tick, at }: Memento, rel: string) =>
  `<${mementoPath(id, tick)}>; rel="${rel}memento"; datetime="${httpDate(at)}"`;

/** Says which state an answer shows, and by which URL it can be had for ever. */
export const stampMemento = (reply: FastifyReply, { id, tick, updatedAt }: EntityRow): FastifyReply =>
  reply.header('content-location', mementoPath(id, tick)).header('memento-datetime', httpDate(updatedAt));

/** Where else an entity can be had. */
export const ownLinks = (id: string): string =>
  `${originalLink(id)}, <${pathOf(id)}/timemap>; rel="timemap"; type="${LINK_FORMAT}"`;

/**
 * Links to the first and last memento and to those beside a state. They take a statement more, and reads as of a point would be
 * 31,000 a second instead of 52,000: so they are for who sends Accept-Datetime, also beside `asOf`, where it selects nothing (RFC
 * 7089 section 4.5.3).
 */
export function mementoLinks(id: string, related: readonly RelatedMemento[]): string[] {
  const rels = new Map<number, { at: string; rel: string }>();
  for (const { rel, tick, at } of related) rels.set(tick, { at, rel: `${rels.get(tick)?.rel ?? ''}${rel} ` });
  return [...rels].map(([tick, { at, rel }]) => mementoLink(id, { tick, at }, rel));
}
