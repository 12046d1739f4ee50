import { Refusal } from '../../temporal/refusal.js';

/** How many may wait for their turns, and how long one may wait for its turn, in milliseconds. */
type Patience = { waiting: number; patience: number };

/**
 * Does work in its turn, when what came before it has ended, well or not.
 * @throws Refusal `overloaded`, `too_many_writers`
 */
export type InTurn = <Result>(id: string, work: () => Promise<Result>, signal?: AbortSignal) => Promise<Result>;

/**
 * Lets work on the same thing run one after another, in the order in which it came: writers of one entity that ran at the
 * same time would only come in each other's way.
 */
export function turns({ waiting, patience }: Patience): InTurn {
  const last = new Map<string, Promise<unknown>>();
  let count = 0;

  return async (id, work, signal) => {
    const before = last.get(id);
    if (before && count >= waiting) {
      throw new Refusal('overloaded', 'More writes wait than this service can keep. Nothing was written.');
    }
    const turn = before ? wait(before, signal).then(work) : work();
    const settled = turn.catch(() => undefined);
    last.set(id, settled);
    try {
      return await turn;
    } finally {
      if (last.get(id) === settled) last.delete(id);
    }
  };

  async function wait(before: Promise<unknown>, signal?: AbortSignal): Promise<void> {
    const since = performance.now();
    count++;
    await before;
    count--;
    if (performance.now() - since > patience) {
      throw new Refusal('too_many_writers', 'Other writers of this entity took too long. Nothing was written.');
    }
    if (signal?.aborted)
      throw new Refusal('overloaded', 'Whoever asked went away before it was done. Nothing was written.');
  }
}
