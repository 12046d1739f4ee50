import { performance } from 'node:perf_hooks';
import fc from 'fast-check';
import t from 'tap';
import { type Json, type JsonObject, jsonEqual } from '../../src/temporal/json.js';
import { newWork, patchBetween } from '../../src/temporal/json-diff.js';
import { applyJsonPatch, MAX_SHIFTED, operationsOf } from '../../src/temporal/json-patch.js';

const read = (text: string): JsonObject => JSON.parse(text);
const asJson = (patch: ReturnType<typeof patchBetween>): Json => JSON.parse(JSON.stringify(patch));
const applied = (from: JsonObject, patch: ReturnType<typeof patchBetween>) =>
  applyJsonPatch(from, operationsOf(asJson(patch)));

/** As written as the cases are: op, path without /properties, and value. */
const brief = (patch: ReturnType<typeof patchBetween>) =>
  patch.map((one) => {
    const path = one.path.replace(/^\/properties/, '');
    return one.op === 'remove' ? `- ${path}` : `${one.op === 'add' ? '+' : '='} ${path} ${JSON.stringify(one.value)}`;
  });

t.test('what differs inside values, and only that', async (t) => {
  const cases: [from: string, to: string, patch: string[]][] = [
    ['{}', '{}', []],
    ['{"a":1}', '{"a":1.0}', []],
    ['{"a":{"x":1,"y":2}}', '{"a":{"y":2,"x":1}}', []],
    ['{"a":0}', '{"a":-0}', []],
    ['{"a":1}', '{"b":1}', ['- /a', '+ /b 1']],
    ['{"a":null}', '{}', ['- /a']],
    ['{"a":1}', '{"a":null}', ['= /a null']],
    ['{"a":"1"}', '{"a":1}', ['= /a 1']],
    [
      '{"a":{"city":"x","zip":1,"old":0}}',
      '{"a":{"city":"y","zip":1,"new":2}}',
      ['= /a/city "y"', '- /a/old', '+ /a/new 2'],
    ],
    ['{"a":{"x":1}}', '{"a":{"y":1}}', ['= /a {"y":1}']],
    ['{"a":{"0":1}}', '{"a":[1]}', ['= /a [1]']],
    ['{"a":[]}', '{"a":{}}', ['= /a {}']],
    ['{"a":{}}', '{"a":{"x":1}}', ['+ /a/x 1']],
    ['{"l":[1,2,3]}', '{"l":[0,1,2,3]}', ['+ /l/0 0']],
    ['{"l":[1,2,3]}', '{"l":[1,2,3,4,5]}', ['+ /l/3 4', '+ /l/4 5']],
    ['{"l":[1,2,3,4]}', '{"l":[1,4]}', ['- /l/2', '- /l/1']],
    ['{"l":[1,2,3]}', '{"l":[1,9,3]}', ['= /l/1 9']],
    ['{"l":[1,2,3,4,5]}', '{"l":[2,3,9,5,6]}', ['- /l/0', '= /l/2 9', '+ /l/4 6']],
    ['{"l":[1,"1",true,null]}', '{"l":["1",true,null,1]}', ['- /l/0', '+ /l/3 1']],
    ['{"l":[{"a":1},{"b":2}]}', '{"l":[{"b":2}]}', ['- /l/0']],
    [
      '{"l":[{"a":1,"b":[1,2]},{"b":2}]}',
      '{"l":[0,{"b":[1,2,3],"a":1},{"b":2}]}',
      ['= /l/0 0', '+ /l/1 {"b":[1,2,3],"a":1}'],
    ],
    ['{"l":[{"id":7,"b":[1,2]},{"b":2}]}', '{"l":[{"b":[1,2,3],"id":7},{"b":2}]}', ['+ /l/0/b/2 3']],
    ['{"l":[[1,2],[3,4]]}', '{"l":[[3,4],[1,2]]}', ['- /l/0', '+ /l/1 [1,2]']],
    ['{"l":[{"x":1,"y":2},7,8]}', '{"l":[8,{"y":2,"x":1}]}', ['- /l/1', '- /l/0', '+ /l/1 {"y":2,"x":1}']],
    ['{"__proto__":{"a":1}}', '{"__proto__":{"a":2},"constructor":1}', ['= /__proto__/a 2', '+ /constructor 1']],
    [
      '{"a":{"toString":1}}',
      '{"a":{"toString":1,"hasOwnProperty":2,"__proto__":{}}}',
      ['+ /a/hasOwnProperty 2', '+ /a/__proto__ {}'],
    ],
    ['{"a/b~":{"~1":1}}', '{"a/b~":{"~1":2,"":3,"👩‍👧":4}}', ['= /a~1b~0/~01 2', '+ /a~1b~0/ 3', '+ /a~1b~0/👩‍👧 4']],
  ];
  for (const [from, to, patch] of cases) {
    t.same(brief(patchBetween(read(from), read(to))), patch, `${from} to ${to}`);
    t.ok(jsonEqual(applied(read(from), patchBetween(read(from), read(to))), read(to)), `${from} becomes ${to}`);
  }
});

