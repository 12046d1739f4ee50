import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { parsePoint } from '../../temporal/point.js';
import { Refusal } from '../../temporal/refusal.js';
import { contentLocationHeader, etagHeader } from '../contract/headers.js';
import { optional } from '../contract/parameters.js';
import { AS_OF_PROBLEMS, sendJson } from '../contract/responses.js';
import { isNotModified } from '../protocol/conditions.js';

/* How reads of entities are asked and answered: what the calls have in common, and what the OpenAPI document says of it. */

/** What never changes again. */
export const IMMUTABLE = 'max-age=31536000, immutable';
/** What a cache may keep, but not give without asking whether it has changed. */
export const REVALIDATE = 'no-cache';

export const readHeaders = z.looseObject({
  'if-none-match': optional('Answers 304 when the entity tag is one of these', '"2"'),
});

export const NOT_MODIFIED = {
  304: {
    description: 'The entity tag is one of If-None-Match',
    headers: { ETag: etagHeader, 'Content-Location': contentLocationHeader },
  },
};

/** What may be wrong with a question for entities, now or as of a point. */
export const ENTITY_READ_PROBLEMS = [
  'invalid_id',
  ...AS_OF_PROBLEMS,
  'invalid_property_name',
  'invalid_parameter',
  'invalid_condition',
] as const;

/** Sends JSON text under its entity tag; or 304 to who has it. */
export function sendOrNotModified(
  reply: FastifyReply,
  etag: string,
  headers: { 'if-none-match'?: string | undefined },
  text: () => string,
): FastifyReply {
  const known = isNotModified(etag, headers['if-none-match']);
  reply.header('etag', etag);
  return known ? reply.code(304).send(undefined) : sendJson(reply, text());
}

/** A collection has no tick of its own. @throws Refusal `invalid_as_of` */
export function parseInstant(text: string, parameter: string): string {
  const point = parsePoint(text, parameter);
  if ('instant' in point) return point.instant;
  throw Refusal.at('invalid_as_of', parameter, 'is a tick, and many entities have many clocks: give an instant');
}
