import { z } from 'zod';
import { type DiffEnd, readDiff } from '../../storage/diff.js';
import { readState } from '../../storage/states.js';
import type { Storage } from '../../storage/storage.js';
import { begun, existing, hasTick, living } from '../../temporal/entity.js';
import { parseAddress } from '../../temporal/identity.js';
import { parsePoint } from '../../temporal/point.js';
import { changesText, entityText, mementoText } from '../answers/entity-text.js';
import { patchesOfAnswer } from '../answers/patches.js';
import {
  CONDITION_PROBLEMS,
  ENTITY_READ_PROBLEMS,
  IMMUTABLE,
  knownOf,
  MEMENTO_NOT_MODIFIED,
  NOT_MODIFIED,
  REVALIDATE,
  readHeaders,
  sendOrNotModified,
} from '../answers/reads.js';
import type { App } from '../app-type.js';
import { EXAMPLE_ID } from '../contract/examples.js';
import { cacheControlHeader, contentLocationHeader, etagHeader, header, mementoHeaders } from '../contract/headers.js';
import { fieldsOf, includeOf } from '../contract/lists.js';
import {
  acceptDatetime,
  depth,
  entityParameters,
  fields,
  optionalList,
  optionalPoint,
  point,
  recordedAsOf,
} from '../contract/parameters.js';
import { AS_OF_PROBLEMS, READ_PROBLEMS, responsesOf } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { callerSignal } from '../protocol/caller.js';
import { etagOf } from '../protocol/conditions.js';
import { objectText, scalarText } from '../protocol/json-text.js';
import { dateOf, linksToEntity, mementoLinks, ownLinks, stampMemento } from '../protocol/memento.js';
import { fitsInHeaders } from '../protocol/pages.js';

const entityHeaders = {
  ETag: etagHeader,
  'Content-Location': contentLocationHeader,
  ...mementoHeaders,
  Link: header(
    'Its `original`, `timegate` and `timemap`; where Accept-Datetime was sent also the `first`, `last`, `prev` and `next` memento',
    linksToEntity(EXAMPLE_ID),
  ),
};

/** How often the headers of an answer may repeat what it shows. */
const LINKS = 8;

