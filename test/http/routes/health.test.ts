import postgres from 'postgres';
import t from 'tap';
import { newId } from '../../../src/temporal/identity.js';
import { cannotPrepare } from '../../helper/database.js';
import { testService, text } from '../../helper/service.js';

t.test('readiness, and the figures', async (t) => {
  const { call, url, sql } = await testService(t);
  const lagOf = (metrics: string) => Number(/^clocktick_stable_lag_seconds (\S+)$/m.exec(metrics)?.[1]);

  t.match(await call('GET', '/health/ready'), { status: 200, body: { status: 'ready' } });
  const metrics = await call('GET', '/metrics');
  t.match(metrics, { status: 200, headers: { 'content-type': /^text\/plain; version=0\.0\.4/ } });
  t.ok(lagOf(metrics.text) < 1);

  const other = postgres(url, { max: 1, onnotice: () => {} });
  t.teardown(() => other.end({ timeout: 1 }));
  await other`BEGIN`;
  await other`SELECT pg_current_xact_id()`;
  t.equal((await call('GET', '/health/ready')).status, 200, 'an open transaction is no reason');

  const what = 'with a prepared transaction: not ready, reads of newer instants refused, writes go on';
  await t.test(what, { skip: await cannotPrepare(sql) }, async (t) => {
    const gid = newId();
    await other.unsafe(`PREPARE TRANSACTION '${gid}'`);
    const made = await call('POST', '/entities', { type: 'thing', properties: {} });
    t.equal(made.status, 201);
    const held = { status: 503, headers: { 'retry-after': '1' }, body: { code: 'as_of_not_stable_yet' } };
    const [id, at] = [text(made.body.id), made.headers['tick-at']];
    const asOf = `/entities/${id}?asOf=${at}`;
    const reads = [
      asOf,
      `/entities?ids=${id}&asOf=${at}`,
      `/entities/${id}/diff?from=${at}`,
      `/entities/${id}/history/x?asOf=${at}`,
      `/entities?type=thing&asOf=${at}`,
      `/entities?type=thing&asOf=2001-01-01T00:00:00Z&recordedAsOf=${at}`,
    ];
    const [ready, ...answers] = await Promise.all(['/health/ready', ...reads].map((path) => call('GET', path)));
    for (const answer of [ready, ...answers]) t.match(answer, held);
    t.match(ready?.body.detail, /prepared transaction/);
    t.notMatch(ready?.text, gid, 'its name is not told');
    t.equal((await call('GET', `/entities/${id}`)).status, 200);
    t.equal((await call('GET', `/entities/${id}?asOf=1`)).status, 200);
    t.ok(lagOf((await call('GET', '/metrics')).text) > 1);
    await sql.unsafe(`ROLLBACK PREPARED '${gid}'`);
    t.equal((await call('GET', '/health/ready')).status, 200);
    t.equal((await call('GET', asOf)).status, 200);
  });

  await other`ROLLBACK`.catch(() => {});
  await t.test('a clock that has stepped back: writes are told when to come again', async (t) => {
    await sql`UPDATE clocktick.promise SET at = clock_timestamp() + interval '7 seconds'`;
    t.match(await call('POST', '/entities', { type: 'thing', properties: {} }), {
      status: 503,
      headers: { 'retry-after': '7' },
      body: { code: 'clock_stepped_back' },
    });
  });
});
