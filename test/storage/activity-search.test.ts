import type postgres from 'postgres';
import t from 'tap';
import { type ActivityPlace, type ActivitySearch, searchActivities } from '../../src/storage/activity-search.js';
import type { Storage } from '../../src/storage/storage.js';
import { newId } from '../../src/temporal/identity.js';
import { testDatabase } from '../helper/database.js';
import { vacuum } from '../helper/in-bulk.js';
import { entitiesOf, MANY, manyActivities, recordedAt } from '../helper/many-activities.js';
import { explain, watchedStorage } from '../helper/plans.js';

const ACTIVITIES = 20_000;
const NOTHING: ActivitySearch = {
  actor: null,
  actorPrefix: null,
  reason: null,
  from: null,
  to: null,
  importId: null,
  type: null,
  entityId: null,
  properties: null,
};

/** All that a search finds, page by page, and how many pages that took. */
async function walk(db: Storage, search: ActivitySearch, limit: number): Promise<{ ids: string[]; pages: number }> {
  const ids: string[] = [];
  let after: ActivityPlace | null = null;
  for (let pages = 1; ; pages++) {
    const page = await searchActivities(db, search, { after, limit });
    ids.push(...page.activities.map(({ id }) => id));
    if (!page.next) return { ids, pages };
    after = page.next;
  }
}

/** What it must find: by going through everything. */
async function expected(sql: postgres.Sql, search: ActivitySearch): Promise<string[]> {
  const { actor, actorPrefix, reason, from, to, type, entityId, properties } = search;
  const words = reason?.toLowerCase().split(' ') ?? [];
  const rows = await sql<{ id: string }[]>`
    SELECT a.id FROM clocktick.activity a
     WHERE (${actor}::text IS NULL OR a.actor = ${actor})
       AND (${actorPrefix}::text IS NULL OR starts_with(a.actor, ${actorPrefix}))
       AND regexp_split_to_array(lower(coalesce(a.reason, '')), '[^a-z0-9]+') @> ${words}::text[]
       AND (${from}::timestamptz IS NULL OR a.recorded_at >= ${from}) AND (${to}::timestamptz IS NULL OR a.recorded_at < ${to})
       AND (${type}::text IS NULL AND ${entityId}::uuid IS NULL
            OR a.id IN (SELECT t.activity_id FROM clocktick.tick t
                         WHERE (${type}::text IS NULL OR t.type = ${type}) AND (${entityId}::uuid IS NULL OR t.entity_id = ${entityId})
                           AND (${properties === null} OR EXISTS (
                                SELECT FROM clocktick.property_history h
                                 WHERE h.entity_id = t.entity_id AND h.property = ANY (${properties ?? []}::text[])
                                   AND t.tick IN (lower(h.vclock), upper(h.vclock))
                                UNION ALL
                                SELECT FROM clocktick.entity e CROSS JOIN LATERAL jsonb_object_keys(e.properties) p
                                 WHERE e.id = t.entity_id AND p = ANY (${properties ?? []}::text[])
                                   AND coalesce((e.since ->> p)::int, 1) = t.tick))))
     ORDER BY a.recorded_at DESC, a.id DESC`;
  return rows.map(({ id }) => id);
}

