import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'csv-stringify/sync';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import t, { type Test } from 'tap';
import { openPools } from '../../../src/storage/engine/pools.js';
import { openStorage, storageOf } from '../../../src/storage/open.js';
import { engine } from '../../../src/storage/storage.js';
import type { Op } from '../../../src/temporal/entity.js';
import { idOfKey } from '../../../src/temporal/identity.js';
import type { JsonObject } from '../../../src/temporal/json.js';
import { type TestDatabase, testDatabase } from '../../helper/database.js';
import { importTicks } from '../../helper/imported.js';
import { list, object, problem, type Service, serve, testService, text } from '../../helper/service.js';
import { findingsOf } from '../../helper/verified.js';

type Exporting = Pick<Service, 'app' | 'call'>;

const exported = async ({ app }: Exporting, query: string | Record<string, string> = ''): Promise<string> => {
  const answer = await app.inject(`/export?${new URLSearchParams(query)}`);
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} ${answer.body}`);
  return answer.body;
};

const linesIn = (body: string): JsonObject[] =>
  body
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => object(JSON.parse(line)));

const put = async ({ call }: Exporting, type: string, key: string, properties: JsonObject, activity?: JsonObject) => {
  const body = { type, properties, ...(activity ? { activity } : {}) };
  const { status } = await call('PUT', `/entities/${encodeURIComponent(`${type}:${key}`)}`, body);
  if (status >= 300) throw new Error(`${status}`);
};

/** Imports lines over a connection: one that is made up goes on for half a minute after its answer. */
async function imported({ app }: Exporting, lines: string): Promise<JsonObject> {
  const [address] = app.addresses();
  const base =
    typeof address === 'object' ? `http://127.0.0.1:${address.port}` : await app.listen({ port: 0, host: '127.0.0.1' });
  const answer = await fetch(`${base}/import?source=s`, {
    method: 'POST',
    body: lines,
    headers: { 'content-type': 'application/x-ndjson', accept: 'application/json' },
  });
  const told: JsonObject = JSON.parse(await answer.text());
  if (told.status !== 'done') throw new Error(JSON.stringify(told));
  return told;
}

/** Names that other formats would take for their own, and values of every kind. */
const ODD = 'a"b,c';
const ODDER = "it's 😀\n\r/:%";
const LONG = 'long '.repeat(50);

/** A small past of two types, with each kind of tick. */
async function writePast(service: Exporting): Promise<void> {
  await put(service, 'note', ODD, { text: LONG, n: 1e-7, list: [[1], [], null], none: null });
  await put(
    service,
    'note',
    ODDER,
    { 'x, "y"\n': { __proto: {} }, '=1': '', text: 'short' },
    { actor: 'mo', metadata: { a: null } },
  );
  await put(service, 'note', ODD, { text: 'now, "short"', n: 1e-7, list: [[1], [], null] }, { reason: 'it was long' });
  await put(service, 'note', ODD, { text: 'now, "short"', n: 2.5, list: [[1], [], null], none: null });
  await service.call('DELETE', `/entities/${encodeURIComponent(`note:${ODD}`)}`);
  await service.call('POST', `/entities/${encodeURIComponent(`note:${ODD}`)}/restore`);
  await put(service, 'friend', 'gone', { a: 1 });
  await service.call('DELETE', '/entities/friend:gone');
  await service.call('POST', '/entities', { type: 'friend', properties: {} });
  // By an activity that says nothing.
  await imported(service, '{"type": "place", "key": "p", "properties": {}}\n');
}

/** A text in which instants, and ids that the service makes, are numbered in their order. */
function plainly(body: string): string {
  const instants = [...new Set(body.match(/\d{4}-\d\d-\d\dT[\d:.]+Z/g))].toSorted();
  const numbered = instants.reduce((all, instant, n) => all.replaceAll(instant, `T${n + 1}`), body);
  return numbered.replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f-]{17}/g, 'NEW');
}