/** The calls that read an entity: one of its states, and what differs between two. */
export function entityRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities/:id',
    {
      schema: {
        operationId: 'readEntity',
        tags: ['entities'],
        summary: 'Read an entity, now or as of a tick or an instant',
        description:
          'As it is now; with `asOf` or `Accept-Datetime` as it was then. With `recordedAsOf` by what was recorded by then, without what imports have told of the past since. What is deleted, now or then, is 410, and what was not created by then is 404.',
        params: entityParameters,
        querystring: z.strictObject({
          asOf: optionalPoint('AsOf', 'As it was at a tick, or at an RFC 3339 instant'),
          recordedAsOf,
          fields,
          include: optionalList(
            'IncludeHistory',
            'With it, the ranges of all properties it has had (`history`), or of some (`history.` and the name); since when it has each value, who set it and why (`provenance`)',
            'include=history.location&include=history.name&include=provenance',
          ),
        }),
        headers: readHeaders.extend({ 'accept-datetime': acceptDatetime }),
        response: responsesOf(
          {
            200: {
              description: 'The entity',
              content: { 'application/json': schemas.nestedEntity },
              headers: entityHeaders,
            },
            ...MEMENTO_NOT_MODIFIED,
          },
          ENTITY_READ_PROBLEMS,
          ['entity_not_found', 'tick_not_found', 'entity_deleted', 'overloaded'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { params, query, headers, raw } = request;
      const address = parseAddress(params.id);
      const { id, label } = address;
      const point = query.asOf === undefined ? null : parsePoint(query.asOf, 'asOf');
      const date = point ? undefined : headers['accept-datetime'];
      const shown = { id, selection: selectionOf(query) };
      const fits = fitsInHeaders(shown.selection, LINKS);
      // Also of a refusal: who asks by a date has to learn whom he has asked (RFC 7089 sections 4.5.2 and 4.5.3).
      if (fits) reply.header('link', ownLinks(shown));
      if (!point) reply.header('vary', 'accept-datetime');
      const known = await knownOf(storage, address, query.recordedAsOf, callerSignal(raw));
      const { entity: state, related } = await readState(
        storage,
        {
          id,
          fields: fieldsOf(query.fields),
          include: includeOf(query.include),
          withRelated: date !== undefined,
          known,
        },
        point ?? (date === undefined ? null : { date: dateOf(date) }),
        callerSignal(raw),
      );
      const entity = living(point ? begun(state, label, point) : shownNow(state), label);
      // As of an instant alone the state can change: somebody may import history before it. A tick never does, nor what is known.
      const isFixed = known !== null || (point !== null && 'tick' in point);
      reply.header('cache-control', isFixed ? IMMUTABLE : REVALIDATE);
      const isMemento = point !== null || known !== null || date !== undefined;
      if (isMemento) stampMemento(reply, shown, entity, fits);
      if (fits && related.length > 0)
        reply.header('link', [ownLinks(shown), ...mementoLinks(shown, related)].join(', '));
      return sendOrNotModified(reply, etagOf(entity.tick), headers, () =>
        isMemento ? mementoText(entity) : entityText(entity),
      );
    },
  );

  app.get(
    '/entities/:id/diff',
    {
      schema: {
        operationId: 'diffEntity',
        tags: ['entities'],
        summary: 'What differs between two states of an entity',
        description: 'By property the values on both sides. Both states may be tombstones.',
        params: entityParameters,
        querystring: z.strictObject({
          from: point('DiffFrom', 'The one state: a tick, or an RFC 3339 instant'),
          to: optionalPoint('DiffTo', 'The other; without it, now'),
          recordedAsOf,
          depth,
        }),
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'The difference',
              content: { 'application/json': schemas.diff },
              headers: {
                ETag: { ...etagHeader, description: 'Over both ticks', example: '"1-2"' },
                'Cache-Control': cacheControlHeader,
              },
            },
            ...NOT_MODIFIED,
          },
          ['invalid_id', ...AS_OF_PROBLEMS, 'invalid_parameter', ...CONDITION_PROBLEMS],
          ['entity_not_found', 'tick_not_found'],
          READ_PROBLEMS,
        ),
      },
    },
    async ({ params, query, headers, raw }, reply) => {
      const address = parseAddress(params.id);
      const { id, label } = address;
      const from = parsePoint(query.from, 'from');
      const to = query.to === undefined ? null : parsePoint(query.to, 'to');
      const known = await knownOf(storage, address, query.recordedAsOf, callerSignal(raw));
      const diff = existing(await readDiff(storage, id, { from, to }, known), label);
      const was = begun(diff.from ?? NOT_YET, label, from);
      const becomes = begun(diff.to ?? NOT_YET, label, to ?? from);
      const isFixed = known !== null || ('tick' in from && to !== null && 'tick' in to);
      reply.header('cache-control', isFixed ? IMMUTABLE : REVALIDATE);
      return sendOrNotModified(reply, `"${was.tick}-${becomes.tick}"`, headers, () =>
        objectText([
          ['from', endText(was)],
          ['to', endText(becomes)],
          ['changes', changesText(diff.changes)],
          ['patch', query.depth && patchesOfAnswer().ofChanges(diff.changes)],
        ]),
      );
    },
  );
}

/** The parameters that choose a part of an entity, or add to it, as a query. */
function selectionOf({
  fields,
  include,
}: {
  fields?: string | string[] | undefined;
  include?: string | string[] | undefined;
}): string {
  if (fields === undefined && include === undefined) return '';
  const given = Object.entries({ fields, include }).flatMap(([name, values = []]) =>
    [values].flat().map((value): [string, string] => [name, value]),
  );
  return new URLSearchParams(given).toString();
}

/** The state of an entity read now, or by a date: it has one, or it was never created. */
const shownNow = <Row extends { tick: number | null }>(state: Row | undefined) =>
  state === undefined || hasTick(state) ? state : undefined;

/** The end of a difference at which the entity had no state yet. */
const NOT_YET = { tick: null } as const;

const endText = ({ tick, at, deleted }: DiffEnd): string =>
  objectText([
    ['tick', scalarText(tick)],
    ['at', scalarText(at)],
    ['deleted', deleted ? 'true' : undefined],
  ]);
