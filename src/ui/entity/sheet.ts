import { useRef } from 'preact/hooks';
import { type Scale, scaleOf } from '../core/scale.js';

/*
 * What is drawn of a timeline: more than is shown, on a sheet that is moved under it. To pan moves the sheet; it is drawn on only where it ends.
 * To draw some thousand bars anew took longer than a frame may.
 */

/**
 * What is drawn on a sheet, and from where on it. `sticky`: where what was shown began when it was drawn last; there texts begin that would
 * begin before it.
 */
export type Drawn = { scale: Scale; origin: number; sticky: number; width: number };

/** What is drawn, and where on the sheet what is shown begins, in pixels. */
export type Sheet = { drawn: Drawn; left: number };

/** How much more is drawn on both sides, of the width of what is shown. */
const MORE = 0.35;

/** What is drawn twice may differ by so much, in pixels. */
const CLOSE = 0.5;

/**
 * The sheet on which a scale is shown.
 * @param isMoving texts stay where they are as long as they move
 */
export function useSheet(scale: Scale, isMoving: boolean): Sheet {
  const last = useRef<Drawn | null>(null);
  const was = last.current;
  const left = was && placeOf(was, scale);
  if (was && left !== null && (isMoving || left === was.sticky)) return { drawn: was, left };
  const drawn = was && left !== null ? { ...was, sticky: left } : drawnFor(scale, was);
  last.current = drawn;
  return { drawn, left: drawn.sticky };
}

/** Where on a sheet a window is drawn; null: it is not, or not as wide. */
function placeOf({ scale: drawn, origin }: Drawn, shown: Scale): number | null {
  if (drawn.axis !== shown.axis || shown.from < drawn.from || shown.to > drawn.to) return null;
  const x = drawn.xOf(shown.from);
  return Math.abs(drawn.xOf(shown.to) - x - shown.width) < CLOSE ? origin + x : null;
}

function drawnFor(shown: Scale, was: Drawn | null): Drawn {
  const { axis, width } = shown;
  const [before, after] = [shown.pan(-MORE * width), shown.pan(MORE * width)];
  const left = scaleOf(axis, { ...before, width }).xOf(shown.from);
  const right = width - scaleOf(axis, { ...after, width }).xOf(shown.to);
  const wide = scaleOf(axis, { from: before.from, to: after.to, width: width + left + right });
  const isAlike = Math.abs(wide.xOf(shown.from) - left) < CLOSE && Math.abs(wide.xOf(shown.to) - left - width) < CLOSE;
  const scale = isAlike ? wide : shown;
  const origin = originOf(scale, was);
  return { scale, origin, sticky: origin + scale.xOf(shown.from), width };
}

/** Where on the sheet to begin, so that what is there already keeps its place. */
function originOf(scale: Scale, was: Drawn | null): number {
  if (!was || was.scale.axis !== scale.axis) return 0;
  const from = was.scale.from > scale.from ? was.scale.from : scale.from;
  const to = was.scale.to < scale.to ? was.scale.to : scale.to;
  if (from >= to) return 0;
  const apart = scale.xOf(to) - scale.xOf(from) - (was.scale.xOf(to) - was.scale.xOf(from));
  return Math.abs(apart) < CLOSE ? was.origin + was.scale.xOf(from) - scale.xOf(from) : 0;
}
