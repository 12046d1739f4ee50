import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { EXECUTABLE } from '../helper/browser.js';
import { withOwnServers } from '../helper/own-servers.js';

/*
 * Draws the picture that the README opens with: `npm run picture`. It shows the timeline of a country of the demo, as of the moment at which
 * somebody had written nonsense, beside what was there before.
 */
const FILE = fileURLToPath(new URL('../../src/guide/page.png', import.meta.url));
const VIEW = '?entity=country:RUR&at=2021-03-14T02:11:50Z&beside=before&only=true';

await withOwnServers({}, async ({ databaseUrl, start }) => {
  const url = await start(['dist/main.js', '--demo'], { DATABASE_URL: databaseUrl, PORT: '0', LOG_LEVEL: 'silent' });
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ['--no-sandbox', '--disable-gpu'] });
  const page = await browser.newPage({ viewport: { width: 1240, height: 748 }, locale: 'en-GB', timezoneId: 'UTC' });
  await page.goto(`${url}/ui/${VIEW}`);
  await page.getByRole('heading', { level: 1, name: 'RUR' }).waitFor();
  await page.locator('.lane .bar').first().waitFor();
  await page.locator('.state .difference').first().waitFor();
  await page.waitForLoadState('networkidle');
  await page.screenshot({ path: FILE });
  await browser.close();
});
process.exit(0);
