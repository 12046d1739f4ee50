import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { OPS } from '../../../src/temporal/limits.js';
import { instantOf, microseconds } from '../../../src/temporal/point.js';
import { queryOf, readView, type View } from '../../../src/ui/core/view.js';

const ID = '0199d3c0-7c3e-7a51-9d4e-0c7a8b9d0e1f';

/** What a view says, without the members that say nothing. */
const said = (view: View): object =>
  Object.fromEntries(Object.entries(view).filter(([, value]) => value !== undefined));

t.test('a URL shows what it says', async (t) => {
  const cases: [search: string, view: View][] = [
    ['', {}],
    ['?', {}],
    ['type=country', { type: 'country' }],
    ['?entity=country:FR&at=5', { entity: 'country:FR', at: '5' }],
    ['?entity=country:FR&at=007', { entity: 'country:FR', at: '7' }],
    [`?entity=${ID}&beside=before&only=true`, { entity: ID, beside: 'before', only: true }],
    ['?entity=a:b:c%2Fd%20e', { entity: 'a:b:c/d e' }],
    ['?entity=country%3AFR', { entity: 'country:FR' }],
    ['?entity=a:__proto__&changed=__proto__', { entity: 'a:__proto__', changed: '__proto__' }],
    ['?type=a&beside=before&deleted=only', { type: 'a', beside: 'before', deleted: 'only' }],
    [`?activity=${ID}`, { activity: ID }],
    ['?show=activities&actor=Ada&reason=a+call', { show: 'activities', actor: 'Ada', reason: 'a call' }],
    [
      '?type=a&at=2016-08-19T00:00:00.000001Z&beside=now',
      { type: 'a', at: '2016-08-19T00:00:00.000001Z', beside: 'now' },
    ],
    // A plus that nobody has encoded arrives as a space.
    ['?type=a&at=2016-08-19T00:00:00+02:00', { type: 'a', at: '2016-08-19T00:00:00+02:00' }],
    ['?type=a&at=2016-08-19t00:00:00z', { type: 'a', at: '2016-08-19T00:00:00Z' }],
    [
      '?from=2016-01-01T00:00:00Z&to=2016-01-01T00:00:00.000001Z',
      { from: '2016-01-01T00:00:00Z', to: '2016-01-01T00:00:00.000001Z' },
    ],
    ['?entity=a:b&lanes=pla&zone=utc', { entity: 'a:b', lanes: 'pla', zone: 'utc' }],
    ['?since=2016-01-01T00:00:00Z', { since: '2016-01-01T00:00:00Z' }],
    ['?op=deleted&zone=local&theme=dark', { op: 'deleted', zone: 'local', theme: 'dark' }],
    [
      '?type=a&where=%7B%22n%22:%7B%22gte%22:1%7D%7D&prefix=x%26y',
      { type: 'a', where: '{"n":{"gte":1}}', prefix: 'x&y' },
    ],
    // The API says what is wrong with a filter; without it one would see more than was asked for.
    ['?type=a&where=%7Bn', { type: 'a', where: '{n' }],
  ];
  for (const [search, view] of cases) t.strictSame(said(readView(search)), said(view), search);
});

t.test('what names the page is kept: the API says what is wrong with it', async (t) => {
  const cases: [name: 'type' | 'entity' | 'activity', text: string][] = [
    ['type', 'Country'],
    ['type', 'a b'],
    ['type', 'a'.repeat(64)],
    ['type', '\ufffd'],
    ['entity', 'FR'],
    ['entity', 'country:'],
    ['entity', `a:${'k'.repeat(513)}`],
    ['entity', 'a:\0'],
    ['activity', '1'],
  ];
  for (const [name, text] of cases) {
    const search = `${name}=${encodeURIComponent(text)}`;
    t.strictSame(said(readView(search)), { [name]: text }, search.slice(0, 60));
  }
});

t.test('what a URL says that is not valid is left out', async (t) => {
  const cases = [
    'show=types',
    'property=',
    'property=.',
    `property=${'p'.repeat(257)}`,
    'changed=..',
    // A tick is one of an entity.
    'at=5',
    'beside=5',
    'at=0&entity=',
    'at=now',
    'at=-1',
    'at=2016-08-19',
    'at=2016-08-19T00:00:00',
    'at=2016-02-30T00:00:00Z',
    'at=2016-08-19T00:00:00.0000001Z',
    'from=5',
    'to=now',
    'from=2016-01-01T00:00:00Z&to=2016-01-01T00:00:00Z',
    'from=2016-01-01T00:00:00Z&to=2016-01-01T00:00:00%2B01:00',
    'since=2017-01-01T00:00:00Z&until=2016-01-01T00:00:00Z',
    'only=1',
    'only=false',
    `actor=${'a'.repeat(257)}`,
    'deleted=exclude',
    'op=create',
    'zone=CET',
    'theme=pink',
    '__proto__=1&constructor=2&toString=3',
    'Type=country',
    '%',
    '&&&=&=a',
  ];
  for (const search of cases) t.strictSame(said(readView(search)), {}, search.slice(0, 60));
  for (const at of ['0', '2147483647', '99999999999', '1.5', '1e3', '+1'])
    t.strictSame(said(readView(`entity=a:b&at=${at}`)), { entity: 'a:b' }, at);
});

