import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { ROOT } from '../helper/program.js';
import { testService } from '../helper/service.js';

/** Runs the command as its users do. */
async function clocktick(
  args: string[],
  { input = '', env = {} }: { input?: string; env?: Record<string, string> } = {},
) {
  const { CLOCKTICK_URL: _, ...clean } = process.env;
  const child = spawn(process.execPath, ['dist/cli/clocktick.js', 'import', ...args], {
    cwd: ROOT,
    env: { ...clean, NODE_OPTIONS: '', ...env },
  });
  child.stdin.on('error', () => {}); // it has ended before it read all
  child.stdin.end(input);
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await ended, output, errors };
}

const line = (key: string, n: number) => `${JSON.stringify({ type: 'friend', key, properties: { n } })}\n`;

t.test('a file, or what comes in, is imported; the exit code says how that ended', async (t) => {
  const { app, call } = await testService(t);
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const folder = t.testdir({
    'friends.ndjson': line('a', 1) + line('b', 1),
    'wrong.ndjson': `${line('c', 1)}{"type"\n`,
  });
  await writeFile(join(folder, 'friends.ndjson.gz'), gzipSync(line('a', 1) + line('b', 2)));
  const at = ['--url', url];
  const cases: [args: string[], input: string, code: number, output: RegExp, errors: RegExp][] = [
    [[...at, join(folder, 'friends.ndjson')], '', 0, /^2 lines: 2 changed, 0 unchanged, 0 left out; 2 ticks\n$/, /^$/],
    [[...at, join(folder, 'friends.ndjson.gz')], '', 0, /^2 lines: 1 changed, 1 unchanged, /, /^$/],
    [[...at, '-', '--source', 's'], line('b', 3), 0, /^1 line: 1 changed/, /^$/],
    [[...at, '-', '--dry-run'], line('b', 4), 0, /^dry run, nothing is written: 1 line: 1 changed/, /^$/],
    // What is told in a line may hold what other programs end lines at.
    [[...at, '-'], '{"watermark": "\u2028\u2029\u0085"}\n', 0, /^1 line: 0 changed/, /^$/],
    [
      [...at, '-', '--mode', 'insert'],
      line('b', 4),
      2,
      /^$/,
      /^clocktick: Line 1: friend:b is there already, and not as the line says\. \(entity_exists\) Nothing was kept\. Mend that, /,
    ],
    [
      [...at, '-', '--mode', 'replace-all', '--source', 'pets', '--wait', '5'],
      '{"type":"pet","key":"x","properties":{}}\n',
      0,
      /^1 line: 1 changed, 0 unchanged, 0 left out; 1 tick, of which 0 deleted what no line named\n$/,
      /^$/,
    ],
    [
      [...at, '-', '--mode', 'replace-all', '--source', 'pets'],
      '{"type":"pet","key":"y","properties":{}}\n',
      0,
      /; 2 ticks, of which 1 deleted what no line named\n$/,
      /^$/,
    ],
    [
      [...at, '-', '--mode', 'replace-all'],
      '',
      1,
      /^0 lines: /,
      /^What no line named is still there, because lines were left out, or/,
    ],
    [
      [...at, '-', '--wait', 'long'],
      line('b', 4),
      2,
      /^$/,
      /^clocktick: wait: must be a number of seconds from 0 to 600\. \(invalid_parameter\)\n$/,
    ],
    [
      [...at, '-', '--mode', 'all'],
      line('b', 4),
      2,
      /^$/,
      /^clocktick: mode: must be upsert or insert or replace-all\. \(invalid_parameter\)\n$/,
    ],
    [
      [...at, join(folder, 'wrong.ndjson')],
      '',
      2,
      /^$/,
      /^clocktick: Line 2: the text ends too early, at column 8\. \(malformed_json\) Nothing was kept\. .* See http:\S+\/docs\/problems\/malformed_json\n$/,
    ],
    [
      [...at, join(folder, 'wrong.ndjson'), '--on-error', 'skip'],
      '',
      1,
      /^2 lines: 1 changed, 0 unchanged, 1 left out; 1 tick\n$/,
      /^line 2: /,
    ],
    [
      [...at, join(folder, 'none.ndjson')],
      '',
      2,
      /^$/,
      /^clocktick: there is no file .*none\.ndjson that could be read\.\n$/,
    ],
    [[...at], '', 2, /^$/, /^clocktick: name the file to import, or - for standard input\.\n$/],
    [[...at, 'a', 'b'], '', 2, /^$/, /^clocktick: import takes one file, and no argument b\.\n$/],
    [['-', '--url', 'nonsense'], '', 2, /^$/, /^clocktick: --url, or CLOCKTICK_URL, must be a URL such as http:/],
    [['-', '--all'], '', 2, /^$/, /^clocktick: Unknown option '--all'/],
    [
      ['--help'],
      '',
      0,
      /^Usage: clocktick import <file \| -> [\s\S]*"watermark"[\s\S]*Exit codes: 0 all is imported/,
      /^$/,
    ],
  ];
  for (const [args, input, code, output, errors] of cases) {
    const ran = await clocktick(args, { input });
    const what = args.slice(2).join(' ');
    t.match(ran.output, output, what);
    t.match(ran.errors, errors, what);
    t.equal(ran.code, code, what);
  }
  t.match((await call('GET', '/entities/friend:b')).body, { tick: 3, properties: { n: 3 } });
  t.match(
    (await call('GET', '/imports/friends.ndjson')).body,
    { status: 'done', ticks: 2 },
    'a source has the name of its file',
  );
  t.match(await clocktick(['-'], { input: line('d', 1), env: { CLOCKTICK_URL: url } }), { code: 0 });
});

t.test('where no service answers, or something else, it says so', async (t) => {
  const other = createServer((_, answer) => answer.writeHead(404).end('<html>'));
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.teardown(() => other.close());
  const { port }: Partial<AddressInfo> = Object(other.address());
  t.match(await clocktick(['-', '--url', `http://127.0.0.1:${port}`]), {
    code: 2,
    errors: /^clocktick: what answers there is no clocktick: status 404\.\n$/,
  });
  t.match(await clocktick(['-', '--url', 'http://127.0.0.1:1']), {
    code: 2,
    errors:
      /^clocktick: no service answers at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\)\. --url or CLOCKTICK_URL says where it is\.\n$/,
  });
});
