import { isUtf8 } from 'node:buffer';
import type { Readable } from 'node:stream';
import { Refusal } from '../../temporal/refusal.js';
import { isGone } from './streamed.js';

const [LF, CR] = Buffer.from('\n\r');
const MARK = Buffer.from('\uFEFF');
const EMPTY = Buffer.alloc(0);

/**
 * The lines of a streamed body, as they come: in arrays of at least one. A line ends at a line feed, or at the end; a carriage return
 * before that, and a byte order mark at the very beginning, are no part of it. Blank lines are ''.
 *
 * No more is kept than the beginning of a line. Of what is wrong with a line the caller learns after all lines before it. It may leave
 * early: the answer can still be sent.
 * @param most how long a line may be, in bytes
 * @param until ends the lines when it is aborted, without the one that has only begun. Whoever gives it looks at it to know why they ended
 * @throws Refusal `body_too_large` where a line is longer, `text_not_storable` where one is not UTF-8: with its number `line`, from 1. And
 * what the body ends in (streamed.ts): a Refusal, or an error that `isGone`
 */
export async function* linesOf(body: Readable, { most, until }: Bounds): AsyncGenerator<string[], void, void> {
  let begun: Begun = { bytes: EMPTY, length: 0 };
  let isStart = true;
  let count = 0;
  const take = function* (whole: Buffer): Generator<string[], void, void> {
    const { lines, fault } = read(whole, most);
    count += lines.length;
    if (lines.length > 0) yield lines;
    if (fault) throw refusal(fault, count + 1, most);
  };
  for await (const chunk of partsOf(body, until)) {
    let part = chunk;
    if (isStart) {
      part = Buffer.concat([textOf(begun), part]);
      begun = { bytes: part, length: part.length };
      if (part.length < MARK.length) continue;
      isStart = false;
      begun = { bytes: EMPTY, length: 0 };
      if (part.subarray(0, MARK.length).equals(MARK)) part = part.subarray(MARK.length);
    }
    const end = part.lastIndexOf(LF ?? 0);
    if (end !== -1) {
      const whole = part.subarray(0, end);
      yield* take(begun.length === 0 ? whole : Buffer.concat([textOf(begun), whole]));
      begun = { bytes: EMPTY, length: 0 };
    }
    begun = extended(begun, part.subarray(end + 1), most);
    if (lengthOf(textOf(begun)) > most) throw refusal('too long', count + 1, most);
  }
  if (until?.aborted) return;
  const rest = textOf(begun);
  // Of a body that is shorter than a mark, the end of a line may be in it.
  if (rest.length > 0) yield* take(rest[rest.length - 1] === LF ? rest.subarray(0, -1) : rest);
}

type Bounds = { most: number; until?: AbortSignal };

/** The parts of a stream as they come, up to its end or an abort, which does not wait for the next one. */
async function* partsOf(body: Readable, until: AbortSignal | undefined): AsyncGenerator<Buffer, void, void> {
  const stop = () => void body.destroy();
  until?.addEventListener('abort', stop);
  try {
    if (until?.aborted) return;
    for await (const part of body) {
      yield part;
      if (until?.aborted) return;
    }
  } catch (error) {
    // That it was destroyed is no fault then.
    if (!until?.aborted || error instanceof Refusal || isGone(error)) throw error;
  } finally {
    until?.removeEventListener('abort', stop);
  }
}

/** A line whose end has not come: the first `length` of the bytes. */
type Begun = { bytes: Buffer; length: number };

const textOf = ({ bytes, length }: Begun): Buffer => bytes.subarray(0, length);

/**
 * Copies what has come of a line behind what was there. A part that was kept itself would keep the whole packet in which it came, and each
 * byte could come in one of its own.
 */
function extended({ bytes, length }: Begun, part: Buffer, most: number): Begun {
  // One byte more may be a carriage return; that it is still more needs no bytes.
  const taken = part.subarray(0, Math.max(0, most + 2 - length));
  const needed = length + taken.length;
  let room = bytes;
  if (needed > bytes.length) {
    room = Buffer.allocUnsafe(Math.min(Math.max(needed, 2 * length), most + 2));
    bytes.copy(room, 0, 0, length);
  }
  taken.copy(room, length);
  return { bytes: room, length: needed };
}

/** How many bytes a line has, without the carriage return before its end. */
const lengthOf = (line: Buffer): number => line.length - (line[line.length - 1] === CR ? 1 : 0);

type Wrong = 'too long' | 'not UTF-8';

/** The lines of bytes that end where a line ends, up to the first with which something is wrong. */
function read(whole: Buffer, most: number): { lines: string[]; fault?: Wrong } {
  if (whole.length <= most && isUtf8(whole)) return { lines: split(whole) };
  for (let from = 0; from <= whole.length; ) {
    const at = whole.indexOf(LF ?? 0, from);
    const to = at === -1 ? whole.length : at;
    const line = whole.subarray(from, to);
    const fault = lengthOf(line) > most ? 'too long' : isUtf8(line) ? null : 'not UTF-8';
    if (fault) return { lines: from === 0 ? [] : split(whole.subarray(0, from - 1)), fault };
    from = to + 1;
  }
  return { lines: split(whole) };
}

function split(whole: Buffer): string[] {
  const lines = whole.toString().split('\n');
  return whole.includes(CR ?? 0) ? lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line)) : lines;
}

function refusal(fault: Wrong, line: number, most: number): Refusal {
  const members = { line };
  return fault === 'too long'
    ? new Refusal('body_too_large', `Line ${line} has more than ${most} bytes, the most that a line may have.`, {
        members,
      })
    : new Refusal('text_not_storable', `Line ${line} is not UTF-8.`, { members });
}
