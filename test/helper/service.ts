import type { FastifyInstance, InjectOptions } from 'fastify';
import type { Test } from 'tap';
import { z } from 'zod';
import { buildApp } from '../../src/app.js';
import type { WriteRules } from '../../src/http/answers/writing.js';
import type { App } from '../../src/http/app-type.js';
import type { Storage } from '../../src/storage/storage.js';
import { isObject, type Json, type JsonObject } from '../../src/temporal/json.js';
import { type TestDatabase, testDatabase } from './database.js';

/** An answer. `body` is its parsed JSON, `{}` if it is not JSON; `text` is what was on the wire. */
export type Answer = {
  status: number;
  headers: Record<string, string | undefined>;
  text: string;
  body: JsonObject;
};

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';
export type Call = (
  method: Method,
  url: string,
  body?: Json | Buffer | string,
  headers?: Record<string, string>,
) => Promise<Answer>;

export type Service = TestDatabase & { app: FastifyInstance; call: Call };

/** What an app has beside its storage. */
type Parts = Partial<Parameters<typeof buildApp>[0]>;

/** The service over a database of its own. */
export async function testService(t: Test, rules?: WriteRules, parts: Parts = {}): Promise<Service> {
  const database = await testDatabase(t);
  return { ...database, ...(await serve(t, database.storage, rules, parts)) };
}

/** The service over a given database. Several may share one, as instances do. */
export async function serve(
  t: Test,
  storage: Storage,
  rules: WriteRules = { requireCondition: false },
  parts: Parts = {},
): Promise<{ app: FastifyInstance; call: Call }> {
  const app = await buildApp({ storage, rules, logger: false, ...parts });
  checkAnswers(app);
  t.teardown(() => app.close());
  const call: Call = async (method, url, body, headers = {}) => {
    const payload =
      body === undefined || Buffer.isBuffer(body) ? body : typeof body === 'string' ? body : JSON.stringify(body);
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const request: InjectOptions = { method, url, headers: { ...type, ...headers } };
    if (payload !== undefined) request.payload = payload;
    const answer = await app.inject(request);
    const isJson = /json/.test(String(answer.headers['content-type']));
    const parsed: unknown = isJson && answer.body !== '' ? JSON.parse(answer.body) : {};
    if (!isObject(parsed)) throw new Error(`the answer is no object: ${answer.body}`);
    const entries = Object.entries(answer.headers).map(([name, value]) => [
      name,
      value === undefined ? value : String(value),
    ]);
    return { status: answer.statusCode, headers: Object.fromEntries(entries), text: answer.body, body: parsed };
  };
  return { app, call };
}

/**
 * Checks that every answer is what its route documents: the status, the media type, the schema of the body, the code of a problem.
 * An answer that differs becomes a 500 that says so, and no test expects a 500.
 */
function checkAnswers(app: App): void {
  app.addHook('onSend', async (request, reply, payload) => {
    const documented = request.routeOptions.schema?.response;
    if (!isRecord(documented) || reply.statusCode === 500) return;
    const answer = documented[String(reply.statusCode)];
    const where = `${request.method} ${request.routeOptions.url}`;
    if (!isRecord(answer)) throw new Error(`${where} does not document ${reply.statusCode}: ${String(payload)}`);
    if (typeof payload !== 'string') return;
    const [type = ''] = String(reply.getHeader('content-type')).split(';');
    const media = isRecord(answer.content) ? answer.content[type] : undefined;
    if (!isRecord(media) || !(media.schema instanceof z.ZodType)) {
      throw new Error(`${where} does not document ${reply.statusCode} ${type}`);
    }
    const { error } = media.schema.safeParse(/json$/.test(type) ? JSON.parse(payload) : payload);
    if (error) throw new Error(`${where} answers what it does not document: ${z.prettifyError(error)}\n${payload}`);
  });
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** `hist(p)` of the scenarios: each range as `value@[from,to)`, oldest first. */
export async function ranges(call: Call, id: string, property: string): Promise<string[]> {
  const { body } = await call('GET', `/entities/${encodeURIComponent(id)}/history/${encodeURIComponent(property)}`);
  return list(body.items).map((item) => {
    const { value, vclock } = object(item);
    const { from, to } = object(vclock);
    return `${JSON.stringify(value)}@[${from},${to ?? ''})`;
  });
}

/** The value, known to be an object. */
export function object(value: Json | undefined): JsonObject {
  if (!isObject(value)) throw new Error(`no object: ${JSON.stringify(value)}`);
  return value;
}

/** The value, known to be an array. */
export function list(value: Json | undefined): Json[] {
  if (!Array.isArray(value)) throw new Error(`no array: ${JSON.stringify(value)}`);
  return value;
}

/** The value, known to be a string. */
export function text(value: Json | undefined): string {
  if (typeof value !== 'string') throw new Error(`no string: ${JSON.stringify(value)}`);
  return value;
}

/** The body of a create or a PUT of a thing. */
export const state = (properties: JsonObject): JsonObject => ({ type: 'thing', properties });

/** What the answer of a refusal must match. */
export const problem = (status: number, code: string, more: JsonObject = {}) => ({
  status,
  body: { status, code, ...more },
});

/** An instant, as every answer writes it. */
export const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

export const JSON_PATCH = { 'content-type': 'application/json-patch+json' };
export const MINIMAL = { prefer: 'return=minimal' };

/** How much is recorded. A request that must leave no trace changes none of these counts. */
export async function traces(sql: Service['sql']): Promise<{ ticks: number; activities: number; ranges: number }> {
  const [counts] = await sql<{ ticks: number; activities: number; ranges: number }[]>`
    SELECT (SELECT count(*)::int FROM clocktick.tick) AS ticks, (SELECT count(*)::int FROM clocktick.activity) AS activities,
           (SELECT count(*)::int FROM clocktick.property_range) AS ranges`;
  if (!counts) throw new Error('no counts');
  return counts;
}
