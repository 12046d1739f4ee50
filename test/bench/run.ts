import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { readVersion } from '../../src/storage/schema-files.js';
import { withOwnServers } from '../helper/own-servers.js';
import { figuresPage, median } from './figures.js';
import type { Load, Measured } from './load.js';
import { plansTable } from './plans.js';
import { type Seeded, type Subject, seed, subjectsOf } from './seed.js';

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
  --entities N      entities of the collection that is asked (100000); it is kept for the next run
  --quick           in two minutes: 10000 entities, 2 rounds of 1 second each
  --only WORD       only comparisons whose name holds the word (guards: only what they cost; bytes: only
                    those of disk and WAL; plans: only what reads touch in the server)
  --json FILE       the figures of every round, too
  --record          the tables into src/guide/figures.md, too, with date, machine and command
  --profile FOLDER  a CPU profile of the service into FOLDER (for Chrome's developer tools)
  --help            this
`;
const { values } = parseArgs({
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    connections: { type: 'string', default: '64' },
    entities: { type: 'string' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    json: { type: 'string' },
    record: { type: 'boolean', default: false },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const {
  rounds = values.quick ? '2' : '5',
  seconds = values.quick ? '1' : '2',
  entities = values.quick ? '10000' : '100000',
} = values;
const options = { ...values, rounds, seconds, entities };
if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

/** A figure against its rival's, and what the ratio should reach; of tails, what it may come to. */
type Comparison = { name: string; subject: string; rival: string; reach?: number; of?: 'tails' };

const COMPARISONS: Comparison[] = [
  { name: 'GET now, to a constant answer', subject: 'GET now', rival: 'a constant answer', reach: 0.7 },
  { name: 'GET now, to one SELECT a request', subject: 'GET now', rival: 'one SELECT a request', reach: 1.6 },
  { name: 'as of, unchanged since, to now', subject: 'GET as of, unchanged since', rival: 'GET now', reach: 0.9 },
  { name: 'an older state, to rows', subject: 'an older state', rival: 'rows: an older state', reach: 1 },
  { name: 'the first state, to rows', subject: 'its first state', rival: 'rows: its first state' },
  { name: 'page of 100 now, to rows', subject: 'page now', rival: 'rows: page now' },
  {
    name: 'page of 100 of a snapshot, all changed since, to rows',
    subject: 'page of a snapshot',
    rival: 'rows: page of a snapshot',
    reach: 0.7,
  },
  {
    name: 'page of 100 of a snapshot, all changed since, to the page now',
    subject: 'page of a snapshot',
    rival: 'page now',
    reach: 0.7,
  },
  {
    name: 'history of one property, 50 ranges, to rows',
    subject: 'history of 50 ranges',
    rival: 'rows: history of 50 ranges',
    reach: 1,
  },
  { name: 'page of 100 found by a value, to the page now', subject: 'found now', rival: 'page now' },
  {
    name: 'page of 100 found by a past value, to rows indexed on it',
    subject: 'found by a past value',
    rival: 'rows: found by a past value',
    reach: 0.7,
  },
  { name: 'PATCH, to rows', subject: 'PATCH', rival: 'rows: PATCH', reach: 0.9 },
  { name: 'PATCH, to a plain UPDATE', subject: 'PATCH', rival: 'plain UPDATE', reach: 0.4 },
  { name: 'PATCH, to the textbook', subject: 'PATCH', rival: 'textbook PATCH', reach: 2.5 },
  { name: 'POST of ten properties, to rows', subject: 'POST', rival: 'rows: POST', reach: 0.9 },
  { name: 'POST, to the textbook', subject: 'POST', rival: 'textbook POST', reach: 2.5 },
  { name: 'POST, to a plain COPY of as many rows', subject: 'POST', rival: 'plain COPY' },
  {
    name: 'as of a tick, 20,000 versions to 10',
    subject: 'by tick, at 20,000 versions',
    rival: 'by tick, at 10',
    reach: 0.9,
  },
  {
    name: 'as of an instant, 20,000 versions to 10',
    subject: 'by instant, at 20,000 versions',
    rival: 'by instant, at 10',
    reach: 0.9,
  },
  {
    name: 'a page of history, depth 20,000 to 100',
    subject: 'history page of 50, at 20,000',
    rival: 'history page of 50, at 100',
    reach: 0.9,
  },
  {
    name: 'p99 of GET now at half of the load, to one SELECT (µs)',
    subject: 'GET now',
    rival: 'one SELECT a request',
    reach: 2,
    of: 'tails',
  },
];

/** What is no figure of a load: how far the newest stable instant lies behind the clock, in milliseconds, while many write. */
const LAG = { name: 'stable lag at 32 writers, p99 (ms)', writers: 32, subject: 'PATCH', reach: 50 };

/** What PostgreSQL comes with, so that the data is larger than the cache and figures can be compared with those of others. */
const STOCK = { shared_buffers: '128MB', max_wal_size: '1GB', checkpoint_timeout: '5min' };

/** Other tables. */
const BYTES = 'bytes';
const PLANS = 'plans';

const refuse = (reason: string): never => {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
};
if (options.record && options.only) refuse('--record takes all tables, so no --only');
for (const name of ['rounds', 'seconds', 'connections', 'entities'] as const) {
  if (!/^[1-9]\d*$/.test(options[name])) refuse(`--${name} ${options[name]} is no whole number from 1 on`);
}
if (
  !['guards', BYTES, PLANS, LAG.name, ...COMPARISONS.map(({ name }) => name)].some((name) =>
    name.includes(options.only),
  )
) {
  refuse(`no comparison has ${options.only} in its name`);
}

const root = fileURLToPath(new URL('../../', import.meta.url));
const profiling = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${options.profile}`] : [];

