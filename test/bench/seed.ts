import { finished } from 'node:stream/promises';
import postgres from 'postgres';
import type { Op } from '../../src/temporal/entity.js';
import { newId } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';
import { writeMany } from '../helper/write.js';
import type { Load } from './load.js';
import { TABLES } from './textbook.js';

/** Half of them are read, the other half written: what is read as of a tick must not change meanwhile. */
const ENTITIES = 10_000;
const COPIED = 50_000;
/** As many as a page has, all of them changed since an instant. */
const PAGED = 100;
/** Of so many as many are found as a page has. */
const SEARCHED = 5_000;
const DEPTHS = { deep: 20_000, middling: 100, shallow: 10 };
const PROPERTIES = {
  name: 'Rachel',
  location: 'New York',
  a: 1,
  b: 'two',
  c: null,
  d: true,
  e: [1, 2, 3],
  f: { x: 1 },
  i: 9,
  j: 10.5,
};

/** What is asked, and of whom; or what the database does by itself, with how much of it a second. */
export type Subject =
  | { of: 'service' | 'rivals'; method: Load['method']; paths: string[]; body?: object }
  | { of: 'database'; perSecond: () => Promise<number> };

export type Seeded = {
  url: string;
  ids: string[];
  deep: string;
  middling: string;
  shallow: string;
  instants: Map<string, string[]>;
  /** When the collection of `page` entities had not changed yet. */
  before: string;
  /** When those of `searched` were in their first places. */
  searchedBefore: string;
};

/** Entities at tick 2 with ten properties, the same in both other shapes, and one entity of each depth. */
export async function seed(url: string): Promise<Seeded> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const ids = Array.from({ length: ENTITIES }, newId);
  const properties = JSON.stringify(PROPERTIES);
  const writeAll = (type: string, all: readonly string[], expected: number, op: Op, set: JsonObject) =>
    writeMany(
      sql,
      all.map((id) => ({ id, expected, op, type, set })),
    );
  await writeAll('friend', ids, 0, 'created', PROPERTIES);
  await writeAll('friend', ids, 1, 'updated', { location: 'San Francisco' });
  const paged = Array.from({ length: PAGED }, newId);
  await writeAll('paged', paged, 0, 'created', PROPERTIES);
  await writeAll('paged', paged, 1, 'updated', { location: 'San Francisco' });
  const [created] = await sql<{ at: string }[]>`
    SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM clocktick.entity
     WHERE type = 'paged' LIMIT 1`;
  await searchable(sql);
  const [searched] = await sql<{ at: string }[]>`
    SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM clocktick.entity
     WHERE type = 'searched' LIMIT 1`;
  await sql`CREATE SCHEMA bench`;
  await sql`CREATE TABLE bench.plain AS SELECT id, type, tick, properties FROM clocktick.entity`;
  await sql`ALTER TABLE bench.plain ADD PRIMARY KEY (id)`;
  await sql.unsafe(TABLES);
  await sql`INSERT INTO textbook.entity SELECT id, type, 1, properties FROM clocktick.entity`;
  await sql`INSERT INTO textbook.tick (entity_id, tick) SELECT id, 1 FROM clocktick.entity`;
  await sql`
    INSERT INTO textbook.property_history
    SELECT e.id, p.key, '[1,)', p.value FROM clocktick.entity e CROSS JOIN LATERAL jsonb_each(e.properties) p`;
  const [deep, middling, shallow] = [newId(), newId(), newId()];
  const instants = new Map<string, string[]>();
  for (const [id, depth] of [
    [deep, DEPTHS.deep],
    [middling, DEPTHS.middling],
    [shallow, DEPTHS.shallow],
  ] as const) {
    await sql.unsafe(`
      DO $$
      BEGIN
        FOR n IN 0..${depth - 1} LOOP
          PERFORM FROM clocktick.write_changes(jsonb_build_array(jsonb_build_object(
            'id', '${id}', 'expected', n, 'op', CASE n WHEN 0 THEN 'created' ELSE 'updated' END, 'type', 'friend',
            'set', CASE n WHEN 0 THEN '${properties}'::jsonb ELSE jsonb_build_object('location', n) END)), true);
          IF n % 1000 = 0 THEN COMMIT; END IF;
        END LOOP;
      END
      $$`);
    const rows = await sql<{ at: string }[]>`
      SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM clocktick.tick
       WHERE entity_id = ${id} AND tick < ${depth} ORDER BY random() LIMIT 500`;
    instants.set(
      id,
      rows.map(({ at }) => at),
    );
  }
  await sql`VACUUM ANALYZE`;
  await sql.end();
  return { url, ids, deep, middling, shallow, instants, before: created?.at ?? '', searchedBefore: searched?.at ?? '' };
}

