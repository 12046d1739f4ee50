import { LAST_TICK } from '../temporal/point.js';
import { arrayText, type Fragment, type Sql } from './engine/pools.js';
import { kinds, type Newest, pinFor, readNewest } from './pins.js';
import { ANSWER_BYTES } from './rows.js';
import { engine, type Storage } from './storage.js';

/** A value, as JSON text, and how many entities held it; null: other values than those that are listed. */
export type CountRow = { at: string; value: string | null; entities: number };

/**
 * For so few instants each entity's state is looked up at each, whatever its history; for more each range is read once.
 */
const FEW_INSTANTS = 3;

/** Which values to count: of what, at which instants (in order, each once; none: that of the newest change), how many of them. */
type CountQuestion = {
  type: string;
  property: string;
  at: readonly string[];
  recordedAsOf: string | null;
  most: number;
};

/** What the instants can show at most, and the counts; null to whoever has them already. */
type Counts = { newest: Newest; isFixed: boolean; rows: CountRow[] | null };

/**
 * How many entities of a type held each value of a property. Now is the instant of the newest change, as in collections, so
 * that the answer stays the same until there is another.
 * @param isKnown whether the caller has what the instants can show already
 * @throws Refusal `too_much_to_read`, and as `pinFor`
 */
export async function readCounts(
  storage: Storage,
  { at, recordedAsOf, ...question }: CountQuestion,
  isKnown: (newest: Newest) => boolean,
  signal?: AbortSignal,
): Promise<Counts> {
  const last = at.at(-1);
  const asOf = last === undefined ? null : { instant: last };
  const { pin, isFixed } = await pinFor(storage, question.type, { asOf, recordedAsOf }, signal);
  const newest = await readNewest(storage, question.type, pin);
  if (isKnown(newest)) return { newest, isFixed, rows: null };
  const instants = at.length > 0 ? at : newest.asOf === null ? [] : [newest.asOf];
  return { newest, isFixed, rows: await countValues(storage, question, instants, pin.recordedAsOf, signal) };
}

/**
 * How many entities of a type held each value of a property at each of some instants (in order, each once): the `most` frequent
 * values of each, and all others together.
 *
 * A range is counted at the instants that it spans. Of entities that were imported into the time before an instant after
 * `recordedAsOf`, whose ranges were cut since, the states are looked up all the same.
 */
export async function countValues(
  storage: Storage,
  { type, property, most }: Omit<CountQuestion, 'at' | 'recordedAsOf'>,
  instants: readonly string[],
  recordedAsOf: string,
  signal?: AbortSignal,
): Promise<CountRow[]> {
  const question = ['counts', type, property, instants.length];
  const { counting, unlessTooMuch } = storage[engine];
  return unlessTooMuch(question, () =>
    counting((sql) => {
      const recorded = sql`${recordedAsOf}::timestamptz`;
      const isFew = instants.length <= FEW_INSTANTS;
      const looked = isFew
        ? sql`SELECT e.id AS entity_id FROM clocktick.entity e WHERE e.type = ${type}`
        : sql`
          SELECT DISTINCT i.entity_id
            FROM (SELECT max(instant.at) AS at FROM instant) newest CROSS JOIN kind
           CROSS JOIN LATERAL clocktick.imported_since(kind.type, newest.at, ${recorded}) i`;
      return sql<CountRow[]>`
      WITH ${kinds(sql, type)}, instant AS MATERIALIZED (
        -- Nothing is recorded before it happens: by what was recorded then, nothing is later.
        SELECT u.at, least(u.at, ${recorded}) AS seen, u.n
          FROM unnest(${arrayText(instants)}::text::timestamptz[]) WITH ORDINALITY AS u (at, n)
      ), looked AS MATERIALIZED (${looked}
      ), spanned AS MATERIALIZED (
        -- From after the last instant before it to the last one before its end.
        SELECT h.value, ${instantsBefore(sql, sql`lower(h.effective)`)} AS before, ${instantsBefore(sql, sql`upper(h.effective)`)} AS until
          FROM clocktick.entity e CROSS JOIN LATERAL (${rangesOf(sql, property)}) h
         WHERE ${isFew ? sql`false` : sql`e.type = ${type} AND (e.id IN (SELECT looked.entity_id FROM looked)) IS NOT TRUE`}
      ), counted AS MATERIALIZED (
        SELECT n, value, sum(entities) AS entities
          FROM (SELECT generate_series(s.before + 1, s.until) AS n, s.value, s.entities
                  FROM (SELECT before, until, value, count(*) AS entities FROM spanned WHERE before < until GROUP BY before, until, value) s
                UNION ALL
                SELECT instant.n, held.value, 1
                  FROM looked CROSS JOIN LATERAL (SELECT e.* FROM clocktick.entity e WHERE e.id = looked.entity_id LIMIT 1) e
                 CROSS JOIN instant
                 CROSS JOIN LATERAL clocktick.state_as_of(e.id, e.tick, e.updated_at, e.deleted, e.recorded_at,
                                                          instant.seen, ${recorded}) past
                 CROSS JOIN LATERAL clocktick.value_at(e.id, e.properties, e.since, ${property}, past.tick) held
                 WHERE held.value IS NOT NULL) c
         GROUP BY n, value
      ), ranked AS MATERIALIZED (
        SELECT n, value, entities, row_number() OVER (PARTITION BY n ORDER BY entities DESC, left(value::text, 100) COLLATE "C",
                                    jsonb_hash_extended(value, 0)) AS rank FROM counted
      ), listed AS MATERIALIZED (
        SELECT n, rank, value::text AS value, sum(octet_length(value::text)) OVER (ORDER BY n, rank) AS bytes
          FROM ranked WHERE rank <= ${most}
      )
      SELECT instant.at, listed.value, coalesce(sum(ranked.entities), 0)::int AS entities
        FROM instant
        LEFT JOIN ranked ON ranked.n = instant.n
        LEFT JOIN listed ON listed.n = ranked.n AND listed.rank = ranked.rank AND listed.bytes <= ${ANSWER_BYTES}
       GROUP BY instant.at, listed.value
       ORDER BY instant.at, min(ranked.rank) FILTER (WHERE listed.value IS NOT NULL)`;
    }, signal),
  );
}

/** The ranges of a property of `e`, the open one first. */
const rangesOf = (sql: Sql, property: string): Fragment => sql`
  SELECT h.value, h.effective
    FROM clocktick.open_range_of(e.id, e.type, e.tick, e.created_at, e.updated_at, e.properties, e.since, ${property}, ${LAST_TICK}) h
  UNION ALL
  (SELECT h.value, h.effective FROM clocktick.closed_ranges(e.id, ${property}, 1, ${LAST_TICK}) h
    ORDER BY h.vclock)`;

/** How many of the instants lie before one; all, where there is none. */
const instantsBefore = (sql: Sql, at: Fragment): Fragment => sql`
  CASE WHEN ${at} IS NULL THEN (SELECT count(*)::int FROM instant)
       ELSE width_bucket(${at} - interval '1 microsecond', (SELECT array_agg(instant.seen ORDER BY instant.n) FROM instant)) END`;
