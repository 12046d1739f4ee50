import { admitted, type Rules, type Said } from '../definitions/admission.js';
import type { Activity, ActivityDetails, Change, Entity, Past } from '../temporal/entity.js';
import { DEFINITION_TYPE } from '../temporal/limits.js';
import type { Point } from '../temporal/point.js';
import { Refusal } from '../temporal/refusal.js';
import { readType } from './definitions.js';
import type { Impact } from './impact.js';
import { type EntityRow, entityOf } from './rows.js';
import { engine, type Storage } from './storage.js';

/* What a write makes of a state of its entity, before anything is written. */

/** A write of one entity. */
export type Write = {
  id: string;
  /**
   * What is to change in the current state: pure, and may be asked several times. Null: nothing changes; a Refusal that it
   * throws refuses the write.
   */
  decide: (current: Entity | undefined, past: Past | undefined) => Change | null;
  /** The point whose state `decide` needs as well, if any. */
  pastOf?: (current: Entity) => Point | null;
  /** The activity that the write names; one without details must have been recorded. */
  activity?: Activity | null;
  /** That it does not exist most likely, so that it is not read first. */
  assume?: 'absent';
  /** Whether it brings back a state that was recorded before. */
  isReturn?: boolean;
  /** Writes what the definition of the type refuses; of a definition: whatever it makes invalid. */
  evenIfInvalid?: boolean;
  /** Answers what would be written, and writes nothing. */
  dryRun?: boolean;
  /** Aborted when nobody waits for the outcome any more; what is not under way then is not done. */
  signal?: AbortSignal;
};

/**
 * How a write ended: the row as it now stands, what was changed (null: nothing), and the state that was changed. `impact`: what a
 * definition makes invalid, where that was looked for.
 */
export type Outcome = { row: EntityRow; change: Change | null; before: Entity | undefined; impact?: Impact };

/** A write, and what is known of the activity that it is under. */
export type Doing = Write & { who: ActivityDetails | null };

/** A change that may be recorded, and the rules by which it may; null: its type is open. */
export type Admitted = { change: Change; rules: Rules | null };

/** What a write makes of a state: what may be recorded of it (null: nothing changes), and whether it is a definition that it changes. */
export type Decision = { before: Entity | undefined; allowed: Admitted | null; isDefinition: boolean };

/**
 * Decides what a write changes in a state, and whether the definition of the type lets that be recorded.
 * @throws Refusal what `decide` throws, and `admitted`
 */
export async function decideOn(storage: Storage, write: Doing, row: EntityRow | undefined): Promise<Decision> {
  const before = row && entityOf(row);
  const past = before && (await readPast(storage, write, before));
  const decided = write.decide(before, past);
  const allowed = decided && (await admit(storage, write, decided, before));
  return { before, allowed, isDefinition: decided?.type === DEFINITION_TYPE };
}

/**
 * Lets a change be recorded by what is known of its type. What is known may be out of date, and only a change is compared when it is written:
 * a refusal needs a definition that was read after the request came, and so does it that defaults leave nothing to change.
 */
async function admit(
  storage: Storage,
  { who, isReturn = false, evenIfInvalid = false, signal }: Doing,
  change: Change,
  before: Entity | undefined,
): Promise<Admitted | null> {
  const said: Said = { who, isReturn, evenIfInvalid };
  const known = storage[engine].knownTypes.get(change.type);
  if (known) {
    try {
      const allowed = admitted(change, before, known.rules, said);
      if (allowed) return { change: allowed, rules: known.rules };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }
  const { rules } = await readType(storage, change.type, signal);
  const allowed = admitted(change, before, rules, said);
  return allowed && { change: allowed, rules };
}

async function readPast(storage: Storage, { id, pastOf, signal }: Write, current: Entity): Promise<Past | undefined> {
  const point = pastOf?.(current);
  if (!point) return undefined;
  const row = await storage[engine].entityAsOf({ id, point, fields: null }, signal);
  return row && (row.tick === null ? row : entityOf(row));
}
