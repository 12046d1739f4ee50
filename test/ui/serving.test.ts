import { once } from 'node:events';
import { createServer, request } from 'node:http';
import t, { type Test } from 'tap';
import { axe, NO_BROWSER, openTab, picture } from '../helper/browser.js';
import { testService } from '../helper/service.js';

/* The page as it is served, in a browser: what it shows has tests of its own. */

t.test('the page in a browser', { skip: NO_BROWSER }, async (t) => {
  const { app } = await testService(t);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const prefixed = await behindPath(t, url, '/some/where');

  for (const [where, base] of [
    ['as it is', url],
    ['behind a proxy that adds a path', prefixed],
  ] as const)
    for (const scheme of ['light', 'dark'] as const)
      for (const width of [1280, 360])
        await t.test(`${where}, ${scheme}, ${width} pixels wide`, async (t) => {
          const page = await openTab(t, { scheme, width });
          const answer = await page.goto(`${base}/ui/`);
          t.equal(answer?.status(), 200);
          t.match(answer?.headers()['content-security-policy'], "default-src 'none'");
          await page.getByRole('heading', { level: 1 }).waitFor();
          t.same(await axe(page), []);
          await picture(page, `serving-${scheme}-${width}`);
        });

  await t.test('its links and its address lead to where it is, behind a path too', async (t) => {
    const page = await openTab(t);
    await page.goto(`${prefixed}/ui?type=country`);
    t.equal(page.url(), `${prefixed}/ui/?type=country`);
    await page.goto(`${prefixed}/`);
    await page.locator('a[href="./ui/"]').click();
    t.equal(page.url(), `${prefixed}/ui/`);
    await page.goto(`${prefixed}/docs/guide/tour`);
    await page.locator('a[href="../../ui/"]').click();
    t.equal(page.url(), `${prefixed}/ui/`);
  });

  await t.test('what its policy forbids does not run, and a test of the page is told', async (t) => {
    const told: string[] = [];
    const page = await openTab(t, { forgives: /Content Security Policy|\/elsewhere\.png csp$/ });
    page.on('console', (message) => told.push(message.text()));
    await page.goto(`${url}/ui/`);
    const last = page.waitForEvent('console', (message) => message.text().includes('elsewhere.png'));
    await page.evaluate(`{
      const script = document.createElement('script');
      script.textContent = 'document.title = "inline"';
      document.body.append(script);
      const styled = '<p style="color: rgb(255, 0, 0)" id="styled">text</p>';
      document.body.insertAdjacentHTML('beforeend', styled + '<img src="http://127.0.0.1:9/elsewhere.png">');
    }`);
    await last;
    t.not(await page.title(), 'inline');
    t.not(await page.evaluate('getComputedStyle(document.querySelector("#styled")).color'), 'rgb(255, 0, 0)');
    for (const directive of ["script-src 'self'", "style-src 'self'", "img-src 'self' data:"])
      t.ok(
        told.some((text) => text.includes(directive)),
        directive,
      );
    t.match((await axe(page)).join(), /image-alt: .* at img/, 'and so is what some people cannot perceive');
  });
});

/** A proxy that passes on what comes under a path, without it. Gives the URL of the service behind it. */
async function behindPath(t: Test, url: string, path: string): Promise<string> {
  const target = new URL(url);
  const server = createServer((incoming, outgoing) => {
    const { method, headers } = incoming;
    if (!incoming.url?.startsWith(`${path}/`) && !incoming.url?.startsWith(`${path}?`)) {
      outgoing.writeHead(404).end();
      return;
    }
    const passed = request(
      { host: target.hostname, port: target.port, method, headers, path: incoming.url.slice(path.length) || '/' },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    incoming.pipe(passed);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}${path}`;
}
