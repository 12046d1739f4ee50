import { useState } from 'preact/hooks';
import { FailureElsewhere, Fault, faultOf } from '../faults.js';
import { Instant } from '../instant.js';
import { momentWritten, readInstant } from '../instant-field.js';
import { Loading } from '../problem.js';
import { service } from '../service.js';
import { go, hrefOf, view } from '../state.js';
import { More, useWalk } from './pages.js';

/** The fields of a search: the name in the view, the parameter of the call, and what they ask. */
const FIELDS = [
  { name: 'actor', parameter: 'actor', label: 'Who' },
  { name: 'prefix', parameter: 'actorPrefix', label: 'Whose name begins with' },
  { name: 'reason', parameter: 'reason', label: 'Words of the reason' },
  { name: 'since', parameter: 'from', label: 'Recorded from' },
  { name: 'until', parameter: 'to', label: 'Recorded before' },
  { name: 'type', parameter: 'type', label: 'Type' },
  { name: 'entity', parameter: 'entity', label: 'Entity' },
  { name: 'changed', parameter: 'property', label: 'Property' },
] as const;

type Field = (typeof FIELDS)[number]['name'];

const PLACEHOLDERS: Partial<Record<Field, string>> = {
  since: '2016-01-08 12:00',
  until: '2016-01-09',
  entity: 'type:key or UUID',
  changed: 'of that type or entity',
};

/** Who changed what, and why: activities by all of that, newest first. */
export function ActivitiesPage() {
  const { actor, prefix, reason, since, until, type, entity, changed } = view.value;
  const walk = useWalk(
    (cursor, signal) =>
      service.activities
        .search(
          {
            actor,
            actorPrefix: prefix,
            reason,
            from: since,
            to: until,
            type,
            entity,
            property: changed === undefined ? undefined : [changed],
            cursor,
          },
          { signal },
        )
        .page(),
    [actor, prefix, reason, since, until, type, entity, changed],
  );
  const { first, items } = walk;
  const asked = JSON.stringify([actor, prefix, reason, since, until, type, entity, changed]);
  return (
    <div class="activities">
      <h1>Who changed what, and why</h1>
      {type !== undefined && (
        <p>
          In the type <a href={hrefOf({ type })}>{type}</a>
        </p>
      )}
      {entity !== undefined && (
        <p>
          Of the entity <a href={hrefOf({ entity })}>{entity}</a>
        </p>
      )}
      <Search
        key={asked}
        fault={(parameter) => faultOf(first.state === 'failed' ? first.error : undefined, [parameter])}
      />
      <FailureElsewhere answer={first} fields={FIELDS.map(({ parameter }) => parameter)} />
      {first.state === 'loading' && !first.value && <Loading what="the activities" />}
      {(since !== undefined || until !== undefined) && (
        <p class="muted">
          What was imported was recorded when the import ran, whenever it happened. When it happened is told by the page
          of each entity, which lists its ticks by that.
        </p>
      )}
      {items.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: who has no mouse scrolls a table that is wider than the page by its keys
        <section class="scroll" tabIndex={0} aria-label="Activities" aria-busy={first.state === 'loading'}>
          <table>
            <caption class="unseen">Activities, newest first</caption>
            <thead>
              <tr>
                <th scope="col">recorded</th>
                <th scope="col">who</th>
                <th scope="col">why</th>
                <th scope="col" class="number">
                  ticks
                </th>
              </tr>
            </thead>
            <tbody>
              {items.map((found) => (
                <tr key={found.id}>
                  <td>
                    <Instant at={found.recordedAt} />
                  </td>
                  <td class="who">
                    {found.actor === undefined ? (
                      <span class="muted">nobody said</span>
                    ) : (
                      <a href={hrefOf({ show: 'activities', actor: found.actor })}>{found.actor}</a>
                    )}
                  </td>
                  <td>
                    <a href={hrefOf({ activity: found.id })}>{found.reason ?? 'no reason given'}</a>
                  </td>
                  <td class="number">
                    {found.tickCount.toLocaleString('en')}
                    {found.moreTicks && ' or more'}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {first.value && <More walk={walk} what={items.length === 1 ? 'activity' : 'activities'} />}
    </div>
  );
}

/** The fields of a search. What is wrong with one is said at it. */
function Search({ fault }: { fault: (parameter: string) => string | undefined }) {
  const [wrong, setWrong] = useState<Partial<Record<Field, string>>>({});
  return (
    <form
      class="search"
      aria-label="Search"
      onSubmit={(event) => {
        event.preventDefault();
        const read = readForm(new FormData(event.currentTarget));
        setWrong(read.wrong);
        if (Object.keys(read.wrong).length === 0) go({ show: 'activities', ...read.asked });
      }}
    >
      {FIELDS.map(({ name, parameter, label }) => {
        const said = wrong[name] ?? fault(parameter);
        return (
          <div class="field" key={name}>
            <label for={`search-${name}`}>{label}</label>
            <input
              id={`search-${name}`}
              name={name}
              defaultValue={writtenIn(name)}
              placeholder={PLACEHOLDERS[name]}
              autocomplete="off"
              spellcheck={false}
              aria-invalid={said !== undefined}
              aria-describedby={said === undefined ? undefined : `fault-${name}`}
            />
            <Fault id={`fault-${name}`} fault={said} />
          </div>
        );
      })}
      <p class="buttons">
        <button type="submit" class="primary">
          Search
        </button>{' '}
        <a href={hrefOf({ show: 'activities' })}>All</a>
      </p>
    </form>
  );
}

/** What a field of the form begins with. */
function writtenIn(name: Field): string {
  const { [name]: value = '' } = view.value;
  return name === 'since' || name === 'until' ? momentWritten(value) : value;
}

/** What a form asks for; and what is wrong with instants. */
function readForm(form: FormData): { asked: Partial<Record<Field, string>>; wrong: Partial<Record<Field, string>> } {
  const asked: Partial<Record<Field, string>> = {};
  const wrong: Partial<Record<Field, string>> = {};
  for (const { name } of FIELDS) {
    const written = form.get(name);
    const text = typeof written === 'string' ? written.trim() : '';
    if (text === '') continue;
    const read = name === 'since' || name === 'until' ? readInstant(text) : { instant: text };
    if ('fault' in read) wrong[name] = read.fault;
    else asked[name] = read.instant;
  }
  return { asked, wrong };
}
