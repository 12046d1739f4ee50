import type { ActivityDetails, Entity } from '../../temporal/entity.js';
import { type Facts, type ImportWrite, tickedBy } from '../../temporal/import.js';
import { objectIn } from '../../temporal/json.js';
import { arrayText, type Sql } from '../engine/pools.js';
import { type EntityRow, namesIn } from '../rows.js';
import { each, inSlices } from '../slices.js';

/* What a batch of an import has to know before it is decided: what the database says of all that its lines name. */

/** How many bytes of states, as they are stored, are read for one transaction: compressed, they may become a hundred times as much. */
const MOST_STATE_BYTES = 2 * 2 ** 20;
/** How many past states are asked for at once: the database makes all of them before it knows how large they are. */
const PAST_STATES = { first: 8, most: 128 };

/** What a batch names, as it is recorded; and how many of its lines have theirs among it, because large states are read in turn. */
export async function readFacts(
  sql: Sql,
  writes: readonly ImportWrite[],
): Promise<Omit<Facts, 'admit'> & { count: number }> {
  const states = await readStates(sql, writes);
  const past = await readPast(sql, writes.slice(0, states.count), states.current);
  return { ...states, ...past, ...(await readActivities(sql, writes.slice(0, past.count))) };
}

type StateRow = Omit<EntityRow, 'properties'> & { properties: string | null };

async function readStates(sql: Sql, writes: readonly ImportWrite[]) {
  const ids = [...new Set(writes.map(({ address }) => address.id))];
  const rows = await sql<StateRow[]>`
    SELECT e.id, e.type, e.key, e.tick, e.deleted, e.created_at AS "createdAt", e.updated_at AS "updatedAt",
           CASE WHEN sum(e.size) OVER (ORDER BY wanted.n) - e.size < ${MOST_STATE_BYTES}::int THEN clocktick.all_properties(e.properties, e.untracked)::text END AS properties,
           clocktick.untracked_at(e.untracked_ticks, e.tick)::text AS untracked
      FROM unnest(${arrayText(ids)}::text::uuid[]) WITH ORDINALITY AS wanted (id, n)
     CROSS JOIN LATERAL (
       SELECT e.*, pg_column_size(e.properties) + coalesce(pg_column_size(e.untracked), 0) AS size
         FROM clocktick.entity e WHERE e.id = wanted.id LIMIT 1) e`;
  const current = new Map<string, Entity>();
  const left = new Set<string>();
  const keep = ({ properties, untracked, ...row }: StateRow): void => {
    if (properties === null) left.add(row.id);
    else current.set(row.id, { ...row, properties: objectIn(properties), untracked: namesIn(untracked) });
  };
  await inSlices(each(rows, keep));
  const end = writes.findIndex(({ address }) => left.has(address.id));
  return { current, count: end === -1 ? writes.length : end };
}

/** The states at the instants of lines that are not after the newest ticks of their entities. */
async function readPast(sql: Sql, writes: readonly ImportWrite[], current: ReadonlyMap<string, Entity>) {
  const past = new Map<number, Entity>();
  const wanted = writes.flatMap(({ line, at, address }, n) => {
    const entity = current.get(address.id);
    return at !== null && entity && at <= entity.updatedAt ? [{ n, line, at, entity }] : [];
  });
  let left = MOST_STATE_BYTES;
  for (
    let begin = 0, size = PAST_STATES.first;
    begin < wanted.length;
    begin += size, size = Math.min(2 * size, PAST_STATES.most)
  ) {
    const some = wanted.slice(begin, begin + size);
    const asked = JSON.stringify(some.map(({ n, at, entity: { id } }) => ({ n, id, at })));
    const rows = await sql<PastRow[]>`
      SELECT wanted.n, past.tick, past.deleted, held.size,
             clocktick.untracked_at(e.untracked_ticks, past.tick)::text AS untracked,
             CASE WHEN sum(held.size) OVER (ORDER BY wanted.n) - held.size < ${left}::int THEN held.properties::text END AS properties
        FROM jsonb_to_recordset(${asked}::text::jsonb) AS wanted (n integer, id uuid, at timestamptz)
       CROSS JOIN LATERAL (SELECT e.* FROM clocktick.entity e WHERE e.id = wanted.id LIMIT 1) e
       CROSS JOIN LATERAL clocktick.state_at(e.id, e.tick, e.updated_at, e.deleted, NULL, wanted.at) past
       CROSS JOIN LATERAL (
         SELECT p.properties, pg_column_size(p.properties) AS size
           FROM clocktick.properties_at(e.id, e.tick, e.properties, e.since, past.tick, NULL) p) held
       ORDER BY wanted.n`;
    for (const { n, tick, deleted, size, properties, untracked } of rows) {
      const line = some.find((one) => one.n === n);
      if (!line) throw new Error(`nobody asked for the line ${n}`);
      if (properties === null) return { past, count: n };
      const state = { tick, deleted, properties: objectIn(properties), untracked: namesIn(untracked) };
      past.set(line.line, { ...line.entity, ...state });
      left -= size;
    }
  }
  return { past, count: writes.length };
}

type PastRow = {
  n: number;
  tick: number;
  deleted: boolean;
  size: number;
  properties: string | null;
  untracked: string | null;
};

type ActivityRow = { id: string; actor: string | null; reason: string | null; metadata: string | null };

/** The clock; the activities that lines name by id; and which of the entities that they name with them these have ticked. */
async function readActivities(
  sql: Sql,
  writes: readonly ImportWrite[],
): Promise<Pick<Facts, 'now' | 'activities' | 'ticked'>> {
  const named = writes.flatMap(({ activity, address: { id } }) => (activity?.id ? [{ by: activity.id, id }] : []));
  const pairs = JSON.stringify(named);
  const [[clock], activities, ticked] = await Promise.all([
    sql<{ now: string }[]>`SELECT clock_timestamp() AS now`,
    named.length === 0
      ? []
      : sql<ActivityRow[]>`
          SELECT a.id, a.actor, a.reason, a.metadata::text
            FROM (SELECT DISTINCT n.by FROM jsonb_to_recordset(${pairs}::text::jsonb) AS n (by uuid)) n
           CROSS JOIN LATERAL (SELECT a.* FROM clocktick.activity a WHERE a.id = n.by LIMIT 1) a`,
    named.length === 0
      ? []
      : sql<{ by: string; id: string }[]>`
          SELECT t.activity_id AS by, t.entity_id AS id
            FROM jsonb_to_recordset(${pairs}::text::jsonb) AS n (by uuid, id uuid)
           CROSS JOIN LATERAL (
             SELECT t.* FROM clocktick.tick t WHERE t.activity_id = n.by AND t.entity_id = n.id LIMIT 1) t`,
  ]);
  if (!clock) throw new Error('the database has no clock');
  return {
    now: clock.now,
    activities: new Map(activities.map((row) => [row.id, detailsOf(row)])),
    ticked: new Set(ticked.map(({ by, id }) => tickedBy(by, id))),
  };
}

const detailsOf = ({ actor, reason, metadata }: ActivityRow): ActivityDetails => ({
  ...(actor === null ? {} : { actor }),
  ...(reason === null ? {} : { reason }),
  ...(metadata === null ? {} : { metadata: objectIn(metadata) }),
});
