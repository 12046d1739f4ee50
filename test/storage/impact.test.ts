import { randomBytes } from 'node:crypto';
import t from 'tap';
import { checkerOf } from '../../src/definitions/checker.js';
import { catchUp, impactOf, impactSince } from '../../src/storage/impact.js';
import { engine } from '../../src/storage/storage.js';
import { newId } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';
import { testDatabase } from '../helper/database.js';
import { testService } from '../helper/service.js';

const TYPE = 'thing';
const HAS_AGE = checkerOf({ required: ['age'] });

t.test('however much is written while a type is checked, little of it is left for when nobody may write', async (t) => {
  const { sql, storage } = await testDatabase(t);
  const create = async (count: number, set: JsonObject) => {
    const changes = Array.from({ length: count }, () => ({ id: newId(), expected: 0, op: 'created', type: TYPE, set }));
    await sql`SELECT count(*) FROM clocktick.write_changes(${JSON.stringify(changes)}::text::jsonb, true)`;
  };
  await create(3, { age: 1 });
  const impact = await impactOf(storage, TYPE, HAS_AGE, undefined);
  t.match(impact, { checked: 3, invalid: 0 });

  await create(2_500, { age: 2 });
  await t.rejects(impactSince(sql, TYPE, HAS_AGE, { ...impact }), { code: 'too_many_writers' }, 'too much for a lock');
  await catchUp(storage, TYPE, HAS_AGE, impact, undefined);
  t.equal(await impactSince(sql, TYPE, HAS_AGE, impact), 0);
  t.match(impact, { invalid: 0 });

  await create(1, {});
  await catchUp(storage, TYPE, HAS_AGE, impact, undefined);
  t.match(impact, { invalid: 1, examples: [{ errors: [{ path: '/properties/age' }] }] }, 'it is checked');
});

t.test('few large entities are read at once, also where what is large keeps no ranges', async (t) => {
  const { call, storage } = await testService(t);
  await call('PUT', '/types/file', { schema: true, untracked: ['hidden'] });
  for (const name of ['hidden', 'tracked'])
    for (const key of ['a', 'b', 'c']) {
      const properties = { [name]: randomBytes(300_000).toString('base64') };
      t.match(await call('POST', '/entities', { type: 'file', key: `${name}-${key}`, properties }), { status: 201 });
    }
  let pages = 0;
  const counting: typeof storage = {
    [engine]: {
      ...storage[engine],
      exporting: (read) => {
        pages++;
        return storage[engine].exporting(read);
      },
    },
  };
  const impact = await impactOf(counting, 'file', checkerOf({ maxProperties: 0 }), undefined);
  t.match(impact, { checked: 6, invalid: 6 });
  t.ok(pages >= 6, `${pages} pages`);
});
