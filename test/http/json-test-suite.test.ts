import t from 'tap';
import { object, problem, testService } from '../helper/service.js';

/*
 * JSONTestSuite ("Parsing JSON is a Minefield", N. Seriot; https://github.com/nst/JSONTestSuite), by its cases: what must be read comes back
 * as the same value, what must not is refused, and where the suite leaves it open, nothing is altered.
 */

const E = (...bytes: number[]) => Buffer.from(bytes);

/** `y_`: what every parser must read. */
const READ = [
  '[[]   ]',
  '[""]',
  '[]',
  '["a"]\n',
  '[false]',
  '[null, 1, "1", {}]',
  '[null]',
  '[1\n]',
  ' [1]',
  '[1,null,null,null,2]',
  '[2] ',
  '[123e65]',
  '[0e+1]',
  '[0e1]',
  '[ 4]',
  '[20e1]',
  '[-0]',
  '[-123]',
  '[-1]',
  '[1E22]',
  '[1E-2]',
  '[1E+2]',
  '[123e45]',
  '[123.456e78]',
  '[1e-2]',
  '[1e+2]',
  '[123]',
  '[123.456789]',
  '{"asd":"sdf", "dfg":"fgh"}',
  '{"asd":"sdf"}',
  '{}',
  '{"":0}',
  '{ "min": -1.0e+28, "max": 1.0e+28 }',
  `{"x":[{"id": "${'x'.repeat(40)}"}], "id": "${'x'.repeat(40)}"}`,
  '{"a":[]}',
  '{"title":"\\u041f\\u043e\\u043b\\u0442\\u043e\\u0440\\u0430" }',
  '{\n"a": "b"\n}',
  '["\\u0060\\u012a\\u12AB"]',
  '["\\uD801\\udc37"]',
  '["\\ud83d\\ude39\\ud83d\\udc8d"]',
  '["\\"\\\\\\/\\b\\f\\n\\r\\t"]',
  '["\\\\u0000"]',
  '["\\""]',
  '["a/*b*/c/*d//e"]',
  '["\\\\a"]',
  '["\\\\n"]',
  '["\\u0012"]',
  '["\\uFFFF"]',
  '["asd"]',
  '[ "asd"]',
  '["\\uDBFF\\uDFFF"]',
  '["new\\u00A0line"]',
  '["\u{10FFFF}"]',
  '["\uFFFF"]',
  '["\\u002c"]',
  '["π"]',
  '["\u{1BFFF}"]',
  '["asd "]',
  '" "',
  '["\\uD834\\uDd1e"]',
  '["\\u0821"]',
  '["\\u0123"]',
  '["\u2028"]',
  '["\u2029"]',
  '["\\u0061\\u30af\\u30EA\\u30b9"]',
  '["new\\u000Aline"]',
  '["\x7f"]',
  '["\\uA66D"]',
  '["\\u005C"]',
  '["⍂㈴⍂"]',
  '["\\uDBFF\\uDFFE"]',
  '["\\uD83F\\uDFFE"]',
  '["\\u200B"]',
  '["\\u2064"]',
  '["\\uFDD0"]',
  '["\\uFFFE"]',
  '["\\u0022"]',
  '["€𝄞"]',
  '["a\x7fa"]',
  'false',
  '42',
  '-0.1',
  'null',
  '"asd"',
  'true',
  '""',
  '["a"]\n',
  '[true]',
  ' [] ',
];

/** `y_`, too, but not to be kept as it is: the name or text would be lost, or has no place in PostgreSQL. It is refused, and says so. */
const NOT_KEPT: [text: string, code: string][] = [
  ['{"a":"b","a":"c"}', 'duplicate_name'],
  ['{"a":"b","a":"b"}', 'duplicate_name'],
  ['{"foo\\u0000bar": 42}', 'text_not_storable'],
  ['["\\u0000"]', 'text_not_storable'],
  [`[-0.${'0'.repeat(77)}1]`, 'accepted'],
];

