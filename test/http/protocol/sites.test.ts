import t from 'tap';
import { buildApp } from '../../../src/app.js';
import { readConfig } from '../../../src/config.js';
import { testDatabase } from '../../helper/database.js';
import { traces } from '../../helper/service.js';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const JSON_TYPE = { 'content-type': 'application/json' };
const OTHER = { origin: 'https://evil.example' };

t.test('what pages of other sites can make a browser send does nothing', async (t) => {
  const { storage, sql } = await testDatabase(t);
  const app = await buildApp({
    storage,
    rules: { requireCondition: false },
    logger: false,
    hosts: ['localhost', 'clock.example'],
  });
  t.teardown(() => app.close());
  await app.inject({
    method: 'PUT',
    url: '/entities/thing:x',
    headers: { host: 'localhost', ...JSON_TYPE },
    payload: '{"type": "thing", "properties": {"a": 1}}',
  });
  await app.inject({ method: 'DELETE', url: '/entities/thing:x', headers: { host: 'localhost' } });
  const before = await traces(sql);

  const refused: [name: string, headers: Record<string, string>, payload?: string][] = [
    ['an empty form of another site', { ...FORM, ...OTHER }],
    ['an empty form, by the browser’s word', { ...FORM, 'sec-fetch-site': 'cross-site' }],
    ['one of another name of the same site', { ...FORM, 'sec-fetch-site': 'same-site' }],
    ['a request without a body', OTHER],
    ['a page without an origin', { origin: 'null' }],
    ['another port of this machine', { origin: 'http://localhost:8080' }],
    ['another scheme would do', { origin: 'https://localhost.evil.example' }],
    ['text that is JSON', { 'content-type': 'text/plain', ...OTHER }, '{}'],
    ['a type that begins as JSON does', { 'content-type': 'application/jsonp', ...OTHER }, '{}'],
    ['several types', { 'content-type': 'text/plain, application/json', ...OTHER }, '{}'],
  ];
  for (const [name, headers, payload] of refused) {
    const answer = await app.inject({
      method: 'POST',
      url: '/entities/thing:x/restore',
      headers: { host: 'localhost', ...headers },
      ...(payload === undefined ? {} : { payload }),
    });
    t.match({ status: answer.statusCode, ...answer.json() }, { status: 415, code: 'unsupported_media_type' }, name);
  }
  for (const method of ['PUT', 'PATCH', 'DELETE'] as const) {
    const answer = await app.inject({ method, url: '/entities/thing:x', headers: { host: 'localhost', ...OTHER } });
    t.equal(answer.statusCode, 415, method);
  }
  t.same(await traces(sql), before, 'and leaves no trace');

  const taken: [name: string, headers: Record<string, string>][] = [
    ['no browser', {}],
    ['a page of the service', { origin: 'http://localhost', 'sec-fetch-site': 'same-origin' }],
    ['a page of the service, of an old browser', { origin: 'http://localhost' }],
    ['who typed it', { 'sec-fetch-site': 'none' }],
    ['a page that was allowed to ask by its browser', { ...JSON_TYPE, ...OTHER, 'sec-fetch-site': 'cross-site' }],
  ];
  for (const [name, headers] of taken) {
    const answer = await app.inject({
      method: 'POST',
      url: '/entities/thing:x/restore',
      headers: { host: 'localhost', ...headers },
    });
    t.equal(answer.statusCode, 200, name);
  }
  t.equal(
    (await app.inject({ url: '/entities/thing:x', headers: { host: 'localhost', ...OTHER } })).statusCode,
    200,
    'a read',
  );

  const asked = await app.inject({
    method: 'OPTIONS',
    url: '/entities/thing:x',
    headers: { host: 'localhost', ...OTHER, 'access-control-request-method': 'PUT' },
  });
  t.same(
    Object.keys(asked.headers).filter((name) => name.startsWith('access-control')),
    [],
    'a browser that asks for a page of another site is not told that it may',
  );

  const hosts: [host: string, status: number][] = [
    ['localhost', 200],
    ['localhost:3000', 200],
    ['LOCALHOST', 200],
    ['clock.example', 200],
    ['evil.example', 421],
    ['evil.example:3000', 421],
    ['localhost.evil.example', 421],
    ['127.0.0.1.evil.example', 421],
  ];
  for (const [host, status] of hosts) {
    for (const url of ['/entities/thing:x', '/health/live']) {
      const answer = await app.inject({ url, headers: { host } });
      t.equal(answer.statusCode, status, `${host}${url}`);
      t.equal(answer.headers['x-content-type-options'], 'nosniff');
      if (status === 421) t.equal(answer.json().code, 'misdirected_request');
    }
  }
  for (const url of ['/', '/nothing', '/%ff', '/docs', '/docs/guide/', '/openapi.yaml', '/metrics', '/entities?x=1'])
    t.equal(
      (await app.inject({ url, headers: { host: 'localhost' } })).headers['x-content-type-options'],
      'nosniff',
      url,
    );
});

t.test('by which names the service goes', async (t) => {
  const loopback = ['localhost', '127.0.0.1', '[::1]'];
  const cases: [env: Record<string, string>, hosts: string[] | null][] = [
    [{}, loopback],
    [{ HOST: '::1' }, loopback],
    [
      { HOST: '127.0.0.2', ALLOWED_HOSTS: 'clock.example, other.example' },
      [...loopback, 'clock.example', 'other.example'],
    ],
    [{ PUBLIC_URL: 'https://clock.example:8443/x' }, [...loopback, 'clock.example']],
    [{ HOST: '0.0.0.0' }, null],
    [{ HOST: '::', PUBLIC_URL: 'https://clock.example' }, null],
    [{ HOST: '0.0.0.0', ALLOWED_HOSTS: 'clock.example' }, [...loopback, 'clock.example']],
  ];
  for (const [env, hosts] of cases) t.same(readConfig(env).hosts, hosts, JSON.stringify(env));
  for (const wrong of ['https://x', 'a:80', 'a b', '*'])
    t.throws(() => readConfig({ ALLOWED_HOSTS: wrong }), { name: 'BadSetting' }, wrong);
});
