import { createHash } from 'node:crypto';
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
      for (const date of ['Sun, 01 Jan 2017 12:00:00 GMT', 'Sat, 01 Jul 2017 00:00:00 GMT']) {
        const gone = await at(date);
        t.match(gone, problem(410, 'entity_deleted', { tick: 4 }));
        t.match(gone.headers, {
          vary: 'accept-datetime',
          'content-location': undefined,
          'memento-datetime': undefined,
        });
        const links = linksOf(gone.headers.link);
        t.match(links.get('timegate'), { target: `/entities/${id}` }, 'RFC 7089 section 4.5.2');
        t.match(links.get('timemap'), { target: `/entities/${id}/timemap` }, 'which has what there was');
      }
      // RFC 7089 has a wrong weekday itself, in figure 8.
      t.match(await at('Tue, 08 Jan 2016 00:00:00 GMT'), { status: 200, headers: { etag: '"3"' } });
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
    const plain = await call('GET', memento(3));
    t.same(beside.headers.link, plain.headers.link, 'and nothing of the answer depends on it (section 4.1.1)');
    for (const { headers } of [beside, plain])
      t.match(headers, { vary: undefined, 'cache-control': 'max-age=31536000, immutable' });
  });

  await t.test('what is no HTTP date is refused', async (t) => {
    const wrong = [
      '',
      'x',
      '2016-01-08',
      '2016-01-08T00:00:00Z',
      'Xyz, 08 Jan 2016 00:00:00 GMT',
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
      for (const url of ['/entities/friend:rachel', '/entities?type=friend', '/entities?ids=friend:rachel']) {
        const answer = await at(date, url);
        t.match(answer, problem(400, 'invalid_as_of', { errors: [{ path: 'Accept-Datetime' }] }), `${url} ${date}`);
        t.equal(answer.headers.vary, 'accept-datetime', 'RFC 7089 section 4.5.3');
        t.ok(linksOf(answer.headers.link).has('original'));
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
        `</entities/${id}>; rel="original", </entities/${id}>; rel="timegate"`,
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
      ['/entities/friend:rachel/history/location?asOf=1', 'max-age=31536000, immutable'],
      ['/entities/friend:rachel/history/location?asOf=2016-06-01T00:00:00Z', 'no-cache'],
      ['/entities/friend:rachel/diff?from=1&to=3', 'max-age=31536000, immutable'],
      ['/entities/friend:rachel/diff?from=1&to=2016-06-01T00:00:00Z', 'no-cache'],
      ['/health/live', 'no-store'],
      ['/health/ready', 'no-store'],
      ['/metrics', 'no-store'],
      ['/openapi.yaml', 'no-cache'],
      ['/docs/guide/', 'no-cache'],
    ];
    for (const [url, says, headers = {}] of cases) {
      t.equal((await call('GET', url, undefined, headers)).headers['cache-control'], says, url);
    }
    t.match((await call('GET', '/entities/friend:rachel')).headers, {
      vary: 'accept-datetime',
      link: `</entities/${id}>; rel="original", </entities/${id}>; rel="timegate", </entities/${id}/timemap>; rel="timemap"; type="application/link-format"`,
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
    const named: [date: string, items: [key: string, tick: number][], datetime: string][] = [
      ['Sat, 01 Jan 2000 00:00:00 GMT', [['rachel', 1]], 'Wed, 08 Oct 2014 10:00:00 GMT'],
      ['Wed, 08 Oct 2014 10:00:00 GMT', [['rachel', 2]], 'Wed, 08 Oct 2014 10:00:00 GMT'],
      [
        'Fri, 08 Jan 2016 00:00:00 GMT',
        [
          ['rachel', 3],
          ['will', 1],
        ],
        'Fri, 08 Jan 2016 00:00:00 GMT',
      ],
      ['Sun, 01 Jan 2017 12:00:00 GMT', [['will', 1]], 'Sun, 01 Jan 2017 12:00:00 GMT'],
      [
        'Tue, 01 Jan 2999 00:00:00 GMT',
        [
          ['rachel', 5],
          ['will', 1],
        ],
        'Mon, 01 Jan 2018 00:00:00 GMT',
      ],
    ];
    const ids = '/entities?ids=friend%3Arachel&ids=friend%3Awill&ids=friend%3Anobody';
    for (const [date, items, datetime] of named) {
      const answer = await at(date, ids);
      t.same(
        list(answer.body.items)
          .map(object)
          .map(({ key, tick }) => [key, tick]),
        items,
        `ids ${date}`,
      );
      t.match(answer.headers, { 'memento-datetime': datetime, vary: 'accept-datetime' });
      for (const rel of ['original', 'timegate']) t.equal(linksOf(answer.headers.link).get(rel)?.target, ids);
      const fixed = await call('GET', text(answer.headers['content-location']));
      t.equal(fixed.text, answer.text, 'its own URL shows the same');
      t.match(fixed.headers, { etag: answer.headers.etag, 'memento-datetime': datetime, vary: undefined });
      t.equal(linksOf(fixed.headers.link).get('original')?.target, ids);
    }
    const byRecord = `/entities?type=friend&recordedAsOf=${new Date().toISOString()}`;
    const pinned = await at('Thu, 01 Jan 2015 00:00:00 GMT', byRecord);
    t.match(pinned.headers, { 'memento-datetime': /2015/, vary: 'accept-datetime' });
    t.equal(
      (await call('GET', text(pinned.headers['content-location']))).text,
      pinned.text,
      'which can change no more',
    );
    t.match((await call('GET', ids)).headers, { 'memento-datetime': undefined, vary: 'accept-datetime' });
    t.match(await at('Sat, 01 Jan 2000 00:00:00 GMT', '/entities?ids=friend:nobody'), {
      status: 200,
      body: { items: [] },
    });
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

  await t.test('of a part of an entity, or of more than it, the URLs say so', async (t) => {
    const cases: [query: string, kept: string][] = [
      ['fields=location', 'fields=location'],
      ['include=history', 'include=history'],
      ['include=provenance', 'include=provenance'],
      ['fields=location&include=history.name,provenance', 'fields=location&include=history.name&include=provenance'],
      ['fields=location&include=history.location', 'fields=location&include=history.location'],
      ['fields=location&fields=x%26y', 'fields=location&fields=x%26y'],
    ];
    for (const [query, kept] of cases) {
      const now = await call('GET', `/entities/friend:rachel?${query}`);
      t.equal(linksOf(now.headers.link).get('original')?.target, `/entities/${id}?${kept}`);
      t.equal(linksOf(now.headers.link).get('timemap'), undefined, 'the timemap lists whole states');
      for (const point of ['asOf=3', 'asOf=2016-06-01T00:00:00Z']) {
        const then = await call('GET', `/entities/friend:rachel?${point}&${query}`);
        t.equal(then.headers['content-location'], `${memento(3)}&${kept}`);
        t.equal((await call('GET', text(then.headers['content-location']))).text, then.text, `${point} ${query}`);
      }
      const dated = await at('Fri, 08 Jan 2016 00:00:00 GMT', `/entities/friend:rachel?${query}`);
      t.equal(dated.headers['content-location'], `${memento(3)}&${kept}`);
      t.equal(linksOf(dated.headers.link).get('prev')?.target, `${memento(2)}&${kept}`);
    }
    const long = await at(
      'Fri, 08 Jan 2016 00:00:00 GMT',
      `/entities/friend:rachel?fields=${'x'.repeat(1_500)}`.slice(0, 1_200),
    );
    t.match(long, { status: 400 }, 'a name is no longer than 256 characters');
    const many = Array.from({ length: 60 }, (_, n) => `fields=name-${n}`).join('&');
    const far = await at(
      'Fri, 08 Jan 2016 00:00:00 GMT',
      `/entities/friend:rachel?${many}&${many.replaceAll('name', 'other')}`,
    );
    t.match(far, { status: 400 });
    const some = await at('Fri, 08 Jan 2016 00:00:00 GMT', `/entities/friend:rachel?${many}&fields=${'y'.repeat(250)}`);
    t.match(
      some,
      { status: 200, headers: { link: undefined, 'content-location': undefined, 'memento-datetime': /2016/ } },
      'where headers can hold them',
    );
  });

  await t.test('every answer to a read is conditional', async (t) => {
    const activity = text((await call('POST', '/activities', { actor: 'monica' })).body.id);
    const urls = [
      '/entities/friend:rachel',
      '/entities/friend:rachel?asOf=1',
      '/entities/friend:rachel/diff?from=1',
      '/entities/friend:rachel/history',
      '/entities/friend:rachel/history?limit=1',
      '/entities/friend:rachel/history/location',
      '/entities/friend:rachel/history/location?asOf=2',
      '/entities/friend:rachel/timemap',
      '/entities?type=friend',
      '/entities?type=friend&limit=1',
      '/entities?ids=friend:rachel',
      '/types/friend/history/location',
      '/types/friend/counts/location',
      `/activities/${activity}`,
      '/openapi.yaml',
      '/docs/guide/',
    ];
    for (const url of urls) {
      const plain = await call('GET', url);
      const etag = text(plain.headers.etag);
      t.equal(plain.status, 200, url);
      const ask = (headers: Record<string, string>) => call('GET', url, undefined, headers);
      for (const known of [etag, `"x", W/${etag}`, '*'])
        t.match(
          await ask({ 'if-none-match': known }),
          { status: 304, text: '', headers: { etag, link: undefined } },
          url,
        );
      t.match(await ask({ 'if-none-match': '"x"' }), { status: 200, text: plain.text });
      t.match(await ask({ 'if-match': etag }), { status: 200, text: plain.text });
      t.match(await ask({ 'if-match': '*' }), { status: 200 });
      for (const other of ['"x"', `W/${etag}`]) {
        const refused = await ask({ 'if-match': other, 'if-none-match': etag });
        t.match(refused, problem(412, 'precondition_failed'), `${url} ${other}`);
        t.match(refused.headers, { 'content-location': undefined, 'memento-datetime': undefined });
      }
      for (const header of ['if-match', 'if-none-match'])
        t.match(await ask({ [header]: 'x' }), problem(400, 'invalid_condition'), `${url} ${header}`);
      const head = await call('HEAD', url);
      t.match(head, { status: 200, headers: { etag, 'content-length': String(Buffer.byteLength(plain.text)) } });
      const known = await call('HEAD', url, undefined, { 'if-none-match': etag });
      t.match(known, { status: 304, headers: { etag, 'content-length': undefined } }, url);
    }
    t.match(
      await call('GET', '/entities/friend:nobody', undefined, { 'if-match': '*' }),
      problem(404, 'entity_not_found'),
    );
    const walk = `history ${id} asc`;
    const forged = createHash('sha256').update(walk).digest('base64url').slice(0, 8);
    const tocome = Buffer.from(`${forged}.2000000000.1`).toString('base64url');
    t.match(await call('GET', `/entities/friend:rachel/history?cursor=${tocome}`), {
      status: 200,
      headers: { 'cache-control': 'no-cache' },
    });
    const page = await call('GET', '/entities/friend:rachel/history?limit=1');
    const next = linksOf(page.headers.link).get('next')?.target ?? '';
    t.match((await call('GET', next)).headers, {
      'cache-control': 'max-age=31536000, immutable',
      etag: page.headers.etag,
    });
    await call('PATCH', '/entities/friend:rachel', { properties: { location: 'Tucson' } });
    t.not((await call('GET', '/entities/friend:rachel/history?limit=1')).headers.etag, page.headers.etag);
  });
});
