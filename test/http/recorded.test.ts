import t, { type Test } from 'tap';
import { idOfKey } from '../../src/temporal/identity.js';
import { type ImportedChange, importTicks } from '../helper/imported.js';
import { type Answer, type Call, object, problem, testService, text } from '../helper/service.js';

/*
 * What answers as of an instant of recording promise: whatever is imported into the past later, the same question by what was recorded
 * at R has the answer that was given at R.
 */

const rachel = '/entities/friend:rachel';
const EARLY = '2014-01-01T00:00:00Z';
const NEVER_COMES = '2999-01-01T00:00:00Z';
const IMMUTABLE = 'max-age=31536000, immutable';

const of = (key: string, at: string, op: ImportedChange['op'], set: ImportedChange['set'] = {}): ImportedChange => ({
  id: idOfKey('friend', key),
  type: 'friend',
  key,
  at,
  op,
  set,
});

/** What is recorded, import by import: each goes on where the ones before it ended, some years before it is recorded. */
const IMPORTS: ImportedChange[][] = [
  [of('joey', '2014-03-01T00:00:00Z', 'created', { show: 'Days' })],
  [
    of('rachel', '2014-10-08T10:00:00.500000Z', 'created', { location: 'New York', name: 'Rachel' }),
    of('rachel', '2015-02-01T00:00:00Z', 'updated', { location: 'Boston' }),
  ],
  [
    of('rachel', '2016-01-08T00:00:00Z', 'updated', { location: 'Oakland', job: 'waitress' }),
    of('rachel', '2016-05-01T00:00:00Z', 'updated', { job: 'buyer' }),
    of('rachel', '2016-06-01T00:00:00Z', 'updated', { name: 'Rachel G.' }),
    of('will', '2013-01-01T00:00:00Z', 'created', { location: 'Ithaca' }),
  ],
  [
    of('rachel', '2017-01-01T12:00:00Z', 'deleted'),
    of('will', '2017-02-01T00:00:00Z', 'updated', { location: 'Rome' }),
  ],
  [of('rachel', '2018-01-01T00:00:00.000001Z', 'restored', { location: 'Paris', child: true })],
];

/** Points of Rachel's life, before and after it, in it and between. */
const INSTANTS = [
  EARLY,
  '2014-10-08T10:00:00.500000Z',
  '2015-12-01T00:00:00Z',
  '2016-05-15T00:00:00Z',
  '2017-06-01T00:00:00Z',
  '2018-07-01T00:00:00Z',
];
const TICKS = ['1', '2', '4', '6', '9'];
const POINTS = [...TICKS, ...INSTANTS];
const DATES = [
  'Wed, 01 Jan 2014 00:00:00 GMT',
  'Mon, 16 May 2016 00:00:00 GMT',
  'Sun, 01 Jul 2018 00:00:00 GMT',
  'Tue, 01 Jan 2999 00:00:00 GMT',
];

/** How many are asked at the same time. */
const AT_ONCE = 40;

type Question = { path: string; date?: string };

const query = (parameters: Record<string, string | undefined>) =>
  new URLSearchParams(
    Object.entries(parameters).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, value]],
    ),
  );

