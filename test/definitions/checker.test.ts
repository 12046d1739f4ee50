import fc from 'fast-check';
import t from 'tap';
import { checkerOf, type SchemaFault } from '../../src/definitions/checker.js';
import { isObject, type Json, type JsonObject } from '../../src/temporal/json.js';
import { Refusal } from '../../src/temporal/refusal.js';

function object(text: string): JsonObject {
  const value: Json = JSON.parse(text);
  if (!isObject(value)) throw new Error(`no object: ${text}`);
  return value;
}

/** What a check tells, or the code of its refusal. */
function told(schema: Json, properties: JsonObject): SchemaFault[] | string {
  if (typeof schema !== 'boolean' && !isObject(schema)) throw new Error('no schema');
  try {
    return checkerOf(schema).check(properties);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return error.code;
  }
}

const asLines = (faults: SchemaFault[] | string): string[] | string =>
  typeof faults === 'string'
    ? faults
    : faults.map(
        ({ path, keyword, message, ...rest }) =>
          `${path} ${keyword}: ${message}${'value' in rest ? ` (${JSON.stringify(rest.value)})` : ''}`,
      );

t.test('faults say the place, the keyword, what must be, and the value', async (t) => {
  const rows: [schema: string, properties: string, lines: string[]][] = [
    ['{"properties":{"a":{"type":"integer"}}}', '{"a":"x"}', ['/a type: must be integer ("x")']],
    ['{"properties":{"a":{"type":["integer","null"]}}}', '{"a":[1]}', ['/a type: must be integer or null']],
    ['{"properties":{"a":{"enum":["x",1,null]}}}', '{"a":"y"}', ['/a enum: must be one of "x", 1, null ("y")']],
    ['{"properties":{"a":{"const":{"b":1}}}}', '{"a":null}', ['/a const: must be {"b":1} (null)']],
    ['{"properties":{"a":{"multipleOf":0.01}}}', '{"a":0.001}', ['/a multipleOf: must be a multiple of 0.01 (0.001)']],
    ['{"properties":{"a":{"minimum":1}}}', '{"a":0}', ['/a minimum: must be at least 1 (0)']],
    ['{"properties":{"a":{"exclusiveMinimum":1}}}', '{"a":1}', ['/a exclusiveMinimum: must be greater than 1 (1)']],
    ['{"properties":{"a":{"maximum":1}}}', '{"a":2}', ['/a maximum: must be at most 1 (2)']],
    ['{"properties":{"a":{"exclusiveMaximum":1}}}', '{"a":1}', ['/a exclusiveMaximum: must be less than 1 (1)']],
    ['{"properties":{"a":{"minLength":1}}}', '{"a":""}', ['/a minLength: must have at least 1 character ("")']],
    ['{"properties":{"a":{"maxLength":2}}}', '{"a":"abc"}', ['/a maxLength: must have at most 2 characters ("abc")']],
    ['{"properties":{"a":{"pattern":"^b"}}}', '{"a":"abc"}', ['/a pattern: must match the pattern ^b ("abc")']],
    ['{"properties":{"a":{"format":"date"}}}', '{"a":"abc"}', ['/a format: must be in the format date ("abc")']],
    ['{"properties":{"a":{"minItems":2}}}', '{"a":[]}', ['/a minItems: must have at least 2 items']],
    ['{"properties":{"a":{"maxItems":0}}}', '{"a":[1]}', ['/a maxItems: must have at most 0 items']],
    ['{"properties":{"a":{"uniqueItems":true}}}', '{"a":[1,1]}', ['/a uniqueItems: must not have two equal items']],
    [
      '{"properties":{"a":{"contains":{"type":"null"}}}}',
      '{"a":[1]}',
      ['/a contains: must have at least 1 item as contains says'],
    ],
    ['{"minProperties":2}', '{"a":1}', [' minProperties: must have at least 2 properties']],
    ['{"maxProperties":1}', '{"a":1,"b":1}', [' maxProperties: must have at most 1 property']],
    ['{"required":["a","a/b~c"]}', '{}', ['/a required: is required', '/a~1b~0c required: is required']],
    ['{"properties":{"a":{"required":["b"]}}}', '{"a":{}}', ['/a/b required: is required']],
    [
      '{"dependentRequired":{"a":["b","c"]}}',
      '{"a":1}',
      ['/b dependentRequired: is required', '/c dependentRequired: is required'],
    ],
    [
      '{"additionalProperties":false}',
      '{"a/b":1,"__proto__":2}',
      [
        '/a~1b additionalProperties: is not a known property',
        '/__proto__ additionalProperties: is not a known property',
      ],
    ],
    [
      '{"properties":{"o":{"unevaluatedProperties":false}}}',
      '{"o":{"x":1}}',
      ['/o/x unevaluatedProperties: is not a known property'],
    ],
    [
      '{"properties":{"a":{"prefixItems":[true],"unevaluatedItems":false}}}',
      '{"a":[1,2]}',
      ['/a/1 unevaluatedItems: is not allowed (2)'],
    ],
    ['{"properties":{"a":{"items":false}}}', '{"a":[2]}', ['/a/0 items: is not allowed (2)']],
    ['{"properties":{"a":false}}', '{"a":1}', ['/a properties: is not allowed (1)']],
    [
      '{"propertyNames":{"maxLength":1}}',
      '{"ab":1}',
      ['/ab propertyNames: has a name that must have at most 1 character'],
    ],
    [
      '{"$defs":{"x":{"pattern":"^[a-z]$"}},"propertyNames":{"$ref":"#/$defs/x"}}',
      '{"A/b":1,"a":1}',
      ['/A~1b propertyNames: has a name that must match the pattern ^[a-z]$'],
    ],
    [
      '{"properties":{"o":{"propertyNames":false}}}',
      '{"o":{"x":{}}}',
      ['/o/x propertyNames: has a name that is not allowed'],
    ],
    [
      '{"properties":{"a":{"not":{"type":"null"}}}}',
      '{"a":null}',
      ['/a not: must not be as the schema of not says (null)'],
    ],
    [
      '{"properties":{"a":{"anyOf":[{"type":"string"},{"type":"null"}]}}}',
      '{"a":1}',
      [
        '/a type: must be string (1)',
        '/a type: must be null (1)',
        '/a anyOf: must be as at least one schema of anyOf says (1)',
      ],
    ],
    [
      '{"properties":{"a":{"oneOf":[{"minimum":1},{"minimum":2}]}}}',
      '{"a":3}',
      ['/a oneOf: must be as exactly one schema of oneOf says (3)'],
    ],
    ['{"if":{"required":["a"]},"then":{"required":["b"]}}', '{"a":1}', ['/b required: is required']],
    [
      '{"$defs":{"x":{"type":"integer"}},"properties":{"a":{"items":{"$ref":"#/$defs/x"}}}}',
      '{"a":[1,"x","y"]}',
      ['/a/1 type: must be integer ("x")', '/a/2 type: must be integer ("y")'],
    ],
    ['{"allOf":[{"required":["a"]},{"required":["a"]}]}', '{}', ['/a required: is required']],
    [
      '{"required":["c"],"properties":{"a":{"type":"string","minLength":2},"b":{"minimum":5}},"additionalProperties":false}',
      '{"a":"x","b":1,"d":1}',
      [
        '/c required: is required',
        '/a minLength: must have at least 2 characters ("x")',
        '/b minimum: must be at least 5 (1)',
        '/d additionalProperties: is not a known property',
      ],
    ],
    ['false', '{}', [' false: is not allowed']],
  ];
  for (const [schema, properties, lines] of rows)
    t.strictSame(asLines(told(JSON.parse(schema), object(properties))), lines, schema);
});

