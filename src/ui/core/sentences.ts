import type { Change, Tick } from '../../client/types.js';
import { nameText, valueText } from './value-text.js';

/** One tick in a sentence, of which each part may be missing but what was done: `Ada` `set plan to "team" (was "free")` `after a call`. */
export type Sentence = { who: string | null; what: string; why: string | null };

/** A tick as far as a sentence needs it. `changes` is not there where it was not asked for. */
type Told = Pick<Tick, 'op' | 'activity'> & { changes?: Tick['changes'] | undefined };

/** How many changes are told with their values; of more, as many names are. */
const MOST_TOLD = 3;

/** How long a value may be that is told, in UTF-16 code units. What was is told shorter. */
const LONGEST = 40;
const LONGEST_BEFORE = 24;

/** Who did what, and why, in plain words. What they did is bounded, whatever the values; a reason is as it was given. */
export function sentenceOf({ op, activity, changes }: Told): Sentence {
  const changed = changes && Object.entries(changes);
  return { who: activity?.actor ?? null, what: doneBy(op, changed), why: activity?.reason ?? null };
}

type Changed = [name: string, change: Change][];

function doneBy(op: Tick['op'], changed: Changed | undefined): string {
  switch (op) {
    case 'created':
      return `created it${having(changed)}`;
    case 'restored':
      return `restored it${having(changed)}`;
    case 'deleted':
      return 'deleted it';
    case 'updated':
      return updated(changed);
  }
}

/** ` with plan "team" and city "Oakland"` */
function having(changed: Changed | undefined): string {
  if (!changed || changed.length === 0) return '';
  if (changed.length > MOST_TOLD) return ` with ${counted(changed)}`;
  return ` with ${listed(changed.map(([name, { to }]) => `${nameText(name)} ${toldOf(to)}`))}`;
}

function updated(changed: Changed | undefined): string {
  if (!changed) return 'changed it';
  // A tick always changes something; there is nothing to show where no values are kept.
  if (changed.length === 0) return 'changed properties whose values are not kept';
  const removed = changed.filter(([, change]) => !('to' in change));
  if (changed.length > MOST_TOLD) {
    const isNew = changed.every(([, change]) => !('from' in change));
    const verb = removed.length === changed.length ? 'removed' : isNew ? 'set' : 'changed';
    return `${verb} ${counted(changed)}`;
  }
  const set = changed.filter(([, change]) => 'to' in change && isTold(change));
  const other = changed.filter(([, change]) => 'to' in change && !isTold(change));
  const clauses = [
    ...(set.length > 0 ? [`set ${listed(set.map(settingOf))}`] : []),
    ...(other.length > 0 ? [`changed ${namesOf(other)}`] : []),
    ...(removed.length > 0 ? [`removed ${namesOf(removed)}`] : []),
  ];
  return listed(clauses);
}

/** Whether both values fit into a sentence; what is new is told, however long. */
const isTold = (change: { from?: unknown; to?: unknown }): boolean =>
  !('from' in change) || (isShort(change.to, LONGEST) && isShort(change.from, LONGEST_BEFORE));

/** `plan to "team" (was "free")` */
function settingOf([name, change]: Changed[number]): string {
  const was = 'from' in change ? ` (was ${valueText(change.from, LONGEST_BEFORE)})` : '';
  return `${nameText(name)} to ${toldOf(change.to)}${was}`;
}

const isShort = (value: unknown, most: number): boolean => valueText(value, most + 1).length <= most;

/** A value, or how much it is. */
function toldOf(value: unknown): string {
  if (isShort(value, LONGEST)) return valueText(value, LONGEST);
  if (typeof value === 'string') return `a text of ${count(value.length)} characters`;
  if (Array.isArray(value)) return `a list of ${count(value.length)}`;
  if (typeof value !== 'object' || value === null) return valueText(value, LONGEST);
  const members = Object.keys(value).length;
  return `an object of ${count(members)} ${members === 1 ? 'member' : 'members'}`;
}

/** `14 properties: a, b, c and 11 more` */
function counted(changed: Changed): string {
  const told = changed.slice(0, MOST_TOLD).map(([name]) => nameText(name));
  return `${count(changed.length)} properties: ${told.join(', ')} and ${count(changed.length - MOST_TOLD)} more`;
}

const namesOf = (changed: Changed): string => listed(changed.map(([name]) => nameText(name)));

/** `a`, `a and b`, `a, b and c` */
const listed = (parts: readonly string[]): string =>
  parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;

/** `5,000` */
const count = (number: number): string => number.toLocaleString('en-US');
