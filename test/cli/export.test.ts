import { spawn } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { breaking } from '../helper/breaking.js';
import { ROOT } from '../helper/program.js';
import { testService } from '../helper/service.js';

/** Runs the command as its users do. */
async function clocktick(args: string[], env: Record<string, string> = {}) {
  const { CLOCKTICK_URL: _, ...clean } = process.env;
  const child = spawn(process.execPath, ['dist/cli/clocktick.js', 'export', ...args], {
    cwd: ROOT,
    env: { ...clean, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await ended, output, errors };
}

/** A service with thousands of entities, some of them large, and what it exports. Nothing else is written to it. */
async function service(t: Test) {
  const { app } = await testService(t);
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const line = (key: string, properties: object) => `${JSON.stringify({ type: 'friend', key, properties })}\n`;
  const small = Array.from({ length: 3_500 }, (_, n) => line(`f${n}`, { n, text: 'a,\n"b"\u2028{"watermark": ' })).join(
    '',
  );
  const large = ['x', 'y'].map((key) => line(key, { text: key.repeat(1_000_000) })).join('');
  for (const lines of [small, large, line('f7', { n: 8 })])
    await fetch(`${url}/import?source=s`, {
      method: 'POST',
      body: lines,
      headers: { 'content-type': 'application/x-ndjson', accept: 'application/json' },
    }).then((answer) => answer.text());
  const exported = async (query = '') => (await fetch(`${url}/export?${query}`)).text();
  return { url, exported };
}

const { url, exported } = await service(t);

t.test('an export goes into a file, or to standard output', async (t) => {
  const folder = t.testdir({});
  const at = ['--url', url];
  const csv = 'type=friend&format=csv&fields=n&fields=text';
  const cases: [args: string[], query: string, lines: number][] = [
    [[], '', 3_502],
    [['-', '--history', 'full'], 'history=full', 3_503],
    [['--type', 'friend', '--format', 'csv', '--fields', 'n,text'], csv, 7_002],
    [['--type', 'friend', '--format', 'csv', '--fields', 'n', '--fields', 'text'], csv, 7_002],
    [['--type', 'none'], 'type=none', 0],
    [['--as-of', '2016-01-01T00:00:00Z'], 'asOf=2016-01-01T00:00:00Z', 0],
    [['--format', 'ranges', '--fields', 'n'], 'format=ranges&fields=n', 3_501],
  ];
  for (const [args, query, lines] of cases) {
    const ran = await clocktick([...args, ...at]);
    t.ok(ran.output === (await exported(query)), args.join(' '));
    t.match(ran, { code: 0, errors: `${lines} lines\n` });
  }
  const parquet = join(folder, 'a.parquet');
  const table = await clocktick([parquet, '--type', 'friend', '--format', 'parquet', '--fields', 'n', ...at]);
  t.match(table, { code: 0, errors: `${(await stat(parquet)).size} bytes\n` }, 'a Parquet file has no lines');
  t.match(await clocktick([join(folder, 'a.ndjson'), ...at]), { code: 0, output: '', errors: '3502 lines\n' });
  t.match(await clocktick([join(folder, 'a.ndjson.gz')], { CLOCKTICK_URL: url }), { code: 0 });
  t.same((await readdir(folder)).toSorted(), ['a.ndjson', 'a.ndjson.gz', 'a.parquet'], 'and no partial file stays');
  const plain = await exported();
  t.ok((await readFile(join(folder, 'a.ndjson'), 'utf8')) === plain);
  t.ok(gunzipSync(await readFile(join(folder, 'a.ndjson.gz'))).toString() === plain);
});

t.test('what cannot be exported is told', async (t) => {
  const { app } = await testService(t);
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const folder = t.testdir({});
  const cases: [args: string[], code: number, output: RegExp, errors: RegExp][] = [
    [['--format', 'csv', '--url', url], 2, /^$/, /^clocktick: type: is missing: .* \(invalid_parameter\)\n$/],
    [['a', 'b', '--url', url], 2, /^$/, /^clocktick: export takes one file, and no argument b\.\n$/],
    [['--source', 'a'], 2, /^$/, /^clocktick: Unknown option '--source'/],
    [
      ['--url', 'http://127.0.0.1:1'],
      2,
      /^$/,
      /^clocktick: no service answers at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\)/,
    ],
    [[join(folder, 'refused'), '--fields', 'a', '--url', url], 2, /^$/, /^clocktick: fields: does not go with ndjson/],
    [[join(folder, 'early'), '--recorded-as-of', '1999-01-01T00:00:00Z', '--url', url], 0, /^$/, /^0 lines\n$/],
    [[join(folder, 'no', 'file'), '--url', url], 2, /^$/, /^clocktick: .*file\.partial could not be written: ENOENT/],
    [
      ['--help'],
      0,
      /^Usage: clocktick export \[<file> \| -\] [\s\S]*Exit codes: 0 all is exported, 2 it failed\.\n$/,
      /^$/,
    ],
  ];
  for (const [args, code, output, errors] of cases) {
    const ran = await clocktick(args);
    t.match(ran.output, output, args.join(' '));
    t.match(ran.errors, errors, args.join(' '));
    t.equal(ran.code, code, args.join(' '));
  }
  t.same((await readdir(folder)).toSorted(), ['early'], 'what is refused leaves no file');
});

t.test('where the connection breaks it goes on from the last watermark, and the file is the same', async (t) => {
  const cases: [args: string[], query: string, breaks: number[], goesOn: RegExp][] = [
    // Before the first watermark, and in the middle of lines.
    [[], '', [5_000, 40_000, 150_000, 100_000, 700_000], /[?&]cursor=/],
    [['--history', 'full'], 'history=full', [1_000, 200_000, 100_000], /[?&]cursor=/],
    [['--format', 'ranges'], 'format=ranges', [100_000, 700_000], /[?&]cursor=/],
    // It has no watermarks: it is read again from its beginning, as of the same instant.
    [
      ['--type', 'friend', '--format', 'csv', '--fields', 'n'],
      'type=friend&format=csv&fields=n',
      [50_000, 100_000],
      /recordedAsOf=/,
    ],
  ];
  for (const [args, query, breaks, goesOn] of cases) {
    const times = breaks.length;
    const proxy = await breaking(t, url, breaks);
    const ran = await clocktick([...args, '--url', proxy.url]);
    t.equal(ran.code, 0, ran.errors.slice(-300));
    t.ok(ran.output === (await exported(query)), args.join(' '));
    t.equal(ran.errors.match(/The connection broke\. Going on\./g)?.length, times);
    t.match(proxy.asked.at(-1), goesOn);
    t.equal(proxy.asked.length, times + 1);
  }
});
