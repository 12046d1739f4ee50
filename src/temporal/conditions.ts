import type { Entity } from './entity.js';
import { Refusal } from './refusal.js';

/** Ticks named by a conditional header (RFC 9110 section 13.1); `any` is its `*`. */
export type TickCondition = { any: true } | { ticks: number[] };

/** The conditions of a write: it happens only if `ifMatch` holds and `ifNoneMatch` does not. */
export type Conditions = { ifMatch: TickCondition | null; ifNoneMatch: TickCondition | null };

/** The conditions of a write that has none. */
export const UNCONDITIONAL: Conditions = { ifMatch: null, ifNoneMatch: null };

/**
 * Whether a condition names the state. `*` names any current representation, and a tombstone is none. The tick of a tombstone
 * can be named all the same, so that PUT and restore can be made conditional on it.
 */
function matches(condition: TickCondition, current: Pick<Entity, 'tick' | 'deleted'> | undefined): boolean {
  if ('any' in condition) return current !== undefined && !current.deleted;
  return current !== undefined && condition.ticks.includes(current.tick);
}

/**
 * Refuses a write whose conditions do not hold of the state.
 * @param current the entity, or undefined when it was never created
 * @throws Refusal `precondition_failed`, with the tick that the entity is at
 */
export function checkConditions(
  current: Pick<Entity, 'tick' | 'deleted'> | undefined,
  { ifMatch, ifNoneMatch }: Conditions,
): void {
  const refuse = (why: string) =>
    new Refusal('precondition_failed', why, current ? { members: { tick: current.tick } } : {});
  const state = current
    ? `The entity is ${current.deleted ? 'deleted, ' : ''}at tick ${current.tick}`
    : 'There is no such entity';
  if (ifMatch && !matches(ifMatch, current)) {
    throw refuse(`${state}${current && 'ticks' in ifMatch ? ', not at the tick of If-Match' : ''}.`);
  }
  if (ifNoneMatch && matches(ifNoneMatch, current)) throw refuse(`${state}, which If-None-Match rules out.`);
}
