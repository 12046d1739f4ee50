import t from 'tap';
import { checkerOf } from '../../src/definitions/checker.js';
import { catchUp, impactOf, impactSince } from '../../src/storage/impact.js';
import { newId } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';
import { testDatabase } from '../helper/database.js';

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
