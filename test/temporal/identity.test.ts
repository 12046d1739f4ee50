import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { idOfKey, isFreshId, isKey, isUuid, newId, parseAddress } from '../../src/temporal/identity.js';
import { MAX_KEY_LENGTH, TYPE_PATTERN } from '../../src/temporal/limits.js';
import { Refusal } from '../../src/temporal/refusal.js';

const V5 = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** RFC 9562 section 5.5: SHA-1 over the namespace's octets and the name's, cut to 16, with version and variant put in. */
function version5(name: string): string {
  const namespace = Buffer.from('3f0ac0bb6a3c5d0c9f572f7d2c1e4b10', 'hex');
  const octets = createHash('sha1').update(namespace).update(name, 'utf8').digest().subarray(0, 16);
  octets.writeUInt8((octets.readUInt8(6) & 0x0f) | 0x50, 6);
  octets.writeUInt8((octets.readUInt8(8) & 0x3f) | 0x80, 8);
  return octets.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The refusal of an address that must be refused. */
function refused(text: string): Refusal {
  try {
    parseAddress(text);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(text)}`);
}

t.test('the id of a key never changes', async (t) => {
  // These ids are a contract: callers keep them. A row that fails means that every keyed entity would be lost.
  const rows: [type: string, key: string, id: string][] = [
    ['friend', 'rachel', 'c510c931-2d93-5035-8ec9-c89afd5eba93'],
    ['friend', 'Rachel', '61869475-a54b-5217-9a7e-e07565c16f3f'],
    ['country', 'FRA', '00c09022-3a44-55ee-a631-2e746d32152c'],
    ['place', 'a:b', '788fe2b4-1631-5b4c-be3c-0260911a108e'],
    ['place', ':', '585bc59e-856e-5bdd-a661-fc321eec3c35'],
    ['place', 'a/b?c#d%20e', '8061dbc5-b846-5eff-beff-de42274efdad'],
    ['place', '😀', '98b553de-55c9-5742-83d4-40c746877661'],
    // The same to the eye, composed and not: keys are compared as they are written.
    ['place', '\u00e9', 'f9388acc-e197-5d52-90c7-1a9eee4d4227'],
    ['place', 'e\u0301', '87c047f2-a45f-51c7-b00f-a2f5d6f3b9a4'],
    ['place', ' ', '3fc83ca5-1d96-5b37-9128-6e456f55e853'],
    ['place', '\n', '7561633e-79a6-5c52-878c-7ddec86c77f0'],
    ['thing', '__proto__', '7930a224-788b-50f4-bbf7-d7ce75225595'],
    ['thing', '😀'.repeat(512), '39f612d7-60ff-5f5d-a031-fdcac39f3478'],
    ['a', 'x', 'c3c07000-f509-5986-be7a-cbbe3f890213'],
    [`a${'b'.repeat(62)}`, 'x', 'dbd5e48d-6d01-5c76-acee-53e7d2889ec6'],
    ['a-b_9', 'x', '997d2259-a558-56bb-bd52-cf1f2eea52f4'],
  ];
  for (const [type, key, id] of rows) {
    const says = `${type.slice(0, 20)}:${JSON.stringify(key.slice(0, 20))}`;
    t.equal(idOfKey(type, key), id, says);
    t.equal(version5(`${type}:${key}`), id, `${says} as RFC 9562 computes it`);
  }
  t.equal(new Set(rows.map(([, , id]) => id)).size, rows.length);
});

const type = fc
  .tuple(
    fc.constantFrom(...'abcxyz'),
    fc.string({ unit: fc.constantFrom(...'abcxyz0189_-'), maxLength: 62, size: 'max' }),
  )
  .map((letters) => letters.join(''));
const key = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
    fc.string({ unit: fc.constantFrom(...':/?#%@ "\'\\\n', '😀', 'é', 'a'), minLength: 1 }),
  )
  .filter((text) => !text.includes('\0'));

t.test('property: the id of a key is the version 5 of RFC 9562, one for each pair', async (t) => {
  fc.assert(
    fc.property(type, key, (type, key) => {
      const id = idOfKey(type, key);
      return id === version5(`${type}:${key}`) && V5.test(id);
    }),
  );
  const pair = fc.tuple(
    fc.constantFrom('a', 'ab', 'a-b'),
    fc.string({ unit: fc.constantFrom(...'ab:-'), minLength: 1, maxLength: 4 }),
  );
  fc.assert(
    fc.property(pair, pair, (one, two) => {
      const same = one[0] === two[0] && one[1] === two[1];
      return (idOfKey(...one) === idOfKey(...two)) === same;
    }),
    { numRuns: 1000 },
  );
  t.pass();
});

t.test('new ids are version 7: of this moment, and increasing', async (t) => {
  const before = Date.now();
  const ids = Array.from({ length: 10_000 }, newId);
  const after = Date.now();
  t.strictSame(
    ids.filter((id) => !V7.test(id)),
    [],
  );
  t.strictSame(ids, [...new Set(ids)].sort(), 'each later than the one before, many in a millisecond');
  for (const id of [ids.at(0), ids.at(-1)]) {
    const at = Number.parseInt(id?.replaceAll('-', '').slice(0, 12) ?? '', 16);
    t.ok(at >= before && at <= after, `${at} is from ${before} to ${after}`);
  }
});

t.test('an address is a UUID of any version, in any case', async (t) => {
  const ids = [
    '00000000-0000-0000-0000-000000000000',
    'c232ab00-9414-11ec-b3c8-9f6bdeced846',
    '5df41881-3aed-3515-88a7-2f4a814cf09e',
    '919108f7-52d1-4320-9bac-f847db4148a8',
    '2ed6657d-e927-568b-95e1-2665a8aea6a2',
    '1ec9414c-232a-6b00-b3c8-9f6bdeced846',
    '017f22e2-79b0-7cc3-98c4-dc0c0c07398f',
    '2489e9ad-2ee2-8e00-8ec9-32d5f69181c0',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    newId(),
    idOfKey('friend', 'rachel'),
  ];
  for (const id of ids) {
    const mixed = id.replace(/^.{18}/, (half) => half.toUpperCase());
    for (const text of [id, id.toUpperCase(), mixed])
      t.strictSame(parseAddress(text), { id, label: id, named: null }, text);
  }
});

t.test('B29 an address is type:key, everything after the first colon being the key', async (t) => {
  const rows: [type: string, key: string][] = [
    ['friend', 'rachel'],
    ['friend', 'Rachel'],
    ['country', 'FRA'],
    ['a', '1'],
    ['a-b_c9', 'x'],
    [`a${'b'.repeat(62)}`, 'x'],
    ['place', ':'],
    ['place', '::'],
    ['place', 'a:b'],
    ['place', 'a:b:'],
    ['place', ':a'],
    ['place', '/'],
    ['place', '../../etc'],
    ['place', '.'],
    ['place', 'a/b?c#d%20e'],
    ['place', ' '],
    ['place', ' a '],
    ['place', '\n'],
    ['place', '\u0001'],
    ['place', '"\'`\\,;'],
    ['place', '😀'],
    ['place', 'é'],
    ['place', 'e\u0301'],
    ['place', '__proto__'],
    ['place', 'constructor'],
    ['place', 'null'],
    // A UUID after a colon is a key; so is what follows urn:.
    ['place', '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'],
    ['urn', 'uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f'],
    // 512 characters, whatever each takes in UTF-16 or UTF-8.
    ['place', 'x'.repeat(512)],
    ['place', '😀'.repeat(512)],
    ['place', `${'é'.repeat(511)}😀`],
  ];
  for (const [type, key] of rows) {
    const text = `${type}:${key}`;
    t.strictSame(
      parseAddress(text),
      { id: version5(text), label: text, named: { type, key } },
      JSON.stringify(text.slice(0, 60)),
    );
  }
});

