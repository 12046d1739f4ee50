import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { compileErrors, validate } from '@readme/openapi-parser';
import openapiTS, { astToString } from 'openapi-typescript';
import t from 'tap';
import { parse } from 'yaml';
import { checkerOf } from '../../../src/definitions/checker.js';
import { definitionOf } from '../../../src/definitions/definition.js';
import { documentOfType, typedParts, withTypes, yamlOf } from '../../../src/http/contract/typed.js';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import { isObject } from '../../../src/temporal/json.js';
import { object } from '../../helper/service.js';

const ROOT = new URL('../../../', import.meta.url);
const SERVICE: JsonObject = object(parse(await readFile(new URL('openapi.yaml', ROOT), 'utf8')));

const defined = (type: string, schema: Json, more: JsonObject = {}, tick = 3) => ({
  type,
  tick,
  definition: definitionOf({ schema, ...more }),
});
const schemasOf = (document: JsonObject): JsonObject => object(object(document.components).schemas);

/** Every value of a name in a document, with where it stands. */
function* valuesOf(name: string, value: Json, place = '#'): Generator<[place: string, value: Json]> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, item] of Object.entries(value)) {
    if (key === name) yield [place, item];
    yield* valuesOf(name, item, `${place}/${key}`);
  }
}

/** What a pointer of a document refers to. */
const resolved = (document: JsonObject, pointer: string): Json | undefined =>
  pointer
    .slice(2)
    .split('/')
    .reduce<Json | undefined>(
      (value, name) => (isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined),
      document,
    );

const danglingIn = (document: JsonObject): string[] =>
  [...valuesOf('$ref', document)].flatMap(([place, ref]) =>
    typeof ref !== 'string' || resolved(document, ref) !== undefined ? [] : [`${place}: ${ref}`],
  );

/** A schema of a document as one that stands alone, with all that it refers to. */
function checkerIn(document: JsonObject, name: string) {
  const text = JSON.stringify({ $defs: schemasOf(document), $ref: `#/components/schemas/${name}` });
  return checkerOf(object(JSON.parse(text.replaceAll('"#/components/schemas/', '"#/$defs/'))));
}

