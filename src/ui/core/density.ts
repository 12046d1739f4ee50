import type { Scale } from './scale.js';

/** How many ticks came in each column of a timeline, and how many in the fullest. */
export type Density = { counts: Uint32Array; most: number };

/** The ticks in the window of a scale, counted by columns so many pixels wide. A tick counts in one column, and the last column may be narrower. */
export function densityOf(scale: Scale, columnWidth = 1): Density {
  const counts = new Uint32Array(Math.ceil(scale.width / columnWidth));
  let most = 0;
  let { start } = scale.ticksIn(0, scale.width);
  for (let column = 0; column < counts.length; column++) {
    const { end } = scale.ticksIn(0, Math.min(scale.width, (column + 1) * columnWidth));
    const count = end - start;
    counts[column] = count;
    most = Math.max(most, count);
    start = end;
  }
  return { counts, most };
}
