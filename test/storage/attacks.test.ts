import postgres from 'postgres';
import t, { type Test } from 'tap';
import { SERVICE_ROLE } from '../../src/storage/migrate.js';
import { openStorage } from '../../src/storage/open.js';
import { newId } from '../../src/temporal/identity.js';
import { type TestDatabase, testDatabase, testLogin } from '../helper/database.js';
import { everything } from '../helper/everything.js';
import { object, serve } from '../helper/service.js';
import { findingsOf } from '../helper/verified.js';
import { change, make, now } from '../helper/write.js';

/*
 * What nobody can do to the record who does not own it: with a login that was granted nothing, with the service's own, and with one to which
 * somebody has granted DML on all tables besides, as if that were what a service needs.
 */

const DENIED = '42501';
const REFUSED = '23001';

type Login = { name: string; url: string };

/** Runs statements on a connection of its own. Gives the code of the error that they end with; undefined where all were taken. */
async function attempt(url: string, statements: string): Promise<string | undefined> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(statements);
    return undefined;
  } catch (error) {
    if (error instanceof postgres.PostgresError) return error.code;
    throw error;
  } finally {
    await sql.end();
  }
}

/** A login that may do what everybody may, with a schema of its own, in which it may make whatever it likes. */
async function attacker(t: Test, database: TestDatabase, groups: string[] = []): Promise<Login> {
  const login = await testLogin(t, database, groups);
  await database.sql.unsafe(`CREATE SCHEMA evil AUTHORIZATION ${login.name}`);
  return login;
}

/** One more, to whom all DML was granted. */
async function granted(t: Test, database: TestDatabase): Promise<Login> {
  const login = await attacker(t, database, [SERVICE_ROLE]);
  await database.sql.unsafe(`
    GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA clocktick TO ${login.name};
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA clocktick TO ${login.name}`);
  return login;
}

/** An entity at tick 3, whose lists have items, and another one. */
async function recorded(t: Test) {
  const database = await testDatabase(t);
  const { storage } = database;
  const { id } = (await make(storage, { a: 1, b: 'x', list: ['e', 'f'] }, { actor: 'me' })).row;
  await change(storage, id, { a: 2, b: null, list: ['e'] });
  await change(storage, id, { a: 3 });
  await make(storage, { a: 1 });
  return { ...database, id };
}

/** What a trigger of one's own, on a table of one's own, does: it is called at a depth at which ours are. */
const fromTrigger = (statement: string) => `
  CREATE TEMP TABLE mine (n int);
  CREATE FUNCTION pg_temp.go() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN ${statement}; RETURN NULL; END $f$;
  CREATE TRIGGER go AFTER INSERT ON mine EXECUTE FUNCTION pg_temp.go();
  INSERT INTO mine VALUES (1)`;

/** Makes the session find one's own operators and functions before those of PostgreSQL; each says whatever suits. */
const SHADOWS = `
  CREATE FUNCTION evil.yes(integer, integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
  CREATE FUNCTION evil.yes(bigint, bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
  CREATE FUNCTION evil.yes(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
  CREATE FUNCTION evil.yes(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
  CREATE FUNCTION evil.yes(tstzrange, tstzrange) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
  CREATE FUNCTION evil.no(integer, integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
  CREATE FUNCTION evil.no(bigint, bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
  CREATE FUNCTION evil.no(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
  CREATE OPERATOR evil.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.yes);
  CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.yes);
  CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.yes);
  CREATE OPERATOR evil.= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.yes);
  CREATE OPERATOR evil.= (LEFTARG = tstzrange, RIGHTARG = tstzrange, FUNCTION = evil.yes);
  CREATE OPERATOR evil.<> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.no);
  CREATE OPERATOR evil.<> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.no);
  CREATE OPERATOR evil.< (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.no);
  CREATE OPERATOR evil.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.no);
  CREATE OPERATOR evil.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.no);
  CREATE FUNCTION evil.hashtextextended(text, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 7::bigint';
  CREATE FUNCTION evil.upper_inf(int4range) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
  CREATE FUNCTION evil.count(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 0::bigint';
  CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $f$ SELECT '2999-01-01Z'::timestamptz $f$;
  CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS $f$ SELECT 'read committed' $f$;
  GRANT USAGE ON SCHEMA evil TO PUBLIC`;
const SHADOWED = 'SET search_path = evil, pg_catalog';