/** Schemas of properties, with some that they take, and some that they refuse. */
const SCHEMAS: Record<string, { schema: Json; takes: Json[]; refuses: Json[] }> = {
  'parts by $defs, and one in another': {
    schema: {
      $defs: {
        Address: { properties: { zip: { $ref: '#/$defs/Zip' } }, required: ['zip'] },
        Zip: { type: 'string' },
        unused: {},
      },
      properties: {
        home: { $ref: '#/$defs/Address', description: 'home' },
        work: { $ref: '#/$defs/Address', minProperties: 2 },
      },
    },
    takes: [{}, { home: { zip: '1' } }, { work: { zip: '1', a: 1 } }],
    refuses: [{ home: { zip: 1 } }, { home: {} }, { work: { zip: '1' } }],
  },
  'a recursion': {
    schema: { type: 'object', properties: { name: { type: 'string' }, child: { $ref: '#' } }, required: ['name'] },
    takes: [{ name: 'a', child: { name: 'b' } }],
    refuses: [
      { name: 'a', child: {} },
      { name: 'a', child: { name: 'b', child: { name: 1 } } },
    ],
  },
  'what pydantic prints of a recursive model': {
    schema: {
      $defs: {
        Node: {
          type: 'object',
          properties: { next: { anyOf: [{ $ref: '#/$defs/Node' }, { type: 'null' }], default: null } },
        },
      },
      $ref: '#/$defs/Node',
    },
    takes: [{}, { next: null }, { next: { next: null } }],
    refuses: [{ next: 1 }, { next: { next: 'a' } }],
  },
  'what pydantic prints of a discriminated union': {
    schema: {
      $defs: {
        Cat: { type: 'object', properties: { kind: { const: 'cat' }, lives: { type: 'integer' } }, required: ['kind'] },
        Dog: { type: 'object', properties: { kind: { const: 'dog' } }, required: ['kind'] },
      },
      type: 'object',
      properties: {
        pet: {
          discriminator: { propertyName: 'kind', mapping: { cat: '#/$defs/Cat', dog: '#/$defs/Dog' } },
          oneOf: [{ $ref: '#/$defs/Cat' }, { $ref: '#/$defs/Dog' }],
        },
        other: { discriminator: { propertyName: 'kind', mapping: { cat: 'Cat' } }, oneOf: [{ $ref: '#/$defs/Cat' }] },
      },
    },
    takes: [{ pet: { kind: 'cat', lives: 9 } }, { pet: { kind: 'dog' } }],
    refuses: [{ pet: { kind: 'cat', lives: '9' } }, { pet: { kind: 'cow' } }],
  },
  'anchors, and a resource of its own': {
    schema: {
      $id: 'https://example.org/a/root.json',
      properties: {
        a: { $ref: '#point' },
        b: { $ref: 'other.json' },
        c: { $ref: 'other.json#/$defs/x' },
        d: { $ref: 'other.json#x' },
      },
      $defs: {
        'a point': { $anchor: 'point', type: 'number' },
        other: {
          $id: 'other.json',
          $defs: { x: { $anchor: 'x', $ref: '#y' }, y: { $anchor: 'y', type: 'string' } },
          type: 'boolean',
        },
      },
    },
    takes: [{ a: 1, b: true, c: 'c', d: 'd' }],
    refuses: [{ a: '1' }, { b: 1 }, { c: 1 }, { d: 1 }],
  },
  'a dynamic reference': {
    schema: {
      $dynamicAnchor: 'node',
      properties: { children: { type: 'array', items: { $dynamicRef: '#node' } }, value: { type: 'integer' } },
    },
    takes: [{ children: [{ value: 1, children: [] }] }],
    refuses: [{ children: [{ value: 'a' }] }, { children: [{ children: [{ value: 'a' }] }] }],
  },
  'names that are none elsewhere': {
    schema: JSON.parse(`{
      "properties": {
        "__proto__": {"type": "string"}, "constructor": {"$ref": "#/properties/a~1b"}, "a/b": {"type": "integer"}, "$ref": {"type": "boolean"},
        "a%~": {"type": "null"}, "c": {"$ref": "#/properties/a%25~0"}, "$defs": {"type": "string"}, "\u2028*/": {"type": "integer"}
      },
      "required": ["__proto__"]
    }`),
    takes: [JSON.parse('{"__proto__": "x", "constructor": 1, "a/b": 2, "$ref": true, "c": null, "$defs": "x"}')],
    refuses: [
      {},
      ...[
        '{"__proto__": 1}',
        '{"__proto__": "x", "constructor": "x"}',
        '{"__proto__": "x", "$ref": 1}',
        '{"__proto__": "x", "c": 1}',
        '{"__proto__": "x", "\u2028*/": "x"}',
      ].map((text) => JSON.parse(text)),
    ],
  },
  'parts of one name': {
    schema: {
      $defs: {
        a: { $defs: { 'x y': { type: 'string' } } },
        'x/y': { type: 'number' },
        X_Y: { type: 'boolean' },
        日本: { type: 'null' },
        x_y_2: { type: 'array' },
      },
      properties: {
        a: { $ref: '#/$defs/a/$defs/x%20y' },
        b: { $ref: '#/$defs/x~1y' },
        c: { $ref: '#/$defs/X_Y' },
        d: { $ref: '#/$defs/%E6%97%A5%E6%9C%AC' },
        e: { $ref: '#/$defs/x_y_2' },
      },
    },
    takes: [{ a: 'a', b: 1, c: true, d: null, e: [] }],
    refuses: [{ a: 1 }, { b: 'b' }, { c: 1 }, { d: 1 }, { e: 1 }],
  },
  true: { schema: true, takes: [{}, { a: 1 }], refuses: [] },
  false: { schema: false, takes: [], refuses: [{}, { a: 1 }] },
  'nothing said': { schema: {}, takes: [{}, { a: { b: [] } }], refuses: [] },
  'true and false inside': {
    schema: {
      properties: { any: true, none: false, list: { prefixItems: [true, { type: 'string' }], items: false } },
      additionalProperties: false,
      not: { properties: { any: { const: 7 } }, required: ['any'] },
    },
    takes: [{ any: 1 }, { list: [1, 'a'] }],
    refuses: [{ none: 1 }, { x: 1 }, { any: 7 }, { list: [1, 2] }, { list: [1, 'a', 3] }],
  },
  'what holds of all that is left': {
    schema: {
      type: 'object',
      allOf: [{ properties: { a: { type: 'object' } } }],
      properties: { b: { $ref: '#/$defs/b' } },
      unevaluatedProperties: false,
      $defs: { b: { type: 'object' } },
    },
    takes: [{ a: {}, b: { c: 1 } }],
    refuses: [{ c: 1 }, { a: 1 }],
  },
  'data that looks like schemas, and what nobody knows': {
    schema: {
      properties: {
        a: { enum: [{ $id: 'x' }, 'y'], examples: [{ $ref: '#/nowhere' }], default: { $ref: 'nowhere' } },
        b: { 'x-more': { a: 1 }, 'x-ref': { $ref: '#/nowhere' }, unknown: { $ref: '#/nowhere' }, type: 'string' },
      },
    },
    takes: [{ a: { $id: 'x' }, b: 'b' }],
    refuses: [{ a: 'x' }, { b: 1 }],
  },
};

