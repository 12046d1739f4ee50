import fc from 'fast-check';
import t from 'tap';
import { characters, isObject, type Json, jsonEqual, MAX_DEPTH, pointer, readJson } from '../../src/temporal/json.js';

/** Reads a text that must be accepted. */
function accepted(text: string): Json {
  const result = readJson(text);
  if ('fault' in result) throw new Error(`${result.fault.code} at '${result.fault.path}': ${result.fault.detail}`);
  return result.value;
}

/** Reads a text that must be refused. */
function refused(text: string) {
  const result = readJson(text);
  if ('value' in result) throw new Error(`accepted: ${text.slice(0, 80)}`);
  return result.fault;
}

function codeOf(text: string): string {
  const result = readJson(text);
  return 'fault' in result ? result.fault.code : 'accepted';
}

function nested(levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels);
}

t.test('values are what JSON.parse makes of them', async (t) => {
  const texts = [
    'null',
    ' true\r\n\t',
    '"a"',
    '""',
    '[]',
    '{}',
    '{"":{"":[{}]}}',
    '[1,[2,{"a":[3]}],"4"]',
    '{"a":"\\\\","b":"\\"","c":"\\n\\t\\/"}',
    '{"a,b":"{[\\"]}","c:d":"1e400"}',
    '"\\\\ud800"',
    '"\\\\u0000"',
    '"\\u0001\\uFFFF"',
  ];
  for (const text of texts) t.same(accepted(text), JSON.parse(text), text);
  t.same(accepted('"\ufeff\u2028\u007f"'), '\ufeff\u2028\u007f');
});

t.test('names that mean something to JavaScript are data', async (t) => {
  const value = accepted('{"__proto__":{"x":1},"constructor":2,"toString":null,"hasOwnProperty":[]}');
  t.ok(isObject(value));
  t.same(Object.keys(Object(value)), ['__proto__', 'constructor', 'toString', 'hasOwnProperty']);
  t.equal(Object.getPrototypeOf(value), Object.prototype);
  t.equal(Object(value).x, undefined);
  t.equal(JSON.stringify(accepted('[{"__proto__":null}]')), '[{"__proto__":null}]');
});

t.test('numbers a double keeps exactly', async (t) => {
  const tokens = [
    '0',
    '-0',
    '-0.0',
    '1.0',
    '1.50',
    '1e2',
    '1E2',
    '1e+2',
    '1e-2',
    '100e-2',
    '0.000001',
    '0.0000001',
    '0.1',
    '-0.1',
    '0e99999999999999999999',
    '0.000e-99999999999999999999',
    '1e23',
    '123456789012345',
    '9007199254740991',
    '9007199254740992',
    '9007199254740994',
    '1.7976931348623157e308',
    '2.2250738585072014e-308',
    '5e-324',
    '-5e-324',
    `1${'0'.repeat(308)}`,
    '0.10000000000000000',
    '12345678901234567e-16',
    '1e00000000000000000000000000000000000000002',
    `1${'0'.repeat(1000)}e-1000`,
    `0.${'0'.repeat(1000)}1e1001`,
    `1e${'0'.repeat(100_000)}5`,
    `${'0.'}${'0'.repeat(100_000)}`,
  ];
  for (const token of tokens) {
    t.equal(accepted(token), Number(token), token.slice(0, 60));
    t.same(accepted(`{"a":[${token}]}`), { a: [Number(token)] });
    t.same(accepted(`[${token} ,${token}\n]`), [Number(token), Number(token)]);
  }
});

