import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { readVersion } from '../../src/storage/schema-files.js';
import { withOwnServers } from '../helper/own-servers.js';
import { BYTES, COMPARISONS, LAG, PLANS } from './comparisons.js';
import { figuresPage, median } from './figures.js';
import { inRounds, measureLoad, type Urls } from './loads.js';
import { withMariaDb } from './mariadb.js';
import { plansTable } from './plans.js';
import { before, readSeeded, type Seeded, type Subject, seed, subjectsBefore, subjectsOf } from './seed.js';
import { beforeTable, bytesTable, comparisonsTable, lagRow } from './tables.js';
import { type Wal, walOf } from './wal.js';

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
  --before FOLDER   another version of the service beside this one: a checkout of it, in which npm run bench has
                    measured as many entities, so that its data is there
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
    before: { type: 'string' },
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

/** What PostgreSQL comes with, so that the data is larger than the cache and figures can be compared with those of others. */
const STOCK = { shared_buffers: '128MB', max_wal_size: '1GB', checkpoint_timeout: '5min' };

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

const numbers = {
  rounds: Number(options.rounds),
  seconds: Number(options.seconds),
  connections: Number(options.connections),
  entities: Number(options.entities),
};
const CACHE = 'node_modules/.cache/clocktick-bench';
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
  const dataDir = join(root, CACHE, kept);
  // What a run that was interrupted has left is half of the data.
  const whole = join(dataDir, 'whole');
  if (!existsSync(whole)) await rm(dataDir, { recursive: true, force: true });
  return withOwnServers({ dataDir, settings: STOCK }, async ({ databaseUrl, serviceUrl, start }) => {
    version = await versionOf(databaseUrl);
    const seeded = await seed(databaseUrl, numbers.entities);
    await writeFile(whole, '');
    const urls: Urls = {
      service: await start([...profiling, 'dist/main.js'], environment(serviceUrl)),
      rivals: await start(['--import', 'tsx', 'test/bench/rivals.ts', databaseUrl]),
    };
    return withMariaDb({ dataDir: `${dataDir}-mariadb`, databaseUrl }, async (socket) => {
      if (socket) urls.mariadb = await start(['--import', 'tsx', 'test/bench/mariadb-rival.ts', socket]);
      else process.stderr.write('MariaDB is not installed, so nothing is compared with it\n');
      if (options.before === undefined) return measure(urls, seeded, null);
      return withBefore(resolve(options.before), async (url, old) => measure({ ...urls, before: url }, seeded, old));
    });
  });
}

function environment(databaseUrl: string): Record<string, string> {
  return { DATABASE_URL: databaseUrl, PORT: '0', LOG_LEVEL: 'warn' };
}

/** Does work with another version of the service, over the data that its own bench has written. */
async function withBefore<Result>(
  folder: string,
  work: (url: string, seeded: Seeded) => Promise<Result>,
): Promise<Result> {
  const cache = join(folder, CACHE);
  const names = existsSync(cache) ? await readdir(cache) : [];
  const kept = names.find((name) => new RegExp(`^${options.entities}(-\\d+)?$`).test(name));
  if (!kept) return refuse(`${cache} has no data of ${options.entities} entities: run its bench first`);
  const own = { dataDir: join(cache, kept), settings: STOCK, migrated: false };
  return withOwnServers(own, async ({ databaseUrl, start }) => {
    const url = await start([join(folder, 'dist/main.js')], environment(databaseUrl));
    return work(url, await readSeeded(databaseUrl));
  });
}

async function measure(urls: Urls, seeded: Seeded, old: Seeded | null): Promise<string> {
  const { rounds, connections, seconds } = numbers;
  const all: Record<string, Subject> = { ...subjectsOf(seeded), ...(old && subjectsBefore(old)) };
  const isThere = (name: string) => all[name]?.of !== 'mariadb' || urls.mariadb !== undefined;
  const wanted = COMPARISONS.filter(({ name, rival }) => name.includes(options.only) && isThere(rival));
  const names = new Set(
    wanted.flatMap(({ subject, rival }) => [rival, subject].flatMap((name) => [name, before(name)])),
  );
  const subjects = Object.entries(all).filter(([name]) => names.has(name));
  // The round before the first warms everything up and does not count.
  await inRounds(
    'warming up',
    1,
    subjects,
    async (subject) => (await measureLoad(urls, subject, { seconds: 1, connections })).perSecond,
  );
  const loads = await inRounds(
    'loads',
    rounds,
    subjects,
    async (subject) => (await measureLoad(urls, subject, { seconds, connections })).perSecond,
  );
  // At a rate that either can keep up with: how long it takes then is not how long the queue is.
  const inTails = new Set(wanted.flatMap(({ of, subject, rival }) => (of === 'tails' ? [subject, rival] : [])));
  const rate = Math.round(Math.min(...[...inTails].map((name) => median(loads.get(name) ?? []))) / 2);
  const wals = BYTES.includes(options.only) ? await bytesOfWal(urls, seeded, old) : {};
  const lags: number[] = [];
  for (let round = 1; LAG.name.includes(options.only) && round <= rounds; round++) {
    lags.push(await lagUnder(urls, seeded, seconds));
    process.stderr.write(`lags: ${round} of ${rounds}\n`);
  }
  const tails = await inRounds(
    'tails',
    inTails.size > 0 ? rounds : 0,
    subjects.filter(([name]) => inTails.has(name)),
    async (subject) => (await measureLoad(urls, subject, { seconds, rate, connections })).p99,
  );
  const { bytes } = seeded.collection;
  if (options.json) {
    const figures = { rate, loads: Object.fromEntries(loads), tails: Object.fromEntries(tails), lags, bytes, wals };
    await writeFile(options.json, JSON.stringify(figures, null, 1));
  }
  return [
    comparisonsTable(wanted, { loads, tails }) + lagRow(lags),
    beforeTable(wanted, loads),
    BYTES.includes(options.only) ? bytesTable({ own: bytes, before: old?.collection.bytes ?? null }, wals) : '',
    PLANS.includes(options.only) ? await plansTable(seeded) : '',
  ]
    .filter((text) => text !== '')
    .join('\n');
}

/** Of the service, of whole rows, and of another version of the service where there is one. */
async function bytesOfWal(urls: Urls, seeded: Seeded, old: Seeded | null): Promise<Record<string, Wal>> {
  const writing = (subjects: Record<string, Subject>) =>
    Object.entries(subjects).filter(([name]) => /^((rows|before): )?(PATCH|POST)$/.test(name));
  return {
    ...(await walOf(seeded.url, urls, writing(subjectsOf(seeded)), numbers.connections)),
    ...(old && (await walOf(old.url, urls, writing(subjectsBefore(old)), numbers.connections))),
  };
}

/** The 99th of 100 lags, asked for one after the other while writers write. */
async function lagUnder(urls: Urls, seeded: Seeded, seconds: number): Promise<number> {
  const subject = subjectsOf(seeded)[LAG.subject];
  if (!subject) throw new Error(`there is no ${LAG.subject}`);
  let isOver = false;
  const load = measureLoad(urls, subject, { seconds, connections: LAG.writers }).finally(() => {
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
