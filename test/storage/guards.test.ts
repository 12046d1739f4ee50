import postgres from 'postgres';
import t from 'tap';
import { newId } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';
import { MAX_NAME_LENGTH } from '../../src/temporal/limits.js';
import { testDatabase } from '../helper/database.js';
import { everything } from '../helper/everything.js';
import { change, make, writeChanges } from '../helper/write.js';

/*
 * What nobody can do to the record, by hand in psql, as the owner of the tables. Each statement is tried on a database
 * that holds an entity at tick 3 (a: 1, 2, 3; b: "x" removed at tick 2; c and d: set at tick 1 for good) and a second one.
 */
t.test('the database keeps the record from anybody', async (t) => {
  const { sql, storage, url } = await testDatabase(t);
  const { id } = (await make(storage, { a: 1, b: 'x', c: null, d: ['e'] }, { actor: 'me' })).row;
  await change(storage, id, { a: 2, b: null });
  await change(storage, id, { a: 3 });
  const other = (await make(storage, { a: 1 })).row;

  const before = await everything(sql);

  const newEntity = newId();
  const E = `entity_id = '${id}'`;
  const instantOf = (tick: number) => `(SELECT t.at FROM clocktick.tick t WHERE t.${E} AND t.tick = ${tick})`;
  const bump = `UPDATE clocktick.entity SET tick = 4, updated_at = clock_timestamp()`;
  const tick4 = `INSERT INTO clocktick.tick SELECT id, 4, type, clock_timestamp(), clock_timestamp(), 'updated' FROM clocktick.entity WHERE id = '${id}'`;
  /** Bumps the tick and records it, as the service would, but with the given properties and not a range. */
  const tickedBy = (set: string) => `
    WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS at),
         ticked AS (INSERT INTO clocktick.tick SELECT '${id}', 4, 'thing', at, at, 'updated' FROM stamp)
    UPDATE clocktick.entity SET tick = 4, updated_at = (SELECT at FROM stamp), ${set} WHERE id = '${id}'`;
  /** A range that has ended, as a row: by default that of `a`, which a change at tick 4 ends. */
  const ended = ({
    type = 'thing',
    property = 'a',
    vclock = '[3,4)',
    value = '3',
    effective = `tstzrange(${instantOf(3)}, stamp.at)`,
  }: Partial<Record<'type' | 'property' | 'vclock' | 'value' | 'effective', string>> = {}) =>
    `SELECT '${id}'::uuid, '${type}', '${property}', '${vclock}'::int4range, '${value}'::jsonb, ${effective} FROM stamp`;
  const range = (row: Parameters<typeof ended>[0]) =>
    `WITH stamp AS (SELECT updated_at AS at FROM clocktick.entity WHERE id = '${id}') INSERT INTO clocktick.property_history ${ended(row)}`;

  /** The ranges that a tick ends, and since when the entity says that it has what it has, as they should be. */
  const SOUND = { ended: ended(), since: `since || '{"a": 4}'` };
  /** A whole tick as the service would make it, but recorded at its own time; `own` is what the entity says of that. */
  const recordedAt = (at: string, recorded: string, own: string, { ended, since } = SOUND) => `
    WITH stamp AS MATERIALIZED (SELECT at, ${recorded} AS recorded FROM (SELECT ${at} AS at OFFSET 0) stamped),
         ticked AS (INSERT INTO clocktick.tick SELECT '${id}', 4, 'thing', at, recorded, 'updated' FROM stamp),
         ended AS (INSERT INTO clocktick.property_history ${ended})
    UPDATE clocktick.entity e
       SET tick = 4, updated_at = stamp.at, recorded_at = ${own}, properties = properties || '{"a": 4}', since = ${since} FROM stamp
     WHERE id = '${id}'`;
  const changed = (ended: string) => recordedAt('clock_timestamp()', 'at', 'NULL', { ...SOUND, ended });
  const justAfter = `(SELECT updated_at + interval '1 microsecond' FROM clocktick.entity WHERE id = '${id}')`;
  /** The creation of an imported entity; `own` is when the entity says that it was recorded. */
  const imported = (own: string) => `
    WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS recorded),
         ticked AS (INSERT INTO clocktick.tick SELECT '${newEntity}', 1, 'thing', '2001-01-01', recorded, 'created' FROM stamp)
    INSERT INTO clocktick.entity (id, type, tick, properties, created_at, updated_at, recorded_at)
    SELECT '${newEntity}', 'thing', 1, '{}', '2001-01-01', '2001-01-01', ${own} FROM stamp`;

  /** A whole creation, of which the entity says since when it has what it has. */
  const created = (since: string, properties = `'{"a": 1}'`) => `
    WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS at),
         ticked AS (INSERT INTO clocktick.tick SELECT '${newEntity}', 1, 'thing', at, at, 'created' FROM stamp)
    INSERT INTO clocktick.entity (id, type, tick, properties, since, created_at, updated_at)
    SELECT '${newEntity}', 'thing', 1, ${properties}, ${since}, at, at FROM stamp`;

  const refused = '23001';
  const cases: [name: string, code: string, statement: string][] = [
    // What keeps no ranges is none of what does, and says since when
    [
      'a property that is tracked and is not',
      refused,
      tickedBy(`untracked = '{"a": 3}', untracked_ticks = '{"a": [4]}'`),
    ],
    ['an untracked property that never became so', refused, tickedBy(`untracked = '{"z": 1}', untracked_ticks = '{}'`)],
    [
      'an untracked property since another tick',
      refused,
      tickedBy(`untracked = '{"z": 1}', untracked_ticks = '{"z": [3]}'`),
    ],
    [
      'an untracked property that is tracked again',
      refused,
      tickedBy(`untracked = '{"z": 1}', untracked_ticks = '{"z": [4, 4]}'`),
    ],
    ['untracked properties without their ticks', refused, tickedBy(`untracked = '{}'`)],
    ['ticks without untracked properties', '23514', tickedBy(`untracked_ticks = '{}'`)],
    // Invariant 4: repeatable, so nothing is recorded in the past
    ['a tick of the past, recorded then', refused, recordedAt(justAfter, 'at', 'NULL')],
    [
      'a tick recorded before it happened',
      refused,
      recordedAt("clock_timestamp() + interval '9 s'", 'clock_timestamp()', 'recorded'),
    ],
    [
      'a tick of which the entity says nothing when it was recorded',
      refused,
      recordedAt(justAfter, 'clock_timestamp()', 'NULL'),
    ],
    [
      'a tick of which the entity says that it was recorded later',
      refused,
      recordedAt('clock_timestamp()', 'at', "at + interval '1 s'"),
    ],
    ['a creation of which the entity says nothing when it was recorded', refused, imported('NULL')],
    ['a creation of which the entity says that it was recorded later', refused, imported("recorded + interval '1 s'")],
    // … nor in the future
    ['a tick of the future', refused, recordedAt("'2999-01-01Z'::timestamptz", 'at', 'NULL')],
    ['a tick of the next seconds', refused, recordedAt("clock_timestamp() + interval '5 s'", 'at', 'NULL')],
    [
      'a tick of now, recorded in the future',
      refused,
      recordedAt('clock_timestamp()', "at + interval '1 h'", 'recorded'),
    ],
    ['a creation of the future', refused, created(`'{}'`).replace('clock_timestamp()', "'2999-01-01Z'::timestamptz")],
    ['a promise of the future', refused, `INSERT INTO clocktick.promise (at) VALUES ('2999-01-01')`],
    // The instants of a range are those of its ticks
    ...Object.entries({
      'a range that began at another instant': `tstzrange(${instantOf(3)} - interval '1 microsecond', stamp.at)`,
      'a range that began at the instant of another tick': `tstzrange(${instantOf(2)}, stamp.at)`,
      'a range that began after its instant': `tstzrange(${instantOf(3)}, stamp.at, '()')`,
      'a range that ends at another instant': `tstzrange(${instantOf(3)}, stamp.at + interval '1 s')`,
      'a range that ends after its instant': `tstzrange(${instantOf(3)}, stamp.at, '[]')`,
      'a range that ends at no instant': `tstzrange(${instantOf(3)}, null)`,
      'a range over no instant': `'empty'::tstzrange`,
    }).map(([name, effective]): [string, string, string] => [name, refused, changed(ended({ effective }))]),
    [
      'the instants of a range, later',
      refused,
      `UPDATE clocktick.property_history SET effective = tstzrange(lower(effective), now()) WHERE ${E}`,
    ],
    // What is found by values and items is found by all of them
    ['an open value more', refused, 'INSERT INTO clocktick.open_value SELECT * FROM clocktick.open_value'],
    ['an open value less', refused, 'DELETE FROM clocktick.open_value'],
    ['an open value since another instant', refused, 'UPDATE clocktick.open_value SET since = now()'],
    ['no open values', refused, 'TRUNCATE clocktick.open_value'],
    ['an item more', refused, 'INSERT INTO clocktick.item_history SELECT * FROM clocktick.item_history'],
    ['an item less', refused, 'DELETE FROM clocktick.item_history'],
    ['no items', refused, 'TRUNCATE clocktick.item_history'],
    [
      'an item that ends',
      refused,
      `UPDATE clocktick.item_history SET vclock = '[1,2)', effective = tstzrange(lower(effective), now())`,
    ],
    // Invariant 2: one value at a time (T44)
    ['a range over another', refused, range({ vclock: '[1,3)', value: '9' })],
    ['a range over a part of another', refused, range({ vclock: '[2,3)', value: '2' })],
    ['a range where there is none', refused, range({ property: 'b', vclock: '[2,3)', value: '9' })],
    ['a range that has ended once more', refused, range({ property: 'b', vclock: '[1,2)', value: '"x"' })],
    [
      'a range that ends now, of a value that goes on',
      refused,
      range({ property: 'c', vclock: '[1,3)', value: 'null' }),
    ],
    ['a range in the future', refused, range({ vclock: '[3,9)' })],
    ['a range that is open', '23514', range({ vclock: '[3,)' })],
    ['an empty range', '23514', range({ vclock: 'empty' })],
    ['a range without a beginning', '23514', range({ vclock: '(,3)' })],
    ['a range before the first tick', '23514', range({ vclock: '[0,3)' })],
    [
      'a range of nobody',
      refused,
      `INSERT INTO clocktick.property_history VALUES (gen_random_uuid(), 'thing', 'a', '[1,2)', '1', tstzrange(now(), now() + interval '1 s'))`,
    ],
    // … with a change
    ['a change without the range that it ends', refused, changed(`${ended()} LIMIT 0`)],
    ['a change that ends a range twice', refused, changed(`${ended()} UNION ALL ${ended()}`)],
    ['a change that ends another value', refused, changed(ended({ value: '9' }))],
    ['a change that ends a range of another type', refused, changed(ended({ type: 'other' }))],
    [
      'a change that ends a range over another',
      refused,
      changed(ended({ vclock: '[2,4)', effective: `tstzrange(${instantOf(2)}, stamp.at)` })),
    ],
    [
      'a change that ends a range over another, too',
      refused,
      changed(`${ended()} UNION ALL ${ended({ vclock: '[2,4)', effective: `tstzrange(${instantOf(2)}, stamp.at)` })}`),
    ],
    ['a change that ends a range of a tick before', refused, changed(ended({ vclock: '[2,3)' }))],
    ...Object.entries({
      'what goes on': { property: 'c', vclock: '[1,4)', value: 'null' },
      'what it never had': { property: 'z', vclock: '[1,4)', value: '9' },
      'what it no longer had': { property: 'b', vclock: '[1,4)', value: '"x"' },
    }).map(([what, row]): [string, string, string] => [
      `a change that ends ${what}, too`,
      refused,
      changed(`${ended()} UNION ALL ${ended({ ...row, effective: `tstzrange(${instantOf(1)}, stamp.at)` })}`),
    ]),
    [
      'a range recorded in the transaction of the change, after it',
      refused,
      `BEGIN; ${changed(ended())}; WITH stamp AS (SELECT updated_at AS at FROM clocktick.entity WHERE id = '${id}')
         INSERT INTO clocktick.property_history ${ended({ value: '4' })}; COMMIT`,
    ],
    ['a name that is too long', refused, created(`'{}'`, `jsonb_build_object(repeat('x', ${MAX_NAME_LENGTH + 1}), 1)`)],
    ['no name', refused, created(`'{}'`, `'{"": 1}'`)],
    ['a name that is a path', refused, created(`'{}'`, `'{"..": 1}'`)],
    // Invariant 6: append-only (A13)
    ['UPDATE of a recorded value', refused, `UPDATE clocktick.property_history SET short_value = '9' WHERE ${E}`],
    [
      'UPDATE of a recorded value to the same',
      refused,
      'UPDATE clocktick.property_history SET short_value = short_value',
    ],
    ['a range cut short', refused, `UPDATE clocktick.property_history SET vclock = '[1,2)' WHERE ${E}`],
    ['UPDATE of a range’s property', refused, `UPDATE clocktick.property_history SET property = 'z'`],
    ['UPDATE of a range’s entity', refused, `UPDATE clocktick.property_history SET entity_id = '${other.id}'`],
    ['DELETE of ranges', refused, 'DELETE FROM clocktick.property_history'],
    ['TRUNCATE of ranges', refused, 'TRUNCATE clocktick.property_history'],
    ['UPDATE of a tick’s instant', refused, `UPDATE clocktick.tick SET at = at - interval '1 day'`],
    ['UPDATE of a tick’s activity', refused, 'UPDATE clocktick.tick SET activity_id = NULL'],
    ['DELETE of ticks', refused, 'DELETE FROM clocktick.tick'],
    ['TRUNCATE of ticks', refused, 'TRUNCATE clocktick.tick'],
    ['UPDATE of an activity', refused, `UPDATE clocktick.activity SET actor = 'you'`],
    ['DELETE of activities', refused, 'DELETE FROM clocktick.activity'],
    ['TRUNCATE of activities', refused, 'TRUNCATE clocktick.activity'],
    ['DELETE of an entity', refused, `DELETE FROM clocktick.entity WHERE id = '${id}'`],
    ['TRUNCATE of entities', refused, 'TRUNCATE clocktick.entity'],
    [
      'TRUNCATE of everything',
      refused,
      'TRUNCATE clocktick.entity, clocktick.tick, clocktick.property_history, clocktick.activity CASCADE',
    ],
    ['a new id', refused, `UPDATE clocktick.entity SET id = gen_random_uuid() WHERE id = '${id}'`],
    ['a new type', refused, `UPDATE clocktick.entity SET type = 'other' WHERE id = '${id}'`],
    ['a new key', refused, `UPDATE clocktick.entity SET key = 'key' WHERE id = '${id}'`],
    ['another instant of creation', refused, `UPDATE clocktick.entity SET created_at = now() WHERE id = '${id}'`],
    [
      'triggers passed by as a replica',
      refused,
      `SET session_replication_role = replica; UPDATE clocktick.tick SET op = 'deleted'`,
    ],
    [
      'MERGE',
      refused,
      `MERGE INTO clocktick.tick t USING clocktick.entity e ON e.id = t.entity_id WHEN MATCHED THEN DELETE`,
    ],
    [
      'INSERT … ON CONFLICT',
      refused,
      `INSERT INTO clocktick.tick SELECT * FROM clocktick.tick ON CONFLICT (entity_id, tick) DO UPDATE SET at = now()`,
    ],
    // … and the entity says since which tick it has each value
    ...[
      ['nothing', 'since'],
      ['another tick', `since || '{"a": 3}'`],
      ['what no number of a tick is', `since || '{"a": 4.0}'`],
      ['what no number is', `since || '{"a": "4"}'`],
      ['it of another property, too', `since || '{"a": 4, "c": 4}'`],
      ['it of a property that it has not', `since || '{"a": 4, "z": 4}'`],
    ].map(([what = '', since = '']): [string, string, string] => [
      `a change of which the entity says since when: ${what}`,
      refused,
      recordedAt('clock_timestamp()', 'at', 'NULL', { ...SOUND, since }),
    ]),
    ['since when, altered without a change', refused, tickedBy(`since = since || '{"c": 2}'`)],
    ['since when, altered to what no number of a tick is', refused, tickedBy(`since = since || '{"a": 3.0}'`)],
    [
      'a range that ends with the same value again, of which the entity says nothing',
      refused,
      recordedAt('clock_timestamp()', 'at', 'NULL', { ...SOUND, since: 'since' }).replace(
        `properties || '{"a": 4}'`,
        'properties',
      ),
    ],
    ['an entity that says more than it needs of its beginning', refused, created(`'{"a": 1}'`)],
    // Invariant 8: no silent change
    ['properties without a tick', refused, `UPDATE clocktick.entity SET properties = '{"a": 9}' WHERE id = '${id}'`],
    ['properties and tick without a clock row', refused, `${bump}, properties = '{"a": 9}' WHERE id = '${id}'`],
    ['a tick without a clock row', refused, `${bump} WHERE id = '${id}'`],
    ['a clock row without a tick', refused, tick4],
    [
      'a sound change, checked against an old snapshot',
      refused,
      `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM clocktick.write_changes(
         '[{"id": "${id}", "expected": 3, "op": "updated", "type": "thing", "set": {"a": 9}}]', true); COMMIT`,
    ],
    ['a living entity restored', refused, tickedBy('deleted = false').replace("'updated'", "'restored'")],
    ['a living entity said to be deleted', refused, tickedBy('deleted = false').replace("'updated'", "'deleted'")],
    ['a tick of another type', refused, tickedBy('deleted = false').replace("4, 'thing'", "4, 'other'")],
    [
      'a tick in a year nobody can write',
      '23514',
      `WITH ticked AS (INSERT INTO clocktick.tick SELECT '${id}', 4, 'thing', '9999-12-31 12:00Z', now(), 'updated')
       UPDATE clocktick.entity SET tick = 4, updated_at = '9999-12-31 12:00Z' WHERE id = '${id}'`,
    ],
    ['a clock row, then the tick', refused, `${tick4}; ${bump} WHERE id = '${id}'`],
    [
      'a value changed with tick and clock row, without ranges',
      refused,
      tickedBy(`properties = properties || '{"a": 9}'`),
    ],
    ['the digits of a value changed so', refused, tickedBy(`properties = properties || '{"a": 3.0}'`)],
    ['a change that ends other digits of the value', refused, changed(ended({ value: '3.0' }))],
    ['a property added so', refused, tickedBy(`properties = properties || '{"z": 1}'`)],
    ['a property removed so', refused, tickedBy(`properties = properties - 'c'`)],
    ['a deletion so', refused, tickedBy(`properties = '{}', deleted = true`)],
    ['a tombstone that keeps its properties', '23514', tickedBy('deleted = true')],
    [
      'a tick skipped',
      refused,
      `UPDATE clocktick.entity SET tick = 5, updated_at = clock_timestamp() WHERE id = '${id}'`,
    ],
    [
      'the tick set back',
      refused,
      `UPDATE clocktick.entity SET tick = 2, updated_at = clock_timestamp() WHERE id = '${id}'`,
    ],
    [
      'an instant set back',
      refused,
      `UPDATE clocktick.entity SET tick = 4, updated_at = created_at WHERE id = '${id}'`,
    ],
    [
      'a clock row in the past',
      '23505',
      `INSERT INTO clocktick.tick SELECT id, 2, type, now(), now(), 'updated' FROM clocktick.entity WHERE id = '${id}'`,
    ],
    [
      'a clock row of nobody',
      refused,
      `INSERT INTO clocktick.tick VALUES (gen_random_uuid(), 1, 'thing', now(), now(), 'created')`,
    ],
    [
      'an entity without a clock',
      refused,
      `INSERT INTO clocktick.entity VALUES (gen_random_uuid(), 'thing', NULL, 1, '{}', false, now(), now())`,
    ],
    [
      'an entity that starts late',
      refused,
      `INSERT INTO clocktick.entity VALUES (gen_random_uuid(), 'thing', NULL, 7, '{}', false, now(), now())`,
    ],
    [
      'an entity that starts deleted',
      refused,
      `INSERT INTO clocktick.entity VALUES (gen_random_uuid(), 'thing', NULL, 1, '{}', true, now(), now())`,
    ],
    [
      'an instant that never ends',
      refused,
      `INSERT INTO clocktick.entity VALUES (gen_random_uuid(), 'thing', NULL, 1, '{}', false, 'infinity', 'infinity')`,
    ],
    [
      'an entity whose type is no slug',
      '23514',
      `INSERT INTO clocktick.entity VALUES (gen_random_uuid(), 'Thing', NULL, 1, '{}', false, now(), now())`,
    ],
    [
      'properties that are no object',
      '23514',
      `INSERT INTO clocktick.entity VALUES (gen_random_uuid(), 'thing', NULL, 1, '[]', false, now(), now())`,
    ],
  ];

  for (const [name, code, statement] of cases) {
    // A connection of its own, because some statements leave settings behind.
    const hand = postgres(url, { max: 1, onnotice: () => {} });
    const error = await hand.unsafe(statement).then(
      () => undefined,
      (failure: unknown) => failure,
    );
    await hand.end();
    t.match(error, { code }, name);
    const after = await everything(sql);
    t.same(after, before, `${name}: nothing is left behind`);
  }

  await t.test('a whole change by hand is taken: what was refused was refused for what it did', async (t) => {
    const undone = new Error('undone');
    const whole = sql.begin(async (tx) => {
      await tx.unsafe(recordedAt('clock_timestamp()', 'at', 'NULL'));
      await tx.unsafe(created("'{}'"));
      await tx.unsafe(
        created(`'{}'`, `jsonb_build_object(repeat('x', ${MAX_NAME_LENGTH}), 1)`).replaceAll(newEntity, newId()),
      );
      throw undone;
    });
    await t.rejects(whole, undone);
  });

  await t.test('and all of it at once, while the service writes', async (t) => {
    // But not the one that the write function itself declines, because its tick is over by then.
    const hands = cases
      .filter(([, , statement]) => !statement.includes('write_changes'))
      .map(async ([name, , statement]) => {
        const hand = postgres(url, { max: 1, onnotice: () => {}, connection: { deadlock_timeout: 20 } });
        let got = 0;
        for (let round = 0; round < 5; round++) {
          // A statement that finds no row, because the service has changed the entity meanwhile, succeeds on none.
          got += await hand.unsafe(statement).then(
            ({ count }) => Number(count !== 0),
            () => 0,
          );
        }
        await hand.end();
        return got > 0 ? [name] : [];
      });
    // The hands lock whole tables: a writer that is sent away comes back, as callers do.
    const insist = async (properties: JsonObject): Promise<void> => {
      await change(storage, id, properties).catch((error: { code: string }) => {
        if (!['too_many_writers', 'database_unavailable'].includes(error.code)) throw error;
        return insist(properties);
      });
    };
    const writers = Array.from({ length: 40 }, (_, n) =>
      insist({ a: 100 + n, b: n % 2 === 0 ? 'back' : null, [`p${n}`]: n }),
    );
    const through = (await Promise.all(hands)).flat();
    await Promise.all(writers);
    t.same(through, []);
    const [broken] = await sql`
      WITH numbered AS MATERIALIZED (SELECT r.*, row_number() OVER () AS n FROM clocktick.property_range r)
      SELECT (SELECT count(*)::int FROM clocktick.tick t WHERE NOT EXISTS
               (SELECT FROM clocktick.entity e WHERE e.id = t.entity_id AND e.tick >= t.tick)) AS dangling,
             (SELECT count(*)::int FROM clocktick.entity e WHERE e.tick <>
               (SELECT count(*) FROM clocktick.tick t WHERE t.entity_id = e.id)) AS gaps,
             (SELECT count(*)::int FROM clocktick.entity e WHERE e.properties <>
               (SELECT coalesce(jsonb_object_agg(h.property, h.value), '{}') FROM clocktick.property_range h
                 WHERE h.entity_id = e.id AND h.vclock @> e.tick)) AS unfaithful,
             (SELECT count(*)::int FROM numbered a JOIN numbered b
                ON a.entity_id = b.entity_id AND a.property = b.property AND a.n <> b.n AND a.vclock && b.vclock) AS overlaps`;
    t.same(broken, { dangling: 0, gaps: 0, unfaithful: 0, overlaps: 0 });
    const [entity] = await sql`SELECT tick FROM clocktick.entity WHERE id = ${id}`;
    t.equal(entity?.tick, 43, 'every write of the service went through');
  });

  await t.test('two hands that both change the same property: one does', async (t) => {
    // The second waits for the row of the entity, and then looks at it again.
    const open = (hand: postgres.Sql) =>
      hand.begin(async (tx) => {
        await writeChanges(tx, [{ id: other.id, expected: 1, op: 'updated', type: 'thing', set: { a: 2 } }]);
        await new Promise((resolve) => setTimeout(resolve, 50));
      });
    const hands = [1, 2].map(() => postgres(url, { max: 1, onnotice: () => {} }));
    await Promise.all(hands.map(open));
    await Promise.all(hands.map((hand) => hand.end()));
    const [entity] = await sql`SELECT tick FROM clocktick.entity WHERE id = ${other.id}`;
    t.equal(entity?.tick, 2, 'the second found the entity past the tick it expected');
  });
});

