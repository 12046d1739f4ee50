import { METHODS } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { problem, sendProblem } from './problems.js';

/**
 * Answers every method that a path does not have with 405 and what it allows (RFC 9110 section 15.5.6), before any body
 * is read; Fastify alone would say 404. OPTIONS is answered the same way, but as a success.
 *
 * @param addRoutes adds the routes whose paths are to be completed
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
