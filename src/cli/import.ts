import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { styleText } from 'node:util';
import { BadSetting } from '../config.js';
import { Unfit } from '../unfit.js';
import { answerOf, linesIn, refusalIn, requestTo } from './calls.js';
import { counted, type Progress, progress } from './progress.js';

const OPTIONS = {
  url: { type: 'string' },
  source: { type: 'string' },
  mode: { type: 'string' },
  skew: { type: 'string' },
  'on-error': { type: 'string' },
  wait: { type: 'string' },
  'even-if-invalid': { type: 'boolean' },
  'dry-run': { type: 'boolean' },
} as const;

/** What the command line says; of options that are not given the service's own defaults count. */
type Given = {
  source?: string | undefined;
  mode?: string | undefined;
  skew?: string | undefined;
  'on-error'?: string | undefined;
  wait?: string | undefined;
  'even-if-invalid'?: boolean | undefined;
  'dry-run'?: boolean | undefined;
};

/** Sends a file of lines to a running service. */
export const importFile = {
  does: 'imports a file of entities, a line each',
  usage:
    'import <file | -> [--source <name>] [--mode upsert|insert|replace-all] [--skew refuse|shift] [--on-error stop|skip] [--wait <seconds>] [--even-if-invalid] [--dry-run] [--url <url>]',
  options: OPTIONS,
  help: `Sends the lines of a file (- is what comes in by standard input) to a running service, and shows how far the import is. Each line is JSON:
  {"type": "friend", "key": "rachel", "properties": {…}}                      the whole state of an entity
  {"op": "patch", "type": "friend", "key": "rachel", "properties": {…}}       a merge patch (RFC 7396)
  {"op": "set", "type": "friend", "key": "rachel", "set": {…}, "clear": […]}  whole values of some properties
  {"op": "delete", "type": "friend", "key": "rachel"}                         a tombstone
  {"watermark": …}                                                            how far the file is, in words of its own: kept with the lines before it
A line may say who and why by "activity": {"actor": …, "reason": …}, and when by "at": an instant such as "2015-04-02T00:00:00Z", after the newest
tick of its entity. A file that ends in .gz is sent as it is; standard input is not compressed (zcat FILE | clocktick import -).

  --source NAME     a name for what is imported (that of the file, or stdin); one import at a time of each
  --mode MODE       upsert (the default) changes what is there; insert refuses a line that would;
                    replace-all deletes, at its end, what no line named, of the types that lines did
  --on-error WHAT   stop (the default) ends the import at a line that is refused; skip leaves it out, and says why
  --skew WHAT       refuse (the default) an "at" that is out of order; shift moves instants on, by microseconds over the whole file
  --wait SECONDS    waits so long for another import of this source to end (0 without it; up to 600)
  --even-if-invalid takes states that the definitions of their types refuse, too
  --dry-run         tells what would be written, and writes nothing
  --url URL         where the service is (CLOCKTICK_URL, or http://127.0.0.1:3000)

After a failure, or Ctrl-C, send the same file again: lines whose state is kept already make no tick. --dry-run --on-error skip lists all the
lines that would be refused. Where another program writes to standard input and may fail, write a file first: its end looks the same either way.

Exit codes: 0 all is imported, 1 some lines were left out, or nothing was deleted because of that, 2 it failed.
`,
  run: async (base: URL, given: Given, args: readonly string[]): Promise<boolean> => {
    const [file, ...more] = args;
    if (file === undefined) throw new BadSetting('name the file to import, or - for standard input.');
    if (more.length > 0) throw new BadSetting(`import takes one file, and no argument ${more[0]}.`);
    const size = file === '-' ? null : await sizeOf(file);
    const lines = file === '-' ? process.stdin : createReadStream(file);
    const source = given.source ?? (file === '-' ? 'stdin' : basename(file));
    const target = targetOf(base, given, source);
    const bar = progress(size);
    try {
      return await send(target, lines, file.endsWith('.gz'), bar);
    } finally {
      bar.end();
      lines.destroy();
    }
  },
};

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch {
    throw new BadSetting(`there is no file ${file} that could be read.`);
  }
}

