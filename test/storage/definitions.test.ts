import t from 'tap';
import { engine } from '../../src/storage/storage.js';
import { testService } from '../helper/service.js';

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
