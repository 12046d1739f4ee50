import fc from 'fast-check';
import t from 'tap';
import type { Operator, Predicate } from '../../../src/temporal/filter.js';
import { idOfKey } from '../../../src/temporal/identity.js';
import { isObject, type Json, type JsonObject } from '../../../src/temporal/json.js';
import { importHistory } from '../../helper/imported.js';
import { canonical, same } from '../../helper/model.js';
import { type Answer, type Call, list, object, problem, testService, text } from '../../helper/service.js';
import { writeMany } from '../../helper/write.js';

/*
 * What `where`, `everHad` and `changedBetween` find, against an oracle that knows nothing of ranges or indexes: it keeps the
 * whole state of every entity at every instant, and compares values in JavaScript.
 */

/** A value that a property can have, or none. */
type Value = Json | undefined;

/** Every JSON type, what is nearly the same, and what is nested. */
const VALUES: Value[] = [
  undefined,
  null,
  true,
  false,
  0,
  1,
  1.5,
  30,
  -7,
  1e21,
  '',
  'a',
  'B',
  'ä',
  'z',
  '\u{1F600}',
  '\uFB00',
  '30',
  'null',
  'vip',
  [],
  ['vip'],
  ['vip', 'vip', 30],
  [['vip']],
  [30, null],
  [{ a: 1 }],
  [{ a: 1, b: 2 }, 'a'],
  {},
  { vip: 1 },
  { a: 1 },
  { a: { b: [1, 'vip'] }, '': null },
  { a: 1, b: 2 },
];
const NULLS = VALUES.filter((value) => value !== undefined);

/** The operands that are asked for with each operator. */
const OPERANDS: Record<Operator, Json[]> = {
  eq: NULLS,
  ne: NULLS.filter((value) => value !== null),
  lt: NULLS.filter((value) => typeof value === 'number' || typeof value === 'string'),
  lte: [0, 1.5, 30, '', 'B', 'ä', '\u{1F600}'],
  gt: [0, 1.5, 30, '', 'B', 'ä', '\u{1F600}'],
  gte: NULLS.filter((value) => typeof value === 'number' || typeof value === 'string'),
  in: [[], [30, '30'], [null, false], ['a', 'a', ['vip'], { a: 1 }], [[]], [1, 1.0, 2]],
  has: ['vip', 30, null, ['vip'], { a: 1 }, 'a', 'x', []],
  hasKey: ['vip', 'a', '', 'x', '30'],
  exists: [true, false],
};
const CONDITIONS: Predicate[] = Object.entries(OPERANDS).flatMap(([operator, operands]) =>
  operands.map((operand) => ({ property: 'p', operator: operatorOf(operator), operand })),
);
const INDEXED: Operator[] = ['eq', 'in', 'has', 'hasKey'];
const EVER = CONDITIONS.filter(({ operator }) => INDEXED.includes(operator));

function operatorOf(name: string): Operator {
  const operators: Operator[] = ['eq', 'ne', 'lt', 'lte', 'gt', 'gte', 'in', 'has', 'hasKey', 'exists'];
  const found = operators.find((operator) => operator === name);
  if (!found) throw new Error(name);
  return found;
}

const typeOf = (value: Json): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

/** What the contract says of a condition. */
function passes(value: Value, { operator, operand }: Predicate): boolean {
  if (operator === 'exists') return (value !== undefined) === operand;
  if (value === undefined) return false;
  if (operator === 'in') return list(operand).some((one) => same(one, value));
  if (operator === 'has') return Array.isArray(value) && value.some((element) => same(element, operand));
  if (operator === 'hasKey') return isObject(value) && Object.keys(value).includes(text(operand));
  if (typeOf(value) !== typeOf(operand)) return false;
  if (operator === 'eq') return same(value, operand);
  if (operator === 'ne') return !same(value, operand);
  const order =
    typeof value === 'number'
      ? value - Number(operand)
      : Buffer.compare(Buffer.from(text(value)), Buffer.from(text(operand)));
  return { lt: order < 0, lte: order <= 0, gt: order > 0, gte: order >= 0 }[operator];
}

