import type { Point } from '../temporal/point.js';
import { engine, type Storage } from './storage.js';

/**
 * When something is to be read: now (null), as of an instant, or as an HTTP date says (RFC 7089). A date has whole seconds, so
 * it comes as the last instant of its second; one that is yet to come selects the newest state.
 */
export type InstantMoment = { instant: string } | { date: string } | null;

/** The same of one entity, which also has ticks. */
export type Moment = Point | { date: string } | null;

/** The instant of a moment; null: now. @throws Refusal `database_unavailable` */
export async function instantOfMoment(storage: Storage, moment: InstantMoment): Promise<string | null> {
  if (moment === null) return null;
  if ('instant' in moment) return moment.instant;
  return (await storage[engine].stableInstant.hasCome(moment.date)) ? moment.date : null;
}
