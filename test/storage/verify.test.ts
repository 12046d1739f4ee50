import type postgres from 'postgres';
import t, { type Test } from 'tap';
import { CHECK_NAMES } from '../../src/storage/verify.js';
import { newId } from '../../src/temporal/identity.js';
import { testDatabase, testLogin } from '../helper/database.js';
import { withoutTriggers } from '../helper/in-bulk.js';
import { findingsOf } from '../helper/verified.js';
import { writeChanges } from '../helper/write.js';

const TABLES = ['entity', 'tick', 'property_history', 'open_value', 'item_history', 'activity', 'promise'];

type Ids = { one: string; two: string; activity: string };

/**
 * Records one entity at tick 3 (a: 1, 2, 3; b: "x" until tick 2; list: ["e", "f"], then ["e"]), which an activity created, and one that was
 * deleted and restored. Gives their ids.
 */
async function record(sql: postgres.Sql): Promise<Ids> {
  const ids = { one: newId(), two: newId(), activity: newId() };
  const one = { id: ids.one, type: 'thing' };
  const two = { id: ids.two, type: 'thing' };
  const by = { activity_id: ids.activity, activity: { actor: 'me' } };
  await writeChanges(sql, [
    { ...one, expected: 0, op: 'created', set: { a: 1, b: 'x', list: ['e', 'f'] }, ...by },
    { ...two, expected: 0, op: 'created', set: { a: 1 } },
  ]);
  await writeChanges(sql, [
    { ...one, expected: 1, op: 'updated', set: { a: 2 }, clear: ['b'] },
    { ...two, expected: 1, op: 'deleted', set: {}, clear: ['a'] },
  ]);
  await writeChanges(sql, [
    { ...one, expected: 2, op: 'updated', set: { a: 3, list: ['e'] } },
    { ...two, expected: 2, op: 'restored', set: { a: 1 } },
  ]);
  return ids;
}

/** A database that has such. */
async function recorded(t: Test) {
  const database = await testDatabase(t);
  await record(database.sql);
  return database;
}

t.test('what was written by the service is clean, as the owner sees it and as the service does', async (t) => {
  const { url, serviceUrl } = await recorded(t);
  t.same(await findingsOf(url), []);
  t.same(await findingsOf(serviceUrl), []);
});

