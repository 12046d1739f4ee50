import type { ChangeRow } from '../../storage/rows.js';
import { isObject, type Json, type JsonObject, objectIn } from '../../temporal/json.js';
import { newWork, patchBetween } from '../../temporal/json-diff.js';

/* What differs inside values, where a caller asks for it by `depth=full`: JSON Patches, made here of what PostgreSQL says. */

/** Makes the patches of one answer, as JSON texts. They share the work that may go into it. */
type Patches = {
  /** From the one side of some changes to the other. */
  ofChanges: (changes: readonly ChangeRow[]) => string;
  /** An item of a page, with a patch of its `changes` as a further member. */
  withPatch: (item: string) => string;
  /** A comparison, with `patches` as a further member: from each of its states to the next. */
  withPatches: (item: string) => string;
};

export function patchesOfAnswer(): Patches {
  const work = newWork();
  const patch = (from: JsonObject, to: JsonObject) => JSON.stringify(patchBetween(from, to, work));
  return {
    ofChanges: (changes) => patch(sideOf(changes, 'from'), sideOf(changes, 'to')),
    withPatch: (item) => {
      const changes = Object.entries(objectOf(objectIn(item).changes));
      const side = (name: string) => objectOfMembers(changes, (change) => memberOf(change, name));
      return withMember(item, 'patch', patch(side('from'), side('to')));
    },
    withPatches: (item) => {
      const { moments, properties } = objectIn(item);
      const values = Object.entries(objectOf(properties));
      const states = (Array.isArray(moments) ? moments : []).map((_, n) =>
        objectOfMembers(values, (of) => (Array.isArray(of) ? memberOf(of[n], 'value') : undefined)),
      );
      return withMember(item, 'patches', `[${states.slice(1).map((state, n) => patch(states[n] ?? {}, state))}]`);
    },
  };
}

/** The values of one side of changes, by property. */
const sideOf = (changes: readonly ChangeRow[], side: 'from' | 'to'): JsonObject =>
  objectOfMembers(
    changes.map(({ property, ...values }) => [property, values[side]]),
    (text) => (text === null ? undefined : valueIn(text)),
  );

/** What is there of some members, of any names. */
const objectOfMembers = <Of>(
  members: readonly (readonly [name: string, of: Of])[],
  pick: (of: Of) => Json | undefined,
): JsonObject =>
  Object.fromEntries(
    members.flatMap(([name, of]) => {
      const value = pick(of);
      return value === undefined ? [] : [[name, value]];
    }),
  );

const valueIn = (text: string): Json => JSON.parse(text);

const objectOf = (value: Json | undefined): JsonObject => (isObject(value) ? value : {});

const memberOf = (value: Json | undefined, name: string): Json | undefined =>
  isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;

/** An object as JSON text, with one more member. */
const withMember = (object: string, name: string, value: string): string =>
  `${object.slice(0, -1)}, "${name}": ${value}}`;
