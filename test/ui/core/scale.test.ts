import fc from 'fast-check';
import t from 'tap';
import { microseconds } from '../../../src/temporal/point.js';
import { densityOf } from '../../../src/ui/core/density.js';
import { type Axis, axisOf, FOLD, type Scale, scaleOf } from '../../../src/ui/core/scale.js';

const SECOND = 1_000_000n;
const DAY = 86_400n * SECOND;
const YEAR = 365n * DAY;

/** Ticks at these distances from each other, beginning at an instant. */
function ticksAt(start: bigint, gaps: readonly bigint[]): bigint[] {
  const instants = [start];
  for (const gap of gaps) instants.push((instants.at(-1) ?? 0n) + gap);
  return instants;
}

const gap = fc.oneof(
  { weight: 6, arbitrary: fc.bigInt(1n, 2_000n) },
  { weight: 3, arbitrary: fc.bigInt(1n, 100n * SECOND) },
  { weight: 2, arbitrary: fc.bigInt(1n, 30n * DAY) },
  { weight: 1, arbitrary: fc.bigInt(1n, 200n * YEAR) },
);
const axis: fc.Arbitrary<Axis> = fc
  .record({
    start: fc.constantFrom(microseconds('0001-01-01T00:00:00Z'), 0n, microseconds('2020-01-01T00:00:00Z')),
    gaps: fc.array(gap, { maxLength: 150 }),
    later: fc.option(gap, { nil: undefined }),
  })
  .map(({ start, gaps, later }) => {
    const instants = ticksAt(start, gaps);
    return axisOf(instants, later === undefined ? undefined : (instants.at(-1) ?? 0n) + later);
  });
// Not fc.double: most of what that makes is next to 0.
const part = fc.integer({ min: 0, max: 1_000_000 }).map((n) => n / 1_000_000);
const factor = (most: number) => fc.integer({ min: -1_000, max: 1_000 }).map((n) => most ** (n / 1_000));
const pixels = (most: number) => fc.integer({ min: -100 * most, max: 100 * most }).map((n) => n / 100);
const width = fc.integer({ min: 1, max: 3_000 });

/** The instant at a part of an axis: of the time, or (if `byTick`) near one of the ticks, where there is something to see. */
function partOf(axis: Axis, part: number, byTick: boolean): bigint {
  if (byTick) return axis.instants[Math.floor(part * (axis.instants.length - 1))] ?? axis.from;
  return axis.from + BigInt(Math.round(Number(axis.to - axis.from) * part));
}

const scale: fc.Arbitrary<Scale> = fc
  .record({ axis, width, from: part, to: part, byTick: fc.boolean(), whole: fc.boolean() })
  .map(({ axis, width, from, to, byTick, whole }) =>
    whole
      ? scaleOf(axis, { width })
      : scaleOf(axis, { from: partOf(axis, from, byTick), to: partOf(axis, to, byTick), width }),
  );

/** What a microsecond is in pixels at a place, but at least a pixel: no place is nearer to an instant than that. */
const finest = (scale: Scale, micros: bigint): number =>
  Math.max(1, scale.xOf(micros + 1n) - scale.xOf(micros), scale.xOf(micros) - scale.xOf(micros - 1n)) + 1e-6;

/** What a microsecond is in pixels beside folds: at most 5. */
function pixelsPerMicro({ from, to, folds, width }: Scale): number {
  const rest = folds.reduce((sum, fold) => sum - (fold.to - fold.from), to - from);
  return rest === 0n ? 5 : folds.reduce((sum, fold) => sum - fold.width, width) / Number(rest);
}

/** The same as `finest` for what rests on where the edges of windows are, too: these are whole microseconds, in folds or beside them. */
const finestOf = (scale: Scale, micros: bigint): number => Math.max(finest(scale, micros), pixelsPerMicro(scale));

// What fails is not made smaller: with so many ticks that takes minutes.
const runs = { numRuns: 300, endOnFailure: true };

t.test('later is further right, from edge to edge', async () => {
  fc.assert(
    fc.property(scale, fc.array(part, { maxLength: 30 }), (scale, parts) => {
      const span = scale.axis.to - scale.axis.from;
      const instants = [
        ...parts.map((part) => partOf(scale.axis, part, false)),
        ...scale.axis.instants,
        scale.from - span,
        scale.to + span,
      ].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      const places = instants.map(scale.xOf);
      return (
        scale.xOf(scale.from) === 0 &&
        scale.xOf(scale.to) === scale.width &&
        places.every((x, n) => x >= (places[n - 1] ?? 0) && x <= scale.width)
      );
    }),
    runs,
  );
});

