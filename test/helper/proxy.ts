import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

/** How a connection ends: with an error at the client's socket, or without. */
export type Way = 'reset' | 'end';

type Break = {
  /** Words of the statement at which the connection breaks. */
  at: string;
  /** Whether the server never sees the statement, or the client never sees its answer. */
  loses: 'statement' | 'answer';
  way: Way;
};

export type DatabaseProxy = {
  /** The database through the proxy. */
  url: string;
  /** Breaks the connection that sends such a statement, once. */
  breakNext: (next: Break) => void;
  /** Breaks all connections now; resolves when the client's side of each is gone. */
  breakAll: (way: Way) => Promise<void>;
  /** Whether connections that are made from now on are ended at once. */
  refuse: (refuses: boolean) => void;
  /** Whether from now on everything is swallowed, and nothing closed, as by a server that is stopped. */
  hang: (hangs: boolean) => void;
  /** Resolves when a statement with these words goes to the server. */
  sent: (words: string) => Promise<void>;
  /** Resolves when so many bytes more have come from the server. */
  received: (bytes: number) => Promise<void>;
  /** Whether the break that was asked for has come. */
  broken: () => boolean;
  /** How many connections there were. */
  connections: () => number;
};

/** Z, its length; how the session is follows. The server has answered all that it was sent. */
const READY = Buffer.from('5a00000005', 'hex');

/** A proxy before a database, whose connections can be broken at any point. */
export async function proxyBefore(t: Test, url: string): Promise<DatabaseProxy> {
  const target = new URL(url);
  const links = new Map<Socket, Socket>();
  let connections = 0;
  let refuses = false;
  let hangs = false;
  let next: Break | undefined;
  let watched: { words: string; resolve: () => void } | undefined;
  let awaited: { bytes: number; resolve: () => void } | undefined;

  const cut = async (client: Socket, way: Way) => {
    const upstream = links.get(client);
    links.delete(client);
    const closed = once(client, 'close');
    upstream?.destroy();
    if (way === 'reset') client.resetAndDestroy();
    else client.end().resume();
    await closed;
  };

  const server = createServer((client) => {
    connections += 1;
    if (refuses) {
      client.on('error', () => {}).resetAndDestroy();
      return;
    }
    const upstream = connect(Number(target.port), target.hostname);
    links.set(client, upstream);
    if (hangs) for (const socket of [client, upstream]) socket.pause();
    let breaking: Break | undefined;
    client
      .on('error', () => {})
      .on('close', () => {
        links.delete(client);
        upstream.destroy();
      });
    upstream.on('error', () => {}).on('close', () => links.has(client) && client.end());
    client.on('data', (data) => {
      if (!links.has(client)) return;
      if (next && data.includes(next.at)) {
        breaking = next;
        next = undefined;
        if (breaking.loses === 'statement') return cut(client, breaking.way);
      }
      upstream.write(data);
      if (watched && data.includes(watched.words)) watched.resolve();
    });
    upstream.on('data', (data) => {
      if (!links.has(client)) return;
      if (breaking && data.subarray(-6, -1).equals(READY)) return cut(client, breaking.way);
      client.write(data);
      if (!awaited) return;
      awaited.bytes -= data.length;
      if (awaited.bytes < 0) awaited.resolve();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const [client, upstream] of links) for (const socket of [client, upstream]) socket.destroy();
    server.close();
  });
  const address = server.address();
  const through = new URL(url);
  through.host = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  return {
    url: through.href,
    breakNext: (wanted) => {
      next = wanted;
    },
    broken: () => next === undefined,
    breakAll: async (way) => {
      await Promise.all([...links.keys()].map((client) => cut(client, way)));
    },
    refuse: (all) => {
      refuses = all;
    },
    hang: (all) => {
      hangs = all;
      for (const socket of [...links].flat()) all ? socket.pause() : socket.resume();
    },
    sent: (words) =>
      new Promise<void>((resolve) => {
        watched = { words, resolve };
      }),
    received: (bytes) =>
      new Promise<void>((resolve) => {
        awaited = { bytes, resolve };
      }),
    connections: () => connections,
  };
}