/** Descriptions that would end a comment, a text or a line. */
const HOSTILE = `*/ "'\` \${x} \\ </script>\n--- \u2028\u2029\u0085\u007f\ufeff # : - {{}}`;

for (const [name, { schema, takes, refuses }] of Object.entries(SCHEMAS)) {
  t.test(`${name}: a document that is sound, and says what the definition says`, async (t) => {
    const document = documentOfType(SERVICE, defined('thing', schema, { description: HOSTILE }));
    const result = await validate(JSON.parse(JSON.stringify(document)));
    t.ok(result.valid, result.valid ? '' : compileErrors(result));
    t.same(danglingIn(document), []);
    const { schemas } = object(document.components);
    const local = ['$id', '$anchor', '$dynamicAnchor', '$dynamicRef', '$defs', '$schema'].flatMap((keyword) => [
      ...valuesOf(keyword, object(schemas)),
    ]);
    t.same(
      local.filter(([place]) => !place.endsWith('/properties') && !place.includes('/enum/')),
      [],
      'nothing that means another base',
    );
    const names = ['schemas', 'parameters', 'headers', 'responses'].flatMap((kind) =>
      Object.keys(object(object(document.components)[kind])).map((name) => `${kind}/${name}`),
    );
    t.same(
      names.filter((name) => !/^\w+\/[A-Za-z0-9._-]+$/.test(name)),
      [],
    );
    const text = JSON.stringify(document);
    t.same(
      names.filter((name) => !text.includes(`"#/components/${name}"`)),
      [],
      'all are used',
    );
    const given = checkerOf(isObject(schema) || typeof schema === 'boolean' ? schema : {});
    const told = checkerIn(document, 'ThingProperties');
    const patch = checkerIn(
      document,
      schemasOf(document).ThingPropertiesPatch ? 'ThingPropertiesPatch' : 'ThingProperties',
    );
    for (const [values, isTaken] of [
      [takes, true],
      [refuses, false],
    ] as const)
      for (const value of values.map(object)) {
        const said = encodeURI(JSON.stringify(value));
        t.equal(given.check(value).length === 0, isTaken, `the definition: ${said}`);
        t.equal(told.check(value).length === 0, isTaken, `the document: ${said}`);
        if (!isTaken || schema === false) continue;
        const removed = Object.fromEntries(Object.keys(value).map((name) => [name, null]));
        for (const change of [value, {}, removed]) t.same(patch.check(change), [], `a patch of ${said}`);
      }
    t.same(parse(yamlOf(document)), JSON.parse(JSON.stringify(document)), 'also as YAML');
  });
}

t.test(
  'a merge patch may set, remove, or change a part of what is nested; a new entity may leave out what has defaults',
  async (t) => {
    const document = documentOfType(
      SERVICE,
      defined('order', {
        type: 'object',
        properties: {
          state: { enum: ['open', 'shut'], default: 'open' },
          to: { $ref: '#/$defs/Address' },
          lines: { type: 'array', items: { $ref: '#/$defs/Line' } },
          by: { oneOf: [{ type: 'string' }, { $ref: '#/$defs/Address' }] },
        },
        required: ['state', 'to'],
        additionalProperties: false,
        $defs: {
          Address: {
            type: 'object',
            properties: { city: { type: 'string' }, zip: { type: 'string' } },
            required: ['city', 'zip'],
          },
          Line: {
            type: 'object',
            properties: { item: { type: 'string' }, n: { type: 'integer', default: 1 } },
            required: ['item', 'n'],
          },
        },
      }),
    );
    const to = { city: 'Oslo', zip: '1' };
    const cases: [schema: string, takes: JsonObject[], refuses: JsonObject[]][] = [
      [
        'OrderPropertiesPatch',
        [
          {},
          { state: null },
          { to: { zip: '2' } },
          { to: { zip: null } },
          { lines: [{ item: 'a', n: 1 }] },
          { by: { city: 'Rome' } },
          { by: 'x' },
        ],
        [{ state: 'x' }, { to: 1 }, { to: { zip: 1 } }, { lines: [{}] }, { lines: [null] }, { by: 1 }, { more: 1 }],
      ],
      [
        'OrderPropertiesToCreate',
        [{ to }, { to, state: 'shut' }, { to, lines: [{ item: 'a' }] }],
        [{}, { to, state: 'x' }, { to, lines: [{}] }],
      ],
      ['OrderProperties', [{ to, state: 'open' }], [{ to }, { to, state: 'open', lines: [{ item: 'a' }] }]],
    ];
    for (const [schema, takes, refuses] of cases) {
      const { check } = checkerIn(document, schema);
      for (const value of takes) t.same(check(value), [], `${schema}: ${JSON.stringify(value)}`);
      for (const value of refuses) t.not(check(value).length, 0, `${schema}: ${JSON.stringify(value)}`);
    }
  },
);