t.test('place and instant are inverse, within a pixel', async () => {
  fc.assert(
    fc.property(scale, part, (scale, part) => {
      const x = part * scale.width;
      const micros = scale.microsAt(x);
      return micros >= scale.from && micros <= scale.to && Math.abs(scale.xOf(micros) - x) <= finest(scale, micros);
    }),
    runs,
  );
  fc.assert(
    fc.property(scale, part, fc.boolean(), (scale, part, byTick) => {
      const micros = partOf(scale.axis, part, byTick);
      const inWindow = micros < scale.from ? scale.from : micros > scale.to ? scale.to : micros;
      const back = scale.microsAt(scale.xOf(micros));
      return Math.abs(scale.xOf(back) - scale.xOf(inWindow)) <= finest(scale, inWindow);
    }),
    runs,
  );
});

/** The gaps that are ten times as long as the median of those around them: the block of 16 that each is in, and 24 on each side. */
function idleGaps({ instants, to }: Axis): { from: bigint; to: bigint }[] {
  const ends = [...instants, ...(to > (instants.at(-1) ?? to) ? [to] : [])];
  const gaps = ends.slice(1).map((end, n) => ({ from: ends[n] ?? 0n, to: end }));
  return gaps.filter((gap, n) => {
    const block = n - (n % 16);
    const around = gaps.slice(Math.max(0, block - 24), block + 40).map(({ from, to }) => Number(to - from));
    const median = around.sort((a, b) => a - b)[Math.floor((around.length - 1) / 2)] ?? 0;
    return Number(gap.to - gap.from) > 10 * median;
  });
}

t.test('exactly the idle gaps that would be wider than a fold are folded; all other time is drawn evenly', async () => {
  fc.assert(
    fc.property(scale, (scale) => {
      const { from, to, folds, width, axis } = scale;
      const clip = (micros: bigint) => (micros < from ? from : micros > to ? to : micros);
      const idle = idleGaps(axis).filter((gap) => gap.from < to && gap.to > from);
      // Each fold is an idle gap, as far as it is in the window.
      for (const fold of folds) {
        const gap = idle.find((gap) => clip(gap.from) === fold.from && clip(gap.to) === fold.to);
        if (!gap) return false;
        if (Math.abs(scale.xOf(fold.from) - fold.x) > 1e-6) return false;
        if (Math.abs(scale.xOf(fold.to) - fold.x - fold.width) > 1e-6) return false;
      }
      // What is left is drawn evenly, and of it no idle gap is wider than a fold.
      const folded = folds.reduce((sum, fold) => sum + fold.to - fold.from, 0n);
      const taken = folds.reduce((sum, fold) => sum + fold.width, 0);
      const rest = to - from - folded;
      if (rest === 0n) return Math.abs(taken - width) < 1e-6;
      const perPixel = Number(rest) / (width - taken);
      // So close that there is room for everything.
      if (perPixel < 0.2 + 1e-9 && folds.length === 0) return true;
      const wholes = folds.map((fold) => {
        const gap = idle.find((gap) => clip(gap.from) === fold.from) ?? fold;
        return (fold.width * Number(gap.to - gap.from)) / Number(fold.to - fold.from);
      });
      const [whole = FOLD] = wholes;
      // All are equally wide, and wider only where all else is drawn as wide as it may be.
      if (wholes.some((one) => Math.abs(one - whole) > 1e-6 * whole)) return false;
      if (whole < FOLD - 1e-6 || (whole > FOLD + 1e-6 && perPixel > 0.2 + 1e-9)) return false;
      for (const gap of idle) {
        const isFolded = folds.some((fold) => fold.from === clip(gap.from) && fold.to === clip(gap.to));
        const even = Number(gap.to - gap.from) / perPixel;
        if (isFolded ? even < whole * (1 - 1e-6) : even > whole * (1 + 1e-6)) return false;
      }
      return axis.instants.slice(1).every((tick, n) => {
        const [start, end] = [clip(axis.instants[n] ?? 0n), clip(tick)];
        if (start === end || folds.some((fold) => fold.from === start && fold.to === end)) return true;
        return Math.abs(scale.xOf(end) - scale.xOf(start) - Number(end - start) / perPixel) < 1e-3;
      });
    }),
    runs,
  );
});

