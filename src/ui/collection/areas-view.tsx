import { useEffect, useRef, useState } from 'preact/hooks';
import { isBefore } from '../../temporal/point.js';
import { formatInstant } from '../core/instants.js';
import { nameText, valueText } from '../core/value-text.js';
import { Instant } from '../instant.js';
import { go, hrefOf, view } from '../state.js';
import { areaPath, type CountsAt, type Layer, roundNumbers, type Stacked, stacked, thickest } from './areas.js';
import { shareOf } from './changes.js';

/** The drawing, in pixels: its height, and the room around the areas. */
const HEIGHT = 320;
const ROOM = { left: 48, right: 12, top: 10, bottom: 26 };

/** How high an area has to be for its name to stand in it, and how far apart instants are written below. */
const NAME_HEIGHT = 18;
const INSTANT_WIDTH = 110;

/** A layer's name, as the legend and the table have it. */
const OTHERS = 'all other values';
const nameOf = ({ value, others }: Layer): string => (others ? OTHERS : valueText(value));

/** What tells areas apart beside their colours: lines of each direction, dots, none. */
const HATCHES = ['', 'M0 8L8 0', 'M2 2h1.5v1.5h-1.5zM6 6h1.5v1.5h-1.5z', 'M0 4H8', 'M0 0L8 8', 'M4 0V8M0 4H8'];

/** The number of a layer's fill: of all others, the last. */
const fillOf = (layers: readonly Layer[], layer: Layer): string =>
  layer.others ? 'url(#fill-others)' : `url(#fill-${layers.indexOf(layer)})`;

/**
 * How many entities had which value over time, as areas one upon the other; a click on a moment goes there. The same as a table, in which each
 * moment is a link.
 */
export function Areas({
  property,
  counts,
  layers,
  isComing,
}: {
  property: string;
  counts: readonly CountsAt[];
  layers: readonly Layer[];
  isComing: boolean;
}) {
  const { at, zone = 'utc' } = view.value;
  const figure = useRef<HTMLElement>(null);
  const width = useWidth(figure);
  const [pointed, setPointed] = useState<number | null>(null);
  const [first, last] = [counts[0]?.at ?? '', counts.at(-1)?.at ?? ''];
  const most = Math.max(1, ...counts.map(({ entities }) => entities));
  const plotWidth = width - ROOM.left - ROOM.right;
  const xOf = (instant: string) => ROOM.left + shareOf(instant, first, last) * plotWidth;
  const x = (n: number) => xOf(counts[n]?.at ?? last);
  const y = (entities: number) => HEIGHT - ROOM.bottom - (entities / most) * (HEIGHT - ROOM.top - ROOM.bottom);
  const areas = stacked(layers);
  const nearest = (event: PointerEvent | MouseEvent): number => {
    const left = figure.current?.querySelector('svg')?.getBoundingClientRect().left ?? 0;
    const distances = counts.map((_, n) => Math.abs(x(n) - (event.clientX - left)));
    return distances.indexOf(Math.min(...distances));
  };
  const read = counts[pointed ?? counts.length - 1];
  const now = new Date();
  return (
    <figure class="areas" ref={figure} aria-busy={isComing}>
      <figcaption>
        How many entities had which <strong>{nameText(property)}</strong>, from <Instant at={first} /> to{' '}
        <Instant at={last} />
      </figcaption>
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: by keys, the table below has a link for each moment */}
      <svg
        role="img"
        aria-label={`Areas: how many entities had which ${nameText(property)} over time. The table below has the numbers.`}
        width={width}
        height={HEIGHT}
        viewBox={`0 0 ${width} ${HEIGHT}`}
        onClick={(event) => go({ at: counts[nearest(event)]?.at })}
        onPointerMove={(event) => setPointed(nearest(event))}
        onPointerLeave={() => setPointed(null)}
      >
        <Fills layers={layers} />
        {roundNumbers(most, 5).map((entities) => (
          <g key={entities} class="level">
            <path d={`M${ROOM.left} ${y(entities)}H${width - ROOM.right}`} />
            <text x={ROOM.left - 6} y={y(entities) + 4} text-anchor="end">
              {entities.toLocaleString('en')}
            </text>
          </g>
        ))}
        {areas.map((area) => (
          <path
            key={area.layer.id}
            class="area"
            data-value={nameOf(area.layer)}
            d={areaPath(area, x, y)}
            fill={fillOf(layers, area.layer)}
          />
        ))}
        {areas.map((area) => (
          <Name key={area.layer.id} area={area} x={x} y={y} width={width} />
        ))}
        {instantsBelow(counts, plotWidth).map((n) => (
          <text
            key={n}
            class="when"
            x={x(n)}
            y={HEIGHT - 8}
            text-anchor={n === 0 ? 'start' : n === counts.length - 1 ? 'end' : 'middle'}
          >
            {briefly(counts[n]?.at ?? '', first, last)}
          </text>
        ))}
        {at !== undefined && !isBefore(at, first) && !isBefore(last, at) && (
          <path class="here" d={`M${xOf(at)} ${ROOM.top}V${HEIGHT - ROOM.bottom}`} />
        )}
        {pointed !== null && <path class="pointed" d={`M${x(pointed)} ${ROOM.top}V${HEIGHT - ROOM.bottom}`} />}
      </svg>
      {read && (
        <p class="small read">
          {formatInstant(read.at, zone, now)}: {read.entities.toLocaleString('en')} with {nameText(property)}
          {pointed !== null && '. A click goes there'}
        </p>
      )}
      <ul class="legend" aria-label="Values">
        {[...areas].reverse().map(({ layer }) => (
          <li key={layer.id}>
            <svg width="22" height="14" aria-hidden="true">
              <rect class="area" x="0.5" y="0.5" width="21" height="13" fill={fillOf(layers, layer)} />
            </svg>{' '}
            <span class="name">{nameOf(layer)}</span>{' '}
            <span class="muted">{(layer.entities[pointed ?? counts.length - 1] ?? 0).toLocaleString('en')}</span>
          </li>
        ))}
      </ul>
      <Numbers property={property} counts={counts} layers={layers} />
    </figure>
  );
}

