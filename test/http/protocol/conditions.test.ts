import fc from 'fast-check';
import t from 'tap';
import {
  etagOf,
  ifMatchOf,
  ifNoneMatchOf,
  isNotModified as isConditionMet,
} from '../../../src/http/protocol/conditions.js';
import { Refusal } from '../../../src/temporal/refusal.js';
import { refused } from '../../helper/refused.js';

const isNotModified = (etag: string, ifNoneMatch: string | undefined) =>
  isConditionMet(etag, { 'if-none-match': ifNoneMatch });

t.test('the tag of a tick is strong, and both conditions read it back', async (t) => {
  const rows: [tick: number, etag: string][] = [
    [1, '"1"'],
    [42, '"42"'],
    [2 ** 31 - 1, '"2147483647"'],
  ];
  for (const [tick, etag] of rows) {
    t.equal(etagOf(tick), etag);
    t.strictSame(ifMatchOf(etag), { ticks: [tick] });
    t.strictSame(ifNoneMatchOf(etag), { ticks: [tick] });
    t.ok(isNotModified(etag, etag));
  }
});

t.test('without the header there is no condition', async (t) => {
  t.equal(ifMatchOf(undefined), null);
  t.equal(ifNoneMatchOf(undefined), null);
  t.notOk(isNotModified('"1"', undefined));
});

t.test('* names any state', async (t) => {
  for (const header of ['*', ' *', '* ', '\t*\t']) {
    t.strictSame(ifMatchOf(header), { any: true }, JSON.stringify(header));
    t.strictSame(ifNoneMatchOf(header), { any: true }, JSON.stringify(header));
    t.ok(isNotModified('"1"', header));
    t.ok(isNotModified('"W3cbqSxwVuTzUvwYTl3xTA"', header));
  }
});

t.test('If-Match compares strongly, If-None-Match weakly; tags that we never gave match nothing', async (t) => {
  const rows: [why: string, header: string, strong: number[], weak: number[]][] = [
    ['one', '"3"', [3], [3]],
    ['a list', '"1", "2", "3"', [1, 2, 3], [1, 2, 3]],
    ['without spaces', '"1","2"', [1, 2], [1, 2]],
    ['with many', '  "1" \t,  "2"  ', [1, 2], [1, 2]],
    ['the same twice', '"3", "3"', [3, 3], [3, 3]],
    // RFC 9110 section 5.6.1.2: empty elements mean nothing, and are no reason to refuse.
    ['an empty element at the end', '"3",', [3], [3]],
    ['an empty element at the start', ', "3"', [3], [3]],
    ['empty elements all over', ' ,, "1" , ,,"2",\t, ', [1, 2], [1, 2]],
    // RFC 9110 section 8.8.3.2: a weak tag is never strongly equal, not even to itself.
    ['a weak one', 'W/"3"', [], [3]],
    ['strong and weak', '"1", W/"2", "3"', [1, 3], [1, 2, 3]],
    ['the same strong and weak', 'W/"3", "3"', [3], [3, 3]],
    ['W inside the quotes', '"W/3"', [], []],
    ['empty', '""', [], []],
    ['tick 0', '"0"', [], []],
    ['leading zeros', '"03", "00"', [], []],
    ['signs', '"-3", "+3"', [], []],
    ['other ways to write a number', '"3.0", "3e0", "0x3", "1_000", "3a"', [], []],
    ['of a list of entities', '"W3cbqSxwVuTzUvwYTl3xTA"', [], []],
    ['of something else beside ours', '"abc", "3"', [3], [3]],
    ['a comma in a tag', '"1,2", "3"', [3], [3]],
    ['what looks like a list in a tag', '"1,W/", "3"', [3], [3]],
    ['a backslash escapes nothing', '"3\\", "4"', [4], [4]],
    ['any visible character', '"!#$%&\'()*+-./:;<=>?@[]^_`{|}~", "3"', [3], [3]],
    // Node gives the octets of a header as Latin-1.
    ['octets beyond ASCII', '"\x80\xff", "3"', [3], [3]],
    // No clock gets there, so it is at none of these ticks, however they are rounded.
    ['beyond every clock', '"2147483648"', [2 ** 31], [2 ** 31]],
    ['more than a double keeps', '"9007199254740993"', [2 ** 53], [2 ** 53]],
    ['more than a double reaches', `"${'9'.repeat(400)}"`, [Number.POSITIVE_INFINITY], [Number.POSITIVE_INFINITY]],
  ];
  for (const [why, header, strong, weak] of rows) {
    t.strictSame(ifMatchOf(header), { ticks: strong }, why);
    t.strictSame(ifNoneMatchOf(header), { ticks: weak }, why);
  }
});

