import { countWhile } from './count-while.js';

/*
 * The time axis of a timeline, on which gaps in which nothing happened are folded.
 *
 * A gap between two ticks is idle when it is much longer than those around it. Drawn in proportion, idle gaps would take nearly all of the
 * width, so none is drawn wider than FOLD pixels. That depends only on how many microseconds a pixel is, never on where the window lies: so
 * nothing jumps while it is panned, and what is folded widens and narrows without a step while it is zoomed.
 *
 * Instants are microseconds since 1970 as bigint: a number has not enough digits for all years. Only distances inside a window are numbers.
 */

/** How wide a folded gap is, in pixels. It is wider where a window shows hardly anything else. */
export const FOLD = 28;

/** A gap is idle when it is so many times as long as the median of the gaps around it. */
const IDLE = 10;

/** How many gaps are around one. The median is that of a block of gaps, with as many before and behind it. */
const BLOCK = 16;
const AROUND = 24;

/** The shortest time that a pixel is, in microseconds: ticks that are a microsecond apart can be told from each other. */
const LEAST_PER_PIXEL = 0.2;

/** How many times as wide everything is drawn by one zoom, at most. */
const MOST_AT_ONCE = 1e9;

/** How long an axis is on which there is only one instant, or none. */
const SECOND = 1_000_000n;

/** A stretch of time. */
export type Window = { from: bigint; to: bigint };

/** A gap that may be folded: the ticks at both ends of it. */
type Gap = Window & { length: number };

/** All of the time of an entity. It is made once of its ticks; scales are made of it, one for each window. */
export type Axis = Window & { instants: readonly bigint[]; gaps: readonly Gap[] };

/** A gap as it is drawn folded; at the edges of the window the part that is in it. */
type Fold = Window & { x: number; width: number };

/** Where an instant is drawn in a window of an axis, and the other way round. */
export type Scale = Window & {
  axis: Axis;
  width: number;
  folds: readonly Fold[];
  /** Where an instant is drawn; one before or after the window at its edge. */
  xOf(micros: bigint): number;
  /** The instant at a place; beyond the edges that of the edge. */
  microsAt(x: number): bigint;
  /** The ticks drawn from one place to before another, at the right edge with the last one: indexes of `axis.instants`, `end` not among them. */
  ticksIn(x0: number, x1: number): { start: number; end: number };
  /** The tick in the window that is drawn nearest to a place: an index of `axis.instants`; -1: there is none. */
  nearest(x: number): number;
  /** The window in which everything is drawn `factor` times as wide, with the instant in its place. Below 1 it is narrower. */
  zoom(at: bigint, factor: number): Window;
  /** The window so many pixels to the right; to the left, if they are negative. It stays within the axis. */
  pan(pixels: number): Window;
};

/**
 * The axis of ticks.
 * @param instants of the ticks, in order
 * @param until where the axis ends, if that is later than the last tick: now, usually
 */
export function axisOf(instants: readonly bigint[], until?: bigint): Axis {
  const last = instants.at(-1) ?? until ?? 0n;
  const to = until !== undefined && until > last ? until : last;
  const first = instants[0] ?? to;
  const from = first < to ? first : to - SECOND;
  const ends = to > last && instants.length > 0 ? [...instants, to] : instants;
  return { from, to, instants, gaps: idleGaps(ends) };
}

/** The gaps that are long beside those around them. */
function idleGaps(instants: readonly bigint[]): Gap[] {
  const lengths = new Float64Array(Math.max(0, instants.length - 1));
  for (let n = 0; n < lengths.length; n++) lengths[n] = Number((instants[n + 1] ?? 0n) - (instants[n] ?? 0n));
  const gaps: Gap[] = [];
  for (let block = 0; block < lengths.length; block += BLOCK) {
    const around = lengths.slice(Math.max(0, block - AROUND), block + BLOCK + AROUND).sort();
    const least = IDLE * (around[(around.length - 1) >> 1] ?? 0);
    for (let n = block; n < Math.min(block + BLOCK, lengths.length); n++) {
      const length = lengths[n] ?? 0;
      const [from, to] = [instants[n], instants[n + 1]];
      if (length > least && from !== undefined && to !== undefined) gaps.push({ from, to, length });
    }
  }
  return gaps;
}

/** How many microseconds a pixel is, but in folds; and how wide a whole fold is, in pixels. */
type Zoom = { perPixel: number; fold: number };

/** Whether a gap is folded: drawn in proportion it would be wider than a fold. */
const isFolded = ({ length }: Gap, { perPixel, fold }: Zoom): boolean => length > fold * perPixel;

/** A piece of a window in which time goes evenly. */
type Piece = Window & { x: number; width: number; isFold: boolean };

/**
 * The scale of a window.
 * @param window its edges; one that is missing is that of the axis, and one beyond the axis, too. A window too short to be drawn is widened
 * @param window.width in pixels
 */
