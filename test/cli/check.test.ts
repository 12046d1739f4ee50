import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { buildApp } from '../../src/app.js';
import { breaking } from '../helper/breaking.js';
import { testDatabase } from '../helper/database.js';
import { ROOT } from '../helper/program.js';
import { object, testService } from '../helper/service.js';
import { readHistory } from '../replay/history.js';
import { linesOf } from '../replay/lines.js';

/** Runs the command as its users do. */
async function check(...args: string[]) {
  const { CLOCKTICK_URL: _, ...clean } = process.env;
  const child = spawn(process.execPath, ['dist/cli/clocktick.js', 'check', ...args], {
    cwd: ROOT,
    env: { ...clean, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await ended, output, errors };
}

/** Imports lines, and waits until all of it can be exported. */
async function imported(url: string, lines: string, query = ''): Promise<void> {
  const answer = await fetch(`${url}/import?source=s&skew=shift${query}`, {
    method: 'POST',
    body: lines,
    headers: { 'content-type': 'application/x-ndjson', accept: 'application/json' },
  });
  const told = object(JSON.parse(await answer.text()));
  if (told.status !== 'done') throw new Error(JSON.stringify(told));
  await (await fetch(`${url}/export?type=none&asOf=${told.updatedAt}`)).text();
}

async function listening(t: Test): Promise<string> {
  const { app } = await testService(t);
  return app.listen({ port: 0, host: '127.0.0.1' });
}

const linesIn = (lines: object[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join('');
const PERSON = {
  schema: {
    properties: {
      name: { type: 'string' },
      seen: { type: 'integer' },
      tags: { type: 'array', items: { enum: ['a', 'b'] } },
    },
    required: ['name', 'seen'],
    additionalProperties: false,
  },
  untracked: ['seen'],
};

/** Twelve ticks of three entities, of which six make states that PERSON refuses. */
const STORY = ((): object[] => {
  const at = (day: number) => `2015-04-0${day}T00:00:00Z`;
  const ann = { type: 'person', key: 'a/~nn ☃' };
  const bob = { type: 'person', key: 'bob' };
  const id = '01890000-0000-7000-8000-000000000001';
  return [
    { ...ann, at: at(1), properties: { name: 'Ann' } },
    { ...bob, at: at(1), properties: {} },
    { ...ann, at: at(2), op: 'set', set: { tags: ['a', 'c', 'd'] } },
    { ...bob, at: at(2), op: 'set', set: { name: null } },
    { ...ann, at: at(3), op: 'set', set: { x: 1 }, clear: ['tags'] },
    { ...bob, at: at(3), op: 'delete' },
    { ...ann, at: at(4), op: 'set', clear: ['x'] },
    { ...bob, at: at(4), properties: { name: 'Bob', tags: ['c'] } },
    { ...bob, at: at(5), op: 'set', set: { tags: ['b'] } },
    { type: 'person', id, at: at(5), properties: JSON.parse('{"name": "N", "__proto__": 1}') },
    { type: 'person', id, at: at(6), op: 'set', clear: ['__proto__'] },
    { type: 'other', key: 'o', at: at(6), properties: { tags: 7 } },
    { ...ann, at: at(7), op: 'delete' },
  ];
})();

t.test('every past state is checked: what a definition would refuse is told by kinds, with an example', async (t) => {
  const url = await listening(t);
  await imported(url, linesIn(STORY));
  const file = join(t.testdir({ 'person.json': JSON.stringify(PERSON) }), 'person.json');
  const ran = await check('person', file, '--url', url);
  t.equal(
    ran.output,
    `${file} would refuse 6 of 10 states, of 3 of 3 entities.
2 /properties/tags/* enum
  person:a/~nn ☃ at tick 2 (2015-04-02T00:00:00.000000Z): /properties/tags/1 must be one of "a", "b": "c"
1 /properties/name required
  person:bob at tick 1 (2015-04-01T00:00:00.000000Z): is required
1 /properties/name type
  person:bob at tick 2 (2015-04-02T00:00:00.000000Z): must be string: null
1 /properties/x additionalProperties
  person:a/~nn ☃ at tick 3 (2015-04-03T00:00:00.000000Z): is not a known property
1 /properties/__proto__ additionalProperties
  01890000-0000-7000-8000-000000000001 at tick 1 (2015-04-05T00:00:00.000000Z): is not a known property
`,
  );
  t.match(ran, { code: 1, errors: '' });

  const lines = await check('person', file, '--json', '--url', url);
  t.match(lines, { code: 1, errors: `${file} would refuse 6 of 10 states, of 3 of 3 entities.\n` });
  const states = lines.output
    .trimEnd()
    .split('\n')
    .map((line) => object(JSON.parse(line)));
  t.same(
    states.map(({ type, key, id, tick }) => [type, key ?? id, tick]),
    [
      ['person', 'bob', 1],
      ['person', 'a/~nn ☃', 2],
      ['person', 'bob', 2],
      ['person', 'a/~nn ☃', 3],
      ['person', 'bob', 4],
      ['person', '01890000-0000-7000-8000-000000000001', 1],
    ].toSorted((a, b) => order(states, a) - order(states, b)),
  );
  t.match(
    states.find(({ tick, key }) => tick === 2 && key !== 'bob'),
    {
      at: '2015-04-02T00:00:00.000000Z',
      errors: [
        { path: '/properties/tags/1', keyword: 'enum', value: 'c' },
        { path: '/properties/tags/2', keyword: 'enum', value: 'd' },
      ],
    },
  );
});

/** Ticks of one instant come in the order of ids. */
const order = (states: Record<string, unknown>[], [, address, tick]: (string | number)[]): number =>
  states.findIndex((state) => (state.key ?? state.id) === address && state.tick === tick);

t.test('without a file it is the definition of the service; a past that is as it says is clean', async (t) => {
  const url = await listening(t);
  const put = (definition: object) =>
    fetch(`${url}/types/person?evenIfInvalid=true`, {
      method: 'PUT',
      body: JSON.stringify(definition),
      headers: { 'content-type': 'application/json' },
    });
  await imported(url, linesIn(STORY));
  await put({ schema: false });
  t.match(await check('person', '--url', url), {
    code: 1,
    output: /^Definition 1 of type person would refuse 10 of 10 states, of 3 of 3 entities\.\n10 \/properties false\n/,
  });
  await put({ schema: true, activity: ['actor', 'reason'] });
  t.match(await check('person', '--url', url), {
    code: 0,
    output: 'Definition 2 of type person would refuse 0 of 10 states, of 0 of 3 entities.\n',
  });
  t.match(await check('person', '--json', '--url', url), { code: 0, output: '' });
  await put({ schema: true });
  t.match(await check('nobody', join(ROOT, 'test/fixtures/definitions/country.json'), '--url', url), {
    code: 2,
    errors: /There never was an entity of type nobody: nothing was checked\./,
  });
});

t.test('what cannot be checked is told', async (t) => {
  const url = await listening(t);
  const folder = t.testdir({
    'text.json': '{"schema": ',
    'twice.json': '{"schema": true, "schema": false}',
    'list.json': '[]',
    'bad.json': '{"schema": {"properties": {"a": {"type": "strin"}}}, "more": 1}',
    'good.json': '{"schema": true}',
  });
  const file = (name: string) => join(folder, `${name}.json`);
  const cases: [args: string[], errors: RegExp][] = [
    [[], /^clocktick: name the type to check/],
    [['person', file('good'), 'more'], /^clocktick: check takes a type and a file, and no argument more\.\n$/],
    [['Person', file('good')], /^clocktick: Person is no type that could be defined\.\n$/],
    [['clocktick-type', file('good')], /^clocktick: clocktick-type is no type that could be defined\.\n$/],
    [['person', file('none')], /^clocktick: there is no file .*none\.json that could be read\.\n$/],
    [['person', file('text')], /text\.json is no definition\.\nis no JSON: /],
    [['person', file('twice')], /twice\.json is no definition\.\n\/schema: the same name is written twice/],
    [['person', file('list')], /list\.json is no definition\.\nmust be an object\n$/],
    [['person', file('bad')], /is no definition\.\n\/more: is not known here\n\/schema\/properties\/a\/type: must be /],
    [['person'], /^clocktick: Nobody has defined the type person: .* \(type_not_defined\)\n$/],
    [['person', file('good'), '--url', 'http://127.0.0.1:1'], /^clocktick: no service answers at /],
    [['person', file('good'), '--as-of', '1'], /^clocktick: Unknown option '--as-of'/],
  ];
  for (const [args, errors] of cases) {
    const ran = await check(...(args.includes('--url') ? args : [...args, '--url', url]));
    t.match(ran, { code: 2, output: /^$/ }, args.join(' '));
    t.match(ran.errors, errors, args.join(' '));
  }
  t.match(await check('--help'), {
    code: 0,
    output: /^Usage: clocktick check <type> \[<definition\.json>\] [\s\S]*2 it failed\.\n$/,
  });
});

t.test('where the connection breaks it goes on, and counts each tick once', async (t) => {
  const url = await listening(t);
  const entity = (n: number) => ({ type: 'person', key: `p${n}` });
  const begin = Array.from({ length: 1_200 }, (_, n) => ({ ...entity(n), properties: { n, text: 'x'.repeat(100) } }));
  const then = Array.from({ length: 1_200 }, (_, n) => ({ ...entity(n), op: 'set', set: { n: `${n}` } }));
  await imported(url, linesIn(begin));
  await imported(url, linesIn(then));
  const definition = { schema: { properties: { n: { type: 'string' } } } };
  const file = join(t.testdir({ 'd.json': JSON.stringify(definition) }), 'd.json');
  const proxy = await breaking(t, url, [5_000, 250_000, 100_000]);
  const ran = await check('person', file, '--url', proxy.url);
  t.match(ran.output, /would refuse 1200 of 2400 states, of 1200 of 1200 entities\.\n1200 \/properties\/n type\n/);
  t.equal(ran.errors.match(/Going on\./g)?.length, 3);
});

const COUNTRY = join(ROOT, 'test/fixtures/definitions/country.json');
const SAMPLE = fileURLToPath(new URL('../fixtures/countries-sample.ndjson.gz', import.meta.url));
/** The whole history, where it is at hand. */
const WHOLE = process.env.COUNTRIES_HISTORY;

/** A service that holds a history of countries. */
async function countriesOf(t: Test, history: string): Promise<string> {
  const { storage } = await testDatabase(t);
  const app = await buildApp({ storage, rules: { requireCondition: false }, logger: false });
  t.teardown(() => app.close());
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  await imported(url, [...linesOf(await readHistory(history), 'country')].join(''));
  return url;
}

t.test('no invented country was ever as the real ones are today', async (t) => {
  const { code, output } = await check('country', COUNTRY, '--url', await countriesOf(t, SAMPLE));
  t.equal(code, 1);
  t.match(output, / would refuse 51 of 51 states, of 5 of 5 entities\.\n/);
  t.match(output, '\n44 /properties/currency additionalProperties\n');
  t.match(
    output,
    '\n 7 /properties/cca3 required\n  country:ATL at tick 6 (2012-06-07T18:41:09.000000Z): is required\n',
  );
  t.match(output, '\n10 /properties/name/native/* propertyNames\n');
});

t.test(
  'all countries are as their definition says, and few of their past states were',
  { skip: WHOLE ? false : 'COUNTRIES_HISTORY names no file' },
  async (t) => {
    const url = await countriesOf(t, WHOLE ?? '');
    const put = await fetch(`${url}/types/country`, {
      method: 'PUT',
      body: await readFile(COUNTRY),
      headers: { 'content-type': 'application/json' },
    });
    t.equal(put.status, 201, await put.text());
    const { output } = await check('country', '--url', url);
    t.match(output, /^Definition 1 of type country would refuse 14289 of 14542 states, of 251 of 251 entities\.\n/);
    for (const kind of ['11073 /properties/currency additionalProperties', ' 8244 /properties/capital type'])
      t.match(output, `\n${kind}\n`);
  },
);
