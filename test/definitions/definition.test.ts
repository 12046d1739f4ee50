import t from 'tap';
import { definitionOf } from '../../src/definitions/definition.js';
import { isObject } from '../../src/temporal/json.js';
import { Refusal } from '../../src/temporal/refusal.js';

/** What a definition is read as, or how it is refused: the code, and each place with its message. */
function outcome(text: string): unknown {
  const given = JSON.parse(text);
  if (!isObject(given)) throw new Error('no object');
  try {
    return definitionOf(given);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return [error.code, ...(error.notes.errors ?? []).map(({ path, message }) => `${path}: ${message}`)];
  }
}

t.test('a definition is read', async (t) => {
  const rows: [text: string, expected: object][] = [
    ['{"schema":true}', { schema: true, untracked: [], activity: [], description: null }],
    ['{"schema":{}}', { schema: {}, untracked: [], activity: [], description: null }],
    [
      '{"schema":{"type":"object"},"untracked":["seen","__proto__","a/b"],"activity":["reason","actor"],"description":"Friends"}',
      {
        schema: { type: 'object' },
        untracked: ['seen', '__proto__', 'a/b'],
        activity: ['actor', 'reason'],
        description: 'Friends',
      },
    ],
  ];
  for (const [text, expected] of rows) t.strictSame(outcome(text), expected, text);
});

t.test('what is no definition is refused, with every place', async (t) => {
  const rows: [text: string, places: string[]][] = [
    ['{}', ['/schema: is required']],
    [
      '{"type":"object","properties":{}}',
      [
        '/schema: is required: a JSON Schema stands under it, {"schema": {…}}',
        '/type: is not known here',
        '/properties: is not known here',
      ],
    ],
    [
      '{"schema":{"propertys":{},"requierd":["a"],"items":{"minLenght":1},"x-propertys":1,"example":1,"unit":"m","count":1}}',
      ['propertys properties', 'requierd required', 'items/minLenght minLength'].map((name) => {
        const [place, meant] = name.split(' ');
        return `/schema/${place}: is no keyword: ${meant} is one, and the names of annotations of your own begin with x-`;
      }),
    ],
    ['{"schema":null}', ['/schema: must be a schema: an object, true or false']],
    ['{"schema":[]}', ['/schema: must be a schema: an object, true or false']],
    ['{"schema":true,"__proto__":1,"Schema":1}', ['/__proto__: is not known here', '/Schema: is not known here']],
    ['{"schema":true,"references":{"a":"b"}}', ['/references: is not supported: references are not supported yet']],
    ['{"schema":true,"untracked":"a"}', ['/untracked: must be an array of at most 1000 names of properties']],
    [
      '{"schema":true,"untracked":["a","a","",1,".","b\\u0000"]}',
      [
        '/untracked/1: stands in this array twice',
        '/untracked/2: is no name of a property: A property needs a name',
        '/untracked/3: must be a string: the name of a property',
        '/untracked/4: is no name of a property: A property cannot be named . or ..',
        "/untracked/5: is no name of a property: A property's name holds neither U+0000 nor half a surrogate pair",
      ],
    ],
    [
      '{"schema":true,"activity":["actor","actor"]}',
      ['/activity: must be an array of some of actor, reason, each once'],
    ],
    ['{"schema":true,"activity":"actor"}', ['/activity: must be an array of some of actor, reason, each once']],
    ['{"schema":true,"activity":["metadata"]}', ['/activity: must be an array of some of actor, reason, each once']],
    ['{"schema":true,"description":null}', ['/description: must be a string of at most 4096 characters']],
    [
      `{"schema":true,"description":"${'x'.repeat(4097)}"}`,
      ['/description: must be a string of at most 4096 characters'],
    ],
    [
      '{"description":1,"schema":{"properties":{"age":{"pattern":"("},"a/b":{"type":"text"}}}}',
      [
        '/description: must be a string of at most 4096 characters',
        '/schema/properties/age/pattern: is no regular expression of ECMA-262 with the flag u: Unterminated group, at character 2',
        '/schema/properties/a~1b/type: must be one of null, boolean, object, array, number, string, integer, or an array of some of these, each once',
      ],
    ],
  ];
  for (const [text, places] of rows) t.strictSame(outcome(text), ['invalid_definition', ...places], text.slice(0, 80));
  const many = JSON.stringify({ schema: { allOf: Array.from({ length: 100 }, () => ({ type: 'x' })) } });
  const told = outcome(many);
  t.equal(Array.isArray(told) && told.length, 21, 'at most twenty places');
});