t.test('numbers a double would round', async (t) => {
  const rows: [token: string, detail: string][] = [
    ['1e400', 'the number 1e400 is larger than any that can be kept'],
    ['-1e400', 'the number -1e400 is larger than any that can be kept'],
    ['1E400', 'the number 1E400 is larger than any that can be kept'],
    ['1.7976931348623159e308', 'the number 1.7976931348623159e308 is larger than any that can be kept'],
    ['9007199254740993', 'the number 9007199254740993 would be rounded to 9007199254740992'],
    ['-9007199254740993', 'the number -9007199254740993 would be rounded to -9007199254740992'],
    ['0.10000000000000001', 'the number 0.10000000000000001 would be rounded to 0.1'],
    ['1e-400', 'the number 1e-400 would be rounded to 0'],
    ['4e-324', 'the number 4e-324 would be rounded to 5e-324'],
    ['1.0000000000000000001e0', 'the number 1.0000000000000000001e0 would be rounded to 1'],
    ['100000000000000000000001', 'the number 100000000000000000000001 would be rounded to 1.0000000000000001e+23'],
    [`1e-${'9'.repeat(400)}`, `the number 1e-${'9'.repeat(29)}… would be rounded to 0`],
    ['1'.repeat(100_000), `the number ${'1'.repeat(32)}… is larger than any that can be kept`],
    [`0.${'0'.repeat(1000)}1`, `the number 0.${'0'.repeat(30)}… would be rounded to 0`],
    [`1${'0'.repeat(100_000)}1e-100001`, `the number 1${'0'.repeat(31)}… would be rounded to 1`],
  ];
  for (const [token, detail] of rows) {
    const code = 'number_not_exact';
    t.same(refused(token), { code, path: '', detail });
    t.same(refused(` {"a":[1,{"b":${token}\n}]}`), { code, path: '/a/1/b', detail });
    t.same(refused(`[[],${token},2]`), { code, path: '/1', detail });
  }
});

t.test('text PostgreSQL cannot keep', async (t) => {
  const rows: [text: string, path: string, detail: string][] = [
    ['"\\u0000"', '', 'the string holds U+0000, which cannot be stored'],
    ['{"a":["x","a\\u0000b"]}', '/a/1', 'the string holds U+0000, which cannot be stored'],
    ['"\\n\\\\\\u0000"', '', 'the string holds U+0000, which cannot be stored'],
    ['["\\ud800"]', '/0', 'the string holds half of a surrogate pair, which cannot be stored'],
    ['["\\uDFFF\\uD800"]', '/0', 'the string holds half of a surrogate pair, which cannot be stored'],
    ['["\\ud83d\\ud83d\\ude00"]', '/0', 'the string holds half of a surrogate pair, which cannot be stored'],
    ['["ok","\ud800"]', '/1', 'the string holds half of a surrogate pair, which cannot be stored'],
    ['["ok","x\udc00\\n"]', '/1', 'the string holds half of a surrogate pair, which cannot be stored'],
    ['{"a":[{"\\u0000":1}]}', '/a/0', 'a name in this object holds U+0000, which cannot be stored'],
    ['{"a":{"b":1,"\\ud800":1}}', '/a', 'a name in this object holds half of a surrogate pair, which cannot be stored'],
    ['{"\udc00":1}', '', 'a name in this object holds half of a surrogate pair, which cannot be stored'],
  ];
  for (const [text, path, detail] of rows)
    t.same(refused(text), { code: 'text_not_storable', path, detail }, JSON.stringify(text));
  t.same(accepted('["😀","\\ud83d\\ude00","\ud83d\\ude00","\\ud83d\ude00"]'), ['😀', '😀', '😀', '😀']);
  t.same(accepted('{"😀\\ud83d\\ude00":"\\u0001"}'), { '😀😀': '\u0001' });
});

t.test('a name twice in one object', async (t) => {
  const rows: [text: string, path: string][] = [
    ['{"a":1,"a":1}', '/a'],
    ['{"a":1,"b":2,"a":3}', '/a'],
    ['{"a":1,"\\u0061":1}', '/a'],
    ['{"\\n":1,"\\u000a":1}', '/\n'],
    ['[{"x":{"~/":{"a":[{}]},"~/":0}}]', '/0/x/~0~1'],
    ['{"__proto__":1,"__proto__":2}', '/__proto__'],
    ['{"":1,"":2}', '/'],
    ['{"a":[{"b":1},{"b":1,"c":{"c":1},"b":1}]}', '/a/1/b'],
  ];
  for (const [text, path] of rows) {
    t.same(
      refused(text),
      { code: 'duplicate_name', path, detail: 'the same name is written twice in one object' },
      text,
    );
  }
  t.same(accepted('{"a":{"a":[{"a":1},{"a":"a"}]},"b":"a"}'), { a: { a: [{ a: 1 }, { a: 'a' }] }, b: 'a' });
  t.same(accepted('{"constructor":1,"Constructor":2}'), { constructor: 1, Constructor: 2 });
});

