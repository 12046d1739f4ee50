import { LRUCache } from 'lru-cache';

/*
 * Remembers which entities are large. A shared statement takes as many questions as together weigh little (`Bounds.weight`), so
 * that those who read small entities do not wait for large ones.
 */

/** From how many bytes an entity is large, and how many large ones are remembered. */
const LARGE = { from: 2 ** 16, known: 1_000 };

/** What of a row tells its size. `tick` is null when the entity has no such state. */
type Sized = { id: string; tick: null } | { id: string; tick: number; size?: number; properties: string };

type LargeEntities = {
  /** About how many bytes it takes to read an entity; 0 if it is not known to be large. */
  weigh: (question: { id: string }) => number;
  /** Remembers which of the rows are large. Gives all of them back. */
  note: <Row extends Sized>(rows: (Row | undefined)[]) => (Row | undefined)[];
};

/** A memory of large entities, empty at first. */
export function largeEntities(): LargeEntities {
  const sizes = new LRUCache<string, number>({ max: LARGE.known });
  return {
    weigh: ({ id }) => (sizes.size === 0 ? 0 : (sizes.get(id) ?? 0)),
    note: (rows) => {
      for (const row of rows) {
        if (!row || row.tick === null) continue;
        const size = Math.max(row.size ?? 0, row.properties.length);
        if (size > LARGE.from) sizes.set(row.id, size);
      }
      return rows;
    },
  };
}
