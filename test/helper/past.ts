import type postgres from 'postgres';
import { idOfKey } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';
import { type ImportedChange, importTicks } from './imported.js';
import { vacuum } from './in-bulk.js';
import { writeChanges } from './write.js';

/*
 * A small past that is the same in every database: people who move every day for twelve days, and notes written now. So that
 * plans are those of larger data there are some thousand rows, analyzed; so that they stay the same nobody analyzes them again.
 */

const PEOPLE = 240;
const DAYS = 12;
const NOTES = 1_500;
/** More than there are days: those of other days made nothing. */
const ACTIVITIES = 1_000;

const keyOf = (n: number) => `p${String(n).padStart(3, '0')}`;

/** The id of a person: of 1 to PEOPLE. */
export const person = (n: number): string => idOfKey('person', keyOf(n));

/** The end of a day, when everybody has moved. */
export const endOfDay = (day: number): string => `2016-01-${String(day).padStart(2, '0')}T23:59:59.000000Z`;

/** The activity of a day: of 1 to DAYS, on which all moved by the same one. */
export const activityOf = (day: number): string => `00000000-0000-4000-8000-${String(day).padStart(12, '0')}`;

/** When a person moved on a day. */
export const instantOf = (n: number, day: number): string =>
  new Date(Date.UTC(2016, 0, day, 8) + n * 1000).toISOString().replace('Z', '000Z');

/** What a person's day sets: a city every day, an age every third; in the middle the tags change. */
function setOn(n: number, day: number): JsonObject {
  const city = { city: `city ${(n + day) % 8}` };
  if (day === 1) {
    return {
      ...city,
      name: `name ${n}`,
      age: 20 + (n % 50),
      tags: [`group ${n % 8}`, 'early'],
      prices: n % 2 === 0 ? { EUR: n, USD: n + 1 } : {},
      ...(n % 3 === 0 ? { nick: null } : {}),
    };
  }
  return {
    ...city,
    ...(day % 3 === 0 ? { age: 20 + ((n + day) % 50) } : {}),
    ...(day === 6 ? { tags: [`group ${n % 8}`, 'late'] } : {}),
  };
}

/** Every tenth person is deleted on one day, and on the next every twentieth is back. */
function changeOn(n: number, day: number): ImportedChange[] {
  const change = { id: person(n), type: 'person', key: keyOf(n), at: instantOf(n, day), activity: activityOf(day) };
  const isGone = n % 10 === 0 && day >= 9;
  if (isGone && day === 9) return [{ ...change, op: 'deleted', set: {} }];
  if (isGone && n % 20 !== 0) return [];
  const op = day === 1 ? 'created' : isGone && day === 10 ? 'restored' : 'updated';
  return [{ ...change, op, set: setOn(n, day) }];
}

/** Writes all of it. */
export async function writePast(sql: postgres.Sql): Promise<void> {
  for (const table of ['activity', 'entity', 'tick', 'property_history', 'open_value', 'item_history'])
    await sql`ALTER TABLE ${sql(`clocktick.${table}`)} SET (autovacuum_enabled = off)`;
  await sql`
    INSERT INTO clocktick.activity (id, actor, reason, metadata, recorded_at)
    SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'mover ' || n, 'day ' || n, jsonb_build_object('n', n), now()
      FROM generate_series(1, ${ACTIVITIES}) n
        ON CONFLICT DO NOTHING`;
  const people = Array.from({ length: PEOPLE }, (_, n) => n + 1);
  for (let day = 1; day <= DAYS; day++)
    await importTicks(
      sql,
      people.flatMap((n) => changeOn(n, day)),
    );
  const notes = Array.from({ length: NOTES }, (_, n) => ({ id: idOfKey('note', `n${n}`), key: `n${n}`, n }));
  const change = { type: 'note', expected: 0, op: 'created' } as const;
  await writeChanges(
    sql,
    notes.map(({ n, ...note }) => ({ ...change, ...note, set: { text: `text ${n}`, of: `name ${n % PEOPLE}`, n } })),
  );
  await vacuum(sql);
}
