import { METHODS } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { problem, sendProblem } from './problems.js';

/**
 * Makes every path answer 405, with what it allows, to the methods that it does not have (RFC 9110 section 15.5.6), before any
 * body is read; Fastify alone would say 404. OPTIONS gets 204 with the same Allow.
 *
 * @param addRoutes adds the routes whose paths are completed
 */
export function withOtherMethodsRefused(app: FastifyInstance, addRoutes: () => void): void {
  const methodsOf = new Map<string, Set<string>>();
  for (const method of METHODS)
    if (!app.supportedMethods.includes(method) && method !== 'CONNECT') app.addHttpMethod(method);
  let watching = true;
  app.addHook('onRoute', ({ url, method }) => {
    if (!watching) return;
    const methods = methodsOf.get(url) ?? new Set();
    for (const one of [method].flat()) methods.add(one);
    methodsOf.set(url, methods);
  });
  addRoutes();
  watching = false;
  for (const [url, methods] of methodsOf) {
    const allow = [...methods, 'OPTIONS'].join(', ');
    app.route({
      url,
      method: app.supportedMethods.filter((method) => !methods.has(method)),
      schema: { hide: true },
      onRequest: async (request, reply) => {
        reply.header('allow', allow);
        if (request.method === 'OPTIONS') return reply.code(204).send();
        return sendProblem(reply, problem('method_not_allowed', `${request.method} is not among ${allow}.`));
      },
      handler: async () => {},
    });
  }
}
