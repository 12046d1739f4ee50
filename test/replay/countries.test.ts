import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { buildApp } from '../../src/app.js';
import { type Json, type JsonObject, jsonEqual } from '../../src/temporal/json.js';
import { instantOf, microseconds } from '../../src/temporal/point.js';
import { runCommand } from '../helper/command.js';
import { testDatabase } from '../helper/database.js';
import { object, testService } from '../helper/service.js';
import { run as replayCountries } from './countries.js';
import { readHistory } from './history.js';
import { linesOf, run as printLines } from './lines.js';
import { refuseExisting, replay, verify } from './replay.js';
import { serviceAt } from './service.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SAMPLE = join(ROOT, 'test/fixtures/countries-sample.ndjson.gz');

const run = (...args: string[]) => runCommand('test/replay/countries.ts', ...args);

t.test('the command replays the sample, and says what it found', async (t) => {
  const { app } = await testService(t);
  let isTampered = false;
  app.addHook('onSend', async (request, _reply, payload) =>
    isTampered && request.url.includes('ELD?asOf=4') && typeof payload === 'string'
      ? payload.replace('[1.5,-0.25]', '[1.5,0.25]').replace('[1.5, -0.25]', '[1.5, 0.25]')
      : payload,
  );
  const url = await app.listen({ port: 0, host: '127.0.0.1' });

  const first = await run('--url', url);
  t.equal(first.errors, '');
  t.match(first.output, /^writing +100%, 12 of 12 commits, \d+ changes\/s, ETA 0 s$/m);
  t.match(first.output, /^verifying +100%, 12 of 12 commits, \d+ reads\/s, ETA 0 s$/m);
  t.match(
    first.output,
    /\n12 commits, 52 changes written in .* 5 entities of type country, .*: all as the data says\.\n$/,
  );
  t.notMatch(first.output, '\u001b', 'plain lines where there is no terminal');
  t.equal(first.code, 0);

  const second = await run('--url', url, SAMPLE);
  t.match(second.errors, /^country:\w+ exists already.* such as --type country-2\.\n$/);
  t.same({ code: second.code, output: second.output }, { code: 2, output: '' });

  isTampered = true;
  const third = await run(SAMPLE, '--url', `${url}/`, '--type', 'country-2');
  t.match(
    third.output,
    '\ncountry-2:ELD as of tick 4: "latlng" is [1.5,0.25], by the data [1.5,-0.25]\n12 commits, 52 changes written in',
  );
  t.match(third.output, /: 1 difference\.\n$/);
  t.equal(third.code, 1);
});

t.test('what is asked wrongly is answered by a sentence', async (t) => {
  const { app } = await testService(t);
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const folder = t.testdir({
    'none.ndjson': '\n',
    'bad.ndjson': '{"actor": "Plato", "reason": "", "changes": [{}]}\n',
  });
  const cases: [args: string[], sentence: RegExp][] = [
    [
      ['--url', 'http://127.0.0.1:1'],
      /^No service answers at http:\/\/127\.0\.0\.1:1\/ \(.+\)\. Start one with npm start, .*$/,
    ],
    [['--url', 'localhost:3000'], /^localhost:3000 is no http or https URL\.$/],
    [['--url', url, '--type', 'No'], /^GET \/entities\/No.* is not answered as it should be: 400 invalid_id, .*$/],
    [['--url', `${url}/health`], /^GET \/entities\/.* is not answered as it should be: 404 route_not_found, .*$/],
    [[join(folder, 'nothing')], /^There is no file .*nothing\.$/],
    [[folder], / cannot be read: EISDIR.*\.$/],
    [[join(folder, 'none.ndjson')], / holds no commits\.$/],
    [[join(folder, 'bad.ndjson')], /bad\.ndjson, commit 1 is no commit: .*$/],
    [[SAMPLE, 'more'], /^One file at a time: what is more\? --help says what there is\.$/],
    [['--typ', 'x'], /^Unknown option '--typ'.* --help says what there is\.$/],
  ];
  for (const [args, message] of cases)
    await t.rejects(replayCountries(args), { name: 'Complaint', message }, args.join(' '));
  const { code, output } = await run('--help');
  t.match(output, 'npm run replay:countries -- [file]');
  t.equal(code, 0);
});