/** An entity at an instant; null: deleted. */
type State = { at: string; properties: JsonObject | null };
type World = Map<string, State[]>;

type Question = { where?: Predicate[]; everHad?: Predicate[]; changedBetween?: [string, string]; asOf?: string };

const stateAt = (states: readonly State[], at: string) => states.findLast((state) => state.at <= at);

/** The keys of what must be found, in order. */
function expected(world: World, { where = [], everHad = [], changedBetween, asOf = '9999' }: Question): string[] {
  const [after, until = asOf] = changedBetween ?? [];
  const wantsDeleted = everHad.length > 0 || changedBetween !== undefined;
  return [...world]
    .filter(([, states]) => {
      const now = stateAt(states, until);
      if (!now || (now.properties === null && !wantsDeleted)) return false;
      const held = (state: State, name: string) => state.properties?.[name];
      return (
        where.every((condition) => passes(held(now, condition.property), condition)) &&
        everHad.every((condition) =>
          states.some((state) => state.at <= until && passes(held(state, condition.property), condition)),
        ) &&
        (after === undefined || states.some(({ at }) => at > after && at <= until))
      );
    })
    .map(([key]) => key)
    .sort();
}

/** Conditions as a caller writes them: several operators of a property in one object. */
function filterText(conditions: readonly Predicate[]): string {
  const properties = new Map<string, [string, Json][]>();
  for (const { property, operator, operand } of conditions)
    properties.set(property, [...(properties.get(property) ?? []), [operator, operand]]);
  return JSON.stringify(
    Object.fromEntries([...properties].map(([name, wanted]) => [name, Object.fromEntries(wanted)])),
  );
}

function pathOf(question: Question, more: Record<string, string> = {}): string {
  const { where, everHad, changedBetween, asOf } = question;
  return `/entities?${new URLSearchParams({
    type: 'thing',
    limit: '1000',
    ...(where ? { where: filterText(where) } : {}),
    ...(everHad ? { everHad: filterText(everHad) } : {}),
    ...(changedBetween ? { changedBetween: changedBetween.join(',') } : {}),
    ...(asOf ? { asOf } : {}),
    ...more,
  })}`;
}

const keysOf = (answer: Answer) => list(answer.body.items).map((item) => text(object(item).key));

async function walk(
  call: Call,
  question: Question,
  limit: string,
  more: Record<string, string> = {},
): Promise<Answer[]> {
  const pages = [await call('GET', pathOf(question, { limit, ...more }))];
  for (let next = pages[0]?.body.next; next; next = pages.at(-1)?.body.next)
    pages.push(await call('GET', pathOf(question, { limit, ...more, cursor: text(next) })));
  return pages;
}

/** Rounds of changes: in each every entity gets the value some places further, and some are deleted, and come back. */
async function makeWorld(call: Call): Promise<{ world: World; instants: string[] }> {
  const world: World = new Map();
  const instants: string[] = [];
  for (const [round, shift] of [0, 5, 5, 16, 3].entries()) {
    let at = '';
    for (let n = 0; n < VALUES.length; n++) {
      const key = `k${String(n).padStart(2, '0')}`;
      const properties: JsonObject = { n: n % 3, round: round % 2 === 0 ? 'even' : 'odd' };
      const value = VALUES[(n + shift) % VALUES.length];
      if (value !== undefined) properties.p = value;
      const isGone = round > 0 && (n + round) % 7 === 0;
      const answer = isGone
        ? await call('DELETE', `/entities/thing:${key}`)
        : await call('PUT', `/entities/thing:${key}`, { type: 'thing', properties });
      if (answer.status >= 300) throw new Error(answer.text);
      const states = world.get(key) ?? [];
      at = text(answer.headers['tick-at']);
      if (states.at(-1)?.at !== at) states.push({ at, properties: isGone ? null : properties });
      world.set(key, states);
    }
    instants.push(at);
  }
  return { world, instants };
}

