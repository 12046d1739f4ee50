import t from 'tap';
import type { Tick } from '../../../src/client/types.js';
import { sentenceOf } from '../../../src/ui/core/sentences.js';

const whatOf = (op: Tick['op'], changes?: Tick['changes']): string => sentenceOf({ op, activity: null, changes }).what;

/** So many properties, all changed in the same way. */
const many = (count: number, change: { from?: null; to?: null }): Tick['changes'] =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`p${n}`, change]));

t.test('what a tick did, in words', async (t) => {
  const cases: [op: Tick['op'], changes: Tick['changes'] | undefined, what: string][] = [
    [
      'updated',
      { plan: { from: 'free', to: 'team' }, city: { from: 'Oakland' } },
      'set plan to "team" (was "free") and removed city',
    ],
    ['updated', { plan: { to: 'team' } }, 'set plan to "team"'],
    ['updated', { plan: { from: 'free', to: null } }, 'set plan to null (was "free")'],
    ['updated', { plan: { from: null, to: 'free' } }, 'set plan to "free" (was null)'],
    ['updated', { plan: { from: null } }, 'removed plan'],
    ['updated', { a: { to: 1 }, b: { to: [] }, c: { from: 0, to: {} } }, 'set a to 1, b to [] and c to {} (was 0)'],
    ['updated', { a: { from: 1 }, b: { from: 2 }, c: { from: 3 } }, 'removed a, b and c'],
    [
      'updated',
      { a: { to: 1 }, b: { from: 'x'.repeat(99), to: 'y' }, c: { from: 3 } },
      'set a to 1, changed b and removed c',
    ],
    ['updated', { notes: { to: 'x'.repeat(5_000) } }, 'set notes to a text of 5,000 characters'],
    ['updated', { tags: { to: new Array(20).fill('tag') } }, 'set tags to a list of 20'],
    ['updated', { address: { to: { city: 'x'.repeat(99) } } }, 'set address to an object of 1 member'],
    ['updated', { address: { to: { city: 'x'.repeat(99), zip: 1 } } }, 'set address to an object of 2 members'],
    ['updated', { address: { from: { city: 'x'.repeat(99) }, to: { city: 'y' } } }, 'changed address'],
    ['updated', many(4, { from: null, to: null }), 'changed 4 properties: p0, p1, p2 and 1 more'],
    ['updated', many(14, { to: null }), 'set 14 properties: p0, p1, p2 and 11 more'],
    ['updated', many(1_000, { from: null }), 'removed 1,000 properties: p0, p1, p2 and 997 more'],
    ['updated', { ...many(3, { from: null }), last: { to: null } }, 'changed 4 properties: p0, p1, p2 and 1 more'],
    ['updated', {}, 'changed properties whose values are not kept'],
    ['updated', undefined, 'changed it'],
    [
      'created',
      { name: { to: 'Rachel' }, city: { to: 'New York' } },
      'created it with name "Rachel" and city "New York"',
    ],
    ['created', { name: { to: 'Rachel' } }, 'created it with name "Rachel"'],
    ['created', many(14, { to: null }), 'created it with 14 properties: p0, p1, p2 and 11 more'],
    ['created', {}, 'created it'],
    ['created', undefined, 'created it'],
    ['deleted', many(14, { from: null }), 'deleted it'],
    ['deleted', undefined, 'deleted it'],
    ['restored', { name: { to: 'Rachel' } }, 'restored it with name "Rachel"'],
    ['restored', undefined, 'restored it'],
    [
      'updated',
      { 'first name': { to: 'a' }, '\u202e': { to: '\u202e' } },
      'set "first name" to "a" and "\\u202e" to "\\u202e"',
    ],
    [
      'updated',
      JSON.parse('{"__proto__":{"to":1},"constructor":{"from":2}}'),
      'set __proto__ to 1 and removed constructor',
    ],
  ];
  for (const [op, changes, what] of cases) t.equal(whatOf(op, changes), what);
});

t.test('who did it, and why, where that is known', async (t) => {
  const id = '0199d3c0-7c3e-7a51-9d4e-0c7a8b9d0e1f';
  const cases: [activity: Tick['activity'], who: string | null, why: string | null][] = [
    [null, null, null],
    [{ id }, null, null],
    [{ id, actor: 'Ada' }, 'Ada', null],
    [{ id, reason: 'after a call' }, null, 'after a call'],
    [{ id, actor: 'Ada', reason: 'r'.repeat(4_096) }, 'Ada', 'r'.repeat(4_096)],
  ];
  for (const [activity, who, why] of cases)
    t.strictSame(sentenceOf({ op: 'deleted', activity }), { who, what: 'deleted it', why });
});

t.test('a sentence is short, whatever was changed', async (t) => {
  const name = (n: number) => `${n}${'n'.repeat(255)}`;
  const value = { deep: 'x'.repeat(1_000_000) };
  const changes = Object.fromEntries([0, 1, 2].map((n) => [name(n), { from: value, to: value }]));
  t.ok(whatOf('updated', changes).length < 300);
  t.ok(whatOf('created', changes).length < 300);
  t.ok(
    whatOf('updated', Object.fromEntries(new Array(1_000).fill(0).map((_, n) => [name(n), { to: value }]))).length <
      300,
  );
});
