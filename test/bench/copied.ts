import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type postgres from 'postgres';
import type { JsonObject } from '../../src/temporal/json.js';
import { withoutIndexes, withoutTriggers } from '../helper/in-bulk.js';

/*
 * A collection by COPY: the rows that the write function would have left (and the trigger of whole rows), in the order in which it
 * would have written them. A million entities take minutes instead of hours. Pages are full and indexes dense, where those that grew have
 * room: reads touch a little less, and the first change of an entity finds no room beside it. Bytes are measured on what was written.
 */

/** What to write: entities in order of creation, and changes in order, each a property of an entity that gets its next value. */
type Plan = {
  type: string;
  ids: readonly string[];
  keys: readonly string[];
  created: Uint32Array;
  /** Each is of an entity (its remainder by their number) and of a property (its quotient). */
  changes: Uint32Array;
  names: readonly string[];
  value: (name: string, n: number, version: number) => JsonObject[string];
};

const BEGAN = Date.UTC(2016, 0, 1);
/** Microseconds between two writes. */
const STEP = 100;

/** The instant of a write, of all that were made; in what COPY reads. */
function instantOf(write: number): string {
  const micros = write * STEP;
  const text = new Date(BEGAN + Math.floor(micros / 1_000)).toISOString();
  return `${text.slice(0, -1)}${String(micros % 1_000).padStart(3, '0')}Z`;
}

/** Writes a collection. @returns when all were created, and when all had changed */
export async function copyCollection(sql: postgres.Sql, plan: Plan): Promise<{ created: string; ended: string }> {
  const { type, ids, keys, created, changes, names, value } = plan;
  const count = ids.length;
  const bornAt = new Uint32Array(count);
  for (const [place, n] of created.entries()) bornAt[n] = place;
  // Of each property of each entity the tick that changed it.
  const tickOf = new Uint8Array(count * names.length);
  const ticks = new Uint8Array(count).fill(1);
  const lastAt = new Uint32Array(count);
  for (const [place, change] of changes.entries()) {
    const n = change % count;
    const tick = (ticks[n] ?? 0) + 1;
    ticks[n] = tick;
    tickOf[change] = tick;
    lastAt[n] = count + place;
  }
  const bornInstant = (n: number) => instantOf(bornAt[n] ?? 0);
  const stateOf = (n: number, versionOf: (property: number) => number) =>
    JSON.stringify(Object.fromEntries(names.map((name, property) => [name, value(name, n, versionOf(property))])));
  const sinceOf = (n: number) =>
    JSON.stringify(Object.fromEntries(names.map((name, property) => [name, tickOf[property * count + n] ?? 1])));

  function* entities() {
    for (const n of created) {
      const last = instantOf(lastAt[n] ?? 0);
      yield [ids[n], type, keys[n], ticks[n], stateOf(n, () => 1), bornInstant(n), last, sinceOf(n)];
    }
  }
  function* clock() {
    for (const n of created) yield [ids[n], 1, type, bornInstant(n), bornInstant(n), 'created'];
    for (const [place, change] of changes.entries()) {
      const at = instantOf(count + place);
      yield [ids[change % count], tickOf[change], type, at, at, 'updated'];
    }
  }
  function* ended() {
    for (const [place, change] of changes.entries()) {
      const n = change % count;
      const name = names[Math.floor(change / count)] ?? '';
      const text = JSON.stringify(value(name, n, 0));
      // As clocktick.stored_as says: what is a text here takes ten bytes more than its JSON.
      const isShort = text.length + 10 <= 64;
      const range = `["${bornInstant(n)}","${instantOf(count + place)}")`;
      yield [ids[n], type, name, `[1,${tickOf[change]})`, isShort ? text : null, isShort ? null : text, range];
    }
  }
  function* whole() {
    for (const n of created) yield [ids[n], type, keys[n], ticks[n], stateOf(n, () => 1), instantOf(lastAt[n] ?? 0)];
  }
  function* past() {
    const at = new Uint32Array(bornAt);
    for (const [place, change] of changes.entries()) {
      const n = change % count;
      const tick = tickOf[change] ?? 0;
      const state = stateOf(n, (property) => ((tickOf[property * count + n] ?? 0) < tick ? 1 : 0));
      yield [ids[n], type, keys[n], tick - 1, state, instantOf(at[n] ?? 0), instantOf(count + place)];
      at[n] = count + place;
    }
  }

  const copy = async (into: string, rows: Iterable<readonly unknown[]>) => {
    const writable = await sql.unsafe(`COPY ${into} FROM STDIN`).writable();
    await pipeline(Readable.from(inChunks(rows)), writable);
    process.stderr.write(`copied into ${into.split(' ')[0]}\n`);
  };
  await sql`SET maintenance_work_mem = '1GB'`;
  const copied = ['clocktick.entity', 'clocktick.tick', 'clocktick.property_history', 'rows.thing', 'rows.past'];
  await withoutTriggers(sql, ['entity', 'tick', 'property_history', 'open_value'], async () => {
    await withoutIndexes(sql, copied, async () => {
      await copy('clocktick.entity (id, type, key, tick, properties, created_at, updated_at, since)', entities());
      await copy('clocktick.tick (entity_id, tick, type, at, recorded_at, op)', clock());
      await copy(
        'clocktick.property_history (entity_id, type, property, vclock, short_value, long_value, effective)',
        ended(),
      );
      await copy('rows.thing (id, type, key, tick, properties, at)', whole());
      await copy('rows.past (id, type, key, tick, properties, at, until)', past());
      process.stderr.write('making indexes\n');
    });
    await sql`ANALYZE`;
    await withoutIndexes(sql, ['clocktick.open_value'], async () => {
      await sql`
        INSERT INTO clocktick.open_value (value_key, entity_id, since)
        SELECT clocktick.value_key(e.type, p.key, p.value), e.id, began.at
          FROM clocktick.entity e CROSS JOIN LATERAL jsonb_each(e.properties) p
         CROSS JOIN LATERAL clocktick.at_of(e.id, e.tick, e.created_at, e.updated_at, (e.since ->> p.key)::int4) began`;
    });
  });
  return { created: instantOf(count - 1), ended: instantOf(count + changes.length) };
}

/** Rows as COPY reads them. No text in them has a tab, a line break or a backslash. */
function* inChunks(rows: Iterable<readonly unknown[]>): Generator<string> {
  let chunk = '';
  for (const row of rows) {
    chunk += `${row.map((cell) => cell ?? '\\N').join('\t')}\n`;
    if (chunk.length > 100_000) {
      yield chunk;
      chunk = '';
    }
  }
  yield chunk;
}