const NOTES = ['{"type": "note", "key": "a\\"b,c"', '{"type": "note", "key": "it\'s 😀\\n\\r/:%"'] as const;
const NOW = '"n": 2.5, "list": [[1], [], null], "none": null, "text": "now, \\"short\\""';
const OTHER = '"=1": "", "text": "short", "x, \\"y\\"\\n": {"__proto": {}}';

t.test('each format is exactly this', async (t) => {
  const service = await testService(t);
  await writePast(service);
  const [odd, odder] = [
    '1e05e454-2cff-5d06-a43d-c69b3915d772',
    String(object((await service.call('GET', `/entities/${encodeURIComponent(`note:${ODDER}`)}`)).body).id),
  ];
  const gone = 'e46f6dbe-5dfd-5ff7-aedd-8147b34afec2';
  const set = (line: string) => line.replace('{"type"', '{"op": "set", "type"');
  const range = (
    id: string,
    key: string,
    property: string,
    value: string,
    from: [number, number],
    to: [number, number] | null,
    activity = 'null',
  ) =>
    `{"id": "${id}", "type": "${key === 'gone' ? 'friend' : 'note'}", "key": ${JSON.stringify(key)}, "property": ${property}, "value": ${value}, "vclock": {"from": ${from[0]}, "to": ${to?.[0] ?? null}}, "effective": {"from": "T${from[1]}", "to": ${to ? `"T${to[1]}"` : null}}, "activity": ${activity}}`;
  const mo = '{"id": "NEW", "actor": "mo", "metadata": {"a": null}}';
  const cases: [query: string, lines: string[], end: string][] = [
    [
      '',
      [
        '{"type": "friend", "id": "NEW", "properties": {}}',
        `${NOTES[0]}, "properties": {${NOW}}}`,
        `${NOTES[1]}, "properties": {${OTHER}}}`,
        '{"type": "place", "key": "p", "properties": {}}',
      ],
      '\n',
    ],
    ['type=friend', ['{"type": "friend", "id": "NEW", "properties": {}}'], '\n'],
    ['type=nobody', [], '\n'],
    [
      'history=full',
      [
        '{"type": "friend", "key": "gone", "at": "T7", "properties": {"a": 1}}',
        '{"op": "delete", "type": "friend", "key": "gone", "at": "T8"}',
        '{"type": "friend", "id": "NEW", "at": "T9", "properties": {}}',
        `${NOTES[0]}, "at": "T1", "properties": {"n": 0.0000001, "list": [[1], [], null], "none": null, "text": "${LONG}"}}`,
        `${NOTES[1]}, "at": "T2", "activity": ${mo}, "properties": {${OTHER}}}`,
        `${set(NOTES[0])}, "at": "T3", "activity": {"id": "NEW", "reason": "it was long"}, "set": {"text": "now, \\"short\\""}, "clear": ["none"]}`,
        `${set(NOTES[0])}, "at": "T4", "set": {"n": 2.5, "none": null}}`,
        `${NOTES[0].replace('{"type"', '{"op": "delete", "type"')}, "at": "T5"}`,
        `${NOTES[0]}, "at": "T6", "properties": {${NOW}}}`,
        '{"type": "place", "key": "p", "at": "T10", "properties": {}}',
      ],
      '\n',
    ],
    [
      'format=csv&type=note&fields=text&fields=n&fields=list&fields=none&fields=%3D1&fields=x%2C%20%22y%22%0A',
      [
        'id,key,tick,createdAt,updatedAt,text,n,list,none,=1,"x, ""y""\n"',
        `${odd},"a""b,c",5,T1,T3,"now, ""short""",2.5,"[[1], [], null]",null,,`,
        `${odder},"it's 😀\n\r/:%",1,T2,T2,short,,,,"","{""__proto"": {}}"`,
      ],
      '\r\n',
    ],
    [
      'format=ranges&fields=n&fields=none&fields=a&fields=%3D1',
      [
        range(gone, 'gone', '"a"', '1', [1, 7], [2, 8]),
        range(odd, ODD, '"n"', '0.0000001', [1, 1], [3, 4]),
        range(odd, ODD, '"n"', '2.5', [3, 4], [4, 5]),
        range(odd, ODD, '"n"', '2.5', [5, 6], null),
        range(odd, ODD, '"none"', 'null', [1, 1], [2, 3]),
        range(odd, ODD, '"none"', 'null', [3, 4], [4, 5]),
        range(odd, ODD, '"none"', 'null', [5, 6], null),
        range(odder, ODDER, '"=1"', '""', [1, 2], null, mo),
      ],
      '\n',
    ],
    [
      'format=ranges-csv&type=note&fields=text&fields=%3D1',
      [
        'id,key,property,value,from,to,fromTick,toTick,actor,reason',
        `${odd},"a""b,c",text,${LONG},T1,T3,1,2,,`,
        `${odd},"a""b,c",text,"now, ""short""",T3,T4,2,4,,it was long`,
        `${odd},"a""b,c",text,"now, ""short""",T5,,5,,,`,
        `${odder},"it's 😀\n\r/:%",=1,"",T2,,1,,mo,`,
        `${odder},"it's 😀\n\r/:%",text,short,T2,,1,,mo,`,
      ],
      '\r\n',
    ],
  ];
  // Autovacuum holds the stable instant back while it analyzes a table, and what is exported is what is stable.
  for (let waits = 0; waits < 100 && (await exported(service, 'type=place')) === ''; waits++) await sleep(50);
  for (const [query, lines, end] of cases)
    t.equal(plainly(await exported(service, query)), lines.map((line) => line + end).join(''), query);
});

