import { z } from 'zod';
import { checkReady } from '../../storage/health.js';
import type { Storage } from '../../storage/storage.js';
import type { App } from '../app-type.js';
import { noParameters } from '../contract/parameters.js';
import { READ_PROBLEMS, responsesOf, sendJson } from '../contract/responses.js';

const status = (word: 'alive' | 'ready') => ({ description: 'Yes', body: z.strictObject({ status: z.literal(word) }) });

/** The calls by which whoever runs the service sees whether the process answers, and whether it can do its work. */
export function healthRoutes(app: App, storage: Storage): void {
  const schema = { tags: ['operations'], querystring: noParameters };

  app.get(
    '/health/live',
    {
      schema: {
        operationId: 'isAlive',
        summary: 'Does the process answer',
        ...schema,
        response: responsesOf({ 200: status('alive') }),
      },
    },
    async (_request, reply) => sendJson(reply, '{"status": "alive"}'),
  );

  app.get(
    '/health/ready',
    {
      schema: {
        operationId: 'isReady',
        summary: 'Can it serve',
        ...schema,
        response: responsesOf({ 200: status('ready') }, ['as_of_not_stable_yet'], READ_PROBLEMS),
      },
    },
    async (_request, reply) => {
      await checkReady(storage);
      return sendJson(reply, '{"status": "ready"}');
    },
  );
}