t.test('a schema is of the form that the standard says', async (t) => {
  const rows: [schema: string, path: string, message: RegExp][] = [
    ['{"type":"any"}', '/type', /must be one of null/],
    ['{"type":[]}', '/type', /must be one of null/],
    ['{"type":["string","string"]}', '/type', /each once/],
    ['{"enum":1}', '/enum', /must be an array/],
    ['{"minimum":"1"}', '/minimum', /must be a number/],
    ['{"minimum":{"$data":"/x"}}', '/minimum', /must be a number/],
    ['{"exclusiveMinimum":true}', '/exclusiveMinimum', /must be a number/],
    ['{"multipleOf":0}', '/multipleOf', /greater than 0/],
    ['{"minLength":-1}', '/minLength', /an integer of at least 0/],
    ['{"maxItems":1.5}', '/maxItems', /an integer of at least 0/],
    ['{"uniqueItems":"yes"}', '/uniqueItems', /true or false/],
    ['{"required":"a"}', '/required', /an array of strings, each once/],
    ['{"required":["a","a"]}', '/required', /an array of strings, each once/],
    ['{"dependentRequired":{"a":"b"}}', '/dependentRequired', /an object of arrays of strings/],
    ['{"properties":[]}', '/properties', /an object of schemas/],
    ['{"properties":{"__proto__":1}}', '/properties/__proto__', /must be a schema/],
    ['{"patternProperties":{"(":true}}', '/patternProperties/(', /is no regular expression/],
    ['{"allOf":[]}', '/allOf', /at least one schema/],
    ['{"anyOf":{}}', '/anyOf', /at least one schema/],
    ['{"oneOf":[null]}', '/oneOf/0', /must be a schema/],
    ['{"items":[true]}', '/items', /must be a schema/],
    ['{"not":"x"}', '/not', /must be a schema/],
    ['{"contentSchema":1}', '/contentSchema', /must be a schema/],
    ['{"title":1}', '/title', /must be a string/],
    ['{"format":1}', '/format', /must be a string/],
    ['{"pattern":1}', '/pattern', /must be a string/],
    ['{"$ref":1}', '/$ref', /must be a string/],
    ['{"$id":"a#b"}', '/$id', /without a fragment/],
    ['{"$anchor":"1"}', '/$anchor', /must be a name/],
    ['{"$defs":{"a":{"$id":"x"},"b":{"$id":"x"}}}', '/$defs/b/$id', /another subschema/],
    ['{"$defs":{"a":{"$anchor":"x"},"b":{"$dynamicAnchor":"x"}}}', '/$defs/b/$dynamicAnchor', /another subschema/],
  ];
  for (const [schema, path, message] of rows) {
    const told = outcome(`{"schema":${schema}}`);
    t.match(
      told,
      ['invalid_definition', new RegExp(`^/schema${path.replace(/[$(/]/g, '\\$&')}: .*${message.source}`)],
      schema,
    );
  }
});

t.test('what is not supported is refused by name', async (t) => {
  const rows: [schema: string, path: string, message: RegExp][] = [
    [
      '{"$schema":"http://json-schema.org/draft-07/schema#"}',
      '/$schema',
      /schemas are of https:\/\/json-schema.org\/draft\/2020-12\/schema/,
    ],
    ['{"$vocabulary":{}}', '/$vocabulary', /\$vocabulary is for metaschemas only/],
    ['{"$recursiveRef":"#"}', '/$recursiveRef', /it is \$dynamicRef/],
    ['{"$recursiveAnchor":true}', '/$recursiveAnchor', /it is \$dynamicAnchor/],
    ['{"id":"x"}', '/id', /it is \$id/],
    ['{"dependencies":{}}', '/dependencies', /dependentRequired or dependentSchemas/],
    ['{"additionalItems":false}', '/additionalItems', /it is items, beside prefixItems/],
    ['{"nullable":true}', '/nullable', /null is one of the types/],
    ['{"$async":true}', '/$async', /is not supported/],
    ['{"properties":{"a":{"nullable":true}}}', '/properties/a/nullable', /is not supported/],
    ['{"format":"idn-hostname"}', '/format', /idn-hostname is not checked here/],
    ['{"format":"iri"}', '/format', /iri is not checked here/],
    ['{"$ref":"https://example.com/schema"}', '/$ref', /remote references are not followed/],
    ['{"$ref":"https://json-schema.org/draft/2020-12/schema"}', '/$ref', /remote references are not followed/],
    ['{"$ref":"other.json"}', '/$ref', /remote references are not followed/],
    ['{"$ref":"#/$defs/x"}', '/$ref', /refers to no schema/],
    ['{"$ref":"#/x","x":{}}', '/$ref', /refers to no schema/],
    ['{"$ref":"#/enum/0","enum":[{}]}', '/$ref', /refers to no schema/],
    ['{"$ref":"#x"}', '/$ref', /refers to an anchor that is not/],
    ['{"$ref":"#%ff"}', '/$ref', /is no URI reference/],
    ['{"$dynamicRef":"#x"}', '/$dynamicRef', /refers to an anchor that is not/],
    ['{"$defs":{"a":{"$ref":"#/$defs/b"}}}', '/$defs/a/$ref', /refers to no schema/],
  ];
  for (const [schema, path, message] of rows) {
    const told = outcome(`{"schema":${schema}}`);
    t.match(
      told,
      ['invalid_definition', new RegExp(`^/schema${path.replace(/[$(/]/g, '\\$&')}: .*${message.source}`)],
      schema,
    );
  }
  for (const schema of [
    '{"$schema":"https://json-schema.org/draft/2020-12/schema"}',
    '{"format":"password"}',
    '{"format":"cuid"}',
    '{"properties":{"nullable":{},"id":{},"dependencies":{}}}',
  ])
    t.match(outcome(`{"schema":${schema}}`), { untracked: [] }, schema);
});

