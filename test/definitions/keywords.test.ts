import t from 'tap';
import { checkerOf } from '../../src/definitions/checker.js';
import { isObject, type Json } from '../../src/temporal/json.js';
import { Refusal } from '../../src/temporal/refusal.js';

/** A schema as text, so that `__proto__` is a name in it, and values with whether they hold. Both passes of a check have to agree. */
type Row = [name: string, schema: string, values: [value: string, valid: boolean][]];

function holds(schema: Json, value: Json): boolean {
  const wrapped = isObject(schema) && (schema.$id !== undefined || JSON.stringify(schema).includes('"#'));
  const inside = isObject(value) && wrapped;
  if (wrapped && !inside) throw new Error('only objects can be checked by a schema that refers to itself');
  const checker = checkerOf(inside && isObject(schema) ? schema : { properties: { it: schema } });
  return checker.check(inside && isObject(value) ? value : { it: value }).length === 0;
}

function table(name: string, rows: readonly Row[]): void {
  t.test(name, async (t) => {
    for (const [says, schema, values] of rows) {
      for (const [value, valid] of values) {
        const given: Json = JSON.parse(value);
        const before = JSON.stringify(given);
        let found: boolean | string;
        try {
          found = holds(JSON.parse(schema), given);
        } catch (error) {
          found = error instanceof Refusal ? `${error.code}: ${error.message}` : String(error);
        }
        t.equal(found, valid, `${says}: ${value}`);
        t.equal(JSON.stringify(given), before, 'and the value is as it was');
      }
    }
  });
}

/** Marks values as valid or not. */
const yes = (...values: string[]): [string, boolean][] => values.map((value) => [value, true]);
const no = (...values: string[]): [string, boolean][] => values.map((value) => [value, false]);

table('any type', [
  ['true', 'true', yes('1', 'null', '{}', '[]')],
  ['false', 'false', no('1', 'null', '{}', '[]')],
  ['nothing', '{}', yes('1', 'null', '{}')],
  [
    'annotations',
    '{"title":"a","description":"b","deprecated":true,"readOnly":true,"writeOnly":true,"examples":[1],"$comment":"c","default":1}',
    yes('"x"'),
  ],
  ['unknown keywords', '{"x-color":{"type":"string"},"example":1,"discriminator":{"propertyName":"kind"}}', yes('5')],
  [
    'content',
    '{"contentEncoding":"base64","contentMediaType":"application/json","contentSchema":false}',
    yes('"%"', '5'),
  ],
  ['type null', '{"type":"null"}', [...yes('null'), ...no('0', '""', 'false', '{}', '[]')]],
  ['type boolean', '{"type":"boolean"}', [...yes('true', 'false'), ...no('0', '"true"', 'null')]],
  ['type string', '{"type":"string"}', [...yes('""', '"1"'), ...no('1', 'null', '["a"]')]],
  ['type number', '{"type":"number"}', [...yes('0', '-1.5', '1e20'), ...no('"1"', 'null')]],
  [
    'type integer',
    '{"type":"integer"}',
    [...yes('0', '1.0', '-7', '1e20', '9007199254740992'), ...no('1.5', '1e-3', '"1"')],
  ],
  ['type array', '{"type":"array"}', [...yes('[]', '[1]'), ...no('{}', 'null', '"[]"')]],
  ['type object', '{"type":"object"}', [...yes('{}', '{"length":1}'), ...no('[]', 'null', '"{}"')]],
  ['several types', '{"type":["array","object","null"]}', [...yes('[]', '{}', 'null'), ...no('1', '"a"', 'true')]],
  ['number or integer', '{"type":["integer","number"]}', [...yes('1', '1.5'), ...no('"1"')]],
  ['one type in an array', '{"type":["string"]}', [...yes('"a"'), ...no('1')]],
  [
    'enum',
    '{"enum":[1,"a",null,true,[1,{"x":1.0}],{"b":2,"a":1}]}',
    [
      ...yes('1', '1.0', '"a"', 'null', 'true', '[1,{"x":1}]', '{"a":1,"b":2}'),
      ...no('0', '"1"', 'false', '[]', '{}', '[{"x":1},1]', '{"a":1}', '{"a":1,"b":2,"c":3}'),
    ],
  ],
  ['enum of nothing', '{"enum":[]}', no('1', 'null', '{}')],
  [
    'enum keeps 0 and false apart',
    '{"enum":[0,[false]]}',
    [...yes('0', '-0.0', '[false]'), ...no('false', '[0]', '""', 'null')],
  ],
  [
    'enum of names that every object has',
    '{"enum":[{"constructor":1},{"valueOf":1},{"__proto__":1}]}',
    [
      ...yes('{"constructor":1}', '{"valueOf":1}', '{"__proto__":1}'),
      ...no('{}', '{"constructor":2}', '{"toString":1}', '{"__proto__":2}'),
    ],
  ],
  ['enum of texts that look alike', '{"enum":["a","é"]}', no('"e\\u0301"', '"A"')],
  [
    'const',
    '{"const":{"a":[1,2]}}',
    [...yes('{"a":[1,2]}', '{"a":[1.0,2]}'), ...no('{"a":[2,1]}', '{"a":[1]}', '{}', 'null')],
  ],
  ['const null', '{"const":null}', [...yes('null'), ...no('0', 'false', '""')]],
  ['const false', '{"const":false}', [...yes('false'), ...no('0', 'null', '[]')]],
]);

