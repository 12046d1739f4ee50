import {
  type Call,
  type CallOptions,
  ClocktickProblem,
  ClocktickUnreachable,
  isProblem,
  jsonOf,
  type Requester,
  refuseOthers,
  textOf,
} from './request.js';
import type * as types from './types.js';

/* Lines in and out, of any number. */

const NDJSON = 'application/x-ndjson';

/** What is imported: all of it as text or as lines; or piece by piece, lines or parts of the text, which browsers cannot send. */
export type ImportLines =
  | string
  | Iterable<types.ImportLine>
  | AsyncIterable<types.ImportLine | string | Uint8Array>
  | ReadableStream<Uint8Array>;

export type ImportOptions = CallOptions & {
  /** Is told meanwhile how far the import is. Not for large texts in browsers, which read no answer before all is sent. */
  onProgress?: ((told: types.Import) => void) | undefined;
  /** How pieces are compressed. */
  encoding?: 'gzip' | undefined;
};

/**
 * Imports lines, in one sending.
 * @throws ClocktickProblem what has ended the import, and `problem.import` how far it came; ClocktickUnreachable where it broke off; what
 * the pieces throw
 */
export async function importLines(
  request: Requester,
  lines: ImportLines,
  query: types.ImportQuery,
  options: ImportOptions,
): Promise<types.ImportSummary> {
  const { signal, onProgress, encoding } = options;
  const isDry = query.dryRun === true;
  const faults: unknown[] = [];
  const content =
    typeof lines === 'string'
      ? lines
      : Symbol.iterator in lines
        ? [...lines].map(lineOf).join('')
        : streamOf(lines, (error) => faults.push(error));
  const call: Call = {
    method: 'POST',
    path: ['import'],
    query,
    stream: { content, type: NDJSON, encoding },
    effect: isDry ? 'none' : 'once',
    attempts: 1,
    signal,
  };
  try {
    if (onProgress === undefined && typeof content === 'string')
      return await request(call, jsonOf<types.ImportSummary>);
    const answer = await request({ ...call, accept: NDJSON }, (answer) => unread(answer, NDJSON));
    return await toldBy(answer, options, !isDry);
  } catch (error) {
    throw faults.length > 0 ? faults[0] : error;
  }
}

const MOST_FAULTS = 1_000;

type Told = types.Import & { problem?: types.Json };

async function toldBy(
  answer: Response,
  { signal, onProgress }: ImportOptions,
  mayBeWritten: boolean,
): Promise<types.ImportSummary> {
  const faults: types.LineFault[] = [];
  let last: Told | null = null;
  const lines = linesIn(answer);
  for (;;) {
    const next = await lines.next().catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw new ClocktickUnreachable('The answer to the import broke off.', { cause, mayBeWritten });
    });
    if (next.done) break;
    const told: Told | types.LineFault = JSON.parse(next.value);
    if (!('line' in told)) {
      last = told;
      onProgress?.(told);
    } else if (faults.length < MOST_FAULTS) faults.push(told);
  }
  if (last?.status === 'done') return { ...last, faults };
  const { problem, ...came } = last ?? {};
  if (isProblem(problem)) throw new ClocktickProblem({ ...problem, import: came });
  throw new ClocktickUnreachable('The answer to the import ended before it did.', { mayBeWritten });
}

const lineOf = (line: types.ImportLine): string => `${textOf(line)}\n`;

type Pieces = AsyncIterable<types.ImportLine | string | Uint8Array> | ReadableStream<Uint8Array>;

function streamOf(lines: Pieces, onError: (error: unknown) => unknown): ReadableStream<Uint8Array> {
  if (lines instanceof ReadableStream) return lines;
  const encoder = new TextEncoder();
  const pieces = lines[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pieces.next().catch((error: unknown) => {
        onError(error);
        throw error;
      });
      if (done) return controller.close();
      if (value instanceof Uint8Array) controller.enqueue(value);
      else controller.enqueue(encoder.encode(typeof value === 'string' ? value : lineOf(value)));
    },
    async cancel() {
      await pieces.return?.();
    },
  });
}

/** A query that may be bound to a point. */
type Bindable<Query> = Omit<Query, 'asOf'> & { asOf?: types.Point | undefined };

/**
 * Exports lines. Where the connection breaks, it goes on from there, as long as each connection brings something.
 * @throws ClocktickProblem, ClocktickUnreachable
 */
export async function* exportedLines(
  request: Requester,
  query: Bindable<types.LinesQuery>,
  options: CallOptions,
): AsyncGenerator<types.ExportLine, void> {
  let pinned: object = query;
  let { cursor } = query;
  // How many lines behind the cursor were given: the same cursor has the same lines behind it for ever.
  let given = 0;
  for (;;) {
    const answer = await exported(request, { ...pinned, cursor, watermarks: true }, options, NDJSON);
    pinned = { ...pinned, ...pinIn(answer) };
    let hasNews = false;
    let seen = 0;
    try {
      for await (const text of linesIn(answer)) {
        const line: types.ExportLine = JSON.parse(text);
        if ('watermark' in line) {
          cursor = line.watermark.cursor;
          given = 0;
          seen = 0;
          hasNews = true;
          if (query.watermarks === true) yield line;
        } else if (++seen > given) {
          given = seen;
          hasNews = true;
          yield line;
        }
      }
      return;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!hasNews) throw brokenOff(error);
    }
  }
}

/** Exports the bytes of a file. @throws ClocktickProblem, ClocktickUnreachable */
export async function* exportedBytes(
  request: Requester,
  query: Bindable<types.BytesQuery>,
  options: CallOptions,
): AsyncGenerator<Uint8Array, void> {
  const answer = await exported(request, query, options);
  try {
    yield* piecesOf(answer);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw brokenOff(error);
  }
}

const exported = (request: Requester, query: object, { signal }: CallOptions, type?: string): Promise<Response> =>
  request({ method: 'GET', path: ['export'], query, accept: '*/*', effect: 'none', signal }, (answer) =>
    unread(answer, type),
  );

/** An answer whose body is still to be read. */
async function unread(answer: Response, type?: string): Promise<Response> {
  if (type !== undefined) refuseOthers(answer, type);
  return answer;
}

const brokenOff = (cause: unknown) => new ClocktickUnreachable('The export broke off.', { cause });

/** The instants as of which the answer is, whatever is written meanwhile. */
function pinIn(answer: Response): object {
  const location = answer.headers.get('content-location');
  if (location === null) return {};
  const parameters = new URL(location, 'http://localhost').searchParams;
  return { asOf: parameters.get('asOf') ?? undefined, recordedAsOf: parameters.get('recordedAsOf') ?? undefined };
}

/** Lines, without blank ones. A long line comes in many pieces, and only the newest of them is looked at. */
async function* linesIn(answer: Response): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let begun: string[] = [];
  for await (const piece of piecesOf(answer)) {
    const [first = '', ...others] = decoder.decode(piece, { stream: true }).split('\n');
    begun.push(first);
    const last = others.pop();
    if (last === undefined) continue;
    yield* [begun.join(''), ...others].filter((line) => line !== '');
    begun = [last];
  }
  const rest = begun.join('');
  if (rest !== '') yield rest;
}

/** The pieces of a body. (Not every browser can iterate over a stream.) Whoever stops ends the answer. */
async function* piecesOf({ body }: Response): AsyncGenerator<Uint8Array, void> {
  if (!body) return;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
