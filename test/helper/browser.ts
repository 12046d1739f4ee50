import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import axeCore from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';
import t, { type Test } from 'tap';

/*
 * The page in a real browser: that of the distribution, or the one that CHROMIUM names. A process starts one, at its first page, and all its tests
 * share it; each page has cookies, a cache and an address bar of its own.
 */

export const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Why tests in a browser are left out; false where there is one. It is what `skip` of a test takes. */
export const NO_BROWSER = existsSync(EXECUTABLE)
  ? false
  : `there is no Chromium at ${EXECUTABLE}: CHROMIUM says where one is`;

/** For what hangs only: a slow machine must not fail. */
const PATIENCE_MS = 120_000;

/** A machine without a screen, a container run by root; and nothing that it does by itself reaches the network. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
];

let started: Promise<Browser> | undefined;

function browser(): Promise<Browser> {
  if (started) return started;
  const starting = chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS, timeout: PATIENCE_MS });
  started = starting;
  t.teardown(async () => (await starting).close());
  return starting;
}

type Look = {
  width?: number;
  height?: number;
  scheme?: 'light' | 'dark';
  /** Faults that the test is about: the browser reports every answer of 400 or more, and every connection that is lost. */
  forgives?: RegExp;
};

/**
 * Opens a tab, which closes when the test ends. The test fails if by then there was an error in the console or in the page's program, something
 * that its policy forbids, or a request without an answer.
 */
export async function openTab(t: Test, { width = 1280, height = 900, scheme = 'light', forgives }: Look = {}) {
  const context = await (await browser()).newContext({
    viewport: { width, height },
    colorScheme: scheme,
    reducedMotion: 'reduce',
    locale: 'en-GB',
    timezoneId: 'Europe/Oslo',
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const faults: string[] = [];
  const page = await context.newPage();
  page.on('console', (message) => {
    // What the policy forbids is one of these.
    if (message.type() === 'error') faults.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => faults.push(`error: ${error.stack ?? error.message}`));
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    // Whoever goes on to what is next asks no longer for what was.
    if (why !== 'net::ERR_ABORTED') faults.push(`request: ${request.method()} ${request.url()} ${why}`);
  });
  t.teardown(async () => {
    await context.close();
    const left = faults.filter((fault) => !forgives?.test(fault));
    if (left.length > 0) throw new Error(`the browser reports:\n${left.join('\n')}`);
  });
  return page;
}

/** What axe-core finds wrong for people with disabilities with the page as it is now: the rules, and where each is broken. */
export async function axe(page: Page): Promise<string[]> {
  // As a debugger does, which no policy of the page forbids.
  await page.evaluate(axeCore.source);
  return page.evaluate<string[]>(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
    violations.flatMap(({ id, help, nodes }) => nodes.map(({ target, failureSummary }) =>
      id + ': ' + help + ' at ' + target.join(' ') + '\\n' + failureSummary)))`);
}

/** Keeps a picture of the page as `name`.png in the folder that SCREENSHOTS names; without it, none. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
