import { formatInstant, instantToMicros } from '../core/instants.js';
import type { Zone } from '../core/view.js';
import { countUntil, type Head } from './heads.js';

/*
 * Moments of an entity: what is looked at, and what that is compared with.
 */

/**
 * A moment, and the tick whose state holds then: 0 before the first one; null where it is not known.
 * `asOf` is the moment as the API takes it; undefined: now; null: before the first tick.
 */
export type Moment = { asOf: string | undefined | null; tick: number | null };

/** The ticks that are known, and whether there is no older one. */
type Known = { heads: readonly Head[]; isWhole: boolean };

/**
 * The moment that a view looks at.
 * @param at a tick, an instant, or undefined: now
 */
export function momentAt(at: string | undefined, { heads, isWhole }: Known): Moment {
  if (at === undefined) return { asOf: undefined, tick: heads.at(-1)?.tick ?? null };
  if (isTick(at)) return { asOf: at, tick: Number(at) };
  const head = heads[countUntil(heads, instantToMicros(at)) - 1];
  return { asOf: at, tick: head?.tick ?? (isWhole ? 0 : null) };
}

/** The moment that another is compared with; null while it is not known which tick that is. */
export function momentBeside(beside: string, shown: Moment, known: Known): Moment | null {
  if (beside === 'now') return momentAt(undefined, known);
  if (beside !== 'before') return momentAt(beside, known);
  if (shown.tick === null) return null;
  return shown.tick > 1 ? { asOf: String(shown.tick - 1), tick: shown.tick - 1 } : { asOf: null, tick: 0 };
}

const isTick = (point: string): boolean => /^\d+$/.test(point);

/**
 * A moment in words: `now (tick 9)`, `at tick 5`, `as of 2016-08-19 00:00:00 UTC (tick 5)`.
 * @param last the number of the newest tick, if that is to be told, too
 */
export function momentText({ asOf, tick }: Moment, zone: Zone, last?: number): string {
  if (asOf === null) return 'before it was created';
  const of = last === undefined ? '' : ` of ${last}`;
  if (asOf === undefined) return tick === null ? 'now' : `now (tick ${tick})`;
  if (isTick(asOf)) return `at tick ${asOf}${of}`;
  const told = tick === null ? '' : tick === 0 ? ', before it was created' : ` (tick ${tick}${of})`;
  return `as of ${formatInstant(asOf, zone, new Date())}${told}`;
}

/** The same as a name: `tick 5`. */
export const momentName = (moment: Moment, zone: Zone): string => momentText(moment, zone).replace(/^at |^as of /, '');

/** Where a step leads: `at` of the tick so many further, which is now from the newest on. */
export function stepFrom(shown: Moment, by: number, heads: readonly Head[]): string | undefined {
  const last = heads.at(-1)?.tick ?? 1;
  return pointOf((shown.tick ?? 0) + by, last);
}

/** `at` of a tick: now is that of the newest one, so that it stays now when there are newer ones. */
export function pointOf(tick: number, last: number): string | undefined {
  return tick >= last ? undefined : String(Math.max(1, tick));
}
