import { useMemo } from 'preact/hooks';
import type { Op } from '../../client/types.js';
import { formatInstant } from '../core/instants.js';
import { marksOf } from '../core/marks.js';
import { cut } from '../core/value-text.js';
import type { Zone } from '../core/view.js';
import { view } from '../state.js';
import type { Clock } from './data.js';
import type { Head } from './heads.js';
import type { Moment } from './moment.js';
import type { Drawn, Sheet } from './sheet.js';

const HEIGHT = 58;
/** Where the marks stand, and how high they are at most. */
const BASE = 56;
const HIGHEST = 24;
/** Ticks that are nearer to each other share a mark, in pixels. */
const NEAR = 4;
/** How far apart times are written, in pixels. */
const APART = 96;
/** How much room one needs, in pixels. */
const ROOM = 60;

/** The ticks from `first` to `last`, which are drawn at one place. */
type Stroke = { x: number; first: Head; last: Head; count: number };

/** The ticks in view as marks, and the instants of some of them. What each did and who did it is said where a pointer rests. */
export function Marks({
  clock,
  sheet: { drawn, left },
  shown,
  count,
}: {
  clock: Clock;
  sheet: Sheet;
  shown: Moment;
  /** How many ticks are in view. */
  count: number;
}) {
  const { zone = 'utc' } = view.value;
  const { scale, origin } = drawn;
  const strokes = useMemo(() => strokesOf(clock.heads, drawn), [clock.heads, drawn]);
  const times = useMemo(() => marksOf(scale, zone, undefined, APART), [scale, zone]);
  const picture = useMemo(
    () => (
      <>
        {scale.folds.map(({ x, width }) => (
          <g key={round(origin + x)} class="fold">
            <rect x={round(origin + x)} y={0} width={width} height={HEIGHT} />
            {width > 10 && (
              <text x={round(origin + x + width / 2)} y={BASE - 6} text-anchor="middle">
                ⋯
              </text>
            )}
          </g>
        ))}
        {times.map(({ x, label, day }) => (
          <g key={round(origin + x)} class="time">
            <path d={`M${round(origin + x)} 26v${HEIGHT - 26}`} />
            <Time x={x} y={24} drawn={drawn} text={label} />
            {day !== null && <Time x={x} y={11} drawn={drawn} text={day} />}
          </g>
        ))}
        {strokes.map((stroke) => (
          <path
            key={stroke.first.tick}
            class={classOf(stroke, shown)}
            data-first={stroke.first.tick}
            data-last={stroke.last.tick}
            d={shapeOf(stroke)}
          >
            <title>{titleOf(stroke, zone)}</title>
          </path>
        ))}
      </>
    ),
    [strokes, times, shown.tick],
  );
  return (
    <div class="clip">
      <div class="moved" style={{ transform: `translateX(${-left}px)` }}>
        <svg
          class="marks"
          style={{ left: `${origin}px` }}
          width={scale.width}
          height={HEIGHT}
          viewBox={`${origin} 0 ${scale.width} ${HEIGHT}`}
          role="img"
          aria-label={`${count.toLocaleString('en')} ticks in view; the list of ticks tells them one by one`}
        >
          {picture}
        </svg>
      </div>
    </div>
  );
}

/** A time beside its line: on the other side of it where it would reach over the end. */
function Time({ x, y, drawn: { scale, origin }, text }: { x: number; y: number; drawn: Drawn; text: string }) {
  const isLast = x > scale.width - ROOM;
  return (
    <text x={round(origin + x + (isLast ? -2 : 2))} y={y} text-anchor={isLast ? 'end' : 'start'}>
      {text}
    </text>
  );
}

function strokesOf(heads: readonly Head[], { scale, origin }: Drawn): Stroke[] {
  const strokes: Stroke[] = [];
  const { start, end } = scale.ticksIn(0, scale.width);
  for (let n = start; n < end; ) {
    const first = heads[n];
    if (!first) break;
    const x = scale.xOf(first.micros);
    const next = Math.max(n + 1, scale.ticksIn(x, Math.min(scale.width, x + NEAR)).end);
    const last = heads[Math.min(next, end) - 1] ?? first;
    strokes.push({ x: origin + x, first, last, count: Math.min(next, end) - n });
    n = next;
  }
  return strokes;
}

const classOf = ({ first, last, count }: Stroke, { tick }: Moment): string => {
  const isShown = tick !== null && first.tick <= tick && tick <= last.tick;
  return `mark ${count > 1 ? 'many' : `op-${first.op}`}${isShown ? ' here' : ''}`;
};

/** Each kind of tick has its own shape. */
const SHAPES: Record<Op, (x: number) => string> = {
  created: (x) => `M${x} ${BASE}v-14m-5 5l5 -5l5 5`,
  updated: (x) => `M${x} ${BASE}v-12`,
  deleted: (x) => `M${x - 4} ${BASE - 10}l8 8m0 -8l-8 8`,
  restored: (x) => `M${x} ${BASE}v-6m-4 -4a4 4 0 1 0 8 0a4 4 0 1 0 -8 0`,
};

function shapeOf({ x, first, count }: Stroke): string {
  if (count === 1) return SHAPES[first.op](round(x));
  const height = Math.min(HIGHEST, 12 + 2 * Math.log2(count));
  return `M${round(x)} ${BASE}h3v-${height.toFixed(1)}h-3z`;
}

const round = (x: number): number => Math.round(x * 10) / 10;

function titleOf({ first, last, count }: Stroke, zone: Zone): string {
  const at = formatInstant(first.at, zone, new Date());
  if (count > 1) return `${count} ticks, from ${first.tick} to ${last.tick}, since ${at}`;
  const { actor, reason } = first.activity ?? {};
  return `tick ${first.tick}: ${first.op}, ${at}, by ${actor ?? 'somebody'}${reason === undefined ? '' : `: ${cut(reason, 200)}`}`;
}
