import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { type Json, jsonEqual } from '../../../src/temporal/json.js';
import { differenceOf, type Part, pathText, type Segment, type Step } from '../../../src/ui/core/difference.js';

const SIGNS = { same: ' ', removed: '-', added: '+' };

/** As written as the cases are. */
const brief = ({ parts }: { parts: Part[] }): string[] =>
  parts.map((part) => {
    const place = pathText(part.path);
    if (part.is === 'added') return `+ ${place} ${JSON.stringify(part.to)}`;
    if (part.is === 'removed') return `- ${place} ${JSON.stringify(part.from)}`;
    if (part.is === 'changed') return `~ ${place} ${JSON.stringify(part.from)} ${JSON.stringify(part.to)}`;
    return `" ${place} ${part.segments.map(({ is, text }) => `${SIGNS[is]}${text}|`).join('')}`;
  });

const read = (text: string): Json | undefined => (text === '' ? undefined : JSON.parse(text));

t.test('what differs between two values, and only that', async (t) => {
  const cases: [from: string, to: string, parts: string[]][] = [
    ['', '', []],
    ['null', 'null', []],
    ['{"a":[1,{"b":null}]}', '{"a":[1,{"b":null}]}', []],
    ['{"a":1,"b":2}', '{"b":2,"a":1.0}', []],
    ['[{"a":1,"b":2}]', '[{"b":2,"a":1}]', []],
    ['0', '-0', []],
    // Not set, and null, are two things.
    ['', 'null', ['+  null']],
    ['null', '', ['-  null']],
    ['null', '0', ['~  null 0']],
    ['"free"', '"team"', ['~  "free" "team"']],
    ['1', '"1"', ['~  1 "1"']],
    ['[]', '{}', ['~  [] {}']],
    ['{}', '{"x":1}', ['+ x 1']],
    ['{"x":1}', '{}', ['~  {"x":1} {}']],
    ['{"x":1}', '{"y":1}', ['~  {"x":1} {"y":1}']],
    ['{"x":1,"z":null}', '{"y":1,"z":null}', ['- x 1', '+ y 1']],
    ['{"city":"x","zip":1}', '{"city":"y","zip":1}', ['~ city "x" "y"']],
    ['{"a":{"b":{"c":1,"d":2}}}', '{"a":{"b":{"c":2,"d":2}}}', ['~ a.b.c 1 2']],
    ['{"a":null}', '{"a":null,"b":null}', ['+ b null']],
    ['[1,2,3]', '[0,1,2,3]', ['+ [0] 0']],
    ['[1,2,3]', '[1,2,3,4,5]', ['+ [3] 4', '+ [4] 5']],
    // What was removed is counted in the array before, all else in the one after.
    ['[1,2,3,4]', '[1,4]', ['- [1] 2', '- [2] 3']],
    ['[1,2,3,4,5]', '[2,3,9,5,6]', ['- [0] 1', '~ [2] 4 9', '+ [4] 6']],
    ['[1,"1",true,null]', '["1",true,null,1]', ['- [0] 1', '+ [3] 1']],
    ['["a",null,"null"]', '["a","null"]', ['- [1] null']],
    ['[{"id":7,"b":[1,2]},{"b":2}]', '[{"b":[1,2,3],"id":7},{"b":2}]', ['+ [0].b[2] 3']],
    ['[1,{"a":1,"b":2},2]', '[3,4,{"b":2,"a":1},5]', ['~ [0] 1 3', '+ [1] 4', '~ [3] 2 5']],
    ['[[1,2],[3,4]]', '[[3,4],[1,2]]', ['- [0] [1,2]', '+ [1] [1,2]']],
    [
      '{"__proto__":{"a":1,"c":1}}',
      '{"__proto__":{"a":2,"c":1},"constructor":1}',
      ['~ __proto__.a 1 2', '+ constructor 1'],
    ],
    ['{"toString":1}', '{"toString":1,"hasOwnProperty":2}', ['+ hasOwnProperty 2']],
    ['{"first name":{"":1,"d":1}}', '{"first name":{"":2,"d":1}}', ['~ ["first name"][""] 1 2']],
    ['"the quick brown fox jumps"', '"the quick red fox jumps"', ['"   the quick |-brown|+red|  fox jumps|']],
    [
      '"one two three four five six"',
      '"one two three four five six seven"',
      ['"   one two three four five six|+ seven|'],
    ],
    [
      '"one two three four five sixpence"',
      '"one two three four five six"',
      ['"   one two three four five |-sixpence|+six|'],
    ],
    [
      '"Donaudampfschifffahrtsgesellschaft"',
      '"Donaudampfschifffahrt"',
      ['~  "Donaudampfschifffahrtsgesellschaft" "Donaudampfschifffahrt"'],
    ],
    [
      '"nothing of this is in common at all"',
      '"quite another sentence: unlike, really"',
      ['~  "nothing of this is in common at all" "quite another sentence: unlike, really"'],
    ],
    ['""', '"a text that is rather long, all of it new"', ['~  "" "a text that is rather long, all of it new"']],
  ];
  for (const [from, to, parts] of cases) {
    const difference = differenceOf(read(from), read(to));
    t.strictSame(brief(difference), parts, `${from} to ${to}`);
    t.equal(difference.more, 0);
  }
});

