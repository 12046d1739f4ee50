import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { openStorage } from '../../src/storage/open.js';
import { list, object, ranges, serve, testService, text } from '../helper/service.js';

t.test('many writers', async (t) => {
  const { call, sql, hand, serviceUrl } = await testService(t);

  await t.test(
    'T47, A20 two writers hold tick 1: one makes tick 2, the other is refused and leaves nothing',
    async (t) => {
      const made = await call('POST', '/entities', { type: 'friend', properties: { location: 'New York' } });
      const id = text(made.body.id);
      const body = (location: string) => ({ properties: { location }, activity: { actor: location } });
      const answers = await Promise.all(
        ['Oakland', 'Tucson'].map((place) => call('PATCH', `/entities/${id}`, body(place), { 'if-match': '"1"' })),
      );
      const [won] = answers.filter((answer) => answer.status === 200);
      const [lost] = answers.filter((answer) => answer.status === 412);
      t.equal(won?.body.tick, 2);
      t.match(lost?.body, { code: 'precondition_failed', tick: 2 });
      t.same(await ranges(call, id, 'location'), [
        '"New York"@[1,2)',
        `${JSON.stringify(object(won?.body.properties).location)}@[2,)`,
      ]);
      const [activities] = await sql`SELECT count(*)::int AS n FROM clocktick.activity`;
      t.same(activities, { n: 1 });
    },
  );

  await t.test('If-Match', async (t) => {
    const made = await call('POST', '/entities', { type: 'friend', properties: { n: 0 } });
    const id = text(made.body.id);
    await call('PATCH', `/entities/${id}`, { properties: { n: 1 } });
    const cases: [header: string, status: number][] = [
      ['"2"', 200],
      ['*', 200],
      ['"1", "2"', 200],
      ['"x","2"', 200],
      [' "2" ', 200],
      ['"1"', 412],
      ['W/"2"', 412],
      ['"x"', 412],
      ['"02"', 412],
      ['"2 "', 400],
      ['2', 400],
      ['', 400],
      ['"2', 400],
      ['"2",', 200],
      ['"1", , "3"', 412],
      [',', 400],
      ['*, "2"', 400],
    ];
    for (const [header, status] of cases) {
      const answer = await call('PATCH', `/entities/${id}`, { properties: { n: 1 } }, { 'if-match': header });
      t.equal(answer.status, status, `If-Match: ${header}, and nothing to change`);
    }
    t.equal((await call('PATCH', '/entities/friend:nobody', { properties: {} }, { 'if-match': '*' })).status, 404);
  });

  await t.test('200 writers on ten entities: every one answered, no gap in any clock', async (t) => {
    const second = openStorage(serviceUrl);
    t.teardown(() => second.close());
    const other = await serve(t, second);
    const ids = [];
    for (let n = 0; n < 10; n++) {
      ids.push(
        text((await call('POST', '/entities', { type: 'counter', key: `c${n}`, properties: { n: 0 } })).body.id),
      );
    }
    // Every writer writes a property of its own and one that all share; half of them through a second instance.
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, writer) => {
        const through = writer % 2 === 0 ? call : other.call;
        return through('PATCH', `/entities/counter:c${writer % 10}`, {
          properties: { [`w${writer}`]: true, last: writer },
        });
      }),
    );
    t.same([...new Set(answers.map((answer) => answer.status))], [200]);
    for (const id of ids) {
      const ticks = answers.filter((answer) => answer.body.id === id).map((answer) => Number(answer.body.tick));
      t.same(
        ticks.sort((a, b) => a - b),
        Array.from({ length: 20 }, (_, n) => n + 2),
        'each made a tick of its own',
      );
      const history = list((await call('GET', `/entities/${id}/history`)).body.items).map(object);
      t.same(
        history.map((item) => item.tick),
        Array.from({ length: 21 }, (_, n) => n + 1),
      );
      const instants = history.map((item) => text(item.at));
      t.same(instants, [...new Set(instants)].sort(), 'instants strictly increase');
      t.equal((await ranges(call, id, 'last')).length, 20);
      for (const answer of answers.filter((one) => one.body.id === id)) {
        t.equal((await call('GET', `/entities/${id}?asOf=${answer.body.tick}`)).text, answer.text, 'faithful');
      }
    }
  });

  await t.test(
    'T26 after all of it: no empty, unbounded or overlapping range, thus one open range at most',
    async (t) => {
      const [broken] = await sql`
      WITH range AS MATERIALIZED (SELECT r.*, row_number() OVER () AS n FROM clocktick.property_range r)
      SELECT count(*) > 100 AS many, count(*) FILTER (WHERE isempty(h.vclock) OR lower_inf(h.vclock))::int AS unsound,
             count(*) FILTER (WHERE EXISTS (SELECT FROM range o
               WHERE o.entity_id = h.entity_id AND o.property = h.property AND o.n <> h.n AND o.vclock && h.vclock))::int AS overlaps
        FROM range h`;
      t.same(broken, { many: true, unsound: 0, overlaps: 0 });
    },
  );

  await t.test('T44 a write that the database takes for a contradiction is 409, and leaves nothing', async (t) => {
    const id = text((await call('POST', '/entities', { type: 'friend', properties: { a: 1 } })).body.id);
    // The core makes none, so here is a guard that takes any new value for one.
    await sql`
      CREATE TRIGGER always_refuses BEFORE INSERT ON clocktick.property_history
        FOR EACH ROW EXECUTE FUNCTION clocktick.refuse('as a test')`;
    t.teardown(() => sql`DROP TRIGGER IF EXISTS always_refuses ON clocktick.property_history`);
    const answer = await call('PATCH', `/entities/${id}`, { properties: { a: 2 } });
    t.match(answer, { status: 409, body: { code: 'history_conflict' } });
    await sql`DROP TRIGGER always_refuses ON clocktick.property_history`;
    t.equal((await call('GET', `/entities/${id}`)).body.tick, 1);
  });

  await t.test(
    'connections that die all the time: nothing acknowledged is lost, and the service goes on',
    async (t) => {
      const ids: string[] = [];
      for (let n = 0; n < 4; n++) {
        ids.push(text((await call('POST', '/entities', { type: 'storm', key: `s${n}`, properties: {} })).body.id));
      }
      const acknowledged = new Map<string, string>();
      const statuses = new Set<number>();
      let over = false;
      const writers = Array.from({ length: 24 }, async (_, writer) => {
        for (let n = 0; !over; n++) {
          const id = ids[writer % 4];
          const answer = await call('PATCH', `/entities/${id}`, {
            properties: { [`w${writer}`]: n },
            activity: { actor: 'w' },
          });
          statuses.add(answer.status);
          if (answer.status === 200) acknowledged.set(`/entities/${id}?asOf=${answer.body.tick}`, answer.text);
        }
      });
      for (let round = 0; round < 15; round++) {
        await sleep(100);
        await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'clocktick'`;
      }
      over = true;
      await Promise.all(writers);
      t.same([...statuses].sort(), [200, 503], 'some were told that nobody knows, or to come back');
      t.ok(acknowledged.size > 10, `${acknowledged.size} writes were acknowledged`);
      for (const [url, answered] of acknowledged) {
        let kept = await call('GET', url);
        while (kept.status === 503) kept = await call('GET', url);
        if (kept.text !== answered) t.equal(kept.text, answered, url);
      }
      // Each connection may fail once more before it is whole again.
      const again = async (tries: number): Promise<number> => {
        const { status } = await call('PATCH', `/entities/${ids[0]}`, { properties: { after: tries } });
        return status === 200 || tries === 0 ? status : again(tries - 1);
      };
      t.equal(await again(20), 200);
      t.equal((await call('GET', '/health/ready')).status, 200);
    },
  );

  await t.test('a connection that dies under a write: 503 outcome_unknown, and it is not tried again', async (t) => {
    const id = text((await call('POST', '/entities', { type: 'slow', properties: { a: 1 } })).body.id);
    await sql.unsafe(`
      CREATE FUNCTION clocktick.test_sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
      CREATE TRIGGER test_sleep BEFORE INSERT ON clocktick.tick FOR EACH ROW WHEN (NEW.type = 'slow')
        EXECUTE FUNCTION clocktick.test_sleep()`);
    t.teardown(() => sql`DROP FUNCTION clocktick.test_sleep CASCADE`);
    const writing = call('PATCH', `/entities/${id}`, { properties: { a: 2 } });
    await killWaiting('PgSleep');
    const answer = await writing;
    t.match(answer, { status: 503, body: { code: 'outcome_unknown' } });
    t.notOk(answer.headers['retry-after'], 'nobody is told to send it again as it is');
    t.equal((await call('GET', `/entities/${id}`)).body.tick, 1);
  });

  await t.test('a connection that dies while its write waits for a lock: 503, and nothing is written', async (t) => {
    const id = text((await call('POST', '/entities', { type: 'friend', properties: { a: 1 } })).body.id);
    const blocker = hand();
    await blocker`BEGIN`;
    await blocker`SELECT FROM clocktick.entity WHERE id = ${id} FOR UPDATE`;
    const writing = call('PATCH', `/entities/${id}`, { properties: { a: 2 } });
    await killWaiting('transactionid');
    const answer = await writing;
    await blocker.end();
    t.match(answer, { status: 503, body: { code: 'database_unavailable' }, headers: { 'retry-after': '1' } });
    t.equal((await call('GET', `/entities/${id}`)).body.tick, 1);
  });

  /** Ends a connection of the service as soon as it waits for this. */
  async function killWaiting(event: string): Promise<void> {
    for (let killed = 0; killed === 0; await sleep(5)) {
      const waiting = await sql`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'clocktick' AND wait_event = ${event}`;
      killed = waiting.length;
    }
  }
});

t.test('without a database', async (t) => {
  const { call } = await serve(t, openStorage('postgres://nobody@127.0.0.1:1/nothing'));
  const cases: [method: 'GET' | 'POST' | 'PATCH', url: string][] = [
    ['GET', '/entities/friend:rachel'],
    ['GET', '/entities/friend:rachel?asOf=1'],
    ['GET', '/entities/friend:rachel?asOf=2001-01-01T00:00:00Z'],
    ['GET', '/entities/friend:rachel/history'],
    ['GET', '/entities/friend:rachel/history/name'],
    ['POST', '/entities'],
    ['PATCH', '/entities/friend:rachel'],
    ['GET', '/health/ready'],
  ];
  for (const [method, url] of cases) {
    const code = url === '/health/ready' ? 'not_ready' : 'database_unavailable';
    const body = method === 'GET' ? undefined : { ...(method === 'POST' ? { type: 'friend' } : {}), properties: {} };
    const answer = await call(method, url, body);
    t.match(answer, { status: 503, headers: { 'retry-after': '1' }, body: { code } }, `${method} ${url}`);
    t.notMatch(answer.text, /nobody|127\.0\.0\.1/, 'where the database is stays here');
  }
  t.equal((await call('GET', '/health/live')).status, 200);
});
