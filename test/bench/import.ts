import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import type { Json } from '../../src/temporal/json.js';
import { withoutTriggers } from '../helper/in-bulk.js';
import { withOwnServers } from '../helper/own-servers.js';

/*
 * How fast an import is: `npm run bench:import`. Entities of ten properties are sent by `clocktick import` to an empty service; then all of
 * them again, of which one in a hundred has changed. Beside that the same rows go by COPY into the same tables: once with the indexes
 * alone, and once with the triggers that keep who holds a value. (No COPY could satisfy the guards: each table demands that the others
 * agree at the end of the same statement.) Meanwhile what the service takes in memory is looked at.
 *
 * Then a quarter as many entities of another type come in the same two ways, while somebody reads: an import makes way for others.
 *
 * With `--ticks 10` it is a history: each entity is created and then changed nine times, a property each time, in commits of a hundred lines that
 * say when they were made, and by whom. The second time nothing is new.
 */
const { values } = parseArgs({
  options: { entities: { type: 'string', default: '1000000' }, ticks: { type: 'string', default: '1' } },
});
const ENTITIES = Number(values.entities);
const TICKS = Number(values.ticks);
const IS_HISTORY = TICKS > 1;
const PROPERTIES = 10;
const COMMIT = 100;
/** How often somebody reads an entity, and what the service takes is looked at, in milliseconds. */
const READING_MS = 5;
const LOOKING_MS = 250;

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** A value of a property of an entity; another one at each of its ticks. */
function valueFor(n: number, p: number, tick: number): string | number {
  const value = (n * 7_919 + p + tick * 1_009) % 100_003;
  return p % 2 ? `value ${value}` : value;
}

/** An import: of so many entities of a type. */
type Load = { type: string; entities: number; version: number };

/** What a line says, of an entity and one of its ticks; one entity in a hundred is another one in another version. */
function lineOf({ type, entities, version }: Load, n: number, tick: number): Json {
  const commit = tick * entities + n - (n % COMMIT);
  const addressed = { type, key: `k${n}` };
  const when = {
    at: new Date(1_500_000_000_000 + commit).toISOString(),
    activity: { actor: `author ${commit % 97}`, reason: `${commit}` },
  };
  if (tick > 0) {
    const p = tick % PROPERTIES;
    return { op: 'set', ...addressed, ...when, set: { [`p${p}`]: valueFor(n, p, tick) } };
  }
  const properties = Object.fromEntries(Array.from({ length: PROPERTIES }, (_, p) => [`p${p}`, valueFor(n, p, 0)]));
  if (n % 100 === 0 && version > 0) properties.p0 = -version;
  return { ...addressed, ...(IS_HISTORY ? when : {}), properties };
}

/** All lines, a thousand in a text. */
function* linesOf(load: Load): Generator<string> {
  for (let tick = 0; tick < TICKS; tick++)
    for (let from = 0; from < load.entities; from += 1_000) {
      const length = Math.min(1_000, load.entities - from);
      yield Array.from({ length }, (_, n) => `${JSON.stringify(lineOf(load, from + n, tick))}\n`).join('');
    }
}

/** Imports a file by the command. Gives the seconds that it took. */
async function importFile(file: string, url: string): Promise<number> {
  const start = performance.now();
  const child = spawn(process.execPath, ['dist/cli/clocktick.js', 'import', file, '--source', 'bench', '--url', url], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`the import ended with ${code}`);
  return (performance.now() - start) / 1_000;
}

type Seen = { p99: number; memory: number; lag: number };

