import { useState } from 'preact/hooks';
import type { ActivityRef, Entity, Json, Provenance } from '../../client/types.js';
import { jsonEqual } from '../../temporal/json.js';
import { type Fate, fateOf, SIGNS } from '../core/difference.js';
import { cut, nameText, valueText, WHOLE_NAME } from '../core/value-text.js';
import { Difference } from '../difference-view.js';
import { Instant } from '../instant.js';
import { Failure, Loading } from '../problem.js';
import type { Answer } from '../service.js';
import { go, hrefOf, view } from '../state.js';
import { byName, type State } from './data.js';
import { type Moment, momentName, momentText } from './moment.js';

/** How many properties are shown until somebody asks for the rest. */
const MOST_ROWS = 200;

/**
 * The state of an entity as of a moment: each property with its value, who set it, when and why, and how it differs from what it was
 * beside, at another moment.
 */
export function StatePanel({
  now,
  beside,
  state,
  other,
  only,
  undo,
}: {
  now: Moment;
  beside: Moment;
  state: Answer<State | null>;
  other: Answer<State | null>;
  only: boolean;
  /** Brings a property back as it is shown; undefined where nothing can be brought back, because it is shown as it is now. */
  undo: ((property: string) => void) | undefined;
}) {
  const [isWhole, setWhole] = useState(false);
  const { zone = 'utc' } = view.value;
  const shown = state.value ?? null;
  // What differs is told in the order of time, whichever of both moments is looked at.
  const isLater = (beside.tick ?? 0) > (now.tick ?? 0);
  const compared = other.value ?? null;
  const rows = shown ? rowsOf(shown, compared, isLater) : [];
  const differing = rows.filter(({ fate }) => fate !== null);
  const wanted = only ? differing : rows;
  const listed = isWhole ? wanted : wanted.slice(0, MOST_ROWS);
  const [older, newer] = isLater ? [now, beside] : [beside, now];
  return (
    <section class="state" aria-labelledby="state-title" aria-busy={state.state === 'loading'}>
      <h2 id="state-title">State {momentText(now, zone)}</h2>
      {state.state === 'failed' && <Failure error={state.error} again={state.again} />}
      {other.state === 'failed' && <Failure error={other.error} again={other.again} />}
      {state.state !== 'failed' && !shown && <Loading what="the state" />}
      {shown?.is === 'deleted' && (
        <p class="absent">It {now.asOf === undefined ? 'is deleted: it has' : 'was deleted: it had'} no properties.</p>
      )}
      {shown?.is === 'not yet' && <p class="absent">It was not there yet.</p>}
      {shown && compared && (
        <p class="tally">
          {tallyOf(differing)} from {momentName(older, zone)} to {momentName(newer, zone)}
        </p>
      )}
      {listed.length > 0 && (
        <table>
          <caption class="unseen">
            Properties {momentText(now, zone)}, and what differs between {momentText(older, zone)} and{' '}
            {momentText(newer, zone)}
          </caption>
          <colgroup>
            <col class="property" />
            <col class="value" />
            <col class="set" />
            <col />
          </colgroup>
          <thead>
            <tr>
              <th scope="col">property</th>
              <th scope="col">value</th>
              <th scope="col">since, by whom and why</th>
              <th scope="col">
                {momentName(older, zone)} → {momentName(newer, zone)}
              </th>
            </tr>
          </thead>
          <tbody>
            {listed.map((row) => (
              <Row key={row.name} row={row} undo={undo} />
            ))}
          </tbody>
        </table>
      )}
      {shown && only && wanted.length === 0 && <p class="absent">Nothing differs.</p>}
      {shown && !only && rows.length === 0 && shown.is === 'there' && <p class="absent">It had no properties.</p>}
      {wanted.length > listed.length && (
        <button type="button" onClick={() => setWhole(true)}>
          Show all {wanted.length} properties
        </button>
      )}
      {shown?.is === 'there' && shown.entity.untracked && (
        <p class="muted small">
          Not shown, because the type does not keep what they were:{' '}
          {shown.entity.untracked.map((name) => nameText(name, WHOLE_NAME)).join(', ')}
        </p>
      )}
    </section>
  );
}

type Row = {
  name: string;
  value: Json | undefined;
  provenance: Provenance | undefined;
  /** From the older of both moments to the newer; null: it is the same. */
  fate: Fate | null;
  from: Json | undefined;
  to: Json | undefined;
};

