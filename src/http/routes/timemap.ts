import { z } from 'zod';
import { type MementoPage, readMementos } from '../../storage/mementos.js';
import type { Memento } from '../../storage/rows.js';
import type { Storage } from '../../storage/storage.js';
import { parseAddress } from '../../temporal/identity.js';
import { Refusal } from '../../temporal/refusal.js';
import {
  CONDITION_PROBLEMS,
  IMMUTABLE,
  knownOf,
  NOT_MODIFIED,
  REVALIDATE,
  readHeaders,
  sendOrNotModified,
} from '../answers/reads.js';
import type { App } from '../app-type.js';
import { EXAMPLE_ID, EXAMPLE_INSTANT } from '../contract/examples.js';
import { cacheControlHeader, etagHeader, linkHeader } from '../contract/headers.js';
import { entityParameters, pageParameters, recordedAsOf } from '../contract/parameters.js';
import { AS_OF_PROBLEMS, READ_PROBLEMS, responsesOf } from '../contract/responses.js';
import { callerSignal } from '../protocol/caller.js';
import { tagOfText } from '../protocol/conditions.js';
import { LINK_FORMAT, linksToEntity, mementoLink, timemapLink } from '../protocol/memento.js';
import { linkNext, mementoCursor, mementoPosition, targetOf } from '../protocol/pages.js';

/** The call that lists the mementos of an entity. */
export function timemapRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities/:id/timemap',
    {
      schema: {
        operationId: 'readTimeMap',
        tags: ['history'],
        summary: 'The TimeMap of an entity (RFC 7089): each of its states, and when it began',
        description: 'As links (RFC 6690), page by page. A tombstone is no state.',
        params: entityParameters,
        querystring: z.strictObject({ recordedAsOf, ...pageParameters }),
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'A page of links',
              content: {
                [LINK_FORMAT]: z.string().meta({
                  example: `${linksToEntity(EXAMPLE_ID)},\n${mementoLink({ id: EXAMPLE_ID, selection: '' }, { tick: 1, at: EXAMPLE_INSTANT }, 'first last ')}`,
                }),
              },
              headers: {
                ETag: { ...etagHeader, description: 'Over what the page shows' },
                Link: linkHeader,
                'Cache-Control': cacheControlHeader,
              },
            },
            ...NOT_MODIFIED,
          },
          CONDITION_PROBLEMS,
          ['invalid_id', ...AS_OF_PROBLEMS, 'invalid_parameter', 'invalid_cursor', 'entity_not_found'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { params, query, headers, raw } = request;
      const address = parseAddress(params.id);
      const { id, label } = address;
      const walk = `timemap ${id}`;
      const position = mementoPosition(query, walk);
      const known = await knownOf(storage, address, query.recordedAsOf, callerSignal(raw));
      const page = await readMementos(storage, id, { ...position, until: known?.tick ?? null });
      if (!page) throw new Refusal('entity_not_found', `There is no entity ${label}.`);
      const last = page.mementos.at(-1);
      const cursor = page.next && last ? mementoCursor(walk, last.tick) : null;
      linkNext(request, reply, cursor);
      const links = [
        linksToEntity(id),
        timemapLink(targetOf(request, {}), 'self', { from: page.mementos[0], until: last }),
        ...page.mementos.map((memento) => mementoLink({ id, selection: '' }, memento, placesOf(memento, page))),
        ...(cursor !== null && page.next
          ? [timemapLink(targetOf(request, { cursor }), 'timemap', { from: page.next })]
          : []),
      ];
      const text = links.join(',\n');
      reply.header('cache-control', known ? IMMUTABLE : REVALIDATE);
      return sendOrNotModified(reply, tagOfText(text), headers, () => text, LINK_FORMAT);
    },
  );
}

const placesOf = (memento: Memento, { mementos, next }: MementoPage): string =>
  `${memento.tick === 1 ? 'first ' : ''}${memento === mementos.at(-1) && !next ? 'last ' : ''}`;
