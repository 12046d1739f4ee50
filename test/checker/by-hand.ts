import type { JsonObject } from '../../src/temporal/json.js';
import { type Command, changesOf, type Entity, entityBody, rangesOf } from '../helper/model.js';
import { check } from './check.js';
import type { Answer, Operation, Purpose, RecordedEntity } from './record.js';

/* A recording made by hand, of four entities, a few clients, and hardly more than one operation of each kind. The last two are written by batches. */

/** An instant, so many seconds after the first. */
export const at = (second: number): string => `2026-01-01T00:00:0${second}.000000Z`;

export const a: Entity = {
  id: '00000000-0000-5000-8000-00000000000a',
  type: 't',
  key: 'a',
  ticks: [
    { tick: 1, at: at(0), op: 'created', properties: { marker: 'create', n: 1 }, who: null },
    { tick: 2, at: at(2), op: 'updated', properties: { marker: 'patch', n: 1 }, who: null },
    { tick: 3, at: at(3), op: 'deleted', properties: {}, who: null },
    { tick: 4, at: at(5), op: 'restored', properties: { marker: 'patch', n: 1 }, who: null },
  ],
};
export const b: Entity = {
  id: '00000000-0000-5000-8000-00000000000b',
  type: 't',
  key: 'b',
  ticks: [{ tick: 1, at: at(1), op: 'created', properties: { marker: 'cut', n: 2 }, who: null }],
};

const ofBatch = (key: string, ...ticks: Entity['ticks']): Entity => ({
  id: `00000000-0000-5000-8000-00000000000${key}`,
  type: 't',
  key,
  ticks,
});
export const c = ofBatch(
  'c',
  { tick: 1, at: at(6), op: 'created', properties: { marker: 'both', n: 1 }, who: null },
  { tick: 2, at: at(7), op: 'updated', properties: { marker: 'some', n: 5 }, who: null },
  { tick: 3, at: at(8), op: 'updated', properties: { marker: 'both', n: 1 }, who: null },
  { tick: 4, at: at(9), op: 'deleted', properties: {}, who: null },
);
export const d = ofBatch(
  'd',
  { tick: 1, at: at(6), op: 'created', properties: { marker: 'both', n: 2 }, who: null },
  { tick: 2, at: at(9), op: 'updated', properties: { marker: 'unsure', n: 2 }, who: null },
);

const NO_HEADERS = { etag: null, tickAt: null, retryAfter: null };

const json = (status: number, body: JsonObject, headers: Partial<Answer> = {}): Answer => ({
  status,
  ...NO_HEADERS,
  ...headers,
  text: JSON.stringify(body),
  body,
});

export const problem = (status: number, code: string, tick?: number): Answer =>
  json(status, { status, code, ...(tick === undefined ? {} : { tick }) });

/** An entity as it is read at a tick. */
export function shown(entity: Entity, tick: number): Answer {
  const state = entity.ticks[tick - 1];
  if (!state || state.op === 'deleted') return problem(410, 'entity_deleted', tick);
  return json(200, entityBody(entity, state), { etag: `"${tick}"` });
}

/** … as a write answers it. */
export function written(entity: Entity, tick: number): Answer {
  const tags = { etag: `"${tick}"`, tickAt: entity.ticks[tick - 1]?.at ?? null };
  const answer = shown(entity, tick);
  return answer.status === 410 ? { ...answer, status: 204, text: '', body: {}, ...tags } : { ...answer, ...tags };
}

export function operation(
  client: number,
  [invoked, completed]: [number, number],
  purpose: Purpose,
  answer: Answer | null,
) {
  const request: Operation['request'] = { method: 'GET', path: purpose.kind, headers: {} };
  const made: Operation = { client, purpose, request, invoked, completed, answer };
  return made;
}

export const aWrite = (
  key: string,
  marker: string,
  command: Command,
  ifMatch: number[] | null = null,
): Extract<Purpose, { kind: 'write' }> => ({
  kind: 'write',
  key,
  marker,
  command,
  conditions: { ifMatch, ifNoneMatch: null },
});

type OfBatch = Extract<Purpose, { kind: 'batch' }>;

const aBatch = (marker: string, steps: OfBatch['steps'], isDry = false): OfBatch => ({
  kind: 'batch',
  marker,
  steps,
  isDry,
});