t.test('a Parquet file has the table that CSV has, with instants to the microsecond', async (t) => {
  const service = await manyService(t);
  await writePast(service);
  const cases: [query: string, columns: string[]][] = [
    ['type=note&fields=text&fields=n&fields=%3D1&fields=x%2C%20%22y%22%0A', ['text', 'n', '=1', 'x, "y"\n']],
    ['type=many&fields=n&fields=text', ['n', 'text']],
    ['type=large&fields=text', ['text']],
    ['type=nobody&fields=text', ['text']],
    ['', []],
  ];
  for (const [query, columns] of cases) {
    const [csv, parquet] = columns.length > 0 ? ['csv', 'parquet'] : ['ranges-csv', 'ranges-parquet'];
    const { headers } = await service.call('HEAD', '/export');
    const pin = `&${String(headers['content-location']).replace('/export?', '')}`;
    const table = await exported(service, `format=${csv}&${query}${pin}`);
    const answer = await service.app.inject(`/export?format=${parquet}&${query}${pin}`);
    t.equal(answer.headers['content-type'], 'application/vnd.apache.parquet');
    const bytes = answer.rawPayload;
    const file = Uint8Array.from(bytes).buffer;
    const parsers = { timestampFromMicroseconds: (micros: bigint) => micros };
    const rows = await parquetReadObjects({ file, parsers });
    const { num_rows, schema } = parquetMetadata(file);
    const names = schema.slice(1).map(({ name }) => name);
    t.equal(rows.length, Number(num_rows), query);
    const first = columns.length > 0 ? ['id', 'key', 'tick', 'createdAt', 'updatedAt', ...columns] : names;
    t.same(names, first);
    const cells = rows.map((row) =>
      names.map((name) => (typeof row[name] === 'bigint' ? instantAt(row[name]) : row[name])),
    );
    const again = stringify([names, ...cells], {
      record_delimiter: 'windows',
      quoted_match: /[\r\n]/,
      cast: { string: (value) => (value === '' ? { value, quoted_empty: true } : value) },
    });
    t.ok(again === table, `${query}: ${rows.length} rows`);
  }
});

/** An instant by its microseconds since 1970. */
const instantAt = (micros: bigint): string =>
  `${new Date(Number(micros / 1000n)).toISOString().slice(0, -1)}${String(micros % 1000n).padStart(3, '0')}Z`;

/** What lines of a history leave of each entity, up to an instant. */
function statesAfter(history: readonly JsonObject[], until: string): Map<string, JsonObject | null> {
  const states = new Map<string, JsonObject | null>();
  for (const { op = 'put', at, type, key, id, properties, set = {}, clear = [] } of history) {
    if (text(at) > until) continue;
    const name = JSON.stringify([type, key ?? null, id ?? null]);
    if (op === 'delete') states.set(name, null);
    else if (op === 'put') states.set(name, object(properties));
    else {
      const { ...state } = { ...states.get(name), ...object(set) };
      for (const one of list(clear)) delete state[text(one)];
      states.set(name, state);
    }
  }
  return states;
}