table('numbers', [
  ['minimum', '{"minimum":-1.5}', [...yes('-1.5', '0', '"-9"', 'null'), ...no('-1.6')]],
  ['exclusiveMinimum', '{"exclusiveMinimum":0}', [...yes('0.1', '"x"'), ...no('0', '-0.0', '-1')]],
  ['maximum', '{"maximum":100}', [...yes('100', '100.0', '-5', '[101]'), ...no('100.1')]],
  ['exclusiveMaximum', '{"exclusiveMaximum":3}', [...yes('2.9', 'true'), ...no('3', '3.5')]],
  ['multipleOf an integer', '{"multipleOf":3}', [...yes('0', '9', '-6', '9e15', '"x"'), ...no('10', '4.5')]],
  [
    'multipleOf a decimal',
    '{"multipleOf":0.01}',
    [...yes('19.99', '0.07', '4.35', '1e300', '0', '-0.29'), ...no('0.001', '19.995')],
  ],
  ['multipleOf a small number', '{"multipleOf":1e-8}', [...yes('123456789', '1.2345678e-1'), ...no('1e-9')]],
  ['multipleOf a large number', '{"multipleOf":1e20}', [...yes('3e20', '1e300', '0'), ...no('1e19', '1.5e20')]],
  ['multipleOf one half', '{"type":"integer","multipleOf":0.5}', [...yes('1e308', '3'), ...no('3.5')]],
]);

table('strings', [
  ['minLength counts code points', '{"minLength":2}', [...yes('"ab"', '"😀😀"', '5'), ...no('"a"', '"😀"', '""')]],
  [
    'maxLength counts code points',
    '{"maxLength":2}',
    [...yes('"ab"', '"😀😀"', '""', '["abc"]'), ...no('"abc"', '"😀😀a"')],
  ],
  ['both', '{"minLength":2,"maxLength":3}', [...yes('"ab"', '"😀a😀"'), ...no('"a"', '"abcd"', '"😀"')]],
  ['a length as a decimal', '{"maxLength":2.0}', [...yes('"ab"'), ...no('"abc"')]],
  ['pattern searches', '{"pattern":"b+"}', [...yes('"abc"', '7'), ...no('"ac"', '""')]],
  ['pattern is anchored only where it says so', '{"pattern":"^b+$"}', [...yes('"bb"'), ...no('"abb"', '"bb\\n"')]],
]);

