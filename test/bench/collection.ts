import type postgres from 'postgres';
import { idOfKey } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';
import { type RawChange, writeChanges } from '../helper/write.js';
import { copyCollection } from './copied.js';
import { ROWS } from './rows.js';

/*
 * A collection that looks like data: many entities of ten properties, created in random order, and then each property of
 * each entity changed once, one property a tick, in random order; a few hundred others had one property changed fifty times.
 * All of it is written by the write function, and the same into tables that keep whole rows (rows.ts). A larger one is copied (copied.ts).
 */

/** Which properties an entity has. `version` 0 is how it was created; of no property two versions are the same. */
const VALUES: Record<string, (n: number, version: number, places: number) => JsonObject[string]> = {
  name: (n, version) => `name ${hash(n, version)}`,
  place: (n, version, places) => `place ${(n + version * 31) % places}`,
  email: (n, version) => `${hash(n, version + 7)}@example.com`,
  plan: (n, version) => ['free', 'basic', 'team', 'pro', 'partner'][(n + version) % 5] ?? '',
  age: (n, version) => 18 + ((n + version) % 73),
  score: (n, version) => ((n * 7919 + version * 13) % 100_000) / 100,
  active: (n, version) => (n + version) % 2 === 0,
  seen: (n, version) => new Date(Date.UTC(2016, 0, 1 + ((n + version) % 365))).toISOString().slice(0, 10),
  note: (n, version) => `note ${hash(n, version)} ${hash(n + 1, version)} ${hash(n + 2, version)}`,
  team: (n, version) => `team ${(n + version) % 200}`,
};
const NAMES = Object.keys(VALUES);
/** The one that filters ask for: so many entities share a place, at any time. */
export const SHARING = 100;
/** How often `place` of the others changed. */
const MOVES = 50;
/** Of how many entities on the collection is copied instead of written. */
const COPIED = 200_000;
/** How many changes are written in one statement, as the service would share one. */
const TOGETHER = 100;
const WRITERS = 2;

export type Collection = {
  /** Of type `thing`: ids, and the first two digits of keys, which are hexadecimal and random. */
  ids: string[];
  prefixes: string[];
  places: number;
  /** Of type `mover`. */
  movers: string[];
  /** When all were created, and nothing had changed yet. */
  created: string;
  /** Random instants of the time in which things changed. */
  instants: string[];
  /** Bytes on disk, indexes included and vacuumed: of a new entity, and of a change. Null where all of it was copied. */
  bytes: Bytes | null;
};

export type Bytes = Record<'entity' | 'change', Record<Home, number>>;

/** The schemas that hold the same: the service's, and that of whole rows. */
type Home = 'clocktick' | 'rows';

/** The properties of the n-th thing when it is created. */
export const newThing = (n: number, places: number): JsonObject =>
  Object.fromEntries(NAMES.map((name) => [name, valueAt(name, n, 0, places)]));

/** Writes a collection of so many things, and vacuums it. */
export async function writeCollection(sql: postgres.Sql, things: number): Promise<Collection> {
  await sql.unsafe(ROWS);
  const places = Math.max(things / SHARING, 1);
  const keys = Array.from({ length: things }, (_, n) => hash(n, 99));
  const ids = keys.map((key) => idOfKey('thing', key));
  const moverCount = Math.min(Math.max(things / 200, 10), 500);
  const moverKeys = Array.from({ length: moverCount }, (_, n) => hash(n, 98));
  const movers = moverKeys.map((key) => idOfKey('mover', key));
  const random = randomFrom(2017);
  const both = async (changes: readonly RawChange[]) => {
    const outcomes = await writeChanges(sql, changes);
    if (outcomes.some(({ outcome }) => outcome !== 'written')) throw new Error('a change of the bench was refused');
    await sql`SELECT rows.apply(${JSON.stringify(changes)}::text::jsonb)`;
  };
  const create = (type: string, chosen: readonly string[], keys: readonly string[]) =>
    inTurn(`${type}s created`, chosen.length, shuffled(chosen.length, random), async (numbers) =>
      both(
        numbers.map((n) => ({
          id: chosen[n] ?? '',
          expected: 0,
          op: 'created',
          type,
          key: keys[n] ?? '',
          set: newThing(n, places),
        })),
      ),
    );
  const copied =
    things >= COPIED
      ? await copyCollection(sql, {
          type: 'thing',
          ids,
          keys,
          created: shuffled(things, random),
          changes: shuffled(things * NAMES.length, random),
          names: NAMES,
          value: (name, n, version) => valueAt(name, n, version, places),
        })
      : null;
  const before = await sizes(sql);
  if (!copied) await create('thing', ids, keys);
  await create('mover', movers, moverKeys);
  const born = await sizes(sql);
  const created = copied?.created ?? (await instant(sql));
  const ticks = new Uint8Array(things).fill(1);
  const changes = copied ? new Uint32Array() : shuffled(things * NAMES.length, random);
  await inTurn('changes', things, changes, async (numbers) =>
    both(
      numbers.map((number) => {
        const [n, name] = [number % things, NAMES[Math.floor(number / things)] ?? ''];
        const expected = ticks[n] ?? 0;
        ticks[n] = expected + 1;
        const set = { [name]: valueAt(name, n, 1, places) };
        return { id: ids[n] ?? '', expected, op: 'updated', type: 'thing', set };
      }),
    ),
  );
  const ended = copied?.ended ?? (await instant(sql));
  const moves = new Uint8Array(moverCount).fill(1);
  await inTurn('moves', moverCount, shuffled(moverCount * MOVES, random), async (numbers) =>
    both(
      numbers.map((number) => {
        const n = number % moverCount;
        const expected = moves[n] ?? 0;
        moves[n] = expected + 1;
        const set = { place: valueAt('place', n, expected, places) };
        return { id: movers[n] ?? '', expected, op: 'updated', type: 'mover', set };
      }),
    ),
  );
  const [from, to] = [Date.parse(created), Date.parse(ended)];
  return {
    ids,
    prefixes: Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, '0')),
    places,
    movers,
    created,
    instants: Array.from({ length: 1_000 }, () =>
      new Date(from + random() * (to - from)).toISOString().replace('Z', '000Z'),
    ),
    bytes: copied
      ? null
      : {
          entity: perOne(before, born, things + moverCount),
          change: perOne(born, await sizes(sql), things * NAMES.length + moverCount * MOVES),
        },
  };
}

