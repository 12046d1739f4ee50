import fc from 'fast-check';
import t from 'tap';
import { isObject, type Json, type JsonObject, jsonEqual } from '../../src/temporal/json.js';
import { changesOf, type Difference, difference, mergeObject, mergePatch } from '../../src/temporal/patch.js';

/** A value as text with its members sorted: equal for equal values, and readable where a test fails. */
function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const sorted = Object.keys(value).sort();
  return `{${sorted.map((name) => `${JSON.stringify(name)}:${canonical(value[name] ?? null)}`).join()}}`;
}

/** JSON.parse makes a member of `__proto__`, where an object literal would set the prototype. */
const parsed = (text: string): Json => JSON.parse(text);

function parsedObject(text: string): JsonObject {
  const value = parsed(text);
  if (!isObject(value)) throw new Error(`no object: ${text}`);
  return value;
}

/** An object with this one member, whatever its name. */
const only = (name: string, value: Json): JsonObject => Object.fromEntries([[name, value]]);

/** What every object inherits. */
const ofAllObjects = () => Reflect.ownKeys(Object.prototype).map((key) => [key, Reflect.get(Object.prototype, key)]);
const atFirst = ofAllObjects();

t.test('the test cases of RFC 7396, Appendix A', async (t) => {
  const rows: [original: string, patch: string, result: string][] = [
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', 'null', 'null'],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"a":1,"e":null}'],
    ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
    ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ];
  for (const [original, patch, result] of rows) {
    t.equal(canonical(mergePatch(parsed(original), parsed(patch))), result, `${original} and ${patch}`);
  }
});

t.test('null removes, objects merge, anything else replaces, at every depth', async (t) => {
  const rows: [target: string | undefined, patch: string, result: string][] = [
    [undefined, '1', '1'],
    [undefined, 'null', 'null'],
    [undefined, '{"a":null,"b":{"c":null}}', '{"b":{}}'],
    ['null', '{"a":1}', '{"a":1}'],
    ['"a"', '{"length":null}', '{}'],
    ['[{"a":1}]', '{"0":{"b":2}}', '{"0":{"b":2}}'],
    ['{"a":1}', '{}', '{"a":1}'],
    ['{"a":{"b":1}}', '{"a":{}}', '{"a":{"b":1}}'],
    ['{"a":{"b":1}}', '{"a":[]}', '{"a":[]}'],
    ['{"a":{"b":1}}', '{"a":false}', '{"a":false}'],
    ['{"a":{"b":1}}', '{"a":{"b":null}}', '{"a":{}}'],
    ['{"a":null}', '{"a":{"b":1}}', '{"a":{"b":1}}'],
    ['{"a":[1,2]}', '{"a":{"b":null}}', '{"a":{}}'],
    ['{"a":{"b":{"c":{"d":1,"e":2}}}}', '{"a":{"b":{"c":{"d":null,"f":3}}}}', '{"a":{"b":{"c":{"e":2,"f":3}}}}'],
    ['{"a":{"b":{"c":1}},"z":{"y":1}}', '{"a":{"b":null,"d":{"e":2}}}', '{"a":{"d":{"e":2}},"z":{"y":1}}'],
  ];
  for (const [target, patch, result] of rows) {
    const merged = mergePatch(target === undefined ? undefined : parsed(target), parsed(patch));
    t.equal(canonical(merged), result, `${target} and ${patch}`);
  }
});

t.test('null is kept where it is no member of the patch: inside arrays, and in the target', async (t) => {
  const rows: [target: string, patch: string, result: string][] = [
    ['{}', '{"a":[null]}', '{"a":[null]}'],
    ['{"a":[1]}', '{"a":[null,{"b":null,"c":[{"d":null}]}]}', '{"a":[null,{"b":null,"c":[{"d":null}]}]}'],
    ['{"a":{"b":1}}', '{"a":{"b":[{"c":null}]}}', '{"a":{"b":[{"c":null}]}}'],
    ['{"a":null,"b":{"c":null}}', '{"b":{"d":1}}', '{"a":null,"b":{"c":null,"d":1}}'],
  ];
  for (const [target, patch, result] of rows) {
    t.equal(canonical(mergePatch(parsed(target), parsed(patch))), result, `${target} and ${patch}`);
  }
});

const AWKWARD_NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', '0', ''];

