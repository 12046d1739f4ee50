import { isObject } from '../../src/temporal/json.js';
import { type Entity, isRefused, type Refused, type Tick, type Verdict, verdictOf } from '../helper/model.js';
import { type Answer, type Operation, type Purpose, type RecordedEntity, type Recording, tickOf } from './record.js';

/* One entity as the checks see it: what the model makes of its recorded history, and what was asked of it. */

/** What is checked; a violation is told by this name. */
export type Check =
  | 'one clock'
  | 'faithful'
  | 'repeatable'
  | 'kept'
  | 'no trace'
  | 'sequential'
  | 'real-time order'
  | 'as of'
  | 'whole'
  | 'answered';

/** What is wrong, in words, and the operations that show it. */
export type Violation = { check: Check; what: string; operations: Operation[] };

export const violation = (check: Check, what: string, ...operations: Operation[]): Violation => ({
  check,
  what,
  operations,
});

/** An operation of this purpose. */
export type OperationOf<Kind extends Purpose['kind']> = Operation & { purpose: Extract<Purpose, { kind: Kind }> };

export const isOf = <Kind extends Purpose['kind']>(operation: Operation, kind: Kind): operation is OperationOf<Kind> =>
  operation.purpose.kind === kind;

/** A write of one entity: by itself, or as a part of a batch or of an undo. */
export type Write = OperationOf<'write'> | OperationOf<'part'>;

export const isWrite = (operation: Operation): operation is Write =>
  isOf(operation, 'write') || isOf(operation, 'part');

/** What is to become of a write, if the entity is so before. */
export const verdictAt = ({ purpose }: Write, then: Entity | undefined): Verdict =>
  purpose.kind === 'part' ? purpose.judge(then) : verdictOf(then, purpose.command, purpose.conditions);

/** An entity, how it is addressed, and the operations on it alone. */
export type Subject = { entity: Entity; name: string; recorded: RecordedEntity; operations: Operation[] };

export function subjectsOf({ type, entities, operations }: Recording): Subject[] {
  return entities.map((recorded) => ({
    entity: entityOf(type, recorded),
    name: `${type}:${recorded.key}`,
    recorded,
    operations: operations.filter(({ purpose }) => 'key' in purpose && purpose.key === recorded.key),
  }));
}

/** The entity in the words of the model; its state at each tick is what a read as of it was answered. */
function entityOf(type: string, { key, ticks, states }: RecordedEntity): Entity {
  const id = states[0]?.body.id;
  return {
    id: typeof id === 'string' ? id : '',
    type,
    key,
    ticks: ticks.map(({ tick, at, op }, index) => {
      const properties = states[index]?.body.properties;
      return { tick, at, op, properties: isObject(properties) ? properties : {}, who: null };
    }),
  };
}

/** The entity as it was at one of its versions; version 0 is before its first tick. */
export const entityAt = (entity: Entity, version: number): Entity | undefined =>
  version === 0 ? undefined : { ...entity, ticks: entity.ticks.slice(0, version) };

/** Whether an answer shows the entity at this tick, or refuses as it should. */
export const isAnswer = (answer: Answer, due: Tick | Refused): boolean =>
  isRefused(due)
    ? answer.status === due.status && answer.body.code === due.code && answer.body.tick === due.tick
    : answer.status === 200 && tickOf(answer) === due.tick;
