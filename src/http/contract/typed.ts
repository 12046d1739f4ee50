import { schemaComponents, type Use } from '../../definitions/components.js';
import type { Definition } from '../../definitions/definition.js';
import { isObject, type Json, type JsonObject } from '../../temporal/json.js';
import { MAX_KEY_LENGTH } from '../../temporal/limits.js';

/*
 * The OpenAPI document with what definitions say: the calls on entities of a type, whose properties are typed. Clients that are generated of
 * it know the properties. All of it is made of the document of the service, so it says what that says: headers, problems, parameters.
 *
 * A document of one type types the calls as they are. In the document of all types, entities of a type have a path of their own,
 * `/entities/person:{key}`, beside `/entities/{id}`: as choices (`oneOf`) under one path they would have to include entities of types that
 * nobody has defined, and then no generator would tell a wrong call.
 */

/** A definition, with the type that it defines and its tick. */
export type Defined = { type: string; tick: number; definition: Definition };

/** What a definition adds to a document. */
export type TypedParts = { schemas: [name: string, schema: Json][]; paths: [path: string, item: Json][] };

/** What the schemas of a type are called, after the type. */
const SUFFIXES = {
  entity: '',
  properties: 'Properties',
  kept: 'PropertiesKept',
  propertiesToCreate: 'PropertiesToCreate',
  propertiesPatch: 'PropertiesPatch',
  nested: 'Nested',
  written: 'Written',
  page: 'Page',
  toCreate: 'ToCreate',
  toPut: 'ToPut',
  mergePatch: 'MergePatch',
  patch: 'Patch',
} as const;
/** With which ends the name of a type could be taken for that of a schema of another type. */
const ENDS = Object.values(SUFFIXES).flatMap((long) =>
  Object.values(SUFFIXES).flatMap((short) =>
    long !== short && long.endsWith(short) ? [long.slice(0, long.length - short.length)] : [],
  ),
);

/** What stands in the place of which schema of the service. */
const IN_PLACE_OF: Record<string, keyof typeof SUFFIXES> = {
  Entity: 'entity',
  NestedEntity: 'nested',
  WrittenEntity: 'written',
  EntityToCreate: 'toCreate',
  EntityToPut: 'toPut',
  MergePatch: 'mergePatch',
  Patch: 'patch',
};

const CALLS = ['/entities', '/entities/{id}', '/entities/{id}/restore', '/entities/{id}/revert'];
const ONE = '/entities/{id}';

/**
 * The parameters with which a call shows entities otherwise than their type says: some of their properties, deleted ones, or those that are
 * named, of any type. The document of the service has them.
 */
const UNTYPED: ReadonlySet<string> = new Set(['ids', 'fields', 'deleted', 'everHad', 'changedBetween', 'include']);

/**
 * The name of a type as that of a schema: `order-item` is OrderItem, and `order_item` Order_Item. No two types have the same, whichever types
 * there are, and none ever has another one. It has only what names of components may have (OpenAPI 3.1.1 section 4.8.7.2).
 * @param taken the names that schemas and calls of the service have
 */
