import t from 'tap';
import { readPage } from '../../src/storage/collections.js';
import { countValues } from '../../src/storage/counts.js';
import { DEADLINES, openPools } from '../../src/storage/engine/pools.js';
import { storageOf } from '../../src/storage/open.js';
import { readTypeRanges } from '../../src/storage/type-history.js';
import type { JsonObject } from '../../src/temporal/json.js';
import { Refusal } from '../../src/temporal/refusal.js';
import { testDatabase } from '../helper/database.js';
import { change, make } from '../helper/write.js';

/* What may take long goes by a lane of its own, so that what does not never waits for it. */

const LARGE = 'x'.repeat(100_000);

t.test('a large change, and any change of a large entity, does not share its statement with small ones', async (t) => {
  const { serviceUrl } = await testDatabase(t);
  const pools = openPools(serviceUrl);
  const went: string[] = [];
  const storage = storageOf({
    ...pools,
    sharedWrites: (question) => {
      went.push('shared');
      return pools.sharedWrites(question);
    },
    writingLarge: (question, signal) => {
      went.push('large');
      return pools.writingLarge(question, signal);
    },
  });
  t.teardown(() => storage.close());
  const { id } = (await make(storage, { n: 1 })).row;
  const steps: [name: string, properties: JsonObject, lane: string][] = [
    ['a small change', { n: 2 }, 'shared'],
    ['a large one', { text: LARGE }, 'large'],
    ['a small one of an entity that is large by now', { n: 3 }, 'large'],
    ['what makes it small again', { text: null }, 'large'],
    ['a small one of what is small again', { n: 4 }, 'shared'],
  ];
  for (const [name, properties, lane] of steps) {
    went.length = 0;
    await change(storage, id, properties);
    t.same(went, [lane], name);
  }
  went.length = 0;
  await make(storage, { text: LARGE });
  t.same(went, ['large'], 'a large creation');
});

t.test('a search that takes long begins again among its like, and quick ones go on meanwhile', async (t) => {
  const { serviceUrl } = await testDatabase(t);
  const pools = openPools(serviceUrl, undefined, { ...DEADLINES, quick: 200 });
  t.teardown(() => pools.close());
  const { searches, slow_searches } = pools.lanes;
  const slow = Array.from({ length: 3 }, () => pools.searching((sql) => sql`SELECT pg_sleep(1)`));
  const over = Promise.all(slow);
  while (slow_searches.use.asked < 3) await pools.probe((sql) => sql`SELECT 1`);
  t.equal(searches.use.asked, 0, 'they have left');
  const began = performance.now();
  await pools.searching((sql) => sql`SELECT 1`);
  t.ok(performance.now() - began < 1_000, 'a quick one does not wait for them');
  await t.resolves(over, 'and they are answered, too');
  await t.rejects(
    pools.searching((sql) => sql`SELECT no_such_function()`),
    { code: '42883' },
    'what fails for another reason is not tried again',
  );
});

t.test('what was too much to read is not tried again at once', async (t) => {
  const { serviceUrl } = await testDatabase(t);
  const pools = openPools(serviceUrl);
  let tried = 0;
  const tooMuch = async () => {
    tried++;
    throw new Refusal('too_much_to_read', 'too much');
  };
  const storage = storageOf({ ...pools, searching: tooMuch, counting: tooMuch });
  t.teardown(() => storage.close());
  const now = new Date().toISOString();
  const pin = { asOf: now, recordedAsOf: now };
  const where = (operand: number) => [{ property: 'n', operator: 'ne' as const, operand }];
  const collection = (operand: number) =>
    ({
      type: 'thing',
      keyPrefix: null,
      deleted: 'exclude',
      where: where(operand),
      everHad: [],
      changedAfter: null,
    }) as const;
  const asked: Record<string, (n: number) => Promise<unknown>> = {
    'a page': (n) =>
      readPage(storage, collection(n), pin, { after: null, limit: 10, fields: null, withChanges: false }),
    ranges: (n) =>
      readTypeRanges(storage, collection(n), 'n', { from: null, to: null }, pin, { after: null, limit: 10 }),
    counts: (n) => countValues(storage, { type: 'thing', property: `p${n}`, most: 10 }, [now], now),
  };
  for (const [name, ask] of Object.entries(asked)) {
    tried = 0;
    for (let times = 0; times < 3; times++) await t.rejects(ask(1), { code: 'too_much_to_read' }, name);
    t.equal(tried, 1, `${name}: tried once`);
    await t.rejects(ask(2), { code: 'too_much_to_read' });
    t.equal(tried, 2, `${name}: another question is tried`);
  }
});
