import type { ActivityRef, Entity, Json, Tick } from '../../client/types.js';
import { instantToMicros } from './instants.js';
import type { Scale } from './scale.js';

/*
 * What every property of an entity was over a window of its ticks: a lane for each, with a range for each value. Rebuilt from the state
 * before the window and the ticks in it, as `src/storage` keeps them.
 */

/**
 * A value and how long it held: from a tick on until before another. `to` null: it holds at the end of the window. `from` null: it has held
 * since before the window, and the answer did not say since when.
 */
export type LaneRange = {
  value: Json;
  from: number | null;
  to: number | null;
  fromAt: string | null;
  toAt: string | null;
  /** The same instants in microseconds since 1970, for a scale. */
  fromMicros: bigint | null;
  toMicros: bigint | null;
  activity: ActivityRef | null;
};

/** The ranges of one property, oldest first. */
export type Lane = { property: string; ranges: LaneRange[] };

/** What lanes begin with: the entity as of the tick before the window, with its provenance. */
type Start = Pick<Entity, 'properties' | 'provenance'>;

/**
 * The lanes of an entity over a window, by the names of their properties.
 * @param start the state just before the window; null: there was none, or it was deleted
 * @param ticks all ticks in the window with their changes, or all that changed the properties of `start`, oldest first
 */
export function lanesOf(start: Start | null, ticks: readonly Tick[]): Lane[] {
  const lanes = new Map<string, LaneRange[]>();
  const open = new Map<string, LaneRange>();
  const begin = (property: string, range: LaneRange) => {
    const ranges = lanes.get(property) ?? [];
    ranges.push(range);
    lanes.set(property, ranges);
    open.set(property, range);
  };

  for (const [property, value] of Object.entries(start?.properties ?? {})) {
    const known =
      start?.provenance && Object.hasOwn(start.provenance, property) ? start.provenance[property] : undefined;
    begin(property, {
      value,
      from: known?.vclock.from ?? null,
      to: null,
      fromAt: known?.effective.from ?? null,
      toAt: null,
      fromMicros: known ? instantToMicros(known.effective.from) : null,
      toMicros: null,
      activity: known?.activity ?? null,
    });
  }
  for (const { tick, at, op, activity, changes = {} } of ticks) {
    const micros = instantToMicros(at);
    const end = (property: string) => {
      const range = open.get(property);
      if (!range) return;
      range.to = tick;
      range.toAt = at;
      range.toMicros = micros;
      open.delete(property);
    };
    // A tombstone ends the range of every property, also of those whose changes were not asked for.
    if (op === 'deleted') for (const property of [...open.keys()]) end(property);
    for (const [property, change] of Object.entries(changes ?? {})) {
      end(property);
      if (change.to === undefined) continue;
      const since = { from: tick, fromAt: at, fromMicros: micros };
      begin(property, { value: change.to, ...since, to: null, toAt: null, toMicros: null, activity });
    }
  }
  return [...lanes]
    .map(([property, ranges]) => ({ property, ranges }))
    .sort((a, b) => (a.property < b.property ? -1 : a.property > b.property ? 1 : 0));
}

/** What is drawn of a lane: a range; or several that are too narrow to be drawn each: `count` of them, from `first` to `last`. */
export type Bar = { x: number; width: number; count: number; first: LaneRange; last: LaneRange };

/**
 * The bars of a lane in the window of a scale. Ranges narrower than `least` pixels that begin within as many become one bar, with the gaps
 * between them. So there are at most `2 * width / least` bars and a few, however many ranges.
 */
export function mergeForPixels(
  ranges: readonly LaneRange[],
  scale: Pick<Scale, 'from' | 'to' | 'width' | 'xOf'>,
  least = 3,
): Bar[] {
  const bars: Bar[] = [];
  for (const range of ranges) {
    const { fromMicros, toMicros } = range;
    if ((toMicros !== null && toMicros <= scale.from) || (fromMicros !== null && fromMicros > scale.to)) continue;
    const x = fromMicros === null ? 0 : scale.xOf(fromMicros);
    const end = toMicros === null ? scale.width : scale.xOf(toMicros);
    const bar = bars.at(-1);
    if (bar && x - bar.x < least && end - x < least) {
      bar.width = end - bar.x;
      bar.count++;
      bar.last = range;
    } else bars.push({ x, width: end - x, count: 1, first: range, last: range });
  }
  return bars;
}
