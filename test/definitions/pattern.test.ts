import fc from 'fast-check';
import t from 'tap';
import { z } from 'zod';
import { matcherOf, PatternFault } from '../../src/definitions/pattern.js';

/** Whether a pattern matches, with the work that it takes. */
function run(pattern: string, text: string): { matches: boolean; work: number } {
  let work = 0;
  const matches = matcherOf(pattern).test(text, (units) => {
    work += units;
  });
  return { matches, work };
}

/** A text as the names of tests show it: some characters break lines of TAP. */
const shown = (text: string): string =>
  JSON.stringify(text).replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16)}`);

const refused = (pattern: string): string => {
  try {
    matcherOf(pattern);
    return '';
  } catch (error) {
    if (!(error instanceof PatternFault)) throw error;
    return error.message;
  }
};

t.test('patterns mean what ECMA-262 says with the flag u', async (t) => {
  const rows: [pattern: string, matching: string[], others: string[]][] = [
    ['', ['', 'x'], []],
    ['b', ['b', 'abc'], ['', 'B']],
    ['^b', ['b', 'bc'], ['ab', '\nb']],
    ['b$', ['b', 'ab'], ['ba', 'b\n']],
    ['^(?:b|cd)$', ['b', 'cd'], ['bcd', '']],
    ['^b|c$', ['bx', 'xc'], ['xb', 'cx']],
    ['^.$', ['a', '😀', '\u0085', '\t'], ['', 'ab', '\n', '\r', '\u2028', '\u2029']],
    ['^[^]$', ['a', '\n', '😀'], ['']],
    ['[]', [], ['', 'a']],
    ['^[^a-c]$', ['d', '😀', '\n'], ['a', 'b', 'c', 'dd']],
    ['^\\d$', ['0', '9'], ['٣', 'a']],
    ['^\\D$', ['٣', 'a'], ['0']],
    ['^\\w$', ['a', 'Z', '_', '7'], ['é', '-', 'ſ', '\u212a']],
    ['^\\W$', ['é', 'ſ', '\u212a'], ['a']],
    ['^\\s$', ['\u000b', '\u00a0', '\ufeff', '\u2029', '\u2003', '\u3000'], ['\u0085', '\u200b', '\u180e']],
    ['^\\S$', ['\u0085', '\u200b'], ['\u00a0', ' ']],
    ['\\bé', ['aé'], ['é', ' é']],
    ['a\\B', ['ab'], ['a', 'aé']],
    ['^\\p{Letter}+$', ['Ωmega', '汉'], ['a1', '']],
    ['^\\P{Lu}$', ['a', '1'], ['A', 'Ω']],
    ['^\\p{Script=Greek}$', ['Ω'], ['O']],
    ['^[\\p{Lu}\\d]$', ['Ω', '1'], ['a']],
    ['^\\p{Emoji_Presentation}$', ['😀'], ['a']],
    ['^\\u{1F600}$', ['😀'], ['\ude00']],
    ['^\\ud83d\\ude00$', ['😀'], ['😁']],
    ['^\\cJ\\x41\\0?$', ['\nA'], ['JA']],
    ['^[\\b\\-]$', ['\b', '-'], ['b']],
    ['^a{2}$', ['aa'], ['a', 'aaa']],
    ['^a{2,}$', ['aa', 'aaaa'], ['a']],
    ['^a{2,3}?b*?$', ['aa', 'aaab'], ['a', 'aaaa']],
    ['^(?:a?){3}$', ['', 'aaa'], ['aaaa']],
    ['^(?:a*)*b$', ['b', 'aab'], ['a']],
    ['^(?<year>\\d{4})$', ['2016'], ['16']],
    ['^\\/\\.\\$\\^\\|\\(\\)\\[\\]\\{\\}\\*\\+\\?\\\\$', ['/.$^|()[]{}*+?\\'], ['/']],
    ['^a{1000}$', ['a'.repeat(1000)], ['a'.repeat(999), 'a'.repeat(1001)]],
    ['^(?=.*\\d)(?=.*[a-z])(?!.*\\s).{8,}$', ['abcdefg1'], ['abcdefgh', '1234567', 'abcdef 1']],
    ['a(?=b)', ['ab'], ['a', 'ac']],
    ['a(?!b)', ['a', 'ac', 'aba'], ['ab']],
    ['(?<=a)b', ['ab'], ['b', 'cb']],
    ['(?<!a)b', ['b', 'cb'], ['ab']],
    ['(?<=^a+)b$', ['aab'], ['b', 'cab']],
    ['^(?:(?!--)[a-z-])+$', ['a-b'], ['a--b']],
    ['(?=(?=a)[a-c]b)[^b]b', ['ab'], ['cb', 'bb']],
    ['^(?!.*(?<!x)y)', ['xy', ''], ['y', 'xyy']],
    ['^(?:(?=a)[ab]){3}$', ['aaa'], ['aba']],
  ];
  for (const [pattern, matching, others] of rows) {
    for (const text of matching) t.ok(run(pattern, text).matches, `${pattern} matches ${shown(text)}`);
    for (const text of others) t.notOk(run(pattern, text).matches, `${pattern} does not match ${shown(text)}`);
    const native = new RegExp(pattern, 'u');
    for (const text of [...matching, ...others])
      t.equal(native.test(text), matching.includes(text), `${pattern} in V8`);
  }
});

t.test('what cannot be matched in linear time, or is none, is refused by name', async (t) => {
  const rows: [pattern: string, refused: RegExp][] = [
    ['(a)\\1', /has a back-reference, \\1/],
    ['(?<x>a)\\k<x>', /has a back-reference, \\k<x>/],
    ['(?i:a)', /has modifiers, \(\?i:a\), which are not supported/],
    ['(', /is no regular expression .*: Unterminated group, at character 2/],
    ['a**', /is no regular expression/],
    ['\\-', /is no regular expression .*: Invalid escape/],
    ['\\a', /is no regular expression/],
    ['\\p{Nonsense}', /is no regular expression/],
    ['{', /is no regular expression/],
    ['a{3000}b', /is too large: written out/],
    ['((a{100}){100}){100}', /is too large: written out/],
    ['(?:.{0,999}x){9}', /is too large: written out/],
    ['a'.repeat(5000), /is longer than 4096 characters/],
    ['('.repeat(2000) + ')'.repeat(2000), /groups within groups/],
    ['(?=a)(?=b)(?=c)(?=d)(?=e)', /more than 4 look-arounds/],
    ['(?=(?=(?=(?=(?=a)))))', /more than 4 look-arounds/],
  ];
  for (const [pattern, expected] of rows) t.match(refused(pattern), expected, pattern.slice(0, 50));
});

/** Texts and patterns over few characters, so that many of them match. */
const atom = fc.constantFrom(
  'a',
  'b',
  'ab',
  '.',
  '\\w',
  '\\W',
  '\\s',
  '\\d',
  '[ab]',
  '[^a]',
  '[^]',
  '😀',
  'é',
  '\\p{L}',
  '\\P{L}',
  '\\n',
);
const assertion = fc.constantFrom('^', '$', '\\b', '\\B');
const { pattern } = fc.letrec<{ pattern: string; piece: string; sequence: string }>((tie) => ({
  piece: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    atom,
    assertion,
    fc.tuple(atom, fc.constantFrom('*', '+', '?', '*?', '{2}', '{1,2}', '{2,}', '{0}')).map((parts) => parts.join('')),
    fc
      .tuple(tie('pattern'), fc.constantFrom('', '*', '+', '?', '{2}', '{0,2}?'))
      .map(([of, times]) => `(?:${of})${times}`),
    fc.tuple(fc.constantFrom('?=', '?!', '?<=', '?<!'), tie('pattern')).map(([kind, of]) => `(${kind}${of})`),
  ),
  sequence: fc.array(tie('piece'), { maxLength: 4 }).map((pieces) => pieces.join('')),
  pattern: fc.array(tie('sequence'), { minLength: 1, maxLength: 3 }).map((sequences) => sequences.join('|')),
}));
const text = fc
  .array(fc.constantFrom('a', 'b', '1', ' ', '\n', 'é', '😀', '_'), { maxLength: 8 })
  .map((parts) => parts.join(''));

t.test('as V8 does, whatever the pattern and the text', async (t) => {
  let matched = 0;
  const property = fc.property(pattern, fc.array(text, { minLength: 5, maxLength: 5 }), (source, texts) => {
    if (refused(source) !== '') return;
    const native = new RegExp(source, 'u');
    const matcher = matcherOf(source);
    for (const each of texts) {
      // V8 looks for an empty match between the halves of a pair, too; ECMA-262 does not (section 22.2.7.2).
      if (each.includes('😀') && /[$^(\\]/.test(source)) continue;
      const expected = native.test(each);
      if (matcher.test(each, () => undefined) !== expected)
        throw new Error(`${source} on ${JSON.stringify(each)}: not ${expected}`);
      if (expected) matched += 1;
    }
  });
  fc.assert(property, { numRuns: Number(process.env.PATTERN_RUNS ?? 500) });
  t.ok(matched > 100, 'and many match');
});

t.test('the work grows with the text, whatever the pattern', async (t) => {
  const bits = (length: number): string => {
    let state = 1;
    return Array.from({ length }, () => {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      return state > 2 ** 30 ? 'a' : 'b';
    }).join('');
  };
  const rows = [
    '^(a+)+$',
    '^(a|a)*$',
    '(a*)*c',
    '^(?:a?){30}a{30}$',
    '(a|b)*a(a|b){12}$',
    '(?:.*a){12}c',
    '^(?=(a+)+$)(?!.*(b|a)*c)',
  ];
  for (const source of rows) {
    const [short, long] = [1_000, 8_000].map((length) => run(source, bits(length)).work);
    t.ok(short !== undefined && long !== undefined && long < 12 * short + 1_000_000, `${source}: ${short}, ${long}`);
  }
});

t.test('the patterns that zod prints', async (t) => {
  const rows: [schema: z.ZodType, valid: string, invalid: string][] = [
    [z.email(), 'joe.bloggs@example.com', 'joe..bloggs@example.com'],
    [z.uuid(), '2eb8aa08-aa98-11ea-b4aa-73b441d16380', '2eb8aa08-aa98-11ea-b4aa-73b441d1638'],
    [z.cuid(), 'ckopqwooh000001la8mbi2im9', 'x'],
    [z.cuid2(), 'tz4a98xxat96iws9zmbrgj3a', 'A'],
    [z.ulid(), '01ARZ3NDEKTSV4RRFFQ69G5FAV', '81ARZ3NDEKTSV4RRFFQ69G5FA'],
    [z.nanoid(), 'V1StGXR8_Z5jdHi6B-myT', 'V1StGXR8'],
    [z.ipv4(), '192.168.0.1', '256.0.0.1'],
    [z.ipv6(), '2001:db8::1', '2001:db8:::1'],
    [z.mac(), '00:1A:2B:3C:4D:5E', '00:1A:2B:3C:4D'],
    [z.cidrv4(), '10.0.0.0/8', '10.0.0.0/33'],
    [z.cidrv6(), '2001:db8::/32', '2001:db8::/129'],
    [z.base64(), 'aGVsbG8=', 'aGVsbG8'],
    [z.base64url(), 'aGVsbG8', 'aGV+'],
    [z.e164(), '+14155552671', '14155552671'],
    [z.emoji(), '😀', 'a'],
    [z.hostname(), 'example.com', '-example.com'],
    [z.iso.date(), '2024-02-29', '2023-02-29'],
    [z.iso.time(), '12:30:00', '25:00:00'],
    [z.iso.datetime(), '2024-02-29T12:30:00Z', '2024-02-29 12:30:00Z'],
    [z.iso.duration(), 'P1DT12H', 'P1DT'],
    [z.string().lowercase(), 'abc', 'aBc'],
    [z.templateLiteral(['v', z.number()]), 'v1.5', 'v'],
  ];
  for (const [schema, valid, invalid] of rows) {
    const { pattern: source } = z.toJSONSchema(schema);
    if (typeof source !== 'string') throw new Error('zod prints no pattern');
    t.ok(run(source, valid).matches, `${source} matches ${valid}`);
    t.notOk(run(source, invalid).matches, `${source} does not match ${invalid}`);
  }
});
