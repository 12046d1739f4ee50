import http from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import type { Json, JsonObject } from '../../src/temporal/json.js';
import type { OnConflict } from '../../src/temporal/undo.js';
import type { Command, Conditions, Entity, Op, Verdict } from '../helper/model.js';
import { bodyOf } from '../replay/service.js';
import type { Step } from './together.js';

/*
 * What a run leaves to be checked: every request with its answer and the times between which it took place, and what the
 * service told of each entity afterwards.
 */

/** A request: its path relative to the URL of the service, its body as JSON unless a header says otherwise. */
export type Request = {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  headers: Record<string, string>;
  body?: Json;
};

/** `body` is empty where it is no JSON object, `text` what was on the wire. */
export type Answer = {
  status: number;
  etag: string | null;
  tickAt: string | null;
  retryAfter: string | null;
  text: string;
  body: JsonObject;
};

/** What a request was sent for, in the words of the model. */
export type Purpose =
  | { kind: 'activity' }
  /** The marker is in no other request: it tells which tick is of this write. */
  | { kind: 'write'; key: string; marker: string; command: Command; conditions: Conditions }
  /** All of its steps, in their order, or nothing. */
  | { kind: 'batch'; marker: string; steps: (Step & { key: string })[]; isDry: boolean }
  /** Of what was done under the marker `of`. */
  | { kind: 'undo'; marker: string; of: string; onConflict: OnConflict; isDry: boolean }
  | Part
  | { kind: 'now'; key: string }
  | { kind: 'as of'; key: string; point: { tick: number } | { instant: string } }
  | { kind: 'list'; keys: string[]; instant: string }
  /** One of the pages of a walk through a snapshot: as of an instant, or of the newest that is stable. */
  | { kind: 'page'; walk: string; number: number; instant: string | null; deleted: Deleted };

/** What a batch or an undo is to one of its entities: a write of that. It is made of the answer to the whole (parts.ts). */
type Part = {
  kind: 'part';
  key: string;
  marker: string;
  whole: Operation;
  isDry: boolean;
  /** What the answer says of this entity; null: it was refused, or there is none. */
  told: { tick: number | null; op: Op | null } | null;
  /** Whether the answer depends on the version that this entity had. */
  tellsVersion: boolean;
  /** What is to become of the entity, if it is so before. */
  judge: (then: Entity | undefined) => Verdict;
  /** Whether all that the answer says is right, if the entity is so before. */
  agrees: (then: Entity | undefined) => boolean;
};

/** Whether a snapshot shows what was deleted then. */
export type Deleted = 'exclude' | 'include' | 'only';

/** A request; the times are milliseconds of one monotonic clock. */
export type Operation = {
  client: number;
  purpose: Purpose;
  request: Request;
  invoked: number;
  completed: number;
  /** Null: the connection ended before the answer did. */
  answer: Answer | null;
  /** Whether its client was to go away before a late answer. */
  isCut?: boolean;
  /** What the same request was answered after the run, if it was to be the same. */
  again?: Answer;
};

/** A tick as the history tells it; the marker is that of the write that made it. */
export type RecordedTick = { tick: number; at: string; op: Op; marker: string | null; changes: JsonObject };
export type RecordedRange = { value: Json; from: number; to: number | null };

/** What the service tells of an entity after the run. */
export type RecordedEntity = {
  key: string;
  ticks: RecordedTick[];
  /** The answer to a read as of each tick. */
  states: Answer[];
  /** By property. */
  ranges: Map<string, RecordedRange[]>;
};

export type Recording = { type: string; operations: Operation[]; entities: RecordedEntity[] };

/** What became of a request, as far as its client can know. */
export type Outcome = 'acknowledged' | 'refused' | 'indeterminate';

export function outcomeOf({ answer }: Operation): Outcome {
  if (!answer) return 'indeterminate';
  if (answer.status < 300) return 'acknowledged';
  const isRefused = answer.status < 500 || (answer.status === 503 && answer.retryAfter !== null);
  return isRefused ? 'refused' : 'indeterminate';
}

/** The tick that an answer's tag names. */
export function tickOf(answer: Answer): number | null {
  const [, tick] = /^"([1-9]\d*)"$/.exec(answer.etag ?? '') ?? [];
  return tick === undefined ? null : Number(tick);
}

/** A service that does not answer for so long is taken for gone. */
const TIMEOUT_MS = 60_000;

/**
 * Sends a request, once: nothing is ever sent again behind the recording's back.
 * @param cut after how many milliseconds the client goes away, if it was not answered before
 * @returns null when the connection ended before the answer did
 */
export function ask(base: URL, request: Request, cut: number | null = null): Promise<Answer | null> {
  const { method, path, body } = request;
  const headers = { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...request.headers };
  const { request: begin } = base.protocol === 'https:' ? https : http;
  return new Promise((resolve) => {
    let cutting: NodeJS.Timeout | undefined;
    const end = (answer: Answer | null) => {
      clearTimeout(cutting);
      resolve(answer);
    };
    const sending = begin(new URL(path, base), { method, headers, timeout: TIMEOUT_MS });
    sending.on('timeout', () => sending.destroy());
    sending.on('error', () => end(null));
    sending.on('response', (response) => {
      const { etag = null, 'retry-after': retryAfter = null, 'tick-at': tickAt } = response.headers;
      text(response).then(
        (text) =>
          end({
            status: response.statusCode ?? 0,
            etag,
            tickAt: typeof tickAt === 'string' ? tickAt : null,
            retryAfter,
            text,
            body: bodyOf(text),
          }),
        () => end(null),
      );
    });
    if (cut !== null) {
      sending.once('finish', () => {
        cutting = setTimeout(() => sending.destroy(), cut);
      });
    }
    sending.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