t.test('nesting', async (t) => {
  const detail = 'more than 100 levels of nesting';
  t.same(accepted(nested(MAX_DEPTH)), JSON.parse(nested(MAX_DEPTH)));
  t.same(accepted(`[${nested(99)},${nested(99)}]`), JSON.parse(`[${nested(99)},${nested(99)}]`));
  t.same(refused(nested(MAX_DEPTH + 1)), { code: 'nested_too_deep', path: '/0'.repeat(MAX_DEPTH), detail });
  const objects = `${'{"a":'.repeat(MAX_DEPTH)}{}${'}'.repeat(MAX_DEPTH)}`;
  t.same(refused(objects), { code: 'nested_too_deep', path: '/a'.repeat(MAX_DEPTH), detail });
  for (const levels of [10_000, 500_000]) t.equal(codeOf(nested(levels)), 'nested_too_deep', `${levels} levels`);
  t.equal(codeOf('['.repeat(500_000)), 'malformed_json');
  t.equal(codeOf('{"a":'.repeat(200_000)), 'malformed_json');
});

t.test('the first fault in the document is the one told', async (t) => {
  const rows: [text: string, code: string, path: string][] = [
    ['[1e400,"\\u0000"]', 'number_not_exact', '/0'],
    ['["\\u0000",1e400]', 'text_not_storable', '/0'],
    ['{"a":1,"a":1e400}', 'duplicate_name', '/a'],
    ['{"a":1e400,"a":1}', 'number_not_exact', '/a'],
    ['{"\\u0000":1,"\\u0000":1}', 'text_not_storable', ''],
    [`[${nested(100)},1e400]`, 'nested_too_deep', '/0'.repeat(100)],
    [`[1e400,${nested(100)}]`, 'number_not_exact', '/0'],
    ['[1e400,]', 'malformed_json', ''],
  ];
  for (const [text, code, path] of rows) t.match(refused(text), { code, path }, text);
});

t.test('malformed texts', async (t) => {
  const rows: [text: string, detail: string][] = [
    ['', 'the body is empty'],
    [' \r\n\t', 'the body is empty'],
    ['{', 'the text ends too early, at line 1, column 2'],
    ['{"a":1,\n ', 'the text ends too early, at line 2, column 2'],
    ['["é😀', 'the text ends too early, at line 1, column 5'],
    ['["\\', 'the text ends too early, at line 1, column 4'],
    ['["\\u00', 'the text ends too early, at line 1, column 7'],
    ['[tr', 'the text ends too early, at line 1, column 4'],
    ['[-', 'the text ends too early, at line 1, column 3'],
    ['[1.', 'the text ends too early, at line 1, column 4'],
    ['[1E', 'the text ends too early, at line 1, column 4'],
    ['[12.5e+', 'the text ends too early, at line 1, column 8'],
    ['[1.5.', "unexpected '.' at line 1, column 5, where , or ] is due"],
    ['0-', "unexpected '-' at line 1, column 2, where the end of the text is due"],
    ['hello', "unexpected 'h' at line 1, column 1, where a value is due"],
    ['trux', "unexpected 'x' at line 1, column 4"],
    ['nul]', "unexpected ']' at line 1, column 4"],
    ['{"a":1,}', "unexpected '}' at line 1, column 8, where a name is due"],
    ['[1,]', "unexpected ']' at line 1, column 4, where a value is due"],
    ['[,1]', "unexpected ',' at line 1, column 2, where a value or ] is due"],
    ['{a:1}', "unexpected 'a' at line 1, column 2, where a name or } is due"],
    ['{"a" 1}', "unexpected '1' at line 1, column 6, where : is due"],
    ['{"a":1 "b":2}', "unexpected '\"' at line 1, column 8, where , or } is due"],
    ['{"a":1]', "unexpected ']' at line 1, column 7, where , or } is due"],
    ['[1}', "unexpected '}' at line 1, column 3, where , or ] is due"],
    ['[1]\n]', "unexpected ']' at line 2, column 1, where the end of the text is due"],
    ['[01]', "unexpected '1' at line 1, column 3, where , or ] is due"],
    ['[.5]', "unexpected '.' at line 1, column 2, where a value or ] is due"],
    ['[+1]', "unexpected '+' at line 1, column 2, where a value or ] is due"],
    ['NaN', "unexpected 'N' at line 1, column 1, where a value is due"],
    ['{"a":undefined}', "unexpected 'u' at line 1, column 6, where a value is due"],
    ['"a\nb"', 'unexpected U+000A at line 1, column 3'],
    ['"\0"', 'unexpected U+0000 at line 1, column 2'],
    ['"\\x"', "unexpected 'x' at line 1, column 3"],
    ['"\\u00g0"', "unexpected 'g' at line 1, column 6"],
    ['"\\u12"', "unexpected '\"' at line 1, column 6"],
    ['\ufeff{}', 'unexpected U+FEFF at line 1, column 1, where a value is due'],
    ['\u00a0', 'unexpected U+00A0 at line 1, column 1, where a value is due'],
    ['\ud800', 'unexpected U+D800 at line 1, column 1, where a value is due'],
    ['[1]😀', "unexpected '😀' at line 1, column 4, where the end of the text is due"],
    ['// x', "unexpected '/' at line 1, column 1, where a value is due"],
  ];
  for (const [text, detail] of rows) {
    t.same(refused(text), { code: 'malformed_json', path: '', detail }, JSON.stringify(text));
  }
});

