import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { ANSWER_BYTES } from '../../storage/rows.js';
import { inSlices } from '../../storage/slices.js';
import type { ManyOutcome, TogetherOutcome } from '../../storage/together.js';
import type { Activity } from '../../temporal/entity.js';
import { preferenceAppliedHeader } from '../contract/headers.js';
import { sendJson } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { arrayText, type Member, objectText, scalarText } from '../protocol/json-text.js';
import { entityText } from './entity-text.js';
import { changesOfText, isMinimal } from './outcomes.js';

/* The answer to a call that writes many entities, and what the OpenAPI document says of it. */

const item = z
  .strictObject({
    id: z.uuid(),
    type: schemas.entityType.optional().meta({ description: 'Of an entity that there is' }),
    key: schemas.entityKey.optional(),
    tick: schemas.tick.nullable().meta({ description: 'The tick that it is at now; null: there is no such entity' }),
    op: schemas.op.nullable().meta({ description: 'What its tick records; null: nothing changed, so there is none' }),
    entity: schemas.entity.meta({ id: 'WrittenState', description: 'An entity as a write leaves it' }).optional().meta({
      description:
        'As it now stands, as long as the answer has room. Not with `Prefer: return=minimal`; of several items of one entity with the last',
    }),
    changes: schemas.changes.optional().meta({
      description: 'Of a dry run: what would change, as long as the answer has room',
    }),
  })
  .meta({ id: 'WrittenItem', description: 'What became of an entity' });

/** What is common to the answers of calls that write many entities. */
export const writtenMany = {
  dryRun: z.literal(true).optional().meta({ description: 'Nothing was written' }),
  at: schemas.instant.nullable().meta({ description: 'The instant of all its ticks; null: nothing changed' }),
  activity: schemas.activity
    .nullable()
    .meta({ description: 'The activity of all its ticks, if any; null of a dry run' }),
  items: z.array(item),
};

export const manyHeaders = { 'Preference-Applied': preferenceAppliedHeader };

/** Answers what became of many entities. */
export async function sendMany(
  reply: FastifyReply,
  { at, activity, outcomes }: TogetherOutcome,
  { prefer, dryRun, more = [] }: { prefer: string | undefined; dryRun: boolean; more?: readonly Member[] },
): Promise<FastifyReply> {
  const minimal = isMinimal(prefer);
  if (minimal) reply.header('preference-applied', 'return=minimal');
  const items = await inSlices(itemsOf(outcomes, { minimal, dryRun }));
  return sendJson(
    reply,
    objectText([
      ['dryRun', dryRun ? 'true' : undefined],
      ['at', scalarText(at)],
      ['activity', activity ? activityText(activity) : 'null'],
      ['items', arrayText(items)],
      ...more,
    ]),
  );
}

/** The items, one by one: they may be ten thousand. The last of an entity shows it, as long as the answer has room. */
function* itemsOf(
  outcomes: readonly ManyOutcome[],
  { minimal, dryRun }: { minimal: boolean; dryRun: boolean },
): Generator<void, string[]> {
  const last = new Map(outcomes.map(({ id }, place) => [id, place]));
  let bytes = 0;
  const items: string[] = [];
  for (const [place, { id, row, change, before }] of outcomes.entries()) {
    const isLast = last.get(id) === place;
    bytes += isLast && !minimal && row ? row.properties.length : 0;
    const entity = row && isLast && !minimal && bytes <= ANSWER_BYTES ? entityText(row) : undefined;
    const changes = dryRun && isLast && bytes <= ANSWER_BYTES ? changesOfText(change, before) : undefined;
    bytes += changes?.length ?? 0;
    items.push(
      objectText([
        ['id', scalarText(id)],
        ['type', row && scalarText(row.type)],
        ['key', row?.key === undefined || row.key === null ? undefined : scalarText(row.key)],
        ['tick', scalarText(row?.tick ?? null)],
        ['op', scalarText(change?.op ?? null)],
        ['entity', entity],
        ['changes', changes],
      ]),
    );
    yield;
  }
  return items;
}

const activityText = ({ id, details }: Activity): string => JSON.stringify({ id, ...details });
