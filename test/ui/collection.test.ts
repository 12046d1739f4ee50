import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { type Clocktick, ClocktickProblem, clocktick } from '../../src/client/client.js';
import type { ComparedEntity, EntityOfPage } from '../../src/client/types.js';
import { nameText, valueText } from '../../src/ui/core/value-text.js';
import { axe, NO_BROWSER, openTab, picture } from '../helper/browser.js';
import { testService } from '../helper/service.js';
import { readHistory } from '../replay/history.js';
import { linesOf } from '../replay/lines.js';

/*
 * The pages of a type in a real browser, over a history of countries: what they show is what the API answers, whatever is asked.
 */

const SAMPLE = fileURLToPath(new URL('../fixtures/countries-sample.ndjson.gz', import.meta.url));
/** The whole history of countries, where it is at hand. */
const WHOLE = process.env.COUNTRIES_HISTORY;

/** The page over a service of its own. `open` shows what a query says, in a tab of the test, or in one that is open. */
async function siteOf(t: Test) {
  const { app } = await testService(t);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const open = async (tab: Page, query: string) => {
    await tab.goto(`${url}/ui/${query}`);
    return tab;
  };
  return { service: clocktick({ baseUrl: url }), open };
}
type Site = Awaited<ReturnType<typeof siteOf>>;

/** What the browser says of an answer of 400, where a test is about one. */
const REFUSED = /status of 400 \(Bad Request\)/;

/** How many values of each instant the page asks for, and what it calls all others. */
const MOST_FREQUENT = 12;
const OTHERS = 'all other values';

/** Imports commits as countries. */
async function importCountries(service: Clocktick, file: string): Promise<void> {
  const lines = [...linesOf(await readHistory(file), 'country')].join('');
  await service.import(lines, { source: 'countries', skew: 'shift' });
}

/** All entities of a collection, read page by page. */
async function all<Item>(listing: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of listing) items.push(item);
  return items;
}

/** The texts of a table's cells, row by row, its head first. */
const cellsOf = (page: Page, table: string): Promise<string[][]> =>
  page.evaluate<string[][]>(
    `[...document.querySelectorAll(${JSON.stringify(`${table} tr`)})].map((row) => [...row.cells].map((cell) => cell.innerText.trim()))`,
  );

/** What the table of entities shows of each: its key, tick, and by property the text of its value. */
async function shownEntities(page: Page) {
  const [head = [], ...rows] = await cellsOf(page, 'table.entities');
  return rows.map(([key = '', tick = '', , ...values]) => ({
    key,
    tick: Number(tick),
    values: Object.fromEntries(values.flatMap((value, n) => (value === '' ? [] : [[head[n + 3] ?? '', value]]))),
  }));
}

/** The same of entities as the API has them. */
const expected = (entities: readonly EntityOfPage[]) =>
  entities.map(({ id, key = id, tick, deleted, properties }) => ({
    key: deleted ? `${key} − deleted` : key,
    tick,
    values: Object.fromEntries(
      Object.entries(properties).map(([name, value]) => [nameText(name), valueText(value, 40)]),
    ),
  }));

/** The moment of the URL. */
const momentOf = (page: Page): string | null => new URL(page.url()).searchParams.get('at');

