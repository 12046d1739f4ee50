import type { ActivityRef, Op } from '../../client/types.js';
import { countWhile } from '../core/count-while.js';

/** A tick without what it changed: when, what it did to the entity, and who did it. */
export type Head = { tick: number; at: string; micros: bigint; op: Op; activity: ActivityRef | null };

/** The head of a tick; undefined where it is not known. */
export const headAt = (heads: readonly Head[], tick: number): Head | undefined => heads[tick - (heads[0]?.tick ?? 0)];

/** Where in a clock the first tick after an instant is: how many of those known came at it or before. */
export const countUntil = (heads: readonly Head[], micros: bigint): number =>
  countWhile(heads.length, (n) => (heads[n]?.micros ?? 0n) <= micros);
