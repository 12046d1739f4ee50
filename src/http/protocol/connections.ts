import { createServer, type IncomingMessage, type RequestListener, type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ignoreBody, isStreamed } from './body.js';
import { type Load, overloaded } from './load.js';
import { PROBLEMS, type ProblemCode, problem, sendNotFound, sendProblem } from './problems.js';
import { withAbsoluteType } from './public-url.js';
import { breakStream, hasStream, isAwaited, leaveStream } from './streamed.js';

/*
 * What HTTP/1.1 asks of a connection (RFC 9112): requests take effect in their order, a request whose framing is broken is answered,
 * and no answer is lost because the connection closes while its caller still sends.
 */

/** How long the target of a request may be, in characters: two parts of a path, or a cursor and a filter. */
const MAX_TARGET = 16_384;
/** How long all headers of a request may be together, in characters. */
const MAX_HEADERS = 16_384;
/** Node leaves out the headers after the thousandth, without a word: one of them may be a condition. `rawHeaders` has two items for each. */
const MAX_RAW_HEADERS = 2_000;

/**
 * Milliseconds, for the headers of a request, and then for its body, unless that is streamed. A body of 16 MiB has to come at 2.3 Mbit/s.
 */
export const REQUEST_MS = 60_000;
/** How often it is looked for those that have taken longer. */
const CHECK_MS = 1_000;
/** As Fastify has it: longer than the load balancers of today. */
const KEEP_ALIVE_MS = 72_000;
/** For how long a connection may neither bring nor take anything while a request of it is not over: longer than any answer takes to make. */
const SILENT_MS = 60_000;
const MOST_CONNECTIONS = 10_000;

/** How long a connection whose answer is given may go on sending, in milliseconds and bytes, and how many may do so at a time. */
const LINGER_MS = 30_000;
const LINGER_BYTES = 64 * 2 ** 20;
const MOST_LINGERING = 1_000;
const SWEEP_MS = 100;

const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/**
 * The newest requests of a connection that may be without their answer; whether the newest is the last one that is done there; and whether
 * the service has ended the connection.
 */
type Line = { last: FastifyReply | null; unsafe: FastifyReply | null; isLast: boolean; isEnded: boolean };

/** A connection that is read only to be thrown away, until it `isDone`. */
type Lingering = { socket: Socket; until: number; most: number; isDone: () => boolean };

/** A request whose body has not come whole, and when it must have. */
type Arriving = { raw: IncomingMessage; until: number };

/** What an app needs so that its connections are as they should be. */
type Connections = {
  /** Makes the servers of an app: one for each address that it listens on. */
  serverFactory: (handler: RequestListener) => Server;
  /** Adds what every request goes through. It must come before all that answers. */
  watch: (app: FastifyInstance) => void;
  /** Takes a reply that no hook sees: its request has no route. */
  take: (request: FastifyRequest, reply: FastifyReply) => void;
};

/**
 * @param load what the process keeps for its callers
 * @param publicUrl what URLs of answers begin with; empty: nothing
 * @param requestMs how long the body of a request may take to arrive, in milliseconds
 */