t.test('The countries of a sample', { skip: NO_BROWSER }, async (t) => {
  const site = await siteOf(t);
  const { service } = site;
  await importCountries(service, SAMPLE);
  const commits = (await readHistory(SAMPLE)).map(({ at = '' }) => at.replace('Z', '000Z'));

  await t.test('The table is the collection as of the moment', (t) => tableOf(t, site, [...commits, undefined]));

  await t.test('Deleted ones are shown where they are asked for', async (t) => {
    const asOf = commits[4];
    const page = await openTab(t);
    for (const deleted of ['include', 'only'] as const) {
      await site.open(page, `?type=country&at=${asOf}&deleted=${deleted}`);
      await page.locator('table.entities tbody tr').first().waitFor();
      const { items } = await service.entities.list({ type: 'country', asOf, deleted }).page();
      t.same(await shownEntities(page), expected(items), deleted);
      t.ok(items.some((entity) => entity.deleted));
    }
  });

  await t.test('The keys go from change to change, and the buttons do', async (t) => {
    const page = await site.open(await openTab(t), '?type=country');
    const button = page.getByRole('button', { name: 'change before' });
    await button.click({ trial: true });
    const goes = async (what: () => Promise<void>, at: string | null, where: string) => {
      await what();
      await page.waitForURL((url) => url.searchParams.get('at') === at);
      t.equal(momentOf(page), at, where);
    };
    const backwards = commits.toReversed();
    for (const at of backwards.slice(1, 4)) await goes(() => page.keyboard.press('ArrowLeft'), at, 'left');
    await goes(() => button.click(), backwards[4] ?? '', 'the button');
    await goes(() => page.keyboard.press('ArrowRight'), backwards[3] ?? '', 'right');
    await goes(
      () => page.getByRole('button', { name: 'change after' }).click(),
      backwards[2] ?? '',
      'the other button',
    );
    await goes(() => page.keyboard.press('Home'), commits[0] ?? '', 'home');
    await page.keyboard.press('ArrowLeft');
    await page.getByText('There is no change before').waitFor();
    await goes(() => page.keyboard.press('End'), null, 'end');
    const slider = page.getByRole('slider', { name: 'Moment' });
    await slider.focus();
    await goes(() => page.keyboard.press('ArrowLeft'), backwards[1] ?? '', 'left on the slider');
    t.match(await slider.getAttribute('aria-valuetext'), /^2012-06-08 18:46:09 UTC$/);
  });

  await t.test('The slider goes to any moment, and the table follows', async (t) => {
    const page = await site.open(await openTab(t), '?type=country');
    const slider = page.getByRole('slider', { name: 'Moment' });
    await slider.fill('400');
    await page.waitForURL(/at=2012-06-07T/);
    const asOf = momentOf(page) ?? '';
    const { items } = await service.entities.list({ type: 'country', asOf }).page();
    await page.getByText(`${items.length} entities.`).waitFor();
    t.same(await shownEntities(page), expected(items));
    await slider.fill('1000');
    await page.waitForURL((url) => url.searchParams.get('at') === null);
  });

  await t.test('Any instant may be written, and what is none is said at the field', async (t) => {
    const page = await site.open(await openTab(t, { forgives: REFUSED }), '?type=country');
    const field = page.getByLabel('As of', { exact: true });
    const write = async (text: string) => {
      await field.fill(text);
      await field.press('Enter');
    };
    for (const text of ['yesterday-ish', '5']) {
      await write(text);
      await page.locator('.moment .fault').waitFor();
      t.equal(await field.getAttribute('aria-invalid'), 'true', text);
      t.equal(momentOf(page), null);
    }
    await write('2012-06-07 18:40:09');
    await page.waitForURL(/at=/);
    t.equal(momentOf(page), '2012-06-07T18:40:09.000000Z');
    t.equal(await field.inputValue(), '2012-06-07 18:40:09 UTC', 'as the page writes instants');
    t.equal(await page.locator('.moment .fault').count(), 0);
    await write('9999-01-01');
    const refusal = await service.entities
      .list({ type: 'country', asOf: '9999-01-01T00:00:00.000000Z' })
      .page()
      .catch((error: unknown) => error);
    if (!(refusal instanceof ClocktickProblem)) throw refusal;
    await page.getByText(refusal.problem.detail).waitFor();
    t.equal(await page.locator('.moment .fault').innerText(), refusal.problem.detail, 'as the service says it');
    t.equal(await page.locator('.failure').count(), 0, 'and not twice');
  });

  await t.test('An answer that comes late is not that of a later question', async (t) => {
    const page = await site.open(await openTab(t), '?type=country');
    const keys = () => page.locator('table.entities tbody th').allInnerTexts();
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const isEarlier = (url: string) => url.includes('keyPrefix=A') && url.includes('type=country');
    await page.route(
      (url) => isEarlier(url.href),
      async (route) => {
        await held;
        await route.continue();
      },
    );
    const earlier = page.waitForRequest((request) => isEarlier(request.url()));
    await page.getByLabel('Keys begin with').fill('A');
    const ended = Promise.race([
      page.waitForEvent('requestfinished', (request) => isEarlier(request.url())),
      page.waitForEvent('requestfailed', (request) => isEarlier(request.url())),
    ]);
    await earlier;
    await page.getByLabel('Keys begin with').fill('U');
    await page.getByText('1 entity.').waitFor();
    release();
    await ended;
    t.same(await keys(), ['UTO']);
  });

  await t.test('The slider marks changes, and two moments can be swapped', async (t) => {
    const page = await site.open(await openTab(t), `?type=country&at=${commits[3]}&beside=before`);
    await page.locator('.moment .marks path').nth(1).waitFor({ state: 'attached' });
    const [first, last] = [commits[0] ?? '', commits.at(-1) ?? ''].map(Date.parse);
    const places = commits.map((at) =>
      Math.round(((Date.parse(at) - (first ?? 0)) / ((last ?? 0) - (first ?? 0))) * 1_000),
    );
    const marks = await page
      .locator('.moment .marks path')
      .evaluateAll((paths) => paths.map((path) => Number(path.getAttribute('d')?.slice(1).split(' ')[0])));
    t.ok(marks.length > 2, 'also of changes between the first and the last');
    t.ok(marks.includes(0) && marks.includes(1_000) && marks.every((x) => places.includes(x)), `${marks} of ${places}`);
    await page.getByRole('link', { name: 'swap both' }).click();
    await page.waitForURL((url) => url.searchParams.get('beside') === commits[3]);
    t.equal(momentOf(page), commits[2]);
    await page.getByRole('link', { name: 'the first change' }).click();
    await page.waitForURL((url) => url.searchParams.get('beside') === commits[0]);
    await page.keyboard.press('/');
    t.match(await page.evaluate('document.activeElement.className'), 'prefix', 'a key leads to the filter');
  });

  await t.test('Filters are those of the API, and what is wrong with one is said at its field', async (t) => {
    const page = await site.open(await openTab(t, { forgives: REFUSED }), `?type=country&at=${commits[2]}`);
    const keys = () => page.locator('table.entities tbody th').allInnerTexts();
    await page.getByLabel('Keys begin with').fill('U');
    await page.waitForURL(/prefix=U/);
    await page.getByText('1 entity.').waitFor();
    t.same(await keys(), ['UTO']);
    await page.getByRole('button', { name: 'Clear' }).click();
    await page.getByRole('button', { name: 'Add a condition' }).click();
    const builder = page.getByRole('form', { name: 'A condition' });
    await builder.getByLabel('Property').fill('cca3');
    await builder.getByLabel('Operator').selectOption('in');
    await builder.getByLabel('Value').fill('ATL, OZX');
    await builder.getByRole('button', { name: 'Add' }).click();
    await page.getByText('2 entities.').waitFor();
    t.same(await keys(), ['ATL', 'OZX']);
    t.equal(new URL(page.url()).searchParams.get('where'), '{"cca3":{"in":["ATL","OZX"]}}');
    const field = page.getByLabel('Where', { exact: true });
    for (const where of ['{"cca3": {"near": 1}}', '{"cca3"']) {
      await field.fill(where);
      await field.press('Enter');
      const refusal = await service.entities
        .list({ type: 'country', where })
        .page()
        .catch((error: unknown) => error);
      if (!(refusal instanceof ClocktickProblem)) throw refusal;
      await page.getByText(refusal.problem.detail).waitFor();
      t.equal(await page.locator('.filters .fault').innerText(), refusal.problem.detail);
      t.equal(await field.getAttribute('aria-invalid'), 'true');
    }
    await builder.getByLabel('Property').fill('cca3');
    await builder.getByLabel('Value').fill('ATL');
    await builder.getByRole('button', { name: 'Add' }).click();
    await page.getByText('no JSON object').waitFor();
  });

  await t.test('The areas of a property over time are the counts of the API', (t) => areasOf(t, site, 'area'));

  await t.test('The ranges of a property are those of the API', async (t) => {
    const page = await openTab(t);
    for (const query of [{}, { from: commits[0], to: commits[1] }, { from: commits[4] }, { to: commits[2] }]) {
      const search = Object.entries(query).map(([name, value]) => `&${name}=${value}`);
      await site.open(page, `?type=country&property=name${search.join('')}`);
      await page.locator('table.ranges tbody tr').first().waitFor();
      const [, ...rows] = await cellsOf(page, 'table.ranges');
      const ranges = await all(service.types.history('country', 'name', query));
      t.same(
        rows.map(([key, value, , , who, why]) => ({ key, value, who, why })),
        ranges.map(({ key, value, activity }) => ({
          key,
          value: valueText(value, 60),
          who: activity?.actor,
          why: activity?.reason,
        })),
      );
      t.ok(ranges.length > 0);
    }
  });

  await t.test('Two moments are compared as the API compares them', async (t) => {
    const pairs: [string, string | undefined][] = [
      [commits[0] ?? '', commits[3]],
      [commits[3] ?? '', commits[4]],
      [commits[4] ?? '', undefined],
      [commits[5] ?? '', commits[2]],
    ];
    for (const [beside, at] of pairs) await comparedOf(t, site, { beside, at });
  });

  await t.test('Compared with the change before, a moment shows what that change did', async (t) => {
    const page = await site.open(await openTab(t), `?type=country&beside=before&at=${commits[4]}`);
    await page.locator('table.compared tbody tr').first().waitFor();
    t.match(await page.locator('table.compared tbody').allInnerTexts(), [/^ATL\n− removed/]);
  });

  await t.test('A link shows what its sender saw', async (t) => {
    const [page, other] = [await openTab(t), await openTab(t)];
    const same = async (where: string) => {
      await page.waitForLoadState('networkidle');
      // The address follows a slider with some delay.
      await page.waitForTimeout(500);
      const shown = await page.locator('main').innerText();
      await other.goto(page.url());
      await other.waitForLoadState('networkidle');
      t.equal(await other.locator('main').innerText(), shown, where);
      t.equal(other.url(), page.url());
    };
    await site.open(page, '?type=country');
    await page.getByRole('slider', { name: 'Moment' }).fill('400');
    await page.getByLabel('Keys begin with').fill('U');
    await page.getByText('1 entity.').waitFor();
    await same('the table');
    t.match(await page.locator('.moment').innerText(), 'The past, as of 2012-06-07');
    await page.getByRole('link', { name: 'Two moments compared' }).click();
    await page.getByLabel('Compared with').fill('2012-06-06 18:36:09');
    await page.getByLabel('Compared with').press('Enter');
    await page.locator('table.compared').waitFor();
    await same('two moments');
    await page.getByRole('link', { name: 'A property over time' }).click();
    await page.getByRole('link', { name: 'name', exact: true }).click();
    await page.getByLabel('to', { exact: true }).fill('2012-06-07 18:40:09');
    await page.getByLabel('to', { exact: true }).press('Enter');
    await page.waitForURL(/to=2012/);
    await same('a property over time');
    t.match(await page.locator('figcaption').innerText(), 'which name, from 2012-06-06 18:36:09 UTC to 2012-06-07');
  });

  await t.test('axe finds nothing on any page, dark or light, wide or narrow', async (t) => {
    for (const scheme of ['light', 'dark'] as const)
      for (const width of [1280, 360]) {
        const page = await openTab(t, { scheme, width, forgives: REFUSED });
        for (const [name, query] of [
          ['table', `?type=country&at=${commits[4]}&deleted=include`],
          ['over-time', '?type=country&property=area'],
          ['compared', `?type=country&beside=${commits[3]}&at=${commits[4]}`],
          ['refused', '?type=country&where=%7B'],
        ] as const) {
          await site.open(page, query);
          await page.waitForLoadState('networkidle');
          t.same(await axe(page), [], `${name}, ${scheme}, ${width}`);
          await picture(page, `collection-${name}-${scheme}-${width}`);
        }
      }
  });
});

