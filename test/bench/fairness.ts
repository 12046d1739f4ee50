import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { idOfKey } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';
import { vacuum } from '../helper/in-bulk.js';
import { withOwnServers } from '../helper/own-servers.js';
import { writeMany } from '../helper/write.js';

/*
 * How long a small change and a small read take beside callers who ask for much: `npm run bench:fairness`. Each is sent at a pace that the
 * service keeps easily, and counted from when it was due; what counts is the ratio to the same alone, in the same round.
 */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    entities: { type: 'string', default: '100000' },
  },
});
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const ENTITIES = Number(values.entities);

/** Clients of each kind, and how often each sends, in milliseconds. */
const CLIENTS = 4;
const PACE = 25;

type Ask = { method: string; path: string; body?: JsonObject | string };

/** What is measured: of client `n`, for the `turn`th time. */
const SMALL: Record<string, (n: number, turn: number) => Ask> = {
  PATCH: (n, turn) => ({ method: 'PATCH', path: `/entities/small:p${n}`, body: { properties: { turn } } }),
  GET: (n) => ({ method: 'GET', path: `/entities/small:g${n}` }),
};

/** Written out once: to make it anew would hold up the clients beside it, in this process. `#` becomes a number never used before. */
const ARRAYS = JSON.stringify({
  type: 'large',
  properties: Object.fromEntries(
    Array.from({ length: 1_000 }, (_, p) => [`p${p}`, Array.from({ length: 100 }, (_, item) => `#${p * 100 + item}#`)]),
  ),
}).replaceAll(/"#(\d+)#"/g, '#$1');
const arrays = (turn: number): string => ARRAYS.replaceAll('#', `${(turn % 90_000) + 10_000}`);
const instants = Array.from({ length: 100 }, (_, n) => new Date(Date.UTC(2020, 0, 1 + n)).toISOString());

/** Neighbours who ask as fast as they are answered: how many of them, and what. */
const NEIGHBOURS: Record<string, { clients: number; ask: (n: number, turn: number) => Ask }> = {
  '4 clients that put 1,000 arrays of 100': {
    clients: 4,
    ask: (n, turn) => ({
      method: 'PUT',
      path: `/entities/large:${n}`,
      body: arrays(turn * 4 + n),
    }),
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

const p99 = (latencies: readonly number[]) =>
  latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
const median = (numbers: readonly number[]) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

async function send(url: string, { method, path, body }: Ask): Promise<number> {
  const headers = body ? { 'content-type': 'application/json' } : {};
  const answer = await fetch(url + path, {
    method,
    headers,
    ...(body ? { body: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
  });
  await answer.arrayBuffer();
  return answer.status;
}

type Measured = { small: Record<string, number>; neighbours: { done: number; refused: number } };

async function measure(url: string, neighbours: (typeof NEIGHBOURS)[string] | null): Promise<Measured> {
  let isOver = false;
  const latencies: Record<string, number[]> = {};
  const told = { done: 0, refused: 0 };
  const beside = Array.from({ length: neighbours?.clients ?? 0 }, async (_, n) => {
    for (let turn = 1; !isOver; turn++) {
      const status = neighbours ? await send(url, neighbours.ask(n, turn + Math.floor(performance.now()))) : 0;
      if (status < 300) told.done++;
      else told.refused++;
      if (status === 503) await sleep(1_000);
    }
  });
  if (neighbours) await sleep(2_000);
  const measured = Object.entries(SMALL).flatMap(([name, ask]) =>
    Array.from({ length: CLIENTS }, async (_, n) => {
      const list: number[] = [];
      const start = performance.now() + (n * PACE) / CLIENTS;
      for (let turn = 0; turn * PACE < SECONDS * 1_000; turn++) {
        const due = start + turn * PACE;
        await sleep(Math.max(due - performance.now(), 0));
        const status = await send(url, ask(n, Math.floor(performance.now() * 1_000)));
        if (status !== 200) throw new Error(`${name} was answered ${status}`);
        list.push(performance.now() - due);
      }
      latencies[name] = [...(latencies[name] ?? []), ...list];
    }),
  );
  await Promise.all(measured);
  isOver = true;
  await Promise.all(beside);
  return {
    small: Object.fromEntries(Object.entries(latencies).map(([name, list]) => [name, p99(list)])),
    neighbours: told,
  };
}

const lines = await withOwnServers({}, async ({ databaseUrl, serviceUrl, start }) => {
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => {}, connection: { synchronous_commit: 'off' } });
  const many = Array.from({ length: ENTITIES }, (_, n) => ({
    id: idOfKey('many', `${n}`),
    expected: 0,
    op: 'created' as const,
    type: 'many',
    key: `${n}`,
    set: { n, p0: n % 10, p1: n % 100, p2: `v${n % 1_000}`, p3: [n % 5] },
  }));
  await writeMany(sql, many);
  await vacuum(sql);
  await sql.end();
  const url = await start(['dist/main.js'], { DATABASE_URL: serviceUrl, PORT: '0', LOG_LEVEL: 'warn' });
  for (let n = 0; n < CLIENTS; n++)
    for (const key of [`p${n}`, `g${n}`])
      await send(url, {
        method: 'PUT',
        path: `/entities/small:${key}`,
        body: { type: 'small', properties: { turn: 0 } },
      });
  await measure(url, null);

  const ratios: Record<string, Record<string, number[]>> = {};
  const counts: Record<string, { done: number; refused: number }> = {};
  const alone: Record<string, number[]> = {};
  for (let round = 1; round <= ROUNDS; round++) {
    const { small } = await measure(url, null);
    for (const [name, time] of Object.entries(small)) alone[name] = [...(alone[name] ?? []), time];
    for (const [neighbour, asked] of Object.entries(NEIGHBOURS)) {
      const beside = await measure(url, asked);
      const of = ratios[neighbour] ?? {};
      for (const [name, time] of Object.entries(beside.small))
        of[name] = [...(of[name] ?? []), time / (small[name] ?? 1)];
      ratios[neighbour] = of;
      counts[neighbour] = beside.neighbours;
    }
    process.stderr.write(`${round} of ${ROUNDS}\n`);
  }
  const names = Object.keys(SMALL);
  return [
    `| p99, to that alone (${names.map((name) => `${name} ${median(alone[name] ?? []).toFixed(1)} ms`).join(', ')}) | ${names.join(' | ')} | aim | they: done, refused |`,
    `|---|${names.map(() => '---|').join('')}---|---|`,
    ...Object.entries(ratios).map(
      ([neighbour, of]) =>
        `| ${neighbour} | ${names.map((name) => `${median(of[name] ?? []).toFixed(1)} ×`).join(' | ')} | ≤ 5 × | ${counts[neighbour]?.done}, ${counts[neighbour]?.refused} |`,
    ),
  ];
});
process.stdout.write(`${lines.join('\n')}\n`);
process.exit(0);