t.test('as of a point, what is not kept is left out, although it is required', async (t) => {
  const schema = { properties: { name: {}, seen: {} }, required: ['name', 'seen'] };
  const document = documentOfType(SERVICE, defined('user', schema, { untracked: ['seen'] }));
  t.same(checkerIn(document, 'UserPropertiesKept').check({ name: 'a' }), []);
  t.not(checkerIn(document, 'UserPropertiesKept').check({}).length, 0);
  t.match(object(schemasOf(document).User).properties, {
    properties: { $ref: '#/components/schemas/UserPropertiesKept' },
  });
  t.match(object(schemasOf(document).UserToPut).properties, {
    properties: { $ref: '#/components/schemas/UserProperties' },
  });
});

t.test('names of types stay apart, from each other and from those of the service', async (t) => {
  const types = [
    'order-item',
    'order_item',
    'orderitem',
    'order--item',
    'order-_item',
    'order_-item',
    'o-1',
    'o1',
    'a-b',
    'ab',
    'x_',
    'x-',
  ];
  const likeOurs = [
    'entity',
    'entities',
    'activity',
    'change',
    'merge',
    'problem',
    'person',
    'types',
    'versions',
    'export',
    'constructor',
  ];
  const likeOthers = [
    'person-properties',
    'person-patch',
    'person-merge',
    'person-to-create',
    'person-page',
    'entity-entity',
    'person-entity',
  ];
  const schema = {
    $defs: { Properties: {}, Entity: {} },
    properties: { a: { $ref: '#/$defs/Properties' }, b: { $ref: '#/$defs/Entity' } },
  };
  const all = [...types, ...likeOurs, ...likeOthers].map((type) => defined(type, schema));
  const parts = all.map((one) => typedParts(SERVICE, one));
  const names = parts.flatMap(({ schemas }) => schemas.map(([name]) => name));
  t.equal(
    new Set([...names, ...Object.keys(schemasOf(SERVICE))]).size,
    names.length + Object.keys(schemasOf(SERVICE)).length,
  );
  const document = withTypes(SERVICE, parts);
  const ids = [...valuesOf('operationId', document)].map(([, id]) => id);
  t.equal(new Set(ids).size, ids.length);
  t.same(
    [...names, ...ids].filter((name) => !/^[A-Za-z0-9._-]+$/.test(String(name))),
    [],
  );
  const result = await validate(JSON.parse(JSON.stringify(document)));
  t.ok(result.valid, result.valid ? '' : compileErrors(result));
  const { schemas, paths, ...rest } = { ...object(document.components), ...document };
  t.match(schemas, schemasOf(SERVICE), 'what was there stays');
  t.match(paths, object(SERVICE.paths));
  t.equal(rest.info, SERVICE.info);
  t.same(danglingIn(document), []);
  const alone = Object.fromEntries(parts[0]?.schemas ?? []);
  const beside = typedParts(SERVICE, all[0] ?? defined('x', true));
  t.same(Object.fromEntries(beside.schemas), alone, 'whatever else is defined');
});