/** `n_`: what no parser may read. */
const REFUSED: (string | Buffer)[] = [
  '[1 true]',
  '["": 1]',
  '[""],',
  '[,1]',
  '[1,,2]',
  '["x",,]',
  '["x"]]',
  '["",]',
  '["x"',
  '[x',
  '[3[4]]',
  '[1:2]',
  '[,]',
  '[-]',
  '[   , ""]',
  '["a",\n4\n,1,',
  '[1,]',
  '[1,,]',
  '["\x0ba"\\f]',
  '[*]',
  '[""',
  '[1,',
  '[1,\n1\n,1',
  '[{}',
  '[fals]',
  '[nul]',
  '[tru]',
  '123\0',
  '[++1234]',
  '[+1]',
  '[+Inf]',
  '[-01]',
  '[-1.0.]',
  '[-2.]',
  '[-NaN]',
  '[.-1]',
  '[.2e-3]',
  '[0.1.2]',
  '[0.3e+]',
  '[0.3e]',
  '[0.e1]',
  '[0E+]',
  '[0E]',
  '[0e+]',
  '[0e]',
  '[1.0e+]',
  '[1.0e-]',
  '[1.0e]',
  '[1 000.0]',
  '[1eE2]',
  '[2.e+3]',
  '[2.e-3]',
  '[2.e3]',
  '[9.e+]',
  '[Inf]',
  '[NaN]',
  '[１]',
  '[1+2]',
  '[0x1]',
  '[0x42]',
  '[Infinity]',
  '[0e+-1]',
  '[-123.123foo]',
  '[-Infinity]',
  '[-foo]',
  '[- 1]',
  '[-012]',
  '[-.123]',
  '[-1x]',
  '[1ea]',
  '[1.]',
  '[.123]',
  '[1.2a-3]',
  '[1.8011670033376514H-308]',
  '[012]',
  '["x", truth]',
  '{[: "x"}',
  '{"x", null}',
  '{"x"::"b"}',
  '{🇨🇭}',
  '{"a":"a" 123}',
  "{key: 'value'}",
  '{"a" b}',
  '{:"b"}',
  '{"a" "b"}',
  '{"a":',
  '{"a"',
  '{1:1}',
  '{9999E9999:1}',
  '{null:null,null:null}',
  '{"id":0,,,,,}',
  "{'a':0}",
  '{"id":0,}',
  '{"a":"b"}/**/',
  '{"a":"b"}/**//',
  '{"a":"b"}//',
  '{"a":"b"}/',
  '{"a":"b",,"c":"d"}',
  '{a: "b"}',
  '{"a":"a',
  '{ "foo" : "bar", "a" }',
  '{"a":"b"}#',
  ' ',
  '["\\uD800\\"]',
  '["\\uD800\\u"]',
  '["\\uD800\\u1"]',
  '["\\uD800\\u1x"]',
  '[é]',
  '["\\\0"]',
  '["\\x00"]',
  '["\\\\\\"]',
  '["\\\t"]',
  '["\\🌀"]',
  '["\\"]',
  '["\\u00A"]',
  '["\\uD834\\uDd"]',
  '["\\uD800\\uD800\\x"]',
  '["\\a"]',
  '["\\uqqqq"]',
  '[\\u0020"asd"]',
  '[\\n]',
  '"',
  "['single']",
  'abc',
  '["\\',
  '["a\0a"]',
  '["new\nline"]',
  '["\t"]',
  '"\\UA66D"',
  '""x',
  '['.repeat(100_000),
  '[\u2060]',
  '<.>',
  '[<null>]',
  '[1]x',
  '[1]]',
  '["asd]',
  'aå',
  '[True]',
  '1]',
  '{"x": true,',
  '[][]',
  ']',
  '[',
  '',
  '[\0]',
  '2@',
  '{}}',
  '{"":',
  '{"a":/*comment*/"b"}',
  '{"a": true} "x"',
  "['",
  '[,',
  '[{',
  '["a',
  '["a"',
  '{',
  '{]',
  '{,',
  '{[',
  '{"a',
  "{'a'",
  '["\\{["\\{["\\{["\\{',
  'é',
  '*',
  '{"a":"b"}#{}',
  '[\\u000A""]',
  '[1',
  '[ false, nul',
  '[ true, fals',
  '[ false, tru',
  '{"asd":"asd"',
  'å',
  '\u2060',
  '[\f]',
  E(0x5b, 0x61, 0xe5, 0x5d),
  E(0x5b, 0x22, 0x61, 0x22, 0x2c, 0xff, 0x5d),
  E(0xe5),
  E(0xef, 0xbb),
];

