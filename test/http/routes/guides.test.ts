import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { readGuides } from '../../../src/http/answers/guide-pages.js';
import { PROBLEMS, typeOf } from '../../../src/http/protocol/problems.js';
import { problem, testService } from '../../helper/service.js';

t.test('the guides are served as pages', async (t) => {
  const { app, call } = await testService(t);

  await t.test('with a policy that lets nothing run', async (t) => {
    const { status, headers, text } = await call('GET', '/docs/guide/calling');
    t.equal(status, 200);
    t.equal(headers['content-type'], 'text/html; charset=utf-8');
    t.equal(headers['x-content-type-options'], 'nosniff');
    t.match(headers['content-security-policy'], /^default-src 'none'; style-src 'sha256-[\w+/]+='; base-uri 'none'; /);
    t.notMatch(text, /<script|<iframe|<img| on\w+=| style=/);
    t.match(text, '<h1>Calling the service</h1>');
    t.match(text, '<h2 id="retrying"><a href="#retrying">Retrying</a></h2>');
    t.match(text, '<a href="time#collections-as-of-an-instant">', 'links between guides lead to pages');
    t.match(text, '<a href="calling" aria-current="page">Calling the service</a>');
    t.match(text, /<a rel="prev" href="tour">.*<a rel="next" href="clients">/);
    t.match((await call('GET', '/docs/guide/')).text, '<h1>clocktick</h1>');
  });

  await t.test('under an entity tag', async (t) => {
    const { headers } = await call('GET', '/docs/guide/tour');
    t.equal(headers['cache-control'], 'no-cache');
    const again = await call('GET', '/docs/guide/tour', undefined, { 'if-none-match': headers.etag ?? '' });
    t.match(again, { status: 304, text: '', headers: { etag: headers.etag, 'cache-control': 'no-cache' } });
    t.equal((await call('GET', '/docs/guide/tour', undefined, { 'if-none-match': '"other"' })).status, 200);
    t.not((await call('GET', '/docs/guide/time')).headers.etag, headers.etag);
    const head = await call('HEAD', '/docs/guide/tour');
    t.match(head, {
      status: 200,
      text: '',
      headers: { etag: headers.etag, 'content-length': headers['content-length'] },
    });
  });

  await t.test('and nothing else is', async (t) => {
    for (const name of ['nothing', 'index', 'tour.md', '..%2F..%2Fpackage.json', 'constructor']) {
      t.match(await call('GET', `/docs/guide/${name}`), problem(404, 'route_not_found'), name);
    }
    for (const url of ['/docs/guide/', '/docs/guide/tour', '/docs/guide']) {
      const refused = { ...problem(405, 'method_not_allowed'), headers: { allow: 'GET, HEAD, OPTIONS' } };
      t.match(await call('POST', url), refused, url);
    }
    t.match(await call('GET', '/docs/guide/tour?page=2'), problem(400, 'unknown_parameter'));
    t.match(await call('GET', '/docs/guide'), { status: 308, headers: { location: 'guide/' } });
  });

  await t.test('the type of every problem leads to what it means', async (t) => {
    const page = (await call('GET', '/docs/guide/problems')).text;
    for (const code of Object.keys(PROBLEMS)) {
      t.match(await call('GET', typeOf(code)), { status: 303, headers: { location: `../guide/problems#${code}` } });
      t.match(page, ` id="${code}"`);
    }
    const { body } = await call('GET', '/entities/friend:nobody');
    t.equal(body.type, '/docs/problems/entity_not_found');
    for (const code of ['nothing', 'toString', '__proto__'])
      t.match(await call('GET', typeOf(code)), problem(404, 'route_not_found'));
    t.match(await call('GET', '/docs/problems'), { status: 308, headers: { location: 'guide/problems' } });
    t.equal((await app.inject('/docs/')).statusCode, 200, 'the pages of the OpenAPI document are still there');
  });
});

t.test('a page has no HTML but its own', async (t) => {
  const { pages } = await converted(t, {
    'index.md': '# T\n\n- [One](one.md)\n',
    'one.md': [
      '# One <script>alert(1)</script>\n\n## Two `<b>` & "three": *four* <i>\n',
      '<script>alert(1)</script>\n\n<div onclick="x()">\n\n</div>\n\ntext <img src=x onerror=alert(1)> text\n',
      '[a](javascript:alert(1)) [b](JAVASCRIPT:x) [c](data:text/html,x) [d](https://example.com/?a=1&b="2") [e](../x "t")\n',
      '![alt](x.png) `<script>`\n\n```html\n<script>\n```\n',
    ].join('\n'),
  });
  const html = pages.get('one')?.html.replace(/<style>[\s\S]*?<\/style>/, '') ?? '';
  const tags = [...html.matchAll(/<([a-z]\w*)/g)].map(([, name]) => name);
  t.same(
    tags.filter((name) => ['script', 'img', 'div', 'i', 'b'].includes(name ?? '')),
    [],
  );
  t.match(html, '&lt;script&gt;alert(1)&lt;/script&gt;', 'it is shown as text');
  t.same(
    [...html.matchAll(/<a href="([^"]*)"/g)]
      .map(([, href]) => href)
      .filter((href) => !/^(?:\.\/|\.\.\/|\.\.\/\.\.\/ui\/|one|#.*)$/.test(href ?? '')),
    ['https://example.com/?a=1&amp;b=&quot;2&quot;', '../x'],
    'and nothing that runs is linked',
  );
});

t.test('a guide that the index leaves out, or without a title, is a mistake', async (t) => {
  await t.rejects(converted(t, { 'index.md': '# T\n', 'lost.md': '# Lost\n' }), {
    message: /does not link to lost\.md/,
  });
  await t.rejects(converted(t, { 'index.md': '# T\n\n[one](one.md)\n', 'one.md': 'text\n' }), {
    message: 'one.md has no title',
  });
});

async function converted(t: Test, files: Record<string, string>) {
  const folder = await mkdtemp(join(tmpdir(), 'clocktick-guides-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const [name, text] of Object.entries({ 'style.css': '', ...files })) await writeFile(join(folder, name), text);
  return readGuides(pathToFileURL(`${folder}/`));
}
