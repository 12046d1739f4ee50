import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { mock } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { FastifyInstance } from 'fastify';
import t from 'tap';
import { readImport } from '../../../src/storage/imports/rows.js';
import { engine } from '../../../src/storage/storage.js';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import { until } from '../../helper/embedded.js';
import { object, testService } from '../../helper/service.js';

const NDJSON = 'application/x-ndjson';
const lines = (...all: Json[]) =>
  all.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('');
const friend = (key: string, properties: Record<string, Json>) => ({ type: 'friend', key, properties });

async function send(
  app: FastifyInstance,
  query: string,
  payload: string | Buffer,
  headers: Record<string, string> = {},
) {
  const answer = await app.inject({
    method: 'POST',
    url: `/import?${query}`,
    payload,
    headers: { 'content-type': NDJSON, ...headers },
  });
  const isMany = String(answer.headers['content-type']).startsWith(NDJSON);
  const told: Json[] = isMany
    ? answer.body
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
    : [JSON.parse(answer.body)];
  return { status: answer.statusCode, type: String(answer.headers['content-type']), told, last: object(told.at(-1)) };
}

t.test('lines are imported, and the answer tells how far it is, line by line', async (t) => {
  const { app, call } = await testService(t);
  const body = lines(friend('a', { n: 1 }), { watermark: { at: 1 } }, friend('b', { n: 1 }));
  const { status, type, told, last } = await send(app, 'source=crm', body);
  t.equal(status, 200);
  t.match(type, NDJSON);
  t.match(told[0], { source: 'crm', mode: 'upsert', status: 'running', lines: 0 });
  t.match(last, { status: 'done', lines: 3, changed: 2, unchanged: 0, skipped: 0, ticks: 2, watermark: { at: 1 } });
  t.match((await call('GET', '/entities/friend:b')).body, { tick: 1, properties: { n: 1 } });
  t.same((await call('GET', '/imports/crm')).body, last, 'as is told of it afterwards');
  t.match(await call('GET', '/imports/none'), { status: 404, body: { code: 'import_not_found' } });

  const { body: history } = await call('GET', '/entities/friend:a/history');
  const [tick] = Array.isArray(history.items) ? history.items : [];
  const activity = object(object(tick).activity);
  t.match((await call('GET', `/activities/${activity.id}`)).body, { importId: last.id });
});

t.test('a body may be compressed', async (t) => {
  const { app } = await testService(t);
  const body = gzipSync(lines(friend('a', { n: 1 })));
  t.match((await send(app, 'source=s', body, { 'content-encoding': 'gzip' })).last, { status: 'done', ticks: 1 });
  const cut = await send(app, 'source=s', body.subarray(0, -4), { 'content-encoding': 'gzip' });
  t.match(cut.last, { status: 'failed', problem: { code: 'malformed_encoding' } });
});

t.test('a line that is refused: the last line says why and where, or the status does', async (t) => {
  const { app, call } = await testService(t);
  const body = lines(friend('a', { n: 1 }), { watermark: 1 }, friend('b', {}), '{"type":');
  const streamed = await send(app, 'source=s', body);
  t.equal(streamed.status, 200);
  t.match(streamed.last, {
    status: 'failed',
    lines: 2,
    watermark: 1,
    problem: { status: 400, code: 'malformed_json', line: 4 },
  });
  t.match((await call('GET', '/imports/s')).body, { status: 'failed', lines: 2 });

  const one = await send(app, 'source=s', body, { accept: 'application/json' });
  t.equal(one.status, 400);
  t.match(one.type, 'application/problem+json');
  t.match(one.last, { code: 'malformed_json', line: 4, import: { status: 'failed', lines: 2, unchanged: 1 } });

  const skipped = await send(app, 'source=s&onError=skip', body, { accept: 'application/json' });
  t.match(skipped, {
    status: 200,
    last: {
      status: 'done',
      lines: 4,
      changed: 1,
      unchanged: 1,
      skipped: 1,
      faults: [{ line: 4, problem: { code: 'malformed_json' } }],
    },
  });
  const toldOf = await send(app, 'source=s&onError=skip', body);
  t.match(toldOf.told.at(-3), { line: 4, problem: { code: 'malformed_json' } });
});