function nameOfType(type: string, taken: ReadonlySet<string>): string {
  const name = type
    .replace(/(^|_)[a-z]/g, (start) => start.toUpperCase())
    .replace(/(?<=[a-zA-Z0-9])-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const derived = [
    ...Object.values(SUFFIXES).map((suffix) => `${name}${suffix}`),
    ...VERBS.map((verb) => `${verb}${name}`),
  ];
  // A dot stands in no other name.
  return ENDS.some((end) => name.endsWith(end)) || derived.some((one) => taken.has(one)) ? `${name}.Entity` : name;
}

const VERBS = ['read', 'create', 'put', 'patch', 'delete', 'restore', 'revert'];

/**
 * An OpenAPI 3.1 document with the calls on entities of one type.
 * @param service the document of the service
 * @throws Refusal `invalid_definition`
 */
export function documentOfType(service: JsonObject, defined: Defined): JsonObject {
  const { type, tick } = defined;
  const name = nameOfType(type, takenIn(service));
  const paths = objectAt(service, 'paths');
  const typed = CALLS.map((path): [string, Json] => [
    path,
    mapped(objectAt(paths, path), (operation) => ofType(service, objectOf(operation), type, name)),
  ]);
  const components = objectAt(service, 'components');
  const every = {
    ...components,
    schemas: { ...objectAt(components, 'schemas'), ...schemasOf(service, defined, name) },
  };
  const { openapi = '', servers = [], security = [], tags = [] } = service;
  return {
    openapi,
    info: {
      title: `clocktick: ${type}`,
      version: String(tick),
      summary: `Entities of the type ${type}`,
      description: descriptionOf(defined),
    },
    servers,
    security,
    tags: listOf(tags).filter((tag) => isObject(tag) && tag.name === 'entities'),
    components: used(every, Object.fromEntries(typed)),
    paths: Object.fromEntries(typed),
  };
}

/**
 * What a definition adds to the document of the service.
 * @throws Refusal `invalid_definition`
 */
export function typedParts(service: JsonObject, defined: Defined): TypedParts {
  const { type } = defined;
  const name = nameOfType(type, takenIn(service));
  const paths = CALLS.filter((path) => path.startsWith(ONE)).map((path): [string, JsonObject] => [
    path.replace('{id}', `${type}:{key}`),
    mapped(objectAt(objectAt(service, 'paths'), path), (operation) =>
      withKey(ofType(service, objectOf(operation), type, name)),
    ),
  ]);
  const { schemas } = used({ schemas: schemasOf(service, defined, name) }, Object.fromEntries(paths));
  return { schemas: Object.entries(isObject(schemas) ? schemas : {}), paths };
}

/** The document of the service with what definitions add to it. */
export function withTypes(service: JsonObject, parts: readonly TypedParts[]): JsonObject {
  const components = objectAt(service, 'components');
  const schemas = parts.flatMap(({ schemas }) => schemas);
  const paths = parts.flatMap(({ paths }) => paths);
  return {
    ...service,
    components: {
      ...components,
      schemas: { ...objectAt(components, 'schemas'), ...Object.fromEntries(schemas) },
      parameters: { ...objectAt(components, 'parameters'), ...(paths.length > 0 ? { EntityKey: KEY } : {}) },
    },
    paths: { ...objectAt(service, 'paths'), ...Object.fromEntries(paths) },
  };
}

/**
 * A document as JSON, which is YAML, too. What would be no printable character or a break of lines in YAML (1.2 section 5.1, 1.1 section 4.1.4)
 * is escaped.
 */
export const yamlOf = (document: JsonObject): string =>
  JSON.stringify(document).replaceAll(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

const KEY: JsonObject = {
  in: 'path',
  name: 'key',
  required: true,
  description: 'The key of the entity, percent-encoded',
  schema: { type: 'string', minLength: 1, maxLength: MAX_KEY_LENGTH },
};

/** The names of the schemas and calls of the service. */
function takenIn(service: JsonObject): Set<string> {
  const items = Object.values(objectAt(service, 'paths')).filter(isObject);
  const calls = items.flatMap((item) => Object.values(item).map((operation) => member(operation, 'operationId')));
  return new Set([
    ...Object.keys(objectAt(objectAt(service, 'components'), 'schemas')),
    ...calls.filter((id) => typeof id === 'string'),
  ]);
}

/** The schemas of a type. Those that its calls do not need are left out later. */
function schemasOf(service: JsonObject, { type, definition }: Defined, name: string): JsonObject {
  const schemas = objectAt(objectAt(service, 'components'), 'schemas');
  const names = {
    whole: `${name}${SUFFIXES.properties}`,
    new: `${name}${SUFFIXES.propertiesToCreate}`,
    patch: `${name}${SUFFIXES.propertiesPatch}`,
    parts: name,
  };
  const { components, nameOf } = schemaComponents(definition.schema, names);
  const kept = keptOf(components.find(([known]) => known === nameOf.whole)?.[1], definition.untracked);
  const ref = (role: keyof typeof SUFFIXES) => reference(`${name}${SUFFIXES[role]}`);
  const properties = (use: Use) => reference(nameOf[use]);
  const constant = { type: 'string', enum: [type], const: type, description: 'What the entity is' };

  /** A schema of the service, with other schemas of some of its properties. */
  const changed = (of: string, other: JsonObject): JsonObject => {
    const schema = objectAt(schemas, of);
    return { ...schema, properties: { ...objectAt(schema, 'properties'), ...other } };
  };
  /** A schema of the service that has more than an entity. */
  const extended = (of: string): JsonObject => {
    const { description = '', properties } = objectAt(schemas, of);
    const known = objectAt(objectAt(schemas, 'Entity'), 'properties');
    const more = Object.entries(isObject(properties) ? properties : {}).filter(([name]) => !Object.hasOwn(known, name));
    return { description, allOf: [ref('entity'), { type: 'object', properties: Object.fromEntries(more) }] };
  };
  const items = {
    ...objectAt(objectAt(objectAt(schemas, 'SnapshotPage'), 'properties'), 'items'),
    items: ref('entity'),
  };
  const entity = changed('Entity', { type: constant, properties: kept ? ref('kept') : properties('whole') });
  const about = definition.description === null ? '' : `: ${definition.description}`;
  const made: [keyof typeof SUFFIXES, JsonObject][] = [
    ['entity', { ...entity, description: `An entity of the type ${type}, now or as it was${about}` }],
    ['kept', kept ?? {}],
    ['nested', extended('NestedEntity')],
    ['written', extended('WrittenEntity')],
    ['page', changed('SnapshotPage', { items })],
    ['toCreate', changed('EntityToCreate', { type: constant, properties: properties('new') })],
    ['toPut', changed('EntityToPut', { type: constant, properties: properties('new') })],
    ['mergePatch', changed('MergePatch', { properties: properties('patch') })],
    ['patch', { ...objectAt(schemas, 'Patch'), oneOf: [ref('mergePatch'), reference('JsonPatch')] }],
  ];
  return Object.fromEntries([...components, ...made.map(([role, schema]) => [`${name}${SUFFIXES[role]}`, schema])]);
}

/** The schema of properties as of a point, where those whose values are not kept are left out; undefined: none of them is required. */
function keptOf(schema: JsonObject | undefined, untracked: readonly string[]): JsonObject | undefined {
  const required = listOf(schema?.required);
  const kept = required.filter((name) => !(typeof name === 'string' && untracked.includes(name)));
  if (kept.length === required.length) return undefined;
  const { required: _, ...others } = schema ?? {};
  return { ...others, ...(kept.length > 0 ? { required: kept } : {}) };
}

/**
 * A call on entities of a type.
 * @param service the document that has what it refers to
 */
function ofType(service: JsonObject, operation: JsonObject, type: string, name: string): JsonObject {
  const { operationId, summary, description, parameters, requestBody, responses, ...others } = operation;
  const isList = operationId === 'readEntities';
  const shared = objectAt(objectAt(service, 'components'), 'parameters');
  const typed = listOf(parameters).flatMap((parameter): Json[] => {
    const ref = String(member(parameter, '$ref') ?? '').replace('#/components/parameters/', '');
    const of = String(member(member(parameter, 'name') === undefined ? shared[ref] : parameter, 'name'));
    if (of === 'fields' || (isList && UNTYPED.has(of))) return [];
    if (of !== 'type' || !isObject(parameter)) return [parameter];
    const schema = { type: 'string', enum: [type], const: type };
    return [{ ...parameter, required: true, description: 'The type', schema }];
  });
  const swapped = swap({ ...(requestBody === undefined ? {} : { requestBody }), responses: responses ?? {} }, name);
  const call = {
    operationId: String(operationId)
      .replace(/Entity$/, () => name)
      .replace(/Entities$/, () => `${name}${SUFFIXES.page}`),
    summary: `${type}: ${String(isList ? 'Read entities page by page, as of an instant' : summary)}`,
    ...others,
    ...(isList || description === undefined ? {} : { description }),
    ...(isList ? { description: LIST_DESCRIPTION } : {}),
    parameters: typed,
    ...objectOf(swapped),
  };
  return isList ? withPage(call, reference(`${name}${SUFFIXES.page}`)) : call;
}

const LIST_DESCRIPTION =
  'All pages of a walk show the living entities as of one instant, whatever is written meanwhile. `asOf` of the answer is that of the newest change that it can show.';

/** The call on a list, which answers with a page. */
function withPage(call: JsonObject, page: JsonObject): JsonObject {
  const responses = objectAt(call, 'responses');
  const ok = {
    ...objectAt(responses, '200'),
    description: 'A page of the collection',
    content: { 'application/json': { schema: page } },
  };
  return { ...call, responses: { ...responses, '200': ok } };
}

/** The call on one entity, which is named by its key alone. */
const withKey = (call: JsonObject): JsonObject => ({
  ...call,
  parameters: listOf(call.parameters).map((parameter) =>
    member(parameter, '$ref') === ENTITY_ID ? { $ref: '#/components/parameters/EntityKey' } : parameter,
  ),
});

const ENTITY_ID = '#/components/parameters/EntityId';

/** A part of a document that refers to the schemas of a type where it referred to those of the service. */
function swap(part: Json, name: string): Json {
  if (Array.isArray(part)) return part.map((item) => swap(item, name));
  if (!isObject(part)) return part;
  const { $ref } = part;
  const [, schema = ''] = /^#\/components\/schemas\/(\w+)$/.exec(typeof $ref === 'string' ? $ref : '') ?? [];
  const role = Object.hasOwn(IN_PLACE_OF, schema) ? IN_PLACE_OF[schema] : undefined;
  if (role !== undefined) return reference(`${name}${SUFFIXES[role]}`);
  return mapped(part, (value) => swap(value, name));
}

/** The components that a part of a document refers to, and those that these refer to. */
function used(components: JsonObject, part: Json): JsonObject {
  const found = new Set<string>();
  const waiting = [part];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const [pointer, kind = '', name = ''] of JSON.stringify(next).matchAll(REFERENCES)) {
      if (found.has(pointer)) continue;
      found.add(pointer);
      const component = member(member(components, kind), name);
      if (component !== undefined) waiting.push(component);
    }
  }
  const kinds = Object.entries(components).map(([kind, all]): [string, Json] => [
    kind,
    Object.fromEntries(Object.entries(objectOf(all)).filter(([name]) => found.has(`"#/components/${kind}/${name}"`))),
  ]);
  return Object.fromEntries(kinds.filter(([, all]) => Object.keys(objectOf(all)).length > 0));
}

const REFERENCES = /"#\/components\/(\w+)\/([\w.-]+)"/g;

/** What the document of a type says of it. */
function descriptionOf({ type, tick, definition: { description, activity } }: Defined): string {
  const who = activity.map((word) => `\`${word}\``).join(' and ');
  return [
    `The calls on entities of the type \`${type}\`, whose properties are as its definition ${tick} says. What was recorded before may be otherwise.`,
    'The [document of the service](/openapi.yaml) has all calls, also those that show some properties only, or deleted entities.',
    ...(who === '' ? [] : [`Every change has to say the ${who} of its activity: in its body, or by \`Activity-Id\`.`]),
    ...(description === null ? [] : [description]),
  ].join('\n\n');
}

const reference = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` });

const member = (value: Json | undefined, name: string): Json | undefined =>
  isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;

const objectOf = (value: Json | undefined): JsonObject => (isObject(value) ? value : {});
const objectAt = (value: JsonObject, name: string): JsonObject => objectOf(member(value, name));
const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

const mapped = <Made extends Json>(value: JsonObject, make: (item: Json) => Made): Record<string, Made> =>
  Object.fromEntries(Object.entries(value).map(([name, item]) => [name, make(item)]));
