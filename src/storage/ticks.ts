import type { Point } from '../temporal/point.js';
import { arrayText, type Fragment, type Sql } from './engine/pools.js';
import { type Bound, type HistoryPage, tickFrom } from './ranges.js';
import { type ActivityText, ANSWER_BYTES, type ChangeRow } from './rows.js';
import { engine, type Storage } from './storage.js';

/** One tick of an entity; its two instants differ only in imported history. Without changes where nobody asked for them. */
export type TickRow = {
  tick: number;
  at: string;
  recordedAt: string;
  op: string;
  activity: ActivityText;
  changes: ChangeRow[];
};

/**
 * Which ticks of an entity: those in [from, to), of them those that touched one of these properties (null: all); and whether to say what
 * they changed.
 */
type TickLookup = {
  id: string;
  properties: readonly string[] | null;
  from: Point | null;
  to: Point | null;
  withChanges: boolean;
};

/** A page, or what there is instead of one; `property` is the first of those asked for that was never set. */
type Ticks =
  | { found: 'page'; until: number; more: boolean; ticks: TickRow[] }
  | { found: 'no entity' }
  | { found: 'no property'; property: string };

/**
 * A page of an entity's ticks with what each of them changed: of all properties, or only of those asked for. Without changes, ranges are
 * read only to find the ticks that touched a property.
 */
export async function readTicks(storage: Storage, question: TickLookup, page: HistoryPage): Promise<Ticks> {
  const { id, properties, from, to, withChanges } = question;
  return storage[engine].reading(async (sql) => {
    const direction = directionOf(sql, page);
    const after = page.after === null ? null : sql`least(${page.after}::int4, until)`;
    // Of what came after the last tick that may be seen, nothing is looked at.
    const start = from ? sql`least(${tickFrom(sql, id, from)}, until + 1)` : sql`1`;
    const end = to ? sql`least(until, ${tickFrom(sql, id, to)} - 1)` : sql`until`;
    const shown = properties ? touching(sql, id, properties, page) : allTicks(sql, id, page);
    const nearby = withChanges && !properties ? around(sql, id) : sql``;
    const rows = await sql<(Bound & { absent: string | null } & (TickLine | { tick: null }))[]>`
      WITH bound AS MATERIALIZED (
        SELECT until, now_tick,
               ${after && page.order === 'asc' ? sql`greatest(${start}, ${after} + 1)` : start} AS first,
               ${after && page.order === 'desc' ? sql`least(${end}, ${after} - 1)` : end} AS last
          FROM (SELECT least(${page.until}::int4, e.tick) AS until, e.tick AS now_tick
                  FROM clocktick.entity e WHERE e.id = ${id}::uuid) pinned
      ), ${shown}${nearby}, who AS MATERIALIZED (
        SELECT a.id, clocktick.activity_text(a.id, a.actor, a.reason, a.metadata) AS activity
          FROM clocktick.activity a WHERE a.id = ANY (ARRAY(SELECT DISTINCT activity_id FROM page))
      ), change AS MATERIALIZED (
        ${withChanges ? changes(sql) : noChanges(sql)}
      ), fitting AS MATERIALIZED (
        SELECT * FROM (
          SELECT page.*, who.activity, row_number() OVER place AS n,
                 sum(coalesce(weight.bytes, 0) + coalesce(octet_length(who.activity), 0)) OVER place AS bytes
            FROM page
            LEFT JOIN (SELECT tick, sum(octet_length(property) + coalesce(octet_length("from"), 0)
                                        + coalesce(octet_length("to"), 0)) AS bytes
                         FROM change GROUP BY tick) weight ON weight.tick = page.tick
            LEFT JOIN who ON who.id = page.activity_id
          WINDOW place AS (ORDER BY page.tick ${direction})
        ) measured WHERE n <= ${page.limit} AND (n = 1 OR bytes <= ${ANSWER_BYTES})
      )
      SELECT bound.until, (SELECT count(*) FROM page) > (SELECT count(*) FROM fitting) AS more, page.tick, page.op,
             page.at, page.recorded_at AS "recordedAt",
             page.activity, change.property, change."from", change."to",
             ${properties ? absent(sql, id) : sql`NULL`} AS absent
        FROM bound
        LEFT JOIN fitting page ON true
        LEFT JOIN change ON change.tick = page.tick
       ORDER BY page.tick ${direction}, octet_length(change.property), change.property`;
    const [top] = rows;
    if (!top) return { found: 'no entity' };
    if (top.absent !== null) return { found: 'no property', property: top.absent };
    const ticks = gather(rows.flatMap((row) => (row.tick === null ? [] : [row])));
    return { found: 'page', until: top.until, more: top.more, ticks };
  });
}

/** Of `t`, the clock. */
const clockRow = (sql: Sql): Fragment => sql`t.tick, t.at, t.recorded_at, t.op, t.activity_id`;

const directionOf = (sql: Sql, { order }: HistoryPage): Fragment => (order === 'desc' ? sql`DESC` : sql`ASC`);

