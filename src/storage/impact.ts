import { setImmediate } from 'node:timers/promises';
import type { Checker } from '../definitions/checker.js';
import { faultsOfState } from '../definitions/past.js';
import { objectIn } from '../temporal/json.js';
import { type Fault, Refusal } from '../temporal/refusal.js';
import { nobodyWaits } from './engine/failures.js';
import type { Fragment, Sql } from './engine/pools.js';
import { engine, type Storage } from './storage.js';

/* What a definition would make invalid of the entities that its type has: they are gone through, page by page, while others write on. */

/** An entity that a definition refuses as it is now, with its first faults. */
type InvalidEntity = { id: string; key: string | null; tick: number; errors: Fault[] };

/** How many entities of a type were checked, how many of them a definition refuses, and some of these; `until`: all that was stable by then. */
export type Impact = { checked: number; invalid: number; examples: InvalidEntity[]; until: string };

/** How many examples are told, and how many faults of each. */
const EXAMPLES = 10;
const FAULTS = 3;
/** How much of a path is told, in UTF-16 code units: names have no bound but that of an entity. */
const MOST_PATH = 300;

/** How many entities are read at once, and how many bytes of them, as they are stored: compressed, they may become a hundred times as much. */
const AT_ONCE = 500;
const MOST_BYTES = 2 ** 18;
/** For how long entities are checked without a pause, in milliseconds: meanwhile this process serves nobody. */
const SLICE_MS = 3;
/** How many changes may be checked again while nobody can write entities of the type. */
const MOST_LOCKED = 2_000;
/** What was written meanwhile is checked in rounds, each shorter than the one before it, until so few are left; how many, and of how many changes. */
const FEW = 200;
const MOST_ROUNDS = 10;
const MOST_OF_ROUND = 100_000;

/**
 * Checks every living entity of a type, as it is now. What is written meanwhile is for `catchUp` to check.
 * @throws Refusal as a read
 */
export async function impactOf(
  storage: Storage,
  type: string,
  checker: Checker,
  signal: AbortSignal | undefined,
): Promise<Impact> {
  const { exporting, stableInstant } = storage[engine];
  const impact: Impact = { checked: 0, invalid: 0, examples: [], until: await stableInstant.newest() };
  let after: Place | null = { key: '', id: '00000000-0000-0000-0000-000000000000' };
  while (after !== null) {
    if (signal?.aborted) throw nobodyWaits();
    const from: Place = after;
    const rows: Row[] = await exporting((sql) => readPage(sql, type, from));
    after = await addTo(impact, checker, rows);
  }
  return impact;
}

/**
 * Checks what was written of a type since all of it was checked, while others write on, until little is left or something is invalid.
 * @throws Refusal `too_many_writers` where they write too much at once
 */
export async function catchUp(
  storage: Storage,
  type: string,
  checker: Checker,
  impact: Impact,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { exporting, stableInstant } = storage[engine];
  for (let rounds = 0; rounds < MOST_ROUNDS && impact.invalid === 0; rounds++) {
    if (signal?.aborted) throw nobodyWaits();
    const until = await stableInstant.newest();
    const count = await exporting((sql) => impactSince(sql, type, checker, impact, MOST_OF_ROUND));
    impact.until = until;
    if (count <= FEW) return;
  }
}

/**
 * Checks what was written of a type since then once more, while nobody can write entities of it (`clocktick.lock_definition`). Gives how
 * many changes that were.
 * @throws Refusal `too_many_writers` where they are more than `most`
 */
export async function impactSince(
  sql: Sql,
  type: string,
  checker: Checker,
  impact: Impact,
  most = MOST_LOCKED,
): Promise<number> {
  const changed = await sql<{ id: string }[]>`
    SELECT t.entity_id AS id FROM clocktick.tick t WHERE t.type = ${type} AND t.at > ${impact.until}::timestamptz
    UNION ALL
    SELECT t.entity_id FROM clocktick.tick t
     WHERE t.type = ${type} AND t.recorded_at > ${impact.until}::timestamptz AND t.recorded_at <> t.at
    LIMIT ${most + 1}`;
  // Not by the database: to find each once it would go through the ticks of all entities.
  const ids = new Set(changed.map(({ id }) => id));
  if (changed.length > most)
    throw new Refusal(
      'too_many_writers',
      `Others write too many entities of type ${type} meanwhile. Nothing was written.`,
    );
  for (const id of ids) {
    // It was counted before.
    const { checked } = impact;
    await addTo(impact, checker, await readOne(sql, id));
    impact.checked = checked;
  }
  return changed.length;
}

/** A place in the order of a collection of one type. */
type Place = { key: string; id: string };
/** `text`: null where it has to wait for the next page. */
type Row = { id: string; key: string | null; tick: number; text: string | null };

const state = (sql: Sql): Fragment => sql`clocktick.all_properties(e.properties, e.untracked)`;

function readPage(sql: Sql, type: string, { key, id }: Place): Promise<Row[]> {
  return sql<Row[]>`
  SELECT e.id, e.key, e.tick, CASE WHEN e.before < ${MOST_BYTES}::int THEN ${state(sql)}::text END AS text
    FROM (SELECT e.*, sum(e.size) OVER (ORDER BY coalesce(e.key, ''), e.id) - e.size AS before
            FROM (SELECT e.*, pg_column_size(e.properties) + coalesce(pg_column_size(e.untracked), 0) AS size
                    FROM clocktick.entity e
                   WHERE e.type = ${type} AND NOT e.deleted AND (coalesce(e.key, ''), e.id) > (${key}, ${id}::uuid)
                   ORDER BY coalesce(e.key, ''), e.id LIMIT ${AT_ONCE}) e) e
   ORDER BY coalesce(e.key, ''), e.id`;
}

const readOne = (sql: Sql, id: string): Promise<Row[]> => sql<Row[]>`
  SELECT e.id, e.key, e.tick, ${state(sql)}::text AS text FROM clocktick.entity e WHERE e.id = ${id}::uuid AND NOT e.deleted`;

/** Checks entities. Gives where the next page begins; null: there is none. */
async function addTo(impact: Impact, checker: Checker, rows: readonly Row[]): Promise<Place | null> {
  let began = performance.now();
  let last: Place | null = null;
  for (const { id, key, tick, text } of rows) {
    if (text === null) return last;
    last = { key: key ?? '', id };
    const errors = faultsOfState(checker, objectIn(text)).slice(0, FAULTS).map(shortened);
    impact.checked++;
    if (errors.length > 0) {
      impact.invalid++;
      if (impact.examples.length < EXAMPLES) impact.examples.push({ id, key, tick, errors });
    }
    if (performance.now() - began < SLICE_MS) continue;
    await setImmediate();
    began = performance.now();
  }
  return last;
}

const shortened = (fault: Fault): Fault => ({ ...fault, path: fault.path.slice(0, MOST_PATH).toWellFormed() });
