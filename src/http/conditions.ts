import type { TickCondition } from '../temporal/change.js';
import { Refusal } from '../temporal/refusal.js';

/** The strong entity tag of a tick: the state at one tick of one entity has one representation. */
export const etagOf = (tick: number): string => `"${tick}"`;

const LIST = /^\s*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"(?:\s*,\s*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")*\s*$/;

/**
 * Reads If-Match (RFC 9110 section 13.1.1). It compares strongly, so weak tags, and tags we never gave, match no tick.
 * @throws Refusal `invalid_if_match`
 */
export function ifMatchOf(header: string | undefined): TickCondition | null {
  if (header === undefined) return null;
  if (header.trim() === '*') return { any: true };
  if (!LIST.test(header)) {
    const message = 'is * or a list of entity tags, such as "3"';
    throw new Refusal('invalid_if_match', `If-Match ${message}.`, { errors: [{ path: 'If-Match', message }] });
  }
  const ticks = [...header.matchAll(/(W\/)?"([1-9]\d*)"/g)].flatMap(([, weak, tick]) => (weak ? [] : [Number(tick)]));
  return { ticks };
}