table('arrays', [
  ['minItems', '{"minItems":1}', [...yes('[0]', '"x"', '{}'), ...no('[]')]],
  ['maxItems', '{"maxItems":1}', [...yes('[]', '[[1,2]]', '{"a":1,"b":2}'), ...no('[1,2]')]],
  [
    'uniqueItems',
    '{"uniqueItems":true}',
    [
      ...yes(
        '[]',
        '[1,"1",true,null,0,false]',
        '[{"a":1},{"a":2}]',
        '[[1],[[1]]]',
        '[{"a":1,"b":2},{"a":2,"b":1}]',
        '"aa"',
      ),
      ...no(
        '[1,1.0]',
        '[0,-0.0]',
        '[null,null]',
        '["a","b","a"]',
        '[{"a":1,"b":2},{"b":2,"a":1}]',
        '[[1,{"x":1}],[1,{"x":1.0}]]',
      ),
    ],
  ],
  [
    'uniqueItems of names that every object has',
    '{"uniqueItems":true}',
    [
      ...yes('[{"constructor":1},{"constructor":2}]', '[{"__proto__":1},{}]'),
      ...no('[{"valueOf":1},{"valueOf":1}]', '[{"__proto__":1},{"__proto__":1}]'),
    ],
  ],
  ['uniqueItems false', '{"uniqueItems":false}', yes('[1,1]')],
  [
    'items',
    '{"items":{"type":"integer"}}',
    [...yes('[]', '[1,2]', '{"0":"a"}', '"a"'), ...no('["a"]', '[1,"a"]', '[null]')],
  ],
  ['items false', '{"items":false}', [...yes('[]'), ...no('[1]')]],
  [
    'prefixItems',
    '{"prefixItems":[{"type":"integer"},{"type":"string"}]}',
    [...yes('[]', '[1]', '[1,"a"]', '[1,"a",true]', '{"0":"x"}'), ...no('["a"]', '[1,2]')],
  ],
  [
    'prefixItems and items',
    '{"prefixItems":[{"type":"integer"}],"items":{"type":"string"}}',
    [...yes('[1]', '[1,"a","b"]', '[]'), ...no('[1,2]', '["a"]')],
  ],
  ['prefixItems and items false', '{"prefixItems":[true],"items":false}', [...yes('[1]', '[]'), ...no('[1,2]')]],
  [
    'items does not see prefixItems of other schemas',
    '{"allOf":[{"prefixItems":[{"minimum":3}]}],"items":{"minimum":5}}',
    [...yes('[5,5]'), ...no('[3,5]')],
  ],
  ['contains', '{"contains":{"const":5}}', [...yes('[5]', '[1,5,5]', '"x"', '{}'), ...no('[]', '[1]')]],
  ['contains false', '{"contains":false}', [...yes('"x"'), ...no('[]', '[1]')]],
  ['contains what fails', '{"contains":{"not":{"const":1}}}', [...yes('[1,2]'), ...no('[1]')]],
  ['minContains', '{"contains":{"const":5},"minContains":2}', [...yes('[5,5]', '[5,1,5,5]'), ...no('[5]', '[]')]],
  ['minContains 0', '{"contains":{"const":5},"minContains":0}', yes('[]', '[1]')],
  ['maxContains', '{"contains":{"const":5},"maxContains":1}', [...yes('[5]', '[1,5]'), ...no('[5,5]', '[]')]],
  [
    'minContains above maxContains',
    '{"contains":{"const":5},"minContains":2,"maxContains":1}',
    no('[5]', '[5,5]', '[]'),
  ],
  [
    'minContains 0 and maxContains',
    '{"contains":{"const":5},"minContains":0,"maxContains":1}',
    [...yes('[]', '[5]'), ...no('[5,5]')],
  ],
  ['minContains without contains', '{"minContains":3,"maxContains":0}', yes('[]', '[1]')],
]);

