import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import t from 'tap';
import { isObject, type Json, type JsonObject, MAX_DEPTH, readJson } from '../../src/temporal/json.js';
import { applyJsonPatch, MAX_COPIED, MAX_SHIFTED, operationsOf } from '../../src/temporal/json-patch.js';
import { MAX_BODY_BYTES } from '../../src/temporal/limits.js';
import { Refusal, type RefusalCode } from '../../src/temporal/refusal.js';

/** A value as text with its members sorted: equal for equal values, and readable where a test fails. */
function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const sorted = Object.keys(value).sort();
  return `{${sorted.map((name) => `${JSON.stringify(name)}:${canonical(value[name] ?? null)}`).join()}}`;
}

/** Reads a text so that nothing of the value can be changed: in modules, an attempt throws. */
const parsed = (text: string): Json => JSON.parse(text, (_, value) => Object.freeze(value));

function parsedObject(text: string): JsonObject {
  const value = parsed(text);
  if (!isObject(value)) throw new Error(`no object: ${text}`);
  return value;
}

/** What a call gives, or how it refuses: the code and the places. */
function outcome(call: () => Json): string {
  try {
    return canonical(call());
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return [error.code, ...(error.notes.errors ?? []).map(({ path }) => path)].join(' ');
  }
}

const patched = (properties: string, body: string): string =>
  outcome(() => applyJsonPatch(parsedObject(properties), operationsOf(parsed(body))));

/** What every object inherits. */
const ofAllObjects = () => Reflect.ownKeys(Object.prototype).map((key) => [key, Reflect.get(Object.prototype, key)]);
const atFirst = ofAllObjects();

/** Members of a case of the standard's test files. */
type Case = { comment?: string; doc: Json; patch: JsonObject[]; expected?: Json; error?: string };

function casesOf(file: string): Case[] {
  const path = createRequire(import.meta.url).resolve(`json-patch-test-suite/${file}`);
  return JSON.parse(readFileSync(path, 'utf8'));
}

/**
 * The documents of the suite may be anything, so each is the property x here, and paths begin with /properties/x: none of
 * the cases has to be left out. The suite's disabled ones are run too: they are about whole documents, which a property
 * can be, and about a member written twice, which readJson refuses before anybody could see what it is in.
 */
t.test('the test files of the standard', async (t) => {
  const wrapped = (item: JsonObject): JsonObject => {
    const paths = Object.entries(item).filter(
      ([name, value]) => /^(path|from)$/.test(name) && typeof value === 'string',
    );
    return { ...item, ...Object.fromEntries(paths.map(([name, value]) => [name, `/properties/x${value}`])) };
  };
  for (const [file, count] of [
    ['spec_tests.json', 17],
    ['tests.json', 78],
  ] as const) {
    const cases = casesOf(file);
    t.equal(cases.length, count);
    for (const { comment, doc, patch, expected, error } of cases) {
      if (comment === 'duplicate ops') {
        t.match(readJson('[{"op": "add", "op": "move"}]'), { fault: { code: 'duplicate_name' } }, comment);
        continue;
      }
      const says = `${file}: ${comment ?? JSON.stringify(patch)}`;
      const run = (items: JsonObject[]) => patched(JSON.stringify({ x: doc }), JSON.stringify(items.map(wrapped)));
      if (error === undefined) t.equal(run(patch), canonical({ x: expected ?? doc }), says);
      else t.match(run(patch), /^(invalid_body|patch_not_applicable|patch_test_failed) \/0/, says);
    }
  }
});

