import { z } from 'zod';
import { isUuid } from '../../temporal/identity.js';
import { MAX_ACTOR_LENGTH } from '../../temporal/limits.js';
import { EXAMPLE_ACTIVITY } from './examples.js';
import { optionalInstant, optionalList, pageParameters } from './parameters.js';
import * as schemas from './schemas.js';

/* What the calls on activities take and answer, beside the schemas that others share. */

/** How long the words may be that are looked for: of each, PostgreSQL takes 2,046 bytes. */
const MAX_WORDS_LENGTH = 512;

const storable = (most: number, description: string) =>
  z
    .string()
    .min(1)
    .max(most)
    .refine((text) => !text.includes('\0') && text.isWellFormed(), {
      error: 'cannot hold U+0000 or half a surrogate pair',
    })
    .optional()
    .meta({ description });

/** What is asked of activities; all of it has to hold. */
export const activitiesQuery = z
  .strictObject({
    actor: storable(MAX_ACTOR_LENGTH, 'Those of this actor'),
    actorPrefix: storable(MAX_ACTOR_LENGTH, 'Those of the actors whose names begin so, such as `rachel-team/`'),
    reason: storable(
      MAX_WORDS_LENGTH,
      'Those whose reasons have all these words, whole, in any order, in capitals or not. Punctuation only separates words',
    ),
    from: optionalInstant('RecordedFrom', 'Those recorded at this RFC 3339 instant or later'),
    to: optionalInstant('RecordedTo', 'Those recorded before this RFC 3339 instant'),
    type: schemas.entityType.optional().meta({ description: 'Those that made a tick of an entity of this type' }),
    entity: z
      .string()
      .optional()
      .meta({ description: 'Those that made a tick of this entity: its UUID, or type:key, such as `friend:rachel`' }),
    property: optionalList(
      'ChangedProperties',
      'Those whose tick of that entity, or of one of that type, set, changed or removed one of these properties; needs `entity` or `type`',
      'property=location',
    ),
    importId: z
      .string()
      .refine(isUuid, { error: 'must be a UUID' })
      .optional()
      .meta({ description: `Those that this import recorded, such as \`${EXAMPLE_ACTIVITY}\`` }),
    ...pageParameters,
  })
  .superRefine((query, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (query.actor !== undefined && query.actorPrefix !== undefined) refuse('actorPrefix', 'does not go with actor');
    if (query.property !== undefined && query.entity === undefined && query.type === undefined)
      refuse('property', 'needs entity or type: properties are those of a type');
  });

/** A page of the ticks of an activity. */
export const activityQuery = z.strictObject({
  include: z.enum(['changes']).optional().meta({ description: 'Also what each tick changed' }),
  ...pageParameters,
});

const foundActivity = schemas.recordedActivity
  .extend({
    importId: schemas.importId,
    tickCount: z
      .int()
      .min(0)
      .max(1_000)
      .meta({ description: 'How many ticks it has made; of more than 1,000 it says 1,000', example: 2 }),
    moreTicks: z.literal(true).optional().meta({ description: 'It has made more' }),
  })
  .meta({ id: 'FoundActivity', description: 'Who made changes, and why, and how many' });

export const activitiesPage = z
  .strictObject({
    items: z.array(foundActivity).meta({ description: 'Newest first, by when they were recorded' }),
    next: schemas.next,
  })
  .meta({ id: 'ActivitiesPage', description: 'A page of the activities that were searched for' });
