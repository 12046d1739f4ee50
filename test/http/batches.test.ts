import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { openStorage } from '../../src/storage/open.js';
import { idOfKey } from '../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../src/temporal/json.js';
import { until } from '../helper/embedded.js';
import { type Answer, type Call, list, object, problem, serve, testService, text } from '../helper/service.js';

/*
 * Many batches at once, by two instances over one database, on the same few entities, each in an order of its own: none waits for another that
 * waits for it, each is wholly there or wholly absent, and nothing is lost.
 */

const { call, app, sql, hand, serviceUrl } = await testService(t);
const second = openStorage(serviceUrl);
t.teardown(() => second.close());
const other = await serve(t, second);
const calls: readonly Call[] = [call, other.call];
const through = (n: number): Call => calls[n % calls.length] ?? call;

/** BATCHES=200 sends more at once. */
const BATCHES = Number(process.env.BATCHES ?? 80);
const keysOf = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `${prefix}${n}`);
const on = (op: string, id: string, more: JsonObject = {}): JsonObject => ({ op, id, ...more });
const patch = (id: string, properties: JsonObject, more: JsonObject = {}) => on('patch', id, { properties, ...more });
const put = (key: string, properties: JsonObject, type = 'thing') => on('put', `${type}:${key}`, { type, properties });
const idOf = (key: string) => idOfKey('thing', key);
const batch = (call: Call, operations: Json[], more: JsonObject = {}) =>
  call('POST', '/batch', { operations, ...more });

/** Imports patches of entities. The body is the problem that ended it, if one did. */
async function importing(n: number, ids: readonly string[], properties: JsonObject): Promise<Answer> {
  const lines = ids.map((id) => {
    const [type = '', key = ''] = id.split(':');
    return `${JSON.stringify({ op: 'patch', type, key, properties })}\n`;
  });
  const { statusCode, body } = await (n % 2 === 0 ? app : other.app).inject({
    method: 'POST',
    url: `/import?source=s${n}&wait=60`,
    payload: lines.join(''),
    headers: { 'content-type': 'application/x-ndjson' },
  });
  const last: Json = JSON.parse(body.trimEnd().split('\n').at(-1) ?? '');
  const { status = null, problem = last } = object(last);
  return { status: statusCode, headers: {}, text: body, body: status === 'done' ? {} : object(problem) };
}

/** Some of these, each time others and in another order. */
const someOf = (keys: readonly string[], seed: number, maxLength = 6): string[] => {
  const drawn = fc.shuffledSubarray([...keys], { minLength: 2, maxLength });
  return fc.sample(drawn, { seed, numRuns: 1 }).flat();
};

