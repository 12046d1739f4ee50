import { finished } from 'node:stream/promises';
import postgres from 'postgres';
import { newId } from '../../src/temporal/identity.js';
import { writeDeep } from '../helper/deep-entity.js';
import { vacuum } from '../helper/in-bulk.js';
import { type Collection, newThing, writeCollection } from './collection.js';
import type { Load } from './load.js';
import { TABLES } from './textbook.js';
import { type Twins, writeTwins } from './twins.js';
import { undone } from './undone.js';

const COPIED = 50_000;
/** The textbook's constraint makes its rows dear, so it has fewer. */
const IN_TEXTBOOK = 10_000;
const DEPTHS = { deep: 20_000, middling: 100, shallow: 10 };
/** Of so many paths each load takes one after the other, in random order. */
const PATHS = 5_000;

/** Who is asked: the service, another version of it, or what a user would pick instead. */
export type Of = 'service' | 'before' | 'rivals' | 'mariadb';

/** What is asked, and of whom; or what the database, or the service, does by itself, with how much of it a second. */
export type Subject =
  | {
      of: Of;
      method: Load['method'];
      paths: string[];
      /** Of several, each request takes the next. */
      body?: object | object[];
      /** How many entities a request is about: they are counted. */
      entities?: number;
      /** In flight at once, where it is not as many as otherwise. */
      connections?: number;
    }
  | { of: 'database'; perSecond: () => Promise<number> }
  | { of: 'undo'; perSecond: (service: string) => Promise<number> };

/** An entity of many versions of its place, and some instants in its past. */
type Deep = { id: string; instants: string[] };

export type Seeded = {
  url: string;
  collection: Collection;
  depths: Record<keyof typeof DEPTHS, Deep>;
  /** Ids of the textbook's entities. */
  inTextbook: string[];
  /** Absent in what an older version has written. */
  twins?: Twins;
};

/** Writes what is asked for, unless the database has it already: a collection of things, and one entity of each depth. */
export async function seed(url: string, things: number): Promise<Seeded> {
  // What is lost in a crash is written anew.
  const sql = postgres(url, { max: 3, onnotice: () => {}, connection: { synchronous_commit: 'off' } });
  try {
    await sql`CREATE SCHEMA IF NOT EXISTS bench`;
    await sql`CREATE TABLE IF NOT EXISTS bench.seeded (seeded jsonb)`;
    const [kept] = await sql<{ seeded: Omit<Seeded, 'url'> }[]>`SELECT seeded FROM bench.seeded`;
    if (kept) return { url, ...kept.seeded };
    const collection = await writeCollection(sql, things);
    await sql`CREATE TABLE bench.plain AS SELECT id, type, tick, properties FROM clocktick.entity`;
    await sql`ALTER TABLE bench.plain ADD PRIMARY KEY (id)`;
    await sql.unsafe(TABLES);
    await sql`INSERT INTO textbook.entity SELECT id, type, 1, properties FROM clocktick.entity ORDER BY random() LIMIT ${IN_TEXTBOOK}`;
    await sql`INSERT INTO textbook.tick (entity_id, tick) SELECT id, 1 FROM textbook.entity`;
    await sql`
      INSERT INTO textbook.property_history
      SELECT e.id, p.key, '[1,)', p.value FROM textbook.entity e CROSS JOIN LATERAL jsonb_each(e.properties) p`;
    const depths = {
      deep: await deepOf(sql, DEPTHS.deep),
      middling: await deepOf(sql, DEPTHS.middling),
      shallow: await deepOf(sql, DEPTHS.shallow),
    };
    const twins = await writeTwins(sql, PATHS);
    const rows = await sql<{ id: string }[]>`SELECT id FROM textbook.entity`;
    const inTextbook = rows.map(({ id }) => id);
    await vacuum(sql);
    await sql`INSERT INTO bench.seeded VALUES (${JSON.stringify({ collection, depths, inTextbook, twins })}::text::jsonb)`;
    return { url, collection, depths, inTextbook, twins };
  } finally {
    await sql.end();
  }
}

/** An entity of so many versions of its place, with as many properties as the others. */
async function deepOf(sql: postgres.Sql, depth: number): Promise<Deep> {
  const id = newId();
  const of = Object.fromEntries(Object.keys(newThing(0, 1)).map((name) => [name, 'generate_series(1, 1)']));
  await writeDeep(sql, [{ id, of: { ...of, place: `generate_series(1, ${depth})` } }]);
  const rows = await sql<{ at: string }[]>`
    SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM clocktick.tick
     WHERE entity_id = ${id} AND tick < ${depth} ORDER BY random() LIMIT 500`;
  return { id, instants: rows.map(({ at }) => at) };
}

