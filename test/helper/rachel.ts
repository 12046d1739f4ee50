import type { Entity } from '../../src/temporal/entity.js';
import { idOfKey } from '../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../src/temporal/json.js';

export const RACHEL = idOfKey('friend', 'rachel');

/** Rachel at tick 3, except for what a case gives. She is frozen, so that no function can change her unnoticed. */
export const rachel = (otherwise: Partial<Entity> = {}): Entity =>
  frozen({
    id: RACHEL,
    type: 'friend',
    key: 'rachel',
    tick: 3,
    deleted: false,
    createdAt: '2014-10-08T00:00:00.000000Z',
    updatedAt: '2016-01-08T00:00:00.000000Z',
    untracked: [],
    properties: { name: 'Rachel', location: 'New York', job: { title: 'buyer', at: 'Bloomingdale' }, left: null },
    ...otherwise,
  });

/** Rachel deleted. A tombstone holds no properties, as the database demands. */
export const buried = (otherwise: Partial<Entity> = {}): Entity =>
  rachel({ deleted: true, properties: {}, ...otherwise });

/** The value, frozen at all depths. Modules are strict, so a change of any part throws a TypeError. */
export function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) frozen(part);
    Object.freeze(value);
  }
  return value;
}

/** An object with this one member, whatever its name: a literal would set the prototype for `__proto__`. */
export const only = (name: string, value: Json): JsonObject => Object.fromEntries([[name, value]]);
