import fc from 'fast-check';
import t from 'tap';
import { parseQuery } from '../../../src/http/protocol/query.js';

t.test('an item may hold any character that is percent-encoded; a comma that is not separates items', async (t) => {
  const rows: [why: string, query: string, ids: string | string[]][] = [
    ['one item', 'ids=a', 'a'],
    ['one each', 'ids=a&ids=b', ['a', 'b']],
    ['a comma', 'ids=a,b', ['a', 'b']],
    ['an encoded comma', 'ids=a%2Cb', 'a,b'],
    ['an encoded comma in small letters', 'ids=a%2cb', 'a,b'],
    ['both', 'ids=a%2Cb,c', ['a,b', 'c']],
    ['all of it', 'ids=a,b&type=x&ids=c%2Cd', ['a', 'b', 'c,d']],
    ['nothing', 'ids=', ''],
    ['nothing on both sides', 'ids=,', ['', '']],
    ['nothing at the end', 'ids=a,', ['a', '']],
    ['nothing is trimmed', 'ids=+a+,b', [' a ', 'b']],
    ['a backslash is itself', 'ids=a%5C%2Cb%5C', 'a\\,b\\'],
    ['no item is looked at twice', 'ids=a%252Cb', 'a%2Cb'],
    ['ampersands and equals', 'ids=a%26ids%3Db,c=d', ['a&ids=b', 'c=d']],
    ['names that mean something to JavaScript', 'ids=__proto__,constructor', ['__proto__', 'constructor']],
  ];
  for (const [why, query, ids] of rows) {
    t.strictSame(parseQuery(query).ids, ids, why);
    t.strictSame(parseQuery(`limit=1&${query}`).ids, ids, `${why}: behind another`);
  }
  for (const name of ['ids', 'fields', 'include', 'property', 'at'])
    t.strictSame(parseQuery(`${name}=a,b`)[name], ['a', 'b']);
  t.equal(parseQuery('where={"a":1,"b":2}').where, '{"a":1,"b":2}', 'no other parameter is a list');
  t.equal(parseQuery('changedBetween=a,b').changedBetween, 'a,b');
  t.strictSame(Object.keys(parseQuery(Array.from({ length: 2_000 }, (_, n) => `p${n}=`).join('&'))).length, 2_000);
});

t.test('property: what a client encodes comes back', async (t) => {
  const item = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: fc.constantFrom(',', '\\', 'a', ' ', '+', '&', '=', '%', '#', '\n', '😀') }),
  );
  fc.assert(
    fc.property(fc.array(item, { minLength: 2, maxLength: 5 }), (items) => {
      const query = new URLSearchParams(items.map((one): [string, string] => ['fields', one])).toString();
      t.strictSame(parseQuery(query).fields, items, 'as forms are encoded');
      const joined = items.map((one) => `fields=${encodeURIComponent(one)}`).join('&');
      t.strictSame(parseQuery(joined).fields, items, 'as URLs are');
      t.strictSame(parseQuery(`fields=${items.map(encodeURIComponent).join(',')}`).fields, items, 'and by hand');
    }),
    { numRuns: 300 },
  );
});
