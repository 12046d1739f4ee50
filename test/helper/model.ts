import { isObject, type Json, type JsonObject } from '../../src/temporal/json.js';

/*
 * A model of one entity: what the contract says of it, a second time, as simply as possible and without the service. The service
 * keeps the current state and the ranges. The model keeps the whole state at every tick, and derives everything else from those
 * (changes, ranges, states as of a point).
 */

export type Op = 'created' | 'updated' | 'deleted' | 'restored';

/** An activity: who and why. The id of one that came with a write is null until an answer has told it. */
export type Who = { id: string | null; said: JsonObject };

/** A tick, with the whole state from then on. A tombstone has no properties. */
export type Tick = { tick: number; at: string; op: Op; properties: JsonObject; who: Who | null };

export type Entity = { id: string; type: string; key: string | null; ticks: Tick[] };

/** A tick, an instant, or an instant that is years away. Instants are in UTC with microseconds, so they compare as texts. */
export type Point = { tick: number } | { instant: string } | 'the future';

export type Refused = { status: number; code: string; tick?: number };

/** Ticks that a conditional header names. */
export type Condition = '*' | number[];
export type Conditions = { ifMatch: Condition | null; ifNoneMatch: Condition | null };

export type Operation =
  | { op: 'add' | 'replace' | 'test'; path: string[]; value: Json }
  | { op: 'remove'; path: string[] }
  | { op: 'move' | 'copy'; path: string[]; from: string[] };

export type Command =
  | { call: 'post'; type: string; properties: JsonObject }
  | { call: 'put'; address: { type: string } | { fresh: boolean }; type: string; properties: JsonObject }
  | { call: 'merge'; patch: JsonObject }
  | { call: 'jsonPatch'; operations: Operation[] }
  | { call: 'delete' }
  | { call: 'restore' }
  | { call: 'revert'; to: Point; names: string[] | null };

/** What becomes of a write: it is refused, changes nothing, or makes a tick. */
export type Verdict =
  | { end: 'refused'; refused: Refused }
  | { end: 'nothing' }
  | { end: 'tick'; op: Op; properties: JsonObject };

