import { type Json, type JsonObject, jsonEqual } from '../../src/temporal/json.js';
import { entityBody, isRefused, shownAsOf, tickAsOf } from '../helper/model.js';
import type { Answer, Deleted, Operation, Recording } from './record.js';
import { isAnswer, isOf, type OperationOf, type Subject, type Violation, violation } from './subject.js';

/* What was answered as of instants, while others wrote. */

/** Whether a question about an instant was answered, which it is for ever. */
export const isSettled = ({ status, body }: Answer): boolean => status !== 503 && body.code !== 'as_of_in_future';

/** What was asked again, and is answered otherwise. */
export function repeatable(operation: Operation): Violation[] {
  const { answer, again } = operation;
  if (!answer || !again) return [];
  if (answer.status === again.status && answer.etag === again.etag && answer.text === again.text) return [];
  const now = `${again.status} ${again.etag ?? ''} ${again.text}`;
  return [violation('repeatable', `asked again after the run, this is answered ${now}`, operation)];
}

/** What was answered as of an instant, and is not what the histories say of that instant in the end. */
export function asOfInstants({ operations }: Recording, subjects: readonly Subject[]): Violation[] {
  const settled = operations.filter(({ answer }) => answer && isSettled(answer));
  const walks = new Map<string, OperationOf<'page'>[]>();
  for (const page of settled.filter((operation) => isOf(operation, 'page'))) {
    const { walk } = page.purpose;
    walks.set(walk, [...(walks.get(walk) ?? []), page]);
  }
  return [
    ...settled.filter((operation) => isOf(operation, 'as of')).flatMap((one) => singleRead(subjects, one)),
    ...settled.filter((operation) => isOf(operation, 'list')).flatMap((list) => listRead(subjects, list)),
    ...[...walks.values()].flatMap((pages) => walked(subjects, pages)),
  ];
}

function singleRead(subjects: readonly Subject[], operation: OperationOf<'as of'>): Violation[] {
  const { answer, purpose } = operation;
  const { key, point } = purpose;
  const subject = subjects.find(({ recorded }) => recorded.key === key);
  if (!answer || !subject || 'tick' in point) return [];
  const due = shownAsOf(subject.entity, point);
  const isShown =
    isAnswer(answer, due) && (isRefused(due) || answer.text === subject.recorded.states[due.tick - 1]?.text);
  if (isShown) return [];
  const then = isRefused(due) ? `${due.status} ${due.code}` : `tick ${due.tick}`;
  return [violation('as of', `${subject.name}: by its history it was at ${then} at ${point.instant}`, operation)];
}

function listRead(subjects: readonly Subject[], operation: OperationOf<'list'>): Violation[] {
  const { answer, purpose } = operation;
  const { keys, instant } = purpose;
  const items: Json[] = [];
  const missing: Json[] = [];
  for (const key of keys) {
    const subject = subjects.find(({ recorded }) => recorded.key === key);
    if (!subject) continue;
    const due = shownAsOf(subject.entity, { instant });
    if (isRefused(due)) missing.push({ id: subject.name, code: due.code });
    else items.push(entityBody(subject.entity, due));
  }
  if (answer?.status === 200 && jsonEqual(answer.body, { items, missing })) return [];
  const due = JSON.stringify({ items, missing });
  return [violation('as of', `by the histories of what it lists, at ${instant} it was ${due}`, operation)];
}

/** All pages of a walk together are the snapshot at one instant, each entity once. */
function walked(subjects: readonly Subject[], unordered: readonly OperationOf<'page'>[]): Violation[] {
  const pages = unordered.toSorted((a, b) => a.purpose.number - b.purpose.number);
  const [first] = pages;
  if (!first?.answer) return [];
  const { asOf = null } = first.answer.body;
  const other = pages.find(({ answer }) => answer?.body.asOf !== asOf);
  if (other) {
    const what = `a page of a walk is as of ${other.answer?.body.asOf}, its first as of ${asOf}`;
    return [violation('as of', what, first, other)];
  }

  const { instant, deleted } = first.purpose;
  const newest = newestChange(subjects, instant ?? String(asOf ?? ''));
  if (asOf !== newest) {
    const what = `a snapshot is as of ${asOf}; the newest change that it can hold is of ${newest}`;
    return [violation('as of', what, first)];
  }

  const due = newest === null ? [] : snapshotAt(subjects, newest, deleted);
  const shown = pages.flatMap(({ answer }) => (Array.isArray(answer?.body.items) ? answer.body.items : []));
  const isWhole = pages.at(-1)?.answer?.body.next === null;
  const length = isWhole ? Math.max(due.length, shown.length) : shown.length;
  const wrong = Array.from({ length }, (_, n) => n).find((n) => !jsonEqual(shown[n], due[n]));
  if (wrong === undefined) return [];
  const [is, was] = [shown[wrong], due[wrong]].map((item) => JSON.stringify(item) ?? 'nothing');
  const what = `item ${wrong + 1} of a snapshot as of ${asOf} is ${is}; by the histories it is ${was}`;
  return [violation('as of', what, ...pages)];
}

/** The instant of the newest change at or before an instant; null: nothing was there yet. */
function newestChange(subjects: readonly Subject[], instant: string): string | null {
  const changes = subjects.flatMap(({ entity }) => {
    const tick = tickAsOf(entity, { instant });
    return isRefused(tick) ? [] : [tick.at];
  });
  return changes.toSorted().at(-1) ?? null;
}

/** What a snapshot at an instant shows: those that were there, or not any more, by their keys in the order of bytes. */
function snapshotAt(subjects: readonly Subject[], instant: string, deleted: Deleted): JsonObject[] {
  const inOrder = subjects.toSorted((a, b) => Buffer.compare(Buffer.from(a.recorded.key), Buffer.from(b.recorded.key)));
  return inOrder.flatMap(({ entity }) => {
    const tick = tickAsOf(entity, { instant });
    if (isRefused(tick)) return [];
    const isShown = deleted === 'include' || (tick.op === 'deleted') === (deleted === 'only');
    return isShown ? [entityBody(entity, tick)] : [];
  });
}
