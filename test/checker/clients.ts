import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { isObject, type Json, type JsonObject, pointer } from '../../src/temporal/json.js';
import { microseconds } from '../../src/temporal/point.js';
import type { OnConflict } from '../../src/temporal/undo.js';
import type { Command, Condition, Conditions } from '../helper/model.js';
import { type Answer, ask, type Deleted, type Operation, type Purpose, type Request, tickOf } from './record.js';

/*
 * Many clients that write, read, and read as of, each one request after the other, now of this service and now of that, all
 * on the same few entities.
 *
 * What each of them does is drawn from the seed alone, so that a run can be had again: only the ticks, instants and cursors
 * that a step names by "what I last saw" or "what anybody was last answered" are those of the run.
 */

/** In the order of their bytes; UTF-16 has the last two the other way round. */
export const KEYS = ['B', 'a', 'a/b', 'ä', '～', '😀'];

type Drawn<A> = A extends fc.Arbitrary<infer Draw> ? Draw : never;

const weighted = <const T>(...choices: [weight: number, value: T][]) =>
  fc.oneof(...choices.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })));

const action = weighted(
  [6, 'create'],
  [10, 'put'],
  [28, 'patch'],
  [3, 'patch nothing'],
  [8, 'json patch'],
  [7, 'delete'],
  [6, 'restore'],
  [6, 'revert'],
  [14, 'read now'],
  [8, 'read as of a tick'],
  [14, 'read as of an instant'],
  [6, 'read many as of an instant'],
  [6, 'walk'],
  [16, 'batch'],
  [8, 'undo'],
);
type WriteAction = Exclude<Drawn<typeof action>, 'walk' | 'batch' | 'undo' | `read ${string}`>;

/** Mostly such as are not refused, because one of them refuses all. */
const ofBatch = fc.record({
  action: weighted<WriteAction>(
    [1, 'create'],
    [40, 'put'],
    [16, 'patch'],
    [4, 'patch nothing'],
    [2, 'json patch'],
    [6, 'delete'],
    [4, 'restore'],
    [3, 'revert'],
  ),
  entity: fc.constantFrom(...KEYS),
  n: fc.nat(2),
  which: fc.nat(),
  condition: weighted([30, 'none'], [3, 'seen'], [1, 'stale']),
});
type OfBatch = Drawn<typeof ofBatch>;

const step = fc.record({
  action,
  /** Which of the services, counted on from the first and round again. */
  service: fc.nat(),
  entity: fc.constantFrom(...KEYS),
  entities: fc.uniqueArray(fc.constantFrom(...KEYS), { minLength: 1, maxLength: 4 }),
  condition: weighted([7, 'none'], [3, 'seen'], [1, 'stale'], [1, 'absent']),
  /** A value that few others are, so that some writes change nothing and some tests hold. */
  n: fc.nat(2),
  /** Which tick or instant of all that are known, or how many items a page has. */
  which: fc.nat(),
  /** The instant of the write that was answered last, the present one or thereabouts, or any of a write. */
  instant: weighted([3, 'newest'], [4, 'about now'], [2, 'older']),
  /** In microseconds from what it must be by now in the database: there it is later by as much as an answer takes. */
  about: fc.integer({ min: -2_000, max: 8_000 }),
  /** A snapshot at an instant of the client's, or at the newest that is stable. */
  isPinned: fc.boolean(),
  deleted: weighted<Deleted>([4, 'exclude'], [2, 'include'], [1, 'only']),
  operations: fc.array(ofBatch, { minLength: 2, maxLength: 5 }),
  isDry: weighted([5, false], [1, true]),
  onConflict: weighted<OnConflict>([3, 'refuse'], [3, 'skip'], [3, 'force']),
  /** How many milliseconds after it has sent a write its client goes away. */
  cut: weighted<number | null>([36, null], [1, 0], [1, 2], [1, 4], [1, 8]),
});
type Step = Drawn<typeof step>;

/** The steps of each client, without end. */
export const stepsOf = (seed: number, clients: number): Iterable<Step>[] =>
  fc.sample(fc.infiniteStream(fc.noBias(step), { noHistory: true }), { seed, numRuns: clients });