t.test('long inputs are read whole and not repeated in a detail', async (t) => {
  const long = 1_000_000;
  const texts = [
    '1'.repeat(long),
    `1e${'9'.repeat(long)}`,
    `"${'a'.repeat(long)}`,
    `"${'a'.repeat(long)}\\u0000"`,
    `${'1'.repeat(long)}.`,
    `${'1'.repeat(long)}.${'1'.repeat(long)}ex`,
    `{"${'n'.repeat(long)}":1,"${'n'.repeat(long)}":1}`,
    `[${'\n'.repeat(long)}`,
    'x'.repeat(long),
  ];
  for (const text of texts) t.ok(refused(text).detail.length < 120, refused(text).detail);
});

t.test('pointer', async (t) => {
  const rows: [tokens: (string | number)[], written: string][] = [
    [[], ''],
    [[''], '/'],
    [['a', 0, 'b'], '/a/0/b'],
    [['a/b', 'm~n', '~1', '/~/~'], '/a~1b/m~0n/~01/~1~0~1~0'],
    [['__proto__', ' ', '"', '😀'], '/__proto__/ /"/😀'],
  ];
  for (const [tokens, written] of rows) t.equal(pointer(tokens), written);
});

t.test('isObject', async (t) => {
  for (const value of [{}, { a: 1 }, Object.create(null), JSON.parse('{"__proto__":[]}')]) t.ok(isObject(value));
  for (const value of [null, undefined, [], 'a', 1, true, () => 1, new Date(), new Map(), Object.create({})]) {
    t.notOk(isObject(value));
  }
});

t.test('characters', async (t) => {
  const rows: [text: string, count: number][] = [
    ['', 0],
    ['abc', 3],
    ['é', 1],
    ['e\u0301', 2],
    ['😀', 1],
    ['a😀b😀', 4],
    ['\ud83d', 1],
    ['\ude00\ud83d', 2],
    ['\ud83d\ud83d\ude00', 2],
  ];
  for (const [text, count] of rows) t.equal(characters(text), count, JSON.stringify(text));
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => characters(text) === [...text].length));
});

t.test('jsonEqual', async (t) => {
  const proto = (value: string): Json => JSON.parse(`{"__proto__":${value}}`);
  const rows: [a: Json | undefined, b: Json | undefined, equal: boolean][] = [
    [undefined, undefined, true],
    [undefined, null, false],
    [null, null, true],
    [null, {}, false],
    [0, -0, true],
    [[-0], [0], true],
    [JSON.parse('1.0'), 1, true],
    [1, '1', false],
    [0, false, false],
    ['a', 'A', false],
    ['é', 'e\u0301', false],
    [[], [], true],
    [[], {}, false],
    [{}, [], false],
    [[1, 2], [2, 1], false],
    [[1], [1, null], false],
    [{ a: 1, b: [{ c: null }] }, { b: [{ c: null }], a: 1 }, true],
    [{ a: 1 }, { a: 1, b: 2 }, false],
    [{ a: 1, b: 2 }, { a: 1 }, false],
    [{ a: null }, { b: null }, false],
    [{ a: 1 }, { a: 2 }, false],
    [proto('{}'), {}, false],
    [proto('{}'), { a: {} }, false],
    [{ a: {} }, proto('{}'), false],
    [proto('[1]'), proto('[1]'), true],
    [proto('[1]'), proto('[2]'), false],
    [{ constructor: 1 }, { toString: 1 }, false],
    [Object.assign(Object.create(null), { a: 1 }), { a: 1 }, true],
  ];
  for (const [a, b, equal] of rows) {
    t.equal(jsonEqual(a, b), equal, `${JSON.stringify(a)} and ${JSON.stringify(b)}`);
    t.equal(jsonEqual(b, a), equal, `${JSON.stringify(b)} and ${JSON.stringify(a)}`);
  }
});

