import { isObject, type Json, type JsonObject } from '../../src/temporal/json.js';
import { type Op, same, type Verdict } from '../helper/model.js';
import { type Answer, type Operation, outcomeOf, type RecordedEntity, type Recording } from './record.js';
import { isAnswer, isOf, type OperationOf, type Violation, violation } from './subject.js';
import { type Conflict, verdictOfSteps, verdictOfUndo } from './together.js';

/*
 * A batch, and an undo, seen from each of their entities: a write of that one, which the checks of one entity take as any other.
 */

export type Part = OperationOf<'part'>;

/** What was sent as one, and its parts. */
export type Whole = { operation: OperationOf<'batch'> | OperationOf<'undo'>; parts: Part[] };

/** All batches and undos, with their parts; those of an undo are of what the activity ticked. */
export function wholesOf({ operations, entities }: Recording): Whole[] {
  return operations.flatMap((operation): Whole[] => {
    if (isOf(operation, 'batch')) return [{ operation, parts: partsOfBatch(operation) }];
    if (isOf(operation, 'undo')) return [{ operation, parts: partsOfUndo(operation, entities) }];
    return [];
  });
}

/** What an answer lacks, or says too much, whatever became of the entities. */
export function misshapen({ operation, parts }: Whole): Violation[] {
  const { answer, purpose } = operation;
  if (!answer || outcomeOf(operation) === 'indeterminate') return [];
  const wrong = (what: string) => [violation('whole', what, operation)];
  if (answer.status >= 500) return [];
  if (answer.status >= 400) {
    if (purpose.kind === 'batch') {
      return blamed(answer) === null ? wrong('the refusal of a batch does not say which operation it is about') : [];
    }
    if (answer.body.code === 'undo_conflict') return [];
    return wrong(`${answer.status} is no answer to the undo of what was acknowledged`);
  }
  const items = itemsOf(answer);
  const length = purpose.kind === 'batch' ? purpose.steps.length : parts.length;
  if (items.length !== length) return wrong(`the answer tells of ${items.length} entities, and not of ${length}`);
  if (purpose.kind === 'undo' || !purpose.isDry) {
    const ofNone = parts.find(({ purpose: { told } }) => !told);
    if (ofNone) return wrong(`the answer does not tell of ${ofNone.purpose.key}`);
  }
  return [];
}

const itemsOf = ({ body }: Answer): JsonObject[] => (Array.isArray(body.items) ? body.items.filter(isObject) : []);

function partsOfBatch(operation: OperationOf<'batch'>): Part[] {
  const { steps, marker, isDry } = operation.purpose;
  const places = new Map<string, number[]>();
  for (const [place, { key }] of steps.entries()) places.set(key, [...(places.get(key) ?? []), place]);
  const { answer } = operation;
  const isDone = answer !== null && answer.status < 300;
  return [...places].map(([key, own]) => {
    const onIt = own.flatMap((place) => steps[place] ?? []);
    const last = own.at(-1) ?? 0;
    const item = isDone ? itemsOf(answer)[last] : undefined;
    const place = answer && !isDone ? blamed(answer) : null;
    const told = toldBy(item);
    return {
      ...partOf(operation, answer && item ? answerOf(answer, item, isDry) : answer),
      purpose: {
        kind: 'part',
        key,
        marker,
        whole: operation,
        isDry,
        told,
        tellsVersion: told !== null || (place !== null && own.includes(place)),
        judge: (then) => verdictOfSteps(then, onIt),
        agrees: (then) => {
          const verdict = verdictOfSteps(then, onIt);
          if (told) return saysSo(verdict, told, item, isDry);
          if (!answer || verdict.end !== 'refused' || verdict.refusedAt === undefined) return false;
          return own[verdict.refusedAt] === place && isAnswer(answer, verdict.refused);
        },
      },
    };
  });
}

