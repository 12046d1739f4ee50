import { Readable } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import { linesOf } from '../../../src/http/protocol/lines.js';
import { Refusal } from '../../../src/temporal/refusal.js';

/* Lines of a stream (lines.ts): the same whatever the chunks are in which its bytes come. */

type Read = { lines: string[]; arrays: number; refused?: [code: string, line: unknown] };

async function read(chunks: readonly Buffer[], most: number): Promise<Read> {
  const found: Read = { lines: [], arrays: 0 };
  try {
    for await (const lines of linesOf(Readable.from(chunks), { most })) {
      t.ok(lines.length > 0, 'never none');
      found.lines.push(...lines);
      found.arrays++;
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    found.refused = [error.code, error.notes.members?.line];
  }
  return found;
}

const inBytes = (bytes: Buffer): Buffer[] => Array.from(bytes, (byte) => Buffer.of(byte));

const MOST = 8;
const CASES: [name: string, bytes: string | Buffer, lines: string[], refused?: Read['refused']][] = [
  ['nothing', '', []],
  ['a line', 'a\n', ['a']],
  ['the last line has no end', 'a\nb', ['a', 'b']],
  ['a blank line', '\n', ['']],
  ['blank lines', '\n\na\n\n', ['', '', 'a', '']],
  ['CRLF', 'a\r\n\r\nb\r\n', ['a', '', 'b']],
  ['a last line that ends in CR', 'a\nb\r', ['a', 'b']],
  ['CR inside of a line', 'a\rb\n', ['a\rb']],
  ['two CR', 'a\r\r\n', ['a\r']],
  ['only CR', '\r', ['']],
  ['a mark at the beginning', '\uFEFFa\nb', ['a', 'b']],
  ['a mark and nothing', '\uFEFF', []],
  ['a mark and a blank line', '\uFEFF\n', ['']],
  ['two marks', '\uFEFF\uFEFF\n', ['\uFEFF']],
  ['a mark of a later line', 'a\n\uFEFFb\n', ['a', '\uFEFFb']],
  ['half a mark', Buffer.of(0xef, 0xbb), [], ['text_not_storable', 1]],
  ['characters of two to four bytes', 'é\n€\n😀\n', ['é', '€', '😀']],
  ['U+2028 and U+0085 end no line', '\u2028\u0085\n', ['\u2028\u0085']],
  ['U+0000', 'a\0b\n', ['a\0b']],
  ['as long as may be', '12345678\n12345678', ['12345678', '12345678']],
  ['as long as may be, with CR', '12345678\r\n12345678\r', ['12345678', '12345678']],
  ['as long as may be, with a mark', '\uFEFF12345678\n', ['12345678']],
  ['bytes count', '€€é\n', ['€€é']],
  ['a byte too long', 'a\n123456789\nb', ['a'], ['body_too_large', 2]],
  ['a byte too long, because of a character', '€€€\n', [], ['body_too_large', 1]],
  ['too long without end', 'a\n\n1234567890', ['a', ''], ['body_too_large', 3]],
  ['too long by a CR that is none of its end', '12345678\rx\n', [], ['body_too_large', 1]],
  ['too long by two CR', '12345678\r\r\n', [], ['body_too_large', 1]],
  ['not UTF-8', Buffer.from('a\nb\xff\nc\n', 'latin1'), ['a'], ['text_not_storable', 2]],
  ['not UTF-8 at the end', Buffer.from('a\nb\xff', 'latin1'), ['a'], ['text_not_storable', 2]],
  ['not UTF-8 in the first line', Buffer.from('\xff\na\n', 'latin1'), [], ['text_not_storable', 1]],
  ['a character that is cut off', Buffer.from('€\n€').subarray(0, -1), ['€'], ['text_not_storable', 2]],
  ['a character across two lines', Buffer.from('\xe2\x82\n\xac\n', 'latin1'), [], ['text_not_storable', 1]],
  ['an overlong form', Buffer.from('\xc0\xaf\n', 'latin1'), [], ['text_not_storable', 1]],
  ['half of a pair', Buffer.from('\xed\xa0\x80\n', 'latin1'), [], ['text_not_storable', 1]],
  ['too long and not UTF-8', Buffer.from('\xff23456789\n', 'latin1'), [], ['body_too_large', 1]],
];

t.test('lines, however they come', async (t) => {
  for (const [name, given, lines, refused] of CASES) {
    const bytes = Buffer.from(given);
    const halves = [bytes.subarray(0, bytes.length >> 1), bytes.subarray(bytes.length >> 1)];
    for (const [form, chunks] of Object.entries({ 'in one': [bytes], halves, bytes: inBytes(bytes) })) {
      const { arrays: _, ...found } = await read(chunks, MOST);
      t.same(found, { lines, ...(refused ? { refused } : {}) }, `${name}, ${form}`);
    }
  }
});

t.test('any text in any chunks has the lines that it has as a whole', async () => {
  const piece = fc.constantFrom('\n', '\r', '\r\n', '\uFEFF', 'a', '{"a": 1}', 'é', '€', '😀', ' ', '\0');
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 40 }),
      fc.array(fc.nat(60), { maxLength: 12 }),
      async (pieces, cuts) => {
        const text = pieces.join('');
        const bytes = Buffer.from(text);
        const at = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const chunks = at.slice(1).map((end, n) => bytes.subarray(at[n], end));
        const plain = text.replace(/^\uFEFF/, '');
        const lines = plain.split('\n').map((line) => line.replace(/\r$/, ''));
        if (plain === '' || plain.endsWith('\n')) lines.pop();
        const { lines: found, refused } = await read(chunks, 1_000);
        return refused === undefined && JSON.stringify(found) === JSON.stringify(lines);
      },
    ),
  );
});

