import t from 'tap';
import { containersIn } from '../../../src/http/protocol/body.js';
import { PROBLEMS, type ProblemCode } from '../../../src/http/protocol/problems.js';
import { pointer } from '../../../src/temporal/json.js';
import { MAX_CONTAINERS } from '../../../src/temporal/limits.js';
import { type Call, list, object, problem, testService, traces } from '../../helper/service.js';

/** A call that takes a body: how to reach it, and a sound body of it with `$` where any JSON value may stand. */
type Taker = {
  method: Parameters<Call>[0];
  url: string;
  type: string;
  body: string;
  /** Where that value is. */
  at: string;
};

const JSON_TYPE = 'application/json';
const takers: Taker[] = [
  { method: 'POST', url: '/entities', type: JSON_TYPE, body: '{"type":"t","properties":{"a":$}}', at: '/properties/a' },
  {
    method: 'PUT',
    url: '/entities/friend:new',
    type: JSON_TYPE,
    body: '{"type":"friend","properties":{"a":$}}',
    at: '/properties/a',
  },
  { method: 'PATCH', url: friend(), type: JSON_TYPE, body: '{"properties":{"a":$}}', at: '/properties/a' },
  {
    method: 'PATCH',
    url: friend(),
    type: 'application/merge-patch+json',
    body: '{"properties":{"a":$}}',
    at: '/properties/a',
  },
  {
    method: 'PATCH',
    url: friend(),
    type: 'application/json-patch+json',
    body: '[{"op":"add","path":"/properties/a","value":$}]',
    at: '/0/value',
  },
  {
    method: 'POST',
    url: friend('/revert'),
    type: JSON_TYPE,
    body: '{"to":1,"activity":{"metadata":{"a":$}}}',
    at: '/activity/metadata/a',
  },
  {
    method: 'POST',
    url: friend('/restore'),
    type: JSON_TYPE,
    body: '{"activity":{"metadata":{"a":$}}}',
    at: '/activity/metadata/a',
  },
  { method: 'POST', url: '/activities', type: JSON_TYPE, body: '{"metadata":{"a":$}}', at: '/metadata/a' },
];

function friend(action = ''): string {
  return `/entities/friend:rachel${action}`;
}

/** JSON that cannot be kept exactly, or is none; `within` is the place of the fault inside the value. */
const values: [value: string, code: ProblemCode, within?: string][] = [
  ['', 'malformed_json'],
  ['nul', 'malformed_json'],
  ['NaN', 'malformed_json'],
  ['-Infinity', 'malformed_json'],
  ['01', 'malformed_json'],
  ['.5', 'malformed_json'],
  ['5.', 'malformed_json'],
  ['+1', 'malformed_json'],
  ['1e', 'malformed_json'],
  ['"a', 'malformed_json'],
  ['"\\x"', 'malformed_json'],
  ['"\u0001"', 'malformed_json'],
  ['[1', 'malformed_json'],
  ['[1,]', 'malformed_json'],
  ['{"a"}', 'malformed_json'],
  ['{"a":1', 'malformed_json'],
  ['1 /* one */', 'malformed_json'],
  ['1e400', 'number_not_exact', ''],
  ['-1e400', 'number_not_exact', ''],
  ['1e-400', 'number_not_exact', ''],
  ['9007199254740993', 'number_not_exact', ''],
  ['0.10000000000000001', 'number_not_exact', ''],
  ['[1,{"b":9007199254740993}]', 'number_not_exact', '/1/b'],
  ['"\\u0000"', 'text_not_storable', ''],
  ['"\\ud800"', 'text_not_storable', ''],
  ['"\\udc00\\ud800"', 'text_not_storable', ''],
  ['{"\\u0000":1}', 'text_not_storable', ''],
  ['{"b":{"\\ud800":1}}', 'text_not_storable', '/b'],
  ['{"b":1,"b":1}', 'duplicate_name', '/b'],
  ['{"__proto__":1,"__proto__":2}', 'duplicate_name', '/__proto__'],
  ['[{"b":1,"\\u0062":1}]', 'duplicate_name', '/0/b'],
  [`${'['.repeat(101)}${']'.repeat(101)}`, 'nested_too_deep'],
  [`${'['.repeat(10_000)}${']'.repeat(10_000)}`, 'nested_too_deep'],
  [`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`, 'nested_too_deep'],
];