/** A few hundred questions: each call, at each kind of point and window. */
function questions(): Question[] {
  const shown = ['', 'fields=location', 'include=history', 'include=history.job&fields=name', 'include=provenance'];
  const [, , between, , late] = INSTANTS;
  const windows = [undefined, '2', '9', EARLY, between, late, NEVER_COMES].flatMap((from) =>
    [undefined, '3', '12', between, late, NEVER_COMES].map((to) => ({ from, to })),
  );
  const histories = [
    'history?',
    'history?property=job&',
    'history/location?',
    'history/job?',
    'history/child?',
    'history/never?',
  ].flatMap((path) => windows.map((window): Question => ({ path: `${rachel}/${path}${query(window)}` })));
  const orders: Question[] = ['', 'property=job', 'property=location,child', 'property=never'].map((property) => ({
    path: `${rachel}/history?order=desc&${property}`,
  }));
  const ids = 'ids=friend:will,friend:rachel,friend:joey,friend:nobody';
  return [
    ...shown.flatMap((part) => [
      { path: `${rachel}?${part}` },
      ...POINTS.map((asOf) => ({ path: `${rachel}?${query({ asOf })}&${part}` })),
      ...DATES.map((date) => ({ path: `${rachel}?${part}`, date })),
    ]),
    ...POINTS.flatMap((from) =>
      [undefined, ...POINTS].map((to) => ({ path: `${rachel}/diff?${query({ from, to })}` })),
    ),
    ...POINTS.flatMap((one) =>
      ['2', 'now', between].map((other) => ({ path: `${rachel}/compare?${query({ at: `${other},${one},1` })}` })),
    ),
    ...INSTANTS.map((at) => ({ path: `${rachel}/compare?only=differing&depth=full&${query({ at })},now` })),
    ...INSTANTS.map((at) => ({ path: `/types/friend/compare?${query({ at })},now` })),
    ...INSTANTS.map((at) => ({ path: `/types/friend/compare?at=now,${between}&deleted=include&at=${at}` })),
    ...histories,
    ...orders,
    ...POINTS.map((asOf) => ({ path: `${rachel}/history/job?${query({ asOf })}` })),
    { path: `${rachel}/timemap` },
    { path: `/entities?${ids}` },
    { path: `/entities?${ids}&fields=location` },
    { path: `/entities?${ids}&include=provenance` },
    ...INSTANTS.map((asOf) => ({ path: `/entities?${ids}&${query({ asOf })}` })),
    ...INSTANTS.map((asOf) => ({ path: `/entities?${ids}&include=provenance&${query({ asOf })}` })),
    ...DATES.map((date) => ({ path: `/entities?${ids}`, date })),
  ];
}

const by = (path: string, recordedAsOf: string) => `${path}${path.includes('?') ? '&' : '?'}${query({ recordedAsOf })}`;

/** The answers to all of them, some at a time. */
async function askAll(call: Call, asked: readonly Question[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let n = 0; n < asked.length; n += AT_ONCE) {
    const some = asked.slice(n, n + AT_ONCE);
    answers.push(
      ...(await Promise.all(
        some.map(({ path, date }) =>
          call('GET', path, undefined, date === undefined ? {} : { 'accept-datetime': date }),
        ),
      )),
    );
  }
  return answers;
}

