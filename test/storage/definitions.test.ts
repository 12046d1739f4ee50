import t from 'tap';
import { checkerOf } from '../../src/definitions/checker.js';
import { readType } from '../../src/storage/definitions.js';
import { engine } from '../../src/storage/storage.js';
import { newId } from '../../src/temporal/identity.js';
import { testService, text } from '../helper/service.js';
import { writeChanges } from '../helper/write.js';

t.test('of large definitions only so many are kept in memory, and all of them hold', async (t) => {
  const { call, storage } = await testService(t);
  const types = Array.from({ length: 10 }, (_, n) => `large-${n}`);
  const schema = { $comment: 'x'.repeat(200_000), required: ['name'] };
  for (const type of types) t.match(await call('PUT', `/types/${type}`, { schema }), { status: 201 });
  for (const type of types) {
    const create = (key: string, properties: { name?: string }) => call('POST', '/entities', { type, key, properties });
    t.match(await create('a', { name: 'a' }), { status: 201 });
    t.match(await create('b', {}), { status: 422, body: { code: 'invalid_properties' } });
  }
  const { knownTypes } = storage[engine];
  t.ok(knownTypes.size > 0 && knownTypes.size < types.length, `${knownTypes.size} of ${types.length}`);
});

t.test('a definition of the same tick and another instant is another one, as after a failover', async (t) => {
  const { call, sql, storage } = await testService(t);
  const { updatedAt } = (await call('PUT', '/types/person', { schema: { required: ['name'] } })).body;
  const change = { id: newId(), expected: 0, op: 'created' as const, type: 'person', set: {}, definition: 1 };
  const outcomeAt = async (instant: string) => {
    const [end] = await writeChanges(sql, [{ ...change, defined_at: instant }]);
    return end?.outcome;
  };
  t.equal(await outcomeAt('2001-01-01T00:00:00Z'), 'redefined');
  const known = await readType(storage, 'person');
  if (!known.rules) throw new Error('the type is open');
  // As it was known of another server.
  const other = { ...known.rules, at: '2001-01-01T00:00:00.000000Z', checker: checkerOf(true) };
  storage[engine].knownTypes.set('person', { rules: other }, { size: 1 });
  const create = () => call('POST', '/entities', { type: 'person', properties: {} });
  t.match(await create(), { status: 422, body: { code: 'invalid_properties', definition: 1 } });
  t.equal((await readType(storage, 'person')).rules?.at, updatedAt);
  t.equal(await outcomeAt(text(updatedAt)), 'written');
});