/** A text before or after, of its pieces. */
const textOf = (segments: readonly Segment[], not: Segment['is']): string =>
  segments.flatMap(({ is, text }) => (is === not ? [] : [text])).join('');

t.test('pieces of texts make both texts, where nothing is left out', async (t) => {
  const word = fc.constantFrom('a', 'the', 'fox', ' ', '\n', ', ', '👩‍👧', '狐', 'é', '.', 'x'.repeat(120));
  const words = fc.array(word, { minLength: 6, maxLength: 60 });
  const two = fc.tuple(
    words,
    fc.array(fc.tuple(fc.nat(), fc.nat({ max: 3 }), fc.array(word, { maxLength: 3 })), { maxLength: 6 }),
  );
  let told = 0;
  fc.assert(
    fc.property(two, ([words, edits]) => {
      const after = [...words];
      for (const [at, removed, added] of edits) after.splice(at % after.length, removed, ...added);
      const [from, to] = [words.join(''), after.join('')];
      const [part] = differenceOf(from, to).parts;
      if (from === to) return part === undefined;
      if (part?.is !== 'text') return part?.is === 'changed';
      const { segments } = part;
      if (segments.some(({ skipped }) => skipped !== undefined)) return true;
      told++;
      return (
        textOf(segments, 'added') === from &&
        textOf(segments, 'removed') === to &&
        segments.every(({ is, text }, n) => text.isWellFormed() && text !== '' && is !== segments[n - 1]?.is)
      );
    }),
    { numRuns: 500 },
  );
  t.ok(told > 50, 'many such texts were compared word by word');
});

t.test('of long texts only what is around a difference is shown', async (t) => {
  const line = (n: number) => `This is line ${n} of a long text.\n`;
  const lines = Array.from({ length: 20_000 }, (_, n) => line(n));
  const from = lines.join('');
  lines[5_000] = 'This is row 5000 of a long text.\n';
  lines.splice(15_000, 1, 'New here.\n', line(15_000));
  const [part] = differenceOf(from, lines.join('')).parts;
  if (part?.is !== 'text') return t.fail('it is a text');
  t.strictSame(
    part.segments.flatMap(({ is, text }) => (is === 'same' ? [] : [[is, text]])),
    [
      ['removed', 'line'],
      ['added', 'row'],
      ['added', '\nNew here.'],
    ],
  );
  t.ok(part.segments.every(({ text }) => text.length < 300));
  let place = 0;
  for (const { is, text, skipped = 0 } of part.segments) {
    if (is === 'added') continue;
    t.ok(from.startsWith(text, place), 'what is shown stands where it stood');
    place += text.length + skipped;
  }
  t.equal(place, from.length);
  const [first] = part.segments;
  t.match(first, { is: 'same', text: '' });
  t.ok((first?.skipped ?? 0) > 100_000, 'how much is left out is said');
});