t.test('what is asked wrongly is refused before a line is read', async (t) => {
  const { app } = await testService(t);
  const cases: [query: string, headers: Record<string, string>, status: number, code: string][] = [
    ['', {}, 400, 'invalid_parameter'],
    ['source=', {}, 400, 'invalid_parameter'],
    [`source=${'x'.repeat(257)}`, {}, 400, 'invalid_parameter'],
    ['source=%00', {}, 400, 'invalid_parameter'],
    ['source=s&mode=all', {}, 400, 'invalid_parameter'],
    ['source=s&onError=ask', {}, 400, 'invalid_parameter'],
    ['source=s&wait=601', {}, 400, 'invalid_parameter'],
    ['source=s&wait=1.5', {}, 400, 'invalid_parameter'],
    ['source=s&wait=', {}, 400, 'invalid_parameter'],
    ['source=s&more=1', {}, 400, 'unknown_parameter'],
    ['source=s', { 'content-type': 'text/csv' }, 415, 'unsupported_media_type'],
    ['source=s', { 'content-encoding': 'br' }, 415, 'unsupported_media_type'],
    ['source=s', { accept: 'text/html' }, 406, 'not_acceptable'],
  ];
  for (const [query, headers, status, code] of cases)
    t.match(await send(app, query, lines(friend('a', {})), headers), { status, last: { code } }, `${query} ${code}`);
});

t.test('an answer to lines that come by no connection does not end the process half a minute later', async (t) => {
  const { app } = await testService(t);
  mock.timers.enable({ apis: ['setInterval', 'Date'] });
  t.teardown(() => mock.timers.reset());
  t.equal((await send(app, 'source=s', lines(friend('a', {})))).status, 200);
  mock.timers.tick(31_000);
});

t.test(
  'batches are seen while the caller still sends; who goes away ends the import after what it was told',
  async (t) => {
    const { app, call } = await testService(t);
    const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }));
    const sent = request(new URL('/import?source=s', url), { method: 'POST', headers: { 'content-type': NDJSON } });
    sent.on('error', () => {});
    const answered = new Promise<IncomingMessage>((resolve) => sent.once('response', resolve));
    sent.write(lines(friend('a', { n: 1 }), { watermark: 1 }));
    let told = '';
    const answer = await answered;
    await new Promise<void>((resolve) => {
      answer.on('data', (part: Buffer) => {
        told += part.toString();
        if (told.includes('"watermark": 1')) resolve();
      });
    });
    t.equal((await call('GET', '/entities/friend:a')).status, 200);
    t.match((await call('GET', '/imports/s')).body, { status: 'running', lines: 2 });
    t.match((await send(app, 'source=s', '')).last, { status: 409, code: 'import_running' });
    t.match((await send(app, 'source=none', '')).last, { status: 'done', lines: 0, ticks: 0 }, 'no lines are no fault');
    sent.write(lines(friend('b', { n: 1 })));
    sent.destroy();
    for (let status: Json | undefined = 'running'; status === 'running'; )
      status = (await call('GET', '/imports/s')).body.status;
    t.match((await call('GET', '/imports/s')).body, { status: 'failed', lines: 2 });
    t.equal((await call('GET', '/entities/friend:b')).status, 404);
  },
);

/** Sends lines over a connection as fast as they are taken; how many were sent before they were told of, at most, and the last thing told. */
async function stream(url: URL, all: Iterable<string>): Promise<{ ahead: number; last: JsonObject }> {
  const sent = request(url, { method: 'POST', headers: { 'content-type': NDJSON } });
  const answered = once(sent, 'response');
  let [count, ahead] = [0, 0];
  let last: JsonObject = { lines: 0 };
  const sending = (async () => {
    for (const line of all) {
      count++;
      ahead = Math.max(ahead, count - Number(last.lines));
      if (!sent.write(line)) await once(sent, 'drain');
    }
    sent.end();
  })();
  const [answer]: IncomingMessage[] = await answered;
  if (!answer) throw new Error('there is no answer');
  for await (const line of createInterface({ input: answer })) last = object(JSON.parse(line));
  await sending;
  return { ahead, last };
}

