import { closest, distance } from 'fastest-levenshtein';

/*
 * The keywords of JSON Schema 2020-12, and which values each may have: what the metaschema says, as a table. Tools that validate against the
 * metaschema would do, but a fault would then be told in words of the metaschema.
 *
 * What stands in no table is an annotation (JSON Schema Core, section 6.5). But a name that means something in another draft, in OpenAPI 3.0 or
 * in ajv is refused: whoever writes it means what nobody would check. So is one that is nearly a keyword.
 */

/** What the value of a keyword may be. */
export type Kind =
  | 'schema'
  | 'schemas'
  | 'named schemas'
  | 'types'
  | 'values'
  | 'value'
  | 'number'
  | 'positive number'
  | 'count'
  | 'flag'
  | 'text'
  | 'names'
  | 'named names'
  | 'pattern'
  | 'patterned schemas'
  | 'format'
  | 'id'
  | 'reference'
  | 'anchor'
  | 'dialect';

/** JSON Schema Core sections 8 (core), 10 (applicator) and 11 (unevaluated), Validation sections 6, 7, 8 and 9. */
export const KINDS: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ['$schema', 'dialect'],
  ['$id', 'id'],
  ['$anchor', 'anchor'],
  ['$dynamicAnchor', 'anchor'],
  ['$ref', 'reference'],
  ['$dynamicRef', 'reference'],
  ['$defs', 'named schemas'],
  // The metaschema of 2020-12 still knows it, and what older tools print refers to it.
  ['definitions', 'named schemas'],
  ['$comment', 'text'],
  ['allOf', 'schemas'],
  ['anyOf', 'schemas'],
  ['oneOf', 'schemas'],
  ['not', 'schema'],
  ['if', 'schema'],
  ['then', 'schema'],
  ['else', 'schema'],
  ['dependentSchemas', 'named schemas'],
  ['prefixItems', 'schemas'],
  ['items', 'schema'],
  ['contains', 'schema'],
  ['properties', 'named schemas'],
  ['patternProperties', 'patterned schemas'],
  ['additionalProperties', 'schema'],
  ['propertyNames', 'schema'],
  ['unevaluatedItems', 'schema'],
  ['unevaluatedProperties', 'schema'],
  ['type', 'types'],
  ['enum', 'values'],
  ['const', 'value'],
  ['multipleOf', 'positive number'],
  ['maximum', 'number'],
  ['exclusiveMaximum', 'number'],
  ['minimum', 'number'],
  ['exclusiveMinimum', 'number'],
  ['maxLength', 'count'],
  ['minLength', 'count'],
  ['pattern', 'pattern'],
  ['maxItems', 'count'],
  ['minItems', 'count'],
  ['uniqueItems', 'flag'],
  ['maxContains', 'count'],
  ['minContains', 'count'],
  ['maxProperties', 'count'],
  ['minProperties', 'count'],
  ['required', 'names'],
  ['dependentRequired', 'named names'],
  ['format', 'format'],
  ['title', 'text'],
  ['description', 'text'],
  ['default', 'value'],
  ['deprecated', 'flag'],
  ['readOnly', 'flag'],
  ['writeOnly', 'flag'],
  ['examples', 'values'],
  ['contentEncoding', 'text'],
  ['contentMediaType', 'text'],
  // What the content of a string would have to be is an annotation (Validation section 8.5), but it has to be a schema.
  ['contentSchema', 'schema'],
]);

/** What is refused by name, and why. */
export const REFUSED: ReadonlyMap<string, string> = new Map([
  ['$vocabulary', 'is for metaschemas only'],
  ['$recursiveRef', 'is of draft 2019-09: in 2020-12 it is $dynamicRef'],
  ['$recursiveAnchor', 'is of draft 2019-09: in 2020-12 it is $dynamicAnchor'],
  ['id', 'is of draft 4: in 2020-12 it is $id'],
  ['dependencies', 'is of draft 7: in 2020-12 it is dependentRequired or dependentSchemas'],
  ['additionalItems', 'is of draft 2019-09: in 2020-12 it is items, beside prefixItems'],
  ['divisibleBy', 'is of draft 3: in 2020-12 it is multipleOf'],
  ['disallow', 'is of draft 3: in 2020-12 it is not'],
  ['extends', 'is of draft 3: in 2020-12 it is allOf'],
  ['nullable', 'is of OpenAPI 3.0: in 2020-12 null is one of the types'],
  ['$async', 'is not of JSON Schema'],
]);

/** Annotations that tools print, however near to a keyword they are. */
const ANNOTATIONS: ReadonlySet<string> = new Set(['example']);

/** The keyword that somebody may have meant: a letter or two are other ones. Undefined: none is near, so it is an annotation. */
export function meant(name: string): string | undefined {
  if (name.startsWith('x-') || ANNOTATIONS.has(name)) return undefined;
  const keyword = closest(name, KEYWORDS);
  const most = keyword.length < 6 ? 1 : 2;
  return keyword.length > 3 && distance(name, keyword) <= most ? keyword : undefined;
}

const KEYWORDS = [...KINDS.keys()];

export const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** The types of JSON Schema Core section 4.2.1, and `integer` of Validation section 6.1.1. */
export const TYPES: readonly string[] = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer'];
