import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

/** Stands before a service, and breaks each of the first connections after so many bytes of its answer. */
export async function breaking(t: Test, url: string, breaks: number[]) {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const { hostname, port } = new URL(url);
    const upstream = connect(Number(port), hostname);
    let left = breaks.shift() ?? Number.POSITIVE_INFINITY;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => [client, upstream].map((one) => one.destroy()));
    }
    client.on('data', (data: Buffer) => {
      asked.push(String(data).split(' ')[1] ?? '');
      upstream.write(data);
    });
    upstream.on('data', (data: Buffer) => {
      client.write(data.subarray(0, Math.max(left, 0)));
      left -= data.length;
      if (left <= 0) client.end(() => client.destroy());
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return { asked, url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` };
}
