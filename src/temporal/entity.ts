import type { JsonObject } from './json.js';
import type { OPS } from './limits.js';
import type { Difference } from './patch.js';
import { type Point, pointText } from './point.js';
import { Refusal } from './refusal.js';

/** The state of an entity. `tick` is the number of its last change; instants are RFC 3339 text with microseconds. */
export type Entity = {
  id: string;
  type: string;
  key: string | null;
  tick: number;
  deleted: boolean;
  createdAt: string;
  updatedAt: string;
  properties: JsonObject;
  /** The names of the properties whose values are not kept. The current state has them; a past one leaves them out. */
  untracked: readonly string[];
};

/** An entity as of a point. `tick` is null when the entity has no such tick, or was not yet created at that instant. */
export type Past<E = Entity> = E | { id: string; tick: null };

/** What a tick did to its entity. */
export type Op = (typeof OPS)[number];

/** Who makes a change, and why, as the caller says it. */
export type ActivityDetails = {
  actor?: string | undefined;
  reason?: string | undefined;
  metadata?: JsonObject | undefined;
};

/** The activity of a write. Without details it was recorded before, and the write only names it. */
export type Activity = { id: string; details: ActivityDetails | null };

/**
 * One change of one entity. The database applies it if and only if the entity is at the tick `expected` (compare and set); 0
 * means that it does not exist.
 */
export type Change = Difference & {
  id: string;
  type: string;
  key: string | null;
  expected: number;
  op: Op;
  activity: Activity | null;
  /** The instant of its tick, of imported history; absent, the clock's. */
  at?: string;
  /** The whole new state, where that is what the caller gave: a definition may add its defaults. */
  whole?: JsonObject;
};

/** The entity, alive or a tombstone. @throws Refusal `entity_not_found` */
export function existing<E>(current: E | undefined, label: string): E {
  if (!current) throw new Refusal('entity_not_found', `There is no entity ${label}.`);
  return current;
}

/** The entity, if it is alive. @throws Refusal `entity_not_found`, `entity_deleted` (with the tombstone's tick) */
export function living<E extends Pick<Entity, 'deleted' | 'tick'>>(current: E | undefined, label: string): E {
  const entity = existing(current, label);
  if (entity.deleted) {
    throw new Refusal('entity_deleted', `Entity ${label} was deleted at tick ${entity.tick}.`, {
      members: { tick: entity.tick },
    });
  }
  return entity;
}

/**
 * The entity as of a point, alive or a tombstone. When it is absent then, the refusal must not depend on what came later:
 * otherwise the answer to the same question would change.
 * @throws Refusal `entity_not_found`, `tick_not_found`
 */
export function begun<P extends { tick: number | null }>(
  past: P | undefined,
  label: string,
  point: Point,
): Extract<P, { tick: number }> {
  if (past && hasTick(past)) return past;
  const then = pointText(point);
  if (past && 'tick' in point) throw new Refusal('tick_not_found', `Entity ${label} has no tick ${then} yet.`);
  throw new Refusal('entity_not_found', `There was no entity ${label} as of ${then}.`);
}

/** Whether an entity as of a point has a state there. */
export const hasTick = <P extends { tick: number | null }>(past: P): past is Extract<P, { tick: number }> =>
  past.tick !== null;
