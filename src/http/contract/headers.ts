import { EXAMPLE_ID, EXAMPLE_INSTANT } from './examples.js';

/**
 * A header of an answer, as a JSON Schema. It is no zod schema: fastify-zod-openapi makes a whole header of one, and
 * @fastify/swagger would wrap that into one more `schema`.
 */
export const header = (description: string, example: string): Header => ({ type: 'string', description, example });

export type Header = { type: 'string'; description: string; example: string };

export const cacheControlHeader = header('Whether the answer can ever change', 'no-cache');
export const etagHeader = header("The entity's tick, a strong tag", '"2"');
export const locationHeader = header('Where it is', `/entities/${EXAMPLE_ID}`);
export const contentLocationHeader = header(
  'Of an answer as of a point: the same state by its tick, for ever',
  `/entities/${EXAMPLE_ID}?asOf=2`,
);
export const tickAtHeader = header(
  'The instant of the tick that ETag names: a read as of it sees the write',
  EXAMPLE_INSTANT,
);
export const preferenceAppliedHeader = header('Where `Prefer: return=minimal` was heeded', 'return=minimal');
export const linkHeader = header(
  'The next page (RFC 8288), where there is one',
  '</entities/friend:rachel/history?cursor=Y3Vyc29y>; rel="next"',
);

/** The headers of an answer whose state Accept-Datetime can choose. */
export const mementoHeaders = {
  'Memento-Datetime': header('As of a point: when the state began, in whole seconds', 'Fri, 08 Jan 2016 00:00:00 GMT'),
  Vary: header('Of an answer that Accept-Datetime may choose', 'accept-datetime'),
  'Cache-Control': cacheControlHeader,
};
