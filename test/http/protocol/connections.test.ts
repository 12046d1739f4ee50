import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { MAX_BODY_BYTES } from '../../../src/temporal/limits.js';
import { list, object, testService, traces } from '../../helper/service.js';
import { answersOf, converse, open, portOf, sendThenRead, type WireAnswer } from '../../helper/wire.js';

/*
 * HTTP/1.1 on the wire (RFC 9112): framing, order, half-closed, slow and oversized requests. Every request gets its answer, and what is
 * refused leaves nothing behind.
 */

type Expected = number | [status: number, code: string];

/** What is sent on one connection, and the answers that come back, in their order. */
type Case = [name: string, sent: (string | Buffer | number)[], expected: Expected[]];

const LIVE = 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n';
const END = 'Connection: close\r\n\r\n';
const JSON_TYPE = 'Content-Type: application/json\r\n';
const GOOD = '{"type": "wire", "properties": {}}';

const head = (method: string, path: string, fields: readonly string[] = []) =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\n${fields.map((field) => `${field}\r\n`).join('')}`;
const chunked = (method: string, path: string, chunks: string, type = JSON_TYPE) =>
  `${head(method, path)}${type}Transfer-Encoding: chunked\r\n${END}${chunks}`;
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
const posted = (body: string, fields: readonly string[] = []) =>
  `${head('POST', '/entities', fields)}${JSON_TYPE}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const patched = (key: string, n: number) => {
  const body = `{"properties": {"n": ${n}}}`;
  return `${head('PATCH', `/entities/wire:${key}`)}${JSON_TYPE}Content-Length: ${body.length}\r\n\r\n${body}`;
};