/** What a field takes, and where it stands; any JSON of another type is refused. */
const fields: [taker: number, path: (string | number)[], takes: string[]][] = [
  [0, ['type'], ['"x"']],
  [0, ['key'], ['"x"', '"__proto__"']],
  [0, ['properties'], ['{}']],
  [0, ['activity'], []],
  [0, ['activity', 'actor'], ['"x"', '"__proto__"']],
  [0, ['activity', 'reason'], ['"x"', '"__proto__"']],
  [0, ['activity', 'metadata'], ['{}']],
  [1, ['type'], []],
  [1, ['properties'], ['{}']],
  [1, ['activity'], []],
  [2, ['properties'], ['{}']],
  [2, ['activity'], []],
  [4, [], ['[]']],
  [4, [0], []],
  [4, [0, 'op'], []],
  [4, [0, 'path'], []],
  [5, ['to'], ['7']],
  [5, ['properties'], []],
  [5, ['activity'], []],
  [6, ['activity'], []],
  [7, ['actor'], ['"x"', '"__proto__"']],
  [7, ['reason'], ['"x"', '"__proto__"']],
  [7, ['metadata'], ['{}']],
];
const jsonTypes = ['null', 'true', '7', '1.5', '"x"', '"__proto__"', '[]', '[1]', '{}', '{"a":1}'];

t.test('no body gets a 5xx, or leaves anything behind', async (t) => {
  const { call, sql } = await testService(t);
  await call('POST', '/entities', { type: 'friend', key: 'rachel', properties: { a: 1 } });
  const everything = async () => {
    const [counts] = await sql`
      SELECT (SELECT count(*)::int FROM clocktick.entity) AS entities, (SELECT count(*)::int FROM clocktick.tick) AS ticks,
             (SELECT count(*)::int FROM clocktick.activity) AS activities`;
    return counts;
  };
  const before = await everything();
  const send = ({ method, url, type }: Taker, body: string) => call(method, url, body, { 'content-type': type });
  const placeOf = (body: Awaited<ReturnType<typeof send>>['body']) => object(list(body.errors)[0]).path;
  let inputs = 0;

  await t.test('a value that is not kept exactly, in every call that takes one', async (t) => {
    for (const taker of takers) {
      for (const [value, code, within] of values) {
        const answer = await send(
          taker,
          taker.body.replace('$', () => value),
        );
        const says = `${taker.method} ${taker.url} ${value.slice(0, 40)}`;
        t.match(answer, { status: PROBLEMS[code].status, body: { code } }, says);
        if (within !== undefined) t.equal(placeOf(answer.body), taker.at + within, `${says}: says where`);
        inputs++;
      }
      for (const cut of [1, 5, 12]) {
        const whole = taker.body.replace('$', '{"b": [1, "two"]}');
        const answer = await send(taker, whole.slice(0, -cut));
        t.match(answer, { status: 400, body: { code: 'malformed_json' } }, `${taker.url} cut off by ${cut}`);
        inputs++;
      }
    }
  });

  await t.test('another JSON type than a field takes', async (t) => {
    for (const [index, path, takes] of fields) {
      const taker = takers[index];
      if (!taker) throw new Error('no such call');
      for (const value of jsonTypes) {
        if (takes.some((one) => one === value || (one === '{}' && value.startsWith('{')))) continue;
        const answer = await send(taker, bodyWith(taker.body.replace('$', '1'), path, value));
        const says = `${taker.method} ${taker.url} ${path.join('.')}: ${value}`;
        t.equal(answer.status, 400, says);
        const { code } = answer.body;
        const known = ['invalid_body', 'unknown_field', 'invalid_as_of', 'invalid_property_name', 'malformed_json'];
        t.ok(known.includes(String(code)), `${says}: ${code}`);
        t.ok(String(placeOf(answer.body)).startsWith(pointer(path)), `${says}: says where: ${placeOf(answer.body)}`);
        inputs++;
      }
    }
  });

  await t.test('fields that no call knows, by their names', async (t) => {
    const names = ['id', 'tick', 'dryRun', '__proto__', 'constructor', 'prototype', 'toString', '', ' type', '😀'];
    for (const taker of takers) {
      for (const name of names) {
        const sound = taker.body.replace('$', '1');
        const member = `${JSON.stringify(name)}:{"type":"t"}`;
        const answer = await send(taker, sound.replace('{', `{${member},`));
        inputs++;
        if (sound.startsWith('[')) {
          t.not(answer.body.code, 'unknown_field', 'RFC 6902 section 4 has an operation ignore it');
          continue;
        }
        t.match(answer, { status: 400, body: { code: 'unknown_field' } }, `${taker.url} ${name}`);
        t.equal(placeOf(answer.body), `/${name}`);
      }
    }
  });

  await t.test('names that no property can have', async (t) => {
    const names = ['', '.', '..', 'n'.repeat(257), '😀'.repeat(257), 'n'.repeat(300_000)];
    for (const name of names) {
      const text = JSON.stringify(name);
      const bodies: [taker: number, body: string][] = [
        [0, `{"type":"t","properties":{${text}:1}}`],
        [1, `{"type":"friend","properties":{"ok":1,${text}:null}}`],
        [2, `{"properties":{${text}:null}}`],
        [4, `[{"op":"add","path":${JSON.stringify(pointer(['properties', name]))},"value":1}]`],
        [5, `{"to":1,"properties":["a",${text}]}`],
      ];
      for (const [index, body] of bodies) {
        const taker = takers[index];
        if (!taker) throw new Error('no such call');
        const answer = await send(taker, body);
        const says = `${taker.method} ${taker.url} ${text.slice(0, 20)}`;
        t.equal(answer.status, 400, says);
        t.ok(['invalid_property_name', 'invalid_body'].includes(String(answer.body.code)), says);
        t.ok(answer.text.length < 3000, `${says}: told in short`);
        inputs++;
      }
    }
  });

  t.ok(inputs >= 150, `${inputs} bad inputs`);
  t.same(await everything(), before, 'nothing of them is stored');
  t.match(await call('GET', friend()), { status: 200, body: { tick: 1, properties: { a: 1 } } });
  t.equal((await call('GET', '/health/ready')).status, 200);
});