function targetOf(base: URL, given: Given, source: string): URL {
  const url = new URL('import', base);
  url.searchParams.set('source', source);
  const asked = {
    mode: given.mode,
    skew: given.skew,
    onError: given['on-error'],
    wait: given.wait,
    evenIfInvalid: given['even-if-invalid'],
    dryRun: given['dry-run'],
  };
  for (const [name, value] of Object.entries(asked)) if (value !== undefined) url.searchParams.set(name, `${value}`);
  return url;
}

/** Sends lines, and reads meanwhile what the service tells. Gives whether every line was taken. */
async function send(url: URL, lines: Readable, isCompressed: boolean, bar: Progress): Promise<boolean> {
  const sent = requestTo(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-ndjson',
      accept: 'application/x-ndjson',
      ...(isCompressed ? { 'content-encoding': 'gzip' } : {}),
    },
  });
  const passing = new PassThrough();
  passing.on('data', (part: Buffer) => bar.sent(part.length));
  let unread: Error | null = null;
  lines.on('error', (error) => {
    unread = error;
    sent.destroy(error);
  });
  lines.pipe(passing).pipe(sent);
  const answer = await answerOf(sent, url).catch((error: unknown) => {
    throw unread ? new Unfit(`the file could not be read: ${unread.message}.`) : error;
  });
  if (answer.statusCode !== 200) throw new Unfit(refusalIn(await text(answer), answer.statusCode));
  let last: Told | null = null;
  try {
    for await (const line of linesIn(answer)) {
      const told: Told | Fault = JSON.parse(line);
      if ('line' in told) bar.say(`line ${told.line}: ${told.problem.detail}`);
      else {
        last = told;
        bar.at(told.lines, { short: `${told.changed} changed, ${told.unchanged} unchanged`, full: summary(told) });
      }
    }
  } catch (error) {
    // Otherwise the service has gone: what it told last is what is known.
    if (answer.errored === null) throw error;
  }
  sent.destroy();
  bar.end();
  if (unread) throw new Unfit(`the file could not be read: ${String(unread)}.`);
  const isDry = url.searchParams.has('dryRun');
  if (last?.status === 'done') {
    const { skipped, unfinishedSince } = last;
    const isAll = skipped === 0 && unfinishedSince === undefined;
    const told = `${isDry ? 'dry run, nothing is written: ' : ''}${summary(last)}`;
    process.stdout.write(`${coloured(isAll ? 'green' : 'yellow', told)}\n`);
    if (unfinishedSince !== undefined) process.stderr.write(`${NOT_REPLACED}\n`);
    return isAll;
  }
  throw new Unfit(failure(last, isDry, url));
}

/** Why an import has ended before its end, what is kept of it, and what to do. */
function failure(last: Told | null, isDry: boolean, url: URL): string {
  const isKept = !isDry && last !== null && last.lines > 0;
  if (!last?.problem) {
    const kept = isKept ? ` Kept, as far as it told: ${summary(last)}.` : '';
    return `the service has gone in the middle of the import.${kept} Send it all again: what is kept changes nothing.`;
  }
  const { type, code, status, detail } = last.problem;
  const kept = isKept ? `Kept: ${summary(last)}.` : 'Nothing was kept.';
  const again = status < 500 ? 'Mend that, and send it all again' : 'Send it all again';
  return `${detail} (${code}) ${kept} ${again}: what is kept changes nothing. See ${new URL(type, url)}`;
}

/** What the service tells of an import (GET /imports/{source}), and of a line that was left out. */
type Told = {
  status: string;
  lines: number;
  changed: number;
  unchanged: number;
  skipped: number;
  ticks: number;
  deleted: number;
  mode: string;
  unfinishedSince?: string;
  problem?: { type: string; code: string; status: number; detail: string };
};
type Fault = { line: number; problem: { detail: string } };

const NOT_REPLACED =
  'What no line named is still there, because lines were left out, or named nothing. Send those, or all of it again.';

const summary = ({ lines, changed, unchanged, skipped, ticks, mode, deleted }: Told): string =>
  `${counted(lines, 'line')}: ${changed} changed, ${unchanged} unchanged, ${skipped} left out; ${counted(ticks, 'tick')}${
    mode === 'replace-all' ? `, of which ${deleted} deleted what no line named` : ''
  }`;

const coloured = (colour: 'green' | 'yellow', told: string): string =>
  process.stdout.isTTY ? styleText(colour, told) : told;
