import fc from 'fast-check';
import postgres from 'postgres';
import t from 'tap';
import { newId } from '../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../src/temporal/json.js';
import { testDatabase } from '../helper/database.js';
import { list, object, testService } from '../helper/service.js';
import { writeChanges } from '../helper/write.js';

/** What is wrong with what values are found by: ranges with other instants than those of their ticks, holders of no value or missing. */
async function wrongFindings(sql: postgres.Sql): Promise<object> {
  const [wrong] = await sql`
    WITH due AS (
      SELECT h.entity_id, i.item, unnest(range_agg(h.vclock)) AS vclock, unnest(range_agg(h.effective)) AS effective
        FROM clocktick.property_range h CROSS JOIN LATERAL clocktick.items_of(h.type, h.property, h.value) i (item)
       GROUP BY h.entity_id, i.item
    ), has AS (SELECT entity_id, item, vclock, effective FROM clocktick.item_history),
    open AS (
      SELECT clocktick.value_key(r.type, r.property, r.value), r.entity_id, lower(r.effective) FROM clocktick.property_range r WHERE upper_inf(r.vclock)
    )
    SELECT (SELECT count(*)::int FROM (SELECT * FROM due EXCEPT ALL SELECT * FROM has) d) AS missing,
           (SELECT count(*)::int FROM (SELECT * FROM has EXCEPT ALL SELECT * FROM due) h) AS spare,
           (SELECT count(*)::int FROM (SELECT * FROM open EXCEPT ALL SELECT * FROM clocktick.open_value) d) AS "missingOpen",
           (SELECT count(*)::int FROM (SELECT * FROM clocktick.open_value EXCEPT ALL SELECT * FROM open) h) AS "spareOpen",
           (SELECT count(*)::int FROM clocktick.property_range h WHERE h.effective IS DISTINCT FROM tstzrange(
              (SELECT t.at FROM clocktick.tick t WHERE t.entity_id = h.entity_id AND t.tick = lower(h.vclock)),
              (SELECT t.at FROM clocktick.tick t WHERE t.entity_id = h.entity_id AND t.tick = upper(h.vclock)))) AS otherwise`;
  return wrong ?? {};
}
const NOTHING_WRONG = { missing: 0, spare: 0, missingOpen: 0, spareOpen: 0, otherwise: 0 };

const item = fc.constantFrom<Json>('a', 'b', 1, 1.5, null, ['a'], { a: 1 }, {});
const value: fc.Arbitrary<Json> = fc.oneof(
  fc.array(item, { maxLength: 6 }),
  fc.dictionary(fc.constantFrom('a', 'b', 'c', '1', ''), item),
  item,
  // On both sides of where single items are no longer kept.
  fc.constantFrom(0, 1).map((more) => Array.from({ length: 100 + more }, (_, n) => n)),
);

t.test('whatever becomes of values, arrays and objects, their holders are those that have them', async (t) => {
  const { call, sql } = await testService(t);
  let writes = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          call: fc.constantFrom('PUT', 'PUT', 'PATCH', 'PATCH', 'PATCH', 'DELETE', 'restore'),
          key: fc.constantFrom('x', 'y'),
          properties: fc.record({ tags: value, more: value }, { requiredKeys: [] }),
        }),
        { minLength: 5, maxLength: 15 },
      ),
      async (steps) => {
        for (const { call: name, key, properties } of steps) {
          const path = `/entities/thing:${key}`;
          const { status } =
            name === 'restore'
              ? await call('POST', `${path}/restore`, {})
              : name === 'DELETE'
                ? await call('DELETE', path)
                : name === 'PATCH'
                  ? await call('PATCH', path, { properties })
                  : await call('PUT', path, { type: 'thing', properties });
          t.ok([200, 201, 204, 404, 410].includes(status), `${name}: ${status}`);
          writes++;
        }
        t.match(await wrongFindings(sql), NOTHING_WRONG);
      },
    ),
    { numRuns: 15 },
  );
  const [kept] = await sql<{ items: number; closed: number }[]>`
    SELECT count(*)::int AS items, count(*) FILTER (WHERE NOT upper_inf(vclock))::int AS closed FROM clocktick.item_history`;
  t.ok((kept?.items ?? 0) > 50 && (kept?.closed ?? 0) > 25, `${writes} writes left ${JSON.stringify(kept)}`);
});

