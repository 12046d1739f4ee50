import { parseArgs } from 'node:util';
import { type Browser, chromium, type Page } from 'playwright-core';
import postgres from 'postgres';
import { writeDeep } from '../helper/deep-entity.js';
import { withOwnServers } from '../helper/own-servers.js';
import { median } from './figures.js';

/*
 * How soon the page of an entity of 20,000 ticks and 200 properties is there, and how long a frame takes while its timeline is panned:
 * `npm run bench:page`. In a browser, which CHROMIUM names if it is not where Debian puts it, and which asks a service of its own.
 *
 * A frame is from one animation frame to the next, in each of which the pointer drags on; the screen shows one every 16.7 ms at best.
 */
const { values } = parseArgs({
  options: {
    ticks: { type: 'string', default: '20000' },
    properties: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '7' },
  },
});
const TICKS = Number(values.ticks);
const PROPERTIES = Number(values.properties);
const ROUNDS = Number(values.rounds);
const FRAMES = 120;
const PIXELS = 7;

const ID = '7b6c0f3e-58f1-4f57-a9c4-5a2d6c1f0a11';
const SIZE = { width: 1440, height: 1000 };

/** How often Ctrl and the wheel zoom in, and what is then in view. */
const ZOOMS = [0, 6, 14];

await withOwnServers({}, async ({ databaseUrl, serviceUrl, start }) => {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  const names = Array.from({ length: PROPERTIES }, (_, n) => `property${n}`);
  const of = Object.fromEntries(names.map((name, n) => [name, `generate_series(${n + 1}, ${TICKS}, ${PROPERTIES})`]));
  await writeDeep(sql, [{ id: ID, of }]);
  await sql`VACUUM ANALYZE`;
  await sql.end();
  const url = await start(['dist/main.js'], { DATABASE_URL: serviceUrl, PORT: '0', LOG_LEVEL: 'silent' });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
  try {
    process.stdout.write(`${TICKS.toLocaleString('en')} ticks, ${PROPERTIES} properties\n\n`);
    process.stdout.write(await openings(browser, `${url}/ui/?entity=${ID}`));
    process.stdout.write(await pans(browser, `${url}/ui/?entity=${ID}`));
  } finally {
    await browser.close();
  }
});
process.exit(0);

async function openTab(browser: Browser, url: string): Promise<Page> {
  const context = await browser.newContext({ viewport: SIZE });
  const page = await context.newPage();
  page.on('pageerror', (error) => process.stderr.write(`${error.stack}\n`));
  await page.goto(url);
  return page;
}

/** How soon after it was asked for: something, the first bars, and all ticks. Each time with an empty cache. */
async function openings(browser: Browser, url: string): Promise<string> {
  const seen: Record<'paint' | 'bars' | 'all', number[]> = { paint: [], bars: [], all: [] };
  for (let round = 0; round < ROUNDS; round++) {
    const page = await openTab(browser, url);
    const since = (selector: string, has: string) =>
      page.evaluate<number>(`new Promise((there) => {
        const look = () => [...document.querySelectorAll('${selector}')].some(({ textContent }) => textContent.includes('${has}'))
          ? there(performance.now()) : requestAnimationFrame(look);
        look();
      })`);
    const [bars, all] = await Promise.all([
      since('.bar', ''),
      since('.timeline .name', `all ${TICKS.toLocaleString('en')} ticks`),
    ]);
    const paint = await page.evaluate<number>(
      "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Number.NaN",
    );
    seen.paint.push(paint);
    seen.bars.push(bars);
    seen.all.push(all);
    await page.context().close();
  }
  const row = (name: string, took: readonly number[]) =>
    `| ${name} | ${median(took).toFixed(0)} | ${Math.max(...took).toFixed(0)} |`;
  return [
    '| ms from the request until | median | slowest |',
    '|---|---|---|',
    row('the first paint with content', seen.paint),
    row('lanes have bars', seen.bars),
    row('all ticks are read', seen.all),
    '',
    '',
  ].join('\n');
}

/** How long frames take while the timeline is dragged to and fro, with all of time in view, and with some. */
async function pans(browser: Browser, url: string): Promise<string> {
  const lines = [
    '| dragged with | elements drawn | ms a frame, median | 95 of 100 | slowest | over 50 ms |',
    '|---|---|---|---|---|---|',
  ];
  for (const zooms of ZOOMS) {
    const page = await openTab(browser, url);
    await page.getByText(`all ${TICKS.toLocaleString('en')} ticks`).waitFor();
    const box = await page.locator('.lanes').boundingBox();
    if (!box) throw new Error('nothing is drawn');
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    await page.mouse.move(x, y);
    await page.keyboard.down('Control');
    for (let n = 0; n < zooms; n++) await page.mouse.wheel(0, -120);
    await page.keyboard.up('Control');
    await page.waitForTimeout(2_000);
    await page.mouse.down();
    const frames = await page.evaluate<number[]>(`new Promise((dragged) => {
      const rows = document.querySelector('.rows');
      const frames = [];
      let before = performance.now();
      const frame = (now) => {
        if (frames.push(now - before) > ${FRAMES}) return dragged(frames.slice(1));
        before = now;
        const turn = frames.length % ${FRAMES / 2} < ${FRAMES / 4} ? 1 : -1;
        frame.x = (frame.x ?? ${x}) + turn * ${PIXELS};
        rows.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: frame.x, clientY: ${y}, buttons: 1 }));
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    })`);
    await page.mouse.up();
    const inView = await page.locator('.timeline .name').nth(1).innerText();
    const drawn = await page.evaluate<number>("document.querySelectorAll('.timeline svg *').length");
    const sorted = [...frames].sort((a, b) => a - b);
    lines.push(
      `| ${inView} | ${drawn} | ${median(frames).toFixed(1)} | ${(sorted[Math.floor(frames.length * 0.95)] ?? 0).toFixed(1)} | ${(sorted.at(-1) ?? 0).toFixed(1)} | ${frames.filter((took) => took > 50).length} of ${frames.length} |`,
    );
    await page.context().close();
  }
  return `${lines.join('\n')}\n`;
}