t.test('a file that is no history is refused before anything is written', async (t) => {
  const folder = t.testdir({});
  const create = { op: 'create', key: 'ATL', properties: { name: 'Atlantis' } };
  const remove = { op: 'delete', key: 'ATL' };
  const cases: [changes: object[][], message: RegExp | null][] = [
    [[[create], [remove], [create]], null],
    [[[create], [create]], /commit 2 creates ATL, which is there already\.$/],
    [[[create, remove]], /commit 1 changes an entity twice/],
    [[[remove]], /commit 1: to delete ATL it would have to be there\.$/],
    [
      [[create], [remove], [{ op: 'update', key: 'ATL', set: {} }]],
      /commit 3: to update ATL it would have to be there\.$/,
    ],
    [[[{ op: 'create', key: 'ATL', properties: [] }]], /commit 1 is no commit: .*is no object/],
  ];
  for (const [index, [commits, message]] of cases.entries()) {
    const file = join(folder, `${index}`);
    const lines = commits.map((changes) => JSON.stringify({ actor: 'Plato', reason: 'why', changes }));
    await writeFile(file, index % 2 ? lines.join('\n') : gzipSync(lines.join('\n')));
    if (message === null) t.equal((await readHistory(file)).length, commits.length);
    else await t.rejects(readHistory(file), { name: 'Complaint', message });
  }
});

t.test('states that a merge patch could not say, and a change that changes nothing', async (t) => {
  const file = join(t.testdir({}), 'history.ndjson');
  const commit = (number: number, change: object) =>
    `{"commit":${number},"actor":"Plato","reason":"","changes":[${JSON.stringify({ key: 'a/b: ☃', ...change })}]}`;
  await writeFile(
    file,
    [
      commit(1, { op: 'create', properties: { a: { b: null, c: { d: 1 } }, none: null, ' ': [] } }),
      commit(2, { op: 'update', set: { a: { b: 1, c: null } }, clear: ['none', 'never'] }),
      commit(3, { op: 'update', set: { a: { c: null, b: 1.0 } } }),
      commit(4, { op: 'update', set: { a: {} }, clear: ['a'] }),
      commit(5, { op: 'delete' }),
      commit(6, { op: 'create', properties: {} }),
      commit(7, { op: 'update', clear: [] }),
      '{"commit":8,"actor":"Plato","reason":"","changes":[{"op":"update","key":"a/b: ☃","set":{"__proto__":{"__proto__":null}}}]}',
      '{"commit":9,"actor":"Plato","reason":"nothing","changes":[]}',
    ].join('\n'),
  );
  const history = await readHistory(file);
  t.same(
    history.flatMap(({ steps }) => steps.map(({ op, from, tick }) => `${op} ${from} ${tick}`)),
    [
      'created 0 1',
      'updated 1 2',
      'unchanged 2 2',
      'updated 2 3',
      'deleted 3 4',
      'restored 4 5',
      'unchanged 5 5',
      'updated 5 6',
    ],
  );
  const { app } = await testService(t);
  const target = { service: serviceAt(await app.listen({ port: 0, host: '127.0.0.1' })), type: 'place' };
  await refuseExisting(target, history);
  const activities = await replay(target, history, () => {});
  t.same(await verify(target, history, activities, () => {}), []);
});

