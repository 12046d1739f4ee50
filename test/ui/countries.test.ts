import { fileURLToPath } from 'node:url';
import t from 'tap';
import { clocktick } from '../../src/client/client.js';
import { axe, NO_BROWSER, openTab } from '../helper/browser.js';
import { testService } from '../helper/service.js';
import { readHistory } from '../replay/history.js';
import { linesOf } from '../replay/lines.js';

/*
 * One walk through the page, over the history of countries: from the first page to a country, back to what it was, and back again. What each
 * step shows in full has tests beside this one.
 */
const SAMPLE = fileURLToPath(new URL('../fixtures/countries-sample.ndjson.gz', import.meta.url));

t.test('a walk through the history of countries', { skip: NO_BROWSER }, async (t) => {
  const { app } = await testService(t);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const service = clocktick({ baseUrl: url });
  const history = await readHistory(process.env.COUNTRIES_HISTORY || SAMPLE);
  await service.import([...linesOf(history, 'country')].join(''), { source: 'countries', skew: 'shift' });
  const [type] = (await service.types.list().page()).items;
  let country = { key: '', tick: 0 };
  for await (const { key = '', tick } of service.entities.list({ type: 'country' }))
    if (tick > country.tick) country = { key, tick };
  const { key, tick } = country;
  const label = `country:${key}`;
  const middle = Math.ceil(tick / 2);
  const [then, now] = [await service.entities.get(label, { asOf: middle }), await service.entities.get(label)];

  const page = await openTab(t);
  await page.goto(`${url}/ui/`);
  await page.getByRole('row', { name: `country ${type?.entities}` }).waitFor();
  await page.getByRole('link', { name: 'country', exact: true }).click();
  await page.getByLabel('Keys begin with').fill(key);
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: key, exact: true }).click();
  await page.getByRole('heading', { level: 1, name: key }).waitFor();
  await page.getByText(`at tick ${tick} since`).waitFor();

  for (let n = tick; n > middle; n--) await page.keyboard.press('ArrowLeft');
  await page.getByText(`Read-only: the past, at tick ${middle} of ${tick}`).waitFor();
  await page.locator('.state[aria-busy="false"]').waitFor();
  for (const name of Object.keys(then.properties))
    await page.locator(`.state tr[data-property=${JSON.stringify(name)}]`).waitFor();

  await page.getByRole('button', { name: /Bring this back/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('table').waitFor();
  await dialog.getByLabel('Who undoes it').fill('a tester');
  await dialog.getByLabel('Why').fill('as it was then');
  await dialog.getByRole('button', { name: 'Undo', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  t.same((await service.entities.get(label)).properties, then.properties);

  await page.getByText(`at tick ${tick + 1} since`).waitFor();
  t.same(await axe(page), []);
  const [{ activity = null } = {}] = (await service.entities.history(label, { order: 'desc', limit: 1 }).page()).items;
  await page.goto(`${url}/ui/?activity=${activity?.id}`);
  await page.getByRole('button', { name: /Undo all of it/ }).click();
  await dialog.getByText('1 entity would change').waitFor();
  await dialog.getByLabel('Why').fill('as it is now');
  await dialog.getByRole('button', { name: 'Undo', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByText('as it is now').first().waitFor();
  t.same((await service.entities.get(label)).properties, now.properties);
  t.equal((await service.entities.get(label)).tick, tick + 2);
});
