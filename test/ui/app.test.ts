import t from 'tap';
import { z } from 'zod';
import { clocktick } from '../../src/client/client.js';
import { axe, NO_BROWSER, openTab, picture } from '../helper/browser.js';
import { testService } from '../helper/service.js';

/* What all of the page has in common, in a real browser: where one begins, its address, its keys, what it says when something is wrong. */

const problemOf = (json: unknown) => z.object({ detail: z.string() }).parse(json);

t.test('the page', { skip: NO_BROWSER }, async (t) => {
  const { app } = await testService(t);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const service = clocktick({ baseUrl: url });

  await t.test('a service that remembers nothing yet says how to begin', async (t) => {
    const page = await openTab(t);
    await page.goto(`${url}/ui/`);
    await page.getByText('Nothing yet.').waitFor();
    t.equal(await page.getByRole('link', { name: 'The tour' }).getAttribute('href'), '../docs/guide/tour');
  });

  for (const key of ['rachel', 'monica'])
    await service.entities.create({
      type: 'friend',
      key,
      properties: { name: key },
      activity: { actor: 'ross', reason: `knows ${key}` },
    });
  await service.types.put('show', { schema: { properties: { seasons: { type: 'integer' } } } });

  await t.test('one finds types with their counts, and what happened last', async (t) => {
    const page = await openTab(t);
    await page.goto(`${url}/ui/`);
    await page.getByRole('table').waitFor();
    const rows = (await page.getByRole('row').allInnerTexts()).map((row) => row.replaceAll(/\s+/g, ' ').trim());
    t.same(rows.slice(1), ['friend 2 none', 'show 0 tick 1']);
    await page.getByRole('listitem').first().waitFor();
    t.match((await page.getByRole('listitem').allInnerTexts())[0], /ross made 1 tick “knows monica”/);
    t.equal(await page.title(), 'Find · clocktick');

    await page.evaluate('window.isSame = true');
    await page.getByRole('link', { name: 'friend', exact: true }).click();
    await page.getByRole('heading', { level: 1, name: 'friend' }).waitFor();
    t.equal(page.url(), `${url}/ui/?type=friend`);
    t.equal(await page.evaluate('document.activeElement.id'), 'main', 'who reads by ear is told of it');
    await page.goBack();
    await page.getByRole('heading', { level: 1, name: 'What does this service remember?' }).waitFor();
    t.equal(await page.evaluate('window.isSame'), true, 'and the page was not loaded anew');
  });

  await t.test('an entity is opened by its name', async (t) => {
    const page = await openTab(t);
    await page.goto(`${url}/ui/`);
    await page.getByLabel('Entity: type:key or UUID').fill(' friend:rachel ');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'rachel' }).waitFor();
    t.equal(page.url(), `${url}/ui/?entity=friend:rachel`);
  });

  await t.test('? lists the keys, Escape closes the list, and where one types it is a letter', async (t) => {
    const page = await openTab(t);
    await page.goto(`${url}/ui/`);
    await page.getByRole('table').waitFor();
    await page.keyboard.press('?');
    const dialog = page.getByRole('dialog', { name: 'Keys' });
    await dialog.getByText('to the tick before, and after').waitFor();
    t.same(await axe(page), []);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await page.getByLabel('Entity: type:key or UUID').press('?');
    t.equal(await dialog.count(), 0);
  });

  await t.test('who asks for no entity is led to those whose keys begin like it', async (t) => {
    const cases: [entity: string, links: Record<string, string>][] = [
      ['friend:mon', { friend: './?type=friend&prefix=mon' }],
      ['mon', { friend: './?type=friend&prefix=mon', show: './?type=show&prefix=mon' }],
      ['fiend:mon', { friend: './?type=friend&prefix=mon', show: './?type=show&prefix=mon' }],
      ['friend', { friend: './?type=friend' }],
    ];
    for (const [entity, links] of cases) {
      const page = await openTab(t, { forgives: /40[04]/ });
      await page.goto(`${url}/ui/?entity=${entity}`);
      const offered = page.locator('main > p a');
      await offered.first().waitFor();
      const found = await offered.all();
      t.same(
        Object.fromEntries(
          await Promise.all(found.map(async (link) => [await link.innerText(), await link.getAttribute('href')])),
        ),
        links,
        entity,
      );
    }
  });

  await t.test('colours and instants are as the reader chose, and stay so from page to page', async (t) => {
    const page = await openTab(t);
    await page.goto(`${url}/ui/`);
    const isDark = () => page.waitForFunction('getComputedStyle(document.body).backgroundColor === "rgb(20, 23, 27)"');
    await page.getByLabel('Colours').selectOption('dark');
    await isDark();
    t.same(await axe(page), []);
    const first = page.getByRole('listitem').first().locator('time');
    const instant = await first.getAttribute('datetime');
    t.match(await first.innerText(), /UTC$/);
    await page.getByLabel('Instants in').selectOption('relative');
    t.match(await first.innerText(), /ago|now/);
    await page.getByLabel('Instants in').selectOption('local');
    t.notMatch(await first.innerText(), /UTC|ago/);
    t.equal(await first.getAttribute('datetime'), instant, 'a program reads the whole instant');
    await page.getByRole('link', { name: 'friend', exact: true }).click();
    await page.getByRole('heading', { level: 1, name: 'friend' }).waitFor();
    t.same(Object.fromEntries(new URL(page.url()).searchParams), { type: 'friend', zone: 'local', theme: 'dark' });
    await page.reload();
    await t.resolves(isDark(), 'a link opens what its sender saw');
  });

  await t.test('what the service refuses is said in its words', async (t) => {
    const cases: [query: string, code: string][] = [
      ['entity=friend:nobody', 'entity_not_found'],
      ['entity=nothing', 'invalid_id'],
      ['activity=01a1fbba-b75f-7646-92a3-d4a3c62ecb9b', 'activity_not_found'],
    ];
    for (const [query, code] of cases) {
      const page = await openTab(t, { forgives: /40[04]/ });
      const answered = page.waitForResponse((answer) => answer.status() >= 400);
      await page.goto(`${url}/ui/?${query}`);
      const { detail } = problemOf(await (await answered).json());
      await page.getByRole('alert').first().waitFor();
      t.match(await page.getByRole('alert').first().innerText(), detail, query);
      const link = page.getByRole('link', { name: code }).first();
      t.equal(await link.getAttribute('href'), `../docs/problems/${code}`, 'whatever path is before it');
      t.same(await axe(page), []);
    }
  });

  await t.test('what no call can name is said, too', async (t) => {
    for (const query of ['entity=..', 'entity=.', 'activity=..']) {
      const page = await openTab(t);
      await page.goto(`${url}/ui/?${query}`);
      await page.getByRole('alert').first().waitFor();
      t.match(await page.getByRole('alert').first().innerText(), 'cannot stand in a path', query);
      t.equal(await page.locator('.loading').count(), 0, `${query}: nothing is read for ever`);
      t.same(await axe(page), []);
    }
  });

  await t.test('a problem is explained beside the page, wherever its type says that is', async (t) => {
    const page = await openTab(t, { forgives: /404/ });
    await page.route(/\/entities\//, async (route) => {
      const answer = await route.fetch();
      const text = (await answer.text()).replace('{"type":"', '{"type":"https://example.org/clocktick');
      await route.fulfill({ response: answer, body: text });
    });
    await page.goto(`${url}/ui/?entity=friend:nobody`);
    const link = page.getByRole('link', { name: 'entity_not_found' }).first();
    t.equal(await link.getAttribute('href'), '../docs/problems/entity_not_found');
  });

  await t.test('a lost connection is seen, and what was asked meanwhile is answered once it is back', async (t) => {
    const page = await openTab(t, { forgives: /ERR_CONNECTION_REFUSED|ERR_FAILED/ });
    await page.goto(`${url}/ui/`);
    await page.getByRole('table').waitFor();
    let isLost = true;
    await page.route(/\/(types|entities|activities|health)/, (route) =>
      isLost ? route.abort('connectionrefused') : route.continue(),
    );
    await page.getByRole('link', { name: 'Activities', exact: true }).click();
    await page.getByText('The service does not answer. This page asks until it does').waitFor();
    await picture(page, 'lost');
    t.same(await axe(page), []);
    isLost = false;
    await page.getByText('knows monica').waitFor();
    t.equal(await page.getByText('This page asks until it does').count(), 0);

    isLost = true;
    await page.getByRole('link', { name: 'Types', exact: true }).click();
    await page.getByText('This page asks until it does').waitFor();
    await page.locator('.failure').nth(1).waitFor();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    for (let n = 0; n < 2; n++) await page.waitForRequest(/health/);
    t.same([...new Set(asked)], ['/health/ready'], 'lost again, it asks only whether the service is there');
    isLost = false;
    await page.getByRole('table').waitFor();
  });

  await t.test('of many types those are shown whose names begin as the address says', async (t) => {
    for (let n = 0; n < 21; n++) await service.entities.create({ type: `kind${n}`, properties: {} });
    const page = await openTab(t);
    await page.goto(`${url}/ui/`);
    const types = async () => (await page.getByRole('rowheader').allInnerTexts()).map((name) => name.trim());
    await page.getByLabel('Types that begin with').fill('kind1');
    await page.waitForURL(/prefix=kind1$/);
    const shown = ['kind1', ...Array.from({ length: 10 }, (_, n) => `kind1${n}`)];
    t.same(await types(), shown);
    await page.reload();
    await page.getByRole('table').waitFor();
    t.same(await types(), shown);
  });
});
