import type { ErrorObject } from 'ajv/dist/core.js';
import { type Json, type JsonObject, pointer } from '../temporal/json.js';
import type { Note } from './keywords.js';
import { type Lowered, SOURCE } from './lowering.js';

/** What is wrong with a state: where, by which keyword, and in words to be read after the path; the value, unless it is large. */
export type SchemaFault = { path: string; keyword: string; message: string; value?: Json };

/** How many faults of a state are told, unless somebody asks for more. */
export const MAX_FAULTS = 20;

/** How long a value may be, as JSON text, to be repeated in a fault. */
const MAX_REPEATED = 300;

/** How much of what the schema allows is repeated in a message. */
const MAX_SHOWN = 200;

/** The faults that ajv has found, in the words of this service. There is always one. */
export function faultsOf(errors: readonly ErrorObject<string, Note>[], most: number): SchemaFault[] {
  const faults: SchemaFault[] = [];
  const told = new Set<string>();
  for (const error of errors) {
    if (faults.length === most) break;
    // What stands for the fault of a branch that is not told.
    if (error.keyword === undefined) continue;
    const { name } = error.params;
    const fault = name === undefined ? faultOf(error) : faultOfName(name, error.instancePath, faults);
    const key = JSON.stringify([fault.path, fault.keyword, fault.message]);
    if (!told.has(key)) faults.push(fault);
    told.add(key);
  }
  return faults.length > 0 ? faults : [{ path: '', keyword: 'false', message: 'must be as the schema says' }];
}

/** The fault of a name. What exactly is wrong with it has just been told, as if the object were the name; that is taken back. */
function faultOfName(name: string, path: string, faults: SchemaFault[]): SchemaFault {
  let why = 'the schema does not allow';
  for (let last = faults.at(-1); last && last.path === path && last.value === name; last = faults.at(-1)) {
    why = last.message;
    faults.pop();
  }
  return { path: `${path}${pointer([name])}`, keyword: 'propertyNames', message: `has a name that ${why}` };
}

function faultOf({ keyword, instancePath, params, parentSchema, data }: ErrorObject<string, Note>): SchemaFault {
  const subschema = parentSchema && isLowered(parentSchema) ? parentSchema[SOURCE] : undefined;
  const given = typeof subschema?.value === 'object' ? subschema.value : {};
  const { missing, unknown } = params;
  if (missing !== undefined) return { path: `${instancePath}${pointer([missing])}`, keyword, message: 'is required' };
  if (unknown !== undefined)
    return { path: `${instancePath}${pointer([unknown])}`, keyword, message: 'is not a known property' };
  const fault = {
    path: instancePath,
    keyword: standardOf(keyword, subschema?.under),
    message: wordsOf(keyword, given),
  };
  return repeats(data) ? { ...fault, value: data } : fault;
}

const isLowered = (schema: object): schema is Lowered => SOURCE in schema;

/** What the standard calls a keyword of a lowered schema. Of a schema that is `false`, it is the keyword that it belongs to. */
function standardOf(keyword: string, under: string | null | undefined): string {
  if (keyword === 'types') return 'type';
  if (keyword !== 'never') return keyword;
  return under === null || under === undefined || /^(\$defs|definitions)$/.test(under) ? 'false' : under;
}

const repeats = (value: unknown): value is Json =>
  value === null ||
  typeof value === 'boolean' ||
  typeof value === 'number' ||
  (typeof value === 'string' && value.length <= MAX_REPEATED && JSON.stringify(value).length <= MAX_REPEATED);

function wordsOf(keyword: string, given: JsonObject): string {
  const limit = Object.hasOwn(given, keyword) ? given[keyword] : undefined;
  const shown = shorten(JSON.stringify(limit) ?? '');
  switch (keyword) {
    case 'never':
      return 'is not allowed';
    case 'types': {
      const { type = null } = given;
      const types = Array.isArray(type) ? type : [type];
      return `must be ${types.join(' or ')}`;
    }
    case 'enum':
      return Array.isArray(limit)
        ? `must be one of ${shorten(limit.map((value) => JSON.stringify(value)).join(', '))}`
        : 'must be one of the allowed values';
    case 'const':
      return `must be ${shown}`;
    case 'multipleOf':
      return `must be a multiple of ${shown}`;
    case 'maximum':
      return `must be at most ${shown}`;
    case 'exclusiveMaximum':
      return `must be less than ${shown}`;
    case 'minimum':
      return `must be at least ${shown}`;
    case 'exclusiveMinimum':
      return `must be greater than ${shown}`;
    case 'minLength':
      return `must have at least ${counted(limit, 'character')}`;
    case 'maxLength':
      return `must have at most ${counted(limit, 'character')}`;
    case 'pattern':
      return `must match the pattern ${shorten(String(limit))}`;
    case 'format':
      return `must be in the format ${shorten(String(limit))}`;
    case 'minItems':
      return `must have at least ${counted(limit, 'item')}`;
    case 'maxItems':
      return `must have at most ${counted(limit, 'item')}`;
    case 'uniqueItems':
      return 'must not have two equal items';
    case 'minProperties':
      return `must have at least ${counted(limit, 'property')}`;
    case 'maxProperties':
      return `must have at most ${counted(limit, 'property')}`;
    case 'contains': {
      const { minContains = 1, maxContains } = given;
      const most = maxContains === undefined ? '' : `, and at most ${JSON.stringify(maxContains)},`;
      return `must have at least ${counted(minContains, 'item')}${most} as contains says`;
    }
    case 'anyOf':
      return 'must be as at least one schema of anyOf says';
    case 'oneOf':
      return 'must be as exactly one schema of oneOf says';
    case 'not':
      return 'must not be as the schema of not says';
    default:
      return `must be as ${keyword} says`;
  }
}

const counted = (limit: Json | undefined, thing: 'character' | 'item' | 'property'): string =>
  limit === 1 ? `1 ${thing}` : `${JSON.stringify(limit)} ${thing === 'property' ? 'properties' : `${thing}s`}`;

const shorten = (text: string): string =>
  text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN).toWellFormed()}…` : text;
