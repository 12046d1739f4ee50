import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { testDatabase } from '../helper/database.js';
import { MAIN, start } from '../helper/program.js';

/*
 * The memory of the process has a ceiling, whatever its callers send and do not take. Without the bound on answers (load.ts) it takes
 * more, or ends.
 */

/** The heap that the process is given, and how much more it may take: buffers of sockets and of answers lie beside it. */
const HEAP_MIB = 512;
const BESIDE_MIB = 384;
/** When what is kept has been the same for so long, no more will come; and for how long that is waited for. */
const STILL_MS = 1_500;
const PATIENCE_MS = 300_000;

const asking = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
const send = (method: string, path: string, body: string) =>
  `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

const skip = process.platform !== 'linux' && 'only Linux tells how much a process has taken at most';
t.test(
  'callers who ask for much and take nothing cannot end the process, nor keep others from it',
  { skip },
  async (t) => {
    const { serviceUrl } = await testDatabase(t);
    const command = [process.execPath, `--max-old-space-size=${HEAP_MIB}`, MAIN];
    const service = await start(t, { DATABASE_URL: serviceUrl, LOG_LEVEL: 'silent' }, command);
    const { port } = new URL(service.url);
    const put = async (path: string, body: object) => {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(service.url + path, { method: 'PUT', headers, body: JSON.stringify(body) });
      await answer.arrayBuffer();
      return answer.status;
    };
    const large = 'x'.repeat(1_000_000) + 'é'.repeat(3_000_000);
    for (const key of ['a', 'b', 'c', 'd'])
      t.equal(await put(`/entities/large:${key}`, { type: 'large', properties: { large, n: 1 } }), 201);
    t.equal(await put('/entities/small:s', { type: 'small', properties: { n: 1 } }), 201);

    const sockets: Socket[] = [];
    t.teardown(() => {
      for (const socket of sockets) socket.destroy();
    });
    /** Connections whose callers send and do not read. */
    const deaf = (count: number, textOf: (n: number) => string) => {
      for (let n = 0; n < count; n++) {
        const socket = connect(Number(port), '127.0.0.1');
        socket.on('error', () => {}).pause();
        socket.write(textOf(n));
        sockets.push(socket);
      }
    };
    const key = (n: number) => 'abcd'[n % 4];
    deaf(1, () => asking('/entities/large:a?include=history').repeat(700));
    deaf(60, (n) => asking(`/entities/large:${key(n)}`).repeat(3));
    deaf(30, () => asking('/entities?type=large').repeat(3));
    deaf(30, (n) => asking(`/entities/large:${key(n)}/history/large`).repeat(3));
    deaf(8, () => asking('/export?history=full'));
    deaf(8, () => asking('/export?format=ranges'));
    deaf(200, () => asking('/entities/small:s').repeat(1_200));
    deaf(20, (n) => send('PATCH', `/entities/large:${key(n)}`, `{"properties": {"n": ${n}}}`));
    const empty = `{"type": "x", "properties": {"a": [${'{},'.repeat(4_000_000)}{}]}}`;
    deaf(12, (n) => send('PUT', `/entities/x:${n}`, empty));

    const get = async (path: string) => {
      try {
        const answer = await fetch(service.url + path, { signal: AbortSignal.timeout(25_000) });
        await answer.arrayBuffer();
        return answer.status;
      } catch (error) {
        // Whether it lives is what this is about, and a broken connection would not say.
        await Promise.race([service.ended, sleep(2_000)]);
        const { exitCode, signalCode } = service.process;
        throw new Error(`no answer; the service ended: ${exitCode ?? signalCode}. ${service.output()}`, {
          cause: error,
        });
      }
    };
    /** What the service keeps for those who take nothing. */
    const held = async () => {
      const text = await (await fetch(`${service.url}/metrics`, { signal: AbortSignal.timeout(25_000) })).text();
      return text.match(/^(clocktick_held_bytes|http_requests_in_flight).*$/gm)?.join('\n');
    };
    const statuses = new Map<string, number>();
    // A slow service must have come as far as a fast one: until it has done all of that it will ever do.
    let before: string | undefined;
    let since = Date.now();
    const begun = Date.now();
    while (Date.now() - since < STILL_MS) {
      if (Date.now() - begun > PATIENCE_MS) throw new Error(`it still goes on: ${before}`);
      for (const path of ['/health/live', '/entities/small:s']) {
        const told = `${path} ${await get(path)}`;
        statuses.set(told, (statuses.get(told) ?? 0) + 1);
      }
      const now = await held();
      if (now !== before) since = Date.now();
      before = now;
      await sleep(100);
    }
    for (const told of statuses.keys()) t.match(told, / (200|503)$/);
    t.ok(statuses.has('/health/live 200'), [...statuses].join());
    t.ok(statuses.has('/entities/small:s 200'), 'others are served meanwhile');
    const most = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${service.process.pid}/status`, 'utf8'))?.[1]) / 1024;
    t.ok(most < HEAP_MIB + BESIDE_MIB, `${Math.round(most)} MiB at most`);

    for (const socket of sockets) socket.destroy();
    let status = 0;
    for (let tries = 0; tries < 100 && status !== 200; tries++) {
      status = await get('/entities/large:a');
      await sleep(100);
    }
    t.equal(status, 200, 'and when they have gone all is as before');
    t.equal(service.process.exitCode, null);
  },
);
