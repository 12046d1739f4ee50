import { useEffect, useRef, useState } from 'preact/hooks';
import { ClocktickProblem } from '../../client/client.js';
import type { Entity, Range, Tick } from '../../client/types.js';
import { instantToMicros } from '../core/instants.js';
import { type Lane, type LaneRange, lanesOf } from '../core/lanes.js';
import { type Answer, type Failed, service, useAnswer } from '../service.js';
import { type Head, headAt } from './heads.js';
import type { Moment } from './moment.js';

/*
 * What the page of an entity reads: its clock (every tick without what it changed), its state as of a moment, and what its properties were
 * over a stretch of ticks.
 */

/** How many ticks are read before somebody asks for older ones, and as many more each time somebody does. */
const MOST_TICKS = 50_000;
const TICKS_OF_PAGE = 1_000;
const PAGES_AT_ONCE = 5;

/**
 * The clock of an entity, as far as it is known: its newest ticks, oldest first. It grows at its beginning while older ticks are read, and
 * at its end when there are newer ones.
 */
export type Clock = {
  heads: readonly Head[];
  /** Whether there is no older one. */
  isWhole: boolean;
  isReading: boolean;
  /** How often newer ones have come since the page was opened. */
  grown: number;
  failed: { error: Failed; again: () => void } | null;
  /** Reads on, where it has stopped because there were so many. */
  readOlder: () => void;
  /** Looks whether there are newer ones. */
  readNewer: () => void;
};

/**
 * Reads the clock of an entity, newest ticks first.
 * @param property only the ticks that touched it; null: all, and then no number is left out
 */
export function useHeads(entity: string, property: string | null): Clock {
  // `next` undefined: nothing is read yet; null: there is no older one.
  const [known, setKnown] = useState<{ heads: readonly Head[]; next: string | null | undefined; grown: number }>({
    heads: [],
    next: undefined,
    grown: 0,
  });
  const [most, setMost] = useState(MOST_TICKS);
  const [looks, setLooks] = useState(0);
  const { heads, next } = known;
  const wantsOlder = next !== null && heads.length < most;
  const older = useAnswer(
    async (signal) => {
      if (!wantsOlder) return null;
      const query = { property: property ?? undefined, changes: 'none', order: 'desc', limit: TICKS_OF_PAGE } as const;
      const first = await service.entities.history(entity, { ...query, cursor: next }, { signal }).page();
      // There is something to see after the first page; then some at once, as each time all of it is drawn anew.
      const pages = [first];
      for (let page = first; next !== undefined && page.next !== null && pages.length < PAGES_AT_ONCE; ) {
        page = await service.entities.history(entity, { ...query, cursor: page.next }, { signal }).page();
        pages.push(page);
      }
      return { items: pages.flatMap(({ items }) => items), next: pages.at(-1)?.next ?? null };
    },
    [entity, wantsOlder, wantsOlder ? next : null],
  );
  useEffect(() => {
    const page = older.state === 'done' ? older.value : null;
    if (page)
      setKnown((before) => ({
        ...before,
        heads: [...page.items.map(headOf).reverse(), ...before.heads],
        next: page.next,
      }));
  }, [older]);

  const last = heads.at(-1)?.tick;
  const newer = useAnswer(
    async (signal) =>
      looks > 0 && last !== undefined
        ? service.entities
            .history(
              entity,
              { property: property ?? undefined, changes: 'none', from: String(last + 1), limit: TICKS_OF_PAGE },
              { signal },
            )
            .page()
        : null,
    [entity, looks],
  );
  useEffect(() => {
    const page = newer.state === 'done' ? newer.value : null;
    if (!page || page.items.length === 0) return;
    setKnown((before) => {
      const end = before.heads.at(-1)?.tick ?? 0;
      const later = page.items.filter(({ tick }) => tick > end).map(headOf);
      return { ...before, heads: [...before.heads, ...later], grown: before.grown + 1 };
    });
    if (page.next !== null) setLooks((n) => n + 1);
  }, [newer]);

  // Somebody else may have written while nobody looked.
  useEffect(() => {
    const look = () => document.visibilityState === 'visible' && setLooks((n) => n + 1);
    document.addEventListener('visibilitychange', look);
    return () => document.removeEventListener('visibilitychange', look);
  }, []);

  const failed = older.state === 'failed' ? older : newer.state === 'failed' ? newer : null;
  return {
    heads,
    grown: known.grown,
    isWhole: next === null,
    isReading: wantsOlder && older.state !== 'failed',
    failed: failed && { error: failed.error, again: failed.again },
    readOlder: () => setMost((n) => n + MOST_TICKS),
    readNewer: () => setLooks((n) => n + 1),
  };
}