/** The services, which have one database; the type of the entities, which nobody else writes; what has happened so far. */
export type Run = {
  services: readonly URL[];
  type: string;
  operations: Operation[];
  /** The `Tick-At` of every answered write, and when it was answered. */
  instants: { at: string; heard: number }[];
  /** The activities of acknowledged writes, and under which markers they were sent. */
  activities: { id: string; marker: string }[];
  /** How many milliseconds a client waits after a 503 or no answer; by itself it goes on at once. */
  pause?: number;
  /** How many milliseconds a client waits after each step. */
  rest?: number;
};

/** A client, how many steps it has taken, and the tick at which it last saw each entity. */
type Client = { run: Run; number: number; steps: number; seen: Map<string, number> };

/** Lets the clients of a seed work until it is over. */
export async function runClients(
  run: Run,
  { seed, clients }: { seed: number; clients: number },
  isOver: () => boolean,
): Promise<void> {
  const working = stepsOf(seed, clients).map(async (steps, number) => {
    const client: Client = { run, number, steps: 0, seen: new Map() };
    for (const step of steps) {
      if (isOver()) return;
      client.steps++;
      await take(client, step);
      if (run.rest) await sleep(run.rest);
    }
  });
  await Promise.all(working);
}

async function take(client: Client, step: Step): Promise<void> {
  const { type } = client.run;
  const { entity: key, entities: keys } = step;
  const path = pathOf(type, key);
  switch (step.action) {
    case 'read now':
      learn(client, key, await read(client, step, { kind: 'now', key }, path));
      return;
    case 'read as of a tick': {
      // Sometimes the next one, which may be there by then.
      const tick = 1 + (step.which % (lastSeen(client, key) + 1));
      await read(client, step, { kind: 'as of', key, point: { tick } }, `${path}?asOf=${tick}`);
      return;
    }
    case 'read as of an instant': {
      const instant = instantOf(client.run, step);
      await read(client, step, { kind: 'as of', key, point: { instant } }, `${path}?asOf=${instant}`);
      return;
    }
    case 'read many as of an instant': {
      const ids = keys.map((key) => encodeURIComponent(`${type}:${key}`));
      const instant = instantOf(client.run, step);
      await read(client, step, { kind: 'list', keys, instant }, `entities?ids=${ids}&asOf=${instant}`);
      return;
    }
    case 'walk':
      return walk(client, step);
    case 'batch':
      return batch(client, step);
    case 'undo':
      return undo(client, step);
    default:
      return write(client, step, writingOf(client, step, step.action));
  }
}

/** A write: what it is in the words of the model, as it is sent alone, and what it takes besides an address in a batch. */
type Writing = {
  marker: string;
  command: Command;
  method: Request['method'];
  path: string;
  body?: Json;
  operation: JsonObject;
};

type Drawing = Pick<Step, 'entity' | 'n' | 'which'>;

function writingOf(client: Client, { entity: key, n, which }: Drawing, action: WriteAction): Writing {
  const { type } = client.run;
  const path = pathOf(type, key);
  const marker = markerOf(client);
  const own = `of ${client.number}`;
  switch (action) {
    case 'create': {
      const properties = { marker, n, [own]: marker };
      const body = { type, key, properties };
      const operation = { op: 'create', ...body };
      return { marker, command: { call: 'post', type, properties }, method: 'POST', path: 'entities', body, operation };
    }
    case 'put': {
      const properties = { marker, n };
      const command: Command = { call: 'put', address: { type }, type, properties };
      const body = { type, properties };
      return { marker, command, method: 'PUT', path, body, operation: { op: 'put', ...body } };
    }
    case 'patch':
    case 'patch nothing': {
      const patch = action === 'patch' ? { marker, n, [own]: n === 0 ? null : marker } : {};
      const body = { properties: patch };
      const operation = { op: 'patch', ...body };
      return { marker, command: { call: 'merge', patch }, method: 'PATCH', path, body, operation };
    }
    case 'json patch': {
      const operations = [
        { op: 'test' as const, path: ['n'], value: n },
        { op: 'add' as const, path: ['marker'], value: marker },
      ];
      const body = operations.map(({ op, path, value }) => ({ op, path: pointer(['properties', ...path]), value }));
      const operation = { op: 'patch', patch: body };
      return { marker, command: { call: 'jsonPatch', operations }, method: 'PATCH', path, body, operation };
    }
    case 'delete':
      return { marker, command: { call: 'delete' }, method: 'DELETE', path, operation: { op: 'delete' } };
    case 'restore':
      return {
        marker,
        command: { call: 'restore' },
        method: 'POST',
        path: `${path}/restore`,
        body: {},
        operation: { op: 'restore' },
      };
    case 'revert': {
      const to = { tick: 1 + (which % Math.max(lastSeen(client, key), 1)) };
      const names = n === 0 ? ['n', own] : null;
      const body = { to: to.tick, ...(names ? { properties: names } : {}) };
      const command: Command = { call: 'revert', to, names };
      return { marker, command, method: 'POST', path: `${path}/revert`, body, operation: { op: 'revert', ...body } };
    }
  }
}

