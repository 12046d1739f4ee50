import { isDeepStrictEqual } from 'node:util';
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { isObject, type Json, type JsonObject } from '../../src/temporal/json.js';
import { valueText } from '../../src/ui/core/value-text.js';
import { axe, NO_BROWSER, openTab, picture } from '../helper/browser.js';
import { writeDeep } from '../helper/deep-entity.js';
import { type Call, list, object, testService, text } from '../helper/service.js';
import { readHistory } from '../replay/history.js';
import { linesOf } from '../replay/lines.js';

/* The page of one entity, in a browser, beside what the API says of the same. */

const SAMPLE = new URL('../fixtures/countries-sample.ndjson.gz', import.meta.url).pathname;

t.test('the page of an entity', { skip: NO_BROWSER }, async (t) => {
  const service = await testService(t);
  const { call, app, sql } = service;
  const history = await readHistory(process.env.COUNTRIES_HISTORY || SAMPLE);
  const base = await app.listen({ host: '127.0.0.1', port: 0 });
  await importLines(base, 'countries', [...linesOf(history, 'country')].join(''));
  const country = `country:${process.env.COUNTRIES_HISTORY ? 'FRA' : 'ATL'}`;
  await importLines(base, 'odd', oddLines());
  const url = `${base}/ui/`;
  const open = async (t: Test, query: string, look?: Parameters<typeof openTab>[1]) => {
    const page = await openTab(t, look);
    await page.goto(`${url}${query}`);
    await page.locator('.lanes[aria-busy="false"] .lane').first().waitFor();
    return page;
  };

  for (const entity of [country, 'thing:odd'])
    await t.test(`${entity}: its lanes are the ranges that the API tells, its list the ticks`, async (t) => {
      const page = await open(t, `?entity=${entity}`, { height: 1400 });
      const told = await toldRanges(call, entity);
      t.same(
        await until(() => lanes(page, told.size), namesOf(told)),
        namesOf(told),
        'a lane for each property it ever had',
      );
      t.same(await until(() => bars(page, told), told), told, 'a bar for each of its ranges');
      const { body } = await call('GET', `/entities/${entity}/history?order=desc&limit=1000`);
      const ticks = list(body.items).map((tick) => object(tick).tick);
      t.same(await until(() => listed(page), ticks.slice(0, 50)), ticks.slice(0, 50));
      t.same(await axe(page), []);
      await picture(page, `entity-${entity.split(':')[1]}`);
    });

  await t.test('arrow keys go from tick to tick; the address follows, and opens the same again', async (t) => {
    const page = await open(t, `?entity=${country}`);
    const last = await newest(call, country);
    for (const [key, at] of [
      ['ArrowLeft', last - 1],
      ['ArrowLeft', last - 2],
      ['ArrowRight', last - 1],
      ['Home', 1],
      ['ArrowLeft', 1],
      ['ArrowRight', 2],
    ] as const) {
      await page.keyboard.press(key);
      t.equal(await until(() => shown(page), at), at, `${key} shows tick ${at}`);
      await sameState(t, page, call, country, String(at));
      t.equal(await until(() => asked(page, 'at'), String(at)), String(at));
    }
    await page.reload();
    t.equal(await until(() => shown(page), 2), 2, 'the address opens what it was copied from');
    await sameState(t, page, call, country, '2');
    t.match(await page.locator('.banner.past').textContent(), /Read-only: the past, at tick 2 of/);
    await page.keyboard.press('End');
    t.equal(await until(() => shown(page), last), last);
    t.equal(await until(() => asked(page, 'at'), null), null, 'now is not an instant: tomorrow it is another');
    await sameState(t, page, call, country, null);
    t.equal(await page.locator('.banner.past').count(), 0);
  });

  await t.test('the slider says where it is; it, a bar and a link of the list lead to a tick', async (t) => {
    const page = await open(t, '?entity=thing:odd&at=3');
    const slider = page.getByRole('slider', { name: 'As of' });
    t.match(await slider.getAttribute('aria-valuetext'), /^tick 3 of 7, 2020-03-01 00:00:00 UTC, by ada$/);
    await slider.press('PageUp');
    t.equal(await until(() => shown(page), 7), 7);
    await page.locator('.lane[data-property="plan"] .bar[data-from="2"]').click();
    t.equal(await until(() => shown(page), 3), 3, 'the middle of a bar of ticks 2 to 4');
    await page.getByRole('link', { name: 'tick 6', exact: true }).click();
    t.equal(await until(() => shown(page), 6), 6);
    await page.goBack();
    t.equal(await until(() => shown(page), 3), 3);
    const track = await page.locator('.track').boundingBox();
    const handle = await slider.boundingBox();
    if (!track || !handle) throw new Error('nothing is drawn');
    await page.mouse.move(handle.x + 9, handle.y + 5);
    await page.mouse.down();
    await page.mouse.move(track.x + 2, handle.y + 5, { steps: 4 });
    await page.mouse.up();
    t.equal(await until(() => shown(page), 1), 1, 'dragged to the left end');
  });

  await t.test('a field takes a day, an instant or a tick', async (t) => {
    const page = await open(t, '?entity=thing:odd');
    const field = page.getByLabel('As of', { exact: true }).and(page.getByRole('textbox'));
    for (const [text, at, tick, written] of [
      ['2020-03-15', '2020-03-15T00:00:00.000000Z', 3, '2020-03-15 00:00:00 UTC'],
      ['tick 2', '2', 2, 'tick 2'],
      ['now', null, 7, ''],
    ] as const) {
      await field.fill(text);
      await field.press('Enter');
      t.equal(await until(() => asked(page, 'at'), at), at, text);
      t.equal(await until(() => shown(page), tick), tick, text);
      t.equal(await until(() => field.inputValue(), written), written);
    }
    await field.fill('one day');
    await field.press('Enter');
    await page.getByText('That is no instant').waitFor();
    t.equal(await asked(page, 'at'), null);
  });

  await t.test('keys and buttons zoom and move the timeline', async (t) => {
    const page = await open(t, '?entity=thing:odd&at=4');
    const window = async () =>
      [await asked(page, 'from'), await asked(page, 'to')].map((edge) => Date.parse(edge ?? ''));
    const wide = async () => {
      const [from = 0, to = 0] = await window();
      return to - from;
    };
    for (let n = 0; n < 4; n++) await page.keyboard.press('+');
    t.ok(await until(async () => (await wide()) > 0, true));
    const zoomed = await wide();
    const [from = 0, to = 0] = await window();
    const middle = Date.parse('2020-04-01T00:00:00Z');
    t.ok(from < middle && middle < to, 'what is shown stays in view');
    await page.keyboard.press('-');
    t.ok(await until(async () => (await wide()) > zoomed, true));
    const [before = 0] = await window();
    await page.keyboard.press('Shift+ArrowLeft');
    t.ok(await until(async () => ((await window())[0] ?? 0) < before, true), 'to what was earlier');
    t.equal(await shown(page), 4, 'the same moment is shown');
    await page.getByRole('button', { name: 'Later' }).click();
    await page.getByRole('button', { name: 'Later' }).click();
    t.ok(await until(async () => ((await window())[0] ?? 0) > before, true));
    await page.getByRole('button', { name: 'all', exact: true }).click();
    t.same(await until(() => asked(page, 'from'), null), null);
    t.equal(await asked(page, 'to'), null);
  });

  await t.test('moments at which there was nothing', async (t) => {
    const page = await open(t, '?entity=thing:odd&at=5');
    t.same(await until(() => absent(page), ['It was deleted: it had no properties.']), [
      'It was deleted: it had no properties.',
    ]);
    await page.goto(`${url}?entity=thing:odd&at=2019-01-01T00:00:00Z`);
    t.same(await until(() => absent(page), ['It was not there yet.']), ['It was not there yet.']);
    await page.keyboard.press('ArrowRight');
    t.equal(await until(() => shown(page), 1), 1);
    const late = await openTab(t, { forgives: /404/ });
    await late.goto(`${url}?entity=thing:odd&at=7`);
    await late.locator('.state tbody tr').first().waitFor();
    await late.goto(`${url}?entity=thing:odd&at=8`);
    await late.getByText('tick_not_found').first().waitFor();
    await late.getByRole('link', { name: 'tick 6', exact: true }).click();
    await late.locator('.state tbody tr').first().waitFor();
    await late.goBack();
    await late.locator('.state .failure').waitFor();
    t.same(await rows(late), [], 'a state that there is not is not that of another moment');
    const none = await openTab(t, { forgives: /404/ });
    await none.goto(`${url}?entity=thing:none`);
    await none.getByText('There is no entity thing:none').waitFor();
  });

  await t.test('what differs beside another moment, and only that', async (t) => {
    const page = await open(t, '?entity=thing:odd&at=2');
    t.same(
      await until(() => signs(page), { city: '−', plan: '~' }),
      { city: '−', plan: '~' },
      'beside the tick before',
    );
    await page.keyboard.press('b');
    t.equal(await until(() => asked(page, 'beside'), '2'), '2');
    for (let n = 2; n < 7; n++) await page.keyboard.press('ArrowRight');
    await page.keyboard.press('o');
    t.equal(await until(() => asked(page, 'only'), 'true'), 'true');
    const { body } = await call('GET', '/entities/thing:odd/diff?from=2&to=7');
    const differ = Object.fromEntries(
      Object.entries(object(body.changes)).map(([name, change]) => [name, signOf(change)]),
    );
    t.same(await until(() => signs(page), differ), differ);
    t.same((await rows(page)).map(({ name }) => name).sort(), Object.keys(differ).sort(), 'nothing else is shown');
    const row = page.locator('.state tr[data-property="note"] .difference');
    t.same(
      [await row.locator('del').allInnerTexts(), await row.locator('ins').allInnerTexts()].flat().length > 1,
      true,
    );
    t.notMatch(
      await row.locator('del').first().innerText(),
      /quick brown fox jumps/,
      'of a long text only its words that changed',
    );
    t.same(await axe(page), []);
    await picture(page, 'entity-differences');
    await page.getByLabel('compared with').selectOption('now');
    t.same(await until(() => signs(page), {}), {}, 'beside now, now has no difference');
  });

  await t.test('the list of ticks by who, what, and when', async (t) => {
    const page = await open(t, '?entity=thing:odd');
    for (const [query, ticks] of [
      ['actor=ada', [7, 3, 1]],
      ['changed=plan', [7, 6, 5, 2, 1]],
      ['op=updated', [7, 4, 3, 2]],
      ['since=2020-03-01T00:00:00Z&until=2020-05-01T00:00:00Z', [4, 3]],
      ['actor=ada&changed=plan', [7, 1]],
    ] as const) {
      await page.goto(`${url}?entity=thing:odd&${query}`);
      t.same(await until(() => listed(page), [...ticks]), ticks, query);
    }
    await page.getByLabel('by', { exact: true }).fill('bob');
    await page.getByLabel('that touched').fill('');
    await page.getByLabel('that touched').press('Tab');
    t.same(await until(() => listed(page), [2]), [2], 'what is typed is asked for');
    t.equal(await until(() => asked(page, 'actor'), 'bob'), 'bob');
    await page.getByLabel('since').fill('nonsense');
    await page.getByLabel('since').press('Tab');
    await page.getByText('is no day or time').waitFor();
    await page.getByRole('link', { name: 'all ticks' }).click();
    t.same(await until(() => listed(page), [7, 6, 5, 4, 3, 2, 1]), [7, 6, 5, 4, 3, 2, 1]);
    await page.locator('#lanes-filter').fill('bo');
    t.equal(await asked(page, 'beside'), null, 'what is typed into a field is no key');
    t.same(await until(() => page.locator('.lanes .name').allInnerTexts(), []), []);
  });

  await t.test('ticks are marks, bars and marks say who and why, the strip counts ticks', async (t) => {
    const page = await open(t, '?entity=thing:odd&at=2');
    const titles = () => page.locator('.marks .mark title').allTextContents();
    t.match(await until(async () => (await titles()).length, 7), 7);
    t.match((await titles())[1], /^tick 2: updated, 2020-02-01 00:00:00 UTC, by bob: reason 2$/);
    t.equal(await page.locator('.marks .mark.here').getAttribute('data-first'), '2');
    t.same(
      await page.evaluate(
        "['op-created', 'op-deleted', 'op-restored'].map((op) => document.querySelectorAll('.mark.' + op).length)",
      ),
      [1, 1, 1],
    );
    const columns = await page.locator('.strip .density').getAttribute('d');
    t.equal(columns?.match(/M/g)?.length, 7, 'a column for each tick');
    await page.locator('.lane[data-property="plan"] .bar[data-from="1"]').hover();
    t.match(
      await page.locator('.tip').innerText(),
      /^plan: "free"\ntick 1 since 2020-01-01 00:00:00 UTC\nby ada: reason 1$/,
    );
    const essay = page.locator('.state tr[data-property="essay"]');
    t.ok((await essay.locator('.value').innerText()).length <= 240);
    await essay.getByRole('button', { name: 'all of it' }).click();
    t.equal((await essay.locator('.value').innerText()).trim(), `"${'word '.repeat(60)}"`);
  });

  await t.test('keys, buttons and the strip move and zoom the timeline', async (t) => {
    const page = await open(t, '?entity=thing:odd&at=3');
    let before = { from: '', to: '9999' };
    const goes = async (what: string, go: () => Promise<void>, is: (now: typeof before) => boolean) => {
      await go();
      const now = async () => ({ from: (await asked(page, 'from')) ?? '', to: (await asked(page, 'to')) ?? '9999' });
      t.ok(await until(async () => is(await now()), true), what);
      before = await now();
    };
    const press = (key: string) => () => page.keyboard.press(key);
    const later = ({ from, to }: typeof before) => from > before.from && to > before.to;
    const earlier = ({ from, to }: typeof before) => from < before.from && to < before.to;
    await goes('+ zooms in', press('+'), ({ from, to }) => from >= before.from && to < before.to);
    await goes('and again', press('+'), ({ from, to }) => from > before.from && to < before.to);
    await goes('Shift and right moves it', press('Shift+ArrowRight'), later);
    await goes('Shift and left', press('Shift+ArrowLeft'), earlier);
    await goes('a button', () => page.getByRole('button', { name: 'Later' }).click(), later);
    await goes('- zooms out', press('-'), ({ from, to }) => from < before.from || to > before.to);
    await goes(
      'all of time, of which no edge is said: what comes later belongs to it',
      () => page.getByRole('button', { name: 'all', exact: true }).click(),
      ({ from, to }) => from === '' && to === '9999',
    );
    const strip = await page.locator('.strip').boundingBox();
    if (!strip) throw new Error('nothing is drawn');
    const drag = (from: number, to: number) => async () => {
      await page.mouse.move(strip.x + strip.width * from, strip.y + 10);
      await page.mouse.down();
      await page.mouse.move(strip.x + strip.width * to, strip.y + 10, { steps: 4 });
      await page.mouse.up();
    };
    await goes('a brush on the strip', drag(0.2, 0.5), ({ from, to }) => from > '2020' && to < '2021');
    await goes('moved', drag(0.3, 0.4), later);
    await goes('its edge drawn', drag(0.6, 0.7), ({ from, to }) => from === before.from && to > before.to);
    t.equal(await shown(page), 3, 'the moment stays');
  });

  await t.test('what somebody else has written is there as soon as one looks again', async (t) => {
    await call('PUT', '/entities/thing:shared', { type: 'thing', properties: { n: 1 } });
    const page = await open(t, '?entity=thing:shared');
    t.same(await until(() => listed(page), [1]), [1]);
    await call('PATCH', '/entities/thing:shared', { properties: { n: 2 } });
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
    t.same(await until(() => listed(page), [2, 1]), [2, 1]);
    await sameState(t, page, call, 'thing:shared', null);
  });

  await t.test('lanes stand where they are listed, whatever is filtered; the address says by what', async (t) => {
    const names = ['a', 'k'].flatMap((first) => Array.from({ length: 14 }, (_, n) => `${first}${n}`));
    await call('PUT', '/entities/thing:many', {
      type: 'thing',
      properties: Object.fromEntries(names.map((name) => [name, 1])),
    });
    const page = await open(t, '?entity=thing:many');
    await scrollTo(page, 14);
    const drawn = async (expected: string[]) => {
      const read = () =>
        page.evaluate<string[]>(`{
          const box = document.querySelector('.lanes')?.getBoundingClientRect();
          [...document.querySelectorAll('.lane')].filter((lane) => {
            const { top, bottom } = lane.getBoundingClientRect();
            return top > box.top - 1 && bottom < box.bottom + 2;
          }).map((lane) => lane.dataset.property)}`);
      t.same(await until(read, expected), expected);
    };
    const last = names.slice(14);
    await drawn(last);
    await page.locator('#lanes-filter').fill('k');
    await page.waitForURL(/lanes=k$/);
    await drawn(last);
    const hidden = () =>
      page.evaluate<number>("{ const e = document.querySelector('.lanes'); e.scrollHeight - e.clientHeight }");
    t.equal(await until(hidden, 0), 0, 'nothing is below or above them');
    await page.reload();
    await drawn(last);
    t.equal(await page.locator('#lanes-filter').inputValue(), 'k');
  });

  await t.test('it is readable in the dark, on a telephone, and by axe', async (t) => {
    for (const look of [{ scheme: 'dark' }, { width: 360 }, { width: 360, scheme: 'dark' }] as const) {
      const page = await open(t, `?entity=${country}&at=2&beside=now`, look);
      await sameState(t, page, call, country, '2');
      t.same(await axe(page), []);
      const wide = await page.evaluate<number>(
        'document.documentElement.scrollWidth - document.documentElement.clientWidth',
      );
      t.equal(wide, 0, 'nothing is wider than the screen');
      await picture(page, `entity-${'width' in look ? 'narrow' : 'wide'}-${'scheme' in look ? 'dark' : 'light'}`);
    }
  });

  await t.test('20,000 ticks of 200 properties: only what is in view is drawn, wherever one goes', async (t) => {
    const id = '7b6c0f3e-58f1-4f57-a9c4-5a2d6c1f0a11';
    const names = Array.from({ length: 200 }, (_, n) => `p${n}`);
    const of = Object.fromEntries(names.map((name, n) => [name, `generate_series(${n + 1}, 20000, 200)`]));
    await writeDeep(sql, [{ id, of: { ...of, always: 'generate_series(2, 20000)' } }]);
    const page = await open(t, `?entity=${id}`);
    await page.getByText('20,000 in view').waitFor();
    const told = await toldRanges(call, id, names.slice(0, 13));
    t.same(await until(() => bars(page, told), told), told, 'all of time at once');
    const unread = () =>
      page.locator('.lane:has(.unread)').evaluateAll((lanes) => lanes.map(({ dataset }) => dataset.property));
    t.same(
      await until(unread, ['always']),
      ['always'],
      'what changed too often to be read is drawn as how many ticks there were',
    );
    await page.getByText('zoom in to see the values').waitFor();
    const drawn = () => page.evaluate<number>("document.querySelectorAll('.lane').length");
    t.ok((await drawn()) <= 16, 'so many lanes as are in view');
    const box = await page.locator('.lanes').boundingBox();
    if (!box) throw new Error('nothing is drawn');
    await page.mouse.move(box.x + box.width / 2, box.y + 80);
    await page.keyboard.down('Control');
    for (let n = 0; n < 20; n++) await page.mouse.wheel(0, -120);
    await page.keyboard.up('Control');
    t.ok(await until(async () => (await asked(page, 'from')) !== null, true), 'a wheel with Ctrl zooms');
    const from = await asked(page, 'from');
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2 + 300, box.y + 90, { steps: 20 });
    await page.mouse.up();
    t.ok(
      await until(async () => text((await asked(page, 'from')) ?? '') < text(from ?? ''), true),
      'dragged to what was before',
    );
    const window = { from: text((await asked(page, 'from')) ?? ''), to: text((await asked(page, 'to')) ?? '') };
    const some = await toldRanges(call, id, ['always', ...names.slice(0, 13)], window);
    const inView = async () => {
      const drawn = await bars(page, new Map([...told, ...some]));
      return new Map(
        [...some].map(([name, ranges]) => [name, drawn.get(name)?.filter((range) => ranges.includes(range))]),
      );
    };
    t.same(await until(inView, some), some, 'what is in view has been read; a little more is drawn');
    await page.keyboard.press('Home');
    t.equal(await until(() => shown(page), 1), 1);
    t.ok(await until(async () => text((await asked(page, 'from')) ?? '') < window.from, true), 'the timeline follows');
    await scrollTo(page, 150);
    t.ok(await until(async () => (await page.locator('.lane[data-property="p155"]').count()) === 1, true));
    t.ok((await drawn()) <= 16);
    await page.locator('#lanes-filter').fill('p19');
    t.equal(await until(drawn, 11), 11, 'p19 and p190 to p199');
    await picture(page, 'entity-deep');
  });

  await t.test('what somebody has written turns nothing around but itself, and all of it can be read', async (t) => {
    const long = '🎉'.repeat(300);
    const names = ['\u202egpj.exe', 'plan\u3164', '<img src=x onerror="document.title=1">', '__proto__'];
    const properties = Object.fromEntries([
      ...names.map((name) => [name, { [name]: 1 }]),
      ['long', long],
      ['odd', `x${long}`],
    ]);
    const others = Object.fromEntries(names.map((name) => [name, { [name]: 2 }]));
    await call('PUT', '/entities/thing:hostile', {
      type: 'thing',
      properties,
      activity: { actor: '\u202erofa', reason: '\u202eyhw' },
    });
    await call('PATCH', '/entities/thing:hostile', { properties: others, activity: { actor: '\u202erofa' } });
    const page = await open(t, '?entity=thing:hostile&at=1');
    const told = ['"\\u202egpj.exe"', '"plan\\u3164"', JSON.stringify(names[2]), '__proto__'];
    await page.locator('.lane').nth(5).waitFor();
    const heads = await page.locator('.lanes .name').allInnerTexts();
    for (const name of told) t.ok(heads.includes(name), name);
    await page.getByRole('button', { name: 'Bring back "plan\\u3164" as it is here' }).click();
    const dialog = page.getByRole('dialog', { name: 'Undo "plan\\u3164"' });
    await dialog.getByText('What would change').waitFor();
    t.match(await dialog.locator('.path').innerText(), '["plan\\u3164"]');
    await page.keyboard.press('Escape');
    t.same(
      await page.evaluate(`[...document.querySelectorAll('a, q, strong, span, code')]
        .filter((one) => getComputedStyle(one).unicodeBidi !== 'isolate' && one.children.length === 0).map((one) => one.outerHTML)`),
      [],
    );
    for (const [name, value] of [
      ['long', long],
      ['odd', `x${long}`],
    ]) {
      const row = page.locator(`.state tr[data-property="${name}"]`);
      await row.getByRole('button', { name: 'all of it' }).click();
      t.equal(await row.locator('.value').innerText(), JSON.stringify(value));
    }
    t.equal(await page.locator('img').count(), 0);
  });

  await t.test('where a state cannot be read, no other one stands in its place', async (t) => {
    const page = await open(t, `?entity=${country}&at=3`, { forgives: /503/ });
    await sameState(t, page, call, country, '3');
    const body = {
      type: '/docs/problems/overloaded',
      status: 503,
      title: '…',
      code: 'overloaded',
      detail: 'Too many.',
    };
    await page.route(/asOf=2&/, (route) =>
      route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify(body) }),
    );
    await page.keyboard.press('ArrowLeft');
    await page.locator('.state').getByText('Too many.').first().waitFor();
    t.match(await page.locator('.state h2').innerText(), 'at tick 2');
    t.same(await rows(page), []);
    await page.unroute(/asOf=2&/);
    await page.locator('.state').getByRole('button', { name: 'Ask again' }).first().click();
    await sameState(t, page, call, country, '2');
  });
});