/** What the ticks of a page changed: where one range of a property ends and another begins, by the ranges nearby. */
const changes = (sql: Sql): Fragment => sql`
        SELECT coalesce(lower(opened.vclock), upper(ended.vclock)) AS tick,
               coalesce(opened.property, ended.property) AS property,
               ended.value::text AS "from", opened.value::text AS "to"
          FROM nearby opened FULL JOIN nearby ended
            ON ended.property = opened.property AND upper(ended.vclock) = lower(opened.vclock)
         WHERE coalesce(lower(opened.vclock), upper(ended.vclock)) IN (SELECT page.tick FROM page)`;

/** The same where nobody asked. */
const noChanges = (sql: Sql): Fragment => sql`
        SELECT NULL::int4 AS tick, NULL::text AS property, NULL::text AS "from", NULL::text AS "to" WHERE false`;

/** A page of all ticks, one more than it may show. */
const allTicks = (sql: Sql, id: string, page: HistoryPage): Fragment => sql`
      page AS MATERIALIZED (
        SELECT ${clockRow(sql)}
          FROM clocktick.tick t
         WHERE t.entity_id = ${id}::uuid
           AND t.tick >= (SELECT first FROM bound) AND t.tick <= (SELECT last FROM bound)
         ORDER BY t.tick ${directionOf(sql, page)} LIMIT ${page.limit + 1}
      )`;

/** The ranges around a page of all ticks: those that change inside it, and the one that spans it for every other property. */
const around = (sql: Sql, id: string): Fragment => sql`, nearby AS MATERIALIZED (
        SELECT h.property, h.vclock, h.value
          FROM (SELECT min(page.tick) AS first, max(page.tick) AS last FROM page) shown
         CROSS JOIN bound
         CROSS JOIN LATERAL (
           SELECT c.property, c.vclock, c.value
             FROM clocktick.closed_ranges_of(${id}::uuid, bound.now_tick, shown.first - 1, shown.last) c
           UNION ALL
           SELECT o.property, o.vclock, o.value
             FROM clocktick.open_ranges_of(${id}::uuid, shown.last) o
            WHERE lower(o.vclock) >= shown.first
         ) h
      )`;

/**
 * A page of the ticks that touched some properties. Those are the ends of their ranges, upper ones too: a removal opens no
 * other. So no tick is read that is not shown: the ranges of each property are taken in order, beginning with the one
 * before the window, which may end inside it. Two more than the page may show ticks have each tick of it among their ends
 * and both its ranges among them, as they do not overlap.
 */
const touching = (sql: Sql, id: string, properties: readonly string[], page: HistoryPage): Fragment => sql`
      named AS MATERIALIZED (
        SELECT name, n FROM unnest(${arrayText(properties)}::text::text[]) WITH ORDINALITY AS named (name, n)
      ), nearby AS MATERIALIZED (
        SELECT named.name AS property, near.vclock, near.value
          FROM bound CROSS JOIN named
         CROSS JOIN LATERAL (
           (SELECT h.vclock, h.value FROM clocktick.closed_ranges(${id}::uuid, named.name, 1, bound.first - 1) h
             ORDER BY h.vclock DESC LIMIT 1)
           UNION ALL
           (SELECT h.vclock, h.value FROM clocktick.closed_ranges(${id}::uuid, named.name, bound.first, bound.last) h
             ORDER BY h.vclock ${directionOf(sql, page)} LIMIT ${page.limit + 2})
           UNION ALL
           (SELECT h.vclock, h.value FROM clocktick.open_range(${id}::uuid, named.name, bound.last) h)
         ) near
      ), page AS MATERIALIZED (
        SELECT ${clockRow(sql)}
          FROM clocktick.tick t
         WHERE t.entity_id = ${id}::uuid
           AND t.tick = ANY (ARRAY(
                 SELECT DISTINCT touched.tick
                   FROM bound CROSS JOIN nearby CROSS JOIN LATERAL (VALUES (lower(nearby.vclock)), (upper(nearby.vclock))) touched (tick)
                  WHERE touched.tick BETWEEN bound.first AND bound.last
                  ORDER BY touched.tick ${directionOf(sql, page)} LIMIT ${page.limit + 1}))
      )`;

/** The first of the named properties that had never been set by the end of the walk, which `bound` says. */
const absent = (sql: Sql, id: string): Fragment => sql`
      (SELECT named.name FROM named
        WHERE NOT CASE WHEN named.name IN (SELECT nearby.property FROM nearby) THEN true
                  ELSE (SELECT w.was_set FROM clocktick.was_set(${id}::uuid, named.name, bound.until) w) END
        ORDER BY named.n LIMIT 1)`;

/** A tick with one of its changes, or with none: how a statement delivers ticks. */
type TickLine = Omit<TickRow, 'changes'> & (ChangeRow | { property: null });

/** Brings the lines of each tick together; they come one after the other. */
function gather(lines: readonly TickLine[]): TickRow[] {
  const ticks: TickRow[] = [];
  for (const line of lines) {
    let last = ticks.at(-1);
    if (last?.tick !== line.tick) {
      const { tick, at, recordedAt, op, activity } = line;
      last = { tick, at, recordedAt, op, activity, changes: [] };
      ticks.push(last);
    }
    if (line.property !== null) last.changes.push({ property: line.property, from: line.from, to: line.to });
  }
  return ticks;
}