t.test('Pages of a table are of one moment, whatever is written meanwhile', { skip: NO_BROWSER }, async (t) => {
  const site = await siteOf(t);
  const { service } = site;
  const operations = Array.from({ length: 230 }, (_, n) => ({
    op: 'create' as const,
    type: 'thing',
    key: `t${String(n).padStart(4, '0')}`,
    properties: { n },
  }));
  await service.batch({ operations });
  const page = await site.open(await openTab(t), '?type=thing');
  await page.getByText('100 entities, and there are more.').waitFor();
  await service.entities.create({ type: 'thing', key: 't0150-later', properties: { n: -1 } });
  for (const count of [200, 230]) {
    await page.getByRole('button', { name: 'Load more' }).click();
    await page.getByText(`${count} entities`).waitFor();
  }
  t.same(
    (await shownEntities(page)).map(({ key }) => key),
    operations.map(({ key }) => key),
  );
  t.equal(await page.getByRole('button', { name: 'Load more' }).count(), 0);
  await page.reload();
  await page.getByText('100 entities, and there are more.').waitFor();
});

t.test('Names and values are data, whatever they say', { skip: NO_BROWSER }, async (t) => {
  const site = await siteOf(t);
  const { service } = site;
  const text =
    '{"__proto__": {"a": 1}, "constructor": "<b>no</b>", "😀 a/b?c=d&e": null, "toString": "‮turned", "hasOwnProperty": [1]}';
  const properties = JSON.parse(text);
  await service.entities.create({ type: 'odd', key: 'a/b:c?d=e&f#😀', properties });
  await service.entities.put('odd:other', { type: 'odd', properties: {} });
  const page = await site.open(await openTab(t), '?type=odd');
  await page.locator('table.entities tbody tr').first().waitFor();
  const { items } = await service.entities.list({ type: 'odd' }).page();
  t.same(await shownEntities(page), expected(items));
  await page.getByRole('link', { name: '__proto__' }).click();
  await page.locator('figure.areas').waitFor();
  t.equal(new URL(page.url()).searchParams.get('property'), '__proto__');
  await areasOf(t, site, '__proto__', 'odd');
  await areasOf(t, site, '😀 a/b?c=d&e', 'odd');
});

