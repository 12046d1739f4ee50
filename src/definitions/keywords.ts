import { and, not, or } from 'ajv/dist/compile/codegen/index.js';
import names from 'ajv/dist/compile/names.js';
import { evaluatedPropsToName, mergeEvaluated, Type } from 'ajv/dist/compile/util.js';
import { checkDataType } from 'ajv/dist/compile/validate/dataType.js';
import {
  _,
  type Code,
  type CodeGen,
  type CodeKeywordDefinition,
  type JSONType,
  type KeywordCxt,
  Name,
  nil,
  type SchemaCxt,
  type SchemaObjCxt,
  type ValidateFunction,
} from 'ajv/dist/core.js';
import { callValidateCode, propertyInData } from 'ajv/dist/vocabularies/code.js';
import type { JsonObject } from '../temporal/json.js';
import type { Cell } from './lowering.js';
import type { Meter } from './work.js';

/*
 * The keywords that ajv compiles: those of a lowered schema (lowering.ts). Where ajv's own do the same, and are right, they look like
 * these; but each of these writes one block of code after another, where ajv nests them.
 *
 * What is evaluated of a value is kept in the object of ajv that is for properties: a property by its name after a dot, an item by its index
 * after a #, all properties as *. So no name is one that every object has.
 */

/** What a fault says beside its place: the name of what is missing, or too much. */
export type Note = { missing?: string; unknown?: string; name?: string };

/** Thrown when more faults were found than are worth being kept. */
export class EnoughFaults extends Error {}

/** How many faults may be found before what follows is not looked at. */
const MAX_FOUND = 10_000;

/** Counts the faults of one check. */
export type FaultCount = { found: number };

/** What it costs to take over that a property or an item has been evaluated, in units of work. */
const MARK = 60;

const ALL_PROPERTIES = '*';
const ofProperty = (name: string): string => `.${name}`;

/** What a cell was compiled to; nothing while it is being compiled. */
export type CellFunction = { check?: ValidateFunction };

/**
 * The keywords, which spend of a meter.
 * @param tells whether faults are told; otherwise only that there is one, which makes less code
 */
