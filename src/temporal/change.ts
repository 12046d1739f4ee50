import { type Conditions, checkConditions, UNCONDITIONAL } from './conditions.js';
import {
  type Activity,
  type ActivityDetails,
  begun,
  type Change,
  type Entity,
  existing,
  living,
  type Past,
} from './entity.js';
import { type Address, idOfKey, isFreshId, newId } from './identity.js';
import type { Json, JsonObject } from './json.js';
import { applyJsonPatch, operationsOf, type PatchWork } from './json-patch.js';
import { MAX_PROPERTIES } from './limits.js';
import { difference, mergeObject } from './patch.js';
import { type Point, pointText } from './point.js';
import { faultsOfName, invalidNames, refuseBadNames } from './property-name.js';
import { Refusal } from './refusal.js';

/*
 * What each command makes of an entity's current state. Each command has two functions. The first makes the command from the
 * fields of a request, and refuses what is wrong in them: `creation`, `replacement`, `mergePatchOf`, `jsonPatchOf`, `reversion`.
 * The second decides: it is pure, and takes the state and the command to the one change to record, or to null when nothing
 * changes. So the write path can decide again when another writer came first.
 */

/** What every write carries that addresses its entity. `label` is what messages call the entity: its UUID, or type:key. */
export type Intent = { label: string; conditions: Conditions; activity: Activity | null };

/** `POST /entities`: what to create. The id follows from (type, key); without a key it is new. */
export type Creation = {
  id: string;
  type: string;
  key: string | null;
  properties: JsonObject;
  activity: Activity | null;
};

/**
 * What to create, from the fields of a request.
 * @throws Refusal `invalid_property_name`
 */
export function creation(
  fields: { type: string; key?: string | undefined; properties: JsonObject },
  activity: Activity | null,
): Creation {
  refuseBadNames(fields.properties);
  const key = fields.key ?? null;
  const id = key === null ? newId() : idOfKey(fields.type, key);
  return { id, type: fields.type, key, properties: fields.properties, activity };
}

/**
 * Creates the entity. If the key belongs to a tombstone, it revives that entity, whose ticks go on. The conditions mean what
 * they mean for a PUT to the key.
 * @throws Refusal `precondition_failed`, `entity_exists`
 */
export function create(
  current: Entity | undefined,
  { properties, ...wanted }: Creation,
  conditions: Conditions = UNCONDITIONAL,
): Change {
  checkConditions(current, conditions);
  const given = { set: bounded(properties), clear: [], whole: properties };
  if (!current) return { ...wanted, expected: 0, op: 'created', ...given };
  if (!current.deleted) {
    throw new Refusal('entity_exists', `There already is a ${wanted.type} with this key.`, {
      members: { id: current.id, tick: current.tick },
    });
  }
  return { ...wanted, expected: current.tick, op: 'restored', ...given };
}

/** `PUT /entities/:id`: the whole new state. */
export type Replacement = Intent & { address: Address; type: string; properties: JsonObject };

/**
 * What to put, from the fields of a request.
 * @throws Refusal `invalid_property_name`; `invalid_body` when the type is not that of the address
 */
export function replacement(
  intent: Intent,
  address: Address,
  fields: { type: string; properties: JsonObject },
): Replacement {
  refuseBadNames(fields.properties);
  if (address.named && address.named.type !== fields.type) {
    throw Refusal.at('invalid_body', '/type', `is not the type that the address says, ${address.named.type}`);
  }
  return { ...intent, address, type: fields.type, properties: fields.properties };
}

/**
 * Replaces the entity's whole state; `null` is a value here. Creates the entity when it is absent, revives it when it is
 * deleted. Gives null when the state is the same already.
 * @throws Refusal `precondition_failed`, `type_mismatch`; `invalid_id` when nothing can be created under this id
 */
export function put(current: Entity | undefined, wanted: Replacement): Change | null {
  const { address, type, properties, activity } = wanted;
  checkConditions(current, wanted.conditions);
  if (!current) {
    if (!address.named && !isFreshId(address.id)) {
      const message = 'creates nothing: only a UUID of version 4 or 7, or type:key, can be new';
      throw Refusal.at('invalid_id', 'id', message, `${address.label} ${message}.`);
    }
    const key = address.named?.key ?? null;
    const given = { set: bounded(properties), clear: [], whole: properties };
    return { id: address.id, type, key, expected: 0, op: 'created', ...given, activity };
  }
  if (current.type !== type) {
    const detail = `Entity ${wanted.label} is a ${current.type}, and its type never changes.`;
    throw Refusal.at('type_mismatch', '/type', `is not ${current.type}`, detail);
  }
  const change = current.deleted ? revival(current, properties, activity) : update(current, properties, activity);
  return change && { ...change, whole: properties };
}

/** `PATCH /entities/:id`: `apply` makes the new properties from the current ones, and does not change those. */
export type Patch = Intent & { apply: (properties: JsonObject, work?: PatchWork) => JsonObject };

/**
 * A patch from a merge patch (RFC 7396) of the properties.
 * @throws Refusal `invalid_property_name`
 */
export function mergePatchOf(intent: Intent, properties: JsonObject): Patch {
  refuseBadNames(properties);
  return { ...intent, apply: (current) => mergeObject(current, properties) };
}

/**
 * A patch from the body of a JSON Patch (RFC 6902).
 * @throws Refusal `invalid_body`, `invalid_property_name`
 */
export function jsonPatchOf(intent: Intent, body: Json): Patch {
  const operations = operationsOf(body);
  return { ...intent, apply: (current, work) => applyJsonPatch(current, operations, work) };
}

