import { useState } from 'preact/hooks';
import type { ActivityTick, Op } from '../../client/types.js';
import { type Fate, SIGNS } from '../core/difference.js';
import { entityName } from '../core/entity-name.js';
import { nameText } from '../core/value-text.js';
import { Difference } from '../difference-view.js';
import { Instant } from '../instant.js';
import { useKeys } from '../keys.js';
import { Failure, Loading } from '../problem.js';
import { service } from '../service.js';
import { hrefOf } from '../state.js';
import { UndoActivity } from '../undo.js';
import { More, useWalk } from './pages.js';

/** How many ticks a page has, and how many properties of one are drawn until somebody asks for all. */
const TICKS = 50;
const PROPERTIES = 20;

/** What became of an entity, and how that is said. */
const DONE: Record<Op, [fate: Fate, says: string]> = {
  created: ['added', 'created'],
  updated: ['changed', 'changed'],
  deleted: ['removed', 'deleted'],
  restored: ['added', 'restored'],
};

/** An activity: who did it, when and why, and what each of its ticks changed. */
export function ActivityPage({ id }: { id: string }) {
  const [isUndoing, setUndoing] = useState(false);
  const walk = useWalk(
    async (cursor, signal) => {
      const page = await service.activities.ticks(id, { include: 'changes', limit: TICKS, cursor }, { signal }).page();
      return { ...page, items: page.ticks };
    },
    [id],
  );
  const { first, items } = walk;
  const activity = first.value;
  useKeys(({ key }) => (key === 'u' && items.length > 0 ? () => setUndoing(true) : undefined));
  return (
    <div class="activity">
      <h1>{activity?.reason ?? 'Activity'}</h1>
      {first.state === 'failed' && <Failure error={first.error} again={first.again} />}
      {first.state === 'loading' && !activity && <Loading what="the activity" />}
      {activity && (
        <>
          <dl class="facts">
            <dt>who</dt>
            <dd>
              {activity.actor === undefined ? (
                <span class="muted">nobody said</span>
              ) : (
                <a href={hrefOf({ show: 'activities', actor: activity.actor })}>{activity.actor}</a>
              )}
            </dd>
            <dt>why</dt>
            <dd>{activity.reason ?? <span class="muted">nobody said</span>}</dd>
            <dt>recorded</dt>
            <dd>
              <Instant at={activity.recordedAt} />
            </dd>
            {activity.metadata && (
              <>
                <dt>metadata</dt>
                <dd>
                  <pre>{JSON.stringify(activity.metadata, null, 2)}</pre>
                </dd>
              </>
            )}
            {activity.importId && (
              <>
                <dt>by import</dt>
                <dd>
                  <code>{activity.importId}</code>
                </dd>
              </>
            )}
            <dt>id</dt>
            <dd>
              <code>{activity.id}</code>
            </dd>
          </dl>
          <p>
            <button type="button" disabled={items.length === 0} onClick={() => setUndoing(true)}>
              Undo all of it …
            </button>
          </p>
          <h2>What it changed</h2>
          {items.map((tick) => (
            <Done key={tick.id} tick={tick} />
          ))}
          {items.length === 0 && <p class="nothing">Nothing.</p>}
          {items.length > 0 && <More walk={walk} what={items.length === 1 ? 'tick' : 'ticks'} />}
        </>
      )}
      {isUndoing && <UndoActivity id={id} close={() => setUndoing(false)} />}
    </div>
  );
}

/** A tick of the activity: of which entity, when, and what it changed. */
function Done({ tick }: { tick: ActivityTick }) {
  const [isWhole, setWhole] = useState(false);
  const [fate, says] = DONE[tick.op];
  const changes = Object.entries(tick.changes ?? {});
  const shown = isWhole ? changes : changes.slice(0, PROPERTIES);
  const name = entityName(tick);
  return (
    <section class="done" aria-label={name}>
      <h3>
        <span class={`fate ${fate}`}>
          {SIGNS[fate]} {says}
        </span>{' '}
        <a href={hrefOf({ entity: name, at: `${tick.tick}`, beside: 'before' })}>{name}</a>{' '}
        <span class="small muted">
          tick {tick.tick}, <Instant at={tick.at} />
        </span>
      </h3>
      {shown.length > 0 && (
        <dl class="changes">
          {shown.map(([property, { from, to }]) => (
            <div key={property}>
              <dt>{nameText(property)}</dt>
              <dd>
                <Difference from={from} to={to} />
              </dd>
            </div>
          ))}
        </dl>
      )}
      {shown.length < changes.length && (
        <button type="button" onClick={() => setWhole(true)}>
          {changes.length - shown.length} more properties
        </button>
      )}
    </section>
  );
}
