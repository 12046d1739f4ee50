import { newActivity, patch, put, remove } from './change.js';
import { UNCONDITIONAL } from './conditions.js';
import type { Activity, ActivityDetails, Change, Entity } from './entity.js';
import { after, between } from './folding.js';
import type { Address } from './identity.js';
import { type Json, type JsonObject, jsonEqual } from './json.js';
import { mergeObject, replaced } from './patch.js';
import { instantOf, microseconds } from './point.js';
import { Refusal } from './refusal.js';

/*
 * What the lines of an import make of the entities that they name. Lines are taken a batch at a time: those of one entity fold into one
 * tick, unless they say different activities, or instants of their own.
 *
 * An instant is RFC 3339 text in UTC with microseconds, here and in the states: two of them compare as texts.
 */

/** What a line does: give an entity its whole state, merge a patch (RFC 7396), replace whole values, or delete it. */
export type LineWrite =
  | { op: 'put'; properties: JsonObject }
  | { op: 'patch'; properties: JsonObject }
  | { op: 'set'; set: JsonObject; clear: readonly string[] }
  | { op: 'delete' };

/** Who and why, as a line says it. With an id it is the activity of that id: recorded with these details, or, without any, named. */
export type LineActivity = { id: string | null; details: ActivityDetails };

/**
 * A line that writes: of which entity; who and why, where it says so; and at which instant, where that is not now. `line` counts from 1.
 */
export type ImportWrite = LineWrite & {
  line: number;
  address: Address;
  type: string;
  activity: LineActivity | null;
  at: string | null;
};

/** A line that is read. A watermark is any JSON; it is kept with the batch that it ends. */
export type ImportLine = ImportWrite | { op: 'watermark'; line: number; watermark: Json };

/** A line that was refused, and why. */
export type LineFault = { line: number; refusal: Refusal };

/** Whether lines may change what is there, or only add to it, or are all that is to be there. */
export const IMPORT_MODES = ['upsert', 'insert', 'replace-all'] as const;
export type ImportMode = (typeof IMPORT_MODES)[number];

/** What an instant does that is not after the one before it: is refused, or moves on by a microsecond. */
export const SKEWS = ['refuse', 'shift'] as const;
export type Skew = (typeof SKEWS)[number];

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
  /** What the last line said: the next batch goes on with its activity. */
  last: Last;
};

/** Each round is a statement, and all of them have to be over soon. */
const MOST_ROUNDS = 50;

/** After every instant that a line may say: that of a tick which the clock is going to stamp. */
const BY_CLOCK = '9999-12-31T23:59:59.999999Z';

/** The activity that the line before said, and its instant; whether a change was recorded under it. */
export type Last = { activity: Activity | null; at: string | null; isRecorded: boolean };

/** What the database says of what a batch of lines names. */
export type Facts = {
  /** The entities as they are now, by id. */
  current: ReadonlyMap<string, Entity>;
  /** Of a line whose instant is not after its entity's newest tick: the entity at that instant, if it was there. By number of line. */
  past: ReadonlyMap<number, Entity>;
  /**
   * A change as the definition of its type lets it be recorded, with what that adds to a whole state; null: then nothing changes.
   * @throws Refusal what the definition says against it
   */
  admit: (change: Change, current: Entity | undefined, who: ActivityDetails | null) => Change | null;
  /** The clock of the database. */
  now: string;
  /** The activities that lines name by id, those that are recorded. */
  activities: ReadonlyMap<string, ActivityDetails>;
  /** Which entities these have ticked: `tickedBy` of the two. */
  ticked: ReadonlySet<string>;
};

/** An activity and an entity as one text. */
export const tickedBy = (activityId: string, entityId: string): string => `${activityId} ${entityId}`;

/**
 * An entity in a batch: as it was before the lines that fold into the next tick, as they leave it, which of them changed it, the one change
 * if there was only one, whose they are, and at which instant. `newest` is the instant of its newest tick; `made` is what lines with
 * instants of their own have made of it, in order.
 */
type Folding = {
  base: Entity | undefined;
  now: Entity | undefined;
  newest: string;
  made: Entity[];
  lines: number[];
  only: Change | null;
  activity: Activity | null;
  at: string | null;
  rounds: number;
};

/**
 * What a batch of lines changes. A generator that gives nothing: who runs it may pause after each line, because a patch of a large entity
 * takes long.
 * @param before what the last line before the batch said
 * @returns the changes; a line that is refused changes nothing, and is among the faults
 */
