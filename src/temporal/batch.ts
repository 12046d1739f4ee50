import type { Change, Entity, Past } from './entity.js';
import { after, between } from './folding.js';
import type { PatchWork } from './json-patch.js';
import { inMiB, RESERVED_PREFIX } from './limits.js';
import type { Point } from './point.js';
import { type Fault, Refusal } from './refusal.js';

/*
 * What the operations of a batch make of the entities that they name. Those of one entity are done one after the other, each on what the
 * one before it left, and fold into one change: from the state before the batch to the last one. Only that is recorded, so only that has to be
 * what the definition of its type takes.
 */

/** An operation on one entity. */
export type Operation = {
  id: string;
  /** What messages call the entity. */
  label: string;
  /** The type of the entity, where the operation says it: one that is new has no other. */
  type: string | null;
  /** The tick at which the entity has to be before the batch; null: any. */
  ifMatch: number | null;
  /** As of a write of one entity: it may be asked several times, and changes nothing but `work`. */
  decide: (current: Entity | undefined, past: Past | undefined, work: PatchWork) => Change | null;
  /** About how many bytes of JSON text it brings. */
  size: () => number;
  /** The recorded state that `decide` needs: as of a point, or what a tombstone has deleted; null: none. */
  needs: Point | 'deleted' | null;
  /** Whether it brings back a state that was recorded before. */
  isReturn: boolean;
};

/** What is known of what a batch names. */
export type BatchFacts = {
  /** The entities as they are now, by id. */
  current: ReadonlyMap<string, Entity>;
  /** How many bytes of JSON text their properties have. */
  sizes: ReadonlyMap<string, number>;
  /** What operations need, by their place. */
  past: ReadonlyMap<number, Past>;
  /** A change of a whole state, with the defaults of the definition of its type; null: then nothing changes. */
  complete: (change: Change, before: Entity | undefined) => Change | null;
  /**
   * A change as the definition of its type lets it be recorded.
   * @throws Refusal what the definition says against it
   */
  admit: (change: Change, before: Entity | undefined, isReturn: boolean) => Change | null;
};

/** An entity that a batch names: before it, and what changes (null: nothing); `last` is the place of the last operation on it. */
export type Folded = { id: string; before: Entity | undefined; change: Change | null; last: number };

/**
 * How many bytes the states may have together that operations are done on, each counted anew: an operation takes as long as its entity is
 * large, and a body has room for a thousand.
 */
const MOST_WORK = 128 * 2 ** 20;

/** From how many bytes on what an entity may have become is measured. */
const SURELY_SMALL = 2 ** 14;

/**
 * An entity within a batch: as it was, as it is now, what it was before an operation deleted it; which operations were on it, and which changed
 * what; whether each that changed it brought something back.
 */
type Folding = {
  before: Entity | undefined;
  now: Entity | undefined;
  deleted: Entity | undefined;
  last: number;
  isReturn: boolean;
  touched: Map<string, number>;
  /** How many bytes it had when it was measured, and the most that it can have now. */
  bytes: { measured: number; most: number };
};

/**
 * What a batch changes: one change an entity at most, in the order in which it names them. A generator that gives nothing: who runs it may
 * pause after each step, because a patch of a large entity takes long.
 * @throws Refusal what an operation, or the definition of a type, is refused for: its errors say in which operation
 */
export function* foldBatch(operations: readonly Operation[], facts: BatchFacts): Generator<void, Folded[]> {
  const entities = new Map<string, Folding>();
  const work = { bytes: 0, copied: 0, shifted: 0 };
  const repeated = namedTwice(operations);
  for (const [place, operation] of operations.entries()) {
    const { id } = operation;
    const entity = entities.get(id) ?? foldingOf(facts.current.get(id), facts.sizes.get(id) ?? 0);
    entities.set(id, entity);
    try {
      work.bytes += sizeOf(entity);
      if (work.bytes > MOST_WORK) throw tooMuchWork();
      refuseStale(operation, entity.before);
      const past = pastFor(operation, entity, facts.past.get(place));
      const { copied } = work;
      const change = operation.decide(entity.now, past, work);
      const whole = change && facts.complete(change, entity.now);
      if (whole) apply(entity, whole, { place, isReturn: operation.isReturn });
      // A definition holds from its instant on, and all that a batch writes has the same.
      if (whole?.type.startsWith(RESERVED_PREFIX)) throw reserved(whole.type);
      if (repeated.has(id)) grow(entity, operation, work.copied - copied);
    } catch (error) {
      throw inOperation(withoutTick(error), () => place, operations);
    }
    entity.last = place;
    yield;
  }
  const folded: Folded[] = [];
  for (const [id, { before, now, last, isReturn, touched }] of entities) {
    const net = now ? between(before, now) : null;
    try {
      folded.push({ id, before, change: net && facts.admit(net, before, isReturn), last });
    } catch (error) {
      throw inOperation(error, (name) => (name === undefined ? last : (touched.get(name) ?? last)), operations);
    }
    yield;
  }
  return folded;
}

