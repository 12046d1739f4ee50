import postgres from 'postgres';
import { expectedCatalogue, readCatalogue } from './catalogue.js';
import type { Fragment, Sql } from './engine/pools.js';
import { SEARCH_PATH } from './engine/search-path.js';
import { connectOnce } from './engine/transactions.js';
import { requireCurrent } from './migrate.js';

/*
 * What the guards would have refused, had nobody switched them off: each check is a statement that finds one kind of forgery. Whoever owns the
 * tables can forge; not so that everything still fits.
 *
 * Each goes through whole tables once and sorts or joins them, in work_mem and beyond that on the disk, so it takes no more memory of a large
 * database than of a small one. What is read may be anything, so nothing is cast that might be no number.
 */

/** What a check has found: of which entity, if of one, and what is wrong with it. */
type Finding = { entity: string | null; what: string };

/** A check: `statement` gives its findings. */
type Check = { name: string; statement: (sql: Sql) => Fragment };

/** Since which tick an entity has a property, by its row `e`, and an entry `p` of its properties. */
const since = (sql: Sql) =>
  sql`CASE WHEN e.since ->> p.key ~ '^[0-9]{1,9}$' THEN (e.since ->> p.key)::int4 WHEN e.since ? p.key THEN 0 ELSE 1 END`;

/** How far ahead of the clock the guards let an instant lie (drizzle/sql/guards.sql). */
const ahead = (sql: Sql) => sql`clock_timestamp() + interval '2 seconds'`;

