import { access, readdir, readFile } from 'node:fs/promises';
import { parse } from '@readme/openapi-parser';
import { Marked, type Token, type Tokens } from 'marked';
import t from 'tap';
import { readConfig } from '../src/config.js';
import { slugOf } from '../src/http/answers/guide-pages.js';
import { PROBLEMS } from '../src/http/protocol/problems.js';
import { engine } from '../src/storage/storage.js';
import { figuresPage } from './bench/figures.js';
import { testDatabase } from './helper/database.js';
import { testService } from './helper/service.js';

const ROOT = new URL('../', import.meta.url);
const GUIDES = new URL('src/guide/', ROOT);
const names = (await readdir(GUIDES)).filter((name) => name.endsWith('.md'));
const FILES = [new URL('README.md', ROOT), ...names.map((name) => new URL(name, GUIDES))];
const nameOf = (file: URL) => file.href.slice(ROOT.href.length);
const guide = (name: string) => readFile(new URL(name, GUIDES), 'utf8');

t.test('anchors are those of GitHub', (t) => {
  for (const [heading, slug] of [
    ['A tour', 'a-tour'],
    ['How it is built, and what always holds', 'how-it-is-built-and-what-always-holds'],
    ['`GET /entities/:id` & more', 'get-entitiesid--more'],
    ['snake_case, hy-phen and Ünïcode', 'snake_case-hy-phen-and-ünïcode'],
  ] as const) {
    t.equal(slugOf(heading), slug);
  }
  t.end();
});

t.test('links lead somewhere, as files', async (t) => {
  for (const file of FILES) {
    const { links, anchors } = await read(file);
    t.equal(new Set(anchors).size, anchors.length, `${nameOf(file)} has each heading once`);
    for (const href of links.filter((href) => !/^https?:/.test(href))) {
      const to = new URL(href, file);
      const anchor = decodeURIComponent(to.hash.slice(1));
      to.hash = '';
      await t.resolves(access(to), `${nameOf(file)}: ${href}`);
      if (anchor) t.ok((await read(to)).anchors.includes(anchor), `${nameOf(file)}: ${href}`);
    }
  }
});

t.test('links lead somewhere, as served', async (t) => {
  const { app } = await testService(t);
  await app.ready();
  const base = 'http://clocktick/docs/guide/';
  const html = async (url: string) => (await app.inject(url.slice('http://clocktick'.length))).body;
  for (const name of names) {
    const page = new URL(name === 'index.md' ? '' : name.replace('.md', ''), base).href;
    const hrefs = new Set([...(await html(page)).matchAll(/ href="([^"]*)"/g)].map(([, href = '']) => href));
    t.ok(hrefs.size >= names.length, page);
    for (const href of hrefs) {
      const to = new URL(href.replaceAll('&amp;', '&'), page);
      if (to.origin !== 'http://clocktick') continue;
      const anchor = decodeURIComponent(to.hash.slice(1));
      to.hash = '';
      const answer = await app.inject(to.pathname);
      t.equal(answer.statusCode, 200, `${page}: ${href}`);
      if (anchor) t.match(answer.body, ` id="${anchor}"`, `${page}: ${href}`);
    }
  }
  t.match(app.swagger(), { info: { description: /\]\(\/docs\/guide\/\)/ } }, 'the OpenAPI document links to them');
});

t.test('calling.md names every problem code under its status, and no other', async (t) => {
  const section = (await guide('calling.md')).split('\n## Problems\n')[1] ?? '';
  const told = [...section.matchAll(/^\| (\d[\d, ]*)[^|]*\| (.*) \|$/gm)].flatMap(([, statuses = '', text = '']) =>
    [...text.matchAll(/`(?!tick`)([a-z_]+)`/g)].map(([, code = '']) => ({ code, statuses })),
  );
  t.same(told.map(({ code }) => code).toSorted(), Object.keys(PROBLEMS).toSorted());
  const statusOf = new Map<string, number>(Object.entries(PROBLEMS).map(([code, { status }]) => [code, status]));
  for (const { code, statuses } of told) t.match(statuses, String(statusOf.get(code)), code);
});

t.test('problems.md says of every code what it means and what to do, and no other', async (t) => {
  const sections = (await guide('problems.md')).split('\n## ').slice(1);
  const told = sections.map((section) => {
    const [, code, status, means, doing] =
      /^`(\w+)`\n\n(\d{3})\. (.+)\n\n\*What to do:\* (.+)\n*$/s.exec(section) ?? [];
    return { code, status: Number(status), isTold: (means?.length ?? 0) > 15 && (doing?.length ?? 0) > 10 };
  });
  t.same(
    told,
    Object.entries(PROBLEMS).map(([code, { status }]) => ({ code, status, isTold: true })),
  );
});

t.test('calling.md has every call of openapi.yaml in its tables', async (t) => {
  const rows = (await guide('calling.md')).split('\n').filter((line) => line.startsWith('| `'));
  const { paths } = await parse(new URL('openapi.yaml', ROOT).pathname);
  const calls = Object.entries(paths ?? {}).flatMap(([path, item]) =>
    Object.keys(item ?? {}).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
  );
  t.ok(calls.length >= 19);
  for (const call of calls) {
    t.ok(
      rows.some((row) => row.includes(`\`${call}\``) || row.includes(`\`${call}?`)),
      call,
    );
  }
  const told = rows.flatMap((row) =>
    [...(row.split('|')[1] ?? '').matchAll(/`([A-Z]+ \/[^`?]*)/g)].map(([, call]) => call),
  );
  t.same(
    told.filter((call = '') => !calls.includes(call)),
    ['GET /ui/', 'GET /', 'GET /docs', 'GET /openapi.yaml', 'GET /docs/guide/'],
    'and no other, but for what shows what there is',
  );
});

