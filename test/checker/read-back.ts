import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { z } from 'zod';
import { isObject, type Json, type JsonObject } from '../../src/temporal/json.js';
import { complaint } from '../replay/complaint.js';
import { isSettled } from './as-of.js';
import { pathOf, type Run } from './clients.js';
import { type Answer, ask, type Operation, type RecordedEntity, type Recording } from './record.js';

/*
 * After a run: the whole history of every entity, its state as of each of its ticks, and every question that was to have the
 * same answer for ever asked again.
 */

/** As many requests at once keep two cores busy. */
const AT_ONCE = 16;
const PER_PAGE = 1_000;
/** A service whose database went away is given so long to come back. */
const PATIENCE_MS = 30_000;

/**
 * Reads everything back, each service in turn.
 * @throws a complaint when the service does not answer
 */
export async function readBack({ services, type, operations }: Run, keys: readonly string[]): Promise<Recording> {
  const limit = pLimit(AT_ONCE);
  let turn = 0;
  const read = (path: string) => limit(() => patiently(services, path, turn++));
  const entities = await Promise.all(keys.map((key) => readEntity(read, type, key)));
  const asked = operations.map(async (operation) =>
    isForEver(operation) ? { ...operation, again: await read(operation.request.path) } : operation,
  );
  return { type, operations: await Promise.all(asked), entities };
}

type Read = (path: string) => Promise<Answer>;

/** Whether the answer to a request is to be the same for ever. */
function isForEver({ purpose, answer }: Operation): boolean {
  if (!answer || !isSettled(answer)) return false;
  if (purpose.kind === 'page') return purpose.instant !== null || purpose.number > 1;
  return purpose.kind === 'list' || (purpose.kind === 'as of' && 'instant' in purpose.point);
}

const tickItem = z.looseObject({
  tick: z.int(),
  at: z.string(),
  op: z.enum(['created', 'updated', 'deleted', 'restored']),
  activity: z.looseObject({ reason: z.string() }).nullable(),
  changes: z.custom<JsonObject>(isObject),
});

const rangeItem = z.looseObject({
  value: z.custom<Json>(),
  vclock: z.strictObject({ from: z.int(), to: z.int().nullable() }),
});

async function readEntity(read: Read, type: string, key: string): Promise<RecordedEntity> {
  const path = pathOf(type, key);
  const history = await readPages(read, `${path}/history`, tickItem);
  const ticks = history.map(({ tick, at, op, activity, changes }) => ({
    tick,
    at,
    op,
    marker: activity?.reason ?? null,
    changes,
  }));
  const states = await Promise.all(ticks.map(({ tick }) => read(`${path}?asOf=${tick}`)));
  const names = new Set(['marker', ...ticks.flatMap(({ changes }) => Object.keys(changes))]);
  const ranges = [...names].map(async (name) => {
    const items = await readPages(read, `${path}/history/${encodeURIComponent(name)}`, rangeItem);
    return [name, items.map(({ value, vclock }) => ({ value, ...vclock }))] as const;
  });
  return { key, ticks, states, ranges: new Map(await Promise.all(ranges)) };
}

/** All items of a history; none where the entity, or the property, never was. */
async function readPages<Item>(read: Read, path: string, item: z.ZodType<Item>): Promise<Item[]> {
  const page = z.looseObject({ items: z.array(item), next: z.string().nullable() });
  const all: Item[] = [];
  for (let after = ''; ; ) {
    const { status, text, body } = await read(`${path}?limit=${PER_PAGE}${after}`);
    if (status === 404) return all;
    const parsed = page.safeParse(body);
    if (!parsed.success) throw complaint(`GET /${path} is not answered by a page of a history: ${status} ${text}`);
    const { items, next } = parsed.data;
    all.push(...items);
    if (next === null) return all;
    after = `&cursor=${encodeURIComponent(next)}`;
  }
}

/** Asks until there is an answer, each time another service. */
async function patiently(services: readonly URL[], path: string, turn: number): Promise<Answer> {
  const limit = Date.now() + PATIENCE_MS;
  for (let tries = 0; ; tries++) {
    const base = services[(turn + tries) % services.length];
    if (!base) throw new Error('there is no service');
    const answer = await ask(base, { method: 'GET', path, headers: {} });
    if (answer && answer.status !== 503) return answer;
    if (Date.now() > limit) throw complaint(`GET ${new URL(path, base)} is not answered: ${answer?.text ?? 'nothing'}`);
    await sleep(100);
  }
}
