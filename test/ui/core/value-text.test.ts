import fc from 'fast-check';
import t from 'tap';
import { cut, nameText, valueText } from '../../../src/ui/core/value-text.js';

t.test('a value in a line', async (t) => {
  const cases: [value: unknown, text: string][] = [
    [undefined, ''],
    [null, 'null'],
    [true, 'true'],
    [-0.5, '-0.5'],
    ['', '""'],
    ['Oakland', '"Oakland"'],
    ['a "b"\n\u0007', '"a \\"b\\"\\n\\u0007"'],
    [[], '[]'],
    [{}, '{}'],
    [[1, 'x', null, [true]], '[1, "x", null, [true]]'],
    [{ city: 'Oakland', zip: [1] }, '{"city": "Oakland", "zip": [1]}'],
    [JSON.parse('{"__proto__":{"a":1},"toString":2}'), '{"__proto__": {"a": 1}, "toString": 2}'],
    ['x'.repeat(38), `"${'x'.repeat(38)}"`],
    ['x'.repeat(39), `"${'x'.repeat(38)}…`],
    ['x'.repeat(5_000_000), `"${'x'.repeat(38)}…`],
    [new Array(1_000_000).fill(1), '[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,…'],
    ['a👩‍👧b', '"a👩‍👧b"'],
    // Neither is a character cut in two, nor does one turn the text around it.
    ['😀'.repeat(30), `"${'😀'.repeat(19)}…`],
    ['\u202egnp.exe\ufeff', '"\\u202egnp.exe\\ufeff"'],
    ['\u00ad\u180e\u3164\ufff9\u{e0041}❤️', '"\\u00ad\\u180e\\u3164\\ufff9\\udb40\\udc41❤️"'],
  ];
  for (const [value, text] of cases) t.equal(valueText(value), text);
  t.equal(valueText({ a: [1, 2, 3] }, 8), '{"a": […');
  let deep: unknown = 0;
  for (let n = 0; n < 100_000; n++) deep = n % 2 === 0 ? [deep] : { d: deep };
  t.equal(valueText(deep).length, 40, 'however deep');
});

t.test('the name of a property in a line', async (t) => {
  const cases: [name: string, text: string][] = [
    ['plan', 'plan'],
    ['größe_2', 'größe_2'],
    ['a.b/c-d:e', 'a.b/c-d:e'],
    ['__proto__', '__proto__'],
    ['first name', '"first name"'],
    ['-a', '"-a"'],
    ['', '""'],
    ['😀', '"😀"'],
    ['a\u202eb', '"a\\u202eb"'],
    ['plan\u3164', '"plan\\u3164"'],
    ['n'.repeat(256), `${'n'.repeat(59)}…`],
  ];
  for (const [name, text] of cases) t.equal(nameText(name), text);
});

t.test('no text is longer than it may be, and what fits is JSON', async () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.integer({ min: 2, max: 100 }), (value, most) => {
      const text = valueText(value, most);
      const whole = valueText(value, 1_000_000);
      return (
        text.length <= most &&
        JSON.stringify(JSON.parse(whole)) === JSON.stringify(value) &&
        (whole.length <= most ? text === whole : text.endsWith('…') && whole.startsWith(text.slice(0, -1)))
      );
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 2, max: 20 }), (text, most) =>
      cut(text, most).isWellFormed(),
    ),
  );
});
