import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { instantToMicros, microsToInstant } from '../core/instants.js';
import { type Axis, axisOf, type Scale, scaleOf, type Window } from '../core/scale.js';
import { Failure } from '../problem.js';
import { go, view } from '../state.js';
import type { Clock } from './data.js';
import { headAt } from './heads.js';
import { Lanes, type Line } from './lanes.js';
import { Marks } from './marks.js';
import { type Moment, pointOf } from './moment.js';
import { useDrag, useWheel } from './pointer.js';
import { useSheet } from './sheet.js';
import { Slider } from './slider.js';
import { Strip } from './strip.js';

/** Where one types which properties have a lane. */
export const FILTER_ID = 'lanes-filter';

/** What keys do with the timeline: move it by a share of its width, and draw everything so many times as wide. */
export type Moves = { pan: (share: number) => void; zoom: (factor: number) => void };

/** How much of its width buttons move the timeline, and how much they zoom. */
const PAN = 0.25;
const ZOOM = 1.5;

/** How wide the names of the properties are, in pixels; where the page is narrow, and else. */
const NAMES = { narrow: 92, wide: 176, from: 620 };

/** A window that stands still for so long goes into the address, in milliseconds. */
const REST_MS = 150;

/**
 * The properties of an entity over its ticks: how many there were when, a mark for each, a lane for each property; and the handle that says as
 * of when the rest of the page shows it.
 */
export function Timeline({
  entity,
  clock,
  shown,
  other,
  names,
  moves,
}: {
  entity: string;
  clock: Clock;
  shown: Moment;
  other: Moment | null;
  /** Properties that are known to be there. */
  names: readonly string[];
  moves: RefObject<Moves | null>;
}) {
  const { heads } = clock;
  const { lanes: filter = '' } = view.value;
  const frame = useRef<HTMLDivElement>(null);
  const [whole, namesWidth] = useWidths(frame);
  const width = Math.max(80, whole - namesWidth);
  const axis = useMemo(
    () =>
      axisOf(
        heads.map(({ micros }) => micros),
        BigInt(Date.now()) * 1_000n,
      ),
    [heads],
  );
  const [window, isMoving, show] = useWindow(axis);
  const scale = useMemo(() => scaleOf(axis, { ...window, width }), [axis, window.from, window.to, width]);
  const sheet = useSheet(scale, isMoving);

  moves.current = {
    pan: (share) => show(scale.pan(share * width)),
    zoom: (factor) => show(scale.zoom(anchorOf(scale, shown, clock), factor)),
  };
  const pointed = useRef<number | null>(null);
  const point = (x: number) => {
    const tick = tickAt(x, scale, clock);
    const at = pointOf(tick, heads.at(-1)?.tick ?? 1);
    pointed.current = tick;
    if (at !== view.value.at) go({ at }, 'replace');
  };
  useFollowing(shown, pointed, clock, scale, show);
  const drag = useDrag(scale, show, point);
  useWheel(frame, namesWidth, scale, show);

  const { start, end } = scale.ticksIn(0, width);
  return (
    <section class="timeline" aria-labelledby="timeline-title" style={{ '--names': `${namesWidth}px` }}>
      <div class="tools">
        <h2 id="timeline-title">Timeline</h2>
        <Steps clock={clock} shown={shown} />
        <fieldset class="group">
          <legend class="unseen">What the timeline shows</legend>
          <button type="button" onClick={() => moves.current?.pan(-PAN)} aria-label="Earlier">
            ⟨
          </button>
          <button type="button" onClick={() => moves.current?.zoom(1 / ZOOM)} aria-label="Zoom out">
            −
          </button>
          <button type="button" onClick={() => moves.current?.zoom(ZOOM)} aria-label="Zoom in">
            +
          </button>
          <button type="button" onClick={() => moves.current?.pan(PAN)} aria-label="Later">
            ⟩
          </button>
          <button type="button" onClick={() => show({ from: axis.from, to: axis.to })}>
            all
          </button>
        </fieldset>
        <label class="field">
          <span class="unseen">Lanes of properties whose name has</span>
          <input
            id={FILTER_ID}
            type="search"
            placeholder="property …"
            value={filter}
            onInput={({ currentTarget: { value } }) => go({ lanes: value || undefined }, 'replace')}
          />
        </label>
      </div>
      <div class="frame" ref={frame}>
        <div class="row">
          <span class="name muted">all {heads.length.toLocaleString('en')} ticks</span>
          <Strip axis={axis} shown={scale} width={width} show={show} />
        </div>
        <div class="row">
          <span class="name muted">{(end - start).toLocaleString('en')} in view</span>
          <div class="track" style={{ width: `${width}px` }} {...drag(0)}>
            <Marks clock={clock} sheet={sheet} shown={shown} count={end - start} />
            <Slider clock={clock} shown={shown} scale={scale} point={point} />
          </div>
        </div>
        <Lanes
          entity={entity}
          clock={clock}
          scale={scale}
          sheet={sheet}
          names={names}
          filter={filter}
          drag={drag(namesWidth)}
          lines={[lineOf(shown, clock, scale, 'shown'), other && lineOf(other, clock, scale, 'beside')]}
        />
      </div>
      <Reading clock={clock} />
    </section>
  );
}

function lineOf({ asOf, tick }: Moment, clock: Clock, scale: Scale, is: Line['is']): Line | null {
  const micros = asOf === undefined ? scale.axis.to : tick === null ? undefined : headAt(clock.heads, tick)?.micros;
  if (micros === undefined || micros < scale.from || micros > scale.to) return null;
  return { x: scale.xOf(micros), is };
}

