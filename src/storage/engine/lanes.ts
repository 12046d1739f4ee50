import pLimit from 'p-limit';
import type { Refusal } from '../../temporal/refusal.js';

/** How much work of one kind runs at once, how much more may wait for its turn, and for how long, in milliseconds. */
type Bounds = { atOnce: number; waiting: number; patience: number };

/** What a lane has to do: how much it was asked for and has not ended. `most` is under way at once, the rest waits. */
export type Use = { readonly most: number; asked: number };

/**
 * Does work in its turn. When `signal` is aborted, nobody waits for it any more; then it is not begun.
 * @throws Refusal at once where too much waits already; where it has not begun in time, as soon as that time is over
 */
export type Lane = (<T>(work: () => Promise<T>, signal?: AbortSignal) => Promise<T>) & { readonly use: Use };

/**
 * A lane for work of one kind, so that it holds up no other kind. Who has waited for too long is told then, and not when the turn
 * would come: what is before it may take much longer.
 * @param refusals what is thrown where too much waits (`full`), and where it took too long (`late`)
 */
export function lane(
  { atOnce, waiting, patience }: Bounds,
  { full, late }: Record<'full' | 'late', () => Refusal>,
): Lane {
  const limit = pLimit(atOnce);
  const use: Use = { most: atOnce, asked: 0 };
  const inTurn = <T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> =>
    new Promise((resolve, reject) => {
      if (limit.pendingCount >= waiting) return reject(full());
      let task: typeof work | null = work;
      const leave = () => {
        task = null; // p-limit keeps its place until the turn comes
        reject(late());
      };
      const timer = setTimeout(leave, patience);
      void limit(async () => {
        clearTimeout(timer);
        if (!task) return;
        if (signal?.aborted) return reject(full());
        try {
          resolve(await task());
        } catch (error) {
          reject(error);
        }
      });
    });
  const counted: typeof inTurn = (work, signal) => {
    use.asked++;
    return inTurn(work, signal).finally(() => use.asked--);
  };
  return Object.assign(counted, { use });
}