/** How each was answered, as `200` or `503 too_many_writers`, and how often. */
function endsOf(answers: readonly Answer[]): Record<string, number> {
  const ends = new Map<string, number>();
  for (const { status, body } of answers) {
    const end = typeof body.code === 'string' ? `${status} ${body.code}` : String(status);
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  return Object.fromEntries(ends);
}

/** The instants of the ticks of an entity. */
async function instantsOf(id: string): Promise<string[]> {
  const { body } = await call('GET', `/entities/${id}/history?limit=1000`);
  return list(body.items).map((tick) => text(object(tick).at));
}

/** The properties of entities as of an instant; of those that are there. */
async function asOf(ids: readonly string[], instant: string): Promise<JsonObject[]> {
  const { body } = await call('GET', `/entities?ids=${ids.join(',')}&asOf=${instant}`);
  return list(body.items).map((item) => ({ ...object(object(item).properties), key: object(item).key ?? null }));
}

t.test(`${BATCHES} batches at once over twelve entities: all are written, each wholly at its instant`, async (t) => {
  const keys = keysOf('e', 12);
  await batch(
    call,
    keys.map((key) => put(key, {})),
  );
  const sent = Array.from({ length: BATCHES }, (_, n) => ({ name: `w${n}`, keys: someOf(keys, n) }));
  const answers = await Promise.all(
    sent.map(({ name, keys }, n) =>
      batch(
        through(n),
        keys.map((key) => patch(`thing:${key}`, { [name]: n })),
      ),
    ),
  );
  t.same(endsOf(answers), { 200: BATCHES }, 'no caller is told of a deadlock, nor of too many writers');
  const instants = answers.map(({ body }) => text(body.at));
  const halves: string[] = [];
  for (const instant of instants) {
    const states = await asOf(
      keys.map((key) => `thing:${key}`),
      instant,
    );
    for (const { name, keys } of sent) {
      const named = states.filter(({ key = null }) => keys.includes(text(key)));
      if (new Set(named.map((state) => name in state)).size > 1) halves.push(`${name} at ${instant}`);
    }
  }
  t.same(halves, [], 'none is half there at any of these instants');
  const now = await asOf(
    keys.map((key) => `thing:${key}`),
    instants.toSorted().at(-1) ?? '',
  );
  const lost = sent.filter(({ name, keys }) => now.some((state) => keys.includes(text(state.key)) && !(name in state)));
  t.same(lost, [], 'nothing is lost');
});

t.test('batches that make the same entities at once: each is born once, and no batch is lost', async (t) => {
  const keys = keysOf('born', 10);
  const sent = Array.from({ length: 60 }, (_, n) => someOf(keys, n));
  const answers = await Promise.all(
    sent.map((keys, n) =>
      batch(
        through(n),
        keys.map((key) => put(key, { n })),
      ),
    ),
  );
  t.same(endsOf(answers), { 200: sent.length });
  for (const key of keys) {
    const due = answers.flatMap(({ body }, n) => (sent[n]?.includes(key) ? [text(body.at)] : []));
    t.same(await instantsOf(`thing:${key}`), due.toSorted(), `${key} has a tick of each`);
  }
});

t.test('an entity that a batch need not change is compared as well, with its condition', async (t) => {
  const cases: [
    what: string,
    operations: (changes: string, stays: string) => Json[],
    later: JsonObject,
    end: JsonObject,
  ][] = [
    [
      'ifMatch of what stays as it is',
      (changes, stays) => [patch(stays, {}, { ifMatch: 1 }), patch(changes, { n: 2 })],
      { properties: { m: 1 } },
      problem(412, 'precondition_failed', { tick: 2 }),
    ],
    [
      'what has the value already',
      (changes, stays) => [patch(stays, { n: 1 }), patch(changes, { n: 2 })],
      { properties: { n: 7 } },
      { status: 200, body: { items: [{ op: 'updated', tick: 3 }, { op: 'updated' }] } },
    ],
    [
      'a test of a JSON Patch',
      (changes, stays) => [
        on('patch', stays, { patch: [{ op: 'test', path: '/properties/n', value: 1 }] }),
        patch(changes, { n: 2 }),
      ],
      { properties: { n: 7 } },
      problem(409, 'patch_test_failed'),
    ],
  ];
  for (const [n, [what, operations, later, end]] of cases.entries()) {
    // Rows are locked in the order of their ids: the batch waits for the first, and nothing keeps others from the second.
    const [changes = '', stays = ''] = [`one${n}`, `two${n}`].toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
    await batch(call, [put(changes, { n: 1 }), put(stays, { n: 1 })]);
    const holder = hand();
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    let holding: Promise<unknown> = Promise.resolve();
    await new Promise<void>((isHeld) => {
      holding = holder.begin(async (tx) => {
        await tx`SELECT FROM clocktick.entity WHERE id = ${idOf(changes)} FOR NO KEY UPDATE`;
        isHeld();
        await released;
      });
    });
    const writing = batch(through(n), operations(`thing:${changes}`, `thing:${stays}`));
    await until(async () => {
      const [{ waits } = { waits: 0 }] = await sql<{ waits: number }[]>`
        SELECT count(*)::int AS waits FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%write_changes%'`;
      return waits > 0;
    });
    t.equal((await call('PATCH', `/entities/thing:${stays}`, later)).status, 200);
    release();
    await holding;
    await holder.end();
    t.match(await writing, end, what);
  }
});

const ACCOUNTS = keysOf('account:', 8);
const CLIENTS = 8;
const TRANSFERS = Math.round(BATCHES / 30);
const START = 100;

t.test('what is moved between accounts is never lost, nor there twice, at any instant', async (t) => {
  const define = (call: Call, n: number) =>
    call('PUT', '/types/account', { schema: { properties: { balance: { type: 'integer', minimum: -10_000 - n } } } });
  await define(call, 0);
  await batch(
    call,
    ACCOUNTS.map((id) => put(id.slice('account:'.length), { balance: START }, 'account')),
  );
  const told: Record<string, Answer[]> = { transfers: [], undos: [], changes: [], imports: [], definitions: [] };
  let left = CLIENTS;

  const transfer = async (client: number) => {
    const write = through(client);
    for (let n = 0; n < TRANSFERS; n++) {
      const ids = someOf(ACCOUNTS, client * TRANSFERS + n, 4);
      // An undo takes what is as it was before for undone, whoever made it so: this never is.
      const name = `${client}.${n}`;
      for (let isDone = false; !isDone; ) {
        const { body } = await write('GET', `/entities?ids=${ids.join(',')}`);
        const [from, ...to] = list(body.items).map(object);
        const moved = (item: JsonObject, by: number) =>
          patch(
            `account:${text(item.key)}`,
            { balance: Number(object(item.properties).balance) + by, by: name },
            { ifMatch: item.tick ?? null },
          );
        if (!from) throw new Error('there is no account');
        const operations = [moved(from, -to.length), ...to.map((item) => moved(item, 1))];
        const answer = await batch(write, operations, { activity: { actor: `client ${client}` } });
        told.transfers?.push(answer);
        isDone = answer.status !== 412;
        if (answer.status !== 200 || n % 2 !== 0) continue;
        // Only if nobody has moved anything since; else all of it stays.
        const { id = '' } = object(answer.body.activity);
        told.undos?.push(await through(client + 1)('POST', `/activities/${id}/revert`, {}));
      }
    }
    left--;
  };
  const meanwhile = async (what: string, ask: (n: number) => Promise<Answer>) => {
    for (let n = 0; left > 0; n++) {
      told[what]?.push(await ask(n));
      await sleep(20);
    }
  };
  await Promise.all([
    ...Array.from({ length: CLIENTS }, (_, client) => transfer(client)),
    meanwhile('changes', (n) =>
      through(n)('PATCH', `/entities/${ACCOUNTS[n % ACCOUNTS.length]}`, { properties: { seen: n } }),
    ),
    meanwhile('imports', (n) => importing(n, someOf(ACCOUNTS, n, 8), { note: n })),
    meanwhile('definitions', (n) => define(through(n), n + 1)),
  ]);
  const ends = Object.fromEntries(Object.entries(told).map(([what, answers]) => [what, endsOf(answers)]));
  t.comment(ends);
  const allowed: Record<string, string[]> = {
    transfers: ['200', '412 precondition_failed'],
    undos: ['200', '409 undo_conflict'],
    changes: ['200'],
    imports: ['200'],
    definitions: ['200'],
  };
  for (const [what, answers] of Object.entries(ends)) {
    t.same(
      Object.keys(answers).filter((end) => !allowed[what]?.includes(end)),
      [],
      `${what}: no deadlock, nor too many writers`,
    );
    t.ok((answers[200] ?? 0) > 0, `${what}: ${answers[200]}`);
  }
  t.equal(ends.transfers?.[200], CLIENTS * TRANSFERS);
  t.ok(
    told.imports?.every(({ text }) => /"status": ?"done"[^\n]*\n?$/.test(text)),
    'every import is done',
  );

  const instants = new Set((await Promise.all(ACCOUNTS.map(instantsOf))).flat());
  t.ok(instants.size > CLIENTS * TRANSFERS, `${instants.size} instants`);
  const sums = new Set<number>();
  for (const instant of instants) {
    const states = await asOf(ACCOUNTS, instant);
    sums.add(states.reduce((sum, { balance = null }) => sum + Number(balance), 0));
  }
  t.same([...sums], [START * ACCOUNTS.length], 'the sum is the same at every instant');
});

t.test(
  'batches, single changes, imports, undos and definitions of the same entities: none is told of a deadlock',
  async (t) => {
    const types = ['mixed', 'other'];
    const ids = types.flatMap((type) => keysOf(`${type}:m`, 6));
    const putOf = (id: string, properties: JsonObject) => {
      const [type = '', key = ''] = id.split(':');
      return put(key, properties, type);
    };
    const define = (call: Call, n: number) =>
      call('PUT', `/types/${types[n % 2]}?evenIfInvalid=true`, {
        schema: { properties: { n: { type: 'integer', minimum: -n } } },
      });
    await batch(
      call,
      ids.map((id) => putOf(id, { n: 0 })),
    );
    const answers: Record<string, Answer[]> = { batches: [], undos: [], changes: [], imports: [], definitions: [] };
    const keep = async (what: string, asked: Promise<Answer>) => {
      const answer = await asked;
      answers[what]?.push(answer);
      return answer;
    };
    await Promise.all(
      Array.from({ length: BATCHES }, async (_, n) => {
        const some = someOf(ids, n);
        const operations = some.flatMap((id, m) => [
          (n + m) % 7 === 0 ? on('delete', id) : putOf(id, { n, m }),
          ...((n + m) % 7 === 0 ? [on('restore', id)] : []),
          patch(id, { [`w${n % 10}`]: n }),
        ]);
        const done = await keep('batches', batch(through(n), operations, { activity: { actor: `batch ${n}` } }));
        const { id = null } = done.status === 200 ? object(done.body.activity) : {};
        const onConflict = ['refuse', 'skip', 'force'][n % 3] ?? 'force';
        if (id && n % 2 === 0) await keep('undos', through(n + 1)('POST', `/activities/${id}/revert`, { onConflict }));
        const first = some[0] ?? '';
        if (n % 3 === 0)
          await keep('changes', through(n)('PATCH', `/entities/${first}`, { properties: { single: n } }));
        if (n % 20 === 0) await keep('imports', importing(n, some, { note: n }));
        if (n % 15 === 0) await keep('definitions', define(through(n), n));
      }),
    );
    const ends = Object.fromEntries(Object.entries(answers).map(([what, all]) => [what, endsOf(all)]));
    t.comment(ends);
    const allowed: Record<string, string[]> = {
      batches: ['200', '410 entity_deleted'],
      undos: ['200', '409 undo_conflict'],
      changes: ['200', '410 entity_deleted'],
      imports: ['200'],
      definitions: ['200', '201'],
    };
    for (const [what, all] of Object.entries(ends))
      t.same(
        Object.keys(all).filter((end) => !allowed[what]?.includes(end)),
        [],
        what,
      );
    // Whatever a batch, or an undo, ticked has its one instant.
    const torn = await sql`
    SELECT activity_id FROM clocktick.tick JOIN clocktick.activity a ON a.id = activity_id
     WHERE a.import_id IS NULL GROUP BY activity_id HAVING count(DISTINCT at) > 1`;
    t.same([...torn], []);
    const wrong = await sql`SELECT 1 FROM clocktick.tick GROUP BY entity_id HAVING max(tick) <> count(*)`;
    t.same([...wrong], []);
  },
);

t.test('the server had no deadlock to resolve in all of that', async (t) => {
  // A connection tells what it has counted when it ends at the latest.
  await sql`
    SELECT pg_terminate_backend(pid, 5_000) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()`;
  const [counted] = await sql`SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()`;
  t.same(counted, { deadlocks: 0 });
});