export function connectionsOf(load: Load, publicUrl: string, requestMs: number): Connections {
  const lines = new WeakMap<Socket, Line>();
  const lineOf = (socket: Socket): Line => {
    const known = lines.get(socket);
    if (known) return known;
    const line = { last: null, unsafe: null, isLast: false, isEnded: false };
    lines.set(socket, line);
    return line;
  };
  /** Replies that have an answer, whether or not it has been sent. */
  const answered = new WeakSet<FastifyReply>();
  /** Connections on which nothing more can be read: their framing is broken. */
  const broken = new WeakSet<Socket>();
  const waiting = new WeakMap<FastifyReply, (() => void)[]>();
  const servers = new Set<Server>();
  const lingering = new Set<Lingering>();
  let sweep: NodeJS.Timeout | undefined;
  /** In the order in which their time is over. */
  const arriving = new Set<Arriving>();
  let check: NodeJS.Timeout | undefined;
  let isClosing = false;

  /** Calls when an answer has been sent, or nobody can be sent it any more. */
  function whenOver(reply: FastifyReply, call: () => void): void {
    const calls = waiting.get(reply);
    if (calls) {
      calls.push(call);
      return;
    }
    const all = [call];
    waiting.set(reply, all);
    reply.raw.once('close', () => {
      for (const one of all) one();
    });
  }

  /** Throws away what still arrives on a connection. It cuts one that goes on for too long or too much, unless it is done before. */
  function discard(socket: Socket, isDone: () => boolean): void {
    if (lingering.size >= MOST_LINGERING) {
      socket.destroy();
      return;
    }
    lingering.add({ socket, until: Date.now() + LINGER_MS, most: socket.bytesRead + LINGER_BYTES, isDone });
    sweep ??= setInterval(sweepAll, SWEEP_MS).unref();
  }

  function sweepAll(): void {
    const now = Date.now();
    for (const one of lingering) {
      const { socket, until, most, isDone } = one;
      if (now > until || socket.bytesRead > most) socket.destroy();
      if (socket.destroyed || isDone()) lingering.delete(one);
    }
    if (lingering.size > 0) return;
    clearInterval(sweep);
    sweep = undefined;
  }

  /** Ends a connection: it sends nothing more, and nothing that still arrives is done. */
  function end(socket: Socket): void {
    lineOf(socket).isEnded = true;
    socket.end();
    discard(socket, () => false);
  }

  /** Ends a connection with a problem for which there is no reply. */
  function endWith(socket: Socket, code: ProblemCode): void {
    if (!socket.writable) return;
    const { status, title } = PROBLEMS[code];
    const body = withAbsoluteType(JSON.stringify(problem(code, `${title}.`)), publicUrl);
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/problem+json; charset=utf-8\r\nCache-Control: no-store\r\n` +
        `X-Content-Type-Options: nosniff\r\nDate: ${new Date().toUTCString()}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
    end(socket);
  }

  /**
   * Sees to it that the body of a request comes to an end. Node's own limit would also cut those that are streamed for minutes: of these only
   * silence counts, which Node tells of (`timeout`).
   */
  function awaitBody({ raw, routeOptions }: FastifyRequest, reply: FastifyReply): void {
    if (raw.complete !== false || !hasBody(raw)) return;
    if (isStreamed(routeOptions.schema?.body)) {
      raw.on('timeout', () => onSilence(raw, reply));
      return;
    }
    const one = { raw, until: Date.now() + requestMs };
    arriving.add(one);
    // Else its body would be kept until somebody looks.
    raw.once('close', () => arriving.delete(one));
    check ??= setInterval(checkArriving, Math.min(CHECK_MS, requestMs)).unref();
  }

  function checkArriving(): void {
    const now = Date.now();
    for (const one of arriving) {
      const { raw, until } = one;
      if (until > now) return;
      arriving.delete(one);
      if (!raw.complete && !raw.socket.destroyed) breakOff(raw.socket, 'request_timeout');
    }
    clearInterval(check);
    check = undefined;
  }

  /** Tells the handler that its caller sends no more. A caller that takes nothing, or whose handler does nothing, is cut as any other is. */
  function onSilence(raw: IncomingMessage, reply: FastifyReply): void {
    const { socket } = raw;
    if (!isAwaited(raw) || reply.raw.writableLength > 0) {
      socket.destroy();
      return;
    }
    breakOff(socket, 'request_timeout');
    // Node does not begin anew by itself: the answer has to come, and to be taken, in the same time.
    socket.setTimeout(socket.timeout ?? SILENT_MS);
  }

  /**
   * Answers a request that Node cannot read to its end, or not at all, and ends its connection. Requests that came before it on the
   * connection get their own answers first: one of them may be a write, and its caller must not take this answer for that of the write.
   */
  function onClientError(error: Error & { code?: unknown }, socket: Socket): void {
    if (error.code === 'ECONNRESET') return;
    const raw = lineOf(socket).last?.request.raw;
    // Whoever ends its side in the middle of a stream has gone, and its handler is told so.
    if (error.code === 'HPE_INVALID_EOF_STATE' && raw && !raw.complete && hasStream(raw)) socket.destroy();
    else breakOff(socket, CODES.get(error.code) ?? 'bad_request');
  }

  function breakOff(socket: Socket, code: BreakCode): void {
    if (socket.destroyed || !socket.writable || broken.has(socket)) return;
    broken.add(socket);
    const { last, isLast } = lineOf(socket);
    const raw = last?.request.raw;
    if (!last || !raw) endWith(socket, code);
    // The handler says so, at the end of the answer that it has begun, or by a problem.
    else if (!raw.complete && !isOver(last) && breakStream(raw, code, `${PROBLEMS[code].title}.`))
      whenOver(last, () => end(socket));
    else if (raw.complete || answered.has(last)) {
      // What is broken is the body of a request that has been refused already, or what stands behind the last request: no other answer.
      const finish = () => (isLast || !raw.complete ? end(socket) : endWith(socket, code));
      if (isOver(last)) finish();
      else whenOver(last, finish);
    } else {
      // The connection is over after the answer.
      ignoreBody(raw);
      sendProblem(last, problem(code, `${PROBLEMS[code].title}.`));
      whenOver(last, () => end(socket));
    }
  }

  /** Node takes its hands off the connection of a CONNECT. */
  function onConnect(_request: IncomingMessage, socket: Socket): void {
    socket.on('error', () => socket.destroy()).resume();
    const { last } = lineOf(socket);
    if (last && !isOver(last)) whenOver(last, () => endWith(socket, 'not_implemented'));
    else endWith(socket, 'not_implemented');
  }

  /** Notes a request as the newest of its connection. Gives the reply that its turn comes after, if it has to wait. */
  function note(line: Line, request: FastifyRequest, reply: FastifyReply): FastifyReply | null {
    const isSafe = SAFE.has(request.method);
    const awaited = isSafe ? line.unsafe : line.last;
    line.last = reply;
    // After an Upgrade that nobody takes Node loses what follows in the same packet, and reads the next one from anywhere.
    if (request.headers.upgrade !== undefined) reply.raw.shouldKeepAlive = false;
    if (!reply.raw.shouldKeepAlive) line.isLast = true;
    if (isSafe) {
      if (line.unsafe && isOver(line.unsafe)) line.unsafe = null;
    } else {
      line.unsafe = reply;
      // Its request may have a body of megabytes, and the connection may be kept for hours.
      whenOver(reply, () => {
        if (line.unsafe === reply) line.unsafe = null;
        if (line.last === reply && request.raw.complete) line.last = null;
      });
    }
    return awaited && !isOver(awaited) ? awaited : null;
  }

  /**
   * Reads and throws away what still arrives of a body when its request has been answered. Otherwise the connection would be reset, and a
   * caller that is still sending could not read the answer (RFC 9112 section 9.6).
   */
  function drain({ raw }: FastifyRequest, reply: FastifyReply): void {
    // A stream that failed before its first byte is answered once more, by a problem.
    const isAgain = answered.has(reply);
    answered.add(reply);
    const { socket } = raw;
    const isRead = raw.complete !== false || !hasBody(raw);
    // Fastify closes after each body that it cannot take; there is no need, unless somebody wants it.
    const isLast =
      broken.has(socket) ||
      !reply.raw.shouldKeepAlive ||
      (!isRead && raw.headers.expect !== undefined) ||
      reply.raw.getHeader('connection') === 'close';
    if (!isRead || reply.getHeader('connection') !== undefined)
      reply.header('connection', isLast ? 'close' : 'keep-alive');
    if (isAgain || (isRead && !hasStream(raw))) return;
    // Node calls it after an answer that is the last one of its connection.
    const { destroySoon } = socket;
    socket.destroySoon = () => (raw.complete ? destroySoon.call(socket) : end(socket));
    reply.raw.once('finish', () => {
      leaveStream(raw);
      raw.resume();
      const isDone = () => {
        // Undefined of a request that `app.inject` makes, which has no connection to wait for either.
        const isWhole = raw.complete !== false;
        if (isWhole && !lineOf(socket).isEnded) socket.destroySoon = destroySoon;
        return isWhole;
      };
      // That of a stream may have come whole meanwhile.
      if (isDone()) return;
      if (isClosing) end(socket);
      else discard(socket, isDone);
    });
  }

  return {
    serverFactory(handler) {
      /**
       * Node parses all that came in one packet, and keeps two objects for each of up to a thousand requests, whatever becomes of them.
       * Of those behind the last one, and of a connection that is over, nobody waits for an answer, and nothing may happen that nobody can be
       * told of: they are not even begun, because that would take as much memory again.
       */
      const begin: RequestListener = (request, response) => {
        const { socket } = request;
        const line = lines.get(socket);
        if (line?.isEnded || socket.destroyed) return;
        if (line?.isLast) socket.pause();
        else handler(request, response);
      };
      const server = createServer(
        {
          // More than the target and the headers may take, so that `faultOf` tells which of them is too long.
          maxHeaderSize: 2 * (MAX_TARGET + MAX_HEADERS),
          // Else headers that stopped arriving would be noticed only half a minute after their time was over.
          connectionsCheckingInterval: CHECK_MS,
          // Node would refuse a request without Host by an answer without a body; `faultOf` tells what is wrong.
          requireHostHeader: false,
          headersTimeout: REQUEST_MS,
          // `awaitBody` sees to it.
          requestTimeout: 0,
          keepAliveTimeout: KEEP_ALIVE_MS,
        },
        begin,
      );
      server.timeout = SILENT_MS;
      server.maxConnections = MOST_CONNECTIONS;
      servers.add(server);
      server.on('clientError', onClientError);
      server.on('connect', onConnect);
      // Both are requests like any other: whether they are refused is decided by their content.
      server.on('checkContinue', begin);
      server.on('checkExpectation', begin);
      return server;
    },

    watch(app) {
      app.addHook('onRequest', (request, reply, done) => {
        const { socket } = request.raw;
        const line = lineOf(socket);
        const place = load.arrive(socket, reply.raw);
        if (place === 'too many') return void socket.destroy();
        if (place === 'last') reply.raw.shouldKeepAlive = false;
        const awaited = note(line, request, reply);
        awaitBody(request, reply);
        const enter = () => load.enter(reply.raw, done);
        if (!awaited) return enter();
        whenOver(awaited, () => {
          if (!socket.destroyed && !line.isEnded && socket.writable !== false) enter();
        });
      });
      app.addHook('onRequest', (request, _reply, done) => {
        // Who runs the service has to see what is wrong with it.
        done(load.isFull() && !isOfOperations(request) ? overloaded() : undefined);
      });
      app.addHook('onRequest', (request, reply, done) => {
        const fault = faultOf(request.raw);
        if (fault) {
          const [code, detail, isUnframed] = fault;
          // Nobody knows where the next request begins.
          if (isUnframed) {
            reply.raw.shouldKeepAlive = false;
            lineOf(request.raw.socket).isLast = true;
          }
          sendProblem(reply, problem(code, detail));
        }
        // Before its body is read: Fastify would parse that of any path.
        else if (request.is404) sendNotFound(request, reply);
        else done();
      });
      app.addHook('onSend', (request, reply, payload, done) => {
        const bytes = typeof payload === 'string' ? payload.length : 0;
        if (!load.answer(reply.raw, bytes, SAFE.has(request.method))) {
          for (const name of ['etag', 'link']) reply.removeHeader(name);
          return done(overloaded());
        }
        drain(request, reply);
        done(null, payload);
      });
      // Node closes those that are idle when a server closes. But it keeps one whose request is in flight alive after the answer, until the
      // client goes or its time is over, and the process would not end before.
      app.addHook('preClose', async () => {
        isClosing = true;
        for (const { socket } of lingering) if (lineOf(socket).isEnded) socket.destroy();
        const idle = setInterval(() => {
          for (const server of servers) server.closeIdleConnections();
        }, 50).unref();
        app.server.once('close', () => clearInterval(idle));
      });
    },

    take(request, reply) {
      note(lineOf(request.raw.socket), request, reply);
      drain(request, reply);
    },
  };
}

