import { useState } from 'preact/hooks';
import { entityName } from '../core/entity-name.js';
import { nameText } from '../core/value-text.js';
import { FailureElsewhere } from '../faults.js';
import { Instant } from '../instant.js';
import { Loading } from '../problem.js';
import { service } from '../service.js';
import { hrefOf, view } from '../state.js';
import { FILTER_FIELDS, Filters } from './filters.js';
import { MOMENT_FIELDS } from './moment.js';
import { namesIn } from './names.js';
import { More, useWalk } from './pages.js';
import { Value } from './value.js';

/** How many columns of properties are drawn until somebody asks for all: of a thousand, nobody reads the rest. */
const COLUMNS = 30;

/** The entities of a type at the moment that is looked at, page by page, all pages as of the same instant. */
export function EntityTable({ type, properties }: { type: string; properties: readonly string[] }) {
  const { at, prefix, where, deleted } = view.value;
  const [isWide, setWide] = useState(false);
  const walk = useWalk(
    (cursor, signal) =>
      service.entities
        .list(
          {
            type,
            asOf: at,
            keyPrefix: prefix,
            where,
            deleted,
            cursor,
          },
          { signal },
        )
        .page(),
    [type, at, prefix, where, deleted],
  );
  const { first, items } = walk;
  const names = namesIn(items);
  const columns = isWide ? names : names.slice(0, COLUMNS);
  return (
    <>
      <Filters error={first.state === 'failed' ? first.error : undefined} properties={properties} />
      <FailureElsewhere answer={first} fields={[...FILTER_FIELDS, ...MOMENT_FIELDS]} />
      {first.state === 'loading' && !first.value && <Loading what="the entities" />}
      {items.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: who has no mouse scrolls a table that is wider than the page by its keys
        <section class="scroll" tabIndex={0} aria-label="Entities" aria-busy={first.state === 'loading'}>
          <table class="entities">
            <caption class="unseen">Entities of {type}</caption>
            <thead>
              <tr>
                <th scope="col">key</th>
                <th scope="col" class="number">
                  tick
                </th>
                <th scope="col">updated</th>
                {columns.map((name) => (
                  <th scope="col" key={name}>
                    <a href={hrefOf({ property: name, beside: undefined })} title={`${nameText(name)} over time`}>
                      {nameText(name)}
                    </a>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {items.map((entity) => (
                <tr key={entity.id} class={entity.deleted ? 'deleted' : undefined}>
                  <th scope="row">
                    <a href={hrefOf({ entity: entityName(entity), at })}>{entity.key ?? entity.id}</a>
                    {entity.deleted && <span class="fate removed"> − deleted</span>}
                  </th>
                  <td class="number">{entity.tick}</td>
                  <td>
                    <Instant at={entity.updatedAt} />
                  </td>
                  {columns.map((name) => (
                    <td key={name}>
                      {Object.hasOwn(entity.properties, name) && <Value value={entity.properties[name]} />}
                      {entity.untracked?.includes(name) && <span class="muted">not kept</span>}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {first.value && <More walk={walk} what={items.length === 1 ? 'entity' : 'entities'} />}
      {names.length > columns.length && (
        <p>
          {columns.length} of {names.length} properties are shown.{' '}
          <button type="button" onClick={() => setWide(true)}>
            Show all
          </button>
        </p>
      )}
    </>
  );
}
