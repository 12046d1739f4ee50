import t from 'tap';
import { buildApp } from '../../../src/app.js';
import { testDatabase } from '../../helper/database.js';
import { converse, portOf } from '../../helper/wire.js';

const BASE = 'https://example.org/clocktick';

t.test('where the service knows how it is reached, its URLs are absolute', async (t) => {
  const { storage } = await testDatabase(t);
  const app = await buildApp({ storage, rules: { requireCondition: false }, logger: false, publicUrl: BASE });
  t.teardown(() => app.close());
  const payload = { type: 'friend', key: 'rachel', properties: { a: 1 } };
  const made = await app.inject({ method: 'POST', url: '/entities', payload });
  const path = String(made.headers.location).slice(BASE.length);
  t.match(path, /^\/entities\/[-0-9a-f]{36}$/);
  t.equal(made.headers.location, `${BASE}${path}`);
  await app.inject({ method: 'PATCH', url: path, payload: { properties: { a: '</x>' } } });

  const date = { 'accept-datetime': new Date().toUTCString() };
  for (const url of [
    `${path}?asOf=1`,
    '/entities?type=friend&limit=1',
    '/entities?ids=friend:rachel',
    `${path}/history?limit=1`,
  ]) {
    const { statusCode, headers, body } = await app.inject({ url, headers: date });
    t.equal(statusCode, 200, url);
    const targets = [...String(headers.link).matchAll(/<([^>]*)>/g)].map(([, target]) => target);
    t.ok(targets.length > 0 && targets.every((target) => target?.startsWith(`${BASE}/entities`)), `${url}: ${targets}`);
    const place = headers['content-location'];
    if (place !== undefined) t.ok(String(place).startsWith(`${BASE}/entities`), String(place));
    t.notMatch(body, BASE, 'data stays as it is');
  }
  const now = await app.inject(path);
  t.match(now.body, '"a": "</x>"');

  const timemap = await app.inject(`${path}/timemap?limit=1`);
  const targets = [...timemap.body.matchAll(/<([^>]*)>/g)].map(([, target]) => target);
  t.ok(targets.length === 5 && targets.every((target) => target?.startsWith(`${BASE}/`)), targets.join(' '));

  const problems = ['/entities/friend:nobody', '/nothing', '/entities/friend:%'];
  for (const url of problems) {
    const { type, code } = (await app.inject(url)).json();
    t.equal(type, `${BASE}/docs/problems/${code}`, url);
  }
  t.match(app.swagger(), { servers: [{ url: BASE }] });
  await app.listen({ port: 0, host: '127.0.0.1' });
  for (const sent of ['nonsense\r\n\r\n', 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n']) {
    const [answer] = await converse(portOf(app), [sent]);
    t.equal(answer?.body.type, `${BASE}/docs/problems/${answer?.body.code}`);
  }
});