/** Attacks that write by themselves, of the entity `id`. */
const forgeries = (id: string): Record<string, string> => ({
  'items removed from a trigger of its own': fromTrigger('DELETE FROM clocktick.item_history'),
  'items made from a trigger of its own': fromTrigger(
    'INSERT INTO clocktick.item_history SELECT entity_id, 1, vclock, effective FROM clocktick.item_history',
  ),
  'items altered from a trigger of its own': fromTrigger(`UPDATE clocktick.item_history SET vclock = '[1,2)'`),
  'open values removed from a trigger of its own': fromTrigger('DELETE FROM clocktick.open_value'),
  'open values made from a trigger of its own': fromTrigger(
    'INSERT INTO clocktick.open_value SELECT 1, entity_id, since FROM clocktick.open_value',
  ),
  'a closed range, where = means anything': `${SHADOWED};
    INSERT INTO clocktick.property_history (entity_id, type, property, vclock, short_value, effective)
    VALUES ('${id}', 'thing', 'b', '[2,3)', '"forged"', tstzrange(now(), now() + interval '1 s'))`,
  'a change, where = means anything': `${SHADOWED};
    UPDATE clocktick.entity SET properties = '{"a": 9}', tick = 4, updated_at = pg_catalog.clock_timestamp() WHERE id = '${id}'`,
  'a change of a distant future, with all that belongs to it': `
    WITH stamp AS MATERIALIZED (SELECT '2999-01-01Z'::timestamptz AS at),
         ticked AS (INSERT INTO clocktick.tick SELECT '${id}', 4, 'thing', at, at, 'updated' FROM stamp),
         ended AS (INSERT INTO clocktick.property_history
                   SELECT '${id}', 'thing', 'a', '[3,4)', '3', tstzrange((SELECT e.updated_at FROM clocktick.entity e WHERE e.id = '${id}'), at) FROM stamp)
    UPDATE clocktick.entity SET tick = 4, updated_at = at, properties = properties || '{"a": 4}', since = since || '{"a": 4}' FROM stamp WHERE id = '${id}'`,
  'an entity without properties, as the service would make it': `
    WITH stamp AS MATERIALIZED (SELECT pg_catalog.clock_timestamp() AS at, '${newId()}'::uuid AS id),
         ticked AS (INSERT INTO clocktick.tick SELECT id, 1, 'thing', at, at, 'created' FROM stamp)
    INSERT INTO clocktick.entity SELECT id, 'thing', NULL, 1, '{}', false, at, at FROM stamp`,
  'an activity': `INSERT INTO clocktick.activity (id, recorded_at) VALUES (gen_random_uuid(), '2999-01-01')`,
  'a promise that refuses all writes': `INSERT INTO clocktick.promise (at) VALUES ('2999-01-01')
      ON CONFLICT (is_only) DO UPDATE SET at = excluded.at`,
  'ticks removed': 'DELETE FROM clocktick.tick',
  'ranges altered': `UPDATE clocktick.property_history SET short_value = '9'`,
  'all removed': 'TRUNCATE clocktick.item_history, clocktick.open_value',
  'all of it removed': 'TRUNCATE clocktick.entity, clocktick.tick, clocktick.property_history, clocktick.activity',
});

