import type { FastifyInstance, InjectOptions } from 'fastify';
import type { Test } from 'tap';
import { z } from 'zod';
import { buildApp } from '../../src/app.js';
import type { Database } from '../../src/storage/database.js';
import { isObject, type Json, type JsonObject } from '../../src/temporal/json.js';
import { type TestDatabase, testDatabase } from './database.js';

/** An answer: `body` is parsed JSON (null when there is none), `text` what was on the wire. */
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

/** The service over a database of its own. */
export async function testService(t: Test): Promise<Service> {
  const database = await testDatabase(t);
  return { ...database, ...serve(t, database.database) };
}

/** The service over a given database; several may share one, as several instances do. */
export function serve(t: Test, storage: Database): { app: FastifyInstance; call: Call } {
  const app = buildApp({ storage, logger: false });
  checkAnswers(app);
  t.teardown(() => app.close());
  const call: Call = async (method, url, body, headers = {}) => {
    const payload =
      body === undefined || Buffer.isBuffer(body) ? body : typeof body === 'string' ? body : JSON.stringify(body);
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const request: InjectOptions = { method, url, headers: { ...type, ...headers } };
    if (payload !== undefined) request.payload = payload;
    const answer = await app.inject(request);
    const parsed: unknown = answer.body === '' ? {} : JSON.parse(answer.body);
    if (!isObject(parsed)) throw new Error(`the answer is no object: ${answer.body}`);
    const entries = Object.entries(answer.headers).map(([name, value]) => [
      name,
      value === undefined ? value : String(value),
    ]);
    return { status: answer.statusCode, headers: Object.fromEntries(entries), text: answer.body, body: parsed };
  };
  return { app, call };
}

/** Every answer must be what its route's schema says; an answer that is not becomes a 500, which no test expects. */
function checkAnswers(app: ReturnType<typeof buildApp>): void {
  app.addHook('onSend', async (request, reply, payload) => {
    const schemas = request.routeOptions.schema?.response;
    if (!isRecord(schemas) || typeof payload !== 'string' || reply.statusCode >= 500) return;
    const schema = schemas[String(reply.statusCode)] ?? schemas.default;
    if (schema instanceof z.ZodType) schema.parse(JSON.parse(payload));
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
