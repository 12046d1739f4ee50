import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { IMMUTABLE, REVALIDATE, sendOrNotModified } from '../answers/reads.js';
import { readUi, type UiFiles } from '../answers/ui-files.js';
import type { App } from '../app-type.js';
import { noParameters } from '../contract/parameters.js';
import { problem, sendProblem } from '../protocol/problems.js';

/** What the page may do: run and look as files of the service say, and call the service. Nothing of it is inline or comes from elsewhere. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The page on which people look at entities and their history. It is for people, so the OpenAPI document does not list it. */
export function uiRoutes(app: App): void {
  let files: UiFiles | null = null;
  const file = async (request: FastifyRequest, reply: FastifyReply, name: string) => {
    files ??= await readUi();
    return files ? sendFile(request, reply, files, name) : sendProblem(reply, NOT_BUILT);
  };

  // What a query says the page shows.
  app.get('/ui', { schema: { hide: true } }, async ({ url }, reply) =>
    reply.redirect(url.replace(/^[^?]*/, 'ui/'), 308),
  );

  app.get('/ui/', { schema: { hide: true } }, (request, reply) => file(request, reply, ''));

  app.get(
    '/ui/:name',
    { schema: { hide: true, querystring: noParameters, params: z.strictObject({ name: z.string() }) } },
    (request, reply) => file(request, reply, request.params.name),
  );
}

/** A service that runs from its sources does not build it. */
const NOT_BUILT = problem(
  'route_not_found',
  'The page has not been built: `npm run build` does that, and so does `npm start`.',
);

function sendFile(request: FastifyRequest, reply: FastifyReply, files: UiFiles, name: string): FastifyReply {
  const file = files.get(name);
  if (!file) {
    reply.callNotFound();
    return reply;
  }
  reply.headers({
    'cache-control': file.isFixed ? IMMUTABLE : REVALIDATE,
    'content-security-policy': POLICY,
  });
  return sendOrNotModified(reply, file.etag, request.headers, () => file.text, file.media);
}