/**
 * Applies a patch. Gives null when nothing differs, because a write that changes nothing makes no tick. A stale condition is
 * refused all the same.
 * @param work of JSON Patches that are bounded together
 * @throws Refusal `entity_not_found`, `entity_deleted`, `precondition_failed`, and what the patch throws
 */
export function patch(current: Entity | undefined, wanted: Patch, work?: PatchWork): Change | null {
  const entity = living(current, wanted.label);
  checkConditions(entity, wanted.conditions);
  return update(entity, wanted.apply(entity.properties, work), wanted.activity);
}

/**
 * `DELETE /entities/:id`: a tombstone, which ends the range of every property. Gives null when the entity is deleted already.
 * @throws Refusal `entity_not_found`, `precondition_failed`
 */
export function remove(current: Entity | undefined, { label, conditions, activity }: Intent): Change | null {
  const entity = existing(current, label);
  checkConditions(entity, conditions);
  if (entity.deleted) return null;
  const { id, type, key, tick } = entity;
  return { id, type, key, expected: tick, op: 'deleted', set: {}, clear: Object.keys(entity.properties), activity };
}

/** The point whose state a restore brings back: the tick before the tombstone. Null when the entity is alive. */
export const beforeTombstone = (current: Entity): Point | null => (current.deleted ? { tick: current.tick - 1 } : null);

/**
 * `POST /entities/:id/restore`: undoes a tombstone. Gives null when the entity is alive.
 * @param past the entity as of `beforeTombstone`
 * @throws Refusal `entity_not_found`, `precondition_failed`
 */
export function restore(current: Entity | undefined, past: Past | undefined, wanted: Intent): Change | null {
  const entity = existing(current, wanted.label);
  checkConditions(entity, wanted.conditions);
  if (!entity.deleted) return null;
  const { properties } = begun(past, wanted.label, { tick: entity.tick - 1 });
  return revival(entity, properties, wanted.activity);
}

/** `POST /entities/:id/revert`: back to the state as of a point. `properties` names what to revert; null reverts all of it. */
export type Reversion = Intent & { to: Point; properties: readonly string[] | null };

/**
 * What to revert, from the fields of a request.
 * @throws Refusal `invalid_property_name`
 */
export function reversion(intent: Intent, to: Point, names: readonly string[] | undefined): Reversion {
  const errors = (names ?? []).flatMap((name, index) => faultsOfName(name, ['properties', index]));
  if (errors.length > 0) throw invalidNames(errors);
  return { ...intent, to, properties: names ?? null };
}

/**
 * Brings back the state as of a point, by a new tick. A deleted entity can only be brought back whole. Gives null when nothing
 * differs.
 * @param past the entity as of that point
 * @throws Refusal `entity_not_found`, `tick_not_found`, `entity_deleted`, `deleted_then`, `value_not_kept`, `precondition_failed`
 */
export function revert(current: Entity | undefined, past: Past | undefined, wanted: Reversion): Change | null {
  const { label, to, properties: names, activity } = wanted;
  const entity = names ? living(current, label) : existing(current, label);
  checkConditions(entity, wanted.conditions);
  const then = begun(past, label, to);
  if (then.deleted) {
    throw new Refusal(
      'deleted_then',
      `Entity ${label} was deleted as of ${pointText(to)}: there is no state to go back to.`,
      {
        members: { tick: then.tick },
      },
    );
  }
  if (entity.deleted) return revival(entity, then.properties, activity);
  // What a property was whose values are not kept nobody knows, so it stays as it is.
  const unknown = new Set(then.untracked);
  if (!names) {
    const stays = Object.entries(entity.properties).filter(([name]) => unknown.has(name));
    return update(entity, Object.fromEntries([...Object.entries(then.properties), ...stays]), activity);
  }
  const reverted = new Map(Object.entries(entity.properties));
  const held = new Map(Object.entries(then.properties));
  for (const [index, name] of names.entries()) {
    if (unknown.has(name)) {
      const detail = `Nobody knows what ${name} of ${label} was as of ${pointText(to)}: its values were not kept.`;
      throw Refusal.at('value_not_kept', `/properties/${index}`, 'keeps no ranges', detail);
    }
    const value = held.get(name);
    if (value === undefined) reverted.delete(name);
    else reverted.set(name, value);
  }
  return update(entity, Object.fromEntries(reverted), activity);
}

/** From one state of an entity to another; null: they are the same. @throws Refusal `entity_too_large` */
export function update(entity: Entity, properties: JsonObject, activity: Activity | null): Change | null {
  const { id, type, key, tick } = entity;
  const changed = difference(entity.properties, bounded(properties));
  if (Object.keys(changed.set).length === 0 && changed.clear.length === 0) return null;
  return { id, type, key, expected: tick, op: 'updated', ...changed, activity };
}

/** Revives a deleted entity. A tombstone holds no properties, so there is nothing to clear. */
function revival({ id, type, key, tick }: Entity, properties: JsonObject, activity: Activity | null): Change {
  return { id, type, key, expected: tick, op: 'restored', set: bounded(properties), clear: [], activity };
}

/** The properties, if an entity may have as many. @throws Refusal `entity_too_large` */
export function bounded(properties: JsonObject): JsonObject {
  const count = Object.keys(properties).length;
  if (count <= MAX_PROPERTIES) return properties;
  throw new Refusal('entity_too_large', `The entity would have ${count} properties; it may have ${MAX_PROPERTIES}.`);
}

/** A new activity, to be recorded together with the write that carries it. */
export const newActivity = (details: ActivityDetails): Activity => ({ id: newId(), details });
