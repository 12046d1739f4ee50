import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { v4, v7 } from 'uuid';
import { isObject, type Json, type JsonObject, jsonEqual, pointer } from '../../src/temporal/json.js';
import { applyJsonPatch, operationsOf as operationsIn } from '../../src/temporal/json-patch.js';
import {
  type Command,
  type Condition,
  type Conditions,
  canonical,
  changesBetween,
  changesOf,
  type Entity,
  entityBody,
  isRefused,
  jsonPatch,
  latest,
  namesEverHeld,
  type Operation,
  objectOf,
  overlaps,
  type Point,
  type Range,
  type Refused,
  rangesOf,
  same,
  shownAsOf,
  type Tick,
  tickAsOf,
  type Verdict,
  valueAt,
  verdictOf,
  type Who,
} from '../helper/model.js';
import {
  ADDRESSES,
  type Content,
  type OperationDraw,
  type PointDraw,
  type Start,
  type Step,
  type StepOf,
  start,
  step,
  type TagDraw,
  type Writing,
} from '../helper/model-steps.js';
import { type Answer, type Call, list, object, type Service, testService, text } from '../helper/service.js';
import { findingsOf } from '../helper/verified.js';

/*
 * Random calls against the service and against the model of helper/model.ts: whatever is written in whatever order, every
 * answer is the one that the model gives.
 *
 * A failure shows all requests of the shortest run that was found to have it, and the MODEL_SEED and MODEL_PATH with which
 * that run comes again. MODEL_RUNS makes more runs: MODEL_RUNS=3000 npx tap --timeout=0 test/http/model.test.ts takes ten
 * minutes.
 */

const SEED = process.env.MODEL_SEED;
const PATH = process.env.MODEL_PATH;
const QUICK_RUNS = 45;
const RUNS = Number(process.env.MODEL_RUNS ?? QUICK_RUNS);
const MOST_STEPS = 100;
/** How long a failing run is made shorter. */
const SHRINKING_MS = 20_000;

/** What the quick form must have seen; each comes in it some nine times or more. */
const ENDS = Object.entries({
  post: ['created', 'entity_exists'],
  put: ['created', 'updated', 'restored', 'nothing', 'precondition_failed'],
  merge: ['updated', 'nothing', 'precondition_failed', 'entity_deleted', 'activity_already_ticked', 'unknown_activity'],
  jsonPatch: ['updated', 'nothing', 'patch_test_failed', 'patch_not_applicable', 'entity_deleted'],
  delete: ['deleted', 'nothing', 'precondition_failed', 'entity_not_found'],
  restore: ['restored', 'nothing', 'precondition_failed'],
  revert: ['updated', 'nothing', 'entity_not_found'],
  'revert named': ['updated', 'nothing', 'entity_deleted'],
  'merge, dry': ['updated'],
  'jsonPatch, dry': ['updated'],
  'post, dry': ['created'],
  meanwhile: ['updated'],
  read: ['now', 'as of', 'not modified', 'entity_deleted', 'entity_not_found'],
  list: ['now', 'as of'],
  diff: ['told'],
  history: ['asc', 'desc'],
  ranges: ['asc', 'desc', 'asc in a window', 'desc in a window'],
  'range as of': ['told', 'property_not_found'],
  activity: ['told', 'of several entities'],
}).flatMap(([kind, ends]) => ends.map((end) => `${kind}: ${end}`));

// One run: the entities that its steps can name, and what has been said and answered.

/** Who may become an entity, or has: by its key, by a UUID of the caller's, or made by the service. */
type Target = { named: { type: string; key: string } | null; id: string | null; entity: Entity | undefined };

type World = {
  call: Call;
  type: string;
  targets: Target[];
  /** Entities that no step names any more. */
  others: Target[];
  activities: Who[];
  /** Every activity that is to be kept, its id known or not. */
  recorded: number;
  /** Entity tags of lists, by what they are over. */
  listTags: Map<string, string>;
  trace: string[];
};

/** An entity made without a key is named by the steps that follow, as long as there are fewer. */
const MOST_TARGETS = 5;

let runs = 0;
let operations = 0;
/** How often each call was answered how. */
const ends = new Map<string, number>();

function newWorld(call: Call, { keys, version }: Start): World {
  runs++;
  const type = `m${runs}`;
  const keyed = keys.map((key): Target => ({ named: { type, key }, id: null, entity: undefined }));
  const free = { named: null, id: version === 4 ? v4() : v7(), entity: undefined };
  return {
    call,
    type,
    targets: [...keyed, free],
    others: [],
    activities: [],
    recorded: 0,
    listTags: new Map(),
    trace: [],
  };
}

const nth = <T>(items: readonly T[], n: number): T | undefined => items[n % Math.max(items.length, 1)];

/** An id that could belong to a key which is yet to come. */
const UNBORN = '00000000-0000-5000-8000-000000000000';

/** Whom a number names: mostly an entity that is there, now and then one that may come, or nobody. */
function targetOf({ targets }: World, n: number): Target {
  const born = targets.filter(({ entity }) => entity !== undefined);
  const target = n < ADDRESSES - 2 ? (nth(born, n) ?? nth(targets, n)) : nth(targets, n);
  return (n === ADDRESSES ? undefined : target) ?? { named: null, id: UNBORN, entity: undefined };
}

/** The same for what is mostly done to the deleted. */
function deadTargetOf(world: World, { target, by }: Writing): Target {
  const dead = world.targets.filter(({ entity }) => latest(entity)?.op === 'deleted');
  return (by === 'ID' ? undefined : nth(dead, target)) ?? targetOf(world, target);
}

/** How a target is said in a URL or a list, and whether that says its type. */
function addressOf({ named, id, entity }: Target, by: string): { said: string; type: string | null } {
  const known = entity?.id ?? id;
  if (named && (by === 'key' || known === null)) return { said: `${named.type}:${named.key}`, type: named.type };
  return { said: (by === 'ID' ? known?.toUpperCase() : known) ?? UNBORN, type: null };
}

