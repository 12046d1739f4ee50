import { z } from 'zod';
import { checkReady } from '../../storage/health.js';
import type { Storage } from '../../storage/storage.js';
import { NEVER_KEPT } from '../answers/reads.js';
import type { App } from '../app-type.js';
import { cacheControlHeader } from '../contract/headers.js';
import { noParameters } from '../contract/parameters.js';
import { READ_PROBLEMS, responsesOf, sendJson } from '../contract/responses.js';

const status = (word: 'alive' | 'ready') => ({
  description: 'Yes',
  content: { 'application/json': z.strictObject({ status: z.literal(word) }) },
  headers: { 'Cache-Control': cacheControlHeader },
});

/** The calls by which whoever runs the service sees whether the process answers, and whether it can do its work. */
export function healthRoutes(app: App, storage: Storage): void {
  app.get(
    '/health/live',
    {
      schema: {
        operationId: 'isAlive',
        summary: 'Does the process answer',
        description: 'It asks nobody else, so it says nothing of the database.',
        tags: ['operations'],
        querystring: noParameters,
        response: responsesOf({ 200: status('alive') }),
      },
    },
    async (_request, reply) => sendJson(reply.header('cache-control', NEVER_KEPT), '{"status": "alive"}'),
  );

  app.get(
    '/health/ready',
    {
      schema: {
        operationId: 'isReady',
        summary: 'Can it serve',
        description: 'Whether the database answers, and lets the service know what is stable.',
        tags: ['operations'],
        querystring: noParameters,
        response: responsesOf({ 200: status('ready') }, ['as_of_not_stable_yet', 'overloaded'], READ_PROBLEMS),
      },
    },
    async (_request, reply) => {
      await checkReady(storage);
      return sendJson(reply.header('cache-control', NEVER_KEPT), '{"status": "ready"}');
    },
  );
}
