import { readFile } from 'node:fs/promises';
import { getHeapStatistics } from 'node:v8';
import { type FastifyServerOptions, fastify, LogController } from 'fastify';
import { validatorCompiler } from 'fastify-zod-openapi';
import { z } from 'zod';
import type { WriteRules } from './http/answers/writing.js';
import type { App, RequestTypes } from './http/app-type.js';
import { refuseOtherAnswers } from './http/protocol/accept.js';
import { readBodiesExactly } from './http/protocol/body.js';
import { connectionsOf, REQUEST_MS } from './http/protocol/connections.js';
import { drainBeforeClose } from './http/protocol/draining.js';
import { type Bounds, boundsFor, loadOf } from './http/protocol/load.js';
import { withOtherMethodsRefused } from './http/protocol/methods.js';
import { answerWithProblems, refuseBadQueries, sendFrameworkError } from './http/protocol/problems.js';
import { makeUrlsAbsolute } from './http/protocol/public-url.js';
import { parseQuery } from './http/protocol/query.js';
import { refuseOtherSites } from './http/protocol/sites.js';
import { activityRoutes } from './http/routes/activities.js';
import { batchRoute } from './http/routes/batch.js';
import { collectionRoutes } from './http/routes/collections.js';
import { compareRoutes } from './http/routes/compare.js';
import { describeRoutes, documentRoutes, showDocument } from './http/routes/documents.js';
import { entityRoutes } from './http/routes/entities.js';
import { exportRoutes } from './http/routes/exports.js';
import { guideRoutes } from './http/routes/guides.js';
import { healthRoutes } from './http/routes/health.js';
import { historyRoutes } from './http/routes/history.js';
import { importRoutes } from './http/routes/imports.js';
import { metricRoutes } from './http/routes/metrics.js';
import { rootRoute } from './http/routes/root.js';
import { timemapRoutes } from './http/routes/timemap.js';
import { typeRoutes } from './http/routes/type-history.js';
import { definitionRoutes } from './http/routes/types.js';
import { uiRoutes } from './http/routes/ui.js';
import { undoRoute } from './http/routes/undo.js';
import { writeRoutes } from './http/routes/writes.js';
import { type Health, healthOf } from './storage/health.js';
import type { Storage } from './storage/storage.js';
import { MAX_BODY_BYTES, MAX_KEY_LENGTH } from './temporal/limits.js';
import { Refusal } from './temporal/refusal.js';

/**
 * How long one part of a path may be; a longer one gets 414. It leaves room for `type:key` with a key of the longest four-byte
 * characters, each percent-encoded as twelve.
 */
const MAX_PARAM_LENGTH = MAX_KEY_LENGTH * 12 + 64;

/** As package.json has it, which lies beside src/ and dist/. */
const VERSION = await readFile(new URL('../package.json', import.meta.url), 'utf8').then(
  (text) => z.object({ version: z.string() }).parse(JSON.parse(text)).version,
);

/** What the app is made of. It reads no configuration; the caller hands it everything it uses. */
type AppParts = {
  storage: Storage;
  rules: WriteRules;
  logger: FastifyServerOptions['logger'];
  /** Where callers reach the service, as `https://example.org/clocktick`; without it, URLs in answers have no scheme and host. */
  publicUrl?: string | undefined;
  /** The names by which callers may speak of the service, without ports; null: any. */
  hosts?: readonly string[] | null;
  /** How much the service keeps for its callers; by default as much as the heap of this process allows. */
  bounds?: Bounds;
  /** How long a request may take to arrive, in milliseconds, unless its body is streamed. */
  requestMs?: number;
  /** How long the app still takes connections after it was told to close, in milliseconds. */
  drainMs?: number;
};

/** Builds the HTTP service. The caller makes it listen, and closes it. */
export async function buildApp({
  storage,
  rules,
  logger,
  publicUrl = '',
  drainMs = 0,
  requestMs = REQUEST_MS,
  hosts = null,
  bounds = boundsFor(getHeapStatistics().heap_size_limit),
}: AppParts): Promise<App> {
  const load = loadOf(bounds);
  const connections = connectionsOf(load, publicUrl, requestMs);
  const app = fastify({
    logger: logger ?? false,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BODY_BYTES,
    // While the app closes, it still serves what arrives on a connection that was kept alive, and then closes the connection.
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH, querystringParser: parseQuery },
    serverFactory: connections.serverFactory,
    // The servers of the factory do that; Fastify would only set it for one of them.
    clientErrorHandler: () => {},
    frameworkErrors: (error, request, reply) => {
      connections.take(request, reply);
      sendFrameworkError(error, request, reply, publicUrl);
    },
  }).withTypeProvider<RequestTypes>();
  app.setValidatorCompiler(validatorCompiler);
  // Handlers send JSON text, so nothing is left to serialize.
  app.setSerializerCompiler(() => JSON.stringify);
  const { isDraining, closing } = drainBeforeClose(app, drainMs);
  const health = watchHealth(app, storage);
  connections.watch(app);
  refuseOtherSites(app, hosts);
  if (publicUrl !== '') makeUrlsAbsolute(app, publicUrl);
  answerWithProblems(app);
  refuseBadQueries(app);
  refuseOtherAnswers(app);
  readBodiesExactly(app, load);
  await describeRoutes(app, publicUrl);
  withOtherMethodsRefused(app, () => {
    rootRoute(app);
    entityRoutes(app, storage);
    collectionRoutes(app, storage);
    compareRoutes(app, storage);
    writeRoutes(app, storage, rules);
    batchRoute(app, storage, rules);
    activityRoutes(app, storage);
    undoRoute(app, storage, rules);
    importRoutes(app, storage, closing);
    exportRoutes(app, storage, closing);
    historyRoutes(app, storage);
    definitionRoutes(app, storage, rules);
    typeRoutes(app, storage);
    timemapRoutes(app, storage);
    healthRoutes(app, { health, isDraining });
    metricRoutes(app, { storage, health, load, version: VERSION });
    documentRoutes(app, storage);
    guideRoutes(app);
    uiRoutes(app);
  });
  await showDocument(app);
  return app;
}

/** Refusals after which it is worth looking whether the database is still there. */
const SUSPICIOUS: ReadonlySet<string> = new Set(['database_unavailable', 'outcome_unknown']);

/**
 * The health of what an app serves. The log says when something goes wrong and when all is well again, a line each: a start looks, a
 * refused request makes it look, and so does a connection that closes.
 */
function watchHealth(app: App, storage: Storage): Health {
  const health = healthOf(storage, (faults) => {
    const checks = Object.fromEntries(faults.map(({ check, reason }) => [check, reason]));
    if (faults.length > 0) app.log.warn({ checks }, 'not ready');
    else app.log.warn('ready again');
  });
  app.addHook('onListen', async () => {
    void health.check();
  });
  app.addHook('onError', (_request, _reply, error, done) => {
    if (error instanceof Refusal && SUSPICIOUS.has(error.code)) health.suspect();
    done();
  });
  app.addHook('onClose', async () => health.close());
  return health;
}
