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

/** What a function makes of each of many, one a step. */
export function* each<Item, Made>(items: readonly Item[], made: (item: Item) => Made): Generator<void, Made[]> {
  const all: Made[] = [];
  for (const item of items) {
    all.push(made(item));
    yield;
  }
  return all;
}
