import { newActivity, patch, put, remove } from './change.js';
import { UNCONDITIONAL } from './conditions.js';
import type { Activity, ActivityDetails, Change, Entity } from './entity.js';
import type { Address } from './identity.js';
import { type Json, type JsonObject, jsonEqual } from './json.js';
import { difference, mergeObject } from './patch.js';
import { Refusal } from './refusal.js';

/*
 * What the lines of an import make of the entities that they name. Lines are taken a batch at a time: those of one entity fold into one
 * tick, unless they say different activities.
 */

/** What a line does: give an entity its whole state, merge a patch (RFC 7396), replace whole values, or delete it. */
export type LineWrite =
  | { op: 'put'; properties: JsonObject }
  | { op: 'patch'; properties: JsonObject }
  | { op: 'set'; set: JsonObject; clear: readonly string[] }
  | { op: 'delete' };

/** A line that writes: of which entity, and who and why, where it says so. `line` counts from 1. */
export type ImportWrite = LineWrite & {
  line: number;
  address: Address;
  type: string;
  activity: ActivityDetails | null;
};

/** A line that is read. A watermark is any JSON; it is kept with the batch that it ends. */
export type ImportLine = ImportWrite | { op: 'watermark'; line: number; watermark: Json };

/** A line that was refused, and why. */
export type LineFault = { line: number; refusal: Refusal };

/** Whether lines may change what is there, or only add to it, or are all that is to be there. */
export const IMPORT_MODES = ['upsert', 'insert', 'replace-all'] as const;
export type ImportMode = (typeof IMPORT_MODES)[number];

/** A change, and the lines that it comes from. */
export type Planned = { change: Change; lines: number[] };

/** What a batch comes to. A round changes each entity once: the rounds are applied one after the other, in one transaction. */
export type BatchPlan = {
  rounds: Planned[][];
  /** How many of the lines are planned: the rest would take too many rounds, and belongs into another transaction. */
  taken: number;
  /** How many lines change what the lines before them left, and how many do not. */
  changed: number;
  unchanged: number;
  faults: LineFault[];
  /** The activity that the last line said, which the next batch goes on with; null: it said none. */
  last: Activity | null;
};

/** Each round is a statement, and all of them have to be over soon. */
const MOST_ROUNDS = 50;

/**
 * An entity in a batch: as it was before the lines that fold into the next tick, as they leave it, which of them changed it, the one change
 * if there was only one, and whose they are.
 */
type Folding = {
  base: Entity | undefined;
  now: Entity | undefined;
  lines: number[];
  only: Change | null;
  activity: Activity | null;
  rounds: number;
};

/**
 * What a batch of lines changes. A generator that gives nothing: who runs it may pause after each line, because a patch of a large entity
 * takes long.
 * @param current the entities that the lines name, as they are now, by id
 * @param before the activity that the last line before the batch said, and whether a change was recorded under it
 * @returns the changes; a line that is refused changes nothing, and is among the faults
 */
