import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

const signals = new WeakMap<Socket, AbortSignal>();

/**
 * Aborted when the caller has gone away: the connection is closed, and nobody would read an answer.
 *
 * One signal a connection, made once. Fastify's `request.signal` is made for each request, and follows the request's `close`,
 * which Node emits as soon as a body has been read: in Fastify 5.12 it aborts every POST and PATCH whose caller still waits
 * (test/http/protocol/caller.test.ts).
 */
export function callerSignal({ socket }: Pick<IncomingMessage, 'socket'>): AbortSignal {
  const known = signals.get(socket);
  if (known) return known;
  const gone = new AbortController();
  if (socket.destroyed) gone.abort();
  else socket.once('close', () => gone.abort());
  signals.set(socket, gone.signal);
  return gone.signal;
}