t.test('a fault repeats no large value, and a refusal not too many faults', async (t) => {
  const schema = { properties: { a: { type: 'integer' } } };
  t.strictSame(told(schema, { a: 'x'.repeat(298) }), [
    { path: '/a', keyword: 'type', message: 'must be integer', value: 'x'.repeat(298) },
  ]);
  for (const a of ['x'.repeat(299), {}, []])
    t.strictSame(told(schema, { a }), [{ path: '/a', keyword: 'type', message: 'must be integer' }]);
  const items = { properties: { a: { items: { type: 'integer' } } } };
  t.equal(told(items, { a: Array.from({ length: 5_000 }, () => 'x') }).length, 20, 'twenty of many');
  t.equal(told(items, { a: Array.from({ length: 50_000 }, () => 'x') }).length, 1, 'the first of too many');
  const long = { properties: { a: { enum: Array.from({ length: 1_000 }, (_, index) => index) } } };
  t.match(told(long, { a: 'x' }), [{ message: /^must be one of 0, 1, .{150,200}…$/ }]);
});

t.test('defaults are recorded where a new state sets nothing', async (t) => {
  const rows: [schema: string, properties: string, filled: string][] = [
    ['{}', '{"a":1}', '{"a":1}'],
    ['true', '{"a":1}', '{"a":1}'],
    ['{"properties":{"a":{"default":1},"b":{"default":null},"c":{"default":[{}]}}}', '{}', '{"a":1,"b":null,"c":[{}]}'],
    ['{"properties":{"a":{"default":1}}}', '{"a":null}', '{"a":null}'],
    ['{"properties":{"a":{"default":1}}}', '{"a":false,"b":2}', '{"a":false,"b":2}'],
    [
      '{"properties":{"__proto__":{"default":1},"constructor":{"default":2},"toString":{"default":3},"hasOwnProperty":{"default":4}}}',
      '{}',
      '{"__proto__":1,"constructor":2,"toString":3,"hasOwnProperty":4}',
    ],
    ['{"properties":{"__proto__":{"default":1}}}', '{"__proto__":0}', '{"__proto__":0}'],
    ['{"properties":{"a":{"properties":{"b":{"default":1}}}}}', '{"a":{}}', '{"a":{"b":1}}'],
    ['{"properties":{"a":{"properties":{"b":{"default":1}}}}}', '{}', '{}'],
    ['{"properties":{"a":{"default":{},"properties":{"b":{"default":1}}}}}', '{}', '{"a":{"b":1}}'],
    [
      '{"properties":{"a":{"items":{"properties":{"b":{"default":1}}}}}}',
      '{"a":[{},{"b":2},3]}',
      '{"a":[{"b":1},{"b":2},3]}',
    ],
    ['{"properties":{"a":{"prefixItems":[{"default":1},{"default":2}]}}}', '{"a":[]}', '{"a":[1,2]}'],
    ['{"properties":{"a":{"prefixItems":[{},{"default":2}]}}}', '{"a":[]}', '{"a":[]}'],
    ['{"patternProperties":{"^x":{"properties":{"b":{"default":1}}}}}', '{"x":{},"y":{}}', '{"x":{"b":1},"y":{}}'],
    [
      '{"properties":{"a":{}},"additionalProperties":{"properties":{"b":{"default":1}}}}',
      '{"a":{},"c":{}}',
      '{"a":{},"c":{"b":1}}',
    ],
    [
      '{"allOf":[{"properties":{"a":{"default":1}}},{"properties":{"a":{"default":2},"b":{"default":3}}}]}',
      '{}',
      '{"a":1,"b":3}',
    ],
    [
      '{"$defs":{"x":{"properties":{"b":{"default":1}}}},"properties":{"a":{"$ref":"#/$defs/x"}},"$ref":"#/$defs/x"}',
      '{"a":{}}',
      '{"a":{"b":1},"b":1}',
    ],
    [
      '{"dependentSchemas":{"a":{"properties":{"b":{"default":1}}},"c":{"properties":{"d":{"default":1}}}}}',
      '{"a":0}',
      '{"a":0,"b":1}',
    ],
    [
      '{"properties":{"next":{"$ref":"#"},"v":{"default":0}}}',
      '{"next":{"next":{}}}',
      '{"next":{"next":{"v":0},"v":0},"v":0}',
    ],
    [
      '{"anyOf":[{"properties":{"a":{"default":1}}}],"oneOf":[{"properties":{"b":{"default":1}}}],"not":{"required":["x"],"properties":{"c":{"default":1}}},"if":{"properties":{"d":{"default":1}}}}',
      '{}',
      '{}',
    ],
  ];
  for (const [schema, properties, expected] of rows) {
    const given = Object.freeze(object(properties));
    const { check, withDefaults } = checkerOf(object(schema === 'true' ? '{}' : schema));
    const filled = withDefaults(given);
    t.strictSame(sorted(filled), sorted(object(expected)), schema);
    t.equal(JSON.stringify(given), properties, 'what was given stays');
    t.ok(Object.getPrototypeOf(filled) === Object.prototype, 'and no prototype changes');
    t.strictSame(check(filled), []);
  }
});

