import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { densityOf } from '../density.js';
import { formatInstant } from '../instants.js';
import { type Bar, type Lane, type LaneRange, lanesOf, mergeForPixels } from '../lanes.js';
import { Failure } from '../problem.js';
import type { Scale, Window } from '../scale.js';
import { view } from '../state.js';
import { cut, nameText, valueText, WHOLE_NAME } from '../value-text.js';
import type { Zone } from '../view.js';
import { byName, type Clock, type Stretch, useEntityAt, useStretch, type Wanted, WHOLE_TICKS } from './data.js';
import { headAt } from './heads.js';
import type { Drag } from './pointer.js';

/** How high a lane is, and all that are in view together, in pixels. */
const ROW = 28;
const MOST_HEIGHT = 14 * ROW;

/** Properties are asked for in blocks of lanes, so that not every step of scrolling asks anew. */
const BLOCK = 12;

/** How wide a bar is at least, and a character of its text, in pixels. */
const LEAST = 4;
const CHARACTER = 6.8;

/** Where a moment cuts through the lanes. */
export type Line = { x: number; is: 'shown' | 'beside' };

/** A lane for each property: what it was, and when. Only those in view are drawn, and of them only the time in view. */
export function Lanes({
  entity,
  clock,
  scale,
  names,
  filter,
  drag,
  lines,
}: {
  entity: string;
  clock: Clock;
  scale: Scale;
  /** Properties that are known to have been there. */
  names: readonly string[];
  filter: string;
  drag: Drag;
  lines: readonly (Line | null)[];
}) {
  const [top, setTop] = useState(0);
  const [known, setKnown] = useState<readonly string[]>([]);
  const text = filter.toLowerCase();
  const listed = useMemo(() => known.filter((name) => name.toLowerCase().includes(text)), [known, text]);
  const height = Math.min(MOST_HEIGHT, Math.max(1, listed.length) * ROW);
  const first = Math.max(0, Math.min(Math.floor(top / ROW), listed.length - height / ROW));
  const end = first + height / ROW + 1;
  const rows = listed.slice(first, end);

  const had = useRef<Stretch | null>(null);
  const block = listed.slice(Math.floor(first / BLOCK) * BLOCK, Math.ceil(end / BLOCK) * BLOCK);
  const answer = useStretch(entity, wantedOf(clock, scale, block, had.current), clock);
  // What has been read stays true, whatever became of the rest.
  const stretch = answer.value ?? had.current;
  had.current = stretch;

  const ending = useEntityAt(entity, endOf(clock), clock);
  useEffect(() => {
    const found = new Set([...known, ...names, ...namesOf(stretch)]);
    if (ending.value?.is === 'there') for (const name of Object.keys(ending.value.entity.properties)) found.add(name);
    if (found.size > known.length) setKnown([...found].sort(byName));
  }, [names.join('\0'), stretch, ending.value]);

  const lanes = useMemo(
    () => new Map(stretch ? lanesOf(stretch.start, stretch.ticks).map((lane) => [lane.property, lane]) : []),
    [stretch],
  );
  const read = useMemo(() => readOf(stretch, clock, scale), [stretch, clock.heads, scale]);
  const nothing = useMemo(() => readOf(null, clock, scale), [clock.heads, scale]);
  // Each frame of a pan draws lanes anew; a step of the slider leaves them as they are.
  const drawn = useMemo(
    () =>
      rows.map((property, n) => (
        <LaneRow
          key={property}
          property={property}
          top={(first + n) * ROW}
          lane={lanes.get(property)}
          scale={scale}
          read={!stretch?.properties || stretch.properties.includes(property) ? read : nothing}
        />
      )),
    [lanes, read, nothing, rows.join('\0')],
  );
  const tip = useSignal<Tip | null>(null);
  return (
    <>
      <div class="lanes-frame">
        <section
          class="lanes"
          style={{ height: `${height}px` }}
          aria-label="Properties over time"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keys
          tabIndex={0}
          aria-busy={answer.state === 'loading'}
          onScroll={({ currentTarget }) => setTop(currentTarget.scrollTop)}
        >
          <div
            class="rows"
            style={{ height: `${listed.length * ROW}px` }}
            {...drag}
            onPointerOver={(event) => {
              tip.value = tipOf(event, lanes, view.value.zone ?? 'utc');
            }}
            onPointerLeave={() => {
              tip.value = null;
            }}
          >
            {drawn}
          </div>
        </section>
        <svg class="lines" width={scale.width} height={height} aria-hidden="true">
          {lines.map(
            (line) => line && <path key={line.is} class={line.is} d={`M${Math.round(line.x) + 0.5} 0V${height}`} />,
          )}
        </svg>
      </div>
      <Tooltip tip={tip} />
      {known.length > 0 && listed.length === 0 && <p class="absent">No property is called like that.</p>}
      {answer.state === 'failed' && <Failure error={answer.error} again={answer.again} />}
      {stretch !== null && stretch.until < stretch.last && (
        <p class="muted small note">
          Grey columns: too many ticks are in view to read what each of them changed. Zoom in to see the values.
        </p>
      )}
    </>
  );
}