/** Why a request is not read to its end. */
type BreakCode = 'bad_request' | 'headers_too_large' | 'request_timeout';

const CODES: ReadonlyMap<unknown, BreakCode> = new Map<unknown, BreakCode>([
  ['HPE_HEADER_OVERFLOW', 'headers_too_large'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'request_timeout'],
]);

const isOfOperations = ({ url }: FastifyRequest): boolean => url.startsWith('/health/') || url.startsWith('/metrics');

const isOver = ({ raw }: FastifyReply): boolean => raw.writableFinished || raw.destroyed;

/** Whether the headers of a request say that a body may follow. */
const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** A host and perhaps a port (RFC 3986 section 3.2.2); it may be empty. */
const HOST = /^[\w.~!$&'()*+,;=%:[\]-]*$/;

/** What is wrong with a request, and whether that leaves unknown where it ends. */
type Fault = [code: ProblemCode, detail: string, isUnframed?: true];

/** What Node lets pass, though RFC 9110 and RFC 9112 do not; null: nothing. */
function faultOf({ httpVersion, method, headers, rawHeaders, url = '' }: IncomingMessage): Fault | null {
  if (httpVersion !== '1.1' && httpVersion !== '1.0')
    return ['bad_request', 'The request is not one of HTTP/1.1.', true];
  if (!/^(?:\/|https?:\/\/)/i.test(url) && !(url === '*' && method === 'OPTIONS'))
    return ['bad_request', 'The target of the request is no path.'];
  if (url.includes('#')) return ['invalid_url', 'The URL has a fragment (#), which is never sent: encode it as %23.'];
  if (url.length > MAX_TARGET)
    return ['url_too_long', `The URL has ${url.length} characters, more than ${MAX_TARGET}.`];
  let [length, hosts] = [0, 0];
  for (let n = 0; n < rawHeaders.length; n += 2) {
    const name = rawHeaders[n] ?? '';
    length += name.length + (rawHeaders[n + 1] ?? '').length;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  if (length > MAX_HEADERS || rawHeaders.length >= MAX_RAW_HEADERS)
    return ['headers_too_large', `The headers have more than ${MAX_HEADERS} characters, or are too many.`];
  if (hosts > 1) return ['bad_request', 'The request has more than one header Host.'];
  const { 'transfer-encoding': coding, expect } = headers;
  if (httpVersion === '1.0') {
    // Who sent it cannot know how it is framed (RFC 9112 section 6.1).
    return coding === undefined ? null : ['bad_request', 'A request of HTTP/1.0 has no Transfer-Encoding.', true];
  }
  if (hosts === 0) return ['bad_request', 'The request has no header Host.'];
  if (!HOST.test(headers.host ?? '')) return ['bad_request', 'The header Host names no host.'];
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked')
    return ['not_implemented', 'The service knows no transfer coding but chunked.', true];
  if (expect !== undefined && expect.trim().toLowerCase() !== '100-continue')
    return ['expectation_failed', 'The service meets no expectation but 100-continue.'];
  return null;
}