t.test('where, everHad and changedBetween find what the whole states say', async (t) => {
  const { call, sql } = await testService(t);
  const { world, instants } = await makeWorld(call);
  // Another type with the same values: none of it may be found.
  for (const [n, value] of NULLS.entries())
    await call('PUT', `/entities/other:k${n}`, { type: 'other', properties: { p: value, q: value } });
  /** Now, and as of rounds in turn: every operator has operands enough to be asked as of each. */
  const points = (n: number): (string | undefined)[] => [undefined, instants[n % 5], instants[(n + 2) % 5]];
  const say = (conditions: readonly Predicate[], asOf: string | undefined) =>
    `${filterText(conditions)} ${asOf === undefined ? 'now' : `as of round ${instants.indexOf(asOf) + 1}`}`;

  await t.test('every operator, on every type of value, missing ones too: now and as of rounds', async (t) => {
    let found = 0;
    for (const [n, condition] of CONDITIONS.entries()) {
      for (const asOf of points(n)) {
        const question = { where: [condition], ...(asOf ? { asOf } : {}) };
        const answer = await call('GET', pathOf(question));
        t.same(keysOf(answer), expected(world, question), say([condition], asOf));
        found += keysOf(answer).length;
      }
    }
    t.ok(found > 750, `the cases find something: ${found}`);
  });

  await t.test('everHad: what was ever held by then', async (t) => {
    for (const [n, condition] of EVER.entries()) {
      for (const asOf of points(n)) {
        const question = { everHad: [condition], ...(asOf ? { asOf } : {}) };
        t.same(keysOf(await call('GET', pathOf(question))), expected(world, question), say([condition], asOf));
      }
    }
  });

  await t.test(
    'a plain value is eq; several operators of a property, and several properties, must all hold',
    async (t) => {
      for (const value of NULLS.filter((value) => !isObject(value))) {
        const plain = await call(
          'GET',
          `/entities?${new URLSearchParams({ type: 'thing', where: JSON.stringify({ p: value }) })}`,
        );
        t.same(keysOf(plain), expected(world, { where: [{ property: 'p', operator: 'eq', operand: value }] }));
      }
      const pick = <T>(items: readonly T[]) => fc.constantFrom(...items);
      const conditions = fc.uniqueArray(
        fc.oneof(
          pick(CONDITIONS),
          pick([0, 1, 2, 3]).map((operand): Predicate => ({ property: 'n', operator: 'eq', operand })),
          pick([0, 1]).map((operand): Predicate => ({ property: 'n', operator: 'gt', operand })),
          pick(['even', 'odd']).map((operand): Predicate => ({ property: 'round', operator: 'eq', operand })),
        ),
        { minLength: 1, maxLength: 3, selector: ({ property, operator }) => `${property} ${operator}` },
      );
      const ever = fc.uniqueArray(pick(EVER), { minLength: 1, maxLength: 2, selector: ({ operator }) => operator });
      const window = fc.tuple(fc.nat(4), fc.nat(4)).map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]);
      await fc.assert(
        fc.asyncProperty(
          fc.option(conditions),
          fc.option(ever),
          fc.option(window),
          fc.nat(5),
          async (where, everHad, between, point) => {
            const asOf = between ? undefined : instants[point];
            const question: Question = {
              ...(where ? { where } : {}),
              ...(everHad ? { everHad } : {}),
              ...(between ? { changedBetween: [instants[between[0]] ?? '', instants[between[1]] ?? ''] } : {}),
              ...(asOf ? { asOf } : {}),
            };
            const answer = await call('GET', pathOf(question));
            const keys = answer.status === 200 ? keysOf(answer) : [answer.text];
            return canonical(keys) === canonical(expected(world, question));
          },
        ),
        { numRuns: 300 },
      );
    },
  );

  await t.test('pages of what is found, in order, each with the same bytes as the entity as of then', async (t) => {
    const questions: Question[] = [
      { where: [{ property: 'round', operator: 'eq', operand: 'even' }], asOf: instants[2] ?? '' },
      { where: [{ property: 'n', operator: 'gte', operand: 1 }] },
      { everHad: [{ property: 'p', operator: 'in', operand: ['a', 'B', 30, null, []] }] },
      { changedBetween: [instants[1] ?? '', instants[3] ?? ''] },
    ];
    for (const question of questions) {
      const pages = await walk(call, question, '3');
      t.ok(pages.length > 2);
      t.same(pages.flatMap(keysOf), expected(world, question));
      const asOf = text(pages[0]?.body.asOf);
      for (const item of pages.flatMap(({ body }) => list(body.items)).map(object)) {
        if (item.deleted) continue;
        t.same((await call('GET', `/entities/${item.id}?asOf=${asOf}`)).body, item);
      }
      const first = pages[0];
      const again = await call('GET', text(first?.headers['content-location']));
      t.equal(again.text, first?.text, 'its own URL gives the same bytes');
      t.match(await call('GET', pathOf(question), undefined, { 'if-none-match': text(first?.headers.etag) }), {
        status: 304,
      });
    }
  });

  await t.test('what changed between two instants is what differs between both states', async (t) => {
    for (const [from, to] of [
      [0, 1],
      [0, 4],
      [2, 3],
    ] as const) {
      const window: [string, string] = [instants[from] ?? '', instants[to] ?? ''];
      const answer = await call('GET', pathOf({ changedBetween: window }, { include: 'changes' }));
      const items = list(answer.body.items).map(object);
      t.ok(items.length > 20);
      for (const item of items) {
        const diff = await call('GET', `/entities/${item.id}/diff?from=${window[0]}&to=${window[1]}`);
        t.same(item.changes, diff.body.changes);
        t.equal(JSON.stringify(item.changes), JSON.stringify(diff.body.changes), 'in the same order');
      }
      const some = await call('GET', pathOf({ changedBetween: window }, { include: 'changes', fields: 'round' }));
      for (const item of list(some.body.items).map(object))
        t.ok(Object.keys(object(item.changes)).every((name) => name === 'round'));
    }
    const made = await call('PUT', '/entities/thing:new', { type: 'thing', properties: { p: 1 } });
    const now = text(made.headers['tick-at']);
    const answer = await call('GET', pathOf({ changedBetween: [instants[4] ?? '', now] }, { include: 'changes' }));
    t.match(answer.body, { items: [{ key: 'new', changes: { p: { to: 1 } } }] });
    t.same(
      (await call('GET', pathOf({ changedBetween: [now, now] }))).body.items,
      [],
      'nothing is after and at once up to it',
    );
    world.set('new', [{ at: now, properties: { p: 1 } }]);
  });

  await t.test('by what was recorded at an instant, nothing is later than that', async (t) => {
    const last = instants.at(-1) ?? '';
    for (const recordedAsOf of instants.slice(0, 3)) {
      for (const condition of [...EVER, ...CONDITIONS.filter(({ operator }) => operator === 'gte')]) {
        for (const name of INDEXED.includes(condition.operator)
          ? (['where', 'everHad'] as const)
          : (['where'] as const)) {
          const wanted = expected(world, { [name]: [condition], asOf: recordedAsOf });
          for (const asOf of [{}, { asOf: last }]) {
            const pages = await walk(call, { [name]: [condition], ...asOf }, '7', { recordedAsOf });
            t.same(pages.flatMap(keysOf), wanted, `${name} ${say([condition], recordedAsOf)}`);
          }
        }
      }
      const since: [string, string] = [instants[0] ?? '', last];
      const changed = await walk(call, { changedBetween: since }, '7', { recordedAsOf });
      t.same(changed.flatMap(keysOf), expected(world, { changedBetween: [since[0], recordedAsOf] }));
    }
  });

  await t.test('nothing is found that was not recorded yet, nor lost because of what was', async (t) => {
    const before = text((await call('GET', '/entities?type=thing')).body.recordedAsOf);
    const key = 'k02';
    const answers = async () => {
      const texts: string[] = [];
      for (const asOf of [instants[4] ?? '', before])
        for (const condition of EVER)
          for (const name of ['where', 'everHad'] as const)
            texts.push((await call('GET', pathOf({ [name]: [condition], asOf }, { recordedAsOf: before }))).text);
      texts.push(
        (
          await call(
            'GET',
            pathOf({ changedBetween: [instants[3] ?? '', before] }, { recordedAsOf: before, include: 'changes' }),
          )
        ).text,
      );
      return texts;
    };
    const told = await answers();
    const [last] = world.get(key)?.slice(-1) ?? [];
    // A moment after its last tick, so before the instants that are asked for: as an import would record it.
    const later = (
      await sql<{ at: string }[]>`
      SELECT to_char((${last?.at ?? ''}::text::timestamptz + interval '1 microsecond') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`
    )[0]?.at;
    await importHistory(sql, 'thing', key, [{ at: later ?? '', op: 'updated', set: { p: 'imported' } }]);
    t.same(await answers(), told, 'by what was recorded before, all is as it was');
    const exact = text((await call('GET', pathOf({ asOf: later ?? '' }))).body.asOf);
    t.equal(exact, later, 'an import at the very instant of a pin');
    const pinned = { asOf: later ?? '' };
    t.same(
      keysOf(await call('GET', pathOf({ where: [{ property: 'p', operator: 'eq', operand: 'imported' }], ...pinned }))),
      [key],
    );
    t.same(
      keysOf(
        await call(
          'GET',
          pathOf(
            { where: [{ property: 'p', operator: 'eq', operand: 'imported' }], ...pinned },
            { recordedAsOf: before },
          ),
        ),
      ),
      [],
    );
    const imported: Predicate = { property: 'p', operator: 'eq', operand: 'imported' };
    t.same(keysOf(await call('GET', pathOf({ where: [imported], asOf: before }))), [key]);
    t.same(keysOf(await call('GET', pathOf({ everHad: [imported], asOf: before }))), [key]);
    t.same(keysOf(await call('GET', pathOf({ everHad: [imported], asOf: before }, { recordedAsOf: before }))), []);
  });
});

