import { z } from 'zod';
import { CHECKS, failing, type Health } from '../../storage/health.js';
import { NEVER_KEPT } from '../answers/reads.js';
import type { App } from '../app-type.js';
import { cacheControlHeader } from '../contract/headers.js';
import { noParameters } from '../contract/parameters.js';
import { responsesOf, sendJson } from '../contract/responses.js';
import { problem, sendProblem } from '../protocol/problems.js';

/** What the calls tell of. */
type Parts = {
  health: Health;
  /** Whether the service was told to stop. */
  isDraining: () => boolean;
};

const answer = (shape: z.ZodType) => ({
  description: 'Yes',
  content: { 'application/json': shape },
  headers: { 'Cache-Control': cacheControlHeader },
});

const ALIVE = z.strictObject({ status: z.literal('alive') });
const READY = z.strictObject({
  status: z.literal('ready'),
  checks: z
    .record(z.string(), z.literal('ok'))
    .meta({ example: Object.fromEntries(CHECKS.map((name) => [name, 'ok'])) }),
});
const READY_TEXT = JSON.stringify({ status: 'ready', checks: Object.fromEntries(CHECKS.map((name) => [name, 'ok'])) });

/** The calls by which whoever runs the service sees whether a restart would help, and whether it can do its work. */
export function healthRoutes(app: App, { health, isDraining }: Parts): void {
  app.get(
    '/health/live',
    {
      schema: {
        operationId: 'isAlive',
        summary: 'Can the process go on',
        description:
          'Restart the service where this has no answer. It says nothing of the database: a restart does not mend that.',
        tags: ['operations'],
        querystring: noParameters,
        response: responsesOf({ 200: answer(ALIVE) }),
      },
    },
    async (_request, reply) => {
      return sendJson(reply.header('cache-control', NEVER_KEPT), '{"status": "alive"}');
    },
  );

  app.get(
    '/health/ready',
    {
      schema: {
        operationId: 'isReady',
        summary: 'Can it serve',
        description: `Whether the service can read and write: route requests by it. It writes, and takes that back; what was found is shared for a second. \`errors\` names each check that fails: ${CHECKS.map((name) => `\`${name}\``).join(', ')}, or \`draining\` once the service was told to stop. It answers within two seconds.`,
        tags: ['operations'],
        querystring: noParameters,
        response: responsesOf({ 200: answer(READY) }, ['not_ready']),
      },
    },
    async (_request, reply) => {
      const found = failing(await health.check()).map(({ check, reason }) => ({ path: check, message: reason }));
      const errors = isDraining() ? [{ path: 'draining', message: 'the service is stopping' }, ...found] : found;
      if (errors.length === 0) return sendJson(reply.header('cache-control', NEVER_KEPT), READY_TEXT);
      const detail = errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
      return sendProblem(reply, problem('not_ready', `${detail}.`, { errors }));
    },
  );
}
