import { Refusal } from '../../temporal/refusal.js';

/** How many writes may wait for their turns, all together, and how long each may wait, in milliseconds. */
type Patience = { waiting: number; patience: number };

/**
 * Does work on the thing `id` in its turn: when all work on it that came before has ended, whether it succeeded or failed.
 * @throws Refusal `overloaded` when too many wait, or when `signal` is aborted; `too_many_writers` after `patience`
 */
export type InTurn = <Result>(id: string, work: () => Promise<Result>, signal?: AbortSignal) => Promise<Result>;

/**
 * Lets work on the same thing run one after another, in the order in which it came. Writers of one entity that ran at the same
 * time would only make each other fail.
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
    // Who gave up before its turn came lets nobody past what it waited for.
    const settled = Promise.allSettled([before, turn]);
    last.set(id, settled);
    try {
      return await turn;
    } finally {
      void settled.then(() => last.get(id) === settled && last.delete(id));
    }
  };

  /** Waits for the turn. Who has waited for too long is told then: what is before it may take much longer. */
  async function wait(before: Promise<unknown>, signal?: AbortSignal): Promise<void> {
    count++;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, patience, 'late');
    });
    const isLate = (await Promise.race([before, late])) === 'late';
    clearTimeout(timer);
    count--;
    if (isLate)
      throw new Refusal('too_many_writers', 'Other writers of this entity took too long. Nothing was written.');
    if (signal?.aborted)
      throw new Refusal('overloaded', 'Whoever asked went away before it was done. Nothing was written.');
  }
}
