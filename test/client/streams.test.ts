import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { clocktick, type ExportLine, type ImportLine } from '../../src/client/client.js';
import { breaking } from '../helper/breaking.js';
import { allOf, fated, refusing, testClient } from '../helper/client.js';

/* Lines in and out. */

const line = (n: number): ImportLine => ({
  type: 'friend',
  key: String(n).padStart(5, '0'),
  properties: { n, text: 'x\u2028y' },
});

async function* some(count: number): AsyncGenerator<ImportLine> {
  for (let n = 0; n < count; n++) yield line(n);
}

const encode = (lines: Iterable<ImportLine>): string => [...lines].map((one) => `${JSON.stringify(one)}\n`).join('');

t.test('an import takes lines in whatever way they come, and says how it ended', async (t) => {
  const { client } = await testClient(t);
  const ten = Array.from({ length: 10 }, (_, n) => line(n));
  const ways: Record<string, () => Parameters<typeof client.import>[0]> = {
    'an array of lines': () => ten,
    'a text': () => encode(ten),
    'lines one by one': () => some(10),
    'a stream of Node.js': () => Readable.from([encode(ten.slice(0, 3)), Buffer.from(encode(ten.slice(3)))]),
    'a stream of the web': () => new Blob([encode(ten)]).stream(),
  };
  for (const [n, [way, lines]] of Object.entries(ways).entries()) {
    const told = await client.import(lines(), { source: 'crm' });
    const count = n === 0 ? { changed: 10, unchanged: 0 } : { changed: 0, unchanged: 10 };
    t.match(told, { status: 'done', lines: 10, skipped: 0, faults: [], ...count }, way);
  }
  const packed = new Blob([gzipSync(encode(ten))]).stream();
  t.match(await client.import(packed, { source: 'crm' }, { encoding: 'gzip' }), { unchanged: 10 });
  t.match(await client.imports.get('crm'), { source: 'crm', status: 'done', unchanged: 10 });
  await t.rejects(client.imports.get('nobody'), { code: 'import_not_found' });
});

t.test('an import tells meanwhile how far it is', async (t) => {
  const { client } = await testClient(t);
  const told: number[] = [];
  const summary = await client.import(some(2_500), { source: 'crm' }, { onProgress: ({ lines }) => told.push(lines) });
  t.match(summary, { lines: 2_500, changed: 2_500, ticks: 2_500 });
  t.ok(told.length >= 3 && told.at(-1) === 2_500, `it told ${told}`);
  await t.rejects(
    client.import(
      some(1),
      { source: 'crm' },
      {
        onProgress: () => {
          throw new RangeError('of the caller');
        },
      },
    ),
    RangeError,
  );
});

t.test('an import that is refused half-way says why, and how far it came', async (t) => {
  const { client } = await testClient(t);
  const wrong = () => [line(1), { op: 'patch' as const, type: 'friend', key: 'nobody', properties: {} }, line(2)];
  async function* pieces() {
    yield* wrong();
  }
  for (const lines of [wrong, pieces]) {
    const refused = { name: 'ClocktickProblem', code: 'entity_not_found', problem: { import: { lines: 0 } } };
    await t.rejects(client.import(lines(), { source: 'crm' }), refused);
    const { faults, skipped } = await client.import(lines(), { source: 'crm', onError: 'skip', dryRun: true });
    t.match({ faults, skipped }, { skipped: 1, faults: [{ line: 2, problem: { code: 'entity_not_found' } }] });
  }
  await t.rejects(client.import(some(1), { source: '' }), { name: 'ClocktickProblem', status: 400 });
});

t.test(
  'an import that breaks off may be kept, and is not sent again; its own errors are thrown as they are',
  async (t) => {
    const { client, baseUrl } = await testClient(t);
    async function* unreadable(): AsyncGenerator<ImportLine> {
      yield line(1);
      throw new RangeError('the disk is gone');
    }
    await t.rejects(client.import(unreadable(), { source: 'crm' }), { message: 'the disk is gone' });
    for (const lines of [() => [line(1)], () => some(1)]) {
      const { fetch, asked } = fated('answer lost');
      const lossy = clocktick({ baseUrl, fetch });
      await t.rejects(lossy.import(lines(), { source: 'crm' }), { name: 'ClocktickUnreachable', mayBeWritten: true });
      t.equal(asked.length, 1);
    }
    const { fetch } = fated(
      new Response('{"status":"running","lines":1}\n', { headers: { 'content-type': 'application/x-ndjson' } }),
    );
    await t.rejects(clocktick({ baseUrl, fetch }).import(some(1), { source: 'crm' }), {
      message: /ended before/,
      mayBeWritten: true,
    });
    const busy = fated(refusing(503, 'overloaded', { 'retry-after': '0' }));
    await t.rejects(clocktick({ baseUrl, fetch: busy.fetch }).import([], { source: 'crm' }), { code: 'overloaded' });
    t.equal(busy.asked.length, 1);
  },
);

