import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Pin, pinOf } from '../../storage/pins.js';
import type { HistoryPage, Order } from '../../storage/ranges.js';
import { isInstant, LAST_TICK } from '../../temporal/point.js';
import { invalidCursor } from '../../temporal/refusal.js';
import { scalarText } from './json-text.js';

/**
 * A cursor: the walk it belongs to, and where the next page begins. It says nothing that the caller could not see, so it
 * is not signed; what it names of the walk keeps it from being taken along to another one by mistake.
 */
export function writeCursor(walk: string, position: readonly (string | number)[]): string {
  return Buffer.from([fingerprint(walk), ...position].join('.')).toString('base64url');
}

const fingerprint = (walk: string): string => createHash('sha256').update(walk).digest('base64url').slice(0, 8);

/**
 * The position in a cursor of this walk.
 * @throws Refusal `invalid_cursor`
 */
export function readCursor(cursor: string, walk: string): string[] {
  const [of, ...position] = Buffer.from(cursor, 'base64url').toString().split('.');
  if (of !== fingerprint(walk))
    throw invalidCursor('is not one of this walk: send it with the parameters it came with');
  return position;
}

/**
 * Which page of a history to read; the walk is the history with all that chooses from it.
 * @throws Refusal `invalid_cursor`
 */
export function historyPosition(
  { order, limit, cursor }: { order: Order; limit: number; cursor?: string | undefined },
  walk: string,
): HistoryPage {
  if (cursor === undefined) return { order, limit, until: null, after: null };
  const position = readCursor(cursor, `${walk} ${order}`);
  const [until = 0, after = 0] = position.map(Number);
  if (position.length !== 2 || !position.every(isTick)) throw invalidCursor();
  return { order, limit, until, after };
}

/** The cursor of a history's next page: the tick the walk is pinned to, and the tick where this page ended. */
export const historyCursor = (walk: string, order: Order, until: number, after: number): string =>
  writeCursor(`${walk} ${order}`, [until, after]);

/** The cursor of the next page of a TimeMap: the tick where this page ended. */
export const mementoCursor = (walk: string, after: number): string => writeCursor(walk, [after]);

/** @throws Refusal `invalid_cursor` */
export function mementoPosition(
  { limit, cursor }: { limit: number; cursor?: string | undefined },
  walk: string,
): { after: number; limit: number } {
  if (cursor === undefined) return { after: 0, limit };
  const position = readCursor(cursor, walk);
  if (position.length !== 1 || !position.every(isTick)) throw invalidCursor();
  return { after: Number(position[0]), limit };
}

export const isTick = (text: string): boolean => /^[1-9]\d{0,9}$/.test(text) && Number(text) <= LAST_TICK;

/** The cursor of the next page of a snapshot: the instants that the walk is pinned to, and the place where this page ended. */
export const snapshotCursor = (walk: string, { asOf, recordedAsOf }: Pin, place: readonly string[]): string =>
  writeCursor(walk, [asOf.replace('.', ','), recordedAsOf.replace('.', ','), ...place]);

/** As we write them: what is more in an instant that a caller may write is none of ours. */
const isOurInstant = (text: string): boolean => /\.\d{6}Z$/.test(text) && isInstant(text);

/** @throws Refusal `invalid_cursor` */
export function readSnapshotCursor(cursor: string, walk: string): { pin: Pin; place: string[] } {
  const [asOf = '', recordedAsOf = '', ...place] = readCursor(cursor, walk).map((part) => part.replace(',', '.'));
  if (![asOf, recordedAsOf].every(isOurInstant)) throw invalidCursor();
  return { pin: pinOf(asOf, recordedAsOf), place };
}

/**
 * Whether headers can repeat the URL: clients take 16 kB of headers (Node's), proxies less, and a page repeats it three times. What
 * they would say can be made of the body.
 */
export const fitsInHeaders = ({ url }: FastifyRequest): boolean => url.length <= 2_000;

/** The end of a page: the cursor of the next one in the body, and as a link (RFC 8288); null on the last page. */
export function linkNext(request: FastifyRequest, reply: FastifyReply, cursor: string | null): string {
  if (cursor !== null && fitsInHeaders(request)) {
    reply.header('link', linked(reply.getHeader('link'), `<${targetOf(request, { cursor })}>; rel="next"`));
  }
  return scalarText(cursor);
}

/**
 * The target of a request with some parameters set, or left out: the path as the caller wrote it (a URL object would make
 * another of a backslash and of `..`), for a link.
 */
export function targetOf(request: FastifyRequest, changes: Record<string, string | null>): string {
  const [, target = '', query] = /^([^?]*)\??(.*)$/s.exec(request.url) ?? [];
  const path = target.replace(/^https?:\/\/[^/]*/i, '').replace(/[\\<>"{}|^`]/g, encodeURIComponent);
  const parameters = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) parameters.delete(name);
    else parameters.set(name, value);
  }
  return parameters.size > 0 ? `${path}?${parameters}` : path;
}

/** A further link beside those that an answer has already. */
const linked = (links: unknown, link: string): string => (typeof links === 'string' ? `${links}, ${link}` : link);