/** Writes in the name of an activity that has the marker as its reason. */
async function write(client: Client, step: Step, { marker, command, method, path, body }: Writing): Promise<void> {
  const { entity: key } = step;
  const conditions = conditionsOf(step, command, lastSeen(client, key));
  const activity = { actor: `client ${client.number}`, reason: marker };
  const request: Request = { method, path, headers: headersOf(conditions) };
  if (isObject(body)) request.body = { ...body, activity };
  else {
    // What has no room for an activity names one that is recorded beforehand.
    const recording: Request = { method: 'POST', path: 'activities', headers: {}, body: activity };
    const recorded = await send(client, step, { kind: 'activity' }, recording);
    if (typeof recorded?.body.id !== 'string') return;
    request.headers['activity-id'] = recorded.body.id;
    if (body) {
      request.headers['content-type'] = 'application/json-patch+json';
      request.body = body;
    }
  }
  const answer = await send(client, step, { kind: 'write', key, marker, command, conditions }, request, step.cut);
  const id = request.headers['activity-id'];
  if (id !== undefined && answer && answer.status < 300) client.run.activities.push({ id, marker });
  if (answer?.tickAt) client.run.instants.push({ at: answer.tickAt, heard: performance.now() });
  learn(client, key, answer);
}

/** Does operations as one, of which several may be on one entity. */
async function batch(client: Client, step: Step): Promise<void> {
  const { type } = client.run;
  const marker = markerOf(client);
  const given = step.operations.map((drawn) => {
    const { command, operation } = writingOf(client, drawn, drawn.action);
    const tick = expectedTick(drawn.condition, lastSeen(client, drawn.entity));
    const ifMatch = command.call !== 'post' && tick > 0 ? tick : null;
    const address = command.call === 'post' ? {} : { id: `${type}:${drawn.entity}` };
    const sent = { ...operation, ...address, ...(ifMatch === null ? {} : { ifMatch }) };
    return { sent, step: { key: drawn.entity, command, ifMatch } };
  });
  const purpose: Purpose = { kind: 'batch', marker, steps: given.map((one) => one.step), isDry: step.isDry };
  await sendWhole(client, step, purpose, 'batch', { operations: given.map(({ sent }) => sent) });
}

/** Undoes what anybody did in the name of an activity, mostly a short time ago. */
async function undo(client: Client, step: Step): Promise<void> {
  const { activities } = client.run;
  const { isDry, onConflict, which } = step;
  const done = activities.at(-1 - (which % Math.min(activities.length, LATELY)));
  if (!done) return;
  const purpose: Purpose = { kind: 'undo', marker: markerOf(client), of: done.marker, onConflict, isDry };
  await sendWhole(client, step, purpose, `activities/${done.id}/revert`, { onConflict });
}

/** How many of the last activities are undone. */
const LATELY = 12;

/** Sends what changes many entities as one, and learns of all of them. */
async function sendWhole(
  client: Client,
  step: Step,
  purpose: Extract<Purpose, { kind: 'batch' | 'undo' }>,
  path: string,
  body: JsonObject,
): Promise<void> {
  const { run, number } = client;
  const { marker, isDry } = purpose;
  const request: Request = {
    method: 'POST',
    path: `${path}${isDry ? '?dryRun=true' : ''}`,
    headers: {},
    body: { ...body, activity: { actor: `client ${number}`, reason: marker } },
  };
  const answer = await send(client, step, purpose, request, step.cut);
  if (!answer || answer.status >= 300 || isDry) return;
  const { at, activity, items } = answer.body;
  if (typeof at === 'string') run.instants.push({ at, heard: performance.now() });
  if (isObject(activity) && typeof activity.id === 'string') run.activities.push({ id: activity.id, marker });
  for (const item of Array.isArray(items) ? items.filter(isObject) : []) {
    const { key } = isObject(item.entity) ? item.entity : {};
    if (typeof key === 'string' && typeof item.tick === 'number') client.seen.set(key, item.tick);
  }
}