/** What a batch answers: an item an operation, each with its entity at a tick, and whether it made that. */
function wrote(
  instant: string | null,
  items: [entity: Entity, tick: number, isMade: boolean][],
  more: JsonObject = {},
) {
  const told = items.map(([entity, number, isMade]): JsonObject => {
    const tick = entity.ticks[number - 1];
    if (!tick) throw new Error(`there is no tick ${number}`);
    return { id: entity.id, tick: number, op: isMade ? tick.op : null, entity: entityBody(entity, tick) };
  });
  return json(200, { at: instant, activity: null, items: told, ...more });
}

function readBack(entity: Entity, markers: readonly string[]): RecordedEntity {
  const names = ['marker', 'n'];
  return {
    key: entity.key ?? '',
    ticks: entity.ticks.map((tick, index) => ({
      tick: tick.tick,
      at: tick.at,
      op: tick.op,
      marker: markers[index] ?? null,
      changes: changesOf(entity, tick),
    })),
    states: entity.ticks.map(({ tick }) => shown(entity, tick)),
    ranges: new Map(
      names.map((name) => [
        name,
        rangesOf(entity.ticks, name).map(({ value, from, to }) => ({ value, from: from.tick, to: to?.tick ?? null })),
      ]),
    ),
  };
}

/** What was asked as of an instant, and again afterwards. */
const twice = (operation: Operation): Operation & { again: Answer } => ({
  ...operation,
  again: operation.answer ? { ...operation.answer } : problem(503, 'database_unavailable'),
});

const page = (number: number, items: JsonObject[], next: string | null) =>
  json(200, { asOf: at(2), recordedAsOf: null, items, next }, { etag: `"page ${number}"` });

