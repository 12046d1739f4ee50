import { METHODS } from 'node:http';
import type { FastifyInstance, onSendHookHandler, RouteOptions } from 'fastify';
import { isBodySchema } from './body.js';
import { problem, sendProblem } from './problems.js';

/**
 * Makes every path answer 405, with what it allows, to the methods that it does not have (RFC 9110 section 15.5.6), before any
 * body is read; Fastify alone would say 404. OPTIONS gets 204 with the same Allow, and says which bodies the path takes (RFC 5789 section
 * 3.1; W3C LDP section 7.1 for POST).
 *
 * @param addRoutes adds the routes whose paths are completed
 */
export function withOtherMethodsRefused(app: FastifyInstance, addRoutes: () => void): void {
  const paths = new Map<string, Path>();
  for (const method of METHODS)
    if (!app.supportedMethods.includes(method) && method !== 'CONNECT') app.addHttpMethod(method);
  let watching = true;
  app.addHook('onRoute', (route) => {
    if (!watching) return;
    const path = paths.get(route.url) ?? { methods: new Set(), taken: {} };
    paths.set(route.url, path);
    for (const method of [route.method].flat()) path.methods.add(method);
    Object.assign(path.taken, acceptHeadersOf(route));
    if (route.method === 'HEAD') route.onSend = withoutBody;
  });
  addRoutes();
  watching = false;
  for (const [url, { methods, taken }] of paths) {
    const allow = [...methods, 'OPTIONS'].join(', ');
    app.route({
      url,
      method: app.supportedMethods.filter((method) => !methods.has(method)),
      schema: { hide: true },
      onRequest: async (request, reply) => {
        reply.header('allow', allow);
        if (request.method === 'OPTIONS') return reply.headers(taken).code(204).send();
        return sendProblem(reply, problem('method_not_allowed', `${request.method} is not among ${allow}.`));
      },
      handler: async () => {},
    });
  }
}

/** The methods of a path, and the headers that say which media types it takes. */
type Path = { methods: Set<string>; taken: Record<string, string> };

function acceptHeadersOf({ method, schema }: RouteOptions): Record<string, string> {
  if ((method !== 'PATCH' && method !== 'POST') || !isBodySchema(schema?.body)) return {};
  return { [`accept-${method.toLowerCase()}`]: Object.keys(schema.body.content).join(', ') };
}

/** Answers HEAD as GET would be answered, without the body. Fastify's own would give a 304 the length 0. */
const withoutBody: onSendHookHandler = (_request, reply, payload, done) => {
  if (typeof payload === 'string') reply.header('content-length', Buffer.byteLength(payload));
  done(null, null);
};
