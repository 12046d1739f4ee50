import { useMemo } from 'preact/hooks';
import type { Op } from '../../client/types.js';
import { formatInstant } from '../instants.js';
import type { Scale } from '../scale.js';
import { view } from '../state.js';
import { cut } from '../value-text.js';
import type { Zone } from '../view.js';
import type { Clock, Head } from './data.js';
import type { Moment } from './moment.js';

const HEIGHT = 46;
/** Where the marks stand, and how high the text of the axis is above them. */
const BASE = 44;
const TOP = 24;
/** Ticks that are nearer to each other share a mark, in pixels. */
const NEAR = 4;
/** How far apart instants are written, in pixels. */
const APART = 118;

/** A mark: the ticks from `first` to `last`, which are drawn at one place. */
type Mark = { x: number; first: Head; last: Head; count: number };

/** The ticks in view as marks, and the instants of some of them. What each did and who did it is said where a pointer rests. */
export function Marks({ clock, scale, shown }: { clock: Clock; scale: Scale; shown: Moment }) {
  const { zone = 'utc' } = view.value;
  const marks = useMemo(() => marksOf(clock.heads, scale), [clock.heads, scale]);
  const labels = useMemo(() => labelsOf(marks, scale, zone), [marks, scale, zone]);
  const count = marks.reduce((sum, mark) => sum + mark.count, 0);
  return (
    <svg
      class="marks"
      width={scale.width}
      height={HEIGHT}
      role="img"
      aria-label={`${count.toLocaleString('en')} ticks in view; the list of ticks tells them one by one`}
    >
      {scale.folds.map(({ x, width }) => (
        <g key={x} class="fold">
          <rect x={x} y={0} width={width} height={HEIGHT} />
          {width > 10 && (
            <text x={x + width / 2} y={BASE - 6} text-anchor="middle">
              ⋯
            </text>
          )}
        </g>
      ))}
      {labels.map(({ x, text, anchor }) => (
        <text key={x} class="instant" x={x} y={14} text-anchor={anchor}>
          {text}
        </text>
      ))}
      {marks.map((mark) => (
        <path
          key={mark.first.tick}
          class={classOf(mark, shown)}
          data-first={mark.first.tick}
          data-last={mark.last.tick}
          d={shapeOf(mark)}
        >
          <title>{titleOf(mark, zone)}</title>
        </path>
      ))}
    </svg>
  );
}

function marksOf(heads: readonly Head[], scale: Scale): Mark[] {
  const marks: Mark[] = [];
  const { start, end } = scale.ticksIn(0, scale.width);
  for (let n = start; n < end; ) {
    const first = heads[n];
    if (!first) break;
    const x = scale.xOf(first.micros);
    const next = Math.max(n + 1, scale.ticksIn(x, Math.min(scale.width, x + NEAR)).end);
    const last = heads[Math.min(next, end) - 1] ?? first;
    marks.push({ x, first, last, count: Math.min(next, end) - n });
    n = next;
  }
  return marks;
}

const classOf = ({ first, last, count }: Mark, { tick }: Moment): string => {
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

function shapeOf({ x, first, count }: Mark): string {
  if (count === 1) return SHAPES[first.op](round(x));
  const height = Math.min(BASE - TOP, 12 + 2 * Math.log2(count));
  return `M${round(x)} ${BASE}h3v-${height.toFixed(1)}h-3z`;
}

const round = (x: number): number => Math.round(x * 10) / 10;

function titleOf({ first, last, count }: Mark, zone: Zone): string {
  const at = formatInstant(first.at, zone, new Date());
  if (count > 1) return `${count} ticks, from ${first.tick} to ${last.tick}, since ${at}`;
  const { actor, reason } = first.activity ?? {};
  return `tick ${first.tick}: ${first.op}, ${at}, by ${actor ?? 'somebody'}${reason === undefined ? '' : `: ${cut(reason, 200)}`}`;
}

type Label = { x: number; text: string; anchor: 'start' | 'middle' | 'end' };

/** Instants of some marks, apart from each other: first of those whose numbers are the roundest, so that few of them change as time moves by. */
function labelsOf(marks: readonly Mark[], scale: Scale, zone: Zone): Label[] {
  const roundness = ({ first: { tick } }: Mark) => tick & -tick;
  const placed: Mark[] = [];
  for (const mark of [...marks].sort((a, b) => roundness(b) - roundness(a)))
    if (placed.every(({ x }) => Math.abs(x - mark.x) >= APART)) placed.push(mark);
  const seconds = Number(scale.to - scale.from) / 1e6;
  return placed.map(({ x, first }) => ({
    x,
    text: shortInstant(formatInstant(first.at, zone, new Date()), seconds),
    anchor: x < APART / 2 ? 'start' : x > scale.width - APART / 2 ? 'end' : 'middle',
  }));
}

const DAY = 86_400;

/** Of an instant what tells it from others within so many seconds. */
function shortInstant(text: string, seconds: number): string {
  const [date, time] = /^(\d{4}-\d\d-\d\d) (\S+)/.exec(text)?.slice(1) ?? [];
  if (date === undefined || time === undefined) return text;
  if (seconds > 60 * DAY) return date;
  if (seconds > DAY) return `${date.slice(5)} ${time.slice(0, 5)}`;
  return seconds > 60 ? time.slice(0, 8) : time;
}