t.test('names and values that are data; all types at once', async (t) => {
  const { call } = await testService(t);
  const names = ['__proto__', 'constructor', 'eq', 'a"b', "a'b", 'a,b', '😀', '$1', '{}', 'a\\b', 'x'.repeat(256)];
  for (const [n, name] of names.entries()) {
    const properties = Object.fromEntries([[name, [name, n]]]);
    await call('PUT', `/entities/t${n % 2}:k${n}`, { type: `t${n % 2}`, properties });
  }
  for (const [n, name] of names.entries()) {
    for (const wanted of [[name, n], { has: name }, { has: n }, { in: [1, [name, n]] }]) {
      const where = JSON.stringify(Object.fromEntries([[name, wanted]]));
      for (const parameter of ['where', 'everHad']) {
        const answer = await call('GET', `/entities?${new URLSearchParams({ [parameter]: where })}`);
        t.same(keysOf(answer), [`k${n}`], where);
      }
    }
  }
});

t.test('a filtered walk over all types, in pages', async (t) => {
  const { call } = await testService(t);
  const made: string[] = [];
  for (const type of ['b', 'a', 'c'])
    for (const key of ['y', 'x', 'z']) {
      const n = made.length;
      await call('PUT', `/entities/${type}:${key}`, { type, properties: { n, is: n % 4 === 3 ? 'out' : 'in' } });
      made.push(`${type}:${key} ${n % 4 === 3 ? 'out' : 'in'}`);
    }
  const wanted = made
    .filter((one) => one.endsWith(' in'))
    .map((one) => one.slice(0, 3))
    .sort();
  for (const filter of [{ where: '{"is": "in"}' }, { where: '{"is": {"ne": "out"}}' }, { everHad: '{"is": "in"}' }]) {
    const found: string[] = [];
    for (let cursor: string | undefined, pages = 0; pages === 0 || cursor !== undefined; pages++) {
      const query = new URLSearchParams({ ...filter, limit: '2', ...(cursor === undefined ? {} : { cursor }) });
      const { body } = await call('GET', `/entities?${query}`);
      found.push(...list(body.items).map((item) => `${object(item).type}:${object(item).key}`));
      cursor = typeof body.next === 'string' ? body.next : undefined;
    }
    t.same(found, wanted, JSON.stringify(filter));
  }
});