const headOf = ({ tick, at, op, activity }: Tick): Head => ({ tick, at, micros: instantToMicros(at), op, activity });

/** How many ticks between two that are asked for are read along with them, instead of asking once more. */
const GAP = 8;

/** What the ticks that are listed changed, as far as it is known. @param ticks their numbers, newest first */
export function useTold(entity: string, ticks: readonly number[]): Answer<ReadonlyMap<number, Tick>> {
  const told = useRef(new Map<number, Tick>()).current;
  return useAnswer(
    async (signal) => {
      for (const [first, last] of runsOf(ticks.filter((tick) => !told.has(tick)))) {
        const query = { from: String(first), to: String(last + 1), limit: TICKS_OF_PAGE };
        for await (const tick of service.entities.history(entity, query, { signal })) told.set(tick.tick, tick);
      }
      return told;
    },
    [entity, ticks.join()],
  );
}

/** The stretches in which numbers lie that are given from the highest to the lowest. */
function runsOf(numbers: readonly number[]): [first: number, last: number][] {
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run && run[0] - number <= GAP) run[0] = number;
    else runs.push([number, number]);
  }
  return runs;
}

/** Orders names as people do: p2 before p10. */
export const byName = new Intl.Collator('en', { numeric: true }).compare;

/** What there was at a moment: the entity, or why there was none. */
export type State = { is: 'there'; entity: Entity } | { is: 'deleted' } | { is: 'not yet' };

/**
 * The entity as of a moment, with who last set what.
 * @param at a tick or an instant; undefined: now
 * @throws what a call throws, but for what says that there was none
 */
async function readState(entity: string, at: string | undefined, signal: AbortSignal): Promise<State> {
  try {
    return {
      is: 'there',
      entity: await service.entities.get(entity, { asOf: at, include: 'provenance' }, { signal }),
    };
  } catch (error) {
    if (!(error instanceof ClocktickProblem)) throw error;
    if (error.code === 'entity_deleted') return { is: 'deleted' };
    // An instant before it was created; what never was created is refused by its clock, which the page reads, too.
    if (error.code === 'entity_not_found' && at !== undefined) return { is: 'not yet' };
    throw error;
  }
}

/**
 * The entity as of a moment; null: not known yet. As of now it is asked for again when there is a newer tick. What the clock says, that it was
 * deleted or not there yet, is not asked.
 */
export function useEntityAt(entity: string, moment: Moment | null, { heads, grown }: Clock): Answer<State | null> {
  const known = moment === null || heads.length === 0 ? null : knownState(moment, heads);
  const asks = known === undefined;
  return useAnswer(
    async (signal) => (asks ? readState(entity, moment?.asOf ?? undefined, signal) : known),
    [
      entity,
      asks ? 'asks' : (known?.is ?? null),
      asks ? moment?.asOf : null,
      asks && moment?.asOf === undefined ? grown : null,
    ],
  );
}

/** What the clock alone says of a moment; undefined: nothing. */
function knownState({ asOf, tick }: Moment, heads: readonly Head[]): State | undefined {
  if (asOf === null || tick === 0) return { is: 'not yet' };
  const head = tick === null ? undefined : headAt(heads, tick);
  return head?.op === 'deleted' ? { is: 'deleted' } : undefined;
}

/** What a property was over some ticks; after tick `until` that was not read, because there was so much. */
type LaneRead = Lane & { until: number };

