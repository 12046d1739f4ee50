import type { Past } from '../temporal/entity.js';
import { type Known, LAST_TICK, type Point } from '../temporal/point.js';
import { pointFor } from './known.js';
import { instantOfMoment, type Moment } from './moments.js';
import { type Nested, readNested } from './nested.js';
import { readProvenance } from './provenance.js';
import type { EntityLookup, EntityRow, Provenance, RelatedMemento } from './rows.js';
import { engine, type Storage } from './storage.js';

/**
 * What of an entity to read: with the ranges of which of its properties (`of` null: all it has had), if any, whether with who set what, and
 * whether with the mementos around the state. `known`: what may be seen of it (null: all).
 */
type StateQuestion = EntityLookup & {
  include: { history: { of: readonly string[] | null } | null; provenance: boolean } | null;
  withRelated: boolean;
  known: Known | null;
};

/** A state of an entity, `nested` its ranges; `related` is empty where it was not asked for or the state is no memento. */
type State = {
  entity: Past<EntityRow & Partial<Provenance> & { nested?: Nested }> | undefined;
  related: RelatedMemento[];
};

/**
 * The state of an entity at a moment, tombstones included; of a date before its first state, the first (RFC 7089 section 4.5.3).
 * `entity` is undefined where it was never created.
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function readState(
  storage: Storage,
  { include, withRelated, known, ...lookup }: StateQuestion,
  moment: Moment,
  signal?: AbortSignal,
): Promise<State> {
  const { entityNow, entityAsOf, mementosAround } = storage[engine];
  const read = async (asked: Point | null): Promise<State['entity']> => {
    const point = known ? await pointFor(storage, asked, known, signal) : asked;
    if (include?.history) {
      const question = { ...lookup, ...include.history, withProvenance: include.provenance };
      return readNested(storage, question, point, signal);
    }
    if (include?.provenance) return readProvenance(storage, lookup, point, signal);
    return point ? entityAsOf({ ...lookup, point }, signal) : entityNow(lookup, signal);
  };
  const entity = moment && 'date' in moment ? await readAtDate(storage, read, moment) : await read(moment);
  const isMemento = entity !== undefined && entity.tick !== null && !entity.deleted;
  return {
    entity,
    related:
      withRelated && isMemento
        ? await mementosAround({ id: entity.id, tick: entity.tick, until: known?.tick ?? LAST_TICK }, signal)
        : [],
  };
}

async function readAtDate(
  storage: Storage,
  read: (point: Point | null) => Promise<State['entity']>,
  moment: { date: string },
): Promise<State['entity']> {
  const instant = await instantOfMoment(storage, moment);
  const then = await read(instant === null ? null : { instant });
  if (then?.tick === null) return read({ tick: 1 });
  // What is not kept is part of the entity as it is now, and not of a memento, which a date asks for.
  return instant === null && then && then.untracked !== null ? read({ tick: then.tick }) : then;
}
