import { LRUCache } from 'lru-cache';

/** How large an entity is that is remembered, and how many are: a statement reads few of them, so that others do not wait. */
const LARGE = { from: 2 ** 16, known: 1_000 };

/** Of a row what tells its size; `tick` is null where the entity has no such state. */
type Sized = { id: string; tick: null } | { id: string; tick: number; size?: number; properties: string };

/** The large ones among the entities that were read. */
type LargeEntities = {
  /** About the bytes that reading an entity takes; of one that was not large, nothing. */
  weigh: (question: { id: string }) => number;
  /** Notes which of the rows are large, and gives them back. */
  note: <Row extends Sized>(rows: (Row | undefined)[]) => (Row | undefined)[];
};

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