t.test('a body is read into operations, or refused with the place', async (t) => {
  const rows: [body: string, refused: string][] = [
    ['{}', 'invalid_body '],
    ['null', 'invalid_body '],
    ['"add"', 'invalid_body '],
    ['[1]', 'invalid_body /0'],
    ['[{"op":"remove","path":"/properties/a"},[],null]', 'invalid_body /1 /2'],
    ['[{}]', 'invalid_body /0/path /0/op'],
    ['[{"path":"/properties/a","value":1}]', 'invalid_body /0/op'],
    ['[{"op":"spam","path":"/properties/a","value":1,"x":1}]', 'invalid_body /0/op'],
    ['[{"op":"Add","path":"/properties/a","value":1}]', 'invalid_body /0/op'],
    ['[{"op":"toString","path":"/properties/a"}]', 'invalid_body /0/op'],
    ['[{"op":["add"],"path":"/properties/a","value":1}]', 'invalid_body /0/op'],
    ['[{"op":null,"path":"/properties/a","value":1}]', 'invalid_body /0/op'],
    ['[{"op":"add","value":1}]', 'invalid_body /0/path'],
    ['[{"op":"add","path":1,"value":1}]', 'invalid_body /0/path'],
    ['[{"op":"add","path":null,"value":1}]', 'invalid_body /0/path'],
    ['[{"op":"add","path":["properties","a"],"value":1}]', 'invalid_body /0/path'],
    ['[{"op":"add","path":"/properties/a"}]', 'invalid_body /0/value'],
    ['[{"op":"replace","path":"/properties/a"}]', 'invalid_body /0/value'],
    ['[{"op":"test","path":"/properties/a"}]', 'invalid_body /0/value'],
    ['[{"op":"move","path":"/properties/a"}]', 'invalid_body /0/from'],
    ['[{"op":"copy","path":"/properties/a","from":1}]', 'invalid_body /0/from'],
    ['[{"__proto__":{"op":"remove","path":"/properties/a"}}]', 'invalid_body /0/path /0/op'],
    ['[{"op":"add","path":"","value":{}}]', 'invalid_body /0/path'],
    ['[{"op":"add","path":"/","value":1}]', 'invalid_body /0/path'],
    ['[{"op":"add","path":"properties/a","value":1}]', 'invalid_body /0/path'],
    ['[{"op":"add","path":"#/properties/a","value":1}]', 'invalid_body /0/path'],
    ['[{"op":"replace","path":"/properties","value":{}}]', 'invalid_body /0/path'],
    ['[{"op":"add","path":"/propertiesX/a","value":1}]', 'invalid_body /0/path'],
    ['[{"op":"replace","path":"/type","value":"x"}]', 'invalid_body /0/path'],
    ['[{"op":"test","path":"/tick","value":1}]', 'invalid_body /0/path'],
    ['[{"op":"copy","path":"/properties/a","from":"/key"}]', 'invalid_body /0/from'],
    ['[{"op":"remove","path":"/properties/a~"}]', 'invalid_body /0/path'],
    ['[{"op":"remove","path":"/properties/~2"}]', 'invalid_body /0/path'],
    ['[{"op":"remove","path":"/properties/a/~01~"}]', 'invalid_body /0/path'],
    ['[{"op":"move","path":"/properties/a","from":"/properties/~a"}]', 'invalid_body /0/from'],
    ['[1,{"op":"remove","path":"/properties/a","foo":1},{"op":"remove","path":"x"}]', 'invalid_body /0 /2/path'],
    ['[{"op":"add","path":"/properties/","value":1}]', 'invalid_property_name /0/path'],
    ['[{"op":"replace","path":"/properties/.","value":1}]', 'invalid_property_name /0/path'],
    ['[{"op":"move","path":"/properties/..","from":"/properties/a"}]', 'invalid_property_name /0/path'],
    [`[{"op":"copy","path":"/properties/${'n'.repeat(257)}","from":"/properties/a"}]`, 'invalid_property_name /0/path'],
    ['[{"op":"add","path":"/properties/..","value":1},{"op":"remove","path":"x"}]', 'invalid_body /1/path'],
  ];
  for (const [body, refused] of rows) t.equal(patched('{"a":1,"b":1}', body), refused, body);
  t.throws(() => operationsOf(parsed('[{"op":"remove","path":"/key"}]')), {
    message: '/0/path: must begin with /properties/.',
  });
  t.throws(() => operationsOf({}), { message: 'must be an array of operations.' });
  t.equal(patched('{"a":1}', '[]'), '{"a":1}', 'nothing to do');
  t.equal(
    patched('{"a":{}}', '[{"op":"add","path":"/properties/a/..","value":1}]'),
    '{"a":{"..":1}}',
    'inside: any name',
  );
  t.equal(patched('{}', `[{"op":"add","path":"/properties/${'😀'.repeat(256)}","value":1}]`).length, 518);
});