t.test('a view has one query, in which names and instants stay readable', async (t) => {
  const cases: [view: View, query: string][] = [
    [{}, ''],
    [{ only: false, type: undefined, prefix: '' }, ''],
    [{ at: '5', entity: 'country:FR' }, '?entity=country:FR&at=5'],
    [
      { type: 'a', at: '2016-08-19T00:00:00.5+02:00', only: true },
      '?type=a&at=2016-08-19T00:00:00.5%2B02:00&only=true',
    ],
    [{ entity: 'a:x/y, z&?#=%+é😀' }, '?entity=a:x/y,%20z%26%3F%23%3D%25%2B%C3%A9%F0%9F%98%80'],
    // Half a character is none, and cannot stand in a URL.
    [{ actor: '\ud800', reason: '\udc00', entity: 'a:\ud83d' }, ''],
    [{ at: '5' }, ''],
    [{ type: 'No', op: 'updated' }, '?type=No&op=updated'],
  ];
  for (const [view, query] of cases) t.equal(queryOf(view), query, JSON.stringify(view));
});

const maybe = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });
const text = (maxLength: number) =>
  fc.string({ unit: 'binary', minLength: 1, maxLength }).filter((s) => !s.includes('\0'));
const name = text(100).filter((s) => s !== '.' && s !== '..');
const type = fc.stringMatching(/^[a-z][a-z0-9_-]{0,62}$/);
const instant = fc
  .bigInt({ min: microseconds('0001-01-01T00:00:00Z'), max: microseconds('9999-12-31T23:59:59.999999Z') })
  .map(instantOf);
const stretch = fc.uniqueArray(instant, { minLength: 2, maxLength: 2 }).map((two) => two.sort());
const tick = fc.integer({ min: 1, max: 2 ** 31 - 2 }).map(String);

const anyView: fc.Arbitrary<View> = fc
  .record({
    type: maybe(type),
    entity: maybe(
      fc.oneof(
        fc.uuid(),
        fc.tuple(type, text(100)).map(([type, key]) => `${type}:${key}`),
      ),
    ),
    activity: maybe(fc.uuid()),
    show: maybe(fc.constant('activities' as const)),
    reason: maybe(text(100)),
    property: maybe(name),
    lanes: maybe(text(100)),
    prefix: maybe(text(100)),
    deleted: maybe(fc.constantFrom('include' as const, 'only' as const)),
    where: maybe(text(100)),
    at: maybe(fc.tuple(instant, tick)),
    beside: maybe(fc.oneof(fc.constantFrom('now', 'before'), fc.tuple(instant, tick))),
    window: fc.tuple(stretch, fc.boolean(), fc.boolean()),
    only: maybe(fc.constant(true)),
    actor: maybe(text(100)),
    changed: maybe(name),
    op: maybe(fc.constantFrom(...OPS)),
    dates: fc.tuple(stretch, fc.boolean(), fc.boolean()),
    zone: maybe(fc.constantFrom('utc' as const, 'local' as const, 'relative' as const)),
    theme: maybe(fc.constantFrom('light' as const, 'dark' as const)),
  })
  .map(({ window, dates, at, beside, ...view }) => {
    // Only of an entity there are ticks.
    const point = (of: [string, string] | undefined) =>
      of?.[view.entity !== undefined && of[1].length % 2 === 0 ? 1 : 0];
    return {
      ...view,
      at: point(at),
      beside: typeof beside === 'string' ? beside : point(beside),
      from: window[1] ? window[0][0] : undefined,
      to: window[2] ? window[0][1] : undefined,
      since: dates[1] ? dates[0][0] : undefined,
      until: dates[2] ? dates[0][1] : undefined,
    };
  });

t.test('every valid view comes back from its URL', async () => {
  fc.assert(
    fc.property(anyView, (view) => {
      const query = queryOf(view);
      return isDeepStrictEqual(said(readView(query)), said(view)) && queryOf(readView(query)) === query;
    }),
  );
});

t.test('no URL throws, and what is read from it is valid', async () => {
  const names = ['type', 'entity', 'at', 'beside', 'from', 'to', 'since', 'until', 'op', 'zone', 'prefix', '__proto__'];
  const values = fc.oneof(fc.string(), tick, instant, fc.constantFrom('now', 'before', 'a:b', '%', '%ff', '+', 'true'));
  const search = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.tuple(fc.constantFrom(...names), values)).map((all) => all.map((one) => one.join('=')).join('&')),
  );
  fc.assert(
    fc.property(search, (search) => {
      const view = readView(search);
      return isDeepStrictEqual(said(readView(queryOf(view))), said(view));
    }),
  );
});