/** What lines of a snapshot say of each entity. */
const statesIn = (body: string): [string, JsonObject][] =>
  linesIn(body).map(({ type, key, id, properties }) => [
    JSON.stringify([type, key ?? null, id ?? null]),
    object(properties),
  ]);

t.test('the ticks until an instant lead to the states as of it, and so do the ranges', async (t) => {
  const service = await testService(t);
  const { call } = service;
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 48_271) % 0x7fffffff;
    return seed % below;
  };
  for (let n = 0; n < 500; n++) {
    // One of them has more than fifty ticks, from which on its past is read in another way.
    const id = `/entities/thing:${random(3) === 0 ? `k${random(6)}` : 'deep'}`;
    const properties: JsonObject = {};
    for (let of = random(4); of >= 0; of--)
      properties[`p${random(8)}`] = random(3) === 0 ? null : random(3) === 0 ? `${LONG}${random(3)}` : random(3);
    const choice = random(12);
    if (choice === 0) await call('DELETE', id);
    else if (choice < 4) await call('PUT', id, { type: 'thing', properties });
    else await call('PATCH', id, { properties });
  }
  const whole = await exported(service, 'history=full');
  const history = linesIn(whole);
  t.ok(history.length > 200, `${history.length} ticks`);
  const instants = history.map(({ at }) => text(at));
  t.same(instants, instants.toSorted(), 'in the order of time');
  const ranges = linesIn(await exported(service, 'format=ranges'));
  for (const at of instants.filter((_, n) => n % 23 === 0 || n === instants.length - 1)) {
    const expected = [...statesAfter(history, at)].filter(([, state]) => state !== null);
    const body = await exported(service, { asOf: at });
    t.same(new Map(statesIn(body)), new Map(expected), at);
    t.equal(await exported(service, { asOf: at, history: 'full' }), upTo(whole, at));
    const held = new Map<string, JsonObject>();
    for (const { type, key, property, value, effective } of ranges) {
      const { from, to } = object(effective);
      if (text(from) > at || (to !== null && text(to) <= at)) continue;
      const name = JSON.stringify([type, key, null]);
      held.set(name, { ...held.get(name), [text(property)]: value ?? null });
    }
    t.same(held, new Map(expected.filter(([, state]) => Object.keys(state ?? {}).length > 0)));
    const then = linesIn(await exported(service, { asOf: at, format: 'ranges' }));
    t.same(
      then,
      ranges
        .filter(({ effective }) => text(object(effective).from) <= at)
        .map((range) => (String(object(range.effective).to) > at ? stillOpen(range) : range)),
      'a range that ended later is open',
    );
  }
});

/** The lines of a history up to an instant. */
const upTo = (body: string, until: string) =>
  body
    .split('\n')
    .filter((line) => line !== '' && text(object(JSON.parse(line)).at) <= until)
    .map((line) => `${line}\n`)
    .join('');

const stillOpen = (range: JsonObject): JsonObject => ({
  ...range,
  vclock: { ...object(range.vclock), to: null },
  effective: { ...object(range.effective), to: null },
});

/** Many entities of several types, some of them large, written in few requests. */
async function writeMany(service: Exporting): Promise<void> {
  const line = (type: string, n: number, properties: JsonObject) =>
    `${JSON.stringify({ type, key: `k${n}`, properties })}\n`;
  const many = Array.from({ length: 10_500 }, (_, n) => line('many', n, { n, text: `text ${n}` })).join('');
  // So that entities have an odd number of ranges, pages end within one; and on others something ends at their first tick.
  const set = (n: number) => ({ op: 'set', type: 'many', key: `k${n * 10}`, set: { n }, clear: ['text'] });
  const again = Array.from({ length: 700 }, (_, n) => `${JSON.stringify(set(n))}\n`).join('');
  // What compresses well, and what does not.
  const large = [1, 2, 3].map((n) => line('large', n, { text: `${n}`.repeat(3_000_000), n })).join('');
  const noise = [1, 2, 3].map((n) => line('noise', n, { text: noiseOf(1_200_000, n), n: 1 })).join('');
  for (const part of [many, again, large, noise, noise.replaceAll('"n":1', '"n":2')]) await imported(service, part);
}

