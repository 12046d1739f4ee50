import t from 'tap';
import { readConfig } from '../src/config.js';

t.test('DRAIN_SECONDS is a whole number', async (t) => {
  t.equal(readConfig({}).drainSeconds, 0);
  t.equal(readConfig({ DRAIN_SECONDS: '10' }).drainSeconds, 10);
  for (const wrong of ['-1', '1.5', '1000', 'x', ' 1'])
    t.throws(() => readConfig({ DRAIN_SECONDS: wrong }), { name: 'BadSetting' }, wrong);
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
  for (const wrong of [
    'x',
    '//example.org',
    'ftp://example.org',
    'https://a.b?c',
    'https://a.b#c',
    'https://a:b@c.d',
    'https://a.b/<c>',
  ])
    t.throws(() => readConfig({ PUBLIC_URL: wrong }), { name: 'BadSetting' }, wrong);
});
