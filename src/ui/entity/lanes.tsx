import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { countWhile } from '../core/count-while.js';
import { densityOf } from '../core/density.js';
import { formatInstant } from '../core/instants.js';
import { type Bar, type LaneRange, mergeForPixels } from '../core/lanes.js';
import type { Scale, Window } from '../core/scale.js';
import { cut, nameText, valueText, WHOLE_NAME } from '../core/value-text.js';
import type { Zone } from '../core/view.js';
import { Failure } from '../problem.js';
import { view } from '../state.js';
import { byName, type Clock, type Stretch, useEntityAt, useStretch, type Wanted, WHOLE_TICKS } from './data.js';
import { headAt } from './heads.js';
import type { Drag } from './pointer.js';
import type { Drawn, Sheet } from './sheet.js';

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
  sheet: { drawn, left },
  names,
  filter,
  drag,
  lines,
}: {
  entity: string;
  clock: Clock;
  scale: Scale;
  sheet: Sheet;
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
  const asked = useRef<Wanted>(null);
  const block = listed.slice(Math.floor(first / BLOCK) * BLOCK, Math.ceil(end / BLOCK) * BLOCK);
  // As long as all of a long past comes into view, what has been asked for has to do.
  asked.current = wantedOf(clock, scale, block, had.current) ?? asked.current;
  const answer = useStretch(entity, asked.current, clock);
  // What has been read stays true, whatever became of the rest.
  const stretch = answer.value ?? had.current;
  had.current = stretch;

  const ending = useEntityAt(entity, endOf(clock), clock);
  useEffect(() => {
    const found = new Set([...known, ...names, ...(stretch?.lanes.keys() ?? [])]);
    if (ending.value?.is === 'there') for (const name of Object.keys(ending.value.entity.properties)) found.add(name);
    if (found.size > known.length) setKnown([...found].sort(byName));
  }, [names.join('\0'), stretch, ending.value]);

  const columns = useMemo(() => columnsOf(drawn), [drawn]);
  // Neither a step of the slider nor a pan draws lanes anew, as long as the sheet does.
  const picture = useMemo(
    () =>
      rows.map((property, n) => {
        const isRead = stretch !== null && (stretch.properties === null || stretch.properties.includes(property));
        const lane = stretch?.lanes.get(property);
        const read = isRead ? readOf(lane?.until ?? stretch.last, stretch.first, clock, drawn) : UNREAD;
        return (
          <LaneRow
            key={property}
            property={property}
            top={(first + n) * ROW}
            ranges={lane?.ranges ?? []}
            drawn={drawn}
            read={read}
            columns={columns}
          />
        );
      }),
    [stretch, clock.heads, drawn, columns, first, rows.join('\0')],
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
              tip.value = tipOf(event, stretch, view.value.zone ?? 'utc');
            }}
            onPointerLeave={() => {
              tip.value = null;
            }}
          >
            {rows.map((property, n) => (
              <span
                key={property}
                class="name"
                style={{ transform: `translateY(${(first + n) * ROW}px)` }}
                title={nameText(property, WHOLE_NAME)}
                aria-hidden="true"
              >
                {nameText(property, WHOLE_NAME)}
              </span>
            ))}
            <div class="clip" style={{ width: `${scale.width}px` }}>
              <div class="moved" style={{ transform: `translateX(${-left}px)` }}>
                {picture}
              </div>
            </div>
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
      {rows.some((name) => isCut(stretch, name, Number.POSITIVE_INFINITY)) && (
        <p class="muted small note">
          Grey columns: a property changed too often to read all of its values. They show how many ticks there were:
          zoom in to see the values.
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

/** Whether a property was not read up to a tick, because it had so many values. */
function isCut(stretch: Stretch | null, property: string, last: number): boolean {
  const lane = stretch?.lanes.get(property);
  return stretch !== null && lane !== undefined && lane.until < Math.min(last, stretch.last);
}

/** How many ticks around those in view are read along with them, of their number and at least, so that a small step asks for nothing. */
const AROUND = 0.4;
const LEAST_AROUND = 25;

/**
 * Which stretch of ticks has to be read for what is in view: of all properties where the ticks are few enough, otherwise of those in view.
 * Null: it cannot be said yet.
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
  const around = Math.max(LEAST_AROUND, Math.ceil(count * AROUND));
  const [from, to] = [Math.max(oldest, first - around), Math.min(newest, last + around)];
  const spare = WHOLE_TICKS - (to - from + 1);
  const isWhole = spare >= 0;
  const isThere =
    had !== null &&
    had.first <= first &&
    last <= had.last &&
    (had.properties === null || (!isWhole && properties.every((name) => had.properties?.includes(name))));
  // What had too many values for a longer stretch may be read for this one.
  const isShort = isThere && properties.some((name) => isCut(had, name, last));
  if (isThere && (!isShort || (had.first === first && had.last === last))) return had;
  if (isWhole) {
    const more = Math.min(count, spare >> 1);
    return { first: Math.max(oldest, from - more), last: Math.min(newest, to + more), properties: null };
  }
  if (isReading || properties.length === 0) return null;
  return isShort ? { first, last, properties } : { first: from, last: to, properties };
}

/** What of the width has been read: from where to where. */
type Read = { start: number; end: number };

const UNREAD: Read = { start: Number.POSITIVE_INFINITY, end: Number.POSITIVE_INFINITY };

function readOf(until: number, first: number, { heads }: Clock, { scale: { width, xOf } }: Drawn): Read {
  const before = headAt(heads, first - 1);
  const after = headAt(heads, until + 1);
  return { start: before ? xOf(before.micros) : 0, end: after ? xOf(after.micros) : width };
}

/** How many ticks there were, in columns so wide, in pixels. */
const COLUMN = 4;

/** Columns where something is not read yet, each with its place. */
type Columns = { x: number; path: string }[];

function columnsOf({ scale, origin }: Drawn): Columns {
  const { counts, most } = densityOf(scale, COLUMN);
  const unit = (ROW - 8) / Math.log2(1 + Math.max(1, most));
  const columns: Columns = [];
  for (let column = 0; column < counts.length; column++) {
    const count = counts[column] ?? 0;
    const x = column * COLUMN;
    const height = Math.round(2 + unit * Math.log2(1 + count));
    if (count > 0) columns.push({ x, path: `M${round(origin + x)} ${ROW - 3}v-${height}h${COLUMN - 1}v${height}z` });
  }
  return columns;
}

const round = (x: number): number => Math.round(x * 10) / 10;

function LaneRow({
  property,
  top,
  ranges,
  drawn,
  read,
  columns,
}: {
  property: string;
  top: number;
  ranges: readonly LaneRange[];
  drawn: Drawn;
  read: Read;
  columns: Columns;
}) {
  const { scale, origin } = drawn;
  const { from, to, xOf, width } = scale;
  const inView = inWindow(ranges, scale);
  // What holds on holds as far as is known.
  const bars = mergeForPixels(inView, { from, to, xOf, width: Math.min(width, read.end) }, LEAST);
  const isRead = read.start <= 0 && read.end >= width;
  const unread = isRead ? [] : columns.filter(({ x }) => x < read.start || x >= read.end);
  return (
    <div class="lane" style={{ transform: `translateY(${top}px)` }} data-property={property}>
      <svg
        style={{ left: `${origin}px` }}
        width={width}
        height={ROW}
        viewBox={`${origin} 0 ${width} ${ROW}`}
        role="img"
        aria-label={labelOf(property, inView)}
      >
        {unread.length > 0 && <path class="unread" d={unread.map(({ path }) => path).join('')} />}
        {bars.map((bar) => bar.width > 0 && <BarOf key={bar.first.from ?? 0} bar={bar} drawn={drawn} />)}
      </svg>
    </div>
  );
}

/** Those of the ranges, which come in order, that are in a window. */
function inWindow(ranges: readonly LaneRange[], { from, to }: Window): LaneRange[] {
  const ended = countWhile(ranges.length, (n) => {
    const end = ranges[n]?.toMicros ?? null;
    return end !== null && end <= from;
  });
  const found: LaneRange[] = [];
  for (let n = ended; n < ranges.length; n++) {
    const range = ranges[n];
    if (!range || (range.fromMicros !== null && range.fromMicros > to)) break;
    found.push(range);
  }
  return found;
}

function BarOf({ bar, drawn: { origin, sticky, width: shown } }: { bar: Bar; drawn: Drawn }) {
  const { width, count, first, last } = bar;
  const x = origin + bar.x;
  const { text, colour } = count === 1 ? lookOf(first) : { text: `${count} values`, colour: 'several' };
  // The text begins and ends where the bar does in view.
  const start = x < sticky && x + width > sticky ? sticky : x;
  const end = start < sticky + shown ? Math.min(x + width, sticky + shown) : x + width;
  const room = Math.floor((end - start - 8) / CHARACTER);
  return (
    <g class={`bar ${colour}`} data-from={first.from ?? ''} data-to={last.to ?? ''} data-count={count}>
      <rect x={round(x)} y={3} width={round(Math.max(1, width - 1))} height={ROW - 6} rx={width < 9 ? 1 : 3} />
      {room > 2 && (
        <text x={round(start + 4)} y={ROW / 2 + 4}>
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

function tipOf(event: PointerEvent, stretch: Stretch | null, zone: Zone): Tip | null {
  if (!(event.target instanceof Element) || event.buttons > 0) return null;
  const bar = event.target.closest('.bar');
  const property = bar?.closest('.lane')?.getAttribute('data-property');
  if (!bar || property === null || property === undefined) return null;
  const from = bar.getAttribute('data-from');
  const count = Number(bar.getAttribute('data-count'));
  const range = stretch?.lanes.get(property)?.ranges.find((one) => String(one.from ?? '') === from);
  if (!range) return null;
  const place = { x: event.clientX, y: bar.getBoundingClientRect().bottom };
  const ticks = ticksText(from ?? '', bar.getAttribute('data-to') ?? '');
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

/** The ticks of a range, of which the end is the first without it; '' is not known, or has not come. */
function ticksText(from: string, until: string): string {
  const first = from === '' ? '?' : from;
  if (until === '') return `from tick ${first} on`;
  const last = Number(until) - 1;
  return String(last) === first ? `tick ${first}` : `ticks ${first} to ${last}`;
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