t.test('a write looks at its own items only, by plans that were made while the tables were empty', async (t) => {
  const { sql, url } = await testDatabase(t);
  const hand = postgres(url, { max: 1, onnotice: () => {} });
  const shared = {
    names: Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`n${n}`, n])),
    tags: ['a', 'b', 'c'],
  };
  const write = (ids: readonly string[], expected: number, set: JsonObject) =>
    writeChanges(
      hand,
      ids.map((id) => ({ id, expected, op: expected === 0 ? 'created' : 'updated', type: 'thing', set })),
    );
  // Until the plans of the connection are settled.
  for (let n = 0; n < 8; n++) {
    const id = newId();
    await write([id], 0, shared);
    await write([id], 1, { names: { n0: 1, other: 1 }, tags: ['b', 'd'] });
  }
  const ids = Array.from({ length: 3_000 }, newId);
  await write(ids, 0, shared);
  const buffersOf = async (id: string): Promise<number> => {
    const [row] = await hand.unsafe<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }[]>(`
      EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT count(*) FROM clocktick.write_changes(
        '[{"id": "${id}", "expected": 1, "op": "updated", "type": "thing",
           "set": {"names": {"n0": 2, "n1": 2, "mine": 1}, "tags": ["c", "d"]}}]', true)`);
    const { Plan: plan } = row?.['QUERY PLAN'][0] ?? { Plan: {} };
    return (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);
  };
  await buffersOf(ids[0] ?? '');
  const buffers = await buffersOf(ids[1] ?? '');
  // 23 items before and 5 after: each is looked for, 20 end and 2 begin; 334 buffers, although 3,000 others share them. Where what
  // has gone was joined, it was 560.
  t.ok(buffers > 0 && buffers < 450, `${buffers} buffers`);
  t.match(await wrongFindings(sql), NOTHING_WRONG);
  await hand.end();
});

t.test('values are found, and ranges recorded, although all keys of values are the same', async (t) => {
  const { call, sql } = await testService(t);
  await sql`
    CREATE OR REPLACE FUNCTION clocktick.value_key(type text, property text, value jsonb) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 7::bigint'`;
  const instants: string[] = [];
  const put = async (key: string, properties: JsonObject) => {
    const { status, body } = await call('PUT', `/entities/thing:${key}`, { type: 'thing', properties });
    t.ok(status === 200 || status === 201, `${status}`);
    instants.push(String(body.updatedAt));
  };
  // Two of the same tick, one after the other; both at once; a value that another property had; and one set again.
  await put('x', { a: 1, b: 1 });
  await put('y', { a: 2, b: 1 });
  await put('x', { a: 1, b: 2 });
  await put('x', { a: 3, b: 2 });
  await put('y', { a: 1, b: 2 });
  await put('x', { b: 3 });
  await put('x', { a: 1 });
  t.match(await wrongFindings(sql), NOTHING_WRONG);

  const history: JsonObject[] = [];
  const state: Record<string, JsonObject> = {};
  for (const instant of instants) {
    for (const key of ['x', 'y']) {
      const { status, body } = await call('GET', `/entities/thing:${key}?asOf=${instant}`);
      if (status === 200) state[key] = object(body.properties);
    }
    history.push(structuredClone(state));
  }
  const keysOf = async (query: string) =>
    list((await call('GET', `/entities?type=thing&${query}`)).body.items).map((item) => object(item).key);
  for (const [n, instant] of instants.entries()) {
    for (const property of ['a', 'b']) {
      for (const wanted of [1, 2, 3]) {
        const where = encodeURIComponent(JSON.stringify({ [property]: wanted }));
        const had = (states: JsonObject) =>
          Object.entries(states).flatMap(([key, has]) => (object(has)[property] === wanted ? [key] : []));
        t.same(await keysOf(`where=${where}&asOf=${instant}`), had(history[n] ?? {}), `${property} ${wanted} at ${n}`);
        t.same(
          await keysOf(`everHad=${where}&asOf=${instant}`),
          [...new Set(history.slice(0, n + 1).flatMap(had))].sort(),
          `${property} ${wanted} ever by ${n}`,
        );
      }
    }
  }
});
