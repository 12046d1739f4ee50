import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { unlessTooMuch } from '../../../src/storage/engine/too-much.js';
import { Refusal } from '../../../src/temporal/refusal.js';

t.test('what was too much to read is refused at once for a while; nothing else is', async (t) => {
  const unless = unlessTooMuch({ max: 10, ttl: 1_000 });
  let reads = 0;
  const read = (end: unknown) => async () => {
    reads++;
    if (end instanceof Error) throw end;
    return end;
  };
  const tooMuch = new Refusal('too_much_to_read', 'too much');
  t.equal(await unless(['a', { n: 1 }], read('done')), 'done');
  await t.rejects(unless(['a', { n: 1 }], read(tooMuch)), { code: 'too_much_to_read' });
  await t.rejects(unless(['a', { n: 1 }], read('done')), { code: 'too_much_to_read' }, 'again');
  t.equal(reads, 2, 'and it is not even tried');
  t.equal(await unless(['a', { n: 2 }], read('other')), 'other');
  await t.rejects(unless(['b'], read(new Refusal('overloaded', 'busy'))), { code: 'overloaded' });
  t.equal(await unless(['b'], read('done')), 'done', 'another refusal is not remembered');
  await sleep(1_100);
  t.equal(await unless(['a', { n: 1 }], read('done')), 'done', 'later it is tried again');
});
