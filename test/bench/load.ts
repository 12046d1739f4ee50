import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import autocannon from 'autocannon';

/*
 * The load, a process of its own: what it takes to make requests must not slow down who answers them. Is told by a message
 * what to send, and answers with what came of it.
 */

/** Requests to send: to each path in turn, with each body in turn. A body is made anew for each, `#` in it being a number never used before. */
export type Load = {
  url: string;
  method: 'GET' | 'PATCH' | 'POST' | 'PUT';
  paths: string[];
  bodies: string[] | null;
  connections: number;
  seconds: number;
  /** How many a second, whether or not the answers keep up; null: each connection as soon as it has its answer. */
  rate: number | null;
};

/** Answers of success a second, how many requests had no such answer, and what 99 of 100 took at most, in microseconds. */
export type Measured = { perSecond: number; failed: number; p99: number };

process.once('message', async (load: Load) => {
  process.send?.(await (load.rate === null ? send(load) : sendAt(load, load.rate)));
  process.disconnect();
});

async function send(load: Load): Promise<Measured> {
  // No two runs may send the same value: a write that changes nothing is cheap.
  let sent = Date.now() * 1000;
  let turn = Math.floor(Math.random() * Math.max(load.paths.length, load.bodies?.length ?? 0));
  const result = await autocannon({
    url: load.url,
    connections: load.connections,
    duration: load.seconds,
    requests: [
      {
        method: load.method,
        headers: load.bodies === null ? {} : { 'content-type': 'application/json' },
        setupRequest: (request) => {
          turn++;
          const path = load.paths[turn % load.paths.length] ?? '/';
          const body = load.bodies?.[turn % load.bodies.length];
          return {
            ...request,
            path,
            ...(body === undefined ? {} : { body: body.replaceAll('#', String(sent++)) }),
          };
        },
      },
    ],
  });
  return {
    perSecond: result['2xx'] / result.duration,
    failed: result.non2xx + result.errors + result.timeouts,
    p99: result.latency.p99 * 1000,
  };
}

/**
 * GETs at a rate, each counted from when it was due: one that waits for a free connection waits. (autocannon sends what is
 * due in a second at its beginning.)
 */
async function sendAt({ url, paths, connections, seconds }: Load, rate: number): Promise<Measured> {
  const { hostname, port } = new URL(url);
  const sockets = await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect(Number(port), hostname).setNoDelay();
      await once(socket, 'connect');
      return socket;
    }),
  );
  const free = [...sockets];
  const due: number[] = [];
  const latencies: number[] = [];
  let [sent, failed] = [0, 0];
  const next = (socket: Socket, since: number) => {
    const path = paths[sent++ % paths.length];
    let answer = '';
    const read = (data: Buffer) => {
      answer += data.toString('latin1');
      const end = answer.indexOf('\r\n\r\n');
      const length = /content-length: (\d+)/i.exec(answer)?.[1];
      if (end === -1 || answer.length < end + 4 + Number(length)) return;
      socket.off('data', read);
      latencies.push(performance.now() - since);
      if (!answer.startsWith('HTTP/1.1 200')) failed++;
      const waiting = due.shift();
      if (waiting === undefined) free.push(socket);
      else next(socket, waiting);
    };
    socket.on('data', read);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
  };
  const start = performance.now();
  let made = 0;
  for (let now = start; now < start + seconds * 1000; now = performance.now()) {
    for (; made < ((now - start) / 1000) * rate; made++) {
      const socket = free.pop();
      if (socket) next(socket, now);
      else due.push(now);
    }
    await sleep(1);
  }
  while (latencies.length < made) await sleep(1);
  for (const socket of sockets) socket.destroy();
  const p99 = latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
  return { perSecond: latencies.length / seconds, failed, p99: p99 * 1000 };
}
