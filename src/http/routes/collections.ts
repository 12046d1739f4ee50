import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type Collection, IN_LINES, readPage } from '../../storage/collections.js';
import { passesAll } from '../../storage/filters.js';
import type { Storage } from '../../storage/storage.js';
import { isKey, isUuid } from '../../temporal/identity.js';
import { MAX_KEY_LENGTH, TYPE_PATTERN } from '../../temporal/limits.js';
import { isBefore } from '../../temporal/point.js';
import { Refusal } from '../../temporal/refusal.js';
import { patchesOfAnswer } from '../answers/patches.js';
import { ENTITY_READ_PROBLEMS, MEMENTO_NOT_MODIFIED, parseInstant, readHeaders } from '../answers/reads.js';
import { type SnapshotWalk, sendSnapshot, snapshotHeaders } from '../answers/snapshots.js';
import type { App } from '../app-type.js';
import { filterOf } from '../contract/filters.js';
import { fieldsOf, itemsOf, MAX_ITEMS } from '../contract/lists.js';
import {
  acceptDatetime,
  asOfParameters,
  DEFAULT_LIMIT,
  depth,
  fields,
  filters,
  optional,
  optionalLimit,
  optionalList,
  pageParameters,
} from '../contract/parameters.js';
import { READ_PROBLEMS, responsesOf } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { callerSignal } from '../protocol/caller.js';
import type { ReadConditions } from '../protocol/conditions.js';
import { isPlaceKey } from '../protocol/pages.js';
import { sendNamed } from './entities-by-id.js';

/** What a page of a collection can show of each entity beside its state. Those that are named can only show who set it. */
const INCLUDED = ['changes', 'provenance'];

/** The parameters of a page of a collection, which do not go with `ids`. */
const OF_COLLECTIONS = [
  'type',
  'keyPrefix',
  'deleted',
  'where',
  'everHad',
  'changedBetween',
  'limit',
  'cursor',
] as const;

const collectionQuery = z
  .strictObject({
    ids: optionalList(
      'Ids',
      `These entities: up to ${MAX_ITEMS} UUIDs or type:key`,
      'ids=friend:rachel&ids=friend:will',
    ),
    type: schemas.entityType
      .optional()
      .meta({ description: 'Those of a type, such as `friend`; without, those of all' }),
    keyPrefix: z
      .string()
      .refine(isKey, { error: `must have 1 to ${MAX_KEY_LENGTH} characters, as a key` })
      .optional()
      .meta({ description: 'Those whose keys begin so; needs `type`' }),
    deleted: z.enum(['exclude', 'include', 'only']).optional().meta({
      description:
        'Whether those that were deleted then are there, too, or only those. Without it: `exclude`; with `everHad` or `changedBetween`: `include`',
    }),
    ...filters,
    changedBetween: optional(
      'Those that changed after the first of two instants, up to and with the second, as they were at that',
      '2016-01-08T00:00:00Z,2016-01-09T00:00:00Z',
    ),
    include: optionalList(
      'IncludeInList',
      'With `changedBetween`, what differs between the two instants (`changes`); since when each has each value, who set it and why (`provenance`)',
      'include=provenance',
      { type: 'string', enum: INCLUDED },
    ),
    depth,
    ...asOfParameters,
    fields,
    limit: optionalLimit,
    cursor: pageParameters.cursor,
  })
  .superRefine((query, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (query.ids !== undefined)
      for (const name of OF_COLLECTIONS) if (query[name] !== undefined) refuse(name, 'does not go with ids');
    if (query.keyPrefix !== undefined && query.type === undefined)
      refuse('keyPrefix', 'needs type: keys are those of a type');
    if (query.changedBetween !== undefined && query.asOf !== undefined)
      refuse('asOf', 'does not go with changedBetween, which is as of its second instant');
    for (const item of itemsOf(query.include ?? [])) {
      if (!INCLUDED.includes(item))
        refuse('include', `cannot be ${JSON.stringify(item)}: there is ${INCLUDED.join(' and ')}`);
      else if (item === 'changes' && query.ids !== undefined) refuse('include', 'of changes does not go with ids');
      else if (item === 'changes' && query.changedBetween === undefined)
        refuse('include', 'of changes needs changedBetween: what differs from when?');
    }
    if (query.depth !== undefined && !itemsOf(query.include ?? []).includes('changes'))
      refuse('depth', 'needs include=changes');
  });

type CollectionQuery = z.output<typeof collectionQuery>;

