import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Newest, type Pin, type PinQuestion, readSnapshot } from '../../storage/pins.js';
import type { Storage } from '../../storage/storage.js';
import { isBefore } from '../../temporal/point.js';
import { invalidCursor } from '../../temporal/refusal.js';
import { EXAMPLE_INSTANT } from '../contract/examples.js';
import { etagHeader, header, mementoHeaders } from '../contract/headers.js';
import { sendJson } from '../contract/responses.js';
import { callerSignal } from '../protocol/caller.js';
import { isConditional, isNotModified, type ReadConditions } from '../protocol/conditions.js';
import { objectText, scalarText } from '../protocol/json-text.js';
import { dateOf, httpDate, originalLinks } from '../protocol/memento.js';
import { fitsInHeaders, linkNext, readSnapshotCursor, snapshotCursor, targetOf } from '../protocol/pages.js';
import { IMMUTABLE, parseInstant, REVALIDATE, sendNotModified } from './reads.js';

/* Pages of many entities as of one instant: how such a page is pinned, tagged and answered. */

/**
 * The headers of such a page, for the OpenAPI document.
 * @param url an example of the call, with a query
 */
export const snapshotHeaders = (url: string, etag = 'What the page can show') => ({
  ETag: { ...etagHeader, description: etag },
  ...mementoHeaders,
  'Content-Location': header(
    'Of a first page: the same for ever',
    `${url}&asOf=${EXAMPLE_INSTANT}&recordedAsOf=${EXAMPLE_INSTANT}`,
  ),
  Link: header('Its `original`, which is its `timegate`, and the next page', originalLinks(url)),
});

type SnapshotRequest = FastifyRequest & {
  query: { recordedAsOf?: string | undefined; cursor?: string | undefined };
  headers: ReadConditions & { 'accept-datetime'?: string | undefined };
};

/** A walk: one question that the caller reads page by page. */
export type SnapshotWalk = {
  /** What tells the walk from others: the call, and everything that chooses what it shows. A cursor is bound to it. */
  name: readonly unknown[];
  /** The type whose changes the walk can show; null: any. */
  type: string | null;
  /** The instant that the caller asks for, if any. */
  asOf: string | undefined;
  /** Whether the instant comes by the parameter `asOf`, so that a Content-Location can name it there. */
  takesAsOf: boolean;
  /** Whether this is a place that a cursor of the walk can hold. */
  isPlace: (place: readonly string[]) => boolean;
};

/**
 * A page: the newest change that its snapshot can show, its items as JSON texts with commas between, and the place where the next
 * page begins.
 */
type SnapshotPage = { newest: Newest; items: string; next: readonly string[] | null };

/**
 * Answers with a page as of one instant. When the caller has it already, it answers 304 and does not read the page.
 * @param read reads the page at a pin, from a place on; null is the beginning
 * @throws Refusal `invalid_cursor`, `invalid_as_of`, `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function sendSnapshot(
  storage: Storage,
  request: SnapshotRequest,
  reply: FastifyReply,
  walk: SnapshotWalk,
  read: (pin: Pin, place: readonly string[] | null) => Promise<SnapshotPage>,
): Promise<FastifyReply> {
  const { headers, raw } = request;
  const name = JSON.stringify(walk.name);
  const url = targetOf(request, { asOf: null, recordedAsOf: null, cursor: null });
  // Also of a refusal: who asks by a date has to learn whom he has asked (RFC 7089 section 4.5.3).
  const fits = fitsInHeaders(url);
  if (fits) reply.header('link', originalLinks(url));
  const isUrlOfMemento = walk.asOf !== undefined || request.query.cursor !== undefined;
  if (!isUrlOfMemento) reply.header('vary', 'accept-datetime');
  const { question, place, isMemento } = positionOf(request, walk, name);
  const { newest, isFixed, page } = await readSnapshot(
    storage,
    walk.type,
    question,
    isConditional(headers) ? (newest) => isNotModified(snapshotTag(newest), headers) : null,
    (pin) => read(pin, place),
    callerSignal(raw),
  );
  stampPage(request, reply, newest, {
    isFixed,
    isMemento,
    isPlaced: fits && !(isFixed && isUrlOfMemento),
    takesAsOf: walk.takesAsOf,
  });
  if (!page) return sendNotModified(reply);
  const cursor = page.next === null || newest.asOf === null ? null : snapshotCursor(name, newest, page.next);
  const text = objectText([
    ['asOf', scalarText(newest.asOf)],
    ['recordedAsOf', scalarText(newest.recordedAsOf)],
    ['items', `[${page.items}]`],
    ['next', linkNext(request, reply, cursor)],
  ]);
  return sendJson(reply, text);
}

/** Sets the headers of a page: its tag, whether it can change, and the URL under which it stays the same for ever (RFC 7089). */
function stampPage(
  request: FastifyRequest,
  reply: FastifyReply,
  newest: Newest,
  {
    isFixed,
    isMemento,
    isPlaced,
    takesAsOf,
  }: { isFixed: boolean; isMemento: boolean; isPlaced: boolean; takesAsOf: boolean },
): FastifyReply {
  reply.header('etag', snapshotTag(newest)).header('cache-control', isFixed ? IMMUTABLE : REVALIDATE);
  if (newest.asOf === null) return reply;
  const { asOf, recordedAsOf } = newest;
  if (isPlaced)
    reply.header('content-location', targetOf(request, takesAsOf ? { asOf, recordedAsOf } : { recordedAsOf }));
  return isMemento ? reply.header('memento-datetime', httpDate(newest.asOf)) : reply;
}

/**
 * Which snapshot the caller asks for, and where the page begins in it. A cursor holds both.
 * @throws Refusal `invalid_cursor`, `invalid_as_of`
 */
export function positionOf(
  { query, headers }: Pick<SnapshotRequest, 'query' | 'headers'>,
  { asOf, isPlace }: Pick<SnapshotWalk, 'asOf' | 'isPlace'>,
  name: string,
): { question: PinQuestion; place: string[] | null; isMemento: boolean } {
  const given = asOf === undefined ? null : parseInstant(asOf, 'asOf');
  const recordedAsOf = query.recordedAsOf === undefined ? null : parseInstant(query.recordedAsOf, 'recordedAsOf');
  if (query.cursor === undefined) {
    const date = given === null ? headers['accept-datetime'] : undefined;
    const moment = given !== null ? { instant: given } : date !== undefined ? { date: dateOf(date) } : null;
    return { question: { asOf: moment, recordedAsOf }, place: null, isMemento: moment !== null };
  }
  const { pin, place } = readSnapshotCursor(query.cursor, name);
  if (!isPlace(place)) throw invalidCursor();
  const isOfAnother = (instant: string | null, pinned: string) => instant !== null && isBefore(instant, pinned);
  if (isOfAnother(given, pin.asOf) || isOfAnother(recordedAsOf, pin.recordedAsOf))
    throw invalidCursor('is of a walk as of another instant');
  return { question: { promised: pin }, place, isMemento: true };
}

/** The entity tag of a snapshot. Its two instants fix what it shows, so they are the tag. */
export const snapshotTag = ({ asOf, recordedAsOf }: Newest): string =>
  asOf === null ? '"nothing"' : asOf === recordedAsOf ? `"${asOf}"` : `"${asOf}/${recordedAsOf}"`;
