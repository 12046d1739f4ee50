import Ajv, { type ErrorObject, type ValidateFunction } from 'ajv/dist/core.js';
import { isObject, type Json, type JsonObject } from '../temporal/json.js';
import { Refusal } from '../temporal/refusal.js';
import { filled } from './defaults.js';
import { faultsOf, MAX_FAULTS, type SchemaFault } from './errors.js';
import { type CellFunction, EnoughFaults, keywordsOf } from './keywords.js';
import { type Cell, lower } from './lowering.js';
import { Faults, readSchema } from './schema.js';
import { MAX_WORK, Meter } from './work.js';

export type { SchemaFault };

/** A compiled schema. */
export type Checker = {
  /**
   * Checks a state. [] = valid. At most `most` faults (20); `path` is a pointer into the properties ('' is all of them).
   * @throws Refusal `properties_too_much_work`
   */
  check: (properties: JsonObject, most?: number) => SchemaFault[];
  /**
   * A copy of a new state with the schema's defaults where it sets nothing. The argument is never changed.
   * @throws Refusal `properties_too_much_work`
   */
  withDefaults: (properties: JsonObject) => JsonObject;
};

/** The refusal of a definition, with everything that was found wrong with it. */
export const invalidDefinition = ({ list }: Faults): Refusal =>
  new Refusal('invalid_definition', `${list[0]?.path}: ${list[0]?.message}.`, { errors: list });

/**
 * Compiles a schema of properties.
 * @throws Refusal `invalid_definition`; paths begin with /schema
 */
export function checkerOf(schema: boolean | JsonObject): Checker {
  const faults = new Faults();
  const checker = compile(schema, faults);
  if (checker === null) throw invalidDefinition(faults);
  return checker;
}

/** The same for who looks for other faults, too: null when the schema has faults. */
export function compile(schema: Json, faults: Faults): Checker | null {
  const read = readSchema(schema, ['schema'], faults);
  if (read === null) return null;
  const meter = new Meter();
  const low = lower(read, meter, faults);
  if (low === null) return null;
  const { root, tracked } = low;
  const holds = compiled(root, tracked, meter, 'holds');
  let all: ReturnType<typeof compiled> | undefined;
  let first: ReturnType<typeof compiled> | undefined;

  return {
    check(properties, most = MAX_FAULTS) {
      meter.left = MAX_WORK;
      if (holds(properties)) return [];
      // To keep the faults of branches takes ten times as long as to see them.
      meter.left = MAX_WORK / 10;
      try {
        all ??= compiled(root, tracked, meter, 'all faults');
        all(properties);
        return faultsOf(all.errors() ?? [], most);
      } catch (error) {
        if (!(error instanceof EnoughFaults || error instanceof Refusal)) throw error;
        // All faults are more than there is room or time for: the first has to do.
        meter.left = MAX_WORK;
        first ??= compiled(root, tracked, meter, 'first fault');
        first(properties);
        return faultsOf(first.errors() ?? [], most).slice(-1);
      }
    },
    withDefaults(properties) {
      meter.left = MAX_WORK;
      const result = filled(properties, root.schema, meter);
      return isObject(result) ? result : properties;
    },
  };
}

/**
 * Compiles a cell and all that it calls: to what tells only whether a value holds, which is all that most checks need; what tells all faults;
 * or what stops at the first.
 */
function compiled(root: Cell, tracked: boolean, meter: Meter, mode: 'holds' | 'all faults' | 'first fault') {
  const tells = mode !== 'holds';
  const functions = new Map<Cell, CellFunction>();
  const waiting: Cell[] = [];
  const functionOf = (cell: Cell): CellFunction => {
    const known = functions.get(cell);
    if (known) return known;
    const made: CellFunction = {};
    functions.set(cell, made);
    waiting.push(cell);
    return made;
  };
  const count = { found: 0 };
  const ajv = new Ajv.default({
    allErrors: mode === 'all faults',
    strict: false,
    meta: false,
    validateSchema: false,
    addUsedSchema: false,
    inlineRefs: false,
    ownProperties: true,
    unevaluated: tracked,
    validateFormats: false,
    messages: false,
    verbose: tells,
    logger: false,
    code: { optimize: false },
    keywords: keywordsOf(tells, meter, count, functionOf),
  });
  const start = functionOf(root);
  for (let cell = waiting.shift(); cell; cell = waiting.shift()) {
    functionOf(cell).check = ajv.compile(cell.schema);
  }
  const check: ValidateFunction | undefined = start.check;
  if (!check) throw new Error('nothing was compiled');
  return Object.assign(
    (value: Json): boolean => {
      count.found = 0;
      return check(value);
    },
    { errors: (): ErrorObject[] | null | undefined => check.errors },
  );
}