export function subjectsOf({ url, collection, depths, inTextbook, twins = NO_TWINS }: Seeded): Record<string, Subject> {
  const { prefixes, places, movers, created, instants } = collection;
  // Half of them are read, the other half written: what is read as of a tick must not change meanwhile.
  const [readable, writable] = [0, 1].map((half) => sample(collection.ids.filter((_, n) => n % 2 === half)));
  const each = (path: (id: string, instant: string) => string) =>
    (readable ?? []).map((id, n) => path(id, instants[n % instants.length] ?? ''));
  const written = (path: string) => (writable ?? []).map((id) => `${path}/${id}`);
  const asOf = ({ id }: Deep, points: readonly (string | number)[]) =>
    points.map((point) => `/entities/${id}?asOf=${point}`);
  const ticks = (depth: number) => Array.from({ length: 500 }, (_, n) => 1 + ((n * 7919) % (depth - 1)));
  const found = (path: (place: string) => string) =>
    sample(Array.from({ length: places }, (_, n) => `place ${n}`)).map(path);
  const where = (place: string) => `/entities?type=thing&where=${encodeURIComponent(JSON.stringify({ place }))}`;
  const read = (of: Of, paths: string[]): Subject => ({ of, method: 'GET', paths });
  const write = (of: Of, method: 'PATCH' | 'POST', paths: string[], body: object) => ({
    of,
    method,
    paths,
    body,
  });
  const entityPath = (id: string) => `/entities/${id}`;
  const patch = { properties: { place: '#' } };
  const create = { type: 'made', properties: { ...newThing(1, places), name: '#', place: '#' } };
  const { deep, middling, shallow } = depths;
  const patches = write('service', 'PATCH', written('/entities'), patch);
  const batches = {
    of: 'service' as const,
    method: 'POST' as const,
    paths: ['/batch'],
    body: inHundreds(writable ?? []).map((ids) => ({
      operations: ids.map((id) => ({ op: 'patch', id, ...patch })),
    })),
    entities: IN_BATCH,
  };
  return {
    'a constant answer': read(
      'rivals',
      each((id) => `/constant/${id}`),
    ),
    'one SELECT a request': read(
      'rivals',
      each((id) => `/select/${id}`),
    ),
    'GET now': read(
      'service',
      each((id) => `/entities/${id}`),
    ),
    'GET as of, unchanged since': read(
      'service',
      each((id) => `/entities/${id}?asOf=11`),
    ),
    'an older state': read(
      'service',
      each((id, instant) => `/entities/${id}?asOf=${instant}`),
    ),
    'rows: an older state': read(
      'rivals',
      each((id, instant) => `/rows/${id}?asOf=${instant}`),
    ),
    'MariaDB: GET now': read(
      'mariadb',
      each((id) => `/mariadb/${id}`),
    ),
    'MariaDB: an older state': read(
      'mariadb',
      each((id, instant) => `/mariadb/${id}?asOf=${instant}`),
    ),
    'its first state': read(
      'service',
      each((id) => `/entities/${id}?asOf=${created}`),
    ),
    'rows: its first state': read(
      'rivals',
      each((id) => `/rows/${id}?asOf=${created}`),
    ),
    'MariaDB: its first state': read(
      'mariadb',
      each((id) => `/mariadb/${id}?asOf=${created}`),
    ),
    'page now': read(
      'service',
      prefixes.map((prefix) => `/entities?type=thing&keyPrefix=${prefix}`),
    ),
    'rows: page now': read(
      'rivals',
      prefixes.map((prefix) => `/rows?keyPrefix=${prefix}`),
    ),
    'MariaDB: page now': read(
      'mariadb',
      prefixes.map((prefix) => `/mariadb?keyPrefix=${prefix}`),
    ),
    'page of a snapshot': read(
      'service',
      prefixes.map((prefix) => `/entities?type=thing&keyPrefix=${prefix}&asOf=${created}`),
    ),
    'rows: page of a snapshot': read(
      'rivals',
      prefixes.map((prefix) => `/rows?keyPrefix=${prefix}&asOf=${created}`),
    ),
    'MariaDB: page of a snapshot': read(
      'mariadb',
      prefixes.map((prefix) => `/mariadb?keyPrefix=${prefix}&asOf=${created}`),
    ),
    'history of 50 ranges': read(
      'service',
      movers.map((id) => `/entities/${id}/history/place?limit=50`),
    ),
    'rows: history of 50 ranges': read(
      'rivals',
      movers.map((id) => `/rows/${id}/history`),
    ),
    'MariaDB: history of 50 ranges': read(
      'mariadb',
      movers.map((id) => `/mariadb/${id}/history`),
    ),
    'found now': read('service', found(where)),
    'found by a past value': read(
      'service',
      found((place) => `${where(place)}&asOf=${created}`),
    ),
    'rows: found by a past value': read(
      'rivals',
      found((place) => `/rows/found?asOf=${created}&place=${encodeURIComponent(place)}`),
    ),
    'MariaDB: found by a past value': read(
      'mariadb',
      found((place) => `/mariadb/found?asOf=${created}&place=${encodeURIComponent(place)}`),
    ),
    'by tick, at 20,000 versions': read('service', asOf(deep, ticks(DEPTHS.deep))),
    'by tick, at 10': read('service', asOf(shallow, ticks(DEPTHS.shallow))),
    'by instant, at 20,000 versions': read('service', asOf(deep, deep.instants)),
    'by instant, at 10': read('service', asOf(shallow, shallow.instants)),
    'history page of 50, at 20,000': read('service', [`/entities/${deep.id}/history/place?limit=50`]),
    'history page of 50, at 100': read('service', [`/entities/${middling.id}/history/place?limit=50`]),
    'plain UPDATE': write('rivals', 'PATCH', written('/plain'), patch),
    PATCH: patches,
    'rows: PATCH': write('rivals', 'PATCH', written('/rows'), patch),
    'MariaDB: PATCH': write('mariadb', 'PATCH', written('/mariadb'), patch),
    'textbook PATCH': write(
      'rivals',
      'PATCH',
      inTextbook.map((id) => `/textbook/${id}`),
      patch,
    ),
    'PATCH of a defined type': write('service', 'PATCH', twins.defined.map(entityPath), patch),
    'PATCH of an open type': write('service', 'PATCH', twins.open.map(entityPath), patch),
    'POST of a defined type': write('service', 'POST', ['/entities'], { ...create, type: 'defined' }),
    'POST of an open type': write('service', 'POST', ['/entities'], { ...create, type: 'open' }),
    POST: write('service', 'POST', ['/entities'], create),
    'rows: POST': write('rivals', 'POST', ['/rows'], create),
    'MariaDB: POST': write('mariadb', 'POST', ['/mariadb'], create),
    'textbook POST': write('rivals', 'POST', ['/textbook'], create),
    'PATCH, one client': { ...patches, connections: 1 },
    'batch of 100 patches': batches,
    'batch of 100 patches, one client': { ...batches, connections: 1 },
    'undo of 10,000 ticks': { of: 'undo', perSecond: undone },
    'plain COPY': { of: 'database', perSecond: () => copied(url) },
  };
}

