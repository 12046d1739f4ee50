import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { isObject, type JsonObject, jsonEqual, readJson } from '../../src/temporal/json.js';
import { complaint } from './complaint.js';

/*
 * A file of commits, one a line, plain or gzipped:
 *   {"actor", "reason", "changes": [{"op": "create", "key", "properties"} | {"op": "update", "key", "set", "clear"} | {"op": "delete", "key"}], …}
 * and what it says that each entity is after each change, worked out without the service.
 */

/** What one change makes of its entity: the tick it takes it from (0: none yet) and to, and the state there (null: deleted). */
export type Step = {
  key: string;
  op: 'created' | 'updated' | 'deleted' | 'restored' | 'unchanged';
  from: number;
  tick: number;
  properties: JsonObject | null;
};

/** A commit: its activity (who, why, and as metadata whatever else its line says), when it was made, if it says so, and its changes. */
export type Commit = { activity: JsonObject; at: string | undefined; steps: Step[] };

const key = z.string();
const object = z.custom<JsonObject>(isObject, 'is no object');
const commitLine = z.looseObject({
  actor: z.string(),
  reason: z.string(),
  at: z.string().optional(),
  changes: z.array(
    z.discriminatedUnion('op', [
      z.strictObject({ op: z.literal('create'), key, properties: object }),
      z.strictObject({ op: z.literal('update'), key, set: object.optional(), clear: z.array(z.string()).optional() }),
      z.strictObject({ op: z.literal('delete'), key }),
    ]),
  ),
});
type Change = z.infer<typeof commitLine>['changes'][number];

/**
 * Reads a file of commits.
 * @throws a complaint when there is no such file, or it is not what it should be
 */
export async function readHistory(file: string): Promise<Commit[]> {
  const lines = (await textOf(file)).split('\n').filter((line) => line.trim() !== '');
  if (lines.length === 0) throw complaint(`${file} holds no commits.`);
  const now = new Map<string, Step>();
  return lines.map((line, index) => commitOf(line, now, `${file}, commit ${index + 1}`));
}

async function textOf(file: string): Promise<string> {
  try {
    const bytes = await readFile(file);
    const isZipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
    return (isZipped ? gunzipSync(bytes) : bytes).toString('utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') throw complaint(`There is no file ${file}.`, error);
    throw complaint(`${file} cannot be read: ${error instanceof Error ? error.message : error}.`, error);
  }
}

/** Reads a line and takes `now`, the last step of every entity so far, past it. */
function commitOf(line: string, now: Map<string, Step>, where: string): Commit {
  const read = readJson(line);
  if ('fault' in read) throw complaint(`${where}: ${read.fault.detail}.`);
  const parsed = commitLine.safeParse(read.value);
  if (!parsed.success) throw complaint(`${where} is no commit: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`);
  const { actor, reason, at, changes } = parsed.data;
  const keys = new Set(changes.map((change) => change.key));
  if (keys.size < changes.length) {
    throw complaint(`${where} changes an entity twice, but an activity ticks an entity at most once.`);
  }
  const { actor: _actor, reason: _reason, changes: _changes, ...metadata } = isObject(read.value) ? read.value : {};
  const steps = changes.map((change) => stepOf(change, now.get(change.key), where));
  for (const step of steps) now.set(step.key, step);
  // The service takes no empty text for who or why; git allows a commit without a message.
  const activity = { ...(actor === '' ? {} : { actor }), ...(reason === '' ? {} : { reason }), metadata };
  return { activity, at, steps };
}

function stepOf(change: Change, before: Step | undefined, where: string): Step {
  const { key } = change;
  const from = before?.tick ?? 0;
  const held = before?.properties;
  if (change.op === 'create') {
    if (held) throw complaint(`${where} creates ${key}, which is there already.`);
    return { key, op: before ? 'restored' : 'created', from, tick: from + 1, properties: change.properties };
  }
  if (!held) throw complaint(`${where}: to ${change.op} ${key} it would have to be there.`);
  if (change.op === 'delete') return { key, op: 'deleted', from, tick: from + 1, properties: null };
  const cleared = new Set(change.clear);
  const kept = Object.entries(held).filter(([name]) => !cleared.has(name));
  const properties = Object.fromEntries([...kept, ...Object.entries(change.set ?? {})]);
  // A write that changes nothing is no tick.
  if (jsonEqual(properties, held)) return { key, op: 'unchanged', from, tick: from, properties };
  return { key, op: 'updated', from, tick: from + 1, properties };
}
