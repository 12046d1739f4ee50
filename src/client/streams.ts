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
 * Imports lines in batches. It is never sent again by itself: send all of it again, then what is kept changes nothing.
 * @throws ClocktickProblem what has ended the import, and `problem.import` how far it came; ClocktickUnreachable where it broke off; what
 * the pieces throw
 */
export const importing =
  (request: Requester) =>
  async (lines: ImportLines, query: types.ImportQuery, options: ImportOptions = {}): Promise<types.ImportSummary> => {
    const { signal, onProgress, encoding } = options;
    const isDry = query.dryRun === true;
    const unread: unknown[] = [];
    const content =
      typeof lines === 'string'
        ? lines
        : Symbol.iterator in lines
          ? [...lines].map(lineOf).join('')
          : streamOf(lines, (error) => unread.push(error));
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
      const answer = await request({ ...call, accept: NDJSON }, async (answer) => answer);
      return await toldBy(answer, options, !isDry);
    } catch (error) {
      throw unread.length > 0 ? unread[0] : error;
    }
  };

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

/** The exports, as of a point that they are bound to. */
export function exporting(request: Requester, bound: { asOf?: types.Point; recordedAsOf?: types.Instant | undefined }) {
  const open = (query: object, { signal }: CallOptions, type: string) =>
    request({ method: 'GET', path: ['export'], query, accept: '*/*', effect: 'none', signal }, async (answer) => {
      if (type !== '') refuseOthers(answer, type);
      return answer;
    });

  async function* lines(query: types.LinesQuery, options: CallOptions): AsyncGenerator<types.ExportLine, void> {
    let pinned: object = { ...bound, ...query };
    let { cursor } = query;
    // How many lines behind the cursor were given: the same cursor has the same lines behind it for ever.
    let given = 0;
    for (;;) {
      const answer = await open({ ...pinned, cursor, watermarks: true }, options, NDJSON);
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
        if (!hasNews) throw new ClocktickUnreachable('The export broke off.', { cause: error });
      }
    }
  }

  async function* bytes(query: types.BytesQuery, options: CallOptions): AsyncGenerator<Uint8Array, void> {
    const answer = await open({ ...bound, ...query }, options, '');
    try {
      yield* piecesOf(answer);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw new ClocktickUnreachable('The export broke off.', { cause: error });
    }
  }

  return {
    /** Everything, or all of a type, as of one instant: line by line. Where the connection breaks, it goes on from there. */
    export: (query: types.LinesQuery = {}, options: CallOptions = {}): AsyncIterable<types.ExportLine> =>
      lines(query, options),
    /** The same in any format, as the bytes of a file. */
    exportBytes: (query: types.BytesQuery = {}, options: CallOptions = {}): AsyncIterable<Uint8Array> =>
      bytes(query, options),
  };
}

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
