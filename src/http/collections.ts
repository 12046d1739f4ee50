import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type Collection, readPage, type SnapshotRow } from '../storage/collections.js';
import { type Newest, type Pin, readNewest, readOldest } from '../storage/pins.js';
import type { Storage } from '../storage/storage.js';
import { parseEverHad, parseFilter } from '../temporal/filter.js';
import { isKey } from '../temporal/identity.js';
import { isBefore } from '../temporal/point.js';
import { Refusal } from '../temporal/refusal.js';
import { answers, READING, sendJson } from './answers.js';
import type { App } from './app-type.js';
import { goneOf } from './caller.js';
import { isKnown } from './conditions.js';
import { entityText } from './entity-text.js';
import { fieldsOf, MAX_ITEMS } from './lists.js';
import { acceptDatetime, httpDate, mementoHeaders, selectInstant } from './memento.js';
import { sendNamed } from './named.js';
import { collectionCursor, invalidCursor, linkNext, readCollectionCursor, targetOf } from './pages.js';
import { ASKING, IMMUTABLE, instantOf, NOT_MODIFIED, REVALIDATE, readHeaders } from './reads.js';
import * as schemas from './schemas.js';
import { arrayText, objectText, scalarText } from './text.js';

/** What does not go with `ids`. */
const OF_COLLECTIONS = [
  'type',
  'keyPrefix',
  'deleted',
  'where',
  'everHad',
  'changedBetween',
  'include',
  'recordedAsOf',
  'limit',
  'cursor',
] as const;

const collectionQuery = z
  .strictObject({
    ids: schemas.optionalList(`These entities: up to ${MAX_ITEMS} UUIDs or type:key`, 'friend:rachel,friend:will'),
    type: schemas.entityType
      .optional()
      .meta({ description: 'Those of a type, such as `friend`; without, those of all' }),
    keyPrefix: z
      .string()
      .refine(isKey, { error: 'must have 1 to 512 characters, as a key' })
      .optional()
      .meta({ description: 'Those whose keys begin so; needs `type`' }),
    deleted: z.enum(['exclude', 'include', 'only']).optional().meta({
      description:
        'Whether those that were deleted then are there, too, or only those; without, they are where it is asked for the past (everHad, changedBetween)',
    }),
    where: schemas.where,
    everHad: schemas.optional(
      'Those of which all of this held at any time until then: by property a value, or `eq`, `in`, `has`, `hasKey`',
      '{"location": "Tucson"}',
    ),
    changedBetween: schemas.optional(
      'Those that changed after the first of two instants, up to and with the second, as they were at that',
      '2016-01-08T00:00:00Z,2016-01-09T00:00:00Z',
    ),
    include: z
      .enum(['changes'])
      .optional()
      .meta({ description: 'With changedBetween: also what differs between the two instants' }),
    asOf: schemas.optional(
      'As they were at an RFC 3339 instant; without, at the newest that is stable',
      schemas.EXAMPLE_INSTANT,
    ),
    recordedAsOf: schemas.optional(
      'By what was recorded at an RFC 3339 instant; without, by all of it',
      schemas.EXAMPLE_INSTANT,
    ),
    fields: schemas.fields,
    limit: schemas.optionalLimit,
    cursor: schemas.pageParameters.cursor,
  })
  .superRefine((query, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (query.ids !== undefined)
      for (const name of OF_COLLECTIONS) if (query[name] !== undefined) refuse(name, 'does not go with ids');
    if (query.keyPrefix !== undefined && query.type === undefined)
      refuse('keyPrefix', 'needs type: keys are those of a type');
    if (query.changedBetween !== undefined && query.asOf !== undefined)
      refuse('asOf', 'does not go with changedBetween, which is as of its second instant');
    if (query.changedBetween === undefined && query.include !== undefined)
      refuse('include', 'needs changedBetween: what differs from when?');
  });

type CollectionQuery = z.output<typeof collectionQuery>;

/** The call that reads many entities: those that it names, or a collection page by page. */
export function collectionRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities',
    {
      schema: {
        operationId: 'readEntities',
        tags: ['entities'],
        summary: 'Read many entities, by their ids or page by page, as of an instant',
        querystring: collectionQuery,
        headers: readHeaders.extend({ 'accept-datetime': acceptDatetime }),
        response: answers(
          {
            200: {
              description: 'The entities that are there, and which are not; or, without `ids`, a page of a collection',
              body: z.union([schemas.snapshotPage, schemas.entityList]),
              headers: {
                ETag: {
                  ...schemas.etagHeader,
                  description: 'Of a page: what it can show. Of `ids`: over every id and tick that the answer shows',
                },
                ...mementoHeaders,
                'Content-Location': schemas.header(
                  'Of a first page: the same for ever',
                  `/entities?type=friend&asOf=${schemas.EXAMPLE_INSTANT}&recordedAsOf=${schemas.EXAMPLE_INSTANT}`,
                ),
                Link: schemas.header(
                  'Its `original`, which is its `timegate`, and the next page',
                  '</entities?type=friend>; rel="original timegate"',
                ),
              },
            },
            ...NOT_MODIFIED,
          },
          ASKING,
          ['invalid_cursor', 'invalid_filter', 'overloaded'],
          READING,
        ),
      },
    },
    async (request, reply) => {
      const { ids } = request.query;
      return ids === undefined ? sendPage(storage, request, reply) : sendNamed(storage, request, reply, ids);
    },
  );
}

type Asking = FastifyRequest & {
  query: CollectionQuery;
  headers: { 'if-none-match'?: string | undefined; 'accept-datetime'?: string | undefined };
};

