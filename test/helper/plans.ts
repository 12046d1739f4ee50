import type postgres from 'postgres';
import { openPools, type Sql } from '../../src/storage/engine/pools.js';
import { type StableInstant, stableInstantOf } from '../../src/storage/engine/stable-instant.js';
import { storageOf } from '../../src/storage/open.js';
import type { Storage } from '../../src/storage/storage.js';

/** A statement as the storage sent it. */
type Sent = { text: string; parameters: unknown[] };

/** … and what its pool tells the planner, by the names of the settings. */
export type SentByPool = Sent & { settings: Record<string, string> };

type PlanNode = {
  'Node Type': string;
  'Join Type'?: string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'CTE Name'?: string;
  'Function Name'?: string;
  'Subplan Name'?: string;
  Plans?: PlanNode[];
};

/**
 * How a statement ran: every way it took to a table, and the 8 kB buffers it touched, all of them; `read` are those that were not in
 * the server's cache, and `ms` the time it took there. `nodes` is the whole plan, a line a node, without what varies.
 */
export type Plan = { scans: string[]; nodes: string[]; buffers: number; read: number; ms: number };

/** What is called by SELECT and only writes: it has no plan to show. */
const WRITES = /clocktick\.(keep_promise|record_activity|lock_entity|lock_entities)\(/;
const isRead = (text: string) => /^\s*(select|with)/i.test(text) && !/pg_catalog/.test(text) && !WRITES.test(text);

/** Runs a call of the storage and gives the statements it sent. */
export async function statementsOf(url: string, call: (storage: Storage) => Promise<unknown>): Promise<Sent[]> {
  const sent: Sent[] = [];
  const database = openPools(url, (_connection, text, parameters) => {
    if (isRead(text)) sent.push({ text, parameters });
  });
  await call(storageOf(database));
  await database.close();
  return sent;
}

/** A storage whose calls show what they sent, each statement with the settings of its pool. */
type Watched = {
  sentBy: (call: (storage: Storage) => Promise<unknown>) => Promise<SentByPool[]>;
  close: () => Promise<void>;
};

/** Opens a storage to be watched. Its calls come one after the other, so that each pool goes on using its first connection. */
export async function watchedStorage(url: string): Promise<Watched> {
  let sent: (Sent & { connection: number })[] = [];
  const pools = openPools(url, (connection, text, parameters) => sent.push({ connection, text, parameters }));
  // So that a statement that writes is the same each time, and may be run at any time.
  const stableInstant: StableInstant = {
    ...stableInstantOf(pools),
    stamped: (write) => write('9999-12-30T00:00:00.000000Z'),
  };
  const storage = storageOf(pools, { stableInstant });
  const known = new Map<number, SentByPool['settings']>();
  const ask = async (sql: Sql) => {
    sent = [];
    const settings = await sql<{ name: string; setting: string }[]>`
      SELECT name, setting FROM pg_settings
       WHERE source = 'client' AND name ~ '^(enable_.*|jit|plan_cache_mode)$' ORDER BY name`;
    for (const { connection } of sent)
      known.set(connection, Object.fromEntries(settings.map(({ name, setting }) => [name, setting])));
  };
  for (const one of [
    pools.reading,
    pools.readingLarge,
    pools.sharedReads,
    pools.sharedWrites,
    pools.writingLarge,
    pools.writingMany,
    pools.probe,
    pools.paging,
    pools.searching,
    pools.counting,
    pools.exporting,
  ])
    await one(ask);
  await pools.checking(
    async (sql) => {
      await ask(sql);
      return true;
    },
    () => {},
  );
  return {
    sentBy: async (call) => {
      sent = [];
      await call(storage);
      return sent
        .filter(({ text }) => isRead(text))
        .map(({ connection, ...statement }) => {
          const settings = known.get(connection);
          if (!settings) throw new Error(`it is not known which pool sent this:\n${statement.text}`);
          return { ...statement, settings };
        });
    },
    close: pools.close,
  };
}

/**
 * EXPLAIN (ANALYZE, BUFFERS) of a statement, prepared as the driver prepares it, with the plan mode and settings asked for: of its second
 * run, before which `meanwhile` happens.
 */
export async function explain(
  sql: postgres.Sql,
  { text, parameters }: Sent,
  mode: 'force_generic_plan' | 'force_custom_plan',
  settings: object = {},
  meanwhile: () => Promise<unknown> = async () => {},
): Promise<Plan> {
  const own = await sql.reserve();
  const values = parameters.map(literal).join(', ');
  const run = async () => {
    await own.unsafe('BEGIN');
    for (const [name, value] of Object.entries(settings)) await own.unsafe(`SET LOCAL ${name} = ${value}`);
    // As every connection of the service has it.
    await own.unsafe('SET LOCAL jit = off');
    await own.unsafe(`SET LOCAL plan_cache_mode = ${mode}`);
    const rows = await own.unsafe<
      { 'QUERY PLAN': [{ Plan: PlanNode & Record<string, number>; 'Execution Time': number }] }[]
    >(`EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE statement${values ? `(${values})` : ''}`);
    // What a statement writes is not kept, so that it finds the same each time.
    await own.unsafe('ROLLBACK');
    return rows;
  };
  try {
    await own.unsafe(`PREPARE statement AS ${text}`);
    await run(); // the catalogue and the plan come into the caches
    await meanwhile();
    const [row] = await run();
    if (!row) throw new Error('EXPLAIN gave nothing');
    await own.unsafe('DEALLOCATE statement');
    const { Plan: plan, 'Execution Time': ms } = row['QUERY PLAN'][0];
    const read = plan['Shared Read Blocks'] ?? 0;
    if (process.env.SHOW_PLANS) process.stderr.write(`${text}\n${JSON.stringify(plan, null, 1)}\n`);
    return {
      scans: scansOf(plan),
      nodes: nodesOf(plan),
      buffers: (plan['Shared Hit Blocks'] ?? 0) + read,
      read,
      ms,
    };
  } finally {
    await own.unsafe('ROLLBACK'); // where one has failed
    own.release();
  }
}

function scansOf(node: PlanNode): string[] {
  const relation = node['Relation Name'];
  const index = node['Index Name'];
  const here = relation || index ? [`${node['Node Type']} ${index ?? relation}`] : [];
  return [...here, ...(node.Plans ?? []).flatMap(scansOf)];
}

function nodesOf(node: PlanNode): string[] {
  const join = node['Join Type'] && node['Join Type'] !== 'Inner' ? ` (${node['Join Type']})` : '';
  const over = node['Index Name'] ?? node['Relation Name'] ?? node['CTE Name'] ?? node['Function Name'];
  const subplan = node['Subplan Name'] ? `${node['Subplan Name']}: ` : '';
  return [
    `${subplan}${node['Node Type']}${join}${over ? ` ${over}` : ''}`,
    ...(node.Plans ?? []).flatMap(nodesOf).map((line) => `  ${line}`),
  ];
}

/** A parameter as EXECUTE takes it. What repeats one character is written so that one can read it. */
export function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  const text = Array.isArray(value)
    ? `{${value.map((item) => JSON.stringify(String(item))).join(',')}}`
    : String(value);
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return quoted.replace(/([^'])\1{99,}/gu, (run, one: string) => {
    const times = [...run].length;
    return `' || repeat(chr(${one.codePointAt(0)}), ${times}) || '`;
  });
}
