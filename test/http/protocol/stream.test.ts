import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request as requestOf } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as zlib from 'node:zlib';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { buildApp } from '../../../src/app.js';
import { LINES_PROBLEMS, responsesOf, sendLines } from '../../../src/http/contract/responses.js';
import { ndjsonBody } from '../../../src/http/contract/schemas.js';
import { drainBeforeClose } from '../../../src/http/protocol/draining.js';
import { linesOf } from '../../../src/http/protocol/lines.js';
import { isGone } from '../../../src/http/protocol/streamed.js';
import { Refusal } from '../../../src/temporal/refusal.js';
import { testDatabase } from '../../helper/database.js';
import { converse, open, portOf } from '../../helper/wire.js';

/*
 * Bodies that a handler reads while they arrive, and answers that it sends meanwhile (streamed.ts): nothing of either is kept, and whoever
 * stops sending, stops reading or goes away harms nobody.
 */

const MIB = 2 ** 20;
const MOST = 2 ** 20;
const NDJSON = 'application/x-ndjson';
const LINE = '{"type": "friend", "key": "rachel", "properties": {"name": "Rachel"}}\n';

/** What a handler has seen. */
type Seen = { lines: number; ends: unknown[]; gone: number; reads: boolean };

type Parts = Partial<Parameters<typeof buildApp>[0]>;

/**
 * The service with a route more, which does with lines what `?do=` says: `sum` counts them and answers once; `tell` answers while it reads,
 * each array of lines by a line; `echo` answers all of them; `stop` answers after the first; `refuse` reads none; `wait` reads none before it
 * is told to.
 */
