import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import t from 'tap';
import { ClocktickProblem, clocktick } from '../../src/client/client.js';
import type { ActivitiesQuery } from '../../src/client/types.js';
import { nameText } from '../../src/ui/core/value-text.js';
import { axe, NO_BROWSER, openTab, picture } from '../helper/browser.js';
import { testService } from '../helper/service.js';
import { readHistory } from '../replay/history.js';
import { linesOf } from '../replay/lines.js';

/* Who changed what, and why, in a real browser: activities are found as the API finds them, and shown with all that each changed. */

const SAMPLE = fileURLToPath(new URL('../fixtures/countries-sample.ndjson.gz', import.meta.url));

/** The links to activities that a page shows, and the actors beside them. */
const foundOn = (page: Page): Promise<{ id: string; who: string; why: string }[]> =>
  page.evaluate(`
    [...document.querySelectorAll('.activities tbody tr')].map((row) => {
      const link = row.querySelector('a[href*="activity="]');
      return { id: new URL(link.href).searchParams.get('activity'), who: row.cells[1].innerText, why: link.innerText };
    })`);

t.test('Activities', { skip: NO_BROWSER }, async (t) => {
  const { app } = await testService(t);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const service = clocktick({ baseUrl: url });
  const open = async (page: Page, query: string) => {
    await page.goto(`${url}/ui/${query}`);
    return page;
  };
  const history = await readHistory(SAMPLE);
  await service.import([...linesOf(history, 'country')].join(''), { source: 'countries', skew: 'shift' });
  await service.entities.create({
    type: 'customer',
    key: 'acme',
    properties: { plan: 'free' },
    activity: { actor: 'monica', reason: 'signed in <May>', metadata: { ticket: 'OPS-1' } },
  });
  const middle = new Date().toISOString();
  await service.entities.patch('customer:acme', {
    properties: { plan: 'team', city: 'Oslo' },
    activity: { metadata: { by: 'itself' } },
  });
  await service.entities.patch('customer:acme', {
    properties: { plan: 'free' },
    activity: { actor: 'monica-deputy', reason: 'back to free' },
  });

  const searches: readonly [query: string, asked: ActivitiesQuery][] = [
    ['', {}],
    ['&actor=Plato', { actor: 'Plato' }],
    ['&prefix=monica', { actorPrefix: 'monica' }],
    ['&reason=areas', { reason: 'areas' }],
    ['&reason=FREE%20back', { reason: 'FREE back' }],
    ['&type=country', { type: 'country' }],
    ['&entity=customer:acme', { entity: 'customer:acme' }],
    ['&entity=customer:acme&changed=city', { entity: 'customer:acme', property: ['city'] }],
    ['&type=country&changed=name&actor=Dorothy', { type: 'country', property: ['name'], actor: 'Dorothy' }],
    [`&since=${middle}`, { from: middle }],
    [`&until=${middle}`, { to: middle }],
  ];

  await t.test('A search finds what the API finds, newest first', async (t) => {
    const page = await openTab(t);
    for (const [query, asked] of searches) {
      await open(page, `?show=activities${query}`);
      await page.locator('.activities tbody tr').first().waitFor();
      const { items } = await service.activities.search(asked).page();
      t.same(
        await foundOn(page),
        items.map(({ id, actor, reason }) => ({
          id,
          who: actor ?? 'nobody said',
          why: reason ?? 'no reason given',
        })),
        query,
      );
      t.ok(items.length > 0);
    }
  });

  await t.test('The form asks, and its search is in the URL', async (t) => {
    const page = await open(await openTab(t), '?show=activities');
    await page.getByLabel('Who', { exact: true }).fill('Dorothy');
    await page.getByLabel('Type', { exact: true }).fill('country');
    await page.getByLabel('Words of the reason').fill('sinks');
    await page.getByLabel('Recorded before').fill('9998-01-01');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.waitForURL(/actor=Dorothy/);
    const { searchParams } = new URL(page.url());
    t.same(Object.fromEntries(searchParams), {
      type: 'country',
      show: 'activities',
      reason: 'sinks',
      actor: 'Dorothy',
      until: '9998-01-01T00:00:00.000000Z',
    });
    await page.getByText('1 activity.').waitFor();
    t.match(await foundOn(page), [{ who: 'Dorothy', why: 'Atlantis sinks' }]);
    t.equal(await page.getByLabel('Who', { exact: true }).inputValue(), 'Dorothy', 'the form says what was asked');
    t.equal(await page.getByLabel('Recorded before').inputValue(), '9998-01-01 00:00:00 UTC');
    await page.getByText('What was imported was recorded when the import ran').waitFor();
    const type = page.getByRole('main').getByRole('link', { name: 'country', exact: true });
    t.equal(await type.getAttribute('href'), './?type=country', 'and leads back to what it is about');
    await page.getByRole('link', { name: 'All', exact: true }).click();
    await page.getByText('15 activities.').waitFor();
  });

  await t.test('What is wrong with a search is said at its field', async (t) => {
    for (const [label, text, asked] of [
      ['Property', 'plan', { property: ['plan'] }],
      ['Entity', 'nobody', { entity: 'nobody' }],
      ['Type', 'No Type', { type: 'No Type' }],
    ] as const) {
      const page = await open(await openTab(t, { forgives: /status of 400 / }), '?show=activities');
      const field = page.getByLabel(label, { exact: true });
      await field.fill(text);
      await page.getByRole('button', { name: 'Search' }).click();
      const refusal = await service.activities
        .search(asked)
        .page()
        .catch((error: unknown) => error);
      if (!(refusal instanceof ClocktickProblem)) throw refusal;
      await page.getByText(refusal.problem.detail).waitFor();
      t.equal(await page.locator('.search .fault').innerText(), refusal.problem.detail, label);
      t.equal(await page.getByLabel(label, { exact: true }).getAttribute('aria-invalid'), 'true');
      t.equal(await page.locator('.failure').count(), 0, 'and not twice');
    }
    const page = await open(await openTab(t), '?show=activities');
    await page.getByLabel('Recorded from').fill('last summer');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByText('That is no instant').waitFor();
    t.notMatch(page.url(), /since/);
  });

  await t.test('An activity says who, when and why, and what it changed, as the API does', async (t) => {
    const { items } = await service.activities.search({}).page();
    const page = await openTab(t);
    for (const { id } of items.slice(0, 8)) {
      await open(page, `?activity=${id}`);
      const activity = await service.activities.get(id, { include: 'changes' });
      await page.locator('.activity .facts').waitFor();
      const facts = await page.locator('.facts dd').allInnerTexts();
      t.equal(facts[0], activity.actor ?? 'nobody said');
      t.equal(facts[1], activity.reason ?? 'nobody said');
      t.equal(await page.locator('.facts time').getAttribute('datetime'), activity.recordedAt);
      const shown = await page.evaluate<{ title: string; at: string; properties: string[]; href: string }[]>(`
        [...document.querySelectorAll('.done')].map((done) => ({
          title: done.querySelector('h3').innerText,
          at: done.querySelector('time').dateTime,
          properties: [...done.querySelectorAll('dt')].map((name) => name.innerText),
          href: done.querySelector('a').href,
        }))`);
      const said = { created: '+ created', updated: '~ changed', deleted: '− deleted', restored: '+ restored' };
      t.match(
        shown.map(({ title, at, properties }) => ({ title, at, properties })),
        activity.ticks.map(({ op, type, key, tick, at, changes }) => ({
          title: `${said[op]} ${type}:${key} tick ${tick}`,
          at,
          properties: Object.keys(changes ?? {}).map((name) => nameText(name)),
        })),
      );
      t.equal(shown.length, activity.ticks.length);
      const [tick] = activity.ticks;
      const href = new URL(shown[0]?.href ?? '').searchParams;
      t.same([href.get('entity'), href.get('at')], [`${tick?.type}:${tick?.key}`, `${tick?.tick}`], 'links lead there');
    }
  });

  await t.test('An activity that nobody knows is said to be unknown', async (t) => {
    const page = await open(
      await openTab(t, { forgives: /status of 404 / }),
      '?activity=01a22bda-01fd-7034-92e3-402b515c3149',
    );
    await page.locator('.failure').waitFor();
    t.match(await page.locator('.failure').innerText(), /activity_not_found/);
  });

  await t.test('Of an activity with many ticks, and of many activities, pages are read on demand', async (t) => {
    const operations = Array.from({ length: 120 }, (_, n) => ({
      op: 'create' as const,
      type: 'thing',
      key: `t${n}`,
      properties: { n },
    }));
    const { activity } = await service.batch({ activity: { actor: 'many', reason: 'many at once' }, operations });
    const page = await open(await openTab(t), `?activity=${activity?.id}`);
    for (const count of [50, 100]) {
      await page.getByText(`${count} ticks, and there are more.`).waitFor();
      t.equal(await page.locator('.done').count(), count);
      await page.getByRole('button', { name: 'Load more' }).click();
    }
    await page.getByText('120 ticks.').waitFor();
    const keys = await page.locator('.done h3 a').allInnerTexts();
    t.equal(new Set(keys).size, 120, 'each once');

    for (let n = 0; n < 110; n++) await service.activities.create({ actor: 'busy', reason: `turn ${n}` });
    const list = await open(await openTab(t), '?show=activities&actor=busy');
    await list.getByText('100 activities, and there are more.').waitFor();
    await list.getByRole('button', { name: 'Load more' }).click();
    await list.getByText('110 activities.').waitFor();
    t.same(
      (await foundOn(list)).map(({ why }) => why),
      Array.from({ length: 110 }, (_, n) => `turn ${109 - n}`),
    );
  });

  await t.test('A link shows the same again, and axe finds nothing', async (t) => {
    const { items } = await service.activities.search({ reason: 'names become' }).page();
    for (const scheme of ['light', 'dark'] as const)
      for (const width of [1280, 360]) {
        const page = await openTab(t, { scheme, width });
        for (const [name, query] of [
          ['activities', '?show=activities&type=country&actor=Dorothy'],
          ['activity', `?activity=${items[0]?.id}`],
        ] as const) {
          await open(page, query);
          await page.waitForLoadState('networkidle');
          const shown = await page.locator('main').innerText();
          await page.reload();
          await page.waitForLoadState('networkidle');
          t.equal(await page.locator('main').innerText(), shown);
          t.same(await axe(page), [], `${name}, ${scheme}, ${width}`);
          await picture(page, `${name}-${scheme}-${width}`);
        }
      }
  });
});
