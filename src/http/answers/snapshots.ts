import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Newest, type Pin, pinOf, readNewest, readOldest } from '../../storage/pins.js';
import type { Storage } from '../../storage/storage.js';
import { isBefore } from '../../temporal/point.js';
import { sendJson } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { isKnown } from '../protocol/conditions.js';
import { httpDate, mementoHeaders, selectInstant } from '../protocol/memento.js';
import { invalidCursor, isSayable, linkNext, readSnapshotCursor, snapshotCursor, targetOf } from '../protocol/pages.js';
import { arrayText, objectText, scalarText } from './json-text.js';
import { IMMUTABLE, instantOf, REVALIDATE } from './reads.js';

/* How pages of what many entities were as of one instant are pinned, tagged and answered. */

/** What answers with such a page say in their headers, as the OpenAPI document describes it. */
export const snapshotHeaders = (url: string, etag = 'What the page can show') => ({
  ETag: { ...schemas.etagHeader, description: etag },
  ...mementoHeaders,
  'Content-Location': schemas.header(
    'Of a first page: the same for ever',
    `${url}&asOf=${schemas.EXAMPLE_INSTANT}&recordedAsOf=${schemas.EXAMPLE_INSTANT}`,
  ),
  Link: schemas.header(
    'Its `original`, which is its `timegate`, and the next page',
    `<${url}>; rel="original timegate"`,
  ),
});

type Asking = FastifyRequest & {
  query: { recordedAsOf?: string | undefined; cursor?: string | undefined };
  headers: { 'if-none-match'?: string | undefined; 'accept-datetime'?: string | undefined };
};

/**
 * What a page is of: its walk, with all that chooses from it; the type whose changes it can show (null: any); the instant it is to
 * be as of, if that is given, and whether by `asOf`; and which places its cursors can have.
 */
export type Question = {
  walk: readonly unknown[];
  type: string | null;
  asOf: string | undefined;
  saysAsOf: boolean;
  isPlace: (place: readonly string[]) => boolean;
};

/** A page: what its snapshot can show at most, its items as JSON text, and the place where the next one begins. */
export type SnapshotPage = { newest: Newest; items: string[]; next: readonly string[] | null };

/**
 * Answers with a page as of one instant, or with 304 before anything of it is read.
 * @param read reads the page at a pin, from a place on (null: from the first on)
 * @throws Refusal `invalid_cursor`, `invalid_as_of`, `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function sendSnapshot(
  storage: Storage,
  request: Asking,
  reply: FastifyReply,
  question: Question,
  read: (pin: Pin, place: readonly string[] | null) => Promise<SnapshotPage>,
): Promise<FastifyReply> {
  const { query, headers } = request;
  const walk = JSON.stringify(question.walk);
  const date = question.asOf === undefined && query.cursor === undefined ? headers['accept-datetime'] : undefined;
  const asOf = date === undefined ? question.asOf : await selectSnapshot(storage, question, query, date);
  const { pin, place, isFixed } = await positionOf(storage, { ...query, asOf }, walk, question);
  const isMemento = question.asOf !== undefined || date !== undefined || place !== null;
  const stamp = (newest: Newest) =>
    stampPage(request, reply, newest, { isFixed, isMemento, saysAsOf: question.saysAsOf });
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) {
    const newest = await readNewest(storage, question.type, pin);
    if (isKnown(tagOf(newest), ifNoneMatch)) return stamp(newest).code(304).send(undefined);
  }
  const { newest, items, next } = await read(pin, place);
  stamp(newest);
  const cursor = next === null || newest.asOf === null ? null : snapshotCursor(walk, newest, next);
  const text = objectText([
    ['asOf', scalarText(newest.asOf)],
    ['recordedAsOf', scalarText(newest.recordedAsOf)],
    ['items', arrayText(items)],
    ['next', linkNext(request, reply, cursor)],
  ]);
  return sendJson(reply, text);
}

/** What the headers of a page say: whether it can change, and by which URL it can be had for ever (RFC 7089). */
function stampPage(
  request: FastifyRequest,
  reply: FastifyReply,
  newest: Newest,
  { isFixed, isMemento, saysAsOf }: { isFixed: boolean; isMemento: boolean; saysAsOf: boolean },
): FastifyReply {
  const original = targetOf(request, { asOf: null, recordedAsOf: null, cursor: null });
  reply
    .header('etag', tagOf(newest))
    .header('cache-control', isFixed ? IMMUTABLE : REVALIDATE)
    .header('vary', 'accept-datetime');
  const isSaid = isSayable(request);
  if (isSaid) reply.header('link', `<${original}>; rel="original timegate"`);
  if (newest.asOf === null) return reply;
  const { asOf, recordedAsOf } = newest;
  if (!isFixed && isSaid)
    reply.header('content-location', targetOf(request, saysAsOf ? { asOf, recordedAsOf } : { recordedAsOf }));
  return isMemento ? reply.header('memento-datetime', httpDate(newest.asOf)) : reply;
}

/** The instant that an Accept-Datetime selects: none for a later date than now, the first there is for an earlier one. */
async function selectSnapshot(
  storage: Storage,
  { type }: Question,
  { recordedAsOf }: Asking['query'],
  header: string,
): Promise<string | undefined> {
  const instant = await selectInstant(storage, header);
  if (instant === null) return undefined;
  const oldest = await readOldest(
    storage,
    type,
    recordedAsOf === undefined ? null : instantOf(recordedAsOf, 'recordedAsOf'),
  );
  return oldest !== null && isBefore(instant, oldest) ? oldest : instant;
}

/**
 * What a page is pinned to, and where it begins. A cursor's instants were found stable by whichever instance gave it, so
 * nothing that is open by now holds them back; that they have come at all is asked, because anybody can write a cursor.
 * @throws Refusal `invalid_cursor`, `invalid_as_of`, `as_of_in_future`, `as_of_not_stable_yet`
 */
async function positionOf(
  { clock }: Storage,
  { asOf, recordedAsOf, cursor }: Asking['query'] & { asOf: string | undefined },
  walk: string,
  { isPlace }: Question,
): Promise<{ pin: Pin; place: string[] | null; isFixed: boolean }> {
  if (cursor !== undefined) {
    const position = readSnapshotCursor(cursor, walk);
    if (!isPlace(position.place)) throw invalidCursor();
    for (const instant of Object.values(position.pin)) {
      if (!(await clock.hasCome(instant))) throw invalidCursor();
    }
    const isOfAnother = (text: string | undefined, name: keyof Pin) =>
      text !== undefined && isBefore(instantOf(text, name), position.pin[name]);
    if (isOfAnother(asOf, 'asOf') || isOfAnother(recordedAsOf, 'recordedAsOf')) {
      throw invalidCursor('is of a walk as of another instant');
    }
    return { ...position, isFixed: true };
  }
  const given = asOf === undefined ? null : instantOf(asOf, 'asOf');
  const recorded = recordedAsOf === undefined ? null : instantOf(recordedAsOf, 'recordedAsOf');
  for (const instant of [given, recorded]) if (instant !== null) await clock.waitUntilStable(instant);
  if (given !== null && recorded !== null) return { pin: pinOf(given, recorded), place: null, isFixed: true };
  const stable = await clock.newestStable();
  return { pin: pinOf(given ?? stable, recorded ?? stable), place: null, isFixed: false };
}

/** The same two instants are the same snapshot, so they are its tag. */
export const tagOf = ({ asOf, recordedAsOf }: Newest): string =>
  asOf === null ? '"nothing"' : asOf === recordedAsOf ? `"${asOf}"` : `"${asOf}/${recordedAsOf}"`;
