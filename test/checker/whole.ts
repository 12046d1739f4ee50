import { isObject } from '../../src/temporal/json.js';
import { isSettled } from './as-of.js';
import type { Whole } from './parts.js';
import { misshapen } from './parts.js';
import { type Operation, outcomeOf, type Recording } from './record.js';
import { entityAt, type Subject, type Violation, violation } from './subject.js';

/**
 * Whether every batch, and every undo, is wholly there or wholly absent: all its ticks have one instant, it has made of each entity what it
 * was to make of what that was just before this instant, and whoever read as of any instant was shown all of it or nothing.
 * @param made the tick that each part made, if it made one
 */
export function wholeOrAbsent(
  recording: Recording,
  subjects: readonly Subject[],
  wholes: readonly Whole[],
  made: ReadonlyMap<Operation, number>,
): Violation[] {
  const byKey = new Map(subjects.map((subject) => [subject.recorded.key, subject]));
  return [
    ...wholes.flatMap(misshapen),
    ...wholes.flatMap((whole) => atOneInstant(byKey, whole, made)),
    ...halfShown(recording, wholes, made),
  ];
}

function atOneInstant(
  subjects: ReadonlyMap<string, Subject>,
  { operation, parts }: Whole,
  made: ReadonlyMap<Operation, number>,
): Violation[] {
  const wrong = (what: string) => violation('whole', what, operation);
  const instants = new Set(
    parts.flatMap((part) => {
      const tick = made.get(part);
      return (tick && subjects.get(part.purpose.key)?.entity.ticks[tick - 1]?.at) || [];
    }),
  );
  const [at = null] = instants;
  if (instants.size > 1) return [wrong(`its ticks have ${instants.size} instants: ${[...instants].join(', ')}`)];
  const { answer, purpose } = operation;
  const isAcknowledged = answer !== null && outcomeOf(operation) === 'acknowledged' && !purpose.isDry;
  const { at: toldAt = null } = answer?.body ?? {};
  if (isAcknowledged && toldAt !== at) return [wrong(`it was acknowledged as of ${toldAt}, and is there as of ${at}`)];
  if (at === null) return [];
  return parts.flatMap((part) => {
    const { key, judge, agrees } = part.purpose;
    const subject = subjects.get(key);
    if (!subject) return [];
    const { name, entity } = subject;
    const before = entity.ticks.filter((tick) => tick.at < at).length;
    const then = entityAt(entity, before);
    const verdict = judge(then);
    const isThere = made.has(part);
    if (verdict.end === 'refused') {
      return [
        wrong(`${name}: at tick ${before}, just before ${at}, it was to be refused with ${verdict.refused.code}`),
      ];
    }
    if ((verdict.end === 'tick') !== isThere) {
      const due = verdict.end === 'tick' ? 'was to change it' : 'had nothing to change there';
      return [wrong(`${name}: it ${due} at ${at}, after tick ${before}, and did${isThere ? '' : ' not'}`)];
    }
    if (isAcknowledged && !agrees(then)) return [wrong(`${name}: what it says is not so after tick ${before}`)];
    return [];
  });
}

/** What was shown as of instants, and has some of a batch without the rest. */
function halfShown(
  { operations }: Recording,
  wholes: readonly Whole[],
  made: ReadonlyMap<Operation, number>,
): Violation[] {
  /** By entity and tick: what was written together with it. */
  const together = new Map<string, { whole: Operation; ticks: Map<string, number> }>();
  for (const { operation, parts } of wholes) {
    const ticks = new Map(
      parts.flatMap((part): [string, number][] => {
        const tick = made.get(part);
        return tick === undefined ? [] : [[part.purpose.key, tick]];
      }),
    );
    for (const [key, tick] of ticks) together.set(`${tick} ${key}`, { whole: operation, ticks });
  }
  return sights(operations).flatMap(({ shown, by }) => {
    for (const [key, tick] of shown) {
      // What it shows last of an entity, and what it shows not yet.
      for (const number of [tick, tick + 1]) {
        const found = together.get(`${number} ${key}`);
        const isShown = number === tick;
        const other = [...(found?.ticks ?? [])].find(([name, of]) => {
          const seen = shown.get(name);
          return seen !== undefined && seen >= of !== isShown;
        });
        if (!found || !other) continue;
        const what = isShown ? `tick ${tick} of ${key} without` : `not tick ${number} of ${key}, but`;
        return [violation('whole', `half of it is shown: ${what} tick ${other[1]} of ${other[0]}`, found.whole, ...by)];
      }
    }
    return [];
  });
}

type Sight = { shown: Map<string, number>; by: Operation[] };

/** At which ticks entities were shown together: in a list, or in the pages of a walk. */
function sights(operations: readonly Operation[]): Sight[] {
  const found = new Map<string, Sight>();
  for (const [place, operation] of operations.entries()) {
    const { answer, purpose } = operation;
    if (!answer || !isSettled(answer) || !(purpose.kind === 'list' || purpose.kind === 'page')) continue;
    const name = purpose.kind === 'page' ? `walk ${purpose.walk}` : `list ${place}`;
    const sight: Sight = found.get(name) ?? { shown: new Map(), by: [] };
    found.set(name, sight);
    sight.by.push(operation);
    const { items, missing } = answer.body;
    for (const item of Array.isArray(items) ? items.filter(isObject) : [])
      if (typeof item.key === 'string' && typeof item.tick === 'number') sight.shown.set(item.key, item.tick);
    for (const item of Array.isArray(missing) ? missing.filter(isObject) : []) {
      const key = typeof item.id === 'string' ? item.id.slice(item.id.indexOf(':') + 1) : '';
      if (item.code === 'entity_not_found') sight.shown.set(key, 0);
    }
  }
  return [...found.values()];
}