t.test('what a patch gives, or why it cannot', async (t) => {
  const rows: [properties: string, items: string[], result: string][] = [
    ['{"a":[1,2,3]}', ['move /a/3 /a/0'], 'patch_not_applicable /0/path'],
    ['{"a":[1,2,3]}', ['move /a/2 /a/0'], '{"a":[2,3,1]}'],
    ['{"a":[1,2,3]}', ['move /a/- /a/0'], '{"a":[2,3,1]}'],
    ['{"a":[1,2,3]}', ['move /a/0 /a/2'], '{"a":[3,1,2]}'],
    ['{"a":[1,2,3]}', ['move /a/1 /a/1'], '{"a":[1,2,3]}'],
    ['{"a":[[1],{"b":1},{"c":1}]}', ['move /a/1/x /a/0'], '{"a":[{"b":1},{"c":1,"x":[1]}]}'],
    ['{"a":{"b":1}}', ['move /a/b/c /a'], 'patch_not_applicable /0/path'],
    ['{"a":{"b":1}}', ['move /a/b /a'], 'patch_not_applicable /0/path'],
    ['{"a":{"b":1}}', ['move /a /a/b'], '{"a":1}'],
    ['{"a":{"b":1}}', ['move /a /a'], '{"a":{"b":1}}'],
    ['{"a":{"b":1},"ab":2}', ['move /ab/c /a'], 'patch_not_applicable /0/path'],
    ['{"a":{"b":1},"ab":{}}', ['move /ab/c /a'], '{"ab":{"c":{"b":1}}}'],
    ['{"a":1}', ['move /b /c'], 'patch_not_applicable /0/from'],
    ['{"a":1}', ['move /b /a/c'], 'patch_not_applicable /0/from'],
    ['{"a":1}', ['move /b/c /a'], 'patch_not_applicable /0/path'],
    ['{"a":{"b":1}}', ['copy /a/b/c /a'], 'patch_not_applicable /0/path'],
    ['{"a":{"b":1}}', ['copy /a/b /a'], '{"a":{"b":{"b":1}}}'],
    ['{"a":{"b":1}}', ['copy /c /a', 'add /c/b 2', 'add /a/d 3'], '{"a":{"b":1,"d":3},"c":{"b":2}}'],
    ['{"a":[[1]]}', ['add /a/0/- 2', 'copy /b /a', 'add /a/0/- 3', 'add /b/0/0 0'], '{"a":[[1,2,3]],"b":[[0,1,2]]}'],
    ['{"a":[1]}', ['copy /a/- /a/-'], 'patch_not_applicable /0/from'],
    ['{"a":[1]}', ['copy /a/0 /a/1'], 'patch_not_applicable /0/from'],
    ['{"a":[1]}', ['remove /a/-'], 'patch_not_applicable /0/path'],
    ['{"a":[1]}', ['remove /a/1'], 'patch_not_applicable /0/path'],
    ['{"a":[1]}', ['replace /a/- 2'], 'patch_not_applicable /0/path'],
    ['{"a":[1]}', ['replace /a/1 2'], 'patch_not_applicable /0/path'],
    ['{"a":[1]}', ['replace /a/0 2'], '{"a":[2]}'],
    ['{"a":[1]}', ['replace /b 2'], 'patch_not_applicable /0/path'],
    ['{"a":[1]}', ['add /a/2 2'], 'patch_not_applicable /0/path'],
    ['{"a":[1]}', ['add /a/-/b 2'], 'patch_not_applicable /0/path'],
    ['{"a":[[1]]}', ['add /a/0/- 2'], '{"a":[[1,2]]}'],
    ['{"a":[1,2]}', ['test /a/- 2'], 'patch_test_failed /0/path'],
    ...['01', '00', '1e0', '+1', '-1', '-0', '1.0', '0x1', '١', 'length', '4294967296', '9'.repeat(400), ''].flatMap(
      (index): [string, string[], string][] => [
        ['{"a":[1,2]}', [`add /a/${index} 9`], 'patch_not_applicable /0/path'],
        ['{"a":[1,2]}', [`replace /a/${index} 9`], 'patch_not_applicable /0/path'],
        ['{"a":[1,2]}', [`remove /a/${index}`], 'patch_not_applicable /0/path'],
        ['{"a":[1,2]}', [`copy /b /a/${index}`], 'patch_not_applicable /0/from'],
        ['{"a":[1,2]}', [`test /a/${index} 2`], 'patch_test_failed /0/path'],
        ['{"a":[[1]]}', [`add /a/${index}/0 2`], 'patch_not_applicable /0/path'],
      ],
    ),
    ['{"a":{}}', ['add /a/- 1', 'add /a/01 2'], '{"a":{"-":1,"01":2}}'],
    ['{"a":"s"}', ['add /a/b 1'], 'patch_not_applicable /0/path'],
    ['{"a":"s"}', ['test /a/0 "s"'], 'patch_test_failed /0/path'],
    ['{"a":"s"}', ['test /a/length 1'], 'patch_test_failed /0/path'],
    ['{"a":null}', ['add /a/b 1'], 'patch_not_applicable /0/path'],
    ['{"a":null}', ['test /a null', 'remove /a'], '{}'],
    ['{}', ['test /a null'], 'patch_test_failed /0/path'],
    ['{"a":1}', ['test /a "1"'], 'patch_test_failed /0/path'],
    ['{"a":{"b":[1,{"c":2,"d":0}]}}', ['test /a {"b":[1.0,{"d":-0,"c":2e0}]}'], '{"a":{"b":[1,{"c":2,"d":0}]}}'],
    ['{"a":{"b":1}}', ['test /a {"b":1,"c":1}'], 'patch_test_failed /0/path'],
    ['{"a":{}}', ['add /a/b [1]', 'add /a/b/- 2', 'test /a {"b":[1,2]}', 'remove /a/b/0'], '{"a":{"b":[2]}}'],
    ['{"a":1}', ['add /a 2', 'remove /a', 'test /a 2'], 'patch_test_failed /2/path'],
    ['{"a/b":1,"m~n":2,"~1":3}', ['remove /a~1b', 'replace /m~0n 4', 'test /~01 3'], '{"m~n":4,"~1":3}'],
  ];
  /** From `op path from` or `op path value`, with paths below /properties. */
  const item = (text: string): JsonObject => {
    const [op = '', path = ''] = text.split(' ', 2);
    const rest = text.slice(op.length + path.length + 2);
    const base = { op, path: `/properties${path}` };
    if (op === 'move' || op === 'copy') return { ...base, from: `/properties${rest}` };
    return op === 'remove' ? base : { ...base, value: JSON.parse(rest) };
  };
  for (const [properties, items, result] of rows) {
    t.equal(
      patched(properties, JSON.stringify(items.map(item))),
      result,
      `${properties} ${items.join(', ')}`.slice(0, 100),
    );
  }
});

const NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', '0', '-', 'a/b', '~1'];

t.test('names that mean something to JavaScript are data at every level', async (t) => {
  const token = (name: string) => name.replaceAll('~', '~0').replaceAll('/', '~1');
  const around: [where: string, path: string, wrap: (members: string) => string][] = [
    ['at the top', '', (members) => members],
    ['inside a', '/a', (members) => `{"a":${members}}`],
    ['inside an array', '/a/0', (members) => `{"a":[${members}]}`],
    ['inside __proto__', '/__proto__', (members) => `{"__proto__":${members}}`],
    ['inside constructor', '/constructor/prototype', (members) => `{"constructor":{"prototype":${members}}}`],
  ];
  for (const name of NAMES) {
    const own = JSON.stringify(name);
    for (const [where, path, wrap] of around) {
      const at = JSON.stringify(`/properties${path}/${token(name)}`);
      const beside = JSON.stringify(`/properties${path}/other`);
      const inside = JSON.stringify(`/properties${path}/${token(name)}/${token(name)}`);
      const rows: [members: string, body: string, result: string][] = [
        ['{}', `[{"op":"add","path":${at},"value":1}]`, `{${own}:1}`],
        ['{}', `[{"op":"add","path":${at},"value":{${own}:{${own}:1}}}]`, `{${own}:{${own}:{${own}:1}}}`],
        [
          '{}',
          `[{"op":"add","path":${at},"value":{}},{"op":"add","path":${inside},"value":{${own}:2}}]`,
          `{${own}:{${own}:{${own}:2}}}`,
        ],
        [`{${own}:{${own}:1}}`, `[{"op":"replace","path":${inside},"value":2}]`, `{${own}:{${own}:2}}`],
        [`{${own}:{${own}:1}}`, `[{"op":"remove","path":${inside}}]`, `{${own}:{}}`],
        [`{${own}:{${own}:1}}`, `[{"op":"test","path":${at},"value":{${own}:1}}]`, `{${own}:{${own}:1}}`],
        [`{${own}:{${own}:1}}`, `[{"op":"move","path":${beside},"from":${inside}}]`, `{${own}:{},"other":1}`],
        [`{"other":{${own}:1}}`, `[{"op":"move","path":${at},"from":${beside}}]`, `{${own}:{${own}:1}}`],
        [
          `{${own}:{${own}:1}}`,
          `[{"op":"copy","path":${beside},"from":${at}},{"op":"remove","path":${inside}}]`,
          `{${own}:{},"other":{${own}:1}}`,
        ],
        ['{}', `[{"op":"replace","path":${at},"value":1}]`, 'patch_not_applicable /0/path'],
        ['{}', `[{"op":"remove","path":${at}}]`, 'patch_not_applicable /0/path'],
        ['{}', `[{"op":"copy","path":${beside},"from":${at}}]`, 'patch_not_applicable /0/from'],
        ['{}', `[{"op":"add","path":${inside},"value":1}]`, 'patch_not_applicable /0/path'],
        ['{}', `[{"op":"test","path":${at},"value":{}}]`, 'patch_test_failed /0/path'],
      ];
      for (const [members, body, result] of rows) {
        const expected = result.startsWith('{') ? canonical(parsed(wrap(result))) : result;
        t.equal(patched(wrap(members), body), expected, `${where}: ${members} ${body}`);
      }
    }
  }
  t.strictSame(ofAllObjects(), atFirst, 'and nothing is done to other objects');
});

