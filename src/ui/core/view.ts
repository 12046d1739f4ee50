import type { Op } from '../../client/types.js';
import { isKey } from '../../temporal/identity.js';
import { MAX_ACTOR_LENGTH, OPS } from '../../temporal/limits.js';
import { isBefore, LAST_TICK, type Point, parsePoint, pointText } from '../../temporal/point.js';
import { faultOfName } from '../../temporal/property-name.js';
import { Refusal } from '../../temporal/refusal.js';

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
  /** Of a type: what keys begin with; of a search of activities: what names of actors begin with; of the types: what theirs begin with. */
  prefix?: string | undefined;
  /** Of a type: whether deleted entities are shown as well, or only those. */
  deleted?: 'include' | 'only' | undefined;
  /** Of a type: the filter, as the API takes it. */
  where?: string | undefined;
  /** The moment that is looked at: an instant, or of an entity the number of a tick; undefined is now. */
  at?: string | undefined;
  /** What it is compared with: an instant, a tick, `now`, or `before` (the tick before, of a type the change before). */
  beside?: string | undefined;
  /** What of time the timeline shows: two instants. */
  from?: string | undefined;
  to?: string | undefined;
  /** What the names of the properties have in them that have a lane. */
  lanes?: string | undefined;
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

/**
 * What a URL says, of which what is not valid is left out: names that no view has, values that the API would refuse, and what contradicts
 * the rest, such as a tick of no entity. It never throws. What names the page and `where` are kept whatever they are: whoever sees another page,
 * or more than was asked for, would not know, while the API says what is wrong with a name or a filter.
 * @param search the query of a URL, with its `?` or without
 */
export function readView(search: string): View {
  const said = new URLSearchParams(search);
  return validView((name) => said.get(name));
}

/**
 * The query of the URL that shows a view, with its `?`; '' is that of the view of nothing. What `readView` would leave out is left out
 * here: `readView(queryOf(view))` is the valid part of a view, and the same view has the same query.
 */
export function queryOf(view: View): string {
  const valid = validView((name) => (view[name] === undefined ? null : String(view[name])));
  const members = Object.entries(valid).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${written(String(value))}`],
  );
  return members.length > 0 ? `?${members.join('&')}` : '';
}

/** A value as part of a query (RFC 3986, section 3.4), in which `type:key` and instants stay readable. */
const written = (value: string): string =>
  encodeURIComponent(value).replaceAll('%3A', ':').replaceAll('%2F', '/').replaceAll('%2C', ',');

/** The valid part of what was said by these names. Its members come in the order in which a URL has them. */
function validView(said: (name: keyof View) => string | null): View {
  const valid = <Value>(name: keyof View, check: (text: string) => Value | undefined) => {
    const text = said(name);
    return text === null || text === '' || !text.isWellFormed() ? undefined : check(text);
  };
  /** Two instants, of which the first has to lie before the second. */
  const stretch = (from: keyof View, to: keyof View) => {
    const [first, last] = [valid(from, instantIn), valid(to, instantIn)];
    return first !== undefined && last !== undefined && !isBefore(first, last) ? [] : [first, last];
  };
  const entity = valid('entity', anyText);
  const point = entity === undefined ? instantIn : pointIn;
  const [from, to] = stretch('from', 'to');
  const [since, until] = stretch('since', 'until');
  return {
    type: valid('type', anyText),
    entity,
    activity: valid('activity', anyText),
    show: valid('show', oneOf(['activities'])),
    reason: valid('reason', anyText),
    property: valid('property', nameIn),
    prefix: valid('prefix', (text) => (isKey(text) ? text : undefined)),
    deleted: valid('deleted', oneOf(['include', 'only'])),
    where: valid('where', anyText),
    at: valid('at', point),
    beside: valid('beside', (text) => (text === 'now' || text === 'before' ? text : point(text))),
    from,
    to,
    lanes: valid('lanes', anyText),
    only: valid('only', (text) => (text === 'true' ? true : undefined)),
    actor: valid('actor', (text) => (text.length <= MAX_ACTOR_LENGTH ? text : undefined)),
    changed: valid('changed', nameIn),
    op: valid('op', oneOf(OPS)),
    since,
    until,
    zone: valid('zone', oneOf(['utc', 'local', 'relative'])),
    theme: valid('theme', oneOf(['light', 'dark'])),
  };
}

const oneOf =
  <Word extends string>(words: readonly Word[]) =>
  (text: string): Word | undefined =>
    words.find((word) => word === text);

const anyText = (text: string): string => text;

const nameIn = (text: string): string | undefined => (faultOfName(text) === null ? text : undefined);

function pointIn(text: string): string | undefined {
  const point = pointOf(text);
  return point && pointText(point);
}

function instantIn(text: string): string | undefined {
  const point = pointOf(text);
  return point && 'instant' in point ? point.instant : undefined;
}

/** A tick that an entity may have, or an instant. */
function pointOf(text: string): Point | undefined {
  try {
    const point = parsePoint(text, '');
    return 'tick' in point && point.tick === LAST_TICK ? undefined : point;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