const urlOf = (target: Target, by: string): string => `/entities/${encodeURIComponent(addressOf(target, by).said)}`;

async function send(world: World, ...request: Parameters<Call>): Promise<Answer> {
  const [method, url, body, headers] = request;
  const answer = await world.call(...request);
  const said = Object.entries(headers ?? {}).map(([name, said]) => ` ${name}: ${said}`);
  world.trace.push(
    `${method} ${url}${said.join('')}${body === undefined ? '' : ` ${String(body)}`}\n    → ${answer.status} ${answer.headers.etag ?? ''} ${answer.text}`,
  );
  return answer;
}

function expectSame(what: string, found: Json | undefined, expected: Json | undefined): void {
  if (same(found, expected)) return;
  const at = pathOfDifference(found, expected);
  const path = at.length > 0 ? ` at ${pointer(at)}` : '';
  const [is, should] = [found, expected].map((value) => canonical(value === undefined ? value : valueAt(value, at)));
  throw new Error(`${what}${path} should be ${should}, but is ${is}`);
}

/** Where two values begin to differ, as deep as one can say. */
function pathOfDifference(a: Json | undefined, b: Json | undefined): string[] {
  const alike = (Array.isArray(a) && Array.isArray(b)) || (isObject(a) && isObject(b));
  if (!alike || a === undefined || b === undefined) return [];
  const at = [...new Set([...Object.keys(a), ...Object.keys(b)])].find(
    (token) => !same(valueAt(a, [token]), valueAt(b, [token])),
  );
  return at === undefined ? [] : [at, ...pathOfDifference(valueAt(a, [at]), valueAt(b, [at]))];
}

const tally = (kind: string, end: string) => ends.set(`${kind}: ${end}`, (ends.get(`${kind}: ${end}`) ?? 0) + 1);

function expectRefused(answer: Answer, { status, code, tick }: Refused): void {
  expectSame('the refusal', [answer.status, answer.body.code ?? null], [status, code]);
  expectSame('its own status', answer.body.status, status);
  expectSame('its media type', answer.headers['content-type']?.split(';')[0], 'application/problem+json');
  if (tick !== undefined) expectSame('the tick it names', answer.body.tick, tick);
}

// How things are written.

