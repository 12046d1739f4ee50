import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import t from 'tap';
import { type Clocktick, ClocktickProblem, ClocktickUnreachable, clocktick } from '../../src/client/client.js';
import { type Fate, fated, refusing, testClient } from '../helper/client.js';
import { traces } from '../helper/service.js';
import { portOf } from '../helper/wire.js';

/* What is sent again, and that no write is done twice by it. */

const ACTIVITY = { actor: 'monica' };
const STATE = { type: 'friend', properties: { location: 'Paris' } };
const ADD = [{ op: 'add' as const, path: '/properties/tags/-', value: 'new' }];

/** What a case is about: an entity at tick 3, a key that nobody has, a type that is defined; an activity that has made that tick, and one that has made none. */
type Known = { id: string; key: string; type: string; made: string; fresh: string };

let cases = 0;
async function prepare({ entities, activities, types }: Clocktick): Promise<Known> {
  const key = `rachel-${++cases}`;
  const id = `friend:${key}`;
  await entities.create({ type: 'friend', key, properties: { location: 'New York', tags: [] } });
  await entities.patch(id, { properties: { location: 'Oakland' } });
  const { id: made } = await activities.create(ACTIVITY);
  await entities.patch(id, { properties: { location: 'Tucson' } }, { activityId: made });
  const { id: fresh } = await activities.create(ACTIVITY);
  const { type } = await types.put(`thing-${cases}`, { schema: true });
  return { id, key: `ross-${cases}`, type, made, fresh };
}

/**
 * How a write ends whose first answer was lost. `same`: as if nothing had been lost. A `?` behind anything else: the client says that the write
 * may be kept.
 */
type Case = { does: (client: Clocktick, known: Known) => Promise<unknown>; ends: string; ticks?: number };

const UNREACHABLE = 'unreachable?';
const WRITES: Record<string, Case> = {
  'a create with a key': {
    does: ({ entities }, { key }) => entities.create({ key, ...STATE }),
    ends: 'entity_exists?',
  },
  'a create of what must not be there': {
    does: ({ entities }, { key }) => entities.create({ key, ...STATE }, { ifNoneMatch: '*' }),
    ends: 'not done?',
  },
  'a create without a key': { does: ({ entities }) => entities.create(STATE), ends: UNREACHABLE },
  'a create without a key of what must not be there': {
    does: ({ entities }) => entities.create(STATE, { ifNoneMatch: '*' }),
    ends: UNREACHABLE,
  },
  'a create without a key under a named activity': {
    does: ({ entities }, { fresh }) => entities.create(STATE, { activityId: fresh }),
    ends: UNREACHABLE,
  },
  'a put': { does: ({ entities }, { id }) => entities.put(id, STATE), ends: 'same' },
  'a put at a tick': { does: ({ entities }, { id }) => entities.put(id, STATE, { ifMatch: 3 }), ends: 'not done?' },
  'a put of what is there': { does: ({ entities }, { id }) => entities.put(id, STATE, { ifMatch: '*' }), ends: 'same' },
  'a put of what must not be there': {
    does: ({ entities }, { key }) => entities.put(`friend:${key}`, STATE, { ifNoneMatch: '*' }),
    ends: 'not done?',
  },
  'a merge patch': {
    does: ({ entities }, { id }) => entities.patch(id, { properties: { location: 'Rome' }, activity: ACTIVITY }),
    ends: 'same',
  },
  'a merge patch under a named activity': {
    does: ({ entities }, { id, fresh }) =>
      entities.patch(id, { properties: { location: 'Rome' } }, { activityId: fresh }),
    ends: 'same',
  },
  'a JSON Patch': { does: ({ entities }, { id }) => entities.patch(id, ADD), ends: UNREACHABLE },
  'a JSON Patch at a tick': {
    does: ({ entities }, { id }) => entities.patch(id, ADD, { ifMatch: 3 }),
    ends: 'not done?',
  },
  'a JSON Patch of what is there': {
    does: ({ entities }, { id }) => entities.patch(id, ADD, { ifMatch: '*' }),
    ends: UNREACHABLE,
  },
  'a JSON Patch under a named activity': {
    does: ({ entities }, { id, fresh }) => entities.patch(id, ADD, { activityId: fresh }),
    ends: 'activity_already_ticked?',
  },
  'a dry run of a JSON Patch': {
    does: ({ entities }, { id }) => entities.patch(id, ADD, { dryRun: true }),
    ends: 'same',
    ticks: 0,
  },
  'a deletion': { does: ({ entities }, { id }) => entities.delete(id), ends: 'same' },
  'a deletion at a tick': { does: ({ entities }, { id }) => entities.delete(id, { ifMatch: 3 }), ends: 'not done?' },
  'a revert': { does: ({ entities }, { id }) => entities.revert(id, { to: 1 }), ends: 'same' },
  'a restore': { does: ({ entities }, { id }) => entities.restore(id), ends: 'same', ticks: 0 },
  'a batch of states': {
    does: ({ batch }, { id }) => batch({ operations: [{ op: 'put', id, ...STATE }] }),
    ends: 'same',
  },
  'a batch that creates by a key': {
    does: ({ batch }, { key }) => batch({ operations: [{ op: 'create', key, ...STATE }] }),
    ends: 'entity_exists?',
  },
  'a batch that creates without a key, too': {
    does: ({ batch }, { id }) =>
      batch({
        operations: [
          { op: 'put', id, ...STATE },
          { op: 'create', ...STATE },
        ],
      }),
    ends: UNREACHABLE,
    ticks: 2,
  },
  'a batch of a JSON Patch': {
    does: ({ batch }, { id }) => batch({ operations: [{ op: 'patch', id, patch: ADD }] }),
    ends: UNREACHABLE,
  },
  'a batch of a JSON Patch at a tick': {
    does: ({ batch }, { id }) => batch({ operations: [{ op: 'patch', id, patch: ADD, ifMatch: 3 }] }),
    ends: 'precondition_failed?',
  },
  'a batch of a JSON Patch under a named activity': {
    does: ({ batch }, { id, fresh }) => batch({ operations: [{ op: 'patch', id, patch: ADD }] }, { activityId: fresh }),
    ends: 'activity_already_ticked?',
  },
  'an activity': { does: ({ activities }) => activities.create(ACTIVITY), ends: UNREACHABLE, ticks: 0 },
  'an undo': { does: ({ activities }, { made }) => activities.revert(made), ends: 'undo_conflict?' },
  'an undo that is forced': {
    does: ({ activities }, { made }) => activities.revert(made, { onConflict: 'force' }),
    ends: UNREACHABLE,
  },
  'a definition': {
    does: ({ types }, { key }) => types.put(key, { schema: true }),
    ends: 'same',
  },
  'the end of a definition': { does: ({ types }, { type }) => types.delete(type), ends: 'same' },
};

