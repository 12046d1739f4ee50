import { isObject, type Json, type JsonObject, objectIn, pointer, readJson } from '../temporal/json.js';
import { replaced } from '../temporal/patch.js';
import { type Fault, Refusal } from '../temporal/refusal.js';
import { type Checker, checkerOf } from './checker.js';
import { type Definition, definitionOf } from './definition.js';

/*
 * The whole past of a type, checked against a definition: the lines of an export with `history=full` go in one after another, in the order of
 * their instants. Ticks of one entity do not lie together there, so the newest state of each living entity is kept, as text: as objects it would
 * take several times as much memory.
 */

/** A state: the number of the tick that made it, and its properties; null: the tick is a tombstone. */
type State = { tick: number; properties: JsonObject | null };

/**
 * The state of an entity after one more tick. Ticks have no gaps, so they are counted.
 * @param before null: it is the first one of the entity
 * @param line a line of an export with `history=full`
 */
function stateAfter(before: State | null, line: JsonObject): State {
  const tick = (before?.tick ?? 0) + 1;
  if (line.op === 'delete') return { tick, properties: null };
  if (line.op !== 'set') return { tick, properties: isObject(line.properties) ? line.properties : {} };
  const set = isObject(line.set) ? line.set : {};
  const clear = Array.isArray(line.clear) ? line.clear.filter((name) => typeof name === 'string') : [];
  return { tick, properties: replaced(before?.properties ?? {}, { set, clear }) };
}

/** A past state that a definition refuses. It has a key or an id, as its line. */
export type RefusedState = { key?: Json; id?: Json; tick: number; at: Json; errors: Fault[] };

/** A kind of fault: where (an item of an array is `*`, and so is a name that is refused), by which keyword, in how many states, and the first. */
export type FaultKind = {
  path: string;
  keyword: string;
  states: number;
  example: Omit<RefusedState, 'errors'> & Fault;
};

/**
 * What the past of a type came to; `kinds`: the most frequent first. `unlisted`: how many faults are of kinds that are not there.
 */
export type Report = {
  states: number;
  entities: number;
  refusedStates: number;
  refusedEntities: number;
  kinds: FaultKind[];
  unlisted: number;
};

/** Takes the past of a type, tick by tick. */
export type PastCheck = {
  /** Takes the next line of the export. Gives what is wrong with the state that it makes; null: nothing. */
  take: (line: string) => RefusedState | null;
  report: () => Report;
};

/** How many kinds of faults are told apart: names may be data, so there may be any number of them. */
const MOST_KINDS = 1_000;
/** How many faults of one state are told, and count. */
const MOST_FAULTS = 1_000;

/** What is kept of an entity. */
type Kept = { tick: number; text: string | null; isRefused: boolean };

/**
 * Reads a definition, and gives what checks the past against it; or what is wrong with the text.
 *
 * Values of untracked properties are not part of the past. So nobody is refused for lacking one that the definition requires.
 */
export function pastCheckOf(text: string): PastCheck | { faults: Fault[] } {
  try {
    const read = readJson(text);
    if ('fault' in read) {
      const { code, path, detail } = read.fault;
      return { faults: [{ path, message: code === 'malformed_json' ? `is no JSON: ${detail}` : detail }] };
    }
    if (!isObject(read.value)) return { faults: [{ path: '', message: 'must be an object' }] };
    const definition = definitionOf(read.value);
    return checking(definition, checkerOf(definition.schema));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { faults: error.notes.errors ?? [{ path: '', message: error.message }] };
  }
}

function checking({ untracked }: Definition, checker: Checker): PastCheck {
  const kept = new Map<string, Kept>();
  const kinds = new Map<string, FaultKind>();
  const count = { states: 0, refusedStates: 0, refusedEntities: 0, unlisted: 0 };
  const unknown = new Set(untracked.map((name) => pointer(['properties', name])));

  const note = (state: RefusedState, properties: JsonObject) => {
    const { errors, ...place } = state;
    const seen = new Set<string>();
    for (const fault of errors) {
      const path = kindOf(fault, properties);
      const keyword = fault.keyword ?? '';
      const name = JSON.stringify([path, keyword]);
      if (seen.has(name)) continue;
      seen.add(name);
      const kind = kinds.get(name);
      if (kind) kind.states++;
      else if (kinds.size < MOST_KINDS) kinds.set(name, { path, keyword, states: 1, example: { ...place, ...fault } });
      else count.unlisted++;
    }
  };

  return {
    take(text) {
      const line = objectIn(text);
      const { key, id, at = null } = line;
      const address = key === undefined ? { id: id ?? null } : { key };
      const name = JSON.stringify(address);
      const before = kept.get(name);
      const { tick, properties } = stateAfter(before ? stateOf(before) : null, line);
      const entity: Kept = {
        tick,
        text: properties && JSON.stringify(properties),
        isRefused: before?.isRefused ?? false,
      };
      kept.set(name, entity);
      if (!properties) return null;
      count.states++;
      const errors = faultsOfState(checker, properties, MOST_FAULTS).filter(
        ({ path }) => !(unknown.has(path) && isMissing(path, properties)),
      );
      if (errors.length === 0) return null;
      count.refusedStates++;
      if (!entity.isRefused) count.refusedEntities++;
      entity.isRefused = true;
      const state = { ...address, tick, at, errors };
      note(state, properties);
      return state;
    },
    report: () => ({
      ...count,
      entities: kept.size,
      kinds: [...kinds.values()].sort((a, b) => b.states - a.states),
    }),
  };
}

/** What is wrong with a state, in paths of an entity; at most `most` faults (20). To check it may be too much work: then that is what is wrong. */
export function faultsOfState(checker: Checker, properties: JsonObject, most?: number): Fault[] {
  try {
    return checker
      .check(properties, most)
      .map(({ path, ...fault }): Fault => ({ path: `/properties${path}`, ...fault }));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return [{ path: '/properties', message: error.message }];
  }
}

const stateOf = ({ tick, text }: Kept): State => ({ tick, properties: text === null ? null : objectIn(text) });

/** Whether a property is not there, by its path in an entity. */
const isMissing = (path: string, properties: JsonObject): boolean => {
  const [, , token = ''] = path.split('/');
  return !Object.hasOwn(properties, nameOf(token));
};

const nameOf = (token: string): string => token.replaceAll('~1', '/').replaceAll('~0', '~');

/** A path in which items of arrays, and names that are refused, are not told apart. */
function kindOf({ path, keyword }: Fault, properties: JsonObject): string {
  let value: Json | undefined = { properties };
  const tokens = path.split('/').map((token, index, { length }) => {
    if (index === 0) return token;
    const within: Json | undefined = value;
    const name = nameOf(token);
    value = isObject(within) && Object.hasOwn(within, name) ? within[name] : undefined;
    if (Array.isArray(within)) value = within[Number(token)];
    return Array.isArray(within) || (keyword === 'propertyNames' && index === length - 1) ? '*' : token;
  });
  return tokens.join('/');
}