const CHECKS: readonly Check[] = [
  {
    name: 'ticks-without-gaps',
    statement: (sql) => sql`
      SELECT coalesce(t.entity_id, e.id)::text AS entity,
             CASE WHEN e.id IS NULL THEN format('has %s ticks, but no row of its own', t.count)
                  WHEN t.entity_id IS NULL THEN 'has no tick'
                  ELSE format('is at tick %s, but has %s ticks from %s to %s', e.tick, t.count, t.first, t.last) END AS what
        FROM clocktick.entity e
        FULL JOIN (SELECT t.entity_id, count(*), min(t.tick) AS first, max(t.tick) AS last FROM clocktick.tick t GROUP BY t.entity_id) t
               ON t.entity_id = e.id
       WHERE (t.first = 1 AND t.last = e.tick AND t.count = e.tick) IS NOT TRUE`,
  },
  {
    name: 'ticks-in-order',
    statement: (sql) => sql`
      SELECT t.entity_id::text AS entity,
             format('tick %s (%s at %s, recorded at %s) cannot follow the one before (%s at %s, recorded at %s)', t.tick, t.op, t.at, t.recorded_at,
                    coalesce(t.last_op, 'nothing'), t.last_at, t.last_recorded) AS what
        FROM (SELECT t.*, lag(t.at) OVER w AS last_at, lag(t.recorded_at) OVER w AS last_recorded, lag(t.op) OVER w AS last_op
                FROM clocktick.tick t WINDOW w AS (PARTITION BY t.entity_id ORDER BY t.tick)) t
       WHERE t.at <= t.last_at OR t.recorded_at < t.last_recorded OR t.recorded_at < t.at
          OR t.op <> ALL (CASE WHEN t.last_op IS NULL THEN ARRAY['created'] WHEN t.last_op = 'deleted' THEN ARRAY['restored']
                               ELSE ARRAY['updated', 'deleted'] END)`,
  },
  {
    name: 'nothing-of-the-future',
    statement: (sql) => sql`
      SELECT t.entity_id::text AS entity, format('tick %s is recorded at %s, which has not come yet', t.tick, t.recorded_at) AS what
        FROM clocktick.tick t WHERE t.recorded_at > ${ahead(sql)}
      UNION ALL
      SELECT NULL, format('activity %s is recorded at %s, which has not come yet', a.id, a.recorded_at)
        FROM clocktick.activity a WHERE a.recorded_at > ${ahead(sql)}`,
  },
  {
    name: 'ticks-of-their-entity',
    statement: (sql) => sql`
      SELECT t.entity_id::text AS entity,
             CASE WHEN t.type <> e.type THEN format('tick %s is of the type %s, the entity of %s', t.tick, t.type, e.type)
                  ELSE format('tick %s names the activity %s, which nobody recorded', t.tick, t.activity_id) END AS what
        FROM clocktick.tick t
        JOIN clocktick.entity e ON e.id = t.entity_id
        LEFT JOIN clocktick.activity a ON a.id = t.activity_id
       WHERE t.type <> e.type OR t.activity_id IS NOT NULL AND a.id IS NULL`,
  },
  {
    name: 'entities-as-their-last-tick',
    statement: (sql) => sql`
      SELECT e.id::text AS entity,
             format('created at %s, at tick %s since %s%s, but tick 1 was at %s, and that tick (%s) at %s', e.created_at, e.tick, e.updated_at,
                    CASE WHEN e.deleted THEN ', deleted' END, first.at, last.op, last.at) AS what
        FROM clocktick.entity e
        JOIN clocktick.tick first ON first.entity_id = e.id AND first.tick = 1
        JOIN clocktick.tick last ON last.entity_id = e.id AND last.tick = e.tick
       WHERE (e.created_at = first.at AND e.updated_at = last.at AND coalesce(e.recorded_at, e.updated_at) = last.recorded_at
              AND e.deleted = (last.op = 'deleted')) IS NOT TRUE`,
  },
  {
    name: 'since-ticks',
    statement: (sql) => sql`
      SELECT e.id::text AS entity, format('says of %I: since %s', s.key, s.value) AS what
        FROM clocktick.entity e CROSS JOIN LATERAL jsonb_each(e.since) s
       WHERE CASE WHEN jsonb_typeof(s.value) = 'number' AND s.value::text ~ '^[0-9]{1,9}$' AND e.properties ? s.key
                  THEN s.value::text::int4 NOT BETWEEN 2 AND e.tick ELSE true END`,
  },
  {
    name: 'ranges-apart',
    statement: (sql) => sql`
      SELECT h.entity_id::text AS entity, format('%I: %s begins before %s ends', h.property, h.vclock, h.last) AS what
        FROM (SELECT h.entity_id, h.property, h.vclock, lag(h.vclock) OVER (PARTITION BY h.entity_id, h.property ORDER BY h.vclock) AS last
                FROM clocktick.property_history h) h
       WHERE lower(h.vclock) < upper(h.last)
      UNION ALL
      SELECT e.id::text, format('%I: held since tick %s, but a range ends at tick %s', p.key, p.since, h.last)
        FROM clocktick.entity e
       CROSS JOIN LATERAL (SELECT p.key COLLATE "C" AS key, ${since(sql)} AS since FROM jsonb_object_keys(e.properties) p (key)) p
        JOIN (SELECT h.entity_id, h.property, max(upper(h.vclock)) AS last FROM clocktick.property_history h GROUP BY h.entity_id, h.property) h
          ON h.entity_id = e.id AND h.property = p.key
       WHERE h.last > p.since`,
  },
  {
    name: 'ranges-of-ticks',
    statement: (sql) => sql`
      SELECT h.entity_id::text AS entity,
             format('%I: %s of type %s, %s, but these ticks were at %s and %s', h.property, h.vclock, h.type, h.effective, first.at, last.at) AS what
        FROM clocktick.property_history h
        LEFT JOIN clocktick.entity e ON e.id = h.entity_id
        LEFT JOIN clocktick.tick first ON first.entity_id = h.entity_id AND first.tick = lower(h.vclock)
        LEFT JOIN clocktick.tick last ON last.entity_id = h.entity_id AND last.tick = upper(h.vclock)
       WHERE (h.type = e.type AND lower(h.effective) = first.at AND upper(h.effective) = last.at AND first.op <> 'deleted'
              AND lower_inc(h.effective) AND NOT upper_inc(h.effective)) IS NOT TRUE`,
  },
  {
    name: 'nothing-held-while-deleted',
    statement: (sql) => sql`
      SELECT t.entity_id::text AS entity, format('%I: %s, but the entity was deleted at tick %s', h.property, h.vclock, t.tick) AS what
        FROM clocktick.tick t JOIN clocktick.property_history h ON h.entity_id = t.entity_id AND h.vclock @> t.tick
       WHERE t.op = 'deleted'
      UNION ALL
      SELECT e.id::text, format('%I: held since tick %s, but the entity was deleted at tick %s', p.key, p.since, t.last)
        FROM (SELECT t.entity_id, max(t.tick) AS last FROM clocktick.tick t WHERE t.op = 'deleted' GROUP BY t.entity_id) t
        JOIN clocktick.entity e ON e.id = t.entity_id
       CROSS JOIN LATERAL (SELECT p.key, ${since(sql)} AS since FROM jsonb_object_keys(e.properties) p (key)) p
       WHERE p.since <= t.last`,
  },
  {
    name: 'no-change-of-nothing',
    statement: (sql) => sql`
      SELECT t.entity_id::text AS entity, format('tick %s changed nothing that is recorded', t.tick) AS what
        FROM clocktick.tick t
        LEFT JOIN (
          SELECT h.entity_id, upper(h.vclock) AS tick FROM clocktick.property_history h
          UNION
          SELECT h.entity_id, lower(h.vclock) FROM clocktick.property_history h
          UNION
          SELECT e.id, p.since FROM clocktick.entity e
           CROSS JOIN LATERAL (SELECT ${since(sql)} AS since FROM jsonb_object_keys(e.since) p (key)) p
        ) change ON change.entity_id = t.entity_id AND change.tick = t.tick
       WHERE t.op = 'updated' AND change.tick IS NULL
         -- What keeps no ranges may have changed.
         AND (SELECT clocktick.untracked_at(e.untracked_ticks, t.tick) FROM clocktick.entity e WHERE e.id = t.entity_id) IS NULL`,
  },
  {
    name: 'open-values',
    statement: (sql) => sql`
      SELECT v.entity_id::text AS entity,
             CASE WHEN sum(v.has) > 0 THEN format('%I: cannot be found by its value since %s (key %s)', min(v.property), v.since, v.value_key)
                  ELSE format('is found by a value that it has not since %s (key %s)', v.since, v.value_key) END AS what
        FROM (
          SELECT e.id AS entity_id, clocktick.value_key(e.type, p.key, p.value) AS value_key, t.at AS since, p.key AS property, 1 AS has
            FROM clocktick.entity e
           CROSS JOIN LATERAL (SELECT p.key, p.value, ${since(sql)} AS since FROM jsonb_each(e.properties) p) p
            LEFT JOIN clocktick.tick t ON t.entity_id = e.id AND t.tick = p.since
          UNION ALL
          SELECT v.entity_id, v.value_key, v.since, NULL, -1 FROM clocktick.open_value v
        ) v
       GROUP BY v.entity_id, v.value_key, v.since HAVING sum(v.has) <> 0`,
  },
  {
    name: 'items',
    // An item has one range for as long as a value has it, however many values follow each other in which it is.
    statement: (sql) => sql`
      WITH held AS (
        SELECT e.id AS entity_id, i.item, int4range(p.since, NULL) AS vclock
          FROM clocktick.entity e
         CROSS JOIN LATERAL (SELECT p.key, p.value, ${since(sql)} AS since FROM jsonb_each(e.properties) p) p
         CROSS JOIN LATERAL clocktick.items_of(e.type, p.key, p.value) i (item)
         WHERE jsonb_typeof(p.value) IN ('array', 'object')
        UNION ALL
        SELECT h.entity_id, i.item, h.vclock
          FROM clocktick.property_history h
         CROSS JOIN LATERAL clocktick.items_of(h.type, h.property, coalesce(h.short_value, h.long_value)) i (item)
         WHERE jsonb_typeof(coalesce(h.short_value, h.long_value)) IN ('array', 'object')
      )
      SELECT i.entity_id::text AS entity,
             format(CASE WHEN sum(i.has) > 0 THEN 'cannot be found by an item that it had over %s, %s (key %s)'
                         ELSE 'is found by an item that it had not over %s, %s (key %s)' END, i.vclock, i.effective, i.item) AS what
        FROM (
          SELECT h.entity_id, h.item, h.vclock, CASE WHEN first.at > last.at THEN NULL ELSE tstzrange(first.at, last.at) END AS effective, 1 AS has
            FROM (SELECT h.entity_id, h.item, unnest(range_agg(h.vclock)) AS vclock FROM held h GROUP BY h.entity_id, h.item) h
            LEFT JOIN clocktick.tick first ON first.entity_id = h.entity_id AND first.tick = lower(h.vclock)
            LEFT JOIN clocktick.tick last ON last.entity_id = h.entity_id AND last.tick = upper(h.vclock)
          UNION ALL
          SELECT i.entity_id, i.item, i.vclock, i.effective, -1 FROM clocktick.item_history i
        ) i
       GROUP BY i.entity_id, i.item, i.vclock, i.effective HAVING sum(i.has) <> 0`,
  },
  {
    name: 'no-children',
    statement: (sql) => sql`
      SELECT NULL AS entity, format('%s inherits from %s: its rows pass for ours, and no guard looks at them', i.inhrelid::regclass, i.inhparent::regclass) AS what
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent
       WHERE c.relnamespace = 'clocktick'::regnamespace AND c.relkind IN ('r', 'p')`,
  },
  {
    name: 'grants',
    // Whoever may put a trigger on a table, or write one, forges by the next write of the service.
    statement: (sql) => sql`
      WITH object AS (
        SELECT 'schema clocktick' AS name, n.nspowner AS owner, n.nspacl AS acl FROM pg_namespace n WHERE n.nspname = 'clocktick'
        UNION ALL
        SELECT format('%s', c.oid::regclass), c.relowner, c.relacl
          FROM pg_class c
         WHERE c.relnamespace = 'clocktick'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
        UNION ALL
        SELECT format('%s.%I', c.oid::regclass, a.attname), c.relowner, a.attacl
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'clocktick'::regnamespace AND a.attnum > 0
        UNION ALL
        SELECT format('%s', p.oid::regprocedure), p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
          FROM pg_proc p
         WHERE p.pronamespace = 'clocktick'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
      )
      SELECT NULL AS entity,
             format('%s: %s on %s', CASE a.grantee WHEN 0 THEN 'everybody' ELSE pg_get_userbyid(a.grantee)::text END, a.privilege_type, o.name) AS what
        FROM object o CROSS JOIN LATERAL aclexplode(o.acl) a
       WHERE a.grantee = 0
          OR a.grantee <> o.owner AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES', 'CREATE')`,
  },
  {
    name: 'one-owner',
    statement: (sql) => sql`
      SELECT NULL AS entity, format('%s belongs to %I, not to %I', o.name, pg_get_userbyid(o.owner), pg_get_userbyid(e.relowner)) AS what
        FROM (SELECT format('%s', c.oid::regclass) AS name, c.relowner AS owner FROM pg_class c
               WHERE c.relnamespace = 'clocktick'::regnamespace
                 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
              UNION ALL
              SELECT format('%s', p.oid::regprocedure), p.proowner FROM pg_proc p
               WHERE p.pronamespace = 'clocktick'::regnamespace
                 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')) o
        JOIN pg_class e ON e.oid = 'clocktick.entity'::regclass
       WHERE o.owner <> e.relowner`,
  },
];

