import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { startEmbedded } from '../../src/storage/embedded.js';
import { migrateDatabase } from '../../src/storage/migrate.js';
import { newId } from '../../src/temporal/identity.js';
import type { Load, Measured } from './load.js';
import { TABLES } from './textbook.js';

/*
 * How many requests a second the service answers, against what the same stack does at its best and at its plainest:
 * `npm run bench`. The service, its rivals and the load are processes of their own, over one embedded PostgreSQL that syncs
 * as it does in production. Rounds go through everything in turn, so that a machine that changes its speed changes it for
 * all; each figure is compared with its rival in the same round, and the median of these ratios is what counts.
 */
const HELP = `npm run bench -- [options]

  --rounds N        rounds through everything (5)
  --seconds N       how long each load lasts (2)
  --connections N   requests in flight at once (64)
  --only WORD       only comparisons whose name holds the word
  --json FILE       the figures of every round, too
  --profile FOLDER  a CPU profile of the service into FOLDER (for Chrome's developer tools)
  --help            this
`;
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '64' },
    only: { type: 'string', default: '' },
    json: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

const ENTITIES = 5_000;
const DEPTHS = { deep: 20_000, middling: 100, shallow: 10 };
const PROPERTIES = {
  name: 'Rachel',
  location: 'New York',
  a: 1,
  b: 'two',
  c: null,
  d: true,
  e: [1, 2, 3],
  f: { x: 1 },
  i: 9,
  j: 10.5,
};

/** What is asked, and of whom. */
type Subject = { of: 'service' | 'rivals'; method: Load['method']; paths: string[]; body?: object };

/** A figure against its rival's, and what the ratio should reach. */
type Comparison = { name: string; subject: string; rival: string; reach: number };