/** `i_`: what a parser may read or not. `accepted`: it comes back as the same value. */
const OPEN: [text: string | Buffer, code: string][] = [
  ['[123.456e-789]', 'number_not_exact'],
  [
    `[0.4e00669999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999969999999006]`,
    'number_not_exact',
  ],
  ['[-1e+9999]', 'number_not_exact'],
  ['[1.5e+9999]', 'number_not_exact'],
  ['[-123123e100000]', 'number_not_exact'],
  ['[123123e100000]', 'number_not_exact'],
  ['[123e-10000000]', 'number_not_exact'],
  ['[-123123123123123123123123123123]', 'number_not_exact'],
  ['[100000000000000000000]', 'accepted'],
  ['[-237462374673276894279832749832423479823246327846]', 'number_not_exact'],
  ['{"\\uDFAA":0}', 'text_not_storable'],
  ['["\\uDADA"]', 'text_not_storable'],
  ['["\\uD888\\u1234"]', 'text_not_storable'],
  ['["\\uD800\\n"]', 'text_not_storable'],
  ['["\\uDd1ea"]', 'text_not_storable'],
  ['["\\uD800\\uD800\\n"]', 'text_not_storable'],
  ['["\\ud800"]', 'text_not_storable'],
  ['["\\ud800abc"]', 'text_not_storable'],
  ['["\\uDd1e\\uD834"]', 'text_not_storable'],
  ['["\\uDFAA"]', 'text_not_storable'],
  [E(0x5b, 0x22, 0xff, 0x22, 0x5d), 'text_not_storable'],
  [E(0x5b, 0x22, 0xe6, 0x97, 0xa5, 0xd1, 0x88, 0xfa, 0x22, 0x5d), 'text_not_storable'],
  [E(0x5b, 0x22, 0xf4, 0xbf, 0xbf, 0xbf, 0x22, 0x5d), 'text_not_storable'],
  [E(0x5b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x5d), 'text_not_storable'],
  [E(0x5b, 0x22, 0xe0, 0x80, 0x80, 0x22, 0x5d), 'text_not_storable'],
  [E(0x5b, 0x22, 0xc0, 0xaf, 0x22, 0x5d), 'text_not_storable'],
  [`${'['.repeat(500)}${']'.repeat(500)}`, 'nested_too_deep'],
];

/** A case as TAP can show it. */
const nameOf = (text: string | Buffer) => encodeURI(String(text).slice(0, 60).toWellFormed());

t.test('JSONTestSuite', async (t) => {
  const { call } = await testService(t);
  const within = (text: string | Buffer) =>
    Buffer.concat([Buffer.from('{"type":"json","properties":{"v":'), Buffer.from(text), Buffer.from('}}')]);
  let n = 0;
  const put = async (text: string | Buffer) => {
    const url = `/entities/json:${n++}`;
    return { url, answer: await call('PUT', url, within(text)) };
  };
  const comesBack = async (text: string) => {
    const { url, answer } = await put(text);
    t.equal(answer.status, 201, nameOf(text));
    const { properties } = (await call('GET', url)).body;
    // The one exception: -0 is 0.
    t.same(
      object(properties).v,
      JSON.parse(text, (_, value) => (value === 0 ? 0 : value)),
      nameOf(text),
    );
  };
  const isRefused = async (text: string | Buffer, code: string) => {
    const { answer } = await put(text);
    t.match(answer, problem(400, code), nameOf(text));
  };

  for (const text of READ) await comesBack(text);
  for (const [text, code] of [...NOT_KEPT, ...OPEN]) {
    if (code === 'accepted') await comesBack(String(text));
    else await isRefused(text, code);
  }
  for (const text of REFUSED) {
    const isText = typeof text === 'string';
    for (const body of [text, within(text)]) {
      const answer = await call('PUT', `/entities/json:${n++}`, body);
      const says = nameOf(text);
      t.equal(answer.status, 400, says);
      // The brackets without end are refused at the depth that nothing may have; what is no UTF-8, before it is read.
      const codes = isText
        ? text === ''
          ? ['invalid_body', 'malformed_json']
          : ['malformed_json', 'nested_too_deep']
        : ['text_not_storable'];
      t.ok(codes.includes(String(answer.body.code)), `${says}: ${answer.body.code}`);
    }
  }
  t.ok(READ.length > 80 && REFUSED.length > 170);
  const bom = Buffer.concat([E(0xef, 0xbb, 0xbf), within('1')]);
  t.equal(
    (await call('PUT', '/entities/json:bom', bom)).status,
    201,
    'a byte order mark before the body means nothing',
  );
});