/** A value as text. Equal values have the same text, others another: members are sorted, 1.0 is 1, and -0 is 0. */
export function canonical(value: Json | undefined): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`);
  return `{${members.sort().join(',')}}`;
}

export const same = (a: Json | undefined, b: Json | undefined): boolean => canonical(a) === canonical(b);

/** The own member of this name; what objects inherit does not count. */
const memberOf = (object: JsonObject, name: string): Json | undefined =>
  Object.hasOwn(object, name) ? object[name] : undefined;

/** An object of these members. It is made of entries, because an assignment to `__proto__` makes no member. */
export const objectOf = (entries: Iterable<readonly [string, Json]>): JsonObject => Object.fromEntries(entries);

function withMember(object: JsonObject, name: string, value: Json | undefined): JsonObject {
  const others = Object.entries(object).filter(([other]) => other !== name);
  return objectOf(value === undefined ? others : [...others, [name, value]]);
}

export const latest = (entity: Entity | undefined): Tick | undefined => entity?.ticks.at(-1);

const refuse = (status: number, code: string, tick?: number): Refused =>
  tick === undefined ? { status, code } : { status, code, tick };
const refused = (...why: Parameters<typeof refuse>): Verdict => ({ end: 'refused', refused: refuse(...why) });

/** The tick that a point falls on. Why there is none must not depend on what came later. */
export function tickAsOf(entity: Entity | undefined, point: Point): Tick | Refused {
  if (point === 'the future') return refuse(400, 'as_of_in_future');
  if (!entity) return refuse(404, 'entity_not_found');
  if ('tick' in point) return entity.ticks[point.tick - 1] ?? refuse(404, 'tick_not_found');
  return entity.ticks.findLast(({ at }) => at <= point.instant) ?? refuse(404, 'entity_not_found');
}

export const isRefused = (found: Tick | Refused): found is Refused => 'code' in found;

/** The entity now or as of a point, as the service shows it: a tombstone is refused. */
export function shownAsOf(entity: Entity | undefined, point: Point | null): Tick | Refused {
  const found = point === null ? (latest(entity) ?? refuse(404, 'entity_not_found')) : tickAsOf(entity, point);
  return !isRefused(found) && found.op === 'deleted' ? refuse(410, 'entity_deleted', found.tick) : found;
}

/** What differs, by property: from and to. A side on which the property is not set is left out. */
export function changesBetween(before: JsonObject, after: JsonObject): JsonObject {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const changed = names.filter((name) => !same(memberOf(before, name), memberOf(after, name)));
  return objectOf(
    changed.map((name): [string, Json] => {
      const sides = { from: memberOf(before, name), to: memberOf(after, name) };
      return [
        name,
        objectOf(Object.entries(sides).flatMap(([side, value]) => (value === undefined ? [] : [[side, value]]))),
      ];
    }),
  );
}

/** What a tick changed. */
export const changesOf = (entity: Entity, { tick, properties }: Tick): JsonObject =>
  changesBetween(entity.ticks[tick - 2]?.properties ?? {}, properties);

/** A value and the ticks over which it held; `to` is the first tick at which it no longer did. */
export type Range = { value: Json; from: Tick; to: Tick | null };

export function rangesOf(ticks: readonly Tick[], name: string): Range[] {
  const ranges: Range[] = [];
  let open: Range | undefined;
  for (const tick of ticks) {
    const value = memberOf(tick.properties, name);
    if (open && !same(open.value, value)) {
      open.to = tick;
      open = undefined;
    }
    if (!open && value !== undefined) {
      open = { value, from: tick, to: null };
      ranges.push(open);
    }
  }
  return ranges;
}

export const namesEverHeld = (ticks: readonly Tick[]): string[] => [
  ...new Set(ticks.flatMap(({ properties }) => Object.keys(properties))),
];

type Window = { from: Point | null; to: Point | null };

/**
 * Whether a range overlaps [from, to). Two ticks compare as ticks. If one of both is an instant, all compare as instants; a tick
 * that has not come is then later than any instant.
 */
export function overlaps(ticks: readonly Tick[], range: Range, { from, to }: Window): boolean {
  const points = [from, to].flatMap((point) => (point === null ? [] : [point]));
  const inTicks = points.every((point) => point !== 'the future' && 'tick' in point);
  const place = (point: Point): string => {
    if (point === 'the future') return '9999';
    if ('instant' in point) return point.instant;
    return inTicks ? String(point.tick).padStart(10, '0') : (ticks[point.tick - 1]?.at ?? 'later');
  };
  const placeOf = (tick: Tick) => place(inTicks ? { tick: tick.tick } : { instant: tick.at });
  if (from && to && place(from) >= place(to)) return false;
  return (!to || placeOf(range.from) < place(to)) && (!from || !range.to || placeOf(range.to) > place(from));
}

/** A merge patch, as section 2 of RFC 7396 writes it. */
function mergePatch(target: Json | undefined, patch: Json): Json {
  return isObject(patch) ? mergeMembers(isObject(target) ? target : {}, patch) : patch;
}

function mergeMembers(target: JsonObject, patch: JsonObject): JsonObject {
  let merged = target;
  for (const [name, value] of Object.entries(patch)) {
    merged = withMember(merged, name, value === null ? undefined : mergePatch(memberOf(merged, name), value));
  }
  return merged;
}

/* Why a JSON Patch does not apply. */
class NotApplicable extends Error {}
class TestFailed extends Error {}

const isIndex = (token: string, length: number): boolean => /^(0|[1-9]\d*)$/.test(token) && Number(token) < length;

function itemOf(holder: Json, token: string): Json | undefined {
  if (Array.isArray(holder)) return isIndex(token, holder.length) ? holder[Number(token)] : undefined;
  return isObject(holder) ? memberOf(holder, token) : undefined;
}

/** The value at a location. */
export function valueAt(root: Json, path: readonly string[]): Json | undefined {
  let value: Json | undefined = root;
  for (const token of path) value = value === undefined ? undefined : itemOf(value, token);
  return value;
}

/** A copy in which the object or array that holds the location is changed. */
function changeHolder(value: Json, path: readonly string[], change: (holder: Json, token: string) => Json): Json {
  const [token = '', ...rest] = path;
  if (rest.length === 0) return change(value, token);
  const item = itemOf(value, token);
  if (item === undefined) throw new NotApplicable();
  return replaceItem(value, token, changeHolder(item, rest, change));
}

function replaceItem(holder: Json, token: string, value: Json): Json {
  if (itemOf(holder, token) === undefined) throw new NotApplicable();
  return Array.isArray(holder)
    ? holder.with(Number(token), value)
    : withMember(isObject(holder) ? holder : {}, token, value);
}

function removeItem(holder: Json, token: string): Json {
  if (itemOf(holder, token) === undefined) throw new NotApplicable();
  return Array.isArray(holder)
    ? holder.toSpliced(Number(token), 1)
    : withMember(isObject(holder) ? holder : {}, token, undefined);
}

function addItem(holder: Json, token: string, value: Json): Json {
  if (isObject(holder)) return withMember(holder, token, value);
  if (!Array.isArray(holder)) throw new NotApplicable();
  const index = token === '-' ? String(holder.length) : token;
  if (!isIndex(index, holder.length + 1)) throw new NotApplicable();
  return holder.toSpliced(Number(index), 0, value);
}

function applyOperation(root: Json, operation: Operation): Json {
  const { path } = operation;
  const add = (to: Json, value: Json) => changeHolder(to, path, (holder, token) => addItem(holder, token, value));
  switch (operation.op) {
    case 'test':
      if (!same(valueAt(root, path), operation.value)) throw new TestFailed();
      return root;
    case 'add':
      return add(root, operation.value);
    case 'replace':
      return changeHolder(root, path, (holder, token) => replaceItem(holder, token, operation.value));
    case 'remove':
      return changeHolder(root, path, removeItem);
    case 'copy':
    case 'move': {
      const { from, op } = operation;
      const value = valueAt(root, from);
      if (value === undefined) throw new NotApplicable();
      if (op === 'copy') return add(root, value);
      if (from.length < path.length && from.every((token, at) => token === path[at])) throw new NotApplicable();
      return add(changeHolder(root, from, removeItem), value);
    }
  }
}

/** The properties after a JSON Patch (RFC 6902), or the code of the refusal if it does not apply. */
export function jsonPatch(properties: JsonObject, operations: readonly Operation[]): JsonObject | string {
  try {
    let root: Json = properties;
    for (const operation of operations) root = applyOperation(root, operation);
    return isObject(root) ? root : 'patch_not_applicable';
  } catch (error) {
    if (error instanceof TestFailed) return 'patch_test_failed';
    if (error instanceof NotApplicable) return 'patch_not_applicable';
    throw error;
  }
}

function isNamed(condition: Condition, now: Tick | undefined): boolean {
  if (!now) return false;
  return condition === '*' ? now.op !== 'deleted' : condition.includes(now.tick);
}

function failedCondition({ ifMatch, ifNoneMatch }: Conditions, now: Tick | undefined): Verdict | null {
  const holds = (ifMatch === null || isNamed(ifMatch, now)) && (ifNoneMatch === null || !isNamed(ifNoneMatch, now));
  return holds ? null : refused(412, 'precondition_failed', now?.tick);
}

/** The verdict on a write that leads to this state: a tick if it differs, or if the entity is deleted. */
function become(now: Tick, properties: JsonObject): Verdict {
  if (now.op === 'deleted') return { end: 'tick', op: 'restored', properties };
  return same(now.properties, properties) ? { end: 'nothing' } : { end: 'tick', op: 'updated', properties };
}

/** What a write does to an entity, its activity aside. When a write has several faults, the caller is told of the first in this order. */
export function verdictOf(entity: Entity | undefined, command: Command, conditions: Conditions): Verdict {
  const now = latest(entity);
  const alive = now && now.op !== 'deleted';
  const failed = failedCondition(conditions, now);
  switch (command.call) {
    case 'post':
      if (!now) return { end: 'tick', op: 'created', properties: command.properties };
      return alive ? refused(409, 'entity_exists', now.tick) : become(now, command.properties);
    case 'put': {
      const { address, type, properties } = command;
      if ('type' in address && address.type !== type) return refused(400, 'invalid_body');
      if (failed) return failed;
      if (!now) {
        if ('fresh' in address && !address.fresh) return refused(400, 'invalid_id');
        return { end: 'tick', op: 'created', properties };
      }
      return entity?.type === type ? become(now, properties) : refused(409, 'type_mismatch');
    }
    case 'merge':
    case 'jsonPatch': {
      if (!now) return refused(404, 'entity_not_found');
      if (!alive) return refused(410, 'entity_deleted', now.tick);
      if (failed) return failed;
      if (command.call === 'merge') return become(now, mergeMembers(now.properties, command.patch));
      const patched = jsonPatch(now.properties, command.operations);
      return typeof patched === 'string' ? refused(409, patched) : become(now, patched);
    }
    case 'delete':
      if (!now) return refused(404, 'entity_not_found');
      if (failed) return failed;
      return alive ? { end: 'tick', op: 'deleted', properties: {} } : { end: 'nothing' };
    case 'restore':
      if (!now) return refused(404, 'entity_not_found');
      if (failed) return failed;
      return alive ? { end: 'nothing' } : become(now, entity?.ticks.at(-2)?.properties ?? {});
    case 'revert': {
      const { to, names } = command;
      if (!now) return refused(404, 'entity_not_found');
      if (to === 'the future') return refused(400, 'as_of_in_future');
      if (names && !alive) return refused(410, 'entity_deleted', now.tick);
      if (failed) return failed;
      const then = tickAsOf(entity, to);
      if (isRefused(then)) return { end: 'refused', refused: then };
      if (then.op === 'deleted') return refused(409, 'deleted_then', then.tick);
      if (!names) return become(now, then.properties);
      const reverted = names.reduce(
        (properties, name) => withMember(properties, name, memberOf(then.properties, name)),
        now.properties,
      );
      return become(now, reverted);
    }
  }
}

/** The entity at one of its ticks, as the service shows it; `fields` leaves only these properties. */
export function entityBody(entity: Entity, tick: Tick, fields: readonly string[] | null = null): JsonObject {
  const shown = Object.entries(tick.properties).filter(([name]) => fields === null || fields.includes(name));
  return {
    id: entity.id,
    type: entity.type,
    ...(entity.key === null ? {} : { key: entity.key }),
    tick: tick.tick,
    deleted: tick.op === 'deleted',
    createdAt: entity.ticks[0]?.at ?? tick.at,
    updatedAt: tick.at,
    properties: objectOf(shown),
  };
}