t.test('what is neither * nor a list of tags is refused by the name of its header', async (t) => {
  const rows: [why: string, header: string][] = [
    ['empty', ''],
    ['a space', ' '],
    ['no quotes', '3'],
    ['single quotes', "'3'"],
    ['half the quotes', '"3'],
    ['the other half', '3"'],
    ['a quote too many', '"3""'],
    ['a quote inside', '"3"4"'],
    ['no comma between', '"1" "2"'],
    ['another separator', '"1"; "2"'],
    ['* in a list', '*, "3"'],
    ['* at its end', '"3", *'],
    ['* twice', '**'],
    ['* in quotes and out', '"*"*'],
    ['a small w', 'w/"3"'],
    ['a space after W/', 'W/ "3"'],
    ['W without /', 'W"3"'],
    ['W/ alone', 'W/'],
    ['a weak *', 'W/*'],
    ['a space in a tag', '"3 4"'],
    ['a control character', '"3\x7f"'],
    ['a tab in a tag', '"3\t"'],
    ['beyond an octet', '"\u0100"'],
    ['emoji', '"😀"'],
    ['words', 'latest'],
    ['a list of none', ','],
  ];
  const message = 'is * or a list of entity tags, such as "3"';
  for (const [why, header] of rows) {
    const readers: [path: string, read: () => unknown][] = [
      ['If-Match', () => ifMatchOf(header)],
      ['If-None-Match', () => ifNoneMatchOf(header)],
      ['If-None-Match', () => isNotModified('"3"', header)],
    ];
    for (const [path, read] of readers) {
      t.strictSame(
        refused(read),
        { code: 'invalid_condition', message: `${path} ${message}.`, notes: { errors: [{ path, message }] } },
        `${path}: ${why}`,
      );
    }
  }
});

t.test("a read's If-None-Match knows the tag if the list names it, weak or strong", async (t) => {
  const list = '"W3cbqSxwVuTzUvwYTl3xTA"';
  const rows: [why: string, etag: string, header: string, known: boolean][] = [
    ['the same', '"3"', '"3"', true],
    ['weakly the same, as a proxy that compresses makes it', '"3"', 'W/"3"', true],
    ['first of a list', '"3"', '"3", "4"', true],
    ['last of a list', '"3"', '"1", W/"2", "3"', true],
    ['another', '"3"', '"4"', false],
    ['not in the list', '"3"', '"1", "2", W/"4"', false],
    ['its beginning', '"3"', '"33"', false],
    ['its end', '"33"', '"3"', false],
    ['the same number', '"3"', '"03"', false],
    ['part of a tag with commas', '"3"', '"2,3"', false],
    ['empty', '"3"', '""', false],
    ['the tag of a list of entities', list, list, true],
    ['the same, weak', list, `"3", W/${list}`, true],
    ['in other case', list, list.toLowerCase(), false],
  ];
  for (const [why, etag, header, known] of rows) t.equal(isNotModified(etag, header), known, why);
});