/** Forgeries of rows, each of the two entities that it names, or of their activity. */
const one = `WHERE entity_id = ':one'`;
const tick = (n: number) => `${one} AND tick = ${n}`;
const entity = `UPDATE clocktick.entity SET`;
const OF_ROWS: [check: string, says: RegExp, forgery: string][] = [
  ['ticks-without-gaps', /: is at tick 3, but has 2 ticks from 1 to 3$/, `DELETE FROM clocktick.tick ${tick(2)}`],
  ['ticks-without-gaps', /: is at tick 3, but has 2 ticks from 1 to 2$/, `DELETE FROM clocktick.tick ${tick(3)}`],
  ['ticks-without-gaps', /: has 3 ticks, but no row of its own$/, `DELETE FROM clocktick.entity WHERE id = ':one'`],
  ['ticks-without-gaps', /: has no tick$/, `DELETE FROM clocktick.tick ${one}`],
  [
    'ticks-in-order',
    /: tick 3 \(updated at /,
    `UPDATE clocktick.tick SET at = at - interval '1 day', recorded_at = recorded_at - interval '1 day' ${tick(3)}`,
  ],
  ['ticks-in-order', /: tick 2 /, `UPDATE clocktick.tick SET recorded_at = recorded_at - interval '1 day' ${tick(2)}`],
  ['ticks-in-order', /: tick 3 \(updated .*\(deleted at /, `UPDATE clocktick.tick SET op = 'deleted' ${tick(2)}`],
  ['ticks-in-order', /: tick 2 \(restored /, `UPDATE clocktick.tick SET op = 'restored' ${tick(2)}`],
  [
    'nothing-of-the-future',
    /: tick 3 is recorded at 2999-/,
    `UPDATE clocktick.tick SET recorded_at = '2999-01-01' ${tick(3)}`,
  ],
  [
    'nothing-of-the-future',
    /: activity \S+ is recorded at 2999-/,
    `UPDATE clocktick.activity SET recorded_at = '2999-01-01' WHERE id = ':activity'`,
  ],
  ['ticks-of-their-entity', /of the type other/, `UPDATE clocktick.tick SET type = 'other' ${tick(2)}`],
  ['ticks-of-their-entity', /nobody recorded$/, `DELETE FROM clocktick.activity WHERE id = ':activity'`],
  ['ticks-of-their-entity', /of the type thing, the entity of other/, `${entity} type = 'other' WHERE id = ':one'`],
  ['entities-as-their-last-tick', /created at 1999-/, `${entity} created_at = '1999-01-01' WHERE id = ':one'`],
  [
    'entities-as-their-last-tick',
    /: created at /,
    `${entity} updated_at = updated_at + interval '1 s' WHERE id = ':one'`,
  ],
  ['entities-as-their-last-tick', /: created at /, `${entity} recorded_at = now() WHERE id = ':one'`],
  [
    'entities-as-their-last-tick',
    /, deleted, /,
    `${entity} deleted = true, properties = '{}', since = '{}' WHERE id = ':one'`,
  ],
  ['since-ticks', /says of a: since 9$/, `${entity} since = since || '{"a": 9}' WHERE id = ':one'`],
  ['since-ticks', /says of a: since "x"$/, `${entity} since = since || '{"a": "x"}' WHERE id = ':one'`],
  ['since-ticks', /says of a: since 1$/, `${entity} since = since || '{"a": 1}' WHERE id = ':one'`],
  ['since-ticks', /says of z: since 2$/, `${entity} since = since || '{"z": 2}' WHERE id = ':one'`],
  [
    'ranges-apart',
    /: a: \[2,3\) begins before \[1,3\) ends$/,
    `INSERT INTO clocktick.property_history (entity_id, type, property, vclock, short_value, effective)
       SELECT entity_id, type, property, '[1,3)', '9', effective FROM clocktick.property_history ${one} AND vclock = '[2,3)' AND property = 'a'`,
  ],
  [
    'ranges-apart',
    /: a: held since tick 2, but a range ends at tick 3$/,
    `${entity} since = since || '{"a": 2}' WHERE id = ':one'`,
  ],
  [
    'ranges-of-ticks',
    /: b: \[1,2\) of type thing, /,
    `UPDATE clocktick.property_history SET effective = tstzrange(lower(effective), now()) ${one} AND property = 'b'`,
  ],
  [
    'ranges-of-ticks',
    /: b: \[1,9\) /,
    `UPDATE clocktick.property_history SET vclock = '[1,9)' ${one} AND property = 'b'`,
  ],
  [
    'ranges-of-ticks',
    /: b: \[1,2\) of type other, /,
    `UPDATE clocktick.property_history SET type = 'other' ${one} AND property = 'b'`,
  ],
  [
    'nothing-held-while-deleted',
    /: a: held since tick 1, but the entity was deleted at tick 2$/,
    `${entity} since = '{}' WHERE id = ':two'`,
  ],
  [
    'nothing-held-while-deleted',
    /: a: \[1,3\), but the entity was deleted at tick 2$/,
    `UPDATE clocktick.property_history SET vclock = '[1,3)' WHERE entity_id = ':two'`,
  ],
  [
    'no-change-of-nothing',
    /: tick 2 changed nothing that is recorded$/,
    `DELETE FROM clocktick.property_history ${one} AND (vclock = '[1,2)' OR vclock = '[2,3)')`,
  ],
  [
    'open-values',
    /: a: cannot be found by its value since /,
    `${entity} properties = properties || '{"a": 9}' WHERE id = ':one'`,
  ],
  [
    'open-values',
    /: is found by a value that it has not since /,
    `INSERT INTO clocktick.open_value VALUES (1, ':one', now())`,
  ],
  ['open-values', /: cannot be found by its value/, `DELETE FROM clocktick.open_value ${one}`],
  [
    'items',
    /: cannot be found by an item that it had over \[1,3\), /,
    `DELETE FROM clocktick.item_history ${one} AND vclock = '[1,3)'`,
  ],
  [
    'items',
    /: is found by an item that it had not over \[1,2\), /,
    `INSERT INTO clocktick.item_history SELECT entity_id, 1, '[1,2)', effective FROM clocktick.item_history ${one} LIMIT 1`,
  ],
  ['items', /./, `UPDATE clocktick.item_history SET effective = tstzrange(lower(effective), now()) ${one}`],
];

/** Forgeries of the schema, each of an object of its own. */
const OF_THE_SCHEMA: [check: string, says: RegExp, forgery: string][] = [
  [
    'no-children',
    /: public\.forged inherits from clocktick\.tick/,
    'CREATE TABLE public.forged () INHERITS (clocktick.tick)',
  ],
  ['grants', /: everybody: UPDATE on clocktick\.tick$/, 'GRANT UPDATE ON clocktick.tick TO PUBLIC'],
  ['grants', /: everybody: SELECT on clocktick\.entity$/, 'GRANT SELECT ON clocktick.entity TO PUBLIC'],
  [
    'grants',
    /: everybody: EXECUTE on clocktick\.write_changes\(/,
    'GRANT EXECUTE ON FUNCTION clocktick.write_changes TO PUBLIC',
  ],
  ['grants', /: everybody: USAGE on schema clocktick$/, 'GRANT USAGE ON SCHEMA clocktick TO PUBLIC'],
  [
    'grants',
    /: clocktick_service: TRIGGER on clocktick\.tick$/,
    'GRANT TRIGGER ON clocktick.tick TO clocktick_service',
  ],
  [
    'grants',
    /: clocktick_service: UPDATE on clocktick\.entity\.since$/,
    'GRANT UPDATE (since) ON clocktick.entity TO clocktick_service',
  ],
  [
    'as-defined',
    /: trigger tick\.tick_is_kept .*switched off$/,
    'ALTER TABLE clocktick.tick DISABLE TRIGGER tick_is_kept',
  ],
  [
    'as-defined',
    /: trigger tick\.clock_row_is_entitys .*session_replication_role$/,
    'ALTER TABLE clocktick.tick ENABLE TRIGGER clock_row_is_entitys',
  ],
  ['as-defined', /: trigger promise\.promise_is_kept is missing$/, 'DROP TRIGGER promise_is_kept ON clocktick.promise'],
  [
    'as-defined',
    /: trigger entity\.entity_steps_by_one is not as it was made, but: CREATE TRIGGER /,
    'CREATE OR REPLACE TRIGGER entity_steps_by_one BEFORE UPDATE ON clocktick.entity FOR EACH ROW WHEN (false) EXECUTE FUNCTION clocktick.refuse()',
  ],
  [
    'as-defined',
    /: function refuse\(\) does not do what it did/,
    `CREATE OR REPLACE FUNCTION clocktick.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
  ],
  [
    'as-defined',
    /: function range_ends_now\(\) does not/,
    'ALTER FUNCTION clocktick.range_ends_now() RESET search_path',
  ],
  ['as-defined', /: function write_changes\(.*\) does not/, 'ALTER FUNCTION clocktick.write_changes SECURITY INVOKER'],
  [
    'as-defined',
    /: constraint tick\.tick_op_is_known is missing$/,
    'ALTER TABLE clocktick.tick DROP CONSTRAINT tick_op_is_known',
  ],
  ['as-defined', /: index tick_type_at is missing$/, 'DROP INDEX clocktick.tick_type_at'],
  ['as-defined', /: table tick is not .* with row security$/, 'ALTER TABLE clocktick.tick ENABLE ROW LEVEL SECURITY'],
  [
    'as-defined',
    /: rule tick\.none is none of ours$/,
    'CREATE RULE none AS ON UPDATE TO clocktick.tick DO INSTEAD NOTHING',
  ],
  ['as-defined', /: table mine is none of ours$/, 'CREATE TABLE clocktick.mine (n int)'],
  ['as-defined', /: column tick\.mine is none of ours$/, 'ALTER TABLE clocktick.tick ADD COLUMN mine int'],
  [
    'as-defined',
    /: view property_range is not as it was made, /,
    'CREATE OR REPLACE VIEW clocktick.property_range AS SELECT * FROM (SELECT entity_id, type, property, vclock, long_value AS value, effective FROM clocktick.property_history) none',
  ],
];

t.test('each forgery of rows is found of its entity, by the check that is for it', async (t) => {
  const { url, sql } = await testDatabase(t);
  const forged: { check: string; says: RegExp; ids: Ids; forgery: string }[] = [];
  for (const [check, says, forgery] of OF_ROWS) {
    const ids = await record(sql);
    forged.push({
      check,
      says,
      ids,
      forgery: forgery.replaceAll(/:(one|two|activity)\b/g, (_, of: keyof Ids) => ids[of]),
    });
  }
  t.same(await findingsOf(url), []);
  await withoutTriggers(sql, TABLES, async () => {
    for (const { forgery } of forged) await sql.unsafe(forgery);
  });
  const found = await findingsOf(url, 1_000);
  for (const { check, says, ids, forgery } of forged) {
    const own = found.filter((line) => Object.values(ids).some((id) => line.includes(id)));
    t.ok(
      own.some((line) => line.startsWith(`${check}: `) && says.test(line)),
      `${check}: ${forgery}\n${own.join('\n')}`,
    );
  }
});

t.test('each forgery of the schema is found, by the check that is for it', async (t) => {
  const { url, sql } = await recorded(t);
  for (const [, , forgery] of OF_THE_SCHEMA) await sql.unsafe(forgery);
  const found = await findingsOf(url);
  for (const [check, says, forgery] of OF_THE_SCHEMA)
    t.ok(
      found.some((line) => line.startsWith(`${check}: `) && says.test(line)),
      `${check}: ${forgery}\n${found.join('\n')}`,
    );
});

t.test('that what is stored cannot even be read is found', async (t) => {
  const { url, sql } = await recorded(t);
  await withoutTriggers(sql, ['entity'], async () => {
    await sql`UPDATE clocktick.entity SET since = '3'`;
  });
  t.match(
    (await findingsOf(url)).join('\n'),
    'since-ticks: : what is stored cannot even be read: cannot call jsonb_each on a non-object',
  );
});

t.test('each check is tried', async (t) => {
  const tried = new Set(['one-owner', ...[...OF_ROWS, ...OF_THE_SCHEMA].map(([check]) => check)]);
  t.same(
    CHECK_NAMES.filter((name) => !tried.has(name)),
    [],
  );
});

t.test('what belongs to somebody else than the tables is found', async (t) => {
  const database = await recorded(t);
  const other = await testLogin(t, database);
  await database.sql.unsafe(`ALTER FUNCTION clocktick.stable_instant OWNER TO ${other.name}`);
  t.match(
    (await findingsOf(database.url)).join('\n'),
    `one-owner: : clocktick.stable_instant() belongs to ${other.name}`,
  );
});

t.test('of many findings some are shown, and all are counted', async (t) => {
  const { url, sql } = await recorded(t);
  await withoutTriggers(sql, ['open_value'], async () => {
    await sql`INSERT INTO clocktick.open_value SELECT n, gen_random_uuid(), now() FROM generate_series(1, 1000) n`;
  });
  const found = await findingsOf(url, 3);
  t.equal(found.length, 4);
  t.equal(found.at(-1), 'open-values: … and 997 more');
});