t.test('neither the properties nor the operations change, so a patch can be tried again', async (t) => {
  const properties = parsedObject('{"a":[{"b":[1]}],"c":{"d":1}}');
  const operations = operationsOf(
    parsed(`[
      {"op":"add","path":"/properties/v","value":{"w":[{}]}}, {"op":"add","path":"/properties/v/w/0/x","value":1},
      {"op":"add","path":"/properties/a/0/b/-","value":2}, {"op":"move","path":"/properties/v/w/-","from":"/properties/c"},
      {"op":"replace","path":"/properties/v/w/1/d","value":[]}, {"op":"add","path":"/properties/v/w/1/d/-","value":3}
    ]`),
  );
  for (let round = 0; round < 2; round += 1) {
    t.equal(canonical(applyJsonPatch(properties, operations)), '{"a":[{"b":[1,2]}],"v":{"w":[{"x":1},{"d":[3]}]}}');
  }
});

t.test('a result is never deeper than a body may be', async (t) => {
  /** Arrays around arrays, or around a value. */
  const nested = (levels: number, value = '') => `${'['.repeat(levels)}${value}${']'.repeat(levels)}`;
  const most = MAX_DEPTH - 2;
  t.match(readJson(`{"properties":{"a":${nested(most)}}}`), { value: {} }, 'the same bound as a merge patch has');
  t.match(readJson(`{"properties":{"a":${nested(most + 1)}}}`), { fault: { code: 'nested_too_deep' } });

  const item = (op: string, path: string, rest: object) => ({ op, path: `/properties${path}`, ...rest });
  const rows: [name: string, properties: string, items: JsonObject[], refused: string | undefined][] = [
    ['add', '{}', [item('add', '/a', { value: parsed(nested(most)) })], undefined],
    ['add', '{}', [item('add', '/a', { value: parsed(nested(most + 1)) })], '/0/path'],
    ['add inside', '{"a":[]}', [item('add', '/a/-', { value: parsed(nested(most - 1)) })], undefined],
    ['add inside', '{"a":[]}', [item('add', '/a/-', { value: parsed(nested(most)) })], '/0/path'],
    ['replace', '{"a":{"b":1}}', [item('replace', '/a/b', { value: parsed(nested(most - 1)) })], undefined],
    ['replace', '{"a":{"b":1}}', [item('replace', '/a/b', { value: parsed(nested(most)) })], '/0/path'],
    ['a scalar', `{"a":${nested(most)}}`, [item('add', `/a${'/0'.repeat(most - 1)}/-`, { value: 1 })], undefined],
    ['an array', `{"a":${nested(most)}}`, [item('add', `/a${'/0'.repeat(most - 1)}/-`, { value: [] })], '/0/path'],
    ['copy', `{"a":${nested(most)}}`, [item('copy', '/b', { from: '/properties/a' })], undefined],
    ['copy', `{"a":${nested(most)},"b":[]}`, [item('copy', '/b/0', { from: '/properties/a' })], '/0/path'],
    ['move', `{"a":${nested(most)}}`, [item('move', '/b', { from: '/properties/a' })], undefined],
    ['move', `{"a":${nested(most)},"b":[]}`, [item('move', '/b/0', { from: '/properties/a' })], '/0/path'],
    [
      'move to a place that then moves',
      `{"a":${nested(most)},"b":[]}`,
      [item('move', '/b/0', { from: '/properties/a' }), item('move', '/c', { from: '/properties/b' })],
      '/1/path',
    ],
    [
      'only in between',
      `{"a":${nested(most)},"b":[]}`,
      [item('move', '/b/0', { from: '/properties/a' }), item('move', '/a', { from: '/properties/b/0' })],
      undefined,
    ],
  ];
  for (const [name, properties, items, refused] of rows) {
    const result = patched(properties, JSON.stringify(items));
    if (refused === undefined) {
      t.match(readJson(`{"properties":${result}}`), { value: {} }, `${name}: can be sent as a body`);
    } else {
      t.equal(result, `nested_too_deep ${refused}`, name);
    }
  }

  const nest = Array.from({ length: 4000 }, () => [
    item('add', '/w', { value: {} }),
    item('move', '/w/a', { from: '/properties/a' }),
    item('move', '/a', { from: '/properties/w' }),
  ]).flat();
  const after: [name: string, items: JsonObject[], refused: string][] = [
    ['nothing', [], `nested_too_deep /${nest.length - 1}/path`],
    ['a test', [item('test', '/a', { value: parsed(nested(50)) })], `patch_test_failed /${nest.length}/path`],
    ['a copy', [item('copy', '/b', { from: '/properties/a' })], `nested_too_deep /${nest.length}/path`],
    ['a removal', [item('remove', '/a', {})], '{}'],
  ];
  for (const [name, items, refused] of after) {
    t.equal(patched('{"a":{}}', JSON.stringify([...nest, ...items])), refused, `thousands of levels, then ${name}`);
  }
});

