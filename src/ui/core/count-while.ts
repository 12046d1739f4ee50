/**
 * How many items of a list, from the first on, have something that no later one has: by halving, so in O(log length).
 * @param holds of the item at an index
 */
export function countWhile(length: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
