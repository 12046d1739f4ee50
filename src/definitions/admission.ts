import { bounded, update } from '../temporal/change.js';
import type { ActivityDetails, Change, Entity } from '../temporal/entity.js';
import { DEFINITION_TYPE, RESERVED_PREFIX, TYPE_PATTERN } from '../temporal/limits.js';
import { replaced } from '../temporal/patch.js';
import { refuseBadNames } from '../temporal/property-name.js';
import { type Fault, Refusal } from '../temporal/refusal.js';
import type { Checker } from './checker.js';
import { type Definition, definitionOf } from './definition.js';

/* Whether a change may be recorded, by what its type says. Pure: it is asked again where somebody else came first. */

/** A definition that holds, with its tick, the instant of that, and what its schema was compiled to. */
export type Rules = { tick: number; at: string; definition: Definition; checker: Checker };

/** What is known of a type: its rules; null: it is open. */
export type KnownType = { rules: Rules | null };

/** What is said of a write beside its change. */
export type Said = {
  /** The activity that it is under: what the caller says of it, or what was recorded; null: none. */
  who: ActivityDetails | null;
  /** Whether a state is brought back that was recorded before, so that the caller has not sent what is wrong with it. */
  isReturn: boolean;
  /** Whether the caller wants it even if the schema refuses the state. */
  evenIfInvalid: boolean;
};

/**
 * The change, if the definition of its type lets it be recorded; null: with the defaults that the schema adds to a whole state, nothing
 * changes. A tombstone needs no validity. An open type (`rules` null) takes any properties. What is changed in a definition must be one.
 * @throws Refusal `activity_required`, `invalid_properties`, `state_not_valid`, `invalid_definition`, `reserved_type`,
 * `properties_too_much_work`, `entity_too_large`, `invalid_property_name`
 */
export function admitted(decided: Change, before: Entity | undefined, rules: Rules | null, said: Said): Change | null {
  if (decided.type.startsWith(RESERVED_PREFIX)) return admittedDefinition(decided, before);
  if (!rules) return decided;
  requireWho(rules, decided.type, said.who);
  if (decided.op === 'deleted') return decided;
  const change = withDefaults(decided, before, rules.checker);
  if (!change || said.evenIfInvalid) return change;
  const faults = rules.checker.check(replaced(before?.properties ?? {}, change));
  if (faults.length === 0) return change;
  const errors = faults.map(({ path, ...fault }): Fault => ({ path: `/properties${path}`, ...fault }));
  const [first] = errors;
  const place = `${first?.path}: ${first?.message}, says definition ${rules.tick} of type ${change.type}.`;
  throw new Refusal(
    said.isReturn ? 'state_not_valid' : 'invalid_properties',
    said.isReturn ? `The state is not what the type takes today, so it takes evenIfInvalid=true. ${place}` : place,
    { errors, members: { definition: rules.tick } },
  );
}

/**
 * A whole state gets the defaults of the schema, whenever it is given: sent again, it changes nothing (RFC 9110 section 9.2.2). A patch gets
 * none. Null: with them, nothing changes.
 */
export function withDefaults(change: Change, before: Entity | undefined, checker: Checker): Change | null {
  if (!change.whole) return change;
  const whole = checker.withDefaults(change.whole);
  // A schema may give a default to more than an entity may have.
  if (Object.keys(whole).length > Object.keys(change.whole).length) refuseBadNames(bounded(whole));
  if (change.op !== 'updated' || !before) return { ...change, set: whole };
  const updated = update(before, whole, change.activity);
  return updated && { ...change, set: updated.set, clear: updated.clear };
}

/** @throws Refusal `activity_required` */
function requireWho({ definition, tick }: Rules, type: string, who: ActivityDetails | null): void {
  const missing = definition.activity.filter((name) => !who?.[name]);
  if (missing.length === 0) return;
  throw new Refusal(
    'activity_required',
    `Definition ${tick} of type ${type} wants the ${missing.join(' and the ')} of every change.`,
    {
      errors: missing.map((name) => ({ path: `/activity/${name}`, message: 'is required' })),
      members: { definition: tick },
    },
  );
}

/** The change of a definition. @throws Refusal `reserved_type`, `invalid_definition` */
function admittedDefinition(change: Change, before: Entity | undefined): Change {
  const { type, key, op } = change;
  if (type !== DEFINITION_TYPE) throw reservedType(type);
  if (key === null || !isDefinable(key)) {
    const message = 'is not the type that it defines';
    throw Refusal.at('invalid_definition', '/key', message, `The key of a definition ${message}.`);
  }
  if (op !== 'deleted') definitionOf(replaced(before?.properties ?? {}, change));
  return change;
}

/** Whether callers may define a type, by its name. */
export const isDefinable = (type: string): boolean => TYPE_PATTERN.test(type) && !type.startsWith(RESERVED_PREFIX);

/** The refusal of a type that is not the caller's to use. */
export const reservedType = (type: string): Refusal =>
  Refusal.at(
    'reserved_type',
    '/type',
    `is reserved: types that begin with ${RESERVED_PREFIX} are the service's own`,
    `Type ${type} is reserved: those that begin with ${RESERVED_PREFIX} are the service's own.`,
  );