/** Walks through a snapshot of all entities, each page by another service. */
async function walk(client: Client, step: Step): Promise<void> {
  const { type } = client.run;
  const instant = step.isPinned ? instantOf(client.run, step) : null;
  const limit = 1 + (step.which % 4);
  const asOf = instant === null ? '' : `&asOf=${instant}`;
  const deleted = step.deleted === 'exclude' ? '' : `&deleted=${step.deleted}`;
  const path = `entities?type=${type}&limit=${limit}${asOf}${deleted}`;
  let after = '';
  for (let number = 1; ; number++) {
    const purpose: Purpose = { kind: 'page', walk: markerOf(client), number, instant, deleted: step.deleted };
    const answer = await read(client, { service: step.service + number }, purpose, `${path}${after}`);
    if (typeof answer?.body.next !== 'string') return;
    after = `&cursor=${encodeURIComponent(answer.body.next)}`;
  }
}

const read = (client: Client, step: Pick<Step, 'service'>, purpose: Purpose, path: string) =>
  send(client, step, purpose, { method: 'GET', path, headers: {} });

/** Sends a request, and records it with what came of it. */
async function send(
  { run, number }: Client,
  { service }: Pick<Step, 'service'>,
  purpose: Purpose,
  request: Request,
  cut: number | null = null,
): Promise<Answer | null> {
  const base = run.services[service % run.services.length];
  if (!base) throw new Error('there is no service');
  const invoked = performance.now();
  const answer = await ask(base, request, cut);
  const completed = performance.now();
  run.operations.push({ client: number, purpose, request, invoked, completed, answer, isCut: cut !== null });
  if (run.pause && (!answer || answer.status === 503)) await sleep(run.pause);
  return answer;
}

/** In no other request of the run. */
const markerOf = ({ number, steps }: Client): string => `${number}.${steps}`;

export const pathOf = (type: string, key: string): string => `entities/${encodeURIComponent(`${type}:${key}`)}`;

const lastSeen = ({ seen }: Client, key: string): number => seen.get(key) ?? 0;

/** Remembers the tick at which an answer shows an entity. */
function learn({ seen }: Client, key: string, answer: Answer | null): void {
  const tick = answer && tickOf(answer);
  if (tick) seen.set(key, tick);
}

function conditionsOf({ condition }: Step, { call }: Command, seen: number): Conditions {
  const tick = expectedTick(condition, seen);
  return {
    ifMatch: call !== 'post' && tick > 0 ? [tick] : null,
    ifNoneMatch: call === 'put' && condition === 'absent' ? '*' : null,
  };
}

/** The tick that a condition names; 0: none. */
const expectedTick = (condition: Step['condition'] | OfBatch['condition'], seen: number): number =>
  condition === 'seen' ? seen : condition === 'stale' ? seen - 1 : 0;

const headersOf = ({ ifMatch, ifNoneMatch }: Conditions): Record<string, string> => ({
  ...(ifMatch ? { 'if-match': tagsOf(ifMatch) } : {}),
  ...(ifNoneMatch ? { 'if-none-match': tagsOf(ifNoneMatch) } : {}),
});

const tagsOf = (condition: Condition): string =>
  condition === '*' ? condition : condition.map((tick) => `"${tick}"`).join(', ');

/** An instant of the past, or one that comes in a moment. */
function instantOf({ instants }: Run, { instant, which, about }: Step): string {
  const newest = instants.at(-1);
  if (!newest) return LONG_AGO;
  if (instant === 'older') return instants[which % instants.length]?.at ?? LONG_AGO;
  if (instant === 'newest') return newest.at;
  return later(newest.at, Math.round((performance.now() - newest.heard) * 1000) + about);
}

/** Before anything was ever written. */
const LONG_AGO = '2001-01-01T00:00:00.000000Z';

/** The instant so many microseconds later; a number keeps them exactly until the year 2255. */
function later(instant: string, by: number): string {
  const total = Number(microseconds(instant)) + by;
  const rest = total % 1000;
  return `${new Date((total - rest) / 1000).toISOString().slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
}
