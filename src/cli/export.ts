import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import { BadSetting } from '../config.js';
import { Unfit } from '../unfit.js';
import { answerOf, refusalIn, requestTo } from './calls.js';
import { counted, type Progress, progress } from './progress.js';

/** How often it goes on after a break before anything more has come, and how long it waits before, in milliseconds. */
const MOST_TRIES = 8;
const waitBefore = (tries: number): number => Math.min(500 * 2 ** tries, 10_000);

/** After how long without a byte a connection counts as broken, in milliseconds: longer than the service takes for a page. */
const SILENT_MS = 60_000;

const OPTIONS = {
  url: { type: 'string' },
  type: { type: 'string' },
  'as-of': { type: 'string' },
  'recorded-as-of': { type: 'string' },
  history: { type: 'string' },
  format: { type: 'string' },
  fields: { type: 'string', multiple: true },
} as const;

/** What the command line says; of options that are not given the service's own defaults count. */
type Given = {
  type?: string | undefined;
  'as-of'?: string | undefined;
  'recorded-as-of'?: string | undefined;
  history?: string | undefined;
  format?: string | undefined;
  fields?: string[] | undefined;
};

/** Writes what a running service exports into a file. */
export const exportFile = {
  does: 'exports everything, or all of a type, into a file',
  usage:
    'export [<file> | -] [--type <type>] [--as-of <instant>] [--recorded-as-of <instant>] [--history full] [--format ndjson|csv|parquet|ranges|ranges-csv|ranges-parquet] [--fields <names>] [--url <url>]',
  options: OPTIONS,
  help: `Writes what a running service has, as of one instant, into a file (- and nothing: to standard output), and shows how far it is.
A file that ends in .gz is compressed. Until all is there it is called FILE.partial. Where the connection breaks, the export goes on from
where it was.

  --type TYPE       only the entities of this type (all types, one after the other)
  --as-of INSTANT   as it was then, such as 2016-01-08T00:00:00Z (the newest instant that is stable)
  --recorded-as-of INSTANT
                    by what had been recorded then: without what was imported since
  --history full    every tick until then, and not the states alone
  --format FORMAT   ndjson (the default, whatever the file is called): lines as \`clocktick import\` takes them; csv, parquet: a table of states,
                    of one --type, with --fields; ranges: which property had which value from when to when, as lines of JSON;
                    ranges-csv, ranges-parquet: the same as a table
  --fields NAMES    of csv and parquet the properties that are columns, of ranges those that are shown, with commas between; may be given again
  --url URL         where the service is (CLOCKTICK_URL, or http://127.0.0.1:3000)

From the embedded database to a server of your own, while a service runs over each:
  clocktick export all.ndjson.gz --history full --url http://127.0.0.1:3000
  clocktick import all.ndjson.gz --url http://127.0.0.1:3001

Exit codes: 0 all is exported, 2 it failed.
`,
  run: async (base: URL, given: Given, args: readonly string[]): Promise<void> => {
    const [file = '-', ...more] = args;
    if (more.length > 0) throw new BadSetting(`export takes one file, and no argument ${more[0]}.`);
    const output = openOutput(file);
    const unit = given.format?.endsWith('parquet') ? 'byte' : 'line';
    const bar = progress(null, unit);
    let took = 0;
    const write = async (bytes: Buffer) => {
      await output.write(bytes);
      took += unit === 'byte' ? bytes.length : lineEndsIn(bytes);
      const told = counted(took, unit);
      bar.at(took, { short: told, full: told });
    };
    try {
      await receive(targetOf(base, given), write, bar.say);
      await output.end();
    } finally {
      bar.end();
      output.close();
    }
    process.stderr.write(`${counted(took, unit)}\n`);
  },
};

function targetOf(base: URL, given: Given): URL {
  const url = new URL('export', base);
  const asked = {
    type: given.type,
    asOf: given['as-of'],
    recordedAsOf: given['recorded-as-of'],
    history: given.history,
    format: given.format,
  };
  for (const [name, value] of Object.entries(asked)) if (value !== undefined) url.searchParams.set(name, value);
  for (const name of (given.fields ?? []).flatMap((names) => names.split(','))) url.searchParams.append('fields', name);
  if (['ndjson', 'ranges'].includes(given.format ?? 'ndjson')) url.searchParams.set('watermarks', 'true');
  return url;
}

type Output = { write: (bytes: Buffer) => Promise<void>; end: () => Promise<void>; close: () => void };

/**
 * A file, or standard output. Whoever writes waits until it takes more. The file is made when there is something to write: an export that is
 * refused leaves none.
 */
function openOutput(file: string): Output {
  const partial = `${file}.partial`;
  const input = new PassThrough();
  let taken: Promise<void> | undefined;
  const begin = (): Promise<void> => {
    const end = file === '-' ? process.stdout : createWriteStream(partial);
    const parts = file.endsWith('.gz') ? [input, createGzip(), end] : [input, end];
    const whole = pipeline(parts, { end: file !== '-' }).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      throw new Unfit(`${file === '-' ? 'standard output' : partial} could not be written: ${why}.`);
    });
    // It may fail while nobody writes.
    whole.catch(() => {});
    return whole;
  };
  return {
    write: async (bytes) => {
      taken ??= begin();
      if (!input.destroyed && !input.write(bytes)) await drained(input);
      if (input.destroyed) await taken;
    },
    end: async () => {
      taken ??= begin();
      input.end();
      await taken;
      if (file !== '-') await rename(partial, file);
    },
    close: () => void input.destroy(),
  };
}

/** Waits until a stream takes more, or never will. */
const drained = (stream: PassThrough): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done).off('close', done);
      resolve();
    };
    stream.on('drain', done).on('close', done);
  });

/**
 * How far an export is: the cursor of its last watermark (null: there was none yet), and how many bytes behind that were written. The same
 * cursor has the same bytes behind it for ever, so these are left out where they come again.
 */
type Position = { cursor: string | null; written: number };

/** Receives an export. Where its connection breaks, it goes on from the last watermark. */
async function receive(url: URL, write: Output['write'], say: Progress['say']): Promise<void> {
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

function lineEndsIn(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(LF); at !== -1; at = bytes.indexOf(LF, at + 1)) count++;
  return count;
}