t.test('no window leaves the axis, or is empty', async () => {
  const anyMicros = fc.bigInt(-(10n ** 19n), 10n ** 19n);
  const move = fc.oneof(
    fc.record({ at: part, factor: factor(1e6) }),
    fc.record({ pan: pixels(5_000) }),
    fc.record({ from: anyMicros, to: anyMicros }),
  );
  fc.assert(
    fc.property(scale, fc.array(move, { maxLength: 20 }), (scale, moves) => {
      let shown = scale;
      const { axis, width } = scale;
      const isInside = ({ from, to }: { from: bigint; to: bigint }) => from >= axis.from && to <= axis.to && from < to;
      return moves.every((move) => {
        const window =
          'pan' in move
            ? shown.pan(move.pan)
            : 'at' in move
              ? shown.zoom(shown.microsAt(move.at * width), move.factor)
              : scaleOf(axis, { ...move, width });
        shown = scaleOf(axis, { from: window.from, to: window.to, width });
        return isInside(window) && window.from === shown.from && window.to === shown.to;
      });
    }),
    runs,
  );
});

t.test('zoom keeps the moment under the pointer', async () => {
  fc.assert(
    fc.property(scale, part, factor(10), (scale, part, factor) => {
      const { axis, width } = scale;
      const at = scale.microsAt(part * width);
      const window = scale.zoom(at, factor);
      const zoomed = scaleOf(axis, { ...window, width });
      // At an end of the axis there is nothing more to show on that side.
      const isAtEnd = window.from === axis.from || window.to === axis.to;
      return isAtEnd || Math.abs(zoomed.xOf(at) - scale.xOf(at)) <= finestOf(zoomed, at);
    }),
    runs,
  );
  fc.assert(
    fc.property(
      scale,
      part,
      factor(10).map((by) => Math.max(by, 1 / by)),
      (scale, part, factor) => {
        const at = scale.microsAt(part * scale.width);
        const closer = scaleOf(scale.axis, { ...scale.zoom(at, factor), width: scale.width });
        const isWithin =
          closer.xOf(scale.from) <= finestOf(closer, at) && closer.xOf(scale.to) >= scale.width - finestOf(closer, at);
        return isWithin;
      },
    ),
    runs,
  );
});

t.test('panning moves everything by the same, and back again; at an end of the axis by less', async () => {
  fc.assert(
    fc.property(scale, pixels(500), part, part, (scale, pixels, one, other) => {
      const { axis, width } = scale;
      const window = scale.pan(pixels);
      const panned = scaleOf(axis, { ...window, width });
      // Inside of a fold one does not know how wide it was.
      if (width <= FOLD) return true;
      // No window is shorter, so one may show more than was moved there.
      if (panned.to - panned.from <= BigInt(Math.ceil(width / 5))) return true;
      const [at, beside] = [scale.microsAt(one * width), scale.microsAt(other * width)];
      const isSeen = (micros: bigint) => micros >= panned.from && micros <= panned.to;
      const moved = scale.xOf(at) - panned.xOf(at);
      const besideMoved = scale.xOf(beside) - panned.xOf(beside);
      if (isSeen(at) && isSeen(beside) && Math.abs(moved - besideMoved) > 2 * finestOf(panned, at)) return false;
      if (window.from === axis.from || window.to === axis.to) return true;
      // Of a window so close up that folds are wider, one without folds does not know how wide they were.
      const isClose = pixelsPerMicro(scale) > 4.99;
      const back = scaleOf(axis, { ...panned.pan(-pixels), width });
      return (
        (!isSeen(at) || Math.abs(moved - pixels) <= finestOf(panned, at)) &&
        (isClose || Math.abs(back.xOf(at) - scale.xOf(at)) <= 4 * finestOf(scale, at))
      );
    }),
    runs,
  );
});

t.test('panning goes on through folds, from both sides', async (t) => {
  const burst = new Array(99).fill(10_000n);
  const axis = axisOf(ticksAt(0n, [...burst, YEAR, ...burst, YEAR, ...burst]));
  const second = YEAR + 990_000n;
  const middle = scaleOf(axis, { from: second + 50_000n, to: second + 940_000n, width: 890 });
  const tick = second + 500_000n;
  t.equal(middle.xOf(tick), 450);
  for (let pixels = -140; pixels <= 140; pixels += 10) {
    const panned = scaleOf(axis, { ...middle.pan(pixels), width: 890 });
    t.ok(Math.abs(panned.xOf(tick) - (450 - pixels)) < 0.01, `${pixels}: ${panned.xOf(tick)}`);
  }
});

