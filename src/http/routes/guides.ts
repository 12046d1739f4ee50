import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type Guides, readGuides } from '../answers/guide-pages.js';
import { REVALIDATE, sendOrNotModified } from '../answers/reads.js';
import type { App } from '../app-type.js';
import { noParameters } from '../contract/parameters.js';
import { PROBLEMS } from '../protocol/problems.js';

/** The guides. They are for people, so the OpenAPI document does not list them, but links to them. */
export function guideRoutes(app: App): void {
  let guides: Promise<Guides> | undefined;
  const guide = (request: FastifyRequest, reply: FastifyReply, name: string) => {
    guides ??= readGuides().catch((error: unknown) => {
      guides = undefined; // the next caller tries again
      throw error;
    });
    return sendGuide(request, reply, guides, name);
  };
  const schema = { hide: true, querystring: noParameters };

  app.get('/docs/guide', { schema }, async (_request, reply) => reply.redirect('guide/', 308));

  app.get('/docs/guide/', { schema }, (request, reply) => guide(request, reply, ''));

  app.get('/docs/problems', { schema }, async (_request, reply) => reply.redirect('guide/problems', 308));

  // What the `type` of a problem names.
  app.get(
    '/docs/problems/:code',
    { schema: { ...schema, params: z.strictObject({ code: z.string() }) } },
    async ({ params: { code } }, reply) => {
      if (Object.hasOwn(PROBLEMS, code)) return reply.redirect(`../guide/problems#${code}`, 303);
      reply.callNotFound();
      return reply;
    },
  );

  app.get(
    '/docs/guide/:name',
    { schema: { ...schema, params: z.strictObject({ name: z.string() }) } },
    (request, reply) => guide(request, reply, request.params.name),
  );
}

async function sendGuide(
  request: FastifyRequest,
  reply: FastifyReply,
  guides: Promise<Guides>,
  name: string,
): Promise<FastifyReply> {
  const { pages, policy } = await guides;
  const page = pages.get(name);
  if (!page) {
    reply.callNotFound();
    return reply;
  }
  reply.headers({
    'cache-control': REVALIDATE,
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
  });
  return sendOrNotModified(reply, page.etag, request.headers, () => page.html, 'text/html; charset=utf-8');
}