function rowsOf(shown: State, other: State | null, isLater: boolean): Row[] {
  const mine = propertiesOf(shown);
  const theirs = propertiesOf(other);
  const names = other ? new Set([...Object.keys(mine), ...Object.keys(theirs)]) : Object.keys(mine);
  return [...names].sort(byName).map((name) => {
    const value = own(mine, name);
    const [from, to] = isLater ? [value, own(theirs, name)] : [own(theirs, name), value];
    return {
      name,
      value,
      provenance: shown.is === 'there' ? own(shown.entity.provenance ?? {}, name) : undefined,
      fate: other === null || jsonEqual(from, to) ? null : fateOf(from, to),
      from,
      to,
    };
  });
}

const propertiesOf = (state: State | null): Entity['properties'] =>
  state?.is === 'there' ? state.entity.properties : {};

/** A member by a name that is data: `constructor` is none unless somebody set it. */
const own = <Value,>(members: { [name: string]: Value }, name: string): Value | undefined =>
  Object.hasOwn(members, name) ? members[name] : undefined;

function tallyOf(differing: readonly Row[]): string {
  if (differing.length === 0) return 'Nothing changed';
  const count = (fate: Fate) => differing.filter((row) => row.fate === fate).length;
  const counts = (['added', 'removed', 'changed'] as const).flatMap((fate) =>
    count(fate) > 0 ? [`${count(fate)} ${fate}`] : [],
  );
  return counts.join(', ');
}

const Row = ({
  row: { name, value, provenance, fate, from, to },
  undo,
}: {
  row: Row;
  undo: ((property: string) => void) | undefined;
}) => (
  <tr class={fate ?? undefined} data-property={name}>
    <th scope="row">
      {nameText(name, WHOLE_NAME)}
      {undo && (
        <button
          type="button"
          class="quiet small"
          onClick={() => undo(name)}
          aria-label={`Bring back ${nameText(name)} as it is here`}
          title={`Bring back ${nameText(name)} as it is here`}
        >
          ↶
        </button>
      )}
    </th>
    <td>{value === undefined ? <span class="muted">not set</span> : <Value value={value} />}</td>
    <td class="set">
      {provenance && (
        <>
          <a href={hrefOf({ at: String(provenance.vclock.from) })}>tick {provenance.vclock.from}</a>{' '}
          <Instant at={provenance.effective.from} />
          <br />
          <Who activity={provenance.activity} />
        </>
      )}
    </td>
    <td class="difference">
      {fate && (
        <>
          <div class="small muted">
            <span class="sign">{SIGNS[fate]}</span> {fate}
          </div>
          <Difference from={from} to={to} />
        </>
      )}
    </td>
  </tr>
);

/** How much of a reason is told where many are, in UTF-16 code units; the list of ticks tells all of it. */
const REASON = 100;

/** Who made a change, and why, linked to all else that the activity did. */
export const Who = ({ activity }: { activity: ActivityRef | null }) =>
  activity ? (
    <>
      <a href={hrefOf({ activity: activity.id })}>{activity.actor ?? 'somebody'}</a>
      {activity.reason !== undefined && <q title={activity.reason}>{cut(activity.reason, REASON)}</q>}
    </>
  ) : (
    <span class="muted">nobody said</span>
  );

/** How much of a long value is shown until somebody asks for the rest, in UTF-16 code units. */
const LONGEST = 240;

/** A value as JSON. */
function Value({ value }: { value: Json }) {
  const [isWhole, setWhole] = useState(false);
  const short = valueText(value, LONGEST);
  // A character of two code units may have had no room.
  const isCut = valueText(value, LONGEST + 2) !== short;
  return (
    <>
      <span class="value">{isWhole ? JSON.stringify(value, null, 1) : short}</span>
      {isCut && (
        <button type="button" class="quiet small" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
          {isWhole ? 'less' : 'all of it'}
        </button>
      )}
    </>
  );
}

/** What it is compared with, and whether only that is shown. */
export function Comparing({ beside, only, mark }: { beside: string; only: boolean; mark: () => void }) {
  const isWord = beside === 'before' || beside === 'now';
  return (
    <div class="comparing">
      <label class="field">
        compared with
        <select
          value={isWord ? beside : 'marker'}
          onChange={({ currentTarget: { value } }) => value !== 'marker' && go({ beside: value }, 'replace')}
        >
          <option value="before">the tick before</option>
          <option value="now">now</option>
          {!isWord && <option value="marker">the marker at {/^\d+$/.test(beside) ? `tick ${beside}` : beside}</option>}
        </select>
      </label>
      <button type="button" onClick={mark}>
        Put the marker here
      </button>
      <label class="field">
        <input
          type="checkbox"
          checked={only}
          onChange={({ currentTarget: { checked } }) => go({ only: checked || undefined }, 'replace')}
        />
        only what differs
      </label>
    </div>
  );
}
