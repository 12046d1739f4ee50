import { type Conditions, type Entity, shownAsOf, verdictOf } from '../helper/model.js';
import { type Operation, outcomeOf, tickOf } from './record.js';
import { entityAt, isAnswer, type Subject, type Violation, violation } from './subject.js';

/**
 * Whether what was answered of an entity is linearizable (Herlihy and Wing, Linearizability: a correctness condition for
 * concurrent objects, TOPLAS 12(3), 1990): as if each operation had happened at one moment between its invocation and its
 * completion. By their theorem 1 a history is linearizable if that of each object is, so each entity is checked alone.
 *
 * In general that takes a search for an order of all operations (Gibbons and Korach, Testing shared memories, SIAM J. Comput.
 * 26(4), 1997: NP-complete). None is needed here, because the service itself says the order of the writes: ticks are
 * versions. The write that made tick n stands between versions n-1 and n; anything else sees a version, and is right at it
 * if the model, with the entity at that version, answers the same. What is left is to give each operation a version at which
 * it is right, so that none has an earlier one than an operation that had completed before it was invoked, nor the same one
 * if it made it. So operations are taken in the order of their invocation, and each is given the earliest version at which
 * it is right and that is not before those of all that had completed by then. A later one would only leave less to those
 * that follow: if there is none to give, there is no such order. If all have one, it is this: by version, the write that
 * made it first, then the others by their invocation. (order.test.ts compares this with a search.)
 *
 * A write of which its client does not know whether it is kept counts if its tick is there, from its invocation on, and never
 * completes.
 *
 * @param made the tick that each write made, if it made one
 */
export function realTimeOrder(subject: Subject, made: ReadonlyMap<Operation, number>): Violation[] {
  const violations: Violation[] = [];
  const versions = new Map<Operation, number>();
  const placed = subject.operations
    .filter((operation) => made.has(operation) || tellsVersion(operation))
    .toSorted((a, b) => a.invoked - b.invoked);
  const completions = placed
    .filter((operation) => outcomeOf(operation) !== 'indeterminate')
    .toSorted((a, b) => a.completed - b.completed);
  let done = 0;
  let seen: Seen = { version: 0, by: [] };
  for (const operation of placed) {
    for (let other = completions[done]; other && other.completed < operation.invoked; other = completions[++done]) {
      const version = versions.get(other) ?? 0;
      if (version > seen.version) seen = { version, by: [other] };
    }
    const tick = made.get(operation);
    if (tick !== undefined && tick <= seen.version) violations.push(madeTooLate(subject, operation, tick, seen));
    const version = tick ?? earliestVersion(subject.entity, operation, seen.version);
    if (version !== null) versions.set(operation, version);
    else violations.push(...misplaced(subject, operation, seen));
  }
  return violations;
}

/** The newest version that any completed operation has, and which of them. */
type Seen = { version: number; by: Operation[] };

/** Whether the answer depends on the version of the entity that it was given at. */
function tellsVersion({ purpose, answer }: Operation): boolean {
  if (!answer || !(answer.status < 300 || [404, 409, 410, 412].includes(answer.status))) return false;
  if (purpose.kind === 'part') return purpose.tellsVersion;
  return purpose.kind === 'as of' ? 'tick' in purpose.point : 'key' in purpose;
}

/** The earliest version from this one on at which an operation that made no tick is answered as it was. */
function earliestVersion(entity: Entity, operation: Operation, from: number): number | null {
  const named = versionNamed(operation);
  const to = named ?? entity.ticks.length;
  for (let version = Math.max(from, named ?? 0); version <= to; version++) {
    if (isRightAt(entity, operation, version)) return version;
  }
  return null;
}

/** The one version that an answer can be right at, where it says so itself. */
function versionNamed({ purpose, answer }: Operation): number | null {
  if (!answer || purpose.kind === 'as of') return null;
  if (purpose.kind === 'part' && answer.status < 300) {
    // A dry run tells the tick that it would make.
    const { tick = null, op = null } = purpose.told ?? {};
    return (tick ?? 0) - (purpose.isDry && op !== null ? 1 : 0);
  }
  if (answer.status < 300) return tickOf(answer);
  const { code, tick = 0 } = answer.body;
  const isOfNow = code === 'entity_not_found' || code === 'entity_deleted' || code === 'entity_exists';
  return (isOfNow || code === 'precondition_failed') && typeof tick === 'number' ? tick : null;
}

/** Whether the model answers an operation that made no tick as it was answered, with the entity at this version. */
function isRightAt(entity: Entity, { purpose, answer }: Operation, version: number): boolean {
  if (!answer) return false;
  const then = entityAt(entity, version);
  if (purpose.kind === 'now') return isAnswer(answer, shownAsOf(then, null));
  if (purpose.kind === 'as of') return isAnswer(answer, shownAsOf(then, purpose.point));
  if (purpose.kind === 'part') return purpose.agrees(then);
  if (purpose.kind !== 'write') return false;
  const verdict = verdictOf(then, purpose.command, purpose.conditions);
  if (verdict.end === 'refused') return isAnswer(answer, verdict.refused);
  return verdict.end === 'nothing' && answer.status < 300 && tickOf(answer) === version;
}

const madeTooLate = ({ name }: Subject, operation: Operation, tick: number, { version, by }: Seen): Violation =>
  violation(
    'real-time order',
    `${name}: a write made tick ${tick}, but tick ${version} had been seen before it was sent`,
    ...by,
    operation,
  );

function misplaced({ name, entity }: Subject, operation: Operation, { version, by }: Seen): Violation[] {
  const right = earliestVersion(entity, operation, 0);
  if (right !== null) {
    const then = right === 0 ? 'before its first tick' : `at tick ${right}`;
    const what = `${name}: the answer was right ${then}, but tick ${version} had been seen before it was asked for`;
    return [violation('real-time order', what, ...by, operation)];
  }
  // That it is not kept is told elsewhere.
  if (isLost(entity, operation)) return [];
  return [violation('sequential', `${name}: at no tick is this the right answer`, operation)];
}

/** Whether a write that made no tick was acknowledged for one, and not because it would have changed nothing there. */
export function isLost(entity: Entity, { purpose, answer }: Operation): boolean {
  if (purpose.kind === 'part') return !purpose.isDry && purpose.told !== null && purpose.told.op !== null;
  if (purpose.kind !== 'write' || !answer || answer.status >= 300) return false;
  const tick = tickOf(answer);
  if (tick === null || tick > entity.ticks.length) return true;
  return verdictOf(entityAt(entity, tick), purpose.command, UNCONDITIONAL).end !== 'nothing';
}

const UNCONDITIONAL: Conditions = { ifMatch: null, ifNoneMatch: null };
