import { EventEmitter, once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fastify } from 'fastify';
import t from 'tap';
import { callerSignal } from '../../../src/http/protocol/caller.js';

const POST = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}';

t.test('who waits for an answer', async (t) => {
  const app = fastify();
  const events = new EventEmitter();
  const seen: { ours: AbortSignal; fastifys: AbortSignal }[] = [];
  app.post('/', async (request) => {
    seen.push({ ours: callerSignal(request.raw), fastifys: request.signal });
    events.emit('arrived');
    await once(events, 'answer');
    return {};
  });
  const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }));
  t.teardown(() => app.close());

  /** Sends the request on a connection, and waits until the handler has it. */
  const ask = async (socket = connect(Number(url.port), url.hostname)) => {
    const arrived = once(events, 'arrived');
    socket.write(POST);
    await arrived;
    const last = seen.at(-1);
    if (!last) throw new Error('nothing was seen');
    return { socket, ...last };
  };

  await t.test('has not gone because the body was read; Fastify 5.12 says so of its own signal', async (t) => {
    const { socket, ours, fastifys } = await ask();
    if (!fastifys.aborted) await once(fastifys, 'abort');
    t.notOk(ours.aborted);
    events.emit('answer');
    await once(socket, 'data');
    t.notOk(ours.aborted, 'nor because the answer was sent');
    const again = await ask(socket);
    t.equal(again.ours, ours, 'a connection has one signal, however many requests');
    events.emit('answer');
    socket.destroy();
  });

  await t.test('has gone when the connection is closed', async (t) => {
    const { socket, ours } = await ask();
    const gone = once(ours, 'abort');
    socket.resetAndDestroy();
    await Promise.race([gone, sleep(10_000, undefined, { ref: false })]);
    t.ok(ours.aborted);
    events.emit('answer');
  });

  await t.test('and who had gone before anybody asked', async (t) => {
    const socket = connect(Number(url.port), url.hostname);
    await once(socket, 'connect');
    socket.destroy();
    t.ok(callerSignal({ socket }).aborted);
  });
});