/** What only an owner may do. */
const TAKEOVERS: Record<string, string> = {
  'a table that inherits': 'CREATE TABLE evil.forged () INHERITS (clocktick.tick)',
  'a table made to inherit':
    'CREATE TABLE evil.forged (LIKE clocktick.tick); ALTER TABLE evil.forged INHERIT clocktick.tick',
  'a trigger switched off': 'ALTER TABLE clocktick.tick DISABLE TRIGGER tick_is_kept',
  'a trigger of its own on a table of ours': `
    CREATE FUNCTION evil.go() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER go BEFORE INSERT ON clocktick.tick FOR EACH ROW EXECUTE FUNCTION evil.go()`,
  'a function replaced': `CREATE OR REPLACE FUNCTION clocktick.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
  'a function of ours made to look elsewhere': 'ALTER FUNCTION clocktick.write_changes SET search_path = evil',
  'a table in our schema': 'CREATE TABLE clocktick.mine (n int)',
  'a rule': 'CREATE RULE none AS ON INSERT TO clocktick.tick DO INSTEAD NOTHING',
  'triggers passed by as a replica': 'SET session_replication_role = replica',
};

t.test('to a login that owns nothing the record is closed, whatever the login was granted', async (t) => {
  const logins: Record<string, { login: typeof granted; code: string | undefined }> = {
    'granted nothing': { login: (t, database) => attacker(t, database), code: DENIED },
    'that of the service': { login: (t, database) => attacker(t, database, [SERVICE_ROLE]), code: DENIED },
    'granted all DML': { login: granted, code: REFUSED },
  };
  for (const [name, { login, code }] of Object.entries(logins)) {
    await t.test(name, async (t) => {
      const database = await recorded(t);
      const { url } = await login(t, database);
      t.equal(await attempt(url, SHADOWS), undefined, 'it has what it attacks with');
      const before = await everything(database.sql);
      for (const [attack, statements] of Object.entries(forgeries(database.id)))
        t.equal(await attempt(url, statements), code, attack);
      for (const [attack, statements] of Object.entries(TAKEOVERS))
        t.equal(await attempt(url, statements), DENIED, attack);
      t.same(await everything(database.sql), before, 'and nothing has changed');
      if (code === DENIED) t.same(await findingsOf(database.url), []);
    });
  }
});

t.test('a login that was granted nothing learns nothing, and calls nothing', async (t) => {
  const database = await recorded(t);
  const { url } = await attacker(t, database);
  for (const statement of [
    'SELECT FROM clocktick.entity',
    'SELECT FROM clocktick.property_range',
    'SELECT clocktick.stable_instant()',
    `SELECT clocktick.value_key('a', 'b', '1')`,
    `SELECT FROM clocktick.write_changes('[]', false)`,
  ])
    t.equal(await attempt(url, statement), DENIED, statement);
});

t.test('that of the service calls what the service calls, and nothing that is for the inside', async (t) => {
  const database = await recorded(t);
  const { url } = await attacker(t, database, [SERVICE_ROLE]);
  for (const [statement, code] of [
    [`SELECT clocktick.raise_refusal('a', 'b', 'c')`, DENIED],
    [`SELECT FROM clocktick.stored_as('1')`, DENIED],
    [`SELECT clocktick.keep_promise('2999-01-01')`, REFUSED],
    [`SELECT clocktick.keep_promise('infinity')`, '23514'],
    ['SELECT FROM clocktick.entity FOR UPDATE', DENIED],
    ['BEGIN; LOCK TABLE clocktick.entity IN SHARE MODE', DENIED],
    [`SELECT nextval('clocktick.migration_id_seq')`, DENIED],
    ['SELECT FROM clocktick.stable_instant()', undefined],
  ] as const)
    t.equal(await attempt(url, statement), code, statement);
});

t.test('a session that finds other operators and functions first writes what any other does', async (t) => {
  const database = await recorded(t);
  const { id, storage, sql } = database;
  const { url } = await attacker(t, database, [SERVICE_ROLE]);
  t.equal(await attempt(url, SHADOWS), undefined);
  const hand = postgres(url, { max: 1, onnotice: () => {} });
  t.teardown(() => hand.end());
  await hand.unsafe(SHADOWED);
  const write = (changes: object[]) =>
    hand`SELECT w.outcome FROM clocktick.write_changes(${JSON.stringify(changes)}::text::jsonb, true) w`;
  const patch = { id, op: 'updated', type: 'thing' };
  t.same(await write([{ ...patch, expected: 7, set: { a: 'forged' } }]), [{ outcome: 'stale' }], 'not at that tick');
  t.same(await write([{ ...patch, expected: 3, set: { a: 4, list: ['g'] } }]), [{ outcome: 'written' }]);
  const added = newId();
  const set = { a: 'of the shadows', list: ['h'] };
  t.same(await write([{ id: added, expected: 0, op: 'created', type: 'thing', set }]), [{ outcome: 'written' }]);
  t.same(await findingsOf(database.url), [], 'all of it can be found as ever');
  const keys =
    await sql`SELECT FROM clocktick.open_value v WHERE v.value_key = clocktick.value_key('thing', 'a', '"of the shadows"')`;
  t.equal(keys.length, 1);
  t.match(await now(storage, id), { tick: 4 });
  const recordedNow =
    await sql`SELECT FROM clocktick.tick t WHERE t.entity_id = ${added} AND t.recorded_at <= clock_timestamp()`;
  t.equal(recordedNow.length, 1);
});

t.test('an owner whose session finds them first is refused what he always is', async (t) => {
  const database = await recorded(t);
  const { sql, url, id } = database;
  await sql`CREATE SCHEMA evil`;
  t.equal(await attempt(url, SHADOWS), undefined);
  const before = await everything(sql);
  const whole = forgeries(id);
  for (const name of [
    'a closed range, where = means anything',
    'a change, where = means anything',
    'a change of a distant future, with all that belongs to it',
    'a promise that refuses all writes',
    'ticks removed',
    'ranges altered',
  ])
    t.equal(await attempt(url, `${SHADOWED}; ${whole[name]}`), REFUSED, name);
  t.same(await everything(sql), before);
});

t.test(
  'what is in public, or where the database says that one should look first, is nothing to the service',
  async (t) => {
    const database = await recorded(t);
    const { sql, url, serviceUrl } = database;
    await sql`CREATE SCHEMA evil`;
    t.equal(await attempt(url, SHADOWS), undefined);
    await sql.unsafe(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET search_path = evil, pg_catalog, public`);
    const storage = openStorage(serviceUrl);
    t.teardown(() => storage.close());
    const { call } = await serve(t, storage);
    const found = async (where: object) =>
      object((await call('GET', `/entities?type=thing&where=${encodeURIComponent(JSON.stringify(where))}`)).body);
    t.match(await found({ list: { has: 'e' } }), { items: [{ properties: { a: 3 } }] });
    t.match(await found({ a: 3 }), { items: [{ properties: { a: 3 } }] });
    t.match(await call('PATCH', `/entities/${database.id}`, { properties: { a: 4 } }), {
      status: 200,
      body: { tick: 4 },
    });
    t.same(await findingsOf(url), []);
  },
);
