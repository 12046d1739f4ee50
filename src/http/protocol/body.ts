import type { IncomingMessage } from 'node:http';
import { MIMEType } from 'node:util';
import type { FastifyInstance, FastifyReply, FastifyRequest, preParsingHookHandler } from 'fastify';
import { readJson } from '../../temporal/json.js';
import { MAX_BODY_BYTES, MAX_CONTAINERS } from '../../temporal/limits.js';
import { Refusal } from '../../temporal/refusal.js';
import { type Load, overloaded } from './load.js';
import { bodyTooLarge, type Problem, problem, sendProblem } from './problems.js';
import { ACCEPTED_ENCODINGS, isDecoded, streamedBody } from './streamed.js';

/** Throws on bytes that are not UTF-8, because the service would keep something else than the caller sent. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/** The media types of bodies that are lines. A handler reads them while they arrive. */
export const LINE_TYPES = ['application/x-ndjson', 'application/ndjson', 'application/jsonl'] as const;

/**
 * Makes the app read JSON bodies without loss. Fastify's own parser rounds numbers, and takes names such as `__proto__` and
 * `constructor` for an attack. Here they are data.
 */
export function readBodiesExactly(app: FastifyInstance, load: Load): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>(
    ['application/json', 'application/merge-patch+json', 'application/json-patch+json'],
    { parseAs: 'buffer' },
    async (_request: FastifyRequest, body: Buffer) => {
      if (body.length > 2 * MAX_CONTAINERS && containersIn(body) > MAX_CONTAINERS) {
        throw new Refusal(
          'body_too_large',
          `The body holds more than ${MAX_CONTAINERS} objects and arrays, the most that this service takes.`,
        );
      }
      const read = readJson(decode(body));
      if ('value' in read) return read.value;
      const { code, path, detail } = read.fault;
      throw Refusal.at(code, path, detail);
    },
  );
  app.addContentTypeParser([...LINE_TYPES], (_request, payload, done) => done(null, payload));
  refuseOtherBodies(app, load);
}

const [QUOTE, BACKSLASH, BRACE, BRACKET] = Buffer.from('"\\{[');

/** How many objects and arrays there are in JSON text, if it is any. Before it is parsed, which is what takes the memory. */
export function containersIn(json: Buffer): number {
  let count = 0;
  let isText = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (isText && byte === BACKSLASH) at++;
    else if (byte === QUOTE) isText = !isText;
    else if (!isText && (byte === BRACE || byte === BRACKET)) count++;
  }
  return count;
}

function decode(body: Buffer): string {
  try {
    return utf8.decode(body);
  } catch (cause) {
    throw new Refusal('text_not_storable', 'The body is not UTF-8.', { cause });
  }
}

/**
 * Refuses a body that the route does not take, as soon as it can be known: by the headers, before the caller is told to go on
 * (`Expect: 100-continue`). Fastify knows media types only for all routes together: it would let a type that one route takes through to
 * every other, and check its body by no schema. (Of a path that nobody has, connections.ts refuses the request before.)
 *
 * Some proxies send every request in chunks. So whether there is a body is told by the first chunk, not by the headers.
 */
function refuseOtherBodies(app: FastifyInstance, load: Load): void {
  app.addHook('onRoute', (route) => {
    if (!route.schema?.response) return; // not one of the documented calls, which take no body
    const taken = takenBy(route.schema.body);
    const refuse: preParsingHookHandler = (request, reply, payload, done) => {
      const { headers, raw } = request;
      /** Whether the request may go on: otherwise it has been answered. */
      const admit = (hasBody: boolean): boolean => {
        const fault = hasBody ? faultOfBody(request, reply, taken) : faultOfNone(taken);
        if (fault) sendProblem(reply, fault);
        else if (!hasBody) forgetBody(raw);
        return fault === null;
      };
      const tellToGoOn = () => {
        if (headers.expect !== undefined && raw.httpVersion === '1.1') reply.raw.writeContinue();
      };
      /** Lets Fastify read the body. It begins at once, so no part of it is read without it. */
      const read = () => {
        raw.on('data', (part: Buffer) => {
          if (!load.receive(reply.raw, part.length)) refuseRest();
        });
        done(null, payload);
      };
      const refuseRest = () => {
        ignoreBody(raw);
        sendProblem(reply, problem('overloaded', overloaded().message));
      };
      if (taken.isStreamed) {
        const has = headers['transfer-encoding'] !== undefined || headers['content-length'] !== undefined;
        if (!admit(has)) return;
        tellToGoOn();
        return done(null, has ? streamedBody(raw, headers['content-encoding']) : payload);
      }
      if (headers['transfer-encoding'] === undefined) {
        const has = Number(headers['content-length'] ?? 0) > 0;
        if (!admit(has)) return;
        tellToGoOn();
        return has ? read() : done(null, payload);
      }
      if (taken.isRequired && !admit(true)) return;
      tellToGoOn();
      // Meanwhile the request may have been answered: its framing was broken.
      hasContent(raw).then((has) => {
        if (reply.sent || !admit(has)) return;
        if (has) read();
        else done(null, payload);
      }, done);
    };
    route.preParsing = [refuse, ...[route.preParsing ?? []].flat()];
  });
}

