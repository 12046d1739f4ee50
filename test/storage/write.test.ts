import fc from 'fast-check';
import t from 'tap';
import { engine } from '../../src/storage/storage.js';
import { writeEntity } from '../../src/storage/write.js';
import { create, creation, newActivity, type Patch, patch } from '../../src/temporal/change.js';
import type { Change } from '../../src/temporal/entity.js';
import { newId } from '../../src/temporal/identity.js';
import { type JsonObject, jsonEqual } from '../../src/temporal/json.js';
import { testDatabase } from '../helper/database.js';
import { restoreRanges, withoutTriggers } from '../helper/in-bulk.js';
import { aPatch, asOf, change, make, now, type RawChange, writeChanges } from '../helper/write.js';

t.test('the write path', async (t) => {
  const { sql, hand, storage } = await testDatabase(t);
  /** Creates an entity whose last change lies an hour ahead of the clock, as after a step back: no hand may do so. */
  const createAhead = (id: string) =>
    withoutTriggers(sql, ['entity', 'tick'], async () => {
      await sql`
        WITH ahead AS MATERIALIZED (SELECT clock_timestamp() + interval '1 hour' AS at),
             ticked AS (INSERT INTO clocktick.tick SELECT ${id}, 1, 'thing', at, at, 'created' FROM ahead)
        INSERT INTO clocktick.entity SELECT ${id}, 'thing', NULL, 1, '{}', false, at, at FROM ahead`;
    });

  await t.test('two ticks within one millisecond keep both instants, to the microsecond', async (t) => {
    const id = newId();
    // Its last change lies a little ahead of the clock: those that follow are a microsecond apart, however slow the machine is.
    await sql`
      WITH ahead AS MATERIALIZED (SELECT date_trunc('milliseconds', clock_timestamp()) + interval '900 ms' AS at),
           ticked AS (INSERT INTO clocktick.tick SELECT ${id}, 1, 'thing', at, at, 'created' FROM ahead)
      INSERT INTO clocktick.entity SELECT ${id}, 'thing', NULL, 1, '{}', false, at, at FROM ahead`;
    for (const n of [1, 2]) await change(storage, id, { n });
    const [close] = await sql<{ tick: number; at: string; next: string }[]>`
      SELECT a.tick, to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at,
             to_char(b.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS next
        FROM clocktick.tick a JOIN clocktick.tick b ON b.entity_id = a.entity_id AND b.tick = a.tick + 1
       WHERE a.entity_id = ${id} AND a.tick = 2`;
    if (!close) return t.fail('there are no two ticks');
    t.equal(close.at.slice(0, 23), close.next.slice(0, 23), 'the same millisecond');
    t.ok(close.at < close.next);
    for (const [tick, instant] of [
      [close.tick, close.at],
      [close.tick + 1, close.next],
    ] as const) {
      const row = await asOf(storage, id, { instant });
      t.match(row, { tick, updatedAt: instant, properties: `{"n": ${tick - 1}}` });
    }
  });

  await t.test('a clock that stands still, or steps back, still gives later instants', async (t) => {
    const id = newId();
    await createAhead(id);
    for (let n = 1; n <= 3; n++) await change(storage, id, { n });
    const rows = await sql<{ step: string }[]>`
      SELECT (at - lag(at) OVER (ORDER BY tick))::text AS step
        FROM clocktick.tick WHERE entity_id = ${id} ORDER BY tick OFFSET 1`;
    t.same(
      rows.map((row) => row.step),
      ['00:00:00.000001', '00:00:00.000001', '00:00:00.000001'],
    );
  });

  await t.test(
    'stamps come after the instant that is given, unless the clock is more than a second late',
    async (t) => {
      const id = newId();
      const after = (expected: number, seconds: number) => sql<{ step: string; isByClock: boolean }[]>`
      SELECT (w.updated_at - given.at)::text AS step, w.updated_at BETWEEN now() AND clock_timestamp() AS "isByClock"
        FROM (SELECT clock_timestamp() + make_interval(secs => ${seconds}) AS at OFFSET 0) given
       CROSS JOIN LATERAL clocktick.write_changes(jsonb_build_array(jsonb_build_object(
         'id', ${id}::text, 'expected', ${expected}::int, 'op', CASE ${expected}::int WHEN 0 THEN 'created' ELSE 'updated' END,
         'type', 'thing', 'set', jsonb_build_object('n', ${expected}::int))), true, given.at) w`;
      t.match(await after(0, -3), [{ isByClock: true }], 'an instant that has passed changes nothing');
      let tick = 1;
      let [ahead] = await after(tick++, 0.9);
      // On a busy machine the instant may have passed before it is looked at.
      for (; ahead?.isByClock && tick < 20; [ahead] = await after(tick++, 0.9));
      t.match(ahead, { step: '00:00:00.000001', isByClock: false });
      await after(tick++, -3);
      await t.rejects(after(tick, 3_600), { code: 'CT002', detail: /^3[56]\d\d\.\d+$/ });
      const ticks = await sql`
      SELECT t.tick, t.at > lag(t.at, 1, '-infinity') OVER (ORDER BY t.tick) AS "isLater" FROM clocktick.tick t WHERE t.entity_id = ${id}`;
      t.same(
        ticks,
        Array.from({ length: tick }, (_, n) => ({ tick: n + 1, isLater: true })),
        'each after the one before; what was refused left nothing behind',
      );
    },
  );

  await t.test('equality of the core is equality of jsonb', async (t) => {
    const twins = fc
      .jsonValue()
      .chain((value) => fc.tuple(fc.constant(value), fc.oneof(fc.constant(value), fc.jsonValue())));
    const pairs = fc.sample(twins, 500).map(([a, b]) => [JSON.stringify(a), JSON.stringify(b)] as const);
    pairs.push(
      ['1', '1.0'],
      ['0', '-0'],
      ['{"a":1,"b":2}', '{"b":2,"a":1}'],
      ['[1,2]', '[2,1]'],
      ['1', '"1"'],
      ['null', '{}'],
    );
    const storable = pairs.filter((pair) =>
      pair.every((text) => !/\\u0000|\\ud[89a-f]/i.test(text) && text.isWellFormed()),
    );
    t.ok(storable.length > 300);
    const rows = await sql<{ same: boolean }[]>`
      SELECT p.a::jsonb = p.b::jsonb AS same
        FROM unnest(${storable.map(([a]) => a)}::text[], ${storable.map(([, b]) => b)}::text[]) WITH ORDINALITY AS p (a, b, n)
       ORDER BY p.n`;
    t.same(
      storable.map(([a, b]) => jsonEqual(JSON.parse(a), JSON.parse(b))),
      rows.map((row) => row.same),
    );
  });

  await t.test('what is stored is what was set, whatever it is', async (t) => {
    const storable = fc.dictionary(
      fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }),
      fc.jsonValue({ stringUnit: 'grapheme' }),
      { maxKeys: 6 },
    );
    await fc.assert(
      fc.asyncProperty(storable, storable, async (first, second) => {
        const before = JSON.parse(JSON.stringify(first));
        fc.pre(
          !/\\u0000/.test(JSON.stringify([first, second])) &&
            !Object.keys({ ...first, ...second }).some((name) => /^\.\.?$/.test(name)),
        );
        const { id, properties } = (await make(storage, before)).row;
        t.ok(jsonEqual(JSON.parse(properties), before));
        const { row } = await change(storage, id, JSON.parse(JSON.stringify(second)));
        t.same(await now(storage, id), row);
        const past = await asOf(storage, id, { tick: 1 });
        t.ok(past && past.tick !== null && jsonEqual(JSON.parse(past.properties), before));
      }),
      { numRuns: 60 },
    );
  });

  await t.test('a writer that always comes second is let in after three tries', async (t) => {
    const { id } = (await make(storage, { n: 0, mine: 0 })).row;
    let decisions = 0;
    const outcome = await writeEntity(storage, {
      id,
      decide: (current) => {
        decisions++;
        const wanted = patch(current, aPatch(id, { mine: decisions }));
        // Expecting a tick that is over is what a writer does that read before another wrote.
        return wanted && decisions <= 3 ? { ...wanted, expected: wanted.expected + 1 } : wanted;
      },
    });
    t.match(outcome, { change: { op: 'updated' }, row: { tick: 2, properties: '{"n": 0, "mine": 4}' } });
    t.equal(decisions, 4, 'three optimistic tries, and one under the lock');
  });

  await t.test('a dry run writes nothing either when it always comes second', async (t) => {
    const { id } = (await make(storage, { n: 0 })).row;
    let decisions = 0;
    const outcome = await writeEntity(storage, {
      id,
      dryRun: true,
      decide: (current) => {
        decisions++;
        const wanted = patch(current, aPatch(id, { n: 1 }));
        return wanted && decisions <= 3 ? { ...wanted, expected: wanted.expected + 1 } : wanted;
      },
    });
    t.match(outcome, { change: { op: 'updated' }, row: { tick: 2, properties: '{"n": 1}' } });
    t.equal(decisions, 4);
    t.match(await now(storage, id), { tick: 1, properties: '{"n": 0}' });
  });

  await t.test('many dry runs at once share a few connections, and hold up no write', async (t) => {
    const { id } = (await make(storage, { n: 0 })).row;
    const wanted = aPatch(id, { n: 1 });
    const rehearsal = () => writeEntity(storage, { id, dryRun: true, decide: (current) => patch(current, wanted) });
    let most = 0;
    let over = false;
    const watching = (async () => {
      while (!over) {
        const [now] = await sql<{ writing: number }[]>`
          SELECT count(*)::int AS writing FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'clocktick'`;
        most = Math.max(most, now?.writing ?? 0);
      }
    })();
    const rehearsals = Promise.allSettled(Array.from({ length: 60 }, rehearsal));
    await change(storage, id, { n: 2 });
    const ends = await rehearsals;
    over = true;
    await watching;
    // On a slow machine the last ones have waited too long for a connection, and are told so.
    const refused = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason.code] : []));
    t.same(new Set(refused), new Set(refused.length > 0 ? ['too_many_writers'] : []));
    t.ok(refused.length < 60);
    t.ok(most <= 10 + 10 + 5, `${most} connections: ten for reads, ten for writes, five for dry runs`);
    t.match(await now(storage, id), { tick: 2, properties: '{"n": 2}' });
  });

  await t.test('a dry run whose connection dies has written nothing, and says so', async (t) => {
    const { id } = (await make(storage, { n: 0 })).row;
    const blocker = hand();
    await blocker`BEGIN`;
    await blocker`LOCK TABLE clocktick.tick`;
    const wanted = aPatch(id, { n: 1 });
    const settled = writeEntity(storage, { id, dryRun: true, decide: (current) => patch(current, wanted) }).then(
      () => 'written',
      (error: { code: string }) => error.code,
    );
    for (let killed = 0; killed === 0; ) {
      const waiting = await sql`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      killed = waiting.length;
    }
    t.equal(await settled, 'database_unavailable');
    await blocker`ROLLBACK`;
    await blocker.end();
  });

  await t.test('a connection that dies under the lock ends one write, not the service', async (t) => {
    const { id } = (await make(storage, { n: 0 })).row;
    // More often than there are connections to reserve: none of them may be lost for good.
    for (let round = 0; round < 6; round++) {
      const blocker = hand();
      await blocker`BEGIN`;
      await blocker`LOCK TABLE clocktick.tick`;
      let decisions = 0;
      const writing = writeEntity(storage, {
        id,
        decide: (current) => {
          decisions++;
          const wanted = patch(current, aPatch(id, { n: newId() }));
          return wanted && decisions <= 4 ? { ...wanted, expected: wanted.expected + 1 } : wanted;
        },
      });
      const settled = writing.then(
        () => 'written',
        (error: { code: string }) => error.code,
      );
      await sql`SELECT 1`;
      for (let killed = 0; killed === 0; ) {
        const waiting = await sql`
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock'`;
        killed = waiting.length;
      }
      t.equal(await settled, 'database_unavailable', 'nothing was committed yet');
      t.equal(decisions, 5, 'it was the try under the lock');
      await blocker`ROLLBACK`;
      await blocker.end();
    }
    const { row } = await change(storage, id, { n: 1 });
    t.equal(row.tick, 2);
  });

  await t.test('a row that somebody keeps locked is not waited for without end, and holds up no reader', async (t) => {
    const { id } = (await make(storage, { n: 0 })).row;
    const other = (await make(storage, { n: 0 })).row;
    const blocker = hand();
    await blocker`BEGIN`;
    await blocker`SELECT FROM clocktick.entity WHERE id = ${id} FOR UPDATE`;
    const writing = Array.from({ length: 10 }, (_, n) =>
      change(storage, id, { n: n + 1 }).catch((error: { code: string }) => error.code),
    );
    t.match(await now(storage, other.id), { tick: 1 });
    t.same([...new Set(await Promise.all(writing))], ['too_many_writers']);
    await blocker`ROLLBACK`;
    await blocker.end();
    t.match(await change(storage, id, { n: 1 }), { change: { op: 'updated' } });
  });

  await t.test('many create one key at once: one is born, the others find it', async (t) => {
    const wanted = creation({ type: 'place', key: 'somewhere', properties: { a: 1 } }, null);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, () =>
        writeEntity(storage, { id: wanted.id, decide: (current) => create(current, wanted), assume: 'absent' }),
      ),
    );
    t.equal(outcomes.filter((outcome) => outcome.status === 'fulfilled').length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected')
        t.match(outcome.reason, { code: 'entity_exists', notes: { members: { tick: 1 } } });
    }
    const [count] = await sql`SELECT count(*)::int AS ticks FROM clocktick.tick WHERE entity_id = ${wanted.id}`;
    t.same(count, { ticks: 1 });
  });

  await t.test('a change that is refused leaves no trace, not even its activity', async (t) => {
    const { id } = (await make(storage, { a: 1 })).row;
    const traces = () => sql`
      SELECT (SELECT count(*) FROM clocktick.tick) AS ticks, (SELECT count(*) FROM clocktick.property_range) AS ranges,
             (SELECT count(*) FROM clocktick.activity) AS activities`;
    const [before] = await traces();
    const stale = aPatch(
      id,
      { a: 2 },
      { conditions: { ifMatch: { ticks: [7] }, ifNoneMatch: null }, details: { actor: 'late' } },
    );
    await t.rejects(writeEntity(storage, { id, decide: (current) => patch(current, stale) }), {
      code: 'precondition_failed',
    });
    const activity = newActivity({ actor: 'twice' });
    const refused: Change[] = [
      { id, type: 'thing', key: null, expected: 1, op: 'updated', set: { ['x'.repeat(257)]: 1 }, clear: [], activity },
      { id, type: 'thing', key: null, expected: 1, op: 'deleted', set: {}, clear: [], activity },
      { id: newId(), type: 'No Slug', key: null, expected: 0, op: 'created', set: {}, clear: [], activity },
    ];
    for (const change of refused) await t.rejects(writeEntity(storage, { id: change.id, decide: () => change }));
    const [after] = await traces();
    t.same(after, before);
  });

  await t.test('who has locked an entity waits for nobody who waits to define its type', async (t) => {
    const { id } = (await make(storage, { a: 1 })).row;
    const set = (a: number): RawChange => ({ id, expected: 1, op: 'updated', type: 'thing', set: { a } });
    const [holder, writer, definer] = [hand(), hand(), hand()];
    t.teardown(() => Promise.all([holder, writer, definer].map((one) => one.end())));
    const areWaiting = async (count: number) => {
      for (let waits = 0; waits < count; )
        // In this database: on the server of all tests somebody else always waits.
        [{ waits = 0 } = {}] = await sql<{ waits: number }[]>`
          SELECT count(*)::int AS waits FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    };
    const others: Promise<unknown>[] = [];
    await holder.begin(async (tx) => {
      // Those who wait in a circle the server lets go after a second.
      await tx`SET LOCAL lock_timeout = '500ms'`;
      await tx`SELECT clocktick.lock_entity(${id}::uuid)`;
      others.push(writeChanges(writer, [set(2)]).execute());
      await areWaiting(1);
      others.push(definer`SELECT clocktick.lock_definition('thing')`.execute());
      await areWaiting(2);
      t.match(await writeChanges(tx, [set(3)]), [{ outcome: 'written' }]);
    });
    t.match(await Promise.all(others), [[{ outcome: 'stale' }], [{}]]);
  });

  await t.test('an entity grows to 8 MiB of JSON, and no further, however short it was written', async (t) => {
    const tiny = (count: number) => JSON.parse(`[${'5e-324,'.repeat(count)}0]`);
    const { id } = (await make(storage, { a: tiny(20_000) })).row; // 140 kB of body, 6.6 MB as text
    await t.rejects(change(storage, id, { b: tiny(20_000) }), { code: 'entity_too_large' });
    t.match(await now(storage, id), { tick: 1 });
  });

  await t.test('an activity ticks an entity at most once', async (t) => {
    const activity = { actor: 'once' };
    const { id } = (await make(storage, { a: 1 }, activity)).row;
    const [recorded] = await sql<{ activity: string }[]>`
      SELECT activity_id AS activity FROM clocktick.tick WHERE entity_id = ${id}`;
    await t.rejects(
      writeChanges(sql, [
        { id, expected: 1, op: 'updated', type: 'thing', set: { a: 2 }, activity_id: recorded?.activity ?? '' },
      ]),
      { code: '23505', constraint_name: 'tick_activity_id_entity_id_key' },
    );
    const entity = await now(storage, id);
    t.equal(entity?.tick, 1);
  });

  await t.test('what the write before left is not believed where it would refuse or change nothing', async (t) => {
    const { row } = await make(storage, { n: 0 });
    const { id } = row;
    await change(storage, id, { n: 1 });
    // As if another instance had written the entity since.
    const behindStale = async (wanted: Patch) => {
      storage[engine].lastWritten.set(id, row);
      return (await writeEntity(storage, { id, decide: (current) => patch(current, wanted) })).row.tick;
    };
    t.equal(await behindStale(aPatch(id, { n: 2 }, { conditions: { ifMatch: { ticks: [2] }, ifNoneMatch: null } })), 3);
    t.equal(await behindStale(aPatch(id, { n: 0 })), 4, 'it is 0 in the stale state only');
    t.equal(await behindStale(aPatch(id, { n: 0 })), 4);
    t.equal(await behindStale(aPatch(id, { n: 5 })), 5);
  });

  await t.test(
    'a state with the same tick that came by another way is not taken for the one that was known',
    async (t) => {
      const { row } = await make(storage, { a: 2, n: 0 });
      // As if the database had been restored to before tick 1, and another tick 1 been written.
      const gone = { ...row, properties: '{"a": 1, "n": 0}', updatedAt: '2001-01-01T00:00:00.000000Z' };
      storage[engine].lastWritten.set(row.id, gone);
      const { row: written } = await change(storage, row.id, { a: 1, n: 3 });
      t.same(JSON.parse(written.properties), { a: 1, n: 3 });
    },
  );

  await t.test(
    'what was imported before the clock stepped back is followed by what is recorded after it',
    async (t) => {
      const id = newId();
      await withoutTriggers(sql, ['entity', 'tick'], async () => {
        await sql`
        WITH ahead AS MATERIALIZED (SELECT timestamptz '2016-01-08Z' AS at, clock_timestamp() + interval '1 hour' AS recorded),
             ticked AS (INSERT INTO clocktick.tick SELECT ${id}, 1, 'thing', at, recorded, 'created' FROM ahead)
        INSERT INTO clocktick.entity SELECT ${id}, 'thing', NULL, 1, '{}', false, at, at, recorded FROM ahead`;
      });
      await change(storage, id, { n: 1 });
      const rows = await sql<{ step: string }[]>`
      SELECT (recorded_at - lag(recorded_at) OVER (ORDER BY tick))::text AS step
        FROM clocktick.tick WHERE entity_id = ${id} ORDER BY tick OFFSET 1`;
      t.same(rows, [{ step: '00:00:00.000001' }]);
    },
  );

  await t.test('an entity whose clock lies ahead takes none along that share its statement', async (t) => {
    const ahead = newId();
    await createAhead(ahead);
    const { id } = (await make(storage, { n: 0 })).row;
    await Promise.all([change(storage, ahead, { n: 1 }), change(storage, id, { n: 1 })]);
    const outcomes = await Promise.all([
      change(storage, ahead, { n: 2 }),
      change(storage, id, { n: 2 }),
      make(storage, {}),
    ]);
    const [one, two, three] = outcomes.map(({ row }) => Date.parse(row.updatedAt) - Date.now() > 60_000);
    t.same([one, two, three], [true, false, false]);
  });

  await t.test(
    'changes that are written together have one instant, after the last tick of each, or none is',
    async (t) => {
      const [ahead, born] = [newId(), newId()];
      const { id: behind } = (await make(storage, {})).row;
      const of = (id: string, expected: number, n: number) => ({
        id,
        expected,
        op: expected === 0 ? 'created' : 'updated',
        type: 'thing',
        set: { n },
      });
      // A little ahead of the clock: with what lies further ahead nobody else may be stamped.
      await sql`
      WITH ahead AS MATERIALIZED (SELECT clock_timestamp() + interval '1.5 seconds' AS at),
           ticked AS (INSERT INTO clocktick.tick SELECT ${ahead}, 1, 'thing', at, at, 'created' FROM ahead)
      INSERT INTO clocktick.entity SELECT ${ahead}, 'thing', NULL, 1, '{}', false, at, at FROM ahead`;
      const together = (changes: JsonObject[]) => sql<{ id: string; outcome: string; at: string | null }[]>`
      SELECT w.id, w.outcome, w.updated_at::text AS at
        FROM clocktick.write_changes(${JSON.stringify(changes)}::text::jsonb, true, together => true) w`;
      const stale = await together([of(ahead, 1, 1), of(born, 0, 1), of(behind, 7, 1)]);
      t.match(stale, [{ id: behind, outcome: 'stale' }], 'only what came late answers');
      t.equal(stale.length, 1);
      t.same(await sql`SELECT id FROM clocktick.entity WHERE id = ${born}`, [], 'and nothing is written');
      const written = await together([of(ahead, 1, 1), of(born, 0, 1)]);
      t.same(new Set(written.map(({ outcome }) => outcome)), new Set(['written']));
      t.equal(new Set(written.map(({ at }) => at)).size, 1, 'at one instant');
      const [last] = await sql<{ isLater: boolean }[]>`
      SELECT max(at) FILTER (WHERE tick = 2) > max(at) FILTER (WHERE tick = 1) AS "isLater" FROM clocktick.tick WHERE entity_id = ${ahead}`;
      t.match(last, { isLater: true });
    },
  );

  await t.test('values of any length are recorded when they end, and a backup of them can be restored', async (t) => {
    const lengths = [...Array.from({ length: 90 }, (_, n) => n), 1_000, 3_000, 100_000];
    const values = Object.fromEntries(
      lengths.map((length) => [`p${length}`, 'é'.repeat(length / 2) + 'x'.repeat(length % 2)]),
    );
    const { id } = (await make(storage, values)).row;
    await change(storage, id, Object.fromEntries(lengths.map((length) => [`p${length}`, null])));
    const past = await asOf(storage, id, { tick: 1 });
    t.same(JSON.parse(past && 'properties' in past ? past.properties : ''), values);
    const [kept] = await sql`
      SELECT count(short_value)::int > 40 AS short, count(long_value)::int > 30 AS long FROM clocktick.property_history WHERE entity_id = ${id}`;
    t.same(kept, { short: true, long: true });
    await restoreRanges(sql);
  });

  await t.test('many changes are one transaction with one instant; one that comes late is left out', async (t) => {
    const ids = [newId(), newId(), newId()];
    const { id: late } = (await make(storage, { a: 1 })).row;
    const rows = await writeChanges(sql, [
      ...ids.map((id) => ({ id, expected: 0, op: 'created', type: 'thing', set: { a: 2 } }) as const),
      { id: late, expected: 7, op: 'updated', type: 'thing', set: { a: 2 } },
    ]);
    t.same(
      new Map(rows.map((row) => [row.id, row.outcome])),
      new Map([...ids.map((id) => [id, 'written'] as const), [late, 'stale']]),
    );
    const [instants] =
      await sql`SELECT count(DISTINCT at)::int AS instants FROM clocktick.tick WHERE entity_id = ANY (${ids}::uuid[])`;
    t.same(instants, { instants: 1 });
    const untouched = await now(storage, late);
    t.equal(untouched?.tick, 1);
  });
});