t.test('an array of more than a hundred elements is found by any of them, and not before it had it', async (t) => {
  const { call } = await testService(t);
  const many = Array.from({ length: 1_500 }, (_, n) => `e${n}`);
  const put = (tags: Json) =>
    call('PUT', '/entities/thing:many', {
      type: 'thing',
      properties: { tags, object: Object.fromEntries(many.map((name) => [name, 1])) },
    });
  const few = await put(many.slice(0, 10));
  const all = await put(many);
  const more = await put([...many, 'later']);
  const rest = await put(many.slice(1_495));
  const cases: [parameter: string, filter: Json, at: Answer, isFound: boolean][] = [
    ['where', { tags: { has: 'e9' } }, few, true],
    ['where', { tags: { has: 'e1400' } }, few, false],
    ['where', { tags: { has: 'e1400' } }, all, true],
    ['where', { tags: { has: 'e1500' } }, all, false],
    ['where', { object: { hasKey: 'e1400' } }, all, true],
    ['where', { object: { hasKey: 'e1500' } }, all, false],
    ['where', { tags: { has: 'e1400' } }, rest, false],
    ['where', { tags: { has: 'e1499' } }, rest, true],
    ['everHad', { tags: { has: 'later' } }, all, false],
    ['everHad', { tags: { has: 'later' } }, more, true],
    ['everHad', { tags: { has: 'e1400' } }, few, false],
    ['everHad', { tags: { has: 'e1400' } }, rest, true],
    ['everHad', { tags: { has: 'e1500' } }, rest, false],
  ];
  for (const [parameter, filter, at, isFound] of cases) {
    const query = new URLSearchParams({
      type: 'thing',
      asOf: text(at.headers['tick-at']),
      [parameter]: JSON.stringify(filter),
    });
    t.same(
      keysOf(await call('GET', `/entities?${query}`)),
      isFound ? ['many'] : [],
      `${parameter} ${JSON.stringify(filter)}`,
    );
  }
});