export function* planOf(
  writes: readonly ImportWrite[],
  facts: Facts,
  { mode, before }: { mode: ImportMode; before: Last },
): Generator<void, BatchPlan> {
  const folding = new Map<string, Folding>();
  const rounds: Planned[][] = [];
  /** The activity of the lines that say none, a round each: an activity ticks an entity once. */
  const unsaid: Activity[] = [];
  const named = new Map<string, Activity>();
  const ticked = new Set(facts.ticked);
  const plan: BatchPlan = { rounds, taken: 0, changed: 0, unchanged: 0, faults: [], last: before };

  const close = (entity: Folding): void => {
    const { base, now, lines, only, at, rounds: round } = entity;
    const change = now && (only ?? between(base, now));
    entity.lines = [];
    entity.only = null;
    if (!change || lines.length === 0) return;
    unsaid[round] ??= newActivity({});
    rounds[round] ??= [];
    const activity = entity.activity ?? unsaid[round];
    ticked.add(tickedBy(activity.id, now.id));
    rounds[round].push({ change: { ...change, activity, ...(at === null ? {} : { at }) }, lines });
    entity.base = { ...now, tick: (base?.tick ?? 0) + 1, updatedAt: at ?? BY_CLOCK };
    entity.now = entity.base;
    entity.newest = entity.base.updatedAt;
    if (at !== null) entity.made.push(entity.base);
    entity.rounds++;
  };

  for (const write of writes) {
    const { line, at } = write;
    const { id } = write.address;
    const said = saidBy(write, plan.last, named, facts);
    const activity = said instanceof Refusal ? null : said;
    const base = facts.current.get(id);
    const entity = folding.get(id) ?? foldingOf(base);
    folding.set(id, entity);
    // What a line with an instant of its own does is a tick of its own.
    if (entity.activity !== activity || at !== null || entity.at !== null) {
      close(entity);
      entity.activity = activity;
      entity.at = at;
    }
    if (entity.rounds >= MOST_ROUNDS) break;
    plan.last = { activity, at, isRecorded: false };
    plan.taken++;
    try {
      if (said instanceof Refusal) throw said;
      const isPast = at !== null && at <= entity.newest;
      if (isPast) refuseOutOfOrder(write, entity.base, stateAt(at, entity, base, facts.past.get(line)));
      const decided = isPast ? null : decide(entity.now, write, mode);
      const change = decided && facts.admit(decided, entity.now, activity?.details ?? null);
      if (!change) plan.unchanged++;
      else {
        if (at !== null && at > facts.now) throw inFuture(at, facts.now);
        if (activity && ticked.has(tickedBy(activity.id, id))) throw alreadyTicked(write, activity);
        plan.changed++;
        entity.only = entity.lines.length === 0 ? change : null;
        entity.lines.push(line);
        entity.now = after(entity.now, change);
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      plan.faults.push({ line, refusal: error });
    }
    yield;
  }
  for (const entity of folding.values()) {
    close(entity);
    yield;
  }
  const kept = before.isRecorded ? before.activity : null;
  recordOnce(rounds, new Set([...facts.activities.keys(), ...(kept ? [kept.id] : [])]));
  const { activity } = plan.last;
  const isNew = rounds.some((round) => round.some(({ change }) => change.activity?.id === activity?.id));
  plan.last = { ...plan.last, isRecorded: activity !== null && (isNew || activity === kept) };
  return plan;
}

const foldingOf = (base: Entity | undefined): Folding => ({
  base,
  now: base,
  newest: base?.updatedAt ?? '',
  made: [],
  lines: [],
  only: null,
  activity: null,
  at: null,
  rounds: 0,
});

/**
 * The activity of a line. Neighbours that say the same, at the same instant, are under one; an id makes it one wherever it is said.
 * @param named those of the batch by their ids
 * @returns a refusal where an activity of that id says something else, or none is known
 */
function saidBy(
  { activity: said, at }: ImportWrite,
  last: Last,
  named: Map<string, Activity>,
  { activities }: Facts,
): Activity | Refusal | null {
  if (said === null) return null;
  const { id, details } = said;
  if (id === null) {
    const isSame = last.activity?.details && last.at === at && saysSame(last.activity.details, details);
    return isSame ? last.activity : newActivity(details);
  }
  const known = named.get(id)?.details ?? activities.get(id) ?? null;
  const isNamed = Object.keys(details).length === 0;
  if (known === null && isNamed)
    return Refusal.at('unknown_activity', '/activity/id', 'names no activity', `There is no activity ${id}.`);
  if (known !== null && !isNamed && !saysSame(known, details))
    return Refusal.at('activity_differs', '/activity', 'is recorded under this id with other words');
  const activity = named.get(id) ?? { id, details: known ?? details };
  named.set(id, activity);
  return activity;
}

const saysSame = (one: ActivityDetails, other: ActivityDetails): boolean => jsonEqual(jsonOf(one), jsonOf(other));

const jsonOf = ({ actor, reason, metadata }: ActivityDetails): Json => ({
  actor: actor ?? null,
  reason: reason ?? null,
  metadata: metadata ?? null,
});

/** Leaves the details of an activity with the first round that has it: there it is recorded, and others name it. */
function recordOnce(rounds: readonly Planned[][], recorded: Set<string>): void {
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

/**
 * The state of an entity at an instant that is not after its newest tick; undefined: it was not there.
 * @param base the entity before the batch
 * @param past the same at that instant, if that is not after its newest tick
 */
function stateAt(
  at: string,
  { made }: Folding,
  base: Entity | undefined,
  past: Entity | undefined,
): Entity | undefined {
  const last = made.findLast(({ updatedAt }) => updatedAt <= at);
  return last ?? (base && at > base.updatedAt ? base : past);
}

/**
 * A line whose instant is not after its entity's newest tick can change nothing any more. Sent again, it finds its state recorded.
 * @param newest the entity as of its newest tick
 * @param then the entity at that instant; undefined: it was not there
 * @throws Refusal `at_out_of_order`, `type_mismatch`
 */
function refuseOutOfOrder(write: ImportWrite, newest: Entity | undefined, then: Entity | undefined): void {
  if (newest) refuseOtherType(newest, write);
  if (isThere(then, write)) return;
  const { id = write.address.id, tick = 0 } = newest ?? {};
  const message = `is not after the newest tick of the entity, ${tick}, and what is recorded differs`;
  throw new Refusal('at_out_of_order', `Entity ${write.address.label}: /at ${message}.`, {
    errors: [{ path: '/at', message }],
    members: { id, tick },
  });
}

/** Whether a state is as a line would leave it, but for what it does not know any more. */
function isThere(past: Entity | undefined, write: ImportWrite): boolean {
  try {
    const change = decideAnyhow(past, write);
    if (!change || !past || past.untracked.length === 0) return change === null;
    const names = [...Object.keys(change.set), ...change.clear];
    return change.op === 'updated' && names.every((name) => past.untracked.includes(name));
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}

const inFuture = (at: string, now: string) =>
  Refusal.at('at_in_future', '/at', `has not come yet: ${at} is after ${now}, the clock of the database`);

const alreadyTicked = ({ address }: ImportWrite, { id }: Activity) =>
  new Refusal('activity_already_ticked', `Activity ${id} has ticked ${address.label} already: it does so once.`);

/**
 * Moves instants on that do not come after the one before them, by a microsecond, over all lines: neighbours that say the same instant and
 * the same activity keep one. What it makes of a file depends on nothing else, so the file can be sent again.
 */
export function shifted(): (write: ImportWrite) => ImportWrite {
  let last: { said: string; activity: LineActivity | null; at: string } | null = null;
  return (write) => {
    const { at: said, activity } = write;
    if (said === null) return write;
    const isOne = last !== null && last.said === said && sameActivity(last.activity, activity);
    if (last === null || !isOne) {
      const at = last === null || said > last.at ? said : next(last.at);
      last = { said, activity, at };
    }
    return { ...write, at: last.at };
  };
}

/** The next microsecond. After the last of all instants there is none, and a line that says that one has not come yet anyway. */
const next = (at: string): string => (at === BY_CLOCK ? at : instantOf(microseconds(at) + 1n));

const sameActivity = (one: LineActivity | null, other: LineActivity | null): boolean =>
  one === null || other === null ? one === other : one.id === other.id && saysSame(one.details, other.details);

/** What a line changes in a state. @throws Refusal as the command would */
function decide(current: Entity | undefined, write: ImportWrite, mode: ImportMode): Change | null {
  if (current) refuseOtherType(current, write);
  const change = decideAnyhow(current, write);
  if (mode === 'insert' && change && current && !current.deleted) {
    throw new Refusal('entity_exists', `${write.address.label} is there already, and not as the line says.`, {
      members: { id: current.id },
    });
  }
  return change;
}

function refuseOtherType(current: Entity, { address, type }: ImportWrite): void {
  if (current.type === type) return;
  const detail = `Entity ${address.label} is a ${current.type}, and its type never changes.`;
  throw Refusal.at('type_mismatch', '/type', `is not ${current.type}`, detail);
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
