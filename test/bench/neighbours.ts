import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../src/temporal/json.js';

/*
 * Neighbours who ask for much, a process of its own: what it takes to ask must not hold up the clients who are measured beside them. Is
 * told by a message whom to ask, and by the next one to stop; answers with what came of it.
 */

export type Ask = { method: string; path: string; body?: JsonObject | string };
/** How many of their requests were done, and how many were refused. */
export type Told = { done: number; refused: number };

/** Written out once. `#` becomes a number never used before. */
const ARRAYS = JSON.stringify({
  type: 'large',
  properties: Object.fromEntries(
    Array.from({ length: 1_000 }, (_, p) => [`p${p}`, Array.from({ length: 100 }, (_, item) => `#${p * 100 + item}#`)]),
  ),
}).replaceAll(/"#(\d+)#"/g, '#$1');
const arrays = (turn: number): string => ARRAYS.replaceAll('#', `${(turn % 90_000) + 10_000}`);
const instants = Array.from({ length: 100 }, (_, n) => new Date(Date.UTC(2020, 0, 1 + n)).toISOString());

/** Who asks as fast as they are answered: how many of them, and what client `n` asks for the `turn`th time. */
export const NEIGHBOURS: Record<string, { clients: number; ask: (n: number, turn: number) => Ask }> = {
  '4 clients that put 1,000 arrays of 100': {
    clients: 4,
    ask: (n, turn) => ({ method: 'PUT', path: `/entities/large:${n}`, body: arrays(turn * 4 + n) }),
  },
  '4 clients that search slowly': {
    clients: 4,
    ask: (_, turn) => ({
      method: 'GET',
      path: `/entities?type=many&where=${encodeURIComponent(JSON.stringify({ n: { lt: -turn } }))}`,
    }),
  },
  '4 clients that count at 100 instants': {
    clients: 4,
    ask: (n) => ({ method: 'GET', path: `/types/many/counts/p${n}?at=${instants.join()}` }),
  },
};

/** Asks, and gives the status of the answer once all of it has come. */
export async function send(url: string, { method, path, body }: Ask): Promise<number> {
  const headers = body ? { 'content-type': 'application/json' } : {};
  const answer = await fetch(url + path, {
    method,
    headers,
    ...(body ? { body: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
  });
  await answer.arrayBuffer();
  return answer.status;
}

if (process.send)
  process.once('message', async ({ url, name }: { url: string; name: string }) => {
    const neighbours = NEIGHBOURS[name];
    if (!neighbours) throw new Error(`there are no ${name}`);
    const { clients, ask } = neighbours;
    let isOver = false;
    process.once('message', () => {
      isOver = true;
    });
    const told: Told = { done: 0, refused: 0 };
    const asking = Array.from({ length: clients }, async (_, n) => {
      for (let turn = 1; !isOver; turn++) {
        const status = await send(url, ask(n, turn + Math.floor(performance.now())));
        if (status < 300) told.done++;
        else told.refused++;
        if (status === 503) await sleep(1_000);
      }
    });
    await Promise.all(asking);
    process.send?.(told);
    process.disconnect();
  });