t.test(
  'Fourteen years of 250 countries',
  { skip: NO_BROWSER || (WHOLE ? false : 'COUNTRIES_HISTORY names no file') },
  async (t) => {
    const site = await siteOf(t);
    const { service } = site;
    await importCountries(service, WHOLE ?? '');
    await t.test('The table', (t) => tableOf(t, site, ['2014-01-08T00:00:00.000000Z', undefined]));
    await t.test('Properties over time', async (t) => {
      for (const property of ['region', 'name', 'status']) await areasOf(t, site, property);
    });
    await t.test('Two moments', (t) =>
      comparedOf(t, site, { beside: '2014-01-08T00:00:00Z', at: '2014-03-08T00:00:00Z' }),
    );
  },
);

/** Checks the table at moments; undefined is now. */
async function tableOf(t: Test, { service, open }: Site, moments: readonly (string | undefined)[]) {
  const page = await openTab(t);
  for (const asOf of moments) {
    await open(page, `?type=country${asOf === undefined ? '' : `&at=${asOf}`}`);
    const entities = await all(service.entities.list({ type: 'country', asOf }));
    await page.locator('table.entities tbody tr').first().waitFor();
    const more = page.getByRole('button', { name: 'Load more' });
    for (let count = 200; await more.isVisible(); count += 100) {
      await more.click();
      await page.getByText(`${Math.min(count, entities.length)} entities`).waitFor();
    }
    t.same(await shownEntities(page), expected(entities), `as of ${asOf ?? 'now'}`);
    const link = page.locator('table.entities tbody a').first();
    const href = new URL((await link.getAttribute('href')) ?? '', page.url()).searchParams;
    t.same([href.get('entity'), href.get('at')], [`country:${entities[0]?.key}`, asOf ?? null], 'links lead there');
  }
}