/** Whether there is a body is told by its content: the size of the first chunk is 0. */
const EMPTY = '0\r\n\r\n';
const FRAMING: Case[] = [
  ['a line of nonsense', ['hello\r\n\r\n'], [[400, 'bad_request']]],
  ['a method nobody knows', [`BREW / HTTP/1.1\r\nHost: x\r\n\r\n`], [[400, 'bad_request']]],
  ['a method in lower case', [`get / HTTP/1.1\r\nHost: x\r\n\r\n`], [[400, 'bad_request']]],
  ['HTTP/0.9', ['GET /\r\n\r\n'], [[400, 'bad_request']]],
  ['HTTP/2', ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'], [[400, 'bad_request']]],
  ['TLS', [Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc])], [[400, 'bad_request']]],
  ['a space before a colon', [`GET / HTTP/1.1\r\nHost : x\r\n\r\n`], [[400, 'bad_request']]],
  ['U+0000 in a header', [`GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n`], [[400, 'bad_request']]],
  ['PROPFIND', [`${head('PROPFIND', '/entities')}${END}`], [[405, 'method_not_allowed']]],
  ['TRACE', [`${head('TRACE', '/entities')}${END}`], [[405, 'method_not_allowed']]],
  [
    'CONNECT behind a write',
    [`${posted(GOOD)}CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n`],
    [201, [501, 'not_implemented']],
  ],
  ['an asterisk that is no OPTIONS', [`${head('GET', '*')}${END}`], [[400, 'bad_request']]],
  ['a fragment', [`${head('GET', '/health/live#x')}${END}`], [[400, 'invalid_url']]],
  ['a Host that is none', [`GET /health/live HTTP/1.1\r\nHost: a b/\r\n${END}`], [[400, 'bad_request']]],
  ['a Host with a port', [`GET /health/live HTTP/1.1\r\nHost: [::1]:3000\r\n${END}`], [200]],
  ['an absolute target', [`${head('GET', 'http://x/health/live')}${END}`], [200]],
  ['HTTP/2 and a good request', [`GET /health/live HTTP/2.0\r\nHost: x\r\n\r\n${LIVE}`], [[400, 'bad_request']]],
  [
    'no coding at all',
    [`${head('POST', '/entities', ['Transfer-Encoding: identity'])}${JSON_TYPE}\r\n${LIVE}`],
    [[501, 'not_implemented']],
  ],
  ['what is behind the last request', [`${head('GET', '/health/live')}${END}${LIVE}GARBAGE\r\n\r\n`], [200]],
  ['a body that is no JSON, and a good request', [`${posted('{x}')}${LIVE}`], [[400, 'malformed_json'], 200]],
  ['OPTIONS of the service as a whole', [`${head('OPTIONS', '*')}${END}`], [204]],
  ['CONNECT', ['CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n'], [[501, 'not_implemented']]],
  ['no Host', ['GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n'], [[400, 'bad_request']]],
  ['no Host in HTTP/1.0', ['GET /health/live HTTP/1.0\r\n\r\n'], [200]],
  [
    'chunks in HTTP/1.0',
    [`POST /entities HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n${EMPTY}`],
    [[400, 'bad_request']],
  ],
  [
    'more headers than Node hands over',
    [`${head('GET', '/', Array(1_100).fill('a: b'))}${END}`],
    [[431, 'headers_too_large']],
  ],
  [
    'a bad chunk of a URL that is refused',
    [`${head('POST', '/entities/friend:%ff', ['Transfer-Encoding: chunked'])}\r\nzz\r\n`],
    [[400, 'invalid_url']],
  ],
  ['two Hosts', [`${head('GET', '/health/live', ['host: y'])}${END}`], [[400, 'bad_request']]],
  ['the same Host twice', [`${head('GET', '/health/live', ['Host: x'])}${END}`], [[400, 'bad_request']]],
  ['a URL of 20 kB', [`${head('GET', `/${'x'.repeat(20_000)}`)}${END}`], [[414, 'url_too_long']]],
  ['a URL of 60 kB', [`${head('GET', `/${'x'.repeat(60_000)}`)}${END}`], [[414, 'url_too_long']]],
  ['a URL of 100 kB', [`${head('GET', `/${'x'.repeat(100_000)}`)}${END}`], [[431, 'headers_too_large']]],
  [
    'a URL that comes in parts',
    [`GET /${'x'.repeat(9_000)}`, 20, `${'x'.repeat(9_000)} HTTP/1.1\r\nHost: x\r\n${END}`],
    [[414, 'url_too_long']],
  ],
  ['a header of 20 kB', [`${head('GET', '/', [`X: ${'x'.repeat(20_000)}`])}${END}`], [[431, 'headers_too_large']]],
  ['a header of 100 kB', [`${head('GET', '/', [`X: ${'x'.repeat(100_000)}`])}${END}`], [[431, 'headers_too_large']]],
  ['a bad size of a chunk', [chunked('POST', '/entities', 'zz\r\n')], [[400, 'bad_request']]],
  ['a chunk longer than its size', [chunked('POST', '/entities', '2\r\n{}}\r\n0\r\n\r\n')], [[400, 'bad_request']]],
  ['a bad size behind a good chunk', [chunked('POST', '/entities', `${chunk('{')}-1\r\n`)], [[400, 'bad_request']]],
  ['a bad size later', [chunked('POST', '/entities', chunk('{')), 50, 'zz\r\n'], [[400, 'bad_request']]],
  ['bad trailers', [chunked('POST', '/entities', `${chunk(GOOD)}0\r\nbad trailer\r\n\r\n`)], [[400, 'bad_request']]],
  ['trailers', [chunked('POST', '/entities', `${chunk(GOOD)}0\r\nX-Sum: 1\r\n\r\n`)], [201]],
  ['an extension of a chunk', [chunked('POST', '/entities', `22;a=b\r\n${GOOD}\r\n0\r\n\r\n`)], [201]],
  [
    'a transfer coding nobody knows',
    [`${head('POST', '/entities', ['Transfer-Encoding: foo'])}${JSON_TYPE}${END}`],
    [[501, 'not_implemented']],
  ],
  [
    'a body that is compressed on its way',
    [`${head('POST', '/entities', ['Transfer-Encoding: gzip, chunked'])}${JSON_TYPE}${END}0\r\n\r\n`],
    [[501, 'not_implemented']],
  ],
  [
    'both a length and chunks',
    [`${head('POST', '/entities', ['Content-Length: 5', 'Transfer-Encoding: chunked'])}${END}0\r\n\r\n`],
    [[400, 'bad_request']],
  ],
  [
    'two lengths',
    [`${head('POST', '/entities', ['Content-Length: 2', 'Content-Length: 3'])}${END}{}`],
    [[400, 'bad_request']],
  ],
  ['a length that is none', [`${head('POST', '/entities', ['Content-Length: 2x'])}${END}{}`], [[400, 'bad_request']]],
  ['two good requests', [LIVE + head('GET', '/health/live') + END], [200, 200]],
  ['nonsense behind a good request', [`${LIVE}GARBAGE\r\n\r\n`], [200, [400, 'bad_request']]],
  ['a bad chunk behind a good request', [LIVE + chunked('POST', '/entities', 'zz\r\n')], [200, [400, 'bad_request']]],
  ['nonsense behind a write', [`${posted(GOOD)}GARBAGE\r\n\r\n`], [201, [400, 'bad_request']]],
  [
    'nonsense behind a refused write',
    [`${posted('{}')}GARBAGE\r\n\r\n`],
    [
      [400, 'invalid_body'],
      [400, 'bad_request'],
    ],
  ],
  [
    'an expectation nobody meets',
    [`${head('GET', '/health/live', ['Expect: 200-ok'])}${END}`],
    [[417, 'expectation_failed']],
  ],
];

