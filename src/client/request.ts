import type { Problem, ProblemCode } from './types.js';

/*
 * One call of the service: how it is sent, when it is sent again, and what its answer means.
 *
 * A call that writes is sent again
 * - whatever it is, where the service says that nothing was written (503 with Retry-After), or where there was no connection to send it on;
 * - after a broken connection, a proxy's 502 to 504, or `outcome_unknown` only if it is safe to: a second time it changes nothing, or is
 *   refused (see `Effect`). What is thrown then says by `mayBeWritten` that the first sending may have been kept: whatever refuses the
 *   second one may be that.
 * There is no Idempotency-Key: the service knows none yet. Once it does, each write can have one (here, among the headers of a sending), every
 * write can be sent again, and `once` goes.
 *
 * Why this is written by hand, and only the types (generated.ts) are generated: Redocly's generate-client (2.77, experimental) was tried. Its
 * client of the same document has 5,666 lines, and 30 kB minified where this has 12. It knows nothing of what matters here: it decides by the
 * method, so it never sends a POST or PATCH again, not even where nothing was written; it sends a PUT or DELETE again after any 500 or 503,
 * and then gives the caller's own 412 as somebody else's; it would read imports and exports into memory, as one value; and a tick, a 412, a cursor
 * or `asOf` would still need all that is here around it.
 */

/** The part of `fetch` that is used. */
type Fetch = (
  url: string,
  init: {
    method: string;
    headers: Record<string, string>;
    body?: string | ReadableStream<Uint8Array>;
    signal?: AbortSignal;
    duplex?: 'half';
    redirect: 'manual';
  },
) => Promise<Response>;

export type RetryOptions = {
  /** How often a call is sent at most (4). */
  attempts?: number | undefined;
  /** The first wait, in milliseconds (200); each further one is twice as long. Half of each is left to chance. */
  wait?: number | undefined;
  /** The longest wait, in milliseconds (10,000). A service that asks for more (Retry-After) is not asked again. */
  longestWait?: number | undefined;
};

export type ClientOptions = {
  /**
   * Where the service is, with or without a slash at its end; what it has of a path stands before each path of the API. It has to be there:
   * no redirection is followed.
   */
  baseUrl: string | URL;
  /** Sends requests; without it, that of the platform. */
  fetch?: Fetch | undefined;
  /** Headers of each request, such as those that a proxy wants. Asked for each sending. */
  headers?: (() => Record<string, string> | Promise<Record<string, string>>) | undefined;
  /** When calls are sent again; `false`: never. */
  retry?: RetryOptions | false | undefined;
};

export type CallOptions = {
  /** Ends the call: it rejects with the reason of the signal. Whether a write is kept all the same is not known then. */
  signal?: AbortSignal | undefined;
};

/** What sending a call does: `none`: it writes nothing; `safe`: a write that may be sent twice; `once`: one that may not. */
export type Effect = 'none' | 'safe' | 'once';

export type Call = {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** The segments of the path, as they are. */
  path: readonly string[];
  query?: object | undefined;
  headers?: Record<string, string | undefined> | undefined;
  /** What is sent as JSON. */
  body?: unknown;
  /** What is sent as it is. */
  stream?: { content: string | ReadableStream<Uint8Array>; type: string; encoding?: string | undefined } | undefined;
  accept?: string | undefined;
  effect: Effect;
  /** How often it is sent at most, where that is fewer than the client is told. */
  attempts?: number | undefined;
  signal?: AbortSignal | undefined;
};

/** The service has refused a call. The message is the `detail` of the problem. */
export class ClocktickProblem extends Error {
  override readonly name = 'ClocktickProblem';
  readonly status: number;
  readonly code: ProblemCode;
  readonly problem: Problem;
  /** In how many seconds the service can be asked again, where it says so. */
  readonly retryAfter: number | undefined;
  /**
   * Whether the write may be kept all the same: its outcome is unknown, or that of an earlier sending is, and then this refusal may be what
   * that did (`precondition_failed`, `entity_exists`, `activity_already_ticked`, `undo_conflict`). Read before you write again.
   */
  readonly mayBeWritten: boolean;

  constructor(problem: Problem, notes: { retryAfter?: number | undefined; mayBeWritten?: boolean } = {}) {
    super(problem.detail);
    this.status = problem.status;
    this.code = problem.code;
    this.problem = problem;
    this.retryAfter = notes.retryAfter;
    this.mayBeWritten = notes.mayBeWritten ?? false;
  }
}