t.test('T39 names that mean something to JavaScript are data, at every level of target and patch', async (t) => {
  const around: [where: string, wrap: (value: JsonObject, name: string) => JsonObject][] = [
    ['at the top', (value) => value],
    ['inside a', (value) => ({ a: value })],
    ['inside itself', (value, name) => only(name, value)],
    ['inside __proto__', (value) => only('__proto__', value)],
    ['inside constructor.prototype', (value) => ({ constructor: { prototype: value } })],
  ];
  for (const name of AWKWARD_NAMES) {
    for (const [where, wrap] of around) {
      const says = `${JSON.stringify(name)} ${where}`;
      const merged = (target: JsonObject, patch: JsonObject) => {
        const result = mergeObject(target, patch);
        t.equal(Object.getPrototypeOf(result), Object.prototype, `${says}: a plain object`);
        return canonical(result);
      };
      const member = (value: Json) => wrap(only(name, value), name);
      const one = member({ x: 1 });
      t.equal(merged({}, one), canonical(one), `${says}: set`);
      t.equal(merged(one, { other: 1 }), canonical({ ...one, other: 1 }), `${says}: kept`);
      t.equal(merged(one, member({ y: 2 })), canonical(member({ x: 1, y: 2 })), `${says}: merged`);
      t.equal(merged(one, member([1])), canonical(member([1])), `${says}: replaced`);
      t.equal(merged(one, member(null)), canonical(wrap({}, name)), `${says}: removed`);
      t.equal(merged({}, member(null)), canonical(wrap({}, name)), `${says}: nothing to remove`);
    }
  }
  t.strictSame(ofAllObjects(), atFirst, 'Object.prototype is as it was');
});

t.test('what is inherited is neither in the target nor in the patch', async (t) => {
  const bare: JsonObject = Object.assign(Object.create(null), { a: 1 });
  t.equal(canonical(mergeObject(bare, { b: 2 })), '{"a":1,"b":2}');
  t.equal(canonical(mergeObject({ b: 2 }, bare)), '{"a":1,"b":2}');
  t.equal(canonical(mergeObject({}, { toString: { a: 1 } })), '{"toString":{"a":1}}');
  t.equal(canonical(mergeObject({}, parsedObject('{"__proto__":{"a":1}}'))), '{"__proto__":{"a":1}}');
});

t.test('difference', async (t) => {
  const rows: [from: string, to: string, set: string, clear: string[]][] = [
    ['{}', '{}', '{}', []],
    ['{}', '{"a":1}', '{"a":1}', []],
    ['{"a":1}', '{}', '{}', ['a']],
    ['{"a":1}', '{"a":2}', '{"a":2}', []],
    ['{"a":1,"b":2,"c":3}', '{"b":2,"c":4,"d":5}', '{"c":4,"d":5}', ['a']],
    // Never set is not null, and null is not removed.
    ['{}', '{"a":null}', '{"a":null}', []],
    ['{"a":null}', '{}', '{}', ['a']],
    ['{"a":null}', '{"a":null}', '{}', []],
    ['{"a":null}', '{"a":{}}', '{"a":{}}', []],
    ['{"a":0}', '{"a":false}', '{"a":false}', []],
    // A property is set whole, never a member of it.
    ['{"a":{"x":1,"y":1}}', '{"a":{"x":1,"y":2}}', '{"a":{"x":1,"y":2}}', []],
    ['{"a":{"x":1,"y":1}}', '{"a":{"x":1}}', '{"a":{"x":1}}', []],
    ['{"a":[1,2]}', '{"a":[2,1]}', '{"a":[2,1]}', []],
    // Equal as the database sees it.
    ['{"a":{"x":1,"y":[{"v":1,"w":2}]}}', '{"a":{"y":[{"w":2,"v":1}],"x":1}}', '{}', []],
    ['{"a":1,"b":2}', '{"b":2,"a":1}', '{}', []],
    ['{"a":1.0,"b":0,"c":[-0]}', '{"a":1,"b":-0,"c":[0]}', '{}', []],
    ['{"a":100}', '{"a":1e2}', '{}', []],
  ];
  for (const [from, to, set, clear] of rows) {
    const changed = difference(parsedObject(from), parsedObject(to));
    t.equal(canonical(changed.set), set, `${from} to ${to}`);
    t.strictSame(changed.clear, clear, `${from} to ${to}`);
  }
  for (const name of AWKWARD_NAMES) {
    const value = only(name, { x: 1 });
    t.equal(canonical(difference({}, value).set), canonical(value), `${name} is set`);
    t.strictSame(difference(value, {}), { set: {}, clear: [name] }, `${name} is cleared`);
    t.strictSame(difference(value, only(name, { x: 1 })), { set: {}, clear: [] }, `${name} stays`);
    t.equal(Object.getPrototypeOf(difference({}, value).set), Object.prototype);
  }
});

