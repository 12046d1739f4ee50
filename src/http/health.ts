import { z } from 'zod';
import type { Database } from '../storage/database.js';
import { isReady } from '../storage/health.js';
import { Refusal } from '../temporal/refusal.js';
import type { App } from './app-type.js';
import * as schemas from './schemas.js';

const status = z.strictObject({ status: z.literal(['alive', 'ready']) });

/** The calls of whoever runs the service: does the process answer, and can it do its work. */
export function healthRoutes(app: App, storage: Database): void {
  const schema = { querystring: schemas.noParameters, response: schemas.answers({ 200: status }) };

  app.get('/health/live', { schema: { summary: 'Does the process answer', ...schema } }, async (_request, reply) =>
    reply.type('application/json').send('{"status": "alive"}'),
  );

  app.get('/health/ready', { schema: { summary: 'Can it serve', ...schema } }, async (_request, reply) => {
    if (!(await isReady(storage))) throw new Refusal('database_unavailable', 'The database does not answer.');
    return reply.type('application/json').send('{"status": "ready"}');
  });
}