/**
 * Does work for all numbers of a list in its order, TOGETHER at a time, by WRITERS at once. No two at once, and none of one
 * time, are of the same entity: which of `entities` one is of is its remainder.
 */
async function inTurn(
  what: string,
  entities: number,
  numbers: Uint32Array,
  work: (some: number[]) => Promise<void>,
): Promise<void> {
  let done = 0;
  const mine = (writer: number) => numbers.filter((number) => (number % entities) % WRITERS === writer);
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      let waiting: number[] = [];
      const go = async (some: number[]) => {
        await work(some);
        done += some.length;
        if (Math.floor(done / 50_000) > Math.floor((done - some.length) / 50_000))
          process.stderr.write(`${what}: ${done.toLocaleString('en')} of ${numbers.length.toLocaleString('en')}\n`);
      };
      const queue = [...mine(writer)].reverse();
      while (queue.length > 0 || waiting.length > 0) {
        const some = new Map<number, number>();
        const later: number[] = [];
        while (some.size < TOGETHER) {
          const number = waiting.shift() ?? queue.pop();
          if (number === undefined) break;
          if (some.has(number % entities)) later.push(number);
          else some.set(number % entities, number);
        }
        waiting = [...later, ...waiting];
        await go([...some.values()]);
      }
    }),
  );
}

const valueAt = (name: string, n: number, version: number, places: number) =>
  VALUES[name]?.(n, version, places) ?? null;

async function sizes(sql: postgres.Sql): Promise<Record<Home, number>> {
  await sql`VACUUM`;
  const rows = await sql<{ home: Home; bytes: string }[]>`
    SELECT n.nspname AS home, sum(pg_total_relation_size(c.oid)) AS bytes
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('clocktick', 'rows') AND c.relkind = 'r' GROUP BY 1`;
  const of = (home: Home) => Number(rows.find((row) => row.home === home)?.bytes ?? 0);
  return { clocktick: of('clocktick'), rows: of('rows') };
}

const perOne = (before: Record<Home, number>, after: Record<Home, number>, count: number): Record<Home, number> => ({
  clocktick: Math.round((after.clocktick - before.clocktick) / count),
  rows: Math.round((after.rows - before.rows) / count),
});

async function instant(sql: postgres.Sql): Promise<string> {
  const [row] = await sql<{ at: string }[]>`
    SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;
  return row?.at ?? '';
}

/** Numbers from 0 on, in random order (Fisher and Yates). */
function shuffled(count: number, random: () => number): Uint32Array {
  const numbers = Uint32Array.from({ length: count }, (_, n) => n);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const number = numbers[last] ?? 0;
    numbers[last] = numbers[other] ?? 0;
    numbers[other] = number;
  }
  return numbers;
}

/** The same random numbers at every run (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Ten hexadecimal digits that look random. */
function hash(n: number, version: number): string {
  const random = randomFrom(n * 1_000 + version);
  return [random(), random()]
    .map((part) =>
      Math.floor(part * 2 ** 20)
        .toString(16)
        .padStart(5, '0'),
    )
    .join('');
}