const NO_BODY: Case[] = [
  ...(
    ['/health/live', '/health/ready', '/entities', '/entities/wire:one', '/openapi.yaml', '/docs/guide/'] as const
  ).flatMap((path): Case[] => [
    [`GET ${path} in no chunks`, [chunked('GET', path, EMPTY, '')], [200]],
    [`GET ${path} in no chunks, of a type`, [chunked('GET', path, EMPTY)], [200]],
  ]),
  ['a delayed end', [chunked('GET', '/entities/wire:one', '', ''), 50, EMPTY], [200]],
  ['HEAD in no chunks', [chunked('HEAD', '/health/live', EMPTY, '')], [200]],
  ['DELETE in no chunks', [chunked('DELETE', '/entities/wire:gone', EMPTY, '')], [204]],
  ['a restore in no chunks', [chunked('POST', '/entities/wire:gone/restore', EMPTY, '')], [200]],
  [
    'a restore in no chunks, of a type',
    [chunked('POST', '/entities/wire:gone/restore', EMPTY, 'Content-Type: text/plain\r\n')],
    [200],
  ],
  ['a restore in chunks', [chunked('POST', '/entities/wire:gone/restore', `${chunk('{}')}${EMPTY}`)], [200]],
  [
    'a restore in chunks of another type',
    [chunked('POST', '/entities/wire:gone/restore', `${chunk('{}')}${EMPTY}`, 'Content-Type: text/plain\r\n')],
    [[415, 'unsupported_media_type']],
  ],
  ['a create in no chunks', [chunked('POST', '/entities', EMPTY)], [[400, 'invalid_body']]],
  ['a create in chunks of one byte', [chunked('POST', '/entities', `${[...GOOD].map(chunk).join('')}${EMPTY}`)], [201]],
  ['GET in a chunk', [chunked('GET', '/health/live', `${chunk('x')}${EMPTY}`, '')], [[400, 'invalid_body']]],
  [
    'GET in a chunk that comes later',
    [chunked('GET', '/entities/wire:one', '', ''), 50, `${chunk('x')}${EMPTY}`],
    [[400, 'invalid_body']],
  ],
  ['DELETE in a chunk', [chunked('DELETE', '/entities/wire:one', `${chunk('{}')}${EMPTY}`)], [[400, 'invalid_body']]],
  ['GET with a length', [`${head('GET', '/health/live', ['Content-Length: 1'])}${END}x`], [[400, 'invalid_body']]],
  ['GET with a length of 0', [`${head('GET', '/health/live', ['Content-Length: 0'])}${END}`], [200]],
];