const name = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('__proto__', 'constructor', '', 'a', 'b') },
  { weight: 1, arbitrary: fc.string() },
);

/** fc.dictionary would set a prototype for the name `__proto__`; Object.fromEntries makes a member. */
const members = (value: fc.Arbitrary<Json>): fc.Arbitrary<JsonObject> =>
  fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, maxLength: 6 }).map(Object.fromEntries);

/** Values with few scalars and few names, so that two of them often meet in a place. */
const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 3, arbitrary: fc.constantFrom(null, null, true, 0, -0, 1, 'a') },
    { weight: 1, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
    { weight: 1, arbitrary: fc.array(tie('json'), { maxLength: 3 }) },
    { weight: 4, arbitrary: members(tie('json')) },
  ),
}));
const object = members(json);

/** The value with its members, and its zeros, turned about: another text, an equal value. */
function turned(value: Json): Json {
  if (value === 0) return -value;
  if (Array.isArray(value)) return value.map(turned);
  return isObject(value) ? turnedObject(value) : value;
}

function turnedObject(value: JsonObject): JsonObject {
  const reversed = Object.entries(value).reverse();
  return Object.fromEntries(reversed.map(([key, member]) => [key, turned(member)]));
}

/** JSON with Maps for objects: there a name can be nothing but data. */
type Tree = null | boolean | number | string | Tree[] | Map<string, Tree>;

function treeOf(value: Json): Tree {
  if (Array.isArray(value)) return value.map(treeOf);
  if (!isObject(value)) return value;
  return new Map(Object.entries(value).map(([key, member]) => [key, treeOf(member)]));
}

function canonicalTree(tree: Tree): string {
  if (Array.isArray(tree)) return `[${tree.map(canonicalTree).join()}]`;
  if (!(tree instanceof Map)) return JSON.stringify(tree);
  const texts = new Map([...tree].map(([key, member]) => [key, canonicalTree(member)]));
  return `{${[...texts.keys()]
    .sort()
    .map((key) => `${JSON.stringify(key)}:${texts.get(key)}`)
    .join()}}`;
}

/** The pseudocode of RFC 7396 section 2, line by line; it changes its target. */
function rfc7396(target: Tree | undefined, patch: Tree): Tree {
  if (patch instanceof Map) {
    const into = target instanceof Map ? target : new Map<string, Tree>();
    for (const [key, value] of patch) {
      if (value === null) {
        if (into.has(key)) into.delete(key);
      } else {
        into.set(key, rfc7396(into.get(key), value));
      }
    }
    return into;
  }
  return patch;
}

t.test('property: a merge is what the pseudocode of RFC 7396 makes', async (t) => {
  fc.assert(
    fc.property(json, json, (target, patch) => {
      const expected = canonicalTree(rfc7396(treeOf(target), treeOf(patch)));
      return canonical(mergePatch(target, patch)) === expected;
    }),
    { numRuns: 1000 },
  );
  const seen = { removed: 0, merged: 0, replaced: 0 };
  fc.assert(
    fc.property(object, object, (target, patch) => {
      for (const [key, value] of Object.entries(patch)) {
        if (!Object.hasOwn(target, key)) continue;
        seen[value === null ? 'removed' : isObject(value) && isObject(target[key]) ? 'merged' : 'replaced'] += 1;
      }
      const expected = canonicalTree(rfc7396(treeOf(target), treeOf(patch)));
      return canonical(mergeObject(target, patch)) === expected;
    }),
    { numRuns: 2000 },
  );
  t.ok(Math.min(seen.removed, seen.merged, seen.replaced) > 50, JSON.stringify(seen));
});

t.test('property: a patch applied twice is the patch applied once', async (t) => {
  fc.assert(
    fc.property(json, json, (target, patch) => {
      const once = mergePatch(target, patch);
      return canonical(mergePatch(once, patch)) === canonical(once);
    }),
    { numRuns: 1000 },
  );
  t.pass();
});

