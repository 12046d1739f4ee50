import { Gauge, Registry } from 'prom-client';
import { z } from 'zod';
import { stableLag } from '../../storage/health.js';
import type { Storage } from '../../storage/storage.js';
import { NEVER_KEPT } from '../answers/reads.js';
import type { App } from '../app-type.js';
import { cacheControlHeader } from '../contract/headers.js';
import { noParameters } from '../contract/parameters.js';
import { responsesOf } from '../contract/responses.js';

/** The call that Prometheus makes. */
export function metricRoutes(app: App, storage: Storage): void {
  const registry = new Registry();
  new Gauge({
    name: 'clocktick_stable_lag_seconds',
    help: 'By how much the newest instant that can be read as of lies behind the clock of the database; NaN: nobody knows',
    registers: [registry],
    async collect() {
      this.set(await stableLag(storage));
    },
  });

  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'readMetrics',
        tags: ['operations'],
        summary: 'Figures for Prometheus',
        description: 'By how much the newest stable instant lies behind the clock, for one.',
        querystring: noParameters,
        response: responsesOf({
          200: {
            description: 'In the text format of Prometheus',
            content: { 'text/plain': z.string().meta({ example: 'clocktick_stable_lag_seconds 0.002' }) },
            headers: { 'Cache-Control': cacheControlHeader },
          },
        }),
      },
    },
    async (_request, reply) =>
      reply
        .type(registry.contentType)
        .header('cache-control', NEVER_KEPT)
        .send(await registry.metrics()),
  );
}
