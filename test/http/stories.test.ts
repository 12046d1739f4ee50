import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createGunzip } from 'node:zlib';
import t, { type Test } from 'tap';
import { isObject, type Json, type JsonObject, jsonEqual } from '../../src/temporal/json.js';
import { type Call, list, object, testService, text } from '../helper/service.js';

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

/** A commit of the countries' history. */
type Commit = {
  actor: string;
  reason: string;
  changes: (
    | { op: 'create'; key: string; properties: JsonObject }
    | { op: 'update'; key: string; set?: JsonObject; clear?: string[] }
    | { op: 'delete'; key: string }
  )[];
};

/** The whole history, where it is at hand: 228 commits to 250 countries (mledoze/countries, ODbL), one a line, gzipped. */
const WHOLE = process.env.COUNTRIES_HISTORY;
/** Invented countries in the same shape. */
const SAMPLE = fileURLToPath(new URL('../fixtures/countries-sample.ndjson.gz', import.meta.url));

/**
 * The merge patch that replaces `before` by `after` whole: a patch merges objects, so what is gone has to be named.
 * A null inside an object cannot be said by a merge patch; the data has none.
 */
function replacement(before: Json | undefined, after: Json): Json {
  if (!isObject(after)) return after;
  const old = isObject(before) ? before : {};
  const gone = Object.keys(old).filter((name) => !Object.hasOwn(after, name));
  return Object.fromEntries([
    ...Object.entries(after).map(([name, value]) => [name, replacement(old[name], value)] as const),
    ...gone.map((name) => [name, null] as const),
  ]);
}

async function replay(call: Call, changes: Commit['changes'], activity: JsonObject, now: Map<string, JsonObject>) {
  return Promise.all(
    changes.map(async (change) => {
      const url = `/entities/country:${change.key}`;
      const before = now.get(change.key) ?? {};
      switch (change.op) {
        case 'create':
          return call('POST', '/entities', {
            type: 'country',
            key: change.key,
            properties: change.properties,
            activity,
          });
        case 'delete':
          return call('DELETE', url);
        case 'update': {
          const set = Object.entries(change.set ?? {}).map(
            ([name, value]) => [name, replacement(before[name], value)] as const,
          );
          const clear = (change.clear ?? []).map((name) => [name, null] as const);
          return call('PATCH', url, { properties: Object.fromEntries([...set, ...clear]), activity });
        }
      }
    }),
  );
}

t.test('a history of countries, replayed', (t) => replayed(t, SAMPLE, 12));

t.test(
  'the first hundred commits to 250 countries, replayed',
  { skip: WHOLE ? false : 'COUNTRIES_HISTORY names no file' },
  (t) => replayed(t, WHOLE ?? '', 100),
);

/** Replays commits as a client would; then each country, as of each of its ticks, must be what the data says. */
async function replayed(t: Test, data: string, most: number): Promise<void> {
  const { call } = await testService(t);
  const lines = createInterface({ input: createReadStream(data).pipe(createGunzip()) });
  const now = new Map<string, JsonObject>();
  const expected: { key: string; tick: Json | undefined; properties: JsonObject | null }[] = [];
  let commits = 0;
  for await (const line of lines) {
    if (commits === most) break;
    commits++;
    const { actor, reason, changes }: Commit = JSON.parse(line);
    const answers = await replay(call, changes, { actor, reason }, now);
    for (const [index, change] of changes.entries()) {
      const answer = answers[index];
      const { key } = change;
      if (change.op === 'create') now.set(key, change.properties);
      if (change.op === 'update') {
        const kept = Object.entries(now.get(key) ?? {}).filter(([name]) => !change.clear?.includes(name));
        now.set(key, Object.fromEntries([...kept, ...Object.entries(change.set ?? {})]));
      }
      if (change.op === 'delete') now.delete(key);
      const status = change.op === 'create' ? 201 : change.op === 'update' ? 200 : 204;
      if (answer?.status !== status) t.fail(`${change.op} ${key}: ${answer?.status} ${answer?.text}`);
      const tick = Number(answer?.headers.etag?.replaceAll('"', ''));
      expected.push({ key, tick, properties: now.get(key) ?? null });
    }
  }
  t.equal(commits, most);

  let wrong = 0;
  for (const { key, tick, properties } of expected) {
    const answer = await call('GET', `/entities/country:${key}?asOf=${tick}`);
    if (properties ? !jsonEqual(answer.body.properties, properties) : answer.status !== 410) {
      if (++wrong < 5) t.fail(`${key} as of tick ${tick}: ${answer.text.slice(0, 200)}`);
    }
  }
  t.equal(wrong, 0, `each of ${expected.length} states, as of its tick, is what the data says`);
  for (const [key, properties] of now) {
    const answer = await call('GET', `/entities/country:${key}`);
    t.ok(jsonEqual(answer.body.properties, properties), `${key} now`);
  }
  const [last] = [...now.keys()];
  const history = await call('GET', `/entities/country:${last}/history?limit=1000`);
  t.ok(
    list(history.body.items).every((item) => text(object(object(item).activity).actor) !== ''),
    'who and why stand with each',
  );
}
