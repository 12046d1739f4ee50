import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import t from 'tap';
import { newId } from '../../../src/temporal/identity.js';
import { cannotPrepare } from '../../helper/database.js';
import { serve, testService } from '../../helper/service.js';
import { converse, open, portOf } from '../../helper/wire.js';

/** A line of figures. */
type Sample = { name: string; labels: Record<string, string>; value: number };
type Family = { type: string; help: string; samples: Sample[] };

/** Case does not matter to Prometheus: prom-client writes `Nan`. */
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([Nn]a[Nn]|[+-]?(?:Inf|\d+(?:\.\d+)?(?:e[+-]?\d+)?))$/;
const LABELS = /^(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"(?:,(?=.)|$))*$/;

/**
 * Reads the text format of Prometheus, as strictly as promtool: every sample belongs to the family above it, whose help and type come
 * first and once; no series stands twice; a counter ends in _total; buckets grow up to +Inf, which is the count.
 */
function readExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  const series = new Set<string>();
  let current: [name: string, Family] | undefined;
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const [, what, about = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (what === 'HELP') {
      if (families.has(about)) throw new Error(`${about} stands twice`);
      current = [about, { type: '', help: rest, samples: [] }];
      families.set(...current);
    } else if (what === 'TYPE') {
      if (current?.[0] !== about || current[1].type !== '') throw new Error(`a type without help: ${line}`);
      current[1].type = rest;
    } else {
      const [, name = '', labels = '', value = ''] = SAMPLE.exec(line) ?? [];
      if (name === '' || !LABELS.test(labels) || !current) throw new Error(`no sample: ${line}`);
      const [family, { type, samples }] = current;
      const suffixes =
        type === 'histogram' ? ['_bucket', '_sum', '_count'] : type === 'summary' ? ['', '_sum', '_count'] : [''];
      if (!suffixes.some((suffix) => name === `${family}${suffix}`)) throw new Error(`not of ${family}: ${line}`);
      const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', text = '']) => [key, text]);
      const key = `${name} ${JSON.stringify(pairs.toSorted())}`;
      if (series.has(key)) throw new Error(`twice: ${line}`);
      series.add(key);
      samples.push({ name, labels: Object.fromEntries(pairs), value: Number(value.replace('Inf', 'Infinity')) });
    }
  }
  for (const [name, { type, help, samples }] of families) {
    if (type === '' || help === '') throw new Error(`${name} has no type or help`);
    if (type === 'counter' && !name.endsWith('_total'))
      throw new Error(`${name} is a counter and does not end in _total`);
    if (type !== 'histogram') continue;
    const last = new Map<string, number>();
    for (const { name: sample, labels, value } of samples) {
      const { le, ...others } = labels;
      const key = JSON.stringify(others);
      if (le !== undefined && value < (last.get(key) ?? 0)) throw new Error(`${name}: buckets shrink`);
      if (sample.endsWith('_count') && value !== last.get(key)) throw new Error(`${name}: +Inf is not the count`);
      if (le !== undefined) last.set(key, value);
    }
  }
  return families;
}

