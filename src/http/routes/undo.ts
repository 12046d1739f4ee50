import { z } from 'zod';
import type { Storage } from '../../storage/storage.js';
import { conflictMembers, undoActivity } from '../../storage/undo.js';
import { newActivity } from '../../temporal/change.js';
import { Refusal } from '../../temporal/refusal.js';
import { ON_CONFLICT } from '../../temporal/undo.js';
import { manyHeaders, sendMany, writtenMany } from '../answers/many.js';
import {
  activityId,
  activityOf,
  manyWriteHeaders,
  refuseConditions,
  returnParameters,
  type WriteRules,
} from '../answers/writing.js';
import type { App } from '../app-type.js';
import { EXAMPLE_ACTIVITY } from '../contract/examples.js';
import { BODY_PROBLEMS, RETURNED_PROBLEMS, responsesOf, WRITE_PROBLEMS } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { callerSignal } from '../protocol/caller.js';

const toUndo = z
  .strictObject({
    activity: schemas.givenActivity.optional().meta({
      description:
        'Who undoes it, and why; without, an activity is recorded that says only which one it undoes. Its metadata has that as `undoes`',
    }),
    onConflict: z.enum(ON_CONFLICT).optional().meta({
      description:
        'Where a later tick changed the same property: undo nothing (unless told otherwise), undo the rest, or undo it all the same',
    }),
  })
  .meta({ id: 'Undo', description: 'Who undoes an activity, and how' });

const conflict = z
  .strictObject({
    id: z.uuid(),
    type: schemas.entityType,
    key: schemas.entityKey.optional(),
    property: z.string().optional().meta({ description: 'Absent: it is about whether the entity is there' }),
    tick: schemas.tick.meta({ description: 'The newest tick that changed it' }),
    at: schemas.instant,
    op: schemas.op,
    forced: z.literal(true).optional().meta({ description: 'With `force`: it was undone with the rest' }),
    activity: schemas.activity.nullable().meta({ description: 'Who made that tick, and why, without metadata' }),
  })
  .meta({ id: 'UndoConflict', description: 'A later tick that stands in the way of an undo' });

const UNDO = {
  operationId: 'revertActivity',
  tags: ['activities'],
  summary: 'Undo everything an activity did',
  description:
    'A new activity, at one instant, all of it or nothing: properties get the values that they had before, what it created is deleted, what it deleted is restored. Later changes of other properties stay. Where a later tick changed the same property, `onConflict` says what becomes of that; the refusal lists these ticks. `dryRun=true` shows what would change.',
  params: z.strictObject({
    id: z.string().meta({ description: "The activity's UUID", example: EXAMPLE_ACTIVITY }),
  }),
  querystring: returnParameters,
  headers: manyWriteHeaders,
  body: schemas.optionalBody(toUndo),
  response: responsesOf(
    {
      200: {
        description:
          'What became of each entity that the activity ticked, in the order of their ids; of a dry run, what would',
        content: {
          'application/json': z
            .strictObject({
              ...writtenMany,
              conflicts: z.array(conflict).meta({ description: 'Later ticks that stood in the way, the first 1,000' }),
              conflictCount: z.int().min(0).meta({ description: 'How many there were' }),
            })
            .meta({ id: 'WrittenUndo', description: 'What an undo has written' }),
        },
        headers: manyHeaders,
      },
    },
    BODY_PROBLEMS,
    WRITE_PROBLEMS,
    RETURNED_PROBLEMS,
    [
      'activity_not_found',
      'activity_given_twice',
      'invalid_condition',
      'precondition_required',
      'undo_conflict',
      'batch_too_large',
      'reserved_type',
    ],
  ),
};

/** The call that undoes an activity. */
export function undoRoute(app: App, storage: Storage, { requireCondition }: WriteRules): void {
  app.post('/activities/:id/revert', { schema: UNDO }, async ({ params, body, query, headers, raw }, reply) => {
    const id = activityId(params.id, 'id');
    const { activity: given, onConflict = 'refuse' } = body ?? {};
    // Otherwise nothing is overwritten but what the activity itself wrote.
    if (requireCondition && onConflict === 'force') throw unseen();
    refuseConditions(headers, 'what came later stands in its way by itself');
    const activity = activityOf(headers, given) ?? newActivity({ reason: `Undo of activity ${id}` });
    const { details } = activity;
    const said = details && { ...details, metadata: { undoes: id, ...details.metadata } };
    const { dryRun, evenIfInvalid } = query;
    const undoing = {
      id,
      activity: { id: activity.id, details: said },
      onConflict,
      evenIfInvalid,
      dryRun,
      signal: callerSignal(raw),
    };
    const undone = await undoActivity(storage, undoing);
    return sendMany(reply, undone, {
      prefer: headers.prefer,
      dryRun,
      more: [
        ['conflicts', JSON.stringify(undone.conflicts.map(conflictMembers))],
        ['conflictCount', String(undone.count)],
      ],
    });
  });
}

const unseen = (): Refusal =>
  Refusal.at(
    'precondition_required',
    '/onConflict',
    'is force, which overwrites later changes that nobody has seen: say refuse or skip',
  );