/** Conditions are looked at in the order of RFC 9110 section 13.2.2, and only where there is something to compare. `fixed` is at tick 1. */
const asked = (method: string, key: string, ...fields: string[]) => [
  `${head(method, `/entities/wire:${key}`, fields)}${END}`,
];
const CONDITIONAL: Case[] = [
  ['If-Match holds', asked('GET', 'fixed', 'If-Match: "1"'), [200]],
  ['If-Match does not', asked('GET', 'fixed', 'If-Match: "2"'), [[412, 'precondition_failed']]],
  ['If-None-Match names it', asked('GET', 'fixed', 'If-None-Match: "1"'), [304]],
  ['both name it', asked('GET', 'fixed', 'If-None-Match: "1"', 'If-Match: "1"'), [304]],
  [
    'If-Match comes first',
    asked('GET', 'fixed', 'If-None-Match: "1"', 'If-Match: "2"'),
    [[412, 'precondition_failed']],
  ],
  ['two lines are one list', asked('GET', 'fixed', 'If-Match: "2"', 'If-Match: "1"'), [200]],
  ['a list that is none', asked('GET', 'fixed', 'If-Match: 1'), [[400, 'invalid_condition']]],
  ['what is not there has no tag', asked('GET', 'nobody', 'If-Match: "1"'), [[404, 'entity_not_found']]],
  ['HEAD as GET', asked('HEAD', 'fixed', 'If-None-Match: "1"'), [304]],
  ['a write of a stale tick', asked('DELETE', 'fixed', 'If-Match: "2"'), [[412, 'precondition_failed']]],
  [
    'a write that no tag may be there for',
    asked('DELETE', 'fixed', 'If-None-Match: *'),
    [[412, 'precondition_failed']],
  ],
];

const HUGE = MAX_BODY_BYTES + 1;
const CONTINUE: Case[] = [
  [
    'too large a length',
    [`${head('POST', '/entities', [`Content-Length: ${HUGE}`, 'Expect: 100-continue'])}${JSON_TYPE}${END}`],
    [[413, 'body_too_large']],
  ],
  [
    'another type',
    [`${head('POST', '/entities', ['Content-Length: 9', 'Expect: 100-continue', 'Content-Type: text/plain'])}${END}`],
    [[415, 'unsupported_media_type']],
  ],
  [
    'no such path',
    [`${head('POST', '/nothing', ['Content-Length: 9', 'Expect: 100-continue'])}${JSON_TYPE}${END}`],
    [[404, 'route_not_found']],
  ],
  [
    'no such method',
    [`${head('DELETE', '/entities', ['Content-Length: 9', 'Expect: 100-continue'])}${END}`],
    [[405, 'method_not_allowed']],
  ],
];