/** JSON text; the odd spelling has other orders of members, 1.0 for 1, and spaces. */
function jsonText(value: Json, spelling: string): string {
  const odd = spelling === 'odd';
  if (typeof value === 'number')
    return Object.is(value, -0) ? '-0' : odd && /^-?\d+$/.test(`${value}`) ? `${value}.0` : `${value}`;
  if (Array.isArray(value)) return `[${value.map((item) => jsonText(item, spelling)).join(odd ? ' , ' : ',')}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([name, member]) => `${JSON.stringify(name)}:${jsonText(member, spelling)}`,
  );
  return `{${(odd ? members.reverse() : members).join(',')}}`;
}

/** An instant a microsecond earlier or later, unless that is another second. */
function beside(instant: string, by: 1 | -1): string {
  const fraction = Number(instant.slice(20, 26)) + by;
  return fraction < 0 || fraction > 999_999 ? instant : `${instant.slice(0, 20)}${String(fraction).padStart(6, '0')}Z`;
}

/** The same instant, written in another way where its hour allows. */
function spelled(instant: string, spelling: string): string {
  if (spelling === 'Z') return instant;
  if (spelling === 'z') return instant.toLowerCase();
  const hour = Number(instant.slice(11, 13)) + 2;
  if (hour > 23) return instant;
  return `${instant.slice(0, 11)}${String(hour).padStart(2, '0')}${instant.slice(13, -1)}${spelling}`;
}

/** A point in the past of an entity, and how it is said. */
function pointOf(entity: Entity | undefined, { kind, n, spelling }: PointDraw): { said: string; point: Point } {
  const ticks = entity?.ticks ?? [];
  const tick = nth(ticks, n);
  const at = (instant: string) => ({ said: spelled(instant, spelling), point: { instant } });
  const theTick = (number: number) => ({ said: String(number), point: { tick: number } });
  switch (kind) {
    case 'tick':
      return theTick(tick?.tick ?? 1);
    case 'no tick yet':
      return theTick(ticks.length + 1 + n * n * n * n * n * n);
    case 'the future':
      return { said: '9999-12-31T23:59:59Z', point: 'the future' };
    case 'at':
    case 'before':
    case 'after':
      if (tick) return at(kind === 'at' ? tick.at : beside(tick.at, kind === 'after' ? 1 : -1));
  }
  return at('2016-08-19T00:00:00.000000Z');
}

/** A conditional header, and the ticks that it names. */
function conditionOf(
  now: Tick | undefined,
  draw: TagDraw | null,
  weakly: boolean,
): { said: string; names: Condition } | null {
  if (draw === null) return null;
  const tick = now?.tick ?? 1;
  const stale = 1 + (draw.n % tick);
  switch (draw.kind) {
    case '*':
      return { said: '*', names: '*' };
    case 'never':
      return { said: `"${tick + 1}"`, names: [tick + 1] };
    case 'stale':
      return { said: `"${stale}"`, names: [stale] };
    case 'list':
      return {
        said: `"x", W/"${tick + 1}","${stale}" , "${tick}"`,
        names: [...(weakly ? [tick + 1] : []), stale, tick],
      };
    case 'weak':
      return { said: `W/"${tick}"`, names: weakly ? [tick] : [] };
    default:
      return { said: `"${tick}"`, names: [tick] };
  }
}

// Writes.

type Request = {
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: string;
  body: JsonObject | Json[] | undefined;
  type?: string;
};

/** The activity of a write: what goes into the headers and the body, and whom the tick is to name. */
type Given = { header: string | null; body: JsonObject | null; who: Who | null; refused: Refused | null };

async function activityOf(
  world: World,
  entity: Entity | undefined,
  { activity, n, details }: Writing,
  takesBody: boolean,
): Promise<Given> {
  const said: JsonObject = { actor: world.type, ...details };
  const none = { header: null, body: null, who: null, refused: null };
  const inBody = { ...none, body: said, who: { id: null, said } };
  const named = (who: Who) => ({ ...none, header: who.id, who });
  switch (activity) {
    case 'in the body':
      return takesBody ? inBody : none;
    case 'new':
      return named(await recordActivity(world, said));
    case 'known':
    case 'again': {
      const ofEntity = entity?.ticks.flatMap(({ who }) => who ?? []) ?? [];
      const known = nth(activity === 'again' ? ofEntity : world.activities, n);
      return known ? named(known) : none;
    }
    case 'unknown':
      return { ...none, header: randomUUID(), refused: { status: 400, code: 'unknown_activity' } };
    case 'twice': {
      const known = nth(world.activities, n);
      if (!known || !takesBody) return none;
      return { ...inBody, header: known.id, refused: { status: 400, code: 'activity_given_twice' } };
    }
  }
  return none;
}

async function recordActivity(world: World, said: JsonObject): Promise<Who> {
  const answer = await send(world, 'POST', '/activities', jsonText(said, 'plain'));
  const { id, recordedAt, ...rest } = answer.body;
  expectSame('the status', answer.status, 201);
  expectSame('Location', answer.headers.location, `/activities/${text(id)}`);
  expectSame('the activity', rest, said);
  expectInstant('recordedAt', text(recordedAt));
  const who = { id: text(id), said };
  world.activities.push(who);
  world.recorded++;
  return who;
}

function expectInstant(what: string, instant: string): void {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(instant)) throw new Error(`${what} is no instant: ${instant}`);
}

/** An activity ticks an entity at most once. */
function withActivity(verdict: Verdict, entity: Entity | undefined, { refused, who }: Given): Verdict {
  // What is wrong with the body is found before the activity is looked for.
  if (refused?.code === 'unknown_activity' && verdict.end === 'refused' && verdict.refused.code === 'invalid_body') {
    return verdict;
  }
  if (refused) return { end: 'refused', refused };
  const ticked = entity?.ticks.some((tick) => who?.id && tick.who?.id === who.id);
  const again: Refused = { status: 409, code: 'activity_already_ticked' };
  return verdict.end === 'tick' && ticked ? { end: 'refused', refused: again } : verdict;
}

async function write(world: World, kind: string, target: Target, command: Command, request: Request, draw: Writing) {
  const { entity } = target;
  const given = await activityOf(world, entity, draw, isObject(request.body));
  // POST /entities takes no conditions.
  const conditional = command.call !== 'post';
  const ifMatch = conditional ? conditionOf(latest(entity), draw.ifMatch, false) : null;
  const ifNoneMatch = conditional ? conditionOf(latest(entity), draw.ifNoneMatch, true) : null;
  const conditions: Conditions = { ifMatch: ifMatch?.names ?? null, ifNoneMatch: ifNoneMatch?.names ?? null };
  const verdict = withActivity(verdictOf(entity, command, conditions), entity, given);
  const headers = Object.entries({
    'content-type': request.type ?? (request.body === undefined ? null : 'application/json'),
    'if-match': ifMatch?.said,
    'if-none-match': ifNoneMatch?.said,
    'activity-id': given.header,
    prefer: draw.minimal ? 'return=minimal' : null,
  }).flatMap(([name, said]): [string, string][] => (said ? [[name, said]] : []));
  const body = isObject(request.body) && given.body ? { ...request.body, activity: given.body } : request.body;
  const answer = await send(
    world,
    request.method,
    `${request.url}${draw.dryRun ? '?dryRun=true' : ''}`,
    body === undefined ? undefined : jsonText(body, draw.spelling),
    Object.fromEntries(headers),
  );
  const end = verdict.end === 'refused' ? verdict.refused.code : verdict.end === 'tick' ? verdict.op : verdict.end;
  tally(draw.dryRun ? `${kind}, dry` : kind, end);
  if (verdict.end === 'refused') expectRefused(answer, verdict.refused);
  else if (draw.dryRun) await expectPreview(world, target, answer, verdict, command);
  else {
    const entity = expectWritten(target, answer, verdict, command, draw.minimal);
    if (verdict.end === 'tick') {
      lastTick(entity).who = given.who;
      target.entity = entity;
      await expectRecorded(world, entity);
    }
  }
  await expectNow(world, target);
}

/** The entity after a write, by the id and the instant that the answer says. */
function after(target: Target, verdict: Verdict, command: Command, told: { id: string; at: string }): Entity {
  const type = command.call === 'put' || command.call === 'post' ? command.type : '';
  const entity = target.entity ?? { id: told.id, type, key: target.named?.key ?? null, ticks: [] };
  if (verdict.end !== 'tick') return entity;
  const { op, properties } = verdict;
  const tick: Tick = { tick: entity.ticks.length + 1, at: told.at, op, properties, who: null };
  return { ...entity, ticks: [...entity.ticks, tick] };
}

/** The last tick of an entity that has one. */
function lastTick(entity: Entity): Tick {
  const tick = latest(entity);
  if (!tick) throw new Error(`${entity.id} has no tick`);
  return tick;
}

function expectNewId({ named, id, entity }: Target, found: string): void {
  const known = entity?.id ?? id;
  if (known !== null) expectSame('the id', found, known);
  // RFC 9562: of version 5 where it is made of the key, else of 7.
  else expectSame("the id's version", found[14] ?? '', named ? '5' : '7');
}

function expectLater(target: Target, at: string): void {
  expectInstant('the instant', at);
  const last = latest(target.entity)?.at;
  if (last !== undefined && at <= last) throw new Error(`${at} is not later than the last tick's ${last}`);
}

