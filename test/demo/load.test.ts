import t from 'tap';
import { demoLines } from '../../src/demo/countries.js';
import { loadDemo } from '../../src/demo/load.js';
import { list, object, type Service, testService, text, traces } from '../helper/service.js';

const load = (app: Service['app'], isOwn: boolean) => loadDemo((request) => app.inject(request), isOwn);

t.test('the sample history is imported once, and stays what was made of it', async (t) => {
  const { app, call, sql } = await testService(t);
  await load(app, false);
  const lines = demoLines()
    .trimEnd()
    .split('\n')
    .map((line) => object(JSON.parse(line)));
  const before = await traces(sql);
  t.equal(before.ticks, lines.length, 'each line has changed something');

  const { items } = (await call('GET', '/entities?type=country')).body;
  t.same(
    list(items).map((item) => object(item).key),
    ['BAR', 'BRO', 'ERE', 'GRA', 'LAP', 'LIL', 'RUR'],
  );
  t.equal((await call('GET', '/entities/country:COC')).status, 410, 'one of them is deleted');
  const then = await call('GET', '/entities/country:RUR?asOf=2021-03-14T03:00:00Z&include=provenance');
  t.match(object(then.body.properties), { capital: 'Zenda' });
  t.match(JSON.stringify(then.body.provenance), '"actor":"visitor 4711","reason":"lol"');
  t.ok(list((await call('GET', '/entities/country:RUR/history?limit=1000')).body.items).length > 90);

  await call('PATCH', '/entities/country:RUR', { properties: { capital: 'Streslau' } });
  const changed = await traces(sql);
  await load(app, false);
  t.same(await traces(sql), changed, 'a later start finds it done');
});

t.test('an import that was interrupted goes on', async (t) => {
  const { app, call, sql } = await testService(t);
  const half = demoLines().split('\n').slice(0, 100).join('\n');
  const headers = { 'content-type': 'application/x-ndjson', accept: 'application/json' };
  const begun = await call('POST', '/import?source=clocktick-demo', `${half}\n{"type"`, headers);
  t.equal(begun.status, 400);
  t.equal((await call('GET', '/imports/clocktick-demo')).body.status, 'failed');
  await load(app, false);
  t.equal((await traces(sql)).ticks, demoLines().trimEnd().split('\n').length);
});

t.test('a database of others takes none of it; one made for the service does, beside what there is', async (t) => {
  const { app, call, sql } = await testService(t);
  await call('POST', '/entities', { type: 'customer', key: 'acme', properties: {} });
  const before = await traces(sql);
  await t.rejects(load(app, false), { name: 'Unfit', message: /^--demo adds .* name an empty database/ });
  t.same(await traces(sql), before);
  await load(app, true);
  t.equal(text((await call('GET', '/imports/clocktick-demo')).body.status), 'done');
  await load(app, false);
});

t.test('what stands in the way is said', async (t) => {
  const { app, call } = await testService(t);
  await call('POST', '/entities', { type: 'country', key: 'RUR', properties: { name: 'Ours' } });
  await t.rejects(load(app, true), { name: 'Unfit', message: /^--demo cannot add its countries: .*RUR/ });
});