/** Of the servers, as the first of them says. */
let version = '';
const tables: string[] = [];
if ([BYTES, PLANS, LAG.name, ...COMPARISONS.map(({ name }) => name)].some((name) => name.includes(options.only)))
  tables.push(await requests());
if ('guards'.includes(options.only)) tables.push(await guards());
process.stdout.write(tables.join('\n'));
if (options.record) await record();
process.exit(0);

/** Starts everything, measures, and stops it again. */
async function requests(): Promise<string> {
  // A schema of another version gets data of its own.
  const kept = `${options.entities}-${(await readVersion()).version}`;
  const dataDir = join(root, 'node_modules/.cache/clocktick-bench', kept);
  // What a run that was interrupted has left is half of the data.
  const whole = join(dataDir, 'whole');
  if (!existsSync(whole)) await rm(dataDir, { recursive: true, force: true });
  return withOwnServers({ dataDir, settings: STOCK }, async ({ databaseUrl, start }) => {
    version = await versionOf(databaseUrl);
    const seeded = await seed(databaseUrl, Number(options.entities));
    await writeFile(whole, '');
    const env = { DATABASE_URL: databaseUrl, PORT: '0', LOG_LEVEL: 'warn' };
    const urls = {
      service: await start([...profiling, 'dist/main.js'], env),
      rivals: await start(['--import', 'tsx', 'test/bench/rivals.ts', databaseUrl]),
    };
    return measure(urls, seeded);
  });
}

/** Figures by subject, one a round. */
type Figures = Map<string, number[]>;

async function measure(urls: Record<'service' | 'rivals', string>, seeded: Seeded): Promise<string> {
  const wanted = COMPARISONS.filter(({ name }) => name.includes(options.only));
  const names = new Set(wanted.flatMap(({ subject, rival }) => [rival, subject]));
  const subjects = Object.entries(subjectsOf(seeded)).filter(([name]) => names.has(name));
  const seconds = Number(options.seconds);
  // The round before the first warms everything up and does not count.
  await inRounds('warming up', 1, subjects, (subject) => perSecond(urls, subject, 1));
  const loads = await inRounds('loads', Number(options.rounds), subjects, (subject) =>
    perSecond(urls, subject, seconds),
  );
  // At a rate that either can keep up with: how long it takes then is not how long the queue is.
  const inTails = new Set(wanted.flatMap(({ of, subject, rival }) => (of === 'tails' ? [subject, rival] : [])));
  const rate = Math.round(Math.min(...[...inTails].map((name) => median(loads.get(name) ?? []))) / 2);
  const wals = await walOf(urls, seeded);
  const lags: number[] = [];
  for (let round = 1; LAG.name.includes(options.only) && round <= Number(options.rounds); round++) {
    lags.push(await lagUnder(urls, seeded, seconds));
    process.stderr.write(`lags: ${round} of ${options.rounds}\n`);
  }
  const tails = await inRounds(
    'tails',
    inTails.size > 0 ? Number(options.rounds) : 0,
    subjects.filter(([name]) => inTails.has(name)),
    async (subject) => (await run(urls, subject, { seconds, rate })).p99,
  );
  if (options.json) {
    const { bytes } = seeded.collection;
    const all = { rate, loads: Object.fromEntries(loads), tails: Object.fromEntries(tails), lags, bytes, wals };
    await writeFile(options.json, JSON.stringify(all, null, 1));
  }
  const plans = PLANS.includes(options.only) ? await plansTable(seeded) : '';
  return [table(wanted, { loads, tails }) + lagRow(lags), bytesTable(seeded, wals), plans]
    .filter((text) => text !== '')
    .join('\n');
}

