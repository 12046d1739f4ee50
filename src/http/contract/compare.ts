import { z } from 'zod';
import { Refusal } from '../../temporal/refusal.js';
import { itemsOf } from './lists.js';
import { described } from './parameters.js';
import { diffEnd, entityKey, entityType, madePatch, pinned } from './schemas.js';

/* What the calls that compare several moments take and answer. */

/** How many moments are compared at once. */
const MAX_MOMENTS = 10;

const moments = (name: string, description: string, example: string) =>
  z.union([z.string(), z.array(z.string())], { error: 'is missing: which moments?' }).meta(
    described(name, `${description}; up to ${MAX_MOMENTS}, such as \`${example}\``, {
      type: 'array',
      items: { type: 'string' },
      minItems: 1,
      maxItems: MAX_MOMENTS,
    }),
  );

/** The moments of one entity. `momentsOf` reads them. */
export const momentsParameter = moments(
  'Moments',
  'When, in the order in which the answer has them: ticks, RFC 3339 instants, and `now`',
  'at=1,2016-01-08T00:00:00Z,now',
);

/** The moments of many entities, which have no tick in common. `momentsOf` reads them. */
export const instantsParameter = moments(
  'MomentsOfMany',
  'When, in the order in which the answer has them: RFC 3339 instants, and `now`. The entities are those of the last one',
  'at=2016-01-08T00:00:00Z,now',
);

/**
 * The moments that are to be compared; null: now.
 * @param parse reads each that is not `now`
 * @throws Refusal `invalid_parameter`, and as `parse`
 */
export function momentsOf<Moment>(
  parameter: string | string[],
  parse: (text: string, parameter: string) => Moment,
): (Moment | null)[] {
  // No moment has a comma, so an encoded one separates, too.
  const items = itemsOf(parameter).flatMap((item) => item.split(','));
  if (items.length > MAX_MOMENTS)
    throw Refusal.at('invalid_parameter', 'at', `names ${items.length}, more than ${MAX_MOMENTS}`);
  return items.map((item) => (item === 'now' ? null : momentOf(item, parse)));
}

/** @throws Refusal as `parse`, of which of the moments */
function momentOf<Moment>(item: string, parse: (text: string, parameter: string) => Moment): Moment {
  try {
    return parse(item, 'at');
  } catch (error) {
    const [fault] = error instanceof Refusal ? (error.notes.errors ?? []) : [];
    if (!(error instanceof Refusal) || !fault) throw error;
    const or = fault.message.startsWith('is not') ? ', or now' : '';
    throw Refusal.at(error.code, 'at', `names ${JSON.stringify(item.slice(0, 64))}, which ${fault.message}${or}`);
  }
}

export const only = z
  .enum(['differing'], { error: 'must be differing' })
  .optional()
  .meta(
    described('Only', 'Only the properties that do not have the same value at all moments', {
      type: 'string',
      enum: ['differing'],
    }),
  );

export const deletedThen = z.enum(['exclude', 'include', 'only']).optional().meta({
  description:
    'Whether those that were deleted at the last moment are there, too, or only those. Without it: `exclude`; with `everHad`: `include`',
});

const moment = diffEnd
  .extend({
    tick: diffEnd.shape.tick.nullable(),
    at: diffEnd.shape.at.nullable(),
    untracked: z
      .array(z.string())
      .optional()
      .meta({ description: 'The properties whose values were not kept then, and which are left out' }),
  })
  .meta({
    id: 'Moment',
    description: 'A state: its tick, and the instant of that; both null where the entity had not been created by then',
  });

const comparedFields = {
  moments: z.array(moment).meta({ description: 'The states, in the order in which they were asked for' }),
  properties: z
    .record(
      z.string(),
      z.array(
        z
          .strictObject({ value: z.unknown().optional() })
          .meta({ id: 'ValueThen', description: 'The value of a property at a moment; without one, it was not set' }),
      ),
    )
    .meta({
      description: 'By property its values, side by side in the order of the moments',
      example: { location: [{ value: 'New York' }, {}] },
    }),
  truncated: z.array(z.string()).optional().meta({
    description:
      'The properties whose values the answer has no room for, the largest: ask for them by `fields`, or at fewer moments',
  }),
  patches: z.array(madePatch).optional().meta({
    description: 'With `depth=full`: from each state to the next, of the properties that are shown',
  }),
};

export const comparison = z
  .strictObject(comparedFields)
  .meta({ id: 'Comparison', description: 'Several states of an entity, side by side' });

export const comparedPage = pinned(
  z
    .array(
      z
        .strictObject({ id: z.uuid(), type: entityType, key: entityKey.optional(), ...comparedFields })
        .meta({ id: 'ComparedEntity', description: 'Several states of one of many entities, side by side' }),
    )
    .meta({ description: 'In the order of their keys (those without first), then of their ids' }),
).meta({ id: 'ComparedPage', description: 'A page of the entities of a type, each at several moments' });