/** How near to a tick a pointer means it, in pixels. */
const NEAR = 4;

/** The tick that a place means: the nearest one, if it is near, or the last one before. */
function tickAt(x: number, scale: Scale, { heads }: Clock): number {
  const near = scale.nearest(x);
  const isNear = near >= 0 && Math.abs(scale.xOf(heads[near]?.micros ?? 0n) - x) <= NEAR;
  const index = isNear ? near : scale.ticksIn(0, x).end - 1;
  return heads[Math.max(0, index)]?.tick ?? 1;
}

/** What zooming leaves in its place: the moment that is shown, or the middle. */
function anchorOf(scale: Scale, shown: Moment, clock: Clock): bigint {
  const micros = shown.tick === null ? undefined : headAt(clock.heads, shown.tick)?.micros;
  const isSeen = micros !== undefined && micros >= scale.from && micros <= scale.to;
  return isSeen ? micros : scale.microsAt(scale.width / 2);
}

function Steps({ clock, shown }: { clock: Clock; shown: Moment }) {
  const last = clock.heads.at(-1)?.tick ?? 1;
  const tick = shown.tick ?? last;
  const to = (at: number) => () => go({ at: pointOf(at, last) }, 'replace');
  return (
    <fieldset class="group">
      <legend class="unseen">As of</legend>
      <button type="button" disabled={tick <= 1} onClick={to(1)}>
        first
      </button>
      <button type="button" disabled={tick <= 1} onClick={to(tick - 1)} aria-label="The tick before">
        ←
      </button>
      <button type="button" disabled={tick >= last} onClick={to(tick + 1)} aria-label="The tick after">
        →
      </button>
      <button type="button" disabled={shown.asOf === undefined} onClick={to(last)}>
        now
      </button>
    </fieldset>
  );
}

function Reading({ clock: { heads, isReading, isWhole, failed, readOlder } }: { clock: Clock }) {
  const last = heads.at(-1)?.tick ?? 0;
  if (failed) return <Failure {...failed} />;
  if (isReading)
    return (
      <p class="loading" role="status">
        Older ticks are being read: {heads.length.toLocaleString('en')} of {last.toLocaleString('en')}{' '}
        <progress value={heads.length} max={last} aria-label="Ticks that are read" />
      </p>
    );
  if (isWhole) return null;
  return (
    <p>
      Only the newest {heads.length.toLocaleString('en')} of {last.toLocaleString('en')} ticks are read.{' '}
      <button type="button" onClick={readOlder}>
        Read older ones
      </button>
    </p>
  );
}

/** How wide the frame is, but for the room of a scroll bar, and how much of it names take. */
function useWidths(frame: RefObject<HTMLDivElement | null>): [whole: number, names: number] {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) return;
    const measure = () => setWidth(element.clientWidth);
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  return [width - SCROLL_BAR, width < NAMES.from ? NAMES.narrow : NAMES.wide];
}

/** What the lanes keep free for their scroll bar, in pixels. */
const SCROLL_BAR = 14;

type Shown = { from?: bigint | undefined; to?: bigint | undefined };

/**
 * What of time is shown, as the view says, and how that is changed. While it moves it is kept here: the address has room for so many changes
 * a second. An edge that is that of all time is not said, so that what comes later is shown, too.
 */
function useWindow(axis: Axis): [shown: Shown, isMoving: boolean, show: (window: Window) => void] {
  const { from, to } = view.value;
  const [moving, setMoving] = useState<Shown | null>(null);
  const said = useMemo(
    (): Shown => ({
      from: from === undefined ? undefined : instantToMicros(from),
      to: to === undefined ? undefined : instantToMicros(to),
    }),
    [from, to],
  );
  useEffect(() => {
    if (!moving) return;
    const rest = setTimeout(() => {
      go({ from: textOf(moving.from), to: textOf(moving.to) }, 'replace');
      setMoving(null);
    }, REST_MS);
    return () => clearTimeout(rest);
  }, [moving]);
  const show = ({ from, to }: Window) =>
    setMoving({ from: from > axis.from ? from : undefined, to: to < axis.to ? to : undefined });
  return [moving ?? said, moving !== null, show];
}

const textOf = (micros: bigint | undefined): string | undefined =>
  micros === undefined ? undefined : microsToInstant(micros);

/** So many times half of the width is moved to follow a moment; what is further away is jumped to. */
const MOST_MOVES = 40;

/** Moves the timeline so that the moment that is shown stays in view when somebody steps out of it; not under a pointer, which has chosen a place. */
function useFollowing(
  shown: Moment,
  pointed: { current: number | null },
  clock: Clock,
  scale: Scale,
  show: (window: Window) => void,
): void {
  const before = useRef(shown.tick);
  useEffect(() => {
    if (before.current === shown.tick) return;
    before.current = shown.tick;
    const isPointed = shown.tick === pointed.current;
    pointed.current = null;
    if (isPointed) return;
    const micros =
      shown.asOf === undefined
        ? scale.axis.to
        : shown.tick === null
          ? undefined
          : headAt(clock.heads, shown.tick)?.micros;
    if (micros === undefined) return;
    let window: Window = scale;
    for (let n = 0; n < MOST_MOVES && (micros < window.from || micros > window.to); n++) {
      const { pan, width } = scaleOf(scale.axis, { ...window, width: scale.width });
      window = pan(micros < window.from ? -width / 2 : width / 2);
    }
    if (micros < window.from || micros > window.to) {
      const half = (scale.to - scale.from) / 2n;
      window = { from: micros - half, to: micros + half };
    }
    if (window !== scale) show(window);
  }, [shown.tick, shown.asOf]);
}
