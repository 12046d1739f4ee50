import { fastifySwagger } from '@fastify/swagger';
import { fastifySwaggerUi } from '@fastify/swagger-ui';
import {
  fastifyZodOpenApiPlugin,
  fastifyZodOpenApiTransform,
  fastifyZodOpenApiTransformObject,
} from 'fastify-zod-openapi';
import { Document, visit } from 'yaml';
import { z } from 'zod';
import { readDefinitions } from '../../storage/definitions.js';
import type { Storage } from '../../storage/storage.js';
import { REVALIDATE, sendNotModified, sendOrNotModified } from '../answers/reads.js';
import { MOST_TYPES, tooManyTypes, typedDocumentText } from '../answers/typed-documents.js';
import type { App } from '../app-type.js';
import { withComponents } from '../contract/components.js';
import { flagOf } from '../contract/parameters.js';
import { callerSignal } from '../protocol/caller.js';
import { isNotModified, tagOfText } from '../protocol/conditions.js';

const descriptionFor = (publicUrl: string): string =>
  `clocktick remembers: every change of an entity is a **tick** of its clock, every property keeps the
**range of ticks** over which each of its values held, and anyone can ask what was true at any past tick or instant.

Errors are RFC 9457 \`application/problem+json\` with a stable \`code\`. Unknown parameters and fields are refused, not
ignored. A method that a path does not have is answered 405 with \`Allow\`.

[A page](${publicUrl}/ui/) shows entities and their history. The [guides](${publicUrl}/docs/guide/) show how to use the
API: a tour with its answers, conditions and retries, time, filters, operation.`;

/**
 * Collects the schemas of the routes for the OpenAPI document. It sees only routes that are added after it.
 * @param publicUrl where callers reach the service; empty: where they have the document from
 */
export async function describeRoutes(app: App, publicUrl: string): Promise<void> {
  // fastify-zod-openapi 5.7 writes on a route's schema to whose document it belongs, and the contracts are constants: without copies of its
  // own, a second app of the process would have a document with half of the components.
  app.addHook('onRoute', (route) => {
    route.schema &&= { ...route.schema };
  });
  await app.register(fastifyZodOpenApiPlugin);
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'clocktick',
        version: '1',
        summary: 'Entities that remember',
        description: descriptionFor(publicUrl),
      },
      servers: [{ url: publicUrl || '/', description: 'This service' }],
      security: [],
      tags: [
        { name: 'activities', description: 'Who made changes, and why' },
        { name: 'entities', description: 'Entities, now and as they were' },
        { name: 'exports', description: 'Everything, as a stream' },
        { name: 'history', description: 'Ticks of entities, ranges of properties' },
        { name: 'imports', description: 'Many entities at once' },
        { name: 'operations', description: 'For those who run the service' },
        { name: 'types', description: 'All entities of a type at once' },
      ],
    },
    transform: withAllHeaders,
    transformObject: withOptionalBodies,
  });
}

/** Brings headers back: fastify-zod-openapi 5.7 keeps those of answers that have a body, and drops those of the others. */
const withAllHeaders: typeof fastifyZodOpenApiTransform = (route) => {
  const given = route.schema?.response;
  const transformed = fastifyZodOpenApiTransform(route);
  const made = transformed.schema.response;
  if (!isRecord(given) || !isRecord(made)) return transformed;
  for (const [status, answer] of Object.entries(made)) {
    const from = given[status];
    if (isRecord(answer) && isRecord(from) && !('content' in from)) answer.headers = from.headers;
  }
  return transformed;
};

/**
 * Corrects @fastify/swagger 9.9, which calls every body required: that of a restore may be left out. And it describes the body of a patch
 * by its last schema.
 */
const withOptionalBodies: typeof fastifyZodOpenApiTransformObject = (given) => {
  const document = fastifyZodOpenApiTransformObject(given);
  const body = within(document, ['paths', '/entities/{id}/restore', 'post', 'requestBody']);
  if (isRecord(body)) body.required = false;
  const patch = within(document, ['paths', '/entities/{id}', 'patch', 'requestBody']);
  if (isRecord(patch)) patch.description = 'A merge patch, or a JSON Patch';
  return isRecord(document) ? withComponents(document) : document;
};

const within = (value: unknown, [name, ...rest]: readonly string[]): unknown =>
  name === undefined ? value : isRecord(value) ? within(value[name], rest) : undefined;

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** The OpenAPI document as YAML. What looks like a date stands in quotes: for tools of YAML 1.1 it would be one, and no text. */
export function documentText(app: App): string {
  const document = new Document(app.swagger());
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === 'string' && /^\d{4}-\d\d-\d\d/.test(node.value)) node.type = 'QUOTE_DOUBLE';
    },
  });
  return document.toString();
}

/** Serves the OpenAPI document, at /openapi.yaml; with `types` that of the types that are defined, too. */
export function documentRoutes(app: App, storage: Storage): void {
  const types = flagOf('Types', 'Whether it has the types that are defined, too');
  const schema = { hide: true, querystring: z.strictObject({ types }) };
  let document: { text: string; etag: string } | undefined;
  let typed: { text: Promise<string>; etag: string } | undefined;
  app.get('/openapi.yaml', { schema }, async (request, reply) => {
    if (!document) {
      const text = documentText(app);
      document = { text, etag: tagOfText(text) };
    }
    const { text, etag } = document;
    reply.header('cache-control', REVALIDATE);
    if (!request.query.types) return sendOrNotModified(reply, etag, request.headers, () => text, 'application/yaml');
    const rows = await readDefinitions(storage, MOST_TYPES, callerSignal(request.raw));
    if (!rows) throw tooManyTypes();
    const tag = tagOfText([etag, ...rows.map(({ type, tick }) => `${type} ${tick}`)].join());
    if (isNotModified(tag, request.headers)) return sendNotModified(reply.header('etag', tag));
    // Who asks for the same at the same time waits for the same. A failure is not kept.
    if (typed?.etag !== tag) typed = { text: typedDocumentText(app, rows), etag: tag };
    const made = await typed.text.catch((error: unknown) => {
      typed = undefined;
      throw error;
    });
    return reply.header('etag', tag).type('application/yaml').send(made);
  });
}

/**
 * The Content-Security-Policy of /docs. The plugin's own has `upgrade-insecure-requests`: browsers ask for everything by https,
 * so over http the page stays blank anywhere but on localhost.
 */
const POLICY = {
  'default-src': ["'self'"],
  'img-src': ["'self'", 'data:'],
  'style-src': ["'self'", "'unsafe-inline'"],
  'object-src': ["'none'"],
  'frame-ancestors': ["'self'"],
};

/** Serves a page on which people read the document and try its calls, at /docs. */
export async function showDocument(app: App): Promise<void> {
  await app.register(fastifySwaggerUi, { routePrefix: '/docs', staticCSP: POLICY, uiConfig: { validatorUrl: null } });
}