function partsOfUndo(operation: OperationOf<'undo'>, entities: readonly RecordedEntity[]): Part[] {
  const { answer } = operation;
  const { of, marker, onConflict, isDry } = operation.purpose;
  const isDone = answer !== null && answer.status < 300;
  const isRefusedSo = answer?.status === 409 && answer.body.code === 'undo_conflict';
  return entities.flatMap(({ key, ticks, states }): Part[] => {
    const done = ticks.find((tick) => tick.marker === of)?.tick;
    const id = states[0]?.body.id;
    if (done === undefined) return [];
    const item = isDone ? itemsOf(answer).find((one) => one.id === id) : undefined;
    const told = toldBy(item);
    const conflicts = answer ? conflictsOf(answer, id) : [];
    return [
      {
        ...partOf(operation, answer && item ? answerOf(answer, item, isDry) : answer),
        purpose: {
          kind: 'part',
          key,
          marker,
          whole: operation,
          isDry,
          told,
          tellsVersion: told !== null || isRefusedSo,
          judge: (then) => verdictOfUndo(then, done, onConflict).verdict,
          agrees: (then) => {
            const due = verdictOfUndo(then, done, onConflict);
            if (!isSameSet(due.conflicts, conflicts)) return false;
            // One that nothing stands in the way of is left because of the others.
            return told ? saysSo(due.verdict, told, item, isDry) : isRefusedSo;
          },
        },
      },
    ];
  });
}

/** The operation as its entity sees it, but for what it was to that. */
const partOf = ({ client, request, invoked, completed, isCut = false }: Operation, answer: Answer | null) => ({
  client,
  request,
  invoked,
  completed,
  isCut,
  answer,
});

const OPS: readonly string[] = ['created', 'updated', 'deleted', 'restored'] satisfies Op[];
const isOp = (value: Json | undefined): value is Op => typeof value === 'string' && OPS.includes(value);

function toldBy(item: JsonObject | undefined): { tick: number | null; op: Op | null } | null {
  if (!item) return null;
  const { tick = null, op = null } = item;
  return { tick: typeof tick === 'number' ? tick : null, op: isOp(op) ? op : null };
}

/** What the answer to a whole is to one entity, as if it had been written alone. */
function answerOf({ status, text, body }: Answer, item: JsonObject, isDry: boolean): Answer {
  const { tick = null, op = null, entity } = item;
  return {
    status,
    etag: typeof tick === 'number' ? `"${tick}"` : null,
    tickAt: !isDry && op !== null && typeof body.at === 'string' ? body.at : null,
    retryAfter: null,
    text,
    body: isObject(entity) ? entity : {},
  };
}

/** Whether an item says what a verdict is; that its entity is as it stands after that, where it was to be written and was not. */
function saysSo(verdict: Verdict, { op }: { op: Op | null }, item: JsonObject | undefined, isDry: boolean): boolean {
  if (verdict.end === 'refused') return false;
  if (verdict.end === 'nothing') return op === null;
  if (op !== verdict.op) return false;
  const shown = item?.entity;
  return !isDry || !isObject(shown) || same(shown.properties, verdict.properties);
}

/** The place of the operation that a batch was refused for; null: the answer does not say so. */
function blamed({ body }: Answer): number | null {
  const [first] = Array.isArray(body.errors) ? body.errors : [];
  const path = isObject(first) ? first.path : undefined;
  const [, place] = /^\/operations\/(\d+)(?:\/|$)/.exec(typeof path === 'string' ? path : '') ?? [];
  return place === undefined ? null : Number(place);
}

function conflictsOf({ body }: Answer, id: Json | undefined): Conflict[] {
  const all = Array.isArray(body.conflicts) ? body.conflicts.filter(isObject) : [];
  return all
    .filter((one) => one.id === id)
    .map(({ property, tick }) => ({
      property: typeof property === 'string' ? property : null,
      tick: typeof tick === 'number' ? tick : 0,
    }));
}

const isSameSet = (a: readonly Conflict[], b: readonly Conflict[]): boolean => {
  const texts = [a, b].map((all) => all.map(({ property, tick }) => JSON.stringify([property, tick])).sort());
  return JSON.stringify(texts[0]) === JSON.stringify(texts[1]);
};
