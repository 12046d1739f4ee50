import { LRUCache } from 'lru-cache';
import { Refusal } from '../../temporal/refusal.js';

/** How many questions are remembered, and for how long, in milliseconds. */
const REMEMBERED = { max: 1_000, ttl: 60_000 };

/**
 * Reads, unless the same question was too much to read a moment ago: it would take as long again before it is refused, and hold up others.
 * @param question what tells it from others; the instant it is as of may be left out
 * @throws Refusal `too_much_to_read`, and as the read
 */
export type Unless = <T>(question: readonly unknown[], read: () => Promise<T>) => Promise<T>;

/** A memory of questions that were too much, empty at first. */
export function unlessTooMuch({ max, ttl } = REMEMBERED): Unless {
  const refused = new LRUCache<string, Refusal>({ max, ttl });
  return async (question, read) => {
    const name = JSON.stringify(question);
    const known = refused.get(name);
    if (known) throw known;
    try {
      return await read();
    } catch (error) {
      if (error instanceof Refusal && error.code === 'too_much_to_read') refused.set(name, error);
      throw error;
    }
  };
}
