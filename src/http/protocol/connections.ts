import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { PROBLEMS, type ProblemCode, problem, sendProblem } from './problems.js';
import { withAbsoluteType } from './public-url.js';

/*
 * What HTTP/1.1 asks of a connection (RFC 9112): requests take effect in their order, a request whose framing is broken is answered,
 * and no answer is lost because the connection closes while its caller still sends.
 */

/** How long the target of a request may be, in characters: two parts of a path, or a cursor and a filter. */
const MAX_TARGET = 16_384;
/** How long all headers of a request may be together, in characters. */
const MAX_HEADERS = 16_384;

/** How long a connection whose answer is given may go on sending, in milliseconds and bytes. All of it is thrown away. */
const LINGER_MS = 30_000;
const LINGER_BYTES = 64 * 2 ** 20;

/** Options of Node's server. */
export const connectionOptions = {
  // More than the target and the headers may take, so that `faultOf` tells which of them is too long.
  maxHeaderSize: 2 * (MAX_TARGET + MAX_HEADERS),
  // Else a request that stopped arriving would be noticed only half a minute after its time was over.
  connectionsCheckingInterval: 1_000,
  // Node would refuse a request without Host by an answer without a body; `refuseFaultyRequests` tells what is wrong.
  requireHostHeader: false,
};

/** The newest requests of each connection: the last one, and the last that may change something. */
type Line = { last: FastifyReply; unsafe: FastifyReply | null };
const lines = new WeakMap<Socket, Line>();

const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Adds what a connection needs. It must come before all that answers. */
export function watchConnections(app: FastifyInstance, publicUrl: string): void {
  keepOrder(app);
  refuseFaultyRequests(app);
  drainRefusedBodies(app);
  // Both are requests like any other: whether they are refused is decided by their content.
  app.server.on('checkContinue', (request, response) => app.server.emit('request', request, response));
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  app.server.on('connect', (_request, socket: Socket) => endWith(socket, 'not_implemented', publicUrl));
}

/**
 * Makes requests of one connection wait for those before them, if one of them may change something (RFC 9112 section 9.3.2). Node
 * hands over a request as soon as it has arrived, and keeps only the answers in order.
 */
function keepOrder(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw;
    const line = lines.get(socket);
    const isSafe = SAFE.has(request.method);
    lines.set(socket, { last: reply, unsafe: isSafe ? (line?.unsafe ?? null) : reply });
    const awaited = isSafe ? line?.unsafe : line?.last;
    if (!awaited || isOver(awaited)) return done();
    awaited.raw.once('close', () => {
      // Nobody waits for the answer any more, and nothing may happen that nobody can be told of.
      if (!socket.destroyed) done();
    });
  });
}

const isOver = ({ raw }: FastifyReply): boolean => raw.writableFinished || raw.destroyed;

/** Replies that have an answer, whether or not it has been sent. */
const answered = new WeakSet<FastifyReply>();

/** Refuses what Node lets pass, though RFC 9110 and RFC 9112 do not. */
function refuseFaultyRequests(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    const fault = faultOf(request.raw);
    if (!fault) return done();
    const [code, detail] = fault;
    sendProblem(reply, problem(code, detail));
  });
}

function faultOf({ httpVersion, headers, rawHeaders, url = '' }: IncomingMessage): [ProblemCode, string] | null {
  if (!httpVersion.startsWith('1.')) return ['bad_request', 'The request is not one of HTTP/1.1.'];
  if (url.length > MAX_TARGET)
    return ['url_too_long', `The URL has ${url.length} characters, more than ${MAX_TARGET}.`];
  if (rawHeaders.reduce((sum, { length }) => sum + length, 0) > MAX_HEADERS)
    return ['headers_too_large', `The headers have more than ${MAX_HEADERS} characters.`];
  const hosts = rawHeaders.filter((name, n) => n % 2 === 0 && name.toLowerCase() === 'host').length;
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1'))
    return ['bad_request', `The request has ${hosts === 0 ? 'no header Host' : 'more than one header Host'}.`];
  const { 'transfer-encoding': coding, expect } = headers;
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked')
    return ['not_implemented', 'The service knows no transfer coding but chunked.'];
  if (expect !== undefined && expect.trim().toLowerCase() !== '100-continue')
    return ['expectation_failed', 'The service meets no expectation but 100-continue.'];
  return null;
}