t.test('since when a property keeps no ranges never changes again', async (t) => {
  const { sql, storage } = await testDatabase(t);
  const definition = { schema: true, untracked: ['seen'] };
  await make(storage, definition, undefined, { type: 'clocktick-type', key: 'thing' });
  const { row } = await make(storage, { name: 'x', seen: 1 });
  const said = (ticks: string, untracked = '{"seen": 2}') => sql`
    WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS at),
         ticked AS (INSERT INTO clocktick.tick SELECT ${row.id}, 2, 'thing', at, at, 'updated' FROM stamp)
    UPDATE clocktick.entity
       SET tick = 2, updated_at = (SELECT at FROM stamp), untracked = ${untracked}::text::jsonb, untracked_ticks = ${ticks}::text::jsonb
     WHERE id = ${row.id}`;
  for (const ticks of ['{}', '{"seen": [2]}', '{"seen": []}', '{"seen": [1, 2]}', '{"seen": [1, 2, 2]}', '{"x": [2]}'])
    await t.rejects(said(ticks), { code: '23001' }, ticks);
  await t.rejects(sql`UPDATE clocktick.entity SET untracked = NULL, untracked_ticks = NULL`, { code: '23001' });
  await t.rejects(sql`UPDATE clocktick.entity SET untracked = '{"seen": 7}' WHERE id = ${row.id}`, { code: '23001' });
  await said('{"seen": [1]}');
  t.match(await sql`SELECT tick, untracked, untracked_ticks AS ticks FROM clocktick.entity WHERE id = ${row.id}`, [
    { tick: 2, untracked: { seen: 2 }, ticks: { seen: [1] } },
  ]);
});
