import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import t, { type Test } from 'tap';
import { buildApp } from '../../src/app.js';
import type { Json, JsonObject } from '../../src/temporal/json.js';
import { testDatabase } from '../helper/database.js';
import { same } from '../helper/model.js';
import { list, object, testService, text } from '../helper/service.js';
import { playSteps } from '../helper/steps.js';
import { findingsOf } from '../helper/verified.js';
import { type Commit, readHistory, type Step } from '../replay/history.js';
import { keysOf, readsOf, refuseExisting, replay, verify } from '../replay/replay.js';
import { type Service, serviceAt } from '../replay/service.js';

t.test('who lived where when: Dave, Rachel and Will', async (t) => {
  const { call } = await testService(t);
  const steps: [key: string, change: JsonObject][] = [
    ['dave', { name: 'Dave', location: 'Oakland' }],
    ['rachel', { name: 'Rachel', location: 'New York' }],
    ['will', { name: 'Will', location: 'New York' }],
    ['rachel', { location: 'San Francisco' }],
    ['will', { location: 'Tucson', name: 'William' }],
    ['dave', { location: 'New York' }],
    ['rachel', { name: 'Rachel Green' }],
    ['will', { location: null }],
    ['dave', { location: 'Oakland' }],
    ['will', { location: 'Oakland', name: 'Will' }],
  ];
  const friends = ['dave', 'rachel', 'will'];

  /** What the story says, told without the service: everybody's state after each step. */
  const told: { at: string; states: Map<string, JsonObject> }[] = [];
  let states = new Map<string, JsonObject>();
  for (const [key, change] of steps) {
    const before = states.get(key);
    const answer = before
      ? await call('PATCH', `/entities/friend:${key}`, { properties: change, activity: { actor: key, reason: 'life' } })
      : await call('POST', '/entities', { type: 'friend', key, properties: change });
    t.equal(answer.status, before ? 200 : 201);
    const after = Object.fromEntries(Object.entries({ ...before, ...change }).filter(([, value]) => value !== null));
    states = new Map(states).set(key, after);
    told.push({ at: text(answer.body.updatedAt), states });
  }

  for (const { at, states: then } of told) {
    for (const key of friends) {
      const answer = await call('GET', `/entities/friend:${key}?asOf=${at}`);
      if (then.has(key)) t.same(answer.body.properties, then.get(key), `${key} as of ${at}`);
      else t.equal(answer.status, 404, `${key} as of ${at}`);
    }
  }

  const lives = async (key: string) => {
    const { body } = await call('GET', `/entities/friend:${key}/history/location`);
    return list(body.items).map(object);
  };
  t.same(
    (await lives('rachel')).map((item) => item.value),
    ['New York', 'San Francisco'],
    'T46: in guaranteed order',
  );
  t.same(
    (await lives('will')).map((item) => item.value),
    ['New York', 'Tucson', 'Oakland'],
  );
  t.same(
    (await lives('dave')).map((item) => item.value),
    ['Oakland', 'New York', 'Oakland'],
  );

  for (const { at, states: then } of told) {
    for (const place of ['Oakland', 'New York', 'Tucson', 'San Francisco']) {
      const inhabitants = [];
      for (const key of friends) {
        const there = (await lives(key)).some(({ value, effective }) => {
          const { from, to } = object(effective);
          return value === place && text(from) <= at && (to === null || at < text(to));
        });
        if (there) inhabitants.push(key);
      }
      t.same(
        inhabitants,
        friends.filter((key) => then.get(key)?.location === place),
        `in ${place} as of ${at}`,
      );
    }
  }
});

/** The whole history, where it is at hand: 228 commits to 250 countries (mledoze/countries, ODbL), one a line, gzipped. */
const WHOLE = process.env.COUNTRIES_HISTORY;
/** Invented countries in the same shape. */
const SAMPLE = fileURLToPath(new URL('../fixtures/countries-sample.ndjson.gz', import.meta.url));