t.test('operating.md has every variable that configures the service, with its default', async (t) => {
  const text = await guide('operating.md');
  const rows = text.split('\n').filter((line) => /^\| `[A-Z]/.test(line));
  const asked = new Set<string>();
  readConfig(new Proxy<NodeJS.ProcessEnv>({}, { get: (_, name) => void asked.add(String(name)) }));
  t.ok(asked.size >= 6);
  for (const name of asked)
    t.ok(
      rows.some((row) => row.split('|')[1]?.includes(`\`${name}\``)),
      name,
    );
  const defaults = readConfig({});
  for (const value of [defaults.host, defaults.port, defaults.dataDir, defaults.logLevel, defaults.requireCondition]) {
    t.ok(
      rows.some((row) => row.split('|')[2]?.includes(`\`${value}\``)),
      String(value),
    );
  }
});

t.test('architecture.md names every variable of the tests, and every command', async (t) => {
  const text = await guide('architecture.md');
  const used = new Set<string>();
  for (const path of await readdir(new URL('test/', ROOT), { recursive: true })) {
    if (!path.endsWith('.ts')) continue;
    const source = await readFile(new URL(`test/${path}`, ROOT), 'utf8');
    for (const [, name = ''] of source.matchAll(/process\.env\.([A-Z_]+)/g)) used.add(name);
  }
  t.ok(used.has('COUNTRIES_HISTORY'));
  for (const name of used) t.match(text, `\`${name}\``);
  const { scripts }: { scripts: Record<string, string> } = JSON.parse(
    await readFile(new URL('package.json', ROOT), 'utf8'),
  );
  const known = text + (await guide('operating.md'));
  for (const name of Object.keys(scripts).filter((name) => !/^(?:pre|post)|^build$/.test(name))) {
    t.ok(known.includes(`\`npm ${['start', 'test'].includes(name) ? '' : 'run '}${name}\``), name);
  }
});

t.test('files and folders that the guides name are there', async (t) => {
  for (const file of FILES) {
    const text = await readFile(file, 'utf8');
    for (const [, path = ''] of text.matchAll(/`((?:src|test|drizzle)\/[\w./-]*)`/g)) {
      await t.resolves(access(new URL(path, ROOT)), `${nameOf(file)}: ${path}`);
    }
  }
});

t.test('operating.md counts the connections of an instance', async (t) => {
  const { storage } = await testDatabase(t);
  const section = (await guide('operating.md')).split('\n## Instances and connections\n')[1]?.split('\n## ')[0] ?? '';
  const rows = [...section.matchAll(/^\| (\d+) \|/gm)].map(([, count]) => Number(count));
  const sum = rows.reduce((all, count) => all + count, 0);
  t.match(section, ` up to ${sum} connections:`);
  const lanes = Object.values(storage[engine].lanes).reduce((all, { use }) => all + use.most, 0);
  const [sharedReads = 0, sharedWrites = 0, probe = 0, check = 0] = rows;
  t.equal(sum, lanes + sharedReads + sharedWrites + probe + check);
});

t.test('the README takes five minutes', async (t) => {
  const readme = await readFile(new URL('README.md', ROOT), 'utf8');
  t.ok(readme.split('\n').length <= 150);
  t.ok(Buffer.byteLength(readme) <= 9_000);
});

t.test('the bench writes a page of figures as it stands among the guides', async (t) => {
  const run = {
    date: '2026-11-28',
    cores: 2,
    cpu: 'some',
    postgres: '18.4',
    node: '20.19.0',
    command: 'npm run bench -- --record',
  };
  const written = await guide('figures.md');
  const tables = ['| what |\n|---|\n| one |\n', '| guards |\n|---|\n| two |\n'];
  const page = figuresPage(run, tables, written);
  for (const told of [
    '| 2026-11-28 |',
    '2 cores',
    '18.4',
    '20.19.0',
    '`npm run bench -- --record` |',
    '| one |\n\n| guards |',
  ]) {
    t.ok(page.includes(told), told);
  }
  const [head] = page.split('| date |');
  t.ok(written.startsWith(head ?? ''));
  const [, kept = ''] = written.split('\n\n## Figures that decided something\n');
  t.match(kept, '| MAX_PROPERTIES |');
  t.ok(page.endsWith(`| two |\n\n## Figures that decided something\n${kept}`), 'the bench keeps what people wrote');
  t.equal(figuresPage(run, tables, page), page);
});

/** Where a file's links lead, and the anchors of its headings. */
async function read(file: URL): Promise<{ links: string[]; anchors: string[] }> {
  const marked = new Marked();
  const links: string[] = [];
  const anchors: string[] = [];
  marked.walkTokens(marked.lexer(await readFile(file, 'utf8')), (token) => {
    if (isLink(token)) links.push(token.href);
    if (isHeading(token)) anchors.push(slugOf(token.text));
  });
  return { links, anchors };
}

const isLink = (token: Token): token is Tokens.Link => token.type === 'link';
const isHeading = (token: Token): token is Tokens.Heading => token.type === 'heading';