async function service(t: Test, parts: Parts = {}) {
  const { storage } = await testDatabase(t);
  const app = await buildApp({ storage, rules: { requireCondition: false }, logger: false, ...parts });
  const { closing } = drainBeforeClose(app, 0);
  const seen: Seen = { lines: 0, ends: [], gone: 0, reads: false };
  const schema = {
    querystring: z.strictObject({ do: z.enum(['sum', 'tell', 'echo', 'stop', 'refuse', 'wait']) }),
    body: ndjsonBody('Lines', LINE),
    response: responsesOf({ 200: { description: 'Lines', content: { [NDJSON]: z.string() } } }, LINES_PROBLEMS),
  };
  app.post('/lines', { schema }, async (request, reply) => {
    const what = request.query.do;
    if (what === 'refuse') throw new Refusal('overloaded', 'No.');
    while (what === 'wait' && !seen.reads) await sleep(10);
    const lines = linesOf(request.body ?? Readable.from([]), { most: MOST, until: closing });
    /** What the answer consists of. It ends by a line that says why, and without one if nobody is there any more. */
    async function* answer() {
      try {
        for await (const some of lines) {
          seen.lines += some.length;
          if (what === 'tell') yield `${seen.lines}\n`;
          if (what === 'echo') yield `${some.join('\n')}\n`;
          if (what === 'stop') break;
        }
        yield closing.aborted ? 'closing\n' : `end ${seen.lines}\n`;
      } catch (error) {
        seen.ends.push(error);
        if (isGone(error)) seen.gone++;
        if (!(error instanceof Refusal) || seen.lines === 0 || what === 'sum') throw error;
        yield `${error.code}\n`;
      } finally {
        seen.ends.push('over');
      }
    }
    return sendLines(reply, Readable.from(answer()));
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  t.teardown(() => app.close());
  const held = async () => {
    const { body } = await app.inject('/metrics');
    return {
      bodies: Number(/^clocktick_held_bytes\{of="bodies"\} (\d+)$/m.exec(body)?.[1]),
      answers: Number(/^clocktick_held_bytes\{of="answers"\} (\d+)$/m.exec(body)?.[1]),
      // This one is counted, too.
      requests: Number(/^http_requests_in_flight (\d+)$/m.exec(body)?.[1]) - 1,
    };
  };
  return { app, port: portOf(app), seen, held };
}

/** Begins a request whose body is sent in parts, and which is answered meanwhile. */
function begin(port: number, what: string, headers: Record<string, string> = {}) {
  const request = requestOf({
    port,
    path: `/lines?do=${what}`,
    method: 'POST',
    headers: { 'content-type': NDJSON, ...headers },
  });
  const answered = once(request, 'response').then(([answer]: IncomingMessage[]) => {
    if (!answer) throw new Error('no answer');
    return answer;
  });
  answered.catch(() => {});
  return { request, answered, whole: () => answered.then(textOf) };
}

async function textOf(answer: IncomingMessage): Promise<{ status: number | undefined; text: string; code?: unknown }> {
  answer.setEncoding('utf8');
  let text = '';
  for await (const part of answer) text += part;
  const code = /"code":"(\w+)"/.exec(text)?.[1];
  return { status: answer.statusCode, text, ...(code ? { code } : {}) };
}

/** Sends so many parts, each when the one before has gone. Gives how many have, before nothing went for a while or the connection broke. */
async function pour(
  to: ClientRequest | Socket,
  part: Buffer | string,
  times: number,
  patience = 10_000,
): Promise<number> {
  for (let sent = 0; sent < times; sent++) {
    const hasGone = new Promise<boolean>((resolve) => to.write(part, (error) => resolve(!error)));
    if (!(await Promise.race([hasGone, sleep(patience, false, { ref: false })]))) return sent;
  }
  return times;
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let n = 0; n < 500 && !(await holds()); n++) await sleep(20);
}

const head = (what: string, ...fields: string[]) =>
  `POST /lines?do=${what} HTTP/1.1\r\nHost: x\r\nContent-Type: ${NDJSON}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
const CHUNKED = 'Transfer-Encoding: chunked';
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const LAST = '0\r\n\r\n';
const ALIVE = '"alive"';
const LIVE = 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n';

/** All that comes on a connection until it ends, and has come so far. */
function listen(socket: Socket) {
  let text = '';
  socket
    .on('error', () => {})
    .on('data', (part: Buffer) => {
      text += part;
    });
  const ended = Promise.race([once(socket, 'end'), once(socket, 'close')]).catch(() => {});
  return { text: () => text, ended, has: (what: string | RegExp) => until(() => text.search(what) !== -1) };
}

t.test('streams', async (t) => {
  const { app, port, seen, held } = await service(t);
  const wire = (sent: string) => converse(port, [sent], 1);

  await t.test('bodies as they may be framed', async (t) => {
    const body = LINE.repeat(3);
    const cases: [name: string, request: string, lines: number][] = [
      ['a length', `${head('sum', `Content-Length: ${body.length}`)}${body}`, 3],
      ['chunks', `${head('sum', CHUNKED)}${chunk(body)}${LAST}`, 3],
      ['a chunk for each byte', `${head('sum', CHUNKED)}${[...body].map(chunk).join('')}${LAST}`, 3],
      ['the length 0', head('sum', 'Content-Length: 0'), 0],
      ['no chunks', `${head('sum', CHUNKED)}${LAST}`, 0],
      ['identity', `${head('sum', CHUNKED, 'Content-Encoding: identity')}${chunk(body)}${LAST}`, 3],
      ['another name', `${head('sum', CHUNKED).replace(NDJSON, 'application/jsonl')}${chunk(body)}${LAST}`, 3],
      ['a charset', `${head('sum', CHUNKED).replace(NDJSON, `${NDJSON}; charset=utf-8`)}${chunk(body)}${LAST}`, 3],
    ];
    for (const [name, request, lines] of cases) {
      seen.lines = 0;
      const socket = await open(port);
      const { has, text } = listen(socket);
      socket.write(request);
      await has(/\r\n0\r\n\r\n$/);
      t.match(text(), `end ${lines}\n`, name);
      t.match(text(), /^HTTP\/1.1 200 OK\r\n/, name);
      socket.destroy();
    }
  });

  await t.test('bodies that are not taken', async (t) => {
    const json = head('sum', 'Content-Length: 9').replace(NDJSON, 'application/json');
    const cases: [name: string, request: string, status: number, code: string][] = [
      ['another type', json, 415, 'unsupported_media_type'],
      ['no type', head('sum', CHUNKED).replace(/Content-Type.*\r\n/, ''), 415, 'unsupported_media_type'],
      [
        'another charset',
        head('sum', CHUNKED).replace(NDJSON, `${NDJSON}; charset=latin1`),
        415,
        'unsupported_media_type',
      ],
      ['brotli', head('sum', CHUNKED, 'Content-Encoding: br'), 415, 'unsupported_media_type'],
      ['twice gzip', head('sum', CHUNKED, 'Content-Encoding: gzip, gzip'), 415, 'unsupported_media_type'],
      [
        'another type, expecting',
        json.replace('\r\n\r\n', '\r\nExpect: 100-continue\r\n\r\n'),
        415,
        'unsupported_media_type',
      ],
      ['a query that is not known', head('sum&x=1', CHUNKED), 400, 'unknown_parameter'],
    ];
    for (const [name, request, status, code] of cases) {
      const [answer] = await wire(request);
      t.match(answer, { status, body: { code } }, name);
      if (status === 415) t.equal(answer?.headers.accept, `${NDJSON}, application/ndjson, application/jsonl`);
      if (/gzip|br/.test(name)) t.match(answer?.headers['accept-encoding'], /^identity, gzip(, zstd)?$/);
    }
    const other = `POST /entities HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n`;
    t.match(await wire(`${other}Content-Type: ${NDJSON}\r\n\r\n{}`), [{ status: 415 }], 'lines elsewhere');
    t.match(
      await wire(`${other}Content-Type: application/json\r\nContent-Encoding: gzip\r\n\r\n{}`),
      [{ status: 415, headers: { 'accept-encoding': 'identity' } }],
      'compression elsewhere',
    );
  });

  await t.test('what is wrong with a body is told, before the answer has begun and after it', async (t) => {
    const zipped = gzipSync(LINE.repeat(100_000));
    const cases: [name: string, parts: Buffer[], code: string, encoding?: string][] = [
      ['not UTF-8', [Buffer.from('{"a": "\xff"}\n', 'latin1')], 'text_not_storable'],
      ['a line too long', [Buffer.alloc(2 * MIB, 'x')], 'body_too_large'],
      ['gzip that is cut off', [zipped.subarray(0, -9)], 'malformed_encoding', 'gzip'],
      ['gzip that is none', [Buffer.from(LINE)], 'malformed_encoding', 'gzip'],
      ['something behind gzip', [zipped, Buffer.from('more')], 'malformed_encoding', 'gzip'],
      ['zeros behind gzip', [Buffer.concat([zipped, Buffer.alloc(9)])], 'malformed_encoding', 'gzip'],
    ];
    for (const [name, parts, code, encoding] of cases) {
      seen.lines = 0;
      const { request, whole } = begin(port, 'sum', encoding ? { 'content-encoding': encoding } : {});
      for (const part of parts) request.write(part);
      request.end();
      t.match(await whole(), { status: PROBLEM_STATUS[code], code }, name);
      if (encoding) continue;
      seen.lines = 0;
      const later = begin(port, 'tell');
      later.request.write(LINE);
      const answer = await later.answered;
      const read = textOf(answer);
      for (const part of parts) later.request.write(part);
      later.request.end();
      t.same(await read, { status: 200, text: `1\n${code}\n` }, `${name}, later`);
    }
  });

  await t.test('compressed bodies', async (t) => {
    const text = LINE.repeat(50_000);
    const forms: [encoding: string, body: Buffer][] = [
      ['gzip', gzipSync(text)],
      ['GZIP', gzipSync(text)],
      ['x-gzip', gzipSync(text)],
      ['gzip', Buffer.concat([gzipSync(text.slice(0, 99)), gzipSync(text.slice(99))])],
      ...zstdOf(text),
    ];
    for (const [encoding, body] of forms) {
      seen.lines = 0;
      const { request, whole } = begin(port, 'sum', { 'content-encoding': encoding });
      request.end(body);
      t.same(await whole(), { status: 200, text: 'end 50000\n' }, encoding);
    }
  });

  await t.test('what comes of little is read as far as it is good for', async (t) => {
    const bomb = Buffer.concat(Array<Buffer>(30).fill(gzipSync(Buffer.alloc(10 * MIB))));
    const before = memory();
    const { request, whole } = begin(port, 'sum', { 'content-encoding': 'gzip' });
    request.end(bomb);
    t.match(await whole(), { status: 413, code: 'body_too_large' });
    t.ok(memory() - before < 20 * MIB, 'a bomb takes no memory');
  });

  await t.test('a line without end is refused at once, however much is still sent', async (t) => {
    const part = Buffer.from(chunk('x'.repeat(MIB)));
    const socket = await open(port);
    const { has, text } = listen(socket);
    let most = 0;
    const before = memory();
    socket.write(head('sum', CHUNKED));
    for (let n = 0; n < 50; n++) {
      await pour(socket, part, 1);
      if (n % 10 === 9) most = Math.max(most, memory() - before);
    }
    socket.write(`${LAST}${LIVE}`);
    await has(ALIVE);
    t.match(text(), /^HTTP\/1.1 413 .*[\s\S]*"code":"body_too_large","detail":"Line 1 has more than 1048576 bytes/);
    t.ok(most < 20 * MIB, `${most}`);
    socket.destroy();
  });

  await t.test('of 100 MiB that are streamed nothing is kept', async (t) => {
    seen.lines = 0;
    const part = Buffer.from(LINE.repeat(Math.floor(MIB / LINE.length)));
    const { request, answered } = begin(port, 'tell');
    const told = answered.then(textOf);
    let [before, most] = [0, 0];
    for (let n = 0; n < 100; n++) {
      await pour(request, part, 1);
      // The first ones fill the buffers of both sides, once.
      if (n === 9) before = memory();
      else if (n % 10 === 9) most = Math.max(most, memory() - before);
      if (n % 25 === 0) t.match(await held(), { bodies: 0, answers: 0 });
    }
    request.end();
    const { text } = await told;
    t.match(text, new RegExp(`\nend ${(100 * part.length) / LINE.length}\n$`));
    // If all were kept it would be 90; what is on its way on both sides comes and goes.
    t.ok(most < 30 * MIB, `${most}`);
  });

  await t.test('who does not read on makes the caller wait', async (t) => {
    const part = Buffer.from(LINE.repeat(Math.floor(MIB / LINE.length)));
    for (const encoding of ['identity', 'gzip']) {
      seen.reads = false;
      const body = encoding === 'gzip' ? gzipSync(part, { level: 0 }) : part;
      const { request, whole } = begin(port, 'wait', { 'content-encoding': encoding });
      // What the operating systems of both sides keep is up to 36 MiB (tcp_rmem and tcp_wmem of Linux).
      const sent = await pour(request, body, 100, 500);
      t.ok(sent < 60, `after ${sent} MiB`);
      seen.reads = true;
      seen.lines = 0;
      request.end();
      t.match(await whole(), { status: 200 });
    }
  });

  await t.test('who expects it is told to go on', async (t) => {
    const socket = await open(port);
    const { has, text } = listen(socket);
    socket.write(head('sum', CHUNKED, 'Expect: 100-continue'));
    await has('100 Continue\r\n\r\n');
    seen.lines = 0;
    socket.write(`${chunk(LINE)}${LAST}`);
    await has('end 1\n');
    t.match(text(), /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK\r\n/);
    socket.destroy();
  });

  await t.test('requests behind a stream wait for it, and are answered', async (t) => {
    const socket = await open(port);
    const { has, text } = listen(socket);
    seen.lines = 0;
    socket.write(`${head('tell', CHUNKED)}${chunk(LINE)}`);
    await has('\n1\n');
    socket.write(`${chunk(LINE)}${LAST}${LIVE}${head('sum', CHUNKED)}${chunk(LINE)}${LAST}${LIVE}`);
    await has(/"alive"[\s\S]*"alive"/);
    t.same(text().match(/end \d+|"alive"/g), ['end 2', ALIVE, 'end 3', ALIVE]);
    socket.destroy();
  });

  await t.test('an answer that ends before its request is read whole by who still sends', async (t) => {
    const lines = LINE.repeat(Math.floor(MIB / LINE.length));
    for (const [what, status] of [
      ['stop', 200],
      ['refuse', 503],
    ] as const) {
      for (const framing of [CHUNKED, `Content-Length: ${30 * lines.length}`]) {
        const socket = await open(port);
        const { has, text } = listen(socket);
        socket.write(head(what, framing));
        t.equal(await pour(socket, framing === CHUNKED ? chunk(lines) : lines, 30), 30);
        socket.write(`${framing === CHUNKED ? LAST : ''}${LIVE}`);
        await has(ALIVE);
        t.match(
          text(),
          new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*HTTP/1.1 200 OK[\\s\\S]*"alive"`),
          'and the connection goes on',
        );
        socket.destroy();
      }
    }
  });

  await t.test('what is left unread of a body that has come whole does not stand in the way', async (t) => {
    const body = LINE.repeat(4_000);
    const answers = await converse(
      port,
      [`${head('refuse', `Content-Length: ${body.length}`)}${body}${LIVE}`, 50, LIVE],
      3,
    );
    t.same(
      answers.map(({ status }) => status),
      [503, 200, 200],
    );
  });

  await t.test('broken chunks are told, and end the connection', async (t) => {
    const [answer] = await converse(port, [`${head('sum', CHUNKED)}${chunk(LINE)}`, 100, 'zz\r\n']);
    t.match(answer, { status: 400, headers: { connection: 'close' }, body: { code: 'bad_request' } });
    const socket = await open(port);
    const { has, text, ended } = listen(socket);
    seen.lines = 0;
    socket.write(`${head('tell', CHUNKED)}${chunk(LINE)}`);
    await has('\n1\n');
    socket.write('zz\r\n');
    await ended;
    t.match(text(), /\r\nbad_request\n\r\n0\r\n\r\n$/);
    socket.destroy();
  });

  await t.test('a caller that goes away ends both streams, and leaves nothing that counts', async (t) => {
    for (const leave of ['destroy', 'resetAndDestroy', 'end'] as const) {
      for (const begun of [`${head('tell', CHUNKED)}${chunk(LINE)}`, head('sum', CHUNKED)]) {
        const [gone, ends] = [seen.gone, seen.ends.length];
        const socket = await open(port);
        listen(socket);
        socket.write(begun);
        await sleep(50);
        socket[leave]();
        await until(() => seen.ends.length >= ends + 2);
        t.equal(seen.gone, gone + 1, leave);
        socket.destroy();
      }
    }
    await until(async () => (await held()).requests === 0);
    t.same(await held(), { bodies: 0, answers: 0, requests: 0 });
  });

  await t.test('the body is documented as what it is', async (t) => {
    const line = { $ref: '#/components/schemas/GivenActivity' };
    const { required, content } = ndjsonBody('Lines', LINE, line);
    t.same([required, Object.keys(content)], [false, [NDJSON, 'application/ndjson', 'application/jsonl']]);
    const described = {
      type: 'string',
      description: 'Lines',
      contentMediaType: NDJSON,
      contentSchema: {},
      example: LINE,
    };
    t.match(app.swagger(), {
      paths: { '/lines': { post: { requestBody: { content: { [NDJSON]: { schema: described } } } } } },
    });
  });
});

