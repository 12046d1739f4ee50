import fc from 'fast-check';
import type { Json, JsonObject } from '../../src/temporal/json.js';
import { objectOf } from './model.js';

/*
 * The steps of the model test. They name ticks, properties and entities by numbers, which a run resolves in the state that it has
 * reached. So a run without some of its steps is still a run, and fast-check can shrink it.
 */

type Drawn<A> = A extends fc.Arbitrary<infer Draw> ? Draw : never;

const NAMES = ['a', 'b', 'c', '__proto__', 'constructor', 'toString', 'a/b', '~', '~1', '😀', "it's", '?x=1', 'a,b'];
const MORE_NAMES = ['id', 'vclock', 'length', '0', '-', '%41', '#', ' ', '"', '\\', 'a\\,b', 'properties', 'é', 'A'];
const KEYS = [...NAMES, ...MORE_NAMES, 'a:b', '.', '..', 'k'.repeat(512)];

const name = fc.oneof(
  { arbitrary: fc.constantFrom('a', 'b', 'c'), weight: 3 },
  { arbitrary: fc.constantFrom(...NAMES), weight: 3 },
  { arbitrary: fc.constantFrom(...MORE_NAMES), weight: 1 },
);
const names = fc.uniqueArray(name, { minLength: 1, maxLength: 4 });

const { value } = fc.letrec<{ value: Json; members: JsonObject; items: Json[]; scalar: Json }>((tie) => ({
  scalar: fc.constantFrom<Json>(
    null,
    true,
    false,
    0,
    -0,
    1,
    2,
    -1.5,
    1e21,
    1e-7,
    '',
    'x',
    'y',
    '1',
    '😀',
    "it's",
    '\\u0000',
  ),
  items: fc.array(tie('value'), { maxLength: 3 }),
  members: fc.uniqueArray(fc.tuple(name, tie('value')), { maxLength: 3, selector: ([name]) => name }).map(objectOf),
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    { arbitrary: tie('scalar'), weight: 4 },
    { arbitrary: tie('members'), weight: 2 },
    { arbitrary: tie('items'), weight: 1 },
  ),
}));
const members = fc.uniqueArray(fc.tuple(name, value), { maxLength: 5, selector: ([name]) => name }).map(objectOf);

const number = fc.nat(60);
/** True once in so many cases. */
const seldom = (times: number) => fc.nat(times - 1).map((n) => n === times - 1);
/** Null in all but one of so many cases. */
const seldomSome = <T>(arbitrary: fc.Arbitrary<T>, times = 3) =>
  fc.oneof({ arbitrary: fc.constant(null), weight: times - 1 }, { arbitrary, weight: 1 });

const point = fc.record({
  kind: fc.oneof(
    { arbitrary: fc.constantFrom('tick', 'at', 'after', 'before'), weight: 12 },
    { arbitrary: fc.constantFrom('no tick yet', 'years ago', 'the future'), weight: 1 },
  ),
  n: number,
  spelling: fc.constantFrom('Z', 'z', '+02:00', ' 02:00'),
});
export type PointDraw = Drawn<typeof point>;

const tag = fc.record({ kind: fc.constantFrom('now', 'now', 'stale', 'never', '*', 'list', 'weak'), n: number });
export type TagDraw = Drawn<typeof tag>;

/** The last number names no entity; the two before it may name entities that are not created yet. */
export const ADDRESSES = 25;
const address = { target: fc.nat(ADDRESSES), by: fc.constantFrom('key', 'id', 'ID') };

const writing = fc.record({
  ...address,
  ifMatch: seldomSome(tag, 6),
  ifNoneMatch: seldomSome(tag, 10),
  activity: fc.oneof(
    { arbitrary: fc.constant('none'), weight: 6 },
    { arbitrary: fc.constantFrom('in the body', 'new', 'known', 'known', 'again'), weight: 5 },
    { arbitrary: fc.constantFrom('unknown', 'twice'), weight: 1 },
  ),
  n: number,
  details: fc.record({ reason: fc.constantFrom('moved', '😀', "it's"), metadata: members }, { requiredKeys: [] }),
  dryRun: seldom(7),
  minimal: seldom(5),
  spelling: fc.constantFrom('plain', 'odd'),
});
export type Writing = Drawn<typeof writing>;

