import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { withOwnServers } from '../helper/own-servers.js';
import { figuresPage } from './figures.js';
import type { Load, Measured } from './load.js';
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
  --only WORD       only comparisons whose name holds the word (guards: only what they cost)
  --json FILE       the figures of every round, too
  --record          the tables into src/guide/figures.md, too, with date, machine and command
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
    record: { type: 'boolean', default: false },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

/** A figure against its rival's, and what the ratio should reach; of tails, what it may come to. */
type Comparison = { name: string; subject: string; rival: string; reach?: number; of?: 'tails' };

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
  {
    name: 'snapshot page of 100, all changed since, to the same page now',
    subject: 'page of 100, all changed since',
    rival: 'page of 100 now',
  },
  {
    name: 'page of 100 found by where among 5,000, to a page of 100 now',
    subject: 'page of 100 found by where',
    rival: 'page of 100 now',
  },
  {
    name: 'the same as of when all were elsewhere, to that snapshot page',
    subject: 'page of 100 found by where as of then',
    rival: 'page of 100, all changed since',
  },
  { name: 'PATCH, to a plain UPDATE', subject: 'PATCH one property', rival: 'plain UPDATE', reach: 0.6 },
  { name: 'PATCH, to the textbook', subject: 'PATCH one property', rival: 'textbook PATCH', reach: 2.5 },
  { name: 'POST, to the textbook', subject: 'POST ten properties', rival: 'textbook POST', reach: 2.5 },
  { name: 'POST, to a plain COPY of as many rows', subject: 'POST ten properties', rival: 'plain COPY' },
  {
    name: 'p99 of GET now at half of the load, to one SELECT (µs)',
    subject: 'GET now',
    rival: 'one SELECT a request',
    reach: 2,
    of: 'tails',
  },
];

/** What is no figure of a load: how far the newest stable instant lies behind the clock, in milliseconds, while many write. */
const LAG = { name: 'stable lag at 32 writers, p99 (ms)', writers: 32, subject: 'PATCH one property', reach: 50 };

const refuse = (reason: string): never => {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
};
if (options.record && options.only) refuse('--record takes all tables, so no --only');
for (const name of ['rounds', 'seconds', 'connections'] as const) {
  if (!/^[1-9]\d*$/.test(options[name])) refuse(`--${name} ${options[name]} is no whole number from 1 on`);
}
if (!['guards', LAG.name, ...COMPARISONS.map(({ name }) => name)].some((name) => name.includes(options.only))) {
  refuse(`no comparison has ${options.only} in its name`);
}

const root = fileURLToPath(new URL('../../', import.meta.url));
const profiling = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${options.profile}`] : [];

/** Of the servers, as the first of them says. */
let version = '';
const tables: string[] = [];
if ([LAG, ...COMPARISONS].some(({ name }) => name.includes(options.only))) tables.push(await requests());
if ('guards'.includes(options.only)) tables.push(await guards());
process.stdout.write(tables.join('\n'));
if (options.record) await record();
process.exit(0);

/** Starts everything, measures, and stops it again. */
function requests(): Promise<string> {
  return withOwnServers(async ({ databaseUrl, start }) => {
    version = await versionOf(databaseUrl);
    const seeded = await seed(databaseUrl);
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
    const all = { rate, loads: Object.fromEntries(loads), tails: Object.fromEntries(tails), lags };
    await writeFile(options.json, JSON.stringify(all, null, 1));
  }
  return table(wanted, { loads, tails }) + lagRow(lags);
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

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
