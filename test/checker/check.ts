import { type Json, jsonEqual } from '../../src/temporal/json.js';
import { changesOf, entityBody, isRefused, rangesOf, same, shownAsOf, type Verdict } from '../helper/model.js';
import { asOfInstants, repeatable } from './as-of.js';
import { isLost, realTimeOrder } from './order.js';
import { wholesOf } from './parts.js';
import { type Operation, outcomeOf, type RecordedRange, type Recording, tickOf } from './record.js';
import {
  entityAt,
  isAnswer,
  isOf,
  isWrite,
  type OperationOf,
  type Subject,
  subjectsOf,
  type Violation,
  verdictAt,
  violation,
  type Write,
} from './subject.js';
import { wholeOrAbsent } from './whole.js';

/**
 * All that is wrong with what was recorded. The checks, by their names:
 * - answered: nothing is answered that none of these requests deserves
 * - one clock: ticks are 1, 2, 3 … without gaps, their instants strictly increase
 * - faithful: what is read as of a tick is what the write that made it answered, byte for byte, and what anything else showed
 *   of it; the history and the ranges fit
 * - repeatable: what was asked as of an instant is answered the same when it is asked again, byte for byte
 * - kept: an acknowledged write is at the tick that it was acknowledged for, and each tick is of one write
 * - no trace: a refused write is at no tick and in no range
 * - sequential: a write made of the state before it what it was to make, under its conditions; any other answer is right at
 *   some tick; both by the model of helper/model.ts
 * - real-time order: no answer is older than one that was complete before it was asked for
 * - as of: what was answered as of an instant is what the history says of that instant in the end
 * - whole: a batch is there wholly, at one instant, made of what its entities were just before that; or it is wholly absent
 *
 * What a batch, or an undo, is to one of its entities is a write of that as any other.
 */
export function check(recording: Recording): Violation[] {
  const wholes = wholesOf(recording);
  const operations = [...recording.operations, ...wholes.flatMap(({ parts }) => parts)];
  const subjects = subjectsOf({ ...recording, operations });
  const writes = operations.filter(isWrite);
  const { made, violations } = kept(subjects, writes);
  return [
    ...recording.operations.flatMap(answered),
    ...subjects.flatMap(oneClock),
    ...subjects.flatMap(faithful),
    ...recording.operations.flatMap(repeatable),
    ...violations,
    ...subjects.flatMap(noTrace),
    ...subjects.flatMap((subject) => effects(subject, made)),
    ...subjects.flatMap((subject) => realTimeOrder(subject, made)),
    ...asOfInstants(recording, subjects),
    ...wholeOrAbsent(recording, subjects, wholes, made),
  ];
}

/** 428 where the service takes no unconditional change. */
const DESERVED = new Set([404, 409, 410, 412, 428]);
/** What anybody may be answered by a service in trouble, or for an instant that has not come. */
const PASSING = new Set([
  'as_of_in_future',
  'as_of_not_stable_yet',
  'clock_jumped_ahead',
  'clock_stepped_back',
  'too_many_writers',
  'overloaded',
  'outcome_unknown',
  'database_unavailable',
]);

function answered(operation: Operation): Violation[] {
  const { answer } = operation;
  if (!answer || answer.status < 300 || DESERVED.has(answer.status)) return [];
  if (typeof answer.body.code === 'string' && PASSING.has(answer.body.code)) return [];
  return [violation('answered', `${answer.status} is no answer to this`, operation)];
}

function oneClock({ name, recorded: { ticks } }: Subject): Violation[] {
  return ticks.flatMap(({ tick, at }, index) => {
    const before = ticks[index - 1];
    if (tick !== index + 1) return [violation('one clock', `${name}: tick ${tick} is where ${index + 1} should be`)];
    if (!before || before.at < at) return [];
    return [violation('one clock', `${name}: tick ${tick} is at ${at}, not after tick ${before.tick} at ${before.at}`)];
  });
}

const faithful = (subject: Subject): Violation[] => [
  ...unfaithfulStates(subject),
  ...unfaithfulChanges(subject),
  ...unfaithfulRanges(subject),
  ...subject.operations.flatMap((operation) => unfaithfulAnswer(subject, operation)),
];

