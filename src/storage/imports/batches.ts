import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { ImportLine, ImportWrite, LineFault } from '../../temporal/import.js';
import type { Json } from '../../temporal/json.js';

/** What a line says, or why it is refused. */
export type ReadLine = ImportLine | ({ op: 'fault' } & LineFault);

/**
 * A line as it came, and whether it is a watermark. It is read no sooner than its batch is made: what it says takes some ten times as much
 * memory as its text, of about so many bytes, and thousands of lines may wait for a watermark.
 */
export type SentLine = { bytes: number; isMark: boolean; read: () => ReadLine };

/** What is written in one transaction: up to the last of its lines, with the watermark that ends it, if one does. */
export type Batch = { writes: ImportWrite[]; faults: LineFault[]; lines: number; watermark: Json | undefined };

/** After how long without a line what has come is written, in milliseconds: the rest may be hours away. */
const STALLED_MS = 1_000;
/** How long a batch should take, in milliseconds: what it writes holds the stable instant back. */
const TARGET_MS = 250;
/**
 * How many lines a batch has. While others ask the service something, fewer: of two cores a batch takes one for as long as it is written, and
 * the p99 of a read beside batches of 250 was 2.4 times that alone, beside a thousand 2.8 times, for 13% fewer lines a second.
 */
const LINES = { least: 10, besideOthers: 250, most: 1_000 };
/** Within how many lines a watermark is looked for. */
const REACH = 10_000;
/** How many bytes of lines wait to be written at most, and how many of them are one batch. */
const MOST_WAITING_BYTES = 8 * 2 ** 20;
const MOST_BATCH_BYTES = 2 * 2 ** 20;
/** For how long lines are read without a pause, in milliseconds: meanwhile this process serves nobody. */
const SLICE_MS = 3;

/**
 * How many lines a batch has, as long as no watermark ends it: as many as took about as long as one should. `asked`: how much others had asked
 * the service when that was learned.
 */
export type Pace = { lines: number; asked: number; questions: () => number };
/** @param questions how much others have asked the service so far */
export const newPace = (questions: () => number): Pace => ({ lines: LINES.most, asked: questions(), questions });

/** Learns how long so many lines took, in milliseconds, and whether others asked the service something meanwhile. */
export function learn(pace: Pace, lines: number, took: number): void {
  const asked = pace.questions();
  const most = asked === pace.asked ? LINES.most : LINES.besideOthers;
  pace.asked = asked;
  // A batch that was ended before says little of a larger one.
  const wanted = lines * Math.min(Math.max(TARGET_MS / Math.max(took, 1), 0.25), 2);
  const isWhole = lines >= pace.lines || took > TARGET_MS;
  if (isWhole) pace.lines = Math.round(Math.max(wanted, LINES.least));
  pace.lines = Math.min(pace.lines, most);
}

/**
 * Puts lines together to batches. A watermark ends a batch, and where one is within reach (10,000 lines, 8 MiB) nothing else does: so what
 * stands between two of them is seen all at once. Beyond that a batch has as many lines as the pace says.
 * @param lines in arrays, as they come; no more are asked for while a batch is being written
 */
export async function* batchesOf(lines: AsyncIterable<readonly SentLine[]>, pace: Pace): AsyncGenerator<Batch> {
  let waiting: SentLine[] = [];
  let bytes = 0;

  /** How many of the lines are the next batch: up to a watermark within reach, or as the pace says, once there is too much or no more. */
  const next = (isOver: boolean): number => {
    const mark = waiting.findIndex(({ isMark }, n) => isMark && n < REACH);
    if (mark >= 0) return mark + 1;
    const isDue = waiting.length >= REACH || bytes >= MOST_WAITING_BYTES || isOver;
    return isDue ? paced(waiting, pace) : 0;
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
      for (let count = next(isOver); count > 0; count = next(isOver)) {
        const taken = waiting.slice(0, count);
        waiting = waiting.slice(count);
        for (const line of taken) bytes -= line.bytes;
        yield await batchOf(taken);
      }
      if (some?.done) return;
    }
  } finally {
    // Not awaited: more may be on its way, from a caller who waits for the answer.
    void iterator.return?.().catch(() => {});
  }
}

async function batchOf(lines: readonly SentLine[]): Promise<Batch> {
  const batch: Batch = { writes: [], faults: [], lines: lines.length, watermark: undefined };
  let began = performance.now();
  for (const line of lines) {
    const read = line.read();
    if (read.op === 'fault') batch.faults.push(read);
    else if (read.op === 'watermark') batch.watermark = read.watermark;
    else batch.writes.push(read);
    if (performance.now() - began < SLICE_MS) continue;
    await setImmediate();
    began = performance.now();
  }
  return batch;
}

/** How many of the first lines are one batch. */
function paced(lines: readonly SentLine[], { lines: most }: Pace): number {
  let bytes = 0;
  const end = lines.findIndex((line, n) => {
    bytes += line.bytes;
    return n >= most || (n > 0 && bytes > MOST_BATCH_BYTES);
  });
  return end === -1 ? lines.length : end;
}
