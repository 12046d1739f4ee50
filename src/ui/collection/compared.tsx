import { useEffect, useState } from 'preact/hooks';
import type { ComparedEntity, Json } from '../../client/types.js';
import { type Fate, fateOf, SIGNS } from '../core/difference.js';
import { entityName } from '../core/entity-name.js';
import { nameText } from '../core/value-text.js';
import { Difference } from '../difference-view.js';
import { FailureElsewhere } from '../faults.js';
import { Instant } from '../instant.js';
import { InstantField } from '../instant-field.js';
import { Failure, Loading } from '../problem.js';
import { service, useAnswer } from '../service.js';
import { go, hrefOf, view } from '../state.js';
import { changeBefore } from './changes.js';
import { Filters } from './filters.js';
import type { Span } from './moment.js';
import { newestChange } from './newest.js';
import { useWalk } from './pages.js';

/** How many entities a page looks at: of those that do not differ it says little. */
const LOOKED_AT = 500;

/** How many that differ are drawn at a time, and how many pages are read in a row to find some. */
const SHOWN = 50;
const PAGES_IN_A_ROW = 20;

/** What differs between two moments, entity by entity: `beside` of the view, and the moment that is looked at. */
export function Compared({
  type,
  beside,
  properties,
  span,
}: {
  type: string;
  beside: string;
  properties: readonly string[];
  span: Span | undefined;
}) {
  const { at } = view.value;
  const before = useAnswer(
    async (signal) => {
      if (beside !== 'before') return beside;
      const newest = (instant: string) => newestChange(type, instant, signal);
      const shown = at ?? (await newestChange(type, undefined, signal));
      return shown === null ? null : changeBefore(newest, shown);
    },
    [type, beside, at],
  );
  const from = before.state === 'done' ? before.value : undefined;
  return (
    <>
      <p class="between">
        <InstantField
          label="Compared with"
          value={beside}
          placeholder=""
          words={['now', 'before']}
          take={(instant) => go({ beside: instant ?? 'before' })}
        />{' '}
        <a href={hrefOf({ beside: 'before' })} aria-current={beside === 'before' ? 'true' : undefined}>
          the change before
        </a>
        {span && (
          <>
            {' · '}
            <a href={hrefOf({ beside: span.first })} aria-current={beside === span.first ? 'true' : undefined}>
              the first change
            </a>
          </>
        )}
        {' · '}
        <a href={hrefOf({ beside: 'now' })} aria-current={beside === 'now' ? 'true' : undefined}>
          now
        </a>
        {from && (
          <>
            {' · '}
            <a href={hrefOf({ at: from === 'now' ? undefined : from, beside: at ?? 'now' })}>swap both</a>
          </>
        )}
      </p>
      {before.state === 'failed' && <Failure error={before.error} again={before.again} />}
      {before.state === 'loading' && <Loading what="when the change before was" />}
      {from === null && <p class="nothing">There is no change before.</p>}
      {from && <Differences type={type} from={from} to={at ?? 'now'} properties={properties} />}
    </>
  );
}

