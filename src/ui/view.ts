import type { Op } from '../client/types.js';

/** How instants are shown. */
export type Zone = 'utc' | 'local' | 'relative';

/**
 * What the page shows, all of it in the query of its URL, so that a link opens what its sender saw. What is not there is undefined; names
 * and values in the URL are those of this type.
 */
export type View = {
  /** The type whose entities are shown. */
  type?: string | undefined;
  /** The entity whose timeline is shown: a UUID, or `type:key`. */
  entity?: string | undefined;
  /** The activity that is shown: a UUID. */
  activity?: string | undefined;
  /** The search of activities, instead of types, entities or one activity. */
  show?: 'activities' | undefined;
  /** Words of the reasons of the activities that are searched for. */
  reason?: string | undefined;
  /** Of a type: the property whose values over time are counted. */
  property?: string | undefined;
  /** Of a type: what keys begin with. */
  prefix?: string | undefined;
  /** Of a type: the filter, as the API takes it. */
  where?: string | undefined;
  /** The moment that is looked at: an instant, or of an entity the number of a tick; undefined is now. */
  at?: string | undefined;
  /** What it is compared with: an instant, a tick, `now`, or `before` (the tick before). */
  beside?: string | undefined;
  /** What of time the timeline shows: two instants. */
  from?: string | undefined;
  to?: string | undefined;
  /** Whether only what differs is shown. */
  only?: boolean | undefined;
  /** Which ticks are listed: of an actor, of a property, of a kind, between two instants. */
  actor?: string | undefined;
  changed?: string | undefined;
  op?: Op | undefined;
  since?: string | undefined;
  until?: string | undefined;
  zone?: Zone | undefined;
  theme?: 'light' | 'dark' | undefined;
};