t.test('a body does not make much work', async (t) => {
  const MIB = 2 ** 20;
  /** As many operations as a body of so many bytes holds. */
  const body = (make: (index: number) => string, bytes = MAX_BODY_BYTES): string => {
    const items: string[] = [];
    for (let length = 2; length < bytes; length += (items.at(-1)?.length ?? 0) + 1) items.push(make(items.length));
    return `[${items.slice(0, -1).join()}]`;
  };
  const add = (path: string, value = '0') => `{"op":"add","path":"/properties/${path}","value":${value}}`;
  const copy = (path: string, from: string) =>
    `{"op":"copy","path":"/properties/${path}","from":"/properties/${from}"}`;
  const move = (path: string, from: string) =>
    `{"op":"move","path":"/properties/${path}","from":"/properties/${from}"}`;
  const remove = (path: string) => `{"op":"remove","path":"/properties/${path}"}`;
  const zeros = (count: number) => `{"a":[${'0,'.repeat(count - 1)}0]}`;
  const members = (from: number, count: number) =>
    `{"a":{${Array.from({ length: count }, (_, index) => `"${from + index}":0`).join()}}}`;

  const rows: [name: string, properties: string, body: string, refused: RefusalCode | undefined][] = [
    ['adds in front of an array', '{"a":[]}', body(() => add('a/0'), MIB), undefined],
    ['adds in front of 30,000 items', zeros(30_000), body(() => add('a/0'), MIB), undefined],
    ['adds in front of 1,400,000 items', zeros(1_400_000), body(() => add('a/0'), MIB), 'patch_too_much_work'],
    ['moves in 1,400,000 items', zeros(1_400_000), body(() => move('a/-', 'a/0'), MIB), 'patch_too_much_work'],
    ['adds to the end of 1,400,000 items', zeros(1_400_000), body(() => add('a/-')), undefined],
    // As members of an object rather than a map these took minutes.
    [
      'names of far numbers come and go',
      members(0, 450_000),
      body((index) => (index % 2 ? remove(`a/${4e6 + (index - 1) * 997}`) : add(`a/${4e6 + index * 997}`))),
      undefined,
    ],
    [
      'a large value goes to and fro',
      zeros(1_400_000),
      body((i) => (i % 2 ? move('a', 'b') : move('b', 'a')), MIB),
      undefined,
    ],
    [
      '40 doublings',
      '{"a":[1]}',
      `[${Array.from({ length: 40 }, () => copy('a/-', 'a')).join()}]`,
      'patch_too_much_work',
    ],
    [
      'copies of a long text',
      `{"a":"${'x'.repeat(10_000)}"}`,
      body((i) => copy(`b${i}`, 'a'), MIB),
      'patch_too_much_work',
    ],
    ['a path of 500,000 tokens', '{"a":{}}', `[${remove(`a${'/a'.repeat(500_000)}`)}]`, 'patch_not_applicable'],
  ];
  for (const [name, properties, text, refused] of rows) {
    const state: JsonObject = JSON.parse(properties);
    const start = process.cpuUsage();
    let code: string | undefined;
    try {
      applyJsonPatch(state, operationsOf(JSON.parse(text)));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      code = error.code;
    }
    t.equal(code, refused, name);
    // Of the processor, so that other work on the machine does not count.
    t.ok(process.cpuUsage(start).user < 5e6, `${name}: in seconds, not minutes`);
  }

  const copies = (length: number) =>
    patched(`{"a":"${'x'.repeat(length / 2 - 2)}"}`, `[${copy('b', 'a')},${copy('c', 'a')}]`);
  t.ok(copies(MAX_COPIED).startsWith('{'), 'copies up to the bound');
  t.equal(copies(MAX_COPIED + 2), 'patch_too_much_work /1/path', 'and no further');

  const length = 2 ** 20;
  const shifts = (count: number) =>
    patched(zeros(length), `[${Array.from({ length: count }, () => move('a/0', 'a/0')).join()}]`);
  const bound = MAX_SHIFTED / length / 2;
  t.notMatch(shifts(bound), /^patch_too_much_work/, 'shifts up to the bound');
  t.equal(shifts(bound + 1), `patch_too_much_work /${bound}/path`, 'and no further');
});

