import t from 'tap';
import { checkerOf } from '../../src/definitions/checker.js';

const holds = (format: string, value: string | number): boolean =>
  checkerOf({ properties: { it: { format } } }).check({ it: value }).length === 0;

t.test('formats that are asserted', async (t) => {
  const rows: [format: string, valid: string[], invalid: string[]][] = [
    [
      'date-time',
      [
        '2016-08-19T12:30:05Z',
        '2016-08-19t12:30:05z',
        '2016-08-19T12:30:05.000000000000001+05:30',
        '2000-02-29T00:00:00-23:59',
        '2016-12-31T23:59:60Z',
        '2017-01-01T05:29:60+05:30',
        '2016-12-31T15:59:60.5-08:00',
      ],
      [
        '2016-08-19 12:30:05Z',
        '2016-08-19T12:30:05',
        '2016-08-19T12:30Z',
        '2016-08-19T24:00:00Z',
        '2016-08-19T12:60:00Z',
        '2016-08-19T12:30:61Z',
        '2016-08-19T12:30:60Z',
        '2016-12-31T23:59:60+01:00',
        '2016-08-19T12:30:05+0530',
        '2016-08-19T12:30:05+05',
        '2016-08-19T12:30:05+24:00',
        '2016-08-19T12:30:05.Z',
        '2015-02-29T00:00:00Z',
        '16-08-19T12:30:05Z',
        '2016-08-19T12:30:05Z\n',
        '٢٠١٦-08-19T12:30:05Z',
        '',
      ],
    ],
    [
      'date',
      ['2016-08-19', '2000-02-29', '2024-02-29', '0001-01-31', '2016-04-30'],
      [
        '1900-02-29',
        '2023-02-29',
        '2016-04-31',
        '2016-13-01',
        '2016-00-01',
        '2016-01-00',
        '2016-8-1',
        '20160819',
        '2016-08-19Z',
        '2016-08-19\n',
        '2016-W33-5',
        '',
      ],
    ],
    [
      'time',
      ['12:30:05Z', '23:59:60Z', '12:30:05.25+01:00'],
      ['12:30:05', '12:30Z', '24:00:00Z', '22:59:60Z', '12:30:05+0100', ''],
    ],
    [
      'duration',
      ['P1Y2M3DT4H5M6S', 'P1W', 'PT0S', 'P3D', 'PT36H', 'P1YT1S'],
      ['P', 'PT', 'P1D2H', 'P1Y2D', 'PT1H2S', 'P1W1D', 'P1.5D', '1D', 'P-1D', ''],
    ],
    [
      'email',
      [
        'joe@example.com',
        'j.o+e@sub.example.org',
        '"joe @ home"@example.com',
        '"a\\"b"@example.com',
        'joe@[127.0.0.1]',
        'joe@[IPv6:::1]',
        "o'neil!#$%&*@example",
        'a@b',
      ],
      [
        'joe',
        '@example.com',
        'joe@',
        '.joe@example.com',
        'joe.@example.com',
        'jo..e@example.com',
        'joe bloggs@example.com',
        'joe@-example.com',
        'joe@example..com',
        'joe@[127.0.0.300]',
        'joe@[::1]',
        'joe@exa mple.com',
        'joé@example.com',
        'joe@example.com\n',
        '',
      ],
    ],
    [
      'uri',
      [
        'https://example.com/a?b=c#d',
        'urn:uuid:2eb8aa08-aa98-11ea-b4aa-73b441d16380',
        'mailto:joe@example.com',
        'tel:+1-816-555-1212',
        'file:///etc/hosts',
        'http://[2001:db8::7]:8080/',
        'http://user:pw@example.com:80',
        'ldap://[v7.a:b]/c',
        'http://example.com/%F0%9F%98%80',
        'a:',
      ],
      [
        '//example.com',
        '/a/b',
        'example.com',
        'http://exa mple.com',
        'http://example.com:abc/',
        'http://[::1',
        'http://a/[b]',
        'http://example.com/%zz',
        'http://example.com/"',
        'http://example.com/é',
        '1a:b',
        ':a',
        'http://a b',
        'a:\\b',
        'a:b#c#d',
        'http://example.com\n',
        '',
      ],
    ],
    [
      'uri-reference',
      ['', '/a/b', '//example.com', '?a=b', '#c', 'a/b:c', 'http://example.com'],
      ['\\\\a', '1:b', 'a b', '/[::1]', '#a#b'],
    ],
    [
      'uri-template',
      ['http://example.com/{id}{?a,b*,c:3}', '{+path}/x', '{a.b}', ''],
      ['{', '}', '{a', '{a b}', 'a b', '{a:0}'],
    ],
    [
      'uuid',
      [
        '2eb8aa08-aa98-11ea-b4aa-73b441d16380',
        '2EB8AA08-AA98-11EA-B4AA-73B441D16380',
        '00000000-0000-0000-0000-000000000000',
        '99c17cbb-656f-f64a-940f-1a4568f03487',
      ],
      [
        '2eb8aa08aa9811eab4aa73b441d16380',
        '2eb8aa08-aa98-11ea-b4aa-73b441d1638',
        '2eb8aa08-aa98-11ea-b4aa-73b441d163800',
        '2eb8aa08-aa98-11ea-b4aa73b441d16380-',
        '2eb8aa08-aa98-11ea-b4ga-73b441d16380',
        'urn:uuid:2eb8aa08-aa98-11ea-b4aa-73b441d16380',
        '{2eb8aa08-aa98-11ea-b4aa-73b441d16380}',
        '2eb8aa08-aa98-11ea-b4aa-73b441d16380\n',
        '',
      ],
    ],
    [
      'hostname',
      ['example.com', 'a', '1.2', 'xn--nxasmq6b', 'a'.repeat(63)],
      ['', '-a', 'a-', 'a_b', 'a..b', '.a', 'a.', 'a'.repeat(64), 'é', `${'a.'.repeat(127)}a`],
    ],
    [
      'ipv4',
      ['0.0.0.0', '255.255.255.255'],
      ['256.0.0.1', '1.2.3', '01.2.3.4', '1.2.3.4.5', '1.2.3.4/8', '0x7f.0.0.1', ''],
    ],
    [
      'ipv6',
      [
        '::',
        '::1',
        '1::',
        '2001:db8::ff00:42:8329',
        '::ffff:192.168.0.1',
        '1:2:3:4:5:6:7:8',
        '1:2:3:4:5:6:7::',
        '1:2:3:4:5:6:1.2.3.4',
      ],
      [
        '1:2:3:4:5:6:7',
        '1:2:3:4:5:6:7:8:9',
        '1::2::3',
        ':::',
        '12345::',
        '::1%eth0',
        ':1',
        '1:',
        '::1.2.3',
        '1:2:3:4:5:6:7:8::',
        '1.2.3.4::',
        '',
      ],
    ],
    ['json-pointer', ['', '/', '/a~0b~1c/0', '/é'], ['a', '/~', '/~2', '#/a']],
    ['relative-json-pointer', ['0', '1/a', '2#'], ['/a', '-1', '01', '0##', '']],
    ['regex', ['^a+$', '(?<=a)b', '\\p{L}', ''], ['(', '[', 'a**', '\\a', '\\p{X}']],
  ];
  for (const [format, valid, invalid] of rows) {
    for (const text of valid) t.ok(holds(format, text), `${format}: ${JSON.stringify(text)}`);
    for (const text of invalid) t.notOk(holds(format, text), `${format}: not ${JSON.stringify(text)}`);
    t.ok(holds(format, 5), `${format}: only strings have one`);
  }
});

t.test('other formats are annotations, but not those of the standard', async (t) => {
  for (const format of ['cuid', 'password', 'int32', 'binary', 'Date', '__proto__', 'toString', ''])
    t.ok(holds(format, '\\ '), format);
  for (const format of ['idn-email', 'idn-hostname', 'iri', 'iri-reference'])
    t.throws(() => holds(format, ''), {
      code: 'invalid_definition',
      notes: { errors: [{ path: '/schema/properties/it/format' }] },
    });
});