function unfaithfulStates({ name, entity, recorded: { states } }: Subject): Violation[] {
  return entity.ticks.flatMap(({ tick }, index) => {
    const state = states[index];
    const due = shownAsOf(entity, { tick });
    if (state && isAnswer(state, due) && (isRefused(due) || jsonEqual(state.body, entityBody(entity, due)))) return [];
    return [violation('faithful', `${name}: what is read as of tick ${tick} does not fit the history: ${state?.text}`)];
  });
}

function unfaithfulChanges({ name, entity, recorded: { ticks } }: Subject): Violation[] {
  return entity.ticks.flatMap((tick, index) => {
    const due = changesOf(entity, tick);
    const told = ticks[index]?.changes;
    if (same(told, due)) return [];
    const [is, was] = [told, due].map((changes) => JSON.stringify(changes));
    return [violation('faithful', `${name}: by the history tick ${tick.tick} changed ${is}, by the states ${was}`)];
  });
}

function unfaithfulRanges({ name, entity, recorded: { ranges } }: Subject): Violation[] {
  return [...ranges].flatMap(([property, told]) => {
    const due = rangesOf(entity.ticks, property).map(({ value, from, to }) => ({
      value,
      from: from.tick,
      to: to?.tick ?? null,
    }));
    if (jsonEqual(told, due)) return [];
    const index = due.findIndex((range, at) => !jsonEqual(range, told[at]));
    const [is, was] = [told, due].map((all) => rangeText(all[index === -1 ? due.length : index]));
    return [violation('faithful', `${name}: a range of ${property} is ${is}, by the states ${was}`)];
  });
}

const rangeText = (range: RecordedRange | undefined): string =>
  range ? `${JSON.stringify(range.value)}@[${range.from},${range.to ?? ''})` : 'not there';

/** What was shown of a tick, while others wrote. */
function unfaithfulAnswer(subject: Subject, operation: Operation): Violation[] {
  const { name, recorded } = subject;
  const { ticks, states } = recorded;
  const { answer, purpose } = operation;
  if (isOf(operation, 'part')) return unfaithfulPart(subject, operation);
  if (!answer || !(answer.status < 300 || (answer.status === 410 && purpose.kind !== 'write'))) return [];
  const tick = answer.status === 410 ? Number(answer.body.tick) : tickOf(answer);
  const state = states[(tick ?? 0) - 1];
  const at = ticks[(tick ?? 0) - 1]?.at;
  // That a tick is not there at all is for others to tell.
  if (!state) return [];
  if (answer.text !== '' && answer.text !== state.text) {
    const what = `${name}: what is read as of tick ${tick} was shown otherwise: ${state.text}`;
    return [violation('faithful', what, operation)];
  }
  if (purpose.kind === 'write' && answer.tickAt !== at) {
    return [violation('faithful', `${name}: tick ${tick} was made at ${at}, not at ${answer.tickAt}`, operation)];
  }
  return [];
}

/** The same of what a batch wrote: it is shown among others, and a tombstone as an entity. */
function unfaithfulPart({ name, entity, recorded: { states } }: Subject, part: OperationOf<'part'>): Violation[] {
  const { answer } = part;
  const { told, isDry } = part.purpose;
  const tick = entity.ticks[(told?.tick ?? 0) - 1];
  if (!answer || !told || !tick || isDry) return [];
  if (told.op !== null && (answer.tickAt !== tick.at || told.op !== tick.op)) {
    const what = `${name}: tick ${tick.tick} is ${tick.op} at ${tick.at}, and not ${told.op} at ${answer.tickAt}`;
    return [violation('faithful', what, part)];
  }
  const state = states[tick.tick - 1];
  const isShown = Object.keys(answer.body).length > 0;
  const isSame =
    jsonEqual(answer.body, entityBody(entity, tick)) &&
    (tick.op === 'deleted' || answer.text.includes(state?.text ?? ''));
  if (!isShown || isSame) return [];
  return [
    violation('faithful', `${name}: what is read as of tick ${tick.tick} was shown otherwise: ${state?.text}`, part),
  ];
}

