import type { TickCondition } from '../../temporal/conditions.js';
import { Refusal } from '../../temporal/refusal.js';

/** The strong entity tag of a tick: the state at one tick of one entity has one representation. */
export const etagOf = (tick: number): string => `"${tick}"`;

/** A list of entity tags. Proxies that edit lists leave empty elements, which a server must accept (RFC 9110 section 5.6.1.2). */
const LIST = /^[\s,]*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"(?:\s*,[\s,]*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")*[\s,]*$/;

/** The entity tags of a conditional header; null for its `*`. @throws Refusal `invalid_condition` */
function tagsOf(name: string, header: string): { tag: string; weak: boolean }[] | null {
  if (header.trim() === '*') return null;
  if (!LIST.test(header)) {
    throw Refusal.at('invalid_condition', name, 'is * or a list of entity tags, such as "3"');
  }
  return [...header.matchAll(/(W\/)?("[^"]*")/g)].map(([, weak, tag = '']) => ({ tag, weak: weak !== undefined }));
}

function ticksOf(name: string, header: string | undefined, compare: 'strongly' | 'weakly'): TickCondition | null {
  if (header === undefined) return null;
  const tags = tagsOf(name, header);
  if (!tags) return { any: true };
  // A tag that the service never gives matches no tick.
  const ours = tags.filter(({ tag, weak }) => /^"[1-9]\d*"$/.test(tag) && !(weak && compare === 'strongly'));
  return { ticks: ours.map(({ tag }) => Number(tag.slice(1, -1))) };
}

/**
 * Reads If-Match (RFC 9110 section 13.1.1), which compares strongly: weak tags match nothing.
 * @throws Refusal `invalid_condition`
 */
export const ifMatchOf = (header: string | undefined): TickCondition | null => ticksOf('If-Match', header, 'strongly');

/**
 * Reads If-None-Match of a write (RFC 9110 section 13.1.2), which compares weakly.
 * @throws Refusal `invalid_condition`
 */
export const ifNoneMatchOf = (header: string | undefined): TickCondition | null =>
  ticksOf('If-None-Match', header, 'weakly');

/**
 * Whether the If-None-Match of a read names the tag of the answer: the caller has the answer already, and gets 304.
 * @throws Refusal `invalid_condition`
 */
export function isNotModified(etag: string, ifNoneMatch: string | undefined): boolean {
  if (ifNoneMatch === undefined) return false;
  const tags = tagsOf('If-None-Match', ifNoneMatch);
  return tags === null || tags.some(({ tag }) => tag === etag);
}
