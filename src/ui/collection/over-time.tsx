import { entityName } from '../core/entity-name.js';
import { nameText } from '../core/value-text.js';
import { FailureElsewhere } from '../faults.js';
import { Instant } from '../instant.js';
import { InstantField } from '../instant-field.js';
import { Failure, Loading } from '../problem.js';
import { service, useAnswer } from '../service.js';
import { go, hrefOf, view } from '../state.js';
import { layersOf } from './areas.js';
import { Areas } from './areas-view.js';
import { evenly } from './changes.js';
import { Filters } from './filters.js';
import { MOMENT_FIELDS, type Span } from './moment.js';
import { More, useWalk } from './pages.js';
import { Value } from './value.js';

/** At how many instants is counted, how many values are drawn apart, and how many of each instant are asked for. */
const INSTANTS = 60;
const VALUES = 6;
const MOST_FREQUENT = 12;

/** How many properties are offered as links; others are written into the field. */
const OFFERED = 40;

/** One property of all entities of a type: how many had which value over time, and who had which from when to when. */
export function OverTime({
  type,
  property,
  properties,
  span,
}: {
  type: string;
  property: string;
  properties: readonly string[];
  span: Span | undefined;
}) {
  const { from, to } = view.value;
  const [first, last] = [from ?? span?.first, to ?? span?.last];
  return (
    <>
      <nav class="properties" aria-label="Properties">
        {[...new Set([property, ...properties])].slice(0, OFFERED).map((name) => (
          <a key={name} href={hrefOf({ property: name })} aria-current={name === property ? 'true' : undefined}>
            {nameText(name)}
          </a>
        ))}
        <form
          class="field"
          onSubmit={(event) => {
            event.preventDefault();
            const name = new FormData(event.currentTarget).get('property');
            if (typeof name === 'string' && name !== '') go({ property: name });
          }}
        >
          <input name="property" aria-label="Another property" placeholder="another property" autocomplete="off" />
        </form>
      </nav>
      <p class="between">
        <InstantField
          label="From"
          value={from}
          placeholder="the first change"
          take={(instant) => go({ from: instant })}
        />{' '}
        <InstantField label="to" value={to} placeholder="the newest change" take={(instant) => go({ to: instant })} />
      </p>
      {span === null && <p class="nothing">No entities.</p>}
      {first !== undefined && last !== undefined && (
        <Counted type={type} property={property} first={first} last={last} />
      )}
      <Ranges type={type} property={property} properties={properties} />
    </>
  );
}

/** How many entities had which value at instants between two. */
function Counted({ type, property, first, last }: { type: string; property: string; first: string; last: string }) {
  const asked = evenly(first, last, INSTANTS);
  const answer = useAnswer(
    (signal) => service.types.counts(type, property, { at: asked, limit: MOST_FREQUENT }, { signal }),
    [type, property, first, last],
  );
  const counts = answer.value?.items ?? [];
  return (
    <>
      {answer.state === 'failed' && <Failure error={answer.error} again={answer.again} />}
      {answer.state === 'loading' && !answer.value && <Loading what="how many had which value" />}
      {counts.length > 0 && (
        <Areas
          property={property}
          counts={counts}
          layers={layersOf(counts, VALUES)}
          isComing={answer.state === 'loading'}
        />
      )}
      {counts.some(({ others }) => others > 0) && (
        <p class="small muted">
          Of each moment the {MOST_FREQUENT} most frequent values are counted one by one, and all others together.
        </p>
      )}
    </>
  );
}

/** Who had which value from when to when, page by page. */
function Ranges({ type, property, properties }: { type: string; property: string; properties: readonly string[] }) {
  const { at, from, to, where } = view.value;
  const walk = useWalk(
    (cursor, signal) =>
      service.types
        .history(
          type,
          property,
          {
            asOf: at,
            from,
            to,
            where,
            cursor,
          },
          { signal },
        )
        .page(),
    [type, property, at, from, to, where],
  );
  const { first, items } = walk;
  return (
    <section aria-labelledby="ranges">
      <h2 id="ranges">Who had which value, from when to when</h2>
      <Filters error={first.state === 'failed' ? first.error : undefined} properties={properties} parts={['where']} />
      <FailureElsewhere answer={first} fields={['where', ...MOMENT_FIELDS]} />
      {first.state === 'loading' && !first.value && <Loading what="the ranges" />}
      {items.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: who has no mouse scrolls a table that is wider than the page by its keys
        <section class="scroll" tabIndex={0} aria-label="Ranges" aria-busy={first.state === 'loading'}>
          <table class="ranges">
            <caption class="unseen">Ranges of {nameText(property)}</caption>
            <thead>
              <tr>
                <th scope="col">entity</th>
                <th scope="col">value</th>
                <th scope="col">from</th>
                <th scope="col">to</th>
                <th scope="col">who</th>
                <th scope="col">why</th>
              </tr>
            </thead>
            <tbody>
              {items.map(({ id, key, value, vclock, effective, activity }) => (
                <tr key={`${id} ${vclock.from}`}>
                  <th scope="row">
                    <a href={hrefOf({ entity: entityName({ id, type, key }), at: `${vclock.from}` })}>{key ?? id}</a>
                  </th>
                  <td class="what">
                    <Value value={value} most={60} />
                  </td>
                  <td>
                    <Instant at={effective.from} />
                  </td>
                  <td>{effective.to === null ? 'still' : <Instant at={effective.to} />}</td>
                  <td>{activity?.actor}</td>
                  <td>
                    {activity && <a href={hrefOf({ activity: activity.id })}>{activity.reason ?? 'no reason given'}</a>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {first.value && <More walk={walk} what={items.length === 1 ? 'range' : 'ranges'} />}
    </section>
  );
}
