import fc from 'fast-check';
import t from 'tap';
import { foldBatch, type Operation } from '../../src/temporal/batch.js';
import {
  type Creation,
  create,
  mergePatchOf,
  patch,
  put,
  remove,
  replacement,
  restore,
} from '../../src/temporal/change.js';
import { UNCONDITIONAL } from '../../src/temporal/conditions.js';
import type { Change, Entity } from '../../src/temporal/entity.js';
import { after } from '../../src/temporal/folding.js';
import type { JsonObject } from '../../src/temporal/json.js';
import { replaced } from '../../src/temporal/patch.js';
import { Refusal } from '../../src/temporal/refusal.js';

const ID = '01a1fbba-b75f-7646-92a3-d4a3c62ecb9b';
const INTENT = { label: 'thing', conditions: UNCONDITIONAL, activity: null };
const AT = '2026-01-01T00:00:00.000000Z';
const entity = (properties: JsonObject, deleted = false): Entity => ({
  id: ID,
  type: 'thing',
  key: null,
  tick: 3,
  deleted,
  createdAt: AT,
  updatedAt: AT,
  properties: deleted ? {} : properties,
  untracked: [],
});

type Step = { kind: 'create' | 'put' | 'patch'; properties: JsonObject } | { kind: 'delete' | 'restore' };

const operation = (step: Step): Operation => {
  const plain = { id: ID, label: 'thing', type: 'thing', ifMatch: null, needs: null, isReturn: false, size: () => 0 };
  switch (step.kind) {
    case 'create': {
      const wanted: Creation = { id: ID, type: 'thing', key: null, properties: step.properties, activity: null };
      return { ...plain, decide: (current) => create(current, wanted) };
    }
    case 'put': {
      const wanted = replacement(INTENT, { id: ID, label: 'thing', named: null }, { ...step, type: 'thing' });
      return { ...plain, decide: (current) => put(current, wanted) };
    }
    case 'patch': {
      const wanted = mergePatchOf(INTENT, step.properties);
      return { ...plain, decide: (current) => patch(current, wanted) };
    }
    case 'delete':
      return { ...plain, decide: (current) => remove(current, INTENT) };
    case 'restore':
      return { ...plain, needs: 'deleted', decide: (current, past) => restore(current, past, INTENT) };
  }
};

/** Folds steps on one entity. */
function fold(before: Entity | undefined, steps: readonly Step[], lost: JsonObject): Change | null {
  const facts = {
    current: new Map(before ? [[ID, before]] : []),
    sizes: new Map(before ? [[ID, JSON.stringify(before.properties).length]] : []),
    past: new Map(steps.map((_, place) => [place, entity(lost)] as const)),
    complete: (change: Change) => change,
    admit: (change: Change) => change,
  };
  const folding = foldBatch(steps.map(operation), facts);
  for (;;) {
    const { done, value } = folding.next();
    if (done) return value[0]?.change ?? null;
  }
}

t.test('the one change of a batch leads where its operations lead one after the other', async (t) => {
  const value = fc.dictionary(fc.constantFrom('a', 'b', '__proto__', 'constructor'), fc.constantFrom(null, 1, 2, [1]));
  const object = value.map((entries): JsonObject => Object.fromEntries(Object.entries(entries)));
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ kind: fc.constantFrom('create', 'put', 'patch'), properties: object }),
    fc.record({ kind: fc.constantFrom('delete', 'restore') }),
  );
  const seen = { changed: 0, nothing: 0, refused: 0 };
  fc.assert(
    fc.property(
      fc.option(fc.tuple(object, fc.boolean()), { nil: undefined }),
      fc.array(step, { minLength: 1, maxLength: 6 }),
      object,
      (given, steps, lost) => {
        const before = given && entity(given[0], given[1]);
        let now = before;
        let last: Entity | undefined;
        let refusal: Refusal | undefined;
        try {
          for (const one of steps) {
            const past = now?.deleted ? (last ?? entity(lost)) : undefined;
            const change = operation(one).decide(now, past, { copied: 0, shifted: 0 });
            if (change?.op === 'deleted') last = now;
            if (change) now = after(now, change);
          }
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          refusal = error;
        }
        let change: Change | null;
        try {
          change = fold(before, steps, lost);
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          if (refusal?.code !== error.code) throw new Error(`${error.code}, and not ${refusal?.code}`);
          seen.refused++;
          return;
        }
        if (refusal) throw new Error(`nobody refused ${refusal.code}`);
        seen[change ? 'changed' : 'nothing']++;
        const reached = change ? replaced(before?.properties ?? {}, change) : (before?.properties ?? {});
        const isDeleted = change ? change.op === 'deleted' : (before?.deleted ?? true);
        t.same([isDeleted, reached], [now?.deleted ?? true, now?.properties ?? {}]);
        if (change && change.expected !== (before?.tick ?? 0)) throw new Error('it is not on the state before');
      },
    ),
    { numRuns: 2_000 },
  );
  t.ok(seen.changed > 100 && seen.nothing > 50 && seen.refused > 100, JSON.stringify(seen));
});