export function* planOf(
  writes: readonly ImportWrite[],
  current: ReadonlyMap<string, Entity>,
  { mode, before, isRecorded }: { mode: ImportMode; before: Activity | null; isRecorded: boolean },
): Generator<void, BatchPlan> {
  const folding = new Map<string, Folding>();
  const rounds: Planned[][] = [];
  /** The activity of the lines that say none, a round each: an activity ticks an entity once. */
  const unsaid: Activity[] = [];
  const plan: BatchPlan = { rounds, taken: 0, changed: 0, unchanged: 0, faults: [], last: before };

  const close = (entity: Folding): void => {
    const { base, now, lines, only, rounds: round } = entity;
    const change = now && (only ?? between(base, now));
    entity.lines = [];
    entity.only = null;
    if (!change || lines.length === 0) return;
    unsaid[round] ??= newActivity({});
    rounds[round] ??= [];
    rounds[round].push({ change: { ...change, activity: entity.activity ?? unsaid[round] }, lines });
    entity.base = { ...now, tick: (base?.tick ?? 0) + 1 };
    entity.now = entity.base;
    entity.rounds++;
  };

  for (const write of writes) {
    const activity = said(write.activity, plan.last);
    const { id } = write.address;
    const base = current.get(id);
    const known = folding.get(id);
    const entity = known ?? { base, now: base, lines: [], only: null, activity, rounds: 0 };
    if (!known) folding.set(id, entity);
    if (entity.activity !== activity) {
      close(entity);
      entity.activity = activity;
    }
    if (entity.rounds >= MOST_ROUNDS) break;
    plan.last = activity;
    plan.taken++;
    try {
      const change = decide(entity.now, write, mode);
      if (!change) plan.unchanged++;
      else {
        plan.changed++;
        entity.only = entity.lines.length === 0 ? change : null;
        entity.lines.push(write.line);
        entity.now = after(entity.now, change);
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      plan.faults.push({ line: write.line, refusal: error });
    }
    yield;
  }
  for (const entity of folding.values()) close(entity);
  recordOnce(rounds, isRecorded ? before : null);
  return plan;
}

/** The activity of a line: neighbours that say the same are one. */
function said(details: ActivityDetails | null, last: Activity | null): Activity | null {
  if (details === null) return null;
  const isSame = last !== null && jsonEqual(jsonOf(last.details ?? {}), jsonOf(details));
  return isSame ? last : newActivity(details);
}

const jsonOf = ({ actor, reason, metadata }: ActivityDetails): Json => ({
  actor: actor ?? null,
  reason: reason ?? null,
  metadata: metadata ?? null,
});

/** Leaves the details of an activity with the first round that has it: there it is recorded, and others name it. */
function recordOnce(rounds: readonly Planned[][], before: Activity | null): void {
  const recorded = new Set(before ? [before.id] : []);
  for (const round of rounds) {
    const here = new Set<string>();
    for (const { change } of round) {
      const { activity } = change;
      if (!activity) continue;
      if (recorded.has(activity.id)) change.activity = { id: activity.id, details: null };
      here.add(activity.id);
    }
    for (const id of here) recorded.add(id);
  }
}

/** What a line changes in a state. @throws Refusal as the command would */
function decide(current: Entity | undefined, write: ImportWrite, mode: ImportMode): Change | null {
  const { address, type } = write;
  if (current && current.type !== type) {
    const detail = `Entity ${address.label} is a ${current.type}, and its type never changes.`;
    throw Refusal.at('type_mismatch', '/type', `is not ${current.type}`, detail);
  }
  const change = decideAnyhow(current, write);
  if (mode === 'insert' && change && current && !current.deleted) {
    throw new Refusal('entity_exists', `${address.label} is there already, and not as the line says.`, {
      members: { id: current.id },
    });
  }
  return change;
}

function decideAnyhow(current: Entity | undefined, write: ImportWrite): Change | null {
  const { address, type } = write;
  const intent = { label: address.label, conditions: UNCONDITIONAL, activity: null };
  switch (write.op) {
    case 'put':
      return put(current, { ...intent, address, type, properties: write.properties });
    case 'patch':
      return patch(current, { ...intent, apply: (properties) => mergeObject(properties, write.properties) });
    case 'set':
      return patch(current, { ...intent, apply: (properties) => replaced(properties, write) });
    case 'delete':
      // Sent again after the batch was kept, it has nothing left to do.
      return current ? remove(current, intent) : null;
  }
}

function replaced(properties: JsonObject, { set, clear }: { set: JsonObject; clear: readonly string[] }): JsonObject {
  const values = new Map(Object.entries(properties));
  for (const name of clear) values.delete(name);
  for (const [name, value] of Object.entries(set)) values.set(name, value);
  return Object.fromEntries(values);
}

/** An entity as a change leaves it, but for its tick and its instants: they are those of before, because the change is not made yet. */
function after(entity: Entity | undefined, change: Change): Entity {
  const { id, type, key, op, expected: tick } = change;
  const { createdAt = '', updatedAt = '' } = entity ?? {};
  const properties = replaced(entity?.properties ?? {}, change);
  return { id, type, key, tick, deleted: op === 'deleted', createdAt, updatedAt, properties };
}

/** The one change that leads from one state to another; null: there is no difference. */
function between(base: Entity | undefined, last: Entity): Change | null {
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