/** Bytes of WAL a write: of its records, and of the images of pages that a checkpoint asks for. */
type Wal = { records: number; images: number };

/** What the writes of two seconds leave in the WAL after a checkpoint, by subject. */
async function walOf(urls: Record<'service' | 'rivals', string>, seeded: Seeded): Promise<Record<string, Wal>> {
  const wals: Record<string, Wal> = {};
  if (!BYTES.includes(options.only)) return wals;
  const sql = postgres(seeded.url, { max: 1, onnotice: () => {} });
  await sql`DROP EXTENSION IF EXISTS pg_walinspect`;
  await sql`CREATE EXTENSION pg_walinspect SCHEMA bench`;
  for (const name of ['PATCH', 'rows: PATCH', 'POST', 'rows: POST']) {
    const subject = subjectsOf(seeded)[name];
    if (!subject) throw new Error(`there is no ${name}`);
    await sql`CHECKPOINT`;
    const [before] = await sql<{ at: string }[]>`SELECT pg_current_wal_lsn() AS at`;
    const { perSecond } = await run(urls, subject, { seconds: 2, rate: null });
    const [wal] = await sql<Wal[]>`
      SELECT sum(record_size)::float8 AS records, sum(fpi_size)::float8 AS images
        FROM bench.pg_get_wal_stats(${before?.at ?? ''}::pg_lsn, pg_current_wal_lsn())`;
    const each = (bytes = 0) => Math.round(bytes / (perSecond * 2));
    wals[name] = { records: each(wal?.records), images: each(wal?.images) };
  }
  await sql.end();
  return wals;
}

function bytesTable({ collection: { bytes } }: Seeded, wals: Record<string, Wal>): string {
  if (!bytes || !BYTES.includes(options.only)) return '';
  const row = (what: string, own: number, other: number, aim = '') =>
    `| ${what} | ${[own, other].map((n) => n.toLocaleString('en')).join(' | ')} | ${(own / other).toFixed(2)} | ${aim} |`;
  const wal = (what: string, name: string, aim: string) => {
    const [own, other] = [wals[name], wals[`rows: ${name}`]];
    if (!own || !other) throw new Error(`no WAL of ${name}`);
    return [
      row(`WAL records, ${what}`, own.records, other.records, aim),
      row(`WAL page images, ${what}, after a checkpoint`, own.images, other.images),
    ];
  };
  return [
    `| ${BYTES} | the service | rows | ratio | aim |`,
    '|---|---|---|---|---|',
    row('disk, a new entity of ten properties', bytes.entity.clocktick, bytes.entity.rows, '≤ 1,400'),
    row('disk, a change of one property', bytes.change.clocktick, bytes.change.rows, '≤ 400'),
    ...wal('a PATCH', 'PATCH', '≤ 1,200'),
    ...wal('a POST', 'POST', ''),
    '',
  ].join('\n');
}

/** The 99th of 100 lags, asked for one after the other while writers write. */
async function lagUnder(urls: Record<'service' | 'rivals', string>, seeded: Seeded, seconds: number): Promise<number> {
  const subject = subjectsOf(seeded)[LAG.subject];
  if (!subject) throw new Error(`there is no ${LAG.subject}`);
  let isOver = false;
  const load = run(urls, subject, { seconds, rate: null, connections: LAG.writers }).finally(() => {
    isOver = true;
  });
  const lags: number[] = [];
  while (!isOver) {
    const metrics = await (await fetch(`${urls.service}/metrics`)).text();
    lags.push(Number(/^clocktick_stable_lag_seconds (\S+)$/m.exec(metrics)?.[1]) * 1000);
  }
  await load;
  return lags.toSorted((a, b) => a - b)[Math.floor(lags.length * 0.99)] ?? Number.NaN;
}

