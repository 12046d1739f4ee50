import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import t from 'tap';
import { openStorage } from '../../../src/storage/open.js';
import { newId } from '../../../src/temporal/identity.js';
import { cannotPrepare, testDatabase, testLogin } from '../../helper/database.js';
import { list, object, serve, testService, text } from '../../helper/service.js';

/** Longer than what a check has found is shared. */
const SHARED_MS = 1_050;

t.test('readiness', async (t) => {
  const { call, url, sql } = await testService(t);

  const names = ['database', 'schema', 'privileges', 'read_only', 'read', 'stable', 'clock', 'write'];
  t.same((await call('GET', '/health/ready')).body, {
    status: 'ready',
    checks: Object.fromEntries(names.map((name) => [name, 'ok'])),
  });

  const other = postgres(url, { max: 1, onnotice: () => {} });
  t.teardown(() => other.end({ timeout: 1 }));
  await other`BEGIN`;
  await other`SELECT pg_current_xact_id()`;
  await sleep(SHARED_MS);
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
    await sleep(SHARED_MS);
    const [ready, ...answers] = await Promise.all(['/health/ready', ...reads].map((path) => call('GET', path)));
    for (const answer of answers) t.match(answer, held);
    t.match(ready, { status: 503, headers: { 'retry-after': '1' }, body: { code: 'not_ready' } });
    t.match(list(ready?.body.errors), [{ path: 'stable', message: /prepared transaction/ }]);
    t.notMatch(ready?.text, gid, 'its name is not told');
    t.equal((await call('GET', `/entities/${id}`)).status, 200);
    t.equal((await call('GET', `/entities/${id}?asOf=1`)).status, 200);
    await sql.unsafe(`ROLLBACK PREPARED '${gid}'`);
    await sleep(SHARED_MS);
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
    await sleep(SHARED_MS);
    const { status, body } = await call('GET', '/health/ready');
    t.equal(status, 503);
    t.same(
      list(body.errors).map((error) => object(error).path),
      ['clock', 'write'],
      'each reason is named',
    );
    t.equal((await call('GET', '/health/live')).status, 200, 'which no restart mends');
  });
});

t.test('a role without a privilege: every call is told 503, and readiness says which', async (t) => {
  const database = await testDatabase(t);
  const { name, url } = await testLogin(t, database);
  await database.sql.unsafe(`GRANT USAGE ON SCHEMA clocktick TO ${name}`);
  const storage = openStorage(url);
  t.teardown(() => storage.close());
  const { call } = await serve(t, storage);
  const calls: Parameters<typeof call>[] = [
    ['GET', '/entities/friend:rachel'],
    ['GET', '/entities/friend:rachel?asOf=1'],
    ['GET', '/entities/friend:rachel?asOf=2001-01-01T00:00:00Z'],
    ['GET', '/entities/friend:rachel/history'],
    ['GET', '/entities/friend:rachel/timemap'],
    ['GET', '/entities?type=friend'],
    ['GET', '/types/friend/counts/name?at=2001-01-01T00:00:00Z'],
    ['GET', `/activities/${newId()}`],
    ['POST', '/activities', { actor: 'monica' }],
    ['POST', '/entities', { type: 'friend', properties: {} }],
    ['PUT', '/entities/friend:rachel', { type: 'friend', properties: {} }],
    ['PUT', '/entities/friend:rachel?dryRun=true', { type: 'friend', properties: {} }],
    ['PATCH', '/entities/friend:rachel', { properties: {} }],
    ['DELETE', '/entities/friend:rachel'],
  ];
  for (const [method, path, body] of calls)
    t.match(
      await call(method, path, body),
      { status: 503, body: { code: 'database_unavailable' } },
      `${method} ${path}`,
    );
  const { body } = await call('GET', '/health/ready');
  const errors = list(body.errors).map((error) => object(error));
  t.match(errors.find(({ path }) => path === 'privileges')?.message, /EXECUTE on keep_promise, .*SELECT on entity/);
});
