import { Instant } from './instant.js';
import { Failure, Loading } from './problem.js';
import { service, useAnswer } from './service.js';
import { go, hrefOf, view } from './state.js';

/** How many types a page of them has: as many as the service gives. */
const TYPES = 1_000;

/** How many of the newest activities are shown. */
const NEWEST = 10;

/** Where one begins: the types that there are. */
export function FindPage() {
  const { prefix = '' } = view.value;
  const answer = useAnswer((signal) => service.types.list({ limit: TYPES }, { signal }).page(), []);
  const types = answer.value?.items ?? [];
  const shown = types.filter(({ type }) => type.startsWith(prefix));
  return (
    <>
      <h1>What does this service remember?</h1>
      <p class="muted">
        Choose a type, or open an entity by its <code>type:key</code> above.
      </p>
      {answer.state === 'failed' && <Failure error={answer.error} again={answer.again} />}
      {answer.state === 'loading' && !answer.value && <Loading what="the types" />}
      {types.length > 20 && (
        <label class="field">
          Types that begin with
          <input
            value={prefix}
            onInput={({ currentTarget: { value } }) => go({ prefix: value || undefined }, 'replace')}
          />
        </label>
      )}
      {answer.value && types.length === 0 && (
        <p>
          Nothing yet. <a href="../docs/guide/tour">The tour</a> shows how to keep something here.
        </p>
      )}
      {shown.length > 0 && (
        <table class="types">
          <caption class="unseen">Types</caption>
          <thead>
            <tr>
              <th scope="col">type</th>
              <th scope="col" class="number">
                entities it has had
              </th>
              <th scope="col">definition</th>
            </tr>
          </thead>
          <tbody>
            {shown.map(({ type, entities, estimated, definition }) => (
              <tr key={type}>
                <th scope="row">
                  <a href={hrefOf({ type })}>{type}</a>
                </th>
                <td class="number">
                  {estimated && 'about '}
                  {entities.toLocaleString('en')}
                </td>
                <td>
                  {definition ? (
                    <a href={hrefOf({ entity: `clocktick-type:${type}` })}>tick {definition.tick}</a>
                  ) : (
                    <span class="muted">none</span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {answer.value?.next && <p>There are more than {TYPES.toLocaleString('en')} types: these are the first.</p>}
      <Newest />
    </>
  );
}

/** What was recorded last, for who comes to see just that. */
function Newest() {
  const answer = useAnswer((signal) => service.activities.search({ limit: NEWEST }, { signal }).page(), []);
  const items = answer.value?.items ?? [];
  return (
    <section class="newest">
      {items.length > 0 && <h2>What was recorded last</h2>}
      {answer.state === 'failed' && <Failure error={answer.error} again={answer.again} />}
      <ul>
        {items.map(({ id, actor, reason, recordedAt, tickCount, moreTicks }) => (
          <li key={id}>
            <Instant at={recordedAt} /> <strong>{actor ?? 'Somebody'}</strong> made{' '}
            <a href={hrefOf({ activity: id })}>
              {moreTicks && 'more than '}
              {tickCount.toLocaleString('en')} {tickCount === 1 ? 'tick' : 'ticks'}
            </a>
            {reason !== undefined && <> “{reason}”</>}
          </li>
        ))}
      </ul>
      {answer.value?.next && (
        <p>
          <a href={hrefOf({ show: 'activities' })}>All activities</a>
        </p>
      )}
    </section>
  );
}

/** In how many types is looked for an entity that is not there. */
const LOOKED_IN = 10;

/**
 * Where an entity may be that was asked for and is not there: among those whose keys begin like it, in its type, or where there is none,
 * in all of them.
 * @param entity what somebody wrote as `type:key`: perhaps only a key, a type, or the beginning of one
 */
export function Nearby({ entity }: { entity: string }) {
  const answer = useAnswer((signal) => service.types.list({ limit: TYPES }, { signal }).page(), []);
  const types = answer.value?.items.map(({ type }) => type) ?? [];
  const colon = entity.indexOf(':');
  const said = colon < 0 ? entity : entity.slice(0, colon);
  const isType = types.includes(said);
  const key = colon < 0 ? (isType ? '' : entity) : entity.slice(colon + 1);
  const offered = isType ? [said] : types.slice(0, LOOKED_IN);
  if (offered.length === 0) return null;
  return (
    <p>
      {key === '' ? (
        'Entities of '
      ) : (
        <>
          Keys that begin with <strong>{key}</strong> in{' '}
        </>
      )}
      {offered.map((type, n) => (
        <span key={type}>
          {n > 0 && ', '}
          <a href={hrefOf({ type, prefix: key || undefined })}>{type}</a>
        </span>
      ))}
    </p>
  );
}
