import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

const signals = new WeakMap<Socket, AbortSignal>();

/**
 * A signal that is aborted when the caller has gone away: the connection is closed, so nobody would read an answer. Each
 * connection has one signal, for all its requests.
 *
 * Fastify's `request.signal` will not do. It follows the `close` of the request, which Node emits as soon as it has read the
 * body. So Fastify 5.12 aborts every POST and PATCH while its caller still waits (test/http/protocol/caller.test.ts).
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
