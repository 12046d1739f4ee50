import { update } from './change.js';
import type { Activity, Change, Entity, Op } from './entity.js';
import type { Json, JsonObject } from './json.js';

/* What it takes to undo a tick, when others may have come since. */

/** What a tick did to a property (undefined: it was not set), and the newest tick that has changed the property since, or itself. */
export type Undoable = { property: string; was: Json | undefined; last: number };

/** A tick of an entity that is to be undone: what it did. */
export type Done = { tick: number; op: Op; changes: readonly Undoable[] };

/** What becomes of what later ticks stand in the way of: nothing at all is undone, or all the rest, or it all the same. */
export const ON_CONFLICT = ['refuse', 'skip', 'force'] as const;
export type OnConflict = (typeof ON_CONFLICT)[number];

/**
 * A later tick that stands in the way, the newest that changed the property as well; null: whether the entity is there. `isForced`: what it
 * did is undone with the rest.
 */
export type Conflict = { property: string | null; tick: number; isForced: boolean };

/** What undoes a tick (null: nothing is left to undo), and what stands in the way. */
export type Undo = { change: Change | null; conflicts: Conflict[] };

/**
 * Undoes what a tick did to an entity: its properties get the values that they had before, unless a later tick changed them as well. Later
 * changes of other properties stay. A later tick counts even if it brought back what was before: whoever made it rests on that, and to undo the
 * rest beside it would leave half of two changes.
 *
 * A creation, or restoration, is undone by a deletion; there any later tick stands in the way. A deletion is undone by a restoration.
 * @param isForced does it although later ticks stand in the way. Only what was deleted since is not brought back for one of its properties
 * @throws Refusal `entity_too_large`
 */
export function undo(entity: Entity, done: Done, isForced: boolean, activity: Activity | null): Undo {
  switch (done.op) {
    case 'created':
    case 'restored':
      return unmake(entity, done, isForced, activity);
    case 'deleted':
      return entity.deleted ? bringBack(entity, done, isForced, activity) : setBack(entity, done, isForced, activity);
    case 'updated':
      return entity.deleted
        ? { change: null, conflicts: lostTo(entity, done) }
        : setBack(entity, done, isForced, activity);
  }
}

/** Undoes that an entity came to be. */
function unmake(entity: Entity, { tick: done }: Done, isForced: boolean, activity: Activity | null): Undo {
  const { id, type, key, tick, deleted, properties } = entity;
  const conflicts = tick === done ? [] : [{ property: null, tick, isForced: isForced && !deleted }];
  if (deleted || (conflicts.length > 0 && !isForced)) return { change: null, conflicts };
  const clear = Object.keys(properties);
  return { change: { id, type, key, expected: tick, op: 'deleted', set: {}, clear, activity }, conflicts };
}

/** Undoes that an entity was deleted, when it is deleted. */
function bringBack(entity: Entity, { tick: done, changes }: Done, isForced: boolean, activity: Activity | null): Undo {
  const { id, type, key, tick } = entity;
  const conflicts = tick === done ? [] : [{ property: null, tick, isForced }];
  if (conflicts.length > 0 && !isForced) return { change: null, conflicts };
  const set = Object.fromEntries(changes.flatMap(({ property, was }) => (was === undefined ? [] : [[property, was]])));
  return { change: { id, type, key, expected: tick, op: 'restored', set, clear: [], activity }, conflicts };
}

/** Whatever the tick changed is gone with the entity. */
const lostTo = ({ tick }: Entity, { changes }: Done): Conflict[] =>
  changes.map(({ property }) => ({ property, tick, isForced: false }));

/** Undoes changes of properties of an entity that is there. */
function setBack(
  entity: Entity,
  { tick: done, op, changes }: Done,
  isForced: boolean,
  activity: Activity | null,
): Undo {
  const properties = new Map(Object.entries(entity.properties));
  const conflicts: Conflict[] = [];
  for (const { property, was, last } of changes) {
    // Whoever restored a deleted entity said of every property what it is to be: the tick after a tombstone.
    const since = op === 'deleted' ? Math.max(last, done + 1) : last;
    if (since > done) conflicts.push({ property, tick: since, isForced });
    if (since > done && !isForced) continue;
    if (was === undefined) properties.delete(property);
    else properties.set(property, was);
  }
  const next: JsonObject = Object.fromEntries(properties);
  return { change: update(entity, next, activity), conflicts };
}
