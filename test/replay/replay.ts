import { isObject, type Json, type JsonObject, jsonEqual } from '../../src/temporal/json.js';
import { difference } from '../../src/temporal/patch.js';
import { complaint } from './complaint.js';
import type { Commit, Step } from './history.js';
import type { Answer, Request, Service } from './service.js';

/*
 * A history written into a running service as a client would write it, and then read back: every entity as of every one of
 * its ticks, as it is now, and the ticks of every activity.
 */

/** Requests in flight at once: enough to keep a service on two cores busy. 8 and 32 take as much processor time. */
const AT_ONCE = 16;
/** How often a write whose outcome nobody knows is looked after and sent again. */
const TRIES = 5;
/** Small enough that a large commit takes several pages. */
const TICKS_PER_PAGE = 100;

/** Told after every change or read: how much is done. */
export type Watch = (done: { commits: number; requests: number }) => void;

/** Which type the entities have, and of what service. */
export type Target = { service: Service; type: string };

export const keysOf = (history: readonly Commit[]): Set<string> =>
  new Set(history.flatMap(({ steps }) => steps.map(({ key }) => key)));

/**
 * Sees to it that none of the entities is there: the ticks of a replay begin with 1.
 * @throws a complaint that names one that is
 */
export async function refuseExisting(target: Target, history: readonly Commit[]): Promise<void> {
  await inFlight(keysOf(history), async (key) => {
    const { status, body } = await target.service({ method: 'GET', path: entityPath(target, key) });
    if (status === 404 && body.code === 'entity_not_found') return;
    if (status === 200 || status === 410) throw taken(target, key, status === 410);
    throw refused(`GET /${entityPath(target, key)}`, { status, body });
  });
}

const taken = ({ type }: Target, key: string, isDeleted = false) =>
  complaint(
    `${type}:${key} exists already${isDeleted ? ' (deleted, but with its history)' : ''}, and nothing that is recorded can be ` +
      `taken back. Replay into another type, such as --type ${type}-2.`,
  );

/**
 * Writes the history: an activity a commit, then the commit's changes, several at once; one commit after the other.
 * @returns the ids of the activities, a commit each
 * @throws a complaint when a write is refused
 */
export async function replay(target: Target, history: readonly Commit[], watch: Watch): Promise<string[]> {
  const activities: string[] = [];
  let requests = 0;
  for (const commit of history) {
    const activity = await recordActivity(target, commit);
    await inFlight(commit.steps, async (step) => {
      await write(target, step, activity);
      requests++;
      watch({ commits: activities.length, requests });
    });
    activities.push(activity);
    watch({ commits: activities.length, requests });
  }
  return activities;
}

/** Tried again after an unknown outcome: an activity without ticks that may be left by it is in nobody's way. */
async function recordActivity({ service }: Target, { activity }: Commit): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const answer = await service({ method: 'POST', path: 'activities', body: activity });
    if (answer.status === 201 && typeof answer.body.id === 'string') return answer.body.id;
    if (attempt === TRIES || !isUnknown(answer)) throw refused('POST /activities', answer);
  }
}

async function write(target: Target, step: Step, activity: string): Promise<void> {
  const request = writeOf(target, step, activity);
  for (let attempt = 1; ; attempt++) {
    const answer = await target.service(request);
    if (answer.status === STATUS[step.op]) return checkAnswer(target, step, answer);
    if (attempt === 1 && answer.status === 412 && step.op === 'created') throw taken(target, step.key);
    // Once an outcome is unknown, that the entity has moved on may be this write's doing.
    const isUnsure = isUnknown(answer) || (attempt > 1 && answer.status === 412);
    if (attempt === TRIES || !isUnsure) throw refused(`${request.method} /${request.path}`, answer);
    // The condition keeps a second write from doing harm; only whether the first is kept has to be known.
    if ((await tickOf(target, step.key)) === step.tick) return;
  }
}

/**
 * PUT says the whole new state, null as a value included, which a merge patch cannot. The condition is the tick that the
 * history has come to: a tombstone's when the entity comes back.
 */
function writeOf(target: Target, { key, from, properties }: Step, activity: string): Request {
  const path = entityPath(target, key);
  const condition: Record<string, string> = from === 0 ? { 'if-none-match': '*' } : { 'if-match': `"${from}"` };
  const headers = { ...condition, 'activity-id': activity };
  if (properties === null) return { method: 'DELETE', path, headers };
  return { method: 'PUT', path, headers, body: { type: target.type, properties } };
}

const STATUS = { created: 201, restored: 201, updated: 200, unchanged: 200, deleted: 204 } as const;

/** What a write answers is what it wrote. */
function checkAnswer(target: Target, step: Step, answer: Answer): void {
  if (step.properties === null) return;
  const found = differenceFrom(answer.body, step, `The answer to the write of ${target.type}:${step.key}`);
  if (found !== null) throw complaint(`${found}.`);
}

const isUnknown = ({ status, body }: Answer): boolean => status === 503 && body.code === 'outcome_unknown';

async function tickOf(target: Target, key: string): Promise<Json | undefined> {
  const { body } = await target.service({ method: 'GET', path: entityPath(target, key) });
  return body.tick;
}

