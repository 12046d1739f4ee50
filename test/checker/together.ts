import type { Json, JsonObject } from '../../src/temporal/json.js';
import type { OnConflict } from '../../src/temporal/undo.js';
import {
  type Command,
  type Conditions,
  changesBetween,
  type Entity,
  latest,
  objectOf,
  type Refused,
  same,
  type Tick,
  type Verdict,
  verdictOf,
} from '../helper/model.js';

/* What a batch, and an undo, make of one of the entities that they name: what the contract says, a second time, as helper/model.ts does it of a write. */

/** An operation of a batch on one entity; `ifMatch`: the tick at which that has to be before the batch. */
export type Step = { command: Command; ifMatch: number | null };

/** A verdict on several steps; `refusedAt`: which of them is refused. */
export type Folded = Verdict & { refusedAt?: number };

const ANY: Conditions = { ifMatch: null, ifNoneMatch: null };

/** What the steps of a batch do to an entity: each is on what the one before it left, and all of them make one tick, or none. */
export function verdictOfSteps(before: Entity | undefined, steps: readonly Step[]): Folded {
  const tick = latest(before)?.tick;
  let now = before;
  for (const [place, { command, ifMatch }] of steps.entries()) {
    if (ifMatch !== null && ifMatch !== tick) {
      return { end: 'refused', refused: refusal(412, 'precondition_failed', tick), refusedAt: place };
    }
    const verdict = verdictWithin(before, now, command);
    if (verdict.end === 'refused') return { ...verdict, refusedAt: place };
    if (verdict.end === 'tick') now = withState(now, command, { ...verdict, tick: tick ?? 0 });
  }
  return net(latest(before), latest(now));
}

/** The verdict on a step: ticks that the batch has not made cannot be gone back to, nor named. */
function verdictWithin(before: Entity | undefined, now: Entity | undefined, command: Command): Verdict {
  const isBeyond = command.call === 'revert' && isTick(command.to) && command.to.tick > (before?.ticks.length ?? 0);
  const verdict = verdictOf(now, isBeyond ? { ...command, to: { tick: Number.POSITIVE_INFINITY } } : command, ANY);
  if (verdict.end !== 'refused') return verdict;
  const { status, code, tick } = verdict.refused;
  const isUnknown = code === 'tick_not_found' && !before;
  return { end: 'refused', refused: refusal(status, isUnknown ? 'entity_not_found' : code, tick || undefined) };
}

const isTick = (point: object | string): point is { tick: number } => typeof point === 'object' && 'tick' in point;

const refusal = (status: number, code: string, tick: number | undefined): Refused =>
  tick === undefined ? { status, code } : { status, code, tick };

/** An entity with one more state, which is no tick yet: its number is that of the last one. */
function withState(now: Entity | undefined, command: Command, state: Pick<Tick, 'tick' | 'op' | 'properties'>): Entity {
  const type = 'type' in command ? command.type : '';
  const { tick, op, properties } = state;
  const entity = now ?? { id: '', type, key: null, ticks: [] };
  return { ...entity, ticks: [...entity.ticks, { tick, op, properties, at: '', who: null }] };
}

/** The one tick that leads from the state before a batch to the one after it. */
function net(before: Tick | undefined, after: Tick | undefined): Verdict {
  if (!after) return { end: 'nothing' };
  const was = before && before.op !== 'deleted';
  if (after.op === 'deleted') return was ? { end: 'tick', op: 'deleted', properties: {} } : { end: 'nothing' };
  const { properties } = after;
  if (!was) return { end: 'tick', op: before ? 'restored' : 'created', properties };
  return same(before.properties, properties) ? { end: 'nothing' } : { end: 'tick', op: 'updated', properties };
}

/** A later tick that stands in the way of an undo; null: it is about whether the entity is there. */
export type Conflict = { property: string | null; tick: number };

/** What an undo of one of its ticks does to an entity, and what stands in the way. */
export function verdictOfUndo(
  then: Entity | undefined,
  done: number,
  onConflict: OnConflict,
): { verdict: Verdict; conflicts: Conflict[] } {
  const now = latest(then);
  const tick = then?.ticks[done - 1];
  if (!then || !now || !tick) {
    return { verdict: { end: 'refused', refused: { status: 404, code: 'activity_not_found' } }, conflicts: [] };
  }
  const ended = (conflicts: Conflict[], verdict: Verdict) => {
    const isRefused = onConflict === 'refuse' && conflicts.length > 0;
    return { verdict: isRefused ? CONFLICT : verdict, conflicts };
  };
  const whole = (verdict: Verdict) => {
    const conflicts = now.tick === done ? [] : [{ property: null, tick: now.tick }];
    return ended(conflicts, conflicts.length > 0 && onConflict === 'skip' ? { end: 'nothing' } : verdict);
  };
  const was = then.ticks[done - 2]?.properties ?? {};
  const isGone = now.op === 'deleted';
  if (tick.op === 'created' || tick.op === 'restored') {
    return whole(isGone ? { end: 'nothing' } : { end: 'tick', op: 'deleted', properties: {} });
  }
  if (tick.op === 'deleted' && isGone) return whole({ end: 'tick', op: 'restored', properties: was });
  const changed = Object.keys(changesBetween(was, tick.properties));
  if (isGone) {
    return ended(
      changed.map((property) => ({ property, tick: now.tick })),
      { end: 'nothing' },
    );
  }
  return setBack(then, { now, tick, was, changed }, onConflict, ended);
}

const CONFLICT: Verdict = { end: 'refused', refused: { status: 409, code: 'undo_conflict' } };

type Ended = { verdict: Verdict; conflicts: Conflict[] };

function setBack(
  then: Entity,
  { now, tick, was, changed }: { now: Tick; tick: Tick; was: JsonObject; changed: readonly string[] },
  onConflict: OnConflict,
  ended: (conflicts: Conflict[], verdict: Verdict) => Ended,
): Ended {
  const conflicts: Conflict[] = [];
  const back = new Map(Object.entries(now.properties));
  for (const property of changed) {
    const before = held(was, property);
    const last = lastChange(then, property);
    // Whoever made anew what was deleted said of every property what it is to be.
    const since = tick.op === 'deleted' ? Math.max(last, tick.tick + 1) : last;
    if (since > tick.tick) conflicts.push({ property, tick: since });
    if (since > tick.tick && onConflict !== 'force') continue;
    if (before === undefined) back.delete(property);
    else back.set(property, before);
  }
  const properties = objectOf(back);
  const isSame = same(properties, now.properties);
  return ended(conflicts, isSame ? { end: 'nothing' } : { end: 'tick', op: 'updated', properties });
}

const held = (properties: JsonObject | undefined, name: string): Json | undefined =>
  properties && Object.hasOwn(properties, name) ? properties[name] : undefined;

/** The newest tick that changed a property. */
const lastChange = ({ ticks }: Entity, property: string): number =>
  ticks.findLast(
    ({ properties }, index) => !same(held(properties, property), held(ticks[index - 1]?.properties, property)),
  )?.tick ?? 0;
