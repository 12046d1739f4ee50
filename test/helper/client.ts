import type { Test } from 'tap';
import { type ClientOptions, clocktick } from '../../src/client/client.js';
import { type Service, testService } from './service.js';
import { portOf } from './wire.js';

type Fetch = typeof globalThis.fetch;

/** A client of a service of its own, and where that is. */
export async function testClient(t: Test, options: Partial<ClientOptions> = {}) {
  const service: Service = await testService(t);
  await service.app.listen({ port: 0, host: '127.0.0.1' });
  // fetch opens connections in advance, on which nothing ever comes: Node.js would wait for a request for a minute.
  t.teardown(() => service.app.server.closeAllConnections());
  const baseUrl = `http://127.0.0.1:${portOf(service.app)}`;
  return { ...service, baseUrl, client: clocktick({ baseUrl, ...options }) };
}

/**
 * What becomes of a request: it goes through; its answer, or the request itself, is lost; there is no connection to send it on; or something
 * else answers.
 */
export type Fate = 'through' | 'answer lost' | 'request lost' | 'refused' | Response;

/** A `fetch` whose next requests have these fates, and all that follow go through; and what was asked. */
export function fated(...fates: Fate[]) {
  const asked: string[] = [];
  const fetch: Fetch = async (url, init) => {
    asked.push(`${init?.method} ${new URL(String(url)).pathname}`);
    const fate = fates.shift() ?? 'through';
    if (fate instanceof Response) return fate;
    if (fate === 'request lost') throw new TypeError('fetch failed');
    if (fate === 'refused') {
      const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
      throw new TypeError('fetch failed', { cause });
    }
    const answer = await globalThis.fetch(url, init);
    if (fate === 'through') return answer;
    await answer.arrayBuffer();
    throw new TypeError('fetch failed');
  };
  return { asked, fetch, next: (...more: Fate[]) => fates.push(...more) };
}

/** A problem of the service, as it would answer it. */
export const refusing = (status: number, code: string, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify({ type: `/docs/problems/${code}`, status, title: '…', code, detail: `It is ${code}.` }), {
    status,
    headers: { 'content-type': 'application/problem+json', ...headers },
  });

/** All of what is listed. */
export async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