t.test('B01, B02, B27: 40,000 lines of two types are streamed, and come back as they are', async (t) => {
  const { app, call } = await testService(t);
  const url = new URL('/import?source=s', await app.listen({ port: 0, host: '127.0.0.1' }));
  const values: Json[] = [
    1.5,
    -0.25,
    1e21,
    [1, [2, [null]]],
    { a: { b: null } },
    null,
    '0x89504e470d0a1a0a'.repeat(100),
    '\u0001\u2028é😀',
    true,
    '',
  ];
  const text = 'x'.repeat(1_000);
  const propertiesOf = (n: number) => ({ v: values[n % values.length] ?? null, n, text });
  function* all(): Generator<string> {
    for (let n = 0; n < 40_000; n++)
      yield lines({ type: n % 2 ? 'odd' : 'even', key: `${n >> 1}`, properties: propertiesOf(n) });
  }
  const { ahead, last } = await stream(url, all());
  t.match(last, { status: 'done', lines: 40_000, changed: 40_000, ticks: 40_000 });
  t.ok(ahead < 20_000, `the service takes no more than it can keep: ${ahead} lines of a kilobyte were ahead`);
  for (let n = 0; n < 40; n++)
    t.same((await call('GET', `/entities/${n % 2 ? 'odd' : 'even'}:${n >> 1}`)).body.properties, propertiesOf(n));
});

t.test('B03, B04, B05: a second batch is seen whole or not at all, and changes what is there already', async (t) => {
  const { app, call } = await testService(t);
  const all = (v: number, from: number) => Array.from({ length: 300 }, (_, n) => friend(`k${from + n}`, { v }));
  await send(app, 'source=s', lines(...all(1, 0)));
  const shown = async () => {
    const { body } = await call('GET', '/entities?type=friend&limit=1000');
    const items = Array.isArray(body.items) ? body.items.map(object) : [];
    return items.map(({ properties }) => object(properties).v);
  };
  let isOver = false;
  const seen = new Set<string>();
  const reading = (async () => {
    while (!isOver) {
      const all = await shown();
      seen.add(`${all.length} ${[...new Set(all)].sort()}`);
    }
  })();
  const { last } = await send(app, 'source=s', lines(...all(2, 150), { watermark: 1 }));
  isOver = true;
  await reading;
  t.match(last, { changed: 300, ticks: 300 });
  for (const state of seen) t.ok(['300 1', '450 1,2'].includes(state), `readers saw ${state}`);
  t.same((await shown()).filter((v) => v === 2).length, 300);
  t.match((await call('GET', '/entities/friend:k149')).body, { tick: 1, properties: { v: 1 } });
  t.match((await call('GET', '/entities/friend:k150')).body, { tick: 2, properties: { v: 2 } });
  t.match((await call('GET', '/entities/friend:k449')).body, { tick: 1, properties: { v: 2 } });
});

t.test('B29: keys, names, sources and watermarks may hold anything', async (t) => {
  const { app, call } = await testService(t);
  const odd = ['a"b', "it's", '😀', 'a,b', 'a:b', 'a/b', '__proto__', 'a\nb', '%2F', '\\', ' '];
  const properties = Object.fromEntries(odd.map((name) => [name, name]));
  for (const source of odd) {
    const query = `source=${encodeURIComponent(source)}`;
    const { last } = await send(
      app,
      query,
      lines(...odd.map((key) => friend(key, properties)), { watermark: properties }),
    );
    t.match(last, { status: 'done', lines: odd.length + 1, source, watermark: properties });
    t.match((await call('GET', `/imports/${encodeURIComponent(source)}`)).body, { source, watermark: properties });
  }
  for (const key of odd) {
    const { body } = await call('GET', `/entities/${encodeURIComponent(`friend:${key}`)}`);
    t.same([body.key, body.tick, body.properties], [key, 1, properties]);
  }
});

t.test('who goes away at once leaves nothing: no import that runs, no lock, no place that is taken', async (t) => {
  const { app, call, storage } = await testService(t);
  const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }));
  for (let after = 0; after < 12; after++) {
    const sent = request(new URL('/import?source=s', url), { method: 'POST', headers: { 'content-type': NDJSON } });
    sent.on('error', () => {});
    sent.write(lines(friend('a', { n: 1 })));
    await sleep(after);
    sent.destroy();
  }
  const { use } = storage[engine].lanes.imports;
  for (let tries = 0; tries < 500 && use.asked > 0; tries++) await sleep(20);
  t.equal(use.asked, 0);
  t.match((await send(app, 'source=s', lines(friend('a', { n: 2 })))).last, { status: 'done' });
  t.match((await call('GET', '/imports/s')).body, { status: 'done' });
});