const { value: anyValue } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom<Json>(null, true, false, 0, -0, 1, '', '1', 'null', 'x'),
    fc.array(tie('value'), { maxLength: 6 }),
    fc
      .array(fc.tuple(fc.constantFrom('a', 'b', '', '__proto__', 'constructor', '0'), tie('value')), { maxLength: 4 })
      .map((members): Json => Object.fromEntries(members)),
  ),
}));

/** What is at a path. */
function at(value: Json, path: readonly Step[]): Json | undefined {
  let here: Json | undefined = value;
  for (const step of path) {
    if (typeof here !== 'object' || here === null) return undefined;
    if (Array.isArray(here)) here = typeof step === 'number' ? here[step] : undefined;
    else here = Object.hasOwn(here, step) ? here[step] : undefined;
  }
  return here;
}

t.test('the same has no parts; all else has some, and each says what is there', async () => {
  fc.assert(
    fc.property(anyValue, anyValue, (from, to) => {
      const { parts, more } = differenceOf(from, to);
      if (jsonEqual(from, to) !== (parts.length === 0) || more !== 0) return false;
      return parts.every((part) => {
        if (part.is === 'removed' || part.is === 'text') return true;
        return isDeepStrictEqual(at(to, part.path), part.to);
      });
    }),
    { numRuns: 1_000 },
  );
  fc.assert(
    fc.property(anyValue, (value) => differenceOf(value, JSON.parse(JSON.stringify(value))).parts.length === 0),
  );
});

t.test('what is drawn is bounded, whatever the values', async (t) => {
  const numbers = (count: number, of: (n: number) => Json) => Array.from({ length: count }, (_, n) => of(n));
  const words = (count: number, salt: number) => numbers(count, (n) => `w${(n * 7_919 * salt) % 10_007}`).join(' ');
  const object = (count: number, of: (n: number) => Json) =>
    Object.fromEntries(numbers(count, of).map((value, n) => [`n${n}`, value]));
  let deep: Json = 0;
  let deeper: Json = 1;
  for (let n = 0; n < 100; n++) [deep, deeper] = n % 2 === 0 ? [[deep], [deeper]] : [{ d: deep }, { d: deeper }];
  const cases: [name: string, from: Json, to: Json, parts: number, more: number][] = [
    ['texts of five megabytes', 'a'.repeat(5_000_000), 'b'.repeat(5_000_000), 1, 0],
    ['a long text without spaces', `${'a'.repeat(5_000_000)}b`, `${'a'.repeat(5_000_000)}c`, 1, 0],
    ['all words of a long text', words(700_000, 1), words(700_000, 3), 1, 0],
    [
      'all lines of a long text',
      words(200_000, 1).replaceAll(' ', '\n'),
      words(200_000, 3).replaceAll(' ', '\n'),
      1,
      0,
    ],
    ['many elements', numbers(500_000, (n) => n), numbers(500_000, (n) => n * 2 + 1), 1, 0],
    ['many elements removed', numbers(500_000, (n) => n), [], 200, 499_800],
    [
      'many objects',
      numbers(50_000, (n) => ({ n, a: 'x'.repeat(100) })),
      numbers(50_000, (n) => ({ n: -n, a: 'y' })),
      1,
      0,
    ],
    ['many members', object(100_000, (n) => n), object(100_000, (n) => n + 1), 200, 99_800],
    ['many texts', object(1_000, (n) => words(200, n + 1)), object(1_000, (n) => words(200, n + 2)), 200, 799],
    ['as deep as values are', deep, deeper, 1, 0],
  ];
  for (const [name, from, to, parts, more] of cases) {
    const difference = differenceOf(from, to);
    t.ok(
      Math.abs(difference.parts.length - parts) <= 1 && Math.abs(difference.more - more) <= 100,
      `${name}: ${difference.parts.length}, ${difference.more}`,
    );
    for (const part of difference.parts)
      if (part.is === 'text') {
        t.ok(part.segments.length <= 2_000, name);
        t.ok(
          part.segments.every(({ text }) => text.length <= 2_000),
          name,
        );
      }
  }
});
