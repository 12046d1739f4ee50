import type { LRUCache } from 'lru-cache';
import type { KnownType } from '../definitions/admission.js';
import type { Applied, WrittenChange } from './changes.js';
import type { Pools } from './engine/pools.js';
import type { Shared, Tally } from './engine/sharing.js';
import type { StableInstant } from './engine/stable-instant.js';
import type { Unless } from './engine/too-much.js';
import type { InTurn } from './engine/turns.js';
import type { Around, EntityLookup, EntityRow, PastEntityRow, PastLookup, RelatedMemento } from './rows.js';

/** What statements run on: the pools, and what requests share over them. */
export type Engine = Pools & {
  stableInstant: StableInstant;
  /** An entity as it is now, tombstones included; undefined where it was never created. */
  entityNow: Shared<EntityLookup, EntityRow | undefined>;
  /** An entity as of a point; whether an instant has come already is for the caller to know. */
  entityThen: Shared<PastLookup, PastEntityRow | undefined>;
  /** The same; waits for an instant that has not come. @throws Refusal `as_of_in_future`, `as_of_not_stable_yet` */
  entityAsOf: Shared<PastLookup, PastEntityRow | undefined>;
  /** The mementos around a state. */
  mementosAround: Shared<Around, RelatedMemento[]>;
  /** Applies one change, of an entity that no other change under way is of. */
  applyChange: Shared<WrittenChange, Applied>;
  /** Refuses at once what was too much to read a moment ago. */
  unlessTooMuch: Unless;
  /** Lets writes of one entity run one after another. */
  inTurn: InTurn;
  /** What writes left of their entities, by id: where others write too, it may have changed since. */
  lastWritten: LRUCache<string, EntityRow>;
  /** What types say, by what was last read of their definitions: somebody else may have changed those since. */
  knownTypes: LRUCache<string, KnownType>;
  /**
   * What is counted. `retriedWrites`: how often a write was decided again, because somebody else had come first; `waitingImports`: how many
   * imports wait for their turn.
   */
  counts: { retriedWrites: number; waitingImports: number };
  /** How requests have shared statements, by what they ask. */
  tallies: Readonly<Record<'entities_now' | 'entities_then' | 'mementos' | 'writes', () => Tally>>;
};

/** The name under which a Storage keeps its engine. http/ may not import it, so handlers cannot reach inside. */
export const engine: unique symbol = Symbol('engine');

/** What handlers hold: something to give to the calls of storage/, and nothing else. */
export type Storage = { readonly [engine]: Engine };