/** The properties of a body: the given ones, those that the entity has, or the given ones over those. */
const content = fc.record({ of: fc.constantFrom('given', 'given', 'given', 'same', 'both'), given: members });
export type Content = Drawn<typeof content>;

const operation = fc.record({
  op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test'),
  /** Where: at a value that exists, at a new place in one that exists, or nowhere. */
  where: fc.oneof(
    { arbitrary: fc.constantFrom('there', 'new'), weight: 12 },
    { arbitrary: fc.constant('nowhere'), weight: 1 },
  ),
  n: number,
  from: number,
  name,
  value: fc.option(value, { nil: undefined, freq: 8 }),
});
export type OperationDraw = Drawn<typeof operation>;

const limit = fc.constantFrom(1, 1, 2, 3, 100);
const order = fc.constantFrom('asc', 'desc');

const beginning = fc.oneof(
  fc.record({ kind: fc.constant('post' as const), writing, properties: members, keyed: fc.boolean() }),
  fc.record({ kind: fc.constant('put' as const), writing, content, otherType: seldom(8) }),
);

export const step = fc.oneof(
  { arbitrary: beginning, weight: 8 },
  { arbitrary: fc.record({ kind: fc.constant('merge' as const), writing, content }), weight: 10 },
  {
    arbitrary: fc.record({
      kind: fc.constant('jsonPatch' as const),
      writing,
      operations: fc.array(operation, { maxLength: 4 }),
    }),
    weight: 10,
  },
  { arbitrary: fc.record({ kind: fc.constant('delete' as const), writing }), weight: 4 },
  { arbitrary: fc.record({ kind: fc.constant('restore' as const), writing }), weight: 4 },
  {
    arbitrary: fc.record({
      kind: fc.constant('revert' as const),
      writing,
      to: point,
      names: fc.option(names, { freq: 2 }),
    }),
    weight: 6,
  },
  {
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      ...address,
      asOf: fc.option(point, { freq: 3 }),
      fields: seldomSome(names),
      repeated: fc.boolean(),
      told: seldom(3),
      known: seldomSome(tag),
      head: seldom(5),
    }),
    weight: 8,
  },
  {
    arbitrary: fc.record({
      kind: fc.constant('list' as const),
      targets: fc.array(fc.record(address), { minLength: 1, maxLength: 5 }),
      asOf: fc.option(fc.record({ target: number, point }), { freq: 2 }),
      fields: seldomSome(names),
      repeated: fc.boolean(),
      told: seldom(3),
    }),
    weight: 4,
  },
  {
    arbitrary: fc.record({
      kind: fc.constant('diff' as const),
      ...address,
      from: point,
      to: fc.option(point, { freq: 3 }),
    }),
    weight: 5,
  },
  {
    arbitrary: fc.record({ kind: fc.constant('history' as const), ...address, order, limit, meanwhile: seldom(4) }),
    weight: 3,
  },
  {
    arbitrary: fc.record({
      kind: fc.constant('ranges' as const),
      ...address,
      name: fc.oneof({ arbitrary: number, weight: 8 }, { arbitrary: name, weight: 1 }),
      asOf: seldomSome(point),
      from: fc.option(point, { freq: 2 }),
      to: fc.option(point, { freq: 2 }),
      order,
      limit,
      meanwhile: seldom(4),
    }),
    weight: 7,
  },
  { arbitrary: fc.record({ kind: fc.constant('activity' as const), n: number, limit }), weight: 3 },
);
export type Step = Drawn<typeof step>;

/** What a run begins with: the keys and the version of the UUIDs of entities that it may create, and the first that it creates. */
export const start = fc.record({
  keys: fc.tuple(fc.constantFrom(...KEYS), fc.constantFrom(...KEYS)).filter(([a, b]) => a !== b),
  version: fc.constantFrom(4, 7),
  first: beginning,
});
export type Start = Drawn<typeof start>;

export type StepOf<Kind extends Step['kind']> = Extract<Step, { kind: Kind }>;