function namedTwice(operations: readonly Operation[]): ReadonlySet<string> {
  const named = new Set<string>();
  const twice = new Set<string>();
  for (const { id } of operations) (named.has(id) ? twice : named).add(id);
  return twice;
}

const foldingOf = (before: Entity | undefined, size: number): Folding => ({
  before,
  now: before,
  deleted: undefined,
  last: 0,
  isReturn: true,
  touched: new Map(),
  bytes: { measured: size, most: size },
});

/** About how many bytes an entity has: measured anew where it may have become twice as many, so that measuring takes no longer than the rest. */
function sizeOf({ now, bytes }: Folding): number {
  if (bytes.most > 2 * bytes.measured + SURELY_SMALL) bytes.most = bytes.measured = lengthOf(now);
  return bytes.most;
}

/** What an operation has brought to an entity. */
function grow({ now, bytes }: Folding, { needs, size }: Operation, copied: number): void {
  if (needs) bytes.most = bytes.measured = lengthOf(now);
  else bytes.most += size() + copied;
}

const lengthOf = (entity: Entity | undefined): number => (entity ? JSON.stringify(entity.properties).length : 0);

function apply(entity: Folding, change: Change, { place, isReturn }: { place: number; isReturn: boolean }): void {
  entity.isReturn = isReturn && entity.isReturn;
  if (change.op === 'deleted') entity.deleted = entity.now;
  entity.now = after(entity.now, change);
  for (const name of [...Object.keys(change.set), ...change.clear]) entity.touched.set(name, place);
}

/** @throws Refusal `precondition_failed` */
function refuseStale({ ifMatch }: Operation, before: Entity | undefined): void {
  if (ifMatch === null || ifMatch === before?.tick) return;
  const state = before ? `it is ${before.deleted ? 'deleted, ' : ''}at tick ${before.tick}` : 'there is none';
  throw new Refusal('precondition_failed', `The entity is not at tick ${ifMatch}, but ${state}.`, {
    errors: [{ path: '/ifMatch', message: `is not the tick of the entity: ${state}` }],
    members: before ? { tick: before.tick } : {},
  });
}

/** What an operation needs of the past: a tombstone of this batch has deleted what nobody has recorded. */
const pastFor = ({ needs }: Operation, { now, deleted }: Folding, recorded: Past | undefined): Past | undefined =>
  needs === 'deleted' && now?.deleted && deleted ? deleted : recorded;

const tooMuchWork = (): Refusal =>
  Refusal.at(
    'batch_too_large',
    '',
    'is on a large entity, as many before it',
    `The states of the entities, counted for each operation on them, have more than ${inMiB(MOST_WORK)} together as JSON: send fewer at a time.`,
  );

const reserved = (type: string): Refusal =>
  Refusal.at(
    'reserved_type',
    '',
    'is of a definition',
    `Definitions change one at a time, by PUT /types/:type, and not in a batch with what they define (${type}).`,
  );

/**
 * An error of an operation, with the place of that. What is wrong with the activity is wrong with the batch.
 * @param placeOf the place of the operation that set a property, or of the last one
 */
function inOperation(
  error: unknown,
  placeOf: (property: string | undefined) => number,
  operations: readonly Operation[],
): unknown {
  if (!(error instanceof Refusal) || error.code === 'activity_required') return error;
  const { errors = [{ path: '', message: error.message }], ...notes } = error.notes;
  const placed = errors.map((fault): Fault => {
    const at = `/operations/${placeOf(propertyIn(fault.path))}`;
    return { ...fault, path: `${at}${fault.path === '' || fault.path.startsWith('/') ? '' : '/'}${fault.path}` };
  });
  const place = Number(placed[0]?.path.split('/')[2]);
  const label = operations[place]?.label;
  const which = label === undefined ? `Operation ${place}` : `Operation ${place}, ${label}`;
  return new Refusal(error.code, `${which}: ${error.message}`, { ...notes, errors: placed });
}

/** A refusal of what this batch has made: that has no tick yet. */
function withoutTick(error: unknown): unknown {
  if (!(error instanceof Refusal) || error.notes.members?.tick !== 0) return error;
  const { tick: _, ...members } = error.notes.members;
  const detail = error.code === 'entity_deleted' ? 'An operation before it deletes the entity.' : error.message;
  return new Refusal(error.code, detail, { ...error.notes, members });
}

/** The property that a JSON Pointer leads to, or into; undefined: to none. */
function propertyIn(path: string): string | undefined {
  const [, name] = /^\/properties\/([^/]*)/.exec(path) ?? [];
  return name?.replaceAll('~1', '/').replaceAll('~0', '~');
}

/** The point of the recorded past that an operation needs to know of an entity as it is; null: none. */
export function neededOf({ needs }: Operation, current: Entity | undefined): Point | null {
  if (needs !== 'deleted') return needs;
  return current?.deleted ? { tick: current.tick - 1 } : null;
}

/** The refusal of an operation, found before the batch was folded, or after it. @param operations none: they are still being read */
export const refusedAt = (place: number, error: unknown, operations: readonly Operation[] = []): unknown =>
  inOperation(error, () => place, operations);