/** The body with the value at a path replaced, or put there. */
function bodyWith(body: string, path: readonly (string | number)[], value: string): string {
  if (path.length === 0) return value;
  const whole: unknown = JSON.parse(body);
  const text = JSON.stringify(place(whole, path));
  return text.replace('"$"', () => value);
}

function place(within: unknown, [name, ...rest]: readonly (string | number)[]): unknown {
  if (name === undefined) return '$';
  if (typeof name === 'number') return [place(Array.isArray(within) ? within[name] : undefined, rest)];
  const members = new Map(Object.entries(typeof within === 'object' && within !== null ? within : {}));
  return Object.fromEntries([...members, [name, place(members.get(name), rest)]]);
}

t.test('a body of more objects and arrays than memory has room for is refused before it is parsed', async (t) => {
  const cases: [text: string, count: number][] = [
    ['', 0],
    ['{}', 1],
    ['[{"a": [[]]}, {}]', 5],
    ['"{[{["', 0],
    ['["\\"[{", {"\\\\": "{"}]', 2],
    ['{"{": "[\\\\"}', 1],
  ];
  for (const [json, count] of cases) t.equal(containersIn(Buffer.from(json)), count, json);

  const { call, sql } = await testService(t);
  const before = await traces(sql);
  const body = (item: string, count: number) =>
    `{"type": "thing", "properties": {"a": [${Array(count).fill(item).join()}]}}`;
  const { status, body: told } = await call('POST', '/entities', body('{}', MAX_CONTAINERS - 2));
  t.match({ status, body: told }, problem(413, 'body_too_large'));
  t.match(told.detail, /more than 1000000 objects and arrays/);
  t.same(await traces(sql), before);
  t.match(await call('POST', '/entities', body('[]', 300_000)), { status: 201 });
});
