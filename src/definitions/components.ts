import { isObject, type Json, type JsonObject } from '../temporal/json.js';
import { invalidDefinition } from './checker.js';
import { referred } from './lowering.js';
import { Faults, type ReadSchema, readSchema, type Subschema } from './schema.js';
import { KINDS } from './vocabulary.js';

/*
 * A schema as schemas of an OpenAPI document. There, `#` is the whole document, so local references would lead elsewhere. An `$id` would mend
 * that, but generators of clients look at none: they follow references to components, and some make a property of `$defs`. So whatever is
 * referred to becomes a component, and identifiers, anchors and dynamic references are gone.
 */

/**
 * Which values a component describes:
 * - `whole`: those that the schema takes,
 * - `new`: those that it takes after its defaults were filled in,
 * - `patch`: merge patches (RFC 7396) of them. What cannot be said of a patch is left out, so a right patch is never refused.
 */
export type Use = 'whole' | 'new' | 'patch';

/** The names of the schema itself, by use. Its parts are called after `parts`, as `Person.Address`. */
export type Names = Record<Use, string> & { parts: string };

/** What is added to the name of a part. */
const OF_PARTS: Record<Use, string> = { whole: '', new: '.New', patch: '.Patch' };

/** How long the name of a part may be, without that of the schema. */
const MAX_NAME = 60;