/** The check that is no statement: what the schema is, beside what it must be. */
const AS_DEFINED = 'as-defined';

/** The names of all checks, in their order. */
export const CHECK_NAMES: readonly string[] = [AS_DEFINED, ...CHECKS.map(({ name }) => name)];

/** What a check found: some of it, and how much there is. */
export type Checked = { check: string; findings: Finding[]; count: number };

/**
 * Looks for forgeries in the whole database, at one moment of it: one check after the other. It writes nothing, and holds up nobody.
 * @param most how many findings of a check are given; the others are counted
 * @throws Unfit when the database is not what this program needs, or when the role may not read it
 */
export async function* verifyDatabase(url: string, most: number): AsyncGenerator<Checked> {
  const connection = connectOnce(url, {
    onnotice: () => {},
    connect_timeout: 10,
    fetch_types: false,
    connection: {
      ...SEARCH_PATH,
      application_name: 'clocktick verify',
      TimeZone: 'UTC',
      DateStyle: 'ISO',
      // Compiling these statements takes longer than they do, unless the database is very large.
      jit: 'off',
    },
  });
  try {
    await connection.during(async (sql) => {
      await sql`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`;
      // It takes as long as it takes, whatever the database or the role says.
      await sql`SET LOCAL statement_timeout = 0`;
      await sql`SET LOCAL idle_in_transaction_session_timeout = 0`;
      await requireCurrent(sql);
    });
    yield await connection.during(async (sql) => differing(sql, most));
    for (const { name, statement } of CHECKS) {
      const found = await connection.during((sql) => findingsOf(sql, statement(sql), most));
      const findings = found.map(({ entity, what }) => ({ entity, what }));
      yield { check: name, findings, count: found[0]?.count ?? 0 };
    }
  } finally {
    await connection.end();
  }
}