/** Entries at all levels, so that names such as `__proto__` are compared. */
function sorted(value: Json): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  return Object.entries(value)
    .map(([name, item]) => [name, sorted(item)])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}

const repeated = (length: number, item: (index: number) => Json): Json[] =>
  Array.from({ length }, (_, index) => item(index));
const named = (length: number, item: (index: number) => Json): JsonObject =>
  Object.fromEntries(repeated(length, item).map((value, index) => [`p${index}`, value]));

t.test('no check is endless', async (t) => {
  const doubling: JsonObject = {
    $ref: '#/$defs/a0',
    $defs: Object.fromEntries(
      Array.from({ length: 41 }, (_, index) => [
        `a${index}`,
        index === 40
          ? { properties: { x: { default: 1 } } }
          : { allOf: [{ $ref: `#/$defs/a${index + 1}` }, { $ref: `#/$defs/a${index + 1}` }] },
      ]),
    ),
  };
  const union: JsonObject = {
    $ref: '#/$defs/n',
    $defs: {
      n: {
        anyOf: [
          { properties: { n: { $ref: '#/$defs/n' } }, required: ['a'] },
          { properties: { n: { $ref: '#/$defs/n' } }, required: ['b'] },
        ],
      },
    },
  };
  let deep: JsonObject = {};
  for (let level = 0; level < 98; level += 1) deep = { n: deep };
  const inA = (schema: Json): JsonObject => ({ properties: { a: schema } });
  const numbers = repeated(1_000_000, (index) => index);
  const text = 'ab'.repeat(4 * 2 ** 20);
  const tracked = { allOf: repeated(300, () => ({ contains: { type: 'integer' } })), unevaluatedItems: false };
  const rows: [name: string, schema: JsonObject, properties: JsonObject, refused: boolean][] = [
    ['references that double', doubling, {}, true],
    ['a union that calls itself twice', union, deep, true],
    [
      'many lengths of a long text',
      inA({ allOf: repeated(1900, (index) => ({ minLength: 5_000_000 + index })) }),
      { a: text },
      true,
    ],
    [
      'many patterns on a long text',
      inA({ allOf: repeated(150, (index) => ({ pattern: `^(?:a|b)*.{${index}}$` })) }),
      { a: text },
      true,
    ],
    [
      'a pattern of many states',
      inA({ pattern: '(a|b)*a(a|b){900}c' }),
      { a: repeated(100_000, (index) => (index % 7 > 2 ? 'a' : 'b')).join('') },
      false,
    ],
    [
      'many items that are looked for',
      inA({ allOf: repeated(900, () => ({ contains: { const: -1 } })) }),
      { a: numbers },
      false,
    ],
    ['much that is evaluated', inA(tracked), { a: numbers.slice(0, 200_000) }, true],
    ['many distinct objects', inA({ uniqueItems: true }), { a: repeated(500_000, (index) => ({ x: index })) }, true],
    [
      'many names and patterns',
      {
        patternProperties: Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`(a|b|p)*x.{${index}}`, {}])),
      },
      named(1000, () => 1),
      false,
    ],
    [
      'a large constant',
      inA({ allOf: repeated(300, () => ({ not: { const: numbers.slice(0, 100).map(String) } })) }),
      { a: numbers.slice(0, 100).map(String) },
      false,
    ],
    ['a million numbers', inA({ items: { type: 'integer', minimum: 0 } }), { a: numbers }, false],
    ['8 MiB of text', inA({ type: 'string', pattern: '^[a-z]+$', minLength: 5 }), { a: text }, false],
    [
      '300,000 objects',
      inA({
        items: {
          type: 'object',
          properties: { x: { type: 'integer' }, y: { type: 'string' } },
          required: ['x'],
          additionalProperties: false,
        },
      }),
      { a: repeated(300_000, (index) => ({ x: index, y: 'abc' })) },
      false,
    ],
    [
      'a thousand properties',
      { properties: named(1000, () => ({ type: ['string', 'null'], maxLength: 100 })), additionalProperties: false },
      named(1000, () => 'x'),
      false,
    ],
  ];
  for (const [name, schema, properties, refused] of rows) {
    const { check } = checkerOf(schema);
    const start = process.cpuUsage();
    let outcome = '';
    try {
      check(properties);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      outcome = error.code;
    }
    const { user, system } = process.cpuUsage(start);
    const took = Math.round((user + system) / 1000);
    if (refused) t.equal(outcome, 'properties_too_much_work', name);
    t.notOk(!refused && outcome, `${name} ${outcome}`);
    t.ok(took < 2_500, `${name}: ${took} ms`);
  }
  t.throws(
    () => checkerOf(doubling).withDefaults({}),
    { code: 'properties_too_much_work' },
    'defaults by references that double',
  );
  const heavy = inA({ items: { properties: { x: { default: 'x'.repeat(100_000) } } } });
  t.throws(
    () => checkerOf(heavy).withDefaults({ a: repeated(1_000, () => ({})) }),
    { code: 'properties_too_much_work' },
    'a large default for many items',
  );
  const large = checkerOf(union);
  t.throws(() => large.check(deep), { code: 'properties_too_much_work' });
  t.strictSame(large.check({ a: 1 }), [], 'and the next check has its own work to spend');
});