t.test('a history of countries, replayed', async (t) => {
  const { app, serviceUrl } = await testService(t);
  await replayed(t, app, SAMPLE, { commits: 12, ticks: 52 });
  t.same(await findingsOf(serviceUrl), [], '`clocktick verify` finds nothing');
});

t.test(
  'all 228 commits to 250 countries, replayed',
  { skip: WHOLE ? false : 'COUNTRIES_HISTORY names no file' },
  async (t) => {
    // Without the helper's check of every answer against its schema, a sixth of the time: the sample has the same answers.
    // With conditions required: the sample goes without.
    const { storage, serviceUrl } = await testDatabase(t);
    const app = await buildApp({ storage, rules: { requireCondition: true }, logger: false });
    t.teardown(() => app.close());
    const url = await replayed(t, app, WHOLE ?? '', { commits: 228, ticks: 14_545 });
    const section = { file: 'src/guide/tour.md', heading: 'Asking the past' };
    const { steps } = await playSteps(section, url, (answer, wanted, what) => t.equal(answer, wanted, what));
    t.equal(steps, 4, 'and what the tour asks is answered as it says');
    t.same(await findingsOf(serviceUrl), [], '`clocktick verify` finds nothing');
  },
);

/** Replays commits over HTTP as `npm run replay:countries` does; then everything read back must be what the data says. */
async function replayed(
  t: Test,
  app: FastifyInstance,
  file: string,
  { commits, ticks }: { commits: number; ticks: number },
): Promise<string> {
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const service = serviceAt(url);
  const target = { service, type: 'country' };
  const history = await readHistory(file);
  t.equal(history.length, commits);

  let written = 0;
  const start = performance.now();
  await refuseExisting(target, history);
  const activities = await replay(target, history, ({ requests }) => {
    written = requests;
  });
  t.equal(written, ticks);
  const between = performance.now();
  let read = 0;
  const differences = await verify(target, history, activities, ({ requests }) => {
    read = requests;
  });
  t.same(differences, [], `each of ${ticks} states, as of its tick, is what the data says`);
  t.equal(read, readsOf(history));
  const seconds = (ms: number) => (ms / 1000).toFixed(1);
  t.comment(`written in ${seconds(between - start)} s, read in ${seconds(performance.now() - between)} s`);

  const [last] = [...keysOf(history)].slice(-1);
  const { body } = await service({ method: 'GET', path: `entities/country:${last}/history?limit=1000` });
  t.same(
    list(body.items).map((item) => object(object(item).activity).id),
    history.flatMap(({ steps }, index) => (steps.some(({ key }) => key === last) ? [activities[index]] : [])),
    'who and why stand with each tick',
  );
  await t.rejects(refuseExisting(target, history), { message: /exists already/ }, 'once is enough');
  await asked(t, service, history, activities);
  return url;
}

/**
 * Who had a currency when, since which commit and until which: for all countries at once, as the commits say; and of each
 * currency those that had it as of each instant at which one changed.
 */