/** Reads the metrics again and again while work is done, and maybe an entity: the p99 of that in milliseconds, and the most that was seen. */
async function beside(url: string, work: () => Promise<unknown>, isReading = true): Promise<Seen> {
  let isOver = false;
  const latencies: number[] = [];
  const most = { memory: 0, lag: 0 };
  const reading = (async () => {
    while (isReading && !isOver) {
      const start = performance.now();
      await (await fetch(`${url}/entities/other:one`)).text();
      latencies.push(performance.now() - start);
      await sleep(READING_MS);
    }
  })();
  const looking = (async () => {
    while (!isOver) {
      const text = await (await fetch(`${url}/metrics`)).text();
      const figure = (name: string) => Number(new RegExp(`^\\w*${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
      most.memory = Math.max(most.memory, figure('process_resident_memory_bytes') / 2 ** 20);
      most.lag = Math.max(most.lag, figure('clocktick_stable_lag_seconds') * 1_000);
      await sleep(LOOKING_MS);
    }
  })();
  await work();
  isOver = true;
  await Promise.all([reading, looking]);
  const sorted = latencies.toSorted((a, b) => a - b);
  return { p99: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN, ...most };
}

/** The tables that an import of new entities writes, as a COPY of them needs no other before it. */
const TABLES = ['activity', 'tick', 'entity', 'property_history', 'open_value', 'item_history'];
const HELD = ['open_value', 'item_history'];

/** Copies the rows of one database into another one, by files of the server. Gives the seconds that it took to take them in. */
async function copied(from: postgres.Sql, to: postgres.Sql, withHolders: boolean): Promise<number> {
  const [{ folder = '' } = {}] = await from<{ folder: string }[]>`SELECT current_setting('data_directory') AS folder`;
  const tables = withHolders ? TABLES.filter((table) => !HELD.includes(table)) : TABLES;
  for (const table of tables) await from.unsafe(`COPY clocktick.${table} TO '${folder}/bench_${table}'`);
  let seconds = 0;
  await withoutTriggers(to, TABLES, async () => {
    if (withHolders) await to`ALTER TABLE clocktick.entity ENABLE ALWAYS TRIGGER entity_opens_holders`;
    const start = performance.now();
    for (const table of tables) await to.unsafe(`COPY clocktick.${table} FROM '${folder}/bench_${table}'`);
    seconds = (performance.now() - start) / 1_000;
  });
  return seconds;
}

const lines = await withOwnServers({}, async ({ databaseUrl, serviceUrl, start }) => {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  await sql`CREATE DATABASE bench_indexes TEMPLATE clocktick`;
  await sql`CREATE DATABASE bench_holders TEMPLATE clocktick`;
  const folder = await mkdtemp(join(tmpdir(), 'clocktick-bench-'));
  const loads = [
    { type: 'imported', entities: ENTITIES },
    { type: 'beside', entities: ENTITIES / 4 },
  ].flatMap((load) => (IS_HISTORY ? [0, 0] : [0, 1]).map((version) => ({ ...load, version })));
  const files = loads.map((_, n) => join(folder, `${n}.ndjson`));
  for (const [n, load] of loads.entries())
    await pipeline(Readable.from(linesOf(load)), createWriteStream(files[n] ?? ''));
  const [first = '', second = '', third = '', fourth = ''] = files;
  const url = await start(['dist/main.js'], { DATABASE_URL: serviceUrl, PORT: '0', LOG_LEVEL: 'warn' });
  await fetch(`${url}/entities/other:one`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'other', properties: { a: 1 } }),
  });

  const alone = await beside(url, () => sleep(5_000));
  let took = 0;
  let tookAgain = 0;
  const unread = await beside(
    url,
    async () => {
      took = await importFile(first, url);
      tookAgain = await importFile(second, url);
    },
    false,
  );
  const databaseOf = (name: string) => {
    const other = new URL(databaseUrl);
    other.pathname = `/${name}`;
    return postgres(other.href, { max: 1, onnotice: () => {} });
  };
  const seconds: number[] = [];
  for (const [name, withHolders] of [
    ['bench_indexes', false],
    ['bench_holders', true],
  ] as const) {
    const to = databaseOf(name);
    seconds.push(await copied(sql, to, withHolders));
    await to.end();
  }
  let slowed = 0;
  const during = await beside(url, async () => {
    slowed = await importFile(third, url);
  });
  const again = await beside(url, () => importFile(fourth, url));
  await sql.end();
  await rm(folder, { recursive: true });
  const [indexes = Number.NaN, holders = Number.NaN] = seconds;
  const rate = (time: number) => Math.round((ENTITIES * TICKS) / time).toLocaleString('en');
  return [
    `| ${ENTITIES.toLocaleString('en')} entities of ${PROPERTIES} properties${IS_HISTORY ? `, ${TICKS} ticks each` : ''} | seconds | a second | ratio | aim |`,
    '|---|---|---|---|---|',
    `| import | ${took.toFixed(1)} | ${rate(took)} | | |`,
    `| to COPY into the same tables and indexes, with the triggers for what is held | ${holders.toFixed(1)} | ${rate(holders)} | ${(holders / took).toFixed(2)} | ≥ ${IS_HISTORY ? 0.3 : 0.5} |`,
    `| to COPY into the same tables and indexes alone | ${indexes.toFixed(1)} | ${rate(indexes)} | ${(indexes / took).toFixed(2)} | |`,
    `| import again, ${IS_HISTORY ? 'nothing new' : '1% changed'}, to the first one | ${tookAgain.toFixed(1)} | ${rate(tookAgain)} | ${(took / tookAgain).toFixed(2)} | ${IS_HISTORY ? '' : '≥ 3 '}|`,
    '',
    '| beside it | alone | import | import again | aim |',
    '|---|---|---|---|---|',
    `| lines a second, to those of the import that nobody read beside | | ${(took / 4 / slowed).toFixed(2)} | | |`,
    `| p99 of GET now, ms | ${alone.p99.toFixed(1)} | ${during.p99.toFixed(1)} (${(during.p99 / alone.p99).toFixed(1)} ×) | ${again.p99.toFixed(1)} (${(again.p99 / alone.p99).toFixed(1)} ×) | ≤ 2 × |`,
    `| stable lag, most, ms | ${alone.lag.toFixed(0)} | ${during.lag.toFixed(0)} | ${again.lag.toFixed(0)} (${unread.lag.toFixed(0)} while nobody read) | ≤ 500 |`,
    `| resident memory of the service, most, MiB | ${alone.memory.toFixed(0)} | ${during.memory.toFixed(0)} | ${again.memory.toFixed(0)} (${unread.memory.toFixed(0)} before) | ≤ 300 |`,
  ];
});
process.stdout.write(`${lines.join('\n')}\n`);
process.exit(0);