/** Any JSON value of doubles and storable text, with awkward names among the others. */
const awkwardName = fc.constantFrom('__proto__', 'constructor', 'toString', '', '/', '~', '0', 'a', 'b');
const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.integer({ min: -2, max: 2 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0')),
    fc.array(tie('json')),
    members(fc.oneof(awkwardName, fc.string()), tie('json')),
  ),
}));

/** fc.dictionary would set a prototype for the name `__proto__`; Object.fromEntries makes a member. */
function members(name: fc.Arbitrary<string>, value: fc.Arbitrary<Json>): fc.Arbitrary<Json> {
  return fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key }).map(Object.fromEntries);
}

t.test('property: what JSON.stringify writes is read back equal', async (t) => {
  fc.assert(fc.property(fc.jsonValue(), (value) => readBackEqual(JSON.stringify(value))));
  fc.assert(
    fc.property(json, fc.constantFrom(undefined, '\n', '\t', '  '), (v, space) =>
      readBackEqual(JSON.stringify(v, null, space)),
    ),
  );
  t.pass();

  function readBackEqual(text: string): boolean {
    return jsonEqual(accepted(text), JSON.parse(text));
  }
});

/** The exact value of a decimal token times 10^1500, so that every token made here is a whole number. */
function scaled(token: string): bigint {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([-+]?[0-9]+))?$/.exec(token) ?? [];
  const magnitude = BigInt(whole + fraction) * 10n ** BigInt(1500 + Number(exponent) - fraction.length);
  return sign === '-' ? -magnitude : magnitude;
}

t.test('property: a number is accepted if and only if arithmetic says it is exact', async (t) => {
  const digits = (min: number, max: number) =>
    fc.oneof(
      fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: min, maxLength: max }),
      fc.string({ unit: fc.constantFrom('0', '0', '0', '1', '9'), minLength: min, maxLength: max }),
    );
  const free = fc
    .tuple(
      fc.constantFrom('', '-'),
      digits(1, 25).map((text) => text.replace(/^0+(?=.)/, '')),
      fc.option(digits(1, 25), { nil: '' }),
      fc.option(fc.tuple(fc.constantFrom('e', 'E'), fc.constantFrom('', '+', '-'), digits(1, 3)), { nil: undefined }),
    )
    .map(
      ([sign, whole, fraction, exponent]) => sign + whole + (fraction && `.${fraction}`) + (exponent ?? []).join(''),
    );
  // Doubles as they are written by various means, and their neighbours in the last digit.
  const near = fc
    .tuple(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(
        (x: number) => String(x),
        (x: number) => x.toExponential(14),
        (x: number) => x.toExponential(15),
        (x: number) => x.toExponential(16),
        (x: number) => x.toPrecision(17),
        (x: number) => x.toPrecision(25),
        (x: number) => x.toFixed(20),
        (x: number) => BigInt(Math.trunc(x)).toString(),
        (x: number) => `${String(x).replace(/e.*/, '')}0000`,
        (x: number) => String(x).replace(/[0-9](?=e|$)/, (digit) => String((Number(digit) + 1) % 10)),
      ),
    )
    .map(([x, write]) => write(x))
    .filter((token) => /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?$/.test(token));
  const seen = { accepted: 0, refused: 0 };
  fc.assert(
    fc.property(fc.oneof(free, near), (token) => {
      const kept = Number(token);
      const exact = Number.isFinite(kept) && scaled(token) === scaled(String(kept));
      seen[exact ? 'accepted' : 'refused'] += 1;
      return codeOf(`[${token}]`) === (exact ? 'accepted' : 'number_not_exact');
    }),
    { numRuns: 5000 },
  );
  t.ok(seen.accepted > 500 && seen.refused > 500, JSON.stringify(seen));
});