/** Right calls, and wrong ones, each after a line that says so: tsc refuses such a line where nothing is wrong. */
const PROGRAM = `
import createClient from 'openapi-fetch';
import type { paths, components } from './person.js';
import type { paths as AllPaths } from './all.js';

export async function program() {
  const one = createClient<paths>({ baseUrl: '' });
  const all = createClient<AllPaths>({ baseUrl: '' });
  const path = { id: 'person:a' };
  const created = await one.POST('/entities', { body: { type: 'person', key: 'a', properties: { name: 'A', parent: { name: 'B', tags: [] } } } });
  const name: string | undefined = created.data?.properties.parent?.name;
  await one.PUT('/entities/{id}', { params: { path }, body: { type: 'person', properties: { name: 'A', tags: ['x'] } } });
  await one.PATCH('/entities/{id}', { params: { path }, body: { properties: { tags: null, home: { zip: '1' } } } });
  await one.PATCH('/entities/{id}', { params: { path }, body: [{ op: 'replace', path: '/properties/name', value: 'B' }] });
  const page = await one.GET('/entities', { params: { query: { type: 'person', limit: 3 } } });
  const names: string[] = page.data?.items.map(({ properties }) => properties.name) ?? [];
  const { data } = await one.GET('/entities/{id}', { params: { path } });
  const type: 'person' | undefined = data?.type;
  const kind: components['schemas']['Person.Kind'] | undefined = data?.properties.kind;
  // @ts-expect-error: a name must be a string
  await one.POST('/entities', { body: { type: 'person', properties: { name: 1 } } });
  // @ts-expect-error: a name must be given
  await one.POST('/entities', { body: { type: 'person', properties: {} } });
  // @ts-expect-error: another type
  await one.POST('/entities', { body: { type: 'dog', properties: { name: 'A' } } });
  await one.PUT('/entities/{id}', { params: { path }, body: { type: 'person', properties: { name: 'A' } } });
  // @ts-expect-error: a name must be given
  await one.PUT('/entities/{id}', { params: { path }, body: { type: 'person', properties: { tags: ['x'] } } });
  // @ts-expect-error: a tag must be a string
  await one.PATCH('/entities/{id}', { params: { path }, body: { properties: { tags: [1] } } });
  // @ts-expect-error: another type
  await one.GET('/entities', { params: { query: { type: 'dog' } } });
  // @ts-expect-error: there is no such property
  data?.properties.nickname;

  const key = { key: 'a/b' };
  const typed = await all.GET('/entities/person:{key}', { params: { path: key, query: { asOf: 3 } } });
  const old: string | undefined = typed.data?.properties.name;
  await all.PATCH('/entities/person:{key}', { params: { path: key }, body: { properties: { name: 'B', kind: null } } });
  await all.PUT('/entities/order_item:{key}', { params: { path: key }, body: { type: 'order_item', properties: { any: [1] } } });
  await all.POST('/entities', { body: { type: 'nobody-defined', properties: { any: 1 } } });
  // @ts-expect-error: a name must be a string
  await all.PATCH('/entities/person:{key}', { params: { path: key }, body: { properties: { name: 1 } } });
  // @ts-expect-error: another type
  await all.PUT('/entities/person:{key}', { params: { path: key }, body: { type: 'dog', properties: { name: 'A', tags: [] } } });
  return { name, names, type, kind, old };
}
`;

t.test('of the types that openapi-typescript makes of it, right calls compile, and wrong ones do not', async (t) => {
  const person = defined(
    'person',
    {
      type: 'object',
      description: HOSTILE,
      properties: {
        name: { type: 'string', minLength: 1, description: HOSTILE, examples: [HOSTILE] },
        tags: { type: 'array', items: { type: 'string' }, default: [] },
        parent: { $ref: '#' },
        home: { $ref: '#/$defs/Address' },
        kind: { $ref: '#/$defs/Kind' },
        [HOSTILE]: { enum: [HOSTILE] },
      },
      required: ['name', 'tags'],
      additionalProperties: false,
      $defs: {
        Address: {
          type: 'object',
          properties: { city: { type: 'string' }, zip: { type: 'string' } },
          required: ['city', 'zip'],
        },
        Kind: { type: 'string', enum: ['a', 'b'] },
      },
    },
    { description: HOSTILE },
  );
  const cache = fileURLToPath(new URL('.tap/clients/', ROOT));
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'typed-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const parts = [person, defined('order_item', true)].map((one) => typedParts(SERVICE, one));
  const one = await openapiTS(JSON.stringify(documentOfType(SERVICE, person)));
  const all = await openapiTS(yamlOf(withTypes(SERVICE, parts)));
  await writeFile(join(folder, 'person.d.ts'), astToString(one));
  await writeFile(join(folder, 'all.d.ts'), astToString(all));
  await writeFile(join(folder, 'program.ts'), PROGRAM);
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  const compilerOptions = {
    target: 'ES2023',
    module: 'NodeNext',
    noEmit: true,
    strict: true,
    noUncheckedIndexedAccess: true,
    types: ['node'],
    lib: ['ES2023', 'DOM', 'DOM.Iterable'],
  };
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['program.ts', 'person.d.ts', 'all.d.ts'] }),
  );
  const compiler = fileURLToPath(new URL('node_modules/typescript/bin/tsc', ROOT));
  const told = await promisify(execFile)(process.execPath, [compiler, '-p', folder]).then(
    () => '',
    (error: { stdout: string }) => error.stdout,
  );
  t.equal(told, '');
});