t.test('any bytes in any chunks are refused alike', async () => {
  const byte = fc.constantFrom(0x0a, 0x0d, 0x61, 0xc3, 0xa9, 0xef, 0xbb, 0xbf, 0xff);
  await fc.assert(
    fc.asyncProperty(fc.array(byte, { maxLength: 30 }), fc.nat(30), async (given, cut) => {
      const bytes = Buffer.from(given);
      const reads = await Promise.all(
        [[bytes], [bytes.subarray(0, cut), bytes.subarray(cut)], inBytes(bytes)].map((chunks) => read(chunks, 4)),
      );
      return new Set(reads.map(({ lines, refused }) => JSON.stringify([lines, refused]))).size === 1;
    }),
  );
});

t.test('lines of one chunk come in one array', async (t) => {
  t.same(await read([Buffer.from('a\nb\nc'), Buffer.from('d\ne\n')], 9), { lines: ['a', 'b', 'cd', 'e'], arrays: 2 });
});

t.test('of a line that is too long no more is read', async (t) => {
  let read = 0;
  const endless = Readable.from(
    (function* () {
      for (; read < 10_000; read++) yield Buffer.alloc(2 ** 16, 'x');
    })(),
  );
  const lines = linesOf(endless, { most: 2 ** 20 });
  await t.rejects(lines.next(), { code: 'body_too_large', message: 'Line 1 has more than 1048576 bytes' });
  t.ok(read < 30, `after ${read} chunks`);
});

t.test('lines end when they are told to, also while none comes, and without the one that has begun', async (t) => {
  for (const isEarly of [false, true]) {
    const told = new AbortController();
    const endless = new Readable({ read() {} });
    endless.push('a\nb');
    const lines = linesOf(endless, { most: 9, until: told.signal });
    if (isEarly) told.abort();
    else t.same((await lines.next()).value, ['a']);
    const next = lines.next();
    told.abort();
    t.same(await next, { value: undefined, done: true });
    t.ok(endless.destroyed || isEarly);
  }
});

t.test('a stream that breaks says so, and one that is left is over', async (t) => {
  const broken = new Readable({ read() {} });
  broken.push('a\nb');
  const lines = linesOf(broken, { most: 9 });
  t.same((await lines.next()).value, ['a']);
  broken.destroy(new Error('broken'));
  await t.rejects(lines.next(), { message: 'broken' });

  const left = Readable.from([Buffer.from('a\n'), Buffer.from('b\n')]);
  for await (const _ of linesOf(left, { most: 9 })) break;
  t.ok(left.destroyed);
});
