import { setTimeout as sleep } from 'node:timers/promises';
import type { ImportLine, ImportWrite, LineFault } from '../temporal/import.js';
import type { Json } from '../temporal/json.js';

/** A line as it was read, or why it was refused; `bytes`: about what it takes in memory as text. */
export type ReadLine = { bytes: number } & (ImportLine | ({ op: 'fault' } & LineFault));

/** What is written in one transaction: up to the last of its lines, with the watermark that ends it, if one does. */
export type Batch = { writes: ImportWrite[]; faults: LineFault[]; lines: number; watermark: Json | undefined };

/** After how long without a line what has come is written, in milliseconds: the rest may be hours away. */
const STALLED_MS = 1_000;
/** How long a batch should take, in milliseconds: what it writes holds the stable instant back. */
const TARGET_MS = 250;
/** More lines at once would hold up other requests for as long as this process decides on them: a thousand take some 15 ms. */
const LINES = { least: 10, most: 1_000 };
/** Within how many lines a watermark is looked for. */
const REACH = 10_000;
/** How many bytes of lines wait to be written at most, and how many of them are one batch. */
const MOST_WAITING_BYTES = 8 * 2 ** 20;
const MOST_BATCH_BYTES = 2 * 2 ** 20;

/** How many lines a batch has, as long as no watermark ends it: as many as took about as long as one should. */
export type Pace = { lines: number };
export const newPace = (): Pace => ({ lines: LINES.most });

/** Learns how long so many lines took, in milliseconds. */
export function learn(pace: Pace, lines: number, took: number): void {
  // A batch that was ended before says little of a larger one.
  const wanted = lines * Math.min(Math.max(TARGET_MS / Math.max(took, 1), 0.25), 2);
  const isWhole = lines >= pace.lines || took > TARGET_MS;
  if (isWhole) pace.lines = Math.round(Math.min(Math.max(wanted, LINES.least), LINES.most));
}

/**
 * Puts lines together to batches. A watermark ends a batch, and where one is within reach (10,000 lines, 8 MiB) nothing else does: so what
 * stands between two of them is seen all at once. Beyond that a batch has as many lines as the pace says.
 * @param lines in arrays, as they come; no more are asked for while a batch is being written
 */
export async function* batchesOf(lines: AsyncIterable<readonly ReadLine[]>, pace: Pace): AsyncGenerator<Batch> {
  let waiting: ReadLine[] = [];
  let bytes = 0;

  const take = (count: number): Batch => {
    const batch: Batch = { writes: [], faults: [], lines: count, watermark: undefined };
    for (const line of waiting.slice(0, count)) {
      bytes -= line.bytes;
      if (line.op === 'fault') batch.faults.push(line);
      else if (line.op === 'watermark') batch.watermark = line.watermark;
      else batch.writes.push(line);
    }
    waiting = waiting.slice(count);
    return batch;
  };
  /** The next batch, if there is one: up to a watermark within reach, or so many lines as the pace says, once there is too much or no more. */
  const next = (isOver: boolean): Batch | null => {
    const mark = waiting.findIndex(({ op }, n) => op === 'watermark' && n < REACH);
    if (mark >= 0) return take(mark + 1);
    const isDue = waiting.length >= REACH || bytes >= MOST_WAITING_BYTES || (isOver && waiting.length > 0);
    return isDue ? take(paced(waiting, pace)) : null;
  };
  const iterator = lines[Symbol.asyncIterator]();
  try {
    for (let coming = iterator.next(); ; ) {
      const some = await (waiting.length > 0
        ? Promise.race([coming, sleep(STALLED_MS, null, { ref: false })])
        : coming);
      if (some && !some.done) {
        for (const line of some.value) {
          waiting.push(line);
          bytes += line.bytes;
        }
        coming = iterator.next();
        coming.catch(() => {}); // it is awaited when the batches are written
      }
      const isOver = some === null || some.done === true;
      for (let batch = next(isOver); batch; batch = next(isOver)) yield batch;
      if (some?.done) return;
    }
  } finally {
    // Not awaited: more may be on its way, from a caller who waits for the answer.
    void iterator.return?.().catch(() => {});
  }
}

/** How many of the first lines are one batch. */
function paced(lines: readonly ReadLine[], { lines: most }: Pace): number {
  let bytes = 0;
  const end = lines.findIndex((line, n) => {
    bytes += line.bytes;
    return n >= most || (n > 0 && bytes > MOST_BATCH_BYTES);
  });
  return end === -1 ? lines.length : end;
}
