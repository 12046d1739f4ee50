import t from 'tap';
import { PROBLEMS, type ProblemCode } from '../../../src/http/protocol/problems.js';
import type { JsonObject } from '../../../src/temporal/json.js';
import { MAX_BODY_BYTES } from '../../../src/temporal/limits.js';
import { list, object, testService, text } from '../../helper/service.js';

/** Both are refused before anybody looks for it. */
const EXAMPLE_ACTIVITY = '01a1fbba-b75f-7646-92a3-d4a3c62ecb9b';
const TAKEN = 'application/json, application/merge-patch+json, application/json-patch+json';

t.test('what is refused is told, and leaves nothing behind', async (t) => {
  const { app, call, sql } = await testService(t);
  await call('POST', '/entities', { type: 'friend', key: 'rachel', properties: { a: 1 } });

  const deep = (depth: number) => `{"type":"t","properties":{"a":${'['.repeat(depth)}${']'.repeat(depth)}}}`;
  const p = (value: string) => `{"type":"t","properties":{"a":${value}}}`;
  /** Bodies of POST /entities: what, the body, code, and the path of the fault where there is one. */
  const bodies: [name: string, body: string | Buffer, code: ProblemCode, path?: string][] = [
    ['nothing', '', 'invalid_body', ''],
    ['blank', '  ', 'malformed_json', ''],
    ['a word', 'hello', 'malformed_json', ''],
    ['truncated', '{"type": "t", "properties": {', 'malformed_json', ''],
    ['two documents', '{}{}', 'malformed_json', ''],
    ['a trailing comma', '{"type":"t",}', 'malformed_json', ''],
    ['single quotes', "{'type':'t'}", 'malformed_json', ''],
    ['NaN', p('NaN'), 'malformed_json', ''],
    ['hexadecimal', p('0x10'), 'malformed_json', ''],
    ['a leading zero', p('01'), 'malformed_json', ''],
    ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'text_not_storable'],
    ['a number too large', p('1e400'), 'number_not_exact', '/properties/a'],
    ['2^53+1', p('9007199254740993'), 'number_not_exact', '/properties/a'],
    ['too many digits', p('[0.1, 0.10000000000000001]'), 'number_not_exact', '/properties/a/1'],
    ['too small a number', p('1e-400'), 'number_not_exact', '/properties/a'],
    ['U+0000', p('"\\u0000"'), 'text_not_storable', '/properties/a'],
    ['a lone surrogate', p('"\\ud800"'), 'text_not_storable', '/properties/a'],
    ['U+0000 in a name', '{"type":"t","properties":{"\\u0000":1}}', 'text_not_storable', '/properties'],
    ['a lone surrogate in a key', '{"type":"t","key":"\\udc00","properties":{}}', 'text_not_storable', '/key'],
    ['a name twice', '{"type":"t","properties":{"a":1,"a":2}}', 'duplicate_name', '/properties/a'],
    ['a name twice, once escaped', '{"type":"t","properties":{"a":1,"\\u0061":2}}', 'duplicate_name', '/properties/a'],
    ['a field twice', '{"type":"t","type":"t","properties":{}}', 'duplicate_name', '/type'],
    ['too deep', deep(101), 'nested_too_deep'],
    ['far too deep', deep(10_000), 'nested_too_deep'],
    ['an array', '[]', 'invalid_body', ''],
    ['null', 'null', 'invalid_body', ''],
    ['a string', '"t"', 'invalid_body', ''],
    ['a number', '7', 'invalid_body', ''],
    ['no type', '{"properties":{}}', 'invalid_body', '/type'],
    ['no properties', '{"type":"t"}', 'invalid_body', '/properties'],
    ['properties: null', '{"type":"t","properties":null}', 'invalid_body', '/properties'],
    ['properties: []', '{"type":"t","properties":[]}', 'invalid_body', '/properties'],
    ['properties: "x"', '{"type":"t","properties":"x"}', 'invalid_body', '/properties'],
    ['type: null', '{"type":null,"properties":{}}', 'invalid_body', '/type'],
    ['type: 1', '{"type":1,"properties":{}}', 'invalid_body', '/type'],
    ['an empty type', '{"type":"","properties":{}}', 'invalid_body', '/type'],
    ['a type in capitals', '{"type":"Friend","properties":{}}', 'invalid_body', '/type'],
    ['a type with a colon', '{"type":"a:b","properties":{}}', 'invalid_body', '/type'],
    ['a type with a new line', '{"type":"a\\n","properties":{}}', 'invalid_body', '/type'],
    ['a type too long', `{"type":"${'t'.repeat(64)}","properties":{}}`, 'invalid_body', '/type'],
    ['an empty key', '{"type":"t","key":"","properties":{}}', 'invalid_body', '/key'],
    ['key: null', '{"type":"t","key":null,"properties":{}}', 'invalid_body', '/key'],
    ['key: 7', '{"type":"t","key":7,"properties":{}}', 'invalid_body', '/key'],
    ['a key too long', `{"type":"t","key":"${'k'.repeat(513)}","properties":{}}`, 'invalid_body', '/key'],
    ['a key too long in emoji', `{"type":"t","key":"${'😀'.repeat(513)}","properties":{}}`, 'invalid_body', '/key'],
    ['an unknown field', '{"type":"t","properties":{},"id":"x"}', 'unknown_field', '/id'],
    ['an unknown field named __proto__', '{"type":"t","properties":{},"__proto__":{}}', 'unknown_field', '/__proto__'],
    [
      'an unknown field named constructor',
      '{"type":"t","properties":{},"constructor":{}}',
      'unknown_field',
      '/constructor',
    ],
    ['type only inherited', '{"__proto__":{"type":"t"},"properties":{}}', 'unknown_field', '/__proto__'],
    ['activity: null', '{"type":"t","properties":{},"activity":null}', 'invalid_body', '/activity'],
    ['activity: {}', '{"type":"t","properties":{},"activity":{}}', 'invalid_body', '/activity'],
    [
      'activity of an unknown field',
      '{"type":"t","properties":{},"activity":{"actor":"a","who":"b"}}',
      'unknown_field',
      '/activity/who',
    ],
    [
      'activity with an id',
      '{"type":"t","properties":{},"activity":{"id":"x","actor":"a"}}',
      'unknown_field',
      '/activity/id',
    ],
    [
      'an actor that is no text',
      '{"type":"t","properties":{},"activity":{"actor":1}}',
      'invalid_body',
      '/activity/actor',
    ],
    ['an empty actor', '{"type":"t","properties":{},"activity":{"actor":""}}', 'invalid_body', '/activity/actor'],
    [
      'metadata that is no object',
      '{"type":"t","properties":{},"activity":{"metadata":[]}}',
      'invalid_body',
      '/activity/metadata',
    ],
    ['a property without a name', '{"type":"t","properties":{"":1}}', 'invalid_property_name', '/properties/'],
    ['a property .', '{"type":"t","properties":{".":1}}', 'invalid_property_name', '/properties/.'],
    ['a property ..', '{"type":"t","properties":{"..":1}}', 'invalid_property_name', '/properties/..'],
    [
      'T34 a good property and a bad one',
      '{"type":"t","properties":{"ok":1,"..":1}}',
      'invalid_property_name',
      '/properties/..',
    ],
    [
      'a name too long',
      `{"type":"t","properties":{"${'n'.repeat(257)}":1}}`,
      'invalid_property_name',
      `/properties/${'n'.repeat(257)}`,
    ],
    ['a name of a megabyte', `{"type":"t","properties":{"${'n'.repeat(1_000_000)}":1}}`, 'invalid_property_name'],
  ];

  const everything = () => sql`
    SELECT (SELECT count(*) FROM clocktick.entity) AS entities, (SELECT count(*) FROM clocktick.tick) AS ticks,
           (SELECT count(*) FROM clocktick.property_range) AS ranges, (SELECT count(*) FROM clocktick.activity) AS activities`;
  const [before] = await everything();

  await t.test('bodies', async (t) => {
    for (const [name, body, code, path] of bodies) {
      for (const [method, url] of [
        ['POST', '/entities'],
        ['PATCH', '/entities/friend:rachel'],
      ] as const) {
        // A patch has neither type nor key; every other fault is one there too.
        if (path === '/type') continue;
        // That is a JSON Patch of no operation.
        if (method === 'PATCH' && body === '[]') continue;
        if (method === 'PATCH' && /"type"|"key"/.test(String(body).slice(0, 40))) continue;
        const answer = await call(method, url, body);
        t.match(answer, { status: PROBLEMS[code].status, body: { code } }, `${method}: ${name}`);
      }
      const answer = await call('POST', '/entities', body);
      t.equal(answer.body.code, code, name);
      if (path !== undefined) t.equal(object(list(answer.body.errors)[0]).path, path, `${name}: says where`);
      t.ok(answer.text.length < 3000, `${name}: told in short`);
    }
    t.equal((await call('POST', '/entities', deep(97))).status, 201, 'as deep as it may be');
  });

  await t.test('a body that is too large', async (t) => {
    const answer = await call('POST', '/entities', p(JSON.stringify('x'.repeat(MAX_BODY_BYTES))));
    t.match(answer, { status: 413, body: { code: 'body_too_large' } });
  });

  await t.test('media types', async (t) => {
    const cases: [type: string, status: number][] = [
      ['application/json', 200],
      ['application/json; charset=utf-8', 200],
      ['application/merge-patch+json', 200],
      ['APPLICATION/JSON', 200],
      ['text/plain', 415],
      ['application/xml', 415],
      ['application/jsonx', 415],
      ['multipart/form-data', 415],
      ['nonsense', 415],
      ['application/x-www-form-urlencoded', 415],
      ['application/json; charset=latin1', 415],
      ['application/json; charset=utf-16', 415],
      ['application/json-seq', 415],
      ['', 415],
    ];
    for (const [type, status] of cases) {
      const answer = await call('PATCH', '/entities/friend:rachel', '{"properties":{}}', { 'content-type': type });
      t.equal(answer.status, status, type);
      if (status !== 415) continue;
      t.equal(answer.body.code, 'unsupported_media_type');
      t.equal(answer.headers['accept-patch'], TAKEN, `${type}: says what is taken`);
    }
    for (const encoding of ['gzip', 'br', 'deflate', 'nonsense', 'gzip, gzip']) {
      const answer = await call('POST', '/entities', '{}', { 'content-encoding': encoding });
      t.match(answer, { status: 415, headers: { 'accept-encoding': 'identity' } }, encoding);
    }
    const foreign: [method: 'POST' | 'PUT' | 'PATCH', url: string, type: string][] = [
      ['POST', '/entities', 'application/merge-patch+json'],
      ['POST', '/entities', 'application/json-patch+json'],
      ['PUT', '/entities/friend:rachel', 'application/merge-patch+json'],
      ['POST', '/activities', 'application/merge-patch+json'],
      ['POST', '/entities/friend:rachel/revert', 'application/json-patch+json'],
      ['POST', '/entities/friend:rachel/restore', 'text/plain'],
    ];
    for (const [method, url, type] of foreign) {
      const answer = await call(method, url, '{"type":"friend","properties":{}}', { 'content-type': type });
      t.match(answer, { status: 415, headers: { accept: 'application/json' } }, `${method} ${url} ${type}`);
    }
    const untyped = await app.inject({ method: 'POST', url: '/entities', payload: '{}' });
    t.equal(untyped.statusCode, 415);
    const empty = await app.inject({ method: 'POST', url: '/entities' });
    t.match(JSON.parse(empty.body), { status: 400, code: 'invalid_body' });
  });

  await t.test('media types of the answer', async (t) => {
    const cases: [accept: string, status: number][] = [
      ['*/*', 200],
      ['application/json', 200],
      ['application/*', 200],
      ['text/html, application/xhtml+xml, */*;q=0.1', 200],
      ['application/json; charset=utf-8', 200],
      ['text/html;level=1, application/json;version=1;q=0.5', 200],
      ['application/json;q=0', 406],
      ['application/json; q=0, text/html; q=1', 406],
      ['text/html', 406],
      ['application/xml', 406],
      ['application/problem+json', 406],
      ['nonsense', 406],
    ];
    for (const [accept, status] of cases) {
      for (const url of ['/entities/friend:rachel', '/entities/friend:rachel/history', '/health/live']) {
        const answer = await call('GET', url, undefined, { accept });
        t.equal(answer.status, status, `${accept} ${url}`);
        if (status === 406) t.match(answer, { body: { code: 'not_acceptable' } });
      }
    }
    const write = await call('PATCH', '/entities/friend:rachel', { properties: { a: 2 } }, { accept: 'text/html' });
    t.equal(write.status, 406, 'and nothing is written');
    t.equal((await call('GET', '/entities/friend:rachel')).body.tick, 1);
    t.equal((await call('GET', '/entities/nonsense', undefined, { accept: 'application/json' })).status, 400);
  });

  await t.test('addresses and parameters', async (t) => {
    const id = '00000000-0000-4000-8000-000000000000';
    const cases: [url: string, status: number, code: string, path?: string][] = [
      ['/entities/x', 400, 'invalid_id', 'id'],
      ['/entities/friend:', 400, 'invalid_id', 'id'],
      ['/entities/:rachel', 400, 'invalid_id', 'id'],
      ['/entities/Friend:rachel', 400, 'invalid_id', 'id'],
      ['/entities/friend:%00', 400, 'invalid_id', 'id'],
      [`/entities/friend:${'k'.repeat(513)}`, 400, 'invalid_id', 'id'],
      [`/entities/{${id}}`, 400, 'invalid_id', 'id'],
      [`/entities/${id.replaceAll('-', '')}`, 400, 'invalid_id', 'id'],
      ['/entities/friend:%ff', 400, 'invalid_url'],
      ['/entities/friend:%', 400, 'invalid_url'],
      ['/entities/friend:%ED%A0%80', 400, 'invalid_url'],
      [`/entities/friend:${'k'.repeat(7000)}`, 414, 'url_too_long'],
      [`/entities/${id}`, 404, 'entity_not_found'],
      ['/entities/friend:nobody', 404, 'entity_not_found'],
      ['/entities/friend:rachel?x=1', 400, 'unknown_parameter', 'x'],
      ['/entities/friend:rachel?asof=1', 400, 'unknown_parameter', 'asof'],
      ['/entities/friend:rachel?__proto__=1', 400, 'unknown_parameter', '__proto__'],
      ['/entities/friend:rachel?asOf=1&asOf=2', 400, 'invalid_parameter', 'asOf'],
      ['/entities/friend:rachel?fields=%FF', 400, 'invalid_url'],
      ['/entities/friend:rachel?fields=100%', 400, 'invalid_url'],
      ['/entities?ids[]=friend:rachel', 400, 'unknown_parameter', 'ids[]'],
      ['/entities/friend:rachel?asOf=', 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel?asOf=0', 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel?asOf=-1', 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel?asOf=1.5', 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel?asOf=now', 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel?asOf=infinity', 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel?asOf=2016-08-19', 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel?asOf=2016-08-19T00:00:00', 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel?asOf=2016-08-19T00:00:60Z', 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel?asOf=2016-08-19T00:00:00.0000001Z', 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel?asOf=2016-02-30T00:00:00Z', 400, 'invalid_as_of', 'asOf'],
      ["/entities/friend:rachel?asOf=1'%3BDROP%20TABLE%20x", 400, 'invalid_as_of', 'asOf'],
      ['/entities/friend:rachel/history?limit=0', 400, 'invalid_parameter', 'limit'],
      ['/entities/friend:rachel/history?limit=1001', 400, 'invalid_parameter', 'limit'],
      ['/entities/friend:rachel/history?limit=x', 400, 'invalid_parameter', 'limit'],
      ['/entities/friend:rachel/history?limit=', 400, 'invalid_parameter', 'limit'],
      ['/entities/friend:rachel/history?order=up', 400, 'invalid_parameter', 'order'],
      ['/entities/friend:rachel/history?cursor=x', 400, 'invalid_cursor', 'cursor'],
      ['/entities/friend:rachel/history?cursor=', 400, 'invalid_cursor', 'cursor'],
      [`/entities/friend:rachel/history?cursor=${'x'.repeat(3_001)}`, 400, 'invalid_parameter', 'cursor'],
      [
        `/entities/friend:rachel/history?cursor=${Buffer.from('asc.9999999999.1').toString('base64url')}`,
        400,
        'invalid_cursor',
        'cursor',
      ],
      [
        `/entities/friend:rachel/history?order=desc&cursor=${Buffer.from('asc.1.1').toString('base64url')}`,
        400,
        'invalid_cursor',
        'cursor',
      ],
      ['/entities/friend:rachel/history?asOf=1', 400, 'unknown_parameter', 'asOf'],
      ['/entities/friend:rachel/history/a?from=x', 400, 'invalid_as_of', 'from'],
      ['/entities/friend:rachel/history/a?to=yesterday', 400, 'invalid_as_of', 'to'],
      ['/entities/friend:rachel/history/a?asOf=1&from=1', 400, 'invalid_parameter', 'asOf'],
      ['/entities/friend:rachel/history/%00', 400, 'invalid_property_name', 'property'],
      ['/entities/friend:rachel/history/', 400, 'invalid_property_name', 'property'],
      ['/types/friend/history/', 400, 'invalid_property_name', 'property'],
      ['/types/friend/counts/', 400, 'invalid_property_name', 'property'],
      ['/entities/friend:rachel/history/b', 404, 'property_not_found'],
      [`/entities/friend:rachel/history/${'n'.repeat(6000)}`, 404, 'property_not_found'],
      ['/entities/friend:rachel/history/a/b', 404, 'route_not_found'],
      ['/nothing', 404, 'route_not_found'],
      ['/entities/', 400, 'invalid_parameter', 'id'],
      ['/entities/?type=friend', 400, 'invalid_parameter', 'id'],
      ['/nothing/', 404, 'route_not_found'],
    ];
    for (const [url, status, code, path] of cases) {
      const answer = await call('GET', url);
      t.match(answer, { status, body: { status, code } }, url.slice(0, 80));
      t.match(answer.headers['content-type'], /^application\/problem\+json/);
      if (path !== undefined)
        t.equal(object(list(answer.body.errors)[0]).path, path, `${url.slice(0, 80)}: says where`);
    }
  });

  await t.test('what was asked is told', async (t) => {
    const cases: [url: string, says: RegExp][] = [
      ['/entities/friend:rachel?asOf=1577836800000', /no tick 1577836800000 yet/],
      ['/entities/friend:rachel/history/a?asOf=1577836800000', /no tick 1577836800000 yet/],
      ['/entities/friend:rachel/diff?from=1&to=1577836800000', /no tick 1577836800000 yet/],
      ['/entities/?type=friend', /slash/],
      ['/health/live/', /slash: leave that out/],
    ];
    for (const [url, says] of cases) t.match((await call('GET', url)).body.detail, says, url);
  });

  await t.test('what a call does not know is refused, not ignored', async (t) => {
    const good = { type: 't', properties: {} };
    const cases: [
      method: 'POST' | 'PATCH' | 'DELETE' | 'GET',
      url: string,
      body: JsonObject | undefined,
      code: string,
    ][] = [
      ['POST', '/entities?dryrun=true', good, 'unknown_parameter'],
      ['POST', '/activities?dryRun=true', { actor: 'me' }, 'unknown_parameter'],
      ['POST', '/activities', { actor: 'me', id: 'x' }, 'unknown_field'],
      ['POST', '/activities', {}, 'invalid_body'],
      ['PATCH', '/entities/friend:rachel?asOf=1', { properties: {} }, 'unknown_parameter'],
      ['PATCH', '/entities/friend:rachel', { properties: {}, type: 'friend' }, 'unknown_field'],
      ['PATCH', '/entities/friend:rachel', { properties: { ok: 1, '..': 1 } }, 'invalid_property_name'],
      ['PATCH', '/entities/friend:rachel', {}, 'invalid_body'],
      ['DELETE', '/entities/friend:rachel?dryRun=1', undefined, 'invalid_parameter'],
      ['DELETE', '/entities/friend:rachel?soft=1', undefined, 'unknown_parameter'],
      ['DELETE', '/entities/friend:rachel', { activity: { actor: 'me' } }, 'invalid_body'],
      ['GET', '/health/live?x=1', undefined, 'unknown_parameter'],
      ['GET', '/health/ready?x=1', undefined, 'unknown_parameter'],
    ];
    for (const [method, url, body, code] of cases)
      t.match(await call(method, url, body), { status: 400, body: { code } }, `${method} ${url}`);
    t.equal((await call('GET', '/entities/friend:rachel')).body.tick, 1, 'T34 and nothing of it is written');
    const typed = { 'content-type': 'application/json' };
    t.equal(
      (await call('DELETE', '/entities/friend:nobody', undefined, typed)).status,
      404,
      'a type without a body is none',
    );
  });

  await t.test('methods', async (t) => {
    const cases: [method: 'GET' | 'PUT' | 'DELETE' | 'POST', url: string, allow: string][] = [
      ['PUT', '/entities', 'GET, HEAD, POST, OPTIONS'],
      ['DELETE', '/entities', 'GET, HEAD, POST, OPTIONS'],
      ['POST', '/entities/friend:rachel', 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS'],
      ['GET', '/entities/friend:rachel/restore', 'POST, OPTIONS'],
      ['GET', '/entities/friend:rachel/revert', 'POST, OPTIONS'],
      ['POST', '/entities/friend:rachel/diff', 'GET, HEAD, OPTIONS'],
      ['PUT', '/entities/friend:rachel/history', 'GET, HEAD, OPTIONS'],
      ['DELETE', '/entities/friend:rachel/history/a', 'GET, HEAD, OPTIONS'],
      ['PUT', '/activities', 'POST, GET, HEAD, OPTIONS'],
      ['DELETE', `/activities/${EXAMPLE_ACTIVITY}`, 'GET, HEAD, OPTIONS'],
      ['POST', '/health/ready', 'GET, HEAD, OPTIONS'],
    ];
    for (const [, url, allow] of cases)
      t.match(await call('OPTIONS', url), { status: 204, text: '', headers: { allow } });
    const taken: [url: string, headers: Record<string, string | undefined>][] = [
      ['/entities', { 'accept-post': 'application/json', 'accept-patch': undefined }],
      ['/entities/friend:rachel', { 'accept-post': undefined, 'accept-patch': TAKEN }],
      ['/entities/friend:rachel/revert', { 'accept-post': 'application/json' }],
      ['/activities', { 'accept-post': 'application/json' }],
      ['/health/live', { 'accept-post': undefined, 'accept-patch': undefined }],
    ];
    for (const [url, headers] of taken) t.match((await call('OPTIONS', url)).headers, headers, `OPTIONS ${url}`);
    for (const [method, url, allow] of cases) {
      t.match(await call(method, url, '{', { 'content-type': 'nonsense' }), {
        status: 405,
        headers: { allow },
        body: { code: 'method_not_allowed' },
      });
    }
  });

  await t.test('and the service goes on, with nothing of it stored', async (t) => {
    t.equal((await call('GET', '/health/ready')).status, 200);
    const [after] = await everything();
    const deepest = {
      entities: String(Number(text(before?.entities)) + 1),
      ticks: String(Number(text(before?.ticks)) + 1),
      ranges: String(Number(text(before?.ranges)) + 1),
    };
    t.match(after, { ...before, ...deepest });
  });
});
