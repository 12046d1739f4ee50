import { idOfKey, newId } from './identity.js';
import { characters, type JsonObject, pointer } from './json.js';
import { type Difference, difference, mergeObject } from './patch.js';
import { type Fault, Refusal } from './refusal.js';

/** An entity as it stands; `tick` is the number of its last change, instants are RFC 3339 text with microseconds. */
export type Entity = {
  id: string;
  type: string;
  key: string | null;
  tick: number;
  deleted: boolean;
  createdAt: string;
  updatedAt: string;
  properties: JsonObject;
};

export type Op = 'created' | 'updated' | 'deleted' | 'restored';

/** Who and why, as given with a write. */
export type Activity = {
  id: string;
  actor?: string | undefined;
  reason?: string | undefined;
  metadata?: JsonObject | undefined;
};

/** One change of one entity, to be applied if and only if the entity is at the expected tick (0: does not exist). */
export type Change = Difference & {
  id: string;
  type: string;
  key: string | null;
  expected: number;
  op: Op;
  activity: Activity | null;
};

/** Which ticks `If-Match` allows (RFC 9110 section 13.1.1); `any` asks only that the entity is there. */
export type TickCondition = { any: true } | { ticks: number[] };

export const MAX_NAME_LENGTH = 256;

/** `POST /entities`: what is to be created. The id is made from (type, key), or new. */
export type Creation = {
  id: string;
  type: string;
  key: string | null;
  properties: JsonObject;
  activity: Activity | null;
};

/**
 * What to create from the fields of a request.
 * @throws Refusal `invalid_property_name`
 */
export function creation(fields: {
  type: string;
  key?: string | undefined;
  properties: JsonObject;
  activity?: Omit<Activity, 'id'> | undefined;
}): Creation {
  refuseBadNames(fields.properties);
  const key = fields.key ?? null;
  return {
    id: key === null ? newId() : idOfKey(fields.type, key),
    type: fields.type,
    key,
    properties: fields.properties,
    activity: activityOf(fields.activity),
  };
}

/**
 * Creates the entity, or revives it when its key belongs to a tombstone: then its ticks go on.
 * @throws Refusal `entity_exists`
 */
export function create(current: Entity | undefined, { properties, ...wanted }: Creation): Change {
  if (!current) return { ...wanted, expected: 0, op: 'created', set: properties, clear: [] };
  if (!current.deleted) {
    throw new Refusal('entity_exists', `There already is a ${wanted.type} with this key.`, {
      members: { id: current.id, tick: current.tick },
    });
  }
  return { ...wanted, expected: current.tick, op: 'restored', set: properties, clear: [] };
}

/** `PATCH /entities/:id` with a merge patch; `said` is the caller's name for the entity, for the refusals. */
export type MergePatch = {
  said: string;
  patch: JsonObject;
  ifMatch: TickCondition | null;
  activity: Activity | null;
};

/**
 * What to patch from the fields of a request.
 * @throws Refusal `invalid_property_name`
 */
export function mergePatchOf(
  said: string,
  fields: { properties: JsonObject; activity?: Omit<Activity, 'id'> | undefined },
  ifMatch: TickCondition | null,
): MergePatch {
  refuseBadNames(fields.properties);
  return { said, patch: fields.properties, ifMatch, activity: activityOf(fields.activity) };
}

/**
 * Applies a merge patch to the current state. Gives null when nothing differs: a write that changes nothing is no tick.
 * A stale condition is refused even then.
 * @throws Refusal `entity_not_found`, `entity_deleted`, `precondition_failed`
 */
export function patch(current: Entity | undefined, wanted: MergePatch): Change | null {
  const entity = living(current, wanted.said);
  checkCondition(entity, wanted.ifMatch);
  const changed = difference(entity.properties, mergeObject(entity.properties, wanted.patch));
  if (Object.keys(changed.set).length === 0 && changed.clear.length === 0) return null;
  const { id, type, key, tick } = entity;
  return { id, type, key, expected: tick, op: 'updated', ...changed, activity: wanted.activity };
}

/** `DELETE /entities/:id`. */
export type Deletion = { said: string; ifMatch: TickCondition | null };

/**
 * Deletes the entity by a tombstone, which ends the range of every property. Gives null when it is deleted already.
 * @throws Refusal `entity_not_found`, `precondition_failed`
 */
export function remove(current: Entity | undefined, wanted: Deletion): Change | null {
  if (!current) throw new Refusal('entity_not_found', `There is no entity ${wanted.said}.`);
  checkCondition(current, wanted.ifMatch);
  if (current.deleted) return null;
  const { id, type, key, tick } = current;
  return {
    id,
    type,
    key,
    expected: tick,
    op: 'deleted',
    set: {},
    clear: Object.keys(current.properties),
    activity: null,
  };
}

/** The entity, if it is there now. @throws Refusal `entity_not_found`, `entity_deleted` (with the tombstone's tick) */
export function living<E extends Pick<Entity, 'deleted' | 'tick'>>(current: E | undefined, said: string): E {
  if (!current) throw new Refusal('entity_not_found', `There is no entity ${said}.`);
  if (current.deleted) {
    throw new Refusal('entity_deleted', `Entity ${said} was deleted at tick ${current.tick}.`, {
      members: { tick: current.tick },
    });
  }
  return current;
}

function checkCondition(entity: Entity, condition: TickCondition | null): void {
  if (!condition || 'any' in condition || condition.ticks.includes(entity.tick)) return;
  throw new Refusal('precondition_failed', `The entity is at tick ${entity.tick}, not at the tick of If-Match.`, {
    members: { tick: entity.tick },
  });
}

function activityOf(given: Omit<Activity, 'id'> | undefined): Activity | null {
  return given ? { ...given, id: newId() } : null;
}

/** A property's name has 1 to 256 characters and is not `.` or `..`, which URL parsers take out of a path. */
function refuseBadNames(properties: JsonObject): void {
  const errors = Object.keys(properties).flatMap((name): Fault[] => {
    const message = faultOfName(name);
    return message === null ? [] : [{ path: pointer(['properties', name]), message }];
  });
  const [first] = errors;
  if (first) throw new Refusal('invalid_property_name', `${first.message}.`, { errors });
}

function faultOfName(name: string): string | null {
  if (name === '') return 'A property needs a name';
  if (name === '.' || name === '..') return 'A property cannot be named . or ..';
  if (characters(name) > MAX_NAME_LENGTH) return `A property's name has at most ${MAX_NAME_LENGTH} characters`;
  return null;
}