/**
 * Reads and throws away what still arrives of a body when its request has been answered. Otherwise the connection would be reset, and a
 * caller that is still sending could not read the answer (RFC 9112 section 9.6).
 */
function drainRefusedBodies(app: FastifyInstance): void {
  app.addHook('onSend', (request, reply, payload, done) => {
    const { raw } = request;
    answered.add(reply);
    if (raw.complete === false && hasBody(raw)) {
      // Fastify asks for this after each body that it has not read to its end.
      reply.removeHeader('connection');
      const { socket } = raw;
      // Node calls it after an answer that is the last one of its connection.
      socket.destroySoon = () => linger(socket);
      reply.raw.once('finish', () => {
        raw.resume();
        cutAfterAll(socket, () => raw.complete);
      });
    }
    done(null, payload);
  });
}

/** Whether the headers of a request say that a body may follow. */
const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** Ends a connection: it sends nothing more, and what the caller still sends is thrown away until the caller has ended, too. */
function linger(socket: Socket): void {
  socket.end();
  cutAfterAll(socket, () => false);
}

/** Cuts a connection that goes on sending for too long or too much, unless it is `done` before. */
function cutAfterAll(socket: Socket, isDone: () => boolean): void {
  const until = Date.now() + LINGER_MS;
  const most = socket.bytesRead + LINGER_BYTES;
  const sweep = setInterval(() => {
    if (isDone() || socket.destroyed) clearInterval(sweep);
    else if (Date.now() > until || socket.bytesRead > most) socket.destroy();
  }, 50);
  sweep.unref();
}

/** Connections on which nothing more can be read: their framing is broken. */
const broken = new WeakSet<Socket>();

/**
 * What answers a request that Node cannot read to its end, or not at all, and ends its connection. Requests that came before it on the
 * connection get their own answers first: one of them may be a write, and its caller must not take this answer for that of the write.
 * @param publicUrl what URLs of answers begin with; empty: nothing
 */
export const clientErrors =
  (publicUrl: string) =>
  (error: Error & { code?: unknown }, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable || broken.has(socket)) return;
    broken.add(socket);
    const code = CODES.get(error.code) ?? 'bad_request';
    const last = lines.get(socket)?.last;
    const raw = last?.request.raw;
    if (!last || !raw || (isOver(last) && raw.complete)) endWith(socket, code, publicUrl);
    else if (raw.complete) last.raw.once('close', () => endWith(socket, code, publicUrl));
    else if (answered.has(last)) {
      // It is the body of a request that has been refused already.
      if (isOver(last)) linger(socket);
      else last.raw.once('close', () => linger(socket));
    } else {
      // Nobody may take what has arrived for the body, and the connection is over after the answer.
      for (const event of ['data', 'end', 'error', 'readable']) raw.removeAllListeners(event);
      raw.on('error', () => {});
      sendProblem(last, problem(code, `${PROBLEMS[code].title}.`));
      last.raw.once('close', () => linger(socket));
    }
  };

const CODES: ReadonlyMap<unknown, ProblemCode> = new Map([
  ['HPE_HEADER_OVERFLOW', 'headers_too_large'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'request_timeout'],
]);

/** Ends a connection with a problem for which there is no reply. */
function endWith(socket: Socket, code: ProblemCode, publicUrl: string): void {
  if (!socket.writable) return;
  const { status, title } = PROBLEMS[code];
  const body = withAbsoluteType(JSON.stringify(problem(code, `${title}.`)), publicUrl);
  socket.write(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n` +
      `Date: ${new Date().toUTCString()}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  linger(socket);
}