/** A database in which they stand, written once: `manyIn` copies it. Nobody is connected to it any more. */
async function writeOnce(): Promise<string> {
  const { url, serviceUrl } = await testDatabase(t);
  const storage = openStorage(serviceUrl);
  const service = await serve(t, storage);
  await writeMany(service);
  await service.app.close();
  await storage.close();
  return new URL(url).pathname.slice(1);
}
let written: Promise<string> | undefined;

/** A database of its own in which many entities stand. */
async function manyIn(t: Test): Promise<TestDatabase> {
  written ??= writeOnce();
  return testDatabase(t, await written);
}

/** The service over one. */
async function manyService(t: Test): Promise<TestDatabase & Exporting> {
  const database = await manyIn(t);
  return { ...database, ...(await serve(t, database.storage)) };
}

function noiseOf(length: number, seed: number): string {
  let state = seed;
  return Array.from({ length }, () => {
    state = (state * 48_271) % 0x7fffffff;
    return String.fromCharCode(97 + (state % 26));
  }).join('');
}

t.test('an export goes on from its watermarks, as if it had never been cut', async (t) => {
  const service = await manyService(t);
  const cases: [query: Record<string, string>, pages: number][] = [
    [{}, 14],
    [{ history: 'full' }, 18],
    [{ format: 'ranges' }, 16],
    [{ format: 'ranges', type: 'many', fields: 'n' }, 6],
  ];
  for (const [query, least] of cases) {
    const first = await service.app.inject(`/export?${new URLSearchParams({ ...query, watermarks: 'true' })}`);
    const lines = first.body.split('\n').filter((line) => line !== '');
    const marks = lines.flatMap((line, n) => (line.startsWith('{"watermark"') ? [n] : []));
    const { pathname, searchParams } = new URL(text(String(first.headers['content-location'])), 'http://x');
    t.equal(pathname, '/export');
    const pin = { asOf: searchParams.get('asOf') ?? '', recordedAsOf: searchParams.get('recordedAsOf') ?? '' };
    const plain = await exported(service, { ...query, ...pin });
    t.ok(
      plain ===
        lines
          .filter((_, n) => !marks.includes(n))
          .map((line) => `${line}\n`)
          .join(''),
      'and without watermarks there are none',
    );
    t.ok(marks.length >= least, `${marks.length} pages`);
    if (query.history) {
      const states = statesIn(await exported(service, pin));
      t.same(statesAfter(linesIn(plain), pin.asOf), new Map(states), 'pages that begin in the middle of a past, too');
    }
    t.equal(marks.at(-1), lines.length - 1, 'one stands at the end');
    if (query.format) {
      const { type = null, fields = null } = query;
      const [row] = await service.sql<{ count: number }[]>`
        SELECT count(*)::int FROM clocktick.property_range
         WHERE type = coalesce(${type}, type) AND property = coalesce(${fields}, property)`;
      t.equal(lines.length - marks.length, row?.count, 'no range is missing where a page ends within an entity');
    }
    // What is written meanwhile does not matter.
    await put(service, 'many', 'k0', { n: 'later' });
    await put(service, 'many', 'later', { n: 'later' });
    await put(service, 'newer', 'later', { n: 'later' });
    // After the first large ones, among the many, and at the end, where large ones stand again. After each of all pages takes four times as long.
    const middle = Math.floor(marks.length / 2);
    for (const mark of [...marks.slice(1, 2), ...marks.slice(middle, middle + 1), ...marks.slice(-3)]) {
      const { cursor } = object(object(JSON.parse(lines[mark] ?? '')).watermark);
      const rest = await exported(service, { ...query, cursor: text(cursor), watermarks: 'true' });
      t.ok(
        rest ===
          lines
            .slice(mark + 1)
            .map((line) => `${line}\n`)
            .join(''),
        `from ${mark}`,
      );
    }
    const { cursor } = object(object(JSON.parse(lines[marks[0] ?? 0] ?? '')).watermark);
    const location = `/export?${new URLSearchParams({ ...query, cursor: text(cursor), type: 'other' })}`;
    t.match(await service.call('GET', location), problem(400, 'invalid_cursor'), 'of another export');
  }
});