t.test('texts of a schema are data, wherever they stand', async (t) => {
  const odd = [
    '"',
    "'",
    '`',
    '\\',
    '\n',
    '\u2028',
    '$' + '{process.exit(9)}',
    '*/',
    '</script>',
    '"];throw 1;[',
    '__proto__',
    'constructor',
    'toString',
    '/',
    '~',
    '%',
    '#',
    '😀',
    '\0',
  ];
  const name = fc.oneof(
    fc.constantFrom(...odd),
    fc.array(fc.constantFrom(...odd), { maxLength: 3 }).map((parts) => parts.join('')),
    fc.string(),
  );
  const value = fc.oneof(name, fc.integer(), fc.constant(null), fc.boolean());
  const schemasAround = (inner: fc.Arbitrary<JsonObject>): fc.Arbitrary<JsonObject> => {
    const byName = <T>(item: fc.Arbitrary<T>) =>
      fc.array(fc.tuple(name, item), { maxLength: 2 }).map((entries) => Object.fromEntries(entries));
    const names = fc.uniqueArray(name, { maxLength: 2 });
    const known = fc.record(
      {
        properties: byName(inner),
        required: names,
        enum: fc.array(value, { maxLength: 3 }),
        const: value,
        default: value,
        title: name,
        dependentRequired: byName(names),
        dependentSchemas: byName(inner),
        additionalProperties: inner,
        unevaluatedProperties: fc.boolean(),
        propertyNames: inner,
        anyOf: fc.array(inner, { minLength: 1, maxLength: 2 }),
        if: inner,
        else: inner,
        pattern: name,
        format: name,
      },
      { requiredKeys: [] },
    );
    return fc.tuple(byName(value), known).map(([more, keywords]): JsonObject => ({ ...more, ...keywords }));
  };
  const schema = schemasAround(schemasAround(fc.constant({ type: 'string' })));
  const state = fc
    .array(
      fc.tuple(
        name,
        fc.oneof(
          value,
          fc.array(fc.tuple(name, value), { maxLength: 2 }).map((entries) => Object.fromEntries(entries)),
        ),
      ),
      { maxLength: 3 },
    )
    .map((entries): JsonObject => Object.fromEntries(entries));
  let compiled = 0;
  fc.assert(
    fc.property(schema, state, (given, properties) => {
      try {
        const { check, withDefaults } = checkerOf(given);
        compiled += 1;
        const faults = check(withDefaults(properties));
        for (const { path, message } of faults) {
          if (path !== '' && !path.startsWith('/')) throw new Error(`no pointer: ${path}`);
          if (message === '') throw new Error('no message');
        }
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
      }
    }),
    { numRuns: 300 },
  );
  t.ok(compiled > 15, `${compiled} could be compiled`); // some sixty of the three hundred, by chance
});