table('objects', [
  ['minProperties', '{"minProperties":1}', [...yes('{"a":1}', '{"__proto__":1}', '[]', '""'), ...no('{}')]],
  [
    'maxProperties',
    '{"maxProperties":1}',
    [...yes('{}', '{"a":{"b":1,"c":2}}', '[1,2]'), ...no('{"a":1,"b":2}', '{"a":1,"__proto__":2}')],
  ],
  ['required', '{"required":["a","b"]}', [...yes('{"a":null,"b":0}', '[]', '"a"'), ...no('{}', '{"a":1}')]],
  [
    'required of names that every object has',
    '{"required":["__proto__","constructor","toString","hasOwnProperty"]}',
    [
      ...yes('{"__proto__":1,"constructor":1,"toString":1,"hasOwnProperty":1}'),
      ...no(
        '{}',
        '{"__proto__":1}',
        '{"__proto__":1,"constructor":1,"toString":1}',
        '{"constructor":1,"toString":1,"hasOwnProperty":1}',
      ),
    ],
  ],
  [
    'required of an odd name',
    '{"required":["a\\"b\\n\\u2028$\u007b1}`\'\\\\"]}',
    [...yes('{"a\\"b\\n\\u2028$\u007b1}`\'\\\\":1}'), ...no('{}')],
  ],
  [
    'dependentRequired',
    '{"dependentRequired":{"a":["b","c"],"d":[]}}',
    [...yes('{}', '{"b":1}', '{"a":1,"b":1,"c":1}', '{"d":1}', '["a"]', '"a"'), ...no('{"a":1}', '{"a":null,"b":1}')],
  ],
  [
    'dependentRequired of names that every object has',
    '{"dependentRequired":{"__proto__":["constructor"],"toString":["valueOf"]}}',
    [...yes('{}', '{"__proto__":1,"constructor":1}'), ...no('{"__proto__":1}', '{"toString":1}')],
  ],
  [
    'dependentSchemas',
    '{"dependentSchemas":{"a":{"required":["b"],"properties":{"b":{"type":"integer"}}},"c":false}}',
    [...yes('{}', '{"b":"x"}', '{"a":1,"b":2}', '["a"]', '"a"'), ...no('{"a":1}', '{"a":1,"b":"x"}', '{"c":1}')],
  ],
  [
    'dependentSchemas of names that every object has',
    '{"dependentSchemas":{"__proto__":{"required":["x"]},"constructor":false}}',
    [...yes('{}', '{"__proto__":1,"x":1}'), ...no('{"__proto__":1}', '{"constructor":1}')],
  ],
  [
    'properties',
    '{"properties":{"a":{"type":"integer"},"b":false,"c":true}}',
    [...yes('{}', '{"a":1,"x":"y"}', '{"c":[]}', '["a"]'), ...no('{"a":"x"}', '{"b":null}', '{"a":null}')],
  ],
  [
    'properties of names that every object has',
    '{"properties":{"__proto__":{"type":"integer"},"constructor":{"type":"integer"},"toString":{"properties":{"length":{"type":"string"}}}}}',
    [
      ...yes('{}', '{"__proto__":1,"constructor":2,"toString":{"length":"x"}}'),
      ...no('{"__proto__":"x"}', '{"constructor":"x"}', '{"toString":{"length":1}}'),
    ],
  ],
  [
    'properties of odd names',
    '{"properties":{"a\\"b":{"type":"integer"},"\'":{"type":"integer"},"\\n\\u2028":{"type":"integer"},"$\u007bx}`\\\\":{"type":"integer"},"~/":{"type":"integer"},"":{"type":"integer"},"😀":{"type":"integer"}}}',
    no(
      '{"a\\"b":"x"}',
      '{"\'":"x"}',
      '{"\\n\\u2028":"x"}',
      '{"$\u007bx}`\\\\":"x"}',
      '{"~/":"x"}',
      '{"":"x"}',
      '{"😀":"x"}',
    ),
  ],
  [
    'patternProperties',
    '{"patternProperties":{"^f":{"type":"integer"},"o$":{"minimum":3}}}',
    [...yes('{}', '{"f":1}', '{"foo":3}', '{"x":"y"}', '["f"]'), ...no('{"f":"x"}', '{"foo":2}', '{"oo":1}')],
  ],
  [
    'patternProperties of names that every object has',
    '{"patternProperties":{"^__proto__$":{"type":"integer"},"o":{"type":"integer"}}}',
    [...yes('{"__proto__":1}'), ...no('{"__proto__":"x"}', '{"constructor":"x"}')],
  ],
  ['patternProperties false', '{"patternProperties":{"^x-":false}}', [...yes('{"x":1}'), ...no('{"x-a":1}')]],
  [
    'additionalProperties',
    '{"properties":{"a":{}},"patternProperties":{"^x":{}},"additionalProperties":{"type":"integer"}}',
    [...yes('{"a":"s","x1":"s","b":1}', '[]'), ...no('{"b":"s"}', '{"__proto__":"s"}', '{"constructor":"s"}')],
  ],
  [
    'additionalProperties false',
    '{"properties":{"a":{},"__proto__":{}},"additionalProperties":false}',
    [...yes('{}', '{"a":1}', '{"__proto__":1}'), ...no('{"b":1}', '{"constructor":1}', '{"toString":1}')],
  ],
  [
    'additionalProperties alone',
    '{"additionalProperties":{"type":"integer"}}',
    [...yes('{"a":1}'), ...no('{"a":"x"}')],
  ],
  [
    'additionalProperties does not see properties of other schemas',
    '{"allOf":[{"properties":{"a":{}}}],"additionalProperties":{"type":"boolean"}}',
    [...yes('{"a":true}'), ...no('{"a":1}')],
  ],
  [
    'propertyNames',
    '{"propertyNames":{"maxLength":3,"pattern":"^[a-z_]+$"}}',
    [...yes('{}', '{"abc":1}', '[]'), ...no('{"abcd":1}', '{"A":1}')],
  ],
  [
    'propertyNames of __proto__',
    '{"propertyNames":{"enum":["a"]}}',
    [...yes('{"a":1}'), ...no('{"__proto__":1}', '{"constructor":1}')],
  ],
  ['propertyNames false', '{"propertyNames":false}', [...yes('{}'), ...no('{"a":1}')]],
  [
    'propertyNames beside what follows it',
    '{"propertyNames":{"maxLength":1},"additionalProperties":{"type":"integer"},"required":["a"]}',
    [...yes('{"a":1}'), ...no('{}', '{"a":"x"}')],
  ],
]);

