import t from 'tap';
import { clocktick } from '../../src/client/client.js';
import { axe, NO_BROWSER, openTab, picture } from '../helper/browser.js';
import { testService } from '../helper/service.js';

/* Undo in a real browser: what its dialogs say would change is what then changes, and whoever came first is said. */

t.test('undo', { skip: NO_BROWSER }, async (t) => {
  const { app } = await testService(t);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const service = clocktick({ baseUrl: url });
  let made = 0;
  /** A customer at tick 3, an own one each time: its path in the page, and its label. */
  const customer = async () => {
    const label = `customer:c${++made}`;
    await service.entities.put(label, { type: 'customer', properties: { plan: 'free', city: 'Oslo' } });
    await service.entities.patch(label, { properties: { plan: 'team', seats: 5 } });
    await service.entities.patch(label, { properties: { city: 'Bergen', notes: 'moved' } });
    return label;
  };
  const opened = async (t: Parameters<typeof openTab>[0], query: string, forgives?: RegExp) => {
    const page = await openTab(t, forgives ? { forgives } : {});
    await page.goto(`${url}/ui/?${query}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    return page;
  };

  await t.test('an entity goes back to what it was at a tick, by who says why', async (t) => {
    const label = await customer();
    const page = await opened(t, `entity=${label}&at=1`);
    await page.getByRole('button', { name: /Bring this back/ }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('table').waitFor();
    const told = await dialog.getByRole('row').allInnerTexts();
    t.same(
      told.map((row) => row.replaceAll(/\s+/g, ' ').trim()).slice(1),
      ['city −"Bergen" → +"Oslo"', 'plan −"team" → +"free"', 'notes −"moved"', 'seats −5'],
      'what would change',
    );
    t.same(await axe(page), []);
    await picture(page, 'undo');
    t.equal((await service.entities.get(label)).tick, 3, 'nothing has changed yet');
    const undo = dialog.getByRole('button', { name: 'Undo', exact: true });
    t.ok(await undo.isDisabled(), 'a reason is needed');
    await dialog.getByLabel('Who undoes it').fill('ross');
    await dialog.getByLabel('Why').fill('a mistake');
    await undo.click();
    await dialog.waitFor({ state: 'detached' });
    t.match(await service.entities.get(label), { tick: 4, properties: { plan: 'free', city: 'Oslo' } });
    const [newest] = (await service.entities.history(label, { order: 'desc', limit: 1 }).page()).items;
    t.match(newest, { tick: 4, op: 'updated', activity: { actor: 'ross', reason: 'a mistake' } });
    await page.getByText(/at tick 4 since/).waitFor();
    t.equal(new URL(page.url()).searchParams.get('at'), null, 'the page shows now');

    await page.goto(`${url}/ui/?entity=${label}&at=2`);
    await page.getByRole('button', { name: /Bring this back/ }).click();
    t.equal(await page.getByLabel('Who undoes it').inputValue(), 'ross', 'who it was is remembered in the tab');
  });

  await t.test('a tick is undone, and what came after it stays', async (t) => {
    const label = await customer();
    const page = await opened(t, `entity=${label}&at=2`);
    await page.getByRole('button', { name: /Undo this tick/ }).click();
    const dialog = page.getByRole('dialog', { name: 'Undo plan, seats' });
    await dialog.getByRole('table').waitFor();
    t.same((await dialog.getByRole('row').allInnerTexts()).map((row) => row.replaceAll(/\s+/g, ' ').trim()).slice(1), [
      'plan −"team" → +"free"',
      'seats −5',
    ]);
    await dialog.getByLabel('Why').fill('not what they ordered');
    await dialog.getByRole('button', { name: 'Undo', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
    const { tick, properties } = await service.entities.get(label);
    t.same({ tick, properties }, { tick: 4, properties: { plan: 'free', city: 'Bergen', notes: 'moved' } });
    await page.goto(`${url}/ui/?entity=${label}&at=1`);
    await page.getByRole('button', { name: /Bring this back/ }).waitFor();
    t.equal(await page.getByRole('button', { name: /Undo this tick/ }).count(), 0, 'nothing is before a creation');
  });

  await t.test('one property goes back, and nothing else', async (t) => {
    const label = await customer();
    const page = await opened(t, `entity=${label}&at=1`);
    await page.getByRole('button', { name: 'Bring back plan as it is here' }).click();
    const dialog = page.getByRole('dialog', { name: 'Undo plan' });
    await dialog.getByRole('table').waitFor();
    t.equal(await dialog.getByRole('row').count(), 2);
    await dialog.getByLabel('Why').fill('too dear');
    await page.keyboard.press('Enter');
    await dialog.waitFor({ state: 'detached' });
    t.match(await service.entities.get(label), {
      tick: 4,
      properties: { plan: 'free', seats: 5, city: 'Bergen', notes: 'moved' },
    });
  });

  await t.test(
    'whoever came first is said, with what they did; nothing was written, and what follows is of today',
    async (t) => {
      const label = await customer();
      const page = await opened(t, `entity=${label}&at=1`, /412/);
      await page.keyboard.press('u');
      const dialog = page.getByRole('dialog');
      await dialog.getByRole('table').waitFor();
      await dialog.getByLabel('Why').fill('a mistake');
      await service.entities.patch(label, {
        properties: { city: 'Tromsø' },
        activity: { actor: 'monica', reason: 'moved again' },
      });
      await dialog.getByRole('button', { name: 'Undo', exact: true }).click();
      await dialog.getByText('Somebody was first, and nothing was written.').waitFor();
      const said = await dialog.locator('.overtaken').innerText();
      t.match(said, /tick 4 now/);
      await dialog.locator('.overtaken a', { hasText: 'monica' }).waitFor();
      t.match(
        await dialog.locator('.overtaken').innerText(),
        /monica set city to "Tromsø" \(was "Bergen"\)\s*“?moved again/,
      );
      t.equal((await service.entities.get(label)).tick, 4);
      await dialog.locator('del', { hasText: 'Tromsø' }).waitFor();
      t.same(await axe(page), []);
      await dialog.getByRole('button', { name: 'Undo', exact: true }).click();
      await dialog.waitFor({ state: 'detached' });
      t.match(await service.entities.get(label), { tick: 5, properties: { plan: 'free', city: 'Oslo' } });
    },
  );

  await t.test('an undo whose answer is lost is said to be neither written nor refused', async (t) => {
    const lost = /ERR_CONNECTION_RESET|ERR_FAILED|412|409/;
    /** Opens the dialog of an undo, of which some sendings are lost: before they reach the service, or their answers. */
    const losing = async (query: string, name: RegExp, loses: (n: number) => 'request' | 'answer' | null) => {
      const page = await opened(t, query, lost);
      let sent = 0;
      await page.route(/\/revert$/, async (route) => {
        const fate = loses(sent++);
        if (fate === null) return route.continue();
        if (fate === 'answer') await route.fetch();
        return route.abort('connectionreset');
      });
      await page.getByRole('button', { name }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByText('would change').first().waitFor();
      await dialog.getByLabel('Why').fill('a mistake');
      return { page, dialog, undo: dialog.getByRole('button', { name: 'Undo', exact: true }) };
    };
    const claims = /nothing was written/i;

    const kept = await customer();
    const first = await losing(`entity=${kept}&at=1`, /Bring this back/, (n) => (n === 0 ? 'answer' : null));
    await first.dialog.getByLabel('Who undoes it').fill('joey');
    await first.undo.click();
    await first.dialog.getByText('Whether the undo was written is not known').waitFor();
    await first.dialog.locator('.overtaken', { hasText: 'or this very undo was' }).waitFor();
    await first.dialog.locator('.overtaken a', { hasText: 'joey' }).waitFor();
    await first.dialog.getByText('Nothing would change').waitFor();
    t.notMatch(await first.dialog.innerText(), claims);
    t.ok(await first.undo.isDisabled(), 'there is nothing to do twice');
    t.same(await axe(first.page), []);
    t.equal((await service.entities.get(kept)).tick, 4, 'it was written once');

    const unsent = await customer();
    const second = await losing(`entity=${unsent}&at=1`, /Bring this back/, (n) => (n < 4 ? 'request' : null));
    await second.undo.click();
    await second.dialog.getByText('Whether the undo was written is not known').waitFor();
    t.notMatch(await second.dialog.innerText(), claims);
    await second.dialog.getByText('What would change').waitFor();
    t.equal((await service.entities.get(unsent)).tick, 3);
    await service.entities.patch(unsent, { properties: { city: 'Bodø' } });
    await second.undo.click();
    await second.dialog.getByText('or this very undo was').waitFor();
    t.notMatch(await second.dialog.innerText(), claims, 'what came first may have been the sending before');

    const { activity } = await service.batch({
      activity: { actor: 'joey' },
      operations: [{ op: 'create', type: 'offer', key: 'lost', properties: { price: 5 } }],
    });
    const third = await losing(`activity=${activity?.id}`, /Undo all of it/, () => 'answer');
    await third.undo.click();
    await third.dialog.getByText('Whether the undo was written is not known').waitFor();
    t.notMatch(await third.dialog.innerText(), claims);
    await t.rejects(service.entities.get('offer:lost'), { code: 'entity_deleted' });
  });

  await t.test('whoever leaves the dialog while the undo is under way stays where they have gone', async (t) => {
    const { activity } = await service.batch({
      activity: { actor: 'joey' },
      operations: [{ op: 'create', type: 'offer', key: 'left', properties: { price: 5 } }],
    });
    const label = await customer();
    for (const [query, name] of [
      [`activity=${activity?.id}`, /Undo all of it/],
      [`entity=${label}&at=1`, /Bring this back/],
    ] as const) {
      const page = await opened(t, query);
      let isAnswered = () => {};
      const held = new Promise<void>((resolve) => {
        isAnswered = resolve;
      });
      await page.route(/\/revert$/, async (route) => {
        const answer = await route.fetch();
        await held;
        await route.fulfill({ response: answer });
      });
      await page.getByRole('button', { name }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByText('would change').first().waitFor();
      await dialog.getByLabel('Why').fill('a mistake');
      const answered = page.waitForResponse(/\/revert$/);
      await dialog.getByRole('button', { name: 'Undo', exact: true }).click();
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'detached' });
      await page.getByRole('link', { name: 'Activities', exact: true }).click();
      await page.getByRole('heading', { level: 1, name: 'Who changed what, and why' }).waitFor();
      const there = page.url();
      isAnswered();
      await (await answered).finished();
      await page.waitForTimeout(500);
      t.equal(page.url(), there);
    }
  });

  await t.test('a browser that keeps nothing undoes as well', async (t) => {
    const label = await customer();
    const page = await opened(t, `entity=${label}&at=1`);
    await page.evaluate(`Object.defineProperty(window, 'sessionStorage', {
      get() { throw new DOMException('Access is denied.', 'SecurityError'); },
    })`);
    await page.keyboard.press('u');
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('table').waitFor();
    await dialog.getByLabel('Why').fill('a mistake');
    await dialog.getByRole('button', { name: 'Undo', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
    t.equal((await service.entities.get(label)).tick, 4);
  });

  await t.test('without an answer it is said that nobody knows; all that a definition refuses is said', async (t) => {
    const label = await customer();
    const page = await opened(t, `entity=${label}&at=1`, /409|ERR_CONNECTION_REFUSED/);
    const bring = page.getByRole('button', { name: /Bring this back/ });
    await bring.click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('table').waitFor();
    await page.route(/revert$/, (route) => route.abort('connectionrefused'));
    await dialog.getByLabel('Why').fill('a mistake');
    await dialog.getByRole('button', { name: 'Undo', exact: true }).click();
    await dialog.getByText('Whether the undo was written is not known').waitFor();
    await page.getByText('The service does not answer. This page asks until it does').waitFor();
    await page.unroute(/revert$/);
    await dialog.getByRole('button', { name: 'Leave it' }).click();
    await dialog.waitFor({ state: 'detached' });
    // The focus is where it was.
    await page.locator('button:focus', { hasText: /^Bring this back/ }).waitFor();

    await service.types.put(
      'customer',
      { schema: { properties: { plan: { const: 'team' }, city: { minLength: 5 } } } },
      { evenIfInvalid: true },
    );
    await bring.click();
    for (const name of ['plan', 'city']) await dialog.locator('.failure li', { hasText: `/${name}` }).waitFor();
    t.same(await axe(page), []);
    await service.types.delete('customer');
  });

  await t.test('where nothing would change it says so, and Escape leaves everything as it is', async (t) => {
    const label = await customer();
    await service.entities.revert(label, { to: 1 });
    const page = await opened(t, `entity=${label}&at=1`);
    await page.keyboard.press('u');
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Nothing would change').waitFor();
    await dialog.getByLabel('Why').fill('why not');
    t.ok(await dialog.getByRole('button', { name: 'Undo', exact: true }).isDisabled());
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    t.equal((await service.entities.get(label)).tick, 4);
  });

  await t.test('an activity is undone whole, or as its conflicts allow', async (t) => {
    const { activity } = await service.batch({
      activity: { actor: 'joey', reason: 'a sale' },
      operations: ['a', 'b'].map((key) => ({ op: 'create', type: 'offer', key, properties: { price: 5 } })),
    });
    const id = activity?.id ?? '';
    await service.entities.patch('offer:b', { properties: { price: 7 }, activity: { actor: 'phoebe' } });
    const page = await opened(t, `activity=${id}`, /409/);
    await page.getByRole('button', { name: /Undo all of it/ }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('alert').waitFor();
    t.match(await dialog.getByRole('alert').innerText(), 'Nothing would be undone');
    t.match(await dialog.getByRole('listitem').allInnerTexts(), [/offer:b .*phoebe/], 'and what stands in the way');
    t.ok(await dialog.getByRole('button', { name: 'Undo', exact: true }).isDisabled());

    await dialog.getByLabel('Undo the rest').check();
    await dialog.getByText('1 entity would change').waitFor();
    t.match((await dialog.getByRole('listitem').allInnerTexts()).join('\n'), /offer:b .*phoebe[\s\S]*offer:a: deleted/);
    t.same(await axe(page), []);
    await picture(page, 'undo-activity');
    await dialog.getByLabel('Why').fill('no sale');
    await dialog.getByRole('button', { name: 'Undo', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.getByText('no sale').first().waitFor();
    await page.keyboard.press('u');
    await dialog.getByLabel('Undo nothing').waitFor();
    await page.keyboard.press('Escape');
    t.not(new URL(page.url()).searchParams.get('activity'), id, 'the page shows the activity that undid it');
    t.match(await service.entities.get('offer:b'), { tick: 2, properties: { price: 7 } });
    await t.rejects(service.entities.get('offer:a'), { code: 'entity_deleted' });
  });
});
