import { z } from 'zod';
import { type DiffEnd, readDiff } from '../../storage/diff.js';
import { readState } from '../../storage/states.js';
import type { Storage } from '../../storage/storage.js';
import { begun, existing, hasTick, living } from '../../temporal/entity.js';
import { parseAddress } from '../../temporal/identity.js';
import { parsePoint } from '../../temporal/point.js';
import { changesText, entityText, nestedText } from '../answers/entity-text.js';
import {
  ENTITY_READ_PROBLEMS,
  IMMUTABLE,
  NOT_MODIFIED,
  REVALIDATE,
  readHeaders,
  sendOrNotModified,
} from '../answers/reads.js';
import type { App } from '../app-type.js';
import { EXAMPLE_ID } from '../contract/examples.js';
import { contentLocationHeader, etagHeader, header, mementoHeaders } from '../contract/headers.js';
import { fieldsOf, includeOf } from '../contract/lists.js';
import { acceptDatetime, entityParameters, fields, optional, optionalList, point } from '../contract/parameters.js';
import { AS_OF_PROBLEMS, READ_PROBLEMS, responsesOf } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { callerSignal } from '../protocol/caller.js';
import { etagOf } from '../protocol/conditions.js';
import { objectText, scalarText } from '../protocol/json-text.js';
import { dateOf, mementoLinks, ownLinks, stampMemento } from '../protocol/memento.js';

const entityHeaders = {
  ETag: etagHeader,
  'Content-Location': contentLocationHeader,
  ...mementoHeaders,
  Link: header(
    'Its `original`, `timegate` and `timemap`; where Accept-Datetime was sent also the `first`, `last`, `prev` and `next` memento',
    `</entities/${EXAMPLE_ID}>; rel="original timegate"`,
  ),
};

/** The calls that read an entity: one of its states, and what differs between two. */
export function entityRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities/:id',
    {
      schema: {
        operationId: 'readEntity',
        tags: ['entities'],
        summary: 'Read an entity, now or as of a tick or an instant',
        params: entityParameters,
        querystring: z.strictObject({
          asOf: optional('The entity as it was at a tick, or at an RFC 3339 instant', '1'),
          fields,
          include: optionalList(
            'With it, the ranges of all properties it has had (`history`), or of some (`history.` and the name)',
            'history.location,history.name',
          ),
        }),
        headers: readHeaders.extend({ 'accept-datetime': acceptDatetime }),
        response: responsesOf(
          {
            200: { description: 'The entity', body: schemas.nestedEntity, headers: entityHeaders },
            304: { ...NOT_MODIFIED[304], headers: entityHeaders },
          },
          ENTITY_READ_PROBLEMS,
          ['entity_not_found', 'tick_not_found', 'entity_deleted', 'overloaded'],
          READ_PROBLEMS,
        ),
      },
    },
    async ({ params, query, headers, raw }, reply) => {
      const { id, label } = parseAddress(params.id);
      const point = query.asOf === undefined ? null : parsePoint(query.asOf, 'asOf');
      const date = headers['accept-datetime'];
      const { entity: state, related } = await readState(
        storage,
        {
          id,
          fields: fieldsOf(query.fields),
          include: includeOf(query.include),
          withRelated: date !== undefined,
        },
        point ?? (date === undefined ? null : { date: dateOf(date) }),
        callerSignal(raw),
      );
      const entity = living(point ? begun(state, label, point) : shownNow(state), label);
      // Only a tick shows the same for ever. As of an instant that can change: somebody may import history before it. With
      // Accept-Datetime it can change, too: the links to other mementos do.
      const isFixed = point !== null && 'tick' in point && date === undefined;
      reply.header('cache-control', isFixed ? IMMUTABLE : REVALIDATE).header('vary', 'accept-datetime');
      if (point || date !== undefined) stampMemento(reply, entity);
      reply.header('link', [ownLinks(id), ...mementoLinks(id, related)].join(', '));
      return sendOrNotModified(reply, etagOf(entity.tick), headers, () =>
        entity.nested ? nestedText(entity, entity.nested) : entityText(entity),
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
        params: entityParameters,
        querystring: z.strictObject({
          from: point('The one state: a tick, or an RFC 3339 instant', '1'),
          to: optional('The other; without it, now', '2'),
        }),
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'The difference',
              body: schemas.diff,
              headers: { ETag: { ...etagHeader, description: 'Over both ticks', example: '"1-2"' } },
            },
            ...NOT_MODIFIED,
          },
          ['invalid_id', ...AS_OF_PROBLEMS, 'invalid_parameter', 'invalid_condition'],
          ['entity_not_found', 'tick_not_found'],
          READ_PROBLEMS,
        ),
      },
    },
    async ({ params, query, headers }, reply) => {
      const { id, label } = parseAddress(params.id);
      const from = parsePoint(query.from, 'from');
      const to = query.to === undefined ? null : parsePoint(query.to, 'to');
      const diff = existing(await readDiff(storage, id, from, to), label);
      const was = begun(diff.from ?? NOT_YET, label, from);
      const becomes = begun(diff.to ?? NOT_YET, label, to ?? from);
      reply.header('cache-control', REVALIDATE);
      return sendOrNotModified(reply, `"${was.tick}-${becomes.tick}"`, headers, () =>
        objectText([
          ['from', endText(was)],
          ['to', endText(becomes)],
          ['changes', changesText(diff.changes)],
        ]),
      );
    },
  );
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