t.test('what is imported into an empty service is exported by it with the same bytes, history and all', async (t) => {
  const service = await manyService(t);
  await writePast(service);
  for (const history of [{}, { history: 'full' }]) {
    const body = await exported(service, { ...history, watermarks: 'true' });
    const other = await testService(t);
    const { watermark, updatedAt } = await imported(other, body);
    const plain = await exported(service, history);
    t.ok(linesIn(plain).length > 10_000);
    t.ok((await exported(other, { ...history, asOf: text(updatedAt) })) === plain);
    t.match(watermark, { cursor: String }, 'and the import keeps how far it is');
    t.same(await findingsOf(other.url), []);
  }
});

t.test('what cannot be exported is refused', async (t) => {
  const service = await testService(t);
  await writePast(service);
  const walk = async (query: string) => {
    const [line] = linesIn(await exported(service, `${query}&watermarks=true`)).filter(({ watermark }) => watermark);
    return encodeURIComponent(text(object(line?.watermark).cursor));
  };
  const [states, ticks] = [await walk('type=note'), await walk('history=full')];
  const forged = (walked: string, ...place: string[]) => {
    const [of, asOf, recordedAsOf] = Buffer.from(decodeURIComponent(walked), 'base64url').toString().split('.');
    return Buffer.from([of, asOf, recordedAsOf, ...place].join('.')).toString('base64url');
  };
  const uuid = '1e05e454-2cff-5d06-a43d-c69b3915d772';
  const cases: [query: string, code: string, detail: RegExp][] = [
    ['format=csv&fields=a', 'invalid_parameter', /^type: is missing: a table of states is one of a type/],
    ['format=csv&type=note', 'invalid_parameter', /^fields: is missing: a table has columns/],
    ['fields=a', 'invalid_parameter', /^fields: does not go with ndjson/],
    ['history=full&format=ranges', 'invalid_parameter', /^history: goes with ndjson only/],
    ['history=none', 'invalid_parameter', /^history/],
    ['format=ranges-csv&watermarks=true', 'invalid_parameter', /^watermarks: goes with lines of JSON only/],
    ['watermarks=1', 'invalid_parameter', /^watermarks: must be true or false/],
    ['format=xlsx', 'invalid_parameter', /^format/],
    ['format=parquet&type=note', 'invalid_parameter', /^fields: is missing: a table has columns/],
    ['format=csv&type=note&fields=tick', 'invalid_parameter', /^fields cannot name tick: each table has a column/],
    ['format=parquet&type=note&fields=a&watermarks=true', 'invalid_parameter', /^watermarks/],
    ['type=No', 'invalid_parameter', /^type: must be a slug/],
    ['format=ranges&fields=.', 'invalid_property_name', /./],
    ['asOf=3', 'invalid_as_of', /^asOf is a tick/],
    ['asOf=2999-01-01T00:00:00Z', 'as_of_in_future', /./],
    ['limit=3', 'unknown_parameter', /^limit/],
    ['cursor=x', 'invalid_cursor', /./],
    [`cursor=${states}`, 'invalid_cursor', /not one of this walk/],
    [`type=note&format=ranges&cursor=${states}`, 'invalid_cursor', /not one of this walk/],
    [`type=note&asOf=2016-01-01T00:00:00Z&cursor=${states}`, 'invalid_cursor', /another instant/],
    ...[
      [states, 'friend'],
      [states, 'note', 'k'],
      [states, 'note', '\0', uuid],
      [states, 'note', 'k', 'no'],
      [states, 'note', 'k', uuid, 'p', '1'],
    ].map(([of = '', ...place]): [string, string, RegExp] => [
      `type=note&cursor=${forged(of, ...place)}`,
      'invalid_cursor',
      /./,
    ]),
    [`history=full&cursor=${forged(ticks, 'note', 'now', uuid)}`, 'invalid_cursor', /./],
  ];
  const last = (character: string, count: number) => character.repeat(count);
  for (const [key, name] of [
    [last('\u{10FFFF}', 512), last('\u{10FFFF}', 256)],
    [last('%2E', 512), last('%2E', 256)],
  ] as const) {
    const cursor = forged(await walk('format=ranges'), last('z', 63), key, uuid, name, '2147483647');
    t.equal(await exported(service, `format=ranges&cursor=${cursor}`), '', 'the longest cursor there can be');
  }
  for (const [query, code, detail] of cases) {
    const answer = await service.call('GET', `/export?${query}`);
    t.match(answer, problem(400, code), query);
    t.match(answer.body.detail, detail, query);
  }
  t.match(
    await service.call('GET', '/export', undefined, { accept: 'application/json' }),
    problem(406, 'not_acceptable'),
  );
  t.match(await service.call('HEAD', '/export'), { status: 200, text: '', headers: { 'content-location': /asOf/ } });
});