/** The findings of a check. That it stumbled over what is stored (properties that are no object, say) is one, too. */
async function findingsOf(sql: Sql, statement: Fragment, most: number): Promise<(Finding & { count: number })[]> {
  await sql`SAVEPOINT before_check`;
  try {
    return await sql<(Finding & { count: number })[]>`
      SELECT found.entity, found.what, count(*) OVER ()::int4 AS count FROM (${statement}) found LIMIT ${most}`;
  } catch (error) {
    if (!(error instanceof postgres.PostgresError && error.code.startsWith('22'))) throw error;
    await sql`ROLLBACK TO before_check`;
    return [{ entity: null, what: `what is stored cannot even be read: ${error.message}`, count: 1 }];
  }
}

/** What of the schema is not as the files of drizzle/ make it. */
async function differing(sql: Sql, most: number): Promise<Checked> {
  const expected = new Map((await expectedCatalogue()).map(({ object, text }) => [object, text]));
  const held = new Map((await readCatalogue(sql)).map(({ object, text }) => [object, text]));
  const findings = [
    ...[...expected.keys()].filter((object) => !held.has(object)).map((object) => `${object} is missing`),
    ...[...held.keys()].filter((object) => !expected.has(object)).map((object) => `${object} is none of ours`),
    ...[...held]
      .filter(([object, text]) => (expected.get(object) ?? text) !== text)
      .map(([object, text]) =>
        object.startsWith('function ')
          ? `${object} does not do what it did when it was made`
          : `${object} is not as it was made, but: ${text.replaceAll(/\s+/g, ' ')}`,
      ),
  ].map((what) => ({ entity: null, what }));
  return { check: AS_DEFINED, findings: findings.slice(0, most), count: findings.length };
}
