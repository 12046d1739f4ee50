import { readFailure } from './engine/failures.js';
import { arrayText, type Database, type Sql } from './engine/pools.js';

/** A state of an entity that can be had for ever: its tick and the instant of it. A tombstone is none. */
export type Memento = { tick: number; at: string };

/** A memento by what it is to another one. */
export type RelatedMemento = Memento & { rel: 'first' | 'prev' | 'next' | 'last' };

/** A page of an entity's mementos, and the first of the next page. */
export type MementoPage = { mementos: Memento[]; next: Memento | null };

/** The mementos of an entity after a tick; undefined: there is no such entity. */
export async function readMementos(
  { sql }: Database,
  id: string,
  { after, limit }: { after: number; limit: number },
): Promise<MementoPage | undefined> {
  try {
    const rows = await sql<(Memento | { tick: null })[]>`
      SELECT page.tick, page.at
        FROM clocktick.entity e
        LEFT JOIN LATERAL (
          SELECT t.tick, t.at FROM clocktick.tick t
           WHERE t.entity_id = e.id AND t.tick > ${after}::int4 AND t.op <> 'deleted'
           ORDER BY t.tick LIMIT ${limit + 1}
        ) page ON true
       WHERE e.id = ${id}::uuid
       ORDER BY page.tick`;
    if (rows.length === 0) return undefined;
    const mementos = rows.flatMap((row) => (row.tick === null ? [] : [row]));
    return { mementos: mementos.slice(0, limit), next: mementos[limit] ?? null };
  } catch (error) {
    throw readFailure(error);
  }
}

/** Around which state of which entity. */
export type Around = { id: string; tick: number };

/** The mementos around states: of each the first, the last, and those before and after it. */
export async function readMementosAround(sql: Sql, states: readonly Around[]): Promise<RelatedMemento[][]> {
  const rows = await sql<(RelatedMemento & { n: number })[]>`
    SELECT q.n::int4, around.rel, around.tick, around.at
      FROM unnest(${arrayText(states.map(({ id }) => id))}::text::uuid[], ${arrayText(states.map(({ tick }) => tick))}::text::int4[])
             WITH ORDINALITY AS q (id, tick, n)
     CROSS JOIN LATERAL (
       SELECT 1 AS place, 'first' AS rel, t.tick, t.at FROM clocktick.tick t WHERE t.entity_id = q.id AND t.tick = 1
       UNION ALL
       (SELECT 2, 'prev', t.tick, t.at FROM clocktick.tick t
         WHERE t.entity_id = q.id AND t.tick < q.tick AND t.op <> 'deleted' ORDER BY t.tick DESC LIMIT 1)
       UNION ALL
       (SELECT 3, 'next', t.tick, t.at FROM clocktick.tick t
         WHERE t.entity_id = q.id AND t.tick > q.tick AND t.op <> 'deleted' ORDER BY t.tick LIMIT 1)
       UNION ALL
       (SELECT 4, 'last', t.tick, t.at FROM clocktick.tick t
         WHERE t.entity_id = q.id AND t.op <> 'deleted' ORDER BY t.tick DESC LIMIT 1)
     ) around
     ORDER BY q.n, around.place`;
  const around = states.map((): RelatedMemento[] => []);
  for (const { n, ...memento } of rows) around[n - 1]?.push(memento);
  return around;
}