/** Checks the drawing of a property over time, and the numbers beside it, against the API. */
async function areasOf(t: Test, { service, open }: Site, property: string, type = 'country') {
  const page = await open(await openTab(t), `?type=${type}&property=${encodeURIComponent(property)}`);
  await page.locator('figure.areas').waitFor();
  await page.getByText('The numbers as a table').click();
  const [head = [], ...rows] = await cellsOf(page, 'figure.areas table');
  const instants = await page.evaluate<string[]>(
    '[...document.querySelectorAll("figure.areas tbody time")].map((time) => time.dateTime)',
  );
  const { items } = await service.types.counts(type, property, { at: instants, limit: MOST_FREQUENT });
  t.same(
    items.map(({ at }) => at),
    instants,
    'of the same instants',
  );
  const names = head.slice(1, -1);
  const told = rows.map(([, ...numbers]) => numbers.map(Number));
  t.same(
    told.map((numbers) => numbers.at(-1)),
    items.map(({ entities }) => entities),
    'as many entities in all',
  );
  t.same(
    told.map((numbers) => numbers.slice(0, -1).reduce((sum, number) => sum + number, 0)),
    items.map(({ entities }) => entities),
    'and they are those of the layers',
  );
  for (const [layer, name] of names.entries()) {
    const counted = items.map(({ values }) => values.filter(({ value }) => valueText(value) === name));
    // Long values may begin alike: then their names do not tell them apart.
    const meant = new Set(counted.flat().map(({ value }) => JSON.stringify(value)));
    if (name === OTHERS || meant.size > 1) continue;
    t.same(
      told.map((numbers) => numbers[layer]),
      counted.map(([one]) => one?.entities ?? 0),
      `${name} is counted as the API counts it`,
    );
  }

  const paths = await page.evaluate<string[]>(
    '[...document.querySelectorAll("figure.areas > svg path.area")].map((path) => path.getAttribute("d"))',
  );
  const points = paths.map((path) =>
    path
      .slice(1, -1)
      .split('L')
      .map((point) => Number(point.split(' ')[1])),
  );
  // The lowest layer stands on 0, and where there are most, the highest one ends at the top.
  const bottom = points[0]?.at(-1) ?? 0;
  const most = Math.max(1, ...items.map(({ entities }) => entities));
  const unit = (bottom - Math.min(...points.flat())) / most;
  const drawn = items.map((_, n) =>
    points.map((heights) => Math.round(((heights.at(-1 - n) ?? 0) - (heights[n] ?? 0)) / unit)),
  );
  t.same(
    drawn,
    told.map((numbers) => numbers.slice(0, -1)),
    'the areas are as thick as the numbers say',
  );

  // A click on a moment goes there.
  const svg = page.locator('figure.areas > svg');
  const box = await svg.boundingBox();
  if (!box) throw new Error('nothing is drawn');
  await svg.click({ position: { x: box.width / 2, y: box.height / 2 } });
  if (instants.length > 1) {
    await page.waitForURL(/at=/);
    t.ok(instants.includes(momentOf(page) ?? ''), 'a click goes to one of the moments');
  }
}