t.test('the figures', async (t) => {
  const { call, url, sql, storage, app } = await testService(t);
  await app.listen({ port: 0, host: '127.0.0.1' });
  const figures = async (from = call) => readExposition((await from('GET', '/metrics')).text);
  const samples = async (name: string, from = call) => (await figures(from)).get(name)?.samples ?? [];
  const figure = async (name: string, wanted: Record<string, string> = {}, from = call) =>
    (await samples(name, from)).find(({ labels }) =>
      Object.entries(wanted).every(([key, value]) => labels[key] === value),
    )?.value;

  await t.test('can be read by Prometheus, and tell of all that the guide lists', async (t) => {
    const metrics = await call('GET', '/metrics');
    t.match(metrics, {
      status: 200,
      headers: { 'content-type': /^text\/plain; version=0\.0\.4/, 'cache-control': 'no-store' },
    });
    const families = readExposition(metrics.text);
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'nodejs_eventloop_lag_p99_seconds',
      'nodejs_gc_duration_seconds',
      'http_request_duration_seconds',
      'http_requests_in_flight',
      'http_requests_aborted_total',
      'clocktick_refusals_total',
      'clocktick_build_info',
      'clocktick_ready',
      'clocktick_stable_lag_seconds',
      'clocktick_held_bytes',
      'clocktick_lane_most',
      'clocktick_lane_under_way',
      'clocktick_lane_waiting',
      'clocktick_shared_statements_total',
      'clocktick_shared_questions_total',
      'clocktick_shared_under_way',
      'clocktick_shared_waiting',
      'clocktick_write_retries_total',
    ])
      t.ok(families.has(name), name);
    t.match(families.get('clocktick_build_info')?.samples, [
      { labels: { version: /^\d+\.\d+\.\d+/, node: process.versions.node }, value: 1 },
    ]);
    t.ok(((await figure('clocktick_stable_lag_seconds')) ?? 1) < 1);
  });

  await t.test('requests are counted by route, method and status, never by what they ask for', async (t) => {
    const { id } = (await call('POST', '/entities', { type: 'friend', key: 'rachel', properties: { name: 'R' } })).body;
    const before = (await samples('http_request_duration_seconds')).length;
    const same = async (n: number) => {
      await call('GET', `/entities/friend:${n}`);
      await call('GET', `/nothing/${n}`);
      await call('GET', `/entities/${id}?asOf=1&x=${n}`);
      await call('PUT', `/entities/friend:${n}`, { type: 'friend', properties: { n } });
      await converse(portOf(app), [`${n % 2 ? 'PURGE' : 'LOCK'} /entities/${n} HTTP/1.1\r\nHost: a\r\n\r\n`], 1);
    };
    await same(1);
    await same(2);
    const grown = (await samples('http_request_duration_seconds')).length;
    t.ok(grown > before);
    for (let n = 3; n < 30; n++) await same(n);
    const all = await samples('http_request_duration_seconds');
    t.equal(all.length, grown, 'other ids, paths, queries and methods make no other series');
    for (const label of ['route', 'method', 'status_code'])
      t.notMatch(all.map(({ labels }) => labels[label]).join(), /rachel|nothing|PURGE/);
    const count = (wanted: Record<string, string>) =>
      all.find(
        ({ name, labels }) =>
          name.endsWith('_count') && Object.entries(wanted).every(([key, value]) => labels[key] === value),
      )?.value;
    t.equal(count({ route: '/entities/:id', method: 'GET', status_code: '404' }), 29);
    t.equal(count({ route: 'none', method: 'GET', status_code: '404' }), 29);
    t.equal(count({ route: '/entities/:id', method: 'other', status_code: '405' }), 29);
    t.equal(await figure('clocktick_refusals_total', { code: 'entity_not_found' }), 29);
    t.equal(await figure('clocktick_refusals_total', { code: 'method_not_allowed' }), 29);
    t.equal(await figure('clocktick_refusals_total', { code: 'unknown_parameter' }), 29);
  });

  await t.test('what is in flight is counted until it is answered, or its caller has gone', async (t) => {
    const port = portOf(app);
    t.equal(await figure('http_requests_in_flight'), 1, 'the call that asks');
    const other = postgres(url, { max: 1 });
    await other.unsafe('BEGIN; LOCK TABLE clocktick.entity IN ACCESS EXCLUSIVE MODE');
    const request = 'GET /entities/friend:rachel HTTP/1.1\r\nHost: a\r\n\r\n';
    const answered = converse(port, [request], 1);
    const leaving = await open(port);
    leaving.write(request);
    while ((await figure('http_requests_in_flight')) !== 3) await sleep(5);
    leaving.destroy();
    while ((await figure('http_requests_in_flight')) !== 2) await sleep(5);
    t.equal(await figure('http_requests_aborted_total'), 1);
    t.ok(((await figure('clocktick_shared_under_way', { kind: 'entities_now' })) ?? 0) >= 1);
    await other`ROLLBACK`;
    await other.end();
    t.match(await answered, [{ status: 200 }]);
    while ((await figure('http_requests_in_flight')) !== 1) await sleep(5);
  });

  await t.test('shared statements: questions, and the statements that carried them', async (t) => {
    const of = async () => [
      (await figure('clocktick_shared_statements_total', { kind: 'entities_now' })) ?? 0,
      (await figure('clocktick_shared_questions_total', { kind: 'entities_now' })) ?? 0,
    ];
    const [statements = 0, questions = 0] = await of();
    await Promise.all(Array.from({ length: 200 }, (_, n) => call('GET', `/entities/friend:${n}`)));
    const [statementsThen = 0, questionsThen = 0] = await of();
    t.equal(questionsThen - questions, 200);
    t.ok(statementsThen - statements < 100, `${statementsThen - statements} statements`);
    t.equal(await figure('clocktick_shared_waiting', { kind: 'entities_now' }), 0);
  });

  await t.test('a write that was decided again', async (t) => {
    const others = await serve(t, storage);
    t.equal(
      await figure('clocktick_write_retries_total'),
      await figure('clocktick_write_retries_total', {}, others.call),
    );
    const before = (await figure('clocktick_write_retries_total')) ?? 0;
    await sql`SELECT * FROM clocktick.write_changes((SELECT jsonb_build_array(jsonb_build_object('id', e.id, 'expected', e.tick, 'op', 'updated',
      'type', e.type, 'key', e.key, 'set', '{"name": "S"}'::jsonb)) FROM clocktick.entity e WHERE e.key = 'rachel'), true)`;
    t.equal((await call('PATCH', '/entities/friend:rachel', { properties: { name: 'T' } })).status, 200);
    t.equal(await figure('clocktick_write_retries_total'), before + 1);
  });

  await t.test('each app of a process has figures of its own', async (t) => {
    const others = await serve(t, storage);
    t.equal((await samples('clocktick_refusals_total', others.call)).length, 0);
    t.ok((await samples('clocktick_refusals_total')).length > 0);
  });

  await t.test('readiness', { skip: await cannotPrepare(sql) }, async (t) => {
    const ready = async () =>
      Object.fromEntries((await samples('clocktick_ready')).map(({ labels, value }) => [labels.check, value]));
    await sleep(1_050);
    t.same(Object.values(await ready()), Array(8).fill(1));
    const gid = newId();
    const other = postgres(url, { max: 1 });
    await other.unsafe(`BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION '${gid}'`);
    await sleep(1_050);
    t.match(await ready(), { stable: 0, write: 1, database: 1 });
    t.ok(((await figure('clocktick_stable_lag_seconds')) ?? 0) > 1);
    await other.unsafe(`ROLLBACK PREPARED '${gid}'`);
    await other.end();
  });
});