/** Which tick each write made. */
function kept(
  subjects: readonly Subject[],
  writes: readonly Write[],
): { made: Map<Operation, number>; violations: Violation[] } {
  const made = new Map<Operation, number>();
  const violations: Violation[] = [];
  const tell = (what: string, ...operations: Operation[]) => violations.push(violation('kept', what, ...operations));
  const byMarker = new Map<string, Map<string, Write>>();
  for (const write of writes) {
    const { marker, key } = write.purpose;
    byMarker.set(marker, (byMarker.get(marker) ?? new Map<string, Write>()).set(key, write));
  }
  for (const { name, recorded } of subjects) {
    for (const { tick, marker } of recorded.ticks) {
      const sent = byMarker.get(marker ?? '');
      const write = sent?.get(recorded.key) ?? sent?.values().next().value;
      if (!write) tell(`${name}: tick ${tick} is of no write that was sent (${marker})`);
      else if (write.purpose.key !== recorded.key) tell(`${name}: tick ${tick} is of a write of another entity`, write);
      else if (made.has(write)) tell(`${name}: ticks ${made.get(write)} and ${tick} are both of one write`, write);
      else made.set(write, tick);
    }
  }
  for (const { name, entity, operations } of subjects) {
    for (const operation of operations) {
      if (outcomeOf(operation) !== 'acknowledged' || !isWrite(operation) || isDry(operation)) continue;
      const acknowledged = operation.answer && tickOf(operation.answer);
      const tick = made.get(operation);
      if (tick === undefined ? !isLost(entity, operation) : tick === acknowledged) continue;
      const is = tick === undefined ? 'nowhere' : `tick ${tick}`;
      tell(`${name}: a write was acknowledged as tick ${acknowledged}, and is ${is}`, operation);
    }
  }
  return { made, violations };
}

/** Whether it only asks what it would do. */
const isDry = ({ purpose }: Operation): boolean => purpose.kind === 'part' && purpose.isDry;

function noTrace({ name, recorded: { ticks, ranges }, operations }: Subject): Violation[] {
  const writes = operations.filter(isWrite);
  const refused = new Map(
    writes
      .filter((write) => outcomeOf(write) === 'refused' || isDry(write))
      .map((write) => [write.purpose.marker, write]),
  );
  const traces: [marker: Json, trace: string][] = [
    ...ticks.map(({ tick, marker }): [Json, string] => [marker, `is tick ${tick}`]),
    ...[...ranges].flatMap(([property, all]) =>
      all.map((range): [Json, string] => [range.value, `left ${property} ${rangeText(range)}`]),
    ),
  ];
  return traces.flatMap(([marker, trace]) => {
    const write = typeof marker === 'string' ? refused.get(marker) : undefined;
    const end = write && isDry(write) ? 'dry' : 'refused';
    return write ? [violation('no trace', `${name}: a write was ${end}, and ${trace}`, write)] : [];
  });
}

/** What each write made of the state before it. */
function effects({ name, entity, operations }: Subject, made: ReadonlyMap<Operation, number>): Violation[] {
  return operations.flatMap((operation) => {
    const tick = made.get(operation);
    const after = entity.ticks[(tick ?? 0) - 1];
    if (tick === undefined || !after || !isWrite(operation)) return [];
    const verdict = verdictAt(operation, entityAt(entity, tick - 1));
    if (verdict.end === 'tick' && verdict.op === after.op && same(verdict.properties, after.properties)) return [];
    const is = `${after.op} ${JSON.stringify(after.properties)}`;
    const what = `${name}: tick ${tick} is ${is}; of the tick before it, ${verdictText(verdict)}`;
    return [violation('sequential', what, operation)];
  });
}

function verdictText(verdict: Verdict): string {
  if (verdict.end === 'nothing') return 'nothing was to be changed';
  if (verdict.end === 'refused') return `it was to be refused with ${verdict.refused.code}`;
  return `${verdict.op} ${JSON.stringify(verdict.properties)} was to be made`;
}