/** How a call ended, in words. */
async function endOf(ended: Promise<unknown>): Promise<string> {
  try {
    const value = await ended;
    if (typeof value !== 'object' || value === null || !('done' in value) || value.done !== false) return 'same';
    return `not done${'mayBeWritten' in value && value.mayBeWritten === true ? '?' : ''}`;
  } catch (error) {
    if (error instanceof ClocktickUnreachable) return `unreachable${error.mayBeWritten ? '?' : ''}`;
    if (error instanceof ClocktickProblem) return `${error.code}${error.mayBeWritten ? '?' : ''}`;
    throw error;
  }
}

const HTML = { 'content-type': 'text/html' };
const retry = { wait: 1 };

/** What befalls the first sending. `kept`: whether it reached the service. `hidden`: what the client throws that may not send it again. */
const FATES: Record<string, { fate: () => Fate; kept: boolean; hidden: string; isUnwritten?: true }> = {
  'the answer is lost': { fate: () => 'answer lost', kept: true, hidden: UNREACHABLE },
  'the request is lost': { fate: () => 'request lost', kept: false, hidden: UNREACHABLE },
  'a proxy reaches nobody': {
    fate: () => new Response('<p>Bad gateway', { status: 502, headers: HTML }),
    kept: false,
    hidden: UNREACHABLE,
  },
  'the service does not know the outcome': {
    fate: () => refusing(503, 'outcome_unknown'),
    kept: false,
    hidden: 'outcome_unknown?',
  },
  'nothing was written': {
    fate: () => refusing(503, 'too_many_writers', { 'retry-after': '0' }),
    kept: false,
    hidden: '',
    isUnwritten: true,
  },
  'there is no connection': { fate: () => 'refused', kept: false, hidden: '', isUnwritten: true },
};