table('schemas in place', [
  ['allOf', '{"allOf":[{"minimum":1},{"maximum":3}]}', [...yes('2', '"x"'), ...no('0', '4')]],
  ['allOf beside others', '{"type":"integer","allOf":[true,{"minimum":1}]}', [...yes('1'), ...no('1.5', '0')]],
  ['allOf with false', '{"allOf":[true,false]}', no('1')],
  ['anyOf', '{"anyOf":[{"type":"integer"},{"minimum":2}]}', [...yes('1', '2.5', '3', '"x"'), ...no('1.5')]],
  ['anyOf with the first false', '{"anyOf":[false,true]}', yes('1')],
  ['oneOf', '{"oneOf":[{"type":"integer"},{"minimum":2}]}', [...yes('1', '2.5'), ...no('3', '1.5')]],
  ['oneOf with all true', '{"oneOf":[true,true,true]}', no('1')],
  [
    'oneOf beside others',
    '{"type":"string","oneOf":[{"minLength":2},{"maxLength":4}]}',
    [...yes('"a"', '"abcde"'), ...no('"abc"', '1')],
  ],
  ['not', '{"not":{"type":"integer"}}', [...yes('1.5', '"x"'), ...no('1')]],
  ['not not', '{"not":{"not":{"type":"integer"}}}', [...yes('1'), ...no('"x"')]],
  ['not true', '{"not":{}}', no('1', 'null')],
  [
    'if, then and else',
    '{"if":{"minimum":10},"then":{"multipleOf":10},"else":{"multipleOf":3}}',
    [...yes('20', '9'), ...no('15', '5')],
  ],
  ['if and then', '{"if":{"minimum":10},"then":{"multipleOf":10}}', [...yes('20', '5'), ...no('15')]],
  ['if and else', '{"if":{"minimum":10},"else":{"multipleOf":3}}', [...yes('11', '9'), ...no('5')]],
  ['if alone', '{"if":false}', yes('1')],
  ['then and else alone', '{"then":false,"else":false}', yes('1')],
  ['if true', '{"if":true,"then":{"const":1},"else":{"const":2}}', [...yes('1'), ...no('2')]],
  [
    'nested choices',
    '{"anyOf":[{"allOf":[{"type":"string"},{"oneOf":[{"minLength":3},{"pattern":"^a"}]}]},{"not":{"type":["string","null"]}}]}',
    [...yes('"a"', '"bcd"', '5'), ...no('"abc"', '"b"', 'null')],
  ],
]);