t.test('a service that is busy, and one that does not know whether it has written', async (t) => {
  const { app } = await testService(t);
  const seen = new Map<string, number>();
  app.addHook('onSend', async (request, reply, payload) => {
    const what = `${request.method} ${request.url.split('?')[0]}`;
    const times = (seen.get(what) ?? 0) + 1;
    seen.set(what, times);
    const answer = (code: string, retryAfter?: string) => {
      const body = JSON.stringify({ code });
      reply
        .code(503)
        .header('content-type', 'application/problem+json')
        .header('content-length', Buffer.byteLength(body));
      if (retryAfter !== undefined) reply.header('retry-after', retryAfter);
      return body;
    };
    // The request has been worked on by now, so the outcome is unknown and yet a success.
    if (times === 1 && /^(PUT|DELETE|POST)/.test(what)) return answer('outcome_unknown');
    if (times === 1 && what.startsWith('GET /activities')) return answer('database_unavailable', '0');
    if (times === 2 && what.startsWith('GET /entities'))
      return answer('database_unavailable', new Date().toUTCString());
    return payload;
  });
  const target = { service: serviceAt(await app.listen({ port: 0, host: '127.0.0.1' })), type: 'country' };
  const history = await readHistory(SAMPLE);
  const activities = await replay(target, history, () => {});
  t.same(await verify(target, history, activities, () => {}), []);
  t.equal(seen.get('DELETE /entities/country%3AATL'), 1, 'what has been written is not written again');
});

/** The whole history, where it is at hand. */
const WHOLE = process.env.COUNTRIES_HISTORY;

/** A service without the helper's check of every answer against its schema, which takes long for 250 countries. */
async function served(t: Test): Promise<string> {
  const { storage } = await testDatabase(t);
  const app = await buildApp({ storage, rules: { requireCondition: false }, logger: false });
  t.teardown(() => app.close());
  return app.listen({ port: 0, host: '127.0.0.1' });
}

async function importOf(url: string, body: string): Promise<JsonObject> {
  const answer = await fetch(`${url}/import?source=countries&skew=shift`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/x-ndjson', accept: 'application/json' },
  });
  return object(JSON.parse(await answer.text()));
}

t.test('imported with its instants, a history is at each of them as its commits say', async (t) => {
  for (const file of [SAMPLE, ...(WHOLE ? [WHOLE] : [])]) {
    const url = await served(t);
    const history = await readHistory(file);
    const body = [...linesOf(history, 'country')].join('');
    const told = await importOf(url, body);
    t.match(told, { status: 'done', ticks: body.split('\n').length - 1, unchanged: 0 }, JSON.stringify(told.problem));

    const held = new Map<string, JsonObject>();
    let last = 0n;
    for (const { at = '', steps } of history) {
      const said = microseconds(at);
      last = said > last ? said : last + 1n;
      for (const { key, properties } of steps) {
        if (properties) held.set(key, properties);
        else held.delete(key);
      }
      const answer = await fetch(`${url}/entities?type=country&limit=1000&asOf=${instantOf(last)}`);
      const { items } = object(JSON.parse(await answer.text()));
      const found = Array.isArray(items) ? items.map(object) : [];
      t.ok(
        jsonEqual(
          found.map(({ key, properties }) => [key ?? null, properties ?? null]),
          [...held].toSorted(([a], [b]) => (a < b ? -1 : 1)),
        ),
        `as of ${instantOf(last)}`,
      );
    }
    const { body: tick } = await serviceAt(url)({
      method: 'GET',
      path: `entities/country:${[...held.keys()][0]}/history?limit=1`,
    });
    const [first] = Array.isArray(tick.items) ? tick.items.map(object) : [];
    t.match(first?.activity, history[0]?.activity, 'who and why come along');

    const whole = await (await fetch(`${url}/export?history=full&asOf=${told.updatedAt}`)).text();
    t.equal(whole.split('\n').length, body.split('\n').length);
    const other = await served(t);
    const again = await importOf(other, whole);
    t.match(again, { status: 'done' }, JSON.stringify(again.problem ?? again));
    // As of then, because the newest stable instant may be one of a moment before.
    const exported = await fetch(`${other}/export?history=full&asOf=${again.updatedAt}`);
    t.ok((await exported.text()) === whole, 'exported, and imported again');
  }
});