t.test('anything else is no address', async (t) => {
  const form = 'An entity is addressed by its UUID or as type:key.';
  const key = 'A key has 1 to 512 characters, none of them U+0000 or half a surrogate pair.';
  const rows: [text: string, message: string][] = [
    ['', form],
    [' ', form],
    ['x', form],
    ['friend', form],
    [':', form],
    ['::', form],
    [':x', form],
    ['Friend:x', form],
    ['FRIEND:x', form],
    ['frIend:x', form],
    ['friénd:x', form],
    ['1friend:x', form],
    ['-friend:x', form],
    ['_friend:x', form],
    ['my friend:x', form],
    [' friend:x', form],
    ['friend :x', form],
    ['friend\n:x', form],
    ['my.friend:x', form],
    ['my/friend:x', form],
    ['friend/x', form],
    ['friend：x', form],
    [`a${'b'.repeat(63)}:x`, form],
    ['__proto__:x', form],
    ['\0:x', form],
    ['😀:x', form],
    // Nearly a UUID.
    ['{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}', form],
    ['017f22e279b07cc398c4dc0c0c07398f', form],
    ['017f22e279b0-7cc3-98c4-dc0c0c07398f', form],
    ['017f22e2-79b07cc3-98c4-dc0c0c07398f', form],
    ['017f22e2-79b0-7cc398c4-dc0c0c07398f', form],
    ['017f22e2-79b0-7cc3-98c4dc0c0c07398f', form],
    ['017f22e2-79b0-7cc3-98c4-dc0c0c07398', form],
    ['017f22e2-79b0-7cc3-98c4-dc0c0c07398f0', form],
    ['017f22e2-79b0-7cc3-98c4-dc0c0c07398g', form],
    ['017f22e-279b0-7cc3-98c4-dc0c0c07398f', form],
    ['017f22e2_79b0_7cc3_98c4_dc0c0c07398f', form],
    ['017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n', form],
    [' 017f22e2-79b0-7cc3-98c4-dc0c0c07398f', form],
    ['017f22e2-79b0-7cc3-98c4-dc0c0c07398f:x', form],
    ['０17f22e2-79b0-7cc3-98c4-dc0c0c07398f', form],
    ['x'.repeat(100_000), form],
    // A type, and no key that can be kept.
    ['friend:', key],
    [`friend:${'x'.repeat(513)}`, key],
    [`friend:${'😀'.repeat(513)}`, key],
    [`friend:${'x'.repeat(100_000)}`, key],
    ['friend:\0', key],
    ['friend:a\0b', key],
    ['friend:\ud83d', key],
    ['friend:\ude00', key],
    ['friend:\ude00\ud83d', key],
    ['friend:a\ud83db', key],
  ];
  for (const [text, message] of rows) {
    const refusal = refused(text);
    const says = JSON.stringify(text.slice(0, 60));
    t.equal(refusal.code, 'invalid_id', says);
    t.equal(refusal.message, message, says);
    t.strictSame(refusal.notes, { errors: [{ path: 'id', message }] }, says);
  }
});

