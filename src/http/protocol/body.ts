import { MIMEType } from 'node:util';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { readJson } from '../../temporal/json.js';
import { Refusal } from '../../temporal/refusal.js';
import { problem, sendProblem } from './problems.js';

/** Throws on bytes that are not UTF-8, because the service would keep something else than the caller sent. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/**
 * Makes the app read JSON bodies without loss. Fastify's own parser rounds numbers, and takes names such as `__proto__` and
 * `constructor` for an attack. Here they are data.
 */
export function readBodiesExactly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>(
    ['application/json', 'application/merge-patch+json', 'application/json-patch+json'],
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      // A client may leave a body out by sending it in chunks, and none of them.
      if (body.length === 0 && !needsBody(request)) return {};
      const read = readJson(decode(body));
      if ('value' in read) return read.value;
      const { code, path, detail } = read.fault;
      throw Refusal.at(code, path, detail);
    },
  );
  refuseOtherMedia(app);
  app.addHook('preValidation', async (request) => {
    if (request.body !== undefined || !needsBody(request)) return;
    throw refuseBody('this call needs a body');
  });
}

const refuseBody = (message: string) => Refusal.at('invalid_body', '', message);

/** The body in a route's schema, as `jsonBody` of contract/schemas.ts makes it. */
type BodySchema = { required: boolean; content: Record<string, unknown> };

function bodySchema(request: FastifyRequest): BodySchema | undefined {
  const schema = request.routeOptions.schema?.body;
  return isBodySchema(schema) ? schema : undefined;
}

const isBodySchema = (schema: unknown): schema is BodySchema =>
  typeof schema === 'object' && schema !== null && 'content' in schema && 'required' in schema;

const needsBody = (request: FastifyRequest): boolean => bodySchema(request)?.required ?? false;

/**
 * Refuses a body of another media type than the route takes, before it is read. The answer says which types the route takes
 * (RFC 9110 section 15.5.16, RFC 5789 section 3.1). Fastify knows media types only for all routes together: it would let a type
 * that one route takes through to every other, and check its body by no schema.
 */
function refuseOtherMedia(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    const { schema } = request.routeOptions;
    if (!schema?.response) return; // not one of the documented calls
    const taken = Object.keys(bodySchema(request)?.content ?? {});
    const { 'content-type': type, 'content-encoding': encoding, 'content-length': length } = request.headers;
    const isEmpty = request.headers['transfer-encoding'] === undefined && Number(length ?? 0) === 0;
    if (taken.length === 0 && !isEmpty) throw refuseBody('this call takes no body');
    if (taken.length === 0 || (isEmpty && !needsBody(request))) {
      // Many clients name a type on every request. Without a body it means nothing, and Fastify must not look for a parser.
      delete request.raw.headers['content-type'];
      return;
    }
    if (type === undefined && isEmpty) return;
    const wrong = faultOfMedia(type, encoding, taken);
    if (wrong === null) return;
    const types = taken.join(', ');
    if (encoding !== undefined) reply.header('accept-encoding', 'identity');
    reply.header('accept', types);
    if (request.method !== 'PUT') reply.header(`accept-${request.method.toLowerCase()}`, types);
    return sendProblem(reply, problem('unsupported_media_type', `${wrong} This call takes ${types}, in UTF-8.`));
  });
}

function faultOfMedia(type: string | undefined, encoding: string | undefined, taken: string[]): string | null {
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return 'The body has a Content-Encoding.';
  if (type === undefined) return 'The body has no Content-Type.';
  const media = mediaOf(type);
  if (!media) return 'The Content-Type is not well-formed.';
  if (!taken.includes(media.essence)) return `The body is ${media.essence}.`;
  const charset = media.params.get('charset') ?? 'utf-8';
  return /^utf-?8$/i.test(charset) ? null : 'The body is not in UTF-8.';
}

function mediaOf(type: string): MIMEType | null {
  try {
    return new MIMEType(type);
  } catch {
    return null;
  }
}

function decode(body: Buffer): string {
  try {
    return utf8.decode(body);
  } catch (cause) {
    throw new Refusal('text_not_storable', 'The body is not UTF-8.', { cause });
  }
}