/** The call that reads many entities: those that the caller names, or a collection page by page. */
export function collectionRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities',
    {
      schema: {
        operationId: 'readEntities',
        tags: ['entities'],
        summary: 'Read many entities, by their ids or page by page, as of an instant',
        description:
          'With `ids` those that are named, and which of them are missing. Otherwise a page of a collection: all pages of a walk show it as of one instant, whatever is written meanwhile. `asOf` of the answer is that of the newest change that it can show.',
        querystring: collectionQuery,
        headers: readHeaders.extend({ 'accept-datetime': acceptDatetime }),
        response: responsesOf(
          {
            200: {
              description: 'The entities that are there, and which are not; or, without `ids`, a page of a collection',
              content: { 'application/json': z.union([schemas.snapshotPage, schemas.entityList]) },
              headers: snapshotHeaders(
                '/entities?type=friend',
                'Of a page: what it can show. Of `ids`: over every id and tick that the answer shows',
              ),
            },
            ...MEMENTO_NOT_MODIFIED,
          },
          ENTITY_READ_PROBLEMS,
          ['invalid_cursor', 'invalid_filter', 'too_much_to_read', 'overloaded'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { ids } = request.query;
      return ids === undefined
        ? sendPage(storage, request, reply)
        : sendNamed(storage, request, reply, ids, includes(request.query, 'provenance'));
    },
  );
}

type CollectionRequest = FastifyRequest & {
  query: CollectionQuery;
  headers: ReadConditions & { 'accept-datetime'?: string | undefined };
};

/** Answers with a page of a collection. */
async function sendPage(storage: Storage, request: CollectionRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { query } = request;
  const { type = null, limit = Number(DEFAULT_LIMIT) } = query;
  const [changedAfter = null, changedUntil] = changedBetween(query.changedBetween);
  const collection = collectionOf(query, changedAfter);
  const fields = fieldsOf(query.fields);
  const [withChanges, withProvenance] = [includes(query, 'changes'), includes(query, 'provenance')];
  const asked = passesAll(collection) ? [] : [collection, changedUntil ?? null];
  const walk: SnapshotWalk = {
    // Without a filter the name stays what it was before there were filters. So a cursor goes on at an instance of another version.
    name: ['entities', { type, keyPrefix: collection.keyPrefix, deleted: collection.deleted }, ...asked],
    type,
    asOf: query.asOf ?? changedUntil,
    // `changedBetween` fixes the instant already.
    takesAsOf: changedUntil === undefined,
    isPlace: ([type = '', key = '', id = '', ...more]) =>
      TYPE_PATTERN.test(type) && isPlaceKey(key) && isUuid(id) && more.length === 0,
  };
  return sendSnapshot(storage, request, reply, walk, async (pin, place) => {
    const [type = '', key = '', id = ''] = place ?? [];
    const part = { after: place && { type, key, id }, limit, fields, withChanges, withProvenance };
    const signal = callerSignal(request.raw);
    const page = await readPage(storage, collection, pin, part, signal, query.depth && IN_LINES);
    const { newest, next } = page;
    const items = query.depth ? withPatches(page.items) : page.items;
    return { newest, items, next: next && [next.type, next.key, next.id] };
  });
}

/** Entities with their changes, one in each line, as texts with commas between and each with a patch. */
function withPatches(lines: string): string {
  if (lines === '') return '';
  const { withPatch } = patchesOfAnswer();
  return lines.split('\n').map(withPatch).join(', ');
}

/** Whether a query asks for what stands beside the state of an entity. */
const includes = ({ include = [] }: CollectionQuery, what: 'changes' | 'provenance'): boolean =>
  itemsOf(include).includes(what);

/** The collection that a query asks for. @throws Refusal `invalid_filter` */
function collectionOf(query: CollectionQuery, changedAfter: string | null): Collection {
  const { type = null, keyPrefix = null } = query;
  const { where, everHad } = filterOf(query, type);
  const deleted = query.deleted ?? (everHad.length > 0 || changedAfter !== null ? 'include' : 'exclude');
  return { type, keyPrefix, deleted, where, everHad, changedAfter };
}

/** The two instants of `changedBetween`; none, if it was not given. @throws Refusal `invalid_as_of`, `invalid_parameter` */
function changedBetween(parameter: string | undefined): string[] {
  if (parameter === undefined) return [];
  const refuse = (message: string) => Refusal.at('invalid_parameter', 'changedBetween', message);
  const [from, until, ...more] = parameter.split(',').map((instant) => parseInstant(instant, 'changedBetween'));
  if (from === undefined || until === undefined || more.length > 0)
    throw refuse('must be two instants with a comma between');
  if (isBefore(until, from)) throw refuse('ends before it begins');
  return [from, until];
}
