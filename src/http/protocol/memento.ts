import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { EntityRow } from '../../storage/entities.js';
import { type Memento, type MementoPage, readMementos } from '../../storage/mementos.js';
import type { Storage } from '../../storage/storage.js';
import type { Past } from '../../temporal/entity.js';
import { parseAddress } from '../../temporal/identity.js';
import type { Point } from '../../temporal/point.js';
import { Refusal } from '../../temporal/refusal.js';
import { REVALIDATE } from '../answers/reads.js';
import type { App } from '../app-type.js';
import { answers, READING } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { linkNext, mementoCursor, mementoPage, targetOf } from './pages.js';

/*
 * Datetime negotiation as in RFC 7089. An entity's URL is its original resource and the TimeGate of it (pattern 1.2: 200, with
 * the memento's own URL in Content-Location); a memento is the entity as of a tick, a tombstone none. HTTP dates have whole
 * seconds: an Accept-Datetime means the end of its second, so that the Memento-Datetime of a state leads back to it, or to
 * the last one within that second.
 */

const LINK_FORMAT = 'application/link-format';

export const acceptDatetime = schemas.optional(
  'As it was at that date (RFC 7089), at the end of its second; the first state for an earlier one. What was deleted then is 410',
  'Fri, 08 Jan 2016 00:00:00 GMT',
);

/** What answers say that the date can choose. */
export const mementoHeaders = {
  'Memento-Datetime': schemas.header(
    'As of a point: when the state began, in whole seconds',
    'Fri, 08 Jan 2016 00:00:00 GMT',
  ),
  Vary: schemas.header('Of an answer that Accept-Datetime may choose', 'accept-datetime'),
  'Cache-Control': schemas.cacheControlHeader,
};

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** IMF-fixdate (RFC 9110 section 5.6.7), the only form that RFC 7089 takes: as `httpDate` writes it. */
const FORM = 'an HTTP date such as Fri, 08 Jan 2016 00:00:00 GMT';

/**
 * The instant that Accept-Datetime asks for: the end of its second.
 * @throws Refusal `invalid_as_of`
 */
function acceptedInstant(header: string): string {
  const [, day, month = '', year, time] =
    /^\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d:\d\d:\d\d) GMT$/.exec(header.trim()) ?? [];
  const date = new Date(`${year}-${String(MONTHS.indexOf(month) + 1).padStart(2, '0')}-${day}T${time}Z`);
  // Its day must be one that the calendar has, and the weekday that of the day.
  if (Number.isNaN(date.getTime()) || date.toUTCString() !== header.trim() || year === '0000') {
    const message = `is not ${FORM}`;
    throw new Refusal('invalid_as_of', `Accept-Datetime ${message}.`, {
      errors: [{ path: 'Accept-Datetime', message }],
    });
  }
  return `${date.toISOString().slice(0, 19)}.999999Z`;
}

/** An instant as an HTTP date: without what is below the second. */
export const httpDate = (instant: string): string => new Date(instant).toUTCString();

/** The instant that an Accept-Datetime selects; null for one that is yet to come, which selects the last state. */
export async function selectInstant({ clock }: Storage, header: string): Promise<string | null> {
  const instant = acceptedInstant(header);
  return (await clock.hasCome(instant)) ? instant : null;
}

/**
 * The state of an entity that an Accept-Datetime selects, the first for an earlier date; without, the one now. undefined:
 * there is no such entity.
 */
export async function selectMemento<Row extends EntityRow>(
  storage: Storage,
  read: ReadState<Row>,
  header: string | undefined,
): Promise<Row | undefined> {
  const instant = header === undefined ? null : await selectInstant(storage, header);
  const then = await read(instant === null ? null : { instant });
  const shown = then?.tick === null ? await read({ tick: 1 }) : then;
  return shown?.tick === null ? undefined : shown;
}

/** Reads an entity as of a point, or now (null), in the form that is asked for. */
export type ReadState<Row extends EntityRow> = (point: Point | null) => Promise<Past<Row> | undefined>;

const pathOf = (id: string) => `/entities/${id}`;
const mementoPath = (id: string, tick: number) => `${pathOf(id)}?asOf=${tick}`;

const originalLink = (id: string) => `<${pathOf(id)}>; rel="original timegate"`;
const timemapLink = (target: string, rel: string, dates: Record<string, Memento | undefined>) =>
  [
    `<${target}>; rel="${rel}"; type="${LINK_FORMAT}"`,
    ...Object.entries(dates).flatMap(([name, memento]) => (memento ? [`${name}="${httpDate(memento.at)}"`] : [])),
  ].join('; ');
const mementoLink = (id: string, { tick, at }: Memento, rel: string) =>
  `<${mementoPath(id, tick)}>; rel="${rel}memento"; datetime="${httpDate(at)}"`;

/** Says which state an answer shows, and by which URL it can be had for ever. */
export const stampMemento = (reply: FastifyReply, { id, tick, updatedAt }: EntityRow): FastifyReply =>
  reply.header('content-location', mementoPath(id, tick)).header('memento-datetime', httpDate(updatedAt));

/** Where else an entity can be had. */
export const ownLinks = (id: string): string =>
  `${originalLink(id)}, <${pathOf(id)}/timemap>; rel="timemap"; type="${LINK_FORMAT}"`;

/**
 * Its first and last memento and those beside this one. They take a statement more, and reads as of a point would be 31,000 a
 * second instead of 52,000: so they are for who sends Accept-Datetime, also beside `asOf`, where it selects nothing (RFC 7089
 * section 4.5.3).
 */
export async function mementoLinks(storage: Storage, { id, tick }: EntityRow): Promise<string[]> {
  const rels = new Map<number, { at: string; rel: string }>();
  for (const { rel, tick: other, at } of await storage.mementosAround({ id, tick })) {
    rels.set(other, { at, rel: `${rels.get(other)?.rel ?? ''}${rel} ` });
  }
  return [...rels].map(([other, { at, rel }]) => mementoLink(id, { tick: other, at }, rel));
}

/** The call that lists the mementos of an entity. */
export function mementoRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities/:id/timemap',
    {
      schema: {
        operationId: 'readTimeMap',
        tags: ['history'],
        summary: 'The TimeMap of an entity (RFC 7089): each of its states, and when it began',
        params: schemas.entityParameters,
        querystring: z.strictObject(schemas.pageParameters),
        response: answers(
          {
            200: {
              description: 'A page of links',
              body: z.string().meta({
                example: `${originalLink(schemas.EXAMPLE_ID)},\n${mementoLink(schemas.EXAMPLE_ID, { tick: 1, at: schemas.EXAMPLE_INSTANT }, 'first last ')}`,
              }),
              media: LINK_FORMAT,
              headers: { Link: schemas.linkHeader, 'Cache-Control': schemas.cacheControlHeader },
            },
          },
          ['invalid_id', 'url_too_long', 'invalid_parameter', 'invalid_cursor', 'entity_not_found'],
          READING,
        ),
      },
    },
    async (request, reply) => {
      const { id, said } = parseAddress(request.params.id);
      const walk = `timemap ${id}`;
      const page = await readMementos(storage, id, mementoPage(request.query, walk));
      if (!page) throw new Refusal('entity_not_found', `There is no entity ${said}.`);
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
