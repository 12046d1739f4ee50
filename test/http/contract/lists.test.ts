import fc from 'fast-check';
import t from 'tap';
import { itemsOf } from '../../../src/http/contract/lists.js';

t.test('items are separated by commas, and an escaped comma or backslash is part of one', async (t) => {
  const rows: [why: string, parameter: string, items: string[]][] = [
    ['one item', 'a', ['a']],
    ['many', 'a,b,c', ['a', 'b', 'c']],
    ['the same twice', 'a,a', ['a', 'a']],
    ['type:key', 'friend:rachel,country:FRA', ['friend:rachel', 'country:FRA']],
    // Nothing is trimmed, and nothing left out: what is no item there says so.
    ['spaces', ' a , b ', [' a ', ' b ']],
    ['nothing is one empty item', '', ['']],
    ['a comma is two', ',', ['', '']],
    ['empty items at the ends', ',a,', ['', 'a', '']],
    ['an empty item between', 'a,,b', ['a', '', 'b']],
    ['an escaped comma', 'a\\,b', ['a,b']],
    ['an escaped comma and one that is not', 'a\\,b,c', ['a,b', 'c']],
    ['only an escaped comma', '\\,', [',']],
    ['two of them', '\\,\\,', [',,']],
    ['an escaped comma at the end, then an empty item', 'a\\,,', ['a,', '']],
    ['an escaped backslash', 'a\\\\b', ['a\\b']],
    ['an escaped backslash before a comma', 'a\\\\,b', ['a\\', 'b']],
    ['an escaped backslash and an escaped comma', 'a\\\\\\,b', ['a\\,b']],
    ['two escaped backslashes before a comma', 'a\\\\\\\\,b', ['a\\\\', 'b']],
    ['a backslash before anything else is itself', 'a\\b\\n', ['a\\b\\n']],
    ['a backslash at the end is itself', 'a,b\\', ['a', 'b\\']],
    ['only a backslash', '\\', ['\\']],
    ['only an escaped backslash', '\\\\', ['\\']],
    ['what is percent-encoded twice stays as it is', 'a%2Cb', ['a%2Cb']],
    ['other separators', 'a;b|c\nd\te', ['a;b|c\nd\te']],
    ['quotes mean nothing', '"a,b"', ['"a', 'b"']],
    ['emoji', '😀,\\,😀', ['😀', ',😀']],
    ['half a surrogate pair', '\ud83d,\ude00', ['\ud83d', '\ude00']],
    ['names that mean something to JavaScript', '__proto__,constructor', ['__proto__', 'constructor']],
  ];
  for (const [why, parameter, items] of rows) {
    t.strictSame(itemsOf(parameter), items, why);
    t.strictSame(itemsOf([parameter]), items, `${why}: as a parameter that may be repeated`);
    t.strictSame(itemsOf([parameter, 'x', parameter]), [...items, 'x', ...items], `${why}: repeated`);
  }
});

t.test('a repeated parameter ends the item before it, even after a backslash', async (t) => {
  t.strictSame(itemsOf([]), []);
  t.strictSame(itemsOf(['', '']), ['', '']);
  t.strictSame(itemsOf(['a\\', ',b']), ['a\\', '', 'b']);
  t.strictSame(itemsOf(['a\\', '\\', 'b']), ['a\\', '\\', 'b']);
  t.strictSame(itemsOf(Object.freeze(['a,b', 'c'])), ['a', 'b', 'c']);
});

t.test('property: whatever the items are, escaped and joined they come back', async (t) => {
  const item = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(',', '\\', 'a', ' ', '\n', '😀', '\ud83d') }),
  );
  const lists = fc.array(fc.array(item, { minLength: 1, maxLength: 5 }), { maxLength: 3 });
  const written = (items: readonly string[]) => items.map((item) => item.replace(/[\\,]/g, '\\$&')).join();
  fc.assert(
    fc.property(lists, (lists) => {
      t.strictSame(itemsOf(lists.map(written)), lists.flat());
    }),
    { numRuns: 500 },
  );
});

t.test('property: any text has one item more than commas that are not escaped, and nothing else is lost', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(',', '\\', 'a', 'é') }), (text) => {
      let commas = 0;
      let escapes = 0;
      for (let at = 0; at < text.length; at += 1) {
        const isEscape = text[at] === '\\' && (text[at + 1] === ',' || text[at + 1] === '\\');
        if (isEscape) {
          escapes += 1;
          at += 1;
        } else if (text[at] === ',') commas += 1;
      }
      const items = itemsOf(text);
      return items.length === commas + 1 && items.join('').length === text.length - commas - escapes;
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

t.test('a list as long as a URL can be takes no time to speak of', async (t) => {
  const started = process.hrtime.bigint();
  for (const piece of [',', '\\', '\\,', '\\\\', 'a', 'a,']) {
    t.ok(itemsOf(piece.repeat(500_000)).length >= 1);
  }
  t.ok(process.hrtime.bigint() - started < 5_000_000_000n);
});