function expectWritten(target: Target, answer: Answer, verdict: Verdict, command: Command, minimal: boolean): Entity {
  const { location, etag, 'tick-at': at = '', 'preference-applied': applied } = answer.headers;
  const ticks = verdict.end === 'tick';
  const begins = ticks && verdict.op !== 'updated' && (command.call === 'post' || command.call === 'put');
  const bodiless = minimal || command.call === 'delete';
  expectSame('the status', answer.status, bodiless ? 204 : begins ? 201 : 200);
  const id = location?.replace('/entities/', '') ?? target.entity?.id ?? '';
  expectNewId(target, id);
  expectSame('Location', location, begins ? `/entities/${id}` : undefined);
  if (ticks) expectLater(target, at);
  const entity = after(target, verdict, command, { id, at });
  const now = lastTick(entity);
  expectSame('ETag', etag, `"${now.tick}"`);
  expectSame('Tick-At', at, now.at);
  expectSame('Preference-Applied', applied, minimal && command.call !== 'delete' ? 'return=minimal' : undefined);
  if (bodiless) expectSame('the text', answer.text, '');
  else expectSame('the body', answer.body, entityBody(entity, now));
  return entity;
}

/** A dry run answers what the write would: of the same tick, at an instant that the model cannot know. */
async function expectPreview(world: World, target: Target, answer: Answer, verdict: Verdict, command: Command) {
  expectSame('the status', answer.status, 200);
  expectSame('ETag', answer.headers.etag, undefined);
  const shown = answer.body;
  const told = { id: text(shown.id), at: text(shown.updatedAt) };
  expectNewId(target, told.id);
  if (verdict.end === 'tick') expectLater(target, told.at);
  const entity = after(target, verdict, command, told);
  const ticks = verdict.end === 'tick';
  const preview = { op: ticks ? verdict.op : null, changes: ticks ? changesOf(entity, lastTick(entity)) : {} };
  expectSame('the preview', answer.body, { ...object(entityBody(entity, lastTick(entity))), preview });
  if (target.entity || target.named || target.id) return;
  const made = await send(world, 'GET', `/entities/${told.id}`);
  expectRefused(made, { status: 404, code: 'entity_not_found' });
}

/** The newest tick's entry in the history: what no answer to a write says, and the id of an activity in its body. */
async function expectRecorded(world: World, entity: Entity): Promise<void> {
  const now = lastTick(entity);
  const answer = await send(world, 'GET', `/entities/${entity.id}/history?order=desc&limit=1`);
  const entry = object(list(answer.body.items)[0]);
  if (now.who?.id === null) {
    now.who.id = text(object(entry.activity).id);
    world.activities.push(now.who);
    world.recorded++;
  }
  expectSame('its entry in the history', entry, entryOf(entity, now));
}

const whoBody = (who: Who | null): Json => (who ? { id: who.id, ...who.said } : null);

const entryOf = (entity: Entity, tick: Tick): JsonObject => ({
  tick: tick.tick,
  at: tick.at,
  op: tick.op,
  activity: whoBody(tick.who),
  changes: changesOf(entity, tick),
});

/** After every write, also of one that is refused, changes nothing or was dry: the entity is where the model is. */
async function expectNow(world: World, target: Target): Promise<void> {
  const answer = await send(world, 'GET', urlOf(target, 'key'));
  const found = shownAsOf(target.entity, null);
  if (isRefused(found)) expectRefused(answer, found);
  else if (target.entity) expectSame('the entity after it', answer.body, entityBody(target.entity, found));
}

/** What a body says: of what is generated and what the entity has. */
function contentOf(entity: Entity | undefined, { of, given }: Content): JsonObject {
  const had = latest(entity)?.properties ?? {};
  if (of === 'same') return had;
  return of === 'both' ? objectOf([...Object.entries(had), ...Object.entries(given)]) : given;
}

/** The locations of all values in a value. */
function locations(value: Json, path: string[] = []): string[][] {
  const items = Array.isArray(value)
    ? value.map((item, index): [string, Json] => [String(index), item])
    : isObject(value)
      ? Object.entries(value)
      : [];
  return items.flatMap(([token, item]) => [[...path, token], ...locations(item, [...path, token])]);
}

/** A place to put something: the name of a member, an index of an array, or its end. */
function newPlace(properties: JsonObject, { n, from, name }: OperationDraw): string[] {
  const holders = [[], ...locations(properties)].filter((path) => {
    const holder = valueAt(properties, path);
    return Array.isArray(holder) || isObject(holder);
  });
  const path = nth(holders, n) ?? [];
  const holder = valueAt(properties, path);
  if (!Array.isArray(holder)) return [...path, name];
  return [...path, nth(['-', String(holder.length), '0'], from) ?? '-'];
}

/** A place that is not: in nothing, or by what is no index of an array. */
function nowhere(properties: JsonObject, { n, from, name }: OperationDraw): string[] {
  const path = nth(locations(properties), n) ?? [name];
  const holder = valueAt(properties, path);
  const index = Array.isArray(holder) ? nth(['01', String(holder.length + 1), 'x', '-1', ''], from) : undefined;
  return index === undefined ? [...path, 'not there', name] : [...path, index];
}

function operationOf(properties: JsonObject, draw: OperationDraw): Operation {
  const { op, where, value = null } = draw;
  const there = (n: number) => nth(locations(properties), n) ?? [draw.name];
  const adds = op === 'add' || op === 'move' || op === 'copy';
  const path =
    where === 'nowhere'
      ? nowhere(properties, draw)
      : where === 'new' && adds
        ? newPlace(properties, draw)
        : there(draw.n);
  switch (op) {
    case 'move':
    case 'copy':
      return { op, path, from: there(draw.from) };
    case 'remove':
      return { op, path };
    case 'test':
      return {
        op,
        path,
        value: draw.value === undefined || where === 'there' ? (valueAt(properties, path) ?? value) : value,
      };
    default:
      return { op: op === 'add' ? op : 'replace', path, value };
  }
}

/** Operations that mostly apply, each to what those before it leave. */
function operationsOf(properties: JsonObject, draws: readonly OperationDraw[]): Operation[] {
  const made: Operation[] = [];
  for (const draw of draws) {
    const patched = jsonPatch(properties, made);
    made.push(operationOf(typeof patched === 'string' ? properties : patched, draw));
  }
  return made;
}

const wireOf = (operation: Operation): JsonObject => ({
  ...operation,
  path: pointer(['properties', ...operation.path]),
  ...('from' in operation ? { from: pointer(['properties', ...operation.from]) } : {}),
});