t.test('an export gives every line once, across breaks of the connection', async (t) => {
  const { client, baseUrl } = await testClient(t);
  await client.import(some(3_000), { source: 'crm' });
  const all = await allOf(client.export({ type: 'friend' }));
  t.equal(all.length, 3_000);
  t.match(all[7], { type: 'friend', key: '00007', properties: { n: 7, text: 'x\u2028y' } });

  const way = await breaking(t, baseUrl, [40_000, 120_000, 90_000]);
  const broken = clocktick({ baseUrl: way.url, retry: { wait: 1 } });
  const received: ExportLine[] = [];
  for await (const told of broken.export({ type: 'friend' })) {
    received.push(told);
    if (received.length !== 10) continue;
    for (const key of ['!', '02999'])
      await client.entities.put(`friend:${key}`, { type: 'friend', properties: { n: 'new' } });
  }
  t.same(received, all, 'as of the instant at which it began');
  t.ok(way.asked.length >= 4, `it asked ${way.asked.length} times`);

  const marks = (await allOf(client.export({ type: 'friend', watermarks: true }))).filter((one) => 'watermark' in one);
  t.ok(marks.length > 0, 'watermarks come only if they are asked for');
  const ranges = await allOf(client.export({ type: 'friend', format: 'ranges', fields: 'n' }));
  t.match(ranges[1], { property: 'n', value: 0, vclock: { from: 1 } });
});

t.test('an export that brings nothing more says that it broke off', async (t) => {
  const { client, baseUrl } = await testClient(t);
  await client.import(some(500), { source: 'crm' });
  const way = await breaking(
    t,
    baseUrl,
    Array.from({ length: 99 }, () => 1_000),
  );
  const broken = clocktick({ baseUrl: way.url, retry: { wait: 1 } });
  await t.rejects(allOf(broken.export({ type: 'friend' })), { name: 'ClocktickUnreachable', mayBeWritten: false });
  const half = await breaking(t, baseUrl, [10_000]);
  const csv = clocktick({ baseUrl: half.url }).exportBytes({ type: 'friend', format: 'csv', fields: ['n', 'text'] });
  await t.rejects(allOf(csv), { name: 'ClocktickUnreachable' });
});

t.test('an export in any format comes as its bytes, and whoever stops ends it', async (t) => {
  const { client, baseUrl } = await testClient(t);
  await client.import(some(2_000), { source: 'crm' });
  const csv = await allOf(client.exportBytes({ type: 'friend', format: 'csv', fields: ['n'] }));
  t.equal(Buffer.concat(csv).toString().split('\r\n').length, 2_002);
  const parquet = Buffer.concat(await allOf(client.exportBytes({ type: 'friend', format: 'parquet', fields: 'n' })));
  t.equal(parquet.toString('latin1', 0, 4), 'PAR1');
  const text = 'x'.repeat(500_000);
  await client.import(
    Array.from({ length: 40 }, (_, n) => ({ type: 'book', key: `${n}`, properties: { text } })),
    { source: 'books' },
  );
  for (let times = 0; times < 6; times++) for await (const _ of client.export({ type: 'book' })) break;
  const again = clocktick({ baseUrl, retry: false });
  t.equal((await allOf(again.export())).length, 2_040, 'none of those that were left takes a place');
  const leaving = new AbortController();
  const walk = async () => {
    for await (const _ of client.export({}, { signal: leaving.signal })) leaving.abort();
  };
  await t.rejects(walk(), { name: 'AbortError' });
  await t.rejects(allOf(client.exportBytes({ format: 'csv' })), { code: 'invalid_parameter' });
});