/** What a call takes: the media types of its body, none where it takes no body; whether there must be one; whether it is streamed. */
type Taken = { types: string[]; isRequired: boolean; isStreamed: boolean };

const takenBy = (body: unknown): Taken =>
  isBodySchema(body)
    ? { types: Object.keys(body.content), isRequired: body.required, isStreamed: isStreamed(body) }
    : { types: [], isRequired: false, isStreamed: false };

/** The body in a route's schema, as `jsonBody` of contract/schemas.ts makes it. */
type BodySchema = { required: boolean; content: Record<string, unknown> };

export const isBodySchema = (schema: unknown): schema is BodySchema =>
  typeof schema === 'object' && schema !== null && 'content' in schema && 'required' in schema;

const lineTypes: ReadonlySet<string> = new Set(LINE_TYPES);

/** Whether the body in a route's schema is one of lines, which its handler reads while they arrive (streamed.ts). */
export const isStreamed = (schema: unknown): boolean =>
  isBodySchema(schema) && Object.keys(schema.content).every((type) => lineTypes.has(type));

/** Whether a body in chunks has any content. What this has read of it can be read again. */
const hasContent = (raw: IncomingMessage): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      raw.off('data', onData).off('end', onEnd).off('error', onError);
      settle();
    };
    const onData = (chunk: Buffer) => {
      raw.pause();
      raw.unshift(chunk);
      end(() => resolve(true));
    };
    const onEnd = () => end(() => resolve(false));
    // The caller has gone, which is no fault of the service.
    const onError = (error: Error) => end(() => reject(Object.assign(error, { statusCode: 400 })));
    raw.on('data', onData).on('end', onEnd).on('error', onError);
  });

/** Takes its hands off what still arrives of a body: nobody may take what has come for the whole. */
export function ignoreBody(raw: IncomingMessage): void {
  for (const event of ['data', 'end', 'error', 'readable']) raw.removeAllListeners(event);
  raw.on('error', () => {});
}

/** Many clients name a type on every request. Without a body it means nothing, and Fastify must not look for a parser. */
function forgetBody({ headers }: IncomingMessage): void {
  delete headers['content-type'];
  delete headers['transfer-encoding'];
}

const faultOfNone = ({ isRequired }: Taken): Problem | null =>
  isRequired ? refusedBody('this call needs a body') : null;

const refusedBody = (message: string): Problem =>
  problem('invalid_body', `${message}.`, { errors: [{ path: '', message }] });

/** What is wrong with a body by its headers. The answer says which types the route takes (RFC 9110 section 15.5.16, RFC 5789 section 3.1). */
function faultOfBody({ headers, method }: FastifyRequest, reply: FastifyReply, taken: Taken): Problem | null {
  const { types, isStreamed } = taken;
  if (types.length === 0) return refusedBody('this call takes no body');
  const { 'content-type': type, 'content-encoding': encoding } = headers;
  const wrong = faultOfMedia(type, encoding, taken);
  if (wrong === null && isStreamed) return null;
  if (wrong === null) return Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES ? bodyTooLarge() : null;
  const list = types.join(', ');
  if (encoding !== undefined) reply.header('accept-encoding', isStreamed ? ACCEPTED_ENCODINGS : 'identity');
  reply.header('accept', list);
  if (method !== 'PUT') reply.header(`accept-${method.toLowerCase()}`, list);
  return problem('unsupported_media_type', `${wrong} This call takes ${list}, in UTF-8.`);
}

function faultOfMedia(type: string | undefined, encoding: string | undefined, taken: Taken): string | null {
  if (taken.isStreamed ? !isDecoded(encoding) : encoding !== undefined && encoding.toLowerCase() !== 'identity')
    return taken.isStreamed
      ? `The Content-Encoding is none of ${ACCEPTED_ENCODINGS}.`
      : 'The body has a Content-Encoding.';
  if (type === undefined) return 'The body has no Content-Type.';
  const media = mediaOf(type);
  if (!media) return 'The Content-Type is not well-formed.';
  if (!taken.types.includes(media.essence)) return `The body is ${media.essence}.`;
  const charset = media.params.get('charset') ?? 'utf-8';
  return /^utf-?8$/i.test(charset) ? null : 'The body is not in UTF-8.';
}

/** The media type of a Content-Type, without parameters; null where it is not well-formed. */
export const mediaTypeOf = (type: string): string | null => mediaOf(type)?.essence ?? null;

function mediaOf(type: string): MIMEType | null {
  try {
    return new MIMEType(type);
  } catch {
    return null;
  }
}
