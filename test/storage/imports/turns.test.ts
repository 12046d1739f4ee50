import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { type Import, importLines } from '../../../src/storage/imports/imports.js';
import { engine, type Storage } from '../../../src/storage/storage.js';
import { testDatabase } from '../../helper/database.js';
import { until } from '../../helper/embedded.js';
import { linesOf } from '../../helper/lines.js';

const UPSERT: Import = {
  source: 's',
  mode: 'upsert',
  skew: 'refuse',
  onError: 'stop',
  evenIfInvalid: false,
  dryRun: false,
  wait: 600,
};

const friend = (key: string) => ({ type: 'friend', key, properties: { n: 1 } });

/** An import that runs until it is let go; `ended` gives how. */
async function held(storage: Storage, source: string) {
  let go = () => {};
  const until = new Promise<void>((resolve) => {
    go = resolve;
  });
  async function* lines() {
    yield* linesOf([friend(`of ${source}`), { watermark: 1 }]);
    await until;
  }
  const steps = importLines(storage, { ...UPSERT, source, wait: 0 }, lines());
  await steps.next();
  const ended = (async () => {
    for await (const { row } of steps) if (row.status === 'done') return row;
    return null;
  })();
  return { go, ended };
}

/** Begins an import, and tells by a step what came of it: how it ended, or why not. */
async function ending(storage: Storage, how: Partial<Import> = {}): Promise<unknown> {
  let status: string | undefined;
  try {
    const lines = linesOf([friend('next')]);
    for await (const { row } of importLines(storage, { ...UPSERT, ...how }, lines)) status = row.status;
    return status;
  } catch (error) {
    return error;
  }
}

async function waiting(storage: Storage, count: number): Promise<void> {
  await until(async () => storage[engine].counts.waitingImports === count);
}

t.test('B32: two imports of one source at once: the second waits for the first, and both are kept', async (t) => {
  const { storage, sql } = await testDatabase(t);
  const first = await held(storage, 's');
  t.match(await ending(storage, { wait: 0 }), { code: 'import_running' }, 'without a word it is refused');
  const second = ending(storage);
  await waiting(storage, 1);
  first.go();
  t.match(await first.ended, { status: 'done', ticks: 1 });
  t.equal(await second, 'done');
  t.same(await sql`SELECT count(*)::int AS n FROM clocktick.entity`, [{ n: 2 }]);
  t.equal(storage[engine].counts.waitingImports, 0);
});

t.test('who waits takes no place: another source is imported meanwhile', async (t) => {
  const { storage } = await testDatabase(t);
  const { use } = storage[engine].lanes.imports;
  const first = await held(storage, 's');
  const waits = [ending(storage), ending(storage)];
  await waiting(storage, 2);
  await sleep(600); // so that each has looked
  t.equal(await ending(storage, { source: 'other', wait: 0 }), 'done');
  t.equal(use.asked, 1);
  first.go();
  t.same(await Promise.all(waits), ['done', 'done']);
  await first.ended;
  t.equal(use.asked, 0);
});

t.test('it waits for a place, too', async (t) => {
  const { storage } = await testDatabase(t);
  const running = [await held(storage, 'a'), await held(storage, 'b')];
  t.match(await ending(storage, { source: 'c', wait: 0 }), { code: 'overloaded' });
  const third = ending(storage, { source: 'c' });
  await waiting(storage, 1);
  for (const { go } of running) go();
  t.equal(await third, 'done');
  await Promise.all(running.map(({ ended }) => ended));
});

t.test('the wait ends: with its time, its caller, its service; and so many may wait', async (t) => {
  const { storage } = await testDatabase(t);
  const first = await held(storage, 's');
  t.match(await ending(storage, { wait: 1 }), { code: 'import_running' });
  for (const why of ['caller', 'signal'] as const) {
    const over = new AbortController();
    const waits = ending(storage, { [why]: over.signal });
    await waiting(storage, 1);
    over.abort();
    t.match(await waits, { code: 'overloaded' }, why);
  }
  const over = new AbortController();
  const all = Array.from({ length: 20 }, () => ending(storage, { signal: over.signal }));
  await waiting(storage, 20);
  t.match(await ending(storage), { code: 'overloaded', message: /^More imports wait/ });
  over.abort();
  for (const one of await Promise.all(all)) t.match(one, { code: 'overloaded' });
  t.equal(storage[engine].counts.waitingImports, 0);
  first.go();
  await first.ended;
});
