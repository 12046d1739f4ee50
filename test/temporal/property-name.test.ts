import t from 'tap';
import type { JsonObject } from '../../src/temporal/json.js';
import { MAX_NAME_LENGTH } from '../../src/temporal/limits.js';
import { faultOfName, refuseBadNames } from '../../src/temporal/property-name.js';
import { frozen, only } from '../helper/rachel.js';
import { refused } from '../helper/refused.js';

const NONE = 'A property needs a name';
const DOTS = 'A property cannot be named . or ..';
const LONG = "A property's name has at most 256 characters";
const TEXT = "A property's name holds neither U+0000 nor half a surrogate pair";

const shown = (name: string) => JSON.stringify(name.slice(0, 20));

t.test('what is wrong with a name', async (t) => {
  const rows: [name: string, fault: string][] = [
    ['', NONE],
    ['.', DOTS],
    ['..', DOTS],
    ['x'.repeat(257), LONG],
    ['😀'.repeat(257), LONG],
    [`${'é'.repeat(256)}😀`, LONG],
    ['x'.repeat(100_000), LONG],
    ['\0', TEXT],
    ['a\0b', TEXT],
    ['\ud83d', TEXT],
    ['\ude00', TEXT],
    ['\ude00\ud83d', TEXT],
    ['a\ud83db', TEXT],
    [`${'x'.repeat(255)}\0`, TEXT],
  ];
  for (const [name, fault] of rows) t.equal(faultOfName(name), fault, shown(name));
});

t.test('B29 every other name is fine', async (t) => {
  t.equal(MAX_NAME_LENGTH, 256);
  const names = [
    'a',
    ' ',
    '...',
    './',
    '0',
    '-',
    '/',
    '~',
    '%2e',
    'a/b',
    '"\'`\\,;:',
    '\n',
    '\u0001',
    '😀',
    'é',
    '__proto__',
    'constructor',
    'toString',
    'vclock',
    'id',
    'x'.repeat(256),
    // 256 characters, whatever each takes in UTF-16.
    '😀'.repeat(256),
  ];
  for (const name of names) {
    t.equal(faultOfName(name), null, shown(name));
    t.doesNotThrow(() => refuseBadNames(only(name, 1)), shown(name));
  }
  t.doesNotThrow(() => refuseBadNames(Object.fromEntries(names.map((name) => [name, null]))), 'all at once');
});

t.test('only the names of properties count: members inside their values are free', async (t) => {
  t.doesNotThrow(() => refuseBadNames({}));
  t.doesNotThrow(() => refuseBadNames({ a: { '': 1, '.': [{ '..': 1 }], ['x'.repeat(257)]: 1 } }));
});

t.test('T39 a name that cannot be a property is refused with its place', async (t) => {
  const rows: [properties: JsonObject, errors: [path: string, message: string][]][] = [
    [{ '': 1 }, [['/properties/', NONE]]],
    [{ '.': 1 }, [['/properties/.', DOTS]]],
    [{ '..': 1 }, [['/properties/..', DOTS]]],
    [{ ['x'.repeat(257)]: 1 }, [[`/properties/${'x'.repeat(257)}`, LONG]]],
    [{ ['😀'.repeat(257)]: 1 }, [[`/properties/${'😀'.repeat(257)}`, LONG]]],
    [{ ['~/'.repeat(129)]: 1 }, [[`/properties/${'~0~1'.repeat(129)}`, LONG]]],
    [{ 'a\0': 1 }, [['/properties/a\0', TEXT]]],
    // Null is a value of a create and removes in a patch; no name becomes better by it.
    [{ '': null }, [['/properties/', NONE]]],
    [
      { good: 1, '..': 2, fine: { '': 3 }, '': 4 },
      [
        ['/properties/..', DOTS],
        ['/properties/', NONE],
      ],
    ],
  ];
  for (const [properties, expected] of rows) {
    const errors = expected.map(([path, message]) => ({ path, message }));
    t.strictSame(
      refused(() => refuseBadNames(frozen(properties))),
      { code: 'invalid_property_name', message: `${errors[0]?.message}.`, notes: { errors } },
      JSON.stringify(properties).slice(0, 60),
    );
  }
});