t.test(
  'among many activities a search finds what going through all does, only by index, in a bounded number of buffers',
  async (t) => {
    const { serviceUrl, storage, sql } = await testDatabase(t);
    for (const table of ['activity', 'entity', 'tick', 'property_history'])
      await sql`ALTER TABLE ${sql(`clocktick.${table}`)} SET (autovacuum_enabled = off)`;
    const watched = await watchedStorage(serviceUrl);
    t.teardown(watched.close);
    const sentFor = async (search: ActivitySearch) => {
      const [statement, ...others] = await watched.sentBy((db) =>
        searchActivities(db, search, { after: null, limit: 100 }),
      );
      if (!statement || others.length > 0) throw new Error('a search is one statement');
      return statement;
    };
    // By which ways it goes where nothing is known of the tables but that they are empty.
    await vacuum(sql);
    const early = new Map<string, string[]>();
    const remember = async (search: ActivitySearch) => {
      const statement = await sentFor(search);
      const { scans } = await explain(sql, statement, 'force_generic_plan', statement.settings);
      early.set(statement.text, scans);
    };
    const id = newId();
    for (const some of [
      {},
      { from: recordedAt(1) },
      { actor: 'a' },
      { actorPrefix: 'a' },
      { reason: 'a' },
      { entityId: id },
    ])
      for (const also of [
        {},
        { type: 'a' },
        { type: 'a', properties: ['a'] },
        { reason: 'b' },
        { entityId: id, properties: ['a'] },
      ])
        await remember({ ...NOTHING, ...some, ...also });
    await manyActivities(sql, ACTIVITIES, 6_000);
    const idOf = async (label: string) => {
      const [type = '', key = ''] = label.split(':');
      const [row] = await sql<{ id: string }[]>`SELECT id FROM clocktick.entity WHERE type = ${type} AND key = ${key}`;
      return row?.id ?? '';
    };
    const [hot, warm] = [await idOf(MANY.hot), await idOf(MANY.warm)];
    const cold = await idOf(MANY.cold(entitiesOf(ACTIVITIES)));
    const week = { from: recordedAt(10_000), to: recordedAt(14_000) };

    /** Which search; how many it finds, at least; how many pages of 1,000 that takes, at most; and how many buffers one of 100 takes, at most. */
    const cases: [name: string, search: Partial<ActivitySearch>, least: number, pages: number, buffers: number][] = [
      ['all', {}, ACTIVITIES, 21, 600],
      ['a window', week, 4_000, 5, 600],
      ['an actor who made many', { actor: MANY.busy }, 5_000, 8, 600],
      ['an actor who made few', { actor: `${MANY.users}399` }, 1, 1, 100],
      ['nobody', { actor: 'nobody' }, 0, 1, 20],
      ['a team', { actorPrefix: MANY.team }, 2_000, 5, 1_800],
      ['a team in a window', { actorPrefix: MANY.team, ...week }, 400, 2, 1_800],
      // They are looked at up to where the first of them ends that has more.
      [
        'one who made many and one who made few, and a property',
        { actorPrefix: MANY.services, type: 'order', properties: [MANY.property] },
        100,
        3,
        80_000,
      ],
      ['no team', { actorPrefix: 'nobody' }, 0, 1, 20],
      ['of more actors than are gone through one by one', { actorPrefix: MANY.users }, 8_000, 14, 2_000],
      ['a common word', { reason: MANY.common }, 10_000, 15, 1_500],
      ['a seldom word', { reason: MANY.seldom }, 100, 1, 1_500],
      ['a word of one', { reason: MANY.once }, 1, 1, 100],
      ['no word', { reason: 'nothing' }, 0, 1, 60],
      ['two words', { reason: `${MANY.seldom} correction` }, 30, 1, 1_500],
      ['an entity that changed often', { entityId: hot }, 5_001, 8, 12_000],
      ['an entity that changed now and then', { entityId: warm }, 100, 1, 3_000],
      ['an entity that changed seldom', { entityId: cold }, 1, 1, 100],
      ['a common type', { type: 'customer' }, 10_000, 20, 3_000],
      ['a rare type', { type: MANY.rareType }, 10, 3, 80_000],
      ['a property of an entity', { entityId: warm, properties: [MANY.property] }, 10, 1, 10_000],
      ['a property of an entity that changed often', { entityId: hot, properties: [MANY.property] }, 500, 3, 60_000],
      ['a property of a type', { type: 'order', properties: [MANY.property] }, 200, 3, 90_000],
      [
        'all of it',
        { actorPrefix: MANY.team, reason: MANY.common, ...week, type: 'customer', properties: ['p1', 'p2'] },
        20,
        2,
        30_000,
      ],
      ['words and an entity', { reason: MANY.common, entityId: warm }, 50, 1, 3_000],
      ['seldom words and an entity that changed often', { reason: MANY.seldom, entityId: hot }, 30, 1, 12_000],
      ['a seldom word of a rare actor', { reason: MANY.seldom, actor: `${MANY.users}0` }, 1, 1, 3_000],
    ];

    for (const [name, asked, least, pages, most] of cases) {
      const search = { ...NOTHING, ...asked };
      const all = await expected(sql, search);
      t.ok(all.length >= least, `${name}: ${all.length} activities, at least ${least}`);
      const found = await walk(storage, search, 1_000);
      t.same(found.ids, all, name);
      t.ok(found.pages <= pages, `${name}: ${found.pages} pages, at most ${pages}`);

      const statement = await sentFor(search);
      for (const mode of ['force_custom_plan', 'force_generic_plan'] as const) {
        const plan = await explain(sql, statement, mode, statement.settings);
        t.ok(plan.buffers <= most, `${name} (${mode}): ${plan.buffers} buffers, at most ${most}`, {
          scans: plan.scans,
        });
        t.same(
          plan.scans.filter((scan) => !scan.startsWith('Index')),
          [],
          `${name} (${mode}): only by index`,
        );
        const before = early.get(statement.text);
        if (before) t.same(plan.scans, before, `${name} (${mode}): as while the tables were empty`);
      }
    }
  },
);

t.test('a reason and what is asked are separated into words alike, whatever stands between', async (t) => {
  const { sql } = await testDatabase(t);
  const differing = await sql`
    SELECT n FROM generate_series(1, 65535) n
     WHERE NOT n BETWEEN 55296 AND 57343
       AND NOT clocktick.words('a' || chr(n) || 'b') @@ clocktick.words_asked('a' || chr(n) || 'b')`;
  t.same([...differing], []);
});