/** Seven ticks a month apart: values of all kinds, names that are data, a deletion. */
function oddLines(): string {
  const note =
    'The quick brown fox jumps over the lazy dog, and over the fence, and over the hills, and is never seen again.';
  const made = {
    plan: 'free',
    city: 'Oslo',
    ['__proto__']: { x: [1, 2] },
    constructor: null,
    '💚 long name': 1.5,
    note,
    essay: 'word '.repeat(60),
  };
  const lines: [op: string, properties: JsonObject | null, actor: string][] = [
    ['put', JSON.parse(JSON.stringify(made)), 'ada'],
    ['patch', { plan: 'team', city: null }, 'bob'],
    ['patch', { '💚 long name': 2 }, 'ada'],
    ['patch', { note: note.replace('hills', 'mountains').replace('lazy', 'sleepy') }, 'eve'],
    ['delete', null, 'eve'],
    ['put', { plan: 'team', note: note.replace('hills', 'mountains') }, 'eve'],
    ['patch', { plan: 'free', seats: 3 }, 'ada'],
  ];
  return lines
    .map(([op, properties, actor], n) =>
      JSON.stringify({
        type: 'thing',
        key: 'odd',
        op,
        at: `2020-0${n + 1}-01T00:00:00Z`,
        activity: { actor, reason: `reason ${n + 1}` },
        ...(properties && { properties }),
      }),
    )
    .join('\n');
}