t.test('the ticks between two places are those that are drawn there, each in one column', async () => {
  fc.assert(
    fc.property(scale, part, part, (scale, one, other) => {
      const { axis, width } = scale;
      const [x0, x1] = [Math.min(one, other) * width, Math.max(one, other) * width];
      const { start, end } = scale.ticksIn(x0, x1);
      const isIn = (tick: bigint) => tick >= scale.from && tick <= scale.to;
      return axis.instants.every((tick, n) => {
        const x = scale.xOf(tick);
        // What is on an edge may be on either side of it, by how numbers are rounded.
        if (Math.abs(x - x0) < 1e-6 || Math.abs(x - x1) < 1e-6) return true;
        return (n >= start && n < end) === (isIn(tick) && x > x0 && x < x1);
      });
    }),
    runs,
  );
  fc.assert(
    fc.property(scale, fc.integer({ min: 1, max: 50 }), (scale, columnWidth) => {
      const { counts, most } = densityOf(scale, columnWidth);
      const shown = scale.axis.instants.filter((tick) => tick >= scale.from && tick <= scale.to).length;
      return (
        counts.length === Math.ceil(scale.width / columnWidth) &&
        counts.reduce((sum, count) => sum + count, 0) === shown &&
        most === Math.max(...counts)
      );
    }),
    runs,
  );
  fc.assert(
    fc.property(scale, part, (scale, part) => {
      const x = part * scale.width;
      const near = scale.nearest(x);
      const far = (tick: bigint) => Math.abs(scale.xOf(tick) - x);
      const shown = scale.axis.instants.filter((tick) => tick >= scale.from && tick <= scale.to);
      const tick = scale.axis.instants[near];
      if (tick === undefined) return near === -1 && shown.length === 0;
      return shown.includes(tick) && far(tick) <= Math.min(...shown.map(far)) + 1e-6;
    }),
    runs,
  );
});

t.test('axes with little on them', async (t) => {
  const cases: [name: string, instants: bigint[], until: bigint | undefined, from: bigint, to: bigint][] = [
    ['nothing', [], undefined, -SECOND, 0n],
    ['nothing until now', [], 5n, 5n - SECOND, 5n],
    ['one tick', [7n], undefined, 7n - SECOND, 7n],
    ['one tick, and now', [7n], 9n, 7n, 9n],
    ['one tick, and a clock that is behind it', [7n], 3n, 7n - SECOND, 7n],
    ['two ticks', [7n, 8n], undefined, 7n, 8n],
  ];
  for (const [name, instants, until, from, to] of cases) {
    const scale = scaleOf(axisOf(instants, until), { width: 100 });
    t.strictSame([scale.from, scale.to], [from, to], name);
    t.strictSame([scale.xOf(from), scale.xOf(to), scale.microsAt(0), scale.microsAt(100)], [0, 100, from, to], name);
    t.strictSame(scale.ticksIn(0, 100), { start: 0, end: instants.length }, name);
    t.equal(scale.nearest(50), instants.length > 0 ? scale.nearest(50) : -1, name);
    t.strictSame(scale.folds, [], name);
    t.same(scaleOf(scale.axis, { ...scale.zoom(to, 0.5), width: 100 }).to, to, name);
  }
  t.equal(scaleOf(axisOf([1n, 9n]), { width: 0 }).width, 1, 'a width that is none');
  t.equal(scaleOf(axisOf([1n, 9n]), { width: Number.NaN }).xOf(5n), 0.5, 'a width that nobody knows yet');
});

t.test('a pointer that goes wild leaves a window', async (t) => {
  const scale = scaleOf(axisOf([0n, 5n, 6n, YEAR, YEAR + 9n]), { from: 3n, to: 2n * DAY, width: 100 });
  for (const wild of [0, -1, Number.NaN, 1e300, -1e300, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-300])
    for (const { from, to } of [scale.pan(wild), scale.zoom(10n, wild), scale.zoom(scale.microsAt(wild), 2)])
      t.ok(from >= 0n && from < to && to <= YEAR + 9n, `${wild}: ${from} to ${to}`);
});