t.test('no write is done twice, and none says that it failed where it may be kept', async (t) => {
  const { baseUrl, sql, client: steady } = await testClient(t);
  for (const [name, { does, ends, ticks = 1 }] of Object.entries(WRITES))
    await t.test(name, async (t) => {
      for (const [what, { fate, kept, hidden, isUnwritten }] of Object.entries(FATES)) {
        const known = await prepare(steady);
        const before = await traces(sql);
        const way = fated(fate());
        const client = clocktick({ baseUrl, fetch: way.fetch, retry });
        const isSentAgain = isUnwritten === true || ends !== UNREACHABLE;
        t.equal(await endOf(does(client, known)), !isSentAgain ? hidden : kept ? ends : 'same', what);
        const isWritten = kept || isSentAgain;
        t.equal((await traces(sql)).ticks - before.ticks, isWritten ? ticks : 0, `${what}: its ticks`);
        t.equal(way.asked.length, isSentAgain ? 2 : 1, `${what}: how often it was sent`);
      }
    });
});

t.test('who writes in between is not overwritten by a write at a tick, or under a named activity', async (t) => {
  const { baseUrl, client: steady } = await testClient(t);
  const { id, fresh } = await prepare(steady);
  const write = { properties: { location: 'Rome' } };
  const options = [{ ifMatch: 3 as const }, { activityId: fresh }];
  for (const [n, option] of options.entries()) {
    const way = fated('answer lost');
    const between: typeof fetch = async (url, init) => {
      if (way.asked.length === 1)
        await steady.entities.put(id, { type: 'friend', properties: { location: `Bonn ${n}` } });
      return way.fetch(url, init);
    };
    const client = clocktick({ baseUrl, fetch: between, retry });
    const { tick } = await steady.entities.get(id);
    const ended =
      'ifMatch' in option
        ? client.entities.patch(id, write, { ifMatch: tick })
        : client.entities.patch(id, write, option);
    t.match(await endOf(ended), /^(not done|activity_already_ticked)\?$/);
    t.same((await steady.entities.get(id)).properties, { location: `Bonn ${n}` });
  }
});

t.test('a read is sent again whatever it meets on its way, as often as it may be', async (t) => {
  const { baseUrl } = await testClient(t);
  const passing: Fate[] = [
    'answer lost',
    'request lost',
    refusing(503, 'overloaded', { 'retry-after': '0' }),
    refusing(503, 'as_of_not_stable_yet', { 'retry-after': '0' }),
    new Response('<p>Too many', { status: 429, headers: HTML }),
    new Response('', { status: 504 }),
    new Response('{"cut', { headers: { 'content-type': 'application/json' } }),
  ];
  for (const fate of passing) {
    const { fetch, asked } = fated(fate);
    t.same(await clocktick({ baseUrl, fetch, retry }).types.list().page(), { items: [], next: null });
    t.equal(asked.length, 2);
  }
  const lasting: [fate: Fate, message: RegExp][] = [
    [refusing(503, 'outcome_unknown', {}), /outcome_unknown/],
    [refusing(503, 'overloaded', { 'retry-after': '0' }), /overloaded/],
    ['request lost', /No clocktick answers/],
  ];
  for (const [fate, message] of lasting) {
    const again = () => (fate instanceof Response ? fate.clone() : fate);
    const { fetch, asked } = fated(...Array.from({ length: 9 }, again));
    await t.rejects(
      clocktick({ baseUrl, fetch, retry: { ...retry, attempts: 3 } })
        .types.list()
        .page(),
      { message },
    );
    t.equal(asked.length, 3);
    await t.rejects(clocktick({ baseUrl, fetch, retry: false }).types.list().page(), { message });
    t.equal(asked.length, 4);
  }
});

t.test('a refusal is not sent again', async (t) => {
  const { baseUrl } = await testClient(t);
  const { fetch, asked } = fated();
  const client = clocktick({ baseUrl, fetch, retry });
  await t.rejects(client.entities.get('friend:nobody'), { code: 'entity_not_found', status: 404, mayBeWritten: false });
  await t.rejects(client.entities.put('friend:nobody', { type: 'other', properties: {} }), {
    code: 'invalid_body',
    mayBeWritten: false,
  });
  t.equal(asked.length, 2);
  await t.rejects(
    clocktick({ baseUrl, fetch: fated(refusing(500, 'internal_error')).fetch }).entities.delete('friend:x'),
    {
      code: 'internal_error',
      mayBeWritten: true,
    },
  );
});

