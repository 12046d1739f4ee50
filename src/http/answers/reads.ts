import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { parsePoint } from '../../temporal/point.js';
import { Refusal } from '../../temporal/refusal.js';
import { contentLocationHeader, etagHeader } from '../contract/headers.js';
import { optional } from '../contract/parameters.js';
import { AS_OF_PROBLEMS, sendJson } from '../contract/responses.js';
import { isNotModified } from '../protocol/conditions.js';

/* What the calls that read entities have in common, and what the OpenAPI document says of it. */

/** Cache-Control of an answer that never changes again. */
export const IMMUTABLE = 'max-age=31536000, immutable';
/** Cache-Control of an answer that may change: a cache may keep it, but must ask before it gives it out again. */
export const REVALIDATE = 'no-cache';

/** The headers of a request to read. */
export const readHeaders = z.looseObject({
  'if-none-match': optional('Answers 304 when the entity tag is one of these', '"2"'),
});

export const NOT_MODIFIED = {
  304: {
    description: 'The entity tag is one of If-None-Match',
    headers: { ETag: etagHeader, 'Content-Location': contentLocationHeader },
  },
};

/** What may be wrong with a request to read entities, now or as of a point. */
export const ENTITY_READ_PROBLEMS = [
  'invalid_id',
  ...AS_OF_PROBLEMS,
  'invalid_property_name',
  'invalid_parameter',
  'invalid_condition',
] as const;

/**
 * Sends JSON text under its entity tag, or 304 when If-None-Match names that tag.
 * @param text makes the text; it is not called for a 304
 * @throws Refusal `invalid_condition`
 */
export function sendOrNotModified(
  reply: FastifyReply,
  etag: string,
  headers: { 'if-none-match'?: string | undefined },
  text: () => string,
): FastifyReply {
  const notModified = isNotModified(etag, headers['if-none-match']);
  reply.header('etag', etag);
  return notModified ? reply.code(304).send(undefined) : sendJson(reply, text());
}

/** Reads a parameter that must be an instant: many entities have no tick in common. @throws Refusal `invalid_as_of` */
export function parseInstant(text: string, parameter: string): string {
  const point = parsePoint(text, parameter);
  if ('instant' in point) return point.instant;
  throw Refusal.at('invalid_as_of', parameter, 'is a tick, and many entities have many clocks: give an instant');
}