/** What a subject is called where another version of the service is asked. */
export const before = (subject: string) => `before: ${subject}`;

/** What is asked of another version of the service, which has written a collection of its own. It may be from before there were batches. */
export const subjectsBefore = (seeded: Seeded): Record<string, Subject> =>
  Object.fromEntries(
    Object.entries(subjectsOf(seeded)).flatMap(([name, subject]) =>
      subject.of === 'service' && !subject.entities ? [[before(name), { ...subject, of: 'before' as const }]] : [],
    ),
  );

/** What a database of the bench holds. */
export async function readSeeded(url: string): Promise<Seeded> {
  const sql = postgres(url, { max: 1 });
  const [kept] = await sql<{ seeded: Omit<Seeded, 'url'> }[]>`SELECT seeded FROM bench.seeded`;
  await sql.end();
  if (!kept) throw new Error('the database holds no data of the bench');
  return { url, ...kept.seeded };
}

const NO_TWINS: Twins = { defined: [], open: [] };

/** How many entities a batch changes. */
const IN_BATCH = 100;

const inHundreds = (ids: readonly string[]): string[][] =>
  Array.from({ length: Math.floor(ids.length / IN_BATCH) }, (_, n) => ids.slice(n * IN_BATCH, (n + 1) * IN_BATCH));

/** PATHS of them, spread over all. */
function sample<T>(all: readonly T[]): T[] {
  const step = Math.max(1, Math.floor(all.length / PATHS));
  return all.filter((_, n) => n % step === 0);
}

/** How many entities as plain rows, without history, a COPY takes a second: what no request could come near. */
async function copied(url: string): Promise<number> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const properties = JSON.stringify(newThing(1, 100));
  const rows = Array.from({ length: COPIED }, () => `${newId()}\tfriend\t1\t${properties}\n`);
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
