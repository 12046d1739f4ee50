import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { idOfKey } from '../../src/temporal/identity.js';
import { vacuum } from '../helper/in-bulk.js';
import { withOwnServers } from '../helper/own-servers.js';
import { writeMany } from '../helper/write.js';
import { type Ask, NEIGHBOURS, send, type Told } from './neighbours.js';

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

/** What is measured: of client `n`, for the `turn`th time. */
const SMALL: Record<string, (n: number, turn: number) => Ask> = {
  PATCH: (n, turn) => ({ method: 'PATCH', path: `/entities/small:p${n}`, body: { properties: { turn } } }),
  GET: (n) => ({ method: 'GET', path: `/entities/small:g${n}` }),
};

const p99 = (latencies: readonly number[]) =>
  latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
const median = (numbers: readonly number[]) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

type Measured = { small: Record<string, number>; neighbours: Told };

/** Neighbours at work, until they are told to stop. */
async function besides(url: string, name: string): Promise<() => Promise<Told>> {
  const child = fork(fileURLToPath(new URL('neighbours.ts', import.meta.url)), { execArgv: ['--import', 'tsx'] });
  child.send({ url, name });
  await sleep(3_000);
  return async () => {
    const answer = once(child, 'message');
    child.send('stop');
    const [told]: Told[] = await Promise.race([
      answer,
      once(child, 'exit').then(() => Promise.reject(new Error('the neighbours have gone'))),
    ]);
    if (!told) throw new Error('the neighbours told nothing');
    return told;
  };
}

async function measure(url: string, neighbours: string | null): Promise<Measured> {
  const latencies: Record<string, number[]> = {};
  const stop = neighbours === null ? null : await besides(url, neighbours);
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
  return {
    small: Object.fromEntries(Object.entries(latencies).map(([name, list]) => [name, p99(list)])),
    neighbours: (await stop?.()) ?? { done: 0, refused: 0 },
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
    for (const neighbour of Object.keys(NEIGHBOURS)) {
      const beside = await measure(url, neighbour);
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
