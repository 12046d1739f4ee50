import { useEffect, useRef, useState } from 'preact/hooks';
import { ClocktickProblem } from '../../client/client.js';
import type { Entity, Tick } from '../../client/types.js';
import { instantToMicros } from '../instants.js';
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
async function readState(
  entity: string,
  at: string | undefined,
  { signal, fields }: { signal: AbortSignal; fields?: readonly string[] | undefined },
): Promise<State> {
  try {
    return {
      is: 'there',
      entity: await service.entities.get(entity, { asOf: at, include: 'provenance', fields }, { signal }),
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
    async (signal) => (asks ? readState(entity, moment?.asOf ?? undefined, { signal }) : known),
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

/** What the properties of an entity were over some of its ticks. */
export type Stretch = {
  /** Its ticks, both included; those after `until` were not read, because there were too many. */
  first: number;
  last: number;
  until: number;
  /** The properties that were asked for; null: all. */
  properties: readonly string[] | null;
  /** What there was just before it. */
  start: Entity | null;
  /** The ticks in it that touched these properties, oldest first, with what they changed. */
  ticks: readonly Tick[];
};

/** So many ticks are read with all that they changed; of more, only what they changed of the properties in view. */
export const WHOLE_TICKS = 1_000;

/** Of the properties in view, so many pages of ticks are read, before the rest is shown as a density. */
const MOST_PAGES = 4;

/** While somebody moves, nothing is asked for: only when the view has stood still so long, in milliseconds. */
const STILL_MS = 120;

/** How many stretches are kept, for whoever goes back. */
const KEPT = 12;
const kept = new Map<string, Stretch>();

/** Which stretch is to be read; null: none yet. */
export type Wanted = Pick<Stretch, 'first' | 'last' | 'properties'> | null;

/** The stretch that is wanted, as soon as it is there; meanwhile the one before. */
export function useStretch(entity: string, wanted: Wanted, { heads }: Clock): Answer<Stretch | null> {
  const name = wanted && JSON.stringify([entity, wanted.first, wanted.last, wanted.properties]);
  return useAnswer(
    async (signal) => {
      if (!wanted || name === null) return null;
      const known = kept.get(name);
      if (known) return known;
      await pause(STILL_MS, signal);
      const stretch = await readStretch(entity, wanted, { heads, signal });
      kept.set(name, stretch);
      for (const old of kept.keys()) {
        if (kept.size <= KEPT) break;
        kept.delete(old);
      }
      return stretch;
    },
    [name],
  );
}

async function readStretch(
  entity: string,
  wanted: NonNullable<Wanted>,
  { heads, signal }: { heads: readonly Head[]; signal: AbortSignal },
): Promise<Stretch> {
  const { first, properties } = wanted;
  const isThere = first > 1 && headAt(heads, first - 1)?.op !== 'deleted';
  const [before, { ticks, until }] = await Promise.all([
    isThere ? readState(entity, String(first - 1), { signal, fields: properties ?? undefined }) : null,
    readTicks(entity, wanted, signal),
  ]);
  return { ...wanted, until, start: before?.is === 'there' ? before.entity : null, ticks };
}

/** The ticks of a stretch, and until which of them they were read. */
async function readTicks(
  entity: string,
  { first, last, properties }: NonNullable<Wanted>,
  signal: AbortSignal,
): Promise<Pick<Stretch, 'ticks' | 'until'>> {
  const query = { from: String(first), to: String(last + 1), property: properties ?? undefined, limit: WHOLE_TICKS };
  const ticks: Tick[] = [];
  let read = 0;
  for await (const page of service.entities.history(entity, query, { signal }).pages()) {
    ticks.push(...page.items);
    read += 1;
    if (properties !== null && read === MOST_PAGES && page.next !== null)
      return { ticks, until: page.items.at(-1)?.tick ?? last };
  }
  return { ticks, until: last };
}

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const end = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(end);
      reject(signal.reason);
    });
  });
