import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { readUi } from '../../../src/http/answers/ui-files.js';
import { problem, testService } from '../../helper/service.js';

/* The page as `npm run build` has left it, which a run of all tests begins with. */

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

t.test('the page is served', async (t) => {
  const { call } = await testService(t);
  const page = await call('GET', '/ui/');

  await t.test('with a policy that lets nothing in from elsewhere', async (t) => {
    t.equal(page.status, 200);
    t.match(page.headers, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-cache',
    });
    t.notMatch(page.text, /<style| style=| on\w+=|<script(?![^>]* src=)/, 'nothing of it is inline');
    t.notMatch(page.text, /(?:src|href)="(?:\/|https?:)/, 'and it works behind a path');
  });

  await t.test('with any query, which says what it shows', async (t) => {
    const shown = await call('GET', '/ui/?type=country&where=%7B%22a%22%3A1%7D&at=2012-06-06T18:40:00Z&x=1');
    t.match(shown, { status: 200, text: page.text });
    for (const query of ['', '?type=country', '?entity=country%3AFR&at=3', '?a=//example.org&b=%F0%9F%98%80'])
      t.match(await call('GET', `/ui${query}`), { status: 308, headers: { location: `ui/${query}` } });
    t.match(await call('GET', '/ui?a=%ff'), problem(400, 'invalid_url'));
  });

  await t.test('its parts for ever, by names that say what is in them', async (t) => {
    const names = [...page.text.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, name]) => name ?? '');
    t.same(names.map((name) => name.replace(/^.*\./, '')).sort(), ['css', 'js', 'svg']);
    for (const name of names) {
      const { status, headers } = await call('GET', `/ui/${name}`);
      t.equal(status, 200, name);
      t.match(headers, {
        'cache-control': 'max-age=31536000, immutable',
        'content-security-policy': POLICY,
        'x-content-type-options': 'nosniff',
      });
      t.match(headers['content-type'], /^(?:text\/(?:css|javascript); charset=utf-8|image\/svg\+xml)$/);
    }
    for (const name of await readdir(new URL('../../../dist/ui/', import.meta.url)))
      if (name !== 'index.html') t.equal((await call('GET', `/ui/${name}`)).status, 200, name);
    t.match((await call('GET', '/ui/licenses.md')).headers, { 'cache-control': 'no-cache' });
  });

  await t.test('under an entity tag', async (t) => {
    const { headers } = page;
    const again = await call('GET', '/ui/?type=other', undefined, { 'if-none-match': headers.etag ?? '' });
    t.match(again, { status: 304, text: '', headers: { etag: headers.etag, 'cache-control': 'no-cache' } });
    t.equal((await call('GET', '/ui/', undefined, { 'if-none-match': '"other"' })).status, 200);
    const { etag, 'content-length': length } = headers;
    t.match(await call('HEAD', '/ui/'), { status: 200, text: '', headers: { etag, 'content-length': length } });
  });

  await t.test('and nothing else is', async (t) => {
    for (const name of ['nothing', 'index.html', '..%2F..%2Fpackage.json', '%2e%2e/main.js', 'constructor', 'a/b'])
      t.match(await call('GET', `/ui/${name}`), problem(404, 'route_not_found'), name);
    t.match(await call('GET', '/ui/licenses.md?page=2'), problem(400, 'unknown_parameter'));
    for (const url of ['/ui', '/ui/', '/ui/licenses.md']) {
      const refused = { ...problem(405, 'method_not_allowed'), headers: { allow: 'GET, HEAD, OPTIONS' } };
      t.match(await call('POST', url), refused, url);
    }
  });
});

t.test(
  'a page that has not been built is none, and a file of which nobody says what it is, is a mistake',
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'clocktick-ui-'));
    t.teardown(() => rm(folder, { recursive: true }));
    const read = () => readUi(pathToFileURL(`${folder}/`));
    t.equal(await readUi(pathToFileURL(`${folder}/nowhere/`)), null);
    await writeFile(join(folder, 'main-AbCd_-12.js'), '');
    t.equal(await read(), null);
    await writeFile(join(folder, 'index.html'), '<!doctype html>');
    t.same([...((await read()) ?? [])].map(([name, { isFixed }]) => [name, isFixed]).sort(), [
      ['', false],
      ['main-AbCd_-12.js', true],
    ]);
    await writeFile(join(folder, 'photo.jpg'), '');
    await t.rejects(read(), { message: /photo\.jpg/ });
  },
);