t.test('rounded numbers neither lead over the edge nor leave nothing for what is not folded', async (t) => {
  const start = microseconds('0001-01-01T00:00:00Z');
  const long = axisOf([start, start + 7_306n, start + 250_199_979_305_667n]);
  const scale = scaleOf(long, { width: 1_769 });
  for (let n = 0n; n < 100n; n++) t.ok(scale.xOf(long.to - n) <= 1_769);

  const gap = 4_871_205_490_760_068n;
  const axis = axisOf([start, start + gap], start + gap + 1n);
  for (let n = -9n; n < 10n; n++) {
    const to = start + gap;
    const close = scaleOf(axis, { from: to - (gap * 12n) / BigInt(FOLD) + n, to, width: 12 });
    t.ok(close.zoom(close.from, 1e-6).to <= axis.to);
  }
});

t.test('regular ticks have no folds, however they are zoomed; bursts are told apart', async (t) => {
  const daily = axisOf(ticksAt(0n, new Array(1_000).fill(DAY)));
  for (const days of [1_000n, 100n, 10n, 2n])
    t.same(scaleOf(daily, { from: 0n, to: days * DAY, width: 1_000 }).folds, []);

  const thousand = new Array(40).fill(1_000n);
  for (const [gap, folds] of [[10_000n, 0] as const, [10_001n, 1] as const]) {
    const axis = axisOf(ticksAt(0n, [...thousand, gap, ...thousand]));
    t.equal(scaleOf(axis, { width: 1_000 }).folds.length, folds, `a gap of ${gap} µs among some of 1,000`);
  }

  // A hundred ticks in a second, once a year.
  const burst = new Array(99).fill(10_000n);
  const yearly = axisOf(ticksAt(0n, [...burst, YEAR, ...burst, 3n * YEAR, ...burst]));
  const whole = scaleOf(yearly, { width: 1_000 });
  t.same(
    whole.folds.map(({ width }) => Math.round(width)),
    [FOLD, FOLD],
  );
  t.ok(densityOf(whole).most <= 2, 'no two bursts, and nearly no two ticks, are drawn at one place');
  // Beside the window of a burst the year of nothing is no wider.
  const { from, to } = whole.zoom(whole.microsAt(500), 4);
  t.same(scaleOf(yearly, { from, to, width: 1_000 }).folds, []);
});

t.test(
  'ticks that are a microsecond apart are told from each other, also nine thousand years after the first',
  async (t) => {
    const start = microseconds('0001-01-01T00:00:00Z');
    const late = start + 9_000n * YEAR;
    const axis = axisOf([start, start + 1n, start + 2n, start + 3n, late, late + 1n, late + 2n, late + 3n]);
    const scale = scaleOf(axis, { width: 300 });
    t.same(scale.folds.length, 1);
    const places = axis.instants.map(scale.xOf);
    for (const [n, x] of places.entries()) if (n > 0) t.ok(x - (places[n - 1] ?? 0) >= 4.9, `${x}`);
    for (const [n, tick] of axis.instants.entries()) {
      t.equal(scale.microsAt(scale.xOf(tick)), tick);
      t.equal(scale.nearest(scale.xOf(tick) + 1), n);
      t.equal(scale.ticksIn(scale.xOf(tick) - 1, 300).start, n);
      t.equal(scale.ticksIn(scale.xOf(tick) + 1, 300).start, n + 1);
    }
  },
);

t.test('fifty thousand ticks', async (t) => {
  // Of one core, in milliseconds: the axis 6, a scale 0.05, the density of 1,000 columns 1, 20,000 places 1; the first of each some times that.
  const gaps = Array.from({ length: 49_999 }, (_, n) => BigInt(1 + ((n * 7_919) % 1_000)) + (n % 100 === 0 ? DAY : 0n));
  const axis = axisOf(ticksAt(0n, gaps));
  let scale = scaleOf(axis, { width: 1_000 });
  t.equal(
    densityOf(scale).counts.reduce((sum, count) => sum + count, 0),
    50_000,
  );
  const tick = axis.instants[25_050] ?? 0n;
  for (let n = 0; n < 60; n++) scale = scaleOf(axis, { ...scale.zoom(tick, 1.5), width: 1_000 });
  t.ok(scale.to - scale.from < SECOND, 'zoomed in, a burst is seen alone');
  for (let n = 0; n < 100; n++) scale = scaleOf(axis, { ...scale.pan(300), width: 1_000 });
  t.ok(scale.folds.length <= 1_000 / FOLD + 1);
});