t.test('requests on the wire', async (t) => {
  const { app, call, sql } = await testService(t);
  await app.listen({ port: 0, host: '127.0.0.1' });
  const port = portOf(app);
  for (const key of ['one', 'gone', 'fixed'])
    await call('PUT', `/entities/wire:${key}`, { type: 'wire', properties: { n: 0 } });

  const check = (t: Test, answers: readonly WireAnswer[], expected: readonly Expected[]) => {
    t.same(
      answers.map(({ status, body }, n) => (Array.isArray(expected[n]) ? [status, body.code] : status)),
      expected,
    );
    for (const { status, headers, body } of answers) {
      t.ok(headers.date, 'an answer has a date');
      if (status < 400) continue;
      t.match(headers, { 'content-type': 'application/problem+json', 'cache-control': 'no-store' });
      t.match(body, { status, title: String, detail: String });
    }
  };

  const table = (name: string, cases: readonly Case[]) =>
    t.test(name, async (t) => {
      for (const [name, sent, expected] of cases)
        await t.test(name, async (t) => check(t, await converse(port, sent, expected.length), expected));
    });

  await table('framing', FRAMING);
  await table('conditions, in their order', CONDITIONAL);
  await table('whether there is a body', NO_BODY);
  await table('who expects to be told to go on is refused before anything of the body is sent', CONTINUE);

  await t.test('who expects it is told to go on', async (t) => {
    for (const type of [`Content-Length: ${GOOD.length}\r\n`, 'Transfer-Encoding: chunked\r\n']) {
      const socket = await open(port);
      socket.write(`${head('POST', '/entities', ['Expect: 100-continue'])}${JSON_TYPE}${type}${END}`);
      const [told]: Buffer[] = await once(socket, 'data');
      t.match(told?.toString(), /^HTTP\/1.1 100 Continue\r\n\r\n$/);
      socket.write(type.startsWith('C') ? GOOD : `${chunk(GOOD)}${EMPTY}`);
      const [answer]: Buffer[] = await once(socket, 'data');
      t.equal(answersOf(answer ?? Buffer.alloc(0))[0]?.status, 201);
      socket.destroy();
    }
  });

  await t.test('of what is broken behind a write, the write is kept and answered', async (t) => {
    const before = await traces(sql);
    const answers = await converse(port, [`${patched('one', 1)}GARBAGE\r\n\r\n`], 2);
    t.same(
      answers.map(({ status }) => status),
      [200, 400],
    );
    t.match(await traces(sql), { ticks: before.ticks + 1 });
  });

  await t.test('a write whose framing is broken leaves nothing', async (t) => {
    const before = await traces(sql);
    const all = '{"type": "wire", "properties": {}}';
    for (const broken of [`${chunk(all)}zz\r\n`, `${chunk(all)}0\r\nbad trailer\r\n\r\n`])
      await converse(port, [chunked('POST', '/entities', broken)], 1);
    t.same(await traces(sql), before);
  });

  await t.test('a request that comes byte by byte is one', async (t) => {
    const answers = await converse(
      port,
      [...(head('GET', '/health/live') + END)].flatMap((byte) => [byte, 1]),
      1,
    );
    check(t, answers, [200]);
  });

  await t.test('who has ended its side has gone, and what it has sent whole is done', async (t) => {
    const socket = await open(port);
    socket.end(posted('{"type": "wire", "key": "half", "properties": {}}'));
    socket.resume();
    await once(socket, 'end');
    for (let n = 0; n < 100 && (await call('GET', '/entities/wire:half')).status !== 200; n++) await sleep(10);
    t.equal((await call('GET', '/entities/wire:half')).status, 200);
  });

  await t.test('pipelined requests take effect in their order', async (t) => {
    for (let round = 0; round < 5; round++) {
      const key = `line${round}`;
      const body = '{"type": "wire", "properties": {"n": 0}}';
      const line = [
        `${head('PUT', `/entities/wire:${key}`)}${JSON_TYPE}Content-Length: ${body.length}\r\n\r\n${body}`,
        `${head('GET', `/entities/wire:${key}`)}\r\n`,
        ...[1, 2, 3, 4, 5, 6].map((n) => patched(key, n)),
        `${head('GET', `/entities/wire:${key}`)}\r\n`,
        `${head('DELETE', `/entities/wire:${key}`)}\r\n`,
        `${head('GET', `/entities/wire:${key}`)}\r\n`,
      ];
      const answers = await converse(port, [line.join('')], line.length);
      t.same(
        answers.map(({ status, headers, body }) => [status, headers.etag ?? body.tick]),
        [
          [201, '"1"'],
          [200, '"1"'],
          ...[2, 3, 4, 5, 6, 7].map((tick) => [200, `"${tick}"`]),
          [200, '"7"'],
          [204, '"8"'],
          [410, 8],
        ],
      );
      const { body: history } = await call('GET', `/entities/wire:${key}/history/n`);
      t.same(
        list(history.items).map((item) => object(item).value),
        [0, 1, 2, 3, 4, 5, 6],
      );
    }
  });

  await t.test('a malformed body of a path that nobody has is not looked at', async (t) => {
    const [answer] = await converse(port, [`${head('POST', '/nothing')}${JSON_TYPE}Content-Length: 1\r\n${END}{`], 1);
    t.match(answer, { status: 404, body: { code: 'route_not_found' } });
  });

  await t.test('who speaks HTTP/1.0 is told nothing in between', async (t) => {
    const request = `POST /entities HTTP/1.0\r\n${JSON_TYPE}Expect: 100-continue\r\nContent-Length: ${GOOD.length}\r\n\r\n${GOOD}`;
    const socket = await open(port);
    socket.write(request);
    const got: Buffer[] = [];
    socket.on('data', (part: Buffer) => got.push(part));
    await once(socket, 'end');
    socket.destroy();
    t.same(
      answersOf(Buffer.concat(got)).map(({ status }) => status),
      [201],
    );
  });

  await t.test('an Upgrade is the last request of its connection, and what follows is not done', async (t) => {
    const upgrade = head('GET', '/entities/wire:one', ['Connection: Upgrade', 'Upgrade: h2c']);
    const [answer, ...more] = await converse(port, [`${upgrade}\r\n${patched('gone', 5)}`, 100, patched('gone', 6)]);
    t.match(answer, { status: 200, headers: { connection: 'close' } });
    t.same(more, []);
    // The service takes its time for the first: what comes meanwhile may be the body of something that Node has lost.
    await call('PUT', '/entities/wire:slowly', { type: 'wire', properties: { n: 0 } });
    const soon = new Date(Date.now() + 400).toISOString();
    const slow = head('GET', `/entities/wire:slowly?asOf=${soon}`, ['Connection: Upgrade', 'Upgrade: h2c']);
    const answers = await converse(port, [`${slow}\r\n`, 100, patched('slowly', 7)]);
    t.same(
      answers.map(({ status }) => status),
      [200],
    );
    t.match((await call('GET', '/entities/wire:slowly')).body, { properties: { n: 0 } });
  });

  await t.test('a CONNECT whose caller resets the connection harms nobody', async (t) => {
    for (let n = 0; n < 5; n++) {
      const socket = await open(port);
      socket.on('error', () => {});
      socket.write('CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n');
      await sleep(n * 5);
      socket.resetAndDestroy();
    }
    await sleep(50);
    t.equal((await call('GET', '/health/live')).status, 200);
  });

  await t.test('many reads that wait for one write are all answered', async (t) => {
    const warned: Error[] = [];
    const note = (warning: Error) => warned.push(warning);
    process.on('warning', note);
    const reads = Array(30)
      .fill(`${head('GET', '/entities/wire:one')}\r\n`)
      .join('');
    const answers = await converse(port, [patched('one', 100) + reads], 31);
    t.same(new Set(answers.map(({ headers }) => headers.etag)).size, 1, 'and see it');
    await sleep(10);
    process.off('warning', note);
    t.same(warned, []);
  });

  await t.test('a refusal says whether the connection goes on', async (t) => {
    const body = Buffer.alloc(100_000);
    const request = (more: string) =>
      `${head('POST', '/entities')}Content-Type: text/plain\r\nContent-Length: 100000\r\n${more}`;
    const [kept] = await converse(port, [request('\r\n'), body], 1);
    t.match(kept, { status: 415, headers: { connection: 'keep-alive' } });
    const [last] = await sendThenRead(port, [request(END), body]);
    t.match(last, { status: 415, headers: { connection: 'close' } });
    const [expecting] = await converse(port, [request('Expect: 100-continue\r\n\r\n')]);
    t.match(expecting, { status: 415, headers: { connection: 'close' } });
    const [cut] = await converse(port, [chunked('POST', '/entities', 'zz\r\n').replace(END, '\r\n')]);
    t.match(cut, { status: 400, headers: { connection: 'close' } });
  });

  await t.test('what is behind a write of a connection that broke does not happen', async (t) => {
    await sql.unsafe(`
      CREATE FUNCTION clocktick.test_slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$;
      CREATE TRIGGER test_slow BEFORE INSERT ON clocktick.tick FOR EACH ROW WHEN (NEW.type = 'slow') EXECUTE FUNCTION clocktick.test_slow()`);
    const create = (n: number) => posted(`{"type": "slow", "key": "${n}", "properties": {}}`);
    const socket = await open(port);
    socket.write(create(1) + create(2));
    await sleep(100);
    socket.destroy();
    await sleep(500);
    t.equal((await call('GET', '/entities/slow:1')).status, 200, 'what was under way is done');
    t.equal((await call('GET', '/entities/slow:2')).status, 404, 'and nothing else');
  });

  await t.test('the answer to a body that is refused reaches who is still sending', async (t) => {
    const url = `http://127.0.0.1:${port}/entities`;
    const large = Buffer.alloc(40 * 2 ** 20, 0x20);
    const cases: [name: string, headers: Record<string, string>, status: number, bytes: number][] = [
      ['another type', { 'content-type': 'text/plain' }, 415, 5 * 2 ** 20],
      ['another type, larger', { 'content-type': 'text/plain' }, 415, large.length],
      ['too large', { 'content-type': 'application/json' }, 413, large.length],
    ];
    for (const [name, headers, status, bytes] of cases) {
      for (let n = 0; n < 10; n++) {
        const answer = await fetch(url, { method: 'POST', headers, body: large.subarray(0, bytes) });
        t.equal(answer.status, status, `${name}, ${n + 1}`);
        t.match(await answer.json(), { status });
      }
    }
    const sized = (type: string, more: string) =>
      `${head('POST', '/entities')}Content-Type: ${type}\r\nContent-Length: ${large.length}\r\n${more}`;
    const answers = await converse(port, [sized('text/plain', '\r\n'), large, head('GET', '/health/live') + END], 2);
    check(t, answers, [[415, 'unsupported_media_type'], 200]);
    const endless = Array.from({ length: 40 }, () => chunk(' '.repeat(2 ** 20)));
    for (let n = 0; n < 5; n++) {
      check(t, await sendThenRead(port, [sized('text/plain', END), large]), [[415, 'unsupported_media_type']]);
      check(t, await sendThenRead(port, [sized('application/json', END), large]), [[413, 'body_too_large']]);
      check(t, await sendThenRead(port, [chunked('POST', '/entities', ''), ...endless]), [[413, 'body_too_large']]);
    }
  });

  await t.test('who never stops sending after the answer is cut off', async (t) => {
    const socket = await open(port);
    socket.write(`${head('POST', '/entities')}Content-Type: text/plain\r\nContent-Length: 1000000000\r\n\r\n`);
    socket.on('error', () => {});
    socket.resume();
    let sent = 0;
    const part = Buffer.alloc(2 ** 20);
    while (!socket.destroyed && sent < 1_000) {
      sent++;
      if (!socket.write(part)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {});
    }
    t.ok(sent < 300, `after ${sent} MiB`);
  });
});