const PROBLEM_STATUS: Record<string, number> = {
  text_not_storable: 400,
  body_too_large: 413,
  malformed_encoding: 400,
};

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

/** What the process keeps, in bytes: without what has only not been collected yet. */
function memory(): number {
  if (typeof collect !== 'function') throw new Error('nothing collects');
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** A text as zstd, if this Node can make and read it. */
function zstdOf(text: string): [string, Buffer][] {
  const {
    zstdCompressSync: compress,
  }: Pick<typeof zlib, 'gzipSync'> & { zstdCompressSync?: (text: string) => Buffer } = zlib;
  return compress ? [['zstd', compress(text)]] : [];
}

t.test('who goes silent is told so, and cut', async (t) => {
  const { app, port, seen, held } = await service(t, { requestMs: 300 });
  t.equal(app.server.timeout, 60_000);
  app.server.timeout = 1_000;

  await t.test('who sends slowly is not', async (t) => {
    seen.lines = 0;
    const { request, whole } = begin(port, 'tell');
    const told = whole();
    for (let n = 0; n < 15; n++) {
      request.write(LINE);
      await sleep(200);
    }
    request.end();
    t.match(await told, { status: 200, text: /\nend 15\n$/ });
  });

  await t.test('before the answer has begun', async (t) => {
    for (const sent of [head('sum', CHUNKED), `${head('sum', CHUNKED)}${chunk('{"a')}`]) {
      const [answer, ...more] = await converse(port, [sent]);
      t.match(answer, { status: 408, headers: { connection: 'close' }, body: { code: 'request_timeout' } });
      t.same(more, []);
    }
    const answers = await converse(port, [`${LIVE}${head('sum', 'Content-Length: 900')}{`]);
    t.same(
      answers.map(({ status }) => status),
      [200, 408],
      'behind another request',
    );
  });

  await t.test('after it has begun', async (t) => {
    seen.lines = 0;
    const socket = await open(port);
    const { text, ended } = listen(socket);
    socket.write(`${head('tell', CHUNKED)}${chunk(LINE)}${chunk('{"a')}`);
    await ended;
    t.match(text(), /\r\n1\n\r\n[\s\S]*\r\nrequest_timeout\n\r\n0\r\n\r\n$/);
    socket.destroy();
  });

  await t.test('who takes nothing of the answer stops the body, and is cut', async (t) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => {}).pause();
    const part = Buffer.from(chunk(LINE.repeat(Math.floor(MIB / LINE.length))));
    const ends = seen.ends.length;
    socket.write(head('echo', CHUNKED));
    const sent = await pour(socket, part, 60, 20_000);
    t.ok(sent < 50, `after ${sent} MiB`);
    await until(() => seen.ends.length > ends);
    t.equal(seen.ends.at(-1), 'over', 'its handler has ended');
    await until(async () => (await held()).requests === 0);
    t.same(await held(), { bodies: 0, answers: 0, requests: 0 });
    socket.destroy();
  });
});

t.test('a stream that is under way learns that the app closes', async (t) => {
  const { app, port, seen } = await service(t);
  const socket = await open(port);
  const { has, text, ended } = listen(socket);
  socket.write(`${head('tell', CHUNKED)}${chunk(LINE)}`);
  await has('\n1\n');
  const closed = app.close();
  await ended;
  t.match(text(), /\r\nclosing\n\r\n0\r\n\r\n$/);
  t.equal(seen.ends.at(-1), 'over');
  socket.destroy();
  await closed;
});
