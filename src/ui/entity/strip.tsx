import { useMemo, useRef } from 'preact/hooks';
import { densityOf } from '../core/density.js';
import { type Axis, type Scale, scaleOf, type Window } from '../core/scale.js';

const HEIGHT = 36;
/** How wide a column is in which ticks are counted, in pixels. */
const COLUMN = 2;
/** How near to an edge of the window a pointer takes hold of it, in pixels. */
const GRIP = 7;

/** How many ticks there were over all of the time, and which of it the timeline shows: a brush, to be moved and drawn. */
export function Strip({
  axis,
  shown,
  width,
  show,
}: {
  axis: Axis;
  shown: Window;
  width: number;
  show: (window: Window) => void;
}) {
  const scale = useMemo(() => scaleOf(axis, { width }), [axis, width]);
  const path = useMemo(() => pathOf(scale), [scale]);
  const x0 = scale.xOf(shown.from);
  const x1 = Math.max(x0 + 2, scale.xOf(shown.to));
  const drag = useRef<((x: number) => void) | null>(null);
  const placeOf = (event: PointerEvent & { currentTarget: Element }) =>
    event.clientX - event.currentTarget.getBoundingClientRect().left;
  const between = (a: number, b: number) =>
    Math.abs(a - b) > 1 && show({ from: scale.microsAt(Math.min(a, b)), to: scale.microsAt(Math.max(a, b)) });

  const take = (x: number): ((x: number) => void) => {
    if (Math.abs(x - x0) < GRIP) return (to) => between(to, x1);
    if (Math.abs(x - x1) < GRIP) return (to) => between(x0, to);
    const isWhole = x0 <= 0 && x1 >= scale.width;
    if (x < x0 || x > x1 || isWhole) return (to) => between(x, to);
    return (to) => {
      const left = Math.min(Math.max(0, x0 + to - x), scale.width - (x1 - x0));
      between(left, left + x1 - x0);
    };
  };
  return (
    <svg
      class="strip"
      width={scale.width}
      height={HEIGHT}
      role="img"
      aria-label={`How many of ${axis.instants.length.toLocaleString('en')} ticks there were when; what the timeline shows is framed`}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        drag.current = take(placeOf(event));
      }}
      onPointerMove={(event) => drag.current?.(placeOf(event))}
      onPointerUp={() => (drag.current = null)}
      onPointerCancel={() => (drag.current = null)}
    >
      {scale.folds.map(({ x, width: wide }) => (
        <rect key={x} class="fold" x={x} y={0} width={wide} height={HEIGHT} />
      ))}
      <path class="density" d={path} />
      <rect class="brush" x={x0} y={0.5} width={x1 - x0} height={HEIGHT - 1} />
      <rect class="grip" x={x0 - 2} y={HEIGHT / 2 - 8} width={4} height={16} rx={2} />
      <rect class="grip" x={x1 - 2} y={HEIGHT / 2 - 8} width={4} height={16} rx={2} />
    </svg>
  );
}

/** The columns, of which one tick is still seen beside a thousand. */
function pathOf(scale: Scale): string {
  const { counts, most } = densityOf(scale, COLUMN);
  const parts: string[] = [];
  const unit = (HEIGHT - 6) / Math.log2(1 + Math.max(1, most));
  for (let column = 0; column < counts.length; column++) {
    const count = counts[column] ?? 0;
    if (count > 0)
      parts.push(
        `M${column * COLUMN} ${HEIGHT}h${COLUMN}v${-(2 + unit * Math.log2(1 + count)).toFixed(1)}h${-COLUMN}z`,
      );
  }
  return parts.join('');
}