t.test('nothing that sends elsewhere is followed: no write becomes a read, and no header goes along', async (t) => {
  const { baseUrl: there, sql } = await testClient(t);
  const seen: string[] = [];
  for (const status of [301, 302, 303, 307, 308]) {
    const elsewhere = createHttpServer(({ method, url }, answer) => {
      seen.push(`${method} ${url}`);
      answer.writeHead(status, { location: `${there}${url}` }).end('<p>Moved');
    }).listen(0, '127.0.0.1');
    await once(elsewhere, 'listening');
    t.teardown(() => elsewhere.closeAllConnections());
    t.teardown(() => elsewhere.close());
    const address = elsewhere.address();
    const baseUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
    const client = clocktick({ baseUrl, retry });
    const before = await traces(sql);
    const asked: Record<string, () => Promise<unknown>> = {
      'a create': () => client.entities.create(STATE),
      'an activity': () => client.activities.create(ACTIVITY),
      'a put': () => client.entities.put('friend:moved', STATE),
      'an import': () => client.import([{ key: 'moved', ...STATE }], { source: 'moved' }),
      'a read': () => client.types.list().page(),
    };
    for (const [what, call] of Object.entries(asked)) {
      seen.length = 0;
      await t.rejects(call(), {
        name: 'ClocktickUnreachable',
        status,
        message: /sends elsewhere/,
        mayBeWritten: false,
      });
      t.equal(seen.length, 1, `${what}: it is asked once`);
    }
    t.same(await traces(sql), before);
  }
});

t.test('what cannot be sent is the mistake of the caller, and no broken connection', async (t) => {
  const { fetch, asked } = fated();
  const client = clocktick({ baseUrl: 'http://127.0.0.1:9', fetch, retry });
  for (const activityId of ['a\r\nx-admin: 1', 'ü€'])
    await t.rejects(client.entities.put('friend:x', STATE, { activityId }), TypeError);
  const headers = () => ({ 'x y': '1' });
  await t.rejects(clocktick({ baseUrl: 'http://127.0.0.1:9', fetch, headers }).types.list().page(), TypeError);
  await t.rejects(client.entities.get('..'), RangeError);
  t.same(asked, []);
});

t.test('health is asked once: whoever asks wants to know how it is now', async (t) => {
  const { baseUrl } = await testClient(t);
  const { fetch, asked } = fated(refusing(503, 'not_ready', { 'retry-after': '1' }));
  const { health } = clocktick({ baseUrl, fetch });
  await t.rejects(health.ready(), { code: 'not_ready', retryAfter: 1 });
  t.match(await health.ready(), { status: 'ready', checks: { database: 'ok' } });
  t.same(await health.live(), { status: 'alive' });
  t.equal(asked.length, 3);
});

t.test('the client waits as long as the service says, but not longer than it is told', async (t) => {
  const { baseUrl } = await testClient(t);
  const { fetch } = fated(refusing(503, 'overloaded', { 'retry-after': '1' }));
  const began = performance.now();
  await clocktick({ baseUrl, fetch, retry }).types.list().page();
  t.ok(performance.now() - began >= 1_000);
  const long = fated(refusing(503, 'clock_jumped_ahead', { 'retry-after': '60' }));
  await t.rejects(clocktick({ baseUrl, fetch: long.fetch, retry }).entities.delete('friend:x'), {
    code: 'clock_jumped_ahead',
    retryAfter: 60,
    mayBeWritten: false,
  });
});

t.test('a service that is just being started is waited for, also by a write that may be sent once only', async (t) => {
  const { app } = await testClient(t);
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const address = free.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const client = clocktick({ baseUrl: `http://127.0.0.1:${port}`, retry: { wait: 400 } });
  await new Promise((resolve) => free.close(resolve));
  const created = client.entities.create({ type: 'friend', properties: {} });
  // A door to the service, which opens late.
  const door = createServer((socket) => {
    const inner = connect(portOf(app), '127.0.0.1');
    socket.pipe(inner).pipe(socket);
    for (const end of [socket, inner]) end.on('error', () => [socket, inner].map((one) => one.destroy()));
  });
  setTimeout(() => door.listen(port, '127.0.0.1'), 200);
  t.teardown(() => door.close());
  t.match(await created, { tick: 1 });
});

t.test('a call that is given up ends at once with the reason, also while it waits', async (t) => {
  const { baseUrl } = await testClient(t);
  const reason = new Error('somebody closed the page');
  const gone = AbortSignal.abort(reason);
  const { fetch, asked } = fated(...Array.from({ length: 9 }, () => 'request lost' as const));
  const client = clocktick({ baseUrl, fetch, retry: { wait: 60_000 } });
  await t.rejects(clocktick({ baseUrl }).types.list({}, { signal: gone }).page(), reason);
  const leaving = new AbortController();
  setTimeout(() => leaving.abort(reason), 50);
  await t.rejects(client.entities.delete('friend:x', { signal: leaving.signal }), reason);
  t.equal(asked.length, 1);
  await t.rejects(client.types.get('friend', {}, { signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' });
});