async function asked(
  t: Test,
  service: Service,
  history: readonly Commit[],
  activities: readonly string[],
): Promise<void> {
  const get = async (path: string, parameters: Record<string, string>) =>
    (await service({ method: 'GET', path: `${path}?${new URLSearchParams(parameters)}` })).body;
  /** By country, what it had after which commits. */
  const wanted = new Map<string, { commit: number; value: Json }[]>();
  for (const [commit, { steps }] of history.entries()) {
    for (const { key, properties } of steps) {
      const had = wanted.get(key) ?? [];
      wanted.set(key, had);
      const value = properties?.currency ?? null;
      if (!same(had.at(-1)?.value ?? null, value)) had.push({ commit, value });
    }
  }
  const ranges: JsonObject[] = [];
  for (let cursor: string | undefined; ranges.length === 0 || cursor !== undefined; ) {
    const page = await get('types/country/history/currency', {
      limit: '100',
      ...(cursor === undefined ? {} : { cursor }),
    });
    ranges.push(...list(page.items).map(object));
    cursor = typeof page.next === 'string' ? page.next : undefined;
  }
  const keyed = (key: string) => ranges.filter((range) => range.key === key);
  for (const [key, had] of wanted) {
    t.same(
      keyed(key).map((range) => [range.value, object(range.activity).id]),
      had.filter(({ value }) => value !== null).map(({ commit, value }) => [value, activities[commit]]),
      `${key}: what it had, and by which commit`,
    );
  }
  const instants = [...new Set(ranges.flatMap(({ effective }) => Object.values(object(effective))))].flatMap((at) =>
    typeof at === 'string' ? [at] : [],
  );
  const holds = (value: Json, currency: string) =>
    value === currency || (Array.isArray(value) && value.includes(currency));
  const currencies = ['EUR', 'USD', 'LTL', 'AAA', 'ATD'];
  for (const at of instants.toSorted().filter((_, n) => n % Math.ceil(instants.length / 10) === 0)) {
    const then = ranges.filter(({ effective }) => {
      const { from, to } = object(effective);
      return text(from) <= at && (to === null || text(to) > at);
    });
    for (const currency of currencies) {
      const found: string[] = [];
      for (const where of [{ currency }, { currency: { has: currency } }]) {
        const { items } = await get('entities', {
          type: 'country',
          where: JSON.stringify(where),
          asOf: at,
          limit: '1000',
        });
        found.push(...list(items).map((item) => text(object(item).key)));
      }
      const due = then.filter(({ value }) => value !== undefined && holds(value, currency)).map(({ key }) => text(key));
      t.same(found.toSorted(), due.toSorted(), `${currency} as of ${at}`);
    }
    const { items } = await get('types/country/counts/currency', { at });
    t.equal(object(list(items)[0] ?? null).entities, then.length);
  }
}

t.test('a replay finds what differs', async (t) => {
  const { app, call } = await testService(t);
  const target = { service: serviceAt(await app.listen({ port: 0, host: '127.0.0.1' })), type: 'country' };
  const history = await readHistory(SAMPLE);
  const activities = await replay(target, history, () => {});
  const verified = (commits: Commit[], ids = activities) => verify(target, commits, ids, () => {});
  const withStep = (index: number, change: (step: Step) => Step) =>
    history.map((commit, at) => (at === index ? { ...commit, steps: commit.steps.map(change) } : commit));

  const other = withStep(6, (step) =>
    step.key === 'UTO' ? { ...step, properties: { ...step.properties, area: 1 } } : step,
  );
  t.same(await verified(other), ['country:UTO as of tick 5: "area" is 6003, by the data 1']);
  const more = withStep(6, (step) =>
    step.key === 'UTO' ? { ...step, properties: { ...step.properties, none: null } } : step,
  );
  t.same(await verified(more), ['country:UTO as of tick 5: "none" is not there, by the data null']);
  const alive = withStep(4, (step) => ({ ...step, properties: {} }));
  t.match(await verified(alive), [/^country:ATL as of tick 5: 410 entity_deleted, .*; by the data it is 200$/]);
  const gone = withStep(5, (step) => ({ ...step, properties: null }));
  t.same(await verified(gone), ['country:ATL as of tick 6: 200; by the data it is 410']);
  const fewer = withStep(1, (step) => step).with(1, { ...elementOf(history, 1), steps: [] });
  t.match(await verified(fewer), [/"names become objects".*lists country:\w+ updated at 2, which by the data/]);
  const someoneElse = history.with(2, { ...elementOf(history, 2), activity: { actor: 'Nobody' } });
  t.match(await verified(someoneElse), [/^activity .*who and why are .*"Plato".*by the data .*"Nobody"/]);
  const swapped = activities.with(10, elementOf(activities, 9)).with(9, elementOf(activities, 10));
  t.equal((await verified(history, swapped)).length, 2);

  await call('PATCH', '/entities/country:OZX', { properties: { area: 0 } });
  t.same(await verified(history), ['country:OZX now: it is at tick 11, by the data at 10']);
});

function elementOf<Item>(items: readonly Item[], index: number): Item {
  const item = items[index];
  if (item === undefined) throw new Error(`no element ${index}`);
  return item;
}
