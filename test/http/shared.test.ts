import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { MOST_FLIGHTS, openPools } from '../../src/storage/engine/pools.js';
import { storageOf } from '../../src/storage/open.js';
import { type Answer, list, object, problem, serve, testService, text } from '../helper/service.js';

/*
 * Requests that come at the same time share statements. Nobody may notice but by the time it takes.
 */
t.test('requests that share statements', async (t) => {
  const { call, sql, hand, app, serviceUrl } = await testService(t);
  const create = async (type = 'thing') =>
    text((await call('POST', '/entities', { type, properties: { n: 0 } })).body.id);
  const patch = (id: string, n: number, headers: Record<string, string> = {}) =>
    call('PATCH', `/entities/${id}`, { properties: { n } }, headers);
  const tickOf = async (id: string) => (await call('GET', `/entities/${id}`)).body.tick;

  // A write of a `slow` entity takes half a second, and with it the statement that it shares.
  await sql.unsafe(`
    CREATE FUNCTION clocktick.test_sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$;
    CREATE TRIGGER test_sleep BEFORE INSERT ON clocktick.tick FOR EACH ROW WHEN (NEW.type = 'slow' AND NEW.tick > 1)
      EXECUTE FUNCTION clocktick.test_sleep()`);
  /** Keeps all statements that may be under way busy; gives what ends when they are free again. */
  async function occupy(): Promise<{ free: Promise<unknown> }> {
    const slow = await Promise.all(Array.from({ length: MOST_FLIGHTS.writes }, () => create('slow')));
    const busy: Promise<unknown>[] = [];
    let isOver = false;
    for (const [n, id] of slow.entries()) {
      busy.push(
        patch(id, 1).finally(() => {
          isOver = true;
        }),
      );
      await until(async () => isOver || (await sleeping()) > n);
    }
    if (!isOver) return { free: Promise.all(busy) };
    // A machine that stood still for that long has missed it.
    await Promise.all(busy);
    return occupy();
  }
  const portOf = () => {
    const address = app.server.address();
    if (typeof address !== 'object' || !address) throw new Error('not listening');
    return address.port;
  };
  const waiters = () => sql`
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  const sleeping = async () =>
    (await sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`).length;

  await t.test('many writes are few transactions, and each is answered its own', async (t) => {
    const ids = await Promise.all(Array.from({ length: 60 }, () => create()));
    const answers = await Promise.all(ids.map((id, n) => patch(id, n + 1)));
    t.same(
      answers.map(({ status, body }) => [status, body.id, object(body.properties).n]),
      ids.map((id, n) => [200, id, n + 1]),
    );
    const [transactions] = await sql<{ count: number }[]>`
      SELECT count(DISTINCT at)::int AS count FROM clocktick.tick WHERE entity_id = ANY (${ids}::uuid[]) AND tick = 2`;
    t.ok(transactions && transactions.count <= 10, `60 writes in ${transactions?.count} transactions`);
  });

  await t.test('a write that the database refuses is refused alone; the others are written', async (t) => {
    const ids = await Promise.all(Array.from({ length: 30 }, () => create()));
    const [twice = '', large = ''] = ids;
    const activity = text((await call('POST', '/activities', { actor: 'me' })).body.id);
    const used = { 'activity-id': activity };
    t.match(await patch(twice, 1, used), { status: 200 });
    // 220 kB of body are 9.5 MB as PostgreSQL writes these numbers: what only the database can know.
    const numbers = Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`p${n}`, Array(35).fill(1e-300)]));
    const answers = await Promise.all(
      ids.map((id, n) =>
        id === twice
          ? patch(id, 2, used)
          : id === large
            ? call('PATCH', `/entities/${id}`, { properties: numbers })
            : patch(id, n + 1),
      ),
    );
    t.match(answers[0], problem(409, 'activity_already_ticked'));
    t.match(answers[1], problem(413, 'entity_too_large'));
    t.same(
      answers.slice(2).map(({ status, body }) => [status, body.tick]),
      ids.slice(2).map(() => [200, 2]),
    );
    t.same([await tickOf(twice), await tickOf(large)], [2, 1], 'what is refused leaves nothing');
  });

  await t.test('an entity that somebody else has locked holds up nobody but its own writers', async (t) => {
    const locked = await create();
    const others = await Promise.all(Array.from({ length: 20 }, () => create()));
    const blocker = hand();
    await blocker`BEGIN`;
    await blocker`SELECT FROM clocktick.entity WHERE id = ${locked} FOR UPDATE`;
    let isLocked = true;
    const waiting = patch(locked, 1).then((answer) => ({ answer, isLocked }));
    const behind = patch(locked, 2);
    const answers = await Promise.all(others.flatMap((id) => [patch(id, 1), patch(id, 2)]));
    t.ok(
      answers.every(({ status }) => status === 200),
      'the others are written while it is locked',
    );
    isLocked = false;
    await blocker`COMMIT`;
    await blocker.end();
    t.match(await waiting, { answer: { status: 200, body: { tick: 2, properties: { n: 1 } } }, isLocked: false });
    t.match(await behind, { status: 200, body: { tick: 3, properties: { n: 2 } } });
  });

  await t.test('reads of the past that wait hold up no reads of now', async (t) => {
    const [past, present] = await Promise.all([create(), create()]);
    await patch(past, 1);
    const blocker = hand();
    await blocker`BEGIN`;
    await blocker`LOCK TABLE clocktick.property_history IN ACCESS EXCLUSIVE MODE`;
    const older: Promise<Answer>[] = [];
    for (let n = 0; n < MOST_FLIGHTS.reads; n++) {
      older.push(call('GET', `/entities/${past}?asOf=1`));
      await until(async () => (await waiters()).length > n);
    }
    const reads = await Promise.all(Array.from({ length: 8 }, () => call('GET', `/entities/${present}`)));
    t.ok(reads.every(({ status }) => status === 200));
    await blocker`COMMIT`;
    await blocker.end();
    for (const answer of await Promise.all(older)) t.match(answer, { status: 200, body: { tick: 1 } });
  });

  await t.test('a key that somebody else is just creating holds up nobody but who creates it, too', async (t) => {
    const key = { type: 'thing', key: 'mine', properties: { n: 1 } };
    const probe = await call('POST', '/entities?dryRun=true', key);
    const id = text(probe.body.id);
    const blocker = hand();
    await blocker`BEGIN`;
    await blocker`
      WITH ticked AS (INSERT INTO clocktick.tick SELECT ${id}, 1, 'thing', now(), now(), 'created')
      INSERT INTO clocktick.entity SELECT ${id}, 'thing', 'mine', 1, '{}', false, now(), now()`;
    // As many as may wait for locks at once already do.
    const locked = await Promise.all(Array.from({ length: 10 }, () => create()));
    await blocker`SELECT FROM clocktick.entity WHERE id = ANY (${`{${locked}}`}::text::uuid[]) FOR UPDATE`;
    const waitingToo = locked.map((id) => patch(id, 1));
    await until(async () => (await waiters()).length === locked.length);
    const { free } = await occupy();
    const waiting = call('POST', '/entities', key);
    const others = await Promise.all(Array.from({ length: 20 }, () => create()));
    await free;
    t.equal(new Set(others).size, 20, 'the others are created meanwhile');
    await sleep(200); // longer than a shared statement waits
    await blocker`COMMIT`;
    await blocker.end();
    for (const answer of await Promise.all(waitingToo)) t.equal(answer.status, 200);
    t.match(await waiting, problem(409, 'entity_exists', { id }));
  });

  await t.test('writes of one entity are made in the order in which they came', async (t) => {
    const ids = await Promise.all(Array.from({ length: 4 }, () => create()));
    const writes: [id: string, n: number][] = [];
    for (let n = 1; n <= 25; n++) for (const id of ids) writes.push([id, n]);
    const answers = await Promise.all(writes.map(([id, n]) => patch(id, n)));
    t.same(
      answers.map(({ status, body }) => [status, body.tick, object(body.properties).n]),
      writes.map(([, n]) => [200, n + 1, n]),
    );
  });

  await t.test('a write that waits its turn is decided on what the one before it left', async (t) => {
    const id = await create();
    const blocker = hand();
    await blocker`BEGIN`;
    await blocker`SELECT FROM clocktick.entity WHERE id = ${id} FOR UPDATE`;
    const answers: Promise<Answer>[] = [];
    for (const send of [
      () => patch(id, 1, { 'if-match': '"1"' }),
      () => patch(id, 2, { 'if-match': '"1"' }),
      () => patch(id, 1),
      () => call('DELETE', `/entities/${id}`),
      () => patch(id, 3),
      () => call('POST', `/entities/${id}/restore`),
      () => patch(id, 4, { 'if-match': '"4"' }),
    ]) {
      answers.push(send());
      await sleep(20);
    }
    await blocker`COMMIT`;
    await blocker.end();
    t.same(
      (await Promise.all(answers)).map(({ status, headers }) => [status, headers.etag]),
      [
        [200, '"2"'],
        [412, undefined],
        [200, '"2"'],
        [204, '"3"'],
        [410, undefined],
        [200, '"4"'],
        [200, '"5"'],
      ],
    );
  });

  await t.test('a write that names an activity keeps its place', async (t) => {
    const id = await create();
    const activity = text((await call('POST', '/activities', { actor: 'me' })).body.id);
    const named = patch(id, 1, { 'activity-id': activity });
    await turn();
    const answers = await Promise.all([named, patch(id, 2)]);
    t.same(
      answers.map(({ body }) => [body.tick, object(body.properties).n]),
      [
        [2, 1],
        [3, 2],
      ],
    );
  });

  await t.test('a table that somebody has locked fills the queue, which refuses; then all goes on', async (t) => {
    const narrow = storageOf(openPools(serviceUrl), {
      bounds: { batch: 2, weight: 1000, patience: 10, waiting: 3, wait: 3_000 },
    });
    t.teardown(narrow.close);
    const small = await serve(t, narrow);
    const ids = await Promise.all(Array.from({ length: 30 }, () => create()));
    const blocker = hand();
    await blocker`BEGIN`;
    await blocker`LOCK TABLE clocktick.entity IN SHARE MODE`;
    const writing = ids.map((id) => small.call('PATCH', `/entities/${id}`, { properties: { n: 1 } }));
    await sleep(300);
    await blocker`COMMIT`;
    await blocker.end();
    const statuses = (await Promise.all(writing)).map(({ status, body }) => body.code ?? status);
    t.same([...new Set(statuses)].toSorted(), [200, 'overloaded']);
    t.ok(statuses.filter((status) => status === 200).length < 20, 'most are refused');
    t.equal((await small.call('PATCH', `/entities/${ids[29]}`, { properties: { n: 2 } })).status, 200);
  });

  await t.test('a write whose caller went away before it was begun is not made; others are', async (t) => {
    await app.listen({ port: 0, host: '127.0.0.1' });
    const [left, stayed] = await Promise.all([create(), create()]);
    const { free } = await occupy();
    const socket = connect(portOf(), '127.0.0.1');
    const body = '{"properties": {"n": 1}}';
    socket.write(
      `PATCH /entities/${left} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await sleep(100);
    const staying = patch(stayed, 1);
    socket.destroy();
    await once(socket, 'close');
    t.match(await staying, { status: 200, body: { tick: 2 } });
    await free;
    t.equal(await tickOf(left), 1);
  });

  await t.test('a caller that goes away while its write waits for others’ locks is not written for', async (t) => {
    const ids = await Promise.all(Array.from({ length: 11 }, () => create()));
    const [left = '', ...locked] = ids;
    const blocker = hand();
    await blocker`BEGIN`;
    await blocker`SELECT FROM clocktick.entity WHERE id = ANY (${`{${ids}}`}::text::uuid[]) FOR UPDATE`;
    const waiting = locked.map((id) => patch(id, 1));
    await until(async () => (await waiters()).length === locked.length);
    const socket = connect(portOf(), '127.0.0.1');
    const body = '{"properties": {"n": 1}}';
    socket.write(
      `PATCH /entities/${left} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await sleep(100);
    socket.destroy();
    await once(socket, 'close');
    await sleep(50);
    await blocker`COMMIT`;
    await blocker.end();
    for (const answer of await Promise.all(waiting)) t.equal(answer.status, 200);
    await sleep(50);
    t.equal(await tickOf(left), 1);
  });

  await t.test('a caller that goes away while its write is under way takes nobody along', async (t) => {
    const slow = await create('slow');
    const socket = connect(portOf(), '127.0.0.1');
    socket.write(`DELETE /entities/${slow} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const isDeleted = async () => (await call('GET', `/entities/${slow}`)).status === 410;
    await until(async () => (await sleeping()) > 0 || (await isDeleted()));
    socket.destroy();
    const other = await create();
    t.match(await patch(other, 1), { status: 200 });
    await until(async () => (await sleeping()) === 0);
    await until(isDeleted);
  });

  await t.test('a full queue is 503 overloaded with Retry-After, and leaves nothing', async (t) => {
    const bounds = { batch: 2, weight: 1000, patience: 10, waiting: 3, wait: 3_000 };
    const narrow = storageOf(openPools(serviceUrl), { bounds });
    t.teardown(narrow.close);
    const small = await serve(t, narrow);
    const ids = await Promise.all(Array.from({ length: 20 }, () => create()));

    // Readers that wait for a table that somebody has locked.
    const blocker = hand();
    await blocker`BEGIN`;
    await blocker`LOCK TABLE clocktick.entity IN ACCESS EXCLUSIVE MODE`;
    const reading = ids.map((id) => small.call('GET', `/entities/${id}`));
    await until(async () => {
      const waiting = await sql`
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      return waiting.length > 0;
    });
    await blocker`COMMIT`;
    const read = await Promise.all(reading);
    const refused = read.filter(({ status }) => status !== 200);
    t.ok(refused.length >= 20 - 3 - 2 * 2 && refused.length < 20, `${refused.length} of 20 refused`);
    for (const answer of refused) {
      t.match(answer, { ...problem(503, 'overloaded'), headers: { 'retry-after': '1' } });
    }

    const writing = await Promise.all(
      ids.map((id) => small.call('PATCH', `/entities/${id}`, { properties: { n: 1 } })),
    );
    for (const [n, { status, body }] of writing.entries()) {
      if (status !== 200) t.match({ status, body }, problem(503, 'overloaded'));
      t.equal(await tickOf(ids[n] ?? ''), status === 200 ? 2 : 1, 'what is refused is not written');
    }
    t.ok(new Set(writing.map(({ status }) => status)).size === 2, 'some were written, some refused');

    const [one = ''] = ids;
    const turns = await Promise.all(
      Array.from({ length: 8 }, (_, n) => small.call('PATCH', `/entities/${one}`, { properties: { n: n + 10 } })),
    );
    t.same(
      turns.map(({ status }) => status),
      [200, 200, 200, 200, 503, 503, 503, 503],
      'one is written, three wait their turn',
    );
    const again = await small.call('PATCH', `/entities/${one}`, { properties: { n: 99 } });
    t.equal(again.status, 200, 'and then it takes requests again');
    t.equal(list((await call('GET', `/entities/${one}/history/n`)).body.items).length, Number(again.body.tick));
    await blocker.end();
  });
});

/** Waits until something is so. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(5);
}