t.test('nothing is done on a connection that the service has ended', async (t) => {
  const { app, call } = await testService(t, undefined, { requestMs: 300 });
  await call('PUT', '/entities/wire:kept', { type: 'wire', properties: {} });
  await app.listen({ port: 0, host: '127.0.0.1' });
  app.server.headersTimeout = 300;
  const socket = await open(portOf(app));
  socket.write(`${head('DELETE', '/entities/wire:kept')}`);
  const [told]: Buffer[] = await once(socket, 'data');
  t.match(told?.toString(), /^HTTP\/1.1 408 /);
  socket.write('\r\n');
  await sleep(200);
  socket.destroy();
  t.equal((await call('GET', '/entities/wire:kept')).status, 200);
});

t.test('all addresses of a service keep to it', async (t) => {
  const { app } = await testService(t);
  await app.listen({ port: 0, host: 'localhost' });
  for (const at of app.addresses()) {
    const address = typeof at === 'string' ? at : at.address;
    const socket = connect({ host: address, port: portOf(app) });
    socket.write('nonsense\r\n\r\n');
    const [answer]: Buffer[] = await once(socket, 'data');
    t.match(answer?.toString(), 'application/problem+json', address);
    socket.destroy();
  }
});

t.test('what stops arriving is told so', async (t) => {
  const { app } = await testService(t, undefined, { requestMs: 300 });
  await app.listen({ port: 0, host: '127.0.0.1' });
  app.server.headersTimeout = 300;
  const cases: Case[] = [
    ['headers', ['GET /health/live HTTP/1.1\r\nHo'], [[408, 'request_timeout']]],
    ['a body', [`${head('POST', '/entities')}${JSON_TYPE}Content-Length: 50\r\n\r\n{`], [[408, 'request_timeout']]],
    [
      'a body of which nothing comes',
      [`${head('POST', '/entities')}${JSON_TYPE}Content-Length: 50\r\n\r\n`],
      [[408, 'request_timeout']],
    ],
    ['a body in chunks', [chunked('POST', '/entities', chunk('{'))], [[408, 'request_timeout']]],
    ['a body in chunks that none may be', [chunked('GET', '/health/live', '', '')], [[408, 'request_timeout']]],
    ['the second request', [`${LIVE}GET /he`], [200, [408, 'request_timeout']]],
    [
      'the body of the second request',
      [`${LIVE}${head('POST', '/entities')}${JSON_TYPE}Content-Length: 50\r\n\r\n{`],
      [200, [408, 'request_timeout']],
    ],
  ];
  await Promise.all(
    cases.map(([name, sent, expected]) =>
      t.test(name, async (t) => {
        const answers = await converse(portOf(app), sent);
        t.same(
          answers.map(({ status, body }) => (status === 200 ? status : [status, body.code])),
          expected,
        );
      }),
    ),
  );
});