/** Checks what differs between two moments against the API. */
async function comparedOf(
  t: Test,
  { service, open }: Site,
  { beside, at }: { beside: string; at: string | undefined },
) {
  const page = await open(await openTab(t), `?type=country&beside=${beside}${at === undefined ? '' : `&at=${at}`}`);
  const entities = await all(
    service.types.compare('country', { at: [beside, at ?? 'now'], only: 'differing', deleted: 'include' }),
  );
  const differing = entities.flatMap((entity) => {
    const fate = fateOf(entity);
    return fate === null ? [] : [{ entity, fate }];
  });
  await page.getByText(`${entities.length} entities that were looked at`).waitFor();
  const more = page.getByRole('button', { name: 'Load more' });
  while (await more.isVisible()) await more.click();
  const shown = await page.evaluate<{ entity: string; rows: string[] }[]>(`
    [...document.querySelectorAll('table.compared tbody')].map((body) => ({
      entity: body.querySelector('th[scope=rowgroup]').innerText,
      rows: [...body.querySelectorAll('th[scope=row]')].map((cell) => cell.textContent.trim()),
    }))`);
  const signs = { added: '+', removed: '−', changed: '~' };
  t.same(
    shown,
    differing.map(({ entity, fate }) => ({
      entity: `${entity.key}\n${signs[fate]} ${fate}`,
      rows: Object.entries(entity.properties).map(([name, [before, after]]) => {
        const changed = before && 'value' in before ? (after && 'value' in after ? 'changed' : 'removed') : 'added';
        return `${signs[changed]} ${changed} ${nameText(name)}`;
      }),
    })),
    `from ${beside} to ${at ?? 'now'}`,
  );
  for (const fate of ['added', 'removed', 'changed'] as const) {
    const count = differing.filter((one) => one.fate === fate).length;
    t.match(await page.locator('.counted').innerText(), new RegExp(`${fate} ${count}\\b`));
  }
}

/** What became of an entity from the first of two moments to the second; null: nothing. */
function fateOf({ moments: [before, after], properties }: ComparedEntity): 'added' | 'removed' | 'changed' | null {
  const was = before?.tick != null && !before.deleted;
  const is = after?.tick != null && !after.deleted;
  if (was !== is) return was ? 'removed' : 'added';
  return Object.keys(properties).length > 0 ? 'changed' : null;
}
