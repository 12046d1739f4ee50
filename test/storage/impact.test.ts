import { randomBytes } from 'node:crypto';
import t from 'tap';
import { checkerOf } from '../../src/definitions/checker.js';
import { impactOf } from '../../src/storage/impact.js';
import { engine } from '../../src/storage/storage.js';
import { testService } from '../helper/service.js';

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