export function scaleOf(
  axis: Axis,
  { from, to, width }: { from?: bigint | undefined; to?: bigint | undefined; width: number },
): Scale {
  const pixels = width > 1 ? width : 1;
  const window = within(axis, from ?? axis.from, to ?? axis.to, pixels);
  const inside = axis.gaps.slice(firstAfter(axis.gaps, window.from), firstFrom(axis.gaps, window.to));
  const zoom = zoomOf(window, inside, pixels);
  const pieces = piecesOf(
    window,
    inside.filter((gap) => isFolded(gap, zoom)),
    zoom,
  );
  const { instants } = axis;

  const xOf = (micros: bigint): number => {
    if (micros <= window.from) return 0;
    if (micros >= window.to) return pixels;
    const piece = pieces[countWhile(pieces.length, (n) => (pieces[n]?.from ?? 0n) <= micros) - 1];
    if (!piece) return 0;
    const x = piece.x + (piece.width * Number(micros - piece.from)) / Number(piece.to - piece.from);
    return Math.min(x, pixels);
  };
  const placeAt = (x: number, rounded: (micros: number) => number): bigint => {
    if (!(x > 0)) return window.from;
    if (x >= pixels) return window.to;
    const piece = pieces[countWhile(pieces.length, (n) => (pieces[n]?.x ?? 0) <= x) - 1];
    if (!piece) return window.from;
    const part = Math.min(1, (x - piece.x) / piece.width);
    return piece.from + BigInt(rounded(Number(piece.to - piece.from) * part));
  };
  const countTo = (micros: bigint): number => countWhile(instants.length, (n) => (instants[n] ?? 0n) < micros);
  const countBefore = (x: number): number => countTo(x >= pixels ? window.to + 1n : placeAt(x, Math.ceil));

  return {
    ...window,
    axis,
    width: pixels,
    folds: pieces.flatMap(({ isFold, ...fold }) => (isFold ? [fold] : [])),
    xOf,
    microsAt: (x) => placeAt(x, Math.round),
    ticksIn: (x0, x1) => ({ start: countBefore(x0), end: countBefore(x1) }),
    nearest: (x) => {
      const after = countBefore(x);
      const [before, last] = [after - 1, countBefore(pixels) - 1];
      if (before < countBefore(0)) return after <= last ? after : -1;
      if (after > last) return before;
      return x - xOf(instants[before] ?? 0n) <= xOf(instants[after] ?? 0n) - x ? before : after;
    },
    zoom: (at, factor) => {
      const x = xOf(at);
      const anchor = microsIn(window, at);
      // A wheel that spins may ask for anything.
      const next = zoomed(zoom, factor > 0 ? Math.min(MOST_AT_ONCE, Math.max(1 / MOST_AT_ONCE, factor)) : 1);
      const [left, right] = [step(axis, anchor, -x, next), step(axis, anchor, pixels - x, next)];
      if (factor > 1 && right - left < shortest(axis, pixels)) return window;
      return filled(axis, left, right, pixels, next);
    },
    pan: (by) =>
      filled(axis, step(axis, window.from, by || 0, zoom), step(axis, window.to, by || 0, zoom), pixels, zoom),
  };
}

/** A window that fills its width: one that ends at an end of the axis reaches as far in the other direction. */
function filled(axis: Axis, from: bigint, to: bigint, width: number, zoom: Zoom): Window {
  if (from <= axis.from && to >= axis.to) return { from: axis.from, to: axis.to };
  if (from <= axis.from) return within(axis, axis.from, step(axis, axis.from, width, zoom), width);
  if (to >= axis.to) return within(axis, step(axis, axis.to, -width, zoom), axis.to, width);
  return within(axis, from, to, width);
}

/** The shortest window. */
const shortest = (axis: Axis, width: number): bigint => {
  const least = BigInt(Math.ceil(LEAST_PER_PIXEL * width));
  return least < axis.to - axis.from ? least : axis.to - axis.from;
};

/** A window within an axis, and no shorter than the shortest. */
function within(axis: Axis, from: bigint, to: bigint, width: number): Window {
  const [first, last] = from <= to ? [from, to] : [to, from];
  const window = { from: microsIn(axis, first), to: microsIn(axis, last) };
  const missing = shortest(axis, width) - (window.to - window.from);
  if (missing <= 0n) return window;
  const start = microsIn({ from: axis.from, to: axis.to - shortest(axis, width) }, window.from - missing / 2n);
  return { from: start, to: start + shortest(axis, width) };
}

const microsIn = ({ from, to }: Window, micros: bigint): bigint => (micros < from ? from : micros > to ? to : micros);

/**
 * How dense time is drawn, so that a window fills its width. Folding a gap leaves more pixels for the rest, so that others become wider than a
 * fold, and so on; each takes less of the width than of the time, so some of both is always left.
 */