/**
 * The standard again, as naively as can be, over trees that have no names of JavaScript's in them: every operation makes a
 * new tree from lists of pairs.
 */
type Tree = { leaf: string } | { items: Tree[] } | { members: [name: string, tree: Tree][] };

function treeOf(value: Json): Tree {
  if (Array.isArray(value)) return { items: value.map(treeOf) };
  if (!isObject(value)) return { leaf: JSON.stringify(value) };
  return { members: Object.keys(value).map((name) => [name, treeOf(value[name] ?? null)]) };
}

function textOf(tree: Tree): string {
  if ('leaf' in tree) return tree.leaf;
  if ('items' in tree) return `[${tree.items.map(textOf).join()}]`;
  const members = tree.members.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${textOf(member)}`).join()}}`;
}

function found(tree: Tree, tokens: string[]): Tree | undefined {
  const [token, ...rest] = tokens;
  if (token === undefined) return tree;
  const next =
    'items' in tree
      ? tree.items.find((_, index) => String(index) === token)
      : 'members' in tree
        ? tree.members.find(([name]) => name === token)?.[1]
        : undefined;
  return next && found(next, rest);
}

function without(tree: Tree, tokens: string[]): Tree {
  const [token = '', ...rest] = tokens;
  if ('items' in tree) {
    return {
      items: tree.items.flatMap((item, index) =>
        String(index) !== token ? [item] : rest.length === 0 ? [] : [without(item, rest)],
      ),
    };
  }
  if (!('members' in tree)) return tree;
  return {
    members: tree.members.flatMap(([name, member]): [string, Tree][] =>
      name !== token ? [[name, member]] : rest.length === 0 ? [] : [[name, without(member, rest)]],
    ),
  };
}