const NAMES = ['a', 'b', '', '__proto__', 'constructor', 'toString', 'a/b', '~', '~1', '0', '-', 'length', '😀'];
const { value: anyValue } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom<Json>(null, true, false, 0, -0, 1, 1.5, '', '1', 'x', '😀'),
    fc.array(tie('value'), { maxLength: 8 }),
    fc
      .array(fc.tuple(fc.constantFrom(...NAMES), tie('value')), { maxLength: 5 })
      .map((members): Json => Object.fromEntries(members)),
  ),
}));
const anyState = fc
  .array(fc.tuple(fc.constantFrom(...NAMES.filter((name) => name !== '')), anyValue), { maxLength: 5 })
  .map((members): JsonObject => Object.fromEntries(members));

t.test('applied to the one state, it gives the other, whatever the names and values', async () => {
  fc.assert(
    fc.property(anyState, anyState, (from, to) => {
      const before = JSON.stringify([from, to]);
      const patch = patchBetween(from, to);
      const result = applied(from, patch);
      if (!jsonEqual(result, to)) throw new Error(`${JSON.stringify(patch)} gives ${JSON.stringify(result)}`);
      if (patch.length > 0 && jsonEqual(from, to)) throw new Error('the same states have operations');
      if (JSON.stringify([from, to]) !== before) throw new Error('it has changed what it compared');
    }),
    { numRuns: 2_000 },
  );
});

t.test('it edits arrays no more often than it must', async () => {
  const few = fc.array(fc.constantFrom<Json>(1, 2, 3, [1], { a: 1 }), { maxLength: 9 });
  fc.assert(
    fc.property(few, few, (from, to) => {
      const patch = patchBetween({ l: from }, { l: to });
      const inCommon = longest(from, to);
      // An element in the place of another is one operation instead of two.
      const most = from.length + to.length - 2 * inCommon;
      if (patch.length > most) throw new Error(`${patch.length} operations where ${most} do`);
      if (!jsonEqual(applied({ l: from }, patch), { l: to })) throw new Error('it is another array');
    }),
    { numRuns: 2_000 },
  );
});

/** How many elements two arrays have in common, in order: by the textbook. */
function longest(a: readonly Json[], b: readonly Json[]): number {
  const [first, ...rest] = a;
  if (first === undefined || b.length === 0) return 0;
  const at = b.findIndex((one) => jsonEqual(one, first));
  const without = longest(rest, b);
  return at < 0 ? without : Math.max(without, 1 + longest(rest, b.slice(at + 1)));
}