/** Entities of whom PAGED at a time are in one place, all of them in another one before. */
async function searchable(sql: postgres.Sql): Promise<void> {
  const ids = Array.from({ length: SEARCHED }, newId);
  const placeOf = (n: number) => ({ location: `place ${n % (SEARCHED / PAGED)}` });
  const write = (expected: number, op: Op, setOf: (n: number) => JsonObject) =>
    writeMany(
      sql,
      ids.map((id, n) => ({ id, expected, op, type: 'searched', set: setOf(n) })),
    );
  await write(0, 'created', (n) => ({ ...PROPERTIES, ...placeOf(n) }));
  await write(1, 'updated', (n) => placeOf(n + 1));
}

export function subjectsOf({
  url,
  ids,
  deep,
  middling,
  shallow,
  instants,
  before,
  searchedBefore,
}: Seeded): Record<string, Subject> {
  const read = (path: (id: string) => string) => ids.slice(0, ENTITIES / 2).map(path);
  const write = (path: (id: string) => string) => ids.slice(ENTITIES / 2).map(path);
  const asOf = (id: string, points: readonly (string | number)[]) =>
    points.map((point) => `/entities/${id}?asOf=${point}`);
  const ticks = (depth: number) => Array.from({ length: 500 }, (_, n) => 1 + ((n * 7919) % (depth - 1)));
  const found = (asOf: string) =>
    Array.from({ length: SEARCHED / PAGED }, (_, n) => {
      const where = encodeURIComponent(JSON.stringify({ location: `place ${n}` }));
      return `/entities?type=searched&where=${where}${asOf}`;
    });
  const patch = { properties: { location: '#' } };
  const create = { type: 'friend', properties: { ...PROPERTIES, name: '#' } };
  return {
    'a constant answer': { of: 'rivals', method: 'GET', paths: read((id) => `/constant/${id}`) },
    'one SELECT a request': { of: 'rivals', method: 'GET', paths: read((id) => `/select/${id}`) },
    'GET now': { of: 'service', method: 'GET', paths: read((id) => `/entities/${id}`) },
    'GET as of, unchanged since': { of: 'service', method: 'GET', paths: read((id) => `/entities/${id}?asOf=2`) },
    'GET as of, an older state': { of: 'service', method: 'GET', paths: read((id) => `/entities/${id}?asOf=1`) },
    'by tick, at 20,000 versions': { of: 'service', method: 'GET', paths: asOf(deep, ticks(DEPTHS.deep)) },
    'by tick, at 10': { of: 'service', method: 'GET', paths: asOf(shallow, ticks(DEPTHS.shallow)) },
    'by instant, at 20,000 versions': { of: 'service', method: 'GET', paths: asOf(deep, instants.get(deep) ?? []) },
    'by instant, at 10': { of: 'service', method: 'GET', paths: asOf(shallow, instants.get(shallow) ?? []) },
    'history page of 50, at 20,000': {
      of: 'service',
      method: 'GET',
      paths: [`/entities/${deep}/history/location?limit=50`],
    },
    'history page of 50, at 100': {
      of: 'service',
      method: 'GET',
      paths: [`/entities/${middling}/history/location?limit=50`],
    },
    'page of 100 now': { of: 'service', method: 'GET', paths: ['/entities?type=paged'] },
    'page of 100, all changed since': { of: 'service', method: 'GET', paths: [`/entities?type=paged&asOf=${before}`] },
    'page of 100 found by where': { of: 'service', method: 'GET', paths: found('') },
    'page of 100 found by where as of then': { of: 'service', method: 'GET', paths: found(`&asOf=${searchedBefore}`) },
    'plain UPDATE': { of: 'rivals', method: 'PATCH', paths: write((id) => `/plain/${id}`), body: patch },
    'PATCH one property': { of: 'service', method: 'PATCH', paths: write((id) => `/entities/${id}`), body: patch },
    'textbook PATCH': { of: 'rivals', method: 'PATCH', paths: write((id) => `/textbook/${id}`), body: patch },
    'POST ten properties': { of: 'service', method: 'POST', paths: ['/entities'], body: create },
    'plain COPY': { of: 'database', perSecond: () => copied(url) },
    'textbook POST': { of: 'rivals', method: 'POST', paths: ['/textbook'], body: create },
  };
}

/** How many entities as plain rows, without history, a COPY takes a second: what no request could come near. */
async function copied(url: string): Promise<number> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const rows = Array.from({ length: COPIED }, () => `${newId()}\tfriend\t1\t${JSON.stringify(PROPERTIES)}\n`);
  await sql`CREATE TABLE bench.copied (id uuid PRIMARY KEY, type text, tick int, properties jsonb)`;
  const start = performance.now();
  const copy = await sql`COPY bench.copied FROM STDIN`.writable();
  copy.end(rows.join(''));
  await finished(copy);
  const perSecond = (COPIED / (performance.now() - start)) * 1000;
  await sql`DROP TABLE bench.copied`;
  await sql.end();
  return perSecond;
}