async function importLines(base: string, source: string, body: string): Promise<void> {
  const headers = { 'content-type': 'application/x-ndjson' };
  const answer = await fetch(`${base}/import?source=${source}&skew=shift`, { method: 'POST', headers, body });
  const told = await answer.text();
  if (!told.includes('"done"')) throw new Error(told);
}

/** Asks again until something is as expected, or for so long that it never will be; gives the last answer. */
async function until(read: () => Promise<unknown>, expected: unknown): Promise<unknown> {
  const end = Date.now() + 60_000;
  for (;;) {
    const value = await read();
    if (isDeepStrictEqual(value, expected) || Date.now() > end) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

type Ranges = Map<string, string[]>;

/** The ranges of properties as `from-to`, oldest first, as the API tells them; of all properties that its ticks changed. */
async function toldRanges(
  call: Call,
  entity: string,
  names?: readonly string[],
  window?: { from: string; to: string },
): Promise<Ranges> {
  const path = `/entities/${encodeURIComponent(entity)}/history`;
  const { body } = await call('GET', `${path}?limit=1000`);
  const all = names ?? [...new Set(list(body.items).flatMap((tick) => Object.keys(object(object(tick).changes))))];
  const query = window ? `&from=${window.from}&to=${window.to}` : '';
  const ranges: Ranges = new Map();
  for (const name of all) {
    const { body } = await call('GET', `${path}/${encodeURIComponent(name)}?limit=1000${query}`);
    ranges.set(
      name,
      list(body.items).map((item) => {
        const { from, to } = object(object(item).vclock);
        return `${from}-${to ?? ''}`;
      }),
    );
  }
  return ranges;
}

const namesOf = (ranges: Ranges): string[] => [...ranges.keys()].sort();

/** Brings a lane into view, by its number from 0, and waits until that is drawn. */
const scrollTo = (page: Page, row: number): Promise<void> =>
  page.evaluate(`new Promise((drawn) => {
    document.querySelector('.lanes').scrollTo(0, ${row} * 28);
    requestAnimationFrame(() => requestAnimationFrame(drawn));
  })`);

/** The names of the lanes, of so many that come into view. */
async function lanes(page: Page, count: number): Promise<string[]> {
  const names = new Set<string>();
  for (let row = 0; row < count; row += 7) {
    await scrollTo(page, row);
    for (const name of await page.evaluate<string[]>(
      "[...document.querySelectorAll('.lane')].map((lane) => lane.dataset.property)",
    ))
      names.add(name);
  }
  await scrollTo(page, 0);
  return [...names].sort();
}

/**
 * The bars of lanes, as their ranges are told. A bar of several ranges becomes those that are told from where it begins, if there are so many
 * and the last of them ends where it does.
 */
async function bars(page: Page, told: Ranges): Promise<Ranges> {
  const drawn: Ranges = new Map();
  for (let row = 0; row < told.size; row += 7) {
    await scrollTo(page, row);
    const seen = await page.evaluate<[name: string, bars: [from: string, to: string, count: number][]][]>(`
      [...document.querySelectorAll('.lane')].map((lane) => [lane.dataset.property,
        [...lane.querySelectorAll('.bar')].map(({ dataset }) => [dataset.from, dataset.to, Number(dataset.count)])])`);
    for (const [name, all] of seen) {
      const ranges = told.get(name);
      if (!ranges) continue;
      drawn.set(
        name,
        all.flatMap(([from, to, count]) => {
          if (count === 1) return [`${from}-${to}`];
          const first = ranges.findIndex((range) => range.startsWith(`${from}-`));
          const several = ranges.slice(first, first + count);
          return several.at(-1)?.endsWith(`-${to}`) ? several : [`${count} from ${from} to ${to}`];
        }),
      );
    }
  }
  await scrollTo(page, 0);
  return new Map([...told.keys()].map((name) => [name, drawn.get(name) ?? []]));
}

const asked = async (page: Page, name: string): Promise<string | null> => new URL(page.url()).searchParams.get(name);

/** The tick whose state is shown. */
const shown = async (page: Page): Promise<number> =>
  Number(await page.getByRole('slider', { name: 'As of' }).getAttribute('aria-valuenow'));

const listed = (page: Page): Promise<number[]> =>
  page.evaluate<number[]>("[...document.querySelectorAll('.sentences li')].map((item) => item.value)");

const absent = (page: Page): Promise<string[]> => page.locator('.state .absent').allInnerTexts();

type Row = { name: string; value: string | null; since: string | null; who: string | null; sign: string | null };

const rows = (page: Page): Promise<Row[]> =>
  page.evaluate<Row[]>(`[...document.querySelectorAll('.state tbody tr')].map((row) => ({
    name: row.dataset.property,
    value: row.querySelector('.value')?.textContent ?? null,
    since: row.querySelector('.set a')?.textContent ?? null,
    who: row.querySelector('.set a[href*="activity="]')?.textContent ?? null,
    sign: row.querySelector('.sign')?.textContent ?? null,
  }))`);

async function signs(page: Page): Promise<Record<string, string>> {
  const signed = (await rows(page)).flatMap(({ name, sign }) => (sign === null ? [] : [[name, sign]]));
  return Object.fromEntries(signed);
}

const signOf = (change: Json): string => ('from' in object(change) ? ('to' in object(change) ? '~' : '−') : '+');

async function newest(call: Call, entity: string): Promise<number> {
  const { body } = await call('GET', `/entities/${entity}`);
  return Number(body.tick);
}

/** That the table of the state says what the API says, with who set each value and since when. */
async function sameState(t: Test, page: Page, call: Call, entity: string, at: string | null): Promise<void> {
  const { body } = await call('GET', `/entities/${entity}?include=provenance${at === null ? '' : `&asOf=${at}`}`);
  const provenance = object(body.provenance);
  const expected = Object.fromEntries(
    Object.entries(object(body.properties)).map(([name, value]) => {
      const { vclock, activity } = object(provenance[name]);
      return [name, [valueText(value, 240), `tick ${object(vclock).from}`, isObject(activity) ? activity.actor : null]];
    }),
  );
  const read = async () => {
    const all = (await rows(page)).filter(({ value }) => value !== null);
    return Object.fromEntries(all.map(({ name, value, since, who }) => [name, [value, since, who]]));
  };
  t.same(await until(read, expected), expected, `the state as of ${at ?? 'now'}`);
}