/** A schema that repeats a wrapping. */
const nested = (levels: number, wrap: (inner: string) => string): string => {
  let text = '{}';
  for (let level = 0; level < levels; level += 1) text = wrap(text);
  return text;
};
const list = (length: number, item: (index: number) => string): string =>
  Array.from({ length }, (_, index) => item(index)).join();

t.test('schemas that could keep the service busy are refused', async (t) => {
  const endless = /leads back to itself/;
  const rows: [name: string, schema: string, message: RegExp][] = [
    ['itself', '{"$ref":"#"}', endless],
    ['itself in allOf', '{"allOf":[{"$ref":"#"}]}', endless],
    ['itself in anyOf', '{"anyOf":[{"type":"null"},{"$ref":"#"}]}', endless],
    ['itself in oneOf', '{"oneOf":[true,{"$ref":"#"}]}', endless],
    ['itself in not', '{"not":{"$ref":"#"}}', endless],
    ['itself in if', '{"if":{"$ref":"#"}}', endless],
    ['itself in then', '{"if":true,"then":{"$ref":"#"}}', endless],
    ['itself in else', '{"if":true,"else":{"$ref":"#"}}', endless],
    ['itself in dependentSchemas', '{"dependentSchemas":{"a":{"$ref":"#"}}}', endless],
    ['itself by $dynamicRef', '{"$dynamicAnchor":"x","$dynamicRef":"#x"}', endless],
    ['itself by two', '{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"allOf":[{"$ref":"#/$defs/a"}]}}}', endless],
    [
      'itself, deep in allOf',
      `{"$defs":{"a":${nested(20, (inner) => `{"allOf":[${inner === '{}' ? '{"$ref":"#/$defs/a"}' : inner}]}`)}},"$ref":"#/$defs/a"}`,
      endless,
    ],
    ['a pattern that multiplies', '{"pattern":"((a{100}){100}){100}"}', /is too large/],
    [
      'patterns that are too large together',
      `{"patternProperties":{${list(20, (index) => `"a{1,1000}${index}":{}`)}}}`,
      /together/,
    ],
    ['depth', nested(64, (inner) => `{"not":${inner}}`), /more than 64 levels/],
    ['length', `{"description":"${'x'.repeat(256 * 1024)}"}`, /longer than 256 KiB/],
    ['subschemas', `{"allOf":[${list(2000, () => '{}')}]}`, /more than 2000 subschemas/],
    [
      'dynamic anchors',
      `{"allOf":[${list(17, (index) => `{"$defs":{"x":{"$dynamicAnchor":"a${index}"}},"properties":{"p":{"$dynamicRef":"#a${index}"}}}`)}]}`,
      /more than 16 dynamic anchors/,
    ],
  ];
  for (const [name, schema, message] of rows)
    t.match(outcome(`{"schema":${schema}}`), ['invalid_definition', message], name);
  const fine: [name: string, schema: string][] = [
    [
      'recursion into the value',
      '{"properties":{"a":{"$ref":"#"}},"items":{"$ref":"#"},"additionalProperties":{"anyOf":[{"$ref":"#"}]}}',
    ],
    ['a reference twice', '{"$defs":{"a":{}},"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}'],
    ['all the depth', nested(63, (inner) => `{"not":${inner}}`)],
    ['all the subschemas', `{"properties":{${list(1999, (index) => `"p${index}":{"type":"string"}`)}}}`],
    ['all the branches', `{"anyOf":[${list(1999, (index) => `{"required":["p${index}"]}`)}]}`],
  ];
  for (const [name, schema] of fine) {
    const start = process.cpuUsage();
    t.match(outcome(`{"schema":${schema}}`), { untracked: [] }, name);
    const { user } = process.cpuUsage(start);
    t.ok(user < 3_000_000, `${name}: compiled in ${Math.round(user / 1000)} ms`);
  }
});
