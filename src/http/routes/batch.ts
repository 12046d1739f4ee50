import { z } from 'zod';
import { writeBatch } from '../../storage/batch.js';
import type { Storage } from '../../storage/storage.js';
import { refusedAt } from '../../temporal/batch.js';
import { Refusal } from '../../temporal/refusal.js';
import { manyHeaders, sendMany, writtenMany } from '../answers/many.js';
import {
  activityOf,
  manyWriteHeaders,
  refuseConditions,
  returnParameters,
  type WriteRules,
} from '../answers/writing.js';
import type { App } from '../app-type.js';
import { batch, MAX_OPERATIONS, operationOf } from '../contract/batch.js';
import {
  AS_OF_PROBLEMS,
  BODY_PROBLEMS,
  DEFINED_PROBLEMS,
  RETURNED_PROBLEMS,
  responsesOf,
  WRITE_PROBLEMS,
} from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { callerSignal } from '../protocol/caller.js';

const BATCH = {
  operationId: 'writeBatch',
  tags: ['entities'],
  summary: `Change many entities at once, by up to ${MAX_OPERATIONS} operations: all of it or nothing`,
  description:
    'One activity, one instant: whoever reads as of any instant sees the whole batch or nothing of it. Operations on one entity are done one after the other and make one tick; what they set and set back makes none. An error says in `errors` which operation it is about, as `/operations/17/properties/age`.',
  querystring: returnParameters,
  headers: manyWriteHeaders,
  body: schemas.jsonBody(batch),
  response: responsesOf(
    {
      200: {
        description: 'What became of each operation, in their order; of a dry run, what would',
        content: {
          'application/json': z
            .strictObject(writtenMany)
            .meta({ id: 'WrittenBatch', description: 'What a batch has written' }),
        },
        headers: manyHeaders,
      },
    },
    BODY_PROBLEMS,
    WRITE_PROBLEMS,
    DEFINED_PROBLEMS,
    RETURNED_PROBLEMS,
    AS_OF_PROBLEMS,
    [
      'batch_too_large',
      'invalid_condition',
      'invalid_id',
      'invalid_property_name',
      'activity_given_twice',
      'precondition_failed',
      'precondition_required',
      'entity_exists',
      'entity_not_found',
      'entity_deleted',
      'type_mismatch',
      'patch_test_failed',
      'patch_not_applicable',
      'patch_too_much_work',
      'deleted_then',
      'tick_not_found',
      'value_not_kept',
    ],
  ),
};

/** The call that writes many entities at once. */
export function batchRoute(app: App, storage: Storage, { requireCondition }: WriteRules): void {
  app.post('/batch', { schema: BATCH }, async ({ body, query, headers, raw }, reply) => {
    refuseConditions(headers, 'say ifMatch in the operations');
    const operations = body.operations.map((given, place) => {
      try {
        // A creation says that nothing is there.
        if (requireCondition && given.op !== 'create' && given.ifMatch === undefined) throw unconditional();
        return operationOf(given);
      } catch (error) {
        throw refusedAt(place, error);
      }
    });
    const activity = activityOf(headers, body.activity);
    const { dryRun, evenIfInvalid } = query;
    const batched = { operations, activity, evenIfInvalid, dryRun, signal: callerSignal(raw) };
    return sendMany(reply, await writeBatch(storage, batched), { prefer: headers.prefer, dryRun });
  });
}

const unconditional = (): Refusal =>
  Refusal.at('precondition_required', '/ifMatch', 'is missing: say which tick you have seen');