t.test('what was recorded later is not in an export by what was recorded until then', async (t) => {
  const service = await testService(t);
  const { sql } = service;
  const tick = (key: string, at: string, op: Op, set: JsonObject) =>
    importTicks(sql, [{ id: idOfKey('city', key), type: 'city', key, at, op, set }]);
  await tick('oslo', '2016-01-01T00:00:00Z', 'created', { n: 1 });
  const { headers } = await service.call('HEAD', '/export');
  const pin = new URL(text(headers['content-location']), 'http://x').searchParams.get('recordedAsOf') ?? '';
  await tick('oslo', '2016-01-02T00:00:00Z', 'updated', { n: 2 });
  await tick('bergen', '2016-01-01T00:00:00Z', 'created', { n: 3 });
  await tick('bergen', '2016-01-03T00:00:00Z', 'deleted', {});
  const until = { asOf: '2016-01-02T12:00:00Z' };
  const [first, second] = ['2016-01-01', '2016-01-02'].map((day) => `"at": "${day}T00:00:00.000000Z"`);
  const cases: [query: Record<string, string>, lines: string[]][] = [
    [
      until,
      [
        '{"type": "city", "key": "bergen", "properties": {"n": 3}}',
        '{"type": "city", "key": "oslo", "properties": {"n": 2}}',
      ],
    ],
    [{ ...until, recordedAsOf: pin }, ['{"type": "city", "key": "oslo", "properties": {"n": 1}}']],
    [
      { ...until, history: 'full', type: 'city' },
      [
        // Of one instant in the order of their ids.
        `{"type": "city", "key": "oslo", ${first}, "properties": {"n": 1}}`,
        `{"type": "city", "key": "bergen", ${first}, "properties": {"n": 3}}`,
        `{"op": "set", "type": "city", "key": "oslo", ${second}, "set": {"n": 2}}`,
      ],
    ],
    [{ history: 'full', recordedAsOf: pin }, [`{"type": "city", "key": "oslo", ${first}, "properties": {"n": 1}}`]],
  ];
  for (const [query, lines] of cases)
    t.equal(await exported(service, query), lines.map((line) => `${line}\n`).join(''), JSON.stringify(query));
  const [range, ...others] = linesIn(await exported(service, { format: 'ranges', recordedAsOf: pin }));
  t.match([range, others], [{ key: 'oslo', value: 1, effective: { to: null } }, []]);
});

/** A service over many entities, whose reads of exports are counted, and may fail. */
async function watched(t: Test) {
  const database = await manyIn(t);
  const pools = openPools(database.serviceUrl);
  const watch = { reads: 0, failAt: Number.POSITIVE_INFINITY };
  const storage = storageOf({
    ...pools,
    exporting: async (read) => {
      watch.reads++;
      if (watch.reads >= watch.failAt) throw new Error('the database has gone');
      return pools.exporting(read);
    },
  });
  t.teardown(() => storage.close());
  const served = await serve(t, storage);
  const base = await served.app.listen({ port: 0, host: '127.0.0.1' });
  return { ...served, base, watch, storage, sql: database.sql };
}