/** How many reads `verify` makes, the pages of activities aside. */
export const readsOf = (history: readonly Commit[]): number =>
  history.reduce((sum, { steps }) => sum + steps.length + 1, keysOf(history).size);

/**
 * Reads everything back.
 * @param activities the id of each commit's activity, as `replay` gave them
 * @returns a line for every difference from the history
 */
export async function verify(
  target: Target,
  history: readonly Commit[],
  activities: readonly string[],
  watch: Watch,
): Promise<string[]> {
  const differences: string[] = [];
  let requests = 0;
  const check = async (found: Promise<string | null>, commits: number) => {
    const line = await found;
    if (line !== null) differences.push(line);
    requests++;
    watch({ commits, requests });
  };
  for (const [index, commit] of history.entries()) {
    await inFlight(commit.steps, (step) => check(differenceAsOf(target, step), index));
    await check(differenceOfActivity(target, commit, activities[index] ?? ''), index + 1);
  }
  const last = new Map(history.flatMap(({ steps }) => steps.map((step) => [step.key, step] as const)));
  await inFlight(last.values(), (step) => check(differenceNow(target, step), history.length));
  return differences;
}

async function differenceAsOf(target: Target, step: Step): Promise<string | null> {
  const answer = await target.service({ method: 'GET', path: `${entityPath(target, step.key)}?asOf=${step.tick}` });
  return differenceRead(answer, step, `${target.type}:${step.key} as of tick ${step.tick}`);
}

async function differenceNow(target: Target, step: Step): Promise<string | null> {
  const answer = await target.service({ method: 'GET', path: entityPath(target, step.key) });
  return differenceRead(answer, step, `${target.type}:${step.key} now`);
}

function differenceRead({ status, body }: Answer, step: Step, what: string): string | null {
  const due = step.properties === null ? 410 : 200;
  if (status !== due) return `${what}: ${problemOf({ status, body })}; by the data it is ${due}`;
  return differenceFrom(body, step, what);
}

function differenceFrom(body: JsonObject, { tick, properties }: Step, what: string): string | null {
  if (body.tick !== tick) return `${what}: it is at tick ${shown(body.tick)}, by the data at ${tick}`;
  if (properties === null) return null;
  if (!isObject(body.properties)) return `${what}: it has no properties`;
  const { set, clear } = difference(body.properties, properties);
  const [name] = [...Object.keys(set), ...clear];
  if (name === undefined) return null;
  const [is, due] = [own(body.properties, name), own(properties, name)];
  return `${what}: ${JSON.stringify(name)} is ${shown(is)}, by the data ${shown(due)}`;
}

async function differenceOfActivity(target: Target, commit: Commit, id: string): Promise<string | null> {
  const what = `activity ${id} (${shown(commit.activity.reason)})`;
  const listed: string[] = [];
  let cursor: Json | undefined = '';
  do {
    const after: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const { status, body } = await target.service({
      method: 'GET',
      path: `activities/${id}?limit=${TICKS_PER_PAGE}${after}`,
    });
    const { id: _id, recordedAt: _at, ticks, next, ...whoAndWhy } = body;
    if (status !== 200 || !Array.isArray(ticks)) return `${what}: ${problemOf({ status, body })}`;
    if (!jsonEqual(whoAndWhy, commit.activity)) {
      return `${what}: who and why are ${shown(whoAndWhy)}, by the data ${shown(commit.activity)}`;
    }
    listed.push(...ticks.filter(isObject).map(({ type, key, tick, op }) => `${type}:${key} ${op} at ${tick}`));
    cursor = next;
  } while (typeof cursor === 'string');
  const ticked = commit.steps.filter(({ op }) => op !== 'unchanged');
  const missing = new Set(ticked.map(({ key, tick, op }) => `${target.type}:${key} ${op} at ${tick}`));
  const unexpected = listed.find((tick) => !missing.delete(tick));
  if (unexpected !== undefined) return `${what}: it lists ${unexpected}, which by the data it should not, or not twice`;
  const [first] = missing;
  return first === undefined ? null : `${what}: it does not list ${first}`;
}

const entityPath = ({ type }: Target, key: string): string => `entities/${encodeURIComponent(`${type}:${key}`)}`;

const refused = (what: string, answer: Pick<Answer, 'status' | 'body'>) =>
  complaint(`${what} is not answered as it should be: ${problemOf(answer)}.`);

/** A problem's own words, where the answer has any. */
const problemOf = ({ status, body }: Pick<Answer, 'status' | 'body'>): string =>
  typeof body.code === 'string' ? `${status} ${body.code}, ${shown(body.detail)}` : `${status}`;

const own = (object: JsonObject, name: string): Json | undefined =>
  Object.hasOwn(object, name) ? object[name] : undefined;

const MOST_SHOWN = 120;
function shown(value: Json | undefined): string {
  const text = value === undefined ? 'not there' : JSON.stringify(value);
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
}

/** Works on all items, a bounded number at once. After an error none is begun any more, and those in flight are waited for. */
async function inFlight<Item>(items: Iterable<Item>, work: (item: Item) => Promise<void>): Promise<void> {
  // All workers take from one generator; the loop that throws ends it for the others too.
  const queue = each(items);
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

function* each<Item>(items: Iterable<Item>): Generator<Item> {
  yield* items;
}