/** Without what names R: the parameter in URLs, and the sentence that refuses an entity of which nothing was recorded. */
const withoutR = (written: string | undefined) =>
  written
    ?.replaceAll(/[?&]recordedAsOf=[^&>]*/g, '')
    .replaceAll(/\/(timemap|history|entities)&/g, '/$1?')
    .replaceAll(/[?&]+(?=[>&]|$)/g, '')
    .replaceAll('?&', '?')
    .replace(/There was no entity (\S+) by what was recorded at [^.]*\.\d+Z\./, 'There is no entity $1.')
    .replace(/There is no entity (\S+) as of [^"]*Z?\./, 'There is no entity $1.')
    .replace(/There was no entity (\S+) as of [^"]*Z?\./, 'There is no entity $1.');

const HEADERS = ['etag', 'memento-datetime', 'content-location', 'link', 'vary'] as const;

/** Whether an answer is the one that was given then: its bytes, and what its headers say. */
function isSame(t: Test, now: Answer, then: Answer, said: string): void {
  if (now.status !== then.status || withoutR(now.text) !== withoutR(then.text))
    t.same([now.status, withoutR(now.text)], [then.status, withoutR(then.text)], said);
  for (const name of HEADERS) {
    // An answer of now names no state; by what was recorded at R it does.
    if (then.headers[name] === undefined && /^(memento|content)/.test(name)) continue;
    // The tag of a TimeMap is over its text, which names its URL.
    if (name === 'etag' && said.includes('/timemap')) continue;
    if (withoutR(now.headers[name]) !== withoutR(then.headers[name]))
      t.equal(withoutR(now.headers[name]), withoutR(then.headers[name]), `${said}: ${name}`);
  }
}

t.test('by what was recorded at R, every answer is the one that was given at R', async (t) => {
  const { call, sql } = await testService(t);
  const asked = questions();
  t.ok(asked.length > 300, `${asked.length} questions`);
  const told: { recordedAsOf: string; answers: Answer[] }[] = [];
  const settle = async () => {
    const [row] = await sql<{ at: string }[]>`
      SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;
    const recordedAsOf = row?.at ?? '';
    told.push({ recordedAsOf, answers: await askAll(call, asked) });
  };
  await settle();
  for (const changes of IMPORTS) {
    for (const change of changes) await importTicks(sql, [change]);
    await settle();
  }
  t.equal((await call('PATCH', rachel, { properties: { location: null, job: 'none' } })).status, 200);
  await settle();
  t.equal((await call('DELETE', rachel)).status, 204);
  await settle();

  await t.test('bytes, tags, dates and links; and it never changes', async (t) => {
    const statuses = new Set<number>();
    const codes = new Set<string>();
    for (const { recordedAsOf, answers } of told) {
      const again = await askAll(
        call,
        asked.map((question) => ({ ...question, path: by(question.path, recordedAsOf) })),
      );
      for (const [n, question] of asked.entries()) {
        const [then, now] = [answers[n], again[n]];
        if (!then || !now) throw new Error('not all was answered');
        const said = `${question.path} ${question.date ?? ''} by ${recordedAsOf}`;
        isSame(t, now, then, said);
        statuses.add(now.status);
        if (now.status > 399) codes.add(text(now.body.code));
        else if (now.headers['cache-control'] !== IMMUTABLE) t.equal(now.headers['cache-control'], IMMUTABLE, said);
      }
    }
    t.same([...statuses].toSorted(), [200, 404, 410]);
    t.same([...codes].toSorted(), ['entity_deleted', 'entity_not_found', 'property_not_found', 'tick_not_found']);
    t.pass(`${told.length * asked.length} answers`);
  });

  await t.test(
    'without recordedAsOf, what is immutable is as it was, and what an import has changed was not',
    async (t) => {
      let changed = 0;
      const again = await askAll(call, asked);
      for (const { answers } of told) {
        for (const [n, question] of asked.entries()) {
          const [then, now] = [answers[n], again[n]];
          if (!now || then?.status !== 200) continue;
          const isChanged = now.text !== then.text;
          changed += Number(isChanged);
          if (isChanged && then.headers['cache-control'] !== 'no-cache')
            t.equal(then.headers['cache-control'], 'no-cache', question.path);
          if (isChanged && now.status === 200 && now.headers.etag === then.headers.etag)
            t.not(now.headers.etag, then.headers.etag, question.path);
        }
      }
      t.ok(changed > 100, `${changed} answers have changed`);
    },
  );

  await t.test('a Content-Location has the same bytes, and is for ever', async (t) => {
    for (const { recordedAsOf } of told.slice(2)) {
      for (const path of [
        rachel,
        `${rachel}?include=history`,
        `${rachel}?include=provenance`,
        '/entities?ids=friend:will,friend:rachel',
      ]) {
        const answer = await call('GET', by(path, recordedAsOf));
        if (answer.status === 410) continue;
        const there = await call('GET', answer.headers['content-location'] ?? '');
        t.match(there, { status: 200, text: answer.text, headers: { 'cache-control': IMMUTABLE } }, path);
        t.equal(there.headers['memento-datetime'], answer.headers['memento-datetime']);
      }
    }
  });

  await t.test('page by page, in both orders; a cursor alone goes on in the same walk', async (t) => {
    const whole = told.at(-1)?.recordedAsOf ?? '';
    for (const [n, { recordedAsOf }] of told.slice(3, -1).entries()) {
      for (const path of [
        `${rachel}/history`,
        `${rachel}/history?property=location,job`,
        `${rachel}/history/location`,
      ]) {
        const ordered = async (order: string, recordedAsOf: string) => {
          const parts = `${path}${path.includes('?') ? '&' : '?'}order=${order}&limit=1`;
          const items: unknown[] = [];
          let next: string | null = null;
          do {
            const cursor: string = next === null ? '' : `&cursor=${next}`;
            const page = await call('GET', by(parts + cursor, recordedAsOf));
            t.equal(page.status, 200, page.text);
            items.push(...(Array.isArray(page.body.items) ? page.body.items : []));
            if (next !== null) {
              const alone = await call('GET', parts + cursor);
              t.match(alone, { text: page.text, headers: { etag: page.headers.etag, 'cache-control': IMMUTABLE } });
            }
            next = page.body.next === null ? null : text(page.body.next);
            if (next !== null) {
              t.equal(
                (await call('GET', /<([^>]*)>; rel="next"/.exec(page.headers.link ?? '')?.[1] ?? '')).status,
                200,
              );
              t.match(page.headers.link, 'recordedAsOf=');
            }
          } while (next !== null);
          return items;
        };
        const all = await call('GET', by(path, recordedAsOf));
        t.same(await ordered('asc', recordedAsOf), all.body.items, `${n} ${path}`);
        t.same((await ordered('desc', recordedAsOf)).toReversed(), all.body.items, `${n} ${path}`);
        const later = await call('GET', by(`${path}${path.includes('?') ? '&' : '?'}limit=1`, whole));
        const cursor = text(later.body.next);
        t.match(
          await call('GET', by(`${path}${path.includes('?') ? '&' : '?'}limit=1&cursor=${cursor}`, recordedAsOf)),
          problem(400, 'invalid_cursor'),
          'a walk that knew more is another one',
        );
      }
    }
  });

  await t.test('an instant of R and of T may come in any order', async (t) => {
    const [, , second, third] = told;
    const [r, later] = [second?.recordedAsOf ?? '', third?.recordedAsOf ?? ''];
    const then = await call('GET', by(rachel, r));
    t.match(then, { status: 200, body: { tick: 2 } });
    t.equal((await call('GET', by(`${rachel}?asOf=${later}`, r))).text, then.text);
    t.equal((await call('GET', by(`${rachel}?asOf=${r}`, later))).status, 200);
    t.match(await call('GET', by(`${rachel}?asOf=${r}`, later)), { body: { tick: 5 } }, 'imported before r since');
    t.match(await call('GET', by(`${rachel}?asOf=3`, r)), problem(404, 'tick_not_found'));
    t.match(await call('GET', by(rachel, EARLY)), problem(404, 'entity_not_found'));
    const missing = await call('GET', by('/entities?ids=friend:rachel,friend:will', r));
    t.same(object(missing.body).missing, [{ id: 'friend:will', code: 'entity_not_found' }]);
  });
});

t.test(
  'an R that has not come, is no instant, or is not stable is refused, by collections and by all others alike',
  async (t) => {
    const { call, sql, hand } = await testService(t);
    await importTicks(sql, [of('rachel', EARLY, 'created', { location: 'New York' })]);
    const paths = [
      '/entities?type=friend',
      rachel,
      `${rachel}?asOf=1`,
      `${rachel}?asOf=${EARLY}&include=history`,
      `${rachel}/diff?from=1`,
      `${rachel}/compare?at=1,now`,
      '/types/friend/compare?at=now',
      `${rachel}/history`,
      `${rachel}/history/location`,
      `${rachel}/history/location?asOf=1`,
      `${rachel}/timemap`,
      '/entities?ids=friend:rachel',
    ];
    const other = hand();
    t.teardown(() => other.end());
    for (const path of paths) {
      t.match(await call('GET', by(path, NEVER_COMES)), problem(400, 'as_of_in_future'), path);
      for (const wrong of ['3', 'yesterday', ''])
        t.match(
          await call('GET', by(path, wrong)),
          problem(400, 'invalid_as_of', { errors: [{ path: 'recordedAsOf' }] }),
          `${path} ${wrong}`,
        );
    }
    const own = await other.reserve();
    await own`BEGIN`;
    const [row] = await own<{ at: string }[]>`
    SELECT pg_current_xact_id(), to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;
    const held = await Promise.all(paths.map((path) => call('GET', by(path, row?.at ?? ''))));
    for (const [n, answer] of held.entries()) t.match(answer, problem(503, 'as_of_not_stable_yet'), paths[n] ?? '');
    await own`COMMIT`;
    own.release();
    for (const path of paths) t.equal((await call('GET', by(path, row?.at ?? ''))).status, 200, path);
    for (const path of [rachel, `${rachel}/history/location`, '/entities?ids=friend:rachel', '/entities?type=friend'])
      t.match(
        await call('GET', `${by(path, row?.at ?? '')}&asOf=${NEVER_COMES}`),
        problem(400, 'as_of_in_future'),
        `${path} as of an instant that has not come`,
      );
  },
);
