import { useEffect, useState } from 'preact/hooks';
import type { Op, Tick } from '../../client/types.js';
import { OPS } from '../../temporal/limits.js';
import { instantToMicros, parseMoment } from '../core/instants.js';
import type { View } from '../core/view.js';
import { Instant } from '../instant.js';
import { Failure, Loading } from '../problem.js';
import { go, hrefOf, view } from '../state.js';
import { Told } from '../told.js';
import { type Clock, useHeads, useTold } from './data.js';
import type { Head } from './heads.js';
import type { Moment } from './moment.js';

/** How many ticks are listed, and as many more each time somebody asks. */
const LISTED = 50;

type Listed = { entity: string; clock: Clock; shown: Moment; names: readonly string[] };

/** The ticks of an entity, newest first, one sentence each: those that the view asks for. */
export function TicksList(listed: Listed) {
  const { changed } = view.value;
  return (
    <section class="ticks" aria-labelledby="ticks-title">
      <h2 id="ticks-title">Ticks</h2>
      <Filters heads={listed.clock.heads} names={listed.names} />
      {changed === undefined ? <List {...listed} /> : <ListOfProperty key={changed} {...listed} property={changed} />}
    </section>
  );
}

/** Those that touched one property: a walk of its own, as only the service knows which did. */
function ListOfProperty({ property, clock, ...listed }: Listed & { property: string }) {
  const touching = useHeads(listed.entity, property);
  const last = clock.heads.at(-1)?.tick;
  useEffect(touching.readNewer, [last]);
  return <List {...listed} clock={touching} />;
}

function List({ entity, clock, shown }: Listed) {
  const [count, setCount] = useState(LISTED);
  const { actor, op, since, until } = view.value;
  const wanted = wantedBy({ actor, op, since, until });
  const matching: Head[] = [];
  let more = false;
  for (let n = clock.heads.length - 1; n >= 0; n--) {
    const head = clock.heads[n];
    if (!head || !wanted(head)) continue;
    more = matching.length === count;
    if (more) break;
    matching.push(head);
  }
  const told = useTold(
    entity,
    matching.map(({ tick }) => tick),
  );
  const newest = clock.heads.at(-1)?.tick ?? 0;
  return (
    <>
      {clock.failed && <Failure {...clock.failed} />}
      {told.state === 'failed' && <Failure error={told.error} again={told.again} />}
      <ol class="sentences" reversed>
        {matching.map((head) => (
          <Sentence key={head.tick} head={head} tick={told.value?.get(head.tick)} isShown={head.tick === shown.tick} />
        ))}
      </ol>
      {matching.length === 0 && !clock.isReading && <p class="absent">No tick is like that.</p>}
      {more ? (
        <button type="button" onClick={() => setCount((n) => n + LISTED)}>
          Show older ones
        </button>
      ) : clock.isReading ? (
        <Loading what="the ticks" done={clock.heads.length} of={newest} />
      ) : (
        !clock.isWhole && (
          <p>
            Only the newest {clock.heads.length.toLocaleString('en')} ticks are read.{' '}
            <button type="button" onClick={clock.readOlder}>
              Read older ones
            </button>
          </p>
        )
      )}
    </>
  );
}

/** Whether a tick is what a view asks for. */
function wantedBy({ actor, op, since, until }: Pick<View, 'actor' | 'op' | 'since' | 'until'>) {
  const first = since === undefined ? null : instantToMicros(since);
  const end = until === undefined ? null : instantToMicros(until);
  return (head: Head): boolean =>
    (actor === undefined || head.activity?.actor === actor) &&
    (op === undefined || head.op === op) &&
    (first === null || head.micros >= first) &&
    (end === null || head.micros < end);
}

const Sentence = ({ head, tick, isShown }: { head: Head; tick: Tick | undefined; isShown: boolean }) => (
  <li value={head.tick} class={`op-${head.op}`} aria-current={isShown ? 'true' : undefined}>
    <a href={hrefOf({ at: String(head.tick) })}>tick {head.tick}</a> <Instant at={head.at} />{' '}
    <Told head={head} tick={tick} />
    {isShown && <strong class="here"> ← shown</strong>}
  </li>
);

/** How many actors are offered, of all that there are. */
const MOST_ACTORS = 200;

function Filters({ heads, names }: { heads: readonly Head[]; names: readonly string[] }) {
  const { actor, changed, op, since, until } = view.value;
  const actors = new Set<string>();
  for (const { activity } of heads) {
    if (activity?.actor !== undefined) actors.add(activity.actor);
    if (actors.size === MOST_ACTORS) break;
  }
  const isFiltered = [actor, changed, op, since, until].some((value) => value !== undefined);
  return (
    <form class="filters" onSubmit={(event) => event.preventDefault()} aria-label="Which ticks are listed">
      <label class="field">
        by
        <input
          id="filter-actor"
          list="actors"
          value={actor ?? ''}
          placeholder="anybody"
          onChange={({ currentTarget: { value } }) => go({ actor: value || undefined }, 'replace')}
        />
      </label>
      <datalist id="actors">
        {[...actors].sort().map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <label class="field">
        that touched
        <input
          list="properties"
          value={changed ?? ''}
          placeholder="any property"
          onChange={({ currentTarget: { value } }) => go({ changed: value || undefined }, 'replace')}
        />
      </label>
      <datalist id="properties">
        {names.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <label class="field">
        that
        <select value={op ?? ''} onChange={({ currentTarget: { value } }) => go({ op: opOf(value) }, 'replace')}>
          <option value="">did anything</option>
          {OPS.map((name) => (
            <option key={name} value={name}>
              {name} it
            </option>
          ))}
        </select>
      </label>
      <Since name="since" label="since" value={since} />
      <Since name="until" label="before" value={until} />
      {isFiltered && (
        <a href={hrefOf({ actor: undefined, changed: undefined, op: undefined, since: undefined, until: undefined })}>
          all ticks
        </a>
      )}
    </form>
  );
}

const opOf = (text: string): Op | undefined => OPS.find((op) => op === text);

/** An end of the time that ticks are listed of, as people write days and instants. */
function Since({ name, label, value }: { name: 'since' | 'until'; label: string; value: string | undefined }) {
  const [isWrong, setWrong] = useState(false);
  const read = (text: string) => {
    const instant = text.trim() === '' ? undefined : parseMoment(text, view.value.zone ?? 'utc');
    const isNone = instant === null || (instant !== undefined && !instant.includes('T'));
    setWrong(isNone);
    if (!isNone) go({ [name]: instant }, 'replace');
  };
  return (
    <label class="field">
      {label}
      <input
        value={value?.replace('T00:00:00.000000Z', '') ?? ''}
        placeholder="2016-08-19"
        aria-invalid={isWrong}
        aria-describedby={isWrong ? `${name}-wrong` : undefined}
        onChange={({ currentTarget }) => read(currentTarget.value)}
      />
      {isWrong && (
        <span id={`${name}-wrong`} class="wrong" role="alert">
          is no day or time, such as 2016-08-19 or 3 days ago
        </span>
      )}
    </label>
  );
}
