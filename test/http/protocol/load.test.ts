import { once } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { buildApp } from '../../../src/app.js';
import { type Bounds, type Load, loadOf } from '../../../src/http/protocol/load.js';
import { testDatabase } from '../../helper/database.js';
import { answersOf, converse, open, portOf } from '../../helper/wire.js';

/*
 * What callers can make the process keep has a bound (load.ts): whatever they send, and whatever they do not take. Nobody else is told
 * anything but 503 with Retry-After meanwhile, and afterwards all is as before.
 */

const MIB = 2 ** 20;
const ROOMY: Bounds = { requests: 10_000, bodies: 100 * MIB, answers: 100 * MIB };
/** More than the buffers of a connection take. */
const TEXT = 'x'.repeat(7.9 * MIB);

const get = (path: string, fields = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`;
const put = (path: string, body: string, length = body.length) =>
  `PUT ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;
const thing = (text: string) => JSON.stringify({ type: 'thing', properties: { text } });

async function service(t: Test, bounds: Partial<Bounds>) {
  const { storage, sql } = await testDatabase(t);
  const app = await buildApp({
    storage,
    rules: { requireCondition: false },
    logger: false,
    bounds: { ...ROOMY, ...bounds },
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  t.teardown(() => app.close());
  const port = portOf(app);
  /** What the beginning of an answer says; the rest is not read. */
  const statusOf = async (request: string) => {
    const socket = await open(port);
    socket.on('error', () => {}).write(request);
    const [begin]: Buffer[] = await once(socket, 'data');
    socket.destroy();
    const text = String(begin);
    const [status, code, retry] = [/^HTTP\/1.1 (\d+)/, /"code":"(\w+)"/, /retry-after: (\d+)/].map(
      (part) => part.exec(text)?.[1],
    );
    return { status: Number(status), code, retry };
  };
  return { port, sql, app, statusOf };
}

/** A connection whose caller sends and does not read. */
async function deaf(port: number, text: string): Promise<Socket> {
  const socket = await open(port);
  socket.on('error', () => {}).pause();
  socket.write(text);
  return socket;
}

/** Reads a connection on until it has brought nothing for a while, or closes. */
async function readOn(socket: Socket): Promise<ReturnType<typeof answersOf>> {
  const chunks: Buffer[] = [];
  let last = performance.now();
  let isOver = false;
  socket.on('end', () => {
    isOver = true;
  });
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    last = performance.now();
  });
  socket.resume();
  while (!isOver && (chunks.length === 0 || performance.now() - last < 1_000)) await sleep(20);
  socket.destroy();
  return answersOf(Buffer.concat(chunks));
}

const OK = { status: 200, code: undefined, retry: undefined };
const OVERLOADED = { status: 503, code: 'overloaded', retry: '1' };

/** A connection and its answers, without any network: what is sent is sent when it is told to be. */
function connectionOf(load: Load) {
  const socket = new Socket();
  const begun: number[] = [];
  const responses: ServerResponse[] = [];
  const arrive = () => {
    const response = new ServerResponse(new IncomingMessage(socket));
    const n = responses.push(response) - 1;
    const place = load.arrive(socket, response);
    load.enter(response, () => begun.push(n));
    return place;
  };
  return { socket, begun, responses, arrive };
}

t.test(
  'a connection has so many requests done at once, and waits for the next while it leaves its answers',
  async (t) => {
    const load = loadOf(ROOMY);
    const { begun, responses, arrive } = connectionOf(load);
    const places = Array.from({ length: 200 }, arrive);
    t.same([...new Set(places.slice(0, -1)), places.at(-1)], ['taken', 'last']);
    t.equal(begun.length, 32);
    responses[0]?.emit('finish');
    t.same(begun.at(-1), 32, 'one that is over lets the next one begin, in their order');
    t.equal(load.now.requests, 199);

    const [, second] = responses;
    t.ok(second && load.answer(second, MIB, true));
    for (const response of responses.slice(2, 20)) response.emit('finish');
    t.equal(begun.length, 33, 'what is not taken keeps all others waiting, though many are over');
    responses[1]?.emit('finish');
    t.equal(begun.length, 33 + 19);
    t.equal(load.now.answers, 0);

    const other = connectionOf(load);
    other.arrive();
    t.same(other.begun, [0], 'others do not wait');
  },
);

t.test('a connection that closes takes with it all that it had', async (t) => {
  const load = loadOf(ROOMY);
  const { socket, begun, responses, arrive } = connectionOf(load);
  for (let n = 0; n < 40; n++) arrive();
  const [first, second] = responses;
  if (!first || !second) throw new Error('nothing has come');
  t.ok(load.receive(first, 1_000));
  t.ok(load.answer(second, 2_000, true));
  t.same(load.now, { requests: 40, bodies: 1_000, answers: 2_000 });
  socket.emit('close');
  t.same(load.now, { requests: 0, bodies: 0, answers: 0 });
  for (const response of responses) response.emit('finish');
  t.same(load.now, { requests: 0, bodies: 0, answers: 0 }, 'once');
  t.equal(begun.length, 32, 'and nothing of it begins any more');
});

t.test('a connection that takes nothing for a minute is cut', async (t) => {
  const { port, app } = await service(t, {});
  t.equal(app.server.timeout, 60_000);
  app.server.timeout = 500; // of connections that come from now on
  await converse(port, [put('/entities/thing:large', thing(TEXT))], 1);
  const closed = once(app.server, 'connection').then(([socket]: Socket[]) => socket && once(socket, 'close'));
  const socket = await deaf(port, get('/entities/thing:large').repeat(3));
  await closed;
  const { body } = await app.inject('/metrics');
  t.match(body, /^clocktick_held_bytes\{of="answers"\} 0$/m, 'its answers are let go');
  socket.destroy();
});

t.test('answers that nobody takes are bounded, on one connection and in all', async (t) => {
  const { port, statusOf } = await service(t, { answers: 10 * MIB });
  await converse(port, [put('/entities/thing:large', thing(TEXT))], 1);
  await converse(port, [put('/entities/thing:small', thing('small'))], 1);
  const sockets = [
    await deaf(port, get('/entities/thing:large').repeat(5)),
    await deaf(port, get('/entities/thing:large').repeat(5)),
  ];
  // One of them is the first; then there is no room for the answer of the other, nor for one of a third.
  let third = await statusOf(get('/entities/thing:large'));
  for (let n = 0; n < 100 && third.status === 200; n++) {
    await sleep(20);
    third = await statusOf(get('/entities/thing:large'));
  }
  t.same(third, OVERLOADED);
  t.same(await statusOf(get('/entities/thing:small')), OK, 'what is small always has room');
  t.same(await statusOf(get('/health/live')), OK);

  const read = await Promise.all(sockets.map((socket) => readOn(socket)));
  const statuses = read.flat().map(({ status }) => status);
  t.equal(statuses.length, 10, 'each request has its answer when they are read at last');
  t.ok(
    statuses.every((status) => status === 200 || status === 503),
    statuses.join(),
  );
  t.ok(statuses.includes(200));
  for (const { status, text } of read.flat()) if (status === 200) t.ok(text.includes(TEXT), 'whole');
  t.same(await statusOf(get('/entities/thing:large')), OK, 'and then there is room again');
});

t.test('a connection on which too many requests wait is closed after those that it may have', async (t) => {
  const { port } = await service(t, {});
  await converse(port, [put('/entities/thing:small', thing('small'))], 1);
  const answers = await converse(port, [get('/entities/thing:small').repeat(1_000)]);
  t.equal(answers.length, 200);
  t.ok(answers.every(({ status }) => status === 200));
  t.equal(answers.at(-1)?.headers.connection, 'close');
  t.not(answers.at(-2)?.headers.connection, 'close');
});

t.test('requests are bounded in all: others are refused, who sends many at once is cut', async (t) => {
  const { port, sql, statusOf } = await service(t, { requests: 60 });
  await converse(port, [put('/entities/thing:small', thing('small'))], 1);
  const blocker = await sql.reserve();
  await blocker`BEGIN`;
  await blocker`LOCK TABLE clocktick.entity IN ACCESS EXCLUSIVE MODE`;
  const first = await deaf(port, get('/entities/thing:small').repeat(50));
  await sleep(50);
  const second = await deaf(port, get('/entities/thing:small').repeat(50));
  t.same(await readOn(second), [], 'the second connection is cut: its requests, too, have taken memory');
  const more = await Promise.all(Array.from({ length: 20 }, () => deaf(port, get('/entities/thing:small'))));
  await sleep(50);
  t.same(await statusOf(get('/entities/thing:small')), OVERLOADED);
  t.same(await statusOf(get('/health/live')), OK);
  await blocker`COMMIT`;
  blocker.release();
  t.same(new Set((await readOn(first)).map(({ status }) => status)), new Set([200]));
  await Promise.all(more.map((socket) => readOn(socket)));
  t.same(await statusOf(get('/entities/thing:small')), OK);
});

t.test('bodies are bounded: no more of them is read than there is room for', async (t) => {
  const { port, statusOf } = await service(t, { bodies: 2 * MIB });
  const half = thing('y'.repeat(1.5 * MIB)).slice(0, 1.2 * MIB);
  const rest = thing('y'.repeat(1.5 * MIB)).slice(1.2 * MIB);
  const slow = await deaf(port, put('/entities/thing:slow', half, half.length + rest.length));
  await sleep(50);
  t.same(await statusOf(put('/entities/thing:other', thing('z'.repeat(1.5 * MIB)))), OVERLOADED);
  const chunked = `PUT /entities/thing:other HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const body = thing('z'.repeat(1.5 * MIB));
  t.same(await statusOf(`${chunked}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`), OVERLOADED);
  t.match(
    await statusOf(put('/entities/thing:little', thing('little'))),
    { status: 201 },
    'what is small always has room',
  );
  slow.write(rest);
  t.same(
    (await readOn(slow)).map(({ status }) => status),
    [201],
  );
  t.match(await statusOf(put('/entities/thing:other', body)), { status: 201 }, 'and then there is room again');
  const { port: tiny, statusOf: statusOfTiny } = await service(t, { bodies: 1 });
  t.ok(tiny);
  t.match(await statusOfTiny(put('/entities/thing:alone', body)), { status: 201 }, 'one alone always comes');
});

t.test('what goes away leaves nothing behind that counts', async (t) => {
  const { port, statusOf } = await service(t, { requests: 100, answers: 8 * MIB, bodies: 2 * MIB });
  await converse(port, [put('/entities/thing:large', thing(TEXT))], 1);
  for (let n = 0; n < 3; n++) {
    const sockets = await Promise.all([
      ...Array.from({ length: 6 }, () => deaf(port, get('/entities/thing:large').repeat(3))),
      ...Array.from({ length: 5 }, () => deaf(port, put('/entities/thing:x', thing('y').slice(0, 20), 1.9 * MIB))),
    ]);
    await sleep(100);
    for (const socket of sockets) socket.destroy();
    await sleep(100);
  }
  for (let n = 0; n < 50 && (await statusOf(get('/entities/thing:large'))).status !== 200; n++) await sleep(50);
  t.same(await statusOf(get('/entities/thing:large')), OK);
  t.match(await statusOf(put('/entities/thing:other', thing('z'.repeat(1.5 * MIB)))), { status: 201 });
});