/** A target of its own for what is made without a key. */
function newTarget({ targets, others }: World): Target {
  const target = { named: null, id: null, entity: undefined };
  (targets.length < MOST_TARGETS ? targets : others).push(target);
  return target;
}

async function perform(world: World, step: Step): Promise<void> {
  operations++;
  switch (step.kind) {
    case 'post':
      return post(world, step);
    case 'put': {
      const { writing, content, otherType } = step;
      const target = targetOf(world, writing.target);
      const url = urlOf(target, writing.by);
      const said = addressOf(target, writing.by);
      const type = otherType ? `${world.type}-other` : (target.entity?.type ?? world.type);
      const properties = contentOf(target.entity, content);
      const address = said.type === null ? { fresh: said.said !== UNBORN } : { type: said.type };
      const command: Command = { call: 'put', address, type, properties };
      return write(world, 'put', target, command, { method: 'PUT', url, body: { type, properties } }, writing);
    }
    case 'merge': {
      const { writing } = step;
      const target = targetOf(world, writing.target);
      const patch = contentOf(target.entity, step.content);
      const type = nth(['application/json', 'application/merge-patch+json'], writing.n) ?? '';
      const request: Request = { method: 'PATCH', url: urlOf(target, writing.by), body: { properties: patch }, type };
      return write(world, 'merge', target, { call: 'merge', patch }, request, writing);
    }
    case 'jsonPatch': {
      const { writing } = step;
      const target = targetOf(world, writing.target);
      const operations = operationsOf(latest(target.entity)?.properties ?? {}, step.operations);
      const body = operations.map(wireOf);
      const type = 'application/json-patch+json';
      const request: Request = { method: 'PATCH', url: urlOf(target, writing.by), body, type };
      return write(world, 'jsonPatch', target, { call: 'jsonPatch', operations }, request, writing);
    }
    case 'delete': {
      const target = targetOf(world, step.writing.target);
      const request: Request = { method: 'DELETE', url: urlOf(target, step.writing.by), body: undefined };
      return write(world, 'delete', target, { call: 'delete' }, request, step.writing);
    }
    case 'restore': {
      const target = deadTargetOf(world, step.writing);
      const request: Request = { method: 'POST', url: `${urlOf(target, step.writing.by)}/restore`, body: {} };
      return write(world, 'restore', target, { call: 'restore' }, request, step.writing);
    }
    case 'revert':
      return revert(world, step);
    case 'read':
      return read(world, step);
    case 'list':
      return readList(world, step);
    case 'diff':
      return diff(world, step);
    case 'history':
      return history(world, step);
    case 'ranges':
      return ranges(world, step);
    case 'activity':
      return readActivity(world, step);
  }
}

async function post(world: World, { writing, properties, keyed }: StepOf<'post'>): Promise<void> {
  const known = deadTargetOf(world, writing);
  const target = keyed && known.named ? known : newTarget(world);
  const key = target.named ? { key: target.named.key } : {};
  const { type } = world;
  const request: Request = { method: 'POST', url: '/entities', body: { type, ...key, properties } };
  await write(world, 'post', target, { call: 'post', type, properties }, request, writing);
  if (!target.named && !target.entity) world.targets = world.targets.filter((other) => other !== target);
}

async function revert(world: World, { writing, to, names }: StepOf<'revert'>): Promise<void> {
  const target = targetOf(world, writing.target);
  const { said, point } = pointOf(target.entity, to);
  // A tick can be said as a number, too.
  const asNumber = point !== 'the future' && 'tick' in point && writing.spelling === 'odd';
  const body = { to: asNumber ? Number(said) : said, ...(names ? { properties: names } : {}) };
  const request: Request = { method: 'POST', url: `${urlOf(target, writing.by)}/revert`, body };
  const kind = names ? 'revert named' : 'revert';
  return write(world, kind, target, { call: 'revert', to: point, names }, request, writing);
}

// Reads.

type Query = Record<string, string | string[] | { joined: string[] } | null | undefined>;

/** A query: percent-encoded, but for a space that stands for an offset's +. */
function query(parameters: Query): string {
  const said = Object.entries(parameters).flatMap(([name, value]) => {
    if (isObject(value)) return [`${name}=${value.joined.map(encodeURIComponent).join()}`];
    return [value ?? []].flat().map((item) => `${name}=${encodeURIComponent(item)}`);
  });
  return said.length === 0 ? '' : `?${said.join('&')}`;
}

/** Items of a parameter that takes many: the parameter repeated, or commas between that are not encoded. */
const itemsOf = (items: string[], repeated: boolean) => (repeated ? items : { joined: items });

const fieldsOf = (fields: string[] | null, repeated: boolean) => (fields ? itemsOf(fields, repeated) : null);

async function read(
  world: World,
  { asOf, fields, told, known, head, repeated, ...draw }: StepOf<'read'>,
): Promise<void> {
  const target = targetOf(world, draw.target);
  const { entity } = target;
  const then = asOf && pointOf(entity, asOf);
  const found = shownAsOf(entity, then?.point ?? null);
  const condition = conditionOf(isRefused(found) ? undefined : found, known, true);
  const url = `${urlOf(target, draw.by)}${query({ asOf: then?.said, fields: fieldsOf(fields, repeated), include: includeOf(told) })}`;
  const headers = condition ? { 'if-none-match': condition.said } : {};
  const answer = await send(world, head ? 'HEAD' : 'GET', url, undefined, headers);
  if (isRefused(found)) {
    tally('read', found.code);
    if (head) expectSame('the status', answer.status, found.status);
    else expectRefused(answer, found);
    return;
  }
  const isKnown = condition?.names === '*' || (condition?.names.includes(found.tick) ?? false);
  tally('read', isKnown ? 'not modified' : then ? 'as of' : 'now');
  expectSame('the status', answer.status, isKnown ? 304 : 200);
  expectSame('ETag', answer.headers.etag, `"${found.tick}"`);
  // The state's own URL, with what chooses a part of it; where that is too long for headers, none.
  const parts = [
    ...(fields ?? []).map((field): [string, string] => ['fields', field]),
    ...(told ? [['include', 'provenance'] as [string, string]] : []),
  ];
  const chosen = new URLSearchParams(parts).toString();
  const isLong = chosen.length * 8 > 8_000;
  const place =
    then && entity && !isLong ? `/entities/${entity.id}?asOf=${found.tick}${chosen && `&${chosen}`}` : undefined;
  expectSame('Content-Location', answer.headers['content-location'], place);
  if (isKnown || head) expectSame('the text', answer.text, '');
  else if (entity) expectSame('the entity', answer.body, bodyOf(entity, found, fields, told));
}

