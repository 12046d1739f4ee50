import t from 'tap';
import { clocktick } from '../../src/client/client.js';
import { allOf, fated, refusing, testClient } from '../helper/client.js';

/* Pages as async iterators. */

t.test('a walk reads page by page, and only what is taken from it', async (t) => {
  const { baseUrl, client: steady } = await testClient(t);
  const operations = Array.from({ length: 250 }, (_, n) => ({
    op: 'create' as const,
    type: 'friend',
    key: String(n).padStart(4, '0'),
    properties: { n },
  }));
  await steady.batch({ operations });
  const { fetch, asked } = fated();
  const { entities } = clocktick({ baseUrl, fetch });
  const friends = entities.list({ type: 'friend', limit: 100, fields: 'n' });
  t.same(asked, [], 'nothing is asked before it is read');

  t.same(
    (await allOf(friends)).map(({ properties }) => properties.n),
    [...operations.keys()],
  );
  t.equal(asked.splice(0).length, 3);
  t.same((await allOf(friends)).length, 250, 'again from its beginning');
  asked.length = 0;

  let seen = 0;
  for await (const { key } of friends) {
    seen += 1;
    if (key === '0100') break;
  }
  t.same([seen, asked.splice(0).length], [101, 2], 'what comes after a break is not asked');

  const sizes: number[] = [];
  for await (const { items } of friends.pages()) sizes.push(items.length);
  t.same(sizes, [100, 100, 50]);
  const first = await friends.page();
  t.equal(first.items.length, 100);
  const rest = await allOf(entities.list({ type: 'friend', limit: 100, fields: 'n', cursor: first.next ?? '' }));
  t.equal(rest.length, 150, 'from a cursor on');
  t.equal(rest[0]?.key, '0100');
});

t.test('all pages of a walk show one instant, whatever is written meanwhile', async (t) => {
  const { client } = await testClient(t);
  for (const key of ['a', 'b', 'c']) await client.entities.create({ type: 'friend', key, properties: { at: 1 } });
  const seen: unknown[] = [];
  for await (const { key, properties } of client.entities.list({ type: 'friend', limit: 1 })) {
    seen.push([key, properties.at]);
    await client.entities.patch('friend:c', { properties: { at: seen.length + 1 } });
  }
  t.same(seen, [
    ['a', 1],
    ['b', 1],
    ['c', 1],
  ]);
});

t.test('a page of many megabytes comes whole', async (t) => {
  const { client } = await testClient(t);
  const text = 'é'.repeat(1_500_000);
  for (const key of ['a', 'b', 'c', 'd', 'e'])
    await client.entities.put(`book:${key}`, { type: 'book', properties: { text } });
  const { items } = await client.entities.list({ type: 'book', limit: 1_000 }).page();
  t.equal(items.length, 5);
  t.ok(items.every(({ properties }) => properties.text === text));
});

t.test('a walk survives what a single read does, and ends with what none does', async (t) => {
  const { baseUrl, client: steady } = await testClient(t);
  for (const key of ['a', 'b']) await steady.entities.create({ type: 'friend', key, properties: {} });
  const { fetch } = fated('through', 'answer lost', refusing(503, 'overloaded', { 'retry-after': '0' }));
  const { entities } = clocktick({ baseUrl, fetch, retry: { wait: 1 } });
  t.equal((await allOf(entities.list({ type: 'friend', limit: 1 }))).length, 2);
  const refused = clocktick({ baseUrl, fetch: fated('through', refusing(400, 'invalid_cursor')).fetch });
  await t.rejects(allOf(refused.entities.list({ type: 'friend', limit: 1 })), { code: 'invalid_cursor' });
  const leaving = new AbortController();
  const walk = async () => {
    for await (const _ of steady.entities.list({ type: 'friend', limit: 1 }, { signal: leaving.signal }))
      leaving.abort();
  };
  await t.rejects(walk(), { name: 'AbortError' });
});
