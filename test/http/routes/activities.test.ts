import t from 'tap';
import { newId } from '../../../src/temporal/identity.js';
import type { Json, JsonObject } from '../../../src/temporal/json.js';
import {
  type Answer,
  INSTANT,
  JSON_PATCH,
  list,
  object,
  problem,
  state,
  testService,
  text,
  traces,
} from '../../helper/service.js';

t.test('activities', async (t) => {
  const { call, sql } = await testService(t);

  await t.test('T22–T23 an activity made before is named by Activity-Id, and finds all its ticks', async (t) => {
    const details = { actor: 'monica', reason: 'moving day', metadata: { ticket: [1, null] } };
    const made = await call('POST', '/activities', details);
    t.match(made, { status: 201, body: details, headers: { location: `/activities/${made.body.id}` } });
    t.match(made.body.recordedAt, INSTANT);
    const other = await call('POST', '/activities', { actor: 'ross' });
    const [first, second] = [made, other].map(({ body }) => ({ 'activity-id': text(body.id) }));
    await call('POST', '/entities', { type: 'thing', key: 'x1', properties: { a: 1 } }, first);
    await call('PUT', '/entities/thing:x2', state({ a: 1 }), first);
    await call('PATCH', '/entities/thing:x1', [{ op: 'replace', path: '/properties/a', value: 2 }], {
      ...JSON_PATCH,
      ...second,
    });
    await call('DELETE', '/entities/thing:x2', undefined, second);
    const ticksOf = async (id: Json | undefined) =>
      list((await call('GET', `/activities/${id}`)).body.ticks).map((tick) => {
        const { type, key, tick: number, op } = object(tick);
        return `${type}:${key} ${number} ${op}`;
      });
    t.same((await ticksOf(made.body.id)).toSorted(), ['thing:x1 1 created', 'thing:x2 1 created']);
    t.same((await ticksOf(other.body.id)).toSorted(), ['thing:x1 2 updated', 'thing:x2 2 deleted']);
    const history = await call('GET', '/entities/thing:x1/history');
    t.match(history.body.items, [{ activity: { id: made.body.id, ...details } }, { activity: { id: other.body.id } }]);

    const before = await traces(sql);
    const again = await call('PATCH', '/entities/thing:x1', { properties: { a: 3 } }, second);
    t.match(again, problem(409, 'activity_already_ticked'), 'an activity ticks an entity at most once');
    const nobody = { 'activity-id': newId() };
    const refused: [headers: Record<string, string>, body: JsonObject, code: string][] = [
      [nobody, { properties: { a: 3 } }, 'unknown_activity'],
      [nobody, { properties: {} }, 'unknown_activity'],
      [{ 'activity-id': 'x' }, { properties: { a: 3 } }, 'invalid_activity_id'],
      [{ 'activity-id': '' }, { properties: { a: 3 } }, 'invalid_activity_id'],
      [first ?? {}, { properties: { a: 3 }, activity: { actor: 'me' } }, 'activity_given_twice'],
    ];
    for (const [headers, body, code] of refused) {
      for (const dryRun of ['', '?dryRun=true'])
        t.match(await call('PATCH', `/entities/thing:x1${dryRun}`, body, headers), problem(400, code), code);
    }
    t.match(
      await call('PATCH', '/entities/thing:x1', { properties: { a: 2 } }, second),
      { status: 200 },
      'no tick, no conflict',
    );
    t.same(await traces(sql), before);

    const absent: [url: string, status: number, code: string][] = [
      [`/activities/${newId()}`, 404, 'activity_not_found'],
      ['/activities/x', 400, 'invalid_activity_id'],
      [`/activities/${made.body.id}?limit=0`, 400, 'invalid_parameter'],
      [`/activities/${made.body.id}?cursor=x`, 400, 'invalid_cursor'],
    ];
    for (const [url, status, code] of absent) t.match(await call('GET', url), problem(status, code), url);
  });

  await t.test('the ticks of an activity come in pages', async (t) => {
    const made = await call('POST', '/activities', { reason: 'bulk' });
    const by = { 'activity-id': text(made.body.id) };
    const ids: string[] = [];
    for (let n = 0; n < 7; n++) ids.push(text((await call('POST', '/entities', state({ n }), by)).body.id));
    const seen: string[] = [];
    let url: string | undefined = `/activities/${made.body.id}?limit=3`;
    let pages = 0;
    while (url !== undefined) {
      const page: Answer = await call('GET', url);
      seen.push(...list(page.body.ticks).map((tick) => text(object(tick).id)));
      pages++;
      url = /^<(.*)>; rel="next"$/.exec(page.headers.link ?? '')?.[1];
      t.equal(page.body.next === null, url === undefined);
    }
    t.equal(pages, 3);
    t.same(seen, ids.toSorted());
    const empty = await call('POST', '/activities', { reason: 'nothing yet' });
    t.match((await call('GET', `/activities/${empty.body.id}`)).body, { reason: 'nothing yet', ticks: [], next: null });
  });
});