const includeOf = (told: boolean) => (told ? 'provenance' : null);

/** The entity at one of its ticks, perhaps with who set what of it. */
const bodyOf = (entity: Entity, tick: Tick, fields: readonly string[] | null, told: boolean): JsonObject => ({
  ...entityBody(entity, tick, fields),
  ...(told ? { provenance: provenanceOf(entity, tick, fields) } : {}),
});

/** By property the range that holds at a tick, as it was then: open. */
function provenanceOf({ ticks }: Entity, { tick, properties }: Tick, fields: readonly string[] | null): JsonObject {
  const names = Object.keys(properties).filter((name) => fields === null || fields.includes(name));
  return objectOf(
    names.flatMap((name) =>
      rangesOf(ticks.slice(0, tick), name).flatMap((range): [string, Json][] => {
        const { value: _, ...when } = rangeBody(range);
        return range.to === null ? [[name, when]] : [];
      }),
    ),
  );
}

async function readList(world: World, { targets, asOf, fields, repeated, told }: StepOf<'list'>): Promise<void> {
  const wanted = targets.map(({ target, by }) => {
    const one = targetOf(world, target);
    return { target: one, said: addressOf(one, by === 'ID' ? 'id' : by).said };
  });
  const then = asOf && pointOf(nth(world.targets, asOf.target)?.entity, asOf.point);
  const ids = itemsOf(
    wanted.map(({ said }) => said),
    repeated,
  );
  const url = `/entities${query({ ids, asOf: then?.said, fields: fieldsOf(fields, repeated), include: includeOf(told) })}`;
  const answer = await send(world, 'GET', url);
  if (then && then.point !== 'the future' && 'tick' in then.point) {
    tally('list', 'as of a tick');
    return expectRefused(answer, { status: 400, code: 'invalid_as_of' });
  }
  if (then?.point === 'the future') return expectRefused(answer, { status: 400, code: 'as_of_in_future' });
  tally('list', then ? 'as of' : 'now');
  const items: Json[] = [];
  const missing: Json[] = [];
  const states = new Map<string, number>();
  for (const { target, said } of wanted) {
    const { entity } = target;
    const found = shownAsOf(entity, then?.point ?? null);
    const name = target.named?.key ?? entity?.id ?? target.id ?? said;
    if (states.has(name)) continue;
    states.set(name, isRefused(found) ? (found.tick ?? 0) : found.tick);
    if (isRefused(found)) missing.push({ id: said, code: found.code });
    else if (entity) items.push(bodyOf(entity, found, fields, told));
  }
  expectSame('the list', [answer.status, answer.body], [200, { items, missing }]);
  await expectListTag(world, url, text(answer.headers.etag), JSON.stringify([...states]));
}

/** The tag of a list is the same if and only if all it is over is. */
async function expectListTag(world: World, url: string, etag: string, over: string): Promise<void> {
  for (const [otherOver, other] of world.listTags)
    expectSame('one tag, one content', other === etag, otherOver === over);
  world.listTags.set(over, etag);
  const answer = await send(world, 'GET', url, undefined, { 'if-none-match': `"x", ${etag}` });
  expectSame('asked again', [answer.status, answer.text, answer.headers.etag ?? ''], [304, '', etag]);
}

async function diff(world: World, draw: StepOf<'diff'>): Promise<void> {
  const target = targetOf(world, draw.target);
  const from = pointOf(target.entity, draw.from);
  const to = draw.to && pointOf(target.entity, draw.to);
  const url = `${urlOf(target, draw.by)}/diff${query({ from: from.said, to: to?.said })}`;
  const answer = await send(world, 'GET', url);
  const future = [from.point, to?.point].includes('the future');
  const was = tickAsOf(target.entity, future ? 'the future' : from.point);
  const becomes = to ? tickAsOf(target.entity, to.point) : (latest(target.entity) ?? was);
  const fault = [was, becomes].find(isRefused);
  tally('diff', fault ? fault.code : 'told');
  if (fault) return expectRefused(answer, fault);
  if (isRefused(was) || isRefused(becomes)) return;
  const end = ({ tick, at, op }: Tick) => ({ tick, at, ...(op === 'deleted' ? { deleted: true } : {}) });
  const changes = changesBetween(was.properties, becomes.properties);
  expectSame('the difference', [answer.status, answer.body], [200, { from: end(was), to: end(becomes), changes }]);
  const etag = `"${was.tick}-${becomes.tick}"`;
  expectSame('ETag', answer.headers.etag, etag);
  const again = await send(world, 'GET', url, undefined, { 'if-none-match': etag });
  expectSame('asked again', [again.status, again.text], [304, '']);

  const at = `${from.said},${to?.said ?? 'now'}`;
  const path = `${urlOf(target, draw.by)}/compare${query({ at, only: 'differing', depth: 'full' })}`;
  const { status, body } = await send(world, 'GET', path);
  const beside = (side: JsonObject, member: string) =>
    Object.hasOwn(side, member) ? { value: side[member] ?? null } : {};
  const properties = Object.fromEntries(
    Object.entries(changes).map(([name, change]) => {
      const sides = object(change);
      return [name, [beside(sides, 'from'), beside(sides, 'to')]];
    }),
  );
  const { patches, ...compared } = body;
  expectSame('side by side', [status, compared], [200, { moments: [end(was), end(becomes)], properties }]);
  const [patch = null] = list(patches);
  const patched = applyJsonPatch(was.properties, operationsIn(patch));
  expectSame('patched', jsonEqual(patched, becomes.properties), true);
}