const reference = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` });

/** What says nothing of values, and so may stand beside a reference. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  'title',
  'description',
  'default',
  'deprecated',
  'readOnly',
  'writeOnly',
  'examples',
]);
/** What only names subschemas, or is for people who write schemas. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  '$schema',
  '$id',
  '$anchor',
  '$dynamicAnchor',
  '$ref',
  '$dynamicRef',
  '$defs',
  'definitions',
  '$comment',
]);
/** What a merge patch need not hold, because it is part of an object, or because it says nothing of patches. */
const OF_NO_PATCH: ReadonlySet<string> = new Set([
  'required',
  'dependentRequired',
  'dependentSchemas',
  'minProperties',
  'maxProperties',
  'unevaluatedProperties',
  'not',
  'if',
  'then',
  'else',
  'default',
  'examples',
]);
/** Keywords that hold data, in which a member `$ref` would be taken for a reference. */
const DATA: ReadonlySet<string> = new Set(['const', 'enum', 'default', 'examples']);
/** Keywords with which an object has members of some form. */
const MEMBERS = ['properties', 'patternProperties', 'additionalProperties', 'unevaluatedProperties'];
const BRANCHES = ['allOf', 'anyOf', 'oneOf'];

/**
 * The schemas of an OpenAPI 3.1 document that say what a schema says, by name. The first of each use has the name that was given for it;
 * where a use needs no schema of its own, because it takes what `whole` takes, `whole` stands for it.
 * @throws Refusal `invalid_definition`
 */
export function schemaComponents(
  schema: boolean | JsonObject,
  names: Names,
): { components: [name: string, schema: JsonObject][]; nameOf: Record<Use, string> } {
  const faults = new Faults();
  const read = readSchema(schema, ['schema'], faults);
  if (read === null) throw invalidDefinition(faults);
  const { root, all } = read;
  const references = new Map(all.map((sub) => [sub, referencesOf(sub, read)]));
  const mappings = new Map(all.map((sub) => [sub, mappingOf(sub, read)]));
  const targets = new Set<Subschema>([root]);
  for (const found of references.values()) for (const target of found.flat()) targets.add(target);
  for (const mapping of mappings.values()) for (const [, target] of mapping ?? []) targets.add(target);
  const parts = namesOf(
    [...targets].filter((target) => target !== root),
    names.parts,
  );
  const isClosed = all.some(({ one }) => one.has('unevaluatedProperties'));

  /** Those that take something else of a use than of `whole`. */
  const own: Record<Use, Set<Subschema>> = { whole: new Set(targets), new: new Set(), patch: new Set() };
  const nameOf = (target: Subschema, use: Use): string => {
    const ownUse = own[use].has(target) ? use : 'whole';
    return target === root ? names[ownUse] : `${parts.get(target)}${OF_PARTS[ownUse]}`;
  };

  /** A subschema where it stands: a reference to the component that it is, if it is one. */
  const place = (sub: Subschema, use: Use, refer: (target: Subschema, use: Use) => JsonObject): JsonObject =>
    targets.has(sub) ? refer(sub, use) : written(sub, use, refer);

  const written = (sub: Subschema, use: Use, refer: (target: Subschema, use: Use) => JsonObject): JsonObject => {
    const { value, one, several, named } = sub;
    if (typeof value === 'boolean') return value ? {} : { not: {} };
    const at = (child: Subschema, of: Use) => place(child, of, refer);
    const result = new Map<string, Json>();
    const defaulted = new Set(
      use === 'new'
        ? (named.get('properties') ?? []).filter(([, child]) => hasDefault(child)).map(([name]) => name)
        : [],
    );
    for (const [keyword, given] of Object.entries(value)) {
      if (LEFT_OUT.has(keyword) || !(KINDS.has(keyword) || keyword.startsWith('x-'))) continue;
      if (use === 'patch' && OF_NO_PATCH.has(keyword)) continue;
      if (use === 'new' && keyword === 'default') continue;
      if ((DATA.has(keyword) || !KINDS.has(keyword)) && holdsReference(given)) continue;
      const child = one.get(keyword);
      const children = several.get(keyword);
      const byName = named.get(keyword);
      const of = useOf(keyword, use);
      if (child) {
        if (typeof child.value === 'boolean' && BOOLEAN.has(keyword)) result.set(keyword, child.value);
        else
          result.set(
            keyword,
            keyword === 'additionalProperties' && of === 'patch' ? orNull(at(child, of)) : at(child, of),
          );
      } else if (children) {
        result.set(
          keyword,
          children.map((item) => at(item, of)),
        );
      } else if (byName) {
        const entries = byName.map(([name, item]) => [name, of === 'patch' ? orNull(at(item, of)) : at(item, of)]);
        result.set(keyword, Object.fromEntries(entries));
      } else if (keyword === 'required' && Array.isArray(given)) {
        const names = given.filter((name) => !(typeof name === 'string' && defaulted.has(name)));
        if (names.length > 0) result.set(keyword, names);
      } else if (use === 'patch' && (keyword === 'const' || keyword === 'enum') && holdsObject(given)) {
        // A patch of an object may be a part of it.
      } else result.set(keyword, given);
    }
    if (use === 'patch') branchesOfPatch(result);
    if (result.get('type') === 'object' && !isClosed && isBare(result) && references.get(sub)?.length === 0)
      // Without it, openapi-typescript takes an object for one that has no members.
      result.set('additionalProperties', true);
    const mapping = mappings.get(sub);
    if (mapping && use !== 'patch' && isObject(value.discriminator)) {
      const { propertyName = '' } = value.discriminator;
      const to = mapping.map(([name, target]) => [name, refer(target, use).$ref ?? '']);
      result.set('discriminator', { propertyName, ...(to.length > 0 ? { mapping: Object.fromEntries(to) } : {}) });
    }
    return withReferences(
      result,
      (references.get(sub) ?? []).map((found) => {
        const refs = found.map((target) => refer(target, use));
        return refs.length === 1 ? (refs[0] ?? {}) : { anyOf: refs };
      }),
    );
  };

  for (const use of ['new', 'patch'] as const) {
    // First as if all were the same; then those differ, too, that refer to what differs.
    const usedBy = new Map([...targets].map((target): [Subschema, Subschema[]] => [target, []]));
    const waiting: Subschema[] = [];
    for (const target of targets) {
      const ofUse = written(target, use, (other, as) => {
        if (as === use) usedBy.get(other)?.push(target);
        return reference(nameOf(other, 'whole'));
      });
      const whole = written(target, 'whole', (other) => reference(nameOf(other, 'whole')));
      if (JSON.stringify(ofUse) !== JSON.stringify(whole)) waiting.push(target);
    }
    for (let target = waiting.pop(); target; target = waiting.pop()) {
      if (own[use].has(target)) continue;
      own[use].add(target);
      waiting.push(...(usedBy.get(target) ?? []));
    }
  }

  const components = new Map<string, JsonObject>();
  const wanted: [Subschema, Use][] = [];
  for (const use of ['whole', 'new', 'patch'] as const) {
    wanted.push([root, use]);
    for (let next = wanted.shift(); next; next = wanted.shift()) {
      const [target, as] = next;
      const name = nameOf(target, as);
      if (components.has(name)) continue;
      components.set(name, {});
      const made = written(target, own[as].has(target) ? as : 'whole', (other, otherAs) => {
        wanted.push([other, otherAs]);
        return reference(nameOf(other, otherAs));
      });
      components.set(name, target === root ? asObject(made, isClosed) : made);
    }
  }
  return {
    components: [...components],
    nameOf: { whole: nameOf(root, 'whole'), new: nameOf(root, 'new'), patch: nameOf(root, 'patch') },
  };
}

/** Keywords whose schema is usually true or false. */
const BOOLEAN: ReadonlySet<string> = new Set([
  'additionalProperties',
  'unevaluatedProperties',
  'unevaluatedItems',
  'items',
]);

/** Of which use the subschemas of a keyword are, in a schema of a use. Arrays are patched as a whole; branches get no defaults. */
function useOf(keyword: string, use: Use): Use {
  if (keyword === 'allOf' || keyword === 'properties' || keyword === 'patternProperties') return use;
  if (keyword === 'additionalProperties') return use;
  if (use === 'new') return keyword === 'items' || keyword === 'prefixItems' ? use : 'whole';
  return keyword === 'anyOf' || keyword === 'oneOf' ? use : 'whole';
}

/** A part of an object may be a part of several branches: `oneOf` becomes `anyOf`. */
function branchesOfPatch(result: Map<string, Json>): void {
  const branches = result.get('oneOf');
  if (branches === undefined) return;
  result.delete('oneOf');
  if (!result.has('anyOf')) result.set('anyOf', branches);
  else result.set('allOf', [...listOf(result.get('allOf')), { anyOf: branches }]);
}

/** The schema with what it refers to: as `$ref` where only annotations stand beside it, since many generators see nothing else then. */
function withReferences(result: Map<string, Json>, references: readonly JsonObject[]): JsonObject {
  const [first] = references;
  if (references.length === 1 && first?.$ref !== undefined && [...result.keys()].every((name) => ANNOTATIONS.has(name)))
    return { ...Object.fromEntries(result), ...first };
  if (references.length > 0) result.set('allOf', [...references, ...listOf(result.get('allOf'))]);
  return Object.fromEntries(result);
}

const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

/** A schema that takes null as well: in the plainest form, which generators know best. */
function orNull(schema: JsonObject): JsonObject {
  const { type, enum: values } = schema;
  if (Object.keys(schema).length === 0) return schema;
  if (schema.const !== undefined || BRANCHES.some((name) => name in schema) || schema.$ref !== undefined)
    return { anyOf: [schema, { type: 'null' }] };
  if (type === undefined && values === undefined) return { anyOf: [schema, { type: 'null' }] };
  return {
    ...schema,
    ...(type === undefined ? {} : { type: withNull(Array.isArray(type) ? type : [type], 'null') }),
    ...(Array.isArray(values) ? { enum: withNull(values, null) } : {}),
  };
}

const withNull = (values: Json[], asNull: Json): Json[] => (values.includes(asNull) ? values : [...values, asNull]);

const isBare = (schema: ReadonlyMap<string, Json>): boolean =>
  ![...MEMBERS, ...BRANCHES, '$ref', 'const', 'enum'].some((name) => schema.has(name));

/** The schema of properties, which are an object whether or not their schema says so. */
function asObject(schema: JsonObject, isClosed: boolean): JsonObject {
  const known = new Map(Object.entries(schema));
  if (known.has('type') || known.has('$ref') || BRANCHES.some((name) => known.has(name))) return schema;
  return { type: 'object', ...schema, ...(isBare(known) && !isClosed ? { additionalProperties: true } : {}) };
}

/** What a subschema refers to: for each of its references, the subschemas of which one is meant. */
function referencesOf(sub: Subschema, schema: ReadSchema): Subschema[][] {
  const found: Subschema[][] = [];
  for (const keyword of ['$ref', '$dynamicRef']) {
    const target = targetOf(sub, member(sub, keyword), schema);
    if (!target) continue;
    const { subschema, fragment } = target;
    const isDynamic =
      keyword === '$dynamicRef' && fragment !== null && subschema.resource.dynamic.get(fragment) === subschema;
    found.push(isDynamic ? dynamically(fragment, schema) : [subschema]);
  }
  return found;
}

/**
 * What a dynamic reference may mean (Core section 8.2.3.2): the anchor of the outermost resource that was entered. The schema itself always is
 * that; where it has no such anchor, it depends on the way, and may be any.
 */
function dynamically(name: string, { root, resources }: ReadSchema): Subschema[] {
  const outermost = root.resource.dynamic.get(name);
  if (outermost) return [outermost];
  return [...new Set([...resources.values()].flatMap(({ dynamic }) => dynamic.get(name) ?? []))];
}

/** What the values of a discriminator mean; null: it has none, or one that OpenAPI would not take. */
function mappingOf(sub: Subschema, schema: ReadSchema): [value: string, target: Subschema][] | null {
  const given = member(sub, 'discriminator');
  if (!isObject(given) || typeof given.propertyName !== 'string') return null;
  if (!sub.several.has('oneOf') && !sub.several.has('anyOf')) return null;
  const mapping = given.mapping ?? {};
  if (!isObject(mapping)) return null;
  const entries = Object.entries(mapping).map(([value, to]): [string, Subschema | undefined] => [
    value,
    targetOf(sub, to, schema)?.subschema,
  ]);
  const known = entries.flatMap(([value, target]): [string, Subschema][] => (target ? [[value, target]] : []));
  return known.length === entries.length ? known : null;
}

function targetOf(sub: Subschema, given: Json | undefined, schema: ReadSchema) {
  if (typeof given !== 'string') return undefined;
  const target = referred(sub, given, schema);
  return typeof target === 'string' ? undefined : target;
}

/** The names of the parts, each after its own place. */
function namesOf(targets: readonly Subschema[], parts: string): Map<Subschema, string> {
  const taken = new Set<string>();
  const names = new Map<Subschema, string>();
  for (const target of targets) {
    const token = String(target.place.findLast((token) => typeof token === 'string') ?? '');
    const clean =
      token
        .replaceAll(/[^A-Za-z0-9_-]+/g, '_')
        .replaceAll(/^_+|_+$/g, '')
        .slice(0, MAX_NAME) || 'Part';
    let name = clean;
    for (let n = 2; taken.has(name.toLowerCase()); n++) name = `${clean}_${n}`;
    taken.add(name.toLowerCase());
    names.set(target, `${parts}.${name}`);
  }
  return names;
}

const member = ({ value }: Subschema, keyword: string): Json | undefined =>
  typeof value === 'object' && Object.hasOwn(value, keyword) ? value[keyword] : undefined;

const hasDefault = (sub: Subschema): boolean => member(sub, 'default') !== undefined;

const holdsObject = (value: Json): boolean => isObject(value) || (Array.isArray(value) && value.some(isObject));

/** Whether tools would find a reference in some data. */
const holdsReference = (value: Json): boolean =>
  typeof value === 'object' &&
  value !== null &&
  ((isObject(value) && Object.hasOwn(value, '$ref')) || Object.values(value).some(holdsReference));