function zoomOf(window: Window, gaps: readonly Gap[], width: number): Zoom {
  /** The time of a window but for gaps, and how many times a fold these are, of which only parts may be seen. */
  const without = (folded: readonly Gap[]) => ({
    rest: Number(folded.reduce((rest, gap) => rest - seenOf(gap, window), window.to - window.from)),
    folds: folded.reduce((count, gap) => count + Number(seenOf(gap, window)) / gap.length, 0),
  });

  let folded: readonly Gap[] = [];
  let zoom: Zoom = { perPixel: without([]).rest / width, fold: FOLD };
  for (;;) {
    const atLeast = { ...zoom, perPixel: Math.max(LEAST_PER_PIXEL, zoom.perPixel) };
    const next = gaps.filter((gap) => isFolded(gap, atLeast));
    if (next.length <= folded.length) break;
    folded = next;
    const { rest, folds } = without(folded);
    // Numbers are rounded: where folds take nearly everything, they must not take all of it.
    zoom = { perPixel: rest / Math.max(width - folds * FOLD, 1e-6), fold: FOLD };
  }
  if (folded.length === 0 || zoom.perPixel >= LEAST_PER_PIXEL) return zoom;

  // What is not folded does not fill the width, however thinly it is drawn: folds take the rest, but none more than its time takes.
  for (;;) {
    const { rest, folds } = without(folded);
    const widened = { perPixel: LEAST_PER_PIXEL, fold: (width - rest / LEAST_PER_PIXEL) / folds };
    const next = folded.filter((gap) => isFolded(gap, widened));
    if (next.length === 0 || next.length === folded.length) return widened;
    folded = next;
  }
}

/** How much of a gap lies in a window. */
const seenOf = (gap: Window, window: Window): bigint => microsIn(window, gap.to) - microsIn(window, gap.from);

/** The pieces of a window, from its start to its end. */
function piecesOf(window: Window, folded: readonly Gap[], { perPixel, fold }: Zoom): Piece[] {
  const pieces: Piece[] = [];
  let at = window.from;
  let x = 0;
  const add = (to: bigint, width: number, isFold: boolean) => {
    if (to <= at) return;
    pieces.push({ from: at, to, x, width, isFold });
    at = to;
    x += width;
  };
  for (const gap of folded) {
    const start = microsIn(window, gap.from);
    add(start, Number(start - at) / perPixel, false);
    add(microsIn(window, gap.to), (fold * Number(seenOf(gap, window))) / gap.length, true);
  }
  add(window.to, Number(window.to - at) / perPixel, false);
  return pieces;
}

/** The zoom at which everything is drawn `factor` times as wide, but for folds as long as there is something else. */
function zoomed({ perPixel, fold }: Zoom, factor: number): Zoom {
  // One scale of both: below the least time of a pixel, folds widen instead.
  const asOne = (perPixel * (perPixel > LEAST_PER_PIXEL ? 1 : FOLD / fold)) / factor;
  return {
    perPixel: Math.max(LEAST_PER_PIXEL, asOne),
    fold: asOne < LEAST_PER_PIXEL ? (FOLD * LEAST_PER_PIXEL) / asOne : FOLD,
  };
}

/** The instant so many pixels after another (before it, if they are negative), at most at an end of the axis. */
function step(axis: Axis, micros: bigint, pixels: number, zoom: Zoom): bigint {
  const { gaps } = axis;
  const { perPixel, fold } = zoom;
  let at = micros;
  let left = Math.abs(pixels);
  if (pixels >= 0) {
    for (let n = firstAfter(gaps, at); n < gaps.length; n++) {
      const gap = gaps[n];
      if (!gap || !isFolded(gap, zoom)) continue;
      const before = gap.from > at ? Number(gap.from - at) / perPixel : 0;
      if (before >= left) break;
      left -= before;
      if (gap.from > at) at = gap.from;
      const width = (fold * Number(gap.to - at)) / gap.length;
      if (width >= left) return at + share(gap.to - at, left / width);
      left -= width;
      at = gap.to;
    }
    return microsIn(axis, at + rounded(left * perPixel, axis));
  }
  for (let n = firstFrom(gaps, at) - 1; n >= 0; n--) {
    const gap = gaps[n];
    if (!gap || !isFolded(gap, zoom)) continue;
    const before = at > gap.to ? Number(at - gap.to) / perPixel : 0;
    if (before >= left) break;
    left -= before;
    if (gap.to < at) at = gap.to;
    const width = (fold * Number(at - gap.from)) / gap.length;
    if (width >= left) return at - share(at - gap.from, left / width);
    left -= width;
    at = gap.from;
  }
  return microsIn(axis, at - rounded(left * perPixel, axis));
}

/** So many microseconds, but no more than an axis has. */
const rounded = (micros: number, axis: Axis): bigint =>
  BigInt(Math.round(Math.min(micros, Number(axis.to - axis.from))));

/** A share, from 0 to 1, of a length. */
const share = (length: bigint, part: number): bigint => BigInt(Math.round(Number(length) * part));

/** The index of the first gap that ends after an instant. */
const firstAfter = (gaps: readonly Gap[], micros: bigint): number =>
  countWhile(gaps.length, (n) => (gaps[n]?.to ?? 0n) <= micros);

/** The index of the first gap that begins at an instant or after it. */
const firstFrom = (gaps: readonly Gap[], micros: bigint): number =>
  countWhile(gaps.length, (n) => (gaps[n]?.from ?? 0n) < micros);