/** A recording without a fault, with names for what it holds. */
export function recorded() {
  const create: Command = { call: 'post', type: 't', properties: { marker: 'create', n: 1 } };
  const cut: Command = { call: 'put', address: { type: 't' }, type: 't', properties: { marker: 'cut', n: 2 } };
  const merge = (marker: string): Command => ({ call: 'merge', patch: { marker } });
  const test: Command = {
    call: 'jsonPatch',
    operations: [
      { op: 'test', path: ['n'], value: 2 },
      { op: 'add', path: ['marker'], value: 'test' },
    ],
  };
  const step = (key: string, command: Command, ifMatch: number | null = null) => ({ key, command, ifMatch });
  const put = (marker: string, n: number): Command => ({
    call: 'put',
    address: { type: 't' },
    type: 't',
    properties: { marker, n },
  });
  const undo = (marker: string, of: string): Purpose => ({
    kind: 'undo',
    marker,
    of,
    onConflict: 'refuse',
    isDry: false,
  });
  const asOf = (instant: string): Purpose => ({ kind: 'as of', key: 'a', point: { instant } });
  const walk = (number: number): Purpose => ({ kind: 'page', walk: 'w', number, instant: at(2), deleted: 'exclude' });
  const ops = {
    absent: operation(1, [0, 1], { kind: 'now', key: 'a' }, problem(404, 'entity_not_found')),
    create: operation(0, [0, 10], aWrite('a', 'create', create), { ...written(a, 1), status: 201 }),
    cut: operation(2, [11, 12], aWrite('b', 'cut', cut), null),
    patch: operation(1, [20, 30], aWrite('a', 'patch', merge('patch'), [1]), written(a, 2)),
    meanwhile: operation(0, [21, 29], { kind: 'now', key: 'a' }, shown(a, 1)),
    next: operation(0, [30.5, 30.9], { kind: 'as of', key: 'a', point: { tick: 3 } }, problem(404, 'tick_not_found')),
    now: operation(0, [31, 35], { kind: 'now', key: 'a' }, shown(a, 2)),
    stale: operation(0, [36, 40], aWrite('a', 'stale', merge('stale'), [1]), problem(412, 'precondition_failed', 2)),
    tested: operation(0, [41, 45], aWrite('a', 'test', test), problem(409, 'patch_test_failed')),
    remove: operation(0, [46, 50], aWrite('a', 'remove', { call: 'delete' }), written(a, 3)),
    gone: operation(1, [51, 55], { kind: 'now', key: 'a' }, shown(a, 3)),
    restore: operation(1, [56, 60], aWrite('a', 'restore', { call: 'restore' }), written(a, 4)),
    again: operation(0, [61, 65], aWrite('a', 'again', { call: 'restore' }), written(a, 4)),
    unknown: operation(2, [61, 65], aWrite('a', 'unknown', merge('unknown')), problem(503, 'outcome_unknown')),
    busy: operation(2, [66, 70], aWrite('a', 'busy', merge('busy')), {
      ...problem(503, 'database_unavailable'),
      retryAfter: '1',
    }),
    tick: operation(0, [66, 70], { kind: 'as of', key: 'a', point: { tick: 2 } }, shown(a, 2)),
    before: twice(operation(0, [71, 75], asOf('2025-12-31T23:59:59.999999Z'), problem(404, 'entity_not_found'))),
    past: twice(operation(0, [76, 80], asOf(at(2)), shown(a, 2))),
    deleted: twice(operation(0, [81, 85], asOf(at(4)), shown(a, 3))),
    two: twice(
      operation(
        0,
        [86, 90],
        { kind: 'list', keys: ['a', 'b'], instant: at(3) },
        json(200, { items: [shown(b, 1).body], missing: [{ id: 't:a', code: 'entity_deleted' }] }, { etag: '"both"' }),
      ),
    ),
    page1: twice(operation(0, [91, 95], walk(1), page(1, [shown(a, 2).body], 'more'))),
    page2: twice(operation(0, [96, 99], walk(2), page(2, [shown(b, 1).body], null))),
    both: operation(
      0,
      [110, 120],
      aBatch('both', [
        step('c', { call: 'post', type: 't', properties: { marker: 'both', n: 7 } }),
        step('d', put('both', 2)),
        step('c', { call: 'merge', patch: { n: 1 } }),
      ]),
      wrote(at(6), [
        [c, 1, true],
        [d, 1, true],
        [c, 1, true],
      ]),
    ),
    some: operation(
      1,
      [121, 130],
      aBatch('some', [step('c', put('some', 5), 1), step('d', { call: 'merge', patch: {} })]),
      wrote(at(7), [
        [c, 2, true],
        [d, 1, false],
      ]),
    ),
    torn: operation(
      1,
      [131, 140],
      aBatch('torn', [step('d', put('torn', 5)), step('c', put('torn', 5)), step('c', merge('torn'), 1)]),
      json(412, { ...problem(412, 'precondition_failed', 2).body, errors: [{ path: '/operations/2/ifMatch' }] }),
    ),
    dry: operation(
      1,
      [141, 150],
      aBatch('dry', [step('d', { call: 'delete' }), step('c', merge('some'))], true),
      json(200, {
        dryRun: true,
        at: at(7),
        items: [
          { id: d.id, tick: 2, op: 'deleted' },
          { id: c.id, tick: 2, op: null, entity: shown(c, 2).body },
        ],
      }),
    ),
    undone: operation(
      0,
      [151, 160],
      undo('undone', 'some'),
      wrote(at(8), [[c, 3, true]], { conflicts: [], conflictCount: 0 }),
    ),
    late: operation(
      0,
      [161, 170],
      undo('late', 'both'),
      json(409, { ...problem(409, 'undo_conflict').body, count: 1, conflicts: [{ id: c.id, tick: 3 }] }),
    ),
    lost: operation(2, [171, 175], aBatch('lost', [step('c', put('lost', 5)), step('d', put('lost', 5))]), null),
    unsure: operation(
      2,
      [171, 175],
      aBatch('unsure', [step('c', merge('unsure')), step('d', merge('unsure')), step('c', { call: 'delete' })]),
      problem(503, 'outcome_unknown'),
    ),
    after: twice(
      operation(
        0,
        [181, 185],
        { kind: 'list', keys: ['c', 'd'], instant: at(8) },
        json(200, { items: [shown(c, 3).body, shown(d, 1).body], missing: [] }, { etag: '"after"' }),
      ),
    ),
    begun: twice(
      operation(
        0,
        [186, 190],
        { kind: 'list', keys: ['d', 'c'], instant: at(5) },
        json(200, { items: [], missing: ['d', 'c'].map((key) => ({ id: `t:${key}`, code: 'entity_not_found' })) }),
      ),
    ),
  };
  return {
    ops,
    a: readBack(a, ['create', 'patch', 'remove', 'restore']),
    b: readBack(b, ['cut']),
    c: readBack(c, ['both', 'some', 'undone', 'unsure']),
    d: readBack(d, ['both', 'unsure']),
  };
}
export type Recorded = ReturnType<typeof recorded>;

export const checked = ({ ops, a, b, c, d }: Recorded) =>
  check({ type: 't', operations: Object.values(ops), entities: [a, b, c, d] });