type Walk = { member?: string; meanwhile?: (() => Promise<void>) | undefined };

/** The first answer, and all items of all pages; between the first page and the second, something may happen. */
async function walk(
  world: World,
  url: string,
  parameters: Query,
  limit: number,
  { member = 'items', meanwhile }: Walk = {},
): Promise<{ first: Answer; items: Json[] }> {
  const page = (cursor: string | null) =>
    send(world, 'GET', `${url}${query({ ...parameters, limit: String(limit), cursor })}`);
  const first = await page(null);
  const items: Json[] = [];
  for (let answer = first; answer.status === 200; ) {
    const found = list(answer.body[member]);
    items.push(...found);
    const cursor = answer.body.next === null ? null : text(answer.body.next);
    const link = /^<(.+)>; rel="next"$/.exec(answer.headers.link ?? '')?.[1];
    const linked = link === undefined ? null : new URL(link, 'http://here').searchParams.get('cursor');
    expectSame('the cursor of Link', linked, cursor);
    if (cursor === null) break;
    expectSame('how many items a page before the last has', found.length, limit);
    if (answer === first) await meanwhile?.();
    answer = await page(cursor);
  }
  return { first, items };
}

const quiet: Writing = {
  target: 0,
  by: 'id',
  ifMatch: null,
  ifNoneMatch: null,
  activity: 'none',
  n: 0,
  details: {},
  dryRun: false,
  minimal: false,
  spelling: 'plain',
};

/** Something to happen to an entity while its history is being read. */
function changeOf(world: World, target: Target, names: readonly string[]): () => Promise<void> {
  const properties = objectOf(names.map((name) => [name, `changed at ${latest(target.entity)?.tick}`]));
  const request: Request = { method: 'PUT', url: urlOf(target, 'id'), body: undefined };
  const type = target.entity?.type ?? world.type;
  const command: Command = { call: 'put', address: { fresh: true }, type, properties };
  return () => write(world, 'meanwhile', target, command, { ...request, body: { type, properties } }, quiet);
}

async function history(world: World, { order, limit, meanwhile, ...draw }: StepOf<'history'>): Promise<void> {
  const target = targetOf(world, draw.target);
  const { entity } = target;
  const change = meanwhile ? changeOf(world, target, ['a']) : undefined;
  const { first, items } = await walk(world, `${urlOf(target, draw.by)}/history`, { order }, limit, {
    meanwhile: change,
  });
  tally('history', entity ? order : 'entity_not_found');
  if (!entity) return expectRefused(first, { status: 404, code: 'entity_not_found' });
  const entries = entity.ticks.map((tick) => entryOf(entity, tick));
  expectSame('the history', items, order === 'asc' ? entries : entries.reverse());
}

const rangeBody = ({ value, from, to }: Range): JsonObject => ({
  value,
  vclock: { from: from.tick, to: to?.tick ?? null },
  effective: { from: from.at, to: to?.at ?? null },
  activity: whoBody(from.who),
});

const rangesUrl = (target: Target, by: string, name: string) =>
  `${urlOf(target, by)}/history/${encodeURIComponent(name)}`;

async function ranges(world: World, draw: StepOf<'ranges'>): Promise<void> {
  const target = targetOf(world, draw.target);
  const { entity } = target;
  const ticks = entity?.ticks ?? [];
  const name = typeof draw.name === 'string' ? draw.name : (nth(namesEverHeld(ticks), draw.name) ?? 'a');
  if (draw.asOf) return rangeAsOf(world, target, name, pointOf(entity, draw.asOf), draw.by);
  const from = draw.from && pointOf(entity, draw.from);
  const to = draw.to && pointOf(entity, draw.to);
  const { order, limit } = draw;
  const { first, items } = await walk(
    world,
    rangesUrl(target, draw.by, name),
    { from: from?.said, to: to?.said, order },
    limit,
    { meanwhile: draw.meanwhile ? changeOf(world, target, [name]) : undefined },
  );
  const all = rangesOf(ticks, name);
  const fault = !entity ? 'entity_not_found' : all.length === 0 ? 'property_not_found' : null;
  tally('ranges', fault ?? (from || to ? `${order} in a window` : order));
  if (fault) return expectRefused(first, { status: 404, code: fault });
  const window = { from: from?.point ?? null, to: to?.point ?? null };
  const bodies = all.filter((range) => overlaps(ticks, range, window)).map(rangeBody);
  expectSame('the ranges', items, order === 'asc' ? bodies : bodies.reverse());
}

/** The range that contains a point, as it was then: open. */
async function rangeAsOf(world: World, target: Target, name: string, asOf: ReturnType<typeof pointOf>, by: string) {
  const answer = await send(world, 'GET', `${rangesUrl(target, by, name)}${query({ asOf: asOf.said })}`);
  const then = tickAsOf(target.entity, asOf.point);
  if (isRefused(then)) {
    tally('range as of', then.code);
    return expectRefused(answer, then);
  }
  const known = rangesOf(target.entity?.ticks.slice(0, then.tick) ?? [], name);
  tally('range as of', known.length === 0 ? 'property_not_found' : 'told');
  if (known.length === 0) return expectRefused(answer, { status: 404, code: 'property_not_found' });
  const items = known.filter(({ to }) => to === null).map(rangeBody);
  expectSame('the range', [answer.status, answer.body], [200, { items, next: null }]);
}