table('references', [
  [
    'to the root',
    '{"properties":{"a":{"$ref":"#"}},"additionalProperties":false}',
    [...yes('{}', '{"a":{"a":{}}}'), ...no('{"b":1}', '{"a":{"b":1}}')],
  ],
  [
    'to $defs',
    '{"$defs":{"x":{"type":"integer"}},"properties":{"a":{"$ref":"#/$defs/x"}}}',
    [...yes('{"a":1}'), ...no('{"a":"x"}')],
  ],
  [
    'to definitions',
    '{"definitions":{"x":{"type":"integer"}},"properties":{"a":{"$ref":"#/definitions/x"}}}',
    [...yes('{"a":1}'), ...no('{"a":"x"}')],
  ],
  [
    'to true and false',
    '{"$defs":{"x":true,"y":false},"properties":{"a":{"$ref":"#/$defs/x"},"b":{"$ref":"#/$defs/y"}}}',
    [...yes('{"a":1}'), ...no('{"b":1}')],
  ],
  [
    'beside other keywords',
    '{"$defs":{"x":{"type":"integer"}},"properties":{"a":{"$ref":"#/$defs/x","minimum":5}}}',
    [...yes('{"a":5}'), ...no('{"a":4}', '{"a":5.5}')],
  ],
  [
    'to an item and a property',
    '{"properties":{"a":{"prefixItems":[true,{"type":"integer"}]},"b":{"$ref":"#/properties/a/prefixItems/1"}}}',
    [...yes('{"b":1}'), ...no('{"b":"x"}')],
  ],
  [
    'with escapes',
    '{"$defs":{"a/b~c%\\"":{"type":"integer"}},"properties":{"a":{"$ref":"#/$defs/a~1b~0c%25%22"}}}',
    [...yes('{"a":1}'), ...no('{"a":"x"}')],
  ],
  [
    'to names that every object has',
    '{"$defs":{"__proto__":{"type":"integer"},"constructor":{"type":"string"}},"properties":{"a":{"$ref":"#/$defs/__proto__"},"b":{"$ref":"#/$defs/constructor"}}}',
    [...yes('{"a":1,"b":"x"}'), ...no('{"a":"x"}', '{"b":1}')],
  ],
  [
    'of references',
    '{"$defs":{"x":{"$ref":"#/$defs/y"},"y":{"$ref":"#/$defs/z"},"z":{"type":"integer"}},"properties":{"a":{"$ref":"#/$defs/x"}}}',
    [...yes('{"a":1}'), ...no('{"a":"x"}')],
  ],
  [
    'to an anchor',
    '{"$defs":{"x":{"$anchor":"here","type":"integer"}},"properties":{"a":{"$ref":"#here"}}}',
    [...yes('{"a":1}'), ...no('{"a":"x"}')],
  ],
  [
    'to a schema with an $id',
    '{"$id":"https://example.com/root.json","$defs":{"x":{"$id":"nested/item.json","type":"integer","$defs":{"y":{"type":"string"}}}},"properties":{"a":{"$ref":"nested/item.json"},"b":{"$ref":"https://example.com/nested/item.json#/$defs/y"},"c":{"$ref":"/nested/../nested/./item.json"}}}',
    [...yes('{"a":1,"b":"x","c":1}'), ...no('{"a":"x"}', '{"b":1}', '{"c":"x"}')],
  ],
  [
    'inside of a schema with an $id',
    '{"$id":"https://example.com/a","properties":{"a":{"$id":"b","$defs":{"x":{"type":"integer"}},"properties":{"p":{"$ref":"#/$defs/x"}}}},"$defs":{"x":{"type":"string"}}}',
    [...yes('{"a":{"p":1}}'), ...no('{"a":{"p":"x"}}')],
  ],
  [
    'by a URN',
    '{"$id":"urn:uuid:deadbeef-1234-00ff-ff00-4321feebdaed","$defs":{"x":{"$anchor":"it","type":"integer"}},"properties":{"a":{"$ref":"urn:uuid:deadbeef-1234-00ff-ff00-4321feebdaed#it"},"b":{"$ref":"#/$defs/x"}}}',
    [...yes('{"a":1,"b":1}'), ...no('{"a":"x"}', '{"b":"x"}')],
  ],
  [
    'not to an $id in an enum',
    '{"$defs":{"x":{"enum":[{"$id":"https://example.com/x","type":"null"}]},"y":{"$id":"https://example.com/x","type":"integer"}},"properties":{"a":{"$ref":"https://example.com/x"},"b":{"$ref":"#/$defs/y"}}}',
    [...yes('{"a":1}'), ...no('{"a":null}')],
  ],
  [
    'a property named $ref',
    '{"properties":{"$ref":{"type":"string"},"a":{"properties":{"$id":{"const":"#"}}}}}',
    [...yes('{"$ref":"a"}', '{"a":{"$id":"#"}}'), ...no('{"$ref":1}', '{"a":{"$id":1}}')],
  ],
  [
    'a tree',
    '{"$defs":{"node":{"type":"object","required":["value"],"properties":{"value":{"type":"integer"},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}}}},"$ref":"#/$defs/node"}',
    [
      ...yes('{"value":1,"children":[{"value":2,"children":[]}]}'),
      ...no('{"value":1,"children":[{"value":"x"}]}', '{"value":1,"children":[{"value":2,"children":[{}]}]}'),
    ],
  ],
  [
    'dynamic, with one anchor',
    '{"$defs":{"x":{"$dynamicAnchor":"item","type":"integer"}},"properties":{"a":{"$dynamicRef":"#item"}}}',
    [...yes('{"a":1}'), ...no('{"a":"x"}')],
  ],
  [
    'dynamic, to the outermost that was entered',
    '{"$id":"https://example.com/list-of-strings","$ref":"list","$defs":{"x":{"$dynamicAnchor":"item","type":"string"},"list":{"$id":"list","properties":{"items":{"type":"array","items":{"$dynamicRef":"#item"}}},"$defs":{"any":{"$dynamicAnchor":"item"}}}}}',
    [...yes('{"items":["a"]}'), ...no('{"items":[1]}')],
  ],
  [
    'dynamic, to a plain anchor',
    '{"$id":"https://example.com/root","$ref":"list","$defs":{"x":{"$dynamicAnchor":"item","type":"string"},"list":{"$id":"list","properties":{"items":{"items":{"$dynamicRef":"#item"}}},"$defs":{"any":{"$anchor":"item","type":"integer"}}}}}',
    [...yes('{"items":[1]}'), ...no('{"items":["a"]}')],
  ],
  [
    'dynamic, by a pointer',
    '{"$id":"https://example.com/root","$ref":"list","$defs":{"x":{"$dynamicAnchor":"item","type":"string"},"list":{"$id":"list","properties":{"items":{"items":{"$dynamicRef":"#/$defs/any"}}},"$defs":{"any":{"$dynamicAnchor":"item","type":"integer"}}}}}',
    [...yes('{"items":[1]}'), ...no('{"items":["a"]}')],
  ],
  [
    'dynamic, not to what was never entered',
    '{"$id":"https://example.com/root","properties":{"a":{"$ref":"list"}},"$defs":{"other":{"$id":"other","$dynamicAnchor":"item","type":"string"},"list":{"$id":"list","items":{"$dynamicRef":"#item"},"$defs":{"any":{"$dynamicAnchor":"item","type":"integer"}}}}}',
    [...yes('{"a":[1]}'), ...no('{"a":["x"]}')],
  ],
  [
    'dynamic, in two scopes',
    '{"$id":"https://example.com/root","properties":{"a":{"$ref":"strings"},"b":{"$ref":"numbers"}},"$defs":{"strings":{"$id":"strings","$ref":"list","$defs":{"x":{"$dynamicAnchor":"item","type":"string"}}},"numbers":{"$id":"numbers","$ref":"list","$defs":{"x":{"$dynamicAnchor":"item","type":"number"}}},"list":{"$id":"list","items":{"$dynamicRef":"#item"},"$defs":{"any":{"$dynamicAnchor":"item"}}}}}',
    [...yes('{"a":["x"],"b":[1]}'), ...no('{"a":[1]}', '{"b":["x"]}')],
  ],
]);

