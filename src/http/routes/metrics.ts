import type { ServerResponse } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { z } from 'zod';
import { activityOf, CHECKS, type Health, stableLag } from '../../storage/health.js';
import type { Storage } from '../../storage/storage.js';
import { NEVER_KEPT } from '../answers/reads.js';
import type { App } from '../app-type.js';
import { cacheControlHeader } from '../contract/headers.js';
import { noParameters } from '../contract/parameters.js';
import { responsesOf } from '../contract/responses.js';
import type { Load } from '../protocol/load.js';
import { codeSent } from '../protocol/problems.js';

/** What the figures tell of. */
type Parts = { storage: Storage; health: Health; load: Pick<Load, 'now'>; version: string };

/** From an entity by its id to a page that takes as long as it may. Each costs a line of every route, method and status. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10];

/** Methods that routes have. Others are refused, and are one for the figures: callers choose among dozens. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** A figure that is read when somebody asks: a value for each combination of labels. */
type Reading = { labels: Record<string, string>; value: number }[];

/**
 * The call that Prometheus makes. Of what requests do it counts as little as it can, because each pays for it: the time of an answer, and
 * how many are under way. All else is kept where it happens, and read when Prometheus asks.
 *
 * Each app has a registry of its own: a process may have several.
 */
export function metricRoutes(app: App, { storage, health, load, version }: Parts): void {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  countRequests(app, registry);

  /** Adds a figure that is read when somebody asks. */
  const read = (name: string, help: string, labelNames: string[], values: () => Reading | Promise<Reading>) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      async collect() {
        for (const { labels, value } of await values()) this.set(labels, value);
      },
    });
  /** The same of a figure that only grows. */
  const readTotal = (name: string, help: string, labelNames: string[], values: () => Reading) =>
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const { labels, value } of values()) this.inc(labels, value);
      },
    });

  read('clocktick_build_info', 'Always 1; its labels say what runs', ['version', 'node'], () => [
    { labels: { version, node: process.versions.node }, value: 1 },
  ]);
  read('clocktick_ready', 'Whether a check of readiness succeeds (1) or not (0)', ['check'], async () => {
    const found = await health.check();
    return CHECKS.map((check) => ({ labels: { check }, value: Number(found[check] === null) }));
  });
  read(
    'clocktick_stable_lag_seconds',
    'By how much the newest instant that can be read as of lies behind the clock of the database; NaN: nobody knows',
    [],
    async () => [{ labels: {}, value: await stableLag(storage) }],
  );

  const lanes = Object.entries(activityOf(storage).lanes);
  read('clocktick_lane_most', 'How much a lane does at once', ['lane'], () =>
    lanes.map(([lane, { use }]) => ({ labels: { lane }, value: use.most })),
  );
  read('clocktick_lane_under_way', 'What a lane is doing', ['lane'], () =>
    lanes.map(([lane, { use }]) => ({ labels: { lane }, value: Math.min(use.asked, use.most) })),
  );
  read('clocktick_lane_waiting', 'What waits for its turn in a lane', ['lane'], () =>
    lanes.map(([lane, { use }]) => ({ labels: { lane }, value: Math.max(use.asked - use.most, 0) })),
  );
  read('clocktick_held_bytes', 'Bodies that have come, and answers that have not gone yet', ['of'], () =>
    (['bodies', 'answers'] as const).map((of) => ({ labels: { of }, value: load.now[of] })),
  );

  const shared = (key: 'statements' | 'questions' | 'underWay' | 'waiting') => () =>
    activityOf(storage).sharing.map(({ kind, [key]: value }) => ({ labels: { kind }, value }));
  readTotal(
    'clocktick_shared_statements_total',
    'Statements that requests could share',
    ['kind'],
    shared('statements'),
  );
  readTotal(
    'clocktick_shared_questions_total',
    'Questions that these statements carried',
    ['kind'],
    shared('questions'),
  );
  read('clocktick_shared_under_way', 'Shared statements under way', ['kind'], shared('underWay'));
  read('clocktick_shared_waiting', 'Questions that wait for a shared statement', ['kind'], shared('waiting'));
  readTotal(
    'clocktick_write_retries_total',
    'Tries of a write after the first: somebody else had come first',
    [],
    () => [{ labels: {}, value: activityOf(storage).retriedWrites }],
  );

  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'readMetrics',
        tags: ['operations'],
        summary: 'Figures for Prometheus',
        description:
          'Requests, pools, shared statements, readiness, the process. The guide to operating has the table.',
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

/** Counts requests, of all routes, by what they are and never by what they ask for. */
function countRequests(app: App, registry: Registry): void {
  const registers = [registry];
  const seconds = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'How long answers took, from the head of the request to the last byte that was handed over',
    labelNames: ['method', 'route', 'status_code'],
    buckets: SECONDS,
    registers,
  });
  const refusals = new Counter({
    name: 'clocktick_refusals_total',
    help: 'Answers that are a problem, by its code',
    labelNames: ['code'],
    registers,
  });
  let inFlight = 0;
  let aborted = 0;
  new Gauge({
    name: 'http_requests_in_flight',
    help: 'Requests without their whole answer',
    registers,
    collect() {
      this.set(inFlight);
    },
  });
  new Counter({
    name: 'http_requests_aborted_total',
    help: 'Requests whose caller went away before the whole answer',
    registers,
    collect() {
      this.reset();
      this.inc(aborted);
    },
  });

  // One function for all: a closure for each request would cost more than what it counts.
  function over(this: ServerResponse): void {
    inFlight--;
    if (!this.writableEnded) aborted++;
  }
  app.addHook('onRequest', (_request, reply, done) => {
    inFlight++;
    reply.raw.on('close', over);
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { method } = request;
    const labels = {
      method: METHODS.has(method) ? method : 'other',
      route: request.routeOptions.url ?? 'none',
      status_code: reply.statusCode,
    };
    seconds.observe(labels, reply.elapsedTime / 1000);
    if (reply.statusCode >= 400) refusals.inc({ code: codeSent(reply) ?? 'none' });
    done();
  });
}