t.test('more than can be put in order: they are found by going through the collection', async (t) => {
  const { call, sql } = await testService(t);
  const count = 12_000;
  const keys = Array.from({ length: count }, (_, n) => `k${String(n).padStart(5, '0')}`);
  const write = (expected: number, set: (n: number) => JsonObject) =>
    writeMany(
      sql,
      keys.map((key, n) => ({
        id: idOfKey('thing', key),
        expected,
        op: expected === 0 ? 'created' : 'updated',
        type: 'thing',
        key,
        set: set(n),
      })),
    );
  await write(0, (n) => ({ state: n % 3 === 0 ? 'off' : 'on', tags: n % 2 === 0 ? ['all', `n${n}`] : ['all'] }));
  const then = text((await call('GET', '/entities?type=thing&limit=1')).body.asOf);
  await write(1, (n) => ({ state: n === 11_111 ? 'on' : 'off' }));
  const now = text((await call('GET', '/entities?type=thing&limit=1')).body.asOf);
  const on: Predicate = { property: 'state', operator: 'eq', operand: 'on' };
  const all: Predicate = { property: 'tags', operator: 'has', operand: 'all' };
  const cases: [question: Question, isFound: (n: number) => boolean][] = [
    [{ where: [on], asOf: then }, (n) => n % 3 !== 0],
    [{ where: [on] }, (n) => n === 11_111],
    [{ where: [all, on], asOf: then }, (n) => n % 3 !== 0],
    [{ where: [all, { property: 'tags', operator: 'has', operand: 'n12' }] }, (n) => n === 12],
    [{ where: [{ property: 'state', operator: 'gt', operand: 'off' }] }, (n) => n === 11_111],
    [{ everHad: [on] }, (n) => n % 3 !== 0 || n === 11_111],
    [{ everHad: [on, all] }, (n) => n % 3 !== 0 || n === 11_111],
    [{ everHad: [on], where: [on] }, (n) => n === 11_111],
    [{ changedBetween: [then, now] }, (n) => n !== -1],
    [{ changedBetween: [then, now], where: [on] }, (n) => n === 11_111],
  ];
  for (const [question, isFound] of cases) {
    const pages = await walk(call, question, '1000');
    // As texts: to compare arrays of 8,000 takes tap seconds.
    t.equal(
      pages.flatMap(keysOf).join(' '),
      keys.filter((_, n) => isFound(n)).join(' '),
      filterText([...(question.where ?? []), ...(question.everHad ?? [])]),
    );
  }
  const first = await call('GET', pathOf({ where: [{ property: 'state', operator: 'gt', operand: 'off' }] }));
  t.same([keysOf(first), typeof first.body.next], [[], 'string'], 'a page may be short, and say where to go on');
});

