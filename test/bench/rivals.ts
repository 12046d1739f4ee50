import { and, eq, sql as raw } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/postgres-js';
import { fastify } from 'fastify';
import postgres from 'postgres';
import { newId } from '../../src/temporal/identity.js';
import { entity, propertyHistory, tick } from './textbook.js';

/*
 * What the service is compared with, on the same stack and the same server: a constant answer, one prepared SELECT a
 * request, a plain UPDATE without history, whole rows kept by a trigger, and the service as a textbook has it. A process of its
 * own, as the service is.
 */
const url = process.argv[2] ?? '';
const client = postgres(url, { max: 20, fetch_types: false, connection: { jit: 'off', TimeZone: 'UTC' } });
const db = drizzle(postgres(url, { max: 20, onnotice: () => {} }));
const app = fastify({ logger: false });

const CONSTANT = JSON.stringify({
  id: newId(),
  type: 'friend',
  tick: 1,
  deleted: false,
  createdAt: '2016-01-08T00:00:00.000000Z',
  updatedAt: '2016-01-08T00:00:00.000000Z',
  properties: { name: 'Rachel', location: 'New York', a: 1, b: 'two', c: null, d: true, e: [1, 2, 3], i: 9, j: 10.5 },
});
app.get('/constant/:id', async (_request, reply) => reply.type('application/json').send(CONSTANT));

app.get<{ Params: { id: string } }>('/select/:id', async ({ params }, reply) => {
  const [row] = await client<{ answer: string }[]>`
    SELECT to_json(e)::text AS answer FROM clocktick.entity e WHERE e.id = ${params.id}::uuid`;
  return reply.type('application/json').send(row?.answer);
});

app.patch<{ Params: { id: string }; Body: { properties: object } }>('/plain/:id', async ({ params, body }, reply) => {
  const [row] = await client<{ answer: string }[]>`
    UPDATE bench.plain p SET properties = p.properties || ${JSON.stringify(body.properties)}::text::jsonb
     WHERE p.id = ${params.id}::uuid RETURNING to_json(p)::text AS answer`;
  return reply.type('application/json').send(row?.answer);
});

type Fields = { type: string; properties: Record<string, unknown> };

app.post<{ Body: Fields }>('/textbook', async ({ body }, reply) => {
  const id = newId();
  const made = await db.transaction(async (tx) => {
    const [row] = await tx
      .insert(entity)
      .values({ id, type: body.type, tick: 1, properties: body.properties })
      .returning();
    await tx.insert(tick).values({ entityId: id, tick: 1 });
    const ranges = Object.entries(body.properties).map(([property, value]) => ({
      entityId: id,
      property,
      vclock: '[1,)',
      value,
    }));
    await tx.insert(propertyHistory).values(ranges);
    return row;
  });
  return reply.code(201).send(made);
});

app.patch<{ Params: { id: string }; Body: Fields }>('/textbook/:id', async ({ params: { id }, body }) =>
  db.transaction(async (tx) => {
    const [current] = await tx.select().from(entity).where(eq(entity.id, id)).for('update');
    if (!current) throw new Error('no such entity');
    const next = current.tick + 1;
    await tx.insert(tick).values({ entityId: id, tick: next });
    for (const [property, value] of Object.entries(body.properties)) {
      await tx
        .update(propertyHistory)
        .set({ vclock: raw`int4range(lower(vclock), ${next}::int)` })
        .where(and(eq(propertyHistory.entityId, id), eq(propertyHistory.property, property), raw`upper_inf(vclock)`));
      await tx.insert(propertyHistory).values({ entityId: id, property, vclock: `[${next},)`, value });
    }
    const properties = { ...current.properties, ...body.properties };
    const [row] = await tx.update(entity).set({ tick: next, properties }).where(eq(entity.id, id)).returning();
    return row;
  }),
);

/* Whole rows (rows.ts). */

app.get<{ Params: { id: string }; Querystring: { asOf: string } }>('/rows/:id', async ({ params, query }, reply) => {
  const [row] = await client<{ answer: string }[]>`
    SELECT to_json(t)::text AS answer FROM (
      (SELECT r.* FROM rows.thing r WHERE r.id = ${params.id}::uuid AND r.at <= ${query.asOf}::text::timestamptz)
      UNION ALL
      (SELECT p.id, p.type, p.key, p.tick, p.properties, p.at FROM rows.past p
        WHERE p.id = ${params.id}::uuid AND p.at <= ${query.asOf}::text::timestamptz ORDER BY p.at DESC LIMIT 1)
      LIMIT 1) t`;
  return reply.type('application/json').send(row?.answer);
});