t.test('an error after the first page breaks the connection, and before it is a problem', async (t) => {
  const service = await watched(t);
  for (const query of ['', 'history=full', 'format=ranges', 'format=ranges-csv', 'format=ranges-parquet']) {
    const { watch } = service;
    watch.reads = 0;
    // Of a Parquet file nothing is sent before a row group is full.
    watch.failAt = query.endsWith('parquet') ? 9 : 5;
    const answer = await fetch(`${service.base}/export?${query}`);
    t.equal(answer.status, 200, query);
    await t.rejects(answer.text(), 'so nobody takes it for whole');
  }
  service.watch.failAt = 0;
  for (const query of ['', 'format=ranges-csv', 'format=ranges-parquet', 'type=many&format=csv&fields=n'])
    t.match(await service.call('GET', `/export?${query}`), problem(500, 'internal_error'), query);
  service.watch.failAt = Number.POSITIVE_INFINITY;
  t.equal(service.storage[engine].lanes.exports.use.asked, 0, 'and all of them are over');
});

t.test('a caller that stops reading makes the service stop, and keeps nothing of the database', async (t) => {
  const service = await watched(t);
  const { watch, storage, sql } = service;
  const use = storage[engine].lanes.exports.use;
  const deaf = () => {
    const socket = connect(Number(new URL(service.base).port), '127.0.0.1');
    socket.pause();
    socket.write('GET /export HTTP/1.1\r\nHost: localhost\r\n\r\n');
    return socket;
  };
  watch.reads = 0;
  await exported(service);
  const all = watch.reads;
  watch.reads = 0;
  const sockets = Array.from({ length: use.most }, deaf);
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  let seen = -1;
  while (seen !== watch.reads || watch.reads === 0) {
    seen = watch.reads;
    await sleep(500);
  }
  t.ok(watch.reads < (all * use.most) / 2, `${watch.reads} reads, of ${all} for each`);
  const [open] = await sql<{ count: number }[]>`
    SELECT count(*)::int FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'clocktick' AND (state <> 'idle' OR xact_start IS NOT NULL)`;
  t.equal(open?.count, 0);
  t.match(await service.call('GET', '/export'), problem(503, 'overloaded', { detail: 'Other exports are running.' }));
  t.match(await service.call('GET', '/entities/many:k1'), { status: 200 }, 'others are served');
  for (const socket of sockets) socket.destroy();
  while (use.asked > 0) await sleep(20);
  t.equal((await service.call('HEAD', '/export')).status, 200);
  t.ok((await exported(service, 'type=many')).length > 500_000);
});

t.test('an export shows nothing that was written after it began', async (t) => {
  const service = await watched(t);
  const before = await exported(service, 'history=full');
  const answer = await fetch(`${service.base}/export?history=full`);
  const reader = answer.body?.getReader();
  const parts: Uint8Array[] = [];
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    parts.push(part.value);
    if (parts.length === 1) {
      await put(service, 'large', 'k1', { text: 'later' });
      await put(service, 'noise', 'k9', { text: 'later' });
      await service.call('DELETE', '/entities/noise:k3');
    }
  }
  t.ok(Buffer.concat(parts).toString() === before);
  const location = answer.headers.get('content-location') ?? '';
  const again = await service.app.inject(location);
  t.ok(again.body === before, 'and its Content-Location has the same for ever');
  t.match(again.headers, { 'cache-control': /immutable/, 'content-location': location });
  t.ok((await exported(service, 'history=full')).length > before.length);
});

t.test('a service that stops cuts its exports off', async (t) => {
  const service = await watched(t);
  const socket = connect(Number(new URL(service.base).port), '127.0.0.1');
  socket.write('GET /export HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(socket, 'readable');
  const closed = service.app.close();
  let whole = '';
  for await (const part of socket) whole += part;
  await closed;
  t.notMatch(whole.slice(-20), /\r\n0\r\n/);
});