async function readActivity(world: World, { n, limit }: StepOf<'activity'>): Promise<void> {
  // Every other time one of those that made the most ticks.
  const ticksOf = ({ id }: Who) =>
    entitiesOf(world).filter(({ ticks }) => ticks.some(({ who }) => who?.id === id)).length;
  const busiest = world.activities.toSorted((a, b) => ticksOf(b) - ticksOf(a));
  const who = n % 2 === 0 ? nth(busiest.slice(0, 2), n / 2) : nth(world.activities, n);
  const url = `/activities/${who?.id ?? randomUUID()}`;
  if (!who) {
    tally('activity', 'activity_not_found');
    return expectRefused(await send(world, 'GET', url), { status: 404, code: 'activity_not_found' });
  }
  const { first, items } = await walk(world, url, {}, limit, { member: 'ticks' });
  const { ticks: _ticks, next: _next, recordedAt, ...rest } = first.body;
  expectInstant('recordedAt', text(recordedAt));
  expectSame('the activity', rest, { id: who.id, ...who.said });
  const made = entitiesOf(world)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .flatMap(({ id, type, key, ticks }) =>
      ticks
        .filter((tick) => tick.who?.id === who.id)
        .map(({ tick, at, op }): JsonObject => ({ id, type, ...(key === null ? {} : { key }), tick, at, op })),
    );
  tally('activity', made.length > 1 ? 'of several entities' : 'told');
  expectSame('its ticks', items, made);
}

const entitiesOf = ({ targets, others }: World): Entity[] =>
  [...targets, ...others].flatMap(({ entity }) => (entity ? [entity] : []));

// The whole of a run.

/** The whole history of an entity: its clock, every state, and every range. */
async function expectHistory(world: World, entity: Entity): Promise<void> {
  const target = { named: null, id: entity.id, entity };
  const { items } = await walk(world, `/entities/${entity.id}/history`, {}, 1000);
  const clock = items.map((item) => object(item));
  expectSame(
    'its ticks',
    clock.map(({ tick }) => tick ?? null),
    clock.map((_, index) => index + 1),
  );
  const instants = clock.map(({ at }) => text(at));
  expectSame('its instants, strictly increasing', instants, [...new Set(instants)].sort());
  expectSame(
    'its history',
    items,
    entity.ticks.map((tick) => entryOf(entity, tick)),
  );
  for (const tick of entity.ticks) {
    const found = shownAsOf(entity, { tick: tick.tick });
    for (const asOf of [String(tick.tick), tick.at]) {
      for (const told of [false, true]) {
        const answer = await send(
          world,
          'GET',
          `/entities/${entity.id}?asOf=${asOf}${told ? '&include=provenance' : ''}`,
        );
        if (isRefused(found)) expectRefused(answer, found);
        else expectSame(`the state as of ${asOf}`, answer.body, bodyOf(entity, tick, null, told));
      }
    }
  }
  for (const name of namesEverHeld(entity.ticks)) {
    const { items } = await walk(world, rangesUrl(target, 'id', name), {}, 1000);
    expectSame(`the ranges of ${name}`, items, rangesOf(entity.ticks, name).map(rangeBody));
  }
}

/** Nothing is kept but what the model knows of: dry runs and refused writes leave no trace anywhere. */
async function expectNothingElse(world: World, { sql }: Service): Promise<void> {
  const { type } = world;
  const types = [type, `${type}-other`];
  const [kept] = await sql<JsonObject[]>`
    SELECT (SELECT count(*)::int FROM clocktick.entity WHERE type = ANY (${types})) AS entities,
           (SELECT count(*)::int FROM clocktick.tick WHERE type = ANY (${types})) AS ticks,
           (SELECT count(*)::int FROM clocktick.property_range WHERE type = ANY (${types})) AS ranges,
           (SELECT count(*)::int FROM clocktick.activity WHERE actor = ${type}) AS activities`;
  const entities = entitiesOf(world);
  const rangesIn = ({ ticks }: Entity) => namesEverHeld(ticks).flatMap((name) => rangesOf(ticks, name)).length;
  const sum = (of: (entity: Entity) => number) => entities.reduce((total, entity) => total + of(entity), 0);
  expectSame(
    'what is kept',
    { ...kept },
    {
      entities: entities.length,
      ticks: sum(({ ticks }) => ticks.length),
      ranges: sum(rangesIn),
      activities: world.recorded,
    },
  );
}

async function run(service: Service, start: Start, steps: readonly Step[]): Promise<void> {
  const world = newWorld(service.call, start);
  try {
    for (const step of [start.first, ...steps]) await perform(world, step);
    for (const entity of entitiesOf(world)) await expectHistory(world, entity);
    await expectNothingElse(world, service);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${why}\n\nThe requests of this run:\n${world.trace.join('\n')}`, { cause: error });
  }
}

t.test('whatever is written in whatever order, every answer is the one that the model gives', async (t) => {
  const service = await testService(t);
  let deadline = Number.POSITIVE_INFINITY;
  const steps = fc.array(step, { maxLength: MOST_STEPS, size: 'max' });
  const property = fc.asyncProperty(start, steps, async (start, steps) => {
    if (Date.now() > deadline) return;
    try {
      await run(service, start, steps);
    } catch (error) {
      deadline = Math.min(deadline, Date.now() + SHRINKING_MS);
      throw error;
    }
  });
  const details = await fc.check(property, {
    numRuns: RUNS,
    unbiased: true,
    ...(SEED === undefined ? {} : { seed: Number(SEED) }),
    ...(PATH === undefined ? {} : { path: PATH }),
  });
  const { seed, counterexamplePath, errorInstance } = details;
  if (details.failed) {
    const [why = '', ...more] = errorInstance instanceof Error ? errorInstance.message.split('\n') : [];
    t.comment(more.join('\n'));
    t.fail(`${why}; again with MODEL_SEED=${seed} MODEL_PATH=${counterexamplePath}`);
    return;
  }
  t.comment(`${operations} operations in ${runs} runs, MODEL_SEED=${seed}`);
  t.same(await findingsOf(service.serviceUrl), [], '`clocktick verify` finds nothing in what they left');
  if (process.env.MODEL_RUNS)
    t.comment(
      [...ends]
        .sort()
        .map(([end, times]) => `${end} ${times}`)
        .join('\n'),
    );
  // Runs that never get anywhere would prove nothing.
  if (PATH === undefined && RUNS >= QUICK_RUNS) {
    t.same(
      ENDS.filter((end) => !ends.has(end)),
      [],
      'everything that is to happen has happened',
    );
  }
});