t.test("a read's If-Match comes first, and compares strongly", async (t) => {
  const rows: [why: string, ifMatch: string, ifNoneMatch: string | undefined, outcome: boolean | string][] = [
    ['the same', '"3"', undefined, false],
    ['one of a list', '"1", "3"', undefined, false],
    ['any', '*', undefined, false],
    ['any, and known', '*', '"3"', true],
    ['the same, and known', '"3"', '"3"', true],
    ['another', '"4"', undefined, 'precondition_failed'],
    ['another, and known', '"4"', '"3"', 'precondition_failed'],
    ['weakly the same', 'W/"3"', undefined, 'precondition_failed'],
    ['no tag', '3', undefined, 'invalid_condition'],
    ['empty', '', undefined, 'invalid_condition'],
    ['the same, and no tag', '"3"', '3', 'invalid_condition'],
    ['another, and no tag', '"4"', '3', 'invalid_condition'],
  ];
  for (const [why, ifMatch, ifNoneMatch, outcome] of rows) {
    const ask = () => isConditionMet('"3"', { 'if-match': ifMatch, 'if-none-match': ifNoneMatch });
    if (typeof outcome === 'string') t.equal(refused(ask).code, outcome, why);
    else t.equal(ask(), outcome, why);
  }
});

t.test('property: any list of tags is read, and any text is read or refused', async (t) => {
  const tag = fc.record({
    weak: fc.boolean(),
    tick: fc.oneof(fc.integer({ min: 1, max: 2 ** 31 - 1 }), fc.constant(null)),
    space: fc.constantFrom('', ' ', '  ', '\t'),
  });
  fc.assert(
    fc.property(fc.array(tag, { minLength: 1 }), (tags) => {
      const header = tags.map(({ weak, tick, space }) => `${space}${weak ? 'W/' : ''}"${tick ?? 'x'}"${space}`).join();
      const ticks = (of: typeof tags) => of.flatMap(({ tick }) => tick ?? []);
      t.strictSame(ifNoneMatchOf(header), { ticks: ticks(tags) });
      t.strictSame(ifMatchOf(header), { ticks: ticks(tags.filter(({ weak }) => !weak)) });
      t.equal(
        isNotModified('"3"', header),
        tags.some(({ tick }) => tick === 3),
      );
    }),
  );
  const seen = { read: 0, refused: 0 };
  const piece = fc.constantFrom('"3"', '"3",', 'W/"3"', ', ', ' ', '*', '"', 'W/', '3', '\0', '\ud83d');
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: piece, maxLength: 4 }), fc.string({ unit: 'binary' })), (text) => {
      const read = [() => ifMatchOf(text), () => ifNoneMatchOf(text), () => isNotModified('"3"', text)].map((read) => {
        try {
          read();
          return true;
        } catch (error) {
          if (error instanceof Refusal && error.code === 'invalid_condition') return false;
          throw error;
        }
      });
      seen[read[0] ? 'read' : 'refused'] += 1;
      return new Set(read).size === 1;
    }),
    { numRuns: 3000 },
  );
  t.ok(Math.min(seen.read, seen.refused) > 100, JSON.stringify(seen));
});

t.test('a header as long as Node takes is read or refused in no time to speak of', async (t) => {
  const started = process.hrtime.bigint();
  const long = 100_000;
  t.equal(refused(() => ifMatchOf(`"3"${' '.repeat(long)}x`)).code, 'invalid_condition');
  t.equal(refused(() => ifMatchOf(`${' '.repeat(long)}x`)).code, 'invalid_condition');
  t.equal(refused(() => ifMatchOf(`${'"3" ,  '.repeat(long)}x`)).code, 'invalid_condition');
  t.equal(refused(() => ifMatchOf(`"${'3'.repeat(long)}`)).code, 'invalid_condition');
  t.equal(refused(() => ifMatchOf(`"3"${' ,'.repeat(long)}x`)).code, 'invalid_condition');
  t.equal(refused(() => ifMatchOf(`${'"3", , '.repeat(long)}x`)).code, 'invalid_condition');
  t.equal(refused(() => ifMatchOf(','.repeat(long))).code, 'invalid_condition');
  t.equal(refused(() => ifMatchOf('"3" '.repeat(long))).code, 'invalid_condition');
  t.ok(isNotModified('"3"', `${'"4",'.repeat(long)}"3"`));
  t.ok(process.hrtime.bigint() - started < 5_000_000_000n);
});