t.test('the work is bounded, and so is the length, and what applying it shifts', async (t) => {
  const numbers = (length: number, of: (n: number) => Json) => Array.from({ length }, (_, n) => of(n));
  const noise = (seed: number) => (n: number) => ((n * 7_919 + seed) * 104_729) % 10_007;
  const deep = (inner: Json): Json => Array.from({ length: 90 }).reduce((held: Json) => [held], inner);
  const cases: [name: string, from: Json, to: Json, most: number][] = [
    ['one of 100,000 changed', numbers(100_000, (n) => n), numbers(100_000, (n) => (n === 50_000 ? 'x' : n)), 1],
    ['one came first', numbers(100_000, (n) => n), ['x', ...numbers(100_000, (n) => n)], 1],
    ['objects, two gone', numbers(100_000, (n) => ({ n })), numbers(99_998, (n) => ({ n: n < 40_000 ? n : n + 2 })), 2],
    ['all others', numbers(100_000, (n) => n), numbers(100_000, (n) => -n - 1), 1],
    ['all in another order', numbers(100_000, noise(1)), numbers(100_000, noise(5_000)), 1],
    ['every object other inside', numbers(100_000, (n) => ({ n, s: 0 })), numbers(100_000, (n) => ({ n, s: 1 })), 1],
    ['every second gone', numbers(200_000, (n) => n), numbers(100_000, (n) => 2 * n), 1],
    ['much deep inside', deep(numbers(300_000, (n) => n)), deep(numbers(300_000, (n) => (n > 299_990 ? 'x' : n))), 9],
    ['much came last', numbers(2, (n) => n), numbers(300_000, (n) => n), 1],
    ['many small ones', numbers(2_000, (n) => [n, 1, 2]), numbers(2_000, (n) => [n, 1, 3]), 1],
  ];
  for (const [name, was, becomes, most] of cases) {
    const [from, to] = [{ l: was }, { l: becomes }];
    const begun = performance.now();
    const patch = patchBetween(from, to);
    const ms = performance.now() - begun;
    t.ok(patch.length >= 1 && patch.length <= most, `${name}: ${patch.length} operations in ${Math.round(ms)} ms`);
    t.ok(ms < 8_000, `${name}: ${Math.round(ms)} ms`);
    t.ok(jsonEqual(applied(from, patch), to), `${name}: applied`);
    t.ok(JSON.stringify(patch).length < JSON.stringify(becomes).length + 5_000, `${name}: no longer than the value`);
  }

  // A million elements, of which 1,200 are gone: each would shift all that are behind it.
  const before = numbers(2_000_000, (n) => n % 7);
  const after = before.filter((_, n) => n >= 4_000 || n % 8 !== 0);
  t.ok(500 * 2_000_000 < MAX_SHIFTED && 600 * 2_000_000 > MAX_SHIFTED);
  const some = before.filter((_, n) => n >= 4_000 || n % 7 !== 0);
  for (const others of [after, some]) {
    const patch = patchBetween({ l: before }, { l: others });
    t.ok(jsonEqual(applied({ l: before }, patch), { l: others }), `${patch.length} operations can be applied`);
  }

  // A name that every operation repeats makes the patch of a property longer than the property.
  const name = '~'.repeat(256);
  const [zeros, ones] = [0, 1].map((value) => ({ [name]: numbers(7, () => value) }));
  const work = newWork();
  const lengths = numbers(5_000, () => JSON.stringify(patchBetween(zeros ?? {}, ones ?? {}, work)).length).map(Number);
  t.ok(
    (lengths[0] ?? 0) > 3_000 && (lengths.at(-1) ?? 0) < 700,
    'the patches of one answer share what they may be longer',
  );
  t.ok(work.left > 0, 'for lack of room, not of work');

  const none = { ...newWork(), left: 0 };
  const lists = { a: [1, 2, 3], b: [1], c: { d: 1 } };
  t.same(
    brief(patchBetween(lists, { a: [1, 2], b: [1], c: { d: 2 } }, none)),
    ['= /a [1,2]', '= /c/d 2'],
    'where no work is left, arrays are replaced whole, and those that are the same are not',
  );
  const shared = newWork();
  patchBetween({ l: numbers(1_000, (n) => n) }, { l: numbers(1_000, (n) => n + 1) }, shared);
  t.ok(shared.left < newWork().left, 'patches of one answer share their work');
});
