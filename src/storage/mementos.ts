import { and, eq, gt, lte, ne, sql } from 'drizzle-orm';
import { arrayText, type Sql } from './engine/pools.js';
import type { Around, Memento, RelatedMemento } from './rows.js';
import { entity, tick } from './schema.js';
import { engine, type Storage } from './storage.js';

/** A page of an entity's mementos, and the first of the next page. */
export type MementoPage = { mementos: Memento[]; next: Memento | null };

/** The mementos of an entity after a tick, and until one (null: all); undefined: there is no such entity. */
export async function readMementos(
  storage: Storage,
  id: string,
  { after, until, limit }: { after: number; until: number | null; limit: number },
): Promise<MementoPage | undefined> {
  const rows = await storage[engine].reading((_, db) => {
    const page = db
      .select({ tick: tick.tick, at: tick.at })
      .from(tick)
      .where(
        and(
          eq(tick.entityId, entity.id),
          gt(tick.tick, after),
          until === null ? undefined : lte(tick.tick, until),
          ne(tick.op, 'deleted'),
        ),
      )
      .orderBy(tick.tick)
      .limit(limit + 1)
      .as('page');
    return db
      .select({ tick: page.tick, at: page.at })
      .from(entity)
      .leftJoinLateral(page, sql`true`)
      .where(eq(entity.id, id))
      .orderBy(page.tick);
  });
  if (rows.length === 0) return undefined;
  const mementos = rows.flatMap(({ tick, at }) => (tick === null || at === null ? [] : [{ tick, at }]));
  return { mementos: mementos.slice(0, limit), next: mementos[limit] ?? null };
}

/** The mementos around states: of each the first, the last, and those before and after it. */
export async function readMementosAround(sql: Sql, states: readonly Around[]): Promise<RelatedMemento[][]> {
  const rows = await sql<(RelatedMemento & { n: number })[]>`
    SELECT q.n::int4, around.rel, around.tick, around.at
      FROM unnest(${arrayText(states.map(({ id }) => id))}::text::uuid[], ${arrayText(states.map(({ tick }) => tick))}::text::int4[],
                  ${arrayText(states.map(({ until }) => until))}::text::int4[])
             WITH ORDINALITY AS q (id, tick, until, n)
     CROSS JOIN LATERAL (
       SELECT 1 AS place, 'first' AS rel, t.tick, t.at FROM clocktick.tick t WHERE t.entity_id = q.id AND t.tick = 1
       UNION ALL
       (SELECT 2, 'prev', t.tick, t.at FROM clocktick.tick t
         WHERE t.entity_id = q.id AND t.tick < q.tick AND t.op <> 'deleted' ORDER BY t.tick DESC LIMIT 1)
       UNION ALL
       (SELECT 3, 'next', t.tick, t.at FROM clocktick.tick t
         WHERE t.entity_id = q.id AND t.tick > q.tick AND t.tick <= q.until AND t.op <> 'deleted' ORDER BY t.tick LIMIT 1)
       UNION ALL
       (SELECT 4, 'last', t.tick, t.at FROM clocktick.tick t
         WHERE t.entity_id = q.id AND t.tick <= q.until AND t.op <> 'deleted' ORDER BY t.tick DESC LIMIT 1)
     ) around
     ORDER BY q.n, around.place`;
  const around = states.map((): RelatedMemento[] => []);
  for (const { n, ...memento } of rows) around[n - 1]?.push(memento);
  return around;
}