/** There was no answer, or none of a clocktick: after the calls that could be sent again were. */
export class ClocktickUnreachable extends Error {
  override readonly name = 'ClocktickUnreachable';
  /** The status of what answered, if anything did. */
  readonly status: number | undefined;
  /** Whether the write may be kept all the same. Read before you write again. */
  readonly mayBeWritten: boolean;

  constructor(message: string, notes: { cause?: unknown; status?: number | undefined; mayBeWritten?: boolean } = {}) {
    super(message, { cause: notes.cause });
    this.status = notes.status;
    this.mayBeWritten = notes.mayBeWritten ?? false;
  }
}

/** Why a sending failed. */
type Failure = {
  error: (mayBeWritten: boolean) => Error;
  /** Whether it is sure that nothing was written. */
  isUnwritten: boolean;
  /** Whether the same may do better later. */
  isPassing: boolean;
  /** In how many seconds, as the service says. */
  retryAfter?: number | undefined;
};

/** Makes a call, and reads its answer; what `read` throws counts as a broken connection. */
export type Requester = <T>(call: Call, read: (answer: Response) => Promise<T>) => Promise<T>;

/** Makes calls of the service at `baseUrl`. */
export function requester({ baseUrl, fetch, headers, retry }: ClientOptions): Requester {
  const base = new URL(baseUrl);
  base.search = '';
  base.hash = '';
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const { attempts = 4, wait = 200, longestWait = 10_000 } = retry === false ? { attempts: 1 } : (retry ?? {});

  async function sendOnce<T>(
    url: string,
    call: Call,
    body: string | undefined,
    read: (answer: Response) => Promise<T>,
  ) {
    const { method, stream, signal } = call;
    const own = {
      accept: call.accept ?? 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(stream ? { 'content-type': stream.type } : {}),
      ...(stream?.encoding === undefined ? {} : { 'content-encoding': stream.encoding }),
      ...definedOf(call.headers ?? {}),
    };
    const all = { ...(await headers?.()), ...own };
    // What cannot stand in a header is a mistake of the caller, and is not sent.
    new Headers(all);
    // Whoever follows a 301 with a POST sends a GET (Fetch, section 4.4), whose answer looks like that of a write; and headers go along.
    const init = { method, headers: all, redirect: 'manual' as const, ...(signal ? { signal } : {}) };
    const send: Fetch = fetch ?? globalThis.fetch;
    const content = body ?? stream?.content;
    try {
      const answer = await send(url, {
        ...init,
        ...(content === undefined ? {} : { body: content }),
        ...(typeof content === 'object' ? { duplex: 'half' as const } : {}),
      });
      if (answer.ok || answer.status === 304) return { value: await read(answer) };
      return { failure: await refusalOf(answer, base) };
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof NotOurs)) return { failure: unreachable(base, error) };
      // What nobody reads would keep its connection.
      await error.answer.body?.cancel().catch(() => {});
      return { failure: othersAnswer(error.answer, base) };
    }
  }

  return async (call, read) => {
    const { effect, signal } = call;
    const url = `${base.href}${call.path.map(segmentOf).join('/')}${queryOf(call.query ?? {})}`;
    const body = call.body === undefined ? undefined : textOf(call.body);
    let mayBeWritten = false;
    for (let attempt = 1; ; attempt++) {
      const sent = await sendOnce(url, call, body, read);
      if ('value' in sent) return sent.value;
      const { failure } = sent;
      if (effect !== 'none' && !failure.isUnwritten) mayBeWritten = true;
      const asked = (failure.retryAfter ?? 0) * 1000;
      const isAgain =
        failure.isPassing &&
        (failure.isUnwritten || effect !== 'once') &&
        attempt < (call.attempts ?? attempts) &&
        asked <= longestWait;
      if (!isAgain) throw failure.error(mayBeWritten);
      signal?.throwIfAborted();
      const pause = Math.min(wait * 2 ** (attempt - 1), longestWait);
      await sleep(asked + pause * (0.5 + Math.random() / 2), signal);
    }
  };
}

/** What stands in an answer that should be JSON of the service. */
export async function jsonOf<T>(answer: Response): Promise<T> {
  refuseOthers(answer, 'application/json');
  return JSON.parse(await answer.text());
}

/** Refuses an answer of another media type: no clocktick has given it. */
export function refuseOthers(answer: Response, type: string): void {
  if (mediaTypeOf(answer) !== type) throw new NotOurs(answer);
}

/** An answer that no clocktick has given. */
class NotOurs extends Error {
  readonly answer: Response;

  constructor(answer: Response) {
    super(`an answer of another media type: ${mediaTypeOf(answer)}`);
    this.answer = answer;
  }
}

