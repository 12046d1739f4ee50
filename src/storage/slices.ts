import { setImmediate } from 'node:timers/promises';

/** For how long this process works without a pause, in milliseconds: meanwhile it serves nobody. */
const SLICE_MS = 3;

/** Does work step by step, and lets others be served in between. */
export async function inSlices<T>(steps: Generator<void, T>): Promise<T> {
  for (let began = performance.now(); ; ) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() - began < SLICE_MS) continue;
    await setImmediate();
    began = performance.now();
  }
}
