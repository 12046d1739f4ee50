import t from 'tap';
import { readEntitiesNow } from '../../src/storage/entities.js';
import type { EntityLookup, PastEntityRow, PastLookup } from '../../src/storage/rows.js';
import { engine, type Storage } from '../../src/storage/storage.js';
import { writeEntity } from '../../src/storage/write.js';
import { remove, restore } from '../../src/temporal/change.js';
import { UNCONDITIONAL } from '../../src/temporal/conditions.js';
import { newId } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';
import type { Point } from '../../src/temporal/point.js';
import { testDatabase } from '../helper/database.js';
import { statementsOf } from '../helper/plans.js';
import { asOf, change, make, now } from '../helper/write.js';

t.test('reading entities', async (t) => {
  const { sql, storage, serviceUrl, hand } = await testDatabase(t);
  const { id, updatedAt: first } = (await make(storage, { a: 1, b: 'x', c: null })).row;
  const { updatedAt: second } = (await change(storage, id, { a: 2, b: null, d: [1] })).row;
  const intent = { label: id, conditions: UNCONDITIONAL, activity: null };
  await writeEntity(storage, { id, decide: (current) => remove(current, intent) });
  await writeEntity(storage, {
    id,
    decide: (current, past) => restore(current, past, intent),
    pastOf: () => ({ tick: 2 }),
  });
  const { updatedAt: last } = (await change(storage, id, { a: 3 })).row;
  const other = (await make(storage, { a: 'other' })).row;

  /** Each point, and the state as of it: its tick (null: none) and its properties. */
  const points: [point: Point, tick: number | null, properties: object | null][] = [
    [{ tick: 1 }, 1, { a: 1, b: 'x', c: null }],
    [{ tick: 2 }, 2, { a: 2, c: null, d: [1] }],
    [{ tick: 3 }, 3, {}],
    [{ tick: 4 }, 4, { a: 2, c: null, d: [1] }],
    [{ tick: 5 }, 5, { a: 3, c: null, d: [1] }],
    [{ tick: 6 }, null, null],
    [{ instant: '2001-01-01T00:00:00Z' }, null, null],
    [{ instant: first }, 1, { a: 1, b: 'x', c: null }],
    [{ instant: second }, 2, { a: 2, c: null, d: [1] }],
    [{ instant: second.replace('Z', '+00:00') }, 2, { a: 2, c: null, d: [1] }],
    [{ instant: last }, 5, { a: 3, c: null, d: [1] }],
  ];
  const stateOf = (row: PastEntityRow | undefined) =>
    row && (row.tick === null ? [null, null] : [row.tick, JSON.parse(row.properties)]);

  await t.test('questions of all kinds that share a statement are each answered their own', async (t) => {
    const asked = points.flatMap(([point, tick, properties]): [PastLookup, unknown][] => [
      [{ id, fields: null, point }, [tick, properties]],
      [{ id, fields: ['a'], point }, [tick, properties && 'a' in properties ? { a: properties.a } : properties && {}]],
      [{ id: newId(), fields: null, point }, undefined],
    ]);
    const answers = await Promise.all(asked.map(([question]) => storage[engine].entityThen(question)));
    t.same(
      answers.map(stateOf),
      asked.map(([, expected]) => expected),
    );
    const present: [EntityLookup, unknown][] = [
      [
        { id, fields: null },
        { a: 3, c: null, d: [1] },
      ],
      [{ id, fields: ['d', 'zz'] }, { d: [1] }],
      [{ id: other.id, fields: null }, { a: 'other' }],
      [{ id: newId(), fields: ['a'] }, undefined],
      [
        { id, fields: null },
        { a: 3, c: null, d: [1] },
      ],
    ];
    const rows = await Promise.all(present.map(([question]) => storage[engine].entityNow(question)));
    t.same(
      rows.map((row) => row && JSON.parse(row.properties)),
      present.map(([, expected]) => expected),
    );
  });

  await t.test('an entity as of a point is the same whether or not it is asked first how it stands now', async (t) => {
    for (const lately of ['older', 'unchanged', 'older'] as const) {
      for (let n = 0; n < 100; n++) await asOf(storage, other.id, { tick: 1 });
      if (lately === 'older') for (let n = 0; n < 100; n++) await asOf(storage, id, { tick: 1 });
      for (const [point, tick, properties] of points) {
        t.same(stateOf(await asOf(storage, id, point)), [tick, properties], `${JSON.stringify(point)}, ${lately}`);
      }
    }
    t.match(await now(storage, id), { tick: 5 });
  });

  await t.test('a large entity is read alone, apart from those that share statements, and whole', async (t) => {
    const random = (length: number) => Array.from({ length }, () => Math.random());
    /** How large it is, and whether it was changed since. */
    const cases: [name: string, value: JsonObject, isLarge: boolean][] = [
      ['short text', { value: 'x' }, false],
      ['text that compresses well', { value: 'x'.repeat(2 ** 21) }, true],
      ['text that compresses to little, and is small', { value: 'x'.repeat(2 ** 15) }, false],
      ['text that compresses to a few kB', { value: 'x'.repeat(2 ** 18) }, true],
      ['numbers that do not compress', { value: random(20_000) }, true],
      ['less of them', { value: random(2_000) }, false],
      [
        'many properties',
        Object.fromEntries(random(1_000).map((value, n) => [`p${n}`, [value, 'x'.repeat(60)]])),
        true,
      ],
    ];
    for (const [name, properties, isLarge] of cases) {
      const { id: one } = (await make(storage, properties)).row;
      const expected = (
        await sql`SELECT e.properties::text AS properties FROM clocktick.entity e WHERE e.id = ${one}`
      )[0];
      const reads = (db: Storage): Promise<unknown>[] => [
        db[engine].entityNow({ id: one, fields: null }),
        db[engine].entityThen({ id: one, fields: null, point: { tick: 1 } }),
      ];
      for (const isChanged of [false, true]) {
        if (isChanged) await change(storage, one, Object.fromEntries(Object.keys(properties).map((key) => [key, 1])));
        const sent = await statementsOf(serviceUrl, async (db) => {
          const [now, then] = await Promise.all(reads(db));
          t.match(then, { tick: 1, properties: expected?.properties }, `${name}, then`);
          t.match(now, isChanged ? { tick: 2 } : { tick: 1, properties: expected?.properties }, `${name}, now`);
        });
        t.equal(sent.length, 2 + (isLarge ? (isChanged ? 1 : 2) : 0), `${name}${isChanged ? ', changed since' : ''}`);
      }
    }
    const { id: large } = (await make(storage, { value: random(20_000), b: 1 })).row;
    t.match(await storage[engine].entityNow({ id: large, fields: ['b'] }), { properties: '{"b": 1}' });
    t.match(await storage[engine].entityThen({ id: large, fields: ['b'], point: { tick: 1 } }), {
      properties: '{"b": 1}',
    });
  });

  await t.test('however many share a statement, it is one prepared statement', async (t) => {
    const texts = async (count: number) => {
      const ids = Array.from({ length: count }, newId);
      const sent = await statementsOf(serviceUrl, (db) =>
        Promise.all([
          ...ids.map((id) => db[engine].entityNow({ id, fields: null })),
          ...ids.map((id) => db[engine].entityThen({ id, fields: null, point: { tick: 1 } })),
        ]),
      );
      return sent.map(({ text }) => text).toSorted();
    };
    const alone = await texts(1);
    t.equal(alone.length, 2);
    t.same(await texts(70), alone);

    const connection = hand();
    for (const count of [1, 70]) {
      await readEntitiesNow(
        connection,
        Array.from({ length: count }, () => ({ id: newId(), fields: null })),
      );
    }
    t.same(
      [
        ...(await connection`SELECT (generic_plans + custom_plans)::int AS runs FROM pg_prepared_statements
                             WHERE statement LIKE '%clocktick.entity%' AND statement NOT LIKE '%pg_prepared%'`),
      ],
      [{ runs: 2 }],
      'prepared once, run twice',
    );
    await connection.end();
  });
});