t.test('property: no proper beginning of an object is JSON, and each says that it ends too early', async (t) => {
  fc.assert(
    fc.property(members(fc.string(), json), fc.constantFrom(undefined, '\n'), (value, space) => {
      const text = JSON.stringify(value, null, space);
      for (let end = 1; end < text.length; end += 1) {
        const { code, path, detail } = refused(text.slice(0, end));
        if (code !== 'malformed_json' || path !== '') return false;
        if (!detail.startsWith('the text ends too early, at line ')) return false;
      }
      return true;
    }),
  );
  t.pass();
});

t.test('property: damaged texts never throw, and are malformed exactly when JSON.parse refuses them', async (t) => {
  const piece = fc.constantFrom(
    ...'{}[]:,"\\-+.eE019 \n\0ut',
    '\\u',
    '\\ud800',
    '\ud800',
    '1e400',
    'true',
    'nul',
    '""',
    '😀',
  );
  const damaged = fc
    .tuple(
      json,
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 3 }), fc.string({ unit: piece, maxLength: 3 })), { maxLength: 3 }),
    )
    .map(([value, cuts]) => {
      let text = JSON.stringify(value);
      for (const [where, drop, put] of cuts) {
        const at = where % (text.length + 1);
        text = text.slice(0, at) + put + text.slice(at + drop);
      }
      return text;
    });
  fc.assert(
    fc.property(fc.oneof(damaged, fc.string({ unit: piece }), fc.string({ unit: 'binary' })), (text) => {
      const result = readJson(text);
      const malformed = 'fault' in result && result.fault.code === 'malformed_json';
      if ('fault' in result && result.fault.detail.length > 120) return false;
      // A wrong character must be at the place the detail names.
      const place = malformed && /^unexpected '(.+)' at line ([0-9]+), column ([0-9]+)/su.exec(result.fault.detail);
      if (place) {
        const line = text.split('\n')[Number(place[2]) - 1] ?? '';
        if ([...line][Number(place[3]) - 1] !== place[1]) return false;
      }
      return malformed === !parses(text);
    }),
    { numRuns: 5000 },
  );
  t.pass();

  function parses(text: string): boolean {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  }
});

t.test('property: a fault deep in any document is found with its path', async (t) => {
  const token = fc.oneof(fc.nat({ max: 3 }), awkwardName, fc.string());
  fc.assert(
    fc.property(
      fc.array(token, { maxLength: 20 }),
      fc.constantFrom('1e400', '"\\udc00"'),
      json,
      (tokens, bad, aside) => {
        const other = JSON.stringify(aside);
        const text = tokens.reduceRight<string>(
          (inner, step) =>
            typeof step === 'number'
              ? `[${`${other},`.repeat(step)}${inner},${other}]`
              : `{${JSON.stringify(`${step} before`)}:${other}, ${JSON.stringify(step)} : ${inner} }`,
          bad,
        );
        return refused(text).path === pointer(tokens);
      },
    ),
  );
  t.pass();
});

t.test('property: jsonEqual is reflexive, symmetric and blind to the order of members', async (t) => {
  fc.assert(fc.property(json, (a) => jsonEqual(a, a) && jsonEqual(a, JSON.parse(JSON.stringify(a)))));
  fc.assert(fc.property(json, (a) => jsonEqual(a, reversed(a)) && jsonEqual(reversed(a), a)));
  const small = fc.oneof(
    fc.constantFrom<Json>(0, -0, null, {}, []),
    members(awkwardName, fc.integer({ min: 0, max: 1 })),
  );
  fc.assert(fc.property(small, small, (a, b) => jsonEqual(a, b) === jsonEqual(b, a)));
  // Sorted members written as text are an oracle: equal values have one text, others do not.
  fc.assert(fc.property(small, small, (a, b) => jsonEqual(a, b) === (sortedText(a) === sortedText(b))));
  fc.assert(fc.property(json, json, (a, b) => jsonEqual(a, b) === (sortedText(a) === sortedText(b))));
  t.pass();

  function reversed(value: Json): Json {
    if (Array.isArray(value)) return value.map(reversed);
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([name, member]) => [name, reversed(member)]),
    );
  }

  function sortedText(value: Json): string {
    if (Array.isArray(value)) return `[${value.map(sortedText).join()}]`;
    if (!isObject(value)) return JSON.stringify(value);
    const sorted = Object.keys(value).sort();
    return `{${sorted.map((name) => `${JSON.stringify(name)}:${sortedText(value[name] ?? null)}`).join()}}`;
  }
});