/** What differs from one moment to the other: instants, or `now`. */
function Differences({
  type,
  from,
  to,
  properties,
}: {
  type: string;
  from: string;
  to: string;
  properties: readonly string[];
}) {
  const { where, prefix = '' } = view.value;
  const [shown, setShown] = useState(SHOWN);
  const walk = useWalk(
    (cursor, signal) =>
      service.types
        .compare(
          type,
          {
            at: [from, to],
            only: 'differing',
            deleted: 'include',
            limit: LOOKED_AT,
            where,
            cursor,
          },
          { signal },
        )
        .page(),
    [type, from, to, where],
  );
  const { first, items, more, isReading, failed } = walk;
  const differing = items.flatMap((entity) => {
    const fate = fateOfEntity(entity);
    return fate !== null && (entity.key ?? '').startsWith(prefix) ? [{ entity, fate }] : [];
  });
  const looksFurther = more && !failed && differing.length < shown && items.length < LOOKED_AT * PAGES_IN_A_ROW;
  useEffect(() => {
    if (looksFurther && !isReading) more();
  });
  useEffect(() => setShown(SHOWN), [type, from, to, where, prefix]);
  const counted = (fate: Fate) => differing.filter((one) => one.fate === fate).length;
  const isWhole = !more;
  const wrong = first.state === 'failed' ? first.error : undefined;
  return (
    <>
      <Filters error={wrong} properties={properties} parts={['prefix', 'where']} />
      {where !== undefined && (
        <p class="small muted">The condition is asked of the second moment: what was deleted by then holds nothing.</p>
      )}
      <FailureElsewhere answer={first} fields={['where']} />
      {first.state === 'loading' && !first.value && <Loading what="what differs" />}
      {first.value && (
        <p class="counted" role="status">
          From <Told moment={from} /> to <Told moment={to} />: <Sign fate="added" /> {counted('added')},{' '}
          <Sign fate="removed" /> {counted('removed')}, <Sign fate="changed" /> {counted('changed')} of the{' '}
          {isWhole ? '' : 'first '}
          {items.length.toLocaleString('en')} entities that were looked at.
        </p>
      )}
      {differing.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: who has no mouse scrolls a table that is wider than the page by its keys
        <section class="scroll" tabIndex={0} aria-label="Differences" aria-busy={first.state === 'loading'}>
          <table class="compared">
            <caption class="unseen">What differs</caption>
            <thead>
              <tr>
                <th scope="col">entity</th>
                <th scope="col">property</th>
                <th scope="col">what differs</th>
              </tr>
            </thead>
            {differing.slice(0, shown).map(({ entity, fate }) => (
              <Rows key={entity.id} entity={entity} fate={fate} to={to} />
            ))}
          </table>
        </section>
      )}
      {first.value && isWhole && differing.length === 0 && <p class="nothing">Nothing differs.</p>}
      {failed && <Failure error={failed} again={more} />}
      {isReading && <Loading what="more entities" />}
      {!isReading && (differing.length > shown || more) && (
        <p class="more">
          <button
            type="button"
            onClick={() => {
              if (differing.length >= shown) setShown(shown + SHOWN);
              if (differing.length <= shown) more?.();
            }}
          >
            Load more
          </button>
        </p>
      )}
    </>
  );
}

/** A moment: an instant, or `now`. */
const Told = ({ moment }: { moment: string }) => (moment === 'now' ? <>now</> : <Instant at={moment} />);

/** What became of an entity between the two moments; null: it does not differ. */
function fateOfEntity({ moments: [before, after], properties, truncated }: ComparedEntity): Fate | null {
  const was = isThere(before);
  if (was !== isThere(after)) return was ? 'removed' : 'added';
  return Object.keys(properties).length > 0 || (truncated?.length ?? 0) > 0 ? 'changed' : null;
}

const isThere = (moment: ComparedEntity['moments'][number] | undefined): boolean =>
  moment !== undefined && moment.tick !== null && moment.deleted !== true;

/** A sign with the word that it stands for. */
const Sign = ({ fate }: { fate: Fate }) => (
  <span class={`fate ${fate}`}>
    {SIGNS[fate]} {fate}
  </span>
);

/** The rows of an entity: one for each property that differs. */
function Rows({ entity, fate, to }: { entity: ComparedEntity; fate: Fate; to: string }) {
  const rows = Object.entries(entity.properties);
  const truncated = entity.truncated ?? [];
  const lost = entity.moments.flatMap(({ untracked = [] }) => untracked);
  const at = to === 'now' ? undefined : to;
  const name = (
    <th scope="rowgroup" rowSpan={Math.max(1, rows.length + truncated.length)}>
      <a href={hrefOf({ entity: entityName(entity), at })}>{entity.key ?? entity.id}</a>
      <br />
      <Sign fate={fate} />
    </th>
  );
  return (
    <tbody>
      {rows.length + truncated.length === 0 && (
        <tr>
          {name}
          <td />
          <td class="muted">it had no properties</td>
        </tr>
      )}
      {rows.map(([property, [before, after]], n) => {
        const [was, becomes] = [sideOf(before), sideOf(after)];
        return (
          <tr key={property}>
            {n === 0 && name}
            <th scope="row" class="property">
              <span class={`fate ${fateOf(was, becomes)}`}>{SIGNS[fateOf(was, becomes)]}</span>{' '}
              <span class="unseen">{fateOf(was, becomes)} </span>
              {nameText(property)}
            </th>
            <td>
              <Difference from={was} to={becomes} />
              {lost.includes(property) && <span class="muted"> (was not kept at one of both moments)</span>}
            </td>
          </tr>
        );
      })}
      {truncated.map((property, n) => (
        <tr key={property}>
          {rows.length + n === 0 && name}
          <th scope="row" class="property">
            {nameText(property)}
          </th>
          <td class="muted">too large to be shown here: the entity has it</td>
        </tr>
      ))}
    </tbody>
  );
}

type Side = ComparedEntity['properties'][string][number] | undefined;

/** A value on one side; undefined: the property was not set. */
const sideOf = (side: Side): Json | undefined => (side && 'value' in side ? side.value : undefined);