const COMPARISONS: Comparison[] = [
  { name: 'GET now, to a constant answer', subject: 'GET now', rival: 'a constant answer', reach: 0.45 },
  { name: 'GET now, to one SELECT a request', subject: 'GET now', rival: 'one SELECT a request', reach: 1.5 },
  { name: 'GET as of, unchanged since, to now', subject: 'GET as of, unchanged since', rival: 'GET now', reach: 0.9 },
  { name: 'GET as of, an older state, to now', subject: 'GET as of, an older state', rival: 'GET now', reach: 0.5 },
  {
    name: 'as of a tick, 20,000 versions to 10',
    subject: 'by tick, at 20,000 versions',
    rival: 'by tick, at 10',
    reach: 0.85,
  },
  {
    name: 'as of an instant, 20,000 versions to 10',
    subject: 'by instant, at 20,000 versions',
    rival: 'by instant, at 10',
    reach: 0.85,
  },
  {
    name: 'a page of history, depth 20,000 to 100',
    subject: 'history page of 50, at 20,000',
    rival: 'history page of 50, at 100',
    reach: 0.85,
  },
  { name: 'PATCH, to a plain UPDATE', subject: 'PATCH one property', rival: 'plain UPDATE', reach: 0.6 },
  { name: 'PATCH, to the textbook', subject: 'PATCH one property', rival: 'textbook PATCH', reach: 2.5 },
  { name: 'POST, to the textbook', subject: 'POST ten properties', rival: 'textbook POST', reach: 2.5 },
];

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'clocktick-bench-'));
await chmod(folder, 0o755);
const server = await startEmbedded({ dataDir: join(folder, 'data') });
const children: ChildProcess[] = [];
const profiling = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${options.profile}`] : [];
try {
  await migrateDatabase(server.url);
  const seeded = await seed(server.url);
  const urls = {
    service: await startChild([...profiling, 'dist/main.js'], {
      DATABASE_URL: server.url,
      PORT: '0',
      LOG_LEVEL: 'warn',
    }),
    rivals: await startChild(['--import', 'tsx', 'test/bench/rivals.ts', server.url], {}),
  };
  await measure(urls, seeded);
} finally {
  for (const child of children) child.kill('SIGTERM');
  await Promise.all(children.map((child) => (child.exitCode === null ? once(child, 'exit') : undefined)));
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);

type Seeded = { ids: string[]; deep: string; middling: string; shallow: string; instants: Map<string, string[]> };

/** Entities at tick 2 with ten properties, the same in both other shapes, and one entity of each depth. */
async function seed(url: string): Promise<Seeded> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const ids = Array.from({ length: ENTITIES }, newId);
  const properties = JSON.stringify(PROPERTIES);
  const writeAll = (expected: number, op: string, set: string) => sql`
    SELECT count(*) FROM clocktick.write_changes(
      ${ids}::uuid[], array_fill(${expected}::int, ARRAY[${ENTITIES}::int]), array_fill(${op}::text, ARRAY[${ENTITIES}::int]),
      array_fill('friend'::text, ARRAY[${ENTITIES}::int]), array_fill(NULL::text, ARRAY[${ENTITIES}::int]),
      array_fill(${set}::text::jsonb, ARRAY[${ENTITIES}::int]), array_fill(NULL::jsonb, ARRAY[${ENTITIES}::int]),
      array_fill(NULL::uuid, ARRAY[${ENTITIES}::int]), array_fill(NULL::jsonb, ARRAY[${ENTITIES}::int]), true)`;
  await writeAll(0, 'created', properties);
  await writeAll(1, 'updated', '{"location": "San Francisco"}');
  await sql`CREATE SCHEMA bench`;
  await sql`CREATE TABLE bench.plain AS SELECT id, type, tick, properties FROM clocktick.entity`;
  await sql`ALTER TABLE bench.plain ADD PRIMARY KEY (id)`;
  await sql.unsafe(TABLES);
  await sql`INSERT INTO textbook.entity SELECT id, type, 1, properties FROM clocktick.entity`;
  await sql`INSERT INTO textbook.tick (entity_id, tick) SELECT id, 1 FROM clocktick.entity`;
  await sql`
    INSERT INTO textbook.property_history
    SELECT e.id, p.key, '[1,)', p.value FROM clocktick.entity e CROSS JOIN LATERAL jsonb_each(e.properties) p`;
  const [deep, middling, shallow] = [newId(), newId(), newId()];
  const instants = new Map<string, string[]>();
  for (const [id, depth] of [
    [deep, DEPTHS.deep],
    [middling, DEPTHS.middling],
    [shallow, DEPTHS.shallow],
  ] as const) {
    await sql.unsafe(`
      DO $$
      BEGIN
        FOR n IN 0..${depth - 1} LOOP
          PERFORM FROM clocktick.write_changes(
            ARRAY['${id}'::uuid], ARRAY[n], ARRAY[CASE n WHEN 0 THEN 'created' ELSE 'updated' END], ARRAY['friend'],
            ARRAY[NULL]::text[], ARRAY[CASE n WHEN 0 THEN '${properties}'::jsonb ELSE jsonb_build_object('location', n) END],
            ARRAY[NULL]::jsonb[], ARRAY[NULL]::uuid[], ARRAY[NULL]::jsonb[], false);
          IF n % 1000 = 0 THEN COMMIT; END IF;
        END LOOP;
      END
      $$`);
    const rows = await sql<{ at: string }[]>`
      SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM clocktick.tick
       WHERE entity_id = ${id} AND tick < ${depth} ORDER BY random() LIMIT 500`;
    instants.set(
      id,
      rows.map(({ at }) => at),
    );
  }
  await sql`VACUUM ANALYZE`;
  await sql.end();
  return { ids, deep, middling, shallow, instants };
}

function subjectsOf({ ids, deep, middling, shallow, instants }: Seeded): Record<string, Subject> {
  const each = (path: (id: string) => string) => ids.map(path);
  const asOf = (id: string, points: readonly (string | number)[]) =>
    points.map((point) => `/entities/${id}?asOf=${point}`);
  const ticks = (depth: number) => Array.from({ length: 500 }, (_, n) => 1 + ((n * 7919) % (depth - 1)));
  const patch = { properties: { location: '#' } };
  const create = { type: 'friend', properties: { ...PROPERTIES, name: '#' } };
  return {
    'a constant answer': { of: 'rivals', method: 'GET', paths: each((id) => `/constant/${id}`) },
    'one SELECT a request': { of: 'rivals', method: 'GET', paths: each((id) => `/select/${id}`) },
    'GET now': { of: 'service', method: 'GET', paths: each((id) => `/entities/${id}`) },
    'GET as of, unchanged since': { of: 'service', method: 'GET', paths: each((id) => `/entities/${id}?asOf=2`) },
    'GET as of, an older state': { of: 'service', method: 'GET', paths: each((id) => `/entities/${id}?asOf=1`) },
    'by tick, at 20,000 versions': { of: 'service', method: 'GET', paths: asOf(deep, ticks(DEPTHS.deep)) },
    'by tick, at 10': { of: 'service', method: 'GET', paths: asOf(shallow, ticks(DEPTHS.shallow)) },
    'by instant, at 20,000 versions': { of: 'service', method: 'GET', paths: asOf(deep, instants.get(deep) ?? []) },
    'by instant, at 10': { of: 'service', method: 'GET', paths: asOf(shallow, instants.get(shallow) ?? []) },
    'history page of 50, at 20,000': {
      of: 'service',
      method: 'GET',
      paths: [`/entities/${deep}/history/location?limit=50`],
    },
    'history page of 50, at 100': {
      of: 'service',
      method: 'GET',
      paths: [`/entities/${middling}/history/location?limit=50`],
    },
    'plain UPDATE': { of: 'rivals', method: 'PATCH', paths: each((id) => `/plain/${id}`), body: patch },
    'PATCH one property': { of: 'service', method: 'PATCH', paths: each((id) => `/entities/${id}`), body: patch },
    'textbook PATCH': { of: 'rivals', method: 'PATCH', paths: each((id) => `/textbook/${id}`), body: patch },
    'POST ten properties': { of: 'service', method: 'POST', paths: ['/entities'], body: create },
    'textbook POST': { of: 'rivals', method: 'POST', paths: ['/textbook'], body: create },
  };
}

async function measure(urls: Record<Subject['of'], string>, seeded: Seeded): Promise<void> {
  const wanted = COMPARISONS.filter(({ name }) => name.includes(options.only));
  const names = new Set(wanted.flatMap(({ subject, rival }) => [rival, subject]));
  const subjects = Object.entries(subjectsOf(seeded)).filter(([name]) => names.has(name));
  const rounds = Number(options.rounds);
  const figures = new Map<string, number[]>();
  // The round before the first warms everything up and does not count.
  for (let round = 0; round <= rounds; round++) {
    for (const [name, subject] of subjects) {
      const { perSecond, failed } = await run(urls[subject.of], subject, round === 0 ? 1 : Number(options.seconds));
      if (failed > 0) throw new Error(`${name}: ${failed} requests failed`);
      if (round > 0) figures.set(name, [...(figures.get(name) ?? []), perSecond]);
    }
    process.stderr.write(round === 0 ? 'warm\n' : `round ${round} of ${rounds}\n`);
  }
  process.stdout.write(table(wanted, figures));
  if (options.json) await writeFile(options.json, JSON.stringify(Object.fromEntries(figures), null, 1));
}

async function run(url: string, { method, paths, body }: Subject, seconds: number): Promise<Measured> {
  const connections = Number(options.connections);
  const load: Load = { url, method, paths, body: body ? JSON.stringify(body) : null, connections, seconds };
  const child = fork(join(root, 'test/bench/load.ts'), { cwd: root, execArgv: ['--import', 'tsx'] });
  child.send(load);
  const [measured]: Measured[] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => Promise.reject(new Error('the load gave no answer'))),
  ]);
  if (!measured) throw new Error('the load gave no answer');
  return measured;
}

function table(wanted: readonly Comparison[], figures: ReadonlyMap<string, readonly number[]>): string {
  const rows = wanted.map(({ name, subject, rival, reach }) => {
    const [own, others] = [figures.get(subject) ?? [], figures.get(rival) ?? []];
    const ratios = own.map((figure, round) => figure / (others[round] ?? Number.NaN));
    const spread = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`;
    const [a, b] = [median(own).toFixed(0), median(others).toFixed(0)];
    return `| ${name} | ${a} | ${b} | ${median(ratios).toFixed(2)} (${spread}) | ${reach} |`;
  });
  return ['| what | a second | the other | ratio (spread) | to reach |', '|---|---|---|---|---|', ...rows, ''].join(
    '\n',
  );
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

/** Starts a server and gives the URL it says it listens on. */
async function startChild(args: string[], env: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /https?:\/\/[\d.]+:\d+/.exec(line)?.[0];
    if (url) {
      child.stdout.resume();
      return url;
    }
  }
  throw new Error(`${args.join(' ')} did not start`);
}