app.get<{ Querystring: { keyPrefix: string; asOf?: string } }>('/rows', async ({ query }, reply) => {
  const { keyPrefix, asOf } = query;
  const [row] = asOf
    ? await client<{ answer: string }[]>`
        SELECT json_agg(t)::text AS answer FROM (
          SELECT v.* FROM rows.thing r
           CROSS JOIN LATERAL (
             (SELECT r.* WHERE r.at <= ${asOf}::text::timestamptz)
             UNION ALL
             (SELECT p.id, p.type, p.key, p.tick, p.properties, p.at FROM rows.past p
               WHERE r.at > ${asOf}::text::timestamptz AND p.id = r.id AND p.at <= ${asOf}::text::timestamptz ORDER BY p.at DESC LIMIT 1)) v
           WHERE r.type = 'thing' AND r.key >= ${keyPrefix} AND r.key < ${`${keyPrefix}~`}
           ORDER BY r.key, r.id LIMIT 100) t`
    : await client<{ answer: string }[]>`
        SELECT json_agg(t)::text AS answer FROM (
          SELECT r.* FROM rows.thing r
           WHERE r.type = 'thing' AND r.key >= ${keyPrefix} AND r.key < ${`${keyPrefix}~`}
           ORDER BY r.key, r.id LIMIT 100) t`;
  return reply.type('application/json').send(row?.answer);
});

app.get<{ Querystring: { place: string; asOf: string } }>('/rows/found', async ({ query }, reply) => {
  const { place, asOf } = query;
  const [row] = await client<{ answer: string }[]>`
    SELECT json_agg(t)::text AS answer FROM (
      SELECT r.* FROM rows.thing r
       WHERE r.type = 'thing' AND r.properties ->> 'place' = ${place} AND r.at <= ${asOf}::text::timestamptz
      UNION ALL
      SELECT p.id, p.type, p.key, p.tick, p.properties, p.at FROM rows.past p
       WHERE p.type = 'thing' AND p.properties ->> 'place' = ${place}
         AND p.at <= ${asOf}::text::timestamptz AND p.until > ${asOf}::text::timestamptz
       ORDER BY key, id LIMIT 100) t`;
  return reply.type('application/json').send(row?.answer);
});

app.get<{ Params: { id: string } }>('/rows/:id/history', async ({ params }, reply) => {
  const [row] = await client<{ answer: string }[]>`
    SELECT json_agg(t)::text AS answer FROM (
      SELECT value, tick, at, lead(tick) OVER w AS until_tick, lead(at) OVER w AS until
        FROM (SELECT tick, at, properties -> 'place' AS value, lag(properties -> 'place') OVER (ORDER BY tick) AS last
                FROM (SELECT p.tick, p.at, p.properties FROM rows.past p WHERE p.id = ${params.id}::uuid
                      UNION ALL
                      SELECT r.tick, r.at, r.properties FROM rows.thing r WHERE r.id = ${params.id}::uuid) version) changed
       WHERE value IS DISTINCT FROM last WINDOW w AS (ORDER BY tick) LIMIT 50) t`;
  return reply.type('application/json').send(row?.answer);
});

app.patch<{ Params: { id: string }; Body: { properties: object } }>('/rows/:id', async ({ params, body }, reply) => {
  const [row] = await client<{ answer: string }[]>`
    UPDATE rows.thing r SET properties = r.properties || ${JSON.stringify(body.properties)}::text::jsonb
     WHERE r.id = ${params.id}::uuid RETURNING to_json(r)::text AS answer`;
  return reply.type('application/json').send(row?.answer);
});

app.post<{ Body: Fields }>('/rows', async ({ body }, reply) => {
  const [row] = await client<{ answer: string }[]>`
    INSERT INTO rows.thing AS r VALUES (${newId()}::uuid, ${body.type}, NULL, 1, ${JSON.stringify(body.properties)}::text::jsonb, clock_timestamp())
    RETURNING to_json(r)::text AS answer`;
  return reply.code(201).type('application/json').send(row?.answer);
});

process.stdout.write(`${await app.listen({ port: 0, host: '127.0.0.1' })}\n`);