table('unevaluatedProperties', [
  ['alone', '{"unevaluatedProperties":{"type":"integer"}}', [...yes('{}', '{"a":1}', '[]'), ...no('{"a":"x"}')]],
  [
    'beside properties',
    '{"properties":{"a":{}},"patternProperties":{"^x":{}},"unevaluatedProperties":false}',
    [...yes('{"a":1,"x1":1}'), ...no('{"b":1}', '{"constructor":1}', '{"toString":1}', '{"__proto__":1}')],
  ],
  [
    'names that every object has',
    '{"properties":{"__proto__":{},"constructor":{}},"patternProperties":{"^toS":{}},"unevaluatedProperties":false}',
    [...yes('{"__proto__":1,"constructor":1,"toString":1}'), ...no('{"valueOf":1}', '{"hasOwnProperty":1}')],
  ],
  [
    'beside additionalProperties',
    '{"additionalProperties":{"type":"integer"},"unevaluatedProperties":false}',
    [...yes('{"a":1}'), ...no('{"a":"x"}')],
  ],
  [
    'through allOf',
    '{"allOf":[{"properties":{"a":{}}},{"allOf":[{"properties":{"b":{}}}]}],"unevaluatedProperties":false}',
    [...yes('{"a":1,"b":1}'), ...no('{"c":1}')],
  ],
  [
    'through the branches of anyOf that hold',
    '{"anyOf":[{"properties":{"a":{"const":1}},"required":["a"]},{"properties":{"b":{"const":1}},"required":["b"]}],"unevaluatedProperties":false}',
    [...yes('{"a":1}', '{"a":1,"b":1}'), ...no('{"a":1,"b":2}', '{"a":1,"c":1}')],
  ],
  [
    'through oneOf',
    '{"oneOf":[{"properties":{"a":{"const":1}},"required":["a"]},{"properties":{"b":{"const":1}},"required":["b"]}],"unevaluatedProperties":false}',
    [...yes('{"a":1}', '{"b":1}'), ...no('{"a":1,"b":2}', '{"a":1,"b":1}')],
  ],
  [
    'not through not',
    '{"not":{"not":{"properties":{"a":{}}}},"unevaluatedProperties":false}',
    [...yes('{}'), ...no('{"a":1}')],
  ],
  [
    'through if and then',
    '{"if":{"properties":{"a":{"const":1}},"required":["a"]},"then":{"properties":{"b":{}}},"else":{"properties":{"c":{}}},"unevaluatedProperties":false}',
    [...yes('{"a":1,"b":1}', '{"c":1}'), ...no('{"a":1,"c":1}', '{"b":1}', '{"a":2}', '{"a":2,"c":1}')],
  ],
  [
    'through if alone',
    '{"if":{"properties":{"a":{"const":1}},"required":["a"]},"unevaluatedProperties":false}',
    [...yes('{"a":1}', '{}'), ...no('{"a":2}', '{"b":1}')],
  ],
  [
    'through dependentSchemas',
    '{"properties":{"a":{}},"dependentSchemas":{"a":{"properties":{"b":{}}}},"unevaluatedProperties":false}',
    [...yes('{"a":1,"b":1}'), ...no('{"b":1}')],
  ],
  [
    'through a reference',
    '{"$defs":{"x":{"properties":{"a":{}}}},"$ref":"#/$defs/x","properties":{"b":{}},"unevaluatedProperties":false}',
    [...yes('{"a":1,"b":1}'), ...no('{"c":1}')],
  ],
  [
    'through a dynamic reference',
    '{"$id":"https://example.com/root","$ref":"base","unevaluatedProperties":false,"$defs":{"x":{"$dynamicAnchor":"more","properties":{"b":{}}},"base":{"$id":"base","properties":{"a":{}},"$dynamicRef":"#more","$defs":{"none":{"$dynamicAnchor":"more"}}}}}',
    [...yes('{"a":1,"b":1}'), ...no('{"c":1}')],
  ],
  [
    'not of cousins',
    '{"allOf":[{"properties":{"a":{}}},{"unevaluatedProperties":false}]}',
    [...yes('{}'), ...no('{"a":1}')],
  ],
  [
    'nested, what is inside counts',
    '{"allOf":[{"properties":{"a":{}},"unevaluatedProperties":{"type":"integer"}}],"unevaluatedProperties":false}',
    [...yes('{"a":"x","b":1}'), ...no('{"b":"x"}')],
  ],
  [
    'of another object',
    '{"properties":{"a":{"properties":{"x":{}}}},"unevaluatedProperties":false}',
    [...yes('{"a":{"y":1}}'), ...no('{"a":{},"x":1}')],
  ],
  [
    'in a tree',
    '{"$defs":{"tree":{"properties":{"left":{"$ref":"#/$defs/strict"},"right":{"$ref":"#/$defs/strict"}}},"strict":{"$ref":"#/$defs/tree","properties":{"value":{}},"unevaluatedProperties":false}},"$ref":"#/$defs/strict"}',
    [
      ...yes('{"value":1,"left":{"value":2,"right":{}}}'),
      ...no('{"left":{"x":1}}', '{"left":{"value":1},"x":1}', '{"right":{"left":{"x":1}}}'),
    ],
  ],
  [
    'item after item',
    '{"properties":{"list":{"items":{"if":{"required":["a"]},"then":{"properties":{"a":{},"b":{}}},"unevaluatedProperties":false}},"x":{"$ref":"#/$defs/x"}},"$defs":{"x":{}}}',
    [...yes('{"list":[{"a":1,"b":1},{}]}'), ...no('{"list":[{"a":1,"b":1},{"b":1}]}')],
  ],
]);

