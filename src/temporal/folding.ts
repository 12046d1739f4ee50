import type { Change, Entity } from './entity.js';
import { difference, replaced } from './patch.js';

/* How several changes of one entity, which are recorded together, become one. */

/** An entity as a change leaves it, but for its tick and its instants: they are those of before, because the change is not made yet. */
export function after(entity: Entity | undefined, change: Change): Entity {
  const { id, type, key, op, expected: tick } = change;
  const { createdAt = '', updatedAt = '', untracked = [] } = entity ?? {};
  const properties = replaced(entity?.properties ?? {}, change);
  return { id, type, key, tick, deleted: op === 'deleted', createdAt, updatedAt, properties, untracked };
}

/** The one change that leads from one state to another; null: there is no difference. */
export function between(base: Entity | undefined, last: Entity): Change | null {
  const { id, type, key, deleted, properties } = last;
  const change = { id, type, key, expected: base?.tick ?? 0, activity: null };
  if (!base || base.deleted) {
    if (deleted) return null;
    return { ...change, op: base ? 'restored' : 'created', set: properties, clear: [] };
  }
  if (deleted) return { ...change, op: 'deleted', set: {}, clear: Object.keys(base.properties) };
  const changed = difference(base.properties, properties);
  if (Object.keys(changed.set).length === 0 && changed.clear.length === 0) return null;
  return { ...change, op: 'updated', ...changed };
}
