import { useState } from 'preact/hooks';
import { ClocktickProblem } from '../client/client.js';
import type { UndoConflict, WrittenUndo } from '../client/types.js';
import { Dialog } from './dialog.js';
import { Difference } from './difference-view.js';
import { entityName } from './entity-name.js';
import { Instant } from './instant.js';
import { Failure, Loading } from './problem.js';
import { type Failed, failureOf, service, useAnswer } from './service.js';
import { go, hrefOf } from './state.js';
import { Told } from './told.js';

/*
 * Undo, in two steps: what it would do, by a dry run, and then who does it and why. Nothing is taken back: an undo is a new tick, or a new
 * activity, after which the past stands as before.
 */

/** Who undoes, remembered until the tab is closed. */
const ACTOR = 'clocktick.actor';

/**
 * Undoes an entity, or some of its properties: brings back what they were at a tick.
 * @param entity a UUID, or `type:key`
 * @param properties null: all of it
 */
export function UndoEntity({
  entity,
  to,
  properties,
  close,
}: {
  entity: string;
  to: number | string;
  properties: readonly string[] | null;
  close: () => void;
}) {
  const [overtaken, setOvertaken] = useState<{ tick: number; mayBeWritten: boolean } | null>(null);
  const [turn, setTurn] = useState(0);
  const reversion = { to, ...(properties ? { properties: [...properties] } : {}) };
  const asked = JSON.stringify(reversion);
  const dry = useAnswer(
    async (signal) => {
      const preview = await service.entities.revert(entity, reversion, { dryRun: true, signal });
      // A dry run tells the tick that it would make.
      return { preview, tick: preview.preview?.op ? preview.tick - 1 : preview.tick };
    },
    [entity, asked, turn],
  );
  const { preview, tick } = dry.value ?? {};
  const changes = Object.entries(preview?.preview?.changes ?? {});
  const perform = async (activity: { actor?: string; reason: string }) => {
    if (tick === undefined) return;
    const outcome = await service.entities.revert(entity, { ...reversion, activity }, { ifMatch: tick });
    if (!outcome.done) {
      setOvertaken(outcome);
      setTurn((n) => n + 1);
      return;
    }
    close();
    go({ at: undefined, beside: 'before' });
  };
  return (
    <Dialog title={titleOf(to, properties)} close={close}>
      <p>
        Brings back what {properties ? (properties.length === 1 ? 'it was' : 'they were') : 'the whole entity was'} at{' '}
        {typeof to === 'number' ? `tick ${to}` : <Instant at={to} />}. That is a new tick; the past stays as it is.
      </p>
      {overtaken !== null && <Overtaken entity={entity} {...overtaken} />}
      {dry.state === 'failed' && <Failure error={dry.error} again={dry.again} />}
      {dry.state === 'loading' && <Loading what="what would change" />}
      {dry.state === 'done' && changes.length === 0 && (
        <p class="nothing">Nothing would change: it is like that now.</p>
      )}
      {changes.length > 0 && (
        <table class="changes">
          <caption>What would change</caption>
          <thead>
            <tr>
              <th scope="col">property</th>
              <th scope="col">now → after the undo</th>
            </tr>
          </thead>
          <tbody>
            {changes.map(([property, { from, to: becomes }]) => (
              <tr key={property}>
                <th scope="row">{property}</th>
                <td>
                  <Difference from={from} to={becomes} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Why disabled={dry.state !== 'done' || changes.length === 0} perform={perform} close={close} />
    </Dialog>
  );
}

/** How many properties a title names. */
const MOST_NAMED = 3;

function titleOf(to: number | string, properties: readonly string[] | null): string {
  if (!properties) return typeof to === 'number' ? `Back to tick ${to}` : 'Back to what it was';
  return `Undo ${properties.length > MOST_NAMED ? `${properties.length} properties` : properties.join(', ')}`;
}

/**
 * Says who came first, and what they did.
 * @param mayBeWritten whether that may have been this undo: its first answer was lost, and it was sent again
 */
function Overtaken({ entity, tick, mayBeWritten }: { entity: string; tick: number; mayBeWritten: boolean }) {
  const answer = useAnswer(
    async (signal) => {
      const page = await service.entities.history(entity, { order: 'desc', limit: 1 }, { signal }).page();
      return page.items[0];
    },
    [entity, tick],
  );
  return (
    <div class="failure overtaken" role="alert">
      <p>
        <strong>
          {mayBeWritten
            ? 'It may be that this undo was written: its answer was lost.'
            : 'Somebody was first, and nothing was written.'}
        </strong>{' '}
        The entity is at tick {tick} now. Below is what an undo would change today.
      </p>
      {answer.value && (
        <p>
          Tick {answer.value.tick}, <Instant at={answer.value.at} />: <Told head={answer.value} tick={answer.value} />
        </p>
      )}
      {answer.state === 'failed' && <Failure error={answer.error} />}
    </div>
  );
}

const ON_CONFLICT = [
  ['refuse', 'Undo nothing'],
  ['skip', 'Undo the rest'],
  ['force', 'Undo it all the same'],
] as const;

type OnConflict = (typeof ON_CONFLICT)[number][0];

/** Undoes all that an activity did, by a new activity. */
export function UndoActivity({ id, close }: { id: string; close: () => void }) {
  const [onConflict, setOnConflict] = useState<OnConflict>('refuse');
  const dry = useAnswer(
    async (signal) => {
      const ask = (how: OnConflict) => service.activities.revert(id, { onConflict: how }, { dryRun: true, signal });
      try {
        return { undo: await ask(onConflict), isRefused: false };
      } catch (thrown) {
        const isConflict = thrown instanceof ClocktickProblem && thrown.code === 'undo_conflict';
        if (!isConflict || onConflict !== 'refuse') throw thrown;
        // Whoever has to choose needs to see what stands in the way, which the undo of the rest tells.
        return { undo: await ask('skip'), isRefused: true };
      }
    },
    [id, onConflict],
  );
  const { undo, isRefused = false } = dry.state === 'done' ? dry.value : {};
  const changed = isRefused ? [] : (undo?.items.filter(({ op }) => op !== null) ?? []);
  const perform = async (activity: { actor?: string; reason: string }) => {
    const written = await service.activities.revert(id, { activity, onConflict });
    close();
    if (written.activity) go({ activity: written.activity.id });
  };
  return (
    <Dialog title="Undo the activity" close={close}>
      <p>
        Gives every property that this activity changed the value it had before; what it created is deleted, and what it
        deleted is restored. That is a new activity; the past stays as it is.
      </p>
      <fieldset>
        <legend>Where somebody has changed the same since</legend>
        {ON_CONFLICT.map(([value, says]) => (
          <label key={value} class="choice">
            <input
              type="radio"
              name="on-conflict"
              checked={onConflict === value}
              onChange={() => setOnConflict(value)}
            />
            {says}
          </label>
        ))}
      </fieldset>
      {dry.state === 'failed' && <Failure error={dry.error} again={dry.again} />}
      {dry.state === 'loading' && <Loading what="what would change" />}
      {isRefused && (
        <div class="failure" role="alert">
          <p>
            <strong>Nothing would be undone,</strong> because somebody has changed the same since. Choose above what to
            do about it.
          </p>
        </div>
      )}
      {undo && undo.conflicts.length > 0 && <Conflicts undo={undo} />}
      {undo && !isRefused && changed.length === 0 && (
        <p class="nothing">Nothing would change: all of it is like that now.</p>
      )}
      {changed.length > 0 && <Changed items={changed} />}
      <Why disabled={changed.length === 0} perform={perform} close={close} />
    </Dialog>
  );
}

/** How many entities of an undo are shown with what would change of each. */
const MOST_SHOWN = 50;

function Changed({ items }: { items: WrittenUndo['items'] }) {
  const shown = items.slice(0, MOST_SHOWN);
  return (
    <>
      <h3>
        {items.length.toLocaleString('en')} {items.length === 1 ? 'entity' : 'entities'} would change
      </h3>
      <ul class="undone">
        {shown.map(({ id, op, entity, changes }) => (
          <li key={id}>
            <a href={hrefOf({ entity: id })}>{entity ? entityName(entity) : id}</a>: {op}
            {changes && (
              <dl>
                {Object.entries(changes).map(([property, { from, to }]) => (
                  <div key={property}>
                    <dt>{property}</dt>
                    <dd>
                      <Difference from={from} to={to} />
                    </dd>
                  </div>
                ))}
              </dl>
            )}
          </li>
        ))}
      </ul>
      {items.length > shown.length && (
        <p class="muted">… and {(items.length - shown.length).toLocaleString('en')} more.</p>
      )}
    </>
  );
}

const Conflicts = ({ undo: { conflicts, conflictCount } }: { undo: WrittenUndo }) => (
  <>
    <h3>
      {conflictCount} later {conflictCount === 1 ? 'change stands' : 'changes stand'} in the way
    </h3>
    <ul>
      {conflicts.slice(0, MOST_SHOWN).map((conflict) => (
        <Conflict key={`${conflict.id} ${conflict.property}`} conflict={conflict} />
      ))}
    </ul>
  </>
);

const Conflict = ({
  conflict: { id, type, key, property, tick, at, activity, forced },
}: {
  conflict: UndoConflict;
}) => (
  <li>
    <a href={hrefOf({ entity: id, at: `${tick}` })}>{entityName({ id, type, key })}</a>
    {property === undefined ? ' (whether it is there)' : ` ${property}`}: tick {tick}, <Instant at={at} />,{' '}
    {activity?.actor ?? 'somebody'}
    {forced && ' (undone with the rest)'}
  </li>
);

/** Who undoes, and why, and the button that does it. A reason has to be given: it is what the next reader of the history asks for. */
function Why({
  disabled,
  perform,
  close,
}: {
  disabled: boolean;
  perform: (activity: { actor?: string; reason: string }) => Promise<void>;
  close: () => void;
}) {
  const [actor, setActor] = useState(sessionStorage.getItem(ACTOR) ?? '');
  const [reason, setReason] = useState('');
  const [isUnderWay, setUnderWay] = useState(false);
  const [error, setError] = useState<Failed | null>(null);
  const send = async () => {
    setUnderWay(true);
    setError(null);
    sessionStorage.setItem(ACTOR, actor);
    try {
      await perform({ ...(actor.trim() === '' ? {} : { actor: actor.trim() }), reason: reason.trim() });
    } catch (thrown) {
      setError(failureOf(thrown));
    } finally {
      setUnderWay(false);
    }
  };
  return (
    <form
      class="why"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <label class="field">
        <span>Who undoes it</span>
        <input value={actor} onInput={({ currentTarget }) => setActor(currentTarget.value)} autocomplete="username" />
      </label>
      <label class="field">
        <span>Why</span>
        <input
          required
          value={reason}
          placeholder="needed: who reads the history will ask"
          onInput={({ currentTarget }) => setReason(currentTarget.value)}
        />
      </label>
      {error && <Failure error={error} />}
      <p class="buttons">
        <button type="submit" class="primary" disabled={disabled || isUnderWay || reason.trim() === ''}>
          {isUnderWay ? 'Undoing …' : 'Undo'}
        </button>{' '}
        <button type="button" onClick={close}>
          Leave it
        </button>
      </p>
    </form>
  );
}
