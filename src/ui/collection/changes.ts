import { instantOf, microseconds } from '../../temporal/point.js';

/*
 * When anything of a type changed. The API has no list of these instants, but every page of a collection says for nothing which change was
 * the newest by its instant, so they are found by asking: the one before in one question, the one after by halving what lies between.
 */

/** The instant of the newest change at or before an instant; null: nothing was there yet. */
export type Newest = (instant: string) => Promise<string | null>;

/** The first instant that RFC 3339 can write. */
const BEGINNING = microseconds('0001-01-01T00:00:00Z');

/** The change before the one that an instant shows; null: that one is the first, or there is none. */
export async function changeBefore(newest: Newest, instant: string): Promise<string | null> {
  const shown = await newest(instant);
  return shown === null ? null : newestBefore(newest, shown);
}

/**
 * The first change after an instant.
 * @param last a change that is known, such as the newest of all
 * @returns null: there is none up to that one
 */
export async function changeAfter(newest: Newest, instant: string, last: string): Promise<string | null> {
  let from = microseconds(instant);
  let found = last;
  if (microseconds(last) <= from) return null;
  for (;;) {
    const before = await newestBefore(newest, found);
    if (before === null || microseconds(before) <= from) return found;
    found = before;
    const middle = (from + microseconds(found)) / 2n;
    const there = await newest(instantOf(middle));
    if (there === null || microseconds(there) <= from) from = middle;
    else found = there;
  }
}

/** The first change of all. @param known any change, the earlier the better */
export async function firstChange(newest: Newest, known: string): Promise<string> {
  return (await changeAfter(newest, instantOf(BEGINNING), known)) ?? known;
}

const newestBefore = async (newest: Newest, instant: string): Promise<string | null> => {
  const before = microseconds(instant) - 1n;
  return before < BEGINNING ? null : newest(instantOf(before));
};

/** Instants at equal distances from one to another, both included. */
export function evenly(from: string, to: string, count: number): string[] {
  const [first, last] = [microseconds(from), microseconds(to)];
  if (last <= first || count < 2) return [instantOf(last)];
  const steps = BigInt(count - 1);
  const instants = Array.from({ length: count }, (_, n) => instantOf(first + ((last - first) * BigInt(n)) / steps));
  return instants.filter((instant, n) => n === 0 || instant !== instants[n - 1]);
}

/** Where an instant stands between two, from 0 to 1. */
export function shareOf(instant: string, from: string, to: string): number {
  const [at, first, last] = [microseconds(instant), microseconds(from), microseconds(to)];
  if (last <= first) return 1;
  return Math.min(1, Math.max(0, Number(at - first) / Number(last - first)));
}

/** The instant at a share of the time between two. */
export function instantAt(share: number, from: string, to: string): string {
  const [first, last] = [microseconds(from), microseconds(to)];
  const parts = 1_000_000_000;
  return instantOf(first + ((last - first) * BigInt(Math.round(share * parts))) / BigInt(parts));
}
