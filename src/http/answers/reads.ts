import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { readKnown } from '../../storage/known.js';
import type { Storage } from '../../storage/storage.js';
import type { Address } from '../../temporal/identity.js';
import { type Known, parsePoint } from '../../temporal/point.js';
import { Refusal } from '../../temporal/refusal.js';
import { cacheControlHeader, contentLocationHeader, etagHeader, mementoHeaders } from '../contract/headers.js';
import { optional } from '../contract/parameters.js';
import { AS_OF_PROBLEMS } from '../contract/responses.js';
import { isNotModified, type ReadConditions } from '../protocol/conditions.js';

/* What the calls that read entities have in common, and what the OpenAPI document says of it. */

/** Cache-Control of an answer that never changes again. */
export const IMMUTABLE = 'max-age=31536000, immutable';
/** Cache-Control of an answer that may change: a cache may keep it, but must ask before it gives it out again. */
export const REVALIDATE = 'no-cache';

/** Cache-Control of an answer that tells of this moment. */
export const NEVER_KEPT = 'no-store';

/** The headers of a request to read. */
export const readHeaders = z.looseObject({
  'if-match': optional('Answers 412 unless the entity tag is one of these', '"2"', 'ReadIfMatch'),
  'if-none-match': optional('Answers 304 when the entity tag is one of these', '"2"', 'ReadIfNoneMatch'),
});

const TAG = { ...etagHeader, description: 'That of the answer' };
export const NOT_MODIFIED = {
  304: {
    description: 'The entity tag is one of If-None-Match',
    headers: { ETag: TAG, 'Cache-Control': cacheControlHeader },
  },
};
/** The same of an answer that Accept-Datetime may choose. */
export const MEMENTO_NOT_MODIFIED = {
  304: {
    description: 'The entity tag is one of If-None-Match',
    headers: { ETag: TAG, 'Content-Location': contentLocationHeader, ...mementoHeaders },
  },
};

/** What may be wrong with a request to read entities, now or as of a point. */
export const ENTITY_READ_PROBLEMS = [
  'invalid_id',
  ...AS_OF_PROBLEMS,
  'invalid_property_name',
  'invalid_parameter',
  'invalid_condition',
  'precondition_failed',
] as const;

/** What may be wrong with the conditions of a read. */
export const CONDITION_PROBLEMS = ['invalid_condition', 'precondition_failed'] as const;

/**
 * Sends a text under its entity tag, or 304 when If-None-Match names that tag.
 * @param text makes the text; it is not called for a 304
 * @param media its media type
 * @throws Refusal `invalid_condition`, `precondition_failed`
 */
export function sendOrNotModified(
  reply: FastifyReply,
  etag: string,
  headers: ReadConditions,
  text: () => string,
  media = 'application/json',
): FastifyReply {
  reply.header('etag', etag);
  return isNotModified(etag, headers) ? sendNotModified(reply) : reply.type(media).send(text());
}

/** Answers 304. It has no links: that to the next page only the page itself can tell. */
export const sendNotModified = (reply: FastifyReply): FastifyReply =>
  reply.removeHeader('link').code(304).send(undefined);

/** Reads a parameter that must be an instant: many entities have no tick in common. @throws Refusal `invalid_as_of` */
export function parseInstant(text: string, parameter: string): string {
  const point = parsePoint(text, parameter);
  if ('instant' in point) return point.instant;
  throw Refusal.at('invalid_as_of', parameter, 'is a tick, which entities do not have in common: give an instant');
}

/**
 * What may be seen of an entity by what the parameter `recordedAsOf` says; null, without it: all.
 * @throws Refusal `invalid_as_of`, `as_of_in_future`, `as_of_not_stable_yet`; `entity_not_found` where nothing was recorded by then
 */
export async function knownOf(
  storage: Storage,
  { id, label }: Address,
  recordedAsOf: string | undefined,
  signal?: AbortSignal,
): Promise<Known | null> {
  if (recordedAsOf === undefined) return null;
  const instant = parseInstant(recordedAsOf, 'recordedAsOf');
  const known = (await readKnown(storage, [id], instant, signal)).get(id);
  if (known) return known;
  throw new Refusal('entity_not_found', `There was no entity ${label} by what was recorded at ${instant}.`);
}