/** What the areas are filled with. */
const Fills = ({ layers }: { layers: readonly Layer[] }) => (
  <defs>
    {layers.map((layer, n) => (
      <pattern
        key={layer.id}
        id={layer.others ? 'fill-others' : `fill-${n}`}
        class={layer.others ? 'fill-others' : `fill-${n + 1}`}
        width="8"
        height="8"
        patternUnits="userSpaceOnUse"
      >
        <rect width="8" height="8" />
        <path class="hatch" d={layer.others ? 'M4 0V8' : (HATCHES[n % HATCHES.length] ?? '')} />
      </pattern>
    ))}
  </defs>
);

/** The name of an area, where it is thickest, if it has room there. */
function Name({
  area,
  x,
  y,
  width,
}: {
  area: Stacked;
  x: (n: number) => number;
  y: (entities: number) => number;
  width: number;
}) {
  const n = thickest(area);
  const [below, above] = [y(area.lower[n] ?? 0), y(area.upper[n] ?? 0)];
  if (below - above < NAME_HEIGHT) return null;
  const at = x(n);
  const anchor = at < width / 3 ? 'start' : at > (2 * width) / 3 ? 'end' : 'middle';
  return (
    <text
      class="name"
      x={at + (anchor === 'start' ? 8 : anchor === 'end' ? -8 : 0)}
      y={(below + above) / 2 + 4}
      text-anchor={anchor}
    >
      {area.layer.others ? OTHERS : valueText(area.layer.value, 24)}
    </text>
  );
}

/** Which of the instants are written below the drawing. */
function instantsBelow(counts: readonly unknown[], width: number): number[] {
  const room = Math.max(2, Math.floor(width / INSTANT_WIDTH));
  const last = counts.length - 1;
  if (last < 1) return [0];
  return [...new Set(Array.from({ length: room }, (_, n) => Math.round((n * last) / (room - 1))))];
}

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

/** An instant as short as it is told apart from the others: its day in UTC, with the time, or only that, or the seconds. */
function briefly(instant: string, first: string, last: string): string {
  const long = Date.parse(last) - Date.parse(first);
  if (long > 10 * DAY_MS) return instant.slice(0, 10);
  if (long > DAY_MS) return instant.slice(5, 16).replace('T', ' ');
  return long > MINUTE_MS ? instant.slice(11, 19) : instant.slice(14, 23);
}

/** The same numbers as a table. */
function Numbers({
  property,
  counts,
  layers,
}: {
  property: string;
  counts: readonly CountsAt[];
  layers: readonly Layer[];
}) {
  return (
    <details class="numbers">
      <summary>The numbers as a table</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: who has no mouse scrolls a table that is wider than the page by its keys */}
      <section class="scroll" tabIndex={0} aria-label="Numbers">
        <table>
          <caption class="unseen">How many entities had which {nameText(property)}</caption>
          <thead>
            <tr>
              <th scope="col">at</th>
              {layers.map((layer) => (
                <th scope="col" class="number" key={layer.id}>
                  {nameOf(layer)}
                </th>
              ))}
              <th scope="col" class="number">
                all
              </th>
            </tr>
          </thead>
          <tbody>
            {counts.map(({ at, entities }, n) => (
              <tr key={at}>
                <th scope="row">
                  <a href={hrefOf({ at })}>
                    <Instant at={at} />
                  </a>
                </th>
                {layers.map((layer) => (
                  <td class="number" key={layer.id}>
                    {layer.entities[n]}
                  </td>
                ))}
                <td class="number">{entities}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  );
}

/** How wide an element is drawn. */
function useWidth(element: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(800);
  useEffect(() => {
    const drawn = element.current;
    if (!drawn) return;
    const observer = new ResizeObserver(() => setWidth(Math.max(240, drawn.clientWidth)));
    observer.observe(drawn);
    return () => observer.disconnect();
  }, [element]);
  return width;
}
