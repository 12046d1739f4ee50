import type { IncomingMessage } from 'node:http';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Outcome, Write } from '../../storage/deciding.js';
import type { Storage } from '../../storage/storage.js';
import { writeEntity } from '../../storage/write.js';
import { type Intent, newActivity } from '../../temporal/change.js';
import type { Conditions } from '../../temporal/conditions.js';
import type { Activity, ActivityDetails } from '../../temporal/entity.js';
import { isUuid } from '../../temporal/identity.js';
import { Refusal } from '../../temporal/refusal.js';
import { EXAMPLE_ACTIVITY } from '../contract/examples.js';
import { flagOf, optional } from '../contract/parameters.js';
import { callerSignal } from '../protocol/caller.js';
import { ifMatchOf, ifNoneMatchOf } from '../protocol/conditions.js';
import { type SendOutcome, sendOutcome, sendPreview } from './outcomes.js';

/* What the calls that write have in common: their parameters and headers, what these say of a write, and the one way to do it. */

export const writeParameters = z.strictObject({
  dryRun: flagOf('DryRun', 'Answers what would be written, and writes nothing'),
});

/** Of calls that bring a state back, which the definition of the type may refuse today. */
export const returnParameters = writeParameters.extend({
  evenIfInvalid: flagOf(
    'EvenIfInvalid',
    'Writes the state even if the definition of the type refuses it; of a definition: whatever it makes invalid',
  ),
});

export const deletionHeaders = z.looseObject({
  'if-match': optional('Writes only at one of these ticks, or `*`: only if it is there', '"2"', 'WriteIfMatch'),
  'if-none-match': optional(
    'Writes only at none of these ticks, or `*`: only if it is not there',
    '*',
    'WriteIfNoneMatch',
  ),
  'activity-id': optional('The activity of the write, recorded before', EXAMPLE_ACTIVITY, 'ActivityId'),
});
export const writeHeaders = deletionHeaders.extend({
  prefer: optional('`return=minimal` leaves the body of the answer out (RFC 7240)', 'return=minimal', 'Prefer'),
});

/** Of calls that write many entities, whose conditions stand in the body. */
export const manyWriteHeaders = z.looseObject({
  'activity-id': deletionHeaders.shape['activity-id'],
  prefer: optional(
    '`return=minimal` leaves the entities out of the items (RFC 7240)',
    'return=minimal',
    'PreferWithoutEntities',
  ),
});

/**
 * Refuses conditions in the headers of a call that writes many entities: they name the tick of one.
 * @param instead where the conditions of such a call stand
 * @throws Refusal `invalid_condition`
 */
export function refuseConditions(headers: Record<string, unknown>, instead: string): void {
  for (const name of ['If-Match', 'If-None-Match'])
    if (headers[name.toLowerCase()] !== undefined)
      throw Refusal.at(
        'invalid_condition',
        name,
        `names the tick of one entity, and this call writes many: ${instead}`,
      );
}

/** What the service demands of every write. */
export type WriteRules = {
  /**
   * Whether a write must name the tick that the caller has seen, or say by `If-None-Match: *` that the caller has seen none;
   * otherwise it gets 428. So nobody overwrites what they have not seen. A POST creates or refuses, so it needs no condition.
   */
  requireCondition: boolean;
};

type WriteHeaders = {
  'if-match'?: string | undefined;
  'if-none-match'?: string | undefined;
  'activity-id'?: string | undefined;
  prefer?: string | undefined;
};

/** What the headers and the body of a write say beside the change. @throws Refusal `precondition_required`, and as below */
export function intentOf(rules: WriteRules, label: string, headers: WriteHeaders, details?: ActivityDetails): Intent {
  const conditions = conditionsOf(headers);
  const { ifMatch, ifNoneMatch } = conditions;
  if (rules.requireCondition && !(ifMatch && 'ticks' in ifMatch) && !(ifNoneMatch && 'any' in ifNoneMatch)) {
    throw new Refusal(
      'precondition_required',
      'Say by If-Match which tick you have seen, or by If-None-Match: * that none.',
    );
  }
  return { label, conditions, activity: activityOf(headers, details) };
}

type WriteRequest = {
  headers: WriteHeaders;
  query: { dryRun: boolean; evenIfInvalid?: boolean };
  raw: IncomingMessage;
};

/** Writes, and answers with what became of the write. This is the one call of storage/ that handlers which write make. */
export async function perform(
  storage: Storage,
  { headers, query, raw }: WriteRequest,
  reply: FastifyReply,
  write: Omit<Write, 'dryRun' | 'evenIfInvalid' | 'signal'>,
  send: SendOutcome = sendOutcome,
  sendDry: (reply: FastifyReply, outcome: Outcome) => FastifyReply = sendPreview,
): Promise<FastifyReply> {
  const { dryRun, evenIfInvalid = false } = query;
  const outcome = await writeEntity(storage, { ...write, dryRun, evenIfInvalid, signal: callerSignal(raw) });
  return dryRun ? sendDry(reply, outcome) : send(reply, outcome, headers.prefer);
}

/** The conditions in the headers of a write. @throws Refusal `invalid_condition` */
export const conditionsOf = (headers: WriteHeaders): Conditions => ({
  ifMatch: ifMatchOf(headers['if-match']),
  ifNoneMatch: ifNoneMatchOf(headers['if-none-match']),
});

/**
 * The activity of a write: the one that Activity-Id names, or a new one from the body, or none.
 * @throws Refusal `invalid_activity_id`, `activity_given_twice`
 */
export function activityOf(headers: WriteHeaders, details: ActivityDetails | undefined): Activity | null {
  const named = headers['activity-id'];
  if (named === undefined) return details ? newActivity(details) : null;
  const id = activityId(named, 'Activity-Id');
  if (!details) return { id, details: null };
  const message = 'stands beside Activity-Id: give one of them';
  throw Refusal.at('activity_given_twice', '/activity', message, `activity ${message}.`);
}

/**
 * Reads the id of an activity.
 * @param path the parameter or header that holds it
 * @throws Refusal `invalid_activity_id`
 */
export function activityId(text: string, path: string): string {
  if (isUuid(text)) return text.toLowerCase();
  throw Refusal.at('invalid_activity_id', path, 'is no UUID', 'An activity is named by its UUID.');
}