/** What properties of an entity were over some of its ticks, `first` and `last` included. */
export type Stretch = {
  first: number;
  last: number;
  /** Those that were asked for; null: all. */
  properties: readonly string[] | null;
  lanes: ReadonlyMap<string, LaneRead>;
};

/** Which stretch is to be read; null: none yet. */
export type Wanted = Pick<Stretch, 'first' | 'last' | 'properties'> | null;

/** So many ticks are read with all that they changed; over more, the ranges of the properties in view, the first so many of each. */
export const WHOLE_TICKS = 1_000;
const MOST_RANGES = 1_000;

/** While somebody moves, nothing is asked for: only when the view has stood still so long, in milliseconds. */
const STILL_MS = 120;

/** The stretch that is wanted, as soon as it is there; meanwhile the one before. */
export function useStretch(entity: string, wanted: Wanted, { heads }: Clock): Answer<Stretch | null> {
  const name = wanted && JSON.stringify([wanted.first, wanted.last, wanted.properties]);
  return useAnswer(
    async (signal) => {
      if (!wanted) return null;
      await pause(STILL_MS, signal);
      return wanted.properties === null
        ? readWhole(entity, wanted, { heads, signal })
        : readLanes(entity, wanted, wanted.properties, signal);
    },
    [entity, name],
  );
}

/** All that some ticks changed, and what there was just before. */
async function readWhole(
  entity: string,
  { first, last }: NonNullable<Wanted>,
  { heads, signal }: { heads: readonly Head[]; signal: AbortSignal },
): Promise<Stretch> {
  const isThere = first > 1 && headAt(heads, first - 1)?.op !== 'deleted';
  const [before, ticks] = await Promise.all([
    isThere ? readState(entity, String(first - 1), signal) : null,
    readTicks(entity, first, last, signal),
  ]);
  const lanes = lanesOf(before?.is === 'there' ? before.entity : null, ticks);
  return {
    first,
    last,
    properties: null,
    lanes: new Map(lanes.map((lane) => [lane.property, { ...lane, until: last }])),
  };
}

async function readTicks(entity: string, first: number, last: number, signal: AbortSignal): Promise<Tick[]> {
  const query = { from: String(first), to: String(last + 1), limit: TICKS_OF_PAGE };
  const ticks: Tick[] = [];
  for await (const tick of service.entities.history(entity, query, { signal })) ticks.push(tick);
  return ticks;
}

/** The ranges of some properties, each asked for alone: one that changed all the time leaves room for the others. */
async function readLanes(
  entity: string,
  { first, last }: NonNullable<Wanted>,
  properties: readonly string[],
  signal: AbortSignal,
): Promise<Stretch> {
  const lanes = await Promise.all(properties.map((property) => readLane(entity, property, { first, last, signal })));
  return { first, last, properties, lanes: new Map(lanes.map((lane) => [lane.property, lane])) };
}

/** How many lanes are kept, for whoever scrolls or goes back; the oldest one goes first. */
const KEPT = 400;
const kept = new Map<string, LaneRead>();

async function readLane(
  entity: string,
  property: string,
  { first, last, signal }: { first: number; last: number; signal: AbortSignal },
): Promise<LaneRead> {
  const name = JSON.stringify([entity, property, first, last]);
  const known = kept.get(name);
  if (known) return known;
  const query = { from: String(first), to: String(last + 1), limit: MOST_RANGES };
  const { items, next } = await service.entities.propertyHistory(entity, property, query, { signal }).page();
  const end = next === null ? null : items.at(-1)?.vclock.to;
  const lane = { property, ranges: items.map(laneRangeOf), until: end == null ? last : end - 1 };
  kept.set(name, lane);
  for (const old of kept.keys()) {
    if (kept.size <= KEPT) break;
    kept.delete(old);
  }
  return lane;
}

const laneRangeOf = ({ value, vclock, effective, activity }: Range): LaneRange => ({
  value,
  from: vclock.from,
  to: vclock.to,
  fromAt: effective.from,
  toAt: effective.to,
  fromMicros: instantToMicros(effective.from),
  toMicros: effective.to === null ? null : instantToMicros(effective.to),
  activity,
});

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const end = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(end);
      reject(signal.reason);
    });
  });
