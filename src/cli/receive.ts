import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { Unfit } from '../unfit.js';
import { answerOf, refusalIn, requestTo } from './calls.js';
import type { Output } from './output.js';
import { counted, type Progress } from './progress.js';

/* Receiving an export of a running service, across breaks of the connection. */

/** How often it goes on after a break before anything more has come, and how long it waits before, in milliseconds. */
const MOST_TRIES = 8;
const waitBefore = (tries: number): number => Math.min(500 * 2 ** tries, 10_000);

/** After how long without a byte a connection counts as broken, in milliseconds: longer than the service takes for a page. */
const SILENT_MS = 60_000;

/**
 * How far an export is: the cursor of its last watermark (null: there was none yet), and how many bytes behind that were written. The same
 * cursor has the same bytes behind it for ever, so these are left out where they come again.
 */
type Position = { cursor: string | null; written: number };

/**
 * Receives an export. Where its connection breaks, it goes on from the last watermark.
 * @param write takes whole lines where the URL asks for watermarks, otherwise any bytes
 * @throws Unfit where the service refuses, or the connection breaks too often
 */
export async function receive(url: URL, write: Output['write'], say: Progress['say']): Promise<void> {
  const position: Position = { cursor: null, written: 0 };
  let pinned: URL | null = null;
  for (let tries = 0; ; tries++) {
    const before = { ...position };
    try {
      const answer = await ask(pinned ?? url, position.cursor);
      pinned ??= pinnedBy(answer, url);
      await take(answer, url.searchParams.has('watermarks'), position, write);
      return;
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      if (!pinned) throw new Unfit(error.message);
      if (position.cursor !== before.cursor || position.written > before.written) tries = 0;
      if (tries >= MOST_TRIES) throw new Unfit(`${error.message} It was tried ${counted(tries, 'time')} more.`);
      say(`${error.message} Going on.`);
      await sleep(waitBefore(tries));
    }
  }
}

/** What may go on after a while. */
class Broken extends Error {}

async function ask(url: URL, cursor: string | null): Promise<IncomingMessage> {
  const target = new URL(url);
  if (cursor !== null) target.searchParams.set('cursor', cursor);
  const sent = requestTo(target);
  sent.setTimeout(SILENT_MS, () => sent.destroy(new Error('silent')));
  sent.end();
  const answer = await answerOf(sent, url).catch((error: unknown) => {
    throw error instanceof Unfit ? new Broken(error.message) : error;
  });
  if (answer.statusCode === 200) return answer;
  const why = refusalIn(await text(answer).catch(() => ''), answer.statusCode);
  throw (answer.statusCode ?? 0) >= 500 ? new Broken(why) : new Unfit(why);
}

/** The URL that has the same bytes for ever; null: the service did not say it, because the URL is too long for a header. */
function pinnedBy({ headers }: IncomingMessage, url: URL): URL | null {
  const location = headers['content-location'];
  if (location === undefined) return null;
  const pin = new URL(location, url).searchParams;
  const pinned = new URL(url);
  for (const name of ['asOf', 'recordedAsOf']) pinned.searchParams.set(name, pin.get(name) ?? '');
  return pinned;
}

/** Takes an answer up to its end, and keeps in `position` how far it is. @throws Broken where it is cut off */
async function take(
  answer: IncomingMessage,
  hasWatermarks: boolean,
  position: Position,
  write: Output['write'],
): Promise<void> {
  let seen = 0;
  const emit = async (bytes: Buffer) => {
    const known = Math.min(Math.max(position.written - seen, 0), bytes.length);
    seen += bytes.length;
    if (known === bytes.length) return;
    await write(bytes.subarray(known));
    position.written = seen;
  };
  for await (const part of hasWatermarks ? partsOf(unbroken(answer)) : unbroken(answer)) {
    if (Buffer.isBuffer(part)) await emit(part);
    else {
      position.cursor = part.cursor;
      position.written = Math.max(position.written - seen, 0);
      seen = 0;
    }
  }
}

async function* unbroken(answer: IncomingMessage): AsyncGenerator<Buffer> {
  // An error of whoever takes a part is no error of the answer.
  const parts: AsyncIterator<Buffer> = answer[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await parts.next().catch(() => {
        throw new Broken('The connection broke.');
      });
      if (next.done) return;
      yield next.value;
    }
  } finally {
    answer.destroy();
  }
}

const LF = 10;
const WATERMARK = Buffer.from('{"watermark": ');

/** Whole lines, and watermarks among them. A line that begins as they do is one: no other begins so. */
async function* partsOf(answer: AsyncIterable<Buffer>): AsyncGenerator<Buffer | { cursor: string }> {
  let begun: Buffer[] = [];
  for await (const part of answer) {
    const end = part.lastIndexOf(LF) + 1;
    if (end === 0) {
      begun.push(part);
      continue;
    }
    const lines = Buffer.concat([...begun, part.subarray(0, end)]);
    begun = [part.subarray(end)];
    let from = 0;
    for (let at = lines.indexOf(WATERMARK); at !== -1; at = lines.indexOf(WATERMARK, Math.max(at + 1, from))) {
      if (at > 0 && lines[at - 1] !== LF) continue;
      const until = lines.indexOf(LF, at);
      if (at > from) yield lines.subarray(from, at);
      const { watermark }: { watermark: { cursor: string } } = JSON.parse(lines.toString('utf8', at, until));
      yield watermark;
      from = until + 1;
    }
    if (from < lines.length) yield lines.subarray(from);
  }
}
