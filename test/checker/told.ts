import { type Operation, outcomeOf, type Recording } from './record.js';
import { type Check, isOf, type Violation } from './subject.js';

/* What was done and found, for people to read. */

/** The first violations of each check, and how many more there are. */
export function tellViolations(violations: readonly Violation[], most: number): string[] {
  const byCheck = new Map<Check, Violation[]>();
  for (const violation of violations) {
    const found = byCheck.get(violation.check) ?? [];
    found.push(violation);
    byCheck.set(violation.check, found);
  }
  return [...byCheck].flatMap(([check, found]) => [
    ...found.slice(0, most).map(tellViolation),
    ...(found.length > most ? [`${check}: … and ${found.length - most} more`] : []),
  ]);
}

/** A violation and the operations that show it, a line each, in the order in which they were sent. */
export function tellViolation({ check, what, operations }: Violation): string {
  const inOrder = operations.toSorted((a, b) => a.invoked - b.invoked);
  return [`${check}: ${what}`, ...inOrder.map((operation) => `    ${tell(operation)}`)].join('\n');
}

/** As `client 3, 1204.113–1207.902 ms: PATCH entities/t:a if-match: "4" {"properties":{"n":1}} → 200 "5" {"id":…}`. */
function tell({ client, invoked, completed, request, answer }: Operation): string {
  const { method, path, headers, body } = request;
  const said = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const sent = [method, decodeURIComponent(path), ...said, body === undefined ? '' : JSON.stringify(body)];
  const got = answer ? [answer.status, answer.etag ?? '', answer.text] : ['no answer'];
  const words = [...sent, '→', ...got].filter((word) => word !== '').join(' ');
  return `client ${client}, ${invoked.toFixed(3)}–${completed.toFixed(3)} ms: ${words}`;
}

/** How much of everything a recording holds: a check of nothing finds nothing. */
export function countsOf({ operations, entities }: Recording) {
  const writes = operations.filter((operation) => isOf(operation, 'write'));
  const batches = operations.filter((operation) => isOf(operation, 'batch'));
  const undos = operations.filter((operation) => isOf(operation, 'undo'));
  const wholes = [...batches, ...undos];
  const answered = operations.filter(({ answer }) => answer?.status === 200 || answer?.status === 410);
  const inTrouble = operations.filter(({ answer }) => answer?.status === 503);
  const count = <One extends Operation>(all: readonly One[], is: (operation: One) => boolean) => all.filter(is).length;
  const markers = new Set(entities.flatMap(({ ticks }) => ticks.map(({ marker }) => marker)));
  const indeterminate = writes.filter((write) => outcomeOf(write) === 'indeterminate');
  return {
    requests: operations.length,
    ticks: entities.reduce((sum, { ticks }) => sum + ticks.length, 0),
    acknowledged: count(writes, (write) => outcomeOf(write) === 'acknowledged'),
    refused: count(writes, (write) => outcomeOf(write) === 'refused'),
    indeterminate: indeterminate.length,
    'indeterminate and kept': indeterminate.filter(({ purpose }) => markers.has(purpose.marker)).length,
    batches: count(batches, (one) => !one.purpose.isDry && outcomeOf(one) === 'acknowledged'),
    'batches refused': count(batches, (one) => outcomeOf(one) === 'refused'),
    undos: count(undos, (one) => !one.purpose.isDry && outcomeOf(one) === 'acknowledged'),
    'undos refused': count(undos, (one) => outcomeOf(one) === 'refused'),
    'dry runs': count(wholes, (one) => one.purpose.isDry && outcomeOf(one) === 'acknowledged'),
    'indeterminate batches and undos': count(wholes, (one) => outcomeOf(one) === 'indeterminate'),
    'ticks of batches and undos': ticksOf(entities, new Set(wholes.map(({ purpose }) => purpose.marker))),
    'answered 503': inTrouble.length,
    'reads now': count(answered, (one) => isOf(one, 'now')),
    'reads as of a tick': count(answered, (one) => isOf(one, 'as of') && 'tick' in one.purpose.point),
    'reads as of an instant': count(answered, (one) => isOf(one, 'as of') && 'instant' in one.purpose.point),
    lists: count(answered, (one) => isOf(one, 'list')),
    pages: count(answered, (one) => isOf(one, 'page')),
    'asked again': count(operations, ({ again }) => again !== undefined),
  };
}

const ticksOf = (entities: Recording['entities'], markers: ReadonlySet<string>): number =>
  entities.flatMap(({ ticks }) => ticks).filter(({ marker }) => marker !== null && markers.has(marker)).length;