function withAdded(tree: Tree, tokens: string[], value: Tree): Tree | undefined {
  const [token = '', ...rest] = tokens;
  if (rest.length > 0) {
    const inner = found(tree, [token]);
    const changed = inner && withAdded(inner, rest, value);
    if (!changed) return undefined;
    if ('items' in tree) return { items: tree.items.map((item, index) => (String(index) === token ? changed : item)) };
    if (!('members' in tree)) return undefined;
    return { members: tree.members.map(([name, member]) => [name, name === token ? changed : member]) };
  }
  if ('members' in tree) return { members: [...tree.members.filter(([name]) => name !== token), [token, value]] };
  if (!('items' in tree)) return undefined;
  const places = [...tree.items.map((_, index) => String(index)), String(tree.items.length)];
  const at = token === '-' ? tree.items.length : places.indexOf(token);
  return at < 0 ? undefined : { items: [...tree.items.slice(0, at), value, ...tree.items.slice(at)] };
}

type Step = { op: string; path: string[]; from: string[]; value: Json };

function naive(properties: JsonObject, steps: Step[]): string {
  let tree = treeOf(properties);
  for (const [index, { op, path, from, value }] of steps.entries()) {
    const refused = (member: string) => `patch_not_applicable /${index}/${member}`;
    const target = found(tree, path);
    const source = found(tree, from);
    if (op === 'test') {
      if (!target || textOf(target) !== textOf(treeOf(value))) return `patch_test_failed /${index}/path`;
      continue;
    }
    if ((op === 'remove' || op === 'replace') && !target) return refused('path');
    if (op === 'remove') {
      tree = without(tree, path);
      continue;
    }
    if (op === 'move' && from.length < path.length && from.every((token, at) => token === path[at]))
      return refused('path');
    if ((op === 'move' || op === 'copy') && !source) return refused('from');
    const base = op === 'move' ? without(tree, from) : op === 'replace' ? without(tree, path) : tree;
    const added = withAdded(base, path, (op === 'move' || op === 'copy' ? source : undefined) ?? treeOf(value));
    if (!added) return refused('path');
    tree = added;
  }
  return textOf(tree);
}

t.test('a naive reading of the standard gives the same', async (t) => {
  const name = fc.constantFrom('a', '__proto__', '0');
  const { value } = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 2 },
      fc.constantFrom<Json>(0, null),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.uniqueArray(fc.tuple(name, tie('value')), { maxLength: 3, selector: ([own]) => own }).map(Object.fromEntries),
    ),
  }));
  const properties = fc
    .uniqueArray(fc.tuple(name, value), { minLength: 2, maxLength: 3, selector: ([own]) => own })
    .map((entries): JsonObject => Object.fromEntries(entries));
  const token = fc.oneof(
    { weight: 6, arbitrary: name },
    fc.constantFrom('1', '2', '-', '01', 'toString', 'length', ''),
  );
  const path = fc.tuple(name, fc.array(token, { maxLength: 2 })).map(([first, rest]) => [first, ...rest]);
  const op = fc.constantFrom('add', 'add', 'replace', 'remove', 'move', 'copy', 'copy', 'test');
  const step: fc.Arbitrary<Step> = fc.record({ op, path, from: path, value });
  const said = (tokens: string[]) => `/properties${tokens.map((token) => `/${token}`).join('')}`;

  let applied = 0;
  fc.assert(
    fc.property(properties, fc.array(step, { minLength: 1, maxLength: 4 }), (before, steps) => {
      const body = steps.map(({ op, path, from, value }): JsonObject => {
        if (op === 'remove') return { op, path: said(path) };
        if (op === 'move' || op === 'copy') return { op, path: said(path), from: said(from) };
        return { op, path: said(path), value };
      });
      const run = (items: Json) => patched(JSON.stringify(before), JSON.stringify(items));
      const expected = naive(before, steps);
      if (!expected.startsWith('{')) return run(body) === expected;
      applied += 1;
      const tests = Object.entries(parsedObject(expected)).map(([own, value]) => ({
        op: 'test',
        path: said([own]),
        value,
      }));
      return run(body) === expected && run([...body, ...tests]) === expected;
    }),
    { numRuns: 3_000 },
  );
  t.ok(applied > 150, `${applied} of them can be applied`);
});
