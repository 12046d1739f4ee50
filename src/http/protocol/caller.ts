import type { IncomingMessage } from 'node:http';

/** Says whether the caller has gone away: the connection is closed, and nobody would read an answer. */
export const goneOf = (raw: IncomingMessage) => (): boolean => raw.socket.destroyed;
