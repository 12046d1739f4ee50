import type { RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Scale, Window } from '../core/scale.js';

/* What pointers and wheels do on the timeline. */

/** A pointer that moves so far, in pixels, drags; one that does not shows the moment at its place. */
const STILL = 4;

/** What a pointer does on the timeline. */
export type Drag = ReturnType<ReturnType<typeof useDrag>>;

/** Gives the handlers of an element in which the timeline begins so many pixels from its left. */
export function useDrag(scale: Scale, show: (window: Window) => void, point: (x: number) => void) {
  const held = useRef<{ x: number; scale: Scale; isDrag: boolean } | null>(null);
  const placeOf = (event: PointerEvent & { currentTarget: Element }, left: number) =>
    event.clientX - event.currentTarget.getBoundingClientRect().left - left;
  return (left: number) => ({
    onPointerDown: (event: PointerEvent & { currentTarget: Element }) => {
      if (event.button !== 0 || placeOf(event, left) < 0) return;
      held.current = { x: event.clientX, scale, isDrag: false };
      event.currentTarget.setPointerCapture(event.pointerId);
    },
    onPointerMove: (event: PointerEvent) => {
      const start = held.current;
      if (!start) return;
      const by = start.x - event.clientX;
      if (Math.abs(by) >= STILL) start.isDrag = true;
      if (start.isDrag) show(start.scale.pan(by));
    },
    onPointerUp: (event: PointerEvent & { currentTarget: Element }) => {
      const start = held.current;
      held.current = null;
      if (!start || start.isDrag) return;
      const x = placeOf(event, left);
      if (x >= 0 && x <= scale.width) point(x);
    },
    onPointerCancel: () => {
      held.current = null;
    },
  });
}

/** How much a step of a wheel zooms. */
const WHEEL = 0.002;
const LINE = 16;

/** With Ctrl a wheel zooms around the pointer; sideways, or with Shift, it moves the timeline. Otherwise it scrolls, as everywhere. */
export function useWheel(
  frame: RefObject<HTMLDivElement | null>,
  left: number,
  scale: Scale,
  show: (window: Window) => void,
): void {
  const latest = useRef({ left, scale, show });
  latest.current = { left, scale, show };
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const onWheel = (event: WheelEvent) => {
      const { left, scale, show } = latest.current;
      const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1;
      if (event.ctrlKey || event.metaKey) {
        const x = event.clientX - element.getBoundingClientRect().left - left;
        event.preventDefault();
        show(scale.zoom(scale.microsAt(x), Math.exp(-event.deltaY * unit * WHEEL)));
        return;
      }
      const sideways = event.shiftKey && event.deltaX === 0 ? event.deltaY : event.deltaX;
      if (sideways === 0 || (!event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY))) return;
      event.preventDefault();
      show(scale.pan(sideways * unit));
    };
    // A listener that Preact adds is passive, and could not keep the page from being zoomed.
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => element.removeEventListener('wheel', onWheel);
  }, []);
}