/** What an answer that is no success means. */
async function refusalOf(answer: Response, base: URL): Promise<Failure> {
  if (isRedirection(answer)) return redirected(answer, base);
  const text = await answer.text();
  const problem = mediaTypeOf(answer) === 'application/problem+json' ? problemIn(text) : null;
  if (!problem) return othersAnswer(answer, base);
  const told = answer.headers.get('retry-after');
  const retryAfter = told !== null && /^\d+$/.test(told) ? Number(told) : undefined;
  const isUnknown = problem.code === 'outcome_unknown';
  return {
    error: (mayBeWritten) => new ClocktickProblem(problem, { retryAfter, mayBeWritten }),
    isUnwritten: !isUnknown && problem.code !== 'internal_error',
    isPassing: isUnknown || (problem.status === 503 && retryAfter !== undefined),
    retryAfter,
  };
}

/** What statuses of a proxy pass: it is told to wait, or does not reach the service. */
const PASSING = new Set([429, 502, 503, 504]);

const othersAnswer = ({ status, headers }: Response, base: URL): Failure => ({
  error: (mayBeWritten) =>
    new ClocktickUnreachable(
      `What answers at ${base.href} is no clocktick: status ${status}, ${headers.get('content-type') ?? 'no media type'}.`,
      { status, mayBeWritten },
    ),
  isUnwritten: false,
  isPassing: PASSING.has(status),
});

/** Whether an answer sends elsewhere. Browsers show nothing of such, but that it is one. */
const isRedirection = ({ type, status }: Response): boolean =>
  type === 'opaqueredirect' || (status >= 300 && status < 400);

/** What sends elsewhere has not done what it was asked to. */
function redirected(answer: Response, base: URL): Failure {
  const place = answer.headers.get('location');
  answer.body?.cancel().catch(() => {});
  return {
    error: (mayBeWritten) =>
      new ClocktickUnreachable(
        `What answers at ${base.href} sends elsewhere${place === null ? '' : `, to ${place}`}: redirections are not followed. Name the place where the service is.`,
        { status: answer.status || undefined, mayBeWritten },
      ),
    isUnwritten: true,
    isPassing: false,
  };
}

const unreachable = (base: URL, cause: unknown): Failure => ({
  error: (mayBeWritten) =>
    new ClocktickUnreachable(`No clocktick answers at ${base.href}, or its answer broke off.`, { cause, mayBeWritten }),
  isUnwritten: wasNeverSent(cause),
  isPassing: true,
});

/** Codes of Node.js for a connection that was never made. Browsers tell nothing of that. */
const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']);

function wasNeverSent(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ('code' in cause && typeof cause.code === 'string' && NEVER_SENT.has(cause.code)) return true;
  return false;
}

const mediaTypeOf = ({ headers }: Response): string | undefined =>
  headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();

function problemIn(text: string): Problem | null {
  try {
    const value: unknown = JSON.parse(text);
    return isProblem(value) ? value : null;
  } catch {
    return null;
  }
}

export const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' &&
  value !== null &&
  'code' in value &&
  typeof value.code === 'string' &&
  'detail' in value &&
  typeof value.detail === 'string' &&
  'status' in value &&
  typeof value.status === 'number';

/** A segment of a path. @throws RangeError for `.` and `..`, which every URL parser takes for folders, encoded or not */
function segmentOf(text: string): string {
  if (text === '.' || text === '..') throw new RangeError(`${text} cannot stand in a path.`);
  return encodeURIComponent(text);
}

/** A query in which each item of a list stands by itself; an object is written as JSON, what is undefined is left out. */
function queryOf(parameters: object): string {
  const parts = Object.entries(parameters).flatMap(([name, value]: [string, unknown]) => {
    if (value === undefined) return [];
    // Two instants are one parameter.
    const items = Array.isArray(value) && name !== 'changedBetween' ? value : [value];
    // An empty list is sent as such, so that the service says what is wrong with it.
    return (items.length > 0 ? items : ['']).map((item) => `${name}=${encodeURIComponent(parameterOf(item))}`);
  });
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

const parameterOf = (value: unknown): string =>
  Array.isArray(value) ? value.join(',') : typeof value === 'object' && value !== null ? textOf(value) : String(value);

/**
 * A JSON text. JSON.stringify would make null of NaN and Infinity, and null removes a property.
 * @throws TypeError for what no JSON says
 */
export const textOf = (value: unknown): string =>
  JSON.stringify(value, (name, member: unknown) => {
    if (typeof member !== 'number' || Number.isFinite(member)) return member;
    throw new TypeError(`${JSON.stringify(name)} is ${member}, which JSON cannot say.`);
  });

const definedOf = (headers: Record<string, string | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, value]],
    ),
  );

const sleep = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