export function keywordsOf(
  tells: boolean,
  meter: Meter,
  faults: FaultCount,
  functionOf: (cell: Cell) => CellFunction,
): CodeKeywordDefinition[] {
  const beside: unknown[] = [];
  const indexes = new Map<unknown, number>();
  /**
   * What stands beside the code: a function, texts or a cell that it uses. All of it in one array, because for each value of its scope ajv copies
   * the code of those before.
   */
  const scoped = ({ gen }: { gen: CodeGen }, value: unknown): Code => {
    const index = indexes.get(value) ?? beside.push(value) - 1;
    indexes.set(value, index);
    return _`${gen.scopeValue('obj', { ref: beside })}[${index}]`;
  };
  const fault = (note: Note): Note => {
    faults.found += 1;
    if (faults.found > MAX_FOUND) throw new EnoughFaults();
    return note;
  };
  const error = {
    message: '',
    params: ({ gen, params }: { gen: CodeGen; params: { [name: string]: Code | string | number | undefined } }) => {
      const [entry] = Object.entries(params);
      const note = entry === undefined ? _`{}` : gen.object([new Name(entry[0]), entry[1] ?? nil]);
      return _`${scoped({ gen }, fault)}(${note})`;
    },
  };
  const spend = (units: number) => meter.spend(units);
  const namesOf = (value: JsonObject): string[] => {
    const found = Object.keys(value);
    meter.spend(1 + (found.length >> 2));
    return found;
  };

  const joined = (found: object[] | null, more: object[]): object[] => {
    meter.spend(more.length + (found?.length ?? 0));
    return found === null ? more : found.concat(more);
  };
  /** Takes over the faults that a called function has found. */
  const addFaults = (cxt: KeywordCxt, called: Code) => {
    const { vErrors, errors } = names.default;
    cxt.gen.assign(vErrors, _`${scoped(cxt, joined)}(${vErrors}, ${called}.errors)`);
    cxt.gen.assign(errors, _`${vErrors}.length`);
  };
  /** Takes over what a subschema has evaluated of the same value. It costs as much as there is of it. */
  const merge = (cxt: KeywordCxt, subschema: SchemaCxt) => {
    const { props } = subschema;
    if (!cxt.it.opts.unevaluated) return;
    if (props instanceof Name) cxt.gen.code(_`${scoped(cxt, spendMarks)}(${props})`);
    cxt.mergeEvaluated(subschema, Name);
  };
  const copied = (props: object | undefined): object | undefined => {
    spendMarks(props);
    return props === undefined ? undefined : { ...props };
  };
  const spendMarks = (props: object | undefined) => {
    if (props) meter.spend(MARK * Object.keys(props).length);
  };

  /** A keyword that a function decides, which is its value. */
  const decided = (keyword: string, type?: 'number' | 'string' | 'array' | 'object'): CodeKeywordDefinition => ({
    keyword,
    ...(type ? { type } : {}),
    error,
    code: (cxt) => cxt.fail(_`!${scoped(cxt, cxt.schema)}(${cxt.data})`),
  });
  const compared = (keyword: string, fails: (cxt: KeywordCxt) => Code): CodeKeywordDefinition => ({
    keyword,
    type: 'number',
    error,
    code: (cxt) => cxt.fail(fails(cxt)),
  });

  /** Goes through the members of an object. */
  const forEachName = (cxt: KeywordCxt, body: (name: Name) => void) => {
    const { gen, data } = cxt;
    gen.forOf('key', _`${scoped(cxt, namesOf)}(${data})`, body);
  };
  const forEachItem = (cxt: KeywordCxt, from: number, body: (index: Name) => void) => {
    const { gen, data } = cxt;
    gen.forRange('i', from, _`${data}.length`, body);
  };

  const definitions: CodeKeywordDefinition[] = [
    {
      keyword: 'work',
      code: ({ gen, schema }) => {
        gen.code(_`${scoped({ gen }, spend)}(${schema})`);
      },
    },
    { keyword: 'never', error, code: (cxt) => cxt.fail() },
    {
      keyword: 'types',
      error,
      code: (cxt) => cxt.fail(not(or(...cxt.schema.map((type: JSONType) => checkDataType(type, cxt.data, false))))),
    },
    decided('enum'),
    decided('const'),
    decided('multipleOf', 'number'),
    compared('maximum', ({ data, schema }) => _`${data} > ${schema}`),
    compared('exclusiveMaximum', ({ data, schema }) => _`${data} >= ${schema}`),
    compared('minimum', ({ data, schema }) => _`${data} < ${schema}`),
    compared('exclusiveMinimum', ({ data, schema }) => _`${data} <= ${schema}`),
    decided('minLength', 'string'),
    decided('maxLength', 'string'),
    decided('format', 'string'),
    decided('pattern', 'string'),
    { keyword: 'maxItems', type: 'array', error, code: (cxt) => cxt.fail(_`${cxt.data}.length > ${cxt.schema}`) },
    { keyword: 'minItems', type: 'array', error, code: (cxt) => cxt.fail(_`${cxt.data}.length < ${cxt.schema}`) },
    decided('uniqueItems', 'array'),
    decided('maxProperties', 'object'),
    decided('minProperties', 'object'),
    {
      keyword: 'required',
      type: 'object',
      error,
      code(cxt) {
        const { gen, data, schema, it } = cxt;
        gen.forOf('name', scoped(cxt, schema), (name) => {
          gen.if(_`!${scoped(cxt, Object.hasOwn)}(${data}, ${name})`, () => {
            cxt.error(false, { missing: name });
            if (!it.allErrors) gen.break();
          });
        });
      },
    },
    {
      keyword: 'dependentRequired',
      type: 'object',
      error,
      code(cxt) {
        const { gen, data, schema, it } = cxt;
        const missingOf = (value: JsonObject): string[] => {
          const dependents: [string, string[]][] = schema;
          return dependents.flatMap(([name, needed]) =>
            Object.hasOwn(value, name) ? needed.filter((other) => !Object.hasOwn(value, other)) : [],
          );
        };
        gen.forOf('name', _`${scoped(cxt, missingOf)}(${data})`, (name) => {
          cxt.error(false, { missing: name });
          if (!it.allErrors) gen.break();
        });
      },
    },
    {
      keyword: 'calls',
      error,
      code(cxt) {
        const { gen, schema } = cxt;
        inTurn(
          cxt,
          schema.map((cell: Cell) => (valid: Name) => {
            const called = _`${scoped(cxt, functionOf(cell))}.check`;
            // Who only asks whether a value holds needs no place, and no faults.
            gen.var(valid, tells ? callValidateCode(cxt, called, nil) : _`${called}(${cxt.data})`);
            gen.if(not(valid), () => (tells ? addFaults(cxt, called) : gen.code(_`${names.default.errors}++`)));
            if (!cxt.it.opts.unevaluated) return;
            // Copied, because the function keeps the same object for all its calls.
            const props = gen.var('props', _`${scoped(cxt, copied)}(${called}.evaluated.props)`);
            cxt.it.props = mergeEvaluated.props(gen, props, known(cxt.it.props), Name);
            if (cxt.it.items === true) return;
            const items = gen.var('items', _`${called}.evaluated.items`);
            cxt.it.items = mergeEvaluated.items(gen, items, cxt.it.items, Name);
          }),
        );
      },
    },
    {
      keyword: 'allOf',
      code(cxt) {
        inTurn(
          cxt,
          cxt.schema.map((_sub: object, index: number) => (valid: Name) => {
            merge(cxt, cxt.subschema({ keyword: 'allOf', schemaProp: index }, valid));
          }),
        );
      },
    },
    {
      keyword: 'anyOf',
      trackErrors: true,
      error,
      code(cxt) {
        const { gen, schema, it } = cxt;
        const ok = gen.let('ok', false);
        const valid = gen.name('valid');
        for (const index of schema.keys()) {
          // Where what is evaluated matters, every branch that holds does.
          gen.if(it.opts.unevaluated ? true : not(ok), () => {
            const branch = cxt.subschema({ keyword: 'anyOf', schemaProp: index, ...branchMode(cxt) }, valid);
            gen.if(valid, () => {
              gen.assign(ok, true);
              merge(cxt, branch);
            });
          });
        }
        cxt.result(
          ok,
          () => cxt.reset(),
          () => cxt.error(true),
        );
      },
    },
    {
      keyword: 'oneOf',
      trackErrors: true,
      error,
      code(cxt) {
        const { gen, schema } = cxt;
        const passed = gen.let('passed', 0);
        const valid = gen.name('valid');
        for (const index of schema.keys()) {
          gen.if(_`${passed} < 2`, () => {
            const branch = cxt.subschema({ keyword: 'oneOf', schemaProp: index, ...branchMode(cxt) }, valid);
            gen.if(valid, () => {
              gen.code(_`${passed}++`);
              merge(cxt, branch);
            });
          });
        }
        // When several hold, it is not the faults of the others that are to be told.
        gen.if(_`${passed} > 0`, () => cxt.reset());
        cxt.result(_`${passed} === 1`, undefined, () => cxt.error(true));
      },
    },
    {
      keyword: 'not',
      trackErrors: true,
      error,
      code(cxt) {
        const { gen } = cxt;
        const valid = gen.name('valid');
        cxt.subschema({ keyword: 'not', ...SILENT }, valid);
        cxt.failResult(
          valid,
          () => cxt.reset(),
          () => cxt.error(),
        );
      },
    },
    {
      keyword: 'if',
      trackErrors: true,
      error,
      code(cxt) {
        const { gen, parentSchema } = cxt;
        const valid = gen.name('valid');
        const ok = gen.let('ok', true);
        const holds = gen.let('holds');
        const condition = cxt.subschema({ keyword: 'if', ...SILENT }, valid);
        gen.assign(holds, valid);
        cxt.reset();
        gen.if(holds, () => merge(cxt, condition));
        for (const keyword of ['then', 'else'] as const) {
          if (parentSchema[keyword] === undefined) continue;
          gen.if(keyword === 'then' ? holds : not(holds), () => {
            const branch = cxt.subschema({ keyword }, valid);
            gen.assign(ok, valid);
            merge(cxt, branch);
          });
        }
        cxt.ok(ok);
      },
    },
    {
      keyword: 'dependentSchemas',
      type: 'object',
      code(cxt) {
        const { gen, data, parentSchema, it } = cxt;
        inTurn(
          cxt,
          parentSchema.dependentNames.map((name: string, index: number) => (valid: Name) => {
            gen.var(valid, true);
            gen.if(propertyInData(gen, data, name, it.opts.ownProperties), () => {
              merge(cxt, cxt.subschema({ keyword: 'dependentSchemas', schemaProp: index }, valid));
            });
          }),
        );
      },
    },
    {
      keyword: 'prefixItems',
      type: 'array',
      code(cxt) {
        const { gen, data, schema, it } = cxt;
        if (it.opts.unevaluated && it.items !== true) it.items = mergeEvaluated.items(gen, schema.length, it.items);
        inTurn(
          cxt,
          schema.map((_sub: object, index: number) => (valid: Name) => {
            gen.var(valid, true);
            gen.if(_`${data}.length > ${index}`, () => {
              cxt.subschema({ keyword: 'prefixItems', schemaProp: index, dataProp: index }, valid);
            });
          }),
        );
      },
    },
    {
      keyword: 'items',
      type: 'array',
      code(cxt) {
        const { gen, parentSchema, it } = cxt;
        it.items = true;
        const valid = gen.name('valid');
        const ok = gen.let('ok', true);
        forEachItem(cxt, parentSchema.prefixItems?.length ?? 0, (index) => {
          cxt.subschema({ keyword: 'items', dataProp: index, dataPropType: Type.Num }, valid);
          stopUnless(cxt, valid, ok);
        });
        cxt.ok(ok);
      },
    },
    {
      keyword: 'contains',
      type: 'array',
      trackErrors: true,
      error,
      code(cxt) {
        const { gen, parentSchema, it } = cxt;
        const min: number = parentSchema.minContains ?? 1;
        const max: number | undefined = parentSchema.maxContains;
        const valid = gen.name('valid');
        const count = gen.let('count', 0);
        const props = it.opts.unevaluated ? marks(cxt) : undefined;
        forEachItem(cxt, 0, (index) => {
          cxt.subschema({ keyword: 'contains', dataProp: index, dataPropType: Type.Num, ...SILENT }, valid);
          gen.if(valid, () => {
            gen.code(_`${count}++`);
            if (props) gen.assign(_`${props}["#" + ${index}]`, true);
            else if (max === undefined) gen.if(_`${count} >= ${min}`, () => gen.break());
            else gen.if(_`${count} > ${max}`, () => gen.break());
          });
        });
        cxt.reset();
        cxt.fail(or(_`${count} < ${min}`, max === undefined ? nil : _`${count} > ${max}`));
      },
    },
    {
      keyword: 'unevaluatedItems',
      type: 'array',
      code(cxt) {
        const { gen, it } = cxt;
        const { items, props } = it;
        it.items = true;
        if (items === true) return;
        const valid = gen.name('valid');
        const ok = gen.let('ok', true);
        const marked = props === undefined ? undefined : marks(cxt);
        forEachItem(cxt, 0, (index) => {
          const evaluated = [];
          if (typeof items === 'number') evaluated.push(_`${index} < ${items}`);
          else if (items) evaluated.push(_`${items} === true`, _`${index} < ${items}`);
          if (marked) evaluated.push(_`${marked}["#" + ${index}]`);
          gen.if(not(evaluated.length === 0 ? _`false` : or(...evaluated)), () => {
            cxt.subschema({ keyword: 'unevaluatedItems', dataProp: index, dataPropType: Type.Num }, valid);
            stopUnless(cxt, valid, ok);
          });
        });
        cxt.ok(ok);
      },
    },
    {
      keyword: 'properties',
      type: 'object',
      code(cxt) {
        const { gen, data, parentSchema, it } = cxt;
        const declared: string[] = parentSchema.names;
        if (it.opts.unevaluated) {
          const marked = Object.fromEntries(declared.map((name) => [ofProperty(name), true as const]));
          it.props = mergeEvaluated.props(gen, marked, known(it.props));
        }
        inTurn(
          cxt,
          declared.map((name, index) => (valid: Name) => {
            gen.var(valid, true);
            gen.if(propertyInData(gen, data, name, it.opts.ownProperties), () => {
              cxt.subschema({ keyword: 'properties', schemaProp: index, dataProp: name }, valid);
            });
          }),
        );
      },
    },
    {
      keyword: 'patternProperties',
      type: 'object',
      code(cxt) {
        const { gen, parentSchema, it } = cxt;
        const valid = gen.name('valid');
        const ok = gen.let('ok', true);
        const props = it.opts.unevaluated ? marks(cxt) : undefined;
        forEachName(cxt, (name) => {
          for (const [index, matches] of parentSchema.patterns.entries()) {
            gen.if(and(it.allErrors ? _`true` : ok, _`${scoped(cxt, matches)}(${name})`), () => {
              if (props) gen.assign(_`${props}["." + ${name}]`, true);
              const at = { schemaProp: index, dataProp: name, dataPropType: Type.Str };
              cxt.subschema({ keyword: 'patternProperties', ...at }, valid);
              if (!it.allErrors) gen.assign(ok, valid);
            });
          }
          if (!it.allErrors) gen.if(not(ok), () => gen.break());
        });
        cxt.ok(ok);
      },
    },
    {
      keyword: 'additionalProperties',
      type: 'object',
      error,
      code(cxt) {
        const { gen, schema, parentSchema, it } = cxt;
        const valid = gen.name('valid');
        const ok = gen.let('ok', true);
        forEachName(cxt, (name) => {
          gen.if(_`${scoped(cxt, parentSchema.isAdditional)}(${name})`, () => {
            unknownProperty(cxt, schema, name, valid, ok);
          });
        });
        if (it.opts.unevaluated) it.props = mergeEvaluated.props(gen, { [ALL_PROPERTIES]: true }, known(it.props));
        cxt.ok(ok);
      },
    },
    {
      keyword: 'propertyNames',
      type: 'object',
      trackErrors: true,
      error,
      code(cxt) {
        const { gen, it } = cxt;
        const valid = gen.name('valid');
        const ok = gen.let('ok', true);
        forEachName(cxt, (name) => {
          cxt.subschema(
            { keyword: 'propertyNames', data: name, dataTypes: ['string'], propertyName: name, compositeRule: true },
            valid,
          );
          gen.if(not(valid), () => {
            cxt.error(true, { name });
            if (!it.allErrors) gen.assign(ok, false).break();
          });
        });
        cxt.ok(ok);
      },
    },
    {
      keyword: 'unevaluatedProperties',
      type: 'object',
      error,
      code(cxt) {
        const { gen, schema, it } = cxt;
        const valid = gen.name('valid');
        const ok = gen.let('ok', true);
        const props = it.props === undefined ? undefined : marks(cxt);
        gen.if(props ? _`!${props}[${ALL_PROPERTIES}]` : true, () => {
          forEachName(cxt, (name) => {
            gen.if(props ? _`!${props}["." + ${name}]` : true, () => unknownProperty(cxt, schema, name, valid, ok));
          });
        });
        it.props = mergeEvaluated.props(gen, { [ALL_PROPERTIES]: true }, known(it.props));
        cxt.ok(ok);
      },
    },
  ];
  return definitions.map((definition) => ({
    ...definition,
    code: (cxt) => {
      if (!tells) Object.assign(cxt.it, { createErrors: false });
      // ajv would keep an empty object of each fault that nobody is told, which takes longer than most checks.
      if (cxt.it.createErrors === false) Object.assign(cxt, { error: () => countFault(cxt) });
      definition.code(cxt);
    },
  }));
}