/** The newest moment at which it had properties; null: it is not known yet. */
function endOf({ heads }: Clock): { asOf: string; tick: number } | null {
  const last = heads.at(-1);
  if (!last) return null;
  const tick = last.op === 'deleted' ? last.tick - 1 : last.tick;
  return { asOf: String(tick), tick };
}

const namesOf = (stretch: Stretch | null): string[] =>
  stretch
    ? [
        ...Object.keys(stretch.start?.properties ?? {}),
        ...stretch.ticks.flatMap(({ changes = {} }) => Object.keys(changes)),
      ]
    : [];

/** How many ticks around those in view are read along with them at least, so that a small step asks for nothing. */
const LEAST_AROUND = 25;

/**
 * Which stretch of ticks has to be read for what is in view: with all that they changed where they are few enough, otherwise with what they
 * changed of the properties in view.
 * @param had what is there already; it stays wanted as long as it will do
 */
function wantedOf(
  { heads, isReading }: Clock,
  scale: Scale,
  properties: readonly string[],
  had: Stretch | null,
): Wanted {
  const { start, end } = scale.ticksIn(0, scale.width);
  // Where no tick is in view, what the one before it left is.
  const first = heads[end > start ? start : Math.max(0, start - 1)]?.tick;
  const last = heads[end > start ? end - 1 : Math.max(0, start - 1)]?.tick;
  const [oldest, newest] = [heads[0]?.tick, heads.at(-1)?.tick];
  if (first === undefined || last === undefined || oldest === undefined || newest === undefined) return null;
  const count = last - first + 1;
  const isWhole = count <= WHOLE_TICKS;
  const isThere =
    had !== null &&
    had.first <= first &&
    last <= had.last &&
    (had.properties === null || (!isWhole && properties.every((name) => had.properties?.includes(name))));
  const isCut = isThere && had.until < last;
  if (isThere && (!isCut || (had.first === first && had.last === last))) return had;
  // As long as all of a long past comes into view, what has been read has to do.
  if (!isWhole && (isReading || properties.length === 0)) return had;
  const around = isWhole ? Math.min(Math.max(count, LEAST_AROUND), (WHOLE_TICKS - count) >> 1) : isCut ? 0 : count >> 1;
  return {
    first: Math.max(oldest, first - around),
    last: Math.min(newest, last + around),
    properties: isWhole ? null : properties,
  };
}

/** What of the width is known: from where to where, and how many ticks there were in the rest. */
type Read = { start: number; end: number; unread: string };

const COLUMN = 4;

function readOf(stretch: Stretch | null, { heads }: Clock, scale: Scale): Read {
  const { width, xOf } = scale;
  const before = stretch && headAt(heads, stretch.first - 1);
  const after = stretch && headAt(heads, stretch.until + 1);
  const start = stretch ? (before ? xOf(before.micros) : 0) : width;
  const end = stretch && after ? xOf(after.micros) : width;
  if (start <= 0 && end >= width) return { start, end, unread: '' };
  const { counts, most } = densityOf(scale, COLUMN);
  const unit = (ROW - 8) / Math.log2(1 + Math.max(1, most));
  let unread = '';
  for (let column = 0; column < counts.length; column++) {
    const x = column * COLUMN;
    const count = counts[column] ?? 0;
    if (count === 0 || (x >= start && x < end)) continue;
    const height = Math.round(2 + unit * Math.log2(1 + count));
    unread += `M${x} ${ROW - 3}v-${height}h${COLUMN - 1}v${height}z`;
  }
  return { start, end, unread };
}

function LaneRow({
  property,
  top,
  lane,
  scale,
  read,
}: {
  property: string;
  top: number;
  lane: Lane | undefined;
  scale: Scale;
  read: Read;
}) {
  const ranges = lane ? inWindow(lane.ranges, scale) : [];
  const { from, to, xOf } = scale;
  // What holds on holds as far as is known.
  const bars = mergeForPixels(ranges, { from, to, xOf, width: read.end }, LEAST);
  return (
    <div class="lane" style={{ transform: `translateY(${top}px)` }} data-property={property}>
      <span class="name" title={nameText(property, WHOLE_NAME)}>
        {nameText(property, WHOLE_NAME)}
      </span>
      <svg width={scale.width} height={ROW} role="img" aria-label={labelOf(property, ranges)}>
        {read.unread !== '' && <path class="unread" d={read.unread} />}
        {bars.map((bar) => bar.width > 0 && <BarOf key={bar.first.from ?? 0} bar={bar} />)}
      </svg>
    </div>
  );
}

