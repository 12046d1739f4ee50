import t from 'tap';
import { importHistory } from '../../helper/imported.js';
import { type Answer, list, object, problem, testService, text } from '../../helper/service.js';

/** The links of a header or of a document: target and attributes by relation. */
function linksOf(written: string | undefined): Map<string, { target: string; datetime: string | undefined }> {
  const links = new Map<string, { target: string; datetime: string | undefined }>();
  for (const [, target = '', attributes = ''] of (written ?? '').matchAll(/<([^>]*)>((?:; \w+="[^"]*")*)/g)) {
    const [rels = ''] = /(?<=rel=")[^"]*/.exec(attributes) ?? [];
    const datetime = /(?<=datetime=")[^"]*/.exec(attributes)?.[0];
    for (const rel of rels.split(' ')) links.set(rel === 'memento' ? `${target} memento` : rel, { target, datetime });
  }
  return links;
}

t.test('datetime negotiation (RFC 7089)', async (t) => {
  const { call, sql } = await testService(t);
  const id = await importHistory(sql, 'friend', 'rachel', [
    { at: '2014-10-08T10:00:00.500000Z', op: 'created', set: { location: 'New York' } },
    { at: '2014-10-08T10:00:00.900000Z', op: 'updated', set: { location: 'Boston' } },
    { at: '2016-01-08T00:00:00Z', op: 'updated', set: { location: 'San Francisco' } },
    { at: '2017-01-01T12:00:00Z', op: 'deleted', set: {} },
    { at: '2018-01-01T00:00:00.000001Z', op: 'restored', set: { location: 'Oakland' } },
  ]);
  const at = (date: string, url = '/entities/friend:rachel', headers: Record<string, string> = {}) =>
    call('GET', url, undefined, { 'accept-datetime': date, ...headers });
  const memento = (tick: number) => `/entities/${id}?asOf=${tick}`;

  await t.test(
    'each date selects the state at the end of its second; outside of its life the first or the last',
    async (t) => {
      const cases: [date: string, tick: number, datetime: string][] = [
        ['Sat, 01 Jan 2000 00:00:00 GMT', 1, 'Wed, 08 Oct 2014 10:00:00 GMT'],
        ['Wed, 08 Oct 2014 09:59:59 GMT', 1, 'Wed, 08 Oct 2014 10:00:00 GMT'],
        ['Wed, 08 Oct 2014 10:00:00 GMT', 2, 'Wed, 08 Oct 2014 10:00:00 GMT'],
        ['Thu, 01 Jan 2015 00:00:00 GMT', 2, 'Wed, 08 Oct 2014 10:00:00 GMT'],
        ['Thu, 07 Jan 2016 23:59:59 GMT', 2, 'Wed, 08 Oct 2014 10:00:00 GMT'],
        ['Fri, 08 Jan 2016 00:00:00 GMT', 3, 'Fri, 08 Jan 2016 00:00:00 GMT'],
        ['Mon, 01 Jan 2018 00:00:00 GMT', 5, 'Mon, 01 Jan 2018 00:00:00 GMT'],
        ['Tue, 01 Jan 2999 00:00:00 GMT', 5, 'Mon, 01 Jan 2018 00:00:00 GMT'],
        [new Date().toUTCString(), 5, 'Mon, 01 Jan 2018 00:00:00 GMT'],
      ];
      for (const [date, tick, datetime] of cases) {
        const answer = await at(date);
        t.match(
          answer,
          {
            status: 200,
            headers: {
              'memento-datetime': datetime,
              'content-location': memento(tick),
              vary: 'accept-datetime',
              'cache-control': 'no-cache',
              etag: `"${tick}"`,
            },
          },
          date,
        );
        t.equal(answer.text, (await call('GET', memento(tick))).text);
        if (tick > 1)
          t.equal((await at(datetime)).headers['content-location'], memento(tick), 'its own date leads back to it');
      }
      const old = await importHistory(sql, 'monk', 'bede', [{ at: '0050-06-01T00:00:00Z', op: 'created', set: {} }]);
      t.match((await at('Wed, 01 Jun 0050 00:00:00 GMT', `/entities/${old}`)).headers, {
        'memento-datetime': 'Wed, 01 Jun 0050 00:00:00 GMT',
      });
      t.match(await at('Sun, 01 Jan 2017 12:00:00 GMT'), problem(410, 'entity_deleted', { tick: 4 }));
      const nobody = await at('Sun, 01 Jan 2017 12:00:00 GMT', '/entities/friend:nobody');
      t.match(nobody, problem(404, 'entity_not_found', { detail: 'There is no entity friend:nobody.' }));
    },
  );

  await t.test('it links to the states around it, leaving out the tombstone', async (t) => {
    const dates = ['Wed, 08 Oct 2014 10:00:00 GMT', 'Fri, 08 Jan 2016 00:00:00 GMT', 'Mon, 01 Jan 2018 00:00:00 GMT'];
    const [second, third, fifth] = dates;
    const cases: [date: string | undefined, prev: number | null, next: number | null, of: (string | undefined)[]][] = [
      ['Sat, 01 Jan 2000 00:00:00 GMT', null, 2, [undefined, second]],
      [second, 1, 3, [second, third]],
      [third, 2, 5, [second, fifth]],
      [fifth, 3, null, [third, undefined]],
    ];
    for (const [date, prev, next, [ofPrev, ofNext]] of cases) {
      const links = linksOf((await at(date ?? '')).headers.link);
      t.match(links.get('original'), { target: `/entities/${id}` });
      t.match(links.get('timegate'), { target: `/entities/${id}` });
      t.match(links.get('timemap'), { target: `/entities/${id}/timemap` });
      t.same(links.get('first'), { target: memento(1), datetime: second });
      t.same(links.get('last'), { target: memento(5), datetime: fifth });
      t.same(
        links.get('prev'),
        prev === null ? undefined : { target: memento(prev), datetime: ofPrev },
        `before ${date}`,
      );
      t.same(
        links.get('next'),
        next === null ? undefined : { target: memento(next), datetime: ofNext },
        `after ${date}`,
      );
    }
    const beside = await at('Sat, 01 Jan 2000 00:00:00 GMT', memento(3));
    t.equal(beside.headers.etag, '"3"', 'of a memento the date selects nothing');
    t.same(
      linksOf(beside.headers.link).get('prev'),
      { target: memento(2), datetime: second },
      'but its neighbours are told',
    );
  });

  await t.test('what is no HTTP date is refused', async (t) => {
    const wrong = [
      '',
      'x',
      '2016-01-08',
      '2016-01-08T00:00:00Z',
      'Thu, 08 Jan 2016 00:00:00 GMT',
      'Fri, 8 Jan 2016 00:00:00 GMT',
    ];
    wrong.push(
      'Fri, 08 Jan 2016 00:00:00 +0000',
      'Fri, 08 Jan 2016 24:00:00 GMT',
      'Friday, 08-Jan-16 00:00:00 GMT',
      'Thu, 31 Feb 2016 00:00:00 GMT',
    );
    wrong.push('Sat, 01 Jan 10000 00:00:00 GMT', 'Sat, 01 Jan 0000 00:00:00 GMT', 'Fri, 08 Jux 2016 00:00:00 GMT');
    for (const date of wrong) {
      for (const url of ['/entities/friend:rachel', '/entities?type=friend']) {
        t.match(
          await at(date, url),
          problem(400, 'invalid_as_of', { errors: [{ path: 'Accept-Datetime' }] }),
          `${url} ${date}`,
        );
      }
    }
    t.equal((await at('x', memento(1))).status, 200, 'where it selects nothing it is not read');
  });

  await t.test('the TimeMap lists every state, page by page', async (t) => {
    const whole = await call('GET', '/entities/friend:rachel/timemap');
    t.match(whole, {
      status: 200,
      headers: { 'content-type': 'application/link-format', 'cache-control': 'no-cache' },
    });
    t.equal(
      whole.text,
      [
        `</entities/${id}>; rel="original timegate"`,
        `</entities/friend:rachel/timemap>; rel="self"; type="application/link-format"; from="Wed, 08 Oct 2014 10:00:00 GMT"; until="Mon, 01 Jan 2018 00:00:00 GMT"`,
        `<${memento(1)}>; rel="first memento"; datetime="Wed, 08 Oct 2014 10:00:00 GMT"`,
        `<${memento(2)}>; rel="memento"; datetime="Wed, 08 Oct 2014 10:00:00 GMT"`,
        `<${memento(3)}>; rel="memento"; datetime="Fri, 08 Jan 2016 00:00:00 GMT"`,
        `<${memento(5)}>; rel="last memento"; datetime="Mon, 01 Jan 2018 00:00:00 GMT"`,
      ].join(',\n'),
    );
    const seen: string[] = [];
    for (let url: string | undefined = '/entities/friend:rachel/timemap?limit=1'; url; ) {
      const page: Answer = await call('GET', url);
      const links = linksOf(page.text);
      seen.push(...[...links.values()].filter(({ datetime }) => datetime).map(({ target }) => target));
      t.equal(links.get('timemap')?.target, linksOf(page.headers.link).get('next')?.target);
      url = links.get('timemap')?.target;
    }
    t.same([...new Set(seen)], [1, 2, 3, 5].map(memento));
    t.match(await call('GET', '/entities/friend:nobody/timemap'), problem(404, 'entity_not_found'));
    t.match(await call('GET', '/entities/x/timemap'), problem(400, 'invalid_id'));
    const cursor = Buffer.from('x').toString('base64url');
    t.match(await call('GET', `/entities/friend:rachel/timemap?cursor=${cursor}`), problem(400, 'invalid_cursor'));
    t.match(
      await call('GET', '/entities/friend:rachel/timemap', undefined, { accept: 'application/json' }),
      problem(406, 'not_acceptable'),
    );
  });

  await t.test('Cache-Control promises no more than what holds', async (t) => {
    const activity = await call('POST', '/activities', { actor: 'monica' });
    const cases: [url: string, says: string, headers?: Record<string, string>][] = [
      ['/entities/friend:rachel', 'no-cache'],
      ['/entities/friend:rachel?asOf=1', 'max-age=31536000, immutable'],
      ['/entities/friend:rachel?asOf=2016-06-01T00:00:00Z', 'no-cache'],
      ['/entities/friend:rachel?asOf=1', 'max-age=31536000, immutable', { 'if-none-match': '"1"' }],
      ['/entities/friend:rachel', 'no-cache', { 'if-none-match': '"5"' }],
      ['/entities/friend:rachel?asOf=4', 'no-store'],
      ['/entities/friend:rachel?asOf=9', 'no-store'],
      ['/entities/friend:nobody', 'no-store'],
      ['/entities?ids=friend:rachel', 'no-cache'],
      ['/entities/friend:rachel/history', 'no-cache'],
      ['/entities/friend:rachel/history/location', 'no-cache'],
      ['/entities/friend:rachel/diff?from=1', 'no-cache'],
      [`/activities/${activity.body.id}`, 'no-cache'],
    ];
    for (const [url, says, headers = {}] of cases) {
      t.equal((await call('GET', url, undefined, headers)).headers['cache-control'], says, url);
    }
    t.match((await call('GET', '/entities/friend:rachel')).headers, {
      vary: 'accept-datetime',
      link: `</entities/${id}>; rel="original timegate", </entities/${id}/timemap>; rel="timemap"; type="application/link-format"`,
      'memento-datetime': undefined,
    });
    t.match(await at('Fri, 08 Jan 2016 00:00:00 GMT', '/entities/friend:rachel', { 'if-none-match': '"3"' }), {
      status: 304,
      headers: { etag: '"3"', vary: 'accept-datetime', 'content-location': memento(3), 'memento-datetime': /2016/ },
    });
  });

  await t.test('a collection is negotiated alike', async (t) => {
    await importHistory(sql, 'friend', 'will', [{ at: '2015-01-01T00:00:00Z', op: 'created', set: {} }]);
    const cases: [date: string, shown: [key: string, tick: number][], datetime: string][] = [
      ['Sat, 01 Jan 2000 00:00:00 GMT', [['rachel', 1]], 'Wed, 08 Oct 2014 10:00:00 GMT'],
      ['Wed, 08 Oct 2014 10:00:00 GMT', [['rachel', 2]], 'Wed, 08 Oct 2014 10:00:00 GMT'],
      [
        'Thu, 01 Jan 2015 00:00:00 GMT',
        [
          ['rachel', 2],
          ['will', 1],
        ],
        'Thu, 01 Jan 2015 00:00:00 GMT',
      ],
      ['Tue, 02 Jan 2017 00:00:00 GMT'.replace('Tue', 'Mon'), [['will', 1]], 'Sun, 01 Jan 2017 12:00:00 GMT'],
    ];
    for (const [date, shown, datetime] of cases) {
      const answer = await at(date, '/entities?type=friend');
      t.same(
        list(answer.body.items)
          .map(object)
          .map(({ key, tick }) => [key, tick]),
        shown,
        date,
      );
      t.match(answer.headers, { 'memento-datetime': datetime, vary: 'accept-datetime', 'cache-control': 'no-cache' });
      const fixed = await call('GET', text(answer.headers['content-location']));
      t.equal(fixed.text, answer.text);
      t.equal(fixed.headers['cache-control'], 'max-age=31536000, immutable');
      t.equal(linksOf(fixed.headers.link).get('timegate')?.target, '/entities?type=friend');
    }
    const named = await at('Fri, 08 Jan 2016 00:00:00 GMT', '/entities?ids=friend:rachel,friend:nobody');
    t.match(named, {
      status: 200,
      body: { items: [{ tick: 3 }], missing: [{}] },
      headers: { vary: 'accept-datetime' },
    });
    t.match((await at('Tue, 01 Jan 2999 00:00:00 GMT', '/entities?ids=friend:rachel')).body.items, [{ tick: 5 }]);
    t.match(await at('x', '/entities?ids=friend:rachel'), problem(400, 'invalid_as_of'));
    const now = await call('GET', '/entities?type=friend');
    t.equal(now.headers['memento-datetime'], undefined);
    t.equal((await at('Tue, 01 Jan 2999 00:00:00 GMT', '/entities?type=friend')).text, now.text);
    t.equal((await call('GET', text(now.headers['content-location']))).text, now.text);
    t.same((await at('Sat, 01 Jan 2000 00:00:00 GMT', '/entities?type=nothing')).body.items, []);
    const paged = await at('Thu, 01 Jan 2015 00:00:00 GMT', '/entities?type=friend&limit=1');
    const second = await at('Sat, 01 Jan 2000 00:00:00 GMT', linksOf(paged.headers.link).get('next')?.target);
    t.same(
      list(second.body.items).map((item) => object(item).key),
      ['will'],
      'a walk goes on as of where it began',
    );
  });
});