/** How the branches of a choice are compiled: only the pass that tells faults makes texts of them. */
const branchMode = ({ it }: KeywordCxt) => ({
  compositeRule: true as const,
  ...(it.allErrors ? {} : { createErrors: false }),
});

/** How a subschema is compiled that may fail without being a fault. */
const SILENT = { compositeRule: true, createErrors: false, allErrors: false } as const;

/** ajv also knows `true` for all properties; here that is a mark of its own. */
const known = (props: SchemaObjCxt['props']) => (props === true ? undefined : props);

/** The object of what has been evaluated, as a variable of the code. */
function marks({ gen, it }: KeywordCxt): Name {
  const { props: before } = it;
  const props = before instanceof Name ? before : evaluatedPropsToName(gen, before === true ? undefined : before);
  gen.assign(props, _`${props} || {}`);
  it.props = props;
  return props;
}

/** Writes the code of several subschemas one after another; what follows a fault is left out, unless all faults are looked for. */
function inTurn(cxt: KeywordCxt, steps: readonly ((valid: Name) => void)[]): void {
  const { gen, it } = cxt;
  const ok = gen.let('ok', true);
  for (const step of steps) {
    const valid = gen.name('valid');
    gen.if(it.allErrors ? true : ok, () => {
      step(valid);
      if (!it.allErrors) gen.assign(ok, valid);
    });
  }
  cxt.ok(ok);
}

/** In a loop: ends it after a fault, unless all faults are looked for. */
function stopUnless({ gen, it }: KeywordCxt, valid: Name, ok: Name): void {
  if (!it.allErrors) gen.if(not(valid), () => gen.assign(ok, false).break());
}

/** A property that nothing else is about. */
function unknownProperty(cxt: KeywordCxt, schema: { never?: true }, name: Name, valid: Name, ok: Name): void {
  const { gen, it, keyword } = cxt;
  if (schema.never) {
    cxt.error(false, { unknown: name });
    if (!it.allErrors) gen.assign(ok, false).break();
    return;
  }
  cxt.subschema({ keyword, dataProp: name, dataPropType: Type.Str }, valid);
  stopUnless(cxt, valid, ok);
}

/** Notes that there is a fault, and no more of it. */
function countFault({ gen, it }: KeywordCxt): void {
  if (it.compositeRule || it.allErrors) gen.code(_`${names.default.errors}++`);
  else gen.return(false);
}