/** Those of the ranges, which come in order, that are in a window. */
function inWindow(ranges: readonly LaneRange[], { from, to }: Window): LaneRange[] {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const end = ranges[middle]?.toMicros ?? null;
    if (end !== null && end <= from) low = middle + 1;
    else high = middle;
  }
  const found: LaneRange[] = [];
  for (let n = low; n < ranges.length; n++) {
    const range = ranges[n];
    if (!range || (range.fromMicros !== null && range.fromMicros > to)) break;
    found.push(range);
  }
  return found;
}

function BarOf({ bar: { x, width, count, first, last } }: { bar: Bar }) {
  const { text, colour } = count === 1 ? lookOf(first) : { text: `${count} values`, colour: 'several' };
  const room = Math.floor((width - 8) / CHARACTER);
  return (
    <g class={`bar ${colour}`} data-from={first.from ?? ''} data-to={last.to ?? ''} data-count={count}>
      <rect x={x} y={3} width={Math.max(1, width - 1)} height={ROW - 6} rx={Math.min(3, width / 3)} />
      {room > 2 && (
        <text x={x + 4} y={ROW / 2 + 4}>
          {cut(text, room)}
        </text>
      )}
    </g>
  );
}

/** How much of a value a bar has room for, and in how many colours they come: the same value in the same one. */
const LONGEST = 160;
const COLOURS = 6;
const looks = new WeakMap<LaneRange, { text: string; colour: string }>();

function lookOf(range: LaneRange): { text: string; colour: string } {
  const known = looks.get(range);
  if (known) return known;
  const json = valueText(range.value, LONGEST);
  let hash = 0;
  for (let n = 0; n < json.length; n++) hash = (hash * 31 + json.charCodeAt(n)) | 0;
  const look = { text: json, colour: `bar-${(Math.abs(hash) % COLOURS) + 1}` };
  looks.set(range, look);
  return look;
}

/** How many values of a lane are read out. */
const READ_OUT = 5;

function labelOf(property: string, ranges: readonly LaneRange[]): string {
  if (ranges.length === 0) return `${nameText(property)}: no value in view`;
  const some = ranges.slice(-READ_OUT).map((range) => `${cut(lookOf(range).text, 40)} from tick ${range.from ?? '?'}`);
  const which = ranges.length > READ_OUT ? `, the last ${READ_OUT}` : '';
  return `${nameText(property)}: ${ranges.length} ${ranges.length === 1 ? 'value' : 'values'} in view${which}: ${some.join(', ')}`;
}

/** What is said of a bar where a pointer rests, and where on the page. */
type Tip = { x: number; y: number; head: string; lines: string[] };

function tipOf(event: PointerEvent, lanes: ReadonlyMap<string, Lane>, zone: Zone): Tip | null {
  if (!(event.target instanceof Element) || event.buttons > 0) return null;
  const bar = event.target.closest('.bar');
  const property = bar?.closest('.lane')?.getAttribute('data-property');
  if (!bar || property === null || property === undefined) return null;
  const from = bar.getAttribute('data-from');
  const count = Number(bar.getAttribute('data-count'));
  const range = lanes.get(property)?.ranges.find((one) => String(one.from ?? '') === from);
  if (!range) return null;
  const place = { x: event.clientX, y: bar.getBoundingClientRect().bottom };
  const until = bar.getAttribute('data-to');
  const ticks = `tick ${from === '' ? '?' : from} ${until === '' ? 'on' : `until before ${until}`}`;
  if (count > 1)
    return { ...place, head: `${nameText(property)}: ${count} values`, lines: [ticks, 'Zoom in to see each.'] };
  const now = new Date();
  const since = range.fromAt === null ? '' : `since ${formatInstant(range.fromAt, zone, now)}`;
  const { actor, reason } = range.activity ?? {};
  return {
    ...place,
    head: `${nameText(property)}: ${lookOf(range).text}`,
    lines: [`${ticks} ${since}`, `by ${actor ?? 'somebody'}${reason === undefined ? '' : `: ${cut(reason, 200)}`}`],
  };
}

/** How wide a tip is at most, in pixels. */
const TIP = 380;

/** Says again, for a pointer, what the state and the list of ticks say. */
function Tooltip({ tip }: { tip: Signal<Tip | null> }) {
  const said = tip.value;
  if (!said) return null;
  const left = Math.max(8, Math.min(said.x + 8, innerWidth - TIP - 8));
  return (
    <div class="tip" style={{ left: `${left}px`, top: `${said.y + 6}px`, maxWidth: `${TIP}px` }} aria-hidden="true">
      <strong>{said.head}</strong>
      {said.lines.map((line) => (
        <div key={line}>{line}</div>
      ))}
    </div>
  );
}
