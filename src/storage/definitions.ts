import type { KnownType, Rules } from '../definitions/admission.js';
import { type Checker, compile } from '../definitions/checker.js';
import { definitionOf } from '../definitions/definition.js';
import { idOfKey } from '../temporal/identity.js';
import { isObject, objectIn } from '../temporal/json.js';
import { DEFINITION_TYPE } from '../temporal/limits.js';
import type { EntityRow } from './rows.js';
import { engine, type Storage } from './storage.js';

/*
 * What this instance knows of the definitions of types. It may be older than what holds: the write function compares the tick of the definition
 * by which a change was checked, and its instant, and refuses to write under another one. (After a failover another definition may have the tick.)
 */

/** The id of the entity that is the definition of a type. */
export const definitionId = (type: string): string => idOfKey(DEFINITION_TYPE, type);

const OPEN: KnownType = { rules: null };

/**
 * The definition of a type as it is now.
 * @throws Refusal as a read; `invalid_definition` where it was recorded by a service that knew other rules
 */
export async function readType(storage: Storage, type: string, signal?: AbortSignal): Promise<KnownType> {
  const { entityNow, knownTypes: types } = storage[engine];
  const row = await entityNow({ id: definitionId(type), fields: null }, signal);
  const known = types.get(type);
  const current = known && isOf(known, row) ? known : compiled(row);
  types.set(type, current, { size: sizeOf(row) });
  return current;
}

/** The definitions of types, by type: only of those that have one. */
export type Definitions = ReadonlyMap<string, Rules>;

/** The definitions of types as they are now. Who changes any of them has to have written it before. */
export async function definitionsOf(storage: Storage, types: Iterable<string>): Promise<Definitions> {
  const known = await Promise.all(
    [...new Set(types)].map(async (type) => ({ type, rules: (await readType(storage, type)).rules })),
  );
  return new Map(known.flatMap(({ type, rules }) => (rules ? [[type, rules]] : [])));
}

/** Whether the definition of an entity's type, as it is now, names a property: never to have been set is then another thing than to be unknown. */
export async function declares(storage: Storage, id: string, property: string): Promise<boolean> {
  const row = await storage[engine].entityNow({ id, fields: [] });
  const { rules } = row ? await readType(storage, row.type) : OPEN;
  if (!rules) return false;
  const { schema, untracked } = rules.definition;
  const named = typeof schema === 'boolean' ? undefined : schema.properties;
  return untracked.includes(property) || (isObject(named) && Object.hasOwn(named, property));
}

/** A definition that holds: of which type, its tick, and the properties of the entity that it is, as JSON text. */
export type DefinitionRow = { type: string; tick: number; properties: string };

/**
 * All definitions that hold, in the order of their types; null when they are more than `most`, or when their texts have more bytes than
 * `bytes` together.
 * @throws Refusal `overloaded`, `database_unavailable`
 */
export async function readDefinitions(
  storage: Storage,
  { most, bytes }: { most: number; bytes: number },
  signal?: AbortSignal,
): Promise<DefinitionRow[] | null> {
  const rows = await storage[engine].readingLarge(
    (sql) => sql<(Omit<DefinitionRow, 'properties'> & { properties: string | null })[]>`
      SELECT d.type, d.tick,
             CASE WHEN sum(octet_length(d.properties)) OVER () <= ${bytes}::int THEN d.properties END AS properties
        FROM (SELECT coalesce(e.key, '') AS type, e.tick,
                     clocktick.all_properties(e.properties, e.untracked)::text AS properties
                FROM clocktick.entity e
               WHERE e.type = ${DEFINITION_TYPE} AND NOT e.deleted
               ORDER BY coalesce(e.key, '') LIMIT ${most + 1}::int) d
       ORDER BY d.type COLLATE "C"`,
    signal,
  );
  const read = rows.flatMap(({ properties, ...row }) => (properties === null ? [] : [{ ...row, properties }]));
  return rows.length > most || read.length < rows.length ? null : read;
}

/**
 * About how many bytes it takes to know what a type says: what a schema is compiled to takes up to a hundred times its text (many patterns do),
 * and some 30 kB at least.
 */
const sizeOf = (row: EntityRow | undefined): number =>
  row && !row.deleted ? 30_000 + 100 * row.properties.length : 100;

/** Whether what is known is what a row says. */
const isOf = ({ rules }: KnownType, row: EntityRow | undefined): boolean =>
  row && !row.deleted ? rules?.tick === row.tick && rules.at === row.updatedAt : rules === null;

function compiled(row: EntityRow | undefined): KnownType {
  if (!row || row.deleted) return OPEN;
  let checker: Checker | null = null;
  const definition = definitionOf(objectIn(row.properties), (schema, faults) => {
    checker = compile(schema, faults);
  });
  if (!checker) throw new Error('a definition was read, and its schema was not compiled');
  return { rules: { tick: row.tick, at: row.updatedAt, definition, checker } };
}