t.test('B15: a replace-all tells what it deleted; one that left lines out says that it is unfinished', async (t) => {
  const { app, call } = await testService(t);
  await send(app, 'source=s', lines(friend('1', {}), friend('2', {})));
  const left = await send(app, 'source=s&mode=replace-all&onError=skip', lines(friend('2', {}), '{'));
  t.match(left.last, { status: 'done', mode: 'replace-all', skipped: 1, deleted: 0, unfinishedSince: /^20/ });
  t.same((await call('GET', '/imports/s')).body, left.last);
  const dry = await send(app, 'source=s&mode=replace-all&dryRun=true', lines(friend('2', {})));
  t.match(dry.last, { status: 'done', deleted: 1, ticks: 1 });
  const { told, last } = await send(app, 'source=s&mode=replace-all', lines(friend('2', {})));
  t.ok(
    told.some((line) => object(line).status === 'running' && object(line).deleted === 1),
    'it tells while it deletes',
  );
  t.match(last, { status: 'done', unchanged: 1, deleted: 1, ticks: 1 });
  t.notOk(Object.hasOwn(last, 'unfinishedSince'));
  t.equal((await call('GET', '/entities/friend:1')).status, 410);
});

/** Begins an import over a connection of its own: `told` waits until its answer says something. */
function begin(url: URL, query: string) {
  const sent = request(new URL(`/import?${query}`, url), { method: 'POST', headers: { 'content-type': NDJSON } });
  sent.on('error', () => {});
  let text = '';
  let head: IncomingMessage | undefined;
  sent.once('response', (answer) => {
    head = answer;
    answer.on('data', (part: Buffer) => {
      text += part.toString();
    });
  });
  const told = async (what: string) => {
    while (!text.includes(what) && !sent.destroyed) await sleep(5);
    return text;
  };
  return { sent, told, head: () => head };
}

t.test(
  'B32: an import that waits has no answer before its turn; its caller is not read, nor cut for its silence',
  async (t) => {
    const { app, call, storage } = await testService(t);
    const large = lines(...Array.from({ length: 300 }, (_, n) => friend(`b${n}`, { text: 'x'.repeat(100_000) })));
    const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }));
    const { counts } = storage[engine];
    const first = begin(url, 'source=s');
    first.sent.write(lines(friend('a', { n: 1 }), { watermark: 1 }));
    await first.told('"watermark": 1');
    // Of connections from now on. The first one may be silent meanwhile, however slow the machine is.
    app.server.timeout = 1_000;
    const second = begin(url, 'source=s&wait=600');
    let isTaken = false;
    second.sent.write(large, () => {
      isTaken = true;
    });
    second.sent.end();
    await until(async () => counts.waitingImports > 0);
    await sleep(1_500); // longer than a connection may be silent
    t.equal(second.head(), undefined);
    t.notOk(isTaken, 'most of its 30 MB are still with the caller');
    t.equal(counts.waitingImports, 1);
    first.sent.end();
    await second.told('"status": "done"');
    t.match((await call('GET', '/imports/s')).body, { status: 'done', lines: 300, ticks: 300 });
  },
);

t.test('who goes away while it waits is not imported', async (t) => {
  const { app, call, storage } = await testService(t);
  const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }));
  const { counts } = storage[engine];
  const first = begin(url, 'source=s');
  first.sent.write(lines(friend('a', { n: 1 }), { watermark: 1 }));
  await first.told('"watermark": 1');
  const second = begin(url, 'source=s&wait=600');
  second.sent.end(lines(friend('b', { n: 1 })));
  await until(async () => counts.waitingImports > 0);
  second.sent.destroy();
  await until(async () => counts.waitingImports === 0);
  first.sent.end();
  await first.told('"status": "done"');
  t.equal((await call('GET', '/entities/friend:b')).status, 404);
});

t.test('an import of a service that stops ends after its batch, and says so', async (t) => {
  const { app, storage } = await testService(t);
  const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }));
  const sent = request(new URL('/import?source=s', url), { method: 'POST', headers: { 'content-type': NDJSON } });
  const answered = new Promise<IncomingMessage>((resolve) => sent.once('response', resolve));
  sent.write(lines(friend('a', { n: 1 }), { watermark: 1 }, friend('b', { n: 1 })));
  const answer = await answered;
  let told = '';
  let close: Promise<void> | undefined;
  for await (const part of answer) {
    told += part;
    if (told.includes('"watermark": 1')) close ??= app.close();
  }
  await close;
  t.match(JSON.parse(told.trimEnd().split('\n').at(-1) ?? ''), {
    status: 'failed',
    watermark: 1,
    problem: { code: 'overloaded' },
  });
  t.match(await readImport(storage, 's'), { status: 'failed', watermark: '1' });
});