table('unevaluatedItems', [
  ['alone', '{"unevaluatedItems":{"type":"integer"}}', [...yes('[]', '[1]', '{}'), ...no('["x"]')]],
  ['beside prefixItems', '{"prefixItems":[true],"unevaluatedItems":false}', [...yes('["x"]', '[]'), ...no('["x",1]')]],
  ['beside items', '{"items":{"type":"integer"},"unevaluatedItems":false}', [...yes('[1,2]'), ...no('["x"]')]],
  [
    'beside contains',
    '{"contains":{"type":"integer"},"unevaluatedItems":{"type":"string"}}',
    [...yes('[1]', '["a",1,"b"]'), ...no('[1,null]', '["a"]')],
  ],
  [
    'minContains 0',
    '{"contains":{"type":"integer"},"minContains":0,"unevaluatedItems":false}',
    [...yes('[]', '[1,2]'), ...no('[1,"a"]')],
  ],
  [
    'through allOf',
    '{"allOf":[{"contains":{"multipleOf":2}},{"contains":{"multipleOf":3}}],"unevaluatedItems":{"multipleOf":5}}',
    [...yes('[2,3,4,5,6]'), ...no('[2,3,7]')],
  ],
  [
    'through anyOf',
    '{"prefixItems":[true],"anyOf":[{"prefixItems":[true,{"const":1}]},{"prefixItems":[true,true,{"const":2}]}],"unevaluatedItems":false}',
    [...yes('[0,1]', '[0,0,2]', '[0,1,2]'), ...no('[0,1,3]', '[0,0,2,3]')],
  ],
  [
    'through if',
    '{"if":{"prefixItems":[{"const":1}]},"then":{"prefixItems":[true,true]},"else":{"prefixItems":[true]},"unevaluatedItems":false}',
    [...yes('[1,2]', '[0]', '[]'), ...no('[1,2,3]', '[0,1]')],
  ],
  [
    'through a reference',
    '{"$defs":{"x":{"prefixItems":[true,true]}},"properties":{"a":{"$ref":"#/$defs/x","unevaluatedItems":false}}}',
    [...yes('{"a":[1,2]}'), ...no('{"a":[1,2,3]}')],
  ],
  ['not through not', '{"not":{"not":{"prefixItems":[true]}},"unevaluatedItems":false}', [...yes('[]'), ...no('[1]')]],
  ['not of cousins', '{"allOf":[{"prefixItems":[true]},{"unevaluatedItems":false}]}', [...yes('[]'), ...no('[1]')]],
  [
    'nested, what is inside counts',
    '{"allOf":[{"prefixItems":[true],"unevaluatedItems":{"type":"integer"}}],"unevaluatedItems":false}',
    [...yes('["x",1]'), ...no('["x","y"]')],
  ],
  [
    'properties evaluate no items',
    '{"additionalProperties":true,"properties":{"0":true},"unevaluatedItems":false}',
    [...yes('[]', '{"a":1}'), ...no('[1]')],
  ],
  [
    'items evaluate no properties',
    '{"items":true,"contains":true,"unevaluatedProperties":false}',
    [...yes('[1]'), ...no('{"0":1}')],
  ],
]);
