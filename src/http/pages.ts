import type { FastifyReply, FastifyRequest } from 'fastify';
import type { HistoryPage, Order } from '../storage/history.js';
import { Refusal } from '../temporal/refusal.js';
import { arrayText, objectText, scalarText } from './text.js';

/** What a cursor carries: the order of its walk, the tick the walk is pinned to, and where the last page ended. */
type Position = { order: Order; until: number; after: number };

const write = ({ order, until, after }: Position): string =>
  Buffer.from(`${order}.${until}.${after}`).toString('base64url');

function read(cursor: string): Position {
  const match = /^(asc|desc)\.(\d{1,10})\.(\d{1,10})$/.exec(Buffer.from(cursor, 'base64url').toString());
  const [order, until, after] = match?.slice(1) ?? [];
  const position = { order: order === 'desc' ? 'desc' : 'asc', until: Number(until), after: Number(after) } as const;
  if (!match || Math.max(position.until, position.after) >= 2 ** 31 || write(position) !== cursor) {
    throw invalid('is not one that this service gave');
  }
  return position;
}

const invalid = (message: string) =>
  new Refusal('invalid_cursor', `cursor ${message}.`, { errors: [{ path: 'cursor', message }] });

/**
 * Where to read on.
 * @throws Refusal `invalid_cursor`
 */
export function pageOf(query: { order: Order; limit: number; cursor?: string | undefined }): HistoryPage {
  const { order, limit, cursor } = query;
  if (cursor === undefined) return { order, limit, until: null, after: null };
  const position = read(cursor);
  if (position.order !== order) throw invalid(`goes on in the order ${position.order}`);
  return { order, limit, until: position.until, after: position.after };
}

/** Sends a page, with the way to the next one in the body and as a link (RFC 8288). */
export function sendPage(
  request: FastifyRequest,
  reply: FastifyReply,
  items: readonly string[],
  next: Position | null,
): FastifyReply {
  const cursor = next && write(next);
  if (cursor !== null) {
    const [path = '', query] = request.url.split('?');
    const parameters = new URLSearchParams(query);
    parameters.set('cursor', cursor);
    reply.header('link', `<${path}?${parameters}>; rel="next"`);
  }
  return reply.type('application/json').send(
    objectText([
      ['items', arrayText(items)],
      ['next', scalarText(cursor)],
    ]),
  );
}
