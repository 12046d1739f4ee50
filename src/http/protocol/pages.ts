import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Pin, pinOf } from '../../storage/pins.js';
import type { HistoryPage, Order } from '../../storage/ranges.js';
import { isKey } from '../../temporal/identity.js';
import { isInstant, type Known, LAST_TICK } from '../../temporal/point.js';
import { invalidCursor } from '../../temporal/refusal.js';
import { scalarText } from './json-text.js';
import { withItemsApart } from './query.js';

/**
 * A keyset cursor: a fingerprint of the walk that it belongs to, and the position where the next page begins. It holds nothing
 * that the caller could not see, so it is not signed. The fingerprint is there because a caller could send a cursor along with
 * another question by mistake.
 * @param position its parts hold no full stop
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
 * The position of a page in a history.
 * @param walk names the history, and everything that chooses from it
 * @param known what may be seen of the entity; null: all
 * @throws Refusal `invalid_cursor`
 */
export function historyPosition(
  { order, limit, cursor }: { order: Order; limit: number; cursor?: string | undefined },
  walk: string,
  known: Known | null = null,
): HistoryPage {
  if (cursor === undefined) return { order, limit, until: known?.tick ?? null, after: null };
  const position = readCursor(cursor, `${walk} ${order}`);
  const [until = 0, after = 0] = position.map(Number);
  if (position.length !== 2 || !position.every(isTick)) throw invalidCursor();
  if (known && until > known.tick) throw invalidCursor('is of a walk by what was recorded later');
  return { order, limit, until, after };
}

/** The cursor of the next page of a history: the tick that the walk is pinned to, and the tick where this page ended. */
export const historyCursor = (walk: string, order: Order, until: number, after: number): string =>
  writeCursor(`${walk} ${order}`, [until, after]);

/** The cursor of the next page of a TimeMap: the tick where this page ended. */
export const mementoCursor = (walk: string, after: number): string => writeCursor(walk, [after]);

/** The position of a page in a TimeMap: after which tick it begins. @throws Refusal `invalid_cursor` */
export function mementoPosition(
  { limit, cursor }: { limit: number; cursor?: string | undefined },
  walk: string,
): { after: number; limit: number } {
  if (cursor === undefined) return { after: 0, limit };
  const position = readCursor(cursor, walk);
  if (position.length !== 1 || !position.every(isTick)) throw invalidCursor();
  return { after: Number(position[0]), limit };
}

/** Whether a part of a cursor is a tick. */
export const isTick = (text: string): boolean => /^[1-9]\d{0,9}$/.test(text) && Number(text) <= LAST_TICK;

/**
 * The cursor of the next page of a snapshot: the instants that the walk is pinned to, and the place where this page ended, by
 * value, so that no page has to look the last entity up. A full stop separates the parts of a cursor, so those in them are escaped.
 */
export const snapshotCursor = (walk: string, { asOf, recordedAsOf }: Pin, place: readonly string[]): string =>
  writeCursor(
    walk,
    [asOf, recordedAsOf, ...place].map((part) => part.replaceAll('%', '%25').replaceAll('.', '%2E')),
  );

/** Whether a part of a place is a key, or stands for none. */
export const isPlaceKey = (text: string): boolean => text === '' || isKey(text);

/** Whether a text is an instant as the service writes it. A caller may write one in other ways, but not in a cursor. */
export const isOurInstant = (text: string): boolean => /\.\d{6}Z$/.test(text) && isInstant(text);

/** The pin of the walk, and the place where the page begins. @throws Refusal `invalid_cursor` */
export function readSnapshotCursor(cursor: string, walk: string): { pin: Pin; place: string[] } {
  const [asOf = '', recordedAsOf = '', ...place] = readCursor(cursor, walk).map((part) =>
    part.replaceAll('%2E', '.').replaceAll('%25', '%'),
  );
  if (![asOf, recordedAsOf].every(isOurInstant)) throw invalidCursor();
  return { pin: pinOf(asOf, recordedAsOf), place };
}

/** How often an answer may repeat the URL of its request, and how much that may come to, in characters. */
const MOST_REPEATED = 4;
const MAX_REPEATED = 8_000;

/**
 * Whether headers can repeat a target so many times. Node takes 16 KiB of headers, some proxies take less. Of a longer one the headers are
 * left out; a client can make what they say from the body.
 */
export const fitsInHeaders = (target: string, times = MOST_REPEATED): boolean => target.length * times <= MAX_REPEATED;

/**
 * The `next` of a page as JSON text: the cursor, or null on the last page. Also links to the next page (RFC 8288, `rel="next"`).
 */
export function linkNext(request: FastifyRequest, reply: FastifyReply, cursor: string | null): string {
  const next = cursor === null ? null : targetOf(request, { cursor });
  if (next !== null && fitsInHeaders(next))
    reply.header('link', linked(reply.getHeader('link'), `<${next}>; rel="next"`));
  return scalarText(cursor);
}

/**
 * The target of a request, for a link, with other parameters. The path stays as the caller wrote it; a URL object would change
 * a backslash and `..` in it.
 * @param parameters the parameters to set; null leaves one out
 */
export function targetOf(request: FastifyRequest, parameters: Record<string, string | null>): string {
  const [, target = '', query = ''] = /^([^?]*)\??(.*)$/s.exec(request.url) ?? [];
  const path = target.replace(/^https?:\/\/[^/]*/i, '').replace(/[\\<>"{}|^`]|[^\x21-\x7e]/g, encodeURIComponent);
  const all = new URLSearchParams(withItemsApart(query));
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null) all.delete(name);
    else all.set(name, value);
  }
  return all.size > 0 ? `${path}?${all}` : path;
}

/** The header Link with one more link than it has. */
const linked = (links: unknown, link: string): string => (typeof links === 'string' ? `${links}, ${link}` : link);
