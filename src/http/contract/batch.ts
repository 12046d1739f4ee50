import { z } from 'zod';
import type { Operation } from '../../temporal/batch.js';
import {
  create,
  creation,
  type Intent,
  jsonPatchOf,
  mergePatchOf,
  patch,
  put,
  remove,
  replacement,
  restore,
  reversion,
  revert,
} from '../../temporal/change.js';
import { UNCONDITIONAL } from '../../temporal/conditions.js';
import { parseAddress } from '../../temporal/identity.js';
import { isObject, type Json } from '../../temporal/json.js';
import { LAST_TICK, parsePoint } from '../../temporal/point.js';
import { Refusal } from '../../temporal/refusal.js';
import { entityKey, entityType, givenActivity, jsonPatch, properties } from './schemas.js';
import { mergePatch, reverted } from './writes.js';

/* The operations of a batch: what each takes, and the command that it is. */

/** How many operations a batch may have. */
export const MAX_OPERATIONS = 1_000;

const id = z.string().meta({ description: 'Its UUID or type:key', example: 'friend:rachel' });
const ifMatch = z
  .int({ error: 'must be a tick: a number, as `tick` of an answer has it' })
  .min(1)
  .max(LAST_TICK)
  .optional()
  .meta({ description: 'Only if it is at this tick before the batch', example: 2 });

const isWithoutOp = (given: unknown): boolean => isObject(given) && !Object.hasOwn(given, 'op');

const operation = z
  .discriminatedUnion(
    'op',
    [
      z
        .strictObject({ op: z.literal('create'), type: entityType, key: entityKey.optional(), properties, ifMatch })
        .meta({ id: 'CreateOperation', description: 'A new entity' }),
      z
        .strictObject({ op: z.literal('put'), id, type: entityType, properties, ifMatch })
        .meta({ id: 'PutOperation', description: 'The whole new state of an entity' }),
      z
        .strictObject({
          op: z.literal('patch'),
          id,
          properties: mergePatch.optional(),
          patch: jsonPatch.optional(),
          ifMatch,
        })
        .refine((given) => (given.properties === undefined) !== (given.patch === undefined), {
          error: 'must say either properties or patch',
        })
        .meta({
          id: 'PatchOperation',
          description:
            'The properties to change: a merge patch in `properties`, or a JSON Patch in `patch`, one of both',
        }),
      z
        .strictObject({ op: z.literal('delete'), id, ifMatch })
        .meta({ id: 'DeleteOperation', description: 'A deletion' }),
      z
        .strictObject({ op: z.literal('restore'), id, ifMatch })
        .meta({ id: 'RestoreOperation', description: 'Undoes a deletion' }),
      z
        .strictObject({ op: z.literal('revert'), id, ...reverted, ifMatch })
        .meta({ id: 'RevertOperation', description: 'What to bring back' }),
    ],
    {
      error: ({ input }) =>
        isWithoutOp(input) ? 'is missing' : 'must be create, put, patch, delete, restore or revert',
    },
  )
  .meta({ id: 'BatchOperation', description: 'What to do with one entity' });

/** One more than a batch may have, so that it is refused; what is beyond that need not be looked at. */
const notTooMany = (given: unknown): unknown => (Array.isArray(given) ? given.slice(0, MAX_OPERATIONS + 1) : given);

export const batch = z
  .strictObject({
    activity: givenActivity.optional(),
    operations: z.preprocess(notTooMany, z.array(operation).min(1).max(MAX_OPERATIONS)).meta({
      description: 'In this order; those on one entity make one tick. Each is on what the ones before it left',
    }),
  })
  .meta({ id: 'Batch', description: 'What to do with many entities, all of it or nothing' });

type Given = z.output<typeof operation>;

/**
 * An operation as it is done. Nothing is conditional within a batch: what an operation demands of its entity is compared with that before
 * the batch.
 * @throws Refusal what is wrong with it, with a path within the operation
 */
export function operationOf(given: Given): Operation {
  const { ifMatch: expected = null } = given;
  if (given.op === 'create') {
    const wanted = creation(given, null);
    const { id, type } = wanted;
    return {
      ...PLAIN,
      id,
      label: given.key === undefined ? type : `${type}:${given.key}`,
      type,
      ifMatch: expected,
      size: sizeOf(given.properties),
      decide: (current) => create(current, wanted),
    };
  }
  const address = parseAddress(given.id, '/id');
  const intent = { label: address.label, conditions: UNCONDITIONAL, activity: null };
  const of = { ...PLAIN, id: address.id, label: address.label, type: address.named?.type ?? null, ifMatch: expected };
  switch (given.op) {
    case 'put': {
      const wanted = replacement(intent, address, given);
      return { ...of, type: given.type, size: sizeOf(given.properties), decide: (current) => put(current, wanted) };
    }
    case 'patch':
      return { ...of, size: sizeOf(given.properties ?? given.patch), decide: patching(intent, given) };
    case 'delete':
      return { ...of, decide: (current) => remove(current, intent) };
    case 'restore':
      return { ...of, needs: 'deleted', isReturn: true, decide: (current, past) => restore(current, past, intent) };
    case 'revert': {
      const to = parsePoint(String(given.to), '/to');
      const wanted = reversion(intent, to, given.properties);
      return { ...of, needs: to, isReturn: true, decide: (current, past) => revert(current, past, wanted) };
    }
  }
}

const PLAIN = { needs: null, isReturn: false, size: () => 0 } as const;

const sizeOf =
  (data: Json = {}) =>
  () =>
    JSON.stringify(data).length;

function patching(intent: Intent, given: Extract<Given, { op: 'patch' }>): Operation['decide'] {
  const { properties: merged, patch: operations } = given;
  if (operations === undefined) {
    const wanted = mergePatchOf(intent, merged ?? {});
    return (current) => patch(current, wanted);
  }
  const wanted = withinPatch(() => jsonPatchOf(intent, operations));
  return (current, _past, work) => withinPatch(() => patch(current, wanted, work));
}

/** What is wrong with a JSON Patch has a path within that. */
function withinPatch<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Refusal) || !error.notes.errors) throw error;
    const errors = error.notes.errors.map((fault) => ({ ...fault, path: `/patch${fault.path}` }));
    throw new Refusal(error.code, error.message, { ...error.notes, errors });
  }
}
