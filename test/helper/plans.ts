import type postgres from 'postgres';
import { openPools } from '../../src/storage/engine/pools.js';
import { storageOf } from '../../src/storage/open.js';
import type { Storage } from '../../src/storage/storage.js';

/** A statement as the storage sent it. */
type Sent = { text: string; parameters: unknown[] };

type PlanNode = {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  Plans?: PlanNode[];
};

/** How a statement ran: every way it took to a table, and the 8 kB buffers it touched, all of them. */
type Plan = { scans: string[]; buffers: number };

/** Runs a call of the storage and gives the statements it sent. */
export async function statementsOf(url: string, call: (storage: Storage) => Promise<unknown>): Promise<Sent[]> {
  const sent: Sent[] = [];
  const database = openPools(url, (_connection, text, parameters) => {
    if (/^\s*(select|with)/i.test(text) && !/pg_catalog/.test(text)) sent.push({ text, parameters });
  });
  await call(storageOf(database));
  await database.close();
  return sent;
}

/** EXPLAIN (ANALYZE, BUFFERS) of a statement, prepared as the driver prepares it, with the plan mode and settings asked for. */
export async function explain(
  sql: postgres.Sql,
  { text, parameters }: Sent,
  mode: 'force_generic_plan' | 'force_custom_plan',
  settings: object = {},
): Promise<Plan> {
  return sql.begin(async (tx) => {
    await tx.unsafe(`SET LOCAL plan_cache_mode = ${mode}`);
    for (const [name, value] of Object.entries(settings)) await tx.unsafe(`SET LOCAL ${name} = ${value}`);
    await tx.unsafe(`PREPARE statement AS ${text}`);
    const values = parameters.map(literal).join(', ');
    const execute = `EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE statement${values ? `(${values})` : ''}`;
    await tx.unsafe(execute); // the catalogue and the plan come into the caches
    const [row] = await tx.unsafe<{ 'QUERY PLAN': [{ Plan: PlanNode & Record<string, number> }] }[]>(execute);
    await tx.unsafe('DEALLOCATE statement');
    if (!row) throw new Error('EXPLAIN gave nothing');
    const { Plan: plan } = row['QUERY PLAN'][0];
    if (process.env.SHOW_PLANS) process.stderr.write(`${text}\n${JSON.stringify(plan, null, 1)}\n`);
    return {
      scans: scansOf(plan),
      buffers: (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0),
    };
  });
}

function scansOf(node: PlanNode): string[] {
  const relation = node['Relation Name'];
  const index = node['Index Name'];
  const here = relation || index ? [`${node['Node Type']} ${index ?? relation}`] : [];
  return [...here, ...(node.Plans ?? []).flatMap(scansOf)];
}

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  const text = Array.isArray(value)
    ? `{${value.map((item) => JSON.stringify(String(item))).join(',')}}`
    : String(value);
  return `'${text.replaceAll("'", "''")}'`;
}