t.test(
  'property: a patch without null members is in the result, and is all of it where there was nothing',
  async (t) => {
    fc.assert(
      fc.property(object, object.map(withoutNulls), (target, patch) => {
        const nothing = canonical(mergePatch(undefined, patch)) === canonical(patch);
        return nothing && contains(mergePatch(target, patch), patch);
      }),
      { numRuns: 1000 },
    );
    t.pass();

    /** Nulls inside arrays may stay: they are values. */
    function withoutNulls(value: Json): Json {
      if (!isObject(value)) return value;
      const kept = Object.entries(value).filter(([, member]) => member !== null);
      return Object.fromEntries(kept.map(([key, member]) => [key, withoutNulls(member)]));
    }

    function contains(whole: Json | undefined, part: Json): boolean {
      if (whole === undefined) return false;
      if (!isObject(part)) return canonical(whole) === canonical(part);
      if (!isObject(whole)) return false;
      return Object.entries(part).every(([key, member]) => Object.hasOwn(whole, key) && contains(whole[key], member));
    }
  },
);

t.test('property: neither a merge nor a difference changes what it is given', async (t) => {
  fc.assert(
    fc.property(object, object, (one, two) => {
      const text = JSON.stringify([one, two]);
      mergePatch(one, two);
      mergeObject(one, two);
      difference(one, two);
      return JSON.stringify([one, two]) === text;
    }),
    { numRuns: 1000 },
  );
  t.pass();
});

t.test('property: a difference leads from one state to the other and says no more than it must', async (t) => {
  // States that are related, as the states of one entity are: some properties equal, some gone, some new.
  const related = fc
    .tuple(object, object, fc.infiniteStream(fc.boolean()))
    .map(([from, other, coin]): [JsonObject, JsonObject] => {
      const kept = Object.entries(turnedObject(from)).filter(() => coin.next().value);
      return [from, Object.fromEntries([...kept, ...Object.entries(other).filter(() => coin.next().value)])];
    });
  const seen = { set: 0, cleared: 0, equal: 0 };
  fc.assert(
    fc.property(fc.oneof(related, fc.tuple(object, object)), ([from, to]) => {
      const changed = difference(from, to);
      for (const key of new Set([...Object.keys(from), ...Object.keys(to)])) {
        const isIn = Object.hasOwn(to, key);
        const was = Object.hasOwn(from, key) ? canonical(from[key] ?? null) : undefined;
        const differs = isIn && canonical(to[key] ?? null) !== was;
        if (Object.hasOwn(changed.set, key) !== differs) return false;
        if (changed.clear.includes(key) === isIn) return false;
        seen[differs ? 'set' : isIn ? 'equal' : 'cleared'] += 1;
      }
      return jsonEqual(applied(from, changed), to) && new Set(changed.clear).size === changed.clear.length;
    }),
    { numRuns: 2000 },
  );
  t.ok(Math.min(seen.set, seen.cleared, seen.equal) > 100, JSON.stringify(seen));

  function applied(from: JsonObject, { set, clear }: Difference): JsonObject {
    const kept = Object.entries(from).filter(([key]) => !clear.includes(key));
    return Object.fromEntries([...kept, ...Object.entries(set)]);
  }
});

t.test('property: T11 equal states do not differ, in whatever order and with whatever zero', async (t) => {
  fc.assert(
    fc.property(object, (state) => {
      const same = [state, turnedObject(state), parsedObject(JSON.stringify(state))];
      return same.every((other) => {
        const { set, clear } = difference(state, other);
        return Object.keys(set).length === 0 && clear.length === 0;
      });
    }),
  );
  t.pass();
});

t.test('T39 after all this Object.prototype is as it was', async (t) => {
  t.strictSame(ofAllObjects(), atFirst);
});

t.test('what a difference changes is told in the order in which jsonb keeps names', async (t) => {
  const change = { set: { bb: 1, é: 1, a: { x: 1 }, Z: null, ['__proto__']: 2 }, clear: ['aa', 'never'] };
  const before = { a: 0, aa: 'gone', ['__proto__']: 1, kept: 1 };
  t.strictSame(changesOf(change, before), [
    { property: 'Z', from: undefined, to: null },
    { property: 'a', from: 0, to: { x: 1 } },
    { property: 'aa', from: 'gone', to: undefined },
    { property: 'bb', from: undefined, to: 1 },
    { property: 'é', from: undefined, to: 1 },
    { property: 'never', from: undefined, to: undefined },
    { property: '__proto__', from: 1, to: 2 },
  ]);
});
