import { useRef } from 'preact/hooks';
import { formatInstant } from '../core/instants.js';
import type { Scale } from '../core/scale.js';
import { go, view } from '../state.js';
import type { Clock } from './data.js';
import { headAt } from './heads.js';
import { type Moment, stepFrom } from './moment.js';

/** How many ticks a page key moves. */
const PAGE = 10;

/** The handle over the timeline that says as of when the entity is shown. The arrow keys are those of the whole page. */
export function Slider({
  clock,
  shown,
  scale,
  point,
}: {
  clock: Clock;
  shown: Moment;
  scale: Scale;
  /** Shows the moment at a place of the timeline. */
  point: (x: number) => void;
}) {
  const isDragged = useRef(false);
  const { heads } = clock;
  const last = heads.at(-1);
  const head = shown.tick === null ? undefined : headAt(heads, shown.tick);
  const isNow = shown.asOf === undefined;
  const micros = isNow ? scale.axis.to : head?.micros;
  const isOutside = micros === undefined || micros < scale.from || micros > scale.to;
  const step = (by: number) => go({ at: stepFrom(shown, by, heads) }, 'replace');
  return (
    <div
      class={isOutside ? 'handle outside' : 'handle'}
      style={{ left: `${micros === undefined ? 0 : scale.xOf(micros)}px` }}
      role="slider"
      tabIndex={0}
      aria-label="As of"
      aria-valuemin={heads[0]?.tick}
      aria-valuemax={last?.tick}
      aria-valuenow={shown.tick ?? 0}
      aria-valuetext={`${isNow ? 'now, ' : ''}tick ${shown.tick ?? 0} of ${last?.tick ?? 0}${
        head
          ? `, ${formatInstant(head.at, view.value.zone ?? 'utc', new Date())}, by ${head.activity?.actor ?? 'somebody'}`
          : ''
      }`}
      onKeyDown={(event) => {
        const by = { ArrowUp: 1, ArrowDown: -1, PageUp: PAGE, PageDown: -PAGE }[event.key];
        if (by === undefined) return;
        event.preventDefault();
        step(by);
      }}
      onPointerDown={(event) => {
        event.stopPropagation();
        event.currentTarget.setPointerCapture(event.pointerId);
        isDragged.current = true;
      }}
      onPointerMove={(event) => {
        const track = event.currentTarget.parentElement;
        if (!isDragged.current || !track) return;
        point(event.clientX - track.getBoundingClientRect().left);
      }}
      onPointerUp={() => (isDragged.current = false)}
      onPointerCancel={() => (isDragged.current = false)}
    />
  );
}