/** Since when a property has its value, by the commits, and the activity of the commit that gave it that. */
type Given = { value: Json; tick: number; at: string; activity: JsonObject };

t.test('as of ten instants, who last set each property of each country is as its commits say', async (t) => {
  for (const file of [SAMPLE, ...(WHOLE ? [WHOLE] : [])]) {
    const url = await served(t);
    const history = await readHistory(file);
    const told = await importOf(url, [...linesOf(history, 'country')].join(''));
    t.match(told, { status: 'done' }, JSON.stringify(told.problem));

    const held = new Map<string, Map<string, Given>>();
    let last = 0n;
    let asked = 0;
    for (const [n, { at: saidAt = '', activity, steps }] of history.entries()) {
      const said = microseconds(saidAt);
      last = said > last ? said : last + 1n;
      const at = instantOf(last);
      for (const { key, tick, properties } of steps) {
        const before = held.get(key);
        const given = Object.entries(properties ?? {}).map(([name, value]): [string, Given] => {
          const known = before?.get(name);
          return [name, known && jsonEqual(known.value, value) ? known : { value, tick, at, activity }];
        });
        if (properties) held.set(key, new Map(given));
        else held.delete(key);
      }
      // The last of each tenth.
      if (Math.floor((n * 10) / history.length) === Math.floor(((n + 1) * 10) / history.length)) continue;
      asked++;
      const found = await provenanceAsOf(url, at);
      t.equal(found.size, held.size);
      for (const [key, given] of held) {
        const expected = [...given].map(([name, { tick, at, activity }]): [string, Json] => [
          name,
          { vclock: { from: tick, to: null }, effective: { from: at, to: null }, activity },
        ]);
        if (!jsonEqual(found.get(key) ?? null, Object.fromEntries(expected))) t.fail(`${key} as of ${at}`);
      }
    }
    t.equal(asked, 10);
  }
});

/** Who last set what of each country, by key, page by page; of the activities without the ids that the service made. */
async function provenanceAsOf(url: string, at: string): Promise<Map<string, JsonObject>> {
  const found = new Map<string, JsonObject>();
  let cursor = '';
  do {
    const answer = await fetch(`${url}/entities?type=country&include=provenance&limit=100&asOf=${at}${cursor}`);
    const { items, next } = object(JSON.parse(await answer.text()));
    for (const item of Array.isArray(items) ? items.map(object) : []) {
      const ranges = Object.entries(object(item.provenance)).map(([name, range]): [string, JsonObject] => {
        const { id: _, ...activity } = object(object(range).activity);
        return [name, { ...object(range), activity }];
      });
      found.set(String(item.key), Object.fromEntries(ranges));
    }
    cursor = typeof next === 'string' ? `&cursor=${next}` : '';
  } while (cursor !== '');
  return found;
}

t.test('the command prints the lines of a history', async (t) => {
  const { code, output } = await runCommand('test/replay/lines.ts', '--type', 'land');
  t.equal(code, 0);
  t.equal(output, [...linesOf(await readHistory(SAMPLE), 'land')].join(''));
  t.equal(output.split('\n').length, 53);
  const refused = await runCommand('test/replay/lines.ts', 'none.ndjson');
  t.match(refused, { code: 2, errors: /^There is no file none.ndjson/ });
  await t.rejects(printLines([SAMPLE, 'b']), { name: 'Complaint', message: /no argument b\.$/ });
});

t.test('where nobody reads the lines of a history any more, the command ends without a stack', async (t) => {
  const command = ['--import', 'tsx', 'test/replay/lines.ts'];
  const child = spawn(process.execPath, command, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  t.equal(await text(child.stderr), '');
  t.equal(await ended, 1);
});