t.test('what is asked wrongly is refused, and told where', async (t) => {
  const { call } = await testService(t);
  const many = Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`p${n}`, n]));
  const cases: [query: Record<string, string>, code: string, path: string, message: RegExp][] = [
    [{ where: '' }, 'invalid_filter', 'where', /is empty/],
    [
      { where: JSON.stringify({ a: { in: [1, 2, 3, 4, 5] }, b: { in: [1, 2, 3, 4, 5, 6] } }) },
      'invalid_filter',
      'where',
      /11 values.*type/,
    ],
    [
      { everHad: JSON.stringify({ a: { in: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] } }) },
      'invalid_filter',
      'everHad',
      /11 values.*type/,
    ],
    [{ where: '{' }, 'invalid_filter', 'where', /JSON/],
    [{ where: '{"a": 1, "a": 2}' }, 'invalid_filter', 'where', /twice/],
    [{ where: '{"a": 9007199254740993}' }, 'invalid_filter', 'where', /\/a/],
    [{ where: '{"a": "\\u0000"}' }, 'invalid_filter', 'where', /\/a/],
    [{ where: `{"a": ${'['.repeat(200)}${']'.repeat(200)}}` }, 'invalid_filter', 'where', /nested|level/],
    [{ where: '[]' }, 'invalid_filter', 'where', /object/],
    [{ where: 'null' }, 'invalid_filter', 'where', /object/],
    [{ where: '"a"' }, 'invalid_filter', 'where', /object/],
    [{ where: '{"": 1}' }, 'invalid_filter', 'where', /name/],
    [{ where: '{"..": 1}' }, 'invalid_filter', 'where', /named/],
    [{ where: JSON.stringify(many) }, 'invalid_filter', 'where', /21 conditions/],
    [{ where: '{"a": {}}' }, 'invalid_filter', 'where', /\/a names no operator/],
    [{ where: '{"a": {"b": 1}}' }, 'invalid_filter', 'where', /\/a\/b is no operator here.*eq/],
    [{ where: '{"a": {"__proto__": 1}}' }, 'invalid_filter', 'where', /\/a\/__proto__/],
    [{ where: '{"a": {"lt": null}}' }, 'invalid_filter', 'where', /\/a\/lt must be a number or a string/],
    [{ where: '{"a": {"gte": [1]}}' }, 'invalid_filter', 'where', /\/a\/gte/],
    [{ where: '{"a": {"ne": null}}' }, 'invalid_filter', 'where', /\/a\/ne/],
    [{ where: '{"a": {"in": 1}}' }, 'invalid_filter', 'where', /\/a\/in must be an array/],
    [
      { where: JSON.stringify({ a: { in: Array.from({ length: 101 }, (_, n) => n) } }) },
      'invalid_filter',
      'where',
      /101 values/,
    ],
    [{ where: '{"a": {"hasKey": 1}}' }, 'invalid_filter', 'where', /\/a\/hasKey must be a string/],
    [{ where: '{"a": {"exists": 1}}' }, 'invalid_filter', 'where', /\/a\/exists must be true or false/],
    [{ everHad: '{}' }, 'invalid_filter', 'everHad', /no property/],
    [{ everHad: '{"a": {"gt": 1}}' }, 'invalid_filter', 'everHad', /\/a\/gt is no operator here/],
    [{ everHad: '{"a": {"exists": true}}' }, 'invalid_filter', 'everHad', /\/a\/exists/],
    [{ changedBetween: '2016-01-01T00:00:00Z' }, 'invalid_parameter', 'changedBetween', /two instants/],
    [{ changedBetween: '' }, 'invalid_as_of', 'changedBetween', /instant/],
    [{ changedBetween: '1,2' }, 'invalid_as_of', 'changedBetween', /tick/],
    [
      { changedBetween: '2016-01-02T00:00:00Z,2016-01-01T00:00:00Z' },
      'invalid_parameter',
      'changedBetween',
      /ends before/,
    ],
    [
      { changedBetween: '2016-01-01T00:00:00Z,2016-01-02T00:00:00Z,2016-01-03T00:00:00Z' },
      'invalid_parameter',
      'changedBetween',
      /two/,
    ],
    [{ changedBetween: '2016-01-01T00:00:00Z,2999-01-01T00:00:00Z' }, 'as_of_in_future', '', /patient/],
    [
      { changedBetween: '2016-01-01T00:00:00Z,2016-01-02T00:00:00Z', asOf: '2016-01-02T00:00:00Z' },
      'invalid_parameter',
      'asOf',
      /changedBetween/,
    ],
    [{ include: 'changes' }, 'invalid_parameter', 'include', /changedBetween/],
    [{ include: 'history' }, 'invalid_parameter', 'include', /changes/],
    [{ ids: 'thing:a', where: '{}' }, 'invalid_parameter', 'where', /ids/],
    [{ ids: 'thing:a', everHad: '{"a": 1}' }, 'invalid_parameter', 'everHad', /ids/],
  ];
  for (const [query, code, path, message] of cases) {
    const answer = await call('GET', `/entities?${new URLSearchParams(query)}`);
    t.match(answer, problem(400, code, path === '' ? {} : { errors: [{ path }] }), JSON.stringify(query).slice(0, 80));
    t.match(answer.body.detail, message);
  }
  t.match(await call('GET', '/entities?where=%7B%7D'), { status: 200 }, 'no condition is none');
  const long = await call(
    'GET',
    `/entities?${new URLSearchParams({ where: JSON.stringify({ a: 'x'.repeat(14_000) }) })}`,
  );
  t.match(
    [long.status, long.headers.link, long.headers['content-location']],
    [200, undefined, undefined],
    'not repeated',
  );
  const page = await call('PUT', '/entities/thing:a', { type: 'thing', properties: { a: 1 } });
  await call('PUT', '/entities/thing:b', { type: 'thing', properties: { a: 1 } });
  t.equal(page.status, 201);
  const first = await call('GET', `/entities?${new URLSearchParams({ where: '{"a": 1}', limit: '1' })}`);
  const elsewhere = new URLSearchParams({ where: '{"a": 2}', limit: '1', cursor: text(first.body.next) });
  t.match(await call('GET', `/entities?${elsewhere}`), problem(400, 'invalid_cursor'), 'a cursor is of one filter');
});
