import { fastify } from 'fastify';
import { createPool } from 'mariadb';
import { newId } from '../../src/temporal/identity.js';
import { connectionTo, DATABASE } from './mariadb.js';

/* MariaDB's system versioning as a service: a process of its own, with one prepared statement a read. */
const pool = createPool({ ...connectionTo(process.argv[2] ?? ''), database: DATABASE, connectionLimit: 20 });
const app = fastify({ logger: false });

type Answer = { answer: string };
type Fields = { type: string; properties: Record<string, unknown> };

/** A version as JSON, as the other rivals answer it. */
const ROW = `json_object('id', id, 'type', type, 'key', \`key\`, 'tick', tick, 'properties', json_compact(properties), 'at', row_start)`;
/** A time of RFC 3339 in UTC, as MariaDB reads it. */
const timestamp = (instant: string) => instant.replace('T', ' ').replace('Z', '');
const answerOf = (rows: Answer[]) => rows[0]?.answer ?? 'null';

app.get<{ Params: { id: string }; Querystring: { asOf?: string } }>(
  '/mariadb/:id',
  async ({ params, query }, reply) => {
    const rows: Answer[] = query.asOf
      ? await pool.execute(`SELECT ${ROW} AS answer FROM thing FOR SYSTEM_TIME AS OF ? WHERE id = ?`, [
          timestamp(query.asOf),
          params.id,
        ])
      : await pool.execute(`SELECT ${ROW} AS answer FROM thing WHERE id = ?`, [params.id]);
    return reply.type('application/json').send(answerOf(rows));
  },
);

app.get<{ Querystring: { keyPrefix: string; asOf?: string } }>('/mariadb', async ({ query }, reply) => {
  const { keyPrefix, asOf } = query;
  const page = (from: string) =>
    `SELECT json_arrayagg(${ROW}) AS answer FROM (
       SELECT id, type, \`key\`, tick, properties, row_start FROM ${from}
        WHERE type = 'thing' AND \`key\` >= ? AND \`key\` < ? ORDER BY \`key\`, id LIMIT 100) p`;
  const keys = [keyPrefix, `${keyPrefix}~`];
  const rows: Answer[] = asOf
    ? await pool.execute(page('thing FOR SYSTEM_TIME AS OF ?'), [timestamp(asOf), ...keys])
    : await pool.execute(page('thing'), keys);
  return reply.type('application/json').send(answerOf(rows));
});

// By itself MariaDB goes through all keys in order to find a hundred of one place.
app.get<{ Querystring: { place: string; asOf: string } }>('/mariadb/found', async ({ query }, reply) => {
  const rows: Answer[] = await pool.execute(
    `SELECT json_arrayagg(${ROW}) AS answer FROM (
       SELECT id, type, \`key\`, tick, properties, row_start FROM thing FOR SYSTEM_TIME AS OF ? USE INDEX (by_place)
        WHERE type = 'thing' AND place = ? ORDER BY \`key\`, id LIMIT 100) p`,
    [timestamp(query.asOf), query.place],
  );
  return reply.type('application/json').send(answerOf(rows));
});

app.get<{ Params: { id: string } }>('/mariadb/:id/history', async ({ params }, reply) => {
  const rows: Answer[] = await pool.execute(
    `SELECT json_arrayagg(json_object('value', value, 'tick', tick, 'at', at, 'until_tick', until_tick, 'until', until)) AS answer
       FROM (SELECT value, tick, at, lead(tick) OVER w AS until_tick, lead(at) OVER w AS until
               FROM (SELECT tick, row_start AS at, place AS value, lag(place) OVER (ORDER BY tick) AS last
                       FROM thing FOR SYSTEM_TIME ALL WHERE id = ?) version
              WHERE NOT value <=> last WINDOW w AS (ORDER BY tick) LIMIT 50) r`,
    [params.id],
  );
  return reply.type('application/json').send(answerOf(rows));
});

app.patch<{ Params: { id: string }; Body: Fields }>('/mariadb/:id', async ({ params, body }, reply) => {
  await pool.execute('UPDATE thing SET properties = json_merge_patch(properties, ?), tick = tick + 1 WHERE id = ?', [
    JSON.stringify(body.properties),
    params.id,
  ]);
  const rows: Answer[] = await pool.execute(`SELECT ${ROW} AS answer FROM thing WHERE id = ?`, [params.id]);
  return reply.type('application/json').send(answerOf(rows));
});

app.post<{ Body: Fields }>('/mariadb', async ({ body }, reply) => {
  const rows: Answer[] = await pool.execute(
    `INSERT INTO thing (id, type, tick, properties) VALUES (?, ?, 1, ?) RETURNING ${ROW} AS answer`,
    [newId(), body.type, JSON.stringify(body.properties)],
  );
  return reply.code(201).type('application/json').send(answerOf(rows));
});

process.stdout.write(`${await app.listen({ port: 0, host: '127.0.0.1' })}\n`);
