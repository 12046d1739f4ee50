import { setTimeout as sleep } from 'node:timers/promises';
import { isObject, type JsonObject } from '../../src/temporal/json.js';
import { complaint } from './complaint.js';

export type Request = {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  headers?: Record<string, string>;
  body?: JsonObject;
};
/** An answer; `body` is empty when it is no JSON object. */
export type Answer = { status: number; retryAfter: string | null; body: JsonObject };
export type Service = (request: Request) => Promise<Answer>;

/** For how long a request is sent again while the service says 503 and when to come back. */
const PATIENCE_MS = 30_000;
/** No single pause is longer, whatever Retry-After says. */
const LONGEST_PAUSE_MS = 10_000;
/** Many requests are refused at once; they do not all come back at once. */
const SPREAD_MS = 250;
/** A service that does not answer for so long is taken for gone. */
const TIMEOUT_MS = 60_000;

/** A running service, asked over connections that are kept alive. */
export function serviceAt(url: string): Service {
  const base = baseOf(url);
  return async (request) => {
    const limit = Date.now() + PATIENCE_MS;
    for (;;) {
      const answer = await ask(base, request);
      if (answer.status !== 503 || answer.retryAfter === null) return answer;
      const pause = pauseOf(answer.retryAfter);
      if (Date.now() + pause > limit) return answer;
      await sleep(pause + Math.random() * SPREAD_MS);
    }
  };
}

/** The URL that paths are relative to. @throws a complaint when it is none of HTTP */
export function baseOf(url: string): URL {
  if (!URL.canParse(url)) throw complaint(`${url} is no URL.`);
  const base = new URL(url);
  if (!/^https?:$/.test(base.protocol)) throw complaint(`${url} is no http or https URL.`);
  if (base.username || base.password) throw complaint('The URL must not hold a user or a password.');
  return new URL(base.pathname.replace(/\/*$/, '/'), base);
}

async function ask(base: URL, { method, path, headers = {}, body }: Request): Promise<Answer> {
  try {
    const response = await fetch(new URL(path, base), {
      method,
      headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    // The whole body is read in any case: else the connection could not be used again.
    const text = await response.text();
    return { status: response.status, retryAfter: response.headers.get('retry-after'), body: bodyOf(text) };
  } catch (error) {
    throw complaint(
      `No service answers at ${base.href} (${reasonOf(error)}). Start one with npm start, or name another by --url.`,
      error,
    );
  }
}

/** The JSON object that a text is; empty where it is none. */
export function bodyOf(text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** fetch only ever says "fetch failed"; the reason is below, and that of several tried addresses has no message. */
function reasonOf(error: unknown): string {
  const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(reason instanceof Error)) return String(reason);
  if (reason.message !== '') return reason.message;
  return 'code' in reason ? String(reason.code) : reason.name;
}

/** Retry-After in seconds or as a date (RFC 9110 section 10.2.3). */
function pauseOf(retryAfter: string): number {
  const ms = /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - Date.now();
  return Number.isNaN(ms) ? 1000 : Math.min(Math.max(ms, 0), LONGEST_PAUSE_MS);
}