t.test('only a UUID of version 4 or 7 can be the id of something new', async (t) => {
  const rows: [id: string, fresh: boolean][] = [
    ['919108f7-52d1-4320-9bac-f847db4148a8', true],
    ['017f22e2-79b0-7cc3-98c4-dc0c0c07398f', true],
    ['017F22E2-79B0-7CC3-B8C4-DC0C0C07398F', true],
    [newId(), true],
    ['00000000-0000-0000-0000-000000000000', false],
    ['c232ab00-9414-11ec-b3c8-9f6bdeced846', false],
    ['000003e8-cf49-21ef-9d00-325096b39f47', false],
    ['5df41881-3aed-3515-88a7-2f4a814cf09e', false],
    ['1ec9414c-232a-6b00-b3c8-9f6bdeced846', false],
    ['2489e9ad-2ee2-8e00-8ec9-32d5f69181c0', false],
    ['ffffffff-ffff-ffff-ffff-ffffffffffff', false],
    // It may belong to a key that is yet to be born.
    [idOfKey('friend', 'rachel'), false],
    // Versions 4 and 7, but of other variants than that of RFC 9562 (section 4.1).
    ['919108f7-52d1-4320-7bac-f847db4148a8', false],
    ['919108f7-52d1-4320-cbac-f847db4148a8', false],
    ['017f22e2-79b0-7cc3-f8c4-dc0c0c07398f', false],
  ];
  for (const [id, fresh] of rows) {
    t.equal(isFreshId(id), fresh, id);
    t.ok(isUuid(id), `${id} may be there all the same`);
  }
  for (const text of ['', 'friend:rachel', '919108f752d143209bacf847db4148a8', '919108f7-52d1-4320-9bac-f847db4148a']) {
    t.notOk(isUuid(text), text);
    t.notOk(isFreshId(text), text);
  }
});

t.test('what a key can be', async (t) => {
  for (const key of ['a', ' ', ':', '\n', '😀', 'x'.repeat(MAX_KEY_LENGTH), '😀'.repeat(MAX_KEY_LENGTH)]) {
    t.ok(isKey(key), JSON.stringify(key.slice(0, 20)));
  }
  for (const key of [
    '',
    '\0',
    'a\0',
    '\ud83d',
    '\ude00',
    'x'.repeat(MAX_KEY_LENGTH + 1),
    '😀'.repeat(MAX_KEY_LENGTH + 1),
  ]) {
    t.notOk(isKey(key), JSON.stringify(key.slice(0, 20)));
  }
  t.equal(MAX_KEY_LENGTH, 512);
});

t.test('property: the address of an entity finds its id, and any text is an address or a refusal', async (t) => {
  fc.assert(
    fc.property(type, key, (type, key) => {
      const { id, label, named } = parseAddress(`${type}:${key}`);
      if (named?.type !== type || named.key !== key) return false;
      return id === idOfKey(type, key) && label === `${type}:${key}` && parseAddress(id).id === id;
    }),
  );
  const piece = fc.constantFrom(...'aZ09_-:/ \n\0', '\ud83d', '\ude00', '😀', '017f22e2-79b0-7cc3-98c4-dc0c0c07398f');
  const seen = { addresses: 0, refused: 0 };
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: piece, maxLength: 6 }), fc.string({ unit: 'binary' }), fc.uuid()),
      (text) => {
        try {
          const { id, label } = parseAddress(text);
          seen.addresses += 1;
          const colon = label.indexOf(':');
          if (colon === -1) return id === text.toLowerCase() && label === id && id.length === 36;
          return label === text && TYPE_PATTERN.test(text.slice(0, colon)) && id === version5(text);
        } catch (error) {
          seen.refused += 1;
          return error instanceof Refusal && error.code === 'invalid_id';
        }
      },
    ),
    { numRuns: 5000 },
  );
  t.ok(Math.min(seen.addresses, seen.refused) > 500, JSON.stringify(seen));
});