/** Answers with a page of a collection, or with 304 before any entity is read. */
async function sendPage(storage: Storage, request: Asking, reply: FastifyReply): Promise<FastifyReply> {
  const { query } = request;
  const { type = null, limit = Number(schemas.DEFAULT_LIMIT) } = query;
  const [changedAfter = null, changedUntil] = changedBetween(query.changedBetween);
  const collection = collectionOf(query, changedAfter);
  const fields = fieldsOf(query.fields);
  const walk = JSON.stringify(['entities', collection, ...(changedUntil === undefined ? [] : [changedUntil])]);
  const given = query.asOf ?? changedUntil;
  const date = given === undefined && query.cursor === undefined ? request.headers['accept-datetime'] : undefined;
  const asOf = date === undefined ? given : await selectSnapshot(storage, query, date);
  const { pin, after, isFixed } = await positionOf(storage, { ...query, asOf }, walk);
  const isMemento = given !== undefined || date !== undefined || after !== null;
  const ifNoneMatch = request.headers['if-none-match'];
  if (ifNoneMatch !== undefined) {
    const newest = await readNewest(storage, type, pin);
    if (isKnown(tagOf(newest), ifNoneMatch)) {
      return stampPage(request, reply, newest, { isFixed, isMemento }).code(304).send(undefined);
    }
  }
  const withChanges = query.include === 'changes';
  const page = await readPage(storage, collection, pin, { after, limit, fields, withChanges }, goneOf(request.raw));
  const { newest } = page;
  stampPage(request, reply, newest, { isFixed, isMemento });
  const cursor = page.next === null || newest.asOf === null ? null : collectionCursor(walk, newest, page.next);
  const text = objectText([
    ['asOf', scalarText(newest.asOf)],
    ['recordedAsOf', scalarText(newest.recordedAsOf)],
    ['items', arrayText(page.rows.map(snapshotText))],
    ['next', linkNext(request, reply, cursor)],
  ]);
  return sendJson(reply, text);
}

/** Which entities a query asks for. @throws Refusal `invalid_filter` */
function collectionOf(query: CollectionQuery, changedAfter: string | null): Collection {
  const { type = null, keyPrefix = null } = query;
  const where = query.where === undefined ? [] : parseFilter(query.where, 'where');
  const everHad = query.everHad === undefined ? [] : parseEverHad(query.everHad, 'everHad');
  const deleted = query.deleted ?? (everHad.length > 0 || changedAfter !== null ? 'include' : 'exclude');
  return { type, keyPrefix, deleted, where, everHad, changedAfter };
}

/** The two instants of `changedBetween`. @throws Refusal `invalid_as_of`, `invalid_parameter` */
function changedBetween(parameter: string | undefined): string[] {
  if (parameter === undefined) return [];
  const refuse = (message: string) =>
    new Refusal('invalid_parameter', `changedBetween ${message}.`, { errors: [{ path: 'changedBetween', message }] });
  const [from, until, ...more] = parameter.split(',').map((instant) => instantOf(instant, 'changedBetween'));
  if (from === undefined || until === undefined || more.length > 0)
    throw refuse('must be two instants with a comma between');
  if (isBefore(until, from)) throw refuse('ends before it begins');
  return [from, until];
}

/** An entity of a snapshot, with what changed where that is asked for. */
const snapshotText = (row: SnapshotRow): string =>
  row.changes === null ? entityText(row) : `${entityText(row).slice(0, -1)}, "changes": ${row.changes}}`;

/** What the headers of a page say: whether it can change, and by which URL it can be had for ever (RFC 7089). */
function stampPage(
  request: Asking,
  reply: FastifyReply,
  newest: Newest,
  { isFixed, isMemento }: { isFixed: boolean; isMemento: boolean },
): FastifyReply {
  const original = targetOf(request, { asOf: null, recordedAsOf: null, cursor: null });
  reply
    .header('etag', tagOf(newest))
    .header('cache-control', isFixed ? IMMUTABLE : REVALIDATE)
    .header('link', `<${original}>; rel="original timegate"`)
    .header('vary', 'accept-datetime');
  if (newest.asOf === null) return reply;
  const { asOf, recordedAsOf } = newest;
  // `changedBetween` says as of when already.
  const own = request.query.changedBetween === undefined ? { asOf, recordedAsOf } : { recordedAsOf };
  if (!isFixed) reply.header('content-location', targetOf(request, own));
  return isMemento ? reply.header('memento-datetime', httpDate(newest.asOf)) : reply;
}

/** The instant that an Accept-Datetime selects: none for a later date than now, the first there is for an earlier one. */
async function selectSnapshot(
  storage: Storage,
  { type, recordedAsOf }: Pick<CollectionQuery, 'type' | 'recordedAsOf'>,
  header: string,
): Promise<string | undefined> {
  const instant = await selectInstant(storage, header);
  if (instant === null) return undefined;
  const oldest = await readOldest(
    storage,
    type ?? null,
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
  { asOf, recordedAsOf, cursor }: CollectionQuery,
  walk: string,
): Promise<{ pin: Pin; after: string | null; isFixed: boolean }> {
  if (cursor !== undefined) {
    const position = readCollectionCursor(cursor, walk);
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
  if (given !== null && recorded !== null)
    return { pin: { asOf: given, recordedAsOf: recorded }, after: null, isFixed: true };
  const stable = await clock.newestStable();
  return { pin: { asOf: given ?? stable, recordedAsOf: recorded ?? stable }, after: null, isFixed: false };
}

/** The same two instants are the same snapshot, so they are its tag. */
const tagOf = ({ asOf, recordedAsOf }: Newest): string =>
  asOf === null ? '"nothing"' : asOf === recordedAsOf ? `"${asOf}"` : `"${asOf}/${recordedAsOf}"`;
