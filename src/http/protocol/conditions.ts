import { createHash } from 'node:crypto';
import type { TickCondition } from '../../temporal/conditions.js';
import { Refusal } from '../../temporal/refusal.js';

/** The strong entity tag of a tick: the state at one tick of one entity has one representation. */
export const etagOf = (tick: number): string => `"${tick}"`;

/** The strong entity tag of an answer that nothing shorter than a text tells from others. */
export const tagOfText = (text: string): string =>
  `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;

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

/** The conditional headers of a read. */
export type ReadConditions = { 'if-match'?: string | undefined; 'if-none-match'?: string | undefined };

/** Whether a read is conditional. */
export const isConditional = (headers: ReadConditions): boolean =>
  headers['if-match'] !== undefined || headers['if-none-match'] !== undefined;

/**
 * Whether the If-None-Match of a read names the tag of the answer: the caller has the answer already, and gets 304. Before that the
 * tag must be one of If-Match, where the caller sends it (RFC 9110 section 13.2.2).
 * @throws Refusal `invalid_condition`, `precondition_failed`
 */
export function isNotModified(etag: string, headers: ReadConditions): boolean {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  const wanted = ifMatch === undefined ? null : tagsOf('If-Match', ifMatch);
  const known = ifNoneMatch === undefined ? [] : tagsOf('If-None-Match', ifNoneMatch);
  if (wanted && !wanted.some(({ tag, weak }) => tag === etag && !weak))
    throw new Refusal('precondition_failed', `The answer has the tag ${etag}, which If-Match does not name.`);
  return known === null || known.some(({ tag }) => tag === etag);
}
