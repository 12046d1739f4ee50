import t from 'tap';
import { object, problem, testService, text } from '../../helper/service.js';

t.test('the address that the start prints says where to go', async (t) => {
  const { call } = await testService(t);
  const html = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8';
  const cases: [accept: string | undefined, type: string][] = [
    [undefined, 'application/json'],
    ['', 'application/json'],
    ['*/*', 'application/json'],
    ['application/json', 'application/json'],
    ['application/json, text/html;q=0.5', 'application/json'],
    [html, 'text/html'],
    ['text/html', 'text/html'],
  ];
  for (const [accept, type] of cases) {
    const answer = await call('GET', '/', undefined, accept === undefined ? {} : { accept });
    t.match(answer, { status: 200, headers: { vary: 'accept', 'cache-control': 'no-cache' } }, String(accept));
    t.ok(answer.headers['content-type']?.startsWith(type), `${accept}: ${type}`);
  }

  const links = object((await call('GET', '/')).body.links);
  const page = (await call('GET', '/', undefined, { accept: html })).text;
  for (const name of ['ui', 'docs', 'guide', 'openapi', 'health', 'entities', 'types', 'activities']) {
    const target = text(links[name]);
    t.equal((await call('GET', target)).status, 200, `${name} is there`);
    t.match(page, `<a href=".${target}">`, 'and the page links to it, wherever a proxy puts it');
  }
  t.match((await call('GET', '/')).headers.link, '</openapi.yaml>; rel="service-desc"', 'RFC 8631');
  t.match(await call('POST', '/', {}), { status: 405, headers: { allow: 'GET, HEAD, OPTIONS' } });
  t.match(await call('GET', '/?x=1'), problem(400, 'unknown_parameter'));
});
