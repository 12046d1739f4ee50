import { z } from 'zod';
import { type MementoPage, readMementos } from '../../storage/mementos.js';
import type { Memento } from '../../storage/rows.js';
import type { Storage } from '../../storage/storage.js';
import { parseAddress } from '../../temporal/identity.js';
import { Refusal } from '../../temporal/refusal.js';
import { REVALIDATE } from '../answers/reads.js';
import type { App } from '../app-type.js';
import { EXAMPLE_ID, EXAMPLE_INSTANT } from '../contract/examples.js';
import { cacheControlHeader, linkHeader } from '../contract/headers.js';
import { entityParameters, pageParameters } from '../contract/parameters.js';
import { READ_PROBLEMS, responsesOf } from '../contract/responses.js';
import { LINK_FORMAT, mementoLink, originalLink, timemapLink } from '../protocol/memento.js';
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
        params: entityParameters,
        querystring: z.strictObject(pageParameters),
        response: responsesOf(
          {
            200: {
              description: 'A page of links',
              body: z.string().meta({
                example: `${originalLink(EXAMPLE_ID)},\n${mementoLink(EXAMPLE_ID, { tick: 1, at: EXAMPLE_INSTANT }, 'first last ')}`,
              }),
              media: LINK_FORMAT,
              headers: { Link: linkHeader, 'Cache-Control': cacheControlHeader },
            },
          },
          ['invalid_id', 'invalid_parameter', 'invalid_cursor', 'entity_not_found'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { id, label } = parseAddress(request.params.id);
      const walk = `timemap ${id}`;
      const page = await readMementos(storage, id, mementoPosition(request.query, walk));
      if (!page) throw new Refusal('entity_not_found', `There is no entity ${label}.`);
      const last = page.mementos.at(-1);
      const cursor = page.next && last ? mementoCursor(walk, last.tick) : null;
      linkNext(request, reply, cursor);
      const links = [
        originalLink(id),
        timemapLink(targetOf(request, {}), 'self', { from: page.mementos[0], until: last }),
        ...page.mementos.map((memento) => mementoLink(id, memento, placesOf(memento, page))),
        ...(cursor !== null && page.next
          ? [timemapLink(targetOf(request, { cursor }), 'timemap', { from: page.next })]
          : []),
      ];
      return reply.type(LINK_FORMAT).header('cache-control', REVALIDATE).send(links.join(',\n'));
    },
  );
}

const placesOf = (memento: Memento, { mementos, next }: MementoPage): string =>
  `${memento.tick === 1 ? 'first ' : ''}${memento === mementos.at(-1) && !next ? 'last ' : ''}`;