function lagRow(lags: readonly number[]): string {
  if (lags.length === 0) return '';
  const spread = `${Math.min(...lags).toFixed(1)}–${Math.max(...lags).toFixed(1)}`;
  return `| ${LAG.name} | ${median(lags).toFixed(1)} (${spread}) | | | ≤ ${LAG.reach} |\n`;
}

async function inRounds(
  what: string,
  rounds: number,
  subjects: readonly (readonly [string, Subject])[],
  take: (subject: Subject) => Promise<number>,
): Promise<Figures> {
  const figures: Figures = new Map();
  for (let round = 1; round <= rounds; round++) {
    for (const [name, subject] of subjects) figures.set(name, [...(figures.get(name) ?? []), await take(subject)]);
    process.stderr.write(`${what}: ${round} of ${rounds}\n`);
  }
  return figures;
}

async function perSecond(urls: Record<'service' | 'rivals', string>, subject: Subject, seconds: number) {
  if (subject.of === 'database') return subject.perSecond();
  return (await run(urls, subject, { seconds, rate: null })).perSecond;
}

/** Sends requests from a process of its own. */
async function run(
  urls: Record<'service' | 'rivals', string>,
  subject: Subject,
  { seconds, rate, connections = Number(options.connections) }: Pick<Load, 'seconds' | 'rate'> & Partial<Load>,
): Promise<Measured> {
  if (subject.of === 'database') throw new Error('the database takes no requests');
  const { of, method, paths, body } = subject;
  const load: Load = {
    url: urls[of],
    method,
    paths,
    body: body ? JSON.stringify(body) : null,
    connections,
    seconds,
    rate,
  };
  const child = fork(join(root, 'test/bench/load.ts'), { cwd: root, execArgv: ['--import', 'tsx'] });
  child.send(load);
  const [measured]: Measured[] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => Promise.reject(new Error('the load gave no answer'))),
  ]);
  if (!measured) throw new Error('the load gave no answer');
  if (measured.failed > 0) throw new Error(`${method} ${paths[0]}: ${measured.failed} requests failed`);
  return measured;
}

function table(wanted: readonly Comparison[], figures: { loads: Figures; tails: Figures }): string {
  if (wanted.length === 0) return '';
  const rows = wanted.map(({ name, subject, rival, reach, of }) => {
    const [own, others] = [figures[of ?? 'loads'].get(subject) ?? [], figures[of ?? 'loads'].get(rival) ?? []];
    const ratios = own.map((figure, round) => figure / (others[round] ?? Number.NaN));
    const spread = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`;
    const [a, b] = [median(own), median(others)].map((figure) => Math.round(figure).toLocaleString('en'));
    const aim = reach === undefined ? '' : `${of === 'tails' ? '≤' : '≥'} ${reach}`;
    return `| ${name} | ${a} | ${b} | ${median(ratios).toFixed(2)} (${spread}) | ${aim} |`;
  });
  return ['| what | a second | the other | ratio (spread) | aim |', '|---|---|---|---|---|', ...rows, ''].join('\n');
}

/** Throughput without each guard and constraint, by the command that measures it alone. */
async function guards(): Promise<string> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/bench/guards.ts', options.rounds], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) lines.push(line);
  return `${lines.join('\n')}\n`;
}

async function versionOf(databaseUrl: string): Promise<string> {
  const sql = postgres(databaseUrl, { max: 1 });
  const [row] = await sql<{ version: string }[]>`SELECT current_setting('server_version') AS version`;
  await sql.end();
  return row?.version ?? '';
}

async function record(): Promise<void> {
  const given = process.argv.slice(2).join(' ');
  const file = join(root, 'src/guide/figures.md');
  const page = figuresPage(
    {
      date: new Date().toISOString().slice(0, 10),
      cores: cpus().length,
      cpu: cpus()[0]?.model ?? '',
      postgres: version,
      node: process.versions.node,
      command: `npm run bench -- ${given}`,
    },
    tables,
    await readFile(file, 'utf8'),
  );
  await writeFile(file, page);
}
