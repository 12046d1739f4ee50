import t from 'tap';
import { readArguments, readConfig } from '../src/config.js';

t.test('a setting that makes no sense is refused by a sentence that shows no value', async (t) => {
  const cases: [env: Record<string, string>, says: RegExp][] = [
    [{ PORT: 'hunter2' }, /^PORT must be a number from 0 to 65535\.$/],
    [{ PORT: '70000' }, /^PORT must be a number/],
    [{ LOG_LEVEL: 'hunter2' }, /^LOG_LEVEL must be one of fatal, /],
    ...['-1', '1.5', '1000', 'hunter2', ' 1'].map((wrong): [Record<string, string>, RegExp] => [
      { DRAIN_SECONDS: wrong },
      /^DRAIN_SECONDS must be a number from 0 to 999\.$/,
    ]),
    [{ REQUIRE_CONDITION: 'yes' }, /^REQUIRE_CONDITION must be true or false\.$/],
    [{ ALLOWED_HOSTS: 'hunter2:80' }, /^ALLOWED_HOSTS must be names such as /],
    [{ DATABASE_URL: 'mysql://root:hunter2@localhost/x' }, /^DATABASE_URL must be a URL such as postgres:/],
    [{ DATABASE_URL: 'nonsense hunter2' }, /^DATABASE_URL must be a URL such as postgres:/],
    ...[
      'x',
      '//example.org',
      'ftp://example.org',
      'https://a.b?c',
      'https://a.b#c',
      'https://a:hunter2@c.d',
      'https://a.b/<c>',
    ].map((wrong): [Record<string, string>, RegExp] => [
      { PUBLIC_URL: wrong },
      /^PUBLIC_URL must be a URL such as https:/,
    ]),
  ];
  for (const [env, message] of cases) {
    t.throws(() => readConfig(env), { name: 'BadSetting', message }, JSON.stringify(env));
    t.throws(() => readConfig(env), { message: /^((?!hunter2).)*$/ });
  }
});

t.test('DRAIN_SECONDS is 0 where it is not set', async (t) => {
  t.equal(readConfig({}).drainSeconds, 0);
  t.equal(readConfig({ DRAIN_SECONDS: '10' }).drainSeconds, 10);
});

t.test('PUBLIC_URL is kept as headers can hold it, without a slash at its end', async (t) => {
  const cases: [given: string | undefined, kept: string | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    ['https://example.org', 'https://example.org'],
    ['https://example.org/', 'https://example.org'],
    ['https://example.org:8443/a/b//', 'https://example.org:8443/a/b'],
    ['https://例え.jp/é', 'https://xn--r8jz45g.jp/%C3%A9'],
    ['HTTP://Example.org', 'http://example.org'],
  ];
  for (const [given, kept] of cases) t.equal(readConfig({ PUBLIC_URL: given }).publicUrl, kept, String(given));
});

t.test('the command line may ask for a sample history, and for nothing else', async (t) => {
  t.same(readArguments([]), { demo: false });
  t.same(readArguments(['--demo']), { demo: true });
  for (const args of [['--dmeo'], ['demo'], ['--demo', '--port=1'], ['--demo=false'], ['']])
    t.throws(() => readArguments(args), {
      name: 'BadSetting',
      message: `no argument ${args.at(-1)}: there is only --demo`,
    });
});
